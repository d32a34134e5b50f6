/* GlobalAveragePool, GlobalMaxPool and GlobalLpPool: each plane becomes one element. */
#include "graph/op.h"
#include "base/element.h"
#include <math.h>

typedef enum kind { AVERAGE, MAX, LP } kind;

typedef struct state {
    kind kind;
    int64_t p;
    size_t planes, n, batch;
} state;

typedef struct job {
    const state *s;
    const tn_kernels *kernels;
    const tn_tensor *x;
    tn_tensor *y;
} job;

enum { TASK = 16384 };

static kind kind_of(const tn_node *node) {
    const char *name = node->op->name + strlen("Global");
    return name[0] == 'A' ? AVERAGE : name[0] == 'M' ? MAX : LP;
}

static tn_status global_infer(tn_infer *call) {
    const tn_type *x = call->in[0];
    int64_t dims[TN_MAX_RANK], p = tn_attr_int(call->node, "p", 2);
    TN_TRY(tn_infer_dtype(call, 0, TN_FLOATS));
    if (p < 1) return tn_fail(TN_E_INVALID, "attribute p is %lld; expected 1 or more", (long long)p);
    if (x->rank >= 0 && x->rank < 2) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected [N, C, ...]");
    for (int i = 0; i < x->rank; i++) dims[i] = i < 2 ? x->dims[i] : 1;
    return tn_infer_out(call, 0, x->dtype, x->rank, dims);
}

static tn_status global_prepare(tn_prepare *call) {
    const tn_type *x = call->in[0];
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    s->kind = kind_of(call->node);
    s->p = tn_attr_int(call->node, "p", 2);
    s->planes = (size_t)tn_type_count(call->out);
    s->n = 1;
    for (int i = 2; i < x->rank; i++) s->n *= (size_t)x->dims[i];
    s->batch = TN_MAX(TASK / TN_MAX(s->n, 1), 1);
    return TN_OK;
}

static double plain(const state *s, tn_dtype dtype, const void *x, size_t first) {
    double a = s->kind == MAX ? -INFINITY : 0;
    for (size_t i = 0; i < s->n; i++) {
        double v = tn_get_double(dtype, x, (int64_t)(first + i));
        if (s->kind == MAX)
            a = v > a || v != v ? v : a;
        else
            a += s->kind == AVERAGE ? v / (double)s->n : s->p == 1 ? fabs(v) : pow(fabs(v), (double)s->p);
    }
    return s->kind == LP ? pow(a, 1 / (double)s->p) : a;
}

static void global_task(void *context, int64_t index) {
    const job *j = context;
    const state *s = j->s;
    size_t first = (size_t)index * s->batch, count = TN_MIN(s->batch, s->planes - first);
    if (j->x->dtype != TN_FLOAT32 || (s->kind == LP && s->p > 2)) {
        for (size_t i = first; i < first + count; i++)
            tn_set_double(j->y->dtype, j->y->data, (int64_t)i, plain(s, j->x->dtype, j->x->data, i * s->n));
        return;
    }
    const tn_kernels *k = j->kernels;
    const float *x = (const float *)j->x->data + first * s->n;
    float *y = (float *)j->y->data + first;
    (s->kind == AVERAGE ? k->rows_sum_f32
     : s->kind == MAX   ? k->rows_max_f32
     : s->p == 1        ? k->rows_sum_abs_f32
                        : k->rows_sum_squares_f32)(y, x, count, s->n);
    for (size_t i = 0; s->kind == AVERAGE && i < count; i++) y[i] /= (float)s->n;
    if (s->kind == LP && s->p == 2) k->sqrt_f32(y, y, count, NULL);
}

static tn_status global_run(tn_run *call) {
    const state *s = call->state;
    tn_tensor *y = tn_out(call, 0);
    if (!y) return TN_OK;
    job j = {s, call->kernels, tn_in(call, 0), y};
    tn_parallel(call->pool, (int64_t)((s->planes + s->batch - 1) / s->batch), global_task, &j);
    return TN_OK;
}

#define GLOBAL_OP(name_)                                                                                               \
    {                                                                                                                  \
        .domain = "", .name = name_, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,                             \
        .flags = TN_OP_WIDEN | TN_OP_BATCH, .infer = global_infer, .prepare = global_prepare, .run = global_run        \
    }

const tn_op tn_ops_global_pool[] = {
    GLOBAL_OP("GlobalAveragePool"), GLOBAL_OP("GlobalMaxPool"), GLOBAL_OP("GlobalLpPool"), {0}};
