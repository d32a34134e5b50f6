/* Attributes of nodes, and a node's name for error sentences. */
#include "graph/op.h"

tn_status tn_node_context(tn_status status, const tn_node *node) {
    if (node->name && *node->name) return tn_fail_context(status, "node '%s' (%s)", node->name, node->op->name);
    return tn_fail_context(status, "a node without a name (%s)", node->op->name);
}

tn_status tn_node_set_attr(tn_graph *graph, tn_node *node, const tn_attr *attr) {
    for (int i = 0; i < node->attr_count; i++) {
        if (strcmp(node->attrs[i].name, attr->name) != 0) continue;
        const char *name = node->attrs[i].name;
        node->attrs[i] = *attr;
        node->attrs[i].name = name;
        return TN_OK;
    }
    tn_attr *attrs = tn_region_array(graph->region, (size_t)node->attr_count + 1, sizeof *attrs);
    char *name = attrs ? tn_region_strdup(graph->region, attr->name) : NULL;
    if (!name) return TN_E_MEMORY;
    if (node->attr_count) memcpy(attrs, node->attrs, (size_t)node->attr_count * sizeof *attrs);
    attrs[node->attr_count] = *attr;
    attrs[node->attr_count++].name = name;
    node->attrs = attrs;
    return TN_OK;
}

tn_status tn_node_set_int(tn_graph *graph, tn_node *node, const char *name, int64_t value) {
    return tn_node_set_attr(graph, node, &(tn_attr){.name = name, .kind = TN_ATTR_INT, .i = value});
}

tn_status tn_node_set_float(tn_graph *graph, tn_node *node, const char *name, float value) {
    return tn_node_set_attr(graph, node, &(tn_attr){.name = name, .kind = TN_ATTR_FLOAT, .f = value});
}

tn_status tn_node_set_text(tn_graph *graph, tn_node *node, const char *name, const char *value) {
    char *copy = tn_region_strdup(graph->region, value);
    if (!copy) return TN_E_MEMORY;
    return tn_node_set_attr(graph, node, &(tn_attr){.name = name, .kind = TN_ATTR_STRING, .s = {copy, strlen(copy)}});
}

static void *copy_array(tn_graph *graph, size_t count, size_t size, const void *from) {
    void *copy = tn_region_array(graph->region, TN_MAX(count, (size_t)1), size);
    if (copy && count) memcpy(copy, from, count * size);
    return copy;
}

tn_status tn_node_set_ints(tn_graph *graph, tn_node *node, const char *name, size_t count, const int64_t *values) {
    int64_t *copy = copy_array(graph, count, sizeof *values, values);
    if (!copy) return TN_E_MEMORY;
    return tn_node_set_attr(graph, node, &(tn_attr){.name = name, .kind = TN_ATTR_INTS, .count = count, .ints = copy});
}

tn_status tn_node_set_floats(tn_graph *graph, tn_node *node, const char *name, size_t count, const float *values) {
    float *copy = copy_array(graph, count, sizeof *values, values);
    if (!copy) return TN_E_MEMORY;
    return tn_node_set_attr(graph, node,
                            &(tn_attr){.name = name, .kind = TN_ATTR_FLOATS, .count = count, .floats = copy});
}

void tn_node_drop_attr(tn_node *node, const char *name) {
    int kept = 0;
    for (int i = 0; i < node->attr_count; i++)
        if (strcmp(node->attrs[i].name, name) != 0) node->attrs[kept++] = node->attrs[i];
    node->attr_count = kept;
}

const tn_attr *tn_node_attr(const tn_node *node, const char *name) {
    for (int i = 0; i < node->attr_count; i++)
        if (strcmp(node->attrs[i].name, name) == 0) return &node->attrs[i];
    return NULL;
}

static const tn_attr *of_kind(const tn_node *node, const char *name, tn_attr_kind kind) {
    const tn_attr *attr = tn_node_attr(node, name);
    return attr && attr->kind == kind ? attr : NULL;
}

int64_t tn_attr_int(const tn_node *node, const char *name, int64_t fallback) {
    const tn_attr *attr = of_kind(node, name, TN_ATTR_INT);
    return attr ? attr->i : fallback;
}

float tn_attr_float(const tn_node *node, const char *name, float fallback) {
    const tn_attr *attr = of_kind(node, name, TN_ATTR_FLOAT);
    return attr ? attr->f : fallback;
}

const char *tn_attr_text(const tn_node *node, const char *name, const char *fallback) {
    const tn_attr *attr = of_kind(node, name, TN_ATTR_STRING);
    return attr ? attr->s.data : fallback;
}

const int64_t *tn_attr_ints(const tn_node *node, const char *name, size_t *out_count) {
    const tn_attr *attr = of_kind(node, name, TN_ATTR_INTS);
    *out_count = attr ? attr->count : 0;
    return attr ? attr->ints : NULL;
}

int64_t tn_attr_int_at(const tn_node *node, const char *name, int i, int64_t fallback) {
    size_t count;
    const int64_t *values = tn_attr_ints(node, name, &count);
    return i >= 0 && (size_t)i < count ? values[i] : fallback;
}

const float *tn_attr_floats(const tn_node *node, const char *name, size_t *out_count) {
    const tn_attr *attr = of_kind(node, name, TN_ATTR_FLOATS);
    *out_count = attr ? attr->count : 0;
    return attr ? attr->floats : NULL;
}

const tn_tensor *tn_attr_tensor(const tn_node *node, const char *name) {
    const tn_attr *attr = of_kind(node, name, TN_ATTR_TENSOR);
    return attr ? attr->t : NULL;
}

tn_graph *tn_attr_graph(const tn_node *node, const char *name) {
    const tn_attr *attr = of_kind(node, name, TN_ATTR_GRAPH);
    return attr ? attr->g : NULL;
}
