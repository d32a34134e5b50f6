/* 8-bit products on AVX2, exact: what quant_avx2.c takes in place of qgemm_tile.h. Operands are packed in groups of four
 * bytes, as those of the levels with VNNI.
 *
 * AVX2 multiplies bytes by pairs, unsigned by signed, and adds each pair in 16 bits, where it saturates: at two signed
 * values of one sign that are more than 128 together, at worst. That is half the instructions of a product of widened
 * values. So a block of a panel is looked through first: of each pair that could saturate, the second value goes to
 * another step of its own, with zeros around it, and zero is left in its place. What the tile then adds is exact, and
 * few steps come on top, since few pairs are that large. The way through 16 bits stays for a single row, which would not
 * pay for the looking, and where the signed side is the left one. */
#include <immintrin.h>
#include <string.h>

enum {
    Q_COLUMNS = 16,
    Q_ROWS = 6,
    Q_GROUP = 4,
    Q_STEP = Q_COLUMNS * Q_GROUP, /* bytes of a panel that a step takes */
    Q_BLOCK = 128,                /* steps that are looked through at a time */
};

/* A block of a panel, none of whose pairs saturates. */
typedef struct {
    __m256i steps[Q_BLOCK][2], more[Q_BLOCK][2];
    size_t more_count;
    uint16_t more_at[Q_BLOCK]; /* the step whose left values `more` is for */
} q_block;

static inline __m256i q_load(const uint8_t *p) {
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
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

static void q_look_through(q_block *block, const uint8_t *b, size_t steps) {
    block->more_count = 0;
    for (size_t g = 0; g < steps; g++, b += Q_STEP) {
        __m256i first = q_load(b), second = q_load(b + Q_STEP / 2);
        __m256i large_1 = q_large(first), large_2 = q_large(second), large = _mm256_or_si256(large_1, large_2);
        if (!_mm256_testz_si256(large, large)) {
            size_t at = block->more_count++;
            block->more[at][0] = _mm256_and_si256(large_1, first);
            block->more[at][1] = _mm256_and_si256(large_2, second);
            block->more_at[at] = (uint16_t)g;
            first = _mm256_andnot_si256(large_1, first);
            second = _mm256_andnot_si256(large_2, second);
        }
        block->steps[g][0] = first;
        block->steps[g][1] = second;
    }
}

static inline __attribute__((always_inline)) void q_step(__m256i acc[Q_ROWS][2], int rows, const uint8_t *a,
                                                         size_t a_stride, const __m256i *b) {
    const __m256i ones = _mm256_set1_epi16(1), first = b[0], second = b[1];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
        __m256i left = q_load_a(a + (size_t)r * a_stride);
        acc[r][0] = _mm256_add_epi32(acc[r][0], _mm256_madd_epi16(_mm256_maddubs_epi16(left, first), ones));
        acc[r][1] = _mm256_add_epi32(acc[r][1], _mm256_madd_epi16(_mm256_maddubs_epi16(left, second), ones));
    }
}

/* `rows` rows of a block; c holds what earlier blocks added. */
static inline __attribute__((always_inline)) void q_tile(int rows, size_t steps, const uint8_t *a, size_t a_stride,
                                                         const q_block *block, int32_t *c, size_t ldc, size_t width,
                                                         bool first) {
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
    for (size_t g = 0; g < steps; g++) q_step(acc, rows, a + g * Q_GROUP, a_stride, block->steps[g]);
    for (size_t i = 0; i < block->more_count; i++)
        q_step(acc, rows, a + (size_t)block->more_at[i] * Q_GROUP, a_stride, block->more[i]);
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++) q_store(to + (size_t)r * to_stride + v * 8, acc[r][v]);
    for (int r = 0; r < rows && to == edge; r++) memcpy(c + (size_t)r * ldc, edge + r * Q_COLUMNS, width * sizeof *c);
}

static void q_panel(size_t m, size_t k, const uint8_t *a, const uint8_t *b, int32_t *c, size_t ldc, size_t width) {
    q_block block;
    for (size_t at = 0; at == 0 || at < k; at += Q_BLOCK * Q_GROUP) {
        const size_t steps = k - at < Q_BLOCK * Q_GROUP ? (k - at) / Q_GROUP : Q_BLOCK;
        const uint8_t *rows = a + at;
        int32_t *to = c;
        q_look_through(&block, b + at * Q_COLUMNS, steps);
        for (size_t i = 0; i < m; i += Q_ROWS, rows += Q_ROWS * k, to += Q_ROWS * ldc) {
            switch (m - i) {
            case 1: q_tile(1, steps, rows, k, &block, to, ldc, width, at == 0); break;
            case 2: q_tile(2, steps, rows, k, &block, to, ldc, width, at == 0); break;
            case 3: q_tile(3, steps, rows, k, &block, to, ldc, width, at == 0); break;
            case 4: q_tile(4, steps, rows, k, &block, to, ldc, width, at == 0); break;
            case 5: q_tile(5, steps, rows, k, &block, to, ldc, width, at == 0); break;
            default: q_tile(Q_ROWS, steps, rows, k, &block, to, ldc, width, at == 0); break;
            }
        }
    }
}

/* The first and the second bytes of pairs, in 16 bits. */
static inline __m256i q_evens(__m256i x, bool is_signed) {
    return is_signed ? _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8) : _mm256_and_si256(x, _mm256_set1_epi16(0xff));
}
static inline __m256i q_odds(__m256i x, bool is_signed) {
    return is_signed ? _mm256_srai_epi16(x, 8) : _mm256_srli_epi16(x, 8);
}

/* `rows` rows by way of 16 bits; evens and odds have sums of their own, or each addition would wait for the one before. */
static inline __attribute__((always_inline)) void q_wide(int rows, bool us, size_t k, const uint8_t *a,
                                                         const uint8_t *b, int32_t *c, size_t ldc, size_t width) {
    __m256i acc[2][2][2];
#pragma GCC unroll 2
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++) acc[r][v][0] = acc[r][v][1] = _mm256_setzero_si256();
    for (size_t at = 0; at < k; at += Q_GROUP, b += Q_STEP) {
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++) {
            const __m256i right = q_load(b + v * Q_STEP / 2), evens = q_evens(right, us), odds = q_odds(right, us);
#pragma GCC unroll 2
            for (int r = 0; r < rows; r++) {
                const __m256i left = q_load_a(a + (size_t)r * k + at);
                acc[r][v][0] = _mm256_add_epi32(acc[r][v][0], _mm256_madd_epi16(q_evens(left, !us), evens));
                acc[r][v][1] = _mm256_add_epi32(acc[r][v][1], _mm256_madd_epi16(q_odds(left, !us), odds));
            }
        }
    }
    for (int r = 0; r < rows; r++) {
        int32_t edge[Q_COLUMNS], *to = width == Q_COLUMNS ? c + (size_t)r * ldc : edge;
        for (int v = 0; v < 2; v++) q_store(to + v * 8, _mm256_add_epi32(acc[r][v][0], acc[r][v][1]));
        if (to == edge) memcpy(c + (size_t)r * ldc, edge, width * sizeof *c);
    }
}

static void qgemm_us(size_t m, size_t n, size_t k, const void *a, const void *b, int32_t *c, size_t ldc) {
    for (size_t j = 0; j < n; j += Q_COLUMNS) {
        const size_t width = n - j < Q_COLUMNS ? n - j : Q_COLUMNS;
        const uint8_t *panel = (const uint8_t *)b + j * k;
        if (m == 1)
            q_wide(1, true, k, a, panel, c + j, ldc, width);
        else
            q_panel(m, k, a, panel, c + j, ldc, width);
    }
}

static void qgemm_su(size_t m, size_t n, size_t k, const void *a, const void *b, int32_t *c, size_t ldc) {
    const uint8_t *left = a;
    for (size_t j = 0; j < n; j += Q_COLUMNS) {
        const size_t width = n - j < Q_COLUMNS ? n - j : Q_COLUMNS;
        const uint8_t *panel = (const uint8_t *)b + j * k;
        size_t i = 0;
        for (; i + 2 <= m; i += 2) q_wide(2, false, k, left + i * k, panel, c + i * ldc + j, ldc, width);
        if (i < m) q_wide(1, false, k, left + i * k, panel, c + i * ldc + j, ldc, width);
    }
}
