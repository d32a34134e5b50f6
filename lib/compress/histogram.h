/* A histogram that grows with what it sees: its memory does not depend on how much that is.
 *
 * Bins of one width lie over [-reach, reach), where reach is a power of two. A value beyond doubles it, and each two bins
 * become one, exactly. So the histogram depends on what was seen and not on the order, and the widest value lies in the outer
 * half: at least a quarter of all bins lie between 0 and it. */
#ifndef TN_COMPRESS_HISTOGRAM_H
#define TN_COMPRESS_HISTOGRAM_H

#include "base/base.h"

enum { TN_HISTOGRAM_BINS = 8192 };

typedef struct tn_histogram {
    int exponent;     /* reach is 2 to it */
    uint64_t *counts; /* TN_HISTOGRAM_BINS; NULL: nothing was seen */
    uint64_t total;
    uint64_t zeros; /* that were exactly 0: they cost nothing to quantize */
} tn_histogram;

/* All must be finite; most: the greatest of them, without signs. */
tn_status tn_histogram_add(tn_histogram *h, const float *x, size_t count, float most);
void tn_histogram_free(tn_histogram *h);

/* The lower end of bin i, which may be TN_HISTOGRAM_BINS. */
double tn_histogram_edge(const tn_histogram *h, int i);
/* The value below which the part q of all lies, within the width of a bin. */
double tn_histogram_quantile(const tn_histogram *h, double q);

#endif
