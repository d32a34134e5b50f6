/* Elementwise operators on 8-bit integers of com.microsoft: QLinearAdd, QLinearMul, QLinearSigmoid, QLinearLeakyRelu,
 * QLinearWhere, QLinearConcat.
 *
 * What has one input is a table of 256 results, made at the start of a run (scales may change). Add and Mul round as
 * ONNX Runtime's kernels for AVX2 do, step by step: the zero point of the result is added in float32, before the sum is
 * rounded to even. */
#include "ops/broadcast.h"
#include "ops/qtable.h"
#include "ops/quant.h"

static const tn_dtype FLOAT[] = {TN_FLOAT32, TN_UNDEFINED};

/* ---- Add and Mul: (A, A_scale, A_zero, B, B_scale, B_zero, C_scale, C_zero) ---- */
static tn_status infer_binary(tn_infer *call) {
    int rank;
    int64_t dims[TN_MAX_RANK];
    TN_TRY(tn_infer_bytes(call, 0, 0));
    TN_TRY(tn_infer_bytes(call, 3, 0));
    TN_TRY(tn_infer_quantization(call, 1, 0));
    TN_TRY(tn_infer_quantization(call, 4, 0));
    TN_TRY(tn_infer_quantization(call, 6, 0));
    TN_TRY(tn_infer_broadcast(call, 2, (int[]){0, 3}, &rank, dims));
    return tn_infer_out(call, 0, call->in[0]->dtype, rank, dims);
}

static tn_status prepare_binary(tn_prepare *call) {
    tn_broadcast *plan = tn_prepare_alloc(call, sizeof *plan);
    if (!plan) return TN_E_MEMORY;
    tn_broadcast_plan(plan, 2, (const tn_type *[]){call->in[0], call->in[3]}, call->out);
    call->state = plan;
    return TN_OK;
}

typedef struct binary {
    const tn_kernels *kernels;
    const uint8_t *a, *b;
    uint8_t *y;
    int32_t shift; /* of signed bytes: see kernels/qlast.inc */
    bool add;
    tn_quantization qa, qb, qy;
    float ratio; /* of Mul */
} binary;

enum { BUFFER = 256 };

/* n values of one operand as the kernels want them. */
static const uint8_t *load_row(const binary *r, uint8_t *buffer, const uint8_t *from, size_t step, size_t n) {
    if (step && !r->shift) return from;
    for (size_t i = 0; i < n; i++) buffer[i] = from[i * step] ^ (uint8_t)r->shift;
    return buffer;
}

/* Where one operand is a single value, it is added first, whichever it is: then the sum is rounded as ONNX Runtime's. */
static void sum_row(const binary *r, uint8_t *y, const uint8_t *a, const uint8_t *b, size_t n, bool swap) {
    tn_qsum_terms t = swap ? tn_qsum_of(r->qb, r->qa, r->qy) : tn_qsum_of(r->qa, r->qb, r->qy);
    r->kernels->qadd(y, swap ? b : a, swap ? a : b, n, r->shift, t.a, t.b, t.rest);
}

static void binary_strip(void *context, int64_t out, size_t rows, size_t n, const tn_strip *in) {
    const binary *r = context;
    for (size_t row = 0; row < rows; row++)
        for (size_t i = 0, m; i < n; i += m) {
            uint8_t buffer[2][BUFFER], *y = r->y + (size_t)out + row * n + i;
            bool direct = !r->shift && in[0].step && in[1].step;
            m = direct ? n : TN_MIN(n - i, (size_t)BUFFER);
            const uint8_t *a =
                load_row(r, buffer[0], r->a + in[0].first + row * in[0].row + i * in[0].step, in[0].step, m);
            const uint8_t *b =
                load_row(r, buffer[1], r->b + in[1].first + row * in[1].row + i * in[1].step, in[1].step, m);
            if (r->add)
                sum_row(r, y, a, b, m, !in[0].step && in[1].step);
            else
                r->kernels->qmul(y, a, b, m, r->shift, r->qa.zero, r->qb.zero, r->ratio, (float)r->qy.zero);
            for (size_t k = 0; r->shift && k < m; k++) y[k] ^= 0x80;
        }
}

static tn_status run_binary(tn_run *call, bool add) {
    tn_tensor *y = tn_out(call, 0);
    if (!y) return TN_OK;
    binary r = {.kernels = call->kernels,
                .a = tn_in(call, 0)->data,
                .b = tn_in(call, 3)->data,
                .y = y->data,
                .shift = y->dtype == TN_INT8 ? 128 : 0,
                .add = add,
                .qa = tn_quantization_at(call, 1),
                .qb = tn_quantization_at(call, 4),
                .qy = tn_quantization_at(call, 6)};
    r.ratio = r.qa.scale * r.qb.scale / r.qy.scale;
    tn_broadcast_run(call->state, call->pool, 1 << 15, binary_strip, &r);
    return TN_OK;
}
static tn_status run_add(tn_run *call) {
    return run_binary(call, true);
}
static tn_status run_mul(tn_run *call) {
    return run_binary(call, false);
}

/* ---- one input: (X, X_scale, X_zero, Y_scale, Y_zero) ---- */
static tn_status infer_unary(tn_infer *call) {
    TN_TRY(tn_infer_bytes(call, 0, 0));
    TN_TRY(tn_infer_quantization(call, 1, 0));
    TN_TRY(tn_infer_quantization(call, 3, 0));
    return tn_infer_same(call, 0, 0);
}

static tn_status prepare_leaky_relu(tn_prepare *call) {
    float *alpha = tn_prepare_alloc(call, sizeof *alpha);
    if (!alpha) return TN_E_MEMORY;
    *alpha = tn_attr_float(call->node, "alpha", 0.01f);
    call->state = alpha;
    return TN_OK;
}

static tn_status run_unary(tn_run *call, bool sigmoid) {
    const tn_tensor *x = tn_in(call, 0);
    tn_tensor *y = tn_out(call, 0);
    if (!y) return TN_OK;
    float real[256];
    tn_real_values(x->dtype, tn_quantization_at(call, 1), real);
    if (sigmoid)
        call->kernels->sigmoid_f32(real, real, 256, NULL);
    else
        call->kernels->leaky_relu_f32(real, real, 256, call->state);
    uint8_t table[256];
    tn_requantize_table(y->dtype, real, tn_quantization_at(call, 3), table);
    tn_look_up(call, table, x->data, y->data, (size_t)tn_count(x));
    return TN_OK;
}
static tn_status run_sigmoid(tn_run *call) {
    return run_unary(call, true);
}
static tn_status run_leaky_relu(tn_run *call) {
    return run_unary(call, false);
}

/* ---- Where: (condition, X, x_scale, x_zero, Y, y_scale, y_zero, z_scale, z_zero) ---- */
static tn_status infer_where(tn_infer *call) {
    int rank;
    int64_t dims[TN_MAX_RANK];
    TN_TRY(tn_infer_dtype(call, 0, (const tn_dtype[]){TN_BOOL, TN_UNDEFINED}));
    TN_TRY(tn_infer_bytes(call, 1, 1));
    TN_TRY(tn_infer_bytes(call, 4, 1));
    for (int in = 2; in <= 8; in += in == 5 ? 2 : 3) TN_TRY(tn_infer_quantization(call, in, 1));
    TN_TRY(tn_infer_broadcast(call, 3, (int[]){0, 1, 4}, &rank, dims));
    return tn_infer_out(call, 0, call->in[1]->dtype, rank, dims);
}

static tn_status prepare_where(tn_prepare *call) {
    tn_broadcast *plan = tn_prepare_alloc(call, sizeof *plan);
    if (!plan) return TN_E_MEMORY;
    tn_broadcast_plan(plan, 3, (const tn_type *[]){call->in[0], call->in[1], call->in[4]}, call->out);
    call->state = plan;
    return TN_OK;
}

typedef struct choice {
    uint8_t table[2][256]; /* of Y, of X */
    const uint8_t *condition, *x, *y;
    uint8_t *z;
} choice;

static void where_strip(void *context, int64_t out, size_t rows, size_t n, const tn_strip *in) {
    const choice *c = context;
    uint8_t *z = c->z + out;
    for (size_t row = 0; row < rows; row++, z += n) {
        const uint8_t *condition = c->condition + in[0].first + row * in[0].row;
        const uint8_t *x = c->x + in[1].first + row * in[1].row, *y = c->y + in[2].first + row * in[2].row;
        for (size_t i = 0; i < n; i++)
            z[i] = condition[i * in[0].step] ? c->table[1][x[i * in[1].step]] : c->table[0][y[i * in[2].step]];
    }
}

static tn_status run_where(tn_run *call) {
    tn_tensor *z = tn_out(call, 0);
    if (!z) return TN_OK;
    choice c = {.condition = tn_in(call, 0)->data, .x = tn_in(call, 1)->data, .y = tn_in(call, 4)->data, .z = z->data};
    float real[256];
    for (int i = 0; i < 2; i++) {
        tn_real_values(z->dtype, tn_quantization_at(call, i ? 2 : 5), real);
        tn_requantize_table(z->dtype, real, tn_quantization_at(call, 7), c.table[i]);
    }
    tn_broadcast_run(call->state, call->pool, 1 << 16, where_strip, &c);
    return TN_OK;
}

/* ---- Concat: (Y_scale, Y_zero, then X, X_scale, X_zero for each) ---- */
static tn_status infer_concat(tn_infer *call) {
    int axis = 0, rank = -1;
    int64_t dims[TN_MAX_RANK] = {0}, given = tn_attr_int(call->node, "axis", 0);
    TN_TRY(tn_infer_dtype(call, 0, FLOAT));
    TN_TRY(tn_infer_bytes(call, 1, 1));
    TN_TRY(tn_infer_single(call, 0));
    TN_TRY(tn_infer_single(call, 1));
    if ((call->in_count - 2) % 3 != 0)
        return tn_fail(TN_E_INVALID, "%d inputs; expected 2 and three for each part", call->in_count);
    for (int in = 2; in < call->in_count; in += 3) {
        TN_TRY(tn_infer_bytes(call, in, 1));
        TN_TRY(tn_infer_quantization(call, in + 1, in));
        const tn_type *x = call->in[in];
        if (x->rank < 0) return tn_infer_out(call, 0, call->in[1]->dtype, -1, NULL);
        if (rank < 0) {
            rank = x->rank;
            TN_TRY(tn_infer_axis(call, given, rank, &axis));
            memcpy(dims, x->dims, sizeof dims);
            continue;
        }
        if (x->rank != rank) return tn_infer_fail(call, in, TN_E_SHAPE, "expected rank %d as input 2", rank);
        for (int i = 0; i < rank; i++)
            if (i == axis)
                dims[i] = dims[i] < 0 || x->dims[i] < 0 || x->dims[i] > INT64_MAX - dims[i] ? -1 : dims[i] + x->dims[i];
            else if (dims[i] >= 0 && x->dims[i] >= 0 && x->dims[i] != dims[i])
                return tn_infer_fail(call, in, TN_E_SHAPE, "expected %lld along axis %d as input 2", (long long)dims[i],
                                     i);
            else if (dims[i] < 0)
                dims[i] = x->dims[i];
    }
    return tn_infer_out(call, 0, call->in[1]->dtype, rank, dims);
}

typedef struct concat {
    size_t outer, inner; /* inner: elements after the axis */
    int axis;
} concat;

static tn_status prepare_concat(tn_prepare *call) {
    concat *c = tn_prepare_alloc(call, sizeof *c);
    if (!c) return TN_E_MEMORY;
    const tn_type *y = call->out;
    int64_t given = tn_attr_int(call->node, "axis", 0);
    c->axis = (int)(given < 0 ? given + y->rank : given);
    c->outer = (size_t)tn_dims_count(c->axis, y->dims);
    c->inner = (size_t)tn_dims_count(y->rank - c->axis - 1, y->dims + c->axis + 1);
    call->state = c;
    return TN_OK;
}

static tn_status run_concat(tn_run *call) {
    const concat *c = call->state;
    tn_tensor *y = tn_out(call, 0);
    if (!y || tn_count(y) == 0) return TN_OK;
    size_t row = (size_t)y->dims[c->axis] * c->inner, at = 0;
    for (int in = 2; in < call->in_count; in += 3) {
        const tn_tensor *x = tn_in(call, in);
        const uint8_t *from = x->data;
        size_t part = (size_t)x->dims[c->axis] * c->inner;
        float real[256];
        uint8_t table[256];
        tn_real_values(x->dtype, tn_quantization_at(call, in + 1), real);
        tn_requantize_table(y->dtype, real, tn_quantization_at(call, 0), table);
        for (size_t o = 0; o < c->outer; o++)
            for (size_t i = 0; i < part; i++) ((uint8_t *)y->data)[o * row + at + i] = table[from[o * part + i]];
        at += part;
    }
    return TN_OK;
}

#define ROW(title, least, most, infers, prepares, runs)                                                                \
    {                                                                                                                  \
        .domain = "com.microsoft", .name = title, .min_in = least, .max_in = most, .min_out = 1, .max_out = 1,         \
        .flags = TN_OP_BATCH, .infer = infers, .prepare = prepares, .run = runs                                        \
    }

const tn_op tn_ops_qlinear[] = {
    ROW("QLinearAdd", 2, 8, infer_binary, prepare_binary, run_add),
    ROW("QLinearMul", 2, 8, infer_binary, prepare_binary, run_mul),
    ROW("QLinearSigmoid", 2, 5, infer_unary, NULL, run_sigmoid),
    ROW("QLinearLeakyRelu", 2, 5, infer_unary, prepare_leaky_relu, run_leaky_relu),
    ROW("QLinearWhere", 9, 9, infer_where, prepare_where, run_where),
    ROW("QLinearConcat", 5, -1, infer_concat, prepare_concat, run_concat),
    {0},
};
