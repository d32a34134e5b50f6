/* Gradients of convolution, batch normalisation and Relu in float32, which have kernels of their own, are near those in
 * float64, which are written with other operators and match finite differences; and the same bits at any thread count. */
#include "gradient.h"

typedef struct shape {
    int rank;
    int64_t x[4], w[4], stride[2], dilation[2], pads[4], group;
} shape;

static const shape shapes[] = {
    {3, {3, 4, 20}, {6, 4, 3}, {1}, {1}, {1, 1}, 1},
    {3, {33, 3, 50}, {20, 3, 7}, {2}, {1}, {3, 2}, 1},
    {3, {2, 6, 19}, {8, 3, 3}, {1}, {2}, {0, 4}, 2},
    {4, {5, 1, 12, 11}, {6, 1, 5, 5}, {1, 1}, {1, 1}, {2, 2, 2, 2}, 1},
    {4, {40, 6, 9, 8}, {16, 6, 5, 3}, {1, 1}, {1, 1}, {2, 1, 2, 1}, 1},
    {4, {3, 17, 10, 7}, {70, 17, 3, 3}, {2, 1}, {1, 1}, {1, 0, 0, 2}, 1},
    {4, {2, 16, 7, 7}, {32, 16, 1, 1}, {2, 2}, {1, 1}, {0, 0, 0, 0}, 1},
    {4, {2, 8, 9, 9}, {12, 4, 3, 2}, {1, 2}, {2, 1}, {1, 1, 2, 0}, 2},
    {4, {3, 5, 9, 8}, {5, 1, 3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 5},
    {4, {3, 5, 9, 11}, {10, 1, 3, 5}, {2, 3}, {1, 1}, {1, 2, 1, 2}, 5},
    {4, {2, 3, 11, 9}, {3, 1, 3, 3}, {2, 1}, {2, 3}, {3, 0, 0, 3}, 3},
    {3, {4, 6, 30}, {6, 1, 4}, {1}, {1}, {3, 0}, 6},
    {4, {1, 2, 40, 50}, {3, 2, 2, 2}, {1, 1}, {1, 1}, {3, 3, 3, 3}, 1}, /* more padding than the kernel reaches */
    {4, {2, 3, 8, 8}, {4, 3, 2, 2}, {3, 3}, {1, 1}, {0, 0, 0, 0}, 1},   /* windows that leave rows out */
    /* windows that are copied for the product by the weights, planes side by side, of several images at once, Winograd */
    {4, {40, 1, 13, 10}, {24, 1, 10, 4}, {2, 2}, {1, 1}, {5, 1, 4, 2}, 1},
    {4, {3, 3, 12, 9}, {20, 3, 3, 3}, {1, 1}, {1, 2}, {1, 2, 1, 2}, 1},
    {4, {40, 18, 9, 5}, {18, 1, 3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 18},
    {4, {3, 18, 14, 15}, {20, 18, 3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 1},
};

/* relu(batch_norm(y)); in[2], in[3]: scale and bias. */
static int normalise(tn_graph *graph, tn_dtype dtype, int64_t n, int y, int *in) {
    int all[5] = {y}, out[3];
    for (int i = 1; i < 5; i++) {
        tn_tensor *wide = positive_ones(1, &n), *t = make(dtype, 1, &n, (const double *)wide->data);
        if (i < 3)
            assert_ok(tn_graph_input(graph, "n", dtype, 1, &n, &all[i]));
        else
            assert_ok(tn_graph_constant(graph, "n", t, &all[i]));
        tn_tensor_destroy(wide);
        tn_tensor_destroy(t);
    }
    in[2] = all[1];
    in[3] = all[2];
    assert_ok(tn_graph_node(graph, "BatchNormalization", NULL, 5, all, 3, out,
                            ATTRIBUTES(INT("training_mode", 1), FLOAT("epsilon", 0.01f))));
    assert_ok(tn_graph_node(graph, "Relu", NULL, 1, out, 1, &y, NULL));
    return y;
}

enum { MOST = 4 };

static void gradients(const shape *s, bool normalised, tn_dtype dtype, int threads, tn_tensor **out) {
    tn_graph *graph;
    tn_model *model;
    tn_session *session;
    int in[MOST], y, loss, grads[MOST], count = normalised ? 4 : 2;
    const size_t n = (size_t)s->rank - 2;
    const tn_attribute attributes[] = {{.name = "strides", .kind = TN_ATTR_INTS, .count = n, .ints = s->stride},
                                       {.name = "dilations", .kind = TN_ATTR_INTS, .count = n, .ints = s->dilation},
                                       {.name = "pads", .kind = TN_ATTR_INTS, .count = 2 * n, .ints = s->pads},
                                       INT("group", s->group),
                                       {0}};
    tn_tensor *wide[2] = {some(s->rank, s->x), some(s->rank, s->w)}, *narrow[2] = {NULL, NULL};
    assert_ok(tn_graph_create(NULL, &graph));
    for (int i = 0; i < 2; i++) {
        assert_ok(tn_graph_input(graph, "x", dtype, s->rank, i ? s->w : s->x, &in[i]));
        if (dtype == TN_FLOAT64) continue;
        narrow[i] = make(TN_FLOAT32, s->rank, i ? s->w : s->x, NULL);
        for (int64_t e = 0; e < tn_count(narrow[i]); e++)
            ((float *)narrow[i]->data)[e] = (float)((const double *)wide[i]->data)[e];
    }
    assert_ok(tn_graph_node(graph, "Conv", NULL, 2, in, 1, &y, attributes));
    if (normalised) y = normalise(graph, dtype, s->w[0], y, in);
    assert_ok(tn_graph_node(graph, "Mul", NULL, 2, (int[]){y, y}, 1, &loss, NULL));
    assert_ok(tn_graph_node(graph, "ReduceSum", NULL, 1, &loss, 1, &loss, ATTRIBUTES(INT("keepdims", 0))));
    assert_ok(tn_graph_gradient(graph, loss, count, in, grads));
    for (int i = 0; i < count; i++) assert_ok(tn_graph_output(graph, grads[i], NULL));
    assert_ok(tn_model_from_graph(graph, NULL, &model));
    tn_session_options o = {.struct_size = sizeof o, .threads = threads};
    assert_ok(tn_session_create(model, &o, &session));
    for (int i = 0; i < 2; i++) assert_ok(tn_session_set_input(session, i, narrow[i] ? narrow[i] : wide[i]));
    tn_tensor *parameters = positive_ones(1, s->w), *narrowed = make(dtype, 1, s->w, (const double *)parameters->data);
    for (int i = 2; i < count; i++) assert_ok(tn_session_set_input(session, i, narrowed));
    assert_ok(tn_session_run(session));
    for (int i = 0; i < count; i++) {
        const tn_tensor *t;
        assert_ok(tn_session_output(session, i, &t));
        assert_ok(tn_tensor_clone(t, NULL, &out[i]));
    }
    tn_tensor_destroy(parameters);
    tn_tensor_destroy(narrowed);
    for (int i = 0; i < 2; i++) {
        tn_tensor_destroy(wide[i]);
        tn_tensor_destroy(narrow[i]);
    }
    tn_session_destroy(session);
    tn_model_destroy(model);
}

static void check_near(size_t k, bool normalised) {
    tn_tensor *wide[MOST], *one[MOST], *three[MOST];
    /* Beside the largest. The last goes Winograd's way, whose transforms cost two bits each time. */
    const double bound = k + 1 == TN_COUNT(shapes) ? 5e-5 : 1e-5;
    gradients(&shapes[k], normalised, TN_FLOAT64, 1, wide);
    gradients(&shapes[k], normalised, TN_FLOAT32, 1, one);
    gradients(&shapes[k], normalised, TN_FLOAT32, 3, three);
    for (int i = 0; i < (normalised ? 4 : 2); i++) {
        double most = 0;
        /* Behind a normalisation the terms of a weight's gradient add up to nearly nothing, beside which all is far. */
        const bool cancels = normalised && i == 1;
        assert_int_equal(tn_count(wide[i]), tn_count(one[i]));
        for (int64_t e = 0; e < tn_count(one[i]); e++) most = fmax(most, fabs(((const double *)wide[i]->data)[e]));
        for (int64_t e = 0; e < tn_count(one[i]); e++) {
            double found = (double)((const float *)one[i]->data)[e], want = ((const double *)wide[i]->data)[e];
            if (!cancels && !(fabs(found - want) <= bound * most))
                fail_msg("shape %zu, gradient %d, element %lld: %g, not %g", k, i, (long long)e, found, want);
        }
        assert_memory_equal(one[i]->data, three[i]->data, tn_tensor_bytes(one[i]));
        tn_tensor_destroy(wide[i]);
        tn_tensor_destroy(one[i]);
        tn_tensor_destroy(three[i]);
    }
}

static void in_float32_are_near_and_the_same_bits_at_any_thread_count(void **state) {
    (void)state;
    for (size_t k = 0; k < TN_COUNT(shapes); k++) {
        check_near(k, false);
        check_near(k, true);
    }
}

/* By x, of the sum of the squares of what the pool gives. */
static tn_tensor *pool_gradient(int rank, const int64_t *dims, tn_dtype dtype) {
    static const int64_t two[] = {2, 2};
    const size_t n = (size_t)rank - 2;
    tn_graph *graph;
    tn_model *model;
    tn_session *session;
    int x, y, by_x;
    tn_tensor *wide = some(rank, dims), *in = make(dtype, rank, dims, (const double *)wide->data), *out;
    const tn_tensor *found;
    const tn_attribute attributes[] = {{.name = "kernel_shape", .kind = TN_ATTR_INTS, .count = n, .ints = two},
                                       {.name = "strides", .kind = TN_ATTR_INTS, .count = n, .ints = two},
                                       {0}};
    assert_ok(tn_graph_create(NULL, &graph));
    assert_ok(tn_graph_input(graph, "x", dtype, rank, dims, &x));
    assert_ok(tn_graph_node(graph, "MaxPool", NULL, 1, &x, 1, &y, attributes));
    assert_ok(tn_graph_node(graph, "Mul", NULL, 2, (int[]){y, y}, 1, &y, NULL));
    assert_ok(tn_graph_node(graph, "ReduceSum", NULL, 1, &y, 1, &y, ATTRIBUTES(INT("keepdims", 0))));
    assert_ok(tn_graph_gradient(graph, y, 1, &x, &by_x));
    assert_ok(tn_graph_output(graph, by_x, NULL));
    assert_ok(tn_model_from_graph(graph, NULL, &model));
    assert_ok(tn_session_create(model, NULL, &session));
    assert_ok(tn_session_set_input(session, 0, in));
    assert_ok(tn_session_run(session));
    assert_ok(tn_session_output(session, 0, &found));
    assert_ok(tn_tensor_clone(found, NULL, &out));
    tn_session_destroy(session);
    tn_model_destroy(model);
    tn_tensor_destroy(wide);
    tn_tensor_destroy(in);
    return out;
}

static void max_pools_of_pairs_give_what_they_give_in_float64(void **state) {
    static const int64_t dims[][4] = {{2, 3, 9}, {2, 5, 16}, {2, 3, 7, 6}, {3, 2, 8, 12}, {1, 2, 5, 9}};
    (void)state;
    for (size_t k = 0; k < TN_COUNT(dims); k++) {
        tn_tensor *wide = pool_gradient(k < 2 ? 3 : 4, dims[k], TN_FLOAT64);
        tn_tensor *narrow = pool_gradient(k < 2 ? 3 : 4, dims[k], TN_FLOAT32);
        for (int64_t e = 0; e < tn_count(wide); e++)
            assert_float_equal(((const float *)narrow->data)[e], (float)((const double *)wide->data)[e], 1e-6);
        tn_tensor_destroy(wide);
        tn_tensor_destroy(narrow);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_float32_are_near_and_the_same_bits_at_any_thread_count),
        cmocka_unit_test(max_pools_of_pairs_give_what_they_give_in_float64),
    };
    return cmocka_run_group_tests_name("gradient_conv", tests, NULL, NULL);
}
