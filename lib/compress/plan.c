/* Which nodes compute on 8 bits. The forms are those that lib/passes/qdq.c, and ONNX Runtime, make integers of: all inputs
 * of the node are dequantized values and its output is quantized, with no more than a Relu or Clip before that. Outputs of
 * MatMul and Gemm need not be: they stay float where nobody takes 8 bits of them, which rounds once less. So does what joins
 * values only for the graph's outputs.
 *
 * Products of constant weights are where the work is: they become integers, and with them their inputs and outputs 8-bit
 * values. What joins such values (Add, Concat, pools) follows if all its inputs are 8 bits already, since staying so costs
 * less than leaving it. What only moves elements, and functions of one 8-bit value, are left as they are between
 * dequantized and quantized values; a moved value keeps its scale, so that moving is all there is to do. Products of two
 * activations, as attention has them, stay float. */
#include "compress/quantize.h"
#include "passes/match.h"

enum { DEEPEST = 8 };

static const char *const movers[] = {
    "Reshape",      "Transpose",    "Flatten",  "Squeeze", "Unsqueeze", "Slice",  "MaxPool",
    "DepthToSpace", "SpaceToDepth", "Identity", "Expand",  "Tile",      "Gather", NULL};
static const char *const joiners[] = {"Add", "Mul", "GlobalAveragePool", "AveragePool", "Concat", NULL};
static const char *const functions[] = {
    "Relu", "Clip", "Sigmoid",  "HardSigmoid", "HardSwish", "LeakyRelu",  "Tanh", "Elu",
    "Selu", "Celu", "Softplus", "Softsign",    "Gelu",      "Swish",      "Mish", "Exp",
    "Erf",  "Abs",  "Neg",      "Add",         "Sub",       "Mul",        "Div",  "Pow",
    "Min",  "Max",  "Identity", "Sqrt",        "Log",       "Reciprocal", NULL};

static bool among(const char *const *names, const tn_node *node) {
    if (strcmp(node->op->domain, "") != 0 || node->out_count < 1) return false;
    for (int i = 1; i < node->out_count; i++)
        if (node->out[i] >= 0) return false;
    for (int i = 0; names[i]; i++)
        if (strcmp(node->op->name, names[i]) == 0) return true;
    return false;
}

static bool moves(const tn_node *node) {
    return among(movers, node) ||
           (tn_match_is(node, "", "Resize") && strcmp(tn_attr_text(node, "mode", "nearest"), "nearest") == 0);
}

static const tn_node *producer_of(const tn_graph *graph, int value) {
    int p = value >= 0 ? graph->values[value].producer : -1;
    return p >= 0 ? &graph->nodes[p] : NULL;
}

static bool is_float(const tn_graph *graph, int value) {
    const tn_type *type = tn_match_type(graph, value);
    return type->kind == TN_KIND_TENSOR && !type->optional && type->dtype == TN_FLOAT32;
}

/* Not a value that is quantized already. */
static bool is_activation(const tn_graph *graph, int value) {
    const tn_node *from = producer_of(graph, value);
    return value >= 0 && is_float(graph, value) && !graph->values[value].constant &&
           !(from && strcmp(from->op->name, "DequantizeLinear") == 0);
}

bool tn_qplan_is_layer(const tn_graph *graph, const tn_node *node, int *out_axis) {
    *out_axis = -1;
    bool conv = tn_match_is(node, "", "Conv"), gemm = tn_match_is(node, "", "Gemm");
    if (!conv && !gemm && !tn_match_is(node, "", "MatMul")) return false;
    if (!is_activation(graph, node->in[0])) return false;
    const tn_tensor *w = tn_match_floats(graph, node->in[1]);
    int bias = node->formal_in > 2 ? node->in[2] : -1;
    if (!w || tn_count(w) == 0 || (conv ? w->rank < 3 : w->rank != 2)) return false;
    if (gemm && (tn_attr_float(node, "alpha", 1) != 1 || tn_attr_float(node, "beta", 1) != 1)) return false;
    if (!conv && !gemm && tn_match_type(graph, node->in[0])->rank < 2) return false;
    if (gemm && tn_attr_int(node, "transA", 0)) return false;
    *out_axis = conv ? 0 : gemm && tn_attr_int(node, "transB", 0) ? 0 : 1;
    if (bias < 0) return true;
    const tn_tensor *b = tn_match_floats(graph, bias);
    return b && b->rank == 1 && b->dims[0] == w->dims[*out_axis];
}

typedef struct planner {
    tn_qplan *plan;
    const int *uses;
    const bool *skip;
} planner;

static bool is_fused(const tn_graph *graph, const tn_node *node) {
    float x;
    if (tn_match_is(node, "", "Relu")) return true;
    if (!tn_match_is(node, "", "Clip")) return false;
    for (int i = 1; i < node->formal_in; i++)
        if (node->in[i] >= 0 && !tn_match_scalar(graph, node->in[i], &x)) return false;
    return true;
}

/* The only node that reads the value, which is no graph output; -1 if there is none. */
static int only_reader(const planner *p, int value) {
    const tn_graph *graph = p->plan->graph;
    if (p->uses[value] != 1) return -1;
    for (int n = TN_MAX(graph->values[value].producer, 0); n < graph->node_count; n++)
        for (int i = 0; i < graph->nodes[n].formal_in; i++)
            if (graph->nodes[n].in[i] == value) return i == 0 ? n : -1;
    return -1;
}

/* Node n gives 8 bits: it, and the activation behind it. */
static void give(planner *p, int n, tn_qrole role) {
    tn_qplan *plan = p->plan;
    int end = plan->graph->nodes[n].out[0], next = only_reader(p, end);
    plan->role[n] = role;
    if (next >= 0 && is_fused(plan->graph, &plan->graph->nodes[next])) {
        plan->role[next] = TN_Q_FOLLOW;
        end = plan->graph->nodes[next].out[0];
    }
    plan->end[n] = end;
    plan->byte[end] = plan->made[end] = true;
}

/* Whether the value hangs on one 8-bit value and on single constants alone: *source. */
static bool traces_back(const tn_qplan *plan, int value, int depth, int *source) {
    const tn_graph *graph = plan->graph;
    float number;
    if (value < 0 || depth > DEEPEST) return false;
    if (graph->values[value].constant) return tn_match_scalar(graph, value, &number);
    if (plan->made[value]) {
        if (*source >= 0 && *source != value) return false;
        *source = value;
        return true;
    }
    const tn_node *node = producer_of(graph, value);
    if (!node || !among(functions, node) || !is_float(graph, value)) return false;
    for (int i = 0; i < node->formal_in; i++)
        if (node->in[i] >= 0 && !traces_back(plan, node->in[i], depth + 1, source)) return false;
    return true;
}

/* The value is 8 bits, or can be at the cost of a table: it comes out of integers. */
static bool comes_of_bytes(const tn_qplan *plan, int value) {
    int source = -1;
    if (plan->made[value]) return true;
    return traces_back(plan, value, 0, &source) && source >= 0;
}

static bool can_join(const tn_qplan *plan, const tn_node *node) {
    const tn_graph *graph = plan->graph;
    bool pool = strstr(node->op->name, "Pool") != NULL;
    if (!is_float(graph, node->out[0]) || node->formal_in < (pool ? 1 : 2) || node->formal_in > 20) return false;
    if (tn_match_type(graph, node->out[0])->rank < 1 || tn_attr_int(node, "ceil_mode", 0)) return false;
    for (int i = 0; i < node->formal_in; i++)
        if (!is_activation(graph, node->in[i]) || !comes_of_bytes(plan, node->in[i])) return false;
    if (!pool && strcmp(node->op->name, "Concat") != 0 && node->in[0] == node->in[1]) return false; /* a function */
    return true;
}

static void visit(planner *p, int n) {
    tn_qplan *plan = p->plan;
    const tn_graph *graph = plan->graph;
    const tn_node *node = &graph->nodes[n];
    int axis, source = -1;
    if (plan->role[n] != TN_Q_FLOAT) return;
    bool skip = p->skip && p->skip[n];
    if (!skip && tn_qplan_is_layer(graph, node, &axis)) {
        plan->byte[node->in[0]] = true;
        give(p, n, TN_Q_LAYER);
        return;
    }
    if (moves(node) && node->in[0] >= 0 && plan->made[node->in[0]] && is_float(graph, node->out[0])) {
        plan->role[n] = TN_Q_FOLLOW;
        plan->like[node->out[0]] = plan->like[node->in[0]];
        plan->made[node->out[0]] = plan->byte[node->out[0]] = true;
        return;
    }
    if (among(functions, node) && traces_back(plan, node->out[0], 0, &source) && source >= 0) {
        plan->role[n] = TN_Q_FOLLOW;
        return;
    }
    if (!skip && among(joiners, node) && can_join(plan, node)) {
        for (int i = 0; i < node->formal_in; i++) plan->byte[node->in[i]] = true;
        give(p, n, TN_Q_JOIN);
    }
}

static bool is_read_on_bytes(const tn_qplan *plan, int value) {
    const tn_graph *graph = plan->graph;
    for (int n = 0; n < graph->node_count; n++)
        for (int i = 0; i < graph->nodes[n].formal_in; i++)
            if (graph->nodes[n].in[i] == value && (plan->role[n] == TN_Q_LAYER || plan->role[n] == TN_Q_JOIN))
                return true;
    return false;
}

/* Somebody takes the value's 8 bits, now or once they are moved or looked up. */
static bool is_wanted(const tn_qplan *plan, int value) {
    const tn_graph *graph = plan->graph;
    for (int n = TN_MAX(graph->values[value].producer, 0); n < graph->node_count; n++)
        for (int i = 0; i < graph->nodes[n].formal_in; i++) {
            if (graph->nodes[n].in[i] != value) continue;
            if (plan->role[n] == TN_Q_LAYER || plan->role[n] == TN_Q_JOIN) return true;
            if (plan->role[n] == TN_Q_FOLLOW && is_wanted(plan, graph->nodes[n].out[0])) return true;
        }
    return false;
}

/* The value, and what is moved of it, is float. */
static void leave_float(tn_qplan *plan, int value) {
    const tn_graph *graph = plan->graph;
    plan->byte[value] = plan->made[value] = false;
    plan->like[value] = value;
    for (int n = TN_MAX(graph->values[value].producer, 0); n < graph->node_count; n++)
        if (plan->role[n] == TN_Q_FOLLOW && graph->nodes[n].in[0] == value && plan->made[graph->nodes[n].out[0]])
            leave_float(plan, graph->nodes[n].out[0]);
}

/* What nobody takes 8 bits of stays float where it can: of a head whose boxes and scores meet in a Concat, each keeps steps of
 * its own size. */
static void leave_unwanted(tn_qplan *plan, int n) {
    const tn_graph *graph = plan->graph;
    const tn_node *node = &graph->nodes[n];
    const bool join = plan->role[n] == TN_Q_JOIN;
    if (!join && (plan->role[n] != TN_Q_LAYER || tn_match_is(node, "", "Conv"))) return;
    if (is_wanted(plan, plan->end[n])) return;
    leave_float(plan, plan->end[n]);
    if (!join) return;
    plan->role[n] = TN_Q_FLOAT;
    plan->end[n] = -1;
    for (int i = 0; i < node->formal_in; i++)
        plan->byte[node->in[i]] = plan->made[node->in[i]] || is_read_on_bytes(plan, node->in[i]);
}

tn_status tn_qplan_make(const tn_graph *graph, const bool *skip, tn_region *region, tn_qplan *out) {
    size_t nodes = (size_t)graph->node_count + 1, values = (size_t)graph->value_count + 1;
    int *uses = tn_region_array(region, values, sizeof *uses);
    *out = (tn_qplan){.graph = graph,
                      .node_count = graph->node_count,
                      .value_count = graph->value_count,
                      .role = tn_region_array(region, nodes, sizeof *out->role),
                      .end = tn_region_array(region, nodes, sizeof *out->end),
                      .byte = tn_region_array(region, values, sizeof *out->byte),
                      .made = tn_region_array(region, values, sizeof *out->made),
                      .like = tn_region_array(region, values, sizeof *out->like)};
    if (!uses || !out->role || !out->end || !out->byte || !out->made || !out->like) return TN_E_MEMORY;
    tn_graph_count_uses(graph, uses);
    for (int n = 0; n < graph->node_count; n++) out->end[n] = -1;
    for (int v = 0; v < graph->value_count; v++) out->like[v] = v;
    planner p = {out, uses, skip};
    for (int n = 0; n < graph->node_count; n++) visit(&p, n);
    for (int n = graph->node_count - 1; n >= 0; n--) leave_unwanted(out, n);
    return TN_OK;
}
