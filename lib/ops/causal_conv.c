/* CausalConvWithState: a depthwise convolution along the last axis that looks back only; what it looks back at before
 * the start is the state, the last k - 1 inputs of the call before. */
#include "graph/op.h"
#include "ops/scratch.h"

static const tn_dtype FLOAT[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_UNDEFINED};

enum { X, W, BIAS, PAST };

typedef struct causal_conv {
    size_t batch, channels, length, taps;
    bool swish;
} causal_conv;

static tn_status check(const tn_infer *call, int in, int rank, const int64_t *dims) {
    if (!tn_infer_has(call, in)) return TN_OK;
    TN_TRY(tn_infer_dtype(call, in, FLOAT));
    const tn_type *t = call->in[in];
    bool fits = t->rank < 0 || t->rank == rank;
    for (int i = 0; fits && i < t->rank; i++) fits = dims[i] < 0 || t->dims[i] < 0 || t->dims[i] == dims[i];
    char text[120];
    if (fits) return TN_OK;
    return tn_infer_fail(call, in, TN_E_SHAPE, "expected %s",
                         tn_shape_text(text, sizeof text, TN_UNDEFINED, rank, dims));
}

static tn_status read_activation(const tn_node *node, bool *swish) {
    const char *name = tn_attr_text(node, "activation", "none");
    *swish = strcmp(name, "silu") == 0 || strcmp(name, "swish") == 0;
    if (*swish || strcmp(name, "none") == 0) return TN_OK;
    return tn_fail(TN_E_INVALID, "activation is '%.40s'; expected silu, swish or none", name);
}

static tn_status infer(tn_infer *call) {
    const int64_t any[] = {-1, -1, -1};
    bool swish;
    TN_TRY(read_activation(call->node, &swish));
    TN_TRY(check(call, X, 3, any));
    TN_TRY(check(call, W, 3, (int64_t[]){call->in[X]->rank == 3 ? call->in[X]->dims[1] : -1, 1, -1}));
    const tn_type *x = call->in[X], *w = call->in[W];
    int64_t channels = x->rank == 3 ? x->dims[1] : -1, taps = w->rank == 3 ? w->dims[2] : -1;
    if (taps == 0) return tn_infer_fail(call, W, TN_E_SHAPE, "expected at least one tap");
    const int64_t state[] = {x->rank == 3 ? x->dims[0] : -1, channels, taps < 0 ? -1 : taps - 1};
    TN_TRY(check(call, BIAS, 1, &channels));
    TN_TRY(check(call, PAST, 3, state));
    TN_TRY(tn_infer_out(call, 0, x->dtype, x->rank, x->dims));
    return tn_infer_out(call, 1, x->dtype, x->rank < 0 ? -1 : 3, state);
}

static tn_status prepare(tn_prepare *call) {
    causal_conv *c = tn_prepare_alloc(call, sizeof *c);
    if (!c) return TN_E_MEMORY;
    const int64_t *x = call->in[X]->dims;
    *c = (causal_conv){(size_t)x[0], (size_t)x[1], (size_t)x[2], (size_t)call->in[W]->dims[2], false};
    TN_TRY(read_activation(call->node, &c->swish));
    call->state = c;
    /* A row with its past in front, for each thread. */
    size_t row;
    bool fits = tn_add_size(c->length, c->taps, &row) && row < SIZE_MAX / 8 &&
                tn_scratch_add(&call->scratch, (size_t)call->threads, (row * sizeof(float) + 63) / 64 * 64);
    return fits ? TN_OK : tn_fail(TN_E_SHAPE, "rows of %zu with %zu taps are too large", c->length, c->taps);
}

static void convolve_row(void *context, int64_t row) {
    const tn_run *call = context;
    const causal_conv *c = call->state;
    const tn_tensor *bias = tn_in(call, BIAS), *past = tn_in(call, PAST);
    tn_tensor *present = tn_out(call, 1);
    size_t at = (size_t)row, back = c->taps - 1, channel = at % c->channels;
    size_t bytes = ((c->length + c->taps) * sizeof(float) + 63) / 64 * 64;
    float *x = (float *)(void *)((uint8_t *)call->scratch + (size_t)tn_worker_index() * bytes);
    float *y = (float *)tn_out(call, 0)->data + at * c->length;
    const float *w = (const float *)tn_in(call, W)->data + channel * c->taps;
    if (past)
        memcpy(x, (const float *)past->data + at * back, back * sizeof *x);
    else
        memset(x, 0, back * sizeof *x);
    memcpy(x + back, (const float *)tn_in(call, X)->data + at * c->length, c->length * sizeof *x);
    for (size_t i = 0; i < c->length; i++) y[i] = bias ? ((const float *)bias->data)[channel] : 0;
    for (size_t t = 0; t < c->taps; t++)
        for (size_t i = 0; i < c->length; i++) y[i] += w[t] * x[i + t];
    if (c->swish) call->kernels->swish_f32(y, y, c->length, (const float[]){1});
    if (present) memcpy((float *)present->data + at * back, x + c->length, back * sizeof *x);
}

static tn_status run(tn_run *call) {
    const causal_conv *c = call->state;
    if (!tn_out(call, 0)) return TN_OK;
    bool small = c->length * c->taps < 4096;
    tn_parallel(small ? NULL : call->pool, (int64_t)(c->batch * c->channels), convolve_row, call);
    return TN_OK;
}

const tn_op tn_ops_causal_conv[] = {
    {.domain = "",
     .name = "CausalConvWithState",
     .min_in = 2,
     .max_in = 4,
     .min_out = 1,
     .max_out = 2,
     .flags = TN_OP_WIDEN,
     .infer = infer,
     .prepare = prepare,
     .run = run},
    {0},
};
