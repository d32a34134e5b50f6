/* Depthwise convolution of small planes, 16 channels side by side; see kernels/depthwise.h and conv.h.
 *
 * Rows of 7 or 14 elements fill vectors badly, and copying them row by row takes longer than the arithmetic. So 16
 * channels are turned together into [elements, 16], and the result is turned back; both stay in the nearest cache. Turning
 * costs as much as some taps do: it pays where rows are hardly longer than a vector of 16. */
#include "ops/conv.h"
#include "ops/scratch.h"
#include <stdio.h>

#define LONGEST_ROW 20
#define LONGEST_HALF 8     /* where longer rows are taken as they lie, without a copy */
#define MOST_ELEMENTS 2048 /* of a channel's plane: 128 KiB of 16 */
#define TASK_WORK 65536    /* multiplications of a task, at least */

enum { LANES = TN_DEPTHWISE_LANES };

struct tn_conv_lanes {
    tn_conv_shape shape;
    uint32_t *offset;          /* [out_plane][taps] */
    const float *weights;      /* [blocks][taps][16]; NULL: packed when it runs */
    size_t packed_at;          /* floats of the scratch memory before them */
    int64_t blocks, per_task;  /* of 16 channels; that a task takes */
    size_t x_floats, y_floats; /* of a thread's buffers */
};

bool tn_conv_lanes_fits(const tn_prepare *call, const tn_conv_shape *s) {
    size_t rows, columns, lanes;
    call->kernels->gemm_f32_tile(&rows, &columns, &lanes);
    int64_t row = s->window.out[s->window.spatial - 1];
    return lanes > 1 && s->group == s->channels && s->outputs == s->channels && s->channels >= LANES &&
           row <= (tn_conv_depthwise_in_place(call, s) ? LONGEST_HALF : LONGEST_ROW) && s->in_plane <= MOST_ELEMENTS &&
           s->out_plane <= MOST_ELEMENTS && s->taps <= MOST_ELEMENTS;
}

static void pack_weights(void *dst, const void *context) {
    const tn_conv_lanes *c = ((const void *const *)context)[0];
    const float *from = ((const void *const *)context)[1];
    float *to = dst;
    for (int64_t block = 0; block < c->blocks; block++)
        for (int64_t tap = 0; tap < c->shape.taps; tap++)
            for (int64_t lane = 0; lane < LANES; lane++) {
                int64_t channel = block * LANES + lane;
                *to++ = channel < c->shape.channels ? from[channel * c->shape.taps + tap] : 0;
            }
}

tn_status tn_conv_lanes_prepare(tn_prepare *call, const tn_conv_shape *s, tn_conv_lanes **out_lanes) {
    tn_conv_lanes *c = tn_prepare_alloc(call, sizeof *c);
    if (!c) return TN_E_MEMORY;
    *out_lanes = c;
    c->shape = *s;
    c->blocks = (s->channels + LANES - 1) / LANES;
    c->per_task = TN_MIN(TASK_WORK / (s->out_plane * s->taps * LANES), c->blocks * s->batch / (4 * call->threads));
    c->per_task = TN_MAX(c->per_task, 1);
    c->offset = tn_prepare_alloc(call, (size_t)(s->out_plane * s->taps) * sizeof *c->offset);
    if (!c->offset) return TN_E_MEMORY;
    for (int64_t at = 0; at < s->out_plane; at++)
        for (int64_t tap = 0; tap < s->taps; tap++) {
            int64_t from = tn_window_element(&s->window, at, tap);
            c->offset[at * s->taps + tap] = (uint32_t)((from < 0 ? s->in_plane : from) * LANES);
        }
    c->x_floats = (size_t)(s->in_plane + 1) * LANES;
    c->y_floats = (size_t)s->out_plane * LANES;
    c->packed_at = (c->x_floats + c->y_floats) * (size_t)call->threads;
    size_t floats = c->packed_at;
    if (call->value[1]) {
        char layout[64];
        const void *context[] = {c, call->value[1]->data}, *packed;
        snprintf(layout, sizeof layout, "conv_lanes_f32 %lldx%lld", (long long)s->channels, (long long)s->taps);
        TN_TRY(tn_prepare_pack(call, 1, layout, (size_t)(c->blocks * s->taps) * LANES * sizeof(float), pack_weights,
                               context, &packed));
        c->weights = packed;
    } else {
        floats += (size_t)(c->blocks * s->taps) * LANES;
    }
    return tn_scratch_add(&call->scratch, floats, sizeof(float)) ? TN_OK : tn_fail(TN_E_LIMIT, "planes are too large");
}

typedef struct run_call {
    const tn_conv_lanes *c;
    const tn_kernels *kernels;
    const float *x, *weights;
    float *y, *buffers;
    const tn_epilogue *epilogue;
} run_call;

static void block(const run_call *r, int64_t image, int64_t index, float *x, float *y) {
    const tn_conv_lanes *c = r->c;
    const tn_conv_shape *s = &c->shape;
    const tn_epilogue *e = r->epilogue;
    int64_t channel = index * LANES, count = TN_MIN(s->channels - channel, LANES), size = (int64_t)sizeof(float);
    int64_t first = image * s->channels + channel, n = count * s->out_plane;
    float bias[LANES] = {0}, *out = r->y + first * s->out_plane;
    if (e->row_bias) memcpy(bias, e->row_bias + channel, (size_t)count * sizeof *bias);
    r->kernels->transpose_4(s->in_plane, count, r->x + first * s->in_plane, s->in_plane * size, x, LANES * size);
    tn_depthwise_lanes_f32 call = {.positions = (size_t)s->out_plane,
                                   .taps = (size_t)s->taps,
                                   .offset = c->offset,
                                   .x = x,
                                   .weights = r->weights + index * s->taps * LANES,
                                   .bias = bias,
                                   .y = y,
                                   .epilogue = *e};
    if (e->residual) call.epilogue.activation = TN_ACT_NONE;
    r->kernels->depthwise_lanes_f32(&call);
    r->kernels->transpose_4(count, s->out_plane, y, LANES * size, out, s->out_plane * size);
    if (e->residual) tn_conv_add_residual(r->kernels, e, (size_t)(first * s->out_plane), (size_t)n, r->y);
}

static void lanes_task(void *context, int64_t task) {
    const run_call *r = context;
    const tn_conv_lanes *c = r->c;
    float *x = r->buffers + (size_t)tn_worker_index() * (c->x_floats + c->y_floats), *y = x + c->x_floats;
    int64_t end = TN_MIN((task + 1) * c->per_task, c->blocks * c->shape.batch);
    /* Lanes that no channel fills, and the place of zeros behind the plane. */
    memset(x, 0, c->x_floats * sizeof *x);
    for (int64_t i = task * c->per_task; i < end; i++) block(r, i / c->blocks, i % c->blocks, x, y);
}

void tn_conv_lanes_run(const tn_run *call, const tn_conv_lanes *c, const float *x, const float *w, float *y,
                       const tn_epilogue *epilogue) {
    run_call r = {c, call->kernels, x, c->weights, y, call->scratch, epilogue};
    if (!c->weights) {
        float *packed = r.buffers + c->packed_at;
        pack_weights(packed, (const void *[]){c, w});
        r.weights = packed;
    }
    tn_parallel(call->pool, (c->blocks * c->shape.batch + c->per_task - 1) / c->per_task, lanes_task, &r);
}
