/* MaxPool, AveragePool and LpPool.
 *
 * An output row is made in two steps: the input rows under its windows are combined into one, which then is combined
 * along itself. So a window of k x k takes 2 k operations, all on contiguous vectors. Windows that touch padding are cut
 * to what they have. float32, and the maximum of 8-bit integers, go this way; the rest goes element by element. */
#include "ops/pool.h"
#include "kernels/kernels.h"
#include <math.h>

typedef void rows_kernel(void *y, const void *const *rows, size_t count, size_t n, bool more);
typedef void windows_kernel(void *y, const void *x, size_t n, size_t stride, size_t kernel, size_t dilation);

typedef struct state {
    tn_pooling pooling;
    rows_kernel *rows; /* NULL: element by element */
    windows_kernel *windows;
    size_t size;                  /* of an element */
    int64_t inner_from, inner_to; /* outputs of a row whose windows are whole */
} state;

typedef struct job {
    const state *s;
    const tn_kernels *kernels;
    const char *x;
    char *y, *scratch;
    int64_t *indices;
} job;

enum { TASK = 16384, MOST_TASKS = 256, POINTERS = 32 };

static tn_pool_kind kind_of(const tn_node *node) {
    const char *name = node->op->name;
    return name[0] == 'M' ? TN_POOL_MAX : name[0] == 'A' ? TN_POOL_AVERAGE : TN_POOL_LP;
}

static tn_status pool_infer(tn_infer *call) {
    static const tn_dtype max_types[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_FLOAT64,
                                         TN_INT8,    TN_UINT8,   TN_UNDEFINED};
    const tn_type *x = call->in[0];
    tn_window window;
    int64_t dims[TN_MAX_RANK], p = tn_attr_int(call->node, "p", 2);
    TN_TRY(tn_infer_dtype(call, 0, kind_of(call->node) == TN_POOL_MAX ? max_types : TN_FLOATS));
    if (kind_of(call->node) == TN_POOL_LP && p < 1)
        return tn_fail(TN_E_INVALID, "attribute p is %lld; expected 1 or more", (long long)p);
    TN_TRY(tn_infer_out(call, 1, TN_INT64, -1, NULL));
    if (x->rank < 0) return tn_infer_out(call, 0, x->dtype, -1, NULL);
    if (x->rank < 3) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected [N, C, ...]");
    TN_TRY(tn_window_decode(&window, call->node, x->rank - 2, x->dims + 2, NULL));
    for (int i = 0; i < x->rank; i++) dims[i] = i < 2 ? x->dims[i] : window.out[i - 2];
    TN_TRY(tn_infer_out(call, 1, TN_INT64, x->rank, dims));
    return tn_infer_out(call, 0, x->dtype, x->rank, dims);
}

static void choose_kernels(state *s, const tn_kernels *k) {
    const tn_pooling *p = &s->pooling;
    bool is_float = p->dtype == TN_FLOAT32;
    if (p->kind == TN_POOL_MAX) {
        s->rows = is_float               ? k->pool_rows_max_f32
                  : p->dtype == TN_UINT8 ? k->pool_rows_max_u8
                  : p->dtype == TN_INT8  ? k->pool_rows_max_i8
                                         : NULL;
        s->windows = is_float               ? k->pool_windows_max_f32
                     : p->dtype == TN_UINT8 ? k->pool_windows_max_u8
                                            : k->pool_windows_max_i8;
        return;
    }
    s->windows = k->pool_windows_sum_f32;
    if (!is_float) return;
    if (p->kind == TN_POOL_AVERAGE) s->rows = k->pool_rows_sum_f32;
    if (p->kind == TN_POOL_LP && p->p == 1) s->rows = k->pool_rows_sum_abs_f32;
    if (p->kind == TN_POOL_LP && p->p == 2) s->rows = k->pool_rows_sum_squares_f32;
}

static tn_status pool_prepare(tn_prepare *call) {
    const tn_type *x = call->in[0];
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    tn_pooling *p = &s->pooling;
    tn_window *w = &p->window;
    TN_TRY(tn_window_decode(w, call->node, x->rank - 2, x->dims + 2, NULL));
    int last = w->spatial - 1;
    p->kind = kind_of(call->node);
    p->dtype = x->dtype;
    p->count_pad = tn_attr_int(call->node, "count_include_pad", 0) != 0;
    p->column_major = tn_attr_int(call->node, "storage_order", 0) != 0;
    p->p = tn_attr_int(call->node, "p", 2);
    p->planes = (size_t)(x->dims[0] * x->dims[1]);
    p->in = p->rows = 1;
    for (int i = 0; i < w->spatial; i++) p->in *= (size_t)w->in[i];
    for (int i = 0; i < last; i++) p->rows *= (size_t)w->out[i];
    p->out = p->rows * (size_t)w->out[last];
    s->size = tn_dtype_bits(x->dtype) / 8;
    choose_kernels(s, call->kernels);
    if (tn_type_count(call->out) <= 0) return TN_OK;
    /* Tasks follow from the shape; each has a row of its own in scratch. */
    size_t total = p->planes * p->rows, work = (size_t)w->in[last] * 4;
    p->batch = TN_MAX(TN_MAX(TASK / TN_MAX(work, 1), 1), (total + MOST_TASKS - 1) / MOST_TASKS);
    p->tasks = (total + p->batch - 1) / p->batch;
    call->scratch = p->tasks * (size_t)w->in[last] * s->size;
    int64_t overhang = w->in[last] + w->pad_begin[last] - tn_window_reach(w, last);
    s->inner_from = TN_MIN((w->pad_begin[last] + w->stride[last] - 1) / w->stride[last], w->out[last]);
    s->inner_to = overhang < 0 ? 0 : TN_MIN(overhang / w->stride[last] + 1, w->out[last]);
    s->inner_to = TN_MAX(s->inner_to, s->inner_from);
    return TN_OK;
}

/* Combines the input rows under output row r into `row`, or finds the only one. Returns it; *count is how many there
 * are to divide by. */
static const char *combine_rows(const state *s, const char *plane, size_t r, char *row, int64_t *count) {
    const tn_window *w = &s->pooling.window;
    int outer = w->spatial - 1;
    int64_t start[TN_MAX_SPATIAL], first[TN_MAX_SPATIAL], last[TN_MAX_SPATIAL], at[TN_MAX_SPATIAL];
    const void *rows[POINTERS];
    size_t n = 0, width = (size_t)w->in[outer];
    bool more = false, any = true, flushed = false;
    *count = 1;
    for (int i = outer - 1; i >= 0; i--) {
        int64_t o = (int64_t)(r % (size_t)w->out[i]);
        r /= (size_t)w->out[i];
        start[i] = tn_pool_taps(w, i, o, &first[i], &last[i]);
        at[i] = first[i];
        any = any && first[i] < last[i];
        *count *= tn_pool_count(&s->pooling, i, o);
    }
    while (any) {
        size_t offset = 0;
        for (int i = 0; i < outer; i++)
            offset = offset * (size_t)w->in[i] + (size_t)(start[i] + at[i] * w->dilation[i]);
        if (n == POINTERS) {
            s->rows(row, rows, n, width, more);
            more = flushed = true;
            n = 0;
        }
        rows[n++] = plane + offset * width * s->size;
        int i = outer - 1;
        for (; i >= 0 && ++at[i] == last[i]; i--) at[i] = first[i];
        any = i >= 0;
    }
    if (n == 1 && !flushed && s->pooling.kind != TN_POOL_LP) return rows[0];
    s->rows(row, rows, n, width, more);
    return row;
}

/* What is left to do with n sums of `count` taps. */
static void finish(const job *j, float *y, size_t n, int64_t count) {
    const tn_pooling *p = &j->s->pooling;
    if (p->kind == TN_POOL_AVERAGE && count)
        for (size_t i = 0; i < n; i++) y[i] /= (float)count;
    if (p->kind == TN_POOL_LP && p->p == 2) j->kernels->sqrt_f32(y, y, n, NULL);
}

static void fast_row(const job *j, size_t plane, size_t r, char *row) {
    const state *s = j->s;
    const tn_pooling *p = &s->pooling;
    const tn_window *w = &p->window;
    int axis = w->spatial - 1;
    int64_t count, n = s->inner_to - s->inner_from, kernel = w->kernel[axis], d = w->dilation[axis];
    char *y = j->y + (plane * p->rows + r) * (size_t)w->out[axis] * s->size;
    const char *from = combine_rows(s, j->x + plane * p->in * s->size, r, row, &count);
    if (n > 0) {
        int64_t start = s->inner_from * w->stride[axis] - w->pad_begin[axis];
        char *to = y + (size_t)s->inner_from * s->size;
        s->windows(to, from + (size_t)start * s->size, (size_t)n, (size_t)w->stride[axis], (size_t)kernel, (size_t)d);
        if (p->kind != TN_POOL_MAX) finish(j, (float *)(void *)to, (size_t)n, count * kernel);
    }
    for (int64_t o = 0; o < w->out[axis]; o++) {
        if (o == s->inner_from) o = s->inner_to;
        if (o >= w->out[axis]) break;
        int64_t first, last, start = tn_pool_taps(w, axis, o, &first, &last);
        char *to = y + (size_t)o * s->size;
        if (first < last)
            s->windows(to, from + (size_t)(start + first * d) * s->size, 1, 1, (size_t)(last - first), (size_t)d);
        else
            s->rows(to, NULL, 0, 1, false); /* nothing but padding */
        if (p->kind != TN_POOL_MAX) finish(j, (float *)(void *)to, 1, count * tn_pool_count(p, axis, o));
    }
}

static void pool_task(void *context, int64_t index) {
    const job *j = context;
    const state *s = j->s;
    const tn_pooling *p = &s->pooling;
    size_t row = (size_t)index * p->batch, end = TN_MIN(row + p->batch, p->planes * p->rows);
    char *scratch = j->scratch + (size_t)index * (size_t)p->window.in[p->window.spatial - 1] * s->size;
    for (; row < end; row++)
        if (s->rows && !j->indices)
            fast_row(j, row / p->rows, row % p->rows, scratch);
        else
            tn_pool_plain_row(p, j->x, row / p->rows, row % p->rows, j->y, j->indices);
}

static tn_status pool_run(tn_run *call) {
    const state *s = call->state;
    tn_tensor *y = tn_out(call, 0), *indices = tn_out(call, 1);
    job j = {s, call->kernels, tn_in(call, 0)->data, y ? y->data : NULL, call->scratch, indices ? indices->data : NULL};
    if (!y && !indices) return TN_OK;
    tn_parallel(call->pool, (int64_t)s->pooling.tasks, pool_task, &j);
    return TN_OK;
}

#define POOL_OP(name_, most_out)                                                                                       \
    {                                                                                                                  \
        .domain = "", .name = name_, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = most_out,                      \
        .flags = TN_OP_WIDEN, .infer = pool_infer, .prepare = pool_prepare, .run = pool_run                            \
    }

const tn_op tn_ops_pool[] = {POOL_OP("MaxPool", 2), POOL_OP("AveragePool", 1), POOL_OP("LpPool", 1), {0}};
