/* ConvInteger and QLinearConv. The convolution is in qconv.c. */
#include "ops/qconv.h"
#include "ops/quant.h"

static const tn_dtype BYTES[] = {TN_UINT8, TN_INT8, TN_UNDEFINED};
static const tn_dtype FLOAT[] = {TN_FLOAT32, TN_UNDEFINED};

static tn_status infer_type_of(const tn_infer *call, int in, int of) {
    if (!tn_infer_has(call, in)) return TN_OK;
    if (call->in[in]->dtype && call->in[of]->dtype && call->in[in]->dtype != call->in[of]->dtype)
        return tn_infer_fail(call, in, TN_E_TYPE, "expected the type of input %d, %s", of,
                             tn_dtype_name(call->in[of]->dtype));
    return TN_OK;
}

/* One element, or a vector of one for each output channel. */
static tn_status infer_per_map(const tn_infer *call, int in, int w, bool or_single) {
    if (!tn_infer_has(call, in) || call->in[in]->rank < 0) return TN_OK;
    const tn_type *t = call->in[in], *weights = call->in[w];
    if (or_single && (t->rank == 0 || (t->rank == 1 && t->dims[0] == 1))) return TN_OK;
    if (t->rank == 1 && (t->dims[0] < 0 || weights->rank < 1 || weights->dims[0] < 0 || t->dims[0] == weights->dims[0]))
        return TN_OK;
    return tn_infer_fail(call, in, TN_E_SHAPE, "expected one value for each output channel%s",
                         or_single ? ", or a scalar" : "");
}

/* ---- ConvInteger(x, w, x_zero, w_zero) ---- */
static tn_status infer_integer(tn_infer *call) {
    int rank;
    int64_t dims[TN_MAX_RANK];
    for (int i = 0; i < 2; i++) {
        TN_TRY(tn_infer_dtype(call, i, BYTES));
        TN_TRY(infer_type_of(call, 2 + i, i));
    }
    TN_TRY(tn_infer_single(call, 2));
    TN_TRY(infer_per_map(call, 3, 1, true));
    TN_TRY(tn_infer_qconv(call, 0, 1, &rank, dims));
    return tn_infer_out(call, 0, TN_INT32, rank, dims);
}

static tn_status prepare_integer(tn_prepare *call) {
    tn_qconv *q = tn_prepare_alloc(call, sizeof *q);
    if (!q) return TN_E_MEMORY;
    TN_TRY(tn_qconv_prepare(call, q, 0, 1));
    call->state = q;
    call->scratch = q->scratch;
    return TN_OK;
}

static tn_status run_integer(tn_run *call) {
    tn_tensor *y = tn_out(call, 0);
    if (!y) return TN_OK;
    tn_qconv_call c = {.x = tn_in(call, 0)->data,
                       .w = tn_in(call, 1)->data,
                       .w_zero = tn_in(call, 3),
                       .y = y->data,
                       .y_type = TN_INT32};
    tn_quant_zeros(tn_in(call, 2), 1, &c.x_zero);
    tn_qconv_run(call->state, call, &c, call->scratch);
    return TN_OK;
}

/* ---- QLinearConv(x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias) ---- */
static tn_status infer_linear(tn_infer *call) {
    static const tn_dtype sums[] = {TN_INT32, TN_UNDEFINED};
    int rank;
    int64_t dims[TN_MAX_RANK];
    for (int i = 0; i < 2; i++) {
        TN_TRY(tn_infer_dtype(call, 3 * i, BYTES));
        TN_TRY(infer_type_of(call, 3 * i + 2, 3 * i));
    }
    TN_TRY(tn_infer_dtype(call, 7, BYTES));
    TN_TRY(tn_infer_dtype(call, 1, FLOAT));
    TN_TRY(tn_infer_dtype(call, 4, FLOAT));
    TN_TRY(tn_infer_dtype(call, 6, FLOAT));
    for (int in = 1; in <= 7; in++)
        if (in == 4 || in == 5)
            TN_TRY(infer_per_map(call, in, 3, true));
        else if (in != 3)
            TN_TRY(tn_infer_single(call, in));
    if (tn_infer_has(call, 8)) {
        TN_TRY(tn_infer_dtype(call, 8, sums));
        TN_TRY(infer_per_map(call, 8, 3, false));
    }
    TN_TRY(tn_infer_qconv(call, 0, 3, &rank, dims));
    return tn_infer_out(call, 0, call->in[7]->dtype, rank, dims);
}

typedef struct linear {
    tn_qconv q;
    size_t scales;
} linear;

static tn_status prepare_linear(tn_prepare *call) {
    linear *s = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    TN_TRY(tn_qconv_prepare(call, &s->q, 0, 3));
    s->scales = (size_t)tn_type_count(call->in[4]);
    call->state = s;
    call->scratch = s->q.scratch + s->scales * sizeof(float);
    return TN_OK;
}

static tn_status run_linear(tn_run *call) {
    const linear *s = call->state;
    tn_tensor *y = tn_out(call, 0);
    if (!y) return TN_OK;
    const tn_tensor *bias = tn_in(call, 8);
    const float x_scale = *(const float *)tn_in(call, 1)->data, y_scale = *(const float *)tn_in(call, 6)->data;
    const float *w_scale = tn_in(call, 4)->data;
    float *scale = (float *)(void *)((uint8_t *)call->scratch + s->q.scratch);
    for (size_t i = 0; i < s->scales; i++) scale[i] = x_scale * w_scale[i] / y_scale;
    tn_qconv_call c = {.x = tn_in(call, 0)->data,
                       .w = tn_in(call, 3)->data,
                       .w_zero = tn_in(call, 5),
                       .bias = bias ? bias->data : NULL,
                       .y = y->data,
                       .y_type = y->dtype,
                       .scale = scale,
                       .scale_step = s->scales > 1};
    tn_quant_zeros(tn_in(call, 2), 1, &c.x_zero);
    tn_quant_zeros(tn_in(call, 7), 1, &c.y_zero);
    tn_qconv_run(&s->q, call, &c, call->scratch);
    return TN_OK;
}

const tn_op tn_ops_conv_integer[] = {
    {.domain = "",
     .name = "ConvInteger",
     .min_in = 2,
     .max_in = 4,
     .min_out = 1,
     .max_out = 1,
     .infer = infer_integer,
     .prepare = prepare_integer,
     .run = run_integer},
    {.domain = "",
     .name = "QLinearConv",
     .min_in = 8,
     .max_in = 9,
     .min_out = 1,
     .max_out = 1,
     .infer = infer_linear,
     .prepare = prepare_linear,
     .run = run_linear},
    {0},
};
