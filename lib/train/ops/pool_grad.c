/* MaxPoolGrad and AveragePoolGrad, of the domain `tenon`: dX from dY and X, with the attributes of the pool.
 *
 * The greatest element of a window, the first of equal ones, gets all of dY; in an average each gets its share. Planes
 * are done in parallel, each from its first window to its last. */
#include "ops/data.h"
#include "ops/window.h"

typedef struct state {
    tn_window window;
    bool average, with_pads;
    int64_t planes, in_plane, out_plane, taps;
} state;

typedef struct job {
    const state *s;
    const tn_tensor *dy, *x;
    tn_tensor *dx;
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
    s->planes = x->dims[0] * x->dims[1];
    s->in_plane = tn_dims_span(x->dims, 2, x->rank);
    s->out_plane = tn_dims_span(call->in[0]->dims, 2, x->rank);
    s->taps = tn_dims_span(s->window.kernel, 0, s->window.spatial);
    return TN_OK;
}

/* Elements that a window is divided by: those in the input, or in the input and its pads. */
static int64_t window_size(const state *s, int64_t at) {
    const tn_window *w = &s->window;
    int64_t size = 1;
    for (int axis = w->spatial - 1; axis >= 0; axis--) {
        int64_t start = at % w->out[axis] * w->stride[axis] - w->pad_begin[axis], from, to;
        int64_t before = s->with_pads ? w->pad_begin[axis] : 0, after = s->with_pads ? w->pad_end[axis] : 0;
        tn_window_inside(start + before, w->dilation[axis], w->kernel[axis], w->in[axis] + before + after, &from, &to);
        size *= TN_MAX(to - from, 1);
        at /= w->out[axis];
    }
    return size;
}

#define PLANE(type)                                                                                                    \
    do {                                                                                                               \
        const type *dy = (const type *)j->dy->data + plane * s->out_plane;                                             \
        const type *x = (const type *)j->x->data + plane * s->in_plane;                                                \
        type *dx = (type *)j->dx->data + plane * s->in_plane;                                                          \
        for (int64_t i = 0; i < s->in_plane; i++) dx[i] = 0;                                                           \
        for (int64_t o = 0; o < s->out_plane; o++) {                                                                   \
            int64_t best = -1;                                                                                         \
            type share = s->average ? dy[o] / (type)window_size(s, o) : 0;                                             \
            for (int64_t t = 0; t < s->taps; t++) {                                                                    \
                int64_t at = tn_window_element(w, o, t);                                                               \
                if (at < 0) continue;                                                                                  \
                if (s->average)                                                                                        \
                    dx[at] += share;                                                                                   \
                else if (best < 0 || x[at] > x[best])                                                                  \
                    best = at;                                                                                         \
            }                                                                                                          \
            if (best >= 0) dx[best] += dy[o];                                                                          \
        }                                                                                                              \
    } while (0)

static void one_plane(void *context, int64_t plane) {
    const job *j = context;
    const state *s = j->s;
    const tn_window *w = &s->window;
    if (j->x->dtype == TN_FLOAT64)
        PLANE(double);
    else
        PLANE(float);
}

static tn_status run(tn_run *call) {
    job j = {call->state, tn_in(call, 0), tn_in(call, 1), tn_out(call, 0)};
    if (j.dx && tn_count(j.dx)) tn_parallel(call->pool, j.s->planes, one_plane, &j);
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
