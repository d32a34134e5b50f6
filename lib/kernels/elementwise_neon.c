/* Elementwise kernels for NEON: the plain loops are vectorised by the compiler already; its conversions of float16
 * are base instructions. See elementwise.h. */
#include <arm_neon.h>
#include <stdint.h>

#define TN_LEVEL neon
#define TN_HALF_BLOCK 4

static inline void tn_halves_to_floats(float *y, const uint16_t *x) {
    vst1q_f32(y, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(x))));
}

static inline void tn_floats_to_halves(uint16_t *y, const float *x) {
    vst1_u16(y, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(x))));
}

#include "kernels/elementwise.h"
