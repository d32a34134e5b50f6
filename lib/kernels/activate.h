/* Activations of a tile, for the ends of products and convolutions. Include after vec_<level>.h. */
#ifndef TN_ACTIVATE_H
#define TN_ACTIVATE_H

#include "kernels/gemm.h"
#include "kernels/math.h"

#define TN_LEAST(a, b) ((a) < (b) ? (a) : (b))

/* clip(alpha * x + beta, 0, 1) */
static inline vf activate_hard(vf x, vf alpha, vf beta) {
    return vf_min(vf_set(1), vf_max(vf_set(0), vf_fma(x, alpha, beta)));
}

static inline vf activate_hard_swish(vf x, vf alpha) {
    return vf_fma(x, activate_hard(x, vf_set(1.0f / 6), vf_set(0.5f)), alpha);
}

/* One vector; a call for each is what it costs. */
static __attribute__((noinline, unused)) vf activate_vector(vf v, const tn_epilogue *e) {
    vf alpha = vf_set(e->alpha), beta = vf_set(e->beta);
    switch (e->activation) {
    case TN_ACT_NONE: return v;
    case TN_ACT_CLIP: return vf_min(beta, vf_max(alpha, v));
    case TN_ACT_LEAKY_RELU: return vf_select(vf_lt(v, vf_set(0)), vf_mul(v, alpha), v);
    case TN_ACT_HARD_SIGMOID: return activate_hard(v, alpha, beta);
    case TN_ACT_HARD_SWISH: return activate_hard_swish(v, alpha);
    case TN_ACT_SIGMOID: return vf_sigmoid(v);
    case TN_ACT_TANH: return vf_tanh(v);
    case TN_ACT_SWISH: return vf_swish(v, alpha);
    case TN_ACT_GELU: return vf_gelu(v);
    case TN_ACT_GELU_TANH: return vf_gelu_tanh(v);
    }
    return v;
}

#define ACTIVATE_ALL(expression)                                                                                       \
    for (size_t r = 0; r < rows; r++, x += stride) {                                                                   \
        size_t i = 0;                                                                                                  \
        for (; i + VF_WIDTH <= n; i += VF_WIDTH) {                                                                     \
            vf v = vf_load(x + i);                                                                                     \
            vf_store(x + i, expression);                                                                               \
        }                                                                                                              \
        if (i < n) {                                                                                                   \
            vf v = vf_load_n(x + i, n - i);                                                                            \
            vf_store_n(x + i, expression, n - i);                                                                      \
        }                                                                                                              \
    }                                                                                                                  \
    break

static __attribute__((noinline, unused)) void activate(size_t rows, size_t n, float *x, size_t stride,
                                                       const tn_epilogue *e) {
    vf alpha = vf_set(e->alpha), beta = vf_set(e->beta);
    switch (e->activation) {
    case TN_ACT_NONE: break;
    case TN_ACT_CLIP: ACTIVATE_ALL(vf_min(beta, vf_max(alpha, v)));
    case TN_ACT_HARD_SWISH: ACTIVATE_ALL(activate_hard_swish(v, alpha));
    case TN_ACT_SIGMOID: ACTIVATE_ALL(vf_sigmoid(v));
    case TN_ACT_SWISH: ACTIVATE_ALL(vf_swish(v, alpha));
    default: ACTIVATE_ALL(activate_vector(v, e));
    }
}

#endif
