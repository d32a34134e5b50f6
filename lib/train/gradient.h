/* The backward pass: nodes that compute the gradients of a loss, appended to the graph that computes it.
 *
 * What comes out is one graph of operators like any other: passes, plans and sessions run it as they run inference. The
 * gradient of an operator is a row in a file of lib/train/grad, which the build finds by its name; the rules write ONNX's
 * operators where these can say it, and operators of the domain `tenon` (lib/train/ops) where they cannot. */
#ifndef TN_GRADIENT_H
#define TN_GRADIENT_H

#include "graph/graph.h"

/* One node's backward step, while it is being written. */
typedef struct tn_grad {
    tn_graph *graph;
    tn_node node;        /* a copy of the node: adding nodes moves the graph's own */
    const int *out_grad; /* of each output; -1: the loss does not hang on it */
    const bool *wanted;  /* of each input: whether its gradient is asked for */
    int *in_grad;        /* to set where wanted; -1 stays where the gradient is zero everywhere */
    tn_status status;    /* of the helpers below: after a failure they do nothing and return -1 */
} tn_grad;

typedef struct tn_gradient {
    const char *domain, *op;
    tn_status (*write)(tn_grad *g); /* NULL: the gradient is zero wherever there is one (Floor, Sign) */
} tn_gradient;

/* All files' rows: ends with NULL. */
const tn_gradient *const *tn_gradient_tables(void);

/* Appends the gradients of `loss`, a value of one element, by each of the values of[0..count): grads[i] is a value of the
 * shape of of[i], or -1 if the loss does not hang on it. The graph must be sorted, and its types inferred. Fails with a
 * sentence that names the node if an operator on the way has no gradient. */
tn_status tn_graph_gradient(tn_graph *graph, int loss, int count, const int *of, int *grads);

/* Adds a constant of no dimensions. */
tn_status tn_graph_scalar(tn_graph *graph, tn_dtype dtype, double x, int *out_value);

/* ---- for rules: each adds nodes and returns the new value, -1 on failure ---- */
int tn_grad_node(tn_grad *g, const char *op, int in_count, const int *in, const tn_attribute *attributes);
int tn_grad_1(tn_grad *g, const char *op, int a);
int tn_grad_2(tn_grad *g, const char *op, int a, int b);
int tn_grad_3(tn_grad *g, const char *op, int a, int b, int c);
/* A node that has this one's attributes as well. */
int tn_grad_alike(tn_grad *g, const char *op, int in_count, const int *in, const tn_attribute *attributes);
/* Constants: a scalar of the dtype that value `like` has; a list of int64. */
int tn_grad_scalar(tn_grad *g, int like, double x);
int tn_grad_ints(tn_grad *g, int count, const int64_t *values);
int tn_grad_scale(tn_grad *g, int a, double factor);
int tn_grad_zeros(tn_grad *g, int like); /* of the shape and dtype of `like` */
/* `a`, which has as many elements, in the shape of `like`; `a` repeated to that shape. */
int tn_grad_reshape(tn_grad *g, int a, int like);
int tn_grad_expand(tn_grad *g, int a, int like);
/* Says that `a` has the shape of `like`, which inference cannot tell where it hangs on what is known later. */
int tn_grad_shaped(tn_grad *g, int a, int like);
/* `a` if `mask` is true, else 0. */
int tn_grad_masked(tn_grad *g, int mask, int a);
/* `a` as another type; with its axes in another order. */
int tn_grad_cast(tn_grad *g, int a, tn_dtype dtype);
int tn_grad_transpose(tn_grad *g, int a, int rank, const int64_t *perm);
/* "ReduceSum" or "ReduceMean" over axes, which stay with a size of 1. */
int tn_grad_reduce(tn_grad *g, const char *op, int a, int count, const int64_t *axes);
/* Undoes broadcasting: the sum of `a` over what `like` was repeated along. */
int tn_grad_unbroadcast(tn_grad *g, int a, int like);
/* Fails with a sentence; the caller returns it. */
#define tn_grad_fail(g, ...) ((g)->status = tn_fail(TN_E_UNSUPPORTED, __VA_ARGS__))

static inline const tn_type *tn_grad_type(const tn_grad *g, int value) {
    return &g->graph->values[value].type;
}
static inline int tn_grad_in(const tn_grad *g, int i) {
    return i < g->node.in_count ? g->node.in[i] : -1;
}
static inline bool tn_grad_wants(const tn_grad *g, int i) {
    return i < g->node.in_count && g->wanted[i];
}

#endif
