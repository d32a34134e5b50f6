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
static const char *const passed_through[] = {"Identity", "Transpose", "Reshape", "Unsqueeze",
                                             "Squeeze",  "Cast",      "Flatten"};

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
    int *learned, *grads, *new_values; /* new_values: of each state */
    int learned_count, rate, count, loss, factor;
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

/* Inputs are the states in their order, so all are made inputs before the optimizer's nodes read them. */
static tn_status add_optimizer(training *t) {
    tn_graph *graph = t->graph;
    const tn_optimizer_options *o = &t->options->optimizer;
    int each = tn_optimizer_states(o), states[2], outs[3];
    for (int s = 0; s < t->states->predicting; s++) TN_TRY(make_input(graph, t->states->all[s].value));
    for (int p = 0; p < t->learned_count; p++) {
        int own = t->states->statistics + p;
        const tn_tensor *like = t->states->all[own].now;
        int first = t->states->count;
        for (int k = 0; k < each; k++) {
            TN_TRY(tn_graph_input(graph, "state", like->dtype, like->rank, like->dims, &states[k]));
            TN_TRY(add_state(graph, t->states, TN_STATE_OPTIMIZER, -1, like, true));
        }
        TN_TRY(tn_optimizer_node(graph, o, t->rate, t->count, t->factor, t->learned[p], t->grads[p], states, outs));
        t->new_values[own] = outs[0];
        for (int k = 0; k < each; k++) t->new_values[first + k] = outs[1 + k];
    }
    return TN_OK;
}

static tn_status build(training *t) {
    tn_graph *graph = t->graph;
    const tn_optimizer_options *o = &t->options->optimizer;
    int prediction = graph->outputs[0], target, norms = 0;
    for (int n = 0; n < graph->node_count; n++) norms += strcmp(graph->nodes[n].op->name, "BatchNormalization") == 0;
    t->learned = tn_region_array(graph->region, (size_t)graph->value_count + 1, sizeof *t->learned);
    t->grads = tn_region_array(graph->region, (size_t)graph->value_count + 1, sizeof *t->grads);
    if (!t->learned || !t->grads) return TN_E_MEMORY;
    t->learned_count = find_learned(graph, t->options->freeze, t->learned);
    t->states->capacity = t->learned_count * (1 + tn_optimizer_states(o)) + 2 * norms;
    t->states->all = tn_alloc_zero(graph->allocator, ((size_t)t->states->capacity + 1) * sizeof *t->states->all);
    t->new_values = tn_region_array(graph->region, (size_t)t->states->capacity + 1, sizeof *t->new_values);
    if (!t->states->all || !t->new_values) return TN_E_MEMORY;
    TN_TRY(tn_loss_target(graph, t->options->loss, prediction, &target));
    TN_TRY(tn_graph_input(graph, "rate", TN_FLOAT64, 0, NULL, &t->rate));
    TN_TRY(tn_graph_input(graph, "count", TN_INT64, 0, NULL, &t->count));
    TN_TRY(set_training_mode(graph, t->states, t->new_values));
    TN_TRY(tn_loss_nodes(graph, t->options, prediction, target, &t->loss));
    TN_TRY(tn_graph_gradient(graph, t->loss, t->learned_count, t->learned, t->grads));
    TN_TRY(add_parameters(t));
    TN_TRY(tn_optimizer_clip(graph, o, t->learned_count, t->grads, &t->factor));
    TN_TRY(add_optimizer(t));
    graph->output_count = 0;
    TN_TRY(tn_graph_output(graph, t->loss, "loss"));
    for (int s = 0; s < t->states->count; s++) TN_TRY(tn_graph_add_output(graph, t->new_values[s]));
    return TN_OK;
}

tn_status tn_training_graph(const tn_graph *graph, const tn_trainer_options *options, tn_states *states,
                            tn_graph **out_graph) {
    training t = {.states = states, .options = options};
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

tn_status tn_predicting_graph(const tn_graph *graph, const tn_states *states, tn_graph **out_graph) {
    TN_TRY(tn_graph_copy(graph, true, out_graph));
    tn_status status = TN_OK;
    (*out_graph)->output_count = 1;
    for (int s = 0; s < states->predicting && status == TN_OK; s++)
        status = make_input(*out_graph, states->all[s].value);
    if (status == TN_OK) return TN_OK;
    tn_graph_destroy(*out_graph);
    *out_graph = NULL;
    return status;
}
