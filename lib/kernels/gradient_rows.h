/* Template of the kernels of gradient.inc. Plain loops, which the compiler makes vectors of at each level: every operation
 * is one of IEEE 754's, so the bits do not depend on the width. */
#include <math.h>
#include "kernels/kernels.h"

#define TN_LSTM(real, suffix)                                                                                          \
    static void lstm_grad_##suffix(size_t n, real *restrict gates, const real *restrict t, const real *restrict c,     \
                                   const real *restrict dh, real *restrict dc) {                                       \
        for (size_t i = 0; i < n; i++) {                                                                               \
            real in = gates[i], out = gates[n + i], forget = gates[2 * n + i], cell = gates[3 * n + i];                \
            real d = dc[i] + dh[i] * out * (1 - t[i] * t[i]);                                                          \
            gates[i] = d * cell * (in * (1 - in));                                                                     \
            gates[n + i] = dh[i] * t[i] * (out * (1 - out));                                                           \
            gates[2 * n + i] = d * c[i] * (forget * (1 - forget));                                                     \
            gates[3 * n + i] = d * in * (1 - cell * cell);                                                             \
            dc[i] = d * forget;                                                                                        \
        }                                                                                                              \
    }

TN_LSTM(float, f32)
TN_LSTM(double, f64)

static void relu_grad_f32(size_t n, const float *restrict dy, const float *restrict y, float *restrict dx) {
    for (size_t i = 0; i < n; i++) dx[i] = y[i] > 0 ? dy[i] : 0;
}

/* Eight sums side by side, over pieces short enough for float32; the pieces' in float64. */
enum { LANES = 8, PIECE = 512 };
static float lanes_together(const float *x) {
    return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
}
static void two_sums_f32(size_t n, const float *restrict dy, const float *restrict x, float centre, double *sums) {
    for (size_t at = 0; at < n; at += PIECE) {
        const size_t count = n - at < PIECE ? n - at : PIECE, whole = count / LANES * LANES;
        const float *d = dy + at, *from = x + at;
        float first[LANES] = {0}, second[LANES] = {0};
        for (size_t i = 0; i < whole; i += LANES)
            for (size_t k = 0; k < LANES; k++) {
                first[k] += d[i + k];
                second[k] += d[i + k] * (from[i + k] - centre);
            }
        for (size_t i = whole; i < count; i++) {
            first[i - whole] += d[i];
            second[i - whole] += d[i] * (from[i] - centre);
        }
        sums[0] += (double)lanes_together(first);
        sums[1] += (double)lanes_together(second);
    }
}

static void two_terms_f32(size_t n, float a, const float *restrict dy, float b, const float *restrict x, float c,
                          float *restrict dx) {
    for (size_t i = 0; i < n; i++) dx[i] = a * dy[i] + (b * x[i] + c);
}

static void softmax_grad_f32(size_t n, const float *restrict dy, const float *restrict y, float *restrict dx) {
    double sums[2] = {0, 0};
    two_sums_f32(n, y, dy, 0, sums);
    const float sum = (float)sums[1];
    for (size_t i = 0; i < n; i++) dx[i] = y[i] * (dy[i] - sum);
}

/* Sums of x and, around a centre, of its squares. */
static void moments(size_t n, const float *restrict x, float *centre, double *variance) {
    double sums[2] = {0, 0};
    for (int pass = 0; pass < 2; pass++) {
        double all = 0;
        for (size_t at = 0; at < n; at += PIECE) {
            const size_t count = n - at < PIECE ? n - at : PIECE, whole = count / LANES * LANES;
            const float *from = x + at, middle = (float)sums[0];
            float lanes[LANES] = {0};
            for (size_t i = 0; i < whole && !pass; i += LANES)
                for (size_t k = 0; k < LANES; k++) lanes[k] += from[i + k];
            for (size_t i = whole; i < count && !pass; i++) lanes[i - whole] += from[i];
            for (size_t i = 0; i < whole && pass; i += LANES)
                for (size_t k = 0; k < LANES; k++) lanes[k] += (from[i + k] - middle) * (from[i + k] - middle);
            for (size_t i = whole; i < count && pass; i++) lanes[i - whole] += (from[i] - middle) * (from[i] - middle);
            all += (double)lanes_together(lanes);
        }
        sums[pass] = all / (double)n;
    }
    *centre = (float)sums[0];
    const double off = sums[0] - (double)*centre;
    *variance = sums[1] - off * off;
}

static void layer_norm_grad_f32(size_t n, const float *restrict dy, const float *restrict x,
                                const float *restrict scale, double epsilon, float *restrict dx,
                                float *restrict by_scale, float *restrict by_bias) {
    float centre;
    double variance, sums[2] = {0, 0};
    moments(n, x, &centre, &variance);
    for (size_t i = 0; i < n; i++) dx[i] = dy[i] * scale[i];
    two_sums_f32(n, dx, x, centre, sums);
    const double inverse = 1 / sqrt(variance + epsilon), slope = -inverse * inverse * inverse * sums[1] / (double)n;
    const float a = (float)inverse, b = (float)slope, c = (float)(-inverse * sums[0] / (double)n);
    for (size_t i = 0; i < n; i++) {
        const float from_mean = x[i] - centre;
        dx[i] = a * dx[i] + (b * from_mean + c);
        by_scale[i] += dy[i] * (from_mean * a);
        by_bias[i] += dy[i];
    }
}

void TN_LEVEL_OVERLAY(tn_kernels *table) {
#define TN_KERNEL(name, parameters) table->name = name;
#include "kernels/gradient.inc"
#undef TN_KERNEL
}
