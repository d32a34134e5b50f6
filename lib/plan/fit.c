/* Fitting: epochs of steps, in an order that the seed and the epoch's number alone say, so that a run can go on anywhere. */
#include <math.h>
#include <stdio.h>
#include "base/random.h"
#include "plan/keys.h"
#include "plan/plan.h"
#include "train/train.h"

/* A batch: rows of a part, gathered; targets as the loss takes them. */
typedef struct batch {
    tn_fit *fit;
    float *x;
    void *y;             /* int64 or float */
    int64_t row, answer; /* numbers in a row of x; of y, if it is floats */
} batch;

/* The target of a loss on scores [N, K]: labels int64 [N] of cross-entropy, else floats [N, K]. */
static bool takes_labels(const tn_fit *fit) {
    return fit->loss == TN_LOSS_CROSS_ENTROPY || fit->loss == TN_LOSS_FOCAL;
}

/* Samples have the shape that the plan gives them, or that of the model which is tuned. */
static void augment(batch *b, int64_t count) {
    const tn_fit *fit = b->fit;
    const tn_plan *plan = fit->plan;
    int rank = plan->rank ? plan->rank : fit->input_rank - 1;
    uint64_t seed = (uint64_t)plan->seed + TN_RANDOM_STEP * (uint64_t)(tn_trainer_batches(fit->trainer) + 1) + 2;
    tn_augment(&plan->augment, seed, rank, plan->rank ? plan->shape : fit->input_dims + 1, b->x, count,
               takes_labels(fit) ? NULL : b->y, b->answer, fit->data->task == TN_TASK_RECONSTRUCTION);
}

static void gather(batch *b, int part, const int64_t *order, int64_t first, int64_t count) {
    const tn_plan_data *d = b->fit->data;
    const float *x = d->x[part]->data;
    const void *y = d->task == TN_TASK_RECONSTRUCTION ? x : d->y[part]->data;
    for (int64_t i = 0; i < count; i++) {
        int64_t r = order ? order[first + i] : first + i;
        memcpy(b->x + i * b->row, x + r * b->row, (size_t)b->row * sizeof *x);
        if (takes_labels(b->fit))
            ((int64_t *)b->y)[i] = ((const int64_t *)y)[r];
        else if (d->task == TN_TASK_CLASSIFICATION) /* binary: of class 1 */
            ((float *)b->y)[i] = (float)((const int64_t *)y)[r];
        else
            memcpy((float *)b->y + i * b->answer, (const float *)y + r * b->answer, (size_t)b->answer * sizeof(float));
    }
    if (part == TN_PART_TRAIN && b->fit->plan->augment_node) augment(b, count);
}

/* One step, or an evaluation, on rows of a part; of a group each takes its share of a step's. */
static tn_status run(batch *b, int part, const int64_t *order, int64_t first, int64_t count, double *out_loss) {
    tn_fit *fit = b->fit;
    tn_tensor *x = NULL, *y = NULL;
    bool labels = takes_labels(fit);
    gather(b, part, order, first, count); /* the whole batch, so that it is augmented as it would be without a group */
    int64_t from = 0;
    if (fit->group && part == TN_PART_TRAIN) {
        const int64_t rank = fit->group->rank, all = fit->group->count;
        from = count * rank / all;
        count = count * (rank + 1) / all - from;
        if (!count) return tn_trainer_step(fit->trainer, NULL, NULL, out_loss);
    }
    const size_t answer = (size_t)b->answer * (labels ? sizeof(int64_t) : sizeof(float));
    int64_t dims[] = {count, b->answer};
    fit->input_dims[0] = count;
    tn_status status = tn_tensor_wrap(TN_FLOAT32, fit->input_rank, fit->input_dims, NULL, b->x + from * b->row,
                                      (size_t)(count * b->row) * sizeof(float), &x);
    if (status == TN_OK)
        status = tn_tensor_wrap(labels ? TN_INT64 : TN_FLOAT32, labels ? 1 : 2, dims, NULL,
                                (char *)b->y + (size_t)from * answer, (size_t)count * answer, &y);
    const tn_tensor *inputs[] = {x};
    if (status == TN_OK)
        status = part == TN_PART_TRAIN ? tn_trainer_step(fit->trainer, inputs, y, out_loss)
                                       : tn_trainer_evaluate(fit->trainer, inputs, y, out_loss);
    tn_tensor_destroy(x);
    tn_tensor_destroy(y);
    return status;
}

static tn_status validate(batch *b, double *out_loss) {
    int64_t rows = b->fit->data->rows[TN_PART_VALIDATION], size = b->fit->plan->batch;
    double sum = 0, loss;
    for (int64_t r = 0; r < rows; r += size) {
        int64_t count = TN_MIN(size, rows - r);
        TN_TRY(run(b, TN_PART_VALIDATION, NULL, r, count, &loss));
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

static tn_status epoch(batch *b, int64_t *order, uint64_t *saved) {
    tn_fit *fit = b->fit;
    int64_t rows = fit->data->rows[TN_PART_TRAIN], size = fit->plan->batch, done = 0;
    double loss, rate = tn_trainer_rate(fit->trainer);
    shuffle(fit, rows, order);
    for (int64_t s = tn_trainer_batches(fit->trainer) % fit->steps; s < fit->steps; s++) {
        int64_t first = s * size, count = TN_MIN(size, rows - first);
        TN_TRY(run(b, TN_PART_TRAIN, order, first, count, &loss));
        fit->sum += loss * (double)count;
        done = first + count;
        if (s + 1 < fit->steps) TN_TRY(tell(fit, s + 1, fit->sum / (double)done, false));
    }
    TN_TRY(tn_trainer_finish_step(fit->trainer));
    tn_epoch *e = &fit->history[fit->epochs];
    *e = (tn_epoch){.loss = fit->sum / (double)rows, .validation = NAN, .rate = rate};
    if (fit->plan->validation > 0) TN_TRY(validate(b, &e->validation));
    double judged = isnan(e->validation) ? e->loss : e->validation;
    double best = fit->best < 0 ? INFINITY : fit->history[fit->best].validation;
    if (fit->best >= 0 && isnan(best)) best = fit->history[fit->best].loss;
    if (judged < best) fit->best = fit->epochs;
    TN_TRY(tn_trainer_report(fit->trainer, judged, &fit->stop));
    if (tn_fit_writes(fit)) TN_TRY(tn_snapshot_take(fit, fit->epochs + 1));
    fit->epochs++;
    fit->sum = 0;
    if (tn_fit_writes(fit) && tn_now() - *saved >= 1000000000u && fit->epochs < fit->plan->epochs && !fit->stop) {
        TN_TRY(tn_fit_save(fit));
        *saved = tn_now();
    }
    return tell(fit, fit->steps, e->loss, true);
}

static tn_status epochs(batch *b, int64_t *order) {
    tn_fit *fit = b->fit;
    uint64_t saved = tn_now();
    while (fit->epochs < fit->plan->epochs && !fit->stop) {
        tn_status status = epoch(b, order, &saved);
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
    const tn_plan_data *d = fit->data;
    if (fit->plan->augment.mixup > 0 && takes_labels(fit))
        return tn_key_fail(fit->plan->augment_node, "mixup gives targets between classes, which this loss cannot take; "
                                                    "binary-cross-entropy and losses of numbers can");
    batch b = {.fit = fit, .row = d->width, .answer = takes_labels(fit) ? 1 : d->outputs};
    size_t rows = (size_t)TN_MIN(fit->plan->batch, TN_MAX(d->rows[TN_PART_TRAIN], d->rows[TN_PART_VALIDATION]));
    if (fit->loss == TN_LOSS_BINARY_CROSS_ENTROPY && d->task == TN_TASK_CLASSIFICATION) b.answer = 1;
    size_t x = rows * (size_t)d->width * sizeof(float), y = rows * (size_t)b.answer * 8,
           order = (size_t)d->rows[TN_PART_TRAIN] * sizeof(int64_t);
    int64_t *permutation = tn_alloc(NULL, order);
    b.x = tn_alloc(NULL, x);
    b.y = tn_alloc_zero(NULL, y);
    find_stop(fit);
    tn_status status = permutation && b.x && b.y ? epochs(&b, permutation) : TN_E_MEMORY;
    tn_free(NULL, permutation, order);
    tn_free(NULL, b.x, x);
    tn_free(NULL, b.y, y);
    return status;
}
