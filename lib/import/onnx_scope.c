/* Names in scopes: values of a graph, of the graphs around it through captures. */
#include "import/onnx.h"

const char *tn_import_text(tn_importer *importer, tn_string s) {
    return tn_region_strndup(importer->scratch, s.data, s.size);
}

tn_status tn_scope_find(tn_scope *scope, tn_string name, bool *found, int *value) {
    *found = tn_names_get(&scope->names, name, value);
    if (*found || !scope->outer) return TN_OK;
    int outer;
    TN_TRY(tn_scope_find(scope->outer, name, found, &outer));
    if (!*found) return TN_OK;
    bool here = scope->outer->graph == scope->graph; /* an inlined subgraph's values are its outer graph's */
    *value = outer < 0 || here ? outer : tn_graph_capture(scope->outer->graph, scope->owner, scope->graph, outer);
    if (outer >= 0 && *value < 0) return TN_E_MEMORY;
    return tn_names_put(&scope->names, scope->importer->scratch, name, *value);
}

tn_status tn_scope_declare(tn_scope *scope, tn_string name, int value) {
    int before;
    if (value < 0) return TN_E_MEMORY;
    if (tn_names_get(&scope->names, name, &before))
        return tn_fail(TN_E_FORMAT, "the name '%.*s' is given to two values", (int)TN_MIN(name.size, 200u), name.data);
    return tn_names_put(&scope->names, scope->importer->scratch, name, value);
}

const char *tn_scope_name(const tn_scope *scope, tn_string name) {
    const size_t prefix = strlen(scope->prefix);
    char *text = tn_region_alloc(scope->importer->scratch, prefix + name.size + 1);
    if (!text) return NULL;
    memcpy(text, scope->prefix, prefix);
    if (name.size) memcpy(text + prefix, name.data, name.size);
    return text;
}

int tn_scope_value(tn_scope *scope, tn_string name, const tn_type *type) {
    const char *text = tn_scope_name(scope, name);
    return text ? tn_graph_add_value(scope->graph, text, type) : -1;
}

tn_status tn_scope_constant(tn_scope *scope, tn_string name, const tn_tensor *tensor) {
    const char *text = tn_scope_name(scope, name);
    return tn_scope_declare(scope, name, text ? tn_graph_add_constant(scope->graph, text, tensor) : -1);
}
