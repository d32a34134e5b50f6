/* 8-bit product on NEON: the panel widened to 16 bits, multiplied into 32. */
#include "kernels/kernels.h"
#include <arm_neon.h>
#include <string.h>

typedef struct {
    int32x4_t low, high;
} q_wide;

#define TN_QV q_wide
#define TN_QB int16x8_t
#define TN_QA int16_t
#define TN_QV_LANES 8
#define TN_QV_COUNT 2
#define TN_QROWS 4
#define TN_QGROUP 1
#define TN_QA_SIZE 2

static inline q_wide q_zero(void) {
    return (q_wide){vdupq_n_s32(0), vdupq_n_s32(0)};
}
static inline int16x8_t q_load_b(const uint8_t *p, bool us) {
    uint8x8_t bytes = vld1_u8(p);
    return us ? vmovl_s8(vreinterpret_s8_u8(bytes)) : vreinterpretq_s16_u16(vmovl_u8(bytes));
}
static inline int16_t q_load_a(const uint8_t *p) {
    int16_t value;
    memcpy(&value, p, sizeof value);
    return value;
}
static inline q_wide q_dot(q_wide acc, int16_t a, int16x8_t b, bool us) {
    (void)us;
    return (q_wide){vmlal_n_s16(acc.low, vget_low_s16(b), a), vmlal_n_s16(acc.high, vget_high_s16(b), a)};
}
static inline void q_store(int32_t *p, q_wide acc) {
    vst1q_s32(p, acc.low);
    vst1q_s32(p + 4, acc.high);
}

#include "kernels/qgemm_tile.h"

#define QC_WIDTH 8
#define QC_V int16x8_t
#define QC_SUMS q_wide

static inline q_wide qc_zero(void) {
    return q_zero();
}
static inline int16x8_t qc_load(const uint8_t *p, size_t stride, bool x_signed) {
    if (stride == 1) return q_load_b(p, x_signed);
    int16x8_t pairs = vreinterpretq_s16_u8(vld1q_u8(p));
    return x_signed ? vshrq_n_s16(vshlq_n_s16(pairs, 8), 8) : vandq_s16(pairs, vdupq_n_s16(0xff));
}
static inline q_wide qc_add(q_wide sums, int16x8_t v0, int16x8_t v1, int32_t w0, int32_t w1) {
    return q_dot(q_dot(sums, (int16_t)w0, v0, true), (int16_t)w1, v1, true);
}
static inline void qc_store(int32_t *c, q_wide sums) {
    vst1q_s32(c, vaddq_s32(vld1q_s32(c), sums.low));
    vst1q_s32(c + 4, vaddq_s32(vld1q_s32(c + 4), sums.high));
}

#include "kernels/qconv_row.h"
#include "kernels/quant_rows.h"

void tn_quant_neon(tn_kernels *table) {
    TN_QUANT_ROWS(table);
}
