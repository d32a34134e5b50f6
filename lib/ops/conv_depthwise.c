/* Depthwise convolution around the kernels of kernels/depthwise.h.
 *
 * A task takes a band of output rows of some channels. Each channel's rows are copied into a padded buffer that fits the
 * first cache, unless the kernel takes them as they lie; the padding is written once a task, since all its channels have it
 * at the same places. */
#include "ops/conv.h"
#include "ops/scratch.h"

#define BUFFER_FLOATS 4096 /* of a band's padded rows: 16 KiB, which leaves room for the output */
#define SQUARE_ROWS 32     /* of the output in a band of a usual kernel: a table of its rows is on the stack */
#define TASK_WORK 65536    /* multiplications of a task, at least */
#define MOST_TASKS 64

struct tn_conv_depthwise {
    int64_t batch, channels, outputs;
    int64_t in_h, in_w, out_h, out_w, pad_h, pad_w;
    size_t kernel_h, kernel_w, stride_h, stride_w, dilation_h;
    bool square, in_place;   /* for depthwise_square_f32; without a copy */
    size_t *offset;          /* [kernel_w] */
    size_t phase, row, rows; /* floats of each of a row's stride_w parts, of a row; rows that a band reads */
    size_t buffer;           /* floats of the copied rows */
    int64_t parts;           /* of an image: as many threads take bands of their own */
    int64_t band_rows, bands, task_outputs, output_tasks;
};

bool tn_conv_depthwise_fits(const tn_conv_shape *s) {
    return s->group == s->channels && s->window.spatial <= 2 && s->outputs <= 2 * s->channels;
}

/* Steps that are never taken must not make rows long. */
static int64_t taken_stride(const tn_window *w, int axis) {
    return w->out[axis] == 1 ? 1 : w->stride[axis];
}

static void read_axis(const tn_window *w, int axis, int64_t *in, int64_t *out, int64_t *pad, size_t *kernel,
                      size_t *stride, size_t *dilation) {
    *in = axis < 0 ? 1 : w->in[axis];
    *out = axis < 0 ? 1 : w->out[axis];
    *pad = axis < 0 ? 0 : w->pad_begin[axis];
    *kernel = axis < 0 ? 1 : (size_t)w->kernel[axis];
    *stride = axis < 0 ? 1 : (size_t)taken_stride(w, axis);
    *dilation = axis < 0 ? 1 : (size_t)w->dilation[axis];
}

/* For depthwise_square_f32. */
static bool is_square(const tn_window *w) {
    const int x = w->spatial - 1, y = x - 1;
    if (w->spatial != 2) return false;
    const int64_t stride_y = taken_stride(w, y), stride_x = taken_stride(w, x);
    return w->kernel[y] == w->kernel[x] && (w->kernel[x] == 3 || w->kernel[x] == 5) && stride_x <= stride_y &&
           stride_y <= 2 && w->dilation[y] == 1 && w->dilation[x] == 1;
}

bool tn_conv_depthwise_in_place(const tn_prepare *call, const tn_conv_shape *shape) {
    return call->kernels->depthwise_in_place && is_square(&shape->window);
}

tn_status tn_conv_depthwise_prepare(tn_prepare *call, const tn_conv_shape *s, int64_t most_rows,
                                    tn_conv_depthwise **out_depthwise) {
    tn_conv_depthwise *d = tn_prepare_alloc(call, sizeof *d);
    size_t dilation_w;
    if (!d) return TN_E_MEMORY;
    *out_depthwise = d;
    d->batch = s->batch;
    d->channels = s->channels;
    d->outputs = s->outputs;
    int last = s->window.spatial - 1;
    read_axis(&s->window, last - 1, &d->in_h, &d->out_h, &d->pad_h, &d->kernel_h, &d->stride_h, &d->dilation_h);
    read_axis(&s->window, last, &d->in_w, &d->out_w, &d->pad_w, &d->kernel_w, &d->stride_w, &dilation_w);
    d->offset = tn_prepare_alloc(call, d->kernel_w * sizeof *d->offset);
    if (!d->offset) return TN_E_MEMORY;
    d->square = is_square(&s->window);
    d->in_place = tn_conv_depthwise_in_place(call, s);
    size_t width = ((size_t)d->out_w + TN_DEPTHWISE_ROUND - 1) / TN_DEPTHWISE_ROUND * TN_DEPTHWISE_ROUND;
    d->phase = width + (d->kernel_w - 1) * dilation_w / d->stride_w + 1;
    d->row = (d->phase * d->stride_w + TN_DEPTHWISE_ROUND - 1) / TN_DEPTHWISE_ROUND * TN_DEPTHWISE_ROUND;
    for (size_t j = 0; j < d->kernel_w; j++)
        d->offset[j] = j * dilation_w % d->stride_w * d->phase + j * dilation_w / d->stride_w;
    size_t reach = (d->kernel_h - 1) * d->dilation_h + 1, fit = BUFFER_FLOATS / d->row;
    d->band_rows = d->in_place ? d->out_h : fit > reach ? (int64_t)((fit - reach) / d->stride_h) / 4 * 4 : 4;
    if (d->square) d->band_rows = TN_MIN(d->band_rows, SQUARE_ROWS);
    d->band_rows = TN_MIN(TN_MIN(TN_MAX(d->band_rows, 4), most_rows), d->out_h);
    d->bands = (d->out_h + d->band_rows - 1) / d->band_rows;
    d->parts = tn_conv_parts(s, call->threads, d->out_h);
    if (d->parts > 1) {
        d->bands = (d->bands + d->parts - 1) / d->parts * d->parts;
        d->band_rows = (d->out_h + d->bands - 1) / d->bands;
        d->bands = (d->out_h + d->band_rows - 1) / d->band_rows;
    }
    d->rows = (size_t)(d->band_rows - 1) * d->stride_h + reach;
    double work = (double)(d->band_rows * d->out_w) * (double)(d->kernel_h * d->kernel_w);
    int64_t per_task = (int64_t)TN_MIN(TASK_WORK / work + 1, (double)d->outputs);
    int64_t spread = d->outputs * d->batch * d->bands / MOST_TASKS;
    d->task_outputs = TN_MAX(TN_MIN(TN_MAX(per_task, spread), d->outputs), 1);
    d->output_tasks = (d->outputs + d->task_outputs - 1) / d->task_outputs;
    size_t floats;
    if (!tn_mul_size(d->in_place ? 0 : d->rows, d->row, &d->buffer) ||
        !tn_mul_size(d->buffer, (size_t)call->threads, &floats) ||
        !tn_scratch_add(&call->scratch, floats, sizeof(float)))
        return tn_fail(TN_E_SHAPE, "rows of %lld elements with a kernel that reaches over %zu rows are too large",
                       (long long)d->in_w, reach);
    return TN_OK;
}

typedef struct run_call {
    const tn_conv_depthwise *d;
    const tn_kernels *kernels;
    const float *x, *w;
    float *y, *buffers;
    const tn_epilogue *epilogue;
} run_call;

/* Copies the rows of one channel, x being row `first` of the image, to their places in the band, whose first row is `top`
 * (above the image: padding). */
static void copy_band(const tn_conv_depthwise *d, const tn_kernels *kernels, const float *x, int64_t first, int64_t end,
                      int64_t top, float *buffer) {
    int64_t stride = (int64_t)d->stride_w;
    if (first >= end) return;
    for (int64_t q = 0; q < stride; q++) {
        /* Place i of this part holds column i * stride + q - pad_w. */
        int64_t from = d->pad_w > q ? (d->pad_w - q + stride - 1) / stride : 0;
        int64_t column = from * stride + q - d->pad_w;
        int64_t count = column < d->in_w ? (d->in_w - column + stride - 1) / stride : 0;
        count = TN_MIN(count, (int64_t)d->phase - from);
        if (count > 0)
            kernels->gather_rows_f32((size_t)(end - first), (size_t)count, x + column, (size_t)d->in_w, d->stride_w,
                                     buffer + (size_t)(first - top) * d->row + (size_t)q * d->phase + from, d->row);
    }
}

static int64_t band_top(const tn_conv_depthwise *d, int64_t band) {
    return band * d->band_rows * (int64_t)d->stride_h - d->pad_h;
}

/* A band of one output. x: the image's rows from the first on that the band reads; copied: they are in the buffer too.
 * y: the output's plane; epilogue: residual like y. */
static void multiply_band(const tn_conv_band *c, const float *x, bool copied, const float *w, float bias, float *y) {
    const tn_conv_depthwise *d = c->depthwise;
    int64_t row = c->band * d->band_rows, rows = TN_MIN(d->band_rows, d->out_h - row), top = band_top(d, c->band);
    const float *x_rows[(SQUARE_ROWS - 1) * 2 + 5];
    tn_depthwise_f32 k = {.rows = (size_t)rows,
                          .width = (size_t)d->out_w,
                          .kernel_h = d->kernel_h,
                          .kernel_w = d->kernel_w,
                          .stride_y = d->stride_h,
                          .stride_x = d->stride_w,
                          .dilation_y = d->dilation_h,
                          .offset = d->offset,
                          .x = c->buffer,
                          .x_stride = d->row,
                          .weights = w,
                          .bias = bias,
                          .y = y + row * d->out_w,
                          .y_stride = (size_t)d->out_w,
                          .epilogue = *c->epilogue,
                          .x_rows = x_rows,
                          .in_width = d->in_w,
                          .pad_x = d->pad_w};
    if (k.epilogue.residual) k.epilogue.activation = TN_ACT_NONE;
    int64_t first = TN_MAX(top, 0), end = TN_MIN(top + (int64_t)d->rows, d->in_h);
    if (!copied && !d->in_place) copy_band(d, c->kernels, x, first, end, top, c->buffer);
    for (int64_t i = 0; d->square && i < (rows - 1) * (int64_t)d->stride_h + (int64_t)d->kernel_h; i++)
        x_rows[i] = top + i < 0 || top + i >= end ? NULL
                    : d->in_place                 ? x + (top + i - first) * d->in_w
                                                  : c->buffer + i * (int64_t)d->row;
    (d->square ? c->kernels->depthwise_square_f32 : c->kernels->depthwise_f32)(&k);
    if (k.epilogue.residual)
        tn_conv_add_residual(c->kernels, c->epilogue, (size_t)(row * d->out_w), (size_t)(rows * d->out_w), y);
}

int64_t tn_conv_depthwise_bands(const tn_conv_depthwise *d) {
    return d->bands;
}

int64_t tn_conv_depthwise_parts(const tn_conv_depthwise *d) {
    return d->parts;
}

void tn_conv_depthwise_reads(const tn_conv_depthwise *d, int64_t band, int64_t *first, int64_t *end) {
    int64_t top = band_top(d, band);
    *first = TN_MAX(top, 0);
    *end = TN_MIN(top + (int64_t)d->rows, d->in_h);
}

size_t tn_conv_depthwise_buffer(const tn_conv_depthwise *d) {
    return d->buffer;
}

void tn_conv_depthwise_channel(const tn_conv_band *band, const float *x, const float *w, float bias, float *y) {
    multiply_band(band, x, false, w, bias, y);
}

static void depthwise_task(void *context, int64_t index) {
    const run_call *c = context;
    const tn_conv_depthwise *d = c->d;
    int64_t part = index % d->output_tasks, band = index / d->output_tasks % d->bands, first, end;
    int64_t image = index / d->output_tasks / d->bands, multiplier = d->outputs / d->channels;
    size_t taps = d->kernel_h * d->kernel_w;
    tn_epilogue e = *c->epilogue;
    tn_conv_band b = {d, c->kernels, &e, band, c->buffers + (size_t)tn_worker_index() * d->buffer};
    if (d->buffer) memset(b.buffer, 0, d->buffer * sizeof *b.buffer);
    tn_conv_depthwise_reads(d, band, &first, &end);
    for (int64_t m = part * d->task_outputs, held = -1; m < TN_MIN((part + 1) * d->task_outputs, d->outputs); m++) {
        int64_t channel = m / multiplier, at = (image * d->outputs + m) * d->out_h * d->out_w;
        if (e.residual) e.residual = c->epilogue->residual + at;
        multiply_band(&b, c->x + ((image * d->channels + channel) * d->in_h + first) * d->in_w, channel == held,
                      c->w + (size_t)m * taps, e.row_bias ? e.row_bias[m] : 0, c->y + at);
        held = channel;
    }
}

void tn_conv_depthwise_run(const tn_run *call, const tn_conv_depthwise *d, const float *x, const float *w, float *y,
                           const tn_epilogue *epilogue) {
    run_call c = {d, call->kernels, x, w, y, call->scratch, epilogue};
    tn_parallel(call->pool, d->batch * d->bands * d->output_tasks, depthwise_task, &c);
}
