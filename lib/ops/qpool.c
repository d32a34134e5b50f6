/* Pools of 8-bit integers: QLinearGlobalAveragePool and QLinearAveragePool of com.microsoft (X, x_scale, x_zero, y_scale,
 * y_zero), and "tenon" QMaxPool (X) with channels last.
 *
 * Means round as ONNX Runtime's do: the global one from the exact sum, the others from float32 sums in the order of the
 * window, with the zero point added before the result is rounded to even. Unsigned bytes with channels last, as passes
 * lay them out, go through kernels, all others element by element. */
#include "kernels/qlast.h"
#include "ops/quant.h"
#include "ops/window.h"

static tn_status infer_inputs(const tn_infer *call) {
    TN_TRY(tn_infer_bytes(call, 0, 0));
    TN_TRY(tn_infer_quantization(call, 1, 0));
    return tn_infer_quantization(call, 3, 0);
}

/* ---- pools: a plane's pixels are `step` apart, with channels last as many as there are channels ---- */
typedef enum pool_kind { AVERAGE, GLOBAL, MAX } pool_kind;

typedef struct pool {
    tn_window window;
    pool_kind kind;
    size_t batch, channels, in_pixels, pixels, step;
    bool last, count_pad;
} pool;

static bool channels_last(const tn_node *node) {
    return tn_attr_int(node, "channels_last", 0) != 0;
}

static tn_status infer_global(tn_infer *call) {
    TN_TRY(infer_inputs(call));
    const tn_type *x = call->in[0];
    int64_t dims[TN_MAX_RANK];
    bool last = channels_last(call->node);
    if (x->rank >= 0 && x->rank < 3)
        return tn_infer_fail(call, 0, TN_E_SHAPE, "expected batch, channels and spatial axes");
    for (int i = 0; i < x->rank; i++) dims[i] = i == 0 || i == (last ? x->rank - 1 : 1) ? x->dims[i] : 1;
    return tn_infer_out(call, 0, x->dtype, x->rank, dims);
}

static tn_status infer_window(tn_infer *call, bool last) {
    const tn_type *x = call->in[0];
    int64_t dims[TN_MAX_RANK];
    if (x->rank < 0) return tn_infer_out(call, 0, x->dtype, -1, NULL);
    if (x->rank < 3) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected batch, channels and spatial axes");
    tn_window window;
    TN_TRY(tn_window_decode(&window, call->node, x->rank - 2, x->dims + (last ? 1 : 2), NULL));
    memcpy(dims, x->dims, sizeof dims);
    memcpy(dims + (last ? 1 : 2), window.out, (size_t)window.spatial * sizeof *dims);
    return tn_infer_out(call, 0, x->dtype, x->rank, dims);
}

static tn_status infer_average(tn_infer *call) {
    TN_TRY(infer_inputs(call));
    return infer_window(call, channels_last(call->node));
}
static tn_status infer_max(tn_infer *call) {
    TN_TRY(tn_infer_dtype(call, 0, (const tn_dtype[]){TN_UINT8, TN_UNDEFINED}));
    return infer_window(call, true);
}

static tn_status prepare_pool(tn_prepare *call, pool_kind kind) {
    pool *p = tn_prepare_alloc(call, sizeof *p);
    if (!p) return TN_E_MEMORY;
    const tn_type *x = call->in[0], *y = call->out;
    p->last = kind == MAX || channels_last(call->node);
    p->kind = kind;
    p->count_pad = tn_attr_int(call->node, "count_include_pad", 0) != 0;
    int channel = p->last ? x->rank - 1 : 1, first = p->last ? 1 : 2;
    p->batch = (size_t)x->dims[0];
    p->channels = (size_t)x->dims[channel];
    p->in_pixels = (size_t)tn_dims_count(x->rank - 2, x->dims + first);
    p->pixels = (size_t)tn_dims_count(x->rank - 2, y->dims + first);
    p->step = p->last ? p->channels : 1;
    if (kind != GLOBAL) TN_TRY(tn_window_decode(&p->window, call->node, x->rank - 2, x->dims + first, NULL));
    call->state = p;
    return TN_OK;
}
static tn_status prepare_global(tn_prepare *call) {
    return prepare_pool(call, GLOBAL);
}
static tn_status prepare_average(tn_prepare *call) {
    return prepare_pool(call, AVERAGE);
}
static tn_status prepare_max(tn_prepare *call) {
    return prepare_pool(call, MAX);
}

typedef struct pooling {
    const pool *p;
    const tn_kernels *kernels;
    const uint8_t *x;
    uint8_t *y;
    tn_dtype dtype;
    tn_quantization from, to;
} pooling;

enum { CHANNELS = 1024 };

static int32_t value(const pooling *run, size_t at) {
    return run->dtype == TN_INT8 ? (int8_t)run->x[at] : run->x[at];
}

/* The window's first position at output pixel `pixel`, and how many of its positions count if the padding does: those
 * past the end's padding, as ceil_mode makes them, never do. */
static int64_t place_window(const tn_window *w, size_t pixel, int64_t *from) {
    int64_t padded = 1;
    for (int i = w->spatial - 1; i >= 0; i--) {
        int64_t o = (int64_t)(pixel % (size_t)w->out[i]);
        pixel /= (size_t)w->out[i];
        from[i] = o * w->stride[i] - w->pad_begin[i];
        int64_t room = w->in[i] + w->pad_end[i] - from[i];
        padded *= TN_MIN(w->kernel[i], (room + w->dilation[i] - 1) / w->dilation[i]);
    }
    return padded;
}

/* Steps through a window's positions inside the input, in order: at first `at` is all 0. False at the end. */
static bool next_inside(const tn_window *w, const int64_t *from, int64_t *at, bool *started, size_t *offset) {
    for (;;) {
        int i = w->spatial - 1;
        if (*started)
            while (i >= 0 && ++at[i] == w->kernel[i]) at[i--] = 0;
        *started = true;
        if (i < 0) return false;
        int64_t to = 0;
        bool is_inside = true;
        for (int k = 0; k < w->spatial; k++) {
            int64_t position = from[k] + at[k] * w->dilation[k];
            is_inside = is_inside && position >= 0 && position < w->in[k];
            to = to * w->in[k] + position;
        }
        *offset = (size_t)to;
        if (is_inside) return true;
    }
}

static float mean_of(const pooling *run, size_t plane, size_t pixel) {
    int64_t from[TN_MAX_SPATIAL], at[TN_MAX_SPATIAL] = {0}, inside = 0, padded;
    size_t offset;
    float sum = 0;
    bool started = false;
    padded = place_window(&run->p->window, pixel, from);
    while (next_inside(&run->p->window, from, at, &started, &offset)) {
        sum += (float)(value(run, plane + offset * run->p->step) - run->from.zero) * run->from.scale;
        inside++;
    }
    int64_t count = run->p->count_pad ? padded : inside;
    return count ? sum / (float)count : 0.0f;
}

/* Any kind and layout, one element at a time. */
static void pool_plane(void *context, int64_t task) {
    const pooling *run = context;
    const pool *p = run->p;
    size_t batch = (size_t)task / p->channels, channel = (size_t)task % p->channels;
    size_t plane = batch * p->channels * p->in_pixels + channel * (p->last ? 1 : p->in_pixels);
    size_t to = batch * p->channels * p->pixels + channel * (p->last ? 1 : p->pixels);
    for (size_t i = 0; i < p->pixels; i++) {
        float y = mean_of(run, plane, i) / run->to.scale + (float)run->to.zero;
        tn_quant_store(run->dtype, run->y, (int64_t)(to + i * p->step), 1, &y, true);
    }
}

static void global_plane(void *context, int64_t task) {
    const pooling *run = context;
    const pool *p = run->p;
    size_t batch = (size_t)task / p->channels, channel = (size_t)task % p->channels;
    size_t plane = batch * p->channels * p->in_pixels + channel * (p->last ? 1 : p->in_pixels), i = 0;
    int64_t sum = 0;
    enum { WIDE = 64 };
    if (run->dtype == TN_UINT8 && !p->last && p->in_pixels <= INT32_MAX / 255) {
        int32_t sums[WIDE] = {0};
        i = p->in_pixels / WIDE * WIDE;
        run->kernels->qsum(sums, WIDE, p->in_pixels / WIDE, run->x + plane, WIDE);
        for (int k = 0; k < WIDE; k++) sum += sums[k];
    }
    for (; i < p->in_pixels; i++) sum += value(run, plane + i * p->step);
    sum -= (int64_t)run->from.zero * (int64_t)p->in_pixels;
    float scale = run->from.scale / (run->to.scale * (float)p->in_pixels);
    float y = (p->in_pixels ? __builtin_rintf((float)sum * scale) : 0.0f) + (float)run->to.zero;
    tn_quant_store(run->dtype, run->y, task, 1, &y, true);
}

/* Unsigned, channels last: one row of output pixels, all channels. */
static void pool_row(void *context, int64_t task) {
    const pooling *run = context;
    const pool *p = run->p;
    const tn_window *w = &p->window;
    const int last = w->spatial - 1;
    const size_t width = (size_t)w->out[last], height = p->pixels / width;
    size_t batch = (size_t)task / height, row = (size_t)task % height, lines = 0, taps = 1;
    for (int i = 0; i < last; i++) taps *= (size_t)w->kernel[i];
    const uint8_t *x = run->x + batch * p->in_pixels * p->channels, *line[TN_QLAST_TAPS], *tap[TN_QLAST_TAPS];
    uint8_t *y = run->y + (batch * p->pixels + row * width) * p->channels;
    for (size_t t = 0; t < taps; t++) {
        int64_t at = tn_window_row(w, (int64_t)row, (int64_t)t);
        if (at >= 0) line[lines++] = x + (size_t)at * p->channels;
    }
    for (size_t column = 0; column < width; column++, y += p->channels) {
        int64_t start = (int64_t)column * w->stride[last] - w->pad_begin[last], from[TN_MAX_SPATIAL];
        size_t count = 0;
        for (size_t t = 0; t < lines; t++)
            for (int64_t k = 0, at = start; k < w->kernel[last]; k++, at += w->dilation[last])
                if (at >= 0 && at < w->in[last]) tap[count++] = line[t] + (size_t)at * p->channels;
        if (p->kind == MAX && count) {
            run->kernels->qmax(y, p->channels, count, tap);
        } else if (p->kind == MAX) {
            memset(y, 0, p->channels);
        } else {
            int64_t counted = p->count_pad ? place_window(w, row * width + column, from) : (int64_t)TN_MAX(count, 1);
            run->kernels->qaverage(y, p->channels, count, tap, run->from.zero, run->from.scale, (float)counted,
                                   run->to.scale, run->to.zero);
        }
    }
}

/* Likewise, some channels of all pixels. */
static void global_channels(void *context, int64_t task) {
    const pooling *run = context;
    const pool *p = run->p;
    size_t blocks = (p->channels + CHANNELS - 1) / CHANNELS, batch = (size_t)task / blocks;
    size_t first = (size_t)task % blocks * CHANNELS, n = TN_MIN((size_t)CHANNELS, p->channels - first);
    const float by = run->from.scale / (run->to.scale * (float)p->in_pixels);
    int32_t sums[CHANNELS] = {0}, offset[CHANNELS];
    float scale[CHANNELS];
    run->kernels->qsum(sums, n, p->in_pixels, run->x + batch * p->in_pixels * p->channels + first, p->channels);
    for (size_t i = 0; i < CHANNELS; i++) {
        offset[i] = -run->from.zero * (int32_t)p->in_pixels;
        scale[i] = by;
    }
    run->kernels->qfinish(run->y + batch * p->channels + first, 0, sums, 0, 1, n, offset, scale, run->to.zero, 0, 255);
}

static tn_status run_pool(tn_run *call) {
    const pool *p = call->state;
    tn_tensor *y = tn_out(call, 0);
    if (!y || tn_count(y) == 0) return TN_OK;
    pooling run = {.p = p, .kernels = call->kernels, .x = tn_in(call, 0)->data, .y = y->data, .dtype = y->dtype};
    if (p->kind != MAX) {
        run.from = tn_quantization_at(call, 1);
        run.to = tn_quantization_at(call, 3);
    }
    size_t taps = 1;
    for (int i = 0; p->kind != GLOBAL && i < p->window.spatial; i++) taps *= (size_t)p->window.kernel[i];
    bool fast =
        p->last && y->dtype == TN_UINT8 && taps <= TN_QLAST_TAPS && p->in_pixels > 0 && p->in_pixels <= INT32_MAX / 255;
    size_t tasks = p->channels;
    void (*task)(void *, int64_t) = p->kind == GLOBAL ? global_plane : pool_plane;
    if (fast && p->kind == GLOBAL) {
        tasks = (p->channels + CHANNELS - 1) / CHANNELS;
        task = global_channels;
    } else if (fast) {
        tasks = p->pixels / (size_t)p->window.out[p->window.spatial - 1];
        task = pool_row;
    }
    bool small = p->in_pixels * p->channels < 1 << 16;
    tn_parallel(small ? NULL : call->pool, (int64_t)(p->batch * tasks), task, &run);
    return TN_OK;
}

#define ROW(title, infers, prepares, runs)                                                                             \
    {                                                                                                                  \
        .domain = "com.microsoft", .name = title, .min_in = 2, .max_in = 5, .min_out = 1, .max_out = 1,                \
        .flags = TN_OP_BATCH, .infer = infers, .prepare = prepares, .run = runs                                        \
    }

const tn_op tn_ops_qpool[] = {
    ROW("QLinearGlobalAveragePool", infer_global, prepare_global, run_pool),
    ROW("QLinearAveragePool", infer_average, prepare_average, run_pool),
    {.domain = "tenon",
     .name = "QMaxPool",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_BATCH,
     .infer = infer_max,
     .prepare = prepare_max,
     .run = run_pool},
    {0},
};
