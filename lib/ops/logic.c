/* And, Or, Xor, Not on bool; BitwiseAnd, BitwiseOr, BitwiseXor, BitwiseNot, BitShift on integers: signs do not matter
 * but in width. */
#include "ops/binary.h"
#include "ops/data.h"

#define BITWISE(op, sign)                                                                                              \
    TN_LOOP2(op##_8, uint8_t, uint8_t, p sign q)                                                                       \
    TN_LOOP2(op##_16, uint16_t, uint16_t, p sign q)                                                                    \
    TN_LOOP2(op##_32, uint32_t, uint32_t, p sign q)                                                                    \
    TN_LOOP2(op##_64, uint64_t, uint64_t, p sign q)                                                                    \
    static tn_loop2 op##_loop(const tn_kernels *kernels, const tn_node *node, tn_dtype dtype) {                        \
        (void)kernels, (void)node;                                                                                     \
        size_t bits = tn_dtype_bits(dtype);                                                                            \
        return bits == 8 ? op##_8 : bits == 16 ? op##_16 : bits == 32 ? op##_32 : op##_64;                             \
    }                                                                                                                  \
    static const tn_binary_rule op##_bits = {.dtypes = integers, .loop = op##_loop};                                   \
    static const tn_binary_rule op##_bool = {.dtypes = booleans, .loop = op##_loop};

static const tn_dtype booleans[] = {TN_BOOL, TN_UNDEFINED};
static const tn_dtype integers[] = {TN_INT8,   TN_INT16,  TN_INT32,  TN_INT64,    TN_UINT8,
                                    TN_UINT16, TN_UINT32, TN_UINT64, TN_UNDEFINED};
static const tn_dtype naturals[] = {TN_UINT8, TN_UINT16, TN_UINT32, TN_UINT64, TN_UNDEFINED};

BITWISE(and, &)
BITWISE(or, |)
BITWISE(xor, ^)

/* All bits are gone after a shift by the width or more, where C leaves it open. */
#define SHIFTS(T)                                                                                                      \
    TN_LOOP2(left_##T, T, T, q < sizeof(T) * 8 ? (uint64_t)p << q : 0)                                                 \
    TN_LOOP2(right_##T, T, T, q < sizeof(T) * 8 ? p >> q : 0)
SHIFTS(uint8_t)
SHIFTS(uint16_t)
SHIFTS(uint32_t)
SHIFTS(uint64_t)

static tn_status shift_check(const tn_node *node, tn_dtype dtype) {
    (void)dtype;
    const char *direction = tn_attr_text(node, "direction", "");
    if (strcmp(direction, "LEFT") != 0 && strcmp(direction, "RIGHT") != 0)
        return tn_fail(TN_E_INVALID, "attribute direction is '%s'; expected LEFT or RIGHT", direction);
    return TN_OK;
}

static tn_loop2 shift_loop(const tn_kernels *kernels, const tn_node *node, tn_dtype dtype) {
    (void)kernels;
    bool left = tn_attr_text(node, "direction", "")[0] == 'L';
    switch (dtype) {
    case TN_UINT8: return left ? left_uint8_t : right_uint8_t;
    case TN_UINT16: return left ? left_uint16_t : right_uint16_t;
    case TN_UINT32: return left ? left_uint32_t : right_uint32_t;
    case TN_UINT64: return left ? left_uint64_t : right_uint64_t;
    default: return NULL;
    }
}
static const tn_binary_rule shift = {.dtypes = naturals, .check = shift_check, .loop = shift_loop};

/* ---- Not, BitwiseNot ---- */

static tn_status infer_not(tn_infer *call) {
    TN_TRY(tn_infer_dtype(call, 0, call->node->op->context));
    return tn_infer_same(call, 0, 0);
}

typedef struct {
    const uint8_t *x;
    uint8_t *y, mask;
    size_t bytes;
} inversion;

#define BLOCK ((size_t)1 << 18)

static void invert(void *context, int64_t index) {
    const inversion *v = context;
    size_t first = (size_t)index * BLOCK, last = TN_MIN(first + BLOCK, v->bytes);
    for (size_t i = first; i < last; i++) v->y[i] = v->x[i] ^ v->mask;
}

static tn_status run_not(tn_run *call) {
    const tn_tensor *x = tn_in(call, 0);
    tn_tensor *y = tn_out(call, 0);
    if (!y) return TN_OK;
    inversion v = {x->data, y->data, x->dtype == TN_BOOL ? 1 : 0xff, tn_dtype_bytes(x->dtype, tn_count(x))};
    tn_parallel(call->pool, (int64_t)((v.bytes + BLOCK - 1) / BLOCK), invert, &v);
    return TN_OK;
}

#define NOT_OP(op_name, dtypes)                                                                                        \
    {                                                                                                                  \
        .domain = "", .name = op_name, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, .flags = TN_OP_IN_PLACE,  \
        .infer = infer_not, .run = run_not, .context = (void *)(dtypes)                                                \
    }

const tn_op tn_ops_logic[] = {
    TN_BINARY_OP("And", &and_bool, TN_OP_IN_PLACE),
    TN_BINARY_OP("Or", &or_bool, TN_OP_IN_PLACE),
    TN_BINARY_OP("Xor", &xor_bool, TN_OP_IN_PLACE),
    TN_BINARY_OP("BitwiseAnd", &and_bits, TN_OP_IN_PLACE),
    TN_BINARY_OP("BitwiseOr", &or_bits, TN_OP_IN_PLACE),
    TN_BINARY_OP("BitwiseXor", &xor_bits, TN_OP_IN_PLACE),
    TN_BINARY_OP("BitShift", &shift, TN_OP_IN_PLACE),
    NOT_OP("Not", booleans),
    NOT_OP("BitwiseNot", integers),
    {0},
};
