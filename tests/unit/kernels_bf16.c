/* Products of bfloat16: packing rounds as it should at every level, sums are right within what rounding allows, and
 * models of TN_PRECISION_FAST give what full ones do within that, the same bits at any thread count. */
#include "unit.h"
#include "base/half.h"
#include "kernels/product.h"
#include <math.h>
#include <stdlib.h>
#include <tenon/tenon.h>

static uint32_t random_state = 1;
static float random_float(void) {
    random_state = random_state * 1664525u + 1013904223u;
    return (float)(random_state >> 8) / (float)(1 << 23) - 1;
}
static float *random_floats(size_t n) {
    float *x = tn_alloc(NULL, n * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++) x[i] = random_float();
    return x;
}
static double rounded(float x) {
    return (double)tn_bfloat_to_float(tn_float_to_bfloat(x));
}
/* A level's table with products of bfloat16 on, whether or not they are the faster ones. */
static bool table_of(int level, tn_kernels *table) {
    const tn_kernels *kernels = tn_kernels_at((tn_cpu_level)level);
    if (!kernels) return false;
    *table = *kernels;
    table->bf16_products = true;
    return true;
}

static void packing_rounds_to_even_at_every_cpu_level(void **state) {
    (void)state;
    enum { M = 5, N = 37, K = 45 };
    const tn_kernels *scalar = tn_kernels_at(TN_CPU_SCALAR);
    float *x = random_floats(64 * 64);
    x[0] = NAN, x[1] = INFINITY, x[2] = 1 + 0x1p-8f, x[3] = 1 + 0x3p-8f, x[4] = -0.0f, x[5] = 3.4e38f,
    x[6] = -1 - 0x1p-8f;
    uint32_t offset[K];
    for (uint32_t i = 0; i < K; i++) offset[i] = (i * 7 + i % 3) * 10;
    size_t bytes = tn_bf16_k(64) * 64 * sizeof(uint16_t);
    uint16_t *want = tn_alloc(NULL, bytes), *got = tn_alloc(NULL, bytes);
    for (int level = 1; level < TN_CPU_LEVELS; level++) {
        const tn_kernels *k = tn_kernels_at((tn_cpu_level)level);
        if (!k) continue;
        for (size_t n = 1; n <= 32; n++)
            for (int form = 0; form < 5; form++) {
                memset(want, 0x55, bytes), memset(got, 0x55, bytes);
                for (int turn = 0; turn < 2; turn++) {
                    const tn_kernels *t = turn ? k : scalar;
                    uint16_t *to = turn ? got : want;
                    switch (form) {
                    case 0: t->pack_rows_bf16(M, n + 13, x, 64, 1, 1, to); break;
                    case 1: t->pack_rows_bf16(M, n + 13, x, 1, 64, 0.3f, to); break;
                    case 2: t->pack_panel_bf16(K, n, x, 64, NULL, to); break;
                    case 3: t->pack_panel_bf16(K, n, x, 0, offset, to); break;
                    default: t->pack_columns_bf16(K, n, x, 64, to); break;
                    }
                }
                if (memcmp(want, got, bytes) != 0)
                    fail_msg("%s, form %d, n = %zu", tn_cpu_level_name((tn_cpu_level)level), form, n);
            }
    }
    assert_int_equal(tn_float_to_bfloat(1 + 0x1p-8f), 0x3f80);
    assert_int_equal(tn_float_to_bfloat(1 + 0x3p-8f), 0x3f82);
    tn_free(NULL, x, 0), tn_free(NULL, want, 0), tn_free(NULL, got, 0);
}

enum { PACKED, LONGER, MATRIX, TRANSPOSED, SOURCES };

static void check_product(const tn_kernels *kernels, size_t m, size_t n, size_t k, int source, tn_epilogue e) {
    enum { MORE = 9 }; /* rows of b that a longer packed one has beyond k */
    float *a = random_floats(m * k + 1), *b = random_floats((k + MORE) * n + 1), *c = random_floats(m * n);
    for (size_t i = 0; source == LONGER && i < MORE * n; i++) b[k * n + i] = NAN;
    tn_product p, longer;
    tn_product_plan_fast(&p, kernels, 0, m, n, k, 1, 1);
    tn_product_plan_fast(&longer, kernels, 0, m, n, k + MORE, 1, 1);
    assert_true(p.bf16);
    p.alpha = 0.75f;
    float *packed_a = tn_alloc(NULL, tn_product_a_bytes(&p)), *packed_b = tn_alloc(NULL, tn_product_b_bytes(&longer));
    float *buffer = tn_alloc(NULL, tn_product_buffer_bytes(&p));
    const size_t k_stride = source == TRANSPOSED ? 1 : n, column_stride = source == TRANSPOSED ? k : 1;
    const tn_product *plan = source == LONGER ? &longer : &p;
    for (size_t i = 0; i < p.row_panels; i++) tn_product_pack_a(&p, a, k, 1, packed_a, i);
    for (size_t i = 0; i < p.column_panels; i++) tn_product_pack_b(plan, b, k_stride, column_stride, packed_b, i);
    tn_panels panels =
        source <= LONGER ? tn_panels_packed(packed_b, plan->k) : tn_panels_matrix(b, k_stride, column_stride);
    for (size_t i = p.tasks; i-- > 0;) tn_product_task(&p, i, packed_a, &panels, c, n, &e, buffer);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = 0, size = 0;
            for (size_t l = 0; l < k; l++) {
                double term = rounded(a[i * k + l] * 0.75f) * rounded(b[l * k_stride + j * column_stride]);
                sum += term;
                size += fabs(term);
            }
            if (e.row_bias) sum += (double)e.row_bias[i];
            if (e.column_bias) sum += (double)e.column_bias[j];
            if (e.residual) sum += (double)e.residual[i * n + j];
            if (e.activation == TN_ACT_CLIP) sum = fmin((double)e.beta, fmax((double)e.alpha, sum));
            if (e.activation == TN_ACT_TANH) sum = tanh(sum);
            if (!(fabs(sum - (double)c[i * n + j]) <= 1e-6 * (size + 4)))
                fail_msg("%s: %zu x %zu x %zu, source %d: [%zu, %zu] is %g, not %g", tn_cpu_level_name(kernels->level),
                         m, n, k, source, i, j, (double)c[i * n + j], sum);
        }
    tn_free(NULL, a, 0), tn_free(NULL, b, 0), tn_free(NULL, c, 0);
    tn_free(NULL, packed_a, 0), tn_free(NULL, packed_b, 0), tn_free(NULL, buffer, 0);
}

static void products_match_at_every_cpu_level(void **state) {
    (void)state;
    static const size_t shapes[][3] = {{1, 1, 1},     {2, 3, 5},    {3, 33, 31},   {16, 16, 32},
                                       {17, 31, 33},  {31, 65, 64}, {32, 32, 70},  {33, 16, 97},
                                       {49, 50, 129}, {65, 7, 200}, {70, 300, 40}, {4, 6, 0}};
    float *bias = random_floats(400), *residual = random_floats(80 * 400);
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        tn_kernels table;
        if (!table_of(level, &table)) continue;
        for (size_t s = 0; s < TN_COUNT(shapes); s++)
            for (int source = 0; source < SOURCES; source++) {
                const size_t *t = shapes[s];
                check_product(&table, t[0], t[1], t[2], source, (tn_epilogue){0});
                tn_epilogue e = {.row_bias = bias, .activation = TN_ACT_CLIP, .alpha = -0.5f, .beta = 0.5f};
                check_product(&table, t[0], t[1], t[2], source, e);
                e = (tn_epilogue){.column_bias = bias, .residual = residual, .residual_stride = t[1]};
                check_product(&table, t[0], t[1], t[2], source, e);
                e.row_bias = bias;
                e.activation = TN_ACT_TANH;
                check_product(&table, t[0], t[1], t[2], source, e);
            }
    }
    tn_free(NULL, bias, 0), tn_free(NULL, residual, 0);
}

static tn_tensor *random_tensor(int rank, const int64_t *dims) {
    tn_tensor *t;
    assert_ok(tn_tensor_create(TN_FLOAT32, rank, dims, NULL, &t));
    float *x = tn_tensor_data(t);
    for (int64_t i = 0; i < tn_tensor_count(t); i++) x[i] = random_float();
    return t;
}

/* Convolutions of both kinds, then a product: the output, to be destroyed. */
static tn_tensor *run_model(tn_precision precision, int threads, const tn_tensor *x, tn_tensor *const *w) {
    static const int64_t two[] = {1, 1}, pads[] = {1, 1, 1, 1}, shape[] = {24, 400};
    static const tn_attribute padded[] = {{.name = "pads", .kind = TN_ATTR_INTS, .count = 4, .ints = pads},
                                          {.name = "strides", .kind = TN_ATTR_INTS, .count = 2, .ints = two},
                                          {0}};
    const tn_model_options options = {.struct_size = sizeof options, .precision = precision};
    const tn_session_options session_options = {.struct_size = sizeof session_options, .threads = threads};
    tn_graph *graph;
    tn_model *model;
    tn_session *session;
    const tn_tensor *y;
    tn_tensor *dims, *copy;
    int values[5], out[4];
    assert_ok(tn_graph_create(NULL, &graph));
    assert_ok(tn_graph_input(graph, "x", TN_FLOAT32, 4, tn_tensor_dims(x), &values[0]));
    for (int i = 0; i < 3; i++) assert_ok(tn_graph_constant(graph, "w", w[i], &values[i + 1]));
    assert_ok(tn_tensor_create(TN_INT64, 1, (int64_t[]){2}, NULL, &dims));
    memcpy(tn_tensor_data(dims), shape, sizeof shape);
    assert_ok(tn_graph_constant(graph, "shape", dims, &values[4]));
    assert_ok(tn_graph_node(graph, "Conv", NULL, 2, (int[]){values[0], values[1]}, 1, &out[0], padded));
    assert_ok(tn_graph_node(graph, "Conv", NULL, 2, (int[]){out[0], values[2]}, 1, &out[1], NULL));
    assert_ok(tn_graph_node(graph, "Reshape", NULL, 2, (int[]){out[1], values[4]}, 1, &out[2], NULL));
    assert_ok(tn_graph_node(graph, "MatMul", NULL, 2, (int[]){out[2], values[3]}, 1, &out[3], NULL));
    assert_ok(tn_graph_output(graph, out[3], "y"));
    assert_ok(tn_model_from_graph(graph, &options, &model));
    assert_ok(tn_session_create(model, &session_options, &session));
    assert_ok(tn_session_set_input(session, 0, x));
    assert_ok(tn_session_run(session));
    assert_ok(tn_session_output(session, 0, &y));
    assert_ok(tn_tensor_create(TN_FLOAT32, 2, tn_tensor_dims(y), NULL, &copy));
    memcpy(tn_tensor_data(copy), tn_tensor_const_data(y), tn_tensor_bytes(y));
    tn_session_destroy(session);
    tn_model_destroy(model);
    tn_tensor_destroy(dims);
    return copy;
}

static void fast_models_are_near_full_ones_and_equal_at_any_thread_count(void **state) {
    (void)state;
    tn_tensor *x = random_tensor(4, (int64_t[]){1, 32, 20, 20});
    tn_tensor *w[3] = {random_tensor(4, (int64_t[]){40, 32, 3, 3}), random_tensor(4, (int64_t[]){24, 40, 1, 1}),
                       random_tensor(2, (int64_t[]){400, 50})};
    tn_tensor *full = run_model(TN_PRECISION_FULL, 1, x, w), *fast = run_model(TN_PRECISION_FAST, 1, x, w);
    tn_tensor *threads = run_model(TN_PRECISION_FAST, 3, x, w);
    assert_memory_equal(tn_tensor_data(fast), tn_tensor_data(threads), tn_tensor_bytes(fast));
    const float *a = tn_tensor_data(full), *b = tn_tensor_data(fast);
    double error = 0, size = 0;
    for (int64_t i = 0; i < tn_tensor_count(full); i++) {
        error += pow((double)a[i] - (double)b[i], 2);
        size += pow((double)a[i], 2);
    }
    assert_true(size > 0 && sqrt(error / size) < 0.01);
    /* Where the CPU has tiles, it did round; a level without makes no difference. */
    if (tn_kernels_fast(tn_kernels_best())->bf16_products)
        assert_true(error > 0);
    else
        assert_memory_equal(a, b, tn_tensor_bytes(full));
    tn_tensor_destroy(full), tn_tensor_destroy(fast), tn_tensor_destroy(threads), tn_tensor_destroy(x);
    for (int i = 0; i < 3; i++) tn_tensor_destroy(w[i]);
}

static void an_unknown_precision_is_refused(void **state) {
    (void)state;
    tn_graph *graph;
    tn_model *model;
    const tn_model_options options = {.struct_size = sizeof options, .precision = (tn_precision)7};
    assert_ok(tn_graph_create(NULL, &graph));
    assert_int_equal(tn_model_from_graph(graph, &options, &model), TN_E_INVALID);
    assert_non_null(strstr(tn_last_error(), "precision is 7"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packing_rounds_to_even_at_every_cpu_level),
        cmocka_unit_test(products_match_at_every_cpu_level),
        cmocka_unit_test(fast_models_are_near_full_ones_and_equal_at_any_thread_count),
        cmocka_unit_test(an_unknown_precision_is_refused),
    };
    return cmocka_run_group_tests_name("kernels_bf16", tests, NULL, NULL);
}
