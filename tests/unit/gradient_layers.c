/* Gradients of layers match finite differences: convolution, pooling, normalisation, losses, and what moves elements. */
#include "gradient.h"

static void of_what_moves_elements(void **state) {
    (void)state;
    check_gradient("Reshape", NO_ATTRIBUTES, 1, some(DIMS(2, 6)), make(TN_INT64, DIMS(2), VALUES(-1, 4)));
    check_gradient("Flatten", NO_ATTRIBUTES, 1, some(DIMS(2, 3, 2)));
    check_gradient("Squeeze", NO_ATTRIBUTES, 1, some(DIMS(2, 1, 3)));
    check_gradient("Unsqueeze", NO_ATTRIBUTES, 1, some(DIMS(2, 3)), make(TN_INT64, DIMS(1), VALUES(1)));
    check_gradient("Identity", NO_ATTRIBUTES, 1, some(DIMS(2, 3)));
    check_gradient("Transpose", NO_ATTRIBUTES, 1, some(DIMS(2, 3, 4)));
    check_gradient("Transpose", ATTRIBUTES(INTS("perm", 1, 2, 0)), 1, some(DIMS(2, 3, 4)));
    check_gradient("Expand", NO_ATTRIBUTES, 1, some(DIMS(3, 1)), make(TN_INT64, DIMS(3), VALUES(2, 3, 4)));
    check_gradient("Concat", ATTRIBUTES(INT("axis", -1)), 3, some(DIMS(2, 3)), some(DIMS(2, 2)));
    check_gradient("Slice", NO_ATTRIBUTES, 1, some(DIMS(4, 5)), make(TN_INT64, DIMS(2), VALUES(1, -3)),
                   make(TN_INT64, DIMS(2), VALUES(3, 100)));
    check_gradient("Slice", NO_ATTRIBUTES, 1, some(DIMS(4, 5)), make(TN_INT64, DIMS(1), VALUES(1)),
                   make(TN_INT64, DIMS(1), VALUES(-1)), make(TN_INT64, DIMS(1), VALUES(-1)));
    check_gradient("Pad", NO_ATTRIBUTES, 1, some(DIMS(2, 3)), make(TN_INT64, DIMS(4), VALUES(1, 0, 2, 1)));
    for (int which = 0; which < 2; which++)
        check_gradient_of("Split", ATTRIBUTES(INT("axis", 1), INT("num_outputs", 2)), 1, 1,
                          (tn_tensor *[]){some(DIMS(2, 5))}, 2, which);
    for (int axis = 0; axis < 3; axis++) {
        check_gradient("Gather", ATTRIBUTES(INT("axis", axis)), 1, some(DIMS(3, 4, 3)),
                       make(TN_INT64, DIMS(2, 2), VALUES(0, 2, 2, -1)));
        check_gradient("Gather", ATTRIBUTES(INT("axis", axis)), 1, some(DIMS(3, 4, 3)),
                       make(TN_INT32, SCALAR, VALUES(1)));
    }
}

static void of_convolution(void **state) {
    (void)state;
    check_gradient("Conv", NO_ATTRIBUTES, 7, some(DIMS(2, 3, 7)), some(DIMS(4, 3, 3)), some(DIMS(4)));
    check_gradient("Conv", ATTRIBUTES(INTS("pads", 2, 1), INTS("strides", 3), INTS("dilations", 2)), 7,
                   some(DIMS(2, 3, 11)), some(DIMS(4, 3, 3)), some(DIMS(4)));
    check_gradient("Conv", ATTRIBUTES(INTS("pads", 1, 1, 1, 1)), 7, some(DIMS(2, 2, 5, 4)), some(DIMS(3, 2, 3, 3)),
                   some(DIMS(3)));
    check_gradient("Conv", ATTRIBUTES(INTS("pads", 0, 1, 2, 0), INTS("strides", 2, 3)), 3, some(DIMS(2, 2, 7, 8)),
                   some(DIMS(3, 2, 3, 2)));
    check_gradient("Conv", ATTRIBUTES(INT("group", 2), INTS("strides", 2, 1), INTS("dilations", 1, 2)), 7,
                   some(DIMS(2, 4, 6, 5)), some(DIMS(6, 2, 2, 2)), some(DIMS(6)));
    check_gradient("Conv", ATTRIBUTES(INT("group", 4), INTS("pads", 1, 1, 1, 1)), 3, some(DIMS(2, 4, 4, 4)),
                   some(DIMS(4, 1, 3, 3)));
    check_gradient("Conv", ATTRIBUTES(STRING("auto_pad", "SAME_UPPER"), INTS("strides", 2, 2)), 3,
                   some(DIMS(1, 2, 5, 6)), some(DIMS(2, 2, 3, 3)));
    check_gradient("Conv", NO_ATTRIBUTES, 3, some(DIMS(1, 2, 3, 3, 3)), some(DIMS(2, 2, 2, 2, 2)));
}

static void of_pooling(void **state) {
    (void)state;
    static const char *const ops[] = {"MaxPool", "AveragePool"};
    for (size_t i = 0; i < TN_COUNT(ops); i++) {
        check_gradient(ops[i], ATTRIBUTES(INTS("kernel_shape", 2, 2), INTS("strides", 2, 2)), 1,
                       some(DIMS(2, 3, 4, 6)));
        check_gradient(ops[i], ATTRIBUTES(INTS("kernel_shape", 3), INTS("pads", 1, 1)), 1, some(DIMS(2, 2, 7)));
        check_gradient(ops[i],
                       ATTRIBUTES(INTS("kernel_shape", 3, 2), INTS("strides", 2, 3), INTS("pads", 1, 0, 1, 1),
                                  INT("ceil_mode", 1)),
                       1, some(DIMS(1, 2, 6, 7)));
        check_gradient(ops[i], ATTRIBUTES(INTS("kernel_shape", 2, 2), INTS("dilations", 2, 1)), 1,
                       some(DIMS(1, 2, 5, 5)));
    }
    check_gradient("AveragePool",
                   ATTRIBUTES(INTS("kernel_shape", 3, 3), INTS("pads", 1, 1, 1, 1), INT("count_include_pad", 1),
                              INTS("strides", 2, 2), INT("ceil_mode", 1)),
                   1, some(DIMS(1, 2, 6, 5)));
}

static void of_normalisation(void **state) {
    (void)state;
    check_gradient("LayerNormalization", NO_ATTRIBUTES, 7, some(DIMS(3, 5)), some(DIMS(5)), some(DIMS(5)));
    check_gradient("LayerNormalization", ATTRIBUTES(INT("axis", 1), FLOAT("epsilon", 0.01f)), 7, some(DIMS(3, 2, 4)),
                   some(DIMS(2, 4)), some(DIMS(4)));
    check_gradient("RMSNormalization", NO_ATTRIBUTES, 3, some(DIMS(3, 5)), some(DIMS(5)));
    for (int training = 0; training < 2; training++) {
        check_gradient_of("BatchNormalization", ATTRIBUTES(INT("training_mode", training)), 7, 5,
                          (tn_tensor *[]){some(DIMS(3, 2, 2, 3)), some(DIMS(2)), some(DIMS(2)), some(DIMS(2)),
                                          positive_ones(DIMS(2))},
                          training ? 3 : 1, 0);
        check_gradient_of(
            "BatchNormalization", ATTRIBUTES(INT("training_mode", training)), 7, 5,
            (tn_tensor *[]){some(DIMS(4, 3)), some(DIMS(3)), some(DIMS(3)), some(DIMS(3)), positive_ones(DIMS(3))},
            training ? 3 : 1, 0);
    }
}

static void of_losses(void **state) {
    (void)state;
    static const char *const ops[] = {"SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss"};
    static const char *const reductions[] = {"none", "sum", "mean"};
    for (size_t i = 0; i < TN_COUNT(ops); i++)
        for (size_t k = 0; k < TN_COUNT(reductions); k++) {
            check_gradient(ops[i], ATTRIBUTES(STRING("reduction", reductions[k])), 1, some(DIMS(3, 4)),
                           make(TN_INT64, DIMS(3), VALUES(1, 0, 3)));
            check_gradient(ops[i], ATTRIBUTES(STRING("reduction", reductions[k]), INT("ignore_index", -1)), 1,
                           some(DIMS(2, 3, 2)), make(TN_INT32, DIMS(2, 2), VALUES(1, -1, 2, 0)),
                           make(TN_FLOAT64, DIMS(3), VALUES(1, 2, 0.5)));
        }
}

/* The mask of a run is the same for loss and gradient: what was dropped has a gradient of 0, the rest 1 / (1 - ratio). */
static void of_dropout_follow_its_mask(void **state) {
    (void)state;
    tn_graph *graph;
    tn_model *model;
    tn_session *session;
    int x, in[3], out[2], loss, grad;
    tn_tensor *values = positive_ones(DIMS(4, 50)), *ratio = make(TN_FLOAT64, SCALAR, VALUES(0.25)),
              *on = make(TN_BOOL, SCALAR, VALUES(1));
    const tn_tensor *y, *dx;
    assert_ok(tn_graph_create(NULL, &graph));
    assert_ok(tn_graph_input(graph, "x", TN_FLOAT64, 2, values->dims, &x));
    in[0] = x;
    assert_ok(tn_graph_constant(graph, "ratio", ratio, &in[1]));
    assert_ok(tn_graph_constant(graph, "on", on, &in[2]));
    assert_ok(tn_graph_node(graph, "Dropout", NULL, 3, in, 2, out, NULL));
    assert_ok(tn_graph_node(graph, "ReduceSum", NULL, 1, out, 1, &loss, ATTRIBUTES(INT("keepdims", 0))));
    assert_ok(tn_graph_gradient(graph, loss, 1, &x, &grad));
    assert_ok(tn_graph_output(graph, out[0], "y"));
    assert_ok(tn_graph_output(graph, grad, "dx"));
    assert_ok(tn_model_from_graph(graph, NULL, &model));
    assert_ok(tn_session_create(model, NULL, &session));
    assert_ok(tn_session_set_input(session, 0, values));
    assert_ok(tn_session_run(session));
    assert_ok(tn_session_output(session, 0, &y));
    assert_ok(tn_session_output(session, 1, &dx));
    int dropped = 0;
    for (int64_t i = 0; i < tn_count(dx); i++) {
        double expected = ((const double *)y->data)[i] == 0 ? 0 : 1 / 0.75;
        assert_true(fabs(((const double *)dx->data)[i] - expected) < 1e-12);
        dropped += expected == 0;
    }
    assert_in_range(dropped, 20, 80);
    tn_session_destroy(session);
    tn_model_destroy(model);
    tn_tensor_destroy(values);
    tn_tensor_destroy(ratio);
    tn_tensor_destroy(on);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_what_moves_elements),
        cmocka_unit_test(of_convolution),
        cmocka_unit_test(of_pooling),
        cmocka_unit_test(of_normalisation),
        cmocka_unit_test(of_losses),
        cmocka_unit_test(of_dropout_follow_its_mask),
    };
    return cmocka_run_group_tests_name("gradient_layers", tests, NULL, NULL);
}
