/* The report as one page of HTML, its pictures SVG inside of it: for each layer size, signal and time, and how good all that was
 * tried is for its size and its time. Nothing is loaded from elsewhere, and nothing in it runs. */
#include "compress/quantize.h"
#include "base/text.h"
#include <math.h>
#include <stdio.h>

enum { BAR = 260, ROW = 18, LABEL = 250, WIDE = 640, HIGH = 320, MARGIN = 56 };

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Quantization</title><style>\n"
    "body{font:14px/1.4 system-ui,sans-serif;margin:2em auto;max-width:1000px;color:#1c2430}\n"
    "h2{margin:1.6em 0 .4em;font-size:1.15em}table{border-collapse:collapse}\n"
    "td,th{padding:.15em .9em .15em 0;text-align:left;vertical-align:top}td.n{text-align:right}\n"
    "svg{display:block}text{font:12px system-ui,sans-serif;fill:#1c2430}.q{fill:#5a6675}\n"
    ".before{fill:#b9c3d0}.after{fill:#2a6fdb}.float{fill:#d98a2b}.line{stroke:#8894a3;fill:none}\n"
    "</style></head><body>\n<h1>Quantization</h1>\n";

static const char *bytes_text(char *text, size_t size, double bytes) {
    if (bytes >= 1e6)
        snprintf(text, size, "%.2f MB", bytes / 1e6);
    else if (bytes >= 1e3)
        snprintf(text, size, "%.1f kB", bytes / 1e3);
    else
        snprintf(text, size, "%.0f B", bytes);
    return text;
}

static void put_row(tn_text *t, const char *name, const char *before, const char *after) {
    tn_put_format(t, "<tr><td>%s</td><td class=\"n\">%s</td><td class=\"n\">%s</td></tr>\n", name, before, after);
}

static void put_summary(tn_text *t, const tn_quantize_summary *s, const char *metric) {
    char a[64], b[64];
    tn_put_text(t, "<table><tr><th></th><th>before</th><th>after</th></tr>\n");
    put_row(t, "constants", bytes_text(a, sizeof a, (double)s->bytes_before),
            bytes_text(b, sizeof b, (double)s->bytes_after));
    snprintf(a, sizeof a, "%d", s->layers);
    snprintf(b, sizeof b, "%d int8, %d float32", s->int8_layers, s->layers - s->int8_layers);
    put_row(t, "layers", a, b);
    if (!isnan(s->metric_after)) {
        snprintf(a, sizeof a, "%.4f", s->metric_before);
        snprintf(b, sizeof b, "%.4f", s->metric_after);
        put_row(t, *metric ? "metric" : "agreement", a, b);
    }
    if (!isnan(s->sqnr)) {
        snprintf(b, sizeof b, "%.1f dB", s->sqnr);
        put_row(t, "signal to noise of the worst output", "", b);
    }
    if (!isnan(s->ns_after)) {
        snprintf(a, sizeof a, "%.3f ms", s->ns_before / 1e6);
        snprintf(b, sizeof b, "%.3f ms", s->ns_after / 1e6);
        put_row(t, "time of a run", a, b);
    }
    tn_put_format(t, "</table>\n<p class=\"q\">%lld sets of calibration data, %.2f s</p>\n", (long long)s->samples,
                  s->seconds);
}

/* ---- bars: a row a layer ---- */
typedef struct bars {
    const char *title, *unit;
    double scale; /* of values, for the text beside a bar */
    double (*after)(const tn_report_layer *l);
    double (*before)(const tn_report_layer *l); /* NULL: there is none */
} bars;

static double size_before(const tn_report_layer *l) {
    return (double)l->before;
}
static double size_after(const tn_report_layer *l) {
    return (double)l->after;
}
static double sqnr_of(const tn_report_layer *l) {
    return l->sqnr;
}
static double sensitivity_of(const tn_report_layer *l) {
    return l->sensitivity;
}
static double time_before(const tn_report_layer *l) {
    return l->ns_before;
}
static double time_after(const tn_report_layer *l) {
    return l->ns_after;
}

static void put_bar(tn_text *t, const char *class, int y, int height, double part) {
    if (!(part >= 0)) return;
    tn_put_format(t, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\"/>", class, LABEL, y,
                  fmin(part, 1) * BAR, height);
}

static void put_bars(tn_text *t, const tn_quantize_report *r, const bars *b) {
    int layers = r->summary.layers;
    double most = 0;
    for (int i = 0; i < layers; i++) {
        double x = b->after(&r->layers[i]), y = b->before ? b->before(&r->layers[i]) : 0;
        if (isfinite(x)) most = fmax(most, x);
        if (isfinite(y)) most = fmax(most, y);
    }
    if (!(most > 0)) return;
    tn_put_format(t, "<h2>%s</h2>\n<svg width=\"%d\" height=\"%d\" role=\"img\">\n", b->title, LABEL + BAR + 240,
                  layers * ROW + 4);
    for (int i = 0; i < layers; i++) {
        const tn_report_layer *l = &r->layers[i];
        double x = b->after(l), y = b->before ? b->before(l) : NAN;
        tn_put_format(t, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">", LABEL - 8, i * ROW + 13);
        char name[40];
        snprintf(name, sizeof name, strlen(l->name) > 36 ? "%.35s\xE2\x80\xA6" : "%.36s", l->name);
        tn_put_escaped(t, name);
        tn_put_text(t, "</text>");
        put_bar(t, "before", i * ROW + 2, 14, y / most);
        put_bar(t, l->int8 ? "after" : "float", i * ROW + (isnan(y) ? 2 : 5), isnan(y) ? 14 : 8, x / most);
        if (isnan(x) && isnan(y))
            tn_put_format(t, "<text class=\"q\" x=\"%d\" y=\"%d\">float32", LABEL + 4, i * ROW + 13);
        else
            tn_put_format(t, "<text class=\"q\" x=\"%d\" y=\"%d\">%.4g%s", LABEL + BAR + 8, i * ROW + 13,
                          (isnan(x) ? y : x) / b->scale, b->unit);
        if (*l->reason) tn_put_text(t, ": ");
        tn_put_escaped(t, l->reason);
        tn_put_text(t, "</text>\n");
    }
    tn_put_text(t, "</svg>\n");
}

/* ---- what was tried: what is good against what it costs, a picture a cost ---- */

static double point_bytes(const tn_report_point *p) {
    return p->bytes;
}
static double point_ns(const tn_report_point *p) {
    return p->ns;
}

static const char *time_text(char *text, size_t size, double ns) {
    snprintf(text, size, ns >= 1e6 ? "%.3g ms" : "%.3g \xC2\xB5s", ns / (ns >= 1e6 ? 1e6 : 1e3));
    return text;
}

typedef struct panel {
    const char *title, *below;
    double (*cost)(const tn_report_point *p);
    const char *(*text)(char *text, size_t size, double cost);
} panel;

static double good(const tn_quantize_report *r, const tn_report_point *p) {
    return *r->metric ? p->metric : p->sqnr;
}

static bool is_shown(const tn_quantize_report *r, const panel *kind, const tn_report_point *p) {
    return isfinite(good(r, p)) && isfinite(kind->cost(p));
}

static bool is_beaten(const tn_quantize_report *r, const panel *kind, const tn_report_point *p) {
    for (int i = 0; i < r->point_count; i++) {
        const tn_report_point *o = &r->points[i];
        const double less = kind->cost(p) - kind->cost(o), better = good(r, o) - good(r, p);
        if (less >= 0 && better >= 0 && (less > 0 || better > 0)) return true;
    }
    return false;
}

static void put_point(tn_text *t, const tn_quantize_report *r, const panel *kind, const tn_report_point *p, double x,
                      double y) {
    char text[64];
    const char *class = p->kept ? "float" : is_beaten(r, kind, p) ? "before" : "after";
    tn_put_format(t, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%d\"><title>", class, x, y, p->kept ? 7 : 4);
    tn_put_escaped(t, p->name);
    if (!*p->name) tn_put_format(t, "%d layers on int8", p->int8);
    if (*r->metric) {
        tn_put_text(t, ": ");
        tn_put_escaped(t, r->metric);
        tn_put_format(t, " %.4f", p->metric);
    }
    if (isfinite(p->sqnr)) tn_put_format(t, ", %.1f dB", p->sqnr);
    if (isfinite(p->ns)) tn_put_format(t, ", %s", time_text(text, sizeof text, p->ns));
    tn_put_format(t, ", %s%s</title></circle>\n", bytes_text(text, sizeof text, p->bytes), p->kept ? ": kept" : "");
}

/* False: there is nothing to show. */
static bool put_panel(tn_text *t, const tn_quantize_report *r, const panel *kind) {
    const double wide = WIDE - 20.0 - MARGIN, high = HIGH - MARGIN - 20.0;
    double most = 0, low = INFINITY, top = -INFINITY, room;
    for (int i = 0; i < r->point_count; i++) {
        if (!is_shown(r, kind, &r->points[i])) continue;
        low = fmin(low, good(r, &r->points[i]));
        top = fmax(top, good(r, &r->points[i]));
        most = fmax(most, kind->cost(&r->points[i]));
    }
    if (!(top >= low) || !(most > 0)) return false;
    room = *r->metric ? 0.01 : 2;
    if (top - low < room) low -= room / 2, top += room / 2;
    tn_put_format(t, "<h2>%s and ", kind->title);
    tn_put_escaped(t, *r->metric ? r->metric : "signal");
    tn_put_format(t,
                  " of all that was tried</h2>\n<svg width=\"%d\" height=\"%d\" role=\"img\">\n"
                  "<path class=\"line\" d=\"M%d 10V%dH%d\"/>\n",
                  WIDE + 40, HIGH, MARGIN, HIGH - MARGIN, WIDE - 20);
    for (int i = 0; i <= 4; i++) {
        char text[64];
        tn_put_format(t, "<text class=\"q\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>",
                      MARGIN + wide * i / 4, HIGH - MARGIN + 18, kind->text(text, sizeof text, most * i / 4));
        tn_put_format(t, "<text class=\"q\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.*f</text>\n", MARGIN - 6,
                      HIGH - MARGIN - high * i / 4 + 4, *r->metric ? 4 : 1, low + (top - low) * i / 4);
    }
    tn_put_format(t, "<text class=\"q\" x=\"%d\" y=\"%d\">%s</text><text class=\"q\" x=\"4\" y=\"12\">", WIDE - 90,
                  HIGH - 14, kind->below);
    tn_put_escaped(t, *r->metric ? r->metric : "dB");
    tn_put_text(t, "</text>\n");
    for (int i = 0; i < r->point_count; i++) {
        const tn_report_point *p = &r->points[i];
        if (is_shown(r, kind, p))
            put_point(t, r, kind, p, MARGIN + wide * kind->cost(p) / most,
                      HIGH - MARGIN - high * (good(r, p) - low) / (top - low));
    }
    tn_put_text(t, "</svg>\n");
    return true;
}

static void put_points(tn_text *t, const tn_quantize_report *r) {
    static const panel kinds[] = {{"Size", "constants", point_bytes, bytes_text},
                                  {"Time", "a run", point_ns, time_text}};
    bool any = false;
    for (size_t i = 0; i < TN_COUNT(kinds); i++) any |= put_panel(t, r, &kinds[i]);
    if (any)
        tn_put_text(t,
                    "<p class=\"q\"><svg width=\"12\" height=\"10\" style=\"display:inline\"><circle class=\"float\" "
                    "cx=\"5\" cy=\"5\" r=\"5\"/></svg>kept &ensp;<svg width=\"12\" height=\"10\" "
                    "style=\"display:inline\"><circle class=\"after\" cx=\"5\" cy=\"5\" r=\"4\"/></svg>no other costs "
                    "less and is better &ensp;<svg width=\"12\" height=\"10\" style=\"display:inline\"><circle "
                    "class=\"before\" cx=\"5\" cy=\"5\" r=\"4\"/></svg>others</p>\n");
}

const char *tn_quantize_report_html(tn_quantize_report *report) {
    static const bars pictures[] = {{"Bytes of weights and biases", " kB", 1e3, size_after, size_before},
                                    {"Signal to noise of each layer's output", " dB", 1, sqnr_of, NULL},
                                    {"Sensitivity: signal to noise of the worst output with that layer alone on int8",
                                     " dB", 1, sensitivity_of, NULL},
                                    {"Time", " \xC2\xB5s", 1e3, time_after, time_before}};
    tn_text t = {.region = report->region};
    tn_put_text(&t, head);
    put_summary(&t, &report->summary, report->metric);
    put_points(&t, report);
    for (size_t i = 0; i < TN_COUNT(pictures); i++) put_bars(&t, report, &pictures[i]);
    tn_put_text(&t, "</body></html>\n");
    if (t.failed) {
        tn_fail(TN_E_MEMORY, "no memory for the report");
        return NULL;
    }
    return t.data;
}
