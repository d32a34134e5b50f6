/* Channels-last bytes on NEON: four floats in a vector, sixteen channels of a depthwise convolution, tap by tap. */
#include "kernels/qlast.h"
#include <arm_neon.h>

#define QL_LANES 4
#define QL_I int32x4_t
#define QL_F float32x4_t

static inline int32x4_t ql_load_i(const int32_t *p) {
    return vld1q_s32(p);
}
static inline float32x4_t ql_load_f(const float *p) {
    return vld1q_f32(p);
}
static inline int32x4_t ql_set_i(int32_t v) {
    return vdupq_n_s32(v);
}
static inline float32x4_t ql_set_f(float v) {
    return vdupq_n_f32(v);
}
static inline int32x4_t ql_bytes(const uint8_t *p) {
    uint32_t four;
    __builtin_memcpy(&four, p, sizeof four);
    uint16x8_t wide = vmovl_u8(vcreate_u8(four));
    return vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(wide)));
}
static inline int32x4_t ql_add_i(int32x4_t a, int32x4_t b) {
    return vaddq_s32(a, b);
}
static inline int32x4_t ql_mul_i(int32x4_t a, int32x4_t b) {
    return vmulq_s32(a, b);
}
static inline float32x4_t ql_to_f(int32x4_t v) {
    return vcvtq_f32_s32(v);
}
static inline int32x4_t ql_to_i(float32x4_t v) {
    return vcvtnq_s32_f32(v);
}
static inline float32x4_t ql_add(float32x4_t a, float32x4_t b) {
    return vaddq_f32(a, b);
}
static inline float32x4_t ql_mul(float32x4_t a, float32x4_t b) {
    return vmulq_f32(a, b);
}
static inline float32x4_t ql_fma(float32x4_t a, float32x4_t b, float32x4_t c) {
    return vfmaq_f32(c, a, b);
}
static inline float32x4_t ql_max(float32x4_t v, float32x4_t bound) {
    return vbslq_f32(vcgtq_f32(v, bound), v, bound);
}
static inline float32x4_t ql_min(float32x4_t v, float32x4_t bound) {
    return vbslq_f32(vcltq_f32(v, bound), v, bound);
}
static inline void ql_store(uint8_t *y, int32x4_t v, size_t n) {
    uint8_t all[8];
    vst1_u8(all, vqmovun_s16(vcombine_s16(vmovn_s32(v), vmovn_s32(v))));
    if (n == QL_LANES)
        __builtin_memcpy(y, all, QL_LANES);
    else
        __builtin_memcpy(y, all, n);
}

static inline float ql_most(float32x4_t v) {
    float32x4_t size = vbslq_f32(vceqq_f32(v, v), vabsq_f32(v), vdupq_n_f32(__builtin_inff()));
    return vmaxvq_f32(size);
}
static inline void qd_put(uint8_t *y, uint8x16_t bytes, size_t n) {
    if (n == 16) {
        vst1q_u8(y, bytes);
    } else {
        uint8_t all[16];
        vst1q_u8(all, bytes);
        __builtin_memcpy(y, all, n);
    }
}
static inline uint8x16_t qd_max(uint8x16_t a, uint8x16_t b) {
    return vmaxq_u8(a, b);
}
static inline void ql_store4(uint8_t *y, const int32x4_t *v, int32_t zero, int32_t low, int32_t high, size_t n) {
    const int16x8_t origin = vdupq_n_s16((int16_t)zero);
    int16x8_t first = vqaddq_s16(vcombine_s16(vqmovn_s32(v[0]), vqmovn_s32(v[1])), origin);
    int16x8_t second = vqaddq_s16(vcombine_s16(vqmovn_s32(v[2]), vqmovn_s32(v[3])), origin);
    uint8x16_t bytes = vcombine_u8(vqmovun_s16(first), vqmovun_s16(second));
    qd_put(y, vminq_u8(vmaxq_u8(bytes, vdupq_n_u8((uint8_t)low)), vdupq_n_u8((uint8_t)high)), n);
}

/* Four tables of 64: what lies in none of them gives 0. */
static void qlook_up(uint8_t *y, const uint8_t *x, size_t n, const uint8_t *table) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        uint8x16_t at = vld1q_u8(x + i), found = vdupq_n_u8(0);
        for (int k = 0; k < 4; k++) {
            uint8x16x4_t part = {{vld1q_u8(table + 64 * k), vld1q_u8(table + 64 * k + 16),
                                  vld1q_u8(table + 64 * k + 32), vld1q_u8(table + 64 * k + 48)}};
            found = vorrq_u8(found, vqtbl4q_u8(part, at));
            at = vsubq_u8(at, vdupq_n_u8(64));
        }
        vst1q_u8(y + i, found);
    }
    for (; i < n; i++) y[i] = table[x[i]];
}

#define QD_BLOCK 16
#define QD_GROUP 1
#define QD_SIZE 2
#define QD_X uint8x16_t

static inline uint8x16_t qd_load(const uint8_t *p, size_t n) {
    if (n == QD_BLOCK) return vld1q_u8(p);
    uint8_t all[QD_BLOCK] = {0};
    __builtin_memcpy(all, p, n);
    return vld1q_u8(all);
}
static inline void qd_add(int32x4_t *acc, const uint8x16_t *x, const char *w) {
    int16x8_t low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(*x)));
    int16x8_t high = vreinterpretq_s16_u16(vmovl_u8(vget_high_u8(*x)));
    int16x8_t w0 = vreinterpretq_s16_s8(vld1q_s8((const int8_t *)w));
    int16x8_t w1 = vreinterpretq_s16_s8(vld1q_s8((const int8_t *)w + 16));
    acc[0] = vmlal_s16(acc[0], vget_low_s16(low), vget_low_s16(w0));
    acc[1] = vmlal_s16(acc[1], vget_high_s16(low), vget_high_s16(w0));
    acc[2] = vmlal_s16(acc[2], vget_low_s16(high), vget_low_s16(w1));
    acc[3] = vmlal_s16(acc[3], vget_high_s16(high), vget_high_s16(w1));
}
static inline void qd_store(uint8_t *y, const int32x4_t *v, int32_t zero, int32_t low, int32_t high, size_t n) {
    ql_store4(y, v, zero, low, high, n);
}

#include "kernels/qlast_rows.h"

void tn_qlast_neon(tn_kernels *table) {
    TN_QLAST_ROWS(table);
}
