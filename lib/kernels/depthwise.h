/* Parameters of the depthwise convolution kernels: one channel, float32.
 *
 * The input is a padded copy of the channel's rows: padding is there as zeros, and where the stride along a row is s > 1, a
 * row holds its columns 0, s, 2s..., then 1, s + 1... and so on. So every tap of the kernel is a run of consecutive floats:
 * tap (i, j) of output (y, x) lies at row y * stride_y + i * dilation_y, at offset[j] + x. Rows are readable up to the
 * width rounded up to 16. An output's terms are added row by row of the kernel.
 *
 * depthwise_square_f32 is for kernels of 3x3 and 5x5 with steps of 1 or 2, stride_x at most stride_y; rows of padding are not
 * read. Where the kernels say depthwise_in_place, it reads rows of the image as they are. */
#ifndef TN_DEPTHWISE_H
#define TN_DEPTHWISE_H

#include "kernels/gemm.h"

#define TN_DEPTHWISE_ROUND 16 /* the widest vector */

typedef struct tn_depthwise_f32 {
    size_t rows, width; /* of the output */
    size_t kernel_h, kernel_w, stride_y, stride_x, dilation_y;
    const size_t *offset; /* [kernel_w] */
    const float *x;
    size_t x_stride;
    const float *weights; /* [kernel_h][kernel_w] */
    float bias;
    float *y;
    size_t y_stride;
    tn_epilogue epilogue; /* its activation */
    const float *const
        *x_rows;               /* of depthwise_square_f32: [(rows - 1) * stride_y + kernel_h]; NULL: a row of padding */
    ptrdiff_t in_width, pad_x; /* in place: of the image's rows, and left of them */
} tn_depthwise_f32;

/* The same where planes are small: lanes are 16 channels, elements of a plane lie one after the other. What a tap of a
 * position meets is told by a table, so that padding, strides and dilations cost nothing. */
#define TN_DEPTHWISE_LANES 16

typedef struct tn_depthwise_lanes_f32 {
    size_t positions, taps;
    const uint32_t *offset; /* [positions][taps]: floats from x on; padding is a place of zeros */
    const float *x;         /* [elements][16] */
    const float *weights;   /* [taps][16] */
    const float *bias;      /* [16] */
    float *y;               /* [positions][16] */
    tn_epilogue epilogue;   /* its activation */
} tn_depthwise_lanes_f32;

#endif
