/* Products of stacks of matrices; see matmul.h.
 *
 * float32 goes through the packed kernels: weights are packed when the plan is made, the other side at each run. A
 * stack on the left whose right side is one matrix is one tall matrix. Single rows and columns are products with a
 * vector, which read the matrix where it lies. float64 has blocks of its own; integers take plain loops. */
#include "kernels/product_f64.h"
#include "ops/matmul.h"
#include "ops/matmul_codes.h"
#include "ops/matmul_long.h"
#include "ops/matmul_sparse.h"
#include <stdio.h>

#define SERIAL_PACK 16384   /* elements of A below which packing is not worth other threads' help */
#define ROW_PACK (1u << 18) /* elements of B up to which it stays in a near cache: one row reads it faster packed */
#define DOT_WORK 65536      /* multiplications of a task of products with a vector */
#define TASK_PACK 32768     /* elements of A that a task packs for itself, about */
#define NEAR_B 131072       /* elements of a B that a near cache holds beside them */
#define FAR_PACK 262144     /* elements of A that a task packs where B, larger, goes by: half of the second cache */
#define FAR_ROWS 64         /* of A at least, then: B comes from memory while they are multiplied */
#define PLAIN_COLUMNS 64
#define WIDE_ROWS 96 /* of a task in float64 */
#define WIDE_COLUMNS 256

struct tn_matmul {
    tn_dtype dtype;
    tn_operand a, b;
    int batch_rank;
    int64_t batch_dims[TN_MAX_RANK];
    int64_t batches;
    float alpha;
    tn_matmul_sparse *sparse; /* weights with many zeros; NULL: as they are */
    tn_matmul_codes *codes;   /* weights of few values, looked up; NULL: as they are */
    tn_matmul_long *deep;     /* a long inner dimension; NULL: none */
    bool column;              /* n is 1: rows of A times a vector */
    tn_product product;
    const float *packed_a, *packed_b; /* NULL: made at each run, or not at all */
    bool pack_all_b;                  /* once at each run, for all tasks, each of which would pack it for itself */
    bool a_as_it_is;                  /* one row, in order: it need not be packed */
    bool a_shared;                    /* all batches have one A */
    bool a_in_task;                   /* each task packs its rows of A, which then are in a near cache */
    size_t b_bytes;                   /* of pack_all_b */
    size_t a_bytes, buffer_bytes;     /* of one batch's packed A, of one thread's buffer: of the scratch memory */
    size_t a_offset;                  /* in that buffer, of the rows of A that a task packs */
    size_t row_tasks;                 /* of the plain loops and of `column`: rows a task */
    int64_t task_rows;
    int64_t column_tasks; /* of float64 */
};

void tn_operand_view(tn_operand *o, const tn_type *type, bool left, bool trans, bool trans_batch) {
    int64_t strides[TN_MAX_RANK], stride = 1, dims[TN_MAX_RANK];
    int rank = type->rank;
    for (int i = rank - 1; i >= 0; i--) {
        dims[i] = type->dims[i];
        strides[i] = stride;
        if (dims[i] > 0 && __builtin_mul_overflow(stride, dims[i], &stride)) stride = 1; /* cannot be made anyway */
    }
    *o = (tn_operand){.rows = 1, .columns = 1};
    if (rank == 1) {
        *(left ? &o->columns : &o->rows) = dims[0];
        *(left ? &o->column_stride : &o->row_stride) = 1;
        *(left ? &o->row_stride : &o->column_stride) = dims[0];
        return;
    }
    int row = trans_batch ? 0 : rank - 2;
    o->batch_rank = rank - 2;
    for (int i = 0; i < rank - 2; i++) {
        o->batch[i] = dims[trans_batch ? i + 1 : i];
        o->batch_stride[i] = strides[trans_batch ? i + 1 : i];
    }
    o->rows = dims[trans ? rank - 1 : row];
    o->row_stride = strides[trans ? rank - 1 : row];
    o->columns = dims[trans ? row : rank - 1];
    o->column_stride = strides[trans ? row : rank - 1];
}

bool tn_operand_batch(const tn_operand *a, const tn_operand *b, int *out_rank, int64_t *out_dims) {
    int rank = TN_MAX(a->batch_rank, b->batch_rank);
    for (int i = 0; i < rank; i++) {
        int ia = i - (rank - a->batch_rank), ib = i - (rank - b->batch_rank);
        int64_t da = ia >= 0 ? a->batch[ia] : 1, db = ib >= 0 ? b->batch[ib] : 1;
        if (da == db || db == 1)
            out_dims[i] = da;
        else if (da == 1)
            out_dims[i] = db;
        else if (da >= 0 && db >= 0)
            return false;
        else
            out_dims[i] = TN_MAX(da, db) >= 0 ? TN_MAX(da, db) : -1; /* known and not 1: the unknown one is that or 1 */
    }
    *out_rank = rank;
    return true;
}

/* Offset of an operand's matrix for a batch of the output. */
static int64_t batch_offset(const tn_matmul *p, const tn_operand *o, int64_t index) {
    int64_t offset = 0;
    for (int i = p->batch_rank - 1; i >= 0; i--) {
        int axis = i - (p->batch_rank - o->batch_rank);
        int64_t at = index % p->batch_dims[i];
        index /= p->batch_dims[i];
        if (axis >= 0 && o->batch[axis] != 1) offset += at * o->batch_stride[axis];
    }
    return offset;
}

static int64_t batch_count(const tn_operand *o) {
    return tn_dims_count(o->batch_rank, o->batch);
}

/* A stack times one matrix is one tall matrix, if the stack's rows follow each other at equal distances. */
static void fold_batches(tn_operand *a, const tn_operand *b) {
    if (batch_count(b) != 1) return;
    int64_t rows = a->rows, stride = a->row_stride;
    for (int i = a->batch_rank - 1; i >= 0; i--) {
        if (a->batch[i] == 1) continue;
        if (rows == 1) stride = a->batch_stride[i];
        if (a->batch_stride[i] != stride * rows) return;
        rows *= a->batch[i];
    }
    if (a->column_stride != 1 && stride != 1) return;
    a->rows = rows;
    a->row_stride = stride;
    a->batch_rank = 0;
}

typedef struct pack_call {
    const tn_product *product;
    const float *data;
    size_t row_stride, column_stride;
    float alpha;
    size_t count; /* of packed floats */
} pack_call;

static void scale(float *x, size_t n, float alpha) {
    for (size_t i = 0; alpha != 1 && i < n; i++) x[i] *= alpha;
}

static void pack_a(void *dst, const void *context) {
    const pack_call *c = context;
    tn_product_pack_all_a(c->product, c->data, c->row_stride, c->column_stride, dst);
    if (!c->product->bf16) scale(dst, c->count, c->alpha);
}
static void pack_b(void *dst, const void *context) {
    const pack_call *c = context;
    for (size_t i = 0; i < c->product->column_panels; i++)
        tn_product_pack_b(c->product, c->data, c->row_stride, c->column_stride, dst, i);
}

static tn_status pack_weights(tn_prepare *call, int in, const tn_operand *o, tn_matmul *p, const float **out) {
    const tn_product *product = &p->product;
    size_t bytes = in == 0 ? tn_product_a_bytes(product) : tn_product_b_bytes(product);
    pack_call context = {product,  call->value[in]->data, (size_t)o->row_stride, (size_t)o->column_stride,
                         p->alpha, bytes / sizeof(float)};
    char layout[160];
    snprintf(layout, sizeof layout, "product_%c_%s %zu %zux%zu at %zu,%zu times %a", in == 0 ? 'a' : 'b',
             product->bf16 ? "bf16" : "f32", in == 0 ? product->rows : product->columns, (size_t)o->rows,
             (size_t)o->columns, context.row_stride, context.column_stride, in == 0 ? (double)p->alpha : 1.0);
    if (bytes == SIZE_MAX)
        return tn_fail(TN_E_SHAPE, "a matrix of %lld x %lld is too large", (long long)o->rows, (long long)o->columns);
    const void *packed;
    TN_TRY(tn_prepare_pack(call, in, layout, bytes, in == 0 ? pack_a : pack_b, &context, &packed));
    *out = packed;
    return TN_OK;
}

/* Panels of A of a task that goes over all columns and packs them for itself; 0: there should be no such tasks. */
static size_t panels_in_task(const tn_matmul *p, int threads) {
    const tn_product *product = &p->product;
    const size_t k = product->k;
    if (p->batches != 1 || !k) return 0;
    if (product->n * k <= NEAR_B)
        return product->m / 8 >= TASK_PACK / k ? TN_MAX(TASK_PACK / k / product->rows, (size_t)1) : 0;
    /* One thread takes B from memory once for each task without waiting for it; several would take it each. */
    const size_t panels = FAR_PACK / k / product->rows;
    const bool pays = threads == 1 && p->packed_b && product->m > FAR_PACK / k && panels * product->rows >= FAR_ROWS;
    return pays ? panels : 0;
}

/* Whether each task goes over all columns, and so may pack its rows of A for itself. Many rows are cut into tasks for it. */
static bool packs_in_tasks(tn_matmul *p, int threads) {
    tn_product *product = &p->product;
    if (p->packed_a || p->a_as_it_is || product->bf16 || (p->a_shared && p->batches > 1)) return false;
    const size_t panels = panels_in_task(p, threads);
    if (panels) {
        product->m_tasks = product->tasks = (product->row_panels + panels - 1) / panels;
        product->panel_uses = panels;
        product->n_tasks = 1;
    }
    return product->n_tasks == 1;
}

static tn_status prepare_f32(tn_prepare *call, tn_matmul *p) {
    size_t m = (size_t)p->a.rows, n = (size_t)p->b.columns, k = (size_t)p->a.columns, scratch = call->scratch;
    p->column = n == 1 && m > 1 && p->a.column_stride == 1 && (p->b.row_stride == 1 || k == 1) && p->alpha == 1;
    if (p->column) {
        p->task_rows = (int64_t)TN_MAX(DOT_WORK / TN_MAX(k, (size_t)1), (size_t)4);
        p->row_tasks = (m + (size_t)p->task_rows - 1) / (size_t)p->task_rows;
        return TN_OK;
    }
    if (call->value[1] && p->batches == 1 && batch_count(&p->b) == 1 && batch_count(&p->a) == 1) {
        TN_TRY(tn_matmul_sparse_prepare(call, &p->a, &p->b, p->alpha, &p->sparse));
        if (p->sparse) return TN_OK;
    }
    if (!call->value[0] && !call->value[1] && p->batches == 1 && p->alpha == 1 && !call->kernels->bf16_products) {
        TN_TRY(tn_matmul_long_prepare(call, &p->a, &p->b, &p->deep));
        if (p->deep) return TN_OK;
    }
    const bool weights = call->value[1] && batch_count(&p->b) == 1;
    /* Of weights in place each task makes panels, so that there should be no more tasks than threads need. */
    const bool b_in_place = weights && tn_prepare_in_place(call, 1, p->b.column_stride == 1 ? m : 1);
    /* One row is bound by memory, and goes through B as it lies. */
    (m > 1 ? tn_product_plan_fast : tn_product_plan_threads)(
        &p->product, call->kernels, b_in_place || m == 1 ? call->threads : 0, m, n, k, 1, (size_t)p->batches);
    if (p->product.bf16) p->product.alpha = p->alpha;
    p->a_shared = batch_count(&p->a) == 1;
    p->a_as_it_is = m == 1 && (p->a.column_stride == 1 || k == 1) && p->alpha == 1;
    if (call->value[0] && p->a_shared && !p->a_as_it_is && (p->product.bf16 || !tn_prepare_in_place(call, 0, n)))
        TN_TRY(pack_weights(call, 0, &p->a, p, &p->packed_a));
    if (weights) TN_TRY(tn_matmul_codes_prepare(call, &p->b, &p->product, &p->codes));
    if (weights && !p->codes && (p->product.bf16 || !b_in_place) && (m > 1 || k <= ROW_PACK / n))
        TN_TRY(pack_weights(call, 1, &p->b, p, &p->packed_b));
    size_t bytes = tn_product_a_bytes(&p->product);
    if (bytes > SIZE_MAX / 2) return tn_fail(TN_E_SHAPE, "a product of %zu x %zu is too large", m, k);
    p->a_in_task = packs_in_tasks(p, call->threads);
    p->a_bytes = (bytes + 63) & ~(size_t)63;
    p->a_offset = p->buffer_bytes = (tn_product_buffer_bytes(&p->product) + 63) & ~(size_t)63;
    if (p->a_in_task)
        p->buffer_bytes += (TN_MIN(p->product.panel_uses * p->product.rows, m) * k * sizeof(float) + 63) & ~(size_t)63;
    p->pack_all_b = !p->packed_b && !p->codes && !p->product.bf16 && p->product.m_tasks > 1 && batch_count(&p->b) == 1;
    p->b_bytes = p->pack_all_b ? tn_product_b_bytes(&p->product) : 0;
    if (p->b_bytes > SIZE_MAX / 2) return tn_fail(TN_E_SHAPE, "a product of %zu x %zu is too large", k, n);
    p->b_bytes = (p->b_bytes + 63) & ~(size_t)63;
    size_t copies = p->packed_a || p->a_as_it_is || p->a_in_task ? 0 : p->a_shared ? 1 : (size_t)p->batches, all;
    if (!tn_mul_size(copies, p->a_bytes, &all) || !tn_add_size(all, (size_t)call->threads * p->buffer_bytes, &all) ||
        !tn_add_size(all, p->b_bytes, &all) || !tn_add_size(all, scratch, &call->scratch))
        return tn_fail(TN_E_SHAPE, "%zu products of %zu x %zu are too large", copies, m, k);
    return TN_OK;
}

tn_status tn_matmul_prepare(tn_prepare *call, const tn_operand *a, const tn_operand *b, float alpha,
                            tn_matmul **out_matmul) {
    tn_matmul *p = tn_prepare_alloc(call, sizeof *p);
    if (!p) return TN_E_MEMORY;
    p->dtype = call->in[0]->dtype;
    p->a = *a;
    p->b = *b;
    p->alpha = alpha;
    fold_batches(&p->a, &p->b);
    tn_operand_batch(&p->a, &p->b, &p->batch_rank, p->batch_dims);
    p->batches = tn_dims_count(p->batch_rank, p->batch_dims);
    *out_matmul = p;
    if (p->batches == 0 || p->a.rows == 0 || p->b.columns == 0) {
        p->batches = 0;
        return TN_OK;
    }
    if (p->dtype == TN_FLOAT32) return prepare_f32(call, p);
    if (p->dtype == TN_FLOAT64) {
        p->buffer_bytes = (tn_product_f64_buffer(call->kernels) * sizeof(double) + 63) & ~(size_t)63;
        p->task_rows = TN_MIN(p->a.rows, WIDE_ROWS);
        p->row_tasks = (size_t)((p->a.rows + p->task_rows - 1) / p->task_rows);
        p->column_tasks = (p->b.columns + WIDE_COLUMNS - 1) / WIDE_COLUMNS;
        bool fits = tn_add_size(call->scratch, (size_t)call->threads * p->buffer_bytes, &call->scratch);
        return fits ? TN_OK : tn_fail(TN_E_SHAPE, "the product is too large");
    }
    double row_work = (double)p->b.columns * (double)TN_MAX(p->a.columns, 1);
    p->task_rows = (int64_t)TN_MAX(TN_MIN(DOT_WORK / row_work, (double)p->a.rows), 1.0);
    p->row_tasks = (size_t)((p->a.rows + p->task_rows - 1) / p->task_rows);
    return TN_OK;
}

typedef struct run_call {
    const tn_matmul *p;
    const tn_kernels *kernels;
    const char *a, *b;
    char *y;
    const tn_epilogue *epilogue;
    float *packed_a, *all_b;
    char *buffers;
} run_call;

static void pack_task(void *context, int64_t index) {
    const run_call *c = context;
    const tn_matmul *p = c->p;
    const tn_product *product = &p->product;
    size_t panels = product->row_panels, batch = (size_t)index / panels, panel = (size_t)index % panels;
    float *dst = c->packed_a + batch * (p->a_bytes / sizeof *dst);
    const float *a = (const float *)c->a + batch_offset(p, &p->a, (int64_t)batch);
    tn_product_pack_a(product, a, (size_t)p->a.row_stride, (size_t)p->a.column_stride, dst, panel);
    size_t row = panel * product->rows;
    if (!product->bf16) scale(dst + row * product->k, TN_MIN(product->rows, product->m - row) * product->k, p->alpha);
}

static void pack_b_task(void *context, int64_t panel) {
    const run_call *c = context;
    const tn_matmul *p = c->p;
    tn_product_pack_b(&p->product, (const float *)(const void *)c->b, (size_t)p->b.row_stride,
                      (size_t)p->b.column_stride, c->all_b, (size_t)panel);
}

/* Rows of C from rows of A as they lie. */
static void rows_task(const run_call *c, size_t task, const float *a, const tn_panels *b, const tn_epilogue *epilogue,
                      float *y, float *buffer) {
    const tn_matmul *p = c->p;
    tn_product part = p->product;
    tn_epilogue e = *epilogue;
    const tn_product_part place = tn_product_place(&part, task);
    const size_t row = place.row;
    float *packed = buffer + p->a_offset / sizeof *buffer;
    part.m = place.rows;
    part.m_tasks = 1;
    tn_product_pack_all_a(&part, a + (int64_t)row * p->a.row_stride, (size_t)p->a.row_stride,
                          (size_t)p->a.column_stride, packed);
    scale(packed, part.m * part.k, p->alpha);
    if (e.row_bias) e.row_bias += row;
    if (e.residual) e.residual += row * e.residual_stride;
    tn_product_task(&part, 0, packed, b, y + row * part.n, part.n, &e, buffer);
}

static void product_task(void *context, int64_t index) {
    const run_call *c = context;
    const tn_matmul *p = c->p;
    const tn_product *product = &p->product;
    size_t batch = (size_t)index / product->tasks, task = (size_t)index % product->tasks, n = product->n;
    const float *a = p->a_as_it_is || p->a_in_task ? (const float *)c->a + batch_offset(p, &p->a, (int64_t)batch)
                     : p->packed_a                 ? p->packed_a
                                                   : c->packed_a + (p->a_shared ? 0 : batch * (p->a_bytes / sizeof *a));
    const float *b = (const float *)c->b + batch_offset(p, &p->b, (int64_t)batch);
    tn_panels panels = p->packed_b || c->all_b
                           ? tn_panels_packed(p->packed_b ? p->packed_b : c->all_b, product->k)
                           : tn_panels_matrix(b, (size_t)p->b.row_stride, (size_t)p->b.column_stride);
    const tn_code_panels codes = tn_matmul_codes_panels(p->codes);
    tn_epilogue e = *c->epilogue;
    if (e.residual) e.residual += batch * product->m * n;
    float *buffer = (float *)(void *)(c->buffers + (size_t)tn_worker_index() * p->buffer_bytes);
    float *y = (float *)(void *)c->y + batch * product->m * n;
    if (p->a_in_task)
        rows_task(c, task, a, p->codes ? &codes.panels : &panels, &e, y, buffer);
    else
        tn_product_task(product, task, a, p->codes ? &codes.panels : &panels, y, n, &e, buffer);
}

static void column_task(void *context, int64_t index) {
    const run_call *c = context;
    const tn_matmul *p = c->p;
    int64_t batch = index / (int64_t)p->row_tasks, row = index % (int64_t)p->row_tasks * p->task_rows;
    int64_t rows = TN_MIN(p->task_rows, p->a.rows - row), at = batch * p->a.rows + row;
    const float *a = (const float *)c->a + batch_offset(p, &p->a, batch) + row * p->a.row_stride;
    const float *x = (const float *)c->b + batch_offset(p, &p->b, batch);
    float *y = (float *)(void *)c->y + at;
    const tn_epilogue *e = c->epilogue;
    c->kernels->dot_f32((size_t)rows, (size_t)p->a.columns, a, (size_t)p->a.row_stride, x, y, 1);
    for (int64_t i = 0; e->row_bias && i < rows; i++) y[i] += e->row_bias[row + i];
    for (int64_t i = 0; e->column_bias && i < rows; i++) y[i] += e->column_bias[0];
    for (int64_t i = 0; e->residual && i < rows; i++) y[i] += e->residual[at + i];
    c->kernels->activate_f32((size_t)rows, y, e);
}

/* Integers are added modulo 2^n. */
#define ADD_int32_t(s, a, b) ((int32_t)((uint32_t)(s) + (uint32_t)(a) * (uint32_t)(b)))
#define ADD_uint32_t(s, a, b) ((s) + (a) * (b))
#define ADD_int64_t(s, a, b) ((int64_t)((uint64_t)(s) + (uint64_t)(a) * (uint64_t)(b)))
#define ADD_uint64_t(s, a, b) ((s) + (a) * (b))
#define PLAIN(type, scaled)                                                                                            \
    static void plain_##type(const run_call *c, int64_t batch, int64_t row) {                                          \
        const tn_matmul *p = c->p;                                                                                     \
        const type *a = (const type *)(const void *)c->a + batch_offset(p, &p->a, batch) + row * p->a.row_stride;      \
        const type *b = (const type *)(const void *)c->b + batch_offset(p, &p->b, batch);                              \
        type *y = (type *)(void *)c->y + (batch * p->a.rows + row) * p->b.columns;                                     \
        for (int64_t j = 0; j < p->b.columns; j += PLAIN_COLUMNS) {                                                    \
            type sum[PLAIN_COLUMNS] = {0};                                                                             \
            int64_t n = TN_MIN(PLAIN_COLUMNS, p->b.columns - j);                                                       \
            for (int64_t k = 0; k < p->a.columns; k++) {                                                               \
                const type *from = b + k * p->b.row_stride + j * p->b.column_stride;                                   \
                type factor = a[k * p->a.column_stride];                                                               \
                for (int64_t i = 0; i < n; i++) sum[i] = ADD_##type(sum[i], factor, from[i * p->b.column_stride]);     \
            }                                                                                                          \
            for (int64_t i = 0; i < n; i++) y[j + i] = p->alpha == 1 ? sum[i] : (type)(scaled);                        \
        }                                                                                                              \
    }
PLAIN(int32_t, tn_scale_integer((double)sum[i], p->alpha))
PLAIN(uint32_t, tn_scale_integer((double)sum[i], p->alpha))
PLAIN(int64_t, tn_scale_integer((double)sum[i], p->alpha))
PLAIN(uint64_t, tn_scale_integer((double)sum[i], p->alpha))

static void wide_task(void *context, int64_t index) {
    const run_call *c = context;
    const tn_matmul *p = c->p;
    int64_t column = index % p->column_tasks * WIDE_COLUMNS, rest = index / p->column_tasks;
    int64_t batch = rest / (int64_t)p->row_tasks, row = rest % (int64_t)p->row_tasks * p->task_rows;
    int64_t m = TN_MIN(p->task_rows, p->a.rows - row), n = TN_MIN(WIDE_COLUMNS, p->b.columns - column);
    const double *from_a = (const double *)(const void *)c->a + batch_offset(p, &p->a, batch) + row * p->a.row_stride;
    const double *from_b = (const double *)(const void *)c->b + batch_offset(p, &p->b, batch);
    const tn_matrix_f64 a = {from_a, (size_t)p->a.row_stride, (size_t)p->a.column_stride};
    const tn_matrix_f64 b = {from_b + column * p->b.column_stride, (size_t)p->b.row_stride, (size_t)p->b.column_stride};
    double *y = (double *)(void *)c->y + (batch * p->a.rows + row) * p->b.columns + column;
    void *buffer = c->buffers + (size_t)tn_worker_index() * p->buffer_bytes;
    tn_product_f64(c->kernels, (size_t)m, (size_t)n, (size_t)p->a.columns, &a, &b, y, (size_t)p->b.columns, buffer);
    for (int64_t i = 0; p->alpha != 1 && i < m; i++, y += p->b.columns)
        for (int64_t j = 0; j < n; j++) y[j] *= (double)p->alpha;
}

static void plain_task(void *context, int64_t index) {
    const run_call *c = context;
    const tn_matmul *p = c->p;
    int64_t batch = index / (int64_t)p->row_tasks, row = index % (int64_t)p->row_tasks * p->task_rows;
    for (int64_t end = TN_MIN(row + p->task_rows, p->a.rows); row < end; row++) {
        switch (p->dtype) {
        case TN_INT32: plain_int32_t(c, batch, row); break;
        case TN_UINT32: plain_uint32_t(c, batch, row); break;
        case TN_INT64: plain_int64_t(c, batch, row); break;
        default: plain_uint64_t(c, batch, row);
        }
    }
}

void tn_matmul_run(const tn_run *call, const tn_matmul *p, const void *a, const void *b, void *y,
                   const tn_epilogue *epilogue) {
    static const tn_epilogue none;
    run_call c = {.p = p, .kernels = call->kernels, .a = a, .b = b, .y = y, .epilogue = epilogue ? epilogue : &none};
    if (p->batches == 0) return;
    if (p->dtype == TN_FLOAT64) {
        double work = (double)p->a.rows * (double)p->b.columns * (double)p->a.columns * (double)p->batches;
        c.buffers = call->scratch;
        tn_parallel(work < DOT_WORK ? NULL : call->pool, p->batches * (int64_t)p->row_tasks * p->column_tasks,
                    wide_task, &c);
        return;
    }
    if (p->dtype != TN_FLOAT32) {
        tn_parallel(call->pool, p->batches * (int64_t)p->row_tasks, plain_task, &c);
        return;
    }
    if (p->sparse) {
        tn_matmul_sparse_run(call, p->sparse, a, y, call->scratch, c.epilogue);
        return;
    }
    if (p->deep) {
        tn_matmul_long_run(call, p->deep, (const float *)a, (const float *)b, y, call->scratch, c.epilogue);
        return;
    }
    if (p->column) {
        tn_parallel(call->pool, p->batches * (int64_t)p->row_tasks, column_task, &c);
        return;
    }
    c.packed_a = call->scratch;
    c.buffers = call->scratch;
    if (!p->packed_a && !p->a_as_it_is && !p->a_in_task) {
        int64_t packs = p->a_shared ? 1 : p->batches, elements = p->a.rows * p->a.columns * packs;
        c.buffers += (size_t)packs * p->a_bytes;
        tn_parallel(elements < SERIAL_PACK ? NULL : call->pool, packs * (int64_t)p->product.row_panels, pack_task, &c);
    }
    if (p->pack_all_b) {
        c.all_b = (float *)(void *)c.buffers;
        c.buffers += p->b_bytes;
        tn_parallel(p->b.rows * p->b.columns < SERIAL_PACK ? NULL : call->pool, (int64_t)p->product.column_panels,
                    pack_b_task, &c);
    }
    tn_parallel(call->pool, p->batches * (int64_t)p->product.tasks, product_task, &c);
}
