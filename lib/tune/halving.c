/* Asynchronous successive halving: at a rung a trial is compared with all that came there, and goes on if it is among the best
 * of them: at once or never, or whenever it is. Sorting is not worth it: a report is rarer than an epoch. */
#include <float.h>
#include "tune/study.h"

/* The rung's resource; INT64_MAX past the last. */
static int64_t rung_resource(const tn_study *s, int rung) {
    int64_t resource = s->options.first;
    for (int i = 0; i < rung; i++)
        if (__builtin_mul_overflow(resource, s->options.reduction, &resource)) return INT64_MAX;
    return resource;
}

bool tn_halving_reach(const tn_study *s, tn_try *t, int64_t resource, double value) {
    if (!s->options.first || t->rungs == TN_MOST_RUNGS || resource < rung_resource(s, t->rungs)) return false;
    t->reached[t->rungs++] = isnan(value) ? INFINITY : value;
    return true;
}

bool tn_halving_goes_on(const tn_study *s, const tn_try *t) {
    const int rung = t->rungs - 1;
    int64_t there = 1, better = 0;
    if (t->reached[rung] >= DBL_MAX) return false; /* which is what files have for what is infinite */
    for (int64_t i = 0; i < s->end; i++) {
        const tn_try *other = s->tries[i];
        if (!other || other == t || other->rungs <= rung) continue;
        there++;
        better += other->reached[rung] < t->reached[rung];
    }
    return better < TN_MAX(there / s->options.reduction, 1);
}

tn_try *tn_halving_next(const tn_study *s) {
    tn_try *next = NULL;
    for (int64_t i = 0; i < s->end && s->options.promote; i++) {
        tn_try *t = s->tries[i];
        if (!t || t->state != TN_TRIAL_PRUNED || !t->rungs || (next && t->rungs < next->rungs)) continue;
        const int rung = t->rungs - 1;
        if (next && t->rungs == next->rungs && t->reached[rung] >= next->reached[rung]) continue;
        if (tn_halving_goes_on(s, t)) next = t;
    }
    return next;
}
