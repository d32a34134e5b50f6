/* Gradients of pooling over windows and of losses: operators of their own, which see what the forward one saw. */
#include <stdio.h>
#include "graph/op.h"
#include "train/gradient.h"

static tn_status pool(tn_grad *g) {
    char op[64];
    snprintf(op, sizeof op, "tenon:%sGrad", g->node.op->name);
    if (g->out_grad[0] < 0 || (g->node.out_count > 1 && g->out_grad[1] >= 0))
        return tn_grad_fail(g, "only output 0 has a gradient");
    g->in_grad[0] = tn_grad_alike(g, op, 2, (int[]){g->out_grad[0], g->node.in[0]}, NULL);
    return TN_OK;
}

/* Of the loss by the scores; labels and weights have none. */
static tn_status loss(tn_grad *g) {
    char op[64];
    snprintf(op, sizeof op, "tenon:%sGrad", g->node.op->name);
    if (g->out_grad[0] < 0 || (g->node.out_count > 1 && g->out_grad[1] >= 0))
        return tn_grad_fail(g, "only output 0 has a gradient");
    if (tn_grad_wants(g, 2)) return tn_grad_fail(g, "weights of classes have no gradient");
    int in[] = {g->out_grad[0], g->node.in[0], g->node.in[1], tn_grad_in(g, 2)};
    g->in_grad[0] = tn_grad_alike(g, op, in[3] < 0 ? 3 : 4, in, NULL);
    return TN_OK;
}

const tn_gradient tn_gradients_pool[] = {
    {"", "MaxPool", pool},
    {"", "AveragePool", pool},
    {"", "SoftmaxCrossEntropyLoss", loss},
    {"", "NegativeLogLikelihoodLoss", loss},
    {0},
};
