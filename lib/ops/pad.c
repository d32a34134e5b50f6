/* Pad: the kept part of the data is moved to its place, then each axis' borders are filled.
 *
 * Constant borders are moves from one element that is read again and again. The other modes copy positions of the
 * output itself, the innermost axis first: what an outer axis copies has its inner borders already. Negative pads cut. */
#include "ops/data.h"

typedef enum pad_mode { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP } pad_mode;

static tn_status get_mode(const tn_node *node, pad_mode *out) {
    static const char *const names[] = {"constant", "reflect", "edge", "wrap"};
    const char *name = tn_attr_text(node, "mode", "constant");
    for (size_t i = 0; i < TN_COUNT(names); i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (pad_mode)i;
            return TN_OK;
        }
    return tn_fail(TN_E_INVALID, "mode is '%s'; expected constant, reflect, edge or wrap", name);
}

typedef struct pad_amounts {
    int64_t before[TN_MAX_RANK], after[TN_MAX_RANK];
} pad_amounts;

static tn_status read_pads(const tn_tensor *pads, const tn_tensor *axes, int rank, pad_amounts *p) {
    int64_t count = axes ? tn_count(axes) : rank;
    bool seen[TN_MAX_RANK] = {0};
    *p = (pad_amounts){0};
    if (tn_count(pads) != 2 * count)
        return tn_fail(TN_E_SHAPE, "input 1 has %lld pads; expected two for each of %lld axes",
                       (long long)tn_count(pads), (long long)count);
    for (int64_t i = 0; i < count; i++) {
        int axis;
        TN_TRY(tn_infer_axis(NULL, axes ? tn_index_at(axes, i) : i, rank, &axis));
        if (seen[axis]) return tn_fail(TN_E_INVALID, "input 3 holds axis %d twice", axis);
        seen[axis] = true;
        p->before[axis] = tn_index_at(pads, i);
        p->after[axis] = tn_index_at(pads, count + i);
    }
    return TN_OK;
}

/* The padded size of an axis; fails where nothing is left to cut, or to copy from. */
static tn_status padded(int axis, int64_t size, int64_t before, int64_t after, pad_mode mode, int64_t *out) {
    int64_t kept = size;
    bool fits = !__builtin_add_overflow(kept, TN_MIN(before, 0), &kept) &&
                !__builtin_add_overflow(kept, TN_MIN(after, 0), &kept) && kept >= 0;
    if (!fits || __builtin_add_overflow(size, before, out) || __builtin_add_overflow(*out, after, out))
        return tn_fail(TN_E_SHAPE, "pads of %lld and %lld do not fit axis %d of size %lld", (long long)before,
                       (long long)after, axis, (long long)size);
    if (mode != PAD_CONSTANT && kept == 0 && *out > 0)
        return tn_fail(TN_E_SHAPE, "axis %d has no elements to pad from", axis);
    return TN_OK;
}

static tn_status pad_infer(tn_infer *call) {
    pad_mode mode;
    pad_amounts p;
    int64_t dims[TN_MAX_RANK], count = -1;
    TN_TRY(tn_infer_tensor(call, 0));
    TN_TRY(tn_infer_list(call, 1, &count));
    TN_TRY(get_mode(call->node, &mode));
    const tn_type *data = call->in[0];
    if (tn_infer_has(call, 2)) {
        TN_TRY(tn_infer_tensor(call, 2));
        TN_TRY(tn_infer_equal_dtype(call, 0, 2));
        if (call->in[2]->rank > 1 || (call->in[2]->rank == 1 && !tn_dim_fits(call->in[2]->dims[0], 1)))
            return tn_infer_fail(call, 2, TN_E_SHAPE, "expected one element");
    }
    const tn_tensor *axes = NULL;
    bool known = call->value[1];
    if (tn_infer_has(call, 3)) {
        TN_TRY(tn_infer_list(call, 3, &count));
        axes = call->value[3];
        known &= axes != NULL;
    }
    if (data->rank < 0) return tn_infer_out(call, 0, data->dtype, -1, NULL);
    memcpy(dims, data->dims, sizeof dims);
    if (known) TN_TRY(read_pads(call->value[1], axes, data->rank, &p));
    for (int i = 0; i < data->rank; i++) {
        if (!known || (dims[i] < 0 && (p.before[i] || p.after[i])))
            dims[i] = -1;
        else if (dims[i] >= 0)
            TN_TRY(padded(i, data->dims[i], p.before[i], p.after[i], mode, &dims[i]));
    }
    return tn_infer_out(call, 0, data->dtype, data->rank, dims);
}

static tn_status pad_prepare(tn_prepare *call) {
    pad_mode *mode = tn_prepare_alloc(call, sizeof *mode);
    if (!mode) return TN_E_MEMORY;
    call->state = mode;
    return get_mode(call->node, mode);
}

/* Where position i of `size` kept ones comes from, i < 0 or i >= size. */
static int64_t source(pad_mode mode, int64_t i, int64_t size) {
    if (mode == PAD_EDGE) return i < 0 ? 0 : size - 1;
    int64_t period = mode == PAD_WRAP ? size : TN_MAX(1, 2 * (size - 1));
    i %= period;
    if (i < 0) i += period;
    return i < size ? i : period - i;
}

/* A box of the output: the kept part along axes before `axis`, all of it along those after. */
typedef struct pad_box {
    const tn_run *call;
    tn_tensor *out;
    const int64_t *start, *kept; /* of each axis, in the output */
    int axis;
} pad_box;

/* Fills `count` positions of the box's axis from `at` on, from the output's positions `from`, from + step... or from one
 * element. */
static void fill(const pad_box *b, int64_t at, int64_t count, int64_t from, int64_t step, const void *element) {
    const tn_tensor *out = b->out;
    tn_move m = {.bits = tn_dtype_bits(out->dtype), .rank = out->rank};
    int64_t to = at * out->strides[b->axis], offset = from * out->strides[b->axis];
    for (int i = 0; i < out->rank; i++) {
        m.dims[i] = i < b->axis ? b->kept[i] : i > b->axis ? out->dims[i] : count;
        m.dst_strides[i] = out->strides[i];
        m.src_strides[i] = element ? 0 : out->strides[i] * (i == b->axis ? step : 1);
        if (i < b->axis) to += b->start[i] * out->strides[i], offset += b->start[i] * out->strides[i];
    }
    tn_move_plan(&m);
    tn_move_run(&m, b->call->kernels, b->call->pool, out->data, to, element ? element : out->data,
                element ? 0 : offset);
}

/* Positions [at, end) of the axis, all of them before or after the kept ones: those whose sources go up or down together
 * are one move. */
static void fill_mirrored(const pad_box *b, pad_mode mode, int64_t at, int64_t end) {
    int64_t first = b->start[b->axis], kept = b->kept[b->axis];
    while (at < end) {
        int64_t from = source(mode, at - first, kept), count = 1, step = 0;
        if (at + 1 < end) step = source(mode, at + 1 - first, kept) - from;
        if (step != 1 && step != -1) step = 0; /* a period's end, or one element to mirror */
        while (step && at + count < end && source(mode, at + count - first, kept) == from + count * step) count++;
        fill(b, at, count, first + from, step, NULL);
        at += count;
    }
}

static tn_status pad_run(tn_run *call) {
    const tn_tensor *data = tn_in(call, 0), *value = tn_in(call, 2);
    tn_tensor *out = tn_out(call, 0);
    const pad_mode mode = *(const pad_mode *)call->state;
    static const char zeros[16];
    const tn_string empty = {"", 0};
    const void *element = value ? value->data : data->dtype == TN_STRING ? (const void *)&empty : zeros;
    pad_amounts p;
    int64_t start[TN_MAX_RANK], kept[TN_MAX_RANK], size, from = 0, to = 0;
    if (!out) return TN_OK;
    TN_TRY(read_pads(tn_in(call, 1), tn_in(call, 3), data->rank, &p));
    tn_move m = {.bits = tn_dtype_bits(data->dtype), .rank = data->rank};
    for (int i = 0; i < data->rank; i++) {
        TN_TRY(padded(i, data->dims[i], p.before[i], p.after[i], mode, &size));
        TN_TRY(tn_run_check(out, i, size));
        start[i] = TN_MAX(p.before[i], 0);
        kept[i] = data->dims[i] + TN_MIN(p.before[i], 0) + TN_MIN(p.after[i], 0);
        m.dims[i] = kept[i];
        m.src_strides[i] = data->strides[i];
        m.dst_strides[i] = out->strides[i];
        from += TN_MAX(-p.before[i], 0) * data->strides[i];
        to += start[i] * out->strides[i];
    }
    if (tn_count(out) == 0) return TN_OK;
    tn_move_plan(&m);
    tn_move_run(&m, call->kernels, call->pool, out->data, to, data->data, from);
    for (int axis = data->rank - 1; axis >= 0; axis--) {
        const pad_box box = {call, out, start, kept, axis};
        int64_t first = start[axis], end = first + kept[axis];
        if (mode == PAD_CONSTANT || mode == PAD_EDGE) {
            const void *border = mode == PAD_CONSTANT ? element : NULL;
            fill(&box, 0, first, first, 0, border);
            fill(&box, end, out->dims[axis] - end, end - 1, 0, border);
        } else {
            fill_mirrored(&box, mode, 0, first);
            fill_mirrored(&box, mode, end, out->dims[axis]);
        }
    }
    return TN_OK;
}

const tn_op tn_ops_pad[] = {
    {.domain = "",
     .name = "Pad",
     .min_in = 2,
     .max_in = 4,
     .min_out = 1,
     .max_out = 1,
     .infer = pad_infer,
     .prepare = pad_prepare,
     .run = pad_run},
    {0},
};
