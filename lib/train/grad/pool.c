/* Gradients of pooling over windows and of losses: operators of their own, which see what the forward one saw. */
#include <stdio.h>
#include "graph/op.h"
#include "train/gradient.h"

static tn_status of_first_output(tn_grad *g, int in_count, const int *in) {
    char op[64];
    snprintf(op, sizeof op, "tenon:%sGrad", g->node.op->name);
    if (g->out_grad[0] < 0 || (g->node.out_count > 1 && g->out_grad[1] >= 0))
        return tn_grad_fail(g, "only output 0 has a gradient");
    g->in_grad[0] = tn_grad_alike(g, op, in_count, in, NULL);
    return TN_OK;
}

static tn_status pool(tn_grad *g) {
    return of_first_output(g, 2, (int[]){g->out_grad[0], g->node.in[0]});
}

/* Of the loss by the scores; labels and weights have none. */
static tn_status loss(tn_grad *g) {
    int in[] = {g->out_grad[0], g->node.in[0], g->node.in[1], tn_grad_in(g, 2)};
    if (tn_grad_wants(g, 2)) return tn_grad_fail(g, "weights of classes have no gradient");
    return of_first_output(g, in[3] < 0 ? 3 : 4, in);
}

const tn_gradient tn_gradients_pool[] = {
    {"", "MaxPool", pool},
    {"", "AveragePool", pool},
    {"", "SoftmaxCrossEntropyLoss", loss},
    {"", "NegativeLogLikelihoodLoss", loss},
    {0},
};
