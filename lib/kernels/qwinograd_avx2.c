/* Winograd convolution of bytes on AVX2: pairs of words multiplied and added in 32 bits. */
#include "kernels/kernels.h"
#include <immintrin.h>
#include <string.h>

#define TN_QV __m256i
#define TN_QB __m256i
#define TN_QA __m256i
#define TN_QV_LANES 8
#define TN_QV_COUNT 2
#define TN_QROWS 6
#define TN_QGROUP 2
#define TN_QA_SIZE 2
#define TN_QB_SIZE 2

static inline __m256i q_zero(void) {
    return _mm256_setzero_si256();
}
static inline __m256i q_load_b(const uint8_t *p, bool us) {
    (void)us;
    return _mm256_loadu_si256((const __m256i *)p);
}
static inline __m256i q_load_a(const uint8_t *p) {
    int32_t pair;
    memcpy(&pair, p, sizeof pair);
    return _mm256_set1_epi32(pair);
}
static inline __m256i q_dot(__m256i acc, __m256i a, __m256i b, bool us) {
    (void)us;
    acc = _mm256_add_epi32(acc, _mm256_madd_epi16(a, b));
    __asm__("" : "+x"(acc)); /* stays in its register: GCC would make copies until they spill */
    return acc;
}
static inline void q_store(int32_t *p, __m256i acc) {
    _mm256_storeu_si256((__m256i *)p, acc);
}

#include "kernels/qgemm_tile.h"

static void qwinograd_product(size_t m, size_t n, size_t k, const int16_t *a, const int16_t *b, int32_t *c,
                              size_t ldc) {
    q_gemm(true, m, n, k, (const uint8_t *)a, (const uint8_t *)b, c, ldc);
}

#define QW_LANES 16
#define QW_V __m256i
#define QW_SUMS 8
#define QW_S __m256i

static inline __m256i qw_bytes(const uint8_t *p) {
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)p));
}
static inline __m256i qw_add(__m256i a, __m256i b) {
    return _mm256_add_epi16(a, b);
}
static inline __m256i qw_sub(__m256i a, __m256i b) {
    return _mm256_sub_epi16(a, b);
}
static inline void qw_store(int16_t *p, __m256i v) {
    _mm256_storeu_si256((__m256i *)p, v);
}
static inline __m256i qs_load(const int32_t *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}
static inline __m256i qs_add(__m256i a, __m256i b) {
    return _mm256_add_epi32(a, b);
}
static inline __m256i qs_sub(__m256i a, __m256i b) {
    return _mm256_sub_epi32(a, b);
}
static inline __m256i qs_quarter(__m256i v) {
    return _mm256_srai_epi32(v, 2);
}
static inline void qs_store(int32_t *p, __m256i v) {
    _mm256_storeu_si256((__m256i *)p, v);
}

#include "kernels/qwinograd_rows.h"

void tn_qwinograd_avx2(tn_kernels *table) {
    TN_QWINOGRAD_ROWS(table);
}
