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

/* Weights of random numbers, packed for a level's lanes: the same ones for all levels. */
static float *pack(const tn_kernels *k, size_t gates, size_t n) {
    size_t rows, columns, lanes;
    k->gemm_f32_tile(&rows, &columns, &lanes);
    size_t blocks = (n + lanes - 1) / lanes;
    float *w = test_calloc(blocks * lanes * n * gates + 1, sizeof *w);
    for (size_t g = 0; g < gates; g++)
        for (size_t unit = 0; unit < n; unit++)
            for (size_t i = 0; i < n; i++)
                w[unit / lanes * lanes * n * gates + (i * gates + g) * lanes + unit % lanes] =
                    (float)((g * 131 + unit * 31 + i * 17) % 64) / 640 - 0.05f;
    return w;
}

static void run_step(const tn_kernels *k, size_t gates, size_t rows, size_t n, bool backwards, const float *x, float *c,
                     float *y) {
    size_t tile_rows, columns, lanes;
    float *w = pack(k, gates, n);
    k->gemm_f32_tile(&tile_rows, &columns, &lanes);
    tn_recurrent_step step = {.rows = rows,
                              .hidden = n,
                              .last = (n + lanes - 1) / lanes,
                              .backwards = backwards,
                              .weights = w,
                              .x = x,
                              .x_stride = 4 * N,
                              .bias = backwards ? x + 5 : NULL,
                              .h = x + 1,
                              .h_stride = N,
                              .c = c,
                              .y = y,
                              .y_stride = N + 1};
    (gates == 4 ? k->lstm_step_f32 : k->gru_step_f32)(&step);
    test_free(w);
}

static void whole_steps_match_scalar_at_every_cpu_level(void **state) {
    (void)state;
    enum { ROWS = 14 };
    static float x[ROWS * 4 * N], c0[ROWS * N], c1[ROWS * N], c2[ROWS * N], y1[ROWS * (N + 1)], y2[ROWS * (N + 1)];
    for (size_t i = 0; i < TN_COUNT(x); i++) x[i] = (float)(i * 37 % 101) / 25 - 2;
    for (size_t i = 0; i < TN_COUNT(c0); i++) c0[i] = (float)(i * 29 % 67) / 33 - 1;
    for (int level = 1; level < TN_CPU_LEVELS; level++) {
        const tn_kernels *k = tn_kernels_at((tn_cpu_level)level);
        for (size_t i = 0; k && i < 2 * 2 * ROWS * N; i++) {
            size_t gates = 3 + i % 2, rows = i / 4 % ROWS + 1, n = i / 4 / ROWS + 1;
            bool backwards = i / 2 % 2;
            memcpy(c1, c0, sizeof c0), memcpy(c2, c0, sizeof c0);
            memset(y1, 0, sizeof y1), memset(y2, 0, sizeof y2);
            run_step(tn_kernels_at(TN_CPU_SCALAR), gates, rows, n, backwards, x, c1, y1);
            run_step(k, gates, rows, n, backwards, x, c2, y2);
            for (size_t j = 0; j < TN_COUNT(y1); j++)
                if (!(fabsf(y1[j] - y2[j]) < 4e-6f))
                    fail_msg("%zu gates, %zu rows of %zu: [%zu] is %g, not %g", gates, rows, n, j, (double)y2[j],
                             (double)y1[j]);
            for (size_t j = 0; j < TN_COUNT(c0); j++) assert_true(fabsf(c1[j] - c2[j]) < 4e-6f);
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
        cmocka_unit_test(whole_steps_match_scalar_at_every_cpu_level),
        cmocka_unit_test(an_lstm_cell_forgets_and_remembers),
    };
    return cmocka_run_group_tests_name("kernels_recurrent", tests, NULL, NULL);
}
