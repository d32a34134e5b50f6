/* Shape, Size, ConstantOfShape, Range, EyeLike, OneHot, and operators that choose or repeat elements. */
#include "ops.h"
#include <math.h>

static void shape_and_size_count_from_both_ends(void **state) {
    (void)state;
    expect(run1("Shape", NO_ATTRS, make(TN_INT4, DIMS(2, 3, 4), NULL)), TN_INT64, DIMS(3), VALUES(2, 3, 4));
    expect(run1("Shape", ATTRS(ATTR_INT("start", -2), ATTR_INT("end", -1)), make(TN_INT8, DIMS(2, 3, 4), NULL)),
           TN_INT64, DIMS(1), VALUES(3));
    expect(run1("Shape", ATTRS(ATTR_INT("start", 2), ATTR_INT("end", 1)), make(TN_INT8, DIMS(2, 3, 4), NULL)), TN_INT64,
           DIMS(0), NULL);
    expect(run1("Shape", ATTRS(ATTR_INT("start", INT64_MIN), ATTR_INT("end", INT64_MAX)), make(TN_INT8, DIMS(5), NULL)),
           TN_INT64, DIMS(1), VALUES(5));
    expect(run1("Shape", NO_ATTRS, make(TN_STRING, SCALAR, NULL)), TN_INT64, DIMS(0), NULL);
    expect(run1("Size", NO_ATTRS, make(TN_BOOL, DIMS(2, 0, 4), NULL)), TN_INT64, SCALAR, VALUES(0));
}

static void constants_of_any_dtype(void **state) {
    (void)state;
    expect(run1("ConstantOfShape", NO_ATTRS, make(TN_INT64, DIMS(2), VALUES(2, 1))), TN_FLOAT32, DIMS(2, 1),
           VALUES(0, 0));
    static const tn_dtype dtypes[] = {TN_FLOAT32, TN_FLOAT16, TN_INT64, TN_UINT8, TN_BOOL, TN_INT4, TN_UINT2};
    for (size_t d = 0; d < TN_COUNT(dtypes); d++) {
        tn_tensor *value = make(dtypes[d], DIMS(1), VALUES(1));
        expect(run1("ConstantOfShape", ATTRS(ATTR_TENSOR("value", value)), make(TN_INT64, DIMS(1), VALUES(5))),
               dtypes[d], DIMS(5), VALUES(1, 1, 1, 1, 1));
        tn_tensor_destroy(value);
    }
    expect(run1("ConstantOfShape", NO_ATTRS, make(TN_INT64, DIMS(0), NULL)), TN_FLOAT32, SCALAR, VALUES(0));
    refused("ConstantOfShape", NO_ATTRS, TN_E_INVALID, "-1", make(TN_INT64, DIMS(1), VALUES(-1)));
    refused("ConstantOfShape", NO_ATTRS, TN_E_SHAPE, "too large", make(TN_INT64, DIMS(1), VALUES(0x1p62)));
    refused("ConstantOfShape", NO_ATTRS, TN_E_SHAPE, "at most 8", make(TN_INT64, DIMS(9), NULL));
}

static void ranges_end_before_the_limit(void **state) {
    (void)state;
    expect(run1("Range", NO_ATTRS, make(TN_INT32, SCALAR, VALUES(10)), make(TN_INT32, SCALAR, VALUES(4)),
                make(TN_INT32, SCALAR, VALUES(-2))),
           TN_INT32, DIMS(3), VALUES(10, 8, 6));
    expect(run1("Range", NO_ATTRS, make(TN_FLOAT32, SCALAR, VALUES(1)), make(TN_FLOAT32, SCALAR, VALUES(2.1f)),
                make(TN_FLOAT32, DIMS(1), VALUES(0.5))),
           TN_FLOAT32, DIMS(3), VALUES(1, 1.5, 2));
    expect(run1("Range", NO_ATTRS, make(TN_INT64, SCALAR, VALUES(3)), make(TN_INT64, SCALAR, VALUES(3)),
                make(TN_INT64, SCALAR, VALUES(1))),
           TN_INT64, DIMS(0), NULL);
    expect(run1("Range", NO_ATTRS, make(TN_INT64, SCALAR, VALUES(-0x1p63)), make(TN_INT64, SCALAR, VALUES(0x1p62)),
                make(TN_INT64, SCALAR, VALUES(0x1p62))),
           TN_INT64, DIMS(3), VALUES(-0x1p63, -0x1p62, 0));
    expect(run1("Range", NO_ATTRS, make(TN_FLOAT16, SCALAR, VALUES(2048)), make(TN_FLOAT16, SCALAR, VALUES(2056)),
                make(TN_FLOAT16, SCALAR, VALUES(1))),
           TN_FLOAT16, DIMS(8), VALUES(2048, 2048, 2050, 2052, 2052, 2052, 2054, 2056));
    refused("Range", NO_ATTRS, TN_E_INVALID, "delta is 0", make(TN_INT64, SCALAR, NULL), make(TN_INT64, SCALAR, NULL),
            make(TN_INT64, SCALAR, NULL));
    refused("Range", NO_ATTRS, TN_E_SHAPE, "too many", make(TN_FLOAT64, SCALAR, NULL),
            make(TN_FLOAT64, SCALAR, VALUES(NAN)), make(TN_FLOAT64, SCALAR, VALUES(1)));
    refused("Range", NO_ATTRS, TN_E_SHAPE, "too many", make(TN_INT64, SCALAR, VALUES(-0x1p63)),
            make(TN_INT64, SCALAR, VALUES(0x1p62)), make(TN_INT64, SCALAR, VALUES(1)));
    refused("Range", NO_ATTRS, TN_E_SHAPE, "expected a scalar", make(TN_INT64, DIMS(2), NULL),
            make(TN_INT64, SCALAR, NULL), make(TN_INT64, SCALAR, VALUES(1)));
}

static void eyes_with_other_diagonals(void **state) {
    (void)state;
    expect(run1("EyeLike", ATTRS(ATTR_INT("k", 1), ATTR_INT("dtype", TN_FLOAT16)), make(TN_INT8, DIMS(2, 3), NULL)),
           TN_FLOAT16, DIMS(2, 3), VALUES(0, 1, 0, 0, 0, 1));
    expect(run1("EyeLike", ATTRS(ATTR_INT("k", -1)), make(TN_BOOL, DIMS(2, 2), NULL)), TN_BOOL, DIMS(2, 2),
           VALUES(0, 0, 1, 0));
    expect(run1("EyeLike", ATTRS(ATTR_INT("k", INT64_MIN)), make(TN_INT64, DIMS(1, 2), NULL)), TN_INT64, DIMS(1, 2),
           VALUES(0, 0));
    refused("EyeLike", NO_ATTRS, TN_E_SHAPE, "two dimensions", make(TN_INT64, DIMS(1), NULL));
    refused("EyeLike", ATTRS(ATTR_INT("dtype", TN_STRING)), TN_E_TYPE, "string", make(TN_INT64, DIMS(1, 1), NULL));
}

static void one_hot_ignores_indices_out_of_range(void **state) {
    (void)state;
    expect(run1("OneHot", NO_ATTRS, make(TN_INT64, DIMS(4), VALUES(0, -1, 3, -4)), make(TN_INT64, SCALAR, VALUES(3)),
                make(TN_FLOAT32, DIMS(2), VALUES(5, 7))),
           TN_FLOAT32, DIMS(4, 3), VALUES(7, 5, 5, 5, 5, 7, 5, 5, 5, 5, 5, 5));
    expect(run1("OneHot", ATTRS(ATTR_INT("axis", 0)), make(TN_FLOAT32, DIMS(2), VALUES(1, 0)),
                make(TN_FLOAT32, DIMS(1), VALUES(2)), make(TN_INT8, DIMS(2), VALUES(0, 1))),
           TN_INT8, DIMS(2, 2), VALUES(0, 1, 1, 0));
    refused("OneHot", ATTRS(ATTR_INT("axis", 2)), TN_E_INVALID, "axis 2", make(TN_INT64, DIMS(1), NULL),
            make(TN_INT64, SCALAR, VALUES(1)), make(TN_INT8, DIMS(2), NULL));
    refused("OneHot", NO_ATTRS, TN_E_INVALID, "depth is -1", make(TN_INT64, DIMS(1), NULL),
            make(TN_INT64, SCALAR, VALUES(-1)), make(TN_INT8, DIMS(2), NULL));
    refused("OneHot", NO_ATTRS, TN_E_SHAPE, "off and on", make(TN_INT64, DIMS(1), NULL),
            make(TN_INT64, SCALAR, VALUES(1)), make(TN_INT8, DIMS(3), NULL));
    refused("OneHot", NO_ATTRS, TN_E_SHAPE, "rank 9", make(TN_INT64, DIMS(1, 1, 1, 1, 1, 1, 1, 1), NULL),
            make(TN_INT64, SCALAR, VALUES(1)), make(TN_INT8, DIMS(2), NULL));
}

static void tiles(void **state) {
    (void)state;
    expect(
        run1("Tile", NO_ATTRS, make(TN_INT16, DIMS(2, 2), VALUES(1, 2, 3, 4)), make(TN_INT64, DIMS(2), VALUES(2, 3))),
        TN_INT16, DIMS(4, 6), VALUES(1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4, 1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4));
    expect(run1("Tile", NO_ATTRS, make(TN_FLOAT64, DIMS(2, 1), NULL), make(TN_INT64, DIMS(2), VALUES(0, 3))),
           TN_FLOAT64, DIMS(0, 3), NULL);
    refused("Tile", NO_ATTRS, TN_E_SHAPE, "expected 2 repeats", make(TN_INT8, DIMS(1, 1), NULL),
            make(TN_INT64, DIMS(1), VALUES(1)));
    refused("Tile", NO_ATTRS, TN_E_INVALID, "0 or more", make(TN_INT8, DIMS(1), NULL),
            make(TN_INT64, DIMS(1), VALUES(-1)));
    refused("Tile", NO_ATTRS, TN_E_SHAPE, "too large", make(TN_INT8, DIMS(4), NULL),
            make(TN_INT64, DIMS(1), VALUES(0x1p62)));
}

static void triangles(void **state) {
    (void)state;
    const double x[] = {1, 2, 3, 4, 5, 6};
    expect(run1("Trilu", NO_ATTRS, make(TN_FLOAT32, DIMS(2, 3), x)), TN_FLOAT32, DIMS(2, 3), VALUES(1, 2, 3, 0, 5, 6));
    expect(
        run1("Trilu", ATTRS(ATTR_INT("upper", 0)), make(TN_INT8, DIMS(1, 2, 3), x), make(TN_INT64, SCALAR, VALUES(-1))),
        TN_INT8, DIMS(1, 2, 3), VALUES(0, 0, 0, 4, 0, 0));
    expect(run1("Trilu", NO_ATTRS, make(TN_FLOAT16, DIMS(3, 2), x), make(TN_INT64, SCALAR, VALUES(0x1p62))), TN_FLOAT16,
           DIMS(3, 2), VALUES(0, 0, 0, 0, 0, 0));
    expect(run1("Trilu", ATTRS(ATTR_INT("upper", 0)), make(TN_INT64, DIMS(2, 2), x),
                make(TN_INT64, SCALAR, VALUES(-0x1p63))),
           TN_INT64, DIMS(2, 2), VALUES(0, 0, 0, 0));
    refused("Trilu", NO_ATTRS, TN_E_SHAPE, "two dimensions", make(TN_INT8, DIMS(2), NULL));
}

static void centers_are_cropped_and_padded(void **state) {
    (void)state;
    expect(run1("CenterCropPad", NO_ATTRS, make(TN_INT8, DIMS(3, 2), VALUES(1, 2, 3, 4, 5, 6)),
                make(TN_INT64, DIMS(2), VALUES(2, 3))),
           TN_INT8, DIMS(2, 3), VALUES(1, 2, 0, 3, 4, 0));
    expect(run1("CenterCropPad", ATTRS(ATTR_INTS("axes", -1)), make(TN_INT4, DIMS(1, 4), VALUES(1, 2, 3, 4)),
                make(TN_INT32, DIMS(1), VALUES(2))),
           TN_INT4, DIMS(1, 2), VALUES(2, 3));
    refused("CenterCropPad", ATTRS(ATTR_INTS("axes", 0, -1)), TN_E_INVALID, "rank 1", make(TN_INT8, DIMS(4), NULL),
            make(TN_INT64, DIMS(2), NULL));
    refused("CenterCropPad", ATTRS(ATTR_INTS("axes", 1, -1)), TN_E_INVALID, "twice", make(TN_INT8, DIMS(4, 1), NULL),
            make(TN_INT64, DIMS(2), NULL));
    refused("CenterCropPad", NO_ATTRS, TN_E_SHAPE, "expected 1 sizes", make(TN_INT8, DIMS(4), NULL),
            make(TN_INT64, DIMS(2), NULL));
}

static void nonzero_gives_an_index_a_row(void **state) {
    (void)state;
    expect(run1("NonZero", NO_ATTRS, make(TN_FLOAT32, DIMS(2, 3), VALUES(1, 0, -2, -0.0, NAN, 0))), TN_INT64,
           DIMS(2, 3), VALUES(0, 0, 1, 0, 2, 1));
    expect(run1("NonZero", NO_ATTRS, make(TN_BOOL, DIMS(2), NULL)), TN_INT64, DIMS(1, 0), NULL);
    expect(run1("NonZero", NO_ATTRS, make(TN_INT8, SCALAR, VALUES(3))), TN_INT64, DIMS(0, 1), NULL);
}

static void compress_keeps_what_the_condition_says(void **state) {
    (void)state;
    const double x[] = {1, 2, 3, 4, 5, 6};
    expect(run1("Compress", NO_ATTRS, make(TN_INT32, DIMS(3, 2), x), make(TN_BOOL, DIMS(5), VALUES(0, 1, 0, 0, 1))),
           TN_INT32, DIMS(2), VALUES(2, 5));
    expect(run1("Compress", ATTRS(ATTR_INT("axis", 0)), make(TN_INT32, DIMS(3, 2), x),
                make(TN_BOOL, DIMS(3), VALUES(0, 1, 1))),
           TN_INT32, DIMS(2, 2), VALUES(3, 4, 5, 6));
    expect(run1("Compress", ATTRS(ATTR_INT("axis", -1)), make(TN_INT32, DIMS(3, 2), x),
                make(TN_BOOL, DIMS(2), VALUES(0, 1))),
           TN_INT32, DIMS(3, 1), VALUES(2, 4, 6));
    refused("Compress", ATTRS(ATTR_INT("axis", 1)), TN_E_SHAPE, "element 2 of 2", make(TN_INT32, DIMS(3, 2), x),
            make(TN_BOOL, DIMS(3), VALUES(1, 0, 1)));
}

static void check_unique(tn_tensor *x, int attr_count, const tn_attr *attrs, int rank, const int64_t *dims,
                         const double *y, const double *first, const double *inverse, const double *counts) {
    tn_tensor *out[4];
    tn_dtype dtype = x->dtype;
    int axis = attr_count > 1 ? (int)attrs[1].i : 0;
    int64_t groups = dims[axis], items = attr_count > 1 ? x->dims[axis] : tn_count(x);
    assert_ok(run_op("Unique", attr_count, attrs, 1, &x, 4, out));
    expect(out[0], dtype, rank, dims, y);
    expect(out[1], TN_INT64, 1, &groups, first);
    expect(out[2], TN_INT64, 1, &items, inverse);
    expect(out[3], TN_INT64, 1, &groups, counts);
}

static void unique_elements_and_slices(void **state) {
    (void)state;
    const double x[] = {2, 1, 1, 3, 4, 3};
    check_unique(make(TN_FLOAT32, DIMS(2, 3), x), ATTRS(ATTR_INT("sorted", 1)), DIMS(4), VALUES(1, 2, 3, 4),
                 VALUES(1, 0, 3, 4), VALUES(1, 0, 0, 2, 3, 2), VALUES(2, 1, 2, 1));
    check_unique(make(TN_UINT8, DIMS(6), x), ATTRS(ATTR_INT("sorted", 0)), DIMS(4), VALUES(2, 1, 3, 4),
                 VALUES(0, 1, 3, 4), VALUES(0, 1, 1, 2, 3, 2), VALUES(1, 2, 2, 1));
    check_unique(make(TN_INT64, DIMS(3, 2), VALUES(1, 0, 1, 0, -1, 5)),
                 ATTRS(ATTR_INT("sorted", 1), ATTR_INT("axis", 0)), DIMS(2, 2), VALUES(-1, 5, 1, 0), VALUES(2, 0),
                 VALUES(1, 1, 0), VALUES(1, 2));
    check_unique(make(TN_INT8, DIMS(2, 3), VALUES(1, 0, 1, 2, 7, 2)), ATTRS(ATTR_INT("sorted", 0), ATTR_INT("axis", 1)),
                 DIMS(2, 2), VALUES(1, 0, 2, 7), VALUES(0, 1), VALUES(0, 1, 0), VALUES(2, 1));
    check_unique(make(TN_FLOAT64, DIMS(4), VALUES(NAN, 1, NAN, -INFINITY)), ATTRS(ATTR_INT("sorted", 1)), DIMS(3),
                 VALUES(-INFINITY, 1, NAN), VALUES(3, 1, 0), VALUES(2, 1, 2, 0), VALUES(1, 1, 2));
    check_unique(make(TN_FLOAT64, DIMS(0), NULL), ATTRS(ATTR_INT("sorted", 0)), DIMS(0), NULL, NULL, NULL, NULL);
    tn_tensor *y = run1("Unique", NO_ATTRS, make_strings(DIMS(4), (const char *[]){"b", "", "ab", "b"}));
    assert_int_equal(tn_count(y), 3);
    assert_true(((tn_string *)y->data)[0].size == 0 && ((tn_string *)y->data)[1].size == 2);
    tn_tensor_destroy(y);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shape_and_size_count_from_both_ends),
        cmocka_unit_test(constants_of_any_dtype),
        cmocka_unit_test(ranges_end_before_the_limit),
        cmocka_unit_test(eyes_with_other_diagonals),
        cmocka_unit_test(one_hot_ignores_indices_out_of_range),
        cmocka_unit_test(tiles),
        cmocka_unit_test(triangles),
        cmocka_unit_test(centers_are_cropped_and_padded),
        cmocka_unit_test(nonzero_gives_an_index_a_row),
        cmocka_unit_test(compress_keeps_what_the_condition_says),
        cmocka_unit_test(unique_elements_and_slices),
    };
    return cmocka_run_group_tests_name("generate", tests, NULL, NULL);
}
