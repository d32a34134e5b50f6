/* Cross-validation by plans: each row is tested once, by a model that has not seen it; means of figures have intervals. */
#include "unit.h"
#include <math.h>
#include <stdio.h>
#include <tenon/tenon.h>
#include "tree.h"

TREE_ROOT("plan_folds")

enum { ROWS = 95, FOLDS = 4 };

#define PLAN(data)                                                                                                     \
    "name: waves\ndata: {train: rows.csv" data "}\n"                                                                   \
    "pipeline: {features: [{column: x}], target: {column: kind, encode: ordinal}}\n"                                   \
    "model: {layers: [{dense: 4, activation: tanh}]}\ntrain: {epochs: 3}\n"

static void each_row_is_tested_once(void **state) {
    (void)state;
    int64_t tested = 0;
    if (!TN_WITH_YAML) skip();
    FILE *rows = fopen(tree_at(root, "rows.csv"), "w");
    assert_non_null(rows);
    for (int i = -1; i < ROWS; i++)
        fprintf(rows, i < 0 ? "x,kind\n" : "%g,%s\n", sin(i), sin(i) > 0.2 ? "high" : "low");
    fclose(rows);
    for (int fold = 1; fold <= FOLDS; fold++) {
        tn_plan *plan;
        char name[60];
        tn_plan_result r = {.struct_size = sizeof r};
        assert_ok(tn_plan_parse(PLAN(""), sizeof PLAN("") - 1, root, &plan));
        assert_ok(tn_plan_set_fold(plan, FOLDS, fold));
        assert_ok(tn_plan_train(plan, NULL, &r));
        assert_int_equal(r.train_rows + r.test_rows, ROWS);
        assert_in_range(r.test_rows, ROWS / FOLDS, ROWS / FOLDS + 2);
        tested += r.test_rows;
        snprintf(name, sizeof name, "waves.fold-%d.tenon", fold);
        assert_string_equal(tn_plan_output(plan), tree_at(root, name));
        assert_int_equal(access(tn_plan_output(plan), F_OK), 0);
        tn_plan_destroy(plan);
    }
    assert_int_equal(tested, ROWS);
}

static bool count_steps(void *context, const tn_plan_progress *p) {
    (void)p;
    ++*(int *)context;
    return true;
}

static int steps_of(const char *text, int folds, int fold) {
    tn_plan *plan;
    int steps = 0;
    const tn_plan_options o = {.struct_size = sizeof o, .resume = true, .progress = count_steps, .context = &steps};
    tn_plan_result r = {.struct_size = sizeof r};
    assert_ok(tn_plan_parse(text, strlen(text), root, &plan));
    assert_ok(tn_plan_set_fold(plan, folds, fold));
    assert_ok(tn_plan_train(plan, &o, &r));
    assert_int_equal(r.train_rows + r.test_rows, ROWS);
    tn_plan_destroy(plan);
    return steps;
}

/* Behind each_row_is_tested_once, whose models are there. */
static void folds_that_are_there_are_not_trained_again(void **state) {
    (void)state;
    size_t size, again;
    if (!TN_WITH_YAML) skip();
    char *before = tree_read(tree_at(root, "waves.fold-2.tenon"), &size);
    assert_int_equal(steps_of(PLAN(""), FOLDS, 2), 0);
    char *after = tree_read(tree_at(root, "waves.fold-2.tenon"), &again);
    assert_int_equal(size, again);
    assert_memory_equal(before, after, size);
    free(before);
    free(after);
    assert_true(steps_of(PLAN(""), FOLDS + 1, 2) > 0); /* another part of the rows */
    assert_int_equal(steps_of(PLAN(""), FOLDS + 1, 2), 0);
    assert_true(steps_of(PLAN("") "title: other\n", FOLDS + 1, 2) > 0);
    tree_write(tree_at(root, "waves.fold-3.tenon"), "torn", 4);
    assert_true(steps_of(PLAN(""), FOLDS, 3) > 0);
}

static void folds_that_cannot_be_are_refused(void **state) {
    (void)state;
    tn_plan *plan;
    if (!TN_WITH_YAML) skip();
    assert_ok(tn_plan_parse(PLAN(", test: test.csv"), sizeof PLAN(", test: test.csv") - 1, root, &plan));
    assert_int_equal(tn_plan_set_fold(plan, 5, 6), TN_E_INVALID);
    assert_int_equal(tn_plan_set_fold(plan, 5, 1), TN_E_FORMAT);
    assert_non_null(strstr(tn_last_error(), "folds are of 'train' alone"));
    tn_plan_destroy(plan);
}

/* Beside scipy.stats.t.interval. */
static void means_have_students_intervals(void **state) {
    (void)state;
    static const double values[] = {1, 2, 3, 4, 5, 3, 2, 4};
    static const struct {
        int count;
        double part, low, high;
    } cases[] = {
        {2, 0.95, -4.853102368087347, 7.853102368087347},
        {3, 0.95, -0.48413771175032996, 4.48413771175033},
        {5, 0.95, 1.0367568385224393, 4.963243161477561},
        {8, 0.9, 2.122980523404315, 3.877019476595685},
    };
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        double mean, low, high;
        assert_ok(tn_mean_interval(values, cases[i].count, cases[i].part, &mean, &low, &high));
        if (!(fabs(low - cases[i].low) < 1e-9 && fabs(high - cases[i].high) < 1e-9))
            fail_msg("%d: %.15g to %.15g", cases[i].count, low, high);
        assert_true(fabs(mean - (low + high) / 2) < 1e-12);
    }
    double mean, low, high;
    assert_int_equal(tn_mean_interval(values, 1, 0.95, &mean, &low, &high), TN_E_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_is_tested_once),
        cmocka_unit_test(folds_that_are_there_are_not_trained_again),
        cmocka_unit_test(folds_that_cannot_be_are_refused),
        cmocka_unit_test(means_have_students_intervals),
    };
    return cmocka_run_group_tests_name("plan_folds", tests, setup, teardown);
}
