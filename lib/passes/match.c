/* Looking for patterns. See match.h. */
#include "passes/match.h"
#include <math.h>

tn_status tn_match_recount(tn_match *m) {
    if (m->graph->value_count > m->capacity) {
        m->capacity = m->graph->value_count * 2;
        m->uses = tn_region_array(m->scratch, (size_t)m->capacity, sizeof *m->uses);
        if (!m->uses) return TN_E_MEMORY;
    }
    tn_graph_count_uses(m->graph, m->uses);
    return TN_OK;
}

tn_status tn_match_begin(tn_match *m, tn_graph *graph) {
    *m = (tn_match){.graph = graph, .scratch = tn_region_create(graph->allocator)};
    return m->scratch ? tn_match_recount(m) : TN_E_MEMORY;
}

void tn_match_end(tn_match *m) {
    tn_region_destroy(m->scratch);
}

tn_status tn_match_each(tn_graph *graph, tn_status (*visit)(tn_match *m, int node, int *changes), int *changes) {
    tn_match m;
    tn_status status = tn_match_begin(&m, graph);
    for (int n = 0; n < graph->node_count && status == TN_OK; n++)
        if (!graph->nodes[n].dead) status = visit(&m, n, changes);
    tn_match_end(&m);
    return status;
}

bool tn_match_is(const tn_node *node, const char *domain, const char *op) {
    return strcmp(node->op->name, op) == 0 && strcmp(node->op->domain, domain) == 0;
}

tn_node *tn_match_producer(const tn_match *m, int value, const char *op) {
    int p = value >= 0 ? m->graph->values[value].producer : -1;
    if (p < 0 || m->graph->nodes[p].dead || !tn_match_is(&m->graph->nodes[p], "", op)) return NULL;
    return &m->graph->nodes[p];
}

tn_node *tn_match_only(const tn_match *m, int value, const char *op) {
    tn_node *node = tn_match_producer(m, value, op);
    return node && m->uses[value] == 1 ? node : NULL;
}

tn_node *tn_match_reader(const tn_match *m, int value) {
    if (value < 0 || m->uses[value] != 1) return NULL;
    for (int n = TN_MAX(m->graph->values[value].producer, 0); n < m->graph->node_count; n++) {
        tn_node *node = &m->graph->nodes[n];
        for (int i = 0; i < node->in_count && !node->dead; i++)
            if (node->in[i] == value) return i < node->formal_in ? node : NULL;
    }
    return NULL;
}

const tn_tensor *tn_match_floats(const tn_graph *graph, int value) {
    const tn_tensor *t = value >= 0 ? graph->values[value].constant : NULL;
    return t && t->dtype == TN_FLOAT32 ? t : NULL;
}

bool tn_match_scalar(const tn_graph *graph, int value, float *out) {
    const tn_tensor *t = tn_match_floats(graph, value);
    if (!t || tn_count(t) != 1) return false;
    *out = *(const float *)t->data;
    return true;
}

bool tn_match_number(const tn_graph *graph, int value, float expected) {
    float found;
    return tn_match_scalar(graph, value, &found) && fabsf(found - expected) <= 1e-3f * fabsf(expected);
}

int tn_match_other(const tn_node *node, int value) {
    if (node->formal_in != 2) return -1;
    if (node->in[0] == value) return node->in[1];
    return node->in[1] == value ? node->in[0] : -1;
}

bool tn_match_same_shape(const tn_type *a, const tn_type *b) {
    if (a->rank < 1 || a->rank != b->rank || a->dtype != b->dtype) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dims[i] == -1 || a->dims[i] != b->dims[i]) return false;
    return true;
}

bool tn_match_padded(const tn_node *conv) {
    const char *automatic = tn_attr_text(conv, "auto_pad", "NOTSET");
    if (strcmp(automatic, "VALID") == 0) return false;
    size_t count;
    const int64_t *pads = tn_attr_ints(conv, "pads", &count);
    bool padded = strcmp(automatic, "NOTSET") != 0;
    for (size_t i = 0; i < count; i++) padded |= pads[i] != 0;
    return padded;
}

const tn_type *tn_match_type(const tn_graph *graph, int value) {
    return &graph->values[value].type;
}

int tn_match_replace(tn_match *m, int at, const tn_op *op, const char *name, int in_count, const int *in, int out_count,
                     const int *out) {
    tn_graph *graph = m->graph;
    for (int i = 0; i < out_count; i++) {
        int p = out[i] >= 0 ? graph->values[out[i]].producer : -1;
        if (p < 0) continue;
        for (int k = 0; k < graph->nodes[p].out_count; k++)
            if (graph->nodes[p].out[k] == out[i]) graph->nodes[p].dead = true;
    }
    if (tn_graph_insert_node(graph, at, op, name, in_count, in, out_count, out) != TN_OK) return -1;
    return at;
}
