/* Trainers: their life, and what is asked of them; their steps are in step.c. See tenon/train.h. */
#include <math.h>
#include "exec/model.h"
#include "graph/infer.h"
#include "train/train.h"

static tn_status open_session(tn_trainer *t, tn_graph *graph, tn_model **model, tn_session **session) {
    tn_model_options of_model = {.struct_size = sizeof of_model, .allocator = t->allocator, .cpu = t->options.cpu};
    if (model == &t->train_model && t->options.products == TN_BFLOAT16) of_model.precision = TN_PRECISION_FAST;
    tn_session_options of_session = {
        .struct_size = sizeof of_session, .allocator = t->allocator, .threads = t->options.threads};
    TN_TRY(tn_model_from_graph(graph, &of_model, model));
    return tn_session_create(*model, &of_session, session);
}

/* What makes a step of several batches' gradients. */
static tn_status build_step(tn_trainer *t) {
    tn_graph *graph;
    TN_TRY(tn_step_graph(&t->options, &t->states, t->allocator, &graph));
    TN_TRY(open_session(t, graph, &t->step_model, &t->step));
    TN_TRY(tn_tensor_create(TN_FLOAT64, 0, NULL, t->allocator, &t->weight));
    TN_TRY(tn_tensor_create(TN_FLOAT64, 0, NULL, t->allocator, &t->scale));
    TN_TRY(tn_session_set_input(t->train, t->inputs + TN_GATHER_WEIGHT, t->weight));
    TN_TRY(tn_session_set_input(t->step, TN_STEP_RATE, t->rate));
    TN_TRY(tn_session_set_input(t->step, TN_STEP_COUNT, t->count));
    return tn_session_set_input(t->step, TN_STEP_SCALE, t->scale);
}

static tn_status check_products(const tn_trainer *t) {
    const tn_dtype products = t->options.products;
    if (products == TN_UNDEFINED || products == TN_FLOAT32) return TN_OK;
    if (products != TN_BFLOAT16)
        return tn_fail(TN_E_INVALID, "products is %s; expected float32 or bfloat16", tn_dtype_name(products));
    const tn_graph *g = t->graph;
    if (g->output_count < 1 || g->values[g->outputs[0]].type.dtype == TN_FLOAT32) return TN_OK;
    return tn_fail(TN_E_TYPE, "products of bfloat16 are for graphs of float32; output 0 '%s' is %s",
                   g->values[g->outputs[0]].name, tn_dtype_name(g->values[g->outputs[0]].type.dtype));
}

static tn_status build(tn_trainer *t) {
    tn_graph *graph;
    TN_TRY(tn_optimizer_defaults(&t->options.optimizer, &t->options.optimizer));
    TN_TRY(tn_loss_check(&t->options));
    TN_TRY(tn_average_check(&t->options.average));
    if (t->options.recompute < 0)
        return tn_fail(TN_E_INVALID, "recompute is %lld; expected a number of segments",
                       (long long)t->options.recompute);
    if (t->options.accumulate < 0)
        return tn_fail(TN_E_INVALID, "accumulate is %lld; expected a number of batches",
                       (long long)t->options.accumulate);
    TN_TRY(tn_graph_sort(t->graph));
    TN_TRY(tn_graph_infer(t->graph));
    TN_TRY(check_products(t));
    TN_TRY(tn_training_graph(t->graph, &t->options, &t->states, &graph));
    TN_TRY(open_session(t, graph, &t->train_model, &t->train));
    TN_TRY(tn_predicting_graph(t->graph, &t->options, &t->states, &graph));
    TN_TRY(open_session(t, graph, &t->predict_model, &t->predict));
    TN_TRY(tn_loss_graph(t->graph, &t->options, &graph));
    TN_TRY(open_session(t, graph, &t->loss_model, &t->loss));
    TN_TRY(tn_tensor_create(TN_FLOAT64, 0, NULL, t->allocator, &t->rate));
    TN_TRY(tn_tensor_create(TN_INT64, 0, NULL, t->allocator, &t->count));
    if (tn_trainer_gathers(&t->options)) return build_step(t);
    TN_TRY(tn_session_set_input(t->train, t->inputs + TN_TRAIN_RATE, t->rate));
    return tn_session_set_input(t->train, t->inputs + TN_TRAIN_COUNT, t->count);
}

tn_status tn_trainer_create(tn_graph *graph, const tn_trainer_options *options, tn_trainer **out_trainer) {
    tn_trainer_options full = {.struct_size = sizeof full};
    if (options) memcpy(&full, options, TN_MIN(options->struct_size, sizeof full));
    *out_trainer = NULL;
    tn_trainer *t = tn_alloc_zero(full.allocator, sizeof *t);
    if (!t) {
        tn_graph_destroy(graph);
        return TN_E_MEMORY;
    }
    t->options = full;
    t->allocator = full.allocator;
    t->graph = graph;
    t->inputs = graph->input_count;
    t->best = t->plateau_best = INFINITY;
    tn_status status = build(t);
    if (status == TN_OK) tn_trainer_fingerprint(t);
    t->options.freeze = t->options.cpu = NULL; /* the caller's memory */
    t->options.loss_options.class_weights = NULL;
    if (status == TN_OK)
        *out_trainer = t;
    else
        tn_trainer_destroy(t);
    return status;
}

void tn_trainer_destroy(tn_trainer *t) {
    if (!t) return;
    tn_session_destroy(t->train);
    tn_session_destroy(t->predict);
    tn_session_destroy(t->loss);
    tn_session_destroy(t->step);
    tn_model_destroy(t->train_model);
    tn_model_destroy(t->predict_model);
    tn_model_destroy(t->loss_model);
    tn_model_destroy(t->step_model);
    for (int s = 0; s < t->states.count; s++) {
        tn_tensor_destroy(t->states.all[s].now);
        tn_tensor_destroy(t->states.all[s].next);
        tn_tensor_destroy(t->states.all[s].best);
        tn_tensor_destroy(t->states.all[s].average);
    }
    tn_free(t->graph->allocator, t->states.all, ((size_t)t->states.capacity + 1) * sizeof *t->states.all);
    tn_tensor_destroy(t->rate);
    tn_tensor_destroy(t->count);
    tn_tensor_destroy(t->weight);
    tn_tensor_destroy(t->scale);
    tn_graph_destroy(t->graph);
    tn_free(t->allocator, t, sizeof *t);
}

static tn_status set_inputs(tn_trainer *t, tn_session *session, const tn_tensor *const *inputs) {
    for (int i = 0; i < t->inputs; i++) TN_TRY(tn_session_set_input(session, i, inputs[i]));
    return TN_OK;
}

tn_status tn_trainer_predict(tn_trainer *t, const tn_tensor *const *inputs, const tn_tensor **out_tensor) {
    *out_tensor = NULL;
    TN_TRY(set_inputs(t, t->predict, inputs));
    for (int s = 0; s < t->states.predicting; s++)
        TN_TRY(tn_session_set_input(t->predict, t->inputs + s, tn_state_weights(t, &t->states.all[s])));
    TN_TRY(tn_session_run(t->predict));
    return tn_session_output(t->predict, 0, out_tensor);
}

tn_status tn_trainer_evaluate(tn_trainer *t, const tn_tensor *const *inputs, const tn_tensor *target,
                              double *out_loss) {
    const tn_tensor *prediction;
    *out_loss = NAN;
    TN_TRY(tn_trainer_predict(t, inputs, &prediction));
    TN_TRY(tn_session_set_input(t->loss, 0, prediction));
    TN_TRY(tn_session_set_input(t->loss, 1, target));
    for (int i = 1; i < tn_loss_outputs(t->options.loss); i++) {
        TN_TRY(tn_session_output(t->predict, i, &prediction));
        TN_TRY(tn_session_set_input(t->loss, 1 + i, prediction));
    }
    TN_TRY(tn_session_run(t->loss));
    return tn_trainer_read_loss(t, t->loss, out_loss);
}

static tn_status remember(tn_trainer *t) {
    for (int s = 0; s < t->states.predicting; s++) {
        tn_state *state = &t->states.all[s];
        if (!state->best) TN_TRY(tn_tensor_clone(state->now, t->allocator, &state->best));
        TN_TRY(tn_tensor_copy(state->best, tn_state_weights(t, state)));
    }
    return TN_OK;
}

tn_status tn_trainer_report(tn_trainer *t, double loss, bool *out_stop) {
    const tn_schedule *schedule = &t->options.schedule;
    if (out_stop) *out_stop = false;
    if (!isfinite(loss)) return tn_fail(TN_E_INVALID, "a loss of %g was reported; expected a finite number", loss);
    t->reports_since_best++;
    if (!t->has_best || loss < t->best) {
        TN_TRY(remember(t));
        t->best = loss;
        t->has_best = true;
        t->reports_since_best = 0;
    }
    /* ReduceLROnPlateau's rule: better means by a ten-thousandth. */
    t->reports_since_drop++;
    if (loss < t->plateau_best * (1 - 1e-4) || isinf(t->plateau_best)) {
        t->plateau_best = loss;
        t->reports_since_drop = 0;
    }
    if (t->reports_since_drop > (schedule->patience ? schedule->patience : 10)) {
        t->drops++;
        t->reports_since_drop = 0;
    }
    if (out_stop) *out_stop = t->options.patience > 0 && t->reports_since_best >= t->options.patience;
    return TN_OK;
}

tn_status tn_trainer_restore_best(tn_trainer *t) {
    if (!t->has_best) return tn_fail(TN_E_STATE, "no loss was reported yet; see tn_trainer_report");
    for (int s = 0; s < t->states.predicting; s++) {
        TN_TRY(tn_tensor_copy(t->states.all[s].now, t->states.all[s].best));
        if (t->averages) TN_TRY(tn_tensor_copy(t->states.all[s].average, t->states.all[s].best));
    }
    return TN_OK;
}

int64_t tn_trainer_steps(const tn_trainer *t) {
    return t->steps;
}
int64_t tn_trainer_batches(const tn_trainer *t) {
    return t->batches;
}
double tn_trainer_rate(const tn_trainer *t) {
    return t->options.optimizer.rate * tn_schedule_factor(&t->options.schedule, t->steps, t->drops);
}
int tn_trainer_parameter_count(const tn_trainer *t) {
    return t->states.parameters;
}

tn_status tn_trainer_parameter(const tn_trainer *t, int index, const char **out_name, const tn_tensor **out_tensor) {
    if (index < 0 || index >= t->states.parameters)
        return tn_fail(TN_E_NOT_FOUND, "parameter %d does not exist; there are %d", index, t->states.parameters);
    const tn_state *state = &t->states.all[t->states.statistics + index];
    if (out_name) *out_name = state->name;
    if (out_tensor) *out_tensor = state->now;
    return TN_OK;
}

tn_status tn_trainer_export(const tn_trainer *t, tn_graph **out_graph) {
    TN_TRY(tn_graph_copy(t->graph, false, out_graph));
    for (int s = 0; s < t->states.predicting; s++) {
        const tn_state *state = &t->states.all[s];
        const tn_tensor *to = (*out_graph)->values[state->value].constant;
        memcpy(to->data, tn_state_weights(t, state)->data, tn_dtype_bytes(to->dtype, tn_count(to)));
    }
    return TN_OK;
}
