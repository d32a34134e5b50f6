/* See matmul_long.h. */
#include "ops/data.h"
#include "ops/matmul_long.h"
#include "ops/scratch.h"

enum {
    LEAST = 1024,        /* of k */
    TIMES = 4,           /* k over the larger of m and n, at least */
    PARTS = 16,          /* at most */
    PART_ROWS = 512,     /* of k, at least */
    BLOCK_FLOATS = 65536 /* of A that are packed at once */
};

struct tn_matmul_long {
    tn_operand a, b;
    tn_product product; /* of one block */
    int64_t k, block, parts;
    int threads;
    size_t a_bytes, buffer_bytes;
};

static bool is_long(const tn_operand *a, const tn_operand *b) {
    const int64_t m = a->rows, n = b->columns, k = a->columns;
    return m > 1 && n > 1 && k >= LEAST && k / TIMES >= TN_MAX(m, n);
}

tn_status tn_matmul_long_prepare(tn_prepare *call, const tn_operand *a, const tn_operand *b,
                                 tn_matmul_long **out_product) {
    if (!is_long(a, b)) return TN_OK;
    tn_matmul_long *p = tn_prepare_alloc(call, sizeof *p);
    if (!p) return TN_E_MEMORY;
    p->a = *a;
    p->b = *b;
    p->k = a->columns;
    p->threads = call->threads;
    p->parts = TN_MIN(p->k / PART_ROWS, PARTS);
    p->block = TN_MAX(TN_MIN(BLOCK_FLOATS / a->rows, 512), 64);
    tn_product_plan_threads(&p->product, call->kernels, 1, (size_t)a->rows, (size_t)b->columns, (size_t)p->block, 1, 1);
    p->a_bytes = tn_product_a_bytes(&p->product);
    p->buffer_bytes = tn_product_buffer_bytes(&p->product);
    size_t sums;
    const bool fits = tn_mul_size((size_t)(p->parts * a->rows), (size_t)b->columns, &sums) &&
                      tn_scratch_add(&call->scratch, sums, sizeof(float)) &&
                      tn_scratch_add(&call->scratch, (size_t)call->threads, (p->a_bytes + 63) / 64 * 64) &&
                      tn_scratch_add(&call->scratch, (size_t)call->threads, (p->buffer_bytes + 63) / 64 * 64);
    if (!fits) return tn_fail(TN_E_SHAPE, "a product of %lld x %lld is too large", (long long)a->rows, (long long)p->k);
    *out_product = p;
    return TN_OK;
}

typedef struct job {
    const tn_matmul_long *p;
    const tn_kernels *kernels;
    const float *a, *b;
    float *sums, *y; /* [parts, m, n], [m, n] */
    uint8_t *packed, *buffers;
    const tn_epilogue *epilogue;
} job;

static void part_task(void *context, int64_t part) {
    const job *j = context;
    const tn_matmul_long *p = j->p;
    const size_t worker = (size_t)tn_worker_index(), n = p->product.n;
    float *packed = (float *)(void *)(j->packed + worker * ((p->a_bytes + 63) / 64 * 64));
    float *buffer = (float *)(void *)(j->buffers + worker * ((p->buffer_bytes + 63) / 64 * 64));
    float *sums = j->sums + (size_t)part * p->product.m * n;
    const int64_t first = tn_task_start(p->k, p->parts, part), last = tn_task_start(p->k, p->parts, part + 1);
    tn_product block = p->product;
    for (int64_t k = first; k < last; k += p->block) {
        block.k = (size_t)TN_MIN(p->block, last - k);
        const tn_panels b =
            tn_panels_matrix(j->b + k * p->b.row_stride, (size_t)p->b.row_stride, (size_t)p->b.column_stride);
        const tn_epilogue onto = {.residual = k > first ? sums : NULL, .residual_stride = n};
        tn_product_pack_all_a(&block, j->a + k * p->a.column_stride, (size_t)p->a.row_stride,
                              (size_t)p->a.column_stride, packed);
        for (size_t task = 0; task < block.tasks; task++)
            tn_product_task(&block, task, packed, &b, sums, n, &onto, buffer);
    }
}

/* A row's sums of all parts, in their order, and what comes on top. */
static void row_task(void *context, int64_t row) {
    const job *j = context;
    const tn_matmul_long *p = j->p;
    const tn_epilogue *e = j->epilogue;
    const size_t n = p->product.n, at = (size_t)row * n;
    float *y = j->y + at;
    memcpy(y, j->sums + at, n * sizeof *y);
    for (size_t part = 1; part < (size_t)p->parts; part++)
        j->kernels->add_f32(1, n, y, y, 0, 1, j->sums + part * p->product.m * n + at, 0, 1);
    for (size_t i = 0; e->row_bias && i < n; i++) y[i] += e->row_bias[row];
    for (size_t i = 0; e->column_bias && i < n; i++) y[i] += e->column_bias[i];
    for (size_t i = 0; e->residual && i < n; i++) y[i] += e->residual[(size_t)row * e->residual_stride + i];
    j->kernels->activate_f32(n, y, e);
}

void tn_matmul_long_run(const tn_run *call, const tn_matmul_long *p, const float *a, const float *b, float *y,
                        void *scratch, const tn_epilogue *epilogue) {
    uint8_t *at = scratch;
    job j = {.p = p, .kernels = call->kernels, .a = a, .b = b, .y = y, .epilogue = epilogue};
    j.sums = tn_scratch_take(&at, (size_t)p->parts * p->product.m * p->product.n, sizeof *y);
    j.packed = tn_scratch_take(&at, (size_t)p->threads, (p->a_bytes + 63) / 64 * 64);
    j.buffers = at;
    tn_parallel(call->pool, p->parts, part_task, &j);
    tn_parallel(call->pool, (int64_t)p->product.m, row_task, &j);
}
