/* The public face of graphs: the builder, and looking into one. See tenon/graph.h. */
#include "graph/custom.h"
#include "graph/infer.h"
#include <stdio.h>

static tn_status check_value(const tn_graph *graph, int value) {
    if (value >= 0 && value < graph->value_count) return TN_OK;
    return tn_fail(TN_E_INVALID, "value %d does not exist; the graph has %d", value, graph->value_count);
}

tn_status tn_graph_create(const tn_allocator *allocator, tn_graph **out_graph) {
    return tn_graph_create_root(allocator, 0, out_graph);
}

int64_t tn_graph_symbol(tn_graph *graph, const char *name) {
    int symbol = tn_graph_add_symbol(graph, name);
    return symbol < 0 ? 0 : -2 - (int64_t)symbol;
}

tn_status tn_graph_input(tn_graph *graph, const char *name, tn_dtype dtype, int rank, const int64_t *dims,
                         int *out_value) {
    if (rank < -1 || rank > TN_MAX_RANK)
        return tn_fail(TN_E_SHAPE, "input '%s' has rank %d; tensors have 0 to %d dimensions", name, rank, TN_MAX_RANK);
    if (!tn_dtype_bits(dtype)) return tn_fail(TN_E_TYPE, "input '%s' has unknown data type %d", name, (int)dtype);
    for (int i = 0; i < rank; i++)
        if (dims[i] < -1 && -2 - dims[i] >= graph->root->symbol_count)
            return tn_fail(TN_E_SHAPE, "dimension %d of input '%s' is %lld, which is no symbol; see tn_graph_symbol", i,
                           name, (long long)dims[i]);
    tn_type type;
    tn_type_tensor(&type, dtype, rank, dims);
    int value = tn_graph_add_value(graph, name, &type);
    if (value < 0) return TN_E_MEMORY;
    *out_value = value;
    return tn_graph_add_input(graph, value);
}

/* A dense copy of any tensor in the graph's region, the bytes of strings included. */
static tn_tensor *copy_tensor(tn_graph *graph, const tn_tensor *tensor) {
    tn_tensor *copy = tn_graph_tensor(graph, tensor->dtype, tensor->rank, tensor->dims, NULL);
    if (!copy || tn_tensor_copy(copy, tensor) != TN_OK) return NULL;
    if (copy->dtype != TN_STRING) return copy;
    tn_string *strings = copy->data;
    for (int64_t i = 0; i < tn_count(copy); i++) {
        char *bytes = tn_region_strndup(graph->region, strings[i].data, strings[i].size);
        if (!bytes) return NULL;
        strings[i].data = bytes;
    }
    return copy;
}

tn_status tn_graph_constant(tn_graph *graph, const char *name, const tn_tensor *tensor, int *out_value) {
    tn_tensor *copy = copy_tensor(graph, tensor);
    int value = copy ? tn_graph_add_constant(graph, name, copy) : -1;
    if (value < 0) return TN_E_MEMORY;
    *out_value = value;
    return TN_OK;
}

static tn_status add_attribute(tn_graph *graph, tn_node *node, const tn_attribute *a) {
    switch (a->kind) {
    case TN_ATTR_FLOAT: return tn_node_set_float(graph, node, a->name, a->f);
    case TN_ATTR_INT: return tn_node_set_int(graph, node, a->name, a->i);
    case TN_ATTR_STRING: return tn_node_set_text(graph, node, a->name, a->s ? a->s : "");
    case TN_ATTR_INTS: return tn_node_set_ints(graph, node, a->name, a->count, a->ints);
    case TN_ATTR_FLOATS: return tn_node_set_floats(graph, node, a->name, a->count, a->floats);
    case TN_ATTR_TENSOR: {
        tn_tensor *copy = a->tensor ? copy_tensor(graph, a->tensor) : NULL;
        if (!copy) return tn_fail(TN_E_INVALID, "attribute '%s' has no tensor", a->name);
        return tn_node_set_attr(graph, node, &(tn_attr){.name = a->name, .kind = TN_ATTR_TENSOR, .t = copy});
    }
    default: return tn_fail(TN_E_UNSUPPORTED, "attribute '%s' is of kind %d, which cannot be built", a->name, a->kind);
    }
}

tn_status tn_graph_node(tn_graph *graph, const char *op_name, const char *name, int in_count, const int *in,
                        int out_count, int *out, const tn_attribute *attributes) {
    const tn_op *op = tn_op_find_qualified(op_name, graph);
    if (!op) return tn_fail(TN_E_NOT_FOUND, "there is no operator '%s'; names are ONNX's, as 'Relu'", op_name);
    if (op->flags & TN_OP_CONTROL)
        return tn_fail(TN_E_UNSUPPORTED, "operator '%s' has subgraphs; it comes with imported models only", op_name);
    for (int i = 0; i < in_count; i++)
        if (in[i] != -1) TN_TRY(check_value(graph, in[i]));
    if (in_count < 0 || out_count < 0) return tn_fail(TN_E_INVALID, "a negative number of inputs or outputs");
    int nodes = graph->node_count, values = graph->value_count;
    /* `out` may be the very array that `in` is. */
    int *made = tn_region_array(graph->region, (size_t)out_count + 1, sizeof *made);
    tn_status status = made ? TN_OK : TN_E_MEMORY;
    for (int i = 0; i < out_count && status == TN_OK; i++) {
        char text[200];
        snprintf(text, sizeof text, "%s%s%d", name ? name : op->name, name ? "." : "_", name ? i : graph->value_count);
        made[i] = tn_graph_add_value(graph, text, NULL);
        if (made[i] < 0) status = TN_E_MEMORY;
    }
    int index = status == TN_OK ? tn_graph_add_node(graph, op, name, in_count, in, out_count, made) : -1;
    if (index < 0) status = TN_E_MEMORY;
    for (const tn_attribute *a = attributes; status == TN_OK && a && a->name; a++)
        status = add_attribute(graph, &graph->nodes[index], a);
    if (status == TN_OK) {
        status = tn_graph_infer_node(graph, &graph->nodes[index]);
        if (status != TN_OK) tn_node_context(status, &graph->nodes[index]);
    }
    if (status != TN_OK) {
        graph->node_count = nodes;
        graph->value_count = values;
        return status;
    }
    if (out_count) memcpy(out, made, (size_t)out_count * sizeof *out);
    return TN_OK;
}

tn_status tn_graph_output(tn_graph *graph, int value, const char *name) {
    TN_TRY(check_value(graph, value));
    if (name) {
        char *copy = tn_region_strdup(graph->region, name);
        if (!copy) return TN_E_MEMORY;
        graph->values[value].name = copy;
    }
    return tn_graph_add_output(graph, value);
}

int tn_graph_node_count(const tn_graph *graph) {
    return graph->node_count;
}
int tn_graph_value_count(const tn_graph *graph) {
    return graph->value_count;
}
int tn_graph_input_count(const tn_graph *graph) {
    return graph->input_count;
}
int tn_graph_output_count(const tn_graph *graph) {
    return graph->output_count;
}

int tn_graph_input_value(const tn_graph *graph, int index) {
    return index >= 0 && index < graph->input_count ? graph->inputs[index] : -1;
}

int tn_graph_output_value(const tn_graph *graph, int index) {
    return index >= 0 && index < graph->output_count ? graph->outputs[index] : -1;
}

tn_status tn_graph_node_info(const tn_graph *graph, int index, tn_node_info *out_info) {
    if (index < 0 || index >= graph->node_count)
        return tn_fail(TN_E_NOT_FOUND, "node %d does not exist; the graph has %d", index, graph->node_count);
    const tn_node *node = &graph->nodes[index];
    *out_info = (tn_node_info){node->op->domain, node->op->name, node->name, node->in_count,
                               node->out_count,  node->in,       node->out};
    return TN_OK;
}

const tn_graph *tn_graph_node_body(const tn_graph *graph, int node, int index, const char **out_name) {
    const tn_node *n = node >= 0 && node < graph->node_count ? &graph->nodes[node] : NULL;
    for (int a = 0; n && a < n->attr_count; a++) {
        if (n->attrs[a].kind != TN_ATTR_GRAPH || index-- != 0) continue;
        if (out_name) *out_name = n->attrs[a].name;
        return n->attrs[a].g;
    }
    return NULL;
}

tn_status tn_graph_value_info(const tn_graph *graph, int index, tn_value_info *out_info) {
    TN_TRY(check_value(graph, index));
    const tn_graph_value *value = &graph->values[index];
    const tn_type *type = &value->type;
    *out_info =
        (tn_value_info){.name = value->name, .dtype = type->dtype, .rank = type->rank, .constant = value->constant};
    out_info->kind = type->optional                   ? "optional"
                     : type->kind == TN_KIND_SEQUENCE ? "sequence"
                     : type->kind == TN_KIND_OTHER    ? "other"
                                                      : "tensor";
    for (int i = 0; i < type->rank; i++) {
        int64_t symbol = -2 - type->dims[i];
        out_info->dims[i] = type->dims[i];
        if (symbol >= 0 && symbol < graph->root->symbol_count) out_info->symbols[i] = graph->root->symbols[symbol];
    }
    return TN_OK;
}

/* Text that counts what it would take where it no longer fits. */
typedef struct {
    char *text;
    size_t size, used;
} writer;

static void write_text(writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void write_text(writer *w, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    bool fits = w->used < w->size;
    int n = vsnprintf(fits ? w->text + w->used : NULL, fits ? w->size - w->used : 0, format, arguments);
    va_end(arguments);
    if (n > 0) w->used += (size_t)n;
}

static void write_attribute(writer *w, const tn_attr *a) {
    char type[160];
    switch (a->kind) {
    case TN_ATTR_FLOAT: write_text(w, "%g", (double)a->f); break;
    case TN_ATTR_INT: write_text(w, "%lld", (long long)a->i); break;
    case TN_ATTR_STRING: write_text(w, "%.*s", (int)TN_MIN(a->s.size, (size_t)80), a->s.data); break;
    case TN_ATTR_TENSOR:
        write_text(w, "%s", tn_shape_text(type, sizeof type, a->t->dtype, a->t->rank, a->t->dims));
        break;
    case TN_ATTR_GRAPH: write_text(w, "{%d nodes}", a->g->node_count); break;
    case TN_ATTR_TYPE: write_text(w, "%s", tn_type_text(type, sizeof type, NULL, a->type)); break;
    default:
        write_text(w, "[");
        for (size_t i = 0; i < a->count && i < 16; i++) {
            const char *comma = i ? "," : "";
            if (a->kind == TN_ATTR_FLOATS)
                write_text(w, "%s%g", comma, (double)a->floats[i]);
            else if (a->kind == TN_ATTR_INTS)
                write_text(w, "%s%lld", comma, (long long)a->ints[i]);
            else
                write_text(w, "%s%.*s", comma, (int)TN_MIN(a->strings[i].size, (size_t)40), a->strings[i].data);
        }
        write_text(w, a->count > 16 ? ",...]" : "]");
    }
}

size_t tn_graph_node_attributes(const tn_graph *graph, int index, char *text, size_t size) {
    writer w = {text, size, 0};
    if (size) text[0] = 0;
    if (index < 0 || index >= graph->node_count) return 0;
    const tn_node *node = &graph->nodes[index];
    for (int i = 0; i < node->attr_count; i++) {
        write_text(&w, "%s%s=", i ? " " : "", node->attrs[i].name);
        write_attribute(&w, &node->attrs[i]);
    }
    return w.used;
}

size_t tn_graph_value_text(const tn_graph *graph, int value, char *text, size_t size) {
    char full[1200] = "";
    if (value >= 0 && value < graph->value_count) tn_type_text(full, sizeof full, graph, &graph->values[value].type);
    return (size_t)snprintf(text, size, "%s", full);
}
