/* MatMul, Gemm and their fused forms: shapes, types, terms, threads, refusals. */
#include "unit.h"
#include "exec/eager.h"
#include <math.h>

#define DIMS(...) ((int64_t[]){__VA_ARGS__})

static uint32_t random_state = 7;
static double random_value(void) {
    random_state = random_state * 1664525u + 1013904223u;
    return (double)(random_state >> 22) / 128 - 4;
}

static tn_tensor *random_tensor(tn_dtype dtype, int rank, const int64_t *dims) {
    tn_tensor *t;
    assert_ok(tn_tensor_create(dtype, rank, dims, NULL, &t));
    for (int64_t i = 0; i < tn_count(t); i++) {
        double x = random_value();
        switch (dtype) {
        case TN_FLOAT32: ((float *)t->data)[i] = (float)x; break;
        case TN_FLOAT64: ((double *)t->data)[i] = x; break;
        case TN_INT32: ((int32_t *)t->data)[i] = (int32_t)(x * 4); break;
        default: ((int64_t *)t->data)[i] = (int64_t)(x * 4);
        }
    }
    return t;
}

static double at(const tn_tensor *t, int64_t i) {
    switch (t->dtype) {
    case TN_FLOAT32: return (double)((const float *)t->data)[i];
    case TN_FLOAT64: return ((const double *)t->data)[i];
    case TN_INT32: return ((const int32_t *)t->data)[i];
    default: return (double)((const int64_t *)t->data)[i];
    }
}

static tn_attr attr_int(const char *name, int64_t i) {
    return (tn_attr){.name = name, .kind = TN_ATTR_INT, .i = i};
}
static tn_attr attr_float(const char *name, float f) {
    return (tn_attr){.name = name, .kind = TN_ATTR_FLOAT, .f = f};
}
static tn_attr attr_text(const char *name, const char *s) {
    return (tn_attr){.name = name, .kind = TN_ATTR_STRING, .s = {s, strlen(s)}};
}

static tn_status run(tn_pool *pool, const char *domain, const char *name, int attrs, const tn_attr *attr, int in_count,
                     tn_tensor *const *in, tn_tensor **out) {
    tn_eager options = {.pool = pool};
    const tn_op *op = tn_op_find(domain, name);
    assert_non_null(op);
    return tn_eager_run(&options, op, attrs, attr, in_count, (const tn_tensor *const *)in, 1, out);
}

/* y[batch, m, n] of a[batch or 1, m, k] and b[batch or 1, k, n], as they lie in dense stacks. */
static void expect_product(const tn_tensor *y, const tn_tensor *a, const tn_tensor *b, int64_t batch, int64_t m,
                           int64_t n, int64_t k) {
    assert_int_equal(tn_count(y), batch * m * n);
    int64_t a_step = tn_count(a) == m * k ? 0 : m * k, b_step = tn_count(b) == k * n ? 0 : k * n;
    for (int64_t s = 0; s < batch; s++)
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) {
                double sum = 0;
                for (int64_t l = 0; l < k; l++) sum += at(a, s * a_step + i * k + l) * at(b, s * b_step + l * n + j);
                double got = at(y, (s * m + i) * n + j);
                if (fabs(got - sum) > 1e-4 * (1 + fabs(sum)))
                    fail_msg("[%d, %d, %d] is %g, not %g", (int)s, (int)i, (int)j, got, sum);
            }
}

static void check_matmul(tn_dtype dtype, int a_rank, const int64_t *a_dims, int b_rank, const int64_t *b_dims,
                         int out_rank, const int64_t *out_dims, int64_t batch, int64_t m, int64_t n, int64_t k) {
    tn_tensor *in[2] = {random_tensor(dtype, a_rank, a_dims), random_tensor(dtype, b_rank, b_dims)}, *y;
    assert_ok(run(NULL, "", "MatMul", 0, NULL, 2, in, &y));
    assert_int_equal(y->rank, out_rank);
    assert_memory_equal(y->dims, out_dims, (size_t)out_rank * sizeof *out_dims);
    expect_product(y, in[0], in[1], batch, m, n, k);
    tn_tensor_destroy(in[0]), tn_tensor_destroy(in[1]), tn_tensor_destroy(y);
}

static void matmul_takes_vectors_matrices_and_stacks_of_every_type(void **state) {
    (void)state;
    static const tn_dtype dtypes[] = {TN_FLOAT32, TN_FLOAT64, TN_INT32, TN_INT64};
    for (size_t t = 0; t < TN_COUNT(dtypes); t++) {
        tn_dtype d = dtypes[t];
        check_matmul(d, 2, DIMS(3, 5), 2, DIMS(5, 70), 2, DIMS(3, 70), 1, 3, 70, 5);
        check_matmul(d, 1, DIMS(5), 1, DIMS(5), 0, DIMS(0), 1, 1, 1, 5);
        check_matmul(d, 1, DIMS(5), 2, DIMS(5, 4), 1, DIMS(4), 1, 1, 4, 5);
        check_matmul(d, 2, DIMS(4, 5), 1, DIMS(5), 1, DIMS(4), 1, 4, 1, 5);
        check_matmul(d, 3, DIMS(6, 4, 5), 1, DIMS(5), 2, DIMS(6, 4), 6, 4, 1, 5);
        check_matmul(d, 3, DIMS(6, 4, 5), 2, DIMS(5, 3), 3, DIMS(6, 4, 3), 6, 4, 3, 5);
        check_matmul(d, 3, DIMS(6, 1, 5), 2, DIMS(5, 3), 3, DIMS(6, 1, 3), 6, 1, 3, 5);
        check_matmul(d, 4, DIMS(2, 3, 4, 5), 4, DIMS(2, 3, 5, 6), 4, DIMS(2, 3, 4, 6), 6, 4, 6, 5);
        check_matmul(d, 2, DIMS(4, 5), 3, DIMS(7, 5, 6), 3, DIMS(7, 4, 6), 7, 4, 6, 5);
        check_matmul(d, 2, DIMS(0, 5), 2, DIMS(5, 3), 2, DIMS(0, 3), 1, 0, 3, 5);
        check_matmul(d, 2, DIMS(2, 0), 2, DIMS(0, 3), 2, DIMS(2, 3), 1, 2, 3, 0);
    }
}

static void stacks_broadcast(void **state) {
    (void)state;
    tn_tensor *in[2] = {random_tensor(TN_FLOAT32, 4, DIMS(2, 1, 3, 4)), random_tensor(TN_FLOAT32, 3, DIMS(5, 4, 2))};
    tn_tensor *y;
    assert_ok(run(NULL, "", "MatMul", 0, NULL, 2, in, &y));
    assert_memory_equal(y->dims, DIMS(2, 5, 3, 2), 4 * sizeof(int64_t));
    for (int64_t p = 0; p < 2; p++)
        for (int64_t q = 0; q < 5; q++)
            for (int64_t i = 0; i < 3; i++)
                for (int64_t j = 0; j < 2; j++) {
                    double sum = 0;
                    for (int64_t l = 0; l < 4; l++) sum += at(in[0], p * 12 + i * 4 + l) * at(in[1], q * 8 + l * 2 + j);
                    assert_true(fabs(at(y, ((p * 5 + q) * 3 + i) * 2 + j) - sum) < 1e-4);
                }
    tn_tensor_destroy(in[0]), tn_tensor_destroy(in[1]), tn_tensor_destroy(y);
}

/* The same numbers with the two dims changed round. */
static tn_tensor *transposed(const tn_tensor *t) {
    tn_tensor *y, *view;
    assert_ok(tn_tensor_view((tn_tensor *)t, 2, DIMS(t->dims[1], t->dims[0]), DIMS(1, t->dims[1]), 0, &view));
    assert_ok(tn_tensor_clone(view, NULL, &y));
    tn_tensor_destroy(view);
    return y;
}

static void gemm_adds_a_scaled_c_of_any_shape(void **state) {
    (void)state;
    static const int64_t shapes[][3] = {{0}, {1, 1}, {1, 7}, {2, 1, 7}, {2, 5, 1}, {2, 5, 7}, {2, 1, 1}};
    static const tn_dtype dtypes[] = {TN_FLOAT32, TN_FLOAT64, TN_INT32, TN_INT64};
    for (size_t d = 0; d < TN_COUNT(dtypes); d++)
        for (int flags = 0; flags < 16; flags++)
            for (size_t s = 0; s < TN_COUNT(shapes); s++) {
                float alpha = flags & 4 ? 2 : 1, beta = flags & 8 ? 3 : 1;
                const tn_attr attrs[] = {attr_int("transA", flags & 1), attr_int("transB", flags >> 1 & 1),
                                         attr_float("alpha", alpha), attr_float("beta", beta)};
                int64_t m = s == 6 ? 1 : 5;
                tn_tensor *a = random_tensor(dtypes[d], 2, DIMS(m, 6)), *b = random_tensor(dtypes[d], 2, DIMS(6, 7));
                tn_tensor *c = random_tensor(dtypes[d], (int)shapes[s][0], shapes[s] + 1), *y;
                tn_tensor *in[3] = {flags & 1 ? transposed(a) : a, flags & 2 ? transposed(b) : b, c};
                assert_ok(run(NULL, "", "Gemm", 4, attrs, 3, in, &y));
                int64_t column = c->rank > 0 && c->dims[c->rank - 1] > 1;
                int64_t row = c->rank > 1 && c->dims[0] > 1 ? c->dims[1] : 0;
                for (int64_t i = 0; i < m; i++)
                    for (int64_t j = 0; j < 7; j++) {
                        double sum = (double)beta * at(c, i * row + j * column);
                        for (int64_t k = 0; k < 6; k++) sum += (double)alpha * at(a, i * 6 + k) * at(b, k * 7 + j);
                        assert_true(fabs(at(y, i * 7 + j) - sum) < 1e-3);
                    }
                for (int i = 0; i < 2; i++)
                    if (flags >> i & 1) tn_tensor_destroy(in[i]);
                tn_tensor_destroy(a), tn_tensor_destroy(b), tn_tensor_destroy(c), tn_tensor_destroy(y);
            }
}

static void fused_products_add_bias_and_residual_before_the_activation(void **state) {
    (void)state;
    const float alpha = 0.5f;
    const tn_attr attrs[] = {attr_float("alpha", alpha),
                             attr_text("activation", "LeakyRelu"),
                             {.name = "activation_params", .kind = TN_ATTR_FLOATS, .count = 1, .floats = &alpha}};
    tn_tensor *in[4] = {random_tensor(TN_FLOAT32, 3, DIMS(2, 3, 4)), random_tensor(TN_FLOAT32, 2, DIMS(4, 5)),
                        random_tensor(TN_FLOAT32, 1, DIMS(5)), random_tensor(TN_FLOAT32, 3, DIMS(2, 3, 5))};
    tn_tensor *y;
    assert_ok(run(NULL, "tenon", "FusedMatMul", 3, attrs, 4, in, &y));
    for (int64_t i = 0; i < 6; i++)
        for (int64_t j = 0; j < 5; j++) {
            double sum = at(in[2], j) + at(in[3], i * 5 + j);
            for (int64_t k = 0; k < 4; k++) sum += 0.5 * at(in[0], i * 4 + k) * at(in[1], k * 5 + j);
            assert_true(fabs(at(y, i * 5 + j) - (sum < 0 ? 0.5 * sum : sum)) < 1e-4);
        }
    for (int i = 0; i < 4; i++) tn_tensor_destroy(in[i]);
    tn_tensor_destroy(y);
}

static void fused_products_transpose_batches(void **state) {
    (void)state;
    const tn_attr attrs[] = {attr_int("transBatchA", 1), attr_int("transB", 1)};
    tn_tensor *in[2] = {random_tensor(TN_FLOAT32, 3, DIMS(3, 2, 4)), random_tensor(TN_FLOAT32, 3, DIMS(2, 5, 4))}, *y;
    assert_ok(run(NULL, "com.microsoft", "FusedMatMul", 2, attrs, 2, in, &y));
    assert_memory_equal(y->dims, DIMS(2, 3, 5), 3 * sizeof(int64_t));
    for (int64_t s = 0; s < 2; s++)
        for (int64_t i = 0; i < 3; i++)
            for (int64_t j = 0; j < 5; j++) {
                double sum = 0;
                for (int64_t k = 0; k < 4; k++) sum += at(in[0], (i * 2 + s) * 4 + k) * at(in[1], (s * 5 + j) * 4 + k);
                assert_true(fabs(at(y, (s * 3 + i) * 5 + j) - sum) < 1e-4);
            }
    tn_tensor_destroy(in[0]), tn_tensor_destroy(in[1]), tn_tensor_destroy(y);
}

static void results_are_equal_at_any_number_of_threads(void **state) {
    (void)state;
    static const int64_t shapes[][3] = {{150, 210, 190}, {1, 900, 800}, {900, 1, 700}, {7, 2000, 300}};
    for (size_t s = 0; s < TN_COUNT(shapes); s++) {
        const int64_t *shape = shapes[s];
        tn_tensor *in[2] = {random_tensor(TN_FLOAT32, 2, DIMS(shape[0], shape[2])),
                            random_tensor(TN_FLOAT32, 2, DIMS(shape[2], shape[1]))};
        tn_tensor *first, *y;
        assert_ok(run(NULL, "", "MatMul", 0, NULL, 2, in, &first));
        for (int threads = 2; threads < 4; threads++) {
            tn_pool *pool;
            assert_ok(tn_pool_create(threads, NULL, &pool));
            assert_ok(run(pool, "", "MatMul", 0, NULL, 2, in, &y));
            assert_memory_equal(first->data, y->data, tn_tensor_bytes(y));
            tn_tensor_destroy(y);
            tn_pool_destroy(pool);
        }
        tn_tensor_destroy(in[0]), tn_tensor_destroy(in[1]), tn_tensor_destroy(first);
    }
}

static tn_tensor *as_float64(const tn_tensor *t) {
    tn_tensor *wide;
    assert_ok(tn_tensor_create(TN_FLOAT64, t->rank, t->dims, NULL, &wide));
    for (int64_t i = 0; i < tn_count(t); i++) ((double *)wide->data)[i] = at(t, i);
    return wide;
}

/* Shapes that are cut in ways of their own. */
static void tall_and_long_products_are_those_of_float64_at_any_number_of_threads(void **state) {
    (void)state;
    static const int64_t shapes[][3] = {{7001, 24, 41}, {20, 18, 5003}, {65, 3, 1500}, {2, 40, 1025}};
    tn_pool *pool;
    assert_ok(tn_pool_create(3, NULL, &pool));
    for (size_t s = 0; s < TN_COUNT(shapes); s++)
        for (int flags = 0; flags < 16; flags++) {
            const int64_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
            const int64_t a[2] = {flags & 1 ? k : m, flags & 1 ? m : k}, b[2] = {flags & 2 ? n : k, flags & 2 ? k : n};
            const tn_attr attrs[] = {attr_int("transA", flags & 1), attr_int("transB", flags >> 1 & 1),
                                     attr_float("alpha", flags & 8 ? 0.5f : 1)};
            tn_tensor *in[3] = {random_tensor(TN_FLOAT32, 2, a), random_tensor(TN_FLOAT32, 2, b),
                                random_tensor(TN_FLOAT32, 2, DIMS(flags & 4 ? m : 1, n))};
            tn_tensor *wide[3] = {as_float64(in[0]), as_float64(in[1]), as_float64(in[2])}, *y, *same, *exact;
            assert_ok(run(NULL, "", "Gemm", 3, attrs, 3, in, &y));
            assert_ok(run(pool, "", "Gemm", 3, attrs, 3, in, &same));
            assert_ok(run(NULL, "", "Gemm", 3, attrs, 3, wide, &exact));
            assert_memory_equal(y->data, same->data, tn_tensor_bytes(y));
            for (int64_t i = 0; i < m * n; i++) assert_true(fabs(at(y, i) - at(exact, i)) < 1e-6 * 16 * (double)k);
            for (int i = 0; i < 3; i++) tn_tensor_destroy(in[i]), tn_tensor_destroy(wide[i]);
            tn_tensor_destroy(y), tn_tensor_destroy(same), tn_tensor_destroy(exact);
        }
    tn_pool_destroy(pool);
}

static void operands_that_do_not_fit_are_refused(void **state) {
    (void)state;
    tn_tensor *matrix = random_tensor(TN_FLOAT32, 2, DIMS(3, 4)), *other = random_tensor(TN_FLOAT64, 2, DIMS(4, 3));
    tn_tensor *scalar = random_tensor(TN_FLOAT32, 0, NULL), *stack = random_tensor(TN_FLOAT32, 3, DIMS(2, 4, 3)), *y;
    tn_tensor *stacks = random_tensor(TN_FLOAT32, 3, DIMS(3, 3, 4));
    assert_int_equal(run(NULL, "", "MatMul", 0, NULL, 2, (tn_tensor *[]){matrix, matrix}, &y), TN_E_SHAPE);
    assert_non_null(strstr(tn_last_error(), "4 columns"));
    assert_int_equal(run(NULL, "", "MatMul", 0, NULL, 2, (tn_tensor *[]){matrix, other}, &y), TN_E_TYPE);
    assert_int_equal(run(NULL, "", "MatMul", 0, NULL, 2, (tn_tensor *[]){matrix, scalar}, &y), TN_E_SHAPE);
    assert_int_equal(run(NULL, "", "MatMul", 0, NULL, 2, (tn_tensor *[]){stacks, stack}, &y), TN_E_SHAPE);
    assert_int_equal(run(NULL, "", "Gemm", 0, NULL, 2, (tn_tensor *[]){matrix, stack}, &y), TN_E_SHAPE);
    const tn_attr unknown = attr_text("activation", "Twirl");
    assert_int_equal(run(NULL, "tenon", "FusedMatMul", 1, &unknown, 2, (tn_tensor *[]){matrix, stack}, &y),
                     TN_E_UNSUPPORTED);
    tn_tensor_destroy(matrix), tn_tensor_destroy(other), tn_tensor_destroy(scalar), tn_tensor_destroy(stack);
    tn_tensor_destroy(stacks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matmul_takes_vectors_matrices_and_stacks_of_every_type),
        cmocka_unit_test(stacks_broadcast),
        cmocka_unit_test(gemm_adds_a_scaled_c_of_any_shape),
        cmocka_unit_test(fused_products_add_bias_and_residual_before_the_activation),
        cmocka_unit_test(fused_products_transpose_batches),
        cmocka_unit_test(results_are_equal_at_any_number_of_threads),
        cmocka_unit_test(tall_and_long_products_are_those_of_float64_at_any_number_of_threads),
        cmocka_unit_test(operands_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests_name("matmul", tests, NULL, NULL);
}
