/* Metrics of scores: by rank (ROC, precision-recall, top K) and of probabilities (log loss, Brier, calibration). */
#include <math.h>
#include <stdlib.h>
#include "eval/metrics.h"

/* ---- ranks ---- */

static int highest_first(const void *a, const void *b) {
    double x = ((const tn_ranked *)a)->score, y = ((const tn_ranked *)b)->score;
    return (x < y) - (x > y);
}

int64_t tn_metric_rank_all(const tn_sample *s, int class_index) {
    const tn_metrics *m = s->m;
    int64_t positives = 0;
    for (int64_t i = 0; i < m->n; i++) {
        int64_t row = tn_sample_row(s, i);
        bool positive = m->truth[row] == class_index;
        m->ranked[i] = (tn_ranked){tn_metric_rank(m, row, class_index), positive};
        positives += positive;
    }
    qsort(m->ranked, (size_t)m->n, sizeof *m->ranked, highest_first);
    return positives;
}

int64_t tn_metric_same_score(const tn_metrics *m, int64_t i, double *positives, double *negatives) {
    double score = m->ranked[i].score;
    for (; i < m->n && m->ranked[i].score == score; i++) ++*(m->ranked[i].positive ? positives : negatives);
    return i;
}

/* The area in trapezoids: pairs of a positive and a negative in the right order, equal ones half. */
static double roc_area(const tn_metrics *m, int64_t positives) {
    double area = 0, up = 0, along = 0;
    for (int64_t i = 0; i < m->n;) {
        double old_up = up, old_along = along;
        i = tn_metric_same_score(m, i, &up, &along);
        area += (along - old_along) * (up + old_up) / 2;
    }
    return area / ((double)positives * (double)(m->n - positives));
}

static double precision_area(const tn_metrics *m, int64_t positives) {
    double area = 0, right = 0, wrong = 0;
    for (int64_t i = 0; i < m->n;) {
        double old = right;
        i = tn_metric_same_score(m, i, &right, &wrong);
        area += (right - old) * (right / (right + wrong));
    }
    return area / (double)positives;
}

/* A class against the rest, or the mean of all classes. */
static tn_status against_rest(const tn_sample *s, int average, bool needs_negatives,
                              double (*area)(const tn_metrics *m, int64_t positives), double *out_value) {
    const tn_metrics *m = s->m;
    double sum = 0, weights = 0;
    for (int c = average == TN_BINARY; c < m->classes; c++) {
        int64_t positives = tn_metric_rank_all(s, c);
        if (positives == 0) return tn_fail(TN_E_INVALID, "no sample is of class %d, so it is not defined", c);
        if (positives == m->n && needs_negatives)
            return tn_fail(TN_E_INVALID, "all samples are of class %d, so it is not defined", c);
        double weight = average == TN_WEIGHTED ? (double)positives : 1;
        sum += weight * area(m, positives);
        weights += weight;
    }
    *out_value = sum / weights;
    return TN_OK;
}

tn_status tn_metric_roc(const tn_sample *s, int variant, double *out_value) {
    return against_rest(s, variant, true, roc_area, out_value);
}

tn_status tn_metric_average_precision(const tn_sample *s, int variant, double *out_value) {
    return against_rest(s, variant, false, precision_area, out_value);
}

tn_status tn_metric_top(const tn_sample *s, int variant, double *out_value) {
    const tn_metrics *m = s->m;
    int64_t hits = 0;
    for (int64_t i = 0; i < m->n; i++) {
        int64_t row = tn_sample_row(s, i);
        int truth = m->truth[row], above = 0;
        if (m->columns == 1) {
            above = m->predicted[row] != truth;
        } else {
            const double *scores = m->scores + row * m->columns;
            for (int c = 0; c < m->columns; c++)
                above += scores[c] > scores[truth] || (c < truth && scores[c] == scores[truth]);
        }
        hits += above < variant;
    }
    *out_value = (double)hits / (double)m->n;
    return TN_OK;
}

/* ---- probabilities ---- */

tn_status tn_metric_log_loss(const tn_sample *s, int variant, double *out_value) {
    const tn_metrics *m = s->m;
    double sum = 0;
    (void)variant;
    for (int64_t i = 0; i < m->n; i++) {
        int64_t row = tn_sample_row(s, i);
        sum -= log(fmin(fmax(tn_metric_probability(m, row, m->truth[row]), m->epsilon), 1 - m->epsilon));
    }
    *out_value = sum / (double)m->n;
    return TN_OK;
}

tn_status tn_metric_brier(const tn_sample *s, int variant, double *out_value) {
    const tn_metrics *m = s->m;
    double sum = 0;
    (void)variant;
    for (int64_t i = 0; i < m->n; i++) {
        int64_t row = tn_sample_row(s, i);
        for (int c = m->classes == 2; c < m->classes; c++) {
            double d = tn_metric_probability(m, row, c) - (m->truth[row] == c);
            sum += d * d;
        }
    }
    *out_value = sum / (double)m->n;
    return TN_OK;
}

int tn_metric_bin(const tn_metrics *m, double probability) {
    int bin = (int)ceil(probability * m->bins) - 1;
    return TN_MAX(0, TN_MIN(bin, m->bins - 1));
}

tn_status tn_metric_calibration(const tn_sample *s, int variant, double *out_value) {
    const tn_metrics *m = s->m;
    double *right = m->sums, *confidence = right + m->bins, sum = 0;
    (void)variant;
    memset(m->sums, 0, 3 * (size_t)m->bins * sizeof *m->sums);
    for (int64_t i = 0; i < m->n; i++) {
        int64_t row = tn_sample_row(s, i);
        double p = tn_metric_probability(m, row, m->predicted[row]);
        int bin = tn_metric_bin(m, p);
        right[bin] += m->predicted[row] == m->truth[row];
        confidence[bin] += p;
    }
    for (int b = 0; b < m->bins; b++) sum += fabs(right[b] - confidence[b]);
    *out_value = sum / (double)m->n;
    return TN_OK;
}
