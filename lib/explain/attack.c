/* Attacks: x goes where its loss grows, within a box around where it was. */
#include <math.h>
#include "explain/probe.h"

/* Rows that are under way, and scratch for a batch of them. */
typedef struct work {
    tn_probe *p;
    const tn_tensor *truth;
    size_t bytes;
    float *scores, *seed;
    double *row;
} work;

static tn_status open_work(work *w, tn_probe *p, const tn_tensor *x, const tn_tensor *truth) {
    *w = (work){.p = p, .truth = truth};
    TN_TRY(tn_probe_check(p, x));
    int64_t rows = x->dims[0];
    bool labels = truth->dtype == TN_INT64;
    if (!(labels || truth->dtype == TN_FLOAT32) || !tn_tensor_is_dense(truth) || truth->rank < 1 ||
        truth->dims[0] != rows || tn_count(truth) != (labels ? rows : rows * p->outputs))
        return tn_fail(TN_E_SHAPE, "the truth must be int64 [N], or float32 [N, %lld], of %lld rows",
                       (long long)p->outputs, (long long)rows);
    int64_t most = p->outputs == 1 ? 2 : p->outputs;
    for (int64_t r = 0; labels && r < rows; r++)
        if (((const int64_t *)truth->data)[r] < 0 || ((const int64_t *)truth->data)[r] >= most)
            return tn_fail(TN_E_INVALID, "the truth of row %lld is class %lld of %lld", (long long)r,
                           (long long)((const int64_t *)truth->data)[r], (long long)most);
    w->bytes = (size_t)p->outputs * (2 * TN_PROBE_BATCH * sizeof(float) + sizeof(double));
    w->row = tn_alloc(NULL, w->bytes);
    if (!w->row) return TN_E_MEMORY;
    w->scores = (float *)(w->row + p->outputs);
    w->seed = w->scores + TN_PROBE_BATCH * p->outputs;
    return TN_OK;
}

static void close_work(work *w) {
    tn_free(NULL, w->row, w->bytes);
}

/* d loss / d scores: what the model says less what is so, for all three. */
static void seed_of(const work *w, int64_t r, const float *scores, float *seed) {
    int64_t n = w->p->outputs;
    tn_probe_finish(w->p, scores, w->row);
    for (int64_t c = 0; c < n; c++) {
        double so = 0;
        if (w->truth->dtype == TN_FLOAT32)
            so = (double)((const float *)w->truth->data)[r * n + c];
        else
            so = (n == 1 ? 1 : c) == ((const int64_t *)w->truth->data)[r];
        seed[c] = (float)(w->row[c] - so);
    }
}

static tn_status gradient_of(work *w, const float *x, int64_t first, int64_t count, float *gradient) {
    TN_TRY(tn_probe_run(w->p, x, count, NULL, w->scores, NULL));
    for (int64_t i = 0; i < count; i++)
        seed_of(w, first + i, w->scores + i * w->p->outputs, w->seed + i * w->p->outputs);
    return tn_probe_run(w->p, x, count, w->seed, w->scores, gradient);
}

tn_status tn_probe_loss_gradient(tn_probe *p, const tn_tensor *x, const tn_tensor *truth, tn_tensor **out_gradient) {
    work w;
    tn_tensor *out = NULL;
    *out_gradient = NULL;
    tn_status status = open_work(&w, p, x, truth);
    if (status == TN_OK) status = tn_tensor_create(TN_FLOAT32, x->rank, x->dims, NULL, &out);
    for (int64_t r = 0; status == TN_OK && r < x->dims[0]; r += TN_PROBE_BATCH)
        status = gradient_of(&w, (const float *)x->data + r * p->width, r, TN_MIN(TN_PROBE_BATCH, x->dims[0] - r),
                             (float *)out->data + r * p->width);
    close_work(&w);
    if (status == TN_OK)
        *out_gradient = out;
    else
        tn_tensor_destroy(out);
    return status;
}

/* One step up, and back into the box. */
static void climb(const tn_attack_options *o, const float *from, const float *gradient, double step, int64_t count,
                  float *x) {
    for (int64_t i = 0; i < count; i++) {
        double to = (double)x[i] + step * ((gradient[i] > 0) - (gradient[i] < 0));
        to = fmin(fmax(to, (double)from[i] - o->epsilon), (double)from[i] + o->epsilon);
        x[i] = (float)(o->bounded ? fmin(fmax(to, o->low), o->high) : to);
    }
}

tn_status tn_attack(tn_probe *p, const tn_tensor *x, const tn_tensor *truth, const tn_attack_options *options,
                    tn_tensor **out_x) {
    tn_attack_options o = {0};
    tn_tensor *now = NULL, *gradient;
    *out_x = NULL;
    memcpy(&o, options, TN_MIN(options->struct_size, sizeof o));
    if (!(o.epsilon >= 0) || !isfinite(o.epsilon) || !(o.step >= 0) || o.steps < 0 || (o.bounded && !(o.low <= o.high)))
        return tn_fail(TN_E_INVALID, "an attack takes an epsilon and a step of at least 0, and low below high");
    int steps = o.steps > 1 ? o.steps : 1;
    double step = steps == 1 ? o.epsilon : o.step > 0 ? o.step : 2.5 * o.epsilon / steps;
    TN_TRY(tn_probe_check(p, x));
    TN_TRY(tn_tensor_clone(x, NULL, &now));
    tn_status status = TN_OK;
    for (int s = 0; s < steps && status == TN_OK; s++) {
        status = tn_probe_loss_gradient(p, now, truth, &gradient);
        if (status == TN_OK) climb(&o, x->data, gradient->data, step, tn_count(x), now->data);
        tn_tensor_destroy(gradient);
    }
    if (status == TN_OK)
        *out_x = now;
    else
        tn_tensor_destroy(now);
    return status;
}
