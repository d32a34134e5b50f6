/* LpNormalization along one axis, and MeanVarianceNormalization over any set of axes. */
#include "base/element.h"
#include "ops/norm.h"
#include "ops/reduce.h"
#include <math.h>

/* ---- LpNormalization: x / |x|, and 0 where |x| is 0 ---- */
typedef struct lp_state {
    int64_t p;
    size_t outer, n, inner;
} lp_state;

static tn_status lp_infer(tn_infer *call) {
    int axis;
    int64_t p = tn_attr_int(call->node, "p", 2);
    TN_TRY(tn_infer_dtype(call, 0, TN_FLOATS));
    if (p != 1 && p != 2) return tn_fail(TN_E_INVALID, "attribute p is %lld; expected 1 or 2", (long long)p);
    if (call->in[0]->rank >= 0)
        TN_TRY(tn_infer_axis(call, tn_attr_int(call->node, "axis", -1), call->in[0]->rank, &axis));
    return tn_infer_same(call, 0, 0);
}

static tn_status lp_prepare(tn_prepare *call) {
    const tn_type *x = call->in[0];
    lp_state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    int64_t axis = tn_attr_int(call->node, "axis", -1);
    axis += axis < 0 ? x->rank : 0;
    s->p = tn_attr_int(call->node, "p", 2);
    s->outer = s->inner = 1;
    for (int i = 0; i < axis; i++) s->outer *= (size_t)x->dims[i];
    for (int i = (int)axis + 1; i < x->rank; i++) s->inner *= (size_t)x->dims[i];
    s->n = (size_t)x->dims[axis];
    return TN_OK;
}

typedef struct lp_job {
    const lp_state *s;
    const tn_kernels *kernels;
    const tn_tensor *x;
    void *y;
    size_t batch;
} lp_job;

enum { STRIP = 256 };

/* One line of float64. */
static void lp_line(const lp_state *s, double *y, const double *x) {
    double norm = 0;
    for (size_t i = 0; i < s->n; i++) norm += s->p == 1 ? fabs(x[i * s->inner]) : x[i * s->inner] * x[i * s->inner];
    norm = s->p == 1 ? norm : sqrt(norm);
    for (size_t i = 0; i < s->n; i++) y[i * s->inner] = norm == 0 ? 0 : x[i * s->inner] / norm;
}

/* `count` lines of float32 that lie side by side: rows if inner is 1, else columns. */
static void lp_lines(const lp_state *s, const tn_kernels *k, float *y, const float *x, size_t count) {
    float norm[STRIP];
    static const float nothing[STRIP];
    if (s->inner == 1)
        (s->p == 1 ? k->rows_sum_abs_f32 : k->rows_sum_squares_f32)(norm, x, count, s->n);
    else
        (s->p == 1 ? k->columns_sum_abs_f32 : k->columns_sum_squares_f32)(norm, x, s->n, count, s->inner);
    for (size_t i = 0; i < count; i++) norm[i] = norm[i] == 0 ? 0 : 1 / (s->p == 1 ? norm[i] : sqrtf(norm[i]));
    if (s->inner == 1)
        k->rows_affine_f32(y, x, count, s->n, norm, nothing);
    else
        for (size_t r = 0; r < s->n; r++)
            k->columns_affine_f32(y + r * s->inner, x + r * s->inner, 1, count, norm, nothing);
}

static void lp_task(void *context, int64_t index) {
    const lp_job *j = context;
    const lp_state *s = j->s;
    size_t line = (size_t)index * j->batch, end = TN_MIN(line + j->batch, s->outer * s->inner);
    while (line < end) {
        size_t first = line / s->inner * s->n * s->inner + line % s->inner, count = 1;
        if (j->x->dtype == TN_FLOAT32) {
            count = TN_MIN(end - line, s->inner == 1 ? STRIP : TN_MIN(s->inner - line % s->inner, (size_t)STRIP));
            lp_lines(s, j->kernels, (float *)j->y + first, (const float *)j->x->data + first, count);
        } else {
            lp_line(s, (double *)j->y + first, (const double *)j->x->data + first);
        }
        line += count;
    }
}

static tn_status lp_run(tn_run *call) {
    const lp_state *s = call->state;
    tn_tensor *y = tn_out(call, 0);
    if (!y || tn_count(y) == 0) return TN_OK;
    lp_job j = {s, call->kernels, tn_in(call, 0), y->data, TN_MAX(TN_NORM_TASK / s->n, s->inner == 1 ? 1 : STRIP)};
    tn_parallel(call->pool, (int64_t)((s->outer * s->inner + j.batch - 1) / j.batch), lp_task, &j);
    return TN_OK;
}

/* ---- MeanVarianceNormalization: (x - mean) / (deviation + 1e-9) ---- */
static tn_status mvn_axes(const tn_node *node, int rank, bool *reduce) {
    static const int64_t usual[] = {0, 2, 3};
    size_t count;
    const int64_t *axes = tn_attr_ints(node, "axes", &count);
    if (!axes && !tn_node_attr(node, "axes")) axes = usual, count = TN_COUNT(usual);
    for (int i = 0; i < rank; i++) reduce[i] = count == 0;
    for (size_t i = 0; i < count; i++) {
        int64_t axis = axes[i] + (axes[i] < 0 ? rank : 0);
        if (axis < 0 || axis >= rank)
            return tn_fail(TN_E_INVALID, "axis %lld is outside of [%d, %d)", (long long)axes[i], -rank, rank);
        reduce[axis] = true;
    }
    return TN_OK;
}

static tn_status mvn_infer(tn_infer *call) {
    bool reduce[TN_MAX_RANK];
    TN_TRY(tn_infer_dtype(call, 0, TN_FLOATS));
    if (call->in[0]->rank >= 0) TN_TRY(mvn_axes(call->node, call->in[0]->rank, reduce));
    return tn_infer_same(call, 0, 0);
}

static tn_status mvn_prepare(tn_prepare *call) {
    bool reduce[TN_MAX_RANK];
    tn_reduce_shape *shape = call->state = tn_prepare_alloc(call, sizeof *shape);
    if (!shape) return TN_E_MEMORY;
    TN_TRY(mvn_axes(call->node, call->in[0]->rank, reduce));
    tn_reduce_plan(shape, call->in[0]->rank, call->in[0]->dims, reduce);
    return TN_OK;
}

typedef struct mvn_job {
    const tn_reduce_shape *shape;
    const tn_kernels *kernels;
    const tn_tensor *x;
    char *y;
} mvn_job;

/* One output of the reductions: what it depends on lies in runs, or alone in columns. */
static void mvn_task(void *context, int64_t index) {
    const mvn_job *j = context;
    const tn_reduce_shape *s = j->shape;
    tn_dtype dtype = j->x->dtype;
    size_t size = tn_norm_size(dtype), run = s->width == 1 ? s->rows : 1, runs = s->width == 1 ? 1 : s->rows;
    size_t first = tn_reduce_offset(&s->kept, (size_t)index / s->width) + (size_t)index % s->width;
    double mean = 0, variance = 0;
    for (size_t i = 0; i < s->reduced.count; i++) {
        double m, v, share = 1 / (double)(i + 1);
        size_t at = first + tn_reduce_offset(&s->reduced, i);
        tn_moments_of_runs(j->kernels, dtype, (const char *)j->x->data + at * size, run, runs, s->width, &m, &v);
        double d = m - mean;
        mean += d * share;
        variance += (v - variance) * share + d * d * share * (1 - share);
    }
    double a = 1 / (sqrt(variance) + 1e-9);
    for (size_t i = 0; i < s->reduced.count; i++)
        for (size_t r = 0; r < runs; r++) {
            size_t at = (first + tn_reduce_offset(&s->reduced, i) + r * s->width) * size;
            tn_affine(j->kernels, dtype, j->y + at, (const char *)j->x->data + at, run, a, -mean * a);
        }
}

static tn_status mvn_run(tn_run *call) {
    const tn_reduce_shape *s = call->state;
    tn_tensor *y = tn_out(call, 0);
    if (!y || tn_count(y) == 0) return TN_OK;
    mvn_job j = {s, call->kernels, tn_in(call, 0), y->data};
    tn_parallel(call->pool, (int64_t)(s->kept.count * s->width), mvn_task, &j);
    return TN_OK;
}

const tn_op tn_ops_axis_norm[] = {
    {.domain = "",
     .name = "LpNormalization",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN | TN_OP_IN_PLACE,
     .infer = lp_infer,
     .prepare = lp_prepare,
     .run = lp_run},
    {.domain = "",
     .name = "MeanVarianceNormalization",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN | TN_OP_IN_PLACE,
     .infer = mvn_infer,
     .prepare = mvn_prepare,
     .run = mvn_run},
    {0},
};
