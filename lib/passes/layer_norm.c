/* Layer normalisation and its form without a mean, from the reductions that exporters make of them.
 *
 * d = x - mean(x); y = d / sqrt(mean(d^2) + epsilon) * scale + bias, over the last axis (Ba, Kiros, Hinton, arXiv
 * 1607.06450); without the mean: RMS normalisation (Zhang and Sennrich, arXiv 1910.07467). */
#include "passes/match.h"
#include "passes/rows.h"

static bool over_last_axis(const tn_graph *graph, const tn_node *mean) {
    const tn_type *type = tn_match_type(graph, mean->in[0]);
    const tn_tensor *axes = mean->formal_in > 1 && mean->in[1] >= 0 ? graph->values[mean->in[1]].constant : NULL;
    if (!axes || axes->dtype != TN_INT64 || tn_count(axes) != 1 || type->rank < 1) return false;
    int64_t axis = *(const int64_t *)axes->data;
    return tn_attr_int(mean, "keepdims", 1) == 1 && (axis == -1 || axis == type->rank - 1);
}

/* mean(v^2) over the last axis: returns v, or -1. */
static int mean_of_square(const tn_match *m, int value) {
    const tn_node *mean = tn_match_only(m, value, "ReduceMean");
    if (!mean || !over_last_axis(m->graph, mean)) return -1;
    const tn_node *pow = tn_match_only(m, mean->in[0], "Pow");
    if (pow) return tn_match_number(m->graph, pow->in[1], 2) ? pow->in[0] : -1;
    const tn_node *mul = tn_match_only(m, mean->in[0], "Mul");
    return mul && mul->in[0] == mul->in[1] ? mul->in[0] : -1;
}

/* sqrt(mean(v^2) + epsilon): returns v, or -1. */
static int root_mean_square(const tn_match *m, int value, float *epsilon) {
    const tn_node *root = tn_match_only(m, value, "Sqrt");
    const tn_node *add = root ? tn_match_only(m, root->in[0], "Add") : NULL;
    for (int i = 0; add && i < 2; i++)
        if (tn_match_scalar(m->graph, add->in[i], epsilon)) return mean_of_square(m, add->in[1 - i]);
    return -1;
}

/* The value that `node` normalises by its root mean square, or -1: v / rms(v), or v * (1 / rms(v)). */
static int normalised(const tn_match *m, const tn_node *node, float *epsilon) {
    if (tn_match_is(node, "", "Div"))
        return root_mean_square(m, node->in[1], epsilon) == node->in[0] ? node->in[0] : -1;
    if (!tn_match_is(node, "", "Mul")) return -1;
    for (int i = 0; i < 2; i++) {
        const tn_node *reciprocal = tn_match_only(m, node->in[i], "Reciprocal");
        if (reciprocal && root_mean_square(m, reciprocal->in[0], epsilon) == node->in[1 - i]) return node->in[1 - i];
    }
    return -1;
}

/* d = x - mean(x): returns x, or -1. */
static int centred(const tn_match *m, int value) {
    const tn_node *sub = tn_match_producer(m, value, "Sub");
    const tn_node *mean = sub ? tn_match_only(m, sub->in[1], "ReduceMean") : NULL;
    if (!mean || mean->in[0] != sub->in[0] || !over_last_axis(m->graph, mean)) return -1;
    return sub->in[0];
}

/* A constant of one row of `width`; NULL otherwise. */
static const tn_tensor *row(const tn_graph *graph, int value, int64_t width) {
    const tn_tensor *t = tn_match_floats(graph, value);
    return t && t->rank == 1 && t->dims[0] == width ? t : NULL;
}

static tn_status match_node(tn_match *m, int n, int *changes) {
    tn_graph *graph = m->graph;
    const tn_node *node = &graph->nodes[n];
    float epsilon;
    if (node->formal_in != 2 || node->in[0] < 0 || node->in[1] < 0) return TN_OK;
    int d = normalised(m, node, &epsilon);
    if (d < 0 || tn_match_type(graph, d)->dtype != TN_FLOAT32) return TN_OK;
    int64_t width = tn_match_type(graph, d)->dims[tn_match_type(graph, d)->rank - 1];
    /* The scale and the bias behind it; without a scale there is nothing to make the operator of. */
    tn_node *scale = tn_match_reader(m, node->out[0]), *last = scale;
    if (!scale || !tn_match_is(scale, "", "Mul")) return TN_OK;
    int weight = tn_match_other(scale, node->out[0]), bias = -1;
    if (weight < 0 || !row(graph, weight, width)) return TN_OK;
    int x = centred(m, d);
    tn_node *add = x >= 0 ? tn_match_reader(m, scale->out[0]) : NULL;
    if (add && tn_match_is(add, "", "Add")) {
        bias = tn_match_other(add, scale->out[0]);
        if (bias >= 0 && row(graph, bias, width))
            last = add;
        else
            bias = -1;
    }
    const tn_op *op = tn_op_find("", x >= 0 ? "LayerNormalization" : "RMSNormalization");
    if (!op) return TN_OK;
    int in[3] = {x >= 0 ? x : d, weight, bias};
    int out = last->out[0];
    int at = tn_match_replace(m, (int)(last - graph->nodes), op, node->name, bias >= 0 ? 3 : 2, in, 1, &out);
    if (at < 0) return TN_E_MEMORY;
    TN_TRY(tn_node_set_float(graph, &graph->nodes[at], "epsilon", epsilon));
    TN_TRY(tn_node_set_int(graph, &graph->nodes[at], "axis", -1));
    ++*changes;
    return tn_match_recount(m);
}

tn_status tn_pass_layer_norm(tn_graph *graph, int *changes) {
    return tn_match_each(graph, match_node, changes);
}
