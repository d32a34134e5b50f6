/* 8-bit product with NEON's dot product: four products of signed bytes added in 32 bits. */
#include "kernels/kernels.h"
#include <arm_neon.h>
#include <string.h>

#define TN_QV int32x4_t
#define TN_QB int8x16_t
#define TN_QA int8x16_t
#define TN_QV_LANES 4
#define TN_QV_COUNT 4
#define TN_QROWS 6
#define TN_QGROUP 4
#define TN_QA_SIZE 1

static inline int32x4_t q_zero(void) {
    return vdupq_n_s32(0);
}
static inline int8x16_t q_load_b(const uint8_t *p, bool us) {
    (void)us;
    return vreinterpretq_s8_u8(vld1q_u8(p));
}
static inline int8x16_t q_load_a(const uint8_t *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}
static inline int32x4_t q_dot(int32x4_t acc, int8x16_t a, int8x16_t b, bool us) {
    (void)us;
    return vdotq_s32(acc, a, b);
}
static inline void q_store(int32_t *p, int32x4_t acc) {
    vst1q_s32(p, acc);
}

#include "kernels/qgemm_tile.h"

void tn_quant_dotprod(tn_kernels *table) {
    table->qgemm_us = qgemm_us;
    table->qgemm_su = qgemm_su;
}
