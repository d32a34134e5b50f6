/* Gradients of matrix products: dA = dY B^T and dB = A^T dY, with the transposition inside of the product. */
#include "train/gradient.h"

static int product(tn_grad *g, int a, bool turn_a, int b, bool turn_b) {
    tn_attribute attributes[] = {{"transA", TN_ATTR_INT, .i = turn_a}, {"transB", TN_ATTR_INT, .i = turn_b}, {0}};
    return tn_grad_node(g, "com.microsoft:FusedMatMul", 2, (int[]){a, b}, attributes);
}

static int unsqueeze(tn_grad *g, int a, int64_t axis) {
    return tn_grad_2(g, "Unsqueeze", a, tn_grad_ints(g, 1, &axis));
}

/* All axes but the last made one. */
static int rows_of(tn_grad *g, int a) {
    const tn_type *type = tn_grad_type(g, a);
    if (type->rank <= 2) return a;
    if (type->dims[type->rank - 1] < 0) {
        tn_grad_fail(g, "the last dimension of '%s' is unknown", g->graph->values[a].name);
        return -1;
    }
    return tn_grad_2(g, "Reshape", a, tn_grad_ints(g, 2, (int64_t[]){-1, type->dims[type->rank - 1]}));
}

static tn_status matmul(tn_grad *g) {
    int a = g->node.in[0], b = g->node.in[1], dy = g->out_grad[0];
    int rank_a = tn_grad_type(g, a)->rank, rank_b = tn_grad_type(g, b)->rank;
    if (rank_a < 1 || rank_b < 1) return tn_grad_fail(g, "the rank of an input is unknown");
    /* A vector is a matrix of one row or column, which the product leaves out. */
    int left = rank_a == 1 ? unsqueeze(g, a, 0) : a, right = rank_b == 1 ? unsqueeze(g, b, 1) : b;
    if (rank_b == 1) dy = unsqueeze(g, dy, -1);
    if (rank_a == 1) dy = unsqueeze(g, dy, -2);
    if (g->wanted[0] && g->status == TN_OK) {
        int grad = product(g, dy, false, right, true);
        g->in_grad[0] =
            rank_a == 1 ? tn_grad_reshape(g, tn_grad_unbroadcast(g, grad, left), a) : tn_grad_unbroadcast(g, grad, a);
    }
    if (g->wanted[1] && g->status == TN_OK) {
        if (rank_b == 2 && rank_a > 2) { /* one matrix for all of the stack: one long product */
            g->in_grad[1] = product(g, rows_of(g, left), true, rows_of(g, dy), false);
            return TN_OK;
        }
        int grad = product(g, left, true, dy, false);
        g->in_grad[1] =
            rank_b == 1 ? tn_grad_reshape(g, tn_grad_unbroadcast(g, grad, right), b) : tn_grad_unbroadcast(g, grad, b);
    }
    return TN_OK;
}

static int gemm_of(tn_grad *g, int a, int b, bool turn_a, bool turn_b) {
    tn_attribute attributes[] = {{"alpha", TN_ATTR_FLOAT, .f = tn_attr_float(&g->node, "alpha", 1)},
                                 {"transA", TN_ATTR_INT, .i = turn_a},
                                 {"transB", TN_ATTR_INT, .i = turn_b},
                                 {0}};
    return tn_grad_node(g, "Gemm", 2, (int[]){a, b}, attributes);
}

static tn_status gemm(tn_grad *g) {
    bool turn_a = tn_attr_int(&g->node, "transA", 0) != 0, turn_b = tn_attr_int(&g->node, "transB", 0) != 0;
    int a = g->node.in[0], b = g->node.in[1], dy = g->out_grad[0];
    if (g->wanted[0]) g->in_grad[0] = turn_a ? gemm_of(g, b, dy, turn_b, true) : gemm_of(g, dy, b, false, !turn_b);
    if (g->wanted[1]) g->in_grad[1] = turn_b ? gemm_of(g, dy, a, true, turn_a) : gemm_of(g, a, dy, !turn_a, false);
    if (tn_grad_wants(g, 2)) {
        int scaled = tn_grad_scale(g, dy, (double)tn_attr_float(&g->node, "beta", 1));
        g->in_grad[2] = tn_grad_unbroadcast(g, scaled, g->node.in[2]);
    }
    return TN_OK;
}

const tn_gradient tn_gradients_matmul[] = {{"", "MatMul", matmul}, {"", "Gemm", gemm}, {0}};
