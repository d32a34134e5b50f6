/* 8-bit tensors with channels last: what the kernels of qlast.inc ask of their callers.
 *
 * A depthwise convolution takes `block` channels at a time, 16 bytes of them in each part of a vector, and `group` taps
 * at a time, whose bytes it weaves so that one instruction multiplies and adds them. Four accumulators hold channels
 * 0-3, 4-7, 8-11 and 12-15 of each 16: what unpacking gives and packing takes back. Weights, offsets and scales lie in
 * that order, block by block:
 *
 *     w[block][taps / group][4][block / 16][4][group], of `size` bytes each; offset, scale [block][4][block / 16][4] */
#ifndef TN_QLAST_H
#define TN_QLAST_H

#include "kernels/kernels.h"

/* Room that rows of columns have beyond their end: a multiple of every vector. */
#define TN_QLAST_PAD 16
/* Most taps of a depthwise convolution. */
#define TN_QLAST_TAPS 128

/* How sums become bytes: what qfinish takes, from a first map on. */
typedef struct tn_qfinish {
    const int32_t *offset;
    const float *scale;
    int32_t zero, low, high;
} tn_qfinish;

typedef struct tn_qdepth_layout {
    int block, group, size;
} tn_qdepth_layout;

const tn_qdepth_layout *tn_qdepth_layout_of(const tn_kernels *kernels);

/* Channels rounded up to whole blocks: the length of packed offsets and scales. */
size_t tn_qdepth_channels(const tn_qdepth_layout *layout, size_t channels);
size_t tn_qdepth_w_bytes(const tn_qdepth_layout *layout, size_t channels, size_t taps);
/* w[channel * taps + tap], signed. */
void tn_qdepth_pack_w(const tn_qdepth_layout *layout, void *dst, const int8_t *w, size_t channels, size_t taps);
/* Elements of 4 bytes, one a channel. */
void tn_qdepth_pack_row(const tn_qdepth_layout *layout, void *dst, const void *row, size_t channels);

#endif
