/* Deflated data (RFC 1950), by zlib. A build without it (WITH_ZLIB=0) can do neither way. */
#ifndef TN_BASE_DEFLATE_H
#define TN_BASE_DEFLATE_H

#include "base/base.h"

#define TN_DEFLATE_MOST 1032 /* the most bytes that a deflated one can become */

/* Fails unless `in` is one whole stream of exactly `size` bytes. */
bool tn_inflate(const void *in, size_t in_size, void *out, size_t size);

/* Deflates what it is given, piece by piece, and passes it on. The first failure is kept. */
typedef struct tn_deflater {
    tn_status status;
    struct z_stream_s *stream;
    void (*write)(void *context, const void *data, size_t size);
    void *context;
} tn_deflater;

tn_status tn_deflate_open(tn_deflater *d, void (*write)(void *context, const void *data, size_t size), void *context);
void tn_deflate_piece(void *deflater, const void *data, size_t size);
/* Writes what is left, and frees all. */
tn_status tn_deflate_close(tn_deflater *d);

#endif
