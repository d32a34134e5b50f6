/* Writing ZIP archives as NumPy does, entries stored.
 * Source: APPNOTE.TXT 6.3.10, sections 4.3. The library reads them: tenon/media.h. */
#include "files.h"
#include <stdlib.h>
#include <string.h>

enum { LOCAL_SIZE = 30, CENTRAL_SIZE = 46, END_SIZE = 22, NAME_LIMIT = 4096 };

static uint32_t crc_of(const unsigned char *data, size_t size) {
    uint32_t table[256], crc = 0xffffffff;
    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++) table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320 : 0);
    }
    for (size_t i = 0; i < size; i++) crc = crc >> 8 ^ table[(crc ^ data[i]) & 255];
    return ~crc;
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
