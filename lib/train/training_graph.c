/* From a graph that predicts to the graph that trains it. See train.h. */
#include "graph/op.h"
#include "train/gradient.h"
#include "train/train.h"

/* Which inputs of which operators hold what a layer learns. */
static const struct {
    const char *op;
    unsigned inputs; /* bits */
} learned[] = {
    {"Conv", 6},
    {"ConvTranspose", 6},
    {"Gemm", 7},
    {"MatMul", 3},
    {"Add", 3},
    {"Sub", 3},
    {"Mul", 3},
    {"Div", 3},
    {"Gather", 1},
    {"BatchNormalization", 6},
    {"LayerNormalization", 6},
    {"RMSNormalization", 2},
    {"GroupNormalization", 6},
    {"InstanceNormalization", 6},
    {"PRelu", 2},
    {"Einsum", 3},
    {"LSTM", 14},
    {"GRU", 14},
    {"RNN", 14},
};
/* What may stand between a weight and its layer. */
static const char *const passed_through[] = {"Identity", "Transpose", "Reshape",        "Unsqueeze",       "Squeeze",
                                             "Cast",     "Flatten",   "QuantizeLinear", "DequantizeLinear"};

/* The constant that the value is, or is a view of; -1 if there is none. */
static int source_of(const tn_graph *graph, int value) {
    while (value >= 0 && !graph->values[value].constant) {
        int producer = graph->values[value].producer;
        if (producer < 0) return -1;
        bool through = false;
        for (size_t i = 0; i < TN_COUNT(passed_through); i++)
            through |= strcmp(graph->nodes[producer].op->name, passed_through[i]) == 0;
        if (!through) return -1;
        value = graph->nodes[producer].in[0];
    }
    return value;
}

static bool is_learnable(const tn_graph *graph, int value, const char *freeze) {
    const tn_tensor *t = value >= 0 ? graph->values[value].constant : NULL;
    return t && t->rank >= 1 && (t->dtype == TN_FLOAT32 || t->dtype == TN_FLOAT64) &&
           !tn_listed(freeze, graph->values[value].name);
}

/* Numbers of the constants to be trained, each once, in the order in which they are read. */
static int find_learned(const tn_graph *graph, const char *freeze, int *found) {
    int count = 0;
    for (int n = 0; n < graph->node_count; n++) {
        const tn_node *node = &graph->nodes[n];
        unsigned inputs = 0;
        for (size_t i = 0; i < TN_COUNT(learned) && !*node->op->domain; i++)
            if (strcmp(node->op->name, learned[i].op) == 0) inputs = learned[i].inputs;
        for (int i = 0; i < node->in_count && i < 8; i++) {
            int value = inputs >> i & 1 ? source_of(graph, node->in[i]) : -1, k = 0;
            if (!is_learnable(graph, value, freeze)) continue;
            while (k < count && found[k] != value) k++;
            if (k == count) found[count++] = value;
        }
    }
    return count;
}

static tn_status add_state(const tn_graph *graph, tn_states *states, tn_state_kind kind, int value,
                           const tn_tensor *like, bool zero) {
    if (states->count == states->capacity) return tn_fail(TN_E_INTERNAL, "more states than were counted");
    tn_state *s = &states->all[states->count++];
    *s = (tn_state){.kind = kind, .value = value, .name = value < 0 ? "" : graph->values[value].name};
    TN_TRY(tn_tensor_create(like->dtype, like->rank, like->dims, graph->allocator, &s->now));
    TN_TRY(tn_tensor_create(like->dtype, like->rank, like->dims, graph->allocator, &s->next));
    if (!zero) memcpy(s->now->data, like->data, tn_dtype_bytes(like->dtype, tn_count(like)));
    return TN_OK;
}

/* Elements are dropped, and the mask is kept for the gradient. */
static tn_status train_dropout(tn_graph *graph, int n) {
    int in[3] = {-1, -1, -1}, *out = tn_region_array(graph->region, 2, sizeof *out);
    if (!out) return TN_E_MEMORY;
    TN_TRY(tn_graph_scalar(graph, TN_BOOL, 1, &in[2]));
    tn_node *node = &graph->nodes[n];
    for (int i = 0; i < TN_MIN(node->in_count, 2); i++) in[i] = node->in[i];
    TN_TRY(tn_node_set_inputs(graph, node, 3, in));
    out[0] = node->out[0];
    out[1] = node->out_count > 1 ? node->out[1] : -1;
    node->out = out;
    node->out_count = 2;
    if (out[1] >= 0) return TN_OK;
    tn_type type = graph->values[out[0]].type;
    type.dtype = TN_BOOL;
    out[1] = tn_graph_add_value(graph, "", &type);
    if (out[1] < 0) return TN_E_MEMORY;
    graph->values[out[1]].producer = n;
    return TN_OK;
}

/* The batch's own statistics, which move the running ones: two states, whose new values come from the node. */
static tn_status train_batch_norm(tn_graph *graph, int n, tn_states *states, int *new_values) {
    int *out = tn_region_array(graph->region, 3, sizeof *out);
    if (!out) return TN_E_MEMORY;
    out[0] = graph->nodes[n].out[0];
    for (int i = 1; i < 3; i++) {
        int value = graph->nodes[n].in[2 + i];
        const tn_tensor *constant = graph->values[value].constant;
        if (!constant) return tn_fail(TN_E_UNSUPPORTED, "input %d, a running statistic, is no constant", 2 + i);
        const tn_type type = graph->values[value].type;
        out[i] = tn_graph_add_value(graph, "", &type);
        if (out[i] < 0) return TN_E_MEMORY;
        graph->values[out[i]].producer = n;
        new_values[states->count] = out[i];
        TN_TRY(add_state(graph, states, TN_STATE_STATISTIC, value, constant, false));
    }
    graph->nodes[n].out = out;
    graph->nodes[n].out_count = 3;
    return tn_node_set_int(graph, &graph->nodes[n], "training_mode", 1);
}

static tn_status set_training_mode(tn_graph *graph, tn_states *states, int *new_values) {
    for (int n = 0; n < graph->node_count; n++) {
        const tn_node node = graph->nodes[n];
        tn_status status = TN_OK;
        if (strcmp(node.op->name, "Dropout") == 0) status = train_dropout(graph, n);
        if (strcmp(node.op->name, "BatchNormalization") == 0) status = train_batch_norm(graph, n, states, new_values);
        if (status != TN_OK) return tn_node_context(status, &node);
    }
    return TN_OK;
}

/* A constant becomes an input. */
static tn_status make_input(tn_graph *graph, int value) {
    graph->values[value].constant = NULL;
    return tn_graph_add_input(graph, value);
}

typedef struct {
    tn_graph *graph;
    tn_states *states;
    const tn_trainer_options *options;
    int *learned, *grads, *new_values; /* new_values: of each state; -1: it has none here */
    int learned_count, rate, count, weight, loss;
} training;

static tn_status add_parameters(training *t) {
    tn_graph *graph = t->graph;
    int kept = 0;
    t->states->statistics = t->states->count;
    for (int i = 0; i < t->learned_count; i++) {
        if (t->grads[i] < 0) continue;
        t->grads[kept] = t->grads[i];
        t->learned[kept++] = t->learned[i];
        TN_TRY(add_state(graph, t->states, TN_STATE_PARAMETER, t->learned[i], graph->values[t->learned[i]].constant,
                         false));
    }
    t->learned_count = t->states->parameters = kept;
    t->states->predicting = t->states->count;
    return kept ? TN_OK
                : tn_fail(TN_E_INVALID, "there is nothing to train: no constant that a layer learns has a gradient, "
                                        "or all of them are frozen");
}

static const tn_tensor *parameter(const tn_states *states, int p) {
    return states->all[states->statistics + p].now;
}

static tn_status add_zeros(training *t, tn_state_kind kind, int each) {
    for (int p = 0; p < t->learned_count; p++)
        for (int k = 0; k < each; k++) TN_TRY(add_state(t->graph, t->states, kind, -1, parameter(t->states, p), true));
    return TN_OK;
}

static tn_status input_like(tn_graph *graph, const char *name, const tn_tensor *like, int *out) {
    return tn_graph_input(graph, name, like->dtype, like->rank, like->dims, out);
}

/* The nodes of all parameters. Inputs are the states in their order, so those before the optimizer's are there already.
 * outs: the new parameters, then the new states. */
static tn_status add_optimizer(tn_graph *graph, const tn_optimizer_options *o, const tn_states *s, const int in[3],
                               const int *parameters, const int *gradients, int *outs) {
    int each = tn_optimizer_states(o), states[2], new_values[3];
    for (int p = 0; p < s->parameters; p++) {
        for (int k = 0; k < each; k++) TN_TRY(input_like(graph, "state", parameter(s, p), &states[k]));
        TN_TRY(tn_optimizer_node(graph, o, in[0], in[1], in[2], parameters[p], gradients[p], states, new_values));
        outs[p] = new_values[0];
        for (int k = 0; k < each; k++) outs[s->parameters + p * each + k] = new_values[1 + k];
    }
    return TN_OK;
}

/* Each batch makes a step. */
static tn_status step_at_once(training *t) {
    const tn_optimizer_options *o = &t->options->optimizer;
    int in[3] = {t->rate, t->count, -1};
    TN_TRY(tn_optimizer_clip(t->graph, o, -1, t->learned_count, t->grads, &in[2]));
    return add_optimizer(t->graph, o, t->states, in, t->learned, t->grads, t->new_values + t->states->statistics);
}

/* The nodes from `first` on stand behind the producers of their second inputs: what a group sums is there early, and
 * gradients do not wait in memory. */
static tn_status move_to_producers(tn_graph *graph, int first) {
    const int count = graph->node_count;
    int at = 0;
    tn_node *order = tn_region_array(graph->region, (size_t)count + 1, sizeof *order);
    if (!order) return TN_E_MEMORY;
    for (int n = -1; n < first; n++) { /* -1: of what no node computes */
        if (n >= 0) order[at++] = graph->nodes[n];
        for (int k = first; k < count; k++)
            if (graph->values[graph->nodes[k].in[1]].producer == n) order[at++] = graph->nodes[k];
    }
    memcpy(graph->nodes, order, (size_t)at * sizeof *order);
    tn_graph_compact(graph); /* sets producers anew */
    return TN_OK;
}

/* A batch's gradients go to the others. */
static tn_status gather(training *t) {
    const tn_states *s = t->states;
    const int before = t->graph->node_count;
    for (int p = 0; p < t->learned_count; p++) {
        int in[2] = {-1, t->grads[p]};
        t->new_values[s->statistics + p] = -1;
        TN_TRY(input_like(t->graph, "gathered", parameter(s, p), &in[0]));
        TN_TRY(tn_graph_node(t->graph, "Add", "gather", 2, in, 1, &t->new_values[s->predicting + p], NULL));
    }
    for (int i = s->predicting + s->gradients; i < s->count; i++) t->new_values[i] = -1;
    return move_to_producers(t->graph, before);
}

/* What the gradients are of: the loss, with the batch's weight where it is one of several. */
static tn_status weigh(training *t, int *out_loss) {
    const tn_attribute type[] = {{.name = "to", .kind = TN_ATTR_INT, .i = t->graph->values[t->loss].type.dtype}, {0}};
    int weight;
    *out_loss = t->loss;
    if (t->weight < 0) return TN_OK;
    TN_TRY(tn_graph_node(t->graph, "Cast", "weight", 1, &t->weight, 1, &weight, type));
    return tn_graph_node(t->graph, "Mul", "weight", 2, (int[]){t->loss, weight}, 1, out_loss, NULL);
}

/* What is 0 in a matrix or a filter gets no gradient, so that no optimizer moves it: its states stay 0 as well. */
static tn_status hold_zeros(training *t) {
    const tn_attribute to[] = {{.name = "to", .kind = TN_ATTR_INT, .i = TN_BOOL}, {0}};
    for (int i = 0; i < t->learned_count; i++) {
        const tn_type *type = &t->graph->values[t->learned[i]].type;
        int kept, zero;
        if (t->grads[i] < 0 || type->rank < 2) continue;
        TN_TRY(tn_graph_scalar(t->graph, type->dtype, 0, &zero));
        TN_TRY(tn_graph_node(t->graph, "Cast", "kept", 1, &t->learned[i], 1, &kept, to));
        TN_TRY(tn_graph_node(t->graph, "Where", "kept", 3, (int[]){kept, t->grads[i], zero}, 1, &t->grads[i], NULL));
    }
    return TN_OK;
}

static tn_status build(training *t) {
    tn_graph *graph = t->graph;
    const int each = tn_optimizer_states(&t->options->optimizer);
    const bool gathers = tn_trainer_gathers(t->options);
    int target, loss, norms = 0;
    if (t->options->loss == TN_LOSS_ELBO) TN_TRY(tn_elbo_noise(graph));
    for (int n = 0; n < graph->node_count; n++) norms += strcmp(graph->nodes[n].op->name, "BatchNormalization") == 0;
    t->learned = tn_region_array(graph->region, (size_t)graph->value_count + 1, sizeof *t->learned);
    t->grads = tn_region_array(graph->region, (size_t)graph->value_count + 1, sizeof *t->grads);
    if (!t->learned || !t->grads) return TN_E_MEMORY;
    t->learned_count = find_learned(graph, t->options->freeze, t->learned);
    t->states->capacity = t->learned_count * (1 + gathers + each) + 2 * norms;
    t->states->all = tn_alloc_zero(graph->allocator, ((size_t)t->states->capacity + 1) * sizeof *t->states->all);
    t->new_values = tn_region_array(graph->region, (size_t)t->states->capacity + 1, sizeof *t->new_values);
    if (!t->states->all || !t->new_values) return TN_E_MEMORY;
    TN_TRY(tn_loss_target(graph, t->options->loss, graph->outputs[0], &target));
    if (gathers) {
        TN_TRY(tn_graph_input(graph, "weight", TN_FLOAT64, 0, NULL, &t->weight));
    } else {
        TN_TRY(tn_graph_input(graph, "rate", TN_FLOAT64, 0, NULL, &t->rate));
        TN_TRY(tn_graph_input(graph, "count", TN_INT64, 0, NULL, &t->count));
    }
    TN_TRY(set_training_mode(graph, t->states, t->new_values));
    TN_TRY(tn_loss_nodes(graph, t->options, graph->outputs, target, &t->loss));
    TN_TRY(weigh(t, &loss));
    const int forward = graph->node_count;
    TN_TRY(tn_graph_gradient(graph, loss, t->learned_count, t->learned, t->grads));
    TN_TRY(tn_graph_recompute(graph, forward, t->options->recompute));
    if (t->options->products == TN_BFLOAT16) TN_TRY(tn_graph_mix(graph, forward));
    if (t->options->keep_zeros) TN_TRY(hold_zeros(t));
    TN_TRY(add_parameters(t));
    if (gathers) TN_TRY(add_zeros(t, TN_STATE_GRADIENT, 1));
    t->states->gradients = gathers ? t->learned_count : 0;
    TN_TRY(add_zeros(t, TN_STATE_OPTIMIZER, each));
    for (int s = 0; s < t->states->predicting; s++) TN_TRY(make_input(graph, t->states->all[s].value));
    TN_TRY(gathers ? gather(t) : step_at_once(t));
    graph->output_count = 0;
    TN_TRY(tn_graph_output(graph, t->loss, "loss"));
    for (int s = 0; s < t->states->count; s++)
        if (t->new_values[s] >= 0) TN_TRY(tn_graph_add_output(graph, t->new_values[s]));
    return TN_OK;
}

tn_status tn_training_graph(const tn_graph *graph, const tn_trainer_options *options, tn_states *states,
                            tn_graph **out_graph) {
    training t = {.states = states, .options = options, .weight = -1};
    *out_graph = NULL;
    if (graph->output_count < 1) return tn_fail(TN_E_INVALID, "the graph has no output to train");
    TN_TRY(tn_graph_copy(graph, true, &t.graph));
    tn_status status = build(&t);
    if (status == TN_OK)
        *out_graph = t.graph;
    else
        tn_graph_destroy(t.graph);
    return status;
}

static tn_status build_step(const tn_trainer_options *options, const tn_states *states, tn_graph *graph) {
    const tn_optimizer_options *o = &options->optimizer;
    const int parameters = states->parameters, steps = parameters * (1 + tn_optimizer_states(o));
    int *own = tn_region_array(graph->region, (size_t)parameters + 1, sizeof *own),
        *gradients = tn_region_array(graph->region, (size_t)parameters + 1, sizeof *gradients),
        *outs = tn_region_array(graph->region, (size_t)steps + 1, sizeof *outs), in[3], scale;
    if (!own || !gradients || !outs) return TN_E_MEMORY;
    TN_TRY(tn_graph_input(graph, "rate", TN_FLOAT64, 0, NULL, &in[0]));
    TN_TRY(tn_graph_input(graph, "count", TN_INT64, 0, NULL, &in[1]));
    TN_TRY(tn_graph_input(graph, "scale", TN_FLOAT64, 0, NULL, &scale));
    for (int p = 0; p < parameters; p++) TN_TRY(input_like(graph, "parameter", parameter(states, p), &own[p]));
    for (int p = 0; p < parameters; p++) TN_TRY(input_like(graph, "gathered", parameter(states, p), &gradients[p]));
    TN_TRY(tn_optimizer_clip(graph, o, scale, parameters, gradients, &in[2]));
    TN_TRY(add_optimizer(graph, o, states, in, own, gradients, outs));
    for (int i = 0; i < steps; i++) TN_TRY(tn_graph_output(graph, outs[i], NULL));
    return TN_OK;
}

tn_status tn_step_graph(const tn_trainer_options *options, const tn_states *states, const tn_allocator *allocator,
                        tn_graph **out_graph) {
    TN_TRY(tn_graph_create(allocator, out_graph));
    tn_status status = build_step(options, states, *out_graph);
    if (status == TN_OK) return TN_OK;
    tn_graph_destroy(*out_graph);
    *out_graph = NULL;
    return status;
}

tn_status tn_predicting_graph(const tn_graph *graph, const tn_trainer_options *options, const tn_states *states,
                              tn_graph **out_graph) {
    TN_TRY(tn_graph_copy(graph, true, out_graph));
    tn_status status = TN_OK;
    (*out_graph)->output_count = tn_loss_outputs(options->loss);
    for (int s = 0; s < states->predicting && status == TN_OK; s++)
        status = make_input(*out_graph, states->all[s].value);
    if (status == TN_OK) return TN_OK;
    tn_graph_destroy(*out_graph);
    *out_graph = NULL;
    return status;
}
