/* What is fitted of numbers with gaps and outliers, beside NumPy's and scikit-learn's figures. */
#include "unit.h"
#include <math.h>
#include <stdio.h>
#include <tenon/pipeline.h>

/* 10 values whose quartiles are 2, 3 and 4; 40 and -30 lie outside of the fences at -1 and 7. The last row is for testing. */
static const char rows[] = "a\n1\n2\n2\n3\n3\n3\n4\n4\n5\n40\nNA\n-30\n1000\n";
static const uint8_t part[13] = {[12] = 1};

typedef struct expected {
    const char *feature;
    int64_t count;    /* rows for training that are left */
    double values[4]; /* of the first, the one of 40, the missing one and -30, NaN: it is not there */
    double test;      /* of 1000 */
} expected;

static void check(const expected *e) {
    char text[200];
    const char *written;
    tn_pipeline *p, *again;
    tn_table *t;
    tn_tensor *x;
    snprintf(text, sizeof text, "features: [{column: a, %s}]\n", e->feature);
    assert_ok(tn_table_read_memory(rows, sizeof rows - 1, "t.csv",
                                   &(tn_csv_options){sizeof(tn_csv_options), 0, 0, false}, &t));
    assert_ok(tn_pipeline_parse(text, strlen(text), &p));
    assert_ok(tn_pipeline_fit(p, t, part));
    assert_ok(tn_pipeline_write(p, &written));
    assert_ok(tn_pipeline_parse(written, strlen(written), &again));
    for (int round = 0; round < 2; round++) { /* as fitted, and as read again */
        const tn_pipeline *use = round ? again : p;
        assert_ok(tn_pipeline_apply(use, t, part, 0, &x, NULL));
        assert_int_equal(tn_tensor_dims(x)[0], e->count);
        const float *values = tn_tensor_const_data(x);
        const int64_t at[] = {0, 9, 10, 11};
        for (int i = 0; i < 4; i++)
            if (!isnan(e->values[i])) assert_float_equal(values[at[i]], e->values[i], 1e-6);
        tn_tensor_destroy(x);
        assert_ok(tn_pipeline_apply(use, t, part, 1, &x, NULL));
        assert_int_equal(tn_tensor_count(x), isnan(e->test) ? 0 : 1);
        if (!isnan(e->test)) assert_float_equal(*(const float *)tn_tensor_const_data(x), e->test, 1e-6);
        tn_tensor_destroy(x);
    }
    tn_pipeline_destroy(p);
    tn_pipeline_destroy(again);
    tn_table_destroy(t);
}

static void outliers_and_gaps_are_filled_from_rows_for_training(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    const double root = sqrt(44.0 / 12); /* of the clipped values and the fill of 3: deviation */
    const expected cases[] = {
        {"missing: median", 12, {1, 40, 3, -30}, 1000},
        {"missing: mean", 12, {1, 40, 37.0 / 11, -30}, 1000},
        {"missing: median, outliers: clip", 12, {1, 7, 3, -1}, 7},
        {"missing: median, outliers: missing", 12, {1, 3, 3, 3}, 3},
        {"missing: drop, outliers: missing", 9, {1, NAN, NAN, NAN}, NAN},
        {"missing: drop, outliers: clip, fence: 100", 11, {1, 40, -30, NAN}, 204},
        {"missing: last, outliers: missing", 12, {1, 5, 5, 5}, 5},
        {"missing: median, outliers: clip, scale: standard", 12, {-2 / root, 4 / root, 0, -4 / root}, 4 / root},
        {"missing: mean, outliers: clip, scale: min-max", 12, {0.25, 1, 0.5, 0}, 1},
    };
    for (size_t i = 0; i < TN_COUNT(cases); i++) check(&cases[i]);
}

static void quartiles_that_are_one_value_make_no_outliers(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    const char *same = "a\n5\n5\n5\n5\n5\n9\n1\n", *text = "features: [{column: a, outliers: clip}]\n";
    tn_pipeline *p;
    tn_table *t;
    tn_tensor *x;
    assert_ok(tn_table_read_memory(same, strlen(same), "t.csv", NULL, &t));
    assert_ok(tn_pipeline_parse(text, strlen(text), &p));
    assert_ok(tn_pipeline_fit(p, t, NULL));
    assert_ok(tn_pipeline_apply(p, t, NULL, 0, &x, NULL));
    assert_memory_equal(tn_tensor_const_data(x), ((float[]){5, 5, 5, 5, 5, 9, 1}), 28);
    tn_tensor_destroy(x);
    tn_pipeline_destroy(p);
    tn_table_destroy(t);
}

/* Rows 0 to 20 of groups of 1 to 6, and of classes of 14 and 7. */
static tn_table *rows_of_groups(void) {
    char text[400] = "a,group,kind\n";
    tn_table *t;
    for (int g = 1, r = 0; g <= 6; g++)
        for (int i = 0; i < g; i++, r++)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%d,g%d,%s\n", r, g, r % 3 ? "x" : "y");
    assert_ok(tn_table_read_memory(text, strlen(text), "t.csv", NULL, &t));
    return t;
}

static void folds_share_all_rows_and_classes_or_groups(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    tn_table *t = rows_of_groups();
    for (int way = 0; way < 3; way++) {
        static const char *const by[] = {"ratio", "stratified", "group, column: group"};
        int times[21] = {0}, folds = way == 2 ? 3 : 4;
        for (int fold = 1; fold <= folds; fold++) {
            char text[200];
            uint8_t parts[21];
            tn_pipeline *p;
            int count = 0, second = 0;
            snprintf(text, sizeof text,
                     "features: [{column: a}]\ntarget: {column: kind, encode: ordinal}\n"
                     "split: {by: %s, folds: %d, fold: %d, seed: 3}\n",
                     by[way], folds, fold);
            assert_ok(tn_pipeline_parse(text, strlen(text), &p));
            assert_ok(tn_pipeline_split(p, t, parts));
            for (int r = 0; r < 21; r++) {
                count += parts[r];
                times[r] += parts[r];
                second += parts[r] && r % 3 == 0;
                bool together = way == 2 && r && tn_table_codes(t, 1)[r] == tn_table_codes(t, 1)[r - 1];
                if (together) assert_int_equal(parts[r], parts[r - 1]);
            }
            assert_in_range(count, way == 2 ? 7 : 5, way == 2 ? 7 : 6); /* 6 + 1, 5 + 2, 4 + 3 */
            if (way == 1) assert_in_range(second, 1, 2);
            tn_pipeline_destroy(p);
        }
        for (int r = 0; r < 21; r++) assert_int_equal(times[r], 1);
    }
    tn_table_destroy(t);
}

/* Fold K of 4 tests on what follows all that it is trained on; times that are equal stay together; later rows wait. */
static void folds_of_time_never_look_ahead(void **state) {
    (void)state;
    static const int firsts[] = {5, 9, 13, 17}, ends[] = {9, 13, 17, 21};
    if (!TN_WITH_YAML) skip();
    tn_table *t = rows_of_groups();
    for (int fold = 1; fold <= 4; fold++) {
        char text[200];
        uint8_t parts[21];
        tn_pipeline *p;
        snprintf(text, sizeof text,
                 "features: [{column: kind, encode: ordinal}]\n"
                 "split: {by: time, column: a, folds: 4, fold: %d}\n",
                 fold);
        assert_ok(tn_pipeline_parse(text, strlen(text), &p));
        assert_ok(tn_pipeline_split(p, t, parts));
        int first = 0, end = 0;
        while (first < 21 && parts[first] == 0) first++;
        for (end = first; end < 21 && parts[end] == 1;) end++;
        for (int r = end; r < 21; r++) assert_int_equal(parts[r], 3);
        assert_in_range(first, firsts[fold - 1] - 1, firsts[fold - 1]);
        assert_in_range(end, ends[fold - 1] - 1, ends[fold - 1]);
        tn_pipeline_destroy(p);
    }
    tn_table_destroy(t);
}

static void wrong_words_are_refused(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    static const char *const cases[][2] = {
        {"outliers: drop", "'outliers' is one of clip, missing"},
        {"fence: 2", "'fence' is of 'outliers'"},
        {"outliers: clip, fence: -1", "'fence' is a number from 0"},
        {"outliers: clip, encode: ordinal", "codes have no outliers"},
        {"missing: mode", "'missing' is one of drop, mean, last, interpolate, median"},
        {"outliers: clip, fitted: {fill: 1, low: 2, high: 1}", "'low' is above 'high'"},
    };
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        char text[200];
        tn_pipeline *p;
        snprintf(text, sizeof text, "features: [{column: a, %s}]\n", cases[i][0]);
        assert_int_equal(tn_pipeline_parse(text, strlen(text), &p), TN_E_FORMAT);
        if (!strstr(tn_last_error(), cases[i][1])) fail_msg("%zu: %s", i, tn_last_error());
    }
    static const char *const splits[][2] = {
        {"folds: 5", "'fold' one from 1 to that"},
        {"folds: 5, fold: 6", "'fold' one from 1 to that"},
        {"folds: 1, fold: 1", "from 2 to 1000"},
        {"folds: 5, fold: 1, test: 0.2", "'test' or 'folds'"},
    };
    for (size_t i = 0; i < TN_COUNT(splits); i++) {
        char text[200];
        tn_pipeline *p;
        snprintf(text, sizeof text, "features: [{column: a}]\nsplit: {%s}\n", splits[i][0]);
        assert_int_equal(tn_pipeline_parse(text, strlen(text), &p), TN_E_FORMAT);
        if (!strstr(tn_last_error(), splits[i][1])) fail_msg("%zu: %s", i, tn_last_error());
    }
    const char *two = "a\n0\n1\n", *text = "features: [{column: a, missing: mean, outliers: missing, fence: 0}]\n";
    tn_pipeline *p;
    tn_table *t;
    assert_ok(tn_table_read_memory(two, strlen(two), "t.csv", NULL, &t));
    assert_ok(tn_pipeline_parse(text, strlen(text), &p));
    assert_int_equal(tn_pipeline_fit(p, t, NULL), TN_E_INVALID);
    assert_non_null(strstr(tn_last_error(), "all values for training count as outliers"));
    tn_pipeline_destroy(p);
    tn_table_destroy(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outliers_and_gaps_are_filled_from_rows_for_training),
        cmocka_unit_test(quartiles_that_are_one_value_make_no_outliers),
        cmocka_unit_test(folds_share_all_rows_and_classes_or_groups),
        cmocka_unit_test(folds_of_time_never_look_ahead),
        cmocka_unit_test(wrong_words_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
