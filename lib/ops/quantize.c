/* QuantizeLinear and DequantizeLinear, of ai.onnx and com.microsoft: per tensor, per axis and blocked, all types.
 *
 * Idea: the tensor is cut into segments along memory in which the scale is one number or a run of as many numbers; a
 * segment goes through float32 buffers of a few hundred elements. 8-bit integers and float32 with one scale go straight
 * through a kernel. Scales and zero points are turned to float32 at the start of a run, for they may change. */
#include "base/half.h"
#include "ops/quant.h"

typedef enum granularity { PER_TENSOR, PER_AXIS, BLOCKED } granularity;

typedef struct quantizer {
    tn_dtype x, y, precision;
    granularity kind;
    size_t count, axis, inner, block, blocks; /* elements; dims of the axis and of those after it; blocks of an axis */
    size_t scales;
    bool saturate;
} quantizer;

enum { BUFFER = 256, TASK = 64 * BUFFER };

/* Where the scale (and zero point) of element i is, how long that goes on, and whether by one scale a step. */
static size_t segment(const quantizer *q, size_t i, size_t *scale, bool *step) {
    *step = false;
    *scale = 0;
    if (q->kind == PER_TENSOR) return q->count - i;
    size_t in = i % q->inner, at = i / q->inner % q->axis, outer = i / q->inner / q->axis;
    if (q->kind == PER_AXIS) {
        *scale = at;
        *step = q->inner == 1;
        return *step ? q->axis - at : q->inner - in;
    }
    *scale = (outer * q->blocks + at / q->block) * q->inner + in;
    *step = q->inner > 1;
    return *step ? q->inner - in : TN_MIN(q->block - at % q->block, q->axis - at);
}

typedef struct job {
    const quantizer *q;
    const tn_kernels *kernels;
    const float *scale, *zero;
    const void *x;
    void *y;
} job;

static float round_to(tn_dtype precision, float x) {
    if (precision == TN_FLOAT16) return tn_half_to_float(tn_float_to_half(x));
    if (precision == TN_BFLOAT16) return tn_bfloat_to_float(tn_float_to_bfloat(x));
    return x;
}

static void quantize_run(const job *j, size_t i, size_t n, size_t s, bool step) {
    const quantizer *q = j->q;
    int32_t low = 0, high = 0;
    bool whole = tn_quant_limits(q->y, &low, &high);
    if (!step && q->x == TN_FLOAT32 && tn_is_byte(q->y) && !tn_dtype_is_half(q->precision)) {
        j->kernels->quantize((uint8_t *)j->y + i, (const float *)j->x + i, n, j->scale[s], (int32_t)j->zero[s], low,
                             high);
        return;
    }
    for (size_t done = 0, m; done < n; done += m) {
        float x[BUFFER];
        m = TN_MIN(n - done, (size_t)BUFFER);
        tn_quant_load(q->x, j->x, (int64_t)(i + done), m, x);
        for (size_t k = 0; k < m; k++) {
            size_t at = step ? s + done + k : s;
            float v = round_to(q->precision, round_to(q->precision, x[k]) / round_to(q->precision, j->scale[at]));
            x[k] = (whole ? __builtin_rintf(v) : v) + j->zero[at];
        }
        tn_quant_store(q->y, j->y, (int64_t)(i + done), m, x, q->saturate);
    }
}

static void dequantize_run(const job *j, size_t i, size_t n, size_t s, bool step) {
    const quantizer *q = j->q;
    if (!step && q->y == TN_FLOAT32 && tn_is_byte(q->x)) {
        j->kernels->dequantize((float *)j->y + i, (const uint8_t *)j->x + i, n, q->x == TN_INT8, j->scale[s],
                               (int32_t)j->zero[s]);
        return;
    }
    for (size_t done = 0, m; done < n; done += m) {
        float x[BUFFER];
        m = TN_MIN(n - done, (size_t)BUFFER);
        tn_quant_load(q->x, j->x, (int64_t)(i + done), m, x);
        for (size_t k = 0; k < m; k++) {
            size_t at = step ? s + done + k : s;
            x[k] = (x[k] - j->zero[at]) * j->scale[at];
        }
        tn_quant_store(q->y, j->y, (int64_t)(i + done), m, x, false);
    }
}

static void each_segment(const job *j, int64_t task, void (*run)(const job *, size_t, size_t, size_t, bool)) {
    size_t first = (size_t)task * TASK, last = TN_MIN(first + TASK, j->q->count);
    while (first < last) {
        size_t scale;
        bool step;
        size_t n = TN_MIN(segment(j->q, first, &scale, &step), last - first);
        run(j, first, n, scale, step);
        first += n;
    }
}
static void quantize_task(void *context, int64_t task) {
    each_segment(context, task, quantize_run);
}
static void dequantize_task(void *context, int64_t task) {
    each_segment(context, task, dequantize_run);
}

static tn_status run(tn_run *call, void (*task)(void *, int64_t)) {
    const quantizer *q = call->state;
    const tn_tensor *scale = tn_in(call, 1), *zero = tn_in(call, 2);
    tn_tensor *y = tn_out(call, 0);
    if (!y || q->count == 0) return TN_OK;
    float *scales = call->scratch, *zeros = scales + q->scales;
    tn_quant_load(scale->dtype, scale->data, 0, q->scales, scales);
    if (zero)
        tn_quant_load(zero->dtype, zero->data, 0, q->scales, zeros);
    else
        memset(zeros, 0, q->scales * sizeof *zeros);
    if (tn_dtype_bits(q->y) < 8) ((uint8_t *)y->data)[tn_dtype_bytes(q->y, (int64_t)q->count) - 1] = 0; /* its rest */
    job j = {q, call->kernels, scales, zeros, tn_in(call, 0)->data, y->data};
    tn_parallel(call->pool, (int64_t)((q->count + TASK - 1) / TASK), task, &j);
    return TN_OK;
}
static tn_status quantize_linear(tn_run *call) {
    return run(call, quantize_task);
}
static tn_status dequantize_linear(tn_run *call) {
    return run(call, dequantize_task);
}

/* How scale dims relate to x's; both ranks are known. */
static tn_status find_granularity(const tn_infer *call, int axis_attribute, granularity *kind, int *out_axis) {
    const tn_type *x = call->in[0], *scale = call->in[1];
    int64_t block = tn_attr_int(call->node, "block_size", 0);
    if (block < 0)
        return tn_fail(TN_E_INVALID, "block_size is %lld; expected a positive number, or 0 for no blocks",
                       (long long)block);
    *kind = PER_TENSOR;
    *out_axis = 0;
    if (scale->rank == 0 || (scale->rank == 1 && scale->dims[0] == 1 && block == 0)) return TN_OK;
    if (x->rank == 1 && axis_attribute == 1) axis_attribute = 0; /* the default axis of a vector is its only one */
    TN_TRY(tn_infer_axis(call, axis_attribute, x->rank, out_axis));
    int axis = *out_axis;
    if (block == 0) {
        *kind = PER_AXIS;
        if (scale->rank != 1)
            return tn_infer_fail(call, 1, TN_E_SHAPE, "expected a scalar or a vector where block_size is 0");
        if (scale->dims[0] >= 0 && x->dims[axis] >= 0 && scale->dims[0] != x->dims[axis])
            return tn_infer_fail(call, 1, TN_E_SHAPE, "expected %lld values, one for each index of axis %d",
                                 (long long)x->dims[axis], axis);
        return TN_OK;
    }
    *kind = BLOCKED;
    if (scale->rank != x->rank)
        return tn_infer_fail(call, 1, TN_E_SHAPE, "expected the input's rank %d for blocks", x->rank);
    for (int i = 0; i < x->rank; i++) {
        int64_t want = x->dims[i];
        if (want < 0 || scale->dims[i] < 0) continue;
        if (i == axis) want = want / block + (want % block != 0);
        if (scale->dims[i] != want)
            return tn_infer_fail(call, 1, TN_E_SHAPE, "expected %lld along axis %d for blocks of %lld along axis %d",
                                 (long long)want, i, (long long)block, axis);
    }
    return TN_OK;
}

static tn_status infer_shapes(tn_infer *call) {
    granularity kind;
    int axis;
    const tn_type *x = call->in[0], *scale = call->in[1];
    int64_t attribute = tn_attr_int(call->node, "axis", 1);
    if (attribute < -TN_MAX_RANK || attribute >= TN_MAX_RANK)
        return tn_fail(TN_E_INVALID, "axis %lld is out of range", (long long)attribute);
    if (x->rank >= 0 && scale->rank >= 0) TN_TRY(find_granularity(call, (int)attribute, &kind, &axis));
    if (!tn_infer_has(call, 2) || call->in[2]->rank < 0 || scale->rank < 0) return TN_OK;
    const tn_type *zero = call->in[2];
    bool same = zero->rank == scale->rank;
    for (int i = 0; same && i < zero->rank; i++)
        same = zero->dims[i] < 0 || scale->dims[i] < 0 || zero->dims[i] == scale->dims[i];
    if (!same && !(tn_type_count(zero) == 1 && tn_type_count(scale) == 1))
        return tn_infer_fail(call, 2, TN_E_SHAPE, "expected the zero points' shape to be that of the scales");
    return TN_OK;
}

static const tn_dtype QUANTIZED[] = {TN_INT8,         TN_UINT8,
                                     TN_INT16,        TN_UINT16,
                                     TN_FLOAT8E4M3FN, TN_FLOAT8E4M3FNUZ,
                                     TN_FLOAT8E5M2,   TN_FLOAT8E5M2FNUZ,
                                     TN_UINT4,        TN_INT4,
                                     TN_FLOAT4E2M1,   TN_UINT2,
                                     TN_INT2,         TN_INT32 /* of DequantizeLinear */,
                                     TN_UNDEFINED};
static const tn_dtype FULL[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_INT32, TN_UNDEFINED};
static const tn_dtype SCALES[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_INT32, TN_FLOAT8E8M0, TN_UNDEFINED};

static bool listed(int64_t dtype, const tn_dtype *list) {
    for (; *list; list++)
        if (*list == (tn_dtype)dtype) return true;
    return false;
}

static tn_status infer_quantize(tn_infer *call) {
    TN_TRY(tn_infer_dtype(call, 0, FULL));
    TN_TRY(tn_infer_dtype(call, 1, SCALES));
    if (tn_infer_has(call, 2)) TN_TRY(tn_infer_dtype(call, 2, QUANTIZED));
    TN_TRY(infer_shapes(call));
    int64_t given = tn_attr_int(call->node, "output_dtype", 0);
    tn_dtype zero = tn_infer_has(call, 2) ? call->in[2]->dtype : TN_UNDEFINED;
    if (given && (!listed(given, QUANTIZED) || given == TN_INT32))
        return tn_fail(TN_E_TYPE, "output_dtype is %lld (%s), no type to quantize to", (long long)given,
                       tn_dtype_name((tn_dtype)given));
    if (zero == TN_INT32) return tn_infer_fail(call, 2, TN_E_TYPE, "no type to quantize to");
    if (given && zero && given != (int64_t)zero)
        return tn_infer_fail(call, 2, TN_E_TYPE, "but output_dtype is %s", tn_dtype_name((tn_dtype)given));
    tn_dtype y = given ? (tn_dtype)given : tn_infer_has(call, 2) ? zero : TN_UINT8;
    return tn_infer_out(call, 0, y, call->in[0]->rank, call->in[0]->dims);
}

static tn_status infer_dequantize(tn_infer *call) {
    TN_TRY(tn_infer_dtype(call, 0, QUANTIZED));
    TN_TRY(tn_infer_dtype(call, 1, SCALES));
    if (call->in[1]->dtype == TN_INT32) return tn_infer_fail(call, 1, TN_E_TYPE, "expected a float scale");
    if (tn_infer_has(call, 2) && call->in[0]->dtype && call->in[2]->dtype && call->in[0]->dtype != call->in[2]->dtype)
        return tn_infer_fail(call, 2, TN_E_TYPE, "expected the zero points' type to be that of input 0, %s",
                             tn_dtype_name(call->in[0]->dtype));
    TN_TRY(infer_shapes(call));
    int64_t y = tn_attr_int(call->node, "output_dtype", 0);
    if (y && (!listed(y, FULL) || y == TN_INT32))
        return tn_fail(TN_E_TYPE, "output_dtype is %lld (%s); expected float32, float16 or bfloat16", (long long)y,
                       tn_dtype_name((tn_dtype)y));
    if (!y) y = call->in[1]->dtype == TN_FLOAT8E8M0 ? TN_FLOAT32 : call->in[1]->dtype;
    return tn_infer_out(call, 0, (tn_dtype)y, call->in[0]->rank, call->in[0]->dims);
}

static tn_status prepare(tn_prepare *call) {
    const tn_type *x = call->in[0], *scale = call->in[1];
    quantizer *q = tn_prepare_alloc(call, sizeof *q);
    if (!q) return TN_E_MEMORY;
    const tn_infer shapes = {.node = call->node, .in_count = call->in_count, .in = call->in};
    int axis;
    TN_TRY(find_granularity(&shapes, (int)tn_attr_int(call->node, "axis", 1), &q->kind, &axis));
    q->x = x->dtype;
    q->y = call->out[0].dtype;
    q->count = (size_t)tn_type_count(x);
    q->scales = (size_t)tn_type_count(scale);
    q->saturate = tn_attr_int(call->node, "saturate", 1) != 0;
    /* Where x and scale are of one half type, so is the division. */
    int64_t precision = tn_attr_int(call->node, "precision", 0);
    q->precision = precision ? (tn_dtype)precision : x->dtype == scale->dtype ? x->dtype : TN_FLOAT32;
    q->axis = q->inner = q->block = q->blocks = 1;
    if (q->kind != PER_TENSOR) {
        q->axis = (size_t)x->dims[axis];
        q->inner = (size_t)tn_dims_count(x->rank - axis - 1, x->dims + axis + 1);
        q->blocks = q->kind == BLOCKED ? (size_t)scale->dims[axis] : 1;
        q->block = q->kind == BLOCKED ? (size_t)tn_attr_int(call->node, "block_size", 1) : 1;
    }
    if (!tn_mul_size(q->scales, 2 * sizeof(float), &call->scratch)) return tn_fail(TN_E_SHAPE, "too many scales");
    call->state = q;
    return TN_OK;
}

static tn_status infer_dynamic(tn_infer *call) {
    static const tn_dtype floats[] = {TN_FLOAT32, TN_UNDEFINED};
    TN_TRY(tn_infer_dtype(call, 0, floats));
    TN_TRY(tn_infer_out(call, 0, TN_UINT8, call->in[0]->rank, call->in[0]->dims));
    TN_TRY(tn_infer_out(call, 1, TN_FLOAT32, 0, NULL));
    return tn_infer_out(call, 2, TN_UINT8, 0, NULL);
}

static tn_status dynamic_quantize_linear(tn_run *call) {
    const tn_tensor *x = tn_in(call, 0);
    tn_tensor *y = tn_out(call, 0), *scale = tn_out(call, 1), *zero = tn_out(call, 2);
    float range;
    uint8_t origin;
    tn_quantize_dynamic(call->kernels, x->data, (size_t)tn_count(x), y ? y->data : NULL, &range, &origin);
    if (scale) *(float *)scale->data = range;
    if (zero) *(uint8_t *)zero->data = origin;
    return TN_OK;
}

#define ROW(where, verb, infers, runs)                                                                                 \
    {                                                                                                                  \
        .domain = where, .name = verb, .min_in = 2, .max_in = 3, .min_out = 1, .max_out = 1, .infer = infers,          \
        .prepare = prepare, .run = runs                                                                                \
    }

const tn_op tn_ops_quantize[] = {
    ROW("", "QuantizeLinear", infer_quantize, quantize_linear),
    ROW("", "DequantizeLinear", infer_dequantize, dequantize_linear),
    ROW("com.microsoft", "QuantizeLinear", infer_quantize, quantize_linear),
    ROW("com.microsoft", "DequantizeLinear", infer_dequantize, dequantize_linear),
    {.domain = "",
     .name = "DynamicQuantizeLinear",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 3,
     .infer = infer_dynamic,
     .run = dynamic_quantize_linear},
    {0},
};
