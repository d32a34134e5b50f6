/* Metrics of numbers (regression). */
#include <float.h>
#include <math.h>
#include "eval/metrics.h"

static double error_of(tn_error_kind kind, double wanted, double given) {
    double d = fabs(given - wanted);
    switch (kind) {
    case TN_MAPE: return d / fmax(fabs(wanted), DBL_EPSILON);
    case TN_MAE: return d;
    case TN_MSE:
    case TN_RMSE: break;
    }
    return d * d;
}

tn_status tn_metric_error(const tn_sample *s, int variant, double *out_value) {
    const tn_metrics *m = s->m;
    double total = 0;
    for (int k = 0; k < m->outputs; k++) {
        double sum = 0;
        for (int64_t i = 0; i < m->n; i++) {
            int64_t at = tn_sample_row(s, i) * m->outputs + k;
            sum += error_of((tn_error_kind)variant, m->wanted[at], m->given[at]);
        }
        sum /= (double)m->n;
        total += variant == TN_RMSE ? sqrt(sum) : sum;
    }
    *out_value = total / m->outputs;
    return TN_OK;
}

tn_status tn_metric_r2(const tn_sample *s, int variant, double *out_value) {
    const tn_metrics *m = s->m;
    double total = 0;
    (void)variant;
    if (m->n < 2) return tn_fail(TN_E_INVALID, "it takes two samples, and there is one");
    for (int k = 0; k < m->outputs; k++) {
        double mean = 0, unexplained = 0, spread = 0;
        for (int64_t i = 0; i < m->n; i++) mean += m->wanted[tn_sample_row(s, i) * m->outputs + k];
        mean /= (double)m->n;
        for (int64_t i = 0; i < m->n; i++) {
            int64_t at = tn_sample_row(s, i) * m->outputs + k;
            double error = m->wanted[at] - m->given[at], distance = m->wanted[at] - mean;
            unexplained += error * error;
            spread += distance * distance;
        }
        total += spread > 0 ? 1 - unexplained / spread : unexplained == 0;
    }
    *out_value = total / m->outputs;
    return TN_OK;
}
