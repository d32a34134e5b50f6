/* Fuzzing the loader: any bytes must end in a model or a sentence, within bounded memory. */
#include <stdlib.h>
#include <string.h>
#include <tenon/model.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    tn_model_options options = {sizeof options, .memory_limit = 64u << 20};
    tn_model *model;
    /* Of exactly its size, so that a sanitizer sees what reads beyond it. */
    void *copy = malloc(size ? size : 1);
    if (!copy) return 0;
    if (size) memcpy(copy, data, size);
    if (tn_model_load_memory(copy, size, NULL, &options, &model) == TN_OK) tn_model_destroy(model);
    free(copy);
    return 0;
}
