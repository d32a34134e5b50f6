/* Operators of com.microsoft on 8-bit integers that look at several elements for one: QLinearGlobalAveragePool,
 * QLinearAveragePool, QLinearSoftmax. All are (X, x_scale, x_zero, y_scale, y_zero). */
#include "ops/quant.h"
#include "ops/scratch.h"
#include "ops/window.h"

static tn_status infer_inputs(const tn_infer *call) {
    TN_TRY(tn_infer_bytes(call, 0, 0));
    TN_TRY(tn_infer_quantization(call, 1, 0));
    return tn_infer_quantization(call, 3, 0);
}

/* ---- pools: a plane's pixels are `step` apart, with channels last as many as there are channels ---- */
typedef struct pool {
    tn_window window;
    size_t batch, channels, in_pixels, pixels, step;
    bool last, global, count_pad;
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

static tn_status infer_average(tn_infer *call) {
    TN_TRY(infer_inputs(call));
    const tn_type *x = call->in[0];
    int64_t dims[TN_MAX_RANK];
    bool last = channels_last(call->node);
    if (x->rank < 0) return tn_infer_out(call, 0, x->dtype, -1, NULL);
    if (x->rank < 3) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected batch, channels and spatial axes");
    tn_window window;
    TN_TRY(tn_window_decode(&window, call->node, x->rank - 2, x->dims + (last ? 1 : 2), NULL));
    memcpy(dims, x->dims, sizeof dims);
    memcpy(dims + (last ? 1 : 2), window.out, (size_t)window.spatial * sizeof *dims);
    return tn_infer_out(call, 0, x->dtype, x->rank, dims);
}

static tn_status prepare_pool(tn_prepare *call, bool global) {
    pool *p = tn_prepare_alloc(call, sizeof *p);
    if (!p) return TN_E_MEMORY;
    const tn_type *x = call->in[0], *y = call->out;
    p->last = channels_last(call->node);
    p->global = global;
    p->count_pad = tn_attr_int(call->node, "count_include_pad", 0) != 0;
    int channel = p->last ? x->rank - 1 : 1, first = p->last ? 1 : 2;
    p->batch = (size_t)x->dims[0];
    p->channels = (size_t)x->dims[channel];
    p->in_pixels = (size_t)tn_dims_count(x->rank - 2, x->dims + first);
    p->pixels = (size_t)tn_dims_count(x->rank - 2, y->dims + first);
    p->step = p->last ? p->channels : 1;
    if (!global) TN_TRY(tn_window_decode(&p->window, call->node, x->rank - 2, x->dims + first, NULL));
    call->state = p;
    return TN_OK;
}
static tn_status prepare_global(tn_prepare *call) {
    return prepare_pool(call, true);
}
static tn_status prepare_average(tn_prepare *call) {
    return prepare_pool(call, false);
}

typedef struct pooling {
    const pool *p;
    const uint8_t *x;
    uint8_t *y;
    tn_dtype dtype;
    tn_quantization from, to;
} pooling;

static int32_t value(const pooling *run, size_t at) {
    return run->dtype == TN_INT8 ? (int8_t)run->x[at] : run->x[at];
}

/* Sum of the window at output pixel `pixel` of the plane that starts at `plane`, and how many it counts. */
static int64_t window_sum(const pooling *run, size_t plane, size_t pixel, int64_t *out_count) {
    const tn_window *w = &run->p->window;
    int64_t from[TN_MAX_SPATIAL], at[TN_MAX_SPATIAL], sum = 0, padded = 1, inside = 0;
    for (int i = w->spatial - 1; i >= 0; i--) {
        int64_t o = (int64_t)(pixel % (size_t)w->out[i]);
        pixel /= (size_t)w->out[i];
        from[i] = o * w->stride[i] - w->pad_begin[i];
        at[i] = 0;
        /* Positions past the end's padding, as ceil_mode makes them, never count. */
        int64_t room = w->in[i] + w->pad_end[i] - from[i];
        padded *= TN_MIN(w->kernel[i], (room + w->dilation[i] - 1) / w->dilation[i]);
    }
    for (;;) {
        int64_t offset = 0;
        bool is_inside = true;
        for (int i = 0; i < w->spatial; i++) {
            int64_t position = from[i] + at[i] * w->dilation[i];
            is_inside = is_inside && position >= 0 && position < w->in[i];
            offset = offset * w->in[i] + position;
        }
        if (is_inside) {
            sum += value(run, plane + (size_t)offset * run->p->step) - run->from.zero;
            inside++;
        }
        int i = w->spatial - 1;
        while (i >= 0 && ++at[i] == w->kernel[i]) at[i--] = 0;
        if (i < 0) break;
    }
    *out_count = run->p->count_pad ? padded : inside;
    return sum;
}

static void pool_plane(void *context, int64_t task) {
    const pooling *run = context;
    const pool *p = run->p;
    size_t batch = (size_t)task / p->channels, channel = (size_t)task % p->channels;
    size_t plane = batch * p->channels * p->in_pixels + channel * (p->last ? 1 : p->in_pixels);
    size_t to = batch * p->channels * p->pixels + channel * (p->last ? 1 : p->pixels);
    for (size_t i = 0; i < p->pixels; i++) {
        int64_t sum = 0, count = (int64_t)p->in_pixels;
        if (p->global)
            for (size_t k = 0; k < p->in_pixels; k++) sum += value(run, plane + k * p->step) - run->from.zero;
        else
            sum = window_sum(run, plane, i, &count);
        float mean = count ? (float)sum * run->from.scale / (float)count : 0.0f;
        float y = __builtin_rintf(mean / run->to.scale) + (float)run->to.zero;
        tn_quant_store(run->dtype, run->y, (int64_t)(to + i * p->step), 1, &y, true);
    }
}

static tn_status run_pool(tn_run *call) {
    const pool *p = call->state;
    tn_tensor *y = tn_out(call, 0);
    if (!y) return TN_OK;
    pooling run = {p,        tn_in(call, 0)->data,        y->data,
                   y->dtype, tn_quantization_at(call, 1), tn_quantization_at(call, 3)};
    tn_parallel(p->in_pixels < 4096 ? NULL : call->pool, (int64_t)(p->batch * p->channels), pool_plane, &run);
    return TN_OK;
}

/* ---- QLinearSoftmax: up to opset 12 over all axes from `axis` on, since then along `axis` alone ---- */
typedef struct softmax {
    size_t outer, n, inner;
} softmax;

static tn_status infer_softmax(tn_infer *call) {
    TN_TRY(infer_inputs(call));
    int axis;
    if (call->in[0]->rank >= 0)
        TN_TRY(tn_infer_axis(call, tn_attr_int(call->node, "axis", -1), call->in[0]->rank, &axis));
    return tn_infer_same(call, 0, 0);
}

static tn_status prepare_softmax(tn_prepare *call) {
    softmax *s = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    const tn_type *x = call->in[0];
    int64_t axis = tn_attr_int(call->node, "axis", -1), rank = x->rank;
    if (axis < 0) axis += rank;
    bool one = tn_attr_int(call->node, "opset", 13) >= 13;
    s->outer = (size_t)tn_dims_count((int)axis, x->dims);
    s->n = one ? (size_t)x->dims[axis] : (size_t)tn_dims_count((int)(rank - axis), x->dims + axis);
    s->inner = one ? (size_t)tn_dims_count((int)(rank - axis - 1), x->dims + axis + 1) : 1;
    call->state = s;
    return tn_scratch_add(&call->scratch, s->n, sizeof(float)) ? TN_OK : tn_fail(TN_E_SHAPE, "the axis is too large");
}

static tn_status run_softmax(tn_run *call) {
    const softmax *s = call->state;
    const tn_tensor *x = tn_in(call, 0);
    tn_tensor *y = tn_out(call, 0);
    if (!y || tn_count(y) == 0) return TN_OK;
    const tn_quantization to = tn_quantization_at(call, 3);
    float real[256], *row = call->scratch;
    int32_t low = 0, high = 0;
    tn_real_values(x->dtype, tn_quantization_at(call, 1), real);
    tn_quant_limits(y->dtype, &low, &high);
    for (size_t o = 0; o < s->outer; o++)
        for (size_t i = 0; i < s->inner; i++) {
            size_t at = o * s->n * s->inner + i;
            for (size_t k = 0; k < s->n; k++) row[k] = real[((const uint8_t *)x->data)[at + k * s->inner]];
            call->kernels->rows_softmax_f32(row, row, 1, s->n);
            size_t run = s->inner == 1 ? s->n : 1;
            for (size_t k = 0; k < s->n; k += run)
                call->kernels->quantize((uint8_t *)y->data + at + k * s->inner, row + k, run, to.scale, to.zero, low,
                                        high);
        }
    return TN_OK;
}

#define ROW(title, infers, prepares, runs)                                                                             \
    {                                                                                                                  \
        .domain = "com.microsoft", .name = title, .min_in = 2, .max_in = 5, .min_out = 1, .max_out = 1,                \
        .infer = infers, .prepare = prepares, .run = runs                                                              \
    }

const tn_op tn_ops_qlinear_pool[] = {
    ROW("QLinearGlobalAveragePool", infer_global, prepare_global, run_pool),
    ROW("QLinearAveragePool", infer_average, prepare_average, run_pool),
    ROW("QLinearSoftmax", infer_softmax, prepare_softmax, run_softmax),
    {0},
};
