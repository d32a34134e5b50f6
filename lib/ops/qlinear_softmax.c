/* QLinearSoftmax of com.microsoft (X, x_scale, x_zero, y_scale, y_zero): up to opset 12 over all axes from `axis` on, since
 * then along `axis` alone. In float32, from a table of the 256 values that there are. */
#include "ops/quant.h"
#include "ops/scratch.h"

typedef struct softmax {
    size_t outer, n, inner;
} softmax;

static tn_status infer_softmax(tn_infer *call) {
    TN_TRY(tn_infer_bytes(call, 0, 0));
    TN_TRY(tn_infer_quantization(call, 1, 0));
    TN_TRY(tn_infer_quantization(call, 3, 0));
    int axis;
    if (call->in[0]->rank >= 0)
        TN_TRY(tn_infer_axis(call, tn_attr_int(call->node, "axis", -1), call->in[0]->rank, &axis));
    return tn_infer_same(call, 0, 0);
}

static tn_status prepare_softmax(tn_prepare *call) {
    softmax *s = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    const tn_type *x = call->in[0];
    int64_t axis = tn_attr_int(call->node, "axis", -1), rank = x->rank;
    if (axis < 0) axis += rank;
    bool one = tn_attr_int(call->node, "opset", 13) >= 13;
    s->outer = (size_t)tn_dims_count((int)axis, x->dims);
    s->n = one ? (size_t)x->dims[axis] : (size_t)tn_dims_count((int)(rank - axis), x->dims + axis);
    s->inner = one ? (size_t)tn_dims_count((int)(rank - axis - 1), x->dims + axis + 1) : 1;
    call->state = s;
    return tn_scratch_add(&call->scratch, s->n, sizeof(float)) ? TN_OK : tn_fail(TN_E_SHAPE, "the axis is too large");
}

static tn_status run_softmax(tn_run *call) {
    const softmax *s = call->state;
    const tn_tensor *x = tn_in(call, 0);
    tn_tensor *y = tn_out(call, 0);
    if (!y || tn_count(y) == 0) return TN_OK;
    const tn_quantization to = tn_quantization_at(call, 3);
    float real[256], *row = call->scratch;
    int32_t low = 0, high = 0;
    tn_real_values(x->dtype, tn_quantization_at(call, 1), real);
    tn_quant_limits(y->dtype, &low, &high);
    for (size_t o = 0; o < s->outer; o++)
        for (size_t i = 0; i < s->inner; i++) {
            size_t at = o * s->n * s->inner + i;
            for (size_t k = 0; k < s->n; k++) row[k] = real[((const uint8_t *)x->data)[at + k * s->inner]];
            call->kernels->rows_softmax_f32(row, row, 1, s->n);
            size_t run = s->inner == 1 ? s->n : 1;
            for (size_t k = 0; k < s->n; k += run)
                call->kernels->quantize((uint8_t *)y->data + at + k * s->inner, row + k, run, to.scale, to.zero, low,
                                        high);
        }
    return TN_OK;
}

const tn_op tn_ops_qlinear_softmax[] = {
    {.domain = "com.microsoft",
     .name = "QLinearSoftmax",
     .min_in = 2,
     .max_in = 5,
     .min_out = 1,
     .max_out = 1,
     .infer = infer_softmax,
     .prepare = prepare_softmax,
     .run = run_softmax},
    {0},
};
