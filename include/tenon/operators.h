/* Operators on tensors, without any model: Tenon as a tensor library.
 *
 * Every function makes a new, dense tensor that the caller destroys; inputs may be views of any strides. Shapes broadcast
 * as numpy's do. Operators, their dtypes and their corner cases are ONNX's (onnx.ai/onnx/operators); tn_apply reaches all
 * of them by name. On failure *out_tensor is NULL.
 *
 *     tn_tensor *y;
 *     if (tn_matmul(a, b, &y) != TN_OK) fprintf(stderr, "%s\n", tn_last_error());
 *
 * Thread-safety: any number of calls at once; each works on its caller's thread alone. They allocate; what must not is
 * built as a graph and run by a session. */
#ifndef TENON_OPERATORS_H
#define TENON_OPERATORS_H

#include <tenon/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Any operator: "Relu" or "domain:Name"; in[i] of NULL is an absent optional input. Makes out_count tensors; attributes (a
 * list that ends with a NULL name) may be NULL. Not for operators with subgraphs, nor for sequences. */
TN_API tn_status tn_apply(const char *op, int in_count, const tn_tensor *const *in, int out_count, tn_tensor **out,
                          const tn_attribute *attributes);

/* [..., M, K] times [..., K, N]. */
TN_API tn_status tn_matmul(const tn_tensor *a, const tn_tensor *b, tn_tensor **out_tensor);

/* Geometry of convolutions and pools over up to 3 axes; all zero is the default: kernel of the weights (or 1), stride 1,
 * dilation 1, no padding, one group. pads: those before each axis, then those behind. */
typedef struct tn_window {
    size_t struct_size;
    int64_t kernel[3], strides[3], dilations[3], pads[6];
    int64_t groups;
} tn_window;

/* x [N, C, H, W] (one to three axes behind C), w [M, C / groups, kH, kW], bias [M] or NULL; window may be NULL. */
TN_API tn_status tn_conv(const tn_tensor *x, const tn_tensor *w, const tn_tensor *bias, const tn_window *window,
                         tn_tensor **out_tensor);
/* x [N, C, H, W]; window->kernel is what is pooled. Padding does not count into averages. */
TN_API tn_status tn_max_pool(const tn_tensor *x, const tn_window *window, tn_tensor **out_tensor);
TN_API tn_status tn_average_pool(const tn_tensor *x, const tn_window *window, tn_tensor **out_tensor);

/* Elementwise, broadcasting. */
TN_API tn_status tn_add(const tn_tensor *a, const tn_tensor *b, tn_tensor **out_tensor);
TN_API tn_status tn_sub(const tn_tensor *a, const tn_tensor *b, tn_tensor **out_tensor);
TN_API tn_status tn_mul(const tn_tensor *a, const tn_tensor *b, tn_tensor **out_tensor);
TN_API tn_status tn_div(const tn_tensor *a, const tn_tensor *b, tn_tensor **out_tensor);
TN_API tn_status tn_pow(const tn_tensor *a, const tn_tensor *b, tn_tensor **out_tensor);
TN_API tn_status tn_minimum(const tn_tensor *a, const tn_tensor *b, tn_tensor **out_tensor);
TN_API tn_status tn_maximum(const tn_tensor *a, const tn_tensor *b, tn_tensor **out_tensor);
/* Give bool. */
TN_API tn_status tn_equal(const tn_tensor *a, const tn_tensor *b, tn_tensor **out_tensor);
TN_API tn_status tn_greater(const tn_tensor *a, const tn_tensor *b, tn_tensor **out_tensor);
TN_API tn_status tn_less(const tn_tensor *a, const tn_tensor *b, tn_tensor **out_tensor);
/* a where condition (bool), else b. */
TN_API tn_status tn_where(const tn_tensor *condition, const tn_tensor *a, const tn_tensor *b, tn_tensor **out_tensor);

/* Elementwise. */
TN_API tn_status tn_abs(const tn_tensor *x, tn_tensor **out_tensor);
TN_API tn_status tn_neg(const tn_tensor *x, tn_tensor **out_tensor);
TN_API tn_status tn_exp(const tn_tensor *x, tn_tensor **out_tensor);
TN_API tn_status tn_log(const tn_tensor *x, tn_tensor **out_tensor);
TN_API tn_status tn_sqrt(const tn_tensor *x, tn_tensor **out_tensor);
TN_API tn_status tn_erf(const tn_tensor *x, tn_tensor **out_tensor);
TN_API tn_status tn_tanh(const tn_tensor *x, tn_tensor **out_tensor);
TN_API tn_status tn_sigmoid(const tn_tensor *x, tn_tensor **out_tensor);
TN_API tn_status tn_relu(const tn_tensor *x, tn_tensor **out_tensor);
TN_API tn_status tn_gelu(const tn_tensor *x, tn_tensor **out_tensor);
/* To another dtype, as ONNX's Cast: floats to integers towards zero. */
TN_API tn_status tn_cast(const tn_tensor *x, tn_dtype dtype, tn_tensor **out_tensor);

/* Along `axis`, which may be negative: from the end. */
TN_API tn_status tn_softmax(const tn_tensor *x, int axis, tn_tensor **out_tensor);
TN_API tn_status tn_log_softmax(const tn_tensor *x, int axis, tn_tensor **out_tensor);
/* Over the last axis, whose length scale and bias have; bias may be NULL. */
TN_API tn_status tn_layer_norm(const tn_tensor *x, const tn_tensor *scale, const tn_tensor *bias, float epsilon,
                               tn_tensor **out_tensor);
/* Over `count` axes, all of them if count is 0; keep: they stay with length 1. */
TN_API tn_status tn_reduce_sum(const tn_tensor *x, int count, const int64_t *axes, bool keep, tn_tensor **out_tensor);
TN_API tn_status tn_reduce_mean(const tn_tensor *x, int count, const int64_t *axes, bool keep, tn_tensor **out_tensor);
TN_API tn_status tn_reduce_max(const tn_tensor *x, int count, const int64_t *axes, bool keep, tn_tensor **out_tensor);
TN_API tn_status tn_reduce_min(const tn_tensor *x, int count, const int64_t *axes, bool keep, tn_tensor **out_tensor);
TN_API tn_status tn_reduce_prod(const tn_tensor *x, int count, const int64_t *axes, bool keep, tn_tensor **out_tensor);
/* Where the first largest is: int64. */
TN_API tn_status tn_argmax(const tn_tensor *x, int axis, bool keep, tn_tensor **out_tensor);

/* Axis i of the result is axis order[i] of x; order NULL: reversed. */
TN_API tn_status tn_transpose(const tn_tensor *x, const int64_t *order, tn_tensor **out_tensor);
/* One dim may be -1: what is left. */
TN_API tn_status tn_reshape(const tn_tensor *x, int rank, const int64_t *dims, tn_tensor **out_tensor);
TN_API tn_status tn_concat(int count, const tn_tensor *const *tensors, int axis, tn_tensor **out_tensor);
/* Slices along `axis` at the given int64 or int32 indices, negative ones from the end. */
TN_API tn_status tn_gather(const tn_tensor *x, const tn_tensor *indices, int axis, tn_tensor **out_tensor);
/* pads: before each axis, then behind each (2 * rank numbers); value: one element of x's dtype, NULL: zero. */
TN_API tn_status tn_pad(const tn_tensor *x, const int64_t *pads, const tn_tensor *value, tn_tensor **out_tensor);

#ifdef __cplusplus
}
#endif
#endif
