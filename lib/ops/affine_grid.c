/* AffineGrid: theta [N, k, k + 1] applied to the positions of an output of `size` [N, C, spatial...] of k = 2 or 3 axes,
 * each running over [-1, 1]; the grid [N, spatial..., k] names the innermost axis first, as GridSample reads it. */
#include "ops/data.h"

static tn_status affine_infer(tn_infer *call) {
    int64_t size[5], dims[5] = {-1, -1, -1, -1, -1}, count = -1;
    size_t known = 0;
    TN_TRY(tn_infer_dtype(call, 0, TN_FLOATS));
    TN_TRY(tn_infer_list(call, 1, &count));
    const tn_type *theta = call->in[0];
    if (theta->rank >= 0 && theta->rank != 3) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected 3 dimensions");
    if (count >= 0 && count != 4 && count != 5) return tn_infer_fail(call, 1, TN_E_SHAPE, "expected 4 or 5 elements");
    if (count < 0 && theta->rank == 3 && theta->dims[1] >= 0) count = theta->dims[1] + 2;
    if (count < 0) return tn_infer_out(call, 0, theta->dtype, -1, NULL);
    if (theta->rank == 3 && (!tn_dim_fits(theta->dims[1], count - 2) || !tn_dim_fits(theta->dims[2], count - 1)))
        return tn_infer_fail(call, 0, TN_E_SHAPE, "expected [N,2,3] for a size of 4 elements, [N,3,4] for one of 5");
    if (tn_infer_ints(call, 1, size, 5, &known)) {
        for (int i = 0; i < count; i++)
            if (size[i] < 0) return tn_infer_fail(call, 1, TN_E_INVALID, "it holds a size of %lld", (long long)size[i]);
        if (theta->rank == 3 && !tn_dim_fits(theta->dims[0], size[0]))
            return tn_infer_fail(call, 0, TN_E_SHAPE, "expected a batch of %lld, as size says", (long long)size[0]);
        for (int i = 2; i < count; i++) dims[i - 1] = size[i];
        dims[0] = size[0];
    } else if (theta->rank == 3) {
        dims[0] = theta->dims[0];
    }
    dims[count - 1] = count - 2;
    return tn_infer_out(call, 0, theta->dtype, (int)count, dims);
}

static tn_status affine_prepare(tn_prepare *call) {
    bool *align = tn_prepare_alloc(call, sizeof *align);
    if (!align) return TN_E_MEMORY;
    *align = tn_attr_int(call->node, "align_corners", 0) != 0;
    call->state = align;
    return TN_OK;
}

/* Position i of `size` in [-1, 1]. */
static double place(bool align, int64_t i, int64_t size) {
    if (!align) return (2 * (double)i + 1) / (double)size - 1;
    return size > 1 ? 2 * (double)i / (double)(size - 1) - 1 : 0;
}

static tn_status affine_run(tn_run *call) {
    const tn_tensor *theta = tn_in(call, 0);
    tn_tensor *out = tn_out(call, 0);
    const bool align = *(const bool *)call->state;
    if (!out) return TN_OK;
    int axes = out->rank - 2;
    int64_t positions = tn_dims_span(out->dims, 1, out->rank - 1);
    for (int64_t n = 0; n < out->dims[0]; n++)
        for (int64_t p = 0; p < positions; p++) {
            double at[4] = {0};
            int64_t rest = p;
            for (int i = 0; i < axes; i++) {
                int64_t size = out->dims[out->rank - 2 - i];
                at[i] = place(align, rest % size, size);
                rest /= size;
            }
            at[axes] = 1;
            for (int i = 0; i < axes; i++) {
                double sum = 0;
                for (int k = 0; k <= axes; k++)
                    sum += at[k] * tn_get_double(theta->dtype, theta->data, (n * axes + i) * (axes + 1) + k);
                tn_set_double(out->dtype, out->data, (n * positions + p) * axes + i, sum);
            }
        }
    return TN_OK;
}

const tn_op tn_ops_affine_grid[] = {
    {.domain = "",
     .name = "AffineGrid",
     .min_in = 2,
     .max_in = 2,
     .min_out = 1,
     .max_out = 1,
     .infer = affine_infer,
     .prepare = affine_prepare,
     .run = affine_run},
    {0},
};
