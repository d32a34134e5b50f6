/* LayerNormalization and RMSNormalization (SimplifiedLayerNormalization is ONNX Runtime's name for it): rows of all
 * elements from `axis` on are brought to unit variance, around their mean or around 0, then scaled and shifted.
 *
 * Scale and bias have a row's shape as a rule, and then float32 is done by one kernel; where they broadcast in another
 * way, or for other types, rows are normalised first and multiplied in a second pass. */
#include "base/element.h"
#include "ops/broadcast.h"
#include "ops/norm.h"
#include <math.h>

typedef struct state {
    bool rms, fused;
    float epsilon;
    size_t rows, n, batch;
    tn_broadcast plan; /* of y, scale and bias, unless fused */
} state;

typedef struct job {
    const state *s;
    const tn_kernels *kernels;
    const tn_tensor *x, *scale, *bias;
    tn_tensor *y, *mean, *inverse;
} job;

static bool is_rms(const tn_node *node) {
    return node->op->name[0] != 'L';
}

static tn_status layer_infer(tn_infer *call) {
    const tn_type *x = call->in[0];
    int axis = 0;
    bool rms = is_rms(call->node);
    TN_TRY(tn_infer_dtype(call, 0, TN_FLOATS));
    for (int i = 1; i < call->in_count; i++) {
        if (!tn_infer_has(call, i)) continue;
        TN_TRY(tn_infer_dtype(call, i, TN_FLOATS));
        const tn_type *p = call->in[i];
        if (x->rank >= 0 && p->rank > x->rank)
            return tn_infer_fail(call, i, TN_E_SHAPE, "it has more dimensions than input 0");
        for (int k = 0; x->rank >= 0 && k < p->rank; k++) {
            int64_t from = p->dims[k], to = x->dims[x->rank - p->rank + k];
            if (from >= 0 && from != 1 && to >= 0 && from != to)
                return tn_infer_fail(call, i, TN_E_SHAPE, "its dimension %d does not broadcast to input 0's %lld", k,
                                     (long long)to);
        }
    }
    if (x->rank >= 0) TN_TRY(tn_infer_axis(call, tn_attr_int(call->node, "axis", -1), x->rank, &axis));
    tn_dtype stash = (tn_dtype)tn_attr_int(call->node, "stash_type", TN_FLOAT32);
    if (stash != TN_FLOAT32 && stash != TN_BFLOAT16)
        return tn_fail(TN_E_UNSUPPORTED, "attribute stash_type is %d; expected float32 or bfloat16", (int)stash);
    int64_t dims[TN_MAX_RANK];
    for (int i = 0; i < x->rank; i++) dims[i] = i < axis ? x->dims[i] : 1;
    for (int i = 1; i < call->out_count; i++) TN_TRY(tn_infer_out(call, i, stash, x->rank, dims));
    return tn_infer_out(call, 0, rms ? call->in[1]->dtype : x->dtype, x->rank, x->dims);
}

/* True if the parameter is absent or float32 of a row's very shape. */
static bool fits(const tn_prepare *call, int in, int axis) {
    if (!tn_prepare_has(call, in)) return true;
    const tn_type *p = call->in[in], *x = call->in[0];
    if (p->dtype != TN_FLOAT32) return false;
    for (int i = 0; i < x->rank; i++) {
        int own = i - (x->rank - p->rank);
        if ((own >= 0 ? p->dims[own] : 1) != (i < axis ? 1 : x->dims[i])) return false;
    }
    return true;
}

static tn_status layer_prepare(tn_prepare *call) {
    const tn_type *x = call->in[0];
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    int64_t axis = tn_attr_int(call->node, "axis", -1);
    axis += axis < 0 ? x->rank : 0;
    s->rms = is_rms(call->node);
    s->epsilon = tn_attr_float(call->node, "epsilon", 1e-5f);
    s->rows = s->n = 1;
    for (int i = 0; i < axis; i++) s->rows *= (size_t)x->dims[i];
    for (int i = (int)axis; i < x->rank; i++) s->n *= (size_t)x->dims[i];
    s->batch = TN_MAX(TN_NORM_TASK / TN_MAX(s->n, 1), 1);
    s->fused = x->dtype == TN_FLOAT32 && call->out[0].dtype == TN_FLOAT32 && fits(call, 1, (int)axis) &&
               fits(call, 2, (int)axis);
    const tn_type *in[] = {x, call->in[1], tn_prepare_has(call, 2) ? call->in[2] : call->in[1]};
    if (!s->fused) tn_broadcast_plan(&s->plan, 3, in, &call->out[0]);
    return TN_OK;
}

/* A row of any types, without scale and bias. */
static void plain_row(const job *j, size_t row, double *out_mean, double *out_inverse) {
    const state *s = j->s;
    int64_t first = (int64_t)(row * s->n), n = (int64_t)s->n;
    double mean = 0, variance = 0;
    for (int64_t i = 0; i < n && !s->rms; i++) mean += tn_get_double(j->x->dtype, j->x->data, first + i) / (double)n;
    for (int64_t i = 0; i < n; i++) {
        double d = tn_get_double(j->x->dtype, j->x->data, first + i) - mean;
        variance += d * d / (double)n;
    }
    *out_mean = mean;
    *out_inverse = 1 / sqrt(variance + (double)s->epsilon);
    for (int64_t i = 0; i < n; i++)
        tn_set_double(j->y->dtype, j->y->data, first + i,
                      (tn_get_double(j->x->dtype, j->x->data, first + i) - mean) * *out_inverse);
}

static void layer_task(void *context, int64_t index) {
    const job *j = context;
    const state *s = j->s;
    size_t row = (size_t)index * s->batch, count = TN_MIN(s->batch, s->rows - row);
    float *mean = j->mean ? (float *)j->mean->data + row : NULL;
    float *inverse = j->inverse ? (float *)j->inverse->data + row : NULL;
    if (s->fused) {
        const float *x = (const float *)j->x->data + row * s->n, *bias = j->bias ? j->bias->data : NULL;
        float *y = (float *)j->y->data + row * s->n;
        if (s->rms)
            j->kernels->rows_rms_norm_f32(y, x, count, s->n, j->scale->data, s->epsilon, inverse);
        else
            j->kernels->rows_layer_norm_f32(y, x, count, s->n, j->scale->data, bias, s->epsilon, mean, inverse);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        double m, k;
        plain_row(j, row + i, &m, &k);
        if (mean) mean[i] = (float)m;
        if (inverse) inverse[i] = (float)k;
    }
}

static void scale_strip(void *context, int64_t first, size_t rows, size_t n, const tn_strip *in) {
    const job *j = context;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++, first++) {
            double v = tn_get_double(j->y->dtype, j->y->data, first);
            int64_t at = (int64_t)(r * in[1].row + i * in[1].step) + in[1].first;
            int64_t bias = (int64_t)(r * in[2].row + i * in[2].step) + in[2].first;
            v *= tn_get_double(j->scale->dtype, j->scale->data, at);
            if (j->bias) v += tn_get_double(j->bias->dtype, j->bias->data, bias);
            tn_set_double(j->y->dtype, j->y->data, first, v);
        }
}

static tn_status layer_run(tn_run *call) {
    const state *s = call->state;
    job j = {s, call->kernels, tn_in(call, 0), tn_in(call, 1), tn_in(call, 2), tn_out(call, 0), NULL, NULL};
    j.mean = s->rms ? NULL : tn_out(call, 1);
    j.inverse = tn_out(call, s->rms ? 1 : 2);
    if (!j.y && (j.mean || j.inverse)) return tn_fail(TN_E_UNSUPPORTED, "statistics are wanted but output 0 is not");
    if (!j.y || s->rows == 0 || s->n == 0) return TN_OK;
    tn_parallel(call->pool, (int64_t)((s->rows + s->batch - 1) / s->batch), layer_task, &j);
    if (!s->fused) tn_broadcast_run(&s->plan, call->pool, TN_NORM_TASK, scale_strip, &j);
    return TN_OK;
}

#define LAYER_OP(domain_, name_, most_in, most_out)                                                                    \
    {                                                                                                                  \
        .domain = domain_, .name = name_, .min_in = 2, .max_in = most_in, .min_out = 1, .max_out = most_out,           \
        .flags = TN_OP_WIDEN, .infer = layer_infer, .prepare = layer_prepare, .run = layer_run                         \
    }

const tn_op tn_ops_layer_norm[] = {
    LAYER_OP("", "LayerNormalization", 3, 3),
    LAYER_OP("", "RMSNormalization", 2, 1),
    LAYER_OP("", "SimplifiedLayerNormalization", 2, 2),
    LAYER_OP("com.microsoft", "SimplifiedLayerNormalization", 2, 2),
    {0},
};
