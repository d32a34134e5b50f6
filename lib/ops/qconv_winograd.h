/* Convolution of bytes with channels last, 3x3 kernels and strides of 1, by kernels/qwinograd.h: the same bits as the plain
 * way, with four of nine multiplications. For CPUs whose fastest exact product is of words. */
#ifndef TN_OPS_QCONV_WINOGRAD_H
#define TN_OPS_QCONV_WINOGRAD_H

#include "kernels/qgemm.h"
#include "kernels/qlast.h"
#include "ops/window.h"

typedef struct tn_qwinograd {
    size_t channels, maps;
    size_t in[2], out[2], pad[2]; /* height and width; pad: above and to the left */
    size_t rows, columns;         /* of tiles */
    size_t height, blocks;        /* rows of tiles in a block; blocks of an image */
    size_t slot_bytes;            /* scratch of a block in work */
    const int16_t *u;
} tn_qwinograd;

/* Whether it can be done and pays. */
bool tn_qwinograd_plan(tn_qwinograd *q, const tn_qgemm_layout *layout, const tn_window *window, size_t channels,
                       size_t maps, size_t wanted_blocks);
/* Packs the constant input w_in, int8 [maps, 3, 3, channels]. */
tn_status tn_qwinograd_prepare(tn_qwinograd *q, tn_prepare *call, int w_in);
/* Block `block` of an image: the rows of y that it covers are [*out_first, *out_first + *out_rows). padding: a pixel of
 * zero points. */
void tn_qwinograd_block(const tn_qwinograd *q, const tn_kernels *kernels, const tn_qfinish *finish, uint8_t *y,
                        const uint8_t *x, const uint8_t *padding, size_t block, void *slot, size_t *out_first,
                        size_t *out_rows);

#endif
