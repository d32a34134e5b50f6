/* Data beyond a limit: pieces of memory that lie in files, and plans that learn from them what they learn in memory. */
#include "unit.h"
#include <math.h>
#include <stdio.h>
#include <tenon/tenon.h>
#include "data/spill.h"
#include "tree.h"

TREE_ROOT("spill")

#define KB ((size_t)1 << 10)

static void pieces_beyond_the_limit_lie_in_files(void **state) {
    (void)state;
    tn_spill s;
    tn_spill_init(&s, tree_at(root, "beside"), 300 * KB);
    const size_t sizes[] = {200 * KB, 200 * KB, 100 * KB, 150 * KB, 90 * KB, 128 * KB};
    const bool filed[] = {false, true, false, true, false, true};
    char *pieces[TN_COUNT(sizes)];
    for (int round = 0; round < 2; round++) { /* what is freed can be had again */
        for (size_t i = 0; i < TN_COUNT(sizes); i++) {
            pieces[i] = tn_alloc(&s.allocator, sizes[i]);
            assert_non_null(pieces[i]);
            memset(pieces[i], (int)i, sizes[i]);
        }
        tn_spill_in_order(&s, NULL, true);
        for (size_t i = 0; i < TN_COUNT(sizes); i++) {
            assert_int_equal(tn_spill_has(&s, pieces[i] + sizes[i] - 1), filed[i]);
            tn_spill_in_order(&s, pieces[i], false);
            tn_spill_ask(pieces[i] + 1, sizes[i] - 1);
            assert_int_equal(pieces[i][sizes[i] / 2], (char)i);
        }
        assert_int_equal(s.used, 200 * KB);
        for (size_t i = 0; i < TN_COUNT(sizes); i++) /* in another order than they came in */
            tn_free(&s.allocator, pieces[(i * 5 + 2) % TN_COUNT(sizes)], sizes[(i * 5 + 2) % TN_COUNT(sizes)]);
        assert_int_equal(s.used, 0);
        assert_null(s.files);
    }
    tn_spill_init(&s, tree_at(root, "missing/beside"), 1);
    assert_null(tn_alloc(&s.allocator, 128 * KB));
    assert_int_not_equal(s.error, 0);
}

/* ---- plans ---- */

static void write_rows(const char *name, int rows, int columns) {
    FILE *file = fopen(tree_at(root, name), "w");
    uint32_t state = 1;
    assert_non_null(file);
    for (int c = 0; c < columns; c++) fprintf(file, "%sc%d", c ? "," : "", c);
    for (int i = 0; i < rows * columns; i++) {
        state = state * 1664525 + 1013904223;
        fputs(i % columns ? "," : "\n", file);
        if (i % 11 || i % columns == 0)
            fprintf(file, "%u", state >> 20); /* else it is missing; never the first column */
    }
    fputs("\n", file);
    fclose(file);
}

static bool stop_early(void *context, const tn_plan_progress *p) {
    (void)context;
    return p->epoch != 2 || p->step != 17;
}

/* Trains, and leaves the last losses. */
static tn_plan_result train(const char *name, int megabytes, const char *pipeline, int threads, bool stops) {
    char text[1000];
    tn_plan *plan;
    tn_plan_result r = {.struct_size = sizeof r};
    snprintf(text, sizeof text,
             "name: rows\ndata: {train: %s, memory: %d}\npipeline: {%s}\n"
             "model: {layers: [{dense: 4, activation: tanh}]}\n"
             "train: {epochs: 2, batch: 300, validation: 0.1, augment: {noise: 0.01}}\n",
             name, megabytes, pipeline);
    assert_ok(tn_plan_parse(text, strlen(text), root, &plan));
    tn_plan_options o = {.struct_size = sizeof o, .threads = threads, .progress = stops ? stop_early : NULL};
    if (stops) assert_int_equal(tn_plan_train(plan, &o, &r), TN_E_INTERRUPTED);
    o.progress = NULL;
    o.resume = stops;
    assert_ok(tn_plan_train(plan, &o, &r));
    assert_int_equal(r.resumed, stops);
    tn_plan_destroy(plan);
    return r;
}

static void plans_learn_the_same_beyond_the_limit(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    /* 4.3 MB of samples, for which half of 1 MB is too little by more than eight times. */
    write_rows("wide.csv", 18000, 60);
    write_rows("long.csv", 50000, 3);
    static const char *const pipelines[] = {
        "features: [{column: \"*\", scale: standard, missing: mean}], target: {column: c0, scale: standard}",
        "features: [{column: c0, scale: min-max}, {column: \"*\", scale: standard, missing: interpolate}]",
        "features: [{column: c0, scale: standard}, {column: c1, missing: last, scale: standard}], "
        "target: {column: c0, scale: standard}, series: {length: 20, horizon: 1}",
        "features: [{column: c0, scale: standard}, {column: c1, missing: drop, scale: standard}], "
        "series: {lags: [20, 2, 0]}",
    };
    for (size_t i = 0; i < TN_COUNT(pipelines); i++) {
        const char *name = strstr(pipelines[i], "series") ? "long.csv" : "wide.csv";
        const tn_plan_result inside = train(name, 4096, pipelines[i], 1, false);
        assert_true(inside.train_rows > 0 && isfinite(inside.loss) && isfinite(inside.validation));
        for (int way = 0; way < 3; way++) {
            const tn_plan_result beyond = train(name, 1, pipelines[i], 1 + way % 2, way == 2);
            assert_int_equal(beyond.train_rows, inside.train_rows);
            assert_true(beyond.loss == inside.loss && beyond.validation == inside.validation);
        }
    }
}

/* An evaluation runs windows as it gathers them; all of them are made for whoever asks. */
static void windows_are_measured_without_being_made(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    write_rows("short.csv", 700, 3);
    static const char *const pipelines[] = {
        "features: [{column: c0, scale: standard}, {column: c1, missing: last, scale: standard}], "
        "target: {column: c0, scale: standard}, series: {length: 20, horizon: 1}",
        "features: [{column: c0, scale: standard}, {column: c1, missing: drop, scale: standard}], "
        "series: {lags: [20, 2, 0]}",
    };
    for (size_t i = 0; i < TN_COUNT(pipelines); i++) {
        tn_model *model;
        tn_table *table, *prepared;
        tn_pipeline *pipeline;
        tn_evaluation *e;
        tn_tensor *x, *y, *predicted;
        train("short.csv", 4096, pipelines[i], 1, false);
        assert_ok(tn_model_load(tree_at(root, "rows.tenon"), NULL, &model));
        assert_ok(tn_table_read(tree_at(root, "short.csv"), NULL, &table));
        assert_ok(tn_pipeline_of_model(model, &pipeline));
        assert_ok(tn_pipeline_prepare(pipeline, table, &prepared));
        const tn_table *rows = prepared ? prepared : table;
        assert_ok(tn_evaluate(model, table, &(tn_evaluate_options){.struct_size = sizeof(tn_evaluate_options)}, &e));
        assert_ok(tn_pipeline_apply(pipeline, rows, NULL, 0, &x, &y));
        assert_ok(tn_predict(model, x, 1, &predicted));
        tn_pipeline_destroy(pipeline); /* windows outlive it */
        tn_table_destroy(prepared);
        tn_table_destroy(table);
        assert_true(tn_tensor_count(x) > 600);
        assert_int_equal(tn_tensor_bytes(tn_evaluation_predicted(e)), tn_tensor_bytes(predicted));
        assert_memory_equal(tn_tensor_const_data(tn_evaluation_predicted(e)), tn_tensor_data(predicted),
                            tn_tensor_bytes(predicted));
        const tn_tensor *inputs = tn_evaluation_inputs(e);
        assert_ptr_equal(inputs, tn_evaluation_inputs(e));
        assert_int_equal(tn_tensor_dims(inputs)[0], tn_tensor_dims(x)[0]);
        assert_int_equal(tn_tensor_bytes(inputs), tn_tensor_bytes(x));
        assert_memory_equal(tn_tensor_const_data(inputs), tn_tensor_data(x), tn_tensor_bytes(x));
        assert_int_equal(tn_evaluation_truth(e) == inputs, i == 1);
        double before, after;
        assert_ok(tn_metrics_value(tn_evaluation_metrics(e), "rmse", &before));
        assert_ok(tn_evaluation_value(e, model, x, "rmse", &after));
        assert_true(before == after);
        tn_tensor_destroy(predicted);
        tn_tensor_destroy(x);
        tn_tensor_destroy(y);
        tn_evaluation_destroy(e);
        tn_model_destroy(model);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_beyond_the_limit_lie_in_files),
        cmocka_unit_test(plans_learn_the_same_beyond_the_limit),
        cmocka_unit_test(windows_are_measured_without_being_made),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
