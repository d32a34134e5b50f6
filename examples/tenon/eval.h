/* tenon eval: what its files share. */
#ifndef TENON_EVAL_H
#define TENON_EVAL_H

#include <tenon/risk.h>
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

/* The metric under one kind of trouble, at growing strengths. */
enum { STRENGTHS = 6, TROUBLES = 6 };
typedef struct trouble {
    const char *name, *unit;
    double strengths[STRENGTHS], values[STRENGTHS]; /* NaN: not measured */
} trouble;

/* What a column weighs. Attributions are means of their amounts. */
enum { GRADIENTS, OCCLUSION, SHAPLEY, ATTRIBUTIONS };
typedef struct weight {
    const char *column;
    double mean, deviation;            /* of permutation importance */
    double attributions[ATTRIBUTIONS]; /* NaN: none */
} weight;

/* A row that looks wrong: from 1 on, of those that were evaluated. */
typedef struct suspect {
    int64_t row;
    double distance, disagreement;
} suspect;
#define FAR 4          /* medians away from its neighbours */
#define MOST_AGREE 0.8 /* part of the neighbours that are of another class */
#define SHOWN_SUSPECTS 20

/* What each place `to` of a sequence takes from each place `from`, by head. */
typedef struct attention_map {
    int64_t heads, to, from; /* 0: it is none of this shape */
    double *values;
} attention_map;

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
    const char *metric; /* that troubles and weights are measured by */
    trouble troubles[TROUBLES];
    int trouble_count;
    weight *weights; /* the weightiest first */
    int weight_count;
    attention_map *maps;
    int map_count;
    tn_membership membership; /* no members: not measured */
    suspect *suspects;        /* the strangest first */
    int suspect_count;
    findings findings; /* of the model's file */
    gate_line *gate_lines;
    int gate_count;
} evaluation;

/* hardship.c: what --robustness and --importance ask for. */
extern const char *const attribution_names[ATTRIBUTIONS];
bool measure_hardship(evaluation *e);
void print_hardship(const evaluation *e);
void emit_hardship(const evaluation *e, json *j);

/* attention.c: what --importance adds for models with attention, as means over the first rows. */
bool measure_attention(evaluation *e, int64_t rows);
void print_attention(const evaluation *e);
void emit_attention(const evaluation *e, json *j);
void draw_attention(const evaluation *e, FILE *f);
void attention_free(evaluation *e);

/* security.c: what --security asks for. */
bool measure_security(evaluation *e, const tn_evaluate_options *options);
void print_security(const evaluation *e);
void emit_security(const evaluation *e, json *j);

/* record.c */
bool record_write(const evaluation *e, const char *path);

/* report.c */
bool report_write(const evaluation *e, const char *path);

const char *class_name(const evaluation *e, int index);

#endif
