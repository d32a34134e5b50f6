/* What is made of one 8-bit value element by element, through however many float nodes, and quantized again, is a table
 * of 256 bytes: "tenon" QTable {X, table}.
 *
 * The float nodes between a QuantizeLinear and the value are run once, on all 256 values that there are, so the table
 * holds just what they give. Of a tree like x * clip(x + 3) / 6, all of it comes in one table; and of a table of a table,
 * one is made. */
#include "exec/eager.h"
#include "ops/quant.h"
#include "passes/qdq.h"
#include "passes/rows.h"

enum { DEEPEST = 16 };

/* Elementwise operators of one element each; their other inputs must be single constants or of the same value. */
static bool elementwise(const tn_node *node) {
    static const char *const names[] = {"Relu",
                                        "Clip",
                                        "Sigmoid",
                                        "HardSigmoid",
                                        "HardSwish",
                                        "LeakyRelu",
                                        "Tanh",
                                        "Elu",
                                        "Selu",
                                        "Celu",
                                        "Softplus",
                                        "Softsign",
                                        "Gelu",
                                        "Swish",
                                        "Mish",
                                        "Exp",
                                        "Log",
                                        "Sqrt",
                                        "Abs",
                                        "Neg",
                                        "Erf",
                                        "Reciprocal",
                                        "Add",
                                        "Sub",
                                        "Mul",
                                        "Div",
                                        "Pow",
                                        "Min",
                                        "Max",
                                        "Identity",
                                        "ThresholdedRelu",
                                        "PRelu",
                                        "Floor",
                                        "Ceil",
                                        "Round"};
    if (strcmp(node->op->domain, "") != 0 || node->out_count != 1) return false;
    for (size_t i = 0; i < TN_COUNT(names); i++)
        if (strcmp(node->op->name, names[i]) == 0) return true;
    return false;
}

typedef struct finder {
    const tn_match *m;
    int source; /* the 8-bit value, once found; else -1 */
} finder;

/* If `value` is made by a table: that node, else NULL. */
static const tn_node *table_of(const tn_graph *graph, int value) {
    int p = graph->values[value].producer;
    if (p < 0 || graph->nodes[p].dead || !tn_match_is(&graph->nodes[p], "tenon", "QTable")) return NULL;
    return &graph->nodes[p];
}

/* Whether `value` is made of single constants and of one 8-bit value alone, which it notes. */
static bool traces_back(finder *f, int value, int depth) {
    const tn_graph *graph = f->m->graph;
    float number;
    tn_qdq q;
    if (value < 0 || depth > DEEPEST) return false;
    if (graph->values[value].constant) return tn_match_scalar(graph, value, &number);
    if (tn_qdq_from(f->m, value, false, &q)) {
        const tn_tensor *single = graph->values[q.value].constant;
        if (!q.one) return false;
        if (single) return tn_count(single) == 1;
        const tn_node *table = table_of(graph, q.value);
        int source = table ? table->in[0] : q.value;
        if (f->source >= 0 && f->source != source) return false;
        f->source = source;
        return true;
    }
    int p = graph->values[value].producer;
    if (p < 0 || graph->nodes[p].dead || !elementwise(&graph->nodes[p])) return false;
    if (tn_match_type(graph, value)->dtype != TN_FLOAT32) return false;
    for (int i = 0; i < graph->nodes[p].formal_in; i++)
        if (graph->nodes[p].in[i] >= 0 && !traces_back(f, graph->nodes[p].in[i], depth + 1)) return false;
    return true;
}

/* Runs a node on tensors that it destroys. */
static tn_status run(const tn_node *node, int count, tn_tensor **in, tn_tensor **out) {
    tn_status status =
        tn_eager_run(NULL, node->op, node->attr_count, node->attrs, count, (const tn_tensor *const *)in, 1, out);
    for (int i = 0; i < count; i++) tn_tensor_destroy(in[i]);
    return status;
}

static tn_status copy_of(const tn_tensor *t, tn_tensor **out) {
    TN_TRY(tn_tensor_create(t->dtype, t->rank, t->dims, NULL, out));
    return tn_tensor_copy(*out, t);
}

/* The 8-bit value for each of the 256 bytes of the source. */
static tn_status leaf_of(const tn_graph *graph, int value, const tn_tensor *bytes, tn_tensor **out) {
    const tn_node *table = table_of(graph, value);
    return copy_of(table ? graph->values[table->in[1]].constant : bytes, out);
}

/* What `value` is for each of the 256 bytes. */
static tn_status evaluate(const tn_match *m, int value, const tn_tensor *bytes, tn_tensor **out) {
    const tn_graph *graph = m->graph;
    tn_tensor *in[4] = {NULL};
    if (graph->values[value].constant) { /* of any rank: as a scalar */
        TN_TRY(tn_tensor_create(TN_FLOAT32, 0, NULL, NULL, out));
        return tn_match_scalar(graph, value, (*out)->data) ? TN_OK : TN_E_INTERNAL;
    }
    const tn_node *node = &graph->nodes[graph->values[value].producer];
    tn_status status = TN_OK;
    tn_qdq q;
    bool leaf = tn_qdq_from(m, value, false, &q);
    int count = TN_MIN(node->formal_in, 4);
    for (int i = 0; i < count && status == TN_OK; i++)
        if (node->in[i] < 0)
            continue;
        else if (leaf && i == 0 && !graph->values[node->in[0]].constant)
            status = leaf_of(graph, node->in[0], bytes, &in[0]);
        else if (leaf)
            status = copy_of(graph->values[node->in[i]].constant, &in[i]);
        else
            status = evaluate(m, node->in[i], bytes, &in[i]);
    if (status == TN_OK) return run(node, count, in, out);
    for (int i = 0; i < count; i++) tn_tensor_destroy(in[i]);
    return status;
}

/* Quantized sums and products round as those operators do that stand for them elsewhere. Result NULL: it is none. */
static tn_status evaluate_binary(const tn_match *m, int value, const tn_qdq *to, const tn_tensor *bytes,
                                 tn_tensor **result) {
    tn_graph *graph = m->graph;
    const tn_node *node = &graph->nodes[graph->values[value].producer];
    bool add = tn_match_is(node, "", "Add");
    const tn_op *op = tn_op_find("com.microsoft", add ? "QLinearAdd" : "QLinearMul");
    tn_qdq side[3] = {[2] = *to};
    *result = NULL;
    if (!op || (!add && !tn_match_is(node, "", "Mul")) || to->dtype != TN_UINT8 || bytes->dtype != TN_UINT8)
        return TN_OK;
    for (int i = 0; i < 2; i++)
        if (!tn_qdq_from(m, node->in[i], false, &side[i]) || !tn_qdq_unsigned(graph, &side[i])) return TN_OK;
    tn_tensor *in[8] = {NULL};
    tn_status status = TN_OK;
    for (int i = 0; i < 3 && status == TN_OK; i++) {
        const tn_tensor *fixed = graph->values[side[i].value].constant;
        int scale = i < 2 ? 3 * i + 1 : 6, zero = tn_qdq_zero(graph, &side[i]);
        if (zero < 0) status = TN_E_MEMORY;
        if (i < 2 && status == TN_OK)
            status = fixed ? copy_of(fixed, &in[3 * i]) : leaf_of(graph, side[i].value, bytes, &in[3 * i]);
        if (fixed && status == TN_OK) in[3 * i]->rank = 0;
        if (status == TN_OK) status = copy_of(graph->values[side[i].scale].constant, &in[scale]);
        if (status == TN_OK) status = copy_of(graph->values[zero].constant, &in[scale + 1]);
    }
    if (status == TN_OK) return run(&(tn_node){.op = op}, 8, in, result);
    for (int i = 0; i < 8; i++) tn_tensor_destroy(in[i]);
    return status;
}

static tn_status match_table(tn_match *m, int n, int *changes) {
    tn_graph *graph = m->graph;
    const tn_node quantize = graph->nodes[n];
    const tn_op *op = tn_op_find("tenon", "QTable");
    int64_t count = 256;
    tn_qdq to, from_q;
    finder f = {.m = m, .source = -1};
    if (!op || !tn_qdq_to(m, &quantize, &to) || !traces_back(&f, quantize.in[0], 0) || f.source < 0) return TN_OK;
    if (tn_qdq_from(m, quantize.in[0], false, &from_q) && tn_qdq_same(&from_q, &to)) return TN_OK; /* nothing at all */
    const tn_type *from = tn_match_type(graph, f.source), *made = tn_match_type(graph, to.value);
    if (from->rank < 0 || from->rank != made->rank) return TN_OK; /* a constant of more dims raised it */
    tn_tensor *bytes = NULL, *real = NULL, *result = NULL, *given[3] = {NULL};
    tn_status status = tn_tensor_create(from->dtype, 1, &count, NULL, &bytes);
    for (int i = 0; i < 256 && status == TN_OK; i++) ((uint8_t *)bytes->data)[i] = (uint8_t)i;
    if (status == TN_OK) status = evaluate_binary(m, quantize.in[0], &to, bytes, &result);
    if (status == TN_OK && !result) status = evaluate(m, quantize.in[0], bytes, &real);
    if (status == TN_OK && !result) {
        given[0] = real;
        status = copy_of(graph->values[to.scale].constant, &given[1]);
        if (status == TN_OK && to.zero >= 0) status = copy_of(graph->values[to.zero].constant, &given[2]);
        if (status == TN_OK)
            status = run(&quantize, to.zero >= 0 ? 3 : 2, given, &result);
        else
            for (int i = 0; i < 3; i++) tn_tensor_destroy(given[i]);
    }
    tn_tensor *table = status == TN_OK ? tn_graph_tensor(graph, to.dtype, 1, &count, NULL) : NULL;
    if (status == TN_OK && !table) status = TN_E_MEMORY;
    if (status == TN_OK && tn_count(result) == count) {
        memcpy(table->data, result->data, 256);
        int in[2] = {f.source, tn_graph_add_constant(graph, "", table)};
        if (in[1] < 0 || tn_match_replace(m, n, op, quantize.name, 2, in, 1, &to.value) < 0) status = TN_E_MEMORY;
        ++*changes;
    }
    tn_tensor_destroy(bytes);
    tn_tensor_destroy(result);
    if (status == TN_E_MEMORY) return status;
    return tn_match_recount(m);
}

tn_status tn_pass_qdq_table(tn_graph *graph, int *changes) {
    return tn_match_each(graph, match_table, changes);
}
