/* 8-bit product on AVX2: both sides widened to 16 bits, pairs multiplied and added in 32: exact, unlike the 8-bit
 * multiply-add, which saturates. */
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

static inline __m256i q_zero(void) {
    return _mm256_setzero_si256();
}
static inline __m256i q_load_b(const uint8_t *p, bool us) {
    __m128i bytes = _mm_loadu_si128((const __m128i *)p);
    return us ? _mm256_cvtepi8_epi16(bytes) : _mm256_cvtepu8_epi16(bytes);
}
static inline __m256i q_load_a(const uint8_t *p) {
    int32_t pair;
    memcpy(&pair, p, sizeof pair);
    return _mm256_set1_epi32(pair);
}
static inline __m256i q_dot(__m256i acc, __m256i a, __m256i b, bool us) {
    (void)us;
    return _mm256_add_epi32(acc, _mm256_madd_epi16(a, b));
}
static inline void q_store(int32_t *p, __m256i acc) {
    _mm256_storeu_si256((__m256i *)p, acc);
}

#include "kernels/qgemm_tile.h"
#include "kernels/quant_rows.h"

void tn_quant_avx2(tn_kernels *table) {
    TN_QUANT_ROWS(table);
}
