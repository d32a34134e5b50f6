/* Attention maps: which parts of a sequence a model looked at. See tenon/explain.h.
 *
 * They are there already, between the products of an attention: what is done is to find them and make them outputs. A graph
 * that was not through the passes has them; those that fuse attention leave alone what is an output. */
#include <stdio.h>
#include <tenon/explain.h>
#include "graph/op.h"

/* What may stand between the weights and the product that uses them. */
static bool passes_on(const tn_node *node) {
    return strcmp(node->op->name, "Dropout") == 0 || strcmp(node->op->name, "Identity") == 0 ||
           strcmp(node->op->name, "Cast") == 0;
}

/* Whether a product has the value on its left. */
static bool weighs(const tn_graph *graph, int value, int depth) {
    for (int n = 0; n < graph->node_count; n++) {
        const tn_node *node = &graph->nodes[n];
        if (node->in_count < 1 || node->in[0] != value || *node->op->domain) continue;
        if (strcmp(node->op->name, "MatMul") == 0) return true;
        if (depth < 4 && passes_on(node) && node->out[0] >= 0 && weighs(graph, node->out[0], depth + 1)) return true;
    }
    return false;
}

static bool is_output(const tn_graph *graph, int value) {
    for (int i = 0; i < graph->output_count; i++)
        if (graph->outputs[i] == value) return true;
    return false;
}

/* [.., to, from] of rows that add up to 1; a rank that is not known may be enough. */
static bool is_map(const tn_graph *graph, const tn_node *node) {
    const tn_type *type = node->out[0] < 0 ? NULL : &graph->values[node->out[0]].type;
    int64_t axis = tn_attr_int(node, "axis", -1);
    return type && strcmp(node->op->name, "Softmax") == 0 && !*node->op->domain &&
           (type->rank < 0 || type->rank >= 3) && (axis == -1 || axis == type->rank - 1) &&
           weighs(graph, node->out[0], 0);
}

tn_status tn_graph_expose_attention(tn_graph *graph, int *out_count) {
    int count = 0;
    *out_count = 0;
    TN_TRY(tn_graph_sort(graph));
    TN_TRY(tn_graph_infer(graph));
    for (int n = 0; n < graph->node_count; n++) {
        const tn_node *node = &graph->nodes[n];
        char name[40];
        if (node->out_count < 1 || !is_map(graph, node) || is_output(graph, node->out[0])) continue;
        snprintf(name, sizeof name, "attention/%d", count);
        TN_TRY(tn_graph_output(graph, node->out[0], name));
        count++;
    }
    if (!count)
        return tn_fail(TN_E_NOT_FOUND,
                       "no attention was found: a Softmax over the last axis, which a MatMul weighs values by");
    *out_count = count;
    return TN_OK;
}
