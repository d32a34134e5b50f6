/* Distillation by plans: what a teacher says is learnt instead of labels; teachers that do not fit are refused. */
#include "unit.h"
#include <math.h>
#include <stdio.h>
#include <tenon/tenon.h>
#include "tree.h"

TREE_ROOT("plan_teacher")

enum { ROWS = 240 };

/* A point is inside if it is near 0. Of the rows in wrong.csv each third has the wrong label. */
static void write_rows(const char *name, bool wrong) {
    FILE *file = fopen(tree_at(root, name), "w");
    assert_non_null(file);
    fputs("a,b,kind\n", file);
    for (int i = 0; i < ROWS; i++) {
        double r = i % 2 ? 0.7 : 1.8;
        bool inside = (i % 2) != (wrong && i % 3 == 0);
        fprintf(file, "%.6f,%.6f,%s\n", r * cos(2.399 * i), r * sin(2.399 * i), inside ? "inside" : "outside");
    }
    fclose(file);
}

#define HEAD(name, data)                                                                                               \
    "name: " name "\ndata: {train: " data "}\n"                                                                        \
    "pipeline: {features: [{column: a}, {column: b}], target: {column: kind, encode: ordinal}}\n"

static tn_status train(const char *text) {
    tn_plan *plan;
    assert_ok(tn_plan_parse(text, strlen(text), root, &plan));
    tn_status status = tn_plan_train(plan, NULL, NULL);
    tn_plan_destroy(plan);
    return status;
}

static double metric(const char *name, const char *metric_name) {
    tn_model *model;
    tn_table *table;
    tn_evaluation *e;
    double value;
    assert_ok(tn_model_load(tree_at(root, name), NULL, &model));
    assert_ok(tn_table_read(tree_at(root, "right.csv"), NULL, &table));
    assert_ok(tn_evaluate(model, table, NULL, &e));
    assert_ok(tn_metrics_value(tn_evaluation_metrics(e), metric_name, &value));
    tn_evaluation_destroy(e);
    tn_table_destroy(table);
    tn_model_destroy(model);
    return value;
}

#define LAYERS "model: {layers: [{dense: 16, activation: tanh}]}\n"
#define TRAIN "train: {epochs: 60, batch: 24, optimizer: {rate: 0.02}"

static void what_the_teacher_says_is_learnt(void **state) {
    (void)state;
    size_t size;
    if (!TN_WITH_YAML) skip();
    write_rows("right.csv", false);
    write_rows("wrong.csv", true);
    assert_ok(train(HEAD("teacher", "right.csv") LAYERS TRAIN "}\n"));
    assert_true(metric("teacher.tenon", "accuracy") > 0.99);
    assert_ok(train(HEAD("alone", "wrong.csv") LAYERS TRAIN "}\n"));
    assert_ok(train(HEAD("taught", "wrong.csv") LAYERS TRAIN ", teacher: {file: teacher.tenon, weight: 1}}\n"));
    assert_true(metric("taught.tenon", "accuracy") > 0.99);
    assert_true(metric("taught.tenon", "log_loss") < 0.3 * metric("alone.tenon", "log_loss"));
    assert_ok(
        train(HEAD("soft", "right.csv") LAYERS TRAIN ", teacher: {file: teacher.tenon, weight: 1, temperature: 8}}\n"));
    assert_true(metric("soft.tenon", "accuracy") > 0.99);
    assert_true(metric("soft.tenon", "log_loss") > 2 * metric("taught.tenon", "log_loss")); /* less sure of it */
    char *bytes = tree_read(tree_at(root, "taught.tenon"), &size);
    assert_non_null(memmem(bytes, size, "teacher: \"sha256:", 17) ? bytes
                                                                  : memmem(bytes, size, "teacher: sha256:", 16));
    free(bytes);
}

/* The divergence from a distribution differs from its cross-entropy by what no weight changes. */
static void divergences_are_learnt_as_cross_entropies_are(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    assert_ok(train(HEAD("divergence", "right.csv") LAYERS TRAIN ", loss: kl}\n"));
    assert_ok(train(HEAD("entropy", "right.csv") LAYERS TRAIN ", loss: cross-entropy}\n"));
    assert_true(metric("divergence.tenon", "accuracy") > 0.99);
    assert_true(fabs(metric("divergence.tenon", "log_loss") - metric("entropy.tenon", "log_loss")) < 1e-3);
    assert_ok(
        train(HEAD("near", "right.csv") LAYERS TRAIN ", loss: kl, teacher: {file: teacher.tenon, temperature: 4}}\n"));
    assert_ok(train(HEAD("by", "right.csv") LAYERS TRAIN ", teacher: {file: teacher.tenon, temperature: 4}}\n"));
    assert_true(fabs(metric("near.tenon", "log_loss") - metric("by.tenon", "log_loss")) < 1e-3);
    assert_int_equal(train("name: x\ndata: {train: right.csv}\npipeline: {features: [{column: a}], target: {column: b}}"
                           "\n" LAYERS TRAIN ", loss: kl}\n"),
                     TN_E_FORMAT);
}

static void teachers_that_do_not_fit_are_refused(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    assert_int_not_equal(train(HEAD("x", "right.csv") LAYERS TRAIN ", teacher: {file: none.tenon}}\n"), TN_OK);
    assert_non_null(strstr(tn_last_error(), "none.tenon"));
    assert_int_equal(train(HEAD("x", "right.csv") LAYERS TRAIN ", loss: focal, teacher: {file: teacher.tenon}}\n"),
                     TN_E_FORMAT);
    assert_non_null(strstr(tn_last_error(), "for the loss 'cross-entropy' or 'kl'"));
    assert_ok(train("name: numbers\ndata: {train: right.csv}\npipeline: {features: [{column: a}, {column: b}], "
                    "target: {column: a}}\n" LAYERS TRAIN "}\n"));
    assert_int_equal(train(HEAD("x", "right.csv") LAYERS TRAIN ", teacher: {file: numbers.tenon}}\n"), TN_E_FORMAT);
    assert_non_null(strstr(tn_last_error(), "probabilities of 2 classes were expected"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_teacher_says_is_learnt),
        cmocka_unit_test(divergences_are_learnt_as_cross_entropies_are),
        cmocka_unit_test(teachers_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests_name("plan_teacher", tests, setup, teardown);
}
