/* Asynchronous successive halving, by stopping: at a rung a trial is compared with those that came there before it. */
#include "tune/study.h"

/* Whether it is among the best 1 / reduction of those at the rung, itself included; the best, while these are none. */
static bool goes_on(const tn_study *s, const tn_try *t, int rung) {
    int64_t there = 1, better = 0;
    for (int64_t i = 0; i < s->end; i++) {
        const tn_try *other = s->tries[i];
        if (!other || other == t || other->rungs <= rung) continue;
        there++;
        better += other->reached[rung] < t->reached[rung];
    }
    return better < TN_MAX(there / s->options.reduction, 1);
}

/* The rung's resource; INT64_MAX past the last. */
static int64_t rung_resource(const tn_study *s, int rung) {
    int64_t resource = s->options.first;
    for (int i = 0; i < rung; i++)
        if (__builtin_mul_overflow(resource, s->options.reduction, &resource)) return INT64_MAX;
    return resource;
}

bool tn_halving_report(tn_study *s, tn_try *t, int64_t resource, double value) {
    if (!s->options.first) return false;
    while (t->rungs < TN_MOST_RUNGS && resource >= rung_resource(s, t->rungs)) {
        t->reached[t->rungs++] = isnan(value) ? INFINITY : value;
        if (isnan(value) || !goes_on(s, t, t->rungs - 1)) return true;
    }
    return false;
}
