/* Products of matrices of 8-bit integers with zero points: what all quantized matrix operators lean on.
 *
 *     y[m, n] = finish(sum over k of (a[m, k] - a_zero[m]) * (b[k, n] - b_zero[n]))
 *
 * in batches as numpy's matmul has them. b is packed at preparation if it is constant, else at each run. The sums are
 * exact in 32 bits (modulo 2^32), so results are equal at every CPU level and thread count. */
#ifndef TN_OPS_QMATMUL_H
#define TN_OPS_QMATMUL_H

#include "graph/op.h"
#include "kernels/qgemm.h"

typedef struct tn_qmatmul {
    const tn_qgemm_layout *layout;
    size_t batches, m, n, k;
    size_t rows;               /* of all of a's matrices together */
    size_t b_count;            /* b's matrices */
    const size_t *a_of, *b_of; /* [batches]: which matrix of a and b */
    bool trans_a, trans_b, a_signed, b_signed;
    size_t b_bytes;       /* of one packed matrix with its column sums */
    const void *b_packed; /* NULL: packed at each run */
    size_t scratch;       /* to be added to the operator's own */
} tn_qmatmul;

typedef struct tn_qmatmul_call {
    const void *a, *b;
    const tn_tensor *a_zero, *b_zero; /* NULL: 0. One element, or one a row of a (column of b) */
    void *y;
    tn_dtype y_type; /* int32: the sums; int8, uint8: requantized; float32: scaled */
    const float *scale;
    size_t scale_step;      /* 1: scale is [b's matrices, n]; 0: one number */
    const float *row_scale; /* [rows of a], multiplied to it; NULL: 1 */
    int32_t y_zero;
    size_t y_row, y_batch; /* elements from one row, and matrix, of y to the next; 0: dense */
    int only;              /* 1 + the batch that alone is wanted, whose rows of a and matrix of y are given; 0: all */
    bool keeps_b;       /* b and b_zero are those of the last call with this scratch, whose corrections for them hold */
    const float *bias;  /* [n], of float32 */
    const int32_t *add; /* added to the sums; its element (m, n) lies at m * add_row + n * add_step. NULL: 0 */
    size_t add_row, add_step;
} tn_qmatmul_call;

/* Output type of a product of inputs a and b as numpy's matmul has it. */
tn_status tn_infer_matmul(tn_infer *call, int a, int b, int *out_rank, int64_t *out_dims);
/* Fails unless input `in` (a zero point or scale, may be absent) is one element, a vector of one a row (last = false:
 * axis -2) or column (true: axis -1) of input `of`, or of its rank with 1 for the other of both axes. */
tn_status tn_infer_per_line(const tn_infer *call, int in, int of, bool last);

/* For operators whose inputs a and b are of these concrete types. */
tn_status tn_qmatmul_prepare(tn_prepare *call, tn_qmatmul *q, const tn_type *a, bool a_signed, bool trans_a, int b_in,
                             bool trans_b);
void tn_qmatmul_run(const tn_qmatmul *q, const tn_run *run, const tn_qmatmul_call *call, void *scratch);

#endif
