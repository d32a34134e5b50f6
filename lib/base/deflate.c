/* zlib behind two small faces: see deflate.h. */
#include "base/deflate.h"
#if TN_WITH_ZLIB
#include <limits.h>
#include <zlib.h>

bool tn_inflate(const void *in, size_t in_size, void *out, size_t size) {
    uLongf made = size;
    uLong used = in_size;
    if (in_size > ULONG_MAX || size > ULONG_MAX) return false;
    return uncompress2(out, &made, in, &used) == Z_OK && made == size && used == in_size;
}

tn_status tn_deflate_open(tn_deflater *d, void (*write)(void *context, const void *data, size_t size), void *context) {
    *d = (tn_deflater){.write = write, .context = context};
    d->stream = tn_alloc_zero(NULL, sizeof *d->stream);
    if (!d->stream) return d->status = TN_E_MEMORY;
    if (deflateInit(d->stream, Z_DEFAULT_COMPRESSION) == Z_OK) return TN_OK;
    tn_free(NULL, d->stream, sizeof *d->stream);
    d->stream = NULL;
    return d->status = tn_fail(TN_E_MEMORY, "no memory to deflate with");
}

/* Gives zlib what it has as input until it wants more, or until the stream is finished. */
static void run(tn_deflater *d, int flush) {
    uint8_t out[16384];
    int result;
    do {
        d->stream->next_out = out;
        d->stream->avail_out = sizeof out;
        result = deflate(d->stream, flush);
        d->write(d->context, out, sizeof out - d->stream->avail_out);
    } while (result == Z_OK && (d->stream->avail_out == 0 || flush == Z_FINISH));
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
        d->status = tn_fail(TN_E_INTERNAL, "zlib fails with %d", result);
}

void tn_deflate_piece(void *deflater, const void *data, size_t size) {
    tn_deflater *d = deflater;
    const uint8_t *at = data;
    while (size && d->status == TN_OK) {
        size_t n = TN_MIN(size, (size_t)1 << 30);
        memcpy(&d->stream->next_in, &at, sizeof at); /* zlib's type is not const, but it does not write there */
        d->stream->avail_in = (uInt)n;
        run(d, Z_NO_FLUSH);
        at += n;
        size -= n;
    }
}

tn_status tn_deflate_close(tn_deflater *d) {
    if (!d->stream) return d->status;
    if (d->status == TN_OK) run(d, Z_FINISH);
    deflateEnd(d->stream);
    tn_free(NULL, d->stream, sizeof *d->stream);
    d->stream = NULL;
    return d->status;
}
#else
bool tn_inflate(const void *in, size_t in_size, void *out, size_t size) {
    (void)in;
    (void)in_size;
    (void)out;
    (void)size;
    return false;
}

tn_status tn_deflate_open(tn_deflater *d, void (*write)(void *context, const void *data, size_t size), void *context) {
    *d = (tn_deflater){.write = write, .context = context};
    return d->status = tn_fail(TN_E_UNSUPPORTED, "this build has no zlib (WITH_ZLIB=0) and cannot compress");
}

void tn_deflate_piece(void *deflater, const void *data, size_t size) {
    (void)deflater;
    (void)data;
    (void)size;
}

tn_status tn_deflate_close(tn_deflater *d) {
    return d->status;
}
#endif
