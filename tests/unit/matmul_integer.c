/* Products of 8-bit matrices: zero points, batches, and the same bits at every CPU level and thread count. */
#include "unit.h"
#include "exec/eager.h"

#define DIMS(...)                                                                                                      \
    (int64_t[]) {                                                                                                      \
        __VA_ARGS__                                                                                                    \
    }

static tn_tensor *tensor(tn_dtype dtype, int rank, const int64_t *dims, const void *data) {
    tn_tensor *t;
    assert_ok(tn_tensor_create(dtype, rank, dims, NULL, &t));
    if (data) memcpy(t->data, data, tn_tensor_bytes(t));
    return t;
}

static void zero_points_are_subtracted_by_row_and_column(void **state) {
    (void)state;
    tn_tensor *in[4] = {tensor(TN_UINT8, 2, DIMS(2, 3), (uint8_t[]){1, 2, 3, 4, 5, 6}),
                        tensor(TN_INT8, 2, DIMS(3, 2), (int8_t[]){1, -1, 2, -2, 3, -3}),
                        tensor(TN_UINT8, 1, DIMS(2), (uint8_t[]){1, 4}), tensor(TN_INT8, 1, DIMS(2), (int8_t[]){0, 1})};
    tn_tensor *y;
    assert_ok(tn_eager_run(NULL, tn_op_find("", "MatMulInteger"), 0, NULL, 4, (const tn_tensor *const *)in, 1, &y));
    assert_memory_equal(y->data, ((int32_t[]){8, -11, 8, -11}), 16);
    tn_tensor_destroy(y);
    tn_tensor_destroy(in[3]);
    in[3] = tensor(TN_INT8, 1, DIMS(3), NULL);
    assert_int_equal(
        tn_eager_run(NULL, tn_op_find("", "MatMulInteger"), 0, NULL, 4, (const tn_tensor *const *)in, 1, &y),
        TN_E_SHAPE);
    for (int i = 0; i < 4; i++) tn_tensor_destroy(in[i]);
}

static void requantized_products_round_and_saturate(void **state) {
    (void)state;
    tn_tensor *in[8] = {tensor(TN_INT8, 2, DIMS(1, 2), (int8_t[]){1, 100}),
                        tensor(TN_FLOAT32, 0, NULL, (float[]){0.5f}),
                        tensor(TN_INT8, 0, NULL, (int8_t[]){0}),
                        tensor(TN_INT8, 2, DIMS(2, 3), (int8_t[]){5, 3, 1, 0, 0, 100}),
                        tensor(TN_FLOAT32, 0, NULL, (float[]){1}),
                        tensor(TN_INT8, 0, NULL, (int8_t[]){0}),
                        tensor(TN_FLOAT32, 0, NULL, (float[]){1}),
                        tensor(TN_INT8, 0, NULL, (int8_t[]){10})};
    tn_tensor *y;
    assert_ok(tn_eager_run(NULL, tn_op_find("", "QLinearMatMul"), 0, NULL, 8, (const tn_tensor *const *)in, 1, &y));
    assert_memory_equal(y->data, ((int8_t[]){12, 12, 127}), 3);
    tn_tensor_destroy(y);
    for (int i = 0; i < 8; i++) tn_tensor_destroy(in[i]);
}

static void products_are_equal_at_every_cpu_level_and_thread_count(void **state) {
    (void)state;
    tn_tensor *in[4] = {tensor(TN_INT8, 3, DIMS(2, 60, 70), NULL), tensor(TN_UINT8, 3, DIMS(2, 70, 150), NULL),
                        tensor(TN_INT8, 0, NULL, (int8_t[]){7}), tensor(TN_UINT8, 0, NULL, (uint8_t[]){9})};
    uint32_t seed = 1;
    for (int i = 0; i < 2; i++)
        for (int64_t k = 0; k < tn_count(in[i]); k++)
            ((uint8_t *)in[i]->data)[k] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
    tn_tensor *want = NULL;
    tn_pool *pool;
    assert_ok(tn_pool_create(3, NULL, &pool));
    for (int run = 0; run < 2 * TN_CPU_LEVELS; run++) {
        const tn_eager options = {NULL, tn_kernels_at((tn_cpu_level)(run / 2)), run % 2 ? pool : NULL};
        tn_tensor *y;
        if (!options.kernels) continue;
        assert_ok(
            tn_eager_run(&options, tn_op_find("", "MatMulInteger"), 0, NULL, 4, (const tn_tensor *const *)in, 1, &y));
        if (want) {
            assert_memory_equal(y->data, want->data, tn_tensor_bytes(want));
            tn_tensor_destroy(y);
        } else {
            want = y;
        }
    }
    tn_pool_destroy(pool);
    tn_tensor_destroy(want);
    for (int i = 0; i < 4; i++) tn_tensor_destroy(in[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_points_are_subtracted_by_row_and_column),
        cmocka_unit_test(requantized_products_round_and_saturate),
        cmocka_unit_test(products_are_equal_at_every_cpu_level_and_thread_count),
    };
    return cmocka_run_group_tests_name("matmul_integer", tests, NULL, NULL);
}
