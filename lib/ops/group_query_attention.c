/* GroupQueryAttention of com.microsoft, the attention of decoders: query, key, value, past_key, past_value, seqlens_k,
 * total_sequence_length, cos_cache, sin_cache, position_ids, attention_bias, head_sink.
 *
 * Several heads of queries share one of keys. Queries and keys are turned by their position on the way (do_rotary), new
 * keys and values are put behind the past ones of their sequence, and each query sees what is before it. Sequences of a
 * batch may have different pasts: seqlens_k says where the last new element of each one is. The first call has no past:
 * then the sequences begin at 0, and may be shorter than the longest.
 *
 * Past and present are [batch, kv_heads, length, size]; the present's length is the past's, if the host keeps buffers of
 * the longest length, or total_sequence_length. */
#include "ops/attention_core.h"
#include "ops/attention_heads.h"
#include "ops/rotary.h"
#include "ops/data.h"
#include "ops/scratch.h"

static const tn_dtype FLOAT[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_UNDEFINED};
static const tn_dtype INT32[] = {TN_INT32, TN_UNDEFINED};

enum { QUERY, KEY, VALUE, PAST_KEY, PAST_VALUE, LENGTHS, TOTAL, COS, SIN, POSITIONS, BIAS, SINKS, MOST_INPUTS };

typedef struct gqa_shape {
    int64_t batch, length, heads, kv_heads, size, past, present; /* as in tn_type */
    bool merged;                                                 /* queries, keys and values in one input */
    bool rotary, smooth;
    int64_t window; /* 0: all */
} gqa_shape;

static tn_status read_attributes(const tn_node *node, gqa_shape *s) {
    int64_t n = tn_attr_int(node, "num_heads", 0), kv = tn_attr_int(node, "kv_num_heads", 0);
    if (n < 1 || n > INT32_MAX || kv < 1 || n % kv)
        return tn_fail(TN_E_INVALID, "num_heads is %lld and kv_num_heads %lld; expected a multiple of the second",
                       (long long)n, (long long)kv);
    int64_t window = tn_attr_int(node, "local_window_size", -1);
    if (window < -1 || window > INT32_MAX)
        return tn_fail(TN_E_INVALID, "local_window_size is %lld; expected a positive number or -1", (long long)window);
    if (tn_attr_int(node, "qk_output", 0))
        return tn_fail(TN_E_UNSUPPORTED, "qk_output asks for the scores, which are not kept");
    s->heads = n;
    s->kv_heads = kv;
    s->window = TN_MAX(window, 0);
    s->rotary = tn_attr_int(node, "do_rotary", 0) != 0;
    s->smooth = tn_attr_int(node, "smooth_softmax", 0) == 1;
    return TN_OK;
}

static tn_status divide(const tn_infer *call, int in, int64_t whole, int64_t parts, int64_t *out) {
    *out = whole < 0 ? -1 : whole / parts;
    if (whole < 0 || whole % parts == 0) return TN_OK;
    return tn_infer_fail(call, in, TN_E_SHAPE, "expected its last dimension to be a multiple of %lld heads",
                         (long long)parts);
}

static tn_status read_shape(const tn_infer *call, gqa_shape *s) {
    *s = (gqa_shape){.batch = -1, .length = -1, .size = -1, .past = -1, .present = -1};
    TN_TRY(read_attributes(call->node, s));
    s->merged = !tn_infer_has(call, KEY);
    if (s->merged != !tn_infer_has(call, VALUE))
        return tn_fail(TN_E_INVALID, "only one of key and value is given; expected both or neither");
    if (tn_infer_has(call, PAST_KEY) != tn_infer_has(call, PAST_VALUE))
        return tn_fail(TN_E_INVALID, "only one of past_key and past_value is given; expected both or neither");
    if (s->rotary && !(tn_infer_has(call, COS) && tn_infer_has(call, SIN)))
        return tn_fail(TN_E_INVALID, "do_rotary is set; expected inputs %d and %d, the caches", COS, SIN);
    const tn_type *q = call->in[QUERY];
    TN_TRY(tn_heads_expect(call, QUERY, 3, (int64_t[]){-1, -1, -1}));
    if (q->rank == 3) {
        s->batch = q->dims[0];
        s->length = q->dims[1];
        TN_TRY(divide(call, QUERY, q->dims[2], s->heads + (s->merged ? 2 * s->kv_heads : 0), &s->size));
    }
    int64_t kv = s->size < 0 ? -1 : s->size * s->kv_heads;
    for (int in = KEY; in <= VALUE && !s->merged; in++)
        TN_TRY(tn_heads_expect(call, in, 3, (int64_t[]){s->batch, s->length, kv}));
    s->past = tn_infer_has(call, PAST_KEY) ? -1 : 0;
    for (int in = PAST_KEY; in <= PAST_VALUE && s->past; in++) {
        TN_TRY(tn_heads_expect(call, in, 4, (int64_t[]){s->batch, s->kv_heads, s->past, s->size}));
        if (s->past < 0 && call->in[in]->rank == 4) s->past = call->in[in]->dims[2];
    }
    int64_t total;
    size_t count;
    if (s->past >= 0 && tn_infer_ints(call, TOTAL, &total, 1, &count) && count == 1) {
        if (total < 0 || total > INT32_MAX)
            return tn_infer_fail(call, TOTAL, TN_E_INVALID, "%lld is no length", (long long)total);
        s->present = TN_MAX(s->past, total);
    }
    return TN_OK;
}

static tn_status infer(tn_infer *call) {
    gqa_shape s;
    tn_dtype dtype = call->in[QUERY]->dtype;
    for (int in = 0; in < call->in_count; in++) {
        if (!tn_infer_has(call, in)) continue;
        if (in >= MOST_INPUTS) return tn_infer_fail(call, in, TN_E_UNSUPPORTED, "quantized pasts are not supported");
        bool whole = in == LENGTHS || in == TOTAL;
        TN_TRY(in == POSITIONS ? tn_infer_index(call, in) : tn_infer_dtype(call, in, whole ? INT32 : FLOAT));
    }
    if (!tn_infer_has(call, LENGTHS) || !tn_infer_has(call, TOTAL))
        return tn_fail(TN_E_INVALID, "expected inputs %d and %d, the sequences' lengths", LENGTHS, TOTAL);
    TN_TRY(read_shape(call, &s));
    for (int i = 0; i < 2 && s.rotary; i++) {
        const tn_type *t = call->in[COS + i];
        TN_TRY(tn_heads_expect(call, COS + i, 2, (int64_t[]){-1, -1}));
        if (t->rank == 2 && s.size >= 0 && t->dims[1] > s.size / 2)
            return tn_infer_fail(call, COS + i, TN_E_SHAPE, "expected at most %lld angles a row, half of a head",
                                 (long long)s.size / 2);
        if (i && tn_type_is_concrete(call->in[COS])) TN_TRY(tn_heads_expect(call, SIN, 2, call->in[COS]->dims));
    }
    if (tn_infer_has(call, POSITIONS)) TN_TRY(tn_heads_expect(call, POSITIONS, 2, (int64_t[]){s.batch, s.length}));
    if (tn_infer_has(call, SINKS)) TN_TRY(tn_heads_expect(call, SINKS, 1, &s.heads));
    const tn_type *lengths = call->in[LENGTHS];
    if (s.batch >= 0 && tn_type_is_concrete(lengths) && tn_type_count(lengths) != s.batch)
        return tn_infer_fail(call, LENGTHS, TN_E_SHAPE, "expected one length for each of %lld", (long long)s.batch);
    const tn_type *total = call->in[TOTAL];
    if (tn_type_is_concrete(total) && tn_type_count(total) != 1)
        return tn_infer_fail(call, TOTAL, TN_E_SHAPE, "expected one length");
    if (tn_infer_has(call, BIAS)) {
        const tn_type *t = call->in[BIAS];
        TN_TRY(tn_heads_expect(call, BIAS, 4, (int64_t[]){-1, -1, s.length, -1}));
        const int64_t full[] = {s.batch, s.heads};
        for (int i = 0; i < 2 && t->rank == 4; i++)
            if (t->dims[i] != 1 && !tn_dim_fits(t->dims[i], full[i]))
                return tn_infer_fail(call, BIAS, TN_E_SHAPE, "expected [batch or 1, heads or 1, queries, keys]");
    }
    TN_TRY(tn_infer_out(call, 0, dtype, 3, (int64_t[]){s.batch, s.length, s.size < 0 ? -1 : s.size * s.heads}));
    for (int i = 1; i < 3; i++)
        TN_TRY(tn_infer_out(call, i, dtype, 4, (int64_t[]){s.batch, s.kv_heads, s.present, s.size}));
    return TN_OK;
}

typedef struct gqa {
    tn_attention core;
    gqa_shape shape;
    size_t half; /* angles of a position; 0: nothing is turned */
    bool interleaved;
    float *no_sinks; /* zeros, for the smooth Softmax */
    size_t own;      /* scratch of the core comes first */
} gqa;

static tn_status prepare(tn_prepare *call) {
    gqa *g = tn_prepare_alloc(call, sizeof *g);
    const tn_infer types = {.node = call->node, .in_count = call->in_count, .in = call->in, .value = call->value};
    if (!g) return TN_E_MEMORY;
    call->state = g;
    TN_TRY(read_shape(&types, &g->shape));
    gqa_shape *s = &g->shape;
    /* What the present says goes before the total, which may be known to infer alone. */
    for (int i = 1; i < 3 && s->present < 0 && i < call->out_count; i++)
        if (tn_type_is_concrete(&call->out[i])) s->present = call->out[i].dims[2];
    if (s->present < 0) return tn_fail(TN_E_INVALID, "the length of the present is not known");
    tn_attention *a = &g->core;
    *a = (tn_attention){.batch = (size_t)s->batch,
                        .heads = (size_t)s->heads,
                        .kv_heads = (size_t)s->kv_heads,
                        .q_length = (size_t)s->length,
                        .kv_length = (size_t)s->present,
                        .size = (size_t)s->size,
                        .v_size = (size_t)s->size,
                        .scale = tn_attr_float(call->node, "scale", 0),
                        .softcap = tn_attr_float(call->node, "softcap", 0),
                        .causal = true,
                        .window = (size_t)s->window};
    if (a->scale == 0 && a->size) a->scale = 1 / __builtin_sqrtf((float)a->size);
    size_t row = (size_t)(s->merged ? s->heads + 2 * s->kv_heads : s->heads) * a->size;
    a->q = (tn_attention_layout){a->q_length * row, a->size, row};
    a->k = a->v = tn_attention_heads_first(a->kv_heads, a->kv_length, a->size);
    a->y = tn_attention_rows_first(a->heads, a->q_length, a->size);
    g->half = s->rotary ? (size_t)call->in[COS]->dims[1] : 0;
    g->interleaved = tn_attr_int(call->node, "rotary_interleaved", 0) != 0;
    if (g->half) a->q = a->y;
    if (tn_prepare_has(call, BIAS)) {
        const int64_t *dims = call->in[BIAS]->dims;
        size_t columns = (size_t)dims[3], plane = a->q_length * columns;
        a->mask[1] = (tn_attention_mask){.dtype = TN_FLOAT32, .row = columns, .column = 1, .columns = columns};
        a->mask[1].head = dims[1] > 1 ? plane : 0;
        a->mask[1].batch = dims[0] > 1 ? plane * (size_t)dims[1] : 0;
    }
    if (s->smooth && !(g->no_sinks = tn_prepare_alloc(call, a->heads * sizeof(float)))) return TN_E_MEMORY;
    TN_TRY(tn_attention_prepare(call, a));
    g->own = call->scratch;
    size_t queries, cache;
    bool fits = tn_mul_size(a->batch * a->heads, a->q_length, &queries) && tn_mul_size(queries, a->size, &queries) &&
                tn_mul_size(a->batch * a->kv_heads, a->kv_length, &cache) && tn_mul_size(cache, a->size, &cache) &&
                tn_scratch_add(&call->scratch, 2 * a->batch, sizeof(int32_t)) &&
                (!g->half || tn_scratch_add(&call->scratch, queries, sizeof(float)));
    for (int i = 0; i < 2 && fits; i++)
        fits = tn_scratch_add(&call->scratch, cache, sizeof(float)); /* touched only if there is no such output */
    return fits ? TN_OK : tn_fail(TN_E_SHAPE, "the attention is too large");
}

/* Where each sequence is: how much of it there is, and how much of that is past. */
static tn_status read_lengths(const tn_run *call, const gqa *g, int32_t *lengths, int32_t *past) {
    const gqa_shape *s = &g->shape;
    const int32_t *last = tn_in(call, LENGTHS)->data;
    int64_t total = tn_index_at(tn_in(call, TOTAL), 0);
    for (int64_t b = 0; b < s->batch; b++) {
        int64_t length = (int64_t)last[b] + 1, before = total == s->length ? 0 : length - s->length;
        if (length < 1 || before < 0 || length > s->present || before + s->length > s->present)
            return tn_fail(TN_E_INVALID,
                           "seqlens_k gives sequence %lld a last element at %lld, with %lld new ones; the present has "
                           "room for %lld",
                           (long long)b, (long long)last[b], (long long)s->length, (long long)s->present);
        if (before > s->past)
            return tn_fail(TN_E_INVALID, "seqlens_k gives sequence %lld a past of %lld; there are %lld", (long long)b,
                           (long long)before, (long long)s->past);
        lengths[b] = (int32_t)length;
        past[b] = (int32_t)before;
    }
    return TN_OK;
}

typedef struct job {
    const gqa *g;
    const tn_kernels *kernels;
    const tn_tensor *positions;
    const float *cos, *sin;
    int64_t angles; /* rows of the caches */
    const int32_t *before;
    const float *fresh[3], *past[2]; /* queries, keys, values; keys, values */
    tn_attention_layout from[3];
    float *turned, *present[2];
} job;

static int64_t position_of(const job *j, size_t b, size_t r) {
    size_t length = j->g->core.q_length;
    return j->positions ? tn_index_at(j->positions, (int64_t)(b * length + r)) : j->before[b] + (int64_t)r;
}

static tn_status check_positions(const job *j) {
    const tn_attention *a = &j->g->core;
    for (size_t b = 0; b < a->batch; b++)
        for (size_t r = 0; r < a->q_length; r++) {
            int64_t at = position_of(j, b, r);
            if (at < 0 || at >= j->angles)
                return tn_fail(TN_E_INVALID, "an element is at position %lld; the caches have %lld", (long long)at,
                               (long long)j->angles);
        }
    return TN_OK;
}

/* The new rows of one head, turned by their positions if they are to be. */
static void copy_rows(const job *j, int which, size_t b, size_t h, float *to, size_t stride) {
    const gqa *g = j->g;
    const float *x = j->fresh[which] + b * j->from[which].batch + h * j->from[which].head;
    for (size_t r = 0; r < g->core.q_length; r++, x += j->from[which].row, to += stride) {
        size_t angle = which < 2 && g->half ? (size_t)position_of(j, b, r) * g->half : 0;
        if (which < 2 && g->half)
            tn_rotate_head(j->kernels, g->interleaved, g->core.size, g->half, x, j->cos + angle, j->sin + angle, to);
        else
            memcpy(to, x, g->core.size * sizeof *to);
    }
}

static void turn_task(void *context, int64_t task) {
    const job *j = context;
    const tn_attention *a = &j->g->core;
    size_t b = (size_t)task / a->heads, h = (size_t)task % a->heads;
    copy_rows(j, 0, b, h, j->turned + b * a->q.batch + h * a->q.head, a->q.row);
}

/* Keys and values of one head: the past, the new ones behind it, and zeros. */
static void fill_task(void *context, int64_t task) {
    const job *j = context;
    const tn_attention *a = &j->g->core;
    size_t b = (size_t)task / a->kv_heads, h = (size_t)task % a->kv_heads, had = (size_t)j->g->shape.past;
    size_t before = (size_t)j->before[b], end = before + a->q_length, size = a->size;
    for (int i = 0; i < 2; i++) {
        float *to = j->present[i] + (size_t)task * a->kv_length * size;
        if (before) memcpy(to, j->past[i] + (size_t)task * had * size, before * size * sizeof *to);
        copy_rows(j, 1 + i, b, h, to + before * size, size);
        memset(to + end * size, 0, (a->kv_length - end) * size * sizeof *to);
    }
}

static const float *data_of(const tn_tensor *t) {
    return t ? t->data : NULL;
}

static tn_status run(tn_run *call) {
    const gqa *g = call->state;
    const tn_attention *a = &g->core;
    uint8_t *at = (uint8_t *)call->scratch + g->own;
    int32_t *lengths = tn_scratch_take(&at, 2 * a->batch, sizeof *lengths), *before = lengths + a->batch;
    size_t hidden = a->heads * a->size, kv = a->kv_heads * a->size;
    if (!tn_out(call, 0) || a->batch == 0 || a->q_length == 0) return TN_OK;
    TN_TRY(read_lengths(call, g, lengths, before));
    job j = {.g = g,
             .kernels = call->kernels,
             .positions = tn_in(call, POSITIONS),
             .cos = data_of(tn_in(call, COS)),
             .sin = data_of(tn_in(call, SIN)),
             .before = before};
    if (g->half) j.angles = tn_in(call, COS)->dims[0];
    if (g->half) TN_TRY(check_positions(&j));
    for (int i = 0; i < 3; i++) {
        size_t columns = g->shape.merged ? hidden + 2 * kv : i ? kv : hidden;
        j.fresh[i] = g->shape.merged ? data_of(tn_in(call, QUERY)) + (i ? hidden + (size_t)(i - 1) * kv : 0)
                                     : data_of(tn_in(call, QUERY + i));
        j.from[i] = (tn_attention_layout){a->q_length * columns, a->size, columns};
    }
    if (g->half) j.turned = tn_scratch_take(&at, a->batch * a->q_length * hidden, sizeof *j.turned);
    for (int i = 0; i < 2; i++) {
        j.past[i] = data_of(tn_in(call, PAST_KEY + i));
        j.present[i] = tn_out(call, 1 + i) ? tn_out(call, 1 + i)->data
                                           : tn_scratch_take(&at, a->batch * kv * a->kv_length, sizeof(float));
    }
    tn_parallel(call->pool, (int64_t)(a->batch * a->kv_heads), fill_task, &j);
    if (g->half) tn_parallel(call->pool, (int64_t)(a->batch * a->heads), turn_task, &j);
    tn_attention_call c = {.q = g->half ? j.turned : j.fresh[0],
                           .k = j.present[0],
                           .v = j.present[1],
                           .y = tn_out(call, 0)->data,
                           .mask = {NULL, data_of(tn_in(call, BIAS))},
                           .lengths = lengths,
                           .past = before,
                           .sinks = tn_in(call, SINKS) ? tn_in(call, SINKS)->data : g->no_sinks};
    tn_attention_run(a, call, &c, call->scratch);
    return TN_OK;
}

const tn_op tn_ops_group_query_attention[] = {
    {.domain = "com.microsoft",
     .name = "GroupQueryAttention",
     .min_in = 1,
     .max_in = 14,
     .min_out = 1,
     .max_out = 4,
     .flags = TN_OP_WIDEN,
     .infer = infer,
     .prepare = prepare,
     .run = run},
    {0},
};
