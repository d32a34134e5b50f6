/* 8-bit products on AVX2, exact: what quant_avx2.c takes in place of qgemm_tile.h. Operands are packed in groups of
 * four bytes, as those of the levels with VNNI.
 *
 * AVX2 multiplies bytes by pairs, unsigned by signed, and adds each pair in 16 bits, where it saturates: at two signed
 * values of one sign that are more than 128 together, at worst. That is half the instructions of a product of widened
 * values; and where four values are at most 128 together, two steps of k are added before they are widened, which
 * leaves three multiplications of four.
 *
 * - On the right, where weights are, packing (tn_qgemm_order) puts twos of steps first that can be added so, nearly all
 *   in trained networks, and says of the others which are wild: which have pairs that saturate. A wild step is taken as
 *   two, with zeros in the place of either value of each pair.
 * - On the left rows are looked through as they come: of each pair that could saturate, the second value goes to another
 *   step of its own, with zeros around it, and zero is left in its place. Few steps come on top, since few pairs are that
 *   large. */
#include <immintrin.h>
#include <string.h>

enum {
    Q_COLUMNS = 16,
    Q_ROWS = 4,
    Q_GROUP = 4,
    Q_STEP = Q_COLUMNS * Q_GROUP, /* bytes of a panel that a step takes */
    Q_BLOCK = 128,                /* steps at a time: what they take of a panel stays in the nearest cache */
};

/* A block of rows on the left, none of whose pairs saturates, and what was taken from it. */
typedef struct {
    uint8_t rows[Q_ROWS][Q_BLOCK * Q_GROUP];
    uint8_t more[Q_BLOCK * Q_ROWS * Q_GROUP]; /* Q_GROUP bytes of each row */
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

#define Q_INLINE static inline __attribute__((always_inline))

/* A step of rows times `right`, whose pairs do not saturate. us: the left side is the unsigned one. */
Q_INLINE void q_step(__m256i acc[Q_ROWS][2], int rows, bool us, const uint8_t *a, size_t a_stride,
                     const __m256i right[2]) {
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
        __m256i left = q_load_a(a + (size_t)r * a_stride);
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++) {
            __m256i pairs = us ? _mm256_maddubs_epi16(left, right[v]) : _mm256_maddubs_epi16(right[v], left);
            acc[r][v] = _mm256_add_epi32(acc[r][v], _mm256_madd_epi16(pairs, ones));
        }
    }
}

Q_INLINE void q_any_step(__m256i acc[Q_ROWS][2], int rows, const uint8_t *a, size_t a_stride, const uint8_t *b,
                         bool wild) {
    const __m256i right[2] = {q_load(b), q_load(b + Q_STEP / 2)}, first = _mm256_set1_epi16(0xff);
    if (wild) {
        const __m256i firsts[2] = {_mm256_and_si256(right[0], first), _mm256_and_si256(right[1], first)};
        const __m256i seconds[2] = {_mm256_andnot_si256(first, right[0]), _mm256_andnot_si256(first, right[1])};
        q_step(acc, rows, true, a, a_stride, firsts);
        q_step(acc, rows, true, a, a_stride, seconds);
    } else
        q_step(acc, rows, true, a, a_stride, right);
}

/* Two steps that can be added in 16 bits. */
Q_INLINE void q_two_steps(__m256i acc[Q_ROWS][2], int rows, const uint8_t *a_1, const uint8_t *a_2, size_t a_stride,
                          const uint8_t *b) {
    const __m256i ones = _mm256_set1_epi16(1);
    const __m256i right[2] = {q_load(b), q_load(b + Q_STEP / 2)};
    const __m256i next[2] = {q_load(b + Q_STEP), q_load(b + Q_STEP + Q_STEP / 2)};
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
        const __m256i left = q_load_a(a_1 + (size_t)r * a_stride), second = q_load_a(a_2 + (size_t)r * a_stride);
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++) {
            const __m256i pairs =
                _mm256_add_epi16(_mm256_maddubs_epi16(left, right[v]), _mm256_maddubs_epi16(second, next[v]));
            acc[r][v] = _mm256_add_epi32(acc[r][v], _mm256_madd_epi16(pairs, ones));
        }
    }
}

/* Sums of a tile: what earlier blocks added, or zeros. */
Q_INLINE void q_begin(__m256i acc[Q_ROWS][2], int rows, const int32_t *c, size_t ldc, size_t width, bool first) {
    int32_t edge[Q_ROWS * Q_COLUMNS];
    if (width < Q_COLUMNS && !first) {
        for (int r = 0; r < rows; r++) memcpy(edge + r * Q_COLUMNS, c + (size_t)r * ldc, width * sizeof *c);
        c = edge;
        ldc = Q_COLUMNS;
    }
#pragma GCC unroll 4
    for (int r = 0; r < Q_ROWS; r++)
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++)
            acc[r][v] = first || r >= rows ? _mm256_setzero_si256() : q_load_sums(c + (size_t)r * ldc + v * 8);
}
Q_INLINE void q_end(__m256i acc[Q_ROWS][2], int rows, int32_t *c, size_t ldc, size_t width) {
    int32_t edge[Q_ROWS * Q_COLUMNS], *to = width < Q_COLUMNS ? edge : c;
    const size_t stride = width < Q_COLUMNS ? Q_COLUMNS : ldc;
#pragma GCC unroll 4
    for (int r = 0; r < Q_ROWS; r++)
#pragma GCC unroll 2
        for (int v = 0; v < 2 && r < rows; v++) q_store(to + (size_t)r * stride + v * 8, acc[r][v]);
    for (int r = 0; r < rows && to == edge; r++) memcpy(c + (size_t)r * ldc, edge + r * Q_COLUMNS, width * sizeof *c);
}

/* The twos of a block that can be added: `order` says where each begins on the left. */
Q_INLINE void q_tile_added(int rows, size_t twos, const uint32_t *order, const uint8_t *a, size_t a_stride,
                           const uint8_t *b, int32_t *c, size_t ldc, size_t width, bool first) {
    __m256i acc[Q_ROWS][2];
    q_begin(acc, rows, c, ldc, width, first);
    for (size_t i = 0; i < twos; i++, order += 2, b += 2 * (size_t)Q_STEP)
        q_two_steps(acc, rows, a + order[0], a + order[1], a_stride, b);
    q_end(acc, rows, c, ldc, width);
}

Q_INLINE void q_tile_others(int rows, size_t steps, const uint32_t *order, const uint8_t *a, size_t a_stride,
                            const uint8_t *b, int32_t *c, size_t ldc, size_t width) {
    __m256i acc[Q_ROWS][2];
    q_begin(acc, rows, c, ldc, width, false);
    for (size_t i = 0; i < steps; i++, b += Q_STEP) {
        const bool wild = order[i] & 1;
        q_any_step(acc, rows, a + order[i] - wild, a_stride, b, wild);
    }
    q_end(acc, rows, c, ldc, width);
}

/* Rows that are not there are zeros of the block. */
Q_INLINE void q_tile_su(int rows, size_t steps, const q_block *block, const uint8_t *b, int32_t *c, size_t ldc,
                        size_t width, bool first) {
    __m256i acc[Q_ROWS][2];
    q_begin(acc, rows, c, ldc, width, first);
    for (size_t g = 0; g < steps; g++) {
        const __m256i right[2] = {q_load(b + g * Q_STEP), q_load(b + g * Q_STEP + Q_STEP / 2)};
        q_step(acc, Q_ROWS, false, block->rows[0] + g * Q_GROUP, sizeof block->rows[0], right);
    }
    for (size_t i = 0; i < block->more_count; i++) {
        const uint8_t *at = b + block->more_at[i] * (size_t)Q_STEP;
        const __m256i right[2] = {q_load(at), q_load(at + Q_STEP / 2)};
        q_step(acc, Q_ROWS, false, block->more + i * Q_ROWS * Q_GROUP, Q_GROUP, right);
    }
    q_end(acc, rows, c, ldc, width);
}

static inline size_t q_least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* tile(rows, ...) for all rows, `left` and `sums` being those of a tile. */
#define Q_EACH_TILE(m, k, left, sums, ldc, tile, ...)                                                                  \
    for (size_t i = 0; i < (m); i += Q_ROWS, (left) += Q_ROWS * (k), (sums) += Q_ROWS * (ldc)) {                       \
        switch ((m)-i) {                                                                                               \
        case 1: tile(1, __VA_ARGS__); break;                                                                           \
        case 2: tile(2, __VA_ARGS__); break;                                                                           \
        case 3: tile(3, __VA_ARGS__); break;                                                                           \
        default: tile(Q_ROWS, __VA_ARGS__); break;                                                                     \
        }                                                                                                              \
    }

static void q_added(size_t m, size_t k, size_t twos, const uint32_t *order, const uint8_t *a, const uint8_t *b,
                    int32_t *c, size_t ldc, size_t width, bool first) {
    Q_EACH_TILE(m, k, a, c, ldc, q_tile_added, twos, order, a, k, b, c, ldc, width, first)
}

static void q_others(size_t m, size_t k, size_t steps, const uint32_t *order, const uint8_t *a, const uint8_t *b,
                     int32_t *c, size_t ldc, size_t width) {
    Q_EACH_TILE(m, k, a, c, ldc, q_tile_others, steps, order, a, k, b, c, ldc, width)
}

static void qgemm_us(size_t m, size_t n, size_t k, const void *a, const void *b, const uint32_t *order, int32_t *c,
                     size_t ldc, const void *next, size_t next_bytes) {
    (void)next, (void)next_bytes;
    const size_t steps = k / Q_GROUP;
    for (size_t j = 0; j < n; j += Q_COLUMNS, order += 1 + steps) {
        const uint8_t *panel = (const uint8_t *)b + j * k;
        const size_t added = 2 * (size_t)order[0], width = q_least(n - j, Q_COLUMNS);
        for (size_t at = 0; at == 0 || at < added; at += Q_BLOCK)
            q_added(m, k, q_least(added - at, Q_BLOCK) / 2, order + 1 + at, a, panel + at * Q_STEP, c + j, ldc, width,
                    at == 0);
        if (added < steps)
            q_others(m, k, steps - added, order + 1 + added, a, panel + added * Q_STEP, c + j, ldc, width);
    }
}

static void qgemm_su(size_t m, size_t n, size_t k, const void *a, const void *b, int32_t *c, size_t ldc) {
    q_block block;
    for (size_t i = 0; i < m; i += Q_ROWS)
        for (size_t at = 0; at == 0 || at < k; at += Q_BLOCK * Q_GROUP) {
            const size_t steps = q_least((k - at) / Q_GROUP, Q_BLOCK);
            q_look_through_rows(&block, (const uint8_t *)a + i * k + at, k, q_least(m - i, Q_ROWS), steps);
            for (size_t j = 0; j < n; j += Q_COLUMNS)
                q_tile_su((int)q_least(m - i, Q_ROWS), steps, &block, (const uint8_t *)b + j * k + at * Q_COLUMNS,
                          c + i * ldc + j, ldc, q_least(n - j, Q_COLUMNS), at == 0);
        }
}
