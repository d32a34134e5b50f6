/* MaxPoolGrad and AveragePoolGrad, of the domain `tenon`: dX from dY and X, with the attributes of the pool.
 *
 * The greatest element of a window, the first of equal ones, gets all of dY; in an average each gets its share. Planes
 * are done in parallel, each from its first window to its last. */
#include "ops/data.h"
#include "ops/window.h"

typedef struct state {
    tn_window window;
    bool average, with_pads;
    bool pairs; /* windows of two along the last axis, side by side, and at most two rows of them */
    int64_t planes, in_plane, out_plane, outer_taps, tasks;
} state;

typedef struct job {
    const state *s;
    const tn_tensor *dy, *x;
    tn_tensor *dx;
    int64_t *starts; /* [tasks, outer_taps] */
} job;

static tn_status infer(tn_infer *call) {
    static const tn_dtype reals[] = {TN_FLOAT32, TN_FLOAT64, TN_FLOAT16, TN_BFLOAT16, TN_UNDEFINED};
    for (int i = 0; i < 2; i++) TN_TRY(tn_infer_dtype(call, i, reals));
    TN_TRY(tn_infer_equal_dtype(call, 0, 1));
    const tn_type *dy = call->in[0], *x = call->in[1];
    if (x->rank < 0 || dy->rank < 0) return tn_infer_same(call, 0, 1);
    if (x->rank < 3 || x->rank != dy->rank)
        return tn_infer_fail(call, 1, TN_E_SHAPE, "expected [N, C, ...], of the rank of input 0");
    tn_window w;
    TN_TRY(tn_window_decode(&w, call->node, x->rank - 2, x->dims + 2, NULL));
    for (int i = 0; i < x->rank; i++)
        if (!tn_dim_fits(dy->dims[i], i < 2 ? x->dims[i] : w.out[i - 2]))
            return tn_infer_fail(call, 0, TN_E_SHAPE, "its dimension %d is not what the pool of input 1 has", i);
    return tn_infer_same(call, 0, 1);
}

static tn_status prepare(tn_prepare *call) {
    const tn_type *x = call->in[1];
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    TN_TRY(tn_window_decode(&s->window, call->node, x->rank - 2, x->dims + 2, NULL));
    s->average = call->node->op->name[0] == 'A';
    s->with_pads = tn_attr_int(call->node, "count_include_pad", 0) != 0;
    const tn_window *w = &s->window;
    s->pairs = !s->average && x->dtype == TN_FLOAT32;
    for (int i = 0; i < w->spatial; i++)
        s->pairs &= w->kernel[i] == (i < w->spatial - 2 ? 1 : 2) && w->stride[i] == w->kernel[i] &&
                    w->dilation[i] == 1 && w->pad_begin[i] == 0 && w->out[i] * w->kernel[i] <= w->in[i];
    s->planes = x->dims[0] * x->dims[1];
    s->in_plane = tn_dims_span(x->dims, 2, x->rank);
    s->out_plane = tn_dims_span(call->in[0]->dims, 2, x->rank);
    s->outer_taps = tn_dims_span(s->window.kernel, 0, s->window.spatial - 1);
    s->tasks = TN_MIN(tn_data_tasks(s->planes, s->in_plane * 8), 256);
    size_t starts;
    if (!tn_mul_size((size_t)s->outer_taps, (size_t)s->tasks * sizeof(int64_t), &starts))
        return tn_fail(TN_E_LIMIT, "a kernel of %lld rows is too large", (long long)s->outer_taps);
    call->scratch = starts;
    return TN_OK;
}

/* Elements of one axis that a window is divided by: those in the input, or in the input and its pads. */
static int64_t axis_size(const state *s, int axis, int64_t at) {
    const tn_window *w = &s->window;
    int64_t from, to, before = s->with_pads ? w->pad_begin[axis] : 0, after = s->with_pads ? w->pad_end[axis] : 0;
    tn_window_inside(at * w->stride[axis] - w->pad_begin[axis] + before, w->dilation[axis], w->kernel[axis],
                     w->in[axis] + before + after, &from, &to);
    return TN_MAX(to - from, 1);
}

/* The same of all axes but the last, for a row of windows. */
static int64_t row_size(const state *s, int64_t row) {
    int64_t size = 1;
    for (int axis = s->window.spatial - 2; axis >= 0; axis--) {
        size *= axis_size(s, axis, row % s->window.out[axis]);
        row /= s->window.out[axis];
    }
    return size;
}

/* Windows in rows along the last axis: which input rows a row of windows meets is found once for it. */
#define PLANE(type)                                                                                                    \
    do {                                                                                                               \
        const type *dy = (const type *)j->dy->data + plane * s->out_plane;                                             \
        const type *x = (const type *)j->x->data + plane * s->in_plane;                                                \
        type *dx = (type *)j->dx->data + plane * s->in_plane;                                                          \
        for (int64_t i = 0; i < s->in_plane; i++) dx[i] = 0;                                                           \
        for (int64_t row = 0; row < rows; row++) {                                                                     \
            int64_t *starts = j->starts + task * s->outer_taps, met = 0, outer = row_size(s, row);                     \
            for (int64_t t = 0; t < s->outer_taps; t++) {                                                              \
                int64_t start = tn_window_row(w, row, t);                                                              \
                if (start >= 0) starts[met++] = start;                                                                 \
            }                                                                                                          \
            for (int64_t o = 0; o < w->out[last]; o++, dy++) {                                                         \
                int64_t at = o * w->stride[last] - w->pad_begin[last], from, to, best = -1;                            \
                tn_window_inside(at, w->dilation[last], w->kernel[last], w->in[last], &from, &to);                     \
                type share = s->average ? *dy / (type)(outer * axis_size(s, last, o)) : 0;                             \
                for (int64_t r = 0; r < met; r++)                                                                      \
                    for (int64_t k = from; k < to; k++) {                                                              \
                        int64_t e = starts[r] + at + k * w->dilation[last];                                            \
                        if (s->average)                                                                                \
                            dx[e] += share;                                                                            \
                        else if (best < 0 || x[e] > x[best])                                                           \
                            best = e;                                                                                  \
                    }                                                                                                  \
                if (best >= 0) dx[best] += *dy;                                                                        \
            }                                                                                                          \
        }                                                                                                              \
    } while (0)

/* Pairs of `rows` rows, `pitch` apart: no branch on what the elements are, which nothing foresees. */
static void pairs(int64_t rows, int64_t pitch, int64_t n, const float *dy, const float *x, float *dx) {
    const int64_t second = rows > 1 ? pitch : 0;
    for (int64_t o = 0; o < n; o++) {
        const float *a = x + 2 * o, *b = a + second;
        const int right = a[1] > a[0], below_right = b[1] > b[0];
        const int below = rows > 1 && b[below_right] > a[right];
        float *to = dx + 2 * o;
        if (rows > 1) to[second] = to[second + 1] = 0;
        to[0] = to[1] = 0;
        to[below ? second + below_right : right] = dy[o];
    }
}

static void plane_of_pairs(const job *j, int64_t plane) {
    const state *s = j->s;
    const tn_window *w = &s->window;
    const int last = w->spatial - 1;
    const int64_t taps = last > 0 ? w->kernel[last - 1] : 1, wide = w->in[last];
    const float *dy = (const float *)j->dy->data + plane * s->out_plane;
    const float *x = (const float *)j->x->data + plane * s->in_plane;
    float *dx = (float *)j->dx->data + plane * s->in_plane;
    if (s->out_plane * taps * 2 != s->in_plane) memset(dx, 0, (size_t)s->in_plane * sizeof *dx);
    for (int64_t row = 0; row < s->out_plane / w->out[last]; row++) {
        const int64_t start = tn_window_row(w, row, 0);
        pairs(taps, wide, w->out[last], dy + row * w->out[last], x + start, dx + start);
    }
}

static void some_planes(void *context, int64_t task) {
    const job *j = context;
    const state *s = j->s;
    const tn_window *w = &s->window;
    int last = w->spatial - 1;
    int64_t rows = w->out[last] ? s->out_plane / w->out[last] : 0;
    for (int64_t plane = tn_task_start(s->planes, s->tasks, task); plane < tn_task_start(s->planes, s->tasks, task + 1);
         plane++) {
        if (s->pairs)
            plane_of_pairs(j, plane);
        else if (j->x->dtype == TN_FLOAT64)
            PLANE(double);
        else
            PLANE(float);
    }
}

static tn_status run(tn_run *call) {
    job j = {call->state, tn_in(call, 0), tn_in(call, 1), tn_out(call, 0), call->scratch};
    if (j.dx && tn_count(j.dx)) tn_parallel(call->pool, j.s->tasks, some_planes, &j);
    return TN_OK;
}

#define POOL_GRAD(name_)                                                                                               \
    {                                                                                                                  \
        .domain = "tenon", .name = name_, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, .flags = TN_OP_WIDEN,  \
        .infer = infer, .prepare = prepare, .run = run                                                                 \
    }

const tn_op tn_ops_pool_grad[] = {
    POOL_GRAD("MaxPoolGrad"),
    POOL_GRAD("AveragePoolGrad"),
    {0},
};
