/* NonMaxSuppression, RoiAlign, MaxRoiPool, Det: results by hand, hostile regions and indices. */
#include "ops.h"
#include <math.h>

static tn_tensor *limit(double count) {
    return make(TN_INT64, SCALAR, VALUES(count));
}
static tn_tensor *threshold(double value) {
    return make(TN_FLOAT32, SCALAR, VALUES(value));
}

static const double boxes[] = {0, 0, 1, 1, 0, 0.1, 1, 1.1,
                               1, 1, 0, 0, 0, 10,  1, 11}; /* the third is the first, turned */

static void the_best_of_overlapping_boxes_stays(void **state) {
    (void)state;
    expect(run1("NonMaxSuppression", NO_ATTRS, make(TN_FLOAT32, DIMS(1, 4, 4), boxes),
                make(TN_FLOAT32, DIMS(1, 2, 4), VALUES(0.5, 0.9, 0.6, 0.3, 0.4, 0.4, 0.4, 0.7)), limit(3),
                threshold(0.5)),
           TN_INT64, DIMS(4, 3), VALUES(0, 0, 1, 0, 0, 3, 0, 1, 3, 0, 1, 0)); /* of equal scores the first box */
    expect(run1("NonMaxSuppression", NO_ATTRS, make(TN_FLOAT32, DIMS(1, 4, 4), boxes),
                make(TN_FLOAT32, DIMS(1, 1, 4), VALUES(0.5, 0.9, 0.6, 0.3)), limit(9), threshold(1), threshold(0.5)),
           TN_INT64, DIMS(2, 3), VALUES(0, 0, 1, 0, 0, 2));
    expect(run1("NonMaxSuppression", NO_ATTRS, make(TN_FLOAT32, DIMS(1, 4, 4), boxes),
                make(TN_FLOAT32, DIMS(1, 1, 4), NULL)),
           TN_INT64, DIMS(0, 3), NULL);
    expect(run1("NonMaxSuppression", ATTRS(ATTR_INT("center_point_box", 1)),
                make(TN_FLOAT32, DIMS(1, 2, 4), VALUES(0.5, 0.5, 1, 1, 0.6, 0.5, 1, 1)),
                make(TN_FLOAT32, DIMS(1, 1, 2), VALUES(1, 2)), limit(2), threshold(0.5)),
           TN_INT64, DIMS(1, 3), VALUES(0, 0, 1));
    expect(run1("NonMaxSuppression", NO_ATTRS, make(TN_FLOAT32, DIMS(0, 0, 4), NULL),
                make(TN_FLOAT32, DIMS(0, 3, 0), NULL), limit(1)),
           TN_INT64, DIMS(0, 3), NULL);
    refused("NonMaxSuppression", NO_ATTRS, TN_E_SHAPE, "boxes' batches", make(TN_FLOAT32, DIMS(1, 4, 4), NULL),
            make(TN_FLOAT32, DIMS(1, 1, 3), NULL));
    refused("NonMaxSuppression", NO_ATTRS, TN_E_SHAPE, "[batches, boxes, 4]", make(TN_FLOAT32, DIMS(1, 4, 5), NULL),
            make(TN_FLOAT32, DIMS(1, 1, 4), NULL));
}

static void suppression_is_the_same_on_any_number_of_threads(void **state) {
    (void)state;
    enum { N = 300, CLASSES = 40 };
    tn_tensor *b = make(TN_FLOAT32, DIMS(2, N, 4), NULL), *s = make(TN_FLOAT32, DIMS(2, CLASSES, N), NULL),
              *l = limit(20), *o = threshold(0.3), *out[3];
    for (int64_t i = 0; i < tn_count(b); i++) ((float *)b->data)[i] = (float)(i % 4 / 2) * 20 + (float)(i * 7919 % 97);
    for (int64_t i = 0; i < tn_count(s); i++) ((float *)s->data)[i] = (float)(i * 104729 % 1009);
    for (int threads = 1; threads <= 3; threads++) {
        tn_pool *pool;
        assert_ok(tn_pool_create(threads, NULL, &pool));
        tn_eager eager = {.pool = pool};
        assert_ok(tn_eager_run(&eager, op_named("NonMaxSuppression"), 0, NULL, 4, (const tn_tensor *[]){b, s, l, o}, 1,
                               &out[threads - 1]));
        tn_pool_destroy(pool);
        assert_int_equal(tn_tensor_bytes(out[threads - 1]), tn_tensor_bytes(out[0]));
        assert_memory_equal(out[threads - 1]->data, out[0]->data, tn_tensor_bytes(out[0]));
    }
    assert_true(out[0]->dims[0] > CLASSES);
    for (int i = 0; i < 3; i++) tn_tensor_destroy(out[i]);
    tn_tensor_destroy(b), tn_tensor_destroy(s), tn_tensor_destroy(l), tn_tensor_destroy(o);
}

static tn_tensor *ramp(tn_dtype dtype) { /* x[0, c, h, w] = 100 c + 10 h + w */
    tn_tensor *t = make(dtype, DIMS(1, 2, 4, 4), NULL);
    for (int i = 0; i < 32; i++) tn_set_double(dtype, t->data, i, i / 16 * 100 + i / 4 % 4 * 10 + i % 4);
    return t;
}
static tn_tensor *image(double number) {
    return make(TN_INT64, DIMS(1), VALUES(number));
}

static void regions_are_sampled_between_elements(void **state) {
    (void)state;
    const tn_attr size[] = {ATTR_INT("output_height", 2), ATTR_INT("output_width", 2), ATTR_INT("sampling_ratio", 1)};
    for (int d = 0; d < 3; d++) {
        const tn_dtype dtypes[] = {TN_FLOAT32, TN_FLOAT64, TN_FLOAT16};
        expect(run1("RoiAlign", ATTR_ARRAY(3, size), ramp(dtypes[d]),
                    make(dtypes[d], DIMS(1, 4), VALUES(0.5, 0.5, 2.5, 2.5)), image(0)),
               dtypes[d], DIMS(1, 2, 2, 2), VALUES(5.5, 6.5, 15.5, 16.5, 105.5, 106.5, 115.5, 116.5));
    }
    expect(run1("RoiAlign",
                ATTRS(ATTR_TEXT("mode", "max"), ATTR_TEXT("coordinate_transformation_mode", "output_half_pixel")),
                ramp(TN_FLOAT32), make(TN_FLOAT32, DIMS(1, 4), VALUES(-0.5, -0.5, 1.5, 1.5)), image(0)),
           TN_FLOAT32, DIMS(1, 2, 1, 1), VALUES(11, 111));
    expect(run1("RoiAlign", ATTRS(size[2]), ramp(TN_FLOAT32), make(TN_FLOAT32, DIMS(1, 4), VALUES(50, 50, 60, 60)),
                image(0)),
           TN_FLOAT32, DIMS(1, 2, 1, 1), VALUES(0, 0)); /* outside */
    refused("RoiAlign", NO_ATTRS, TN_E_INVALID, "batch_indices[0] is 1", ramp(TN_FLOAT32),
            make(TN_FLOAT32, DIMS(1, 4), NULL), image(1));
    refused("RoiAlign", NO_ATTRS, TN_E_LIMIT, "right units", ramp(TN_FLOAT32),
            make(TN_FLOAT32, DIMS(1, 4), VALUES(0, 0, 1e30, 1e30)), image(0));
    refused("RoiAlign", ATTRS(ATTR_TEXT("mode", "mean")), TN_E_INVALID, "mode 'mean'", ramp(TN_FLOAT32),
            make(TN_FLOAT32, DIMS(1, 4), NULL), image(0));
    tn_tensor_destroy(run1("RoiAlign", NO_ATTRS, ramp(TN_FLOAT32),
                           make(TN_FLOAT32, DIMS(1, 4), VALUES(NAN, -INFINITY, NAN, 1)), image(0)));
}

static void regions_are_pooled_by_whole_elements(void **state) {
    (void)state;
    const tn_attr shape = ATTR_INTS("pooled_shape", 2, 1);
    expect(run1("MaxRoiPool", ATTRS(shape), ramp(TN_FLOAT32), make(TN_FLOAT32, DIMS(1, 5), VALUES(0, 1, 0, 2, 3))),
           TN_FLOAT32, DIMS(1, 2, 2, 1), VALUES(12, 32, 112, 132));
    expect(run1("MaxRoiPool", ATTRS(shape), ramp(TN_FLOAT32), make(TN_FLOAT32, DIMS(1, 5), VALUES(0, 90, 90, 91, 91))),
           TN_FLOAT32, DIMS(1, 2, 2, 1), VALUES(0, 0, 0, 0));
    refused("MaxRoiPool", ATTRS(shape), TN_E_INVALID, "image 2", ramp(TN_FLOAT32),
            make(TN_FLOAT32, DIMS(1, 5), VALUES(2, 0, 0, 1, 1)));
    refused("MaxRoiPool", ATTRS(shape), TN_E_INVALID, "not finite", ramp(TN_FLOAT32),
            make(TN_FLOAT32, DIMS(1, 5), VALUES(0, NAN, 0, 1, 1)));
    refused("MaxRoiPool", ATTRS(ATTR_INTS("pooled_shape", 0, 1)), TN_E_INVALID, "at least 1 x 1", ramp(TN_FLOAT32),
            make(TN_FLOAT32, DIMS(1, 5), NULL));
}

static void determinants_of_batches(void **state) {
    (void)state;
    expect_near(run1("Det", NO_ATTRS,
                     make(TN_FLOAT64, DIMS(2, 3, 3), VALUES(0, 2, 0, 1, 0, 0, 0, 0, 5, 1, 2, 3, 2, 4, 6, 1, 1, 1))),
                TN_FLOAT64, DIMS(2), VALUES(-10, 0), 1e-12);
    expect(run1("Det", NO_ATTRS, make(TN_FLOAT32, DIMS(0, 0), NULL)), TN_FLOAT32, SCALAR, VALUES(1));
    refused("Det", NO_ATTRS, TN_E_SHAPE, "[..., M, M]", make(TN_FLOAT32, DIMS(2, 3), NULL));
}

static void inverses_pivot(void **state) {
    (void)state;
    tn_tensor *x = make(TN_FLOAT32, DIMS(2, 2, 2), VALUES(0, 2, 4, 1, 1, 0, 0, 0)), *y;
    assert_ok(tn_eager_run(NULL, tn_op_find("com.microsoft", "Inverse"), NO_ATTRS, 1, (const tn_tensor *[]){x}, 1, &y));
    const float *inverse = y->data;
    const float first[] = {-0.125f, 0.25f, 0.5f, 0};
    for (int i = 0; i < 4; i++) assert_float_equal(inverse[i], first[i], 1e-7f);
    for (int i = 4; i < 8; i++) assert_false(isfinite(inverse[i]));
    tn_tensor_destroy(x);
    tn_tensor_destroy(y);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_of_overlapping_boxes_stays),
        cmocka_unit_test(suppression_is_the_same_on_any_number_of_threads),
        cmocka_unit_test(regions_are_sampled_between_elements),
        cmocka_unit_test(regions_are_pooled_by_whole_elements),
        cmocka_unit_test(determinants_of_batches),
        cmocka_unit_test(inverses_pivot),
    };
    return cmocka_run_group_tests_name("detection", tests, NULL, NULL);
}
