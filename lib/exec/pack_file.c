/* Reading and writing files of packed weights: see pack_file.h. */
#include "exec/pack_file.h"
#include <sys/stat.h>
#include <unistd.h>
#include "base/checksum.h"
#include "base/little.h"
#include "base/output.h"

static const uint8_t magic[8] = {0x89, 'T', 'N', 'P', '\r', '\n', 0x1a, '\n'};

enum { VERSION = 1, KEY = 32, ZEROS = 64, DIGEST = 96 };

/* `size`: of header, rows and texts. */
static void digest_of(const uint8_t *head, size_t size, uint8_t digest[TN_SHA256_BYTES]) {
    tn_sha256 hash;
    tn_sha256_init(&hash);
    tn_sha256_update(&hash, head, DIGEST);
    tn_sha256_update(&hash, head + TN_PACK_FILE_HEADER, size - TN_PACK_FILE_HEADER);
    tn_sha256_final(&hash, digest);
}

/* The header; *out_size is the bytes of header, rows and texts, which are in the file and as they were written. */
static tn_status read_header(tn_string contents, const uint8_t key[TN_SHA256_BYTES], size_t *out_count,
                             size_t *out_size) {
    static const uint8_t zeros[DIGEST - ZEROS];
    const uint8_t *head = (const uint8_t *)contents.data;
    if (contents.size < TN_PACK_FILE_HEADER || memcmp(head, magic, sizeof magic) != 0)
        return tn_fail(TN_E_FORMAT, "no file of packed weights: it does not begin as one");
    uint64_t version = tn_get_little(head + 8, 4), count = tn_get_little(head + 12, 4),
             length = tn_get_little(head + 16, 8), texts = tn_get_little(head + 24, 8);
    if (version != VERSION)
        return tn_fail(TN_E_UNSUPPORTED, "packed weights of version %llu; this library reads version %d",
                       (unsigned long long)version, VERSION);
    if (length != contents.size)
        return tn_fail(TN_E_FORMAT, "the file has %zu bytes, but its header says %llu: it was cut or added to",
                       contents.size, (unsigned long long)length);
    if (memcmp(head + KEY, key, TN_SHA256_BYTES) != 0)
        return tn_fail(TN_E_NOT_FOUND, "packed weights of another model, library or processor");
    if (memcmp(head + ZEROS, zeros, sizeof zeros) != 0)
        return tn_fail(TN_E_FORMAT, "bytes %d to %d of the header must be zero", ZEROS, DIGEST - 1);
    size_t left = contents.size - TN_PACK_FILE_HEADER;
    if (count > left / TN_PACK_FILE_ROW || texts > left - count * TN_PACK_FILE_ROW)
        return tn_fail(TN_E_FORMAT, "%llu rows and %llu bytes of texts are not in a file of %zu bytes",
                       (unsigned long long)count, (unsigned long long)texts, contents.size);
    *out_count = (size_t)count;
    *out_size = TN_PACK_FILE_HEADER + (size_t)count * TN_PACK_FILE_ROW + (size_t)texts;
    uint8_t digest[TN_SHA256_BYTES];
    digest_of(head, *out_size, digest);
    if (memcmp(digest, head + DIGEST, sizeof digest) != 0)
        return tn_fail(TN_E_FORMAT, "the header's SHA-256 is not that of its rows: the file is damaged");
    return TN_OK;
}

/* `size` as above. */
static tn_status read_row(tn_string contents, size_t count, size_t size, size_t index, tn_pack_row *out) {
    const uint8_t *row = (const uint8_t *)contents.data + TN_PACK_FILE_HEADER + index * TN_PACK_FILE_ROW;
    const size_t texts_at = TN_PACK_FILE_HEADER + count * TN_PACK_FILE_ROW, texts = size - texts_at;
    uint64_t length = tn_get_little(row + 20, 4), text = tn_get_little(row + 24, 8), bytes = tn_get_little(row + 40, 8);
    *out = (tn_pack_row){.origin = tn_get_little(row, 8),
                         .origin_bytes = tn_get_little(row + 8, 8),
                         .kind = (uint32_t)tn_get_little(row + 16, 4),
                         .offset = tn_get_little(row + 32, 8),
                         .checksum = tn_get_little(row + 48, 8)};
    if (text > texts || length > texts - text)
        return tn_fail(TN_E_FORMAT, "row %zu: its layout is not among the texts", index);
    if (out->offset % 64 || out->offset < size || out->offset > contents.size || !bytes ||
        bytes > contents.size - out->offset)
        return tn_fail(TN_E_FORMAT, "row %zu: %llu bytes at %llu are not in a file of %zu bytes", index,
                       (unsigned long long)bytes, (unsigned long long)out->offset, contents.size);
    if (tn_get_little(row + 56, 8)) return tn_fail(TN_E_FORMAT, "row %zu does not end in zeros", index);
    out->layout = (tn_string){contents.data + texts_at + text, (size_t)length};
    out->data = contents.data + out->offset;
    out->bytes = (size_t)bytes;
    return TN_OK;
}

tn_status tn_pack_file_read(tn_string contents, const uint8_t key[TN_SHA256_BYTES], tn_region *region,
                            tn_pack_file *out) {
    size_t size = 0;
    *out = (tn_pack_file){.contents = contents};
    TN_TRY(read_header(contents, key, &out->count, &size));
    out->rows = tn_region_array(region, out->count + 1, sizeof *out->rows);
    if (!out->rows) return TN_E_MEMORY;
    for (size_t i = 0; i < out->count; i++) TN_TRY(read_row(contents, out->count, size, i, &out->rows[i]));
    return TN_OK;
}

bool tn_pack_row_is_good(tn_pack_row *row) {
    if (row->state == TN_PACK_UNCHECKED)
        row->state = tn_checksum(row->data, row->bytes) == row->checksum ? TN_PACK_GOOD : TN_PACK_DAMAGED;
    return row->state == TN_PACK_GOOD;
}

static uint64_t align(uint64_t at, uint64_t alignment) {
    return (at + alignment - 1) / alignment * alignment;
}

static size_t alignment_of(const tn_pack_row *row) {
    return row->bytes >= TN_PACK_FILE_LARGE ? (size_t)sysconf(_SC_PAGESIZE) : 64;
}

/* Where each goes; returns the file's size. */
static uint64_t place(tn_pack_row *rows, size_t count, size_t size) {
    uint64_t end = size;
    for (size_t i = 0; i < count; i++) {
        rows[i].offset = align(end, alignment_of(&rows[i]));
        rows[i].checksum = tn_checksum(rows[i].data, rows[i].bytes);
        end = rows[i].offset + rows[i].bytes;
    }
    return end;
}

static void fill_head(uint8_t *head, size_t size, const uint8_t key[TN_SHA256_BYTES], const tn_pack_row *rows,
                      size_t count, uint64_t length) {
    const size_t texts_at = TN_PACK_FILE_HEADER + count * TN_PACK_FILE_ROW;
    size_t text = 0;
    memset(head, 0, size);
    memcpy(head, magic, sizeof magic);
    tn_put_little(head + 8, 4, VERSION);
    tn_put_little(head + 12, 4, count);
    tn_put_little(head + 16, 8, length);
    tn_put_little(head + 24, 8, size - texts_at);
    memcpy(head + KEY, key, TN_SHA256_BYTES);
    for (size_t i = 0; i < count; i++) {
        const tn_pack_row *r = &rows[i];
        uint8_t *row = head + TN_PACK_FILE_HEADER + i * TN_PACK_FILE_ROW;
        tn_put_little(row, 8, r->origin);
        tn_put_little(row + 8, 8, r->origin_bytes);
        tn_put_little(row + 16, 4, r->kind);
        tn_put_little(row + 20, 4, r->layout.size);
        tn_put_little(row + 24, 8, text);
        tn_put_little(row + 32, 8, r->offset);
        tn_put_little(row + 40, 8, r->bytes);
        tn_put_little(row + 48, 8, r->checksum);
        memcpy(head + texts_at + text, r->layout.data, r->layout.size);
        text += r->layout.size;
    }
    digest_of(head, size, head + DIGEST);
}

/* Nobody writes to it from now on, not even those that may. */
static void forbid_writing(int file) {
    struct stat info;
    if (fstat(file, &info) != 0 || fchmod(file, info.st_mode & 0444) != 0)
        return; /* readers look at what it is, and pass it by */
}

tn_status tn_pack_file_write(const char *path, const uint8_t key[TN_SHA256_BYTES], tn_pack_row *rows, size_t count) {
    size_t size = TN_PACK_FILE_HEADER + count * TN_PACK_FILE_ROW;
    for (size_t i = 0; i < count; i++) size += rows[i].layout.size;
    uint8_t *head = tn_alloc(NULL, size);
    tn_output o;
    if (!head) return TN_E_MEMORY;
    uint64_t length = place(rows, count, size);
    fill_head(head, size, key, rows, count, length);
    tn_status status = tn_output_open(&o, path);
    if (status == TN_OK) {
        forbid_writing(o.file);
        tn_output_write(&o, head, size);
        for (size_t i = 0; i < count; i++) {
            tn_output_align(&o, alignment_of(&rows[i]));
            tn_output_write(&o, rows[i].data, rows[i].bytes);
        }
        status = tn_output_commit(&o);
    }
    tn_free(NULL, head, size);
    return status;
}
