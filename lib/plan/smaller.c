/* Compression behind the training: a plan's steps, on rows that it was trained on; and training on, so that weights fit what
 * was done to them. See tenon/plan.h. */
#include <stdio.h>
#include <unistd.h>
#include "compress/recipe.h"
#include "data/keys.h"
#include "plan/plan.h"

/* Rows of a set, and sets: enough to measure ranges on. */
enum { SET_ROWS = 32, MOST_SETS = 100 };

typedef struct sets {
    const tn_sample_set *from;
    int rank;
    int64_t dims[TN_MAX_RANK]; /* of a set, as the graph's input has them */
    tn_tensor *set;
} sets;

static tn_status get_set(void *context, int64_t index, const tn_tensor **inputs) {
    sets *s = context;
    const int64_t rows = s->dims[0];
    if (index < 0 || index >= TN_MIN(MOST_SETS, s->from->count / rows)) return TN_E_NOT_FOUND;
    if (!s->set) TN_TRY(tn_tensor_create(TN_FLOAT32, s->rank, s->dims, NULL, &s->set));
    for (int64_t i = 0; i < rows; i++)
        tn_sample_copy(s->from, index * rows + i, (float *)s->set->data + i * s->from->width);
    inputs[0] = s->set;
    return TN_OK;
}

static tn_samples open_sets(const tn_plan_data *data, const tn_fit *fit, sets *s) {
    *s = (sets){.from = &data->samples[TN_PART_TRAIN], .rank = fit->input_rank};
    memcpy(s->dims, fit->input_dims, sizeof s->dims);
    s->dims[0] = TN_MIN(SET_ROWS, s->from->count);
    return (tn_samples){get_set, s};
}

/* The graph becomes what the steps make of it. */
static tn_status shrink(const tn_recipe *recipe, const tn_samples *samples, const tn_fit *fit, tn_graph **graph) {
    const tn_quantize_options base = {
        .struct_size = sizeof base, .threads = fit->options->threads, .cpu = fit->options->cpu};
    tn_graph *smaller;
    tn_status status = tn_recipe_run(recipe, *graph, samples, &base, NULL, NULL, NULL, &smaller, NULL);
    if (status != TN_OK) return tn_fail_context(status, "compress");
    tn_graph_destroy(*graph);
    *graph = smaller;
    return TN_OK;
}

tn_status tn_plan_compress(const tn_plan *plan, const tn_plan_data *data, const tn_fit *fit, tn_graph **graph) {
    sets s;
    if (!plan->compress) return TN_OK;
    const tn_samples samples = open_sets(data, fit, &s);
    tn_status status = shrink(plan->compress, &samples, fit, graph);
    tn_tensor_destroy(s.set);
    return status;
}

/* ---- retraining ---- */

tn_status tn_plan_retrain_check(const tn_plan *plan) {
    const tn_recipe *r = plan->compress;
    for (int i = 0; i < r->step_count; i++) {
        const tn_recipe_step *s = &r->steps[i];
        if (s->other)
            return tn_key_fail(plan->retrain_node, "beside steps to choose from (step %d) nothing is retrained", i + 1);
        const bool rounds = s->kind == TN_STEP_QUANTIZE && !s->quantize.dynamic && i + 1 == r->step_count;
        if (rounds || s->kind == TN_STEP_PRUNE || s->kind == TN_STEP_CHANNELS || s->kind == TN_STEP_LOW_RANK) continue;
        return tn_key_fail(plan->retrain_node,
                           "what is retrained has gone through prune, channels, low_rank and, as the "
                           "last step, quantize that is not dynamic; step %d is '%s'",
                           i + 1, tn_recipe_step_name(s->kind));
    }
    if (plan->snapshots) return tn_key_fail(plan->retrain_node, "beside 'snapshots' nothing is retrained");
    return TN_OK;
}

/* All steps but the last, if that one rounds, which is then to be trained through. */
static tn_status prepare(const tn_plan *plan, const tn_plan_data *data, const tn_fit *fit, bool rounds,
                         tn_graph **graph) {
    sets s;
    const tn_samples samples = open_sets(data, fit, &s);
    tn_graph *rounding = NULL;
    tn_recipe first = *plan->compress;
    first.step_count -= rounds;
    tn_status status = first.step_count ? shrink(&first, &samples, fit, graph) : TN_OK;
    if (status == TN_OK && rounds) {
        tn_quantize_options o = plan->compress->steps[first.step_count].quantize;
        o.struct_size = sizeof o;
        o.threads = fit->options->threads;
        o.cpu = fit->options->cpu;
        status = tn_quantize_aware(*graph, &samples, &o, &rounding);
        if (status == TN_OK) {
            tn_graph_destroy(*graph);
            *graph = rounding;
        }
    }
    tn_tensor_destroy(s.set);
    return status;
}

/* As the plan trains, but at another rate, which falls to 0. */
static tn_plan again(const tn_plan *plan) {
    tn_plan p = *plan;
    p.epochs = plan->retrain_epochs;
    p.optimizer.rate =
        plan->retrain_rate > 0 ? plan->retrain_rate : (plan->optimizer.rate > 0 ? plan->optimizer.rate : 0.001) / 10;
    p.schedule = (tn_schedule){.kind = TN_SCHEDULE_COSINE};
    p.average = (tn_average){.kind = TN_AVERAGE_NONE};
    p.period = p.total = p.warm_up = 0;
    p.seed++;
    p.events = NULL;
    return p;
}

static tn_status finish(const tn_plan_data *data, const tn_fit *fit, bool rounds, tn_graph **out) {
    tn_graph *trained;
    TN_TRY(tn_trainer_export(fit->trainer, &trained));
    tn_status status = TN_OK;
    if (rounds) {
        status = tn_quantize_trained(trained, out);
        tn_graph_destroy(trained);
    } else {
        *out = trained;
    }
    return status == TN_OK ? tn_plan_answer(data, fit->loss, *out) : status;
}

static tn_status retrain(const tn_plan *plan, const tn_plan_data *data, tn_fit *fit, tn_fit *next) {
    const tn_recipe *r = plan->compress;
    const bool rounds = r->steps[r->step_count - 1].kind == TN_STEP_QUANTIZE;
    tn_graph *graph;
    if (tn_fit_writes(fit)) TN_TRY(tn_fit_save(fit)); /* what was trained is not trained again if this is stopped */
    TN_TRY(tn_trainer_export(fit->trainer, &graph));
    tn_status status = prepare(plan, data, fit, rounds, &graph);
    if (status != TN_OK) {
        tn_graph_destroy(graph);
        return status;
    }
    TN_TRY(tn_fit_trainer(next, graph, true));
    if (fit->options->resume) TN_TRY(tn_fit_load(next));
    TN_TRY(tn_fit_run(next));
    fit->retraining = next->history[next->best];
    TN_TRY(finish(data, next, rounds, &fit->retrained));
    if (tn_fit_writes(fit)) unlink(next->checkpoint);
    return TN_OK;
}

tn_status tn_plan_retrain(const tn_plan *plan, const tn_plan_data *data, tn_fit *fit) {
    const tn_plan other = again(plan);
    tn_fit next = *fit;
    size_t bytes = (size_t)other.epochs * sizeof *next.history, path = strlen(plan->output) + 32;
    next.plan = &other;
    next.trainer = NULL;
    next.epochs = 0;
    next.best = -1;
    next.stop = next.resumed = false;
    next.history = tn_alloc_zero(NULL, bytes);
    next.checkpoint = tn_alloc(NULL, path);
    if (next.checkpoint) snprintf(next.checkpoint, path, "%s.retraining.checkpoint", plan->output);
    tn_status status = next.history && next.checkpoint ? retrain(plan, data, fit, &next) : TN_E_MEMORY;
    tn_trainer_destroy(next.trainer);
    tn_free(NULL, next.history, bytes);
    tn_free(NULL, next.checkpoint, path);
    return status == TN_OK ? TN_OK : tn_fail_context(status, "retraining");
}
