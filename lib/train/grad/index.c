/* Gradients of operators that read and write at indices: what was read from somewhere is added there, and what was
 * written is read again. */
#include "train/gradient.h"

static int added(tn_grad *g, const char *op, int to, int indices, int dy, const tn_attribute *more) {
    tn_attribute attributes[3] = {{"reduction", TN_ATTR_STRING, .s = "add"}};
    if (more) attributes[1] = *more;
    return tn_grad_node(g, op, 3, (int[]){to, indices, dy}, attributes);
}

static tn_attribute axis_of(const tn_grad *g) {
    return (tn_attribute){"axis", TN_ATTR_INT, .i = tn_attr_int(&g->node, "axis", 0)};
}

static int long_indices(tn_grad *g, int indices) {
    return tn_grad_type(g, indices)->dtype == TN_INT64 ? indices : tn_grad_cast(g, indices, TN_INT64);
}

static tn_status gather_nd(tn_grad *g) {
    int64_t batch = tn_attr_int(&g->node, "batch_dims", 0);
    if (batch) return tn_grad_fail(g, "with batch_dims %lld it has no gradient; only with 0", (long long)batch);
    int indices = long_indices(g, g->node.in[1]);
    g->in_grad[0] = added(g, "ScatterND", tn_grad_zeros(g, g->node.in[0]), indices, g->out_grad[0], NULL);
    return TN_OK;
}

static tn_status gather_elements(tn_grad *g) {
    tn_attribute axis = axis_of(g);
    g->in_grad[0] = added(g, "ScatterElements", tn_grad_zeros(g, g->node.in[0]), g->node.in[1], g->out_grad[0], &axis);
    return TN_OK;
}

/* Updates that replace what was there take its gradient over; those added share it. */
static tn_status scatter(tn_grad *g, const char *op, const char *gather, bool has_axis) {
    const char *reduction = tn_attr_text(&g->node, "reduction", "none");
    const bool add = strcmp(reduction, "add") == 0;
    const int indices = g->node.in[1], updates = g->node.in[2];
    if (!add && strcmp(reduction, "none") != 0)
        return tn_grad_fail(g, "with reduction '%.20s' it has no gradient; only with none and add", reduction);
    const tn_attribute attributes[] = {has_axis ? axis_of(g) : (tn_attribute){0}, {0}};
    if (g->wanted[0])
        g->in_grad[0] =
            add ? g->out_grad[0]
                : tn_grad_node(g, op, 3, (int[]){g->out_grad[0], indices, tn_grad_zeros(g, updates)}, attributes);
    if (g->wanted[2]) {
        int at = has_axis ? indices : long_indices(g, indices);
        g->in_grad[2] = tn_grad_node(g, gather, 2, (int[]){g->out_grad[0], at}, attributes);
    }
    return TN_OK;
}
static tn_status scatter_nd(tn_grad *g) {
    return scatter(g, "ScatterND", "GatherND", false);
}
static tn_status scatter_elements(tn_grad *g) {
    return scatter(g, "ScatterElements", "GatherElements", true);
}

/* Those that were taken, along an axis. */
static tn_status top_k(tn_grad *g) {
    if (g->out_grad[0] < 0) return TN_OK;
    if (g->node.out_count < 2 || g->node.out[1] < 0) return tn_grad_fail(g, "output 1, the indices, is not there");
    const tn_attribute axis = {"axis", TN_ATTR_INT, .i = tn_attr_int(&g->node, "axis", -1)};
    g->in_grad[0] = added(g, "ScatterElements", tn_grad_zeros(g, g->node.in[0]), g->node.out[1], g->out_grad[0], &axis);
    return TN_OK;
}

const tn_gradient tn_gradients_index[] = {
    {"", "GatherND", gather_nd},   {"", "GatherElements", gather_elements},
    {"", "ScatterND", scatter_nd}, {"", "ScatterElements", scatter_elements},
    {"", "TopK", top_k},           {0},
};
