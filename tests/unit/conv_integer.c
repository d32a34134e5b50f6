/* Convolutions of 8-bit integers: padding is the zero point, and the same bits at every CPU level and thread count. */
#include "ops.h"

static void padding_holds_the_zero_point(void **state) {
    (void)state;
    tn_tensor *y =
        run1("ConvInteger", ATTRS(ATTR_INTS("pads", 1, 1)), make(TN_UINT8, DIMS(1, 1, 3), VALUES(10, 11, 12)),
             make(TN_INT8, DIMS(1, 1, 3), VALUES(1, -2, 3)), make(TN_UINT8, SCALAR, VALUES(9)));
    expect(y, TN_INT32, DIMS(1, 1, 3), VALUES(4, 6, -4));
}

static void groups_that_do_not_divide_are_refused(void **state) {
    (void)state;
    refused("ConvInteger", ATTRS(ATTR_INT("group", 2)), TN_E_SHAPE, "3 / 2", make(TN_UINT8, DIMS(1, 3, 3), NULL),
            make(TN_INT8, DIMS(2, 1, 1), NULL));
}

static void convolutions_are_equal_at_every_cpu_level_and_thread_count(void **state) {
    (void)state;
    static const int64_t channels = 6, cases[][2] = {{50, 1}, {4, 2}, {12, 6}}; /* maps, groups */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t maps = cases[i][0], groups = cases[i][1];
        expect_same_bits_everywhere(
            "ConvInteger", ATTRS(ATTR_INT("group", groups), ATTR_INTS("strides", 1, 2), ATTR_INTS("pads", 0, 1, 2, 1)),
            make_noise(TN_INT8, DIMS(2, channels, 13, 30)), make_noise(TN_UINT8, DIMS(maps, channels / groups, 3, 3)),
            make(TN_INT8, SCALAR, VALUES(7)), make(TN_UINT8, SCALAR, VALUES(9)));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(padding_holds_the_zero_point),
        cmocka_unit_test(groups_that_do_not_divide_are_refused),
        cmocka_unit_test(convolutions_are_equal_at_every_cpu_level_and_thread_count),
    };
    return cmocka_run_group_tests_name("conv_integer", tests, NULL, NULL);
}
