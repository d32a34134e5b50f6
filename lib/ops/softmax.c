/* Softmax, LogSoftmax and Hardmax along one axis.
 *
 * The input is [outer, n, inner]: with inner 1 rows are contiguous, else columns are taken side by side. Tasks are
 * ranges of rows, or of columns of one outer index, cut by the shape alone. float64 goes the slow way. */
#include "graph/op.h"
#include <math.h>

typedef enum form { SOFTMAX, LOG_SOFTMAX, HARDMAX } form;

typedef struct state {
    form form;
    size_t outer, n, inner;
    size_t rows;    /* a task's rows, if inner is 1 */
    size_t columns; /* else a task's columns, and how many such pieces inner has */
    size_t pieces, tasks;
} state;

typedef struct job {
    const state *state;
    const tn_kernels *kernels;
    tn_dtype dtype;
    const char *x;
    char *y;
} job;

enum { TASK = 8192 /* elements */ };

static form form_of(const tn_node *node) {
    const char *name = node->op->name;
    return name[0] == 'S' ? SOFTMAX : name[0] == 'L' ? LOG_SOFTMAX : HARDMAX;
}

static tn_status softmax_infer(tn_infer *call) {
    int axis;
    TN_TRY(tn_infer_dtype(call, 0, TN_FLOATS));
    if (call->in[0]->rank == 0) return tn_infer_fail(call, 0, TN_E_SHAPE, "a scalar has no axis");
    if (call->in[0]->rank > 0)
        TN_TRY(tn_infer_axis(call, tn_attr_int(call->node, "axis", -1), call->in[0]->rank, &axis));
    return tn_infer_same(call, 0, 0);
}

static tn_status softmax_prepare(tn_prepare *call) {
    const tn_type *x = call->in[0];
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    int64_t axis = tn_attr_int(call->node, "axis", -1);
    axis += axis < 0 ? x->rank : 0;
    s->form = form_of(call->node);
    s->outer = s->inner = 1;
    for (int i = 0; i < axis; i++) s->outer *= (size_t)x->dims[i];
    for (int i = (int)axis + 1; i < x->rank; i++) s->inner *= (size_t)x->dims[i];
    s->n = (size_t)x->dims[axis];
    if (s->outer == 0 || s->n == 0 || s->inner == 0) return TN_OK;
    if (s->inner == 1) {
        s->rows = TN_MAX(TASK / s->n, 1);
        s->tasks = (s->outer + s->rows - 1) / s->rows;
    } else {
        s->columns = TN_MIN((TN_MAX(TASK / s->n, 1) + 63) / 64 * 64, s->inner); /* whole cache lines */
        s->pieces = (s->inner + s->columns - 1) / s->columns;
        s->tasks = s->outer * s->pieces;
    }
    return TN_OK;
}

/* One line of n elements, `step` apart. */
#define LINE(T, suffix)                                                                                                \
    static void line_##suffix(form f, T *y, const T *x, size_t n, size_t step) {                                       \
        size_t best = 0;                                                                                               \
        for (size_t i = 1; i < n; i++)                                                                                 \
            if (x[i * step] > x[best * step]) best = i;                                                                \
        if (f == HARDMAX) {                                                                                            \
            for (size_t i = 0; i < n; i++) y[i * step] = i == best;                                                    \
            return;                                                                                                    \
        }                                                                                                              \
        double max = (double)x[best * step], sum = 0;                                                                  \
        for (size_t i = 0; i < n; i++) sum += exp((double)x[i * step] - max);                                          \
        for (size_t i = 0; i < n; i++) {                                                                               \
            double v = (double)x[i * step] - max;                                                                      \
            y[i * step] = (T)(f == SOFTMAX ? exp(v) / sum : v - log(sum));                                             \
        }                                                                                                              \
    }
LINE(float, float)
LINE(double, double)

static void softmax_task(void *context, int64_t index) {
    const job *j = context;
    const state *s = j->state;
    size_t first, count, step = s->inner;
    if (s->inner == 1) {
        first = (size_t)index * s->rows * s->n;
        count = TN_MIN(s->rows, s->outer - (size_t)index * s->rows);
    } else {
        size_t column = (size_t)index % s->pieces * s->columns;
        first = (size_t)index / s->pieces * s->n * s->inner + column;
        count = TN_MIN(s->columns, s->inner - column);
    }
    if (j->dtype == TN_FLOAT32 && s->form != HARDMAX) {
        const float *x = (const float *)j->x + first;
        float *y = (float *)j->y + first;
        const tn_kernels *k = j->kernels;
        if (step == 1)
            (s->form == SOFTMAX ? k->rows_softmax_f32 : k->rows_log_softmax_f32)(y, x, count, s->n);
        else
            (s->form == SOFTMAX ? k->columns_softmax_f32 : k->columns_log_softmax_f32)(y, x, s->n, count, step);
        return;
    }
    for (size_t i = 0, apart = step == 1 ? s->n : 1; i < count; i++) {
        size_t at = first + i * apart;
        if (j->dtype == TN_FLOAT32)
            line_float(s->form, (float *)j->y + at, (const float *)j->x + at, s->n, step);
        else
            line_double(s->form, (double *)j->y + at, (const double *)j->x + at, s->n, step);
    }
}

static tn_status softmax_run(tn_run *call) {
    const tn_tensor *x = tn_in(call, 0);
    tn_tensor *y = tn_out(call, 0);
    const state *s = call->state;
    if (!y) return TN_OK;
    job j = {s, call->kernels, x->dtype, x->data, y->data};
    tn_parallel(call->pool, (int64_t)s->tasks, softmax_task, &j);
    return TN_OK;
}

#define SOFTMAX_OP(name_)                                                                                              \
    {                                                                                                                  \
        .domain = "", .name = name_, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,                             \
        .flags = TN_OP_WIDEN | TN_OP_IN_PLACE, .infer = softmax_infer, .prepare = softmax_prepare, .run = softmax_run  \
    }

const tn_op tn_ops_softmax[] = {SOFTMAX_OP("Softmax"), SOFTMAX_OP("LogSoftmax"), SOFTMAX_OP("Hardmax"), {0}};
