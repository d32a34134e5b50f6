/* Products of dequantized values whose result stays float, as in quantized transformers: the sums are of integers, and scaled
 * as they are written.
 *
 *     MatMul of any rank, with the Add of its bias: com.microsoft MatMulIntegerToFloat
 *     Gemm: com.microsoft QGemm without a scale of its output
 *
 * The second factor is constant: of two that are computed, as attention has them, float products are fused otherwise. */
#include "passes/qdq.h"
#include "passes/rows.h"

/* The node that alone reads `value` and adds a constant vector as long as its last axis; *out_bias is the vector, or -1. */
static const tn_node *bias_behind(const tn_match *m, int value, int64_t width, int *out_bias) {
    const tn_node *next = tn_match_reader(m, value);
    int other = next && tn_match_is(next, "", "Add") ? tn_match_other(next, value) : -1;
    const tn_tensor *t = other >= 0 ? tn_match_floats(m->graph, other) : NULL;
    *out_bias = t && t->rank == 1 && tn_count(t) == width ? other : -1;
    return *out_bias >= 0 ? next : NULL;
}

static tn_status match_float_matmul(tn_match *m, int n, const tn_qdq in[2], int *changes) {
    tn_graph *graph = m->graph;
    const tn_op *op = tn_op_find("com.microsoft", "MatMulIntegerToFloat");
    const tn_tensor *w = graph->values[in[1].value].constant;
    int at = n, out = graph->nodes[n].out[0], bias, rank = tn_match_type(graph, in[0].value)->rank;
    if (!op || !in[0].one || rank < 2 || w->rank != 2 || !tn_qdq_along(graph, &in[1], 1)) return TN_OK;
    const tn_node *add = bias_behind(m, out, w->dims[1], &bias);
    if (add) {
        at = (int)(add - graph->nodes);
        out = add->out[0];
    }
    int all[7] = {in[0].value, in[1].value, in[0].scale, in[1].scale, tn_qdq_zero(graph, &in[0]), in[1].zero, bias};
    if (all[4] < 0) return TN_E_MEMORY;
    if (tn_match_replace(m, at, op, graph->nodes[n].name, bias >= 0 ? 7 : 6, all, 1, &out) < 0) return TN_E_MEMORY;
    ++*changes;
    return tn_match_recount(m);
}

static tn_status match_float_gemm(tn_match *m, int n, const tn_qdq in[2], int *changes) {
    tn_graph *graph = m->graph;
    const tn_op *op = tn_op_find("com.microsoft", "QGemm");
    tn_node node = graph->nodes[n];
    const tn_tensor *w = graph->values[in[1].value].constant;
    int columns = tn_attr_int(&node, "transB", 0) ? 0 : 1, bias = -1;
    if (!op || !in[0].one || w->rank != 2 || !tn_qdq_along(graph, &in[1], columns)) return TN_OK;
    if (tn_attr_float(&node, "alpha", 1) != 1 || tn_attr_float(&node, "beta", 1) != 1) return TN_OK;
    if (!tn_qdq_bias(m, in, node.formal_in > 2 ? node.in[2] : -1, w->dims[columns], &bias)) return TN_OK;
    int all[7] = {in[0].value, in[0].scale, tn_qdq_zero(graph, &in[0]),
                  in[1].value, in[1].scale, tn_qdq_zero(graph, &in[1]),
                  bias};
    if (all[2] < 0 || all[5] < 0) return TN_E_MEMORY;
    int at = tn_match_replace(m, n, op, node.name, bias >= 0 ? 7 : 6, all, 1, node.out);
    if (at < 0) return TN_E_MEMORY;
    for (int a = 0; a < node.attr_count; a++) TN_TRY(tn_node_set_attr(graph, &graph->nodes[at], &node.attrs[a]));
    ++*changes;
    return tn_match_recount(m);
}

static tn_status match_product(tn_match *m, int n, int *changes) {
    const tn_node *node = &m->graph->nodes[n];
    const bool gemm = tn_match_is(node, "", "Gemm");
    tn_qdq in[2];
    if (!gemm && !tn_match_is(node, "", "MatMul")) return TN_OK;
    for (int i = 0; i < 2; i++)
        if (!tn_qdq_from(m, node->in[i], false, &in[i])) return TN_OK;
    if (!m->graph->values[in[1].value].constant || m->graph->values[in[0].value].constant) return TN_OK;
    return gemm ? match_float_gemm(m, n, in, changes) : match_float_matmul(m, n, in, changes);
}

tn_status tn_pass_qdq_float(tn_graph *graph, int *changes) {
    return tn_match_each(graph, match_product, changes);
}
