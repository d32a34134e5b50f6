/* Gradients of functions of one input, y = f(x): the output's gradient times f'(x), written with y where that is cheaper.
 * Where f has a corner, the slope there is the one that PyTorch takes. */
#include <math.h>
#include "train/gradient.h"

static int x_of(const tn_grad *g) {
    return g->node.in[0];
}
static int y_of(const tn_grad *g) {
    return g->node.out[0];
}
static tn_status times(tn_grad *g, int slope) {
    g->in_grad[0] = tn_grad_2(g, "Mul", g->out_grad[0], slope);
    return TN_OK;
}
static int number(tn_grad *g, double x) {
    return tn_grad_scalar(g, g->out_grad[0], x);
}
static int one_minus(tn_grad *g, int a) {
    return tn_grad_2(g, "Sub", number(g, 1), a);
}
static int square(tn_grad *g, int a) {
    return tn_grad_2(g, "Mul", a, a);
}
static int positive(tn_grad *g, int a) {
    return tn_grad_2(g, "Greater", a, number(g, 0));
}

static tn_status negative(tn_grad *g) {
    g->in_grad[0] = tn_grad_1(g, "Neg", g->out_grad[0]);
    return TN_OK;
}
static tn_status absolute(tn_grad *g) {
    return times(g, tn_grad_1(g, "Sign", x_of(g)));
}
static tn_status exponential(tn_grad *g) {
    return times(g, y_of(g));
}
static tn_status logarithm(tn_grad *g) {
    g->in_grad[0] = tn_grad_2(g, "Div", g->out_grad[0], x_of(g));
    return TN_OK;
}
static tn_status root(tn_grad *g) {
    g->in_grad[0] = tn_grad_2(g, "Div", tn_grad_scale(g, g->out_grad[0], 0.5), y_of(g));
    return TN_OK;
}
static tn_status reciprocal(tn_grad *g) {
    return times(g, tn_grad_1(g, "Neg", square(g, y_of(g))));
}
static tn_status sine(tn_grad *g) {
    return times(g, tn_grad_1(g, "Cos", x_of(g)));
}
static tn_status cosine(tn_grad *g) {
    return times(g, tn_grad_1(g, "Neg", tn_grad_1(g, "Sin", x_of(g))));
}
static tn_status hyperbolic_tangent(tn_grad *g) {
    return times(g, one_minus(g, square(g, y_of(g))));
}
static tn_status sigmoid(tn_grad *g) {
    return times(g, tn_grad_2(g, "Mul", y_of(g), one_minus(g, y_of(g))));
}
static tn_status softplus(tn_grad *g) {
    return times(g, tn_grad_1(g, "Sigmoid", x_of(g)));
}
static tn_status relu(tn_grad *g) {
    if (tn_grad_type(g, y_of(g))->dtype != TN_FLOAT64) {
        g->in_grad[0] = tn_grad_2(g, "tenon:ReluGrad", g->out_grad[0], y_of(g));
        return TN_OK;
    }
    g->in_grad[0] = tn_grad_masked(g, positive(g, y_of(g)), g->out_grad[0]);
    return TN_OK;
}
static tn_status leaky_relu(tn_grad *g) {
    int below = tn_grad_scale(g, g->out_grad[0], (double)tn_attr_float(&g->node, "alpha", 0.01f));
    g->in_grad[0] = tn_grad_3(g, "Where", positive(g, x_of(g)), g->out_grad[0], below);
    return TN_OK;
}
static tn_status elu(tn_grad *g) {
    int alpha = number(g, (double)tn_attr_float(&g->node, "alpha", 1));
    int below = tn_grad_2(g, "Mul", g->out_grad[0], tn_grad_2(g, "Add", y_of(g), alpha));
    g->in_grad[0] = tn_grad_3(g, "Where", positive(g, x_of(g)), g->out_grad[0], below);
    return TN_OK;
}
/* y = x s(ax), s' = s (1 - s): the slope is s + a y (1 - s). */
static tn_status swish(tn_grad *g) {
    double alpha = (double)tn_attr_float(&g->node, "alpha", 1);
    int s = tn_grad_1(g, "Sigmoid", tn_grad_scale(g, x_of(g), alpha));
    int rest = tn_grad_scale(g, tn_grad_2(g, "Mul", y_of(g), one_minus(g, s)), alpha);
    return times(g, tn_grad_2(g, "Add", s, rest));
}
static tn_status error_function(tn_grad *g) {
    int bell = tn_grad_1(g, "Exp", tn_grad_1(g, "Neg", square(g, x_of(g))));
    return times(g, tn_grad_scale(g, bell, 2 / sqrt(M_PI)));
}
static tn_status gelu(tn_grad *g) {
    int x = x_of(g), half = number(g, 0.5);
    if (strcmp(tn_attr_text(&g->node, "approximate", "none"), "tanh") != 0) {
        int bell = tn_grad_1(g, "Exp", tn_grad_scale(g, square(g, x), -0.5));
        int density = tn_grad_scale(g, tn_grad_2(g, "Mul", x, bell), 1 / sqrt(2 * M_PI));
        int area = tn_grad_scale(g, tn_grad_1(g, "Erf", tn_grad_scale(g, x, sqrt(0.5))), 0.5);
        return times(g, tn_grad_2(g, "Add", tn_grad_2(g, "Add", area, half), density));
    }
    /* y = x (1 + t) / 2 with t = tanh(u) and u = c (x + k x^3) */
    double c = sqrt(2 / M_PI), k = 0.044715;
    int squared = square(g, x), one = number(g, 1);
    int inner = tn_grad_2(g, "Add", one, tn_grad_scale(g, squared, k));
    int t = tn_grad_1(g, "Tanh", tn_grad_scale(g, tn_grad_2(g, "Mul", x, inner), c));
    int u_slope = tn_grad_scale(g, tn_grad_2(g, "Add", one, tn_grad_scale(g, squared, 3 * k)), c / 2);
    int moved = tn_grad_2(g, "Mul", x, tn_grad_2(g, "Mul", one_minus(g, square(g, t)), u_slope));
    int area = tn_grad_2(g, "Add", half, tn_grad_scale(g, t, 0.5));
    return times(g, tn_grad_2(g, "Add", area, moved));
}
static tn_status clip(tn_grad *g) {
    int inside = g->out_grad[0];
    for (int i = 1; i < 3; i++)
        if (tn_grad_in(g, i) >= 0) {
            int mask = tn_grad_2(g, i == 1 ? "GreaterOrEqual" : "LessOrEqual", x_of(g), tn_grad_in(g, i));
            inside = tn_grad_masked(g, mask, inside);
        }
    g->in_grad[0] = inside;
    return TN_OK;
}
static tn_status cast(tn_grad *g) {
    g->in_grad[0] = tn_grad_cast(g, g->out_grad[0], tn_grad_type(g, x_of(g))->dtype);
    return TN_OK;
}
/* In training mode the elements that were kept were divided by 1 - ratio. */
static tn_status dropout(tn_grad *g) {
    int ratio = tn_grad_in(g, 1), training = tn_grad_in(g, 2);
    const tn_tensor *on = training >= 0 ? g->graph->values[training].constant : NULL;
    if (training >= 0 && !on) return tn_grad_fail(g, "input 2 (training_mode) is no constant");
    g->in_grad[0] = g->out_grad[0];
    if (!on || !*(const bool *)on->data) return TN_OK;
    if (g->node.out_count < 2 || g->node.out[1] < 0) return tn_grad_fail(g, "output 1, the mask, is not there");
    int kept = tn_grad_masked(g, g->node.out[1], g->out_grad[0]);
    if (ratio < 0) {
        g->in_grad[0] = tn_grad_scale(g, kept, 2);
        return TN_OK;
    }
    g->in_grad[0] = tn_grad_2(g, "Div", kept, one_minus(g, tn_grad_cast(g, ratio, tn_grad_type(g, x_of(g))->dtype)));
    return TN_OK;
}

const tn_gradient tn_gradients_elementwise[] = {
    {"", "Neg", negative},
    {"", "Abs", absolute},
    {"", "Exp", exponential},
    {"", "Log", logarithm},
    {"", "Sqrt", root},
    {"", "Reciprocal", reciprocal},
    {"", "Sin", sine},
    {"", "Cos", cosine},
    {"", "Tanh", hyperbolic_tangent},
    {"", "Sigmoid", sigmoid},
    {"", "Softplus", softplus},
    {"", "Relu", relu},
    {"", "LeakyRelu", leaky_relu},
    {"", "Elu", elu},
    {"", "Swish", swish},
    {"", "Erf", error_function},
    {"", "Gelu", gelu},
    {"", "Clip", clip},
    {"", "Cast", cast},
    {"", "Dropout", dropout},
    {"", "Floor", NULL},
    {"", "Ceil", NULL},
    {"", "Round", NULL},
    {"", "Sign", NULL},
    {"", "RandomNormalLike", NULL},
    {0},
};
