/* Reductions' shapes: the input's dims, merged to few groups that are kept or reduced in turn.
 *
 * The innermost groups make a block of `rows` x `width` elements, of which rows are reduced and columns kept (either
 * may be 1); the other kept groups lead from one block's output to the next, the other reduced ones repeat blocks into
 * the same output. */
#ifndef TN_OPS_REDUCE_H
#define TN_OPS_REDUCE_H

#include "graph/op.h"

typedef struct tn_reduce_loops {
    int rank;
    size_t count, dims[TN_MAX_RANK], strides[TN_MAX_RANK]; /* count: product of dims */
} tn_reduce_loops;

typedef struct tn_reduce_shape {
    size_t rows, width;
    tn_reduce_loops kept, reduced;
} tn_reduce_shape;

void tn_reduce_plan(tn_reduce_shape *shape, int rank, const int64_t *dims, const bool *reduce);
/* Where step `index` of the loops is, in elements. */
static inline size_t tn_reduce_offset(const tn_reduce_loops *loops, size_t index) {
    size_t offset = 0;
    for (int i = loops->rank - 1; i >= 0; index /= loops->dims[i], i--)
        offset += index % loops->dims[i] * loops->strides[i];
    return offset;
}

typedef enum tn_reduction {
    TN_REDUCE_SUM,
    TN_REDUCE_MEAN,
    TN_REDUCE_MAX,
    TN_REDUCE_MIN,
    TN_REDUCE_PROD,
    TN_REDUCE_L1,
    TN_REDUCE_L2,
    TN_REDUCE_LOG_SUM,
    TN_REDUCE_LOG_SUM_EXP,
    TN_REDUCE_SUM_SQUARE,
} tn_reduction;

/* Outputs [first, last) by plain loops, any dtype of the operators. */
void tn_reduce_generic(const tn_reduce_shape *shape, tn_reduction kind, tn_dtype dtype, const void *x, void *y,
                       size_t first, size_t last);

#endif
