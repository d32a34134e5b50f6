/* Names: each value that is written needs one that no other in sight has, as subgraphs see the names around them.
 *
 * Inputs and outputs of the model keep theirs, others where nobody has taken them before. A subgraph's captures have the
 * names of what they stand for, and so have constants that it shares with a graph around it. */
#include "export/export.h"

static bool is_taken(const tn_export_scope *scope, tn_string name) {
    int unused;
    for (; scope; scope = scope->outer)
        if (tn_names_get(&scope->taken, name, &unused)) return true;
    return false;
}

const char *tn_export_new_name(tn_exporter *exporter, tn_export_scope *scope, const char *wish) {
    const char *name = wish;
    for (size_t n = scope->taken.count; !*name || is_taken(scope, tn_string_of(name)); n++) {
        name = tn_region_printf(exporter->scratch, "%s_%zu", *wish ? wish : "value", n);
        if (!name) return NULL;
    }
    return tn_names_put(&scope->taken, exporter->scratch, tn_string_of(name), 0) == TN_OK ? name : NULL;
}

static tn_status name_value(tn_exporter *exporter, tn_export_scope *scope, int value) {
    if (!scope->names[value])
        scope->names[value] = tn_export_new_name(exporter, scope, scope->graph->values[value].name);
    return scope->names[value] ? TN_OK : TN_E_MEMORY;
}

/* The key of a constant's contents: where they are. */
static tn_string place_of(const tn_tensor *const *tensor) {
    return (tn_string){(const char *)tensor, sizeof *tensor};
}

/* The graph from this one outwards that has this constant, and its value there. */
static const tn_export_scope *find_constant(const tn_export_scope *scope, const tn_tensor *const *tensor, int *value) {
    while (scope && !tn_names_get(&scope->constants, place_of(tensor), value)) scope = scope->outer;
    return scope;
}

static void use(tn_export_scope *scope, int value) {
    if (scope->graph->values[value].constant && !scope->names[value]) scope->written[value] = true;
}

/* What subgraphs, at any depth, share of this graph's constants is written here. */
static void use_in_body(tn_export_scope *scope, const tn_graph *body) {
    int value;
    for (int v = 0; v < body->value_count; v++)
        if (body->values[v].constant && tn_names_get(&scope->constants, place_of(&body->values[v].constant), &value) &&
            !scope->names[value])
            scope->written[value] = true;
    for (int n = 0; n < body->node_count; n++)
        for (int a = 0; a < body->nodes[n].attr_count; a++)
            if (body->nodes[n].attrs[a].kind == TN_ATTR_GRAPH) use_in_body(scope, body->nodes[n].attrs[a].g);
}

/* Constants by their contents. What a graph around has too goes by its name there. */
static tn_status read_constants(tn_exporter *exporter, tn_export_scope *scope) {
    int value;
    for (int v = 0; v < scope->graph->value_count; v++) {
        const tn_tensor *const *tensor = &scope->graph->values[v].constant;
        if (!*tensor) continue;
        const tn_export_scope *at = find_constant(scope->outer, tensor, &value);
        if (at)
            scope->names[v] = at->names[value];
        else if (!tn_names_get(&scope->constants, place_of(tensor), &value))
            TN_TRY(tn_names_put(&scope->constants, exporter->scratch, place_of(tensor), v));
    }
    return TN_OK;
}

static void name_captures(tn_export_scope *scope) {
    const tn_node *owner = &scope->outer->graph->nodes[scope->owner];
    for (int c = 0; c < scope->graph->capture_count; c++) {
        const tn_capture *capture = &scope->graph->captures[c];
        int outer = capture->node_input < owner->in_count ? owner->in[capture->node_input] : -1;
        if (outer >= 0) scope->names[capture->value] = scope->outer->names[outer];
    }
}

static void find_used(tn_export_scope *scope) {
    const tn_graph *graph = scope->graph;
    for (int n = 0; n < graph->node_count; n++) {
        const tn_node *node = &graph->nodes[n];
        for (int i = 0; i < node->in_count; i++)
            if (node->in[i] >= 0) use(scope, node->in[i]);
        for (int a = 0; a < node->attr_count; a++)
            if (node->attrs[a].kind == TN_ATTR_GRAPH) use_in_body(scope, node->attrs[a].g);
    }
    for (int i = 0; i < graph->output_count; i++) use(scope, graph->outputs[i]);
}

tn_status tn_export_names(tn_exporter *exporter, tn_export_scope *scope) {
    const tn_graph *graph = scope->graph;
    scope->names = tn_region_array(exporter->scratch, (size_t)graph->value_count + 1, sizeof *scope->names);
    scope->written = tn_region_array(exporter->scratch, (size_t)graph->value_count + 1, sizeof *scope->written);
    if (!scope->names || !scope->written) return TN_E_MEMORY;
    if (scope->outer) name_captures(scope);
    TN_TRY(read_constants(exporter, scope));
    find_used(scope);
    for (int i = 0; i < graph->input_count; i++) TN_TRY(name_value(exporter, scope, graph->inputs[i]));
    for (int i = 0; i < graph->output_count; i++) TN_TRY(name_value(exporter, scope, graph->outputs[i]));
    for (int v = 0; v < graph->value_count; v++)
        if (scope->written[v]) TN_TRY(name_value(exporter, scope, v));
    for (int n = 0; n < graph->node_count; n++)
        for (int i = 0; i < graph->nodes[n].out_count; i++)
            if (graph->nodes[n].out[i] >= 0) TN_TRY(name_value(exporter, scope, graph->nodes[n].out[i]));
    return TN_OK;
}
