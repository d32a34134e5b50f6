/* Parameters of the matrix products with bfloat16 factors and float32 sums: C = epilogue(A * B).
 *
 * k is padded with zeros to whole steps of TN_BF16_STEP. A lies in rows, one after the other; B in panels of
 * TN_BF16_COLUMNS columns, padded with zeros too, each [k / 2][columns][2]: pairs of k that are multiplied together lie
 * side by side. These are what the tiles of AMX and the dot products of AVX512_BF16 read, so no level needs another
 * order, and packing is where floats are rounded. */
#ifndef TN_GEMM_BF16_H
#define TN_GEMM_BF16_H

#include "kernels/gemm.h"

enum { TN_BF16_STEP = 32, TN_BF16_COLUMNS = 32, TN_BF16_ROWS = 32 /* that a call is best a multiple of */ };

typedef struct tn_gemm_bf16 {
    size_t m, n, k; /* k as it is, not padded */
    const uint16_t *a, *b;
    size_t b_panel; /* elements from one panel of b to the next; the panels may go on beyond k */
    bool b_goes_on; /* and do, with values that are not zero */
    float *c;       /* is written, never read */
    size_t c_stride;
    tn_epilogue epilogue; /* its pointers at the first row and column */
} tn_gemm_bf16;

static inline size_t tn_bf16_k(size_t k) {
    return (k + TN_BF16_STEP - 1) / TN_BF16_STEP * TN_BF16_STEP;
}

#endif
