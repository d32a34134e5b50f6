/* Convolution as a product without its matrix (the idea of indirect convolution, arXiv 1907.02129); see conv.h.
 *
 * The image is copied once into a padded layout in which every tap of every channel is the same picture, shifted: padding
 * is there as zeros, and along an axis of stride s > 1 the elements 0, s, 2s... come first, then 1, s + 1... (each such
 * choice for all axes is a phase; only those that taps look at are copied). A row of the convolution's matrix is then the
 * copy itself from an offset on, so the product's kernel reads the copy by a table of offsets, and no matrix is made.
 *
 * Output positions are taken either row by row, or, where rows are narrow or do not fill vectors well, through the whole
 * padded plane, with what falls between rows thrown away: whichever makes fewer vectors. */
#include "ops/conv.h"
#include "ops/scratch.h"

#define SLACK 64 /* floats behind the copy that the last vectors may read */

/* A part of the padded copy of a channel. */
typedef struct phase {
    int64_t first[TN_MAX_SPATIAL]; /* element of the image at place 0 of each axis, may be negative */
} phase;

struct tn_conv_image {
    tn_conv_shape shape;
    tn_product product; /* of one group; its columns are positions, counted in whole panels */
    phase *phases;
    int64_t phase_count, period[TN_MAX_SPATIAL];
    int64_t length[TN_MAX_SPATIAL], stride[TN_MAX_SPATIAL]; /* of a phase's axes, in elements */
    int64_t phase_size, channel_size;
    uint32_t *offsets; /* [k] of one group, from its first channel on */
    bool rows;         /* positions are taken row by row */
    int64_t panels;
    int64_t row_panels; /* of one row, then */
    size_t copy_floats, tile_floats;
};

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
        !tn_add_size(floats, SLACK, &c->copy_floats) || (size_t)c->channel_size > UINT32_MAX / TN_MAX(channels, 1u) ||
        !tn_mul_size(channels, taps, &k))
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

static void count_panels(tn_conv_image *c, int64_t columns, int64_t lanes) {
    const tn_window *w = &c->shape.window;
    int last = w->spatial - 1;
    int64_t rows = c->shape.out_plane / w->out[last], through = 1;
    for (int i = 0; i <= last; i++) through += (w->out[i] - 1) * c->stride[i];
    int64_t vectors = (w->out[last] + lanes - 1) / lanes, whole = (through + columns - 1) / columns;
    /* A tile of fewer vectors takes longer for each: about as if there were half a vector more. */
    int64_t by_row = rows * (2 * vectors + (vectors * lanes % columns != 0));
    c->rows = by_row <= 2 * whole * (columns / lanes);
    c->row_panels = (w->out[last] + columns - 1) / columns;
    c->panels = c->rows ? rows * c->row_panels : whole;
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
    TN_TRY(measure_phase(c));
    TN_TRY(make_phases(call, c));
    TN_TRY(make_offsets(call, c));
    count_panels(c, (int64_t)columns, (int64_t)lanes);
    size_t k = (size_t)(shape->channels / shape->group * shape->taps);
    tn_product_plan_threads(&c->product, call->kernels, call->threads, (size_t)(shape->outputs / shape->group),
                            (size_t)c->panels * columns, k, TN_MAX(k, 1u), (size_t)(shape->group));
    c->tile_floats = c->product.rows * columns;
    if (!tn_scratch_add(&call->scratch, c->copy_floats, sizeof(float)) ||
        !tn_scratch_add(&call->scratch, c->tile_floats * (size_t)call->threads, sizeof(float)))
        return tn_fail(TN_E_LIMIT, "a padded image of %lld channels is too large", (long long)shape->channels);
    return TN_OK;
}

typedef struct run_call {
    const tn_conv_image *c;
    const tn_kernels *kernels;
    const float *x, *w; /* one image; packed weights */
    float *copy, *tiles, *y;
    const tn_epilogue *epilogue;
} run_call;

static void clear(float *p, int64_t n) {
    for (int64_t i = 0; i < n; i++) p[i] = 0;
}

/* Copies the axes from `axis` on of one phase: the innermost two at once. */
static void copy_axes(const tn_conv_image *c, const tn_kernels *kernels, const phase *p, int axis, const float *x,
                      int64_t plane, float *dst) {
    const tn_window *w = &c->shape.window;
    int64_t length = c->length[axis], stride = w->stride[axis], from, to;
    int last = w->spatial - 1;
    plane /= w->in[axis]; /* elements of the image for a step of this axis */
    tn_window_inside(p->first[axis], stride, length, w->in[axis], &from, &to);
    x += (p->first[axis] + from * stride) * plane;
    if (axis == last) {
        clear(dst, from);
        if (from < to) kernels->gather_rows_f32(1, (size_t)(to - from), x, 0, (size_t)stride, dst + from, 0);
        clear(dst + to, length - to);
        return;
    }
    int64_t step = c->stride[axis];
    clear(dst, from * step);
    clear(dst + to * step, (length - to) * step);
    if (axis + 1 < last) {
        for (int64_t i = from; i < to; i++, x += stride * plane)
            copy_axes(c, kernels, p, axis + 1, x, plane, dst + i * step);
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

static void copy_task(void *context, int64_t channel) {
    const run_call *r = context;
    const tn_conv_image *c = r->c;
    float *dst = r->copy + channel * c->channel_size;
    for (int64_t i = 0; i < c->phase_count; i++, dst += c->phase_size)
        copy_axes(c, r->kernels, &c->phases[i], 0, r->x + channel * c->shape.in_plane, c->shape.in_plane, dst);
    if (channel + 1 == c->shape.channels) clear(dst, SLACK);
}

/* Where positions [at, at + n) of the padded plane lie in the output: the next run of them. at and n move past what is
 * between rows; returns the length of the run, 0 at the end. */
static int64_t next_run(const tn_conv_image *c, int64_t *at, int64_t *n, int64_t *out) {
    const tn_window *w = &c->shape.window;
    int last = w->spatial - 1;
    while (*n > 0) {
        int64_t place = *at % c->length[last], outer = *at / c->length[last];
        int64_t count = TN_MIN(*n, c->length[last] - place), step = w->out[last];
        bool inside = place < w->out[last];
        *out = place;
        for (int i = last - 1; i >= 0; i--) {
            int64_t o = i ? outer % c->length[i] : outer;
            inside &= o < w->out[i];
            *out += o * step;
            step *= w->out[i];
            outer /= c->length[i];
        }
        if (inside) return TN_MIN(count, w->out[last] - place);
        *at += count;
        *n -= count;
    }
    return 0;
}

/* A tile that was made apart, of `rows` rows from `row` on: adds the residual, and puts the runs where they belong. */
static void place_tile(const run_call *r, const tn_epilogue *e, float *tile, size_t rows, int64_t at, float *y) {
    const tn_conv_image *c = r->c;
    size_t columns = c->product.columns, plane = (size_t)c->shape.out_plane;
    int64_t n = (int64_t)columns, start = at, out, count;
    if (e->residual) {
        while ((count = next_run(c, &at, &n, &out)) > 0) {
            for (size_t i = 0; i < rows; i++)
                r->kernels->scatter_add_f32((size_t)count, e->residual + i * plane + out,
                                            tile + i * columns + (at - start), 1);
            at += count;
            n -= count;
        }
        r->kernels->activate_f32(rows * columns, tile, e);
        at = start;
        n = (int64_t)columns;
    }
    while ((count = next_run(c, &at, &n, &out)) > 0) {
        r->kernels->gather_rows_f32(rows, (size_t)count, tile + (at - start), columns, 1, y + out, plane);
        at += count;
        n -= count;
    }
}

/* One panel through the plane: tile by tile. */
static void whole_panel(const run_call *r, const tn_gemm_f32 *all, int64_t at, float *y, const tn_epilogue *e) {
    const tn_product *p = &r->c->product;
    float *tile = r->tiles + (size_t)tn_worker_index() * r->c->tile_floats;
    for (size_t row = 0; row < all->m; row += p->rows) {
        tn_gemm_f32 g = *all;
        g.m = TN_MIN(p->rows, all->m - row);
        g.a = all->a + row * p->k;
        g.c = tile;
        g.c_stride = p->columns;
        if (g.epilogue.row_bias) g.epilogue.row_bias += row;
        tn_epilogue rest = *e;
        if (rest.residual) {
            rest.residual += row * (size_t)r->c->shape.out_plane;
            g.epilogue.activation = TN_ACT_NONE;
        }
        r->kernels->gemm_f32(&g);
        place_tile(r, &rest, tile, g.m, at, y + row * (size_t)r->c->shape.out_plane);
    }
}

static void panel_task(void *context, int64_t index) {
    const run_call *r = context;
    const tn_conv_image *c = r->c;
    const tn_conv_shape *s = &c->shape;
    const tn_product *p = &c->product;
    const tn_window *w = &s->window;
    int last = w->spatial - 1;
    size_t group = (size_t)index / p->tasks, plane = (size_t)s->out_plane, row, column;
    tn_product_place(p, (size_t)index % p->tasks, &row, &column);
    size_t at = (group * p->m + row) * plane;
    int64_t per_task = (int64_t)(p->n_task / p->columns), first = (int64_t)(column / p->columns);
    const float *copy = r->copy + (int64_t)group * (s->channels / s->group) * c->channel_size;
    tn_epilogue e = *r->epilogue;
    if (e.row_bias) e.row_bias += group * p->m + row;
    if (e.residual) e.residual += at;
    tn_gemm_f32 g = {.m = TN_MIN(p->m_task, p->m - row),
                     .k = p->k,
                     .rows = p->rows,
                     .a = r->w + (group * p->m + row) * p->k,
                     .a_panel = p->rows * p->k,
                     .b_offset = c->offsets,
                     .c_stride = plane,
                     .first = true,
                     .last = true};
    for (int64_t panel = first; panel < TN_MIN(first + per_task, c->panels); panel++) {
        g.epilogue = e;
        g.epilogue.residual_stride = plane;
        if (!c->rows) {
            g.n = p->columns;
            g.b = copy + panel * (int64_t)p->columns;
            g.epilogue.residual = NULL;
            whole_panel(r, &g, panel * (int64_t)p->columns, r->y + at, &e);
            continue;
        }
        int64_t outer = panel / c->row_panels, x = panel % c->row_panels * (int64_t)p->columns;
        int64_t out = outer * w->out[last] + x;
        g.n = (size_t)TN_MIN((int64_t)p->columns, w->out[last] - x);
        g.b = copy + x;
        for (int i = last - 1; i >= 0; i--) {
            g.b += outer % w->out[i] * c->stride[i];
            outer /= w->out[i];
        }
        g.c = r->y + at + out;
        if (g.epilogue.residual) g.epilogue.residual += out;
        r->kernels->gemm_f32(&g);
    }
}

void tn_conv_image_run(const tn_run *call, const tn_conv_image *c, void *scratch, const float *x, const float *w,
                       float *y, const tn_epilogue *epilogue) {
    const tn_conv_shape *s = &c->shape;
    uint8_t *memory = scratch;
    run_call r = {.c = c, .kernels = call->kernels, .w = w, .epilogue = epilogue};
    r.copy = tn_scratch_take(&memory, c->copy_floats, sizeof(float));
    r.tiles = (float *)(void *)memory;
    tn_epilogue e = *epilogue;
    r.epilogue = &e;
    for (int64_t image = 0; image < s->batch; image++) {
        r.x = x + image * s->channels * s->in_plane;
        r.y = y + image * s->outputs * s->out_plane;
        if (epilogue->residual) e.residual = epilogue->residual + image * s->outputs * s->out_plane;
        if (s->channels == 0) clear(r.copy, SLACK);
        tn_parallel(call->pool, s->channels, copy_task, &r);
        tn_parallel(call->pool, s->group * (int64_t)c->product.tasks, panel_task, &r);
    }
}
