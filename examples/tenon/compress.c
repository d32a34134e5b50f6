/* tenon compress: a smaller and faster model out of a float one, and what it cost. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "samples.h"

static bool read_word(const char *option, const char *word, const char *const *known, int *out) {
    for (int i = 0; known[i]; i++)
        if (!word || strcmp(known[i], word) == 0) {
            *out = i;
            return true;
        }
    fprintf(stderr, "tenon: %s is %s; expected", option, word);
    for (int i = 0; known[i]; i++) fprintf(stderr, "%s %s", i ? "," : "", known[i]);
    fputc('\n', stderr);
    return false;
}

static bool read_options(const settings *s, tn_quantize_options *out) {
    static const char *const methods[] = {"min-max", "moving-average", "percentile", "entropy", "mse", "best", NULL};
    static const char *const kinds[] = {"uint8", "int8", NULL};
    int method, kind;
    if (!read_word("--calibration", s->calibration, methods, &method)) return false;
    if (!read_word("--activations", s->activations, kinds, &kind)) return false;
    *out = (tn_quantize_options){.struct_size = sizeof *out,
                                 .calibration = (tn_calibration)method,
                                 .percentile = s->percentile,
                                 .activations = kind ? TN_INT8 : TN_UINT8,
                                 .per_tensor = s->per_tensor,
                                 .reduce_range = s->reduce_range,
                                 .exclude = s->exclude,
                                 .dynamic = s->dynamic,
                                 .equalize = s->equalize,
                                 .smooth = s->smooth,
                                 .adaptive_rounding = s->adaptive_rounding,
                                 .bias_correction = s->bias_correction,
                                 .max_drop = s->max_drop,
                                 .min_sqnr = s->min_sqnr,
                                 .sensitivity = s->sensitivity,
                                 .never_slower = s->never_slower,
                                 .most_samples = (int64_t)s->samples,
                                 .threads = (int)s->threads,
                                 .cpu = s->cpu};
    return true;
}

/* ---- accuracy ---- */
typedef struct labels {
    tn_tensor *all;           /* int64 */
    int64_t first, rows, set; /* of the set that was asked for last */
} labels;

static int64_t greatest(const float *row, int64_t width) {
    int64_t at = 0;
    for (int64_t i = 1; i < width; i++)
        if (row[i] > row[at]) at = i;
    return at;
}

/* The metric of tn_quantize_options: rows of output 0 whose greatest is where the label says. Sets come in order, twice each. */
static tn_status count_right(void *context, int64_t set, const tn_tensor *const *outputs, double *sum, double *weight) {
    labels *l = context;
    const tn_tensor *t = outputs[0];
    int rank = t ? tn_tensor_rank(t) : 0;
    if (!t || tn_tensor_dtype(t) != TN_FLOAT32 || rank < 1 || !tn_tensor_is_dense(t)) return TN_E_TYPE;
    int64_t width = tn_tensor_dims(t)[rank - 1], count = tn_tensor_count(l->all);
    if (set == 0) l->first = 0;
    if (set != 0 && set != l->set) l->first += l->rows;
    l->set = set;
    l->rows = width ? tn_tensor_count(t) / width : 0;
    const float *rows = tn_tensor_const_data(t);
    const int64_t *right = tn_tensor_const_data(l->all);
    for (int64_t i = 0; i < l->rows && l->first + i < count; i++, *weight += 1)
        *sum += greatest(rows + i * width, width) == right[l->first + i];
    return TN_OK;
}

static bool load_labels(const char *path, labels *out) {
    if (!path) return true;
    if (!tensor_load(path, TN_INT64, &out->all)) return false;
    if (tn_tensor_dtype(out->all) == TN_INT64) return true;
    complain("%s: labels are int64, not %s", path, tn_dtype_name(tn_tensor_dtype(out->all)));
    return false;
}

static void show(const tn_quantize_report *report, bool labelled) {
    tn_quantize_summary sum = {.struct_size = sizeof sum};
    tn_quantize_row row = {.struct_size = sizeof row};
    tn_quantize_report_summary(report, &sum);
    printf("%-40s %-8s %-8s %12s %12s %8s\n", "layer", "operator", "form", "bytes", "before", "SQNR dB");
    for (int i = 0; tn_quantize_report_at(report, i, &row) == TN_OK; i++) {
        char ratio[32] = "-";
        if (!isnan(row.sqnr)) snprintf(ratio, sizeof ratio, "%.1f", row.sqnr);
        printf("%-40.40s %-8s %-8s %12llu %12llu %8s %s\n", row.name, row.op, row.form,
               (unsigned long long)row.bytes_after, (unsigned long long)row.bytes_before, ratio, row.reason);
    }
    printf("%d of %d layers are int8; constants take %llu bytes, before %llu\n", sum.int8_layers, sum.layers,
           (unsigned long long)sum.bytes_after, (unsigned long long)sum.bytes_before);
    if (sum.samples || sum.sqnr == sum.sqnr)
        printf("the outputs' signal to noise is %.1f dB; %s %.4f, before %.4f\n", sum.sqnr,
               labelled ? "accuracy" : "agreement", sum.metric_after, sum.metric_before);
    if (sum.ns_before > 0) printf("a run takes %.3f ms, before %.3f\n", sum.ns_after / 1e6, sum.ns_before / 1e6);
    printf("%.2f s for %lld sets\n", sum.seconds, (long long)sum.samples);
}

static bool is_recipe(const char *path) {
    return ends_with(path, ".yaml") || ends_with(path, ".yml");
}

static bool write_report(const char *path, tn_quantize_report *report) {
    const char *text = ends_with(path, ".html") ? tn_quantize_report_html(report) : tn_quantize_report_json(report);
    if (!text) return complain_status(path, TN_E_MEMORY);
    FILE *file = file_create(path);
    if (!file) return false;
    fputs(text, file);
    return file_commit(file, path);
}

static bool save(const settings *s, const tn_graph *graph) {
    tn_status status = ends_with(s->target, ".tenon") ? tn_graph_save(graph, s->target, NULL)
                                                      : tn_graph_save_onnx(graph, s->target, NULL);
    return status == TN_OK || complain_status(s->target, status);
}

/* ---- what the command line, or a recipe, asks for ---- */
typedef struct work {
    settings s; /* paths, with those of the recipe */
    tn_recipe *recipe;
    void *text;
    char *paths[4], *kept; /* kept: the folder of what was tried, TARGET.steps */
    words data;
    tn_graph *graph, *made;
    tn_quantize_report *report;
    samples *samples;
    labels right;
} work;

/* From the recipe's folder on, unless it is absolute. */
static char *beside(const char *recipe, const char *path) {
    const char *slash = strrchr(recipe, '/');
    size_t folder = slash && path[0] != '/' ? (size_t)(slash - recipe) + 1 : 0;
    char *full = tool_alloc(folder + strlen(path) + 1, 1);
    memcpy(full, recipe, folder);
    memcpy(full + folder, path, strlen(path));
    return full;
}

static bool read_recipe(work *w) {
    static const char *const keys[] = {"model", "output", "labels", "report"};
    const char *name = w->s.model, **into[] = {&w->s.model, &w->s.target, &w->s.labels, &w->s.loss_report};
    size_t size;
    if (!file_read(name, &w->text, &size)) return false;
    tn_status status = tn_recipe_parse(w->text, size, &w->recipe);
    if (status != TN_OK) return complain_status(name, status);
    for (int i = 0; i < 4; i++) {
        const char *path = tn_recipe_path(w->recipe, keys[i]);
        if (!path && i < 2) {
            complain("%s: the key '%s' is missing", name, keys[i]);
            return false;
        }
        if (path) *into[i] = w->paths[i] = beside(name, path);
    }
    const size_t length = strlen(w->s.target) + sizeof ".steps";
    w->kept = tool_alloc(length, 1);
    snprintf(w->kept, length, "%s.steps", w->s.target);
    int count = 0;
    while (tn_recipe_data(w->recipe, count)) count++;
    w->data.items = tool_alloc((size_t)count, sizeof(char *));
    for (; (int)w->data.count < count; w->data.count++)
        w->data.items[w->data.count] = beside(name, tn_recipe_data(w->recipe, (int)w->data.count));
    w->s.data = w->data;
    return true;
}

/* Without its folders, unless nothing is left then. */
static const char *without_folders(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static tn_status on_step(void *context, int step, const tn_recipe_row *row) {
    const work *w = context;
    if (!w->s.json)
        printf("step %d, %s: %s%s; constants take %llu bytes, before %llu; %.1f dB, %.4f, before %.4f\n", step + 1,
               row->step, row->kept ? "kept" : "undone, since it leaves the bounds",
               row->known ? " (in the run before)" : "", (unsigned long long)row->bytes_after,
               (unsigned long long)row->bytes_before, row->sqnr, row->metric, row->metric_before);
    if (*row->notes) fprintf(stderr, "tenon: step %d, %s: %s\n", step + 1, row->step, row->notes);
    return interrupted() ? TN_E_INTERRUPTED : TN_OK;
}

static bool do_work(work *w) {
    tn_quantize_options options;
    tn_model_options load = {.struct_size = sizeof load, .verify_weights = true};
    if (!read_options(&w->s, &options)) return false;
    progress(&w->s, "loading %s", w->s.model);
    tn_status status = tn_graph_load(w->s.model, &load, &w->graph);
    if (status != TN_OK) return complain_status(w->s.model, status);
    if (w->s.data.count && !samples_open(w->graph, &w->s.data, &w->samples)) return false;
    if (!load_labels(w->s.labels, &w->right)) return false;
    if (w->s.data.count) options.data_name = without_folders(w->s.data.items[0]);
    if (w->right.all) {
        options.metric = count_right;
        options.metric_name = "accuracy";
        options.metric_context = &w->right;
    }
    options.times = w->s.loss_report != NULL;
    progress(&w->s, "compressing %s", w->s.model);
    const tn_samples sets = {samples_get, w->samples}, *given = w->samples ? &sets : NULL;
    if (w->recipe)
        status = tn_recipe_run(w->recipe, w->graph, given, &options, w->kept, on_step, w, &w->made, &w->report);
    else
        status = tn_quantize(w->graph, given, &options, &w->made, &w->report);
    progress(&w->s, NULL);
    if (status != TN_OK) return complain_status(w->s.model, status);
    if (!save(&w->s, w->made)) return false;
    return !w->s.loss_report || !w->report || write_report(w->s.loss_report, w->report);
}

static void free_work(work *w) {
    tn_quantize_report_destroy(w->report);
    samples_close(w->samples);
    tn_tensor_destroy(w->right.all);
    tn_graph_destroy(w->made);
    tn_graph_destroy(w->graph);
    tn_recipe_destroy(w->recipe);
    for (int i = 0; i < 4; i++) free(w->paths[i]);
    free(w->kept);
    for (size_t i = 0; i < w->data.count; i++) {
        char *path;
        memcpy(&path, &w->data.items[i], sizeof path);
        free(path);
    }
    free(w->data.items);
    free(w->text);
}

int compress_command(const settings *s) {
    work w = {.s = *s};
    int code = EXIT_OK;
    if (is_recipe(s->model) && !s->target) {
        if (!read_recipe(&w)) code = EXIT_FAILED;
    } else if (!s->target || is_recipe(s->model)) {
        complain("expected tenon compress MODEL OUT --data PATH, or tenon compress RECIPE.yaml alone");
        code = EXIT_USAGE;
    } else if (!s->data.count && !s->dynamic) {
        complain("which calibration data? --data PATH, as tenon compress --help has it");
        code = EXIT_USAGE;
    }
    if (code == EXIT_OK && !ends_with(w.s.target, ".onnx") && !ends_with(w.s.target, ".tenon")) {
        complain("%s: models are written as .onnx or .tenon", w.s.target);
        code = EXIT_USAGE;
    }
    if (code == EXIT_OK && !do_work(&w)) code = EXIT_FAILED;
    if (code == EXIT_OK && s->json)
        fputs(w.report ? tn_quantize_report_json(w.report) : "{}\n", stdout);
    else if (code == EXIT_OK &&
             tn_quantize_report_at(w.report, 0, &(tn_quantize_row){.struct_size = sizeof(tn_quantize_row)}) == TN_OK)
        show(w.report, w.right.all != NULL);
    free_work(&w);
    return code;
}
