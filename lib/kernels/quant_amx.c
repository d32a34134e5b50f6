/* 8-bit product on AMX: a tile instruction multiplies 16 rows of a by 16 columns of b over 64 values of k, 16384
 * multiplications in 16 cycles.
 *
 * Operands are packed as for VNNI (panels of 32 columns by groups of four are two tiles side by side), so the kernel of
 * that level serves what is too low for tiles. Four tiles of sums, two by two, let each loaded tile be used twice: loads
 * then take half of the multiplications' time (Intel's Optimization Reference Manual, 20.5). Rows are shared out evenly
 * among the tiles, and k among the steps where it can be; else the last step reads a copy of b with zeros behind it. */
#include "base/base.h"
#include "kernels/qgemm.h"
#include "kernels/tiles.h"
#include <immintrin.h>

enum { ROWS = 16, LANES = 16, COLUMNS = 2 * LANES, STEP = 64, LEAST_ROWS = 8, PANEL_STRIDE = COLUMNS * 4, LINE = 64 };

/* GCC does not tell its optimizer what memory a tile instruction reads. */
#define MEMORY_IS_READ() __asm__ volatile("" ::: "memory")

/* Rows of both tiles and bytes of k in a step. */
typedef struct shape {
    size_t upper, lower, step;
} shape;

static void configure(shape s) {
    _Alignas(64) tn_tiles t = {.palette = 1};
    for (int i = 0; i < 4; i++) { /* sums: upper left, upper right, lower left, lower right */
        t.rows[i] = (uint8_t)(i < 2 ? s.upper : s.lower);
        t.row_bytes[i] = t.rows[i] ? LANES * 4 : 0;
    }
    for (int i = 4; i < 6; i++) { /* a: upper, lower */
        t.rows[i] = (uint8_t)(i == 4 ? s.upper : s.lower);
        t.row_bytes[i] = t.rows[i] ? (uint16_t)s.step : 0;
    }
    for (int i = 6; i < 8; i++) { /* b: left, right */
        t.rows[i] = (uint8_t)(s.step / 4);
        t.row_bytes[i] = LANES * 4;
    }
    MEMORY_IS_READ();
    _tile_loadconfig(&t);
}

typedef struct operands {
    const uint8_t *a, *b;
    const uint8_t *a_rest, *b_rest; /* of the step that is cut short; NULL if none is */
    const uint8_t *lower;           /* of a: the rows of the lower tiles */
    size_t stride, steps, step;
    size_t runs, run_step; /* of a: all steps are done in each run */
    const uint8_t *next;   /* `lines` of it are fetched in a step: all at once would have the tiles wait */
    size_t lines;
} operands;

/* Tiles are named by constants, so what takes one is a macro. */
#define DOT(sums, a, b)                                                                                                \
    do {                                                                                                               \
        if (us)                                                                                                        \
            _tile_dpbusd(sums, a, b);                                                                                  \
        else                                                                                                           \
            _tile_dpbsud(sums, a, b);                                                                                  \
    } while (0)

static inline __attribute__((always_inline)) void one_step(const uint8_t *a, const uint8_t *lower, size_t a_stride,
                                                           const uint8_t *b, bool us, bool down, bool across) {
    _tile_loadd(6, b, PANEL_STRIDE);
    _tile_loadd(4, a, a_stride);
    DOT(0, 4, 6);
    if (across) {
        _tile_loadd(7, b + STEP, PANEL_STRIDE);
        DOT(1, 4, 7);
    }
    if (down) {
        _tile_loadd(5, lower, a_stride);
        DOT(2, 5, 6);
    }
    if (down && across) DOT(3, 5, 7);
}

/* Up to 32 x 32 sums. */
static inline __attribute__((always_inline)) void block(const operands *o, size_t upper, int32_t *c, size_t ldc,
                                                        bool us, bool down, bool across) {
    const uint8_t *b = o->b;
    const size_t bytes = ldc * sizeof *c;
    _tile_zero(0);
    if (across) _tile_zero(1);
    if (down) _tile_zero(2);
    if (down && across) _tile_zero(3);
    const uint8_t *next = o->next;
    for (size_t run = 0; run < o->runs; run++) {
        const uint8_t *a = o->a + run * o->run_step, *lower = o->lower + run * o->run_step;
        for (size_t i = 0; i < o->steps; i++, a += o->step, lower += o->step, b += o->step * COLUMNS) {
            for (size_t l = o->lines; l > 0; l--, next += LINE) __builtin_prefetch(next, 0, 2);
            one_step(a, lower, o->stride, b, us, down, across);
        }
    }
    if (o->b_rest) one_step(o->a_rest, o->a_rest + upper * STEP, STEP, o->b_rest, us, down, across);
    _tile_stored(0, c, bytes);
    if (across) _tile_stored(1, c + LANES, bytes);
    if (down) _tile_stored(2, c + upper * ldc, bytes);
    if (down && across) _tile_stored(3, c + upper * ldc + LANES, bytes);
}

/* The same of all columns that there are; `rows` in both tiles. What is too much lies between rows of c, or is left out. */
static inline __attribute__((always_inline)) void any_block(const operands *o, size_t upper, size_t rows, int32_t *c,
                                                            size_t ldc, size_t width, size_t room, bool us) {
    _Alignas(64) int32_t edge[2 * ROWS * COLUMNS];
    const bool fits = (width + LANES - 1) / LANES * LANES <= room;
    int32_t *to = fits ? c : edge;
    const size_t to_stride = fits ? ldc : (size_t)COLUMNS;
    if (rows > upper && width > LANES)
        block(o, upper, to, to_stride, us, true, true);
    else if (rows > upper)
        block(o, upper, to, to_stride, us, true, false);
    else if (width > LANES)
        block(o, upper, to, to_stride, us, false, true);
    else
        block(o, upper, to, to_stride, us, false, false);
    for (size_t r = 0; r < rows && !fits; r++) memcpy(c + r * ldc, edge + r * COLUMNS, width * sizeof *c);
}

/* `steps`: of all blocks together. */
static void fetch(operands *o, const uint8_t *next, size_t bytes, size_t steps) {
    if (!next || steps == 0) return;
    o->next = next;
    o->lines = (bytes / LINE + steps) / steps;
}

/* The last values of `rows` rows, fewer than a step, with zeros behind them. */
static void copy_rest(uint8_t *to, const uint8_t *from, size_t rows, size_t stride, size_t bytes) {
    const __mmask64 mask = (__mmask64)-1 >> (64 - bytes);
    for (size_t r = 0; r < rows; r++)
        _mm512_store_si512((__m512i *)(to + r * STEP), _mm512_maskz_loadu_epi8(mask, from + r * stride));
}

static inline __attribute__((always_inline)) void product(bool us, size_t m, size_t n, size_t k, const uint8_t *a,
                                                          const uint8_t *b, int32_t *c, size_t ldc, const uint8_t *next,
                                                          size_t next_bytes) {
    _Alignas(64) uint8_t a_rest[2 * ROWS * STEP], b_rest[STEP / 4 * PANEL_STRIDE];
    size_t step = STEP, rest = k % STEP, steps = k / STEP, tiles = (m + ROWS - 1) / ROWS;
    size_t height = (m + tiles - 1) / tiles;
    if (rest && k % (4 * (steps + 1)) == 0) {
        steps++;
        step = k / steps;
        rest = 0;
    }
    operands o = {.next = b, .stride = k, .step = step, .steps = steps, .runs = 1};
    const shape s = {height, tiles > 1 ? TN_MIN(height, m - height) : 0, step};
    const size_t rows = s.upper + s.lower, blocks = (tiles + 1) / 2 * ((n + COLUMNS - 1) / COLUMNS);
    fetch(&o, next, next_bytes, blocks * steps);
    if (rest) memset(b_rest, 0, sizeof b_rest);
    configure(s);
    for (size_t at = 0; at < m; at += rows) {
        /* The last rows are made together with some that are there already, so that all blocks are alike. */
        const size_t i = TN_MIN(at, m - rows);
        o.a = a + i * k;
        o.lower = o.a + height * k;
        if (rest) copy_rest(a_rest, o.a + o.steps * step, rows, k, rest);
        for (size_t j = 0; j < n; j += COLUMNS, o.next += o.lines * LINE * steps) {
            size_t width = TN_MIN(n - j, (size_t)COLUMNS);
            o.b = b + j * k;
            o.a_rest = a_rest;
            if (rest) o.b_rest = memcpy(b_rest, o.b + o.steps * step * COLUMNS, rest * COLUMNS);
            MEMORY_IS_READ();
            any_block(&o, height, rows, c + i * ldc + j, ldc, width, ldc - j, us);
        }
    }
    _tile_release();
}

/* The kernels of the level below. */
static void (*low_us)(size_t m, size_t n, size_t k, const void *a, const void *b, const uint32_t *order, int32_t *c,
                      size_t ldc, const void *next, size_t next_bytes);
static void (*low_su)(size_t m, size_t n, size_t k, const void *a, const void *b, int32_t *c, size_t ldc);

static bool worth_tiles(size_t m, size_t n, size_t k) {
    return m >= LEAST_ROWS && n > 0 && k > 0;
}

static void qgemm_us(size_t m, size_t n, size_t k, const void *a, const void *b, const uint32_t *order, int32_t *c,
                     size_t ldc, const void *next, size_t next_bytes) {
    worth_tiles(m, n, k) ? product(true, m, n, k, a, b, c, ldc, next, next_bytes)
                         : low_us(m, n, k, a, b, order, c, ldc, next, next_bytes);
}
static void qgemm_su(size_t m, size_t n, size_t k, const void *a, const void *b, int32_t *c, size_t ldc) {
    worth_tiles(m, n, k) ? product(false, m, n, k, a, b, c, ldc, NULL, 0) : low_su(m, n, k, a, b, c, ldc);
}

static void qgemm_tiles(const tn_qgemm_taps *t, size_t n, const void *b, int32_t *c, size_t ldc, const void *next,
                        size_t next_bytes) {
    const size_t steps = t->run_bytes / t->step, k = t->runs * t->run_bytes, all = t->runs * steps;
    operands o = {
        .next = b, .stride = t->row_step, .steps = steps, .step = t->step, .runs = t->runs, .run_step = t->run_step};
    shape s = {t->rows, t->tiles > 1 ? t->rows : 0, t->step};
    fetch(&o, next, next_bytes, all * ((t->tiles + 1) / 2) * ((n + COLUMNS - 1) / COLUMNS));
    configure(s);
    for (size_t i = 0; i < t->tiles; i += 2, c += 2 * t->rows * ldc) {
        const bool alone = i + 1 == t->tiles;
        o.a = t->a[i];
        o.lower = alone ? o.a : t->a[i + 1];
        for (size_t j = 0; j < n; j += COLUMNS, o.next += o.lines * LINE * all) {
            o.b = (const uint8_t *)b + j * k;
            MEMORY_IS_READ();
            any_block(&o, t->rows, alone ? t->rows : 2 * t->rows, c + j, ldc, TN_MIN(n - j, (size_t)COLUMNS), ldc - j,
                      true);
        }
    }
    _tile_release();
}

void tn_quant_amx(tn_kernels *table) {
    low_us = table->qgemm_us;
    low_su = table->qgemm_su;
    table->qgemm_us = qgemm_us;
    table->qgemm_su = qgemm_su;
    table->qgemm_tiles = qgemm_tiles;
}
