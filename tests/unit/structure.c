/* Structured pruning of attention: heads and residual blocks that add nothing go first, and then nothing changes; what is left
 * runs, and is smaller. tests/compress compares larger graphs with ONNX Runtime. */
#include "unit.h"
#include <math.h>
#include <stdio.h>
#include <tenon/tenon.h>

enum { BATCH = 2, ROWS = 6, HEADS = 4, DEPTH = 4, WIDTH = HEADS * DEPTH };

static uint32_t seed;

static float number(void) {
    return (float)((seed = seed * 1664525 + 1013904223) >> 8 & 0xffff) / 32768 - 1;
}

/* [WIDTH, columns]; of its rows those of head `silent`, or (-2) all, or (-3 - i) those of pair i of heads, are zero. */
static int matrix(tn_graph *g, const char *name, int columns, int silent) {
    tn_tensor *t;
    int value;
    assert_ok(tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){WIDTH, columns}, NULL, &t));
    for (int i = 0; i < WIDTH * columns; i++) {
        const float x = number() / 2;
        ((float *)tn_tensor_data(t))[i] =
            silent == -2 || i / columns / DEPTH == silent || (silent <= -3 && i / columns / DEPTH / 2 == -3 - silent)
                ? 0
                : x;
    }
    assert_ok(tn_graph_constant(g, name, t, &value));
    tn_tensor_destroy(t);
    return value;
}

static int vector(tn_graph *g, const char *name, int64_t count) {
    tn_tensor *t;
    int value;
    assert_ok(tn_tensor_create(TN_FLOAT32, 1, &count, NULL, &t));
    for (int i = 0; i < count; i++) ((float *)tn_tensor_data(t))[i] = number();
    assert_ok(tn_graph_constant(g, name, t, &value));
    tn_tensor_destroy(t);
    return value;
}

static int shape(tn_graph *g, const char *name, int count, const int64_t *numbers) {
    tn_tensor *t;
    int value;
    const int64_t length = count;
    assert_ok(tn_tensor_create(TN_INT64, count > 0, &length, NULL, &t));
    memcpy(tn_tensor_data(t), numbers, (size_t)(count ? count : 1) * sizeof *numbers);
    assert_ok(tn_graph_constant(g, name, t, &value));
    tn_tensor_destroy(t);
    return value;
}

static int node_of(tn_graph *g, const char *op, const char *name, int inputs, const int *in,
                   const tn_attribute *attributes) {
    int out;
    assert_ok(tn_graph_node(g, op, name, inputs, in, 1, &out, attributes));
    return out;
}

static int node(tn_graph *g, const char *op, const char *name, int a, int b, const tn_attribute *attributes) {
    return node_of(g, op, name, b < 0 ? 1 : 2, (int[]){a, b}, attributes);
}

static int transpose(tn_graph *g, int x, int rank, const int64_t *perm) {
    const tn_attribute order[] = {{.name = "perm", .kind = TN_ATTR_INTS, .ints = perm, .count = (size_t)rank}, {0}};
    return node(g, "Transpose", NULL, x, -1, order);
}

static int reshape(tn_graph *g, int x, int rank, const int64_t *dims) {
    return node(g, "Reshape", NULL, x, shape(g, "", rank, dims), NULL);
}

/* Where Q, K and V come from: a product each; parts of one product's columns by Split or by Slice, of an axis of a Reshape by
 * Split or by Gather, or of each head's columns; a product each, K and V with half of the heads, for two of Q each; and what is
 * not followed: Q that is an output as well, or turned as by rotary positions. */
typedef enum form { SEPARATE, SPLIT, SLICES, AXIS, GATHERS, WITHIN, GROUPED, FORMS, ODD_READ, ODD_ROTARY } form;

static const int64_t down[] = {0, 2, 1, 3}, flip[] = {0, 1, 3, 2};

/* [batch, rows, width] -> three times [batch, heads, rows, depth]. */
static void separate(tn_graph *g, int x, form f, int out[3]) {
    static const char *const names[] = {"q", "k", "v"};
    for (int i = 0; i < 3; i++) {
        const int heads = f == GROUPED && i ? HEADS / 2 : HEADS;
        int y = node(g, "MatMul", names[i], x, matrix(g, names[i], heads * DEPTH, -1), NULL);
        y = transpose(g, reshape(g, y, 4, (int64_t[]){BATCH, ROWS, heads, DEPTH}), 4, down);
        if (heads < HEADS) {
            y = node(g, "Unsqueeze", NULL, y, shape(g, "", 1, (int64_t[]){2}), NULL);
            y = node(g, "Expand", NULL, y, shape(g, "", 5, (int64_t[]){BATCH, heads, 2, ROWS, DEPTH}), NULL);
            y = reshape(g, y, 4, (int64_t[]){BATCH, HEADS, ROWS, DEPTH});
        }
        out[i] = y;
    }
}

static void packed(tn_graph *g, int x, form f, int out[3]) {
    static const int64_t parts_first[] = {2, 0, 3, 1, 4};
    const int64_t part = f == AXIS || f == GATHERS ? 1 : f == WITHIN ? DEPTH : WIDTH, at = f == AXIS ? 0 : -1;
    const tn_attribute along[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = at}, {0}};
    const tn_attribute first[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = 0}, {0}};
    int y = node(g, "MatMul", "qkv", x, matrix(g, "qkv", 3 * WIDTH, -1), NULL);
    y = node(g, "Add", "biased", y, vector(g, "b", 3 * WIDTH), NULL);
    if (f == AXIS || f == GATHERS) y = transpose(g, reshape(g, y, 5, (int64_t[]){0, 0, 3, HEADS, -1}), 5, parts_first);
    if (f == WITHIN) y = transpose(g, reshape(g, y, 4, (int64_t[]){0, 0, HEADS, 3 * DEPTH}), 4, down);
    if (f == AXIS || f == SPLIT || f == WITHIN) {
        const int64_t sizes[] = {part, part, part};
        assert_ok(tn_graph_node(g, "Split", NULL, 2, (int[]){y, shape(g, "", 3, sizes)}, 3, out, along));
    }
    for (int i = 0; i < 3; i++) {
        const int64_t from = i * WIDTH, to = i == 2 ? INT64_MAX : from + WIDTH, last = 2;
        if (f == GATHERS) out[i] = node(g, "Gather", NULL, y, shape(g, "", 0, (int64_t[]){i - 3}), first);
        if (f == AXIS) out[i] = node(g, "Squeeze", NULL, out[i], shape(g, "", 1, (int64_t[]){0}), NULL);
        if (f == SLICES)
            out[i] = node_of(g, "Slice", NULL, 4,
                             (int[]){y, shape(g, "", 1, &from), shape(g, "", 1, &to), shape(g, "", 1, &last)}, NULL);
        if (f == SPLIT || f == SLICES)
            out[i] = transpose(g, reshape(g, out[i], 4, (int64_t[]){BATCH, ROWS, HEADS, DEPTH}), 4, down);
    }
}

/* y = x + attention(x); z = y + relu(y w1) w2. */
static tn_graph *network(form f, int silent_head, bool silent_block) {
    const tn_attribute last[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = -1}, {0}};
    tn_graph *g;
    int x, in[3];
    seed = 11;
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 3, (int64_t[]){BATCH, ROWS, WIDTH}, &x));
    (f > SEPARATE && f < GROUPED ? packed : separate)(g, x, f, in);
    if (f == ODD_ROTARY)
        in[0] = node(g, "Add", "turned", node(g, "Mul", NULL, in[0], in[0], NULL),
                     node(g, "Mul", NULL, in[0], in[0], NULL), NULL);
    int y = node(g, "Softmax", NULL, node(g, "MatMul", NULL, in[0], transpose(g, in[1], 4, flip), NULL), -1, last);
    y = transpose(g, node(g, "MatMul", "core", y, in[2], NULL), 4, down);
    y = reshape(g, y, 3, (int64_t[]){BATCH, ROWS, WIDTH});
    y = node(g, "MatMul", "o", y, matrix(g, "o", WIDTH, silent_head), NULL);
    y = node(g, "Add", "attended", x, y, NULL);
    int z = node(g, "Relu", NULL, node(g, "MatMul", "up", y, matrix(g, "up", WIDTH, -1), NULL), -1, NULL);
    z = node(g, "MatMul", "down", z, matrix(g, "down", WIDTH, silent_block ? -2 : -1), NULL);
    assert_ok(tn_graph_output(g, node(g, "Add", "fed", y, z, NULL), "y"));
    if (f == ODD_READ) assert_ok(tn_graph_output(g, in[0], "q.read"));
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
            tn_graph *g = network(SEPARATE, silent, false);
            assert_ok(tn_graph_prune_heads(g, &o, &r));
            assert_int_equal(r.layers, 1);
            /* A quarter of q, k, v and o; the block behind them stays. */
            assert_true(r.bytes_before - r.bytes_after >= WIDTH * WIDTH * 4);
            assert_true(difference(network(SEPARATE, silent, false), g) < 1e-5);
        }
    }
    if (!TN_WITH_OPENBLAS) {
        const tn_prune_heads_options o = {
            .struct_size = sizeof o, .sparsity = 0.25, .samples = samples, .sample_count = 1};
        tn_graph *g = network(SEPARATE, 0, false);
        assert_int_equal(tn_graph_prune_heads(g, &o, NULL), TN_E_UNSUPPORTED);
        tn_graph_destroy(g);
    }
    tn_tensor_destroy(x);
}

/* What is left is what the float graph computes where the heads that went give zero: those of one unit, in every form. */
static void without_a_head_is_with_its_output_zero(void **state) {
    (void)state;
    for (form f = SEPARATE; f < FORMS; f++) {
        const double share = f == GROUPED ? 0.5 : 0.25;
        const tn_prune_heads_options o = {.struct_size = sizeof o, .sparsity = share};
        int same = 0;
        for (int h = 0; h < HEADS; h++) {
            tn_weights_report r = {.struct_size = sizeof r};
            tn_graph *g = network(f, -1, false);
            assert_ok(tn_graph_prune_heads(g, &o, &r));
            assert_int_equal(r.layers, 1);
            const double each = f == GROUPED ? 3.0 / 4 : 1; /* K and V have half as many */
            assert_true(r.bytes_before - r.bytes_after >= (int64_t)(share * 4 * WIDTH * WIDTH * 4 * each));
            same += difference(network(f, f == GROUPED ? -3 - h / 2 : h, false), g) < 1e-5;
        }
        assert_int_equal(same, f == GROUPED ? 2 : 1);
    }
}

typedef struct told {
    int count;
    char block[32], reason[256];
} told;

static void on_stays(void *context, const char *block, const char *reason) {
    told *t = context;
    t->count++;
    snprintf(t->block, sizeof t->block, "%s", block);
    snprintf(t->reason, sizeof t->reason, "%s", reason);
}

static void blocks_that_are_not_followed_say_why(void **state) {
    (void)state;
    static const char *const reasons[] = {"is read elsewhere as well", "rotary positions turn its Q (Add 'turned')"};
    for (int i = 0; i < 2; i++) {
        told t = {0};
        const tn_prune_heads_options o = {.struct_size = sizeof o, .sparsity = 0.5, .stays = on_stays, .context = &t};
        tn_weights_report r = {.struct_size = sizeof r};
        tn_graph *g = network(ODD_READ + i, -1, false);
        assert_ok(tn_graph_prune_heads(g, &o, &r));
        assert_int_equal(r.layers, 0);
        assert_int_equal(t.count, 1);
        assert_string_equal(t.block, "core");
        assert_non_null(strstr(t.reason, reasons[i]));
        tn_graph_destroy(g);
    }
}

static void heads_that_are_kept_stay(void **state) {
    (void)state;
    tn_weights_report r = {.struct_size = sizeof r};
    tn_graph *g = network(SEPARATE, 1, false);
    assert_ok(tn_graph_prune_heads(
        g, &(tn_prune_heads_options){.struct_size = sizeof(tn_prune_heads_options), .sparsity = 0.5, .keep = "o"}, &r));
    assert_int_equal(r.layers, 0);
    assert_true(difference(network(SEPARATE, 1, false), g) == 0);
}

static void blocks_that_add_nothing_go_first(void **state) {
    (void)state;
    tn_tensor *x = input();
    const tn_tensor *samples[] = {x};
    tn_prune_layers_options o = {.struct_size = sizeof o, .count = 1, .samples = samples, .sample_count = 1};
    tn_weights_report r = {.struct_size = sizeof r};
    tn_graph *g = network(SEPARATE, -1, true);
    assert_ok(tn_graph_prune_layers(g, &o, &r));
    assert_int_equal(r.layers, 1);
    assert_true(r.bytes_before - r.bytes_after >= 2 * WIDTH * WIDTH * 4);
    assert_true(difference(network(SEPARATE, -1, true), g) < 1e-6);

    /* Without a count, as many as the bound lets go: the silent one, and not the other. */
    o.count = 0;
    o.max_error = 1e-4;
    g = network(SEPARATE, -1, true);
    assert_ok(tn_graph_prune_layers(g, &o, &r));
    assert_int_equal(r.layers, 1);
    tn_graph_destroy(g);
    o.sample_count = 0;
    g = network(SEPARATE, -1, true);
    assert_int_equal(tn_graph_prune_layers(g, &o, &r), TN_E_INVALID);
    tn_graph_destroy(g);
    tn_tensor_destroy(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_that_add_nothing_go_first), cmocka_unit_test(heads_that_are_kept_stay),
        cmocka_unit_test(without_a_head_is_with_its_output_zero),
        cmocka_unit_test(blocks_that_are_not_followed_say_why), cmocka_unit_test(blocks_that_add_nothing_go_first)};
    return cmocka_run_group_tests_name("structure", tests, NULL, NULL);
}
