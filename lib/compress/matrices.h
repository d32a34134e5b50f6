/* What the passes of weights share: finding the products with constant matrices, runs on samples, and reports. */
#ifndef TN_COMPRESS_MATRICES_H
#define TN_COMPRESS_MATRICES_H

#include <tenon/weights.h>
#include "graph/op.h"

/* Sorts and infers, as every pass wants it. */
tn_status tn_weights_begin(tn_graph *graph, tn_weights_report *report);
/* Drops what nobody reads, infers again, and copies the report to the host's, which may be shorter or NULL. */
tn_status tn_weights_end(tn_graph *graph, tn_weights_report *report, tn_weights_report *out_report);
/* shapes.c: of a sorted and inferred graph, which stays so. */
tn_status tn_settle_shapes(tn_graph *graph);
/* Bytes of all constants that the graph and its bodies read. */
int64_t tn_weights_bytes(const tn_graph *graph);
/* Sums of squares, to make the report's error of. */
typedef struct tn_weights_error {
    double difference, whole;
} tn_weights_error;
void tn_weights_compare(tn_weights_error *error, const float *before, const float *after, size_t count);
double tn_weights_relative(const tn_weights_error *error);

/* A node whose product has a constant float32 matrix: MatMul, or Gemm with transA = 0. Weights are seen as [n, k]: a row
 * for each output. */
typedef struct tn_linear {
    int node, weight; /* value */
    size_t n, k;
    bool rows;   /* they lie so; else [k, n] */
    float alpha; /* to be multiplied in */
    int readers; /* tn_layers_collect: how many read the weight */
} tn_linear;
bool tn_linear_find(const tn_graph *graph, int node, tn_linear *out_linear);
/* A copy as [n, k], alpha included. NULL on failure. */
float *tn_linear_read(const tn_graph *graph, const tn_linear *linear, tn_region *region);
/* Makes the constant, for all that read it, what w[n, k] says; alpha is not divided out. */
tn_status tn_linear_write(tn_graph *graph, const tn_linear *linear, const float *w);
/* Each constant that Conv (if `convolutions`), MatMul or Gemm multiply by, once, by the first node that does; weights of
 * Conv as [outputs, the rest]. Alpha is 1. Those of nodes that `keep` names are left out. */
tn_status tn_layers_collect(const tn_graph *graph, bool convolutions, const char *keep, tn_region *region,
                            tn_linear **out_layers, int *out_count);
/* Fails with the constant's name if it has NaN or infinity. */
tn_status tn_weights_finite(const tn_graph *graph, int value);

/* Runs a copy of the graph on samples, and shows `see` what the values hold, after each run, in order; values NULL: what
 * its outputs hold. */
tn_status tn_observe(const tn_graph *graph, int count, const int *values, const tn_tensor *const *samples,
                     size_t sample_count, tn_status (*see)(void *context, int which, const tn_tensor *tensor),
                     void *context);

/* What float32 outputs of all runs were, one after the other, and what those of others differ from it. */
typedef struct tn_outputs {
    tn_region *region; /* set by the caller */
    const float **values;
    size_t *sizes; /* how many each has; infinity is what one of another size differs by */
    size_t count, at, most;
    bool compares;
    tn_weights_error error;
} tn_outputs;
tn_status tn_outputs_collect(tn_outputs *seen, const tn_graph *graph, const tn_tensor *const *samples,
                             size_t sample_count);
/* Norm of the difference by the norm. */
tn_status tn_outputs_compare(tn_outputs *seen, const tn_graph *graph, const tn_tensor *const *samples,
                             size_t sample_count, double *out_error);

/* What samples say of the inputs of a product: sums over all rows of activations x[k]. */
typedef struct tn_activations {
    int value;
    size_t k, rows;
    bool wants_products; /* set by the caller */
    double *products;    /* x x^T, [k, k], if they are wanted */
    double *sizes;       /* |x| */
    double *squares;     /* x^2 */
} tn_activations;
/* Of `count` values whose last axis is k; fills in the rest. Memory is the region's. */
tn_status tn_activations_collect(const tn_graph *graph, int count, tn_activations *all, const tn_tensor *const *samples,
                                 size_t sample_count, tn_region *region);

/* linalg.c: OpenBLAS, or a sentence that says that it was left out. */
/* The upper triangle U, by rows, with U^T U = (h + damping x mean of the diagonal)^-1. h[n, n] is overwritten. */
tn_status tn_inverse_cholesky(double *h, size_t n, double damping);
/* products[k, k] += the sum over rows of x[rows, k] of x x^T: the upper triangle alone. */
tn_status tn_add_products(double *products, const float *x, size_t rows, size_t k);
/* w[n, k] = u[n, r] diag(s[r]) v[r, k], r the lesser of n and k, s descending. w is overwritten. */
tn_status tn_singular_values(float *w, size_t n, size_t k, float *u, float *s, float *v);
/* c[m, n] = a[m, k] b[k, n]. */
tn_status tn_matrix_product(const float *a, const float *b, float *c, size_t m, size_t n, size_t k);

#endif
