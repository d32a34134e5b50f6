/* Scratch memory in parts: prepare adds them up with tn_scratch_add, run takes them in the same order. */
#ifndef TN_OPS_SCRATCH_H
#define TN_OPS_SCRATCH_H

#include "base/base.h"

/* Adds `count` elements of `size` bytes, rounded to 64; false on overflow. */
static inline bool tn_scratch_add(size_t *total, size_t count, size_t size) {
    size_t bytes;
    if (!tn_mul_size(count, size, &bytes) || !tn_add_size(bytes, 63, &bytes)) return false;
    return tn_add_size(*total, bytes / 64 * 64, total);
}

static inline void *tn_scratch_take(uint8_t **scratch, size_t count, size_t size) {
    void *part = *scratch;
    *scratch += (count * size + 63) / 64 * 64;
    return part;
}

#endif
