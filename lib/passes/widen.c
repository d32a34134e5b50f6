/* Half precision: operators that compute in float32 (TN_OP_WIDEN) get casts around them. The folding pass then widens
 * their weights once, and casts there and back between two such operators go. */
#include "passes/rows.h"

static bool is_half(tn_dtype dtype) {
    return dtype == TN_FLOAT16 || dtype == TN_BFLOAT16;
}

static int add_cast(tn_graph *graph, const tn_op *cast, int from, int to, tn_dtype dtype) {
    if (!cast) {
        tn_fail(TN_E_UNSUPPORTED, "the operator Cast, which half precision needs, is not in this build");
        return -1;
    }
    int n = tn_graph_add_node(graph, cast, "", 1, &from, 1, &to);
    if (n < 0 || tn_node_set_int(graph, &graph->nodes[n], "to", dtype) != TN_OK) return -1;
    return n;
}

static int add_twin(tn_graph *graph, int value, tn_dtype dtype) {
    tn_type type = graph->values[value].type;
    type.dtype = dtype;
    return tn_graph_add_value(graph, graph->values[value].name, &type);
}

static tn_status widen_node(tn_graph *graph, const tn_op *cast, int n, int *wide, int known, int *changes) {
    bool applied = false;
    for (int i = 0; i < graph->nodes[n].formal_in; i++) {
        int v = graph->nodes[n].in[i];
        if (v < 0 || !is_half(graph->values[v].type.dtype) || graph->values[v].type.kind != TN_KIND_TENSOR) continue;
        int twin = v < known ? wide[v] : 0;
        if (!twin) {
            twin = add_twin(graph, v, TN_FLOAT32);
            if (twin < 0 || add_cast(graph, cast, v, twin, TN_FLOAT32) < 0) return TN_E_MEMORY;
            if (v < known) wide[v] = twin;
        }
        graph->nodes[n].in[i] = twin;
        applied = true;
    }
    for (int i = 0; i < graph->nodes[n].out_count; i++) {
        int v = graph->nodes[n].out[i];
        if (v < 0 || !is_half(graph->values[v].type.dtype) || !applied) continue;
        int twin = add_twin(graph, v, TN_FLOAT32);
        if (twin < 0 || add_cast(graph, cast, twin, v, graph->values[v].type.dtype) < 0) return TN_E_MEMORY;
        graph->nodes[n].out[i] = twin;
    }
    *changes += applied;
    return TN_OK;
}

tn_status tn_pass_widen(tn_graph *graph, int *changes) {
    const tn_op *cast = tn_op_find("", "Cast");
    int known = graph->value_count, nodes = graph->node_count;
    int *wide = NULL; /* by value: its float32 twin; 0: none yet */
    for (int n = 0; n < nodes; n++) {
        if (graph->nodes[n].dead || !(graph->nodes[n].op->flags & TN_OP_WIDEN)) continue;
        if (!wide) wide = tn_region_array(graph->region, (size_t)known + 1, sizeof *wide);
        if (!wide) return TN_E_MEMORY;
        TN_TRY(widen_node(graph, cast, n, wide, known, changes));
    }
    return TN_OK;
}
