/* Attention against the plain formula, what is hidden, what is refused, the same bits at any thread count. */
#include "unit.h"
#include "exec/eager.h"
#include <math.h>
#include <stdlib.h>

#define DIMS(...)                                                                                                      \
    (int64_t[]) {                                                                                                      \
        __VA_ARGS__                                                                                                    \
    }

static uint32_t seed = 1;
static tn_tensor *noise(int rank, const int64_t *dims) {
    tn_tensor *t;
    assert_ok(tn_tensor_create(TN_FLOAT32, rank, dims, NULL, &t));
    for (int64_t k = 0; k < tn_count(t); k++)
        ((float *)t->data)[k] = (float)((seed = seed * 1664525 + 1013904223) >> 8) / (1 << 23) - 1;
    return t;
}
static tn_tensor *bytes(tn_dtype dtype, int rank, const int64_t *dims, const void *data) {
    tn_tensor *t;
    assert_ok(tn_tensor_create(dtype, rank, dims, NULL, &t));
    memcpy(t->data, data, tn_tensor_bytes(t));
    return t;
}
static tn_status run(const tn_eager *options, const char *domain, const char *name, int attr_count,
                     const tn_attr *attrs, int in_count, tn_tensor **in, tn_tensor **y) {
    return tn_eager_run(options, tn_op_find(domain, name), attr_count, attrs, in_count, (const tn_tensor *const *)in, 1,
                        y);
}

/* One head of one batch: y[q, v_size] of q[q, size], k[n, size], v[n, v_size]. */
static void plain(int64_t q_length, int64_t n, int64_t size, int64_t v_size, float scale, const float *q,
                  const float *k, const float *v, const float *mask, bool causal, double *y) {
    double *p = malloc((size_t)n * sizeof *p);
    for (int64_t i = 0; i < q_length; i++) {
        double most = -INFINITY, sum = 0;
        for (int64_t j = 0; j < n; j++) {
            p[j] = 0;
            for (int64_t d = 0; d < size; d++) p[j] += (double)q[i * size + d] * (double)k[j * size + d];
            p[j] = p[j] * (double)scale + (mask ? (double)mask[i * n + j] : 0);
            if (causal && j > i) p[j] = -INFINITY;
            most = fmax(most, p[j]);
        }
        for (int64_t j = 0; j < n; j++) sum += p[j] = exp(p[j] - most);
        for (int64_t d = 0; d < v_size; d++) {
            y[i * v_size + d] = 0;
            for (int64_t j = 0; j < n; j++) y[i * v_size + d] += p[j] / sum * (double)v[j * v_size + d];
        }
    }
    free(p);
}

static void check_scaled(int64_t heads, int64_t q_length, int64_t n, int64_t size, int64_t v_size) {
    const tn_attr scale = {.name = "scale", .kind = TN_ATTR_FLOAT, .f = 0.7f};
    tn_tensor *in[4] = {noise(4, DIMS(1, heads, q_length, size)), noise(4, DIMS(1, heads, n, size)),
                        noise(4, DIMS(1, heads, n, v_size)), noise(2, DIMS(q_length, n))};
    double *want = malloc((size_t)(q_length * v_size) * sizeof *want);
    tn_tensor *first = NULL, *y;
    tn_pool *pool;
    assert_ok(tn_pool_create(3, NULL, &pool));
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        tn_eager options = {NULL, tn_kernels_at((tn_cpu_level)level), NULL};
        if (!options.kernels) continue;
        assert_ok(run(&options, "tenon", "ScaledAttention", 1, &scale, 4, in, &first));
        options.pool = pool;
        assert_ok(run(&options, "tenon", "ScaledAttention", 1, &scale, 4, in, &y));
        assert_memory_equal(first->data, y->data, tn_tensor_bytes(y));
        for (int64_t h = 0; h < heads; h++) {
            plain(q_length, n, size, v_size, 0.7f, (float *)in[0]->data + h * q_length * size,
                  (float *)in[1]->data + h * n * size, (float *)in[2]->data + h * n * v_size, in[3]->data, false, want);
            for (int64_t i = 0; i < q_length * v_size; i++)
                assert_true(fabs(want[i] - (double)((float *)y->data)[h * q_length * v_size + i]) < 1e-5);
        }
        tn_tensor_destroy(first), tn_tensor_destroy(y);
    }
    tn_pool_destroy(pool);
    free(want);
    for (int i = 0; i < 4; i++) tn_tensor_destroy(in[i]);
}

static void attention_is_what_its_formula_says_at_every_cpu_level_and_thread_count(void **state) {
    (void)state;
    check_scaled(2, 1, 300, 16, 16);
    check_scaled(2, 3, 5, 7, 9);
    check_scaled(3, 130, 70, 32, 24);
    check_scaled(1, 70, 2100, 8, 8);
}

static void later_positions_are_hidden_when_it_is_causal(void **state) {
    (void)state;
    const tn_attr causal = {.name = "is_causal", .kind = TN_ATTR_INT, .i = 1};
    enum { N = 90, D = 8 };
    tn_tensor *in[3] = {noise(4, DIMS(1, 1, N, D)), noise(4, DIMS(1, 1, N, D)), noise(4, DIMS(1, 1, N, D))}, *y;
    double want[N * D];
    assert_ok(run(NULL, "", "Attention", 1, &causal, 3, in, &y));
    plain(N, N, D, D, 1 / sqrtf(D), in[0]->data, in[1]->data, in[2]->data, NULL, true, want);
    for (int i = 0; i < N * D; i++) assert_true(fabs(want[i] - (double)((float *)y->data)[i]) < 1e-5);
    tn_tensor_destroy(y);
    for (int i = 0; i < 3; i++) tn_tensor_destroy(in[i]);
}

static void rows_that_see_nothing_give_zeros(void **state) {
    (void)state;
    tn_tensor *in[4] = {noise(4, DIMS(1, 1, 2, 4)), noise(4, DIMS(1, 1, 3, 4)), noise(4, DIMS(1, 1, 3, 4)),
                        bytes(TN_BOOL, 2, DIMS(2, 3), (uint8_t[]){0, 0, 0, 0, 1, 0})},
              *y;
    assert_ok(run(NULL, "", "Attention", 0, NULL, 4, in, &y));
    assert_memory_equal(y->data, ((float[]){0, 0, 0, 0}), 16);
    assert_memory_equal((float *)y->data + 4, (float *)in[2]->data + 4, 16);
    tn_tensor_destroy(y);
    for (int i = 0; i < 4; i++) tn_tensor_destroy(in[i]);
}

static void lengths_beyond_the_keys_are_refused(void **state) {
    (void)state;
    tn_tensor *in[7] = {noise(4, DIMS(1, 1, 2, 4)),
                        noise(4, DIMS(1, 1, 3, 4)),
                        noise(4, DIMS(1, 1, 3, 4)),
                        NULL,
                        NULL,
                        NULL,
                        bytes(TN_INT64, 1, DIMS(1), (int64_t[]){4})},
              *y;
    assert_int_equal(run(NULL, "", "Attention", 0, NULL, 7, in, &y), TN_E_INVALID);
    tn_tensor_destroy(in[1]);
    in[1] = noise(4, DIMS(1, 2, 3, 4));
    assert_int_equal(run(NULL, "", "Attention", 0, NULL, 3, in, &y), TN_E_SHAPE);
    for (int i = 0; i < 7; i++) tn_tensor_destroy(in[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_is_what_its_formula_says_at_every_cpu_level_and_thread_count),
        cmocka_unit_test(later_positions_are_hidden_when_it_is_causal),
        cmocka_unit_test(rows_that_see_nothing_give_zeros),
        cmocka_unit_test(lengths_beyond_the_keys_are_refused),
    };
    return cmocka_run_group_tests_name("attention", tests, NULL, NULL);
}
