/* Gradients of sums and means over axes: the output's gradient, repeated along them. */
#include "train/gradient.h"

/* Brings the gradient, or the output, back to the rank of the input: reduced axes of size 1. */
static int with_axes(tn_grad *g, int a) {
    if (tn_attr_int(&g->node, "keepdims", 1)) return a;
    int axes = tn_grad_in(g, 1), rank = tn_grad_type(g, g->node.in[0])->rank;
    if (axes >= 0) return tn_grad_2(g, "Unsqueeze", a, axes);
    if (rank < 0) {
        tn_grad_fail(g, "the rank of its input is unknown");
        return -1;
    }
    int64_t ones[TN_MAX_RANK];
    for (int i = 0; i < rank; i++) ones[i] = 1;
    return tn_grad_2(g, "Reshape", a, tn_grad_ints(g, rank, ones));
}

/* Empty axes mean all of them, or none where the attribute says so. */
static bool does_nothing(const tn_grad *g) {
    int axes = tn_grad_in(g, 1);
    bool empty = axes < 0 || (tn_grad_type(g, axes)->rank == 1 && tn_grad_type(g, axes)->dims[0] == 0);
    return empty && tn_attr_int(&g->node, "noop_with_empty_axes", 0) != 0;
}

static tn_status sum(tn_grad *g) {
    g->in_grad[0] = does_nothing(g) ? g->out_grad[0] : tn_grad_expand(g, with_axes(g, g->out_grad[0]), g->node.in[0]);
    return TN_OK;
}

/* dy, with the axes of x, repeated along those that y is the mean of. */
static tn_status shared_out(tn_grad *g, int dy) {
    int x = g->node.in[0], count = tn_grad_2(g, "Div", tn_grad_1(g, "Size", x), tn_grad_1(g, "Size", g->node.out[0]));
    int each = tn_grad_2(g, "Div", dy, tn_grad_cast(g, count, tn_grad_type(g, x)->dtype));
    g->in_grad[0] = tn_grad_expand(g, each, x);
    return TN_OK;
}

static tn_status mean(tn_grad *g) {
    return does_nothing(g) ? sum(g) : shared_out(g, with_axes(g, g->out_grad[0]));
}

static tn_status sum_square(tn_grad *g) {
    int x = g->node.in[0], dy = does_nothing(g) ? g->out_grad[0] : with_axes(g, g->out_grad[0]);
    g->in_grad[0] = tn_grad_2(g, "Mul", x, tn_grad_scale(g, dy, 2));
    return TN_OK;
}

static tn_status global_average(tn_grad *g) {
    return shared_out(g, g->out_grad[0]);
}

const tn_gradient tn_gradients_reduce[] = {
    {"", "ReduceSum", sum},
    {"", "ReduceMean", mean},
    {"", "ReduceSumSquare", sum_square},
    {"", "GlobalAveragePool", global_average},
    {0},
};
