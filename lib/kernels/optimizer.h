/* Steps of optimizers on runs of elements: what lib/train/ops/optimizer_step.c works with. */
#ifndef TN_KERNELS_OPTIMIZER_H
#define TN_KERNELS_OPTIMIZER_H

/* g = gradient * factor + decay * w + l1 * sign(w) is what a rule sees; w * keep is what it moves. */
typedef struct tn_step_numbers {
    double rate, factor, decay, l1, keep;
    double momentum, beta1, beta2, alpha, epsilon;
    double size, root2; /* Adam: rate / (1 - beta1^count) and sqrt(1 - beta2^count) */
    int nesterov;
} tn_step_numbers;

/* Before the step: weights w, gradient g, states m and v (where the rule has but one: NULL). After it: w1, m1, v1. */
#define TN_STEP_PARAMETERS(real)                                                                                       \
    (const tn_step_numbers *p, size_t n, const real *w, const real *g, const real *m, const real *v, real *w1,         \
     real *m1, real *v1)

#endif
