/* Winograd convolution F(4x4, 3x3) around the transforms of kernels/winograd.h and the product kernel; see conv.h.
 *
 * Tiles are done in blocks of whole rows of them (or of whole images, where these are small), so that what is
 * transformed stays in the second cache. A block goes through three steps:
 *
 *   input    V[36][channels][tiles] from the image, a channel a task
 *   product  M[36][outputs][tiles] = U[36][outputs][channels] * V, one of the 36 and some rows a task
 *   output   the block's part of Y from M, an output a task
 *
 * Where there are blocks for all threads, each takes blocks of its own, and what is transformed never leaves its cache;
 * else the steps of a block are split over the threads. No element's sum depends on how tiles are put into blocks.
 *
 * The weights U are transformed when they are packed: once, or in each run where they are no constant. When it pays is
 * counted in vectors of multiplications, in which a transform and a float that comes from beyond the second cache have their
 * price as measured: see cost. */
#include "ops/conv.h"
#include "ops/scratch.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define BLOCK_BYTES (1024u << 10) /* of V and M */
#define LEAST_TILES 64            /* of a block at least, lest weights are fetched too often */
#define TASK_PANELS 8             /* panels of U's rows that a task of the product takes */
#define TRANSFORM_COST 250        /* of a channel or output, for a vector of tiles */
#define PACK_COST 200             /* of a kernel, where each run transforms it */
#define FETCH_COST 0.9            /* of a weight that comes from beyond the second cache */
#define CACHED_WEIGHTS (256 << 10)
#define MOST_WASTE 1.5 /* vectors that blocks for all threads may take, to those of one thread's blocks */

struct tn_conv_winograd {
    tn_conv_shape shape;
    tn_product product;         /* one of the 36 */
    int64_t rows, columns;      /* of tiles, of the image */
    int64_t images, height;     /* of a block: images, and rows of tiles of each */
    size_t lanes, tiles, pitch; /* of a block; floats from one row of V or M to the next */
    size_t v_step, m_step;      /* from one of the 36 to the next */
    size_t buffer, v_floats, m_floats;
    bool apart; /* each thread has blocks, and memory for V and M, of its own */
};

/* Vectors of tiles, all in all, and how often the weights go by, when blocks have so many rows. */
static int64_t count_vectors(const tn_conv_shape *s, int64_t rows, int64_t columns, int64_t images, int64_t height,
                             int64_t lanes, int64_t *out_blocks) {
    int64_t along = (s->batch + images - 1) / images, down = rows / height, rest = rows % height;
    *out_blocks = along * (down + (rest > 0));
    return along * (down * ((images * height * columns + lanes - 1) / lanes) + (rest * columns + lanes - 1) / lanes);
}

/* Of so many vectors of tiles in so many blocks. */
static double cost_of(const tn_conv_shape *s, double vectors, double blocks) {
    double terms = TN_WINOGRAD_TERMS * (double)s->channels * (double)s->outputs;
    double cost = (terms + TRANSFORM_COST * (double)(s->channels + s->outputs)) * vectors;
    return terms > CACHED_WEIGHTS ? cost + FETCH_COST * terms * blocks : cost;
}

static bool plan_blocks(tn_conv_winograd *c, const tn_conv_shape *s, int64_t lanes, double *out_cost) {
    int64_t most = BLOCK_BYTES / (TN_WINOGRAD_TERMS * sizeof(float)) / (s->channels + s->outputs), blocks;
    int64_t side = TN_WINOGRAD_TILE, best = INT64_MAX;
    c->rows = (s->window.out[0] + side - 1) / side;
    c->columns = (s->window.out[1] + side - 1) / side;
    most = TN_MAX(most, LEAST_TILES);
    if (c->columns > INT64_MAX / c->rows / s->batch / TN_WINOGRAD_TERMS) return false;
    c->images = TN_MIN(TN_MAX(most / (c->rows * c->columns), 1), s->batch);
    for (int64_t height = c->images > 1 ? c->rows : 1; height <= c->rows; height++) {
        if (height > 1 && c->images * height * c->columns > most) break;
        int64_t vectors = count_vectors(s, c->rows, c->columns, c->images, height, lanes, &blocks);
        if (vectors > best) continue;
        best = vectors;
        c->height = height;
    }
    best = count_vectors(s, c->rows, c->columns, c->images, c->height, lanes, &blocks);
    *out_cost = cost_of(s, (double)best, (double)blocks);
    return true;
}

/* Of the plain way, as conv_image.c goes. */
static double plain_cost(const tn_conv_shape *s, int64_t lanes) {
    int64_t wide = s->window.out[1], by_row = s->window.out[0] * ((wide + lanes - 1) / lanes);
    int64_t through = (s->window.out[0] * (wide + 2) + lanes - 1) / lanes;
    double terms = 9 * (double)s->channels * (double)s->outputs;
    double cost = terms * (double)TN_MIN(by_row, through) * (double)s->batch;
    if (terms > CACHED_WEIGHTS) cost += FETCH_COST * terms * (double)s->batch;
    return cost;
}

/* Blocks of which each of the threads takes about equally many, no larger than one thread's would be, where that costs
 * little more than `alone`. */
static void plan_apart(tn_conv_winograd *c, int64_t threads, int64_t lanes, double alone) {
    const tn_conv_shape *s = &c->shape;
    int64_t images = TN_MIN(c->images, TN_MAX(s->batch / threads, 1)), blocks, highest = c->height;
    double best = MOST_WASTE * alone;
    for (int64_t height = images > 1 ? c->rows : 1; height <= highest; height++) {
        count_vectors(s, c->rows, c->columns, images, height, lanes, &blocks);
        int64_t waves = (blocks + threads - 1) / threads, vectors = (images * height * c->columns + lanes - 1) / lanes;
        /* Half a vector more for each block: narrow products take longer. */
        double cost = cost_of(s, (double)vectors + 0.5, 1) * (double)(waves * threads);
        if (blocks < threads || cost > best) continue;
        best = cost;
        c->images = images;
        c->height = height;
        c->apart = true;
    }
}

bool tn_conv_winograd_fits(const tn_prepare *call, const tn_conv_shape *s) {
    const tn_window *w = &s->window;
    tn_conv_winograd c;
    size_t rows, columns, lanes;
    double cost;
    if (s->group != 1 || w->spatial != 2 || s->channels == 0) return false;
    for (int i = 0; i < 2; i++)
        if (w->kernel[i] != 3 || w->stride[i] != 1 || w->dilation[i] != 1) return false;
    call->kernels->gemm_f32_tile(&rows, &columns, &lanes);
    if (!plan_blocks(&c, s, (int64_t)lanes, &cost)) return false;
    if (!call->value[1]) cost += PACK_COST * (double)s->channels * (double)s->outputs;
    return cost < plain_cost(s, (int64_t)lanes);
}

tn_status tn_conv_winograd_prepare(tn_prepare *call, const tn_conv_shape *s, tn_conv_winograd **out_winograd) {
    tn_conv_winograd *c = tn_prepare_alloc(call, sizeof *c);
    size_t rows, columns;
    double cost;
    if (!c) return TN_E_MEMORY;
    *out_winograd = c;
    c->shape = *s;
    call->kernels->gemm_f32_tile(&rows, &columns, &c->lanes);
    plan_blocks(c, s, (int64_t)c->lanes, &cost);
    if (call->threads > 1) plan_apart(c, call->threads, (int64_t)c->lanes, cost);
    c->tiles = (size_t)(c->images * c->height * c->columns);
    /* An odd number of cache lines, so that rows do not fall on the same places of the cache. */
    c->pitch = (c->tiles + TN_WINOGRAD_SLACK - 1) / TN_WINOGRAD_SLACK * TN_WINOGRAD_SLACK + TN_WINOGRAD_SLACK;
    if (c->pitch / TN_WINOGRAD_SLACK % 2 == 0) c->pitch += TN_WINOGRAD_SLACK;
    size_t channels = (size_t)s->channels, outputs = (size_t)s->outputs;
    tn_product_plan(&c->product, call->kernels, outputs, c->tiles, channels, channels, TN_WINOGRAD_TERMS);
    size_t tile_rows = (size_t)c->height, tile_columns = (size_t)c->columns;
    c->buffer =
        TN_MAX(tn_winograd_input_floats(tile_rows, tile_columns), tn_winograd_output_floats(tile_rows, tile_columns));
    size_t v, m, owners = c->apart ? (size_t)call->threads : 1;
    if (!tn_mul_size(c->pitch, channels, &c->v_step) || !tn_add_size(c->v_step, TN_WINOGRAD_SLACK, &c->v_step) ||
        !tn_mul_size(c->v_step, TN_WINOGRAD_TERMS, &v) || !tn_add_size(v, 2 * TN_WINOGRAD_SLACK, &c->v_floats) ||
        !tn_mul_size(c->pitch, outputs, &c->m_step) || !tn_add_size(c->m_step, TN_WINOGRAD_SLACK, &c->m_step) ||
        !tn_mul_size(c->m_step, TN_WINOGRAD_TERMS, &m) || !tn_add_size(m, 2 * TN_WINOGRAD_SLACK, &c->m_floats) ||
        !tn_mul_size(c->v_floats, sizeof(float), &v) || !tn_scratch_add(&call->scratch, v, owners) ||
        !tn_mul_size(c->m_floats, sizeof(float), &m) || !tn_scratch_add(&call->scratch, m, owners) ||
        !tn_mul_size(c->buffer, sizeof(float), &v) || !tn_scratch_add(&call->scratch, v, (size_t)call->threads))
        return tn_fail(TN_E_LIMIT, "an image of %lld channels is too large", (long long)s->channels);
    return TN_OK;
}

#define PACK_LANES 16 /* kernels that are transformed side by side */
#define PACK_DEPTH 8  /* channels of them that are collected before they are written */
typedef double pack_lanes[PACK_LANES];

/* G times a column of three, in each lane; rows of G are the points' powers over the products of their differences. */
static void times_g(const pack_lanes *g, int step, pack_lanes *u, int u_step) {
    const double third = 1.0 / 3, near = sqrt(2) / 3, far = sqrt(2) / 6;
    for (int l = 0; l < PACK_LANES; l++) {
        double a = g[0][l], b = g[step][l], c = g[2 * step][l];
        double near_even = -third * (2 * a + c), far_even = third * (a / 2 + c);
        u[0][l] = a;
        u[u_step][l] = near_even - near * b;
        u[2 * u_step][l] = near_even + near * b;
        u[3 * u_step][l] = far_even + far * b;
        u[4 * u_step][l] = far_even - far * b;
        u[5 * u_step][l] = c;
    }
}

/* U = G g G' of the kernels of `rows` outputs and one channel, `step` floats apart; each of the 36 to where the next is
 * `to_step` floats on. */
static void transform_kernels(const float *weights, size_t step, size_t rows, float *to, size_t to_step) {
    pack_lanes g[9] = {{0}}, half[3 * TN_WINOGRAD_PATCH], u[TN_WINOGRAD_TERMS];
    for (size_t r = 0; r < rows; r++)
        for (int i = 0; i < 9; i++) g[i][r] = (double)weights[r * step + (size_t)i];
    for (int j = 0; j < 3; j++) times_g(g + j, 3, half + j, 3);
    for (int i = 0; i < TN_WINOGRAD_PATCH; i++) times_g(half + (ptrdiff_t)i * 3, 1, u + i * TN_WINOGRAD_PATCH, 1);
    for (int i = 0; i < TN_WINOGRAD_TERMS; i++, to += to_step)
        for (size_t r = 0; r < rows; r++) to[r] = (float)u[i][r];
}

typedef struct pack_call {
    const tn_product *product;
    const float *weights;
    float *to;
} pack_call;

/* Some channels of a panel's rows are collected first: the places of the 36 are often a power of two apart, where a
 * cache holds few lines. */
static void pack_panel(void *context, int64_t index) {
    const pack_call *c = context;
    const tn_product *p = c->product;
    float some[TN_WINOGRAD_TERMS][PACK_DEPTH * PACK_LANES];
    const size_t panel = (size_t)index * p->rows, rows = TN_MIN(p->rows, p->m - panel);
    for (size_t k = 0; k < p->k; k += PACK_DEPTH) {
        size_t depth = TN_MIN(PACK_DEPTH, p->k - k);
        for (size_t d = 0; d < depth; d++)
            transform_kernels(c->weights + (panel * p->k + k + d) * 9, p->k * 9, rows, some[0] + d * rows,
                              PACK_DEPTH * PACK_LANES);
        float *to = c->to + panel * p->k + k * rows;
        for (int i = 0; i < TN_WINOGRAD_TERMS; i++, to += p->m * p->k) memcpy(to, some[i], depth * rows * sizeof *to);
    }
}

static void pack_weights(void *dst, const void *context) {
    pack_call c = *(const pack_call *)context;
    c.to = dst;
    for (size_t i = 0; i < c.product->row_panels; i++) pack_panel(&c, (int64_t)i);
}

tn_status tn_conv_winograd_pack(tn_prepare *call, const tn_conv_winograd *c, const float **out_weights) {
    const tn_product *p = &c->product;
    char layout[96];
    const void *packed;
    size_t bytes = tn_product_a_bytes(p);
    if (bytes == SIZE_MAX || !tn_mul_size(bytes, TN_WINOGRAD_TERMS, &bytes))
        return tn_fail(TN_E_LIMIT, "the weights are too large");
    *out_weights = NULL;
    if (!call->value[1])
        return tn_scratch_add(&call->scratch, bytes, 1) ? TN_OK : tn_fail(TN_E_LIMIT, "the weights are too large");
    pack_call context = {p, call->value[1]->data, NULL};
    snprintf(layout, sizeof layout, "conv_winograd_f32 %zu %zux%zu", p->rows, p->m, p->k);
    TN_TRY(tn_prepare_pack(call, 1, layout, bytes, pack_weights, &context, &packed));
    *out_weights = packed;
    return TN_OK;
}

typedef struct run_call {
    const tn_conv_winograd *c;
    const tn_kernels *kernels;
    const float *x, *w;
    float *y, *v, *m, *buffers;
    const tn_epilogue *epilogue;
    int64_t image, images, row, rows; /* of the block */
} run_call;

static float *own_buffer(const run_call *r) {
    return r->buffers + (size_t)tn_worker_index() * r->c->buffer;
}

/* Images in falling order: each writes a little before its place. */
static void input_task(void *context, int64_t channel) {
    const run_call *r = context;
    const tn_conv_winograd *c = r->c;
    const tn_window *w = &c->shape.window;
    size_t step = c->v_step, used = (size_t)(r->images * r->rows * c->columns);
    float *v = r->v + TN_WINOGRAD_SLACK + (size_t)channel * c->pitch;
    size_t whole = (used + c->lanes - 1) / c->lanes * c->lanes;
    for (size_t i = 0; i < TN_WINOGRAD_TERMS; i++)
        for (size_t t = used; t < whole; t++) v[i * step + t] = 0;
    for (int64_t i = r->images - 1; i >= 0; i--) {
        tn_winograd_input call = {
            .x = r->x + ((r->image + i) * c->shape.channels + channel) * c->shape.in_plane,
            .height = (size_t)w->in[0],
            .width = (size_t)w->in[1],
            .top = (ptrdiff_t)(r->row * TN_WINOGRAD_TILE - w->pad_begin[0]),
            .left = (ptrdiff_t)-w->pad_begin[1],
            .rows = (size_t)r->rows,
            .columns = (size_t)c->columns,
            .v = v + i * r->rows * c->columns,
            .step = step,
            .buffer = own_buffer(r),
        };
        r->kernels->winograd_input_f32(&call);
    }
}

static size_t product_parts(const tn_product *p) {
    return (p->row_panels + TASK_PANELS - 1) / TASK_PANELS;
}

static void product_task(void *context, int64_t index) {
    const run_call *r = context;
    const tn_conv_winograd *c = r->c;
    const tn_product *p = &c->product;
    size_t part = (size_t)index % product_parts(p), term = (size_t)index / product_parts(p);
    size_t row = part * TASK_PANELS * p->rows, used = (size_t)(r->images * r->rows * c->columns);
    tn_gemm_f32 g = {.m = TN_MIN(TASK_PANELS * p->rows, p->m - row),
                     .n = (used + c->lanes - 1) / c->lanes * c->lanes,
                     .k = p->k,
                     .rows = p->rows,
                     .a = r->w + (term * p->m + row) * p->k,
                     .a_panel = p->rows * p->k,
                     .next = r->w + (term * p->m + row + p->rows) * p->k, /* panel after panel */
                     .next_panel = p->rows * p->k,
                     .next_floats = p->rows * p->k,
                     .b = r->v + TN_WINOGRAD_SLACK + term * c->v_step,
                     .b_stride = c->pitch,
                     .b_panel = p->columns,
                     .c = r->m + term * c->m_step + row * c->pitch,
                     .c_stride = c->pitch,
                     .first = true,
                     .last = true};
    r->kernels->gemm_f32(&g);
}

static void output_task(void *context, int64_t output) {
    const run_call *r = context;
    const tn_conv_winograd *c = r->c;
    const tn_conv_shape *s = &c->shape;
    int64_t wide = s->window.out[1], first = r->row * TN_WINOGRAD_TILE;
    for (int64_t i = 0; i < r->images; i++) {
        int64_t at = ((r->image + i) * s->outputs + output) * s->out_plane + first * wide;
        tn_winograd_output call = {
            .m = r->m + (size_t)output * c->pitch + i * r->rows * c->columns,
            .step = c->m_step,
            .rows = (size_t)r->rows,
            .columns = (size_t)c->columns,
            .y = r->y + at,
            .height = (size_t)TN_MIN(r->rows * TN_WINOGRAD_TILE, s->window.out[0] - first),
            .width = (size_t)wide,
            .bias = r->epilogue->row_bias ? r->epilogue->row_bias[output] : 0,
            .epilogue = *r->epilogue,
            .buffer = own_buffer(r),
        };
        if (call.epilogue.residual) call.epilogue.residual += at;
        r->kernels->winograd_output_f32(&call);
    }
}

/* The three steps of block `index`. */
static void run_block(run_call *r, int64_t index, tn_pool *pool) {
    const tn_conv_winograd *c = r->c;
    int64_t down = (c->rows + c->height - 1) / c->height;
    r->image = index / down * c->images;
    r->row = index % down * c->height;
    r->images = TN_MIN(c->images, c->shape.batch - r->image);
    r->rows = TN_MIN(c->height, c->rows - r->row);
    tn_parallel(pool, c->shape.channels, input_task, r);
    tn_parallel(pool, (int64_t)(TN_WINOGRAD_TERMS * product_parts(&c->product)), product_task, r);
    tn_parallel(pool, c->shape.outputs, output_task, r);
}

static void block_task(void *context, int64_t index) {
    run_call own = *(const run_call *)context;
    size_t thread = (size_t)tn_worker_index();
    own.v += thread * own.c->v_floats;
    own.m += thread * own.c->m_floats;
    run_block(&own, index, NULL);
}

void tn_conv_winograd_run(const tn_run *call, const tn_conv_winograd *c, const float *x, const float *w,
                          const float *packed, float *y, const tn_epilogue *epilogue) {
    uint8_t *memory = call->scratch;
    const size_t threads = (size_t)tn_pool_threads(call->pool);
    run_call r = {.c = c, .kernels = call->kernels, .x = x, .w = packed, .y = y, .epilogue = epilogue};
    size_t owners = c->apart ? threads : 1;
    r.v = tn_scratch_take(&memory, c->v_floats * owners, sizeof(float));
    r.m = tn_scratch_take(&memory, c->m_floats * owners, sizeof(float));
    r.buffers = tn_scratch_take(&memory, c->buffer * threads, sizeof(float));
    if (!packed) {
        pack_call pack = {&c->product, w, (float *)(void *)memory};
        tn_parallel(call->pool, (int64_t)c->product.row_panels, pack_panel, &pack);
        r.w = pack.to;
    }
    int64_t along = (c->shape.batch + c->images - 1) / c->images, down = (c->rows + c->height - 1) / c->height;
    if (c->apart)
        tn_parallel(call->pool, along * down, block_task, &r);
    else
        for (int64_t i = 0; i < along * down; i++) run_block(&r, i, call->pool);
}
