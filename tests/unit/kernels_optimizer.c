/* Steps of optimizers are the same bits at every level, for any count of elements. What they compute is in optimizer.c. */
#include "unit.h"
#include "kernels/kernels.h"
#include <math.h>

enum { MOST = 67, ARRAYS = 4, GUARD = 3 };

#define CHECK(real, kernel)                                                                                            \
    for (int level = 0; level < TN_CPU_LEVELS; level++) {                                                              \
        const tn_kernels *table = tn_kernels_at((tn_cpu_level)level), *scalar = tn_kernels_at(TN_CPU_SCALAR);          \
        real in[ARRAYS][MOST], out[2][3][MOST + GUARD];                                                                \
        for (size_t n = 0; table && n <= MOST; n++) {                                                                  \
            for (int a = 0; a < ARRAYS; a++)                                                                           \
                for (size_t i = 0; i < MOST; i++) in[a][i] = (real)(a < 2 ? sin(1.3 * (double)i + a) : 0.1 * a);       \
            in[0][0] = in[1][MOST - 1] = 0;                                                                            \
            for (int k = 0; k < 2; k++) {                                                                              \
                for (int a = 0; a < 3; a++)                                                                            \
                    for (size_t i = 0; i < MOST + GUARD; i++) out[k][a][i] = 7;                                        \
                (k ? table : scalar)                                                                                   \
                    ->kernel(&numbers, n, in[0], in[1], in[2], in[3], out[k][0], out[k][1], out[k][2]);                \
                for (int a = 0; a < 3; a++)                                                                            \
                    for (size_t i = n; i < MOST + GUARD; i++) assert_true(out[k][a][i] == 7);                          \
            }                                                                                                          \
            if (memcmp(out[0], out[1], sizeof out[0]) != 0)                                                            \
                fail_msg(#kernel " at level %s: other bits for %zu elements", tn_cpu_level_name((tn_cpu_level)level),  \
                         n);                                                                                           \
        }                                                                                                              \
    }

static void steps_are_the_same_bits_at_every_level(void **state) {
    (void)state;
    for (int nesterov = 0; nesterov < 2; nesterov++) {
        const tn_step_numbers numbers = {.rate = 0.01,
                                         .factor = 0.7,
                                         .decay = 0.02,
                                         .l1 = 0.003,
                                         .keep = 0.99,
                                         .momentum = 0.9,
                                         .beta1 = 0.9,
                                         .beta2 = 0.999,
                                         .alpha = 0.99,
                                         .epsilon = 1e-8,
                                         .size = 0.03,
                                         .root2 = 0.3,
                                         .nesterov = nesterov};
        CHECK(float, step_sgd_f32)
        CHECK(float, step_adam_f32)
        CHECK(float, step_adagrad_f32)
        CHECK(float, step_rmsprop_f32)
        CHECK(float, step_lion_f32)
        CHECK(double, step_sgd_f64)
        CHECK(double, step_adam_f64)
        CHECK(double, step_adagrad_f64)
        CHECK(double, step_rmsprop_f64)
        CHECK(double, step_lion_f64)
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(steps_are_the_same_bits_at_every_level)};
    return cmocka_run_group_tests_name("kernels_optimizer", tests, NULL, NULL);
}
