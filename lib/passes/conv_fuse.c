/* Conv, what is added to its result, and the activation behind: one com.microsoft FusedConv. */
#include "passes/activation.h"
#include "passes/rows.h"

static bool same_shape(const tn_type *a, const tn_type *b) {
    if (a->rank < 1 || a->rank != b->rank || a->dtype != b->dtype) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dims[i] == -1 || a->dims[i] != b->dims[i]) return false;
    return true;
}

static tn_status match_conv(tn_match *m, const tn_op *fused, int n, int *changes) {
    tn_graph *graph = m->graph;
    tn_node conv = graph->nodes[n];
    if (conv.dead || !tn_match_is(&conv, "", "Conv") || !tn_match_floats(graph, conv.in[1])) return TN_OK;
    int last = n, out = conv.out[0], residual = -1;
    tn_activation activation = {0};
    const tn_node *next = tn_match_reader(m, out);
    if (next && tn_match_is(next, "", "Add")) {
        int other = tn_match_other(next, out);
        if (other >= 0 && !graph->values[other].constant &&
            same_shape(tn_match_type(graph, other), tn_match_type(graph, out))) {
            residual = other;
            last = (int)(next - graph->nodes);
            out = next->out[0];
            next = tn_match_reader(m, out);
        }
    }
    if (next && next->in[0] == out && tn_match_activation(graph, next, &activation)) {
        last = (int)(next - graph->nodes);
        out = next->out[0];
    }
    if (last == n) return TN_OK;
    int in[4] = {conv.in[0], conv.in[1], conv.formal_in > 2 ? conv.in[2] : -1, residual};
    int count = residual >= 0 ? 4 : in[2] >= 0 ? 3 : 2;
    int at = tn_match_replace(m, last, fused, conv.name, count, in, 1, &out);
    if (at < 0) return TN_E_MEMORY;
    for (int a = 0; a < conv.attr_count; a++) TN_TRY(tn_node_set_attr(graph, &graph->nodes[at], &conv.attrs[a]));
    TN_TRY(tn_set_activation(graph, &graph->nodes[at], &activation));
    ++*changes;
    return tn_match_recount(m);
}

tn_status tn_pass_conv_fuse(tn_graph *graph, int *changes) {
    const tn_op *fused = tn_op_find("com.microsoft", "FusedConv");
    tn_match m;
    if (!fused) return TN_OK;
    tn_status status = tn_match_begin(&m, graph);
    for (int n = 0; n < graph->node_count && status == TN_OK; n++) status = match_conv(&m, fused, n, changes);
    tn_match_end(&m);
    return status;
}
