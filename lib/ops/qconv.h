/* Convolution of 8-bit integers with zero points: the core of ConvInteger and QLinearConv.
 *
 *     y[n, m, o] = finish(sum over c and taps of (x[n, c, o * stride + tap] - x_zero) * (w[m, c, tap] - w_zero[m]))
 *
 * Padding holds x_zero. Exact in 32 bits (modulo 2^32), whatever the CPU level and thread count. */
#ifndef TN_OPS_QCONV_H
#define TN_OPS_QCONV_H

#include "kernels/qgemm.h"
#include "ops/window.h"

typedef struct tn_qconv {
    const tn_qgemm_layout *layout;
    tn_window window;
    size_t batch, channels, maps, groups; /* x is [batch, channels, ...], y [batch, maps, ...] */
    size_t taps, in_pixels, pixels;
    bool x_signed, w_signed, depthwise;
    size_t k;             /* packed: taps * channels of a group, padded */
    size_t block, wave;   /* pixels packed at once; blocks (or planes) in work at once */
    size_t w_bytes;       /* packed weights with their row sums */
    const void *w_packed; /* NULL: packed at each run */
    size_t slot_bytes;    /* of a block or plane in scratch */
    size_t scratch;
} tn_qconv;

typedef struct tn_qconv_call {
    const uint8_t *x, *w;
    int32_t x_zero;
    const tn_tensor *w_zero; /* NULL: 0; one element or `maps` */
    const int32_t *bias;     /* [maps] or NULL */
    void *y;
    tn_dtype y_type;    /* int32: the sums; else requantized */
    const float *scale; /* one for each map, `scale_step` apart (0 or 1) */
    size_t scale_step;
    int32_t y_zero;
} tn_qconv_call;

/* Checks x and w and gives the output's dims. */
tn_status tn_infer_qconv(tn_infer *call, int x, int w, int *out_rank, int64_t *out_dims);
tn_status tn_qconv_prepare(tn_prepare *call, tn_qconv *q, int x_in, int w_in);
void tn_qconv_run(const tn_qconv *q, const tn_run *run, const tn_qconv_call *call, void *scratch);

#endif
