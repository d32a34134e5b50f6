/* Averages of weights: exponential moving ones, and the mean (SWA). They begin as a copy of the weights. */
#include "train/train.h"

tn_status tn_average_check(const tn_average *a) {
    if ((unsigned)a->kind > TN_AVERAGE_SWA)
        return tn_fail(TN_E_INVALID, "there is no kind of average number %d", (int)a->kind);
    if (!(a->decay >= 0 && a->decay < 1))
        return tn_fail(TN_E_INVALID, "average.decay is %g; expected a number from 0 to below 1", a->decay);
    if (a->start < 0 || a->every < 0)
        return tn_fail(TN_E_INVALID, "average.start is %lld and average.every %lld; neither can be below 0",
                       (long long)a->start, (long long)a->every);
    return TN_OK;
}

/* average += share (weights - average) */
static void move(tn_tensor *average, const tn_tensor *weights, double share) {
    const int64_t count = tn_count(average);
    if (average->dtype == TN_FLOAT64) {
        double *to = average->data;
        const double *from = weights->data;
        for (int64_t i = 0; i < count; i++) to[i] += share * (from[i] - to[i]);
    } else {
        float *to = average->data, part = (float)share;
        const float *from = weights->data;
        for (int64_t i = 0; i < count; i++) to[i] += part * (from[i] - to[i]);
    }
}

tn_status tn_trainer_average(tn_trainer *t) {
    const tn_average *a = &t->options.average;
    int64_t after = t->steps - a->start;
    if (a->kind == TN_AVERAGE_NONE || after < 1 || after % TN_MAX(a->every, 1) != 0) return TN_OK;
    for (int s = 0; s < t->states.predicting && t->averages == 0; s++) {
        tn_state *state = &t->states.all[s];
        if (!state->average) TN_TRY(tn_tensor_clone(state->now, t->allocator, &state->average));
        TN_TRY(tn_tensor_copy(state->average, state->now));
    }
    const double share =
        a->kind == TN_AVERAGE_SWA ? 1 / ((double)t->averages + 1) : 1 - (a->decay == 0 ? 0.999 : a->decay);
    for (int s = 0; s < t->states.predicting && t->averages > 0; s++)
        move(t->states.all[s].average, t->states.all[s].now, share);
    t->averages++;
    return TN_OK;
}
