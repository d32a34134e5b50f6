/* Scaled dot-product attention. See attention_core.h. */
#include "ops/attention_core.h"
#include "ops/scratch.h"

enum { MOST_ROWS = 64, MOST_SCORES = 1 << 16 /* of a task, in floats: a quarter of a second-level cache */ };

static size_t round_up(size_t bytes) {
    return bytes > SIZE_MAX / 2 ? SIZE_MAX / 2 : (bytes + 63) / 64 * 64;
}

/* Blocks of one row alone are bound by memory. */
static void plan(const tn_attention *a, const tn_kernels *kernels, tn_product *p, size_t m, size_t n, size_t k) {
    (a->rows > 1 ? tn_product_plan_fast : tn_product_plan_threads)(p, kernels, 0, m, n, k, 1, 1);
}

tn_status tn_attention_prepare(tn_prepare *call, tn_attention *a) {
    size_t longest = TN_MAX(a->kv_length, (size_t)1);
    a->rows = TN_MAX(TN_MIN((size_t)MOST_ROWS, MOST_SCORES / longest), (size_t)8);
    a->rows = TN_MIN(a->rows, TN_MAX(a->q_length, (size_t)1));
    a->packed = a->q_length > a->rows;
    tn_product scores, values;
    plan(a, call->kernels, &scores, a->rows, a->kv_length, a->size);
    plan(a, call->kernels, &values, a->rows, a->v_size, a->kv_length);
    a->k_bytes = a->packed && a->kv_length ? round_up(tn_product_b_bytes(&scores)) : 0;
    a->v_bytes = a->packed && a->kv_length ? round_up(tn_product_b_bytes(&values)) : 0;
    size_t row_bytes, scores_bytes, one_head = 0, heads, all;
    /* Packed rows of bfloat16 are padded, to no more than these. */
    size_t left = TN_MAX(TN_MAX(a->size, longest), (size_t)TN_BF16_STEP);
    bool fits = tn_mul_size(a->rows * sizeof(float), left, &row_bytes) &&
                tn_mul_size(a->rows * sizeof(float), longest, &scores_bytes) && row_bytes < SIZE_MAX / 8 &&
                scores_bytes < SIZE_MAX / 8;
    if (fits) {
        /* Products of fewer columns than kv_length may cut k into larger blocks than that of all of them. */
        size_t most = tn_product_most_buffer(scores.columns, TN_MAX(a->size, longest));
        size_t buffer = a->kv_length ? most * sizeof(float) : 0;
        a->thread_bytes = round_up(row_bytes) + round_up(scores_bytes) + round_up(buffer);
    }
    fits = fits && tn_add_size(a->k_bytes, a->v_bytes, &one_head) && tn_mul_size(a->batch, a->kv_heads, &heads) &&
           tn_mul_size(one_head, heads, &all) && tn_scratch_add(&call->scratch, all, 1) &&
           tn_scratch_add(&call->scratch, (size_t)call->threads, a->thread_bytes);
    return fits ? TN_OK : tn_fail(TN_E_SHAPE, "the attention is too large");
}

typedef struct job {
    const tn_attention *a;
    const tn_attention_call *call;
    const tn_kernels *kernels;
    uint8_t *packed, *threads;
} job;

static float *packed_k(const job *j, size_t batch, size_t head) {
    return (float *)(void *)(j->packed + (batch * j->a->kv_heads + head) * (j->a->k_bytes + j->a->v_bytes));
}
static float *packed_v(const job *j, size_t batch, size_t head) {
    return packed_k(j, batch, head) + j->a->k_bytes / sizeof(float);
}

static void pack_head(void *context, int64_t task) {
    const job *j = context;
    const tn_attention *a = j->a;
    size_t batch = (size_t)task / a->kv_heads, head = (size_t)task % a->kv_heads;
    const float *k = j->call->k + batch * a->k.batch + head * a->k.head;
    const float *v = j->call->v + batch * a->v.batch + head * a->v.head;
    tn_product p;
    plan(a, j->kernels, &p, a->rows, a->kv_length, a->size);
    for (size_t i = 0; i < p.column_panels; i++) tn_product_pack_b(&p, k, 1, a->k.row, packed_k(j, batch, head), i);
    plan(a, j->kernels, &p, a->rows, a->v_size, a->kv_length);
    for (size_t i = 0; i < p.column_panels; i++) tn_product_pack_b(&p, v, a->v.row, 1, packed_v(j, batch, head), i);
}

/* Columns [*first, *end) that a row sees. */
static void visible(const job *j, size_t batch, size_t row, size_t *first, size_t *end) {
    const tn_attention *a = j->a;
    size_t past = j->call->past ? (size_t)j->call->past[batch] : a->past;
    *first = 0;
    *end = j->call->lengths ? TN_MIN((size_t)j->call->lengths[batch], a->kv_length) : a->kv_length;
    if (!a->causal) return;
    *end = TN_MIN(*end, row + past + 1);
    if (a->window && row + past + 1 > a->window) *first = TN_MIN(row + past + 1 - a->window, *end);
}

static void add_mask(const job *j, int which, size_t batch, size_t head, size_t row, float *scores, size_t n) {
    const tn_attention_mask *m = &j->a->mask[which];
    size_t at = batch * m->batch + head * m->head + row * m->row, known = TN_MIN(n, m->columns);
    if (m->dtype == TN_FLOAT32) {
        const float *mask = (const float *)j->call->mask[which] + at;
        j->kernels->add_f32(1, known, scores, scores, 0, 1, mask, 0, m->column);
    } else if (m->dtype == TN_BOOL) {
        const uint8_t *mask = (const uint8_t *)j->call->mask[which] + at;
        for (size_t i = 0; i < known; i++) scores[i] += mask[i * m->column] ? 0 : m->filter;
    } else {
        const int32_t *mask = (const int32_t *)j->call->mask[which] + at;
        for (size_t i = 0; i < known; i++) scores[i] += mask[i * m->column] > 0 ? 0 : m->filter;
    }
    for (size_t i = known; i < n; i++) scores[i] = -__builtin_inff();
}

static void keep(const job *j, tn_attention_stage stage, size_t batch, size_t head, size_t row, const float *scores,
                 size_t n) {
    const tn_attention *a = j->a;
    if (!j->call->scores || a->stage != stage) return;
    float *to = j->call->scores + ((batch * a->heads + head) * a->q_length + row) * a->kv_length;
    if (n) memcpy(to, scores, n * sizeof *to);
    for (size_t i = n; i < a->kv_length; i++) to[i] = stage == TN_SCORES_SOFTMAX ? 0 : -__builtin_inff();
}

/* Probabilities p of n scores, of which the largest was `most`, with one more score that has no place among them. The
 * largest probability is 1 / sum(exp(scores - most)). */
static void share_with_sink(const job *j, float sink, float most, float *p, size_t n) {
    float largest;
    j->kernels->rows_max_f32(&largest, p, 1, n);
    float left = 1 / (1 + __builtin_expf(sink - most) * largest);
    for (size_t i = 0; i < n; i++) p[i] *= left;
}

/* Scores of one row become probabilities; returns how many columns count, the others being zero. */
static void weigh_row(const job *j, size_t batch, size_t head, size_t row, float *scores, size_t n) {
    const tn_attention *a = j->a;
    size_t first, end;
    keep(j, TN_SCORES_SCALED, batch, head, row, scores, n);
    if (a->softcap > 0) {
        for (size_t i = 0; i < n; i++) scores[i] /= a->softcap;
        j->kernels->tanh_f32(scores, scores, n, NULL);
        for (size_t i = 0; i < n; i++) scores[i] *= a->softcap;
    }
    keep(j, TN_SCORES_CAPPED, batch, head, row, scores, n);
    visible(j, batch, row, &first, &end);
    end = TN_MIN(end, n);
    for (int which = 0; which < 2; which++)
        if (a->mask[which].dtype) add_mask(j, which, batch, head, row, scores, end);
    for (size_t i = 0; i < first; i++) scores[i] = -__builtin_inff();
    for (size_t i = end; i < n; i++) scores[i] = -__builtin_inff();
    keep(j, TN_SCORES_MASKED, batch, head, row, scores, n);
    float most = -__builtin_inff();
    if (end > first) j->kernels->rows_max_f32(&most, scores + first, 1, end - first);
    memset(scores, 0, first * sizeof *scores);
    if (most == -__builtin_inff())
        memset(scores + first, 0, (end - first) * sizeof *scores);
    else
        j->kernels->rows_softmax_f32(scores + first, scores + first, 1, end - first);
    if (j->call->sinks && end > first && most > -__builtin_inff())
        share_with_sink(j, j->call->sinks[head], most, scores + first, end - first);
    memset(scores + end, 0, (n - end) * sizeof *scores);
    keep(j, TN_SCORES_SOFTMAX, batch, head, row, scores, n);
}

static void multiply(const tn_product *p, const float *left, const tn_panels *right, float *to, size_t stride,
                     float *buffer) {
    const tn_epilogue nothing = {0};
    for (size_t i = 0; i < p->tasks; i++) tn_product_task(p, i, left, right, to, stride, &nothing, buffer);
}

static void attend(void *context, int64_t task) {
    const job *j = context;
    const tn_attention *a = j->a;
    size_t blocks = (a->q_length + a->rows - 1) / a->rows, row = (size_t)task % blocks * a->rows;
    size_t head = (size_t)task / blocks % a->heads, batch = (size_t)task / blocks / a->heads;
    size_t m = TN_MIN(a->rows, a->q_length - row), n = a->kv_length, first;
    size_t kv_head = head / (a->heads / a->kv_heads);
    const float *q = j->call->q + batch * a->q.batch + head * a->q.head + row * a->q.row;
    const float *k = j->call->k + batch * a->k.batch + kv_head * a->k.head;
    const float *v = j->call->v + batch * a->v.batch + kv_head * a->v.head;
    float *y = j->call->y + batch * a->y.batch + head * a->y.head + row * a->y.row;
    /* What no row of the block sees is left out; unless all scores are to be shown. */
    if (!j->call->scores || a->stage > TN_SCORES_CAPPED) visible(j, batch, row + m - 1, &first, &n);
    if (n == 0) {
        for (size_t r = 0; r < m; r++) {
            memset(y + r * a->y.row, 0, a->v_size * sizeof *y);
            keep(j, a->stage, batch, head, row + r, NULL, 0);
        }
        return;
    }
    uint8_t *at = j->threads + (size_t)tn_worker_index() * a->thread_bytes;
    float *left =
        tn_scratch_take(&at, a->rows * TN_MAX(TN_MAX(a->size, a->kv_length), (size_t)TN_BF16_STEP), sizeof *left);
    float *scores = tn_scratch_take(&at, a->rows * a->kv_length, sizeof *scores), *buffer = (float *)(void *)at;
    tn_product p;
    plan(a, j->kernels, &p, m, n, a->size);
    p.alpha = a->scale;
    tn_product_pack_all_a(&p, q, a->q.row, 1, left);
    for (size_t i = 0; !p.bf16 && i < m * a->size; i++) left[i] *= a->scale;
    const tn_panels keys =
        a->packed ? tn_panels_packed(packed_k(j, batch, kv_head), a->size) : tn_panels_matrix(k, 1, a->k.row);
    multiply(&p, left, &keys, scores, n, buffer);
    for (size_t r = 0; r < m; r++) weigh_row(j, batch, head, row + r, scores + r * n, n);
    plan(a, j->kernels, &p, m, a->v_size, n);
    tn_product_pack_all_a(&p, scores, n, 1, left);
    tn_panels values = tn_panels_matrix(v, a->v.row, 1);
    if (a->packed) values = tn_panels_packed(packed_v(j, batch, kv_head), a->kv_length);
    multiply(&p, left, &values, y, a->y.row, buffer);
}

void tn_attention_run(const tn_attention *a, const tn_run *run, const tn_attention_call *call, void *scratch) {
    size_t blocks = (a->q_length + a->rows - 1) / a->rows, tasks = a->batch * a->heads * blocks;
    if (tasks == 0 || (a->v_size == 0 && !call->scores)) return;
    job j = {.a = a, .call = call, .kernels = run->kernels};
    uint8_t *at = scratch;
    j.packed = tn_scratch_take(&at, a->batch * a->kv_heads * (a->k_bytes + a->v_bytes), 1);
    j.threads = at;
    double work = (double)TN_MIN(a->q_length, a->rows) * (double)a->kv_length * (double)(a->size + a->v_size);
    tn_pool *pool = work * (double)tasks < 50000 ? NULL : run->pool;
    if (a->packed && a->kv_length) tn_parallel(pool, (int64_t)(a->batch * a->kv_heads), pack_head, &j);
    tn_parallel(pool, (int64_t)tasks, attend, &j);
}

void tn_attention_join_run(const tn_attention_join *j, const float *past, const float *fresh, float *to) {
    for (size_t b = 0; b < j->batch; b++)
        for (size_t h = 0; h < j->heads; h++) {
            const float *rows = fresh + b * j->fresh.batch + h * j->fresh.head;
            if (past) memcpy(to, past, j->past * j->size * sizeof *to);
            if (past) past += j->past * j->size;
            to += j->past * j->size;
            for (size_t r = 0; r < j->length; r++, to += j->size)
                memcpy(to, rows + r * j->fresh.row, j->size * sizeof *to);
        }
}
