/* Operators of the host's own: each becomes an ordinary operator whose functions call the host's. See tenon/custom.h. */
#include "graph/custom.h"
#include <stdio.h>

/* What a custom function gets as its node. */
struct tn_custom_node {
    tn_node node;
};

#define MAX_CUSTOM 64 /* inputs or outputs of one */

static const tn_custom_node *node_of(const tn_node *node) {
    return (const tn_custom_node *)node;
}

static void to_public(const tn_type *type, tn_custom_type *out) {
    *out = (tn_custom_type){.dtype = type ? type->dtype : TN_UNDEFINED, .rank = type ? type->rank : -1};
    for (int i = 0; i < out->rank; i++) out->dims[i] = type->dims[i] < 0 ? -1 : type->dims[i];
}

static tn_status custom_infer(tn_infer *call) {
    const tn_custom_op *op = call->node->op->context;
    tn_custom_type in[MAX_CUSTOM], out[MAX_CUSTOM];
    if (call->in_count > MAX_CUSTOM || call->out_count > MAX_CUSTOM)
        return tn_fail(TN_E_LIMIT, "custom operators have at most %d inputs and outputs", MAX_CUSTOM);
    for (int i = 0; i < call->in_count; i++) to_public(call->in[i], &in[i]);
    for (int i = 0; i < call->out_count; i++) out[i] = (tn_custom_type){.rank = -1};
    TN_TRY(op->infer(op->context, node_of(call->node), call->in_count, in, call->out_count, out));
    for (int i = 0; i < call->out_count; i++) {
        if (out[i].rank < -1 || out[i].rank > TN_MAX_RANK)
            return tn_fail(TN_E_SHAPE, "its inference gave output %d a rank of %d", i, out[i].rank);
        if (out[i].dtype && !tn_dtype_bits(out[i].dtype))
            return tn_fail(TN_E_TYPE, "its inference gave output %d the unknown data type %d", i, (int)out[i].dtype);
        for (int d = 0; d < out[i].rank; d++)
            if (out[i].dims[d] < 0) out[i].dims[d] = -1;
        TN_TRY(tn_infer_out(call, i, out[i].dtype, out[i].rank, out[i].dims));
    }
    return TN_OK;
}

static tn_status custom_run(tn_run *call) {
    const tn_custom_op *op = call->node->op->context;
    const tn_tensor *in[MAX_CUSTOM];
    tn_tensor *out[MAX_CUSTOM];
    for (int i = 0; i < call->in_count; i++) in[i] = tn_in(call, i);
    for (int i = 0; i < call->out_count; i++) {
        out[i] = tn_out(call, i);
        if (out[i] && !out[i]->data)
            return tn_fail(TN_E_SHAPE, "its inference must give output %d a shape, given the inputs'", i);
    }
    return op->run(op->context, node_of(call->node), call->in_count, in, call->out_count, out);
}

tn_status tn_graph_add_custom_ops(tn_graph *graph, const tn_custom_op *ops, size_t count) {
    tn_graph *root = graph->root;
    if (root->custom_count && count)
        return tn_fail(TN_E_STATE, "the graph has custom operators already; add all at once");
    tn_op *table = tn_region_array(root->region, count + 1, sizeof *table);
    tn_custom_op *copies = tn_region_array(root->region, count + 1, sizeof *copies);
    if (!table || !copies) return TN_E_MEMORY;
    for (size_t i = 0; i < count; i++) {
        /* Steps by the caller's size of the struct, which may be of another version than ours. */
        const tn_custom_op *from = (const tn_custom_op *)((const char *)ops + i * ops->struct_size);
        memcpy(&copies[i], from, TN_MIN(from->struct_size, sizeof copies[i]));
        tn_custom_op *c = &copies[i];
        if (!c->name || !c->infer || !c->run)
            return tn_fail(TN_E_INVALID, "custom operator %zu lacks its name, infer or run", i);
        c->name = tn_region_strdup(root->region, c->name);
        c->domain = tn_region_strdup(root->region, c->domain ? c->domain : "");
        if (!c->name || !c->domain) return TN_E_MEMORY;
        table[i] = (tn_op){.domain = c->domain,
                           .name = c->name,
                           .min_in = c->min_in,
                           .max_in = c->max_in,
                           .min_out = c->min_out,
                           .max_out = c->max_out,
                           .flags = TN_OP_RANDOM, /* nothing is known of it: never folded or merged */
                           .infer = custom_infer,
                           .run = custom_run,
                           .context = c};
    }
    root->custom = table;
    root->custom_count = count;
    return TN_OK;
}

const tn_op *tn_graph_find_op(const tn_graph *graph, const char *domain, const char *name) {
    const tn_graph *root = graph->root;
    for (size_t i = 0; i < root->custom_count; i++)
        if (strcmp(root->custom[i].name, name) == 0 && strcmp(root->custom[i].domain, domain) == 0)
            return &root->custom[i];
    return tn_op_find(domain, name);
}

const tn_op *tn_op_find_qualified(const char *name, const tn_graph *graph) {
    char domain[64] = "";
    const char *colon = strrchr(name, ':');
    size_t length = colon ? (size_t)(colon - name) : 0;
    if (length >= sizeof domain) return NULL;
    memcpy(domain, name, length);
    if (colon) name = colon + 1;
    return graph ? tn_graph_find_op(graph, domain, name) : tn_op_find(domain, name);
}

int64_t tn_custom_int(const tn_custom_node *node, const char *attribute, int64_t fallback) {
    return tn_attr_int(&node->node, attribute, fallback);
}

float tn_custom_float(const tn_custom_node *node, const char *attribute, float fallback) {
    return tn_attr_float(&node->node, attribute, fallback);
}

const char *tn_custom_text(const tn_custom_node *node, const char *attribute, const char *fallback) {
    return tn_attr_text(&node->node, attribute, fallback);
}

tn_status tn_custom_fail(tn_status status, const char *sentence) {
    return tn_fail(status, "%s", sentence);
}
