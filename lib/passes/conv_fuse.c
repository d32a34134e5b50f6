/* Conv, what is added to its result, and the activation behind: one com.microsoft FusedConv. So is a number that is added
 * to HardSwish, as networks with affine activations have it (PP-LCNetV3). */
#include "passes/activation.h"
#include "passes/rows.h"

/* Whether `value` is one number, beside which `other` keeps its shape. */
static bool is_number(const tn_graph *graph, int value, int other, float *out_number) {
    return value >= 0 && tn_match_scalar(graph, value, out_number) &&
           graph->values[value].constant->rank <= tn_match_type(graph, other)->rank;
}

static tn_status match_conv(tn_match *m, int n, int *changes) {
    tn_graph *graph = m->graph;
    tn_node conv = graph->nodes[n];
    if (!tn_match_is(&conv, "", "Conv") || !tn_match_floats(graph, conv.in[1])) return TN_OK;
    int last = n, out = conv.out[0], residual = -1;
    tn_activation activation = {0};
    const tn_node *next = tn_match_reader(m, out);
    if (next && tn_match_is(next, "", "Add")) {
        int other = tn_match_other(next, out);
        if (other >= 0 && !graph->values[other].constant &&
            tn_match_same_shape(tn_match_type(graph, other), tn_match_type(graph, out))) {
            residual = other;
            last = (int)(next - graph->nodes);
            out = next->out[0];
            next = tn_match_reader(m, out);
        }
    }
    if (next && next->in[0] == out && tn_match_activation(graph, next, &activation)) {
        last = (int)(next - graph->nodes);
        out = next->out[0];
        next = strcmp(activation.name, "HardSwish") == 0 ? tn_match_reader(m, out) : NULL;
        if (next && tn_match_is(next, "", "Add") &&
            is_number(graph, tn_match_other(next, out), out, activation.params)) {
            activation.count = 1;
            last = (int)(next - graph->nodes);
            out = next->out[0];
        }
    }
    if (last == n) return TN_OK;
    int in[4] = {conv.in[0], conv.in[1], conv.formal_in > 2 ? conv.in[2] : -1, residual};
    int count = residual >= 0 ? 4 : in[2] >= 0 ? 3 : 2;
    const tn_op *fused = tn_op_find("com.microsoft", "FusedConv");
    if (!fused) return TN_OK;
    int at = tn_match_replace(m, last, fused, conv.name, count, in, 1, &out);
    if (at < 0) return TN_E_MEMORY;
    for (int a = 0; a < conv.attr_count; a++) TN_TRY(tn_node_set_attr(graph, &graph->nodes[at], &conv.attrs[a]));
    TN_TRY(tn_set_activation(graph, &graph->nodes[at], &activation));
    ++*changes;
    return tn_match_recount(m);
}

tn_status tn_pass_conv_fuse(tn_graph *graph, int *changes) {
    return tn_match_each(graph, match_conv, changes);
}
