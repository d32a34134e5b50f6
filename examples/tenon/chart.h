/* Charts as SVG inside of HTML: axes with ticks, and what is drawn between them. */
#ifndef TENON_CHART_H
#define TENON_CHART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct chart {
    FILE *file;
    double x0, x1, y0, y1; /* what the axes show */
    int entries;           /* of the legend, so far */
} chart;

typedef struct place {
    double x, y;
} place;

/* The sixth colour is followed by the first. */
const char *chart_colour(int index);
/* Text with what HTML would take for its own written otherwise; at most so many bytes. */
void html_text(FILE *file, const char *text, size_t most);

/* Axes of no length are made longer. */
void chart_open(chart *c, FILE *file, const char *title, const char *x, const char *y, double x0, double x1, double y0,
                double y1);
/* Of many points some are left out. Points that are not finite break the line. */
void chart_line(chart *c, const place *points, size_t count, const char *colour, bool dashed);
void chart_points(chart *c, const place *points, size_t count, const char *colour);
void chart_bar(chart *c, double from, double to, double height, const char *colour, const char *tip);
void chart_legend(chart *c, const char *colour, const char *text);
void chart_close(chart *c);

#endif
