/* Attention of com.microsoft(input, weights, bias, mask, past, attention_bias): the projections to Q, K and V in one
 * product, then attention_heads.c. */
#include "ops/attention_heads.h"
#include "ops/scratch.h"

static const tn_dtype FLOAT[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_UNDEFINED};

enum { INPUT, WEIGHTS, IN_BIAS, IN_MASK, IN_PAST, IN_SCORES_BIAS };

typedef struct merged_shape {
    int64_t batch, length, heads, past, size[3]; /* of a head of Q, K and V */
    int64_t columns;
    bool known;
} merged_shape;

static tn_status read_merged(const tn_infer *call, merged_shape *s) {
    const tn_type *x = call->in[INPUT], *w = call->in[WEIGHTS];
    int64_t n = tn_attr_int(call->node, "num_heads", 0);
    size_t given;
    const int64_t *hidden = tn_attr_ints(call->node, "qkv_hidden_sizes", &given);
    if (n < 1 || n > INT32_MAX) return tn_fail(TN_E_INVALID, "num_heads is %lld; expected at least 1", (long long)n);
    if (hidden && given != 3) return tn_fail(TN_E_INVALID, "qkv_hidden_sizes has %zu values; expected 3", given);
    if (tn_attr_int(call->node, "do_rotary", 0) || tn_attr_int(call->node, "past_present_share_buffer", 0))
        return tn_fail(TN_E_UNSUPPORTED, "do_rotary and past_present_share_buffer are not supported");
    *s = (merged_shape){.heads = n, .known = x->rank >= 0 && w->rank >= 0};
    if (!s->known) return TN_OK;
    TN_TRY(tn_heads_expect(call, INPUT, 3, (int64_t[]){-1, -1, -1}));
    TN_TRY(tn_heads_expect(call, WEIGHTS, 2, (int64_t[]){x->dims[2], -1}));
    s->batch = x->dims[0];
    s->length = x->dims[1];
    s->columns = w->dims[1];
    int64_t sum = 0;
    for (int i = 0; i < 3; i++) {
        int64_t all = hidden ? hidden[i] : s->columns < 0 ? -1 : s->columns / 3;
        if (all >= 0 && (all % n != 0 || all > INT32_MAX))
            return tn_fail(TN_E_SHAPE, "%lld columns of weights for %lld heads; expected a multiple", (long long)all,
                           (long long)n);
        s->size[i] = all < 0 ? -1 : all / n;
        sum += all;
    }
    if (s->size[0] != s->size[1] || (s->columns >= 0 && sum != s->columns))
        return tn_infer_fail(call, WEIGHTS, TN_E_SHAPE, "its columns are not those of queries, keys and values");
    s->columns = s->columns < 0 && hidden ? sum : s->columns;
    if (tn_infer_has(call, IN_BIAS)) TN_TRY(tn_heads_expect(call, IN_BIAS, 1, &s->columns));
    if (!tn_infer_has(call, IN_PAST)) return TN_OK;
    if (s->size[1] != s->size[2]) return tn_fail(TN_E_UNSUPPORTED, "a past of keys and values of different sizes");
    TN_TRY(tn_heads_expect(call, IN_PAST, 5, (int64_t[]){2, s->batch, n, -1, s->size[1]}));
    s->past = call->in[IN_PAST]->rank < 0 ? -1 : call->in[IN_PAST]->dims[3];
    return TN_OK;
}

static tn_status infer_merged(tn_infer *call) {
    merged_shape s;
    tn_dtype dtype = call->in[INPUT]->dtype;
    for (int in = 0; in < call->in_count; in++)
        if (tn_infer_has(call, in) && in != IN_MASK) {
            if (in > IN_SCORES_BIAS)
                return tn_infer_fail(call, in, TN_E_UNSUPPORTED, "shared buffers are not supported");
            TN_TRY(tn_infer_dtype(call, in, FLOAT));
        }
    TN_TRY(read_merged(call, &s));
    if (!s.known) {
        for (int i = 0; i < call->out_count; i++) TN_TRY(tn_infer_out(call, i, dtype, -1, NULL));
        return TN_OK;
    }
    int64_t total = s.past < 0 || s.length < 0 ? s.past == 0 ? s.length : -1 : s.past + s.length;
    TN_TRY(tn_heads_check_masks(call, IN_MASK, IN_SCORES_BIAS, s.batch, s.heads, s.length, total));
    TN_TRY(tn_infer_out(call, 0, dtype, 3, (int64_t[]){s.batch, s.length, s.size[2] < 0 ? -1 : s.size[2] * s.heads}));
    return tn_infer_out(call, 1, dtype, 5, (int64_t[]){2, s.batch, s.heads, total, s.size[1]});
}

static tn_status prepare_merged(tn_prepare *call) {
    tn_heads *h = tn_prepare_alloc(call, sizeof *h);
    const tn_infer types = {.node = call->node, .in_count = call->in_count, .in = call->in};
    merged_shape s;
    if (!h) return TN_E_MEMORY;
    call->state = h;
    TN_TRY(read_merged(&types, &s));
    tn_attention *a = &h->core;
    *a = (tn_attention){.batch = (size_t)s.batch,
                        .heads = (size_t)s.heads,
                        .kv_heads = (size_t)s.heads,
                        .q_length = (size_t)s.length,
                        .kv_length = (size_t)(s.past + s.length),
                        .size = (size_t)s.size[0],
                        .v_size = (size_t)s.size[2],
                        .causal = tn_attr_int(call->node, "unidirectional", 0) != 0,
                        .past = (size_t)s.past};
    a->scale = tn_attr_float(call->node, "scale", 0);
    if (a->scale == 0 && a->size) a->scale = 1 / __builtin_sqrtf((float)a->size);
    size_t columns = (size_t)s.columns;
    for (int i = 0; i < 3; i++) {
        h->from[i] = (tn_attention_layout){a->q_length * columns, tn_heads_size(h, i), columns};
        if (i) h->join[i - 1] = (tn_attention_join){a->batch, a->heads, a->past, a->q_length, tn_heads_size(h, i), {0}};
    }
    tn_operand x, w;
    tn_matmul *product;
    tn_operand_view(&x, call->in[INPUT], true, false, false);
    tn_operand_view(&w, call->in[WEIGHTS], false, false, false);
    TN_TRY(tn_matmul_prepare(call, &x, &w, 1, &product));
    h->product = product;
    h->product_scratch = call->scratch;
    tn_heads_set_masks(call, h, IN_MASK, IN_SCORES_BIAS);
    TN_TRY(tn_heads_prepare(call, h, 1));
    size_t rows;
    bool fits = tn_mul_size(a->batch, a->q_length, &rows) && tn_mul_size(rows, columns, &rows) &&
                tn_scratch_add(&call->scratch, rows, sizeof(float));
    return fits ? TN_OK : tn_fail(TN_E_SHAPE, "the attention is too large");
}

static tn_status run_merged(tn_run *call) {
    const tn_heads *h = call->state;
    const tn_attention *a = &h->core;
    const tn_tensor *bias = tn_in(call, IN_BIAS), *past_in = tn_in(call, IN_PAST);
    tn_tensor *present_out = tn_out(call, 1);
    if (!tn_out(call, 0)) return TN_OK;
    size_t columns = h->from[0].row, rows = a->batch * a->q_length, hidden = a->heads * a->size;
    uint8_t *at = (uint8_t *)call->scratch + h->own;
    /* The projections come last in scratch: see prepare. */
    for (int i = 1; i < 3; i++)
        if (h->joined[i - 1])
            tn_scratch_take(&at, a->batch * a->heads * a->kv_length * tn_heads_size(h, i), sizeof(float));
    if (h->mask_rank == 1) tn_scratch_take(&at, a->batch * a->kv_length, sizeof(int32_t));
    float *qkv = tn_scratch_take(&at, rows * columns, sizeof *qkv);
    const tn_epilogue epilogue = {.column_bias = bias ? bias->data : NULL};
    tn_matmul_run(call, h->product, tn_in(call, INPUT)->data, tn_in(call, WEIGHTS)->data, qkv, &epilogue);
    size_t past = a->batch * a->heads * a->past * a->size, whole = a->batch * a->heads * a->kv_length * a->size;
    const float *from = past_in ? past_in->data : NULL;
    float *to = present_out ? present_out->data : NULL;
    tn_heads_run(call, h, (const float *[]){qkv, qkv + hidden, qkv + 2 * hidden}, NULL,
                 (const float *[]){from, from ? from + past : NULL}, (float *[]){to, to ? to + whole : NULL},
                 (uint8_t *)call->scratch + h->own);
    return TN_OK;
}

const tn_op tn_ops_attention_merged[] = {
    {.domain = "com.microsoft",
     .name = "Attention",
     .min_in = 2,
     .max_in = 7,
     .min_out = 1,
     .max_out = 2,
     .flags = TN_OP_WIDEN,
     .infer = infer_merged,
     .prepare = prepare_merged,
     .run = run_merged},
    {0},
};
