/* The direct interface: right results on views and by broadcasting, each function what its name says, clear refusals. */
#include "unit.h"
#include <math.h>
#include <tenon/tenon.h>

static tn_tensor *floats(int rank, const int64_t *dims, const float *values) {
    tn_tensor *t;
    assert_ok(tn_tensor_create(TN_FLOAT32, rank, dims, NULL, &t));
    memcpy(tn_tensor_data(t), values, tn_tensor_bytes(t));
    return t;
}

/* Takes y over. */
static void expect(tn_tensor *y, int rank, const int64_t *dims, const float *values) {
    assert_int_equal(tn_tensor_dtype(y), TN_FLOAT32);
    assert_int_equal(tn_tensor_rank(y), rank);
    for (int i = 0; i < rank; i++) assert_int_equal(tn_tensor_dims(y)[i], dims[i]);
    const float *found = tn_tensor_const_data(y);
    for (int64_t i = 0; i < tn_tensor_count(y); i++)
        if (!(fabsf(found[i] - values[i]) <= 1e-5f * fmaxf(1, fabsf(values[i]))))
            fail_msg("element %d is %g, expected %g", (int)i, (double)found[i], (double)values[i]);
    tn_tensor_destroy(y);
}

#define DIMS(...)                                                                                                      \
    (const int64_t[]) {                                                                                                \
        __VA_ARGS__                                                                                                    \
    }
#define VALUES(...)                                                                                                    \
    (const float[]) {                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

static void products_take_views(void **state) {
    (void)state;
    tn_tensor *a = floats(2, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6)), *turned, *y;
    assert_ok(tn_tensor_view(a, 2, DIMS(3, 2), DIMS(1, 3), 0, &turned));
    assert_ok(tn_matmul(a, turned, &y));
    expect(y, 2, DIMS(2, 2), VALUES(14, 32, 32, 77));
    assert_int_equal(tn_matmul(a, a, &y), TN_E_SHAPE);
    assert_null(y);
    tn_tensor_destroy(a);
    tn_tensor_destroy(turned);
}

static void elementwise_functions_broadcast(void **state) {
    (void)state;
    tn_tensor *a = floats(2, DIMS(2, 2), VALUES(1, -2, 3, 4)), *b = floats(1, DIMS(2), VALUES(2, 4)), *y, *less;
    assert_ok(tn_add(a, b, &y));
    expect(y, 2, DIMS(2, 2), VALUES(3, 2, 5, 8));
    assert_ok(tn_sub(a, b, &y));
    expect(y, 2, DIMS(2, 2), VALUES(-1, -6, 1, 0));
    assert_ok(tn_mul(a, b, &y));
    expect(y, 2, DIMS(2, 2), VALUES(2, -8, 6, 16));
    assert_ok(tn_div(a, b, &y));
    expect(y, 2, DIMS(2, 2), VALUES(0.5f, -0.5f, 1.5f, 1));
    assert_ok(tn_pow(b, b, &y));
    expect(y, 1, DIMS(2), VALUES(4, 256));
    assert_ok(tn_minimum(a, b, &y));
    expect(y, 2, DIMS(2, 2), VALUES(1, -2, 2, 4));
    assert_ok(tn_maximum(a, b, &y));
    expect(y, 2, DIMS(2, 2), VALUES(2, 4, 3, 4));
    assert_ok(tn_less(a, b, &less));
    assert_memory_equal(tn_tensor_const_data(less), ((const uint8_t[]){1, 1, 0, 0}), 4);
    assert_ok(tn_where(less, a, b, &y));
    expect(y, 2, DIMS(2, 2), VALUES(1, -2, 2, 4));
    assert_ok(tn_relu(a, &y));
    expect(y, 2, DIMS(2, 2), VALUES(1, 0, 3, 4));
    assert_ok(tn_tanh(b, &y));
    expect(y, 1, DIMS(2), VALUES(tanhf(2), tanhf(4)));
    tn_tensor_destroy(less);
    tn_tensor_destroy(a);
    tn_tensor_destroy(b);
}

static void reductions_and_norms_know_their_axes(void **state) {
    (void)state;
    tn_tensor *a = floats(2, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 9)), *ones = floats(1, DIMS(3), VALUES(1, 1, 1)), *y;
    assert_ok(tn_reduce_sum(a, 1, DIMS(-1), false, &y));
    expect(y, 1, DIMS(2), VALUES(6, 18));
    assert_ok(tn_reduce_mean(a, 1, DIMS(0), true, &y));
    expect(y, 2, DIMS(1, 3), VALUES(2.5f, 3.5f, 6));
    assert_ok(tn_reduce_max(a, 0, NULL, false, &y));
    expect(y, 0, NULL, VALUES(9));
    assert_ok(tn_softmax(a, -1, &y));
    float e = expf(1), f = expf(2), sum = 1 + e + f;
    float g = expf(4), h = 1 + expf(-1) + g;
    expect(y, 2, DIMS(2, 3), VALUES(1 / sum, e / sum, f / sum, expf(-1) / h, 1 / h, g / h));
    assert_ok(tn_layer_norm(a, ones, NULL, 0, &y));
    float s = sqrtf(1.5f), t = sqrtf(14.0f / 3);
    expect(y, 2, DIMS(2, 3), VALUES(-s, 0, s, -2 / t, -1 / t, 3 / t));
    assert_int_equal(tn_softmax(a, 2, &y), TN_E_INVALID);
    tn_tensor_destroy(a);
    tn_tensor_destroy(ones);
}

static void shapes_are_rearranged(void **state) {
    (void)state;
    tn_tensor *a = floats(2, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6)), *y, *index;
    assert_ok(tn_transpose(a, NULL, &y));
    expect(y, 2, DIMS(3, 2), VALUES(1, 4, 2, 5, 3, 6));
    assert_ok(tn_reshape(a, 3, DIMS(3, 1, -1), &y));
    expect(y, 3, DIMS(3, 1, 2), VALUES(1, 2, 3, 4, 5, 6));
    assert_ok(tn_concat(2, (const tn_tensor *[]){a, a}, 1, &y));
    expect(y, 2, DIMS(2, 6), VALUES(1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6));
    assert_ok(tn_pad(a, DIMS(0, 1, 0, 0), NULL, &y));
    expect(y, 2, DIMS(2, 4), VALUES(0, 1, 2, 3, 0, 4, 5, 6));
    assert_ok(tn_tensor_create(TN_INT64, 1, DIMS(2), NULL, &index));
    memcpy(tn_tensor_data(index), DIMS(2, -3), 16);
    assert_ok(tn_gather(a, index, 1, &y));
    expect(y, 2, DIMS(2, 2), VALUES(3, 1, 6, 4));
    tn_tensor_destroy(index);
    tn_tensor_destroy(a);
}

static void windows_default_to_the_weights(void **state) {
    (void)state;
    tn_tensor *x = floats(4, DIMS(1, 1, 2, 3), VALUES(1, 2, 3, 4, 5, 6)),
              *w = floats(4, DIMS(1, 1, 2, 2), VALUES(1, 1, 1, 1));
    tn_tensor *y;
    assert_ok(tn_conv(x, w, NULL, NULL, &y));
    expect(y, 4, DIMS(1, 1, 1, 2), VALUES(12, 16));
    tn_window window = {.struct_size = sizeof window, .kernel = {2, 2}, .pads = {0, 0, 0, 1}};
    assert_ok(tn_max_pool(x, &window, &y));
    expect(y, 4, DIMS(1, 1, 1, 3), VALUES(5, 6, 6));
    assert_ok(tn_average_pool(x, &window, &y));
    expect(y, 4, DIMS(1, 1, 1, 3), VALUES(3, 4, 4.5f));
    tn_tensor_destroy(x);
    tn_tensor_destroy(w);
}

static void unknown_operators_are_refused(void **state) {
    (void)state;
    tn_tensor *a = floats(1, DIMS(1), VALUES(1)), *y;
    assert_int_equal(tn_apply("Reloo", 1, (const tn_tensor *[]){a}, 1, &y, NULL), TN_E_NOT_FOUND);
    assert_int_equal(tn_apply("Add", 1, (const tn_tensor *[]){a}, 1, &y, NULL), TN_E_INVALID);
    assert_int_equal(tn_apply("If", 1, (const tn_tensor *[]){a}, 1, &y, NULL), TN_E_UNSUPPORTED);
    tn_tensor_destroy(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_take_views),
        cmocka_unit_test(elementwise_functions_broadcast),
        cmocka_unit_test(reductions_and_norms_know_their_axes),
        cmocka_unit_test(shapes_are_rearranged),
        cmocka_unit_test(windows_default_to_the_weights),
        cmocka_unit_test(unknown_operators_are_refused),
    };
    return cmocka_run_group_tests_name("operators", tests, NULL, NULL);
}
