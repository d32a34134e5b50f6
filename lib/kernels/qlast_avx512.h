/* What AVX-512 with and without VNNI share: sixteen floats in a vector, 64 channels of a depthwise convolution. */
#include "kernels/qlast.h"
#include <immintrin.h>

#define QL_LANES 16
#define QL_I __m512i
#define QL_F __m512

static inline __m512i ql_load_i(const int32_t *p) {
    return _mm512_loadu_si512(p);
}
static inline __m512 ql_load_f(const float *p) {
    return _mm512_loadu_ps(p);
}
static inline __m512i ql_set_i(int32_t v) {
    return _mm512_set1_epi32(v);
}
static inline __m512 ql_set_f(float v) {
    return _mm512_set1_ps(v);
}
static inline __m512i ql_bytes(const uint8_t *p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
}
static inline __m512i ql_add_i(__m512i a, __m512i b) {
    return _mm512_add_epi32(a, b);
}
static inline __m512i ql_mul_i(__m512i a, __m512i b) {
    return _mm512_mullo_epi32(a, b);
}
static inline __m512 ql_to_f(__m512i v) {
    return _mm512_cvtepi32_ps(v);
}
static inline __m512i ql_to_i(__m512 v) {
    return _mm512_cvtps_epi32(v);
}
static inline __m512 ql_add(__m512 a, __m512 b) {
    return _mm512_add_ps(a, b);
}
static inline __m512 ql_mul(__m512 a, __m512 b) {
    return _mm512_mul_ps(a, b);
}
static inline __m512 ql_fma(__m512 a, __m512 b, __m512 c) {
    return _mm512_fmadd_ps(a, b, c);
}
static inline __m512 ql_max(__m512 v, __m512 bound) {
    return _mm512_max_ps(v, bound);
}
static inline __m512 ql_min(__m512 v, __m512 bound) {
    return _mm512_min_ps(v, bound);
}
static inline void ql_store(uint8_t *y, __m512i v, size_t n) {
    __m128i bytes = _mm512_cvtepi32_epi8(v);
    if (n == QL_LANES)
        _mm_storeu_si128((__m128i *)y, bytes);
    else
        _mm_mask_storeu_epi8(y, (__mmask16)((1u << n) - 1), bytes);
}

static inline float ql_most(__m512 v) {
    __mmask16 unordered = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    return unordered ? __builtin_inff() : _mm512_reduce_max_ps(_mm512_abs_ps(v));
}
/* Four vectors narrowed: of each quarter, four bytes of one vector after those of another. */
static inline __m512i ql_narrow(const __m512i *v, int32_t zero, int32_t low, int32_t high) {
    const __m512i origin = _mm512_set1_epi16((int16_t)zero);
    __m512i first = _mm512_adds_epi16(_mm512_packs_epi32(v[0], v[1]), origin);
    __m512i second = _mm512_adds_epi16(_mm512_packs_epi32(v[2], v[3]), origin);
    __m512i bytes = _mm512_max_epu8(_mm512_packus_epi16(first, second), _mm512_set1_epi8((char)low));
    return _mm512_min_epu8(bytes, _mm512_set1_epi8((char)high));
}
static inline void qd_put(uint8_t *y, __m512i bytes, size_t n) {
    if (n == 64)
        _mm512_storeu_si512(y, bytes);
    else
        _mm512_mask_storeu_epi8(y, ((__mmask64)1 << n) - 1, bytes);
}
static inline void ql_store4(uint8_t *y, const __m512i *v, int32_t zero, int32_t low, int32_t high, size_t n) {
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    qd_put(y, _mm512_permutexvar_epi32(order, ql_narrow(v, zero, low, high)), n);
}

#define QD_BLOCK 64
#define QD_X __m512i

static inline __m512i qd_load(const uint8_t *p, size_t n) {
    return n == QD_BLOCK ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi8(((__mmask64)1 << n) - 1, p);
}
static inline __m512i qd_max(__m512i a, __m512i b) {
    return _mm512_max_epu8(a, b);
}
static inline void qd_store(uint8_t *y, const __m512i *v, int32_t zero, int32_t low, int32_t high, size_t n) {
    qd_put(y, ql_narrow(v, zero, low, high), n);
}
