/* What the rules of gradients write nodes with. */
#include <stdio.h>
#include "base/element.h"
#include "graph/infer.h"
#include "graph/custom.h"
#include "train/gradient.h"

/* A node with one output; `from`: whose attributes it takes over before it is inferred, or NULL. */
static int add_node(tn_grad *g, const char *op, const tn_node *from, int in_count, const int *in,
                    const tn_attribute *attributes) {
    char name[160];
    int out = -1;
    if (g->status != TN_OK) return -1;
    snprintf(name, sizeof name, "%s/grad", g->node.name ? g->node.name : "loss");
    tn_attribute all[24];
    size_t count = 0;
    for (const tn_attribute *a = attributes; a && a->name; a++) {
        if (count + 1 == TN_COUNT(all)) break;
        all[count++] = *a;
    }
    for (int i = 0; from && i < from->attr_count; i++) {
        const tn_attr *a = &from->attrs[i];
        bool set = a->kind == TN_ATTR_GRAPH || count + 1 == TN_COUNT(all);
        for (size_t k = 0; k < count; k++) set |= strcmp(all[k].name, a->name) == 0;
        if (set) continue;
        tn_attribute *to = &all[count++];
        *to = (tn_attribute){.name = a->name, .kind = a->kind, .count = a->count};
        switch (a->kind) {
        case TN_ATTR_FLOAT: to->f = a->f; break;
        case TN_ATTR_INT: to->i = a->i; break;
        case TN_ATTR_STRING: to->s = a->s.data; break;
        case TN_ATTR_INTS: to->ints = a->ints; break;
        case TN_ATTR_FLOATS: to->floats = a->floats; break;
        default: count--;
        }
    }
    all[count] = (tn_attribute){0};
    g->status = tn_graph_node(g->graph, op, name, in_count, in, 1, &out, all);
    return g->status == TN_OK ? out : -1;
}

int tn_grad_node(tn_grad *g, const char *op, int in_count, const int *in, const tn_attribute *attributes) {
    return add_node(g, op, NULL, in_count, in, attributes);
}
int tn_grad_alike(tn_grad *g, const char *op, int in_count, const int *in, const tn_attribute *attributes) {
    return add_node(g, op, &g->node, in_count, in, attributes);
}
int tn_grad_1(tn_grad *g, const char *op, int a) {
    return tn_grad_node(g, op, 1, &a, NULL);
}
int tn_grad_2(tn_grad *g, const char *op, int a, int b) {
    return tn_grad_node(g, op, 2, (int[]){a, b}, NULL);
}
int tn_grad_3(tn_grad *g, const char *op, int a, int b, int c) {
    return tn_grad_node(g, op, 3, (int[]){a, b, c}, NULL);
}

tn_status tn_graph_scalar(tn_graph *graph, tn_dtype dtype, double x, int *out_value) {
    tn_tensor *tensor = tn_graph_tensor(graph, dtype, 0, NULL, NULL);
    if (tensor) tn_set_double(dtype, tensor->data, 0, x);
    *out_value = tensor ? tn_graph_add_constant(graph, "", tensor) : -1;
    return *out_value < 0 ? TN_E_MEMORY : TN_OK;
}

int tn_grad_scalar(tn_grad *g, int like, double x) {
    if (g->status != TN_OK) return -1;
    int value = -1;
    g->status = tn_graph_scalar(g->graph, tn_grad_type(g, like)->dtype, x, &value);
    return value;
}

int tn_grad_ints(tn_grad *g, int count, const int64_t *values) {
    if (g->status != TN_OK) return -1;
    tn_tensor *tensor = tn_graph_tensor(g->graph, TN_INT64, 1, (int64_t[]){count}, NULL);
    if (tensor && count) memcpy(tensor->data, values, (size_t)count * sizeof *values);
    int value = tensor ? tn_graph_add_constant(g->graph, "", tensor) : -1;
    if (value < 0) g->status = TN_E_MEMORY;
    return value;
}

int tn_grad_scale(tn_grad *g, int a, double factor) {
    if (factor == 1 || g->status != TN_OK) return g->status == TN_OK ? a : -1;
    return tn_grad_2(g, "Mul", a, tn_grad_scalar(g, a, factor));
}

int tn_grad_shaped(tn_grad *g, int a, int like) {
    if (a >= 0 && g->status == TN_OK) {
        tn_type *type = &g->graph->values[a].type;
        tn_type_tensor(type, type->dtype, tn_grad_type(g, like)->rank, tn_grad_type(g, like)->dims);
    }
    return a;
}
int tn_grad_reshape(tn_grad *g, int a, int like) {
    return tn_grad_shaped(g, tn_grad_2(g, "Reshape", a, tn_grad_1(g, "Shape", like)), like);
}
int tn_grad_expand(tn_grad *g, int a, int like) {
    return tn_grad_shaped(g, tn_grad_2(g, "Expand", a, tn_grad_1(g, "Shape", like)), like);
}
int tn_grad_zeros(tn_grad *g, int like) {
    return tn_grad_expand(g, tn_grad_scalar(g, like, 0), like);
}
int tn_grad_masked(tn_grad *g, int mask, int a) {
    return tn_grad_3(g, "Where", mask, a, tn_grad_scalar(g, a, 0));
}

int tn_grad_cast(tn_grad *g, int a, tn_dtype dtype) {
    return tn_grad_node(g, "Cast", 1, &a, (tn_attribute[]){{"to", TN_ATTR_INT, .i = dtype}, {0}});
}
int tn_grad_transpose(tn_grad *g, int a, int rank, const int64_t *perm) {
    tn_attribute attributes[] = {{"perm", TN_ATTR_INTS, .count = (size_t)rank, .ints = perm}, {0}};
    return tn_grad_node(g, "Transpose", 1, &a, attributes);
}

int tn_grad_reduce(tn_grad *g, const char *op, int a, int count, const int64_t *axes) {
    return tn_grad_2(g, op, a, tn_grad_ints(g, count, axes));
}

int tn_grad_unbroadcast(tn_grad *g, int a, int like) {
    if (g->status != TN_OK) return -1;
    const tn_type from = *tn_grad_type(g, a), to = *tn_grad_type(g, like);
    int64_t axes[TN_MAX_RANK];
    int count = 0, lead = from.rank - to.rank;
    bool known = from.rank >= 0 && to.rank >= 0 && lead >= 0;
    for (int i = 0; known && i < from.rank; i++) {
        int64_t dim = i < lead ? 1 : to.dims[i - lead];
        if (i >= lead && dim == from.dims[i] && dim != -1) continue;
        known &= dim > 0; /* a size other than 1 is no repeated one */
        if (i < lead || dim == 1) axes[count++] = i;
    }
    if (!known) {
        char text[220];
        tn_grad_fail(g,
                     "value '%s' is %s, which does not tell along which axes it is repeated; declare the sizes of the "
                     "model's inputs",
                     g->graph->values[like].name, tn_type_text(text, sizeof text, g->graph, &to));
        return -1;
    }
    int sum = count ? tn_grad_reduce(g, "ReduceSum", a, count, axes) : a;
    return lead ? tn_grad_reshape(g, sum, like) : sum;
}
