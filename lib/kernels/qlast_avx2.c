/* Channels-last bytes on AVX2: eight floats in a vector, 32 channels of a depthwise convolution. */
#include "kernels/qlast.h"
#include <immintrin.h>

#define QL_LANES 8
#define QL_I __m256i
#define QL_F __m256

static inline __m256i ql_load_i(const int32_t *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}
static inline __m256 ql_load_f(const float *p) {
    return _mm256_loadu_ps(p);
}
static inline __m256i ql_set_i(int32_t v) {
    return _mm256_set1_epi32(v);
}
static inline __m256 ql_set_f(float v) {
    return _mm256_set1_ps(v);
}
static inline __m256i ql_bytes(const uint8_t *p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
}
static inline __m256i ql_add_i(__m256i a, __m256i b) {
    return _mm256_add_epi32(a, b);
}
static inline __m256i ql_mul_i(__m256i a, __m256i b) {
    return _mm256_mullo_epi32(a, b);
}
static inline __m256 ql_to_f(__m256i v) {
    return _mm256_cvtepi32_ps(v);
}
static inline __m256i ql_to_i(__m256 v) {
    return _mm256_cvtps_epi32(v);
}
static inline __m256 ql_add(__m256 a, __m256 b) {
    return _mm256_add_ps(a, b);
}
static inline __m256 ql_mul(__m256 a, __m256 b) {
    return _mm256_mul_ps(a, b);
}
static inline __m256 ql_fma(__m256 a, __m256 b, __m256 c) {
    return _mm256_fmadd_ps(a, b, c);
}
static inline __m256 ql_max(__m256 v, __m256 bound) {
    return _mm256_max_ps(v, bound);
}
static inline __m256 ql_min(__m256 v, __m256 bound) {
    return _mm256_min_ps(v, bound);
}
static inline void ql_store(uint8_t *y, __m256i v, size_t n) {
    __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    __m128i bytes = _mm_packus_epi16(words, words);
    if (n == QL_LANES) {
        _mm_storel_epi64((__m128i *)y, bytes);
    } else {
        uint8_t all[16];
        _mm_storeu_si128((__m128i *)all, bytes);
        __builtin_memcpy(y, all, n);
    }
}

static inline float ql_most(__m256 v) {
    __m256 size = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v);
    size = _mm256_blendv_ps(size, _mm256_set1_ps(__builtin_inff()), _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(size), _mm256_extractf128_ps(size, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_shuffle_ps(half, half, 1)));
}
/* Four vectors narrowed: of each half, four bytes of one vector after those of another. */
static inline __m256i ql_narrow(const __m256i *v, int32_t zero, int32_t low, int32_t high) {
    const __m256i origin = _mm256_set1_epi16((int16_t)zero);
    __m256i first = _mm256_adds_epi16(_mm256_packs_epi32(v[0], v[1]), origin);
    __m256i second = _mm256_adds_epi16(_mm256_packs_epi32(v[2], v[3]), origin);
    __m256i bytes = _mm256_max_epu8(_mm256_packus_epi16(first, second), _mm256_set1_epi8((char)low));
    return _mm256_min_epu8(bytes, _mm256_set1_epi8((char)high));
}
static inline void qd_put(uint8_t *y, __m256i bytes, size_t n) {
    if (n == 32) {
        _mm256_storeu_si256((__m256i *)y, bytes);
    } else {
        uint8_t all[32];
        _mm256_storeu_si256((__m256i *)all, bytes);
        __builtin_memcpy(y, all, n);
    }
}
static inline void ql_store4(uint8_t *y, const __m256i *v, int32_t zero, int32_t low, int32_t high, size_t n) {
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    qd_put(y, _mm256_permutevar8x32_epi32(ql_narrow(v, zero, low, high), order), n);
}

/* Sixteen tables of sixteen: where x is not in one, the highest bit of the index clears what it gives. */
static void qlook_up(uint8_t *y, const uint8_t *x, size_t n, const uint8_t *table) {
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256i at = _mm256_loadu_si256((const __m256i *)(x + i)), found = _mm256_setzero_si256();
        for (int k = 0; k < 16; k++) {
            __m256i part = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(table + 16 * k)));
            __m256i index = _mm256_adds_epu8(at, _mm256_set1_epi8(0x70));
            found = _mm256_or_si256(found, _mm256_shuffle_epi8(part, index));
            at = _mm256_sub_epi8(at, _mm256_set1_epi8(16));
        }
        _mm256_storeu_si256((__m256i *)(y + i), found);
    }
    for (; i < n; i++) y[i] = table[x[i]];
}

#define QD_BLOCK 32
#define QD_GROUP 2
#define QD_SIZE 2
#define QD_X __m256i

/* Half a block or more is two loads, of which the second ends where the bytes do, and is moved down. */
static inline __m256i qd_load(const uint8_t *p, size_t n) {
    static const int8_t down[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    if (n == QD_BLOCK) return _mm256_loadu_si256((const __m256i *)p);
    if (n >= 16) {
        __m128i order = _mm_loadu_si128((const __m128i *)(down + 32 - n));
        __m128i high = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(p + n - 16)), order);
        return _mm256_set_m128i(high, _mm_loadu_si128((const __m128i *)p));
    }
    uint8_t all[QD_BLOCK] = {0};
    __builtin_memcpy(all, p, n);
    return _mm256_loadu_si256((const __m256i *)all);
}
static inline __m256i qd_max(__m256i a, __m256i b) {
    return _mm256_max_epu8(a, b);
}
static inline __m256i qd_tap(__m256i acc, __m256i pairs, const char *w) {
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_loadu_si256((const __m256i *)w)));
}
static inline void qd_add(__m256i *acc, const __m256i *x, const char *w) {
    const __m256i zero = _mm256_setzero_si256();
    __m256i low = _mm256_unpacklo_epi8(x[0], x[1]), high = _mm256_unpackhi_epi8(x[0], x[1]);
    acc[0] = qd_tap(acc[0], _mm256_unpacklo_epi8(low, zero), w);
    acc[1] = qd_tap(acc[1], _mm256_unpackhi_epi8(low, zero), w + 32);
    acc[2] = qd_tap(acc[2], _mm256_unpacklo_epi8(high, zero), w + 64);
    acc[3] = qd_tap(acc[3], _mm256_unpackhi_epi8(high, zero), w + 96);
}
static inline void qd_store(uint8_t *y, const __m256i *v, int32_t zero, int32_t low, int32_t high, size_t n) {
    qd_put(y, ql_narrow(v, zero, low, high), n);
}

#include "kernels/qlast_rows.h"

void tn_qlast_avx2(tn_kernels *table) {
    TN_QLAST_ROWS(table);
}
