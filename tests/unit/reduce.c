/* Reductions, ArgMax, cumulative sums, TopK, softmax: axes in all places, empty sets, types, refusals. */
#include "ops.h"
#include <math.h>

#define X2 make(TN_FLOAT32, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6))

static tn_tensor *axis(int64_t value) {
    return make(TN_INT64, DIMS(1), VALUES((double)value));
}

static void axes_are_reduced_wherever_they_are(void **state) {
    (void)state;
    expect(run1("ReduceSum", NO_ATTRS, X2), TN_FLOAT32, DIMS(1, 1), VALUES(21));
    expect(run1("ReduceSum", ATTRS(ATTR_INT("keepdims", 0)), X2), TN_FLOAT32, SCALAR, VALUES(21));
    expect(run1("ReduceSum", ATTRS(ATTR_INT("keepdims", 0)), X2, axis(0)), TN_FLOAT32, DIMS(3), VALUES(5, 7, 9));
    expect(run1("ReduceMean", NO_ATTRS, X2, axis(-1)), TN_FLOAT32, DIMS(2, 1), VALUES(2, 5));
    expect(run1("ReduceMax", NO_ATTRS, X2, axis(1)), TN_FLOAT32, DIMS(2, 1), VALUES(3, 6));
    expect(run1("ReduceMin", NO_ATTRS, X2, axis(0)), TN_FLOAT32, DIMS(1, 3), VALUES(1, 2, 3));
    expect(run1("ReduceProd", NO_ATTRS, X2, axis(1)), TN_FLOAT32, DIMS(2, 1), VALUES(6, 120));
    expect(run1("ReduceSumSquare", NO_ATTRS, X2, axis(0)), TN_FLOAT32, DIMS(1, 3), VALUES(17, 29, 45));
    expect(run1("ReduceL1", NO_ATTRS, make(TN_INT32, DIMS(2), VALUES(-3, 4))), TN_INT32, DIMS(1), VALUES(7));
    expect(run1("ReduceL2", NO_ATTRS, make(TN_FLOAT64, DIMS(2), VALUES(-3, 4))), TN_FLOAT64, DIMS(1), VALUES(5));
    expect_near(run1("ReduceLogSum", NO_ATTRS, X2, axis(1)), TN_FLOAT32, DIMS(2, 1), VALUES(log(6), log(15)), 1e-6);
    expect_near(run1("ReduceLogSumExp", NO_ATTRS, make(TN_FLOAT32, DIMS(2), VALUES(1000, 1000))), TN_FLOAT32, DIMS(1),
                VALUES(1000 + log(2)), 1e-6);
    expect(run1("ReduceSum", NO_ATTRS, make(TN_FLOAT32, DIMS(2, 2, 2), VALUES(1, 2, 3, 4, 5, 6, 7, 8)),
                make(TN_INT64, DIMS(2), VALUES(0, -1))),
           TN_FLOAT32, DIMS(1, 2, 1), VALUES(14, 22));
}

static void without_axes_noop_decides(void **state) {
    (void)state;
    const tn_attr noop = ATTR_INT("noop_with_empty_axes", 1);
    expect(run1("ReduceSum", ATTRS(noop), X2, make(TN_INT64, DIMS(0), NULL)), TN_FLOAT32, DIMS(2, 3),
           VALUES(1, 2, 3, 4, 5, 6));
    expect(run1("ReduceSumSquare", ATTRS(noop), X2), TN_FLOAT32, DIMS(2, 3), VALUES(1, 4, 9, 16, 25, 36));
    expect(run1("ReduceSum", NO_ATTRS, X2, make(TN_INT64, DIMS(0), NULL)), TN_FLOAT32, DIMS(1, 1), VALUES(21));
    expect(run1("ReduceSum", NO_ATTRS, make(TN_FLOAT32, SCALAR, VALUES(3))), TN_FLOAT32, SCALAR, VALUES(3));
}

static void nothing_reduces_to_the_neutral_element(void **state) {
    (void)state;
    static const struct {
        const char *name;
        double value;
    } cases[] = {{"ReduceSum", 0},        {"ReduceProd", 1},           {"ReduceMax", -INFINITY},
                 {"ReduceMin", INFINITY}, {"ReduceLogSum", -INFINITY}, {"ReduceLogSumExp", -INFINITY},
                 {"ReduceL2", 0},         {"ReduceMean", NAN}};
    for (size_t i = 0; i < TN_COUNT(cases); i++)
        expect(run1(cases[i].name, NO_ATTRS, make(TN_FLOAT32, DIMS(2, 0), NULL), axis(1)), TN_FLOAT32, DIMS(2, 1),
               VALUES(cases[i].value, cases[i].value));
    expect(run1("ReduceMax", NO_ATTRS, make(TN_INT8, DIMS(0), NULL)), TN_INT8, DIMS(1), VALUES(-128));
    expect(run1("ReduceMin", NO_ATTRS, make(TN_UINT64, DIMS(0), NULL)), TN_UINT64, DIMS(1), VALUES(0x1p64));
    expect(run1("ReduceMean", NO_ATTRS, make(TN_INT64, DIMS(0), NULL)), TN_INT64, DIMS(1), VALUES(0));
}

static void integers_and_bool_reduce_exactly(void **state) {
    (void)state;
    expect(run1("ReduceMax", NO_ATTRS, make(TN_BOOL, DIMS(2, 2), VALUES(0, 1, 0, 0)), axis(1)), TN_BOOL, DIMS(2, 1),
           VALUES(1, 0));
    expect(run1("ReduceMin", NO_ATTRS, make(TN_UINT8, DIMS(2), VALUES(200, 7))), TN_UINT8, DIMS(1), VALUES(7));
    expect(run1("ReduceMax", NO_ATTRS, make(TN_UINT64, DIMS(2), VALUES(0x1p63, 7))), TN_UINT64, DIMS(1),
           VALUES(0x1p63));
    expect(run1("ReduceSum", NO_ATTRS, make(TN_INT64, DIMS(3), VALUES(0x1p60, 1, -0x1p60))), TN_INT64, DIMS(1),
           VALUES(1));
    expect(run1("ReduceMean", NO_ATTRS, make(TN_INT32, DIMS(2), VALUES(-3, -4))), TN_INT32, DIMS(1), VALUES(-3));
    expect(run1("ReduceMax", NO_ATTRS, make(TN_FLOAT32, DIMS(3), VALUES(1, NAN, 2))), TN_FLOAT32, DIMS(1), VALUES(NAN));
}

static void bad_axes_and_types_are_refused(void **state) {
    (void)state;
    refused("ReduceSum", NO_ATTRS, TN_E_INVALID, "axis 2 is outside of [-2, 2)", X2, axis(2));
    refused("ReduceSum", NO_ATTRS, TN_E_INVALID, "given twice", X2, make(TN_INT64, DIMS(2), VALUES(1, -1)));
    refused("ReduceSum", NO_ATTRS, TN_E_SHAPE, "more axes", X2, make(TN_INT64, DIMS(3), VALUES(0, 1, 1)));
    refused("ReduceSum", NO_ATTRS, TN_E_TYPE, "expected one of", make(TN_BOOL, DIMS(1), NULL));
    refused("ReduceSum", NO_ATTRS, TN_E_TYPE, "expected one of", X2, make(TN_INT32, DIMS(1), NULL));
    refused("ArgMax", ATTRS(ATTR_INT("axis", -3)), TN_E_INVALID, "outside", X2);
    refused("ArgMax", NO_ATTRS, TN_E_SHAPE, "no elements", make(TN_FLOAT32, DIMS(0), NULL));
    refused("Softmax", ATTRS(ATTR_INT("axis", 2)), TN_E_INVALID, "outside", X2);
    refused("Softmax", NO_ATTRS, TN_E_SHAPE, "scalar", make(TN_FLOAT32, SCALAR, NULL));
    refused("CumSum", NO_ATTRS, TN_E_INVALID, "outside", X2, axis(2));
    refused("CumSum", NO_ATTRS, TN_E_SHAPE, "one axis", X2, make(TN_INT64, DIMS(2), NULL));
}

static void dims_are_inferred_as_far_as_axes_are_known(void **state) {
    (void)state;
    const tn_type x = TYPE(TN_FLOAT32, -2, 3, -1);
    expect_dims("ReduceSum", NO_ATTRS, INPUTS(x, TYPE(TN_INT64, 1)), KNOWN(NULL, axis(1)), DIMS(-2, 1, -1));
    expect_dims("ReduceSum", NO_ATTRS, INPUTS(x, TYPE(TN_INT64, 1)), KNOWN(NULL, NULL), DIMS(-1, -1, -1));
    expect_dims("ReduceSum", ATTRS(ATTR_INT("keepdims", 0)), INPUTS(x, TYPE(TN_INT64, 2)), KNOWN(NULL, NULL), DIMS(-1));
    expect_dims("ArgMax", ATTRS(ATTR_INT("axis", 1), ATTR_INT("keepdims", 0)), INPUTS(x), KNOWN(NULL), DIMS(-2, -1));
    expect_dims("Softmax", NO_ATTRS, INPUTS(x), KNOWN(NULL), DIMS(-2, 3, -1));
    expect_dims("TopK", NO_ATTRS, INPUTS(x, TYPE(TN_INT64, 1)), KNOWN(NULL, NULL), DIMS(-2, 3, -1));
    expect_dims("TopK", ATTRS(ATTR_INT("axis", 1)), INPUTS(x, TYPE(TN_INT64, 1)), KNOWN(NULL, axis(2)),
                DIMS(-2, 2, -1));
}

static void the_extreme_is_the_first_or_the_last(void **state) {
    (void)state;
    const double x[] = {2, 7, 7, 1, 1, 0};
    expect(run1("ArgMax", ATTRS(ATTR_INT("axis", 1)), make(TN_FLOAT32, DIMS(2, 3), x)), TN_INT64, DIMS(2, 1),
           VALUES(1, 0));
    expect(run1("ArgMax", ATTRS(ATTR_INT("axis", 1), ATTR_INT("select_last_index", 1), ATTR_INT("keepdims", 0)),
                make(TN_INT8, DIMS(2, 3), x)),
           TN_INT64, DIMS(2), VALUES(2, 1));
    expect(run1("ArgMin", NO_ATTRS, make(TN_FLOAT16, DIMS(2, 3), x)), TN_INT64, DIMS(1, 3), VALUES(1, 1, 1));
    expect(run1("ArgMax", NO_ATTRS, make(TN_FLOAT32, DIMS(3), VALUES(1, NAN, 2))), TN_INT64, DIMS(1), VALUES(1));
    expect(run1("ArgMax", NO_ATTRS, make(TN_FLOAT64, DIMS(3), VALUES(1, NAN, 2))), TN_INT64, DIMS(1), VALUES(1));
}

static void running_sums_and_products_go_both_ways(void **state) {
    (void)state;
    expect(run1("CumSum", NO_ATTRS, X2, axis(1)), TN_FLOAT32, DIMS(2, 3), VALUES(1, 3, 6, 4, 9, 15));
    expect(run1("CumSum", ATTRS(ATTR_INT("exclusive", 1)), X2, axis(-2)), TN_FLOAT32, DIMS(2, 3),
           VALUES(0, 0, 0, 1, 2, 3));
    expect(run1("CumSum", ATTRS(ATTR_INT("reverse", 1)), make(TN_INT32, DIMS(3), VALUES(1, 2, 3)),
                make(TN_INT32, SCALAR, VALUES(0))),
           TN_INT32, DIMS(3), VALUES(6, 5, 3));
    expect(run1("CumProd", ATTRS(ATTR_INT("reverse", 1), ATTR_INT("exclusive", 1)),
                make(TN_FLOAT64, DIMS(3), VALUES(2, 3, 4)), axis(0)),
           TN_FLOAT64, DIMS(3), VALUES(12, 4, 1));
}

static void topk_is_in_order_with_ties_by_index(void **state) {
    (void)state;
    tn_tensor *out[2];
    const tn_attr smallest = ATTR_INT("largest", 0), first_axis = ATTR_INT("axis", 0);
    assert_ok(run_op("TopK", NO_ATTRS, 2,
                     (tn_tensor *[]){make(TN_FLOAT32, DIMS(7), VALUES(1, 5, NAN, 5, 2, 9, 5)), axis(5)}, 2, out));
    expect(out[0], TN_FLOAT32, DIMS(5), VALUES(NAN, 9, 5, 5, 5));
    expect(out[1], TN_INT64, DIMS(5), VALUES(2, 5, 1, 3, 6));
    assert_ok(run_op("TopK", 2, (tn_attr[]){smallest, first_axis}, 2,
                     (tn_tensor *[]){make(TN_INT64, DIMS(3, 2), VALUES(5, 1, 3, 2, 4, 0)), axis(2)}, 2, out));
    expect(out[0], TN_INT64, DIMS(2, 2), VALUES(3, 0, 4, 1));
    expect(out[1], TN_INT64, DIMS(2, 2), VALUES(1, 2, 2, 0));
    assert_int_equal(run_op("TopK", NO_ATTRS, 2, (tn_tensor *[]){X2, axis(4)}, 2, out), TN_E_INVALID);
    assert_int_equal(run_op("TopK", NO_ATTRS, 2, (tn_tensor *[]){X2, axis(-1)}, 2, out), TN_E_INVALID);
    assert_ok(run_op("TopK", NO_ATTRS, 2, (tn_tensor *[]){X2, axis(0)}, 2, out));
    expect(out[0], TN_FLOAT32, DIMS(2, 0), NULL);
    expect(out[1], TN_INT64, DIMS(2, 0), NULL);
}

/* float32 is sorted by digits where k is large, float64 by a heap. */
static void both_ways_of_topk_agree(void **state) {
    (void)state;
    enum { N = 700, LINES = 3 };
    for (int largest = 0; largest < 2; largest++) {
        tn_tensor *narrow[2], *wide[2], *x = make(TN_FLOAT32, DIMS(N, LINES), NULL),
                                        *y = make(TN_FLOAT64, DIMS(N, LINES), NULL);
        for (int i = 0; i < N * LINES; i++) {
            double v = i % 97 == 0 ? NAN : i % 89 == 0 ? INFINITY : i % 83 == 0 ? -0.0 : (i * 7919 % 251 - 125) * 0.5;
            tn_set_double(TN_FLOAT32, x->data, i, v), tn_set_double(TN_FLOAT64, y->data, i, v);
        }
        const tn_attr attrs[] = {ATTR_INT("axis", 0), ATTR_INT("largest", largest)};
        assert_ok(run_op("TopK", 2, attrs, 2, (tn_tensor *[]){x, axis(N - 1)}, 2, narrow));
        assert_ok(run_op("TopK", 2, attrs, 2, (tn_tensor *[]){y, axis(N - 1)}, 2, wide));
        assert_memory_equal(narrow[1]->data, wide[1]->data, tn_tensor_bytes(wide[1]));
        for (int i = 0; i < (N - 1) * LINES; i++) {
            double a = tn_get_double(TN_FLOAT32, narrow[0]->data, i), b = tn_get_double(TN_FLOAT64, wide[0]->data, i);
            assert_true(a == b || (isnan(a) && isnan(b)));
        }
        for (int i = 0; i < 2; i++) tn_tensor_destroy(narrow[i]), tn_tensor_destroy(wide[i]);
    }
}

static void softmax_is_along_its_axis_in_every_type(void **state) {
    (void)state;
    const double e = exp(1), s = 1 / (1 + e), one = log(s);
    const double x[] = {0, 1, 1, 0};
    static const tn_dtype types[] = {TN_FLOAT32, TN_FLOAT64};
    for (int i = 0; i < 2; i++)
        for (int a = 0; a < 2; a++) {
            expect_near(run1("Softmax", ATTRS(ATTR_INT("axis", a)), make(types[i], DIMS(2, 2), x)), types[i],
                        DIMS(2, 2), VALUES(s, e * s, e * s, s), 1e-6);
            expect_near(run1("LogSoftmax", ATTRS(ATTR_INT("axis", a)), make(types[i], DIMS(2, 2), x)), types[i],
                        DIMS(2, 2), VALUES(one, one + 1, one + 1, one), 1e-6);
        }
    expect(run1("Hardmax", NO_ATTRS, make(TN_FLOAT32, DIMS(2, 3), VALUES(1, 3, 3, 0, -1, -1))), TN_FLOAT32, DIMS(2, 3),
           VALUES(0, 1, 0, 1, 0, 0));
    expect(run1("Softmax", NO_ATTRS, make(TN_FLOAT32, DIMS(2, 0), NULL)), TN_FLOAT32, DIMS(2, 0), NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(axes_are_reduced_wherever_they_are),
        cmocka_unit_test(without_axes_noop_decides),
        cmocka_unit_test(nothing_reduces_to_the_neutral_element),
        cmocka_unit_test(integers_and_bool_reduce_exactly),
        cmocka_unit_test(bad_axes_and_types_are_refused),
        cmocka_unit_test(dims_are_inferred_as_far_as_axes_are_known),
        cmocka_unit_test(the_extreme_is_the_first_or_the_last),
        cmocka_unit_test(running_sums_and_products_go_both_ways),
        cmocka_unit_test(topk_is_in_order_with_ties_by_index),
        cmocka_unit_test(both_ways_of_topk_agree),
        cmocka_unit_test(softmax_is_along_its_axis_in_every_type),
    };
    return cmocka_run_group_tests_name("reduce", tests, NULL, NULL);
}
