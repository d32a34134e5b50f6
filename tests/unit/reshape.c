/* Reshape, Flatten, Squeeze, Unsqueeze: what is inferred of known and symbolic dims, and refusals. */
#include "ops.h"

enum { BATCH = -2, TIME = -3 };

static tn_tensor *list(int n, const double *values) {
    return make(TN_INT64, 1, (int64_t[]){n}, values);
}
#define LIST(...) list((int)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)), (double[]){__VA_ARGS__})

static void reshape_infers_the_open_dim_through_symbols(void **state) {
    (void)state;
    const tn_type shape = TYPE(TN_INT64, 2), shape3 = TYPE(TN_INT64, 3);
    expect_dims("Reshape", NO_ATTRS, INPUTS(TYPE(TN_FLOAT32, BATCH, 3, 4), shape), KNOWN(NULL, LIST(-1, 12)),
                DIMS(BATCH, 12));
    expect_dims("Reshape", NO_ATTRS, INPUTS(TYPE(TN_FLOAT32, BATCH, 3, 4), shape), KNOWN(NULL, LIST(0, -1)),
                DIMS(BATCH, 12));
    expect_dims("Reshape", NO_ATTRS, INPUTS(TYPE(TN_FLOAT32, BATCH, TIME, 8), shape3), KNOWN(NULL, LIST(0, -1, 8)),
                DIMS(BATCH, TIME, 8));
    expect_dims("Reshape", NO_ATTRS, INPUTS(TYPE(TN_FLOAT32, BATCH, TIME, 8), shape), KNOWN(NULL, LIST(-1, 8)),
                DIMS(-1, 8));
    expect_dims("Reshape", NO_ATTRS, INPUTS(TYPE(TN_FLOAT32, BATCH, 3, 4), shape), KNOWN(NULL, LIST(-1, 6)),
                DIMS(-1, 6));
    expect_dims("Reshape", NO_ATTRS, INPUTS(TYPE(TN_FLOAT32, -1, 3, 4), shape3), KNOWN(NULL, LIST(0, -1, 6)),
                DIMS(-1, 2, 6));
    expect_dims("Reshape", NO_ATTRS, INPUTS(TYPE(TN_FLOAT32, 6, 4), shape3), KNOWN(NULL, LIST(2, -1, 3)),
                DIMS(2, 4, 3));
    expect_dims("Reshape", NO_ATTRS, INPUTS(TYPE(TN_FLOAT32, 6, 4), shape3), KNOWN(NULL, NULL), DIMS(-1, -1, -1));
}

static void reshape_moves_any_type_and_refuses_what_does_not_fit(void **state) {
    (void)state;
    expect(run1("Reshape", NO_ATTRS, make(TN_INT4, DIMS(3), VALUES(1, -2, 3)), LIST(3, 1)), TN_INT4, DIMS(3, 1),
           VALUES(1, -2, 3));
    expect(run1("Reshape", ATTRS(ATTR_INT("allowzero", 1)), make(TN_FLOAT32, DIMS(0, 5), NULL), LIST(3, 0)), TN_FLOAT32,
           DIMS(3, 0), NULL);
    refused("Reshape", NO_ATTRS, TN_E_SHAPE, "6 elements do not fit", make(TN_INT8, DIMS(6), NULL), LIST(2, 2));
    refused("Reshape", NO_ATTRS, TN_E_SHAPE, "do not divide by 4", make(TN_INT8, DIMS(6), NULL), LIST(4, -1));
    refused("Reshape", NO_ATTRS, TN_E_SHAPE, "one dimension only", make(TN_INT8, DIMS(6), NULL), LIST(-1, -1));
    refused("Reshape", NO_ATTRS, TN_E_SHAPE, "-7 is no dimension", make(TN_INT8, DIMS(6), NULL), LIST(-7));
    refused("Reshape", NO_ATTRS, TN_E_SHAPE, "no dimension 1", make(TN_INT8, DIMS(6), NULL), LIST(6, 0));
    refused("Reshape", NO_ATTRS, TN_E_SHAPE, "at most 8", make(TN_INT8, DIMS(1), NULL),
            LIST(1, 1, 1, 1, 1, 1, 1, 1, 1));
    refused("Reshape", NO_ATTRS, TN_E_SHAPE, "too large", make(TN_INT8, DIMS(6), NULL), LIST(0x1p40, 0x1p40, -1));
    refused("Reshape", NO_ATTRS, TN_E_TYPE, "int64", make(TN_INT8, DIMS(6), NULL), make(TN_FLOAT32, DIMS(1), NULL));
    refused("Reshape", ATTRS(ATTR_INT("allowzero", 1)), TN_E_SHAPE, "exclude each other", make(TN_INT8, DIMS(0), NULL),
            LIST(0, -1));
}

static void flatten_keeps_a_lone_symbol(void **state) {
    (void)state;
    expect_dims("Flatten", NO_ATTRS, INPUTS(TYPE(TN_FLOAT32, BATCH, 3, 4)), KNOWN(NULL), DIMS(BATCH, 12));
    expect_dims("Flatten", ATTRS(ATTR_INT("axis", 0)), INPUTS(TYPE(TN_FLOAT32, BATCH, 3)), KNOWN(NULL), DIMS(1, -1));
    expect_dims("Flatten", ATTRS(ATTR_INT("axis", -1)), INPUTS(TYPE(TN_FLOAT32, 2, 3, 4)), KNOWN(NULL), DIMS(6, 4));
    expect_dims("Flatten", ATTRS(ATTR_INT("axis", 2)), INPUTS(TYPE(TN_FLOAT32, 1, BATCH, 4)), KNOWN(NULL),
                DIMS(BATCH, 4));
    refused("Flatten", ATTRS(ATTR_INT("axis", 3)), TN_E_INVALID, "[-2, 2]", make(TN_FLOAT32, DIMS(2, 3), NULL));
}

static void squeeze_drops_and_unsqueeze_adds_dims_of_one(void **state) {
    (void)state;
    const tn_type axes1 = TYPE(TN_INT64, 1), axes2 = TYPE(TN_INT64, 2);
    tn_type out;
    expect_dims("Squeeze", NO_ATTRS, INPUTS(TYPE(TN_FLOAT32, 1, 3, 1)), KNOWN(NULL), DIMS(3));
    expect_dims("Squeeze", NO_ATTRS, INPUTS(TYPE(TN_FLOAT32, BATCH, 1, TIME), axes1), KNOWN(NULL, LIST(-2)),
                DIMS(BATCH, TIME));
    expect_dims("Squeeze", NO_ATTRS, INPUTS(TYPE(TN_FLOAT32, BATCH, 1, TIME), axes1), KNOWN(NULL, NULL), DIMS(-1, -1));
    /* Whether a symbol is 1, and goes, is not known. */
    assert_ok(infer_op("Squeeze", NO_ATTRS, INPUTS(TYPE(TN_FLOAT32, BATCH, 1)), KNOWN(NULL), 1, &out));
    assert_int_equal(out.rank, -1);
    expect_dims("Unsqueeze", NO_ATTRS, INPUTS(TYPE(TN_FLOAT32, BATCH, 4), axes2), KNOWN(NULL, LIST(-1, 0)),
                DIMS(1, BATCH, 4, 1));
    expect_dims("Unsqueeze", NO_ATTRS, INPUTS(TYPE(TN_FLOAT32, BATCH, 4), axes2), KNOWN(NULL, NULL),
                DIMS(-1, -1, -1, -1));
    refused("Squeeze", NO_ATTRS, TN_E_SHAPE, "axis 1 is not of size 1", make(TN_FLOAT32, DIMS(1, 3), NULL), LIST(1));
    refused("Squeeze", NO_ATTRS, TN_E_INVALID, "twice", make(TN_FLOAT32, DIMS(1, 3), NULL), LIST(0, -2));
    refused("Unsqueeze", NO_ATTRS, TN_E_INVALID, "outside of [-2, 2)", make(TN_FLOAT32, DIMS(3), NULL), LIST(2));
    refused("Unsqueeze", NO_ATTRS, TN_E_SHAPE, "more than 8", make(TN_FLOAT32, DIMS(1, 1, 1, 1, 1, 1, 1, 1), NULL),
            LIST(0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reshape_infers_the_open_dim_through_symbols),
        cmocka_unit_test(reshape_moves_any_type_and_refuses_what_does_not_fit),
        cmocka_unit_test(flatten_keeps_a_lone_symbol),
        cmocka_unit_test(squeeze_drops_and_unsqueeze_adds_dims_of_one),
    };
    return cmocka_run_group_tests_name("reshape", tests, NULL, NULL);
}
