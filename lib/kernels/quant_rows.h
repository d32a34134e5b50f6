/* Loops over rows of quantized values, in plain C: each level's file includes this and so gets the code that its
 * compiler flags allow. All do the same operations on each element, hence the same bits. */
#include <string.h>

static void qgemm_fix(int32_t *c, size_t n, int32_t p, const int32_t *u, int32_t q, const int32_t *v, int32_t r) {
    uint32_t *to = (uint32_t *)c;
    const uint32_t up = (uint32_t)p, uq = (uint32_t)q, ur = (uint32_t)r;
    if (u && v)
        for (size_t i = 0; i < n; i++) to[i] += up * (uint32_t)u[i] + uq * (uint32_t)v[i] + ur;
    else if (u)
        for (size_t i = 0; i < n; i++) to[i] += up * (uint32_t)u[i] + ur;
    else if (v)
        for (size_t i = 0; i < n; i++) to[i] += uq * (uint32_t)v[i] + ur;
    else
        for (size_t i = 0; i < n; i++) to[i] += ur;
}

/* The comparisons are so that NaN becomes `low`: a conversion of NaN to an integer is undefined. */
static inline int32_t q_round(float f, float low, float high) {
    f = f > low ? f : low;
    f = f < high ? f : high;
    return (int32_t)__builtin_rintf(f);
}

static void qrequantize(void *y, const int32_t *c, size_t n, const float *scale, size_t step, int32_t zero, int32_t low,
                        int32_t high) {
    uint8_t *to = y;
    const float least = (float)(low - zero), greatest = (float)(high - zero), s = *scale;
    if (step == 0)
        for (size_t i = 0; i < n; i++) to[i] = (uint8_t)(q_round((float)c[i] * s, least, greatest) + zero);
    else
        for (size_t i = 0; i < n; i++) to[i] = (uint8_t)(q_round((float)c[i] * scale[i], least, greatest) + zero);
}

static void qscale(float *y, const int32_t *c, size_t n, const float *scale, size_t step, const float *bias) {
    if (step == 0)
        for (size_t i = 0; i < n; i++) y[i] = (float)c[i] * *scale;
    else
        for (size_t i = 0; i < n; i++) y[i] = (float)c[i] * scale[i];
    for (size_t i = 0; bias && i < n; i++) y[i] += bias[i];
}

static void quantize(void *y, const float *x, size_t n, float scale, int32_t zero, int32_t low, int32_t high) {
    uint8_t *to = y;
    const float least = (float)(low - zero), greatest = (float)(high - zero);
    for (size_t i = 0; i < n; i++) to[i] = (uint8_t)(q_round(x[i] / scale, least, greatest) + zero);
}

static void dequantize(float *y, const void *x, size_t n, bool x_signed, float scale, int32_t zero) {
    const int8_t *s = x;
    const uint8_t *u = x;
    if (x_signed)
        for (size_t i = 0; i < n; i++) y[i] = (float)(s[i] - zero) * scale;
    else
        for (size_t i = 0; i < n; i++) y[i] = (float)(u[i] - zero) * scale;
}

static void qrange(const float *x, size_t n, float *low, float *high) {
    enum { LANES = 16 };
    float least[LANES] = {0}, greatest[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++) {
            least[j] = x[i + j] < least[j] ? x[i + j] : least[j];
            greatest[j] = x[i + j] > greatest[j] ? x[i + j] : greatest[j];
        }
    for (; i < n; i++) {
        least[0] = x[i] < least[0] ? x[i] : least[0];
        greatest[0] = x[i] > greatest[0] ? x[i] : greatest[0];
    }
    for (size_t j = 1; j < LANES; j++) {
        least[0] = least[j] < least[0] ? least[j] : least[0];
        greatest[0] = greatest[j] > greatest[0] ? greatest[j] : greatest[0];
    }
    *low = least[0];
    *high = greatest[0];
}

/* Some columns at a time stay in registers for all taps. */
static inline __attribute__((always_inline)) void q_conv_block(uint32_t *c, size_t n, size_t taps, const int32_t *w,
                                                               const uint8_t *const *x, size_t at, size_t stride,
                                                               bool x_signed) {
    for (size_t t = 0; t < taps; t++) {
        const uint32_t weight = (uint32_t)w[t];
        const uint8_t *u = x[t] + at * stride;
        const int8_t *s = (const int8_t *)u;
        if (x_signed)
            for (size_t i = 0; i < n; i++) c[i] += weight * (uint32_t)s[i * stride];
        else
            for (size_t i = 0; i < n; i++) c[i] += weight * u[i * stride];
    }
}

static void qconv_row(int32_t *c, size_t n, size_t taps, const int32_t *w, const uint8_t *const *x, size_t stride,
                      bool x_signed) {
    enum { BLOCK = 32 };
    size_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK) {
        uint32_t sum[BLOCK];
        memcpy(sum, c + i, sizeof sum);
        if (stride == 1)
            x_signed ? q_conv_block(sum, BLOCK, taps, w, x, i, 1, true)
                     : q_conv_block(sum, BLOCK, taps, w, x, i, 1, false);
        else
            q_conv_block(sum, BLOCK, taps, w, x, i, stride, x_signed);
        memcpy(c + i, sum, sizeof sum);
    }
    q_conv_block((uint32_t *)c + i, n - i, taps, w, x, i, stride, x_signed);
}

#define TN_QUANT_ROWS(table)                                                                                           \
    do {                                                                                                               \
        (table)->qgemm_us = qgemm_us;                                                                                  \
        (table)->qgemm_su = qgemm_su;                                                                                  \
        (table)->qgemm_fix = qgemm_fix;                                                                                \
        (table)->qrequantize = qrequantize;                                                                            \
        (table)->qscale = qscale;                                                                                      \
        (table)->quantize = quantize;                                                                                  \
        (table)->dequantize = dequantize;                                                                              \
        (table)->qrange = qrange;                                                                                      \
        (table)->qconv_row = qconv_row;                                                                                \
    } while (0)
