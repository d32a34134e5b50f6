/* LinearAttention: a state of [size of k, size of v] for each head instead of all keys and values. With g the decay and
 * b the update rate, where the rule has them, each step does
 *
 *     S = exp(g) S;  v' = b (v - S^T k) or v;  S = S + k v'^T;  y = scale * S^T q
 *
 * Heads are independent: one task each. Heads of queries share the state of their group. */
#include "graph/op.h"
#include "ops/scratch.h"

static const tn_dtype FLOAT[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_UNDEFINED};

enum { Q, K, V, PAST, DECAY, BETA };

typedef struct linear_attention {
    size_t batch, length, q_heads, kv_heads, size, v_size;
    bool gated, delta;
    size_t decay_width, beta_width; /* of a head of DECAY: 1 or `size`; of BETA: kv_heads or 1 */
    float scale;
} linear_attention;

static tn_status read_rule(const tn_node *node, bool *gated, bool *delta) {
    const char *rule = tn_attr_text(node, "update_rule", "gated_delta");
    *delta = strcmp(rule, "delta") == 0 || strcmp(rule, "gated_delta") == 0;
    *gated = strcmp(rule, "gated") == 0 || strcmp(rule, "gated_delta") == 0;
    if (*delta || *gated || strcmp(rule, "linear") == 0) return TN_OK;
    return tn_fail(TN_E_INVALID, "update_rule is '%.40s'; expected linear, gated, delta or gated_delta", rule);
}

static tn_status check(const tn_infer *call, int in, bool wanted, int rank, const int64_t *dims) {
    if (tn_infer_has(call, in) != wanted)
        return tn_fail(TN_E_INVALID, "input %d is %s, but the update rule %s it", in, wanted ? "absent" : "given",
                       wanted ? "needs" : "has no use for");
    if (!wanted || call->in[in]->rank < 0) return TN_OK;
    const tn_type *t = call->in[in];
    bool fits = t->rank == rank;
    for (int i = 0; fits && i < rank; i++) fits = dims[i] < 0 || t->dims[i] < 0 || t->dims[i] == dims[i];
    char text[120];
    if (fits) return TN_OK;
    return tn_infer_fail(call, in, TN_E_SHAPE, "expected %s",
                         tn_shape_text(text, sizeof text, TN_UNDEFINED, rank, dims));
}

static tn_status infer_linear(tn_infer *call) {
    const tn_type *q = call->in[Q], *k = call->in[K], *v = call->in[V];
    int64_t heads = tn_attr_int(call->node, "q_num_heads", 0), groups = tn_attr_int(call->node, "kv_num_heads", 0);
    bool gated, delta;
    for (int i = 0; i < call->in_count; i++)
        if (tn_infer_has(call, i)) TN_TRY(tn_infer_dtype(call, i, FLOAT));
    TN_TRY(read_rule(call->node, &gated, &delta));
    if (heads < 1 || groups < 1 || heads % groups != 0)
        return tn_fail(TN_E_INVALID, "q_num_heads is %lld and kv_num_heads %lld; expected a multiple of it",
                       (long long)heads, (long long)groups);
    const tn_dtype dtype = q->dtype, state_dtype = tn_infer_has(call, PAST) ? call->in[PAST]->dtype : dtype;
    if (q->rank < 0 || k->rank < 0 || v->rank < 0) {
        TN_TRY(tn_infer_out(call, 0, dtype, -1, NULL));
        return tn_infer_out(call, 1, state_dtype, -1, NULL);
    }
    for (int i = Q; i <= V; i++) {
        const tn_type *t = call->in[i];
        int64_t split = i == Q ? heads : groups;
        if (t->rank != 3 || (t->dims[2] >= 0 && t->dims[2] % split != 0))
            return tn_infer_fail(call, i, TN_E_SHAPE, "expected [batch, length, %lld heads * size]", (long long)split);
    }
    int64_t size = q->dims[2] < 0 ? -1 : q->dims[2] / heads, v_size = v->dims[2] < 0 ? -1 : v->dims[2] / groups;
    int64_t batch = q->dims[0], length = q->dims[1], width = size < 0 ? -1 : size * groups;
    const int64_t y[] = {batch, length, v_size < 0 ? -1 : v_size * heads}, state[] = {batch, groups, size, v_size};
    const int64_t rates[] = {batch, length, -1};
    TN_TRY(check(call, K, true, 3, (int64_t[]){batch, length, width}));
    TN_TRY(check(call, V, true, 3, rates));
    if (tn_infer_has(call, PAST)) TN_TRY(check(call, PAST, true, 4, state));
    TN_TRY(check(call, DECAY, gated, 3, rates));
    TN_TRY(check(call, BETA, delta, 3, rates));
    if (gated && call->in[DECAY]->rank == 3 && call->in[DECAY]->dims[2] >= 0 && call->in[DECAY]->dims[2] != groups &&
        width >= 0 && call->in[DECAY]->dims[2] != width)
        return tn_infer_fail(call, DECAY, TN_E_SHAPE, "expected %lld or %lld as last dimension", (long long)groups,
                             (long long)width);
    if (delta && call->in[BETA]->rank == 3 && call->in[BETA]->dims[2] > 1 && call->in[BETA]->dims[2] != groups)
        return tn_infer_fail(call, BETA, TN_E_SHAPE, "expected %lld or 1 as last dimension", (long long)groups);
    TN_TRY(tn_infer_out(call, 0, dtype, 3, y));
    return tn_infer_out(call, 1, state_dtype, 4, state);
}

static tn_status prepare_linear(tn_prepare *call) {
    linear_attention *a = tn_prepare_alloc(call, sizeof *a);
    if (!a) return TN_E_MEMORY;
    const tn_type *q = call->in[Q], *v = call->in[V];
    a->q_heads = (size_t)tn_attr_int(call->node, "q_num_heads", 1);
    a->kv_heads = (size_t)tn_attr_int(call->node, "kv_num_heads", 1);
    a->batch = (size_t)q->dims[0];
    a->length = (size_t)q->dims[1];
    a->size = (size_t)q->dims[2] / a->q_heads;
    a->v_size = (size_t)v->dims[2] / a->kv_heads;
    TN_TRY(read_rule(call->node, &a->gated, &a->delta));
    a->decay_width = a->gated ? (size_t)call->in[DECAY]->dims[2] / a->kv_heads : 0;
    a->beta_width = a->delta ? (size_t)call->in[BETA]->dims[2] : 0;
    a->scale = tn_attr_float(call->node, "scale", 0);
    if (a->scale == 0 && a->size) a->scale = 1 / __builtin_sqrtf((float)a->size);
    call->state = a;
    /* The state, where nobody asks for it, and v' of each head. */
    size_t heads, state;
    bool fits = tn_mul_size(a->batch, a->kv_heads, &heads) && tn_mul_size(a->size + 1, a->v_size, &state) &&
                tn_mul_size(heads, state, &state) && tn_scratch_add(&call->scratch, state, sizeof(float));
    return fits ? TN_OK : tn_fail(TN_E_SHAPE, "the states are too large");
}

typedef struct linear_job {
    const linear_attention *a;
    const tn_run *call;
    float *states, *values;
} linear_job;

static const float *row_of(const linear_job *j, int in, size_t batch, size_t step, size_t width, size_t at) {
    return (const float *)tn_in(j->call, in)->data + (batch * j->a->length + step) * width + at;
}

static void step_head(const linear_job *j, size_t batch, size_t head, size_t step, float *state, float *value) {
    const linear_attention *a = j->a;
    size_t n = a->v_size;
    const float *k = row_of(j, K, batch, step, a->kv_heads * a->size, head * a->size);
    const float *v = row_of(j, V, batch, step, a->kv_heads * n, head * n);
    const float *g =
        a->gated ? row_of(j, DECAY, batch, step, a->kv_heads * a->decay_width, head * a->decay_width) : NULL;
    for (size_t d = 0; g && d < a->size; d++) {
        float factor;
        j->call->kernels->exp_f32(&factor, &g[a->decay_width > 1 ? d : 0], 1, NULL);
        for (size_t i = 0; i < n; i++) state[d * n + i] *= factor;
    }
    memcpy(value, v, n * sizeof *value);
    if (a->delta) {
        float rate = *row_of(j, BETA, batch, step, a->beta_width, a->beta_width > 1 ? head : 0);
        for (size_t d = 0; d < a->size; d++)
            for (size_t i = 0; i < n; i++) value[i] -= state[d * n + i] * k[d];
        for (size_t i = 0; i < n; i++) value[i] *= rate;
    }
    for (size_t d = 0; d < a->size; d++)
        for (size_t i = 0; i < n; i++) state[d * n + i] += k[d] * value[i];
    size_t group = a->q_heads / a->kv_heads;
    float *y = (float *)tn_out(j->call, 0)->data + ((batch * a->length + step) * a->q_heads + head * group) * n;
    const float *q = row_of(j, Q, batch, step, a->q_heads * a->size, head * group * a->size);
    for (size_t h = 0; h < group; h++, y += n, q += a->size) {
        memset(y, 0, n * sizeof *y);
        for (size_t d = 0; d < a->size; d++)
            for (size_t i = 0; i < n; i++) y[i] += state[d * n + i] * q[d];
        for (size_t i = 0; i < n; i++) y[i] *= a->scale;
    }
}

static void run_head(void *context, int64_t task) {
    const linear_job *j = context;
    const linear_attention *a = j->a;
    size_t batch = (size_t)task / a->kv_heads, head = (size_t)task % a->kv_heads, count = a->size * a->v_size;
    float *state = j->states + (size_t)task * count;
    const tn_tensor *past = tn_in(j->call, PAST);
    if (past)
        memcpy(state, (const float *)past->data + (size_t)task * count, count * sizeof *state);
    else
        memset(state, 0, count * sizeof *state);
    for (size_t t = 0; t < a->length; t++) step_head(j, batch, head, t, state, j->values + (size_t)task * a->v_size);
}

static tn_status run_linear(tn_run *call) {
    const linear_attention *a = call->state;
    tn_tensor *present = tn_out(call, 1);
    size_t heads = a->batch * a->kv_heads;
    if (!tn_out(call, 0)) return TN_OK;
    linear_job j = {a, call, present ? present->data : call->scratch, NULL};
    j.values = (float *)call->scratch + heads * a->size * a->v_size;
    bool small = heads * a->length * a->size * a->v_size < 20000;
    tn_parallel(small ? NULL : call->pool, (int64_t)heads, run_head, &j);
    return TN_OK;
}

const tn_op tn_ops_linear_attention[] = {
    {.domain = "",
     .name = "LinearAttention",
     .min_in = 3,
     .max_in = 6,
     .min_out = 1,
     .max_out = 2,
     .flags = TN_OP_WIDEN,
     .infer = infer_linear,
     .prepare = prepare_linear,
     .run = run_linear},
    {0},
};
