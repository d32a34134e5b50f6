/* CumSum and CumProd: running sums and products along an axis that an input names.
 *
 * The input is [outer, n, inner]; columns of one outer index run side by side. Floats accumulate in double, integers
 * modulo 2^64. */
#include "ops/data.h"

typedef struct state {
    bool product, exclusive, reverse;
} state;

typedef struct job {
    const state *s;
    const tn_tensor *x;
    void *y;
    size_t n, inner, lines, batch;
} job;

enum { TASK = 16384, STRIP = 128 };

static tn_status cumulative_infer(tn_infer *call) {
    static const tn_dtype types[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_FLOAT64,  TN_INT32,
                                     TN_INT64,   TN_UINT32,  TN_UINT64,   TN_UNDEFINED};
    int64_t axis;
    int normal;
    size_t count;
    TN_TRY(tn_infer_dtype(call, 0, types));
    TN_TRY(tn_infer_index(call, 1));
    if (call->in[0]->rank == 0) return tn_infer_fail(call, 0, TN_E_SHAPE, "a scalar has no axis");
    if (tn_infer_ints(call, 1, &axis, 1, &count) && count == 1 && call->in[0]->rank > 0)
        TN_TRY(tn_infer_axis(call, axis, call->in[0]->rank, &normal));
    return tn_infer_same(call, 0, 0);
}

static tn_status cumulative_prepare(tn_prepare *call) {
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    s->product = strcmp(call->node->op->name, "CumProd") == 0;
    s->exclusive = tn_attr_int(call->node, "exclusive", 0) != 0;
    s->reverse = tn_attr_int(call->node, "reverse", 0) != 0;
    return TN_OK;
}

#define RUN(T, A)                                                                                                      \
    {                                                                                                                  \
        const T *x = (const T *)j->x->data + first;                                                                    \
        T *y = (T *)j->y + first;                                                                                      \
        A total[STRIP];                                                                                                \
        for (size_t c = 0; c < count; c++) total[c] = (A)s->product;                                                   \
        for (size_t i = 0; i < j->n; i++) {                                                                            \
            size_t row = (s->reverse ? j->n - 1 - i : i) * j->inner;                                                   \
            for (size_t c = 0; c < count; c++) {                                                                       \
                A old = total[c], v = (A)x[row + c];                                                                   \
                total[c] = s->product ? old * v : old + v;                                                             \
                y[row + c] = (T)(s->exclusive ? old : total[c]);                                                       \
            }                                                                                                          \
        }                                                                                                              \
        break;                                                                                                         \
    }

static void cumulative_task(void *context, int64_t index) {
    const job *j = context;
    const state *s = j->s;
    size_t at = (size_t)index * j->batch, end = TN_MIN(at + j->batch, j->lines), count;
    for (; at < end; at += count) {
        size_t column = at % j->inner, first = at / j->inner * j->n * j->inner + column;
        count = TN_MIN(TN_MIN(end - at, j->inner - column), (size_t)STRIP);
        switch (j->x->dtype) {
        case TN_FLOAT32: RUN(float, double)
        case TN_FLOAT64: RUN(double, double)
        case TN_INT32: RUN(int32_t, uint64_t)
        case TN_INT64: RUN(int64_t, uint64_t)
        case TN_UINT32: RUN(uint32_t, uint64_t)
        case TN_UINT64: RUN(uint64_t, uint64_t)
        default: break;
        }
    }
}

static tn_status cumulative_run(tn_run *call) {
    const tn_tensor *x = tn_in(call, 0), *axis_tensor = tn_in(call, 1);
    tn_tensor *y = tn_out(call, 0);
    if (!y || tn_count(y) == 0) return TN_OK;
    if (tn_count(axis_tensor) != 1)
        return tn_fail(TN_E_SHAPE, "input 1 has %lld elements; expected one axis", (long long)tn_count(axis_tensor));
    int64_t axis = tn_index_at(axis_tensor, 0);
    if (axis < -x->rank || axis >= x->rank)
        return tn_fail(TN_E_INVALID, "axis %lld is outside of [%d, %d)", (long long)axis, -x->rank, x->rank);
    axis += axis < 0 ? x->rank : 0;
    job j = {.s = call->state, .x = x, .y = y->data, .n = (size_t)x->dims[axis]};
    j.inner = (size_t)tn_dims_span(x->dims, (int)axis + 1, x->rank);
    j.lines = (size_t)tn_dims_span(x->dims, 0, (int)axis) * j.inner;
    j.batch = TN_MAX(TASK / j.n, j.inner == 1 ? 1 : STRIP);
    tn_parallel(call->pool, (int64_t)((j.lines + j.batch - 1) / j.batch), cumulative_task, &j);
    return TN_OK;
}

#define CUMULATIVE_OP(name_)                                                                                           \
    {                                                                                                                  \
        .domain = "", .name = name_, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,                             \
        .flags = TN_OP_WIDEN | TN_OP_IN_PLACE, .infer = cumulative_infer, .prepare = cumulative_prepare,               \
        .run = cumulative_run                                                                                          \
    }

const tn_op tn_ops_cumulative[] = {CUMULATIVE_OP("CumSum"), CUMULATIVE_OP("CumProd"), {0}};
