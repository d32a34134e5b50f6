/* Products with sparse weights: the kernel against plain sums at every CPU level, MatMul and Gemm against dense ones, the same
 * bits on any number of threads. */
#include "unit.h"
#include "kernels/kernels.h"
#include <math.h>
#include <stdlib.h>
#include <tenon/tenon.h>

enum { K = TN_SPARSE_BLOCK, ROWS = 12 };

static float number(void) {
    static uint32_t seed = 3;
    return (float)((seed = seed * 1664525 + 1013904223) >> 8 & 0xffff) / 32768 - 1;
}

static void kernels_are_plain_sums_at_every_cpu_level(void **state) {
    (void)state;
    enum { STRIP = TN_SPARSE_STRIP };
    static float x[2 * K * STRIP], y[2 * ROWS * STRIP], before[2 * ROWS * STRIP];
    for (size_t i = 0; i < TN_COUNT(x); i++) x[i] = number();
    for (size_t i = 0; i < TN_COUNT(y); i++) before[i] = number();
    for (int form = 0; form < 8; form++) {
        const size_t group = form & 1 ? TN_SPARSE_GROUP : 1, strips = form & 2 ? 2 : 1, groups = ROWS / group;
        uint32_t start[ROWS + 1] = {0};
        uint8_t column[ROWS * K];
        static float value[ROWS * K];
        for (size_t g = 0; g < groups; g++) {
            start[g + 1] = start[g];
            for (uint32_t k = 0; k < K; k++) /* the first group has nothing, the last all */
                if (g == groups - 1 || (g > 0 && number() > 0.6f)) column[start[g + 1]++] = (uint8_t)k;
        }
        for (size_t i = 0; i < start[groups] * group; i++) value[i] = number();
        for (int level = 0; level < TN_CPU_LEVELS; level++) {
            const tn_kernels *table = tn_kernels_at((tn_cpu_level)level);
            const tn_sparse_f32 call = {groups, group,  start,     column,       value,   x,
                                        y,      strips, K * STRIP, ROWS * STRIP, form & 4};
            if (!table) continue;
            memcpy(y, before, sizeof y);
            table->sparse_f32(&call);
            for (size_t r = 0; r < 2 * groups * group; r++)
                for (size_t i = 0; i < STRIP; i++) {
                    const size_t strip = r / (groups * group), row = r % (groups * group);
                    double sum = call.add || strip >= strips ? (double)before[r * STRIP + i] : 0;
                    for (uint32_t e = start[row / group]; e < start[row / group + 1] && strip < strips; e++)
                        sum += (double)value[e * group + row % group] * (double)x[(strip * K + column[e]) * STRIP + i];
                    if (fabs(sum - (double)y[r * STRIP + i]) > 1e-4)
                        fail_msg("level %s, form %d: row %zu", tn_cpu_level_name((tn_cpu_level)level), form, r);
                }
        }
    }
}

/* w[k, n]: of `block` neighbours in a row of w all or none are there. */
static void fill(float *w, int k, int n, int block, float density) {
    for (int i = 0; i < k; i++)
        for (int j = 0; j < n; j++) {
            static bool there;
            if (j % block == 0) there = number() < 2 * density - 1;
            w[i * n + j] = there ? number() : 0;
        }
}

static tn_tensor *wrap(float *data, int rows, int columns) {
    tn_tensor *t;
    assert_ok(tn_tensor_wrap(TN_FLOAT32, 2, (int64_t[]){rows, columns}, NULL, data,
                             (size_t)rows * (size_t)columns * sizeof *data, &t));
    return t;
}

/* relu(x w + bias + x2), by MatMul or (w transposed) Gemm. */
static float *run(int m, int k, int n, float *x, float *w, float *bias, bool gemm, int threads) {
    tn_graph *g;
    tn_model *model;
    tn_session *session;
    const tn_tensor *out;
    int vx, vw, vb, y;
    float *turned = malloc((size_t)k * (size_t)n * sizeof *turned),
          *copy = malloc((size_t)m * (size_t)n * sizeof *copy);
    assert_true(turned && copy);
    for (int i = 0; i < k; i++)
        for (int j = 0; j < n; j++) turned[j * k + i] = w[i * n + j];
    tn_tensor *tw = gemm ? wrap(turned, n, k) : wrap(w, k, n), *tb = wrap(bias, 1, n), *tx = wrap(x, m, k);
    const tn_attribute rows[] = {{.name = "transB", .kind = TN_ATTR_INT, .i = 1}, {0}};
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 2, (int64_t[]){m, k}, &vx));
    assert_ok(tn_graph_constant(g, "w", tw, &vw));
    assert_ok(tn_graph_constant(g, "b", tb, &vb));
    if (gemm) {
        assert_ok(tn_graph_node(g, "Gemm", NULL, 3, (int[]){vx, vw, vb}, 1, &y, rows));
    } else {
        assert_ok(tn_graph_node(g, "MatMul", NULL, 2, (int[]){vx, vw}, 1, &y, NULL));
        assert_ok(tn_graph_node(g, "Add", NULL, 2, (int[]){y, vb}, 1, &y, NULL));
    }
    assert_ok(tn_graph_node(g, "Relu", NULL, 1, &y, 1, &y, NULL));
    assert_ok(tn_graph_output(g, y, "y"));
    assert_ok(tn_model_from_graph(g, NULL, &model));
    const tn_session_options o = {.struct_size = sizeof o, .threads = threads};
    assert_ok(tn_session_create(model, &o, &session));
    assert_ok(tn_session_set_input(session, 0, tx));
    assert_ok(tn_session_run(session));
    assert_ok(tn_session_output(session, 0, &out));
    memcpy(copy, tn_tensor_const_data(out), (size_t)m * (size_t)n * sizeof *copy);
    tn_session_destroy(session);
    tn_model_destroy(model);
    tn_tensor_destroy(tw);
    tn_tensor_destroy(tb);
    tn_tensor_destroy(tx);
    free(turned);
    return copy;
}

static void sparse_weights_give_the_dense_product(void **state) {
    (void)state;
    static const struct {
        int m, k, n, block;
        float density;
    } cases[] = {{64, 100, 96, 1, 0.1f}, {70, 100, 99, 1, 0.05f}, {33, 64, 70, 4, 0.2f}, {200, 48, 64, 4, 0.1f},
                 {64, 64, 64, 1, 0},     {31, 64, 64, 1, 0.1f},   {64, 64, 64, 1, 1}};
    for (size_t c = 0; c < TN_COUNT(cases); c++)
        for (int gemm = 0; gemm < 2; gemm++) {
            const int m = cases[c].m, k = cases[c].k, n = cases[c].n;
            float *x = malloc((size_t)(m * k) * sizeof *x), *w = malloc((size_t)(k * n) * sizeof *w), bias[100];
            assert_true(x && w);
            for (int i = 0; i < m * k; i++) x[i] = number();
            for (int i = 0; i < n; i++) bias[i] = number();
            fill(w, k, n, cases[c].block, cases[c].density);
            float *y = run(m, k, n, x, w, bias, gemm, 1), *more = run(m, k, n, x, w, bias, gemm, 3);
            assert_memory_equal(y, more, (size_t)(m * n) * sizeof *y);
            for (int i = 0; i < m; i++)
                for (int j = 0; j < n; j++) {
                    double sum = (double)bias[j];
                    for (int h = 0; h < k; h++) sum += (double)x[i * k + h] * (double)w[h * n + j];
                    if (fabs(fmax(sum, 0) - (double)y[i * n + j]) > 1e-4) fail_msg("case %zu: %d, %d", c, i, j);
                }
            free(x), free(w), free(y), free(more);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_are_plain_sums_at_every_cpu_level),
        cmocka_unit_test(sparse_weights_give_the_dense_product),
    };
    return cmocka_run_group_tests_name("matmul_sparse", tests, NULL, NULL);
}
