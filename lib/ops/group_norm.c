/* InstanceNormalization and GroupNormalization: statistics of each group of channels of each instance, then a scale and
 * a bias for each channel. An instance normalisation is one with groups of one channel. */
#include "base/element.h"
#include "ops/norm.h"
#include <math.h>

typedef struct state {
    double epsilon;
    size_t batch, channels, groups, spatial;
} state;

typedef struct job {
    const state *s;
    const tn_kernels *kernels;
    const tn_tensor *x, *scale, *bias;
    void *y;
    size_t rows; /* groups of a task */
} job;

static bool is_group(const tn_node *node) {
    return node->op->name[0] == 'G';
}

static tn_status group_infer(tn_infer *call) {
    TN_TRY(tn_infer_dtype(call, 0, TN_FLOATS));
    const tn_type *x = call->in[0];
    if (x->rank >= 0 && x->rank < 2) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected [N, C, ...]");
    TN_TRY(tn_infer_channels(call, 1, 3));
    if (is_group(call->node)) {
        int64_t groups = tn_attr_int(call->node, "num_groups", 0);
        if (groups < 1) return tn_fail(TN_E_INVALID, "attribute num_groups is %lld", (long long)groups);
        if (x->rank > 1 && x->dims[1] >= 0 && x->dims[1] % groups)
            return tn_infer_fail(call, 0, TN_E_SHAPE, "num_groups %lld does not divide its channels",
                                 (long long)groups);
    }
    return tn_infer_same(call, 0, 0);
}

static tn_status group_prepare(tn_prepare *call) {
    const tn_type *x = call->in[0];
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    s->epsilon = (double)tn_attr_float(call->node, "epsilon", 1e-5f);
    s->batch = (size_t)x->dims[0];
    s->channels = (size_t)x->dims[1];
    s->groups = is_group(call->node) ? (size_t)tn_attr_int(call->node, "num_groups", 1) : s->channels;
    s->spatial = 1;
    for (int i = 2; i < x->rank; i++) s->spatial *= (size_t)x->dims[i];
    return TN_OK;
}

static void group_task(void *context, int64_t index) {
    const job *j = context;
    const state *s = j->s;
    size_t size = tn_norm_size(j->x->dtype), width = s->channels / s->groups;
    size_t row = (size_t)index * j->rows, end = TN_MIN(row + j->rows, s->batch * s->groups);
    for (; row < end; row++) {
        double mean, variance;
        size_t first = row * width * s->spatial;
        const char *x = (const char *)j->x->data + first * size;
        char *y = (char *)j->y + first * size;
        tn_moments(j->kernels, j->x->dtype, x, width * s->spatial, &mean, &variance);
        double inverse = 1 / sqrt(variance + s->epsilon);
        for (size_t i = 0; i < width; i++) {
            int64_t c = (int64_t)(row % s->groups * width + i);
            double a = tn_get_double(j->scale->dtype, j->scale->data, c) * inverse;
            double b = tn_get_double(j->bias->dtype, j->bias->data, c) - mean * a;
            size_t at = i * s->spatial * size;
            tn_affine(j->kernels, j->x->dtype, y + at, x + at, s->spatial, a, b);
        }
    }
}

static tn_status group_run(tn_run *call) {
    const state *s = call->state;
    tn_tensor *y = tn_out(call, 0);
    if (!y || tn_count(y) == 0) return TN_OK;
    job j = {s, call->kernels, tn_in(call, 0), tn_in(call, 1), tn_in(call, 2), y->data, 1};
    size_t rows = s->batch * s->groups;
    j.rows = TN_MAX(TN_NORM_TASK / (s->channels / s->groups * s->spatial), 1);
    tn_parallel(call->pool, (int64_t)((rows + j.rows - 1) / j.rows), group_task, &j);
    return TN_OK;
}

#define GROUP_OP(name_)                                                                                                \
    {                                                                                                                  \
        .domain = "", .name = name_, .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1,                             \
        .flags = TN_OP_WIDEN | TN_OP_IN_PLACE, .infer = group_infer, .prepare = group_prepare, .run = group_run        \
    }

const tn_op tn_ops_group_norm[] = {GROUP_OP("InstanceNormalization"), GROUP_OP("GroupNormalization"), {0}};
