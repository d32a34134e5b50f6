/* GatherND: index tuples pick slices of the data. */
#include "ops/index_tuple.h"

static tn_status gather_nd_infer(tn_infer *call) {
    TN_TRY(tn_infer_whole(call, 0));
    TN_TRY(tn_infer_index(call, 1));
    const tn_type *data = call->in[0], *indices = call->in[1];
    int64_t dims[2 * TN_MAX_RANK], batch = tn_attr_int(call->node, "batch_dims", 0);
    int rank = 0, b = (int)batch;
    if (data->rank == 0) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected at least one dimension");
    if (indices->rank == 0) return tn_infer_fail(call, 1, TN_E_SHAPE, "expected at least one dimension");
    if (data->rank < 0 || indices->rank < 0) return tn_infer_out(call, 0, data->dtype, -1, NULL);
    if (batch < 0 || batch >= TN_MIN(data->rank, indices->rank))
        return tn_fail(TN_E_INVALID, "batch_dims is %lld; expected 0 or more and less than both inputs' ranks",
                       (long long)batch);
    for (int i = 0; i < b; i++)
        if (!tn_dim_fits(data->dims[i], indices->dims[i]))
            return tn_infer_fail(call, 1, TN_E_SHAPE, "its batch dimension %d differs from that of input 0, %lld", i,
                                 (long long)data->dims[i]);
    int64_t length = indices->dims[indices->rank - 1];
    if (length < 0) return tn_infer_out(call, 0, data->dtype, -1, NULL);
    if (length == 0 || length > data->rank - b)
        return tn_infer_fail(call, 1, TN_E_SHAPE, "its last dimension must be 1 to %d", data->rank - b);
    for (int i = 0; i < indices->rank - 1; i++) {
        dims[rank] = indices->dims[i];
        if (i < b && dims[rank] < 0) dims[rank] = data->dims[i];
        rank++;
    }
    for (int i = b + (int)length; i < data->rank; i++) dims[rank++] = data->dims[i];
    return tn_infer_out(call, 0, data->dtype, rank, dims);
}

static tn_status gather_nd_prepare(tn_prepare *call) {
    int *batch = tn_prepare_alloc(call, sizeof *batch);
    if (!batch) return TN_E_MEMORY;
    *batch = (int)tn_attr_int(call->node, "batch_dims", 0);
    call->state = batch;
    return TN_OK;
}

static tn_status gather_nd_run(tn_run *call) {
    const tn_tensor *data = tn_in(call, 0), *indices = tn_in(call, 1);
    tn_tensor *out = tn_out(call, 0);
    int batch = *(const int *)call->state, length = (int)indices->dims[indices->rank - 1];
    if (!out || tn_count(out) == 0) return TN_OK;
    size_t element = tn_dtype_bits(data->dtype) / 8;
    size_t run = (size_t)tn_dims_span(data->dims, batch + length, data->rank) * element;
    int64_t batches = tn_dims_span(data->dims, 0, batch), stride = tn_dims_span(data->dims, batch, data->rank);
    int64_t tuples = tn_dims_span(indices->dims, batch, indices->rank - 1), offset = 0;
    char *to = out->data;
    for (int64_t b = 0; b < batches; b++)
        for (int64_t i = 0; i < tuples; i++, to += run) {
            TN_TRY(tn_tuple_offset(data, batch, indices, b * tuples + i, length, &offset));
            tn_copy_run(to, (const char *)data->data + (b * stride + offset) * (int64_t)element, run);
        }
    return TN_OK;
}

const tn_op tn_ops_gather_nd[] = {
    {.domain = "",
     .name = "GatherND",
     .min_in = 2,
     .max_in = 2,
     .min_out = 1,
     .max_out = 1,
     .infer = gather_nd_infer,
     .prepare = gather_nd_prepare,
     .run = gather_nd_run},
    {0},
};
