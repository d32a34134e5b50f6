/* Losses are PyTorch's (tests/train/loss_reference.py printed the numbers), and their gradients match finite differences. */
#include "gradient.h"
#include "train/train.h"

static const float weights[] = {1, 2, 0.5f};

static const struct {
    const char *name;
    tn_loss loss;
    tn_loss_options options;
    double expected;
} cases[] = {
    {"smoothing", TN_LOSS_CROSS_ENTROPY, {.label_smoothing = 0.1}, 0.889111134592271},
    {"weights", TN_LOSS_CROSS_ENTROPY, {.class_weights = weights, .class_count = 3}, 0.439726773729906},
    {"both",
     TN_LOSS_CROSS_ENTROPY,
     {.label_smoothing = 0.2, .class_weights = weights, .class_count = 3},
     0.634775363884689},
    {"focal", TN_LOSS_FOCAL, {.focus = 0}, 0.443120221672373},
    {"focal with weights",
     TN_LOSS_FOCAL,
     {.focus = 3.5, .class_weights = weights, .class_count = 3},
     0.183390545224789},
    {"divergence", TN_LOSS_KL, {.focus = 0}, 0.00622242552610683},
    {"soft", TN_LOSS_SOFT_CROSS_ENTROPY, {.focus = 0}, 0.707206711876485},
    {"soft, with all",
     TN_LOSS_SOFT_CROSS_ENTROPY,
     {.label_smoothing = 0.2, .class_weights = weights, .class_count = 3},
     0.99457472771304},
    {"temporal", TN_LOSS_CTC, {.focus = 0}, 2.0083296085843},
    {"temporal, empty", TN_LOSS_CTC, {.focus = 0}, 2.43462572860909},
    {"quantile", TN_LOSS_QUANTILE, {.quantile = 0.3}, 0.255307947513358},
};

/* Softmax over axis 1 of [2, 3, 2] of what the reference has, but for one that is 0. */
static tn_tensor *distribution(void) {
    tn_tensor *t = some(DIMS(2, 3, 2)), *more = some(DIMS(3, 2));
    double *x = t->data;
    for (int n = 0; n < 2; n++)
        for (int i = 0; i < 2; i++) {
            double sum = 0;
            for (int c = 0; c < 3; c++) {
                double *at = x + (n * 3 + c) * 2 + i;
                *at = exp(0.7 * *at + 0.1 * ((const double *)more->data)[c * 2 + i]);
                sum += *at;
            }
            for (int c = 0; c < 3; c++) x[(n * 3 + c) * 2 + i] /= sum;
        }
    x[0] = 0;
    tn_tensor_destroy(more);
    return t;
}

static void check_loss(size_t k) {
    const tn_trainer_options o = {.struct_size = sizeof o, .loss = cases[k].loss, .loss_options = cases[k].options};
    const bool labels = o.loss == TN_LOSS_CROSS_ENTROPY || o.loss == TN_LOSS_FOCAL;
    tn_graph *graph;
    tn_model *model;
    tn_session *session;
    int y, target, loss, grad;
    const bool one_empty = strstr(cases[k].name, "empty") != NULL;
    tn_tensor *x = o.loss == TN_LOSS_QUANTILE            ? some(DIMS(2, 3))
                   : o.loss == TN_LOSS_CTC && !one_empty ? some(DIMS(3, 4, 7))
                                                         : some(DIMS(2, 3, 2)),
              *t;
    if (labels) {
        t = make(TN_INT64, DIMS(2, 2), VALUES(1, 0, 2, 1));
    } else if (o.loss == TN_LOSS_CTC) {
        t = one_empty ? make(TN_INT64, DIMS(2, 2), VALUES(-1, 1, 2, 1))
                      : make(TN_INT64, DIMS(3, 4), VALUES(1, 2, 3, -1, 2, 2, -1, -1, 3, 1, 1, 2));
    } else if (o.loss == TN_LOSS_KL || o.loss == TN_LOSS_SOFT_CROSS_ENTROPY) {
        t = distribution();
    } else {
        tn_tensor *half = some(DIMS(3, 2));
        for (int i = 0; i < 6; i++) ((double *)half->data)[i] *= 0.5;
        t = make(TN_FLOAT64, DIMS(2, 3), half->data);
        tn_tensor_destroy(half);
    }
    assert_ok(tn_loss_check(&o));
    assert_ok(tn_graph_create(NULL, &graph));
    assert_ok(tn_graph_input(graph, "y", TN_FLOAT64, x->rank, x->dims, &y));
    assert_ok(tn_loss_target(graph, o.loss, y, &target));
    assert_ok(tn_loss_nodes(graph, &o, &y, target, &loss));
    assert_ok(tn_graph_gradient(graph, loss, 1, &y, &grad));
    assert_ok(tn_graph_output(graph, loss, "loss"));
    assert_ok(tn_graph_output(graph, grad, "grad"));
    assert_ok(tn_model_from_graph(graph, NULL, &model));
    assert_ok(tn_session_create(model, NULL, &session));
    assert_ok(tn_session_set_input(session, 0, x));
    assert_ok(tn_session_set_input(session, 1, t));
    double found = loss_of(session);
    if (!(fabs(found - cases[k].expected) <= 1e-9))
        fail_msg("%s: %.15g, not %.15g", cases[k].name, found, cases[k].expected);
    compare_gradients(session, 1, &x, cases[k].name);
    tn_session_destroy(session);
    tn_model_destroy(model);
    tn_tensor_destroy(x);
    tn_tensor_destroy(t);
}

static void losses_are_those_of_pytorch(void **state) {
    (void)state;
    for (size_t k = 0; k < TN_COUNT(cases); k++) check_loss(k);
}

/* Steps that cannot say the labels, and labels that are none. */
static void sequences_that_cannot_be_are_refused(void **state) {
    (void)state;
    static const struct {
        double labels[6];
        const char *text;
    } bad[] = {
        {{1, 2, 1, 1, 1, -1}, "the 2 labels of row 1 need 3 steps, with a blank between equal ones, and there are 2"},
        {{1, 2, 1, 1, -1, -1}, "the 3 labels of row 0 need 3 steps"},
        {{1, 0, -1, 1, -1, -1}, "label 1 of row 0 is 0; expected 1 to 2"},
        {{1, -1, -1, 2, 3, -1}, "label 1 of row 1 is 3"},
    };
    const tn_trainer_options o = {.loss = TN_LOSS_CTC};
    for (size_t i = 0; i < TN_COUNT(bad); i++) {
        tn_graph *graph;
        tn_model *model;
        tn_session *session;
        int y, target, loss;
        tn_tensor *x = some(DIMS(2, 3, 2)), *t = make(TN_INT64, DIMS(2, 3), bad[i].labels);
        if (i == 0) ((int64_t *)t->data)[2] = -1;
        assert_ok(tn_graph_create(NULL, &graph));
        assert_ok(tn_graph_input(graph, "y", TN_FLOAT64, 3, x->dims, &y));
        assert_ok(tn_loss_target(graph, o.loss, y, &target));
        assert_ok(tn_loss_nodes(graph, &o, &y, target, &loss));
        assert_ok(tn_graph_output(graph, loss, "loss"));
        assert_ok(tn_model_from_graph(graph, NULL, &model));
        assert_ok(tn_session_create(model, NULL, &session));
        assert_ok(tn_session_set_input(session, 0, x));
        assert_ok(tn_session_set_input(session, 1, t));
        assert_int_equal(tn_session_run(session), TN_E_INVALID);
        if (!strstr(tn_last_error(), bad[i].text)) fail_msg("'%s' without '%s'", tn_last_error(), bad[i].text);
        tn_session_destroy(session);
        tn_model_destroy(model);
        tn_tensor_destroy(x);
        tn_tensor_destroy(t);
    }
}

/* A convolution learns to say what a row of impulses is, in batches of differing numbers of labels. */
static void a_network_learns_to_read_sequences(void **state) {
    (void)state;
    enum { N = 16, T = 12, C = 3 };
    tn_graph *graph;
    int in[3], y;
    double loss = 0;
    tn_tensor *w = some(DIMS(C, 1, 3)), *b = make(TN_FLOAT64, DIMS(C), NULL),
              *x = make(TN_FLOAT64, DIMS(N, 1, T), NULL);
    assert_ok(tn_graph_create(NULL, &graph));
    assert_ok(tn_graph_input(graph, "x", TN_FLOAT64, 3, (int64_t[]){tn_graph_symbol(graph, "batch"), 1, T}, &in[0]));
    assert_ok(tn_graph_constant(graph, "w", w, &in[1]));
    assert_ok(tn_graph_constant(graph, "b", b, &in[2]));
    assert_ok(tn_graph_node(graph, "Conv", NULL, 3, in, 1, &y, ATTRIBUTES(INTS("pads", 1, 1))));
    assert_ok(tn_graph_output(graph, y, "y"));
    const tn_trainer_options o = {
        .struct_size = sizeof o, .loss = TN_LOSS_CTC, .optimizer = {.kind = TN_ADAM, .rate = 0.1}};
    tn_trainer *t;
    assert_ok(tn_trainer_create(graph, &o, &t));
    double first = 0;
    for (int s = 0; s < 120; s++) {
        const int most = 1 + s % 3;
        tn_tensor *labels = make(TN_INT64, DIMS(N, most), NULL);
        for (int n = 0; n < N; n++) {
            double *row = (double *)x->data + n * T;
            for (int i = 0; i < T; i++) row[i] = 0;
            for (int k = 0; k < most; k++) {
                const int64_t label = k > n % 3 ? -1 : 1 + (n * 7 + k * 5 + s) % 2;
                ((int64_t *)labels->data)[n * most + k] = label;
                if (label > 0) row[1 + 4 * k + (n + s) % 3] = label == 1 ? 1 : -1;
            }
        }
        assert_ok(tn_trainer_step(t, (const tn_tensor *const[]){x}, labels, &loss));
        if (s == 0) first = loss;
        tn_tensor_destroy(labels);
    }
    if (!(loss < 0.15 && first > 1)) fail_msg("a loss of %g, after %g", loss, first);
    tn_trainer_destroy(t);
    tn_tensor_destroy(w);
    tn_tensor_destroy(b);
    tn_tensor_destroy(x);
}

static void options_that_make_no_sense_are_refused(void **state) {
    (void)state;
    static const float below[] = {1, -1};
    static const struct {
        tn_trainer_options options;
        const char *text;
    } wrong[] = {
        {{.loss_options = {.quantile = 1}}, "quantile is 1"},
        {{.loss_options = {.focus = -2}}, "focus is -2"},
        {{.loss_options = {.label_smoothing = 1.5}}, "label_smoothing is 1.5"},
        {{.loss_options = {.class_weights = weights, .class_count = 3}}, "are for cross-entropy"},
        {{.loss = TN_LOSS_FOCAL, .loss_options = {.class_weights = weights}}, "class_count is 0"},
        {{.loss = TN_LOSS_FOCAL, .loss_options = {.class_weights = below, .class_count = 2}}, "class_weights[1] is -1"},
    };
    for (size_t i = 0; i < TN_COUNT(wrong); i++) {
        assert_int_equal(tn_loss_check(&wrong[i].options), TN_E_INVALID);
        if (!strstr(tn_last_error(), wrong[i].text))
            fail_msg("'%s' says nothing of %s", tn_last_error(), wrong[i].text);
    }
    tn_graph *graph;
    int y, target, loss;
    const tn_trainer_options o = {.loss = TN_LOSS_FOCAL, .loss_options = {.class_weights = weights, .class_count = 3}};
    assert_ok(tn_graph_create(NULL, &graph));
    assert_ok(tn_graph_input(graph, "y", TN_FLOAT32, 2, (int64_t[]){2, 4}, &y));
    assert_ok(tn_loss_target(graph, o.loss, y, &target));
    assert_int_equal(tn_loss_nodes(graph, &o, &y, target, &loss), TN_E_SHAPE);
    assert_non_null(strstr(tn_last_error(), "class_count is 3; output 0 'y' has 4 classes"));
    tn_graph_destroy(graph);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_are_those_of_pytorch),
        cmocka_unit_test(sequences_that_cannot_be_are_refused),
        cmocka_unit_test(a_network_learns_to_read_sequences),
        cmocka_unit_test(options_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests_name("trainer_loss", tests, NULL, NULL);
}
