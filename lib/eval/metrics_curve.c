/* Curves of a class against the rest, for pictures and for choosing thresholds. */
#include <math.h>
#include "eval/metrics.h"

typedef struct points {
    tn_curve_point *list;
    size_t capacity, count;
} points;

static void add(points *p, double x, double y, double at) {
    if (p->count < p->capacity) p->list[p->count] = (tn_curve_point){x, y, at};
    p->count++;
}

static tn_status by_rank(const tn_metrics *m, tn_curve curve, int class_index, points *out) {
    double positives = (double)tn_metric_rank_all(&(tn_sample){m, NULL}, class_index), right = 0, wrong = 0;
    double negatives = (double)m->n - positives;
    bool roc = curve == TN_CURVE_ROC;
    if (positives == 0 || (roc && negatives == 0))
        return tn_fail(TN_E_INVALID, "curve: %s class %d", positives == 0 ? "no sample is of" : "all samples are of",
                       class_index);
    add(out, 0, roc ? 0 : 1, INFINITY);
    for (int64_t i = 0; i < m->n;) {
        double score = m->ranked[i].score;
        if (m->columns == 1 && class_index == 0) score = 1 + score; /* ranked by minus the other's */
        i = tn_metric_same_score(m, i, &right, &wrong);
        if (roc)
            add(out, wrong / negatives, right / positives, score);
        else
            add(out, right / positives, right / (right + wrong), score);
    }
    return TN_OK;
}

static tn_status by_bin(const tn_metrics *m, int class_index, points *out) {
    double *sum = m->sums, *positives = sum + m->bins, *count = positives + m->bins;
    if (m->improbable >= 0)
        return tn_fail(TN_E_INVALID, "curve: calibration is of probabilities, which the scores of sample %lld are not",
                       (long long)m->improbable);
    memset(m->sums, 0, 3 * (size_t)m->bins * sizeof *m->sums);
    for (int64_t i = 0; i < m->n; i++) {
        double p = tn_metric_probability(m, i, class_index);
        int bin = tn_metric_bin(m, p);
        sum[bin] += p;
        positives[bin] += m->truth[i] == class_index;
        count[bin]++;
    }
    for (int b = 0; b < m->bins; b++)
        if (count[b] > 0) add(out, sum[b] / count[b], positives[b] / count[b], count[b]);
    return TN_OK;
}

tn_status tn_metrics_curve(tn_metrics *metrics, tn_curve curve, int class_index, size_t capacity, tn_curve_point *list,
                           size_t *out_count) {
    points p = {list, capacity, 0};
    if (!metrics->scores) return tn_fail(TN_E_INVALID, "curve: it is of scores, and there are none");
    if (class_index < 0 || class_index >= metrics->classes)
        return tn_fail(TN_E_INVALID, "curve: there is no class %d; there are %d", class_index, metrics->classes);
    if (curve < TN_CURVE_ROC || curve > TN_CURVE_CALIBRATION)
        return tn_fail(TN_E_INVALID, "curve: there is no kind %d", (int)curve);
    tn_status status =
        curve == TN_CURVE_CALIBRATION ? by_bin(metrics, class_index, &p) : by_rank(metrics, curve, class_index, &p);
    *out_count = p.count;
    return status;
}
