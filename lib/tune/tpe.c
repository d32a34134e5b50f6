/* Drawing trials: evenly, or by the tree-structured Parzen estimator. See tenon/tune.h. */
#include <stdlib.h>
#include "base/random.h"
#include "tune/study.h"

static double draw_evenly(const tn_dimension *d, uint64_t *random) {
    double u = tn_random_uniform(random);
    if (d->kind == TN_PARAMETER_CHOICE) return fmin(floor(u * d->count), d->count - 1);
    double low = d->low - d->step / 2, high = d->high + d->step / 2;
    return tn_dimension_round(d, d->logarithm ? exp(log(low) + u * (log(high) - log(low))) : low + u * (high - low));
}

/* Trials that tell something, the good ones first. */
typedef struct history {
    const tn_try **tries;
    int count, good;
} history;

/* Those that came farther, and then those that reached more, come first. */
static int by_rung(const void *a, const void *b) {
    const tn_try *x = *(const tn_try *const *)a, *y = *(const tn_try *const *)b;
    if (x->rungs != y->rungs) return x->rungs > y->rungs ? -1 : 1;
    double p = x->rungs ? x->reached[x->rungs - 1] : 0, q = y->rungs ? y->reached[y->rungs - 1] : 0;
    return p != q ? (p < q ? -1 : 1) : (x->number > y->number) - (x->number < y->number);
}

static int by_number(const void *a, const void *b) {
    const tn_try *x = *(const tn_try *const *)a, *y = *(const tn_try *const *)b;
    return (x->number > y->number) - (x->number < y->number);
}

static int collect(const tn_study *s, tn_trial_state state, const tn_try *without, const tn_try **out) {
    int count = 0;
    for (int64_t i = 0; i < s->end; i++)
        if (s->tries[i] && s->tries[i] != without && s->tries[i]->state == state) out[count++] = s->tries[i];
    return count;
}

/* Complete trials from good to bad, then pruned ones, then those that run; both parts by age in the end. */
static tn_status split(const tn_study *s, tn_region *region, const tn_try *t, history *h) {
    h->tries = tn_region_array(region, (size_t)s->end + 1, sizeof *h->tries);
    if (!h->tries) return TN_E_MEMORY;
    int complete = collect(s, TN_TRIAL_COMPLETE, t, h->tries);
    int pruned = collect(s, TN_TRIAL_PRUNED, t, h->tries + complete), known = complete + pruned;
    h->count = known + collect(s, TN_TRIAL_RUNNING, t, h->tries + known);
    h->good = (int)ceil(0.1 * known);
    if (s->objective_count == 1) h->good = TN_MIN(h->good, 25);
    TN_TRY(tn_order_by_fronts(s, region, h->tries, complete));
    qsort(h->tries + complete, (size_t)pruned, sizeof *h->tries, by_rung);
    qsort(h->tries, (size_t)h->good, sizeof *h->tries, by_number);
    qsort(h->tries + h->good, (size_t)(h->count - h->good), sizeof *h->tries, by_number);
    return TN_OK;
}

/* The density of dimensions over trials in which all of them take part. */
static tn_status density(tn_region *region, const int *which, int count, const tn_dimension *const *dimensions,
                         const tn_try *const *tries, int n, bool even, tn_parzen *out) {
    double *points = tn_region_array(region, (size_t)n * (size_t)count + 1, sizeof *points);
    int used = 0;
    if (!points) return TN_E_MEMORY;
    for (int i = 0; i < n; i++) {
        bool all = true;
        for (int d = 0; d < count && all; d++) {
            points[used * count + d] = tries[i]->x[which[d]];
            all = !isnan(points[used * count + d]);
        }
        used += all;
    }
    return tn_parzen_make(region, dimensions, count, points, used, even, out);
}

static tn_status draw_together(const tn_study *s, tn_region *region, const history *h, const int *which, int count,
                               tn_try *t, uint64_t *random) {
    tn_parzen good, others;
    const tn_dimension **dimensions = tn_region_array(region, (size_t)count, sizeof *dimensions);
    double *x = tn_region_array(region, (size_t)count, sizeof *x),
           *best = tn_region_array(region, (size_t)count, sizeof *x);
    double *scratch = tn_region_array(region, (size_t)h->count + 1, sizeof *scratch), most = -INFINITY;
    if (!dimensions || !x || !best || !scratch) return TN_E_MEMORY;
    for (int d = 0; d < count; d++) dimensions[d] = &s->dimensions[which[d]];
    /* Of several objectives, what is good does not age. */
    TN_TRY(density(region, which, count, dimensions, h->tries, h->good, s->objective_count > 1, &good));
    TN_TRY(density(region, which, count, dimensions, h->tries + h->good, h->count - h->good, false, &others));
    for (int i = 0; i < s->options.candidates; i++) {
        tn_parzen_draw(&good, random, x);
        double score = tn_parzen_log(&good, x, scratch) - tn_parzen_log(&others, x, scratch);
        if (i && !(score > most)) continue;
        most = score;
        memcpy(best, x, (size_t)count * sizeof *x);
    }
    for (int d = 0; d < count; d++) t->x[which[d]] = best[d];
    return TN_OK;
}

static tn_status draw_by_tpe(const tn_study *s, tn_region *region, tn_try *t, uint64_t *random) {
    history h;
    int all[TN_MOST_PARAMETERS], count = 0;
    TN_TRY(split(s, region, t, &h));
    bool joint = s->options.joint == TN_JOINT_ALL || (s->options.joint == TN_JOINT_AUTO && s->objective_count == 1);
    for (int d = 0; joint && d < s->dimension_count; d++)
        if (s->dimensions[d].parent < 0) all[count++] = d;
    if (count) TN_TRY(draw_together(s, region, &h, all, count, t, random));
    for (int d = 0; d < s->dimension_count; d++)
        if (isnan(t->x[d]) && tn_takes_part(s, d, t->x)) TN_TRY(draw_together(s, region, &h, &d, 1, t, random));
    return TN_OK;
}

tn_status tn_draw(const tn_study *s, tn_try *t, uint64_t *random) {
    int64_t known = 0;
    for (int64_t i = 0; i < s->end; i++)
        known += s->tries[i] && (s->tries[i]->state == TN_TRIAL_COMPLETE || s->tries[i]->state == TN_TRIAL_PRUNED);
    if (s->options.sampler == TN_SAMPLER_RANDOM || known < s->options.startup) {
        for (int d = 0; d < s->dimension_count; d++)
            if (tn_takes_part(s, d, t->x)) t->x[d] = draw_evenly(&s->dimensions[d], random);
        return TN_OK;
    }
    tn_region *region = tn_region_create(NULL);
    if (!region) return TN_E_MEMORY;
    tn_status status = draw_by_tpe(s, region, t, random);
    tn_region_destroy(region);
    return status;
}
