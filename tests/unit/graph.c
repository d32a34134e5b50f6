/* Graphs: edits keep producers right, sorting finds cycles, types combine, bodies capture. */
#include "unit.h"
#include "graph/infer.h"

static tn_status same(tn_infer *call) {
    return tn_infer_same(call, 0, 0);
}

static const tn_op copy = {
    .domain = "test", .name = "Copy", .min_in = 1, .max_in = 2, .min_out = 1, .max_out = 1, .infer = same};

static int value(tn_graph *g, const char *name) {
    int v = tn_graph_add_value(g, name, NULL);
    assert_true(v >= 0);
    return v;
}

static void node(tn_graph *g, const char *name, int in, int out) {
    assert_true(tn_graph_add_node(g, &copy, name, 1, &in, 1, &out) >= 0);
}

static void sorting_puts_writers_before_readers(void **state) {
    (void)state;
    tn_graph *g;
    assert_ok(tn_graph_create(NULL, &g));
    int v[6];
    for (int i = 0; i < 6; i++) v[i] = value(g, "v");
    for (int i = 4; i >= 0; i--) node(g, "n", v[i], v[i + 1]);
    assert_ok(tn_graph_sort(g));
    for (int i = 0; i < 5; i++) {
        assert_int_equal(g->nodes[i].in[0], v[i]);
        assert_int_equal(g->values[v[i + 1]].producer, i);
    }
    tn_graph_destroy(g);
}

static void a_cycle_is_refused_and_named(void **state) {
    (void)state;
    tn_graph *g;
    assert_ok(tn_graph_create(NULL, &g));
    int a = value(g, "a"), b = value(g, "b");
    node(g, "first", a, b);
    node(g, "second", b, a);
    assert_int_equal(tn_graph_sort(g), TN_E_FORMAT);
    assert_non_null(strstr(tn_last_error(), "first"));
    tn_graph_destroy(g);
}

static void inserted_nodes_shift_those_behind(void **state) {
    (void)state;
    tn_graph *g;
    assert_ok(tn_graph_create(NULL, &g));
    int a = value(g, "a"), b = value(g, "b"), c = value(g, "c");
    node(g, "late", b, c);
    assert_ok(tn_graph_insert_node(g, 0, &copy, "early", 1, &a, 1, &b));
    assert_string_equal(g->nodes[0].name, "early");
    assert_int_equal(g->values[c].producer, 1);
    tn_graph_replace_uses(g, b, a);
    assert_int_equal(g->nodes[1].in[0], a);
    g->nodes[0].dead = true;
    tn_graph_compact(g);
    assert_int_equal(g->node_count, 1);
    assert_int_equal(g->values[b].producer, -1);
    tn_graph_destroy(g);
}

static void symbols_are_carried_and_known_dims_win(void **state) {
    (void)state;
    tn_graph *g;
    char text[100];
    assert_ok(tn_graph_create(NULL, &g));
    int64_t batch = tn_graph_symbol(g, "batch");
    assert_int_equal(tn_graph_symbol(g, "batch"), batch);
    tn_type a, b;
    tn_type_tensor(&a, TN_FLOAT32, 3, (int64_t[]){batch, -1, 4});
    tn_type_tensor(&b, TN_FLOAT32, 3, (int64_t[]){-1, 7, 4});
    assert_ok(tn_type_refine(&a, &b));
    assert_string_equal(tn_type_text(text, sizeof text, g, &a), "float32[batch,7,4]");
    tn_type_tensor(&b, TN_FLOAT32, 3, (int64_t[]){2, 7, 5});
    assert_int_equal(tn_type_refine(&a, &b), TN_E_SHAPE);
    tn_graph_destroy(g);
}

static void bodies_share_captures_and_constants(void **state) {
    (void)state;
    tn_graph *g;
    assert_ok(tn_graph_create(NULL, &g));
    int a = value(g, "a"), b = value(g, "b");
    node(g, "owner", a, b);
    int outer = value(g, "outer");
    tn_graph *first = tn_graph_create_body(g), *second = tn_graph_create_body(g);
    int inner = tn_graph_capture(g, 0, first, outer);
    assert_int_equal(tn_graph_capture(g, 0, first, outer), inner);
    assert_true(tn_graph_capture(g, 0, second, outer) >= 0);
    assert_int_equal(g->nodes[0].in_count, 2);
    assert_int_equal(g->nodes[0].formal_in, 1);
    tn_tensor *t = tn_graph_tensor(g, TN_FLOAT32, 0, NULL, NULL);
    int constant = tn_graph_add_constant(g, "k", t);
    int seen = tn_graph_capture(g, 0, first, constant);
    assert_ptr_equal(first->values[seen].constant, t);
    assert_int_equal(g->nodes[0].in_count, 2);
    tn_graph_destroy(g);
}

static void the_builder_refuses_what_is_not_there(void **state) {
    (void)state;
    tn_graph *g;
    int x, y;
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 2, (int64_t[]){2, 3}, &x));
    assert_int_equal(tn_graph_node(g, "Reloo", NULL, 1, &x, 1, &y, NULL), TN_E_NOT_FOUND);
    assert_int_equal(tn_graph_output(g, 99, "y"), TN_E_INVALID);
    assert_int_equal(tn_graph_input(g, "z", TN_FLOAT32, 1, (int64_t[]){-7}, &y), TN_E_SHAPE);
    assert_int_equal(tn_graph_node_count(g), 0);
    tn_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorting_puts_writers_before_readers), cmocka_unit_test(a_cycle_is_refused_and_named),
        cmocka_unit_test(inserted_nodes_shift_those_behind),   cmocka_unit_test(symbols_are_carried_and_known_dims_win),
        cmocka_unit_test(bodies_share_captures_and_constants), cmocka_unit_test(the_builder_refuses_what_is_not_there),
    };
    return cmocka_run_group_tests_name("graph", tests, NULL, NULL);
}
