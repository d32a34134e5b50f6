/* Metrics of predicted classes. All come from three counts a class: how often it is right, predicted and true. */
#include "eval/metrics.h"

static void count(const tn_sample *s, double **right, double **predicted, double **truth) {
    const tn_metrics *m = s->m;
    *right = m->counts;
    *predicted = *right + m->classes;
    *truth = *predicted + m->classes;
    memset(m->counts, 0, 3 * (size_t)m->classes * sizeof *m->counts);
    for (int64_t i = 0; i < m->n; i++) {
        int64_t row = tn_sample_row(s, i);
        int a = m->truth[row], b = m->predicted[row];
        ++(*truth)[a];
        ++(*predicted)[b];
        if (a == b) ++(*right)[a];
    }
}

tn_status tn_metric_accuracy(const tn_sample *s, int variant, double *out_value) {
    const tn_metrics *m = s->m;
    (void)variant;
    int64_t right = 0;
    for (int64_t i = 0; i < m->n; i++) {
        int64_t row = tn_sample_row(s, i);
        right += m->truth[row] == m->predicted[row];
    }
    *out_value = (double)right / (double)m->n;
    return TN_OK;
}

tn_status tn_metric_balanced(const tn_sample *s, int variant, double *out_value) {
    double *right, *predicted, *truth, sum = 0;
    int present = 0;
    (void)variant;
    count(s, &right, &predicted, &truth);
    for (int c = 0; c < s->m->classes; c++)
        if (truth[c] > 0) sum += right[c] / truth[c], present++;
    *out_value = sum / present;
    return TN_OK;
}

/* Precision, recall or F1 of counts; 0 where there is nothing to count. */
static double of_counts(int kind, double right, double predicted, double truth) {
    double above = kind == TN_F1 ? 2 * right : right;
    double below = kind == TN_PRECISION ? predicted : kind == TN_RECALL ? truth : predicted + truth;
    return below > 0 ? above / below : 0;
}

tn_status tn_metric_label(const tn_sample *s, int variant, double *out_value) {
    int kind = variant & ~3;
    tn_average average = (tn_average)(variant & 3);
    double *right, *predicted, *truth, sum = 0, weights = 0, all = 0;
    count(s, &right, &predicted, &truth);
    if (average == TN_BINARY) {
        *out_value = of_counts(kind, right[1], predicted[1], truth[1]);
        return TN_OK;
    }
    for (int c = 0; c < s->m->classes; c++) {
        if (predicted[c] + truth[c] == 0) continue;
        double weight = average == TN_WEIGHTED ? truth[c] : 1;
        sum += weight * of_counts(kind, right[c], predicted[c], truth[c]);
        weights += weight;
        all += right[c];
    }
    double n = (double)s->m->n;
    *out_value = average == TN_MICRO ? of_counts(kind, all, n, n) : sum / weights;
    return TN_OK;
}

tn_status tn_metrics_confusion(const tn_metrics *metrics, int64_t *counts) {
    const tn_metrics *m = metrics;
    if (!m->classes) return tn_fail(TN_E_INVALID, "a confusion matrix is of classes, but the truth is numbers");
    memset(counts, 0, (size_t)m->classes * (size_t)m->classes * sizeof *counts);
    for (int64_t i = 0; i < m->n; i++) counts[(int64_t)m->truth[i] * m->classes + m->predicted[i]]++;
    return TN_OK;
}
