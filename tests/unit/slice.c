/* Slice, Split, Concat, Transpose, Pad: hand-checked results on several types, inferred dims, refusals. */
#include "ops.h"

enum { BATCH = -2, TIME = -3 };

static tn_tensor *list(int n, const double *values) {
    return make(TN_INT64, 1, (int64_t[]){n}, values);
}
#define LIST(...) list((int)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)), (double[]){__VA_ARGS__})
static tn_tensor *count_up(tn_dtype dtype, int rank, const int64_t *dims) {
    tn_tensor *t = make(dtype, rank, dims, NULL);
    for (int64_t i = 0; i < tn_count(t); i++) tn_set_double(dtype, t->data, i, (double)i);
    return t;
}
#define LAST 9223372036854775807.0

static void slices_take_ranges_forward_and_backward(void **state) {
    (void)state;
    static const tn_dtype dtypes[] = {TN_FLOAT32, TN_INT8, TN_FLOAT16, TN_INT64};
    for (size_t d = 0; d < TN_COUNT(dtypes); d++) {
        tn_dtype t = dtypes[d];
        expect(run1("Slice", NO_ATTRS, count_up(t, DIMS(3, 4)), LIST(1, -1), LIST(LAST, 0), LIST(0, 1), LIST(1, -2)), t,
               DIMS(2, 2), VALUES(7, 5, 11, 9));
        expect(run1("Slice", NO_ATTRS, count_up(t, DIMS(10)), LIST(-1), LIST(-LAST), LIST(0), LIST(-3)), t, DIMS(4),
               VALUES(9, 6, 3, 0));
        expect(run1("Slice", NO_ATTRS, count_up(t, DIMS(5)), LIST(3), LIST(2)), t, DIMS(0), NULL);
        expect(run1("Slice", NO_ATTRS, count_up(t, DIMS(20)), LIST(1), LIST(100), LIST(-1), LIST(2)), t, DIMS(10),
               VALUES(1, 3, 5, 7, 9, 11, 13, 15, 17, 19));
    }
    expect(run1("Slice", NO_ATTRS, make(TN_UINT4, DIMS(5), VALUES(1, 2, 3, 4, 5)), LIST(1), LIST(4)), TN_UINT4, DIMS(3),
           VALUES(2, 3, 4));
    tn_tensor *words = run1("Slice", NO_ATTRS, make_strings(DIMS(3), (const char *const[]){"a", "b", "c"}), LIST(2),
                            LIST(0), LIST(0), LIST(-1));
    assert_int_equal(words->dims[0], 2);
    assert_memory_equal(((tn_string *)words->data)[1].data, "b", 1);
    tn_tensor_destroy(words);
}

static void slices_infer_what_they_can(void **state) {
    (void)state;
    const tn_type one = TYPE(TN_INT64, 1), data = TYPE(TN_FLOAT32, BATCH, TIME, 10);
    expect_dims("Slice", NO_ATTRS, INPUTS(data, one, one, one), KNOWN(NULL, LIST(0), LIST(LAST), LIST(1)),
                DIMS(BATCH, TIME, 10));
    expect_dims("Slice", NO_ATTRS, INPUTS(data, one, one, one), KNOWN(NULL, LIST(1), LIST(LAST), LIST(1)),
                DIMS(BATCH, -1, 10));
    expect_dims("Slice", NO_ATTRS, INPUTS(data, one, one, one, one),
                KNOWN(NULL, LIST(-1), LIST(-LAST), LIST(1), LIST(-1)), DIMS(BATCH, TIME, 10));
    expect_dims("Slice", NO_ATTRS, INPUTS(data, one, one, one), KNOWN(NULL, LIST(2), LIST(-3), LIST(2)),
                DIMS(BATCH, TIME, 5));
    expect_dims("Slice", NO_ATTRS, INPUTS(data, one, one, one), KNOWN(NULL, NULL, NULL, LIST(2)),
                DIMS(BATCH, TIME, -1));
    expect_dims("Slice", NO_ATTRS, INPUTS(data, one, one), KNOWN(NULL, NULL, NULL), DIMS(-1, TIME, 10));
    refused("Slice", NO_ATTRS, TN_E_INVALID, "step of 0", count_up(TN_INT8, DIMS(5)), LIST(0), LIST(1), LIST(0),
            LIST(0));
    refused("Slice", NO_ATTRS, TN_E_INVALID, "axis 7", count_up(TN_INT8, DIMS(5)), LIST(0), LIST(1), LIST(7));
    refused("Slice", NO_ATTRS, TN_E_INVALID, "twice", count_up(TN_INT8, DIMS(5, 5)), LIST(0, 0), LIST(1, 1),
            LIST(0, -2));
    refused("Slice", NO_ATTRS, TN_E_SHAPE, "starts has 1", count_up(TN_INT8, DIMS(5, 2)), LIST(0), LIST(1, 1));
}

static void splits_are_even_or_as_given(void **state) {
    (void)state;
    tn_tensor *out[3], *in[2] = {count_up(TN_INT16, DIMS(2, 5)), NULL};
    const tn_attr axis = ATTR_INT("axis", 1);
    assert_ok(run_op("Split", 1, &axis, 1, in, 3, out));
    expect(out[0], TN_INT16, DIMS(2, 2), VALUES(0, 1, 5, 6));
    expect(out[1], TN_INT16, DIMS(2, 2), VALUES(2, 3, 7, 8));
    expect(out[2], TN_INT16, DIMS(2, 1), VALUES(4, 9));
    in[0] = count_up(TN_INT16, DIMS(5)), in[1] = LIST(0, 4, 1);
    assert_ok(run_op("Split", NO_ATTRS, 2, in, 3, out));
    expect(out[0], TN_INT16, DIMS(0), NULL);
    expect(out[1], TN_INT16, DIMS(4), VALUES(0, 1, 2, 3));
    expect(out[2], TN_INT16, DIMS(1), VALUES(4));
    in[0] = count_up(TN_INT16, DIMS(5)), in[1] = LIST(2, 2, 2);
    assert_int_equal(run_op("Split", NO_ATTRS, 2, in, 3, out), TN_E_SHAPE);
    assert_non_null(strstr(tn_last_error(), "sum up to 6; the axis has 5"));
    in[0] = count_up(TN_INT16, DIMS(5)), in[1] = LIST(-1, 4, 2);
    assert_int_equal(run_op("Split", NO_ATTRS, 2, in, 3, out), TN_E_INVALID);
}

static void concat_joins_along_any_axis(void **state) {
    (void)state;
    expect(run1("Concat", ATTRS(ATTR_INT("axis", 1)), count_up(TN_INT32, DIMS(2, 2)), count_up(TN_INT32, DIMS(2, 0)),
                count_up(TN_INT32, DIMS(2, 1))),
           TN_INT32, DIMS(2, 3), VALUES(0, 1, 0, 2, 3, 1));
    expect(run1("Concat", ATTRS(ATTR_INT("axis", -1)), make(TN_INT4, DIMS(1, 3), VALUES(1, 2, 3)),
                make(TN_INT4, DIMS(1, 2), VALUES(-4, -5))),
           TN_INT4, DIMS(1, 5), VALUES(1, 2, 3, -4, -5));
    expect_dims("Concat", ATTRS(ATTR_INT("axis", 1)), INPUTS(TYPE(TN_FLOAT32, BATCH, 3), TYPE(TN_FLOAT32, -1, 4)),
                KNOWN(NULL, NULL), DIMS(BATCH, 7));
    expect_dims("Concat", ATTRS(ATTR_INT("axis", 0)), INPUTS(TYPE(TN_FLOAT32, BATCH, -1), TYPE(TN_FLOAT32, 2, 4)),
                KNOWN(NULL, NULL), DIMS(-1, 4));
    refused("Concat", ATTRS(ATTR_INT("axis", 0)), TN_E_SHAPE, "dimension 1 to be 2", count_up(TN_INT8, DIMS(2, 2)),
            count_up(TN_INT8, DIMS(2, 3)));
    refused("Concat", ATTRS(ATTR_INT("axis", 0)), TN_E_TYPE, "expected int8", count_up(TN_INT8, DIMS(2)),
            count_up(TN_INT16, DIMS(2)));
    refused("Concat", ATTRS(ATTR_INT("axis", 2)), TN_E_INVALID, "axis 2", count_up(TN_INT8, DIMS(2)));
    refused("Concat", NO_ATTRS, TN_E_INVALID, "axis is missing", count_up(TN_INT8, DIMS(2)));
}

static void transposes_permute_dims_of_every_width(void **state) {
    (void)state;
    static const tn_dtype dtypes[] = {TN_INT4, TN_INT8, TN_FLOAT16, TN_FLOAT32, TN_FLOAT64};
    for (size_t d = 0; d < TN_COUNT(dtypes); d++) {
        expect(run1("Transpose", ATTRS(ATTR_INTS("perm", 2, 0, 1)), count_up(dtypes[d], DIMS(2, 2, 2))), dtypes[d],
               DIMS(2, 2, 2), VALUES(0, 2, 4, 6, 1, 3, 5, 7));
        expect(run1("Transpose", NO_ATTRS, count_up(dtypes[d], DIMS(2, 3))), dtypes[d], DIMS(3, 2),
               VALUES(0, 3, 1, 4, 2, 5));
    }
    expect_dims("Transpose", ATTRS(ATTR_INTS("perm", 1, 0)), INPUTS(TYPE(TN_INT8, BATCH, TIME)), KNOWN(NULL),
                DIMS(TIME, BATCH));
    refused("Transpose", ATTRS(ATTR_INTS("perm", 0, 0)), TN_E_INVALID, "twice", count_up(TN_INT8, DIMS(2, 3)));
    refused("Transpose", ATTRS(ATTR_INTS("perm", 0, 2)), TN_E_INVALID, "axis 2", count_up(TN_INT8, DIMS(2, 3)));
    refused("Transpose", ATTRS(ATTR_INTS("perm", 0)), TN_E_INVALID, "1 axes", count_up(TN_INT8, DIMS(2, 3)));
}

static void pads_fill_borders_in_every_mode(void **state) {
    (void)state;
    expect(
        run1("Pad", NO_ATTRS, count_up(TN_FLOAT32, DIMS(2, 2)), LIST(1, 0, 0, 1), make(TN_FLOAT32, SCALAR, VALUES(9))),
        TN_FLOAT32, DIMS(3, 3), VALUES(9, 9, 9, 0, 1, 9, 2, 3, 9));
    expect(run1("Pad", NO_ATTRS, count_up(TN_INT8, DIMS(2, 4)), LIST(-1, 2), NULL, LIST(1)), TN_INT8, DIMS(2, 5),
           VALUES(1, 2, 3, 0, 0, 5, 6, 7, 0, 0));
    expect(run1("Pad", ATTRS(ATTR_TEXT("mode", "reflect")), count_up(TN_INT16, DIMS(3)), LIST(5, 3)), TN_INT16,
           DIMS(11), VALUES(1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1));
    expect(run1("Pad", ATTRS(ATTR_TEXT("mode", "edge")), count_up(TN_INT64, DIMS(2, 2)), LIST(1, 1, 0, 2)), TN_INT64,
           DIMS(3, 5), VALUES(0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 2, 2, 3, 3, 3));
    expect(run1("Pad", ATTRS(ATTR_TEXT("mode", "wrap")), count_up(TN_UINT8, DIMS(3)), LIST(4, 4)), TN_UINT8, DIMS(11),
           VALUES(2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0));
    expect(
        run1("Pad", NO_ATTRS, make(TN_UINT4, DIMS(3), VALUES(1, 2, 3)), LIST(1, 1), make(TN_UINT4, SCALAR, VALUES(7))),
        TN_UINT4, DIMS(5), VALUES(7, 1, 2, 3, 7));
    expect_dims("Pad", NO_ATTRS, INPUTS(TYPE(TN_FLOAT32, BATCH, 3), TYPE(TN_INT64, 4)), KNOWN(NULL, LIST(0, 1, 0, 1)),
                DIMS(BATCH, 5));
    refused("Pad", NO_ATTRS, TN_E_SHAPE, "do not fit axis 0", count_up(TN_INT8, DIMS(3)), LIST(-2, -2));
    refused("Pad", NO_ATTRS, TN_E_SHAPE, "two for each of 1", count_up(TN_INT8, DIMS(3)), LIST(1, 1, 1));
    refused("Pad", NO_ATTRS, TN_E_SHAPE, "", count_up(TN_INT8, DIMS(3)), LIST(LAST, LAST));
    refused("Pad", ATTRS(ATTR_TEXT("mode", "edge")), TN_E_SHAPE, "no elements", make(TN_INT8, DIMS(0), NULL),
            LIST(1, 1));
    refused("Pad", ATTRS(ATTR_TEXT("mode", "odd")), TN_E_INVALID, "'odd'", count_up(TN_INT8, DIMS(3)), LIST(1, 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_take_ranges_forward_and_backward),
        cmocka_unit_test(slices_infer_what_they_can),
        cmocka_unit_test(splits_are_even_or_as_given),
        cmocka_unit_test(concat_joins_along_any_axis),
        cmocka_unit_test(transposes_permute_dims_of_every_width),
        cmocka_unit_test(pads_fill_borders_in_every_mode),
    };
    return cmocka_run_group_tests_name("slice", tests, NULL, NULL);
}
