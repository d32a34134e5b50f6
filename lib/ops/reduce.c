/* ReduceSum and its family: axes as an input.
 *
 * float32 goes through kernels on the blocks of reduce.h: a unit of work is one block, cut to a bounded number of rows
 * and columns; where several units go into one output, their results are kept apart in scratch memory and combined in
 * order, so that threads change nothing. Other dtypes, and what is rare, go through tn_reduce_generic. */
#include "ops/reduce.h"
#include <math.h>

typedef void rows_kernel(float *y, const float *x, size_t rows, size_t n);
typedef void columns_kernel(float *y, const float *x, size_t rows, size_t n, size_t stride);

typedef struct state {
    tn_reduction kind;
    tn_reduce_shape shape;
    bool noop;
    bool late;       /* axes are known to run alone */
    bool fast;       /* float32 through kernels */
    size_t elements; /* that go into one output */
    rows_kernel *rows, *combine_rows;
    columns_kernel *columns, *combine_columns;
    /* A block's rows are cut into `blocks` pieces of at most block_rows, its columns into `chunks` of at most chunk. */
    size_t block_rows, blocks, chunk, chunks, parts, units, batch;
} state;

enum { TASK = 16384, COLUMNS = 1024 };

static const struct {
    const char *name;
    bool order; /* takes bool and 8-bit integers too */
} kinds[] = {
    [TN_REDUCE_SUM] = {"ReduceSum", false},
    [TN_REDUCE_MEAN] = {"ReduceMean", false},
    [TN_REDUCE_MAX] = {"ReduceMax", true},
    [TN_REDUCE_MIN] = {"ReduceMin", true},
    [TN_REDUCE_PROD] = {"ReduceProd", false},
    [TN_REDUCE_L1] = {"ReduceL1", false},
    [TN_REDUCE_L2] = {"ReduceL2", false},
    [TN_REDUCE_LOG_SUM] = {"ReduceLogSum", false},
    [TN_REDUCE_LOG_SUM_EXP] = {"ReduceLogSumExp", false},
    [TN_REDUCE_SUM_SQUARE] = {"ReduceSumSquare", false},
};

static bool is_noop(const tn_node *node) {
    return tn_attr_int(node, "noop_with_empty_axes", 0) != 0;
}

static tn_reduction kind_of(const tn_node *node) {
    int kind = 0;
    while (strcmp(kinds[kind].name, node->op->name) != 0) kind++;
    return (tn_reduction)kind;
}

/* Marks the axes; none given means all, or none at all if noop. */
static tn_status mark(bool noop, int rank, size_t count, const int64_t *axes, bool *reduce) {
    for (int i = 0; i < rank; i++) reduce[i] = count == 0 && !noop;
    for (size_t i = 0; i < count; i++) {
        int64_t axis = axes[i] + (axes[i] < 0 ? rank : 0);
        if (axis < 0 || axis >= rank)
            return tn_fail(TN_E_INVALID, "axis %lld is outside of [%d, %d)", (long long)axes[i], -rank, rank);
        if (reduce[axis]) return tn_fail(TN_E_INVALID, "axis %lld is given twice", (long long)axis);
        reduce[axis] = true;
    }
    return TN_OK;
}

static tn_status reduce_infer(tn_infer *call) {
    static const tn_dtype sums[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_FLOAT64,  TN_INT32,
                                    TN_INT64,   TN_UINT32,  TN_UINT64,   TN_UNDEFINED};
    static const tn_dtype order[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_FLOAT64, TN_INT32, TN_INT64,
                                     TN_UINT32,  TN_UINT64,  TN_INT8,     TN_UINT8,   TN_BOOL,  TN_UNDEFINED};
    const tn_type *x = call->in[0];
    TN_TRY(tn_infer_dtype(call, 0, kinds[kind_of(call->node)].order ? order : sums));
    int64_t axes[TN_MAX_RANK], dims[TN_MAX_RANK], given = 0;
    bool reduce[TN_MAX_RANK], keep = tn_attr_int(call->node, "keepdims", 1) != 0;
    size_t count = 0;
    if (tn_infer_has(call, 1)) {
        TN_TRY(tn_infer_dtype(call, 1, (const tn_dtype[]){TN_INT64, TN_UNDEFINED}));
        if (call->in[1]->rank > 1) return tn_infer_fail(call, 1, TN_E_SHAPE, "expected a list of axes");
        given = call->in[1]->rank == 1 ? call->in[1]->dims[0] : -1;
        if (x->rank >= 0 && given > x->rank)
            return tn_infer_fail(call, 1, TN_E_SHAPE, "more axes than input 0's %d", x->rank);
        if (given != 0 && !tn_infer_ints(call, 1, axes, TN_MAX_RANK, &count)) count = SIZE_MAX;
    }
    if (x->rank < 0) return tn_infer_out(call, 0, x->dtype, -1, NULL);
    if (count == SIZE_MAX) {
        for (int i = 0; i < TN_MAX_RANK; i++) dims[i] = -1;
        return tn_infer_out(call, 0, x->dtype, keep ? x->rank : given > 0 ? x->rank - (int)given : -1, dims);
    }
    TN_TRY(mark(is_noop(call->node), x->rank, count, axes, reduce));
    int rank = 0;
    for (int i = 0; i < x->rank; i++)
        if (keep || !reduce[i]) dims[rank++] = reduce[i] ? 1 : x->dims[i];
    return tn_infer_out(call, 0, x->dtype, rank, dims);
}

static tn_status plan(tn_reduce_shape *shape, bool noop, int rank, const int64_t *dims, const tn_tensor *axes) {
    bool reduce[TN_MAX_RANK];
    int64_t count = axes ? tn_count(axes) : 0;
    if (count > rank) return tn_fail(TN_E_SHAPE, "%lld axes to reduce; input 0 has %d", (long long)count, rank);
    TN_TRY(mark(noop, rank, (size_t)count, axes ? axes->data : NULL, reduce));
    tn_reduce_plan(shape, rank, dims, reduce);
    return TN_OK;
}

static void choose_kernels(state *s, const tn_kernels *k) {
    s->rows = s->combine_rows = k->rows_sum_f32;
    s->columns = s->combine_columns = k->columns_sum_f32;
    switch (s->kind) {
    case TN_REDUCE_MAX:
        s->rows = s->combine_rows = k->rows_max_f32;
        s->columns = s->combine_columns = k->columns_max_f32;
        break;
    case TN_REDUCE_MIN:
        s->rows = s->combine_rows = k->rows_min_f32;
        s->columns = s->combine_columns = k->columns_min_f32;
        break;
    case TN_REDUCE_PROD:
        s->rows = s->combine_rows = k->rows_product_f32;
        s->columns = s->combine_columns = k->columns_product_f32;
        break;
    case TN_REDUCE_L1: s->rows = k->rows_sum_abs_f32, s->columns = k->columns_sum_abs_f32; break;
    case TN_REDUCE_L2:
    case TN_REDUCE_SUM_SQUARE: s->rows = k->rows_sum_squares_f32, s->columns = k->columns_sum_squares_f32; break;
    default: break;
    }
}

static tn_status reduce_prepare(tn_prepare *call) {
    const tn_type *x = call->in[0];
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    s->kind = kind_of(call->node);
    s->noop = is_noop(call->node);
    s->late = tn_prepare_has(call, 1) && !call->value[1];
    if (s->late) return TN_OK;
    TN_TRY(plan(&s->shape, s->noop, x->rank, x->dims, tn_prepare_has(call, 1) ? call->value[1] : NULL));
    const tn_reduce_shape *shape = &s->shape;
    s->elements = shape->rows * shape->reduced.count;
    s->fast = x->dtype == TN_FLOAT32 && tn_type_count(x) > 0 &&
              (s->kind != TN_REDUCE_LOG_SUM_EXP || (shape->width == 1 && shape->reduced.count == 1));
    if (!s->fast) return TN_OK;
    choose_kernels(s, call->kernels);
    s->chunk = TN_MIN(shape->width, (size_t)COLUMNS);
    s->chunks = (shape->width + s->chunk - 1) / s->chunk;
    s->block_rows = TN_MAX(2 * TASK / s->chunk, 256);
    if (shape->rows < 2 * s->block_rows || s->kind == TN_REDUCE_LOG_SUM_EXP) s->block_rows = shape->rows;
    s->blocks = (shape->rows + s->block_rows - 1) / s->block_rows;
    s->parts = shape->reduced.count * s->blocks;
    s->units = shape->kept.count * s->parts * s->chunks;
    s->batch = TN_MAX(TASK / (s->block_rows * s->chunk), 1);
    if (s->parts > 1) call->scratch = shape->kept.count * s->parts * shape->width * sizeof(float);
    return TN_OK;
}

typedef struct job {
    const state *s;
    const tn_kernels *kernels;
    const float *x;
    float *y, *partial;
    size_t batch;
} job;

/* What is left to do with n outputs once all is summed. */
static void finish(const job *j, float *y, size_t n) {
    switch (j->s->kind) {
    case TN_REDUCE_MEAN:
        for (size_t i = 0; i < n; i++) y[i] /= (float)j->s->elements;
        break;
    case TN_REDUCE_L2: j->kernels->sqrt_f32(y, y, n, NULL); break;
    case TN_REDUCE_LOG_SUM: j->kernels->log_f32(y, y, n, NULL); break;
    default: break;
    }
}

static void log_sum_exp(const job *j, float *y, const float *x) {
    float shift;
    j->kernels->rows_max_f32(&shift, x, 1, j->s->elements);
    if (isinf(shift)) shift = 0;
    j->kernels->rows_sum_exp_f32(y, x, 1, j->s->elements, &shift);
    *y = shift + logf(*y);
}

static void unit_task(void *context, int64_t index) {
    const job *j = context;
    const state *s = j->s;
    const tn_reduce_shape *shape = &s->shape;
    size_t u = (size_t)index * s->batch, end = TN_MIN(u + s->batch, s->units);
    bool dense = shape->width == 1 && s->parts == 1 && shape->kept.rank <= 1;
    if (dense && s->kind != TN_REDUCE_LOG_SUM_EXP) {
        s->rows(j->y + u, j->x + u * shape->rows, end - u, shape->rows);
        finish(j, j->y + u, end - u);
        return;
    }
    for (; u < end; u++) {
        size_t chunk = u % s->chunks, part = u / s->chunks % s->parts, kept = u / s->chunks / s->parts;
        size_t first = part % s->blocks * s->block_rows, rows = TN_MIN(s->block_rows, shape->rows - first);
        size_t columns = TN_MIN(s->chunk, shape->width - chunk * s->chunk);
        const float *x = j->x + tn_reduce_offset(&shape->kept, kept) +
                         tn_reduce_offset(&shape->reduced, part / s->blocks) + first * shape->width + chunk * s->chunk;
        float *y = (s->parts > 1 ? j->partial : j->y) + (kept * s->parts + part) * shape->width + chunk * s->chunk;
        if (s->kind == TN_REDUCE_LOG_SUM_EXP)
            log_sum_exp(j, y, x);
        else if (shape->width == 1)
            s->rows(y, x, 1, rows);
        else
            s->columns(y, x, rows, columns, shape->width);
        if (s->parts == 1) finish(j, y, columns);
    }
}

static void combine_task(void *context, int64_t index) {
    const job *j = context;
    const state *s = j->s;
    size_t width = s->shape.width, first = (size_t)index * j->batch;
    size_t count = TN_MIN(j->batch, s->shape.kept.count - first);
    const float *partial = j->partial + first * s->parts * width;
    float *y = j->y + first * width;
    if (width == 1)
        s->combine_rows(y, partial, count, s->parts);
    else
        for (size_t i = 0; i < count; i++)
            s->combine_columns(y + i * width, partial + i * s->parts * width, s->parts, width, width);
    finish(j, y, count * width);
}

typedef struct generic_job {
    const tn_reduce_shape *shape;
    tn_reduction kind;
    const tn_tensor *x;
    void *y;
    size_t outputs, batch;
} generic_job;

static void generic_task(void *context, int64_t index) {
    const generic_job *j = context;
    size_t first = (size_t)index * j->batch;
    tn_reduce_generic(j->shape, j->kind, j->x->dtype, j->x->data, j->y, first, TN_MIN(first + j->batch, j->outputs));
}

static tn_status reduce_run(tn_run *call) {
    const state *s = call->state;
    const tn_tensor *x = tn_in(call, 0);
    tn_tensor *y = tn_out(call, 0);
    if (!y) return TN_OK;
    if (s->fast) {
        job j = {s, call->kernels, x->data, y->data, call->scratch, 1};
        tn_parallel(call->pool, (int64_t)((s->units + s->batch - 1) / s->batch), unit_task, &j);
        if (s->parts == 1) return TN_OK;
        j.batch = TN_MAX(TASK / (s->parts * s->shape.width), 1);
        tn_parallel(call->pool, (int64_t)((s->shape.kept.count + j.batch - 1) / j.batch), combine_task, &j);
        return TN_OK;
    }
    tn_reduce_shape late;
    if (s->late) TN_TRY(plan(&late, s->noop, x->rank, x->dims, tn_in(call, 1)));
    const tn_reduce_shape *shape = s->late ? &late : &s->shape;
    generic_job j = {shape, s->kind, x, y->data, shape->kept.count * shape->width, 1};
    if ((int64_t)j.outputs != tn_count(y))
        return tn_fail(TN_E_SHAPE, "the axes give %zu outputs; the output was declared with %lld", j.outputs,
                       (long long)tn_count(y));
    j.batch = TN_MAX(TASK / TN_MAX(shape->rows * shape->reduced.count, 1), 1);
    tn_parallel(call->pool, (int64_t)((j.outputs + j.batch - 1) / j.batch), generic_task, &j);
    return TN_OK;
}

#define REDUCE_OP(name_)                                                                                               \
    {                                                                                                                  \
        .domain = "", .name = name_, .min_in = 1, .max_in = 2, .min_out = 1, .max_out = 1, .flags = TN_OP_WIDEN,       \
        .infer = reduce_infer, .prepare = reduce_prepare, .run = reduce_run                                            \
    }

const tn_op tn_ops_reduce[] = {
    REDUCE_OP("ReduceSum"),
    REDUCE_OP("ReduceMean"),
    REDUCE_OP("ReduceMax"),
    REDUCE_OP("ReduceMin"),
    REDUCE_OP("ReduceProd"),
    REDUCE_OP("ReduceL1"),
    REDUCE_OP("ReduceL2"),
    REDUCE_OP("ReduceLogSum"),
    REDUCE_OP("ReduceLogSumExp"),
    REDUCE_OP("ReduceSumSquare"),
    {0},
};
