/* 8-bit operators of com.microsoft on small numbers worked out by hand. */
#include "unit.h"
#include "exec/eager.h"

#define DIMS(...)                                                                                                      \
    (int64_t[]) {                                                                                                      \
        __VA_ARGS__                                                                                                    \
    }

static tn_tensor *bytes(int64_t n, const uint8_t *data) {
    tn_tensor *t;
    assert_ok(tn_tensor_create(TN_UINT8, 1, DIMS(n), NULL, &t));
    memcpy(t->data, data, (size_t)n);
    return t;
}
static tn_tensor *scale(float value) {
    tn_tensor *t;
    assert_ok(tn_tensor_create(TN_FLOAT32, 0, NULL, NULL, &t));
    *(float *)t->data = value;
    return t;
}

/* Runs it and destroys the inputs. */
static tn_status run(const char *name, int in_count, tn_tensor **in, tn_tensor **y) {
    tn_status status =
        tn_eager_run(NULL, tn_op_find("com.microsoft", name), 0, NULL, in_count, (const tn_tensor *const *)in, 1, y);
    for (int i = 0; i < in_count; i++) tn_tensor_destroy(in[i]);
    return status;
}

static void sums_and_products_broadcast_and_saturate(void **state) {
    (void)state;
    tn_tensor *y;
    assert_ok(run("QLinearAdd", 8,
                  (tn_tensor *[]){bytes(3, (uint8_t[]){10, 20, 250}), scale(2), bytes(1, (uint8_t[]){10}),
                                  bytes(1, (uint8_t[]){8}), scale(1), bytes(1, (uint8_t[]){4}), scale(1),
                                  bytes(1, (uint8_t[]){1})},
                  &y));
    assert_memory_equal(y->data, ((uint8_t[]){5, 25, 255}), 3);
    tn_tensor_destroy(y);
    assert_ok(run("QLinearMul", 7,
                  (tn_tensor *[]){bytes(2, (uint8_t[]){3, 5}), scale(0.5f), NULL, bytes(2, (uint8_t[]){2, 5}), scale(1),
                                  NULL, scale(1)},
                  &y));
    assert_memory_equal(y->data, ((uint8_t[]){3, 12}), 2);
    tn_tensor_destroy(y);
}

static void concat_requantizes_its_parts(void **state) {
    (void)state;
    tn_tensor *y;
    assert_ok(
        run("QLinearConcat", 8,
            (tn_tensor *[]){scale(2), bytes(1, (uint8_t[]){1}), bytes(2, (uint8_t[]){4, 8}), scale(1),
                            bytes(1, (uint8_t[]){0}), bytes(1, (uint8_t[]){9}), scale(4), bytes(1, (uint8_t[]){8})},
            &y));
    assert_memory_equal(y->data, ((uint8_t[]){3, 5, 3}), 3);
    tn_tensor_destroy(y);
}

static void a_zero_point_of_another_type_is_refused(void **state) {
    (void)state;
    tn_tensor *y;
    assert_int_equal(
        run("QLinearSigmoid", 4, (tn_tensor *[]){bytes(1, (uint8_t[]){1}), scale(1), scale(0), scale(1)}, &y),
        TN_E_TYPE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_and_products_broadcast_and_saturate),
        cmocka_unit_test(concat_requantizes_its_parts),
        cmocka_unit_test(a_zero_point_of_another_type_is_refused),
    };
    return cmocka_run_group_tests_name("qlinear", tests, NULL, NULL);
}
