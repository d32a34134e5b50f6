/* Gradients of sums, products, quotients, powers and selections, which broadcast. */
#include "train/gradient.h"

static void set(tn_grad *g, int in, int grad) {
    g->in_grad[in] = tn_grad_unbroadcast(g, grad, g->node.in[in]);
}

static tn_status add(tn_grad *g) {
    for (int i = 0; i < g->node.in_count; i++)
        if (g->wanted[i]) set(g, i, g->out_grad[0]);
    return TN_OK;
}

static tn_status sub(tn_grad *g) {
    if (g->wanted[0]) set(g, 0, g->out_grad[0]);
    if (g->wanted[1]) set(g, 1, tn_grad_1(g, "Neg", g->out_grad[0]));
    return TN_OK;
}

static tn_status mul(tn_grad *g) {
    for (int i = 0; i < 2; i++)
        if (g->wanted[i]) set(g, i, tn_grad_2(g, "Mul", g->out_grad[0], g->node.in[!i]));
    return TN_OK;
}

/* y = a / b: by b it is -y / b. */
static tn_status quotient(tn_grad *g) {
    int by_a = tn_grad_2(g, "Div", g->out_grad[0], g->node.in[1]);
    if (g->wanted[0]) set(g, 0, by_a);
    if (g->wanted[1]) set(g, 1, tn_grad_1(g, "Neg", tn_grad_2(g, "Mul", by_a, g->node.out[0])));
    return TN_OK;
}

/* By the exponent it is y * log(a), which only holds where a is positive. */
static tn_status power(tn_grad *g) {
    int a = g->node.in[0], b = g->node.in[1];
    if (tn_grad_type(g, a)->dtype != tn_grad_type(g, b)->dtype) b = tn_grad_cast(g, b, tn_grad_type(g, a)->dtype);
    if (g->wanted[0]) {
        int less = tn_grad_2(g, "Pow", a, tn_grad_2(g, "Sub", b, tn_grad_scalar(g, a, 1)));
        set(g, 0, tn_grad_2(g, "Mul", g->out_grad[0], tn_grad_2(g, "Mul", b, less)));
    }
    if (g->wanted[1]) {
        int slope = tn_grad_2(g, "Mul", g->node.out[0], tn_grad_1(g, "Log", a));
        set(g, 1, tn_grad_2(g, "Mul", g->out_grad[0], slope));
    }
    return TN_OK;
}

static tn_status where(tn_grad *g) {
    int mask = g->node.in[0], grad = g->out_grad[0], zero = tn_grad_scalar(g, grad, 0);
    if (g->wanted[1]) set(g, 1, tn_grad_3(g, "Where", mask, grad, zero));
    if (g->wanted[2]) set(g, 2, tn_grad_3(g, "Where", mask, zero, grad));
    return TN_OK;
}

const tn_gradient tn_gradients_arithmetic[] = {
    {"", "Add", add},      {"", "Sum", add},   {"", "Sub", sub},     {"", "Mul", mul},
    {"", "Div", quotient}, {"", "Pow", power}, {"", "Where", where}, {0},
};
