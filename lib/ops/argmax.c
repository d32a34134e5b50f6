/* ArgMax and ArgMin: where the first (or last) largest or smallest element of an axis is.
 *
 * The input is [outer, n, inner]; columns of one outer index are searched side by side. A NaN wins, as in numpy. */
#include "base/element.h"
#include "graph/op.h"

typedef struct state {
    bool largest, last;
    size_t outer, n, inner;
} state;

typedef struct job {
    const state *s;
    const tn_kernels *kernels;
    const tn_tensor *x;
    int64_t *y;
    size_t batch; /* outputs of a task */
} job;

enum { TASK = 16384, STRIP = 256 };

static tn_status arg_infer(tn_infer *call) {
    const tn_type *x = call->in[0];
    int axis;
    TN_TRY(tn_infer_dtype(call, 0, TN_NUMBERS));
    if (x->rank < 0) return tn_infer_out(call, 0, TN_INT64, -1, NULL);
    TN_TRY(tn_infer_axis(call, tn_attr_int(call->node, "axis", 0), x->rank, &axis));
    if (x->dims[axis] > INT32_MAX) return tn_infer_fail(call, 0, TN_E_LIMIT, "axis %d is too long", axis);
    if (x->dims[axis] == 0) return tn_infer_fail(call, 0, TN_E_SHAPE, "axis %d has no elements to choose from", axis);
    bool keep = tn_attr_int(call->node, "keepdims", 1) != 0;
    int64_t dims[TN_MAX_RANK];
    int rank = 0;
    for (int i = 0; i < x->rank; i++)
        if (keep || i != axis) dims[rank++] = i == axis ? 1 : x->dims[i];
    return tn_infer_out(call, 0, TN_INT64, rank, dims);
}

static tn_status arg_prepare(tn_prepare *call) {
    const tn_type *x = call->in[0];
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    int64_t axis = tn_attr_int(call->node, "axis", 0);
    axis += axis < 0 ? x->rank : 0;
    s->largest = strcmp(call->node->op->name, "ArgMax") == 0;
    s->last = tn_attr_int(call->node, "select_last_index", 0) != 0;
    s->outer = s->inner = 1;
    for (int i = 0; i < axis; i++) s->outer *= (size_t)x->dims[i];
    for (int i = (int)axis + 1; i < x->rank; i++) s->inner *= (size_t)x->dims[i];
    s->n = (size_t)x->dims[axis];
    return TN_OK;
}

/* `count` columns from x on. A NaN beats all others; among equals the first, or the last if so wished. */
#define SEARCH(dtype, name, T)                                                                                         \
    static void search_##name(const state *s, int64_t *y, const T *x, size_t count) {                                  \
        T held[STRIP];                                                                                                 \
        for (size_t c = 0; c < count; c++) held[c] = x[c], y[c] = 0;                                                   \
        for (size_t i = 1; i < s->n; i++) {                                                                            \
            const T *row = x + i * s->inner;                                                                           \
            for (size_t c = 0; c < count; c++) {                                                                       \
                T v = row[c], h = held[c];                                                                             \
                bool better = (s->largest ? v > h : v < h) || (v != v && h == h);                                      \
                bool equal = v == h || (v != v && h != h);                                                             \
                if (!(better || (equal && s->last)) || (h != h && v == v)) continue;                                   \
                held[c] = v;                                                                                           \
                y[c] = (int64_t)i;                                                                                     \
            }                                                                                                          \
        }                                                                                                              \
    }
SEARCH(TN_FLOAT64, f64, double)
TN_EACH_INTEGER(SEARCH)

/* A contiguous row: its extreme by a kernel, then where that is. */
static int64_t search_row(const state *s, const tn_kernels *kernels, const float *x) {
    float extreme;
    (s->largest ? kernels->rows_max_f32 : kernels->rows_min_f32)(&extreme, x, 1, s->n);
    for (size_t i = 0; i < s->n; i++) {
        size_t at = s->last ? s->n - 1 - i : i;
        if (x[at] == extreme || (extreme != extreme && x[at] != x[at])) return (int64_t)at;
    }
    return 0;
}

static void arg_task(void *context, int64_t index) {
    const job *j = context;
    const state *s = j->s;
    size_t at = (size_t)index * j->batch, end = TN_MIN(at + j->batch, s->outer * s->inner), count;
    for (; at < end; at += count) {
        size_t column = at % s->inner, first = at / s->inner * s->n * s->inner + column;
        count = TN_MIN(TN_MIN(end - at, s->inner - column), (size_t)STRIP);
        switch (j->x->dtype) {
#define CASE(dtype, name, T)                                                                                           \
    case dtype: search_##name(s, j->y + at, (const T *)j->x->data + first, count); break;
        case TN_FLOAT32:
            if (s->inner == 1)
                j->y[at] = search_row(s, j->kernels, (const float *)j->x->data + first);
            else
                j->kernels->columns_arg_f32(j->y + at, (const float *)j->x->data + first, s->n, count, s->inner,
                                            s->largest, s->last);
            break;
            CASE(TN_FLOAT64, f64, double)
            TN_EACH_INTEGER(CASE)
#undef CASE
        default: break;
        }
    }
}

static tn_status arg_run(tn_run *call) {
    const state *s = call->state;
    tn_tensor *y = tn_out(call, 0);
    if (!y || tn_count(y) == 0) return TN_OK;
    job j = {s, call->kernels, tn_in(call, 0), y->data, TN_MAX(TASK / s->n, s->inner == 1 ? 1 : STRIP)};
    tn_parallel(call->pool, (int64_t)((s->outer * s->inner + j.batch - 1) / j.batch), arg_task, &j);
    return TN_OK;
}

#define ARG_OP(name_)                                                                                                  \
    {                                                                                                                  \
        .domain = "", .name = name_, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, .flags = TN_OP_WIDEN,       \
        .infer = arg_infer, .prepare = arg_prepare, .run = arg_run                                                     \
    }

const tn_op tn_ops_argmax[] = {ARG_OP("ArgMax"), ARG_OP("ArgMin"), {0}};
