/* Index tuples, as GatherND and ScatterND read them: the last dim of `indices` points into leading dims of `data`. */
#ifndef TN_OPS_INDEX_TUPLE_H
#define TN_OPS_INDEX_TUPLE_H

#include "ops/data.h"

/* Offset in elements of what tuple number `at` points to in dims [first, first + length) of data; checks it. */
static inline tn_status tn_tuple_offset(const tn_tensor *data, int first, const tn_tensor *indices, int64_t at,
                                        int length, int64_t *out_offset) {
    int64_t offset = 0;
    for (int k = 0; k < length; k++) {
        int64_t size = data->dims[first + k], index = tn_index_at(indices, at * length + k);
        if (index < -size || index >= size) return tn_index_fail(1, index, first + k, size);
        offset += (index < 0 ? index + size : index) * data->strides[first + k];
    }
    *out_offset = offset;
    return TN_OK;
}

#endif
