/* Recipes: what they say is done, steps that leave the bounds are undone, and what they cannot say is refused with its place. */
#include "unit.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <tenon/tenon.h>

static tn_graph *network(void) {
    tn_graph *g;
    tn_tensor *t;
    int x, w, y;
    uint32_t seed = 5;
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 2, (int64_t[]){4, 64}, &x));
    for (int layer = 0; layer < 2; layer++) {
        assert_ok(tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){64, 64}, NULL, &t));
        for (int i = 0; i < 64 * 64; i++) {
            seed = seed * 1664525u + 1013904223u;
            ((float *)tn_tensor_data(t))[i] = ((float)(seed >> 8) / (float)(1u << 23) - 1) * 0.2f;
        }
        assert_ok(tn_graph_constant(g, "w", t, &w));
        tn_tensor_destroy(t);
        assert_ok(tn_graph_node(g, "MatMul", layer ? "second" : "first", 2, (int[]){x, w}, 1, &y, NULL));
        x = y;
    }
    assert_ok(tn_graph_output(g, y, "y"));
    return g;
}

static tn_status get(void *context, int64_t index, const tn_tensor **inputs) {
    tn_tensor *x = context;
    uint32_t seed = (uint32_t)index;
    if (index >= 3) return TN_E_NOT_FOUND;
    for (int i = 0; i < 4 * 64; i++) {
        seed = seed * 1664525u + 1013904223u;
        ((float *)tn_tensor_data(x))[i] = (float)(seed >> 8) / (float)(1u << 23) - 1;
    }
    inputs[0] = x;
    return TN_OK;
}

typedef struct {
    int count, kept;
    uint64_t bytes;
    double sqnr[8];
    int stop; /* after so many steps; 0: never */
} seen;

static tn_status note(void *context, int step, const tn_recipe_row *row) {
    seen *s = context;
    assert_int_equal(step, s->count);
    s->sqnr[s->count++] = row->sqnr;
    s->kept += row->kept;
    s->bytes = row->bytes_after;
    return s->stop == s->count ? tn_fail(TN_E_INTERRUPTED, "enough") : TN_OK;
}

static tn_status cook(const char *text, seen *s, tn_graph **out, tn_quantize_report **report) {
    tn_recipe *recipe;
    tn_tensor *x;
    tn_graph *graph = network();
    assert_ok(tn_recipe_parse(text, strlen(text), &recipe));
    assert_ok(tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){4, 64}, NULL, &x));
    tn_status status = tn_recipe_run(recipe, graph, &(tn_samples){get, x}, NULL, NULL, note, s, out, report);
    tn_tensor_destroy(x);
    tn_graph_destroy(graph);
    tn_recipe_destroy(recipe);
    return status;
}

/* Of the constants that nodes read. */
static uint64_t bytes_of(const tn_graph *graph) {
    uint64_t bytes = 0;
    tn_value_info value;
    tn_node_info node;
    for (int v = 0; v < tn_graph_value_count(graph); v++) {
        bool read = false;
        for (int n = 0; n < tn_graph_node_count(graph); n++)
            for (int i = 0; tn_graph_node_info(graph, n, &node) == TN_OK && i < node.in_count; i++)
                read |= node.in[i] == v;
        if (read && tn_graph_value_info(graph, v, &value) == TN_OK && value.constant)
            bytes += tn_tensor_bytes(value.constant);
    }
    return bytes;
}

static void steps_follow_each_other(void **state) {
    (void)state;
    seen s = {0};
    tn_graph *made;
    tn_quantize_report *report;
    assert_ok(cook("steps:\n - quantize: {calibration: best, exclude: first}\n - half: {}\n", &s, &made, &report));
    assert_int_equal(s.count, 2);
    assert_int_equal(s.kept, 2);
    assert_true(s.sqnr[0] > 30 && s.sqnr[1] > 30);
    assert_true(s.bytes < 64 * 64 * 4);
    assert_non_null(report);
    tn_quantize_report_destroy(report);
    tn_graph_destroy(made);
}

static void what_is_half_is_quantized_as_what_is_float(void **state) {
    (void)state;
    static const char *const types[] = {"float16", "bfloat16"};
    for (int i = 0; i < 2; i++) {
        seen s = {0};
        tn_graph *made;
        char text[100];
        snprintf(text, sizeof text, "steps:\n - half: {type: %s}\n - quantize: {calibration: best}\n", types[i]);
        assert_ok(cook(text, &s, &made, NULL));
        assert_int_equal(s.kept, 2);
        assert_true(bytes_of(made) < 2 * 64 * 64 * 5 / 4); /* a byte a weight in both layers */
        tn_graph_destroy(made);
    }
}

static void steps_that_leave_the_bounds_are_undone(void **state) {
    (void)state;
    seen s = {0};
    tn_graph *made;
    assert_ok(cook("bounds: {min_sqnr: 40}\nsteps:\n - weights: {bits: 2}\n - half: {}\n", &s, &made, NULL));
    assert_int_equal(s.count, 2);
    assert_int_equal(s.kept, 1);
    assert_true(s.sqnr[0] < 40 && s.sqnr[1] > 40);
    tn_graph_destroy(made);
}

static void bounds_that_do_not_hold_make_nothing(void **state) {
    (void)state;
    seen s = {0};
    tn_graph *made;
    tn_quantize_report *report;
    assert_int_equal(cook("bounds: {max_bytes: 100}\nsteps: [{quantize: {}}]\n", &s, &made, &report), TN_E_CHECK);
    assert_non_null(strstr(tn_last_error(), "max_bytes is 100"));
    assert_null(made);
    assert_null(report);
    s = (seen){0};
    assert_int_equal(cook("bounds: {max_ms: 1e-9}\nsteps: [{quantize: {}}]\n", &s, &made, NULL), TN_E_CHECK);
    s = (seen){0};
    assert_int_equal(cook("bounds: {max_ram: 100}\nsteps: [{quantize: {}}]\n", &s, &made, NULL), TN_E_CHECK);
    assert_non_null(strstr(tn_last_error(), "max_ram is 100"));
    s = (seen){0};
    assert_ok(cook("bounds: {max_ram: 1e6}\nsteps: [{quantize: {}}]\n", &s, &made, NULL));
    tn_graph_destroy(made);
    s = (seen){.stop = 1};
    assert_int_equal(cook("steps: [{half: {}}, {quantize: {}}]\n", &s, &made, NULL), TN_E_INTERRUPTED);
    assert_int_equal(s.count, 1);
    assert_null(made);
}

static tn_status count_right(void *context, int64_t set, const tn_tensor *const *outputs, double *sum, double *weight) {
    (void)context, (void)set, (void)outputs;
    *sum += 3;
    *weight += 4;
    return TN_OK;
}

static int count_in(const char *text, const char *word) {
    int count = 0;
    for (; (text = strstr(text, word)); text++) count++;
    return count;
}

/* All that was tried, beside the graph that came: what it is worth for its size and its time. */
static void reports_show_all_that_was_tried(void **state) {
    (void)state;
    static const char *const texts[] = {"steps: [{prune: {sparsity: 0.1}}, [{quantize: {}}, {weights: {bits: 4}}]]\n",
                                        "steps: [{prune: {sparsity: 0.1}}, [{share: {}}, {weights: {bits: 4}}]]\n"};
    for (int way = 0; way < 4; way++) {
        tn_recipe *recipe;
        tn_tensor *x;
        tn_graph *graph = network(), *made;
        tn_quantize_report *report;
        tn_quantize_summary s = {.struct_size = sizeof s};
        const tn_quantize_options base = {.struct_size = sizeof base,
                                          .times = true,
                                          .metric = way / 2 ? count_right : NULL,
                                          .metric_name = "accuracy"};
        assert_ok(tn_recipe_parse(texts[way % 2], strlen(texts[way % 2]), &recipe));
        assert_ok(tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){4, 64}, NULL, &x));
        assert_ok(tn_recipe_run(recipe, graph, &(tn_samples){get, x}, &base, NULL, NULL, NULL, &made, &report));
        const char *json = tn_quantize_report_json(report), *html = tn_quantize_report_html(report);
        tn_quantize_report_summary(report, &s);
        assert_true(s.bytes_after < s.bytes_before && s.ns_before > 0 && s.ns_after > 0);
        assert_int_equal(count_in(json, "\"kept\": true"), 1);
        assert_int_equal(count_in(json, "\"name\": \"prune + "), 2);
        assert_int_equal(count_in(json, "\"name\": \"as it came\""), 1);
        assert_int_equal(count_in(json, "\"ns\": null"), 0);
        assert_non_null(strstr(html, way / 2 ? "Size and accuracy of all" : "Size and signal of all"));
        assert_non_null(strstr(html, way / 2 ? "Time and accuracy of all" : "Time and signal of all"));
        assert_int_equal(count_in(html, "</circle>"), way / 2 ? 2 * 4 : 2 * 3); /* its own signal is without end */
        tn_quantize_report_destroy(report);
        tn_graph_destroy(made);
        tn_tensor_destroy(x);
        tn_graph_destroy(graph);
        tn_recipe_destroy(recipe);
    }
}

/* Steps of any order, how often each was tried and kept. */
static tn_status count_ways(void *context, int step, const tn_recipe_row *row) {
    int(*tried)[3][2] = context;
    tried[step][row->way][0]++;
    tried[step][row->way][1] += row->kept;
    return TN_OK;
}

static void the_smallest_combination_within_the_bounds_is_made(void **state) {
    (void)state;
    static const char text[] = "bounds: {min_sqnr: 15}\n"
                               "steps:\n"
                               " - - half: {}\n"
                               "   - quantize: {exclude: first}\n"
                               "   - quantize: {}\n"
                               " - - weights: {bits: 2}\n"
                               "   - weights: {bits: 4}\n";
    int tried[2][3][2] = {{{0}}};
    tn_recipe *recipe;
    tn_tensor *x;
    tn_graph *graph = network(), *made;
    tn_quantize_report *report;
    assert_ok(tn_recipe_parse(text, sizeof text - 1, &recipe));
    assert_ok(tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){4, 64}, NULL, &x));
    assert_ok(tn_recipe_run(recipe, graph, &(tn_samples){get, x}, NULL, NULL, count_ways, tried, &made, &report));
    for (int way = 0; way < 3; way++) assert_int_equal(tried[0][way][0], 1);
    for (int way = 0; way < 2; way++) assert_int_equal(tried[1][way][0], 3);
    assert_int_equal(tried[1][0][1] < 3, 1); /* 2 bits for all weights leave the bounds */
    /* No combination of the same steps, one after the other, is smaller and holds the bounds. */
    static const char *const first[] = {"half: {}", "quantize: {exclude: first}", "quantize: {}"};
    static const char *const second[] = {"weights: {bits: 2}", "weights: {bits: 4}"};
    seen s = {0};
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 6; i++) {
        char one[128];
        tn_graph *other;
        s = (seen){0};
        snprintf(one, sizeof one, "bounds: {min_sqnr: 15}\nsteps: [{%s}, {%s}]\n", first[i / 2], second[i % 2]);
        assert_ok(cook(one, &s, &other, NULL));
        if (bytes_of(other) < least) least = bytes_of(other);
        tn_graph_destroy(other);
    }
    if (bytes_of(made) != least)
        fail_msg("%llu bytes, a smaller one has %llu", (unsigned long long)bytes_of(made), (unsigned long long)least);
    tn_quantize_report_destroy(report);
    tn_graph_destroy(made);
    tn_recipe_destroy(recipe);

    /* None holds what is asked for in the end. */
    static const char small[] = "bounds: {max_bytes: 100}\nsteps: [[{half: {}}, {quantize: {}}], {half: {}}]\n";
    assert_ok(tn_recipe_parse(small, sizeof small - 1, &recipe));
    assert_int_equal(tn_recipe_run(recipe, graph, &(tn_samples){get, x}, NULL, NULL, NULL, NULL, &made, &report),
                     TN_E_CHECK);
    assert_null(made);
    assert_null(report);
    assert_non_null(strstr(tn_last_error(), "max_bytes is 100"));
    tn_recipe_destroy(recipe);
    tn_tensor_destroy(x);
    tn_graph_destroy(graph);
}

/* Steps that were done and that were known, until so many were done. */
typedef struct {
    int done, known, most;
} work;

static tn_status until_most(void *context, int step, const tn_recipe_row *row) {
    work *w = context;
    (void)step;
    if (row->known)
        w->known++;
    else
        w->done++;
    return w->done == w->most ? tn_fail(TN_E_INTERRUPTED, "enough") : TN_OK;
}

/* The graph's file, which is compared. */
static void *file_of(const tn_graph *graph, const char *path, size_t *size) {
    assert_ok(tn_graph_save(graph, path, NULL));
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    void *bytes = malloc(1 << 20);
    *size = fread(bytes, 1, 1 << 20, file);
    fclose(file);
    unlink(path);
    return bytes;
}

static const char long_recipe[] = "bounds: {min_sqnr: 15}\n"
                                  "steps:\n"
                                  " - - half: {keep: second}\n"
                                  "   - quantize: {exclude: first, calibration: best}\n"
                                  "   - quantize: {}\n"
                                  " - - weights: {bits: 2}\n"
                                  "   - weights: {bits: 4, keep: second}\n"
                                  "   - share: {bits: 3}\n"
                                  " - - weights: {bits: 2}\n"
                                  "   - half: {}\n";

static tn_status run_in(const char *folder, const char *text, work *w, tn_graph **made, tn_quantize_report **report) {
    tn_recipe *recipe;
    tn_tensor *x;
    tn_graph *graph = network();
    assert_ok(tn_recipe_parse(text, strlen(text), &recipe));
    assert_ok(tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){4, 64}, NULL, &x));
    tn_status status = tn_recipe_run(recipe, graph, &(tn_samples){get, x}, NULL, folder, until_most, w, made, report);
    tn_tensor_destroy(x);
    tn_graph_destroy(graph);
    tn_recipe_destroy(recipe);
    return status;
}

static void interrupted_runs_go_on_and_make_the_same(void **state) {
    (void)state;
    char place[] = "/tmp/tenon-recipe-XXXXXX", folder[64], path[128];
    assert_non_null(mkdtemp(place));
    snprintf(folder, sizeof folder, "%s/steps", place);
    snprintf(path, sizeof path, "%s/made.tenon", place);
    work whole = {0};
    tn_graph *made;
    tn_quantize_report *report;
    size_t size, other_size;
    assert_ok(run_in(NULL, long_recipe, &whole, &made, &report));
    assert_int_equal(whole.known, 0);
    void *bytes = file_of(made, path, &size), *other;
    tn_graph_destroy(made);
    for (int every = 1; every < whole.done; every++) {
        work w = {.most = every};
        tn_quantize_report *again;
        int runs = 0, done = 0;
        tn_status status;
        while ((status = run_in(folder, long_recipe, &w, &made, &again)) == TN_E_INTERRUPTED) {
            assert_null(made);
            assert_true(++runs <= whole.done);
            done += w.done;
            w = (work){.most = every};
        }
        assert_ok(status);
        /* No step was done twice: the interrupted ones had been kept. */
        assert_int_equal(done + w.done, whole.done);
        assert_true(w.known > 0);
        other = file_of(made, path, &other_size);
        assert_int_equal(other_size, size);
        assert_memory_equal(other, bytes, size);
        assert_int_equal(again != NULL, report != NULL);
        tn_quantize_row a = {.struct_size = sizeof a}, b = a;
        for (int i = 0; report && tn_quantize_report_at(report, i, &a) == TN_OK; i++) {
            assert_ok(tn_quantize_report_at(again, i, &b));
            assert_string_equal(a.name, b.name);
            assert_int_equal(a.bytes_after, b.bytes_after);
            assert_true(fabs(a.sqnr - b.sqnr) < 1e-6 || (isnan(a.sqnr) && isnan(b.sqnr)));
        }
        assert_int_equal(access(folder, F_OK), -1); /* nothing stays */
        free(other);
        tn_quantize_report_destroy(again);
        tn_graph_destroy(made);
    }
    /* Another recipe begins anew, and so does one whose files are broken. */
    work w = {.most = 3};
    assert_int_equal(run_in(folder, long_recipe, &w, &made, NULL), TN_E_INTERRUPTED);
    w = (work){.most = 1};
    assert_int_equal(run_in(folder, "steps: [{half: {}}, {half: {}}]", &w, &made, NULL), TN_E_INTERRUPTED);
    assert_int_equal(w.known, 0);
    w = (work){.most = 3};
    assert_int_equal(run_in(folder, long_recipe, &w, &made, NULL), TN_E_INTERRUPTED);
    assert_int_equal(w.known, 0);
    snprintf(path, sizeof path, "%s/state.json", folder);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs("{\"of\": [", file);
    fclose(file);
    w = (work){0};
    assert_ok(run_in(folder, long_recipe, &w, &made, NULL));
    assert_int_equal(w.known, 0);
    assert_int_equal(w.done, whole.done);
    tn_graph_destroy(made);
    tn_quantize_report_destroy(report);
    free(bytes);
    assert_int_equal(rmdir(place), 0);
}

static void bounds_need_data(void **state) {
    (void)state;
    tn_recipe *recipe;
    tn_graph *graph = network(), *made;
    static const char bound[] = "bounds: {max_drop: 0.1}\nsteps: [{half: {}}]\n", plain[] = "steps: [{half: {}}]\n";
    assert_ok(tn_recipe_parse(bound, sizeof bound - 1, &recipe));
    assert_int_equal(tn_recipe_run(recipe, graph, NULL, NULL, NULL, NULL, NULL, &made, NULL), TN_E_INVALID);
    tn_recipe_destroy(recipe);
    assert_ok(tn_recipe_parse(plain, sizeof plain - 1, &recipe));
    assert_ok(tn_recipe_run(recipe, graph, NULL, NULL, NULL, NULL, NULL, &made, NULL));
    tn_recipe_destroy(recipe);
    tn_graph_destroy(made);
    tn_graph_destroy(graph);
}

static void paths_are_told(void **state) {
    (void)state;
    static const char text[] = "model: a.onnx\noutput: b.onnx\ndata: [c, d]\nsteps: [{quantize: }]\n";
    tn_recipe *r;
    assert_ok(tn_recipe_parse(text, sizeof text - 1, &r));
    assert_string_equal(tn_recipe_path(r, "model"), "a.onnx");
    assert_string_equal(tn_recipe_path(r, "output"), "b.onnx");
    assert_null(tn_recipe_path(r, "labels"));
    assert_null(tn_recipe_path(r, "steps"));
    assert_string_equal(tn_recipe_data(r, 1), "d");
    assert_null(tn_recipe_data(r, 2));
    assert_int_equal(tn_recipe_steps(r), 1);
    tn_recipe_destroy(r);
}

static void what_they_cannot_say_is_refused_with_its_place(void **state) {
    (void)state;
    static const struct {
        const char *text, *sentence;
    } cases[] = {{"model: x\n", "the key 'steps' is missing"},
                 {"steps: []\n", "1 to 64 steps"},
                 {"steps: [{bake: {}}]\n", "quantize, weights, half, prune"},
                 {"steps:\n - quantize: {calibration: magic}\n", "line 2, column 15: 'calibration' is one of min-max"},
                 {"steps:\n - quantize: {percentile: 12}\n", "from 50 to 100"},
                 {"steps:\n - quantize: {percentile: nan}\n", "from 50 to 100"},
                 {"steps:\n - quantize: {symmetric: 1}\n", "true or false"},
                 {"steps:\n - weights: {bits: 4.5}\n", "whole number from 2 to 8"},
                 {"steps:\n - half: {speed: 1}\n", "no key 'speed'"},
                 {"bounds: {max_drop: -1}\nsteps: [{half: }]\n", "'max_drop'"},
                 {"bounds: 3\nsteps: [{half: }]\n", "a map was expected"},
                 {"data: {}\nsteps: [{half: }]\n", "a path or a list"},
                 {"colour: red\nsteps: [{half: }]\n", "there are model, output"},
                 {"steps: [[]]\n", "to choose from"},
                 {"steps: [[{half: }, {bake: }]]\n", "quantize, weights, half, prune"},
                 {"steps: &a [{half: }]\n", "anchors"}};
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        tn_recipe *r = (tn_recipe *)1;
        assert_int_equal(tn_recipe_parse(cases[i].text, strlen(cases[i].text), &r), TN_E_FORMAT);
        assert_null(r);
        if (!strstr(tn_last_error(), cases[i].sentence))
            fail_msg("'%s' has no '%s'", tn_last_error(), cases[i].sentence);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_follow_each_other),
        cmocka_unit_test(reports_show_all_that_was_tried),
        cmocka_unit_test(what_is_half_is_quantized_as_what_is_float),
        cmocka_unit_test(steps_that_leave_the_bounds_are_undone),
        cmocka_unit_test(bounds_that_do_not_hold_make_nothing),
        cmocka_unit_test(the_smallest_combination_within_the_bounds_is_made),
        cmocka_unit_test(interrupted_runs_go_on_and_make_the_same),
        cmocka_unit_test(bounds_need_data),
        cmocka_unit_test(paths_are_told),
        cmocka_unit_test(what_they_cannot_say_is_refused_with_its_place),
    };
    tn_recipe *recipe;
    if (tn_recipe_parse("steps: [{half: }]", 17, &recipe) == TN_E_UNSUPPORTED) {
        print_message("built without libyaml: no recipes\n");
        return 0;
    }
    tn_recipe_destroy(recipe);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
