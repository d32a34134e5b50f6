/* Sliding windows: the geometry that convolution and pooling share, decoded from kernel_shape, strides, dilations,
 * pads, auto_pad and ceil_mode of a node. Spatial axes only; arrays are indexed from the outermost one.
 *
 * Window position o of an axis covers the input at o * stride - pad_begin + k * dilation for k in [0, kernel). */
#ifndef TN_OPS_WINDOW_H
#define TN_OPS_WINDOW_H

#include "graph/op.h"

#define TN_MAX_SPATIAL (TN_MAX_RANK - 2)

typedef struct tn_window {
    int spatial;                                     /* axes */
    int64_t in[TN_MAX_SPATIAL], out[TN_MAX_SPATIAL]; /* as in tn_type: -1 unknown, below that a symbol */
    int64_t kernel[TN_MAX_SPATIAL];                  /* -1 unknown */
    int64_t stride[TN_MAX_SPATIAL], dilation[TN_MAX_SPATIAL];
    int64_t pad_begin[TN_MAX_SPATIAL], pad_end[TN_MAX_SPATIAL]; /* 0 where auto_pad needs a dim that is unknown */
} tn_window;

/* Decodes and checks the attributes and computes `out`. in_dims: `spatial` dims of the input, which may be unknown or
 * symbols. kernel: the kernel's dims where weights give them (kernel_shape, if there, must agree); NULL: kernel_shape
 * is required. Once all dims are known, the sizes of a padded axis and of a kernel's reach fit an int64_t by far. */
tn_status tn_window_decode(tn_window *window, const tn_node *node, int spatial, const int64_t *in_dims,
                           const int64_t *kernel);

/* The parts of it that transposed convolution needs too: reads and checks kernel, stride, dilation and pads (explicit
 * ones), and leaves `in` and `out` alone. */
tn_status tn_window_attributes(tn_window *window, const tn_node *node, int spatial, const int64_t *kernel);

/* Leaves out axes along which there is nothing to do, all but one: whichever way a signal was written, as [n, 1] or as
 * [1, n], the last axis is then the one that vectors run along. All sizes must be known. */
void tn_window_drop_unit_axes(tn_window *window);

/* How far a kernel reaches: (kernel - 1) * dilation + 1. */
static inline int64_t tn_window_reach(const tn_window *window, int axis) {
    return (window->kernel[axis] - 1) * window->dilation[axis] + 1;
}

/* Of the positions i in [0, count), those whose start + i * stride lies in [0, size): [*from, *to). */
static inline void tn_window_inside(int64_t start, int64_t stride, int64_t count, int64_t size, int64_t *from,
                                    int64_t *to) {
    *from = start < 0 ? (-start + stride - 1) / stride : 0;
    *to = start < size ? (size - 1 - start) / stride + 1 : 0;
    *from = TN_MIN(*from, count);
    *to = TN_MAX(TN_MIN(*to, count), *from);
}

/* Outer axes are all but the last: where in the input the row begins that outer tap `tap` of outer position `row` (both
 * counted through) meets; -1: in the padding. */
static inline int64_t tn_window_row(const tn_window *w, int64_t row, int64_t tap) {
    int64_t at = 0, step = w->in[w->spatial - 1];
    for (int axis = w->spatial - 2; axis >= 0; axis--) {
        int64_t i =
            row % w->out[axis] * w->stride[axis] - w->pad_begin[axis] + tap % w->kernel[axis] * w->dilation[axis];
        if (i < 0 || i >= w->in[axis]) return -1;
        at += i * step;
        step *= w->in[axis];
        row /= w->out[axis];
        tap /= w->kernel[axis];
    }
    return at;
}

/* Which element of a channel output position `at` meets through a tap; -1: padding. */
static inline int64_t tn_window_element(const tn_window *w, int64_t at, int64_t tap) {
    int64_t from = 0, step = 1;
    for (int axis = w->spatial - 1; axis >= 0; axis--) {
        int64_t i =
            at % w->out[axis] * w->stride[axis] - w->pad_begin[axis] + tap % w->kernel[axis] * w->dilation[axis];
        if (i < 0 || i >= w->in[axis]) return -1;
        from += i * step;
        step *= w->in[axis];
        at /= w->out[axis];
        tap /= w->kernel[axis];
    }
    return from;
}

#endif
