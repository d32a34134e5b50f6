/* Metrics: how good predictions are, against the truth.
 *
 *     tn_metrics *m;
 *     double f1, low, high;
 *     tn_metrics_create(labels, probabilities, NULL, &m);          // labels [N] int64, probabilities [N, C] float32
 *     tn_metrics_value(m, "f1_macro", &f1);
 *     tn_metrics_interval(m, "f1_macro", NULL, &low, &high);       // 95 %, by bootstrap
 *     tn_metrics_destroy(m);
 *
 * What is given                                  truth                   predicted
 *   classes                                      [N] integers or bool    [N] integers or bool
 *   two classes, the score of class 1            [N] integers or bool    [N] or [N, 1] floats
 *   C classes, a score of each                   [N] integers or bool    [N, C] floats
 *   numbers (regression)                         [N] or [N, D] floats    the same shape, floats
 *   sequences of labels (from 1 on)              [N, S] int64            [N, T] int64, or scores [N, C, T] floats
 * Sequences are filled up with -1; scores are read as tn_sequences_read does. Classes are numbered from 0. With scores, the
 * predicted class is the one of the highest (the first of equals); with the score of class 1 alone it is 1 from `threshold`
 * on. Numbers are computed in float64.
 *
 * Name                          Needs           What it is
 *   accuracy                    classes         part that is right
 *   balanced_accuracy           classes         mean recall of the classes that occur in the truth
 *   precision, recall, f1       two classes     of class 1; 0 where nothing was predicted, or nothing is there
 *   ..._micro _macro _weighted  classes         over all decisions; mean of the classes that occur in truth or
 *                                               predictions; that mean weighted by how often they are true
 *   top_K (top_1, top_5...)     scores          part whose true class is among the K highest
 *   roc_auc                     scores          area under the ROC curve, two classes
 *   roc_auc_macro, _weighted    scores          mean of each class against the rest
 *   average_precision           scores          area under the precision-recall curve, as a sum of steps, two classes
 *   average_precision_macro, _weighted          mean of each class against the rest
 *   log_loss                    probabilities   mean of -ln p(true class), p kept the type's epsilon from 0 and 1
 *   brier                       probabilities   mean squared error of p(class 1); over more classes, of all p, summed
 *   ece                         probabilities   expected calibration error: |accuracy - confidence| over `bins` bins of
 *                                               the predicted class's probability, (0, 1/bins] and so on (Guo and
 *                                               others 2017)
 *   mae, mse, rmse, mape, r2    numbers         mean over outputs where there are D of them; mape divides by |truth|, at
 *                                               least 2.2e-16; r2 of a constant truth is 1 if all is right, else 0
 *   sequence_accuracy           sequences       part of the rows that are right as a whole
 *   label_error_rate            sequences       insertions, deletions and changes that make the truth of what was read
 *                                               (Levenshtein's distance), for each label of the truth
 * The values are scikit-learn's, but for ties in top_K (there the last of equals comes first). What is not defined (roc_auc
 * where one class alone is true, r2 of one sample) fails with a sentence.
 *
 * Thread-safety: a tn_metrics belongs to one thread at a time. */
#ifndef TENON_METRICS_H
#define TENON_METRICS_H

#include <tenon/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_metrics tn_metrics;

typedef struct tn_metrics_options {
    size_t struct_size; /* sizeof(tn_metrics_options) */
    int classes;        /* how many there are; 0: columns of the scores, or the greatest label + 1, at least 2 */
    bool logits;        /* scores go through softmax (the score of class 1 alone: sigmoid) first */
    double threshold;   /* of the score of class 1; 0: 0.5 */
    int bins;           /* of ece and calibration curves; 0: 15 */
} tn_metrics_options;

/* Copies what it needs. Refuses tensors that do not fit each other, no samples, labels beyond the classes, and numbers
 * that are not finite. options may be NULL. */
TN_API tn_status tn_metrics_create(const tn_tensor *truth, const tn_tensor *predicted,
                                   const tn_metrics_options *options, tn_metrics **out_metrics);
TN_API void tn_metrics_destroy(tn_metrics *metrics); /* accepts NULL */

TN_API int64_t tn_metrics_samples(const tn_metrics *metrics);
TN_API int tn_metrics_classes(const tn_metrics *metrics); /* 0: numbers or sequences */

/* The names above, in that order; NULL past the last. top_K stands there as top_1 and top_5. */
TN_API const char *tn_metric_name(int index);
/* Whether less of it is better, as of a loss; false for a name that is none. */
TN_API bool tn_metric_falls(const char *name);
/* Whether the metric is of what was given; it may still not be defined. */
TN_API bool tn_metrics_applies(const tn_metrics *metrics, const char *name);
TN_API tn_status tn_metrics_value(tn_metrics *metrics, const char *name, double *out_value);

typedef struct tn_bootstrap_options {
    size_t struct_size; /* sizeof(tn_bootstrap_options) */
    int resamples;      /* 0: 1000 */
    double level;       /* 0: 0.95 */
    uint64_t seed;      /* the same seed gives the same interval */
} tn_bootstrap_options;

/* A confidence interval: samples are drawn with replacement, N of them, and the metric is taken of each draw; the interval
 * is between the quantiles of these values. Draws of which the metric is not defined are left out; it fails if they are
 * more than half. options may be NULL. */
TN_API tn_status tn_metrics_interval(tn_metrics *metrics, const char *name, const tn_bootstrap_options *options,
                                     double *out_low, double *out_high);

/* counts[truth * C + predicted], C * C of them. */
TN_API tn_status tn_metrics_confusion(const tn_metrics *metrics, int64_t *counts);

typedef enum tn_curve {
    TN_CURVE_ROC = 0,              /* x: false positive rate, y: true positive rate; from (0, 0) to (1, 1) */
    TN_CURVE_PRECISION_RECALL = 1, /* x: recall, y: precision; from (0, 1) */
    TN_CURVE_CALIBRATION = 2,      /* x: mean probability, y: part that is of the class; a point a bin with samples */
} tn_curve;

typedef struct tn_curve_point {
    double x, y;
    double at; /* the least score that counts as the class (infinity at the first point); of calibration: samples */
} tn_curve_point;

/* The curve of a class against the rest. Writes the first `capacity` points; *out_count is how many there are: at most
 * N + 1, or the bins. */
TN_API tn_status tn_metrics_curve(tn_metrics *metrics, tn_curve curve, int class_index, size_t capacity,
                                  tn_curve_point *points, size_t *out_count);

/* Sequences that are read off T steps, as TN_LOSS_CTC trains them (tenon/train.h): of scores or probabilities [N, C, T], of
 * which class 0 is the blank, the best class of each step, without repetitions and blanks: int64 [N, T], a row filled up with
 * -1. It is the caller's. */
TN_API tn_status tn_sequences_read(const tn_tensor *scores, tn_tensor **out_labels);
/* Of labels [N, T] against the truth [N, S], both int64 and filled up with -1: sequence_accuracy and label_error_rate. */
TN_API tn_status tn_sequences_score(const tn_tensor *truth, const tn_tensor *labels, double *out_right,
                                    double *out_errors);

/* The mean of a figure that was measured a few times, as on the folds of a cross-validation, and the interval that has the
 * mean of many with such a probability (`part`, 0.95) by Student's distribution. Folds share rows for training, so of them it
 * is a rule of thumb. TN_E_INVALID for fewer than two. */
TN_API tn_status tn_mean_interval(const double *values, int count, double part, double *out_mean, double *out_low,
                                  double *out_high);

#ifdef __cplusplus
}
#endif
#endif
