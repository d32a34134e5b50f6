/* Kernels on channels-last bytes for every instruction set. The including file defines
 *   QL_LANES, QL_I, QL_F       int32 or float in a vector; its types
 *   ql_load_i, ql_load_f, ql_set_i, ql_set_f, ql_zero()
 *   ql_bytes(p)                QL_LANES bytes, as QL_I
 *   ql_add_i, ql_mul_i (of 16-bit values), ql_to_f, ql_to_i (rounds to even), ql_add, ql_mul, ql_fma(a, b, c) = a * b + c
 *   ql_max(v, bound), ql_min(v, bound)  bound where v is NaN
 *   ql_store(y, v, n)          n of QL_LANES values of [0, 255] as bytes
 *   ql_most(v)                 the greatest magnitude; infinity where it finds a NaN
 *   ql_store4(y, v, zero, low, high, n)  n of four vectors' values, each plus zero and limited, as bytes: what narrowing
 *                              with saturation makes cheap where all values fit 32 bits
 * and for the depthwise convolution
 *   QD_BLOCK, QD_GROUP, QD_SIZE   as in tn_qdepth_layout; QD_X, a block of bytes
 *   qd_load(p, n)              n of QD_BLOCK bytes, the rest arbitrary and perhaps not read
 *   qd_max(a, b), qd_put(y, x, n)  of such blocks; stores n bytes
 *   qd_add(acc, x, w)          adds QD_GROUP taps to four accumulators
 *   qd_store(y, v, zero, low, high, n)  the inverse of the weaving: four accumulators, plus zero, limited, as n bytes
 * All levels do the same operations on each element, hence the same bits. */
#include "kernels/qlast.h"
#include <string.h>

static inline __attribute__((always_inline)) QL_I ql_round(QL_F v, QL_F least, QL_F greatest) {
    return ql_to_i(ql_min(ql_max(v, least), greatest));
}

/* Sums are below 2^31, so scales up to this keep their products in 32 bits. */
#define QL_LARGEST_SCALE 0.5f

static void qfinish(uint8_t *y, size_t ldy, const int32_t *c, size_t ldc, size_t m, size_t n, const int32_t *offset,
                    const float *scale, int32_t zero, int32_t low, int32_t high) {
    const QL_F least = ql_set_f((float)(low - zero)), greatest = ql_set_f((float)(high - zero));
    const QL_I origin = ql_set_i(zero);
    size_t i = 0;
    for (; i + 3 * QL_LANES < n; i += 4 * QL_LANES) {
        const size_t width = n - i < 4 * QL_LANES ? n - i : 4 * QL_LANES;
        QL_I add[4];
        QL_F by[4];
        float most = 0;
        for (int k = 0; k < 4; k++) {
            add[k] = ql_load_i(offset + i + k * QL_LANES);
            by[k] = ql_load_f(scale + i + k * QL_LANES);
            float part = ql_most(by[k]);
            most = part > most ? part : most;
        }
        if (!(most <= QL_LARGEST_SCALE)) break;
        for (size_t r = 0; r < m; r++) {
            QL_I v[4];
            for (int k = 0; k < 4; k++)
                v[k] = ql_to_i(ql_mul(ql_to_f(ql_add_i(ql_load_i(c + r * ldc + i + k * QL_LANES), add[k])), by[k]));
            ql_store4(y + r * ldy + i, v, zero, low, high, width);
        }
    }
    for (; i < n; i += QL_LANES) {
        const QL_I add = ql_load_i(offset + i);
        const QL_F by = ql_load_f(scale + i);
        const size_t width = n - i < QL_LANES ? n - i : QL_LANES;
        for (size_t r = 0; r < m; r++) {
            QL_F v = ql_mul(ql_to_f(ql_add_i(ql_load_i(c + r * ldc + i), add)), by);
            ql_store(y + r * ldy + i, ql_add_i(ql_round(v, least, greatest), origin), width);
        }
    }
}

/* Bytes less the shift. */
static inline __attribute__((always_inline)) QL_I ql_values(const uint8_t *p, int32_t shift) {
    return ql_add_i(ql_bytes(p), ql_set_i(-shift));
}
static inline __attribute__((always_inline)) void ql_put(uint8_t *y, QL_F v, int32_t shift) {
    QL_I whole = ql_round(v, ql_set_f((float)-shift), ql_set_f((float)(255 - shift)));
    ql_store(y, ql_add_i(whole, ql_set_i(shift)), QL_LANES);
}

static inline __attribute__((always_inline)) void ql_add_block(uint8_t *y, const uint8_t *a, const uint8_t *b,
                                                               int32_t shift, float p, float q, float r) {
    const QL_F by_a = ql_set_f(p), by_b = ql_set_f(q), from = ql_set_f(r);
    for (size_t i = 0; i < TN_QLAST_PAD; i += QL_LANES) {
        QL_F v = ql_fma(ql_to_f(ql_values(b + i, shift)), by_b, from);
        ql_put(y + i, ql_fma(ql_to_f(ql_values(a + i, shift)), by_a, v), shift);
    }
}

static inline __attribute__((always_inline)) void
ql_mul_block(uint8_t *y, const uint8_t *a, const uint8_t *b, int32_t shift, int32_t za, int32_t zb, float p, float r) {
    const QL_F by = ql_set_f(p), from = ql_set_f(r);
    for (size_t i = 0; i < TN_QLAST_PAD; i += QL_LANES) {
        QL_I product = ql_mul_i(ql_values(a + i, shift + za), ql_values(b + i, shift + zb));
        ql_put(y + i, ql_add(ql_mul(ql_to_f(product), by), from), shift);
    }
}

/* Whole blocks, then the rest through buffers. */
#define QL_ROW(call)                                                                                                   \
    do {                                                                                                               \
        uint8_t rest[3][TN_QLAST_PAD] = {{0}};                                                                         \
        for (; n >= TN_QLAST_PAD; n -= TN_QLAST_PAD, a += TN_QLAST_PAD, b += TN_QLAST_PAD, y += TN_QLAST_PAD) call;    \
        if (n == 0) break;                                                                                             \
        uint8_t *end = y;                                                                                              \
        memcpy(rest[0], a, n);                                                                                         \
        memcpy(rest[1], b, n);                                                                                         \
        a = rest[0], b = rest[1], y = rest[2];                                                                         \
        call;                                                                                                          \
        memcpy(end, rest[2], n);                                                                                       \
    } while (0)

/* 4 * QL_LANES unsigned values at once, where no sum comes near the limits of 32 bits. */
static inline __attribute__((always_inline)) void ql_add_wide(uint8_t *y, const uint8_t *a, const uint8_t *b, float p,
                                                              float q, float r) {
    const QL_F by_a = ql_set_f(p), by_b = ql_set_f(q), from = ql_set_f(r);
    QL_I v[4];
    for (size_t i = 0; i < 4; i++) {
        QL_F sum = ql_fma(ql_to_f(ql_bytes(b + i * QL_LANES)), by_b, from);
        v[i] = ql_to_i(ql_fma(ql_to_f(ql_bytes(a + i * QL_LANES)), by_a, sum));
    }
    ql_store4(y, v, 0, 0, 255, 4 * QL_LANES);
}
static inline bool ql_small(float v) {
    return v > -0x1p20f && v < 0x1p20f;
}

static void qadd(uint8_t *y, const uint8_t *a, const uint8_t *b, size_t n, int32_t shift, float p, float q, float r) {
    if (shift == 0 && ql_small(p) && ql_small(q) && ql_small(r))
        for (; n >= 4 * QL_LANES; n -= 4 * QL_LANES, a += 4 * QL_LANES, b += 4 * QL_LANES, y += 4 * QL_LANES)
            ql_add_wide(y, a, b, p, q, r);
    QL_ROW(ql_add_block(y, a, b, shift, p, q, r));
}
static void qmul(uint8_t *y, const uint8_t *a, const uint8_t *b, size_t n, int32_t shift, int32_t za, int32_t zb,
                 float p, float r) {
    QL_ROW(ql_mul_block(y, a, b, shift, za, zb, p, r));
}

typedef struct {
    QL_F least, greatest;
    int32_t zero, low, high;
} qd_finish;

/* What the pixels of a run share. `here` tells where the taps of its first pixel lie, which are `step` apart. */
typedef struct {
    size_t channels, taps, step, width;
    const uint8_t *here[TN_QLAST_TAPS];
    const char *w;
    const int32_t *offset;
    const float *scale;
    qd_finish finish;
} qd_run;

/* A group of taps from `t` on; of the last one, taps that are not there repeat another, their weights being 0. */
static inline __attribute__((always_inline)) void qd_taps(const qd_run *run, QL_I acc[2][4], size_t pixels, size_t t,
                                                          size_t at, bool whole, bool last) {
#pragma GCC unroll 2
    for (size_t p = 0; p < pixels; p++) {
        QD_X part[QD_GROUP];
#pragma GCC unroll 4
        for (size_t g = 0; g < QD_GROUP; g++)
            part[g] = qd_load(run->here[last && t + g >= run->taps ? run->taps - 1 : t + g] + p * run->step + at,
                              whole ? QD_BLOCK : run->width);
        qd_add(acc[p], part, run->w + t * QD_BLOCK * QD_SIZE);
    }
}

/* Pixels side by side share the loads of weights; `at` is how far they are from the run's first. small: all results fit
 * 32 bits. whole: all channels of the block are there. All but run, y and at are constants, so that sums are registers. */
static inline __attribute__((always_inline)) void qd_pixels(const qd_run *run, size_t pixels, uint8_t *y, size_t at,
                                                            bool small, bool whole) {
    const qd_finish *f = &run->finish;
    QL_I acc[2][4];
    size_t t = 0;
#pragma GCC unroll 2
    for (size_t p = 0; p < pixels; p++)
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) acc[p][i] = ql_load_i(run->offset + i * QL_LANES);
    for (; t + QD_GROUP <= run->taps; t += QD_GROUP) qd_taps(run, acc, pixels, t, at, whole, false);
    if (t < run->taps) qd_taps(run, acc, pixels, t, at, whole, true);
#pragma GCC unroll 2
    for (size_t p = 0; p < pixels; p++) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            QL_F v = ql_mul(ql_to_f(acc[p][i]), ql_load_f(run->scale + i * QL_LANES));
            acc[p][i] = small ? ql_to_i(v) : ql_round(v, f->least, f->greatest);
        }
        qd_store(y + p * run->channels, acc[p], f->zero, f->low, f->high, whole ? QD_BLOCK : run->width);
    }
}

static inline __attribute__((always_inline)) void qd_block(const qd_run *run, uint8_t *y, size_t n, bool small,
                                                           bool whole) {
    size_t i = 0;
    for (; i + 2 <= n; i += 2) qd_pixels(run, 2, y + i * run->channels, i * run->step, small, whole);
    if (i < n) qd_pixels(run, 1, y + i * run->channels, i * run->step, small, whole);
}

static void qdepth(uint8_t *y, size_t n, size_t channels, size_t taps, const uint8_t *const *x, size_t step,
                   const void *w, const int32_t *offset, const float *scale, int32_t zero, int32_t low, int32_t high) {
    const size_t block_bytes = (taps + QD_GROUP - 1) / QD_GROUP * QD_GROUP * QD_BLOCK * QD_SIZE;
    qd_run run = {.channels = channels, .taps = taps, .step = step};
    run.finish = (qd_finish){ql_set_f((float)(low - zero)), ql_set_f((float)(high - zero)), zero, low, high};
    for (size_t at = 0; at < channels; at += QD_BLOCK) {
        float most = 0;
        for (int i = 0; i < 4; i++) {
            float part = ql_most(ql_load_f(scale + at + i * QL_LANES));
            most = part > most ? part : most;
        }
        for (size_t t = 0; t < taps; t++) run.here[t] = x[t] + at;
        run.width = channels - at < QD_BLOCK ? channels - at : QD_BLOCK;
        run.w = (const char *)w + at / QD_BLOCK * block_bytes;
        run.offset = offset + at;
        run.scale = scale + at;
        const bool small = most <= QL_LARGEST_SCALE;
        if (run.width == QD_BLOCK)
            small ? qd_block(&run, y + at, n, true, true) : qd_block(&run, y + at, n, false, true);
        else
            small ? qd_block(&run, y + at, n, true, false) : qd_block(&run, y + at, n, false, false);
    }
}

static void qmax(uint8_t *y, size_t n, size_t taps, const uint8_t *const *x) {
    for (size_t i = 0; i < n; i += QD_BLOCK) {
        const size_t width = n - i < QD_BLOCK ? n - i : QD_BLOCK;
        QD_X most = qd_load(x[0] + i, width);
        for (size_t t = 1; t < taps; t++) most = qd_max(most, qd_load(x[t] + i, width));
        qd_put(y + i, most, width);
    }
}

/* The rest is plain C, which each level's flags make vectors of. */
enum { QL_WIDE = 64 };

static void qaverage(uint8_t *y, size_t n, size_t taps, const uint8_t *const *x, int32_t zero, float scale, float count,
                     float y_scale, int32_t y_zero) {
    for (size_t i = 0; i < n; i += QL_WIDE) {
        float sum[QL_WIDE] = {0};
        const size_t width = n - i < QL_WIDE ? n - i : QL_WIDE;
        if (width == QL_WIDE)
            for (size_t t = 0; t < taps; t++) {
                const uint8_t *from = x[t] + i;
                for (size_t k = 0; k < QL_WIDE; k++) sum[k] += (float)(from[k] - zero) * scale;
            }
        else
            for (size_t t = 0; t < taps; t++)
                for (size_t k = 0; k < width; k++) sum[k] += (float)(x[t][i + k] - zero) * scale;
        for (size_t k = 0; k < width; k++) {
            float v = sum[k] / count / y_scale + (float)y_zero;
            v = v > 0 ? v : 0;
            y[i + k] = (uint8_t)(int32_t)__builtin_rintf(v < 255 ? v : 255);
        }
    }
}

static void qsum(int32_t *sum, size_t n, size_t rows, const uint8_t *x, size_t stride) {
    for (size_t i = 0; i < n; i += QL_WIDE) {
        int32_t part[QL_WIDE] = {0};
        const size_t width = n - i < QL_WIDE ? n - i : QL_WIDE;
        if (width == QL_WIDE)
            for (size_t r = 0; r < rows; r++)
                for (size_t k = 0; k < QL_WIDE; k++) part[k] += x[r * stride + i + k];
        else
            for (size_t r = 0; r < rows; r++)
                for (size_t k = 0; k < width; k++) part[k] += x[r * stride + i + k];
        for (size_t k = 0; k < width; k++) sum[i + k] = (int32_t)((uint32_t)sum[i + k] + (uint32_t)part[k]);
    }
}

#define TN_QLAST_ROWS(table)                                                                                           \
    do {                                                                                                               \
        (table)->qlook_up = qlook_up;                                                                                  \
        (table)->qfinish = qfinish;                                                                                    \
        (table)->qadd = qadd;                                                                                          \
        (table)->qmul = qmul;                                                                                          \
        (table)->qdepth = qdepth;                                                                                      \
        (table)->qmax = qmax;                                                                                          \
        (table)->qaverage = qaverage;                                                                                  \
        (table)->qsum = qsum;                                                                                          \
    } while (0)
