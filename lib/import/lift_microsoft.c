/* Lifting operators of com.microsoft to what they stand for: older names of what ai.onnx has by now, layouts with the
 * channels last, and combinations. What only com.microsoft has is in lib/ops. */
#include <limits.h>
#include "base/element.h"
#include "import/lift.h"

/* The same operator in ai.onnx. */
static tn_status same(tn_lift *lift) {
    lift->domain = "";
    return TN_OK;
}

/* The step may be left out. */
static tn_status range(tn_lift *lift) {
    lift->domain = "";
    if (lift->node.in_count != 2) return TN_OK;
    return tn_lift_set_input(lift, 2, tn_lift_scalar(lift, tn_lift_dtype(lift, 0), 1));
}

static tn_status transpose_matmul(tn_lift *lift) {
    lift->op = "FusedMatMul";
    return TN_OK;
}

static tn_status expand_dims(tn_lift *lift) {
    int axis = tn_lift_input(lift, 1);
    lift->domain = "";
    lift->op = "Unsqueeze";
    if (axis < 0) return TN_OK; /* left to the check of arity */
    return tn_lift_set_input(lift, 1, tn_lift_cast(lift, axis, TN_INT64));
}

/* pads may be [1, 2 * rank]. */
static tn_status pad(tn_lift *lift) {
    int pads = tn_lift_input(lift, 1);
    lift->domain = "";
    if (pads < 0 || tn_lift_rank(lift, 1) != 2) return TN_OK;
    return tn_lift_set_input(lift, 1, tn_lift_two(lift, "Reshape", pads, tn_lift_ints(lift, 1, (int64_t[]){-1})));
}

/* Its outputs are the elements in the order of their first use, the index of each input's element, and counts. */
static tn_status unique(tn_lift *lift) {
    tn_node *node = &lift->node;
    int *outs = tn_region_array(lift->scratch, 4, sizeof *outs);
    if (!outs) return TN_E_MEMORY;
    outs[0] = node->out_count > 0 ? node->out[0] : -1;
    outs[1] = -1;
    outs[2] = node->out_count > 1 ? node->out[1] : -1;
    outs[3] = node->out_count > 2 ? node->out[2] : -1;
    node->out = outs;
    node->out_count = 4;
    lift->domain = "";
    return tn_node_set_int(lift->graph, node, "sorted", 0);
}

static tn_status grid_sample(tn_lift *lift) {
    const char *mode = tn_attr_text(&lift->node, "mode", "bilinear");
    lift->domain = "";
    if (strncmp(mode, "bi", 2) != 0) return TN_OK;
    return tn_node_set_text(lift->graph, &lift->node, "mode", mode + 2);
}

/* Distances of A's rows from B's: (|a|^2 - 2 a b + |b|^2), and its root if they are Euclidean. */
static tn_status cdist(tn_lift *lift) {
    const char *metric = tn_attr_text(&lift->node, "metric", "sqeuclidean");
    bool root = strcmp(metric, "euclidean") == 0;
    tn_node *node = &lift->node;
    if (!root && strcmp(metric, "sqeuclidean") != 0)
        return tn_fail(TN_E_UNSUPPORTED, "metric is '%.40s'; expected euclidean or sqeuclidean", metric);
    if (node->in_count != 2 || node->in[0] < 0 || node->in[1] < 0 || node->out_count != 1 || node->out[0] < 0)
        return tn_fail(TN_E_INVALID, "it needs two inputs and one output");
    tn_dtype dtype = tn_lift_dtype(lift, 0);
    tn_attr keep[] = {{.name = "keepdims", .kind = TN_ATTR_INT, .i = 1}};
    static const int64_t swapped[] = {1, 0};
    tn_attr swap[] = {{.name = "perm", .kind = TN_ATTR_INTS, .count = 2, .ints = swapped}};
    tn_attr product[] = {{.name = "transB", .kind = TN_ATTR_INT, .i = 1},
                         {.name = "alpha", .kind = TN_ATTR_FLOAT, .f = -2}};
    int axis = tn_lift_ints(lift, 1, (int64_t[]){1}), zero = tn_lift_scalar(lift, dtype, 0);
    int a = tn_lift_add(lift, "ReduceSumSquare", 2, (int[]){node->in[0], axis}, 1, keep);
    int b = tn_lift_add(lift, "ReduceSumSquare", 2, (int[]){node->in[1], axis}, 1, keep);
    int cross = tn_lift_add(lift, "FusedMatMul", 2, node->in, 2, product);
    int sum =
        tn_lift_two(lift, "Add", tn_lift_two(lift, "Add", cross, a), tn_lift_add(lift, "Transpose", 1, &b, 1, swap));
    lift->done = true;
    if (!root) return tn_lift_add_to(lift, "Max", 2, (int[]){sum, zero}, node->out[0], 0, NULL);
    return tn_lift_add_to(lift, "Sqrt", 1, (int[]){tn_lift_two(lift, "Max", sum, zero)}, node->out[0], 0, NULL);
}

/* ---- channels last ---- */

/* The attribute of a Transpose that moves the channels: from last to second, or back. */
static tn_status moves(tn_lift *lift, int rank, bool back, tn_attr *out) {
    int64_t *perm = tn_region_array(lift->graph->region, (size_t)rank, sizeof *perm);
    if (!perm) return TN_E_MEMORY;
    for (int i = 0; i < rank; i++) perm[i] = i == 0 ? 0 : back ? (i < rank - 1 ? i + 1 : 1) : i == 1 ? rank - 1 : i - 1;
    *out = (tn_attr){.name = "perm", .kind = TN_ATTR_INTS, .count = (size_t)rank, .ints = perm};
    return TN_OK;
}

/* The draft, of `op` of ai.onnx, works on input 0 and output 0 between two moves of the channels. */
static tn_status between_moves(tn_lift *lift, const char *op) {
    tn_node *node = &lift->node;
    int rank = tn_lift_rank(lift, 0);
    tn_attr there, back;
    lift->domain = "";
    lift->op = op;
    if (rank < 3) return tn_lift_unsupported(lift, "its input's rank is not known, or less than 3");
    if (node->out_count != 1 || node->out[0] < 0) return tn_fail(TN_E_INVALID, "it needs one output");
    TN_TRY(moves(lift, rank, false, &there));
    TN_TRY(moves(lift, rank, true, &back));
    int result = node->out[0], first = tn_lift_value(lift);
    TN_TRY(tn_lift_set_input(lift, 0, tn_lift_add(lift, "Transpose", 1, &node->in[0], 1, &there)));
    node->out[0] = first;
    TN_TRY(tn_lift_flush(lift));
    return tn_lift_add_to(lift, "Transpose", 1, &first, result, 1, &back);
}

static tn_status qlinear_conv(tn_lift *lift) {
    bool last = tn_attr_int(&lift->node, "channels_last", 0) != 0;
    lift->domain = "";
    tn_node_drop_attr(&lift->node, "channels_last");
    return last ? between_moves(lift, "QLinearConv") : TN_OK;
}

static tn_status nhwc_max_pool(tn_lift *lift) {
    return between_moves(lift, "MaxPool");
}

/* ---- combinations ---- */

/* Gemm and an activation. What a Gemm ends with by itself stays one node. */
static tn_status fused_gemm(tn_lift *lift) {
    static const struct {
        const char *name, *alpha, *beta; /* the operator's names for activation_alpha and activation_beta */
    } others[] = {{"Elu", "alpha", NULL},
                  {"ThresholdedRelu", "alpha", NULL},
                  {"Softplus", NULL, NULL},
                  {"Softsign", NULL, NULL},
                  {"Selu", "alpha", "gamma"},
                  {"ScaledTanh", NULL, NULL},
                  {"ParametricSoftplus", NULL, NULL}};
    tn_node *node = &lift->node;
    const char *name = tn_attr_text(node, "activation", "");
    size_t i = 0;
    while (i < TN_COUNT(others) && strcmp(others[i].name, name) != 0) i++;
    if (i == TN_COUNT(others) || node->out_count != 1 || node->out[0] < 0) return TN_OK;
    tn_attr parameters[2];
    int count = 0, result = node->out[0];
    const tn_attr *alpha = tn_node_attr(node, "activation_alpha"), *beta = tn_node_attr(node, "activation_beta");
    float a = alpha ? alpha->f : 0, b = beta ? beta->f : 0;
    if (alpha && others[i].alpha)
        parameters[count++] = (tn_attr){.name = others[i].alpha, .kind = TN_ATTR_FLOAT, .f = a};
    if (beta && others[i].beta) parameters[count++] = (tn_attr){.name = others[i].beta, .kind = TN_ATTR_FLOAT, .f = b};
    bool scaled_tanh = strcmp(name, "ScaledTanh") == 0, scaled = scaled_tanh || strcmp(name, "ParametricSoftplus") == 0;
    tn_dtype dtype = tn_lift_dtype(lift, 0);
    int sum = tn_lift_value(lift);
    node->out[0] = sum;
    lift->domain = "";
    lift->op = "Gemm";
    for (const char **drop =
             (const char *[]){"activation", "activation_alpha", "activation_beta", "activation_gamma", NULL};
         *drop; drop++)
        tn_node_drop_attr(node, *drop);
    TN_TRY(tn_lift_flush(lift));
    if (!scaled) return tn_lift_add_to(lift, name, 1, &sum, result, count, parameters);
    int inner = tn_lift_two(lift, "Mul", sum, tn_lift_scalar(lift, dtype, (double)b));
    int outer = tn_lift_one(lift, scaled_tanh ? "Tanh" : "Softplus", inner);
    return tn_lift_add_to(lift, "Mul", 2, (int[]){outer, tn_lift_scalar(lift, dtype, (double)a)}, result, 0, NULL);
}

/* ---- quantized ---- */

/* Input `in` of the draft as numbers; -1 if it is absent. Columns of a matrix may have a scale each. */
static int dequantize(tn_lift *lift, int in, int scale, int zero) {
    int parts[3] = {tn_lift_input(lift, in), tn_lift_input(lift, scale), tn_lift_input(lift, zero)};
    tn_attr axis = {.name = "axis", .kind = TN_ATTR_INT, .i = -1};
    if (parts[0] < 0) return -1;
    if (parts[1] < 0) {
        if (lift->status == TN_OK) lift->status = tn_fail(TN_E_INVALID, "input %d has no scale, input %d", in, scale);
        return -1;
    }
    bool single = tn_lift_rank(lift, scale) == 0; /* one of a tensor, in a list, counts as such too */
    const tn_type *type = &lift->graph->values[parts[1]].type;
    if (type->rank == 1 && type->dims[0] == 1) {
        for (int i = 1; i < 3; i++)
            if (parts[i] >= 0) parts[i] = tn_lift_two(lift, "Reshape", parts[i], tn_lift_ints(lift, 0, NULL));
        single = true;
    }
    return tn_lift_add(lift, "DequantizeLinear", parts[2] < 0 ? 2 : 3, parts, single ? 0 : 1, &axis);
}

/* Gives the draft other inputs. */
static tn_status set_inputs(tn_lift *lift, int count, const int *in) {
    int *list = tn_region_array(lift->scratch, (size_t)count, sizeof *list);
    if (!list) return TN_E_MEMORY;
    memcpy(list, in, (size_t)count * sizeof *list);
    while (count > 0 && list[count - 1] < 0) count--;
    lift->node.in = list;
    lift->node.in_count = count;
    return lift->status;
}

/* input, weights, bias, scales of the first two, mask, zero points of the first two, past: Attention of numbers. */
static tn_status q_attention(tn_lift *lift) {
    int x = dequantize(lift, 0, 3, 6), weights = dequantize(lift, 1, 4, 7);
    lift->op = "Attention";
    return set_inputs(lift, 5,
                      (int[]){x, weights, tn_lift_input(lift, 2), tn_lift_input(lift, 5), tn_lift_input(lift, 8)});
}

/* ids, segments, five tables and parameters, mask, five scales, five zero points: EmbedLayerNormalization of numbers. */
static tn_status q_embed(tn_lift *lift) {
    int in[8] = {tn_lift_input(lift, 0), tn_lift_input(lift, 1)};
    for (int i = 0; i < 5; i++) in[2 + i] = dequantize(lift, 2 + i, 8 + i, 13 + i);
    in[7] = tn_lift_input(lift, 7);
    lift->op = "EmbedLayerNormalization";
    return set_inputs(lift, 8, in);
}

const tn_lift_rule tn_lift_microsoft[] = {
    {"TransposeMatMul", INT_MAX, transpose_matmul},
    {"Trilu", INT_MAX, same},
    {"GatherND", INT_MAX, same},
    {"Range", INT_MAX, range},
    {"ExpandDims", INT_MAX, expand_dims},
    {"Pad", INT_MAX, pad},
    {"Unique", INT_MAX, unique},
    {"GridSample", INT_MAX, grid_sample},
    {"CDist", INT_MAX, cdist},
    {"QLinearConv", INT_MAX, qlinear_conv},
    {"NhwcMaxPool", INT_MAX, nhwc_max_pool},
    {"FusedGemm", INT_MAX, fused_gemm},
    {"QAttention", INT_MAX, q_attention},
    {"QEmbedLayerNormalization", INT_MAX, q_embed},
    {0},
};
