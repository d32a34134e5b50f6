/* Split: each output is moved from its place along the axis; outputs are views where all outer dims are 1. */
#include "ops/data.h"

/* Size of output `out` when `size` is split into `parts`: all are equal but the last ones, which get what is left. */
static int64_t even_part(int64_t size, int64_t parts, int out) {
    int64_t part = size / parts + (size % parts != 0), before;
    if (__builtin_mul_overflow(part, (int64_t)out, &before) || before > size) return 0;
    return TN_MIN(part, size - before);
}

/* Takes the input `split` where it is known. */
static tn_status check_sizes(const tn_tensor *split, int parts, int64_t size) {
    int64_t sum = 0;
    if (split->rank != 1 || split->dims[0] != parts)
        return tn_fail(TN_E_SHAPE, "input 1 has %lld sizes for %d outputs", (long long)tn_count(split), parts);
    for (int i = 0; i < parts; i++) {
        int64_t part = tn_index_at(split, i);
        if (part < 0 || __builtin_add_overflow(sum, part, &sum))
            return tn_fail(TN_E_INVALID, "input 1 holds a size of %lld", (long long)part);
    }
    if (size >= 0 && sum != size)
        return tn_fail(TN_E_SHAPE, "the sizes in input 1 sum up to %lld; the axis has %lld", (long long)sum,
                       (long long)size);
    return TN_OK;
}

static tn_status split_infer(tn_infer *call) {
    TN_TRY(tn_infer_tensor(call, 0));
    const tn_type *data = call->in[0];
    int axis = 0, parts = call->out_count;
    int64_t dims[TN_MAX_RANK], count = -1, given = tn_attr_int(call->node, "num_outputs", parts);
    bool sizes = tn_infer_has(call, 1);
    if (given != parts) return tn_fail(TN_E_INVALID, "num_outputs is %lld; the node has %d", (long long)given, parts);
    if (sizes) TN_TRY(tn_infer_list(call, 1, &count));
    if (data->rank >= 0) TN_TRY(tn_infer_axis(call, tn_attr_int(call->node, "axis", 0), data->rank, &axis));
    for (int i = 0; i < parts; i++) {
        if (data->rank < 0) {
            TN_TRY(tn_infer_out(call, i, data->dtype, -1, NULL));
            continue;
        }
        memcpy(dims, data->dims, sizeof dims);
        if (!sizes && parts > 1) {
            dims[axis] = dims[axis] >= 0 ? even_part(dims[axis], parts, i) : -1;
        } else if (sizes) {
            if (call->value[1] && i == 0) TN_TRY(check_sizes(call->value[1], parts, dims[axis]));
            dims[axis] = call->value[1] ? tn_index_at(call->value[1], i) : -1;
        }
        TN_TRY(tn_infer_out(call, i, data->dtype, data->rank, dims));
    }
    return TN_OK;
}

static tn_status split_run(tn_run *call) {
    const tn_tensor *in = tn_in(call, 0), *sizes = tn_in(call, 1);
    const int axis = *(const int *)call->state;
    int64_t size = in->dims[axis], inner = tn_dims_span(in->dims, axis + 1, in->rank), offset = 0;
    if (sizes) TN_TRY(check_sizes(sizes, call->out_count, size));
    for (int i = 0; i < call->out_count; i++) {
        tn_tensor *out = tn_out(call, i);
        int64_t part = sizes ? tn_index_at(sizes, i) : even_part(size, call->out_count, i);
        if (out) {
            TN_TRY(tn_run_check(out, axis, part));
            tn_move move = {.bits = tn_dtype_bits(in->dtype),
                            .rank = 2,
                            .dims = {tn_dims_span(in->dims, 0, axis), part * inner},
                            .dst_strides = {part * inner, 1},
                            .src_strides = {size * inner, 1}};
            tn_move_plan(&move);
            const char *place = (const char *)in->data + tn_dtype_bytes(in->dtype, offset);
            if (out->data != place) tn_move_run(&move, call->kernels, call->pool, out->data, 0, in->data, offset);
        }
        offset += part * inner;
    }
    return TN_OK;
}

static bool split_view(const tn_prepare *call, int out, int *in, size_t *byte_offset) {
    const tn_type *data = call->in[0];
    int axis;
    if (tn_infer_axis(NULL, tn_attr_int(call->node, "axis", 0), data->rank, &axis) != TN_OK) return false;
    /* Sizes that are only known at run time come to prepare after infer has read them: the outputs' dims say them. */
    int64_t before = 0;
    for (int i = 0; i < out; i++) {
        if (tn_prepare_has(call, 1) && !call->value[1]) return false;
        before +=
            tn_prepare_has(call, 1) ? tn_index_at(call->value[1], i) : even_part(data->dims[axis], call->out_count, i);
    }
    *in = 0;
    *byte_offset = tn_dtype_bytes(data->dtype, before * tn_dims_span(data->dims, axis + 1, data->rank));
    return tn_dims_span(data->dims, 0, axis) == 1 && tn_dtype_bits(data->dtype) >= 8;
}

const tn_op tn_ops_split[] = {
    {.domain = "",
     .name = "Split",
     .min_in = 1,
     .max_in = 2,
     .min_out = 1,
     .max_out = -1,
     .flags = TN_OP_BATCH,
     .infer = split_infer,
     .prepare = tn_prepare_axis,
     .run = split_run,
     .view = split_view},
    {0},
};
