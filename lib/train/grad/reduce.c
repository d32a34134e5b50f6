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

/* dy and y with the axes of x. */
static void both(tn_grad *g, int *dy, int *y) {
    bool nothing = does_nothing(g);
    *dy = nothing ? g->out_grad[0] : with_axes(g, g->out_grad[0]);
    *y = nothing ? g->node.out[0] : with_axes(g, g->node.out[0]);
}

static tn_status sum_of_sizes(tn_grad *g) {
    int dy, y;
    both(g, &dy, &y);
    g->in_grad[0] = tn_grad_2(g, "Mul", dy, tn_grad_1(g, "Sign", g->node.in[0]));
    return TN_OK;
}

/* x / y; where all is 0, 0. */
static tn_status norm(tn_grad *g) {
    int dy, y, x = g->node.in[0];
    both(g, &dy, &y);
    int some = tn_grad_2(g, "Greater", y, tn_grad_scalar(g, y, 0));
    int below = tn_grad_3(g, "Where", some, y, tn_grad_scalar(g, y, 1));
    g->in_grad[0] = tn_grad_2(g, "Mul", tn_grad_2(g, "Div", dy, below), x);
    return TN_OK;
}

static tn_status log_sum(tn_grad *g) {
    int dy, y;
    both(g, &dy, &y);
    g->in_grad[0] = tn_grad_expand(g, tn_grad_2(g, "Div", dy, tn_grad_1(g, "Exp", y)), g->node.in[0]);
    return TN_OK;
}

static tn_status log_sum_exp(tn_grad *g) {
    int dy, y;
    both(g, &dy, &y);
    g->in_grad[0] = tn_grad_2(g, "Mul", dy, tn_grad_1(g, "Exp", tn_grad_2(g, "Sub", g->node.in[0], y)));
    return TN_OK;
}

/* Equal ones share the gradient evenly, as PyTorch's amax has it. */
static tn_status share_among_equal(tn_grad *g, int dy, int y, int axes) {
    int equal = tn_grad_2(g, "Equal", g->node.in[0], y);
    int here = tn_grad_cast(g, equal, tn_grad_type(g, y)->dtype);
    int count = tn_grad_node(g, "ReduceSum", axes < 0 ? 1 : 2, (int[]){here, axes}, NULL);
    g->in_grad[0] = tn_grad_2(g, "Mul", here, tn_grad_2(g, "Div", dy, count));
    return TN_OK;
}
static tn_status extreme(tn_grad *g) {
    int dy, y;
    if (does_nothing(g)) return sum(g);
    both(g, &dy, &y);
    return share_among_equal(g, dy, y, tn_grad_in(g, 1));
}
static tn_status global_max(tn_grad *g) {
    int64_t axes[TN_MAX_RANK];
    int rank = tn_grad_type(g, g->node.in[0])->rank;
    if (rank < 3) return tn_grad_fail(g, "the rank of its input is unknown, or below 3");
    for (int i = 2; i < rank; i++) axes[i - 2] = i;
    return share_among_equal(g, g->out_grad[0], g->node.out[0], tn_grad_ints(g, rank - 2, axes));
}

/* Of one axis: the product of those before times that of those behind, which holds where some are 0, too. */
static tn_status product(tn_grad *g) {
    int dy, y, axes = tn_grad_in(g, 1), x = g->node.in[0];
    const tn_tensor *t = axes < 0 ? NULL : g->graph->values[axes].constant;
    if (does_nothing(g)) return sum(g);
    int64_t axis = t && tn_count(t) == 1 && t->dtype == TN_INT64 ? *(const int64_t *)t->data : 0;
    if (t ? tn_count(t) != 1 || t->dtype != TN_INT64 : tn_grad_type(g, x)->rank != 1)
        return tn_grad_fail(g, "over several axes it has no gradient; take one after the other");
    both(g, &dy, &y);
    int at = tn_grad_ints(g, 1, &axis), sides[2];
    for (int back = 0; back < 2; back++) {
        const tn_attribute attributes[] = {
            {"exclusive", TN_ATTR_INT, .i = 1}, {"reverse", TN_ATTR_INT, .i = back}, {0}};
        sides[back] = tn_grad_node(g, "CumProd", 2, (int[]){x, at}, attributes);
    }
    g->in_grad[0] = tn_grad_2(g, "Mul", dy, tn_grad_2(g, "Mul", sides[0], sides[1]));
    return TN_OK;
}

static tn_status global_average(tn_grad *g) {
    return shared_out(g, g->out_grad[0]);
}

const tn_gradient tn_gradients_reduce[] = {
    {"", "ReduceSum", sum},
    {"", "ReduceMean", mean},
    {"", "ReduceSumSquare", sum_square},
    {"", "ReduceL1", sum_of_sizes},
    {"", "ReduceL2", norm},
    {"", "ReduceLogSum", log_sum},
    {"", "ReduceLogSumExp", log_sum_exp},
    {"", "ReduceMax", extreme},
    {"", "ReduceMin", extreme},
    {"", "ReduceProd", product},
    {"", "GlobalAveragePool", global_average},
    {"", "GlobalMaxPool", global_max},
    {0},
};
