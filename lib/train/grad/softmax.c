/* Gradients of Softmax and LogSoftmax, from their outputs. */
#include "train/gradient.h"

static int sum_over_axis(tn_grad *g, int a) {
    int64_t axis = tn_attr_int(&g->node, "axis", -1);
    return tn_grad_reduce(g, "ReduceSum", a, 1, &axis);
}

/* y (dy - sum(dy y)) */
static tn_status softmax(tn_grad *g) {
    int y = g->node.out[0], dy = g->out_grad[0];
    const tn_type *type = tn_grad_type(g, y);
    int64_t axis = tn_attr_int(&g->node, "axis", -1);
    if (type->dtype != TN_FLOAT64 && type->rank > 0 && (axis == -1 || axis == type->rank - 1)) {
        g->in_grad[0] = tn_grad_2(g, "tenon:SoftmaxGrad", dy, y);
        return TN_OK;
    }
    int sum = sum_over_axis(g, tn_grad_2(g, "Mul", dy, y));
    g->in_grad[0] = tn_grad_2(g, "Mul", y, tn_grad_2(g, "Sub", dy, sum));
    return TN_OK;
}

/* dy - exp(y) sum(dy) */
static tn_status log_softmax(tn_grad *g) {
    int dy = g->out_grad[0], p = tn_grad_1(g, "Exp", g->node.out[0]);
    g->in_grad[0] = tn_grad_2(g, "Sub", dy, tn_grad_2(g, "Mul", p, sum_over_axis(g, dy)));
    return TN_OK;
}

const tn_gradient tn_gradients_softmax[] = {{"", "Softmax", softmax}, {"", "LogSoftmax", log_softmax}, {0}};
