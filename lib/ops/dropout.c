/* Dropout: nothing at all in inference; in training mode elements are zeroed at random and the others scaled up. */
#include "base/element.h"
#include "ops/data.h"

typedef struct state {
    bool seeded;
    uint64_t seed;
} state;

static const tn_dtype dropout_types[] = {TN_FLOAT32,    TN_FLOAT16,        TN_BFLOAT16,
                                         TN_FLOAT64,    TN_FLOAT8E4M3FN,   TN_FLOAT8E4M3FNUZ,
                                         TN_FLOAT8E5M2, TN_FLOAT8E5M2FNUZ, TN_UNDEFINED};

static tn_status dropout_infer(tn_infer *call) {
    TN_TRY(tn_infer_dtype(call, 0, dropout_types));
    if (tn_infer_has(call, 1)) TN_TRY(tn_infer_dtype(call, 1, dropout_types));
    if (tn_infer_has(call, 2)) TN_TRY(tn_infer_dtype(call, 2, (const tn_dtype[]){TN_BOOL, TN_UNDEFINED}));
    for (int i = 1; i < TN_MIN(call->in_count, 3); i++)
        for (int k = 0; tn_infer_has(call, i) && k < call->in[i]->rank; k++)
            if (!tn_dim_fits(call->in[i]->dims[k], 1)) return tn_infer_fail(call, i, TN_E_SHAPE, "expected a scalar");
    TN_TRY(tn_infer_out(call, 1, TN_BOOL, call->in[0]->rank, call->in[0]->dims));
    return tn_infer_same(call, 0, 0);
}

static tn_status dropout_prepare(tn_prepare *call) {
    const tn_attr *seed = tn_node_attr(call->node, "seed");
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    s->seeded = seed && seed->kind == TN_ATTR_INT;
    s->seed = s->seeded ? (uint64_t)seed->i : 0;
    return TN_OK;
}

static bool dropout_view(const tn_prepare *call, int out, int *in, size_t *byte_offset) {
    *in = 0;
    *byte_offset = 0;
    return out == 0 && (!tn_prepare_has(call, 2) || (call->value[2] && !*(const bool *)call->value[2]->data));
}

static tn_status dropout_run(tn_run *call) {
    state *s = call->state;
    const tn_tensor *x = tn_in(call, 0), *ratio_tensor = tn_in(call, 1), *training = tn_in(call, 2);
    tn_tensor *y = tn_out(call, 0), *mask = tn_out(call, 1);
    double ratio = ratio_tensor ? tn_get_double(ratio_tensor->dtype, ratio_tensor->data, 0) : 0.5;
    int64_t count = tn_count(x);
    if (!training || !*(const bool *)training->data || ratio == 0) {
        if (mask && count) memset(mask->data, true, (size_t)count);
        return tn_run_same_bytes(call);
    }
    if (!(ratio >= 0 && ratio < 1)) return tn_fail(TN_E_INVALID, "input 1 is %g; expected a ratio in [0, 1)", ratio);
    for (int64_t i = 0; i < count; i++) {
        double random = (double)(tn_run_random(call, s->seeded ? &s->seed : NULL) >> 11) * 0x1p-53;
        bool kept = random >= ratio;
        if (mask) ((bool *)mask->data)[i] = kept;
        if (y) tn_set_double(y->dtype, y->data, i, kept ? tn_get_double(x->dtype, x->data, i) / (1 - ratio) : 0);
    }
    return TN_OK;
}

const tn_op tn_ops_dropout[] = {
    {.domain = "",
     .name = "Dropout",
     .min_in = 1,
     .max_in = 3,
     .min_out = 1,
     .max_out = 2,
     .flags = TN_OP_IN_PLACE | TN_OP_RANDOM,
     .infer = dropout_infer,
     .prepare = dropout_prepare,
     .run = dropout_run,
     .view = dropout_view},
    {0},
};
