/* Structured pruning of attention: heads and residual blocks that add nothing go first, and then nothing changes; what is left
 * runs, and is smaller. tests/compress compares larger graphs with ONNX Runtime. */
#include "unit.h"
#include <math.h>
#include <tenon/tenon.h>

enum { BATCH = 2, ROWS = 6, HEADS = 4, DEPTH = 4, WIDTH = HEADS * DEPTH };

static uint32_t seed;

static float number(void) {
    return (float)((seed = seed * 1664525 + 1013904223) >> 8 & 0xffff) / 32768 - 1;
}

/* What reads head `silent` of the matrix's rows, or (-2) all of it, is zero. */
static int matrix(tn_graph *g, const char *name, int silent) {
    tn_tensor *t;
    int value;
    assert_ok(tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){WIDTH, WIDTH}, NULL, &t));
    for (int i = 0; i < WIDTH * WIDTH; i++)
        ((float *)tn_tensor_data(t))[i] = silent == -2 || i / WIDTH / DEPTH == silent ? 0 : number() / 2;
    assert_ok(tn_graph_constant(g, name, t, &value));
    tn_tensor_destroy(t);
    return value;
}

static int shape(tn_graph *g, const char *name, int count, const int64_t *numbers) {
    tn_tensor *t;
    int value;
    const int64_t length = count;
    assert_ok(tn_tensor_create(TN_INT64, 1, &length, NULL, &t));
    memcpy(tn_tensor_data(t), numbers, (size_t)count * sizeof *numbers);
    assert_ok(tn_graph_constant(g, name, t, &value));
    tn_tensor_destroy(t);
    return value;
}

static int node(tn_graph *g, const char *op, const char *name, int a, int b, const tn_attribute *attributes) {
    int out;
    assert_ok(tn_graph_node(g, op, name, b < 0 ? 1 : 2, (int[]){a, b}, 1, &out, attributes));
    return out;
}

/* [batch, rows, width] -> [batch, heads, rows, depth], or with depth before rows. */
static int side(tn_graph *g, int x, const char *name, bool across) {
    static const int64_t down[] = {0, 2, 1, 3}, turned[] = {0, 2, 3, 1};
    const tn_attribute order[] = {{.name = "perm", .kind = TN_ATTR_INTS, .ints = across ? turned : down, .count = 4},
                                  {0}};
    int y = node(g, "MatMul", name, x, matrix(g, name, -1), NULL);
    y = node(g, "Reshape", NULL, y, shape(g, "", 4, (int64_t[]){BATCH, ROWS, HEADS, DEPTH}), NULL);
    return node(g, "Transpose", NULL, y, -1, order);
}

/* y = x + attention(x); z = y + relu(y w1) w2. */
static tn_graph *network(int silent_head, bool silent_block) {
    static const int64_t back[] = {0, 2, 1, 3};
    const tn_attribute last[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = -1}, {0}};
    const tn_attribute order[] = {{.name = "perm", .kind = TN_ATTR_INTS, .ints = back, .count = 4}, {0}};
    tn_graph *g;
    int x;
    seed = 11;
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 3, (int64_t[]){BATCH, ROWS, WIDTH}, &x));
    const int q = side(g, x, "q", false), k = side(g, x, "k", true), v = side(g, x, "v", false);
    int y = node(g, "Softmax", NULL, node(g, "MatMul", NULL, q, k, NULL), -1, last);
    y = node(g, "Transpose", NULL, node(g, "MatMul", NULL, y, v, NULL), -1, order);
    y = node(g, "Reshape", NULL, y, shape(g, "", 3, (int64_t[]){BATCH, ROWS, WIDTH}), NULL);
    y = node(g, "MatMul", "o", y, matrix(g, "o", silent_head), NULL);
    y = node(g, "Add", "attended", x, y, NULL);
    int z = node(g, "Relu", NULL, node(g, "MatMul", "up", y, matrix(g, "up", -1), NULL), -1, NULL);
    z = node(g, "MatMul", "down", z, matrix(g, "down", silent_block ? -2 : -1), NULL);
    assert_ok(tn_graph_output(g, node(g, "Add", "fed", y, z, NULL), "y"));
    return g;
}

static tn_tensor *input(void) {
    tn_tensor *x;
    seed = 5;
    assert_ok(tn_tensor_create(TN_FLOAT32, 3, (int64_t[]){BATCH, ROWS, WIDTH}, NULL, &x));
    for (int i = 0; i < BATCH * ROWS * WIDTH; i++) ((float *)tn_tensor_data(x))[i] = number();
    return x;
}

/* Of the outputs of two graphs, which it takes over: the norm of the difference by that of the first. */
static double difference(tn_graph *a, tn_graph *b) {
    float y[2][BATCH * ROWS * WIDTH];
    tn_graph *graphs[] = {a, b};
    double apart = 0, whole = 0;
    for (int i = 0; i < 2; i++) {
        tn_model *model;
        tn_session *session;
        const tn_tensor *out;
        tn_tensor *x = input();
        assert_ok(tn_model_from_graph(graphs[i], NULL, &model));
        assert_ok(tn_session_create(model, NULL, &session));
        assert_ok(tn_session_set_input(session, 0, x));
        assert_ok(tn_session_run(session));
        assert_ok(tn_session_output(session, 0, &out));
        assert_int_equal(tn_tensor_bytes(out), sizeof y[i]);
        memcpy(y[i], tn_tensor_const_data(out), sizeof y[i]);
        tn_session_destroy(session);
        tn_model_destroy(model);
        tn_tensor_destroy(x);
    }
    for (int i = 0; i < BATCH * ROWS * WIDTH; i++) {
        apart += pow((double)y[0][i] - (double)y[1][i], 2);
        whole += pow((double)y[0][i], 2);
    }
    return sqrt(apart / whole);
}

static void heads_that_add_nothing_go_first(void **state) {
    (void)state;
    tn_tensor *x = input();
    const tn_tensor *samples[] = {x};
    for (int way = 0; way < (TN_WITH_OPENBLAS ? 4 : 2); way++) { /* samples need it */
        const tn_prune_heads_options o = {.struct_size = sizeof o,
                                          .sparsity = 0.25,
                                          .global = way % 2,
                                          .samples = way / 2 ? samples : NULL,
                                          .sample_count = way / 2};
        for (int silent = 0; silent < HEADS; silent++) {
            tn_weights_report r = {.struct_size = sizeof r};
            tn_graph *g = network(silent, false);
            assert_ok(tn_graph_prune_heads(g, &o, &r));
            assert_int_equal(r.layers, 1);
            /* A quarter of q, k, v and o; the block behind them stays. */
            assert_true(r.bytes_before - r.bytes_after >= WIDTH * WIDTH * 4);
            assert_true(difference(network(silent, false), g) < 1e-5);
        }
    }
    if (!TN_WITH_OPENBLAS) {
        const tn_prune_heads_options o = {
            .struct_size = sizeof o, .sparsity = 0.25, .samples = samples, .sample_count = 1};
        tn_graph *g = network(0, false);
        assert_int_equal(tn_graph_prune_heads(g, &o, NULL), TN_E_UNSUPPORTED);
        tn_graph_destroy(g);
    }
    tn_tensor_destroy(x);
}

static void heads_that_are_kept_stay(void **state) {
    (void)state;
    tn_weights_report r = {.struct_size = sizeof r};
    tn_graph *g = network(1, false);
    assert_ok(tn_graph_prune_heads(
        g, &(tn_prune_heads_options){.struct_size = sizeof(tn_prune_heads_options), .sparsity = 0.5, .keep = "o"}, &r));
    assert_int_equal(r.layers, 0);
    assert_true(difference(network(1, false), g) == 0);
}

static void blocks_that_add_nothing_go_first(void **state) {
    (void)state;
    tn_tensor *x = input();
    const tn_tensor *samples[] = {x};
    tn_prune_layers_options o = {.struct_size = sizeof o, .count = 1, .samples = samples, .sample_count = 1};
    tn_weights_report r = {.struct_size = sizeof r};
    tn_graph *g = network(-1, true);
    assert_ok(tn_graph_prune_layers(g, &o, &r));
    assert_int_equal(r.layers, 1);
    assert_true(r.bytes_before - r.bytes_after >= 2 * WIDTH * WIDTH * 4);
    assert_true(difference(network(-1, true), g) < 1e-6);

    /* Without a count, as many as the bound lets go: the silent one, and not the other. */
    o.count = 0;
    o.max_error = 1e-4;
    g = network(-1, true);
    assert_ok(tn_graph_prune_layers(g, &o, &r));
    assert_int_equal(r.layers, 1);
    tn_graph_destroy(g);
    o.sample_count = 0;
    g = network(-1, true);
    assert_int_equal(tn_graph_prune_layers(g, &o, &r), TN_E_INVALID);
    tn_graph_destroy(g);
    tn_tensor_destroy(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(heads_that_add_nothing_go_first),
                                       cmocka_unit_test(heads_that_are_kept_stay),
                                       cmocka_unit_test(blocks_that_add_nothing_go_first)};
    return cmocka_run_group_tests_name("structure", tests, NULL, NULL);
}
