/* ZIP archives as NumPy writes them: entries stored or deflated, 64-bit sizes where they are given.
 * Source: APPNOTE.TXT 6.3.10, sections 4.3 and 4.5.3. Every offset and size in the file is checked against the file. */
#include "files.h"
#include <stdlib.h>
#include <string.h>
#if TN_WITH_ZLIB
#include <zlib.h>
#endif

enum { LOCAL_SIZE = 30, CENTRAL_SIZE = 46, END_SIZE = 22, NAME_LIMIT = 4096 };

static uint32_t get16(const unsigned char *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}
static uint32_t get32(const unsigned char *p) {
    return get16(p) | get16(p + 2) << 16;
}
static uint64_t get64(const unsigned char *p) {
    return get32(p) | (uint64_t)get32(p + 4) << 32;
}

static uint32_t crc_of(const unsigned char *data, size_t size) {
    uint32_t table[256], crc = 0xffffffff;
    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++) table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320 : 0);
    }
    for (size_t i = 0; i < size; i++) crc = crc >> 8 ^ table[(crc ^ data[i]) & 255];
    return ~crc;
}

static bool inflate_entry(const unsigned char *in, size_t in_size, unsigned char *out, size_t out_size) {
#if TN_WITH_ZLIB
    z_stream stream = {0};
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return false;
    int result = Z_OK;
    /* zlib counts in 32 bits. */
    for (size_t read = 0, written = 0; result == Z_OK; read += stream.total_in, written += stream.total_out) {
        stream.total_in = stream.total_out = 0;
        stream.next_in = (unsigned char *)in + read;
        stream.avail_in = in_size - read < 1 << 30 ? (uInt)(in_size - read) : 1 << 30;
        stream.next_out = out + written;
        stream.avail_out = out_size - written < 1 << 30 ? (uInt)(out_size - written) : 1 << 30;
        result = inflate(&stream, Z_NO_FLUSH);
        if (result == Z_STREAM_END && written + stream.total_out != out_size) result = Z_DATA_ERROR;
    }
    inflateEnd(&stream);
    return result == Z_STREAM_END;
#else
    (void)in, (void)in_size, (void)out, (void)out_size;
    return false;
#endif
}

/* The 64-bit values of a central header's extra field, for those of its 32-bit fields that are all ones. */
static void read_extra(const unsigned char *extra, size_t size, uint64_t *sizes[3]) {
    while (size >= 4) {
        size_t id = get16(extra), length = get16(extra + 2);
        extra += 4, size -= 4;
        if (length > size) return;
        const unsigned char *p = extra;
        for (int i = 0; id == 1 && i < 3; i++)
            if (*sizes[i] == 0xffffffff && (size_t)(extra + length - p) >= 8) *sizes[i] = get64(p), p += 8;
        extra += length, size -= length;
    }
}

/* The bytes of the entry that the central header `c` is about; `c` is wholly inside the file. */
static bool read_entry(const char *path, const unsigned char *file, size_t size, const unsigned char *c,
                       unsigned char **out_data, size_t *out_size) {
    uint64_t packed = get32(c + 20), full = get32(c + 24), offset = get32(c + 42);
    read_extra(c + CENTRAL_SIZE + get16(c + 28), get16(c + 30), (uint64_t *[3]){&full, &packed, &offset});
    uint32_t method = get16(c + 10);
    const char *wrong = NULL;
    if (get16(c + 8) & 1) wrong = "an entry is encrypted";
    if (method != 0 && method != 8) wrong = "an entry is neither stored nor deflated";
    if (offset > size || size - offset < LOCAL_SIZE || memcmp(file + offset, "PK\3\4", 4) != 0)
        wrong = "an entry lies outside the file";
    if (wrong) goto fail;
    uint64_t start = offset + LOCAL_SIZE + get16(file + offset + 26) + get16(file + offset + 28);
    if (start > size || packed > size - start) wrong = "an entry ends outside the file";
    /* Deflate makes at most 1032 bytes of one. */
    else if (method == 0 ? packed != full : full / 1032 > packed)
        wrong = "an entry's sizes contradict each other";
    if (wrong) goto fail;
    unsigned char *data = malloc(full ? full : 1);
    if (!data) {
        complain("%s: no memory for an entry of %llu bytes", path, (unsigned long long)full);
        return false;
    }
#if !TN_WITH_ZLIB
    if (method == 8) wrong = "an entry is compressed, and this tenon was built without zlib";
#endif
    if (method == 0) memcpy(data, file + start, full);
    if (!wrong && method == 8 && !inflate_entry(file + start, packed, data, full))
        wrong = "an entry's compressed data are damaged";
    if (!wrong && crc_of(data, full) != get32(c + 16)) wrong = "an entry's checksum is wrong";
    if (!wrong) {
        *out_data = data;
        *out_size = full;
        return true;
    }
    free(data);
fail:
    complain("%s: %s", path, wrong);
    return false;
}

/* Where the central directory is; false if there is none. */
static bool find_directory(const unsigned char *file, size_t size, uint64_t *out_start, uint64_t *out_count) {
    if (size < END_SIZE) return false;
    size_t last = size - END_SIZE, first = last > 0xffff ? last - 0xffff : 0, end = last;
    while (memcmp(file + end, "PK\5\6", 4) != 0)
        if (end-- == first) return false;
    *out_count = get16(file + end + 10);
    *out_start = get32(file + end + 16);
    if ((*out_start == 0xffffffff || *out_count == 0xffff) && end >= 20 && memcmp(file + end - 20, "PK\6\7", 4) == 0) {
        uint64_t wide = get64(file + end - 20 + 8);
        if (wide > size || size - wide < 56 || memcmp(file + wide, "PK\6\6", 4) != 0) return false;
        *out_count = get64(file + wide + 32);
        *out_start = get64(file + wide + 48);
    }
    return *out_start <= size;
}

bool zip_read(const char *path, const char *name, unsigned char **out_data, size_t *out_size) {
    void *memory;
    size_t size;
    uint64_t at, count;
    bool good = false, found = false;
    if (!file_read(path, &memory, &size)) return false;
    const unsigned char *file = memory;
    if (!find_directory(file, size, &at, &count)) {
        complain("%s is no ZIP archive, or cut short", path);
        goto done;
    }
    for (uint64_t i = 0; i < count && !found; i++) {
        const unsigned char *c = file + at;
        bool inside = size - at >= CENTRAL_SIZE && memcmp(c, "PK\1\2", 4) == 0;
        size_t length = inside ? get16(c + 28) : 0;
        size_t whole = inside ? CENTRAL_SIZE + length + get16(c + 30) + get16(c + 32) : 0;
        if (!inside || whole > size - at) {
            complain("%s: its directory is damaged", path);
            goto done;
        }
        const char *entry = (const char *)c + CENTRAL_SIZE;
        size_t bare = length > 4 && memcmp(entry + length - 4, ".npy", 4) == 0 ? length - 4 : length;
        found = !name || (strlen(name) == bare && memcmp(entry, name, bare) == 0);
        if (found) good = read_entry(path, file, size, c, out_data, out_size);
        at += whole;
    }
    if (!found) complain("%s has no array '%s'", path, name ? name : "");
done:
    free(memory);
    return good;
}

static void put16(unsigned char *p, uint32_t value) {
    p[0] = (unsigned char)value, p[1] = (unsigned char)(value >> 8);
}
static void put32(unsigned char *p, uint32_t value) {
    put16(p, value), put16(p + 2, value >> 16);
}

/* The fields that local and central headers share, from the version needed to the lengths. */
static void put_common(unsigned char *p, const zip_entry *e) {
    put16(p, 20);             /* version needed */
    put16(p + 2, 1 << 11);    /* the name is UTF-8 */
    put16(p + 8, 1 << 5 | 1); /* 1 January 1980, so that equal contents make equal files */
    put32(p + 10, e->crc);
    put32(p + 14, e->size);
    put32(p + 18, e->size);
    put16(p + 22, (uint32_t)strlen(e->name));
}

bool zip_add(zip_writer *z, const char *name, const void *data, size_t size) {
    long offset = ftell(z->file);
    char entry_name[NAME_LIMIT];
    int length = snprintf(entry_name, sizeof entry_name, "%s.npy", name);
    if (offset < 0 || size > 0xfffffff0 || (uint64_t)offset + size > 0xfffffff0 || length >= NAME_LIMIT) {
        complain("'%.80s' does not fit an .npz, which ends at 4 GiB; a folder takes it", name);
        return false;
    }
    zip_entry *grown = realloc(z->entries, (z->count + 1) * sizeof *grown);
    char *copy = grown ? strdup(entry_name) : NULL;
    if (grown) z->entries = grown;
    if (!copy) return false;
    zip_entry *e = &z->entries[z->count++];
    *e = (zip_entry){copy, crc_of(data, size), (uint32_t)size, (uint32_t)offset};
    unsigned char header[LOCAL_SIZE] = "PK\3\4";
    put_common(header + 4, e);
    return fwrite(header, LOCAL_SIZE, 1, z->file) == 1 && fwrite(copy, (size_t)length, 1, z->file) == 1 &&
           (!size || fwrite(data, size, 1, z->file) == 1);
}

bool zip_finish(zip_writer *z) {
    long start = ftell(z->file), end;
    bool good = start >= 0 && z->count < 0xffff;
    for (size_t i = 0; i < z->count; i++) {
        const zip_entry *e = &z->entries[i];
        unsigned char header[CENTRAL_SIZE] = "PK\1\2";
        put16(header + 4, 20);
        put_common(header + 6, e);
        put32(header + 42, e->offset);
        good = good && fwrite(header, CENTRAL_SIZE, 1, z->file) == 1;
        good = good && fwrite(e->name, strlen(e->name), 1, z->file) == 1;
        free(e->name);
    }
    free(z->entries);
    end = ftell(z->file);
    good = good && end >= start && end <= 0xfffffff0;
    unsigned char tail[END_SIZE] = "PK\5\6";
    put16(tail + 8, (uint32_t)z->count);
    put16(tail + 10, (uint32_t)z->count);
    put32(tail + 12, (uint32_t)(end - start));
    put32(tail + 16, (uint32_t)start);
    return good && fwrite(tail, END_SIZE, 1, z->file) == 1;
}
