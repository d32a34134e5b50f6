/* Optimizers as nodes: which operator with which attributes, and the common factor that clips gradients. */
#include <math.h>
#include "train/gradient.h"
#include "train/train.h"

static const struct {
    const char *op; /* of lib/train/ops/optimizer_step.c */
    int states;
    bool decoupled;
    double beta1, beta2, epsilon;
} kinds[] = {
    [TN_SGD] = {"tenon:SGD", 1, false, 0, 0, 1e-8},         [TN_ADAM] = {"tenon:Adam", 2, false, 0.9, 0.999, 1e-8},
    [TN_ADAMW] = {"tenon:Adam", 2, true, 0.9, 0.999, 1e-8}, [TN_ADAGRAD] = {"tenon:Adagrad", 1, false, 0, 0, 1e-10},
    [TN_RMSPROP] = {"tenon:RMSprop", 2, false, 0, 0, 1e-8}, [TN_LION] = {"tenon:Lion", 1, true, 0.9, 0.99, 1e-8},
};

static double or_default(double x, double fallback) {
    return x == 0 ? fallback : x == -1 ? 0 : x;
}

tn_status tn_optimizer_defaults(const tn_optimizer_options *given, tn_optimizer_options *out) {
    if ((unsigned)given->kind >= TN_COUNT(kinds))
        return tn_fail(TN_E_INVALID, "there is no optimizer number %d", (int)given->kind);
    *out = *given;
    out->rate = or_default(given->rate, 1e-3);
    out->momentum = or_default(given->momentum, 0);
    out->beta1 = or_default(given->beta1, kinds[given->kind].beta1);
    out->beta2 = or_default(given->beta2, kinds[given->kind].beta2);
    out->alpha = or_default(given->alpha, 0.99);
    out->epsilon = or_default(given->epsilon, kinds[given->kind].epsilon);
    const struct {
        const char *name;
        double value, below;
    } limits[] = {{"rate", out->rate, INFINITY},
                  {"momentum", out->momentum, 1},
                  {"beta1", out->beta1, 1},
                  {"beta2", out->beta2, 1},
                  {"alpha", out->alpha, 1},
                  {"epsilon", out->epsilon, INFINITY},
                  {"weight_decay", out->weight_decay, INFINITY},
                  {"l1", out->l1, INFINITY},
                  {"clip_norm", out->clip_norm, INFINITY}};
    for (size_t i = 0; i < TN_COUNT(limits); i++)
        if (!(limits[i].value >= 0 && limits[i].value < limits[i].below))
            return tn_fail(TN_E_INVALID, "optimizer.%s is %g; expected a number from 0 to below %g", limits[i].name,
                           limits[i].value, limits[i].below);
    if (out->nesterov && out->momentum == 0)
        return tn_fail(TN_E_INVALID, "optimizer.nesterov needs a momentum above 0");
    return TN_OK;
}

int tn_optimizer_states(const tn_optimizer_options *options) {
    return kinds[options->kind].states;
}

tn_status tn_optimizer_node(tn_graph *graph, const tn_optimizer_options *o, int rate, int count, int factor,
                            int parameter, int gradient, const int *states, int *outs) {
    const tn_attribute attributes[] = {
        {.name = "momentum", .kind = TN_ATTR_FLOAT, .f = (float)o->momentum},
        {.name = "nesterov", .kind = TN_ATTR_INT, .i = o->nesterov},
        {.name = "beta1", .kind = TN_ATTR_FLOAT, .f = (float)o->beta1},
        {.name = "beta2", .kind = TN_ATTR_FLOAT, .f = (float)o->beta2},
        {.name = "alpha", .kind = TN_ATTR_FLOAT, .f = (float)o->alpha},
        {.name = "epsilon", .kind = TN_ATTR_FLOAT, .f = (float)o->epsilon},
        {.name = "weight_decay", .kind = TN_ATTR_FLOAT, .f = (float)o->weight_decay},
        {.name = "decoupled", .kind = TN_ATTR_INT, .i = kinds[o->kind].decoupled},
        {.name = "l1", .kind = TN_ATTR_FLOAT, .f = (float)o->l1},
        {0},
    };
    int in[7] = {rate, count, factor, parameter, gradient}, n = kinds[o->kind].states;
    for (int i = 0; i < n; i++) in[5 + i] = states[i];
    return tn_graph_node(graph, kinds[o->kind].op, "step", 5 + n, in, 1 + n, outs, attributes);
}

/* min(1, limit / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_ has it. */
tn_status tn_optimizer_clip(tn_graph *graph, const tn_optimizer_options *options, int scale, int count,
                            const int *gradients, int *out_factor) {
    const tn_attribute scalar[] = {{.name = "keepdims", .kind = TN_ATTR_INT, .i = 0}, {0}};
    const tn_attribute wide[] = {{.name = "to", .kind = TN_ATTR_INT, .i = TN_FLOAT64}, {0}};
    const char *name = "clip";
    int sum = -1, limit, one, tiny;
    TN_TRY(tn_graph_scalar(graph, TN_FLOAT64, 1, &one));
    *out_factor = scale < 0 ? one : scale;
    if (options->clip_norm == 0) return TN_OK;
    for (int i = 0; i < count; i++) {
        int square;
        TN_TRY(tn_graph_node(graph, "ReduceSumSquare", name, 1, &gradients[i], 1, &square, scalar));
        TN_TRY(tn_graph_node(graph, "Cast", name, 1, &square, 1, &square, wide));
        if (sum >= 0) TN_TRY(tn_graph_node(graph, "Add", name, 2, (int[]){sum, square}, 1, &square, NULL));
        sum = square;
    }
    TN_TRY(tn_graph_scalar(graph, TN_FLOAT64, options->clip_norm, &limit));
    TN_TRY(tn_graph_scalar(graph, TN_FLOAT64, 1e-6, &tiny));
    TN_TRY(tn_graph_node(graph, "Sqrt", name, 1, &sum, 1, &sum, NULL));
    if (scale >= 0) TN_TRY(tn_graph_node(graph, "Mul", name, 2, (int[]){sum, scale}, 1, &sum, NULL));
    TN_TRY(tn_graph_node(graph, "Add", name, 2, (int[]){sum, tiny}, 1, &sum, NULL));
    TN_TRY(tn_graph_node(graph, "Div", name, 2, (int[]){limit, sum}, 1, &sum, NULL));
    TN_TRY(tn_graph_node(graph, "Min", name, 2, (int[]){sum, one}, 1, out_factor, NULL));
    if (scale < 0) return TN_OK;
    return tn_graph_node(graph, "Mul", name, 2, (int[]){*out_factor, scale}, 1, out_factor, NULL);
}
