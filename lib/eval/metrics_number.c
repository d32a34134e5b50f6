/* Metrics of numbers (regression). */
#include <float.h>
#include <math.h>
#include "eval/metrics.h"

/* A sample's errors, each added to its output's; for one kind at a time, so that the loop has no choice in it. */
static inline __attribute__((always_inline)) void add_errors(tn_error_kind kind, int outputs, const double *wanted,
                                                             const double *given, double *sums) {
    for (int k = 0; k < outputs; k++) {
        const double d = fabs(given[k] - wanted[k]), of = fabs(wanted[k]);
        sums[k] += kind == TN_MAE ? d : kind == TN_MAPE ? d / (of > DBL_EPSILON ? of : DBL_EPSILON) : d * d;
    }
}

/* Sample by sample, as they lie in memory: an interval takes a thousand walks. */
tn_status tn_metric_error(const tn_sample *s, int variant, double *out_value) {
    const tn_metrics *m = s->m;
    double total = 0, *sums = m->of_outputs;
    for (int k = 0; k < m->outputs; k++) sums[k] = 0;
    for (int64_t i = 0; i < m->n; i++) {
        const int64_t at = tn_sample_row(s, i) * m->outputs;
        const double *wanted = m->wanted + at, *given = m->given + at;
        if (variant == TN_MAE)
            add_errors(TN_MAE, m->outputs, wanted, given, sums);
        else if (variant == TN_MAPE)
            add_errors(TN_MAPE, m->outputs, wanted, given, sums);
        else
            add_errors(TN_MSE, m->outputs, wanted, given, sums);
    }
    for (int k = 0; k < m->outputs; k++) {
        const double mean = sums[k] / (double)m->n;
        total += variant == TN_RMSE ? sqrt(mean) : mean;
    }
    *out_value = total / m->outputs;
    return TN_OK;
}

tn_status tn_metric_r2(const tn_sample *s, int variant, double *out_value) {
    const tn_metrics *m = s->m;
    double total = 0, *mean = m->of_outputs, *unexplained = mean + m->outputs, *spread = unexplained + m->outputs;
    (void)variant;
    if (m->n < 2) return tn_fail(TN_E_INVALID, "it takes two samples, and there is one");
    for (int k = 0; k < 3 * m->outputs; k++) mean[k] = 0;
    for (int64_t i = 0; i < m->n; i++) {
        const double *wanted = m->wanted + tn_sample_row(s, i) * m->outputs;
        for (int k = 0; k < m->outputs; k++) mean[k] += wanted[k];
    }
    for (int k = 0; k < m->outputs; k++) mean[k] /= (double)m->n;
    for (int64_t i = 0; i < m->n; i++) {
        const int64_t at = tn_sample_row(s, i) * m->outputs;
        for (int k = 0; k < m->outputs; k++) {
            const double wanted = m->wanted[at + k], error = wanted - m->given[at + k], distance = wanted - mean[k];
            unexplained[k] += error * error;
            spread[k] += distance * distance;
        }
    }
    for (int k = 0; k < m->outputs; k++) total += spread[k] > 0 ? 1 - unexplained[k] / spread[k] : unexplained[k] == 0;
    *out_value = total / m->outputs;
    return TN_OK;
}
