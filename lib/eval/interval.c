/* The mean of a few figures, and where the mean of many would lie. */
#include <math.h>
#include <tenon/metrics.h>
#include "base/base.h"

/* The part of Student's distribution between -t and t (Abramowitz and Stegun, 26.7.3 and 26.7.4). */
static double within(double t, int freedom) {
    const double angle = atan(t / sqrt(freedom)), c = cos(angle);
    const bool odd = freedom % 2;
    double term = odd ? c : 1, sum = 0;
    for (int k = odd ? 3 : 2; k <= freedom; k += 2) { /* the next term is of cos^(k-1) or so */
        sum += term;
        term *= c * c * (k - 1) / k;
    }
    if (!odd) return sin(angle) * sum;
    return (angle + sin(angle) * sum) * 2 / 3.14159265358979323846;
}

static double quantile(double part, int freedom) {
    double low = 0, high = 1e4;
    for (int i = 0; i < 200; i++) {
        const double middle = (low + high) / 2;
        if (within(middle, freedom) < part)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

tn_status tn_mean_interval(const double *values, int count, double part, double *out_mean, double *out_low,
                           double *out_high) {
    double mean = 0, square = 0;
    if (count < 2 || !(part > 0 && part < 1))
        return tn_fail(TN_E_INVALID, "an interval of %g of %d numbers; expected 2 or more, and a part between 0 and 1",
                       part, count);
    for (int i = 0; i < count; i++) mean += values[i] / count;
    for (int i = 0; i < count; i++) square += (values[i] - mean) * (values[i] - mean);
    const double reach = quantile(part, count - 1) * sqrt(square / (count - 1) / count);
    *out_mean = mean;
    *out_low = mean - reach;
    *out_high = mean + reach;
    return TN_OK;
}
