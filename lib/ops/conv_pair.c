/* Pointwise convolution with a depthwise one behind, as the inverted residual blocks of arXiv 1801.04381 begin: what lies
 * between them, which is several times as large as what goes in, never leaves the nearest caches.
 *
 * A task makes some channels of one image, or of a thread's part of it, from top to bottom. For each band of output rows
 * the product makes the rows that the band reads and that the last band did not, into a strip of the thread's own; then
 * each channel's part of the strip goes through the depthwise kernel. The image is read where it lies, once for each task. */
#include "ops/conv.h"
#include "ops/fused_activation.h"
#include "ops/scratch.h"

#define STRIP_FLOATS 32768 /* rows of the middle that a task holds: 128 KiB */
#define PANELS 2           /* of the product's rows that a task takes */

enum { IN_X, IN_W, IN_DEPTHWISE_W, IN_BIAS, IN_DEPTHWISE_BIAS, INPUTS };

typedef struct pair_state {
    tn_conv_shape shape; /* of the depthwise convolution: its input is the middle */
    int64_t channels, groups, parts;
    tn_product product;
    tn_conv_depthwise *depthwise;
    const float *weights; /* packed */
    tn_epilogue first, second;
    size_t task_rows;    /* channels of the middle that a task makes */
    size_t strip;        /* floats of a channel in it */
    size_t own, scratch; /* floats of a thread's memory; bytes before it */
} pair_state;

static tn_type middle_of(const tn_type *x, const tn_type *w) {
    tn_type middle = *x;
    middle.dims[1] = w->dims[0];
    return middle;
}

static tn_status infer_pair(tn_infer *call) {
    tn_conv_shape s;
    tn_epilogue e;
    const tn_type *x = call->in[IN_X], *w = call->in[IN_W], *v = call->in[IN_DEPTHWISE_W];
    for (int i = 0; i < INPUTS; i++)
        if (tn_infer_has(call, i) && call->in[i]->dtype != TN_FLOAT32)
            return tn_infer_fail(call, i, TN_E_TYPE, "expected float32");
    if (x->rank != 4 || w->rank != 4 || v->rank != 4)
        return tn_fail(TN_E_SHAPE, "expected an image and weights of 4 dimensions");
    if (x->dims[1] != w->dims[1] || w->dims[2] != 1 || w->dims[3] != 1)
        return tn_fail(TN_E_SHAPE, "the weights of input 1 are not those of a pointwise convolution of input 0");
    TN_TRY(tn_activation_read_named(call->node, "first_activation", "first_activation_params", &e));
    TN_TRY(tn_activation_read(call->node, &e));
    tn_type middle = middle_of(x, w);
    TN_TRY(tn_conv_decode(call->node, &middle, v, false, &s));
    if (s.group != s.channels || s.outputs != s.channels)
        return tn_fail(TN_E_SHAPE, "the weights of input 2 are not those of a depthwise convolution");
    for (int i = IN_BIAS; i < INPUTS; i++)
        if (tn_infer_has(call, i) && (call->in[i]->rank != 1 || call->in[i]->dims[0] != s.outputs))
            return tn_infer_fail(call, i, TN_E_SHAPE, "expected one element a channel");
    return tn_infer_out(call, 0, TN_FLOAT32, 4, (int64_t[]){s.batch, s.outputs, s.window.out[0], s.window.out[1]});
}

static tn_status prepare_pair(tn_prepare *call) {
    pair_state *p = tn_prepare_alloc(call, sizeof *p);
    size_t lanes, columns, rows;
    if (!p) return TN_E_MEMORY;
    call->state = p;
    const tn_type *x = call->in[IN_X], *w = call->in[IN_W], middle = middle_of(x, w);
    const tn_conv_shape *s = &p->shape;
    TN_TRY(tn_activation_read_named(call->node, "first_activation", "first_activation_params", &p->first));
    TN_TRY(tn_activation_read(call->node, &p->second));
    TN_TRY(tn_conv_measure(call->node, &middle, call->in[IN_DEPTHWISE_W], &call->out[0], false, &p->shape));
    if (tn_type_count(&call->out[0]) == 0) return TN_OK;
    p->channels = x->dims[1];
    call->kernels->gemm_f32_tile(&rows, &columns, &lanes);

    /* Bands whose strip is of the wanted size. */
    const tn_window *v = &s->window;
    int64_t width = TN_MAX(v->in[1], 1), held = STRIP_FLOATS / (int64_t)(PANELS * rows) / width;
    int64_t band = (held - (v->kernel[0] - 1) * v->dilation[0] - 1) / v->stride[0] + 1;
    TN_TRY(tn_conv_depthwise_prepare(call, s, TN_MAX(band / 4 * 4, 4), &p->depthwise));
    int64_t most = 0, first, end;
    for (int64_t i = 0; i < tn_conv_depthwise_bands(p->depthwise); i++) {
        tn_conv_depthwise_reads(p->depthwise, i, &first, &end);
        most = TN_MAX(most, end - first);
    }
    p->strip = (size_t)(most * width);
    tn_product_plan_fast(&p->product, call->kernels, 1, (size_t)s->channels, TN_MAX(p->strip, 1u), (size_t)p->channels,
                         1, (size_t)s->batch);
    p->task_rows = PANELS * p->product.rows;
    /* Threads take parts of the image, as they do around it, or else as many groups of channels. */
    p->parts = tn_conv_depthwise_parts(p->depthwise);
    const int64_t panels = (int64_t)p->product.row_panels, shares = p->parts > 1 ? 1 : call->threads;
    p->groups = (panels + PANELS - 1) / PANELS;
    p->groups = TN_MIN((p->groups + shares - 1) / shares * shares, panels);
    p->scratch = call->scratch;
    size_t buffer = tn_product_buffer_bytes(&p->product), own = 0;
    if (buffer == SIZE_MAX || !tn_scratch_add(&own, p->task_rows, p->strip * sizeof(float)) ||
        !tn_scratch_add(&own, buffer, 1) ||
        !tn_scratch_add(&own, tn_conv_depthwise_buffer(p->depthwise), sizeof(float)) ||
        !tn_scratch_add(&call->scratch, own, (size_t)call->threads))
        return tn_fail(TN_E_SHAPE, "an image of %lld channels is too large", (long long)p->channels);
    p->own = own / sizeof(float);
    return tn_conv_pack(call, &p->product, 1, &p->weights);
}

typedef struct run_call {
    const pair_state *p;
    const tn_kernels *kernels;
    const float *x, *first_bias, *w, *bias;
    float *y, *own;
} run_call;

static void pair_task(void *context, int64_t index) {
    const run_call *c = context;
    const pair_state *p = c->p;
    const tn_conv_shape *s = &p->shape;
    int64_t image = index / p->groups / p->parts, part = index / p->groups % p->parts;
    int64_t width = s->window.in[1], bands = tn_conv_depthwise_bands(p->depthwise), from = 0, have = 0, first, end;
    int64_t group = index % p->groups, panels = (int64_t)p->product.row_panels;
    size_t row = (size_t)(panels * group / p->groups) * p->product.rows;
    size_t rows = TN_MIN((size_t)(panels * (group + 1) / p->groups) * p->product.rows, (size_t)s->channels) - row;
    size_t plane = (size_t)s->in_plane;
    uint8_t *own = (uint8_t *)(c->own + (size_t)tn_worker_index() * p->own);
    float *strip = tn_scratch_take(&own, p->task_rows, p->strip * sizeof *strip);
    float *buffer = tn_scratch_take(&own, tn_product_buffer_bytes(&p->product), 1), *band = (float *)(void *)own;
    const float *x = c->x + (size_t)(image * p->channels) * plane;
    float *y = c->y + ((size_t)(image * s->outputs) + row) * (size_t)s->out_plane;

    tn_product product = p->product;
    product.m = rows;
    product.m_tasks = product.n_tasks = product.tasks = 1;
    product.panel_uses = PANELS;
    tn_epilogue e = p->first;
    if (c->first_bias) e.row_bias = c->first_bias + row;
    tn_conv_band b = {p->depthwise, c->kernels, &p->second, bands * part / p->parts, band};
    for (; b.band < bands * (part + 1) / p->parts; b.band++) {
        tn_conv_depthwise_reads(p->depthwise, b.band, &first, &end);
        /* What the last band read too comes first. */
        for (size_t i = 0; i < rows && first < have; i++)
            memmove(strip + i * p->strip, strip + i * p->strip + (first - from) * width,
                    (size_t)((have - first) * width) * sizeof *strip);
        from = first;
        have = TN_MAX(have, first);
        if (have < end) {
            product.n = (size_t)((end - have) * width);
            tn_panels image_rows = tn_panels_matrix(x + have * width, plane, 1);
            tn_product_task(&product, 0, p->weights + tn_product_a_offset(&p->product, row), &image_rows,
                            strip + (have - from) * width, p->strip, &e, buffer);
            have = end;
        }
        memset(band, 0, tn_conv_depthwise_buffer(p->depthwise) * sizeof *band);
        for (size_t i = 0; i < rows; i++)
            tn_conv_depthwise_channel(&b, strip + i * p->strip, c->w + (row + i) * (size_t)s->taps,
                                      c->bias ? c->bias[row + i] : 0, y + i * (size_t)s->out_plane);
    }
}

static tn_status run_pair(tn_run *call) {
    const pair_state *p = call->state;
    const tn_tensor *first_bias = tn_in(call, IN_BIAS), *bias = tn_in(call, IN_DEPTHWISE_BIAS);
    tn_tensor *out = tn_out(call, 0);
    if (!out || !p->depthwise) return TN_OK;
    run_call c = {p,
                  call->kernels,
                  tn_in(call, IN_X)->data,
                  first_bias ? first_bias->data : NULL,
                  tn_in(call, IN_DEPTHWISE_W)->data,
                  bias ? bias->data : NULL,
                  out->data,
                  (float *)(void *)((char *)call->scratch + p->scratch)};
    tn_parallel(call->pool, p->shape.batch * p->parts * p->groups, pair_task, &c);
    return TN_OK;
}

const tn_op tn_ops_conv_pair[] = {
    {.domain = "tenon",
     .name = "PointwiseDepthwise",
     .min_in = 3,
     .max_in = INPUTS,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_BATCH,
     .infer = infer_pair,
     .prepare = prepare_pair,
     .run = run_pair},
    {0},
};
