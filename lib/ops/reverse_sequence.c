/* ReverseSequence: of each batch row, the first sequence_lens[i] steps in reverse order, the others as they are. */
#include "ops/data.h"

static tn_status get_axes(const tn_node *node, int *batch, int *time) {
    int64_t b = tn_attr_int(node, "batch_axis", 1), t = tn_attr_int(node, "time_axis", 0);
    if (b < 0 || b > 1 || t != 1 - b)
        return tn_fail(TN_E_INVALID, "batch_axis %lld and time_axis %lld; expected one to be 0 and the other 1",
                       (long long)b, (long long)t);
    *batch = (int)b;
    *time = (int)t;
    return TN_OK;
}

static tn_status reverse_infer(tn_infer *call) {
    int batch, time;
    int64_t count = -1;
    TN_TRY(tn_infer_tensor(call, 0));
    TN_TRY(tn_infer_list(call, 1, &count));
    TN_TRY(get_axes(call->node, &batch, &time));
    const tn_type *data = call->in[0];
    if (data->rank >= 0 && data->rank < 2) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected at least 2 dimensions");
    if (data->rank >= 0 && count >= 0 && data->dims[batch] >= 0 && count != data->dims[batch])
        return tn_infer_fail(call, 1, TN_E_SHAPE, "expected one length for each of %lld batch rows",
                             (long long)data->dims[batch]);
    return tn_infer_out(call, 0, data->dtype, data->rank, data->dims);
}

static tn_status reverse_prepare(tn_prepare *call) {
    int *axes = tn_prepare_alloc(call, 2 * sizeof *axes);
    if (!axes) return TN_E_MEMORY;
    call->state = axes;
    return get_axes(call->node, &axes[0], &axes[1]);
}

static tn_status reverse_run(tn_run *call) {
    const tn_tensor *data = tn_in(call, 0), *lengths = tn_in(call, 1);
    tn_tensor *out = tn_out(call, 0);
    const int *axes = call->state, batch = axes[0], time = axes[1];
    if (!out) return TN_OK;
    int64_t steps = data->dims[time], step = data->strides[time], row = data->strides[batch];
    int64_t inner = tn_dims_span(data->dims, 2, data->rank);
    for (int64_t b = 0; b < data->dims[batch]; b++) {
        int64_t length = tn_index_at(lengths, b);
        if (length < 0 || length > steps)
            return tn_fail(TN_E_INVALID, "input 1 holds a length of %lld; expected 0 to %lld", (long long)length,
                           (long long)steps);
        tn_move turned = {.bits = tn_dtype_bits(data->dtype),
                          .rank = 2,
                          .dims = {length, inner},
                          .dst_strides = {step, 1},
                          .src_strides = {-step, 1}};
        tn_move rest = turned;
        rest.dims[0] = steps - length;
        rest.src_strides[0] = step;
        tn_move_plan(&turned);
        tn_move_run(&turned, call->kernels, call->pool, out->data, b * row, data->data, b * row + (length - 1) * step);
        tn_move_plan(&rest);
        int64_t at = b * row + length * step;
        tn_move_run(&rest, call->kernels, call->pool, out->data, at, data->data, at);
    }
    return TN_OK;
}

const tn_op tn_ops_reverse_sequence[] = {
    {.domain = "",
     .name = "ReverseSequence",
     .min_in = 2,
     .max_in = 2,
     .min_out = 1,
     .max_out = 1,
     .infer = reverse_infer,
     .prepare = reverse_prepare,
     .run = reverse_run},
    {0},
};
