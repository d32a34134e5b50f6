/* Plans whose target are sequences: words that are read off steps; what is read and how it is measured; what cannot be is
 * refused. */
#include "unit.h"
#include <math.h>
#include <stdio.h>
#include <tenon/tenon.h>
#include "ops.h"
#include "tree.h"

TREE_ROOT("plan_sequences")

enum { ROWS = 300, STEPS = 24 };

static const char *const words[] = {"up", "down", "flat"};

/* One to four waves of six steps each, one behind the other. */
static void write_rows(const char *name, const char *extra) {
    FILE *file = fopen(tree_at(root, name), "w");
    uint32_t seed = 5;
    assert_non_null(file);
    for (int i = 0; i < STEPS; i++) fprintf(file, "x%d,", i);
    fputs("said\n", file);
    for (int r = 0; r < ROWS; r++) {
        char said[60] = "";
        double x[STEPS] = {0};
        int count = 1 + (int)((seed = seed * 1664525u + 1013904223u) >> 24) % 4;
        for (int i = 0; i < count; i++) {
            int word = (int)((seed = seed * 1664525u + 1013904223u) >> 24) % 3;
            strcat(strcat(said, i ? " " : ""), words[word]);
            for (int k = 0; k < 4; k++) x[6 * i + k] = word == 0 ? 0.3 * (k + 1) : word == 1 ? 1.5 - 0.3 * k : -1;
        }
        for (int i = 0; i < STEPS; i++) fprintf(file, "%.3f,", x[i] + 0.05 * sin(r * 31 + i * 17));
        fprintf(file, "%s%s\n", said, r == 7 ? extra : "");
    }
    fclose(file);
}

#define PLAN(name, data, target, layers, loss)                                                                         \
    "name: " name "\ndata: {" data "}\n"                                                                               \
    "pipeline: {features: [{column: \"x*\"}], target: {column: said, encode: " target "}}\n"                           \
    "model: {shape: [1, 24], layers: [" layers "]}\n"                                                                  \
    "train: {epochs: 30, batch: 20, optimizer: {rate: 0.01}" loss "}\n"
#define LAYERS "{conv: 16, kernel: 5, activation: relu}, {conv: 16, kernel: 5, activation: relu}"

static tn_status train(const char *text) {
    tn_plan *plan;
    tn_status status = tn_plan_parse(text, strlen(text), root, &plan);
    if (status != TN_OK) return status;
    status = tn_plan_train(plan, NULL, NULL);
    tn_plan_destroy(plan);
    return status;
}

static double figure(const tn_manifest *m, const char *name, const char *data) {
    char path[40];
    for (int i = 0; i < tn_manifest_count(m, "metrics"); i++) {
        snprintf(path, sizeof path, "metrics/%d/name", i);
        bool same = strcmp(tn_manifest_get(m, path), name) == 0;
        snprintf(path, sizeof path, "metrics/%d/data", i);
        if (!same || strcmp(tn_manifest_get(m, path), data) != 0) continue;
        snprintf(path, sizeof path, "metrics/%d/value", i);
        return strtod(tn_manifest_get(m, path), NULL);
    }
    return -1;
}

static void words_are_read_off_steps(void **state) {
    (void)state;
    tn_model *model;
    tn_manifest *m;
    tn_pipeline *p;
    tn_table *table;
    tn_tensor *x, *y, *predicted, *labels;
    double right, errors;
    if (!TN_WITH_YAML) skip();
    write_rows("rows.csv", "");
    assert_ok(train(PLAN("said", "train: rows.csv, test: rows.csv", "sequence", LAYERS, "")));
    assert_ok(tn_model_load(tree_at(root, "said.tenon"), NULL, &model));
    const char *text = tn_model_manifest(model);
    assert_ok(tn_manifest_parse(text, strlen(text), &m));
    assert_true(figure(m, "sequence_accuracy", "said-test") > 0.97);
    assert_true(figure(m, "label_error_rate", "said-train") < 0.01);
    tn_manifest_destroy(m);
    /* the same from outside, by the pipeline that the file has */
    assert_ok(tn_table_read(tree_at(root, "rows.csv"), NULL, &table));
    assert_ok(tn_pipeline_of_model(model, &p));
    assert_ok(tn_pipeline_apply(p, table, NULL, 0, &x, &y));
    assert_int_equal(y->rank, 2);
    assert_int_equal(y->dims[1], 4);
    assert_ok(tn_predict(model, x, 1, &predicted));
    assert_int_equal(predicted->dims[1], 4);
    assert_int_equal(predicted->dims[2], STEPS);
    assert_ok(tn_sequences_read(predicted, &labels));
    assert_ok(tn_sequences_score(y, labels, &right, &errors));
    assert_true(right > 0.97 && errors < 0.01);
    tn_tensor *all[] = {x, y, predicted, labels};
    for (int i = 0; i < 4; i++) tn_tensor_destroy(all[i]);
    const char *written;
    assert_ok(tn_pipeline_write(p, &written));
    for (int i = 0; i < 3; i++) {
        const char *at = strstr(strstr(written, "categories"), words[i]);
        assert_non_null(at);
        assert_true(strchr(",]\n\"'", at[strlen(words[i])]) != NULL); /* the word, and nothing that stood behind it */
    }
    tn_pipeline_destroy(p);
    tn_evaluation *e;
    double again, low, high, losses[ROWS];
    assert_ok(tn_evaluate(model, table, NULL, &e));
    assert_int_equal(tn_evaluation_task(e), TN_TASK_SEQUENCES);
    tn_metrics *measured = tn_evaluation_metrics(e);
    assert_int_equal(tn_metrics_samples(measured), ROWS);
    assert_int_equal(tn_metrics_classes(measured), 0);
    assert_ok(tn_metrics_value(measured, "sequence_accuracy", &again));
    assert_true(again == right);
    assert_ok(tn_metrics_interval(measured, "sequence_accuracy", NULL, &low, &high));
    assert_true(low <= right && right <= high && low > 0.9);
    assert_ok(tn_metrics_value(measured, "label_error_rate", &again));
    assert_true(again == errors);
    assert_int_equal(tn_metrics_value(measured, "accuracy", &again), TN_E_INVALID);
    assert_non_null(strstr(tn_last_error(), "the truth is sequences"));
    assert_ok(tn_evaluation_losses(e, losses));
    for (int i = 0; i < ROWS; i++) again += losses[i];
    assert_true(again >= errors && again < 0.05 * ROWS);
    tn_evaluation_destroy(e);
    tn_table_destroy(table);
    tn_model_destroy(model);
}

static void repetitions_and_blanks_are_not_read(void **state) {
    (void)state;
    static const int path[] = {1, 1, 0, 1, 2, 2, 0, 0};
    tn_tensor *scores = make(TN_FLOAT32, DIMS(2, 3, 8), NULL), *labels;
    for (int t = 0; t < 8; t++) ((float *)scores->data)[path[t] * 8 + t] = 1;
    assert_ok(tn_sequences_read(scores, &labels));
    const int64_t expected[] = {1, 1, 2, -1, -1, -1, -1, -1};
    assert_memory_equal(labels->data, expected, sizeof expected);
    assert_int_equal(((const int64_t *)labels->data)[8], -1);
    tn_tensor_destroy(scores);
    tn_tensor_destroy(labels);
}

static void errors_are_edits_for_each_label(void **state) {
    (void)state;
    tn_tensor *truth = make(TN_INT64, DIMS(3, 4), VALUES(1, 2, 3, -1, 4, 4, -1, -1, 1, 2, 3, 4)),
              *labels = make(TN_INT64, DIMS(3, 5), VALUES(1, 2, 3, -1, -1, 4, -1, -1, -1, -1, 2, 1, 3, 4, 5));
    double right, errors;
    assert_ok(tn_sequences_score(truth, labels, &right, &errors));
    assert_true(fabs(right - 1.0 / 3) < 1e-12);
    assert_true(fabs(errors - (0 + 1 + 3) / 9.0) < 1e-12); /* of the last: two changed, one too many */
    tn_tensor *wide = make(TN_INT64, DIMS(2, 4), NULL);
    assert_int_equal(tn_sequences_score(wide, labels, &right, &errors), TN_E_SHAPE);
    tn_tensor_destroy(wide);
    tn_tensor_destroy(truth);
    tn_tensor_destroy(labels);
}

static void what_is_no_sequence_is_refused(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    write_rows("rows.csv", "");
    write_rows("odd.csv", " sideways");
    assert_int_equal(train(PLAN("x", "train: rows.csv", "sequence", LAYERS, ", loss: mse")), TN_E_FORMAT);
    assert_non_null(strstr(tn_last_error(), "has the loss 'ctc'"));
    assert_int_equal(train(PLAN("x", "train: rows.csv", "ordinal", LAYERS, ", loss: ctc")), TN_E_FORMAT);
    assert_int_equal(train(PLAN("x", "train: rows.csv", "sequence", LAYERS ", {dense: 4}", "")), TN_E_SHAPE);
    assert_int_equal(train(PLAN("x", "train: rows.csv, test: odd.csv", "sequence", LAYERS, "")), TN_E_INVALID);
    assert_non_null(strstr(tn_last_error(), "the word 'sideways'"));
    assert_int_equal(
        train("name: x\ndata: {train: rows.csv}\npipeline: {features: [{column: x1, encode: sequence}]}\nmodel: {}\n"),
        TN_E_FORMAT);
    assert_non_null(strstr(tn_last_error(), "sequences are for the target"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_read_off_steps),
        cmocka_unit_test(repetitions_and_blanks_are_not_read),
        cmocka_unit_test(errors_are_edits_for_each_label),
        cmocka_unit_test(what_is_no_sequence_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
