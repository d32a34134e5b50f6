/* Convolution as a product without its matrix (the idea of indirect convolution, arXiv 1907.02129); see conv.h.
 *
 * The image is copied once into a padded layout in which every tap of every channel is the same picture, shifted: padding
 * is there as zeros, and along an axis of stride s > 1 the elements 0, s, 2s... come first, then 1, s + 1... (each such
 * choice for all axes is a phase; only those that taps look at are copied). A row of the convolution's matrix is then the
 * copy itself from an offset on.
 *
 * With few outputs the product's kernel reads the copy where it lies, by a table of offsets (conv_direct.c). With more of
 * them each element is used so often that packing panels of positions pays (conv_packed.c): they stay in the nearest
 * cache, and no vector is cut by the ends of rows. */
#include "ops/conv_image.h"
#include "ops/scratch.h"

#define PACKED_PANELS 2    /* of outputs, at least, where panels of positions are packed */
#define COPY_TASK 4096     /* floats, about */
#define APART_FLOATS 65536 /* of a copy, at most, where threads have images of their own: 256 KiB */

static int64_t greatest_divisor(int64_t a, int64_t b) {
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Along an axis, taps look at place k * dilation, whose remainder by the stride repeats after `period` taps: there are
 * min(kernel, period) different ones, and phases are all choices of one of them for each axis. */
static tn_status make_phases(tn_prepare *call, tn_conv_image *c) {
    const tn_window *w = &c->shape.window;
    c->phase_count = 1;
    for (int i = 0; i < w->spatial; i++) {
        c->period[i] = w->stride[i] / greatest_divisor(w->stride[i], w->dilation[i]);
        c->period[i] = TN_MIN(c->period[i], w->kernel[i]);
        c->phase_count *= c->period[i]; /* at most the taps */
    }
    c->phases = tn_prepare_alloc(call, (size_t)c->phase_count * sizeof *c->phases);
    if (!c->phases) return TN_E_MEMORY;
    for (int64_t n = 0; n < c->phase_count; n++) {
        int64_t rest = n;
        for (int i = w->spatial - 1; i >= 0; i--) {
            c->phases[n].first[i] = rest % c->period[i] * w->dilation[i] % w->stride[i] - w->pad_begin[i];
            rest /= c->period[i];
        }
    }
    return TN_OK;
}

static tn_status make_offsets(tn_prepare *call, tn_conv_image *c) {
    const tn_conv_shape *s = &c->shape;
    const tn_window *w = &s->window;
    size_t taps = (size_t)s->taps, channels = (size_t)(s->channels / s->group), k, floats;
    int64_t *offset_of = tn_prepare_alloc(call, taps * sizeof *offset_of);
    if (!offset_of) return TN_E_MEMORY;
    for (int64_t tap = 0; tap < s->taps; tap++) {
        int64_t rest = tap, step = c->phase_size;
        for (int i = w->spatial - 1; i >= 0; i--) {
            int64_t t = rest % w->kernel[i];
            offset_of[tap] += t % c->period[i] * step + t * w->dilation[i] / w->stride[i] * c->stride[i];
            step *= c->period[i];
            rest /= w->kernel[i];
        }
    }
    if (__builtin_mul_overflow(c->phase_count, c->phase_size, &c->channel_size) ||
        !tn_mul_size((size_t)c->channel_size, (size_t)s->channels, &floats) ||
        !tn_add_size(floats, TN_CONV_SLACK, &c->copy_floats) ||
        (size_t)c->channel_size > UINT32_MAX / TN_MAX(channels, 1u) || !tn_mul_size(channels, taps, &k))
        return tn_fail(TN_E_LIMIT, "a padded image of %lld channels is too large", (long long)s->channels);
    c->offsets = tn_prepare_alloc(call, k * sizeof *c->offsets);
    if (!c->offsets) return TN_E_MEMORY;
    for (size_t i = 0; i < k; i++)
        c->offsets[i] = (uint32_t)((int64_t)(i / taps) * c->channel_size + offset_of[i % taps]);
    return TN_OK;
}

/* Axes of a phase: as long as the taps of all output positions reach. */
static tn_status measure_phase(tn_conv_image *c) {
    tn_window *w = &c->shape.window;
    c->phase_size = 1;
    for (int i = w->spatial - 1; i >= 0; i--) {
        if (w->out[i] == 1) w->stride[i] = 1; /* never taken: must not make phases */
        c->length[i] = w->out[i] + (w->kernel[i] - 1) * w->dilation[i] / w->stride[i];
        c->stride[i] = c->phase_size;
        if (__builtin_mul_overflow(c->phase_size, c->length[i], &c->phase_size))
            return tn_fail(TN_E_LIMIT, "a padded image is too large");
    }
    return TN_OK;
}

tn_status tn_conv_image_prepare(tn_prepare *call, const tn_conv_shape *shape, tn_conv_image **out_image,
                                const tn_product **out_product) {
    tn_conv_image *c = tn_prepare_alloc(call, sizeof *c);
    size_t rows, columns, lanes;
    if (!c) return TN_E_MEMORY;
    *out_image = c;
    *out_product = &c->product;
    c->shape = *shape;
    call->kernels->gemm_f32_tile(&rows, &columns, &lanes);
    if (call->kernels->bf16_products) columns = TN_BF16_COLUMNS;
    TN_TRY(measure_phase(c));
    TN_TRY(make_phases(call, c));
    TN_TRY(make_offsets(call, c));
    tn_conv_direct_count(c, (int64_t)columns, (int64_t)lanes);
    size_t k = (size_t)(shape->channels / shape->group * shape->taps), m = (size_t)(shape->outputs / shape->group);
    c->packed = m >= rows * PACKED_PANELS || call->kernels->bf16_products;
    size_t n = c->packed ? (size_t)shape->out_plane : (size_t)c->panels * columns;
    tn_product_plan_fast(&c->product, call->kernels, call->threads, m, n, k, c->packed ? 1 : TN_MAX(k, 1u),
                         (size_t)(shape->group));
    size_t panel = tn_product_buffer_bytes(&c->product) / sizeof(float) + TN_CONV_SLACK;
    c->own_floats = (c->packed ? panel : c->product.rows * columns + 15) / 16 * 16;
    c->copy_floats = (c->copy_floats + 15) / 16 * 16;
    const bool apart = call->threads > 1 && shape->batch >= 2 * call->threads && c->copy_floats <= APART_FLOATS;
    c->copies = apart ? (size_t)call->threads : 1;
    c->parts = apart ? 1 : tn_conv_parts(shape, call->threads, c->length[0]);
    c->together = TN_MAX(COPY_TASK / TN_MAX(c->channel_size, 1), 1);
    c->copy_tasks = (shape->channels + c->together - 1) / c->together;
    if (!tn_scratch_add(&call->scratch, c->copies * c->copy_floats, sizeof(float)) ||
        !tn_scratch_add(&call->scratch, c->own_floats * (size_t)call->threads, sizeof(float)))
        return tn_fail(TN_E_LIMIT, "a padded image of %lld channels is too large", (long long)shape->channels);
    return TN_OK;
}

static void clear(float *p, int64_t n) {
    for (int64_t i = 0; i < n; i++) p[i] = 0;
}

/* Copies places [begin, end) of `axis`, and all of the axes behind it, of one phase: the innermost two at once. */
static void copy_axes(const tn_conv_image *c, const tn_kernels *kernels, const tn_conv_phase *p, int axis,
                      int64_t begin, int64_t end, const float *x, int64_t plane, float *dst) {
    const tn_window *w = &c->shape.window;
    int64_t stride = w->stride[axis], from, to;
    int last = w->spatial - 1;
    plane /= w->in[axis]; /* elements of the image for a step of this axis */
    tn_window_inside(p->first[axis], stride, c->length[axis], w->in[axis], &from, &to);
    from = TN_MIN(TN_MAX(from, begin), end);
    to = TN_MAX(TN_MIN(to, end), from);
    x += (p->first[axis] + from * stride) * plane;
    if (axis == last) {
        clear(dst + begin, from - begin);
        if (from < to) kernels->gather_rows_f32(1, (size_t)(to - from), x, 0, (size_t)stride, dst + from, 0);
        clear(dst + to, end - to);
        return;
    }
    int64_t step = c->stride[axis];
    clear(dst + begin * step, (from - begin) * step);
    clear(dst + to * step, (end - to) * step);
    if (axis + 1 < last) {
        for (int64_t i = from; i < to; i++, x += stride * plane)
            copy_axes(c, kernels, p, axis + 1, 0, c->length[axis + 1], x, plane, dst + i * step);
        return;
    }
    int64_t left, right, size = w->in[last], inner = w->stride[last];
    tn_window_inside(p->first[last], inner, step, size, &left, &right);
    dst += from * step;
    if (left < right)
        kernels->gather_rows_f32((size_t)(to - from), (size_t)(right - left), x + p->first[last] + left * inner,
                                 (size_t)(stride * plane), (size_t)inner, dst + left, (size_t)step);
    for (int64_t i = from; i < to; i++, dst += step) {
        clear(dst, left);
        clear(dst + right, step - right);
    }
}

/* One phase of some channels of signals, whose channels are the rows that are copied. */
static void copy_signals(const tn_conv_image *c, const tn_kernels *kernels, const tn_conv_phase *p, int64_t channels,
                         const float *x, float *dst) {
    const tn_window *w = &c->shape.window;
    const int64_t length = c->length[0], stride = w->stride[0];
    int64_t from, to;
    tn_window_inside(p->first[0], stride, length, w->in[0], &from, &to);
    if (from < to)
        kernels->gather_rows_f32((size_t)channels, (size_t)(to - from), x + p->first[0] + from * stride,
                                 (size_t)c->shape.in_plane, (size_t)stride, dst + from, (size_t)c->channel_size);
    for (int64_t i = 0; i < channels; i++, dst += c->channel_size) {
        clear(dst, from);
        clear(dst + to, length - to);
    }
}

/* A part of some channels. */
static void copy_task(void *context, int64_t index) {
    const tn_conv_image_call *r = context;
    const tn_conv_image *c = r->c;
    const int64_t part = index / c->copy_tasks, first = index % c->copy_tasks * c->together;
    const int64_t last = TN_MIN(first + c->together, c->shape.channels), plane = c->shape.in_plane;
    const int64_t begin = c->length[0] * part / c->parts, end = c->length[0] * (part + 1) / c->parts;
    for (int64_t i = 0; i < c->phase_count; i++) {
        float *dst = r->copy + first * c->channel_size + i * c->phase_size;
        if (c->shape.window.spatial == 1) {
            copy_signals(c, r->kernels, &c->phases[i], last - first, r->x + first * plane, dst);
            continue;
        }
        for (int64_t channel = first; channel < last; channel++, dst += c->channel_size)
            copy_axes(c, r->kernels, &c->phases[i], 0, begin, end, r->x + channel * plane, plane, dst);
    }
    if (part + 1 == c->parts && last == c->shape.channels) clear(r->copy + last * c->channel_size, TN_CONV_SLACK);
}

/* Images of a run. */
typedef struct batch_call {
    tn_conv_image_call first;
    tn_pool *pool;
} batch_call;

static void image_task(void *context, int64_t image) {
    const batch_call *b = context;
    const tn_conv_image *c = b->first.c;
    const tn_conv_shape *s = &c->shape;
    const int64_t at = image * s->outputs * s->out_plane;
    tn_conv_image_call r = b->first;
    tn_epilogue e = *r.epilogue;
    r.epilogue = &e;
    r.x += image * s->channels * s->in_plane;
    r.y += at;
    if (e.residual) e.residual += at;
    if (c->copies > 1) r.copy += (size_t)tn_worker_index() * c->copy_floats;
    if (s->channels == 0) clear(r.copy, TN_CONV_SLACK);
    tn_parallel(b->pool, c->copy_tasks * c->parts, copy_task, &r);
    tn_parallel(b->pool, s->group * (int64_t)c->product.tasks, c->packed ? tn_conv_packed_task : tn_conv_direct_task,
                &r);
}

void tn_conv_image_run(const tn_run *call, const tn_conv_image *c, void *scratch, const float *x, const float *w,
                       float *y, const tn_epilogue *epilogue) {
    uint8_t *memory = scratch;
    float *copy = tn_scratch_take(&memory, c->copies * c->copy_floats, sizeof(float));
    batch_call b = {{c, call->kernels, x, w, copy, (float *)(void *)memory, y, epilogue}, call->pool};
    if (c->copies > 1)
        tn_parallel(call->pool, c->shape.batch, image_task, &b);
    else
        for (int64_t image = 0; image < c->shape.batch; image++) image_task(&b, image);
}
