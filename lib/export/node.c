/* GraphProto, NodeProto and AttributeProto. */
#include "export/export.h"
#include "graph/op.h"
#include "import/onnx.h"

static tn_status put_attribute(tn_exporter *exporter, tn_export_scope *scope, int node, const tn_attr *attr) {
    tn_pb_out *out = exporter->out;
    tn_pb_mark message = tn_pb_open(out, 5);
    tn_export_scope body = {.outer = scope, .owner = node};
    tn_pb_put_text(out, 1, attr->name);
    switch (attr->kind) {
    case TN_ATTR_FLOAT: tn_pb_put_float(out, 2, attr->f); break;
    case TN_ATTR_INT: tn_pb_put_int(out, 3, attr->i); break;
    case TN_ATTR_STRING: tn_pb_put_bytes(out, 4, attr->s.data, attr->s.size); break;
    case TN_ATTR_TENSOR: TN_TRY(tn_export_tensor(exporter, 5, attr->t, NULL)); break;
    case TN_ATTR_GRAPH:
        body.graph = attr->g;
        TN_TRY(tn_export_graph(exporter, 6, &body));
        break;
    case TN_ATTR_FLOATS:
        for (size_t i = 0; i < attr->count; i++) tn_pb_put_float(out, 7, attr->floats[i]);
        break;
    case TN_ATTR_INTS:
        for (size_t i = 0; i < attr->count; i++) tn_pb_put_int(out, 8, attr->ints[i]);
        break;
    case TN_ATTR_STRINGS:
        for (size_t i = 0; i < attr->count; i++) tn_pb_put_bytes(out, 9, attr->strings[i].data, attr->strings[i].size);
        break;
    case TN_ATTR_TYPE: tn_export_type(exporter, 14, scope->graph, attr->type, true); break;
    }
    tn_pb_put_int(out, 20, attr->kind);
    tn_pb_close(out, message);
    return out->status;
}

/* Names in order; absent ones at the end are left out. */
static void put_names(tn_pb_out *out, uint32_t number, const char *const *names, int count, const int *values) {
    while (count > 0 && values[count - 1] < 0) count--;
    for (int i = 0; i < count; i++) tn_pb_put_text(out, number, values[i] < 0 ? "" : names[values[i]]);
}

static tn_status put_node(tn_exporter *exporter, tn_export_scope *scope, int index) {
    const tn_node *node = &scope->graph->nodes[index];
    tn_pb_out *out = exporter->out;
    tn_pb_mark message = tn_pb_open(out, 1);
    /* A place for an absent input at the end may have a meaning where there are subgraphs. */
    int last = node->formal_in;
    bool bodies = false;
    for (int a = 0; a < node->attr_count; a++) bodies |= node->attrs[a].kind == TN_ATTR_GRAPH;
    put_names(out, 1, scope->names, last, node->in);
    for (; bodies && last > 0 && node->in[last - 1] < 0; last--) tn_pb_put_text(out, 1, "");
    put_names(out, 2, scope->names, node->out_count, node->out);
    if (*node->name) tn_pb_put_text(out, 3, node->name);
    tn_pb_put_text(out, 4, node->op->name);
    for (int a = 0; a < node->attr_count; a++) {
        tn_status status = put_attribute(exporter, scope, index, &node->attrs[a]);
        if (status != TN_OK)
            return tn_node_context(tn_fail_context(status, "attribute '%s'", node->attrs[a].name), node);
    }
    if (*node->op->domain) tn_pb_put_text(out, 7, node->op->domain);
    tn_pb_close(out, message);
    return out->status;
}

/* ZipMap gives a tensor here, and in ONNX a sequence of maps: TypeProto.Sequence, of a TypeProto.Map. */
static void put_map_type(tn_pb_out *out, const tn_node *zip_map) {
    static const uint32_t path[] = {2, 4, 1, 5};
    bool strings = tn_node_attr(zip_map, "classlabels_strings") != NULL;
    tn_pb_mark marks[TN_COUNT(path)];
    for (size_t i = 0; i < TN_COUNT(path); i++) marks[i] = tn_pb_open(out, path[i]);
    tn_pb_put_int(out, 1, strings ? TN_STRING : TN_INT64);
    tn_pb_mark value = tn_pb_open(out, 2), tensor = tn_pb_open(out, 1);
    tn_pb_put_int(out, 1, TN_FLOAT32);
    tn_pb_close(out, tensor);
    tn_pb_close(out, value);
    for (size_t i = TN_COUNT(path); i > 0; i--) tn_pb_close(out, marks[i - 1]);
}

static void put_value(tn_exporter *exporter, uint32_t number, const tn_export_scope *scope, const tn_type *type,
                      bool shape, const tn_node *zip_map, const char *name) {
    tn_pb_mark message = tn_pb_open(exporter->out, number);
    tn_pb_put_text(exporter->out, 1, name);
    if (zip_map)
        put_map_type(exporter->out, zip_map);
    else
        tn_export_type(exporter, 2, scope->graph, type, shape);
    tn_pb_close(exporter->out, message);
}

/* An output's type as it was inferred; where that left its rank open, the file that the graph came from may know it. */
static const tn_type *output_type(const tn_graph *graph, int output) {
    const tn_type *type = &graph->values[graph->outputs[output]].type;
    const tn_type *declared = output < graph->declared_count ? &graph->declared[output] : NULL;
    bool open = type->kind == TN_KIND_UNKNOWN || (type->kind != TN_KIND_OTHER && type->rank < 0);
    if (!declared || !open || declared->kind == TN_KIND_UNKNOWN) return type;
    bool fits = type->kind == TN_KIND_UNKNOWN ||
                (type->kind == declared->kind && (!type->dtype || type->dtype == declared->dtype));
    return fits ? declared : type;
}

static const tn_node *zip_map_of(const tn_graph *graph, int value) {
    int producer = graph->values[value].producer;
    const tn_node *node = producer >= 0 ? &graph->nodes[producer] : NULL;
    return node && strcmp(node->op->name, "ZipMap") == 0 && strcmp(node->op->domain, "ai.onnx.ml") == 0 ? node : NULL;
}

/* Whether the value belongs to a graph around this subgraph. */
static bool is_outer(const tn_export_scope *scope, int value) {
    for (int c = 0; c < scope->graph->capture_count; c++)
        if (scope->graph->captures[c].value == value) return true;
    return scope->graph->values[value].constant && !scope->written[value];
}

/* Outputs of a subgraph must be its own: what it only passes on goes through an Identity. */
static tn_status put_outputs(tn_exporter *exporter, tn_export_scope *scope) {
    const tn_graph *graph = scope->graph;
    const char **names = tn_region_array(exporter->scratch, (size_t)graph->output_count + 1, sizeof *names);
    if (!names) return TN_E_MEMORY;
    for (int i = 0; i < graph->output_count; i++) {
        int value = graph->outputs[i];
        names[i] = scope->names[value];
        if (!scope->outer || !is_outer(scope, value)) continue;
        names[i] = tn_export_new_name(exporter, scope, names[i]);
        if (!names[i]) return TN_E_MEMORY;
        tn_pb_mark node = tn_pb_open(exporter->out, 1);
        tn_pb_put_text(exporter->out, 1, scope->names[value]);
        tn_pb_put_text(exporter->out, 2, names[i]);
        tn_pb_put_text(exporter->out, 4, "Identity");
        tn_pb_close(exporter->out, node);
    }
    for (int i = 0; i < graph->output_count; i++)
        put_value(exporter, 12, scope, output_type(graph, i), !scope->outer, zip_map_of(graph, graph->outputs[i]),
                  names[i]);
    return TN_OK;
}

tn_status tn_export_graph(tn_exporter *exporter, uint32_t number, tn_export_scope *scope) {
    const tn_graph *graph = scope->graph;
    TN_TRY(tn_export_names(exporter, scope));
    tn_pb_mark message = tn_pb_open(exporter->out, number);
    for (int n = 0; n < graph->node_count; n++) TN_TRY(put_node(exporter, scope, n));
    tn_pb_put_text(exporter->out, 2, *graph->name ? graph->name : scope->outer ? "body" : "graph");
    for (int v = 0; v < graph->value_count; v++)
        if (scope->written[v]) TN_TRY(tn_export_tensor(exporter, 5, graph->values[v].constant, scope->names[v]));
    for (int i = 0; i < graph->input_count; i++) {
        /* Types of subgraphs' inputs and outputs come from their nodes, and their shapes may change from one run of the
         * subgraph to the next. But ONNX Runtime wants to be told that a Loop's count and condition are scalars. */
        bool shape = !scope->outer || (i < 2 && strcmp(scope->outer->graph->nodes[scope->owner].op->name, "Loop") == 0);
        put_value(exporter, 11, scope, &graph->values[graph->inputs[i]].type, shape, NULL,
                  scope->names[graph->inputs[i]]);
    }
    TN_TRY(put_outputs(exporter, scope));
    tn_pb_close(exporter->out, message);
    return exporter->out->status;
}

/* A map or a sparse tensor as the model's input or output cannot be told: the graph has forgotten its type. */
static tn_status check_ends(const tn_graph *graph, const char *what, int count, const int *values) {
    for (int i = 0; i < count; i++)
        if (graph->values[values[i]].type.kind == TN_KIND_OTHER)
            return tn_fail(TN_E_UNSUPPORTED, "%s '%s' is a map or a sparse tensor, which cannot be saved", what,
                           graph->values[values[i]].name);
    return TN_OK;
}

static void put_metadata(tn_pb_out *out, const char *key, const char *value) {
    tn_pb_mark entry = tn_pb_open(out, 14);
    tn_pb_put_text(out, 1, key);
    tn_pb_put_text(out, 2, value);
    tn_pb_close(out, entry);
}

tn_status tn_export_onnx(const tn_graph *graph, const tn_export_options *options, tn_region *scratch, tn_pb_out *out,
                         tn_weights *weights) {
    tn_exporter exporter = {.options = options, .scratch = scratch, .out = out, .weights = weights};
    tn_export_scope scope = {.graph = graph};
    TN_TRY(check_ends(graph, "input", graph->input_count, graph->inputs));
    TN_TRY(check_ends(graph, "output", graph->output_count, graph->outputs));
    TN_TRY(tn_export_require(&exporter, graph));
    tn_pb_put_int(out, 1, exporter.ir);
    tn_pb_put_text(out, 2, "tenon");
    tn_pb_put_text(out, 3, TN_VERSION);
    TN_TRY(tn_export_graph(&exporter, 7, &scope));
    for (int i = 0; i < exporter.domain_count; i++) {
        tn_pb_mark import = tn_pb_open(out, 8);
        tn_pb_put_text(out, 1, exporter.domains[i].name);
        tn_pb_put_int(out, 2, exporter.domains[i].version);
        tn_pb_close(out, import);
    }
    for (int i = 0; i + 1 < graph->metadata_count; i += 2) {
        bool manifest = strcmp(graph->metadata[i], TN_MANIFEST_METADATA) == 0;
        if (!manifest || !(options->bare || graph->manifest))
            put_metadata(out, graph->metadata[i], graph->metadata[i + 1]);
    }
    if (graph->manifest && !options->bare) put_metadata(out, TN_MANIFEST_METADATA, graph->manifest);
    return out->status;
}
