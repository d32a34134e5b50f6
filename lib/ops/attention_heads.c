/* What the attention operators of com.microsoft share. See attention_heads.h. */
#include "ops/attention_heads.h"
#include "ops/scratch.h"

static const tn_dtype FLOAT[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_UNDEFINED};
static const tn_dtype INT32[] = {TN_INT32, TN_UNDEFINED};

tn_status tn_heads_expect(const tn_infer *call, int in, int rank, const int64_t *dims) {
    const tn_type *t = call->in[in];
    bool fits = t->rank < 0 || t->rank == rank;
    for (int i = 0; fits && i < t->rank; i++) fits = dims[i] < 0 || t->dims[i] < 0 || t->dims[i] == dims[i];
    char text[160];
    if (fits) return TN_OK;
    return tn_infer_fail(call, in, TN_E_SHAPE, "expected %s",
                         tn_shape_text(text, sizeof text, TN_UNDEFINED, rank, dims));
}

/* ---- masks ---- */
tn_status tn_heads_check_masks(const tn_infer *call, int mask, int bias, int64_t batch, int64_t heads_count,
                               int64_t length, int64_t total) {
    if (tn_infer_has(call, mask)) {
        TN_TRY(tn_infer_dtype(call, mask, INT32));
        const tn_type *t = call->in[mask];
        const int64_t full[] = {batch, t->rank == 3 ? length : total, total};
        bool fits = t->rank < 0 || (t->rank >= 1 && t->rank <= 3);
        for (int i = 0; fits && i < t->rank; i++) {
            bool twice = t->rank == 1 && t->dims[i] == 2 * batch;
            fits = t->dims[i] < 0 || full[i] < 0 || t->dims[i] == full[i] || twice;
        }
        if (!fits)
            return tn_infer_fail(call, mask, TN_E_UNSUPPORTED,
                                 "expected [batch], [2 * batch], [batch, keys] or [batch, queries, keys]");
    }
    if (!tn_infer_has(call, bias)) return TN_OK;
    TN_TRY(tn_infer_dtype(call, bias, FLOAT));
    const tn_type *t = call->in[bias];
    const int64_t full[] = {batch, heads_count, length, total};
    bool fits = t->rank < 0 || t->rank == 4;
    for (int i = 0; fits && i < t->rank; i++)
        fits = t->dims[i] < 0 || full[i] < 0 || t->dims[i] == full[i] || (i < 2 && t->dims[i] == 1);
    return fits ? TN_OK : tn_infer_fail(call, bias, TN_E_SHAPE, "expected [batch, heads, queries, keys]");
}

void tn_heads_set_masks(tn_prepare *call, tn_heads *h, int mask, int bias) {
    tn_attention *a = &h->core;
    h->mask_in = tn_prepare_has(call, mask) ? mask : -1;
    h->bias_in = tn_prepare_has(call, bias) ? bias : -1;
    if (h->mask_in >= 0) {
        const tn_type *t = call->in[mask];
        h->mask_rank = t->rank;
        h->mask_count = (size_t)tn_type_count(t);
        a->mask[0] = (tn_attention_mask){.dtype = TN_INT32, .column = 1, .columns = a->kv_length};
        a->mask[0].batch = t->rank == 3 ? a->q_length * a->kv_length : a->kv_length;
        a->mask[0].row = t->rank == 3 ? a->kv_length : 0;
        a->mask[0].filter = tn_attr_float(call->node, "mask_filter_value", -10000.0f);
    }
    if (h->bias_in >= 0) {
        const int64_t *dims = call->in[bias]->dims;
        size_t plane = a->q_length * a->kv_length;
        a->mask[1] =
            (tn_attention_mask){.dtype = TN_FLOAT32, .row = a->kv_length, .column = 1, .columns = a->kv_length};
        a->mask[1].head = dims[1] > 1 ? plane : 0;
        a->mask[1].batch = dims[0] > 1 ? plane * (size_t)dims[1] : 0;
    }
}

/* Lengths, or ends and starts, of each batch as a mask of 1 and 0. */
static void spell_mask(const tn_heads *h, const int32_t *given, int32_t *mask) {
    size_t batch = h->core.batch, n = h->core.kv_length;
    for (size_t b = 0; b < batch; b++)
        for (size_t i = 0; i < n; i++) {
            bool started = h->mask_count <= batch || (int64_t)i >= given[batch + b];
            mask[b * n + i] = started && (int64_t)i < given[b];
        }
}

/* ---- preparing and running ---- */
tn_status tn_heads_prepare(tn_prepare *call, tn_heads *h, int first_present) {
    tn_attention *a = &h->core;
    size_t own = 0, rows, count;
    bool fits = true;
    a->y = tn_attention_rows_first(a->heads, a->q_length, a->v_size);
    for (int i = 0; i < 3; i++) {
        tn_attention_layout *to = i == 0 ? &a->q : i == 1 ? &a->k : &a->v;
        size_t size = tn_heads_size(h, i);
        tn_attention_layout from = h->from[i];
        if (h->biased[i]) {
            from = tn_attention_rows_first(a->heads, tn_heads_length(h, i), size);
            fits = fits && tn_mul_size(a->batch, tn_heads_length(h, i), &rows) && tn_mul_size(rows, from.row, &count) &&
                   tn_scratch_add(&own, count, sizeof(float));
        }
        *to = from;
        if (i == 0) continue;
        h->join[i - 1].fresh = from;
        h->joined[i - 1] = h->join[i - 1].past > 0 || call->out_count > first_present;
        if (!h->joined[i - 1]) continue;
        *to = tn_attention_heads_first(a->heads, a->kv_length, size);
        fits = fits && tn_mul_size(a->batch * a->heads, a->kv_length, &rows) && tn_mul_size(rows, size, &count) &&
               tn_scratch_add(&own, count, sizeof(float));
    }
    if (h->mask_rank == 1)
        fits = fits && tn_mul_size(a->batch, a->kv_length, &count) && tn_scratch_add(&own, count, sizeof(int32_t));
    call->scratch = 0;
    TN_TRY(tn_attention_prepare(call, a));
    call->scratch = TN_MAX(call->scratch, (h->product_scratch + 63) / 64 * 64); /* they are not needed together */
    h->own = call->scratch;
    fits = fits && tn_add_size(call->scratch, own, &call->scratch);
    return fits ? TN_OK : tn_fail(TN_E_SHAPE, "the attention is too large");
}

static void add_bias(const tn_heads *h, int which, const float *from, const float *bias, float *to) {
    const tn_attention *a = &h->core;
    size_t size = tn_heads_size(h, which), length = tn_heads_length(h, which);
    const tn_attention_layout *l = &h->from[which];
    for (size_t b = 0; b < a->batch; b++)
        for (size_t r = 0; r < length; r++)
            for (size_t n = 0; n < a->heads; n++, to += size) {
                const float *x = from + b * l->batch + n * l->head + r * l->row;
                for (size_t i = 0; i < size; i++) to[i] = x[i] + bias[n * size + i];
            }
}

void tn_heads_run(const tn_run *call, const tn_heads *h, const float *const *qkv, const float *bias,
                  const float *const *past, float *const *present, uint8_t *at) {
    const tn_attention *a = &h->core;
    tn_attention_call c = {.y = tn_out(call, 0)->data};
    for (int i = 0; i < 3; i++) {
        const float *x = qkv[i];
        size_t size = tn_heads_size(h, i);
        if (h->biased[i]) {
            float *sum = tn_scratch_take(&at, a->batch * tn_heads_length(h, i) * a->heads * size, sizeof *sum);
            add_bias(h, i, x, bias + (size_t)i * a->heads * a->size, sum);
            x = sum;
        }
        if (i > 0 && h->joined[i - 1]) {
            float *whole = tn_scratch_take(&at, a->batch * a->heads * a->kv_length * size, sizeof *whole);
            if (present[i - 1]) whole = present[i - 1];
            tn_attention_join_run(&h->join[i - 1], past[i - 1], x, whole);
            x = whole;
        }
        *(i == 0 ? &c.q : i == 1 ? &c.k : &c.v) = x;
    }
    if (h->mask_in >= 0) {
        c.mask[0] = tn_in(call, h->mask_in)->data;
        if (h->mask_rank == 1) {
            int32_t *mask = tn_scratch_take(&at, a->batch * a->kv_length, sizeof *mask);
            spell_mask(h, c.mask[0], mask);
            c.mask[0] = mask;
        }
    }
    if (h->bias_in >= 0) c.mask[1] = tn_in(call, h->bias_in)->data;
    tn_attention_run(a, call, &c, call->scratch);
}
