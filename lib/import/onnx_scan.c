/* Scan of opset 8, which ran once for each element of a batch: the first dim of all its inputs and outputs.
 *
 * It becomes a Scan of today over the batch, whose body is a Scan of today over the sequence. Both are made at once, as
 * the inner body's captures go through the outer one. */
#include "graph/custom.h"
#include "graph/infer.h"
#include "import/onnx.h"

static int add_scan(tn_scope *scope, const char *name, int in_count, const int *in, int out_count, const int *out,
                    int64_t scan_inputs) {
    const tn_op *op = tn_graph_find_op(scope->graph, "", "Scan");
    if (!op) {
        tn_fail(TN_E_UNSUPPORTED, "operator Scan is not in this build");
        return -1;
    }
    int index = tn_graph_add_node(scope->graph, op, name, in_count, in, out_count, out);
    if (index < 0) return -1;
    tn_status status = tn_node_set_int(scope->graph, &scope->graph->nodes[index], "num_scan_inputs", scan_inputs);
    return status == TN_OK ? index : -1;
}

/* `count` new values of the graph, as its inputs or as values that will be its outputs. */
static tn_status new_values(tn_graph *graph, int count, int *values, bool inputs) {
    for (int i = 0; i < count; i++) {
        values[i] = tn_graph_add_value(graph, NULL, NULL);
        if (values[i] < 0) return TN_E_MEMORY;
        TN_TRY(inputs ? tn_graph_add_input(graph, values[i]) : tn_graph_add_output(graph, values[i]));
    }
    return TN_OK;
}

tn_status tn_onnx_batched_scan(tn_scope *scope, const tn_node *draft, tn_pending_body *body) {
    int in_count = draft->in_count - 1;
    size_t direction_count;
    const int64_t *directions = tn_attr_ints(draft, "directions", &direction_count);
    if (in_count < 1 || draft->in[0] >= 0)
        return tn_fail(TN_E_UNSUPPORTED, "Scan of opset 8 with sequence lengths is not supported");
    tn_graph *batch = tn_graph_create_body(scope->graph);
    int *in = tn_region_array(scope->importer->scratch, (size_t)in_count, sizeof *in);
    int *out = tn_region_array(scope->importer->scratch, (size_t)draft->out_count, sizeof *out);
    if (!batch || !in || !out) return TN_E_MEMORY;
    TN_TRY(new_values(batch, in_count, in, true));
    TN_TRY(new_values(batch, draft->out_count, out, false));
    int outer = add_scan(scope, draft->name, in_count, draft->in + 1, draft->out_count, draft->out, in_count);
    if (outer < 0) return TN_E_UNSUPPORTED;
    tn_scope inside = *scope;
    inside.graph = batch;
    inside.outer = scope;
    inside.owner = outer;
    inside.bodies = scope->bodies + 1;
    inside.names = (tn_names){0};
    int inner =
        add_scan(&inside, draft->name, in_count, in, draft->out_count, out, tn_attr_int(draft, "num_scan_inputs", 0));
    if (inner < 0) return TN_E_UNSUPPORTED;
    tn_node *node = &batch->nodes[inner];
    if (directions) TN_TRY(tn_node_set_ints(batch, node, "scan_input_directions", direction_count, directions));
    tn_attr whole = {.name = "body", .kind = TN_ATTR_GRAPH, .g = batch};
    if (body->origin != scope) return tn_fail(TN_E_UNSUPPORTED, "Scan of opset 8 whose body is a function's argument");
    body->origin = &inside;
    TN_TRY(tn_onnx_body(&inside, inner, body));
    TN_TRY(tn_node_set_attr(scope->graph, &scope->graph->nodes[outer], &whole));
    return scope->importer->unknown ? TN_OK : tn_graph_infer_node(scope->graph, &scope->graph->nodes[outer]);
}
