/* Transpose and copies with AVX2. */
#include "kernels/registry.h"
#include "kernels/transpose_x86.h"

static inline void tile_1(const char *s, int64_t ss, char *d, int64_t ds) {
    __m128i r[8], t[4], u[4];
    for (int i = 0; i < 8; i++) r[i] = _mm_loadl_epi64((const __m128i *)(s + i * ss));
    for (int i = 0; i < 4; i++) t[i] = _mm_unpacklo_epi8(r[2 * i], r[2 * i + 1]);
    u[0] = _mm_unpacklo_epi16(t[0], t[1]); /* columns 0-3 of rows 0-3 */
    u[1] = _mm_unpackhi_epi16(t[0], t[1]);
    u[2] = _mm_unpacklo_epi16(t[2], t[3]);
    u[3] = _mm_unpackhi_epi16(t[2], t[3]);
    for (int h = 0; h < 2; h++) {
        __m128i a = _mm_unpacklo_epi32(u[h], u[h + 2]), b = _mm_unpackhi_epi32(u[h], u[h + 2]);
        _mm_storel_epi64((__m128i *)(d + (4 * h + 0) * ds), a);
        _mm_storeh_pi((__m64 *)(d + (4 * h + 1) * ds), _mm_castsi128_ps(a));
        _mm_storel_epi64((__m128i *)(d + (4 * h + 2) * ds), b);
        _mm_storeh_pi((__m64 *)(d + (4 * h + 3) * ds), _mm_castsi128_ps(b));
    }
}

static inline void tile_2(const char *s, int64_t ss, char *d, int64_t ds) {
    __m128i r[8], t[8], u[8];
    for (int i = 0; i < 8; i++) r[i] = _mm_loadu_si128((const __m128i *)(s + i * ss));
    for (int i = 0; i < 4; i++) {
        t[2 * i] = _mm_unpacklo_epi16(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm_unpackhi_epi16(r[2 * i], r[2 * i + 1]);
    }
    for (int g = 0; g < 2; g++) /* u[4g + c]: columns 2c and 2c + 1 of rows 4g to 4g + 3 */
        for (int h = 0; h < 2; h++) {
            u[4 * g + 2 * h] = _mm_unpacklo_epi32(t[4 * g + h], t[4 * g + 2 + h]);
            u[4 * g + 2 * h + 1] = _mm_unpackhi_epi32(t[4 * g + h], t[4 * g + 2 + h]);
        }
    for (int c = 0; c < 4; c++) {
        _mm_storeu_si128((__m128i *)(d + (2 * c) * ds), _mm_unpacklo_epi64(u[c], u[c + 4]));
        _mm_storeu_si128((__m128i *)(d + (2 * c + 1) * ds), _mm_unpackhi_epi64(u[c], u[c + 4]));
    }
}

static inline void tile_8(const char *s, int64_t ss, char *d, int64_t ds) {
    __m256d r[4], t[4];
    for (int i = 0; i < 4; i++) r[i] = _mm256_loadu_pd((const double *)(s + i * ss));
    for (int g = 0; g < 2; g++) {
        t[2 * g] = _mm256_unpacklo_pd(r[2 * g], r[2 * g + 1]);
        t[2 * g + 1] = _mm256_unpackhi_pd(r[2 * g], r[2 * g + 1]);
    }
    for (int c = 0; c < 2; c++) {
        _mm256_storeu_pd((double *)(d + c * ds), _mm256_permute2f128_pd(t[c], t[c + 2], 0x20));
        _mm256_storeu_pd((double *)(d + (c + 2) * ds), _mm256_permute2f128_pd(t[c], t[c + 2], 0x31));
    }
}

TN_TRANSPOSE_ONE(one_1, uint8_t)
TN_TRANSPOSE_ONE(one_2, uint16_t)
TN_TRANSPOSE_ONE(one_8, uint64_t)

/* Three planes become pixels, as of a picture: 16 pixels are 48 bytes, each from the plane that its place says. */
static void rest_1(int64_t rows, int64_t cols, const void *src, int64_t ss, void *dst, int64_t ds) {
    const char *s = src;
    char *d = dst;
    int64_t i = 0;
    if (cols == 3 && ds == 3) {
        /* Of each 16 bytes that are written, and each plane: which pixel's. */
        static const int8_t pixel[3][3][16] = {{{0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1, 5},
                                                {-1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1},
                                                {-1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1}},
                                               {{-1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10, -1},
                                                {5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10},
                                                {-1, 5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1}},
                                               {{-1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1, -1},
                                                {-1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1},
                                                {10, -1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15}}};
        __m128i at[3][3];
        for (int part = 0; part < 3; part++)
            for (int p = 0; p < 3; p++) at[part][p] = _mm_loadu_si128((const __m128i *)pixel[part][p]);
        for (; i + 16 <= rows; i += 16) {
            __m128i plane[3];
            for (int p = 0; p < 3; p++) plane[p] = _mm_loadu_si128((const __m128i *)(s + p * ss + i));
            for (int part = 0; part < 3; part++) {
                __m128i bytes = _mm_shuffle_epi8(plane[0], at[part][0]);
                for (int p = 1; p < 3; p++) bytes = _mm_or_si128(bytes, _mm_shuffle_epi8(plane[p], at[part][p]));
                _mm_storeu_si128((__m128i *)(d + i * 3 + part * 16), bytes);
            }
        }
    }
    one_1(rows - i, cols, s + i, ss, d + i * ds, ds);
}

TN_TRANSPOSE(transpose_1, uint8_t, 8, 64, tile_1, rest_1)
TN_TRANSPOSE(transpose_2, uint16_t, 8, 32, tile_2, one_2)
TN_TRANSPOSE(transpose_8, uint64_t, 4, 8, tile_8, one_8)

/* Every second element and the reversed order have shuffles; other strides are as fast one by one. */
static void strided_4(int64_t n, const void *src, int64_t stride, void *dst) {
    const char *s = src;
    char *d = dst;
    int64_t i = 0;
    if (stride == 8) {
        /* The last element is not followed by another one that may be read. */
        for (; i + 8 < n; i += 8) {
            __m256 a = _mm256_loadu_ps((const float *)(s + i * 8)),
                   b = _mm256_loadu_ps((const float *)(s + i * 8 + 32));
            __m256d even = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x88));
            _mm256_storeu_pd((double *)(d + i * 4), _mm256_permute4x64_pd(even, 0xd8));
        }
    } else if (stride == -4) {
        const __m256i order = _mm256_set_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        for (; i + 8 <= n; i += 8) {
            __m256 a = _mm256_loadu_ps((const float *)(s - (i + 7) * 4));
            _mm256_storeu_ps((float *)(d + i * 4), _mm256_permutevar8x32_ps(a, order));
        }
    }
    for (; i < n; i++) memcpy(d + i * 4, s + i * stride, 4);
}

static void take_4(int64_t n, const void *src, const int32_t *index, void *dst) {
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_si256((__m256i *)((char *)dst + i * 4),
                            _mm256_i32gather_epi32(src, _mm256_loadu_si256((const __m256i *)(index + i)), 4));
    for (; i < n; i++) memcpy((char *)dst + i * 4, (const char *)src + index[i] * (int64_t)4, 4);
}

static void weigh_taps_f32(int64_t n, int64_t taps, const float *src, const int32_t *index, const float *weights,
                           int64_t step, float *dst) {
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 sum = _mm256_setzero_ps();
        for (int64_t k = 0; k < taps; k++) {
            __m256i at = _mm256_loadu_si256((const __m256i *)(index + k * step + i));
            sum = _mm256_fmadd_ps(_mm256_loadu_ps(weights + k * step + i), _mm256_i32gather_ps(src, at, 4), sum);
        }
        _mm256_storeu_ps(dst + i, sum);
    }
    for (; i < n; i++) {
        float sum = 0;
        for (int64_t k = 0; k < taps; k++) sum = __builtin_fmaf(weights[k * step + i], src[index[k * step + i]], sum);
        dst[i] = sum;
    }
}

static void weigh_rows_f32(int64_t n, int64_t taps, const float *src, int64_t row, const int32_t *index,
                           const float *weights, int64_t step, float *dst) {
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256 sum[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
        for (int64_t k = 0; k < taps; k++) {
            const float *from = src + index[k * step] * row + i;
            __m256 w = _mm256_set1_ps(weights[k * step]);
#pragma GCC unroll 4
            for (int v = 0; v < 4; v++) sum[v] = _mm256_fmadd_ps(w, _mm256_loadu_ps(from + v * 8), sum[v]);
        }
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++) _mm256_storeu_ps(dst + i + v * 8, sum[v]);
    }
    for (; i < n; i++) {
        float sum = 0;
        for (int64_t k = 0; k < taps; k++) sum = __builtin_fmaf(weights[k * step], src[index[k * step] * row + i], sum);
        dst[i] = sum;
    }
}

static void rotate_f32(int64_t n, const float *a, const float *b, const float *cos, const float *sin, float *out_a,
                       float *out_b) {
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 x = _mm256_loadu_ps(a + i), y = _mm256_loadu_ps(b + i);
        __m256 c = _mm256_loadu_ps(cos + i), s = _mm256_loadu_ps(sin + i);
        _mm256_storeu_ps(out_a + i, _mm256_fmsub_ps(c, x, _mm256_mul_ps(s, y)));
        _mm256_storeu_ps(out_b + i, _mm256_fmadd_ps(s, x, _mm256_mul_ps(c, y)));
    }
    for (; i < n; i++) {
        float x = a[i], y = b[i];
        out_a[i] = __builtin_fmaf(cos[i], x, -(sin[i] * y));
        out_b[i] = __builtin_fmaf(sin[i], x, cos[i] * y);
    }
}

void tn_copy_avx2(tn_kernels *table) {
    table->transpose_1 = transpose_1;
    table->transpose_2 = transpose_2;
    table->transpose_4 = tn_transpose_8x8;
    table->transpose_8 = transpose_8;
    table->strided_4 = strided_4;
    table->take_4 = take_4;
    table->weigh_taps_f32 = weigh_taps_f32;
    table->weigh_rows_f32 = weigh_rows_f32;
    table->rotate_f32 = rotate_f32;
}
