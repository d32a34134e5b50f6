/* Gradients of normalisations. With u = (x - mean) / deviation and h = dy * scale,
 *
 *     dx = (h - mean(h) - u mean(h u)) / deviation,
 *
 * the means over what was normalised together; the statistics are worked out again from x. */
#include "graph/op.h"
#include "train/gradient.h"

typedef struct {
    int count;
    int64_t axes[TN_MAX_RANK];
} axes;

static int mean_of(tn_grad *g, int a, const axes *over) {
    return tn_grad_reduce(g, "ReduceMean", a, over->count, over->axes);
}

static int epsilon_added(tn_grad *g, int variance) {
    double epsilon = (double)tn_attr_float(&g->node, "epsilon", 1e-5f);
    return tn_grad_1(g, "Sqrt", tn_grad_2(g, "Add", variance, tn_grad_scalar(g, variance, epsilon)));
}

/* u, and the deviation that it was divided by. */
static int normalised(tn_grad *g, int x, const axes *over, bool centred, int *deviation) {
    int from_mean = centred ? tn_grad_2(g, "Sub", x, mean_of(g, x, over)) : x;
    *deviation = epsilon_added(g, mean_of(g, tn_grad_2(g, "Mul", from_mean, from_mean), over));
    return tn_grad_2(g, "Div", from_mean, *deviation);
}

static int by_input(tn_grad *g, const axes *over, bool centred, int h, int u, int deviation) {
    int along = tn_grad_2(g, "Mul", u, mean_of(g, tn_grad_2(g, "Mul", h, u), over));
    int rest = tn_grad_2(g, "Sub", h, along);
    if (centred) rest = tn_grad_2(g, "Sub", rest, mean_of(g, h, over));
    return tn_grad_2(g, "Div", rest, deviation);
}

/* Over the last axis, in float32, with a scale and a bias of its size. */
static bool is_one_pass(const tn_grad *g, int64_t axis) {
    const tn_type *x = tn_grad_type(g, g->node.in[0]);
    if (x->dtype == TN_FLOAT64 || x->rank < 1 || (axis != -1 && axis != x->rank - 1)) return false;
    for (int i = 1; i < 3 && tn_grad_in(g, i) >= 0; i++) {
        const tn_type *type = tn_grad_type(g, g->node.in[i]);
        if (type->dtype != x->dtype || type->rank != 1 || type->dims[0] < 1 || type->dims[0] != x->dims[x->rank - 1])
            return false;
    }
    return true;
}
static tn_status one_pass(tn_grad *g) {
    const tn_attribute epsilon[] = {{"epsilon", TN_ATTR_FLOAT, .f = tn_attr_float(&g->node, "epsilon", 1e-5f)}, {0}};
    int in[] = {g->out_grad[0], g->node.in[0], g->node.in[1]}, out[3];
    TN_TRY(tn_graph_node(g->graph, "tenon:LayerNormGrad", "back", 3, in, 3, out, epsilon));
    for (int i = 0; i < 3; i++)
        if (tn_grad_wants(g, i)) g->in_grad[i] = out[i];
    return TN_OK;
}

static tn_status rows(tn_grad *g, bool centred) {
    int x = g->node.in[0], dy = g->out_grad[0], rank = tn_grad_type(g, x)->rank, deviation;
    if (rank < 0) return tn_grad_fail(g, "the rank of its input is unknown");
    axes over = {0};
    int64_t first = tn_attr_int(&g->node, "axis", -1);
    if (centred && g->wanted[0] && is_one_pass(g, first)) return one_pass(g);
    for (int64_t i = first < 0 ? first + rank : first; i < rank; i++) over.axes[over.count++] = i;
    int u = normalised(g, x, &over, centred, &deviation);
    if (g->wanted[0]) g->in_grad[0] = by_input(g, &over, centred, tn_grad_2(g, "Mul", dy, g->node.in[1]), u, deviation);
    if (g->wanted[1]) g->in_grad[1] = tn_grad_unbroadcast(g, tn_grad_2(g, "Mul", dy, u), g->node.in[1]);
    if (tn_grad_wants(g, 2)) g->in_grad[2] = tn_grad_unbroadcast(g, dy, g->node.in[2]);
    return TN_OK;
}

static tn_status layer(tn_grad *g) {
    return rows(g, true);
}
static tn_status root_mean_square(tn_grad *g) {
    return rows(g, false);
}

/* A parameter [C] as [C, 1, ...], to multiply [N, C, ...] with. */
static int per_channel(tn_grad *g, int a, int rank) {
    int64_t trailing[TN_MAX_RANK];
    for (int i = 0; i < rank - 2; i++) trailing[i] = i + 1;
    return rank > 2 ? tn_grad_2(g, "Unsqueeze", a, tn_grad_ints(g, rank - 2, trailing)) : a;
}

/* Groups of channels of one image; InstanceNormalization has a group for each channel. */
static tn_status group(tn_grad *g) {
    int x = g->node.in[0], dy = g->out_grad[0], deviation;
    const tn_type type = *tn_grad_type(g, x);
    if (type.rank < 3 || type.dims[1] < 0)
        return tn_grad_fail(g, "the rank of its input, or its channels, are unknown, or there is no axis behind them");
    const int64_t groups = tn_attr_int(&g->node, "num_groups", type.dims[1]), apart[] = {0, groups, -1};
    const axes over = {1, {2}};
    int in_groups = tn_grad_ints(g, 3, apart), grouped = tn_grad_2(g, "Reshape", x, in_groups);
    int u = normalised(g, grouped, &over, true, &deviation);
    if (g->wanted[0]) {
        int h = tn_grad_2(g, "Mul", dy, per_channel(g, g->node.in[1], type.rank));
        h = tn_grad_2(g, "Reshape", h, in_groups);
        g->in_grad[0] = tn_grad_reshape(g, by_input(g, &over, true, h, u, deviation), x);
    }
    axes rest = {0};
    for (int i = 0; i < type.rank; i++)
        if (i != 1) rest.axes[rest.count++] = i;
    for (int i = 1; i < 3; i++) {
        if (!g->wanted[i]) continue;
        int terms = i == 1 ? tn_grad_2(g, "Mul", dy, tn_grad_reshape(g, u, x)) : dy;
        g->in_grad[i] = tn_grad_reshape(g, tn_grad_reduce(g, "ReduceSum", terms, rest.count, rest.axes), g->node.in[i]);
    }
    return TN_OK;
}

/* x / norm(x) along an axis. */
static tn_status unit_length(tn_grad *g) {
    int64_t axis = tn_attr_int(&g->node, "axis", -1), p = tn_attr_int(&g->node, "p", 2);
    int x = g->node.in[0], y = g->node.out[0], dy = g->out_grad[0];
    int norm = tn_grad_reduce(g, p == 1 ? "ReduceL1" : "ReduceL2", x, 1, &axis);
    int along = tn_grad_reduce(g, "ReduceSum", tn_grad_2(g, "Mul", dy, y), 1, &axis);
    int rest = tn_grad_2(g, "Mul", along, p == 1 ? tn_grad_1(g, "Sign", x) : y);
    g->in_grad[0] = tn_grad_2(g, "Div", tn_grad_2(g, "Sub", dy, rest), norm);
    return TN_OK;
}

/* The gradient behind Relu where dy is that through a Relu of nothing but this node's output; else -1. */
static int behind_relu(const tn_grad *g, int dy) {
    const tn_graph *graph = g->graph;
    const int at = graph->values[dy].producer;
    if (at < 0 || strcmp(graph->nodes[at].op->name, "ReluGrad") != 0) return -1;
    const int relu = graph->values[graph->nodes[at].in[1]].producer;
    return relu >= 0 && graph->nodes[relu].in[0] == g->node.out[0] ? graph->nodes[at].in[0] : -1;
}

static tn_status batch(tn_grad *g) {
    int x = g->node.in[0], dy = g->out_grad[0], rank = tn_grad_type(g, x)->rank, u, deviation;
    bool training = tn_attr_int(&g->node, "training_mode", 0) != 0;
    if (rank < 2) return tn_grad_fail(g, "the rank of its input is unknown, or below 2");
    if (dy < 0) return TN_OK; /* the moving statistics are read alone */
    if (training && rank > 2 && tn_grad_type(g, x)->dtype != TN_FLOAT64) {
        const tn_attribute epsilon[] = {{"epsilon", TN_ATTR_FLOAT, .f = tn_attr_float(&g->node, "epsilon", 1e-5f)},
                                        {0}};
        const int behind = behind_relu(g, dy), in[] = {behind < 0 ? dy : behind, x, g->node.in[1], g->node.in[2]};
        int out[3];
        TN_TRY(g->status);
        TN_TRY(tn_graph_node(g->graph, "tenon:BatchNormGrad", "back", behind < 0 ? 3 : 4, in, 3, out, epsilon));
        for (int i = 0; i < 3; i++)
            if (g->wanted[i]) g->in_grad[i] = out[i];
        return TN_OK;
    }
    axes over = {0};
    for (int i = 0; i < rank; i++)
        if (i != 1) over.axes[over.count++] = i;
    if (training) {
        u = normalised(g, x, &over, true, &deviation);
    } else {
        deviation = per_channel(g, epsilon_added(g, g->node.in[4]), rank);
        u = tn_grad_2(g, "Div", tn_grad_2(g, "Sub", x, per_channel(g, g->node.in[3], rank)), deviation);
    }
    int h = tn_grad_2(g, "Mul", dy, per_channel(g, g->node.in[1], rank));
    if (g->wanted[0])
        g->in_grad[0] = training ? by_input(g, &over, true, h, u, deviation) : tn_grad_2(g, "Div", h, deviation);
    int sums[2] = {tn_grad_2(g, "Mul", dy, u), dy};
    for (int i = 0; i < 2; i++)
        if (g->wanted[1 + i])
            g->in_grad[1 + i] =
                tn_grad_reshape(g, tn_grad_reduce(g, "ReduceSum", sums[i], over.count, over.axes), g->node.in[1 + i]);
    return TN_OK;
}

const tn_gradient tn_gradients_norm[] = {
    {"", "LayerNormalization", layer},
    {"", "RMSNormalization", root_mean_square},
    {"", "GroupNormalization", group},
    {"", "InstanceNormalization", group},
    {"", "LpNormalization", unit_length},
    {"", "BatchNormalization", batch},
    {0},
};
