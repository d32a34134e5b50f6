/* Passes: each finds the pattern it is for, as exporters write it, and the model gives the same results as without. */
#include "run_model.h"
#include <math.h>

typedef struct {
    tn_graph *g;
    int x;
    uint32_t seed;
} builder;

static float next(builder *b) {
    b->seed = b->seed * 1664525u + 1013904223u;
    return (float)(b->seed >> 8) / (float)(1u << 24) - 0.5f;
}

static int op(builder *b, const char *name, int in_count, const int *in, const tn_attribute *attributes) {
    int out;
    assert_ok(tn_graph_node(b->g, name, NULL, in_count, in, 1, &out, attributes));
    return out;
}

static int op1(builder *b, const char *name, int x) {
    return op(b, name, 1, &x, NULL);
}
static int op2(builder *b, const char *name, int x, int y) {
    return op(b, name, 2, (int[]){x, y}, NULL);
}

static int constant(builder *b, tn_dtype dtype, int rank, const int64_t *dims, const void *data) {
    tn_tensor *t;
    int value;
    assert_ok(tn_tensor_create(dtype, rank, dims, NULL, &t));
    if (data)
        memcpy(tn_tensor_data(t), data, tn_tensor_bytes(t));
    else
        for (int64_t i = 0; i < tn_tensor_count(t); i++) ((float *)tn_tensor_data(t))[i] = next(b);
    assert_ok(tn_graph_constant(b->g, "k", t, &value));
    tn_tensor_destroy(t);
    return value;
}

static int number(builder *b, float x) {
    return constant(b, TN_FLOAT32, 0, NULL, &x);
}
static int random_tensor(builder *b, int rank, const int64_t *dims) {
    return constant(b, TN_FLOAT32, rank, dims, NULL);
}

static int mean(builder *b, int x) {
    return op2(b, "ReduceMean", x, constant(b, TN_INT64, 1, (int64_t[]){1}, (int64_t[]){-1}));
}

static int transpose(builder *b, int x, const int64_t *perm) {
    return op(b, "Transpose", 1, &x,
              (tn_attribute[]){{.name = "perm", .kind = TN_ATTR_INTS, .count = 4, .ints = perm}, {0}});
}

/* ---- patterns: each makes y of x ---- */

static int gelu_of_pytorch(builder *b, int x) {
    int erf = op1(b, "Erf", op2(b, "Div", x, number(b, 1.41421356f)));
    return op2(b, "Mul", op2(b, "Mul", x, op2(b, "Add", erf, number(b, 1))), number(b, 0.5f));
}

static int gelu_half_first(builder *b, int x) {
    int erf = op1(b, "Erf", op2(b, "Mul", x, number(b, 0.70710678f)));
    return op2(b, "Mul", op2(b, "Mul", number(b, 0.5f), x), op2(b, "Add", number(b, 1), erf));
}

static int gelu_by_tanh(builder *b, int x) {
    int cube = op2(b, "Mul", op2(b, "Pow", x, number(b, 3)), number(b, 0.044715f));
    int tanh = op1(b, "Tanh", op2(b, "Mul", op2(b, "Add", x, cube), number(b, 0.79788456f)));
    return op2(b, "Mul", op2(b, "Mul", x, op2(b, "Add", tanh, number(b, 1))), number(b, 0.5f));
}

static int gelu_of_products(builder *b, int x) {
    int cube = op2(b, "Mul", x, op2(b, "Mul", x, op2(b, "Mul", number(b, 0.044715f), x)));
    int tanh = op1(b, "Tanh", op2(b, "Mul", number(b, 0.79788456f), op2(b, "Add", x, cube)));
    return op2(b, "Mul", x, op2(b, "Mul", number(b, 0.5f), op2(b, "Add", number(b, 1), tanh)));
}

static int swish(builder *b, int x) {
    return op2(b, "Mul", x, op1(b, "Sigmoid", x));
}

static int quick_gelu(builder *b, int x) {
    return op2(b, "Mul", x, op1(b, "Sigmoid", op2(b, "Mul", number(b, 1.702f), x)));
}

static int relu6_of_shifted(builder *b, int x) {
    return op(b, "Clip", 3, (int[]){op2(b, "Add", x, number(b, 3)), number(b, 0), number(b, 6)}, NULL);
}

static int hard_swish_by_division(builder *b, int x) {
    return op2(b, "Div", op2(b, "Mul", x, relu6_of_shifted(b, x)), number(b, 6));
}

static int hard_swish_of_hard_sigmoid(builder *b, int x) {
    return op2(b, "Mul", x, op2(b, "Mul", relu6_of_shifted(b, x), number(b, 1.0f / 6)));
}

static int layer_norm(builder *b, int x) {
    int d = op2(b, "Sub", x, mean(b, x));
    int variance = mean(b, op2(b, "Pow", d, number(b, 2)));
    int y = op2(b, "Div", d, op1(b, "Sqrt", op2(b, "Add", variance, number(b, 1e-5f))));
    return op2(b, "Add", op2(b, "Mul", y, random_tensor(b, 1, (int64_t[]){8})), random_tensor(b, 1, (int64_t[]){8}));
}

static int rms_norm(builder *b, int x) {
    int root = op1(b, "Sqrt", op2(b, "Add", mean(b, op2(b, "Mul", x, x)), number(b, 1e-5f)));
    return op2(b, "Mul", random_tensor(b, 1, (int64_t[]){8}), op2(b, "Mul", x, op1(b, "Reciprocal", root)));
}

static int conv(builder *b, int x) {
    return op(b, "Conv", 2, (int[]){x, random_tensor(b, 4, (int64_t[]){3, 3, 1, 1})}, NULL);
}

static int conv_batch_norm_relu(builder *b, int x) {
    int64_t c = 3;
    int variance = constant(b, TN_FLOAT32, 1, &c, (float[]){0.5f, 2, 1});
    int in[5] = {conv(b, x), random_tensor(b, 1, &c), random_tensor(b, 1, &c), random_tensor(b, 1, &c), variance};
    return op1(b, "Relu", op(b, "BatchNormalization", 5, in, NULL));
}

static int conv_scaled_per_channel(builder *b, int x) {
    int y = op2(b, "Mul", conv(b, x), random_tensor(b, 4, (int64_t[]){1, 3, 1, 1}));
    return op1(b, "Sigmoid", op2(b, "Add", y, random_tensor(b, 3, (int64_t[]){3, 1, 1})));
}

/* As tf2onnx writes a convolution of signals: a picture of one row. */
static int conv_of_signal(builder *b, int x) {
    int64_t axis = 2;
    int in[2] = {x, random_tensor(b, 4, (int64_t[]){5, 3, 4, 3})};
    int y = op2(b, "Squeeze", op(b, "Conv", 2, in, NULL), constant(b, TN_INT64, 1, (int64_t[]){1}, &axis));
    return op1(b, "Relu", op2(b, "Add", y, random_tensor(b, 2, (int64_t[]){5, 1})));
}

static int conv_residual(builder *b, int x) {
    return op1(b, "Relu", op2(b, "Add", x, conv(b, x)));
}

static int conv_of_linear(builder *b, int x) {
    int y = op2(b, "Mul", number(b, 0.75f), op1(b, "Abs", x));
    return conv(b, op2(b, "Add", y, random_tensor(b, 3, (int64_t[]){3, 1, 1})));
}

/* As PP-LCNetV3 has it: the padding has no part in what is added. */
static int padded_conv_of_linear(builder *b, int x) {
    static const int64_t pads[] = {1, 1, 1, 1};
    const tn_attribute attributes[] = {{.name = "group", .kind = TN_ATTR_INT, .i = 3},
                                       {.name = "pads", .kind = TN_ATTR_INTS, .count = 4, .ints = pads},
                                       {0}};
    int y = op2(b, "Mul", number(b, -0.5f), op1(b, "HardSwish", conv(b, x)));
    int in[2] = {op2(b, "Add", number(b, 0.375f), y), random_tensor(b, 4, (int64_t[]){6, 1, 3, 3})};
    return op(b, "Conv", 2, in, attributes);
}

/* Here a factor is zero, and nothing can be divided by it. */
static int padded_conv_of_zero(builder *b, int x) {
    static const int64_t pads[] = {1, 1, 1, 1};
    const tn_attribute attributes[] = {{.name = "pads", .kind = TN_ATTR_INTS, .count = 4, .ints = pads}, {0}};
    int64_t channels[] = {3, 1, 1};
    int y = op2(b, "Mul", constant(b, TN_FLOAT32, 3, channels, (float[]){0.5f, 0, 2}), x);
    int in[2] = {op2(b, "Add", y, random_tensor(b, 3, channels)), random_tensor(b, 4, (int64_t[]){4, 3, 3, 3})};
    return op(b, "Conv", 2, in, attributes);
}

static int product_bias_gelu(builder *b, int x) {
    int y = op2(b, "MatMul", x, random_tensor(b, 2, (int64_t[]){8, 5}));
    return gelu_of_pytorch(b, op2(b, "Add", random_tensor(b, 1, (int64_t[]){5}), y));
}

static int product_scaled_residual(builder *b, int x) {
    int y = op2(b, "Div", op2(b, "MatMul", x, random_tensor(b, 2, (int64_t[]){8, 8})), number(b, 3));
    return op1(b, "Tanh", op2(b, "Add", x, y));
}

static int attention(builder *b, int x) { /* x [2, 3, 4, 8] as [batch, rows, heads, width] */
    int q = transpose(b, x, (int64_t[]){0, 2, 1, 3}), k = transpose(b, x, (int64_t[]){0, 2, 3, 1});
    int scores = op2(b, "Div", op2(b, "MatMul", q, k), number(b, 2.82842712f));
    int masked = op2(b, "Add", scores, random_tensor(b, 4, (int64_t[]){2, 1, 1, 3}));
    return op2(b, "MatMul", op1(b, "Softmax", masked), q);
}

/* ---- */

static const struct {
    int (*make)(builder *b, int x);
    const char *becomes;
    int nodes; /* that are left */
} patterns[] = {
    {gelu_of_pytorch, "Gelu", 1},
    {gelu_half_first, "Gelu", 1},
    {gelu_by_tanh, "Gelu", 1},
    {gelu_of_products, "Gelu", 1},
    {swish, "Swish", 1},
    {quick_gelu, "Swish", 1},
    {hard_swish_by_division, "HardSwish", 1},
    {hard_swish_of_hard_sigmoid, "HardSwish", 1},
    {layer_norm, "LayerNormalization", 1},
    {rms_norm, "RMSNormalization", 1},
    {conv_batch_norm_relu, "FusedConv", 1},
    {conv_scaled_per_channel, "FusedConv", 1},
    {conv_residual, "FusedConv", 1},
    {conv_of_signal, "FusedConv", 2},
    {conv_of_linear, "Conv", 2},
    {padded_conv_of_linear, "FusedConv", 2},
    {padded_conv_of_zero, "Add", 3},
    {product_bias_gelu, "FusedMatMul", 1},
    {product_scaled_residual, "FusedMatMul", 1},
    {attention, "ScaledAttention", 3},
};

static tn_model *build(size_t pattern, const char *skip) {
    builder b = {.seed = 42};
    tn_model *model;
    tn_model_options options = {.struct_size = sizeof options, .skip_passes = skip};
    assert_ok(tn_graph_create(NULL, &b.g));
    assert_ok(tn_graph_input(b.g, "x", TN_FLOAT32, 4, (int64_t[]){2, 3, 4, 8}, &b.x));
    assert_ok(tn_graph_output(b.g, patterns[pattern].make(&b, b.x), "y"));
    assert_ok(tn_model_from_graph(b.g, &options, &model));
    return model;
}

static float *run(const tn_model *model, int64_t *count) {
    return run_model(model, (int64_t[]){2, 3, 4, 8}, 2, 1, count);
}

static void patterns_become_one_node(void **state) {
    (void)state;
    for (size_t i = 0; i < TN_COUNT(patterns); i++) {
        tn_model *model = build(i, NULL);
        const tn_graph *graph = tn_model_graph(model);
        tn_node_info info;
        bool found = false;
        for (int n = 0; n < tn_graph_node_count(graph); n++) {
            assert_ok(tn_graph_node_info(graph, n, &info));
            found |= strcmp(info.op, patterns[i].becomes) == 0;
        }
        if (!found || tn_graph_node_count(graph) != patterns[i].nodes)
            fail_msg("pattern %zu: %d nodes, expected %d with %s", i, tn_graph_node_count(graph), patterns[i].nodes,
                     patterns[i].becomes);
        tn_model_destroy(model);
    }
}

static void results_are_those_without_passes(void **state) {
    (void)state;
    for (size_t i = 0; i < TN_COUNT(patterns); i++) {
        tn_model *with = build(i, NULL), *without = build(i, "all");
        int64_t n, m;
        float *a = run(with, &n), *b = run(without, &m);
        assert_int_equal(n, m);
        for (int64_t k = 0; k < n; k++)
            if (!(fabsf(a[k] - b[k]) <= 1e-5f * fmaxf(1, fabsf(b[k]))))
                fail_msg("pattern %zu, element %d: %g with passes, %g without", i, (int)k, (double)a[k], (double)b[k]);
        free(a);
        free(b);
        tn_model_destroy(with);
        tn_model_destroy(without);
    }
}

/* A Sigmoid that somebody else reads must stay. */
static void shared_values_are_not_fused_away(void **state) {
    (void)state;
    builder b = {.seed = 1};
    tn_model *model;
    assert_ok(tn_graph_create(NULL, &b.g));
    assert_ok(tn_graph_input(b.g, "x", TN_FLOAT32, 1, (int64_t[]){8}, &b.x));
    int gate = op1(&b, "Sigmoid", b.x);
    assert_ok(tn_graph_output(b.g, op2(&b, "Mul", b.x, gate), "y"));
    assert_ok(tn_graph_output(b.g, gate, "gate"));
    assert_ok(tn_model_from_graph(b.g, NULL, &model));
    assert_int_equal(tn_graph_node_count(tn_model_graph(model)), 2);
    assert_int_equal(tn_model_output_index(model, "gate"), 1);
    tn_model_destroy(model);
}

static void constants_are_folded_and_repetitions_merged(void **state) {
    (void)state;
    builder b = {.seed = 1};
    tn_model *model;
    assert_ok(tn_graph_create(NULL, &b.g));
    assert_ok(tn_graph_input(b.g, "x", TN_FLOAT32, 1, (int64_t[]){8}, &b.x));
    int k = op2(&b, "Add", number(&b, 1), op1(&b, "Exp", number(&b, 0)));
    int one = op1(&b, "Exp", b.x), other = op1(&b, "Exp", b.x);
    int unused = op1(&b, "Log", b.x);
    (void)unused;
    assert_ok(tn_graph_output(b.g, op2(&b, "Mul", op2(&b, "Sub", one, k), other), "y"));
    assert_ok(tn_model_from_graph(b.g, NULL, &model));
    assert_int_equal(tn_graph_node_count(tn_model_graph(model)), 3);
    tn_model_destroy(model);
}

/* Of any size, where folding a node after the other would leave them to the runs; and a code that the book lacks fails there. */
static void shared_weights_are_looked_up_once(void **state) {
    (void)state;
    static const float book[5] = {-2, 0, 3, 5, 7};
    for (int form = 0; form < 4; form++) {
        const bool nibbles = form & 1, wrong = form & 2;
        const int64_t rows = 1024, columns = 1024;
        builder b = {.seed = 1};
        tn_model *model;
        tn_session *s;
        tn_tensor *codes, *x;
        const tn_tensor *y;
        int weight;
        assert_ok(tn_graph_create(NULL, &b.g));
        assert_ok(tn_graph_input(b.g, "x", TN_FLOAT32, 2, (int64_t[]){rows, columns}, &b.x));
        assert_ok(tn_tensor_create(nibbles ? TN_UINT4 : TN_UINT8, 2, (int64_t[]){rows, columns}, NULL, &codes));
        uint8_t *bytes = tn_tensor_data(codes);
        for (size_t i = 0; i < tn_tensor_bytes(codes); i++)
            bytes[i] = (uint8_t)(nibbles ? i % 5 | i / 5 % 5 << 4 : i % 5);
        if (wrong) bytes[77] = 5;
        assert_ok(tn_graph_constant(b.g, "codes", codes, &weight));
        tn_tensor_destroy(codes);
        int wide =
            op(&b, "Cast", 1, &weight, (tn_attribute[]){{.name = "to", .kind = TN_ATTR_INT, .i = TN_INT32}, {0}});
        weight = op2(&b, "Gather", constant(&b, TN_FLOAT32, 1, (int64_t[]){5}, book), wide);
        assert_ok(tn_graph_output(b.g, op2(&b, "Add", b.x, weight), "y"));
        assert_ok(tn_model_from_graph(b.g, NULL, &model));
        assert_int_equal(tn_graph_node_count(tn_model_graph(model)), wrong ? 3 : 1);
        assert_ok(tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){rows, columns}, NULL, &x));
        memset(tn_tensor_data(x), 0, tn_tensor_bytes(x));
        assert_ok(tn_session_create(model, NULL, &s));
        assert_ok(tn_session_set_input(s, 0, x));
        if (wrong) {
            assert_int_not_equal(tn_session_run(s), TN_OK);
        } else {
            assert_ok(tn_session_run(s));
            assert_ok(tn_session_output(s, 0, &y));
            const float *found = tn_tensor_const_data(y);
            for (int64_t i = 0; i < rows * columns; i++) {
                const int64_t code = nibbles ? i % 2 ? i / 2 / 5 % 5 : i / 2 % 5 : i % 5;
                assert_true(found[i] == book[code]);
            }
        }
        tn_session_destroy(s);
        tn_model_destroy(model);
        tn_tensor_destroy(x);
    }
}

/* Cast at the borders alone: none beside the node that moves, though it knows half precision itself. */
static void half_precision_stays_wide_between_operators_that_compute(void **state) {
    (void)state;
    static const char *const expected[] = {"Cast", "Exp", "Transpose", "Log", "Cast"};
    builder b = {.seed = 1};
    tn_model *model;
    tn_node_info info;
    assert_ok(tn_graph_create(NULL, &b.g));
    assert_ok(tn_graph_input(b.g, "x", TN_FLOAT16, 4, (int64_t[]){2, 3, 4, 8}, &b.x));
    int moved = transpose(&b, op1(&b, "Exp", b.x), (int64_t[]){3, 1, 2, 0});
    assert_ok(tn_graph_output(b.g, op1(&b, "Log", moved), "y"));
    assert_ok(tn_model_from_graph(b.g, NULL, &model));
    const tn_graph *graph = tn_model_graph(model);
    assert_int_equal(tn_graph_node_count(graph), TN_COUNT(expected));
    for (int n = 0; n < tn_graph_node_count(graph); n++) {
        assert_ok(tn_graph_node_info(graph, n, &info));
        assert_string_equal(info.op, expected[n]);
    }
    tn_model_destroy(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_become_one_node),
        cmocka_unit_test(results_are_those_without_passes),
        cmocka_unit_test(shared_values_are_not_fused_away),
        cmocka_unit_test(constants_are_folded_and_repetitions_merged),
        cmocka_unit_test(shared_weights_are_looked_up_once),
        cmocka_unit_test(half_precision_stays_wide_between_operators_that_compute),
    };
    return cmocka_run_group_tests_name("passes", tests, NULL, NULL);
}
