/* Quantized models: float nodes between DequantizeLinear and QuantizeLinear become operators on integers, and give what the
 * float nodes give, up to one step where sums are rounded. */
#include "qdq.h"
#include <math.h>

/* ---- patterns, on x float32[2, 4, 6, 5]; `in` is x through 8 bits, scale 0.02, zero point 120 ---- */
static int conv(builder *b, int in, bool per_channel) {
    int w = weights(b, 4, (int64_t[]){8, 4, 3, 3}, per_channel, 0);
    int64_t maps = 8;
    float scales[8];
    for (int i = 0; i < 8; i++) scales[i] = 0.02f * (0.004f + (per_channel ? 0.001f * (float)i : 0));
    int bias = constant(b, TN_INT32, 1, &maps, (int32_t[]){100, -2000, 300, 4000, -50, 0, 7, 1});
    int s = constant(b, TN_FLOAT32, 1, &maps, scales), z = constant(b, TN_INT32, 1, &maps, (int32_t[8]){0});
    tn_attribute axis[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = 0}, {0}};
    tn_attribute pads[] = {{.name = "pads", .kind = TN_ATTR_INTS, .count = 4, .ints = (int64_t[]){1, 1, 1, 1}}, {0}};
    return node(b, "Conv", 3, (int[]){in, w, node(b, "DequantizeLinear", 3, (int[]){bias, s, z}, axis)}, pads);
}
static int conv_per_channel(builder *b, int in) {
    return through(b, conv(b, in, true), 0.1f, 100);
}
static int conv_relu(builder *b, int in) {
    return through(b, op1(b, "Relu", conv(b, in, false)), 0.1f, 100);
}
static int conv_clip(builder *b, int in) {
    int y = node(b, "Clip", 3, (int[]){conv(b, in, true), number(b, -1), number(b, 6)}, NULL);
    return through(b, y, 0.1f, 30);
}
static int depthwise(builder *b, int in) {
    int w = weights(b, 4, (int64_t[]){4, 1, 3, 3}, true, 0);
    tn_attribute at[] = {{.name = "group", .kind = TN_ATTR_INT, .i = 4},
                         {.name = "strides", .kind = TN_ATTR_INTS, .count = 2, .ints = (int64_t[]){2, 2}},
                         {.name = "pads", .kind = TN_ATTR_INTS, .count = 4, .ints = (int64_t[]){1, 1, 1, 1}},
                         {0}};
    return through(b, node(b, "Conv", 2, (int[]){in, w}, at), 0.05f, 128);
}
static int residual(builder *b, int in) {
    int w = weights(b, 4, (int64_t[]){4, 4, 1, 1}, true, 0);
    int y = through(b, op2(b, "Conv", in, w), 0.03f, 110);
    return through(b, op2(b, "Add", y, in), 0.05f, 128);
}
/* Enough channels for every way that a convolution may go. */
static int wide(builder *b, int in) {
    tn_attribute pads[] = {{.name = "pads", .kind = TN_ATTR_INTS, .count = 4, .ints = (int64_t[]){1, 1, 0, 2}}, {0}};
    int y = through(b, op2(b, "Conv", in, weights(b, 4, (int64_t[]){32, 4, 1, 1}, false, 0)), 0.03f, 110);
    y = node(b, "Conv", 2, (int[]){y, weights(b, 4, (int64_t[]){16, 32, 3, 3}, false, 0)}, pads);
    return through(b, y, 0.15f, 128);
}
static int gate(builder *b, int in) {
    int w = weights(b, 4, (int64_t[]){4, 4, 1, 1}, true, 0);
    int y = through(b, op1(b, "GlobalAveragePool", in), 0.01f, 128);
    y = through(b, op1(b, "HardSigmoid", through(b, op2(b, "Conv", y, w), 0.02f, 128)), 0.004f, 0);
    return through(b, op2(b, "Mul", in, y), 0.02f, 100);
}
static int product(builder *b, int in) {
    return through(b, op2(b, "MatMul", in, weights(b, 2, (int64_t[]){5, 7}, true, 1)), 0.05f, 128);
}
static int gemm(builder *b, int in) {
    tn_attribute axis[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = 1}, {0}};
    tn_attribute trans[] = {{.name = "transB", .kind = TN_ATTR_INT, .i = 1}, {0}};
    int flat = node(b, "Flatten", 1, &in, axis), w = weights(b, 2, (int64_t[]){3, 120}, true, 0);
    return through(b, node(b, "Gemm", 2, (int[]){flat, w}, trans), 0.2f, 128);
}
/* Products that stay float, with their bias, and in a Relu what reads them. */
static int float_product(builder *b, int in) {
    const int64_t columns = 7;
    int bias = constant(b, TN_FLOAT32, 1, &columns, (float[]){1, -2, 0.25f, 3, -0.5f, 0, 7});
    int y = op2(b, "MatMul", in, weights(b, 2, (int64_t[]){5, 7}, true, 1));
    return op1(b, "Relu", op2(b, "Add", bias, y));
}
static int float_gemm(builder *b, int in) {
    tn_attribute axis[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = 1}, {0}};
    tn_attribute trans[] = {{.name = "transB", .kind = TN_ATTR_INT, .i = 1}, {0}};
    const int64_t rows = 3;
    int flat = node(b, "Flatten", 1, &in, axis), w = weights(b, 2, (int64_t[]){3, 120}, true, 0);
    int sums = constant(b, TN_INT32, 1, &rows, (int32_t[]){100, -2000, 30000}),
        z = constant(b, TN_INT32, 1, &rows, (int32_t[3]){0});
    int units = constant(b, TN_FLOAT32, 1, &rows, (float[]){0.02f * 0.004f, 0.02f * 0.005f, 0.02f * 0.006f});
    return node(b, "Gemm", 3, (int[]){flat, w, dequantize(b, sums, units, z)}, trans);
}
static int pools(builder *b, int in) {
    tn_attribute at[] = {{.name = "kernel_shape", .kind = TN_ATTR_INTS, .count = 2, .ints = (int64_t[]){2, 2}}, {0}};
    int most = node(b, "MaxPool", 1, &in, at), s = number(b, 0.02f), z = byte(b, b->dtype == TN_INT8 ? -8 : 120);
    most = dequantize(b, quantize(b, most, s, z), s, z);
    return through(b, node(b, "AveragePool", 1, &most, at), 0.02f, 120);
}
static int concat(builder *b, int in) {
    tn_attribute at[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = 1}, {0}};
    int other = through(b, op1(b, "Sigmoid", in), 0.004f, 0);
    return through(b, node(b, "Concat", 2, (int[]){in, other}, at), 0.03f, 90);
}
/* x * clip(x + 3, 0, 6) / 6, each step through 8 bits. */
static int hard_swish(builder *b, int in) {
    int three = dequantize(b, byte(b, 127), number(b, 3.0f / 127), byte(b, 0));
    int y = through(b, op2(b, "Add", in, three), 0.024f, 0);
    y = through(b, op2(b, "Mul", in, y), 0.06f, 20);
    return through(b, op2(b, "Div", y, number(b, 6)), 0.01f, 20);
}
static int moves(builder *b, int in) {
    tn_attribute at[] = {{.name = "perm", .kind = TN_ATTR_INTS, .count = 4, .ints = (int64_t[]){0, 2, 3, 1}}, {0}};
    int y = node(b, "Transpose", 1, &in, at), s = number(b, 0.02f), z = byte(b, b->dtype == TN_INT8 ? -8 : 120);
    y = dequantize(b, quantize(b, y, s, z), s, z);
    return through(b, op1(b, "Relu", y), 0.01f, 0);
}

static const struct {
    int (*make)(builder *b, int in);
    const char *becomes;
    int nodes;  /* that are left, with the first QuantizeLinear and the last DequantizeLinear, if there is one */
    float step; /* of the output; of floats, what sums may differ by */
} patterns[] = {
    {conv_per_channel, "QLinearConv", 3, 0.1f},
    {conv_relu, "QTable", 4, 0.1f},
    {conv_clip, "QTable", 4, 0.1f},
    {depthwise, "QLinearConv", 3, 0.05f},
    {residual, "QLinearAdd", 4, 0.05f},
    {wide, "QLinearConv", 4, 0.15f},
    {gate, "QLinearMul", 6, 0.02f},
    {product, "QLinearMatMul", 3, 0.05f},
    {gemm, "QGemm", 4, 0.2f},
    {float_product, "MatMulIntegerToFloat", 3, 2e-4f},
    {float_gemm, "QGemm", 3, 2e-4f},
    {pools, "QLinearAveragePool", 4, 0.02f},
    {concat, "QLinearConcat", 4, 0.03f},
    {hard_swish, "QTable", 3, 0.01f},
    {moves, "QTable", 4, 0.01f},
};

static tn_model *build(size_t pattern, tn_dtype dtype, const char *skip, const char *cpu) {
    builder b = {.seed = 42, .dtype = dtype};
    tn_model *model;
    tn_model_options options = {.struct_size = sizeof options, .skip_passes = skip, .cpu = cpu};
    assert_ok(tn_graph_create(NULL, &b.g));
    assert_ok(tn_graph_input(b.g, "x", TN_FLOAT32, 4, (int64_t[]){2, 4, 6, 5}, &b.x));
    assert_ok(tn_graph_output(b.g, patterns[pattern].make(&b, through(&b, b.x, 0.02f, 120)), "y"));
    assert_ok(tn_model_from_graph(b.g, &options, &model));
    return model;
}

static float *run(tn_model *model, int64_t *count) {
    float *y = run_model(model, (int64_t[]){2, 4, 6, 5}, 1, 1, count);
    tn_model_destroy(model);
    return y;
}

static const tn_dtype kinds[] = {TN_UINT8, TN_INT8};

static void patterns_become_integer_operators(void **state) {
    (void)state;
    for (size_t i = 0; i < TN_COUNT(patterns); i++)
        for (size_t k = 0; k < TN_COUNT(kinds); k++) {
            tn_model *with = build(i, kinds[k], "qlast", NULL);
            const tn_graph *graph = tn_model_graph(with);
            tn_node_info info;
            bool found = false;
            for (int n = 0; n < tn_graph_node_count(graph); n++) {
                assert_ok(tn_graph_node_info(graph, n, &info));
                found |= strcmp(info.op, patterns[i].becomes) == 0;
            }
            if (!found || tn_graph_node_count(graph) != patterns[i].nodes)
                fail_msg("pattern %zu: %d nodes, expected %d with %s", i, tn_graph_node_count(graph), patterns[i].nodes,
                         patterns[i].becomes);
            tn_model_destroy(with);
        }
}

static void results_are_within_a_step_of_the_float_nodes(void **state) {
    (void)state;
    for (size_t i = 0; i < TN_COUNT(patterns); i++)
        for (size_t k = 0; k < TN_COUNT(kinds); k++) {
            int64_t n, m;
            float *a = run(build(i, kinds[k], NULL, NULL), &n), *b = run(build(i, kinds[k], "all", NULL), &m);
            int differ = 0;
            assert_int_equal(n, m);
            for (int64_t e = 0; e < n; e++) {
                differ += fabsf(a[e] - b[e]) > 0.5f * patterns[i].step;
                if (!(fabsf(a[e] - b[e]) <= 1.001f * patterns[i].step))
                    fail_msg("pattern %zu, element %d: %g with passes, %g without", i, (int)e, (double)a[e],
                             (double)b[e]);
            }
            if (differ > n / 20 + 1) fail_msg("pattern %zu: %d of %d elements differ", i, differ, (int)n);
            free(a), free(b);
        }
}

static void results_are_the_same_bits_at_every_cpu_level(void **state) {
    (void)state;
    for (size_t i = 0; i < TN_COUNT(patterns); i++) {
        int64_t n, m;
        float *want = run(build(i, TN_UINT8, NULL, "scalar"), &n);
        for (int level = 1; tn_cpu_level_at(level); level++) {
            float *got = run(build(i, TN_UINT8, NULL, tn_cpu_level_at(level)), &m);
            assert_int_equal(n, m);
            assert_memory_equal(got, want, (size_t)n * sizeof *got);
            free(got);
        }
        free(want);
    }
}

/* With channels last, what follows a convolution is part of it: the graph is QuantizeLinear, Transpose, two QConv, Transpose,
 * DequantizeLinear. */
static void regions_have_channels_last_and_transposes_at_their_edges_alone(void **state) {
    (void)state;
    static const char *const expected[] = {"QuantizeLinear", "Transpose", "QConv",
                                           "QConv",          "Transpose", "DequantizeLinear"};
    builder b = {.seed = 1, .dtype = TN_UINT8};
    tn_model *model;
    tn_node_info info;
    assert_ok(tn_graph_create(NULL, &b.g));
    assert_ok(tn_graph_input(b.g, "x", TN_FLOAT32, 4, (int64_t[]){2, 4, 6, 5}, &b.x));
    int y = conv_clip(&b, residual(&b, through(&b, b.x, 0.02f, 120)));
    assert_ok(tn_graph_output(b.g, y, "y"));
    assert_ok(tn_model_from_graph(b.g, NULL, &model));
    assert_int_equal(tn_graph_node_count(tn_model_graph(model)), TN_COUNT(expected));
    for (size_t n = 0; n < TN_COUNT(expected); n++) {
        assert_ok(tn_graph_node_info(tn_model_graph(model), (int)n, &info));
        assert_string_equal(info.op, expected[n]);
    }
    tn_model_destroy(model);
}

/* What somebody else reads in float stays, and so does what a constant quantization cannot be told of. */
static void values_that_are_read_in_float_stay(void **state) {
    (void)state;
    builder b = {.seed = 1, .dtype = TN_UINT8};
    tn_model *model;
    assert_ok(tn_graph_create(NULL, &b.g));
    assert_ok(tn_graph_input(b.g, "x", TN_FLOAT32, 4, (int64_t[]){2, 4, 6, 5}, &b.x));
    int y = conv(&b, through(&b, b.x, 0.02f, 120), true);
    assert_ok(tn_graph_output(b.g, through(&b, y, 0.1f, 100), "quantized"));
    assert_ok(tn_graph_output(b.g, y, "plain"));
    assert_ok(tn_model_from_graph(b.g, NULL, &model));
    tn_node_info info;
    for (int n = 0; n < tn_graph_node_count(tn_model_graph(model)); n++) {
        assert_ok(tn_graph_node_info(tn_model_graph(model), n, &info));
        assert_string_not_equal(info.op, "QLinearConv");
    }
    tn_model_destroy(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_become_integer_operators),
        cmocka_unit_test(results_are_within_a_step_of_the_float_nodes),
        cmocka_unit_test(results_are_the_same_bits_at_every_cpu_level),
        cmocka_unit_test(regions_have_channels_last_and_transposes_at_their_edges_alone),
        cmocka_unit_test(values_that_are_read_in_float_stay),
    };
    return cmocka_run_group_tests_name("qdq", tests, NULL, NULL);
}
