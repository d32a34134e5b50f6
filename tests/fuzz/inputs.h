/* What fuzz targets that run models share: memory with an end, and inputs made of whatever bytes there are. */
#ifndef TN_FUZZ_INPUTS_H
#define TN_FUZZ_INPUTS_H

#include <stdlib.h>
#include <string.h>
#include <tenon/session.h>

/* Counts what is in use; asked for more than `most`, it has none. */
typedef struct fuzz_memory {
    size_t used, peak, most;
    bool refused;
} fuzz_memory;

static void *fuzz_alloc(void *context, size_t size, size_t alignment) {
    fuzz_memory *m = context;
    void *pointer = NULL;
    if (size > m->most || m->used > m->most - size) {
        m->refused = true;
        return NULL;
    }
    if (posix_memalign(&pointer, alignment, size) != 0) return NULL;
    m->used += size;
    if (m->used > m->peak) m->peak = m->used;
    return pointer;
}

static void fuzz_free(void *context, void *pointer, size_t size) {
    ((fuzz_memory *)context)->used -= size;
    free(pointer);
}

/* A tensor of the input's type from `size` bytes, its unknown dims as given, or NULL. */
static inline tn_tensor *fuzz_input(const tn_value_info *info, const int64_t *unknown, const unsigned char *data,
                                    size_t size, const tn_allocator *allocator) {
    int64_t dims[TN_MAX_RANK];
    tn_tensor *tensor;
    if (strcmp(info->kind, "tensor") != 0 || info->rank < 0) return NULL;
    for (int i = 0; i < info->rank; i++) dims[i] = info->dims[i] >= 0 ? info->dims[i] : unknown[i];
    if (tn_tensor_create(info->dtype, info->rank, dims, allocator, &tensor) != TN_OK) return NULL;
    unsigned char *bytes = tn_tensor_data(tensor);
    size_t count = info->dtype == TN_STRING ? 0 : tn_tensor_bytes(tensor);
    for (size_t i = 0; i < count; i++) bytes[i] = data[(i * 5 + 3) % size];
    if (info->dtype == TN_BOOL)
        for (size_t i = 0; i < count; i++) bytes[i] &= 1;
    if (info->dtype == TN_FLOAT32) /* whole bytes seldom make numbers of use */
        for (size_t i = 0; i < count / 4; i++) ((float *)(void *)bytes)[i] = (float)(signed char)bytes[i * 4] / 16;
    if (info->dtype == TN_INT32)
        for (size_t i = 0; i < count / 4; i++) ((int32_t *)(void *)bytes)[i] = (signed char)bytes[i * 4] / 16;
    if (info->dtype == TN_INT64)
        for (size_t i = 0; i < count / 8; i++) ((int64_t *)(void *)bytes)[i] = (signed char)bytes[i * 8] / 16;
    return tensor;
}

#endif
