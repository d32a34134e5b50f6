/* Gemm, Y = alpha * A * B + beta * C, and com.microsoft's FusedGemm with an activation on top.
 *
 * In float32, C becomes what the product's sums start from: a bias by columns or by rows, or a whole matrix. Where beta
 * is not 1, or C is none of these, a copy that is comes first. */
#include "ops/fused_activation.h"
#include "ops/data.h"
#include "ops/matmul.h"

static const tn_dtype types[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_FLOAT64,  TN_INT32,
                                 TN_INT64,   TN_UINT32,  TN_UINT64,   TN_UNDEFINED};

typedef struct gemm_state {
    tn_matmul *product;
    tn_epilogue epilogue;
    float beta;
    int64_t m, n;
    int64_t c_row, c_column;         /* strides of C: 0 where it is broadcast */
    int64_t copy_rows, copy_columns; /* of the scaled copy; 0: C is used as it is */
    const float *copy;               /* of a C that never changes */
    size_t copy_offset;              /* of the copy in the scratch memory, for one that does */
} gemm_state;

static void read_views(const tn_node *node, const tn_type *a, const tn_type *b, tn_operand *va, tn_operand *vb) {
    tn_operand_view(va, a, true, tn_attr_int(node, "transA", 0) != 0, false);
    tn_operand_view(vb, b, false, tn_attr_int(node, "transB", 0) != 0, false);
}

static tn_status gemm_infer(tn_infer *call) {
    tn_operand a, b;
    tn_epilogue epilogue;
    TN_TRY(tn_activation_read(call->node, &epilogue));
    for (int i = 0; i < 3; i++) {
        if (i == 2 && !tn_infer_has(call, 2)) break;
        TN_TRY(tn_infer_dtype(call, i, types));
        if (i) TN_TRY(tn_infer_equal_dtype(call, 0, i));
        int rank = call->in[i]->rank;
        if (rank >= 0 && (i == 2 ? rank > 2 : rank != 2))
            return tn_infer_fail(call, i, TN_E_SHAPE, i == 2 ? "expected at most 2 dimensions" : "expected a matrix");
    }
    const tn_type *ta = call->in[0], *tb = call->in[1], *tc = tn_infer_has(call, 2) ? call->in[2] : NULL;
    tn_dtype dtype = ta->dtype ? ta->dtype : tb->dtype;
    if (ta->rank < 0 || tb->rank < 0) return tn_infer_out(call, 0, dtype, 2, (const int64_t[]){-1, -1});
    read_views(call->node, ta, tb, &a, &b);
    if (!tn_dim_fits(a.columns, b.rows))
        return tn_infer_fail(call, 1, TN_E_SHAPE, "the left side has %lld columns but the right side has %lld rows",
                             (long long)a.columns, (long long)b.rows);
    const int64_t dims[2] = {a.rows, b.columns};
    for (int i = 0; tc && i < tc->rank; i++) {
        int64_t c = tc->dims[i], y = dims[2 - tc->rank + i];
        if (c != 1 && !tn_dim_fits(c, y))
            return tn_infer_fail(call, 2, TN_E_SHAPE, "it does not broadcast to the output's %lld x %lld",
                                 (long long)dims[0], (long long)dims[1]);
    }
    return tn_infer_out(call, 0, dtype, 2, dims);
}

static void make_copy(const gemm_state *s, const float *c, float *copy) {
    for (int64_t i = 0; i < s->copy_rows; i++)
        for (int64_t j = 0; j < s->copy_columns; j++)
            copy[i * s->copy_columns + j] = s->beta * c[i * s->c_row + j * s->c_column];
}

static tn_status prepare_c(tn_prepare *call, gemm_state *s) {
    const tn_type *c = call->in[2];
    s->c_column = c->rank > 0 && c->dims[c->rank - 1] != 1;
    s->c_row = c->rank == 2 && c->dims[0] != 1 ? c->dims[1] : 0;
    if (call->in[0]->dtype != TN_FLOAT32) return TN_OK;
    bool scalar = s->c_column == 0 && s->c_row == 0 && s->n != 1;
    if (s->beta == 1 && !scalar) return TN_OK;
    s->copy_rows = s->c_row ? s->m : 1;
    s->copy_columns = s->c_column || scalar ? s->n : 1;
    size_t bytes = (size_t)(s->copy_rows * s->copy_columns) * sizeof(float);
    if (call->value[2]) {
        float *copy = tn_prepare_alloc(call, bytes);
        if (!copy) return TN_E_MEMORY;
        make_copy(s, call->value[2]->data, copy);
        s->copy = copy;
        return TN_OK;
    }
    s->copy_offset = (call->scratch + 63) & ~(size_t)63;
    if (!tn_add_size(s->copy_offset, bytes, &call->scratch)) return tn_fail(TN_E_SHAPE, "input 2 is too large");
    return TN_OK;
}

static tn_status gemm_prepare(tn_prepare *call) {
    tn_operand a, b;
    gemm_state *s = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    call->state = s;
    read_views(call->node, call->in[0], call->in[1], &a, &b);
    TN_TRY(tn_activation_read(call->node, &s->epilogue));
    s->beta = tn_attr_float(call->node, "beta", 1);
    s->m = a.rows;
    s->n = b.columns;
    TN_TRY(tn_matmul_prepare(call, &a, &b, tn_attr_float(call->node, "alpha", 1), &s->product));
    return tn_prepare_has(call, 2) && s->beta != 0 ? prepare_c(call, s) : TN_OK;
}

static void run_f32(tn_run *call, const gemm_state *s, const tn_tensor *c, float *y) {
    tn_epilogue e = s->epilogue;
    if (c) {
        const float *data = c->data;
        if (s->copy_rows) {
            float *copy = (float *)(void *)((char *)call->scratch + s->copy_offset);
            if (!s->copy) make_copy(s, data, copy);
            data = s->copy ? s->copy : copy;
        }
        if (s->c_row && (s->c_column || s->n == 1)) {
            e.residual = data;
            e.residual_stride = (size_t)s->n;
        } else if (s->c_row) {
            e.row_bias = data;
        } else {
            e.column_bias = data;
        }
    }
    tn_matmul_run(call, s->product, tn_in(call, 0)->data, tn_in(call, 1)->data, y, &e);
}

#define ADD_C(type, unsigned_type, scaled)                                                                             \
    for (int64_t i = 0; i < s->m; i++)                                                                                 \
        for (int64_t j = 0; j < s->n; j++) {                                                                           \
            type *y = (type *)out->data + i * s->n + j, x = ((const type *)c_data)[i * s->c_row + j * s->c_column];    \
            if (s->beta != 1) x = (type)(scaled);                                                                      \
            *y = (type)((unsigned_type)*y + (unsigned_type)x);                                                         \
        }                                                                                                              \
    break

static void run_plain(tn_run *call, const gemm_state *s, const tn_tensor *c, tn_tensor *out) {
    const void *c_data = c ? c->data : NULL;
    tn_matmul_run(call, s->product, tn_in(call, 0)->data, tn_in(call, 1)->data, out->data, NULL);
    switch (c ? out->dtype : TN_UNDEFINED) {
    case TN_FLOAT64: ADD_C(double, double, x *(double)s->beta);
    case TN_INT32: ADD_C(int32_t, uint32_t, tn_scale_integer((double)x, s->beta));
    case TN_UINT32: ADD_C(uint32_t, uint32_t, tn_scale_integer((double)x, s->beta));
    case TN_INT64: ADD_C(int64_t, uint64_t, tn_scale_integer((double)x, s->beta));
    case TN_UINT64: ADD_C(uint64_t, uint64_t, tn_scale_integer((double)x, s->beta));
    default: break;
    }
    double *y = out->data;
    if (out->dtype == TN_FLOAT64 && s->epilogue.activation)
        for (int64_t i = 0; i < s->m * s->n; i++) y[i] = tn_activation_f64(y[i], &s->epilogue);
}

static tn_status gemm_run(tn_run *call) {
    const gemm_state *s = call->state;
    const tn_tensor *c = s->beta != 0 ? tn_in(call, 2) : NULL;
    tn_tensor *out = tn_out(call, 0);
    if (!out) return TN_OK;
    if (out->dtype == TN_FLOAT32)
        run_f32(call, s, c, out->data);
    else
        run_plain(call, s, c, out);
    return TN_OK;
}

const tn_op tn_ops_gemm[] = {
    {.name = "Gemm",
     .domain = "",
     .min_in = 2,
     .max_in = 3,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN,
     .infer = gemm_infer,
     .prepare = gemm_prepare,
     .run = gemm_run},
    {.name = "FusedGemm",
     .domain = "com.microsoft",
     .min_in = 2,
     .max_in = 3,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN,
     .infer = gemm_infer,
     .prepare = gemm_prepare,
     .run = gemm_run},
    {0},
};
