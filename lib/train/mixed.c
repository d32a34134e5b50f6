/* Mixed precision (Micikevicius et al., "Mixed Precision Training", 2018; Kalamkar et al., "A Study of BFLOAT16 for Deep
 * Learning Training", 2019): what products read, forwards and backwards, is rounded to bfloat16; sums, everything else and
 * the parameters stay float32. A product of two such numbers is exact in float32, so that nothing but the order of sums
 * differs between CPUs, whether they multiply bfloat16 or widen it.
 *
 * A value that products read is rounded once, and kept so, in half of the memory, until the backward pass has read it; each
 * pass widens it again where it needs it. */
#include "graph/op.h"
#include "train/gradient.h"
#include "train/train.h"

/* Which inputs are factors. */
static const struct {
    const char *domain, *op;
    unsigned inputs; /* bits */
} products[] = {
    {"", "MatMul", 3},
    {"", "Gemm", 3},
    {"", "Conv", 3},
    {"", "ConvTranspose", 3},
    {"", "Einsum", 255},
    {"", "LSTM", 3},
    {"", "GRU", 3},
    {"", "RNN", 3},
    {"com.microsoft", "FusedMatMul", 3},
    {"tenon", "ConvWeightGrad", 3},
};

typedef struct {
    tn_graph *graph;
    int forward, nodes; /* nodes before the backward pass; all of them, without those added here */
    int values;
    int *narrow;  /* by value, as bfloat16; -1: it is not rounded */
    int *wide[2]; /* and that as float32, in the forward and in the backward pass */
    bool *exact;  /* by value: it is rounded already */
    int *place;   /* by node that is added: before which */
} mixing;

static bool is_factor(const tn_node *node, int input) {
    for (size_t i = 0; i < TN_COUNT(products); i++)
        if (strcmp(node->op->name, products[i].op) == 0 && strcmp(node->op->domain, products[i].domain) == 0)
            return products[i].inputs >> input & 1;
    return false;
}

/* Of which only the sign is looked at: that of what is kept rounded will do. */
static bool is_sign(const mixing *m, const tn_node *node, int input) {
    return input == 1 && m->narrow[node->in[1]] >= 0 && strcmp(node->op->name, "ReluGrad") == 0;
}

/* The same numbers in another shape, for products alone: of what is rounded already. */
static bool is_view(const mixing *m, int n) {
    static const char *const views[] = {"Reshape", "Transpose", "Unsqueeze", "Squeeze", "Flatten"};
    const tn_node *node = &m->graph->nodes[n];
    bool view = false, read = false;
    for (size_t i = 0; i < TN_COUNT(views); i++) view |= strcmp(node->op->name, views[i]) == 0;
    if (!view || *node->op->domain || m->narrow[node->in[0]] < 0) return false;
    for (int k = n + 1; k < m->nodes; k++)
        for (int i = 0; i < m->graph->nodes[k].in_count; i++)
            if (m->graph->nodes[k].in[i] == node->out[0]) {
                if (!is_factor(&m->graph->nodes[k], i)) return false;
                read = true;
            }
    return read;
}

static tn_status cast(mixing *m, int n, int value, tn_dtype to, int *out) {
    /* A pair of casts that is there to round; passes drop others. */
    const tn_attribute attributes[] = {
        {.name = "to", .kind = TN_ATTR_INT, .i = to}, {.name = "rounds", .kind = TN_ATTR_INT, .i = 1}, {0}};
    TN_TRY(tn_graph_node(m->graph, "Cast", "bfloat16", 1, &value, 1, out, attributes));
    m->place[m->graph->node_count - 1 - m->nodes] = n;
    return TN_OK;
}

static tn_status round_input(mixing *m, int n, int input) {
    const int value = m->graph->nodes[n].in[input];
    int *wide = &m->wide[n >= m->forward][value];
    if (m->narrow[value] < 0) TN_TRY(cast(m, n, value, TN_BFLOAT16, &m->narrow[value]));
    if (*wide < 0) {
        TN_TRY(cast(m, n, m->narrow[value], TN_FLOAT32, wide));
        /* One for each pass, else it would stay from the one to the other. */
        if (n >= m->forward) TN_TRY(tn_node_set_int(m->graph, &m->graph->nodes[m->graph->node_count - 1], "rounds", 2));
    }
    m->graph->nodes[n].in[input] = *wide;
    return TN_OK;
}

static tn_status round_node(mixing *m, int n) {
    if (is_view(m, n)) {
        m->exact[m->graph->nodes[n].out[0]] = true;
        return round_input(m, n, 0);
    }
    for (int i = 0; i < m->graph->nodes[n].in_count; i++) {
        const tn_node *node = &m->graph->nodes[n];
        const int value = node->in[i];
        if (value < 0 || value >= m->values || m->graph->values[value].type.dtype != TN_FLOAT32) continue;
        if (m->exact[value]) continue;
        if (is_factor(node, i) || is_sign(m, node, i)) TN_TRY(round_input(m, n, i));
    }
    return TN_OK;
}

/* What was added goes to its places, which were found in order. */
static tn_status weave(mixing *m) {
    tn_graph *g = m->graph;
    const int added = g->node_count - m->nodes;
    int at = 0, next = 0;
    tn_node *order = tn_region_array(g->region, (size_t)g->node_count + 1, sizeof *order);
    if (!order) return TN_E_MEMORY;
    for (int n = 0; n < m->nodes; n++) {
        while (next < added && m->place[next] == n) order[at++] = g->nodes[m->nodes + next++];
        order[at++] = g->nodes[n];
    }
    memcpy(g->nodes, order, (size_t)g->node_count * sizeof *order);
    tn_graph_compact(g); /* sets producers anew */
    return TN_OK;
}

static int *numbers(tn_region *scratch, int count) {
    int *all = tn_region_array(scratch, (size_t)count + 1, sizeof *all);
    for (int i = 0; all && i < count; i++) all[i] = -1;
    return all;
}

static tn_status mix(mixing *m, tn_region *scratch) {
    m->narrow = numbers(scratch, m->values);
    m->wide[0] = numbers(scratch, m->values);
    m->wide[1] = numbers(scratch, m->values);
    m->place = numbers(scratch, 3 * m->values);
    m->exact = tn_region_array(scratch, (size_t)m->values + 1, sizeof *m->exact);
    if (!m->narrow || !m->wide[0] || !m->wide[1] || !m->place || !m->exact) return TN_E_MEMORY;
    for (int n = 0; n < m->nodes; n++) TN_TRY(round_node(m, n));
    return weave(m);
}

tn_status tn_graph_mix(tn_graph *graph, int forward) {
    mixing m = {.graph = graph, .forward = forward, .nodes = graph->node_count, .values = graph->value_count};
    tn_region *scratch = tn_region_create(graph->allocator);
    if (!scratch) return TN_E_MEMORY;
    tn_status status = mix(&m, scratch);
    tn_region_destroy(scratch);
    return status;
}
