/* tenon tune --report: one HTML file with the trials and pictures of them. It needs nothing from elsewhere. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "chart.h"
#include "tune.h"

enum { MOST_ROWS = 200, MOST_SLICES = 24 };

typedef struct pages {
    FILE *file;
    tn_study *study;
    int64_t end;
    int parameters, objectives;
    place *points; /* room for the trials */
} pages;

static bool complete(const pages *p, int64_t number, tn_trial *out) {
    *out = (tn_trial){.struct_size = sizeof *out};
    return tn_study_trial(p->study, number, out) == TN_OK && out->state == TN_TRIAL_COMPLETE;
}

static const char *objective(const pages *p, int index, bool *out_maximize) {
    const char *name = "";
    tn_study_objective(p->study, index, &name, out_maximize);
    return name;
}

/* The ends of what is in the points; they may all be infinite, and the chart then has ends of its own. */
static void chart_around(chart *c, const pages *p, size_t count, const char *title, const char *x, const char *y) {
    double x0 = INFINITY, x1 = -INFINITY, y0 = INFINITY, y1 = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        x0 = fmin(x0, p->points[i].x), x1 = fmax(x1, p->points[i].x);
        y0 = fmin(y0, p->points[i].y), y1 = fmax(y1, p->points[i].y);
    }
    chart_open(c, p->file, title, x, y, x0, x1, y0, y1);
}

static void draw_history(const pages *p, int index) {
    bool maximize;
    chart c;
    size_t count = 0;
    const char *name = objective(p, index, &maximize);
    double best = maximize ? -INFINITY : INFINITY;
    for (int64_t i = 0; i < p->end; i++) {
        tn_trial t;
        if (complete(p, i, &t)) p->points[count++] = (place){(double)i, t.values[index]};
    }
    chart_around(&c, p, count, name, "trial", name);
    chart_points(&c, p->points, count, chart_colour(0));
    for (size_t i = 0; i < count; i++) {
        best = maximize ? fmax(best, p->points[i].y) : fmin(best, p->points[i].y);
        p->points[i].y = best;
    }
    chart_line(&c, p->points, count, chart_colour(1), false);
    chart_legend(&c, chart_colour(1), "the best so far");
    chart_close(&c);
}

static void draw_front(const pages *p, int a, int b, const int64_t *front) {
    chart c;
    size_t count = 0;
    const char *x = objective(p, a, NULL), *y = objective(p, b, NULL);
    char title[160];
    tn_trial t;
    for (int64_t i = 0; i < p->end; i++)
        if (complete(p, i, &t)) p->points[count++] = (place){t.values[a], t.values[b]};
    snprintf(title, sizeof title, "%s and %s", x, y);
    chart_around(&c, p, count, title, x, y);
    chart_points(&c, p->points, count, chart_colour(0));
    count = 0;
    for (const int64_t *f = front; *f >= 0; f++)
        if (complete(p, *f, &t)) p->points[count++] = (place){t.values[a], t.values[b]};
    for (int i = 0; i < 3; i++) chart_points(&c, p->points, count, chart_colour(1)); /* to stand out */
    chart_legend(&c, chart_colour(1), "the front");
    chart_close(&c);
}

static void draw_slice(const pages *p, int parameter, int index) {
    tn_parameter info = {.struct_size = sizeof info};
    chart c;
    size_t count = 0;
    char axis[200];
    tn_study_parameter(p->study, parameter, &info);
    for (int64_t i = 0; i < p->end; i++) {
        tn_trial t;
        if (!complete(p, i, &t) || isnan(t.parameters[parameter])) continue;
        double x = t.parameters[parameter];
        p->points[count++] = (place){info.logarithm ? log10(x) : x, t.values[index]};
    }
    snprintf(axis, sizeof axis, "%s%s%s", info.logarithm ? "log10 of " : "", info.name,
             info.kind == TN_PARAMETER_CHOICE ? ", by number" : "");
    chart_around(&c, p, count, info.name, axis, objective(p, index, NULL));
    chart_points(&c, p->points, count, chart_colour(0));
    chart_close(&c);
    if (info.kind != TN_PARAMETER_CHOICE) return;
    fputs("<ol start='0'>", p->file);
    for (int i = 0; i < info.count && i < 40; i++) {
        fputs("<li>", p->file);
        html_text(p->file, info.choices[i], 200);
        fputs("</li>", p->file);
    }
    fputs("</ol>\n", p->file);
}

static void write_importance(const pages *p, int index) {
    double *shares = tool_alloc((size_t)p->parameters, sizeof *shares);
    if (tn_study_importance(p->study, index, shares) == TN_OK) {
        fputs("<h3>What decides about ", p->file);
        html_text(p->file, objective(p, index, NULL), 80);
        fputs(" (PED-ANOVA)</h3>\n<table>\n", p->file);
        for (int i = 0; i < p->parameters; i++) {
            tn_parameter info = {.struct_size = sizeof info};
            tn_study_parameter(p->study, i, &info);
            fputs("<tr><td>", p->file);
            html_text(p->file, info.name, 80);
            fprintf(
                p->file,
                "</td><td>%.1f %%</td><td><svg width='300' height='12'><rect fill='%s' width='%.0f' height='12'/></svg>"
                "</td></tr>\n",
                100 * shares[i], chart_colour(0), 300 * shares[i]);
        }
        fputs("</table>\n", p->file);
    }
    free(shares);
}

static void write_rows(const pages *p, const int64_t *front) {
    fputs("<h2>The best trials</h2>\n<table><tr><th>trial</th>", p->file);
    for (int i = 0; i < p->objectives; i++) {
        fputs("<th>", p->file);
        html_text(p->file, objective(p, i, NULL), 80);
        fputs("</th>", p->file);
    }
    for (int i = 0; i < p->parameters; i++) {
        tn_parameter info = {.struct_size = sizeof info};
        tn_study_parameter(p->study, i, &info);
        fputs("<th>", p->file);
        html_text(p->file, info.name, 80);
        fputs("</th>", p->file);
    }
    fputs("</tr>\n", p->file);
    for (int row = 0; front[row] >= 0 && row < MOST_ROWS; row++) {
        tn_trial t;
        char text[200];
        if (!complete(p, front[row], &t)) continue;
        fprintf(p->file, "<tr><td>%lld</td>", (long long)front[row]);
        for (int i = 0; i < p->objectives; i++) fprintf(p->file, "<td>%.6g</td>", t.values[i]);
        for (int i = 0; i < p->parameters; i++) {
            tune_value(p->study, front[row], i, text, sizeof text);
            fputs("<td>", p->file);
            html_text(p->file, text, 120);
            fputs("</td>", p->file);
        }
        fputs("</tr>\n", p->file);
    }
    fputs("</table>\n", p->file);
}

static void write_page(const pages *p) {
    int64_t *front = tune_front(p->study);
    fputs("<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'><title>Study</title><style>body{font:15px/1.45 "
          "system-ui,sans-serif;color:#1d2733;max-width:920px;margin:24px auto;padding:0 16px}table{border-collapse:"
          "collapse}td,th{padding:2px 10px;text-align:right;border-bottom:1px solid "
          "#e3e7ec}td:first-child,th:first-child{"
          "text-align:left}svg{background:#fff;margin:4px}svg text{font:11px system-ui,sans-serif;fill:#44505e}svg .t{"
          "font-size:13px;font-weight:600;fill:#1d2733}.g{stroke:#e8ebef}.f{fill:none;stroke:#b4bdc8}</style></head>"
          "<body>\n<h1>Study</h1>\n",
          p->file);
    fprintf(p->file, "<p>%lld trials.</p>\n", (long long)tn_study_count(p->study));
    write_rows(p, front);
    fputs("<h2>History</h2>\n", p->file);
    for (int i = 0; i < p->objectives; i++) draw_history(p, i);
    if (p->objectives > 1) fputs("<h2>The front</h2>\n", p->file);
    for (int a = 0; a < p->objectives; a++)
        for (int b = 0; b < a; b++) draw_front(p, b, a, front);
    fputs("<h2>Parameters</h2>\n", p->file);
    for (int i = 0; i < p->objectives; i++) write_importance(p, i);
    for (int i = 0; i < p->parameters && i < MOST_SLICES; i++) draw_slice(p, i, 0);
    fputs("</body></html>\n", p->file);
    free(front);
}

bool tune_report(tn_tuning *tuning, const char *path) {
    tn_study *study = tn_tuning_study(tuning);
    FILE *file = file_create(path);
    if (!file) return false;
    pages p = {file, study, tn_study_end(study), tune_parameters(study), tune_objectives(study), NULL};
    p.points = tool_alloc((size_t)p.end, sizeof *p.points);
    write_page(&p);
    free(p.points);
    return file_commit(file, path);
}
