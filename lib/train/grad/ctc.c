/* The gradient of CTCLoss, which the operator finds along with the loss: its output 1 is the loss's by the scores. */
#include "train/gradient.h"

static tn_status ctc(tn_grad *g) {
    if (g->node.out_count < 2 || g->node.out[1] < 0) return tn_grad_fail(g, "output 1, the gradient, is not there");
    const int64_t behind[] = {1, 2};
    int each = tn_grad_2(g, "Unsqueeze", g->out_grad[0], tn_grad_ints(g, 2, behind));
    g->in_grad[0] = tn_grad_2(g, "Mul", g->node.out[1], each);
    return TN_OK;
}

const tn_gradient tn_gradients_ctc[] = {{"tenon", "CTCLoss", ctc}, {0}};
