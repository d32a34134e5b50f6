/* Resize, GridSample, AffineGrid: the fast paths against the general ones, sizes, types, refusals. */
#include "ops.h"
#include <math.h>

enum { BATCH = -2 };

static tn_tensor *noise(tn_dtype dtype, int rank, const int64_t *dims) {
    static uint32_t seed = 5;
    tn_tensor *t = make(dtype, rank, dims, NULL);
    for (int64_t i = 0; i < tn_count(t); i++) {
        seed = seed * 1664525u + 1013904223u;
        tn_set_double(dtype, t->data, i, (double)(seed >> 25));
    }
    return t;
}
static tn_tensor *copy_as(tn_dtype dtype, const tn_tensor *t) {
    tn_tensor *copy = make(dtype, t->rank, t->dims, NULL);
    for (int64_t i = 0; i < tn_count(t); i++) tn_set_double(dtype, copy->data, i, tn_get_double(t->dtype, t->data, i));
    return copy;
}
static void close_to(tn_tensor *a, tn_tensor *b, double tolerance) {
    assert_int_equal(tn_count(a), tn_count(b));
    for (int64_t i = 0; i < tn_count(a); i++)
        assert_true(fabs(tn_get_double(a->dtype, a->data, i) - tn_get_double(b->dtype, b->data, i)) <= tolerance);
    tn_tensor_destroy(a);
    tn_tensor_destroy(b);
}

/* float32 runs on kernels (planes at once, or axis by axis), float64 on plain loops. */
static void float32_kernels_match_double_in_every_mode(void **state) {
    (void)state;
    static const char *const coordinates[] = {"half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel",
                                              "half_pixel_symmetric"};
    static const double sizes[][3] = {{3, 40, 530}, {3, 7, 5}, {2, 20, 13}, {3, 20, 29}, {5, 1, 1}};
    for (int mode = 0; mode < 3; mode++)
        for (size_t c = 0; c < TN_COUNT(coordinates); c++)
            for (size_t s = 0; s < TN_COUNT(sizes); s++)
                for (int antialias = 0; antialias < (mode ? 2 : 1); antialias++)
                    for (int outside = 0; outside < 2; outside++) {
                        const char *names[] = {"nearest", "linear", "cubic"};
                        tn_attr attrs[] = {ATTR_INT("antialias", antialias), ATTR_INT("exclude_outside", outside),
                                           ATTR_INTS("axes", 1, 2, 3), ATTR_TEXT("mode", ""),
                                           ATTR_TEXT("coordinate_transformation_mode", "")};
                        attrs[3].s = (tn_string){names[mode], strlen(names[mode])};
                        attrs[4].s = (tn_string){coordinates[c], strlen(coordinates[c])};
                        tn_tensor *x = noise(TN_FLOAT32, DIMS(2, 3, 20, 29)), *wide = copy_as(TN_FLOAT64, x);
                        tn_tensor *a =
                            run1("Resize", ATTR_ARRAY(5, attrs), x, NULL, NULL, make(TN_INT64, DIMS(3), sizes[s]));
                        tn_tensor *b =
                            run1("Resize", ATTR_ARRAY(5, attrs), wide, NULL, NULL, make(TN_INT64, DIMS(3), sizes[s]));
                        close_to(a, b, 2e-4);
                    }
}

static void all_element_types_resize(void **state) {
    (void)state;
    const tn_attr linear[] = {ATTR_TEXT("mode", "linear"), ATTR_TEXT("coordinate_transformation_mode", "asymmetric")};
    static const tn_dtype dtypes[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_FLOAT64,
                                      TN_INT8,    TN_UINT8,   TN_INT32,    TN_INT64};
    for (size_t d = 0; d < TN_COUNT(dtypes); d++) {
        expect(run1("Resize", ATTR_ARRAY(2, linear), make(dtypes[d], DIMS(3), VALUES(0, 4, 100)), NULL,
                    make(TN_FLOAT32, DIMS(1), VALUES(2))),
               dtypes[d], DIMS(6), VALUES(0, 2, 4, 52, 100, 100));
        expect(run1("Resize", NO_ATTRS, make(dtypes[d], DIMS(1, 2), VALUES(1, 2)), NULL, NULL,
                    make(TN_INT64, DIMS(2), VALUES(2, 4))),
               dtypes[d], DIMS(2, 4), VALUES(1, 1, 2, 2, 1, 1, 2, 2));
    }
    /* What overshoots is clamped. */
    const tn_attr cubic[] = {ATTR_TEXT("mode", "cubic")};
    expect(run1("Resize", ATTR_ARRAY(1, cubic), make(TN_UINT8, DIMS(4), VALUES(0, 0, 255, 255)), NULL,
                make(TN_FLOAT32, DIMS(1), VALUES(2))),
           TN_UINT8, DIMS(8), VALUES(0, 0, 0, 58, 197, 255, 255, 255));
}

static void sizes_follow_scales_ratios_and_symbols(void **state) {
    (void)state;
    const tn_type x = TYPE(TN_FLOAT32, BATCH, 3, 10, -1), none = {.kind = TN_KIND_UNKNOWN}, four = TYPE(TN_FLOAT32, 4);
    expect_dims("Resize", NO_ATTRS, INPUTS(x, none, four),
                KNOWN(NULL, NULL, make(TN_FLOAT32, DIMS(4), VALUES(1, 1, 2.55, 2))), DIMS(BATCH, 3, 25, -1));
    expect_dims("Resize", ATTRS(ATTR_INTS("axes", 2, 3)), INPUTS(x, none, none, TYPE(TN_INT64, 2)),
                KNOWN(NULL, NULL, NULL, make(TN_INT64, DIMS(2), VALUES(7, 8))), DIMS(BATCH, 3, 7, 8));
    expect_dims("Resize", NO_ATTRS, INPUTS(x, none, four), KNOWN(NULL, NULL, NULL), DIMS(-1, -1, -1, -1));
    expect_dims("Resize", ATTRS(ATTR_TEXT("keep_aspect_ratio_policy", "not_larger")),
                INPUTS(TYPE(TN_FLOAT32, 4, 8), none, none, TYPE(TN_INT64, 2)),
                KNOWN(NULL, NULL, NULL, make(TN_INT64, DIMS(2), VALUES(7, 9))), DIMS(5, 9));
}

static void hostile_resizes_are_refused(void **state) {
    (void)state;
#define X make(TN_FLOAT32, DIMS(2, 2), NULL)
    refused("Resize", NO_ATTRS, TN_E_INVALID, "found none", X);
    refused("Resize", NO_ATTRS, TN_E_INVALID, "found both", X, NULL, make(TN_FLOAT32, DIMS(2), VALUES(1, 2)),
            make(TN_INT64, DIMS(2), VALUES(2, 2)));
    refused("Resize", NO_ATTRS, TN_E_INVALID, "scale of nan", X, NULL, make(TN_FLOAT32, DIMS(2), VALUES(1, NAN)));
    refused("Resize", NO_ATTRS, TN_E_INVALID, "scale of -1", X, NULL, make(TN_FLOAT32, DIMS(2), VALUES(1, -1)));
    refused("Resize", NO_ATTRS, TN_E_SHAPE, "too large", X, NULL, make(TN_FLOAT32, DIMS(2), VALUES(1, 1e30)));
    refused("Resize", NO_ATTRS, TN_E_INVALID, "size of -3", X, NULL, NULL, make(TN_INT64, DIMS(2), VALUES(2, -3)));
    refused("Resize", NO_ATTRS, TN_E_SHAPE, "", X, NULL, NULL, make(TN_INT64, DIMS(2), VALUES(0x1p61, 0x1p61)));
    refused("Resize", NO_ATTRS, TN_E_SHAPE, "expected 2", X, NULL, make(TN_FLOAT32, DIMS(1), VALUES(2)));
    refused("Resize", NO_ATTRS, TN_E_SHAPE, "cannot be enlarged", make(TN_FLOAT32, DIMS(0), NULL), NULL, NULL,
            make(TN_INT64, DIMS(1), VALUES(3)));
    refused("Resize", ATTRS(ATTR_TEXT("mode", "lanczos")), TN_E_INVALID, "'lanczos'", X);
    refused("Resize", ATTRS(ATTR_TEXT("coordinate_transformation_mode", "tf_crop_and_resize")), TN_E_INVALID, "roi", X,
            NULL, make(TN_FLOAT32, DIMS(2), VALUES(1, 2)));
#undef X
}

static void grids_of_identity_give_the_image_back(void **state) {
    (void)state;
    static const char *const modes[] = {"nearest", "linear", "cubic"};
    static const tn_dtype dtypes[] = {TN_FLOAT32, TN_FLOAT64, TN_INT16};
    for (int mode = 0; mode < 3; mode++)
        for (int align = 0; align < 2; align++)
            for (size_t d = 0; d < TN_COUNT(dtypes); d++) {
                tn_attr attrs[] = {ATTR_INT("align_corners", align), ATTR_TEXT("mode", "")};
                attrs[1].s = (tn_string){modes[mode], strlen(modes[mode])};
                tn_tensor *grid =
                    run1("AffineGrid", ATTR_ARRAY(1, attrs), make(TN_FLOAT32, DIMS(1, 2, 3), VALUES(1, 0, 0, 0, 1, 0)),
                         make(TN_INT64, DIMS(4), VALUES(1, 2, 5, 9)));
                tn_tensor *x = noise(dtypes[d], DIMS(1, 2, 5, 9)), *same = copy_as(dtypes[d], x);
                close_to(run1("GridSample", ATTR_ARRAY(2, attrs), x, grid), same, 1e-3);
            }
}

static void positions_far_outside_and_not_a_number_read_no_memory(void **state) {
    (void)state;
    static const char *const paddings[] = {"zeros", "border", "reflection"};
    for (int p = 0; p < 3; p++)
        for (int mode = 0; mode < 3; mode++) {
            static const char *const modes[] = {"nearest", "linear", "cubic"};
            tn_attr attrs[] = {ATTR_TEXT("padding_mode", ""), ATTR_TEXT("mode", "")};
            attrs[0].s = (tn_string){paddings[p], strlen(paddings[p])};
            attrs[1].s = (tn_string){modes[mode], strlen(modes[mode])};
            tn_tensor_destroy(
                run1("GridSample", ATTR_ARRAY(2, attrs), noise(TN_FLOAT32, DIMS(1, 1, 3, 1)),
                     make(TN_FLOAT32, DIMS(1, 1, 4, 2), VALUES(1e30, -1e30, NAN, INFINITY, -INFINITY, 0, 3e9, -3e9))));
        }
    refused("GridSample", NO_ATTRS, TN_E_SHAPE, "last dimension of 2", noise(TN_FLOAT32, DIMS(1, 1, 3, 3)),
            make(TN_FLOAT32, DIMS(1, 1, 1, 3), NULL));
    refused("GridSample", NO_ATTRS, TN_E_SHAPE, "batch of 1", noise(TN_FLOAT32, DIMS(1, 1, 3, 3)),
            make(TN_FLOAT32, DIMS(2, 1, 1, 2), NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(float32_kernels_match_double_in_every_mode),
        cmocka_unit_test(all_element_types_resize),
        cmocka_unit_test(sizes_follow_scales_ratios_and_symbols),
        cmocka_unit_test(hostile_resizes_are_refused),
        cmocka_unit_test(grids_of_identity_give_the_image_back),
        cmocka_unit_test(positions_far_outside_and_not_a_number_read_no_memory),
    };
    return cmocka_run_group_tests_name("resize", tests, NULL, NULL);
}
