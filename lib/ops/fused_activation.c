/* See fused_activation.h. */
#include "ops/fused_activation.h"
#include <math.h>

static const struct {
    const char *name;
    tn_act activation;
    float alpha, beta; /* where the node gives none */
} names[] = {
    {"", TN_ACT_NONE, 0, 0},
    {"Relu", TN_ACT_CLIP, 0, INFINITY},
    {"Clip", TN_ACT_CLIP, -INFINITY, INFINITY},
    {"LeakyRelu", TN_ACT_LEAKY_RELU, 0.01f, 0},
    {"HardSigmoid", TN_ACT_HARD_SIGMOID, 0.2f, 0.5f},
    {"HardSwish", TN_ACT_HARD_SWISH, 0, 0},
    {"Sigmoid", TN_ACT_SIGMOID, 0, 0},
    {"Tanh", TN_ACT_TANH, 0, 0},
    {"Swish", TN_ACT_SWISH, 1, 0},
    {"Gelu", TN_ACT_GELU, 0, 0},
    {"GeluTanh", TN_ACT_GELU_TANH, 0, 0},
};

tn_status tn_activation_read(const tn_node *node, tn_epilogue *epilogue) {
    return tn_activation_read_named(node, "activation", "activation_params", epilogue);
}

tn_status tn_activation_read_named(const tn_node *node, const char *attribute, const char *params,
                                   tn_epilogue *epilogue) {
    const char *name = tn_attr_text(node, attribute, "");
    size_t count;
    const float *p = tn_attr_floats(node, params, &count);
    for (size_t i = 0; i < TN_COUNT(names); i++) {
        if (strcmp(names[i].name, name) != 0) continue;
        epilogue->activation = names[i].activation;
        epilogue->alpha = tn_attr_float(node, "activation_alpha", names[i].alpha);
        epilogue->beta = tn_attr_float(node, "activation_beta", names[i].beta);
        if (strcmp(name, "Relu") == 0) {
            epilogue->alpha = 0;
            epilogue->beta = INFINITY;
            return TN_OK;
        }
        if (count > 0) epilogue->alpha = p[0];
        if (count > 1) epilogue->beta = p[1];
        return TN_OK;
    }
    return tn_fail(TN_E_UNSUPPORTED,
                   "activation '%.40s' is unknown; expected Relu, Clip, LeakyRelu, HardSigmoid, "
                   "HardSwish, Sigmoid, Tanh, Swish, Gelu or GeluTanh",
                   name);
}

double tn_activation_f64(double x, const tn_epilogue *e) {
    double alpha = (double)e->alpha, beta = (double)e->beta;
    switch (e->activation) {
    case TN_ACT_NONE: return x;
    case TN_ACT_CLIP: x = x < alpha ? alpha : x; return x > beta ? beta : x;
    case TN_ACT_LEAKY_RELU: return x < 0 ? alpha * x : x;
    case TN_ACT_HARD_SIGMOID: return fmin(1, fmax(0, alpha * x + beta));
    case TN_ACT_HARD_SWISH: return x * fmin(1, fmax(0, x / 6 + 0.5)) + alpha;
    case TN_ACT_SIGMOID: return 1 / (1 + exp(-x));
    case TN_ACT_TANH: return tanh(x);
    case TN_ACT_SWISH: return x / (1 + exp(-alpha * x));
    case TN_ACT_GELU: return 0.5 * x * (1 + erf(x * 0.70710678118654752440));
    case TN_ACT_GELU_TANH: return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    }
    return x;
}
