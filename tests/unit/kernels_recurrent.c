/* Recurrent cells: every level agrees with the scalar one to a few units of the last place, at every length. */
#include "unit.h"
#include "kernels/kernels.h"
#include <math.h>

enum { N = 37 };

static void cells_match_scalar_at_every_cpu_level(void **state) {
    (void)state;
    const tn_kernels *scalar = tn_kernels_at(TN_CPU_SCALAR);
    float gates[4 * N], c0[N];
    uint32_t seed = 1;
    for (int i = 0; i < 4 * N; i++) gates[i] = (float)((seed = seed * 1664525 + 1013904223) >> 8) / (1 << 21) - 4;
    for (int i = 0; i < N; i++) c0[i] = gates[(i * 7) % N] / 2;
    for (int level = 1; level < TN_CPU_LEVELS; level++) {
        const tn_kernels *k = tn_kernels_at((tn_cpu_level)level);
        if (!k) continue;
        for (size_t n = 0; n <= N; n++) {
            float c1[N + 1], c2[N + 1], h1[N + 1], h2[N + 1];
            memcpy(c1, c0, sizeof c0), memcpy(c2, c0, sizeof c0);
            c2[n] = h2[n] = 77;
            scalar->lstm_cell_f32(n, gates, c1, h1);
            k->lstm_cell_f32(n, gates, c2, h2);
            assert_true(c2[n] == 77 && h2[n] == 77);
            for (size_t i = 0; i < n; i++) assert_true(fabsf(c1[i] - c2[i]) < 2e-6f && fabsf(h1[i] - h2[i]) < 1e-6f);
            scalar->blend_f32(n, h1, gates, gates + N, c0);
            k->blend_f32(n, h2, gates, gates + N, c0);
            assert_memory_equal(h1, h2, n * sizeof *h1);
        }
    }
}

static void an_lstm_cell_forgets_and_remembers(void **state) {
    (void)state;
    const float gates[] = {-100, 100, 100, 3}; /* input shut, output and forget gates open */
    float c = 0.5f, h;
    tn_kernels_best()->lstm_cell_f32(1, gates, &c, &h);
    assert_true(fabsf(c - 0.5f) < 1e-6f && fabsf(h - tanhf(0.5f)) < 1e-6f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_match_scalar_at_every_cpu_level),
        cmocka_unit_test(an_lstm_cell_forgets_and_remembers),
    };
    return cmocka_run_group_tests_name("kernels_recurrent", tests, NULL, NULL);
}
