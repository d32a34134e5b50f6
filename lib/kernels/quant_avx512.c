/* 8-bit product on AVX-512 without VNNI: as on AVX2, twice as wide. */
#include "kernels/kernels.h"
#include <immintrin.h>
#include <string.h>

#define TN_QV __m512i
#define TN_QB __m512i
#define TN_QA __m512i
#define TN_QV_LANES 16
#define TN_QV_COUNT 2
#define TN_QROWS 8
#define TN_QGROUP 2
#define TN_QA_SIZE 2

static inline __m512i q_zero(void) {
    return _mm512_setzero_si512();
}
static inline __m512i q_load_b(const uint8_t *p, bool us) {
    __m256i bytes = _mm256_loadu_si256((const __m256i *)p);
    return us ? _mm512_cvtepi8_epi16(bytes) : _mm512_cvtepu8_epi16(bytes);
}
static inline __m512i q_load_a(const uint8_t *p) {
    int32_t pair;
    memcpy(&pair, p, sizeof pair);
    return _mm512_set1_epi32(pair);
}
static inline __m512i q_dot(__m512i acc, __m512i a, __m512i b, bool us) {
    (void)us;
    return _mm512_add_epi32(acc, _mm512_madd_epi16(a, b));
}
static inline void q_store(int32_t *p, __m512i acc) {
    _mm512_storeu_si512(p, acc);
}

#include "kernels/qgemm_tile.h"
#include "kernels/quant_rows.h"

void tn_quant_avx512(tn_kernels *table) {
    TN_QUANT_ROWS(table);
}
