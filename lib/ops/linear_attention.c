/* LinearAttention: attention without a softmax, as a recurrence on a state [d_k, d_v] a head (ONNX 27; Yang et al.,
 * "Gated Delta Networks", arXiv 2412.06464).
 *
 * For each token: S *= exp(g); v' = v, or beta (v - S^T k) under the delta rules; S += k v'^T; o = scale q^T S. Heads of a
 * batch go their ways alone: a task is one of them. */
#include "ops/data.h"
#include <math.h>

enum { QUERY, KEY, VALUE, PAST, DECAY, BETA };

typedef struct linear_state {
    int64_t batch, tokens, q_heads, kv_heads, k_width, v_width;
    float scale;
    bool gated, delta, decay_per_head, one_beta;
} linear_state;

static tn_status read_rule(const tn_node *node, bool *gated, bool *delta) {
    const char *rule = tn_attr_text(node, "update_rule", "gated_delta");
    *gated = strcmp(rule, "gated") == 0 || strcmp(rule, "gated_delta") == 0;
    *delta = strcmp(rule, "delta") == 0 || strcmp(rule, "gated_delta") == 0;
    if (*gated || *delta || strcmp(rule, "linear") == 0) return TN_OK;
    return tn_fail(TN_E_INVALID, "update_rule is '%s'; expected linear, gated, delta or gated_delta", rule);
}

static tn_status check_packed(const tn_infer *call, int in, const tn_type *query) {
    TN_TRY(tn_infer_dtype(call, in, TN_FLOATS));
    const tn_type *type = call->in[in];
    if (type->rank < 0) return TN_OK;
    if (type->rank != 3) return tn_infer_fail(call, in, TN_E_SHAPE, "expected [batch, tokens, heads * width]");
    if (query->rank == 3 &&
        (!tn_dim_fits(type->dims[0], query->dims[0]) || !tn_dim_fits(type->dims[1], query->dims[1])))
        return tn_infer_fail(call, in, TN_E_SHAPE, "its batch and tokens must be those of the query");
    return TN_OK;
}

static int64_t part(const tn_type *type, int64_t heads) {
    return type->rank == 3 && type->dims[2] >= 0 ? type->dims[2] / heads : -1;
}

static tn_status check_side_inputs(const tn_infer *call, int64_t kv_heads, int64_t k_width, bool gated, bool delta) {
    if (gated != tn_infer_has(call, DECAY) || delta != tn_infer_has(call, BETA))
        return tn_fail(TN_E_FORMAT, "the update rule %s a decay and %s a beta", gated ? "needs" : "takes no",
                       delta ? "needs" : "takes no");
    for (int in = DECAY; in <= BETA; in++) {
        if (!tn_infer_has(call, in)) continue;
        TN_TRY(check_packed(call, in, call->in[QUERY]));
        int64_t last = call->in[in]->rank == 3 ? call->in[in]->dims[2] : -1;
        bool fits =
            last < 0 || last == kv_heads || (in == BETA ? last == 1 : k_width < 0 || last == kv_heads * k_width);
        if (!fits) return tn_infer_fail(call, in, TN_E_SHAPE, "its last dimension fits neither heads nor elements");
    }
    return TN_OK;
}

static tn_status linear_infer(tn_infer *call) {
    bool gated, delta;
    int64_t q_heads = tn_attr_int(call->node, "q_num_heads", 0), kv_heads = tn_attr_int(call->node, "kv_num_heads", 0);
    TN_TRY(read_rule(call->node, &gated, &delta));
    if (q_heads < 1 || kv_heads < 1 || q_heads % kv_heads)
        return tn_fail(TN_E_INVALID, "q_num_heads %lld must be a multiple of kv_num_heads %lld, both at least 1",
                       (long long)q_heads, (long long)kv_heads);
    for (int in = QUERY; in <= VALUE; in++) {
        int64_t heads = in == QUERY ? q_heads : kv_heads;
        TN_TRY(check_packed(call, in, call->in[QUERY]));
        if (call->in[in]->rank == 3 && call->in[in]->dims[2] >= 0 && call->in[in]->dims[2] % heads)
            return tn_infer_fail(call, in, TN_E_SHAPE, "%lld heads do not divide its last dimension", (long long)heads);
    }
    const tn_type *q = call->in[QUERY];
    int64_t k_width = part(q, q_heads), v_width = part(call->in[VALUE], kv_heads);
    if (!tn_dim_fits(k_width, part(call->in[KEY], kv_heads)))
        return tn_infer_fail(call, KEY, TN_E_SHAPE, "its heads must be %lld wide, as the query's", (long long)k_width);
    TN_TRY(check_side_inputs(call, kv_heads, k_width, gated, delta));
    int64_t batch = q->rank == 3 ? q->dims[0] : -1, tokens = q->rank == 3 ? q->dims[1] : -1;
    int64_t state[4] = {batch, kv_heads, k_width, v_width};
    tn_dtype dtype = q->dtype;
    if (tn_infer_has(call, PAST)) {
        TN_TRY(tn_infer_dtype(call, PAST, TN_FLOATS));
        const tn_type *past = call->in[PAST];
        bool fits = past->rank < 0 || past->rank == 4;
        for (int i = 0; fits && past->rank == 4 && i < 4; i++) fits = tn_dim_fits(past->dims[i], state[i]);
        if (!fits) return tn_infer_fail(call, PAST, TN_E_SHAPE, "expected [batch, kv_heads, key width, value width]");
        dtype = past->dtype;
    }
    TN_TRY(tn_infer_out(call, 0, q->dtype, 3, (int64_t[]){batch, tokens, v_width >= 0 ? q_heads * v_width : -1}));
    return tn_infer_out(call, 1, dtype, 4, state);
}

static tn_status linear_prepare(tn_prepare *call) {
    linear_state *s = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    call->state = s;
    TN_TRY(read_rule(call->node, &s->gated, &s->delta));
    for (int i = 0; i < call->in_count; i++)
        if (call->in[i] && call->in[i]->dtype != TN_FLOAT32)
            return tn_fail(TN_E_UNSUPPORTED, "input %d is %s; cast to float32", i, tn_dtype_name(call->in[i]->dtype));
    s->q_heads = tn_attr_int(call->node, "q_num_heads", 1);
    s->kv_heads = tn_attr_int(call->node, "kv_num_heads", 1);
    s->batch = call->in[QUERY]->dims[0];
    s->tokens = call->in[QUERY]->dims[1];
    s->k_width = part(call->in[QUERY], s->q_heads);
    s->v_width = part(call->in[VALUE], s->kv_heads);
    s->scale = tn_attr_float(call->node, "scale", 0);
    if (s->scale == 0) s->scale = 1 / sqrtf((float)TN_MAX(s->k_width, 1));
    s->decay_per_head = s->gated && call->in[DECAY]->dims[2] == s->kv_heads;
    s->one_beta = s->delta && call->in[BETA]->dims[2] == 1;
    /* A state for each head where none is put out, and a row of values. */
    size_t floats = (size_t)(s->batch * s->kv_heads), each;
    if (!tn_add_size((size_t)(s->k_width * s->v_width), (size_t)s->v_width, &each) ||
        !tn_mul_size(floats, each, &floats) || !tn_mul_size(floats, sizeof(float), &call->scratch))
        return tn_fail(TN_E_LIMIT, "its states are too large");
    return TN_OK;
}

typedef struct {
    const linear_state *s;
    const float *q, *k, *v, *past, *decay, *beta;
    float *out, *present, *scratch;
} job;

/* One token of one head: S is [k_width, v_width], row its v'. */
static void step(const job *j, int64_t b, int64_t t, int64_t head, float *state, float *row) {
    const linear_state *s = j->s;
    int64_t at = b * s->tokens + t, dk = s->k_width, dv = s->v_width;
    const float *k = j->k + (at * s->kv_heads + head) * dk, *v = j->v + (at * s->kv_heads + head) * dv;
    for (int64_t d = 0; s->gated && d < dk; d++) {
        float g = s->decay_per_head ? j->decay[at * s->kv_heads + head] : j->decay[(at * s->kv_heads + head) * dk + d];
        float factor = expf(g);
        for (int64_t m = 0; m < dv; m++) state[d * dv + m] *= factor;
    }
    memcpy(row, v, (size_t)dv * sizeof *row);
    if (s->delta) {
        for (int64_t d = 0; d < dk; d++)
            for (int64_t m = 0; m < dv; m++) row[m] -= state[d * dv + m] * k[d];
        float beta = s->one_beta ? j->beta[at] : j->beta[at * s->kv_heads + head];
        for (int64_t m = 0; m < dv; m++) row[m] *= beta;
    }
    for (int64_t d = 0; d < dk; d++)
        for (int64_t m = 0; m < dv; m++) state[d * dv + m] += k[d] * row[m];
    int64_t group = s->q_heads / s->kv_heads;
    for (int64_t g = head * group; g < (head + 1) * group; g++) {
        const float *q = j->q + (at * s->q_heads + g) * dk;
        float *out = j->out + (at * s->q_heads + g) * dv;
        memset(out, 0, (size_t)dv * sizeof *out);
        for (int64_t d = 0; d < dk; d++)
            for (int64_t m = 0; m < dv; m++) out[m] += q[d] * state[d * dv + m];
        for (int64_t m = 0; m < dv; m++) out[m] *= s->scale;
    }
}

static void run_head(void *context, int64_t index) {
    const job *j = context;
    const linear_state *s = j->s;
    size_t size = (size_t)(s->k_width * s->v_width);
    float *own = j->scratch + (size_t)index * (size + (size_t)s->v_width), *row = own + size;
    float *state = j->present ? j->present + (size_t)index * size : own;
    if (j->past)
        memcpy(state, j->past + (size_t)index * size, size * sizeof *state);
    else
        memset(state, 0, size * sizeof *state);
    for (int64_t t = 0; t < s->tokens; t++) step(j, index / s->kv_heads, t, index % s->kv_heads, state, row);
}

static const float *floats(const tn_tensor *t) {
    return t ? t->data : NULL;
}

static tn_status linear_run(tn_run *call) {
    const linear_state *s = call->state;
    tn_tensor *out = tn_out(call, 0), *present = tn_out(call, 1);
    job j = {.s = s, .q = floats(tn_in(call, QUERY)), .k = floats(tn_in(call, KEY)), .v = floats(tn_in(call, VALUE))};
    j.past = floats(tn_in(call, PAST));
    j.decay = floats(tn_in(call, DECAY));
    j.beta = floats(tn_in(call, BETA));
    j.scratch = call->scratch;
    if (!out) return TN_OK;
    j.out = out->data;
    j.present = present ? present->data : NULL;
    tn_parallel(call->pool, s->batch * s->kv_heads, run_head, &j);
    return TN_OK;
}

const tn_op tn_ops_linear_attention[] = {
    {.name = "LinearAttention",
     .domain = "",
     .min_in = 3,
     .max_in = 6,
     .min_out = 1,
     .max_out = 2,
     .flags = TN_OP_WIDEN,
     .infer = linear_infer,
     .prepare = linear_prepare,
     .run = linear_run},
    {0},
};
