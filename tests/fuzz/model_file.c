/* Fuzzing the reader of model files: any bytes must end in a model or a sentence. What fails for its digests alone is tried
 * again with right ones, so that what lies behind them is reached too. */
#include <stdlib.h>
#include <tenon/tenon.h>
#include "model/file.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void load(const void *data, size_t size) {
    tn_model_options options = {sizeof options, .memory_limit = 64u << 20, .verify_weights = true};
    tn_model *model;
    tn_model_file *file;
    const void *bytes;
    size_t length;
    if (tn_model_load_memory(data, size, NULL, &options, &model) == TN_OK) {
        tn_self_test *test;
        if (tn_self_test_of_model(model, &test) == TN_OK) {
            tn_self_test_run(test, model, NULL, NULL);
            tn_self_test_destroy(test);
        }
        tn_model_destroy(model);
    }
    if (tn_model_file_open_memory(data, size, &file) != TN_OK) return;
    for (uint32_t kind = 1; kind < 7; kind++) {
        const tn_section *s = NULL;
        tn_file_table table;
        if (tn_file_table_read((tn_string){data, size}, &table) == TN_OK) s = tn_file_find(&table, kind);
        if (s && s->length < 64u << 20) tn_model_file_read(file, kind, &bytes, &length);
    }
    tn_model_file_close(file);
}

/* Digests of all sections that lie in the file, and the header's. */
static void sign(uint8_t *data, size_t size) {
    size_t rows = TN_MIN((size_t)tn_get_little(data + 12, 4), (size - TN_FILE_HEADER) / TN_FILE_ROW);
    for (size_t i = 0; i < rows; i++) {
        uint8_t *row = data + TN_FILE_HEADER + i * TN_FILE_ROW;
        uint64_t offset = tn_get_little(row + 8, 8), stored = tn_get_little(row + 16, 8);
        if (offset <= size && stored <= size - offset) tn_sha256_of(data + offset, (size_t)stored, row + 32);
    }
    tn_sha256 hash;
    tn_sha256_init(&hash);
    tn_put_little(data + 16, 8, size);
    tn_sha256_update(&hash, data, 32);
    tn_sha256_update(&hash, data + TN_FILE_HEADER, rows * TN_FILE_ROW);
    tn_sha256_final(&hash, data + 32);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    void *copy = NULL;
    if (posix_memalign(&copy, 64, size ? size : 1) != 0) return 0;
    if (size) memcpy(copy, data, size);
    load(copy, size);
    if (size >= TN_FILE_HEADER) {
        sign(copy, size);
        load(copy, size);
    }
    free(copy);
    return 0;
}
