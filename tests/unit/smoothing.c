/* SmoothQuant: where a few channels are far larger than others, 8 bits keep more of the signal; the float function stays, and
 * a norm whose output others read as well keeps it. */
#include "unit.h"
#include <math.h>
#include <stdlib.h>
#include <tenon/tenon.h>

enum { ROWS = 5, WIDTH = 24, OUT = 12, SETS = 6 };

static float next(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return (float)(*seed >> 8) / (float)(1u << 23) - 1;
}

static int constant(tn_graph *g, const char *name, int rank, const int64_t *dims, float low, float spread,
                    uint32_t seed) {
    tn_tensor *t;
    int value;
    assert_ok(tn_tensor_create(TN_FLOAT32, rank, dims, NULL, &t));
    float *x = tn_tensor_data(t);
    for (int64_t i = 0; i < tn_tensor_count(t); i++) x[i] = low + spread * next(&seed);
    if (strcmp(name, "scale") == 0) x[3] *= 60, x[17] *= 25; /* channels that stand out */
    assert_ok(tn_graph_constant(g, name, t, &value));
    tn_tensor_destroy(t);
    return value;
}

static int op2(tn_graph *g, const char *op, int a, int b) {
    int out;
    assert_ok(tn_graph_node(g, op, op, 2, (int[]){a, b}, 1, &out, NULL));
    return out;
}

/* A norm, two products that read it, and, if `residual`, a sum that does. */
static tn_graph *network(bool residual) {
    static const int64_t square[] = {WIDTH, WIDTH}, flat[] = {WIDTH, OUT}, one[] = {WIDTH};
    tn_graph *g;
    int x, y;
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 3, (int64_t[]){2, ROWS, WIDTH}, &x));
    int in[] = {x, constant(g, "scale", 1, one, 1, 0.2f, 1), constant(g, "shift", 1, one, 0, 0.1f, 2)};
    assert_ok(tn_graph_node(g, "LayerNormalization", "norm", 3, in, 1, &x, NULL));
    y = op2(g, "MatMul", x, constant(g, "w", 2, square, 0, 0.3f, 3));
    int z = op2(g, "MatMul", x, constant(g, "v", 2, square, 0, 0.3f, 4));
    y = op2(g, "Mul", y, z);
    if (residual) y = op2(g, "Add", y, x);
    y = op2(g, "MatMul", y, constant(g, "last", 2, flat, 0, 0.3f, 5));
    assert_ok(tn_graph_output(g, y, "y"));
    return g;
}

static tn_status get(void *context, int64_t index, const tn_tensor **inputs) {
    uint32_t seed = 9 + (uint32_t)index;
    float *x = tn_tensor_data(context);
    if (index >= SETS) return TN_E_NOT_FOUND;
    for (int64_t i = 0; i < tn_tensor_count(context); i++) x[i] = next(&seed);
    inputs[0] = context;
    return TN_OK;
}

static double signal_of(const tn_graph *graph, const tn_quantize_options *options, int *muls, int *int8) {
    tn_tensor *x;
    tn_graph *made;
    tn_quantize_report *report;
    tn_quantize_summary s = {.struct_size = sizeof s};
    tn_node_info info;
    assert_ok(tn_tensor_create(TN_FLOAT32, 3, (int64_t[]){2, ROWS, WIDTH}, NULL, &x));
    assert_ok(tn_quantize(graph, &(tn_samples){get, x}, options, &made, &report));
    tn_quantize_report_summary(report, &s);
    for (int n = *muls = 0; n < tn_graph_node_count(made); n++) {
        assert_ok(tn_graph_node_info(made, n, &info));
        *muls += strcmp(info.op, "Mul") == 0;
    }
    *int8 = s.int8_layers;
    tn_quantize_report_destroy(report);
    tn_graph_destroy(made);
    tn_tensor_destroy(x);
    return s.sqnr;
}

static void channels_that_stand_out_cost_less(void **state) {
    (void)state;
    for (int residual = 0; residual < 2; residual++) {
        int muls, smoothed, int8;
        tn_graph *graph = network(residual);
        tn_quantize_options o = {.struct_size = sizeof o};
        double plain = signal_of(graph, &o, &muls, &int8);
        assert_int_equal(int8, 3);
        assert_int_equal(muls, 1);
        o.smooth = true;
        double smooth = signal_of(graph, &o, &smoothed, &int8);
        assert_int_equal(int8, 3);
        if (!(smooth > plain + 3)) fail_msg("%.1f dB, %.1f smoothed", plain, smooth);
        /* The norm takes the division in. Where a sum reads it too a Mul divides, and another one what that sum gives; of the
         * product of both, which comes out of integers, nothing is divided. */
        assert_int_equal(smoothed, residual ? 3 : 1);
        tn_graph_destroy(graph);
    }
}

/* Exponents are judged by the ranges that the result will have. */
static void whatever_the_calibration_nothing_is_lost(void **state) {
    (void)state;
    static const tn_calibration methods[] = {TN_CALIBRATE_PERCENTILE, TN_CALIBRATE_MSE, TN_CALIBRATE_BEST};
    tn_graph *graph = network(true);
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        int muls, int8;
        tn_quantize_options o = {.struct_size = sizeof o, .calibration = methods[i]};
        double plain = signal_of(graph, &o, &muls, &int8);
        o.smooth = true;
        double smooth = signal_of(graph, &o, &muls, &int8);
        if (!(smooth >= plain)) fail_msg("calibration %zu: %.1f dB, %.1f smoothed", i, plain, smooth);
    }
    tn_graph_destroy(graph);
}

/* Ranges are measured as it runs, but channels on samples. */
static void dynamic_quantization_gains_as_well(void **state) {
    (void)state;
    int muls, int8;
    tn_graph *graph = network(true), *made;
    tn_quantize_options o = {.struct_size = sizeof o, .dynamic = true};
    double plain = signal_of(graph, &o, &muls, &int8);
    o.smooth = true;
    double smooth = signal_of(graph, &o, &muls, &int8);
    assert_int_equal(int8, 3);
    if (!(smooth > plain + 3)) fail_msg("%.1f dB, %.1f smoothed", plain, smooth);
    assert_int_equal(tn_quantize(graph, NULL, &o, &made, NULL), TN_E_INVALID);
    tn_graph_destroy(graph);
}

/* With the other methods on top, bounds, and what is excluded. */
static void it_goes_with_all_else(void **state) {
    (void)state;
    int muls, int8;
    tn_graph *graph = network(true);
    tn_quantize_options o = {.struct_size = sizeof o,
                             .smooth = true,
                             .equalize = true,
                             .bias_correction = true,
                             .calibration = TN_CALIBRATE_BEST,
                             .sensitivity = true};
    assert_true(signal_of(graph, &o, &muls, &int8) > 30);
    o.min_sqnr = 70;
    assert_true(signal_of(graph, &o, &muls, &int8) >= 70);
    assert_true(int8 < 3);
    o.min_sqnr = 0;
    o.exclude = "MatMul";
    assert_true(isinf(signal_of(graph, &o, &muls, &int8)) && int8 == 0);
    assert_int_equal(muls, 1);
    tn_graph_destroy(graph);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(channels_that_stand_out_cost_less),
        cmocka_unit_test(whatever_the_calibration_nothing_is_lost),
        cmocka_unit_test(dynamic_quantization_gains_as_well),
        cmocka_unit_test(it_goes_with_all_else),
    };
    return cmocka_run_group_tests_name("smoothing", tests, NULL, NULL);
}
