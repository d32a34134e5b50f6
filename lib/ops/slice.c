/* Slice: one move with the steps as strides; a view where what is taken lies together. */
#include "ops/data.h"

/* What is taken of one dim: `count` elements from `start` on, `step` apart. */
typedef struct slice_range {
    int64_t start, count, step;
} slice_range;

/* Numpy's rules: negative bounds count from the end, and all are clamped to the dim. */
static slice_range clamp_range(int64_t size, int64_t start, int64_t end, int64_t step) {
    slice_range r = {0, 0, step};
    if (size == 0) return r;
    int64_t low = step < 0 ? -1 : 0, high = step < 0 ? size - 1 : size;
    if (start < 0) start += size;
    if (end < 0) end += size;
    r.start = TN_MIN(TN_MAX(start, step < 0 ? 0 : low), high);
    end = TN_MIN(TN_MAX(end, low), high);
    int64_t span = step < 0 ? r.start - end : end - r.start;
    int64_t pace = step < 0 ? (step == INT64_MIN ? INT64_MAX : -step) : step;
    if (span > 0) r.count = (span - 1) / pace + 1;
    if (r.count <= 1) r.step = 1; /* so that no product of it can overflow */
    return r;
}

/* Inputs 1 to 4 by axis, from whichever of them are known. */
typedef struct slice_bounds {
    bool sliced[TN_MAX_RANK];
    int64_t start[TN_MAX_RANK], end[TN_MAX_RANK], step[TN_MAX_RANK];
} slice_bounds;

static tn_status read_bounds(const tn_tensor *const in[5], int rank, slice_bounds *b) {
    int64_t count = tn_count(in[1]);
    *b = (slice_bounds){0};
    for (int i = 2; i < 5; i++)
        if (in[i] && tn_count(in[i]) != count)
            return tn_fail(TN_E_SHAPE, "input %d has %lld elements; starts has %lld", i, (long long)tn_count(in[i]),
                           (long long)count);
    for (int64_t i = 0; i < count; i++) {
        int axis;
        TN_TRY(tn_infer_axis(NULL, in[3] ? tn_index_at(in[3], i) : i, rank, &axis));
        if (b->sliced[axis]) return tn_fail(TN_E_INVALID, "input 3 holds axis %d twice", axis);
        b->sliced[axis] = true;
        b->start[axis] = tn_index_at(in[1], i);
        b->end[axis] = tn_index_at(in[2], i);
        b->step[axis] = in[4] ? tn_index_at(in[4], i) : 1;
        if (b->step[axis] == 0) return tn_fail(TN_E_INVALID, "input 4 holds a step of 0");
    }
    return TN_OK;
}

static tn_status read_ranges(const tn_tensor *const in[5], int rank, const int64_t *dims, slice_range *ranges) {
    slice_bounds b;
    TN_TRY(read_bounds(in, rank, &b));
    for (int i = 0; i < rank; i++)
        ranges[i] = b.sliced[i] ? clamp_range(dims[i], b.start[i], b.end[i], b.step[i]) : (slice_range){0, dims[i], 1};
    return TN_OK;
}

/* Marks the axes that are sliced when starts, ends or steps are not known. */
static tn_status forget_sliced(const tn_infer *call, int rank, int64_t count, int64_t *dims) {
    const tn_tensor *axes = tn_infer_has(call, 3) ? call->value[3] : NULL;
    for (int i = 0; i < rank; i++)
        if (!axes && (tn_infer_has(call, 3) || count < 0 || i < count)) dims[i] = -1;
    for (int64_t i = 0; axes && i < tn_count(axes); i++) {
        int axis;
        TN_TRY(tn_infer_axis(call, tn_index_at(axes, i), rank, &axis));
        dims[axis] = -1;
    }
    return TN_OK;
}

static tn_status slice_infer(tn_infer *call) {
    const tn_tensor *in[5] = {0};
    int64_t dims[TN_MAX_RANK], count = -1, n = -1;
    bool known = true;
    TN_TRY(tn_infer_tensor(call, 0));
    const tn_type *data = call->in[0];
    for (int i = 1; i < 5; i++) {
        if (i > 2 && !tn_infer_has(call, i)) continue;
        TN_TRY(tn_infer_list(call, i, &n));
        if (n >= 0) count = n;
        in[i] = call->value[i];
        if (!in[i]) known = false;
    }
    if (data->rank < 0) return tn_infer_out(call, 0, data->dtype, -1, NULL);
    if (count > data->rank)
        return tn_infer_fail(call, 0, TN_E_SHAPE, "%lld of its axes are sliced; it has %d", (long long)count,
                             data->rank);
    memcpy(dims, data->dims, sizeof dims);
    if (!known) {
        TN_TRY(forget_sliced(call, data->rank, count, dims));
        return tn_infer_out(call, 0, data->dtype, data->rank, dims);
    }
    slice_bounds b;
    TN_TRY(read_bounds(in, data->rank, &b));
    for (int i = 0; i < data->rank; i++) {
        if (!b.sliced[i]) continue;
        if (dims[i] >= 0) {
            dims[i] = clamp_range(dims[i], b.start[i], b.end[i], b.step[i]).count;
            continue;
        }
        /* A dim that is not known stays what it is where all of it is taken. */
        bool forward = b.step[i] == 1 && b.start[i] == 0 && b.end[i] >= INT32_MAX;
        bool backward = b.step[i] == -1 && b.start[i] == -1 && b.end[i] <= INT32_MIN;
        if (!forward && !backward) dims[i] = -1;
    }
    return tn_infer_out(call, 0, data->dtype, data->rank, dims);
}

static tn_status slice_run(tn_run *call) {
    const tn_tensor *in[5];
    slice_range ranges[TN_MAX_RANK];
    tn_tensor *out = tn_out(call, 0);
    if (!out) return TN_OK;
    for (int i = 0; i < 5; i++) in[i] = tn_in(call, i);
    const tn_tensor *data = in[0];
    TN_TRY(read_ranges(in, data->rank, data->dims, ranges));
    tn_move move = {.bits = tn_dtype_bits(data->dtype), .rank = data->rank};
    int64_t offset = 0;
    for (int i = 0; i < data->rank; i++) {
        TN_TRY(tn_run_check(out, i, ranges[i].count));
        move.dims[i] = ranges[i].count;
        move.dst_strides[i] = out->strides[i];
        move.src_strides[i] = data->strides[i] * ranges[i].step;
        offset += ranges[i].start * data->strides[i];
    }
    tn_move_plan(&move);
    tn_move_run(&move, call->kernels, call->pool, out->data, 0, data->data, offset);
    return TN_OK;
}

static bool slice_view(const tn_prepare *call, int out, int *from, size_t *byte_offset) {
    const tn_type *data = call->in[0];
    const tn_tensor *in[5] = {0};
    slice_range ranges[TN_MAX_RANK];
    int64_t strides[TN_MAX_RANK], offset = 0;
    (void)out;
    for (int i = 1; i < call->in_count; i++) {
        in[i] = call->value[i];
        if (!in[i] && tn_prepare_has(call, i)) return false;
    }
    if (read_ranges(in, data->rank, data->dims, ranges) != TN_OK) return false;
    tn_dense_strides(data->rank, data->dims, strides);
    /* Of the dims outside of the innermost one that is cut, only one element each may be taken. */
    bool cut = false;
    for (int i = data->rank - 1; i >= 0; i--) {
        if (cut && ranges[i].count != 1) return false;
        if (ranges[i].step != 1) return false;
        cut |= ranges[i].count != data->dims[i];
        offset += ranges[i].start * strides[i];
    }
    *from = 0;
    *byte_offset = tn_dtype_bytes(data->dtype, offset);
    return tn_dtype_bits(data->dtype) >= 8;
}

const tn_op tn_ops_slice[] = {
    {.domain = "",
     .name = "Slice",
     .min_in = 3,
     .max_in = 5,
     .min_out = 1,
     .max_out = 1,
     .infer = slice_infer,
     .run = slice_run,
     .view = slice_view},
    {0},
};
