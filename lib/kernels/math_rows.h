/* The rows of math.inc for one level: loops around the functions of math.h. Included by math_<level>.c after the
 * level's vec header; TN_LEVEL_OVERLAY is the function's name. */
#include "kernels/kernels.h"
#include "kernels/math.h"

/* `expression` is of x and the parameters a, b, c, of which there are `count`. */
#define UNARY(name, count, expression)                                                                                 \
    static inline vf name##_vector(vf x, vf a, vf b, vf c) {                                                           \
        (void)x, (void)a, (void)b, (void)c;                                                                            \
        return expression;                                                                                             \
    }                                                                                                                  \
    static void name##_f32(float *y, const float *x, size_t n, const float *p) {                                       \
        vf a = vf_set(count > 0 ? p[0] : 0), b = vf_set(count > 1 ? p[1] : 0), c = vf_set(count > 2 ? p[2] : 0);       \
        size_t i = 0;                                                                                                  \
        (void)p;                                                                                                       \
        for (; i + VF_WIDTH <= n; i += VF_WIDTH) vf_store(y + i, name##_vector(vf_load(x + i), a, b, c));              \
        if (i < n) vf_store_n(y + i, name##_vector(vf_load_n(x + i, n - i), a, b, c), n - i);                          \
    }

UNARY(abs, 0, vf_abs(x))
UNARY(neg, 0, vf_neg(x))
UNARY(floor, 0, vf_floor(x))
UNARY(ceil, 0, vf_ceil(x))
UNARY(round, 0, vf_round(x))
UNARY(sqrt, 0, vf_sqrt(x))
UNARY(reciprocal, 0, vf_div(vf_set(1), x))
UNARY(exp, 0, vf_exp(x))
UNARY(log, 0, vf_log(x))
UNARY(sin, 0, vf_sin_or_cos(x, 0))
UNARY(cos, 0, vf_sin_or_cos(x, 1))
UNARY(tanh, 0, vf_tanh(x))
UNARY(sigmoid, 0, vf_sigmoid(x))
UNARY(erf, 0, vf_erf(x))
UNARY(gelu, 0, vf_gelu(x))
UNARY(gelu_tanh, 0, vf_gelu_tanh(x))
UNARY(swish, 1, vf_swish(x, a))
UNARY(softplus, 0, vf_softplus(x))
UNARY(softsign, 0, vf_div(x, vf_add(vf_set(1), vf_abs(x))))
UNARY(mish, 0, vf_mish(x))
UNARY(elu, 3, vf_elu(x, a, b, c))
UNARY(relu, 0, vf_max(vf_set(0), x))
UNARY(leaky_relu, 1, vf_select(vf_lt(x, vf_set(0)), vf_mul(x, a), x))
UNARY(thresholded_relu, 1, vf_select(vf_le(x, a), vf_set(0), x))
UNARY(hard_sigmoid, 2, vf_max(vf_set(0), vf_min(vf_set(1), vf_fma(x, a, b))))
UNARY(hard_swish, 2, vf_mul(x, vf_max(vf_set(0), vf_min(vf_set(1), vf_fma(x, a, b)))))

void TN_LEVEL_OVERLAY(tn_kernels *table) {
#undef TN_KERNEL
#define TN_KERNEL(name, parameters) table->name = name;
#include "kernels/math.inc"
#undef TN_KERNEL
}
