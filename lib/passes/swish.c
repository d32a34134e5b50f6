/* x * sigmoid(x), its hard form and their pieces, as exporters write them: Swish, HardSwish, HardSigmoid, Mish. */
#include "passes/match.h"
#include "passes/rows.h"

/* Clip(x + 3, 0, 6): returns x, or -1. */
static int relu6_of_shifted(const tn_match *m, int value) {
    const tn_node *clip = tn_match_only(m, value, "Clip");
    if (!clip || clip->formal_in < 3) return -1;
    float low;
    if (!tn_match_scalar(m->graph, clip->in[1], &low) || low != 0 || !tn_match_number(m->graph, clip->in[2], 6))
        return -1;
    const tn_node *add = tn_match_only(m, clip->in[0], "Add");
    if (!add) return -1;
    for (int i = 0; i < 2; i++)
        if (tn_match_number(m->graph, add->in[i], 3)) return add->in[1 - i];
    return -1;
}

/* `value` / 6 written as Div or Mul: the value divided, or -1. */
static int sixth_of(const tn_match *m, const tn_node *node) {
    if (tn_match_is(node, "", "Div")) return tn_match_number(m->graph, node->in[1], 6) ? node->in[0] : -1;
    if (!tn_match_is(node, "", "Mul")) return -1;
    for (int i = 0; i < 2; i++)
        if (tn_match_number(m->graph, node->in[i], 1.0f / 6)) return node->in[1 - i];
    return -1;
}

static tn_status replace(tn_match *m, int n, const char *op, int x, const char *attr, float value, const char *attr2,
                         float value2) {
    const tn_op *found = tn_op_find("", op);
    if (!found) return TN_OK;
    tn_node node = m->graph->nodes[n];
    int at = tn_match_replace(m, n, found, node.name, 1, &x, 1, node.out);
    if (at < 0) return TN_E_MEMORY;
    if (attr) TN_TRY(tn_node_set_float(m->graph, &m->graph->nodes[at], attr, value));
    if (attr2) TN_TRY(tn_node_set_float(m->graph, &m->graph->nodes[at], attr2, value2));
    return tn_match_recount(m);
}

static tn_status match_product(tn_match *m, int n, int *changes) {
    const tn_node *node = &m->graph->nodes[n];
    for (int i = 0; i < 2; i++) {
        int x = node->in[i], gate = node->in[1 - i];
        const tn_node *sigmoid = tn_match_only(m, gate, "Sigmoid");
        if (sigmoid) {
            float alpha = 1;
            const tn_node *scale = tn_match_only(m, sigmoid->in[0], "Mul");
            bool scaled =
                scale && tn_match_other(scale, x) >= 0 && tn_match_scalar(m->graph, tn_match_other(scale, x), &alpha);
            if (sigmoid->in[0] == x || scaled) {
                ++*changes;
                return replace(m, n, "Swish", x, "alpha", sigmoid->in[0] == x ? 1 : alpha, NULL, 0);
            }
        }
        const tn_node *hard = tn_match_only(m, gate, "HardSigmoid");
        if (hard && hard->in[0] == x && tn_attr_float(hard, "beta", 0.5f) == 0.5f) {
            float alpha = tn_attr_float(hard, "alpha", 0.2f) * 6;
            if (alpha > 0.999f && alpha < 1.001f) {
                ++*changes;
                return replace(m, n, "HardSwish", x, NULL, 0, NULL, 0);
            }
        }
        const tn_node *tanh = tn_match_only(m, gate, "Tanh");
        const tn_node *softplus = tanh ? tn_match_only(m, tanh->in[0], "Softplus") : NULL;
        if (softplus && softplus->in[0] == x) {
            ++*changes;
            return replace(m, n, "Mish", x, NULL, 0, NULL, 0);
        }
    }
    return TN_OK;
}

static tn_status match_node(tn_match *m, int n, int *changes) {
    const tn_node *node = &m->graph->nodes[n];
    if (node->formal_in != 2 || node->in[0] < 0 || node->in[1] < 0) return TN_OK;
    if (tn_match_type(m->graph, node->out[0])->dtype != TN_FLOAT32) return TN_OK;
    int divided = sixth_of(m, node);
    if (divided >= 0) {
        int x = relu6_of_shifted(m, divided);
        if (x >= 0) {
            ++*changes;
            return replace(m, n, "HardSigmoid", x, "alpha", 1.0f / 6, "beta", 0.5f);
        }
        const tn_node *product = tn_match_only(m, divided, "Mul");
        for (int i = 0; product && i < 2; i++)
            if (relu6_of_shifted(m, product->in[1 - i]) == product->in[i] && product->in[i] >= 0) {
                ++*changes;
                return replace(m, n, "HardSwish", product->in[i], NULL, 0, NULL, 0);
            }
    }
    return tn_match_is(node, "", "Mul") ? match_product(m, n, changes) : TN_OK;
}

tn_status tn_pass_swish(tn_graph *graph, int *changes) {
    return tn_match_each(graph, match_node, changes);
}
