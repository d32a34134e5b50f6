/* TensorScatter: writes an update into a cache along one axis, from an own position on for each batch row; `circular`
 * goes on at the front when the end is reached. The cache is [batch, ..., max_length, ...]. */
#include "ops/data.h"

typedef struct scatter_state {
    int axis;
    bool circular;
} scatter_state;

static tn_status get_state(const tn_node *node, int rank, scatter_state *state) {
    const char *mode = tn_attr_text(node, "mode", "linear");
    TN_TRY(tn_infer_axis(NULL, tn_attr_int(node, "axis", -2), rank, &state->axis));
    if (state->axis == 0) return tn_fail(TN_E_INVALID, "axis is the batch dimension 0; expected a later one");
    state->circular = strcmp(mode, "circular") == 0;
    if (!state->circular && strcmp(mode, "linear") != 0)
        return tn_fail(TN_E_INVALID, "mode is '%s'; expected linear or circular", mode);
    return TN_OK;
}

static tn_status infer(tn_infer *call) {
    TN_TRY(tn_infer_tensor(call, 0));
    TN_TRY(tn_infer_tensor(call, 1));
    TN_TRY(tn_infer_equal_dtype(call, 0, 1));
    const tn_type *cache = call->in[0], *update = call->in[1];
    int64_t batch = -1;
    if (tn_infer_has(call, 2)) TN_TRY(tn_infer_list(call, 2, &batch));
    if (cache->rank < 0) return tn_infer_out(call, 0, cache->dtype, -1, NULL);
    scatter_state state;
    TN_TRY(get_state(call->node, cache->rank, &state));
    if (update->rank >= 0 && update->rank != cache->rank)
        return tn_infer_fail(call, 1, TN_E_SHAPE, "expected %d dimensions, as input 0 has", cache->rank);
    for (int i = 0; i < update->rank; i++)
        if (i == state.axis ? cache->dims[i] >= 0 && update->dims[i] > cache->dims[i]
                            : !tn_dim_fits(cache->dims[i], update->dims[i]))
            return tn_infer_fail(call, 1, TN_E_SHAPE, "its dimension %d does not fit that of input 0, %lld", i,
                                 (long long)cache->dims[i]);
    if (!tn_dim_fits(batch, cache->dims[0]))
        return tn_infer_fail(call, 2, TN_E_SHAPE, "expected one index for each of %lld batch rows",
                             (long long)cache->dims[0]);
    return tn_infer_out(call, 0, cache->dtype, cache->rank, cache->dims);
}

static tn_status prepare(tn_prepare *call) {
    scatter_state *state = tn_prepare_alloc(call, sizeof *state);
    if (!state) return TN_E_MEMORY;
    call->state = state;
    return get_state(call->node, call->in[0]->rank, state);
}

static tn_status run(tn_run *call) {
    const tn_tensor *cache = tn_in(call, 0), *update = tn_in(call, 1), *indices = tn_in(call, 2);
    tn_tensor *out = tn_out(call, 0);
    const scatter_state *state = call->state;
    if (!out) return TN_OK;
    TN_TRY(tn_run_same_bytes(call));
    const int axis = state->axis;
    int64_t length = update->dims[axis], most = cache->dims[axis],
            inner = tn_dims_span(cache->dims, axis + 1, cache->rank);
    int64_t heads = tn_dims_span(cache->dims, 1, axis);
    if (length == 0) return TN_OK;
    for (int64_t b = 0; b < cache->dims[0]; b++) {
        int64_t at = indices ? tn_index_at(indices, b) : 0;
        if (state->circular) at = (at % most + most) % most;
        if (at < 0 || at > most || (!state->circular && at > most - length))
            return tn_fail(TN_E_INVALID, "input 2 holds the index %lld; %lld updates do not fit from there into %lld",
                           (long long)at, (long long)length, (long long)most);
        int64_t first = TN_MIN(length, most - at);
        tn_move front = {.bits = tn_dtype_bits(cache->dtype),
                         .rank = 2,
                         .dims = {heads, first * inner},
                         .dst_strides = {most * inner, 1},
                         .src_strides = {length * inner, 1}};
        tn_move wrapped = front;
        wrapped.dims[1] = (length - first) * inner;
        int64_t to = b * heads * most * inner, from = b * heads * length * inner;
        tn_move_plan(&front);
        tn_move_run(&front, call->kernels, call->pool, out->data, to + at * inner, update->data, from);
        tn_move_plan(&wrapped);
        tn_move_run(&wrapped, call->kernels, call->pool, out->data, to, update->data, from + first * inner);
    }
    return TN_OK;
}

const tn_op tn_ops_tensor_scatter[] = {
    {.domain = "",
     .name = "TensorScatter",
     .min_in = 2,
     .max_in = 3,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_IN_PLACE_FIRST,
     .infer = infer,
     .prepare = prepare,
     .run = run},
    {0},
};
