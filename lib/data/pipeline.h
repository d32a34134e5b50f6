/* Pipelines inside the library. */
#ifndef TN_DATA_PIPELINE_H
#define TN_DATA_PIPELINE_H

#include <tenon/pipeline.h>
#include "base/base.h"

struct tn_manifest_node;

typedef enum tn_missing {
    TN_MISSING_REFUSE,
    TN_MISSING_DROP,
    TN_MISSING_MEAN,
    TN_MISSING_LAST,
    TN_MISSING_INTERPOLATE,
    TN_MISSING_MEDIAN
} tn_missing;
typedef enum tn_outliers { TN_OUTLIERS_KEEP, TN_OUTLIERS_CLIP, TN_OUTLIERS_MISSING } tn_outliers;
typedef enum tn_scale { TN_SCALE_NONE, TN_SCALE_STANDARD, TN_SCALE_MIN_MAX, TN_SCALE_ROBUST } tn_scale;
typedef enum tn_encode { TN_ENCODE_NONE, TN_ENCODE_ONE_HOT, TN_ENCODE_ORDINAL, TN_ENCODE_SEQUENCE } tn_encode;
typedef enum tn_split { TN_SPLIT_NONE, TN_SPLIT_RATIO, TN_SPLIT_STRATIFIED, TN_SPLIT_GROUP, TN_SPLIT_TIME } tn_split;

/* A column and what becomes of it. */
typedef struct tn_feature {
    const char *column;
    tn_missing missing;
    tn_scale scale;
    tn_encode encode;
    tn_outliers outliers;
    double fence; /* outliers lie further outside of the quartiles than so many of their distances */
    bool fitted;
    double fill, centre, spread;
    double low, high;        /* of what is no outlier */
    int category_count;      /* of encode */
    bool texts;              /* categories are texts, else numbers */
    const tn_string *labels; /* of texts, sorted by bytes */
    const double *values;    /* of numbers, ascending */
    struct tn_media *media;  /* the column names files; NULL: it does not */
} tn_feature;

/* The mark of a row that takes no part, beside 0 for training, 1 for testing and 2 for validation. */
enum { TN_PART_NONE = 3 };

struct tn_pipeline {
    tn_region *region;
    int count;
    tn_feature *features;
    bool has_target;
    tn_feature target;
    tn_split split;
    double test;
    int folds, fold; /* folds 0: `test` says how much; fold from 1 on */
    const char *split_column;
    uint64_t seed;
    struct tn_series *series; /* NULL: rows stand alone */
    const char *text;         /* of tn_pipeline_write */
    tn_region *text_region;
};

#define TN_MOST_CATEGORIES 4096
#define TN_MOST_FOLDS 1000
#define TN_MOST_MEDIA (1 << 24) /* numbers of a file */

/* Reading its YAML. */
tn_status tn_pipeline_keys(const struct tn_manifest_node *map, const char *const *keys, const char *all);
tn_status tn_pipeline_text(const struct tn_manifest_node *map, const char *key, const char **out);
tn_status tn_pipeline_word(const struct tn_manifest_node *map, const char *key, const char *const *words, int *out);
tn_status tn_pipeline_wrong(const struct tn_manifest_node *at, const char *what);
bool tn_pipeline_is_number(const struct tn_manifest_node *node, double *out);
tn_status tn_pipeline_read_number(const struct tn_manifest_node *map, const char *key, double fallback, double *out);

/* A column's value with what `outliers` makes of it; NaN is missing. */
double tn_feature_value(const tn_feature *f, double x);
/* Numbers that a fitted feature makes of a row. */
int tn_feature_width(const tn_feature *f);
/* Rows of a window; 1 without series. What a feature makes of a sample is its width times this. */
int tn_pipeline_steps(const tn_pipeline *pipeline);

/* Of a tree of YAML, whose texts must outlive it. */
tn_status tn_pipeline_from_tree(const struct tn_manifest_node *root, tn_pipeline **out_pipeline);
/* Whether rows are for testing; of a split with `test` 0 none are, and it says how folds are drawn. */
static inline bool tn_pipeline_tests(const tn_pipeline *p) {
    return p->split != TN_SPLIT_NONE && (p->folds || p->test > 0);
}
/* Its split becomes this fold; one by class, or by chance, where there was none. */
tn_status tn_pipeline_set_fold(tn_pipeline *pipeline, int folds, int fold);
/* Of the rows whose part is 0, draws a share and marks them; a split as in tenon/pipeline.h. */
tn_status tn_pipeline_draw(const tn_pipeline *pipeline, const tn_table *table, tn_split by, double share, uint64_t seed,
                           uint8_t *part, uint8_t mark);

/* -1, 0 or 1, by bytes; a text comes before those that it begins. */
int tn_compare_texts(tn_string a, tn_string b);
/* A row's category, -1 if it is none or missing. */
int tn_feature_category(const tn_feature *f, const tn_table *table, int column, int64_t row);
/* Of a sequence: the next word of the text, which is shortened by it, of no bytes at its end; and its category or -1. */
tn_string tn_next_word(tn_string *rest);
int tn_feature_word(const tn_feature *f, tn_string word);
/* The column of the table, checked: there, and of a type that the feature takes. */
tn_status tn_feature_column(const tn_feature *f, const tn_table *table, int *out_column);

#endif
