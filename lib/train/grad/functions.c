/* Gradients of functions of one input that are met more seldom than those of elementwise.c: trigonometry, activations with
 * corners; and of greatest, least and mean of several. Where there is a corner, the slope there is PyTorch's. */
#include "train/gradient.h"

static int number(tn_grad *g, double x) {
    return tn_grad_scalar(g, g->out_grad[0], x);
}
static int square(tn_grad *g, int a) {
    return tn_grad_2(g, "Mul", a, a);
}
static int plus(tn_grad *g, int a, double x) {
    return tn_grad_2(g, "Add", a, number(g, x));
}
static int one_minus(tn_grad *g, int a) {
    return tn_grad_2(g, "Sub", number(g, 1), a);
}
static tn_status times(tn_grad *g, int slope) {
    g->in_grad[0] = tn_grad_2(g, "Mul", g->out_grad[0], slope);
    return TN_OK;
}
static tn_status over(tn_grad *g, int inverse_slope) {
    g->in_grad[0] = tn_grad_2(g, "Div", g->out_grad[0], inverse_slope);
    return TN_OK;
}
static double attribute(const tn_grad *g, const char *name, float fallback) {
    return (double)tn_attr_float(&g->node, name, fallback);
}
static int above(tn_grad *g, int a, double x) {
    return tn_grad_2(g, "Greater", a, number(g, x));
}
static int below(tn_grad *g, int a, double x) {
    return tn_grad_2(g, "Less", a, number(g, x));
}

static tn_status tangent(tn_grad *g) {
    return times(g, plus(g, square(g, g->node.out[0]), 1));
}
static tn_status arc_sine(tn_grad *g) {
    return over(g, tn_grad_1(g, "Sqrt", one_minus(g, square(g, g->node.in[0]))));
}
static tn_status arc_cosine(tn_grad *g) {
    return over(g, tn_grad_1(g, "Neg", tn_grad_1(g, "Sqrt", one_minus(g, square(g, g->node.in[0])))));
}
static tn_status arc_tangent(tn_grad *g) {
    return over(g, plus(g, square(g, g->node.in[0]), 1));
}
static tn_status hyperbolic_sine(tn_grad *g) {
    return times(g, tn_grad_1(g, "Cosh", g->node.in[0]));
}
static tn_status hyperbolic_cosine(tn_grad *g) {
    return times(g, tn_grad_1(g, "Sinh", g->node.in[0]));
}
static tn_status area_sine(tn_grad *g) {
    return over(g, tn_grad_1(g, "Sqrt", plus(g, square(g, g->node.in[0]), 1)));
}
static tn_status area_cosine(tn_grad *g) {
    return over(g, tn_grad_1(g, "Sqrt", plus(g, square(g, g->node.in[0]), -1)));
}
static tn_status area_tangent(tn_grad *g) {
    return over(g, one_minus(g, square(g, g->node.in[0])));
}

/* Between the corners at 0 and 1 of y the slope is alpha. */
static tn_status hard_sigmoid(tn_grad *g) {
    int y = g->node.out[0], inside = tn_grad_2(g, "And", above(g, y, 0), below(g, y, 1));
    g->in_grad[0] = tn_grad_masked(g, inside, tn_grad_scale(g, g->out_grad[0], attribute(g, "alpha", 0.2f)));
    return TN_OK;
}
/* x clip(x / 6 + 1/2, 0, 1): the slope is 0, x / 3 + 1/2 or 1. */
static tn_status hard_swish(tn_grad *g) {
    int x = g->node.in[0], middle = plus(g, tn_grad_scale(g, x, 1.0 / 3), 0.5);
    int slope = tn_grad_3(g, "Where", above(g, x, 3), number(g, 1), middle);
    return times(g, tn_grad_3(g, "Where", below(g, x, -3), number(g, 0), slope));
}
/* x t with t = tanh(softplus(x)): t + x (1 - t^2) s(x). */
static tn_status mish(tn_grad *g) {
    int x = g->node.in[0], t = tn_grad_1(g, "Tanh", tn_grad_1(g, "Softplus", x));
    int rest = tn_grad_2(g, "Mul", tn_grad_2(g, "Mul", x, tn_grad_1(g, "Sigmoid", x)), one_minus(g, square(g, t)));
    return times(g, tn_grad_2(g, "Add", t, rest));
}
/* Above 0 the slope is gamma, below y + gamma alpha. */
static tn_status selu(tn_grad *g) {
    double gamma = attribute(g, "gamma", 1.05070102214813232421875f);
    double alpha = attribute(g, "alpha", 1.67326319217681884765625f);
    int under = plus(g, g->node.out[0], gamma * alpha);
    return times(g, tn_grad_3(g, "Where", above(g, g->node.in[0], 0), number(g, gamma), under));
}
static tn_status celu(tn_grad *g) {
    int under = plus(g, tn_grad_scale(g, g->node.out[0], 1 / attribute(g, "alpha", 1)), 1);
    return times(g, tn_grad_3(g, "Where", above(g, g->node.in[0], 0), number(g, 1), under));
}
static tn_status soft_sign(tn_grad *g) {
    return over(g, square(g, plus(g, tn_grad_1(g, "Abs", g->node.in[0]), 1)));
}
static tn_status thresholded_relu(tn_grad *g) {
    g->in_grad[0] = tn_grad_masked(g, above(g, g->node.in[0], attribute(g, "alpha", 1)), g->out_grad[0]);
    return TN_OK;
}
static tn_status shrink(tn_grad *g) {
    int outside = above(g, tn_grad_1(g, "Abs", g->node.in[0]), attribute(g, "lambd", 0.5f));
    g->in_grad[0] = tn_grad_masked(g, outside, g->out_grad[0]);
    return TN_OK;
}
/* x s(ax): s + a y (1 - s). */
static tn_status quick_gelu(tn_grad *g) {
    double alpha = attribute(g, "alpha", 1.702f);
    int s = tn_grad_1(g, "Sigmoid", tn_grad_scale(g, g->node.in[0], alpha));
    int rest = tn_grad_scale(g, tn_grad_2(g, "Mul", g->node.out[0], one_minus(g, s)), alpha);
    return times(g, tn_grad_2(g, "Add", s, rest));
}
static tn_status prelu(tn_grad *g) {
    int x = g->node.in[0], slope = g->node.in[1], dy = g->out_grad[0], positive = above(g, x, 0);
    if (g->wanted[0]) g->in_grad[0] = tn_grad_3(g, "Where", positive, dy, tn_grad_2(g, "Mul", dy, slope));
    if (g->wanted[1])
        g->in_grad[1] =
            tn_grad_unbroadcast(g, tn_grad_3(g, "Where", positive, number(g, 0), tn_grad_2(g, "Mul", dy, x)), slope);
    return TN_OK;
}

/* Equal ones share the gradient evenly, as PyTorch's maximum has it. */
static tn_status extreme(tn_grad *g) {
    int y = g->node.out[0], count = -1;
    tn_dtype dtype = tn_grad_type(g, y)->dtype;
    for (int i = 0; i < g->node.in_count; i++) {
        int here = tn_grad_cast(g, tn_grad_2(g, "Equal", g->node.in[i], y), dtype);
        count = count < 0 ? here : tn_grad_2(g, "Add", count, here);
    }
    int share = tn_grad_2(g, "Div", g->out_grad[0], count);
    for (int i = 0; i < g->node.in_count; i++)
        if (g->wanted[i])
            g->in_grad[i] = tn_grad_unbroadcast(g, tn_grad_masked(g, tn_grad_2(g, "Equal", g->node.in[i], y), share),
                                                g->node.in[i]);
    return TN_OK;
}
static tn_status mean(tn_grad *g) {
    int share = tn_grad_scale(g, g->out_grad[0], 1.0 / g->node.in_count);
    for (int i = 0; i < g->node.in_count; i++)
        if (g->wanted[i]) g->in_grad[i] = tn_grad_unbroadcast(g, share, g->node.in[i]);
    return TN_OK;
}

const tn_gradient tn_gradients_functions[] = {
    {"", "Tan", tangent},
    {"", "Asin", arc_sine},
    {"", "Acos", arc_cosine},
    {"", "Atan", arc_tangent},
    {"", "Sinh", hyperbolic_sine},
    {"", "Cosh", hyperbolic_cosine},
    {"", "Asinh", area_sine},
    {"", "Acosh", area_cosine},
    {"", "Atanh", area_tangent},
    {"", "HardSigmoid", hard_sigmoid},
    {"", "HardSwish", hard_swish},
    {"", "Mish", mish},
    {"", "Selu", selu},
    {"", "Celu", celu},
    {"", "Softsign", soft_sign},
    {"", "ThresholdedRelu", thresholded_relu},
    {"", "Shrink", shrink},
    {"com.microsoft", "QuickGelu", quick_gelu},
    {"", "PRelu", prelu},
    {"", "Max", extreme},
    {"", "Min", extreme},
    {"", "Mean", mean},
    {0},
};
