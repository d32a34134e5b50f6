/* See splice.h. Values keep their order, so that nodes stay sorted; the types that are known of them go along, with the
 * symbols of the one graph as dims of the other. */
#include "graph/splice.h"
#include "graph/op.h"

/* ---- constants ---- */

static bool same_contents(const tn_tensor *a, const tn_tensor *b) {
    if (a == b) return true;
    if (!tn_tensor_is_alike(a, b)) return false;
    if (a->dtype != TN_STRING) return memcmp(a->data, b->data, tn_dtype_bytes(a->dtype, tn_count(a))) == 0;
    for (int64_t i = 0; i < tn_count(a); i++)
        if (!tn_string_equal(((const tn_string *)a->data)[i], ((const tn_string *)b->data)[i])) return false;
    return true;
}

const tn_tensor *tn_constant_pool_find(tn_constant_pool *pool, const tn_tensor *tensor) {
    for (size_t i = 0; i < pool->count; i++)
        if (same_contents(pool->tensors[i], tensor)) {
            pool->shared++;
            return pool->tensors[i];
        }
    if (pool->count == pool->capacity) {
        size_t more = pool->capacity ? 2 * pool->capacity : 64;
        const tn_tensor **moved = tn_region_array(pool->region, more, sizeof *moved);
        if (!moved) return NULL;
        if (pool->count) memcpy(moved, pool->tensors, pool->count * sizeof *moved);
        pool->tensors = moved;
        pool->capacity = more;
    }
    return pool->tensors[pool->count++] = tensor;
}

int tn_graph_share_constant(tn_graph *graph, tn_constant_pool *pool, const char *name, const tn_tensor *tensor) {
    size_t shared = pool->shared;
    const tn_tensor *one = tn_constant_pool_find(pool, tensor);
    for (int v = 0; pool->shared > shared && v < graph->value_count; v++)
        if (graph->values[v].constant == one) return v;
    return one ? tn_graph_add_constant(graph, name, one) : -1;
}

/* ---- names and types ---- */

static char *prefixed(tn_graph *to, const char *prefix, const char *name) {
    if (!name || !*name) return tn_region_strdup(to->region, "");
    return tn_region_printf(to->region, "%s/%s", prefix, name);
}

static tn_status map_type(tn_graph *to, const tn_graph *from, const tn_splice *s, tn_type *type) {
    for (int i = 0; i < TN_MAX_RANK; i++) {
        int64_t symbol = -2 - type->dims[i];
        if (type->rank <= i || type->dims[i] >= -1) continue;
        if (symbol >= from->root->symbol_count) return tn_fail(TN_E_INTERNAL, "a symbol that its graph does not have");
        if (!s->symbols[symbol]) {
            char *name = prefixed(to, s->prefix, from->root->symbols[symbol]);
            int own = name ? tn_graph_add_symbol(to, name) : -1;
            if (own < 0) return TN_E_MEMORY;
            s->symbols[symbol] = -2 - (int64_t)own;
        }
        type->dims[i] = s->symbols[symbol];
    }
    return TN_OK;
}

/* ---- nodes ---- */

static tn_status splice_into(tn_graph *to, const tn_graph *from, const tn_splice *s, int depth, int *map);

static tn_status splice_body(tn_graph *to, const tn_graph *from, const tn_splice *s, int depth, tn_graph **out) {
    tn_graph *body = *out = tn_graph_create_body(to);
    int *map = body ? tn_region_array(to->region, (size_t)from->value_count + 1, sizeof *map) : NULL;
    if (!map) return TN_E_MEMORY;
    for (int v = 0; v < from->value_count; v++) map[v] = -1;
    TN_TRY(splice_into(body, from, s, depth + 1, map));
    body->captures = tn_region_array(to->region, (size_t)from->capture_count + 1, sizeof *body->captures);
    if (!body->captures) return TN_E_MEMORY;
    body->capture_count = body->capture_capacity = from->capture_count;
    for (int c = 0; c < from->capture_count; c++)
        body->captures[c] = (tn_capture){from->captures[c].node_input, map[from->captures[c].value]};
    for (int i = 0; i < from->input_count; i++) TN_TRY(tn_graph_add_input(body, map[from->inputs[i]]));
    for (int i = 0; i < from->output_count; i++) TN_TRY(tn_graph_add_output(body, map[from->outputs[i]]));
    return TN_OK;
}

static tn_status splice_attr(tn_graph *to, tn_node *node, const tn_attr *from, const tn_graph *graph,
                             const tn_splice *s, int depth) {
    tn_attr a = *from;
    if (a.kind == TN_ATTR_GRAPH) TN_TRY(splice_body(to, from->g, s, depth, &a.g));
    if (a.kind == TN_ATTR_TYPE) {
        tn_type *type = tn_region_alloc(to->region, sizeof *type);
        if (!type) return TN_E_MEMORY;
        *type = *from->type;
        TN_TRY(map_type(to, graph, s, type));
        a.type = type;
    }
    return tn_node_set_attr(to, node, &a);
}

static tn_status splice_node(tn_graph *to, const tn_graph *from, int n, const tn_splice *s, int depth, const int *map,
                             int *list) {
    const tn_node *node = &from->nodes[n];
    int *in = list, *out = list + node->in_count;
    if (tn_op_find(node->op->domain, node->op->name) != node->op)
        return tn_fail(TN_E_UNSUPPORTED, "operators of the host cannot become part of another model");
    char *name = prefixed(to, s->prefix, node->name);
    if (!name) return TN_E_MEMORY;
    for (int i = 0; i < node->in_count; i++) in[i] = node->in[i] < 0 ? -1 : map[node->in[i]];
    for (int i = 0; i < node->out_count; i++) out[i] = node->out[i] < 0 ? -1 : map[node->out[i]];
    int at = tn_graph_add_node(to, node->op, name, node->in_count, in, node->out_count, out);
    if (at < 0) return TN_E_MEMORY;
    to->nodes[at].formal_in = node->formal_in;
    for (int i = 0; i < node->attr_count; i++) TN_TRY(splice_attr(to, &to->nodes[at], &node->attrs[i], from, s, depth));
    return TN_OK;
}

/* map: from values of the one graph to those of the other; those that are set already are there. */
static tn_status splice_into(tn_graph *to, const tn_graph *from, const tn_splice *s, int depth, int *map) {
    int widest = 0;
    if (depth > 64) return tn_fail(TN_E_LIMIT, "subgraphs are nested deeper than 64");
    for (int v = 0; v < from->value_count; v++) {
        const tn_graph_value *value = &from->values[v];
        if (map[v] >= 0) continue;
        char *name = prefixed(to, s->prefix, value->name);
        if (!name) return TN_E_MEMORY;
        if (value->constant) {
            map[v] = tn_graph_share_constant(to, s->pool, name, value->constant);
        } else {
            tn_type type = value->type;
            TN_TRY(map_type(to, from, s, &type));
            map[v] = tn_graph_add_value(to, name, &type);
        }
        if (map[v] < 0) return TN_E_MEMORY;
    }
    for (int n = 0; n < from->node_count; n++)
        widest = TN_MAX(widest, from->nodes[n].in_count + from->nodes[n].out_count);
    int *list = tn_region_array(to->region, (size_t)widest + 1, sizeof *list);
    if (!list) return TN_E_MEMORY;
    for (int n = 0; n < from->node_count; n++) {
        tn_status status = from->nodes[n].dead ? TN_OK : splice_node(to, from, n, s, depth, map, list);
        if (status != TN_OK) return tn_node_context(status, &from->nodes[n]);
    }
    return TN_OK;
}

tn_status tn_graph_splice(tn_graph *to, const tn_graph *from, const tn_splice *splice, int *outputs) {
    int *map = tn_region_array(to->region, (size_t)from->value_count + 1, sizeof *map);
    if (!map) return TN_E_MEMORY;
    for (int v = 0; v < from->value_count; v++) map[v] = -1;
    for (int i = 0; i < from->input_count; i++) map[from->inputs[i]] = splice->inputs[i];
    TN_TRY(splice_into(to, from, splice, 0, map));
    for (int i = 0; i < from->output_count; i++) outputs[i] = map[from->outputs[i]];
    return TN_OK;
}
