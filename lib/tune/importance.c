/* What decides about a good value: PED-ANOVA (Watanabe, Bansal, Hutter, 2023).
 *
 * For each parameter alone, the Pearson divergence of the density of the best tenth of the trials from the density of all. A
 * parameter that is spread among the best as it is among all decides nothing. */
#include "tune/study.h"

enum { GRID = 101 };

/* Where the density is looked at: all choices, or a grid of numbers. */
static int points_of(const tn_dimension *d, double *out) {
    double steps = d->step > 0 ? (d->high - d->low) / d->step : INFINITY;
    if (d->kind == TN_PARAMETER_CHOICE || steps < GRID) {
        int count = (int)(steps + 1.5);
        for (int i = 0; i < count; i++) out[i] = d->low + i * d->step;
        return count;
    }
    for (int i = 0; i < GRID; i++) {
        double u = (i + 0.5) / GRID;
        out[i] = tn_dimension_round(d, d->logarithm ? exp(log(d->low) + u * (log(d->high) - log(d->low)))
                                                    : d->low + u * (d->high - d->low));
    }
    return GRID;
}

static tn_status density(tn_region *region, const tn_dimension *d, int index, const tn_try *const *tries, int n,
                         const double *points, int count, double *out) {
    tn_parzen p;
    double *x = tn_region_array(region, (size_t)n + 1, sizeof *x), sum = 0;
    double *scratch = tn_region_array(region, (size_t)n + 1, sizeof *scratch);
    int used = 0;
    if (!x || !scratch) return TN_E_MEMORY;
    for (int i = 0; i < n; i++)
        if (!isnan(tries[i]->x[index])) x[used++] = tries[i]->x[index];
    TN_TRY(tn_parzen_make(region, &d, 1, x, used, true, &p));
    for (int i = 0; i < count; i++) sum += out[i] = exp(tn_parzen_log(&p, &points[i], scratch));
    for (int i = 0; i < count; i++) out[i] = sum > 0 ? out[i] / sum : 1.0 / count;
    return TN_OK;
}

static tn_status share(const tn_study *s, int index, const tn_try *const *tries, int n, int good, double *out) {
    const tn_dimension *d = &s->dimensions[index];
    size_t room = TN_MAX(GRID, d->count);
    tn_region *region = tn_region_create(NULL);
    double *points = region ? tn_region_array(region, 3 * room, sizeof *points) : NULL, *all = points + room,
           *best = all + room;
    tn_status status = points ? TN_OK : TN_E_MEMORY;
    *out = 0;
    int count = points ? points_of(d, points) : 0;
    if (status == TN_OK) status = density(region, d, index, tries, n, points, count, all);
    if (status == TN_OK) status = density(region, d, index, tries, good, points, count, best);
    for (int i = 0; status == TN_OK && i < count; i++)
        if (all[i] > 0) *out += all[i] * (best[i] / all[i] - 1) * (best[i] / all[i] - 1);
    tn_region_destroy(region);
    return status;
}

/* The complete trials, those with the best values of the objective first: few are wanted, so they are picked one by one. */
static int sort_out(const tn_study *s, int objective, const tn_try **tries) {
    int n = 0;
    for (int64_t i = 0; i < s->end; i++)
        if (s->tries[i] && s->tries[i]->state == TN_TRIAL_COMPLETE) tries[n++] = s->tries[i];
    for (int i = 0; i < (n + 9) / 10; i++) {
        int best = i;
        for (int k = i + 1; k < n; k++)
            if (tn_loss_of(s, tries[k], objective) < tn_loss_of(s, tries[best], objective)) best = k;
        const tn_try *moved = tries[i];
        tries[i] = tries[best];
        tries[best] = moved;
    }
    return n;
}

tn_status tn_study_importance(tn_study *s, int objective, double *out_shares) {
    double sum = 0;
    if (objective < 0 || objective >= s->objective_count)
        return tn_fail(TN_E_NOT_FOUND, "there is no objective %d; the study has %d", objective, s->objective_count);
    pthread_mutex_lock(&s->lock);
    size_t bytes = ((size_t)s->end + 1) * sizeof(tn_try *);
    const tn_try **tries = tn_alloc(NULL, bytes);
    tn_status status = tries ? TN_OK : TN_E_MEMORY;
    int n = tries ? sort_out(s, objective, tries) : 0;
    if (status == TN_OK && n < 10) status = tn_fail(TN_E_STATE, "%d trials are complete; importance needs 10", n);
    for (int d = 0; d < s->dimension_count && status == TN_OK; d++) {
        status = share(s, d, tries, n, (n + 9) / 10, &out_shares[d]);
        sum += out_shares[d];
    }
    for (int d = 0; d < s->dimension_count && status == TN_OK; d++)
        out_shares[d] = sum > 0 ? out_shares[d] / sum : 1.0 / s->dimension_count;
    tn_free(NULL, tries, bytes);
    pthread_mutex_unlock(&s->lock);
    return status;
}
