/* See matmul_sparse.h. Rows of A are lanes: a strip of them is turned over, so that a row of vectors is one k, and each weight
 * that is not 0 costs one multiplication of vectors (Gale et al., "Fast Sparse ConvNets", arXiv 1911.09723). What comes out is
 * turned back, and biases, residual and activation are applied on the way.
 *
 * Which form pays follows from the weights alone: how many there are (groups of 1), and how many columns of blocks of 4
 * outputs (groups of 4), against the dense kernel's cost. */
#include "ops/matmul_sparse.h"
#include "ops/scratch.h"
#include <stdio.h>

enum { STRIP = TN_SPARSE_STRIP, BLOCK = TN_SPARSE_BLOCK, COLUMNS = 64 /* of Y that a task makes */, LEAST_ROWS = 32 };

/* What a vector's multiplication costs beside one of the dense kernel, turning over included; measured by
 * tests/bench/sparse.c. */
static const double SINGLE_COST = 1.3, GROUP_COST = 1.6, WORTH = 0.8;

typedef struct tn_sparse_weights { /* packed: this, start, value, column */
    size_t group, groups, count;
} tn_sparse_weights;

struct tn_matmul_sparse {
    size_t m, n, k, strips, column_tasks, blocks;
    size_t together; /* strips of a task */
    size_t a_row;    /* stride */
    const tn_sparse_weights *weights;
    const uint32_t *start;
    const float *value;
    const uint8_t *column;
    size_t x_bytes, buffer_bytes;
};

typedef struct source {
    const float *w;
    size_t k_stride, n_stride, k, n, group, bytes;
    float alpha;
} source;

static float weight(const source *s, size_t k, size_t n) {
    return n < s->n ? s->w[k * s->k_stride + n * s->n_stride] : 0;
}

static bool any(const source *s, size_t k, size_t first, size_t group) {
    for (size_t i = 0; i < group; i++)
        if (weight(s, k, first + i) != 0) return true;
    return false;
}

static size_t listed_columns(const source *s, size_t group) {
    size_t count = 0;
    for (size_t n = 0; n < s->n; n += group)
        for (size_t k = 0; k < s->k; k++) count += any(s, k, n, group);
    return count;
}

static void pack(void *dst, const void *context) {
    const source *s = context;
    tn_sparse_weights *head = dst;
    *head = (tn_sparse_weights){s->group, (s->n + s->group - 1) / s->group, 0};
    const size_t blocks = (s->k + BLOCK - 1) / BLOCK;
    uint32_t *start = (uint32_t *)(head + 1);
    const size_t count = listed_columns(s, s->group);
    float *value = (float *)(void *)(start + blocks * head->groups + 1);
    uint8_t *column = (uint8_t *)(value + count * s->group);
    for (size_t row = 0; row < blocks * head->groups; row++) { /* of blocks, the groups */
        const size_t g = row % head->groups, block = row / head->groups * BLOCK;
        start[row] = (uint32_t)head->count;
        for (size_t k = block; k < TN_MIN(block + BLOCK, s->k); k++) {
            if (!any(s, k, g * s->group, s->group)) continue;
            column[head->count] = (uint8_t)(k - block);
            for (size_t i = 0; i < s->group; i++)
                value[head->count * s->group + i] = s->alpha * weight(s, k, g * s->group + i);
            head->count++;
        }
    }
    start[blocks * head->groups] = (uint32_t)head->count;
}

/* Whether a look at some of the weights leaves hope. */
static bool may_be_sparse(const source *s) {
    const size_t all = s->n * s->k, step = TN_MAX(all / 2048, (size_t)1);
    size_t seen = 0, there = 0;
    for (size_t i = 0; i < all; i += step, seen++) there += weight(s, i % s->k, i / s->k) != 0;
    return (double)there < 0.6 * (double)seen;
}

tn_status tn_matmul_sparse_prepare(tn_prepare *call, const tn_operand *a, const tn_operand *b, float alpha,
                                   tn_matmul_sparse **out_sparse) {
    source s = {call->value[1]->data,
                (size_t)b->row_stride,
                (size_t)b->column_stride,
                (size_t)b->rows,
                (size_t)b->columns,
                1,
                0,
                alpha};
    const size_t m = (size_t)a->rows;
    *out_sparse = NULL;
    if (m < LEAST_ROWS || s.k < 16 || s.n < 16 || s.k > UINT32_MAX / TN_MAX(s.n, (size_t)1) || a->column_stride != 1 ||
        !may_be_sparse(&s))
        return TN_OK;
    const double all = (double)s.n * (double)s.k;
    const size_t singles = listed_columns(&s, 1), groups = listed_columns(&s, TN_SPARSE_GROUP);
    const double single_cost = SINGLE_COST * (double)singles,
                 group_cost = GROUP_COST * TN_SPARSE_GROUP * (double)groups;
    if (TN_MIN(single_cost, group_cost) > WORTH * all) return TN_OK;
    s.group = single_cost <= group_cost ? 1 : TN_SPARSE_GROUP;
    const size_t count = s.group == 1 ? singles : groups, rows = (s.n + s.group - 1) / s.group;
    tn_matmul_sparse *p = tn_prepare_alloc(call, sizeof *p);
    if (!p) return TN_E_MEMORY;
    *p = (tn_matmul_sparse){.m = m, .n = s.n, .k = s.k, .a_row = (size_t)a->row_stride};
    p->strips = (m + STRIP - 1) / STRIP;
    p->column_tasks = (s.n + COLUMNS - 1) / COLUMNS;
    p->blocks = (s.k + BLOCK - 1) / BLOCK;
    p->together = p->strips > 1 && p->strips * p->column_tasks >= 4 * (size_t)call->threads ? 2 : 1;
    s.bytes = sizeof(tn_sparse_weights) + (p->blocks * rows + 1 + count * s.group) * sizeof(float) + count;
    char layout[96];
    const void *packed;
    snprintf(layout, sizeof layout, "sparse_f32 %zu %zux%zu in blocks at %zu times %a", s.group, s.k, s.n, s.k_stride,
             (double)alpha);
    TN_TRY(tn_prepare_pack(call, 1, layout, s.bytes, pack, &s, &packed));
    p->weights = packed;
    p->start = (const uint32_t *)(p->weights + 1);
    p->value = (const float *)(const void *)(p->start + p->blocks * rows + 1);
    p->column = (const uint8_t *)(p->value + count * s.group);
    size_t x_bytes, buffers;
    p->buffer_bytes = p->together * COLUMNS * STRIP * sizeof(float);
    bool fits = tn_mul_size(p->strips * STRIP, s.k * sizeof(float), &x_bytes) &&
                tn_mul_size((size_t)call->threads, p->buffer_bytes, &buffers) &&
                tn_scratch_add(&call->scratch, x_bytes, 1) && tn_scratch_add(&call->scratch, buffers, 1);
    if (!fits) return tn_fail(TN_E_SHAPE, "a product of %zu x %zu is too large", m, s.k);
    p->x_bytes = x_bytes;
    *out_sparse = p;
    return TN_OK;
}

typedef struct job {
    const tn_matmul_sparse *p;
    const tn_kernels *kernels;
    const float *a;
    float *x, *y;
    char *buffers;
    const tn_epilogue *epilogue;
} job;

/* Strip number `strip` of A, turned over: [k, STRIP], with zeros behind the last row. */
static void turn_task(void *context, int64_t strip) {
    const job *j = context;
    const tn_matmul_sparse *p = j->p;
    float *x = j->x + (size_t)strip * STRIP * p->k;
    const float *a = j->a + (size_t)strip * STRIP * p->a_row;
    const size_t rows = TN_MIN((size_t)STRIP, p->m - (size_t)strip * STRIP);
    if (rows < STRIP) memset(x, 0, STRIP * p->k * sizeof *x);
    j->kernels->transpose_4((int64_t)p->k, (int64_t)rows, a, (int64_t)(p->a_row * sizeof *a), x, STRIP * sizeof *x);
}

/* A strip's results to their place, turned back. */
static void finish(const job *j, size_t strip, size_t first, size_t columns, const float *tile) {
    const tn_matmul_sparse *p = j->p;
    const size_t rows = TN_MIN((size_t)STRIP, p->m - strip * STRIP);
    const tn_epilogue *e = j->epilogue;
    float *y = j->y + strip * STRIP * p->n + first;
    j->kernels->transpose_4((int64_t)rows, (int64_t)columns, tile, STRIP * sizeof *tile, y,
                            (int64_t)(p->n * sizeof *y));
    for (size_t r = 0; r < rows; r++, y += p->n) {
        const size_t row = strip * STRIP + r;
        const float *residual = e->residual ? e->residual + row * e->residual_stride + first : NULL;
        for (size_t i = 0; e->row_bias && i < columns; i++) y[i] += e->row_bias[row];
        for (size_t i = 0; e->column_bias && i < columns; i++) y[i] += e->column_bias[first + i];
        for (size_t i = 0; residual && i < columns; i++) y[i] += residual[i];
        if (e->activation != TN_ACT_NONE) j->kernels->activate_f32(columns, y, e);
    }
}

static void product_task(void *context, int64_t task) {
    const job *j = context;
    const tn_matmul_sparse *p = j->p;
    const size_t strip = (size_t)task / p->column_tasks * p->together, first = (size_t)task % p->column_tasks * COLUMNS;
    const size_t columns = TN_MIN((size_t)COLUMNS, p->n - first), strips = TN_MIN(p->together, p->strips - strip);
    const size_t group = p->weights->group, groups = (columns + group - 1) / group;
    float *tile = (float *)(void *)(j->buffers + (size_t)tn_worker_index() * p->buffer_bytes);
    tn_sparse_f32 call = {.groups = groups,
                          .group = group,
                          .column = p->column,
                          .value = p->value,
                          .y = tile,
                          .strips = strips,
                          .x_next = STRIP * p->k,
                          .y_next = (size_t)COLUMNS * STRIP};
    for (size_t b = 0; b < p->blocks; b++, call.add = true) {
        call.start = p->start + b * p->weights->groups + first / group;
        call.x = j->x + (strip * p->k + b * BLOCK) * STRIP;
        j->kernels->sparse_f32(&call);
    }
    for (size_t s = 0; s < strips; s++) finish(j, strip + s, first, columns, tile + s * call.y_next);
}

void tn_matmul_sparse_run(const tn_run *call, const tn_matmul_sparse *p, const float *a, float *y, void *scratch,
                          const tn_epilogue *epilogue) {
    uint8_t *at = scratch;
    job j = {.p = p, .kernels = call->kernels, .a = a, .y = y, .epilogue = epilogue};
    j.x = tn_scratch_take(&at, p->x_bytes, 1);
    j.buffers = tn_scratch_take(&at, (size_t)tn_pool_threads(call->pool) * p->buffer_bytes, 1);
    tn_parallel(call->pool, (int64_t)p->strips, turn_task, &j);
    const size_t turns = (p->strips + p->together - 1) / p->together;
    tn_parallel(call->pool, (int64_t)(turns * p->column_tasks), product_task, &j);
}
