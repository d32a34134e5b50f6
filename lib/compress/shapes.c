/* Shapes that graphs put together while they run, as exporters write [x.shape[0], x.shape[1], heads, depth]: they become
 * constants, [0, 0, heads, depth], where Reshape's 0, "as it was", says the same. Passes that change what is behind need to see
 * which axis is which. */
#include "compress/matrices.h"
#include "graph/infer.h"
#include "passes/passes.h"

static bool is(const tn_node *node, const char *op) {
    return !*node->op->domain && strcmp(node->op->name, op) == 0;
}

static const tn_type *type_of(const tn_graph *graph, int value) {
    return &graph->values[value].type;
}

static const tn_tensor *constant_of(const tn_graph *graph, int value) {
    return value >= 0 ? graph->values[value].constant : NULL;
}

/* NULL: it has none, or one of another operator. */
static const tn_node *producer_of(const tn_graph *graph, int value, const char *op) {
    const int n = value >= 0 ? graph->values[value].producer : -1;
    return n >= 0 && is(&graph->nodes[n], op) ? &graph->nodes[n] : NULL;
}

/* Entry `at` of the shape of a Reshape, from what a Concat puts there: a constant, or 0 for an axis that is as it was. */
static bool entry_of(const tn_graph *graph, const tn_node *reshape, int from, int at, int64_t *out) {
    const tn_tensor *t = constant_of(graph, from);
    *out = 0;
    if (t && t->dtype == TN_INT64 && tn_count(t) == 1) {
        *out = *(const int64_t *)t->data;
        return *out != 0;
    }
    const tn_node *unsqueeze = producer_of(graph, from, "Unsqueeze");
    const tn_node *gather = unsqueeze ? producer_of(graph, unsqueeze->in[0], "Gather") : NULL;
    const tn_node *shape = gather ? producer_of(graph, gather->in[0], "Shape") : NULL;
    if (!shape || tn_attr_int(shape, "start", 0) != 0) return false;
    const tn_tensor *index = constant_of(graph, gather->in[1]);
    if (!index || index->dtype != TN_INT64 || tn_count(index) != 1 || *(const int64_t *)index->data != at) return false;
    const tn_type *data = type_of(graph, reshape->in[0]), *asked = type_of(graph, shape->in[0]);
    return data->rank > at && asked->rank > at &&
           (shape->in[0] == reshape->in[0] || (data->dims[at] != -1 && data->dims[at] == asked->dims[at]));
}

tn_status tn_settle_shapes(tn_graph *graph) {
    int changes = 0;
    TN_TRY(tn_fold_to_store(graph, false, &changes));
    for (int n = 0; n < graph->node_count; n++) {
        const tn_node *node = &graph->nodes[n];
        const tn_node *concat = is(node, "Reshape") && !node->dead ? producer_of(graph, node->in[1], "Concat") : NULL;
        if (concat && concat->formal_in <= TN_MAX_RANK && !tn_attr_int(node, "allowzero", 0)) {
            const int64_t rank = concat->formal_in;
            int64_t entries[TN_MAX_RANK];
            int known = 0;
            while (known < rank && entry_of(graph, node, concat->in[known], known, &entries[known])) known++;
            if (known == rank) {
                tn_tensor *shape = tn_graph_tensor(graph, TN_INT64, 1, &rank, NULL);
                if (shape) memcpy(shape->data, entries, (size_t)rank * sizeof *entries);
                const int value = shape ? tn_graph_add_constant(graph, "", shape) : -1;
                if (value < 0) return TN_E_MEMORY;
                graph->nodes[n].in[1] = value;
            }
        }
        const tn_status status = graph->nodes[n].dead ? TN_OK : tn_graph_infer_node(graph, &graph->nodes[n]);
        if (status != TN_OK) return tn_node_context(status, &graph->nodes[n]);
    }
    TN_TRY(tn_graph_drop_unused(graph, NULL));
    tn_graph_compact(graph);
    return TN_OK;
}
