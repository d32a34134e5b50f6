/* A pointwise convolution that only a depthwise one reads, and whose result is large: tenon's PointwiseDepthwise. */
#include "passes/match.h"
#include "passes/rows.h"

#define LEAST_BYTES (512 << 10) /* of one image between the two: smaller ones stay in the second cache as it is */
#define LEAST_WIDTH 24          /* narrow rows have a kernel of their own */

static bool is_conv(const tn_node *node) {
    return tn_match_is(node, "", "Conv") || tn_match_is(node, "com.microsoft", "FusedConv");
}

/* Pads are all 0 and strides and dilations 1, or not said. */
static bool is_plain(const tn_node *node) {
    size_t count;
    const int64_t *strides = tn_attr_ints(node, "strides", &count);
    for (size_t i = 0; i < count; i++)
        if (strides[i] != 1) return false;
    return !tn_match_padded(node) && tn_attr_int(node, "group", 1) == 1;
}

static bool has_residual(const tn_node *node) {
    return node->formal_in > 3 && node->in[3] >= 0;
}

static tn_status match_pair(tn_match *m, int n, int *changes) {
    tn_graph *graph = m->graph;
    const tn_node conv = graph->nodes[n];
    const tn_node *next = is_conv(&conv) ? tn_match_reader(m, conv.out[0]) : NULL;
    if (!next || !is_conv(next) || next->in[0] != conv.out[0] || has_residual(&conv) || has_residual(next))
        return TN_OK;
    const tn_tensor *w = tn_match_floats(graph, conv.in[1]), *v = tn_match_floats(graph, next->in[1]);
    const tn_type *middle = tn_match_type(graph, conv.out[0]);
    if (!w || !v || middle->rank != 4 || !is_plain(&conv) || w->dims[2] != 1 || w->dims[3] != 1) return TN_OK;
    const int64_t *dims = middle->dims;
    if (dims[1] != w->dims[0] || v->dims[0] != dims[1] || tn_attr_int(next, "group", 1) != dims[1]) return TN_OK;
    if (dims[2] < 1 || dims[3] < LEAST_WIDTH ||
        (double)dims[1] * (double)dims[2] * (double)dims[3] * sizeof(float) < LEAST_BYTES)
        return TN_OK;
    const tn_op *pair = tn_op_find("tenon", "PointwiseDepthwise");
    if (!pair) return TN_OK;
    const tn_node last = *next;
    int in[] = {conv.in[0], conv.in[1], last.in[1], conv.formal_in > 2 ? conv.in[2] : -1,
                last.formal_in > 2 ? last.in[2] : -1};
    int count = in[4] >= 0 ? 5 : in[3] >= 0 ? 4 : 3;
    int at = tn_match_replace(m, (int)(next - graph->nodes), pair, last.name, count, in, 1, last.out);
    if (at < 0) return TN_E_MEMORY;
    for (int a = 0; a < last.attr_count; a++) TN_TRY(tn_node_set_attr(graph, &graph->nodes[at], &last.attrs[a]));
    for (int a = 0; a < conv.attr_count; a++) {
        tn_attr copy = conv.attrs[a];
        if (strcmp(copy.name, "activation") == 0)
            copy.name = "first_activation";
        else if (strcmp(copy.name, "activation_params") == 0)
            copy.name = "first_activation_params";
        else
            continue;
        TN_TRY(tn_node_set_attr(graph, &graph->nodes[at], &copy));
    }
    ++*changes;
    return tn_match_recount(m);
}

tn_status tn_pass_conv_pair(tn_graph *graph, int *changes) {
    return tn_match_each(graph, match_pair, changes);
}
