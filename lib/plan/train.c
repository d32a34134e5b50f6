/* Training by a plan: data, graph, fit, model file, one after the other. */
#include <math.h>
#include <stdio.h>
#include <unistd.h>
#include "data/keys.h"
#include "plan/plan.h"
#include "train/train.h"

static bool is_of_classes(tn_loss loss) {
    return loss == TN_LOSS_CROSS_ENTROPY || loss == TN_LOSS_BINARY_CROSS_ENTROPY || loss == TN_LOSS_FOCAL ||
           loss == TN_LOSS_SOFT_CROSS_ENTROPY || loss == TN_LOSS_KL;
}

static tn_status choose_loss(const tn_plan *plan, tn_plan_data *data, tn_loss *out) {
    static const tn_loss by_task[] = {TN_LOSS_CROSS_ENTROPY, TN_LOSS_MSE, TN_LOSS_MSE, TN_LOSS_CTC};
    const bool latent = tn_has_latent(plan->layers, plan->layer_count);
    const tn_manifest_node *at = plan->loss_node ? plan->loss_node : plan->model_node;
    *out = plan->loss ? (tn_loss)(plan->loss - 1) : latent ? TN_LOSS_ELBO : by_task[data->task];
    if ((*out == TN_LOSS_ELBO) != latent || (latent && data->task != TN_TASK_RECONSTRUCTION))
        return tn_key_fail(at,
                           "a model with a 'latent' layer has the loss 'elbo', and no target; no other model has it");
    if ((*out == TN_LOSS_CTC) != (data->task == TN_TASK_SEQUENCES))
        return tn_key_fail(at,
                           "a target of sequences (encode: sequence) has the loss 'ctc', and no other target has it");
    if (is_of_classes(*out) != (data->task == TN_TASK_CLASSIFICATION))
        return tn_key_fail(at, "the loss does not fit the target: %s",
                           is_of_classes(*out) ? "a target of classes has encode: ordinal"
                                               : "classes take a cross-entropy or the focal loss");
    if (plan->teacher_node && *out != TN_LOSS_CROSS_ENTROPY && *out != TN_LOSS_KL)
        return tn_key_fail(plan->teacher_node, "a teacher's answers are for the loss 'cross-entropy' or 'kl'");
    if (*out == TN_LOSS_CROSS_ENTROPY && (plan->augment.mixup > 0 || plan->teacher_node))
        *out = TN_LOSS_SOFT_CROSS_ENTROPY;
    if (*out != TN_LOSS_BINARY_CROSS_ENTROPY) return TN_OK;
    if (data->outputs != 2)
        return tn_key_fail(at, "binary-cross-entropy tells 2 classes apart, and there are %lld",
                           (long long)data->outputs);
    data->outputs = 1;
    return TN_OK;
}

/* As they are listed, or "balanced": all classes weigh as much together, whatever rows they have, as in
 * scikit-learn. */
static tn_status weigh_classes(const tn_plan *plan, const tn_plan_data *data, tn_loss loss, tn_loss_options *o) {
    const tn_manifest_node *node = plan->class_weights;
    const tn_key row = {.name = "class_weights", .kind = TN_KEY_NUMBER, .high = 1e9};
    const int64_t classes = data->outputs, rows = data->rows[TN_PART_TRAIN];
    int64_t c = 0;
    if (!node) return TN_OK;
    if (loss != TN_LOSS_CROSS_ENTROPY && loss != TN_LOSS_FOCAL && loss != TN_LOSS_SOFT_CROSS_ENTROPY)
        return tn_key_fail(node, "'class_weights' are for cross-entropy and the focal loss");
    double *of_class = tn_region_array(plan->region, (size_t)classes, sizeof *of_class);
    float *weights = tn_region_array(plan->region, (size_t)classes, sizeof *weights);
    if (!of_class || !weights) return TN_E_MEMORY;
    if (node->kind == TN_MANIFEST_LIST) {
        if (node->count != classes)
            return tn_key_fail(node, "'class_weights' has %d numbers, and there are %lld classes", node->count,
                               (long long)classes);
        for (const tn_manifest_node *child = node->first; child; child = child->next)
            TN_TRY(tn_key_read(child, &row, &of_class[c++]));
    } else if (node->text && strcmp(node->text, "balanced") == 0) {
        const int64_t *y = data->samples[TN_PART_TRAIN].y->data;
        for (int64_t r = 0; r < rows; r++) of_class[y[r]]++;
        for (c = 0; c < classes; c++)
            if (of_class[c] > 0) of_class[c] = (double)rows / ((double)classes * of_class[c]);
    } else {
        return tn_key_fail(node, "'class_weights' is 'balanced' or a list of a number for each class");
    }
    for (c = 0; c < classes; c++) weights[c] = (float)of_class[c];
    o->class_weights = weights;
    o->class_count = (int)classes;
    return TN_OK;
}

/* From epochs to steps. */
static tn_schedule schedule_of(const tn_plan *plan, int64_t steps) {
    tn_schedule s = plan->schedule;
    double all = (double)plan->epochs, each = (double)steps;
    s.warm_up = (int64_t)floor(plan->warm_up * each + 0.5);
    s.period = TN_MAX((int64_t)floor((plan->period > 0 ? plan->period : all) * each + 0.5), 1);
    s.total = TN_MAX((int64_t)floor((plan->total > 0 ? plan->total : all) * each + 0.5) - s.warm_up, 2);
    if (s.kind == TN_SCHEDULE_EXPONENTIAL) s.factor = pow(s.factor > 0 ? s.factor : 0.9, 1 / each);
    return s;
}

static tn_average average_of(const tn_plan *plan, int64_t steps) {
    tn_average a = plan->average;
    double each = (double)steps, fallback = a.kind == TN_AVERAGE_SWA ? 1 : 0;
    a.start = (int64_t)floor(plan->average_start * each + 0.5);
    a.every = TN_MAX((int64_t)floor((plan->average_every > 0 ? plan->average_every : fallback) * each + 0.5), 1);
    return a;
}

static int64_t parameters_of(const tn_trainer *trainer) {
    const tn_tensor *t;
    int64_t count = 0;
    for (int i = 0; tn_trainer_parameter(trainer, i, NULL, &t) == TN_OK; i++) {
        count += tn_count(t);
        if (i + 1 == tn_trainer_parameter_count(trainer)) break;
    }
    return count;
}

static tn_status make_trainer(tn_plan *plan, tn_plan_data *data, tn_fit *fit) {
    tn_graph *graph;
    int64_t rows = data->rows[TN_PART_TRAIN];
    TN_TRY(choose_loss(plan, data, &fit->loss));
    TN_TRY(weigh_classes(plan, data, fit->loss, &plan->loss_options));
    fit->steps = (rows + plan->batch - 1) / plan->batch;
    TN_TRY(tn_plan_network(plan, data, &graph));
    const tn_type *input = &graph->values[graph->inputs[0]].type;
    fit->input_rank = input->rank;
    memcpy(fit->input_dims, input->dims, sizeof fit->input_dims);
    return tn_fit_trainer(fit, graph, false);
}

tn_status tn_fit_trainer(tn_fit *fit, tn_graph *graph, bool holds) {
    const tn_plan *plan = fit->plan;
    const int64_t steps = (fit->steps + plan->accumulate - 1) / plan->accumulate;
    const tn_trainer_options options = {.struct_size = sizeof options,
                                        .loss = fit->loss,
                                        .optimizer = plan->optimizer,
                                        .schedule = schedule_of(plan, steps),
                                        .freeze = plan->freeze,
                                        .threads = fit->options->threads,
                                        .seed = (uint64_t)plan->seed,
                                        .cpu = fit->options->cpu,
                                        .patience = plan->patience,
                                        .loss_options = plan->loss_options,
                                        .average = average_of(plan, steps),
                                        .accumulate = plan->accumulate,
                                        .recompute = plan->recompute,
                                        .products = plan->products ? TN_BFLOAT16 : TN_FLOAT32,
                                        .group = fit->group,
                                        .keep_zeros = holds};
    return tn_trainer_create(graph, &options, &fit->trainer);
}

/* All go on from the same step. */
static tn_status check_group(const tn_fit *fit) {
    if (!fit->group) return TN_OK;
    const double own = (double)tn_trainer_batches(fit->trainer);
    double sums[] = {own, own * own}, count = fit->group->count;
    TN_TRY(tn_trainer_sum(fit->trainer, TN_FLOAT64, 2, sums));
    if (sums[0] == count * own && sums[1] == count * own * own) return TN_OK;
    return tn_fail(TN_E_STATE,
                   "process %d begins at batch %.0f and others elsewhere: all must find the same checkpoint '%s'",
                   fit->group->rank, own, fit->checkpoint);
}

static tn_status train(tn_plan *plan, tn_plan_data *data, tn_fit *fit) {
    TN_TRY(tn_plan_data_read(plan, fit->options, data));
    if (plan->folds && fit->options->resume && !fit->group && tn_plan_is_made(plan, data)) {
        fit->resumed = true;
        return TN_OK;
    }
    TN_TRY(make_trainer(plan, data, fit));
    TN_TRY(tn_plan_teach(plan, fit->options, data));
    if (fit->options->resume) TN_TRY(tn_fit_load(fit));
    TN_TRY(check_group(fit));
    TN_TRY(tn_fit_run(fit));
    if (plan->compress && plan->retrain_node) TN_TRY(tn_plan_retrain(plan, data, fit));
    if (!tn_fit_writes(fit)) return TN_OK;
    TN_TRY(tn_plan_save(plan, data, fit));
    unlink(fit->checkpoint);
    tn_snapshots_remove(plan);
    return TN_OK;
}

static void tell_result(const tn_plan_data *data, const tn_fit *fit, tn_plan_result *out) {
    tn_plan_result r = {.struct_size = out->struct_size,
                        .train_rows = data->rows[TN_PART_TRAIN],
                        .validation_rows = data->rows[TN_PART_VALIDATION],
                        .test_rows = data->rows[TN_PART_TEST],
                        .resumed = fit->resumed,
                        .stopped_early = fit->stop,
                        .loss = NAN,
                        .validation = NAN};
    if (fit->trainer) {
        r.epochs = fit->epochs;
        r.best_epoch = fit->best + 1;
        r.steps = tn_trainer_steps(fit->trainer);
        r.parameters = parameters_of(fit->trainer);
        r.loss = fit->history[fit->best].loss;
        r.validation = fit->history[fit->best].validation;
    }
    memcpy(out, &r, TN_MIN(out->struct_size, sizeof r));
}

tn_status tn_plan_train(tn_plan *plan, const tn_plan_options *options, tn_plan_result *out_result) {
    tn_plan_options o = {.struct_size = sizeof o};
    if (options) memcpy(&o, options, TN_MIN(options->struct_size, sizeof o));
    tn_plan_data data = {0};
    tn_fit fit = {.plan = plan, .data = &data, .options = &o, .best = -1};
    if (o.group && o.group->count > 1) fit.group = o.group;
    size_t bytes = (size_t)plan->epochs * sizeof *fit.history, path = strlen(plan->output) + 16;
    fit.history = tn_alloc_zero(NULL, bytes);
    fit.checkpoint = tn_alloc(NULL, path);
    if (fit.checkpoint) snprintf(fit.checkpoint, path, "%s.checkpoint", plan->output);
    tn_status status = fit.history && fit.checkpoint ? train(plan, &data, &fit) : TN_E_MEMORY;
    if (status == TN_OK && out_result) tell_result(&data, &fit, out_result);
    tn_trainer_destroy(fit.trainer);
    tn_graph_destroy(fit.retrained);
    tn_plan_data_free(&data);
    tn_free(NULL, fit.history, bytes);
    tn_free(NULL, fit.checkpoint, path);
    return status;
}
