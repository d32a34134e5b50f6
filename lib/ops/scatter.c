/* ScatterElements and ScatterND: a copy of the data with some elements replaced, or combined with the updates.
 *
 * Updates are applied in their order, on one thread: the same place may be hit more than once. */
#include "base/half.h"
#include "ops/index_tuple.h"

typedef enum reduction { REDUCE_NONE, REDUCE_ADD, REDUCE_MUL, REDUCE_MIN, REDUCE_MAX } reduction;

static tn_status get_reduction(const tn_node *node, reduction *out) {
    static const char *const names[] = {"none", "add", "mul", "min", "max"};
    const char *name = tn_attr_text(node, "reduction", "none");
    for (size_t i = 0; i < TN_COUNT(names); i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (reduction)i;
            return TN_OK;
        }
    return tn_fail(TN_E_INVALID, "reduction is '%s'; expected none, add, mul, min or max", name);
}

/* X(dtype, C type, type to add and multiply in, load, store). Integers wrap around; NaN wins in min and max. */
#define SAME(x) (x)
#define TYPES(X)                                                                                                       \
    X(TN_FLOAT32, float, float, SAME, SAME)                                                                            \
    X(TN_FLOAT64, double, double, SAME, SAME)                                                                          \
    X(TN_FLOAT16, uint16_t, float, tn_half_to_float, tn_float_to_half)                                                 \
    X(TN_BFLOAT16, uint16_t, float, tn_bfloat_to_float, tn_float_to_bfloat)                                            \
    X(TN_INT8, int8_t, int32_t, SAME, SAME)                                                                            \
    X(TN_INT16, int16_t, int32_t, SAME, SAME)                                                                          \
    X(TN_UINT8, uint8_t, uint32_t, SAME, SAME)                                                                         \
    X(TN_UINT16, uint16_t, uint32_t, SAME, SAME)                                                                       \
    X(TN_UINT32, uint32_t, uint32_t, SAME, SAME)                                                                       \
    X(TN_UINT64, uint64_t, uint64_t, SAME, SAME)                                                                       \
    X(TN_INT32, int32_t, int64_t, SAME, SAME)                                                                          \
    X(TN_INT64, int64_t, __int128, SAME, SAME)

static void combine(reduction how, tn_dtype dtype, int64_t n, void *dst, const void *src) {
    switch (dtype) {
#define CASE(code, type, wide, load, store)                                                                            \
    case code:                                                                                                         \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            wide a = load(((const type *)dst)[i]), b = load(((const type *)src)[i]);                                   \
            if (how == REDUCE_ADD)                                                                                     \
                a = a + b;                                                                                             \
            else if (how == REDUCE_MUL)                                                                                \
                a = a * b;                                                                                             \
            else if (b != b || (how == REDUCE_MIN ? b < a : b > a))                                                    \
                a = b;                                                                                                 \
            ((type *)dst)[i] = (type)store(a);                                                                         \
        }                                                                                                              \
        break;
        TYPES(CASE)
#undef CASE
    case TN_BOOL: /* add and max are "or", mul and min are "and" */
        for (int64_t i = 0; i < n; i++) {
            bool a = ((const uint8_t *)dst)[i], b = ((const uint8_t *)src)[i];
            ((uint8_t *)dst)[i] = how == REDUCE_ADD || how == REDUCE_MAX ? a || b : a && b;
        }
        break;
    default: break; /* refused by infer */
    }
}

/* What both operators ask of their inputs. */
static tn_status scatter_infer(tn_infer *call) {
    reduction how;
    TN_TRY(tn_infer_whole(call, 0));
    TN_TRY(tn_infer_index(call, 1));
    TN_TRY(tn_infer_tensor(call, 2));
    TN_TRY(tn_infer_equal_dtype(call, 0, 2));
    TN_TRY(get_reduction(call->node, &how));
    const tn_type *data = call->in[0];
    bool able = data->dtype == TN_UNDEFINED || data->dtype == TN_BOOL;
#define CASE(code, type, wide, load, store) able |= data->dtype == code;
    TYPES(CASE)
#undef CASE
    if (how != REDUCE_NONE && !able) return tn_infer_fail(call, 0, TN_E_TYPE, "expected numbers to reduce");
    tn_dtype dtype = data->dtype ? data->dtype : call->in[2]->dtype;
    return tn_infer_out(call, 0, dtype, data->rank, data->dims);
}

static tn_status scatter_elements_infer(tn_infer *call) {
    TN_TRY(scatter_infer(call));
    const tn_type *data = call->in[0], *indices = call->in[1], *updates = call->in[2];
    int axis;
    if (data->rank < 0) return TN_OK;
    TN_TRY(tn_infer_axis(call, tn_attr_int(call->node, "axis", 0), data->rank, &axis));
    for (int in = 1; in < 3; in++)
        if (call->in[in]->rank >= 0 && call->in[in]->rank != data->rank)
            return tn_infer_fail(call, in, TN_E_SHAPE, "expected %d dimensions, as input 0 has", data->rank);
    for (int i = 0; i < data->rank && indices->rank >= 0; i++) {
        if (updates->rank >= 0 && !tn_dim_fits(indices->dims[i], updates->dims[i]))
            return tn_infer_fail(call, 2, TN_E_SHAPE, "expected the shape of the indices, whose dimension %d is %lld",
                                 i, (long long)indices->dims[i]);
        if (i != axis && data->dims[i] >= 0 && indices->dims[i] > data->dims[i])
            return tn_infer_fail(call, 1, TN_E_SHAPE, "its dimension %d is larger than that of input 0, %lld", i,
                                 (long long)data->dims[i]);
    }
    return TN_OK;
}

typedef struct scatter_state {
    reduction how;
    int axis; /* of ScatterElements */
} scatter_state;

static tn_status scatter_prepare(tn_prepare *call) {
    scatter_state *state = tn_prepare_alloc(call, sizeof *state);
    if (!state) return TN_E_MEMORY;
    call->state = state;
    TN_TRY(get_reduction(call->node, &state->how));
    if (!tn_node_attr(call->node, "axis")) return TN_OK;
    return tn_infer_axis(NULL, tn_attr_int(call->node, "axis", 0), call->in[0]->rank, &state->axis);
}

/* Before scattering: output 0 becomes a copy of the data, unless it is in its place already. */
static void copy_data(tn_run *call, const tn_tensor *data, tn_tensor *out) {
    tn_move move = {.bits = tn_dtype_bits(data->dtype),
                    .rank = 1,
                    .dims = {tn_count(data)},
                    .dst_strides = {1},
                    .src_strides = {1}};
    tn_move_plan(&move);
    if (out->data != data->data) tn_move_run(&move, call->kernels, call->pool, out->data, 0, data->data, 0);
}

static tn_status scatter_elements_run(tn_run *call) {
    const tn_tensor *data = tn_in(call, 0), *indices = tn_in(call, 1), *updates = tn_in(call, 2);
    tn_tensor *out = tn_out(call, 0);
    const scatter_state *state = call->state;
    const reduction how = state->how;
    const int axis = state->axis, rank = data->rank;
    if (!out) return TN_OK;
    TN_TRY(tn_index_check(1, indices, axis, data->dims[axis]));
    copy_data(call, data, out);
    if (tn_count(indices) == 0) return TN_OK;
    int64_t element = (int64_t)tn_dtype_bits(data->dtype) / 8, index[TN_MAX_RANK] = {0}, base = 0;
    int64_t row = indices->dims[rank - 1], step = axis == rank - 1 ? 0 : 1;
    for (int64_t at = 0;;) {
        for (int64_t j = 0; j < row; j++, at++) {
            int64_t to = base + j * step + tn_index_wrap(indices, at, data->dims[axis]) * data->strides[axis];
            char *dst = (char *)out->data + to * element;
            const char *src = (const char *)updates->data + at * element;
            if (how == REDUCE_NONE)
                tn_copy_run(dst, src, (size_t)element);
            else
                combine(how, data->dtype, 1, dst, src);
        }
        int d = rank - 2;
        for (; d >= 0; d--) {
            int64_t stride = d == axis ? 0 : data->strides[d];
            base += stride;
            if (++index[d] < indices->dims[d]) break;
            base -= indices->dims[d] * stride;
            index[d] = 0;
        }
        if (d < 0) return TN_OK;
    }
}

static tn_status scatter_nd_infer(tn_infer *call) {
    TN_TRY(scatter_infer(call));
    const tn_type *data = call->in[0], *indices = call->in[1], *updates = call->in[2];
    if (data->rank < 0 || indices->rank < 0) return TN_OK;
    if (indices->rank == 0) return tn_infer_fail(call, 1, TN_E_SHAPE, "expected at least one dimension");
    int64_t length = indices->dims[indices->rank - 1];
    if (length > data->rank)
        return tn_infer_fail(call, 1, TN_E_SHAPE, "its last dimension must be at most %d", data->rank);
    if (length < 0 || updates->rank < 0) return TN_OK;
    if (updates->rank != indices->rank - 1 + data->rank - (int)length)
        return tn_infer_fail(call, 2, TN_E_SHAPE, "expected %d dimensions",
                             indices->rank - 1 + data->rank - (int)length);
    for (int i = 0; i < updates->rank; i++) {
        int64_t want = i < indices->rank - 1 ? indices->dims[i] : data->dims[i - indices->rank + 1 + length];
        if (!tn_dim_fits(updates->dims[i], want))
            return tn_infer_fail(call, 2, TN_E_SHAPE, "expected dimension %d to be %lld", i, (long long)want);
    }
    return TN_OK;
}

static tn_status scatter_nd_run(tn_run *call) {
    const tn_tensor *data = tn_in(call, 0), *indices = tn_in(call, 1), *updates = tn_in(call, 2);
    tn_tensor *out = tn_out(call, 0);
    const reduction how = ((const scatter_state *)call->state)->how;
    if (!out) return TN_OK;
    copy_data(call, data, out);
    int length = (int)indices->dims[indices->rank - 1];
    int64_t tuples = tn_dims_span(indices->dims, 0, indices->rank - 1), offset = 0;
    int64_t run = tn_dims_span(data->dims, length, data->rank), element = (int64_t)tn_dtype_bits(data->dtype) / 8;
    if (run == 0) return TN_OK;
    for (int64_t i = 0; i < tuples; i++) {
        TN_TRY(tn_tuple_offset(data, 0, indices, i, length, &offset));
        char *dst = (char *)out->data + offset * element;
        const char *src = (const char *)updates->data + i * run * element;
        if (how == REDUCE_NONE)
            tn_copy_run(dst, src, (size_t)(run * element));
        else
            combine(how, data->dtype, run, dst, src);
    }
    return TN_OK;
}

const tn_op tn_ops_scatter[] = {
    {.domain = "",
     .name = "ScatterElements",
     .min_in = 3,
     .max_in = 3,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_IN_PLACE_FIRST,
     .infer = scatter_elements_infer,
     .prepare = scatter_prepare,
     .run = scatter_elements_run},
    {.domain = "",
     .name = "ScatterND",
     .min_in = 3,
     .max_in = 3,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_IN_PLACE_FIRST,
     .infer = scatter_nd_infer,
     .prepare = scatter_prepare,
     .run = scatter_nd_run},
    {0},
};
