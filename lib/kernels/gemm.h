/* Parameters of the matrix product kernels: tiles of C[m,n] = epilogue(A[m,k] * B[k,n]), float32.
 *
 * A is packed: panels of `rows` rows, each [k][rows]; the last panel has the rows that are left, [k][rows left]. B is
 * one panel of at most `columns` columns (gemm_f32_tile tells both numbers): k rows of `columns` readable floats (or of
 * n, rounded up to whole vectors), b_stride apart or each at an offset of its own. So a panel either lies in a matrix or
 * an image as it is, or is a packed copy padded with zeros. A product whose k
 * is done in blocks calls the kernel for each block in turn; C holds the sums meanwhile. An element's terms are added in
 * order of k, however the product is cut into tiles. */
#ifndef TN_GEMM_H
#define TN_GEMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What becomes of the sum x. alpha and beta are those of ONNX's operators. */
typedef enum tn_act {
    TN_ACT_NONE,
    TN_ACT_CLIP,         /* to [alpha, beta]: Relu, Clip */
    TN_ACT_LEAKY_RELU,   /* x < 0 ? alpha * x : x */
    TN_ACT_HARD_SIGMOID, /* clip(alpha * x + beta, 0, 1) */
    TN_ACT_HARD_SWISH,   /* x * clip(x / 6 + 1/2, 0, 1) + alpha */
    TN_ACT_SIGMOID,
    TN_ACT_TANH,
    TN_ACT_SWISH,     /* x * sigmoid(alpha * x) */
    TN_ACT_GELU,      /* x / 2 * (1 + erf(x / sqrt 2)) */
    TN_ACT_GELU_TANH, /* its approximation by tanh */
} tn_act;

/* y = activation(sum + row_bias[i] + column_bias[j] + residual[i][j]); what is NULL is left out. */
typedef struct tn_epilogue {
    const float *row_bias, *column_bias;
    const float *residual; /* may be C itself */
    size_t residual_stride;
    tn_act activation;
    float alpha, beta;
} tn_epilogue;

typedef struct tn_gemm_f32 {
    size_t m, n, k; /* n <= columns, unless b_panel is set */
    size_t rows;    /* of A's panels, at most the tile's */
    const float *a;
    size_t a_panel; /* floats from one panel to the next */
    size_t a_skip;  /* steps of k that are skipped in each panel */
    const float *b;
    size_t b_stride, b_panel; /* b_panel: floats from one panel of B to the next, where there are several */
    const uint32_t *b_offset; /* [k], or NULL: row i of B lies at b + b_offset[i] instead */
    const float *ahead;       /* NULL, or k rows, ahead_stride floats apart, of n floats that are needed next */
    size_t ahead_stride;
    /* NULL, or what is needed soon, from memory: next_floats floats while a panel of rows of A is gone through. */
    const float *next;
    size_t next_floats, next_panel; /* next_panel: floats from those of one panel to those of the next */
    float *c;
    size_t c_stride;
    bool first, last;     /* block of k: starts from the biases and the residual, ends with the activation */
    tn_epilogue epilogue; /* its pointers at this tile's first row and column */
} tn_gemm_f32;

/* A piece of a row that is put together from several: count floats from src + from on go to dst + to. */
typedef struct tn_gather_run {
    size_t from, to, count;
} tn_gather_run;
#define TN_GATHER_RUNS 64 /* columns of the widest panel */

/* y[n] = epilogue(x[k] * B[k,n]), one row; B in panels of `columns` columns, b_panel floats apart, whose rows are
 * b_stride floats apart: packed panels, or (b_panel = columns) a matrix as it is, of which no column past n is read. */
typedef struct tn_gemv_f32 {
    size_t n, k;
    const float *x;
    const float *b;
    size_t b_panel, b_stride;
    float *y;
    tn_epilogue epilogue; /* row_bias is that of the one row */
} tn_gemv_f32;

#endif
