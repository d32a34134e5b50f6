/* The loss of variational autoencoders, and the noise that it is estimated with (the reparametrisation trick). */
#include "train/gradient.h"
#include "train/train.h"

static tn_status node(tn_graph *graph, const char *op, int count, const int *in, int *out) {
    return tn_graph_node(graph, op, "elbo", count, in, 1, out, NULL);
}
static tn_status scaled(tn_graph *graph, int a, double by, int *out) {
    int number;
    TN_TRY(tn_graph_scalar(graph, graph->values[a].type.dtype, by, &number));
    return node(graph, "Mul", 2, (int[]){a, number}, out);
}

/* Outputs 1 and 2 must be what an ELBO is of. */
static tn_status check(const tn_graph *graph) {
    if (graph->output_count < 3)
        return tn_fail(TN_E_INVALID,
                       "an ELBO is of outputs 1 and 2 as well, means and logarithms of variances; the graph "
                       "has %d outputs",
                       graph->output_count);
    const tn_type *type[3];
    for (int i = 0; i < 3; i++) type[i] = &graph->values[graph->outputs[i]].type;
    for (int i = 1; i < 3; i++)
        if (type[i]->kind != TN_KIND_TENSOR || type[i]->dtype != type[0]->dtype || type[i]->rank < 1 ||
            type[i]->rank != type[1]->rank ||
            memcmp(type[i]->dims, type[1]->dims, (size_t)type[i]->rank * sizeof(int64_t)) != 0) {
            char text[220];
            return tn_fail(TN_E_TYPE,
                           "output %d '%s' is %s; an ELBO has means and logarithms of variances of one shape, "
                           "[N, ...], and of output 0's type",
                           i, graph->values[graph->outputs[i]].name, tn_type_text(text, sizeof text, graph, type[i]));
        }
    return TN_OK;
}

tn_status tn_elbo_noise(tn_graph *graph) {
    int noise, deviation, drawn, readers = 0;
    TN_TRY(check(graph));
    const int count = graph->node_count, means = graph->outputs[1];
    TN_TRY(node(graph, "RandomNormalLike", 1, &means, &noise));
    TN_TRY(scaled(graph, graph->outputs[2], 0.5, &deviation));
    TN_TRY(node(graph, "Exp", 1, &deviation, &deviation));
    TN_TRY(node(graph, "Mul", 2, (int[]){deviation, noise}, &drawn));
    TN_TRY(node(graph, "Add", 2, (int[]){means, drawn}, &drawn));
    for (int n = 0; n < count; n++)
        for (int i = 0; i < graph->nodes[n].in_count; i++)
            if (graph->nodes[n].in[i] == means) {
                graph->nodes[n].in[i] = drawn;
                readers++;
            }
    if (!readers)
        return tn_fail(TN_E_INVALID, "nothing reads output 1 '%s', the means of an ELBO", graph->values[means].name);
    return tn_graph_sort(graph);
}

/* Of each row: the sum of all behind axis 0. */
static tn_status over_row(tn_graph *graph, int a, int *out) {
    const tn_attribute dropped[] = {{.name = "keepdims", .kind = TN_ATTR_INT, .i = 0}, {0}};
    tn_tensor *axis = tn_graph_tensor(graph, TN_INT64, 1, (int64_t[]){1}, NULL);
    if (axis) *(int64_t *)axis->data = 1;
    int axes = axis ? tn_graph_add_constant(graph, "", axis) : -1;
    if (axes < 0) return TN_E_MEMORY;
    TN_TRY(node(graph, "Flatten", 1, &a, &a));
    return tn_graph_node(graph, "ReduceSum", "elbo", 2, (int[]){a, axes}, 1, out, dropped);
}

/* (m^2 + exp v - 1 - v) / 2 */
static tn_status divergence(tn_graph *graph, int means, int log_variances, int *out) {
    int square, variance, one;
    TN_TRY(tn_graph_scalar(graph, graph->values[means].type.dtype, 1, &one));
    TN_TRY(node(graph, "Mul", 2, (int[]){means, means}, &square));
    TN_TRY(node(graph, "Exp", 1, &log_variances, &variance));
    TN_TRY(node(graph, "Add", 2, (int[]){square, variance}, &square));
    TN_TRY(node(graph, "Sub", 2, (int[]){square, one}, &square));
    TN_TRY(node(graph, "Sub", 2, (int[]){square, log_variances}, &square));
    return scaled(graph, square, 0.5, out);
}

tn_status tn_elbo_nodes(tn_graph *graph, const tn_loss_options *o, const int *outputs, int target, int *out) {
    const tn_attribute scalar[] = {{.name = "keepdims", .kind = TN_ATTR_INT, .i = 0}, {0}};
    int difference, error, apart;
    TN_TRY(node(graph, "Sub", 2, (int[]){outputs[0], target}, &difference));
    TN_TRY(node(graph, "Mul", 2, (int[]){difference, difference}, &error));
    TN_TRY(over_row(graph, error, &error));
    TN_TRY(scaled(graph, error, 0.5, &error));
    TN_TRY(divergence(graph, outputs[1], outputs[2], &apart));
    TN_TRY(over_row(graph, apart, &apart));
    TN_TRY(scaled(graph, apart, o->beta == 0 ? 1 : o->beta == -1 ? 0 : o->beta, &apart));
    TN_TRY(node(graph, "Add", 2, (int[]){error, apart}, &error));
    return tn_graph_node(graph, "ReduceMean", "elbo", 1, &error, 1, out, scalar);
}
