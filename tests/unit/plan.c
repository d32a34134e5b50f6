/* Plans: what they train is what they say, from raw columns; a run that stops goes on to the same bytes; what is wrong in a
 * plan or its data is named. */
#include "unit.h"
#include <math.h>
#include <tenon/tenon.h>
#include "tree.h"

TREE_ROOT("plan")

enum { ROWS = 240 };

/* a and b around two circles: kind says which, far = 1000 + 50 a b, code of 3 is the third of the sine. */
static void write_rows(const char *name, int from, int to) {
    FILE *file = fopen(tree_at(root, name), "w");
    assert_non_null(file);
    fputs("a,b,mode,code,kind,far\n", file);
    for (int i = from; i < to; i++) {
        double angle = 2.399 * i, r = i % 2 ? 1.0 : 2.2;
        double a = r * cos(angle) + 0.1 * sin(7.7 * i), b = r * sin(angle) + 0.1 * cos(5.3 * i);
        fprintf(file, "%.6f,%.6f,%s,%d,%s,%.6f\n", a, b, i % 3 ? "slow" : "fast", i % 5, i % 2 ? "inner" : "outer",
                1000 + 50 * a * b);
    }
    fclose(file);
}

static const char classes[] =
    "name: circles\nversion: 1.2.3\n"
    "data: {train: train.csv, test: test.csv}\n"
    "pipeline:\n"
    "  features: [{column: a, scale: standard}, {column: b, scale: min-max}, "
    "{column: mode, encode: one-hot}]\n"
    "  target: {column: kind, encode: ordinal}\n"
    "model: {layers: [{dense: 24, activation: relu}, {dense: 8, activation: tanh}, {dropout: 0.05}]}\n"
    "train: {epochs: 30, batch: 16, optimizer: {rate: 0.02}, seed: 5, validation: 0.2, "
    "schedule: {kind: cosine}, augment: {noise: 0.02}}\n";

static tn_plan *plan_of(const char *text) {
    tn_plan *plan;
    assert_ok(tn_plan_parse(text, strlen(text), root, &plan));
    return plan;
}

static tn_evaluation *evaluate(const char *model_name, const char *data) {
    tn_table *table;
    tn_model *model;
    tn_evaluation *e;
    assert_ok(tn_table_read(tree_at(root, data), NULL, &table));
    assert_ok(tn_model_load(tree_at(root, model_name), NULL, &model));
    assert_ok(tn_evaluate(model, table, NULL, &e));
    tn_self_test *test;
    assert_ok(tn_self_test_of_model(model, &test));
    assert_ok(tn_self_test_run(test, model, NULL, NULL));
    tn_self_test_destroy(test);
    tn_model_destroy(model);
    tn_table_destroy(table);
    return e;
}

static double metric(tn_evaluation *e, const char *name) {
    double value;
    assert_ok(tn_metrics_value(tn_evaluation_metrics(e), name, &value));
    return value;
}

static void classes_are_learnt_and_measured_from_raw_columns(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    write_rows("train.csv", 0, ROWS);
    write_rows("test.csv", ROWS, 2 * ROWS);
    tn_plan *plan = plan_of(classes);
    tn_plan_result result = {.struct_size = sizeof result};
    assert_ok(tn_plan_train(plan, NULL, &result));
    assert_int_equal(result.train_rows, 192);
    assert_int_equal(result.validation_rows, 48);
    assert_int_equal(result.test_rows, ROWS);
    assert_int_equal(result.epochs, 30);
    assert_int_equal(result.parameters, 4 * 24 + 24 + 24 * 8 + 8 + 8 * 2 + 2);
    tn_evaluation *e = evaluate("circles.tenon", "test.csv");
    assert_int_equal(tn_evaluation_task(e), TN_TASK_CLASSIFICATION);
    assert_string_equal(tn_evaluation_class(e, 0), "inner");
    assert_string_equal(tn_evaluation_class(e, 1), "outer");
    assert_null(tn_evaluation_class(e, 2));
    assert_true(metric(e, "accuracy") > 0.97);
    /* The file says what is measured here. */
    tn_model *model;
    tn_manifest *m;
    assert_ok(tn_model_load(tree_at(root, "circles.tenon"), NULL, &model));
    assert_ok(tn_manifest_parse(tn_model_manifest(model), strlen(tn_model_manifest(model)), &m));
    assert_string_equal(tn_manifest_get(m, "version"), "1.2.3");
    assert_string_equal(tn_manifest_get(m, "metrics/0/name"), "accuracy");
    assert_string_equal(tn_manifest_get(m, "metrics/0/data"), "circles-test");
    assert_true(strtod(tn_manifest_get(m, "metrics/0/value"), NULL) == metric(e, "accuracy"));
    assert_string_equal(tn_manifest_get(m, "outputs/0/classes/1"), "outer");
    assert_int_equal(tn_manifest_count(m, "extra/training/validation"), 30);
    assert_int_equal(tn_manifest_count(m, "extra/pipeline/features"), 3);
    tn_manifest_destroy(m);
    tn_model_destroy(model);
    tn_evaluation_destroy(e);
    tn_plan_destroy(plan);
}

/* Stops after so many steps of one run. */
static bool stop_after(void *context, const tn_plan_progress *progress) {
    int *left = context;
    assert_true(progress->epoch >= 1 && progress->epoch <= progress->epochs && progress->step <= progress->steps);
    return --*left > 0;
}

static void check_stops(const char *text) {
    size_t whole_size, size;
    tn_plan *plan = plan_of(text);
    assert_ok(tn_plan_train(plan, NULL, NULL));
    char *whole = tree_read(tree_at(root, "circles.tenon"), &whole_size);
    static const int stops[] = {5, 12, 1, 100, 36, 1000}; /* an epoch has 12 steps */
    tn_plan_options o = {.struct_size = sizeof o, .threads = 2, .resume = true, .progress = stop_after};
    unlink(tree_at(root, "circles.tenon"));
    for (size_t i = 0; i < TN_COUNT(stops); i++) {
        int left = stops[i];
        o.context = &left;
        tn_status status = tn_plan_train(plan, &o, NULL);
        bool last = i + 1 == TN_COUNT(stops);
        assert_int_equal(status, last ? TN_OK : TN_E_INTERRUPTED);
        assert_int_equal(access(tree_at(root, "circles.tenon.checkpoint"), F_OK), last ? -1 : 0);
    }
    char *pieces = tree_read(tree_at(root, "circles.tenon"), &size);
    assert_int_equal(size, whole_size);
    assert_memory_equal(pieces, whole, size);
    free(pieces);
    free(whole);
    tn_plan_destroy(plan);
}

static const char snapshots[] =
    "name: circles\ndata: {train: train.csv, test: test.csv}\n"
    "pipeline:\n  features: [{column: a}, {column: b}]\n  target: {column: kind, encode: ordinal}\n"
    "model: {layers: [{dense: 12, activation: relu}]}\n"
    "train: {epochs: 35, batch: 16, optimizer: {rate: 0.05}, validation: 0.2, "
    "schedule: {kind: cosine, period: 5, stretch: 2}, snapshots: 2}\n";

/* Cycles end with epochs 5, 15 and 35. */
static void snapshots_of_cycles_are_one_model(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    write_rows("train.csv", 0, ROWS);
    write_rows("test.csv", ROWS, 2 * ROWS);
    check_stops(snapshots);
    for (int i = 1; i < 4; i++) {
        char name[60];
        snprintf(name, sizeof name, "circles.tenon.snapshot-%d", i);
        assert_int_equal(access(tree_at(root, name), F_OK), -1);
    }
    tn_graph *graph;
    int layers = 0;
    assert_ok(tn_graph_load(tree_at(root, "circles.tenon"), NULL, &graph));
    for (int n = 0; n < tn_graph_node_count(graph); n++) {
        tn_node_info info;
        assert_ok(tn_graph_node_info(graph, n, &info));
        assert_null(strstr(info.name, "snapshot-1/"));
        layers += strncmp(info.name, "snapshot-", 9) == 0 && strcmp(info.op, "Softmax") == 0;
    }
    assert_int_equal(layers, 2);
    tn_graph_destroy(graph);
    tn_evaluation *e = evaluate("circles.tenon", "test.csv");
    assert_true(metric(e, "accuracy") > 0.95);
    tn_evaluation_destroy(e);
}

static void a_run_that_stops_goes_on_to_the_same_bytes(void **state) {
    (void)state;
    static const char *const averages[] = {"accumulate: 5, average: {kind: ema, decay: 0.9}",
                                           "recompute: 3, products: bfloat16",
                                           "average: {kind: swa, start: 20, every: 2}, patience: 8"};
    char text[1000];
    if (!TN_WITH_YAML) skip();
    check_stops(classes);
    for (size_t i = 0; i < TN_COUNT(averages); i++) {
        snprintf(text, sizeof text, "%.*s, %s}\n", (int)strlen(classes) - 2, classes, averages[i]);
        check_stops(text);
    }
}

/* Targets between classes, drawn ahead of the steps by another thread, are the same ones in a run that is stopped. */
static void mixtures_of_classes_are_learnt(void **state) {
    (void)state;
    char text[1000];
    size_t size;
    const char *at = strstr(classes, "noise: 0.02");
    if (!TN_WITH_YAML) skip();
    snprintf(text, sizeof text, "%.*smixup: 0.2, %s", (int)(at - classes), classes, at);
    check_stops(text);
    char *bytes = tree_read(tree_at(root, "circles.tenon"), &size);
    assert_non_null(memmem(bytes, size, "loss: cross-entropy", 19));
    free(bytes);
    tn_evaluation *e = evaluate("circles.tenon", "test.csv");
    assert_true(metric(e, "accuracy") > 0.95);
    tn_evaluation_destroy(e);
}

static void checkpoints_of_other_plans_and_damaged_ones_are_refused(void **state) {
    (void)state;
    size_t size;
    char text[1000];
    int left = 20;
    if (!TN_WITH_YAML) skip();
    tn_plan_options o = {.struct_size = sizeof o, .resume = true, .progress = stop_after, .context = &left};
    tn_plan *plan = plan_of(classes);
    assert_int_equal(tn_plan_train(plan, &o, NULL), TN_E_INTERRUPTED);
    snprintf(text, sizeof text, "%s# another\n", classes);
    tn_plan *other = plan_of(text);
    assert_int_equal(tn_plan_train(other, &o, NULL), TN_E_INVALID);
    assert_non_null(strstr(tn_last_error(), "are not what they were"));
    char *bytes = tree_read(tree_at(root, "circles.tenon.checkpoint"), &size);
    for (size_t at = 0; at < size + 2; at += at < 150 ? 1 : 97) {
        bytes[TN_MIN(at, size - 1)] ^= 4;
        tree_write(tree_at(root, "circles.tenon.checkpoint"), bytes, at < size ? size : size - 1);
        bytes[TN_MIN(at, size - 1)] ^= 4;
        tn_status status = tn_plan_train(plan, &o, NULL);
        assert_true(status == TN_E_FORMAT || status == TN_E_INVALID);
        assert_non_null(strstr(tn_last_error(), "checkpoint"));
    }
    unlink(tree_at(root, "circles.tenon.checkpoint"));
    free(bytes);
    tn_plan_destroy(plan);
    tn_plan_destroy(other);
}

static void numbers_are_learnt_in_their_own_unit(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    tn_plan *plan =
        plan_of("name: far\ndata: {train: train.csv, test: test.csv}\n"
                "pipeline: {features: [{column: a}, {column: b}], target: {column: far, scale: standard}}\n"
                "model: {layers: [{dense: 24, activation: silu}, {residual: [{dense: 24, activation: tanh}]}]}\n"
                "train: {epochs: 40, optimizer: {kind: adamw, rate: 0.02}, schedule: {kind: one-cycle}}\n");
    assert_ok(tn_plan_train(plan, NULL, NULL));
    tn_evaluation *e = evaluate("far.tenon", "test.csv");
    assert_int_equal(tn_evaluation_task(e), TN_TASK_REGRESSION);
    const float *truth = tn_tensor_const_data(tn_evaluation_truth(e));
    assert_true(truth[0] > 700 && truth[0] < 1300);
    assert_true(metric(e, "r2") > 0.97);
    assert_true(metric(e, "mae") < 12 && metric(e, "mae") > 0.01);
    tn_evaluation_destroy(e);
    tn_plan_destroy(plan);
}

/* Models of every layer; each ends with less loss than a guess has. */
static void every_layer_trains(void **state) {
    (void)state;
    static const char *const models[] = {
        "{shape: [1, 2, 2], layers: [{conv: 8, activation: relu}, {norm: batch}, {residual: [{conv: 12, kernel: [1, "
        "2], "
        "stride: 2, activation: leaky-relu}], activation: elu}, {pool: global}]}",
        "{shape: [2, 2], layers: [{conv: 8, kernel: 2, padding: valid, activation: gelu}, {norm: layer}]}",
        "{shape: [4, 1], layers: [{conv: 8, groups: 4, kernel: 1}, {activation: sigmoid}, {dense: 8, activation: "
        "softplus}]}",
        "{shape: [1, 4], layers: [{conv: 8}, {pool: max}, {dense: 8, activation: tanh}, {norm: layer}]}",
        "{shape: [1, 4], layers: [{conv: 8, dilation: 2, activation: silu}, {pool: average, kernel: 2, stride: 1}]}",
        "{shape: [1, 4], layers: [{lstm: 12, direction: bidirectional, gives: all}, {gru: 8}]}",
        "{shape: [2, 2], layers: [{conv: 8, kernel: 1}, {position: learned}, {transformer: 2, dropout: 0.05}, {norm: "
        "group, groups: 4}]}",
        "{shape: [1, 4], layers: [{branches: [[{conv: 8, activation: relu}], [{rnn: 8, gives: all}]]}, {attention: "
        "4}]}",
    };
    char text[1500];
    if (!TN_WITH_YAML) skip();
    for (size_t i = 0; i < TN_COUNT(models); i++) {
        snprintf(text, sizeof text,
                 "name: layers\ndata: {train: train.csv}\n"
                 "pipeline: {features: [{column: a}, {column: b}, {column: mode, encode: one-hot}], target: {column: "
                 "kind, encode: ordinal}, split: {by: stratified, test: 0.25}}\n"
                 "model: %s\ntrain: {epochs: 60, optimizer: {rate: 0.02}}\n",
                 models[i]);
        tn_plan *plan = plan_of(text);
        tn_plan_result result = {.struct_size = sizeof result};
        assert_ok(tn_plan_train(plan, NULL, &result));
        if (!(result.loss < 0.5)) fail_msg("model %zu: a loss of %g", i, result.loss);
        tn_evaluation_destroy(evaluate("layers.tenon", "test.csv"));
        tn_plan_destroy(plan);
    }
}

static void codes_are_embedded_and_binary_and_rebuilt(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    tn_plan *plan = plan_of(
        "name: codes\ndata: {train: train.csv}\n"
        "pipeline: {features: [{column: code, encode: ordinal}, {column: mode, encode: ordinal}], target: {column: "
        "mode, encode: ordinal}, split: {by: time, column: far, test: 0.2}}\n"
        "model: {layers: [{embedding: 3, of: 5}]}\n"
        "train: {loss: binary-cross-entropy, epochs: 20, optimizer: {kind: sgd, rate: 0.5, momentum: 0.9}}\n");
    assert_ok(tn_plan_train(plan, NULL, NULL));
    tn_evaluation *e = evaluate("codes.tenon", "test.csv");
    assert_true(metric(e, "accuracy") == 1);
    assert_true(metric(e, "roc_auc") == 1);
    tn_evaluation_destroy(e);
    tn_plan_destroy(plan);
    plan = plan_of("name: again\ndata: {train: train.csv, test: test.csv}\n"
                   "pipeline: {features: [{column: a, scale: standard}, {column: b, scale: standard}, {column: far, "
                   "scale: standard}]}\n"
                   "model: {layers: [{dense: 16, activation: tanh}, {dense: 2}, {dense: 16, activation: tanh}]}\n"
                   "train: {epochs: 60, optimizer: {rate: 0.01}}\n");
    assert_ok(tn_plan_train(plan, NULL, NULL));
    e = evaluate("again.tenon", "test.csv");
    assert_int_equal(tn_evaluation_task(e), TN_TASK_RECONSTRUCTION);
    assert_true(metric(e, "r2") > 0.9);
    tn_evaluation_destroy(e);
    tn_plan_destroy(plan);
}

/* On a curve, one latent number is enough; the answer is that without noise, and tells the latents besides. */
static void a_variational_autoencoder_trains(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    FILE *file = fopen(tree_at(root, "curve.csv"), "w");
    fputs("a,b,c\n", file);
    for (int i = 0; i < ROWS; i++) {
        double at = 6 * (i / (double)ROWS - 0.5);
        fprintf(file, "%.6f,%.6f,%.6f\n", sin(at), at, at * at / 4);
    }
    fclose(file);
    static const char form[] =
        "name: curve\ndata: {train: curve.csv}\npipeline: {features: [{column: \"*\", scale: standard}]%s}\n"
        "model: {layers: [{dense: 24, activation: tanh}, {latent: 2}, {dense: 24, activation: tanh}]}\n"
        "train: {epochs: 80, optimizer: {rate: 0.01}, loss: {kind: %s, beta: 0.05}, schedule: {kind: one-cycle}}\n";
    char text[700];
    snprintf(text, sizeof text, form, "", "elbo");
    tn_plan *plan = plan_of(text);
    assert_ok(tn_plan_train(plan, NULL, NULL));
    tn_plan_destroy(plan);
    tn_evaluation *e = evaluate("curve.tenon", "curve.csv");
    assert_int_equal(tn_evaluation_task(e), TN_TASK_RECONSTRUCTION);
    if (!(metric(e, "r2") > 0.9)) fail_msg("an r2 of %g", metric(e, "r2"));
    tn_evaluation_destroy(e);
    tn_model *model;
    tn_value_info info;
    assert_ok(tn_model_load(tree_at(root, "curve.tenon"), NULL, &model));
    assert_int_equal(tn_model_output_count(model), 3);
    assert_ok(tn_model_output_info(model, 1, &info));
    assert_string_equal(info.name, "means");
    tn_model_destroy(model);
    static const char *const bad[][2] = {{"", "mse"}, {", target: {column: a, scale: standard}", "elbo"}};
    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof text, form, bad[i][0], bad[i][1]);
        plan = plan_of(text);
        assert_int_equal(tn_plan_train(plan, NULL, NULL), TN_E_FORMAT);
        assert_non_null(strstr(tn_last_error(), "a model with a 'latent' layer has the loss 'elbo'"));
        tn_plan_destroy(plan);
    }
}

/* Each is below what a guess has, and weights and smoothing change what is learnt. */
static void losses_take_their_options(void **state) {
    (void)state;
    static const struct {
        const char *target, *loss, *metric;
        double least;
    } cases[] = {
        {"{column: kind, encode: ordinal}", "{kind: cross-entropy, label_smoothing: 0.1}", "accuracy", 0.95},
        {"{column: kind, encode: ordinal}", "{kind: cross-entropy, class_weights: balanced}", "accuracy", 0.95},
        {"{column: kind, encode: ordinal}", "{kind: focal, focus: 1.5, class_weights: [1, 3]}", "accuracy", 0.95},
        {"{column: kind, encode: ordinal}", "focal", "accuracy", 0.95},
        {"{column: far, scale: standard}", "{kind: quantile, quantile: 0.6}", "r2", 0.9},
        {"{column: far, scale: standard}", "mae", "r2", 0.9},
    };
    static const struct {
        const char *loss, *sentence;
    } bad[] = {
        {"{kind: cross-entropy, class_weights: [1, 2, 3]}", "'class_weights' has 3 numbers, and there are 2 classes"},
        {"{kind: cross-entropy, class_weights: even}", "'class_weights' is 'balanced' or a list"},
        {"{kind: binary-cross-entropy, class_weights: balanced}", "are for cross-entropy and the focal loss"},
        {"quantile", "classes take a cross-entropy or the focal loss"},
        {"elbo", "no other model has it"},
    };
    static const char form[] = "name: losses\ndata: {train: train.csv, test: test.csv}\n"
                               "pipeline: {features: [{column: a}, {column: b}], target: %s}\n"
                               "model: {layers: [{dense: 24, activation: silu}, {dense: 24, activation: tanh}]}\n"
                               "train: {epochs: 40, optimizer: {rate: 0.02}, schedule: {kind: one-cycle}, loss: %s}\n";
    char text[700];
    if (!TN_WITH_YAML) skip();
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        snprintf(text, sizeof text, form, cases[i].target, cases[i].loss);
        tn_plan *plan = plan_of(text);
        assert_ok(tn_plan_train(plan, NULL, NULL));
        tn_evaluation *e = evaluate("losses.tenon", "test.csv");
        if (!(metric(e, cases[i].metric) > cases[i].least))
            fail_msg("%s: %s %g", cases[i].loss, cases[i].metric, metric(e, cases[i].metric));
        tn_evaluation_destroy(e);
        tn_plan_destroy(plan);
    }
    for (size_t i = 0; i < TN_COUNT(bad); i++) {
        snprintf(text, sizeof text, form, cases[0].target, bad[i].loss);
        tn_plan *plan = plan_of(text);
        assert_int_equal(tn_plan_train(plan, NULL, NULL), TN_E_FORMAT);
        if (!strstr(tn_last_error(), bad[i].sentence)) fail_msg("'%s' without '%s'", tn_last_error(), bad[i].sentence);
        tn_plan_destroy(plan);
    }
}

static float first_weight(const char *name, const char *constant) {
    tn_graph *g;
    tn_value_info info;
    float found = NAN;
    assert_ok(tn_graph_load(tree_at(root, name), NULL, &g));
    for (int v = 0; v < tn_graph_value_count(g); v++)
        if (tn_graph_value_info(g, v, &info) == TN_OK && info.constant && strcmp(info.name, constant) == 0)
            found = *(const float *)tn_tensor_const_data(info.constant);
    tn_graph_destroy(g);
    return found;
}

/* The circles' first layer, frozen, under an answer for another target; then all of it, as it is, trained on. */
static void a_model_is_tuned_to_another_target(void **state) {
    (void)state;
    tn_graph *g;
    tn_node_info node;
    tn_value_info value;
    char text[1500], until[100] = "";
    if (!TN_WITH_YAML) skip();
    tn_plan *plan = plan_of(classes);
    assert_ok(tn_plan_train(plan, NULL, NULL));
    tn_plan_destroy(plan);
    assert_ok(tn_graph_load(tree_at(root, "circles.tenon"), NULL, &g));
    for (int n = 0; n < tn_graph_node_count(g); n++) {
        assert_ok(tn_graph_node_info(g, n, &node));
        if (strcmp(node.op, "Tanh") != 0) continue;
        assert_ok(tn_graph_value_info(g, node.out[0], &value));
        snprintf(until, sizeof until, "%s", value.name);
    }
    tn_graph_destroy(g);
    static const char form[] =
        "name: tuned\ndata: {train: train.csv}\n"
        "pipeline: {features: [{column: a, scale: standard}, {column: b, scale: min-max}, {column: "
        "mode, encode: one-hot}], target: {column: %s, encode: ordinal}}\n"
        "model: {file: circles.tenon%s}\ntrain: {epochs: 5, batch: 500}\n";
    char how[200];
    snprintf(how, sizeof how, ", until: \"%s\", freeze: \"layer1*\", layers: [{dense: 8, activation: relu}]", until);
    snprintf(text, sizeof text, form, "mode", how);
    plan = plan_of(text);
    assert_ok(tn_plan_train(plan, NULL, NULL));
    tn_plan_destroy(plan);
    assert_true(first_weight("tuned.tenon", "layer1.weight") == first_weight("circles.tenon", "layer1.weight"));
    snprintf(text, sizeof text, form, "kind", "");
    plan = plan_of(text);
    tn_plan_result result = {.struct_size = sizeof result};
    assert_ok(tn_plan_train(plan, NULL, &result));
    assert_true(result.loss < 0.3); /* it begins where the other ended */
    assert_false(first_weight("tuned.tenon", "layer1.weight") == first_weight("circles.tenon", "layer1.weight"));
    tn_plan_destroy(plan);
    snprintf(text, sizeof text, form, "kind", ", until: nowhere");
    plan = plan_of(text);
    assert_int_equal(tn_plan_train(plan, NULL, NULL), TN_E_NOT_FOUND);
    assert_non_null(strstr(tn_last_error(), "no value 'nowhere'"));
    tn_plan_destroy(plan);
    snprintf(text, sizeof text, form, "code", "");
    plan = plan_of(text);
    assert_int_equal(tn_plan_train(plan, NULL, NULL), TN_E_SHAPE);
    assert_non_null(strstr(tn_last_error(), "not [batch, 5]"));
    tn_plan_destroy(plan);
}

#define HEAD "name: bad\ndata: {train: train.csv}\n"
#define PIPELINE "pipeline: {features: [{column: a}], target: {column: kind, encode: ordinal}}\n"
#define MODEL "model: {layers: [{dense: 4}]}\n"

static void what_is_wrong_in_a_plan_is_named_with_its_line(void **state) {
    (void)state;
    static const struct {
        const char *text, *sentence;
    } bad[] = {
        {"name: a\n", "line 1, column 1: the key 'data' is missing"},
        {HEAD PIPELINE "models: {}\n", "line 4, column 1: there is no key 'models' here; there are name, version"},
        {"name: Bad Name\ndata: {train: a}\n" PIPELINE MODEL, "name or version"},
        {"name: a\ndata: {test: b}\n" PIPELINE MODEL, "the key 'train' is missing"},
        {HEAD PIPELINE "model: {layers: [{dens: 4}]}\n", "line 4, column 19: there is no layer 'dens'"},
        {HEAD PIPELINE "model: {layers: [{dense: 0}]}\n", "'dense' is a whole number from 1 to"},
        {HEAD PIPELINE "model: {layers: [{dense: 4, kernel: 3}]}\n", "the layer 'dense' takes no key 'kernel'"},
        {HEAD PIPELINE "model: {layers: [{conv: 4, kernel: [1, 2, 3]}]}\n", "'kernel' has 3 numbers"},
        {HEAD PIPELINE "model: {layers: [{embedding: 4}]}\n", "needs 'of'"},
        {HEAD PIPELINE "model: {layers: [{dense: 4, activation: rely}]}\n", "'activation' is one of relu, leaky-relu"},
        {HEAD PIPELINE "model: {layers: dense}\n", "a list of layers was expected"},
        {HEAD PIPELINE "model: {until: x}\n", "are of a 'file'"},
        {HEAD PIPELINE "model: {file: x.onnx, shape: 4}\n", "there is no 'shape'"},
        {HEAD PIPELINE MODEL "train: {epochs: 1.5}\n", "'epochs' is a whole number from 1 to 1000000, not '1.5'"},
        {HEAD PIPELINE MODEL "train: {optimizer: {kind: adan}}\n", "'kind' is one of sgd, adam"},
        {HEAD PIPELINE MODEL "train: {optimizer: {rate: -1}}\n", "'rate' is a number from"},
        {HEAD PIPELINE MODEL "train: {schedule: {kind: cosine, perod: 4}}\n", "there is no key 'perod' here"},
        {HEAD PIPELINE MODEL "train: {average: {decay: 0.5}}\n", "an average needs 'kind'"},
        {HEAD PIPELINE MODEL "train: {augment: {mixup: 3}}\n", "'mixup' is a number from 0.05 to 2"},
        {HEAD PIPELINE MODEL "train: {augment: {blur: 3}}\n", "there is no key 'blur' here"},
        {HEAD PIPELINE MODEL "train: {average: {kind: mean}}\n", "'kind' is one of ema, swa"},
        {HEAD PIPELINE "model: {layers: [{branches: [[{dense: 4}]]}]}\n", "'branches' is a list of 2 to 8 lists"},
        {HEAD PIPELINE "model: {layers: [{lstm: 4, direction: both}]}\n", "'direction' is one of forward, reverse"},
        {HEAD PIPELINE "model: {layers: [{transpose: [1, 1]}]}\n", "names each axis of a sample once"},
        {HEAD PIPELINE MODEL "train: {loss: {kind: focal, focus: -1}}\n", "'focus' is a number from"},
        {HEAD PIPELINE MODEL "train: {patience: 4}\n", "it needs 'validation'"},
        {HEAD PIPELINE MODEL "train: {snapshots: 2}\n", "line 5: 'snapshots' are of the cycles"},
        {HEAD PIPELINE MODEL "train: {snapshots: 6, epochs: 25, schedule: {kind: cosine, period: 5}}\n",
         "6 snapshots of 25 epochs, which hold 5 whole cycles"},
        {HEAD PIPELINE MODEL "compress: [{squeeze: {}}]\n", "a step is a map of one key"},
    };
    tn_plan *plan;
    if (!TN_WITH_YAML) skip();
    for (size_t i = 0; i < TN_COUNT(bad); i++) {
        assert_int_equal(tn_plan_parse(bad[i].text, strlen(bad[i].text), root, &plan), TN_E_FORMAT);
        assert_null(plan);
        if (!strstr(tn_last_error(), bad[i].sentence))
            fail_msg("plan %zu: '%s' without '%s'", i, tn_last_error(), bad[i].sentence);
    }
    assert_int_equal(tn_plan_load(tree_at(root, "no.yaml"), &plan), TN_E_IO);
}

static void remember_note(void *context, const char *sentence) {
    snprintf(context, 600, "%s", sentence);
}

static void what_is_wrong_in_the_data_is_named(void **state) {
    (void)state;
    static const struct {
        const char *rows, *text, *sentence;
    } bad[] = {
        {"a,kind\n1,x\n2,y,z\n", MODEL, "line 3"},
        {"a,kind\n1,x\n2,x\n", MODEL, "has one class only"},
        {"a,kind\n1,x\n,y\n", MODEL, "column 'a' has no value in row 2"},
        {"a,kind\n1,x\n2,\n3,y\n", MODEL, "the target 'kind' of row 2"},
        {"a,kind\n", MODEL, "has no rows"},
        {"b,kind\n1,x\n2,y\n", MODEL, "no column 'a'"},
        {"a,kind\n1,x\n2,y\n", "model: {shape: [1, 2, 2], layers: [{conv: 2}]}\n", "line 4, column 9: 'shape' has 4"},
        {"a,kind\n1,x\n2,y\n", "model: {layers: [{dense: 3}, {conv: 2}]}\n", "line 4, layer 2 'conv': a convolution"},
        {"a,kind\n1,x\n2,y\n", MODEL "train: {loss: mse}\n", "classes take a cross-entropy"},
        {"a,kind\n1,x\n2,y\n3,z\n", MODEL "train: {loss: binary-cross-entropy}\n", "there are 3"},
        {"a,kind\n1,x\n2,y\n", MODEL "train: {loss: focal, augment: {mixup: 0.2}}\n", "the focal loss cannot take"},
        {"a,kind\n1,x\n2,y\n", MODEL "train: {validation: 0.1}\n", "leaves none for validation"},
        {"a,kind\n1e30,x\n-3e38,y\n2,x\n", MODEL "train: {optimizer: {kind: sgd, rate: 1000}}\n", "the loss is"},
    };
    char text[600], note[600] = "";
    if (!TN_WITH_YAML) skip();
    for (size_t i = 0; i < TN_COUNT(bad); i++) {
        tree_write(tree_at(root, "bad.csv"), bad[i].rows, strlen(bad[i].rows));
        snprintf(text, sizeof text, "name: bad\ndata: {train: bad.csv}\n" PIPELINE "%s", bad[i].text);
        tn_plan *plan = plan_of(text);
        if (tn_plan_train(plan, NULL, NULL) == TN_OK) fail_msg("data %zu: accepted", i);
        if (!strstr(tn_last_error(), bad[i].sentence))
            fail_msg("data %zu: '%s' without '%s'", i, tn_last_error(), bad[i].sentence);
        assert_int_equal(access(tree_at(root, "bad.tenon"), F_OK), -1);
        tn_plan_destroy(plan);
    }
    static const char rows[] = "a,same,kind\n1,4,x\n2,4,y\n3,4,x\n";
    tree_write(tree_at(root, "bad.csv"), rows, strlen(rows));
    tn_plan *plan =
        plan_of("name: noted\ndata: {train: bad.csv}\npipeline: {features: [{column: \"*\"}], target: {column: "
                "kind, encode: ordinal}}\n" MODEL "train: {epochs: 1}\n");
    tn_plan_options o = {.struct_size = sizeof o, .note = remember_note, .context = note};
    assert_ok(tn_plan_train(plan, &o, NULL));
    assert_non_null(strstr(note, "1 of 2 columns are constant in the rows for training, and teach nothing: same"));
    tn_plan_destroy(plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_are_learnt_and_measured_from_raw_columns),
        cmocka_unit_test(a_run_that_stops_goes_on_to_the_same_bytes),
        cmocka_unit_test(snapshots_of_cycles_are_one_model),
        cmocka_unit_test(mixtures_of_classes_are_learnt),
        cmocka_unit_test(checkpoints_of_other_plans_and_damaged_ones_are_refused),
        cmocka_unit_test(numbers_are_learnt_in_their_own_unit),
        cmocka_unit_test(every_layer_trains),
        cmocka_unit_test(codes_are_embedded_and_binary_and_rebuilt),
        cmocka_unit_test(a_variational_autoencoder_trains),
        cmocka_unit_test(losses_take_their_options),
        cmocka_unit_test(a_model_is_tuned_to_another_target),
        cmocka_unit_test(what_is_wrong_in_a_plan_is_named_with_its_line),
        cmocka_unit_test(what_is_wrong_in_the_data_is_named),
    };
    return cmocka_run_group_tests_name("plan", tests, setup, teardown);
}
