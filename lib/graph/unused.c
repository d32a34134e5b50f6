/* Nodes that do nothing for the graph's outputs. */
#include "graph/graph.h"

tn_status tn_graph_drop_unused(tn_graph *graph, int *gone) {
    tn_region *scratch = tn_region_create(graph->allocator);
    int *uses = scratch ? tn_region_array(scratch, (size_t)graph->value_count + 1, sizeof *uses) : NULL;
    if (uses) {
        tn_graph_count_uses(graph, uses);
        for (int n = graph->node_count - 1; n >= 0; n--) {
            tn_node *node = &graph->nodes[n];
            bool used = false;
            for (int i = 0; i < node->out_count; i++) used |= node->out[i] >= 0 && uses[node->out[i]] > 0;
            if (used || node->dead) continue;
            node->dead = true;
            if (gone) ++*gone;
            for (int i = 0; i < node->in_count; i++)
                if (node->in[i] >= 0) uses[node->in[i]]--;
        }
        tn_graph_compact(graph);
    }
    tn_region_destroy(scratch);
    return uses ? TN_OK : TN_E_MEMORY;
}
