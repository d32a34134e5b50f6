/* Reverse accumulation: from the last node to the first, each one that the loss hangs on, and that hangs on what gradients
 * are asked for, writes the gradients of its inputs from those of its outputs; where a value is read more than once, the
 * gradients are added up. (Griewank and Walther, "Evaluating Derivatives", 2008, chapter 3.) */
#include "train/gradient.h"
#include "graph/op.h"

static const tn_gradient *find_rule(const tn_op *op) {
    for (const tn_gradient *const *table = tn_gradient_tables(); *table; table++)
        for (const tn_gradient *row = *table; row->op; row++)
            if (strcmp(row->op, op->name) == 0 && strcmp(row->domain, op->domain) == 0) return row;
    return NULL;
}

typedef struct {
    tn_graph *graph;
    tn_region *scratch;
    bool *hangs;     /* by value: on one of those that gradients are asked for */
    int *grad;       /* by value; -1: none yet */
    int value_count; /* of both */
} backward;

static bool is_real(const tn_type *type) {
    return type->kind == TN_KIND_TENSOR && (type->dtype == TN_FLOAT32 || type->dtype == TN_FLOAT64 ||
                                            type->dtype == TN_FLOAT16 || type->dtype == TN_BFLOAT16);
}

/* Integers behind a QuantizeLinear are rounded reals: see grad/quantize.c. */
static bool carries(const backward *b, const tn_node *node, int out) {
    return is_real(&b->graph->values[out].type) || strcmp(node->op->name, "QuantizeLinear") == 0;
}

static void find_dependents(backward *b, int count, const int *of) {
    for (int i = 0; i < count; i++) b->hangs[of[i]] = true;
    for (int n = 0; n < b->graph->node_count; n++) {
        const tn_node *node = &b->graph->nodes[n];
        bool any = false;
        for (int i = 0; i < node->in_count; i++) any |= node->in[i] >= 0 && b->hangs[node->in[i]];
        for (int i = 0; i < node->out_count && any; i++)
            if (node->out[i] >= 0 && carries(b, node, node->out[i])) b->hangs[node->out[i]] = true;
    }
}

static tn_status add_up(backward *b, tn_grad *g) {
    for (int i = 0; i < g->node.in_count; i++) {
        int v = g->node.in[i];
        if (v < 0 || !g->wanted[i] || g->in_grad[i] < 0) continue;
        tn_grad_shaped(g, g->in_grad[i], v);
        b->grad[v] = b->grad[v] < 0 ? g->in_grad[i] : tn_grad_2(g, "Add", b->grad[v], g->in_grad[i]);
    }
    return g->status;
}

static tn_status step_back(backward *b, int index) {
    tn_grad g = {.graph = b->graph, .node = b->graph->nodes[index]};
    const tn_node *node = &g.node;
    int *out_grad = tn_region_array(b->scratch, (size_t)node->out_count + 1, sizeof *out_grad);
    int *in_grad = tn_region_array(b->scratch, (size_t)node->in_count + 1, sizeof *in_grad);
    bool *wanted = tn_region_array(b->scratch, (size_t)node->in_count + 1, sizeof *wanted);
    if (!out_grad || !in_grad || !wanted) return TN_E_MEMORY;
    bool reached = false, asked = false;
    for (int i = 0; i < node->out_count; i++) {
        out_grad[i] = node->out[i] >= 0 ? b->grad[node->out[i]] : -1;
        reached |= out_grad[i] >= 0;
    }
    for (int i = 0; i < node->in_count; i++) {
        in_grad[i] = -1;
        wanted[i] = node->in[i] >= 0 && b->hangs[node->in[i]];
        asked |= wanted[i];
    }
    if (!reached || !asked) return TN_OK;
    const tn_gradient *rule = find_rule(node->op);
    if (!rule)
        return tn_node_context(tn_fail(TN_E_UNSUPPORTED,
                                       "this operator has no gradient; train only what comes after it, "
                                       "or replace it"),
                               node);
    if (!rule->write) return TN_OK;
    g.out_grad = out_grad;
    g.in_grad = in_grad;
    g.wanted = wanted;
    tn_status status = rule->write(&g);
    if (status == TN_OK) status = g.status;
    if (status == TN_OK) status = add_up(b, &g);
    return status == TN_OK ? TN_OK : tn_node_context(status, node);
}

static tn_status run_backward(backward *b, int loss, int count, const int *of, int *grads) {
    const tn_type *type = &b->graph->values[loss].type;
    if (!is_real(type) || type->rank < 0 || tn_dims_count(type->rank, type->dims) != 1) {
        char text[220];
        return tn_fail(TN_E_SHAPE, "the loss '%s' is %s; expected floats of one element", b->graph->values[loss].name,
                       tn_type_text(text, sizeof text, b->graph, type));
    }
    int nodes = b->graph->node_count; /* what is added from here on is the backward pass itself */
    b->value_count = b->graph->value_count;
    b->hangs = tn_region_array(b->scratch, (size_t)b->value_count + 1, sizeof *b->hangs);
    b->grad = tn_region_array(b->scratch, (size_t)b->value_count + 1, sizeof *b->grad);
    if (!b->hangs || !b->grad) return TN_E_MEMORY;
    for (int v = 0; v < b->value_count; v++) b->grad[v] = -1;
    find_dependents(b, count, of);
    tn_grad seed = {.graph = b->graph};
    b->grad[loss] = tn_grad_scalar(&seed, loss, 1);
    if (type->rank > 0) b->grad[loss] = tn_grad_reshape(&seed, b->grad[loss], loss);
    TN_TRY(seed.status);
    for (int n = nodes - 1; n >= 0; n--) TN_TRY(step_back(b, n));
    for (int i = 0; i < count; i++) grads[i] = b->grad[of[i]];
    return TN_OK;
}

tn_status tn_graph_gradient(tn_graph *graph, int loss, int count, const int *of, int *grads) {
    backward b = {.graph = graph, .scratch = tn_region_create(graph->allocator)};
    if (!b.scratch) return TN_E_MEMORY;
    tn_status status = run_backward(&b, loss, count, of, grads);
    tn_region_destroy(b.scratch);
    return status;
}
