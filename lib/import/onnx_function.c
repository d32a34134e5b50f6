/* Functions of a model: a call becomes the function's nodes, whose names begin with one of the call's own.
 *
 * Subgraphs of the function see its values; attributes that refer to the function's own are looked up in the call.
 * Depth is bounded, and a function that calls itself is refused. */
#include "import/onnx.h"

/* What the call gives, and the function's defaults for what it does not. */
static tn_status bind_arguments(tn_scope *caller, const tn_node_proto *node, tn_scope *inner, tn_string message) {
    tn_importer *importer = caller->importer;
    tn_string *defaults;
    int default_count;
    TN_TRY(tn_pb_collect(importer->scratch, message, 11, &defaults, &default_count));
    tn_argument *list =
        tn_region_array(importer->scratch, (size_t)node->attr_count + (size_t)default_count, sizeof *list);
    if (!list) return TN_E_MEMORY;
    for (int i = 0; i < node->attr_count + default_count; i++) {
        bool is_default = i >= node->attr_count, present;
        tn_argument *argument = &list[inner->argument_count];
        TN_TRY(
            tn_onnx_argument(caller, is_default ? defaults[i - node->attr_count] : node->attrs[i], argument, &present));
        if (present) inner->argument_count++;
    }
    inner->arguments = list; /* a call's own argument stands before the default, and the first one counts */
    return TN_OK;
}

static tn_status bind_values(tn_scope *caller, const tn_node_proto *node, tn_scope *inner, const tn_string *inputs,
                             int input_count) {
    tn_region *scratch = caller->importer->scratch;
    int *values = tn_region_array(scratch, (size_t)node->in_count, sizeof *values);
    if (!values) return TN_E_MEMORY;
    if (node->in_count > input_count)
        return tn_fail(TN_E_FORMAT, "it has %d inputs; the function takes %d", node->in_count, input_count);
    TN_TRY(tn_onnx_inputs(caller, node, values));
    for (int i = 0; i < input_count; i++) {
        int unused;
        if (!inputs[i].size || tn_names_get(&inner->names, inputs[i], &unused))
            return tn_fail(TN_E_FORMAT, "the function's inputs have no name or the same one");
        TN_TRY(tn_names_put(&inner->names, scratch, inputs[i], i < node->in_count ? values[i] : -1));
    }
    return TN_OK;
}

/* Copies a result of the function to the value that its caller knows. */
static tn_status pass_on(tn_scope *caller, tn_string target_name, tn_scope *inner, tn_string name) {
    int value, target;
    if (!target_name.size || !tn_names_get(&caller->names, target_name, &target)) return TN_OK;
    if (!tn_names_get(&inner->names, name, &value) || value < 0)
        return tn_fail(TN_E_FORMAT, "the function's output '%.*s' is written by none of its nodes",
                       (int)TN_MIN(name.size, 200u), name.data);
    const tn_op *identity = tn_op_find("", "Identity");
    if (!identity) return tn_fail(TN_E_UNSUPPORTED, "operator Identity is not in this build");
    return tn_graph_add_node(inner->graph, identity, NULL, 1, &value, 1, &target) < 0 ? TN_E_MEMORY : TN_OK;
}

tn_status tn_onnx_call(tn_scope *caller, const tn_node_proto *node, tn_function *function) {
    tn_importer *importer = caller->importer;
    tn_string *inputs, *outputs;
    int input_count, output_count, node_count;
    tn_node_proto *nodes;
    if (caller->calls >= TN_FUNCTION_DEPTH)
        return tn_fail(TN_E_LIMIT, "functions are nested deeper than %d", TN_FUNCTION_DEPTH);
    tn_scope inner = {.importer = importer, .graph = caller->graph, .bodies = caller->bodies};
    inner.calls = caller->calls + 1;
    inner.prefix = tn_region_printf(importer->scratch, "%s%.*s_%d/", caller->prefix, (int)TN_MIN(node->op.size, 100u),
                                    node->op.data, ++importer->inlined);
    if (!inner.prefix) return TN_E_MEMORY;
    TN_TRY(tn_pb_collect(importer->scratch, function->message, 4, &inputs, &input_count));
    TN_TRY(tn_pb_collect(importer->scratch, function->message, 5, &outputs, &output_count));
    tn_opset *opsets;
    TN_TRY(tn_onnx_opsets(importer->scratch, function->message, 9, &opsets, &inner.opset_count));
    inner.opsets = opsets;
    TN_TRY(bind_arguments(caller, node, &inner, function->message));
    TN_TRY(bind_values(caller, node, &inner, inputs, input_count));
    TN_TRY(tn_onnx_nodes(&inner, function->message, 7, &nodes, &node_count));
    if (node->out_count > output_count)
        return tn_fail(TN_E_FORMAT, "it has %d outputs; the function gives %d", node->out_count, output_count);
    function->active = true;
    TN_TRY(tn_onnx_declare(&inner, nodes, node_count));
    TN_TRY(tn_onnx_add(&inner, nodes, node_count));
    function->active = false;
    for (int i = 0; i < node->out_count; i++) TN_TRY(pass_on(caller, node->out[i], &inner, outputs[i]));
    return TN_OK;
}
