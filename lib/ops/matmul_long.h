/* Products of two matrices whose inner dimension is long beside what they give, as gradients of weights have it: C [m, n]
 * = A [m, k] B [k, n] with k many times m and n. Packing all of A would go through memory twice more; here k is cut into
 * blocks, whose packed sides stay in the near caches, and into parts that tasks sum up on their own. Where the cuts are
 * depends on the shape alone, so the result does not depend on the number of threads. */
#ifndef TN_OPS_MATMUL_LONG_H
#define TN_OPS_MATMUL_LONG_H

#include "ops/matmul.h"

typedef struct tn_matmul_long tn_matmul_long;

/* *out_product stays NULL where the shape is none of these. Adds to call->scratch what run needs. */
tn_status tn_matmul_long_prepare(tn_prepare *call, const tn_operand *a, const tn_operand *b,
                                 tn_matmul_long **out_product);
/* As tn_matmul_run, in float32; `scratch` is what prepare asked for. */
void tn_matmul_long_run(const tn_run *call, const tn_matmul_long *product, const float *a, const float *b, float *y,
                        void *scratch, const tn_epilogue *epilogue);

#endif
