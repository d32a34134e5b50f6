/* Elements of any numeric dtype as double or int64, and back: for slow generic paths and for Cast.
 *
 * What a dtype cannot hold: a float out of an integer's range is clamped to int64 (NaN is 0) and then cut to the low
 * bits; an integer out of range is cut to the low bits; small floats are rounded once, to the nearest even, and end as
 * tn_narrowing says. bool is 1 for all but 0. Strings and complex numbers are read as 0 and not written. */
#ifndef TN_ELEMENT_H
#define TN_ELEMENT_H

#include "base/base.h"
#include "base/half.h"

/* Of float8 types alone. Zeroed, it is what ONNX's Cast does by default, upwards and saturating. */
typedef struct tn_narrowing {
    bool overflow; /* not `saturate`: what is beyond the range becomes infinity or NaN */
    tn_round round;
} tn_narrowing;

/* The types that C has, for tables and loops of one row a type: X(dtype, suffix, C type). */
#define TN_EACH_INTEGER(X)                                                                                             \
    X(TN_INT8, i8, int8_t)                                                                                             \
    X(TN_INT16, i16, int16_t)                                                                                          \
    X(TN_INT32, i32, int32_t)                                                                                          \
    X(TN_INT64, i64, int64_t)                                                                                          \
    X(TN_UINT8, u8, uint8_t)                                                                                           \
    X(TN_UINT16, u16, uint16_t)                                                                                        \
    X(TN_UINT32, u32, uint32_t)                                                                                        \
    X(TN_UINT64, u64, uint64_t)
#define TN_EACH_NUMBER(X)                                                                                              \
    X(TN_FLOAT32, f32, float)                                                                                          \
    X(TN_FLOAT64, f64, double)                                                                                         \
    TN_EACH_INTEGER(X)

static inline bool tn_dtype_is_half(tn_dtype dtype) {
    return dtype == TN_FLOAT16 || dtype == TN_BFLOAT16;
}
bool tn_dtype_is_float(tn_dtype dtype);   /* any width; not complex */
bool tn_dtype_is_integer(tn_dtype dtype); /* any width; not bool */
bool tn_dtype_is_signed(tn_dtype dtype);  /* an integer with negative values */

/* Elements [first, first + n) of data; uint64 comes as int64 of the same bits. */
void tn_read_doubles(tn_dtype dtype, const void *data, int64_t first, size_t n, double *out);
void tn_read_ints(tn_dtype dtype, const void *data, int64_t first, size_t n, int64_t *out);
void tn_write_doubles(tn_dtype dtype, void *data, int64_t first, size_t n, const double *in, tn_narrowing narrowing);
void tn_write_ints(tn_dtype dtype, void *data, int64_t first, size_t n, const int64_t *in, tn_narrowing narrowing);

static inline double tn_get_double(tn_dtype dtype, const void *data, int64_t i) {
    double x;
    tn_read_doubles(dtype, data, i, 1, &x);
    return x;
}
static inline int64_t tn_get_int(tn_dtype dtype, const void *data, int64_t i) {
    int64_t x;
    tn_read_ints(dtype, data, i, 1, &x);
    return x;
}
static inline void tn_set_double(tn_dtype dtype, void *data, int64_t i, double x) {
    tn_write_doubles(dtype, data, i, 1, &x, (tn_narrowing){0});
}
static inline void tn_set_int(tn_dtype dtype, void *data, int64_t i, int64_t x) {
    tn_write_ints(dtype, data, i, 1, &x, (tn_narrowing){0});
}

/* double to int64 as C does it, but clamped where C leaves it open; NaN is 0. */
static inline int64_t tn_double_to_int(double x) {
    if (x >= 0x1p63) return INT64_MAX;
    if (x < -0x1p63) return INT64_MIN;
    return x == x ? (int64_t)x : 0;
}

#endif
