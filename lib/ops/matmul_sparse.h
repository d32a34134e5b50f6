/* Products whose right side is a constant matrix with many zeros: A[m, k] W[k, n] without the zeros. */
#ifndef TN_OPS_MATMUL_SPARSE_H
#define TN_OPS_MATMUL_SPARSE_H

#include "ops/matmul.h"

typedef struct tn_matmul_sparse tn_matmul_sparse;

/* *out_sparse stays NULL if the matrix is not sparse enough to be faster so, or the product is not of that kind. `a` and `b`
 * are views without batches; value 1 of the call is known. Adds to call->scratch. */
tn_status tn_matmul_sparse_prepare(tn_prepare *call, const tn_operand *a, const tn_operand *b, float alpha,
                                   tn_matmul_sparse **out_sparse);
/* scratch: where that of _prepare begins. */
void tn_matmul_sparse_run(const tn_run *call, const tn_matmul_sparse *sparse, const float *a, float *y, void *scratch,
                          const tn_epilogue *epilogue);

#endif
