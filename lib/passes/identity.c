/* Nodes that change nothing: Identity, Dropout while not training, Cast to the type that is there (also there and back
 * through a half type), Transpose that keeps the order, Reshape to the shape that is there. */
#include "base/element.h"
#include "passes/match.h"
#include "passes/rows.h"

static bool same_concrete_type(const tn_graph *graph, int a, int b) {
    const tn_type *x = tn_match_type(graph, a), *y = tn_match_type(graph, b);
    if (!tn_type_is_concrete(x) || !tn_type_is_concrete(y) || x->dtype != y->dtype || x->rank != y->rank) return false;
    return memcmp(x->dims, y->dims, (size_t)x->rank * sizeof *x->dims) == 0;
}

static bool keeps_order(const tn_graph *graph, const tn_node *node) {
    size_t count;
    const int64_t *perm = tn_attr_ints(node, "perm", &count);
    if (!perm) return tn_match_type(graph, node->in[0])->rank == 0 || tn_match_type(graph, node->in[0])->rank == 1;
    for (size_t i = 0; i < count; i++)
        if (perm[i] != (int64_t)i) return false;
    return true;
}

static bool is_inference_dropout(const tn_graph *graph, const tn_node *node) {
    if (node->out_count > 1 && node->out[1] >= 0) return false;
    if (node->formal_in < 3 || node->in[2] < 0) return true;
    const tn_tensor *training = graph->values[node->in[2]].constant;
    return training && training->dtype == TN_BOOL && tn_count(training) == 1 && !*(const uint8_t *)training->data;
}

/* The value that the node's first output equals, or -1. */
static int same_as(const tn_match *m, const tn_node *node) {
    const tn_graph *graph = m->graph;
    if (strcmp(node->op->domain, "") != 0 || node->formal_in < 1 || node->in[0] < 0) return -1;
    const char *op = node->op->name;
    int in = node->in[0];
    if (strcmp(op, "Identity") == 0) return in;
    if (strcmp(op, "Dropout") == 0) return is_inference_dropout(graph, node) ? in : -1;
    if (strcmp(op, "Transpose") == 0) return keeps_order(graph, node) ? in : -1;
    if (strcmp(op, "Reshape") == 0) return same_concrete_type(graph, in, node->out[0]) ? in : -1;
    if (strcmp(op, "Concat") == 0) return node->formal_in == 1 ? in : -1;
    if (strcmp(op, "Cast") != 0 || tn_attr_int(node, "rounds", 0)) return -1;
    tn_dtype to = (tn_dtype)tn_attr_int(node, "to", 0);
    if (tn_match_type(graph, in)->dtype == to) return in;
    const tn_node *before = tn_match_producer(m, in, "Cast");
    if (!before || to != TN_FLOAT32 || !tn_dtype_is_half(tn_match_type(graph, in)->dtype)) return -1;
    return tn_match_type(graph, before->in[0])->dtype == TN_FLOAT32 ? before->in[0] : -1;
}

tn_status tn_pass_identity(tn_graph *graph, int *changes) {
    tn_match m;
    tn_status status = tn_match_begin(&m, graph);
    for (int n = 0; n < graph->node_count && status == TN_OK; n++) {
        tn_node *node = &graph->nodes[n];
        int same = node->dead ? -1 : same_as(&m, node);
        if (same < 0) continue;
        bool output = false;
        for (int o = 0; o < graph->output_count; o++) output |= graph->outputs[o] == node->out[0];
        int producer = graph->values[same].producer;
        if (output && (producer < 0 || graph->nodes[producer].dead || strcmp(node->op->name, "Identity") != 0 ||
                       graph->values[same].type.kind != TN_KIND_TENSOR))
            continue; /* an output needs a node of its own */
        if (output && m.uses[same] != 1) continue;
        int out = node->out[0];
        node->dead = true;
        status = tn_graph_redirect(graph, out, same);
        ++*changes;
    }
    tn_match_end(&m);
    return status;
}
