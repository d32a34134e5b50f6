/* Bytes from a file or from memory, in order; what is gzip (RFC 1952) comes inflated. Needs constant memory. */
#ifndef TN_DATA_SOURCE_H
#define TN_DATA_SOURCE_H

#include "base/base.h"

typedef struct tn_source {
    const char *name; /* for sentences; the caller's */
    int file;         /* -1: memory */
    const uint8_t *memory;
    size_t left;               /* of memory */
    struct z_stream_s *stream; /* NULL: as it is */
    uint8_t *raw;              /* what was read and not inflated yet */
    size_t raw_at, raw_size;
    bool ended;    /* there are no more raw bytes */
    bool inflated; /* the compressed stream is at its end */
} tn_source;

/* path NULL: memory. A source that failed to open needs no close. */
tn_status tn_source_open(tn_source *s, const char *path, const void *memory, size_t size, const char *name);
/* Up to `size` bytes; *out_got 0 is the end. */
tn_status tn_source_read(tn_source *s, void *out, size_t size, size_t *out_got);
void tn_source_close(tn_source *s);

/* A regular file, and its size; what is none makes nobody wait. */
tn_status tn_file_open(const char *path, int *out_file, size_t *out_size);
/* The next bytes of it, as many as are asked for. */
tn_status tn_file_read(int file, const char *path, void *out, size_t size);
/* All of a file; to be given back with tn_free(allocator, data, size). */
tn_status tn_file_whole(const char *path, const tn_allocator *allocator, tn_string *out);

#endif
