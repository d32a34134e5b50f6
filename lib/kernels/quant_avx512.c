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

typedef struct {
    __m512i low, high; /* of each eight columns the first four; the others */
} qc_sums;

#define QC_WIDTH 32
#define QC_V __m512i
#define QC_SUMS qc_sums

static inline qc_sums qc_zero(void) {
    return (qc_sums){_mm512_setzero_si512(), _mm512_setzero_si512()};
}
static inline __m512i qc_load(const uint8_t *p, size_t stride, bool x_signed) {
    if (stride == 1) {
        __m256i bytes = _mm256_loadu_si256((const __m256i *)p);
        return x_signed ? _mm512_cvtepi8_epi16(bytes) : _mm512_cvtepu8_epi16(bytes);
    }
    __m512i pairs = _mm512_loadu_si512(p);
    return x_signed ? _mm512_srai_epi16(_mm512_slli_epi16(pairs, 8), 8)
                    : _mm512_and_si512(pairs, _mm512_set1_epi16(0xff));
}
static inline qc_sums qc_add(qc_sums sums, __m512i v0, __m512i v1, int32_t w0, int32_t w1) {
    __m512i w = _mm512_set1_epi32((int32_t)((uint32_t)w0 & 0xffff) | (int32_t)((uint32_t)w1 << 16));
    return (qc_sums){_mm512_add_epi32(sums.low, _mm512_madd_epi16(_mm512_unpacklo_epi16(v0, v1), w)),
                     _mm512_add_epi32(sums.high, _mm512_madd_epi16(_mm512_unpackhi_epi16(v0, v1), w))};
}
static inline void qc_store(int32_t *c, qc_sums sums) {
    __m512i first = _mm512_permutex2var_epi64(sums.low, _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), sums.high);
    __m512i second = _mm512_permutex2var_epi64(sums.low, _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15), sums.high);
    q_store(c, _mm512_add_epi32(_mm512_loadu_si512(c), first));
    q_store(c + 16, _mm512_add_epi32(_mm512_loadu_si512(c + 16), second));
}

#include "kernels/qconv_row.h"
#include "kernels/quant_rows.h"

void tn_quant_avx512(tn_kernels *table) {
    TN_QUANT_ROWS(table);
}
