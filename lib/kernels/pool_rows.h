/* Pooling kernels for one level; see pool.inc. Included by pool_<level>.c after the level's vec header. The 8-bit ones
 * are plain loops, which the compiler turns into the level's byte instructions. */
#include "kernels/kernels.h"

static inline vf same(vf x) {
    return x;
}
static inline vf square(vf x) {
    return vf_mul(x, x);
}
static inline float vf_max_1(float a, float b) {
    return a > b ? a : b;
}
static inline float vf_add_1(float a, float b) {
    return a + b;
}

#define POOL_ROWS(name, neutral, map, combine)                                                                         \
    static void pool_rows_##name##_f32(void *out, const void *const *rows, size_t count, size_t n, bool more) {        \
        float *y = out;                                                                                                \
        for (size_t j = 0; j < n; j += VF_WIDTH) {                                                                     \
            size_t lanes = n - j < VF_WIDTH ? n - j : VF_WIDTH;                                                        \
            bool whole = lanes == VF_WIDTH;                                                                            \
            vf a = !more ? vf_set(neutral) : whole ? vf_load(y + j) : vf_load_n(y + j, lanes);                         \
            for (size_t r = 0; r < count; r++) {                                                                       \
                const float *x = (const float *)rows[r] + j;                                                           \
                a = combine(a, map(whole ? vf_load(x) : vf_load_n(x, lanes)));                                         \
            }                                                                                                          \
            if (whole)                                                                                                 \
                vf_store(y + j, a);                                                                                    \
            else                                                                                                       \
                vf_store_n(y + j, a, lanes);                                                                           \
        }                                                                                                              \
    }

/* Vectors where outputs are one or two elements apart. A whole vector of every second element may read one more than
 * it needs, so the last outputs never come from one. */
#define POOL_WINDOWS(name, combine)                                                                                    \
    static void pool_windows_##name##_f32(void *out, const void *in, size_t n, size_t stride, size_t kernel,           \
                                          size_t dilation) {                                                           \
        float *y = out;                                                                                                \
        const float *x = in;                                                                                           \
        size_t i = 0;                                                                                                  \
        for (; stride == 1 && i + VF_WIDTH <= n; i += VF_WIDTH) {                                                      \
            vf a = vf_load(x + i);                                                                                     \
            for (size_t k = 1; k < kernel; k++) a = combine(a, vf_load(x + i + k * dilation));                         \
            vf_store(y + i, a);                                                                                        \
        }                                                                                                              \
        for (; stride == 2 && i + VF_WIDTH < n; i += VF_WIDTH) {                                                       \
            vf a = vf_load_even(x + 2 * i);                                                                            \
            for (size_t k = 1; k < kernel; k++) a = combine(a, vf_load_even(x + 2 * i + k * dilation));                \
            vf_store(y + i, a);                                                                                        \
        }                                                                                                              \
        if (stride == 1 && i < n) {                                                                                    \
            vf a = vf_load_n(x + i, n - i);                                                                            \
            for (size_t k = 1; k < kernel; k++) a = combine(a, vf_load_n(x + i + k * dilation, n - i));                \
            vf_store_n(y + i, a, n - i);                                                                               \
            return;                                                                                                    \
        }                                                                                                              \
        if (stride == 2 && i < n) {                                                                                    \
            vf a = vf_load_even_n(x + 2 * i, n - i);                                                                   \
            for (size_t k = 1; k < kernel; k++) a = combine(a, vf_load_even_n(x + 2 * i + k * dilation, n - i));       \
            vf_store_n(y + i, a, n - i);                                                                               \
            return;                                                                                                    \
        }                                                                                                              \
        for (; i < n; i++) {                                                                                           \
            float a = x[i * stride];                                                                                   \
            for (size_t k = 1; k < kernel; k++) a = combine##_1(a, x[i * stride + k * dilation]);                      \
            y[i] = a;                                                                                                  \
        }                                                                                                              \
    }

POOL_ROWS(max, -__builtin_inff(), same, vf_max)
POOL_ROWS(sum, 0, same, vf_add)
POOL_ROWS(sum_abs, 0, vf_abs, vf_add)
POOL_ROWS(sum_squares, 0, square, vf_add)
POOL_WINDOWS(max, vf_max)
POOL_WINDOWS(sum, vf_add)

#define POOL_BYTES(name, T, lowest)                                                                                    \
    static void pool_rows_max_##name(void *out, const void *const *rows, size_t count, size_t n, bool more) {          \
        T *restrict y = out;                                                                                           \
        for (size_t j = 0; !more && j < n; j++) y[j] = lowest;                                                         \
        for (size_t r = 0; r < count; r++) {                                                                           \
            const T *restrict x = rows[r];                                                                             \
            for (size_t j = 0; j < n; j++) y[j] = x[j] > y[j] ? x[j] : y[j];                                           \
        }                                                                                                              \
    }                                                                                                                  \
    static inline void windows_##name(T *restrict y, const T *restrict x, size_t n, size_t stride, size_t kernel,      \
                                      size_t dilation) {                                                               \
        for (size_t i = 0; i < n; i++) y[i] = x[i * stride];                                                           \
        for (size_t k = 1; k < kernel; k++)                                                                            \
            for (size_t i = 0; i < n; i++) {                                                                           \
                T v = x[i * stride + k * dilation];                                                                    \
                y[i] = v > y[i] ? v : y[i];                                                                            \
            }                                                                                                          \
    }                                                                                                                  \
    static void pool_windows_max_##name(void *y, const void *x, size_t n, size_t stride, size_t kernel,                \
                                        size_t dilation) {                                                             \
        if (stride == 1)                                                                                               \
            windows_##name(y, x, n, 1, kernel, dilation);                                                              \
        else if (stride == 2)                                                                                          \
            windows_##name(y, x, n, 2, kernel, dilation);                                                              \
        else                                                                                                           \
            windows_##name(y, x, n, stride, kernel, dilation);                                                         \
    }
POOL_BYTES(u8, uint8_t, 0)
POOL_BYTES(i8, int8_t, INT8_MIN)

void TN_LEVEL_OVERLAY(tn_kernels *table) {
#define TN_KERNEL(name, parameters) table->name = name;
#include "kernels/pool.inc"
#undef TN_KERNEL
}
