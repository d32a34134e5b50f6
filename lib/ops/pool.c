/* MaxPool, AveragePool and LpPool.
 *
 * An output row is made in two steps: the input rows under its windows are combined into one, which then is combined
 * along itself. So a window of k x k takes 2 k operations, all on contiguous vectors. The combined row lies between
 * padding that changes nothing, or, where that would be long, windows are cut to what they have. float32, and the
 * maximum of 8-bit integers, go this way; the rest goes element by element. */
#include "ops/pool.h"
#include "kernels/kernels.h"
#include <math.h>

typedef void rows_kernel(void *y, const void *const *rows, size_t count, size_t n, bool more);
typedef void windows_kernel(void *y, const void *x, size_t n, size_t stride, size_t kernel, size_t dilation);

typedef struct state {
    tn_pooling pooling;
    rows_kernel *rows; /* NULL: element by element */
    windows_kernel *windows;
    void (*whole)(float *y, const float *x, size_t rows, size_t n); /* if one window is all of a plane, else NULL */
    size_t size;                                                    /* of an element */
    int64_t inner_from, inner_to;                                   /* outputs of a row whose windows are whole */
    int64_t before, width; /* of a combined row: elements of padding before it, all elements */
    size_t row_bytes;      /* of a thread's combined row, in whole lines of the cache, apart from other threads' */
    bool padded;           /* all windows of a row lie inside of its padding */
    struct taps {
        int64_t start, first, last, count; /* see tn_pool_taps and tn_pool_count */
    } * taps[TN_MAX_SPATIAL];              /* of each output position of each axis but the last */
} state;

typedef struct job {
    const state *s;
    const tn_kernels *kernels;
    const char *x;
    char *y, *scratch;
    int64_t *indices;
} job;

enum { TASK = 16384, MOST_TASKS = 256, POINTERS = 32, PADDING = 64, LINES = 256 };

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

static void choose_whole(state *s, const tn_kernels *k) {
    s->whole = s->pooling.kind == TN_POOL_MAX       ? k->rows_max_f32
               : s->pooling.kind == TN_POOL_AVERAGE ? k->rows_sum_f32
               : s->pooling.p == 1                  ? k->rows_sum_abs_f32
                                                    : k->rows_sum_squares_f32;
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
    bool whole = x->dtype == TN_FLOAT32 && s->rows;
    for (int i = 0; i < w->spatial; i++)
        whole = whole && w->out[i] == 1 && w->kernel[i] == w->in[i] && w->pad_begin[i] == 0 && w->dilation[i] == 1;
    if (whole) choose_whole(s, call->kernels);
    if (tn_type_count(call->out) <= 0) return TN_OK;
    for (int i = 0; i < last; i++) {
        struct taps *t = s->taps[i] = tn_prepare_alloc(call, (size_t)w->out[i] * sizeof *t);
        if (!t) return TN_E_MEMORY;
        for (int64_t o = 0; o < w->out[i]; o++, t++) {
            t->start = tn_pool_taps(w, i, o, &t->first, &t->last);
            t->count = tn_pool_count(p, i, o);
        }
    }
    /* Tasks follow from the shape; each thread has a row of its own in scratch. */
    size_t total = p->planes * p->rows, work = (size_t)w->in[last] * 4;
    p->batch = TN_MAX(TN_MAX(TASK / TN_MAX(work, 1), 1), (total + MOST_TASKS - 1) / MOST_TASKS);
    p->tasks = (total + p->batch - 1) / p->batch;
    int64_t padded = (w->out[last] - 1) * w->stride[last] + tn_window_reach(w, last);
    s->padded = w->pad_begin[last] <= w->in[last] + PADDING && padded <= 2 * (w->in[last] + PADDING);
    s->before = s->padded ? w->pad_begin[last] : 0;
    s->width = s->padded ? TN_MAX(padded, s->before + w->in[last]) : w->in[last];
    s->row_bytes = ((size_t)s->width * s->size + LINES - 1) / LINES * LINES;
    call->scratch = (size_t)call->threads * s->row_bytes;
    int64_t overhang = w->in[last] + w->pad_begin[last] - tn_window_reach(w, last);
    s->inner_from = TN_MIN((w->pad_begin[last] + w->stride[last] - 1) / w->stride[last], w->out[last]);
    s->inner_to = overhang < 0 ? 0 : TN_MIN(overhang / w->stride[last] + 1, w->out[last]);
    s->inner_to = TN_MAX(s->inner_to, s->inner_from);
    return TN_OK;
}

/* The input rows under output row r of a picture, which are no more than POINTERS. */
static size_t picture_rows(const state *s, const char *plane, size_t r, const void **rows, int64_t *count) {
    const tn_window *w = &s->pooling.window;
    const struct taps *t = &s->taps[0][r];
    const size_t row_bytes = (size_t)w->in[1] * s->size;
    size_t n = 0;
    *count = t->count;
    for (int64_t k = t->first; k < t->last; k++)
        rows[n++] = plane + (size_t)(t->start + k * w->dilation[0]) * row_bytes;
    return n;
}

/* Those under output row r, whatever axes there are; what is beyond POINTERS is combined into `row`, and *more says so. */
static size_t outer_rows(const state *s, const char *plane, size_t r, char *row, const void **rows, int64_t *count,
                         bool *more) {
    const tn_window *w = &s->pooling.window;
    int outer = w->spatial - 1;
    int64_t start[TN_MAX_SPATIAL], first[TN_MAX_SPATIAL], last[TN_MAX_SPATIAL], at[TN_MAX_SPATIAL];
    size_t n = 0, width = (size_t)w->in[outer];
    bool any = true;
    *count = 1;
    for (int i = outer - 1; i >= 0; i--) {
        const struct taps *t = &s->taps[i][i ? r % (size_t)w->out[i] : r];
        if (i) r /= (size_t)w->out[i];
        start[i] = t->start;
        at[i] = first[i] = t->first;
        last[i] = t->last;
        any = any && first[i] < last[i];
        *count *= t->count;
    }
    while (any) {
        size_t offset = 0;
        for (int i = 0; i < outer; i++)
            offset = offset * (size_t)w->in[i] + (size_t)(start[i] + at[i] * w->dilation[i]);
        if (n == POINTERS) {
            s->rows(row, rows, n, width, *more);
            *more = true;
            n = 0;
        }
        rows[n++] = plane + offset * width * s->size;
        int i = outer - 1;
        for (; i >= 0 && ++at[i] == last[i]; i--) at[i] = first[i];
        any = i >= 0;
    }
    return n;
}

/* Combines the input rows under output row r into `row`, or finds the only one where that needs no padding. Returns it;
 * *count is how many there are to divide by. */
static const char *combine_rows(const state *s, const char *plane, size_t r, char *row, int64_t *count) {
    const tn_window *w = &s->pooling.window;
    const int64_t width = w->in[w->spatial - 1];
    const void *rows[POINTERS];
    bool more = false;
    const size_t n = w->spatial == 2 && w->kernel[0] <= POINTERS ? picture_rows(s, plane, r, rows, count)
                                                                 : outer_rows(s, plane, r, row, rows, count, &more);
    if (n == 1 && !more && s->width == width && s->pooling.kind != TN_POOL_LP) return rows[0];
    s->rows(row, rows, n, (size_t)width, more);
    return row;
}

/* What is left to do with n sums of `count` taps. */
static void finish(const job *j, float *y, size_t n, int64_t count) {
    const tn_pooling *p = &j->s->pooling;
    const float factor = count ? 1 / (float)count : 1, nothing = 0;
    if (p->kind == TN_POOL_AVERAGE) j->kernels->rows_affine_f32(y, y, 1, n, &factor, &nothing);
    if (p->kind == TN_POOL_LP && p->p == 2) j->kernels->sqrt_f32(y, y, n, NULL);
}

static void fast_row(const job *j, size_t plane, size_t r, char *row) {
    const state *s = j->s;
    const tn_pooling *p = &s->pooling;
    const tn_window *w = &p->window;
    int axis = w->spatial - 1;
    int64_t count, n = s->inner_to - s->inner_from, d = w->dilation[axis], stride = w->stride[axis];
    char *y = j->y + (plane * p->rows + r) * (size_t)w->out[axis] * s->size;
    const char *from = combine_rows(s, j->x + plane * p->in * s->size, r, row + (size_t)s->before * s->size, &count);
    if (s->padded) /* `from` is in `row`, or there is no padding */
        s->windows(y, from - (size_t)s->before * s->size, (size_t)w->out[axis], (size_t)stride, (size_t)w->kernel[axis],
                   (size_t)d);
    else if (n > 0)
        s->windows(y + (size_t)s->inner_from * s->size,
                   from + (size_t)(s->inner_from * stride - w->pad_begin[axis]) * s->size, (size_t)n, (size_t)stride,
                   (size_t)w->kernel[axis], (size_t)d);
    if (n > 0 && p->kind != TN_POOL_MAX)
        finish(j, (float *)(void *)y + s->inner_from, (size_t)n, count * w->kernel[axis]);
    if (s->padded && p->kind == TN_POOL_MAX) return;
    for (int64_t o = 0; o < w->out[axis]; o++) { /* windows on padding */
        if (o == s->inner_from) o = s->inner_to;
        if (o >= w->out[axis]) break;
        int64_t first, last, start = tn_pool_taps(w, axis, o, &first, &last);
        char *to = y + (size_t)o * s->size;
        if (!s->padded && first < last)
            s->windows(to, from + (size_t)(start + first * d) * s->size, 1, 1, (size_t)(last - first), (size_t)d);
        else if (!s->padded)
            s->rows(to, NULL, 0, 1, false); /* nothing but padding */
        if (p->kind != TN_POOL_MAX) finish(j, (float *)(void *)to, 1, count * tn_pool_count(p, axis, o));
    }
}

static void pool_task(void *context, int64_t index) {
    const job *j = context;
    const state *s = j->s;
    const tn_pooling *p = &s->pooling;
    size_t row = (size_t)index * p->batch, end = TN_MIN(row + p->batch, p->planes * p->rows);
    char *scratch = j->scratch + (size_t)tn_worker_index() * s->row_bytes;
    if (s->whole && !j->indices) {
        float *y = (float *)(void *)j->y + row;
        s->whole(y, (const float *)(const void *)j->x + row * p->in, end - row, p->in);
        finish(j, y, end - row, (int64_t)p->in);
        return;
    }
    if (s->rows) s->rows(scratch, NULL, 0, (size_t)s->width, false); /* padding, all of it */
    for (size_t plane = row / p->rows, r = row % p->rows; row < end; row++) {
        if (s->rows && !j->indices)
            fast_row(j, plane, r, scratch);
        else
            tn_pool_plain_row(p, j->x, plane, r, j->y, j->indices);
        if (++r == p->rows) r = 0, plane++;
    }
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
        .flags = TN_OP_WIDEN | TN_OP_BATCH, .infer = pool_infer, .prepare = pool_prepare, .run = pool_run              \
    }

const tn_op tn_ops_pool[] = {POOL_OP("MaxPool", 2), POOL_OP("AveragePool", 1), POOL_OP("LpPool", 1), {0}};
