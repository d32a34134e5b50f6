/* Tile, Trilu, CenterCropPad: other extents of the same elements. */
#include "ops/data.h"

/* ---- Tile ---- */

static tn_status infer_tile(tn_infer *call) {
    int64_t count = -1, repeats[TN_MAX_RANK], dims[TN_MAX_RANK];
    size_t known;
    TN_TRY(tn_infer_tensor(call, 0));
    TN_TRY(tn_infer_list(call, 1, &count));
    const tn_type *x = call->in[0];
    if (x->dtype && tn_dtype_bits(x->dtype) < 8)
        return tn_infer_fail(call, 0, TN_E_TYPE, "expected elements of whole bytes");
    bool contents = tn_infer_ints(call, 1, repeats, TN_MAX_RANK, &known);
    if (contents) count = (int64_t)known;
    if (x->rank >= 0 && count >= 0 && count != x->rank)
        return tn_infer_fail(call, 1, TN_E_SHAPE, "expected %d repeats, one an axis of the input", x->rank);
    for (int i = 0; i < x->rank; i++) {
        dims[i] = !contents ? -1 : repeats[i] == 1 ? x->dims[i] : x->dims[i] < 0 ? -1 : 0;
        if (!contents) continue;
        if (repeats[i] < 0)
            return tn_infer_fail(call, 1, TN_E_INVALID, "its element %d is %lld; expected 0 or more", i,
                                 (long long)repeats[i]);
        if (x->dims[i] >= 0 && __builtin_mul_overflow(x->dims[i], repeats[i], &dims[i]))
            return tn_infer_fail(call, 1, TN_E_SHAPE, "its element %d is too large", i);
    }
    return tn_infer_out(call, 0, x->dtype, x->rank, dims);
}

/* Fills what one element of `axis` - 1 gives from `x`; returns how many bytes that was. */
static size_t tile(const tn_tensor *x, const tn_tensor *y, int axis, size_t size, char *to, const char **from) {
    size_t done = 0;
    if (axis == x->rank - 1) {
        done = (size_t)x->dims[axis] * size;
        memcpy(to, *from, done);
        *from += done;
    } else {
        for (int64_t i = 0; i < x->dims[axis]; i++) done += tile(x, y, axis + 1, size, to + done, from);
    }
    size_t all = done / (size_t)x->dims[axis] * (size_t)y->dims[axis];
    for (size_t n; done < all; done += n) {
        n = TN_MIN(done, all - done);
        memcpy(to + done, to, n);
    }
    return all;
}

static tn_status run_tile(tn_run *call) {
    const tn_tensor *x = tn_in(call, 0), *repeats = tn_in(call, 1);
    tn_tensor *y = tn_out(call, 0);
    if (!y) return TN_OK;
    for (int i = 0; i < x->rank; i++) {
        int64_t want;
        if (__builtin_mul_overflow(x->dims[i], tn_index_at(repeats, i), &want)) want = -1;
        TN_TRY(tn_run_check(y, i, want));
    }
    const char *from = x->data;
    size_t size = tn_dtype_bits(x->dtype) / 8;
    if (x->rank == 0)
        memcpy(y->data, x->data, size);
    else if (tn_count(y))
        tile(x, y, 0, size, y->data, &from);
    return TN_OK;
}

/* ---- Trilu ---- */

static tn_status infer_trilu(tn_infer *call) {
    TN_TRY(tn_infer_tensor(call, 0));
    const tn_type *x = call->in[0];
    if (x->dtype && tn_dtype_bits(x->dtype) < 8)
        return tn_infer_fail(call, 0, TN_E_TYPE, "expected elements of whole bytes");
    if (x->rank >= 0 && x->rank < 2) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected two dimensions at least");
    if (tn_infer_has(call, 1)) {
        TN_TRY(tn_infer_dtype(call, 1, (const tn_dtype[]){TN_INT64, TN_UNDEFINED}));
        const tn_type *k = call->in[1];
        if (k->rank > 1 || (k->rank == 1 && k->dims[0] >= 0 && k->dims[0] != 1))
            return tn_infer_fail(call, 1, TN_E_SHAPE, "expected a scalar");
    }
    return tn_infer_same(call, 0, 0);
}

static tn_status prepare_trilu(tn_prepare *call) {
    bool *upper = tn_prepare_alloc(call, sizeof *upper);
    if (!upper) return TN_E_MEMORY;
    *upper = tn_attr_int(call->node, "upper", 1) != 0;
    call->state = upper;
    return TN_OK;
}

static tn_status run_trilu(tn_run *call) {
    const tn_tensor *x = tn_in(call, 0), *diagonal = tn_in(call, 1);
    tn_tensor *y = tn_out(call, 0);
    bool upper = *(const bool *)call->state;
    if (!y || tn_count(x) == 0) return TN_OK;
    size_t size = tn_dtype_bits(x->dtype) / 8;
    int64_t k = diagonal ? *(const int64_t *)diagonal->data : 0, columns = x->dims[x->rank - 1];
    int64_t rows = x->dims[x->rank - 2], all = tn_count(x) / columns;
    k = TN_MAX(TN_MIN(k, columns), -rows);
    for (int64_t i = 0; i < all; i++) {
        /* Upper keeps columns from row + k on, lower those up to row + k. */
        int64_t cut = TN_MAX(TN_MIN(i % rows + k + !upper, columns), 0);
        size_t left = (size_t)cut * size, right = (size_t)(columns - cut) * size;
        const char *from = (const char *)x->data + (size_t)i * (left + right);
        char *to = (char *)y->data + (size_t)i * (left + right);
        if (upper) {
            memset(to, 0, left);
            memmove(to + left, from + left, right);
        } else {
            memmove(to, from, left);
            memset(to + left, 0, right);
        }
    }
    return TN_OK;
}

/* ---- CenterCropPad ---- */

/* Which axes change: bit mask and, for the i-th element of the shape input, order[i]; fails on bad ones. */
static tn_status read_axes(const tn_node *node, int rank, int *order, int *out_count) {
    size_t given;
    const int64_t *axes = tn_attr_ints(node, "axes", &given);
    unsigned seen = 0;
    *out_count = axes ? (int)TN_MIN(given, (size_t)TN_MAX_RANK + 1) : rank;
    if (*out_count > rank)
        return tn_fail(TN_E_INVALID, "attribute axes has %zu values; the input has rank %d", given, rank);
    for (int i = 0; i < *out_count; i++) {
        TN_TRY(tn_infer_axis(NULL, axes ? axes[i] : i, rank, &order[i]));
        if (seen >> order[i] & 1) return tn_fail(TN_E_INVALID, "attribute axes names axis %d twice", order[i]);
        seen |= 1u << order[i];
    }
    return TN_OK;
}

static tn_status infer_crop(tn_infer *call) {
    int64_t count = -1, shape[TN_MAX_RANK], dims[TN_MAX_RANK];
    size_t known;
    int order[TN_MAX_RANK], axes;
    TN_TRY(tn_infer_tensor(call, 0));
    TN_TRY(tn_infer_list(call, 1, &count));
    const tn_type *x = call->in[0];
    if (x->rank < 0) return tn_infer_out(call, 0, x->dtype, -1, NULL);
    TN_TRY(read_axes(call->node, x->rank, order, &axes));
    if (count >= 0 && count != axes) return tn_infer_fail(call, 1, TN_E_SHAPE, "expected %d sizes, one an axis", axes);
    bool contents = tn_infer_ints(call, 1, shape, TN_MAX_RANK, &known);
    memcpy(dims, x->dims, sizeof dims);
    for (int i = 0; i < axes; i++) {
        if (contents && shape[i] < 0)
            return tn_infer_fail(call, 1, TN_E_INVALID, "its element %d is %lld; expected 0 or more", i,
                                 (long long)shape[i]);
        dims[order[i]] = contents ? shape[i] : -1;
    }
    return tn_infer_out(call, 0, x->dtype, x->rank, dims);
}

typedef struct {
    tn_move move;
    int64_t from, to; /* the first elements to read and to write */
    int order[TN_MAX_RANK], axes;
} crop_state;

static tn_status prepare_crop(tn_prepare *call) {
    crop_state *s = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    const tn_type *x = call->in[0], *y = call->out;
    call->state = s;
    TN_TRY(read_axes(call->node, x->rank, s->order, &s->axes));
    s->move.bits = tn_dtype_bits(x->dtype);
    s->move.rank = x->rank;
    tn_dense_strides(x->rank, x->dims, s->move.src_strides);
    tn_dense_strides(x->rank, y->dims, s->move.dst_strides);
    for (int i = 0; i < x->rank; i++) {
        s->move.dims[i] = TN_MIN(x->dims[i], y->dims[i]);
        s->from += (x->dims[i] - s->move.dims[i]) / 2 * s->move.src_strides[i];
        s->to += (y->dims[i] - s->move.dims[i]) / 2 * s->move.dst_strides[i];
    }
    tn_move_plan(&s->move);
    return TN_OK;
}

static tn_status run_crop(tn_run *call) {
    const crop_state *s = call->state;
    const tn_tensor *x = tn_in(call, 0), *shape = tn_in(call, 1);
    tn_tensor *y = tn_out(call, 0);
    if (!y) return TN_OK;
    for (int i = 0; i < s->axes; i++) TN_TRY(tn_run_check(y, s->order[i], tn_index_at(shape, i)));
    memset(y->data, 0, tn_dtype_bytes(y->dtype, tn_count(y)));
    tn_move_run(&s->move, call->kernels, call->pool, y->data, s->to, x->data, s->from);
    return TN_OK;
}

const tn_op tn_ops_tile[] = {
    {.domain = "",
     .name = "Tile",
     .min_in = 2,
     .max_in = 2,
     .min_out = 1,
     .max_out = 1,
     .infer = infer_tile,
     .run = run_tile},
    {.domain = "",
     .name = "Trilu",
     .min_in = 1,
     .max_in = 2,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_IN_PLACE,
     .infer = infer_trilu,
     .prepare = prepare_trilu,
     .run = run_trilu},
    {.domain = "",
     .name = "CenterCropPad",
     .min_in = 2,
     .max_in = 2,
     .min_out = 1,
     .max_out = 1,
     .infer = infer_crop,
     .prepare = prepare_crop,
     .run = run_crop},
    {0},
};
