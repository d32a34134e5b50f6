/* Kernels of gradients are the same bits at every level, for any count of elements. What they compute is in gradient_*.c. */
#include "unit.h"
#include "kernels/kernels.h"
#include <math.h>

enum { MOST = 67, GUARD = 3, LONG = 2500 };

static void fill(float *x, size_t n, int which) {
    for (size_t i = 0; i < n; i++) x[i] = (float)sin(1.3 * (double)i + which);
}

static void gates_of_lstm(void **state) {
    (void)state;
    const tn_kernels *scalar = tn_kernels_at(TN_CPU_SCALAR);
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        const tn_kernels *table = tn_kernels_at((tn_cpu_level)level);
        for (size_t n = 0; table && n <= MOST; n++) {
            float narrow[2][4 * MOST + GUARD], cell[2][MOST + GUARD], in[3][MOST];
            double wide[2][4 * MOST + GUARD], wide_cell[2][MOST + GUARD], wide_in[3][MOST];
            for (int a = 0; a < 3; a++) fill(in[a], MOST, a);
            for (int a = 0; a < 3; a++)
                for (size_t i = 0; i < MOST; i++) wide_in[a][i] = (double)in[a][i];
            for (int k = 0; k < 2; k++) {
                fill(narrow[k], 4 * MOST + GUARD, 5);
                fill(cell[k], MOST + GUARD, 6);
                for (size_t i = 0; i < 4 * MOST + GUARD; i++) wide[k][i] = (double)narrow[k][i];
                for (size_t i = 0; i < MOST + GUARD; i++) wide_cell[k][i] = (double)cell[k][i];
                (k ? table : scalar)->lstm_grad_f32(n, narrow[k], in[0], in[1], in[2], cell[k]);
                (k ? table : scalar)->lstm_grad_f64(n, wide[k], wide_in[0], wide_in[1], wide_in[2], wide_cell[k]);
            }
            assert_memory_equal(narrow[0], narrow[1], sizeof narrow[0]);
            assert_memory_equal(cell[0], cell[1], sizeof cell[0]);
            assert_memory_equal(wide[0], wide[1], sizeof wide[0]);
            assert_memory_equal(wide_cell[0], wide_cell[1], sizeof wide_cell[0]);
            for (size_t i = 4 * n; i < 4 * MOST + GUARD; i++)
                assert_true(narrow[1][i] == (float)sin(1.3 * (double)i + 5));
        }
    }
}

static void of_elements(void **state) {
    (void)state;
    const tn_kernels *scalar = tn_kernels_at(TN_CPU_SCALAR);
    float dy[LONG], x[LONG];
    fill(dy, LONG, 0);
    fill(x, LONG, 1);
    x[3] = 0;
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        const tn_kernels *table = tn_kernels_at((tn_cpu_level)level);
        for (size_t n = 0; table && n <= LONG; n += n < MOST ? 1 : 811) {
            static float out[6][LONG + GUARD];
            const float line[2] = {-2, 0.5f};
            double sums[2][2] = {{1, 2}, {1, 2}}, above[2][2] = {{1, 2}, {1, 2}}, expected[4] = {1, 2, 1, 2};
            for (int a = 0; a < 6; a++)
                for (size_t i = 0; i < LONG + GUARD; i++) out[a][i] = 7;
            for (int k = 0; k < 2; k++) {
                (k ? table : scalar)->relu_grad_f32(n, dy, x, out[k]);
                (k ? table : scalar)->two_terms_f32(n, 0.7f, dy, 0.3f, x, NULL, 0.1f, out[2 + k]);
                (k ? table : scalar)->two_terms_f32(n, 0.7f, dy, 0.3f, x, line, 0.1f, out[4 + k]);
                (k ? table : scalar)->two_sums_f32(n, dy, x, NULL, 0.25f, sums[k]);
                (k ? table : scalar)->two_sums_f32(n, dy, x, line, 0.25f, above[k]);
            }
            assert_memory_equal(out[0], out[1], sizeof out[0]);
            assert_memory_equal(out[2], out[3], sizeof out[2]);
            assert_memory_equal(out[4], out[5], sizeof out[4]);
            assert_memory_equal(sums[0], sums[1], sizeof sums[0]);
            assert_memory_equal(above[0], above[1], sizeof above[0]);
            for (size_t i = 0; i < n; i++) {
                assert_true(out[1][i] == (x[i] > 0 ? dy[i] : 0));
                assert_true(fabs((double)out[3][i] - (0.7 * (double)dy[i] + 0.3 * (double)x[i] + 0.1)) < 1e-6);
                const double seen = -2 * x[i] + 0.5f > 0 ? (double)dy[i] : 0;
                assert_true(fabs((double)out[5][i] - (0.7 * seen + 0.3 * (double)x[i] + 0.1)) < 1e-6);
                expected[0] += (double)dy[i];
                expected[1] += (double)dy[i] * ((double)x[i] - 0.25);
                expected[2] += seen;
                expected[3] += seen * ((double)x[i] - 0.25);
            }
            for (size_t i = n; i < LONG + GUARD; i++) assert_true(out[1][i] == 7 && out[3][i] == 7 && out[5][i] == 7);
            for (int i = 0; i < 2; i++) {
                assert_true(fabs(sums[1][i] - expected[i]) < 1e-4);
                assert_true(fabs(above[1][i] - expected[2 + i]) < 1e-4);
            }
        }
    }
}

/* What they compute is in gradient_rows.c; here, that each level has the same bits and no element too many. */
static void of_rows(void **state) {
    (void)state;
    const tn_kernels *scalar = tn_kernels_at(TN_CPU_SCALAR);
    float dy[LONG], x[LONG], scale[LONG];
    fill(dy, LONG, 0);
    fill(x, LONG, 1);
    fill(scale, LONG, 2);
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        const tn_kernels *table = tn_kernels_at((tn_cpu_level)level);
        for (size_t n = 1; table && n <= LONG; n += n < MOST ? 1 : 811) {
            static float out[2][4][LONG + GUARD];
            for (int k = 0; k < 2; k++) {
                for (int a = 0; a < 4; a++)
                    for (size_t i = 0; i < LONG + GUARD; i++) out[k][a][i] = 7;
                (k ? table : scalar)->softmax_grad_f32(n, dy, x, out[k][0]);
                (k ? table : scalar)->layer_norm_grad_f32(n, dy, x, scale, 0.01, out[k][1], out[k][2], out[k][3]);
            }
            assert_memory_equal(out[0], out[1], sizeof out[0]);
            for (int a = 0; a < 4; a++)
                for (size_t i = n; i < LONG + GUARD; i++) assert_true(out[1][a][i] == 7);
            for (size_t i = 0; i < n; i++) assert_true(out[1][3][i] == 7 + dy[i]);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(gates_of_lstm), cmocka_unit_test(of_elements),
                                       cmocka_unit_test(of_rows)};
    return cmocka_run_group_tests_name("kernels_gradient", tests, NULL, NULL);
}
