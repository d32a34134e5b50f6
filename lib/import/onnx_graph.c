/* GraphProto: names become numbers. A graph's values are all declared before its first node is added, so that nodes
 * may stand in any order; they are sorted at the end. */
#include "import/onnx.h"

/* Initializers, dense or sparse, but those by the name of a value that is there (an input of a subgraph). */
static tn_status read_initializers(tn_scope *scope, tn_string message, bool sparse) {
    tn_importer *importer = scope->importer;
    tn_string *messages;
    int count, unused;
    TN_TRY(tn_pb_collect(importer->scratch, message, sparse ? 15 : 5, &messages, &count));
    for (int i = 0; i < count; i++) {
        tn_tensor *tensor = NULL;
        tn_string name = {0};
        TN_TRY(sparse ? tn_onnx_sparse(importer, messages[i], &tensor, &name)
                      : tn_onnx_constant(importer, messages[i], &tensor, &name));
        if (!name.size) return tn_fail(TN_E_FORMAT, "an initializer has no name");
        if (scope->outer && tn_names_get(&scope->names, name, &unused)) continue;
        TN_TRY(tn_scope_constant(scope, name, tensor));
    }
    return TN_OK;
}

/* Inputs of the model that are initializers as well are constants. What a file says of a subgraph's inputs does not
 * count: their types come from the node that has the subgraph. */
static tn_status read_graph_inputs(tn_scope *scope, tn_string message) {
    tn_importer *importer = scope->importer;
    tn_string *messages;
    int count, unused;
    TN_TRY(tn_pb_collect(importer->scratch, message, 11, &messages, &count));
    for (int i = 0; i < count; i++) {
        tn_string name;
        tn_type type;
        TN_TRY(tn_onnx_value_info(importer->root, importer->scratch, messages[i], &name, scope->outer ? NULL : &type));
        if (!name.size) return tn_fail(TN_E_FORMAT, "input %d has no name", i);
        if (!scope->outer && tn_names_get(&scope->names, name, &unused) && scope->graph->values[unused].constant)
            continue;
        int value = tn_scope_value(scope, name, scope->outer ? NULL : &type);
        TN_TRY(tn_scope_declare(scope, name, value));
        TN_TRY(tn_graph_add_input(scope->graph, value));
    }
    return TN_OK;
}

static tn_status read_graph_outputs(tn_scope *scope, tn_string message) {
    tn_importer *importer = scope->importer;
    tn_string *messages;
    int count, value;
    TN_TRY(tn_pb_collect(importer->scratch, message, 12, &messages, &count));
    tn_type *declared = scope->outer ? NULL : tn_region_array(importer->root->region, (size_t)count, sizeof *declared);
    if (!declared && !scope->outer) return TN_E_MEMORY;
    scope->graph->declared = declared;
    scope->graph->declared_count = declared ? count : 0;
    for (int i = 0; i < count; i++) {
        tn_string name;
        bool found;
        TN_TRY(
            tn_onnx_value_info(importer->root, importer->scratch, messages[i], &name, declared ? &declared[i] : NULL));
        TN_TRY(tn_scope_find(scope, name, &found, &value));
        if (!found || value < 0)
            return tn_fail(TN_E_FORMAT, "output %d '%.*s' does not exist: no node, input or initializer has that name",
                           i, (int)TN_MIN(name.size, 200u), name.data);
        TN_TRY(tn_graph_add_output(scope->graph, value));
    }
    return TN_OK;
}

tn_status tn_onnx_inline(tn_scope *origin, const char *label, tn_string message, int in, int *out) {
    tn_importer *importer = origin->importer;
    tn_string *inputs, *outputs, name;
    int input_count, output_count, node_count;
    tn_node_proto *nodes;
    bool found;
    tn_scope scope = *origin;
    if (origin->bodies >= TN_BODY_DEPTH)
        return tn_fail(TN_E_LIMIT, "subgraphs are nested deeper than %d", TN_BODY_DEPTH);
    scope.outer = origin;
    scope.bodies++;
    scope.names = (tn_names){0};
    scope.prefix = tn_region_printf(importer->scratch, "%s%s_%d/", origin->prefix, label, ++importer->inlined);
    if (!scope.prefix) return TN_E_MEMORY;
    TN_TRY(tn_pb_collect(importer->scratch, message, 11, &inputs, &input_count));
    TN_TRY(tn_pb_collect(importer->scratch, message, 12, &outputs, &output_count));
    if (input_count != 1 || output_count != 1)
        return tn_fail(TN_E_FORMAT, "%s must have one input and one output", label);
    TN_TRY(tn_onnx_value_info(importer->root, importer->scratch, inputs[0], &name, NULL));
    TN_TRY(tn_scope_declare(&scope, name, in));
    TN_TRY(read_initializers(&scope, message, false));
    TN_TRY(read_initializers(&scope, message, true));
    TN_TRY(tn_onnx_nodes(&scope, message, 1, &nodes, &node_count));
    TN_TRY(tn_onnx_declare(&scope, nodes, node_count));
    TN_TRY(tn_onnx_add(&scope, nodes, node_count));
    TN_TRY(tn_onnx_value_info(importer->root, importer->scratch, outputs[0], &name, NULL));
    TN_TRY(tn_scope_find(&scope, name, &found, out));
    return found && *out >= 0 ? TN_OK : tn_fail(TN_E_FORMAT, "the output of %s does not exist", label);
}

tn_status tn_onnx_graph(tn_scope *scope, tn_string message) {
    tn_node_proto *nodes;
    int count;
    if (scope->outer) TN_TRY(read_graph_inputs(scope, message));
    TN_TRY(read_initializers(scope, message, false));
    TN_TRY(read_initializers(scope, message, true));
    if (!scope->outer) TN_TRY(read_graph_inputs(scope, message));
    TN_TRY(tn_onnx_nodes(scope, message, 1, &nodes, &count));
    TN_TRY(tn_onnx_declare(scope, nodes, count));
    TN_TRY(tn_onnx_add(scope, nodes, count));
    TN_TRY(read_graph_outputs(scope, message));
    return tn_graph_sort(scope->graph);
}
