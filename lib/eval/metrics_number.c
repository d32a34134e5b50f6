/* Metrics of numbers (regression). */
#include <float.h>
#include <math.h>
#include "eval/metrics.h"

static inline double error_of(tn_error_kind kind, double wanted, double given) {
    const double d = fabs(given - wanted), of = fabs(wanted);
    return kind == TN_MAE ? d : kind == TN_MAPE ? d / (of > DBL_EPSILON ? of : DBL_EPSILON) : d * d;
}

/* For one kind at a time, so that the loop has no choice in it. */
static inline __attribute__((always_inline)) double mean_error(tn_error_kind kind, const tn_metrics *m, int64_t row) {
    const double *wanted = m->wanted + row * m->outputs, *given = m->given + row * m->outputs;
    double sum = 0;
    for (int k = 0; k < m->outputs; k++) sum += error_of(kind, wanted[k], given[k]);
    return sum / m->outputs;
}

/* The mean over samples of what is the mean over each one's outputs: these are kept, for an interval takes a thousand means. */
tn_status tn_metric_error(const tn_sample *s, int variant, double *out_value) {
    const tn_metrics *m = s->m;
    double total = 0, *errors = m->errors;
    if (*m->errors_kind != variant)
        for (int64_t i = 0; i < m->n; i++)
            errors[i] = variant == TN_MAE    ? mean_error(TN_MAE, m, i)
                        : variant == TN_MAPE ? mean_error(TN_MAPE, m, i)
                                             : mean_error(TN_MSE, m, i);
    *m->errors_kind = variant;
    for (int64_t i = 0; i < m->n; i++) total += errors[tn_sample_row(s, i)];
    *out_value = total / (double)m->n;
    return TN_OK;
}

/* Sample by sample, as they lie in memory. */
tn_status tn_metric_rmse(const tn_sample *s, int variant, double *out_value) {
    const tn_metrics *m = s->m;
    double total = 0, *sums = m->of_outputs;
    (void)variant;
    for (int k = 0; k < m->outputs; k++) sums[k] = 0;
    for (int64_t i = 0; i < m->n; i++) {
        const int64_t at = tn_sample_row(s, i) * m->outputs;
        for (int k = 0; k < m->outputs; k++) sums[k] += error_of(TN_MSE, m->wanted[at + k], m->given[at + k]);
    }
    for (int k = 0; k < m->outputs; k++) total += sqrt(sums[k] / (double)m->n);
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
