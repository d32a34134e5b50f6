/* Template of the optimizers' steps. Plain loops, which the compiler makes vectors of at each level: every operation is
 * one of IEEE 754's, so the bits do not depend on the width. */
#include <math.h>
#include "kernels/kernels.h"

#define TN_EACH(real, ...)                                                                                             \
    const real rate = (real)p->rate, factor = (real)p->factor, decay = (real)p->decay, l1 = (real)p->l1;               \
    const real keep = (real)p->keep, epsilon = (real)p->epsilon, mu = (real)p->momentum;                               \
    const real b1 = (real)p->beta1, c1 = (real)(1 - p->beta1), b2 = (real)p->beta2, c2 = (real)(1 - p->beta2);         \
    const real a = (real)p->alpha, b = (real)(1 - p->alpha), size = (real)p->size, root2 = (real)p->root2;             \
    (void)rate, (void)epsilon, (void)mu, (void)b1, (void)c1, (void)b2, (void)c2, (void)a, (void)b, (void)size;         \
    (void)root2, (void)v, (void)v1;                                                                                    \
    for (size_t i = 0; i < n; i++) {                                                                                   \
        real x = w[i] * keep, d = g[i] * factor + decay * w[i] + l1 * (real)((w[i] > 0) - (w[i] < 0));                 \
        __VA_ARGS__                                                                                                    \
    }

#define TN_ARRAYS(real)                                                                                                \
    (const tn_step_numbers *p, size_t n, const real *restrict w, const real *restrict g, const real *restrict m,       \
     const real *restrict v, real *restrict w1, real *restrict m1, real *restrict v1)

#define TN_STEPS(real, suffix, root)                                                                                   \
    static void step_sgd_##suffix TN_ARRAYS(real) {                                                                    \
        const int nesterov = p->nesterov;                                                                              \
        TN_EACH(real, real s = mu * m[i] + d; m1[i] = s; w1[i] = x - rate * (nesterov ? d + mu * s : s);)              \
    }                                                                                                                  \
    static void step_adam_##suffix TN_ARRAYS(real) {                                                                   \
        TN_EACH(real, real s = b1 * m[i] + c1 * d; real q = b2 * v[i] + c2 * d * d; m1[i] = s; v1[i] = q;              \
                w1[i] = x - size * (s / (root(q) / root2 + epsilon));)                                                 \
    }                                                                                                                  \
    static void step_adagrad_##suffix TN_ARRAYS(real) {                                                                \
        TN_EACH(real, real s = m[i] + d * d; m1[i] = s; w1[i] = x - rate * (d / (root(s) + epsilon));)                 \
    }                                                                                                                  \
    static void step_rmsprop_##suffix TN_ARRAYS(real) {                                                                \
        TN_EACH(real, real s = a * m[i] + b * d * d; real q = mu * v[i] + d / (root(s) + epsilon); m1[i] = s;          \
                v1[i] = q; w1[i] = x - rate * q;)                                                                      \
    }                                                                                                                  \
    static void step_lion_##suffix TN_ARRAYS(real) {                                                                   \
        TN_EACH(real, real c = b1 * m[i] + c1 * d; w1[i] = x - rate * (real)((c > 0) - (c < 0));                       \
                m1[i] = b2 * m[i] + c2 * d;)                                                                           \
    }

TN_STEPS(float, f32, sqrtf)
TN_STEPS(double, f64, sqrt)

void TN_LEVEL_OVERLAY(tn_kernels *table) {
#define TN_KERNEL(name, parameters) table->name = name;
#include "kernels/optimizer.inc"
#undef TN_KERNEL
}
