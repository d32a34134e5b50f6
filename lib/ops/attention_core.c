/* Attention on blocks of queries. See attention_core.h. */
#include "ops/attention_core.h"
#include <math.h>

#define BLOCK 64
#define TASK_WORK 40000 /* multiplications that a task should have at least */

static size_t round_up(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

static int64_t last_block(const tn_attention *a) {
    return a->queries - (a->blocks - 1) * a->block;
}

tn_status tn_attention_prepare(tn_prepare *call, tn_attention *a) {
    a->block = TN_MAX(TN_MIN(a->queries, BLOCK), 1);
    a->blocks = (a->queries + a->block - 1) / a->block;
    a->units = a->batch * a->heads * a->blocks;
    if (a->units == 0) return TN_OK;
    double work = (double)a->block * (double)a->keys * (double)(a->width + a->v_width);
    a->units_per_task = work < TASK_WORK ? (int64_t)(TASK_WORK / (work + 1)) + 1 : 1;
    size_t bytes = 0;
    for (int i = 0; i < 2; i++) {
        size_t m = (size_t)(i ? last_block(a) : a->block);
        tn_product_plan(&a->scores[i], call->kernels, m, (size_t)a->keys, (size_t)a->width, 1, (size_t)a->units);
        tn_product_plan(&a->values[i], call->kernels, m, (size_t)a->v_width, (size_t)a->keys, 1, (size_t)a->units);
        size_t packed = TN_MAX(tn_product_a_bytes(&a->scores[i]), tn_product_a_bytes(&a->values[i]));
        size_t buffer = TN_MAX(tn_product_buffer_bytes(&a->scores[i]), tn_product_buffer_bytes(&a->values[i]));
        size_t floats = m * (size_t)a->keys + m * (size_t)a->width;
        if (packed > PTRDIFF_MAX / 8 || buffer > PTRDIFF_MAX / 8 || floats > PTRDIFF_MAX / 8)
            return tn_fail(TN_E_LIMIT, "attention over %lld keys needs too much memory", (long long)a->keys);
        bytes = TN_MAX(bytes, round_up(packed) + round_up(buffer) + round_up(floats * sizeof(float)));
    }
    a->thread_bytes = bytes;
    size_t all;
    if (!tn_mul_size(bytes, (size_t)TN_MAX(call->threads, 1), &all) || !tn_add_size(call->scratch, all, &call->scratch))
        return tn_fail(TN_E_LIMIT, "attention over %lld keys needs too much memory", (long long)a->keys);
    return TN_OK;
}

tn_status tn_attention_mask(const tn_attention *a, const tn_tensor *mask, tn_attention_call *call) {
    const int64_t full[3] = {a->batch, a->heads, a->queries};
    char text[160];
    call->mask = mask->data;
    call->mask_is_bool = mask->dtype == TN_BOOL;
    call->mask_keys = a->keys;
    bool fits = mask->rank <= 4;
    int64_t stride = 1;
    for (int i = mask->rank - 1, axis = 3; fits && i >= 0; i--, axis--) {
        int64_t dim = mask->dims[i];
        if (axis == 3) {
            call->key_stride = dim == 1 && a->keys != 1 ? 0 : 1;
            if (call->key_stride) call->mask_keys = dim;
            fits = dim <= a->keys;
        } else {
            call->mask_stride[axis] = dim == 1 ? 0 : stride;
            fits = dim == 1 || dim == full[axis];
        }
        stride *= dim;
    }
    if (fits) return TN_OK;
    return tn_fail(TN_E_SHAPE, "the mask is %s, which does not broadcast to [%lld,%lld,%lld,%lld]",
                   tn_shape_text(text, sizeof text, mask->dtype, mask->rank, mask->dims), (long long)a->batch,
                   (long long)a->heads, (long long)a->queries, (long long)a->keys);
}

typedef struct {
    const tn_attention *a;
    const tn_attention_call *call;
    const tn_kernels *kernels;
    char *scratch;
} job;

/* A product of one block, all of its tasks on this thread. */
static void multiply(const tn_product *p, const float *x, size_t x_row, const tn_panels *b, float *y, size_t y_row,
                     float *packed, float *buffer) {
    tn_epilogue plain = {0};
    for (size_t panel = 0; panel < p->row_panels; panel++) tn_product_pack_a(p, x, x_row, 1, packed, panel);
    for (size_t task = 0; task < p->tasks; task++) tn_product_task(p, task, packed, b, y, y_row, &plain, buffer);
}

static void add_mask(const job *j, int64_t batch, int64_t head, int64_t query, float *row) {
    const tn_attention_call *c = j->call;
    const tn_attention *a = j->a;
    if (c->mask) {
        int64_t at = batch * c->mask_stride[0] + head * c->mask_stride[1] + query * c->mask_stride[2];
        if (c->mask_is_bool) {
            const uint8_t *mask = (const uint8_t *)c->mask + at;
            for (int64_t k = 0; k < c->mask_keys; k++)
                if (!mask[k * c->key_stride]) row[k] = -INFINITY;
        } else if (c->key_stride) {
            const float *mask = (const float *)c->mask + at;
            for (int64_t k = 0; k < c->mask_keys; k++) row[k] += mask[k];
        } else {
            float value = ((const float *)c->mask)[at];
            for (int64_t k = 0; k < c->mask_keys; k++) row[k] += value;
        }
    }
    int64_t end = c->mask ? c->mask_keys : a->keys;
    if (a->causal) end = TN_MIN(end, a->offset + query + 1);
    if (c->key_counts) end = TN_MIN(end, c->key_counts[batch]);
    for (int64_t k = TN_MAX(end, 0); k < a->keys; k++) row[k] = -INFINITY;
}

static void copy_weights(const job *j, int64_t first_row, int64_t rows, const float *scores) {
    size_t keys = (size_t)j->a->keys;
    memcpy(j->call->weights + (size_t)first_row * keys, scores, (size_t)rows * keys * sizeof *scores);
}

static void cap(const job *j, float *x, size_t n) {
    float softcap = j->a->softcap;
    for (size_t i = 0; i < n; i++) x[i] /= softcap;
    j->kernels->tanh_f32(x, x, n, NULL);
    for (size_t i = 0; i < n; i++) x[i] *= softcap;
}

static void run_unit(const job *j, int64_t unit, char *memory) {
    const tn_attention *a = j->a;
    const tn_attention_call *c = j->call;
    int64_t block = unit % a->blocks, head = unit / a->blocks % a->heads, batch = unit / a->blocks / a->heads;
    int64_t first = block * a->block, rows = TN_MIN(a->block, a->queries - first);
    int64_t kv = head / (a->heads / a->kv_heads);
    int which = rows == a->block ? 0 : 1;
    const tn_product *scores = &a->scores[which], *values = &a->values[which];
    float *x = (float *)memory, *q = x + rows * a->keys;
    char *packed = memory + round_up((size_t)(rows * (a->keys + a->width)) * sizeof(float));
    char *buffer = packed + round_up(TN_MAX(tn_product_a_bytes(scores), tn_product_a_bytes(values)));

    const float *from = c->q.data + (size_t)batch * c->q.batch + (size_t)head * c->q.head;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < a->width; i++)
            q[r * a->width + i] = from[(size_t)(first + r) * c->q.row + (size_t)i] * a->scale;
    tn_panels keys = tn_panels_matrix(c->k.data + (size_t)batch * c->k.batch + (size_t)kv * c->k.head, 1, c->k.row);
    multiply(scores, q, (size_t)a->width, &keys, x, (size_t)a->keys, (float *)packed, (float *)buffer);

    int64_t row = (batch * a->heads + head) * a->queries + first;
    size_t n = (size_t)(rows * a->keys);
    if (c->weights && c->weights_kind == TN_WEIGHTS_SCORES) copy_weights(j, row, rows, x);
    if (a->softcap != 0) cap(j, x, n);
    if (c->weights && c->weights_kind == TN_WEIGHTS_CAPPED) copy_weights(j, row, rows, x);
    for (int64_t r = 0; r < rows; r++) add_mask(j, batch, head, first + r, x + r * a->keys);
    if (c->weights && c->weights_kind == TN_WEIGHTS_MASKED) copy_weights(j, row, rows, x);
    j->kernels->rows_softmax_f32(x, x, (size_t)rows, (size_t)a->keys);
    if (c->weights && c->weights_kind == TN_WEIGHTS_SOFTMAX) copy_weights(j, row, rows, x);

    tn_panels v = tn_panels_matrix(c->v.data + (size_t)batch * c->v.batch + (size_t)kv * c->v.head, c->v.row, 1);
    float *y = c->y.data + (size_t)batch * c->y.batch + (size_t)head * c->y.head + (size_t)first * c->y.row;
    multiply(values, x, (size_t)a->keys, &v, y, c->y.row, (float *)packed, (float *)buffer);
}

static void run_task(void *context, int64_t task) {
    const job *j = context;
    char *memory = j->scratch + (size_t)tn_worker_index() * j->a->thread_bytes;
    int64_t end = TN_MIN((task + 1) * j->a->units_per_task, j->a->units);
    for (int64_t unit = task * j->a->units_per_task; unit < end; unit++) run_unit(j, unit, memory);
}

void tn_attention_run(const tn_run *run, const tn_attention *a, const tn_attention_call *call, void *scratch) {
    if (a->units == 0) return;
    job j = {a, call, run->kernels, scratch};
    tn_parallel(run->pool, (a->units + a->units_per_task - 1) / a->units_per_task, run_task, &j);
}
