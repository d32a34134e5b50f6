/* Products of 8-bit matrices. See qmatmul.h and kernels/qgemm.h.
 *
 * A task makes a block of the result tile by tile: the product of a tile into a buffer on the stack, the correction for
 * zero points, and what the operator makes of the sums, while they are in the first-level cache. */
#include "ops/qmatmul.h"
#include "ops/quant.h"
#include "ops/scratch.h"
#include <stdio.h>

enum { MOST_M = 32, TILE_M = 24, TILE_N = 128, TASK_N = 4 * TILE_N, PACK_ROWS = 64 };

tn_status tn_infer_matmul(tn_infer *call, int a_in, int b_in, int *out_rank, int64_t *out_dims) {
    const tn_type *a = call->in[a_in], *b = call->in[b_in];
    *out_rank = -1;
    if (a->rank < 0 || b->rank < 0) return TN_OK;
    if (a->rank == 0) return tn_infer_fail(call, a_in, TN_E_SHAPE, "expected a matrix or a vector");
    if (b->rank == 0) return tn_infer_fail(call, b_in, TN_E_SHAPE, "expected a matrix or a vector");
    int64_t k = a->dims[a->rank - 1], other = b->dims[b->rank == 1 ? 0 : b->rank - 2];
    if (k >= 0 && other >= 0 && k != other)
        return tn_infer_fail(call, b_in, TN_E_SHAPE, "expected %lld rows, the last dimension of input %d", (long long)k,
                             a_in);
    int a_batch = TN_MAX(a->rank - 2, 0), b_batch = TN_MAX(b->rank - 2, 0), batch = TN_MAX(a_batch, b_batch);
    for (int i = 0; i < batch; i++) {
        int64_t p = i < batch - a_batch ? 1 : a->dims[i - (batch - a_batch)];
        int64_t q = i < batch - b_batch ? 1 : b->dims[i - (batch - b_batch)];
        if (p >= 0 && q >= 0 && p != q && p != 1 && q != 1)
            return tn_infer_fail(call, b_in, TN_E_SHAPE, "its matrices do not broadcast with those of input %d", a_in);
        out_dims[i] = p == 1 ? q : q == 1 || p == q ? p : p >= 0 ? p : q >= 0 ? q : -1;
    }
    *out_rank = batch;
    if (a->rank > 1) out_dims[(*out_rank)++] = a->dims[a->rank - 2];
    if (b->rank > 1) out_dims[(*out_rank)++] = b->dims[b->rank - 1];
    return TN_OK;
}

tn_status tn_infer_per_line(const tn_infer *call, int in, int of, bool last) {
    if (!tn_infer_has(call, in) || !tn_infer_has(call, of)) return TN_OK;
    const tn_type *t = call->in[in], *matrix = call->in[of];
    if (t->rank < 0 || matrix->rank < 0 || tn_type_count(t) == 1) return TN_OK;
    int axis = matrix->rank - (last || matrix->rank == 1 ? 1 : 2);
    bool fits = t->rank == 1 || t->rank == matrix->rank;
    for (int i = 0; fits && i < t->rank; i++) {
        int64_t want = t->rank == 1 ? matrix->dims[axis] : i >= matrix->rank - 2 && i != axis ? 1 : matrix->dims[i];
        fits = t->dims[i] < 0 || want < 0 || t->dims[i] == want;
    }
    /* A vector b has one column, a vector a one row. */
    if (fits && matrix->rank > 1) return TN_OK;
    return tn_infer_fail(call, in, TN_E_SHAPE, "expected a scalar or one value for each %s of input %d",
                         last ? "column" : "row", of);
}

/* Matrix numbers of both sides for each matrix of the result. */
static void broadcast_batches(const tn_type *a, const tn_type *b, size_t batches, size_t *a_of, size_t *b_of) {
    int a_batch = TN_MAX(a->rank - 2, 0), b_batch = TN_MAX(b->rank - 2, 0), rank = TN_MAX(a_batch, b_batch);
    for (size_t i = 0; i < batches; i++) {
        size_t rest = i, a_scale = 1, b_scale = 1;
        a_of[i] = b_of[i] = 0;
        for (int axis = 1; axis <= rank; axis++) {
            size_t p = axis <= a_batch ? (size_t)a->dims[a_batch - axis] : 1;
            size_t q = axis <= b_batch ? (size_t)b->dims[b_batch - axis] : 1, at = rest % TN_MAX(p, q);
            rest /= TN_MAX(p, q);
            a_of[i] += p == 1 ? 0 : at * a_scale;
            b_of[i] += q == 1 ? 0 : at * b_scale;
            a_scale *= p;
            b_scale *= q;
        }
    }
}

static bool a_packed_signed(const tn_qmatmul *q) {
    return q->layout->bytes_signed;
}
static uint8_t a_flip(const tn_qmatmul *q) {
    return q->a_signed == a_packed_signed(q) ? 0 : 0x80;
}
static uint8_t b_flip(const tn_qmatmul *q) {
    return q->b_signed ? 0 : 0x80;
}
static size_t sums_offset(const tn_qmatmul *q) {
    return q->b_bytes - (q->n * sizeof(int32_t) + 63) / 64 * 64;
}

typedef struct b_source {
    const tn_qmatmul *q;
    const uint8_t *b;
    uint8_t *packed;
} b_source;

static void pack_b(void *context, int64_t matrix) {
    const b_source *s = context;
    const tn_qmatmul *q = s->q;
    uint8_t *to = s->packed + (size_t)matrix * q->b_bytes;
    tn_qgemm_pack_b(q->layout, to, s->b + (size_t)matrix * q->k * q->n, q->trans_b ? 1 : q->n, q->trans_b ? q->k : 1,
                    q->k, q->n, true, b_flip(q), (int32_t *)(void *)(to + sums_offset(q)));
}
static void pack_all_b(void *dst, const void *context) {
    b_source s = *(const b_source *)context;
    s.packed = dst;
    for (size_t i = 0; i < s.q->b_count; i++) pack_b(&s, (int64_t)i);
}

tn_status tn_qmatmul_prepare(tn_prepare *call, tn_qmatmul *q, const tn_type *a, bool a_signed, bool trans_a, int b_in,
                             bool trans_b) {
    const tn_type *b = call->in[b_in];
    int64_t m = a->rank == 1 ? 1 : a->dims[a->rank - (trans_a ? 1 : 2)];
    int64_t k = a->rank == 1 ? a->dims[0] : a->dims[a->rank - (trans_a ? 2 : 1)];
    int64_t n = b->rank == 1 ? 1 : b->dims[b->rank - (trans_b ? 2 : 1)];
    int64_t a_matrices = tn_dims_count(TN_MAX(a->rank - 2, 0), a->dims);
    int64_t b_matrices = tn_dims_count(TN_MAX(b->rank - 2, 0), b->dims);
    *q = (tn_qmatmul){.layout = tn_qgemm_layout_of(call->kernels),
                      .m = (size_t)m,
                      .n = (size_t)n,
                      .k = (size_t)k,
                      .rows = (size_t)(a_matrices * m),
                      .b_count = (size_t)b_matrices,
                      .trans_a = trans_a,
                      .trans_b = trans_b,
                      .a_signed = a_signed,
                      .b_signed = b->dtype == TN_INT8};
    bool empty = q->m == 0 || q->n == 0;
    for (int i = 0; i < a->rank - 2; i++) empty = empty || a->dims[i] == 0;
    for (int i = 0; i < b->rank - 2; i++) empty = empty || b->dims[i] == 0;
    if (empty) return TN_OK;           /* nothing to do; other dims may be absurd */
    if (b_matrices == 1 && !trans_a) { /* then all rows of a make one matrix */
        q->batches = 1;
        q->m = q->rows;
    } else {
        q->batches = 1;
        for (int i = 3; i <= TN_MAX(a->rank, b->rank); i++) {
            int64_t p = i <= a->rank ? a->dims[a->rank - i] : 1, r = i <= b->rank ? b->dims[b->rank - i] : 1;
            q->batches *= (size_t)(p == 1 ? r : p);
        }
    }
    size_t *of = tn_prepare_alloc(call, 2 * (q->batches + 1) * sizeof *of);
    if (!of) return TN_E_MEMORY;
    if (q->batches > 1) broadcast_batches(a, b, q->batches, of, of + q->batches);
    q->a_of = of;
    q->b_of = of + q->batches;
    q->b_bytes = tn_qgemm_b_bytes(q->layout, q->k, q->n);
    bool fits = q->b_bytes < SIZE_MAX / 2;
    if (fits) q->b_bytes = (q->b_bytes + 63) / 64 * 64;
    fits = fits && tn_scratch_add(&q->b_bytes, q->n, sizeof(int32_t));
    /* Scratch: packed a, its row sums and zero points; b's corrections and zero points; packed b. */
    size_t a_bytes = tn_qgemm_a_bytes(q->layout, q->rows, q->k);
    fits = fits && a_bytes < SIZE_MAX && tn_scratch_add(&q->scratch, a_bytes, 1);
    for (int i = 0; i < 2; i++)
        fits = fits && tn_scratch_add(&q->scratch, q->rows + 1, sizeof(int32_t)) &&
               tn_scratch_add(&q->scratch, q->b_count * q->n + 1, sizeof(int32_t));
    if (fits && call->value[b_in] && q->b_count * q->k * q->n > 0) {
        const b_source source = {q, call->value[b_in]->data, NULL};
        char layout[96];
        snprintf(layout, sizeof layout, "qgemm_b %d %d %d k=%zu n=%zu x%zu%s", q->layout->columns, q->layout->group,
                 (int)trans_b, q->k, q->n, q->b_count, q->layout->saturates ? " order" : "");
        size_t bytes;
        if (!tn_mul_size(q->b_count, q->b_bytes, &bytes)) return tn_fail(TN_E_SHAPE, "the matrices are too large");
        return tn_prepare_pack(call, b_in, layout, bytes, pack_all_b, &source, &q->b_packed);
    }
    fits = fits && tn_scratch_add(&q->scratch, q->b_count, q->b_bytes);
    return fits ? TN_OK : tn_fail(TN_E_SHAPE, "the matrices are too large");
}

typedef struct job {
    const tn_qmatmul *q;
    const tn_qmatmul_call *call;
    const tn_kernels *kernels;
    const uint8_t *a, *b; /* packed */
    uint8_t *a_packed;
    int32_t *a_sums, *a_zeros, *b_fix, *b_zeros;
    size_t a_stride, a_zero_step;
    bool need_a_zeros, need_b_zeros;
    int32_t low, high;
    size_t y_row, y_batch;
} job;

static void pack_a(void *context, int64_t task) {
    const job *j = context;
    const tn_qmatmul *q = j->q;
    size_t first = (size_t)task * PACK_ROWS, rows = TN_MIN((size_t)PACK_ROWS, q->rows - first);
    const uint8_t *a = (const uint8_t *)j->call->a + first * (q->trans_a ? 1 : q->k);
    tn_qgemm_pack_a(q->layout, j->a_packed + first * j->a_stride, a, q->trans_a ? 1 : q->k, q->trans_a ? q->m : 1, rows,
                    q->k, a_packed_signed(q), a_flip(q), j->need_b_zeros ? j->a_sums + first : NULL);
}

/* One row of a tile: `row` of a, columns [col, col + n) of matrix `b`, element `at` of y. */
static void finish(const job *j, int32_t *sums, size_t row, size_t b, size_t col, size_t n, size_t at) {
    const tn_qmatmul_call *c = j->call;
    const tn_qmatmul *q = j->q;
    size_t line = b * q->n + col;
    if (j->need_a_zeros || j->need_b_zeros)
        j->kernels->qgemm_fix(sums, n, j->a_zeros[row * j->a_zero_step], j->b_fix + line,
                              j->need_b_zeros ? -j->a_sums[row] : 0, j->need_b_zeros ? j->b_zeros + line : NULL, 0);
    if (c->add) {
        const int32_t *add = c->add + (row % q->m) * c->add_row + col * c->add_step;
        if (c->add_step)
            j->kernels->qgemm_fix(sums, n, 1, add, 0, NULL, 0);
        else
            j->kernels->qgemm_fix(sums, n, 0, NULL, 0, NULL, *add);
    }
    if (c->y_type == TN_INT32) {
        memcpy((int32_t *)c->y + at, sums, n * sizeof *sums);
        return;
    }
    float scales[TILE_N];
    const float *scale = c->scale + line * c->scale_step;
    if (c->row_scale) {
        for (size_t i = 0; i < n; i++) scales[i] = scale[i * c->scale_step] * c->row_scale[row];
        scale = scales;
    }
    size_t step = c->row_scale ? 1 : c->scale_step;
    if (c->y_type == TN_FLOAT32)
        j->kernels->qscale((float *)c->y + at, sums, n, scale, step, c->bias ? c->bias + col : NULL);
    else
        j->kernels->qrequantize((uint8_t *)c->y + at, sums, n, scale, step, c->y_zero, j->low, j->high);
}

/* Bytes of y whose scales and corrections are one a column: rows of a tile are finished together. */
static bool finishes_tiles(const job *j) {
    const tn_qmatmul_call *c = j->call;
    return c->y_type == TN_UINT8 && !c->row_scale && (j->a_zero_step == 0 || !j->need_a_zeros) &&
           (!c->add || c->add_row == 0);
}

typedef struct columns {
    int32_t offset[TILE_N];
    float scale[TILE_N];
} columns;

static void find_columns(const job *j, columns *to, size_t b, size_t col, size_t n) {
    const tn_qmatmul_call *c = j->call;
    const size_t line = b * j->q->n + col;
    const uint32_t zero = j->need_a_zeros ? (uint32_t)j->a_zeros[0] : 0;
    *to = (columns){{0}, {0}}; /* whole vectors are read */
    for (size_t i = 0; i < n; i++) {
        const uint32_t add = c->add ? (uint32_t)c->add[(col + i) * c->add_step] : 0;
        to->offset[i] = (int32_t)(zero * (uint32_t)j->b_fix[line + i] + add);
        to->scale[i] = c->scale[(line + i) * c->scale_step];
    }
}

static void finish_tile(const job *j, const columns *of, int32_t *sums, size_t row, size_t m, size_t b, size_t col,
                        size_t n, size_t at) {
    for (size_t r = 0; r < m && j->need_b_zeros; r++)
        j->kernels->qgemm_fix(sums + r * TILE_N, n, 0, NULL, -j->a_sums[row + r], j->b_zeros + b * j->q->n + col, 0);
    j->kernels->qfinish((uint8_t *)j->call->y + at, j->y_row, sums, TILE_N, m, n, of->offset, of->scale,
                        j->call->y_zero, j->low, j->high);
}

/* Rows of a tile: whole ones of the kernel's. */
static size_t tile_rows(const tn_qmatmul *q) {
    return q->layout->rows > TILE_M ? MOST_M : TILE_M;
}

static void product(void *context, int64_t task) {
    const job *j = context;
    const tn_qmatmul *q = j->q;
    const size_t tile = tile_rows(q), task_m = 2 * tile;
    size_t across = (q->n + TASK_N - 1) / TASK_N, down = (q->m + task_m - 1) / task_m, t = (size_t)task;
    size_t col0 = t % across * TASK_N, row0 = t / across % down * task_m, batch = t / across / down;
    size_t col1 = TN_MIN(col0 + TASK_N, q->n), row1 = TN_MIN(row0 + task_m, q->m);
    if (j->call->only) batch = (size_t)j->call->only - 1;
    size_t b = q->b_of[batch], a_row = j->call->only ? 0 : q->a_of[batch] * q->m, padded = tn_qgemm_k(q->layout, q->k);
    int32_t sums[MOST_M * TILE_N];
    columns of;
    const uint8_t *right = j->b + b * q->b_bytes;
    const size_t wide = q->m == 1 && !j->call->row_scale ? TASK_N : TILE_N;
    const bool tiles = wide == TILE_N && finishes_tiles(j);
    for (size_t col = col0; col < col1; col += wide) {
        const size_t n = TN_MIN(wide, col1 - col);
        if (tiles) find_columns(j, &of, b, col, n);
        for (size_t row = row0; row < row1; row += tile) {
            const size_t m = TN_MIN(tile, row1 - row),
                         at = (j->call->only ? 0 : batch * j->y_batch) + row * j->y_row + col;
            size_t next_bytes;
            const uint8_t *left = j->a + (a_row + row) * j->a_stride, *panels = right + col * padded;
            const void *next =
                tn_qgemm_next(panels, n * padded, col + n < col1, row - row0, m, row1 - row0, &next_bytes);
            j->kernels->qgemm_us(m, n, padded, left, panels, tn_qgemm_order(q->layout, right, q->k, q->n, col), sums,
                                 wide, next, next_bytes);
            if (tiles)
                finish_tile(j, &of, sums, a_row + row, m, b, col, n, at);
            else
                for (size_t r = 0; r < m; r++)
                    finish(j, sums + r * wide, a_row + row + r, b, col, n, at + r * j->y_row);
        }
    }
}

/* b's zero points as its packed values have them, and k * b_zero - column sum for each column. */
static void correct_columns(job *j) {
    const tn_qmatmul *q = j->q;
    const tn_tensor *zero = j->call->b_zero;
    size_t given = zero ? (size_t)tn_count(zero) : 1, total = q->b_count * q->n;
    int32_t shift = b_flip(q) ? -128 : 0, *needed = &j->b_zeros[total]; /* there is room for one more */
    if (j->call->keeps_b) {
        j->need_b_zeros = *needed != 0;
        return;
    }
    tn_quant_zeros(zero, given, j->b_zeros);
    for (size_t i = total; i-- > 0;) j->b_zeros[i] = j->b_zeros[given == 1 ? 0 : i % given] + shift;
    for (size_t i = 0; i < total; i++) j->need_b_zeros = j->need_b_zeros || j->b_zeros[i] != 0;
    *needed = j->need_b_zeros;
    for (size_t b = 0; b < q->b_count; b++) {
        const int32_t *sums = (const int32_t *)(const void *)(j->b + b * q->b_bytes + sums_offset(q));
        for (size_t i = 0; i < q->n; i++)
            j->b_fix[b * q->n + i] = (int32_t)((uint32_t)q->k * (uint32_t)j->b_zeros[b * q->n + i] - (uint32_t)sums[i]);
    }
}

void tn_qmatmul_run(const tn_qmatmul *q, const tn_run *run, const tn_qmatmul_call *call, void *scratch) {
    if (q->batches == 0) return;
    job j = {.q = q, .call = call, .kernels = run->kernels};
    j.y_row = call->y_row ? call->y_row : q->n;
    j.y_batch = call->y_batch ? call->y_batch : q->m * q->n;
    size_t padded = tn_qgemm_k(q->layout, q->k);
    j.a_stride = padded * (size_t)q->layout->a_size;
    uint8_t *at = scratch;
    j.a = j.a_packed = tn_scratch_take(&at, q->rows * j.a_stride, 1);
    j.a_sums = tn_scratch_take(&at, q->rows + 1, sizeof(int32_t));
    j.b_fix = tn_scratch_take(&at, q->b_count * q->n + 1, sizeof(int32_t));
    j.a_zeros = tn_scratch_take(&at, q->rows + 1, sizeof(int32_t));
    j.b_zeros = tn_scratch_take(&at, q->b_count * q->n + 1, sizeof(int32_t));
    /* The split hangs on the shape alone. Small products stay on the caller's thread. */
    tn_pool *pool = q->batches * q->m * q->n * q->k < 100000 ? NULL : run->pool;
    j.b = q->b_packed;
    if (!j.b) {
        b_source source = {q, call->b, at};
        tn_parallel(pool, (int64_t)q->b_count, pack_b, &source);
        j.b = at;
    }
    correct_columns(&j);
    size_t zeros = call->a_zero ? (size_t)tn_count(call->a_zero) : 1;
    tn_quant_zeros(call->a_zero, zeros, j.a_zeros);
    j.a_zero_step = zeros > 1;
    for (size_t i = 0; i < zeros; i++) {
        j.a_zeros[i] += tn_qgemm_shift(q->a_signed, a_packed_signed(q));
        j.need_a_zeros = j.need_a_zeros || j.a_zeros[i] != 0;
    }
    for (size_t i = zeros; zeros > 1 && i < q->rows; i++) j.a_zeros[i] = j.a_zeros[i % zeros];
    tn_quant_limits(call->y_type, &j.low, &j.high);
    bool as_it_is = q->layout->a_size == 1 && !a_flip(q) && padded == q->k && !j.need_b_zeros && !q->trans_a;
    if (as_it_is)
        j.a = call->a;
    else
        tn_parallel(pool, (int64_t)((q->rows + PACK_ROWS - 1) / PACK_ROWS), pack_a, &j);
    const size_t task_m = 2 * tile_rows(q);
    size_t tasks = (call->only ? 1 : q->batches) * ((q->m + task_m - 1) / task_m) * ((q->n + TASK_N - 1) / TASK_N);
    tn_parallel(pool, (int64_t)tasks, product, &j);
}
