/* Trainers: they fit, resume bit for bit, change nothing when a step fails, and export what they trained. */
#include <stdio.h>
#include <unistd.h>
#include "gradient.h"

enum { ROWS = 64, FEATURES = 5 };

static int constant(tn_graph *graph, const char *name, int rank, const int64_t *dims) {
    int value;
    tn_tensor *t;
    assert_ok(tn_tensor_create(TN_FLOAT32, rank, dims, NULL, &t));
    for (int64_t i = 0; i < tn_count(t); i++) ((float *)t->data)[i] = 0.4f * (float)sin(2.3 * (double)i + rank);
    assert_ok(tn_graph_constant(graph, name, t, &value));
    tn_tensor_destroy(t);
    return value;
}

/* x [batch, 5] -> Gemm 8 -> BatchNormalization -> Tanh -> Dropout -> Gemm `outputs` */
static tn_graph *network(int64_t outputs, bool with_dropout) {
    tn_graph *g;
    int x, y, ratio;
    tn_tensor *tenth = make(TN_FLOAT32, SCALAR, VALUES(0.1)),
              *ones = make(TN_FLOAT32, DIMS(8), VALUES(1, 1, 1, 1, 1, 1, 1, 1));
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 2, (int64_t[]){tn_graph_symbol(g, "batch"), FEATURES}, &x));
    int in[] = {x, constant(g, "w1", 2, (int64_t[]){8, FEATURES}), constant(g, "b1", 1, (int64_t[]){8})};
    assert_ok(tn_graph_node(g, "Gemm", "hidden", 3, in, 1, &y, ATTRIBUTES(INT("transB", 1))));
    int norm[5] = {y};
    static const char *const names[] = {"", "scale", "bias", "mean", "variance"};
    for (int i = 1; i < 5; i++) {
        norm[i] = constant(g, names[i], 1, (int64_t[]){8});
        if (i == 1 || i == 4) assert_ok(tn_graph_constant(g, names[i], ones, &norm[i]));
    }
    assert_ok(tn_graph_node(g, "BatchNormalization", "norm", 5, norm, 1, &y, NULL));
    assert_ok(tn_graph_node(g, "Tanh", "tanh", 1, &y, 1, &y, NULL));
    assert_ok(tn_graph_constant(g, "ratio", tenth, &ratio));
    if (with_dropout) assert_ok(tn_graph_node(g, "Dropout", "drop", 2, (int[]){y, ratio}, 1, &y, NULL));
    int out[] = {y, constant(g, "w2", 2, (int64_t[]){8, outputs}), constant(g, "b2", 1, (int64_t[]){outputs})};
    assert_ok(tn_graph_node(g, "Gemm", "output", 3, out, 1, &y, NULL));
    assert_ok(tn_graph_output(g, y, "y"));
    tn_tensor_destroy(tenth);
    tn_tensor_destroy(ones);
    return g;
}

typedef struct {
    tn_tensor *x, *number, *label;
} data;

static data some_data(int64_t rows) {
    data d = {make(TN_FLOAT32, DIMS(rows, FEATURES), NULL), make(TN_FLOAT32, DIMS(rows, 1), NULL),
              make(TN_INT64, DIMS(rows), NULL)};
    for (int64_t r = 0; r < rows; r++) {
        double sum = 0;
        for (int64_t c = 0; c < FEATURES; c++) {
            double x = sin(12.9898 * (double)(r * FEATURES + c + 1));
            ((float *)d.x->data)[r * FEATURES + c] = (float)x;
            sum += x * (double)(c - 2);
        }
        ((float *)d.number->data)[r] = (float)(sum * sum / 4);
        ((int64_t *)d.label->data)[r] = sum > 0.8 ? 2 : sum > -0.8;
    }
    return d;
}
static void drop_data(data *d) {
    tn_tensor_destroy(d->x);
    tn_tensor_destroy(d->number);
    tn_tensor_destroy(d->label);
}

static tn_trainer *trainer_of(tn_graph *graph, const tn_trainer_options *options) {
    tn_trainer *t;
    assert_ok(tn_trainer_create(graph, options, &t));
    return t;
}
static double step(tn_trainer *t, const data *d, const tn_tensor *target) {
    double loss;
    assert_ok(tn_trainer_step(t, (const tn_tensor *const[]){d->x}, target, &loss));
    return loss;
}
static double evaluate(tn_trainer *t, const data *d, const tn_tensor *target) {
    double loss;
    assert_ok(tn_trainer_evaluate(t, (const tn_tensor *const[]){d->x}, target, &loss));
    return loss;
}

static void every_optimizer_lowers_the_loss(void **state) {
    (void)state;
    static const tn_optimizer_options kinds[] = {
        {.kind = TN_SGD, .rate = 0.05},
        {.kind = TN_SGD, .rate = 0.05, .momentum = 0.9, .nesterov = true, .clip_norm = 1},
        {.kind = TN_ADAM, .rate = 0.01},
        {.kind = TN_ADAMW, .rate = 0.01, .weight_decay = 0.01},
        {.kind = TN_ADAGRAD, .rate = 0.1},
        {.kind = TN_RMSPROP, .rate = 0.01, .momentum = 0.5},
        {.kind = TN_LION, .rate = 0.005, .l1 = 1e-4},
    };
    data d = some_data(ROWS);
    for (size_t i = 0; i < TN_COUNT(kinds); i++) {
        tn_trainer_options o = {.struct_size = sizeof o, .optimizer = kinds[i]};
        tn_trainer *t = trainer_of(network(1, false), &o);
        double first = step(t, &d, d.number), last = first;
        for (int s = 0; s < 300; s++) last = step(t, &d, d.number);
        if (!(last < 0.25 * first)) fail_msg("optimizer %zu: the loss went from %g to %g", i, first, last);
        tn_trainer_destroy(t);
    }
    drop_data(&d);
}

static void every_loss_is_what_it_says(void **state) {
    (void)state;
    data d = some_data(ROWS);
    for (int kind = TN_LOSS_MSE; kind <= TN_LOSS_BINARY_CROSS_ENTROPY; kind++) {
        bool classes = kind == TN_LOSS_CROSS_ENTROPY;
        int64_t n = classes ? 3 : 1;
        tn_trainer_options o = {.struct_size = sizeof o, .loss = (tn_loss)kind, .optimizer = {.kind = TN_ADAM}};
        tn_trainer *t = trainer_of(network(n, false), &o);
        const tn_tensor *target = classes ? d.label : d.number, *y;
        double expected = 0, found = evaluate(t, &d, target);
        assert_ok(tn_trainer_predict(t, (const tn_tensor *const[]){d.x}, &y));
        for (int64_t r = 0; r < ROWS; r++) {
            const float *row = (const float *)y->data + r * n;
            double x = (double)row[0], want = (double)((const float *)d.number->data)[r], e = x - want, sum = 0;
            for (int64_t c = 0; c < n; c++) sum += exp((double)row[c]);
            expected += kind == TN_LOSS_MSE     ? e * e
                        : kind == TN_LOSS_MAE   ? fabs(e)
                        : kind == TN_LOSS_HUBER ? (fabs(e) < 1 ? e * e / 2 : fabs(e) - 0.5)
                        : classes               ? log(sum) - (double)row[((const int64_t *)d.label->data)[r]]
                                                : log(1 + exp(x)) - want * x;
        }
        if (!(fabs(found - expected / ROWS) < 1e-5)) fail_msg("loss %d is %g, not %g", kind, found, expected / ROWS);
        double before = step(t, &d, target);
        for (int s = 0; s < 20; s++) step(t, &d, target);
        assert_true(step(t, &d, target) < before);
        tn_trainer_destroy(t);
    }
    drop_data(&d);
}

static void expect_same_parameters(const tn_trainer *a, const tn_trainer *b) {
    assert_int_equal(tn_trainer_parameter_count(a), tn_trainer_parameter_count(b));
    for (int i = 0; i < tn_trainer_parameter_count(a); i++) {
        const tn_tensor *x, *y;
        assert_ok(tn_trainer_parameter(a, i, NULL, &x));
        assert_ok(tn_trainer_parameter(b, i, NULL, &y));
        assert_memory_equal(x->data, y->data, tn_tensor_bytes(x));
    }
}

static void training_resumes_bit_for_bit(void **state) {
    (void)state;
    data d = some_data(ROWS), small = some_data(10);
    char path[64];
    snprintf(path, sizeof path, "/tmp/tenon_trainer_%d", (int)getpid());
    tn_trainer_options o = {.struct_size = sizeof o,
                            .loss = TN_LOSS_CROSS_ENTROPY,
                            .seed = 7,
                            .optimizer = {.kind = TN_ADAM, .rate = 0.01},
                            .schedule = {.kind = TN_SCHEDULE_COSINE, .period = 9}};
    tn_trainer *whole = trainer_of(network(3, true), &o), *resumed = trainer_of(network(3, true), &o);
    o.seed = 8;
    o.threads = 2;
    tn_trainer *again = trainer_of(network(3, true), &o);
    for (int s = 0; s < 12; s++) {
        step(whole, &d, d.label);
        step(resumed, &d, d.label);
    }
    assert_ok(tn_trainer_report(resumed, 1.5, NULL));
    assert_ok(tn_trainer_save(resumed, path));
    tn_trainer_destroy(resumed);
    step(again, &small, small.label);
    assert_ok(tn_trainer_load(again, path));
    assert_int_equal(tn_trainer_steps(again), 12);
    for (int s = 0; s < 5; s++) {
        double a = step(whole, s == 2 ? &small : &d, s == 2 ? small.label : d.label);
        double b = step(again, s == 2 ? &small : &d, s == 2 ? small.label : d.label);
        assert_true(a == b);
    }
    expect_same_parameters(whole, again);
    assert_true(evaluate(whole, &d, d.label) == evaluate(again, &d, d.label));
    assert_ok(tn_trainer_restore_best(again));
    assert_false(evaluate(whole, &d, d.label) == evaluate(again, &d, d.label));
    unlink(path);
    tn_trainer_destroy(whole);
    tn_trainer_destroy(again);
    drop_data(&d);
    drop_data(&small);
}

/* Each byte matters, and each shorter or longer file is refused, with nothing changed. */
static void damaged_checkpoints_change_nothing(void **state) {
    (void)state;
    data d = some_data(ROWS);
    char path[64], bytes[20000];
    snprintf(path, sizeof path, "/tmp/tenon_trainer_%d", (int)getpid());
    tn_trainer_options o = {.struct_size = sizeof o};
    tn_trainer *t = trainer_of(network(1, false), &o), *same = trainer_of(network(1, false), &o),
               *other = trainer_of(network(2, false), &o);
    step(t, &d, d.number);
    assert_ok(tn_trainer_save(t, path));
    assert_int_equal(tn_trainer_load(other, path), TN_E_INVALID);
    assert_non_null(strstr(tn_last_error(), "another graph"));
    FILE *f = fopen(path, "rb");
    size_t size = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    for (size_t i = 0; i < size + 2; i += i == size - 1 ? 1 : 7) {
        size_t write = i < size ? size : i == size ? size - 1 : size + 1;
        if (i < size) bytes[i] ^= 4;
        f = fopen(path, "wb");
        assert_int_equal(fwrite(bytes, 1, write, f), write);
        fclose(f);
        if (i < size) bytes[i] ^= 4;
        if (tn_trainer_load(same, path) == TN_OK) fail_msg("byte %zu: accepted", i);
        assert_non_null(strstr(tn_last_error(), "checkpoint '"));
    }
    assert_int_equal(tn_trainer_steps(same), 0);
    unlink(path);
    assert_int_equal(tn_trainer_load(same, path), TN_E_IO);
    tn_trainer_destroy(t);
    tn_trainer_destroy(same);
    tn_trainer_destroy(other);
    drop_data(&d);
}

static void a_step_that_fails_changes_nothing(void **state) {
    (void)state;
    data d = some_data(ROWS);
    tn_trainer_options o = {.struct_size = sizeof o, .optimizer = {.kind = TN_ADAM}};
    tn_trainer *t = trainer_of(network(1, false), &o), *calm = trainer_of(network(1, false), &o);
    step(t, &d, d.number);
    step(calm, &d, d.number);
    float *x = d.x->data, was = *x;
    *x = NAN;
    assert_int_equal(tn_trainer_step(t, (const tn_tensor *const[]){d.x}, d.number, NULL), TN_E_INVALID);
    assert_non_null(strstr(tn_last_error(), "the loss is nan after 1 steps"));
    *x = was;
    assert_int_equal(tn_trainer_step(t, (const tn_tensor *const[]){d.x}, d.label, NULL), TN_E_TYPE);
    assert_true(step(t, &d, d.number) == step(calm, &d, d.number));
    expect_same_parameters(t, calm);
    tn_trainer_destroy(t);
    tn_trainer_destroy(calm);
    drop_data(&d);
}

static void what_is_exported_predicts_the_same(void **state) {
    (void)state;
    data d = some_data(ROWS);
    tn_trainer_options o = {.struct_size = sizeof o, .optimizer = {.kind = TN_ADAM}};
    tn_trainer *t = trainer_of(network(1, true), &o);
    tn_graph *graph;
    tn_model *model;
    tn_session *session;
    const tn_tensor *here, *there;
    for (int s = 0; s < 30; s++) step(t, &d, d.number);
    assert_ok(tn_trainer_export(t, &graph));
    assert_ok(tn_trainer_predict(t, (const tn_tensor *const[]){d.x}, &here));
    double kept[ROWS];
    for (int i = 0; i < ROWS; i++) kept[i] = (double)((const float *)here->data)[i];
    tn_trainer_destroy(t);
    assert_ok(tn_model_from_graph(graph, NULL, &model));
    assert_ok(tn_session_create(model, NULL, &session));
    assert_ok(tn_session_set_input(session, 0, d.x));
    assert_ok(tn_session_run(session));
    assert_ok(tn_session_output(session, 0, &there));
    for (int i = 0; i < ROWS; i++) assert_true(fabs(kept[i] - (double)((const float *)there->data)[i]) < 1e-5);
    tn_session_destroy(session);
    tn_model_destroy(model);
    drop_data(&d);
}

static void frozen_constants_stay(void **state) {
    (void)state;
    data d = some_data(ROWS);
    const char *name;
    tn_trainer_options o = {.struct_size = sizeof o, .freeze = "w1, b*, scale"};
    tn_trainer *t = trainer_of(network(1, false), &o);
    assert_int_equal(tn_trainer_parameter_count(t), 1);
    assert_ok(tn_trainer_parameter(t, 0, &name, NULL));
    assert_string_equal(name, "w2");
    assert_int_equal(tn_trainer_parameter(t, 1, &name, NULL), TN_E_NOT_FOUND);
    tn_trainer_destroy(t);
    o.freeze = "*";
    assert_int_equal(tn_trainer_create(network(1, false), &o, &t), TN_E_INVALID);
    assert_non_null(strstr(tn_last_error(), "nothing to train"));
    o = (tn_trainer_options){.struct_size = sizeof o, .optimizer = {.momentum = 1.5}};
    assert_int_equal(tn_trainer_create(network(1, false), &o, &t), TN_E_INVALID);
    assert_non_null(strstr(tn_last_error(), "optimizer.momentum is 1.5"));
    drop_data(&d);
}

static void reports_stop_and_lower_the_rate(void **state) {
    (void)state;
    bool stop;
    tn_trainer_options o = {.struct_size = sizeof o,
                            .patience = 3,
                            .optimizer = {.rate = 1},
                            .schedule = {.kind = TN_SCHEDULE_PLATEAU, .factor = 0.5, .patience = 1}};
    tn_trainer *t = trainer_of(network(1, false), &o);
    assert_int_equal(tn_trainer_restore_best(t), TN_E_STATE);
    static const double losses[] = {3, 2, 2.5, 2.5, 1, 2, 2, 2};
    static const double rates[] = {1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25};
    for (int i = 0; i < 8; i++) {
        assert_ok(tn_trainer_report(t, losses[i], &stop));
        assert_true(tn_trainer_rate(t) == rates[i]);
        assert_int_equal(stop, i == 7);
    }
    assert_int_equal(tn_trainer_report(t, NAN, &stop), TN_E_INVALID);
    tn_trainer_destroy(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_optimizer_lowers_the_loss),
        cmocka_unit_test(every_loss_is_what_it_says),
        cmocka_unit_test(training_resumes_bit_for_bit),
        cmocka_unit_test(damaged_checkpoints_change_nothing),
        cmocka_unit_test(a_step_that_fails_changes_nothing),
        cmocka_unit_test(what_is_exported_predicts_the_same),
        cmocka_unit_test(frozen_constants_stay),
        cmocka_unit_test(reports_stop_and_lower_the_rate),
    };
    return cmocka_run_group_tests_name("trainer", tests, NULL, NULL);
}
