/* ModelProto: versions, functions, the graph; and the importer's entry point. */
#include "import/onnx.h"
#include <stdio.h>

/* Function `i` joins those of its name. */
static tn_status add_function(tn_importer *importer, int i) {
    tn_function *function = &importer->functions[i];
    int first;
    if (!function->name.size) return tn_fail(TN_E_FORMAT, "function %d of the model has no name", i);
    function->next = -1;
    if (!tn_names_get(&importer->function_names, function->name, &first))
        return tn_names_put(&importer->function_names, importer->scratch, function->name, i);
    function->next = importer->functions[first].next;
    importer->functions[first].next = i;
    return TN_OK;
}

static tn_status read_functions(tn_importer *importer, tn_string message) {
    tn_string *messages;
    TN_TRY(tn_pb_collect(importer->scratch, message, 25, &messages, &importer->function_count));
    importer->functions =
        tn_region_array(importer->scratch, (size_t)importer->function_count, sizeof *importer->functions);
    if (!importer->functions) return TN_E_MEMORY;
    for (int i = 0; i < importer->function_count; i++) {
        tn_function *function = &importer->functions[i];
        tn_pb r = tn_pb_over(messages[i]);
        tn_pb_field f;
        function->message = messages[i];
        while (tn_pb_next(&r, &f)) switch (f.number) {
            case 1: function->name = tn_pb_bytes(&r, &f); break;
            case 10: function->domain = tn_pb_bytes(&r, &f); break;
            case 13: function->overload = tn_pb_bytes(&r, &f); break;
            }
        TN_TRY(tn_pb_done(&r, "FunctionProto"));
        TN_TRY(add_function(importer, i));
    }
    return TN_OK;
}

/* metadata_props, and who made the model. */
static tn_status read_metadata(tn_importer *importer, tn_string message) {
    tn_string *messages;
    int count;
    TN_TRY(tn_pb_collect(importer->scratch, message, 14, &messages, &count));
    for (int i = 0; i < count; i++) {
        tn_string key = {0}, value = {0};
        tn_pb r = tn_pb_over(messages[i]);
        tn_pb_field f;
        while (tn_pb_next(&r, &f)) switch (f.number) {
            case 1: key = tn_pb_bytes(&r, &f); break;
            case 2: value = tn_pb_bytes(&r, &f); break;
            }
        TN_TRY(tn_pb_done(&r, "StringStringEntryProto"));
        char *name = tn_region_strndup(importer->scratch, key.data, key.size);
        char *text = tn_region_strndup(importer->scratch, value.data, value.size);
        if (!name || !text) return TN_E_MEMORY;
        TN_TRY(tn_graph_add_metadata(importer->root, name, text));
    }
    return TN_OK;
}

static tn_status unknown_operators(const tn_importer *importer) {
    char text[1500] = "";
    size_t used = 0;
    int count = 0;
    for (const tn_unknown_op *op = importer->unknown; op; op = op->next, count++) {
        int n = snprintf(text + used, sizeof text - used, "%s%s", count ? ", " : "", op->name);
        if (n > 0) used = TN_MIN(used + (size_t)n, sizeof text - 1);
    }
    return tn_fail(TN_E_UNSUPPORTED, "the model needs %s%d operator%s that this library does not have: %s",
                   count == TN_UNKNOWN_LISTED ? "at least " : "", count, count == 1 ? "" : "s", text);
}

static tn_status import_model(tn_importer *importer, tn_string message) {
    int64_t ir_version = 0;
    tn_string graph = {0};
    tn_pb r = tn_pb_over(message);
    tn_pb_field f;
    while (tn_pb_next(&r, &f)) switch (f.number) {
        case 1: ir_version = tn_pb_int(&r, &f); break;
        case 7: graph = tn_pb_bytes(&r, &f); break;
        }
    TN_TRY(tn_pb_done(&r, "ModelProto (is it an ONNX file?)"));
    if (!graph.data) return tn_fail(TN_E_FORMAT, "there is no graph in it; is it an ONNX file?");
    if (ir_version < 1 || ir_version > TN_ONNX_IR)
        return tn_fail(TN_E_UNSUPPORTED, "IR version %lld; versions 1 to %d are known", (long long)ir_version,
                       TN_ONNX_IR);
    tn_scope scope = {.importer = importer, .graph = importer->root, .prefix = ""};
    tn_opset *opsets, first = {{"", 0}, 1};
    TN_TRY(tn_onnx_opsets(importer->scratch, message, 8, &opsets, &scope.opset_count));
    scope.opsets = opsets;
    if (!scope.opset_count && ir_version < 3) { /* before opsets were written down */
        scope.opset_count = 1;
        scope.opsets = &first;
    }
    TN_TRY(read_functions(importer, message));
    TN_TRY(read_metadata(importer, message));
    tn_status status = tn_onnx_graph(&scope, graph);
    /* What follows from an unknown operator is of no interest. */
    return importer->unknown ? unknown_operators(importer) : status;
}

static tn_status import_with(tn_importer *importer, tn_string message, tn_graph *graph) {
    importer->root = graph;
    importer->scratch = tn_region_create(graph->allocator);
    if (!importer->scratch) return TN_E_MEMORY;
    tn_status status = import_model(importer, message);
    tn_region_destroy(importer->scratch);
    return status;
}

tn_status tn_import_onnx(const void *data, size_t size, const char *folder, tn_graph *graph) {
    return import_with(&(tn_importer){.folder = folder}, (tn_string){data, size}, graph);
}

tn_status tn_import_sections(tn_string message, const char *location, tn_string weights, tn_graph *graph) {
    return import_with(&(tn_importer){.location = location, .weights = weights}, message, graph);
}
