/* Upgrades: new parameters, a new structure with weights carried over; what does not fit leaves the store as it was. */
#include "unit.h"
#include <stdlib.h>
#include <tenon/tenon.h>
#include "tree.h"

static char root[64];
static tn_store *store;

static char *at(const char *name) {
    return tree_at(root, name);
}

static int constant(tn_graph *g, const char *name, int64_t size, float value) {
    tn_tensor *t;
    int v;
    assert_ok(tn_tensor_create(TN_FLOAT32, 1, &size, NULL, &t));
    for (int64_t i = 0; i < size; i++) ((float *)tn_tensor_data(t))[i] = value;
    assert_ok(tn_graph_constant(g, name, t, &v));
    tn_tensor_destroy(t);
    return v;
}

/* y = x w + b, of two elements; deeper: y = (x w + b) c. */
static tn_graph *graph_of(float w, float b, bool deeper, const char *name_of_b) {
    tn_graph *g;
    int x, product, y;
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 1, (int64_t[]){2}, &x));
    int wv = constant(g, "w", 2, w), bv = constant(g, name_of_b, 2, b);
    assert_ok(tn_graph_node(g, "Mul", "product", 2, (int[]){x, wv}, 1, &product, NULL));
    assert_ok(tn_graph_node(g, "Add", "sum", 2, (int[]){product, bv}, 1, &y, NULL));
    if (deeper) assert_ok(tn_graph_node(g, "Mul", "last", 2, (int[]){y, constant(g, "c", 2, 10)}, 1, &y, NULL));
    assert_ok(tn_graph_output(g, y, "y"));
    return g;
}

static void save(tn_graph *g, const char *file) {
    assert_ok(tn_graph_save_onnx(g, at(file), NULL));
    tn_graph_destroy(g);
}

static tn_tensor *ones(void) {
    static float values[] = {1, 1};
    tn_tensor *x;
    assert_ok(tn_tensor_wrap(TN_FLOAT32, 1, (int64_t[]){2}, NULL, values, sizeof values, &x));
    return x;
}

/* press:1.0.0, y = 2 x + 1, which says so. */
static int setup(void **state) {
    (void)state;
    if (!tree_make(root, "upgrade")) return -1;
    assert_ok(tn_store_create(at("s")));
    assert_ok(tn_store_open(at("s"), &store));
    tn_model *m;
    tn_self_test *test;
    tn_tensor *x = ones();
    tn_self_test_case c = {.struct_size = sizeof c, .input_count = 1, .inputs = &(tn_named_tensor){"x", x}};
    assert_ok(tn_model_from_graph(graph_of(2, 1, false, "b"), NULL, &m));
    assert_ok(tn_self_test_create(&test));
    assert_ok(tn_self_test_record(test, m, &c));
    tn_model_destroy(m);
    tn_graph *g = graph_of(2, 1, false, "b");
    tn_model_file_options o = {.struct_size = sizeof o,
                               .manifest = "name: press\nversion: 1.0.0\ncreated: 2026-01-31T12:00:00Z\n"
                                           "licence: Apache-2.0\ninputs: [{name: x, unit: Pa}]\n"
                                           "metrics: [{name: recall, value: 0.9, data: a}]\nhost: {library: 0.0.1}\n",
                               .self_test = test};
    assert_ok(tn_graph_save(g, at("file.tenon"), &o));
    tn_graph_destroy(g);
    tn_self_test_destroy(test);
    tn_tensor_destroy(x);
    tn_store_put_options put = {.struct_size = sizeof put, .name = "press", .version = "1.0.0"};
    assert_ok(tn_store_put(store, at("file.tenon"), &put, NULL));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    tn_store_close(store);
    return tree_remove(root);
}

static tn_model *load(const char *reference) {
    tn_model *m;
    assert_ok(tn_store_load(store, reference, NULL, &m));
    return m;
}

static void assert_gives(const tn_model *m, float expected) {
    tn_session *s;
    tn_tensor *x = ones();
    const tn_tensor *y;
    assert_ok(tn_session_create(m, NULL, &s));
    assert_ok(tn_session_set_input(s, 0, x));
    assert_ok(tn_session_run(s));
    assert_ok(tn_session_output(s, 0, &y));
    assert_float_equal(((const float *)tn_tensor_const_data(y))[1], expected, 0);
    tn_session_destroy(s);
    tn_tensor_destroy(x);
}

static void assert_says(const tn_model *m, const char *words, bool says) {
    if ((strstr(tn_model_manifest(m), words) != NULL) != says)
        fail_msg("'%s' is %sin:\n%s", words, says ? "not " : "", tn_model_manifest(m));
}

static void assert_passes_its_self_test(const tn_model *m) {
    tn_self_test *test;
    tn_self_test_result r = {.struct_size = sizeof r};
    assert_ok(tn_self_test_of_model(m, &test));
    assert_ok(tn_self_test_run(test, m, NULL, &r));
    assert_int_equal(r.cases, 1);
    tn_self_test_destroy(test);
}

static void new_parameters_make_the_next_patch(void **state) {
    (void)state;
    tn_upgrade_result r = {.struct_size = sizeof r};
    save(graph_of(5, 7, false, "b"), "new.onnx");
    tn_upgrade_options o = {.struct_size = sizeof o, .parameters = at("new.onnx"), .backup = at("before.tnb")};
    assert_ok(tn_upgrade(store, "press", &o, &r));
    assert_string_equal(r.after.version, "1.0.1");
    assert_string_equal(r.after.parent, r.before.digest);
    assert_int_equal(r.carried, 2);
    assert_int_equal(r.test_cases, 1);
    tn_model *old = load("press:1.0.0"), *new = load("press");
    assert_gives(old, 3);
    assert_gives(new, 12);
    assert_passes_its_self_test(new);
    char parent[100];
    snprintf(parent, sizeof parent, "version: 1.0.1\nparent: %s\n", tn_model_digest(old));
    assert_says(new, parent, true);
    assert_says(new, "licence: Apache-2.0", true);
    assert_says(new, "unit: Pa", true);
    assert_says(new, "library: 0.0.1", true);
    assert_says(new, "created", false);
    assert_says(new, "metrics", false);
    tn_model_destroy(old);
    tn_model_destroy(new);
    assert_ok(tn_store_restore(at("back"), (const char *[]){at("before.tnb")}, 1, NULL));
    assert_int_equal(tree_count(at("s/journal")), 0);
}

static void a_new_structure_takes_the_weights_that_it_has_in_common(void **state) {
    (void)state;
    tn_upgrade_result r = {.struct_size = sizeof r};
    save(graph_of(0, 0, true, "b"), "new.onnx");
    tn_upgrade_options o = {.struct_size = sizeof o, .structure = at("new.onnx")};
    assert_ok(tn_upgrade(store, "press:1.0.0", &o, &r));
    assert_string_equal(r.after.version, "1.1.0");
    assert_int_equal(r.carried, 2);
    assert_int_equal(r.own, 1);
    tn_model *new = load("press");
    assert_gives(new, 30);
    assert_passes_its_self_test(new);
    tn_model_destroy(new);
    o.version = "3.0.0-rc.1";
    assert_ok(tn_upgrade(store, "press", &o, &r));
    assert_string_equal(r.before.version, "1.1.0");
    assert_string_equal(r.after.version, "3.0.0-rc.1");
}

/* A module of z = (in - 1) 4, between values of these names. */
static void save_module(const char *in, const char *out, tn_dtype dtype) {
    tn_graph *g;
    int x, y;
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, in, dtype, 1, (int64_t[]){2}, &x));
    if (dtype == TN_FLOAT32) {
        assert_ok(tn_graph_node(g, "Sub", "less", 2, (int[]){x, constant(g, "one", 2, 1)}, 1, &y, NULL));
        assert_ok(tn_graph_node(g, "Mul", "more", 2, (int[]){y, constant(g, "w", 2, 4)}, 1, &y, NULL));
    } else {
        assert_ok(tn_graph_node(g, "Abs", "less", 1, &x, 1, &y, NULL));
    }
    assert_ok(tn_graph_output(g, y, out));
    save(g, "module.onnx");
}

static void a_module_takes_the_place_of_a_part(void **state) {
    (void)state;
    tn_upgrade_result r = {.struct_size = sizeof r};
    tn_upgrade_options o = {.struct_size = sizeof o, .module = at("module.onnx")};
    save(graph_of(2, 1, true, "b"), "deep.onnx"); /* (2 x + 1) 10 */
    tn_store_put_options put = {.struct_size = sizeof put, .name = "deep", .version = "1.0.0"};
    assert_ok(tn_store_put(store, at("deep.onnx"), &put, NULL));
    tn_graph *g;
    assert_ok(tn_graph_load(at("deep.onnx"), NULL, &g));
    tn_node_info node;
    char product[100], sum[100];
    tn_value_info info;
    assert_ok(tn_graph_node_info(g, 0, &node));
    assert_ok(tn_graph_value_info(g, node.out[0], &info));
    snprintf(product, sizeof product, "%s", info.name);
    assert_ok(tn_graph_node_info(g, 1, &node));
    assert_ok(tn_graph_value_info(g, node.out[0], &info));
    snprintf(sum, sizeof sum, "%s", info.name);
    tn_graph_destroy(g);
    static const struct {
        const char *in, *out;
        float expected;
        int gone;
    } rows[] = {
        {"product", "sum", 40, 1}, /* (2 - 1) 4 10 */
        {"x", "sum", 0, 2},        /* (1 - 1) 4 10 */
        {"sum", "y", 8, 1},        /* (3 - 1) 4 */
        {"x", "y", 0, 3},          /* (1 - 1) 4 */
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        save_module(strcmp(rows[i].in, "product") == 0 ? product
                    : strcmp(rows[i].in, "sum") == 0   ? sum
                                                       : rows[i].in,
                    strcmp(rows[i].out, "sum") == 0 ? sum : rows[i].out, TN_FLOAT32);
        char version[16];
        snprintf(version, sizeof version, "2.%zu.0", i);
        o.version = version;
        assert_ok(tn_upgrade(store, "deep:1.0.0", &o, &r));
        assert_int_equal(r.nodes_added, 2);
        assert_int_equal(r.nodes_gone, rows[i].gone);
        tn_model *m = load(r.after.digest);
        assert_gives(m, rows[i].expected);
        tn_model_destroy(m);
    }
    o.version = NULL;
    static const struct {
        const char *in, *out, *words;
        tn_dtype dtype;
    } wrong[] = {
        {"nothing", "y", "the module's input 'nothing' is no value of the model", TN_FLOAT32},
        {"x", "nothing", "the module's output 'nothing' is no value of the model", TN_FLOAT32},
        {"x", "y", "'x' is float32 in the model and float64 in the module", TN_FLOAT64},
        {"y", "w", "'w' is no result", TN_FLOAT32},
    };
    for (size_t i = 0; i < TN_COUNT(wrong); i++) {
        save_module(wrong[i].in, wrong[i].out, wrong[i].dtype);
        assert_int_not_equal(tn_upgrade(store, "deep:1.0.0", &o, &r), TN_OK);
        if (!strstr(tn_last_error(), wrong[i].words)) fail_msg("'%s' is not in '%s'", wrong[i].words, tn_last_error());
    }
    save_module("y", sum, TN_FLOAT32); /* what it replaces, it hangs on */
    assert_int_not_equal(tn_upgrade(store, "deep:1.0.0", &o, &r), TN_OK);
    tn_store_version v;
    assert_ok(tn_store_find(store, "deep", &v));
    assert_string_equal(v.version, "2.3.0");
}

typedef struct listing {
    char text[1000];
} listing;
static void list_row(void *context, const tn_diff_row *row) {
    char *text = ((listing *)context)->text;
    size_t used = strlen(text);
    snprintf(text + used, sizeof(listing) - used, "%s %s: %s -> %s\n", row->what, row->name,
             row->before ? row->before : "-", row->after ? row->after : "-");
}

static void differences_are_those_of_structure_parameters_and_metrics(void **state) {
    (void)state;
    listing l = {""};
    int count = -1;
    assert_ok(tn_store_diff(store, "press", "press:1.0.0", list_row, &l, &count));
    assert_int_equal(count, 0);
    save(graph_of(2, 3, true, "b"), "new.onnx");
    tn_store_put_options put = {.struct_size = sizeof put, .name = "press", .version = "2.0.0"};
    assert_ok(tn_store_put(store, at("new.onnx"), &put, NULL));
    assert_ok(tn_store_diff(store, "press:1.0.0", "press:2.0.0", list_row, &l, &count));
    assert_string_equal(l.text, "operator Mul: 1 -> 2\n"
                                "parameter b: float32[2] -> float32[2], 2 off\n"
                                "parameter c: - -> float32[2]\n"
                                "metric recall of a: 0.9 -> -\n");
    assert_int_equal(count, 4);
    l.text[0] = 0;
    assert_ok(tn_store_diff(store, "press:2.0.0", "press:1.0.0", list_row, &l, NULL));
    assert_non_null(strstr(l.text, "parameter c: float32[2] -> -\n"));
    assert_int_equal(tn_store_diff(store, "press", "press:9.0.0", list_row, &l, NULL), TN_E_NOT_FOUND);
}

static void what_does_not_fit_leaves_the_store_as_it_was(void **state) {
    (void)state;
    save(graph_of(5, 7, false, "bias"), "names.onnx");
    tn_graph *g;
    int x, y;
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 1, (int64_t[]){3}, &x));
    assert_ok(tn_graph_node(g, "Mul", "product", 2, (int[]){x, constant(g, "w", 3, 1)}, 1, &y, NULL));
    assert_ok(tn_graph_output(g, y, "y"));
    save(g, "sizes.onnx");
    tree_write(at("rubbish.onnx"), "rubbish", 7);
    char files[3][160];
    for (int i = 0; i < 3; i++)
        snprintf(files[i], sizeof files[i], "%s", at(i == 0 ? "names.onnx" : i == 1 ? "sizes.onnx" : "rubbish.onnx"));
    const struct {
        tn_upgrade_options options;
        tn_status status;
        const char *words;
    } rows[] = {
        {{.parameters = files[0]}, TN_E_SHAPE, "of 'b' it has nothing of that name; expected float32[2]"},
        {{.parameters = files[1]}, TN_E_SHAPE, "of 'w' it has float32[3]; expected float32[2]"},
        {{.structure = files[1]}, TN_E_NOT_FOUND, "no weight in common"},
        {{.parameters = files[2]}, TN_E_FORMAT, "rubbish.onnx"},
        {{.structure = files[0], .version = "1.0.0"}, TN_E_INVALID, "a higher one"},
        {{.structure = files[0], .version = "2"}, TN_E_INVALID, "'2' is no semantic version"},
        {{.structure = files[0], .parameters = files[0]}, TN_E_INVALID, "either"},
        {{.version = "2.0.0"}, TN_E_INVALID, "either"},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        tn_upgrade_options o = rows[i].options;
        tn_store_version v;
        o.struct_size = sizeof o;
        assert_int_equal(tn_upgrade(store, "press", &o, NULL), rows[i].status);
        if (!strstr(tn_last_error(), rows[i].words)) fail_msg("'%s' is not in '%s'", rows[i].words, tn_last_error());
        assert_int_equal(tn_store_at(store, 1, &v), TN_E_NOT_FOUND);
        assert_int_equal(tree_count(at("s/journal")), 0);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(new_parameters_make_the_next_patch),
        TEST(a_new_structure_takes_the_weights_that_it_has_in_common),
        TEST(differences_are_those_of_structure_parameters_and_metrics),
        TEST(a_module_takes_the_place_of_a_part),
        TEST(what_does_not_fit_leaves_the_store_as_it_was),
    };
    tn_store *s;
    if (!TN_WITH_YAML || tn_store_open("/nowhere", &s) == TN_E_UNSUPPORTED) {
        print_message("stores or YAML are left out of this build\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
