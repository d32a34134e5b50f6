/* Adagrad, Adam and Momentum of ai.onnx.preview.training: one step of an optimizer on any number of tensors.
 *
 * Inputs are the learning rate R, the count of updates T, then all tensors X, their gradients, and one or two kinds of
 * state; outputs are the new tensors and states, in the same order. */
#include "graph/op.h"
#include "ops/data.h"
#include <math.h>

typedef enum rule { ADAGRAD, ADAM, MOMENTUM, NESTEROV } rule;

typedef struct state {
    rule rule;
    int states; /* of each tensor */
    double norm, norm_post, alpha, beta, epsilon, decay;
} state;

static bool read_rule(const tn_node *node, state *s) {
    const char *name = node->op->name, *mode = tn_attr_text(node, "mode", "");
    s->rule = strcmp(name, "Adagrad") == 0 ? ADAGRAD : strcmp(name, "Adam") == 0 ? ADAM : MOMENTUM;
    if (s->rule == MOMENTUM && strcmp(mode, "nesterov") == 0) s->rule = NESTEROV;
    s->states = s->rule == ADAM ? 2 : 1;
    return s->rule != MOMENTUM || strcmp(mode, "standard") == 0;
}

static tn_status infer(tn_infer *call) {
    static const tn_dtype floats[] = {TN_FLOAT32, TN_FLOAT64, TN_UNDEFINED}, longs[] = {TN_INT64, TN_UNDEFINED};
    state s;
    if (!read_rule(call->node, &s))
        return tn_fail(TN_E_INVALID, "attribute mode is '%s', not standard or nesterov",
                       tn_attr_text(call->node, "mode", ""));
    int groups = 2 + s.states, n = (call->in_count - 2) / groups;
    if (n < 1 || (call->in_count - 2) % groups || call->out_count > n * (1 + s.states))
        return tn_fail(TN_E_FORMAT,
                       "%d inputs and %d outputs; expected R, T and %d for each tensor, and %d outputs for each",
                       call->in_count, call->out_count, groups, 1 + s.states);
    TN_TRY(tn_infer_dtype(call, 1, longs));
    for (int i = 0; i < 2; i++)
        if (call->in[i]->rank >= 0 && tn_type_count(call->in[i]) > 1)
            return tn_infer_fail(call, i, TN_E_SHAPE, "expected a scalar");
    for (int i = 0; i < call->in_count; i++) {
        if (i == 1) continue;
        TN_TRY(tn_infer_dtype(call, i, floats));
        if (i < 2 + n) continue;
        const tn_type *x = call->in[2 + (i - 2) % n], *t = call->in[i];
        bool fits = x->rank < 0 || t->rank < 0 || x->rank == t->rank;
        for (int k = 0; fits && k < TN_MIN(x->rank, t->rank); k++) fits = tn_dim_fits(x->dims[k], t->dims[k]);
        if (!fits) return tn_infer_fail(call, i, TN_E_SHAPE, "expected the shape of input %d", 2 + (i - 2) % n);
        TN_TRY(tn_infer_equal_dtype(call, 2 + (i - 2) % n, i));
    }
    for (int i = 0; i < call->out_count; i++) TN_TRY(tn_infer_same(call, i, 2 + i % n));
    return TN_OK;
}

static tn_status prepare(tn_prepare *call) {
    const tn_node *node = call->node;
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    read_rule(node, s);
    s->norm = (double)tn_attr_float(node, "norm_coefficient", 0);
    s->norm_post = (double)tn_attr_float(node, "norm_coefficient_post", 0);
    s->alpha = (double)tn_attr_float(node, "alpha", 0.9f);
    s->beta = (double)tn_attr_float(node, "beta", 0.999f);
    s->epsilon = (double)tn_attr_float(node, "epsilon", 1e-6f);
    s->decay = (double)tn_attr_float(node, "decay_factor", 0);
    return TN_OK;
}

/* One element: x and its states v (and h) to their new values. rate: adjusted for the count of updates. */
static void step(const state *s, double rate, bool first, double g, double *x, double *v, double *h) {
    g += s->norm * *x;
    switch (s->rule) {
    case ADAGRAD:
        *v += g * g;
        *x -= rate * g / (sqrt(*v) + s->epsilon);
        break;
    case ADAM:
        *v = s->alpha * *v + (1 - s->alpha) * g;
        *h = s->beta * *h + (1 - s->beta) * g * g;
        *x = (1 - s->norm_post) * (*x - rate * *v / (sqrt(*h) + s->epsilon));
        break;
    default:
        *v = s->alpha * *v + (first ? 1 : s->beta) * g;
        *x -= rate * (s->rule == NESTEROV ? g + s->alpha * *v : *v);
    }
}

static double real_at(const tn_tensor *t, int64_t i) {
    return t->dtype == TN_FLOAT64 ? ((const double *)t->data)[i] : (double)((const float *)t->data)[i];
}

static void put(tn_tensor *t, int64_t i, double value) {
    if (!t) return;
    if (t->dtype == TN_FLOAT64)
        ((double *)t->data)[i] = value;
    else
        ((float *)t->data)[i] = (float)value;
}

static tn_status run(tn_run *call) {
    const state *s = call->state;
    int n = (call->in_count - 2) / (2 + s->states);
    if (!tn_count(tn_in(call, 0)) || !tn_count(tn_in(call, 1))) return tn_fail(TN_E_SHAPE, "R or T is empty");
    double rate = real_at(tn_in(call, 0), 0), count = (double)*(const int64_t *)tn_in(call, 1)->data;
    if (s->rule == ADAGRAD) rate /= 1 + count * s->decay;
    if (s->rule == ADAM && count > 0) rate *= sqrt(1 - pow(s->beta, count)) / (1 - pow(s->alpha, count));
    for (int t = 0; t < n; t++) {
        const tn_tensor *x = tn_in(call, 2 + t), *g = tn_in(call, 2 + n + t), *v = tn_in(call, 2 + 2 * n + t),
                        *h = s->states == 2 ? tn_in(call, 2 + 3 * n + t) : NULL;
        for (int64_t i = 0, elements = tn_count(x); i < elements; i++) {
            double new_x = real_at(x, i), new_v = real_at(v, i), new_h = h ? real_at(h, i) : 0;
            step(s, rate, count <= 0, real_at(g, i), &new_x, &new_v, &new_h);
            put(tn_out(call, t), i, new_x);
            put(tn_out(call, n + t), i, new_v);
            if (h) put(tn_out(call, 2 * n + t), i, new_h);
        }
    }
    return TN_OK;
}

#define OPTIMIZER(name_)                                                                                               \
    {                                                                                                                  \
        .domain = "ai.onnx.preview.training", .name = name_, .min_in = 3, .max_in = -1, .min_out = 1, .max_out = -1,   \
        .infer = infer, .prepare = prepare, .run = run                                                                 \
    }

const tn_op tn_ops_optimizer[] = {
    OPTIMIZER("Adagrad"),
    OPTIMIZER("Adam"),
    OPTIMIZER("Momentum"),
    {0},
};
