/* Half precision: operators that compute in float32 (TN_OP_WIDEN) get casts around them. The folding pass then widens
 * their weights once. What one such operator makes goes to the next in float32, without being rounded between, also
 * through operators that only move elements. */
#include "base/element.h"
#include "passes/rows.h"

static int add_cast(tn_graph *graph, const tn_op *cast, int from, int to, tn_dtype dtype) {
    if (!cast) {
        tn_fail(TN_E_UNSUPPORTED, "the operator Cast, which half precision needs, is not in this build");
        return -1;
    }
    int n = tn_graph_add_node(graph, cast, "", 1, &from, 1, &to);
    if (n < 0 || tn_node_set_int(graph, &graph->nodes[n], "to", dtype) != TN_OK) return -1;
    return n;
}

/* The float32 value that stands for a half one. */
typedef struct twin {
    int value; /* 0: none yet */
    bool made; /* by an operator that computes in float32; else it is cast from half */
} twin;

static int add_twin(tn_graph *graph, int value) {
    tn_type type = graph->values[value].type;
    type.dtype = TN_FLOAT32;
    return tn_graph_add_value(graph, graph->values[value].name, &type);
}

static bool is_half_value(const tn_graph *graph, int v) {
    return v >= 0 && tn_dtype_is_half(graph->values[v].type.dtype) && graph->values[v].type.kind == TN_KIND_TENSOR;
}

static bool only_moves(const tn_node *node) {
    static const char *const names[] = {"Concat", "Expand", "Flatten", "Gather", "Identity",  "Reshape",
                                        "Slice",  "Split",  "Squeeze", "Tile",   "Transpose", "Unsqueeze"};
    if (strcmp(node->op->domain, "") != 0) return false;
    for (size_t i = 0; i < TN_COUNT(names); i++)
        if (strcmp(node->op->name, names[i]) == 0) return true;
    return false;
}

/* Whether the node moves elements that are there in float32. */
static bool moves_wide(const tn_graph *graph, const tn_node *node, const twin *twins, int known) {
    if (!only_moves(node)) return false;
    for (int i = 0; i < node->formal_in; i++) {
        int v = node->in[i];
        if (is_half_value(graph, v) && (v >= known || !twins[v].made)) return false;
    }
    return true;
}

static tn_status widen_node(tn_graph *graph, const tn_op *cast, int n, twin *twins, int known, int *changes) {
    bool applied = false;
    for (int i = 0; i < graph->nodes[n].formal_in; i++) {
        int v = graph->nodes[n].in[i];
        if (!is_half_value(graph, v)) continue;
        int wide = v < known ? twins[v].value : 0;
        if (!wide) {
            wide = add_twin(graph, v);
            if (wide < 0 || add_cast(graph, cast, v, wide, TN_FLOAT32) < 0) return TN_E_MEMORY;
            if (v < known) twins[v].value = wide;
        }
        graph->nodes[n].in[i] = wide;
        applied = true;
    }
    for (int i = 0; i < graph->nodes[n].out_count; i++) {
        int v = graph->nodes[n].out[i];
        if (v < 0 || !tn_dtype_is_half(graph->values[v].type.dtype) || !applied) continue;
        int wide = add_twin(graph, v);
        if (wide < 0 || add_cast(graph, cast, wide, v, graph->values[v].type.dtype) < 0) return TN_E_MEMORY;
        if (v < known) twins[v] = (twin){wide, true};
        graph->nodes[n].out[i] = wide;
    }
    *changes += applied;
    return TN_OK;
}

tn_status tn_pass_widen(tn_graph *graph, int *changes) {
    const tn_op *cast = tn_op_find("", "Cast");
    int known = graph->value_count, nodes = graph->node_count;
    twin *twins = NULL; /* by value */
    for (int n = 0; n < nodes; n++) {
        const tn_node *node = &graph->nodes[n];
        bool computes = node->op->flags & TN_OP_WIDEN;
        if (node->dead || (!computes && !(twins && moves_wide(graph, node, twins, known)))) continue;
        if (!twins) twins = tn_region_array(graph->region, (size_t)known + 1, sizeof *twins);
        if (!twins) return TN_E_MEMORY;
        TN_TRY(widen_node(graph, cast, n, twins, known, changes));
    }
    return TN_OK;
}
