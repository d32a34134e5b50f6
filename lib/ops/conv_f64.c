/* Convolution in float64: for some positions of the output, as many as a tile of the product has columns, what the taps
 * see is gathered into a panel, which then passes all weights of the group. */
#include "ops/conv.h"
#include "ops/fused_activation.h"

enum { MOST_COLUMNS = 64 };

struct tn_conv_f64 {
    tn_conv_shape shape;
    size_t rows, columns; /* of a tile */
    size_t panel_bytes;   /* of each thread's scratch memory */
    int64_t blocks;       /* of positions */
};

tn_status tn_conv_f64_prepare(tn_prepare *call, const tn_conv_shape *s, tn_conv_f64 **out) {
    tn_conv_f64 *c = *out = tn_prepare_alloc(call, sizeof *c);
    if (!c) return TN_E_MEMORY;
    c->shape = *s;
    call->kernels->gemm_f64_tile(&c->rows, &c->columns);
    if (c->columns > MOST_COLUMNS) return tn_fail(TN_E_INTERNAL, "a tile of %zu columns", c->columns);
    c->blocks = (s->out_plane + (int64_t)c->columns - 1) / (int64_t)c->columns;
    size_t taps;
    bool fits = tn_mul_size((size_t)(s->channels / s->group), (size_t)s->taps, &taps) &&
                tn_mul_size(taps, c->columns * sizeof(double), &c->panel_bytes) && c->panel_bytes < SIZE_MAX / 2;
    c->panel_bytes = (c->panel_bytes + 63) & ~(size_t)63;
    fits = fits && tn_mul_size(c->panel_bytes, (size_t)call->threads, &call->scratch);
    return fits ? TN_OK : tn_fail(TN_E_SHAPE, "the kernel is too large");
}

typedef struct job {
    const tn_conv_f64 *c;
    const tn_kernels *kernels;
    const tn_epilogue *epilogue;
    const double *x, *w, *b, *z;
    double *y;
    char *panels;
} job;

/* Where each of n positions of the output, from `at` on, finds what a tap sees in a channel; -1: past the edges. */
static void places_of(const tn_window *w, int64_t tap, int64_t at, size_t n, int64_t *places) {
    for (size_t i = 0; i < n; i++) {
        int64_t sum = 0, step = 1, position = at + (int64_t)i, rest = tap;
        for (int axis = w->spatial - 1; axis >= 0 && sum >= 0; axis--) {
            int64_t place = position % w->out[axis] * w->stride[axis] - w->pad_begin[axis] +
                            rest % w->kernel[axis] * w->dilation[axis];
            position /= w->out[axis];
            rest /= w->kernel[axis];
            sum = place < 0 || place >= w->in[axis] ? -1 : sum + place * step;
            step *= w->in[axis];
        }
        places[i] = sum;
    }
}

static void gather(const tn_conv_f64 *c, const double *x, int64_t at, size_t n, double *panel) {
    const tn_conv_shape *s = &c->shape;
    for (int64_t tap = 0; tap < s->taps; tap++) {
        int64_t places[MOST_COLUMNS];
        places_of(&s->window, tap, at, n, places);
        for (int64_t channel = 0; channel < s->channels / s->group; channel++) {
            double *to = panel + (size_t)(channel * s->taps + tap) * c->columns;
            for (size_t i = 0; i < c->columns; i++)
                to[i] = i < n && places[i] >= 0 ? x[channel * s->in_plane + places[i]] : 0;
        }
    }
}

static void positions_task(void *context, int64_t index) {
    const job *j = context;
    const tn_conv_f64 *c = j->c;
    const tn_conv_shape *s = &c->shape;
    const int64_t at = index % c->blocks * (int64_t)c->columns, group = index / c->blocks % s->group;
    const int64_t image = index / c->blocks / s->group, outputs = s->outputs / s->group, first = group * outputs;
    const int64_t channels = s->channels / s->group;
    const size_t n = (size_t)TN_MIN((int64_t)c->columns, s->out_plane - at), k = (size_t)(channels * s->taps);
    double *panel = (double *)(void *)(j->panels + (size_t)tn_worker_index() * c->panel_bytes);
    gather(c, j->x + (image * s->channels + group * channels) * s->in_plane, at, n, panel);
    int64_t start = (image * s->outputs + first) * s->out_plane + at;
    for (int64_t m = 0; m < outputs; m += (int64_t)c->rows)
        j->kernels->gemm_f64((size_t)TN_MIN((int64_t)c->rows, outputs - m), n, k, j->w + (size_t)(first + m) * k, k, 1,
                             panel, c->columns, j->y + start + m * s->out_plane, (size_t)s->out_plane, true);
    for (int64_t m = 0; m < outputs; m++)
        for (int64_t i = start + m * s->out_plane, end = i + (int64_t)n; i < end; i++) {
            double sum = j->y[i] + (j->b ? j->b[first + m] : 0) + (j->z ? j->z[i] : 0);
            j->y[i] = tn_activation_f64(sum, j->epilogue);
        }
}

void tn_conv_f64_run(const tn_run *call, const tn_conv_f64 *c, const tn_epilogue *epilogue) {
    const tn_tensor *b = tn_in(call, 2), *z = tn_in(call, 3);
    job j = {.c = c,
             .kernels = call->kernels,
             .epilogue = epilogue,
             .x = tn_in(call, 0)->data,
             .w = tn_in(call, 1)->data,
             .b = b ? b->data : NULL,
             .z = z ? z->data : NULL,
             .y = tn_out(call, 0)->data,
             .panels = call->scratch};
    tn_parallel(call->pool, c->shape.batch * c->shape.group * c->blocks, positions_task, &j);
}
