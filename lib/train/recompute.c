/* Activation checkpointing (Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016): the nodes before the backward
 * pass are cut into segments of as many nodes each; what segments read of each other stays, and all else that the backward
 * pass reads of a segment is computed anew when it gets there. So memory holds one segment at a time, for the work of about
 * one more forward pass. */
#include "graph/op.h"
#include "train/gradient.h"
#include "train/train.h"

typedef struct {
    tn_graph *graph;
    int forward, nodes, segments; /* nodes before the backward pass; all of them, without those added here */
    int values;                   /* likewise */
    int *copy;                    /* by value: what stands for it in the backward pass; -1: itself */
    bool *stays, *wanted;         /* by value */
    int *place;                   /* by node that is added: before which of the backward pass */
} recomputation;

static int segment_of(const recomputation *r, int node) {
    return (int)((int64_t)node * r->segments / r->forward);
}

/* Values of a segment that may be computed anew. */
static bool is_of(const recomputation *r, int value, int segment) {
    if (value < 0 || value >= r->values || r->stays[value]) return false;
    int producer = r->graph->values[value].producer;
    return producer >= 0 && producer < r->forward && segment_of(r, producer) == segment;
}

/* What a later segment reads, what is drawn by chance, and the last segment, which the backward pass begins with. */
static void find_those_that_stay(recomputation *r) {
    const tn_graph *g = r->graph;
    for (int n = 0; n < r->forward; n++) {
        const tn_node *node = &g->nodes[n];
        const bool keep = (node->op->flags & (TN_OP_RANDOM | TN_OP_CONTROL)) || segment_of(r, n) == r->segments - 1;
        for (int i = 0; i < node->out_count; i++)
            if (node->out[i] >= 0 && keep) r->stays[node->out[i]] = true;
        for (int i = 0; i < node->in_count; i++) {
            int producer = node->in[i] >= 0 ? g->values[node->in[i]].producer : -1;
            if (producer >= 0 && segment_of(r, producer) != segment_of(r, n)) r->stays[node->in[i]] = true;
        }
    }
}

/* The first node of the backward pass that reads what the segment computes; marks all that is read. -1: none. What looks at
 * shapes alone needs no contents. */
static int mark_wanted(recomputation *r, int segment) {
    int first = -1;
    for (int n = r->forward; n < r->nodes; n++) {
        const tn_node *node = &r->graph->nodes[n];
        for (int i = 0; i < node->in_count; i++) {
            if (!is_of(r, node->in[i], segment) || (node->op->flags & TN_OP_SHAPE)) continue;
            r->wanted[node->in[i]] = true;
            if (first < 0) first = n;
        }
    }
    return first;
}

static bool gives_wanted(const recomputation *r, const tn_node *node) {
    for (int i = 0; i < node->out_count; i++)
        if (node->out[i] >= 0 && r->wanted[node->out[i]]) return true;
    return false;
}

/* The same node again, on what was computed anew. */
static tn_status again(recomputation *r, int n) {
    tn_graph *g = r->graph;
    const tn_node node = g->nodes[n]; /* adding moves the nodes */
    int *in = tn_region_array(g->region, (size_t)node.in_count + 1, sizeof *in),
        *out = tn_region_array(g->region, (size_t)node.out_count + 1, sizeof *out);
    if (!in || !out) return TN_E_MEMORY;
    for (int i = 0; i < node.in_count; i++)
        in[i] = node.in[i] >= 0 && r->copy[node.in[i]] >= 0 ? r->copy[node.in[i]] : node.in[i];
    for (int i = 0; i < node.out_count; i++) {
        out[i] = -1;
        if (node.out[i] < 0) continue;
        const tn_type type = g->values[node.out[i]].type;
        if ((out[i] = tn_graph_add_value(g, "", &type)) < 0) return TN_E_MEMORY;
        if (!r->stays[node.out[i]]) r->copy[node.out[i]] = out[i];
    }
    int added = tn_graph_add_node(g, node.op, node.name, node.in_count, in, node.out_count, out);
    if (added < 0) return TN_E_MEMORY;
    for (int i = 0; i < node.attr_count; i++) TN_TRY(tn_node_set_attr(g, &g->nodes[added], &node.attrs[i]));
    /* Which tells it from the first one, that passes would let serve for both. */
    return tn_node_set_int(g, &g->nodes[added], "recomputed", 1);
}

static tn_status recompute_segment(recomputation *r, int segment) {
    const int before = r->graph->node_count, first = mark_wanted(r, segment);
    if (first < 0) return TN_OK;
    for (int n = r->forward - 1; n >= 0; n--) {
        const tn_node *node = &r->graph->nodes[n];
        for (int i = 0; i < node->in_count && gives_wanted(r, node); i++)
            if (is_of(r, node->in[i], segment)) r->wanted[node->in[i]] = true;
    }
    for (int n = 0; n < r->forward; n++)
        if (segment_of(r, n) == segment && gives_wanted(r, &r->graph->nodes[n])) TN_TRY(again(r, n));
    for (int n = before; n < r->graph->node_count; n++) r->place[n - r->nodes] = first;
    return TN_OK;
}

/* The backward pass reads the copies, and nodes that make them stand before their first reader. */
static tn_status weave(recomputation *r) {
    tn_graph *g = r->graph;
    const int added = g->node_count - r->nodes;
    int at = 0;
    tn_node *order = tn_region_array(g->region, (size_t)g->node_count + 1, sizeof *order);
    if (!order) return TN_E_MEMORY;
    for (int n = 0; n < r->nodes; n++) {
        for (int k = 0; k < added; k++)
            if (r->place[k] == n) order[at++] = g->nodes[r->nodes + k];
        tn_node *node = &g->nodes[n];
        for (int i = 0; n >= r->forward && i < node->in_count; i++)
            if (node->in[i] >= 0 && node->in[i] < r->values && r->copy[node->in[i]] >= 0 &&
                !(node->op->flags & TN_OP_SHAPE))
                node->in[i] = r->copy[node->in[i]];
        order[at++] = *node;
    }
    memcpy(g->nodes, order, (size_t)g->node_count * sizeof *order);
    tn_graph_compact(g); /* sets producers anew */
    return TN_OK;
}

static tn_status recompute(recomputation *r, tn_region *scratch) {
    r->copy = tn_region_array(scratch, (size_t)r->values + 1, sizeof *r->copy);
    r->stays = tn_region_array(scratch, (size_t)r->values + 1, sizeof *r->stays);
    r->wanted = tn_region_array(scratch, (size_t)r->values + 1, sizeof *r->wanted);
    r->place = tn_region_array(scratch, (size_t)r->forward + 1, sizeof *r->place);
    if (!r->copy || !r->stays || !r->wanted || !r->place) return TN_E_MEMORY;
    for (int v = 0; v < r->values; v++) r->copy[v] = -1;
    find_those_that_stay(r);
    for (int s = r->segments - 2; s >= 0; s--) TN_TRY(recompute_segment(r, s));
    return weave(r);
}

tn_status tn_graph_recompute(tn_graph *graph, int forward, int64_t segments) {
    recomputation r = {.graph = graph, .forward = forward, .nodes = graph->node_count, .values = graph->value_count};
    r.segments = (int)TN_MIN(segments, forward);
    if (r.segments < 2) return TN_OK;
    tn_region *scratch = tn_region_create(graph->allocator);
    if (!scratch) return TN_E_MEMORY;
    tn_status status = recompute(&r, scratch);
    tn_region_destroy(scratch);
    return status;
}
