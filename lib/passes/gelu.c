/* GELU, exact and by tanh, from the products that exporters make of it.
 *
 * x * 0.5 * (1 + erf(x / sqrt 2)) in any order of its factors: the chain of Mul nodes above a node is flattened into
 * factors, which must be x, one half, and the bracket. (Hendrycks and Gimpel, arXiv 1606.08415.) */
#include "passes/match.h"
#include "passes/rows.h"

#define MAX_FACTORS 4

static int add_factors(const tn_match *m, int value, bool inner, int *factors, int count) {
    const tn_node *mul = inner ? tn_match_only(m, value, "Mul") : tn_match_producer(m, value, "Mul");
    if (!mul || count < 0) {
        if (count < 0 || count == MAX_FACTORS) return -1;
        factors[count] = value;
        return count + 1;
    }
    count = add_factors(m, mul->in[0], true, factors, count);
    return add_factors(m, mul->in[1], true, factors, count);
}

/* The other input of a node with the constant `number`, or -1. */
static int beside(const tn_match *m, const tn_node *node, float number) {
    for (int i = 0; node && i < 2; i++)
        if (tn_match_number(m->graph, node->in[i], number)) return node->in[1 - i];
    return -1;
}

/* Whether `value` is 0.044715 x^3, as a power or as a product in any order. */
static bool is_cubic_term(const tn_match *m, int value, int x) {
    int factors[MAX_FACTORS], own = 0, count = add_factors(m, value, true, factors, 0);
    bool scaled = false;
    for (int i = 0; i < count; i++) {
        const tn_node *pow = tn_match_only(m, factors[i], "Pow");
        if (tn_match_number(m->graph, factors[i], 0.044715f))
            scaled = true;
        else if (pow && pow->in[0] == x && tn_match_number(m->graph, pow->in[1], 3))
            own += 3;
        else if (factors[i] == x)
            own++;
        else
            return false;
    }
    return scaled && own == 3;
}

/* Whether `value` is 1 + erf(x / sqrt 2), or 1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)). */
static bool is_bracket(const tn_match *m, int value, int x, bool *by_tanh) {
    int inside = beside(m, tn_match_only(m, value, "Add"), 1);
    const tn_node *erf = inside >= 0 ? tn_match_only(m, inside, "Erf") : NULL;
    *by_tanh = false;
    if (erf) {
        const tn_node *div = tn_match_only(m, erf->in[0], "Div");
        if (div) return div->in[0] == x && tn_match_number(m->graph, div->in[1], 1.41421356f);
        return beside(m, tn_match_only(m, erf->in[0], "Mul"), 0.70710678f) == x;
    }
    const tn_node *tanh = inside >= 0 ? tn_match_only(m, inside, "Tanh") : NULL;
    if (!tanh) return false;
    *by_tanh = true;
    int sum = beside(m, tn_match_only(m, tanh->in[0], "Mul"), 0.79788456f);
    const tn_node *add = sum >= 0 ? tn_match_only(m, sum, "Add") : NULL;
    int term = add ? tn_match_other(add, x) : -1;
    return term >= 0 && is_cubic_term(m, term, x);
}

static tn_status match_node(tn_match *m, int n, int *changes) {
    const tn_graph *graph = m->graph;
    tn_node node = graph->nodes[n];
    int factors[MAX_FACTORS];
    if (!tn_match_is(&node, "", "Mul") || tn_match_type(graph, node.out[0])->dtype != TN_FLOAT32) return TN_OK;
    if (add_factors(m, node.out[0], false, factors, 0) != 3) return TN_OK;
    for (int half = 0; half < 3; half++) {
        if (!tn_match_number(graph, factors[half], 0.5f)) continue;
        for (int k = 1; k < 3; k++) {
            int x = factors[(half + k) % 3], bracket = factors[(half + 3 - k) % 3];
            bool by_tanh;
            if (!is_bracket(m, bracket, x, &by_tanh)) continue;
            const tn_op *gelu = tn_op_find("", "Gelu");
            int at = gelu ? tn_match_replace(m, n, gelu, node.name, 1, &x, 1, node.out) : -1;
            if (at < 0) return gelu ? TN_E_MEMORY : TN_OK;
            if (by_tanh) TN_TRY(tn_node_set_text(m->graph, &m->graph->nodes[at], "approximate", "tanh"));
            ++*changes;
            return tn_match_recount(m);
        }
    }
    return TN_OK;
}

tn_status tn_pass_gelu(tn_graph *graph, int *changes) {
    return tn_match_each(graph, match_node, changes);
}
