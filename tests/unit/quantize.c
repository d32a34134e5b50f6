/* QuantizeLinear and DequantizeLinear: granularities, types, refusals. */
#include "unit.h"
#include "exec/eager.h"

static tn_tensor *tensor(tn_dtype dtype, int rank, const int64_t *dims, const void *data) {
    tn_tensor *t;
    assert_ok(tn_tensor_create(dtype, rank, dims, NULL, &t));
    memcpy(t->data, data, tn_tensor_bytes(t));
    return t;
}

/* Runs it on (x, scale, zero), which it destroys; the output, or NULL with *status set. */
static tn_tensor *quantizer(const char *name, int attr_count, const tn_attr *attrs, tn_tensor *x, tn_tensor *scale,
                            tn_tensor *zero, tn_status *status) {
    tn_tensor *y = NULL;
    *status =
        tn_eager_run(NULL, tn_op_find("", name), attr_count, attrs, 3, (const tn_tensor *[]){x, scale, zero}, 1, &y);
    tn_tensor_destroy(x), tn_tensor_destroy(scale), tn_tensor_destroy(zero);
    return *status == TN_OK ? y : NULL;
}

#define DIMS(...)                                                                                                      \
    (int64_t[]) {                                                                                                      \
        __VA_ARGS__                                                                                                    \
    }
#define FLOATS(...)                                                                                                    \
    (float[]) {                                                                                                        \
        __VA_ARGS__                                                                                                    \
    }

static void expect_bytes(tn_tensor *y, tn_dtype dtype, const void *bytes, size_t size) {
    assert_non_null(y);
    assert_int_equal(y->dtype, dtype);
    assert_int_equal(tn_tensor_bytes(y), size);
    assert_memory_equal(y->data, bytes, size);
    tn_tensor_destroy(y);
}

static void a_scalar_scale_serves_all_elements(void **state) {
    (void)state;
    tn_status status;
    tn_tensor *y =
        quantizer("QuantizeLinear", 0, NULL, tensor(TN_FLOAT32, 1, DIMS(4), FLOATS(0, 1, 300, -300)),
                  tensor(TN_FLOAT32, 0, NULL, FLOATS(2)), tensor(TN_UINT8, 0, NULL, (uint8_t[]){128}), &status);
    expect_bytes(y, TN_UINT8, (uint8_t[]){128, 128, 255, 0}, 4);
}

static void axes_and_blocks_have_scales_of_their_own(void **state) {
    (void)state;
    tn_status status;
    const float x[] = {2, 4, 6, 8, 10, 12};
    const tn_attr axis0 = {.name = "axis", .kind = TN_ATTR_INT, .i = 0};
    const tn_attr int8 = {.name = "output_dtype", .kind = TN_ATTR_INT, .i = TN_INT8};
    tn_tensor *y = quantizer("QuantizeLinear", 2, (tn_attr[]){axis0, int8}, tensor(TN_FLOAT32, 2, DIMS(2, 3), x),
                             tensor(TN_FLOAT32, 1, DIMS(2), FLOATS(2, -1)), NULL, &status);
    expect_bytes(y, TN_INT8, (int8_t[]){1, 2, 3, -8, -10, -12}, 6);
    y = quantizer("QuantizeLinear", 0, NULL, tensor(TN_FLOAT32, 2, DIMS(2, 3), x),
                  tensor(TN_FLOAT32, 1, DIMS(3), FLOATS(1, 2, 4)), tensor(TN_INT8, 1, DIMS(3), (int8_t[]){0, 1, 2}),
                  &status);
    expect_bytes(y, TN_INT8, (int8_t[]){2, 3, 4, 8, 6, 5}, 6);
    const tn_attr block = {.name = "block_size", .kind = TN_ATTR_INT, .i = 2};
    y = quantizer("QuantizeLinear", 1, &block, tensor(TN_FLOAT32, 2, DIMS(2, 3), x),
                  tensor(TN_FLOAT32, 2, DIMS(2, 2), FLOATS(1, 2, 4, 6)), NULL, &status);
    expect_bytes(y, TN_UINT8, (uint8_t[]){2, 4, 3, 2, 2, 2}, 6);
    y = quantizer("QuantizeLinear", 2, (tn_attr[]){axis0, block}, tensor(TN_FLOAT32, 2, DIMS(2, 3), x),
                  tensor(TN_FLOAT32, 2, DIMS(1, 3), FLOATS(1, 2, 4)), NULL, &status);
    expect_bytes(y, TN_UINT8, (uint8_t[]){2, 2, 2, 8, 5, 3}, 6);
}

static void four_bits_and_floats_round_trip(void **state) {
    (void)state;
    tn_status status;
    tn_tensor *y = quantizer("QuantizeLinear", 0, NULL, tensor(TN_FLOAT32, 1, DIMS(3), FLOATS(-20, 3, 2.5f)),
                             tensor(TN_FLOAT32, 0, NULL, FLOATS(1)), tensor(TN_INT4, 0, NULL, (uint8_t[]){1}), &status);
    assert_non_null(y);
    assert_memory_equal(y->data, ((uint8_t[]){0x48, 0x03}), 2);
    y = quantizer("DequantizeLinear", 0, NULL, y, tensor(TN_FLOAT32, 0, NULL, FLOATS(0.5f)), NULL, &status);
    expect_bytes(y, TN_FLOAT32, FLOATS(-4, 2, 1.5f), 12);
    y = quantizer("DequantizeLinear", 0, NULL, tensor(TN_FLOAT8E4M3FN, 1, DIMS(2), (uint8_t[]){0x38, 0xc0}),
                  tensor(TN_FLOAT16, 0, NULL, (uint16_t[]){0x4000}), NULL, &status);
    expect_bytes(y, TN_FLOAT16, (uint16_t[]){0x4000, 0xc400}, 4);
}

static void scales_of_another_shape_are_refused(void **state) {
    (void)state;
    tn_status status;
    const float x[6] = {0};
    const tn_attr far = {.name = "axis", .kind = TN_ATTR_INT, .i = 2};
    const tn_attr block = {.name = "block_size", .kind = TN_ATTR_INT, .i = -3};
    quantizer("QuantizeLinear", 0, NULL, tensor(TN_FLOAT32, 2, DIMS(2, 3), x), tensor(TN_FLOAT32, 1, DIMS(2), x), NULL,
              &status);
    assert_int_equal(status, TN_E_SHAPE);
    assert_non_null(strstr(tn_last_error(), "expected 3 values"));
    quantizer("QuantizeLinear", 1, &far, tensor(TN_FLOAT32, 2, DIMS(2, 3), x), tensor(TN_FLOAT32, 1, DIMS(2), x), NULL,
              &status);
    assert_int_not_equal(status, TN_OK);
    quantizer("DequantizeLinear", 1, &block, tensor(TN_INT8, 2, DIMS(2, 3), x), tensor(TN_FLOAT32, 2, DIMS(2, 1), x),
              NULL, &status);
    assert_int_equal(status, TN_E_INVALID);
    quantizer("DequantizeLinear", 0, NULL, tensor(TN_INT8, 1, DIMS(2), x), tensor(TN_FLOAT32, 0, NULL, x),
              tensor(TN_UINT8, 0, NULL, x), &status);
    assert_int_equal(status, TN_E_TYPE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scalar_scale_serves_all_elements),
        cmocka_unit_test(axes_and_blocks_have_scales_of_their_own),
        cmocka_unit_test(four_bits_and_floats_round_trip),
        cmocka_unit_test(scales_of_another_shape_are_refused),
    };
    return cmocka_run_group_tests_name("quantize", tests, NULL, NULL);
}
