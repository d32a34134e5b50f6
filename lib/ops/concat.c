/* Concat: each input is moved to its place along the axis. Where all outer dims are 1, producers may write straight
 * there. */
#include "ops/data.h"

static tn_status concat_infer(tn_infer *call) {
    int64_t axis_given = tn_attr_int(call->node, "axis", 0), dims[TN_MAX_RANK], sum = 0;
    int rank = -1, axis = 0, first = 0;
    tn_dtype dtype = TN_UNDEFINED;
    if (!tn_node_attr(call->node, "axis")) return tn_fail(TN_E_INVALID, "attribute axis is missing");
    for (int i = 0; i < call->in_count; i++) {
        TN_TRY(tn_infer_tensor(call, i));
        TN_TRY(tn_infer_equal_dtype(call, first, i));
        const tn_type *type = call->in[i];
        if (type->dtype && !dtype) dtype = type->dtype, first = i;
        if (type->rank < 0) {
            sum = -1;
            continue;
        }
        if (rank < 0) {
            rank = type->rank;
            memcpy(dims, type->dims, sizeof dims);
            TN_TRY(tn_infer_axis(call, axis_given, rank, &axis));
        }
        if (type->rank != rank) return tn_infer_fail(call, i, TN_E_SHAPE, "expected %d dimensions", rank);
        for (int d = 0; d < rank; d++) {
            if (d == axis) continue;
            if (!tn_dim_fits(dims[d], type->dims[d]))
                return tn_infer_fail(call, i, TN_E_SHAPE, "expected dimension %d to be %lld, as in the inputs before",
                                     d, (long long)dims[d]);
            if (dims[d] == -1 || type->dims[d] >= 0) dims[d] = type->dims[d];
        }
        int64_t size = type->dims[axis];
        if (sum < 0 || size < 0)
            sum = -1;
        else if (__builtin_add_overflow(sum, size, &sum))
            return tn_infer_fail(call, i, TN_E_SHAPE, "the output would be too large");
    }
    if (rank >= 0 && call->in_count > 1) dims[axis] = sum;
    return tn_infer_out(call, 0, dtype, rank, dims);
}

typedef struct concat_state {
    int64_t *offsets; /* of each input in the output, in elements of a row */
    tn_move moves[];
} concat_state;

static tn_status concat_prepare(tn_prepare *call) {
    int axis, rank = call->in[0]->rank;
    size_t n = (size_t)call->in_count;
    concat_state *state = tn_prepare_alloc(call, sizeof *state + n * (sizeof(tn_move) + sizeof(int64_t)));
    if (!state) return TN_E_MEMORY;
    state->offsets = (int64_t *)(state->moves + n);
    TN_TRY(tn_infer_axis(NULL, tn_attr_int(call->node, "axis", 0), rank, &axis));
    int64_t total = 0, offset = 0;
    for (int i = 0; i < call->in_count; i++) total += tn_dims_span(call->in[i]->dims, axis, rank);
    for (int i = 0; i < call->in_count; i++) {
        const int64_t *dims = call->in[i]->dims;
        int64_t chunk = tn_dims_span(dims, axis, rank);
        state->moves[i] = (tn_move){.bits = tn_dtype_bits(call->in[i]->dtype),
                                    .rank = 2,
                                    .dims = {tn_dims_span(dims, 0, axis), chunk},
                                    .dst_strides = {total, 1},
                                    .src_strides = {chunk, 1}};
        tn_move_plan(&state->moves[i]);
        state->offsets[i] = offset;
        offset += chunk;
    }
    call->state = state;
    return TN_OK;
}

static tn_status concat_run(tn_run *call) {
    const concat_state *state = call->state;
    tn_tensor *out = tn_out(call, 0);
    for (int i = 0; out && i < call->in_count; i++) {
        const tn_tensor *in = tn_in(call, i);
        const char *place = (char *)out->data + tn_dtype_bytes(out->dtype, state->offsets[i]);
        if (in->data == place) continue;
        tn_move_run(&state->moves[i], call->kernels, call->pool, out->data, state->offsets[i], in->data, 0);
    }
    return TN_OK;
}

static bool concat_place(const tn_prepare *call, int in, size_t *byte_offset) {
    int axis, rank = call->in[0]->rank;
    size_t bits = tn_dtype_bits(call->in[0]->dtype);
    if (tn_infer_axis(NULL, tn_attr_int(call->node, "axis", 0), rank, &axis) != TN_OK) return false;
    int64_t before = 0;
    for (int i = 0; i < in; i++) before += tn_dims_span(call->in[i]->dims, axis, rank);
    *byte_offset = tn_dtype_bytes(call->in[0]->dtype, before);
    return tn_dims_span(call->in[0]->dims, 0, axis) == 1 && bits >= 8;
}

const tn_op tn_ops_concat[] = {
    {.domain = "",
     .name = "Concat",
     .min_in = 1,
     .max_in = -1,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_BATCH,
     .infer = concat_infer,
     .prepare = concat_prepare,
     .run = concat_run,
     .place = concat_place},
    {0},
};
