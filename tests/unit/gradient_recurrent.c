/* Gradients of recurrent layers match finite differences: both directions, initial states, each output, both layouts. */
#include "gradient.h"

enum { T = 3, N = 2, I = 2, H = 3 };

typedef struct kind {
    const char *op;
    int gates, in, out;
} kind;
static const kind kinds[] = {{"RNN", 1, 6, 2}, {"GRU", 3, 6, 2}, {"LSTM", 4, 7, 3}};

/* Inputs of a layer; without initial states and bias if `bare`. */
static void inputs(const kind *k, int64_t d, bool batch_major, bool bare, tn_tensor **in) {
    const int64_t states[] = {batch_major ? N : d, batch_major ? d : N, H};
    in[0] = batch_major ? some(DIMS(N, T, I)) : some(DIMS(T, N, I));
    in[1] = some(DIMS(d, k->gates * H, I));
    in[2] = some(DIMS(d, k->gates * H, H));
    in[3] = bare ? NULL : some(DIMS(d, 2 * k->gates * H));
    in[4] = NULL;
    for (int i = 5; i < k->in; i++) in[i] = bare ? NULL : some(3, states);
    /* Small recurrent weights keep the gates away from where they are flat. */
    for (int64_t i = 0; i < tn_count(in[2]); i++) ((double *)in[2]->data)[i] *= 0.4;
}

static void check(const kind *k, const char *direction, int which, int layout, int after, bool bare) {
    tn_tensor *in[7];
    const tn_attribute attributes[] = {INT("hidden_size", H),
                                       STRING("direction", direction),
                                       INT("layout", layout),
                                       INT("linear_before_reset", after),
                                       {0}};
    inputs(k, strcmp(direction, "bidirectional") == 0 ? 2 : 1, layout != 0, bare, in);
    /* Those absent would be in the way of the numbering: inputs behind the last one that is there are left out. */
    check_gradient_of(k->op, attributes, bare ? 7 : 0x6f, bare ? 3 : k->in, in, k->out, which);
}

static void of_each_direction_and_output(void **state) {
    (void)state;
    static const char *const directions[] = {"forward", "reverse", "bidirectional"};
    for (size_t k = 0; k < TN_COUNT(kinds); k++)
        for (size_t d = 0; d < TN_COUNT(directions); d++)
            for (int which = 0; which < kinds[k].out; which++) {
                check(&kinds[k], directions[d], which, 0, 0, false);
                check(&kinds[k], directions[d], which, 0, 0, true);
            }
}

static void of_batches_first(void **state) {
    (void)state;
    for (size_t k = 0; k < TN_COUNT(kinds); k++)
        for (int which = 0; which < kinds[k].out; which++) check(&kinds[k], "bidirectional", which, 1, 0, false);
}

static void of_a_reset_after_the_product(void **state) {
    (void)state;
    for (int which = 0; which < 2; which++) {
        check(&kinds[1], "forward", which, 0, 1, false);
        check(&kinds[1], "bidirectional", which, 0, 1, true);
        check(&kinds[1], "bidirectional", which, 1, 1, false);
    }
}

/* In float32 they are those of float64, and the same bits with several threads. */
static tn_tensor *narrow(const tn_tensor *t) {
    tn_tensor *out = make(TN_FLOAT32, t->rank, t->dims, NULL);
    for (int64_t i = 0; i < tn_count(t); i++) ((float *)out->data)[i] = (float)((const double *)t->data)[i];
    return out;
}

enum { LONG = 7, ROWS = 37, WIDE = 19, MOST = 8 };

static void gradients(const kind *k, int after, tn_dtype dtype, int threads, tn_tensor **out) {
    tn_graph *graph;
    tn_model *model;
    tn_session *session;
    int values[7], grads[7], y[3], loss, count = 0;
    tn_tensor *in[7] = {some(DIMS(LONG, ROWS, 5)),
                        some(DIMS(2, k->gates * WIDE, 5)),
                        some(DIMS(2, k->gates * WIDE, WIDE)),
                        some(DIMS(2, 2 * k->gates * WIDE)),
                        NULL,
                        some(DIMS(2, ROWS, WIDE)),
                        k->in > 6 ? some(DIMS(2, ROWS, WIDE)) : NULL};
    for (int64_t i = 0; i < tn_count(in[2]); i++) ((double *)in[2]->data)[i] *= 0.1;
    assert_ok(tn_graph_create(NULL, &graph));
    for (int i = 0; i < k->in; i++) {
        values[i] = -1;
        if (!in[i]) continue;
        assert_ok(tn_graph_input(graph, "x", dtype, in[i]->rank, in[i]->dims, &values[i]));
    }
    assert_ok(tn_graph_node(
        graph, k->op, "layer", k->in, values, k->out, y,
        ATTRIBUTES(INT("hidden_size", WIDE), STRING("direction", "bidirectional"), INT("linear_before_reset", after))));
    assert_ok(tn_graph_node(graph, "Mul", NULL, 2, (int[]){y[0], y[0]}, 1, &loss, NULL));
    assert_ok(tn_graph_node(graph, "ReduceSum", NULL, 1, &loss, 1, &loss, ATTRIBUTES(INT("keepdims", 0))));
    int asked[7];
    for (int i = 0; i < k->in; i++)
        if (in[i]) asked[count++] = values[i];
    assert_ok(tn_graph_gradient(graph, loss, count, asked, grads));
    for (int i = 0; i < count; i++) assert_ok(tn_graph_output(graph, grads[i], NULL));
    assert_ok(tn_model_from_graph(graph, NULL, &model));
    tn_session_options o = {.struct_size = sizeof o, .threads = threads};
    assert_ok(tn_session_create(model, &o, &session));
    tn_tensor *narrowed[7];
    for (int i = 0, at = 0; i < k->in; i++) {
        if (!in[i]) continue;
        narrowed[at] = dtype == TN_FLOAT32 ? narrow(in[i]) : NULL;
        assert_ok(tn_session_set_input(session, at, narrowed[at] ? narrowed[at] : in[i]));
        at++;
    }
    assert_ok(tn_session_run(session));
    for (int i = 0; i < MOST; i++) out[i] = NULL;
    for (int i = 0; i < count; i++) {
        const tn_tensor *t;
        assert_ok(tn_session_output(session, i, &t));
        assert_ok(tn_tensor_clone(t, NULL, &out[i]));
        tn_tensor_destroy(narrowed[i]);
    }
    for (int i = 0; i < 7; i++) tn_tensor_destroy(in[i]);
    tn_session_destroy(session);
    tn_model_destroy(model);
}

static void in_float32_are_near_and_the_same_bits_at_any_thread_count(void **state) {
    (void)state;
    for (size_t k = 0; k < TN_COUNT(kinds); k++)
        for (int after = 0; after < (k == 1 ? 2 : 1); after++) {
            tn_tensor *wide[MOST], *one[MOST], *three[MOST];
            gradients(&kinds[k], after, TN_FLOAT64, 1, wide);
            gradients(&kinds[k], after, TN_FLOAT32, 1, one);
            gradients(&kinds[k], after, TN_FLOAT32, 3, three);
            for (int i = 0; i < MOST && one[i]; i++) {
                double most = 0;
                for (int64_t e = 0; e < tn_count(one[i]); e++)
                    most = fmax(most, fabs(((const double *)wide[i]->data)[e]));
                for (int64_t e = 0; e < tn_count(one[i]); e++) {
                    double found = (double)((const float *)one[i]->data)[e], want = ((const double *)wide[i]->data)[e];
                    if (!(fabs(found - want) <= 2e-5 * most))
                        fail_msg("%s, gradient %d, element %lld: %g, not %g", kinds[k].op, i, (long long)e, found,
                                 want);
                }
                assert_memory_equal(one[i]->data, three[i]->data, tn_tensor_bytes(one[i]));
                tn_tensor_destroy(wide[i]);
                tn_tensor_destroy(one[i]);
                tn_tensor_destroy(three[i]);
            }
        }
}

static void what_has_none_says_so(void **state) {
    (void)state;
    tn_graph *graph;
    int in[3], y, loss, grad;
    tn_tensor *parts[7];
    inputs(&kinds[2], 1, false, true, parts);
    assert_ok(tn_graph_create(NULL, &graph));
    for (int i = 0; i < 3; i++)
        assert_ok(tn_graph_input(graph, "x", TN_FLOAT64, parts[i]->rank, parts[i]->dims, &in[i]));
    assert_ok(tn_graph_node(graph, "LSTM", "layer", 3, in, 1, &y, ATTRIBUTES(INT("hidden_size", H), FLOAT("clip", 1))));
    assert_ok(tn_graph_node(graph, "ReduceSum", NULL, 1, &y, 1, &loss, ATTRIBUTES(INT("keepdims", 0))));
    assert_int_equal(tn_graph_gradient(graph, loss, 1, in, &grad), TN_E_UNSUPPORTED);
    assert_non_null(strstr(tn_last_error(), "node 'layer' (LSTM): with the attribute clip it has no gradient"));
    tn_graph_destroy(graph);
    for (int i = 0; i < 3; i++) tn_tensor_destroy(parts[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_each_direction_and_output),
        cmocka_unit_test(of_batches_first),
        cmocka_unit_test(of_a_reset_after_the_product),
        cmocka_unit_test(in_float32_are_near_and_the_same_bits_at_any_thread_count),
        cmocka_unit_test(what_has_none_says_so),
    };
    return cmocka_run_group_tests_name("gradient_recurrent", tests, NULL, NULL);
}
