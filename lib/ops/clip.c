/* Clip: Min(max, Max(min, x)); an absent bound bounds nothing. NaN elements stay. */
#include "ops/data.h"

static tn_status infer_clip(tn_infer *call) {
    TN_TRY(tn_infer_dtype(call, 0, TN_NUMBERS));
    for (int i = 1; i < call->in_count; i++) {
        if (!tn_infer_has(call, i)) continue;
        TN_TRY(tn_infer_dtype(call, i, TN_NUMBERS));
        TN_TRY(tn_infer_equal_dtype(call, 0, i));
        const tn_type *bound = call->in[i];
        /* A scalar by the specification; lists of one element are met. */
        for (int k = 0; k < bound->rank; k++)
            if (bound->dims[k] >= 0 && bound->dims[k] != 1)
                return tn_infer_fail(call, i, TN_E_SHAPE, "expected a scalar");
    }
    return tn_infer_same(call, 0, 0);
}

enum { BLOCK = 1 << 15 };

typedef struct {
    const tn_kernels *kernels;
    const tn_tensor *x, *low, *high;
    tn_tensor *y;
    int64_t count;
} clip_run;

/* X(dtype, C type, lowest, highest): what an absent bound is */
#define TYPES(X)                                                                                                       \
    X(TN_FLOAT64, double, -(double)__builtin_inf(), (double)__builtin_inf())                                           \
    X(TN_INT8, int8_t, INT8_MIN, INT8_MAX)                                                                             \
    X(TN_INT16, int16_t, INT16_MIN, INT16_MAX)                                                                         \
    X(TN_INT32, int32_t, INT32_MIN, INT32_MAX)                                                                         \
    X(TN_INT64, int64_t, INT64_MIN, INT64_MAX)                                                                         \
    X(TN_UINT8, uint8_t, 0, UINT8_MAX)                                                                                 \
    X(TN_UINT16, uint16_t, 0, UINT16_MAX)                                                                              \
    X(TN_UINT32, uint32_t, 0, UINT32_MAX)                                                                              \
    X(TN_UINT64, uint64_t, 0, UINT64_MAX)

static void clip_task(void *context, int64_t index) {
    const clip_run *r = context;
    int64_t first = index * BLOCK;
    size_t n = (size_t)TN_MIN(r->count - first, (int64_t)BLOCK);
    switch (r->x->dtype) {
    case TN_FLOAT32: {
        float low = r->low ? *(const float *)r->low->data : -__builtin_inff();
        float high = r->high ? *(const float *)r->high->data : __builtin_inff();
        r->kernels->clip_f32(n, (float *)r->y->data + first, (const float *)r->x->data + first, low, high);
        return;
    }
#define CLIP(name, T, lowest, highest)                                                                                 \
    case name: {                                                                                                       \
        T low = r->low ? *(const T *)r->low->data : lowest, high = r->high ? *(const T *)r->high->data : highest;      \
        const T *x = (const T *)r->x->data + first;                                                                    \
        T *y = (T *)r->y->data + first;                                                                                \
        for (size_t i = 0; i < n; i++) {                                                                               \
            T v = x[i] < low ? low : x[i];                                                                             \
            y[i] = v > high ? high : v;                                                                                \
        }                                                                                                              \
        return;                                                                                                        \
    }
        TYPES(CLIP)
#undef CLIP
    default: return;
    }
}

static tn_status run_clip(tn_run *call) {
    clip_run r = {call->kernels, tn_in(call, 0), tn_in(call, 1), tn_in(call, 2), tn_out(call, 0), 0};
    if (!r.y) return TN_OK;
    r.count = tn_count(r.x);
    tn_parallel(call->pool, (r.count + BLOCK - 1) / BLOCK, clip_task, &r);
    return TN_OK;
}

const tn_op tn_ops_clip[] = {
    {.domain = "",
     .name = "Clip",
     .min_in = 1,
     .max_in = 3,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN | TN_OP_IN_PLACE | TN_OP_BATCH,
     .infer = infer_clip,
     .run = run_clip},
    {0},
};
