/* 8-bit product on AVX-512 VNNI: four products of an unsigned and a signed byte added in 32 bits, without saturation.
 */
#include "kernels/kernels.h"
#include <immintrin.h>
#include <string.h>

#define TN_QV __m512i
#define TN_QB __m512i
#define TN_QA __m512i
#define TN_QV_LANES 16
#define TN_QV_COUNT 2
#define TN_QROWS 8
#define TN_QGROUP 4
#define TN_QA_SIZE 1

static inline __m512i q_zero(void) {
    return _mm512_setzero_si512();
}
static inline __m512i q_load_b(const uint8_t *p, bool us) {
    (void)us;
    return _mm512_loadu_si512(p);
}
static inline __m512i q_load_a(const uint8_t *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm512_set1_epi32(four);
}
static inline __m512i q_dot(__m512i acc, __m512i a, __m512i b, bool us) {
    return us ? _mm512_dpbusd_epi32(acc, a, b) : _mm512_dpbusd_epi32(acc, b, a);
}
static inline void q_store(int32_t *p, __m512i acc) {
    _mm512_storeu_si512(p, acc);
}

#include "kernels/qgemm_tile.h"

void tn_quant_vnni(tn_kernels *table) {
    table->qgemm_us = qgemm_us;
    table->qgemm_su = qgemm_su;
}
