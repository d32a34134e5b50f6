/* What the operators that move data share: checks of inputs, index and shape inputs, dense strides. */
#ifndef TN_OPS_DATA_H
#define TN_OPS_DATA_H

#include <math.h>
#include "base/element.h"
#include "graph/op.h"
#include "kernels/move.h"

/* Fails unless input `in` is there and is a tensor, or may be one. */
static inline tn_status tn_infer_tensor(const tn_infer *call, int in) {
    if (!tn_infer_has(call, in)) return tn_infer_fail(call, in, TN_E_INVALID, "it is required");
    tn_kind kind = call->in[in]->kind;
    if (kind != TN_KIND_UNKNOWN && kind != TN_KIND_TENSOR)
        return tn_infer_fail(call, in, TN_E_TYPE, "expected a tensor");
    return TN_OK;
}

/* Fails unless input `in` is a tensor of int32 or int64 elements, or may be one. */
static inline tn_status tn_infer_index(const tn_infer *call, int in) {
    return tn_infer_dtype(call, in, (const tn_dtype[]){TN_INT64, TN_INT32, TN_UNDEFINED});
}

/* How many elements the 1-D input `in` (a shape, axes, pads) has; -1 if unknown. A scalar, which some models give, is a list
 * of one. Fails on other ranks. */
static inline tn_status tn_infer_list(const tn_infer *call, int in, int64_t *out_count) {
    TN_TRY(tn_infer_index(call, in));
    const tn_type *type = call->in[in];
    if (type->rank > 1) return tn_infer_fail(call, in, TN_E_SHAPE, "expected one dimension");
    *out_count = type->rank == 0 ? 1 : type->rank == 1 && type->dims[0] >= 0 ? type->dims[0] : -1;
    return TN_OK;
}

/* Fails where two inputs' known dtypes differ. */
static inline tn_status tn_infer_equal_dtype(const tn_infer *call, int a, int b) {
    tn_dtype first = call->in[a]->dtype, second = call->in[b]->dtype;
    if (first && second && first != second)
        return tn_infer_fail(call, b, TN_E_TYPE, "expected %s, as input %d is", tn_dtype_name(first), a);
    return TN_OK;
}

/* True if two dims may be equal, once they are known. */
static inline bool tn_dim_fits(int64_t a, int64_t b) {
    return a < 0 || b < 0 || a == b;
}

/* Whether the shapes of two inputs may be equal; if not, a sentence about `in`. */
static inline tn_status tn_infer_fits(const tn_infer *call, int in, int other) {
    const tn_type *a = call->in[in], *b = call->in[other];
    bool fits = a->rank < 0 || b->rank < 0 || a->rank == b->rank;
    for (int i = 0; fits && i < TN_MIN(a->rank, b->rank); i++) fits = tn_dim_fits(a->dims[i], b->dims[i]);
    return fits ? TN_OK : tn_infer_fail(call, in, TN_E_SHAPE, "expected the shape of input %d", other);
}

/* Of a tensor of int64 or int32 elements, at any address: while inferring they may lie in a model's file. */
static inline int64_t tn_index_at(const tn_tensor *t, int64_t i) {
    int64_t wide;
    int32_t narrow;
    if (t->dtype == TN_INT64) {
        memcpy(&wide, (const char *)t->data + i * 8, sizeof wide);
        return wide;
    }
    memcpy(&narrow, (const char *)t->data + i * 4, sizeof narrow);
    return narrow;
}

/* Fills strides of a dense array. */
static inline void tn_dense_strides(int rank, const int64_t *dims, int64_t *strides) {
    int64_t stride = 1;
    for (int i = rank - 1; i >= 0; i--) {
        strides[i] = stride;
        stride *= TN_MAX(dims[i], 1);
    }
}

/* Product of dims[from, to), all known. */
static inline int64_t tn_dims_span(const int64_t *dims, int from, int to) {
    int64_t count = 1;
    for (int i = from; i < to; i++) count *= dims[i];
    return count;
}

/* As tn_infer_tensor, and its elements must be whole bytes. */
static inline tn_status tn_infer_whole(const tn_infer *call, int in) {
    TN_TRY(tn_infer_tensor(call, in));
    if (call->in[in]->dtype && tn_dtype_bits(call->in[in]->dtype) < 8)
        return tn_infer_fail(call, in, TN_E_UNSUPPORTED, "expected elements of whole bytes");
    return TN_OK;
}

/* The one sentence on bad indices. */
static inline tn_status tn_index_fail(int in, int64_t index, int axis, int64_t size) {
    return tn_fail(TN_E_INVALID, "input %d holds the index %lld, outside of [%lld, %lld) for axis %d of size %lld", in,
                   (long long)index, (long long)-size, (long long)size, axis, (long long)size);
}

/* Fails unless all of input `in`, a tensor of indices, point into an axis of `size`. */
static inline tn_status tn_index_check(int in, const tn_tensor *indices, int axis, int64_t size) {
    int64_t count = tn_count(indices), i = 0;
    while (i < count && tn_index_at(indices, i) >= -size && tn_index_at(indices, i) < size) i++;
    return i < count ? tn_index_fail(in, tn_index_at(indices, i), axis, size) : TN_OK;
}

/* A checked index of an axis of `size`, from the front. */
static inline int64_t tn_index_wrap(const tn_tensor *indices, int64_t i, int64_t size) {
    int64_t index = tn_index_at(indices, i);
    return index < 0 ? index + size : index;
}

/* Work in parallel tasks: how many for so many bytes to move, at most `units` of which each can be a task's share. */
static inline int64_t tn_data_tasks(int64_t units, int64_t bytes_per_unit) {
    int64_t least = TN_MAX(1, (256 << 10) / TN_MAX(1, bytes_per_unit));
    return TN_MAX(1, units / least);
}
/* The first unit of a task; of task + 1, one past its last. */
static inline int64_t tn_task_start(int64_t units, int64_t tasks, int64_t task) {
    return units / tasks * task + TN_MIN(task, units % tasks);
}

/* Copies one element or a longer run. */
static inline void tn_copy_run(void *dst, const void *src, size_t bytes) {
    switch (bytes) {
    case 1: memcpy(dst, src, 1); break;
    case 2: memcpy(dst, src, 2); break;
    case 4: memcpy(dst, src, 4); break;
    case 8: memcpy(dst, src, 8); break;
    default: memcpy(dst, src, bytes);
    }
}

/* For elements of integers and bool: rounds to the nearest even integer and clamps. */
static inline void tn_saturate(tn_dtype dtype, int64_t n, double *x) {
    if (tn_dtype_is_float(dtype)) return;
    bool from_zero =
        dtype == TN_BOOL || dtype == TN_UINT8 || dtype == TN_UINT16 || dtype == TN_UINT32 || dtype == TN_UINT64;
    double high = ldexp(1, dtype == TN_BOOL ? 1 : (int)tn_dtype_bits(dtype) - !from_zero) - 1;
    double low = from_zero ? 0 : -high - 1;
    for (int64_t i = 0; i < n; i++) x[i] = TN_MIN(TN_MAX(rint(x[i]), low), high);
}

/* Fails unless an output is as large as the contents of inputs now say: a model may declare another shape. */
static inline tn_status tn_run_check(const tn_tensor *out, int axis, int64_t size) {
    if (out->dims[axis] == size) return TN_OK;
    return tn_fail(TN_E_SHAPE, "the inputs give dimension %d of the output a size of %lld; it was declared as %lld",
                   axis, (long long)size, (long long)out->dims[axis]);
}

/* The state of operators with an attribute axis, of input 0; its default is 0. */
static inline tn_status tn_prepare_axis(tn_prepare *call) {
    int *axis = tn_prepare_alloc(call, sizeof *axis);
    if (!axis) return TN_E_MEMORY;
    call->state = axis;
    return tn_infer_axis(NULL, tn_attr_int(call->node, "axis", 0), call->in[0]->rank, axis);
}

/* Copies input 0 to output 0 unless they share memory. */
static inline tn_status tn_run_same_bytes(tn_run *call) {
    const tn_tensor *in = tn_in(call, 0);
    tn_tensor *out = tn_out(call, 0);
    if (out && tn_count(out) != tn_count(in))
        return tn_fail(TN_E_SHAPE, "%lld elements do not fit into an output of %lld", (long long)tn_count(in),
                       (long long)tn_count(out));
    if (out && out->data != in->data && tn_count(in))
        memcpy(out->data, in->data, tn_dtype_bytes(in->dtype, tn_count(in)));
    return TN_OK;
}

#endif
