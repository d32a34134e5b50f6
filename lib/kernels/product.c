/* Cutting matrix products; see product.h. The sizes below were measured: a panel of B for one block of k stays in the
 * second cache at the latest, and so does A's part of a task. */
#include "kernels/product.h"

#define K_BLOCK 512
#define A_BLOCK (256u << 10) /* floats of A that a task goes over for each panel of B */
#define GROUP_FLOATS 16384   /* of the panels that a kernel's call takes: rows of C are written in longer pieces */
#define LONG_K 384           /* from which on it is worth more that a panel of B stays in the nearest cache */
#define SUM_WAITS 4          /* rows, whose products take as long as an addition */
#define TASK_WORK 131072.0   /* multiplications: some microseconds */
#define ROW_WORK 24576.0     /* the same of one row, which memory bounds */
#define ROW_PANELS 4         /* of a row's tasks, a multiple: its kernel takes 8 vectors at once */
#define THREAD_TASKS 4.0     /* tasks of a thread, so that none waits long for the last */
#define MOST_TASKS 64.0      /* where the number of threads is not told */
#define FETCH_FLOATS 65536   /* of an operand, from which on it is fetched before it is needed */
#define NEAR_FLOATS 4096     /* of an operand: half of the nearest cache */

#define BF16_GROUP 32768    /* elements of bfloat16 panels that a kernel's call takes */
#define BF16_TASK (1 << 20) /* multiplications of a task of bfloat16 */

static size_t divide_up(size_t a, size_t b) {
    return a / b + (a % b != 0);
}

/* Panels of equal height, rather than a low last one. */
static size_t equal_rows(size_t m, size_t most) {
    return divide_up(m, divide_up(m, most));
}

/* The height of A's panels: what takes least. A step of k takes as long as there are rows, but no less than a sum waits for
 * the one before; reading a row of B is a fourth of that. */
static size_t best_rows(size_t m, size_t most) {
    size_t best = 1, least = SIZE_MAX;
    for (; most > 0; most--) {
        const size_t rows = equal_rows(m, most), whole = m / rows, rest = m % rows, panels = whole + (rest != 0);
        const size_t steps = whole * TN_MAX(rows, (size_t)SUM_WAITS) + (rest ? TN_MAX(rest, (size_t)SUM_WAITS) : 0);
        if (4 * steps + panels >= least) continue;
        least = 4 * steps + panels;
        best = rows;
    }
    return best;
}

static void plan(tn_product *p, size_t most_rows, size_t k_unit, size_t batch, int threads) {
    const size_t m = p->m, n = p->n, k = p->k, columns = p->columns;
    if (m == 0 || n == 0) return;
    p->rows = p->bf16 ? equal_rows(m, most_rows) : best_rows(m, most_rows);
    p->row_panels = divide_up(m, p->rows);
    p->column_panels = divide_up(n, columns);
    size_t blocks = p->bf16 ? 1 : TN_MAX(divide_up(k, K_BLOCK + K_BLOCK / 2), (size_t)1);
    p->k_block = TN_MAX(divide_up(divide_up(k, blocks), k_unit) * k_unit, (size_t)1);
    size_t panel = p->k_block * columns, panels = p->bf16                ? BF16_GROUP / panel
                                                  : p->k_block >= LONG_K ? 1
                                                                         : GROUP_FLOATS / panel;
    p->group = TN_MIN(TN_MAX(panels, (size_t)1), (size_t)8) * columns;

    const double most_tasks = threads > 1 ? THREAD_TASKS * threads : threads == 1 ? 1 : MOST_TASKS;
    double work = (double)m * (double)n * (double)k / (p->bf16 ? BF16_TASK : m == 1 ? ROW_WORK : TASK_WORK);
    size_t want = (size_t)TN_MAX(TN_MIN(work, most_tasks / (double)TN_MAX(batch, (size_t)1)), 1.0);
    size_t a_panels = TN_MAX(A_BLOCK / (p->k_block * p->rows), (size_t)4);
    size_t m_tasks = divide_up(p->row_panels, a_panels);
    /* Thin last columns make no task of their own: they take hardly longer than none. */
    const size_t thin = columns / 8, panels_cut = divide_up(TN_MAX(n, thin + 1) - thin, columns);
    const size_t unit = m == 1 ? ROW_PANELS : 1;
    size_t n_tasks = TN_MIN(panels_cut, divide_up(want, m_tasks));
    /* Rows are cut only as far as columns do not give tasks enough: each task makes panels of B for itself. */
    m_tasks = TN_MIN(p->row_panels, TN_MAX(m_tasks, threads > 1 ? want / n_tasks : divide_up(want, n_tasks)));
    p->n_units = divide_up(panels_cut, unit);
    p->unit_columns = unit * columns;
    p->n_tasks = TN_MIN(n_tasks, p->n_units);
    /* As many for each thread. */
    const size_t shares = threads > 1 && p->n_tasks * m_tasks >= (size_t)threads ? (size_t)threads : 1;
    while (p->n_tasks * m_tasks % shares && m_tasks < p->row_panels) m_tasks++;
    p->m_tasks = m_tasks;
    p->tasks = p->m_tasks * p->n_tasks;
    p->panel_uses = divide_up(p->row_panels, m_tasks);
    p->rows_first = n >= m;
}

void tn_product_plan(tn_product *p, const tn_kernels *kernels, size_t m, size_t n, size_t k, size_t k_unit,
                     size_t batch) {
    tn_product_plan_threads(p, kernels, 0, m, n, k, k_unit, batch);
}

void tn_product_plan_threads(tn_product *p, const tn_kernels *kernels, int threads, size_t m, size_t n, size_t k,
                             size_t k_unit, size_t batch) {
    size_t rows, columns, lanes;
    kernels->gemm_f32_tile(&rows, &columns, &lanes);
    *p = (tn_product){.kernels = kernels, .m = m, .n = n, .k = k, .columns = columns, .alpha = 1};
    plan(p, rows, k_unit, batch, threads);
}

void tn_product_plan_fast(tn_product *p, const tn_kernels *kernels, int threads, size_t m, size_t n, size_t k,
                          size_t k_unit, size_t batch) {
    if (!kernels->bf16_products) {
        tn_product_plan_threads(p, kernels, threads, m, n, k, k_unit, batch);
        return;
    }
    *p = (tn_product){.kernels = kernels, .m = m, .n = n, .k = k, .columns = TN_BF16_COLUMNS, .bf16 = true, .alpha = 1};
    plan(p, TN_BF16_ROWS, k_unit, batch, threads);
}

static size_t float_bytes(size_t a, size_t b) {
    size_t bytes;
    return tn_mul_size(a, b, &bytes) && tn_mul_size(bytes, sizeof(float), &bytes) ? bytes : SIZE_MAX;
}

/* Floats that k elements of a packed operand take. */
static size_t packed_k(const tn_product *p, size_t k) {
    return !p->bf16 ? k : k > SIZE_MAX / 8 ? SIZE_MAX / 8 : tn_bf16_k(k) / 2;
}

size_t tn_product_a_bytes(const tn_product *p) {
    return float_bytes(p->m, packed_k(p, p->k));
}
size_t tn_product_b_bytes(const tn_product *p) {
    return p->n > SIZE_MAX / 8 ? SIZE_MAX : float_bytes(divide_up(p->n, p->columns) * p->columns, packed_k(p, p->k));
}
size_t tn_product_buffer_bytes(const tn_product *p) {
    return float_bytes(p->group, packed_k(p, p->k_block));
}
size_t tn_product_a_offset(const tn_product *p, size_t row) {
    return row * packed_k(p, p->k);
}

size_t tn_product_most_buffer(size_t columns, size_t k) {
    size_t f32 = TN_MAX(columns * TN_MIN(k, (size_t)K_BLOCK + K_BLOCK / 2), (size_t)GROUP_FLOATS);
    size_t bf16 = TN_MAX((size_t)TN_BF16_COLUMNS * (tn_bf16_k(k) / 2), (size_t)BF16_GROUP);
    return TN_MAX(f32, bf16);
}

/* Of columns of A that lie in one piece: `count` from `k` on, of the panel that begins with `row`. */
static void pack_columns(const tn_product *p, const float *a, size_t k_stride, float *packed, size_t row, size_t k,
                         size_t count) {
    const size_t rows = TN_MIN(p->rows, p->m - row);
    p->kernels->gather_rows_f32(count, rows, a + row + k * k_stride, k_stride, 1,
                                packed + tn_product_a_offset(p, row) + k * rows, rows);
}

void tn_product_pack_a(const tn_product *p, const float *a, size_t row_stride, size_t k_stride, float *packed,
                       size_t panel) {
    size_t row = panel * p->rows, rows = TN_MIN(p->rows, p->m - row);
    float *dst = packed + tn_product_a_offset(p, row);
    const float *from = a + row * row_stride;
    if (p->bf16)
        p->kernels->pack_rows_bf16(rows, p->k, from, row_stride, k_stride, p->alpha, (uint16_t *)(void *)dst);
    else if (k_stride == 1)
        p->kernels->transpose_4((int64_t)p->k, (int64_t)rows, from, (int64_t)(row_stride * sizeof *a), dst,
                                (int64_t)(rows * sizeof *a));
    else
        pack_columns(p, a, k_stride, packed, row, 0, p->k);
}

void tn_product_pack_all_a(const tn_product *p, const float *a, size_t row_stride, size_t k_stride, float *packed) {
    if (k_stride == 1 || p->bf16) {
        for (size_t panel = 0; panel * p->rows < p->m; panel++)
            tn_product_pack_a(p, a, row_stride, k_stride, packed, panel);
        return;
    }
    const size_t some = TN_MAX(NEAR_FLOATS / TN_MAX(p->m, (size_t)1), (size_t)8);
    for (size_t k = 0; k < p->k; k += some)
        for (size_t row = 0; row < p->m; row += p->rows)
            pack_columns(p, a, k_stride, packed, row, k, TN_MIN(some, p->k - k));
}

static void pack_panel(const tn_product *p, const float *b, size_t k_stride, size_t column_stride, size_t n,
                       size_t k_count, float *dst) {
    if (n < p->columns) memset(dst, 0, k_count * p->columns * sizeof *dst);
    if (column_stride == 1)
        p->kernels->gather_rows_f32(k_count, n, b, k_stride, 1, dst, p->columns);
    else
        p->kernels->transpose_4((int64_t)k_count, (int64_t)n, b, (int64_t)(column_stride * sizeof *b), dst,
                                (int64_t)(p->columns * sizeof *b));
}

static void pack_bf16_panel(const tn_product *p, const float *b, size_t k_stride, size_t column_stride, size_t n,
                            uint16_t *dst) {
    if (column_stride == 1)
        p->kernels->pack_panel_bf16(p->k, n, b, k_stride, NULL, dst);
    else
        p->kernels->pack_columns_bf16(p->k, n, b, column_stride, dst);
}

void tn_product_pack_b(const tn_product *p, const float *b, size_t k_stride, size_t column_stride, float *packed,
                       size_t panel) {
    size_t column = panel * p->columns;
    if (p->bf16) {
        pack_bf16_panel(p, b + column * column_stride, k_stride, column_stride, TN_MIN(p->columns, p->n - column),
                        (uint16_t *)(void *)(packed + column * packed_k(p, p->k)));
        return;
    }
    pack_panel(p, b + column * column_stride, k_stride, column_stride, TN_MIN(p->columns, p->n - column), p->k,
               packed + column * p->k);
}

static void packed_panel(const tn_panels *panels, const tn_product *p, size_t column, size_t n, size_t k,
                         size_t k_count, float *buffer, tn_gemm_f32 *call) {
    (void)n, (void)k_count, (void)buffer;
    call->b = panels->b + column * panels->k_stride + k * p->columns;
    call->b_stride = p->columns;
    call->b_panel = p->columns * panels->k_stride;
}

static void matrix_panel(const tn_panels *panels, const tn_product *p, size_t column, size_t n, size_t k,
                         size_t k_count, float *buffer, tn_gemm_f32 *call) {
    const float *b = panels->b + k * panels->k_stride + column * panels->column_stride;
    bool more = panels->column_stride == 1 && column + n < p->n;
    call->ahead = more ? b + n : NULL;
    call->ahead_stride = panels->k_stride;
    if (panels->column_stride == 1 && n % p->columns == 0 && p->panel_uses <= p->kernels->direct_uses) {
        call->b = b;
        call->b_stride = panels->k_stride;
        call->b_panel = p->columns;
        return;
    }
    call->b = buffer;
    call->b_stride = p->columns;
    call->b_panel = p->columns * k_count;
    for (size_t j = 0; j < n; j += p->columns, buffer += call->b_panel)
        pack_panel(p, b + j * panels->column_stride, panels->k_stride, panels->column_stride, TN_MIN(p->columns, n - j),
                   k_count, buffer);
}

tn_panels tn_panels_packed(const float *packed, size_t k) {
    return (tn_panels){.make = packed_panel, .b = packed, .k_stride = k};
}
static void matrix_panel_bf16(const tn_panels *panels, const tn_product *p, size_t column, size_t n, uint16_t *dst) {
    pack_bf16_panel(p, panels->b + column * panels->column_stride, panels->k_stride, panels->column_stride, n, dst);
}

tn_panels tn_panels_matrix(const float *b, size_t k_stride, size_t column_stride) {
    return (tn_panels){.make = matrix_panel,
                       .make_bf16 = matrix_panel_bf16,
                       .b = b,
                       .k_stride = k_stride,
                       .column_stride = column_stride};
}

static tn_epilogue epilogue_at(const tn_epilogue *e, size_t row, size_t column) {
    tn_epilogue at = *e;
    if (at.row_bias) at.row_bias += row;
    if (at.column_bias) at.column_bias += column;
    if (at.residual) at.residual += row * at.residual_stride + column;
    return at;
}

/* One row times columns that lie one after the other: sums, then what comes on top. */
static void dot_task(const tn_product *p, size_t n, const float *a, const float *b, size_t column_stride, float *c,
                     const tn_epilogue *e) {
    p->kernels->dot_f32(n, p->k, b, column_stride, a, c, 1);
    for (size_t j = 0; e->row_bias && j < n; j++) c[j] += e->row_bias[0];
    for (size_t j = 0; e->column_bias && j < n; j++) c[j] += e->column_bias[j];
    for (size_t j = 0; e->residual && j < n; j++) c[j] += e->residual[j];
    p->kernels->activate_f32(n, c, e);
}

/* One row: B goes by once, so nothing is packed. False where B is not fit for it. */
static bool row_task(const tn_product *p, size_t column, size_t n, const float *a, const tn_panels *b, float *c,
                     const tn_epilogue *e) {
    tn_epilogue at = epilogue_at(e, 0, column);
    if (b->make == matrix_panel && b->column_stride != 1) {
        dot_task(p, n, a, b->b + column * b->column_stride, b->column_stride, c + column, &at);
        return true;
    }
    tn_gemv_f32 g = {.n = n, .k = p->k, .x = a, .y = c + column, .epilogue = at};
    if (b->make == packed_panel) {
        g.b = b->b + column * b->k_stride;
        g.b_panel = b->k_stride * p->columns;
        g.b_stride = p->columns;
    } else if (b->make == matrix_panel) {
        g.b = b->b + column;
        g.b_panel = p->columns;
        g.b_stride = b->k_stride;
    } else {
        return false;
    }
    p->kernels->gemv_f32(&g);
    return true;
}

/* A part in bfloat16. */
static void bf16_task(const tn_product *p, const tn_product_part *part, const float *packed_a, const tn_panels *b,
                      float *c, size_t c_stride, const tn_epilogue *epilogue, float *buffer) {
    const size_t row = part->row, end = part->column + part->columns;
    tn_gemm_bf16 g = {.m = part->rows, .k = p->k, .c_stride = c_stride};
    g.a = (const uint16_t *)(const void *)(packed_a + tn_product_a_offset(p, row));
    const size_t packed = packed_k(p, b->make == packed_panel ? b->k_stride : p->k);
    g.b_panel = 2 * packed * p->columns;
    g.b_goes_on = b->make == packed_panel && b->k_stride != p->k;
    for (size_t j = part->column; j < end; j += g.n) {
        g.n = TN_MIN(p->group, end - j);
        if (b->make_bf16) {
            uint16_t *panel = (uint16_t *)(void *)buffer;
            g.b = panel;
            for (size_t i = 0; i < g.n; i += p->columns, panel += g.b_panel)
                b->make_bf16(b, p, j + i, TN_MIN(p->columns, g.n - i), panel);
        } else {
            g.b = (const uint16_t *)(const void *)(b->b + j * packed);
        }
        g.c = c + row * c_stride + j;
        g.epilogue = epilogue_at(epilogue, row, j);
        p->kernels->gemm_bf16(&g);
    }
}

/* Where the operand that was packed beforehand goes on after this call: from memory it comes no faster than products go
 * through it, and the hardware foresees no more than a page. */
static void fetch_next(const tn_product *p, const tn_panels *b, size_t column, size_t n, size_t j, size_t k,
                       tn_gemm_f32 *g) {
    const size_t panels = divide_up(g->m, g->rows), k_next = k + p->k_block, j_next = j + g->n - column;
    g->next = NULL;
    if ((b->make == packed_panel ? p->n : p->m) * p->k < FETCH_FLOATS) return;
    if (b->make == packed_panel) {
        const bool down = j_next >= n;
        if (down && k_next >= p->k) return;
        g->next = b->b + (down ? column : column + j_next) * b->k_stride + (down ? k_next : k) * p->columns;
        g->next_floats = g->next_panel = divide_up(g->k * g->n, panels);
    } else if (k == 0 && j == column) {
        g->next = g->a + g->a_skip * g->rows + g->a_panel;
        g->next_floats = g->rows * g->k;
        g->next_panel = g->a_panel;
    } else if (k_next < p->k) {
        const size_t first = k == 0, calls = TN_MAX(divide_up(n, p->group), 1 + first) - first;
        g->next_floats = divide_up(g->rows * p->k_block, calls);
        g->next = g->a + k_next * g->rows + ((j - column) / p->group - first) * g->next_floats;
        g->next_panel = g->a_panel;
    }
}

void tn_product_task(const tn_product *p, size_t task, const float *packed_a, const tn_panels *b, float *c,
                     size_t c_stride, const tn_epilogue *epilogue, float *buffer) {
    const tn_product_part part = tn_product_place(p, task);
    const size_t row = part.row, column = part.column, n = part.columns;
    if (p->bf16) {
        bf16_task(p, &part, packed_a, b, c, c_stride, epilogue, buffer);
        return;
    }
    if (p->m == 1 && row_task(p, column, n, packed_a, b, c, epilogue)) return;
    tn_gemm_f32 g = {.m = part.rows, .rows = p->rows, .a_panel = p->rows * p->k};
    g.c_stride = c_stride;
    for (size_t k = 0; k == 0 || k < p->k; k += p->k_block) {
        g.k = TN_MIN(p->k_block, p->k - k);
        g.first = k == 0;
        g.last = k + g.k == p->k;
        for (size_t j = column; j < column + n; j += g.n) {
            size_t left = column + n - j;
            g.n = left < p->columns ? left : TN_MIN(p->group, left / p->columns * p->columns);
            b->make(b, p, j, g.n, k, g.k, buffer, &g);
            g.c = c + row * c_stride + j;
            g.epilogue = epilogue_at(epilogue, row, j);
            g.a = packed_a + row * p->k;
            g.a_skip = k;
            fetch_next(p, b, column, n, j, k, &g);
            p->kernels->gemm_f32(&g);
        }
    }
}
