/* The matrix product kernels, once for all instruction sets; see gemm.h.
 *
 * Idea (Goto, van de Geijn, "Anatomy of high-performance matrix multiplication", 2008): a tile of C stays in registers
 * while k runs; each step multiplies one element of A per row with VECS vectors of B. A level sets the tile to what its
 * registers hold: GEMM_ROWS rows, GEMM_VECS vectors. There is one function for each smaller tile too, so that edges
 * cost no more than they must. Bias and residual are what the sums start from; clipping and hard swish happen in registers; other
 * activations run over the tile's rows while they are in the nearest cache.
 *
 * Where vectors are wide, products are done before memory has brought what they need. So who calls says what is needed
 * next (`next`, packed, and `ahead`, rows of a matrix), and tiles fetch some of that now and then while k runs: one line
 * in so many steps, since a burst would fill the few places for lines that are on their way, and the tile would wait.
 *
 * Steps of k go GEMM_STEPS (or 1) at a time: a core that runs another thread beside this one gives it every other cycle to
 * fetch instructions, and counting and asking whether to fetch took a third of them (6 x 16 floats: half as fast again then).
 *
 * Include after vec_<level>.h, with GEMM_ROWS, GEMM_VECS and GEMM_OVERLAY defined; GEMM_STEPS and ADD_PRODUCT may be. */
#include "kernels/kernels.h"
#include "kernels/activate.h"

#define GEMM_COLUMNS (GEMM_VECS * VF_WIDTH)
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define LINE 16 /* floats of a cache line */
#define FETCHES (VF_WIDTH >= 8)
/* Vectors of a cache line go through what the nearest cache holds faster than the hardware brings lines there from the next. */
#define STEPS_AHEAD (VF_WIDTH == LINE ? 16 : 0)
#ifndef GEMM_STEPS
#define GEMM_STEPS 1
#endif

/* Scalar code is better off with two roundings than with a fused multiplication that the machine may lack. */
#if VF_WIDTH == 1
#define MULTIPLY_ADD(a, b, c) vf_add(vf_mul(a, b), c)
#else
#define MULTIPLY_ADD(a, b, c) vf_fma(a, b, c)
#endif

#ifndef ADD_PRODUCT
#define ADD_PRODUCT(sum, a, b) sum = MULTIPLY_ADD(a, b, sum)
#endif

ALWAYS_INLINE vf load_part(const float *p, size_t left) {
    return left >= VF_WIDTH ? vf_load(p) : vf_load_n(p, left);
}
ALWAYS_INLINE void store_part(float *p, vf x, size_t left) {
    if (left >= VF_WIDTH)
        vf_store(p, x);
    else
        vf_store_n(p, x, left);
}

/* One tile of whole vectors: sums start from `bias`, one a row, or (NULL) from what is in rows at `start`. */
typedef struct tile_call {
    const float *b, *bias, *start, *ahead, *next;
    const uint32_t *offset;
    float *c;
    size_t k, b_stride, c_stride, start_stride, ahead_stride;
    size_t next_rest, ahead_rest; /* lines of `next`, a row of `ahead`, are fetched where k has no bit of these */
    size_t next_lines;
    tn_act activation; /* of those that are made in registers, else none */
    float low, high;
} tile_call;

/* Where rows of B are: one after the other, or anywhere. */
enum { B_ROWS, B_OFFSETS };

/* One step of k. */
ALWAYS_INLINE void step(const float *a, const float *b, int rows, int vecs, vf acc[GEMM_ROWS][GEMM_VECS]) {
    vf x[GEMM_VECS];
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) x[v] = vf_load(b + v * VF_WIDTH);
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
        vf s = vf_set(a[r]);
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) ADD_PRODUCT(acc[r][v], s, x[v]);
    }
}

ALWAYS_INLINE void tile(const tile_call *t, const float *a, int rows, int vecs, int way) {
    vf acc[GEMM_ROWS][GEMM_VECS];
    const float *b = t->b, *bias = t->bias, *ahead = t->ahead, *next = t->next;
    size_t b_stride = t->b_stride, c_stride = t->c_stride;
    float *c = t->c;
    if (bias) {
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++) acc[r][v] = vf_set(bias[r]);
    } else {
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++) acc[r][v] = vf_load(t->start + (size_t)r * t->start_stride + v * VF_WIDTH);
    }
    const int steps = 2 * rows < GEMM_ROWS ? 1 : GEMM_STEPS;
    const size_t whole = t->k & ~(size_t)(steps - 1), either = t->next_rest & t->ahead_rest;
    size_t k = 0;
    for (; k < whole; k += (size_t)steps) {
#pragma GCC unroll 4
        for (int i = 0; i < steps; i++, a += rows, b += way == B_OFFSETS ? 0 : b_stride) {
            if (way == B_OFFSETS) b = t->b + t->offset[k + (size_t)i];
            if (STEPS_AHEAD && way == B_ROWS) {
#pragma GCC unroll 4
                for (int v = 0; v < vecs; v++) __builtin_prefetch(b + STEPS_AHEAD * b_stride + v * VF_WIDTH, 0, 3);
                __builtin_prefetch(a + 3 * STEPS_AHEAD / 2 * rows, 0, 3);
            }
            step(a, b, rows, vecs, acc);
        }
        if (FETCHES && (k & either) == 0) {
            if ((k & t->next_rest) == 0)
                for (size_t i = t->next_lines; i > 0; i--, next += LINE) __builtin_prefetch(next, 0, 2);
            if (way == B_ROWS && (k & t->ahead_rest) == 0) {
#pragma GCC unroll 4
                for (int i = 0; i < GEMM_COLUMNS; i += LINE) __builtin_prefetch(ahead + i, 0, 2);
                ahead += t->ahead_stride;
            }
        }
#if VF_WIDTH == 1
        /* GCC 12 would make a vector of two steps' columns, and read one step more than there are. */
        if (vecs < GEMM_VECS) __asm__ volatile("" : "+r"(b));
#endif
    }
    for (; steps > 1 && k < t->k; k++, a += rows, b += way == B_OFFSETS ? 0 : b_stride) {
        if (way == B_OFFSETS) b = t->b + t->offset[k];
        step(a, b, rows, vecs, acc);
    }
    if (t->activation == TN_ACT_CLIP) {
        vf low = vf_set(t->low), high = vf_set(t->high);
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++) acc[r][v] = vf_min(high, vf_max(low, acc[r][v]));
    } else if (t->activation == TN_ACT_HARD_SWISH) {
        vf alpha = vf_set(t->low);
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++) acc[r][v] = activate_hard_swish(acc[r][v], alpha);
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) vf_store(c + (size_t)r * c_stride + v * VF_WIDTH, acc[r][v]);
}

#define TILE(r, v, name, way)                                                                                          \
    static void name##_##r##x##v(const tile_call *t, const float *a) {                                                 \
        tile(t, a, r, v, way);                                                                                         \
    }
#define TILE_NAME(r, v, name, way) name##_##r##x##v,
#if GEMM_ROWS == 14
#define TILES_OF(v, X, ...)                                                                                            \
    X(1, v, __VA_ARGS__)                                                                                               \
    X(2, v, __VA_ARGS__)                                                                                               \
    X(3, v, __VA_ARGS__)                                                                                               \
    X(4, v, __VA_ARGS__)                                                                                               \
    X(5, v, __VA_ARGS__)                                                                                               \
    X(6, v, __VA_ARGS__)                                                                                               \
    X(7, v, __VA_ARGS__)                                                                                               \
    X(8, v, __VA_ARGS__)                                                                                               \
    X(9, v, __VA_ARGS__)                                                                                               \
    X(10, v, __VA_ARGS__)                                                                                              \
    X(11, v, __VA_ARGS__)                                                                                              \
    X(12, v, __VA_ARGS__)                                                                                              \
    X(13, v, __VA_ARGS__)                                                                                              \
    X(14, v, __VA_ARGS__)
#elif GEMM_ROWS == 8
#define TILES_OF(v, X, ...)                                                                                            \
    X(1, v, __VA_ARGS__)                                                                                               \
    X(2, v, __VA_ARGS__)                                                                                               \
    X(3, v, __VA_ARGS__)                                                                                               \
    X(4, v, __VA_ARGS__)                                                                                               \
    X(5, v, __VA_ARGS__) X(6, v, __VA_ARGS__) X(7, v, __VA_ARGS__) X(8, v, __VA_ARGS__)
#elif GEMM_ROWS == 6
#define TILES_OF(v, X, ...)                                                                                            \
    X(1, v, __VA_ARGS__)                                                                                               \
    X(2, v, __VA_ARGS__) X(3, v, __VA_ARGS__) X(4, v, __VA_ARGS__) X(5, v, __VA_ARGS__) X(6, v, __VA_ARGS__)
#elif GEMM_ROWS == 4
#define TILES_OF(v, X, ...) X(1, v, __VA_ARGS__) X(2, v, __VA_ARGS__) X(3, v, __VA_ARGS__) X(4, v, __VA_ARGS__)
#endif
#define ROW_OF_TILES(v, ...) {TILES_OF(v, TILE_NAME, __VA_ARGS__)},
#if GEMM_VECS == 2
#define ALL_TILES(X, ...) X(1, __VA_ARGS__) X(2, __VA_ARGS__)
#elif GEMM_VECS == 3
#define ALL_TILES(X, ...) X(1, __VA_ARGS__) X(2, __VA_ARGS__) X(3, __VA_ARGS__)
#elif GEMM_VECS == 4
#define ALL_TILES(X, ...) X(1, __VA_ARGS__) X(2, __VA_ARGS__) X(3, __VA_ARGS__) X(4, __VA_ARGS__)
#endif
#define DEFINE_TILES(v, ...) TILES_OF(v, TILE, __VA_ARGS__)
ALL_TILES(DEFINE_TILES, tile, B_ROWS)
ALL_TILES(DEFINE_TILES, offset_tile, B_OFFSETS)
static void (*const tiles[2][GEMM_VECS][GEMM_ROWS])(const tile_call *t, const float *a) = {
    {ALL_TILES(ROW_OF_TILES, tile, B_ROWS)}, {ALL_TILES(ROW_OF_TILES, offset_tile, B_OFFSETS)}};

static void gemm_f32_tile(size_t *rows, size_t *columns, size_t *lanes) {
    *rows = GEMM_ROWS;
    *columns = GEMM_COLUMNS;
    *lanes = VF_WIDTH;
}

/* Puts into c what the sums of n columns from `column` on start from, where that is more than a bias by rows. */
static void start_rows(const tn_gemm_f32 *g, size_t row, size_t rows, size_t column, size_t n, float *c,
                       size_t c_stride) {
    const tn_epilogue *e = &g->epilogue;
    const float *bias = g->first && e->column_bias ? e->column_bias + column : NULL;
    for (size_t r = 0; r < rows; r++, c += c_stride) {
        const float *from = !g->first     ? g->c + (row + r) * g->c_stride + column
                            : e->residual ? e->residual + (row + r) * e->residual_stride + column
                                          : NULL;
        const bool biased = g->first && e->row_bias;
        const vf row_bias = vf_set(biased ? e->row_bias[row + r] : 0);
        for (size_t j = 0; j < n; j += VF_WIDTH) {
            vf x = from ? load_part(from + j, n - j) : row_bias;
            if (from && biased) x = vf_add(x, row_bias);
            if (bias) x = from || biased ? vf_add(load_part(bias + j, n - j), x) : load_part(bias + j, n - j);
            store_part(c + j, x, n - j);
        }
    }
}

/* What the sums of a tile of whole vectors start from, if it lies in rows somewhere; a bias by columns is one row for all. */
static const float *start_of(const tn_gemm_f32 *g, size_t row, size_t column, size_t *stride) {
    const tn_epilogue *e = &g->epilogue;
    *stride = !g->first ? g->c_stride : e->residual ? e->residual_stride : 0;
    if (!g->first) return g->c + row * g->c_stride + column;
    if (e->row_bias || (e->residual && e->column_bias)) return NULL;
    return e->residual ? e->residual + row * e->residual_stride + column : e->column_bias + column;
}

/* The tile at `row` and `column` of n columns. Where vectors are cut, it is made apart, so that only storing it knows of
 * that. */
static void one_tile(const tn_gemm_f32 *g, tile_call *t, const float *a, size_t row, size_t column, size_t n) {
    static const float zeros[GEMM_ROWS];
    float edge[GEMM_ROWS * GEMM_COLUMNS];
    const tn_epilogue *e = &g->epilogue;
    size_t vecs = (n + VF_WIDTH - 1) / VF_WIDTH, rows = TN_LEAST(g->m - row, g->rows);
    bool whole = n == vecs * VF_WIDTH, plain = g->first && !e->residual && !e->column_bias;
    float *c = g->c + row * g->c_stride + column;
    t->c = whole ? c : edge;
    t->c_stride = whole ? g->c_stride : GEMM_COLUMNS;
    t->bias = !plain ? NULL : e->row_bias ? e->row_bias + row : zeros;
    t->start = !plain && whole ? start_of(g, row, column, &t->start_stride) : NULL;
    if (!plain && !t->start) {
        start_rows(g, row, rows, column, n, t->c, t->c_stride);
        t->start = t->c;
        t->start_stride = t->c_stride;
    }
    tiles[t->offset ? B_OFFSETS : B_ROWS][vecs - 1][rows - 1](t, a);
    if (g->last && e->activation != t->activation) activate(rows, vecs * VF_WIDTH, t->c, t->c_stride, e);
    for (size_t r = 0; r < rows && !whole; r++)
        for (size_t j = 0; j < n; j += VF_WIDTH)
            store_part(c + r * g->c_stride + j, vf_load(edge + r * GEMM_COLUMNS + j), n - j);
}

#if VF_WIDTH == 16
/* Columns that fill too little of a vector: there the rows of A's panels lie along vectors, several panels at once, so that
 * no addition waits for the one before. */
#define THIN 4
#define THIN_PANELS 4

ALWAYS_INLINE void thin_sums(const tn_gemm_f32 *g, const float *const *panel, const size_t *rows, const float *b, int n,
                             float sums[THIN_PANELS][THIN][VF_WIDTH]) {
    const float *a[THIN_PANELS];
    vf acc[THIN_PANELS][THIN];
#pragma GCC unroll 4
    for (int i = 0; i < THIN_PANELS; i++) {
        a[i] = panel[i];
#pragma GCC unroll 4
        for (int j = 0; j < n; j++) acc[i][j] = vf_load(sums[i][j]);
    }
    for (size_t k = 0; k < g->k; k++) {
        const float *from = g->b_offset ? b + g->b_offset[k] : b + k * g->b_stride;
        vf x[THIN];
#pragma GCC unroll 4
        for (int j = 0; j < n; j++) x[j] = vf_set(from[j]);
#pragma GCC unroll 4
        for (int i = 0; i < THIN_PANELS; i++) {
            const vf y = vf_load_n(a[i], rows[i]);
            a[i] += rows[i];
#pragma GCC unroll 4
            for (int j = 0; j < n; j++) acc[i][j] = MULTIPLY_ADD(x[j], y, acc[i][j]);
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < THIN_PANELS; i++)
#pragma GCC unroll 4
        for (int j = 0; j < n; j++) vf_store(sums[i][j], acc[i][j]);
}

/* n columns from `column` on, whose rows of B lie at b, of `count` panels of A from the one with `row` on. */
static void thin_tiles(const tn_gemm_f32 *g, const float *a, size_t row, size_t count, const float *b, size_t column,
                       size_t n) {
    float start[VF_WIDTH][THIN] = {{0}}, sums[THIN_PANELS][THIN][VF_WIDTH];
    const float *panel[THIN_PANELS];
    size_t rows[THIN_PANELS];
    for (size_t i = 0, from = row; i < THIN_PANELS; i++) {
        if (i < count) {
            rows[i] = TN_LEAST(g->m - from, g->rows);
            panel[i] = a + i * g->a_panel + g->a_skip * rows[i];
            start_rows(g, from, rows[i], column, n, start[0], THIN);
            from += rows[i];
        } else { /* done for nothing */
            rows[i] = rows[0];
            panel[i] = panel[0];
        }
        for (size_t j = 0; j < n; j++)
            for (size_t r = 0; r < VF_WIDTH; r++) sums[i][j][r] = start[r][j];
    }
    switch (n) {
    case 1: thin_sums(g, panel, rows, b, 1, sums); break;
    case 2: thin_sums(g, panel, rows, b, 2, sums); break;
    case 3: thin_sums(g, panel, rows, b, 3, sums); break;
    default: thin_sums(g, panel, rows, b, THIN, sums);
    }
    for (size_t i = 0; i < count; i++, row += g->rows) {
        if (g->last) activate(n, VF_WIDTH, sums[i][0], VF_WIDTH, &g->epilogue);
        for (size_t r = 0; r < rows[i]; r++)
            for (size_t j = 0; j < n; j++) g->c[(row + r) * g->c_stride + column + j] = sums[i][j][r];
    }
}
#else
#define THIN 0
#endif

#define FAR_FLOATS 32768 /* of C, which the nearest caches do not hold then */

#define NEVER SIZE_MAX
#define SOON 64 /* steps of k, which are over before memory has answered */

/* So that `count` things are fetched while k runs, evenly, lest the tile waits for memory: at least so many, in fact. */
ALWAYS_INLINE size_t spread(size_t k, size_t count) {
    size_t step = 1;
    while (2 * step * count <= k) step *= 2;
    return step - 1;
}

/* Fetches what the tile of the next rows reads and writes beside its operands: the rows lie so far apart that no hardware
 * foresees them, and where k is small a tile takes no longer than memory does. Where a tile fetches no rows of B for later,
 * it does that of C's while k runs. */
ALWAYS_INLINE void fetch_next_tile(const tn_gemm_f32 *g, tile_call *t, size_t row, size_t column, size_t n) {
    const tn_epilogue *e = &g->epilogue;
    const float *residual = g->first && e->residual ? e->residual + row * e->residual_stride + column : NULL;
    const float *c = g->c + row * g->c_stride + column;
    const bool later = FETCHES && !g->ahead && n == GEMM_COLUMNS && g->k > SOON;
    if (later) {
        t->ahead = c;
        t->ahead_stride = g->c_stride;
        t->ahead_rest = spread(g->k, g->rows) | (GEMM_STEPS - 1);
    }
    for (size_t rows = TN_LEAST(g->m - row, g->rows); rows > 0; rows--, c += g->c_stride) {
        for (size_t j = 0; j < n && !later; j += 16) __builtin_prefetch(c + j, 1, 3);
        if (!later) __builtin_prefetch(c + n - 1, 1, 3);
        if (!residual) continue;
        for (size_t j = 0; j < n; j += 16) __builtin_prefetch(residual + j, 0, 3);
        __builtin_prefetch(residual + n - 1, 0, 3);
        residual += e->residual_stride;
    }
}

/* Of what the call fetches, what each tile does: `across` tiles for each of `panels` panels of A. */
typedef struct fetch_plan {
    size_t next_floats, ahead_rows; /* of a tile; of a panel, from one to the next */
} fetch_plan;

static fetch_plan plan_fetches(const tn_gemm_f32 *g, tile_call *t, size_t across, size_t panels) {
    fetch_plan plan = {0, 0};
    t->next_rest = t->ahead_rest = NEVER;
    t->next = t->ahead = g->a;
    if (g->next) {
        const size_t lines = (g->next_floats / LINE + across) / across, rest = spread(g->k, lines);
        plan.next_floats = lines * LINE;
        t->next_lines = rest < GEMM_STEPS ? GEMM_STEPS / (rest + 1) : 1;
        t->next_rest = rest | (GEMM_STEPS - 1);
    }
    if (g->ahead) {
        const size_t rest = spread(g->k, g->k / panels + 1);
        plan.ahead_rows = g->k / (rest + 1);
        t->ahead_rest = rest | (GEMM_STEPS - 1);
    }
    return plan;
}

/* The part of a tile, the `part`-th across in panel `panel` of A. */
ALWAYS_INLINE void fetch_part(const tn_gemm_f32 *g, const fetch_plan *plan, tile_call *t, size_t part, size_t panel) {
    const size_t row = panel * plan->ahead_rows;
    if (g->next) t->next = g->next + panel * g->next_panel + part * plan->next_floats;
    if (!g->ahead) {
        t->ahead_rest = NEVER;
        return;
    }
    t->ahead = g->ahead + row * g->ahead_stride + part * GEMM_COLUMNS;
    if (row >= g->k) t->ahead_rest = NEVER;
}

static void gemm_f32(const tn_gemm_f32 *g) {
    tile_call t = {.k = g->k, .b_stride = g->b_stride, .offset = g->b_offset, .ahead_stride = g->ahead_stride};
    const tn_act act = g->last ? g->epilogue.activation : TN_ACT_NONE;
    t.activation = act == TN_ACT_CLIP || act == TN_ACT_HARD_SWISH ? act : TN_ACT_NONE;
    t.low = g->epilogue.alpha;
    t.high = g->epilogue.beta;
    const float *a = g->a;
    const size_t across = (g->n + GEMM_COLUMNS - 1) / GEMM_COLUMNS, panels = (g->m + g->rows - 1) / g->rows;
    const bool far = g->m * g->c_stride >= FAR_FLOATS;
    const fetch_plan fetches = FETCHES ? plan_fetches(g, &t, across, panels) : (fetch_plan){0, 0};
    size_t panel = 0;
    for (size_t row = 0; row < g->m; row += g->rows, panel++, a += g->a_panel) {
        size_t rows = TN_LEAST(g->m - row, g->rows), part = 0;
        t.b = g->b;
        for (size_t column = 0; column < g->n; column += GEMM_COLUMNS, part++, t.b += g->b_panel) {
            size_t n = TN_LEAST(g->n - column, (size_t)GEMM_COLUMNS);
#if THIN > 0
            const size_t thin = n % VF_WIDTH <= THIN ? n % VF_WIDTH : 0;
            if (thin > 0) {
                n -= thin;
                if (panel % THIN_PANELS == THIN_PANELS - 1 || row + rows == g->m) {
                    const size_t before = panel % THIN_PANELS;
                    thin_tiles(g, a - before * g->a_panel, row - before * g->rows, before + 1, t.b + n, column + n,
                               thin);
                }
                if (n == 0) break;
            }
#endif
            if (FETCHES) fetch_part(g, &fetches, &t, part, panel);
            if (far && row + rows < g->m) fetch_next_tile(g, &t, row + rows, column, n);
            one_tile(g, &t, a + g->a_skip * rows, row, column, n);
        }
    }
}

/* One row of A. Where B is in panels, or in the near caches, sums stay in registers while k runs: GEMV_VECS vectors at once
 * hide the latency of the additions. A large B that lies row behind row is gone through GEMV_ROWS rows at a time instead,
 * with the sums in y: columns of it would touch another page at each step, which neither the TLB nor the prefetchers like.
 * Sums have the same order in both. */
#define GEMV_VECS 8
#define GEMV_ROWS 8
#define GEMV_FAR_FLOATS ((size_t)1 << 17) /* half a MiB: the second level's cache */
#define GEMV_FAR_COLUMNS 128

/* What the sums of `n` columns from `column` on begin with, up to a vector. */
ALWAYS_INLINE vf gemv_start(const tn_gemv_f32 *g, size_t column, size_t n) {
    vf acc = vf_set(g->epilogue.row_bias ? g->epilogue.row_bias[0] : 0);
    if (g->epilogue.column_bias) acc = vf_add(load_part(g->epilogue.column_bias + column, n), acc);
    if (g->epilogue.residual) acc = vf_add(load_part(g->epilogue.residual + column, n), acc);
    return acc;
}

ALWAYS_INLINE void gemv_vectors(const tn_gemv_f32 *g, size_t column, int vecs, size_t n) {
    vf acc[GEMV_VECS];
    const float *b[GEMV_VECS];
#pragma GCC unroll 8
    for (int v = 0; v < vecs; v++) {
        size_t at = column + (size_t)v * VF_WIDTH;
        b[v] = g->b + at / GEMM_COLUMNS * g->b_panel + at % GEMM_COLUMNS;
        acc[v] = gemv_start(g, at, vecs > 1 ? VF_WIDTH : n);
    }
    for (size_t k = 0, offset = 0; k < g->k; k++, offset += g->b_stride) {
        vf s = vf_set(g->x[k]);
#pragma GCC unroll 8
        for (int v = 0; v < vecs; v++)
            acc[v] = MULTIPLY_ADD(s, vecs > 1 ? vf_load(b[v] + offset) : load_part(b[v] + offset, n), acc[v]);
    }
#pragma GCC unroll 8
    for (int v = 0; v < vecs; v++) store_part(g->y + column + (size_t)v * VF_WIDTH, acc[v], vecs > 1 ? VF_WIDTH : n);
}

/* Adds `rows` rows of B from k on, times their elements of x, to y. */
ALWAYS_INLINE void gemv_add_rows(const tn_gemv_f32 *g, size_t k, int rows) {
    const float *b = g->b + k * g->b_stride;
    vf s[GEMV_ROWS];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) s[r] = vf_set(g->x[k + (size_t)r]);
    for (size_t column = 0; column < g->n; column += VF_WIDTH) {
        const size_t n = TN_LEAST(g->n - column, (size_t)VF_WIDTH);
        vf acc = load_part(g->y + column, n);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            const float *at = b + (size_t)r * g->b_stride + column;
            acc = MULTIPLY_ADD(s[r], load_part(at, n), acc);
        }
        store_part(g->y + column, acc, n);
    }
}

static void gemv_far(const tn_gemv_f32 *g) {
    size_t k = 0;
    for (size_t column = 0; column < g->n; column += VF_WIDTH) {
        const size_t n = TN_LEAST(g->n - column, (size_t)VF_WIDTH);
        store_part(g->y + column, gemv_start(g, column, n), n);
    }
    for (; k + GEMV_ROWS <= g->k; k += GEMV_ROWS) gemv_add_rows(g, k, GEMV_ROWS);
    for (; k < g->k; k++) gemv_add_rows(g, k, 1);
}

static void gemv_f32(const tn_gemv_f32 *g) {
    size_t column = 0;
    if (g->b_panel == GEMM_COLUMNS && g->n >= GEMV_FAR_COLUMNS && g->k * g->b_stride >= GEMV_FAR_FLOATS) {
        gemv_far(g);
        activate(1, g->n, g->y, 0, &g->epilogue);
        return;
    }
    for (; column + GEMV_VECS * VF_WIDTH <= g->n; column += GEMV_VECS * VF_WIDTH)
        gemv_vectors(g, column, GEMV_VECS, VF_WIDTH);
    if (column + 4 * VF_WIDTH <= g->n) {
        gemv_vectors(g, column, 4, VF_WIDTH);
        column += 4 * VF_WIDTH;
    }
    for (; column < g->n; column += VF_WIDTH) gemv_vectors(g, column, 1, TN_LEAST(g->n - column, (size_t)VF_WIDTH));
    activate(1, g->n, g->y, 0, &g->epilogue);
}

/* `rows` dot products at once; each has two running sums a vector wide. What lies `ahead` of them is fetched, since no
 * hardware foresees where rows begin; 0: nothing. */
ALWAYS_INLINE void dot_rows(size_t k, const float *a, size_t a_stride, const float *x, float *y, size_t y_stride,
                            int rows, size_t ahead) {
    vf even[4], odd[4];
    size_t i = 0;
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) even[r] = odd[r] = vf_set(0);
    for (; i + 2 * VF_WIDTH <= k; i += 2 * VF_WIDTH) {
        vf x0 = vf_load(x + i), x1 = vf_load(x + i + VF_WIDTH);
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) {
            for (int v = 0; ahead && v < 2 * VF_WIDTH; v += 16)
                __builtin_prefetch(a + (size_t)r * a_stride + ahead + i + v, 0, 2);
            even[r] = MULTIPLY_ADD(vf_load(a + (size_t)r * a_stride + i), x0, even[r]);
            odd[r] = MULTIPLY_ADD(vf_load(a + (size_t)r * a_stride + i + VF_WIDTH), x1, odd[r]);
        }
    }
    for (; i < k; i += VF_WIDTH) {
        size_t left = TN_LEAST(k - i, (size_t)VF_WIDTH);
        vf x0 = vf_load_n(x + i, left);
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++)
            even[r] = MULTIPLY_ADD(vf_load_n(a + (size_t)r * a_stride + i, left), x0, even[r]);
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) y[(size_t)r * y_stride] = vf_sum(vf_add(even[r], odd[r]));
}

static void dot_f32(size_t m, size_t k, const float *a, size_t a_stride, const float *x, float *y, size_t y_stride) {
    size_t i = 0;
    for (; i + 4 <= m; i += 4)
        dot_rows(k, a + i * a_stride, a_stride, x, y + i * y_stride, y_stride, 4, i + 8 <= m ? 4 * a_stride : 0);
    for (; i < m; i++) dot_rows(k, a + i * a_stride, a_stride, x, y + i * y_stride, y_stride, 1, 0);
}

static void gather_rows_f32(size_t rows, size_t n, const float *src, size_t src_step, size_t stride, float *dst,
                            size_t dst_step) {
    if (n == 0) return;
    if (n == GEMM_COLUMNS && stride == 1) {
        /* Rows that lie far apart are foreseen by no hardware. */
        const size_t ahead = src_step > 64 ? 12 * src_step : 0;
        for (size_t r = 0; r < rows; r++, src += src_step, dst += dst_step) {
            if (ahead && r + 12 < rows) __builtin_prefetch(src + ahead, 0, 3);
#pragma GCC unroll 4
            for (int v = 0; v < GEMM_VECS; v++) vf_store(dst + v * VF_WIDTH, vf_load(src + v * VF_WIDTH));
        }
        return;
    }
    /* Rows shorter than a vector, one behind the other: whole vectors, whose ends the next row overwrites. */
    for (; n < VF_WIDTH && stride == 1 && dst_step == n && src_step + n >= VF_WIDTH && n * rows >= VF_WIDTH + n;
         rows--) {
        vf_store(dst, vf_load(src));
        src += src_step;
        dst += dst_step;
    }
    for (size_t r = 0; r < rows; r++, src += src_step, dst += dst_step) {
        size_t i = 0;
        if (stride == 1) {
            for (; i + VF_WIDTH <= n; i += VF_WIDTH) vf_store(dst + i, vf_load(src + i));
            if (i < n) vf_store_n(dst + i, vf_load_n(src + i, n - i), n - i);
        } else if (stride == 2) {
            /* The last vector would read past the last element. */
            for (; i + VF_WIDTH < n; i += VF_WIDTH)
                vf_store(dst + i, vf_even(vf_load(src + 2 * i), vf_load(src + 2 * i + VF_WIDTH)));
            size_t left = 2 * (n - i) - 1, low = TN_LEAST(left, (size_t)VF_WIDTH);
            vf x = vf_even(vf_load_n(src + 2 * i, low), vf_load_n(src + 2 * i + VF_WIDTH, left - low));
            vf_store_n(dst + i, x, n - i);
        } else {
            for (; i < n; i++) dst[i] = src[i * stride];
        }
    }
}

static void gather_runs_f32(size_t rows, const float *src, const uint32_t *offset, size_t count,
                            const tn_gather_run *run, float *dst, size_t dst_step) {
    if (count == 1 && run->count == GEMM_COLUMNS) {
        for (size_t r = 0; r < rows; r++, dst += dst_step) {
            const float *from = src + offset[r] + run->from;
#pragma GCC unroll 4
            for (int v = 0; v < GEMM_VECS; v++) vf_store(dst + v * VF_WIDTH, vf_load(from + v * VF_WIDTH));
        }
        return;
    }
    for (size_t r = 0; r < rows; r++, dst += dst_step)
        for (size_t i = 0; i < count; i++) {
            const float *from = src + offset[r] + run[i].from;
            for (size_t j = 0; j < run[i].count; j += VF_WIDTH) vf_store(dst + run[i].to + j, vf_load(from + j));
        }
}

ALWAYS_INLINE void add_part(float *dst, vf x, size_t left) {
    store_part(dst, vf_add(load_part(dst, left), x), left);
}

static void scatter_add_f32(size_t n, const float *src, float *dst, size_t stride) {
    if (stride == 1) {
        for (size_t i = 0; i < n; i += VF_WIDTH) add_part(dst + i, load_part(src + i, n - i), n - i);
    } else if (stride == 2) {
        vf zero = vf_set(0);
        for (size_t i = 0; i < n; i += VF_WIDTH) {
            size_t left = 2 * (n - i) - 1;
            vf x = load_part(src + i, n - i);
            add_part(dst + 2 * i, vf_zip_low(x, zero), left);
            if (left > VF_WIDTH) add_part(dst + 2 * i + VF_WIDTH, vf_zip_high(x, zero), left - VF_WIDTH);
        }
    } else {
        for (size_t i = 0; i < n; i++) dst[i * stride] += src[i];
    }
}

static void weave_f32(size_t n, size_t parts, const float *src, size_t src_step, float *dst) {
    if (parts == 2) {
        for (size_t i = 0; i < n; i += VF_WIDTH) {
            size_t left = 2 * (n - i);
            vf a = load_part(src + i, n - i), b = load_part(src + src_step + i, n - i);
            store_part(dst + 2 * i, vf_zip_low(a, b), left);
            if (left > VF_WIDTH) store_part(dst + 2 * i + VF_WIDTH, vf_zip_high(a, b), left - VF_WIDTH);
        }
        return;
    }
    for (size_t j = 0; j < parts; j++)
        for (size_t i = 0; i < n; i++) dst[i * parts + j] = src[j * src_step + i];
}

static void activate_f32(size_t n, float *x, const tn_epilogue *e) {
    activate(1, n, x, 0, e);
}

void GEMM_OVERLAY(tn_kernels *table);
void GEMM_OVERLAY(tn_kernels *table) {
    table->gemm_f32_tile = gemm_f32_tile;
    table->gemm_f32 = gemm_f32;
    table->direct_uses = STEPS_AHEAD ? 16 : 2;
    table->gemv_f32 = gemv_f32;
    table->dot_f32 = dot_f32;
    table->gather_rows_f32 = gather_rows_f32;
    table->gather_runs_f32 = gather_runs_f32;
    table->scatter_add_f32 = scatter_add_f32;
    table->weave_f32 = weave_f32;
    table->activate_f32 = activate_f32;
}
