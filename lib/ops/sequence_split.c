/* SplitToSequence and ConcatFromSequence: between one tensor and a sequence of its pieces.
 *
 * A piece is a strided view of the tensor, which the sequence copies; joining copies each element to its place. */
#include "ops/strings.h"

typedef struct state {
    int64_t axis;
    bool keep, fresh; /* keepdims, new_axis */
} state;

static tn_status prepare(tn_prepare *call) {
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    s->axis = tn_attr_int(call->node, "axis", 0);
    s->keep = tn_attr_int(call->node, "keepdims", 1);
    s->fresh = tn_attr_int(call->node, "new_axis", 0);
    return TN_OK;
}

static const tn_dtype integers[] = {TN_INT32, TN_INT64, TN_UNDEFINED};

static tn_status split_infer(tn_infer *call) {
    const tn_type *in = call->in[0];
    if (in->kind != TN_KIND_UNKNOWN && in->kind != TN_KIND_TENSOR)
        return tn_infer_fail(call, 0, TN_E_TYPE, "expected a tensor");
    if (in->dtype && tn_dtype_bits(in->dtype) < 8)
        return tn_infer_fail(call, 0, TN_E_TYPE, "expected elements of whole bytes");
    bool has_split = tn_infer_has(call, 1);
    if (has_split) {
        TN_TRY(tn_infer_dtype(call, 1, integers));
        if (call->in[1]->rank > 1) return tn_infer_fail(call, 1, TN_E_SHAPE, "expected a scalar or a list of lengths");
    }
    tn_type *out = &call->out[0];
    *out = *in;
    out->kind = TN_KIND_SEQUENCE;
    out->optional = false;
    if (in->rank < 0) return TN_OK;
    int axis;
    TN_TRY(tn_infer_axis(call, tn_attr_int(call->node, "axis", 0), in->rank, &axis));
    if (!has_split && !tn_attr_int(call->node, "keepdims", 1)) {
        for (int i = axis; i + 1 < in->rank; i++) out->dims[i] = in->dims[i + 1];
        out->dims[--out->rank] = -1;
    } else {
        out->dims[axis] = has_split ? -1 : 1;
    }
    return TN_OK;
}

static int64_t int_at(const tn_tensor *t, int64_t i) {
    return t->dtype == TN_INT32 ? ((const int32_t *)t->data)[i] : ((const int64_t *)t->data)[i];
}

static tn_status split_run(tn_run *call) {
    const tn_tensor *in = tn_in(call, 0), *split = tn_in(call, 1);
    tn_sequence *out = tn_run_sequence(call, 0);
    if (!out) return TN_E_MEMORY;
    tn_sequence_set_dtype(out, in->dtype);
    const state *s = call->state;
    int axis = (int)(s->axis < 0 ? s->axis + in->rank : s->axis);
    bool keep = split || s->keep;
    bool list = split && split->rank == 1;
    int64_t size = in->dims[axis], chunk = 1, done = 0, pieces;
    if (split && !list) chunk = int_at(split, 0);
    if (chunk <= 0) return tn_fail(TN_E_INVALID, "split is %lld; pieces must have a length above 0", (long long)chunk);
    pieces = list ? tn_count(split) : size / chunk + (size % chunk != 0);
    for (int64_t i = 0; i < pieces; i++) {
        int64_t length = list ? int_at(split, i) : TN_MIN(chunk, size - done);
        if (length < 0 || length > size - done)
            return tn_fail(TN_E_INVALID, "split[%lld] is %lld; %lld of %lld along axis %d are left", (long long)i,
                           (long long)length, (long long)(size - done), (long long)size, axis);
        tn_tensor piece = *in;
        piece.data = (char *)in->data + (size_t)(done * in->strides[axis]) * (tn_dtype_bits(in->dtype) / 8);
        piece.dims[axis] = length;
        if (!keep) {
            piece.rank--;
            for (int k = axis; k < piece.rank; k++) {
                piece.dims[k] = in->dims[k + 1];
                piece.strides[k] = in->strides[k + 1];
            }
        }
        TN_TRY(tn_sequence_insert(out, i, &piece));
        done += length;
    }
    if (done != size)
        return tn_fail(TN_E_INVALID, "split adds up to %lld; axis %d has %lld", (long long)done, axis, (long long)size);
    return TN_OK;
}

static tn_status concat_infer(tn_infer *call) {
    const tn_type *in = call->in[0];
    if (in->kind != TN_KIND_UNKNOWN && in->kind != TN_KIND_SEQUENCE)
        return tn_infer_fail(call, 0, TN_E_TYPE, "expected a sequence");
    const tn_attr *attr = tn_node_attr(call->node, "axis");
    if (!attr || attr->kind != TN_ATTR_INT) return tn_fail(TN_E_FORMAT, "attribute axis is missing");
    int64_t fresh = tn_attr_int(call->node, "new_axis", 0), dims[TN_MAX_RANK];
    if (fresh != 0 && fresh != 1)
        return tn_fail(TN_E_INVALID, "attribute new_axis is %lld, not 0 or 1", (long long)fresh);
    if (in->rank < 0) return tn_infer_out(call, 0, in->dtype, -1, NULL);
    int rank = in->rank + (int)fresh, axis;
    TN_TRY(tn_infer_axis(call, attr->i, rank, &axis));
    if (rank > TN_MAX_RANK) return tn_infer_fail(call, 0, TN_E_SHAPE, "stacked it would have rank %d", rank);
    for (int i = 0; i < rank; i++) dims[i] = i == axis ? -1 : in->dims[fresh && i > axis ? i - 1 : i];
    return tn_infer_out(call, 0, in->dtype, rank, dims);
}

/* The dims that element t takes in the result. */
static void dims_in_result(const tn_tensor *t, int rank, int axis, int64_t *dims) {
    bool fresh = rank > t->rank;
    for (int i = 0; i < rank; i++) dims[i] = fresh && i == axis ? 1 : t->dims[fresh && i > axis ? i - 1 : i];
}

static tn_status concat_run(tn_run *call) {
    const tn_sequence *in = call->in[0] && call->in[0]->present ? call->in[0]->sequence : NULL;
    int64_t count = in ? tn_sequence_count(in) : 0, dims[TN_MAX_RANK], total = 0;
    if (!count) return tn_fail(TN_E_INVALID, "the sequence is empty; its elements' shape is not known");
    const tn_tensor *first = tn_sequence_at(in, 0);
    const state *s = call->state;
    bool fresh = s->fresh;
    int rank = first->rank + fresh;
    if (s->axis < -rank || s->axis >= rank || rank > TN_MAX_RANK)
        return tn_fail(TN_E_INVALID, "axis %lld is outside of the result's rank %d", (long long)s->axis, rank);
    int axis = (int)(s->axis < 0 ? s->axis + rank : s->axis);
    for (int64_t i = 0; i < count; i++) {
        const tn_tensor *t = tn_sequence_at(in, i);
        for (int k = 0; k < first->rank || t->rank != first->rank; k++)
            if (t->rank != first->rank || (t->dims[k] != first->dims[k] && (fresh || k != axis)))
                return tn_fail(TN_E_SHAPE, "element %lld does not have the shape of element 0 (outside of axis %d)",
                               (long long)i, axis);
        if (__builtin_add_overflow(total, fresh ? 1 : t->dims[axis], &total))
            return tn_fail(TN_E_SHAPE, "the elements are too long together");
    }
    dims_in_result(first, rank, axis, dims);
    dims[axis] = total;
    TN_TRY(tn_run_output(call, 0, first->dtype, rank, dims));
    tn_tensor *out = tn_out(call, 0);
    if (!out) return TN_OK;
    size_t element = tn_dtype_bits(out->dtype) / 8;
    char *to = out->data;
    for (int64_t i = 0; i < count; i++) {
        const tn_tensor *t = tn_sequence_at(in, i);
        tn_tensor piece;
        dims_in_result(t, rank, axis, dims);
        TN_TRY(tn_tensor_set_dense(&piece, t->dtype, rank, dims, t->data));
        tn_copy_strided(rank, dims, element, to, out->strides, t->data, piece.strides);
        to += (size_t)(dims[axis] * out->strides[axis]) * element;
    }
    return tn_keep_strings(call, out); /* the sequence may be gone before the result is */
}

const tn_op tn_ops_sequence_split[] = {
    {.domain = "",
     .name = "SplitToSequence",
     .min_in = 1,
     .max_in = 2,
     .min_out = 1,
     .max_out = 1,
     .infer = split_infer,
     .prepare = prepare,
     .run = split_run},
    {.domain = "",
     .name = "ConcatFromSequence",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .infer = concat_infer,
     .prepare = prepare,
     .run = concat_run},
    {0},
};
