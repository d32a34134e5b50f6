/* Pooling: padding of all kinds, indices, types, global forms, unpooling; the fast way against the plain one; refusals. */
#include "ops.h"
#include <math.h>

#define KERNEL(...) ATTR_INTS("kernel_shape", __VA_ARGS__)

static void windows_are_cut_at_padding(void **state) {
    (void)state;
    const double x[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    expect(run1("MaxPool", ATTRS(KERNEL(2, 2)), make(TN_FLOAT32, DIMS(1, 1, 3, 3), x)), TN_FLOAT32, DIMS(1, 1, 2, 2),
           VALUES(5, 6, 8, 9));
    expect(run1("MaxPool", ATTRS(KERNEL(3), ATTR_INTS("pads", 2, 2)), make(TN_FLOAT32, DIMS(1, 1, 2), VALUES(-1, -2))),
           TN_FLOAT32, DIMS(1, 1, 4), VALUES(-1, -1, -1, -2));
    expect(run1("AveragePool", ATTRS(KERNEL(3, 3), ATTR_INTS("pads", 1, 1, 1, 1), ATTR_INTS("strides", 2, 2)),
                make(TN_FLOAT32, DIMS(1, 1, 3, 3), x)),
           TN_FLOAT32, DIMS(1, 1, 2, 2), VALUES(3, 4, 6, 7));
    expect(run1("AveragePool", ATTRS(KERNEL(2), ATTR_INTS("pads", 1, 0), ATTR_INT("count_include_pad", 1)),
                make(TN_FLOAT64, DIMS(1, 1, 2), VALUES(4, 2))),
           TN_FLOAT64, DIMS(1, 1, 2), VALUES(2, 3));
    expect(run1("LpPool", ATTRS(KERNEL(2)), make(TN_FLOAT32, DIMS(1, 1, 2), VALUES(3, -4))), TN_FLOAT32, DIMS(1, 1, 1),
           VALUES(5));
    expect(run1("LpPool", ATTRS(KERNEL(2), ATTR_INT("p", 1)), make(TN_FLOAT32, DIMS(1, 1, 2), VALUES(3, -4))),
           TN_FLOAT32, DIMS(1, 1, 1), VALUES(7));
    expect(run1("MaxPool", ATTRS(KERNEL(2), ATTR_INT("ceil_mode", 1), ATTR_INTS("strides", 2)),
                make(TN_UINT8, DIMS(1, 1, 3), VALUES(200, 1, 7))),
           TN_UINT8, DIMS(1, 1, 2), VALUES(200, 7));
    expect(run1("MaxPool", ATTRS(KERNEL(2), ATTR_TEXT("auto_pad", "SAME_LOWER")),
                make(TN_INT8, DIMS(1, 1, 2), VALUES(-7, -9))),
           TN_INT8, DIMS(1, 1, 2), VALUES(-7, -7));
}

static void indices_count_in_the_order_wished(void **state) {
    (void)state;
    const double x[] = {1, 2, 3, 9, 5, 6, 7, 8, 4};
    for (int64_t order = 0; order < 2; order++) {
        tn_tensor *out[2];
        assert_ok(run_op("MaxPool", ATTRS(KERNEL(2, 2), ATTR_INT("storage_order", order)), 1,
                         (tn_tensor *[]){make(TN_FLOAT32, DIMS(1, 1, 3, 3), x)}, 2, out));
        expect(out[0], TN_FLOAT32, DIMS(1, 1, 2, 2), VALUES(9, 6, 9, 8));
        expect(out[1], TN_INT64, DIMS(1, 1, 2, 2), order ? VALUES(1, 7, 1, 5) : VALUES(3, 5, 3, 7));
    }
}

/* Asking for indices takes the plain way; without them kernels do it. */
static void kernels_agree_with_the_plain_way(void **state) {
    (void)state;
    static const int64_t configurations[][8] = {
        /* kernel, stride, dilation, begin, end of both axes */
        {3, 1, 1, 1, 1}, {3, 2, 1, 1, 1}, {2, 2, 1, 0, 0}, {5, 1, 1, 2, 2},
        {3, 3, 2, 4, 1}, {2, 1, 3, 0, 2}, {7, 2, 1, 3, 6},
    };
    for (size_t i = 0; i < TN_COUNT(configurations); i++)
        for (int t = 0; t < 3; t++) {
            const int64_t *c = configurations[i];
            tn_dtype dtype = ((const tn_dtype[]){TN_FLOAT32, TN_UINT8, TN_INT8})[t];
            const tn_attr attrs[] = {KERNEL(c[0], c[0]), ATTR_INTS("strides", c[1], c[1]),
                                     ATTR_INTS("dilations", c[2], c[2]), ATTR_INTS("pads", c[3], c[3], c[4], c[4]),
                                     ATTR_INT("ceil_mode", 1)};
            tn_tensor *fast[1], *plain[2], *x = make(dtype, DIMS(2, 3, 11, 45), NULL), *copy;
            for (int64_t k = 0; k < tn_count(x); k++) tn_set_double(dtype, x->data, k, (double)(k * 7919 % 251 % 127));
            assert_ok(tn_tensor_clone(x, NULL, &copy));
            assert_ok(run_op("MaxPool", 5, attrs, 1, &x, 1, fast));
            assert_ok(run_op("MaxPool", 5, attrs, 1, &copy, 2, plain));
            assert_memory_equal(fast[0]->data, plain[0]->data, tn_tensor_bytes(fast[0]));
            tn_tensor_destroy(fast[0]), tn_tensor_destroy(plain[0]), tn_tensor_destroy(plain[1]);
        }
}

static void threads_change_nothing(void **state) {
    (void)state;
    static const char *const names[] = {"AveragePool", "ReduceMean", "Softmax", "GlobalAveragePool", "LRN"};
    const tn_attr attrs[] = {KERNEL(3, 3), ATTR_INT("size", 3)};
    for (size_t i = 0; i < TN_COUNT(names); i++) {
        tn_tensor *y[2], *x = make(TN_FLOAT32, DIMS(1, 6, 70, 70), NULL);
        for (int64_t k = 0; k < tn_count(x); k++) ((float *)x->data)[k] = (float)(k * 7919 % 251) * 0.01f;
        for (int threads = 1; threads < 3; threads++) {
            tn_eager options = {0};
            assert_ok(tn_pool_create(threads * 2 - 1, NULL, &options.pool));
            assert_ok(tn_eager_run(&options, tn_op_find("", names[i]), 2, attrs, 1, (const tn_tensor *const *)&x, 1,
                                   &y[threads - 1]));
            tn_pool_destroy(options.pool);
        }
        assert_memory_equal(y[0]->data, y[1]->data, tn_tensor_bytes(y[0]));
        tn_tensor_destroy(x), tn_tensor_destroy(y[0]), tn_tensor_destroy(y[1]);
    }
}

static void planes_become_one_element(void **state) {
    (void)state;
    static const tn_dtype types[] = {TN_FLOAT32, TN_FLOAT64, TN_FLOAT16};
    const double x[] = {3, -4, 1, 7};
    for (int i = 0; i < 3; i++) {
        expect(run1("GlobalAveragePool", NO_ATTRS, make(types[i], DIMS(1, 2, 2), x)), types[i], DIMS(1, 2, 1),
               VALUES(-0.5, 4));
        expect(run1("GlobalMaxPool", NO_ATTRS, make(types[i], DIMS(1, 2, 2), x)), types[i], DIMS(1, 2, 1),
               VALUES(3, 7));
        expect_near(run1("GlobalLpPool", NO_ATTRS, make(types[i], DIMS(2, 1, 1, 2), x)), types[i], DIMS(2, 1, 1, 1),
                    VALUES(5, sqrt(50)), 1e-3);
        expect(run1("GlobalLpPool", ATTRS(ATTR_INT("p", 1)), make(types[i], DIMS(2, 1, 2), x)), types[i], DIMS(2, 1, 1),
               VALUES(7, 8));
    }
}

static void elements_go_back_to_their_indices(void **state) {
    (void)state;
    const tn_attr attrs[] = {KERNEL(2), ATTR_INTS("strides", 2)};
    expect(run1("MaxUnpool", ATTR_ARRAY(2, attrs), make(TN_FLOAT16, DIMS(1, 1, 2), VALUES(5, 6)),
                make(TN_INT64, DIMS(1, 1, 2), VALUES(1, 2))),
           TN_FLOAT16, DIMS(1, 1, 4), VALUES(0, 5, 6, 0));
    expect(run1("MaxUnpool", ATTR_ARRAY(2, attrs), make(TN_FLOAT32, DIMS(1, 1, 2), VALUES(5, 6)),
                make(TN_INT64, DIMS(1, 1, 2), VALUES(1, 2)), make(TN_INT64, DIMS(3), VALUES(1, 1, 5))),
           TN_FLOAT32, DIMS(1, 1, 5), VALUES(0, 5, 6, 0, 0));
    refused("MaxUnpool", ATTR_ARRAY(2, attrs), TN_E_INVALID, "holds the index 4", make(TN_FLOAT32, DIMS(1, 1, 2), NULL),
            make(TN_INT64, DIMS(1, 1, 2), VALUES(1, 4)));
}

static void bad_geometry_is_refused(void **state) {
    (void)state;
    refused("MaxPool", NO_ATTRS, TN_E_INVALID, "kernel_shape is required", make(TN_FLOAT32, DIMS(1, 1, 3), NULL));
    refused("MaxPool", ATTRS(KERNEL(4)), TN_E_SHAPE, "reaches over 4", make(TN_FLOAT32, DIMS(1, 1, 3), NULL));
    refused("MaxPool", ATTRS(KERNEL(0)), TN_E_INVALID, "kernel_shape", make(TN_FLOAT32, DIMS(1, 1, 3), NULL));
    refused("AveragePool", ATTRS(KERNEL(1)), TN_E_SHAPE, "expected [N, C, ...]", make(TN_FLOAT32, DIMS(1, 3), NULL));
    refused("AveragePool", ATTRS(KERNEL(1)), TN_E_TYPE, "expected one of", make(TN_INT8, DIMS(1, 1, 3), NULL));
    refused("LpPool", ATTRS(KERNEL(1), ATTR_INT("p", 0)), TN_E_INVALID, "1 or more",
            make(TN_FLOAT32, DIMS(1, 1, 3), NULL));
    expect_dims("MaxPool", ATTRS(KERNEL(3, 3), ATTR_INTS("pads", 1, 1, 1, 1)), INPUTS(TYPE(TN_FLOAT32, -2, 3, -3, 8)),
                KNOWN(NULL), DIMS(-2, 3, -3, 8));
}

/* A kernel of 2^38 taps, padded to fit: only those on elements may cost time. */
static void hostile_kernels_cost_no_time(void **state) {
    (void)state;
    const int64_t many = (int64_t)1 << 38;
    static const char *const names[] = {"MaxPool", "AveragePool"};
    for (int i = 0; i < 2; i++)
        for (int t = 0; t < 2; t++)
            expect(run1(names[i], ATTRS(KERNEL(many), ATTR_INTS("pads", many - 1, 0)),
                        make(t ? TN_FLOAT32 : TN_FLOAT64, DIMS(1, 1, 2), VALUES(2, 4))),
                   t ? TN_FLOAT32 : TN_FLOAT64, DIMS(1, 1, 2), i ? VALUES(2, 3) : VALUES(2, 4));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_are_cut_at_padding),       cmocka_unit_test(indices_count_in_the_order_wished),
        cmocka_unit_test(kernels_agree_with_the_plain_way), cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(planes_become_one_element),        cmocka_unit_test(elements_go_back_to_their_indices),
        cmocka_unit_test(bad_geometry_is_refused),          cmocka_unit_test(hostile_kernels_cost_no_time),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
