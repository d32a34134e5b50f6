/* Masks that keep zeros while a graph is trained: see tenon/prune.h. */
#include <tenon/prune.h>
#include "compress/matrices.h"

#define PREFIX "mask."

static tn_status mask_weight(tn_graph *graph, int weight, const tn_op *mul) {
    const tn_tensor *t = graph->values[weight].constant;
    const float *x = t->data;
    int64_t zeros = 0;
    for (int64_t i = 0; i < tn_count(t); i++) zeros += x[i] == 0;
    if (!zeros) return TN_OK;
    tn_tensor *mask = tn_graph_tensor(graph, TN_FLOAT32, t->rank, t->dims, NULL);
    const char *name = tn_region_printf(graph->region, PREFIX "%s", graph->values[weight].name);
    if (!mask || !name) return TN_E_MEMORY;
    for (int64_t i = 0; i < tn_count(t); i++) ((float *)mask->data)[i] = x[i] != 0;
    const tn_type type = graph->values[weight].type;
    int value = tn_graph_add_constant(graph, name, mask), out = value < 0 ? -1 : tn_graph_add_value(graph, "", &type);
    if (out < 0) return TN_E_MEMORY;
    tn_graph_replace_uses(graph, weight, out);
    return tn_graph_add_node(graph, mul, name, 2, (int[]){weight, value}, 1, &out) < 0 ? TN_E_MEMORY : TN_OK;
}

tn_status tn_graph_mask_zeros(tn_graph *graph) {
    const tn_op *mul = tn_op_find("", "Mul");
    tn_weights_report report;
    tn_linear *layers;
    int count;
    if (!mul) return tn_fail(TN_E_UNSUPPORTED, "the operator Mul is not in this build");
    TN_TRY(tn_weights_begin(graph, &report));
    TN_TRY(tn_layers_collect(graph, true, NULL, graph->region, &layers, &count));
    for (int i = 0; i < count; i++) TN_TRY(mask_weight(graph, layers[i].weight, mul));
    return tn_weights_end(graph, &report, NULL);
}

tn_status tn_graph_fold_masks(tn_graph *graph) {
    tn_weights_report report;
    TN_TRY(tn_weights_begin(graph, &report));
    for (int n = 0; n < graph->node_count; n++) {
        tn_node *node = &graph->nodes[n];
        if (*node->op->domain || strcmp(node->op->name, "Mul") != 0) continue;
        const tn_tensor *w = graph->values[node->in[0]].constant, *mask = graph->values[node->in[1]].constant;
        const char *name = graph->values[node->in[1]].name;
        if (!w || !mask || strncmp(name, PREFIX, strlen(PREFIX)) != 0 || !tn_tensor_is_alike(w, mask) ||
            w->dtype != TN_FLOAT32)
            continue;
        tn_tensor *t = tn_graph_tensor(graph, w->dtype, w->rank, w->dims, NULL);
        int value = t ? tn_graph_add_constant(graph, name + strlen(PREFIX), t) : -1;
        if (value < 0) return TN_E_MEMORY;
        for (int64_t i = 0; i < tn_count(w); i++)
            ((float *)t->data)[i] = ((const float *)mask->data)[i] != 0 ? ((const float *)w->data)[i] : 0;
        graph->nodes[n].dead = true;
        TN_TRY(tn_graph_redirect(graph, graph->nodes[n].out[0], value));
    }
    return tn_weights_end(graph, &report, NULL);
}
