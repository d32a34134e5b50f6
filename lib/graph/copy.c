/* A graph made again: values, nodes and symbols keep their numbers. */
#include "graph/op.h"

/* All that an attribute points to, in the new graph's region; a tensor's contents too. */
static tn_status copy_attr(tn_graph *to, tn_node *node, const tn_attr *a) {
    tn_attr copy = *a;
    switch (a->kind) {
    case TN_ATTR_STRING: return tn_node_set_text(to, node, a->name, a->s.data);
    case TN_ATTR_INTS: return tn_node_set_ints(to, node, a->name, a->count, a->ints);
    case TN_ATTR_FLOATS: return tn_node_set_floats(to, node, a->name, a->count, a->floats);
    case TN_ATTR_TENSOR: {
        if (a->t->dtype == TN_STRING) break;
        tn_tensor *t = tn_graph_tensor(to, a->t->dtype, a->t->rank, a->t->dims, NULL);
        if (!t) return TN_E_MEMORY;
        memcpy(t->data, a->t->data, tn_dtype_bytes(t->dtype, tn_count(t)));
        copy.t = t;
        break;
    }
    default: break;
    }
    bool plain = a->kind == TN_ATTR_FLOAT || a->kind == TN_ATTR_INT || (a->kind == TN_ATTR_TENSOR && copy.t != a->t);
    if (!plain) return tn_fail(TN_E_UNSUPPORTED, "attribute '%s' cannot be copied", a->name);
    copy.name = tn_region_strdup(to->region, a->name);
    return copy.name ? tn_node_set_attr(to, node, &copy) : TN_E_MEMORY;
}

static tn_status copy_values(const tn_graph *from, bool borrow, tn_graph *to) {
    for (int v = 0; v < from->value_count; v++) {
        const tn_graph_value *value = &from->values[v];
        const tn_tensor *constant = value->constant;
        if (tn_graph_add_value(to, value->name, &value->type) < 0) return TN_E_MEMORY;
        if (constant && !borrow) {
            if (constant->dtype == TN_STRING)
                return tn_fail(TN_E_UNSUPPORTED, "constant '%s' holds strings, which cannot be copied", value->name);
            tn_tensor *t = tn_graph_tensor(to, constant->dtype, constant->rank, constant->dims, NULL);
            if (!t) return TN_E_MEMORY;
            memcpy(t->data, constant->data, tn_dtype_bytes(t->dtype, tn_count(t)));
            constant = t;
        }
        to->values[v].constant = constant;
    }
    return TN_OK;
}

static tn_status copy_node(const tn_node *node, tn_graph *to) {
    if (tn_op_find(node->op->domain, node->op->name) != node->op || node->op->flags & TN_OP_CONTROL)
        return tn_fail(TN_E_UNSUPPORTED, "operators of the host, and those with subgraphs, cannot be copied");
    int at = tn_graph_add_node(to, node->op, node->name, node->in_count, node->in, node->out_count, node->out);
    if (at < 0) return TN_E_MEMORY;
    for (int i = 0; i < node->attr_count; i++) TN_TRY(copy_attr(to, &to->nodes[at], &node->attrs[i]));
    return TN_OK;
}

static tn_status copy_all(const tn_graph *from, bool borrow, tn_graph *to) {
    for (int s = 0; s < from->symbol_count; s++)
        if (tn_graph_add_symbol(to, from->symbols[s]) != s) return TN_E_MEMORY;
    for (int i = 0; i + 1 < from->metadata_count; i += 2)
        TN_TRY(tn_graph_add_metadata(to, from->metadata[i], from->metadata[i + 1]));
    to->name = from->name && *from->name ? tn_region_strdup(to->region, from->name) : "";
    if (!to->name) return TN_E_MEMORY;
    TN_TRY(copy_values(from, borrow, to));
    for (int n = 0; n < from->node_count; n++) {
        tn_status status = copy_node(&from->nodes[n], to);
        if (status != TN_OK) return tn_node_context(status, &from->nodes[n]);
    }
    for (int i = 0; i < from->input_count; i++) TN_TRY(tn_graph_add_input(to, from->inputs[i]));
    for (int i = 0; i < from->output_count; i++) TN_TRY(tn_graph_add_output(to, from->outputs[i]));
    return TN_OK;
}

tn_status tn_graph_copy(const tn_graph *from, bool borrow, tn_graph **out_graph) {
    tn_graph *to;
    *out_graph = NULL;
    /* An allocator with a limit goes with the graph that was loaded, and is for one thread at a time. */
    const tn_allocator *bounded = from->root->bounded;
    TN_TRY(tn_graph_create_root(bounded ? tn_bounded_parent(bounded) : from->allocator, 0, &to));
    tn_status status = copy_all(from, borrow, to);
    if (status == TN_OK)
        *out_graph = to;
    else
        tn_graph_destroy(to);
    return status;
}
