/* Products of bfloat16 on AMX: a tile instruction multiplies 16 rows of A by 16 columns of B over 32 values of k. Four
 * tiles of sums, two by two, as quant_amx.c has them; packing is that of the level below. */
#include "kernels/vec_avx512.h"
#include "kernels/tiles.h"
#include "kernels/gemm_bf16_rows.h"

enum { TILE_ROWS = 16, LANES = 16, PAIR = 2 * TN_BF16_COLUMNS, PANEL_STRIDE = PAIR * 2 /* bytes */ };

/* GCC does not tell its optimizer what memory a tile instruction reads. */
#define MEMORY_IS_READ() __asm__ volatile("" ::: "memory")

static void configure(size_t upper, size_t lower) {
    _Alignas(64) tn_tiles t = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        size_t rows = i < 2 || i == 4 ? upper : i < 4 || i == 5 ? lower : TILE_ROWS;
        t.rows[i] = (uint8_t)rows;
        t.row_bytes[i] = rows ? 64 : 0;
    }
    MEMORY_IS_READ();
    _tile_loadconfig(&t);
}

static inline __attribute__((always_inline)) void one_step(const uint16_t *a, size_t a_bytes, const uint16_t *lower,
                                                           const uint16_t *b, bool down, bool across) {
    _tile_loadd(6, b, PANEL_STRIDE);
    _tile_loadd(4, a, a_bytes);
    _tile_dpbf16ps(0, 4, 6);
    if (across) {
        _tile_loadd(7, b + 2 * LANES, PANEL_STRIDE);
        _tile_dpbf16ps(1, 4, 7);
    }
    if (down) {
        _tile_loadd(5, lower, a_bytes);
        _tile_dpbf16ps(2, 5, 6);
    }
    if (down && across) _tile_dpbf16ps(3, 5, 7);
}

/* Up to 32 x 32 sums: steps of k of panel b, then the one of `rest`, if it is not NULL. */
static inline __attribute__((always_inline)) void block(const uint16_t *a, size_t a_stride, size_t upper,
                                                        const uint16_t *b, size_t steps, const uint16_t *rest,
                                                        float *sums, bool down, bool across) {
    const uint16_t *lower = a + upper * a_stride;
    _tile_zero(0);
    if (across) _tile_zero(1);
    if (down) _tile_zero(2);
    if (down && across) _tile_zero(3);
    for (size_t i = 0; i < steps; i++) {
        one_step(a, 2 * a_stride, lower, b, down, across);
        a += TN_BF16_STEP;
        lower += TN_BF16_STEP;
        b += TN_BF16_STEP * TN_BF16_COLUMNS;
    }
    if (rest) one_step(a, 2 * a_stride, lower, rest, down, across);
    _tile_stored(0, sums, PANEL_STRIDE);
    if (across) _tile_stored(1, sums + LANES, PANEL_STRIDE);
    if (down) _tile_stored(2, sums + upper * TN_BF16_COLUMNS, PANEL_STRIDE);
    if (down && across) _tile_stored(3, sums + upper * TN_BF16_COLUMNS + LANES, PANEL_STRIDE);
}

/* The last step of a panel that goes on, with zeros from k on. */
static void copy_rest(const tn_gemm_bf16 *g, const uint16_t *b, uint16_t *rest) {
    const size_t left = g->k % TN_BF16_STEP;
    b += (g->k - left) * TN_BF16_COLUMNS;
    memset(rest, 0, TN_BF16_STEP * TN_BF16_COLUMNS * sizeof *rest);
    memcpy(rest, b, left / 2 * PAIR * sizeof *rest);
    for (size_t c = 0; left % 2 && c < TN_BF16_COLUMNS; c++) rest[left / 2 * PAIR + 2 * c] = b[left / 2 * PAIR + 2 * c];
}

static void gemm_bf16(const tn_gemm_bf16 *g) {
    _Alignas(64) float sums[2 * TILE_ROWS * TN_BF16_COLUMNS];
    _Alignas(64) uint16_t rest[TN_BF16_STEP * TN_BF16_COLUMNS];
    const size_t stride = tn_bf16_k(g->k), tiles = (g->m + TILE_ROWS - 1) / TILE_ROWS;
    if (g->m == 0 || g->n == 0) return;
    const size_t height = (g->m + tiles - 1) / tiles;
    const bool cut = g->b_goes_on && g->k % TN_BF16_STEP;
    const size_t steps = cut ? g->k / TN_BF16_STEP : stride / TN_BF16_STEP;
    size_t last_upper = 0, last_lower = 0;
    for (size_t i = 0; i < g->m; i += 2 * height) {
        const size_t upper = TN_LEAST(height, g->m - i), lower = TN_LEAST(height, g->m - i - upper);
        if (upper != last_upper || lower != last_lower) configure(upper, lower);
        last_upper = upper;
        last_lower = lower;
        const uint16_t *a = g->a + i * stride, *b = g->b;
        for (size_t j = 0; j < g->n; j += TN_BF16_COLUMNS, b += g->b_panel) {
            const size_t n = TN_LEAST(g->n - j, (size_t)TN_BF16_COLUMNS);
            if (cut) copy_rest(g, b, rest);
            MEMORY_IS_READ();
            if (lower && n > LANES)
                block(a, stride, upper, b, steps, cut ? rest : NULL, sums, true, true);
            else if (lower)
                block(a, stride, upper, b, steps, cut ? rest : NULL, sums, true, false);
            else if (n > LANES)
                block(a, stride, upper, b, steps, cut ? rest : NULL, sums, false, true);
            else
                block(a, stride, upper, b, steps, cut ? rest : NULL, sums, false, false);
            finish_block(g, i, upper + lower, j, n, sums);
        }
    }
    _tile_release();
}

void tn_gemm_bf16_amx(tn_kernels *table) {
    table->gemm_bf16 = gemm_bf16;
    table->bf16_products = true;
}
