/* Fuzzing the reader of packed weights in a file: any bytes must end in rows that lie in them, or a sentence. The key is what
 * the bytes say; what fails for its digest alone is tried again with a right one, and what was read is written and read again. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "exec/pack_file.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

enum { KEY = 32, DIGEST = 96 };

static void write_again(const tn_pack_file *file, const uint8_t *key, tn_region *region) {
    char path[64];
    tn_pack_file again;
    const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(path, sizeof path, "%s/tenon-fuzz-%ld.packed", folder, (long)getpid());
    if (tn_pack_file_write(path, key, file->rows, file->count) != TN_OK) abort();
    FILE *made = fopen(path, "rb");
    if (!made || fseek(made, 0, SEEK_END) != 0) abort();
    size_t size = (size_t)ftell(made);
    char *contents = malloc(size);
    rewind(made);
    if (!contents || fread(contents, 1, size, made) != size) abort();
    if (tn_pack_file_read((tn_string){contents, size}, key, region, &again) != TN_OK || again.count != file->count)
        abort();
    for (size_t i = 0; i < again.count; i++)
        if (!tn_pack_row_is_good(&again.rows[i])) abort();
    free(contents);
    fclose(made);
    unlink(path);
}

static void read_file(const uint8_t *data, size_t size) {
    tn_region *region = tn_region_create(NULL);
    tn_pack_file file;
    size_t bytes = 0;
    if (region && size >= TN_PACK_FILE_HEADER &&
        tn_pack_file_read((tn_string){(const char *)data, size}, data + KEY, region, &file) == TN_OK) {
        for (size_t i = 0; i < file.count; i++) {
            tn_pack_row_is_good(&file.rows[i]);
            bytes += file.rows[i].bytes + file.rows[i].layout.size;
        }
        if (bytes < 1u << 20) write_again(&file, data + KEY, region); /* rows may all show the same */
    }
    tn_region_destroy(region);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    void *copy = NULL;
    if (posix_memalign(&copy, 64, size ? size : 1) != 0) return 0;
    if (size) memcpy(copy, data, size);
    read_file(copy, size);
    if (size >= TN_PACK_FILE_HEADER) {
        uint8_t *head = copy;
        size_t rows = head[12] * (size_t)TN_PACK_FILE_ROW, texts = head[24], all = TN_PACK_FILE_HEADER + rows + texts;
        memset(head + 13, 0, 3); /* few rows, few texts, the size as it is */
        memset(head + 16, 0, 16);
        head[16] = (uint8_t)size;
        head[17] = (uint8_t)(size >> 8);
        head[18] = (uint8_t)(size >> 16);
        head[24] = (uint8_t)texts;
        tn_sha256 hash;
        tn_sha256_init(&hash);
        tn_sha256_update(&hash, head, DIGEST);
        if (all <= size) tn_sha256_update(&hash, head + TN_PACK_FILE_HEADER, rows + texts);
        tn_sha256_final(&hash, head + DIGEST);
        read_file(head, size);
    }
    free(copy);
    return 0;
}
