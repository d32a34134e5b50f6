/* The importer: what it makes of models, and that hostile ones are refused with a sentence, without reading outside of
 * their bytes (each is imported from a piece of memory of exactly its size). */
#include "unit.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <tenon/model.h>
#include <unistd.h>
#include "graph/op.h"
#include "import/import.h"
#include "protobuf.h"

static uint8_t *exact; /* the bytes of the model that is imported now */

static tn_status import_bytes(const void *data, size_t size, const char *folder, size_t limit, tn_graph **graph) {
    free(exact);
    exact = malloc(size ? size : 1);
    memcpy(exact, data, size);
    assert_ok(tn_graph_create_root(NULL, limit, graph));
    return tn_import_onnx(exact, size, folder, limit, *graph);
}

static tn_status import(const pb_bytes *model, tn_graph **graph) {
    return import_bytes(model->data, model->size, NULL, 0, graph);
}

/* Fails with that status and words in the sentence. */
static void refused_from(const pb_bytes *model, const char *folder, size_t limit, tn_status status, const char *words) {
    tn_graph *graph;
    assert_int_equal(import_bytes(model->data, model->size, folder, limit, &graph), status);
    if (!strstr(tn_last_error(), words)) fail_msg("'%s' is not in '%s'", words, tn_last_error());
    tn_graph_destroy(graph);
}
static void refused(const pb_bytes *model, tn_status status, const char *words) {
    refused_from(model, NULL, 0, status, words);
}

static const int64_t two_by_three[] = {2, 3};
static const int64_t batch_by_three[] = {-1, 3};

/* x[batch,3] + w[3] -> s, Relu -> y; the nodes stand the wrong way round. */
static void small_graph(pb_bytes *graph) {
    const float w[] = {1, 2, 3};
    pb_bytes tensor = {0};
    onnx_tensor(&tensor, "w", TN_FLOAT32, 1, (int64_t[]){3});
    pb_raw(&tensor, 9, w, sizeof w);
    graph->size = 0;
    onnx_node(graph, 1, "Relu", "", "s", "y", NULL);
    onnx_node(graph, 1, "Add", "", "x,w", "s", NULL);
    pb_message(graph, 5, &tensor);
    onnx_value(graph, 11, "x", 2, batch_by_three);
    onnx_value(graph, 12, "y", 2, batch_by_three);
}

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

static void absurd_tensors_are_refused(void **state) {
    (void)state;
    static const struct {
        int rank;
        int64_t dims[9];
        tn_status status;
    } cases[] = {{2, {INT64_C(1) << 40, INT64_C(1) << 40}, TN_E_SHAPE},
                 {1, {-1}, TN_E_SHAPE},
                 {9, {1, 1, 1, 1, 1, 1, 1, 1, 1}, TN_E_SHAPE},
                 {1, {INT64_C(1) << 40}, TN_E_FORMAT}};
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        pb_bytes graph, model, tensor = {0};
        small_graph(&graph);
        onnx_tensor(&tensor, "huge", TN_FLOAT32, cases[i].rank, cases[i].dims);
        pb_raw(&tensor, 9, "1234", 4);
        pb_message(&graph, 5, &tensor);
        onnx_model(&model, 21, &graph, NULL);
        refused(&model, cases[i].status, "tensor 'huge'");
    }
}

/* Values 1 and 2 at places 0 and 3 of four, or at a place outside. */
static void sparse_model(pb_bytes *model, const int64_t *dims, int64_t second) {
    pb_bytes graph, values = {0}, indices = {0}, sparse = {0};
    small_graph(&graph);
    onnx_tensor(&values, "sparse", TN_FLOAT32, 1, (int64_t[]){2});
    pb_raw(&values, 9, (float[]){1, 2}, 8);
    onnx_tensor(&indices, "", TN_INT64, 1, (int64_t[]){2});
    pb_raw(&indices, 9, (int64_t[]){0, second}, 16);
    pb_message(&sparse, 1, &values);
    pb_message(&sparse, 2, &indices);
    pb_int(&sparse, 3, dims[0]);
    pb_int(&sparse, 3, dims[1]);
    pb_message(&graph, 15, &sparse);
    onnx_model(model, 21, &graph, NULL);
}

static const tn_tensor *constant(const tn_graph *g, const char *name) {
    for (int i = 0; i < g->value_count; i++)
        if (strcmp(g->values[i].name, name) == 0) return g->values[i].constant;
    fail_msg("there is no value '%s'", name);
    return NULL;
}

static void sparse_initializers_become_dense(void **state) {
    (void)state;
    pb_bytes model;
    tn_graph *g;
    sparse_model(&model, (int64_t[]){2, 2}, 3);
    assert_ok(import(&model, &g));
    const tn_tensor *t = constant(g, "sparse");
    assert_memory_equal(t->data, ((float[]){1, 0, 0, 2}), 16);
    tn_graph_destroy(g);
    sparse_model(&model, (int64_t[]){2, 2}, 4);
    refused(&model, TN_E_FORMAT, "outside");
    sparse_model(&model, (int64_t[]){1 << 20, 1 << 20}, 3);
    refused_from(&model, NULL, 1 << 20, TN_E_MEMORY, "limit");
}

static void every_storage_of_elements_is_read(void **state) {
    (void)state;
    pb_bytes graph, model, t;
    tn_graph *g;
    small_graph(&graph);
    t.size = 0;
    onnx_tensor(&t, "int4", TN_INT4, 1, (int64_t[]){3}); /* packed by two */
    pb_raw(&t, 5, "\x21\x03", 2);
    pb_message(&graph, 5, &t);
    t.size = 0;
    onnx_tensor(&t, "half", TN_FLOAT16, 1, (int64_t[]){2}); /* not packed by protobuf */
    pb_int(&t, 5, 0x3c00);
    pb_int(&t, 5, 0xc000);
    pb_message(&graph, 5, &t);
    t.size = 0;
    onnx_tensor(&t, "text", TN_STRING, 1, (int64_t[]){2});
    pb_text(&t, 6, "one");
    pb_text(&t, 6, "");
    pb_message(&graph, 5, &t);
    t.size = 0;
    onnx_tensor(&t, "bool", TN_BOOL, 1, (int64_t[]){3});
    pb_raw(&t, 9, "\x00\x01\x80", 3);
    pb_message(&graph, 5, &t);
    t.size = 0;
    onnx_tensor(&t, "int64", TN_INT64, 1, (int64_t[]){1});
    pb_int(&t, 7, -5);
    pb_message(&graph, 5, &t);
    onnx_model(&model, 21, &graph, NULL);
    assert_ok(import(&model, &g));
    assert_memory_equal(constant(g, "int4")->data, "\x21\x03", 2);
    assert_memory_equal(constant(g, "half")->data, "\x00\x3c\x00\xc0", 4);
    const tn_string *text = constant(g, "text")->data;
    assert_int_equal(text[0].size, 3);
    assert_int_equal(text[1].size, 0);
    assert_memory_equal(constant(g, "bool")->data, "\x00\x01\x01", 3);
    assert_int_equal(*(const int64_t *)constant(g, "int64")->data, -5);
    tn_graph_destroy(g);
}

static void external_model(pb_bytes *model, const char *location, const char *offset) {
    pb_bytes graph, tensor = {0};
    static const char *const keys[] = {"location", "offset"};
    small_graph(&graph);
    onnx_tensor(&tensor, "outside", TN_FLOAT32, 1, (int64_t[]){2});
    for (int i = 0; i < 2; i++) {
        pb_bytes entry = {0};
        pb_text(&entry, 1, keys[i]);
        pb_text(&entry, 2, i ? offset : location);
        pb_message(&tensor, 13, &entry);
    }
    pb_int(&tensor, 14, 1);
    pb_message(&graph, 5, &tensor);
    onnx_model(model, 21, &graph, NULL);
}

static void external_data_stay_in_the_folder(void **state) {
    (void)state;
    static const char *const escapes[] = {"../secret", "/etc/passwd", "a/../../b", "..", "", "a\\..\\b"};
    pb_bytes model;
    for (size_t i = 0; i < TN_COUNT(escapes); i++) {
        external_model(&model, escapes[i], "0");
        refused_from(&model, "/tmp", 0, TN_E_FORMAT, "inside the model's folder");
    }
    external_model(&model, "weights", "0");
    refused(&model, TN_E_UNSUPPORTED, "no folder");
}

static void external_data_are_used_within_their_file(void **state) {
    (void)state;
    char folder[] = "/tmp/tenon-import-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/weights", folder);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fwrite((float[]){1, 2, 3, 4}, 4, 4, file);
    fclose(file);
    pb_bytes model;
    tn_graph *g;
    external_model(&model, "weights", "8");
    assert_ok(import_bytes(model.data, model.size, folder, 0, &g));
    assert_memory_equal(constant(g, "outside")->data, ((float[]){3, 4}), 8);
    tn_graph_destroy(g);
    external_model(&model, "weights", "9");
    refused_from(&model, folder, 0, TN_E_FORMAT, "beyond the end");
    external_model(&model, "weights", "18446744073709551615");
    refused_from(&model, folder, 0, TN_E_FORMAT, "beyond the end");
    external_model(&model, "weights", "99999999999999999999");
    refused_from(&model, folder, 0, TN_E_FORMAT, "decimal");
    external_model(&model, "missing", "0");
    refused_from(&model, folder, 0, TN_E_IO, "missing");
    unlink(path);
    rmdir(folder);
}

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

/* The operators that a node of an old opset becomes, with a space behind each. */
static void becomes(const char *op, int64_t opset, const pb_bytes *attributes, const char *in, const char *expected) {
    pb_bytes graph = {0}, model, tensor = {0};
    char found[200] = "";
    tn_graph *g;
    onnx_tensor(&tensor, "w", TN_FLOAT32, 1, (int64_t[]){2});
    pb_raw(&tensor, 9, (float[]){1, 2}, 8);
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

static void tensors_survive_their_file(void **state) {
    (void)state;
    char path[] = "/tmp/tenon-tensor-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    tn_string words[] = {{"ab", 2}, {"", 0}, {"c\0d", 3}};
    int8_t bytes[] = {1, -2, 3, -4, 5, -6};
    tn_tensor *text, *numbers, *back;
    assert_ok(tn_tensor_wrap(TN_STRING, 1, (int64_t[]){3}, NULL, words, sizeof words, &text));
    assert_ok(tn_tensor_save_pb(text, "words", path));
    assert_ok(tn_tensor_load_pb(path, &back));
    assert_memory_equal(((const tn_string *)tn_tensor_const_data(back))[2].data, "c\0d", 3);
    tn_tensor_destroy(back);
    tn_tensor_destroy(text);
    assert_ok(
        tn_tensor_wrap(TN_INT8, 2, (int64_t[]){3, 2}, (int64_t[]){1, 3}, bytes, sizeof bytes, &numbers)); /* strided */
    assert_ok(tn_tensor_save_pb(numbers, NULL, path));
    assert_ok(tn_tensor_load_pb(path, &back));
    assert_memory_equal(tn_tensor_const_data(back), ((int8_t[]){1, -4, -2, 5, 3, -6}), 6);
    tn_tensor_destroy(back);
    tn_tensor_destroy(numbers);
    unlink(path);
    assert_int_equal(tn_tensor_load_pb(path, &back), TN_E_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_becomes_a_sorted_graph),
        cmocka_unit_test(models_cut_anywhere_do_no_harm),
        cmocka_unit_test(models_with_any_bit_wrong_do_no_harm),
        cmocka_unit_test(wrong_wire_types_are_refused),
        cmocka_unit_test(versions_from_the_future_are_refused),
        cmocka_unit_test(cycles_are_refused),
        cmocka_unit_test(names_given_twice_are_refused),
        cmocka_unit_test(names_of_nothing_are_refused_with_the_node),
        cmocka_unit_test(unknown_operators_are_listed_at_once),
        cmocka_unit_test(absurd_tensors_are_refused),
        cmocka_unit_test(sparse_initializers_become_dense),
        cmocka_unit_test(every_storage_of_elements_is_read),
        cmocka_unit_test(external_data_stay_in_the_folder),
        cmocka_unit_test(external_data_are_used_within_their_file),
        cmocka_unit_test(functions_are_inlined_with_their_arguments),
        cmocka_unit_test(functions_that_call_themselves_are_refused),
        cmocka_unit_test(subgraphs_capture_through_all_levels),
        cmocka_unit_test(subgraphs_nested_too_deeply_are_refused),
        cmocka_unit_test(old_operators_become_new_ones),
        cmocka_unit_test(tensors_survive_their_file),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(exact);
    return failed;
}
