/* Attention as ai.onnx has it, with heads apart ([B,H,S,D]) or side by side ([B,S,H*D]), grouped heads, a cache of keys
 * and values; and ScaledAttention of the domain "tenon", which the passes make of attention written out. */
#include "ops/attention_core.h"
#include "ops/data.h"
#include "ops/scratch.h"
#include <math.h>

enum { Q, K, V, MASK, PAST_K, PAST_V, COUNTS };

typedef struct {
    int64_t batch, heads, rows, width; /* -1: unknown */
} heads_shape;

typedef struct attention_state {
    tn_attention core;
    bool has_past;
    int64_t past, fresh; /* rows of keys: from the cache, and new */
    int weights_kind;
} attention_state;

static tn_status shape_of(const tn_infer *call, const tn_type *type, int in, int64_t heads, heads_shape *out) {
    *out = (heads_shape){-1, -1, -1, -1};
    if (type->rank == 4) {
        *out = (heads_shape){type->dims[0], type->dims[1], type->dims[2], type->dims[3]};
    } else if (type->rank == 3) {
        int64_t hidden = type->dims[2];
        if (heads < 1 || (hidden >= 0 && hidden % heads))
            return tn_infer_fail(call, in, TN_E_SHAPE, "%lld heads do not divide its last dimension", (long long)heads);
        *out = (heads_shape){type->dims[0], heads, type->dims[1], hidden >= 0 ? hidden / heads : -1};
    } else if (type->rank >= 0) {
        return tn_infer_fail(call, in, TN_E_SHAPE, "expected 3 or 4 dimensions");
    }
    return TN_OK;
}

static tn_status shapes_of(const tn_infer *call, const tn_node *node, const tn_type *const *in, heads_shape *q,
                           heads_shape *k, heads_shape *v) {
    int64_t q_heads = tn_attr_int(node, "q_num_heads", 0), kv_heads = tn_attr_int(node, "kv_num_heads", 0);
    TN_TRY(shape_of(call, in[Q], Q, q_heads, q));
    TN_TRY(shape_of(call, in[K], K, kv_heads, k));
    return shape_of(call, in[V], V, kv_heads, v);
}

static tn_status check_shapes(const tn_infer *call, const heads_shape *q, const heads_shape *k, const heads_shape *v) {
    if (!tn_dim_fits(q->batch, k->batch) || !tn_dim_fits(q->batch, v->batch) || !tn_dim_fits(q->width, k->width) ||
        !tn_dim_fits(k->heads, v->heads) || !tn_dim_fits(k->rows, v->rows))
        return tn_infer_fail(call, K, TN_E_SHAPE, "its shape and those of Q and V do not go together");
    if (q->heads >= 0 && k->heads >= 0 && (k->heads == 0 || q->heads % k->heads))
        return tn_infer_fail(call, K, TN_E_SHAPE, "its %lld heads must divide Q's %lld", (long long)k->heads,
                             (long long)q->heads);
    return TN_OK;
}

static int64_t known_or(int64_t a, int64_t b) {
    return a >= 0 ? a : b;
}

static tn_status attention_infer(tn_infer *call) {
    heads_shape q, k, v;
    for (int i = 0; i < 3; i++) TN_TRY(tn_infer_dtype(call, i, TN_FLOATS));
    if (tn_infer_has(call, PAST_K) != tn_infer_has(call, PAST_V))
        return tn_fail(TN_E_FORMAT, "past_key and past_value go together");
    TN_TRY(shapes_of(call, call->node, call->in, &q, &k, &v));
    if (call->in[Q]->rank < 0 || call->in[K]->rank < 0 || call->in[V]->rank < 0) {
        for (int i = 0; i < call->out_count; i++) TN_TRY(tn_infer_out(call, i, call->in[Q]->dtype, -1, NULL));
        return TN_OK;
    }
    TN_TRY(check_shapes(call, &q, &k, &v));
    int64_t total = k.rows, batch = known_or(q.batch, k.batch), kv_heads = known_or(k.heads, v.heads);
    if (tn_infer_has(call, PAST_K)) {
        const heads_shape *of[2] = {&k, &v};
        for (int i = 0; i < 2; i++) {
            const tn_type *past = call->in[PAST_K + i];
            TN_TRY(tn_infer_dtype(call, PAST_K + i, TN_FLOATS));
            if (past->rank >= 0 &&
                (past->rank != 4 || !tn_dim_fits(past->dims[0], batch) || !tn_dim_fits(past->dims[1], kv_heads) ||
                 !tn_dim_fits(past->dims[3], of[i]->width) ||
                 (call->in[PAST_K]->rank == 4 && !tn_dim_fits(past->dims[2], call->in[PAST_K]->dims[2]))))
                return tn_infer_fail(call, PAST_K + i, TN_E_SHAPE,
                                     "expected [batch, kv_heads, rows, width] as new ones");
        }
        int64_t past = call->in[PAST_K]->rank == 4 ? call->in[PAST_K]->dims[2] : -1;
        total = past >= 0 && k.rows >= 0 ? past + k.rows : -1;
    }
    if (tn_infer_has(call, COUNTS)) {
        const tn_type *counts = call->in[COUNTS];
        TN_TRY(tn_infer_dtype(call, COUNTS, (const tn_dtype[]){TN_INT64, TN_UNDEFINED}));
        if (counts->rank >= 0 && (counts->rank != 1 || !tn_dim_fits(counts->dims[0], batch)))
            return tn_infer_fail(call, COUNTS, TN_E_SHAPE, "expected one number a batch");
    }
    int64_t apart[4] = {batch, q.heads, q.rows, v.width};
    int64_t side[3] = {batch, q.rows, q.heads >= 0 && v.width >= 0 ? q.heads * v.width : -1};
    bool is4 = call->in[Q]->rank == 4;
    tn_dtype dtype = call->in[Q]->dtype;
    TN_TRY(tn_infer_out(call, 0, dtype, is4 ? 4 : 3, is4 ? apart : side));
    TN_TRY(tn_infer_out(call, 1, call->in[K]->dtype, 4, (int64_t[]){batch, kv_heads, total, k.width}));
    TN_TRY(tn_infer_out(call, 2, call->in[V]->dtype, 4, (int64_t[]){batch, kv_heads, total, v.width}));
    return tn_infer_out(call, 3, dtype, 4, (int64_t[]){batch, q.heads, q.rows, total});
}

static tn_status attention_prepare(tn_prepare *call) {
    heads_shape q, k, v;
    attention_state *s = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    call->state = s;
    tn_infer none = {.node = call->node, .in_count = call->in_count, .in = call->in};
    TN_TRY(shapes_of(&none, call->node, call->in, &q, &k, &v));
    if (call->in[Q]->dtype != TN_FLOAT32)
        return tn_fail(TN_E_UNSUPPORTED, "attention on %s; cast to float32", tn_dtype_name(call->in[Q]->dtype));
    if (tn_prepare_has(call, MASK)) {
        tn_dtype mask = call->in[MASK]->dtype;
        if (mask != TN_BOOL && mask != TN_FLOAT32)
            return tn_fail(TN_E_UNSUPPORTED, "a mask of %s; it must be bool or float32", tn_dtype_name(mask));
    }
    s->has_past = tn_prepare_has(call, PAST_K);
    s->past = s->has_past ? call->in[PAST_K]->dims[2] : 0;
    s->fresh = k.rows;
    s->weights_kind = (int)tn_attr_int(call->node, "qk_matmul_output_mode", 0);
    s->core = (tn_attention){.batch = q.batch,
                             .heads = q.heads,
                             .kv_heads = k.heads,
                             .queries = q.rows,
                             .keys = s->past + s->fresh,
                             .width = q.width,
                             .v_width = v.width,
                             .softcap = tn_attr_float(call->node, "softcap", 0),
                             .causal = tn_attr_int(call->node, "is_causal", 0) != 0,
                             .offset = s->past};
    s->core.scale = tn_attr_float(call->node, "scale", 1 / sqrtf((float)TN_MAX(q.width, 1)));
    int64_t rows = k.batch * k.heads * s->core.keys;
    /* The cache with the new rows behind, where it is no output. */
    if (s->has_past && (!tn_scratch_add(&call->scratch, (size_t)(rows * k.width), sizeof(float)) ||
                        !tn_scratch_add(&call->scratch, (size_t)(rows * v.width), sizeof(float))))
        return tn_fail(TN_E_LIMIT, "the cache is too large");
    return tn_attention_prepare(call, &s->core);
}

/* heads: of a 3-D tensor; a 4-D one tells its own. */
static tn_heads heads_of(const tn_tensor *t, int64_t heads) {
    if (t->rank == 4) return (tn_heads){t->data, (size_t)t->strides[0], (size_t)t->strides[1], (size_t)t->strides[2]};
    int64_t width = heads ? t->dims[2] / heads : 0;
    return (tn_heads){t->data, (size_t)t->strides[0], (size_t)width, (size_t)t->strides[1]};
}

/* Past rows and new ones, one behind the other, to [batch, heads, past + fresh, width]. */
static void join_cache(const attention_state *s, const tn_tensor *past, tn_heads fresh, int64_t width, float *to) {
    for (int64_t b = 0; b < s->core.batch; b++)
        for (int64_t h = 0; h < s->core.kv_heads; h++) {
            size_t old = (size_t)(s->past * width);
            if (old) memcpy(to, (const float *)past->data + (size_t)(b * s->core.kv_heads + h) * old, old * sizeof *to);
            to += old;
            const float *from = fresh.data + (size_t)b * fresh.batch + (size_t)h * fresh.head;
            for (int64_t r = 0; r < s->fresh; r++, to += width)
                memcpy(to, from + (size_t)r * fresh.row, (size_t)width * sizeof *to);
        }
}

static tn_heads dense_heads(float *data, int64_t heads, int64_t rows, int64_t width) {
    return (tn_heads){data, (size_t)(heads * rows * width), (size_t)(rows * width), (size_t)width};
}

static tn_status attention_run(tn_run *call) {
    const attention_state *s = call->state;
    const tn_attention *a = &s->core;
    const tn_tensor *mask = tn_in(call, MASK), *counts = tn_in(call, COUNTS);
    uint8_t *scratch = call->scratch;
    tn_attention_call c = {.q = heads_of(tn_in(call, Q), a->heads), .weights_kind = s->weights_kind};
    tn_heads *cached[2] = {&c.k, &c.v};
    for (int i = 0; i < 2; i++) {
        int64_t width = i ? a->v_width : a->width;
        tn_heads fresh = heads_of(tn_in(call, K + i), a->kv_heads);
        tn_tensor *present = tn_out(call, 1 + i);
        float *own =
            s->has_past ? tn_scratch_take(&scratch, (size_t)(a->batch * a->kv_heads * a->keys * width), 4) : NULL;
        float *to = present ? present->data : own;
        *cached[i] = fresh;
        if (!to) continue;
        join_cache(s, s->has_past ? tn_in(call, PAST_K + i) : NULL, fresh, width, to);
        *cached[i] = dense_heads(to, a->kv_heads, a->keys, width);
    }
    if (mask) TN_TRY(tn_attention_mask(a, mask, &c));
    if (counts) c.key_counts = counts->data;
    tn_tensor *y = tn_out(call, 0), *weights = tn_out(call, 3);
    if (!y) return TN_OK;
    c.y = heads_of(y, a->heads);
    c.weights = weights ? weights->data : NULL;
    tn_attention_run(call, a, &c, scratch);
    return TN_OK;
}

const tn_op tn_ops_attention[] = {
    {.name = "Attention",
     .domain = "",
     .min_in = 3,
     .max_in = 7,
     .min_out = 1,
     .max_out = 4,
     .flags = TN_OP_WIDEN,
     .infer = attention_infer,
     .prepare = attention_prepare,
     .run = attention_run},
    {.name = "ScaledAttention",
     .domain = "tenon",
     .min_in = 3,
     .max_in = 4,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN,
     .infer = attention_infer,
     .prepare = attention_prepare,
     .run = attention_run},
    {0},
};
