/* Parameters of the transforms of Winograd convolution F(4x4, 3x3): one channel, float32.
 *
 * Lavin and Gray, "Fast algorithms for convolutional neural networks", 2015: a tile of 4x4 outputs comes from 6x6
 * inputs by 36 multiplications instead of 144, Y = A' [(G g G') * (B' d B)] A. Over all channels the multiplications
 * are 36 matrix products. The points of interpolation are 0, +-sqrt(1/2), +-sqrt(2) and infinity: the matrices' entries
 * stay near one, which keeps the rounding errors a few times those of the plain sum.
 *
 * Tiles of a plane are counted row by row. What is transformed lies in 36 arrays, `step` floats apart, of one float a
 * tile. */
#ifndef TN_WINOGRAD_H
#define TN_WINOGRAD_H

#include "kernels/gemm.h"

enum {
    TN_WINOGRAD_TILE = 4,   /* outputs a side */
    TN_WINOGRAD_PATCH = 6,  /* inputs a side */
    TN_WINOGRAD_TERMS = 36, /* multiplications a tile */
    TN_WINOGRAD_SLACK = 16, /* floats around an array, the widest vector */
};

/* V = B' d B of each tile. */
typedef struct tn_winograd_input {
    const float *x; /* [height, width] */
    size_t height, width;
    ptrdiff_t top, left;  /* where in the image the first tile's patch begins; outside of it are zeros */
    size_t rows, columns; /* of tiles */
    float *v;             /* [36] times [rows * columns]; the TN_WINOGRAD_SLACK floats before each are overwritten */
    size_t step;
    float *buffer; /* of tn_winograd_input_floats */
} tn_winograd_input;

/* Y = epilogue(A' M A). */
typedef struct tn_winograd_output {
    const float *m; /* [36] times [rows * columns]; up to TN_WINOGRAD_SLACK floats behind are read */
    size_t step;
    size_t rows, columns; /* of tiles */
    float *y;             /* [height, width], which may be less than the tiles cover */
    size_t height, width;
    float bias;
    tn_epilogue epilogue; /* its residual (its stride is `width`) and activation */
    float *buffer;        /* of tn_winograd_output_floats */
} tn_winograd_output;

/* The input's rows and columns modulo 4: sixteen planes; its padded rows. */
static inline size_t tn_winograd_plane(size_t rows, size_t columns) {
    return (rows + 1) * (columns + 1) + TN_WINOGRAD_SLACK;
}
static inline size_t tn_winograd_input_floats(size_t rows, size_t columns) {
    return 16 * tn_winograd_plane(rows, columns) + (4 * rows + 2) * 4 * (columns + 1) + 5 * TN_WINOGRAD_SLACK;
}
/* Four rows of outputs of all tiles. */
static inline size_t tn_winograd_output_floats(size_t rows, size_t columns) {
    return 16 * (rows * columns + TN_WINOGRAD_SLACK);
}

#endif
