/* ConvTranspose: each input element adds its product with the kernel to the output.
 *
 * float32: for a panel of input positions, a product gives all taps of some output channels (a part), [channel, tap,
 * position]; these are added to the output where they belong. A task owns its outputs: a part and, where the kernel
 * does not reach from one input row into the next one's outputs, a band of rows. Kernels as large as their strides, which
 * meet each output once, need no adding: their taps are woven together. The window is kept the other way round, as that
 * of the convolution from Y to X. */
#include "ops/conv.h"
#include "ops/data.h"
#include "ops/scratch.h"
#include <stdio.h>

#define PART_FLOATS 8192 /* of the products of one panel */
#define TASK_WORK 65536

typedef struct transpose_state {
    tn_conv_shape shape; /* in and out changed round: in_plane is of Y */
    tn_product product;  /* of a part: channels and taps x positions */
    const float *weights;
    size_t channel_floats, buffer_floats, part_floats; /* packed weights of a channel; a thread's buffers */
    int64_t part_outputs, parts, band_rows, bands;     /* parts of a group */
    bool woven;                                        /* kernels are as large as the strides */
} transpose_state;

/* Sizes and padding of the output; dims as in tn_window. */
static tn_status output_axis(const tn_node *node, int spatial, int i, int64_t in, int64_t extra, tn_window *w) {
    size_t count;
    const int64_t *shape = tn_attr_ints(node, "output_shape", &count);
    const char *pad = tn_attr_text(node, "auto_pad", "NOTSET");
    bool upper = strcmp(pad, "SAME_UPPER") == 0, same = upper || strcmp(pad, "SAME_LOWER") == 0;
    bool valid = strcmp(pad, "VALID") == 0;
    int64_t full, limit = (int64_t)1 << 40;
    if (!same && !valid && strcmp(pad, "NOTSET") != 0)
        return tn_fail(TN_E_INVALID, "auto_pad is '%.40s'; expected NOTSET, SAME_UPPER, SAME_LOWER or VALID", pad);
    if (shape && count != (size_t)spatial && count != (size_t)spatial + 2)
        return tn_fail(TN_E_INVALID, "attribute output_shape has %zu values; expected %d", count, spatial);
    w->in[i] = in;
    w->out[i] = shape ? shape[i + (count == (size_t)spatial ? 0 : 2)] : -1;
    if (shape && (w->out[i] < 1 || w->out[i] > limit))
        return tn_fail(TN_E_INVALID, "attribute output_shape has %lld; expected 1 to 2^40", (long long)w->out[i]);
    if (in < 0 || w->kernel[i] < 0) return TN_OK;
    if (in < 1 || __builtin_mul_overflow(in - 1, w->stride[i], &full) || full > limit)
        return tn_fail(TN_E_SHAPE, "spatial axis %d has %lld elements, which is none or too many", i, (long long)in);
    full += extra + tn_window_reach(w, i);
    if (valid) w->pad_begin[i] = w->pad_end[i] = 0;
    if (!shape && same) w->out[i] = in * w->stride[i];
    if (shape || same) {
        int64_t total = TN_MAX(full - w->out[i], 0);
        w->pad_begin[i] = upper ? total / 2 : total - total / 2;
        w->pad_end[i] = total - w->pad_begin[i];
        return TN_OK;
    }
    w->out[i] = full - w->pad_begin[i] - w->pad_end[i];
    if (w->out[i] < 1)
        return tn_fail(TN_E_SHAPE, "spatial axis %d would have %lld elements; the padding is too much", i,
                       (long long)w->out[i]);
    return TN_OK;
}

static tn_status output_size(const tn_node *node, const int64_t *in, tn_window *w) {
    size_t count;
    const int64_t *extra = tn_attr_ints(node, "output_padding", &count);
    if (extra && count != (size_t)w->spatial)
        return tn_fail(TN_E_INVALID, "attribute output_padding has %zu values; expected %d", count, w->spatial);
    for (int i = 0; i < w->spatial; i++) {
        if (extra && (extra[i] < 0 || extra[i] >= TN_MAX(w->stride[i], w->dilation[i])))
            return tn_fail(TN_E_INVALID, "attribute output_padding has %lld; expected less than the stride or dilation",
                           (long long)extra[i]);
        TN_TRY(output_axis(node, w->spatial, i, in[i], extra ? extra[i] : 0, w));
    }
    return TN_OK;
}

static tn_status transpose_infer(tn_infer *call) {
    tn_conv_shape s;
    bool known;
    TN_TRY(tn_conv_infer(call, true, &s, &known));
    if (!known) return tn_infer_out(call, 0, call->in[0]->dtype, -1, NULL);
    TN_TRY(output_size(call->node, call->in[0]->dims + 2, &s.window));
    int64_t dims[TN_MAX_RANK] = {s.batch, s.outputs};
    for (int i = 0; i < s.window.spatial; i++) dims[i + 2] = s.window.out[i];
    return tn_infer_out(call, 0, call->in[0]->dtype, s.window.spatial + 2, dims);
}

typedef struct pack_call {
    const transpose_state *state;
    const float *weights;
} pack_call;

/* Output channels of a part: *count from the one returned on. */
static int64_t part_channels(const transpose_state *t, int64_t group, int64_t part, int64_t *count) {
    int64_t outputs = t->shape.outputs / t->shape.group, first = part * t->part_outputs;
    *count = TN_MIN(t->part_outputs, outputs - first);
    return group * outputs + first;
}

static void pack_weights(void *dst, const void *context) {
    const transpose_state *t = ((const pack_call *)context)->state;
    const tn_conv_shape *s = &t->shape;
    int64_t outputs = s->outputs / s->group, channels = s->channels / s->group, count;
    for (int64_t i = 0; i < s->group * t->parts; i++) {
        int64_t m = part_channels(t, i / t->parts, i % t->parts, &count), from = m / outputs * channels * outputs;
        tn_product p = t->product;
        p.m = (size_t)(count * s->taps);
        for (size_t panel = 0; panel * p.rows < p.m; panel++)
            tn_product_pack_a(&p, ((const pack_call *)context)->weights + (from + m % outputs) * s->taps, 1,
                              (size_t)(outputs * s->taps), (float *)dst + (size_t)m * t->channel_floats, panel);
    }
}

static bool is_woven(const tn_window *w) {
    for (int i = 0; i < w->spatial; i++)
        if (w->kernel[i] != w->stride[i] || w->dilation[i] != 1 || w->pad_begin[i] != 0 ||
            w->in[i] != w->out[i] * w->stride[i])
            return false;
    return true;
}

static tn_status prepare_f32(tn_prepare *call, transpose_state *t) {
    const tn_conv_shape *s = &t->shape;
    const tn_window *w = &s->window;
    int64_t outputs = s->outputs / s->group, channels = s->channels / s->group;
    size_t rows, columns, lanes;
    call->kernels->gemm_f32_tile(&rows, &columns, &lanes);
    t->channel_floats = (size_t)(s->taps * channels);
    t->woven = is_woven(w);
    t->part_outputs = TN_MIN(TN_MAX(PART_FLOATS / (s->taps * (int64_t)columns), 1), outputs);
    t->band_rows = w->out[0];
    if (tn_window_reach(w, 0) <= w->stride[0]) {
        double row_work = (double)(s->taps * channels * t->part_outputs) * (double)(s->out_plane / w->out[0]);
        t->band_rows = (int64_t)TN_MIN(TASK_WORK / row_work + 1, (double)w->out[0]);
        t->band_rows = TN_MAX(t->band_rows, (w->out[0] + 63) / 64);
    } else {
        t->part_outputs = TN_MIN(t->part_outputs, (outputs + 7) / 8);
    }
    t->parts = (outputs + t->part_outputs - 1) / t->part_outputs;
    t->bands = (w->out[0] + t->band_rows - 1) / t->band_rows;
    tn_product_plan(&t->product, call->kernels, (size_t)(t->part_outputs * s->taps), (size_t)s->out_plane,
                    (size_t)channels, 1, 1);

    size_t bytes, all;
    if (!tn_mul_size(t->channel_floats * sizeof(float), (size_t)s->outputs, &bytes))
        return tn_fail(TN_E_SHAPE, "the weights are too large");
    if (call->value[1]) {
        pack_call context = {t, call->value[1]->data};
        char layout[96];
        const void *packed;
        snprintf(layout, sizeof layout, "conv_transpose_f32 %zu/%lld %lldx%lldx%lldx%lld", t->product.rows,
                 (long long)t->part_outputs, (long long)s->group, (long long)channels, (long long)outputs,
                 (long long)s->taps);
        TN_TRY(tn_prepare_pack(call, 1, layout, bytes, pack_weights, &context, &packed));
        t->weights = packed;
    } else if (!tn_scratch_add(&call->scratch, bytes, 1)) {
        return tn_fail(TN_E_SHAPE, "the weights are too large");
    }
    t->buffer_floats = (tn_product_buffer_bytes(&t->product) + 63) / 64 * 16;
    t->part_floats = (size_t)(t->part_outputs * s->taps) * t->product.columns;
    if (!tn_add_size(t->buffer_floats, t->part_floats, &all) ||
        !tn_scratch_add(&call->scratch, (size_t)(s->outputs * s->taps), sizeof(float)) ||
        !tn_scratch_add(&call->scratch, (size_t)call->threads * sizeof(float), all))
        return tn_fail(TN_E_SHAPE, "a kernel of %lld elements is too large", (long long)s->taps);
    return TN_OK;
}

static tn_status transpose_prepare(tn_prepare *call) {
    transpose_state *t = tn_prepare_alloc(call, sizeof *t);
    if (!t) return TN_E_MEMORY;
    call->state = t;
    tn_conv_shape *s = &t->shape;
    TN_TRY(tn_conv_read(call, true, s));
    TN_TRY(output_size(call->node, call->in[0]->dims + 2, &s->window));
    for (int i = 0; i < s->window.spatial; i++) {
        int64_t in = s->window.in[i];
        s->window.in[i] = s->window.out[i];
        s->window.out[i] = in;
    }
    int64_t plane = s->in_plane;
    s->in_plane = s->out_plane;
    s->out_plane = plane;
    if (tn_type_count(&call->out[0]) == 0 || call->in[0]->dtype != TN_FLOAT32) return TN_OK;
    return prepare_f32(call, t);
}

typedef struct run_call {
    const transpose_state *t;
    const tn_kernels *kernels;
    const float *x, *w, *bias; /* w: packed. bias: for woven kernels, of each tap */
    float *y, *buffers;
} run_call;

/* Adds one channel's taps at positions [first, first + n) to its plane. */
static void add_taps(const transpose_state *t, const tn_kernels *kernels, const float *taps, int64_t first, int64_t n,
                     float *y) {
    const tn_window *w = &t->shape.window;
    int last = w->spatial - 1;
    int64_t width = w->out[last], kernel = w->kernel[last], stride = w->stride[last];
    for (int64_t done = 0; done < n;) {
        int64_t row = (first + done) / width, x0 = (first + done) % width, count = TN_MIN(n - done, width - x0);
        const float *src = taps + done;
        for (int64_t tap = 0; tap < t->shape.taps; tap += kernel) {
            int64_t from, to, at = tn_window_row(w, row, tap / kernel);
            for (int64_t j = 0; j < kernel; j++, src += t->product.columns) {
                int64_t start = x0 * stride - w->pad_begin[last] + j * w->dilation[last];
                tn_window_inside(start, stride, at < 0 ? 0 : count, w->in[last], &from, &to);
                if (from < to)
                    kernels->scatter_add_f32((size_t)(to - from), src + from, y + at + start + from * stride,
                                             (size_t)stride);
            }
        }
        done += count;
    }
}

/* The same for kernels as large as their strides: each output row gets its taps, element by element in turn. */
static void weave_taps(const transpose_state *t, const tn_kernels *kernels, const float *taps, int64_t first, int64_t n,
                       float *y) {
    const tn_window *w = &t->shape.window;
    int last = w->spatial - 1;
    int64_t width = w->out[last], kernel = w->kernel[last];
    for (int64_t done = 0, count; done < n; done += count) {
        int64_t row = (first + done) / width, x0 = (first + done) % width;
        count = TN_MIN(n - done, width - x0);
        for (int64_t tap = 0; tap < t->shape.taps; tap += kernel)
            kernels->weave_f32((size_t)count, (size_t)kernel, taps + (size_t)tap * t->product.columns + done,
                               t->product.columns, y + tn_window_row(w, row, tap / kernel) + x0 * kernel);
    }
}

static void fill_band(const run_call *c, int64_t band, int64_t m, float *y) {
    const tn_window *w = &c->t->shape.window;
    int64_t row0 = band * c->t->band_rows, row1 = row0 + c->t->band_rows, slab = c->t->shape.in_plane / w->in[0];
    int64_t from = band == 0 ? 0 : row0 * w->stride[0] - w->pad_begin[0];
    int64_t to = band + 1 == c->t->bands ? w->in[0] : row1 * w->stride[0] - w->pad_begin[0];
    from = TN_MIN(TN_MAX(from, 0), w->in[0]) * slab;
    to = TN_MIN(TN_MAX(to, 0), w->in[0]) * slab;
    for (int64_t i = from; i < to; i++) y[i] = c->bias ? c->bias[m] : 0;
}

static void transpose_task(void *context, int64_t index) {
    const run_call *c = context;
    const transpose_state *t = c->t;
    const tn_conv_shape *s = &t->shape;
    const tn_window *w = &s->window;
    const tn_product *p = &t->product;
    int64_t band = index % t->bands, part = index / t->bands % t->parts, count;
    int64_t group = index / t->bands / t->parts % s->group, image = index / t->bands / t->parts / s->group;
    int64_t m0 = part_channels(t, group, part, &count);
    const float *x = c->x + (image * s->channels + group * (s->channels / s->group)) * s->out_plane;
    float *y = c->y + (image * s->outputs + m0) * s->in_plane;
    float *buffer = c->buffers + (size_t)tn_worker_index() * (t->buffer_floats + t->part_floats);
    float *products = buffer + t->buffer_floats;
    size_t channel = (size_t)s->taps * p->columns; /* of the products */
    for (int64_t m = 0; m < count && !t->woven; m++) fill_band(c, band, m0 + m, y + m * s->in_plane);

    int64_t inner = s->out_plane / w->out[0], first = band * t->band_rows * inner;
    int64_t end = TN_MIN(first + t->band_rows * inner, s->out_plane);
    tn_panels panels = tn_panels_matrix(x + first, (size_t)s->out_plane, 1);
    tn_gemm_f32 g = {.m = (size_t)(count * s->taps),
                     .rows = p->rows,
                     .a = c->w + (size_t)m0 * t->channel_floats,
                     .a_panel = p->rows * p->k,
                     .c = products,
                     .c_stride = p->columns};
    if (t->woven && c->bias) g.epilogue.row_bias = c->bias + m0 * s->taps;
    for (int64_t j = first; j < end; j += (int64_t)p->columns) {
        g.n = (size_t)TN_MIN((int64_t)p->columns, end - j);
        for (size_t k = 0; k == 0 || k < p->k; k += p->k_block) {
            g.k = TN_MIN(p->k_block, p->k - k);
            g.a_skip = k;
            g.first = k == 0;
            g.last = k + g.k == p->k;
            panels.make(&panels, p, (size_t)(j - first), g.n, k, g.k, buffer, &g);
            c->kernels->gemm_f32(&g);
        }
        for (int64_t m = 0; m < count; m++)
            (t->woven ? weave_taps : add_taps)(t, c->kernels, products + (size_t)m * channel, j, (int64_t)g.n,
                                               y + m * s->in_plane);
    }
}

typedef struct plain_call {
    const tn_conv_shape *shape;
    const double *x, *w, *bias;
    double *y;
} plain_call;

/* One output channel in float64. */
static void plain_task(void *context, int64_t index) {
    const plain_call *c = context;
    const tn_conv_shape *s = c->shape;
    const tn_window *w = &s->window;
    int last = w->spatial - 1;
    int64_t m = index % s->outputs, outputs = s->outputs / s->group, channels = s->channels / s->group;
    int64_t first = index / s->outputs * s->channels + m / outputs * channels;
    double *y = c->y + index * s->in_plane;
    for (int64_t i = 0; i < s->in_plane; i++) y[i] = c->bias ? c->bias[m] : 0;
    for (int64_t at = 0; at < s->out_plane; at++)
        for (int64_t tap = 0; tap < s->taps; tap++) {
            int64_t row = tn_window_row(w, at / w->out[last], tap / w->kernel[last]);
            int64_t column =
                at % w->out[last] * w->stride[last] - w->pad_begin[last] + tap % w->kernel[last] * w->dilation[last];
            if (row < 0 || column < 0 || column >= w->in[last]) continue;
            for (int64_t k = 0; k < channels; k++)
                y[row + column] += c->x[(first + k) * s->out_plane + at] *
                                   c->w[((m / outputs * channels + k) * outputs + m % outputs) * s->taps + tap];
        }
}

static tn_status transpose_run(tn_run *call) {
    const transpose_state *t = call->state;
    const tn_conv_shape *s = &t->shape;
    const tn_tensor *x = tn_in(call, 0), *w = tn_in(call, 1), *b = tn_in(call, 2);
    tn_tensor *out = tn_out(call, 0);
    if (!out || tn_count(out) == 0) return TN_OK;
    if (out->dtype != TN_FLOAT32) {
        plain_call c = {s, x->data, w->data, b ? b->data : NULL, out->data};
        tn_parallel(call->pool, s->batch * s->outputs, plain_task, &c);
        return TN_OK;
    }
    uint8_t *scratch = call->scratch;
    run_call c = {t, call->kernels, x->data, t->weights, b ? b->data : NULL, out->data, NULL};
    if (!c.w) {
        float *packed = tn_scratch_take(&scratch, t->channel_floats * (size_t)s->outputs, sizeof(float));
        pack_call pack = {t, w->data};
        pack_weights(packed, &pack);
        c.w = packed;
    }
    float *tap_bias = tn_scratch_take(&scratch, (size_t)(s->outputs * s->taps), sizeof(float));
    for (int64_t i = 0; c.bias && t->woven && i < s->outputs * s->taps; i++) tap_bias[i] = c.bias[i / s->taps];
    if (c.bias && t->woven) c.bias = tap_bias;
    c.buffers = (float *)(void *)scratch;
    tn_parallel(call->pool, s->batch * s->group * t->parts * t->bands, transpose_task, &c);
    return TN_OK;
}

const tn_op tn_ops_conv_transpose[] = {
    {.name = "ConvTranspose",
     .domain = "",
     .min_in = 2,
     .max_in = 3,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN,
     .infer = transpose_infer,
     .prepare = transpose_prepare,
     .run = transpose_run},
    {0},
};
