/* Gradients through QuantizeLinear and DequantizeLinear are those of PyTorch's fake_quantize; what quantization-aware
 * training starts from computes what tn_quantize makes, and ends in the same integers; zeros stay where they shall. */
#include "gradient.h"
#include <stdlib.h>
#include "train/rounding_reference.inc"

enum { COUNT = 24 };

static void gradients_through_rounding_are_those_of_pytorch(void **state) {
    (void)state;
    const int64_t dims[] = {2, 3, 4};
    for (size_t k = 0; k < TN_COUNT(cases); k++) {
        const tn_dtype whole = cases[k].high > 255 ? TN_INT16 : cases[k].low < 0 ? TN_INT8 : TN_UINT8;
        const int64_t scales = cases[k].scales;
        const int rank = cases[k].axis >= 0;
        double numbers[3][COUNT];
        for (int i = 0; i < COUNT; i++) numbers[0][i] = 1.9 * sin(1.3 * i + 0.2), numbers[1][i] = cos(0.7 * i);
        tn_tensor *x = make(TN_FLOAT32, 3, dims, numbers[0]), *factors = make(TN_FLOAT32, 3, dims, numbers[1]);
        for (int i = 0; i < 4; i++) numbers[0][i] = (double)cases[k].scale[i], numbers[1][i] = cases[k].zero[i];
        tn_tensor *scale = make(TN_FLOAT32, rank, &scales, numbers[0]), *zero = make(whole, rank, &scales, numbers[1]);
        tn_graph *graph;
        tn_model *model;
        tn_session *session;
        const tn_tensor *out;
        int in[3], y, by, loss, grad;
        const tn_attribute *axis = rank ? ATTRIBUTES(INT("axis", cases[k].axis)) : NO_ATTRIBUTES;
        assert_ok(tn_graph_create(NULL, &graph));
        assert_ok(tn_graph_input(graph, "x", TN_FLOAT32, 3, dims, &in[0]));
        assert_ok(tn_graph_constant(graph, "scale", scale, &in[1]));
        assert_ok(tn_graph_constant(graph, "zero", zero, &in[2]));
        assert_ok(tn_graph_constant(graph, "factors", factors, &by));
        assert_ok(tn_graph_node(graph, "QuantizeLinear", "q", 3, in, 1, &y, axis));
        assert_ok(tn_graph_node(graph, "DequantizeLinear", "d", 3, (int[]){y, in[1], in[2]}, 1, &y, axis));
        assert_ok(tn_graph_node(graph, "Mul", "m", 2, (int[]){y, by}, 1, &loss, NULL));
        assert_ok(tn_graph_node(graph, "ReduceSum", "s", 1, &loss, 1, &loss, ATTRIBUTES(INT("keepdims", 0))));
        assert_ok(tn_graph_gradient(graph, loss, 1, in, &grad));
        assert_ok(tn_graph_output(graph, y, "y"));
        assert_ok(tn_graph_output(graph, grad, "grad"));
        assert_ok(tn_model_from_graph(graph, NULL, &model));
        assert_ok(tn_session_create(model, NULL, &session));
        assert_ok(tn_session_set_input(session, 0, x));
        assert_ok(tn_session_run(session));
        for (int o = 0; o < 2; o++) {
            assert_ok(tn_session_output(session, o, &out));
            for (int i = 0; i < COUNT; i++) {
                const float found = ((const float *)out->data)[i], expected = o ? cases[k].grad[i] : cases[k].y[i];
                if (!(fabsf(found - expected) <= 1e-6f))
                    fail_msg("case %zu, %s, element %d: %.9g, PyTorch has %.9g", k, o ? "gradient" : "value", i,
                             (double)found, (double)expected);
            }
        }
        tn_session_destroy(session);
        tn_model_destroy(model);
        tn_tensor *all[] = {x, factors, scale, zero};
        for (int i = 0; i < 4; i++) tn_tensor_destroy(all[i]);
    }
}

static void rounding_by_another_scale_is_refused(void **state) {
    (void)state;
    tn_graph *graph;
    tn_tensor *scales[2] = {make(TN_FLOAT32, 0, NULL, VALUES(0.1)), make(TN_FLOAT32, 0, NULL, VALUES(0.2))};
    int x, scale[2], y, grad;
    assert_ok(tn_graph_create(NULL, &graph));
    assert_ok(tn_graph_input(graph, "x", TN_FLOAT32, 0, NULL, &x));
    for (int i = 0; i < 2; i++) assert_ok(tn_graph_constant(graph, "scale", scales[i], &scale[i]));
    assert_ok(tn_graph_node(graph, "QuantizeLinear", "q", 2, (int[]){x, scale[0]}, 1, &y, NULL));
    assert_ok(tn_graph_node(graph, "DequantizeLinear", "d", 2, (int[]){y, scale[1]}, 1, &y, NULL));
    assert_int_equal(tn_graph_gradient(graph, y, 1, &x, &grad), TN_E_UNSUPPORTED);
    assert_non_null(strstr(tn_last_error(), "another scale"));
    for (int i = 0; i < 2; i++) tn_tensor_destroy(scales[i]);
    tn_graph_destroy(graph);
}

/* ---- a network of two layers ---- */

static const int64_t in_dims[] = {8, 2, 5, 5};

static tn_tensor *waves(int rank, const int64_t *dims, double at) {
    tn_tensor *t = make(TN_FLOAT32, rank, dims, NULL);
    for (int64_t i = 0; i < tn_count(t); i++) ((float *)t->data)[i] = (float)sin(at + 1.7 * (double)i);
    return t;
}

static int constant(tn_graph *graph, const char *name, tn_tensor *t) {
    int value;
    assert_ok(tn_graph_constant(graph, name, t, &value));
    tn_tensor_destroy(t);
    return value;
}

static tn_graph *network(void) {
    tn_graph *graph;
    int x, y;
    assert_ok(tn_graph_create(NULL, &graph));
    assert_ok(tn_graph_input(graph, "x", TN_FLOAT32, 4, in_dims, &x));
    int w = constant(graph, "w", waves(DIMS(4, 2, 3, 3), 0.4)), b = constant(graph, "b", waves(DIMS(4), 2));
    assert_ok(tn_graph_node(graph, "Conv", "conv", 3, (int[]){x, w, b}, 1, &y, NULL));
    assert_ok(tn_graph_node(graph, "Relu", "relu", 1, &y, 1, &y, NULL));
    assert_ok(tn_graph_node(graph, "Flatten", "flat", 1, &y, 1, &y, NULL));
    int v = constant(graph, "v", waves(DIMS(36, 3), 1)), c = constant(graph, "c", waves(DIMS(3), 5));
    assert_ok(tn_graph_node(graph, "Gemm", "gemm", 3, (int[]){y, v, c}, 1, &y, NULL));
    assert_ok(tn_graph_output(graph, y, "scores"));
    return graph;
}

static tn_status one_set(void *context, int64_t index, const tn_tensor **inputs) {
    inputs[0] = context;
    return index ? TN_E_NOT_FOUND : TN_OK;
}

/* Takes the graph over. */
static tn_tensor *answer_of(tn_graph *graph, const tn_tensor *x) {
    tn_model *model;
    tn_session *session;
    const tn_tensor *out;
    tn_tensor *copy;
    assert_ok(tn_model_from_graph(graph, NULL, &model));
    assert_ok(tn_session_create(model, NULL, &session));
    assert_ok(tn_session_set_input(session, 0, x));
    assert_ok(tn_session_run(session));
    assert_ok(tn_session_output(session, 0, &out));
    assert_ok(tn_tensor_clone(out, NULL, &copy));
    tn_session_destroy(session);
    tn_model_destroy(model);
    return copy;
}

/* The greatest of all int8 constants but zero points; of no other can weights be. */
static int most_of(const tn_graph *graph, int *out_matrices) {
    int most = 0;
    *out_matrices = 0;
    for (int v = 0; v < graph->value_count; v++) {
        const tn_tensor *t = graph->values[v].constant;
        if (!t || t->dtype != TN_INT8 || t->rank < 2) continue;
        for (int64_t i = 0; i < tn_count(t); i++) most = TN_MAX(most, abs(((const int8_t *)t->data)[i]));
        ++*out_matrices;
    }
    return most;
}

static void what_is_trained_through_rounding_ends_in_the_same_integers(void **state) {
    (void)state;
    tn_tensor *x = waves(4, in_dims, 0);
    for (int bits = 2; bits <= 8; bits += 2)
        for (int per_tensor = 0; per_tensor < 2; per_tensor++) {
            const tn_quantize_options o = {.struct_size = sizeof o, .weight_bits = bits, .per_tensor = per_tensor != 0};
            const tn_samples samples = {one_set, x};
            tn_graph *graph = network(), *whole, *aware, *trained;
            int matrices;
            assert_ok(tn_quantize(graph, &samples, &o, &whole, NULL));
            assert_ok(tn_quantize_aware(graph, &samples, &o, &aware));
            assert_int_equal(most_of(aware, &matrices), 0);
            assert_ok(tn_quantize_trained(aware, &trained));
            assert_int_equal(most_of(whole, &matrices), (1 << (bits - 1)) - 1);
            assert_int_equal(matrices, 2);
            assert_int_equal(most_of(trained, &matrices), (1 << (bits - 1)) - 1);
            assert_int_equal(matrices, 2);
            tn_tensor *answers[] = {answer_of(whole, x), answer_of(trained, x), answer_of(aware, x)};
            assert_int_equal(tn_count(answers[0]), 24);
            assert_memory_equal(answers[1]->data, answers[0]->data, 24 * sizeof(float));
            for (int i = 0; i < 24; i++) /* whose biases are not rounded */
                assert_true(fabsf(((float *)answers[2]->data)[i] - ((float *)answers[0]->data)[i]) < 0.12f);
            for (int i = 0; i < 3; i++) tn_tensor_destroy(answers[i]);
            tn_graph_destroy(graph);
        }
    tn_tensor_destroy(x);
}

/* Weights of 3 bits that learn what the float network says come nearer to it than weights that were rounded. */
static void training_through_rounding_wins_back_what_rounding_lost(void **state) {
    (void)state;
    tn_tensor *x = waves(4, in_dims, 0), *t = answer_of(network(), x);
    const tn_quantize_options o = {.struct_size = sizeof o, .weight_bits = 3};
    const tn_samples samples = {one_set, x};
    tn_graph *graph = network(), *aware;
    tn_trainer *trainer;
    double first, last;
    assert_ok(tn_quantize_aware(graph, &samples, &o, &aware));
    const tn_trainer_options training = {
        .struct_size = sizeof training, .loss = TN_LOSS_MSE, .optimizer = {.kind = TN_ADAM, .rate = 0.01}};
    assert_ok(tn_trainer_create(aware, &training, &trainer));
    assert_int_equal(tn_trainer_parameter_count(trainer), 4);
    assert_ok(tn_trainer_evaluate(trainer, (const tn_tensor *const *)&x, t, &first));
    for (int i = 0; i < 300; i++) assert_ok(tn_trainer_step(trainer, (const tn_tensor *const *)&x, t, NULL));
    assert_ok(tn_trainer_evaluate(trainer, (const tn_tensor *const *)&x, t, &last));
    if (!(last < 0.3 * first)) fail_msg("the loss went from %g to %g", first, last);
    tn_trainer_destroy(trainer);
    tn_graph_destroy(graph);
    tn_tensor_destroy(x);
    tn_tensor_destroy(t);
}

static void zeros_stay_where_they_shall(void **state) {
    (void)state;
    tn_tensor *x = waves(4, in_dims, 0), *t = waves(DIMS(8, 3), 3);
    for (int kind = TN_SGD; kind <= TN_LION; kind++)
        for (int accumulate = 1; accumulate <= 2; accumulate++) {
            tn_graph *graph = network();
            for (int v = 0; v < graph->value_count; v++) {
                const tn_tensor *w = graph->values[v].constant;
                for (int64_t i = 0; w && i < tn_count(w); i += 3) ((float *)w->data)[i] = 0;
            }
            tn_trainer *trainer;
            const tn_trainer_options o = {
                .struct_size = sizeof o,
                .optimizer = {.kind = (tn_optimizer_kind)kind, .rate = 0.01, .weight_decay = 0.01, .l1 = 0.01},
                .accumulate = accumulate,
                .keep_zeros = true};
            assert_ok(tn_trainer_create(graph, &o, &trainer));
            for (int i = 0; i < 6; i++) assert_ok(tn_trainer_step(trainer, (const tn_tensor *const *)&x, t, NULL));
            for (int p = 0; p < tn_trainer_parameter_count(trainer); p++) {
                const tn_tensor *w;
                assert_ok(tn_trainer_parameter(trainer, p, NULL, &w));
                for (int64_t i = 0; i < tn_count(w); i++)
                    if ((((float *)w->data)[i] == 0) != (w->rank > 1 && i % 3 == 0))
                        fail_msg("optimizer %d, parameter %d, element %d is %g", kind, p, (int)i,
                                 (double)((float *)w->data)[i]);
            }
            tn_trainer_destroy(trainer);
        }
    tn_tensor_destroy(x);
    tn_tensor_destroy(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_through_rounding_are_those_of_pytorch),
        cmocka_unit_test(rounding_by_another_scale_is_refused),
        cmocka_unit_test(what_is_trained_through_rounding_ends_in_the_same_integers),
        cmocka_unit_test(training_through_rounding_wins_back_what_rounding_lost),
        cmocka_unit_test(zeros_stay_where_they_shall),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
