/* ConvWeightGrad, of the domain `tenon`: dW [M, C / group, kernel...] from dY and X, in float32, with the attributes of
 * the convolution of one or two spatial axes; kernel_shape must be there.
 *
 * For each tap it is a product, dW[:, :, tap] = dY [M, positions] times X [positions, C] shifted by the tap. With the
 * channels of X innermost, and its padding around it, rows of that right side lie in memory as they are, each position's
 * at an offset of its own, and a tap is another start: nothing is copied a tap at a time. Taps that follow each other
 * along the last axis follow each other in memory, so they are one product with more columns. Only where the channels
 * are so few that the columns of those taps would leave vectors half empty are the windows copied, and all taps are one
 * product.
 *
 * The batch is cut into parts whose sums are added up at the end; how depends on the shape alone. Groups of one channel
 * have a way of their own, conv_weight_depthwise.c. */
#include "ops/data.h"
#include "ops/scratch.h"
#include "train/ops/conv_weight_grad.h"

enum {
    POSITIONS = 512,       /* of one product, where images are small; of a block of it, where they are large */
    PARTS = 16,            /* of the batch, at most */
    PART_FLOATS = 1 << 22, /* that all parts' sums may take, unless there is one part */
    TASKS = 8,             /* that there should be */
    FEW_OUTPUTS = 8,       /* of a channel */
    LEAST_ROWS = 24,       /* of dY's channels in a task */
    SLACK = 64             /* floats behind the images, for the last vectors */
};

typedef struct state {
    tn_weight_grad g;
    bool depthwise, empty;
    bool gathered;              /* windows are copied */
    int64_t together;           /* images of one product */
    int64_t parts, row_tasks;   /* of the batch; of a group's output channels */
    int64_t task_rows, columns; /* of them; taps times channels */
    size_t panel_rows, panel_columns;
    size_t image, x_floats, a_floats; /* floats of one image with padding, of a thread's images, of its part of dY */
    size_t b_floats;                  /* of its windows, if they are copied */
    uint32_t *offsets;                /* [images * positions] where the first tap meets the images */
    uint32_t *rows;                   /* [images * positions] where the product finds its right side's rows */
} state;

static tn_status decode(const tn_node *node, const tn_type *dy, const tn_type *x, tn_weight_grad *g) {
    tn_window w;
    int64_t kernel[TN_MAX_SPATIAL];
    size_t count;
    const int spatial = x->rank - 2;
    const int64_t *given = tn_attr_ints(node, "kernel_shape", &count);
    if (spatial < 1 || spatial > 2 || dy->rank != x->rank)
        return tn_fail(TN_E_SHAPE, "inputs of %d and %d dimensions; expected 3 or 4 of both", dy->rank, x->rank);
    if (!given || count != (size_t)spatial)
        return tn_fail(TN_E_FORMAT, "attribute kernel_shape has %zu values; expected %d", count, spatial);
    for (int i = 0; i < spatial; i++) kernel[i] = given[i];
    TN_TRY(tn_window_decode(&w, node, spatial, x->dims + 2, kernel));
    *g = (tn_weight_grad){.batch = x->dims[0],
                          .channels = x->dims[1],
                          .outputs = dy->dims[1],
                          .group = tn_attr_int(node, "group", 1),
                          .in = {1, 1},
                          .out = {1, 1},
                          .kernel = {1, 1},
                          .stride = {1, 1},
                          .dilation = {1, 1},
                          .padded = {1, 1}};
    for (int i = 0, to = 2 - spatial; i < spatial; i++, to++) {
        g->in[to] = w.in[i];
        g->out[to] = w.out[i];
        g->kernel[to] = w.kernel[i];
        g->stride[to] = w.stride[i];
        g->dilation[to] = w.dilation[i];
        g->pad[to] = w.pad_begin[i];
        g->padded[to] = w.out[i] < 0 ? -1 : (w.out[i] - 1) * w.stride[i] + tn_window_reach(&w, i);
        if (!tn_dim_fits(dy->dims[2 + i], w.out[i]))
            return tn_fail(TN_E_SHAPE, "dimension %d of input 0 is not what the convolution of input 1 has", 2 + i);
    }
    if (g->group < 1) return tn_fail(TN_E_INVALID, "attribute group is %lld", (long long)g->group);
    if (!tn_dim_fits(dy->dims[0], x->dims[0]))
        return tn_fail(TN_E_SHAPE, "inputs of %lld and %lld images", (long long)dy->dims[0], (long long)x->dims[0]);
    if ((g->channels >= 0 && g->channels % g->group) || (g->outputs >= 0 && g->outputs % g->group))
        return tn_fail(TN_E_SHAPE, "the channels do not divide into %lld groups", (long long)g->group);
    return TN_OK;
}

static tn_status infer(tn_infer *call) {
    static const tn_dtype reals[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_UNDEFINED};
    for (int i = 0; i < 2; i++) TN_TRY(tn_infer_dtype(call, i, reals));
    TN_TRY(tn_infer_equal_dtype(call, 0, 1));
    const tn_type *dy = call->in[0], *x = call->in[1];
    if (dy->rank < 0 || x->rank < 0) return tn_infer_out(call, 0, x->dtype, -1, NULL);
    tn_weight_grad g;
    TN_TRY(decode(call->node, dy, x, &g));
    int64_t dims[4] = {g.outputs, g.channels < 0 ? -1 : g.channels / g.group};
    for (int i = 2; i < x->rank; i++) dims[i] = g.kernel[4 - x->rank + i - 2];
    return tn_infer_out(call, 0, x->dtype, x->rank, dims);
}

/* Whether copied windows make clearly fewer vectors than a product for each row of taps. */
static bool gathers(const tn_weight_grad *g, size_t panel_columns) {
    const int64_t at_once = g->dilation[1] == 1 ? g->kernel[1] : 1, wide = (int64_t)panel_columns;
    const int64_t taps = g->kernel[0] * g->kernel[1], apart = (at_once * g->channels + wide - 1) / wide;
    return g->group == 1 && g->channels < wide &&
           apart * (taps / at_once) * 4 >= (taps * g->channels + wide - 1) / wide * 5;
}

static void find_offsets(const state *s) {
    const tn_weight_grad *g = &s->g;
    uint32_t *to = s->offsets;
    for (int64_t n = 0; n < s->together; n++)
        for (int64_t y = 0; y < g->out[0]; y++)
            for (int64_t x = 0; x < g->out[1]; x++)
                *to++ = (uint32_t)((size_t)n * s->image +
                                   (size_t)((y * g->stride[0] * g->padded[1] + x * g->stride[1]) * g->channels));
    for (int64_t i = 0; s->gathered && i < s->together * g->out[0] * g->out[1]; i++)
        s->rows[i] = (uint32_t)(i * s->columns);
}

static tn_status prepare_general(tn_prepare *call, state *s) {
    const tn_weight_grad *g = &s->g;
    const int64_t positions = g->out[0] * g->out[1], outputs = g->outputs / g->group;
    size_t lanes, sums = 0, all, floats;
    call->kernels->gemm_f32_tile(&s->panel_rows, &s->panel_columns, &lanes);
    s->columns = g->kernel[0] * g->kernel[1] * (g->channels / g->group);
    bool fits = tn_mul_size((size_t)g->outputs, (size_t)s->columns, &sums) && sums < SIZE_MAX / 1024;
    s->parts = fits ? TN_MAX(TN_MIN(TN_MIN(g->batch, PARTS), PART_FLOATS / (int64_t)TN_MAX(sums, (size_t)1)), 1) : 1;
    int64_t tasks = (TASKS + s->parts - 1) / s->parts,
            panels = (outputs + (int64_t)s->panel_rows - 1) / (int64_t)s->panel_rows;
    tasks = TN_MAX(TN_MIN(tasks, outputs / LEAST_ROWS), 1);
    s->task_rows = (panels + tasks - 1) / tasks * (int64_t)s->panel_rows;
    s->row_tasks = (outputs + s->task_rows - 1) / s->task_rows;
    s->together = TN_MAX(TN_MIN(POSITIONS / positions, (g->batch + s->parts - 1) / s->parts), 1);
    fits = fits && tn_mul_size((size_t)g->padded[0], (size_t)g->padded[1], &floats) &&
           tn_mul_size(floats, (size_t)g->channels, &s->image) &&
           tn_mul_size(s->image, (size_t)s->together, &s->x_floats) && s->x_floats < UINT32_MAX / 2;
    if (!fits) return tn_fail(TN_E_LIMIT, "an image of %lld channels is too large", (long long)g->channels);
    s->x_floats += SLACK;
    s->gathered = gathers(g, s->panel_columns);
    if (s->gathered) s->b_floats = (size_t)(s->together * positions * s->columns) + SLACK;
    if (s->b_floats >= UINT32_MAX / 2) return tn_fail(TN_E_LIMIT, "an image's windows are too large");
    s->a_floats = (size_t)(s->together * positions * TN_MIN(s->task_rows, outputs));
    s->offsets = tn_prepare_alloc(call, (size_t)(s->together * positions) * sizeof *s->offsets);
    s->rows = s->gathered ? tn_prepare_alloc(call, (size_t)(s->together * positions) * sizeof *s->rows) : s->offsets;
    if (!s->offsets || !s->rows) return TN_E_MEMORY;
    find_offsets(s);
    all = 0;
    fits = tn_scratch_add(&all, sums * (size_t)s->parts, sizeof(float)) &&
           tn_scratch_add(&all, s->x_floats + s->b_floats + s->a_floats + 32, sizeof(float) * (size_t)call->threads);
    call->scratch = all;
    return fits ? TN_OK : tn_fail(TN_E_LIMIT, "the weights are too large");
}

static tn_status prepare(tn_prepare *call) {
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    TN_TRY(decode(call->node, call->in[0], call->in[1], &s->g));
    s->empty = tn_type_count(call->in[0]) == 0 || tn_type_count(call->in[1]) == 0;
    if (s->empty) return TN_OK;
    /* One channel that few outputs share is none too many for dot products either. */
    s->depthwise = s->g.channels == s->g.group && s->g.outputs / s->g.group <= FEW_OUTPUTS;
    if (!s->depthwise) return prepare_general(call, s);
    return tn_weight_grad_depthwise_prepare(&s->g, call->threads, &call->scratch)
               ? TN_OK
               : tn_fail(TN_E_LIMIT, "a plane, or its strides, are too large");
}

typedef struct job {
    const state *s;
    const tn_kernels *kernels;
    const float *dy, *x;
    float *dw, *sums, *buffers;
} job;

/* An image with its channels innermost; what is around it is zero already. */
static void turn_image(const job *j, const float *x, float *to) {
    const tn_weight_grad *g = &j->s->g;
    const int64_t plane = g->in[0] * g->in[1], seen = TN_MIN(g->in[1], g->padded[1] - g->pad[1]),
                  step = g->channels * 4;
    if (g->pad[1] == 0 && g->padded[1] == g->in[1]) {
        int64_t rows = TN_MIN(g->in[0], g->padded[0] - g->pad[0]);
        j->kernels->transpose_4(rows * g->in[1], g->channels, x, plane * 4, to + g->pad[0] * g->padded[1] * g->channels,
                                step);
        return;
    }
    for (int64_t y = 0; y < g->in[0] && y + g->pad[0] < g->padded[0]; y++)
        j->kernels->transpose_4(seen, g->channels, x + y * g->in[1], plane * 4,
                                to + ((y + g->pad[0]) * g->padded[1] + g->pad[1]) * g->channels, step);
}

/* Rows of dY in panels [positions of all images, rows]. */
static void pack_rows(const job *j, int64_t image, int64_t images, int64_t row, int64_t rows, float *to) {
    const state *s = j->s;
    const tn_weight_grad *g = &s->g;
    const int64_t positions = g->out[0] * g->out[1];
    for (int64_t at = 0; at < rows; at += (int64_t)s->panel_rows) {
        int64_t height = TN_MIN((int64_t)s->panel_rows, rows - at);
        for (int64_t n = 0; n < images; n++, to += positions * height)
            j->kernels->transpose_4(positions, height, j->dy + ((image + n) * g->outputs + row + at) * positions,
                                    positions * 4, to, height * 4);
    }
}

/* [positions of all images, taps, channels] from images with their channels innermost. */
static void gather(const state *s, int64_t images, const float *x, float *to) {
    const tn_weight_grad *g = &s->g;
    const int64_t at_once = g->dilation[1] == 1 ? g->kernel[1] : 1;
    const int64_t count = at_once * g->channels, down = g->dilation[0] * g->padded[1] * g->channels;
    for (int64_t i = 0; i < images * g->out[0] * g->out[1]; i++) {
        const float *row = x + s->offsets[i];
        for (int64_t y = 0; y < g->kernel[0]; y++, row += down)
            for (int64_t t = 0; t < g->kernel[1]; t += at_once, to += count) {
                const float *from = row + t * g->dilation[1] * g->channels;
                for (int64_t e = 0; e < count; e++) to[e] = from[e];
            }
    }
}

static void multiply(const job *j, int64_t group, int64_t row, int64_t rows, int64_t images, const float *a,
                     const float *x, float *sums, bool first) {
    const state *s = j->s;
    const tn_weight_grad *g = &s->g;
    const int64_t channels = g->channels / g->group, k = images * g->out[0] * g->out[1];
    const int64_t taps = g->kernel[0] * g->kernel[1];
    /* Taps along the last axis are one product, if nothing lies between them. */
    const int64_t at_once = s->gathered ? taps : g->group == 1 && g->dilation[1] == 1 ? g->kernel[1] : 1;
    tn_gemm_f32 call = {.m = (size_t)rows,
                        .n = (size_t)(at_once * channels),
                        .rows = s->panel_rows,
                        .a = a,
                        .a_panel = s->panel_rows * (size_t)k,
                        .b_panel = s->panel_columns,
                        .c_stride = (size_t)s->columns,
                        .last = true};
    int64_t block = (k + POSITIONS - 1) / POSITIONS;
    block = (k + block - 1) / block;
    for (int64_t from = 0; from < k; from += block) {
        call.k = (size_t)TN_MIN(block, k - from);
        call.a_skip = (size_t)from;
        call.b_offset = s->rows + from;
        call.first = first && from == 0;
        for (int64_t t = 0; t < taps; t += at_once) {
            int64_t y = t / g->kernel[1] * g->dilation[0], at = t % g->kernel[1] * g->dilation[1];
            call.b = x + (y * g->padded[1] + at) * g->channels + group * channels;
            call.c = sums + row * s->columns + t * channels;
            j->kernels->gemm_f32(&call);
        }
    }
}

static void part_task(void *context, int64_t index) {
    const job *j = context;
    const state *s = j->s;
    const tn_weight_grad *g = &s->g;
    const int64_t outputs = g->outputs / g->group, part = index / (s->row_tasks * g->group);
    const int64_t group = index / s->row_tasks % g->group, first_row = index % s->row_tasks * s->task_rows;
    const int64_t rows = TN_MIN(s->task_rows, outputs - first_row), row = group * outputs + first_row;
    const size_t each = (s->x_floats + s->b_floats + s->a_floats + 32) / 16 * 16;
    float *x = j->buffers + (size_t)tn_worker_index() * each, *windows = x + s->x_floats, *a = windows + s->b_floats;
    float *sums = j->sums + (size_t)part * (size_t)(g->outputs * s->columns);
    const int64_t first = tn_task_start(g->batch, s->parts, part), last = tn_task_start(g->batch, s->parts, part + 1);
    memset(x, 0, (s->x_floats + s->b_floats) * sizeof *x);
    for (int64_t image = first; image < last; image += s->together) {
        int64_t images = TN_MIN(s->together, last - image);
        for (int64_t n = 0; n < images; n++)
            turn_image(j, j->x + (size_t)((image + n) * g->channels) * (size_t)(g->in[0] * g->in[1]),
                       x + (size_t)n * s->image);
        pack_rows(j, image, images, row, rows, a);
        if (s->gathered) gather(s, images, x, windows);
        multiply(j, group, row, rows, images, a, s->gathered ? windows : x, sums, image == first);
    }
}

/* Sums of all parts, [taps, channels] turned round. */
static void add_parts(void *context, int64_t output) {
    const job *j = context;
    const state *s = j->s;
    const tn_weight_grad *g = &s->g;
    const int64_t taps = g->kernel[0] * g->kernel[1], channels = g->channels / g->group;
    const size_t all = (size_t)(g->outputs * s->columns);
    float *sums = j->sums + output * s->columns;
    for (int64_t p = 1; p < s->parts; p++)
        j->kernels->add_f32(1, (size_t)s->columns, sums, sums, 0, 1, sums + (size_t)p * all, 0, 1);
    j->kernels->transpose_4(channels, taps, sums, channels * 4, j->dw + output * s->columns, taps * 4);
}

static tn_status run(tn_run *call) {
    const state *s = call->state;
    tn_tensor *out = tn_out(call, 0);
    if (!out) return TN_OK;
    const float *dy = tn_in(call, 0)->data, *x = tn_in(call, 1)->data;
    if (s->empty) {
        memset(out->data, 0, tn_dtype_bytes(out->dtype, tn_count(out)));
        return TN_OK;
    }
    if (s->depthwise) {
        tn_weight_grad_depthwise_run(&s->g, call, dy, x, out->data);
        return TN_OK;
    }
    uint8_t *scratch = call->scratch;
    job j = {.s = s, .kernels = call->kernels, .dy = dy, .x = x, .dw = out->data};
    j.sums = tn_scratch_take(&scratch, (size_t)(s->parts * s->g.outputs * s->columns), sizeof(float));
    j.buffers = (float *)(void *)scratch;
    tn_parallel(call->pool, s->parts * s->g.group * s->row_tasks, part_task, &j);
    tn_parallel(call->pool, s->g.outputs, add_parts, &j);
    return TN_OK;
}

const tn_op tn_ops_conv_weight_grad[] = {
    {.domain = "tenon",
     .name = "ConvWeightGrad",
     .min_in = 2,
     .max_in = 2,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN,
     .infer = infer,
     .prepare = prepare,
     .run = run},
    {0},
};
