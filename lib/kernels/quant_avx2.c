/* 8-bit products (see qgemm_avx2.h), convolution of rows and conversions on AVX2. */
#include "kernels/kernels.h"
#include <immintrin.h>
#include <string.h>

#include "kernels/qgemm_avx2.h"

typedef struct {
    __m256i low, high; /* columns 0-3 and 8-11; 4-7 and 12-15 */
} qc_sums;

#define QC_WIDTH 16
#define QC_V __m256i
#define QC_SUMS qc_sums

static inline qc_sums qc_zero(void) {
    return (qc_sums){_mm256_setzero_si256(), _mm256_setzero_si256()};
}
static inline __m256i qc_load(const uint8_t *p, size_t stride, bool x_signed) {
    if (stride == 1) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)p);
        return x_signed ? _mm256_cvtepi8_epi16(bytes) : _mm256_cvtepu8_epi16(bytes);
    }
    __m256i pairs = _mm256_loadu_si256((const __m256i *)p);
    return x_signed ? _mm256_srai_epi16(_mm256_slli_epi16(pairs, 8), 8)
                    : _mm256_and_si256(pairs, _mm256_set1_epi16(0xff));
}
static inline qc_sums qc_add(qc_sums sums, __m256i v0, __m256i v1, int32_t w0, int32_t w1) {
    __m256i w = _mm256_set1_epi32((int32_t)((uint32_t)w0 & 0xffff) | (int32_t)((uint32_t)w1 << 16));
    return (qc_sums){_mm256_add_epi32(sums.low, _mm256_madd_epi16(_mm256_unpacklo_epi16(v0, v1), w)),
                     _mm256_add_epi32(sums.high, _mm256_madd_epi16(_mm256_unpackhi_epi16(v0, v1), w))};
}
static inline void qc_store(int32_t *c, qc_sums sums) {
    __m256i first = _mm256_permute2x128_si256(sums.low, sums.high, 0x20);
    __m256i second = _mm256_permute2x128_si256(sums.low, sums.high, 0x31);
    q_store(c, _mm256_add_epi32(_mm256_loadu_si256((const __m256i *)c), first));
    q_store(c + 8, _mm256_add_epi32(_mm256_loadu_si256((const __m256i *)(c + 8)), second));
}

#include "kernels/qconv_row.h"
#include "kernels/quant_rows.h"

void tn_quant_avx2(tn_kernels *table) {
    TN_QUANT_ROWS(table);
}
