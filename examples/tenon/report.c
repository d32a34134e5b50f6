/* tenon eval --report: one HTML file with all that was measured, and pictures of it. It needs nothing from elsewhere: no
 * script, no font, no address. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "chart.h"
#include "eval.h"

enum { MOST_CURVES = 6, MOST_CELLS = 40 };

static const char style[] =
    "body{font:15px/1.45 system-ui,sans-serif;color:#1d2733;max-width:920px;margin:24px auto;padding:0 16px}"
    "h1{font-size:24px}h2{font-size:18px;margin-top:28px}table{border-collapse:collapse;font-variant-numeric:tabular-"
    "nums}"
    "td,th{padding:2px 10px;text-align:right;border-bottom:1px solid "
    "#e3e7ec}td:first-child,th:first-child{text-align:left}"
    "svg{background:#fff;margin:4px}svg text{font:11px system-ui,sans-serif;fill:#44505e}svg .t{font-size:13px;"
    "font-weight:600;fill:#1d2733}.g{stroke:#e8ebef}.f{fill:none;stroke:#b4bdc8}code{font-size:12px}.bad{color:#b3261e}"
    ".good{color:#1b7a3d}";

static void row(FILE *f, const char *key, const char *value) {
    fputs("<tr><td>", f);
    html_text(f, key, 80);
    fputs("</td><td>", f);
    html_text(f, value, 400);
    fputs("</td></tr>\n", f);
}

static void write_head(const evaluation *e, FILE *f) {
    char rows[32];
    const char *digest = tn_model_digest(e->model);
    const char *title = e->manifest ? tn_manifest_get(e->manifest, "title") : NULL;
    const char *name = e->manifest ? tn_manifest_get(e->manifest, "name") : e->settings->operands.items[0];
    fprintf(f, "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'><title>");
    html_text(f, title ? title : name, 200);
    fprintf(f, "</title><style>%s</style></head><body>\n<h1>", style);
    html_text(f, title ? title : name, 200);
    fputs("</h1>\n<table>\n", f);
    row(f, "model", e->settings->operands.items[0]);
    if (e->manifest) row(f, "version", tn_manifest_get(e->manifest, "version"));
    if (digest) row(f, "digest", digest);
    row(f, "data", e->settings->operands.items[1]);
    snprintf(rows, sizeof rows, "%lld", (long long)e->rows);
    row(f, "rows", rows);
    row(f, "measured by", tn_version());
    fputs("</table>\n", f);
}

static void cell(FILE *f, double x) {
    if (isnan(x))
        fputs("<td></td>", f);
    else
        fprintf(f, "<td>%.6g</td>", x);
}

static void write_figures(const evaluation *e, FILE *f) {
    fputs(
        "<h2>Metrics</h2>\n<table><tr><th>metric</th><th>value</th><th>from (95 %)</th><th>to</th><th>in training</th>"
        "<th>gap</th></tr>\n",
        f);
    for (int i = 0; i < e->figure_count; i++) {
        const figure *g = &e->figures[i];
        fprintf(f, "<tr><td>%s</td>", g->name);
        cell(f, g->value);
        cell(f, g->low);
        cell(f, g->high);
        cell(f, g->training);
        cell(f, g->value - g->training);
        fputs("</tr>\n", f);
    }
    fputs("</table>\n", f);
}

static void write_gate(const evaluation *e, FILE *f) {
    if (!e->gate_count) return;
    fputs("<h2>Gate</h2>\n<table><tr><th>bound</th><th>expected</th><th>found</th><th></th></tr>\n", f);
    for (int i = 0; i < e->gate_count; i++) {
        const gate_line *g = &e->gate_lines[i];
        fputs("<tr><td>", f);
        html_text(f, g->bound, 200);
        fputs("</td><td>", f);
        html_text(f, g->expected, 200);
        fputs("</td><td>", f);
        html_text(f, g->found, 200);
        fprintf(f, "</td><td class='%s'>%s</td></tr>\n", g->passed ? "good" : "bad", g->passed ? "kept" : "not kept");
    }
    fputs("</table>\n", f);
}

/* ---- classes ---- */

/* Shades are of a row: how the true class was told. */
static void draw_confusion(const evaluation *e, FILE *f) {
    int n = e->classes;
    double side = n > 20 ? 18 : n > 8 ? 30 : 46, left = 90, top = 62;
    if (!e->confusion || n > MOST_CELLS) return;
    fprintf(f,
            "<svg viewBox='0 0 %.0f %.0f' width='%.0f' height='%.0f' role='img'><title>confusion matrix</title>"
            "<text class='t' x='8' y='18'>Confusion: a row a true class, a column a predicted one</text>\n",
            left + n * side + 8 + (n < 6 ? 200 : 0), top + n * side + 8, left + n * side + 8 + (n < 6 ? 200 : 0),
            top + n * side + 8);
    for (int r = 0; r < n; r++) {
        int64_t all = 0;
        for (int c = 0; c < n; c++) all += e->confusion[r * n + c];
        fprintf(f, "<text x='%.0f' y='%.1f' text-anchor='end'>", left - 6, top + (r + 0.5) * side + 4);
        html_text(f, class_name(e, r), 12);
        fprintf(f, "</text><text text-anchor='middle' x='%.1f' y='%.0f'>", left + (r + 0.5) * side, top - 8);
        html_text(f, class_name(e, r), (size_t)(side / 6));
        fputs("</text>\n", f);
        for (int c = 0; c < n; c++) {
            int64_t count = e->confusion[r * n + c];
            double part = all ? (double)count / (double)all : 0;
            fprintf(f,
                    "<rect x='%.1f' y='%.1f' width='%.1f' height='%.1f' fill='%s' fill-opacity='%.3f' "
                    "stroke='#dfe4ea'><title>%lld rows</title></rect>",
                    left + c * side, top + r * side, side, side, r == c ? "#2f6fb7" : "#d1603d", part,
                    (long long)count);
            if (count && side > 20)
                fprintf(f, "<text text-anchor='middle' x='%.1f' y='%.1f'%s>%lld</text>\n", left + (c + 0.5) * side,
                        top + (r + 0.5) * side + 4, part > 0.55 ? " style='fill:#fff'" : "", (long long)count);
        }
    }
    fputs("</svg>\n", f);
}

/* Classes whose curves are drawn: of two, the second; else the first ones. */
static int first_curve(const evaluation *e) {
    return e->classes == 2 ? 1 : 0;
}

static place *curve_of(const evaluation *e, tn_curve kind, int class_index, size_t *count) {
    tn_metrics *m = tn_evaluation_metrics(e->result);
    tn_curve_point *points = tool_alloc((size_t)e->rows + 2, sizeof *points);
    place *places = NULL;
    *count = 0;
    if (tn_metrics_curve(m, kind, class_index, (size_t)e->rows + 2, points, count) == TN_OK) {
        places = tool_alloc(*count, sizeof *places);
        for (size_t i = 0; i < *count; i++) places[i] = (place){points[i].x, points[i].y};
    }
    free(points);
    return places;
}

static void draw_curves(const evaluation *e, FILE *f, tn_curve kind, const char *title, const char *x, const char *y) {
    chart c;
    int first = first_curve(e);
    chart_open(&c, f, title, x, y, 0, 1, 0, 1);
    if (kind != TN_CURVE_PRECISION_RECALL) chart_line(&c, (place[]){{0, 0}, {1, 1}}, 2, "#a8b2be", true);
    for (int i = first; i < e->classes && i < first + MOST_CURVES; i++) {
        size_t count;
        place *points = curve_of(e, kind, i, &count);
        if (!points) continue;
        chart_line(&c, points, count, chart_colour(i), false);
        if (kind == TN_CURVE_CALIBRATION) chart_points(&c, points, count, chart_colour(i));
        free(points);
    }
    chart_close(&c);
}

static void write_classes(const evaluation *e, FILE *f) {
    int first = first_curve(e), shown = e->classes < first + MOST_CURVES ? e->classes : first + MOST_CURVES;
    fputs("<h2>Classes</h2>\n", f);
    draw_confusion(e, f);
    fputs("<p>Curves are of a class against the rest: ", f);
    for (int i = first; i < shown; i++) {
        fprintf(f, "<span style='color:%s'>&#9632;</span> ", chart_colour(i));
        html_text(f, class_name(e, i), 40);
        fputs(" ", f);
    }
    if (shown < e->classes) fprintf(f, "(%d of %d)", shown - first, e->classes);
    fputs("</p>\n", f);
    draw_curves(e, f, TN_CURVE_ROC, "ROC", "false positive rate", "true positive rate");
    draw_curves(e, f, TN_CURVE_PRECISION_RECALL, "Precision and recall", "recall", "precision");
    draw_curves(e, f, TN_CURVE_CALIBRATION, "Reliability", "predicted probability", "part that is so");
}

/* ---- numbers ---- */

static void draw_histogram(FILE *f, const place *points, size_t count) {
    enum { BARS = 40 };
    double counts[BARS] = {0}, least = INFINITY, most = -INFINITY, highest = 0;
    chart c;
    for (size_t i = 0; i < count; i++) {
        double residual = points[i].y - points[i].x;
        least = fmin(least, residual);
        most = fmax(most, residual);
    }
    if (!(most > least)) most = least + 1;
    for (size_t i = 0; i < count; i++) {
        int at = (int)((points[i].y - points[i].x - least) / (most - least) * BARS);
        counts[at < BARS ? at : BARS - 1]++;
    }
    for (int i = 0; i < BARS; i++) highest = fmax(highest, counts[i]);
    chart_open(&c, f, "Residuals", "predicted - true", "rows", least, most, 0, highest);
    for (int i = 0; i < BARS; i++) {
        char tip[40];
        double width = (most - least) / BARS;
        snprintf(tip, sizeof tip, "%.0f rows", counts[i]);
        if (counts[i] > 0) chart_bar(&c, least + i * width, least + (i + 1) * width, counts[i], chart_colour(0), tip);
    }
    chart_close(&c);
}

static void write_numbers(const evaluation *e, FILE *f) {
    const float *truth = tn_tensor_const_data(tn_evaluation_truth(e->result)),
                *predicted = tn_tensor_const_data(tn_evaluation_predicted(e->result));
    size_t count = (size_t)tn_tensor_count(tn_evaluation_truth(e->result));
    place *points = tool_alloc(count, sizeof *points), *residuals = tool_alloc(count, sizeof *residuals);
    double least = INFINITY, most = -INFINITY, far = 0;
    chart c;
    for (size_t i = 0; i < count; i++) {
        points[i] = (place){(double)truth[i], (double)predicted[i]};
        residuals[i] = (place){(double)predicted[i], (double)predicted[i] - (double)truth[i]};
        least = fmin(least, fmin(points[i].x, points[i].y));
        most = fmax(most, fmax(points[i].x, points[i].y));
        far = fmax(far, fabs(residuals[i].y));
    }
    fputs("<h2>Predictions</h2>\n", f);
    chart_open(&c, f, "Predicted and true", "true", "predicted", least, most, least, most);
    chart_line(&c, (place[]){{least, least}, {most, most}}, 2, "#a8b2be", true);
    chart_points(&c, points, count, chart_colour(0));
    chart_close(&c);
    chart_open(&c, f, "Residuals by prediction", "predicted", "predicted - true", least, most, -far, far);
    chart_line(&c, (place[]){{least, 0}, {most, 0}}, 2, "#a8b2be", true);
    chart_points(&c, residuals, count, chart_colour(1));
    chart_close(&c);
    draw_histogram(f, points, count);
    free(points);
    free(residuals);
}

/* ---- training ---- */

static place *list_of(const tn_manifest *m, const char *path, size_t count) {
    char item[80];
    place *points = tool_alloc(count, sizeof *points);
    for (size_t i = 0; i < count; i++) {
        snprintf(item, sizeof item, "extra/training/at/%zu", i);
        const char *at = tn_manifest_get(m, item);
        snprintf(item, sizeof item, "%s/%zu", path, i);
        const char *value = tn_manifest_get(m, item);
        points[i] = (place){at ? strtod(at, NULL) : NAN, value ? strtod(value, NULL) : NAN};
    }
    return points;
}

static void write_training(const evaluation *e, FILE *f) {
    static const char *const paths[] = {"extra/training/losses", "extra/training/validation"};
    static const char *const names[] = {"training", "validation"};
    size_t count = e->manifest ? (size_t)tn_manifest_count(e->manifest, paths[0]) : 0;
    double most = -INFINITY, least = INFINITY;
    place *lines[2] = {NULL, NULL};
    chart c;
    if (!count) return;
    for (int i = 0; i < 2; i++) {
        if (!tn_manifest_count(e->manifest, paths[i])) continue;
        lines[i] = list_of(e->manifest, paths[i], count);
        for (size_t k = 0; k < count; k++) {
            double x = lines[i][k].y;
            /* A loss of logarithms is drawn by its logarithm: most of what happens is near 0. */
            lines[i][k].y = x > 0 ? log10(x) : NAN;
            if (isnan(lines[i][k].y)) continue;
            most = fmax(most, lines[i][k].y);
            least = fmin(least, lines[i][k].y);
        }
    }
    fputs("<h2>Training</h2>\n", f);
    chart_open(&c, f, "Loss by epoch", "epoch", "log10 of the loss", 1, lines[0][count - 1].x, least, most);
    for (int i = 0; i < 2; i++) {
        if (!lines[i]) continue;
        chart_line(&c, lines[i], count, chart_colour(i), false);
        chart_legend(&c, chart_colour(i), names[i]);
        free(lines[i]);
    }
    chart_close(&c);
}

static void write_hardship(const evaluation *e, FILE *f) {
    chart c;
    if (e->trouble_count) fprintf(f, "<h2>Robustness</h2>\n<p>%s as trouble grows.</p>\n", e->metric);
    for (int t = 0; t < e->trouble_count; t++) {
        const trouble *k = &e->troubles[t];
        place points[STRENGTHS];
        double least = 0, most = 1;
        for (int i = 0; i < STRENGTHS; i++) {
            points[i] = (place){k->strengths[i], k->values[i]};
            least = fmin(least, k->values[i]);
            most = fmax(most, k->values[i]);
        }
        chart_open(&c, f, k->name, k->unit, e->metric, 0, k->strengths[STRENGTHS - 1], fmax(least, -1), most);
        chart_line(&c, points, STRENGTHS, chart_colour(t), false);
        chart_points(&c, points, STRENGTHS, chart_colour(t));
        chart_close(&c);
    }
    if (!e->weight_count) return;
    fprintf(f,
            "<h2>Importance</h2>\n<table><tr><th>column</th><th>fall of %s when it is permuted</th><th>deviation</th>",
            e->metric);
    for (int way = 0; way < ATTRIBUTIONS; way++) fprintf(f, "<th>mean |%s|</th>", attribution_names[way]);
    fputs("</tr>\n", f);
    for (int i = 0; i < e->weight_count && i < 50; i++) {
        fputs("<tr><td>", f);
        html_text(f, e->weights[i].column, 60);
        fputs("</td>", f);
        cell(f, e->weights[i].mean);
        cell(f, e->weights[i].deviation);
        for (int way = 0; way < ATTRIBUTIONS; way++) cell(f, e->weights[i].attributions[way]);
        fputs("</tr>\n", f);
    }
    fputs("</table>\n", f);
}

static void write_security(const evaluation *e, FILE *f) {
    const tn_membership *m = &e->membership;
    if (!e->settings->security) return;
    fputs("<h2>Security</h2>\n", f);
    if (m->members)
        fprintf(
            f,
            "<p>Who sees a row's loss tells a row that was trained on from another with an AUC of %.4f (0.5: not at "
            "all), an advantage of %.4f, and tells %.1f %% of them at 1 %% false (%lld rows against %lld).</p>\n",
            m->auc, m->advantage, 100 * m->exposed, (long long)m->members, (long long)m->others);
    fprintf(
        f,
        "<p>%d rows look wrong: of another class than most of their neighbours, or %g times as far from them as the "
        "median.</p>\n<table><tr><th>row</th><th>distance</th><th>neighbours of another class</th></tr>\n",
        e->suspect_count, (double)FAR);
    for (int i = 0; i < e->suspect_count && i < SHOWN_SUSPECTS; i++) {
        fprintf(f, "<tr><td>%lld</td>", (long long)e->suspects[i].row);
        cell(f, e->suspects[i].distance);
        cell(f, e->suspects[i].disagreement);
        fputs("</tr>\n", f);
    }
    fprintf(f, "</table>\n<p>%d things in the model's file that no model needs.</p>\n<ul>\n", e->findings.count);
    for (int i = 0; i < e->findings.count; i++) {
        fputs("<li>", f);
        html_text(f, e->findings.items[i].where, 200);
        fprintf(f, ": %s</li>\n", e->findings.items[i].what);
    }
    fputs("</ul>\n", f);
}

bool report_write(const evaluation *e, const char *path) {
    FILE *f = file_create(path);
    if (!f) return false;
    write_head(e, f);
    write_gate(e, f);
    write_figures(e, f);
    if (tn_evaluation_task(e->result) == TN_TASK_CLASSIFICATION)
        write_classes(e, f);
    else if (tn_evaluation_task(e->result) != TN_TASK_SEQUENCES)
        write_numbers(e, f);
    write_hardship(e, f);
    draw_attention(e, f);
    write_security(e, f);
    write_training(e, f);
    fputs("</body></html>\n", f);
    return file_commit(f, path);
}
