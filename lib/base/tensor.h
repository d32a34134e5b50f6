/* The tensor's inside, for the library alone.
 *
 * Operators see dense tensors only (strides as tn_tensor_set_dense makes them); strided ones exist in the public
 * tensor interface, which copies them dense before it calls an operator. */
#ifndef TN_BASE_TENSOR_H
#define TN_BASE_TENSOR_H

#include "base/base.h"

typedef struct tn_buffer tn_buffer; /* reference-counted memory */

struct tn_tensor {
    tn_dtype dtype;
    int rank;
    int64_t dims[TN_MAX_RANK];
    int64_t strides[TN_MAX_RANK];
    void *data;
    tn_buffer *buffer; /* NULL: borrowed memory */
};

/* Number of elements; -1 if a dim is negative or the product does not fit. */
int64_t tn_dims_count(int rank, const int64_t *dims);
/* Sets dtype, dims, dense strides and data of a tensor that owns nothing. Fails on a bad rank, dim or size. */
tn_status tn_tensor_set_dense(tn_tensor *t, tn_dtype dtype, int rank, const int64_t *dims, void *data);
/* In place: memory that the tensor owns. init leaves it not zeroed; renew keeps the memory that is there if it is the
 * tensor's alone and fits. deinit of a tensor that owns nothing does nothing. */
tn_status tn_tensor_init(tn_tensor *t, tn_dtype dtype, int rank, const int64_t *dims, const tn_allocator *allocator);
tn_status tn_tensor_renew(tn_tensor *t, tn_dtype dtype, int rank, const int64_t *dims, const tn_allocator *allocator);
void tn_tensor_deinit(tn_tensor *t);
/* A handle that takes over what `t` owns; `t` owns nothing afterwards. */
tn_status tn_tensor_move(tn_tensor *t, tn_tensor **out_tensor);
/* A dense copy of any tensor, the bytes of strings included, in one piece of memory. `t` must own nothing. */
tn_status tn_tensor_init_copy(tn_tensor *t, const tn_tensor *from, const tn_allocator *allocator);
/* Copies `src` (any strides, broadcast to dst's dims) into dst; both have the same dtype of whole bytes. */
void tn_copy_strided(int rank, const int64_t *dims, size_t element, void *dst, const int64_t *dst_strides,
                     const void *src, const int64_t *src_strides);
/* "float32[1,3,?,N]" into text, cut where it does not fit; returns text. */
char *tn_shape_text(char *text, size_t size, tn_dtype dtype, int rank, const int64_t *dims);

/* Weights lie in a model file at any address; all other tensors are aligned to their elements. */
static inline bool tn_tensor_is_aligned(const tn_tensor *t) {
    size_t width = tn_dtype_bits(t->dtype) / 8;
    return (uintptr_t)t->data % (width > 8 ? 8 : width ? width : 1) == 0;
}

/* Whether both have the same dtype and shape. */
static inline bool tn_tensor_is_alike(const tn_tensor *a, const tn_tensor *b) {
    return a->dtype == b->dtype && a->rank == b->rank &&
           memcmp(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]) == 0;
}

static inline int64_t tn_count(const tn_tensor *t) {
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++) n *= t->dims[i];
    return n;
}

#endif
