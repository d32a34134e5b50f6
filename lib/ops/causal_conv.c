/* CausalConvWithState: a depthwise 1-D convolution that sees the past alone, and hands its last inputs on as state. */
#include "ops/data.h"

enum { INPUT, WEIGHT, BIAS, PAST };

static tn_status causal_infer(tn_infer *call) {
    const char *activation = tn_attr_text(call->node, "activation", "none");
    if (strcmp(activation, "none") != 0 && strcmp(activation, "silu") != 0 && strcmp(activation, "swish") != 0)
        return tn_fail(TN_E_INVALID, "activation is '%s'; expected none, silu or swish", activation);
    for (int i = 0; i < call->in_count; i++)
        if (i < 2 || tn_infer_has(call, i)) TN_TRY(tn_infer_dtype(call, i, TN_FLOATS));
    const tn_type *x = call->in[INPUT], *w = call->in[WEIGHT];
    if (x->rank >= 0 && x->rank != 3)
        return tn_infer_fail(call, INPUT, TN_E_SHAPE, "expected [batch, channels, length]");
    if (w->rank >= 0 && (w->rank != 3 || !tn_dim_fits(w->dims[1], 1) || w->dims[2] == 0 ||
                         (x->rank == 3 && !tn_dim_fits(w->dims[0], x->dims[1]))))
        return tn_infer_fail(call, WEIGHT, TN_E_SHAPE, "expected [channels, 1, kernel], a kernel of 1 at least");
    int64_t batch = x->rank == 3 ? x->dims[0] : -1, channels = x->rank == 3 ? x->dims[1] : -1;
    int64_t rest = w->rank == 3 && w->dims[2] > 0 ? w->dims[2] - 1 : -1;
    if (tn_infer_has(call, BIAS) && call->in[BIAS]->rank >= 0 &&
        (call->in[BIAS]->rank != 1 || !tn_dim_fits(call->in[BIAS]->dims[0], channels)))
        return tn_infer_fail(call, BIAS, TN_E_SHAPE, "expected one number a channel");
    if (tn_infer_has(call, PAST) && call->in[PAST]->rank >= 0) {
        const tn_type *p = call->in[PAST];
        if (p->rank != 3 || !tn_dim_fits(p->dims[0], batch) || !tn_dim_fits(p->dims[1], channels) ||
            !tn_dim_fits(p->dims[2], rest))
            return tn_infer_fail(call, PAST, TN_E_SHAPE, "expected [batch, channels, kernel - 1]");
    }
    TN_TRY(tn_infer_same(call, 0, INPUT));
    return tn_infer_out(call, 1, x->dtype, 3, (int64_t[]){batch, channels, rest});
}

static tn_status causal_prepare(tn_prepare *call) {
    for (int i = 0; i < call->in_count; i++)
        if (call->in[i] && call->in[i]->dtype != TN_FLOAT32)
            return tn_fail(TN_E_UNSUPPORTED, "input %d is %s; cast to float32", i, tn_dtype_name(call->in[i]->dtype));
    bool *swish = tn_prepare_alloc(call, sizeof *swish);
    if (!swish) return TN_E_MEMORY;
    *swish = strcmp(tn_attr_text(call->node, "activation", "none"), "none") != 0;
    call->state = swish;
    return TN_OK;
}

typedef struct {
    const float *x, *w, *bias, *past;
    float *y, *present;
    int64_t channels, length, kernel;
    const tn_kernels *kernels;
    bool swish;
} job;

/* Input number i of a row, which begins kernel - 1 places before its inputs. */
static float at(const job *j, const float *x, const float *past, int64_t i) {
    int64_t rest = j->kernel - 1;
    return i >= rest ? x[i - rest] : past ? past[i] : 0;
}

static void run_row(void *context, int64_t row) {
    const job *j = context;
    int64_t rest = j->kernel - 1, channel = row % j->channels;
    const float *x = j->x + row * j->length, *w = j->w + channel * j->kernel;
    const float *past = j->past ? j->past + row * rest : NULL;
    float *y = j->y + row * j->length;
    for (int64_t t = 0; t < j->length; t++) y[t] = j->bias ? j->bias[channel] : 0;
    for (int64_t k = 0; k < j->kernel; k++) {
        int64_t first = TN_MIN(rest - k, j->length); /* from there on all comes from x */
        for (int64_t t = 0; t < first; t++) y[t] += w[k] * at(j, x, past, t + k);
        for (int64_t t = first; t < j->length; t++) y[t] += w[k] * x[t + k - rest];
    }
    if (j->swish) j->kernels->swish_f32(y, y, (size_t)j->length, (const float[]){1});
    for (int64_t i = 0; j->present && i < rest; i++) j->present[row * rest + i] = at(j, x, past, j->length + i);
}

static tn_status causal_run(tn_run *call) {
    const tn_tensor *x = tn_in(call, INPUT), *bias = tn_in(call, BIAS), *past = tn_in(call, PAST);
    tn_tensor *y = tn_out(call, 0), *present = tn_out(call, 1);
    if (!y) return TN_OK;
    job j = {.x = x->data,
             .w = tn_in(call, WEIGHT)->data,
             .bias = bias ? bias->data : NULL,
             .past = past ? past->data : NULL,
             .y = y->data,
             .present = present ? present->data : NULL,
             .channels = x->dims[1],
             .length = x->dims[2],
             .kernel = tn_in(call, WEIGHT)->dims[2],
             .kernels = call->kernels,
             .swish = *(const bool *)call->state};
    tn_parallel(call->pool, x->dims[0] * x->dims[1], run_row, &j);
    return TN_OK;
}

const tn_op tn_ops_causal_conv[] = {
    {.name = "CausalConvWithState",
     .domain = "",
     .min_in = 2,
     .max_in = 4,
     .min_out = 1,
     .max_out = 2,
     .flags = TN_OP_WIDEN,
     .infer = causal_infer,
     .prepare = causal_prepare,
     .run = causal_run},
    {0},
};
