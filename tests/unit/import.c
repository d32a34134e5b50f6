/* The importer: what it makes of models, and that hostile ones are refused with a sentence. */
#include "graph/op.h"
#include "onnx_import.h"

static void a_model_becomes_a_sorted_graph(void **state) {
    (void)state;
    pb_bytes graph, model;
    tn_graph *g;
    small_graph(&graph);
    onnx_model(&model, 21, &graph, NULL);
    assert_ok(import(&model, &g));
    assert_int_equal(g->node_count, 2);
    assert_string_equal(g->nodes[0].op->name, "Add");
    assert_string_equal(g->nodes[1].op->name, "Relu");
    assert_int_equal(g->input_count, 1);
    tn_value_info info;
    assert_ok(tn_graph_value_info(g, tn_graph_input_value(g, 0), &info));
    assert_string_equal(info.name, "x");
    assert_string_equal(info.symbols[0], "batch");
    const tn_tensor *w = g->values[g->nodes[0].in[1]].constant;
    assert_non_null(w);
    assert_true(((const float *)w->data)[2] == 3);
    tn_graph_destroy(g);
}

/* Though what was loaded lives in memory that has a limit, and goes with it. */
static void copies_outlive_what_they_were_made_of(void **state) {
    (void)state;
    pb_bytes graph, model;
    tn_graph *g, *copy;
    small_graph(&graph);
    onnx_model(&model, 21, &graph, NULL);
    assert_ok(import_bytes(model.data, model.size, NULL, 1 << 24, &g));
    assert_ok(tn_graph_copy(g, false, &copy));
    tn_graph_destroy(g);
    assert_true(tn_graph_add_value(copy, "more", NULL) >= 0);
    assert_int_equal(copy->node_count, 2);
    assert_true(((const float *)constant(copy, "w")->data)[2] == 3);
    tn_graph_destroy(copy);
}

static void models_cut_anywhere_do_no_harm(void **state) {
    (void)state;
    pb_bytes graph, model;
    small_graph(&graph);
    onnx_model(&model, 21, &graph, NULL);
    for (size_t part = 0; part < 64; part++) {
        tn_graph *g;
        import_bytes(model.data, model.size * part / 64, NULL, 0, &g);
        tn_graph_destroy(g);
    }
    tn_graph *g;
    assert_int_equal(import_bytes(model.data, model.size - 1, NULL, 0, &g), TN_E_FORMAT);
    tn_graph_destroy(g);
}

static void models_with_any_bit_wrong_do_no_harm(void **state) {
    (void)state;
    pb_bytes graph, model;
    small_graph(&graph);
    onnx_model(&model, 9, &graph, NULL);
    for (size_t bit = 0; bit < model.size * 8; bit++) {
        tn_graph *g;
        model.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        import_bytes(model.data, model.size, NULL, 1 << 24, &g);
        tn_graph_destroy(g);
        model.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void wrong_wire_types_are_refused(void **state) {
    (void)state;
    pb_bytes graph, model = {0};
    small_graph(&graph);
    pb_text(&model, 1, "eight"); /* ir_version is a number */
    pb_message(&model, 7, &graph);
    refused(&model, TN_E_FORMAT, "ModelProto");
    model.size = 0;
    pb_int(&model, 1, 8);
    pb_int(&model, 7, 5); /* graph is a message */
    refused(&model, TN_E_FORMAT, "ModelProto");
}

static void versions_from_the_future_are_refused(void **state) {
    (void)state;
    pb_bytes graph, model;
    small_graph(&graph);
    onnx_model(&model, 1000, &graph, NULL);
    refused(&model, TN_E_UNSUPPORTED, "opset 1000");
    model.size = 0;
    pb_int(&model, 1, 99);
    pb_message(&model, 7, &graph);
    refused(&model, TN_E_UNSUPPORTED, "IR version 99");
}

static void cycles_are_refused(void **state) {
    (void)state;
    pb_bytes graph = {0}, model;
    onnx_node(&graph, 1, "Add", "", "x,b", "a", NULL);
    onnx_node(&graph, 1, "Relu", "", "a", "b", NULL);
    onnx_value(&graph, 11, "x", 2, two_by_three);
    onnx_value(&graph, 12, "b", 2, two_by_three);
    onnx_model(&model, 21, &graph, NULL);
    refused(&model, TN_E_FORMAT, "cycle");
}

static void names_given_twice_are_refused(void **state) {
    (void)state;
    pb_bytes graph = {0}, model;
    onnx_node(&graph, 1, "Relu", "", "x", "y", NULL);
    onnx_node(&graph, 1, "Neg", "", "x", "y", NULL);
    onnx_value(&graph, 11, "x", 2, two_by_three);
    onnx_value(&graph, 12, "y", 2, two_by_three);
    onnx_model(&model, 21, &graph, NULL);
    refused(&model, TN_E_FORMAT, "'y' is given to two values");
}

static void names_of_nothing_are_refused_with_the_node(void **state) {
    (void)state;
    pb_bytes graph = {0}, model;
    onnx_node(&graph, 1, "Add", "", "x,nowhere", "y", NULL);
    onnx_value(&graph, 11, "x", 2, two_by_three);
    onnx_value(&graph, 12, "y", 2, two_by_three);
    onnx_model(&model, 21, &graph, NULL);
    refused(&model, TN_E_FORMAT, "'nowhere' does not exist");
    refused(&model, TN_E_FORMAT, "(Add)");
    graph.size = 0;
    onnx_value(&graph, 12, "y", 2, two_by_three);
    onnx_model(&model, 21, &graph, NULL);
    refused(&model, TN_E_FORMAT, "output 0 'y' does not exist");
}

static void unknown_operators_are_listed_at_once(void **state) {
    (void)state;
    pb_bytes graph = {0}, model;
    onnx_node(&graph, 1, "Frobnicate", "", "x", "a", NULL);
    onnx_node(&graph, 1, "Add", "", "a,x", "b", NULL);
    onnx_node(&graph, 1, "Twist", "my.domain", "b", "c", NULL);
    onnx_node(&graph, 1, "Frobnicate", "", "c", "y", NULL);
    onnx_value(&graph, 11, "x", 2, two_by_three);
    onnx_value(&graph, 12, "y", 2, two_by_three);
    onnx_model(&model, 21, &graph, NULL);
    refused(&model, TN_E_UNSUPPORTED, "2 operators");
    refused(&model, TN_E_UNSUPPORTED, "Frobnicate (version 21), my.domain:Twist");
}

/* The operators that a node of an old opset becomes, with a space behind each. */
static void becomes(const char *op, int64_t opset, const pb_bytes *attributes, const char *in, const char *expected) {
    pb_bytes graph = {0}, model, tensor = {0};
    char found[200] = "";
    tn_graph *g;
    onnx_tensor(&tensor, "w", TN_FLOAT32, 1, (int64_t[]){2});
    pb_numbers(&tensor, 9, (float[]){1, 2}, 8, 4);
    pb_message(&graph, 5, &tensor);
    onnx_node(&graph, 1, op, "", in, "y", attributes);
    onnx_value(&graph, 11, "x", 2, two_by_three);
    onnx_value(&graph, 12, "y", -1, NULL);
    onnx_model(&model, opset, &graph, NULL);
    tn_status status = import(&model, &g);
    if (status != TN_OK) fail_msg("%s: %s", op, tn_last_error());
    for (int i = 0; i < g->node_count; i++) {
        strcat(found, g->nodes[i].op->name);
        strcat(found, " ");
    }
    assert_string_equal(found, expected);
    tn_graph_destroy(g);
}

static void old_operators_become_new_ones(void **state) {
    (void)state;
    pb_bytes attributes = {0};
    onnx_int_attribute(&attributes, "broadcast", 1);
    onnx_int_attribute(&attributes, "axis", 0);
    becomes("Add", 6, &attributes, "x,w", "Unsqueeze Add ");
    becomes("Add", 7, NULL, "x,x", "Add ");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_becomes_a_sorted_graph),
        cmocka_unit_test(copies_outlive_what_they_were_made_of),
        cmocka_unit_test(models_cut_anywhere_do_no_harm),
        cmocka_unit_test(models_with_any_bit_wrong_do_no_harm),
        cmocka_unit_test(wrong_wire_types_are_refused),
        cmocka_unit_test(versions_from_the_future_are_refused),
        cmocka_unit_test(cycles_are_refused),
        cmocka_unit_test(names_given_twice_are_refused),
        cmocka_unit_test(names_of_nothing_are_refused_with_the_node),
        cmocka_unit_test(unknown_operators_are_listed_at_once),
        cmocka_unit_test(old_operators_become_new_ones),
    };
    return end_of_imports(cmocka_run_group_tests_name("import", tests, NULL, NULL));
}
