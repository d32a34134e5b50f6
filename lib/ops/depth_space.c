/* DepthToSpace and SpaceToDepth: blocks of b x b channels become pixels, or back. Each is one move of six dims.
 * Input and output are [N, C, H, W]. */
#include "ops/data.h"

static tn_status get_block(const tn_node *node, int64_t *block, bool *columns_first) {
    const char *mode = tn_attr_text(node, "mode", "DCR");
    *block = tn_attr_int(node, "blocksize", 0);
    *columns_first = strcmp(mode, "CRD") == 0;
    if (*block < 1 || *block > INT32_MAX)
        return tn_fail(TN_E_INVALID, "blocksize is %lld; expected at least 1", (long long)*block);
    if (!*columns_first && strcmp(mode, "DCR") != 0)
        return tn_fail(TN_E_INVALID, "mode is '%s'; expected DCR or CRD", mode);
    return TN_OK;
}

static tn_status scale_dim(const tn_infer *call, int axis, int64_t factor, bool divide, int64_t *dim) {
    if (*dim < 0) {
        if (factor != 1) *dim = -1;
        return TN_OK;
    }
    if (divide ? *dim % factor : __builtin_mul_overflow(*dim, factor, dim))
        return tn_infer_fail(call, 0, TN_E_SHAPE, "its dimension %d does not %s by %lld", axis,
                             divide ? "divide" : "multiply", (long long)factor);
    if (divide) *dim /= factor;
    return TN_OK;
}

static tn_status infer(tn_infer *call, bool to_space) {
    int64_t block, dims[TN_MAX_RANK];
    bool columns_first;
    TN_TRY(tn_infer_tensor(call, 0));
    TN_TRY(get_block(call->node, &block, &columns_first));
    const tn_type *data = call->in[0];
    if (data->rank >= 0 && data->rank != 4) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected 4 dimensions");
    memcpy(dims, data->dims, sizeof dims);
    if (data->rank == 4) {
        TN_TRY(scale_dim(call, 1, block * block, to_space, &dims[1]));
        TN_TRY(scale_dim(call, 2, block, !to_space, &dims[2]));
        TN_TRY(scale_dim(call, 3, block, !to_space, &dims[3]));
    }
    return tn_infer_out(call, 0, data->dtype, 4, dims);
}

static tn_status depth_to_space_infer(tn_infer *call) {
    return infer(call, true);
}
static tn_status space_to_depth_infer(tn_infer *call) {
    return infer(call, false);
}

static tn_move *start_move(tn_prepare *call, int64_t *block, bool *columns_first) {
    tn_move *m = tn_prepare_alloc(call, sizeof *m);
    if (!m || get_block(call->node, block, columns_first) != TN_OK) return NULL;
    m->bits = tn_dtype_bits(call->in[0]->dtype);
    m->rank = 6;
    return m;
}

static void set_dim(tn_move *m, int i, int64_t dim, int64_t src_stride) {
    m->dims[i] = dim;
    m->src_strides[i] = src_stride;
}

static tn_status depth_to_space_prepare(tn_prepare *call) {
    int64_t b;
    bool columns_first;
    tn_move *m = start_move(call, &b, &columns_first);
    if (!m) return TN_E_MEMORY;
    const int64_t *d = call->in[0]->dims, plane = d[2] * d[3], channels = d[1] / (b * b);
    int64_t channel = columns_first ? b * b * plane : plane, pixel = columns_first ? plane : channels * plane;
    set_dim(m, 0, d[0], d[1] * plane);
    set_dim(m, 1, channels, channel);
    set_dim(m, 2, d[2], d[3]);
    set_dim(m, 3, b, b * pixel);
    set_dim(m, 4, d[3], 1);
    set_dim(m, 5, b, pixel);
    tn_dense_strides(6, m->dims, m->dst_strides);
    tn_move_plan(m);
    call->state = m;
    return TN_OK;
}

static tn_status space_to_depth_prepare(tn_prepare *call) {
    int64_t b;
    bool columns_first;
    tn_move *m = start_move(call, &b, &columns_first);
    if (!m) return TN_E_MEMORY;
    const int64_t *d = call->in[0]->dims;
    set_dim(m, 0, d[0], d[1] * d[2] * d[3]);
    set_dim(m, 1, b, d[3]);
    set_dim(m, 2, b, 1);
    set_dim(m, 3, d[1], d[2] * d[3]);
    set_dim(m, 4, d[2] / b, b * d[3]);
    set_dim(m, 5, d[3] / b, b);
    tn_dense_strides(6, m->dims, m->dst_strides);
    tn_move_plan(m);
    call->state = m;
    return TN_OK;
}

static tn_status run(tn_run *call) {
    tn_tensor *out = tn_out(call, 0);
    if (out) tn_move_run(call->state, call->kernels, call->pool, out->data, 0, tn_in(call, 0)->data, 0);
    return TN_OK;
}

const tn_op tn_ops_depth_space[] = {
    {.domain = "",
     .name = "DepthToSpace",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .infer = depth_to_space_infer,
     .prepare = depth_to_space_prepare,
     .run = run},
    {.domain = "",
     .name = "SpaceToDepth",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .infer = space_to_depth_infer,
     .prepare = space_to_depth_prepare,
     .run = run},
    {0},
};
