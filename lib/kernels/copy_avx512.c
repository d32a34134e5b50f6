/* Transpose with AVX-512: whole cache lines are read and written. Other copies gain nothing over AVX2. */
#include "kernels/registry.h"
#include "kernels/transpose_x86.h"

static inline __attribute__((always_inline)) void put(char *d, int64_t ds, int row, int64_t rows, __mmask16 out,
                                                      __m512 v) {
    _mm512_mask_storeu_ps(d + row * ds, row < rows ? out : 0, v);
}
/* Up to 16 x 16: `rows` elements of each of `cols` rows of src. What is too much is neither read nor written. */
static inline __attribute__((always_inline)) void tile_of(int64_t rows, int64_t cols, const char *s, int64_t ss,
                                                          char *d, int64_t ds) {
    const __mmask16 in = (__mmask16)((1u << rows) - 1), out = (__mmask16)((1u << cols) - 1);
    __m512 r[16], t[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) r[i] = _mm512_maskz_loadu_ps(i < cols ? in : 0, s + i * ss);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        t[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) { /* r[4g + c]: in lane l, column 4l + c of rows 4g to 4g + 3 */
        int g = i / 2, h = i % 2;
        __m512d a = _mm512_castps_pd(t[4 * g + h]), b = _mm512_castps_pd(t[4 * g + 2 + h]);
        r[4 * g + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
        r[4 * g + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {
        __m512 a = _mm512_shuffle_f32x4(r[c], r[c + 4], 0x88), b = _mm512_shuffle_f32x4(r[c + 8], r[c + 12], 0x88);
        put(d, ds, c, rows, out, _mm512_shuffle_f32x4(a, b, 0x88));
        put(d, ds, c + 8, rows, out, _mm512_shuffle_f32x4(a, b, 0xdd));
        a = _mm512_shuffle_f32x4(r[c], r[c + 4], 0xdd), b = _mm512_shuffle_f32x4(r[c + 8], r[c + 12], 0xdd);
        put(d, ds, c + 4, rows, out, _mm512_shuffle_f32x4(a, b, 0x88));
        put(d, ds, c + 12, rows, out, _mm512_shuffle_f32x4(a, b, 0xdd));
    }
}

static inline void tile_4(const char *s, int64_t ss, char *d, int64_t ds) {
    tile_of(16, 16, s, ss, d, ds);
}

/* Panels of matrices are a little less than a vector wide. */
static void rest_4(int64_t rows, int64_t cols, const void *src, int64_t ss, void *dst, int64_t ds) {
    if (cols <= 8 || cols > 16) {
        tn_transpose_8x8(rows, cols, src, ss, dst, ds);
        return;
    }
    for (int64_t i = 0; i < rows; i += 16)
        tile_of(rows - i < 16 ? rows - i : 16, cols, (const char *)src + i * 4, ss, (char *)dst + i * ds, ds);
}

TN_TRANSPOSE(transpose_16x16, uint32_t, 16, 16, tile_4, rest_4)

void tn_copy_avx512(tn_kernels *table) {
    table->transpose_4 = transpose_16x16;
}
