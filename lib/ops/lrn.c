/* LRN (Krizhevsky, Sutskever, Hinton 2012): each element over a power of the sum of squares of its neighbours among the
 * channels. Strips of positions go through all channels, so that the inner loops are contiguous. */
#include "graph/op.h"
#include <math.h>

enum { STRIP = 256 };

typedef struct state {
    double alpha, beta, bias; /* alpha is divided by size already */
    size_t size, batch, channels, spatial, strips;
} state;

typedef struct job {
    const state *s;
    const tn_kernels *kernels;
    const tn_tensor *x;
    void *y;
} job;

static tn_status lrn_infer(tn_infer *call) {
    TN_TRY(tn_infer_dtype(call, 0, TN_FLOATS));
    if (call->in[0]->rank >= 0 && call->in[0]->rank < 2)
        return tn_infer_fail(call, 0, TN_E_SHAPE, "expected [N, C, ...]");
    int64_t size = tn_attr_int(call->node, "size", 0);
    if (size < 1) return tn_fail(TN_E_INVALID, "attribute size is %lld; expected 1 or more", (long long)size);
    return tn_infer_same(call, 0, 0);
}

static tn_status lrn_prepare(tn_prepare *call) {
    const tn_type *x = call->in[0];
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    int64_t size = tn_attr_int(call->node, "size", 1);
    s->alpha = (double)tn_attr_float(call->node, "alpha", 1e-4f) / (double)size;
    s->beta = (double)tn_attr_float(call->node, "beta", 0.75f);
    s->bias = (double)tn_attr_float(call->node, "bias", 1);
    s->batch = (size_t)x->dims[0];
    s->channels = (size_t)x->dims[1];
    s->spatial = 1;
    for (int i = 2; i < x->rank; i++) s->spatial *= (size_t)x->dims[i];
    s->size = (size_t)TN_MIN(size, 2 * x->dims[1] + 1); /* wider ones see all channels just the same */
    s->strips = (s->spatial + STRIP - 1) / STRIP;
    return TN_OK;
}

/* base to the power of -beta, into base */
static void power_f32(const job *j, float *base, size_t n) {
    j->kernels->log_f32(base, base, n, NULL);
    for (size_t i = 0; i < n; i++) base[i] *= -(float)j->s->beta;
    j->kernels->exp_f32(base, base, n, NULL);
}

static void power_f64(const job *j, double *base, size_t n) {
    for (size_t i = 0; i < n; i++) base[i] = pow(base[i], -j->s->beta);
}

#define STRIP_OF(T, power)                                                                                             \
    {                                                                                                                  \
        const T *x = (const T *)j->x->data + first;                                                                    \
        T *y = (T *)j->y + first, sum[STRIP];                                                                          \
        for (size_t c = 0; c < s->channels; c++) {                                                                     \
            size_t low = c - TN_MIN(c, (s->size - 1) / 2), high = TN_MIN(c + s->size / 2, s->channels - 1);            \
            for (size_t i = 0; i < n; i++) sum[i] = 0;                                                                 \
            for (size_t k = low; k <= high; k++)                                                                       \
                for (size_t i = 0; i < n; i++) sum[i] += x[k * s->spatial + i] * x[k * s->spatial + i];                \
            for (size_t i = 0; i < n; i++) sum[i] = (T)s->bias + (T)s->alpha * sum[i];                                 \
            power(j, sum, n);                                                                                          \
            for (size_t i = 0; i < n; i++) y[c * s->spatial + i] = x[c * s->spatial + i] * sum[i];                     \
        }                                                                                                              \
    }

static void lrn_task(void *context, int64_t index) {
    const job *j = context;
    const state *s = j->s;
    size_t at = (size_t)index % s->strips * STRIP, n = TN_MIN(s->spatial - at, (size_t)STRIP);
    size_t first = (size_t)index / s->strips * s->channels * s->spatial + at;
    if (j->x->dtype == TN_FLOAT32)
        STRIP_OF(float, power_f32)
    else
        STRIP_OF(double, power_f64)
}

static tn_status lrn_run(tn_run *call) {
    const state *s = call->state;
    tn_tensor *y = tn_out(call, 0);
    if (!y || tn_count(y) == 0) return TN_OK;
    job j = {s, call->kernels, tn_in(call, 0), y->data};
    tn_parallel(call->pool, (int64_t)(s->batch * s->strips), lrn_task, &j);
    return TN_OK;
}

const tn_op tn_ops_lrn[] = {
    {.domain = "",
     .name = "LRN",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN,
     .infer = lrn_infer,
     .prepare = lrn_prepare,
     .run = lrn_run},
    {0},
};
