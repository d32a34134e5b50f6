/* Shape, Size: what a shape is, as int64; evaluated while planning wherever the shape is known. */
#include "ops/data.h"

/* [start, end) of the dims that Shape gives; both attributes count from the end if negative, and are clamped. */
static void read_range(const tn_node *node, int rank, int *out_start, int *out_end) {
    int64_t start = tn_attr_int(node, "start", 0), end = tn_attr_int(node, "end", rank);
    if (start < 0) start = TN_MAX(start, -rank) + rank;
    if (end < 0) end = TN_MAX(end, -rank) + rank;
    *out_end = (int)TN_MIN(end, rank);
    *out_start = (int)TN_MIN(start, *out_end);
}

static tn_status infer_shape(tn_infer *call) {
    TN_TRY(tn_infer_tensor(call, 0));
    if (call->in[0]->rank < 0) return tn_infer_out(call, 0, TN_INT64, 1, (int64_t[]){-1});
    int start, end;
    read_range(call->node, call->in[0]->rank, &start, &end);
    return tn_infer_out(call, 0, TN_INT64, 1, (int64_t[]){end - start});
}

static tn_status prepare_shape(tn_prepare *call) {
    int *range = tn_prepare_alloc(call, 2 * sizeof *range);
    if (!range) return TN_E_MEMORY;
    read_range(call->node, call->in[0]->rank, &range[0], &range[1]);
    call->state = range;
    return TN_OK;
}

static tn_status run_shape(tn_run *call) {
    const tn_tensor *x = tn_in(call, 0);
    tn_tensor *y = tn_out(call, 0);
    const int *range = call->state, start = range[0], end = range[1];
    if (!y) return TN_OK;
    TN_TRY(tn_run_check(y, 0, end - start));
    for (int i = start; i < end; i++) ((int64_t *)y->data)[i - start] = x->dims[i];
    return TN_OK;
}

static tn_status infer_size(tn_infer *call) {
    TN_TRY(tn_infer_tensor(call, 0));
    return tn_infer_out(call, 0, TN_INT64, 0, NULL);
}

static tn_status run_size(tn_run *call) {
    tn_tensor *y = tn_out(call, 0);
    if (y) *(int64_t *)y->data = tn_count(tn_in(call, 0));
    return TN_OK;
}

const tn_op tn_ops_shape[] = {
    {.domain = "",
     .name = "Shape",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_SHAPE,
     .infer = infer_shape,
     .prepare = prepare_shape,
     .run = run_shape},
    {.domain = "",
     .name = "Size",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_SHAPE,
     .infer = infer_size,
     .run = run_size},
    {0},
};
