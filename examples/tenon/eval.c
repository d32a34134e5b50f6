/* tenon eval: how good a model is on data, with intervals, and beside what its file says of its training. */
#include "eval.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool choose_rows(const settings *s, tn_rows *out) {
    static const char *const names[] = {"all", "training", "testing"};
    *out = TN_ROWS_ALL;
    if (!s->rows) return true;
    for (int i = 0; i < 3; i++) {
        if (strcmp(names[i], s->rows) != 0) continue;
        *out = (tn_rows)i;
        return true;
    }
    complain("--rows is all, training or testing, not '%s'", s->rows);
    return false;
}

/* The value that the model's file gives for the rows for training; NaN if it gives none. */
static double of_training(const tn_manifest *m, const char *name) {
    char path[64];
    for (int i = 0; m && i < tn_manifest_count(m, "metrics"); i++) {
        snprintf(path, sizeof path, "metrics/%d/name", i);
        if (strcmp(tn_manifest_get(m, path), name) != 0) continue;
        snprintf(path, sizeof path, "metrics/%d/data", i);
        const char *data = tn_manifest_get(m, path);
        size_t n = strlen(data);
        if (n < 6 || strcmp(data + n - 6, "-train") != 0) continue;
        snprintf(path, sizeof path, "metrics/%d/value", i);
        return strtod(tn_manifest_get(m, path), NULL);
    }
    return NAN;
}

static void measure(evaluation *e) {
    const char *name;
    tn_metrics *metrics = tn_evaluation_metrics(e->result);
    const tn_bootstrap_options options = {
        .struct_size = sizeof options, .resamples = e->rows > 20000 ? 200 : 0, .seed = 1};
    for (int i = 0; (name = tn_metric_name(i)) && e->figure_count < MOST_FIGURES; i++) {
        figure f = {.name = name, .low = NAN, .high = NAN};
        if (!tn_metrics_applies(metrics, name) || tn_metrics_value(metrics, name, &f.value) != TN_OK) continue;
        progress(e->settings, "bootstrap of %s", name);
        if (tn_metrics_interval(metrics, name, &options, &f.low, &f.high) != TN_OK) f.low = f.high = NAN;
        f.training = of_training(e->manifest, name);
        e->figures[e->figure_count++] = f;
    }
    progress(e->settings, NULL);
}

static void print_confusion(const evaluation *e) {
    int classes = e->classes;
    if (!e->confusion || classes > 20) return;
    printf("\nconfusion: a row a true class, a column a predicted one\n%-16s", "");
    for (int c = 0; c < classes; c++) printf(" %8.8s", class_name(e, c));
    for (int r = 0; r < classes; r++) {
        printf("\n%-16.16s", class_name(e, r));
        for (int c = 0; c < classes; c++) printf(" %8lld", (long long)e->confusion[r * classes + c]);
    }
    puts("");
}

static void print_gate(const evaluation *e) {
    for (int i = 0; i < e->gate_count; i++) {
        const gate_line *g = &e->gate_lines[i];
        printf("%s%s: expected %s, found %s: %s\n", i ? "" : "\ngate\n", g->bound, g->expected, g->found,
               g->passed ? "kept" : "NOT KEPT");
    }
}

static void print_text(const evaluation *e) {
    printf("%s on %s: %lld rows\n", e->settings->operands.items[0], e->settings->operands.items[1], (long long)e->rows);
    printf("%-28s %12s %12s %12s %12s %12s\n", "metric", "value", "from (95 %)", "to", "in training", "gap");
    for (int i = 0; i < e->figure_count; i++) {
        const figure *f = &e->figures[i];
        printf("%-28s %12.6g", f->name, f->value);
        if (!isnan(f->low)) printf(" %12.6g %12.6g", f->low, f->high);
        if (!isnan(f->low) && !isnan(f->training)) printf(" %12.6g %12.6g", f->training, f->value - f->training);
        puts("");
    }
    print_confusion(e);
    print_hardship(e);
    print_attention(e);
    print_security(e);
    print_gate(e);
    if (e->settings->page) printf("\nreport: %s\n", e->settings->page);
}

static void print_json(const evaluation *e) {
    json out = json_open(stdout), *j = &out;
    static const char *const tasks[] = {"classification", "regression", "reconstruction", "sequences"};
    emit_object(j, NULL);
    emit_text(j, "model", e->settings->operands.items[0]);
    emit_text(j, "digest", tn_model_digest(e->model));
    emit_text(j, "data", e->settings->operands.items[1]);
    emit_text(j, "task", tasks[tn_evaluation_task(e->result)]);
    emit_int(j, "rows", e->rows);
    emit_object(j, "metrics");
    for (int i = 0; i < e->figure_count; i++) {
        const figure *f = &e->figures[i];
        emit_object(j, f->name);
        emit_number(j, "value", f->value);
        emit_number(j, "low", f->low);
        emit_number(j, "high", f->high);
        emit_number(j, "training", f->training);
        emit_number(j, "gap", f->value - f->training);
        emit_end(j);
    }
    emit_end(j);
    if (e->confusion) {
        emit_array(j, "classes");
        for (int c = 0; c < e->classes; c++) emit_text(j, NULL, class_name(e, c));
        emit_end(j);
        emit_array(j, "confusion");
        for (int r = 0; r < e->classes; r++) {
            emit_array(j, NULL);
            for (int c = 0; c < e->classes; c++) emit_int(j, NULL, e->confusion[r * e->classes + c]);
            emit_end(j);
        }
        emit_end(j);
    }
    emit_hardship(e, j);
    emit_attention(e, j);
    emit_security(e, j);
    if (e->gate_count) {
        emit_array(j, "gate");
        for (int i = 0; i < e->gate_count; i++) {
            emit_object(j, NULL);
            emit_text(j, "bound", e->gate_lines[i].bound);
            emit_text(j, "expected", e->gate_lines[i].expected);
            emit_text(j, "found", e->gate_lines[i].found);
            emit_bool(j, "passed", e->gate_lines[i].passed);
            emit_end(j);
        }
        emit_end(j);
    }
    if (e->settings->page) emit_text(j, "report", e->settings->page);
    emit_end(j);
}

const char *class_name(const evaluation *e, int index) {
    const char *name = tn_evaluation_class(e->result, index);
    return name ? name : "?";
}

static void on_bound(void *context, const tn_gate_row *row) {
    evaluation *e = context;
    gate_line *grown = realloc(e->gate_lines, ((size_t)e->gate_count + 1) * sizeof *grown);
    if (!grown) return;
    e->gate_lines = grown;
    gate_line *line = &grown[e->gate_count++];
    snprintf(line->bound, sizeof line->bound, "%s", row->bound);
    snprintf(line->expected, sizeof line->expected, "%s", row->expected);
    snprintf(line->found, sizeof line->found, "%s", row->found);
    line->passed = row->passed;
}

/* The model that is compared with, on the same rows. */
static bool evaluate_other(evaluation *e, const tn_evaluate_options *options, tn_evaluation **out) {
    const settings *s = e->settings;
    tn_model *model;
    *out = NULL;
    if (!s->against) return true;
    tn_status status = tn_model_load(s->against, NULL, &model);
    if (status == TN_OK) status = tn_evaluate(model, e->table, options, out);
    if (status != TN_OK) complain_status(s->against, status);
    tn_model_destroy(model);
    return status == TN_OK;
}

/* *out_code: what a gate that is not passed exits with. */
static bool pass_gate(evaluation *e, const tn_evaluate_options *options, int *out_code) {
    const settings *s = e->settings;
    tn_evaluation *other;
    void *text = NULL;
    size_t size;
    if (!s->gate) return true;
    if (!file_read(s->gate, &text, &size)) return false;
    bool good = evaluate_other(e, options, &other);
    if (good) {
        tn_status status = tn_evaluation_gate(e->result, e->model, other, text, size, on_bound, e);
        if (status == TN_E_CHECK) *out_code = EXIT_REFUSED;
        good = status == TN_OK || status == TN_E_CHECK || complain_status(s->gate, status);
    }
    tn_evaluation_destroy(other);
    free(text);
    return good;
}

/* Fails after it said why. */
static bool evaluate(evaluation *e, int *out_code) {
    const settings *s = e->settings;
    tn_csv_options dialect;
    tn_evaluate_options options = {.struct_size = sizeof options, .threads = (int)s->threads, .logits = s->logits};
    const tn_model_options of_model = {.struct_size = sizeof of_model, .cpu = s->cpu};
    void *text = NULL;
    size_t size;
    if (!csv_options(s, &dialect) || !choose_rows(s, &options.rows)) return false;
    tn_status status = tn_model_load(s->operands.items[0], &of_model, &e->model);
    if (status != TN_OK) return complain_status(s->operands.items[0], status);
    if (s->pipeline) {
        if (!file_read(s->pipeline, &text, &size)) return false;
        status = tn_pipeline_parse(text, size, &e->pipeline);
        free(text);
        if (status != TN_OK) return complain_status(s->pipeline, status);
        options.pipeline = e->pipeline;
    }
    const char *manifest = tn_model_manifest(e->model);
    if (manifest) status = tn_manifest_parse(manifest, strlen(manifest), &e->manifest);
    if (status != TN_OK) return complain_status(s->operands.items[0], status);
    progress(s, "reading %s", s->operands.items[1]);
    status = tn_table_read(s->operands.items[1], &dialect, &e->table);
    if (status != TN_OK) return complain_status(s->operands.items[1], status);
    status = tn_evaluate(e->model, e->table, &options, &e->result);
    progress(s, NULL);
    if (status != TN_OK) return complain_status(s->operands.items[1], status);
    tn_metrics *metrics = tn_evaluation_metrics(e->result);
    e->rows = tn_metrics_samples(metrics);
    e->classes = tn_metrics_classes(metrics);
    if (e->classes > 0 && e->classes <= 1000) {
        e->confusion = tool_alloc((size_t)e->classes * (size_t)e->classes, sizeof *e->confusion);
        status = tn_metrics_confusion(metrics, e->confusion);
    }
    if (status != TN_OK) return complain_status(s->operands.items[1], status);
    measure(e);
    if (!measure_hardship(e) || !measure_security(e, &options)) return false;
    return pass_gate(e, &options, out_code) && (!s->page || report_write(e, s->page)) &&
           (!s->record || record_write(e, s->record));
}

int eval_command(const settings *s) {
    evaluation e = {.settings = s};
    if (s->operands.count != 2) {
        complain("a model is measured on a table: tenon eval MODEL DATA.csv");
        return EXIT_USAGE;
    }
    int code = EXIT_OK;
    bool good = evaluate(&e, &code);
    if (good && s->json)
        print_json(&e);
    else if (good)
        print_text(&e);
    if (good && code == EXIT_REFUSED) complain("%s: %s", s->gate, tn_last_error());
    free(e.confusion);
    free(e.gate_lines);
    free(e.weights);
    attention_free(&e);
    free(e.suspects);
    findings_free(&e.findings);
    tn_evaluation_destroy(e.result);
    tn_manifest_destroy(e.manifest);
    tn_pipeline_destroy(e.pipeline);
    tn_table_destroy(e.table);
    tn_model_destroy(e.model);
    return good ? code : EXIT_FAILED;
}
