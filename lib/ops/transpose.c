/* Transpose: one planned move; a view where only dims of size 1 change places. */
#include "ops/data.h"

/* The attribute perm, or the reversed order. */
static tn_status get_perm(const tn_node *node, int rank, int *perm) {
    size_t count;
    const int64_t *given = tn_attr_ints(node, "perm", &count);
    bool seen[TN_MAX_RANK] = {0};
    for (int i = 0; i < rank; i++) perm[i] = rank - 1 - i;
    if (!given) return TN_OK;
    if (count != (size_t)rank)
        return tn_fail(TN_E_INVALID, "perm has %zu axes; the input has %d dimensions", count, rank);
    for (int i = 0; i < rank; i++) {
        if (given[i] < -rank || given[i] >= rank)
            return tn_fail(TN_E_INVALID, "perm has axis %lld; expected [0, %d)", (long long)given[i], rank);
        perm[i] = (int)(given[i] < 0 ? given[i] + rank : given[i]);
        if (seen[perm[i]]) return tn_fail(TN_E_INVALID, "perm has axis %lld twice", (long long)given[i]);
        seen[perm[i]] = true;
    }
    return TN_OK;
}

static tn_status transpose_infer(tn_infer *call) {
    int perm[TN_MAX_RANK];
    int64_t dims[TN_MAX_RANK];
    TN_TRY(tn_infer_tensor(call, 0));
    const tn_type *data = call->in[0];
    if (data->rank >= 0) TN_TRY(get_perm(call->node, data->rank, perm));
    for (int i = 0; i < data->rank; i++) dims[i] = data->dims[perm[i]];
    return tn_infer_out(call, 0, data->dtype, data->rank, dims);
}

static tn_status transpose_prepare(tn_prepare *call) {
    const tn_type *data = call->in[0];
    int perm[TN_MAX_RANK];
    int64_t strides[TN_MAX_RANK];
    tn_move *move = tn_prepare_alloc(call, sizeof *move);
    if (!move) return TN_E_MEMORY;
    TN_TRY(get_perm(call->node, data->rank, perm));
    tn_dense_strides(data->rank, data->dims, strides);
    move->bits = tn_dtype_bits(data->dtype);
    move->rank = data->rank;
    for (int i = 0; i < data->rank; i++) {
        move->dims[i] = data->dims[perm[i]];
        move->src_strides[i] = strides[perm[i]];
    }
    tn_dense_strides(move->rank, move->dims, move->dst_strides);
    tn_move_plan(move);
    call->state = move;
    return TN_OK;
}

static tn_status transpose_run(tn_run *call) {
    tn_tensor *out = tn_out(call, 0);
    if (out) tn_move_run(call->state, call->kernels, call->pool, out->data, 0, tn_in(call, 0)->data, 0);
    return TN_OK;
}

static bool transpose_view(const tn_prepare *call, int out, int *in, size_t *byte_offset) {
    const tn_type *data = call->in[0];
    int perm[TN_MAX_RANK], last = -1;
    (void)out;
    *in = 0;
    *byte_offset = 0;
    if (get_perm(call->node, data->rank, perm) != TN_OK) return false;
    for (int i = 0; i < data->rank; i++) {
        if (data->dims[perm[i]] == 1) continue;
        if (perm[i] < last) return false;
        last = perm[i];
    }
    return true;
}

const tn_op tn_ops_transpose[] = {
    {.domain = "",
     .name = "Transpose",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .infer = transpose_infer,
     .prepare = transpose_prepare,
     .run = transpose_run,
     .view = transpose_view},
    {0},
};
