/* ConstantOfShape, Range, EyeLike: tensors made from a shape or from bounds. */
#include "base/element.h"
#include "ops/data.h"
#include "ops/fill.h"
#include <math.h>

/* ---- ConstantOfShape ---- */

static tn_status infer_constant(tn_infer *call) {
    int64_t count = -1, dims[TN_MAX_RANK];
    size_t known;
    const tn_tensor *value = tn_attr_tensor(call->node, "value");
    if (value && tn_count(value) != 1)
        return tn_fail(TN_E_SHAPE, "attribute value has %lld elements; expected one", (long long)tn_count(value));
    tn_dtype dtype = value ? value->dtype : TN_FLOAT32;
    TN_TRY(tn_infer_list(call, 0, &count));
    if (count > TN_MAX_RANK)
        return tn_infer_fail(call, 0, TN_E_SHAPE, "a shape has at most %d dimensions", TN_MAX_RANK);
    for (int i = 0; i < TN_MAX_RANK; i++) dims[i] = -1;
    if (!tn_infer_ints(call, 0, dims, TN_MAX_RANK, &known)) return tn_infer_out(call, 0, dtype, (int)count, dims);
    for (size_t i = 0; i < known; i++)
        if (dims[i] < 0)
            return tn_infer_fail(call, 0, TN_E_INVALID, "its element %zu is %lld; expected 0 or more", i,
                                 (long long)dims[i]);
    return tn_infer_out(call, 0, dtype, (int)known, dims);
}

static tn_status prepare_constant(tn_prepare *call) {
    call->state = (void *)tn_attr_tensor(call->node, "value");
    return TN_OK;
}

static tn_status run_constant(tn_run *call) {
    const tn_tensor *value = call->state, *shape = tn_in(call, 0);
    tn_tensor *y = tn_out(call, 0);
    static const float zero = 0;
    if (!y) return TN_OK;
    if (tn_count(shape) != y->rank)
        return tn_fail(TN_E_SHAPE, "the shape has %lld dimensions; %d were declared", (long long)tn_count(shape),
                       y->rank);
    for (int i = 0; i < y->rank; i++) TN_TRY(tn_run_check(y, i, tn_index_at(shape, i)));
    int64_t count = tn_count(y);
    size_t bits = tn_dtype_bits(y->dtype);
    if (bits >= 8)
        tn_fill(y->data, value ? value->data : &zero, bits / 8, count);
    else
        for (int64_t i = 0; i < count; i++)
            tn_packed_set(y->data, (int)bits, i, tn_packed_get(value->data, (int)bits, 0));
    return TN_OK;
}

/* ---- Range ---- */

/* How many numbers there are, or a failure. start, limit and delta are scalars of `dtype`. */
static tn_status count_range(tn_dtype dtype, const tn_tensor *const *in, int64_t *out_count) {
    double count;
    for (int i = 0; i < 3; i++)
        if (tn_count(in[i]) != 1)
            return tn_fail(TN_E_SHAPE, "input %d has %lld elements; expected a scalar", i, (long long)tn_count(in[i]));
    if (tn_dtype_is_integer(dtype)) {
        int64_t start = tn_get_int(dtype, in[0]->data, 0), limit = tn_get_int(dtype, in[1]->data, 0);
        int64_t delta = tn_get_int(dtype, in[2]->data, 0);
        uint64_t distance = delta < 0 ? (uint64_t)start - (uint64_t)limit : (uint64_t)limit - (uint64_t)start;
        uint64_t step = delta < 0 ? 0 - (uint64_t)delta : (uint64_t)delta;
        if (step == 0) return tn_fail(TN_E_INVALID, "delta is 0");
        *out_count = 0;
        if (delta < 0 ? limit >= start : limit <= start) return TN_OK;
        count = (double)((distance - 1) / step + 1);
        if (count < 0x1p60) *out_count = (int64_t)((distance - 1) / step + 1);
    } else {
        double start = tn_get_double(dtype, in[0]->data, 0), limit = tn_get_double(dtype, in[1]->data, 0);
        double delta = tn_get_double(dtype, in[2]->data, 0);
        if (delta == 0) return tn_fail(TN_E_INVALID, "delta is 0");
        count = ceil((limit - start) / delta);
        *out_count = count > 0 && count < 0x1p60 ? (int64_t)count : 0;
    }
    if (!(count < 0x1p60)) return tn_fail(TN_E_SHAPE, "%g numbers are too many", count);
    return TN_OK;
}

static tn_status infer_range(tn_infer *call) {
    static const tn_dtype dtypes[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_FLOAT64,
                                      TN_INT16,   TN_INT32,   TN_INT64,    TN_UNDEFINED};
    int64_t count = -1;
    bool known = true;
    tn_dtype dtype = TN_UNDEFINED;
    for (int i = 0; i < 3; i++) {
        TN_TRY(tn_infer_dtype(call, i, dtypes));
        TN_TRY(tn_infer_equal_dtype(call, 0, i));
        if (!dtype) dtype = call->in[i]->dtype;
        known &= call->value[i] != NULL;
    }
    if (known) TN_TRY(count_range(dtype, call->value, &count));
    return tn_infer_out(call, 0, dtype, 1, &count);
}

static tn_status run_range(tn_run *call) {
    enum { BLOCK = 256 };
    const tn_tensor *in[3] = {tn_in(call, 0), tn_in(call, 1), tn_in(call, 2)};
    tn_tensor *y = tn_out(call, 0);
    int64_t count;
    if (!y) return TN_OK;
    TN_TRY(count_range(y->dtype, in, &count));
    TN_TRY(tn_run_check(y, 0, count));
    bool integers = tn_dtype_is_integer(y->dtype);
    uint64_t first = (uint64_t)tn_get_int(y->dtype, in[0]->data, 0),
             step = (uint64_t)tn_get_int(y->dtype, in[2]->data, 0);
    double start = tn_get_double(y->dtype, in[0]->data, 0), delta = tn_get_double(y->dtype, in[2]->data, 0);
    for (int64_t i = 0; i < count; i += BLOCK) {
        size_t n = (size_t)TN_MIN(count - i, (int64_t)BLOCK);
        int64_t whole[BLOCK];
        double real[BLOCK];
        for (size_t k = 0; k < n; k++) {
            whole[k] = (int64_t)(first + ((uint64_t)i + k) * step);
            real[k] = start + (double)(i + (int64_t)k) * delta;
        }
        if (integers)
            tn_write_ints(y->dtype, y->data, i, n, whole, (tn_narrowing){0});
        else
            tn_write_doubles(y->dtype, y->data, i, n, real, (tn_narrowing){0});
    }
    return TN_OK;
}

/* ---- EyeLike ---- */

static tn_status infer_eye(tn_infer *call) {
    TN_TRY(tn_infer_tensor(call, 0));
    const tn_type *x = call->in[0];
    tn_dtype dtype = (tn_dtype)tn_attr_int(call->node, "dtype", x->dtype);
    if (dtype && !(tn_dtype_is_float(dtype) || tn_dtype_is_integer(dtype) || dtype == TN_BOOL))
        return tn_fail(TN_E_TYPE, "there is no identity matrix of %s", tn_dtype_name(dtype));
    if (x->rank >= 0 && x->rank != 2) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected two dimensions");
    return tn_infer_out(call, 0, dtype, 2, x->rank == 2 ? x->dims : (int64_t[]){-1, -1});
}

static tn_status prepare_eye(tn_prepare *call) {
    int64_t *k = tn_prepare_alloc(call, sizeof *k);
    if (!k) return TN_E_MEMORY;
    *k = tn_attr_int(call->node, "k", 0);
    call->state = k;
    return TN_OK;
}

static tn_status run_eye(tn_run *call) {
    tn_tensor *y = tn_out(call, 0);
    if (!y) return TN_OK;
    int64_t k = *(const int64_t *)call->state, rows = y->dims[0], columns = y->dims[1];
    memset(y->data, 0, tn_dtype_bytes(y->dtype, tn_count(y)));
    if (k >= columns || k <= -rows) return TN_OK;
    for (int64_t row = TN_MAX(-k, 0); row < rows && row + k < columns; row++)
        tn_set_int(y->dtype, y->data, row * columns + row + k, 1);
    return TN_OK;
}

const tn_op tn_ops_generate[] = {
    {.domain = "",
     .name = "ConstantOfShape",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .infer = infer_constant,
     .prepare = prepare_constant,
     .run = run_constant},
    {.domain = "",
     .name = "Range",
     .min_in = 3,
     .max_in = 3,
     .min_out = 1,
     .max_out = 1,
     .infer = infer_range,
     .run = run_range},
    {.domain = "",
     .name = "EyeLike",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_SHAPE,
     .infer = infer_eye,
     .prepare = prepare_eye,
     .run = run_eye},
    {0},
};
