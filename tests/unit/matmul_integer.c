/* Products of 8-bit matrices: zero points, batches, and the same bits at every CPU level and thread count. */
#include "ops.h"

static void zero_points_are_subtracted_by_row_and_column(void **state) {
    (void)state;
    tn_tensor *y = run1("MatMulInteger", NO_ATTRS, make(TN_UINT8, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6)),
                        make(TN_INT8, DIMS(3, 2), VALUES(1, -1, 2, -2, 3, -3)), make(TN_UINT8, DIMS(2), VALUES(1, 4)),
                        make(TN_INT8, DIMS(2), VALUES(0, 1)));
    expect(y, TN_INT32, DIMS(2, 2), VALUES(8, -11, 8, -11));
    refused("MatMulInteger", NO_ATTRS, TN_E_SHAPE, "", make(TN_UINT8, DIMS(2, 3), NULL),
            make(TN_INT8, DIMS(3, 2), NULL), make(TN_UINT8, DIMS(2), NULL), make(TN_INT8, DIMS(3), NULL));
}

static void requantized_products_round_and_saturate(void **state) {
    (void)state;
    tn_tensor *y =
        run1("QLinearMatMul", NO_ATTRS, make(TN_INT8, DIMS(1, 2), VALUES(1, 100)),
             make(TN_FLOAT32, SCALAR, VALUES(0.5)), make(TN_INT8, SCALAR, NULL),
             make(TN_INT8, DIMS(2, 3), VALUES(5, 3, 1, 0, 0, 100)), make(TN_FLOAT32, SCALAR, VALUES(1)),
             make(TN_INT8, SCALAR, NULL), make(TN_FLOAT32, SCALAR, VALUES(1)), make(TN_INT8, SCALAR, VALUES(10)));
    expect(y, TN_INT8, DIMS(1, 3), VALUES(12, 12, 127));
}

static void products_are_equal_at_every_cpu_level_and_thread_count(void **state) {
    (void)state;
    expect_same_bits_everywhere("MatMulInteger", NO_ATTRS, make_noise(TN_INT8, DIMS(2, 60, 70)),
                                make_noise(TN_UINT8, DIMS(2, 70, 150)), make(TN_INT8, SCALAR, VALUES(7)),
                                make(TN_UINT8, SCALAR, VALUES(9)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_points_are_subtracted_by_row_and_column),
        cmocka_unit_test(requantized_products_round_and_saturate),
        cmocka_unit_test(products_are_equal_at_every_cpu_level_and_thread_count),
    };
    return cmocka_run_group_tests_name("matmul_integer", tests, NULL, NULL);
}
