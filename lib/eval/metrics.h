/* Metrics inside the library: what was given, as plain arrays, and a view of its rows.
 *
 * Each metric is a function of a sample: a list of rows, with repetitions in a bootstrap. It reads through the list and
 * uses the scratch memory that was made with the metrics, so that a draw allocates nothing. */
#ifndef TN_EVAL_METRICS_H
#define TN_EVAL_METRICS_H

#include <tenon/metrics.h>
#include "base/base.h"

typedef struct tn_ranked {
    double score;
    bool positive;
} tn_ranked;

struct tn_metrics {
    tn_region *region;
    int64_t n;
    int classes; /* 0: numbers or sequences */
    int columns; /* of the scores; 0: there are none. 1: of class 1 */
    int outputs; /* numbers a sample */
    int bins;
    double threshold;
    double epsilon;     /* of the scores' type */
    int64_t improbable; /* the first row whose scores are no probabilities; -1 */
    int32_t *truth, *predicted;
    double *scores;          /* [n, columns] */
    double *wanted, *given;  /* [n, outputs] */
    double *edits, *lengths; /* [n], of sequences: what the truth takes, and its labels; else NULL */
    tn_ranked *ranked;       /* scratch [n] */
    double *counts;          /* scratch [3, classes]: right, predicted, true */
    double *sums;            /* scratch [3, bins] */
    double *of_outputs;      /* scratch [3, outputs] */
    double *errors;          /* scratch [n]: the mean of each sample's, of this tn_error_kind; 0: of none yet */
    int *errors_kind;
};

typedef struct tn_sample {
    const tn_metrics *m;
    const int64_t *rows; /* NULL: all, in order */
} tn_sample;

static inline int64_t tn_sample_row(const tn_sample *s, int64_t i) {
    return s->rows ? s->rows[i] : i;
}

/* What an entry of the table computes; `variant` is the row's, or the K of top_K. */
typedef tn_status tn_metric_function(const tn_sample *s, int variant, double *out_value);
typedef enum tn_average { TN_BINARY, TN_MICRO, TN_MACRO, TN_WEIGHTED } tn_average;
enum { TN_PRECISION = 0, TN_RECALL = 4, TN_F1 = 8 }; /* plus an average */
enum { TN_SEQUENCE_RIGHT, TN_SEQUENCE_ERRORS };
typedef enum tn_error_kind { TN_MAE = 1, TN_MSE, TN_MAPE } tn_error_kind;

tn_metric_function tn_metric_accuracy, tn_metric_balanced, tn_metric_label, tn_metric_top, tn_metric_roc,
    tn_metric_average_precision, tn_metric_log_loss, tn_metric_brier, tn_metric_calibration, tn_metric_error,
    tn_metric_rmse, tn_metric_r2, tn_metric_sequence;

/* The name's function and variant; fails if there is no such name, or it is not of what was given. */
tn_status tn_metric_find(const tn_metrics *m, const char *name, tn_metric_function **out_function, int *out_variant);

/* rmse, or r2, of more than one number a sample, on so many draws, the same ones that a draw at a time gives. */
tn_status tn_metric_draws(const tn_metrics *m, bool is_r2, int draws, uint64_t seed, double *out_values);

/* Of labels [n, T] against the truth [n, S]: edits and labels of each row. */
tn_status tn_sequences_compare(const tn_tensor *truth, const tn_tensor *labels, double *edits, double *lengths);

/* p(class) of a row, and what ranks the row for the class. */
static inline double tn_metric_probability(const tn_metrics *m, int64_t row, int class_index) {
    if (m->columns > 1) return m->scores[row * m->columns + class_index];
    return class_index ? m->scores[row] : 1 - m->scores[row];
}
static inline double tn_metric_rank(const tn_metrics *m, int64_t row, int class_index) {
    if (m->columns > 1) return m->scores[row * m->columns + class_index];
    return class_index ? m->scores[row] : -m->scores[row];
}

/* Sorts the sample into m->ranked, the highest score first; returns how many are of the class. */
int64_t tn_metric_rank_all(const tn_sample *s, int class_index);
/* The end of the run of equal scores that begins at `i`; adds its rows to the counts. */
int64_t tn_metric_same_score(const tn_metrics *m, int64_t i, double *positives, double *negatives);
/* The bin of a probability: (0, 1/bins], ... */
int tn_metric_bin(const tn_metrics *m, double probability);

#endif
