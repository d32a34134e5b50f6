/* See histogram.h. */
#include "compress/histogram.h"
#include <math.h>

enum { HALF = TN_HISTOGRAM_BINS / 2, LEAST_EXPONENT = -100, LANES = 8 };

static int exponent_for(float most) {
    int exponent;
    if (most == 0) return LEAST_EXPONENT;
    frexpf(most, &exponent); /* most < 2^exponent */
    return TN_MAX(exponent, LEAST_EXPONENT);
}

/* Two bins become one. Those of the negative side and of the positive one stay on theirs. */
static void widen(tn_histogram *h) {
    uint64_t *c = h->counts;
    for (int i = 0; i < HALF / 2; i++) {
        c[HALF + i] = c[HALF + 2 * i] + c[HALF + 2 * i + 1];
        c[HALF - 1 - i] = c[HALF - 1 - 2 * i] + c[HALF - 2 - 2 * i];
    }
    for (int i = HALF / 2; i < HALF; i++) c[HALF + i] = c[HALF - 1 - i] = 0;
    h->exponent++;
}

/* Of a value in steps of bins; it lies within the reach. */
static inline int bin_of(float place) {
    const int whole = (int)place;
    return whole + HALF - ((float)whole > place); /* the floor */
}

tn_status tn_histogram_add(tn_histogram *h, const float *x, size_t count, float most) {
    int exponent = exponent_for(most);
    if (!h->counts) {
        h->counts = tn_alloc_zero(NULL, TN_HISTOGRAM_BINS * sizeof *h->counts);
        if (!h->counts) return TN_E_MEMORY;
        h->exponent = exponent;
    }
    for (int steps = 0; h->exponent < exponent; steps++) {
        if (steps >= 14) { /* all in the innermost bins; no more is lost */
            h->exponent = exponent;
            break;
        }
        widen(h);
    }
    const float scale = ldexpf(HALF, -h->exponent);
    const size_t whole = count - count % LANES;
    int at[LANES];
    uint32_t zeros[LANES] = {0};
    for (size_t i = 0; i < whole; i += LANES) { /* of a known length, the first loop becomes vectors */
        for (size_t k = 0; k < LANES; k++) {
            at[k] = bin_of(x[i + k] * scale);
            zeros[k] += x[i + k] == 0;
        }
        for (size_t k = 0; k < LANES; k++) h->counts[at[k]]++;
    }
    for (size_t i = whole; i < count; i++) {
        h->counts[bin_of(x[i] * scale)]++;
        zeros[0] += x[i] == 0;
    }
    for (size_t k = 0; k < LANES; k++) h->zeros += zeros[k];
    h->total += count;
    return TN_OK;
}

void tn_histogram_free(tn_histogram *h) {
    if (h->counts) tn_free(NULL, h->counts, TN_HISTOGRAM_BINS * sizeof *h->counts);
    *h = (tn_histogram){0};
}

double tn_histogram_edge(const tn_histogram *h, int i) {
    return ldexp((double)(i - HALF) / HALF, h->exponent);
}

double tn_histogram_quantile(const tn_histogram *h, double q) {
    double wanted = q * (double)h->total, before = 0;
    for (int i = 0; i < TN_HISTOGRAM_BINS; i++) {
        double here = (double)h->counts[i];
        if (here > 0 && before + here >= wanted) {
            double low = tn_histogram_edge(h, i), high = tn_histogram_edge(h, i + 1);
            return low + (high - low) * TN_MIN(TN_MAX((wanted - before) / here, 0), 1);
        }
        before += here;
    }
    return tn_histogram_edge(h, TN_HISTOGRAM_BINS);
}
