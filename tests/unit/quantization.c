/* Quantization after training: what it makes is close to the float graph, the same bits on every CPU, its own fixed point, and
 * odd graphs and data come out well or with a sentence. */
#include "unit.h"
#include <math.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <tenon/tenon.h>

typedef struct {
    tn_graph *g;
    uint32_t seed;
} builder;

static float next(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return (float)(*seed >> 8) / (float)(1u << 23) - 1;
}

static int weights(builder *b, const char *name, int rank, const int64_t *dims, float spread) {
    tn_tensor *t;
    int value;
    assert_ok(tn_tensor_create(TN_FLOAT32, rank, dims, NULL, &t));
    for (int64_t i = 0; i < tn_tensor_count(t); i++) ((float *)tn_tensor_data(t))[i] = spread * next(&b->seed);
    assert_ok(tn_graph_constant(b->g, name, t, &value));
    tn_tensor_destroy(t);
    return value;
}

static int node(builder *b, const char *op, int count, const int *in, const tn_attribute *attributes) {
    int out;
    assert_ok(tn_graph_node(b->g, op, NULL, count, in, 1, &out, attributes));
    return out;
}

static int conv(builder *b, int x, int w, int bias, int64_t group) {
    const tn_attribute a[] = {{.name = "pads", .kind = TN_ATTR_INTS, .count = 4, .ints = (int64_t[]){1, 1, 1, 1}},
                              {.name = "group", .kind = TN_ATTR_INT, .i = group},
                              {0}};
    return node(b, "Conv", bias < 0 ? 2 : 3, (int[]){x, w, bias}, a);
}

static builder begin(int64_t first, int *x) {
    builder b = {.seed = 7};
    assert_ok(tn_graph_create(NULL, &b.g));
    int64_t dims[] = {first ? first : tn_graph_symbol(b.g, "batch"), 3, 8, 8};
    assert_ok(tn_graph_input(b.g, "x", TN_FLOAT32, 4, dims, x));
    return b;
}

static int conv_new(builder *b, int x, int64_t from, int64_t to, int64_t group) {
    int w = weights(b, "w", 4, (int64_t[]){to, from / group, 3, 3}, 0.4f), bias = weights(b, "b", 1, &to, 0.2f);
    return conv(b, x, w, bias, group);
}

/* Convolutions, one of them depthwise, a residual, a gate, pools, a dense layer. */
static tn_graph *network(int64_t batch) {
    int x;
    builder b = begin(batch, &x);
    int y = node(&b, "Relu", 1, (int[]){conv_new(&b, x, 3, 8, 1)}, NULL);
    int z = conv_new(&b, y, 8, 8, 8);
    z = node(&b, "HardSwish", 1, &z, NULL);
    int gate = node(&b, "GlobalAveragePool", 1, &z, NULL);
    gate = node(&b, "Sigmoid", 1, (int[]){conv(&b, gate, weights(&b, "w", 4, (int64_t[]){8, 8, 3, 3}, 0.4f), -1, 1)},
                NULL);
    z = node(&b, "Mul", 2, (int[]){z, gate}, NULL);
    y = node(&b, "Add", 2, (int[]){z, y}, NULL);
    const tn_attribute half[] = {{.name = "kernel_shape", .kind = TN_ATTR_INTS, .count = 2, .ints = (int64_t[]){2, 2}},
                                 {.name = "strides", .kind = TN_ATTR_INTS, .count = 2, .ints = (int64_t[]){2, 2}},
                                 {0}};
    int left = node(&b, "MaxPool", 1, &y, half), right = node(&b, "AveragePool", 1, &y, half);
    const tn_attribute channels[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = 1}, {0}};
    y = node(&b, "Concat", 2, (int[]){left, right}, channels);
    y = node(&b, "Flatten", 1, &y, NULL);
    y = node(&b, "MatMul", 2, (int[]){y, weights(&b, "dense", 2, (int64_t[]){256, 10}, 0.1f)}, NULL);
    y = node(&b, "Add", 2, (int[]){y, weights(&b, "dense.bias", 1, (int64_t[]){10}, 0.5f)}, NULL);
    assert_ok(tn_graph_output(b.g, y, "scores"));
    return b.g;
}

/* Random sets of [2, 3, 8, 8]. */
typedef struct {
    tn_tensor *x;
    int64_t sets;
    float bad; /* an element of the last set, unless 0 */
} random_data;

static tn_status get_random(void *context, int64_t index, const tn_tensor **inputs) {
    random_data *d = context;
    uint32_t seed = 99 + (uint32_t)index * 7919;
    if (index >= d->sets) return TN_E_NOT_FOUND;
    float *x = tn_tensor_data(d->x);
    for (int64_t i = 0; i < tn_tensor_count(d->x); i++) x[i] = next(&seed);
    if (d->bad != 0 && index == d->sets - 1) x[3] = d->bad;
    inputs[0] = d->x;
    return TN_OK;
}

static random_data data_of(int64_t sets, int rank, const int64_t *dims) {
    random_data d = {.sets = sets};
    assert_ok(tn_tensor_create(TN_FLOAT32, rank, dims, NULL, &d.x));
    return d;
}
static random_data data(int64_t sets) {
    return data_of(sets, 4, (int64_t[]){2, 3, 8, 8});
}

static tn_graph *quantize(const tn_graph *graph, random_data *d, const tn_quantize_options *options,
                          tn_quantize_summary *summary) {
    tn_graph *made;
    tn_quantize_report *report;
    assert_ok(tn_quantize(graph, &(tn_samples){get_random, d}, options, &made, &report));
    *summary = (tn_quantize_summary){.struct_size = sizeof *summary};
    tn_quantize_report_summary(report, summary);
    tn_quantize_report_destroy(report);
    return made;
}

static int count_nodes(const tn_graph *graph, const char *op) {
    int count = 0;
    tn_node_info info;
    for (int n = 0; n < tn_graph_node_count(graph); n++)
        if (tn_graph_node_info(graph, n, &info) == TN_OK) count += strcmp(info.op, op) == 0;
    return count;
}

/* Runs on set 0 at that CPU level; takes the graph over. Returns the output's bytes. */
static void *output_of(tn_graph *graph, random_data *d, const char *cpu, size_t *size) {
    tn_model *model;
    tn_session *session;
    const tn_tensor *in[1], *out;
    assert_ok(
        tn_model_from_graph(graph, &(tn_model_options){.struct_size = sizeof(tn_model_options), .cpu = cpu}, &model));
    assert_ok(tn_session_create(model, NULL, &session));
    assert_ok(get_random(d, 0, in));
    assert_ok(tn_session_set_input(session, 0, in[0]));
    assert_ok(tn_session_run(session));
    assert_ok(tn_session_output(session, 0, &out));
    *size = tn_tensor_bytes(out);
    void *bytes = malloc(*size);
    memcpy(bytes, tn_tensor_const_data(out), *size);
    tn_session_destroy(session);
    tn_model_destroy(model);
    return bytes;
}

static void all_layers_become_int8_and_the_signal_stays(void **state) {
    (void)state;
    tn_graph *graph = network(0);
    random_data d = data(4);
    tn_quantize_summary s;
    for (int method = TN_CALIBRATE_MIN_MAX; method <= TN_CALIBRATE_BEST; method++)
        for (int kind = 0; kind < 3; kind++) {
            tn_quantize_options o = {.struct_size = sizeof o,
                                     .calibration = (tn_calibration)method,
                                     .activations = kind ? TN_INT8 : TN_UINT8,
                                     .symmetric = kind == 2};
            tn_graph *made = quantize(graph, &d, &o, &s);
            assert_int_equal(s.samples, 4);
            assert_int_equal(s.layers, 4);
            assert_int_equal(s.int8_layers, 4);
            assert_true(s.bytes_after * 2 < s.bytes_before);
            if (s.sqnr < 18) fail_msg("method %d, kind %d: %.1f dB", method, kind, s.sqnr);
            tn_graph_destroy(made);
        }
    tn_tensor_destroy(d.x);
    tn_graph_destroy(graph);
}

static void what_runs_is_on_integers_alone(void **state) {
    (void)state;
    tn_graph *graph = network(2);
    random_data d = data(2);
    tn_quantize_summary s;
    tn_model *model;
    assert_ok(tn_model_from_graph(quantize(graph, &d, NULL, &s), NULL, &model));
    const tn_graph *runs = tn_model_graph(model);
    static const char *const floats[] = {
        "Conv", "Gemm", "MatMul", "Add", "Mul", "AveragePool", "GlobalAveragePool", "Sigmoid", "HardSwish"};
    for (size_t i = 0; i < TN_COUNT(floats); i++) assert_int_equal(count_nodes(runs, floats[i]), 0);
    assert_int_equal(count_nodes(runs, "QuantizeLinear"), 1);
    assert_int_equal(count_nodes(runs, "DequantizeLinear"), 0); /* the last product gives floats */
    tn_model_destroy(model);
    tn_tensor_destroy(d.x);
    tn_graph_destroy(graph);
}

static void same_bits_at_every_cpu_level(void **state) {
    (void)state;
    tn_graph *graph = network(0);
    random_data d = data(3);
    tn_quantize_summary s;
    size_t size, other;
    void *oracle = output_of(quantize(graph, &d, NULL, &s), &d, "scalar", &size);
    tn_quantize_options o = {.struct_size = sizeof o, .cpu = "scalar"};
    for (int i = 0; tn_cpu_level_at(i); i++) {
        tn_graph *made = quantize(graph, &d, &o, &s); /* ranges come from float runs, which levels round differently */
        void *found = output_of(made, &d, tn_cpu_level_at(i), &other);
        tn_graph *again = quantize(graph, &d, &o, &s);
        void *expected = output_of(again, &d, "scalar", &size);
        assert_int_equal(size, other);
        assert_memory_equal(found, expected, size);
        free(found);
        free(expected);
    }
    free(oracle);
    tn_tensor_destroy(d.x);
    tn_graph_destroy(graph);
}

static void quantized_again_nothing_changes(void **state) {
    (void)state;
    tn_graph *graph = network(0);
    random_data d = data(2);
    tn_quantize_summary s;
    size_t size, other;
    tn_graph *once = quantize(graph, &d, NULL, &s), *twice = quantize(once, &d, NULL, &s);
    assert_int_equal(s.layers, 0);
    assert_int_equal(tn_graph_node_count(once), tn_graph_node_count(twice));
    void *a = output_of(once, &d, NULL, &size), *b = output_of(twice, &d, NULL, &other);
    assert_memory_equal(a, b, size);
    free(a);
    free(b);
    tn_tensor_destroy(d.x);
    tn_graph_destroy(graph);
}

/* Each dequantized weight is within half a step of what it was. */
static void weights_move_by_half_a_step_at_most(void **state) {
    (void)state;
    int x;
    builder b = begin(2, &x);
    uint32_t seed = b.seed; /* the weights are drawn first */
    int y = conv_new(&b, x, 3, 8, 1);
    assert_ok(tn_graph_output(b.g, y, "y"));
    float w[8 * 27];
    for (size_t i = 0; i < TN_COUNT(w); i++) w[i] = 0.4f * next(&seed);
    for (int narrow = 0; narrow < 2; narrow++) {
        random_data d = data(1);
        tn_quantize_summary s;
        tn_quantize_options o = {.struct_size = sizeof o, .reduce_range = narrow};
        tn_graph *made = quantize(b.g, &d, &o, &s);
        bool found = false;
        for (int n = 0; n < tn_graph_node_count(made); n++) {
            tn_node_info info;
            tn_value_info q, scale;
            assert_ok(tn_graph_node_info(made, n, &info));
            if (strcmp(info.op, "DequantizeLinear") != 0) continue;
            assert_ok(tn_graph_value_info(made, info.in[0], &q));
            assert_ok(tn_graph_value_info(made, info.in[1], &scale));
            if (q.dtype != TN_INT8) continue;
            const int8_t *bytes = tn_tensor_const_data(q.constant);
            const float *step = tn_tensor_const_data(scale.constant);
            for (size_t i = 0; i < TN_COUNT(w); i++) {
                assert_true(fabsf((float)bytes[i] * step[i / 27] - w[i]) <= step[i / 27] * 0.5001f);
                assert_true(abs(bytes[i]) <= (narrow ? 64 : 127));
            }
            found = true;
        }
        assert_true(found);
        tn_graph_destroy(made);
        tn_tensor_destroy(d.x);
    }
    tn_graph_destroy(b.g);
}

static void shared_weights_are_quantized_once(void **state) {
    (void)state;
    int x;
    builder b = begin(2, &x);
    int w = weights(&b, "shared", 4, (int64_t[]){3, 3, 3, 3}, 0.3f);
    int y = conv(&b, conv(&b, x, w, -1, 1), w, -1, 1);
    assert_ok(tn_graph_output(b.g, y, "y"));
    random_data d = data(2);
    tn_quantize_summary s;
    tn_graph *made = quantize(b.g, &d, NULL, &s);
    int integers = 0;
    tn_value_info info;
    for (int v = 0; v < tn_graph_value_count(made); v++)
        if (tn_graph_value_info(made, v, &info) == TN_OK && info.constant && info.rank == 4) integers++;
    assert_int_equal(integers, 1);
    assert_int_equal(s.int8_layers, 2);
    assert_true(s.sqnr > 25);
    tn_graph_destroy(made);
    tn_graph_destroy(b.g);
    tn_tensor_destroy(d.x);
}

static void graphs_without_layers_stay_float(void **state) {
    (void)state;
    int x;
    builder b = begin(2, &x);
    assert_ok(tn_graph_output(b.g, node(&b, "Relu", 1, &x, NULL), "y"));
    random_data d = data(1);
    tn_quantize_summary s;
    tn_graph *made = quantize(b.g, &d, NULL, &s);
    assert_int_equal(tn_graph_node_count(made), 1);
    assert_int_equal(s.layers, 0);
    tn_graph_destroy(made);
    tn_graph_destroy(b.g);
    tn_tensor_destroy(d.x);
}

static void excluded_layers_stay_float(void **state) {
    (void)state;
    tn_graph *graph = network(2);
    random_data d = data(1);
    tn_quantize_summary s;
    tn_quantize_options o = {.struct_size = sizeof o, .exclude = "Gemm"};
    tn_graph *made = quantize(graph, &d, &o, &s);
    assert_int_equal(s.int8_layers, 3);
    assert_int_equal(s.layers, 4);
    tn_graph_destroy(made);
    o.exclude = "*";
    made = quantize(graph, &d, &o, &s);
    assert_int_equal(s.int8_layers, 0);
    assert_int_equal(count_nodes(made, "QuantizeLinear"), 0);
    tn_graph_destroy(made);
    tn_graph_destroy(graph);
    tn_tensor_destroy(d.x);
}

/* A value that a float node reads too, an output in the middle, and a weight of zeros. */
static void odd_graphs_keep_their_outputs(void **state) {
    (void)state;
    int x;
    builder b = begin(2, &x);
    int y = conv_new(&b, x, 3, 4, 1);
    assert_ok(tn_graph_output(b.g, y, "middle"));
    int s = node(&b, "Softmax", 1, &y, NULL), r = node(&b, "Relu", 1, &y, NULL);
    int z = conv(&b, r, weights(&b, "zeros", 4, (int64_t[]){4, 4, 3, 3}, 0), -1, 1);
    assert_ok(tn_graph_output(b.g, node(&b, "Add", 2, (int[]){z, s}, NULL), "sum"));
    assert_ok(tn_graph_output(b.g, z, "zeros_out"));
    random_data d = data(2);
    tn_quantize_summary sum;
    tn_graph *made = quantize(b.g, &d, NULL, &sum);
    tn_value_info info;
    static const char *const names[] = {"middle", "sum", "zeros_out"};
    for (int i = 0; i < 3; i++) {
        assert_ok(tn_graph_value_info(made, tn_graph_output_value(made, i), &info));
        assert_string_equal(info.name, names[i]);
    }
    assert_true(sum.sqnr > 30);
    tn_graph_destroy(made);
    tn_graph_destroy(b.g);
    tn_tensor_destroy(d.x);
}

/* ---- bounds ---- */

static void layers_stay_float_until_the_bound_holds(void **state) {
    (void)state;
    tn_graph *graph = network(2);
    random_data d = data(4);
    tn_quantize_summary s, bound;
    tn_graph_destroy(quantize(graph, &d, NULL, &s));
    int before = s.layers + 1;
    for (double more = 3; more < 30; more += 9) {
        tn_quantize_options o = {.struct_size = sizeof o, .min_sqnr = s.sqnr + more};
        tn_graph_destroy(quantize(graph, &d, &o, &bound));
        assert_true(bound.sqnr >= s.sqnr + more);
        assert_true(bound.int8_layers < s.layers && bound.int8_layers <= before);
        before = bound.int8_layers;
    }
    tn_quantize_options o = {.struct_size = sizeof o, .max_drop = 1e-9};
    tn_graph_destroy(quantize(graph, &d, &o, &bound));
    assert_true(bound.metric_after >= bound.metric_before - 1e-9);
    tn_tensor_destroy(d.x);
    tn_graph_destroy(graph);
}

/* A score that the first layer alone spoils: what is seen of it are the outputs. */
static tn_status sum_of_squares(void *context, int64_t set, const tn_tensor *const *outputs, double *sum,
                                double *weight) {
    const float *y = tn_tensor_const_data(outputs[0]);
    for (int64_t i = 0; i < tn_tensor_count(outputs[0]); i++) *sum += (double)y[i] * (double)y[i];
    *weight += 1;
    *(int64_t *)context += set;
    return TN_OK;
}

static tn_status failing_metric(void *context, int64_t set, const tn_tensor *const *outputs, double *sum,
                                double *weight) {
    (void)context;
    (void)outputs;
    *sum = *weight = 1;
    return set ? tn_fail(TN_E_STATE, "the judge is ill") : TN_OK;
}

static void metrics_of_the_host_are_asked_and_heard(void **state) {
    (void)state;
    tn_graph *graph = network(2), *made;
    random_data d = data(3);
    tn_quantize_summary s;
    int64_t sets = 0;
    tn_quantize_options o = {.struct_size = sizeof o, .metric = sum_of_squares, .metric_context = &sets};
    tn_graph_destroy(quantize(graph, &d, &o, &s));
    assert_int_equal(sets, 2 * (0 + 1 + 2));
    assert_true(s.metric_before > 0 && fabs(s.metric_after / s.metric_before - 1) < 0.2);
    o.metric = failing_metric;
    assert_int_equal(tn_quantize(graph, &(tn_samples){get_random, &d}, &o, &made, NULL), TN_E_STATE);
    assert_non_null(strstr(tn_last_error(), "the judge is ill"));
    assert_null(made);
    tn_tensor_destroy(d.x);
    tn_graph_destroy(graph);
}

/* Large boxes and small scores, joined for the output alone. */
static void heads_keep_steps_of_their_own(void **state) {
    (void)state;
    int x;
    builder b = begin(2, &x);
    const tn_attribute channels[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = 1}, {0}};
    int boxes = conv(&b, x, weights(&b, "w", 4, (int64_t[]){4, 3, 3, 3}, 40), -1, 1);
    int scores = conv(&b, x, weights(&b, "w", 4, (int64_t[]){2, 3, 3, 3}, 0.4f), -1, 1);
    scores = node(&b, "Sigmoid", 1, &scores, NULL);
    assert_ok(tn_graph_output(b.g, node(&b, "Concat", 2, (int[]){boxes, scores}, channels), "head"));
    random_data d = data(3);
    tn_quantize_summary s;
    size_t size, other;
    tn_graph *made = quantize(b.g, &d, NULL, &s);
    assert_int_equal(s.int8_layers, 2);
    float *found = output_of(made, &d, NULL, &size), *wanted = output_of(b.g, &d, NULL, &other), most = 0;
    assert_int_equal(size, other);
    for (size_t image = 0; image < 2; image++)
        for (size_t i = 4 * 64; i < 6 * 64; i++)
            most = fmaxf(most, fabsf(found[image * 384 + i] - wanted[image * 384 + i]));
    if (most > 0.03f) fail_msg("scores are off by %g", (double)most);
    free(found);
    free(wanted);
    tn_tensor_destroy(d.x);
}

/* Each channel's mean, of a layer on inputs that rounding moves to one side, is what it is in float. */
static void corrected_biases_bring_back_the_means(void **state) {
    (void)state;
    int x;
    builder b = begin(2, &x);
    x = node(&b, "Relu", 1, (int[]){conv_new(&b, x, 3, 16, 1)}, NULL);
    x = node(&b, "HardSwish", 1, (int[]){conv_new(&b, x, 16, 16, 16)}, NULL);
    assert_ok(tn_graph_output(b.g, conv_new(&b, x, 16, 8, 1), "y"));
    random_data d = data(1);
    tn_quantize_summary s;
    size_t size;
    double shifts[2] = {0, 0};
    tn_graph *made[2];
    for (int corrected = 0; corrected < 2; corrected++) {
        tn_quantize_options o = {.struct_size = sizeof o, .bias_correction = corrected, .weight_bits = 3};
        made[corrected] = quantize(b.g, &d, &o, &s);
    }
    float *wanted = output_of(b.g, &d, NULL, &size);
    for (int corrected = 0; corrected < 2; corrected++) {
        float *found = output_of(made[corrected], &d, NULL, &size);
        for (size_t c = 0; c < 8; c++) {
            double shift = 0;
            for (size_t i = 0; i < 2 * 64; i++) {
                const size_t at = (i / 64 * 8 + c) * 64 + i % 64;
                shift += ((double)found[at] - (double)wanted[at]) / 128;
            }
            shifts[corrected] += fabs(shift);
        }
        free(found);
    }
    if (!(shifts[1] < shifts[0] / 5)) fail_msg("means are off by %g, before by %g", shifts[1], shifts[0]);
    free(wanted);
    tn_tensor_destroy(d.x);
}

static void the_best_ranges_are_better_than_each(void **state) {
    (void)state;
    tn_graph *graph = network(2);
    random_data d = data(4);
    tn_quantize_summary best, s;
    tn_quantize_options o = {.struct_size = sizeof o, .calibration = TN_CALIBRATE_BEST};
    tn_graph_destroy(quantize(graph, &d, &o, &best));
    for (int method = TN_CALIBRATE_MIN_MAX; method < TN_CALIBRATE_BEST; method++) {
        o.calibration = (tn_calibration)method;
        tn_graph_destroy(quantize(graph, &d, &o, &s));
        if (!(best.sqnr >= s.sqnr)) fail_msg("method %d: %g dB, the best has %g", method, s.sqnr, best.sqnr);
    }
    tn_tensor_destroy(d.x);
    tn_graph_destroy(graph);
}

static void corrected_biases_are_no_worse(void **state) {
    (void)state;
    tn_graph *graph = network(2);
    random_data d = data(4);
    tn_quantize_summary plain, corrected;
    tn_quantize_options o = {.struct_size = sizeof o, .bias_correction = true, .reduce_range = true};
    tn_graph_destroy(quantize(graph, &d, &o, &corrected));
    o.bias_correction = false;
    tn_graph_destroy(quantize(graph, &d, &o, &plain));
    assert_true(corrected.sqnr >= plain.sqnr);
    tn_tensor_destroy(d.x);
    tn_graph_destroy(graph);
}

static void timed_layers_are_reported(void **state) {
    (void)state;
    tn_graph *graph = network(2), *made;
    tn_quantize_report *report;
    random_data d = data(1);
    tn_quantize_summary s = {.struct_size = sizeof s};
    tn_quantize_row row = {.struct_size = sizeof row};
    tn_quantize_options o = {.struct_size = sizeof o, .never_slower = true, .sensitivity = true};
    assert_ok(tn_quantize(graph, &(tn_samples){get_random, &d}, &o, &made, &report));
    tn_quantize_report_summary(report, &s);
    assert_true(s.ns_before > 0 && s.ns_after > 0 && s.ns_after <= s.ns_before);
    int rows = 0;
    for (; tn_quantize_report_at(report, rows, &row) == TN_OK; rows++) {
        assert_true(row.ns_before > 0 && row.ns_after > 0 && row.sensitivity > 0);
        assert_true(strcmp(row.form, "int8") == 0 || *row.reason);
    }
    assert_int_equal(rows, 4);
    assert_non_null(strstr(tn_quantize_report_json(report), "\"ns_after\""));
    assert_non_null(strstr(tn_quantize_report_html(report), "</svg>"));
    assert_non_null(strstr(tn_quantize_report_html(report), "Size and signal of all"));
    tn_quantize_report_destroy(report);
    tn_graph_destroy(made);
    tn_tensor_destroy(d.x);
    tn_graph_destroy(graph);
}

static void dynamic_needs_no_data(void **state) {
    (void)state;
    tn_graph *graph = network(0), *made;
    tn_quantize_report *report;
    random_data d = data(2);
    tn_quantize_summary s;
    tn_quantize_options o = {.struct_size = sizeof o, .dynamic = true};
    assert_ok(tn_quantize(graph, NULL, &o, &made, &report));
    assert_int_equal(count_nodes(made, "MatMulInteger"), 1);
    assert_int_equal(count_nodes(made, "ConvInteger"), 3);
    assert_int_equal(count_nodes(made, "Conv") + count_nodes(made, "Gemm") + count_nodes(made, "MatMul"), 0);
    tn_quantize_report_destroy(report);
    tn_graph_destroy(made);
    tn_graph_destroy(quantize(graph, &d, &o, &s));
    assert_int_equal(s.int8_layers, 4);
    assert_true(s.sqnr > 28);
    o.min_sqnr = 10;
    assert_int_equal(tn_quantize(graph, NULL, &o, &made, NULL), TN_E_INVALID);
    assert_int_equal(tn_quantize(graph, NULL, NULL, &made, NULL), TN_E_INVALID);
    tn_tensor_destroy(d.x);
    tn_graph_destroy(graph);
}

/* Weights that a file has as a few numbers and a node are no smaller as 8 bits, so they stay. */
static void computed_weights_do_not_grow(void **state) {
    (void)state;
    int x, y;
    builder b = {.seed = 7};
    assert_ok(tn_graph_create(NULL, &b.g));
    assert_ok(tn_graph_input(b.g, "x", TN_FLOAT32, 2, (int64_t[]){1, 64}, &x));
    tn_tensor *shape;
    int to;
    assert_ok(tn_tensor_create(TN_INT64, 1, (int64_t[]){2}, NULL, &shape));
    memcpy(tn_tensor_data(shape), (int64_t[]){64, 64}, 2 * sizeof(int64_t));
    assert_ok(tn_graph_constant(b.g, "shape", shape, &to));
    tn_tensor_destroy(shape);
    int w = node(&b, "Expand", 2, (int[]){weights(&b, "row", 2, (int64_t[]){1, 64}, 0.3f), to}, NULL);
    y = node(&b, "MatMul", 2, (int[]){x, w}, NULL);
    y = node(&b, "MatMul", 2, (int[]){y, weights(&b, "w", 2, (int64_t[]){64, 8}, 0.3f)}, NULL);
    assert_ok(tn_graph_output(b.g, y, "y"));
    random_data d = data_of(3, 2, (int64_t[]){1, 64});
    tn_quantize_summary s;
    tn_graph *made = quantize(b.g, &d, NULL, &s);
    assert_int_equal(count_nodes(made, "Expand"), 1);
    assert_int_equal(s.int8_layers, 1);
    assert_true(s.bytes_after < s.bytes_before);
    tn_graph_destroy(made);
    tn_graph_destroy(b.g);
    tn_tensor_destroy(d.x);
}

/* The process's memory after 100 sets is what it is after 100,000; fewer where an emulator runs the tests, whose own memory
 * counts as well. */
static void memory_does_not_grow_with_the_samples(void **state) {
    (void)state;
    int x, y;
    builder b = {.seed = 7};
    assert_ok(tn_graph_create(NULL, &b.g));
    assert_ok(tn_graph_input(b.g, "x", TN_FLOAT32, 2, (int64_t[]){1, 16}, &x));
    y = node(&b, "MatMul", 2, (int[]){x, weights(&b, "w", 2, (int64_t[]){16, 8}, 0.3f)}, NULL);
    assert_ok(tn_graph_output(b.g, y, "y"));
    random_data d = data_of(100, 2, (int64_t[]){1, 16});
    tn_quantize_options o = {.struct_size = sizeof o, .calibration = TN_CALIBRATE_ENTROPY};
    tn_quantize_summary s;
    struct rusage before, after;
    tn_graph_destroy(quantize(b.g, &d, &o, &s));
    getrusage(RUSAGE_SELF, &before);
    bool emulated = getenv("TEST_WRAPPER") != NULL;
    d.sets = emulated ? 2000 : 100000;
    tn_graph_destroy(quantize(b.g, &d, &o, &s));
    getrusage(RUSAGE_SELF, &after);
    assert_int_equal(s.samples, d.sets);
    if (after.ru_maxrss - before.ru_maxrss > (emulated ? 4096 : 512))
        fail_msg("%ld kB more", after.ru_maxrss - before.ru_maxrss);
    tn_graph_destroy(b.g);
    tn_tensor_destroy(d.x);
}

static void refuse(random_data d, const tn_quantize_options *options, const char *sentence) {
    tn_graph *graph = network(2), *made = (tn_graph *)1;
    tn_quantize_report *report;
    assert_int_not_equal(tn_quantize(graph, &(tn_samples){get_random, &d}, options, &made, &report), TN_OK);
    assert_null(made);
    assert_null(report);
    if (!strstr(tn_last_error(), sentence)) fail_msg("'%s' has no '%s'", tn_last_error(), sentence);
    tn_graph_destroy(graph);
    tn_tensor_destroy(d.x);
}

static void bad_data_are_refused_with_a_sentence(void **state) {
    (void)state;
    random_data d = data(3);
    refuse(data(0), NULL, "no calibration data");
    d.bad = NAN;
    refuse(d, NULL, "set 2: value 'x': there is a NaN");
    d = data(1);
    d.bad = INFINITY;
    refuse(d, NULL, "infinity");
    refuse(data_of(1, 4, (int64_t[]){2, 3, 8, 9}), NULL, "set 0");
    refuse(data_of(1, 2, (int64_t[]){2, 3}), NULL, "set 0");
    tn_quantize_options o = {.struct_size = sizeof o, .activations = TN_FLOAT32};
    refuse(data(1), &o, "activations are float32");
    o = (tn_quantize_options){.struct_size = sizeof o, .symmetric = true};
    refuse(data(1), &o, "symmetric");
    o = (tn_quantize_options){.struct_size = sizeof o, .percentile = NAN};
    refuse(data(1), &o, "percentile");
    o = (tn_quantize_options){.struct_size = sizeof o, .calibration = (tn_calibration)9};
    refuse(data(1), &o, "calibration number 9");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_layers_become_int8_and_the_signal_stays),
        cmocka_unit_test(what_runs_is_on_integers_alone),
        cmocka_unit_test(same_bits_at_every_cpu_level),
        cmocka_unit_test(quantized_again_nothing_changes),
        cmocka_unit_test(weights_move_by_half_a_step_at_most),
        cmocka_unit_test(shared_weights_are_quantized_once),
        cmocka_unit_test(graphs_without_layers_stay_float),
        cmocka_unit_test(excluded_layers_stay_float),
        cmocka_unit_test(odd_graphs_keep_their_outputs),
        cmocka_unit_test(layers_stay_float_until_the_bound_holds),
        cmocka_unit_test(metrics_of_the_host_are_asked_and_heard),
        cmocka_unit_test(corrected_biases_are_no_worse),
        cmocka_unit_test(corrected_biases_bring_back_the_means),
        cmocka_unit_test(heads_keep_steps_of_their_own),
        cmocka_unit_test(the_best_ranges_are_better_than_each),
        cmocka_unit_test(timed_layers_are_reported),
        cmocka_unit_test(dynamic_needs_no_data),
        cmocka_unit_test(computed_weights_do_not_grow),
        cmocka_unit_test(memory_does_not_grow_with_the_samples),
        cmocka_unit_test(bad_data_are_refused_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
