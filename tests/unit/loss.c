/* Losses and optimizers: reductions, ignored targets, one step of each rule. */
#include "ops.h"
#include <math.h>

static tn_tensor *targets(double a, double b) {
    return make(TN_INT64, DIMS(2), VALUES(a, b));
}
static tn_tensor *scores(tn_dtype dtype) {
    return make(dtype, DIMS(2, 3), VALUES(-1, -2, -3, -4, -5, -6));
}
static tn_tensor *weights(void) {
    return make(TN_FLOAT32, DIMS(3), VALUES(1, 2, 4));
}

static void likelihoods_are_looked_up_and_reduced(void **state) {
    (void)state;
    const char *name = "NegativeLogLikelihoodLoss";
    const tn_attr none = ATTR_TEXT("reduction", "none"), sum = ATTR_TEXT("reduction", "sum"),
                  ignore = ATTR_INT("ignore_index", -1);
    expect(run1(name, ATTRS(none), scores(TN_FLOAT32), targets(2, 1)), TN_FLOAT32, DIMS(2), VALUES(3, 5));
    expect(run1(name, ATTRS(sum), scores(TN_FLOAT64), targets(2, 1)), TN_FLOAT64, SCALAR, VALUES(8));
    expect(run1(name, NO_ATTRS, scores(TN_FLOAT16), targets(2, 1)), TN_FLOAT16, SCALAR, VALUES(4));
    expect(run1(name, NO_ATTRS, scores(TN_FLOAT32), targets(2, 1), weights()), TN_FLOAT32, SCALAR,
           VALUES((double)(float)(22.0 / 6)));
    expect(run1(name, ATTRS(ignore), scores(TN_FLOAT32), targets(-1, 1)), TN_FLOAT32, SCALAR, VALUES(5));
    refused(name, NO_ATTRS, TN_E_INVALID, "target 0 is -1", scores(TN_FLOAT32), targets(-1, 1));
    refused(name, ATTRS(ignore), TN_E_INVALID, "target 1 is 3", scores(TN_FLOAT32), targets(-1, 3));
    refused(name, NO_ATTRS, TN_E_SHAPE, "without its axis 1", scores(TN_FLOAT32), make(TN_INT64, DIMS(3), NULL));
    refused(name, NO_ATTRS, TN_E_SHAPE, "one weight for each class", scores(TN_FLOAT32), targets(0, 0),
            make(TN_FLOAT32, DIMS(2), NULL));
    refused(name, ATTRS(ATTR_TEXT("reduction", "most")), TN_E_INVALID, "'most'", scores(TN_FLOAT32), targets(0, 0));
}

static void cross_entropy_gives_logarithms_of_softmax(void **state) {
    (void)state;
    /* [1, 2, 2]: two classes at two places */
    tn_tensor *in[] = {make(TN_FLOAT64, DIMS(1, 2, 2), VALUES(0, 1000, 0, 0)),
                       make(TN_INT32, DIMS(1, 2), VALUES(0, 1))},
              *out[2];
    assert_ok(run_op("SoftmaxCrossEntropyLoss", ATTRS(ATTR_TEXT("reduction", "none")), 2, in, 2, out));
    expect_near(out[0], TN_FLOAT64, DIMS(1, 2), VALUES(log(2), 1000), 1e-12);
    expect_near(out[1], TN_FLOAT64, DIMS(1, 2, 2), VALUES(-log(2), 0, -log(2), -1000), 1e-12);
}

static tn_tensor *scalar(double x) {
    return make(TN_FLOAT64, SCALAR, VALUES(x));
}
static tn_tensor *whole(double x) {
    return make(TN_INT64, SCALAR, VALUES(x));
}

static void optimizers_step_as_written(void **state) {
    (void)state;
    tn_tensor *out[3], *a[] = {scalar(0.1), whole(0), scalar(1), scalar(2), scalar(12)};
    assert_ok(run_op("ai.onnx.preview.training:Adagrad", ATTRS(ATTR_FLOAT("epsilon", 0)), 5, a, 2, out));
    expect_near(out[0], TN_FLOAT64, SCALAR, VALUES(1 - 0.1 * 2 / 4), 1e-8);
    expect_near(out[1], TN_FLOAT64, SCALAR, VALUES(16), 1e-12);
    tn_tensor *b[] = {scalar(0.5), whole(1), scalar(1), scalar(2), scalar(4)};
    assert_ok(run_op("ai.onnx.preview.training:Momentum",
                     ATTRS(ATTR_FLOAT("alpha", 0.5f), ATTR_FLOAT("beta", 0.25f), ATTR_FLOAT("norm_coefficient", 0),
                           ATTR_TEXT("mode", "nesterov")),
                     5, b, 2, out));
    expect_near(out[0], TN_FLOAT64, SCALAR, VALUES(1 - 0.5 * (2 + 0.5 * 2.5)), 1e-12);
    expect_near(out[1], TN_FLOAT64, SCALAR, VALUES(2.5), 1e-12);
    tn_tensor *c[] = {scalar(0.1), whole(0), scalar(1), scalar(2), scalar(0), scalar(0)};
    assert_ok(run_op("ai.onnx.preview.training:Adam",
                     ATTRS(ATTR_FLOAT("alpha", 0.5f), ATTR_FLOAT("beta", 0.75f), ATTR_FLOAT("epsilon", 0)), 6, c, 3,
                     out));
    expect_near(out[0], TN_FLOAT64, SCALAR, VALUES(1 - 0.1 * 1 / 1), 1e-8);
    expect_near(out[1], TN_FLOAT64, SCALAR, VALUES(1), 1e-12);
    expect_near(out[2], TN_FLOAT64, SCALAR, VALUES(1), 1e-12);
    refused("ai.onnx.preview.training:Adam", NO_ATTRS, TN_E_FORMAT, "4 for each tensor", scalar(1), whole(0), scalar(1),
            scalar(1), scalar(1));
    refused("ai.onnx.preview.training:Adagrad", NO_ATTRS, TN_E_SHAPE, "shape of input 2", scalar(1), whole(0),
            scalar(1), make(TN_FLOAT64, DIMS(2), NULL), scalar(1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(likelihoods_are_looked_up_and_reduced),
        cmocka_unit_test(cross_entropy_gives_logarithms_of_softmax),
        cmocka_unit_test(optimizers_step_as_written),
    };
    return cmocka_run_group_tests_name("loss", tests, NULL, NULL);
}
