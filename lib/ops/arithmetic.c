/* Add, Sub, Mul, Div, Mod on all number types.
 *
 * Integers wrap, as two's complement does; a division by zero gives 0 and the least integer divided by -1 itself, since
 * no input may trap. */
#include "ops/binary.h"
#include <math.h>

/* Wrapping needs unsigned arithmetic, and no narrower one than int: uint16_t would promote to int and overflow. */
#define RING(op, sign)                                                                                                 \
    TN_LOOP2(op##_8, uint8_t, uint8_t, (unsigned)p sign(unsigned) q)                                                   \
    TN_LOOP2(op##_16, uint16_t, uint16_t, (unsigned)p sign(unsigned) q)                                                \
    TN_LOOP2(op##_32, uint32_t, uint32_t, p sign q)                                                                    \
    TN_LOOP2(op##_64, uint64_t, uint64_t, p sign q)                                                                    \
    TN_LOOP2(op##_f64, double, double, p sign q)                                                                       \
    static tn_loop2 op##_loop(const tn_kernels *kernels, const tn_node *node, tn_dtype dtype) {                        \
        (void)node;                                                                                                    \
        if (dtype == TN_FLOAT32) return kernels->op##_f32;                                                             \
        if (dtype == TN_FLOAT64) return op##_f64;                                                                      \
        size_t bits = tn_dtype_bits(dtype);                                                                            \
        return bits == 8 ? op##_8 : bits == 16 ? op##_16 : bits == 32 ? op##_32 : op##_64;                             \
    }                                                                                                                  \
    static const tn_binary_rule op##_rule = {.dtypes = TN_NUMBERS, .loop = op##_loop};

RING(add, +)
RING(sub, -)
RING(mul, *)

/* X(dtype, suffix, C type, unsigned type) */
#define SIGNED(X)                                                                                                      \
    X(TN_INT8, i8, int8_t, uint8_t)                                                                                    \
    X(TN_INT16, i16, int16_t, uint16_t)                                                                                \
    X(TN_INT32, i32, int32_t, uint32_t)                                                                                \
    X(TN_INT64, i64, int64_t, uint64_t)
#define UNSIGNED(X)                                                                                                    \
    X(TN_UINT8, u8, uint8_t, uint8_t)                                                                                  \
    X(TN_UINT16, u16, uint16_t, uint16_t)                                                                              \
    X(TN_UINT32, u32, uint32_t, uint32_t)                                                                              \
    X(TN_UINT64, u64, uint64_t, uint64_t)

/* floor: Python's %, whose result has the divisor's sign; rest: C's. */
#define LOOPS(name, s, T, U)                                                                                           \
    TN_LOOP2(div_##s, T, T, q == 0 ? 0 : q == -1 ? (T)(0 - (U)p) : p / q)                                              \
    TN_LOOP2(rest_##s, T, T, q == 0 || q == -1 ? 0 : p % q)                                                            \
    TN_LOOP2(floor_##s, T, T, q == 0 || q == -1 ? 0 : p % q && ((p % q) ^ q) < 0 ? p % q + q : p % q)
SIGNED(LOOPS)
#undef LOOPS
#define LOOPS(name, s, T, U)                                                                                           \
    TN_LOOP2(div_##s, T, T, q == 0 ? 0 : p / q)                                                                        \
    TN_LOOP2(rest_##s, T, T, q == 0 ? 0 : p % q)
UNSIGNED(LOOPS)
#undef LOOPS
TN_LOOP2(div_f64, double, double, p / q)
TN_LOOP2(rest_f32, float, float, fmodf(p, q))
TN_LOOP2(rest_f64, double, double, fmod(p, q))

static tn_loop2 div_loop(const tn_kernels *kernels, const tn_node *node, tn_dtype dtype) {
    (void)node;
    switch (dtype) {
    case TN_FLOAT32: return kernels->div_f32;
    case TN_FLOAT64: return div_f64;
#define LOOP(name, s, T, U)                                                                                            \
    case name: return div_##s;
        SIGNED(LOOP)
        UNSIGNED(LOOP)
#undef LOOP
    default: return NULL;
    }
}

static tn_loop2 mod_loop(const tn_kernels *kernels, const tn_node *node, tn_dtype dtype) {
    (void)kernels;
    bool rest = tn_attr_int(node, "fmod", 0) != 0;
    switch (dtype) {
    case TN_FLOAT32: return rest_f32;
    case TN_FLOAT64: return rest_f64;
#define LOOP(name, s, T, U)                                                                                            \
    case name: return rest ? rest_##s : floor_##s;
        SIGNED(LOOP)
#undef LOOP
#define LOOP(name, s, T, U)                                                                                            \
    case name: return rest_##s;
        UNSIGNED(LOOP)
#undef LOOP
    default: return NULL;
    }
}

static tn_status mod_check(const tn_node *node, tn_dtype dtype) {
    for (const tn_dtype *real = TN_FLOATS; *real; real++)
        if (dtype == *real && tn_attr_int(node, "fmod", 0) == 0)
            return tn_fail(TN_E_TYPE, "inputs are %s; with fmod = 0 they must be integers", tn_dtype_name(dtype));
    return TN_OK;
}

static const tn_binary_rule div_rule = {.dtypes = TN_NUMBERS, .loop = div_loop};
static const tn_binary_rule mod_rule = {.dtypes = TN_NUMBERS, .check = mod_check, .loop = mod_loop};

const tn_op tn_ops_arithmetic[] = {
    TN_BINARY_OP("Add", &add_rule, TN_OP_WIDEN | TN_OP_IN_PLACE | TN_OP_BATCH),
    TN_BINARY_OP("Sub", &sub_rule, TN_OP_WIDEN | TN_OP_IN_PLACE | TN_OP_BATCH),
    TN_BINARY_OP("Mul", &mul_rule, TN_OP_WIDEN | TN_OP_IN_PLACE | TN_OP_BATCH),
    TN_BINARY_OP("Div", &div_rule, TN_OP_WIDEN | TN_OP_IN_PLACE | TN_OP_BATCH),
    TN_BINARY_OP("Mod", &mod_rule, TN_OP_WIDEN | TN_OP_IN_PLACE),
    {0},
};
