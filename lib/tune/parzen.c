/* Parzen estimators: a density out of points, each a kernel of its own, and a wide prior beside them.
 *
 * As Bergstra et al. (2011) have them, with the bandwidths of Hyperopt and Optuna: the greater distance to the neighbours on
 * both sides, the ends of the range being no neighbours of more than one point, within [range / min(100, n + 2), range]. A
 * dimension with steps has the mass of the normal around each of its values; one of choices a table for each point, 1 for
 * its own choice and 1 / (n + 1) for each, scaled to 1. */
#include <stdlib.h>
#include "base/random.h"
#include "tune/study.h"

/* Where the range ends, in the kernels' terms: half a step beyond its ends. */
static double inner(const tn_dimension *d, double x) {
    return d->logarithm ? log(x) : x;
}
static double low_of(const tn_dimension *d) {
    return inner(d, d->low - d->step / 2);
}
static double high_of(const tn_dimension *d) {
    return inner(d, d->high + d->step / 2);
}

/* The logarithm of a standard normal's mass between a and b. */
static double log_mass(double a, double b) {
    if (a > 0) { /* tails are taken where erfc is small, not where it is almost 2 */
        double moved = a;
        a = -b;
        b = -moved;
    }
    return log(fmax(0.5 * (erfc(-b * M_SQRT1_2) - erfc(-a * M_SQRT1_2)), 0));
}

static double normal(uint64_t *random) { /* Box and Muller */
    double u = 1 - tn_random_uniform(random), v = tn_random_uniform(random);
    return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

typedef struct ranked {
    double mu;
    int index;
} ranked;

static int by_mu(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    return x->mu != y->mu ? (x->mu < y->mu ? -1 : 1) : x->index - y->index;
}

static void set_bandwidths(const tn_dimension *d, tn_kernel *kernels, ranked *sorted, int n) {
    double low = low_of(d), high = high_of(d), least = (high - low) / fmin(100, n + 2);
    for (int i = 0; i < n; i++) sorted[i] = (ranked){kernels[i].mu, i};
    qsort(sorted, (size_t)n, sizeof *sorted, by_mu);
    for (int i = 0; i < n; i++) {
        double left = sorted[i].mu - (i ? sorted[i - 1].mu : low),
               right = (i + 1 < n ? sorted[i + 1].mu : high) - sorted[i].mu;
        double sigma = n > 1 && i == 0 ? right : n > 1 && i + 1 == n ? left : fmax(left, right);
        kernels[sorted[i].index].sigma = fmin(fmax(sigma, least), high - low);
    }
    kernels[n] = (tn_kernel){.mu = 0.5 * (low + high), .sigma = high - low};
    for (int i = 0; i <= n; i++) {
        tn_kernel *k = &kernels[i];
        k->mass = k->sigma > 0 ? log_mass((low - k->mu) / k->sigma, (high - k->mu) / k->sigma) : 0;
    }
}

/* The newest 25 count 1, the older ones evenly down to 1 / n; the prior 1. */
static void set_weights(double *weights, int n, bool even) {
    double sum = 1;
    for (int i = 0; i < n; i++) {
        int ramp = n - 25;
        weights[i] = even || i >= ramp ? 1 : ramp == 1 ? 1.0 / n : 1.0 / n + (1 - 1.0 / n) * i / (ramp - 1);
        sum += weights[i];
    }
    weights[n] = 1;
    for (int i = 0; i <= n; i++) weights[i] /= sum;
}

tn_status tn_parzen_make(tn_region *region, const tn_dimension *const *dimensions, int count, const double *points,
                         int n, bool even, tn_parzen *out) {
    size_t kernels = (size_t)n + 1;
    *out = (tn_parzen){.count = count, .kernels = n + 1, .dimensions = dimensions};
    out->weights = tn_region_array(region, kernels, sizeof *out->weights);
    out->parts = tn_region_array(region, kernels * (size_t)count, sizeof *out->parts);
    ranked *sorted = tn_region_array(region, kernels, sizeof *sorted);
    if (!out->weights || !out->parts || !sorted) return TN_E_MEMORY;
    set_weights(out->weights, n, even);
    for (int d = 0; d < count; d++) {
        tn_kernel *own = out->parts + (size_t)d * kernels;
        bool choice = dimensions[d]->kind == TN_PARAMETER_CHOICE;
        for (int i = 0; i < n; i++)
            own[i].mu = choice ? points[i * count + d] : inner(dimensions[d], points[i * count + d]);
        if (choice)
            own[n].mu = -1;
        else
            set_bandwidths(dimensions[d], own, sorted, n);
    }
    return TN_OK;
}

static double draw_choice(const tn_parzen *p, const tn_dimension *d, const tn_kernel *k, uint64_t *random) {
    double each = 1.0 / p->kernels, own = k->mu < 0 ? 0 : 1, u = tn_random_uniform(random) * (own + each * d->count);
    return u < own ? k->mu : fmin(floor((u - own) / each), d->count - 1);
}

/* The mean is within the range and sigma no wider than it, so that a third of the draws or more is too. */
static double draw_number(const tn_dimension *d, const tn_kernel *k, uint64_t *random) {
    double low = low_of(d), high = high_of(d), x = k->mu;
    for (int i = 0; i < 100; i++) {
        double y = k->mu + k->sigma * normal(random);
        if (y < low || y > high) continue;
        x = y;
        break;
    }
    return tn_dimension_round(d, d->logarithm ? exp(x) : x);
}

void tn_parzen_draw(const tn_parzen *p, uint64_t *random, double *out) {
    double u = tn_random_uniform(random);
    int k = 0;
    while (k + 1 < p->kernels && u >= p->weights[k]) u -= p->weights[k++];
    for (int i = 0; i < p->count; i++) {
        const tn_dimension *d = p->dimensions[i];
        const tn_kernel *own = &p->parts[i * p->kernels + k];
        out[i] = d->kind == TN_PARAMETER_CHOICE ? draw_choice(p, d, own, random) : draw_number(d, own, random);
    }
}

static double log_kernel(const tn_parzen *p, const tn_dimension *d, const tn_kernel *k, double x) {
    if (d->kind == TN_PARAMETER_CHOICE) {
        double each = 1.0 / p->kernels, own = k->mu < 0 ? 0 : 1;
        return log((each + (own > 0 && k->mu == x)) / (own + each * d->count));
    }
    if (k->sigma == 0) return 0; /* the range is one number */
    if (d->step > 0) {
        double from = inner(d, x - d->step / 2), to = inner(d, x + d->step / 2);
        return log_mass((from - k->mu) / k->sigma, (to - k->mu) / k->sigma) - k->mass;
    }
    double z = (inner(d, x) - k->mu) / k->sigma;
    return -0.5 * z * z - log(k->sigma) - 0.5 * log(2 * M_PI) - k->mass;
}

double tn_parzen_log(const tn_parzen *p, const double *x, double *scratch) {
    double most = -INFINITY, sum = 0;
    for (int k = 0; k < p->kernels; k++) {
        double value = log(p->weights[k]);
        for (int i = 0; i < p->count; i++)
            value += log_kernel(p, p->dimensions[i], &p->parts[i * p->kernels + k], x[i]);
        scratch[k] = value;
        most = fmax(most, value);
    }
    if (most == -INFINITY) return most;
    for (int k = 0; k < p->kernels; k++) sum += exp(scratch[k] - most);
    return most + log(sum);
}
