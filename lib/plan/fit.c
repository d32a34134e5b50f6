/* Fitting: epochs of steps, in an order that the seed and the epoch's number alone say, so that a run can go on anywhere. */
#include <math.h>
#include <stdio.h>
#include "base/random.h"
#include "data/keys.h"
#include "plan/plan.h"
#include "train/train.h"

/* One step, or an evaluation, on a batch; of a group each takes its share of a step's, of a batch that was prepared as it
 * would be without a group. */
static tn_status run(tn_fit *fit, const tn_feed *feed, const tn_batch *b, bool trains, double *out_loss) {
    tn_tensor *x = NULL, *y = NULL;
    const bool labels = tn_takes_labels(fit->loss);
    const int64_t row = fit->data->width, width = tn_feed_answer(feed);
    int64_t from = 0, count = b->count;
    if (fit->group && trains) {
        const int64_t rank = fit->group->rank, all = fit->group->count;
        from = count * rank / all;
        count = count * (rank + 1) / all - from;
        if (!count) return tn_trainer_step(fit->trainer, NULL, NULL, out_loss);
    }
    const size_t answer = (size_t)width * (labels ? sizeof(int64_t) : sizeof(float));
    int64_t dims[] = {count, width}, input[TN_MAX_RANK];
    memcpy(input, fit->input_dims, sizeof input);
    input[0] = count;
    tn_status status = tn_tensor_wrap(TN_FLOAT32, fit->input_rank, input, NULL, b->x + from * row,
                                      (size_t)(count * row) * sizeof(float), &x);
    if (status == TN_OK)
        status = tn_tensor_wrap(labels ? TN_INT64 : TN_FLOAT32, labels && fit->loss != TN_LOSS_CTC ? 1 : 2, dims, NULL,
                                (char *)b->y + (size_t)from * answer, (size_t)count * answer, &y);
    const tn_tensor *inputs[] = {x};
    if (status == TN_OK)
        status = trains ? tn_trainer_step(fit->trainer, inputs, y, out_loss)
                        : tn_trainer_evaluate(fit->trainer, inputs, y, out_loss);
    tn_tensor_destroy(x);
    tn_tensor_destroy(y);
    return status;
}

static tn_status validate(tn_fit *fit, tn_feed *feed, double *out_loss) {
    int64_t rows = fit->data->rows[TN_PART_VALIDATION], size = fit->plan->batch;
    double sum = 0, loss;
    for (int64_t r = 0; r < rows; r += size) {
        int64_t count = TN_MIN(size, rows - r);
        TN_TRY(run(fit, feed, tn_feed_rows(feed, TN_PART_VALIDATION, r, count), false, &loss));
        sum += loss * (double)count;
    }
    *out_loss = sum / (double)rows;
    return TN_OK;
}

/* Fisher and Yates. */
static void shuffle(const tn_fit *fit, int64_t rows, int64_t *order) {
    uint64_t state = (uint64_t)fit->plan->seed + TN_RANDOM_STEP * (uint64_t)(fit->epochs + 1);
    state = tn_random_next(&state);
    for (int64_t i = 0; i < rows; i++) order[i] = i;
    for (int64_t i = rows - 1; i > 0; i--) {
        int64_t k = (int64_t)tn_random_below(&state, (uint64_t)i + 1), moved = order[i];
        order[i] = order[k];
        order[k] = moved;
    }
}

/* Whether to go on: in a group, if nobody wants to stop. Checkpoints of groups are of whole steps: what each gathered is its
 * own. */
static tn_status ask(const tn_fit *fit, const tn_plan_progress *p, bool *out_go) {
    const tn_plan_options *o = fit->options;
    *out_go = !o->progress || o->progress(o->context, p);
    if (!fit->group) return TN_OK;
    double stops = !*out_go;
    TN_TRY(tn_trainer_sum(fit->trainer, TN_FLOAT64, 1, &stops));
    *out_go = stops == 0 || !tn_trainer_is_between(fit->trainer);
    return TN_OK;
}

static tn_status tell(tn_fit *fit, int64_t step, double loss, bool ends) {
    bool go;
    const tn_plan_progress p = {.struct_size = sizeof p,
                                .epoch = fit->epochs + !ends,
                                .epochs = fit->plan->epochs,
                                .step = step,
                                .steps = fit->steps,
                                .loss = loss,
                                .validation = fit->epochs ? fit->history[fit->epochs - 1].validation : NAN,
                                .epoch_ends = ends};
    TN_TRY(ask(fit, &p, &go));
    if (go) return TN_OK;
    if (tn_fit_writes(fit)) TN_TRY(tn_fit_save(fit));
    return tn_fail(TN_E_INTERRUPTED, "stopped in epoch %lld of %lld; '%s' is where it can be resumed from",
                   (long long)p.epoch, (long long)p.epochs, fit->checkpoint);
}

static tn_status epoch(tn_fit *fit, tn_feed *feed, int64_t *order, uint64_t *saved) {
    int64_t rows = fit->data->rows[TN_PART_TRAIN];
    double loss, rate = tn_trainer_rate(fit->trainer);
    shuffle(fit, rows, order);
    for (int64_t s = tn_trainer_batches(fit->trainer) % fit->steps; s < fit->steps; s++) {
        const tn_batch *b = tn_feed_train(feed, order, s);
        TN_TRY(run(fit, feed, b, true, &loss));
        fit->sum += loss * (double)b->count;
        if (s + 1 < fit->steps) TN_TRY(tell(fit, s + 1, fit->sum / (double)((s + 1) * fit->plan->batch), false));
    }
    TN_TRY(tn_trainer_finish_step(fit->trainer));
    tn_epoch *e = &fit->history[fit->epochs];
    *e = (tn_epoch){.loss = fit->sum / (double)rows, .validation = NAN, .rate = rate};
    if (fit->plan->validation > 0) TN_TRY(validate(fit, feed, &e->validation));
    if (fit->events) TN_TRY(tn_events_epoch(fit->events, fit->epochs + 1, e));
    double judged = isnan(e->validation) ? e->loss : e->validation;
    double best = fit->best < 0 ? INFINITY : fit->history[fit->best].validation;
    if (fit->best >= 0 && isnan(best)) best = fit->history[fit->best].loss;
    if (judged < best) fit->best = fit->epochs;
    TN_TRY(tn_trainer_report(fit->trainer, judged, &fit->stop));
    if (tn_fit_writes(fit)) TN_TRY(tn_snapshot_take(fit, fit->epochs + 1));
    fit->epochs++;
    fit->sum = 0;
    /* The host hears of an epoch before a checkpoint has it: one that keeps what it heard never misses an epoch of it. */
    TN_TRY(tell(fit, fit->steps, e->loss, true));
    if (!tn_fit_writes(fit) || tn_now() - *saved < 1000000000u || fit->epochs == fit->plan->epochs || fit->stop)
        return TN_OK;
    TN_TRY(tn_fit_save(fit));
    *saved = tn_now();
    return TN_OK;
}

static tn_status epochs(tn_fit *fit, tn_feed *feed, int64_t *order) {
    uint64_t saved = tn_now();
    while (fit->epochs < fit->plan->epochs && !fit->stop) {
        tn_status status = epoch(fit, feed, order, &saved);
        if (status != TN_OK && status != TN_E_INTERRUPTED)
            tn_fail_context(status, "epoch %lld", (long long)fit->epochs + 1);
        TN_TRY(status);
    }
    if (fit->plan->validation > 0) return tn_trainer_restore_best(fit->trainer);
    fit->best = fit->epochs - 1; /* without validation the last weights are kept */
    return TN_OK;
}

/* Epochs that are over may have ended the training before it was stopped. */
static void find_stop(tn_fit *fit) {
    int64_t patience = fit->plan->patience;
    fit->stop = patience > 0 && fit->epochs > 0 && fit->epochs - 1 - fit->best >= patience;
}

tn_status tn_fit_run(tn_fit *fit) {
    if (fit->plan->augment.mixup > 0 && tn_takes_labels(fit->loss))
        return tn_key_fail(fit->plan->augment_node,
                           "mixup gives targets between classes, which the focal loss cannot take, nor ctc; "
                           "cross-entropy can");
    tn_feed *feed;
    size_t bytes = (size_t)fit->data->rows[TN_PART_TRAIN] * sizeof(int64_t);
    TN_TRY(tn_feed_open(fit, &feed));
    int64_t *order = tn_alloc(NULL, bytes);
    find_stop(fit);
    tn_status status = order ? TN_OK : TN_E_MEMORY;
    if (status == TN_OK && fit->plan->events && tn_fit_writes(fit))
        status = tn_events_open(fit->plan->events, &fit->events);
    if (status == TN_OK) status = epochs(fit, feed, order);
    if (fit->events) fclose(fit->events);
    fit->events = NULL;
    tn_feed_close(feed); /* which may be reading the order */
    tn_free(NULL, order, bytes);
    return status;
}
