/* Conv, Squeeze, then a constant per channel or an activation: the Squeeze moves behind them, where convolutions can take
 * them. Exporters of one-dimensional convolutions write a two-dimensional one, a Squeeze, and the bias after that. */
#include "passes/activation.h"
#include "passes/rows.h"

/* Which axes of `rank` go; false if that is not known. */
static bool squeezed_axes(const tn_graph *graph, const tn_node *squeeze, int rank, bool *gone) {
    const tn_tensor *axes =
        squeeze->formal_in > 1 && squeeze->in[1] >= 0 ? graph->values[squeeze->in[1]].constant : NULL;
    if (!axes || axes->dtype != TN_INT64 || rank < 1) return false;
    for (int i = 0; i < rank; i++) gone[i] = false;
    for (int64_t k = 0; k < tn_count(axes); k++) {
        int64_t axis;
        memcpy(&axis, (const char *)axes->data + (size_t)k * sizeof axis, sizeof axis);
        axis += axis < 0 ? rank : 0;
        if (axis < 0 || axis >= rank) return false;
        gone[axis] = true;
    }
    return true;
}

/* The constant `k` with the axes that a Squeeze takes put back, as a new constant; -1: it does not fit. */
static int unsqueezed(tn_graph *graph, int k, const tn_type *type, const bool *gone) {
    const tn_tensor *from = tn_match_floats(graph, k);
    if (!from) return -1;
    int64_t dims[TN_MAX_RANK];
    int left = from->rank;
    for (int i = type->rank - 1; i >= 0; i--) {
        dims[i] = gone[i] || !left ? 1 : from->dims[--left];
        if (dims[i] != 1 && dims[i] != type->dims[i]) return -1; /* the sum would be larger */
    }
    if (left) return -1;
    tn_tensor *to = tn_graph_tensor(graph, TN_FLOAT32, type->rank, dims, from->data);
    return to ? tn_graph_add_constant(graph, graph->values[k].name, to) : -1;
}

/* The Squeeze at `n` and its only reader change places; the value between them gets the shape before. *out_at: where
 * the Squeeze is then, or -1 if they may not. */
static tn_status swap(tn_match *m, int n, const bool *gone, int *out_at) {
    tn_graph *graph = m->graph;
    tn_node *squeeze = &graph->nodes[n];
    int from = squeeze->in[0], between = squeeze->out[0], in[TN_MAX_RANK];
    tn_node *next = tn_match_reader(m, between);
    *out_at = -1;
    if (!next || next->formal_in > TN_MAX_RANK) return TN_OK;
    tn_activation activation;
    bool linear = tn_match_is(next, "", "Add") || tn_match_is(next, "", "Mul");
    if (!linear && !(next->in[0] == between && tn_match_activation(graph, next, &activation))) return TN_OK;
    for (int i = 0; i < next->formal_in; i++) {
        in[i] = next->in[i] == between ? from : next->in[i];
        if (linear && in[i] != from) in[i] = unsqueezed(graph, in[i], tn_match_type(graph, from), gone);
        if (linear && in[i] < 0) return TN_OK;
    }
    int at = (int)(next - graph->nodes), out = next->out[0];
    TN_TRY(tn_node_set_inputs(graph, next, next->formal_in, in));
    squeeze->in[0] = between;
    squeeze->out[0] = out;
    next->out[0] = between;
    graph->values[between].type = *tn_match_type(graph, from);
    tn_node moved = *squeeze;
    *squeeze = *next;
    *next = moved;
    graph->values[between].producer = n;
    graph->values[out].producer = *out_at = at;
    return tn_match_recount(m);
}

static tn_status match_squeeze(tn_match *m, int n, int *changes) {
    const tn_node *squeeze = &m->graph->nodes[n];
    bool gone[TN_MAX_RANK];
    if (!tn_match_is(squeeze, "", "Squeeze")) return TN_OK;
    if (!tn_match_only(m, squeeze->in[0], "Conv") && !tn_match_only(m, squeeze->in[0], "ConvTranspose")) return TN_OK;
    if (!squeezed_axes(m->graph, squeeze, tn_match_type(m->graph, squeeze->in[0])->rank, gone)) return TN_OK;
    while (n >= 0) {
        TN_TRY(swap(m, n, gone, &n));
        *changes += n >= 0;
    }
    return TN_OK;
}

tn_status tn_pass_squeeze(tn_graph *graph, int *changes) {
    return tn_match_each(graph, match_squeeze, changes);
}
