/* DeformConv (arXiv 1703.06211, 1811.11168): a convolution whose taps are moved by offsets, each output position having
 * its own, and weighted by a mask. Input between elements is interpolated linearly along all axes; outside it is 0.
 *
 * For each output position, a task gathers the column of [channels of the group, taps] values, then multiplies the
 * group's weights with it. */
#include "ops/conv.h"
#include "ops/data.h"
#include "ops/scratch.h"
#include <math.h>

#define TASK_WORK 65536
#define MOST_CORNERS (1 << TN_MAX_SPATIAL)

typedef struct deform_state {
    tn_conv_shape shape;
    int64_t offset_group, channels_each; /* channels that share offsets */
    int64_t positions, tasks;            /* of one task; tasks of one group of an image */
    size_t column_bytes;                 /* scratch memory of a thread */
} deform_state;

/* Fails unless input `in` is [batch, channels, spatial...] as far as is known. */
static tn_status expect_dims(const tn_infer *call, int in, int64_t batch, int64_t channels, const tn_window *w) {
    TN_TRY(tn_infer_dtype(call, in, TN_FLOATS));
    TN_TRY(tn_infer_equal_dtype(call, 0, in));
    const tn_type *type = call->in[in];
    if (type->rank < 0) return TN_OK;
    bool fits =
        type->rank == w->spatial + 2 && tn_dim_fits(type->dims[0], batch) && tn_dim_fits(type->dims[1], channels);
    for (int i = 0; i < w->spatial && fits; i++) fits = tn_dim_fits(type->dims[i + 2], w->out[i]);
    if (fits) return TN_OK;
    return tn_infer_fail(call, in, TN_E_SHAPE, "expected [batch, %lld, output's spatial dimensions]",
                         (long long)channels);
}

static tn_status deform_infer(tn_infer *call) {
    tn_conv_shape s;
    tn_infer conv = *call; /* inputs as Conv has them: B is input 3 here */
    const tn_type *in[3] = {call->in[0], call->in[1], tn_infer_has(call, 3) ? call->in[3] : NULL};
    bool known;
    conv.in = in;
    conv.in_count = 3;
    TN_TRY(tn_conv_infer(&conv, false, &s, &known));
    if (!known) return tn_infer_out(call, 0, call->in[0]->dtype, -1, NULL);
    int64_t groups = tn_attr_int(call->node, "offset_group", 1),
            taps = tn_dims_count(s.window.spatial, s.window.kernel);
    if (groups < 1 || (s.channels >= 0 && s.channels % groups != 0))
        return tn_fail(TN_E_INVALID, "attribute offset_group is %lld; expected a divisor of the channels",
                       (long long)groups);
    int64_t masks = -1, offsets = -1;
    if (taps >= 0 &&
        (__builtin_mul_overflow(groups, taps, &masks) || __builtin_mul_overflow(masks, s.window.spatial, &offsets)))
        return tn_fail(TN_E_SHAPE, "a kernel of %lld elements is too large", (long long)taps);
    TN_TRY(expect_dims(call, 2, s.batch, offsets, &s.window));
    if (tn_infer_has(call, 4)) TN_TRY(expect_dims(call, 4, s.batch, masks, &s.window));
    int64_t dims[TN_MAX_RANK] = {s.batch, s.outputs};
    for (int i = 0; i < s.window.spatial; i++) dims[i + 2] = s.window.out[i];
    return tn_infer_out(call, 0, call->in[0]->dtype, s.window.spatial + 2, dims);
}

static tn_status deform_prepare(tn_prepare *call) {
    deform_state *d = tn_prepare_alloc(call, sizeof *d);
    if (!d) return TN_E_MEMORY;
    call->state = d;
    TN_TRY(tn_conv_read(call, false, &d->shape));
    const tn_conv_shape *s = &d->shape;
    if (tn_type_count(&call->out[0]) == 0) return TN_OK;
    d->offset_group = tn_attr_int(call->node, "offset_group", 1);
    d->channels_each = TN_MAX(s->channels / d->offset_group, 1);
    int64_t k = s->channels / s->group * s->taps;
    double work = (double)k * (double)(s->outputs / s->group + 4);
    d->positions = (int64_t)TN_MIN(TASK_WORK / TN_MAX(work, 1.0) + 1, (double)s->out_plane);
    d->positions = TN_MAX(d->positions, (s->out_plane + 63) / 64);
    d->tasks = (s->out_plane + d->positions - 1) / d->positions;
    d->column_bytes = ((size_t)k * tn_dtype_bits(call->in[0]->dtype) / 8 + 63) / 64 * 64;
    if (!tn_scratch_add(&call->scratch, d->column_bytes, (size_t)call->threads))
        return tn_fail(TN_E_SHAPE, "a kernel of %lld elements is too large", (long long)s->taps);
    return TN_OK;
}

typedef struct run_call {
    const deform_state *d;
    const tn_kernels *kernels;
    const void *x, *w, *offset, *bias, *mask;
    void *y;
    uint8_t *columns;
} run_call;

/* The elements around a place, at most two along each axis: where they lie and how much of each is taken. */
typedef struct corners {
    int count;
    int64_t at[MOST_CORNERS];
    double weight[MOST_CORNERS];
} corners;

static void add_axis(corners *c, double place, int64_t size, int64_t step) {
    if (!(place > -1 && place < (double)size)) { /* NaN as well */
        c->count = 0;
        return;
    }
    double low = floor(place), part = place - low;
    int count = 0;
    corners from = *c;
    for (int side = 0; side < 2; side++) {
        int64_t i = (int64_t)low + side;
        if (i < 0 || i >= size || (side && part == 0)) continue;
        for (int k = 0; k < from.count; k++, count++) {
            c->at[count] = from.at[k] + i * step;
            c->weight[count] = from.weight[k] * (side ? part : 1 - part);
        }
    }
    c->count = count;
}

#define DEFORM(type, dot)                                                                                              \
    /* Where tap `tap` of output position `at` looks, for one image's offsets of one offset group. */                  \
    static void place_##type(const tn_conv_shape *s, const type *offset, int64_t at, int64_t tap, corners *c) {        \
        const tn_window *w = &s->window;                                                                               \
        int64_t position = at, rest = tap, step = 1;                                                                   \
        *c = (corners){.count = 1, .weight = {1}};                                                                     \
        for (int axis = w->spatial - 1; axis >= 0; axis--) {                                                           \
            int64_t base = position % w->out[axis] * w->stride[axis] - w->pad_begin[axis] +                            \
                           rest % w->kernel[axis] * w->dilation[axis];                                                 \
            double moved = (double)offset[(tap * w->spatial + axis) * s->out_plane + at];                              \
            add_axis(c, (double)base + moved, w->in[axis], step);                                                      \
            step *= w->in[axis];                                                                                       \
            position /= w->out[axis];                                                                                  \
            rest /= w->kernel[axis];                                                                                   \
        }                                                                                                              \
    }                                                                                                                  \
    static void task_##type(void *context, int64_t index) {                                                            \
        const run_call *r = context;                                                                                   \
        const deform_state *d = r->d;                                                                                  \
        const tn_conv_shape *s = &d->shape;                                                                            \
        int64_t group = index / d->tasks % s->group, image = index / d->tasks / s->group;                              \
        int64_t first = index % d->tasks * d->positions, end = TN_MIN(first + d->positions, s->out_plane);             \
        int64_t channels = s->channels / s->group, outputs = s->outputs / s->group, k = channels * s->taps;            \
        int64_t masks = d->offset_group * s->taps;                                                                     \
        const type *x = (const type *)r->x + (image * s->channels + group * channels) * s->in_plane;                   \
        const type *w = (const type *)r->w + group * outputs * k, *bias = r->bias, *mask = r->mask;                    \
        const type *offset = (const type *)r->offset + image * masks * s->window.spatial * s->out_plane;               \
        type *y = (type *)r->y + (image * s->outputs + group * outputs) * s->out_plane;                                \
        type *column = (type *)(void *)(r->columns + (size_t)tn_worker_index() * d->column_bytes);                     \
        for (int64_t at = first; at < end; at++) {                                                                     \
            for (int64_t tap = 0; tap < s->taps; tap++) {                                                              \
                corners c = {0};                                                                                       \
                double factor = 1;                                                                                     \
                for (int64_t i = 0, held = -1; i < channels; i++) {                                                    \
                    int64_t g = (group * channels + i) / d->channels_each;                                             \
                    if (g != held) {                                                                                   \
                        place_##type(s, offset + g * s->taps * s->window.spatial * s->out_plane, at, tap, &c);         \
                        if (mask) factor = (double)mask[(image * masks + g * s->taps + tap) * s->out_plane + at];      \
                        held = g;                                                                                      \
                    }                                                                                                  \
                    double sum = 0;                                                                                    \
                    for (int e = 0; e < c.count; e++) sum += c.weight[e] * (double)x[i * s->in_plane + c.at[e]];       \
                    column[i * s->taps + tap] = (type)(sum * factor);                                                  \
                }                                                                                                      \
            }                                                                                                          \
            dot(r->kernels, (size_t)outputs, (size_t)k, w, column, y + at, (size_t)s->out_plane);                      \
            for (int64_t m = 0; bias && m < outputs; m++) y[m * s->out_plane + at] += bias[group * outputs + m];       \
        }                                                                                                              \
    }

static void dot_float(const tn_kernels *kernels, size_t m, size_t k, const float *w, const float *x, float *y,
                      size_t step) {
    kernels->dot_f32(m, k, w, k, x, y, step);
}

static void dot_double(const tn_kernels *kernels, size_t m, size_t k, const double *w, const double *x, double *y,
                       size_t step) {
    (void)kernels;
    for (size_t i = 0; i < m; i++, w += k) {
        double sum = 0;
        for (size_t j = 0; j < k; j++) sum += w[j] * x[j];
        y[i * step] = sum;
    }
}

DEFORM(float, dot_float)
DEFORM(double, dot_double)

static tn_status deform_run(tn_run *call) {
    const deform_state *d = call->state;
    const tn_conv_shape *s = &d->shape;
    const tn_tensor *bias = tn_in(call, 3), *mask = tn_in(call, 4);
    tn_tensor *out = tn_out(call, 0);
    if (!out || tn_count(out) == 0) return TN_OK;
    run_call c = {d,
                  call->kernels,
                  tn_in(call, 0)->data,
                  tn_in(call, 1)->data,
                  tn_in(call, 2)->data,
                  bias ? bias->data : NULL,
                  mask ? mask->data : NULL,
                  out->data,
                  call->scratch};
    tn_parallel(call->pool, s->batch * s->group * d->tasks, out->dtype == TN_FLOAT32 ? task_float : task_double, &c);
    return TN_OK;
}

const tn_op tn_ops_deform_conv[] = {
    {.name = "DeformConv",
     .domain = "",
     .min_in = 3,
     .max_in = 5,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN,
     .infer = deform_infer,
     .prepare = deform_prepare,
     .run = deform_run},
    {0},
};
