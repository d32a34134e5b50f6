/* Adaptive rounding: levels are chosen by what they do to products, so outputs keep more of the signal than where each weight
 * is rounded to nearest; no weight moves by more than a step, and the same data give the same levels. */
#include "unit.h"
#include <math.h>
#include <tenon/tenon.h>

enum { SETS = 8, WIDTH = 32 };

static float next(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return (float)(*seed >> 8) / (float)(1u << 23) - 1;
}

static int weights(tn_graph *g, const char *name, int rank, const int64_t *dims) {
    tn_tensor *t;
    int value;
    uint32_t seed = (uint32_t)dims[0] * 31 + (uint32_t)rank;
    assert_ok(tn_tensor_create(TN_FLOAT32, rank, dims, NULL, &t));
    for (int64_t i = 0; i < tn_tensor_count(t); i++) ((float *)tn_tensor_data(t))[i] = 0.3f * next(&seed);
    assert_ok(tn_graph_constant(g, name, t, &value));
    tn_tensor_destroy(t);
    return value;
}

static int node(tn_graph *g, const char *op, int count, const int *in, const tn_attribute *attributes) {
    int out;
    assert_ok(tn_graph_node(g, op, NULL, count, in, 1, &out, attributes));
    return out;
}

/* What products of three kinds look like: [2, 6, WIDTH]. */
static tn_graph *products(void) {
    tn_graph *g;
    int x, y;
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 3, (int64_t[]){2, 6, WIDTH}, &x));
    y = node(g, "MatMul", 2, (int[]){x, weights(g, "w", 2, (int64_t[]){WIDTH, 24})}, NULL);
    assert_ok(tn_graph_output(g, y, "y"));
    return g;
}

/* Convolutions of one and of two axes' steps, in groups and apart, and a dense layer by rows. */
static tn_graph *convolutions(void) {
    tn_graph *g;
    int x;
    const tn_attribute pads = {.name = "pads", .kind = TN_ATTR_INTS, .count = 4, .ints = (int64_t[]){1, 1, 1, 1}};
    const tn_attribute twos = {.name = "strides", .kind = TN_ATTR_INTS, .count = 2, .ints = (int64_t[]){2, 1}};
    const tn_attribute wide = {.name = "dilations", .kind = TN_ATTR_INTS, .count = 2, .ints = (int64_t[]){1, 2}};
    const tn_attribute group = {.name = "group", .kind = TN_ATTR_INT, .i = 2}, end = {0};
    const tn_attribute apart = {.name = "group", .kind = TN_ATTR_INT, .i = 8};
    const tn_attribute rows[] = {{.name = "transB", .kind = TN_ATTR_INT, .i = 1}, {0}};
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 3, (int64_t[]){2, 6, WIDTH}, &x));
    tn_tensor *t;
    int shape;
    assert_ok(tn_tensor_create(TN_INT64, 1, (int64_t[]){4}, NULL, &t));
    memcpy(tn_tensor_data(t), (int64_t[]){2, 2, 12, 8}, 4 * sizeof(int64_t));
    assert_ok(tn_graph_constant(g, "shape", t, &shape));
    tn_tensor_destroy(t);
    x = node(g, "Reshape", 2, (int[]){x, shape}, NULL);
    x = node(g, "Conv", 3,
             (int[]){x, weights(g, "c1", 4, (int64_t[]){8, 2, 3, 3}), weights(g, "b1", 1, (int64_t[]){8})},
             (tn_attribute[]){pads, twos, end});
    x = node(g, "Relu", 1, &x, NULL);
    x = node(g, "Conv", 2, (int[]){x, weights(g, "c2", 4, (int64_t[]){8, 4, 3, 3})},
             (tn_attribute[]){group, wide, end});
    x = node(g, "Conv", 2, (int[]){x, weights(g, "c3", 4, (int64_t[]){8, 1, 2, 2})}, (tn_attribute[]){apart, end});
    x = node(g, "Flatten", 1, &x, NULL);
    x = node(g, "Gemm", 3, (int[]){x, weights(g, "d", 2, (int64_t[]){10, 72}), weights(g, "b2", 1, (int64_t[]){10})},
             rows);
    assert_ok(tn_graph_output(g, x, "y"));
    return g;
}

/* Neighbours are alike, so that errors of their weights add up or cancel. */
static tn_status get(void *context, int64_t index, const tn_tensor **inputs) {
    uint32_t seed = 5 + (uint32_t)index;
    float *x = tn_tensor_data(context), last = 0;
    if (index >= SETS) return TN_E_NOT_FOUND;
    for (int64_t i = 0; i < tn_tensor_count(context); i++) x[i] = last = 0.9f * last + 0.3f * next(&seed);
    inputs[0] = context;
    return TN_OK;
}

static tn_graph *quantize(const tn_graph *graph, const tn_quantize_options *options, double *sqnr) {
    tn_tensor *x;
    tn_graph *made;
    tn_quantize_report *report;
    tn_quantize_summary s = {.struct_size = sizeof s};
    assert_ok(tn_tensor_create(TN_FLOAT32, 3, (int64_t[]){2, 6, WIDTH}, NULL, &x));
    assert_ok(tn_quantize(graph, &(tn_samples){get, x}, options, &made, &report));
    tn_quantize_report_summary(report, &s);
    assert_int_equal(s.int8_layers, s.layers);
    *sqnr = s.sqnr;
    tn_quantize_report_destroy(report);
    tn_tensor_destroy(x);
    return made;
}

static const tn_tensor *constant_named(const tn_graph *graph, const char *name) {
    tn_value_info info;
    for (int v = 0; v < tn_graph_value_count(graph); v++)
        if (tn_graph_value_info(graph, v, &info) == TN_OK && info.constant && strcmp(info.name, name) == 0)
            return info.constant;
    return NULL;
}

static void more_of_the_signal_stays(void **state) {
    (void)state;
    if (!TN_WITH_OPENBLAS) skip();
    for (int kind = 0; kind < 5; kind++) {
        tn_quantize_options o = {.struct_size = sizeof o,
                                 .dynamic = kind == 1,
                                 .per_tensor = kind == 2,
                                 .reduce_range = kind == 3,
                                 .bias_correction = kind == 4};
        tn_graph *graphs[] = {products(), convolutions()};
        for (int i = 0; i < 2; i++) {
            double plain, adaptive, again;
            o.adaptive_rounding = false;
            tn_graph_destroy(quantize(graphs[i], &o, &plain));
            o.adaptive_rounding = true;
            tn_graph_destroy(quantize(graphs[i], &o, &adaptive));
            tn_graph_destroy(quantize(graphs[i], &o, &again));
            /* Rounding is most of the error where ranges are measured anew, or weights are coarse. */
            if (!(adaptive >= plain + (i == 0 && kind % 4 ? 0.5 : 0)))
                fail_msg("graph %d, kind %d: %.2f dB, rounded to nearest %.2f", i, kind, adaptive, plain);
            assert_true(adaptive == again);
        }
        tn_graph_destroy(graphs[0]);
        tn_graph_destroy(graphs[1]);
    }
}

static void no_weight_moves_by_more_than_a_step(void **state) {
    (void)state;
    if (!TN_WITH_OPENBLAS) skip();
    double sqnr;
    tn_quantize_options o = {.struct_size = sizeof o, .adaptive_rounding = true};
    tn_graph *graph = products(), *made = quantize(graph, &o, &sqnr);
    const tn_tensor *w = constant_named(graph, "w"), *q = constant_named(made, "w_q"),
                    *s = constant_named(made, "w_scale");
    assert_non_null(w);
    assert_non_null(q);
    assert_non_null(s);
    int others = 0;
    for (int i = 0; i < WIDTH * 24; i++) {
        const double exact = (double)((const float *)tn_tensor_const_data(w))[i] /
                             (double)((const float *)tn_tensor_const_data(s))[i % 24];
        const double away = fabs(((const int8_t *)tn_tensor_const_data(q))[i] - exact);
        assert_true(away < 1.0001);
        others += away > 0.5001;
    }
    assert_true(others > 0);
    tn_graph_destroy(made);
    tn_graph_destroy(graph);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_of_the_signal_stays),
        cmocka_unit_test(no_weight_moves_by_more_than_a_step),
    };
    return cmocka_run_group_tests_name("rounding", tests, NULL, NULL);
}
