/* Quantiles of numbers that are sorted. */
#ifndef TN_BASE_QUANTILE_H
#define TN_BASE_QUANTILE_H

#include <math.h>
#include <stddef.h>

/* For qsort: doubles, ascending. */
static inline int tn_by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Between the two values that it lies between, as numpy.percentile; count > 0, q in [0, 1]. */
static inline double tn_quantile(const double *sorted, size_t count, double q) {
    double at = q * (double)(count - 1), below = floor(at);
    size_t i = (size_t)below;
    return i + 1 < count ? sorted[i] + (at - below) * (sorted[i + 1] - sorted[i]) : sorted[i];
}

#endif
