/* Reshape, Flatten, Squeeze, Unsqueeze: other shapes for the same bytes, so all of them are views.
 *
 * Their work is in infer. Symbolic dims survive where products cancel: [batch,3,4] reshaped to [-1,12] is [batch,12].
 */
#include "ops/data.h"

static bool whole_view(const tn_prepare *call, int out, int *in, size_t *byte_offset) {
    (void)call, (void)out;
    *in = 0;
    *byte_offset = 0;
    return true;
}

/* The dim of value -1, from what remains of the input's dims after those of the output are cancelled; -1: unknown. */
static tn_status rest_of_dims(const tn_infer *call, int rank, const int64_t *dims, int hole, int64_t *out_dim) {
    const tn_type *data = call->in[0];
    int64_t in_known = 1, out_known = 1, left[TN_MAX_RANK];
    int unknown = 0;
    bool cancelled = true;
    *out_dim = -1;
    for (int i = 0; i < data->rank; i++) {
        if (data->dims[i] < 0)
            left[unknown++] = data->dims[i];
        else if (__builtin_mul_overflow(in_known, data->dims[i], &in_known))
            return tn_infer_fail(call, 0, TN_E_SHAPE, "it is too large");
    }
    for (int i = 0; i < rank; i++) {
        if (i == hole) continue;
        if (dims[i] >= 0) {
            if (__builtin_mul_overflow(out_known, dims[i], &out_known))
                return tn_fail(TN_E_SHAPE, "the new shape is too large");
            continue;
        }
        /* A negative dim was copied from the input (by a 0), or cannot be known. */
        int at = 0;
        while (at < unknown && left[at] != dims[i]) at++;
        if (at < unknown)
            left[at] = left[--unknown];
        else
            cancelled = false;
    }
    if (!cancelled || unknown > 1 || (unknown == 1 && in_known != out_known)) return TN_OK;
    if (unknown == 1) {
        *out_dim = left[0];
        return TN_OK;
    }
    if (out_known == 0 || in_known % out_known)
        return tn_infer_fail(call, 0, TN_E_SHAPE, "its %lld elements do not divide by %lld for the dimension of -1",
                             (long long)in_known, (long long)out_known);
    *out_dim = in_known / out_known;
    return TN_OK;
}

static tn_status reshape_infer(tn_infer *call) {
    int64_t count = -1, dims[TN_MAX_RANK];
    size_t known;
    TN_TRY(tn_infer_tensor(call, 0));
    TN_TRY(tn_infer_list(call, 1, &count));
    const tn_type *data = call->in[0];
    if (count > TN_MAX_RANK)
        return tn_infer_fail(call, 1, TN_E_SHAPE, "a shape has at most %d dimensions", TN_MAX_RANK);
    for (int i = 0; i < TN_MAX_RANK; i++) dims[i] = -1;
    if (!tn_infer_ints(call, 1, dims, TN_MAX_RANK, &known)) return tn_infer_out(call, 0, data->dtype, (int)count, dims);
    int rank = (int)known, hole = -1;
    bool allow_zero = tn_attr_int(call->node, "allowzero", 0) != 0, zero = false;
    for (int i = 0; i < rank; i++) {
        if (dims[i] == -1 && hole >= 0)
            return tn_infer_fail(call, 1, TN_E_SHAPE, "-1 may stand for one dimension only");
        if (dims[i] < -1)
            return tn_infer_fail(call, 1, TN_E_SHAPE, "%lld is no dimension; expected -1 or more", (long long)dims[i]);
        if (dims[i] == -1) hole = i;
        if (dims[i] == 0 && allow_zero) zero = true;
        if (dims[i] == 0 && !allow_zero) {
            if (data->rank >= 0 && i >= data->rank)
                return tn_infer_fail(call, 0, TN_E_SHAPE, "it has no dimension %d for the 0 in the shape to copy", i);
            dims[i] = data->rank >= 0 ? data->dims[i] : -1;
        }
    }
    if (zero && hole >= 0) return tn_infer_fail(call, 1, TN_E_SHAPE, "with allowzero, 0 and -1 exclude each other");
    if (data->rank >= 0 && hole >= 0) TN_TRY(rest_of_dims(call, rank, dims, hole, &dims[hole]));
    TN_TRY(tn_infer_out(call, 0, data->dtype, rank, dims));
    int64_t in_count = data->rank >= 0 ? tn_dims_count(data->rank, data->dims) : -1,
            out_count = tn_dims_count(rank, dims);
    if (in_count >= 0 && out_count >= 0 && in_count != out_count)
        return tn_infer_fail(call, 0, TN_E_SHAPE, "its %lld elements do not fit into the new shape's %lld",
                             (long long)in_count, (long long)out_count);
    return TN_OK;
}

/* Product of dims that may be unknown; a symbol stays one beside ones. */
static int64_t span(const int64_t *dims, int from, int to) {
    int64_t known = 1, unknown = 0;
    int unknowns = 0;
    for (int i = from; i < to; i++) {
        if (dims[i] == 0) return 0;
        if (dims[i] < 0)
            unknowns++, unknown = dims[i];
        else if (__builtin_mul_overflow(known, dims[i], &known))
            return -1;
    }
    return unknowns == 0 ? known : unknowns == 1 && known == 1 ? unknown : -1;
}

static tn_status flatten_infer(tn_infer *call) {
    TN_TRY(tn_infer_tensor(call, 0));
    const tn_type *data = call->in[0];
    int64_t axis = tn_attr_int(call->node, "axis", 1), dims[2] = {-1, -1};
    if (data->rank >= 0) {
        if (axis < -data->rank || axis > data->rank)
            return tn_infer_fail(call, 0, TN_E_INVALID, "axis %lld is outside of [%d, %d]", (long long)axis,
                                 -data->rank, data->rank);
        if (axis < 0) axis += data->rank;
        dims[0] = span(data->dims, 0, (int)axis);
        dims[1] = span(data->dims, (int)axis, data->rank);
    }
    return tn_infer_out(call, 0, data->dtype, 2, dims);
}

/* Marks the axes of input 1 (known) within `rank` dims; fails on repeated ones. */
static tn_status mark_axes(const tn_infer *call, size_t count, const int64_t *axes, int rank, bool *marked) {
    for (size_t i = 0; i < count; i++) {
        int axis;
        TN_TRY(tn_infer_axis(call, axes[i], rank, &axis));
        if (marked[axis]) return tn_infer_fail(call, 1, TN_E_INVALID, "axis %lld is there twice", (long long)axes[i]);
        marked[axis] = true;
    }
    return TN_OK;
}

static const int64_t unknown_dims[TN_MAX_RANK] = {-1, -1, -1, -1, -1, -1, -1, -1};

static tn_status squeeze_infer(tn_infer *call) {
    TN_TRY(tn_infer_tensor(call, 0));
    const tn_type *data = call->in[0];
    int64_t axes[TN_MAX_RANK], dims[TN_MAX_RANK], count = -1;
    size_t known = 0;
    bool marked[TN_MAX_RANK] = {0}, have = tn_infer_has(call, 1);
    if (have) {
        TN_TRY(tn_infer_list(call, 1, &count));
        if (!tn_infer_ints(call, 1, axes, TN_MAX_RANK, &known) || data->rank < 0) {
            if (count > 0 && data->rank >= 0 && count > data->rank)
                return tn_infer_fail(call, 1, TN_E_SHAPE, "there are only %d dimensions", data->rank);
            int rank = data->rank >= 0 && count >= 0 ? data->rank - (int)count : -1;
            return tn_infer_out(call, 0, data->dtype, rank, unknown_dims);
        }
        TN_TRY(mark_axes(call, known, axes, data->rank, marked));
    }
    int rank = 0;
    for (int i = 0; i < data->rank; i++) {
        if (have && marked[i] && data->dims[i] >= 0 && data->dims[i] != 1)
            return tn_infer_fail(call, 0, TN_E_SHAPE, "axis %d is not of size 1 and cannot be squeezed", i);
        /* Without axes, all dims of size 1 go, and an unknown one may be of size 1. */
        if (!have && data->dims[i] < 0) return tn_infer_out(call, 0, data->dtype, -1, NULL);
        if (have ? !marked[i] : data->dims[i] != 1) dims[rank++] = data->dims[i];
    }
    return tn_infer_out(call, 0, data->dtype, data->rank < 0 ? -1 : rank, dims);
}

static tn_status unsqueeze_infer(tn_infer *call) {
    int64_t axes[TN_MAX_RANK], dims[TN_MAX_RANK], count = -1;
    size_t known = 0;
    bool marked[TN_MAX_RANK] = {0};
    TN_TRY(tn_infer_tensor(call, 0));
    TN_TRY(tn_infer_list(call, 1, &count));
    const tn_type *data = call->in[0];
    if (count > TN_MAX_RANK || (data->rank >= 0 && count > TN_MAX_RANK - data->rank))
        return tn_infer_fail(call, 1, TN_E_SHAPE, "the output would have more than %d dimensions", TN_MAX_RANK);
    int rank = data->rank >= 0 && count >= 0 ? data->rank + (int)count : -1;
    if (rank < 0 || !tn_infer_ints(call, 1, axes, TN_MAX_RANK, &known))
        return tn_infer_out(call, 0, data->dtype, rank, unknown_dims);
    TN_TRY(mark_axes(call, known, axes, rank, marked));
    for (int i = 0, from = 0; i < rank; i++) dims[i] = marked[i] ? 1 : data->dims[from++];
    return tn_infer_out(call, 0, data->dtype, rank, dims);
}

#define VIEW_OP(title, inputs, least, infer_fn)                                                                        \
    {                                                                                                                  \
        .domain = "", .name = title, .min_in = least, .max_in = inputs, .min_out = 1, .max_out = 1,                    \
        .flags = TN_OP_IN_PLACE, .infer = infer_fn, .run = tn_run_same_bytes, .view = whole_view                       \
    }

const tn_op tn_ops_reshape[] = {
    VIEW_OP("Reshape", 2, 2, reshape_infer),
    VIEW_OP("Flatten", 1, 1, flatten_infer),
    VIEW_OP("Squeeze", 2, 1, squeeze_infer),
    VIEW_OP("Unsqueeze", 2, 2, unsqueeze_infer),
    {0},
};
