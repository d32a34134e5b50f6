/* Activation functions, most with parameters; and Abs, Neg, Sign, which take integers as Relu does. Rows of unary.h. */
#include "ops/unary.h"
#include <math.h>

#define F64(name, expression)                                                                                          \
    static double name##_f64(double x, const double *p) {                                                              \
        (void)p;                                                                                                       \
        return expression;                                                                                             \
    }
F64(abs, fabs(x))
F64(neg, -x)
F64(sign, x > 0 ? 1 : x < 0 ? -1 : x)
F64(sigmoid, 1 / (1 + exp(-x)))
F64(tanh, tanh(x))
F64(relu, x < 0 ? 0 : x)
F64(leaky_relu, x < 0 ? x * p[0] : x)
F64(elu, x < 0 ? p[0] * expm1(x * p[1]) : x * p[2])
F64(thresholded_relu, x <= p[0] ? 0 : x)
F64(softplus, (x > 0 ? x : 0) + log1p(exp(-fabs(x))))
F64(softsign, x / (1 + fabs(x)))
F64(hard_sigmoid, fmax(0, fmin(1, x *p[0] + p[1])) + (x - x))
F64(hard_swish, x *fmax(0, fmin(1, x *p[0] + p[1])))
F64(mish, x *tanh((x > 0 ? x : 0) + log1p(exp(-fabs(x)))))
F64(swish, x / (1 + exp(-x * p[0])))
F64(shrink, x<-p[0] ? x + p[1] : x> p[0] ? x - p[1] : 0)

static int64_t abs_whole(int64_t x, bool is_signed) {
    return is_signed && x < 0 ? (int64_t)(0 - (uint64_t)x) : x;
}
static int64_t neg_whole(int64_t x, bool is_signed) {
    (void)is_signed;
    return (int64_t)(0 - (uint64_t)x);
}
static int64_t sign_whole(int64_t x, bool is_signed) {
    return is_signed && x < 0 ? -1 : x != 0;
}
static int64_t relu_whole(int64_t x, bool is_signed) {
    return is_signed && x < 0 ? 0 : x;
}

/* Attributes are floats: so are their defaults. */
#define ALPHA(name, fallback)                                                                                          \
    static tn_status name##_parameters(const tn_node *node, double *p) {                                               \
        p[0] = (double)tn_attr_float(node, "alpha", fallback);                                                         \
        return TN_OK;                                                                                                  \
    }
ALPHA(leaky_relu, 0.01f)
ALPHA(thresholded_relu, 1)
ALPHA(swish, 1)
ALPHA(quick_gelu, 1.702f)

static tn_status elu_parameters(const tn_node *node, double *p) {
    p[0] = (double)tn_attr_float(node, "alpha", 1);
    p[1] = p[2] = 1;
    return TN_OK;
}
static tn_status selu_parameters(const tn_node *node, double *p) {
    p[2] = (double)tn_attr_float(node, "gamma", 1.05070102214813232421875f);
    p[0] = p[2] * (double)tn_attr_float(node, "alpha", 1.67326319217681884765625f);
    p[1] = 1;
    return TN_OK;
}
static tn_status celu_parameters(const tn_node *node, double *p) {
    p[0] = (double)tn_attr_float(node, "alpha", 1);
    if (p[0] == 0) return tn_fail(TN_E_INVALID, "attribute alpha is 0; it is a divisor");
    p[1] = 1 / p[0];
    p[2] = 1;
    return TN_OK;
}
static tn_status hard_sigmoid_parameters(const tn_node *node, double *p) {
    p[0] = (double)tn_attr_float(node, "alpha", 0.2f);
    p[1] = (double)tn_attr_float(node, "beta", 0.5f);
    return TN_OK;
}
static tn_status hard_swish_parameters(const tn_node *node, double *p) {
    (void)node;
    p[0] = 1 / 6.0;
    p[1] = 0.5;
    return TN_OK;
}
static tn_status shrink_parameters(const tn_node *node, double *p) {
    p[0] = (double)tn_attr_float(node, "lambd", 0.5f);
    p[1] = (double)tn_attr_float(node, "bias", 0);
    return TN_OK;
}

static const tn_dtype signed_numbers[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_FLOAT64,  TN_INT8,
                                          TN_INT16,   TN_INT32,   TN_INT64,    TN_UNDEFINED};
static const tn_dtype float32_only[] = {TN_FLOAT32, TN_UNDEFINED};

#define PLAIN(name_, function)                                                                                         \
    TN_UNARY_OP("", name_, TN_UNARY_KERNEL(function), .f64 = function##_f64, .dtypes = TN_FLOATS)
#define WITH(name_, function)                                                                                          \
    TN_UNARY_OP("", name_, TN_UNARY_KERNEL(function), .f64 = function##_f64, .dtypes = TN_FLOATS,                      \
                .parameters = function##_parameters)
#define WHOLE(name_, function, types)                                                                                  \
    TN_UNARY_OP("", name_, TN_UNARY_KERNEL(function), .f64 = function##_f64, .whole = function##_whole, .dtypes = types)

const tn_op tn_ops_activation[] = {
    WHOLE("Abs", abs, TN_NUMBERS),
    WHOLE("Neg", neg, signed_numbers),
    WHOLE("Relu", relu, signed_numbers),
    TN_UNARY_OP("", "Sign", .f64 = sign_f64, .whole = sign_whole, .dtypes = TN_NUMBERS),
    TN_UNARY_OP("", "Shrink", .f64 = shrink_f64, .dtypes = TN_NUMBERS, .parameters = shrink_parameters),
    PLAIN("Sigmoid", sigmoid),
    PLAIN("Tanh", tanh),
    PLAIN("Softplus", softplus),
    PLAIN("Softsign", softsign),
    PLAIN("Mish", mish),
    WITH("LeakyRelu", leaky_relu),
    WITH("ThresholdedRelu", thresholded_relu),
    WITH("Elu", elu),
    WITH("HardSigmoid", hard_sigmoid),
    WITH("HardSwish", hard_swish),
    WITH("Swish", swish),
    TN_UNARY_OP("", "Selu", TN_UNARY_KERNEL(elu), .f64 = elu_f64, .dtypes = TN_FLOATS, .parameters = selu_parameters),
    TN_UNARY_OP("", "Celu", TN_UNARY_KERNEL(elu), .f64 = elu_f64, .dtypes = float32_only,
                .parameters = celu_parameters),
    TN_UNARY_OP("com.microsoft", "QuickGelu", TN_UNARY_KERNEL(swish), .f64 = swish_f64, .dtypes = TN_FLOATS,
                .parameters = quick_gelu_parameters),
    {0},
};
