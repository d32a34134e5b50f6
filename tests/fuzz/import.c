/* Fuzzing the loader: any bytes must end in a model or a sentence, and take no more memory than the limit. */
#include "inputs.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

#define LIMIT ((size_t)64 << 20)
#define MODEL_ITSELF 4096 /* what a model is beside its graph */

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    fuzz_memory memory = {.most = LIMIT + MODEL_ITSELF};
    const tn_allocator counting = {sizeof counting, &memory, fuzz_alloc, fuzz_free};
    tn_model_options options = {sizeof options, .allocator = &counting, .memory_limit = LIMIT};
    tn_model *model;
    /* Of exactly its size, so that a sanitizer sees what reads beyond it. */
    void *copy = malloc(size ? size : 1);
    if (!copy) return 0;
    if (size) memcpy(copy, data, size);
    if (tn_model_load_memory(copy, size, NULL, &options, &model) == TN_OK) tn_model_destroy(model);
    free(copy);
    if (memory.used || memory.refused) abort(); /* a leak; memory beyond the limit */
    return 0;
}
