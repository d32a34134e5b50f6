/* Scaled dot-product attention, softmax(Q K^T * scale + mask) V, from the nodes that exporters make of it: one
 * ScaledAttention {Q, K, V, mask; scale} of the domain "tenon" on [B, H, S, D]. (Vaswani et al., arXiv 1706.03762.) */
#include "passes/match.h"
#include "passes/rows.h"

typedef struct {
    int q, k, v, mask;
    float scale;
    int64_t perm[4]; /* of the Transpose that makes K^T; K is its input, its last two axes to be swapped back */
} attention;

static bool is_rank4(const tn_graph *graph, int value) {
    const tn_type *type = tn_match_type(graph, value);
    return type->rank == 4 && type->dtype == TN_FLOAT32;
}

/* Through the Mul or Div by a scalar, if there is one. */
static int unscaled(const tn_match *m, int value, float *scale) {
    const tn_node *div = tn_match_only(m, value, "Div"), *mul = tn_match_only(m, value, "Mul");
    float k;
    if (div && tn_match_scalar(m->graph, div->in[1], &k) && k != 0) {
        *scale /= k;
        return div->in[0];
    }
    for (int i = 0; mul && i < 2; i++)
        if (tn_match_scalar(m->graph, mul->in[i], &k)) {
            *scale *= k;
            return mul->in[1 - i];
        }
    return value;
}

static bool match_scores(const tn_match *m, int value, attention *a) {
    const tn_graph *graph = m->graph;
    a->scale = 1;
    a->mask = -1;
    const tn_node *add = tn_match_only(m, value, "Add");
    for (int i = 0; i < (add ? 2 : 1); i++) {
        int scores = add ? add->in[i] : value;
        a->scale = 1;
        const tn_node *product = tn_match_only(m, unscaled(m, scores, &a->scale), "MatMul");
        if (!product || !is_rank4(graph, product->in[0])) continue;
        const tn_node *swap = tn_match_only(m, unscaled(m, product->in[1], &a->scale), "Transpose");
        size_t count;
        const int64_t *perm = swap ? tn_attr_ints(swap, "perm", &count) : NULL;
        if (!perm || count != 4 || perm[0] != 0 || !is_rank4(graph, swap->in[0])) continue;
        a->q = unscaled(m, product->in[0], &a->scale);
        a->k = swap->in[0];
        memcpy(a->perm, perm, sizeof a->perm);
        if (add) a->mask = add->in[1 - i];
        return a->mask < 0 || tn_match_type(graph, a->mask)->dtype == TN_FLOAT32;
    }
    return false;
}

static tn_status match_node(tn_match *m, int n, int *changes) {
    tn_graph *graph = m->graph;
    tn_node node = graph->nodes[n];
    attention a;
    if (!tn_match_is(&node, "", "MatMul") || !is_rank4(graph, node.in[0]) || !is_rank4(graph, node.in[1])) return TN_OK;
    const tn_node *softmax = tn_match_only(m, node.in[0], "Softmax");
    int64_t axis = softmax ? tn_attr_int(softmax, "axis", -1) : 0;
    if (!softmax || (axis != -1 && axis != 3) || !match_scores(m, softmax->in[0], &a)) return TN_OK;
    /* K^T came from `perm`; K itself needs the last two swapped: nothing at all where K^T swapped just these. */
    int64_t perm[4] = {a.perm[0], a.perm[1], a.perm[3], a.perm[2]};
    bool plain = perm[1] == 1 && perm[2] == 2 && perm[3] == 3;
    if (!plain) {
        const tn_type *from = tn_match_type(graph, a.k);
        tn_type type;
        int64_t dims[4];
        for (int i = 0; i < 4; i++) dims[i] = from->dims[perm[i]];
        tn_type_tensor(&type, TN_FLOAT32, 4, dims);
        int k = tn_graph_add_value(graph, "", &type);
        if (k < 0 || tn_graph_insert_node(graph, n, tn_op_find("", "Transpose"), "", 1, &a.k, 1, &k) != TN_OK)
            return TN_E_MEMORY;
        TN_TRY(tn_node_set_ints(graph, &graph->nodes[n], "perm", 4, perm));
        a.k = k;
        n++;
    }
    int in[4] = {a.q, a.k, node.in[1], a.mask};
    const tn_op *fused = tn_op_find("tenon", "ScaledAttention");
    if (!fused) return TN_OK;
    int at = tn_match_replace(m, n, fused, node.name, a.mask >= 0 ? 4 : 3, in, 1, node.out);
    if (at < 0) return TN_E_MEMORY;
    TN_TRY(tn_node_set_float(graph, &graph->nodes[at], "scale", a.scale));
    ++*changes;
    return tn_match_recount(m);
}

tn_status tn_pass_attention(tn_graph *graph, int *changes) {
    return tn_match_each(graph, match_node, changes);
}
