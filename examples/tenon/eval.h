/* tenon eval: what its files share. */
#ifndef TENON_EVAL_H
#define TENON_EVAL_H

#include "tool.h"

enum { MOST_FIGURES = 64 };

typedef struct figure {
    const char *name;
    double value, low, high, training; /* NaN: none */
} figure;

typedef struct gate_line {
    char bound[160], expected[200], found[400];
    bool passed;
} gate_line;

typedef struct evaluation {
    const settings *settings;
    tn_model *model;
    tn_manifest *manifest; /* NULL: it has none */
    tn_pipeline *pipeline; /* of --pipeline */
    tn_table *table;
    tn_evaluation *result;
    int64_t rows;
    int classes; /* 0: numbers */
    int64_t *confusion;
    figure figures[MOST_FIGURES];
    int figure_count;
    gate_line *gate_lines;
    int gate_count;
} evaluation;

/* report.c */
bool report_write(const evaluation *e, const char *path);

const char *class_name(const evaluation *e, int index);

#endif
