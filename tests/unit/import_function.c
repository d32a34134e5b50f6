/* The importer's functions and subgraphs: arguments, captures through all levels, recursion and depth. */
#include "graph/op.h"
#include "onnx_import.h"

/* A function my:F(a) -> b that calls `op` of `domain` with axis = @which. */
static void function(pb_bytes *functions, const char *op, const char *domain) {
    pb_bytes f = {0}, attributes = {0}, attribute = {0}, import = {0};
    pb_text(&attribute, 1, "axis");
    pb_text(&attribute, 21, "which");
    pb_int(&attribute, 20, 2);
    pb_message(&attributes, 5, &attribute);
    pb_text(&f, 1, "F");
    pb_text(&f, 10, "my");
    pb_text(&f, 4, "a");
    pb_text(&f, 5, "b");
    pb_text(&f, 6, "which");
    onnx_node(&f, 7, op, domain, "a", "b", &attributes);
    pb_int(&import, 2, 21);
    pb_message(&f, 9, &import);
    pb_message(functions, 25, &f);
}

static void calling_graph(pb_bytes *graph, bool with_argument) {
    pb_bytes attributes = {0};
    onnx_int_attribute(&attributes, "which", 1);
    graph->size = 0;
    onnx_node(graph, 1, "F", "my", "x", "y", with_argument ? &attributes : NULL);
    onnx_value(graph, 11, "x", 2, two_by_three);
    onnx_value(graph, 12, "y", -1, NULL);
}

static void functions_are_inlined_with_their_arguments(void **state) {
    (void)state;
    pb_bytes graph, functions = {0}, model;
    tn_graph *g;
    function(&functions, "Flatten", "");
    for (int with = 0; with < 2; with++) {
        calling_graph(&graph, with);
        onnx_model(&model, 21, &graph, &functions);
        assert_ok(import(&model, &g));
        assert_string_equal(g->nodes[0].op->name, "Flatten");
        assert_int_equal(tn_attr_int(&g->nodes[0], "axis", -7), with ? 1 : -7);
        assert_string_equal(g->values[g->outputs[0]].name, "y");
        tn_graph_destroy(g);
    }
}

static void functions_that_call_themselves_are_refused(void **state) {
    (void)state;
    pb_bytes graph, functions = {0}, model;
    function(&functions, "F", "my");
    calling_graph(&graph, true);
    onnx_model(&model, 21, &graph, &functions);
    refused(&model, TN_E_FORMAT, "calls itself");
}

/* An If whose branches give `graph`'s output. */
static void branches(pb_bytes *graph, const pb_bytes *branch, const char *out) {
    pb_bytes attributes = {0};
    onnx_graph_attribute(&attributes, "then_branch", branch);
    onnx_graph_attribute(&attributes, "else_branch", branch);
    onnx_node(graph, 1, "If", "", "c", out, &attributes);
}

static void subgraphs_capture_through_all_levels(void **state) {
    (void)state;
    pb_bytes inner = {0}, outer = {0}, graph = {0}, model, condition = {0};
    onnx_node(&inner, 1, "Relu", "", "x", "i", NULL);
    onnx_value(&inner, 12, "i", -1, NULL);
    branches(&outer, &inner, "o");
    onnx_value(&outer, 12, "o", -1, NULL);
    branches(&graph, &outer, "y");
    onnx_tensor(&condition, "c", TN_BOOL, 0, NULL);
    pb_raw(&condition, 9, "\1", 1);
    pb_message(&graph, 5, &condition);
    onnx_value(&graph, 11, "x", 2, two_by_three);
    onnx_value(&graph, 12, "y", -1, NULL);
    onnx_model(&model, 21, &graph, NULL);
    tn_graph *g;
    assert_ok(import(&model, &g));
    const tn_node *node = &g->nodes[0];
    assert_int_equal(node->formal_in, 1);
    assert_int_equal(node->in_count, 2);
    assert_int_equal(node->in[1], g->inputs[0]);
    const tn_graph *body = tn_attr_graph(node, "then_branch");
    assert_int_equal(body->capture_count, 1);
    assert_int_equal(tn_attr_graph(&body->nodes[0], "else_branch")->capture_count, 1);
    tn_graph_destroy(g);
}

static void subgraphs_nested_too_deeply_are_refused(void **state) {
    (void)state;
    pb_bytes *levels = calloc(2, sizeof *levels), *model = calloc(1, sizeof *model), attributes;
    onnx_node(&levels[0], 1, "Relu", "", "x", "y", NULL);
    onnx_value(&levels[0], 12, "y", -1, NULL);
    for (int depth = 0; depth < 40; depth++) {
        pb_bytes *from = &levels[depth % 2], *to = &levels[(depth + 1) % 2];
        attributes.size = to->size = 0;
        onnx_graph_attribute(&attributes, "then_branch", from);
        onnx_node(to, 1, "If", "", "x", "y", &attributes);
        onnx_value(to, 12, "y", -1, NULL);
    }
    onnx_value(&levels[0], 11, "x", 2, two_by_three);
    onnx_model(model, 21, &levels[0], NULL);
    refused(model, TN_E_LIMIT, "nested deeper");
    free(levels);
    free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_are_inlined_with_their_arguments),
        cmocka_unit_test(functions_that_call_themselves_are_refused),
        cmocka_unit_test(subgraphs_capture_through_all_levels),
        cmocka_unit_test(subgraphs_nested_too_deeply_are_refused),
    };
    return end_of_imports(cmocka_run_group_tests_name("import_function", tests, NULL, NULL));
}
