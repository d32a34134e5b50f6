/* PRelu: x where it is positive, else x times a slope that broadcasts to x's shape (often one a channel). */
#include "base/element.h"
#include "ops/broadcast.h"
#include "ops/unary.h"

typedef struct state {
    tn_broadcast plan;
    tn_unary_kernel *leaky;
} state;

typedef struct job {
    const state *state;
    tn_dtype dtype;
    const char *x, *slope;
    char *y;
} job;

static tn_status prelu_infer(tn_infer *call) {
    static const tn_dtype types[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_FLOAT64,  TN_INT32,
                                     TN_INT64,   TN_UINT32,  TN_UINT64,   TN_UNDEFINED};
    TN_TRY(tn_infer_dtype(call, 0, types));
    TN_TRY(tn_infer_dtype(call, 1, types));
    const tn_type *x = call->in[0], *slope = call->in[1];
    if (x->dtype && slope->dtype && x->dtype != slope->dtype)
        return tn_infer_fail(call, 1, TN_E_TYPE, "expected %s, as input 0 is", tn_dtype_name(x->dtype));
    if (x->rank >= 0 && slope->rank > x->rank)
        return tn_infer_fail(call, 1, TN_E_SHAPE, "it has more dimensions than input 0");
    for (int i = 0; x->rank >= 0 && i < slope->rank; i++) {
        int64_t from = slope->dims[i], to = x->dims[x->rank - slope->rank + i];
        if (from >= 0 && from != 1 && to >= 0 && from != to)
            return tn_infer_fail(call, 1, TN_E_SHAPE, "its dimension %d does not broadcast to input 0's %lld", i,
                                 (long long)to);
    }
    return tn_infer_same(call, 0, 0);
}

static tn_status prelu_prepare(tn_prepare *call) {
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    tn_broadcast_plan(&s->plan, 2, call->in, &call->out[0]);
    s->leaky = call->kernels->leaky_relu_f32;
    return TN_OK;
}

/* One row of n; integers multiply as unsigned ones, which wrap. */
#define ROW(T, U)                                                                                                      \
    for (size_t i = 0; i < n; i++) {                                                                                   \
        T v = ((const T *)x)[i];                                                                                       \
        ((T *)y)[i] = v < 0 ? (T)((U)v * (U)((const T *)slope)[step ? i : 0]) : v;                                     \
    }                                                                                                                  \
    break;

static void prelu_strip(void *context, int64_t first, size_t rows, size_t n, const tn_strip *in) {
    const job *j = context;
    size_t size = tn_dtype_bits(j->dtype) / 8, step = in[1].step;
    for (size_t r = 0; r < rows; r++) {
        const void *x = j->x + ((size_t)in[0].first + r * in[0].row) * size;
        const void *slope = j->slope + ((size_t)in[1].first + r * in[1].row) * size;
        void *y = j->y + ((size_t)first + r * n) * size;
        if (j->dtype == TN_FLOAT32 && !step) {
            j->state->leaky(y, x, n, slope);
            continue;
        }
        switch (j->dtype) {
        case TN_FLOAT32: ROW(float, float)
        case TN_FLOAT64: ROW(double, double)
        case TN_INT32: ROW(int32_t, uint32_t)
        case TN_INT64: ROW(int64_t, uint64_t)
        default: memcpy(y, x, n * size); /* unsigned: nothing is negative */
        }
    }
}

static tn_status prelu_run(tn_run *call) {
    const tn_tensor *x = tn_in(call, 0), *slope = tn_in(call, 1);
    tn_tensor *y = tn_out(call, 0);
    if (!y) return TN_OK;
    const state *s = call->state;
    job j = {s, x->dtype, x->data, slope->data, y->data};
    tn_broadcast_run(&s->plan, call->pool, (int64_t)TN_UNARY_TASK, prelu_strip, &j);
    return TN_OK;
}

const tn_op tn_ops_prelu[] = {
    {.domain = "",
     .name = "PRelu",
     .min_in = 2,
     .max_in = 2,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN | TN_OP_IN_PLACE,
     .infer = prelu_infer,
     .prepare = prelu_prepare,
     .run = prelu_run},
    {0},
};
