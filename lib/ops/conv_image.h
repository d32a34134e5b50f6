/* What the parts of conv_image.c share: the padded copy of an image, and a run over it. */
#ifndef TN_OPS_CONV_IMAGE_H
#define TN_OPS_CONV_IMAGE_H

#include "ops/conv.h"

enum { TN_CONV_SLACK = 64 }; /* floats behind the copy, and behind a panel, that the last vectors may touch */

/* A part of the padded copy of a channel. */
typedef struct tn_conv_phase {
    int64_t first[TN_MAX_SPATIAL]; /* element of the image at place 0 of each axis, may be negative */
} tn_conv_phase;

struct tn_conv_image {
    tn_conv_shape shape;
    tn_product
        product; /* of one group; its columns are positions; where panels are not packed, counted in whole panels */
    tn_conv_phase *phases;
    int64_t phase_count, period[TN_MAX_SPATIAL];
    int64_t length[TN_MAX_SPATIAL], stride[TN_MAX_SPATIAL]; /* of a phase's axes, in elements */
    int64_t phase_size, channel_size;
    uint32_t *offsets;            /* [k] of one group, from its first channel on */
    bool packed;                  /* panels of positions are packed */
    bool rows;                    /* else: positions are taken row by row */
    size_t copies;                /* 1, or one for each thread: then an image is one thread's */
    int64_t parts;                /* of each channel, that are copied apart: threads take what they read later */
    int64_t together, copy_tasks; /* channels that a task copies; tasks of each part */
    int64_t panels;
    int64_t row_panels; /* of one row, then */
    size_t copy_floats;
    size_t own_floats; /* of a thread: of a tile, or of a packed panel */
};

typedef struct tn_conv_image_call {
    const tn_conv_image *c;
    const tn_kernels *kernels;
    const float *x, *w; /* one image; packed weights */
    float *copy, *own, *y;
    const tn_epilogue *epilogue;
} tn_conv_image_call;

/* Where in the copy the first tap of the first channel of output row `outer` (all axes but the last) lies. */
static inline int64_t tn_conv_image_row(const tn_conv_image *c, int64_t outer) {
    const tn_window *w = &c->shape.window;
    int64_t at = 0;
    for (int i = w->spatial - 2; i >= 0; i--) {
        at += outer % w->out[i] * c->stride[i];
        outer /= w->out[i];
    }
    return at;
}

/* Counts the panels of conv_direct.c: how positions are cut into them. */
void tn_conv_direct_count(tn_conv_image *image, int64_t columns, int64_t lanes);
/* Tasks of the product, for all groups: context is a tn_conv_image_call. */
void tn_conv_direct_task(void *context, int64_t index);
void tn_conv_packed_task(void *context, int64_t index);

#endif
