/* BatchNormGrad, of the domain `tenon`: gradients of BatchNormalization in training mode, float32, from dy and x
 * [N, C, ...] and the scale [C]: by x, by the scale and by the bias. With the sums s = sum(dy) and p = sum(dy (x - mean)) of
 * a channel of M elements,
 *
 *     dx = a dy + b x + c,   a = scale / deviation,   b = -a p / (M deviation^2),   c = -a s / M - b mean.
 *
 * A channel is one task: its statistics, those sums and dx. (Ioffe and Szegedy, "Batch Normalization", 2015.) */
#include <math.h>
#include "ops/data.h"

typedef struct state {
    int64_t batch, channels, plane;
    double epsilon;
} state;

typedef struct job {
    const state *s;
    const tn_kernels *kernels;
    const float *dy, *x, *scale;
    float *dx, *by_scale, *by_bias; /* NULL: not wanted */
} job;

static tn_status infer(tn_infer *call) {
    static const tn_dtype reals[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_UNDEFINED};
    const tn_type *x = call->in[1], *scale = call->in[2];
    for (int i = 0; i < 3; i++) TN_TRY(tn_infer_dtype(call, i, reals));
    for (int i = 1; i < 3; i++) TN_TRY(tn_infer_equal_dtype(call, 0, i));
    if (x->rank >= 0 && x->rank < 2) return tn_infer_fail(call, 1, TN_E_SHAPE, "expected [N, C, ...]");
    TN_TRY(tn_infer_fits(call, 0, 1));
    if (scale->rank >= 0 && (scale->rank != 1 || (x->rank > 1 && !tn_dim_fits(scale->dims[0], x->dims[1]))))
        return tn_infer_fail(call, 2, TN_E_SHAPE, "expected an element for each channel of input 1");
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
    s->epsilon = (double)tn_attr_float(call->node, "epsilon", 1e-5f);
    return TN_OK;
}

static void one_channel(void *context, int64_t channel) {
    const job *j = context;
    const state *s = j->s;
    const size_t plane = (size_t)s->plane, step = (size_t)s->channels * plane, first = (size_t)channel * plane;
    const double count = (double)s->batch * (double)s->plane;
    double mean = 0, variance = 0, squares = 0, sums[2] = {0, 0};
    for (int64_t n = 0; n < s->batch; n++) {
        /* Moments of each image, put together as Welford has it. */
        float own, spread;
        j->kernels->rows_moments_f32(&own, &spread, j->x + first + (size_t)n * step, 1, plane);
        double from_mean = (double)own - mean;
        mean += from_mean / (double)(n + 1);
        squares += from_mean * ((double)own - mean);
        variance += (double)spread;
    }
    variance = (variance + squares) / (double)s->batch;
    for (int64_t n = 0; n < s->batch; n++)
        j->kernels->two_sums_f32(plane, j->dy + first + (size_t)n * step, j->x + first + (size_t)n * step, (float)mean,
                                 sums);
    /* What was subtracted was the mean as a float. */
    sums[1] -= sums[0] * (mean - (double)(float)mean);
    const double inverse = 1 / sqrt(variance + s->epsilon), a = (double)j->scale[channel] * inverse;
    const double b = -a * sums[1] * inverse * inverse / count, c = -a * sums[0] / count - b * mean;
    if (j->by_bias) j->by_bias[channel] = (float)sums[0];
    if (j->by_scale) j->by_scale[channel] = (float)(sums[1] * inverse);
    for (int64_t n = 0; n < s->batch && j->dx; n++)
        j->kernels->two_terms_f32(plane, (float)a, j->dy + first + (size_t)n * step, (float)b,
                                  j->x + first + (size_t)n * step, (float)c, j->dx + first + (size_t)n * step);
}

static tn_status run(tn_run *call) {
    const state *s = call->state;
    float *out[3] = {NULL, NULL, NULL};
    for (int i = 0; i < call->out_count; i++)
        if (tn_out(call, i)) out[i] = tn_out(call, i)->data;
    job j = {s,      call->kernels, tn_in(call, 0)->data, tn_in(call, 1)->data, tn_in(call, 2)->data, out[0],
             out[1], out[2]};
    if (s->batch > 0 && s->plane > 0) {
        tn_parallel(call->pool, s->channels, one_channel, &j);
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
     .max_in = 3,
     .min_out = 1,
     .max_out = 3,
     .flags = TN_OP_WIDEN,
     .infer = infer,
     .prepare = prepare,
     .run = run},
    {0},
};
