/* Replacing a part of a graph: the module's nodes are added, what read the old values reads the new ones, and the nodes
 * behind those that nobody reads any more are dropped. A cycle (an input of the module that hangs on what it replaces) is
 * found when the nodes are put in order. */
#include "store/module.h"
#include "graph/op.h"

static int find_value(const tn_graph *graph, const char *name) {
    for (int v = 0; v < graph->value_count; v++)
        if (graph->values[v].name && strcmp(graph->values[v].name, name) == 0) return v;
    return -1;
}

static tn_status no_value(const char *role, const char *name) {
    return tn_fail(TN_E_NOT_FOUND, "the module's %s '%.200s' is no value of the model; names must be the same", role,
                   name);
}

/* What tells against it before anything is changed. */
static tn_status check_types(const tn_type *is, const tn_type *wanted, const char *name) {
    bool both = is->kind == TN_KIND_TENSOR && wanted->kind == TN_KIND_TENSOR;
    if (both && is->dtype && wanted->dtype && is->dtype != wanted->dtype)
        return tn_fail(TN_E_TYPE, "'%.200s' is %s in the model and %s in the module", name, tn_dtype_name(is->dtype),
                       tn_dtype_name(wanted->dtype));
    if (both && is->rank >= 0 && wanted->rank >= 0 && is->rank != wanted->rank)
        return tn_fail(TN_E_SHAPE, "'%.200s' has %d dims in the model and %d in the module", name, is->rank,
                       wanted->rank);
    return TN_OK;
}

/* map: a row a value of the module, what it is in the graph. */
static tn_status map_values(tn_graph *graph, const tn_graph *module, int *map) {
    for (int v = 0; v < module->value_count; v++) map[v] = -1;
    for (int i = 0; i < module->input_count; i++) {
        const tn_graph_value *value = &module->values[module->inputs[i]];
        int found = find_value(graph, value->name);
        if (found < 0) return no_value("input", value->name);
        TN_TRY(check_types(&graph->values[found].type, &value->type, value->name));
        map[module->inputs[i]] = found;
    }
    for (int i = 0; i < module->output_count; i++) {
        const tn_graph_value *value = &module->values[module->outputs[i]];
        int found = find_value(graph, value->name);
        if (found < 0) return no_value("output", value->name);
        if (graph->values[found].producer < 0 || value->producer < 0)
            return tn_fail(TN_E_UNSUPPORTED, "'%.200s' is no result of a node in the model or in the module",
                           value->name);
        TN_TRY(check_types(&graph->values[found].type, &value->type, value->name));
    }
    for (int v = 0; v < module->value_count; v++) {
        const tn_graph_value *value = &module->values[v];
        if (map[v] < 0 && value->constant && (map[v] = tn_graph_add_constant(graph, value->name, value->constant)) < 0)
            return TN_E_MEMORY;
    }
    return TN_OK;
}

static tn_status add_node(tn_graph *graph, const tn_node *node, tn_region *scratch, int *map) {
    int *in = tn_region_array(scratch, (size_t)node->in_count + 1, sizeof *in);
    int *out = tn_region_array(scratch, (size_t)node->out_count + 1, sizeof *out);
    if (!in || !out) return TN_E_MEMORY;
    for (int i = 0; i < node->attr_count; i++)
        if (node->attrs[i].kind == TN_ATTR_GRAPH)
            return tn_fail(TN_E_UNSUPPORTED, "the module's node '%s' (%s) has a subgraph", node->name, node->op->name);
    for (int i = 0; i < node->in_count; i++) in[i] = node->in[i] < 0 ? -1 : map[node->in[i]];
    for (int i = 0; i < node->out_count; i++) {
        out[i] = node->out[i] < 0 ? -1 : tn_graph_add_value(graph, NULL, NULL);
        if (node->out[i] >= 0 && out[i] < 0) return TN_E_MEMORY;
        if (node->out[i] >= 0) map[node->out[i]] = out[i];
    }
    int added = tn_graph_add_node(graph, node->op, node->name, node->in_count, in, node->out_count, out);
    if (added < 0) return TN_E_MEMORY;
    for (int i = 0; i < node->attr_count; i++) TN_TRY(tn_node_set_attr(graph, &graph->nodes[added], &node->attrs[i]));
    for (int i = 0; i < node->out_count; i++)
        if (out[i] >= 0) graph->values[out[i]].producer = added;
    return TN_OK;
}

static tn_status put(tn_graph *graph, const tn_graph *module, tn_region *scratch, int *out_added, int *out_gone) {
    int *map = tn_region_array(scratch, (size_t)module->value_count + 1, sizeof *map);
    if (!map) return TN_E_MEMORY;
    TN_TRY(map_values(graph, module, map));
    for (int n = 0; n < module->node_count; n++, ++*out_added) TN_TRY(add_node(graph, &module->nodes[n], scratch, map));
    for (int i = 0; i < module->output_count; i++) {
        int old = find_value(graph, module->values[module->outputs[i]].name);
        tn_node *producer = &graph->nodes[graph->values[old].producer];
        /* Another result of that node may be read still: then it stays, and writes this one to nobody. */
        for (int k = 0; k < producer->out_count; k++)
            if (producer->out[k] == old) {
                int nobody = tn_graph_add_value(graph, NULL, &graph->values[old].type);
                if (nobody < 0) return TN_E_MEMORY;
                producer->out[k] = nobody;
                graph->values[nobody].producer = graph->values[old].producer;
            }
        TN_TRY(tn_graph_redirect(graph, old, map[module->outputs[i]]));
    }
    TN_TRY(tn_graph_sort(graph));
    return tn_graph_drop_unused(graph, out_gone);
}

tn_status tn_graph_put_module(tn_graph *graph, const tn_graph *module, int *out_added, int *out_gone) {
    tn_region *scratch = tn_region_create(NULL);
    *out_added = *out_gone = 0;
    tn_status status = scratch ? put(graph, module, scratch, out_added, out_gone) : TN_E_MEMORY;
    tn_region_destroy(scratch);
    return status;
}
