/* Transpose with AVX-512: whole cache lines are read and written. Other copies gain nothing over AVX2. */
#include "kernels/registry.h"
#include "kernels/transpose_x86.h"

static inline void tile_4(const char *s, int64_t ss, char *d, int64_t ds) {
    __m512 r[16], t[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) r[i] = _mm512_loadu_ps(s + i * ss);
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
        _mm512_storeu_ps(d + c * ds, _mm512_shuffle_f32x4(a, b, 0x88));
        _mm512_storeu_ps(d + (c + 8) * ds, _mm512_shuffle_f32x4(a, b, 0xdd));
        a = _mm512_shuffle_f32x4(r[c], r[c + 4], 0xdd), b = _mm512_shuffle_f32x4(r[c + 8], r[c + 12], 0xdd);
        _mm512_storeu_ps(d + (c + 4) * ds, _mm512_shuffle_f32x4(a, b, 0x88));
        _mm512_storeu_ps(d + (c + 12) * ds, _mm512_shuffle_f32x4(a, b, 0xdd));
    }
}

TN_TRANSPOSE(transpose_16x16, uint32_t, 16, 16, tile_4, tn_transpose_8x8)

void tn_copy_avx512(tn_kernels *table) {
    table->transpose_4 = transpose_16x16;
}
