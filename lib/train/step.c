/* Steps of trainers: a batch through the training graph, and where it only gathers gradients, a step of those. */
#include <math.h>
#include "base/element.h"
#include "base/random.h"
#include "train/train.h"

/* Different numbers for each batch, so that a resumed run drops what an uninterrupted one would. */
static uint64_t seed_of(const tn_trainer *t) {
    uint64_t state = t->options.seed + TN_RANDOM_STEP * (uint64_t)t->batches;
    return tn_random_next(&state) | 1;
}

tn_status tn_trainer_read_loss(const tn_trainer *t, const tn_session *session, double *out_loss) {
    const tn_tensor *loss;
    TN_TRY(tn_session_output(session, 0, &loss));
    *out_loss = tn_get_double(loss->dtype, loss->data, 0);
    if (isfinite(*out_loss)) return TN_OK;
    return tn_fail(TN_E_INVALID,
                   "the loss is %g after %lld steps; look for such numbers in the data, or take a lower rate or "
                   "optimizer.clip_norm",
                   *out_loss, (long long)t->steps);
}

static void swap(tn_trainer *t, int first, int last) {
    for (int s = first; s < last; s++) {
        tn_state *state = &t->states.all[s];
        tn_tensor *now = state->now;
        state->now = state->next;
        state->next = now;
    }
}

static tn_status set_states(tn_trainer *t, tn_session *session, int input, int first, int last) {
    for (int s = first; s < last; s++) TN_TRY(tn_session_set_input(session, input + s - first, t->states.all[s].now));
    return TN_OK;
}
static tn_status bind_states(tn_trainer *t, tn_session *session, int output, int first, int last) {
    for (int s = first; s < last; s++)
        TN_TRY(tn_session_bind_output(session, output + s - first, t->states.all[s].next));
    return TN_OK;
}

static tn_status step_at_once(tn_trainer *t, double *loss) {
    TN_TRY(set_states(t, t->train, t->inputs + TN_TRAIN_INPUTS, 0, t->states.count));
    TN_TRY(bind_states(t, t->train, 1, 0, t->states.count));
    *(double *)t->rate->data = tn_trainer_rate(t);
    *(int64_t *)t->count->data = t->steps + 1;
    TN_TRY(tn_session_run(t->train));
    TN_TRY(tn_trainer_read_loss(t, t->train, loss));
    swap(t, 0, t->states.count);
    t->batches++;
    t->steps++;
    return tn_trainer_average(t);
}

static tn_status gather(tn_trainer *t, double weight, double *loss) {
    const tn_states *s = &t->states;
    const int gradients = s->predicting, end = gradients + s->gradients;
    TN_TRY(set_states(t, t->train, t->inputs + TN_GATHER_INPUTS, 0, end));
    TN_TRY(bind_states(t, t->train, 1, 0, s->statistics));
    TN_TRY(bind_states(t, t->train, 1 + s->statistics, gradients, end));
    *(double *)t->weight->data = weight;
    TN_TRY(tn_session_run(t->train));
    TN_TRY(tn_trainer_read_loss(t, t->train, loss));
    swap(t, 0, s->statistics);
    swap(t, gradients, end);
    t->batches++;
    t->gathered++;
    t->weighed += weight;
    return TN_OK;
}

tn_status tn_trainer_finish_step(tn_trainer *t) {
    const tn_states *s = &t->states;
    const int optimizer = s->predicting + s->gradients;
    if (t->gathered == 0) return TN_OK;
    TN_TRY(set_states(t, t->step, TN_STEP_INPUTS, s->statistics, s->count));
    TN_TRY(bind_states(t, t->step, 0, s->statistics, s->predicting));
    TN_TRY(bind_states(t, t->step, s->parameters, optimizer, s->count));
    *(double *)t->rate->data = tn_trainer_rate(t);
    *(int64_t *)t->count->data = t->steps + 1;
    *(double *)t->scale->data = 1 / t->weighed;
    TN_TRY(tn_session_run(t->step));
    swap(t, s->statistics, s->predicting);
    swap(t, optimizer, s->count);
    for (int i = s->predicting; i < optimizer; i++)
        memset(s->all[i].now->data, 0, tn_dtype_bytes(s->all[i].now->dtype, tn_count(s->all[i].now)));
    t->gathered = 0;
    t->weighed = 0;
    t->steps++;
    return tn_trainer_average(t);
}

tn_status tn_trainer_step(tn_trainer *t, const tn_tensor *const *inputs, const tn_tensor *target, double *out_loss) {
    double loss;
    for (int i = 0; i < t->inputs; i++) TN_TRY(tn_session_set_input(t->train, i, inputs[i]));
    TN_TRY(tn_session_set_input(t->train, t->inputs + TN_TRAIN_TARGET, target));
    tn_session_seed(t->train, seed_of(t));
    if (!t->step) {
        TN_TRY(step_at_once(t, &loss));
    } else {
        TN_TRY(gather(t, (double)tn_count(target), &loss));
        if (t->gathered >= t->options.accumulate) TN_TRY(tn_trainer_finish_step(t));
    }
    if (out_loss) *out_loss = loss;
    return TN_OK;
}
