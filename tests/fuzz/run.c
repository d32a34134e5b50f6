/* Fuzzing what runs: models that load are run twice on inputs made from the same bytes, in bounded memory. Operators
 * must refuse what they cannot do, and read and write nothing but their tensors. */
#include <stdlib.h>
#include <string.h>
#include <tenon/session.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

#define MOST_BYTES ((size_t)16 << 20)

static size_t used;

static void *bounded_alloc(void *context, size_t size, size_t alignment) {
    void *pointer = NULL;
    (void)context;
    if (size > MOST_BYTES || used > MOST_BYTES - size) return NULL;
    if (posix_memalign(&pointer, alignment, size) != 0) return NULL;
    used += size;
    return pointer;
}

static void bounded_free(void *context, void *pointer, size_t size) {
    (void)context;
    used -= size;
    free(pointer);
}

static const tn_allocator bounded = {sizeof(tn_allocator), NULL, bounded_alloc, bounded_free};

/* A tensor of the input's type with unknown dims taken from the bytes, or NULL. */
static tn_tensor *make_input(const tn_value_info *info, const unsigned char *data, size_t size) {
    int64_t dims[TN_MAX_RANK];
    tn_tensor *tensor;
    if (strcmp(info->kind, "tensor") != 0 || info->rank < 0) return NULL;
    for (int i = 0; i < info->rank; i++) dims[i] = info->dims[i] >= 0 ? info->dims[i] : data[(size_t)i * 7 % size] % 5;
    if (tn_tensor_create(info->dtype, info->rank, dims, &bounded, &tensor) != TN_OK) return NULL;
    unsigned char *bytes = tn_tensor_data(tensor);
    size_t count = info->dtype == TN_STRING ? 0 : tn_tensor_bytes(tensor);
    for (size_t i = 0; i < count; i++) bytes[i] = data[(i * 5 + 3) % size];
    if (info->dtype == TN_BOOL)
        for (size_t i = 0; i < count; i++) bytes[i] &= 1;
    if (info->dtype == TN_FLOAT32) /* whole bytes seldom make numbers of use */
        for (size_t i = 0; i < count / 4; i++) ((float *)(void *)bytes)[i] = (float)(signed char)bytes[i * 4] / 16;
    if (info->dtype == TN_INT64)
        for (size_t i = 0; i < count / 8; i++) ((int64_t *)(void *)bytes)[i] = (signed char)bytes[i * 8] / 16;
    return tensor;
}

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
        set = tn_model_input_info(model, i, &info) == TN_OK && (inputs[i] = make_input(&info, data, size)) &&
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
    if (used) abort(); /* a leak */
    return 0;
}
