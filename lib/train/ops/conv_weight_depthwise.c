/* The weights' gradient of a depthwise convolution: each tap is the product, element by element, of a plane of dY with
 * the plane of X shifted by it. Planes of X get their padding, and are taken apart where there are strides, so that a tap
 * is a shift; rows of dY are filled up with zeros to the same length. Then a tap is one dot product; of several images at
 * once, where planes are small and there are no strides. */
#include "kernels/kernels.h"
#include "ops/scratch.h"
#include "train/ops/conv_weight_grad.h"

typedef struct plan {
    int64_t phase[2];           /* rows and columns of a plane taken apart */
    size_t part, x_floats, run; /* floats of one part, of all; those that a dot product goes over */
    size_t dy_floats, each;     /* of a thread */
    int64_t taps, together;     /* together: images of one dot product */
} plan;

enum { SLACK = 16, MOST_TAPS_AT_ONCE = 64, RUN = 2048 };

static bool make_plan(const tn_weight_grad *g, plan *p) {
    size_t planes = (size_t)(g->stride[0] * g->stride[1]), all;
    for (int i = 0; i < 2; i++) p->phase[i] = (g->padded[i] + g->stride[i] - 1) / g->stride[i];
    p->taps = g->kernel[0] * g->kernel[1];
    p->together = 1;
    bool fits = tn_mul_size((size_t)p->phase[0], (size_t)p->phase[1], &p->part) && p->part < SIZE_MAX / 64 &&
                tn_mul_size(p->part, planes, &p->x_floats) && p->x_floats < SIZE_MAX / 64;
    if (fits && planes == 1) {
        p->together = TN_MAX(TN_MIN(RUN / (int64_t)TN_MAX(p->part, (size_t)1), g->batch), 1);
        p->x_floats *= (size_t)p->together;
    }
    p->run = (size_t)((g->out[0] - 1) * p->phase[1] + g->out[1]) + (size_t)(p->together - 1) * p->part;
    p->dy_floats = p->run + SLACK;
    return fits && tn_add_size(p->x_floats + SLACK, p->dy_floats, &all) &&
           tn_add_size(all, 2 * (size_t)p->taps, &p->each);
}

bool tn_weight_grad_depthwise_prepare(const tn_weight_grad *g, int threads, size_t *scratch) {
    plan p;
    if (g->stride[0] > 1024 || g->stride[1] > 1024) return false;
    return make_plan(g, &p) && p.each < SIZE_MAX / 256 &&
           tn_scratch_add(scratch, (size_t)threads, (p.each + 15) / 16 * 64);
}

typedef struct job {
    const tn_weight_grad *g;
    const tn_kernels *kernels;
    plan plan;
    const float *dy, *x;
    float *dw, *buffers;
} job;

static void copy_rows(int64_t rows, int64_t n, const float *from, float *to, int64_t step) {
    for (int64_t r = 0; r < rows; r++, from += n, to += step)
        for (int64_t i = 0; i < n; i++) to[i] = from[i];
}

/* A plane of X into its parts, whose borders are zeros already. */
static void take_apart(const job *j, const float *x, float *to) {
    const tn_weight_grad *g = j->g;
    const plan *p = &j->plan;
    const int64_t s = g->stride[1], seen = TN_MIN(g->in[1], g->padded[1] - g->pad[1]);
    const int64_t rows = TN_MIN(g->in[0], g->padded[0] - g->pad[0]);
    for (int64_t y = 0; y < rows; y++, x += g->in[1]) {
        int64_t row = y + g->pad[0], part = row % g->stride[0] * s;
        float *at = to + (size_t)part * p->part + row / g->stride[0] * p->phase[1];
        if (s == 1)
            for (int64_t i = 0; i < seen; i++) at[g->pad[1] + i] = x[i];
        else
            for (int64_t i = 0; i < seen; i++)
                at[(size_t)((i + g->pad[1]) % s) * p->part + (size_t)((i + g->pad[1]) / s)] = x[i];
    }
}

/* Of `run` floats of dY. */
static void add_taps(const job *j, size_t run, const float *x_parts, const float *dy, float *sums) {
    const tn_weight_grad *g = j->g;
    const plan *p = &j->plan;
    const bool together = g->stride[1] == 1 && g->dilation[1] == 1 && g->kernel[1] <= MOST_TAPS_AT_ONCE;
    const int64_t at_once = together ? g->kernel[1] : 1;
    for (int64_t t = 0; t < p->taps; t += at_once) {
        float found[MOST_TAPS_AT_ONCE];
        int64_t row = t / g->kernel[1] * g->dilation[0], column = t % g->kernel[1] * g->dilation[1];
        size_t part = (size_t)(row % g->stride[0] * g->stride[1] + column % g->stride[1]) * p->part;
        const float *from = x_parts + part + (size_t)(row / g->stride[0] * p->phase[1] + column / g->stride[1]);
        j->kernels->dot_f32((size_t)at_once, run, from, 1, dy, found, 1);
        for (int64_t i = 0; i < at_once; i++) sums[t + i] += found[i];
    }
}

/* All images of one output channel. */
static void one_channel(void *context, int64_t output) {
    const job *j = context;
    const tn_weight_grad *g = j->g;
    const plan *p = &j->plan;
    const int64_t channel = output / (g->outputs / g->group);
    const size_t in_plane = (size_t)(g->in[0] * g->in[1]), out_plane = (size_t)(g->out[0] * g->out[1]);
    float *x_parts = j->buffers + (size_t)tn_worker_index() * ((p->each + 15) / 16 * 16);
    float *dy = x_parts + p->x_floats + SLACK, *sums = j->dw + output * p->taps;
    memset(x_parts, 0, (p->x_floats + SLACK + p->dy_floats) * sizeof *x_parts);
    memset(sums, 0, (size_t)p->taps * sizeof *sums);
    for (int64_t n = 0; n < g->batch; n += p->together) {
        const int64_t images = TN_MIN(p->together, g->batch - n);
        for (int64_t i = 0; i < images; i++) {
            take_apart(j, j->x + (size_t)((n + i) * g->channels + channel) * in_plane, x_parts + (size_t)i * p->part);
            copy_rows(g->out[0], g->out[1], j->dy + (size_t)((n + i) * g->outputs + output) * out_plane,
                      dy + (size_t)i * p->part, p->phase[1]);
        }
        add_taps(j, p->run - (size_t)(p->together - images) * p->part, x_parts, dy, sums);
    }
}

void tn_weight_grad_depthwise_run(const tn_weight_grad *g, const tn_run *call, const float *dy, const float *x,
                                  float *dw) {
    job j = {.g = g, .kernels = call->kernels, .dy = dy, .x = x, .dw = dw, .buffers = call->scratch};
    if (make_plan(g, &j.plan)) tn_parallel(call->pool, g->outputs, one_channel, &j);
}
