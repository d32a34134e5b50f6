/* Winograd convolution F(2x2, 3x3) of bytes, exact.
 *
 * Lavin and Gray, "Fast algorithms for convolutional neural networks", 2015: a tile of 2x2 outputs comes from 4x4 inputs
 * by 16 multiplications instead of 36, Y = A' [(G g G') * (B' d B)] A, with
 *
 *     B' = 1  0 -1  0     2 G = 2  0  0     A' = 1  1  1  0
 *          0  1  1  0           1  1  1          0  1 -1 -1
 *          0 -1  1  0           1 -1  1
 *          0  1  0 -1           0  0  2
 *
 * With 2 G for G all is integers and comes to 4 Y. Inputs of 8 bits are within +-1020 when transformed, weights within
 * +-1152: words, which the CPUs that have no product of bytes multiply as fast as bytes. The sums are exact modulo 2^32,
 * hence 4 Y wherever that fits 32 bits, and Y is the very number that the plain sum gives. */
#ifndef TN_QWINOGRAD_H
#define TN_QWINOGRAD_H

#include "kernels/kernels.h"

enum {
    TN_QWINOGRAD_TERMS = 16, /* multiplications a tile */
    TN_QWINOGRAD_STEP = 16,  /* channels and maps are multiples of it: columns of a panel */
    /* Beyond, 4 Y might not fit: 4 * 9 * 255 * 128 * channels. */
    TN_QWINOGRAD_CHANNELS = INT32_MAX / (4 * 9 * 255 * 128),
};

/* U = 2 G g (2 G)' of weights w[map][9][channel] as [16] matrices, each in panels of [channels / 2][16][2] words. */
void tn_qwinograd_pack(int16_t *u, const int8_t *w, size_t maps, size_t channels);

#endif
