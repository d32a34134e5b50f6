/* MatMul or Gemm with what stands around it: the transpose of a factor, a scalar, the bias, what is added, and the
 * activation become one product of the domain "tenon": FusedMatMul {A, B, bias, residual; transA, transB, alpha,
 * activation}. */
#include "passes/activation.h"
#include "passes/rows.h"

typedef struct {
    int in[4]; /* A, B, bias, residual; -1: absent */
    float alpha;
    bool transposed[2];
    int last, out; /* the node that it stands for, and its output */
    tn_activation activation;
} product;

/* Transpose of the last two of its axes: returns its input, or -1. */
static int swapped(const tn_match *m, int value) {
    const tn_node *node = tn_match_producer(m, value, "Transpose");
    size_t count;
    const int64_t *perm = node ? tn_attr_ints(node, "perm", &count) : NULL;
    if (!perm || count < 2 || perm[count - 1] != (int64_t)count - 2 || perm[count - 2] != (int64_t)count - 1) return -1;
    for (size_t i = 0; i + 2 < count; i++)
        if (perm[i] != (int64_t)i) return -1;
    return node->in[0];
}

static bool is_bias(const tn_graph *graph, int value, int64_t width) {
    const tn_tensor *t = tn_match_floats(graph, value);
    return t && width > 0 && tn_count(t) == width && t->rank >= 1 && t->dims[t->rank - 1] == width && t->rank == 1;
}

static bool begin_product(const tn_match *m, int n, product *p) {
    const tn_graph *graph = m->graph;
    const tn_node *node = &graph->nodes[n];
    bool gemm = tn_match_is(node, "", "Gemm");
    if (!gemm && !tn_match_is(node, "", "MatMul")) return false;
    const tn_type *a = tn_match_type(graph, node->in[0]), *b = tn_match_type(graph, node->in[1]);
    if (a->dtype != TN_FLOAT32 || b->dtype != TN_FLOAT32 || a->rank < 2 || b->rank < 2) return false;
    *p = (product){.in = {node->in[0], node->in[1], -1, -1}, .alpha = 1, .last = n, .out = node->out[0]};
    if (gemm) {
        const tn_type *out = tn_match_type(graph, node->out[0]);
        bool has_c = node->formal_in > 2 && node->in[2] >= 0;
        if (has_c && (tn_attr_float(node, "beta", 1) != 1 || !is_bias(graph, node->in[2], out->dims[1]))) return false;
        p->alpha = tn_attr_float(node, "alpha", 1);
        p->transposed[0] = tn_attr_int(node, "transA", 0) != 0;
        p->transposed[1] = tn_attr_int(node, "transB", 0) != 0;
        if (has_c) p->in[2] = node->in[2];
        return true;
    }
    int from = graph->values[p->in[1]].constant ? -1 : swapped(m, p->in[1]);
    if (from >= 0 && m->uses[p->in[1]] == 1) {
        p->in[1] = from;
        p->transposed[1] = true;
    }
    return true;
}

/* One more node behind the product, if it fits in; false if not. Order: scalar, bias, residual, activation. */
static bool take_next(const tn_match *m, product *p) {
    const tn_graph *graph = m->graph;
    const tn_node *next = tn_match_reader(m, p->out);
    float k;
    if (!next || p->activation.name) return false;
    int other = tn_match_other(next, p->out);
    const tn_type *type = tn_match_type(graph, p->out);
    bool plain = p->in[2] < 0 && p->in[3] < 0;
    if (plain && tn_match_is(next, "", "Mul") && other >= 0 && tn_match_scalar(graph, other, &k) &&
        graph->values[other].constant->rank <= type->rank) {
        p->alpha *= k;
    } else if (plain && tn_match_is(next, "", "Div") && next->in[0] == p->out && next->in[1] >= 0 &&
               tn_match_scalar(graph, next->in[1], &k) && k != 0 &&
               graph->values[next->in[1]].constant->rank <= type->rank) {
        p->alpha /= k;
    } else if (p->in[2] < 0 && p->in[3] < 0 && tn_match_is(next, "", "Add") && other >= 0 &&
               is_bias(graph, other, type->rank > 0 ? type->dims[type->rank - 1] : 0)) {
        p->in[2] = other;
    } else if (p->in[3] < 0 && tn_match_is(next, "", "Add") && other >= 0 && !graph->values[other].constant &&
               tn_match_same_shape(tn_match_type(graph, other), type)) {
        p->in[3] = other;
    } else if (next->in[0] != p->out || !tn_match_activation(graph, next, &p->activation)) {
        return false;
    }
    p->last = (int)(next - graph->nodes);
    p->out = next->out[0];
    return true;
}

static tn_status match_product(tn_match *m, int n, int *changes) {
    tn_graph *graph = m->graph;
    product p;
    if (!begin_product(m, n, &p)) return TN_OK;
    while (take_next(m, &p)) continue;
    if (p.last == n && !p.transposed[1]) return TN_OK;
    if (p.last == n && tn_match_is(&graph->nodes[n], "", "Gemm")) return TN_OK;
    int count = p.in[3] >= 0 ? 4 : p.in[2] >= 0 ? 3 : 2;
    const char *name = graph->nodes[n].name;
    const tn_op *fused = tn_op_find("tenon", "FusedMatMul");
    if (!fused) return TN_OK;
    int at = tn_match_replace(m, p.last, fused, name, count, p.in, 1, &p.out);
    if (at < 0) return TN_E_MEMORY;
    tn_node *node = &graph->nodes[at];
    TN_TRY(tn_node_set_int(graph, node, "transA", p.transposed[0]));
    TN_TRY(tn_node_set_int(graph, node, "transB", p.transposed[1]));
    TN_TRY(tn_node_set_float(graph, node, "alpha", p.alpha));
    TN_TRY(tn_set_activation(graph, node, &p.activation));
    ++*changes;
    return tn_match_recount(m);
}

tn_status tn_pass_matmul_fuse(tn_graph *graph, int *changes) {
    return tn_match_each(graph, match_product, changes);
}
