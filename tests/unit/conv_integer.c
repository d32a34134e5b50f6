/* Convolutions of 8-bit integers: padding is the zero point, and the same bits at every CPU level and thread count. */
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

static void padding_holds_the_zero_point(void **state) {
    (void)state;
    const tn_attr pads = {.name = "pads", .kind = TN_ATTR_INTS, .count = 2, .ints = DIMS(1, 1)};
    tn_tensor *in[3] = {tensor(TN_UINT8, 3, DIMS(1, 1, 3), (uint8_t[]){10, 11, 12}),
                        tensor(TN_INT8, 3, DIMS(1, 1, 3), (int8_t[]){1, -2, 3}),
                        tensor(TN_UINT8, 0, NULL, (uint8_t[]){9})};
    tn_tensor *y;
    assert_ok(tn_eager_run(NULL, tn_op_find("", "ConvInteger"), 1, &pads, 3, (const tn_tensor *const *)in, 1, &y));
    assert_memory_equal(y->data, ((int32_t[]){4, 6, -4}), 12);
    tn_tensor_destroy(y);
    for (int i = 0; i < 3; i++) tn_tensor_destroy(in[i]);
}

static void groups_that_do_not_divide_are_refused(void **state) {
    (void)state;
    const tn_attr group = {.name = "group", .kind = TN_ATTR_INT, .i = 2};
    tn_tensor *in[2] = {tensor(TN_UINT8, 3, DIMS(1, 3, 3), NULL), tensor(TN_INT8, 3, DIMS(2, 1, 1), NULL)};
    tn_tensor *y;
    assert_int_equal(
        tn_eager_run(NULL, tn_op_find("", "ConvInteger"), 1, &group, 2, (const tn_tensor *const *)in, 1, &y),
        TN_E_SHAPE);
    assert_non_null(strstr(tn_last_error(), "3 / 2"));
    for (int i = 0; i < 2; i++) tn_tensor_destroy(in[i]);
}

static void check(int64_t channels, int64_t maps, int64_t groups) {
    const tn_attr attrs[] = {{.name = "group", .kind = TN_ATTR_INT, .i = groups},
                             {.name = "strides", .kind = TN_ATTR_INTS, .count = 2, .ints = DIMS(1, 2)},
                             {.name = "pads", .kind = TN_ATTR_INTS, .count = 4, .ints = DIMS(0, 1, 2, 1)}};
    tn_tensor *in[4] = {tensor(TN_INT8, 4, DIMS(2, channels, 13, 30), NULL),
                        tensor(TN_UINT8, 4, DIMS(maps, channels / groups, 3, 3), NULL),
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
            tn_eager_run(&options, tn_op_find("", "ConvInteger"), 3, attrs, 4, (const tn_tensor *const *)in, 1, &y));
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

static void convolutions_are_equal_at_every_cpu_level_and_thread_count(void **state) {
    (void)state;
    check(6, 50, 1);
    check(6, 4, 2);
    check(6, 12, 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(padding_holds_the_zero_point),
        cmocka_unit_test(groups_that_do_not_divide_are_refused),
        cmocka_unit_test(convolutions_are_equal_at_every_cpu_level_and_thread_count),
    };
    return cmocka_run_group_tests_name("conv_integer", tests, NULL, NULL);
}
