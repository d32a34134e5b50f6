/* Unary operators: values, types that are not float32, attributes, refusals. */
#include "ops.h"
#include <math.h>

static void mathematics_in_every_float_type(void **state) {
    (void)state;
    static const tn_dtype floats[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_FLOAT64};
    static const struct {
        const char *name;
        double in, out;
    } cases[] = {
        {"Sqrt", 2.25, 1.5}, {"Reciprocal", 4, 0.25}, {"Exp", 0, 1},         {"Log", 1, 0},
        {"Floor", -1.5, -2}, {"Ceil", -1.5, -1},      {"Round", 2.5, 2},     {"Round", -3.5, -4},
        {"Erf", 0, 0},       {"Sin", 0, 0},           {"Cos", 0, 1},         {"Tan", 0, 0},
        {"Asin", 0, 0},      {"Acos", 1, 0},          {"Atan", 0, 0},        {"Sinh", 0, 0},
        {"Cosh", 0, 1},      {"Asinh", 0, 0},         {"Acosh", 1, 0},       {"Atanh", 0, 0},
        {"Abs", -3, 3},      {"Neg", 3, -3},          {"Sign", -0.5, -1},    {"Relu", -2, 0},
        {"Sigmoid", 0, 0.5}, {"Tanh", 0, 0},          {"Softsign", 1, 0.5},  {"HardSwish", 3, 3},
        {"Mish", 0, 0},      {"Gelu", 0, 0},          {"HardSigmoid", 9, 1}, {"Elu", 2, 2},
        {"Swish", 0, 0},     {"Shrink", 0.25, 0},     {"Shrink", 2, 2},      {"ThresholdedRelu", 1, 0},
    };
    for (size_t d = 0; d < TN_COUNT(floats); d++)
        for (size_t i = 0; i < TN_COUNT(cases); i++)
            expect(run1(cases[i].name, NO_ATTRS, make(floats[d], DIMS(1, 1), VALUES(cases[i].in))), floats[d],
                   DIMS(1, 1), VALUES(cases[i].out));
}

static void float64_agrees_with_float32(void **state) {
    (void)state;
    static const char *const names[] = {
        "Exp",       "Tanh",     "Erf",        "Sigmoid",         "Softplus",  "Mish",
        "Gelu",      "Elu",      "Selu",       "Swish",           "LeakyRelu", "HardSigmoid",
        "HardSwish", "Softsign", "Reciprocal", "ThresholdedRelu", "Sin",       "Cos"};
    const double x[] = {-4.5, -2, -1, -0.5, -0.125, 0.25, 0.75, 1.5, 3, 6};
    for (size_t i = 0; i < TN_COUNT(names); i++) {
        tn_tensor *y = run1(names[i], NO_ATTRS, make(TN_FLOAT64, DIMS(10), x));
        expect_near(run1(names[i], NO_ATTRS, make(TN_FLOAT32, DIMS(10), x)), TN_FLOAT32, DIMS(10), y->data, 5e-7);
        tn_tensor_destroy(y);
    }
    const double both[] = {-0.15880800939172324, 0.8411919906082768, 1.954597694087775};
    expect_near(run1("Gelu", ATTRS(ATTR_TEXT("approximate", "tanh")), make(TN_FLOAT64, DIMS(3), VALUES(-1, 1, 2))),
                TN_FLOAT64, DIMS(3), both, 1e-12);
}

static void attributes_shape_the_activations(void **state) {
    (void)state;
    expect(run1("LeakyRelu", ATTRS(ATTR_FLOAT("alpha", 0.5f)), make(TN_FLOAT32, DIMS(2), VALUES(-2, 2))), TN_FLOAT32,
           DIMS(2), VALUES(-1, 2));
    expect(run1("Shrink", ATTRS(ATTR_FLOAT("lambd", 1), ATTR_FLOAT("bias", 1)),
                make(TN_INT8, DIMS(4), VALUES(-3, -1, 1, 3))),
           TN_INT8, DIMS(4), VALUES(-2, 0, 0, 2));
    expect_near(run1("Celu", ATTRS(ATTR_FLOAT("alpha", 2)), make(TN_FLOAT32, DIMS(2), VALUES(-1, 1))), TN_FLOAT32,
                DIMS(2), VALUES(2 * expm1(-0.5), 1), 1e-6);
    expect_near(run1("Swish", ATTRS(ATTR_FLOAT("alpha", 2)), make(TN_FLOAT32, DIMS(1), VALUES(1))), TN_FLOAT32, DIMS(1),
                VALUES(1 / (1 + exp(-2))), 1e-6);
    refused("Celu", ATTRS(ATTR_FLOAT("alpha", 0)), TN_E_INVALID, "alpha is 0", make(TN_FLOAT32, DIMS(1), NULL));
    refused("Gelu", ATTRS(ATTR_TEXT("approximate", "erf")), TN_E_INVALID, "none or tanh",
            make(TN_FLOAT32, DIMS(1), NULL));
    refused("Exp", NO_ATTRS, TN_E_TYPE, "expected one of", make(TN_INT32, DIMS(1), NULL));
    refused("Neg", NO_ATTRS, TN_E_TYPE, "expected one of", make(TN_UINT8, DIMS(1), NULL));
}

static void integers_stay_exact_and_wrap(void **state) {
    (void)state;
    expect(run1("Abs", NO_ATTRS, make(TN_INT64, DIMS(2), VALUES(-0x1p60, 5))), TN_INT64, DIMS(2), VALUES(0x1p60, 5));
    expect(run1("Abs", NO_ATTRS, make(TN_INT8, DIMS(1), VALUES(-128))), TN_INT8, DIMS(1), VALUES(-128));
    expect(run1("Abs", NO_ATTRS, make(TN_UINT64, DIMS(1), VALUES(0x1p63))), TN_UINT64, DIMS(1), VALUES(0x1p63));
    expect(run1("Sign", NO_ATTRS, make(TN_UINT64, DIMS(2), VALUES(0x1p63, 0))), TN_UINT64, DIMS(2), VALUES(1, 0));
    expect(run1("Relu", NO_ATTRS, make(TN_INT16, DIMS(2), VALUES(-7, 7))), TN_INT16, DIMS(2), VALUES(0, 7));
    expect(run1("Neg", NO_ATTRS, make(TN_INT32, DIMS(2), VALUES(-0x1p31, 7))), TN_INT32, DIMS(2), VALUES(-0x1p31, -7));
}

static void prelu_slopes_broadcast_to_the_input_alone(void **state) {
    (void)state;
    expect(run1("PRelu", NO_ATTRS, make(TN_FLOAT32, DIMS(1, 2, 2), VALUES(-1, 1, -2, 2)),
                make(TN_FLOAT32, DIMS(2, 1), VALUES(2, 3))),
           TN_FLOAT32, DIMS(1, 2, 2), VALUES(-2, 1, -6, 2));
    expect(run1("PRelu", NO_ATTRS, make(TN_INT64, DIMS(3), VALUES(-1, 1, -2)), make(TN_INT64, DIMS(1), VALUES(5))),
           TN_INT64, DIMS(3), VALUES(-5, 1, -10));
    expect(run1("PRelu", NO_ATTRS, make(TN_FLOAT64, DIMS(2), VALUES(-1, -2)), make(TN_FLOAT64, DIMS(2), VALUES(5, 6))),
           TN_FLOAT64, DIMS(2), VALUES(-5, -12));
    refused("PRelu", NO_ATTRS, TN_E_SHAPE, "does not broadcast", make(TN_FLOAT32, DIMS(1), NULL),
            make(TN_FLOAT32, DIMS(2), NULL));
    refused("PRelu", NO_ATTRS, TN_E_SHAPE, "more dimensions", make(TN_FLOAT32, DIMS(1), NULL),
            make(TN_FLOAT32, DIMS(1, 1), NULL));
}

static void infinities_and_nans_are_found_by_sign(void **state) {
    (void)state;
    const double x[] = {-INFINITY, INFINITY, NAN, 1};
    expect(run1("IsInf", NO_ATTRS, make(TN_FLOAT32, DIMS(4), x)), TN_BOOL, DIMS(4), VALUES(1, 1, 0, 0));
    expect(run1("IsInf", ATTRS(ATTR_INT("detect_positive", 0)), make(TN_FLOAT16, DIMS(4), x)), TN_BOOL, DIMS(4),
           VALUES(1, 0, 0, 0));
    expect(run1("IsInf", ATTRS(ATTR_INT("detect_negative", 0)), make(TN_FLOAT64, DIMS(4), x)), TN_BOOL, DIMS(4),
           VALUES(0, 1, 0, 0));
    expect(run1("IsNaN", NO_ATTRS, make(TN_BFLOAT16, DIMS(4), x)), TN_BOOL, DIMS(4), VALUES(0, 0, 1, 0));
}

static tn_tensor *microsoft(const char *name, tn_tensor *x, tn_tensor *bias) {
    tn_tensor *y = NULL;
    assert_ok(tn_eager_run(NULL, tn_op_find("com.microsoft", name), NO_ATTRS, bias ? 2 : 1,
                           (const tn_tensor *[]){x, bias}, 1, &y));
    tn_tensor_destroy(x), tn_tensor_destroy(bias);
    return y;
}

static void a_bias_is_added_before_gelu(void **state) {
    (void)state;
    const double g1 = 0.5 * (1 + erf(sqrt(0.5))), t1 = 0.8411919906082768;
    expect_near(microsoft("BiasGelu", make(TN_FLOAT32, DIMS(2, 2), VALUES(1, 2, 3, 4)),
                          make(TN_FLOAT32, DIMS(2), VALUES(0, -1))),
                TN_FLOAT32, DIMS(2, 2), VALUES(g1, g1, 1.5 * (1 + erf(3 * sqrt(0.5))), 1.5 * (1 + erf(3 * sqrt(0.5)))),
                1e-6);
    expect_near(
        microsoft("FastGelu", make(TN_FLOAT64, DIMS(1, 2), VALUES(0, 2)), make(TN_FLOAT64, DIMS(2), VALUES(1, -1))),
        TN_FLOAT64, DIMS(1, 2), VALUES(t1, t1), 1e-12);
    expect_near(microsoft("FastGelu", make(TN_FLOAT32, DIMS(1), VALUES(1)), NULL), TN_FLOAT32, DIMS(1), VALUES(t1),
                1e-6);
    expect_near(microsoft("QuickGelu", make(TN_FLOAT32, DIMS(1), VALUES(1)), NULL), TN_FLOAT32, DIMS(1),
                VALUES(1 / (1 + exp(-1.702))), 1e-6);
}

static void empty_and_scalar_tensors_pass(void **state) {
    (void)state;
    expect(run1("Exp", NO_ATTRS, make(TN_FLOAT32, DIMS(0, 3), NULL)), TN_FLOAT32, DIMS(0, 3), NULL);
    expect(run1("Relu", NO_ATTRS, make(TN_FLOAT32, SCALAR, VALUES(-1))), TN_FLOAT32, SCALAR, VALUES(0));
    expect(run1("Gelu", NO_ATTRS, make(TN_FLOAT32, DIMS(0), NULL)), TN_FLOAT32, DIMS(0), NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mathematics_in_every_float_type),
        cmocka_unit_test(float64_agrees_with_float32),
        cmocka_unit_test(attributes_shape_the_activations),
        cmocka_unit_test(integers_stay_exact_and_wrap),
        cmocka_unit_test(prelu_slopes_broadcast_to_the_input_alone),
        cmocka_unit_test(infinities_and_nans_are_found_by_sign),
        cmocka_unit_test(a_bias_is_added_before_gelu),
        cmocka_unit_test(empty_and_scalar_tensors_pass),
    };
    return cmocka_run_group_tests_name("activation", tests, NULL, NULL);
}
