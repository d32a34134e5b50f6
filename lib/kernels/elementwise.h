/* The bodies of the elementwise kernels in plain C, for one level: the compiler makes vectors of the width that the
 * level's flags allow. These loops wait for memory, and hand-written ones were no faster.
 *
 * The includer sets TN_LEVEL (avx2) and may define TN_HALF_BLOCK, how many float16 numbers its tn_halves_to_floats and
 * tn_floats_to_halves convert at once. */
#include "base/half.h"
#include "kernels/kernels.h"

#ifdef __clang__
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

#define TILE 256 /* elements */

/* Rows too short for a vector: repeats the row in `tile`, so that several rows are one. Returns how many. */
static size_t repeat(float *tile, const float *row, size_t n, size_t rows) {
    size_t times = TILE / n < rows ? TILE / n : rows;
    for (size_t i = 0; i < times * n; i++) tile[i] = i < n ? row[i] : tile[i - n];
    return times;
}

/* One row: p and q are the elements of a and b; a step of 0 makes a loop of its own. */
#define ROW(n, a_step, b_step, statement)                                                                              \
    if (a_step && b_step) {                                                                                            \
        INDEPENDENT for (size_t i = 0; i < n; i++) {                                                                   \
            element p = a[i], q = b[i];                                                                                \
            statement;                                                                                                 \
        }                                                                                                              \
    } else if (a_step) {                                                                                               \
        element q = *b;                                                                                                \
        INDEPENDENT for (size_t i = 0; i < n; i++) {                                                                   \
            element p = a[i];                                                                                          \
            statement;                                                                                                 \
        }                                                                                                              \
    } else if (b_step) {                                                                                               \
        element p = *a;                                                                                                \
        INDEPENDENT for (size_t i = 0; i < n; i++) {                                                                   \
            element q = b[i];                                                                                          \
            statement;                                                                                                 \
        }                                                                                                              \
    } else {                                                                                                           \
        element p = *a, q = *b;                                                                                        \
        INDEPENDENT for (size_t i = 0; i < n; i++) statement;                                                          \
    }

#define BINARY(name, expression)                                                                                       \
    static void name##_row(size_t n, float *y, const float *a, size_t a_step, const float *b, size_t b_step) {         \
        typedef float element;                                                                                         \
        ROW(n, a_step, b_step, y[i] = expression)                                                                      \
    }                                                                                                                  \
    static void name(size_t rows, size_t n, void *y_, const void *a_, size_t a_row, size_t a_step, const void *b_,     \
                     size_t b_row, size_t b_step) {                                                                    \
        float *y = y_, tile[TILE];                                                                                     \
        const float *a = a_, *b = b_;                                                                                  \
        if (n > 0 && n < 32 && rows > 8 && a_step && b_step && (a_row == 0 || b_row == 0) && a_row + b_row == n) {     \
            size_t times = repeat(tile, a_row ? b : a, n, rows), all = n * times;                                      \
            for (; rows >= times; rows -= times, y += all) {                                                           \
                name##_row(all, y, a_row ? a : tile, 1, a_row ? tile : b, 1);                                          \
                a += times * a_row;                                                                                    \
                b += times * b_row;                                                                                    \
            }                                                                                                          \
        }                                                                                                              \
        for (; rows > 0; rows--, y += n, a += a_row, b += b_row) name##_row(n, y, a, a_step, b, b_step);               \
    }

BINARY(add_f32, p + q)
BINARY(sub_f32, p - q)
BINARY(mul_f32, (p * q))
BINARY(div_f32, p / q)
BINARY(min_f32, p < q || p != p ? p : q)
BINARY(max_f32, p > q || p != p ? p : q)

static void select_32(size_t n, uint32_t *y, const uint8_t *condition, const uint32_t *a, size_t a_step,
                      const uint32_t *b, size_t b_step) {
    typedef uint32_t element;
    ROW(n, a_step, b_step, y[i] = condition[i] ? p : q)
}

static void clip_f32(size_t n, float *y, const float *x, float low, float high) {
    INDEPENDENT for (size_t i = 0; i < n; i++) {
        float v = x[i] < low ? low : x[i];
        y[i] = v > high ? high : v;
    }
}

static void f16_to_f32(size_t n, float *y, const uint16_t *x) {
    size_t i = 0;
#ifdef TN_HALF_BLOCK
    for (; i + TN_HALF_BLOCK <= n; i += TN_HALF_BLOCK) tn_halves_to_floats(y + i, x + i);
#endif
    for (; i < n; i++) y[i] = tn_half_to_float(x[i]);
}

static void f32_to_f16(size_t n, uint16_t *y, const float *x) {
    size_t i = 0;
#ifdef TN_HALF_BLOCK
    for (; i + TN_HALF_BLOCK <= n; i += TN_HALF_BLOCK) tn_floats_to_halves(y + i, x + i);
#endif
    for (; i < n; i++) y[i] = tn_float_to_half(x[i]);
}

/* In place where x and y have elements of one size. */
#define CONVERT(name, Y, X, expression)                                                                                \
    static void name(size_t n, Y *y, const X *x) {                                                                     \
        INDEPENDENT for (size_t i = 0; i < n; i++) y[i] = expression;                                                  \
    }
CONVERT(bf16_to_f32, float, uint16_t, tn_bfloat_to_float(x[i]))
CONVERT(f32_to_bf16, uint16_t, float, tn_float_to_bfloat(x[i]))
CONVERT(i8_to_f32, float, int8_t, (float)x[i])
CONVERT(u8_to_f32, float, uint8_t, (float)x[i])
CONVERT(i32_to_f32, float, int32_t, (float)x[i])
CONVERT(i64_to_f32, float, int64_t, (float)x[i])

#define PASTE(a, b) a##b
#define OVERLAY(level) PASTE(tn_elementwise_, level)

void OVERLAY(TN_LEVEL)(tn_kernels *table) {
    table->add_f32 = add_f32;
    table->sub_f32 = sub_f32;
    table->mul_f32 = mul_f32;
    table->div_f32 = div_f32;
    table->min_f32 = min_f32;
    table->max_f32 = max_f32;
    table->clip_f32 = clip_f32;
    table->select_32 = select_32;
    table->f16_to_f32 = f16_to_f32;
    table->f32_to_f16 = f32_to_f16;
    table->bf16_to_f32 = bf16_to_f32;
    table->f32_to_bf16 = f32_to_bf16;
    table->i8_to_f32 = i8_to_f32;
    table->u8_to_f32 = u8_to_f32;
    table->i32_to_f32 = i32_to_f32;
    table->i64_to_f32 = i64_to_f32;
}
