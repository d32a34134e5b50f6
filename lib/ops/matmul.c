/* MatMul as numpy's matmul, and the two fused forms of it: com.microsoft's with transposed operands and a factor, and
 * Tenon's own, which the passes make, with a bias, a residual and an activation on top. */
#include "ops/fused_activation.h"
#include "ops/data.h"
#include "ops/matmul.h"

static const tn_dtype types[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_FLOAT64,  TN_INT32,
                                 TN_INT64,   TN_UINT32,  TN_UINT64,   TN_UNDEFINED};

typedef struct matmul_state {
    tn_matmul *product;
    tn_epilogue epilogue;
} matmul_state;

static bool flag(const tn_node *node, const char *name) {
    return tn_attr_int(node, name, 0) != 0;
}

static tn_status read_views(const tn_node *node, const tn_type *a, const tn_type *b, tn_operand *va, tn_operand *vb) {
    bool batch_a = flag(node, "transBatchA"), batch_b = flag(node, "transBatchB");
    if (a->rank < 1 || b->rank < 1)
        return tn_fail(TN_E_SHAPE, "input %d is a scalar; a matrix product takes vectors, matrices or stacks of them",
                       a->rank < 1 ? 0 : 1);
    if ((batch_a && a->rank < 3) || (batch_b && b->rank < 3))
        return tn_fail(TN_E_SHAPE, "transBatch%c needs an input of 3 dimensions or more", batch_a ? 'A' : 'B');
    tn_operand_view(va, a, true, flag(node, "transA"), batch_a);
    tn_operand_view(vb, b, false, flag(node, "transB"), batch_b);
    if (va->columns >= 0 && vb->rows >= 0 && va->columns != vb->rows)
        return tn_fail(TN_E_SHAPE, "the left side has %lld columns but the right side has %lld rows",
                       (long long)va->columns, (long long)vb->rows);
    return TN_OK;
}

static tn_status matmul_infer(tn_infer *call) {
    tn_operand a, b;
    int64_t dims[TN_MAX_RANK + 2];
    int rank;
    TN_TRY(tn_infer_dtype(call, 0, types));
    TN_TRY(tn_infer_dtype(call, 1, types));
    TN_TRY(tn_infer_equal_dtype(call, 0, 1));
    const tn_type *ta = call->in[0], *tb = call->in[1];
    tn_dtype dtype = ta->dtype ? ta->dtype : tb->dtype;
    if (ta->rank < 0 || tb->rank < 0) return tn_infer_out(call, 0, dtype, -1, NULL);
    TN_TRY(read_views(call->node, ta, tb, &a, &b));
    if (!tn_operand_batch(&a, &b, &rank, dims))
        return tn_infer_fail(call, 1, TN_E_SHAPE, "its outer dimensions do not broadcast with those of input 0");
    if (ta->rank > 1) dims[rank++] = a.rows;
    if (tb->rank > 1) dims[rank++] = b.columns;
    return tn_infer_out(call, 0, dtype, rank, dims);
}

static tn_status matmul_prepare(tn_prepare *call) {
    tn_operand a, b;
    matmul_state *state = tn_prepare_alloc(call, sizeof *state);
    if (!state) return TN_E_MEMORY;
    call->state = state;
    TN_TRY(read_views(call->node, call->in[0], call->in[1], &a, &b));
    TN_TRY(tn_activation_read(call->node, &state->epilogue));
    return tn_matmul_prepare(call, &a, &b, tn_attr_float(call->node, "alpha", 1), &state->product);
}

static tn_status matmul_run(tn_run *call) {
    const matmul_state *state = call->state;
    const tn_tensor *bias = tn_in(call, 2), *residual = tn_in(call, 3);
    tn_tensor *out = tn_out(call, 0);
    if (!out) return TN_OK;
    tn_epilogue e = state->epilogue;
    if (bias) e.column_bias = bias->data;
    if (residual) {
        e.residual = residual->data;
        e.residual_stride = (size_t)(out->rank ? out->dims[out->rank - 1] : 1);
    }
    tn_matmul_run(call, state->product, tn_in(call, 0)->data, tn_in(call, 1)->data, out->data, &e);
    return TN_OK;
}

/* bias [n] and residual, which has the shape of the output. */
static tn_status fused_infer(tn_infer *call) {
    static const tn_dtype floats[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_UNDEFINED};
    tn_epilogue epilogue;
    TN_TRY(tn_infer_dtype(call, 0, floats));
    TN_TRY(tn_activation_read(call->node, &epilogue));
    TN_TRY(matmul_infer(call));
    const tn_type *out = call->out;
    for (int i = 2; i < 4; i++) {
        if (!tn_infer_has(call, i)) continue;
        const tn_type *type = call->in[i];
        if (call->in[1]->rank == 1) return tn_infer_fail(call, 1, TN_E_SHAPE, "expected a matrix, as there is a bias");
        TN_TRY(tn_infer_dtype(call, i, floats));
        TN_TRY(tn_infer_equal_dtype(call, 0, i));
        if (type->rank < 0 || out->rank < 0) continue;
        int rank = i == 2 ? TN_MIN(out->rank, 1) : out->rank;
        if (type->rank != rank)
            return tn_infer_fail(call, i, TN_E_SHAPE, "expected %d dimensions, as the output asks for", rank);
        for (int k = 0; k < rank; k++)
            if (!tn_dim_fits(type->dims[k], out->dims[out->rank - rank + k]))
                return tn_infer_fail(call, i, TN_E_SHAPE, "its dimension %d should be %lld, as the output's", k,
                                     (long long)out->dims[out->rank - rank + k]);
    }
    return TN_OK;
}

const tn_op tn_ops_matmul[] = {
    {.name = "MatMul",
     .domain = "",
     .min_in = 2,
     .max_in = 2,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN,
     .infer = matmul_infer,
     .prepare = matmul_prepare,
     .run = matmul_run},
    {.name = "FusedMatMul",
     .domain = "com.microsoft",
     .min_in = 2,
     .max_in = 2,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN,
     .infer = matmul_infer,
     .prepare = matmul_prepare,
     .run = matmul_run},
    {.name = "FusedMatMul",
     .domain = "tenon",
     .min_in = 2,
     .max_in = 4,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN,
     .infer = fused_infer,
     .prepare = matmul_prepare,
     .run = matmul_run},
    {0},
};
