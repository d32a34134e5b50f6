/* Tensors: ownership, views that stay inside, strided copies, refusals. */
#include "unit.h"
#include "base/tensor.h"

static void views_share_memory_and_outlive_the_parent(void **state) {
    (void)state;
    tn_tensor *parent, *view;
    assert_ok(tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){3, 4}, NULL, &parent));
    float *data = tn_tensor_data(parent);
    for (int i = 0; i < 12; i++) data[i] = (float)i;
    assert_ok(tn_tensor_view(parent, 2, (int64_t[]){4, 3}, (int64_t[]){1, 4}, 0, &view));
    tn_tensor_destroy(parent);
    const float *v = tn_tensor_const_data(view);
    assert_true(v[1 * 1 + 2 * 4] == 9.0f);
    assert_false(tn_tensor_is_dense(view));
    tn_tensor *dense;
    assert_ok(tn_tensor_clone(view, NULL, &dense));
    const float *d = tn_tensor_const_data(dense);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 3; j++) assert_true(d[i * 3 + j] == (float)(j * 4 + i));
    tn_tensor_destroy(view);
    tn_tensor_destroy(dense);
}

static void views_outside_the_parent_are_refused(void **state) {
    (void)state;
    tn_tensor *parent, *view;
    assert_ok(tn_tensor_create(TN_INT8, 1, (int64_t[]){10}, NULL, &parent));
    assert_int_equal(tn_tensor_view(parent, 1, (int64_t[]){10}, NULL, 1, &view), TN_E_SHAPE);
    assert_int_equal(tn_tensor_view(parent, 1, (int64_t[]){2}, (int64_t[]){-1}, 0, &view), TN_E_SHAPE);
    assert_int_equal(tn_tensor_view(parent, 1, (int64_t[]){2}, (int64_t[]){INT64_MAX}, 0, &view), TN_E_SHAPE);
    assert_ok(tn_tensor_view(parent, 1, (int64_t[]){10}, (int64_t[]){-1}, 9, &view));
    tn_tensor_destroy(view);
    tn_tensor_destroy(parent);
}

static void absurd_shapes_are_refused(void **state) {
    (void)state;
    tn_tensor *t;
    assert_int_equal(tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){INT64_MAX, 2}, NULL, &t), TN_E_SHAPE);
    assert_int_equal(tn_tensor_create(TN_FLOAT32, 1, (int64_t[]){-1}, NULL, &t), TN_E_SHAPE);
    assert_int_equal(tn_tensor_create((tn_dtype)99, 0, NULL, NULL, &t), TN_E_TYPE);
    assert_int_equal(tn_tensor_create(TN_FLOAT32, 9, (int64_t[]){1, 1, 1, 1, 1, 1, 1, 1, 1}, NULL, &t), TN_E_SHAPE);
    float few[3];
    assert_int_equal(tn_tensor_wrap(TN_FLOAT32, 1, (int64_t[]){4}, NULL, few, sizeof few, &t), TN_E_SHAPE);
    assert_non_null(strstr(tn_last_error(), "16 bytes"));
}

static void copies_broadcast(void **state) {
    (void)state;
    int32_t row[3] = {1, 2, 3}, all[6] = {0};
    tn_tensor *src, *dst;
    assert_ok(tn_tensor_wrap(TN_INT32, 1, (int64_t[]){3}, NULL, row, sizeof row, &src));
    assert_ok(tn_tensor_wrap(TN_INT32, 2, (int64_t[]){2, 3}, NULL, all, sizeof all, &dst));
    assert_ok(tn_tensor_copy(dst, src));
    assert_memory_equal(all, ((int32_t[]){1, 2, 3, 1, 2, 3}), sizeof all);
    assert_int_equal(tn_tensor_copy(src, dst), TN_E_SHAPE);
    tn_tensor_destroy(src);
    tn_tensor_destroy(dst);
}

static void names_of_dtypes_lead_back_to_them(void **state) {
    (void)state;
    for (int dtype = TN_FLOAT32; dtype <= TN_INT2; dtype++)
        assert_int_equal(tn_dtype_from_name(tn_dtype_name((tn_dtype)dtype)), dtype);
    assert_int_equal(tn_dtype_from_name("float"), TN_UNDEFINED);
    assert_int_equal(tn_dtype_from_name(""), TN_UNDEFINED);
    assert_string_equal(tn_dtype_name((tn_dtype)99), "undefined");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_share_memory_and_outlive_the_parent),
        cmocka_unit_test(views_outside_the_parent_are_refused),
        cmocka_unit_test(absurd_shapes_are_refused),
        cmocka_unit_test(copies_broadcast),
        cmocka_unit_test(names_of_dtypes_lead_back_to_them),
    };
    return cmocka_run_group_tests_name("tensor", tests, NULL, NULL);
}
