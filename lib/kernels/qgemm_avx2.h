/* 8-bit products on AVX2, exact: what quant_avx2.c takes in place of qgemm_tile.h. Operands are packed in groups of
 * four bytes, as those of the levels with VNNI.
 *
 * AVX2 multiplies bytes by pairs, unsigned by signed, and adds each pair in 16 bits, where it saturates: at two signed
 * values of one sign that are more than 128 together, at worst. That is half the instructions of a product of widened
 * values. So a block of the signed side is looked through first: of each pair that could saturate, the second value
 * goes to another step of its own, with zeros around it, and zero is left in its place. What the tile then adds is
 * exact, and few steps come on top, since few pairs are that large. Most panels of trained weights have none at all; those
 * that are known to be so (tn_qgemm_tame) are taken as they are.
 *
 * A single row would not pay for the looking. It is taken as 2 * (a >> 1) + (a & 1): pairs of neither saturate, and the
 * second sums stay in 16 bits for many steps. */
#include <immintrin.h>
#include <string.h>

enum {
    Q_COLUMNS = 16,
    Q_ROWS = 6,
    Q_GROUP = 4,
    Q_STEP = Q_COLUMNS * Q_GROUP, /* bytes of a panel that a step takes */
    Q_BLOCK = 128,                /* steps that are looked through at a time */
};

/* A block of a panel or of rows on the left, none of whose pairs saturates, and what was taken from it. */
typedef struct {
    union {
        uint8_t steps[Q_BLOCK * Q_STEP];         /* of a panel */
        uint8_t rows[Q_ROWS][Q_BLOCK * Q_GROUP]; /* on the left */
    };
    uint8_t more[Q_BLOCK * Q_STEP]; /* a step's part of a panel, or Q_GROUP bytes of each row */
    size_t more_count;
    uint16_t more_at[Q_BLOCK]; /* the steps that `more` belongs to */
} q_block;

static inline __m256i q_load(const uint8_t *p) {
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}
static inline void q_put(uint8_t *p, __m256i bytes) {
    _mm256_storeu_si256((__m256i *)(void *)p, bytes);
}
static inline __m256i q_load_sums(const int32_t *p) {
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}
static inline void q_store(int32_t *p, __m256i acc) {
    _mm256_storeu_si256((__m256i *)(void *)p, acc);
}
static inline __m256i q_load_a(const uint8_t *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm256_set1_epi32(four);
}

/* All bits of the second bytes of pairs that could saturate. */
static inline __m256i q_large(__m256i b) {
    const __m256i zero = _mm256_setzero_si256(), ones = _mm256_set1_epi8(1), most = _mm256_set1_epi16(128);
    __m256i above = _mm256_maddubs_epi16(ones, _mm256_max_epi8(b, zero));
    __m256i below = _mm256_maddubs_epi16(ones, _mm256_min_epi8(b, zero));
    __m256i large =
        _mm256_or_si256(_mm256_cmpgt_epi16(above, most), _mm256_cmpgt_epi16(_mm256_sub_epi16(zero, most), below));
    return _mm256_slli_epi16(large, 8);
}

static void q_look_through_panel(q_block *block, const uint8_t *b, size_t steps) {
    block->more_count = 0;
    for (size_t g = 0; g < steps; g++, b += Q_STEP) {
        __m256i first = q_load(b), second = q_load(b + Q_STEP / 2);
        __m256i large_1 = q_large(first), large_2 = q_large(second), large = _mm256_or_si256(large_1, large_2);
        if (!_mm256_testz_si256(large, large)) {
            uint8_t *more = block->more + block->more_count * Q_STEP;
            q_put(more, _mm256_and_si256(large_1, first));
            q_put(more + Q_STEP / 2, _mm256_and_si256(large_2, second));
            block->more_at[block->more_count++] = (uint16_t)g;
            first = _mm256_andnot_si256(large_1, first);
            second = _mm256_andnot_si256(large_2, second);
        }
        q_put(block->steps + g * Q_STEP, first);
        q_put(block->steps + g * Q_STEP + Q_STEP / 2, second);
    }
}

/* Rows that are not there are zeros. */
static void q_look_through_rows(q_block *block, const uint8_t *a, size_t a_stride, size_t rows, size_t steps) {
    uint8_t taken[Q_ROWS][Q_BLOCK * Q_GROUP];
    __m256i any[Q_BLOCK * Q_GROUP / 32];
    memset(any, 0, sizeof any);
    for (size_t r = 0; r < Q_ROWS; r++) {
        memset(block->rows[r], 0, sizeof block->rows[r]);
        if (r < rows) memcpy(block->rows[r], a + r * a_stride, steps * Q_GROUP);
        for (size_t i = 0; i * 32 < steps * Q_GROUP; i++) {
            __m256i values = q_load(block->rows[r] + i * 32), large = q_large(values);
            q_put(block->rows[r] + i * 32, _mm256_andnot_si256(large, values));
            q_put(taken[r] + i * 32, _mm256_and_si256(large, values));
            any[i] = _mm256_or_si256(any[i], large);
        }
    }
    block->more_count = 0;
    for (size_t i = 0; i * 32 < steps * Q_GROUP; i++) {
        const __m256i none = _mm256_cmpeq_epi32(any[i], _mm256_setzero_si256());
        for (int found = ~_mm256_movemask_ps(_mm256_castsi256_ps(none)) & 0xff; found; found &= found - 1) {
            const size_t g = i * 8 + (size_t)__builtin_ctz((unsigned)found);
            for (size_t r = 0; r < Q_ROWS; r++)
                memcpy(block->more + (block->more_count * Q_ROWS + r) * Q_GROUP, taken[r] + g * Q_GROUP, Q_GROUP);
            block->more_at[block->more_count++] = (uint16_t)g;
        }
    }
}

static inline __attribute__((always_inline)) void q_step(__m256i acc[Q_ROWS][2], int rows, bool us, const uint8_t *a,
                                                         size_t a_stride, const uint8_t *b) {
    const __m256i ones = _mm256_set1_epi16(1);
    const __m256i right[2] = {q_load(b), q_load(b + Q_STEP / 2)};
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
        __m256i left = q_load_a(a + (size_t)r * a_stride);
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++) {
            __m256i pairs = us ? _mm256_maddubs_epi16(left, right[v]) : _mm256_maddubs_epi16(right[v], left);
            acc[r][v] = _mm256_add_epi32(acc[r][v], _mm256_madd_epi16(pairs, ones));
        }
    }
}

/* `rows` rows of a block; c holds what earlier blocks added. us: the block is of the panel, else of the left side. */
static inline __attribute__((always_inline)) void q_tile(int rows, bool us, size_t steps, const uint8_t *a,
                                                         size_t a_stride, const uint8_t *b, const q_block *block,
                                                         int32_t *c, size_t ldc, size_t width, bool first) {
    __m256i acc[Q_ROWS][2];
    int32_t edge[Q_ROWS * Q_COLUMNS], *to = c;
    size_t to_stride = ldc;
    if (width < Q_COLUMNS) {
        to = edge;
        to_stride = Q_COLUMNS;
        for (int r = 0; r < rows && !first; r++) memcpy(edge + r * Q_COLUMNS, c + (size_t)r * ldc, width * sizeof *c);
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++)
            acc[r][v] = first ? _mm256_setzero_si256() : q_load_sums(to + (size_t)r * to_stride + v * 8);
    for (size_t g = 0; g < steps; g++) q_step(acc, rows, us, a + g * Q_GROUP, a_stride, b + g * Q_STEP);
    for (size_t i = 0; i < block->more_count; i++) {
        const size_t g = block->more_at[i];
        if (us)
            q_step(acc, rows, us, a + g * Q_GROUP, a_stride, block->more + i * Q_STEP);
        else
            q_step(acc, rows, us, block->more + i * Q_ROWS * Q_GROUP, Q_GROUP, b + g * Q_STEP);
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++) q_store(to + (size_t)r * to_stride + v * 8, acc[r][v]);
    for (int r = 0; r < rows && to == edge; r++) memcpy(c + (size_t)r * ldc, edge + r * Q_COLUMNS, width * sizeof *c);
}

static inline __attribute__((always_inline)) void q_tiles(size_t rows, bool us, size_t steps, const uint8_t *a,
                                                          size_t a_stride, const uint8_t *b, const q_block *block,
                                                          int32_t *c, size_t ldc, size_t width, bool first) {
    switch (rows) {
    case 1: q_tile(1, us, steps, a, a_stride, b, block, c, ldc, width, first); break;
    case 2: q_tile(2, us, steps, a, a_stride, b, block, c, ldc, width, first); break;
    case 3: q_tile(3, us, steps, a, a_stride, b, block, c, ldc, width, first); break;
    case 4: q_tile(4, us, steps, a, a_stride, b, block, c, ldc, width, first); break;
    case 5: q_tile(5, us, steps, a, a_stride, b, block, c, ldc, width, first); break;
    default: q_tile(Q_ROWS, us, steps, a, a_stride, b, block, c, ldc, width, first); break;
    }
}

static inline size_t q_least(size_t a, size_t b) {
    return a < b ? a : b;
}

enum { Q_ROW_BYTES = 127 * Q_GROUP }; /* of a row, whose sums of lowest bits 16 bits hold */

/* A row times a panel: `halves` and `bits` are what it is made of. */
static void q_row_panel(size_t k, const uint8_t *halves, const uint8_t *bits, const uint8_t *b, int32_t *c,
                        size_t width, bool first) {
    const __m256i ones = _mm256_set1_epi16(1), twos = _mm256_set1_epi16(2);
    __m256i sums[2], low[2];
    int32_t edge[Q_COLUMNS], *to = width == Q_COLUMNS ? c : edge;
    if (to == edge && !first) memcpy(edge, c, width * sizeof *c);
#pragma GCC unroll 2
    for (int v = 0; v < 2; v++) {
        sums[v] = first ? _mm256_setzero_si256() : q_load_sums(to + v * 8);
        low[v] = _mm256_setzero_si256();
    }
    for (size_t at = 0; at < k; at += Q_GROUP, b += Q_STEP) {
        const __m256i half = q_load_a(halves + at), bit = q_load_a(bits + at);
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++) {
            const __m256i right = q_load(b + v * Q_STEP / 2);
            sums[v] = _mm256_add_epi32(sums[v], _mm256_madd_epi16(_mm256_maddubs_epi16(half, right), twos));
            low[v] = _mm256_add_epi16(low[v], _mm256_maddubs_epi16(bit, right));
        }
    }
    for (int v = 0; v < 2; v++) q_store(to + v * 8, _mm256_add_epi32(sums[v], _mm256_madd_epi16(low[v], ones)));
    if (to == edge) memcpy(c, edge, width * sizeof *c);
}

/* A row times a panel none of whose pairs saturates. */
static void q_row_tame_panel(size_t k, const uint8_t *a, const uint8_t *b, int32_t *c, size_t width, bool first) {
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i sums[2];
    int32_t edge[Q_COLUMNS], *to = width == Q_COLUMNS ? c : edge;
    if (to == edge && !first) memcpy(edge, c, width * sizeof *c);
#pragma GCC unroll 2
    for (int v = 0; v < 2; v++) sums[v] = first ? _mm256_setzero_si256() : q_load_sums(to + v * 8);
#pragma GCC unroll 4
    for (size_t at = 0; at < k; at += Q_GROUP, b += Q_STEP) {
        const __m256i left = q_load_a(a + at);
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++)
            sums[v] = _mm256_add_epi32(sums[v],
                                       _mm256_madd_epi16(_mm256_maddubs_epi16(left, q_load(b + v * Q_STEP / 2)), ones));
    }
#pragma GCC unroll 2
    for (int v = 0; v < 2; v++) q_store(to + v * 8, sums[v]);
    if (to == edge) memcpy(c, edge, width * sizeof *c);
}

static void q_row(size_t n, size_t k, const uint8_t *a, const uint8_t *b, const uint8_t *tame, int32_t *c) {
    for (size_t at = 0; at == 0 || at < k; at += Q_ROW_BYTES) {
        uint8_t halves[Q_ROW_BYTES + Q_GROUP] = {0}, bits[sizeof halves];
        const size_t count = q_least(k - at, Q_ROW_BYTES);
        memcpy(halves, a + at, count);
        for (size_t i = 0; i < sizeof halves; i++) {
            bits[i] = halves[i] & 1;
            halves[i] >>= 1;
        }
        for (size_t j = 0; j < n; j += Q_COLUMNS) {
            const uint8_t *panel = b + j * k + at * Q_COLUMNS;
            if (tame && tame[j / Q_COLUMNS])
                q_row_tame_panel(count, a + at, panel, c + j, q_least(n - j, Q_COLUMNS), at == 0);
            else
                q_row_panel(count, halves, bits, panel, c + j, q_least(n - j, Q_COLUMNS), at == 0);
        }
    }
}

static void qgemm_us(size_t m, size_t n, size_t k, const void *a, const void *b, const uint8_t *tame, int32_t *c,
                     size_t ldc) {
    q_block block;
    if (m == 1) {
        q_row(n, k, a, b, tame, c);
        return;
    }
    for (size_t j = 0; j < n; j += Q_COLUMNS)
        for (size_t at = 0; at == 0 || at < k; at += Q_BLOCK * Q_GROUP) {
            const size_t steps = q_least((k - at) / Q_GROUP, Q_BLOCK);
            const uint8_t *panel = (const uint8_t *)b + j * k + at * Q_COLUMNS;
            block.more_count = 0;
            if (!tame || !tame[j / Q_COLUMNS]) {
                q_look_through_panel(&block, panel, steps);
                panel = block.steps;
            }
            for (size_t i = 0; i < m; i += Q_ROWS)
                q_tiles(m - i, true, steps, (const uint8_t *)a + i * k + at, k, panel, &block, c + i * ldc + j, ldc,
                        q_least(n - j, Q_COLUMNS), at == 0);
        }
}

static void qgemm_su(size_t m, size_t n, size_t k, const void *a, const void *b, int32_t *c, size_t ldc) {
    q_block block;
    for (size_t i = 0; i < m; i += Q_ROWS)
        for (size_t at = 0; at == 0 || at < k; at += Q_BLOCK * Q_GROUP) {
            const size_t steps = q_least((k - at) / Q_GROUP, Q_BLOCK);
            q_look_through_rows(&block, (const uint8_t *)a + i * k + at, k, q_least(m - i, Q_ROWS), steps);
            for (size_t j = 0; j < n; j += Q_COLUMNS)
                q_tiles(m - i, false, steps, block.rows[0], sizeof block.rows[0],
                        (const uint8_t *)b + j * k + at * Q_COLUMNS, &block, c + i * ldc + j, ldc,
                        q_least(n - j, Q_COLUMNS), at == 0);
        }
}
