/* Transpose and resampling with NEON. */
#include "kernels/registry.h"
#include "kernels/transpose.h"
#include <arm_neon.h>

static inline void tile_1(const char *s, int64_t ss, char *d, int64_t ds) {
    uint8x8_t r[8];
    for (int i = 0; i < 8; i++) r[i] = vld1_u8((const uint8_t *)(s + i * ss));
    for (int i = 0; i < 8; i += 2) {
        uint8x8x2_t t = vtrn_u8(r[i], r[i + 1]);
        r[i] = t.val[0], r[i + 1] = t.val[1];
    }
    for (int i = 0; i < 8; i++)
        if (!(i & 2)) {
            uint16x4x2_t t = vtrn_u16(vreinterpret_u16_u8(r[i]), vreinterpret_u16_u8(r[i + 2]));
            r[i] = vreinterpret_u8_u16(t.val[0]), r[i + 2] = vreinterpret_u8_u16(t.val[1]);
        }
    for (int i = 0; i < 4; i++) {
        uint32x2x2_t t = vtrn_u32(vreinterpret_u32_u8(r[i]), vreinterpret_u32_u8(r[i + 4]));
        vst1_u8((uint8_t *)(d + i * ds), vreinterpret_u8_u32(t.val[0]));
        vst1_u8((uint8_t *)(d + (i + 4) * ds), vreinterpret_u8_u32(t.val[1]));
    }
}

static inline void tile_2(const char *s, int64_t ss, char *d, int64_t ds) {
    uint16x8_t r[8];
    for (int i = 0; i < 8; i++) r[i] = vreinterpretq_u16_u8(vld1q_u8((const uint8_t *)(s + i * ss)));
    for (int i = 0; i < 8; i += 2) {
        uint16x8x2_t t = vtrnq_u16(r[i], r[i + 1]);
        r[i] = t.val[0], r[i + 1] = t.val[1];
    }
    for (int i = 0; i < 8; i++)
        if (!(i & 2)) {
            uint32x4x2_t t = vtrnq_u32(vreinterpretq_u32_u16(r[i]), vreinterpretq_u32_u16(r[i + 2]));
            r[i] = vreinterpretq_u16_u32(t.val[0]), r[i + 2] = vreinterpretq_u16_u32(t.val[1]);
        }
    for (int i = 0; i < 4; i++) {
        uint64x2_t a = vreinterpretq_u64_u16(r[i]), b = vreinterpretq_u64_u16(r[i + 4]);
        vst1q_u8((uint8_t *)(d + i * ds), vreinterpretq_u8_u64(vtrn1q_u64(a, b)));
        vst1q_u8((uint8_t *)(d + (i + 4) * ds), vreinterpretq_u8_u64(vtrn2q_u64(a, b)));
    }
}

static inline void tile_4(const char *s, int64_t ss, char *d, int64_t ds) {
    uint32x4_t r[4];
    for (int i = 0; i < 4; i++) r[i] = vreinterpretq_u32_u8(vld1q_u8((const uint8_t *)(s + i * ss)));
    uint32x4x2_t t = vtrnq_u32(r[0], r[1]), u = vtrnq_u32(r[2], r[3]);
    for (int i = 0; i < 2; i++) {
        uint64x2_t a = vreinterpretq_u64_u32(t.val[i]), b = vreinterpretq_u64_u32(u.val[i]);
        vst1q_u8((uint8_t *)(d + i * ds), vreinterpretq_u8_u64(vtrn1q_u64(a, b)));
        vst1q_u8((uint8_t *)(d + (i + 2) * ds), vreinterpretq_u8_u64(vtrn2q_u64(a, b)));
    }
}

static inline void tile_8(const char *s, int64_t ss, char *d, int64_t ds) {
    uint64x2_t a = vreinterpretq_u64_u8(vld1q_u8((const uint8_t *)s));
    uint64x2_t b = vreinterpretq_u64_u8(vld1q_u8((const uint8_t *)(s + ss)));
    vst1q_u8((uint8_t *)d, vreinterpretq_u8_u64(vtrn1q_u64(a, b)));
    vst1q_u8((uint8_t *)(d + ds), vreinterpretq_u8_u64(vtrn2q_u64(a, b)));
}

TN_TRANSPOSE_ONE(one_1, uint8_t)
TN_TRANSPOSE(transpose_1, uint8_t, 8, 64, tile_1, one_1)
TN_TRANSPOSE_ONE(one_2, uint16_t)
TN_TRANSPOSE(transpose_2, uint16_t, 8, 32, tile_2, one_2)
TN_TRANSPOSE_ONE(one_4, uint32_t)
TN_TRANSPOSE(transpose_4, uint32_t, 4, 16, tile_4, one_4)
TN_TRANSPOSE_ONE(one_8, uint64_t)
TN_TRANSPOSE(transpose_8, uint64_t, 2, 8, tile_8, one_8)

static void weigh_rows_f32(int64_t n, int64_t taps, const float *src, int64_t row, const int32_t *index,
                           const float *weights, int64_t step, float *dst) {
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        float32x4_t sum[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
        for (int64_t k = 0; k < taps; k++) {
            const float *from = src + index[k * step] * row + i;
            for (int v = 0; v < 4; v++) sum[v] = vfmaq_n_f32(sum[v], vld1q_f32(from + v * 4), weights[k * step]);
        }
        for (int v = 0; v < 4; v++) vst1q_f32(dst + i + v * 4, sum[v]);
    }
    for (; i < n; i++) {
        float sum = 0;
        for (int64_t k = 0; k < taps; k++) sum = __builtin_fmaf(weights[k * step], src[index[k * step] * row + i], sum);
        dst[i] = sum;
    }
}

static void rotate_f32(int64_t n, const float *a, const float *b, const float *cos, const float *sin, float *out_a,
                       float *out_b) {
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t x = vld1q_f32(a + i), y = vld1q_f32(b + i), c = vld1q_f32(cos + i), s = vld1q_f32(sin + i);
        vst1q_f32(out_a + i, vfmaq_f32(vnegq_f32(vmulq_f32(s, y)), c, x));
        vst1q_f32(out_b + i, vfmaq_f32(vmulq_f32(c, y), s, x));
    }
    for (; i < n; i++) {
        float x = a[i], y = b[i];
        out_a[i] = __builtin_fmaf(cos[i], x, -(sin[i] * y));
        out_b[i] = __builtin_fmaf(sin[i], x, cos[i] * y);
    }
}

void tn_copy_neon(tn_kernels *table) {
    table->transpose_1 = transpose_1;
    table->transpose_2 = transpose_2;
    table->transpose_4 = transpose_4;
    table->transpose_8 = transpose_8;
    table->weigh_rows_f32 = weigh_rows_f32;
    table->rotate_f32 = rotate_f32;
}
