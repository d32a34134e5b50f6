/* BatchNormalization: each channel is scaled and shifted, by given statistics or, in training mode, by the batch's own,
 * which then also move the running ones. */
#include "base/element.h"
#include "ops/norm.h"
#include <math.h>

typedef struct state {
    double epsilon, momentum;
    bool training;
    size_t batch, channels, spatial;
    size_t together; /* channels of a task of the statistics */
} state;

typedef struct job {
    const state *s;
    const tn_kernels *kernels;
    const tn_tensor *x;
    void *y;
    double *a, *b;       /* of each channel: y = x * a + b */
    float *a_32, *b_32;  /* likewise */
    size_t rows, pieces; /* channels of a task (or images, if spatial is 1), and how many such pieces there are */
} job;

static tn_status batch_infer(tn_infer *call) {
    TN_TRY(tn_infer_dtype(call, 0, TN_FLOATS));
    const tn_type *x = call->in[0], *mean = call->in[3];
    if (x->rank == 0) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected [N, C, ...]");
    TN_TRY(tn_infer_channels(call, 1, 5));
    if (x->rank == 1 && mean->rank == 1 && mean->dims[0] > 1)
        return tn_infer_fail(call, 0, TN_E_SHAPE, "one dimension means one channel; input 3 has %lld",
                             (long long)mean->dims[0]);
    bool training = tn_attr_int(call->node, "training_mode", 0) != 0;
    for (int i = 1; i < call->out_count; i++) {
        if (training)
            TN_TRY(tn_infer_out(call, i, mean->dtype, mean->rank, mean->dims));
        else if (call->node->out && call->node->out[i] >= 0)
            return tn_fail(TN_E_INVALID, "output %d exists in training mode alone", i);
    }
    return tn_infer_same(call, 0, 0);
}

static tn_status batch_prepare(tn_prepare *call) {
    const tn_type *x = call->in[0];
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    s->epsilon = (double)tn_attr_float(call->node, "epsilon", 1e-5f);
    s->momentum = (double)tn_attr_float(call->node, "momentum", 0.9f);
    s->training = tn_attr_int(call->node, "training_mode", 0) != 0;
    s->batch = (size_t)x->dims[0];
    s->channels = x->rank > 1 ? (size_t)x->dims[1] : 1;
    s->spatial = 1;
    for (int i = 2; i < x->rank; i++) s->spatial *= (size_t)x->dims[i];
    s->together = x->dtype == TN_FLOAT32 ? tn_norm_channels(s->channels, s->spatial) : 1;
    call->scratch = s->channels * 2 * (sizeof(double) + sizeof(float));
    return TN_OK;
}

static void statistics_task(void *context, int64_t index) {
    const job *j = context;
    const state *s = j->s;
    const size_t first = (size_t)index * s->together;
    const char *x = (const char *)j->x->data + first * s->spatial * tn_norm_size(j->x->dtype);
    if (j->x->dtype == TN_FLOAT32) {
        tn_moments_of_channels(j->kernels, (const float *)(const void *)x, TN_MIN(s->together, s->channels - first),
                               s->spatial, s->batch, s->channels * s->spatial, j->a + first, j->b + first);
        return;
    }
    tn_moments_of_runs(j->kernels, j->x->dtype, x, s->spatial, s->batch, s->channels * s->spatial, &j->a[index],
                       &j->b[index]);
}

static void affine_task(void *context, int64_t index) {
    const job *j = context;
    const state *s = j->s;
    const float *x = j->x->data;
    if (s->spatial == 1 && j->x->dtype == TN_FLOAT32) {
        size_t first = (size_t)index * j->rows, n = TN_MIN(j->rows, s->batch - first);
        j->kernels->columns_affine_f32((float *)j->y + first * s->channels, x + first * s->channels, n, s->channels,
                                       j->a_32, j->b_32);
        return;
    }
    size_t image = (size_t)index / j->pieces, c = (size_t)index % j->pieces * j->rows;
    size_t n = TN_MIN(j->rows, s->channels - c), first = (image * s->channels + c) * s->spatial;
    if (j->x->dtype == TN_FLOAT32) {
        j->kernels->rows_affine_f32((float *)j->y + first, x + first, n, s->spatial, j->a_32 + c, j->b_32 + c);
        return;
    }
    for (size_t i = 0; i < n; i++, first += s->spatial)
        tn_affine(j->kernels, TN_FLOAT64, (double *)j->y + first, (const double *)j->x->data + first, s->spatial,
                  j->a[c + i], j->b[c + i]);
}

static double at(const tn_tensor *t, size_t i) {
    return tn_get_double(t->dtype, t->data, (int64_t)i);
}

static tn_status batch_run(tn_run *call) {
    const state *s = call->state;
    const tn_tensor *scale = tn_in(call, 1), *bias = tn_in(call, 2), *mean = tn_in(call, 3), *variance = tn_in(call, 4);
    tn_tensor *y = tn_out(call, 0), *new_mean = tn_out(call, 1), *new_variance = tn_out(call, 2);
    job j = {.s = s, .kernels = call->kernels, .x = tn_in(call, 0), .a = call->scratch};
    j.b = j.a + s->channels;
    j.a_32 = (float *)(j.b + s->channels);
    j.b_32 = j.a_32 + s->channels;
    bool empty = s->batch == 0 || s->spatial == 0;
    if (s->training && !empty)
        tn_parallel(call->pool, (int64_t)((s->channels + s->together - 1) / s->together), statistics_task, &j);
    for (size_t c = 0; c < s->channels; c++) {
        double m = at(mean, c), v = at(variance, c), keep = s->momentum;
        if (s->training) {
            double own_mean = empty ? m : j.a[c], own_variance = empty ? v : j.b[c];
            if (new_mean) tn_set_double(mean->dtype, new_mean->data, (int64_t)c, m * keep + own_mean * (1 - keep));
            if (new_variance)
                tn_set_double(variance->dtype, new_variance->data, (int64_t)c, v * keep + own_variance * (1 - keep));
            m = own_mean;
            v = own_variance;
        }
        j.a[c] = at(scale, c) / sqrt(v + s->epsilon);
        j.b[c] = at(bias, c) - m * j.a[c];
        j.a_32[c] = (float)j.a[c];
        j.b_32[c] = (float)j.b[c];
    }
    if (!y || empty || s->channels == 0) return TN_OK;
    j.y = y->data;
    bool columns = s->spatial == 1 && j.x->dtype == TN_FLOAT32;
    j.rows = TN_MAX((size_t)TN_NORM_TASK * 2 / (columns ? s->channels : s->spatial), 1);
    j.pieces = ((columns ? s->batch : s->channels) + j.rows - 1) / j.rows;
    tn_parallel(call->pool, (int64_t)(columns ? j.pieces : j.pieces * s->batch), affine_task, &j);
    return TN_OK;
}

const tn_op tn_ops_batch_norm[] = {
    {.domain = "",
     .name = "BatchNormalization",
     .min_in = 5,
     .max_in = 5,
     .min_out = 1,
     .max_out = 3,
     .flags = TN_OP_WIDEN | TN_OP_IN_PLACE,
     .infer = batch_infer,
     .prepare = batch_prepare,
     .run = batch_run},
    {0},
};
