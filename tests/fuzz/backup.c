/* Fuzzing the reader of backups: any bytes end in a sentence, or in parts that can be read within the file. Digests would
 * end all mutations at once, so each input is tried a second time with the digests set right. */
#include <stdlib.h>
#include <tenon/tenon.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

#if TN_WITH_SODIUM && TN_WITH_JANSSON
#include "model/file.h"
#include "store/backup.h"

static tn_status add(void *context, const void *data, size_t size) {
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++) *(unsigned char *)context ^= bytes[i];
    return TN_OK;
}

static void use(tn_string contents) {
    tn_backup b;
    const char *name;
    json_t *part;
    volatile unsigned char all = 0;
    unsigned char sum = 0;
    tn_backup_state state = {.struct_size = sizeof state};
    if (tn_backup_parse(contents, "it", &b) != TN_OK) return;
    tn_backup_tell(&b, &state);
    for (size_t i = 0; tn_backup_digest_at(&b, "needed", i); i++) all++;
    json_object_foreach(b.parts, name, part) {
        char digest[TN_STORE_DIGEST];
        tn_digest_of(contents.data + json_integer_value(json_object_get(part, "offset")),
                     (size_t)json_integer_value(json_object_get(part, "stored")), digest);
        json_object_set_new(part, "digest", json_string(digest));
        if (tn_backup_read(&b, name, add, &sum) == TN_OK) all = (unsigned char)(all + sum);
    }
    tn_backup_close(&b);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    unsigned char *copy = malloc(size ? size : 1); /* of exactly its size */
    if (!copy) return 0;
    if (size) memcpy(copy, data, size);
    use((tn_string){(char *)copy, size});
    uint64_t catalogue = size >= TN_BACKUP_HEADER ? tn_get_little(copy + 24, 8) : UINT64_MAX;
    if (size >= TN_BACKUP_HEADER && catalogue <= size - TN_BACKUP_HEADER) {
        tn_sha256 hash;
        tn_sha256_init(&hash);
        for (int i = 0; i < 8; i++) copy[16 + i] = (unsigned char)((uint64_t)size >> 8 * i);
        tn_sha256_update(&hash, copy, 32);
        tn_sha256_update(&hash, copy + size - catalogue, (size_t)catalogue);
        tn_sha256_final(&hash, copy + 32);
        use((tn_string){(char *)copy, size});
    }
    free(copy);
    return 0;
}
#else
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    (void)data, (void)size;
    return 0;
}
#endif
