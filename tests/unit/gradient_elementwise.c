/* Gradients of elementwise operators, softmax, reductions and products match finite differences. */
#include "gradient.h"

static void of_arithmetic_with_broadcasting(void **state) {
    (void)state;
    static const char *const ops[] = {"Add", "Sub", "Mul", "Div"};
    for (size_t i = 0; i < TN_COUNT(ops); i++) {
        check_gradient(ops[i], NO_ATTRIBUTES, 3, some(DIMS(2, 3)), positive_ones(DIMS(2, 3)));
        check_gradient(ops[i], NO_ATTRIBUTES, 3, some(DIMS(2, 3, 4)), positive_ones(DIMS(3, 1)));
        check_gradient(ops[i], NO_ATTRIBUTES, 3, some(DIMS(4)), positive_ones(DIMS(2, 1, 4)));
        check_gradient(ops[i], NO_ATTRIBUTES, 3, some(DIMS(1, 3)), positive_ones(SCALAR));
    }
    check_gradient("Sum", NO_ATTRIBUTES, 7, some(DIMS(3)), some(DIMS(2, 3)), some(DIMS(2, 1)));
    check_gradient("Pow", NO_ATTRIBUTES, 1, some(DIMS(5)), make(TN_FLOAT64, SCALAR, VALUES(3)));
    check_gradient("Pow", NO_ATTRIBUTES, 3, positive_ones(DIMS(2, 5)), some(DIMS(5)));
    check_gradient("Where", NO_ATTRIBUTES, 6, make(TN_BOOL, DIMS(2, 3), VALUES(1, 0, 1, 0, 0, 1)), some(DIMS(2, 3)),
                   some(DIMS(3)));
}

static void of_functions_of_one_input(void **state) {
    (void)state;
    static const char *const ops[] = {"Neg",  "Abs",      "Exp", "Sin",       "Cos", "Tanh", "Sigmoid",
                                      "Relu", "Softplus", "Elu", "LeakyRelu", "Erf", "Gelu"};
    static const char *const of_positive[] = {"Log", "Sqrt", "Reciprocal"};
    for (size_t i = 0; i < TN_COUNT(ops); i++) check_gradient(ops[i], NO_ATTRIBUTES, 1, some(DIMS(3, 7)));
    for (size_t i = 0; i < TN_COUNT(of_positive); i++)
        check_gradient(of_positive[i], NO_ATTRIBUTES, 1, positive_ones(DIMS(9)));
    check_gradient("LeakyRelu", ATTRIBUTES(FLOAT("alpha", 0.25f)), 1, some(DIMS(8)));
    check_gradient("Elu", ATTRIBUTES(FLOAT("alpha", 0.5f)), 1, some(DIMS(8)));
    check_gradient("Gelu", ATTRIBUTES(STRING("approximate", "tanh")), 1, some(DIMS(8)));
    check_gradient("Swish", ATTRIBUTES(FLOAT("alpha", 1.5f)), 1, some(DIMS(8)));
    check_gradient("Clip", NO_ATTRIBUTES, 1, some(DIMS(9)), make(TN_FLOAT64, SCALAR, VALUES(-0.71)),
                   make(TN_FLOAT64, SCALAR, VALUES(1.02)));
}

static void of_softmax_over_each_axis(void **state) {
    (void)state;
    for (int axis = -1; axis < 3; axis++) {
        check_gradient("Softmax", ATTRIBUTES(INT("axis", axis)), 1, some(DIMS(2, 3, 4)));
        check_gradient("LogSoftmax", ATTRIBUTES(INT("axis", axis)), 1, some(DIMS(2, 3, 4)));
    }
}

static void of_reductions(void **state) {
    (void)state;
    static const char *const ops[] = {"ReduceSum", "ReduceMean", "ReduceSumSquare"};
    for (size_t i = 0; i < TN_COUNT(ops); i++) {
        check_gradient(ops[i], NO_ATTRIBUTES, 1, some(DIMS(2, 3)));
        check_gradient(ops[i], ATTRIBUTES(INT("keepdims", 0)), 1, some(DIMS(2, 3)));
        check_gradient(ops[i], ATTRIBUTES(INT("keepdims", 0)), 1, some(DIMS(2, 3, 4)),
                       make(TN_INT64, DIMS(2), VALUES(0, -1)));
        check_gradient(ops[i], ATTRIBUTES(INT("noop_with_empty_axes", 1)), 1, some(DIMS(2, 3)));
    }
    check_gradient("GlobalAveragePool", NO_ATTRIBUTES, 1, some(DIMS(2, 3, 2, 4)));
}

static void of_products(void **state) {
    (void)state;
    check_gradient("MatMul", NO_ATTRIBUTES, 3, some(DIMS(2, 3)), some(DIMS(3, 4)));
    check_gradient("MatMul", NO_ATTRIBUTES, 3, some(DIMS(2, 5, 3)), some(DIMS(3, 4)));
    check_gradient("MatMul", NO_ATTRIBUTES, 3, some(DIMS(2, 1, 2, 3)), some(DIMS(4, 3, 2)));
    check_gradient("MatMul", NO_ATTRIBUTES, 3, some(DIMS(3)), some(DIMS(3, 4)));
    check_gradient("MatMul", NO_ATTRIBUTES, 3, some(DIMS(2, 3)), some(DIMS(3)));
    check_gradient("MatMul", NO_ATTRIBUTES, 3, some(DIMS(3)), some(DIMS(3)));
    check_gradient("MatMul", NO_ATTRIBUTES, 3, some(DIMS(3)), some(DIMS(2, 3, 4)));
    check_gradient("MatMul", NO_ATTRIBUTES, 3, some(DIMS(2, 2, 3)), some(DIMS(3)));
    for (int turned = 0; turned < 4; turned++) {
        tn_tensor *a = turned & 1 ? some(DIMS(3, 2)) : some(DIMS(2, 3));
        tn_tensor *b = turned & 2 ? some(DIMS(4, 3)) : some(DIMS(3, 4));
        check_gradient(
            "Gemm",
            ATTRIBUTES(INT("transA", turned & 1), INT("transB", turned >> 1), FLOAT("alpha", 0.5f), FLOAT("beta", 2)),
            7, a, b, some(DIMS(4)));
    }
    check_gradient("Gemm", NO_ATTRIBUTES, 3, some(DIMS(2, 3)), some(DIMS(3, 4)));
}

static void without_a_rule_is_a_sentence(void **state) {
    (void)state;
    tn_graph *graph;
    int x, y, loss, grad;
    assert_ok(tn_graph_create(NULL, &graph));
    assert_ok(tn_graph_input(graph, "x", TN_FLOAT32, 2, (int64_t[]){3, 3}, &x));
    assert_ok(tn_graph_node(graph, "Det", "area", 1, &x, 1, &y, NULL));
    assert_ok(tn_graph_node(graph, "ReduceSum", "loss", 1, &y, 1, &loss, ATTRIBUTES(INT("keepdims", 0))));
    assert_int_equal(tn_graph_gradient(graph, loss, 1, &x, &grad), TN_E_UNSUPPORTED);
    assert_non_null(strstr(tn_last_error(), "node 'area' (Det): this operator has no gradient"));
    assert_int_equal(tn_graph_gradient(graph, x, 1, &x, &grad), TN_E_SHAPE);
    assert_non_null(strstr(tn_last_error(), "the loss 'x' is float32[3,3]; expected floats of one element"));
    tn_graph_destroy(graph);
}

static void that_do_not_reach_the_loss_are_absent(void **state) {
    (void)state;
    tn_graph *graph;
    int x[3], y, loss, grads[3];
    assert_ok(tn_graph_create(NULL, &graph));
    for (int i = 0; i < 3; i++) assert_ok(tn_graph_input(graph, "x", TN_FLOAT32, 1, (int64_t[]){3}, &x[i]));
    assert_ok(tn_graph_node(graph, "Floor", NULL, 1, &x[1], 1, &y, NULL));
    assert_ok(tn_graph_node(graph, "Mul", NULL, 2, (int[]){x[0], y}, 1, &y, NULL));
    assert_ok(tn_graph_node(graph, "ReduceSum", NULL, 1, &y, 1, &loss, NULL));
    assert_ok(tn_graph_gradient(graph, loss, 3, x, grads));
    assert_true(grads[0] >= 0);
    assert_int_equal(grads[1], -1);
    assert_int_equal(grads[2], -1);
    tn_graph_destroy(graph);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_arithmetic_with_broadcasting),
        cmocka_unit_test(of_functions_of_one_input),
        cmocka_unit_test(of_softmax_over_each_axis),
        cmocka_unit_test(of_reductions),
        cmocka_unit_test(of_products),
        cmocka_unit_test(without_a_rule_is_a_sentence),
        cmocka_unit_test(that_do_not_reach_the_loss_are_absent),
    };
    return cmocka_run_group_tests_name("gradient_elementwise", tests, NULL, NULL);
}
