/* Reductions of rows and of columns, for one level; see reduce.inc. Included by reduce_<level>.c.
 *
 * A row is taken in four vectors at a time, so that additions overlap and errors stay small. Columns are taken whole
 * rows at a time, four of them, so that memory is read in streams and the result stays in cache. */
#include "kernels/math.h"

/* The whole vector if that many lanes are left, else those: masked accesses are slow on some machines. */
static inline vf load(const float *p, size_t lanes) {
    return lanes >= VF_WIDTH ? vf_load(p) : vf_load_n(p, lanes);
}
static inline void store(float *p, vf a, size_t lanes) {
    if (lanes >= VF_WIDTH)
        vf_store(p, a);
    else
        vf_store_n(p, a, lanes);
}

static inline vf same(vf x) {
    return x;
}
static inline vf square(vf x) {
    return vf_mul(x, x);
}
/* vf_max gives its second argument on NaN; the accumulator is the first, and once NaN it stays so. */
static inline vf max_keep(vf a, vf x) {
    return vf_select(vf_nan(a), a, vf_max(a, x));
}
static inline vf min_keep(vf a, vf x) {
    return vf_select(vf_nan(a), a, vf_min(a, x));
}
static inline float max_across(vf a) {
    return vm_any(vf_nan(a)) ? TN_NAN : vf_high(a);
}
static inline float min_across(vf a) {
    return vm_any(vf_nan(a)) ? TN_NAN : vf_low(a);
}
static inline float product_across(vf a) {
    float lanes[VF_WIDTH];
    vf_store(lanes, a);
    for (size_t half = VF_WIDTH / 2; half; half /= 2)
        for (size_t i = 0; i < half; i++) lanes[i] *= lanes[i + half];
    return lanes[0];
}

#define REDUCTION(name, neutral, map, combine, across)                                                                 \
    static inline float name##_of(const float *x, size_t n) {                                                          \
        const vf none = vf_set(neutral);                                                                               \
        vf a = none, b = none, c = none, d = none;                                                                     \
        size_t i = 0;                                                                                                  \
        for (; i + 4 * VF_WIDTH <= n; i += 4 * VF_WIDTH) {                                                             \
            a = combine(a, map(vf_load(x + i)));                                                                       \
            b = combine(b, map(vf_load(x + i + VF_WIDTH)));                                                            \
            c = combine(c, map(vf_load(x + i + 2 * VF_WIDTH)));                                                        \
            d = combine(d, map(vf_load(x + i + 3 * VF_WIDTH)));                                                        \
        }                                                                                                              \
        for (; i + VF_WIDTH <= n; i += VF_WIDTH) a = combine(a, map(vf_load(x + i)));                                  \
        if (i < n) b = combine(b, vf_select(vm_first(n - i), map(vf_load_n(x + i, n - i)), none));                     \
        return across(combine(combine(a, b), combine(c, d)));                                                          \
    }                                                                                                                  \
    static void columns_##name##_f32(float *y, const float *x, size_t rows, size_t n, size_t stride) {                 \
        for (size_t j = 0; j < n; j += VF_WIDTH) store(y + j, vf_set(neutral), n - j);                                 \
        size_t r = 0;                                                                                                  \
        for (; r + 4 <= rows; r += 4, x += 4 * stride)                                                                 \
            for (size_t j = 0; j < n; j += VF_WIDTH) {                                                                 \
                vf a = combine(map(load(x + j, n - j)), map(load(x + stride + j, n - j)));                             \
                vf b = combine(map(load(x + 2 * stride + j, n - j)), map(load(x + 3 * stride + j, n - j)));            \
                store(y + j, combine(load(y + j, n - j), combine(a, b)), n - j);                                       \
            }                                                                                                          \
        for (; r < rows; r++, x += stride)                                                                             \
            for (size_t j = 0; j < n; j += VF_WIDTH)                                                                   \
                store(y + j, combine(load(y + j, n - j), map(load(x + j, n - j))), n - j);                             \
    }

REDUCTION(sum, 0, same, vf_add, vf_sum)
REDUCTION(sum_abs, 0, vf_abs, vf_add, vf_sum)
REDUCTION(sum_squares, 0, square, vf_add, vf_sum)
REDUCTION(product, 1, same, vf_mul, product_across)
REDUCTION(max, -TN_INFINITY, same, max_keep, max_across)
REDUCTION(min, TN_INFINITY, same, min_keep, min_across)

#define ROWS(name)                                                                                                     \
    static void rows_##name##_f32(float *y, const float *x, size_t rows, size_t n) {                                   \
        for (size_t r = 0; r < rows; r++) y[r] = name##_of(x + r * n, n);                                              \
    }
ROWS(sum)
ROWS(sum_abs)
ROWS(sum_squares)
ROWS(product)

/* Extremes of a few things beside each other: rows that hardly begin a vector are done one element at a time. */
#define SHORT_ROWS(name, beats)                                                                                        \
    static inline void name##_of_few(float *y, const float *x, size_t rows, size_t n) {                                \
        for (size_t r = 0; r < rows; r++, x += n) {                                                                    \
            float a = x[0];                                                                                            \
            for (size_t i = 1; i < n; i++) a = a != a || a beats x[i] ? a : x[i];                                      \
            y[r] = a;                                                                                                  \
        }                                                                                                              \
    }                                                                                                                  \
    static void rows_##name##_f32(float *y, const float *x, size_t rows, size_t n) {                                   \
        switch (n) {                                                                                                   \
        case 2: name##_of_few(y, x, rows, 2); return;                                                                  \
        case 3: name##_of_few(y, x, rows, 3); return;                                                                  \
        case 4: name##_of_few(y, x, rows, 4); return;                                                                  \
        default:                                                                                                       \
            for (size_t r = 0; r < rows; r++) y[r] = name##_of(x + r * n, n);                                          \
        }                                                                                                              \
    }
SHORT_ROWS(max, >)
SHORT_ROWS(min, <)

/* The maxima of up to VF_WIDTH columns, in a register. */
static inline vf max_down(const float *x, size_t rows, size_t stride, size_t lanes) {
    vf a = vf_set(-TN_INFINITY);
    for (size_t r = 0; r < rows; r++) a = max_keep(a, load(x + r * stride, lanes));
    return a;
}

/* Where the extreme of each column is. A NaN beats all others. */
static void columns_arg_f32(int64_t *y, const float *x, size_t rows, size_t n, size_t stride, bool largest, bool last) {
    const vf sign = vf_set(largest ? 1.0f : -1.0f);
    for (size_t j = 0; j < n; j += VF_WIDTH) {
        size_t lanes = n - j < VF_WIDTH ? n - j : VF_WIDTH;
        vf best = vf_mul(load(x + j, lanes), sign);
        vi at = vi_set(0);
        for (size_t r = 1; r < rows; r++) {
            vf v = vf_mul(load(x + r * stride + j, lanes), sign);
            vm take = vf_lt(best, v), nan = vf_nan(v);
            take = vm_or(take, last ? vm_or(vf_eq(best, v), nan) : vm_and(nan, vf_eq(best, best)));
            best = vf_select(take, v, best);
            at = vi_select(take, vi_set((int32_t)r), at);
        }
        int32_t where[VF_WIDTH];
        vi_store(where, at);
        for (size_t i = 0; i < lanes; i++) y[j + i] = where[i];
    }
}
