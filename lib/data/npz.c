/* .npz: ZIP archives as NumPy writes them, entries stored or deflated, 64-bit sizes where they are given.
 * Source: APPNOTE.TXT 6.3.10, sections 4.3 and 4.5.3. Every offset and size in the file is checked against the file; the
 * directory is walked once, when it is opened. */
#include "base/little.h"
#include "data/npy.h"
#include "data/source.h"
#include "data/spill.h"
#if TN_WITH_ZLIB
#include <zlib.h>
#endif

enum { LOCAL_SIZE = 30, CENTRAL_SIZE = 46, END_SIZE = 22 };

struct tn_npz {
    tn_region *region;
    const char *name;
    tn_string file;
    bool own; /* the bytes are this archive's */
    const tn_allocator *allocator;
    int count;
    const unsigned char **headers; /* central, each wholly inside the file */
    const char **names;
};

static uint32_t get16(const unsigned char *p) {
    return (uint32_t)tn_get_little(p, 2);
}
static uint32_t get32(const unsigned char *p) {
    return (uint32_t)tn_get_little(p, 4);
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
            if (*sizes[i] == 0xffffffff && (size_t)(extra + length - p) >= 8) *sizes[i] = tn_get_little(p, 8), p += 8;
        extra += length, size -= length;
    }
}

/* Checks sizes and offset; NULL if they are good. */
static const char *find_entry(tn_string whole, const unsigned char *c, const unsigned char **out_packed,
                              uint64_t *out_packed_size, uint64_t *out_size) {
    const unsigned char *file = (const unsigned char *)whole.data;
    size_t size = whole.size;
    uint64_t packed = get32(c + 20), full = get32(c + 24), offset = get32(c + 42);
    read_extra(c + CENTRAL_SIZE + get16(c + 28), get16(c + 30), (uint64_t *[3]){&full, &packed, &offset});
    uint32_t method = get16(c + 10);
    if (get16(c + 8) & 1) return "an entry is encrypted";
    if (method != 0 && method != 8) return "an entry is neither stored nor deflated";
    if (offset > size || size - offset < LOCAL_SIZE || memcmp(file + offset, "PK\3\4", 4) != 0)
        return "an entry lies outside the file";
    uint64_t start = offset + LOCAL_SIZE + get16(file + offset + 26) + get16(file + offset + 28);
    if (start > size || packed > size - start) return "an entry ends outside the file";
    /* Deflate makes at most 1032 bytes of one. */
    if (method == 0 ? packed != full : full / 1032 > packed) return "an entry's sizes contradict each other";
    if (method == 8 && !TN_WITH_ZLIB) return "an entry is compressed, and this build has no zlib (WITH_ZLIB=0)";
    *out_packed = file + start;
    *out_packed_size = packed;
    *out_size = full;
    return NULL;
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
        uint64_t wide = tn_get_little(file + end - 20 + 8, 8);
        if (wide > size || size - wide < 56 || memcmp(file + wide, "PK\6\6", 4) != 0) return false;
        *out_count = tn_get_little(file + wide + 32, 8);
        *out_start = tn_get_little(file + wide + 48, 8);
    }
    return *out_start <= size;
}

static tn_status read_directory(tn_npz *z) {
    const unsigned char *file = (const unsigned char *)z->file.data;
    size_t size = z->file.size;
    uint64_t at, count;
    if (!find_directory(file, size, &at, &count))
        return tn_fail(TN_E_FORMAT, "%s is no ZIP archive, or cut short", z->name);
    if (count > (size - at) / CENTRAL_SIZE) return tn_fail(TN_E_FORMAT, "%s: its directory is damaged", z->name);
    z->headers = tn_region_array(z->region, count + 1, sizeof *z->headers);
    z->names = tn_region_array(z->region, count + 1, sizeof *z->names);
    if (!z->headers || !z->names) return TN_E_MEMORY;
    for (uint64_t i = 0; i < count; i++) {
        const unsigned char *c = file + at;
        bool inside = size - at >= CENTRAL_SIZE && memcmp(c, "PK\1\2", 4) == 0;
        size_t length = inside ? get16(c + 28) : 0;
        size_t whole = inside ? CENTRAL_SIZE + length + get16(c + 30) + get16(c + 32) : 0;
        if (!inside || whole > size - at) return tn_fail(TN_E_FORMAT, "%s: its directory is damaged", z->name);
        const char *entry = (const char *)c + CENTRAL_SIZE;
        size_t bare = length > 4 && memcmp(entry + length - 4, ".npy", 4) == 0 ? length - 4 : length;
        z->headers[z->count] = c;
        z->names[z->count] = tn_region_strndup(z->region, entry, bare);
        if (!z->names[z->count++]) return TN_E_MEMORY;
        at += whole;
    }
    return TN_OK;
}

static tn_status open_archive(tn_string file, bool own, const tn_allocator *allocator, const char *name,
                              tn_npz **out_npz) {
    tn_region *region = tn_region_create(NULL);
    tn_npz *z = region ? tn_region_alloc(region, sizeof *z) : NULL;
    tn_status status = TN_E_MEMORY;
    if (z) {
        *z = (tn_npz){
            .region = region, .file = file, .own = own, .allocator = allocator, .name = tn_region_strdup(region, name)};
        if (z->name) status = read_directory(z);
    }
    if (status == TN_OK)
        *out_npz = z;
    else
        tn_region_destroy(region);
    return status;
}

tn_status tn_npz_open_memory(const void *data, size_t size, const char *name, tn_npz **out_npz) {
    *out_npz = NULL;
    return open_archive((tn_string){data, size}, false, NULL, name, out_npz);
}

tn_status tn_npz_open_in(const char *path, const tn_allocator *allocator, tn_npz **out_npz) {
    tn_string file;
    *out_npz = NULL;
    TN_TRY(tn_file_whole(path, allocator, &file));
    if (allocator) tn_spill_scan(file.data, file.size);
    tn_status status = open_archive(file, true, allocator, path, out_npz);
    if (status != TN_OK) tn_free(allocator, (void *)file.data, file.size);
    return status;
}

tn_status tn_npz_open(const char *path, tn_npz **out_npz) {
    return tn_npz_open_in(path, NULL, out_npz);
}

void tn_npz_close(tn_npz *npz) {
    if (!npz) return;
    if (npz->own) tn_free(npz->allocator, (void *)npz->file.data, npz->file.size);
    tn_region_destroy(npz->region);
}

int tn_npz_count(const tn_npz *npz) {
    return npz->count;
}

const char *tn_npz_name(const tn_npz *npz, int index) {
    return index >= 0 && index < npz->count ? npz->names[index] : NULL;
}

tn_status tn_npz_bytes(const tn_npz *npz, int index, tn_string *out, bool *out_own) {
    const unsigned char *packed;
    uint64_t packed_size, size;
    *out = (tn_string){NULL, 0};
    *out_own = false;
    if (!tn_npz_name(npz, index)) return tn_fail(TN_E_NOT_FOUND, "%s has no array %d", npz->name, index);
    const unsigned char *c = npz->headers[index];
    const char *wrong = find_entry(npz->file, c, &packed, &packed_size, &size);
    if (wrong) return tn_fail(TN_E_FORMAT, "%s: %s", npz->name, wrong);
    const bool stored = get16(c + 10) == 0;
    unsigned char *own = stored ? NULL : tn_alloc(npz->allocator, size);
    const unsigned char *data = stored ? packed : own;
    if (!data) return TN_E_MEMORY;
    const bool good = stored || inflate_entry(packed, packed_size, own, size);
    if (own && npz->allocator) tn_spill_scan(own, size);
    if (!good)
        wrong = "an entry's compressed data are damaged";
    else if (crc_of(data, size) != get32(c + 16))
        wrong = "an entry's checksum is wrong";
    if (wrong) {
        tn_free(npz->allocator, own, size);
        return tn_fail(TN_E_FORMAT, "%s: %s", npz->name, wrong);
    }
    *out = (tn_string){(const char *)data, size};
    *out_own = !stored;
    return TN_OK;
}

tn_status tn_npz_array(const tn_npz *npz, int index, tn_dtype wanted, tn_tensor **out) {
    tn_string bytes;
    bool own;
    *out = NULL;
    TN_TRY(tn_npz_bytes(npz, index, &bytes, &own));
    tn_status status = tn_npy_parse(bytes.data, bytes.size, npz->names[index], wanted, out);
    if (own) tn_free(npz->allocator, (void *)bytes.data, bytes.size);
    return status == TN_OK ? status : tn_fail_context(status, "%s", npz->name);
}
