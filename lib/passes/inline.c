/* If with a condition that is known: its branch takes its place. */
#include "passes/rows.h"

static bool constant_condition(const tn_graph *graph, int value, bool *out) {
    const tn_tensor *t = value >= 0 ? graph->values[value].constant : NULL;
    if (!t || t->dtype != TN_BOOL || tn_count(t) != 1) return false;
    *out = *(const uint8_t *)t->data != 0;
    return true;
}

/* Copies the body's nodes to the end of the graph. map: from the body's values to the graph's. */
static tn_status copy_body(tn_graph *graph, const tn_node *owner, const tn_graph *body, int *map, int *list) {
    for (int v = 0; v < body->value_count; v++) {
        const tn_graph_value *value = &body->values[v];
        map[v] = value->constant ? tn_graph_add_constant(graph, value->name, value->constant)
                                 : tn_graph_add_value(graph, value->name, &value->type);
        if (map[v] < 0) return TN_E_MEMORY;
    }
    for (int c = 0; c < body->capture_count; c++)
        map[body->captures[c].value] = owner->in[body->captures[c].node_input];
    for (int n = 0; n < body->node_count; n++) {
        const tn_node *node = &body->nodes[n];
        if (node->dead) continue;
        int *in = list, *out = list + node->in_count;
        for (int i = 0; i < node->in_count; i++) in[i] = node->in[i] < 0 ? -1 : map[node->in[i]];
        for (int i = 0; i < node->out_count; i++) out[i] = node->out[i] < 0 ? -1 : map[node->out[i]];
        int at = tn_graph_add_node(graph, node->op, node->name, node->in_count, in, node->out_count, out);
        if (at < 0) return TN_E_MEMORY;
        graph->nodes[at].formal_in = node->formal_in;
        graph->nodes[at].attr_count = node->attr_count;
        graph->nodes[at].attrs = node->attrs;
    }
    return TN_OK;
}

static tn_status inline_branch(tn_graph *graph, int n, const tn_graph *body) {
    int widest = 0;
    for (int i = 0; i < body->node_count; i++)
        widest = TN_MAX(widest, body->nodes[i].in_count + body->nodes[i].out_count);
    int *map = tn_region_array(graph->region, (size_t)body->value_count + 1, sizeof *map);
    int *list = tn_region_array(graph->region, (size_t)widest + 1, sizeof *list);
    if (!map || !list) return TN_E_MEMORY;
    tn_node owner = graph->nodes[n]; /* the array may move */
    TN_TRY(copy_body(graph, &owner, body, map, list));
    graph->nodes[n].dead = true;
    for (int i = 0; i < owner.out_count; i++)
        if (owner.out[i] >= 0) TN_TRY(tn_graph_redirect(graph, owner.out[i], map[body->outputs[i]]));
    return TN_OK;
}

tn_status tn_pass_inline(tn_graph *graph, int *changes) {
    bool condition;
    for (int n = 0; n < graph->node_count; n++) {
        const tn_node *node = &graph->nodes[n];
        if (node->dead || strcmp(node->op->name, "If") != 0 || !(node->op->flags & TN_OP_CONTROL) ||
            !constant_condition(graph, node->in[0], &condition))
            continue;
        TN_TRY(inline_branch(graph, n, tn_attr_graph(node, condition ? "then_branch" : "else_branch")));
        ++*changes;
    }
    return TN_OK;
}
