/* Products of bfloat16 on AVX512_BF16: a pair of k for 16 columns in one instruction; and its conversions, for packing.
 * A tile is as that of bytes on VNNI: eight rows, two vectors. */
#include "kernels/vec_avx512.h"
#include "kernels/gemm_bf16_rows.h"

enum { ROWS = 8, PAIR = 2 * TN_BF16_COLUMNS };

static inline __attribute__((always_inline)) void tile(size_t rows, size_t pairs, const uint16_t *a, size_t a_stride,
                                                       const uint16_t *b, float *sums) {
    __m512 acc[ROWS][2];
    for (size_t r = 0; r < rows; r++) acc[r][0] = acc[r][1] = _mm512_setzero_ps();
    for (size_t p = 0; p < pairs; p++, a += 2, b += PAIR) {
        const __m512bh left = (__m512bh)_mm512_loadu_si512(b), right = (__m512bh)_mm512_loadu_si512(b + PAIR / 2);
        for (size_t r = 0; r < rows; r++) {
            int32_t both;
            memcpy(&both, a + r * a_stride, sizeof both);
            const __m512bh x = (__m512bh)_mm512_set1_epi32(both);
            acc[r][0] = _mm512_dpbf16_ps(acc[r][0], x, left);
            acc[r][1] = _mm512_dpbf16_ps(acc[r][1], x, right);
        }
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < 2; v++) vf_store(sums + r * TN_BF16_COLUMNS + v * VF_WIDTH, acc[r][v]);
}

static void any_tile(size_t rows, size_t pairs, const uint16_t *a, size_t a_stride, const uint16_t *b, float *sums) {
    switch (rows) {
    case 1: tile(1, pairs, a, a_stride, b, sums); break;
    case 2: tile(2, pairs, a, a_stride, b, sums); break;
    case 3: tile(3, pairs, a, a_stride, b, sums); break;
    case 4: tile(4, pairs, a, a_stride, b, sums); break;
    case 5: tile(5, pairs, a, a_stride, b, sums); break;
    case 6: tile(6, pairs, a, a_stride, b, sums); break;
    case 7: tile(7, pairs, a, a_stride, b, sums); break;
    default: tile(ROWS, pairs, a, a_stride, b, sums);
    }
}

/* An odd k has a last pair whose second half may be anything in b where that goes on: a's zero would not do. */
static void last_pair(const tn_gemm_bf16 *g, size_t row, size_t rows, const uint16_t *b, float *sums) {
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < TN_BF16_COLUMNS; c++)
            sums[r * TN_BF16_COLUMNS + c] += tn_bfloat_to_float(g->a[(row + r) * tn_bf16_k(g->k) + g->k - 1]) *
                                             tn_bfloat_to_float(b[g->k / 2 * PAIR + 2 * c]);
}

static void gemm_bf16(const tn_gemm_bf16 *g) {
    float sums[ROWS * TN_BF16_COLUMNS];
    const size_t stride = tn_bf16_k(g->k);
    for (size_t j = 0; j < g->n; j += TN_BF16_COLUMNS)
        for (size_t i = 0; i < g->m; i += ROWS) {
            const size_t rows = TN_LEAST(g->m - i, (size_t)ROWS);
            const uint16_t *b = g->b + j / TN_BF16_COLUMNS * g->b_panel;
            any_tile(rows, g->k / 2, g->a + i * stride, stride, b, sums);
            if (g->k % 2) last_pair(g, i, rows, b, sums);
            finish_block(g, i, rows, j, TN_LEAST(g->n - j, (size_t)TN_BF16_COLUMNS), sums);
        }
}

static inline __m512 load(const float *p, size_t left) {
    return left >= VF_WIDTH ? vf_load(p) : vf_load_n(p, left);
}

static void pack_rows_bf16(size_t rows, size_t k, const float *a, size_t row_stride, size_t k_stride, float alpha,
                           uint16_t *dst) {
    if (k_stride != 1) {
        plain_pack_rows(rows, k, a, row_stride, k_stride, alpha, dst);
        return;
    }
    const __m512 factor = _mm512_set1_ps(alpha);
    for (size_t r = 0; r < rows; r++, a += row_stride)
        for (size_t i = 0; i < tn_bf16_k(k); i += TN_BF16_STEP, dst += TN_BF16_STEP) {
            const size_t left = k - i;
            __m512 low = load(a + i, left), high = load(a + i + VF_WIDTH, left > VF_WIDTH ? left - VF_WIDTH : 0);
            _mm512_storeu_si512(dst,
                                (__m512i)_mm512_cvtne2ps_pbh(_mm512_mul_ps(high, factor), _mm512_mul_ps(low, factor)));
        }
}

/* Bits of two vectors, element by element: the first in the lower half. */
static inline __m512i weave(__m512 even, __m512 odd) {
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                           21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(odd, even));
}

static inline __attribute__((always_inline)) void pack_pairs(size_t k, size_t n, const float *b, size_t k_stride,
                                                             const uint32_t *offset, uint16_t *dst) {
    const size_t right = n > VF_WIDTH ? n - VF_WIDTH : 0;
    for (size_t i = 0; i < k; i += 2, dst += PAIR) {
        const float *even = b + (offset ? offset[i] : i * k_stride);
        __m512 low = _mm512_setzero_ps(), high = low;
        if (i + 1 < k) {
            const float *odd = b + (offset ? offset[i + 1] : (i + 1) * k_stride);
            low = load(odd, n);
            high = load(odd + VF_WIDTH, right);
        }
        _mm512_storeu_si512(dst, weave(load(even, n), low));
        _mm512_storeu_si512(dst + PAIR / 2, weave(load(even + VF_WIDTH, right), high));
    }
    memset(dst, 0, (tn_bf16_k(k) - (k + k % 2)) * TN_BF16_COLUMNS * sizeof *dst);
}

static void pack_panel_bf16(size_t k, size_t n, const float *b, size_t k_stride, const uint32_t *offset,
                            uint16_t *dst) {
    if (n >= TN_BF16_COLUMNS && offset)
        pack_pairs(k, TN_BF16_COLUMNS, b, 0, offset, dst);
    else if (n >= TN_BF16_COLUMNS)
        pack_pairs(k, TN_BF16_COLUMNS, b, k_stride, NULL, dst);
    else
        pack_pairs(k, n, b, k_stride, offset, dst);
}

static void pack_columns_bf16(size_t k, size_t n, const float *b, size_t column_stride, uint16_t *dst) {
    const __m512i lines = _mm512_mullo_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                                             _mm512_set1_epi32(TN_BF16_COLUMNS));
    if (n < TN_BF16_COLUMNS) memset(dst, 0, tn_bf16_k(k) * TN_BF16_COLUMNS * sizeof *dst);
    for (size_t j = 0; j < n; j++, b += column_stride)
        for (size_t i = 0; i < k; i += TN_BF16_STEP) {
            const size_t left = k - i;
            __m512 low = load(b + i, left), high = load(b + i + VF_WIDTH, left > VF_WIDTH ? left - VF_WIDTH : 0);
            _mm512_i32scatter_epi32(dst + i * TN_BF16_COLUMNS + 2 * j, lines, (__m512i)_mm512_cvtne2ps_pbh(high, low),
                                    4);
        }
}

void tn_gemm_bf16_bf16(tn_kernels *table) {
    table->gemm_bf16 = gemm_bf16;
    table->pack_rows_bf16 = pack_rows_bf16;
    table->pack_panel_bf16 = pack_panel_bf16;
    table->pack_columns_bf16 = pack_columns_bf16;
    /* AMD's take half the time of as many multiplications in float32, Intel's (measured) twice. */
    table->bf16_products = __builtin_cpu_is("amd");
}
