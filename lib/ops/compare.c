/* Equal, Less, LessOrEqual, Greater, GreaterOrEqual: the latter two are the former with the inputs swapped. */
#include "base/element.h"
#include "ops/binary.h"

#define LOOPS(name, s, T)                                                                                              \
    TN_LOOP2(less_##s, uint8_t, T, p < q)                                                                              \
    TN_LOOP2(less_equal_##s, uint8_t, T, p <= q)
TN_EACH_NUMBER(LOOPS)
#undef LOOPS

TN_LOOP2(equal_f32, uint8_t, float, p == q)
TN_LOOP2(equal_f64, uint8_t, double, p == q)
TN_LOOP2(equal_8, uint8_t, uint8_t, p == q)
TN_LOOP2(equal_16, uint8_t, uint16_t, p == q)
TN_LOOP2(equal_32, uint8_t, uint32_t, p == q)
TN_LOOP2(equal_64, uint8_t, uint64_t, p == q)
TN_LOOP2(equal_string, uint8_t, tn_string, p.size == q.size && (p.size == 0 || memcmp(p.data, q.data, p.size) == 0))

#define LOOP(name, s, T)                                                                                               \
    case name: return LESS(s);
static tn_loop2 less_loop(const tn_kernels *kernels, const tn_node *node, tn_dtype dtype) {
    (void)kernels, (void)node;
    switch (dtype) {
#define LESS(s) less_##s
        TN_EACH_NUMBER(LOOP)
#undef LESS
    default: return NULL;
    }
}

static tn_loop2 less_equal_loop(const tn_kernels *kernels, const tn_node *node, tn_dtype dtype) {
    (void)kernels, (void)node;
    switch (dtype) {
#define LESS(s) less_equal_##s
        TN_EACH_NUMBER(LOOP)
#undef LESS
    default: return NULL;
    }
}

static tn_loop2 equal_loop(const tn_kernels *kernels, const tn_node *node, tn_dtype dtype) {
    (void)kernels, (void)node;
    switch (dtype) {
    case TN_FLOAT32: return equal_f32;
    case TN_FLOAT64: return equal_f64;
    case TN_STRING: return equal_string;
    default: break;
    }
    size_t bits = tn_dtype_bits(dtype);
    return bits == 8 ? equal_8 : bits == 16 ? equal_16 : bits == 32 ? equal_32 : equal_64;
}

static const tn_dtype comparable[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_FLOAT64, TN_BOOL,
                                      TN_INT8,    TN_INT16,   TN_INT32,    TN_INT64,   TN_UINT8,
                                      TN_UINT16,  TN_UINT32,  TN_UINT64,   TN_STRING,  TN_UNDEFINED};
static const tn_binary_rule equal = {.dtypes = comparable, .output = TN_BOOL, .loop = equal_loop};
static const tn_binary_rule less = {.dtypes = TN_NUMBERS, .output = TN_BOOL, .loop = less_loop};
static const tn_binary_rule less_equal = {.dtypes = TN_NUMBERS, .output = TN_BOOL, .loop = less_equal_loop};
static const tn_binary_rule greater = {.dtypes = TN_NUMBERS, .output = TN_BOOL, .swap = true, .loop = less_loop};
static const tn_binary_rule greater_equal = {
    .dtypes = TN_NUMBERS, .output = TN_BOOL, .swap = true, .loop = less_equal_loop};

/* Not in place: a small input that is repeated may have as many bytes as the output. */
const tn_op tn_ops_compare[] = {
    TN_BINARY_OP("Equal", &equal, TN_OP_WIDEN),
    TN_BINARY_OP("Less", &less, TN_OP_WIDEN),
    TN_BINARY_OP("LessOrEqual", &less_equal, TN_OP_WIDEN),
    TN_BINARY_OP("Greater", &greater, TN_OP_WIDEN),
    TN_BINARY_OP("GreaterOrEqual", &greater_equal, TN_OP_WIDEN),
    {0},
};
