/* IsInf and IsNaN, on all floating types. */
#include "graph/op.h"
#include "base/element.h"
#include <math.h>

static const tn_dtype all_floats[] = {TN_FLOAT32,        TN_FLOAT16,    TN_BFLOAT16,       TN_FLOAT64,  TN_FLOAT8E4M3FN,
                                      TN_FLOAT8E4M3FNUZ, TN_FLOAT8E5M2, TN_FLOAT8E5M2FNUZ, TN_UNDEFINED};

static tn_status classify_infer(tn_infer *call) {
    TN_TRY(tn_infer_dtype(call, 0, all_floats));
    return tn_infer_out(call, 0, TN_BOOL, call->in[0]->rank, call->in[0]->dims);
}

typedef struct state {
    bool is_nan, positive, negative;
} state;

static tn_status classify_prepare(tn_prepare *call) {
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    s->is_nan = strcmp(call->node->op->name, "IsNaN") == 0;
    s->positive = tn_attr_int(call->node, "detect_positive", 1) != 0;
    s->negative = tn_attr_int(call->node, "detect_negative", 1) != 0;
    return TN_OK;
}

static tn_status classify_run(tn_run *call) {
    enum { BUFFER = 256 };
    const state *s = call->state;
    const tn_tensor *x = tn_in(call, 0);
    tn_tensor *y = tn_out(call, 0);
    if (!y) return TN_OK;
    bool *out = y->data;
    double values[BUFFER];
    int64_t count = tn_count(x);
    for (int64_t at = 0; at < count; at += BUFFER) {
        size_t n = (size_t)TN_MIN(count - at, (int64_t)BUFFER);
        tn_read_doubles(x->dtype, x->data, at, n, values);
        for (size_t i = 0; i < n; i++)
            out[(size_t)at + i] = s->is_nan       ? isnan(values[i])
                                  : values[i] > 0 ? isinf(values[i]) && s->positive
                                                  : isinf(values[i]) && s->negative;
    }
    return TN_OK;
}

const tn_op tn_ops_isinf[] = {
    {.domain = "",
     .name = "IsInf",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .infer = classify_infer,
     .prepare = classify_prepare,
     .run = classify_run},
    {.domain = "",
     .name = "IsNaN",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .infer = classify_infer,
     .prepare = classify_prepare,
     .run = classify_run},
    {0},
};
