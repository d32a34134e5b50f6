/* Losses as nodes. */
#include <math.h>
#include "ops/data.h"
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
    if (loss == TN_LOSS_CTC && type.rank != 3)
        return tn_fail(TN_E_SHAPE, "output 0 '%s' has %d dimensions; CTC takes scores [N, C, T]",
                       graph->values[prediction].name, type.rank);
    if (loss == TN_LOSS_CTC)
        return tn_graph_input(graph, "target", TN_INT64, 2, (int64_t[]){type.dims[0], -1}, out_target);
    if (loss != TN_LOSS_CROSS_ENTROPY && loss != TN_LOSS_FOCAL)
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

static tn_status without_axis_1(tn_graph *graph, int a, int *out) {
    const tn_attribute dropped[] = {{.name = "keepdims", .kind = TN_ATTR_INT, .i = 0}, {0}};
    tn_tensor *axis = tn_graph_tensor(graph, TN_INT64, 1, (int64_t[]){1}, NULL);
    if (axis) *(int64_t *)axis->data = 1;
    int axes = axis ? tn_graph_add_constant(graph, "", axis) : -1;
    if (axes < 0) return TN_E_MEMORY;
    return tn_graph_node(graph, "ReduceSum", "loss", 2, (int[]){a, axes}, 1, out, dropped);
}

/* Sum or mean over all elements, []. */
static tn_status over_all(tn_graph *graph, const char *op, int each, int *out) {
    const tn_attribute scalar[] = {{.name = "keepdims", .kind = TN_ATTR_INT, .i = 0}, {0}};
    return tn_graph_node(graph, op, "loss", 1, &each, 1, out, scalar);
}

/* The weights of classes [C, 1, ...] (with `spatial` ones) in the type of the scores; -1: there are none. */
static tn_status class_weights(tn_graph *graph, const tn_loss_options *o, int prediction, int spatial, int *out) {
    const tn_type type = graph->values[prediction].type;
    int64_t dims[TN_MAX_RANK] = {o->class_count};
    *out = -1;
    if (!o->class_weights) return TN_OK;
    if (!tn_dim_fits(type.dims[1], o->class_count))
        return tn_fail(TN_E_SHAPE, "loss_options.class_count is %d; output 0 '%s' has %lld classes", o->class_count,
                       graph->values[prediction].name, (long long)type.dims[1]);
    for (int i = 1; i <= spatial; i++) dims[i] = 1;
    tn_tensor *t = tn_graph_tensor(graph, type.dtype, 1 + spatial, dims, NULL);
    for (int i = 0; t && i < o->class_count; i++) tn_set_double(type.dtype, t->data, i, (double)o->class_weights[i]);
    *out = t ? tn_graph_add_constant(graph, "", t) : -1;
    return *out < 0 ? TN_E_MEMORY : TN_OK;
}

/* (1 - e) of the labels' loss and e of the mean of all classes', each class with its weight:
 *
 *     sum over labels of (1 - e) w_y l_y + e / C sum over c of w_c l_c,   divided by the sum of w_y,   l = -log softmax. */
static tn_status cross_entropy(tn_graph *graph, const tn_loss_options *o, int prediction, int target, int *out) {
    const int spatial = graph->values[prediction].type.rank - 2;
    const int64_t classes = graph->values[prediction].type.dims[1];
    const tn_attribute axis[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = 1}, {0}};
    int weights, wide, logs, labels, all, share, keep;
    TN_TRY(class_weights(graph, o, prediction, 0, &weights));
    int in[] = {prediction, target, weights};
    if (o->label_smoothing == 0) return node(graph, "SoftmaxCrossEntropyLoss", weights < 0 ? 2 : 3, in, out);
    if (classes < 1) return tn_fail(TN_E_SHAPE, "label_smoothing needs a known number of classes");
    TN_TRY(tn_graph_node(graph, "LogSoftmax", "loss", 1, &prediction, 1, &logs, axis));
    in[0] = logs;
    TN_TRY(node(graph, "NegativeLogLikelihoodLoss", weights < 0 ? 2 : 3, in, &labels));
    TN_TRY(class_weights(graph, o, prediction, spatial, &wide));
    all = logs;
    if (wide >= 0) TN_TRY(node(graph, "Mul", 2, (int[]){logs, wide}, &all));
    TN_TRY(without_axis_1(graph, all, &all));
    if (weights < 0) {
        TN_TRY(over_all(graph, "ReduceMean", all, &all));
    } else {
        int of_labels;
        TN_TRY(over_all(graph, "ReduceSum", all, &all));
        TN_TRY(node(graph, "Gather", 2, (int[]){weights, target}, &of_labels));
        TN_TRY(over_all(graph, "ReduceSum", of_labels, &of_labels));
        TN_TRY(node(graph, "Div", 2, (int[]){all, of_labels}, &all));
    }
    TN_TRY(number(graph, logs, o->label_smoothing / (double)classes, &share));
    TN_TRY(number(graph, logs, 1 - o->label_smoothing, &keep));
    TN_TRY(node(graph, "Mul", 2, (int[]){all, share}, &all));
    TN_TRY(node(graph, "Mul", 2, (int[]){labels, keep}, &labels));
    return node(graph, "Sub", 2, (int[]){labels, all}, out);
}

/* - sum over c of w_c t_c log softmax, with t = (1 - e) t + e / C. */
static tn_status soft_cross_entropy(tn_graph *graph, const tn_loss_options *o, int prediction, int target, int *out) {
    const tn_type type = graph->values[prediction].type;
    const tn_attribute axis[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = 1}, {0}};
    int logs, weights, each;
    if (type.rank < 2)
        return tn_fail(TN_E_SHAPE, "output 0 '%s' has %d dimensions; cross-entropy takes scores [N, C, ...]",
                       graph->values[prediction].name, type.rank);
    TN_TRY(tn_graph_node(graph, "LogSoftmax", "loss", 1, &prediction, 1, &logs, axis));
    if (o->label_smoothing > 0) {
        int share, keep;
        if (type.dims[1] < 1) return tn_fail(TN_E_SHAPE, "label_smoothing needs a known number of classes");
        TN_TRY(number(graph, logs, o->label_smoothing / (double)type.dims[1], &share));
        TN_TRY(number(graph, logs, 1 - o->label_smoothing, &keep));
        TN_TRY(node(graph, "Mul", 2, (int[]){target, keep}, &target));
        TN_TRY(node(graph, "Add", 2, (int[]){target, share}, &target));
    }
    TN_TRY(node(graph, "Mul", 2, (int[]){logs, target}, &each));
    TN_TRY(class_weights(graph, o, prediction, type.rank - 2, &weights));
    if (weights >= 0) TN_TRY(node(graph, "Mul", 2, (int[]){each, weights}, &each));
    TN_TRY(without_axis_1(graph, each, &each));
    return node(graph, "Neg", 1, &each, out);
}

/* w_y (1 - p)^focus l with l = -log p. Where p is 1, the power's slope is that near it. */
static tn_status focal(tn_graph *graph, const tn_loss_options *o, int prediction, int target, int *out) {
    const tn_attribute each[] = {{.name = "reduction", .kind = TN_ATTR_STRING, .s = "none"}, {0}};
    const double focus = o->focus == 0 ? 2 : o->focus == -1 ? 0 : o->focus;
    int loss, p, one, least, power, weights;
    TN_TRY(tn_graph_node(graph, "SoftmaxCrossEntropyLoss", "loss", 2, (int[]){prediction, target}, 1, &loss, each));
    TN_TRY(number(graph, loss, 1, &one));
    TN_TRY(number(graph, loss, 1e-7, &least));
    TN_TRY(number(graph, loss, focus, &power));
    TN_TRY(node(graph, "Neg", 1, &loss, &p));
    TN_TRY(node(graph, "Exp", 1, &p, &p));
    TN_TRY(node(graph, "Sub", 2, (int[]){one, p}, &p));
    TN_TRY(node(graph, "Clip", 2, (int[]){p, least}, &p));
    TN_TRY(node(graph, "Pow", 2, (int[]){p, power}, &p));
    TN_TRY(node(graph, "Mul", 2, (int[]){p, loss}, &loss));
    TN_TRY(class_weights(graph, o, prediction, 0, &weights));
    if (weights >= 0) {
        TN_TRY(node(graph, "Gather", 2, (int[]){weights, target}, &weights));
        TN_TRY(node(graph, "Mul", 2, (int[]){loss, weights}, &loss));
    }
    return over_all(graph, "ReduceMean", loss, out);
}

/* max(q d, (q - 1) d) with d = t - y. */
static tn_status quantile(tn_graph *graph, const tn_loss_options *o, int prediction, int target, int *out) {
    const double q = o->quantile == 0 ? 0.5 : o->quantile;
    int difference, above, below;
    TN_TRY(node(graph, "Sub", 2, (int[]){target, prediction}, &difference));
    TN_TRY(number(graph, difference, q, &above));
    TN_TRY(number(graph, difference, q - 1, &below));
    TN_TRY(node(graph, "Mul", 2, (int[]){difference, above}, &above));
    TN_TRY(node(graph, "Mul", 2, (int[]){difference, below}, &below));
    return node(graph, "Max", 2, (int[]){above, below}, out);
}

/* Sum over classes of t (log t - log softmax(y)); a t of 0 adds nothing. */
static tn_status divergence(tn_graph *graph, int prediction, int target, int *out) {
    const tn_attribute axis[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = 1}, {0}};
    int logs, own, tiny;
    if (graph->values[prediction].type.rank < 2)
        return tn_fail(TN_E_SHAPE, "output 0 '%s' has no axis 1; a divergence takes scores [N, C, ...]",
                       graph->values[prediction].name);
    TN_TRY(tn_graph_node(graph, "LogSoftmax", "loss", 1, &prediction, 1, &logs, axis));
    TN_TRY(number(graph, logs, 1e-37, &tiny));
    TN_TRY(node(graph, "Max", 2, (int[]){target, tiny}, &own));
    TN_TRY(node(graph, "Log", 1, &own, &own));
    TN_TRY(node(graph, "Sub", 2, (int[]){own, logs}, &own));
    TN_TRY(node(graph, "Mul", 2, (int[]){own, target}, &own));
    return without_axis_1(graph, own, out);
}

/* Of each row; output 1 is for the gradient. */
static tn_status temporal(tn_graph *graph, int prediction, int target, int *out) {
    const tn_attribute axis[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = 1}, {0}};
    int in[2] = {-1, target}, outs[2];
    TN_TRY(tn_graph_node(graph, "LogSoftmax", "loss", 1, &prediction, 1, in, axis));
    TN_TRY(tn_graph_node(graph, "tenon:CTCLoss", "loss", 2, in, 2, outs, NULL));
    *out = outs[0];
    return TN_OK;
}

tn_status tn_loss_check(const tn_trainer_options *options) {
    const tn_loss_options *o = &options->loss_options;
    const bool labels = options->loss == TN_LOSS_CROSS_ENTROPY || options->loss == TN_LOSS_FOCAL ||
                        options->loss == TN_LOSS_SOFT_CROSS_ENTROPY;
    if (!(o->quantile >= 0 && o->quantile < 1))
        return tn_fail(TN_E_INVALID, "loss_options.quantile is %g; expected a number between 0 and 1", o->quantile);
    if (!(o->focus >= 0 || o->focus == -1) || isinf(o->focus))
        return tn_fail(TN_E_INVALID, "loss_options.focus is %g; expected 0 or more", o->focus);
    if (!(o->label_smoothing >= 0 && o->label_smoothing < 1))
        return tn_fail(TN_E_INVALID, "loss_options.label_smoothing is %g; expected a number from 0 to below 1",
                       o->label_smoothing);
    if (o->class_weights && !labels)
        return tn_fail(TN_E_INVALID, "loss_options.class_weights are for cross-entropy and the focal loss");
    for (int i = 0; o->class_weights && i < o->class_count; i++)
        if (!(o->class_weights[i] >= 0) || isinf(o->class_weights[i]))
            return tn_fail(TN_E_INVALID, "loss_options.class_weights[%d] is %g; expected 0 or more", i,
                           (double)o->class_weights[i]);
    if (!(o->beta >= 0 || o->beta == -1) || isinf(o->beta))
        return tn_fail(TN_E_INVALID, "loss_options.beta is %g; expected 0 or more", o->beta);
    return o->class_weights && o->class_count < 1
               ? tn_fail(TN_E_INVALID, "loss_options.class_count is %d", o->class_count)
               : TN_OK;
}

tn_status tn_loss_nodes(tn_graph *graph, const tn_trainer_options *options, const int *outputs, int target,
                        int *out_loss) {
    const int prediction = outputs[0];
    const tn_loss_options *o = &options->loss_options;
    int each = -1, difference;
    switch (options->loss) {
    case TN_LOSS_CROSS_ENTROPY: return cross_entropy(graph, o, prediction, target, out_loss);
    case TN_LOSS_FOCAL: return focal(graph, o, prediction, target, out_loss);
    case TN_LOSS_CTC: TN_TRY(temporal(graph, prediction, target, &each)); break;
    case TN_LOSS_ELBO: return tn_elbo_nodes(graph, o, outputs, target, out_loss);
    case TN_LOSS_SOFT_CROSS_ENTROPY: TN_TRY(soft_cross_entropy(graph, o, prediction, target, &each)); break;
    case TN_LOSS_BINARY_CROSS_ENTROPY: TN_TRY(binary(graph, prediction, target, &each)); break;
    case TN_LOSS_QUANTILE: TN_TRY(quantile(graph, o, prediction, target, &each)); break;
    case TN_LOSS_KL: TN_TRY(divergence(graph, prediction, target, &each)); break;
    default:
        TN_TRY(node(graph, "Sub", 2, (int[]){prediction, target}, &difference));
        switch (options->loss) {
        case TN_LOSS_MSE: TN_TRY(node(graph, "Mul", 2, (int[]){difference, difference}, &each)); break;
        case TN_LOSS_MAE: TN_TRY(node(graph, "Abs", 1, &difference, &each)); break;
        case TN_LOSS_HUBER: TN_TRY(huber(graph, difference, &each)); break;
        default: return tn_fail(TN_E_INVALID, "there is no loss number %d", (int)options->loss);
        }
    }
    return over_all(graph, "ReduceMean", each, out_loss);
}

/* Inputs like outputs of the other graph, whose symbols are not this one's. */
static tn_status input_like(tn_graph *graph, const char *name, const tn_type *type, int *out) {
    int64_t dims[TN_MAX_RANK];
    for (int i = 0; i < type->rank; i++) dims[i] = TN_MAX(type->dims[i], -1);
    return tn_graph_input(graph, name, type->dtype, type->rank, dims, out);
}

static tn_status build_loss_graph(const tn_graph *graph, const tn_trainer_options *options, tn_graph *g) {
    int outputs[3], target, out;
    TN_TRY(input_like(g, "prediction", &graph->values[graph->outputs[0]].type, &outputs[0]));
    TN_TRY(tn_loss_target(g, options->loss, outputs[0], &target));
    for (int i = 1; i < tn_loss_outputs(options->loss); i++)
        TN_TRY(input_like(g, "latent", &graph->values[graph->outputs[i]].type, &outputs[i]));
    TN_TRY(tn_loss_nodes(g, options, outputs, target, &out));
    return tn_graph_output(g, out, "loss");
}

tn_status tn_loss_graph(const tn_graph *graph, const tn_trainer_options *options, tn_graph **out_graph) {
    TN_TRY(tn_graph_create(graph->allocator, out_graph));
    tn_status status = build_loss_graph(graph, options, *out_graph);
    if (status == TN_OK) return TN_OK;
    tn_graph_destroy(*out_graph);
    *out_graph = NULL;
    return status;
}
