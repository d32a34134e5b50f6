/* Gradients through rounding: QuantizeLinear and the DequantizeLinear behind it are taken together for the identity where the
 * integers reach, and for constant outside of it (the straight-through estimator; Jacob et al., "Quantization and Training of
 * Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2018), as PyTorch's fake_quantize has it. What stands
 * between the two is integers, so its gradient is by what they stand for. Scales and zero points have none. */
#include "ops/quant.h"
#include "train/gradient.h"

static bool same(const tn_graph *graph, int a, int b) {
    if (a == b) return true;
    const tn_tensor *x = a >= 0 ? graph->values[a].constant : NULL, *y = b >= 0 ? graph->values[b].constant : NULL;
    return x && y && x->dtype == y->dtype && tn_count(x) == tn_count(y) &&
           memcmp(x->data, y->data, tn_dtype_bytes(x->dtype, tn_count(x))) == 0;
}

static tn_status dequantize(tn_grad *g) {
    int producer = g->graph->values[g->node.in[0]].producer;
    const tn_node *from = producer >= 0 ? &g->graph->nodes[producer] : NULL;
    if (!tn_grad_wants(g, 0)) return TN_OK;
    if (!from || strcmp(from->op->name, "QuantizeLinear") != 0 || !same(g->graph, from->in[1], g->node.in[1]) ||
        !same(g->graph, from->in_count > 2 ? from->in[2] : -1, tn_grad_in(g, 2)))
        return tn_grad_fail(g, "its integers are of a QuantizeLinear of another scale or zero point");
    g->in_grad[0] = g->out_grad[0];
    return TN_OK;
}

/* A number for each index along the axis, or one in all, so that it is repeated over x. */
static int along(tn_grad *g, int value) {
    const tn_type *type = tn_grad_type(g, value);
    int64_t axes[TN_MAX_RANK], rank = tn_grad_type(g, g->node.in[0])->rank, axis = tn_attr_int(&g->node, "axis", 1);
    int count = 0;
    if (type->rank != 1) return value;
    for (int64_t i = (axis < 0 ? axis + rank : axis) + 1; i < rank; i++) axes[count] = count + 1, count++;
    return count ? tn_grad_2(g, "Unsqueeze", value, tn_grad_ints(g, count, axes)) : value;
}

/* What lies half a step beyond the last integer: scale (last + 1/2 - zero). */
static int end(tn_grad *g, int scale, int zero, double last) {
    int from = tn_grad_scalar(g, scale, last);
    if (zero >= 0) from = tn_grad_2(g, "Sub", from, zero);
    return tn_grad_2(g, "Mul", from, scale);
}

static tn_status quantize(tn_grad *g) {
    const int x = g->node.in[0];
    const tn_dtype real = tn_grad_type(g, x)->dtype;
    int32_t low, high;
    if (!tn_grad_wants(g, 0)) return TN_OK;
    if (!tn_quant_limits(tn_grad_type(g, g->node.out[0])->dtype, &low, &high))
        return tn_grad_fail(g, "gradients are of rounding to integers");
    if (tn_grad_type(g, g->node.in[1])->rank > 1) return tn_grad_fail(g, "scales of blocks have no gradient");
    int scale = along(g, tn_grad_cast(g, g->node.in[1], real)), zero = tn_grad_in(g, 2);
    if (zero >= 0) zero = along(g, tn_grad_cast(g, zero, real));
    int above = tn_grad_2(g, "GreaterOrEqual", x, end(g, scale, zero, low - 0.5)),
        below = tn_grad_2(g, "Less", x, end(g, scale, zero, high + 0.5));
    g->in_grad[0] = tn_grad_masked(g, tn_grad_2(g, "And", above, below), g->out_grad[0]);
    return TN_OK;
}

const tn_gradient tn_gradients_quantize[] = {
    {"", "QuantizeLinear", quantize}, {"", "DequantizeLinear", dequantize}, {0}};
