/* Deflated data, by zlib. A build without it (WITH_ZLIB=0) reads no PNG. */
#include "image/image.h"
#if TN_WITH_ZLIB
#include <limits.h>
#include <zlib.h>

bool tn_inflate(const uint8_t *in, size_t in_size, uint8_t *out, size_t size) {
    uLongf made = size;
    return in_size <= ULONG_MAX && uncompress(out, &made, in, in_size) == Z_OK && made == size;
}
#else
bool tn_inflate(const uint8_t *in, size_t in_size, uint8_t *out, size_t size) {
    (void)in;
    (void)in_size;
    (void)out;
    (void)size;
    return false;
}
#endif
