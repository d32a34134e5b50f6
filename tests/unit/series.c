/* Series: times, grids, windows, and splits that no window crosses. */
#include "unit.h"
#include <math.h>
#include <stdio.h>
#include <tenon/pipeline.h>
#include "data/series.h"

static tn_table *table_of(const char *text) {
    tn_table *t;
    assert_ok(tn_table_read_memory(text, strlen(text), "t.csv", NULL, &t));
    return t;
}

static tn_pipeline *pipeline_of(const char *text) {
    tn_pipeline *p;
    assert_ok(tn_pipeline_parse(text, strlen(text), &p));
    return p;
}

/* Numbers of a column after the pipeline's preparation; NaN is what is missing. */
static void check_column(const char *pipeline, const char *rows, const char *name, const double *expected,
                         int64_t count) {
    tn_table *t = table_of(rows), *prepared;
    tn_pipeline *p = pipeline_of(pipeline);
    assert_ok(tn_pipeline_prepare(p, t, &prepared));
    assert_non_null(prepared);
    assert_int_equal(tn_table_rows(prepared), count);
    const double *x = tn_table_numbers(prepared, tn_table_find(prepared, name));
    for (int64_t i = 0; i < count; i++)
        if (isnan(expected[i]) ? !isnan(x[i]) : fabs(x[i] - expected[i]) > 1e-9)
            fail_msg("row %lld of %s is %g, not %g", (long long)i, name, x[i], expected[i]);
    tn_table_destroy(prepared);
    tn_table_destroy(t);
    tn_pipeline_destroy(p);
}

static void times_are_read_as_iso_8601_writes_them(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double expected; /* NaN: it is none */
    } cases[] = {
        {"1970-01-01", 0},
        {"2015-03-01T12:30:00", 1425213000},
        {"2015-03-01 12:30", 1425213000},
        {"2015-03-01T12:30:00.5Z", 1425213000.5},
        {"2015-03-01T12:30:00+01:00", 1425209400},
        {"2015-03-01T12:30:00-0130", 1425218400},
        {"2000-02-29", 951782400},
        {"1969-12-31T23:59:59", -1},
        {"2015-13-01", NAN},
        {"2015-03-01T25:00", NAN},
        {"2015-03-01T12:30:00x", NAN},
        {"2015-03-01T", NAN},
        {"15-03-01", NAN},
        {"", NAN},
    };
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        double found;
        bool good = tn_time_of(tn_string_of(cases[i].text), &found);
        if (good == isnan(cases[i].expected) || (good && fabs(found - cases[i].expected) > 1e-6))
            fail_msg("%s: %d, %.3f", cases[i].text, good, found);
    }
}

/* Values as pandas' resample gives them, and numpy.interp for the last. */
static void grids_are_means_last_values_or_lines(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    const char *rows = "t,v,w\n"
                       "2015-03-01T00:25:00,4,\n" /* not in order */
                       "2015-03-01T00:05:00,1,x\n"
                       "2015-03-01T00:09:59,2,y\n"
                       "2015-03-01T00:21:00,,z\n"
                       "2015-03-01T00:45:00,9,x\n";
    check_column("features: [{column: v}]\nseries: {time: t, every: 600}", rows, "v", (double[]){1.5, NAN, 4, NAN, 9},
                 5);
    check_column("features: [{column: v}]\nseries: {time: t, every: 600, by: last}", rows, "v",
                 (double[]){2, NAN, 4, NAN, 9}, 5);
    check_column("features: [{column: v}]\nseries: {time: t, every: 600, by: interpolate}", rows, "v",
                 (double[]){NAN, 2 + 2.0 / 901, 2 + 2.0 * 601 / 901, 4 + 5.0 * 5 / 20, 4 + 5.0 * 15 / 20}, 5);
    check_column("features: [{column: v}]\nseries: {time: t, every: 600}", rows, "t",
                 (double[]){1425168000, 1425168600, 1425169200, 1425169800, 1425170400}, 5);
    check_column("features: [{column: v}]\nseries: {time: t}", rows, "v", (double[]){1, 2, NAN, 4, 9}, 5);
}

static void each_group_has_a_grid_of_its_own(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    const char *rows = "t,m,v\n0,b,10\n1,a,1\n2,b,12\n3,a,3\n";
    check_column("features: [{column: v}]\nseries: {time: t, group: m, every: 1}", rows, "v",
                 (double[]){10, NAN, 12, 1, NAN, 3}, 6);
    check_column("features: [{column: v}]\nseries: {time: t, group: m, every: 1}", rows, "t",
                 (double[]){0, 1, 2, 1, 2, 3}, 6);
}

typedef struct windows {
    int64_t count;
    int width;
    float x[8], y[8];
} windows;

static void check_windows(const char *pipeline, const char *rows, int wanted, const windows *expected) {
    tn_table *t = table_of(rows), *prepared;
    tn_pipeline *p = pipeline_of(pipeline), *again;
    tn_tensor *x, *y;
    const char *text;
    uint8_t part[16];
    assert_ok(tn_pipeline_prepare(p, t, &prepared));
    const tn_table *use = prepared ? prepared : t;
    assert_ok(tn_pipeline_split(p, use, part));
    assert_ok(tn_pipeline_fit(p, use, part));
    assert_ok(tn_pipeline_write(p, &text));
    assert_ok(tn_pipeline_parse(text, strlen(text), &again)); /* which is what a model's file has */
    assert_ok(tn_pipeline_apply(again, use, part, wanted, &x, &y));
    assert_int_equal(tn_tensor_dims(x)[0], expected->count);
    assert_int_equal(tn_tensor_dims(x)[1], expected->width);
    assert_int_equal(tn_pipeline_width(again), expected->width);
    assert_memory_equal(tn_tensor_const_data(x), expected->x,
                        (size_t)expected->count * (size_t)expected->width * sizeof(float));
    assert_int_equal(tn_tensor_dims(y)[0], expected->count);
    assert_memory_equal(tn_tensor_const_data(y), expected->y, (size_t)expected->count * sizeof(float));
    tn_tensor_destroy(x);
    tn_tensor_destroy(y);
    tn_pipeline_destroy(p);
    tn_pipeline_destroy(again);
    tn_table_destroy(prepared);
    tn_table_destroy(t);
}

static void windows_are_channels_first_and_keep_to_their_group_and_part(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    const char *plain = "a,b,y\n1,10,100\n2,20,200\n3,30,300\n4,40,400\n";
    check_windows("features: [{column: a}, {column: b}]\ntarget: {column: y}\nseries: {length: 2, horizon: 1}", plain,
                  0, &(windows){2, 4, {1, 2, 10, 20, 2, 3, 20, 30}, {300, 400}});
    check_windows("features: [{column: a}]\ntarget: {column: y}\nseries: {length: 2, stride: 2}", plain, 0,
                  &(windows){2, 2, {1, 2, 3, 4}, {200, 400}});
    check_windows("features: [{column: a}]\ntarget: {column: y}\nseries: {lags: [3, 0]}", plain, 0,
                  &(windows){1, 2, {1, 4}, {400}});
    const char *groups = "m,a,y\nq,3,30\np,1,10\np,2,20\nq,4,40\nq,5,50\n";
    check_windows("features: [{column: a}]\ntarget: {column: y}\nseries: {group: m, length: 2}", groups, 0,
                  &(windows){3, 2, {3, 4, 4, 5, 1, 2}, {40, 50, 20}});
    /* Rows 4 to 6 are for testing; no window has rows of both parts. */
    const char *times = "t,a,y\n1,1,1\n2,2,2\n3,3,3\n4,4,4\n5,5,5\n6,6,6\n";
    const char *by_time = "features: [{column: a}]\ntarget: {column: y}\nsplit: {by: time, column: t, test: 0.5}\n"
                          "series: {time: t, length: 2, horizon: 1}";
    check_windows(by_time, times, 0, &(windows){1, 2, {1, 2}, {3}});
    check_windows(by_time, times, 1, &(windows){1, 2, {4, 5}, {6}});
    /* A window with a row that is dropped is none. */
    const char *gap = "a,y\n1,1\n2,2\n,3\n4,4\n5,5\n";
    check_windows("features: [{column: a, missing: drop}]\ntarget: {column: y}\nseries: {length: 2}", gap, 0,
                  &(windows){2, 2, {1, 2, 4, 5}, {2, 5}});
}

static void a_table_without_targets_gives_the_newest_window_too(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    tn_table *t = table_of("a,y\n1,10\n2,20\n3,30\n"), *now = table_of("a\n4\n5\n");
    tn_pipeline *p = pipeline_of("features: [{column: a}]\ntarget: {column: y}\nseries: {length: 2, horizon: 1}");
    tn_tensor *x, *y;
    assert_ok(tn_pipeline_fit(p, t, NULL));
    assert_ok(tn_pipeline_apply(p, now, NULL, 0, &x, &y));
    assert_null(y);
    assert_memory_equal(tn_tensor_const_data(x), ((float[]){4, 5}), 8);
    tn_tensor_destroy(x);
    tn_pipeline_destroy(p);
    tn_table_destroy(t);
    tn_table_destroy(now);
}

static void wrong_series_are_refused(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    static const char *const cases[][2] = {
        {"series: {every: 5}", "'every' needs 'time'"},
        {"series: {time: t, every: -1}", "'every' is a time above 0"},
        {"series: {by: mean}", "which needs 'every'"},
        {"series: {length: 0}", "'length' of series is a whole number from 1 to 4096"},
        {"series: {length: 2, lags: [1]}", "'length' or 'lags'"},
        {"series: {lags: [0, 1]}", "the oldest first"},
        {"series: {lags: [-1]}", "a lag is a whole number"},
        {"series: {horizon: 0.5}", "'horizon' of series is a whole number"},
        {"split: {by: ratio}\nseries: {length: 2}", "split by time or group"},
    };
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        char text[300];
        tn_pipeline *p;
        snprintf(text, sizeof text, "features: [{column: a}]\n%s\n", cases[i][0]);
        assert_int_not_equal(tn_pipeline_parse(text, strlen(text), &p), TN_OK);
        if (!strstr(tn_last_error(), cases[i][1])) fail_msg("%zu: %s", i, tn_last_error());
    }
    static const char *const rows[][2] = {
        {"t,a\n2015-03-01,1\nyesterday,2\n", "no time in row 2"}, {"t,a\n1,1\n,2\n", "no time in row 2"},
        {"t,a\n0,1\n1e300,2\n", "too large for a grid"},          {"t,a\n0,1\n1e12,2\n", "2^27 are the most"},
        {"b,a\n0,1\n", "no column 't', which 'series' names"},
    };
    tn_pipeline *p = pipeline_of("features: [{column: a}]\nseries: {time: t, every: 1}");
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        tn_table *t = table_of(rows[i][0]), *prepared;
        assert_int_not_equal(tn_pipeline_prepare(p, t, &prepared), TN_OK);
        assert_null(prepared);
        if (!strstr(tn_last_error(), rows[i][1])) fail_msg("%zu: %s", i, tn_last_error());
        tn_table_destroy(t);
    }
    tn_pipeline_destroy(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_read_as_iso_8601_writes_them),
        cmocka_unit_test(grids_are_means_last_values_or_lines),
        cmocka_unit_test(each_group_has_a_grid_of_its_own),
        cmocka_unit_test(windows_are_channels_first_and_keep_to_their_group_and_part),
        cmocka_unit_test(a_table_without_targets_gives_the_newest_window_too),
        cmocka_unit_test(wrong_series_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
