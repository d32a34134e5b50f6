/* Steps of trainers: a batch through the training graph, and where it only gathers gradients, a step of those. */
#include <math.h>
#include "base/element.h"
#include "base/random.h"
#include "exec/model.h"
#include "train/train.h"

/* Different numbers for each batch, so that a resumed run drops what an uninterrupted one would. */
static uint64_t seed_of(const tn_trainer *t) {
    uint64_t state = t->options.seed + TN_RANDOM_STEP * (uint64_t)t->batches;
    if (t->options.group) state ^= 0xD1342543DE82EF95u * (uint64_t)t->options.group->rank;
    return tn_random_next(&state) | 1;
}

static tn_status check_loss(const tn_trainer *t, double loss) {
    if (isfinite(loss)) return TN_OK;
    return tn_fail(TN_E_INVALID,
                   "the loss is %s after %lld steps; look for such numbers in the data, or take a lower rate or "
                   "optimizer.clip_norm",
                   isnan(loss) ? "nan" : "infinite", (long long)t->steps);
}

tn_status tn_trainer_read_loss(const tn_trainer *t, const tn_session *session, double *out_loss) {
    const tn_tensor *loss;
    TN_TRY(tn_session_output(session, 0, &loss));
    *out_loss = tn_get_double(loss->dtype, loss->data, 0);
    return check_loss(t, *out_loss);
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

tn_status tn_trainer_sum(const tn_trainer *t, tn_dtype dtype, int64_t count, void *data) {
    const tn_group *group = t->options.group;
    return group && group->count > 1 ? group->sum(group->context, dtype, count, data) : TN_OK;
}

static tn_status sum_tensor(const tn_trainer *t, const tn_tensor *x) {
    return tn_trainer_sum(t, x->dtype, tn_count(x), x->data);
}

/* The group's loss, of shares of such weights; *weight becomes that of all. Also a loss that is no number goes to the
 * others, so that all of them fail. */
static tn_status share_loss(const tn_trainer *t, double *weight, double *loss) {
    const double own = *weight;
    double shares[2] = {own > 0 ? own * *loss : 0, own};
    TN_TRY(tn_trainer_sum(t, TN_FLOAT64, 2, shares));
    if (!(shares[1] > 0)) return tn_fail(TN_E_INVALID, "a batch of no rows");
    *weight = shares[1];
    *loss = shares[0] / shares[1];
    return check_loss(t, *loss);
}

/* Statistics are the mean of the shares'. */
static tn_status share_statistics(tn_trainer *t, double part) {
    for (int s = 0; s < t->states.statistics; s++) {
        const tn_tensor *x = t->states.all[s].next;
        for (int64_t i = 0; i < tn_count(x); i++)
            tn_set_double(x->dtype, x->data, i, part > 0 ? part * tn_get_double(x->dtype, x->data, i) : 0);
        TN_TRY(sum_tensor(t, x));
    }
    return TN_OK;
}

static tn_status run_share(tn_trainer *t, double *loss) {
    const tn_tensor *found;
    TN_TRY(tn_session_run(t->train));
    TN_TRY(tn_session_output(t->train, 0, &found));
    *loss = tn_get_double(found->dtype, found->data, 0);
    return TN_OK;
}

/* Of one that has no row: its gradients are those it has gathered. */
static tn_status pass_on(tn_trainer *t, int first, int last) {
    for (int s = first; s < last; s++) TN_TRY(tn_tensor_copy(t->states.all[s].next, t->states.all[s].now));
    return TN_OK;
}

/* The run, and the group's loss. Where the group can, the last batch of a step has its gradients summed meanwhile. One that
 * fails says so by its loss, so that none waits for it. */
static tn_status run_together(tn_trainer *t, double *weight, double *loss) {
    const int first = t->states.predicting, last = first + t->states.gradients;
    const bool overlaps = tn_trainer_overlaps(t) && t->gathered + 1 >= t->options.accumulate;
    const double own = *weight;
    if (overlaps && own > 0) tn_overlap_watch(t);
    tn_status status = own > 0 ? run_share(t, loss) : pass_on(t, first, last);
    tn_session_watch(t->train, NULL, NULL);
    if (status != TN_OK && !overlaps) return status;
    if (status != TN_OK) *loss = NAN;
    tn_status other = overlaps ? tn_overlap_begin_rest(t) : TN_OK;
    if (other == TN_OK) other = share_loss(t, weight, loss);
    if (overlaps && other != TN_OK) tn_overlap_finish(t);
    return status != TN_OK ? status : other;
}

/* weight 0: this one has no row. */
static tn_status gather(tn_trainer *t, double weight, double *loss) {
    const tn_states *s = &t->states;
    const int gradients = s->predicting, end = gradients + s->gradients;
    const double own = weight;
    TN_TRY(set_states(t, t->train, t->inputs + TN_GATHER_INPUTS, 0, end));
    TN_TRY(bind_states(t, t->train, 1, 0, s->statistics));
    TN_TRY(bind_states(t, t->train, 1 + s->statistics, gradients, end));
    *(double *)t->weight->data = weight;
    *loss = 0;
    TN_TRY(run_together(t, &weight, loss));
    if (t->options.group && t->options.group->count > 1) TN_TRY(share_statistics(t, own / weight));
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
    const bool begun = t->begun > 0;
    if (begun) TN_TRY(tn_overlap_finish(t));
    for (int i = s->predicting; i < optimizer && !begun; i++) TN_TRY(sum_tensor(t, s->all[i].now));
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

/* Losses are means over elements of the target; CTC's, over rows. */
static double weight_of(const tn_trainer *t, const tn_tensor *target) {
    return (double)(t->options.loss == TN_LOSS_CTC ? target->dims[0] : tn_count(target));
}

tn_status tn_trainer_step(tn_trainer *t, const tn_tensor *const *inputs, const tn_tensor *target, double *out_loss) {
    double loss;
    const bool has_rows = inputs || !t->options.group;
    for (int i = 0; i < t->inputs && has_rows; i++) TN_TRY(tn_session_set_input(t->train, i, inputs[i]));
    if (has_rows) TN_TRY(tn_session_set_input(t->train, t->inputs + TN_TRAIN_TARGET, target));
    tn_session_seed(t->train, seed_of(t));
    if (!t->step) {
        TN_TRY(step_at_once(t, &loss));
    } else {
        TN_TRY(gather(t, has_rows ? weight_of(t, target) : 0, &loss));
        if (t->gathered >= t->options.accumulate) TN_TRY(tn_trainer_finish_step(t));
    }
    if (out_loss) *out_loss = loss;
    return TN_OK;
}
