/* Losses as nodes. */
#include "train/gradient.h"
#include "train/train.h"

static tn_status node(tn_graph *graph, const char *op, int count, const int *in, int *out) {
    return tn_graph_node(graph, op, "loss", count, in, 1, out, NULL);
}

static tn_status number(tn_graph *graph, int like, double x, int *out) {
    return tn_graph_scalar(graph, graph->values[like].type.dtype, x, out);
}

tn_status tn_loss_target(tn_graph *graph, tn_loss loss, int prediction, int *out_target) {
    const tn_type type = graph->values[prediction].type;
    if (type.kind != TN_KIND_TENSOR || (type.dtype != TN_FLOAT32 && type.dtype != TN_FLOAT64) || type.rank < 0) {
        char text[220];
        return tn_fail(TN_E_TYPE, "output 0 '%s' is %s; expected float32 or float64 of a known rank",
                       graph->values[prediction].name, tn_type_text(text, sizeof text, graph, &type));
    }
    if (loss != TN_LOSS_CROSS_ENTROPY)
        return tn_graph_input(graph, "target", type.dtype, type.rank, type.dims, out_target);
    int64_t dims[TN_MAX_RANK];
    if (type.rank < 2)
        return tn_fail(TN_E_SHAPE, "output 0 '%s' has %d dimensions; cross-entropy takes scores [N, C, ...]",
                       graph->values[prediction].name, type.rank);
    for (int i = 0; i + 1 < type.rank; i++) dims[i] = type.dims[i + (i > 0)];
    return tn_graph_input(graph, "target", TN_INT64, type.rank - 1, dims, out_target);
}

/* min(|d|, 1) (|d| - min(|d|, 1) / 2) */
static tn_status huber(tn_graph *graph, int difference, int *out) {
    int size, one, half, least, rest;
    TN_TRY(node(graph, "Abs", 1, &difference, &size));
    TN_TRY(number(graph, size, 1, &one));
    TN_TRY(number(graph, size, 0.5, &half));
    TN_TRY(node(graph, "Clip", 3, (int[]){size, -1, one}, &least));
    TN_TRY(node(graph, "Mul", 2, (int[]){least, half}, &rest));
    TN_TRY(node(graph, "Sub", 2, (int[]){size, rest}, &rest));
    return node(graph, "Mul", 2, (int[]){least, rest}, out);
}

/* softplus(y) - t y */
static tn_status binary(tn_graph *graph, int prediction, int target, int *out) {
    int all, part;
    TN_TRY(node(graph, "Softplus", 1, &prediction, &all));
    TN_TRY(node(graph, "Mul", 2, (int[]){prediction, target}, &part));
    return node(graph, "Sub", 2, (int[]){all, part}, out);
}

tn_status tn_loss_nodes(tn_graph *graph, tn_loss loss, int prediction, int target, int *out_loss) {
    int each = -1;
    if (loss == TN_LOSS_CROSS_ENTROPY)
        return node(graph, "SoftmaxCrossEntropyLoss", 2, (int[]){prediction, target}, out_loss);
    if (loss == TN_LOSS_BINARY_CROSS_ENTROPY) {
        TN_TRY(binary(graph, prediction, target, &each));
    } else {
        int difference;
        TN_TRY(node(graph, "Sub", 2, (int[]){prediction, target}, &difference));
        switch (loss) {
        case TN_LOSS_MSE: TN_TRY(node(graph, "Mul", 2, (int[]){difference, difference}, &each)); break;
        case TN_LOSS_MAE: TN_TRY(node(graph, "Abs", 1, &difference, &each)); break;
        case TN_LOSS_HUBER: TN_TRY(huber(graph, difference, &each)); break;
        default: return tn_fail(TN_E_INVALID, "there is no loss number %d", (int)loss);
        }
    }
    const tn_attribute scalar[] = {{.name = "keepdims", .kind = TN_ATTR_INT, .i = 0}, {0}};
    return tn_graph_node(graph, "ReduceMean", "loss", 1, &each, 1, out_loss, scalar);
}

tn_status tn_loss_graph(const tn_graph *graph, tn_loss loss, tn_graph **out_graph) {
    tn_graph *g;
    int prediction, target, out;
    const tn_type *type = &graph->values[graph->outputs[0]].type;
    int64_t dims[TN_MAX_RANK];
    *out_graph = NULL;
    for (int i = 0; i < type->rank; i++) dims[i] = TN_MAX(type->dims[i], -1); /* symbols are the other graph's */
    TN_TRY(tn_graph_create(graph->allocator, &g));
    tn_status status = tn_graph_input(g, "prediction", type->dtype, type->rank, dims, &prediction);
    if (status == TN_OK) status = tn_loss_target(g, loss, prediction, &target);
    if (status == TN_OK) status = tn_loss_nodes(g, loss, prediction, target, &out);
    if (status == TN_OK) status = tn_graph_output(g, out, "loss");
    if (status == TN_OK)
        *out_graph = g;
    else
        tn_graph_destroy(g);
    return status;
}
