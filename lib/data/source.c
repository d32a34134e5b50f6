/* Files, memory and gzip as one stream of bytes. Several gzip members in a row are one stream, as gzip has it. */
#include "data/source.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#if TN_WITH_ZLIB
#include <zlib.h>
#endif

enum { RAW_BYTES = 1 << 16 };

static tn_status read_raw(tn_source *s, uint8_t *out, size_t size, size_t *out_got) {
    if (s->file < 0) {
        *out_got = TN_MIN(size, s->left);
        if (*out_got) memcpy(out, s->memory, *out_got);
        if (*out_got) s->memory += *out_got;
        s->left -= *out_got;
        return TN_OK;
    }
    ssize_t n;
    do n = read(s->file, out, size);
    while (n < 0 && errno == EINTR);
    if (n < 0) return tn_fail(TN_E_IO, "%s: %s", s->name, strerror(errno));
    *out_got = (size_t)n;
    return TN_OK;
}

/* More raw bytes behind those that are left. */
static tn_status fill(tn_source *s) {
    size_t got = 0;
    if (s->raw_at) memmove(s->raw, s->raw + s->raw_at, s->raw_size - s->raw_at);
    s->raw_size -= s->raw_at;
    s->raw_at = 0;
    if (s->ended || s->raw_size == RAW_BYTES) return TN_OK;
    TN_TRY(read_raw(s, s->raw + s->raw_size, RAW_BYTES - s->raw_size, &got));
    s->raw_size += got;
    s->ended = got == 0;
    return TN_OK;
}

#if TN_WITH_ZLIB
static tn_status begin_gzip(tn_source *s) {
    s->stream = tn_alloc_zero(NULL, sizeof *s->stream);
    if (!s->stream) return TN_E_MEMORY;
    if (inflateInit2(s->stream, 16 + MAX_WBITS) == Z_OK) return TN_OK;
    tn_free(NULL, s->stream, sizeof *s->stream);
    s->stream = NULL;
    return tn_fail(TN_E_MEMORY, "%s: no memory to inflate it", s->name);
}

static tn_status read_gzip(tn_source *s, uint8_t *out, size_t size, size_t *out_got) {
    for (*out_got = 0; *out_got == 0;) {
        if (s->raw_at == s->raw_size) TN_TRY(fill(s));
        if (s->inflated && s->raw_size == 0) return TN_OK;
        if (s->inflated) inflateReset(s->stream), s->inflated = false;
        s->stream->next_in = s->raw + s->raw_at;
        s->stream->avail_in = (uInt)(s->raw_size - s->raw_at);
        s->stream->next_out = out;
        s->stream->avail_out = (uInt)TN_MIN(size, (size_t)RAW_BYTES);
        uInt room = s->stream->avail_out;
        int result = inflate(s->stream, Z_NO_FLUSH);
        s->raw_at = s->raw_size - s->stream->avail_in;
        *out_got = room - s->stream->avail_out;
        s->inflated = result == Z_STREAM_END;
        if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
            return tn_fail(TN_E_FORMAT, "%s: its compressed data are damaged", s->name);
        if (!s->inflated && *out_got == 0 && s->raw_size == 0)
            return tn_fail(TN_E_FORMAT, "%s: its compressed data end too early", s->name);
    }
    return TN_OK;
}

static void end_gzip(tn_source *s) {
    if (s->stream) inflateEnd(s->stream);
    tn_free(NULL, s->stream, sizeof *s->stream);
}
#else
static tn_status begin_gzip(tn_source *s) {
    return tn_fail(TN_E_UNSUPPORTED, "%s is gzip, and this build has no zlib (WITH_ZLIB=0)", s->name);
}

static tn_status read_gzip(tn_source *s, uint8_t *out, size_t size, size_t *out_got) {
    (void)out;
    (void)size;
    (void)out_got;
    return begin_gzip(s);
}

static void end_gzip(tn_source *s) {
    (void)s;
}
#endif

tn_status tn_source_open(tn_source *s, const char *path, const void *memory, size_t size, const char *name) {
    struct stat info;
    *s = (tn_source){.name = name, .file = -1, .memory = memory, .left = size};
    if (path) s->file = open(path, O_RDONLY | O_CLOEXEC);
    if (path && s->file < 0)
        return tn_fail(errno == ENOENT ? TN_E_NOT_FOUND : TN_E_IO, "%s: %s", name, strerror(errno));
    tn_status status = TN_OK;
    if (path && (fstat(s->file, &info) != 0 || S_ISDIR(info.st_mode)))
        status = tn_fail(TN_E_IO, "%s is a folder; a file was expected", name);
    if (status == TN_OK && !(s->raw = tn_alloc(NULL, RAW_BYTES))) status = TN_E_MEMORY;
    while (status == TN_OK && s->raw_size < 2 && !s->ended) status = fill(s);
    if (status == TN_OK && s->raw_size >= 2 && s->raw[0] == 0x1f && s->raw[1] == 0x8b) status = begin_gzip(s);
    if (status != TN_OK) tn_source_close(s);
    return status;
}

tn_status tn_source_read(tn_source *s, void *out, size_t size, size_t *out_got) {
    if (s->stream) return read_gzip(s, out, size, out_got);
    if (s->raw_at == s->raw_size) TN_TRY(fill(s));
    *out_got = TN_MIN(size, s->raw_size - s->raw_at);
    memcpy(out, s->raw + s->raw_at, *out_got);
    s->raw_at += *out_got;
    return TN_OK;
}

void tn_source_close(tn_source *s) {
    end_gzip(s);
    tn_free(NULL, s->raw, RAW_BYTES);
    if (s->file >= 0) close(s->file);
    *s = (tn_source){.file = -1};
}

/* ---- whole files ---- */

tn_status tn_file_open(const char *path, int *out_file, size_t *out_size) {
    struct stat info;
    const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *out_file = -1;
    if (file < 0) return tn_fail(errno == ENOENT ? TN_E_NOT_FOUND : TN_E_IO, "%s: %s", path, strerror(errno));
    if (fstat(file, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(file);
        return tn_fail(TN_E_IO, "%s is no regular file", path);
    }
    *out_file = file;
    *out_size = (size_t)info.st_size;
    return TN_OK;
}

tn_status tn_file_read(int file, const char *path, void *out, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t n = read(file, (char *)out + done, size - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return tn_fail(TN_E_IO, "%s: %s", path, strerror(errno));
        if (n == 0) return tn_fail(TN_E_IO, "%s: it became shorter while it was read", path);
        done += (size_t)n;
    }
    return TN_OK;
}

tn_status tn_file_whole(const char *path, const tn_allocator *allocator, tn_string *out) {
    int file;
    size_t size;
    *out = (tn_string){NULL, 0};
    TN_TRY(tn_file_open(path, &file, &size));
    uint8_t *data = tn_alloc(allocator, size);
    tn_status status = data ? tn_file_read(file, path, data, size) : TN_E_MEMORY;
    close(file);
    if (status == TN_OK)
        *out = (tn_string){(const char *)data, size};
    else
        tn_free(allocator, data, size);
    return status;
}
