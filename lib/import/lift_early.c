/* Lifting operators that ai.onnx had, on trial, before its first opsets were settled, and that converters of that time
 * wrote (from Caffe2 and CoreML). Their sources are the schemas that ONNX Runtime still carries. */
#include <limits.h>
#include "import/lift.h"

/* Puts y = op(...) in the place of the draft, which is done with. */
static tn_status finish(tn_lift *lift, const char *op, int a, int b) {
    lift->done = true;
    if (lift->node.out_count < 1) return TN_OK;
    return tn_lift_add_to(lift, op, b < 0 ? 1 : 2, (int[]){a, b}, lift->node.out[0], 0, NULL);
}

static int attr_scalar(tn_lift *lift, const char *name, float fallback) {
    return tn_lift_scalar(lift, tn_lift_dtype(lift, 0), (double)tn_attr_float(&lift->node, name, fallback));
}

static tn_status expect_inputs(const tn_lift *lift, int count) {
    for (int i = 0; i < count; i++)
        if (tn_lift_input(lift, i) < 0) return tn_fail(TN_E_INVALID, "it has no input %d", i);
    return TN_OK;
}

/* alpha * x + beta */
static tn_status affine(tn_lift *lift) {
    TN_TRY(expect_inputs(lift, 1));
    int scaled = tn_lift_two(lift, "Mul", lift->node.in[0], attr_scalar(lift, "alpha", 1));
    return finish(lift, "Add", scaled, attr_scalar(lift, "beta", 0));
}

static tn_status scale(tn_lift *lift) {
    TN_TRY(expect_inputs(lift, 1));
    return finish(lift, "Mul", lift->node.in[0], attr_scalar(lift, "scale", 1));
}

/* Of images [N, C, H, W]: scale * x + bias, one bias a channel. */
static tn_status image_scaler(tn_lift *lift) {
    size_t count;
    const float *values = tn_attr_floats(&lift->node, "bias", &count);
    TN_TRY(expect_inputs(lift, 1));
    int scaled = tn_lift_two(lift, "Mul", lift->node.in[0], attr_scalar(lift, "scale", 1));
    if (!count) return finish(lift, "Identity", scaled, -1);
    int bias = tn_lift_cast(lift, tn_lift_floats(lift, count, values), tn_lift_dtype(lift, 0));
    return finish(lift, "Add", scaled, tn_lift_two(lift, "Unsqueeze", bias, tn_lift_ints(lift, 2, (int64_t[]){1, 2})));
}

/* alpha * tanh(beta * x) */
static tn_status scaled_tanh(tn_lift *lift) {
    TN_TRY(expect_inputs(lift, 1));
    int inner = tn_lift_two(lift, "Mul", lift->node.in[0], attr_scalar(lift, "beta", 0));
    return finish(lift, "Mul", tn_lift_one(lift, "Tanh", inner), attr_scalar(lift, "alpha", 0));
}

/* alpha * log(1 + exp(beta * x)) */
static tn_status parametric_softplus(tn_lift *lift) {
    TN_TRY(expect_inputs(lift, 1));
    int inner = tn_lift_two(lift, "Mul", lift->node.in[0], attr_scalar(lift, "beta", 0));
    return finish(lift, "Mul", tn_lift_one(lift, "Softplus", inner), attr_scalar(lift, "alpha", 0));
}

/* Of images [N, C, H, W]: border is what goes on the left, above, on the right, below; or scale, what is kept then. */
static tn_status crop(tn_lift *lift) {
    size_t borders, sizes;
    const int64_t *border = tn_attr_ints(&lift->node, "border", &borders);
    const int64_t *size = tn_attr_ints(&lift->node, "scale", &sizes);
    TN_TRY(expect_inputs(lift, 1));
    if (borders != 4 || (sizes && sizes != 2))
        return tn_fail(TN_E_INVALID, "border has %zu values and scale %zu; expected 4, and 2 or none", borders, sizes);
    for (int i = 0; i < 4; i++)
        if (border[i] < 0 || border[i] > INT32_MAX || (sizes && (size[i % 2] < 0 || size[i % 2] > INT32_MAX)))
            return tn_fail(TN_E_INVALID, "border and scale expect sizes that are not negative");
    int64_t ends[2] = {border[3] ? -border[3] : INT32_MAX, border[2] ? -border[2] : INT32_MAX};
    for (int i = 0; sizes && i < 2; i++) ends[i] = border[1 - i] + size[i];
    int list[4] = {lift->node.in[0], tn_lift_ints(lift, 2, (int64_t[]){border[1], border[0]}),
                   tn_lift_ints(lift, 2, ends), tn_lift_ints(lift, 2, (int64_t[]){2, 3})};
    lift->done = true;
    return lift->node.out_count < 1 ? TN_OK : tn_lift_add_to(lift, "Slice", 4, list, lift->node.out[0], 0, NULL);
}

static tn_status dynamic_slice(tn_lift *lift) {
    lift->op = "Slice";
    return TN_OK;
}

const tn_lift_rule tn_lift_early[] = {
    {"Affine", INT_MAX, affine},
    {"Scale", INT_MAX, scale},
    {"ImageScaler", INT_MAX, image_scaler},
    {"ScaledTanh", INT_MAX, scaled_tanh},
    {"ParametricSoftplus", INT_MAX, parametric_softplus},
    {"Crop", INT_MAX, crop},
    {"DynamicSlice", INT_MAX, dynamic_slice},
    {0},
};
