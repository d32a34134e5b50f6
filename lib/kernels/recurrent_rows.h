/* The rows of recurrent.inc for one level. Included by recurrent_<level>.c after the level's vec header;
 * TN_LEVEL_OVERLAY is the function's name. */
#include "kernels/kernels.h"
#include "kernels/math.h"

static inline vf load_part(const float *p, size_t n) {
    return n >= VF_WIDTH ? vf_load(p) : vf_load_n(p, n);
}
static inline void store_part(float *p, vf x, size_t n) {
    if (n >= VF_WIDTH)
        vf_store(p, x);
    else
        vf_store_n(p, x, n);
}

/* sigmoid(a) tanh(b), as one division. */
static inline vf gated(vf a, vf b) {
    vf z = vf_exp_low(vf_neg(vf_abs(a))), e = vf_abs(b);
    e = vf_expm1(vf_min(vf_set(20), vf_add(e, e)));
    vf above = vf_mul(vf_select(vf_lt(a, vf_set(0)), z, vf_set(1)), vf_copysign(e, b));
    return vf_div(above, vf_mul(vf_add(z, vf_set(1)), vf_add(e, vf_set(2))));
}

static inline void lstm_units(vf input, vf output, vf forget, vf cell, float *c, float *h, size_t left) {
    cell = vf_add(vf_mul(vf_sigmoid(forget), load_part(c, left)), gated(input, cell));
    store_part(c, cell, left);
    store_part(h, gated(output, cell), left);
}

static void lstm_cell_f32(size_t n, const float *gates, float *c, float *h) {
    for (size_t i = 0; i < n; i += VF_WIDTH) {
        size_t left = n - i;
        lstm_units(load_part(gates + i, left), load_part(gates + n + i, left), load_part(gates + 2 * n + i, left),
                   load_part(gates + 3 * n + i, left), c + i, h + i, left);
    }
}

static void blend_f32(size_t n, float *y, const float *z, const float *a, const float *b) {
    for (size_t i = 0; i < n; i += VF_WIDTH) {
        size_t left = n - i;
        vf gate = load_part(z + i, left), from = load_part(a + i, left), to = load_part(b + i, left);
        store_part(y + i, vf_add(vf_mul(vf_sub(vf_set(1), gate), from), vf_mul(gate, to)), left);
    }
}

#define ALWAYS_INLINE static inline __attribute__((always_inline))
/* Scalar code is better off with two roundings than with a fused multiplication that the machine may lack. */
#if VF_WIDTH == 1
#define MULTIPLY_ADD(a, b, c) vf_add(vf_mul(a, b), c)
#else
#define MULTIPLY_ADD(a, b, c) vf_fma(a, b, c)
#endif
/* Rows that share a block's weights, as far as registers go. */
#if VF_WIDTH == 16 || VF_WIDTH == 4
#define STEP_ROWS 6
#else
#define STEP_ROWS 3
#endif

/* What the gates of `blocks` blocks from `unit` on and of `rows` rows start from: [rows, blocks, gates], vectors. */
static __attribute__((noinline)) void step_start(const tn_recurrent_step *s, size_t unit, size_t gates, size_t blocks,
                                                 size_t row, size_t rows, float *sums) {
    for (size_t end = row + rows; row < end; row++)
        for (size_t b = 0; b < blocks; b++)
            for (size_t g = 0; g < gates; g++, sums += VF_WIDTH) {
                size_t at = unit + b * VF_WIDTH;
                const float *from = s->x + row * s->x_stride + g * s->hidden + at;
                if (gates == 3 && g == 2) from = s->bias ? s->bias + at : NULL;
                vf_store(sums, from ? load_part(from, s->hidden - at) : vf_set(0));
            }
}

/* The new state of `blocks` blocks from `unit` on and of `rows` rows, whose gates' sums are there. */
static __attribute__((noinline)) void lstm_finish(const tn_recurrent_step *s, size_t unit, size_t blocks, size_t row,
                                                  size_t rows, const float *sums) {
    for (size_t end = row + rows; row < end; row++)
        for (size_t b = 0; b < blocks; b++, sums += 4 * VF_WIDTH) {
            size_t at = unit + b * VF_WIDTH;
            lstm_units(vf_load(sums), vf_load(sums + VF_WIDTH), vf_load(sums + 2 * VF_WIDTH),
                       vf_load(sums + 3 * VF_WIDTH), s->c + row * s->hidden + at, s->y + row * s->y_stride + at,
                       s->hidden - at);
        }
}

static __attribute__((noinline)) void gru_finish(const tn_recurrent_step *s, size_t unit, size_t blocks, size_t row,
                                                 size_t rows, const float *sums) {
    for (size_t end = row + rows; row < end; row++)
        for (size_t b = 0; b < blocks; b++, sums += 3 * VF_WIDTH) {
            size_t at = unit + b * VF_WIDTH, left = s->hidden - at;
            vf update = vf_sigmoid(vf_load(sums)), reset = vf_sigmoid(vf_load(sums + VF_WIDTH));
            vf input = load_part(s->x + row * s->x_stride + 2 * s->hidden + at, left);
            vf hidden = vf_tanh(vf_add(vf_mul(vf_load(sums + 2 * VF_WIDTH), reset), input));
            vf old = load_part(s->h + row * s->h_stride + at, left);
            store_part(s->y + row * s->y_stride + at,
                       vf_add(vf_mul(vf_sub(vf_set(1), update), hidden), vf_mul(update, old)), left);
        }
}

/* Sums of the gates of `blocks` blocks for `rows` rows from `row` on. */
ALWAYS_INLINE void step_tile(const tn_recurrent_step *s, size_t block, size_t row, float *sums, int gates, int rows,
                             int blocks) {
    enum { MOST = 4 * STEP_ROWS };
    const size_t n = s->hidden, block_size = n * (size_t)gates * VF_WIDTH, unit = block * VF_WIDTH;
    const int each = gates * blocks;
    const float *w = s->weights + block * block_size, *h = s->h + row * s->h_stride;
    vf acc[MOST];
    step_start(s, unit, (size_t)gates, (size_t)blocks, row, (size_t)rows, sums);
#pragma GCC unroll 24
    for (int i = 0; i < rows * each; i++) acc[i] = vf_load(sums + i * VF_WIDTH);
    for (size_t k = 0; k < n; k++, w += gates * VF_WIDTH) {
        vf state[STEP_ROWS];
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) state[r] = vf_set(h[(size_t)r * s->h_stride + k]);
#pragma GCC unroll 8
        for (int i = 0; i < each; i++) {
            vf x = vf_load(w + (size_t)(i / gates) * block_size + (size_t)(i % gates) * VF_WIDTH);
#pragma GCC unroll 6
            for (int r = 0; r < rows; r++) acc[r * each + i] = MULTIPLY_ADD(state[r], x, acc[r * each + i]);
        }
    }
#pragma GCC unroll 24
    for (int i = 0; i < rows * each; i++) vf_store(sums + i * VF_WIDTH, acc[i]);
}

#define TILE(gates, rows, blocks)                                                                                      \
    static void step_##gates##_##rows##x##blocks(const tn_recurrent_step *s, size_t block, size_t row, float *sums) {  \
        step_tile(s, block, row, sums, gates, rows, blocks);                                                           \
    }
#if STEP_ROWS == 6
#define TILES(gates)                                                                                                   \
    TILE(gates, 1, 2)                                                                                                  \
    TILE(gates, 1, 1)                                                                                                  \
    TILE(gates, 2, 1)                                                                                                  \
    TILE(gates, 3, 1)                                                                                                  \
    TILE(gates, 4, 1)                                                                                                  \
    TILE(gates, 5, 1)                                                                                                  \
    TILE(gates, 6, 1)
#define NAMES(gates)                                                                                                   \
    {                                                                                                                  \
        step_##gates##_1x1, step_##gates##_1x1, step_##gates##_2x1, step_##gates##_3x1, step_##gates##_4x1,            \
            step_##gates##_5x1, step_##gates##_6x1                                                                     \
    }
#else
#define TILES(gates) TILE(gates, 1, 2) TILE(gates, 1, 1) TILE(gates, 2, 1) TILE(gates, 3, 1)
#define NAMES(gates)                                                                                                   \
    { step_##gates##_1x1, step_##gates##_1x1, step_##gates##_2x1, step_##gates##_3x1 }
#endif
/* Tables are by the number of rows. */
TILES(3)
TILES(4)
typedef void (*const step_table[STEP_ROWS + 1])(const tn_recurrent_step *s, size_t block, size_t row, float *sums);
static step_table gru_tiles = NAMES(3);
static step_table lstm_tiles = NAMES(4);

/* One row: a vector's latency is hidden by several gates, of two blocks where vectors are narrow. What follows the sums is
 * a long chain, so that of several blocks is done side by side. */
#define TOGETHER 4
#define WIDE (VF_WIDTH < 16 ? 2 : 1)
ALWAYS_INLINE void step_row(const tn_recurrent_step *s, size_t gates) {
    float sums[4 * TOGETHER * VF_WIDTH];
    size_t groups = (s->last - s->first + TOGETHER - 1) / TOGETHER;
    for (size_t g = 0; g < groups; g++) {
        size_t first = s->first + (s->backwards ? groups - 1 - g : g) * TOGETHER;
        size_t left = s->last - first, blocks = left < TOGETHER ? left : TOGETHER, pairs = (blocks + WIDE - 1) / WIDE;
        for (size_t i = 0; i < pairs; i++) {
            size_t at = (s->backwards ? pairs - 1 - i : i) * WIDE;
            float *to = sums + at * gates * VF_WIDTH;
            if (WIDE == 2 && at + 1 < blocks)
                (gates == 4 ? step_4_1x2 : step_3_1x2)(s, first + at, 0, to);
            else
                (gates == 4 ? step_4_1x1 : step_3_1x1)(s, first + at, 0, to);
        }
        (gates == 4 ? lstm_finish : gru_finish)(s, first * VF_WIDTH, blocks, 0, 1, sums);
    }
}

/* Several rows take turns at one block, whose weights stay in the nearest cache; what follows the sums is done for more of
 * them side by side. */
#define BAND 12
ALWAYS_INLINE void step_rows(const tn_recurrent_step *s, size_t gates) {
    float sums[4 * BAND * VF_WIDTH];
    size_t count = s->last - s->first, each = (s->rows - 1) / ((s->rows - 1) / STEP_ROWS + 1) + 1;
    const size_t band = BAND / each * each;
    for (size_t i = 0; i < count; i++) {
        size_t block = s->backwards ? s->last - 1 - i : s->first + i;
        for (size_t row = 0; row < s->rows; row += band) {
            const size_t rows = s->rows - row < band ? s->rows - row : band;
            for (size_t at = 0; at < rows; at += each)
                (gates == 4 ? lstm_tiles : gru_tiles)[rows - at < each ? rows - at : each](
                    s, block, row + at, sums + at * gates * VF_WIDTH);
            (gates == 4 ? lstm_finish : gru_finish)(s, block * VF_WIDTH, 1, row, rows, sums);
        }
    }
}

static void lstm_step_f32(const tn_recurrent_step *s) {
    if (s->rows == 1)
        step_row(s, 4);
    else
        step_rows(s, 4);
}
static void gru_step_f32(const tn_recurrent_step *s) {
    if (s->rows == 1)
        step_row(s, 3);
    else
        step_rows(s, 3);
}

void TN_LEVEL_OVERLAY(tn_kernels *table) {
#undef TN_KERNEL
#define TN_KERNEL(name, parameters) table->name = name;
#include "kernels/recurrent.inc"
#undef TN_KERNEL
}
