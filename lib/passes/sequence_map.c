/* SequenceMap becomes a Loop, as the specification's function says:
 *
 *     results = SequenceEmpty...
 *     for (i = 0; i < SequenceLength(first); i++)
 *         results = SequenceInsert(results, body(SequenceAt(sequence, i)..., tensor...))...
 *
 * What the node read becomes captures of the body: those captured before stay so, behind them. */
#include "passes/passes.h"

static const tn_op *need(const char *name) {
    const tn_op *op = tn_op_find("", name);
    if (!op) tn_fail(TN_E_UNSUPPORTED, "SequenceMap needs operator %s, which is not in this build", name);
    return op;
}

/* Adds a node and its one output, which it returns; -1 on failure. */
static int add(tn_graph *graph, const char *name, int in_count, const int *in) {
    const tn_op *op = need(name);
    int out = op ? tn_graph_add_value(graph, NULL, NULL) : -1;
    return out >= 0 && tn_graph_add_node(graph, op, NULL, in_count, in, 1, &out) >= 0 ? out : -1;
}

static int add_empty(tn_graph *graph, tn_dtype dtype) {
    if (!dtype) {
        tn_fail(TN_E_UNSUPPORTED, "the type of what its body gives is not known");
        return -1;
    }
    int out = add(graph, "SequenceEmpty", 0, NULL);
    bool set = out >= 0 && tn_node_set_int(graph, &graph->nodes[graph->node_count - 1], "dtype", dtype) == TN_OK;
    return set ? out : -1;
}

static int add_true(tn_graph *graph) {
    tn_tensor *tensor = tn_graph_tensor(graph, TN_BOOL, 0, NULL, NULL);
    if (!tensor) return -1;
    *(bool *)tensor->data = true;
    return tn_graph_add_constant(graph, NULL, tensor);
}

/* The body's part: `old` were its inputs, `sequence` says which of them were elements of sequences. */
static tn_status change_body(tn_graph *body, int old_count, const bool *sequence, int results) {
    int shift = 2 + results;
    int *in = tn_region_array(body->region, (size_t)shift, sizeof *in);
    int *out = tn_region_array(body->region, (size_t)results + 1, sizeof *out);
    tn_capture *captures =
        tn_region_array(body->region, (size_t)body->capture_count + (size_t)old_count, sizeof *captures);
    if (!in || !out || !captures) return TN_E_MEMORY;
    for (int i = 0; i < shift; i++)
        if ((in[i] = tn_graph_add_value(body, NULL, NULL)) < 0) return TN_E_MEMORY;
    tn_type_tensor(&body->values[in[0]].type, TN_INT64, 0, NULL);
    tn_type_tensor(&body->values[in[1]].type, TN_BOOL, 0, NULL);
    int count = body->capture_count;
    for (int c = 0; c < count; c++)
        captures[c] = (tn_capture){body->captures[c].node_input + shift, body->captures[c].value};
    for (int i = 0; i < old_count; i++) {
        int value = body->inputs[i];
        if (sequence[i]) {
            const tn_op *at = need("SequenceAt");
            int whole = at ? tn_graph_add_value(body, NULL, NULL) : -1;
            if (whole < 0 || tn_graph_add_node(body, at, NULL, 2, (int[]){whole, in[0]}, 1, &value) < 0)
                return TN_E_MEMORY;
            value = whole;
        }
        captures[count++] = (tn_capture){shift + i, value};
    }
    out[0] = in[1];
    for (int i = 0; i < results; i++) {
        out[i + 1] = add(body, "SequenceInsert", 2, (int[]){in[i + 2], body->outputs[i]});
        if (out[i + 1] < 0) return TN_E_MEMORY;
    }
    body->captures = captures;
    body->capture_count = body->capture_capacity = count;
    body->inputs = in;
    body->input_count = body->input_capacity = shift;
    body->outputs = out;
    body->output_count = body->output_capacity = results + 1;
    return tn_graph_sort(body);
}

static tn_status expand_node(tn_graph *graph, int n) {
    const tn_op *loop = need("Loop");
    tn_node node = graph->nodes[n]; /* the array may move */
    tn_graph *body = tn_attr_graph(&node, "body");
    int results = body->output_count, old_count = node.formal_in, shift = 2 + results;
    int *in = tn_region_array(graph->region, (size_t)shift + (size_t)node.in_count, sizeof *in);
    bool *sequence = tn_region_array(graph->region, (size_t)old_count, sizeof *sequence);
    if (!loop) return TN_E_UNSUPPORTED;
    if (!in || !sequence) return TN_E_MEMORY;
    for (int i = 0; i < old_count; i++) {
        tn_kind kind = graph->values[node.in[i]].type.kind;
        if (kind == TN_KIND_UNKNOWN) return tn_fail(TN_E_UNSUPPORTED, "whether input %d is a sequence is not known", i);
        sequence[i] = kind == TN_KIND_SEQUENCE;
    }
    in[0] = add(graph, "SequenceLength", 1, node.in);
    in[1] = add_true(graph);
    if (in[0] < 0 || in[1] < 0) return TN_E_MEMORY;
    for (int i = 0; i < results; i++)
        if ((in[i + 2] = add_empty(graph, body->values[body->outputs[i]].type.dtype)) < 0) return TN_E_UNSUPPORTED;
    memcpy(in + shift, node.in, (size_t)node.in_count * sizeof *in);
    TN_TRY(change_body(body, old_count, sequence, results));
    tn_node *changed = &graph->nodes[n];
    changed->op = loop;
    changed->in = in;
    changed->in_count = shift + node.in_count;
    changed->formal_in = shift;
    return TN_OK;
}

static tn_status expand_graph(tn_graph *graph, int *changes) {
    int before = *changes;
    for (int n = 0, count = graph->node_count; n < count; n++) {
        const tn_node *node = &graph->nodes[n];
        for (int a = 0; a < node->attr_count; a++)
            if (node->attrs[a].kind == TN_ATTR_GRAPH) TN_TRY(expand_graph(node->attrs[a].g, changes));
        if (strcmp(graph->nodes[n].op->name, "SequenceMap") != 0 || *graph->nodes[n].op->domain) continue;
        tn_status status = expand_node(graph, n);
        if (status != TN_OK) return tn_node_context(status, &graph->nodes[n]);
        ++*changes;
    }
    return *changes == before ? TN_OK : tn_graph_sort(graph);
}

tn_status tn_expand_sequence_maps(tn_graph *graph) {
    int changes = 0;
    TN_TRY(expand_graph(graph, &changes));
    return changes ? tn_graph_infer(graph) : TN_OK;
}
