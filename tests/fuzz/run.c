/* Fuzzing what runs: models that load are run twice on inputs made from the same bytes, in bounded memory. Operators
 * must refuse what they cannot do, and read and write nothing but their tensors. */
#include "inputs.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

#define MOST_BYTES ((size_t)16 << 20)

static fuzz_memory memory = {.most = MOST_BYTES};
static const tn_allocator bounded = {sizeof(tn_allocator), &memory, fuzz_alloc, fuzz_free};

static void run(const tn_model *model, const unsigned char *data, size_t size) {
    enum { MOST_INPUTS = 16 };
    tn_session_options options = {sizeof options, .allocator = &bounded, .threads = 1};
    tn_tensor *inputs[MOST_INPUTS] = {0};
    tn_session *session;
    int count = tn_model_input_count(model);
    if (count > MOST_INPUTS || tn_session_create(model, &options, &session) != TN_OK) return;
    bool set = true;
    for (int i = 0; i < count && set; i++) {
        tn_value_info info;
        int64_t unknown[TN_MAX_RANK];
        for (size_t d = 0; d < TN_MAX_RANK; d++) unknown[d] = data[d * 7 % size] % 5;
        set = tn_model_input_info(model, i, &info) == TN_OK &&
              (inputs[i] = fuzz_input(&info, unknown, data, size, &bounded)) &&
              tn_session_set_input(session, i, inputs[i]) == TN_OK;
    }
    if (set && tn_session_run(session) == TN_OK) tn_session_run(session);
    tn_session_destroy(session);
    for (int i = 0; i < count; i++) tn_tensor_destroy(inputs[i]);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    tn_model_options options = {sizeof options, .allocator = &bounded, .memory_limit = MOST_BYTES};
    tn_model *model;
    void *copy = malloc(size ? size : 1); /* of exactly its size, so that a sanitizer sees what reads beyond it */
    if (!copy) return 0;
    if (size) memcpy(copy, data, size);
    if (tn_model_load_memory(copy, size, NULL, &options, &model) == TN_OK) {
        run(model, data, size);
        tn_model_destroy(model);
    }
    free(copy);
    if (memory.used) abort(); /* a leak */
    return 0;
}
