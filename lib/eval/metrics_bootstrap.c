/* Confidence intervals by the percentile bootstrap (Efron 1979). */
#include <stdlib.h>
#include "base/quantile.h"
#include "base/random.h"
#include "eval/metrics.h"

static tn_status draw(tn_metrics *m, const char *name, const tn_bootstrap_options *options, int64_t *rows,
                      double *values, double *out_low, double *out_high) {
    tn_metric_function *function;
    int variant, defined = 0;
    uint64_t state = options->seed;
    TN_TRY(tn_metric_find(m, name, &function, &variant));
    const bool at_once = m->outputs > 1 && m->n > 1 && (function == tn_metric_rmse || function == tn_metric_r2);
    if (at_once) {
        TN_TRY(tn_metric_draws(m, function == tn_metric_r2, options->resamples, options->seed, values));
        defined = options->resamples;
    }
    for (int r = 0; !at_once && r < options->resamples; r++) {
        for (int64_t i = 0; i < m->n; i++) rows[i] = (int64_t)tn_random_below(&state, (uint64_t)m->n);
        defined += function(&(tn_sample){m, rows}, variant, &values[defined]) == TN_OK;
    }
    if (defined * 2 < options->resamples || !defined)
        return tn_fail(TN_E_INVALID,
                       "metric %s: it is defined in %d of %d draws; there are too few samples for an interval", name,
                       defined, options->resamples);
    qsort(values, (size_t)defined, sizeof *values, tn_by_size);
    *out_low = tn_quantile(values, (size_t)defined, (1 - options->level) / 2);
    *out_high = tn_quantile(values, (size_t)defined, (1 + options->level) / 2);
    return TN_OK;
}

tn_status tn_metrics_interval(tn_metrics *metrics, const char *name, const tn_bootstrap_options *options,
                              double *out_low, double *out_high) {
    tn_bootstrap_options given = {0};
    if (options) memcpy(&given, options, TN_MIN(options->struct_size, sizeof given));
    if (!given.resamples) given.resamples = 1000;
    if (given.level == 0) given.level = 0.95;
    if (given.resamples < 2 || given.resamples > 1000000)
        return tn_fail(TN_E_INVALID, "bootstrap: %d resamples; there are from 2 to 1000000", given.resamples);
    if (!(given.level > 0 && given.level < 1))
        return tn_fail(TN_E_INVALID, "bootstrap: a level of %g; it lies between 0 and 1", given.level);
    size_t row_bytes = (size_t)metrics->n * sizeof(int64_t), value_bytes = (size_t)given.resamples * sizeof(double);
    int64_t *rows = tn_alloc(NULL, row_bytes);
    double *values = tn_alloc(NULL, value_bytes);
    tn_status status = rows && values ? draw(metrics, name, &given, rows, values, out_low, out_high) : TN_E_MEMORY;
    tn_free(NULL, rows, row_bytes);
    tn_free(NULL, values, value_bytes);
    return status;
}
