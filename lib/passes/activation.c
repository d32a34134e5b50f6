/* Activations as attributes. See activation.h. */
#include "passes/activation.h"
#include <float.h>

bool tn_match_activation(const tn_graph *graph, const tn_node *node, tn_activation *out) {
    static const char *const plain[] = {"Relu", "HardSwish", "Sigmoid", "Tanh"};
    *out = (tn_activation){0};
    if (strcmp(node->op->domain, "") != 0) return false;
    const char *op = node->op->name;
    for (size_t i = 0; i < TN_COUNT(plain); i++)
        if (strcmp(op, plain[i]) == 0) out->name = plain[i];
    if (out->name) return true;
    if (strcmp(op, "LeakyRelu") == 0) {
        *out = (tn_activation){"LeakyRelu", {tn_attr_float(node, "alpha", 0.01f)}, 1};
    } else if (strcmp(op, "HardSigmoid") == 0) {
        *out =
            (tn_activation){"HardSigmoid", {tn_attr_float(node, "alpha", 0.2f), tn_attr_float(node, "beta", 0.5f)}, 2};
    } else if (strcmp(op, "Swish") == 0) {
        *out = (tn_activation){"Swish", {tn_attr_float(node, "alpha", 1)}, 1};
    } else if (strcmp(op, "Gelu") == 0 && strcmp(tn_attr_text(node, "approximate", "none"), "none") == 0) {
        *out = (tn_activation){"Gelu", {0}, 0};
    } else if (strcmp(op, "Clip") == 0) {
        *out = (tn_activation){"Clip", {-FLT_MAX, FLT_MAX}, 2};
        for (int i = 1; i < node->formal_in; i++)
            if (node->in[i] >= 0 && !tn_match_scalar(graph, node->in[i], &out->params[i - 1])) return false;
    }
    return out->name != NULL;
}

tn_status tn_set_activation(tn_graph *graph, tn_node *node, const tn_activation *activation) {
    if (!activation->name) return TN_OK;
    TN_TRY(tn_node_set_text(graph, node, "activation", activation->name));
    if (!activation->count) return TN_OK;
    return tn_node_set_floats(graph, node, "activation_params", activation->count, activation->params);
}
