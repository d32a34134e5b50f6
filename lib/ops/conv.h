/* What the convolution operators share. Layouts are ONNX's: X [batch, channels, spatial...], W [outputs,
 * channels / group, kernel...], Y [batch, outputs, spatial...]. */
#ifndef TN_OPS_CONV_H
#define TN_OPS_CONV_H

#include "kernels/product.h"
#include "ops/elements.h"
#include "ops/window.h"

typedef struct tn_conv_shape {
    tn_window window;
    int64_t batch, channels, outputs, group;
    int64_t in_plane, out_plane; /* elements of a channel */
    int64_t taps;                /* elements of a kernel */
} tn_conv_shape;

/* Checks inputs X, W and B of a convolution and decodes its geometry; transposed: W is [channels, outputs / group,
 * kernel...]. Sizes that are unknown are -1 (in the window: or symbols); *out_known tells whether the ranks are known,
 * without which nothing else is set. */
tn_status tn_conv_infer(const tn_infer *call, bool transposed, tn_conv_shape *shape, bool *out_known);
/* The same in prepare, where all is known. */
tn_status tn_conv_read(const tn_prepare *call, bool transposed, tn_conv_shape *shape);
/* The same of a node and types whose ranks are known: decode's geometry, and with the output's sizes. */
tn_status tn_conv_decode(const tn_node *node, const tn_type *x, const tn_type *w, bool transposed,
                         tn_conv_shape *shape);
tn_status tn_conv_measure(const tn_node *node, const tn_type *x, const tn_type *w, const tn_type *y, bool transposed,
                          tn_conv_shape *shape);

/* Into how many parts an image of `rows` rows is cut: where planes are large, threads take rows of their own, as they do
 * in products (product.h), and find in their caches what they wrote. */
static inline int64_t tn_conv_parts(const tn_conv_shape *s, int threads, int64_t rows) {
    const bool large = s->window.spatial > 1 && tn_planes_in_parts(s->batch, s->in_plane, threads);
    return large && rows >= threads ? threads : 1;
}

/* The constant weights of input 1 packed for products, one of `group` after the other. */
tn_status tn_conv_pack(tn_prepare *call, const tn_product *product, int64_t group, const float **out_weights);

/* Any float32 convolution. Adds to call->scratch what run needs; *out_product says how one group's weights
 * [outputs, channels * taps] are to be packed. */
typedef struct tn_conv_image tn_conv_image;
tn_status tn_conv_image_prepare(tn_prepare *call, const tn_conv_shape *shape, tn_conv_image **out_image,
                                const tn_product **out_product);
/* scratch: its part of the scratch memory. w: packed, group after group. epilogue: row_bias [outputs], residual like y.
 */
void tn_conv_image_run(const tn_run *call, const tn_conv_image *image, void *scratch, const float *x, const float *w,
                       float *y, const tn_epilogue *epilogue);

/* Where constant weights meet few output positions. Adds to call->scratch what run needs; its own memory is the first of
 * it. */
typedef struct tn_conv_few tn_conv_few;
bool tn_conv_few_fits(const tn_conv_shape *shape, const tn_kernels *kernels);
tn_status tn_conv_few_prepare(tn_prepare *call, const tn_conv_shape *shape, tn_conv_few **out_few);
/* epilogue: row_bias [outputs], residual like y. */
void tn_conv_few_run(const tn_run *call, const tn_conv_few *few, const float *x, float *y, const tn_epilogue *epilogue);

/* 3x3 kernels one element apart, by fewer multiplications. Whether that pays and the weights are known: */
typedef struct tn_conv_winograd tn_conv_winograd;
bool tn_conv_winograd_fits(const tn_prepare *call, const tn_conv_shape *shape);
/* Adds to call->scratch what run needs; its own memory is the first of it. */
tn_status tn_conv_winograd_prepare(tn_prepare *call, const tn_conv_shape *shape, tn_conv_winograd **out_winograd);
tn_status tn_conv_winograd_pack(tn_prepare *call, const tn_conv_winograd *winograd, const float **out_weights);
/* packed: by tn_conv_winograd_pack, which gives NULL where the weights are no constant; then w is packed in the run.
 * epilogue: row_bias [outputs], residual like y. */
void tn_conv_winograd_run(const tn_run *call, const tn_conv_winograd *winograd, const float *x, const float *w,
                          const float *packed, float *y, const tn_epilogue *epilogue);

/* What kernels that know no residual leave undone: adds `n` elements of it from `at` on, both in the order of
 * y, and activates the sums. */
void tn_conv_add_residual(const tn_kernels *kernels, const tn_epilogue *epilogue, size_t at, size_t n, float *y);

/* Depthwise convolution, each channel with kernels of its own, of 1 or 2 spatial axes. */
typedef struct tn_conv_depthwise tn_conv_depthwise;
bool tn_conv_depthwise_fits(const tn_conv_shape *shape);
/* Whether it reads the image where it lies: no copy makes short rows slow. */
bool tn_conv_depthwise_in_place(const tn_prepare *call, const tn_conv_shape *shape);
/* Adds to call->scratch what run needs; its own memory is the first of it. most_rows: of the output, that a band has. */
tn_status tn_conv_depthwise_prepare(tn_prepare *call, const tn_conv_shape *shape, int64_t most_rows,
                                    tn_conv_depthwise **out_depthwise);
/* epilogue: row_bias [outputs], residual like y. */
void tn_conv_depthwise_run(const tn_run *call, const tn_conv_depthwise *depthwise, const float *x, const float *w,
                           float *y, const tn_epilogue *epilogue);

/* Its pieces, for who makes the input band by band. Rows of the image that band `band` reads, [first, end). */
int64_t tn_conv_depthwise_bands(const tn_conv_depthwise *depthwise);
/* Into how many parts of about equally many bands an image is cut, so that a thread meets the rows again that it made. */
int64_t tn_conv_depthwise_parts(const tn_conv_depthwise *depthwise);
void tn_conv_depthwise_reads(const tn_conv_depthwise *depthwise, int64_t band, int64_t *first, int64_t *end);
size_t tn_conv_depthwise_buffer(const tn_conv_depthwise *depthwise); /* floats */
/* One channel's part of a band: x are its rows from `first` on, y its plane of the output; bias: its own. buffer: zeros
 * but for what another channel of the band left there. */
typedef struct tn_conv_band {
    const tn_conv_depthwise *depthwise;
    const tn_kernels *kernels;
    const tn_epilogue *epilogue; /* its activation */
    int64_t band;
    float *buffer;
} tn_conv_band;
void tn_conv_depthwise_channel(const tn_conv_band *band, const float *x, const float *w, float bias, float *y);

/* The same for small planes. Adds to call->scratch likewise. w: read where the weights are no constant. */
typedef struct tn_conv_lanes tn_conv_lanes;
bool tn_conv_lanes_fits(const tn_prepare *call, const tn_conv_shape *shape);
tn_status tn_conv_lanes_prepare(tn_prepare *call, const tn_conv_shape *shape, tn_conv_lanes **out_lanes);
void tn_conv_lanes_run(const tn_run *call, const tn_conv_lanes *lanes, const float *x, const float *w, float *y,
                       const tn_epilogue *epilogue);

/* Convolution in float64 of inputs 0 and 1, with input 2 as bias and input 3 as residual if they are there. */
typedef struct tn_conv_f64 tn_conv_f64;
tn_status tn_conv_f64_prepare(tn_prepare *call, const tn_conv_shape *shape, tn_conv_f64 **out);
void tn_conv_f64_run(const tn_run *call, const tn_conv_f64 *conv, const tn_epilogue *epilogue);

#endif
