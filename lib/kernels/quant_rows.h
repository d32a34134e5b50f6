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

/* Blocks of constant size become vectors; the last one goes through buffers of that size. */
enum { Q_ROW_BLOCK = 32 };

static inline __attribute__((always_inline)) void q_requantize_block(uint8_t *y, const int32_t *c, const float *scale,
                                                                     size_t step, int32_t zero, float least,
                                                                     float greatest) {
    for (size_t i = 0; i < Q_ROW_BLOCK; i++)
        y[i] = (uint8_t)(q_round((float)c[i] * scale[i * step], least, greatest) + zero);
}

static void qrequantize(void *y, const int32_t *c, size_t n, const float *scale, size_t step, int32_t zero, int32_t low,
                        int32_t high) {
    uint8_t *to = y, bytes[Q_ROW_BLOCK];
    const float least = (float)(low - zero), greatest = (float)(high - zero);
    size_t i = 0;
    for (; i + Q_ROW_BLOCK <= n; i += Q_ROW_BLOCK)
        if (step)
            q_requantize_block(to + i, c + i, scale + i, 1, zero, least, greatest);
        else
            q_requantize_block(to + i, c + i, scale, 0, zero, least, greatest);
    if (i == n) return;
    int32_t rest[Q_ROW_BLOCK] = {0};
    float scales[Q_ROW_BLOCK] = {0};
    memcpy(rest, c + i, (n - i) * sizeof *c);
    if (step) {
        memcpy(scales, scale + i, (n - i) * sizeof *scale);
        q_requantize_block(bytes, rest, scales, 1, zero, least, greatest);
    } else {
        q_requantize_block(bytes, rest, scale, 0, zero, least, greatest);
    }
    memcpy(to + i, bytes, n - i);
}

static void qscale(float *y, const int32_t *c, size_t n, const float *scale, size_t step, const float *bias) {
    if (step == 0)
        for (size_t i = 0; i < n; i++) y[i] = (float)c[i] * *scale;
    else
        for (size_t i = 0; i < n; i++) y[i] = (float)c[i] * scale[i];
    for (size_t i = 0; bias && i < n; i++) y[i] += bias[i];
}

static inline __attribute__((always_inline)) void q_quantize_block(uint8_t *y, const float *x, float scale,
                                                                   int32_t zero, float least, float greatest) {
    for (size_t i = 0; i < Q_ROW_BLOCK; i++) y[i] = (uint8_t)(q_round(x[i] / scale, least, greatest) + zero);
}

static void quantize(void *y, const float *x, size_t n, float scale, int32_t zero, int32_t low, int32_t high) {
    uint8_t *to = y, bytes[Q_ROW_BLOCK];
    const float least = (float)(low - zero), greatest = (float)(high - zero);
    size_t i = 0;
    for (; i + Q_ROW_BLOCK <= n; i += Q_ROW_BLOCK) q_quantize_block(to + i, x + i, scale, zero, least, greatest);
    if (i == n) return;
    float rest[Q_ROW_BLOCK] = {0};
    memcpy(rest, x + i, (n - i) * sizeof *x);
    q_quantize_block(bytes, rest, scale, zero, least, greatest);
    memcpy(to + i, bytes, n - i);
}

static void dequantize(float *y, const void *x, size_t n, bool x_signed, float scale, int32_t zero) {
    const int8_t *s = x;
    const uint8_t *u = x;
    if (x_signed)
        for (size_t i = 0; i < n; i++) y[i] = (float)(s[i] - zero) * scale;
    else
        for (size_t i = 0; i < n; i++) y[i] = (float)(u[i] - zero) * scale;
}

static inline __attribute__((always_inline)) void q_dequantize_rows(float *y, const uint8_t *q, size_t rows, size_t n,
                                                                    int bits, const float *scale, const float *zero) {
    const size_t per = 8 / (size_t)bits, bytes = n / per;
    for (; rows > 0; rows--, y += n, q += bytes)
        for (size_t part = 0; part < per; part++) {
            const size_t at = part * bytes;
            for (size_t i = 0; i < bytes; i++)
                y[at + i] = ((float)(q[i] >> (part * (size_t)bits) & ((1 << bits) - 1)) - zero[at + i]) * scale[at + i];
        }
}

/* Of 3 bits: each column's 8 rows lie in 24 bits, of which the bytes are n apart. */
static inline __attribute__((always_inline)) void q_dequantize_eighth(float *y, const uint8_t *q, size_t rows, size_t n,
                                                                      size_t at, size_t count, const float *scale,
                                                                      const float *zero) {
    uint32_t bits[16];
    for (size_t i = 0; i < count; i++)
        bits[i] = q[at + i] | (uint32_t)q[n + at + i] << 8 | (uint32_t)q[2 * n + at + i] << 16;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < count; i++)
            y[r * n + at + i] = ((float)(int32_t)(bits[i] >> (3 * r) & 7) - zero[at + i]) * scale[at + i];
}

static void q_dequantize_3(float *y, const uint8_t *q, size_t rows, size_t n, const float *scale, const float *zero) {
    for (size_t done = 0; done < rows; done += 8, q += 3 * n, y += 8 * n) {
        const size_t count = rows - done < 8 ? rows - done : 8;
        size_t at = 0;
        for (; at + 16 <= n; at += 16) q_dequantize_eighth(y, q, count, n, at, 16, scale, zero);
        if (at < n) q_dequantize_eighth(y, q, count, n, at, n - at, scale, zero);
    }
}

static void dequantize_panel(float *y, const uint8_t *q, size_t rows, size_t n, int bits, const float *scale,
                             const float *zero) {
    if (bits == 4)
        q_dequantize_rows(y, q, rows, n, 4, scale, zero);
    else if (bits == 8)
        q_dequantize_rows(y, q, rows, n, 8, scale, zero);
    else if (bits == 3)
        q_dequantize_3(y, q, rows, n, scale, zero);
    else
        q_dequantize_rows(y, q, rows, n, 2, scale, zero);
}

static void qwiden(int16_t *restrict y, const uint8_t *restrict x, size_t n) {
    size_t i = 0;
    for (; i + Q_ROW_BLOCK <= n; i += Q_ROW_BLOCK)
        for (size_t k = 0; k < Q_ROW_BLOCK; k++) y[i + k] = x[i + k];
    for (; i < n; i++) y[i] = x[i];
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

#define TN_QUANT_ROWS(table)                                                                                           \
    do {                                                                                                               \
        (table)->qgemm_us = qgemm_us;                                                                                  \
        (table)->qgemm_su = qgemm_su;                                                                                  \
        (table)->qgemm_fix = qgemm_fix;                                                                                \
        (table)->qrequantize = qrequantize;                                                                            \
        (table)->qscale = qscale;                                                                                      \
        (table)->quantize = quantize;                                                                                  \
        (table)->dequantize = dequantize;                                                                              \
        (table)->dequantize_panel = dequantize_panel;                                                                  \
        (table)->qwiden = qwiden;                                                                                      \
        (table)->qrange = qrange;                                                                                      \
        (table)->qconv_row = qconv_row;                                                                                \
    } while (0)
