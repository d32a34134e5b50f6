/* BatchNormGrad, of the domain `tenon`: gradients of BatchNormalization in training mode, float32, from dy and x
 * [N, C, ...] and the scale [C]: by x, by the scale and by the bias. With the sums s = sum(dy) and p = sum(dy (x - mean)) of
 * a channel of M elements,
 *
 *     dx = a dy + b x + c,   a = scale / deviation,   b = -a p / (M deviation^2),   c = -a s / M - b mean.
 *
 * With the bias as a fourth input, dy is the gradient of Relu on top: where what the normalisation gave was not above 0,
 * it counts as 0. Some channels are one task: their statistics, those sums and dx, image by image. (Ioffe and Szegedy,
 * "Batch Normalization", 2015.) */
#include <math.h>
#include "ops/data.h"
#include "ops/norm.h"

typedef struct state {
    int64_t batch, channels, plane, together;
    double epsilon;
} state;

typedef struct job {
    const state *s;
    const tn_kernels *kernels;
    const float *dy, *x, *scale;
    const float *bias;              /* of what Relu is on top of; NULL: there is none */
    float *dx, *by_scale, *by_bias; /* NULL: not wanted */
} job;

static tn_status infer(tn_infer *call) {
    static const tn_dtype reals[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_UNDEFINED};
    const tn_type *x = call->in[1], *scale = call->in[2];
    for (int i = 0; i < 4 && tn_infer_has(call, i); i++) {
        TN_TRY(tn_infer_dtype(call, i, reals));
        if (i) TN_TRY(tn_infer_equal_dtype(call, 0, i));
    }
    if (x->rank >= 0 && x->rank < 2) return tn_infer_fail(call, 1, TN_E_SHAPE, "expected [N, C, ...]");
    TN_TRY(tn_infer_fits(call, 0, 1));
    if (scale->rank >= 0 && (scale->rank != 1 || (x->rank > 1 && !tn_dim_fits(scale->dims[0], x->dims[1]))))
        return tn_infer_fail(call, 2, TN_E_SHAPE, "expected an element for each channel of input 1");
    if (tn_infer_has(call, 3)) TN_TRY(tn_infer_fits(call, 3, 2));
    TN_TRY(tn_infer_same(call, 0, 1));
    for (int i = 1; i < call->out_count; i++) TN_TRY(tn_infer_same(call, i, 2));
    return TN_OK;
}

static tn_status prepare(tn_prepare *call) {
    const tn_type *x = call->in[1];
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    s->batch = x->dims[0];
    s->channels = x->dims[1];
    s->plane = tn_dims_span(x->dims, 2, x->rank);
    s->together = (int64_t)tn_norm_channels((size_t)s->channels, (size_t)s->plane);
    s->epsilon = (double)tn_attr_float(call->node, "epsilon", 1e-5f);
    return TN_OK;
}

/* What a channel's elements go through. */
typedef struct channel {
    double mean, inverse, sums[2];
    float line[2], a, b, c;
} channel;

static void prepare_channel(const job *j, int64_t at, double mean, double variance, channel *c) {
    const double inverse = 1 / sqrt(variance + j->s->epsilon), a = (double)j->scale[at] * inverse;
    *c = (channel){.mean = mean, .inverse = inverse};
    if (!j->bias) return;
    c->line[0] = (float)a;
    c->line[1] = (float)((double)j->bias[at] - mean * a);
}

static void finish_channel(const job *j, int64_t at, channel *c) {
    const double count = (double)j->s->batch * (double)j->s->plane, a = (double)j->scale[at] * c->inverse;
    /* What was subtracted was the mean as a float. */
    const double sum = c->sums[0], along = c->sums[1] - sum * (c->mean - (double)(float)c->mean);
    const double b = -a * along * c->inverse * c->inverse / count;
    c->a = (float)a;
    c->b = (float)b;
    c->c = (float)(-a * sum / count - b * c->mean);
    if (j->by_bias) j->by_bias[at] = (float)sum;
    if (j->by_scale) j->by_scale[at] = (float)(along * c->inverse);
}

static void some_channels(void *context, int64_t index) {
    const job *j = context;
    const state *s = j->s;
    const int64_t from = index * s->together, count = TN_MIN(s->together, s->channels - from);
    const size_t n = (size_t)count, plane = (size_t)s->plane, step = (size_t)s->channels * plane;
    double mean[TN_NORM_MOST], variance[TN_NORM_MOST];
    channel all[TN_NORM_MOST];
    tn_moments_of_channels(j->kernels, j->x + from * s->plane, n, plane, (size_t)s->batch, step, mean, variance);
    for (size_t i = 0; i < n; i++) prepare_channel(j, from + (int64_t)i, mean[i], variance[i], &all[i]);
    for (size_t image = 0, at = (size_t)from * plane; image < (size_t)s->batch; image++, at += step)
        for (size_t i = 0; i < n; i++)
            j->kernels->two_sums_f32(plane, j->dy + at + i * plane, j->x + at + i * plane, j->bias ? all[i].line : NULL,
                                     (float)all[i].mean, all[i].sums);
    for (size_t i = 0; i < n; i++) finish_channel(j, from + (int64_t)i, &all[i]);
    for (size_t image = 0, at = (size_t)from * plane; image < (size_t)s->batch && j->dx; image++, at += step)
        for (size_t i = 0; i < n; i++) {
            const channel *c = &all[i];
            const size_t here = at + i * plane;
            j->kernels->two_terms_f32(plane, c->a, j->dy + here, c->b, j->x + here, j->bias ? c->line : NULL, c->c,
                                      j->dx + here);
        }
}

static tn_status run(tn_run *call) {
    const state *s = call->state;
    float *out[3] = {NULL, NULL, NULL};
    for (int i = 0; i < call->out_count; i++)
        if (tn_out(call, i)) out[i] = tn_out(call, i)->data;
    const tn_tensor *bias = tn_in(call, 3);
    job j = {.s = s,
             .kernels = call->kernels,
             .dy = tn_in(call, 0)->data,
             .x = tn_in(call, 1)->data,
             .scale = tn_in(call, 2)->data,
             .bias = bias ? bias->data : NULL,
             .dx = out[0],
             .by_scale = out[1],
             .by_bias = out[2]};
    if (s->batch > 0 && s->plane > 0) {
        tn_parallel(call->pool, (s->channels + s->together - 1) / s->together, some_channels, &j);
        return TN_OK;
    }
    for (int i = 1; i < 3; i++)
        if (out[i]) memset(out[i], 0, (size_t)s->channels * sizeof(float));
    return TN_OK;
}

const tn_op tn_ops_batch_norm_grad[] = {
    {.domain = "tenon",
     .name = "BatchNormGrad",
     .min_in = 3,
     .max_in = 4,
     .min_out = 1,
     .max_out = 3,
     .flags = TN_OP_WIDEN,
     .infer = infer,
     .prepare = prepare,
     .run = run},
    {0},
};
