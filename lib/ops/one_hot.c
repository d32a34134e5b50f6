/* OneHot: a new axis of `depth` elements, one of which is `on`. An index out of [-depth, depth) turns none on. */
#include "base/element.h"
#include "ops/data.h"
#include "ops/fill.h"

/* The axis among the output's rank + 1, or a failure. */
static tn_status read_axis(const tn_infer *call, const tn_node *node, int rank, int *out_axis) {
    return tn_infer_axis(call, tn_attr_int(node, "axis", -1), rank + 1, out_axis);
}

static tn_status infer_one_hot(tn_infer *call) {
    TN_TRY(tn_infer_dtype(call, 0, TN_NUMBERS));
    TN_TRY(tn_infer_dtype(call, 1, TN_NUMBERS));
    TN_TRY(tn_infer_tensor(call, 2));
    const tn_type *indices = call->in[0], *depth = call->in[1], *values = call->in[2];
    int64_t dims[TN_MAX_RANK + 1], size = -1;
    int axis;
    if (values->dtype && tn_dtype_bits(values->dtype) < 8)
        return tn_infer_fail(call, 2, TN_E_TYPE, "expected elements of whole bytes");
    if ((values->rank >= 0 && values->rank != 1) || (values->rank == 1 && values->dims[0] >= 0 && values->dims[0] != 2))
        return tn_infer_fail(call, 2, TN_E_SHAPE, "expected two values, off and on");
    if (depth->rank > 1 || (depth->rank == 1 && depth->dims[0] >= 0 && depth->dims[0] != 1))
        return tn_infer_fail(call, 1, TN_E_SHAPE, "expected a scalar");
    if (call->value[1]) {
        size = tn_get_int(depth->dtype, call->value[1]->data, 0);
        if (size < 0) return tn_infer_fail(call, 1, TN_E_INVALID, "the depth is %lld", (long long)size);
    }
    if (indices->rank < 0) return tn_infer_out(call, 0, values->dtype, -1, NULL);
    TN_TRY(read_axis(call, call->node, indices->rank, &axis));
    for (int i = 0; i < indices->rank; i++) dims[i < axis ? i : i + 1] = indices->dims[i];
    dims[axis] = size;
    return tn_infer_out(call, 0, values->dtype, indices->rank + 1, dims);
}

typedef struct {
    int axis;
    int64_t inner; /* elements behind the axis */
} one_hot_state;

static tn_status prepare_one_hot(tn_prepare *call) {
    one_hot_state *s = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    const tn_type *indices = call->in[0];
    call->state = s;
    TN_TRY(read_axis(NULL, call->node, indices->rank, &s->axis));
    s->inner = tn_dims_span(indices->dims, s->axis, indices->rank);
    return TN_OK;
}

static tn_status run_one_hot(tn_run *call) {
    const one_hot_state *s = call->state;
    const tn_tensor *indices = tn_in(call, 0), *depth = tn_in(call, 1), *values = tn_in(call, 2);
    tn_tensor *y = tn_out(call, 0);
    if (!y) return TN_OK;
    size_t size = tn_dtype_bits(y->dtype) / 8;
    int64_t classes = tn_get_int(depth->dtype, depth->data, 0);
    TN_TRY(tn_run_check(y, s->axis, classes));
    const char *off = values->data, *on = off + size;
    tn_fill(y->data, off, size, tn_count(y));
    for (int64_t i = 0, n = tn_count(indices); i < n && classes > 0; i++) {
        int64_t index = tn_get_int(indices->dtype, indices->data, i);
        if (index < -classes || index >= classes) continue;
        if (index < 0) index += classes;
        int64_t at = (i / s->inner * classes + index) * s->inner + i % s->inner;
        memcpy((char *)y->data + (size_t)at * size, on, size);
    }
    return TN_OK;
}

const tn_op tn_ops_one_hot[] = {
    {.domain = "",
     .name = "OneHot",
     .min_in = 3,
     .max_in = 3,
     .min_out = 1,
     .max_out = 1,
     .infer = infer_one_hot,
     .prepare = prepare_one_hot,
     .run = run_one_hot},
    {0},
};
