/* MultiHeadAttention of com.microsoft(query, key, value, bias, mask, attention_bias, past_key, past_value), in all its
 * forms: query alone with all three in it, keys and values in one, keys and values by heads. */
#include "ops/attention_heads.h"

static const tn_dtype FLOAT[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_UNDEFINED};

enum { QUERY, KEY, VALUE, BIAS, MASK, SCORES_BIAS, PAST_KEY, PAST_VALUE };

typedef struct mha_shape {
    int64_t batch, length, new_length, past, total, heads, size, v_size; /* as in tn_type */
    int q_rank, k_rank;
    bool known;
} mha_shape;

static int64_t part(int64_t whole, int64_t heads_count) {
    return whole < 0 ? -1 : whole / heads_count;
}
static int64_t known(int64_t a, int64_t b) {
    return a >= 0 ? a : b;
}

static tn_status read_mha(const tn_infer *call, mha_shape *s) {
    int64_t n = tn_attr_int(call->node, "num_heads", 0);
    if (n < 1 || n > INT32_MAX) return tn_fail(TN_E_INVALID, "num_heads is %lld; expected at least 1", (long long)n);
    bool has_key = tn_infer_has(call, KEY), has_value = tn_infer_has(call, VALUE);
    const tn_type *q = call->in[QUERY], *k = has_key ? call->in[KEY] : NULL, *v = has_value ? call->in[VALUE] : NULL;
    *s = (mha_shape){.heads = n, .q_rank = q->rank, .k_rank = k ? k->rank : 0};
    if (q->rank < 0 || (k && k->rank < 0) || (v && v->rank < 0)) return TN_OK;
    s->known = true;
    s->batch = q->rank > 0 ? q->dims[0] : -1;
    if (q->rank == 5) {
        if (k || v) return tn_infer_fail(call, QUERY, TN_E_INVALID, "but it has keys and values in it already");
        TN_TRY(tn_heads_expect(call, QUERY, 5, (int64_t[]){-1, -1, n, 3, -1}));
        s->length = s->new_length = q->dims[1];
        s->size = s->v_size = q->dims[4];
    } else {
        if (q->rank != 3) return tn_infer_fail(call, QUERY, TN_E_SHAPE, "expected three dimensions, or five");
        if (!k) return tn_fail(TN_E_INVALID, "there are no keys; expected input 1");
        s->length = q->dims[1];
        s->size = part(q->dims[2], n);
        if (q->dims[2] >= 0 && q->dims[2] % n != 0)
            return tn_infer_fail(call, QUERY, TN_E_SHAPE, "its last dimension is not divisible by num_heads = %lld",
                                 (long long)n);
        int64_t hidden = q->dims[2];
        if (k->rank == 5) {
            TN_TRY(tn_heads_expect(call, KEY, 5, (int64_t[]){s->batch, -1, n, 2, s->size}));
            s->new_length = k->dims[1];
            s->v_size = known(k->dims[4], s->size);
        } else if (!v) {
            return tn_fail(TN_E_INVALID, "there are no values; expected input 2");
        } else if (k->rank == 4) {
            TN_TRY(tn_heads_expect(call, KEY, 4, (int64_t[]){s->batch, n, -1, s->size}));
            s->new_length = k->dims[2];
            TN_TRY(tn_heads_expect(call, VALUE, 4, (int64_t[]){s->batch, n, s->new_length, -1}));
            s->v_size = v->dims[3];
        } else {
            TN_TRY(tn_heads_expect(call, KEY, 3, (int64_t[]){s->batch, -1, hidden}));
            s->new_length = k->dims[1];
            TN_TRY(tn_heads_expect(call, VALUE, 3, (int64_t[]){s->batch, s->new_length, -1}));
            s->v_size = part(v->dims[2], n);
            if (v->dims[2] >= 0 && v->dims[2] % n != 0)
                return tn_infer_fail(call, VALUE, TN_E_SHAPE, "its last dimension is not divisible by num_heads = %lld",
                                     (long long)n);
        }
    }
    if (tn_infer_has(call, PAST_KEY) != tn_infer_has(call, PAST_VALUE))
        return tn_fail(TN_E_INVALID, "only one of past_key and past_value is given; expected both or neither");
    if (tn_infer_has(call, PAST_KEY)) {
        const tn_type *past = call->in[PAST_KEY];
        TN_TRY(tn_heads_expect(call, PAST_KEY, 4, (int64_t[]){s->batch, n, -1, s->size}));
        s->past = past->rank < 0 ? -1 : past->dims[2];
        TN_TRY(tn_heads_expect(call, PAST_VALUE, 4, (int64_t[]){s->batch, n, s->past, s->v_size}));
    }
    s->total = s->past < 0 || (s->past > 0 && s->new_length < 0) ? -1
               : s->past                                         ? s->past + s->new_length
                                                                 : s->new_length;
    if (!tn_infer_has(call, BIAS)) return TN_OK;
    return tn_heads_expect(call, BIAS, 1,
                           (int64_t[]){s->size < 0 || s->v_size < 0 ? -1 : n * (2 * s->size + s->v_size)});
}

static tn_status infer_mha(tn_infer *call) {
    mha_shape s;
    tn_dtype dtype = call->in[QUERY]->dtype;
    for (int in = 0; in < call->in_count; in++)
        if (tn_infer_has(call, in) && in != MASK) {
            if (in > PAST_VALUE) return tn_infer_fail(call, in, TN_E_UNSUPPORTED, "buffers that are shared are not");
            TN_TRY(tn_infer_dtype(call, in, FLOAT));
        }
    TN_TRY(read_mha(call, &s));
    if (!s.known) {
        for (int i = 0; i < call->out_count; i++) TN_TRY(tn_infer_out(call, i, dtype, -1, NULL));
        return TN_OK;
    }
    TN_TRY(tn_heads_check_masks(call, MASK, SCORES_BIAS, s.batch, s.heads, s.length, s.total));
    TN_TRY(tn_infer_out(call, 0, dtype, 3, (int64_t[]){s.batch, s.length, s.v_size < 0 ? -1 : s.v_size * s.heads}));
    TN_TRY(tn_infer_out(call, 1, dtype, 4, (int64_t[]){s.batch, s.heads, s.total, s.size}));
    return tn_infer_out(call, 2, dtype, 4, (int64_t[]){s.batch, s.heads, s.total, s.v_size});
}

static tn_attention_layout packed_layout(size_t heads_count, size_t length, size_t size, size_t parts) {
    size_t row = heads_count * parts * size;
    return (tn_attention_layout){length * row, parts * size, row};
}

static tn_status prepare_mha(tn_prepare *call) {
    tn_heads *h = tn_prepare_alloc(call, sizeof *h);
    const tn_infer types = {.node = call->node, .in_count = call->in_count, .in = call->in};
    mha_shape s;
    if (!h) return TN_E_MEMORY;
    call->state = h;
    TN_TRY(read_mha(&types, &s));
    tn_attention *a = &h->core;
    *a = (tn_attention){.batch = (size_t)s.batch,
                        .heads = (size_t)s.heads,
                        .kv_heads = (size_t)s.heads,
                        .q_length = (size_t)s.length,
                        .kv_length = (size_t)s.total,
                        .size = (size_t)s.size,
                        .v_size = (size_t)s.v_size,
                        .causal = tn_attr_int(call->node, "unidirectional", 0) != 0,
                        .past = (size_t)s.past};
    a->scale = tn_attr_float(call->node, "scale", 0);
    if (a->scale == 0 && a->size) a->scale = 1 / __builtin_sqrtf((float)a->size);
    for (int i = 0; i < 3; i++) {
        size_t length = i ? (size_t)s.new_length : a->q_length, size = tn_heads_size(h, i);
        h->from[i] = s.q_rank == 5            ? packed_layout(a->heads, length, size, 3)
                     : i > 0 && s.k_rank == 5 ? packed_layout(a->heads, length, size, 2)
                     : i > 0 && s.k_rank == 4 ? tn_attention_heads_first(a->heads, length, size)
                                              : tn_attention_rows_first(a->heads, length, size);
        h->biased[i] = tn_prepare_has(call, BIAS) && (i == 0 || s.k_rank != 4);
        if (i) h->join[i - 1] = (tn_attention_join){a->batch, a->heads, a->past, length, size, {0}};
    }
    tn_heads_set_masks(call, h, MASK, SCORES_BIAS);
    return tn_heads_prepare(call, h, 1);
}

static tn_status run_mha(tn_run *call) {
    const tn_heads *h = call->state;
    const tn_attention *a = &h->core;
    const tn_tensor *bias = tn_in(call, BIAS), *key = tn_in(call, KEY), *value = tn_in(call, VALUE);
    const float *q = tn_in(call, QUERY)->data;
    const float *k = key ? key->data : q + a->size, *v = value ? value->data : k + a->size;
    const float *past[2] = {NULL, NULL};
    float *present[2] = {NULL, NULL};
    if (!tn_out(call, 0)) return TN_OK;
    for (int i = 0; i < 2; i++) {
        if (tn_in(call, PAST_KEY + i)) past[i] = tn_in(call, PAST_KEY + i)->data;
        if (tn_out(call, 1 + i)) present[i] = tn_out(call, 1 + i)->data;
    }
    tn_heads_run(call, h, (const float *[]){q, k, v}, bias ? bias->data : NULL, past, present,
                 (uint8_t *)call->scratch + h->own);
    return TN_OK;
}

const tn_op tn_ops_multi_head_attention[] = {
    {.domain = "com.microsoft",
     .name = "MultiHeadAttention",
     .min_in = 1,
     .max_in = 10,
     .min_out = 1,
     .max_out = 3,
     .flags = TN_OP_WIDEN,
     .infer = infer_mha,
     .prepare = prepare_mha,
     .run = run_mha},
    {0},
};
