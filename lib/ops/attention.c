/* Attention of ai.onnx, and ScaledAttention of the domain "tenon", which a pass makes of the nodes of exporters. The
 * work is in attention_core.c; here operands are found, and keys and values of the past put before the new ones.
 *
 * ScaledAttention {Q, K, V, mask; scale}: [B, H, S, D] each, leading dims of 1 broadcast; the mask is float32 and
 * broadcasts to [B, H, S, S of K]. */
#include "ops/attention_core.h"
#include "ops/scratch.h"

/* float64 would need a core of its own. */
static const tn_dtype FLOAT[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_UNDEFINED};
static const tn_dtype MASK[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_BOOL, TN_UNDEFINED};

enum { Q, K, V, MASK_IN, PAST_K, PAST_V, LENGTHS };

/* Dims of Q, K and V, as in tn_type, whether they come in three dimensions or four. */
typedef struct shape {
    bool flat; /* [batch, length, heads * size] */
    int64_t batch, heads, kv_heads, q_length, new_length, past, total, size, v_size;
} shape;

static tn_status split(const tn_infer *call, int in, int64_t heads, int64_t *length, int64_t *size) {
    const tn_type *t = call->in[in];
    *length = t->dims[1];
    *size = t->dims[2] < 0 ? -1 : t->dims[2] / heads;
    if (t->dims[2] >= 0 && t->dims[2] % heads != 0)
        return tn_infer_fail(call, in, TN_E_SHAPE, "its last dimension is not divisible by %lld heads",
                             (long long)heads);
    return TN_OK;
}

static int64_t known(int64_t a, int64_t b) {
    return a >= 0 ? a : b;
}

/* Fills *s; false in *out_known where a rank is unknown. */
static tn_status read_shape(const tn_infer *call, shape *s, bool *out_known) {
    const tn_type *q = call->in[Q], *k = call->in[K], *v = call->in[V];
    *out_known = q->rank >= 0 && k->rank >= 0 && v->rank >= 0;
    if (!*out_known) return TN_OK;
    if (q->rank != 3 && q->rank != 4) return tn_infer_fail(call, Q, TN_E_SHAPE, "expected three or four dimensions");
    for (int i = K; i <= V; i++)
        if (call->in[i]->rank != q->rank)
            return tn_infer_fail(call, i, TN_E_SHAPE, "expected %d dimensions as input 0", q->rank);
    *s = (shape){.flat = q->rank == 3, .batch = known(known(q->dims[0], k->dims[0]), v->dims[0])};
    int64_t v_length, k_size, v_heads;
    if (s->flat) {
        s->heads = tn_attr_int(call->node, "q_num_heads", 0);
        s->kv_heads = v_heads = tn_attr_int(call->node, "kv_num_heads", 0);
        if (s->heads < 1 || s->kv_heads < 1)
            return tn_fail(TN_E_INVALID,
                           "q_num_heads is %lld and kv_num_heads %lld; inputs of three dimensions need both",
                           (long long)s->heads, (long long)s->kv_heads);
        TN_TRY(split(call, Q, s->heads, &s->q_length, &s->size));
        TN_TRY(split(call, K, s->kv_heads, &s->new_length, &k_size));
        TN_TRY(split(call, V, s->kv_heads, &v_length, &s->v_size));
    } else {
        s->heads = q->dims[1], s->q_length = q->dims[2], s->size = q->dims[3];
        s->kv_heads = k->dims[1], s->new_length = k->dims[2], k_size = k->dims[3];
        v_heads = v->dims[1], v_length = v->dims[2], s->v_size = v->dims[3];
    }
    if (s->size >= 0 && k_size >= 0 && s->size != k_size)
        return tn_infer_fail(call, K, TN_E_SHAPE, "its heads have %lld elements, those of input 0 %lld",
                             (long long)k_size, (long long)s->size);
    if (s->new_length >= 0 && v_length >= 0 && s->new_length != v_length)
        return tn_infer_fail(call, V, TN_E_SHAPE, "expected the length of input 1, %lld", (long long)s->new_length);
    if (v_heads >= 0 && s->kv_heads >= 0 && v_heads != s->kv_heads)
        return tn_infer_fail(call, V, TN_E_SHAPE, "expected %lld heads as input 1", (long long)s->kv_heads);
    if (s->heads >= 0 && s->kv_heads >= 0 && (s->kv_heads == 0 || s->heads % s->kv_heads != 0))
        return tn_fail(TN_E_SHAPE, "%lld heads of queries share %lld of keys; expected a multiple", (long long)s->heads,
                       (long long)s->kv_heads);
    for (int i = K; i <= V; i++)
        if (s->batch >= 0 && call->in[i]->dims[0] >= 0 && call->in[i]->dims[0] != s->batch)
            return tn_infer_fail(call, i, TN_E_SHAPE, "expected batch %lld", (long long)s->batch);
    s->size = known(s->size, k_size);
    s->past = 0;
    for (int i = PAST_K; i <= PAST_V; i++) {
        if (!tn_infer_has(call, i)) continue;
        const tn_type *past = call->in[i];
        if (past->rank < 0) {
            s->past = -1;
            continue;
        }
        const int64_t want[] = {s->batch, s->kv_heads, i == PAST_K ? -1 : s->past, i == PAST_K ? s->size : s->v_size};
        for (int d = 0; d < 4; d++)
            if (past->rank != 4 || (want[d] >= 0 && past->dims[d] >= 0 && past->dims[d] != want[d]))
                return tn_infer_fail(call, i, TN_E_SHAPE,
                                     "expected [batch, heads of keys, past length, size of a head]");
        s->past = past->dims[2];
    }
    s->total = s->past < 0 || s->new_length < 0 ? s->past == 0 ? s->new_length : -1 : s->past + s->new_length;
    return TN_OK;
}

/* A mask that broadcasts to [batch, heads, q_length, total]; the last dim may be shorter unless `whole`. */
static tn_status check_mask(const tn_infer *call, int in, const shape *s, bool whole) {
    if (!tn_infer_has(call, in) || call->in[in]->rank < 0) return TN_OK;
    const tn_type *t = call->in[in];
    const int64_t want[] = {s->batch, s->heads, s->q_length, s->total};
    bool fits = t->rank <= 4;
    for (int i = 1; fits && i <= t->rank; i++) {
        int64_t have = t->dims[t->rank - i], full = want[4 - i];
        fits = have < 0 || full < 0 || have == 1 || have == full || (i == 1 && !whole && have < full);
    }
    if (fits) return TN_OK;
    return tn_infer_fail(call, in, TN_E_SHAPE, "it does not broadcast to batch, heads, rows of queries, keys");
}

static void set_mask(tn_attention *a, const tn_type *t) {
    tn_attention_mask *m = &a->mask[0];
    size_t *strides[] = {&m->column, &m->row, &m->head, &m->batch}, stride = 1;
    m->dtype = t->dtype;
    m->filter = -__builtin_inff();
    m->columns = t->rank > 0 && t->dims[t->rank - 1] != 1 ? (size_t)t->dims[t->rank - 1] : a->kv_length;
    for (int i = 1; i <= t->rank; i++) {
        size_t dim = (size_t)t->dims[t->rank - i];
        *strides[i - 1] = dim > 1 ? stride : 0;
        stride *= dim;
    }
}

static tn_status infer(tn_infer *call) {
    shape s;
    bool all;
    for (int i = Q; i <= V; i++) TN_TRY(tn_infer_dtype(call, i, FLOAT));
    if (tn_infer_has(call, MASK_IN)) TN_TRY(tn_infer_dtype(call, MASK_IN, MASK));
    if (tn_infer_has(call, PAST_K) != tn_infer_has(call, PAST_V))
        return tn_fail(TN_E_INVALID, "only one of past_key and past_value is given; expected both or neither");
    for (int i = PAST_K; i <= PAST_V; i++)
        if (tn_infer_has(call, i)) TN_TRY(tn_infer_dtype(call, i, FLOAT));
    int64_t stage = tn_attr_int(call->node, "qk_matmul_output_mode", 0);
    if (stage < 0 || stage > 3)
        return tn_fail(TN_E_INVALID, "qk_matmul_output_mode is %lld; expected 0 to 3", (long long)stage);
    tn_dtype dtype = call->in[Q]->dtype;
    TN_TRY(read_shape(call, &s, &all));
    if (!all) {
        for (int i = 0; i < call->out_count; i++) TN_TRY(tn_infer_out(call, i, dtype, -1, NULL));
        return TN_OK;
    }
    TN_TRY(check_mask(call, MASK_IN, &s, false));
    if (tn_infer_has(call, LENGTHS)) {
        TN_TRY(tn_infer_dtype(call, LENGTHS, (const tn_dtype[]){TN_INT64, TN_UNDEFINED}));
        const tn_type *t = call->in[LENGTHS];
        if (t->rank > 1 || t->rank == 0 || (t->rank == 1 && t->dims[0] >= 0 && s.batch >= 0 && t->dims[0] != s.batch))
            return tn_infer_fail(call, LENGTHS, TN_E_SHAPE, "expected a vector of one length for each batch");
    }
    int64_t hidden = s.heads >= 0 && s.v_size >= 0 ? s.heads * s.v_size : -1;
    const int64_t flat[] = {s.batch, s.q_length, hidden}, y[] = {s.batch, s.heads, s.q_length, s.v_size};
    const int64_t key[] = {s.batch, s.kv_heads, s.total, s.size}, value[] = {s.batch, s.kv_heads, s.total, s.v_size};
    const int64_t scores[] = {s.batch, s.heads, s.q_length, s.total};
    TN_TRY(tn_infer_out(call, 0, dtype, s.flat ? 3 : 4, s.flat ? flat : y));
    TN_TRY(tn_infer_out(call, 1, dtype, 4, key));
    TN_TRY(tn_infer_out(call, 2, call->in[V]->dtype, 4, value));
    return tn_infer_out(call, 3, dtype, 4, scores);
}

typedef struct attention {
    tn_attention core;
    tn_attention_join join[2]; /* of keys and values */
    bool joined[2];            /* past and new ones are put together, in the output or in scratch */
    size_t own;                /* scratch of the core comes first, then that of this */
} attention;

static tn_status prepare(tn_prepare *call) {
    attention *s = tn_prepare_alloc(call, sizeof *s);
    const tn_infer types = {.node = call->node, .in_count = call->in_count, .in = call->in};
    shape d;
    bool all;
    if (!s) return TN_E_MEMORY;
    call->state = s;
    TN_TRY(read_shape(&types, &d, &all));
    tn_attention *a = &s->core;
    *a = (tn_attention){.batch = (size_t)d.batch,
                        .heads = (size_t)d.heads,
                        .kv_heads = (size_t)d.kv_heads,
                        .q_length = (size_t)d.q_length,
                        .kv_length = (size_t)d.total,
                        .size = (size_t)d.size,
                        .v_size = (size_t)d.v_size,
                        .scale = tn_attr_float(call->node, "scale", d.size ? 1 / __builtin_sqrtf((float)d.size) : 1),
                        .softcap = tn_attr_float(call->node, "softcap", 0),
                        .causal = tn_attr_int(call->node, "is_causal", 0) != 0,
                        .past = (size_t)d.past,
                        .stage = (tn_attention_stage)tn_attr_int(call->node, "qk_matmul_output_mode", 0)};
    a->q = d.flat ? tn_attention_rows_first(a->heads, a->q_length, a->size)
                  : tn_attention_heads_first(a->heads, a->q_length, a->size);
    a->y = d.flat ? tn_attention_rows_first(a->heads, a->q_length, a->v_size)
                  : tn_attention_heads_first(a->heads, a->q_length, a->v_size);
    if (tn_prepare_has(call, MASK_IN)) set_mask(a, call->in[MASK_IN]);
    size_t own = 0;
    bool fits = tn_scratch_add(&own, a->batch, sizeof(int32_t));
    for (int i = 0; i < 2; i++) {
        size_t size = i ? a->v_size : a->size, length = (size_t)d.new_length, count;
        s->join[i] = (tn_attention_join){a->batch,
                                         a->kv_heads,
                                         a->past,
                                         length,
                                         size,
                                         d.flat ? tn_attention_rows_first(a->kv_heads, length, size)
                                                : tn_attention_heads_first(a->kv_heads, length, size)};
        s->joined[i] = a->past > 0 || 1 + i < call->out_count;
        *(i ? &a->v : &a->k) =
            s->joined[i] ? tn_attention_heads_first(a->kv_heads, a->kv_length, size) : s->join[i].fresh;
        if (s->joined[i])
            fits = fits && tn_mul_size(a->batch * a->kv_heads, a->kv_length, &count) &&
                   tn_mul_size(count, size, &count) && tn_scratch_add(&own, count, sizeof(float));
    }
    TN_TRY(tn_attention_prepare(call, a));
    s->own = call->scratch;
    fits = fits && tn_add_size(call->scratch, own, &call->scratch);
    return fits ? TN_OK : tn_fail(TN_E_SHAPE, "the attention is too large");
}

static tn_status run(tn_run *call) {
    const attention *s = call->state;
    const tn_attention *a = &s->core;
    const tn_tensor *mask = tn_in(call, MASK_IN), *lengths = tn_in(call, LENGTHS);
    tn_tensor *y = tn_out(call, 0), *scores = tn_out(call, 3);
    uint8_t *at = (uint8_t *)call->scratch + s->own;
    int32_t *known_lengths = tn_scratch_take(&at, a->batch, sizeof(int32_t));
    tn_attention_call c = {.q = tn_in(call, Q)->data, .mask = {mask ? mask->data : NULL}};
    for (int i = 0; i < 2; i++) {
        const tn_tensor *past = tn_in(call, PAST_K + i), *fresh = tn_in(call, K + i);
        tn_tensor *present = tn_out(call, 1 + i);
        float *whole = tn_scratch_take(&at, s->joined[i] ? a->batch * a->kv_heads * a->kv_length * s->join[i].size : 0,
                                       sizeof(float));
        if (present) whole = present->data;
        if (s->joined[i]) tn_attention_join_run(&s->join[i], past ? past->data : NULL, fresh->data, whole);
        *(i ? &c.v : &c.k) = s->joined[i] ? whole : fresh->data;
    }
    if (lengths) {
        for (size_t b = 0; b < a->batch; b++) {
            int64_t n = ((const int64_t *)lengths->data)[b];
            if (n < 0 || (uint64_t)n > a->kv_length)
                return tn_fail(TN_E_INVALID, "nonpad_kv_seqlen has %lld; expected 0 to %zu, the length of K",
                               (long long)n, a->kv_length);
            known_lengths[b] = (int32_t)n;
        }
        c.lengths = known_lengths;
    }
    c.scores = scores ? scores->data : NULL;
    if (!y) return TN_OK;
    c.y = y->data;
    tn_attention_run(a, call, &c, call->scratch);
    return TN_OK;
}

/* ---- ScaledAttention ---- */
static tn_status infer_scaled(tn_infer *call) {
    static const tn_dtype only[] = {TN_FLOAT32, TN_UNDEFINED};
    int64_t dims[4] = {1, 1, -1, -1};
    for (int i = Q; i <= V; i++) TN_TRY(tn_infer_dtype(call, i, only));
    if (tn_infer_has(call, MASK_IN)) TN_TRY(tn_infer_dtype(call, MASK_IN, only));
    for (int i = Q; i <= V; i++) {
        const tn_type *t = call->in[i];
        if (t->rank < 0) return tn_infer_out(call, 0, TN_FLOAT32, -1, NULL);
        if (t->rank != 4) return tn_infer_fail(call, i, TN_E_SHAPE, "expected [batch, heads, length, size]");
        for (int d = 0; d < 2; d++) {
            if (dims[d] > 1 && t->dims[d] >= 0 && t->dims[d] != 1 && t->dims[d] != dims[d])
                return tn_infer_fail(call, i, TN_E_SHAPE, "its dimension %d does not broadcast with %lld", d,
                                     (long long)dims[d]);
            if (dims[d] == 1 || (dims[d] < 0 && t->dims[d] > 1)) dims[d] = t->dims[d];
        }
    }
    const tn_type *q = call->in[Q], *k = call->in[K], *v = call->in[V];
    if (q->dims[3] >= 0 && k->dims[3] >= 0 && q->dims[3] != k->dims[3])
        return tn_infer_fail(call, K, TN_E_SHAPE, "expected heads of %lld elements", (long long)q->dims[3]);
    if (k->dims[2] >= 0 && v->dims[2] >= 0 && k->dims[2] != v->dims[2])
        return tn_infer_fail(call, V, TN_E_SHAPE, "expected the length of input 1, %lld", (long long)k->dims[2]);
    dims[2] = q->dims[2];
    dims[3] = v->dims[3];
    const shape s = {.batch = dims[0], .heads = dims[1], .q_length = dims[2], .total = known(k->dims[2], v->dims[2])};
    TN_TRY(check_mask(call, MASK_IN, &s, true));
    return tn_infer_out(call, 0, TN_FLOAT32, 4, dims);
}

static tn_attention_layout broadcast_layout(const tn_type *t) {
    tn_attention_layout l = tn_attention_heads_first((size_t)t->dims[1], (size_t)t->dims[2], (size_t)t->dims[3]);
    if (t->dims[0] == 1) l.batch = 0;
    if (t->dims[1] == 1) l.head = 0;
    return l;
}

static tn_status prepare_scaled(tn_prepare *call) {
    tn_attention *a = tn_prepare_alloc(call, sizeof *a);
    if (!a) return TN_E_MEMORY;
    const tn_type *k = call->in[K], *y = call->out;
    *a = (tn_attention){.batch = (size_t)y->dims[0],
                        .heads = (size_t)y->dims[1],
                        .kv_heads = (size_t)y->dims[1],
                        .q_length = (size_t)y->dims[2],
                        .kv_length = (size_t)k->dims[2],
                        .size = (size_t)k->dims[3],
                        .v_size = (size_t)y->dims[3],
                        .q = broadcast_layout(call->in[Q]),
                        .k = broadcast_layout(k),
                        .v = broadcast_layout(call->in[V]),
                        .y = tn_attention_heads_first((size_t)y->dims[1], (size_t)y->dims[2], (size_t)y->dims[3]),
                        .scale = tn_attr_float(call->node, "scale", 1)};
    if (tn_prepare_has(call, MASK_IN)) set_mask(a, call->in[MASK_IN]);
    call->state = a;
    return tn_attention_prepare(call, a);
}

static tn_status run_scaled(tn_run *call) {
    const tn_tensor *mask = tn_in(call, MASK_IN);
    tn_tensor *y = tn_out(call, 0);
    if (!y) return TN_OK;
    const tn_attention_call c = {.q = tn_in(call, Q)->data,
                                 .k = tn_in(call, K)->data,
                                 .v = tn_in(call, V)->data,
                                 .y = y->data,
                                 .mask = {mask ? mask->data : NULL}};
    tn_attention_run(call->state, call, &c, call->scratch);
    return TN_OK;
}

const tn_op tn_ops_attention[] = {
    {.domain = "",
     .name = "Attention",
     .min_in = 3,
     .max_in = 7,
     .min_out = 1,
     .max_out = 4,
     .flags = TN_OP_WIDEN,
     .infer = infer,
     .prepare = prepare,
     .run = run},
    {.domain = "tenon",
     .name = "ScaledAttention",
     .min_in = 3,
     .max_in = 4,
     .min_out = 1,
     .max_out = 1,
     .infer = infer_scaled,
     .prepare = prepare_scaled,
     .run = run_scaled},
    {0},
};
