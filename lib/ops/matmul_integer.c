/* Matrix products of 8-bit integers: MatMulInteger, QLinearMatMul, and com.microsoft's MatMulIntegerToFloat,
 * DynamicQuantizeMatMul and QGemm. The product is in qmatmul.c; here is what each makes of its inputs.
 *
 * QLinearMatMul of float8 types, which no hardware here multiplies, is done plainly in float32. */
#include "ops/qmatmul.h"
#include "ops/quant.h"

static const tn_dtype BYTES[] = {TN_UINT8, TN_INT8, TN_UNDEFINED};
static const tn_dtype FLOAT[] = {TN_FLOAT32, TN_UNDEFINED};
static const tn_dtype FLOAT_OR_HALF[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_UNDEFINED};

static tn_status infer_zero(const tn_infer *call, int zero, int of) {
    if (!tn_infer_has(call, zero)) return TN_OK;
    if (call->in[zero]->dtype && call->in[of]->dtype && call->in[zero]->dtype != call->in[of]->dtype)
        return tn_infer_fail(call, zero, TN_E_TYPE, "expected the type of input %d, %s", of,
                             tn_dtype_name(call->in[of]->dtype));
    return TN_OK;
}

static size_t count_of(const tn_tensor *t) {
    return t ? (size_t)tn_count(t) : 0;
}

/* ---- MatMulInteger(A, B, a_zero, b_zero) ---- */
static tn_status infer_integer(tn_infer *call) {
    int rank;
    int64_t dims[TN_MAX_RANK];
    for (int i = 0; i < 2; i++) TN_TRY(tn_infer_dtype(call, i, BYTES));
    for (int i = 0; i < 2; i++) {
        TN_TRY(infer_zero(call, 2 + i, i));
        TN_TRY(tn_infer_per_line(call, 2 + i, i, i == 1));
    }
    TN_TRY(tn_infer_matmul(call, 0, 1, &rank, dims));
    return tn_infer_out(call, 0, TN_INT32, rank, dims);
}

static tn_status prepare_integer(tn_prepare *call) {
    tn_qmatmul *q = tn_prepare_alloc(call, sizeof *q);
    if (!q) return TN_E_MEMORY;
    TN_TRY(tn_qmatmul_prepare(call, q, call->in[0], call->in[0]->dtype == TN_INT8, false, 1, false));
    call->state = q;
    call->scratch = q->scratch;
    return TN_OK;
}

static tn_status run_integer(tn_run *call) {
    tn_tensor *y = tn_out(call, 0);
    if (!y) return TN_OK;
    const tn_qmatmul_call product = {.a = tn_in(call, 0)->data,
                                     .b = tn_in(call, 1)->data,
                                     .a_zero = tn_in(call, 2),
                                     .b_zero = tn_in(call, 3),
                                     .y = y->data,
                                     .y_type = TN_INT32};
    tn_qmatmul_run(call->state, call, &product, call->scratch);
    return TN_OK;
}

/* ---- those that scale: the state is the product, then where the scales go in scratch ---- */
typedef struct scaled {
    tn_qmatmul q;
    size_t b_scales, a_scales; /* numbers in scratch after the product's: column scales, row scales (0: none) */
    float alpha;               /* of QGemm */
    bool plain;                /* float8 */
} scaled;

static tn_status prepare_scaled(tn_prepare *call, int b_in, const tn_type *a, bool a_signed, bool trans_a, bool trans_b,
                                const tn_type *a_scale, const tn_type *b_scale) {
    scaled *s = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    call->state = s;
    s->alpha = tn_attr_float(call->node, "alpha", 1.0f);
    s->plain = a->dtype != TN_FLOAT32 && !tn_is_byte(a->dtype);
    if (s->plain) return TN_OK;
    TN_TRY(tn_qmatmul_prepare(call, &s->q, a, a_signed, trans_a, b_in, trans_b));
    int64_t a_scales = a_scale ? tn_type_count(a_scale) : 1;
    s->b_scales = tn_type_count(b_scale) == 1 ? 1 : s->q.b_count * s->q.n;
    s->a_scales = a_scales == 1 ? 0 : s->q.rows;
    size_t bytes;
    if (!tn_mul_size(s->b_scales + s->a_scales, sizeof(float), &bytes) ||
        !tn_add_size(bytes, s->q.scratch, &call->scratch))
        return tn_fail(TN_E_SHAPE, "the matrices are too large");
    return TN_OK;
}

/* Multiplies the scales together as ONNX Runtime does: a * b, then by 1 / y. Puts them into the call and scratch. */
static void set_scales(const scaled *s, void *scratch, const tn_tensor *a, const tn_tensor *b, const tn_tensor *y,
                       tn_qmatmul_call *product) {
    float *b_scale = (float *)(void *)((uint8_t *)scratch + s->q.scratch), *a_scale = b_scale + s->b_scales;
    float one = 1.0f, y_scale = 1.0f;
    size_t given = count_of(b);
    tn_quant_load(b->dtype, b->data, 0, given, b_scale);
    for (size_t i = given; i < s->b_scales; i++) b_scale[i] = b_scale[i % given];
    if (a && !s->a_scales) tn_quant_load(a->dtype, a->data, 0, 1, &one);
    if (y) tn_quant_load(y->dtype, y->data, 0, 1, &y_scale);
    for (size_t i = 0; i < s->b_scales; i++) b_scale[i] = b_scale[i] * one / y_scale;
    if (s->a_scales) {
        tn_quant_load(a->dtype, a->data, 0, count_of(a), a_scale);
        for (size_t i = count_of(a); i < s->a_scales; i++) a_scale[i] = a_scale[i % count_of(a)];
        product->row_scale = a_scale;
    }
    product->scale = b_scale;
    product->scale_step = s->b_scales > 1;
}

/* ---- QLinearMatMul(a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero) ---- */
static const tn_dtype QUANTIZED[] = {TN_UINT8,      TN_INT8,           TN_FLOAT8E4M3FN, TN_FLOAT8E4M3FNUZ,
                                     TN_FLOAT8E5M2, TN_FLOAT8E5M2FNUZ, TN_UNDEFINED};

static tn_status infer_linear(tn_infer *call) {
    int rank;
    int64_t dims[TN_MAX_RANK];
    for (int i = 0; i < 2; i++) {
        int in = 3 * i;
        TN_TRY(tn_infer_dtype(call, in, QUANTIZED));
        TN_TRY(tn_infer_dtype(call, in + 1, FLOAT_OR_HALF));
        TN_TRY(infer_zero(call, in + 2, in));
        TN_TRY(tn_infer_per_line(call, in + 1, in, i == 1));
        TN_TRY(tn_infer_per_line(call, in + 2, in, i == 1));
    }
    TN_TRY(tn_infer_dtype(call, 6, FLOAT_OR_HALF));
    TN_TRY(tn_infer_dtype(call, 7, QUANTIZED));
    TN_TRY(tn_infer_single(call, 6));
    TN_TRY(tn_infer_single(call, 7));
    tn_dtype a = call->in[0]->dtype, b = call->in[3]->dtype, y = call->in[7]->dtype;
    if ((a && b && tn_is_byte(a) != tn_is_byte(b)) || (a && y && tn_is_byte(a) != tn_is_byte(y)))
        return tn_fail(TN_E_TYPE, "inputs are %s, %s and output is %s; expected all float8 or all 8-bit integers",
                       tn_dtype_name(a), tn_dtype_name(b), tn_dtype_name(y));
    TN_TRY(tn_infer_matmul(call, 0, 3, &rank, dims));
    return tn_infer_out(call, 0, y, rank, dims);
}

static tn_status prepare_linear(tn_prepare *call) {
    if (!tn_is_byte(call->in[0]->dtype) && (call->in[0]->rank > 2 || call->in[3]->rank > 2))
        return tn_fail(TN_E_UNSUPPORTED, "float8 matrices in batches are not supported; expected rank 1 or 2");
    return prepare_scaled(call, 3, call->in[0], call->in[0]->dtype == TN_INT8, false, false, call->in[1], call->in[4]);
}

static float element(const tn_tensor *t, int64_t i) {
    float x;
    tn_quant_load(t->dtype, t->data, tn_count(t) == 1 ? 0 : i, 1, &x);
    return x;
}

/* float8: products of values times the scales. */
static void run_plain(const tn_run *call, tn_tensor *y) {
    const tn_tensor *in[8];
    for (int i = 0; i < 8; i++) in[i] = tn_in(call, i);
    int64_t k = in[0]->dims[in[0]->rank - 1], n = in[3]->rank == 1 ? 1 : in[3]->dims[1], count = tn_count(y);
    for (int64_t i = 0; i < count; i++) {
        float sum = 0;
        for (int64_t p = 0; p < k; p++)
            sum += (element(in[0], i / n * k + p) - element(in[2], i / n)) *
                   (element(in[3], p * n + i % n) - element(in[5], i % n));
        sum = sum * element(in[1], i / n) * element(in[4], i % n) / element(in[6], 0) + element(in[7], 0);
        tn_quant_store(y->dtype, y->data, i, 1, &sum, true);
    }
}

static tn_status run_linear(tn_run *call) {
    const scaled *s = call->state;
    tn_tensor *y = tn_out(call, 0);
    if (!y || tn_count(y) == 0) return TN_OK;
    if (s->plain) {
        run_plain(call, y);
        return TN_OK;
    }
    tn_qmatmul_call product = {.a = tn_in(call, 0)->data,
                               .b = tn_in(call, 3)->data,
                               .a_zero = tn_in(call, 2),
                               .b_zero = tn_in(call, 5),
                               .y = y->data,
                               .y_type = y->dtype};
    tn_quant_zeros(tn_in(call, 7), 1, &product.y_zero);
    set_scales(s, call->scratch, tn_in(call, 1), tn_in(call, 4), tn_in(call, 6), &product);
    tn_qmatmul_run(&s->q, call, &product, call->scratch);
    return TN_OK;
}

/* ---- MatMulIntegerToFloat(A, B, a_scale, b_scale, a_zero, b_zero, bias) ---- */
static tn_status infer_bias(const tn_infer *call, int bias, int b) {
    if (!tn_infer_has(call, bias)) return TN_OK;
    TN_TRY(tn_infer_dtype(call, bias, FLOAT_OR_HALF));
    const tn_type *t = call->in[bias], *matrix = call->in[b];
    if (t->rank < 0 || matrix->rank < 1) return TN_OK;
    int64_t n = matrix->rank == 1 ? 1 : matrix->dims[matrix->rank - 1];
    if (t->rank != 1 || (t->dims[0] >= 0 && n >= 0 && t->dims[0] != n))
        return tn_infer_fail(call, bias, TN_E_SHAPE, "expected a vector of one value for each column of input %d", b);
    return TN_OK;
}

static tn_status infer_to_float(tn_infer *call) {
    int rank;
    int64_t dims[TN_MAX_RANK];
    for (int i = 0; i < 2; i++) {
        TN_TRY(tn_infer_dtype(call, i, BYTES));
        TN_TRY(tn_infer_dtype(call, 2 + i, FLOAT_OR_HALF));
        TN_TRY(infer_zero(call, 4 + i, i));
        TN_TRY(tn_infer_per_line(call, 2 + i, i, i == 1));
        TN_TRY(tn_infer_per_line(call, 4 + i, i, i == 1));
    }
    TN_TRY(infer_bias(call, 6, 1));
    TN_TRY(tn_infer_matmul(call, 0, 1, &rank, dims));
    return tn_infer_out(call, 0, call->in[2]->dtype, rank, dims);
}

static tn_status prepare_to_float(tn_prepare *call) {
    return prepare_scaled(call, 1, call->in[0], call->in[0]->dtype == TN_INT8, false, false, call->in[2], call->in[3]);
}

static tn_status run_to_float(tn_run *call) {
    const scaled *s = call->state;
    tn_tensor *y = tn_out(call, 0);
    if (!y || tn_count(y) == 0) return TN_OK;
    const tn_tensor *bias = tn_in(call, 6);
    tn_qmatmul_call product = {.a = tn_in(call, 0)->data,
                               .b = tn_in(call, 1)->data,
                               .a_zero = tn_in(call, 4),
                               .b_zero = tn_in(call, 5),
                               .y = y->data,
                               .y_type = TN_FLOAT32,
                               .bias = bias ? bias->data : NULL};
    set_scales(s, call->scratch, tn_in(call, 2), tn_in(call, 3), NULL, &product);
    tn_qmatmul_run(&s->q, call, &product, call->scratch);
    return TN_OK;
}

/* ---- DynamicQuantizeMatMul(A, B, b_scale, b_zero, bias): A is quantized to uint8 as it comes ---- */
static tn_status infer_dynamic(tn_infer *call) {
    int rank;
    int64_t dims[TN_MAX_RANK];
    TN_TRY(tn_infer_dtype(call, 0, FLOAT));
    TN_TRY(tn_infer_dtype(call, 1, BYTES));
    TN_TRY(tn_infer_dtype(call, 2, FLOAT));
    TN_TRY(infer_zero(call, 3, 1));
    TN_TRY(tn_infer_per_line(call, 2, 1, true));
    TN_TRY(tn_infer_per_line(call, 3, 1, true));
    TN_TRY(infer_bias(call, 4, 1));
    TN_TRY(tn_infer_matmul(call, 0, 1, &rank, dims));
    return tn_infer_out(call, 0, TN_FLOAT32, rank, dims);
}

static tn_status prepare_dynamic(tn_prepare *call) {
    TN_TRY(prepare_scaled(call, 1, call->in[0], false, false, false, NULL, call->in[2]));
    if (!tn_add_size(call->scratch, (size_t)tn_type_count(call->in[0]), &call->scratch))
        return tn_fail(TN_E_SHAPE, "the matrices are too large");
    return TN_OK;
}

static tn_status run_dynamic(tn_run *call) {
    const scaled *s = call->state;
    const tn_tensor *a = tn_in(call, 0), *bias = tn_in(call, 4);
    tn_tensor *y = tn_out(call, 0);
    if (!y || tn_count(y) == 0) return TN_OK;
    uint8_t *bytes = (uint8_t *)call->scratch + s->q.scratch + (s->b_scales + s->a_scales) * sizeof(float);
    float a_scale;
    uint8_t a_zero;
    tn_quantize_dynamic(call->kernels, a->data, count_of(a), bytes, &a_scale, &a_zero);
    tn_tensor scale, zero;
    TN_TRY(tn_tensor_set_dense(&scale, TN_FLOAT32, 0, NULL, &a_scale));
    TN_TRY(tn_tensor_set_dense(&zero, TN_UINT8, 0, NULL, &a_zero));
    tn_qmatmul_call product = {.a = bytes,
                               .b = tn_in(call, 1)->data,
                               .a_zero = &zero,
                               .b_zero = tn_in(call, 3),
                               .y = y->data,
                               .y_type = TN_FLOAT32,
                               .bias = bias ? bias->data : NULL};
    set_scales(s, call->scratch, &scale, tn_in(call, 2), NULL, &product);
    tn_qmatmul_run(&s->q, call, &product, call->scratch);
    return TN_OK;
}

/* ---- QGemm(A, a_scale, a_zero, B, b_scale, b_zero, C, y_scale, y_zero) ---- */
static tn_status infer_gemm(tn_infer *call) {
    for (int i = 0; i < 2; i++) {
        int in = 3 * i;
        TN_TRY(tn_infer_dtype(call, in, BYTES));
        TN_TRY(tn_infer_dtype(call, in + 1, FLOAT));
        TN_TRY(infer_zero(call, in + 2, in));
    }
    TN_TRY(tn_infer_single(call, 1));
    TN_TRY(tn_infer_single(call, 2));
    tn_dtype y = TN_FLOAT32;
    if (tn_infer_has(call, 7) != tn_infer_has(call, 8))
        return tn_fail(TN_E_INVALID, "only one of y_scale and y_zero_point is given; expected both or neither");
    if (tn_infer_has(call, 8)) {
        TN_TRY(tn_infer_dtype(call, 7, FLOAT));
        TN_TRY(tn_infer_dtype(call, 8, BYTES));
        TN_TRY(tn_infer_single(call, 7));
        TN_TRY(tn_infer_single(call, 8));
        y = call->in[8]->dtype;
    }
    const tn_type *a = call->in[0], *b = call->in[3];
    if (a->rank < 0 || b->rank < 0) return tn_infer_out(call, 0, y, -1, NULL);
    if (a->rank != 2) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected a matrix");
    if (b->rank != 2) return tn_infer_fail(call, 3, TN_E_SHAPE, "expected a matrix");
    bool trans_a = tn_attr_int(call->node, "transA", 0) != 0, trans_b = tn_attr_int(call->node, "transB", 0) != 0;
    int64_t k = a->dims[!trans_a], other = b->dims[trans_b], dims[2] = {a->dims[trans_a], b->dims[!trans_b]};
    if (k >= 0 && other >= 0 && k != other)
        return tn_infer_fail(call, 3, TN_E_SHAPE, "expected %lld rows after transposition", (long long)k);
    for (int in = 4; in <= 5; in++) {
        if (!tn_infer_has(call, in) || call->in[in]->rank < 0 || tn_type_count(call->in[in]) == 1) continue;
        int64_t given = call->in[in]->rank == 1 ? call->in[in]->dims[0] : -2;
        if (call->in[in]->rank != 1 || (given >= 0 && dims[1] >= 0 && given != dims[1]))
            return tn_infer_fail(call, in, TN_E_SHAPE, "expected a scalar or one value for each column of the result");
    }
    if (tn_infer_has(call, 6)) {
        static const tn_dtype sums[] = {TN_INT32, TN_UNDEFINED};
        TN_TRY(tn_infer_dtype(call, 6, sums));
        const tn_type *c = call->in[6];
        bool fits = c->rank <= 2;
        for (int i = 0; fits && i < c->rank; i++) {
            int64_t want = dims[2 - c->rank + i];
            fits = c->dims[i] < 0 || c->dims[i] == 1 || want < 0 || c->dims[i] == want;
        }
        if (!fits) return tn_infer_fail(call, 6, TN_E_SHAPE, "it does not broadcast to the result");
    }
    return tn_infer_out(call, 0, y, 2, dims);
}

static tn_status prepare_gemm(tn_prepare *call) {
    return prepare_scaled(call, 3, call->in[0], call->in[0]->dtype == TN_INT8,
                          tn_attr_int(call->node, "transA", 0) != 0, tn_attr_int(call->node, "transB", 0) != 0, NULL,
                          call->in[4]);
}

static tn_status run_gemm(tn_run *call) {
    const scaled *s = call->state;
    tn_tensor *y = tn_out(call, 0);
    if (!y || tn_count(y) == 0) return TN_OK;
    tn_qmatmul_call product = {.a = tn_in(call, 0)->data,
                               .b = tn_in(call, 3)->data,
                               .a_zero = tn_in(call, 2),
                               .b_zero = tn_in(call, 5),
                               .y = y->data,
                               .y_type = y->dtype};
    const tn_tensor *c = tn_in(call, 6);
    if (c) {
        product.add = c->data;
        product.add_step = c->rank > 0 && c->dims[c->rank - 1] > 1;
        product.add_row = c->rank == 2 && c->dims[0] > 1 ? (size_t)c->dims[1] : 0;
    }
    tn_quant_zeros(tn_in(call, 8), 1, &product.y_zero);
    float scaled_a = s->alpha * element(tn_in(call, 1), 0);
    tn_tensor a_scale;
    TN_TRY(tn_tensor_set_dense(&a_scale, TN_FLOAT32, 0, NULL, &scaled_a));
    set_scales(s, call->scratch, &a_scale, tn_in(call, 4), tn_in(call, 7), &product);
    tn_qmatmul_run(&s->q, call, &product, call->scratch);
    return TN_OK;
}

#define ROW(where, title, least, most, half, of)                                                                       \
    {                                                                                                                  \
        .domain = where, .name = title, .min_in = least, .max_in = most, .min_out = 1, .max_out = 1, .flags = half,    \
        .infer = infer_##of, .prepare = prepare_##of, .run = run_##of                                                  \
    }

const tn_op tn_ops_matmul_integer[] = {
    ROW("", "MatMulInteger", 2, 4, 0, integer),
    ROW("", "QLinearMatMul", 8, 8, 0, linear),
    ROW("com.microsoft", "MatMulIntegerToFloat", 4, 7, TN_OP_WIDEN, to_float),
    ROW("com.microsoft", "DynamicQuantizeMatMul", 3, 5, 0, dynamic),
    ROW("com.microsoft", "QGemm", 6, 9, 0, gemm),
    {0},
};
