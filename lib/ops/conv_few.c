/* Convolution with few output positions: a short signal, the last layers of a network that shrinks its image.
 *
 * Idea: elsewhere a vector holds neighbouring positions; where there are only a few of these, most of it would stay empty.
 * So the product is turned round: rows of A are the positions of all images, gathered from the image by a table of indices,
 * and columns of B are the outputs, whose weights are packed as those of a fully connected layer. Each weight is read
 * once, in order. Taps that no position ever sees (small images, wide pads) are left out of both.
 *
 * Of a batch, as many images make one product as are few positions together; the weights go by once for each such group,
 * so that they must fit the second cache if there are several.
 *
 * The result is [positions, outputs] and is turned at the end, unless there is one position only. */
#include "ops/conv.h"
#include "ops/scratch.h"
#include <stdio.h>

#define MOST_ROWS 64 /* positions: above, the table and the turning are no longer small beside the product */
#define MOST_WEIGHTS (512 << 10) /* bytes, where they go by several times */
#define LONG_SUM 512             /* terms */
#define TAKE 256      /* indices that one call of the kernel takes, about: fewer channels' windows are taken together */
#define GATHER_TASK 8 /* of such calls */
#define TURN_OUTPUTS 64 /* that a task turns */

struct tn_conv_few {
    tn_conv_shape shape; /* its batch: the images of a group */
    int64_t groups;
    bool apart; /* each thread has groups, and memory for A and C, of its own */
    tn_product product;
    int64_t live;         /* taps that are seen */
    int64_t *tap;         /* [live] */
    int64_t together;     /* channels that one call takes */
    int32_t *index;       /* for each panel of A: [together, live, rows of the panel], elements of the image */
    int32_t *holes;       /* for each panel, the entries of one channel's index that lie in the padding */
    size_t *first_hole;   /* [row_panels + 1] */
    const float *weights; /* packed */
    size_t a_floats, tile_floats, buffer_bytes;
};

/* Groups are equally large. */
static int64_t images_together(const tn_conv_shape *s) {
    int64_t images = TN_MAX(TN_MIN(MOST_ROWS / TN_MAX(s->out_plane, 1), s->batch), 1);
    while (s->batch % images) images--;
    return images;
}

bool tn_conv_few_fits(const tn_conv_shape *s, const tn_kernels *kernels) {
    size_t most_rows, columns, size;
    int64_t rows = s->batch * s->out_plane;
    kernels->gemm_f32_tile(&most_rows, &columns, &size);
    int64_t lanes = (int64_t)size;
    int64_t together = images_together(s);
    if (s->group != 1 || lanes < 2 || s->batch < 1 || s->out_plane > MOST_ROWS) return false;
    if (s->channels * s->taps < 1 || together * s->channels > INT32_MAX / TN_MAX(s->in_plane, 1)) return false;
    if (together < s->batch && s->outputs > MOST_WEIGHTS / (int64_t)sizeof(float) / (s->channels * s->taps))
        return false;
    /* Vectors of a step of k, this way and the other. Gathering and turning are small beside long sums; if weights are
     * more than the second cache holds, it is worth more there that they go by in order, and once. */
    int64_t few = rows * ((s->outputs + lanes - 1) / lanes), terms = s->channels * s->taps;
    int64_t many = s->batch * s->outputs * ((s->out_plane + lanes - 1) / lanes);
    bool large = terms >= LONG_SUM && s->outputs > MOST_WEIGHTS / (int64_t)sizeof(float) / terms;
    return few * 10 <= many * (large ? 9 : 8);
}

static tn_status find_taps(tn_prepare *call, tn_conv_few *c) {
    const tn_conv_shape *s = &c->shape;
    c->tap = tn_prepare_alloc(call, (size_t)s->taps * sizeof *c->tap);
    if (!c->tap) return TN_E_MEMORY;
    for (int64_t tap = 0; tap < s->taps; tap++) {
        bool seen = false;
        for (int64_t at = 0; at < s->out_plane && !seen; at++) seen = tn_window_element(&s->window, at, tap) >= 0;
        if (seen) c->tap[c->live++] = tap;
    }
    return TN_OK;
}

static tn_status make_index(tn_prepare *call, tn_conv_few *c) {
    const tn_conv_shape *s = &c->shape;
    const tn_product *p = &c->product;
    size_t live = (size_t)c->live, together = (size_t)c->together, holes = 0;
    c->index = tn_prepare_alloc(call, together * live * p->m * sizeof *c->index);
    c->holes = tn_prepare_alloc(call, live * p->m * sizeof *c->holes);
    c->first_hole = tn_prepare_alloc(call, (p->row_panels + 1) * sizeof *c->first_hole);
    if (!c->index || !c->holes || !c->first_hole) return TN_E_MEMORY;
    int32_t *to = c->index;
    for (size_t panel = 0; panel < p->row_panels; panel++) {
        size_t first = panel * p->rows, rows = TN_MIN(p->rows, p->m - first);
        c->first_hole[panel] = holes;
        for (size_t i = 0; i < together * live * rows; i++) {
            size_t channel = i / (live * rows), entry = i % (live * rows), row = first + entry % rows;
            int64_t image = (int64_t)row / s->out_plane, at = (int64_t)row % s->out_plane;
            int64_t from = tn_window_element(&s->window, at, c->tap[entry / rows]);
            if (from < 0 && channel == 0) c->holes[holes++] = (int32_t)entry;
            *to++ = (int32_t)((image * s->channels + (int64_t)channel) * s->in_plane + TN_MAX(from, 0));
        }
    }
    c->first_hole[p->row_panels] = holes;
    return TN_OK;
}

typedef struct pack_call {
    const tn_conv_few *c;
    const float *weights;
} pack_call;

/* Column j of B: the live taps of output j, channel after channel. */
static void pack_weights(void *dst, const void *context) {
    const pack_call *call = context;
    const tn_conv_few *c = call->c;
    const tn_product *p = &c->product;
    size_t taps = (size_t)c->shape.taps, live = (size_t)c->live, row = (size_t)c->shape.channels * taps;
    if (live == taps) {
        for (size_t i = 0; i < p->column_panels; i++) tn_product_pack_b(p, call->weights, 1, row, dst, i);
        return;
    }
    float *to = dst;
    for (size_t j = 0; j < p->n; j++) {
        const float *from = call->weights + j * row;
        float *column = to + j / p->columns * p->columns * p->k + j % p->columns;
        for (size_t k = 0; k < p->k; k++) column[k * p->columns] = from[k / live * taps + (size_t)c->tap[k % live]];
    }
}

static tn_status prepare_weights(tn_prepare *call, tn_conv_few *c) {
    const tn_window *w = &c->shape.window;
    char layout[1024]; /* 6 axes of 6 numbers */
    int used =
        snprintf(layout, sizeof layout, "conv_few_f32 %zu %zux%zu", c->product.columns, c->product.n, c->product.k);
    /* Geometry decides which taps are left out. */
    for (int i = 0; i < w->spatial && c->live < c->shape.taps; i++)
        used += snprintf(layout + used, sizeof layout - (size_t)used, ", %lld: %lld to %lld by %lld %lld %lld",
                         (long long)w->kernel[i], (long long)w->in[i], (long long)w->out[i], (long long)w->stride[i],
                         (long long)w->dilation[i], (long long)w->pad_begin[i]);
    pack_call context = {c, call->value[1]->data};
    const void *packed;
    TN_TRY(tn_prepare_pack(call, 1, layout, tn_product_b_bytes(&c->product), pack_weights, &context, &packed));
    c->weights = packed;
    return TN_OK;
}

tn_status tn_conv_few_prepare(tn_prepare *call, const tn_conv_shape *shape, tn_conv_few **out_few) {
    tn_conv_few *c = tn_prepare_alloc(call, sizeof *c);
    if (!c) return TN_E_MEMORY;
    *out_few = c;
    c->shape = *shape;
    c->shape.batch = images_together(shape);
    c->groups = shape->batch / c->shape.batch;
    c->apart = c->groups >= call->threads;
    TN_TRY(find_taps(call, c));
    size_t m = (size_t)(c->shape.batch * shape->out_plane), k = (size_t)(shape->channels * c->live);
    tn_product_plan_threads(&c->product, call->kernels, call->threads, m, (size_t)shape->outputs, k, 1, 1);
    c->together = TN_MIN(TN_MAX(TAKE / TN_MAX(c->live * (int64_t)c->product.rows, 1), 1), shape->channels);
    TN_TRY(make_index(call, c));
    size_t a_bytes = tn_product_a_bytes(&c->product), buffer = tn_product_buffer_bytes(&c->product);
    if (a_bytes == SIZE_MAX || buffer == SIZE_MAX || tn_product_b_bytes(&c->product) == SIZE_MAX)
        return tn_fail(TN_E_SHAPE, "the weights are too large");
    TN_TRY(prepare_weights(call, c));
    c->buffer_bytes = (buffer + 63) / 64 * 64;
    c->a_floats = (a_bytes / sizeof(float) + 15) / 16 * 16;
    c->tile_floats = (m * (size_t)shape->outputs + 15) / 16 * 16;
    size_t owners = c->apart ? (size_t)call->threads : 1;
    bool fits = tn_scratch_add(&call->scratch, c->a_floats * sizeof(float), owners) &&
                tn_scratch_add(&call->scratch, c->tile_floats * sizeof(float), owners) &&
                tn_scratch_add(&call->scratch, (size_t)call->threads, c->buffer_bytes);
    return fits ? TN_OK : tn_fail(TN_E_SHAPE, "an image of %lld channels is too large", (long long)shape->channels);
}

typedef struct run_call {
    const tn_conv_few *c;
    const tn_kernels *kernels;
    const float *x;
    float *a, *tile, *y;
    uint8_t *buffers;
    const tn_epilogue *epilogue; /* of the convolution */
    tn_epilogue inner, outer;    /* of the product; of the group */
} run_call;

static int64_t turn_tasks(const tn_conv_few *c) {
    return (c->shape.outputs + TURN_OUTPUTS - 1) / TURN_OUTPUTS;
}

/* Some channels of all rows. */
static void gather_task(void *context, int64_t task) {
    const run_call *r = context;
    const tn_conv_few *c = r->c;
    const tn_product *p = &c->product;
    const int32_t *index = c->index;
    const int64_t first = task * GATHER_TASK * c->together;
    const int64_t last = TN_MIN(first + GATHER_TASK * c->together, c->shape.channels);
    for (size_t panel = 0; panel < p->row_panels; panel++) {
        int64_t one = c->live * (int64_t)TN_MIN(p->rows, p->m - panel * p->rows);
        const int32_t *hole = c->holes + c->first_hole[panel], *end = c->holes + c->first_hole[panel + 1];
        float *dst = r->a + tn_product_a_offset(p, panel * p->rows) + first * one;
        for (int64_t channel = first; channel < last; channel += c->together) {
            int64_t channels = TN_MIN(c->together, last - channel);
            r->kernels->take_4(channels * one, r->x + channel * c->shape.in_plane, index, dst);
            for (int64_t i = 0; i < channels; i++, dst += one)
                for (const int32_t *h = hole; h < end; h++) dst[*h] = 0;
        }
        index += c->together * one;
    }
}

static void product_task(void *context, int64_t task) {
    const run_call *r = context;
    const tn_product *p = &r->c->product;
    const tn_panels weights = tn_panels_packed(r->c->weights, p->k);
    tn_product_task(p, (size_t)task, r->a, &weights, r->tile, p->n, &r->inner,
                    (float *)(void *)(r->buffers + (size_t)tn_worker_index() * r->c->buffer_bytes));
}

/* [positions, outputs] of an image to [outputs, positions], of some outputs; then what could not be added before. */
static void turn_task(void *context, int64_t task) {
    const run_call *r = context;
    const tn_conv_shape *s = &r->c->shape;
    const int64_t tasks = turn_tasks(r->c), image = task / tasks, first = task % tasks * TURN_OUTPUTS;
    size_t outputs = (size_t)s->outputs, plane = (size_t)s->out_plane, row = (size_t)image * outputs + (size_t)first;
    size_t n = TN_MIN((size_t)TURN_OUTPUTS, outputs - (size_t)first);
    r->kernels->transpose_4((int64_t)n, (int64_t)plane, r->tile + (size_t)image * outputs * plane + first,
                            (int64_t)(outputs * sizeof *r->y), r->y + row * plane, (int64_t)(plane * sizeof *r->y));
    if (r->outer.residual) tn_conv_add_residual(r->kernels, &r->outer, row * plane, n * plane, r->y);
}

/* The product of one group of images. */
static void run_group(const run_call *all, int64_t group, tn_pool *pool) {
    const tn_conv_few *c = all->c;
    const tn_conv_shape *s = &c->shape;
    const int64_t out = s->batch * s->outputs * s->out_plane, calls = (s->channels + c->together - 1) / c->together;
    const bool whole = s->out_plane == 1; /* the product's rows are the output's */
    tn_epilogue e = *all->epilogue;
    run_call own = *all, *r = &own;
    r->x += group * s->batch * s->channels * s->in_plane;
    r->y += group * out;
    if (e.residual) e.residual += group * out;
    r->outer = e;
    r->inner = (tn_epilogue){.column_bias = e.row_bias, .activation = e.activation, .alpha = e.alpha, .beta = e.beta};
    if (whole && e.residual) {
        r->inner.residual = e.residual;
        r->inner.residual_stride = (size_t)s->outputs;
    } else if (e.residual) {
        r->inner.activation = TN_ACT_NONE;
    }
    if (whole) r->tile = r->y;
    tn_parallel(pool, (calls + GATHER_TASK - 1) / GATHER_TASK, gather_task, r);
    tn_parallel(pool, (int64_t)c->product.tasks, product_task, r);
    if (!whole) tn_parallel(pool, s->batch * turn_tasks(c), turn_task, r);
}

static void group_task(void *context, int64_t group) {
    run_call own = *(const run_call *)context;
    size_t thread = (size_t)tn_worker_index();
    own.a += thread * own.c->a_floats;
    own.tile += thread * own.c->tile_floats;
    run_group(&own, group, NULL);
}

void tn_conv_few_run(const tn_run *call, const tn_conv_few *c, const float *x, float *y, const tn_epilogue *epilogue) {
    uint8_t *scratch = call->scratch;
    size_t owners = c->apart ? (size_t)tn_pool_threads(call->pool) : 1;
    run_call r = {.c = c, .kernels = call->kernels, .x = x, .y = y, .epilogue = epilogue};
    r.a = tn_scratch_take(&scratch, c->a_floats * owners, sizeof(float));
    r.tile = tn_scratch_take(&scratch, c->tile_floats * owners, sizeof(float));
    r.buffers = scratch;
    if (c->apart)
        tn_parallel(call->pool, c->groups, group_task, &r);
    else
        for (int64_t i = 0; i < c->groups; i++) run_group(&r, i, call->pool);
}
