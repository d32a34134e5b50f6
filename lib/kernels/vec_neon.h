/* Vectors of 4 lanes by NEON of 64-bit ARM. vec_scalar.h is the manual. */
#ifndef TN_VEC_H
#define TN_VEC_H

#include <arm_neon.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* One line a name, to be read as a table. */
/* clang-format off */
#define VF_WIDTH 4
typedef float32x4_t vf;
typedef int32x4_t vi;
typedef uint32x4_t vm; /* all bits of a lane alike */

static inline vf vf_load(const float *p) { return vld1q_f32(p); }
static inline void vf_store(float *p, vf a) { vst1q_f32(p, a); }
static inline vf vf_load_n(const float *p, size_t n) {
    float lanes[4] = {0};
    memcpy(lanes, p, n * sizeof *p);
    return vld1q_f32(lanes);
}
static inline void vf_store_n(float *p, vf a, size_t n) {
    float lanes[4];
    vst1q_f32(lanes, a);
    memcpy(p, lanes, n * sizeof *p);
}
static inline vf vf_load_even(const float *p) { return vuzp1q_f32(vld1q_f32(p), vld1q_f32(p + 4)); }
static inline vf vf_load_even_n(const float *p, size_t n) {
    float lanes[4] = {0};
    for (size_t i = 0; i < n; i++) lanes[i] = p[2 * i];
    return vld1q_f32(lanes);
}
static inline vf vf_set(float a) { return vdupq_n_f32(a); }
static inline vf vf_add(vf a, vf b) { return vaddq_f32(a, b); }
static inline vf vf_sub(vf a, vf b) { return vsubq_f32(a, b); }
static inline vf vf_mul(vf a, vf b) { return vmulq_f32(a, b); }
static inline vf vf_div(vf a, vf b) { return vdivq_f32(a, b); }
static inline vf vf_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
static inline vf vf_fnma(vf a, vf b, vf c) { return vfmsq_f32(c, a, b); }
/* Not vminq and vmaxq, which give NaN where either is NaN, whatever the order. */
static inline vf vf_min(vf a, vf b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
static inline vf vf_max(vf a, vf b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
static inline vf vf_abs(vf a) { return vabsq_f32(a); }
static inline vf vf_neg(vf a) { return vnegq_f32(a); }
static inline vf vf_copysign(vf a, vf sign) { return vbslq_f32(vdupq_n_u32(0x80000000), sign, a); }
static inline vf vf_sqrt(vf a) { return vsqrtq_f32(a); }
static inline vf vf_floor(vf a) { return vrndmq_f32(a); }
static inline vf vf_ceil(vf a) { return vrndpq_f32(a); }
static inline vf vf_round(vf a) { return vrndnq_f32(a); }
static inline vm vf_lt(vf a, vf b) { return vcltq_f32(a, b); }
static inline vm vf_le(vf a, vf b) { return vcleq_f32(a, b); }
static inline vm vf_eq(vf a, vf b) { return vceqq_f32(a, b); }
static inline vm vf_nan(vf a) { return vmvnq_u32(vceqq_f32(a, a)); }
static inline vm vm_and(vm a, vm b) { return vandq_u32(a, b); }
static inline vm vm_or(vm a, vm b) { return vorrq_u32(a, b); }
static inline vm vm_none(void) { return vdupq_n_u32(0); }
static inline vm vm_first(size_t n) {
    static const uint32_t lanes[4] = {0, 1, 2, 3};
    return vcltq_u32(vld1q_u32(lanes), vdupq_n_u32((uint32_t)n));
}
static inline int vm_any(vm a) { return vmaxvq_u32(a) != 0; }
static inline vf vf_select(vm m, vf a, vf b) { return vbslq_f32(m, a, b); }
static inline vf vf_even(vf a, vf b) { return vuzp1q_f32(a, b); }
static inline vf vf_odd(vf a, vf b) { return vuzp2q_f32(a, b); }
static inline vf vf_zip_low(vf a, vf b) { return vzip1q_f32(a, b); }
static inline vf vf_zip_high(vf a, vf b) { return vzip2q_f32(a, b); }

static inline float vf_sum(vf a) {
    float32x2_t s = vadd_f32(vget_low_f32(a), vget_high_f32(a));
    return vget_lane_f32(vpadd_f32(s, s), 0);
}
static inline float vf_high(vf a) { return vmaxvq_f32(a); }
static inline float vf_low(vf a) { return vminvq_f32(a); }

static inline vi vi_load(const int32_t *p) { return vld1q_s32(p); }
static inline void vi_store(int32_t *p, vi a) { vst1q_s32(p, a); }
static inline vi vi_load_n(const int32_t *p, size_t n) {
    int32_t lanes[4] = {0};
    memcpy(lanes, p, n * sizeof *p);
    return vld1q_s32(lanes);
}
static inline void vi_store_n(int32_t *p, vi a, size_t n) {
    int32_t lanes[4];
    vst1q_s32(lanes, a);
    memcpy(p, lanes, n * sizeof *p);
}
static inline vi vi_set(int32_t a) { return vdupq_n_s32(a); }
static inline vi vi_add(vi a, vi b) { return vaddq_s32(a, b); }
static inline vi vi_sub(vi a, vi b) { return vsubq_s32(a, b); }
static inline vi vi_mul(vi a, vi b) { return vmulq_s32(a, b); }
static inline vi vi_min(vi a, vi b) { return vminq_s32(a, b); }
static inline vi vi_max(vi a, vi b) { return vmaxq_s32(a, b); }
static inline vi vi_and(vi a, vi b) { return vandq_s32(a, b); }
static inline vi vi_or(vi a, vi b) { return vorrq_s32(a, b); }
static inline vi vi_xor(vi a, vi b) { return veorq_s32(a, b); }
static inline vi vi_shl(vi a, int n) { return vshlq_s32(a, vdupq_n_s32(n)); }
static inline vi vi_shr(vi a, int n) {
    return vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a), vdupq_n_s32(-n)));
}
static inline vi vi_sar(vi a, int n) { return vshlq_s32(a, vdupq_n_s32(-n)); }
static inline vm vi_eq(vi a, vi b) { return vceqq_s32(a, b); }
static inline vm vi_lt(vi a, vi b) { return vcltq_s32(a, b); }
static inline vi vi_select(vm m, vi a, vi b) { return vbslq_s32(m, a, b); }

static inline vi vf_bits(vf a) { return vreinterpretq_s32_f32(a); }
static inline vf vi_float(vi a) { return vreinterpretq_f32_s32(a); }
static inline vi vf_to_int(vf a) { return vcvtnq_s32_f32(a); }
static inline vf vi_to_float(vi a) { return vcvtq_f32_s32(a); }
static inline vf vf_scale(vf a, vf n) {
    vi whole = vf_to_int(n), half = vi_sar(whole, 1), bias = vi_set(127);
    a = vf_mul(a, vi_float(vi_shl(vi_add(half, bias), 23)));
    return vf_mul(a, vi_float(vi_shl(vi_add(vi_sub(whole, half), bias), 23)));
}

/* clang-format on */

#endif
