/* 8-bit product on AVX-VNNI: what quant_vnni.c does, half as wide, for machines that have no AVX-512. */
#include "kernels/kernels.h"
#include <immintrin.h>
#include <string.h>

#define TN_QV __m256i
#define TN_QB __m256i
#define TN_QA __m256i
#define TN_QV_LANES 8
#define TN_QV_COUNT 2
#define TN_QROWS 6
#define TN_QGROUP 4
#define TN_QA_SIZE 1

static inline __m256i q_zero(void) {
    return _mm256_setzero_si256();
}
static inline __m256i q_load_b(const uint8_t *p, bool us) {
    (void)us;
    return _mm256_loadu_si256((const __m256i *)p);
}
static inline __m256i q_load_a(const uint8_t *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm256_set1_epi32(four);
}
static inline __m256i q_dot(__m256i acc, __m256i a, __m256i b, bool us) {
    return us ? _mm256_dpbusd_avx_epi32(acc, a, b) : _mm256_dpbusd_avx_epi32(acc, b, a);
}
static inline void q_store(int32_t *p, __m256i acc) {
    _mm256_storeu_si256((__m256i *)p, acc);
}

#include "kernels/qgemm_tile.h"

void tn_quant_avxvnni(tn_kernels *table) {
    table->qgemm_us = qgemm_us;
    table->qgemm_su = qgemm_su;
}
