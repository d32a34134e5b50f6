/* Gradients of Softmax and LayerNormalization in float32, which have kernels of their own, are near those in float64, which
 * are written with other operators and match finite differences; and the same bits at any thread count. */
#include "gradient.h"

static const struct {
    const char *op;
    int rank;
    int64_t x[4];
    float epsilon;
} cases[] = {
    {"Softmax", 4, {2, 3, 5, 7}, 0},
    {"Softmax", 2, {300, 65}, 0},
    {"Softmax", 1, {1200}, 0},
    {"Softmax", 2, {4, 1}, 0},
    {"LayerNormalization", 1, {9}, 1e-5f},
    {"LayerNormalization", 2, {5, 1}, 0.1f},
    {"LayerNormalization", 3, {7, 40, 64}, 1e-5f},
    {"LayerNormalization", 2, {65, 1030}, 0.01f},
};

enum { MOST = 3 };

static int gradients(size_t k, tn_dtype dtype, int threads, tn_tensor **out) {
    const bool norm = cases[k].op[0] == 'L';
    const int64_t n = cases[k].x[cases[k].rank - 1];
    const int count = norm ? MOST : 1;
    tn_graph *graph;
    tn_model *model;
    tn_session *session;
    tn_tensor *data[MOST], *wide = some(cases[k].rank, cases[k].x);
    int in[MOST], grads[MOST], y, factors, loss;
    assert_ok(tn_graph_create(NULL, &graph));
    for (int i = 0; i < count; i++) {
        tn_tensor *from = i ? positive_ones(1, &n) : some(cases[k].rank, cases[k].x);
        data[i] = make(dtype, from->rank, from->dims, from->data);
        assert_ok(tn_graph_input(graph, "x", dtype, from->rank, from->dims, &in[i]));
        tn_tensor_destroy(from);
    }
    for (int64_t i = 0; i < tn_count(wide); i++) ((double *)wide->data)[i] = cos(0.9 * (double)i);
    tn_tensor *weights = make(dtype, wide->rank, wide->dims, wide->data);
    tn_tensor_destroy(wide);
    assert_ok(tn_graph_node(graph, cases[k].op, NULL, count, in, 1, &y,
                            norm ? ATTRIBUTES(FLOAT("epsilon", cases[k].epsilon)) : NULL));
    assert_ok(tn_graph_constant(graph, "factors", weights, &factors));
    assert_ok(tn_graph_node(graph, "Mul", NULL, 2, (int[]){y, factors}, 1, &loss, NULL));
    assert_ok(tn_graph_node(graph, "ReduceSum", NULL, 1, &loss, 1, &loss, ATTRIBUTES(INT("keepdims", 0))));
    assert_ok(tn_graph_gradient(graph, loss, count, in, grads));
    for (int i = 0; i < count; i++) assert_ok(tn_graph_output(graph, grads[i], NULL));
    bool own = false;
    for (int i = 0; i < graph->node_count; i++)
        own |= strcmp(graph->nodes[i].op->name, norm ? "LayerNormGrad" : "SoftmaxGrad") == 0;
    assert_int_equal(own, dtype == TN_FLOAT32);
    assert_ok(tn_model_from_graph(graph, NULL, &model));
    const tn_session_options o = {.struct_size = sizeof o, .threads = threads};
    assert_ok(tn_session_create(model, &o, &session));
    for (int i = 0; i < count; i++) assert_ok(tn_session_set_input(session, i, data[i]));
    assert_ok(tn_session_run(session));
    for (int i = 0; i < count; i++) {
        const tn_tensor *grad;
        assert_ok(tn_session_output(session, i, &grad));
        assert_ok(tn_tensor_clone(grad, NULL, &out[i]));
        tn_tensor_destroy(data[i]);
    }
    tn_tensor_destroy(weights);
    tn_session_destroy(session);
    tn_model_destroy(model);
    return count;
}

static void in_float32_are_near_and_the_same_bits_at_any_thread_count(void **state) {
    (void)state;
    for (size_t k = 0; k < TN_COUNT(cases); k++) {
        tn_tensor *wide[MOST], *one[MOST], *three[MOST];
        int count = gradients(k, TN_FLOAT64, 1, wide);
        gradients(k, TN_FLOAT32, 1, one);
        gradients(k, TN_FLOAT32, 3, three);
        for (int i = 0; i < count; i++) {
            assert_int_equal(tn_count(one[i]), tn_count(wide[i]));
            assert_memory_equal(one[i]->data, three[i]->data, tn_tensor_bytes(one[i]));
            double most = 0;
            for (int64_t e = 0; e < tn_count(wide[i]); e++) most = fmax(most, fabs(((const double *)wide[i]->data)[e]));
            for (int64_t e = 0; e < tn_count(wide[i]); e++) {
                double found = (double)((const float *)one[i]->data)[e], expected = ((const double *)wide[i]->data)[e];
                if (!(fabs(found - expected) <= 3e-6 * (most + 0.1)))
                    fail_msg("case %zu, gradient %d, element %lld: %g, not %g", k, i, (long long)e, found, expected);
            }
            tn_tensor_destroy(wide[i]);
            tn_tensor_destroy(one[i]);
            tn_tensor_destroy(three[i]);
        }
    }
}

/* Behind an operator whose gradient is 0 nobody reads the one by x; those by scale and bias stay what they are. */
static void of_a_norm_whose_input_has_no_gradient(void **state) {
    (void)state;
    tn_tensor *found[2][2];
    for (int floored = 0; floored < 2; floored++) {
        tn_graph *graph;
        tn_model *model;
        tn_session *session;
        int in[3], grads[3], y, loss;
        const int64_t n = 6;
        tn_tensor *data[3] = {make(TN_FLOAT32, DIMS(70, n), NULL), make(TN_FLOAT32, DIMS(n), VALUES(1, 2, 3, 4, 5, 6)),
                              make(TN_FLOAT32, DIMS(n), VALUES(6, 5, 4, 3, 2, 1))};
        for (int64_t i = 0; i < tn_count(data[0]); i++) ((float *)data[0]->data)[i] = (float)(i * 7 % 11);
        assert_ok(tn_graph_create(NULL, &graph));
        for (int i = 0; i < 3; i++)
            assert_ok(tn_graph_input(graph, "x", TN_FLOAT32, data[i]->rank, data[i]->dims, &in[i]));
        int norm[3] = {in[0], in[1], in[2]};
        if (floored) assert_ok(tn_graph_node(graph, "Floor", NULL, 1, in, 1, norm, NULL));
        assert_ok(tn_graph_node(graph, "LayerNormalization", NULL, 3, norm, 1, &y, NULL));
        assert_ok(tn_graph_node(graph, "Mul", NULL, 2, (int[]){y, y}, 1, &loss, NULL));
        assert_ok(tn_graph_node(graph, "ReduceSum", NULL, 1, &loss, 1, &loss, ATTRIBUTES(INT("keepdims", 0))));
        assert_ok(tn_graph_gradient(graph, loss, 3, in, grads));
        assert_int_equal(grads[0] >= 0, !floored);
        for (int i = 1; i < 3; i++) assert_ok(tn_graph_output(graph, grads[i], NULL));
        assert_ok(tn_model_from_graph(graph, NULL, &model));
        assert_ok(tn_session_create(model, NULL, &session));
        for (int i = 0; i < 3; i++)
            if (tn_session_set_input(session, i, data[i]) != TN_OK) fail_msg("%s", tn_last_error());
        assert_ok(tn_session_run(session));
        for (int i = 0; i < 2; i++) {
            const tn_tensor *grad;
            assert_ok(tn_session_output(session, i, &grad));
            assert_ok(tn_tensor_clone(grad, NULL, &found[floored][i]));
        }
        tn_session_destroy(session);
        tn_model_destroy(model);
        for (int i = 0; i < 3; i++) tn_tensor_destroy(data[i]);
    }
    for (int i = 0; i < 2; i++) {
        assert_memory_equal(found[0][i]->data, found[1][i]->data, tn_tensor_bytes(found[0][i]));
        tn_tensor_destroy(found[0][i]);
        tn_tensor_destroy(found[1][i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_float32_are_near_and_the_same_bits_at_any_thread_count),
        cmocka_unit_test(of_a_norm_whose_input_has_no_gradient),
    };
    return cmocka_run_group_tests_name("gradient_rows", tests, NULL, NULL);
}
