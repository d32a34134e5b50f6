/* What the matrix product operators share: stacks of matrices as they lie, and the product of two such stacks. */
#ifndef TN_OPS_MATMUL_H
#define TN_OPS_MATMUL_H

#include "graph/op.h"
#include "kernels/product.h"

/* batch[...] matrices of rows x columns, at strides in elements. In infer, dims may be unknown and strides are then
 * without meaning. */
typedef struct tn_operand {
    int batch_rank;
    int64_t batch[TN_MAX_RANK], batch_stride[TN_MAX_RANK];
    int64_t rows, columns, row_stride, column_stride;
} tn_operand;

/* A tensor of known rank as such a stack. trans: the last two dims change places. trans_batch: the stack is
 * [rows, batch..., columns]. A vector is a row on the left side, a column on the right. */
void tn_operand_view(tn_operand *o, const tn_type *type, bool left, bool trans, bool trans_batch);
/* The output's batch dims; false where they do not broadcast. */
bool tn_operand_batch(const tn_operand *a, const tn_operand *b, int *out_rank, int64_t *out_dims);

/* A prepared product: Y = activation(alpha * A * B + terms), Y dense. */
typedef struct tn_matmul tn_matmul;
/* a and b: views of inputs 0 and 1. Adds to call->scratch what run needs; run's own memory is the first of it. */
tn_status tn_matmul_prepare(tn_prepare *call, const tn_operand *a, const tn_operand *b, float alpha,
                            tn_matmul **out_matmul);
/* epilogue: for float32 alone, over the whole of Y (row_bias only if there are no batches); NULL for other types. */
void tn_matmul_run(const tn_run *call, const tn_matmul *matmul, const void *a, const void *b, void *y,
                   const tn_epilogue *epilogue);

/* A scaled integer, as the nearest that fits. */
static inline uint64_t tn_scale_integer(double x, float factor) {
    x *= (double)factor;
    return x >= 0x1p63 ? INT64_MAX : x > -0x1p63 ? (uint64_t)(int64_t)x : (uint64_t)INT64_MIN;
}

#endif
