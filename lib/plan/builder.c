/* Nodes and weights of the layers of plans. First weights are drawn by the plan's seed, in the order of the layers, so that
 * the same plan begins with the same numbers on every machine. */
#include "plan/builder.h"
#include <math.h>
#include <stdio.h>
#include "base/element.h"
#include "base/random.h"

static bool is_taken(const tn_graph *graph, const char *name) {
    for (int n = 0; n < graph->node_count; n++)
        if (graph->nodes[n].name && strcmp(graph->nodes[n].name, name) == 0) return true;
    return false;
}

/* A layer's second node of a kind is called layer2.Transpose_2: readers of ONNX want names that differ. */
int tn_build_nodes(tn_builder *b, const char *op, int count, const int *in, int out_count, int *out,
                   const tn_attribute *attributes) {
    char name[100];
    for (int i = 0; i < out_count; i++) out[i] = -1;
    snprintf(name, sizeof name, "%s.%s", b->name, op);
    for (int k = 2; is_taken(b->graph, name); k++) snprintf(name, sizeof name, "%s.%s_%d", b->name, op, k);
    if (b->status == TN_OK) b->status = tn_graph_node(b->graph, op, name, count, in, out_count, out, attributes);
    return out[0];
}

int tn_build_node(tn_builder *b, const char *op, int count, const int *in, const tn_attribute *attributes) {
    int out;
    return tn_build_nodes(b, op, count, in, 1, &out, attributes);
}

/* reach 0: all elements are `x`. */
static int weights(tn_builder *b, const char *part, int rank, const int64_t *dims, double reach, double x) {
    char name[96];
    tn_tensor *tensor;
    int value = -1;
    if (b->status != TN_OK) return -1;
    b->status = tn_tensor_create(b->dtype, rank, dims, NULL, &tensor);
    if (b->status != TN_OK) return -1;
    for (int64_t i = 0; i < tn_count(tensor); i++)
        tn_set_double(b->dtype, tensor->data, i, reach > 0 ? reach * (2 * tn_random_uniform(&b->state) - 1) : x);
    snprintf(name, sizeof name, "%s.%s", b->name, part);
    b->status = tn_graph_constant(b->graph, name, tensor, &value);
    tn_tensor_destroy(tensor);
    return value;
}

int tn_build_filled(tn_builder *b, const char *part, int rank, const int64_t *dims, double x) {
    return weights(b, part, rank, dims, 0, x);
}
int tn_build_drawn(tn_builder *b, const char *part, int rank, const int64_t *dims, double reach) {
    return weights(b, part, rank, dims, reach, 0);
}

double tn_build_reach(const tn_builder *b, double in, double out) {
    int activation = b->layer ? b->layer->activation : 0; /* relu, leaky-relu, elu, gelu and silu come first */
    return activation >= 1 && activation <= 5 ? sqrt(6 / in) : sqrt(6 / (in + out));
}

static int constant(tn_builder *b, tn_tensor *t) {
    int value = t ? tn_graph_add_constant(b->graph, "", t) : -1;
    if (value < 0 && b->status == TN_OK) b->status = TN_E_MEMORY;
    return value;
}

int tn_build_number(tn_builder *b, double x) {
    tn_tensor *t = tn_graph_tensor(b->graph, b->dtype, 0, NULL, NULL);
    if (t) tn_set_double(b->dtype, t->data, 0, x);
    return constant(b, t);
}

int tn_build_ints(tn_builder *b, int count, const int64_t *values) {
    tn_tensor *t = tn_graph_tensor(b->graph, TN_INT64, 1, (int64_t[]){count}, NULL);
    if (t) memcpy(t->data, values, (size_t)count * sizeof *values);
    return constant(b, t);
}

int tn_build_reshape(tn_builder *b, int value, int count, const int64_t *dims) {
    return tn_build_node(b, "Reshape", 2, (int[]){value, tn_build_ints(b, count, dims)}, NULL);
}

int tn_build_transpose(tn_builder *b, int value, int rank, const int64_t *perm) {
    const tn_attribute order[] = {{.name = "perm", .kind = TN_ATTR_INTS, .count = (size_t)rank, .ints = perm}, {0}};
    return tn_build_node(b, "Transpose", 1, &value, order);
}

int tn_build_activation(tn_builder *b, int value, int activation) {
    static const char *const ops[] = {"", "Relu", "LeakyRelu", "Elu", "Gelu", "Swish", "Tanh", "Sigmoid", "Softplus"};
    return activation ? tn_build_node(b, ops[activation], 1, &value, NULL) : value;
}
