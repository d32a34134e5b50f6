/* Template of the kernels of gradient.inc. Plain loops, which the compiler makes vectors of at each level: every operation
 * is one of IEEE 754's, so the bits do not depend on the width. */
#include <math.h>
#include "base/base.h"
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

/* Eight sums side by side, over pieces short enough for float32; the pieces' in float64. What is left of a piece is filled
 * up with zeros. */
enum { LANES = 8, PIECE = 512 };
typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t lane_bits __attribute__((vector_size(LANES * sizeof(int32_t))));
#define ALWAYS static inline __attribute__((always_inline))

ALWAYS float lanes_together(const lanes *sums) {
    float x[LANES];
    memcpy(x, sums, sizeof x);
    return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
}
/* Elements i and on of n. */
ALWAYS void load_lanes(lanes *to, const float *x, size_t i, size_t n) {
    *to = (lanes){0};
    if (i + LANES <= n)
        memcpy(to, x + i, sizeof *to);
    else
        memcpy(to, x + i, (n - i) * sizeof *x);
}

/* masked: where the line l x + m is not above 0, dy counts as 0. */
ALWAYS void sum_up(size_t n, const float *restrict dy, const float *restrict x, bool masked, float l, float m,
                   float centre, double *sums) {
    for (size_t at = 0; at < n; at += PIECE) {
        const size_t end = n - at < PIECE ? n : at + PIECE;
        lanes first = {0}, second = {0}, d, v;
        for (size_t i = at; i < end; i += LANES) {
            load_lanes(&d, dy, i, end);
            load_lanes(&v, x, i, end);
            if (masked) d = (lanes)((lane_bits)d & (l * v + m > 0));
            first += d;
            second += d * (v - centre);
        }
        sums[0] += (double)lanes_together(&first);
        sums[1] += (double)lanes_together(&second);
    }
}
static void two_sums_f32(size_t n, const float *dy, const float *x, const float *line, float centre, double *sums) {
    if (line)
        sum_up(n, dy, x, true, line[0], line[1], centre, sums);
    else
        sum_up(n, dy, x, false, 0, 0, centre, sums);
}

ALWAYS void add_terms(size_t n, float a, const float *restrict dy, float b, const float *restrict x, bool masked,
                      float l, float m, float c, float *restrict dx) {
    for (size_t i = 0; i < n; i++) dx[i] = a * (!masked || l * x[i] + m > 0 ? dy[i] : 0) + (b * x[i] + c);
}
static void two_terms_f32(size_t n, float a, const float *dy, float b, const float *x, const float *line, float c,
                          float *dx) {
    if (line)
        add_terms(n, a, dy, b, x, true, line[0], line[1], c, dx);
    else
        add_terms(n, a, dy, b, x, false, 0, 0, c, dx);
}

static void softmax_grad_f32(size_t n, const float *restrict dy, const float *restrict y, float *restrict dx) {
    double sums[2] = {0, 0};
    two_sums_f32(n, y, dy, NULL, 0, sums);
    const float sum = (float)sums[1];
    for (size_t i = 0; i < n; i++) dx[i] = y[i] * (dy[i] - sum);
}

/* Sums of x and, around a centre, of its squares. */
static void moments(size_t n, const float *restrict x, float *centre, double *variance) {
    double sums[2] = {0, 0};
    for (int pass = 0; pass < 2; pass++) {
        double all = 0;
        const float middle = (float)sums[0];
        for (size_t at = 0; at < n; at += PIECE) {
            const size_t end = n - at < PIECE ? n : at + PIECE, whole = at + (end - at) / LANES * LANES;
            lanes sum = {0}, v;
            for (size_t i = at; i < whole; i += LANES) {
                load_lanes(&v, x, i, n);
                sum += pass ? (v - middle) * (v - middle) : v;
            }
            for (size_t i = whole; i < end; i++) {
                const float from = pass ? (x[i] - middle) * (x[i] - middle) : x[i];
                all += (double)from;
            }
            all += (double)lanes_together(&sum);
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
    two_sums_f32(n, dx, x, NULL, centre, sums);
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
