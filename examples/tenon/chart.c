/* Charts as SVG. See chart.h. */
#include "chart.h"
#include <math.h>
#include <stdint.h>
#include <string.h>

enum { WIDTH = 420, HEIGHT = 320, LEFT = 58, RIGHT = 12, TOP = 30, BOTTOM = 44, MOST_POINTS = 600 };

const char *chart_colour(int index) {
    static const char *const colours[] = {"#2f6fb7", "#d1603d", "#3d9a57", "#8a5fbf", "#b58a1b", "#3c9fa8"};
    return colours[index % 6];
}

void html_text(FILE *file, const char *text, size_t most) {
    size_t i = 0;
    for (; text[i] && i < most; i++) {
        unsigned char c = (unsigned char)text[i];
        const char *entity = c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : c == '"' ? "&quot;" : NULL;
        if (entity)
            fputs(entity, file);
        else
            fputc((c < 0x20 && c != '\n') || c == 0x7f ? '?' : c, file);
    }
    if (text[i]) fputs("...", file);
}

static double across(const chart *c, double x) {
    return LEFT + (x - c->x0) / (c->x1 - c->x0) * (WIDTH - LEFT - RIGHT);
}
static double down(const chart *c, double y) {
    return HEIGHT - BOTTOM - (y - c->y0) / (c->y1 - c->y0) * (HEIGHT - TOP - BOTTOM);
}

/* 1, 2 or 5 times a power of ten, so that there are four to ten. */
static double tick_of(double length) {
    double power = pow(10, floor(log10(length))), part = length / power;
    return part < 2 ? power / 5 : part < 5 ? power / 2 : power;
}

static void widen(double *from, double *to) {
    if (!isfinite(*from) || !isfinite(*to)) *from = 0, *to = 1;
    if (*to - *from > 1e-12 * fmax(fabs(*from), fabs(*to))) return;
    double by = *from == 0 ? 1 : fabs(*from) * 0.1;
    *from -= by;
    *to += by;
}

static void ticks(const chart *c, bool upright) {
    double from = upright ? c->y0 : c->x0, to = upright ? c->y1 : c->x1, tick = tick_of(to - from);
    for (int64_t i = (int64_t)ceil(from / tick - 1e-9); (double)i * tick <= to + 1e-9 * (to - from); i++) {
        double at = (double)i * tick, x = upright ? LEFT : across(c, at), y = upright ? down(c, at) : HEIGHT - BOTTOM;
        fprintf(c->file, "<line class='g' x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f'/>", x, y,
                upright ? (double)(WIDTH - RIGHT) : x, upright ? y : (double)TOP);
        fprintf(c->file, "<text x='%.1f' y='%.1f' text-anchor='%s'>%.4g</text>", upright ? x - 5 : x,
                upright ? y + 4 : y + 15, upright ? "end" : "middle", at);
    }
}

void chart_open(chart *c, FILE *file, const char *title, const char *x, const char *y, double x0, double x1, double y0,
                double y1) {
    *c = (chart){.file = file, .x0 = x0, .x1 = x1, .y0 = y0, .y1 = y1};
    widen(&c->x0, &c->x1);
    widen(&c->y0, &c->y1);
    fprintf(file, "<svg viewBox='0 0 %d %d' width='%d' height='%d' role='img'><title>", WIDTH, HEIGHT, WIDTH, HEIGHT);
    html_text(file, title, 200);
    fprintf(file, "</title><text class='t' x='%d' y='18'>", LEFT);
    html_text(file, title, 60);
    fputs("</text>", file);
    ticks(c, false);
    ticks(c, true);
    fprintf(file, "<text x='%d' y='%d' text-anchor='middle'>", (WIDTH + LEFT - RIGHT) / 2, HEIGHT - 10);
    html_text(file, x, 60);
    fprintf(file, "</text><text transform='translate(13 %d) rotate(-90)' text-anchor='middle'>",
            (HEIGHT + TOP - BOTTOM) / 2);
    html_text(file, y, 60);
    fprintf(file, "</text><rect class='f' x='%d' y='%d' width='%d' height='%d'/>\n", LEFT, TOP, WIDTH - LEFT - RIGHT,
            HEIGHT - TOP - BOTTOM);
}

static bool inside(const chart *c, place p) {
    return isfinite(p.x) && isfinite(p.y) && p.x >= c->x0 && p.x <= c->x1;
}

/* What lies beyond an end of the upright axis is drawn there. */
static double bounded(const chart *c, double y) {
    return fmin(fmax(y, c->y0), c->y1);
}

void chart_line(chart *c, const place *points, size_t count, const char *colour, bool dashed) {
    size_t step = count / MOST_POINTS + 1;
    bool open = false;
    for (size_t i = 0; i < count; i += step) {
        if (i + step >= count) i = count - 1; /* the last is always there */
        if (!inside(c, points[i])) {
            if (open) fputs("'/>\n", c->file);
            open = false;
            continue;
        }
        if (!open)
            fprintf(c->file, "<polyline fill='none' stroke='%s' stroke-width='1.6'%s points='", colour,
                    dashed ? " stroke-dasharray='4 3'" : "");
        open = true;
        fprintf(c->file, "%.1f,%.1f ", across(c, points[i].x), down(c, bounded(c, points[i].y)));
    }
    if (open) fputs("'/>\n", c->file);
}

void chart_points(chart *c, const place *points, size_t count, const char *colour) {
    size_t step = count / (2 * MOST_POINTS) + 1;
    fprintf(c->file, "<g fill='%s' fill-opacity='0.45'>", colour);
    for (size_t i = 0; i < count; i += step)
        if (inside(c, points[i]))
            fprintf(c->file, "<circle cx='%.1f' cy='%.1f' r='2'/>", across(c, points[i].x),
                    down(c, bounded(c, points[i].y)));
    fputs("</g>\n", c->file);
}

void chart_bar(chart *c, double from, double to, double height, const char *colour, const char *tip) {
    double left = across(c, from), right = across(c, to), top = down(c, bounded(c, fmax(height, 0))),
           bottom = down(c, bounded(c, fmin(height, 0)));
    fprintf(c->file, "<rect fill='%s' fill-opacity='0.7' x='%.1f' y='%.1f' width='%.1f' height='%.1f'><title>", colour,
            left + 0.5, top, fmax(right - left - 1, 0.5), bottom - top);
    html_text(c->file, tip, 200);
    fputs("</title></rect>\n", c->file);
}

void chart_legend(chart *c, const char *colour, const char *text) {
    double y = TOP + 14 + 14 * c->entries++;
    if (c->entries > 16) return;
    fprintf(c->file, "<text x='%d' y='%.0f' text-anchor='end'>", WIDTH - RIGHT - 20, y + 4);
    html_text(c->file, text, 28);
    fprintf(c->file, "</text><line x1='%d' x2='%d' y1='%.0f' y2='%.0f' stroke='%s' stroke-width='3'/>\n",
            WIDTH - RIGHT - 16, WIDTH - RIGHT - 4, y, y, colour);
}

void chart_close(chart *c) {
    fputs("</svg>\n", c->file);
}
