/* Retraining by plans: what compression lost comes back, in the integers and zeros that it made; a run that is stopped there
 * goes on there, to the same bytes. */
#include "unit.h"
#include <math.h>
#include <stdio.h>
#include <tenon/tenon.h>
#include "graph/graph.h"
#include "tree.h"

TREE_ROOT("plan_retrain")

enum { ROWS = 240, AGAIN = 7 };

/* A point is inside if it is near 0. */
static void write_rows(void) {
    FILE *file = fopen(tree_at(root, "rows.csv"), "w");
    assert_non_null(file);
    fputs("a,b,kind\n", file);
    for (int i = 0; i < ROWS; i++) {
        double r = i % 2 ? 0.7 : 1.8;
        fprintf(file, "%.6f,%.6f,%s\n", r * cos(2.399 * i), r * sin(2.399 * i), i % 2 ? "inside" : "outside");
    }
    fclose(file);
}

#define PLAN(name)                                                                                                     \
    "name: " name "\ndata: {train: rows.csv}\n"                                                                        \
    "pipeline: {features: [{column: a}, {column: b}], target: {column: kind, encode: ordinal}}\n"                      \
    "model: {layers: [{dense: 24, activation: relu}, {dense: 24, activation: relu}]}\n"                                \
    "train: {epochs: 40, batch: 24, optimizer: {rate: 0.01}}\n"
#define RETRAIN "retrain: {epochs: 7, rate: 0.003}\n"

static tn_status train(const char *text, const tn_plan_options *options) {
    tn_plan *plan;
    tn_status status = tn_plan_parse(text, strlen(text), root, &plan);
    if (status != TN_OK) return status;
    status = tn_plan_train(plan, options, NULL);
    tn_plan_destroy(plan);
    return status;
}

static double log_loss(const char *name) {
    tn_model *model;
    tn_table *table;
    tn_evaluation *e;
    double value;
    assert_ok(tn_model_load(tree_at(root, name), NULL, &model));
    assert_ok(tn_table_read(tree_at(root, "rows.csv"), NULL, &table));
    assert_ok(tn_evaluate(model, table, NULL, &e));
    assert_ok(tn_metrics_value(tn_evaluation_metrics(e), "log_loss", &value));
    tn_evaluation_destroy(e);
    tn_table_destroy(table);
    tn_model_destroy(model);
    return value;
}

/* Of the matrices of a type: how many numbers there are, and how many are between low and high. */
static void look_at(const char *name, tn_dtype dtype, double low, double high, int64_t *out_count,
                    int64_t *out_within) {
    tn_graph *graph;
    *out_count = *out_within = 0;
    assert_ok(tn_graph_load(tree_at(root, name), NULL, &graph));
    for (int v = 0; v < graph->value_count; v++) {
        const tn_tensor *t = graph->values[v].constant;
        if (!t || t->dtype != dtype || t->rank < 2) continue;
        for (int64_t i = 0; i < tn_count(t); i++) {
            double x = dtype == TN_INT8 ? ((const int8_t *)t->data)[i] : (double)((const float *)t->data)[i];
            *out_within += x >= low && x <= high;
            ++*out_count;
        }
    }
    tn_graph_destroy(graph);
}

static void weights_of_two_bits_learn_what_rounding_lost(void **state) {
    (void)state;
    int64_t count, within;
    if (!TN_WITH_YAML) skip();
    write_rows();
    assert_ok(train(PLAN("rounded") "compress: [quantize: {weight_bits: 2}]\n", NULL));
    assert_ok(train(PLAN("learnt") "compress: [quantize: {weight_bits: 2}]\n" RETRAIN, NULL));
    if (!(log_loss("learnt.tenon") < 0.5 * log_loss("rounded.tenon")))
        fail_msg("the log loss was %g and is %g", log_loss("rounded.tenon"), log_loss("learnt.tenon"));
    look_at("learnt.tenon", TN_INT8, -1, 1, &count, &within);
    assert_int_equal(count, 2 * 24 + 24 * 24 + 24 * 2);
    assert_int_equal(within, count);
    look_at("learnt.tenon", TN_FLOAT32, -1, 1, &count, &within);
    assert_int_equal(count, 0);
}

static void what_pruning_made_zero_stays_zero(void **state) {
    (void)state;
    int64_t count, within;
    if (!TN_WITH_YAML) skip();
    write_rows();
    assert_ok(train(PLAN("pruned") "compress: [prune: {sparsity: 0.8}]\n", NULL));
    assert_ok(train(PLAN("regrown") "compress: [prune: {sparsity: 0.8}]\n" RETRAIN, NULL));
    assert_true(log_loss("regrown.tenon") < 0.5 * log_loss("pruned.tenon"));
    look_at("regrown.tenon", TN_FLOAT32, 0, 0, &count, &within);
    assert_int_equal(count, 2 * 24 + 24 * 24 + 24 * 2);
    assert_true(within >= 0.79 * count && within < 0.82 * count);
}

static bool until_retrained(void *context, const tn_plan_progress *p) {
    (void)context;
    return p->epochs != AGAIN || p->epoch < 4;
}

static void a_run_that_is_stopped_while_it_retrains_goes_on_there(void **state) {
    (void)state;
    size_t sizes[2];
    const char *const plan = PLAN("stopped") "compress: [prune: {sparsity: 0.5}, quantize: {}]\n" RETRAIN;
    const tn_plan_options stops = {.struct_size = sizeof stops, .progress = until_retrained},
                          resumes = {.struct_size = sizeof resumes, .resume = true};
    if (!TN_WITH_YAML) skip();
    write_rows();
    assert_ok(train(plan, NULL));
    char *whole = tree_read(tree_at(root, "stopped.tenon"), &sizes[0]);
    assert_int_equal(unlink(tree_at(root, "stopped.tenon")), 0);
    assert_int_equal(train(plan, &stops), TN_E_INTERRUPTED);
    assert_int_equal(access(tree_at(root, "stopped.tenon.retraining.checkpoint"), F_OK), 0);
    assert_ok(train(plan, &resumes));
    char *resumed = tree_read(tree_at(root, "stopped.tenon"), &sizes[1]);
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(whole, resumed, sizes[0]);
    assert_int_not_equal(access(tree_at(root, "stopped.tenon.checkpoint"), F_OK), 0);
    assert_int_not_equal(access(tree_at(root, "stopped.tenon.retraining.checkpoint"), F_OK), 0);
    free(whole);
    free(resumed);
}

static void what_cannot_be_retrained_is_refused(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    assert_int_equal(train(PLAN("x") RETRAIN, NULL), TN_E_FORMAT);
    assert_non_null(strstr(tn_last_error(), "no 'compress'"));
    assert_int_equal(train(PLAN("x") "compress: [weights: {bits: 4}]\n" RETRAIN, NULL), TN_E_FORMAT);
    assert_non_null(strstr(tn_last_error(), "step 1 is 'weights'"));
    assert_int_equal(train(PLAN("x") "compress: [quantize: {dynamic: true}]\n" RETRAIN, NULL), TN_E_FORMAT);
    assert_non_null(strstr(tn_last_error(), "step 1 is 'quantize'"));
    assert_int_equal(train(PLAN("x") "compress: [quantize: {weight_bits: 9}]\n", NULL), TN_E_FORMAT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_of_two_bits_learn_what_rounding_lost),
        cmocka_unit_test(what_pruning_made_zero_stays_zero),
        cmocka_unit_test(a_run_that_is_stopped_while_it_retrains_goes_on_there),
        cmocka_unit_test(what_cannot_be_retrained_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
