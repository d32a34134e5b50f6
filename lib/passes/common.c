/* Common subexpressions: of nodes that do the same to the same values, the first serves all; likewise small constants. */
#include "passes/rows.h"

#define SMALL_BYTES 4096

static uint64_t mix(uint64_t h, uint64_t x) {
    return (h ^ x) * 0x100000001B3u;
}

static bool same_tensor(const tn_tensor *a, const tn_tensor *b) {
    if (a == b) return true;
    if (a->dtype != b->dtype || a->rank != b->rank || a->dtype == TN_STRING) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dims[i] != b->dims[i]) return false;
    return memcmp(a->data, b->data, tn_dtype_bytes(a->dtype, tn_count(a))) == 0;
}

static bool same_attr(const tn_attr *a, const tn_attr *b) {
    if (a->kind != b->kind || strcmp(a->name, b->name) != 0) return false;
    switch (a->kind) {
    case TN_ATTR_FLOAT: return memcmp(&a->f, &b->f, sizeof a->f) == 0;
    case TN_ATTR_INT: return a->i == b->i;
    case TN_ATTR_STRING: return a->s.size == b->s.size && memcmp(a->s.data, b->s.data, a->s.size) == 0;
    case TN_ATTR_TENSOR: return same_tensor(a->t, b->t);
    case TN_ATTR_FLOATS: return a->count == b->count && memcmp(a->floats, b->floats, a->count * sizeof *a->floats) == 0;
    case TN_ATTR_INTS: return a->count == b->count && memcmp(a->ints, b->ints, a->count * sizeof *a->ints) == 0;
    default: return false;
    }
}

static bool same_node(const tn_node *a, const tn_node *b) {
    if (a->op != b->op || a->in_count != b->in_count || a->out_count != b->out_count || a->attr_count != b->attr_count)
        return false;
    for (int i = 0; i < a->in_count; i++)
        if (a->in[i] != b->in[i]) return false;
    for (int i = 0; i < a->out_count; i++)
        if ((a->out[i] < 0) != (b->out[i] < 0)) return false;
    for (int i = 0; i < a->attr_count; i++)
        if (!same_attr(&a->attrs[i], &b->attrs[i])) return false;
    return true;
}

static uint64_t node_hash(const tn_node *node) {
    uint64_t h = mix(0xCBF29CE484222325u, (uint64_t)(uintptr_t)node->op);
    for (int i = 0; i < node->in_count; i++) h = mix(h, (uint64_t)(unsigned)node->in[i]);
    return h ^ (h >> 32);
}

static uint64_t tensor_hash(const tn_tensor *t) {
    uint64_t h = mix(0xCBF29CE484222325u, (uint64_t)t->dtype);
    const uint8_t *bytes = t->data;
    size_t size = tn_dtype_bytes(t->dtype, tn_count(t));
    for (size_t i = 0; i < size; i++) h = mix(h, bytes[i]);
    return h ^ (h >> 32);
}

static bool is_small(const tn_tensor *t) {
    return t && t->dtype != TN_STRING && tn_dtype_bytes(t->dtype, tn_count(t)) <= SMALL_BYTES;
}

/* Open addressing: `table` of `mask` + 1 entries holds index + 1. */
static void merge_constants(tn_graph *graph, int *table, size_t mask, int *map) {
    for (int v = 0; v < graph->value_count; v++) {
        const tn_tensor *t = graph->values[v].constant;
        map[v] = v;
        if (!is_small(t)) continue;
        for (size_t at = tensor_hash(t) & mask;; at = (at + 1) & mask) {
            if (!table[at]) {
                table[at] = v + 1;
                break;
            }
            if (same_tensor(graph->values[table[at] - 1].constant, t)) {
                map[v] = table[at] - 1;
                break;
            }
        }
    }
    for (int n = 0; n < graph->node_count; n++)
        for (int i = 0; i < graph->nodes[n].in_count; i++)
            if (graph->nodes[n].in[i] >= 0) graph->nodes[n].in[i] = map[graph->nodes[n].in[i]];
}

static tn_status merge_nodes(tn_graph *graph, int *table, size_t mask, int *changes) {
    int nodes = graph->node_count;
    for (int n = 0; n < nodes; n++) {
        if (graph->nodes[n].op->flags & (TN_OP_RANDOM | TN_OP_CONTROL) || graph->nodes[n].dead) continue;
        for (size_t at = node_hash(&graph->nodes[n]) & mask;; at = (at + 1) & mask) {
            if (!table[at]) {
                table[at] = n + 1;
                break;
            }
            const tn_node *first = &graph->nodes[table[at] - 1];
            if (!same_node(first, &graph->nodes[n])) continue;
            bool shown = false; /* graph outputs keep their own nodes */
            for (int i = 0; i < first->out_count; i++)
                for (int o = 0; o < graph->output_count; o++) shown |= graph->outputs[o] == graph->nodes[n].out[i];
            if (shown) break;
            for (int i = 0; i < first->out_count; i++)
                if (first->out[i] >= 0) tn_graph_replace_uses(graph, graph->nodes[n].out[i], first->out[i]);
            graph->nodes[n].dead = true;
            ++*changes;
            break;
        }
    }
    return TN_OK;
}

tn_status tn_pass_common(tn_graph *graph, int *changes) {
    tn_region *scratch = tn_region_create(graph->allocator);
    size_t entries = 64;
    while (entries < 2 * (size_t)TN_MAX(graph->value_count, graph->node_count)) entries *= 2;
    int *constants = scratch ? tn_region_array(scratch, entries, sizeof *constants) : NULL;
    int *nodes = scratch ? tn_region_array(scratch, entries, sizeof *nodes) : NULL;
    int *map = scratch ? tn_region_array(scratch, (size_t)graph->value_count + 1, sizeof *map) : NULL;
    tn_status status = constants && nodes && map ? TN_OK : TN_E_MEMORY;
    if (status == TN_OK) {
        merge_constants(graph, constants, entries - 1, map);
        status = merge_nodes(graph, nodes, entries - 1, changes);
    }
    tn_region_destroy(scratch);
    return status;
}
