/* 4-byte transposes of the x86 levels: tiles of 8 x 8, and planes that become pixels. */
#ifndef TN_KERNELS_TRANSPOSE_X86_H
#define TN_KERNELS_TRANSPOSE_X86_H

#include "kernels/transpose.h"
#include <immintrin.h>

static inline void tn_tile_8x8(const char *s, int64_t ss, char *d, int64_t ds) {
    __m256 r[8], t[8], u[8];
    for (int i = 0; i < 8; i++) r[i] = _mm256_loadu_ps((const float *)(s + i * ss));
    for (int i = 0; i < 4; i++) {
        t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    for (int g = 0; g < 2; g++) /* u[4g + c]: columns c and c + 4 of rows 4g to 4g + 3 */
        for (int h = 0; h < 2; h++) {
            u[4 * g + 2 * h] = _mm256_shuffle_ps(t[4 * g + h], t[4 * g + 2 + h], 0x44);
            u[4 * g + 2 * h + 1] = _mm256_shuffle_ps(t[4 * g + h], t[4 * g + 2 + h], 0xee);
        }
    for (int c = 0; c < 4; c++) {
        _mm256_storeu_ps((float *)(d + c * ds), _mm256_permute2f128_ps(u[c], u[c + 4], 0x20));
        _mm256_storeu_ps((float *)(d + (c + 4) * ds), _mm256_permute2f128_ps(u[c], u[c + 4], 0x31));
    }
}

/* Three or four planes become pixels: tiles of 4 x 4. Of three, each store writes a fourth element that the next one
 * overwrites; the last pixels are left out. How many rows were done. */
static int64_t tn_interleave_4(int64_t rows, int64_t cols, const char *s, int64_t ss, char *d, int64_t ds) {
    int64_t i = 0;
    for (; i + 4 + (cols == 3) <= rows; i += 4) {
        __m128 r0 = _mm_loadu_ps((const float *)(s + i * 4)), r1 = _mm_loadu_ps((const float *)(s + ss + i * 4));
        __m128 r2 = _mm_loadu_ps((const float *)(s + 2 * ss + i * 4));
        __m128 r3 = cols == 3 ? r2 : _mm_loadu_ps((const float *)(s + 3 * ss + i * 4));
        _MM_TRANSPOSE4_PS(r0, r1, r2, r3);
        _mm_storeu_ps((float *)(d + i * ds), r0);
        _mm_storeu_ps((float *)(d + (i + 1) * ds), r1);
        _mm_storeu_ps((float *)(d + (i + 2) * ds), r2);
        _mm_storeu_ps((float *)(d + (i + 3) * ds), r3);
    }
    return i;
}

/* Five to seven planes, dense: a tile's stores of eight elements, each of which the next one overwrites from where its own
 * begin. The last pixels are left out. */
static int64_t tn_interleave_8(int64_t rows, int64_t cols, const char *s, int64_t ss, char *d, int64_t ds) {
    int64_t i = 0;
    for (; i + 8 < rows; i += 8) {
        __m256 r[8], t[8], u[8];
        for (int c = 0; c < 8; c++) r[c] = _mm256_loadu_ps((const float *)(s + (c < cols ? c : 0) * ss + i * 4));
        for (int c = 0; c < 4; c++) {
            t[2 * c] = _mm256_unpacklo_ps(r[2 * c], r[2 * c + 1]);
            t[2 * c + 1] = _mm256_unpackhi_ps(r[2 * c], r[2 * c + 1]);
        }
        for (int g = 0; g < 2; g++)
            for (int h = 0; h < 2; h++) {
                u[4 * g + 2 * h] = _mm256_shuffle_ps(t[4 * g + h], t[4 * g + 2 + h], 0x44);
                u[4 * g + 2 * h + 1] = _mm256_shuffle_ps(t[4 * g + h], t[4 * g + 2 + h], 0xee);
            }
        for (int c = 0; c < 4; c++)
            _mm256_storeu_ps((float *)(d + (i + c) * ds), _mm256_permute2f128_ps(u[c], u[c + 4], 0x20));
        for (int c = 0; c < 4; c++)
            _mm256_storeu_ps((float *)(d + (i + c + 4) * ds), _mm256_permute2f128_ps(u[c], u[c + 4], 0x31));
    }
    return i;
}

TN_TRANSPOSE_ONE(tn_transpose_one_4, uint32_t)

static void tn_transpose_rest_4(int64_t rows, int64_t cols, const void *src, int64_t ss, void *dst, int64_t ds) {
    int64_t done = cols == 4 || (cols == 3 && ds == 12)     ? tn_interleave_4(rows, cols, src, ss, dst, ds)
                   : cols > 4 && cols < 8 && ds == cols * 4 ? tn_interleave_8(rows, cols, src, ss, dst, ds)
                                                            : 0;
    tn_transpose_one_4(rows - done, cols, (const char *)src + done * 4, ss, (char *)dst + done * ds, ds);
}

TN_TRANSPOSE(tn_transpose_8x8, uint32_t, 8, 16, tn_tile_8x8, tn_transpose_rest_4)

#endif
