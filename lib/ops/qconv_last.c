/* "tenon" QConv: convolution of 8-bit integers with channels last, as passes lay it out.
 *
 *     QConv {X, W, scale, bias, table, residual, after}
 *     X        uint8 [N, spatial axes, C]; its zero point is the attribute x_zero
 *     W        int8 [M, kernel, C / group], constant, with no zero point
 *     scale    float32 [M] or one, constant: what a sum is multiplied by
 *     bias     int32 [M], constant; optional, as all that follow
 *     table    uint8 [256]: what becomes of the result q = clamp(rint(sum * scale) + y_zero, low, high)
 *     residual uint8, of the output's shape: then q = clamp(rint(fma(q, terms[0], fma(residual, terms[1], terms[2])))), or
 *              with the attribute residual_first fma(residual, terms[0], fma(q, terms[1], terms[2])): as QLinearAdd rounds
 *     after    uint8 [256]: what becomes of that
 *
 * Idea: an output pixel is a row of a product, its maps are columns. A pointwise convolution reads X as it lies, or widened
 * where the kernels want words; others gather a block of rows, tap by tap, which are runs of bytes, or have kernels that need
 * no gathering (ops/qconv_tiles.h, ops/qconv_winograd.h). A tile of sums is finished while it is in the first-level cache: no
 * plane of sums is ever written. A depthwise convolution has a kernel of its own (kernels/qlast.inc). */
#include "kernels/qgemm.h"
#include "kernels/qlast.h"
#include "ops/qconv_tiles.h"
#include "ops/qconv_winograd.h"
#include "ops/quant.h"
#include "ops/scratch.h"
#include "ops/window.h"
#include <stdio.h>

enum { X, W, SCALE, BIAS, TABLE, RESIDUAL, AFTER, INPUTS };
enum { TILE_M = 64, TILE_N = 64, BLOCK_BYTES = 48 << 10, MOST_ROWS = 256 };

typedef struct qconv {
    const tn_qgemm_layout *layout;
    tn_window window;
    size_t batch, channels, maps, groups, taps, in_pixels, pixels;
    size_t k;            /* of a row as packed */
    size_t rows, blocks; /* pixels of a block; blocks of an image and group */
    size_t tile;         /* rows of a call of the product: whole tiles of the kernel */
    size_t chunk;        /* columns of a task */
    size_t w_bytes;      /* of a group */
    size_t slot_bytes, zero_bytes;
    tn_qwinograd winograd;
    tn_qtiles tiles;
    bool depthwise, by_winograd, by_tiles, direct, residual_first; /* direct: rows of X are rows of the product */
    uint8_t x_zero;
    int32_t y_zero, low, high;
    const void *w;
    int32_t *offset;
    float *scale;
    float terms[3];
} qconv;

static tn_status infer_qconv(tn_infer *call) {
    const tn_type *x = call->in[X], *w = call->in[W];
    int64_t groups = tn_attr_int(call->node, "group", 1), dims[TN_MAX_RANK];
    TN_TRY(tn_infer_dtype(call, X, (const tn_dtype[]){TN_UINT8, TN_UNDEFINED}));
    TN_TRY(tn_infer_dtype(call, W, (const tn_dtype[]){TN_INT8, TN_UNDEFINED}));
    TN_TRY(tn_infer_dtype(call, SCALE, (const tn_dtype[]){TN_FLOAT32, TN_UNDEFINED}));
    if (tn_infer_has(call, BIAS)) TN_TRY(tn_infer_dtype(call, BIAS, (const tn_dtype[]){TN_INT32, TN_UNDEFINED}));
    for (int in = TABLE; in <= AFTER; in++)
        if (tn_infer_has(call, in)) TN_TRY(tn_infer_dtype(call, in, (const tn_dtype[]){TN_UINT8, TN_UNDEFINED}));
    for (int in = TABLE; in <= AFTER; in += AFTER - TABLE)
        if (tn_infer_has(call, in) && call->in[in]->rank >= 0 && tn_type_count(call->in[in]) != 256)
            return tn_infer_fail(call, in, TN_E_SHAPE, "expected 256 bytes");
    if (x->rank < 0 || w->rank < 0) return tn_infer_out(call, 0, TN_UINT8, -1, NULL);
    if (x->rank < 3) return tn_infer_fail(call, X, TN_E_SHAPE, "expected [batch, spatial axes, channels]");
    if (w->rank != x->rank) return tn_infer_fail(call, W, TN_E_SHAPE, "expected the rank %d of input 0", x->rank);
    for (int i = 0; i < w->rank; i++)
        if (w->dims[i] < 0) return tn_infer_fail(call, W, TN_E_SHAPE, "expected a constant");
    int64_t channels = x->dims[x->rank - 1], maps = w->dims[0];
    if (groups < 1 || maps % groups != 0 || groups > INT32_MAX || w->dims[w->rank - 1] > INT32_MAX ||
        (channels >= 0 && channels != groups * w->dims[w->rank - 1]))
        return tn_infer_fail(call, W, TN_E_SHAPE, "expected %lld channels in %lld groups", (long long)channels,
                             (long long)groups);
    tn_window window;
    TN_TRY(tn_window_decode(&window, call->node, x->rank - 2, x->dims + 1, w->dims + 1));
    dims[0] = x->dims[0];
    memcpy(dims + 1, window.out, (size_t)window.spatial * sizeof *dims);
    dims[x->rank - 1] = maps;
    for (int in = SCALE; in <= BIAS; in++)
        if (tn_infer_has(call, in) && call->in[in]->rank >= 0 && tn_type_count(call->in[in]) != maps &&
            (in == BIAS || tn_type_count(call->in[in]) != 1))
            return tn_infer_fail(call, in, TN_E_SHAPE, "expected one value for each of %lld maps", (long long)maps);
    if (tn_infer_has(call, RESIDUAL) && call->in[RESIDUAL]->rank >= 0) {
        const tn_type *r = call->in[RESIDUAL];
        bool same = r->rank == x->rank;
        for (int i = 0; same && i < r->rank; i++) same = r->dims[i] < 0 || dims[i] < 0 || r->dims[i] == dims[i];
        if (!same) return tn_infer_fail(call, RESIDUAL, TN_E_SHAPE, "expected the output's shape");
    }
    return tn_infer_out(call, 0, TN_UINT8, x->rank, dims);
}

typedef struct source {
    const qconv *q;
    const int8_t *w;
    const tn_qdepth_layout *depth;
} source;

static void pack_product(void *dst, const void *context) {
    const source *s = context;
    const qconv *q = s->q;
    size_t maps = q->maps / q->groups, k = q->taps * (q->channels / q->groups);
    for (size_t g = 0; g < q->groups; g++)
        tn_qgemm_pack_b(q->layout, (uint8_t *)dst + g * q->w_bytes, (const uint8_t *)s->w + g * maps * k, 1, k, k, maps,
                        true, 0, NULL);
}

static void pack_depthwise(void *dst, const void *context) {
    const source *s = context;
    tn_qdepth_pack_w(s->depth, dst, s->w, s->q->channels, s->q->taps);
}

/* offset[m] = bias[m] - x_zero * the sum of its weights, and the scales, in the order that the kernel wants. */
static tn_status prepare_rows(tn_prepare *call, qconv *q) {
    const tn_qdepth_layout *depth = tn_qdepth_layout_of(call->kernels);
    const int8_t *w = call->value[W]->data;
    const tn_tensor *bias = tn_prepare_has(call, BIAS) ? call->value[BIAS] : NULL, *scale = call->value[SCALE];
    size_t k = q->taps * (q->channels / q->groups);
    size_t room = q->depthwise ? tn_qdepth_channels(depth, q->maps) : q->maps + TN_QLAST_PAD, bytes;
    if (!tn_mul_size(room, 4, &bytes)) return tn_fail(TN_E_SHAPE, "the convolution is too large");
    int32_t *offset = tn_prepare_alloc(call, bytes), *packed = tn_prepare_alloc(call, bytes);
    float *scales = tn_prepare_alloc(call, bytes), *packed_scales = tn_prepare_alloc(call, bytes);
    if (!offset || !packed || !scales || !packed_scales) return TN_E_MEMORY;
    const int32_t zero = q->x_zero + (q->depthwise ? 0 : tn_qgemm_shift(false, q->layout->bytes_signed));
    for (size_t m = 0; m < q->maps; m++) {
        uint32_t sum = 0;
        for (size_t i = 0; i < k; i++) sum += (uint32_t)w[m * k + i];
        offset[m] = (int32_t)((bias ? (uint32_t)((const int32_t *)bias->data)[m] : 0) - (uint32_t)zero * sum);
        scales[m] = ((const float *)scale->data)[tn_count(scale) == 1 ? 0 : m];
    }
    q->offset = offset;
    q->scale = scales;
    if (!q->depthwise) return TN_OK;
    tn_qdepth_pack_row(depth, packed, offset, q->maps);
    tn_qdepth_pack_row(depth, packed_scales, scales, q->maps);
    q->offset = packed;
    q->scale = packed_scales;
    return TN_OK;
}

static bool is_pointwise(const tn_window *w) {
    for (int i = 0; i < w->spatial; i++)
        if (w->kernel[i] != 1 || w->stride[i] != 1 || w->pad_begin[i] || w->pad_end[i]) return false;
    return true;
}

/* Blocks of rows, and columns of a task: few blocks are split by columns, unless rows would be gathered many times. */
static void choose_blocks(qconv *q, size_t wanted) {
    size_t maps = q->maps / q->groups;
    q->tile = TILE_M / (size_t)q->layout->rows * (size_t)q->layout->rows;
    const size_t most = MOST_ROWS / q->tile * q->tile, tile = q->tile;
    q->rows = q->direct ? most : BLOCK_BYTES / TN_MAX(q->k * (size_t)q->layout->a_size, 1) / tile * tile;
    q->rows = TN_MIN(TN_MAX(q->rows, tile), most);
    const size_t images = q->batch * q->groups;
    while (q->rows > tile && images * ((q->pixels + q->rows - 1) / q->rows) < wanted)
        q->rows = TN_MAX(q->rows / 2 / tile * tile, tile);
    q->blocks = (q->pixels + q->rows - 1) / q->rows;
    size_t parts = images * q->blocks < wanted ? wanted / (images * q->blocks) : 1;
    parts = TN_MIN(parts, (maps + TILE_N - 1) / TILE_N);
    q->chunk = (maps + parts - 1) / parts;
    q->chunk = TN_MAX((q->chunk + TILE_N - 1) / TILE_N * TILE_N, (size_t)TILE_N);
}

static tn_status prepare_qconv(tn_prepare *call) {
    const tn_type *x = call->in[X], *w = call->in[W];
    qconv *q = tn_prepare_alloc(call, sizeof *q);
    if (!q) return TN_E_MEMORY;
    call->state = q;
    for (int in = W; in <= AFTER; in++)
        if (tn_prepare_has(call, in) && in != RESIDUAL && !call->value[in])
            return tn_fail(TN_E_UNSUPPORTED, "input %d is not constant", in);
    if (tn_type_count(&call->out[0]) == 0) return TN_OK;
    size_t count;
    const float *terms = tn_attr_floats(call->node, "terms", &count);
    if (tn_prepare_has(call, RESIDUAL) && (!terms || count != 3))
        return tn_fail(TN_E_INVALID, "a residual without its three terms");
    q->residual_first = tn_attr_int(call->node, "residual_first", 0) != 0;
    if (terms) memcpy(q->terms, terms, TN_MIN(count, 3) * sizeof *terms);
    q->layout = tn_qgemm_layout_of(call->kernels);
    q->batch = (size_t)x->dims[0];
    q->channels = (size_t)x->dims[x->rank - 1];
    q->maps = (size_t)w->dims[0];
    q->groups = (size_t)tn_attr_int(call->node, "group", 1);
    q->x_zero = (uint8_t)tn_attr_int(call->node, "x_zero", 0);
    q->y_zero = (uint8_t)tn_attr_int(call->node, "y_zero", 0);
    q->low = (uint8_t)tn_attr_int(call->node, "low", 0);
    q->high = (uint8_t)tn_attr_int(call->node, "high", 255);
    TN_TRY(tn_window_decode(&q->window, call->node, x->rank - 2, x->dims + 1, w->dims + 1));
    q->taps = q->in_pixels = q->pixels = 1;
    for (int i = 0; i < q->window.spatial; i++) {
        q->taps *= (size_t)q->window.kernel[i];
        q->in_pixels *= (size_t)q->window.in[i];
        q->pixels *= (size_t)q->window.out[i];
    }
    q->depthwise = q->channels == q->groups && q->maps == q->groups && q->taps <= TN_QLAST_TAPS;
    TN_TRY(prepare_rows(call, q));
    const tn_qdepth_layout *depth = tn_qdepth_layout_of(call->kernels);
    const source from = {q, call->value[W]->data, depth};
    char layout[96];
    bool fits = true;
    if (q->depthwise) {
        fits = tn_mul_size((size_t)q->window.in[q->window.spatial - 1], q->channels, &q->zero_bytes) &&
               tn_scratch_add(&call->scratch, q->zero_bytes, 1);
        if (!fits) return tn_fail(TN_E_SHAPE, "the convolution is too large");
        snprintf(layout, sizeof layout, "qdepth %d %d %d t=%zu", depth->block, depth->group, depth->size, q->taps);
        return tn_prepare_pack(call, W, layout, tn_qdepth_w_bytes(depth, q->channels, q->taps), pack_depthwise, &from,
                               &q->w);
    }
    const size_t wanted = call->threads > 1 ? (size_t)(4 * call->threads) : 1; /* tasks */
    q->by_winograd = q->groups == 1 && tn_qwinograd_plan(&q->winograd, q->layout, &q->window, q->channels, q->maps,
                                                         (wanted + q->batch - 1) / q->batch);
    if (q->by_winograd) {
        q->zero_bytes = q->channels;
        fits = tn_scratch_add(&call->scratch, q->zero_bytes, 1) &&
               tn_scratch_add(&call->scratch, (size_t)TN_MAX(call->threads, 1), q->winograd.slot_bytes);
        return fits ? tn_qwinograd_prepare(&q->winograd, call, W) : tn_fail(TN_E_SHAPE, "the convolution is too large");
    }
    q->by_tiles = q->groups == 1 && tn_qtiles_plan(&q->tiles, call->kernels, &q->window, q->channels, q->maps, wanted);
    if (q->by_tiles) {
        fits = tn_scratch_add(&call->scratch, q->tiles.image_bytes, 1);
        return fits ? tn_qtiles_prepare(&q->tiles, call, W) : tn_fail(TN_E_SHAPE, "the convolution is too large");
    }
    size_t k = q->taps * (q->channels / q->groups);
    q->k = tn_qgemm_k(q->layout, k);
    q->direct = q->groups == 1 && is_pointwise(&q->window) && q->k == k && !q->layout->bytes_signed;
    choose_blocks(q, wanted);
    q->w_bytes = tn_qgemm_b_bytes(q->layout, k, q->maps / q->groups);
    if (!q->direct || q->layout->a_size == 2) {
        /* A block as bytes and, where the kernels want another kind, as they want it. */
        fits = tn_scratch_add(&q->slot_bytes, q->rows + 1, q->k) &&
               tn_scratch_add(&q->slot_bytes, q->rows, q->k * (size_t)q->layout->a_size);
        fits = fits && tn_scratch_add(&call->scratch, (size_t)TN_MAX(call->threads, 1), q->slot_bytes);
    }
    size_t bytes;
    fits = fits && q->w_bytes < SIZE_MAX / 2 && tn_mul_size(q->groups, q->w_bytes, &bytes);
    if (!fits) return tn_fail(TN_E_SHAPE, "the convolution is too large");
    snprintf(layout, sizeof layout, "qconv_last %d %d %d g=%zu k=%zu%s", q->layout->columns, q->layout->group,
             q->layout->a_size, q->groups, k, q->layout->saturates ? " order" : "");
    return tn_prepare_pack(call, W, layout, bytes, pack_product, &from, &q->w);
}

typedef struct job {
    const qconv *q;
    const tn_kernels *kernels;
    const uint8_t *x, *table, *residual, *after, *zeros;
    uint8_t *y, *slots;
    size_t image; /* where they are done one after the other */
} job;

/* Where bytes are few, memcpy's call would cost more than what it does. */
static inline void copy_bytes(uint8_t *to, const uint8_t *from, size_t n) {
    if (n > 64) {
        memcpy(to, from, n);
        return;
    }
    size_t i = 0;
    for (; i + 16 <= n; i += 16) memcpy(to + i, from + i, 16);
    if (i == n) return;
    if (n >= 16)
        memcpy(to + n - 16, from + n - 16, 16);
    else if (n >= 8) {
        uint64_t low, high;
        memcpy(&low, from, 8), memcpy(&high, from + n - 8, 8);
        memcpy(to, &low, 8), memcpy(to + n - 8, &high, 8);
    } else if (n >= 4) {
        uint32_t low, high;
        memcpy(&low, from, 4), memcpy(&high, from + n - 4, 4);
        memcpy(to, &low, 4), memcpy(to + n - 4, &high, 4);
    } else {
        for (; i < n; i++) to[i] = from[i];
    }
}

/* `count` runs of n bytes each. */
static void copy_runs(uint8_t *to, size_t to_step, const uint8_t *from, size_t from_step, size_t count, size_t n) {
    if (n >= 16 && n <= 32) {
        for (; count > 0; count--, to += to_step, from += from_step) {
            memcpy(to, from, 16);
            memcpy(to + n - 16, from + n - 16, 16);
        }
        return;
    }
    for (; count > 0; count--, to += to_step, from += from_step) copy_bytes(to, from, n);
}

/* Taps of one row of the kernel at output column `column`: `width` bytes of each. base NULL: all padding. */
static inline void gather_taps(const qconv *q, uint8_t *to, const uint8_t *base, int64_t column, size_t width) {
    const tn_window *w = &q->window;
    const int last = w->spatial - 1;
    const int64_t start = column * w->stride[last] - w->pad_begin[last], kernel = w->kernel[last];
    if (!base) {
        memset(to, q->x_zero, (size_t)kernel * width);
    } else if (w->dilation[last] == 1 && width == q->channels) {
        int64_t from = TN_MIN(TN_MAX(-start, 0), kernel), until = TN_MAX(TN_MIN(w->in[last] - start, kernel), from);
        if (from > 0) memset(to, q->x_zero, (size_t)from * width);
        if (until > from)
            copy_bytes(to + (size_t)from * width, base + (size_t)(start + from) * q->channels,
                       (size_t)(until - from) * width);
        if (kernel > until) memset(to + (size_t)until * width, q->x_zero, (size_t)(kernel - until) * width);
    } else {
        for (int64_t t = 0; t < kernel; t++) {
            int64_t at = start + t * w->dilation[last];
            if (at >= 0 && at < w->in[last])
                copy_bytes(to + (size_t)t * width, base + (size_t)at * q->channels, width);
            else
                memset(to + (size_t)t * width, q->x_zero, width);
        }
    }
}

/* Rows of a product, for output pixels [first, first + rows): one row of output pixels after the other. */
static const void *gather(const job *j, size_t batch, size_t group, size_t first, size_t rows) {
    const qconv *q = j->q;
    const tn_window *w = &q->window;
    const int last = w->spatial - 1;
    const size_t width = q->channels / q->groups, k = q->taps * width, across = (size_t)w->out[last];
    const size_t outer = q->taps / (size_t)w->kernel[last], run = k / outer;
    uint8_t *slot = j->slots + (size_t)tn_worker_index() * q->slot_bytes, *to = slot;
    const uint8_t *x = j->x + batch * q->in_pixels * q->channels + group * width;
    uint8_t *packed = slot + ((q->rows + 1) * q->k + 63) / 64 * 64;
    if (q->direct) {
        j->kernels->qwiden((int16_t *)(void *)packed, x + first * k, rows * k);
        return packed;
    }
    int64_t inside = 0, outside = 0; /* columns whose taps lie in one piece */
    if (w->dilation[last] == 1 && q->groups == 1)
        tn_window_inside(-w->pad_begin[last], w->stride[last], w->out[last], w->in[last] - w->kernel[last] + 1, &inside,
                         &outside);
    for (size_t done = 0, n; done < rows; done += n) {
        const size_t row = (first + done) / across, column = (first + done) % across;
        n = TN_MIN(rows - done, across - column);
        for (size_t t = 0; t < outer; t++) {
            int64_t at = tn_window_row(w, (int64_t)row, (int64_t)t);
            const uint8_t *base = at < 0 ? NULL : x + (size_t)at * q->channels;
            const int64_t first_in = TN_MAX(inside - (int64_t)column, 0), end_in = outside - (int64_t)column;
            const size_t low = base ? TN_MIN((size_t)first_in, n) : n;
            const size_t high = (int64_t)low < end_in ? TN_MIN((size_t)end_in, n) : low;
            uint8_t *at_tap = to + t * run;
            for (size_t i = 0; i < low; i++) gather_taps(q, at_tap + i * q->k, base, (int64_t)(column + i), width);
            if (low < high)
                copy_runs(at_tap + low * q->k, q->k,
                          base + ((int64_t)(column + low) * w->stride[last] - w->pad_begin[last]) * (int64_t)width,
                          (size_t)w->stride[last] * width, high - low, run);
            for (size_t i = high; i < n; i++) gather_taps(q, at_tap + i * q->k, base, (int64_t)(column + i), width);
        }
        for (size_t i = 0; i < n && q->k > k; i++) memset(to + i * q->k + k, 0, q->k - k);
        if (q->layout->a_size == 2) /* while it is in the first-level cache */
            j->kernels->qwiden((int16_t *)(void *)packed + done * q->k, to, n * q->k);
        to += n * q->k;
    }
    if (q->layout->a_size == 2) return packed;
    if (!q->layout->bytes_signed) return slot;
    tn_qgemm_pack_a(q->layout, packed, slot, q->k, 1, rows, q->k, true, 0x80, NULL);
    return packed;
}

/* What comes after the convolution itself, on `rows` runs of n bytes of y. */
static void finish_rows(const job *j, size_t at, size_t rows, size_t n) {
    const qconv *q = j->q;
    size_t step = q->maps;
    if (n == step) n *= rows, rows = 1;
    for (size_t r = 0; r < rows; r++, at += step) {
        uint8_t *y = j->y + at;
        if (j->table) j->kernels->qlook_up(y, y, n, j->table);
        if (j->residual) {
            const uint8_t *other = j->residual + at;
            j->kernels->qadd(y, q->residual_first ? other : y, q->residual_first ? y : other, n, 0, q->terms[0],
                             q->terms[1], q->terms[2]);
        }
        if (j->after) j->kernels->qlook_up(y, y, n, j->after);
    }
}

static void multiply(void *context, int64_t task) {
    const job *j = context;
    const qconv *q = j->q;
    const size_t maps = q->maps / q->groups, chunks = (maps + q->chunk - 1) / q->chunk;
    size_t t = (size_t)task, chunk = t % chunks, block = t / chunks % q->blocks;
    size_t group = t / chunks / q->blocks % q->groups, batch = t / chunks / q->blocks / q->groups;
    size_t first = block * q->rows, rows = TN_MIN(q->rows, q->pixels - first);
    size_t from = chunk * q->chunk, until = TN_MIN(from + q->chunk, maps);
    const uint8_t *a = q->direct && q->layout->a_size == 1 ? j->x + (batch * q->pixels + first) * q->k
                                                           : gather(j, batch, group, first, rows);
    const uint8_t *b = (const uint8_t *)q->w + group * q->w_bytes;
    const size_t a_stride = q->k * (size_t)q->layout->a_size;
    for (size_t column = from; column < until; column += TILE_N) {
        const size_t n = TN_MIN((size_t)TILE_N, until - column), map = group * maps + column;
        const uint8_t *panels = b + column * q->k;
        for (size_t row = 0; row < rows; row += q->tile) {
            int32_t sums[TILE_M * TILE_N];
            size_t m = TN_MIN(q->tile, rows - row), next_bytes;
            const void *next = tn_qgemm_next(panels, n * q->k, column + n < until, row, m, rows, &next_bytes);
            j->kernels->qgemm_us(m, n, q->k, a + row * a_stride, panels,
                                 tn_qgemm_order(q->layout, b, q->k, maps, column), sums, TILE_N, next, next_bytes);
            j->kernels->qfinish(j->y + (batch * q->pixels + first + row) * q->maps + map, q->maps, sums, TILE_N, m, n,
                                q->offset + map, q->scale + map, q->y_zero, q->low, q->high);
        }
    }
    finish_rows(j, (batch * q->pixels + first) * q->maps + group * maps + from, rows, until - from);
}

/* A block of rows of tiles. */
static void winograd_block(void *context, int64_t task) {
    const job *j = context;
    const qconv *q = j->q;
    const tn_qfinish finish = {q->offset, q->scale, q->y_zero, q->low, q->high};
    const size_t batch = (size_t)task / q->winograd.blocks, block = (size_t)task % q->winograd.blocks;
    const size_t width = (size_t)q->window.out[1], at = batch * q->pixels * q->maps;
    size_t first, rows;
    tn_qwinograd_block(&q->winograd, j->kernels, &finish, j->y + at, j->x + batch * q->in_pixels * q->channels,
                       j->zeros, block, j->slots + (size_t)tn_worker_index() * q->winograd.slot_bytes, &first, &rows);
    finish_rows(j, at + first * width * q->maps, rows * width, q->maps);
}

static void pad_row(void *context, int64_t row) {
    const job *j = context;
    tn_qtiles_pad(&j->q->tiles, j->slots, j->x, j->q->x_zero, (size_t)row);
}

/* j->x, y: of one image, `residual` of all. */
static void tiles_task(void *context, int64_t task) {
    const job *j = context;
    const qconv *q = j->q;
    const tn_qfinish finish = {q->offset, q->scale, q->y_zero, q->low, q->high};
    const size_t at = j->image * q->pixels * q->maps;
    size_t first, rows, from, until, width = (size_t)q->window.out[1];
    tn_qtiles_task(&q->tiles, j->kernels, &finish, j->y + at, j->slots, (size_t)task, &first, &rows, &from, &until);
    finish_rows(j, at + first * width * q->maps + from, rows * width, until - from);
}

/* One row of output pixels, all channels. */
static void depthwise_row(void *context, int64_t task) {
    const job *j = context;
    const qconv *q = j->q;
    const tn_window *w = &q->window;
    const int last = w->spatial - 1;
    const size_t width = (size_t)w->out[last], height = q->pixels / width, kernel = (size_t)w->kernel[last];
    size_t batch = (size_t)task / height, row = (size_t)task % height;
    const uint8_t *x = j->x + batch * q->in_pixels * q->channels, *line[TN_QLAST_TAPS], *tap[TN_QLAST_TAPS];
    uint8_t *y = j->y + (batch * q->pixels + row * width) * q->maps;
    const size_t step = (size_t)w->stride[last] * q->channels;
    int64_t from = 0, until = w->out[last]; /* columns whose taps all lie inside */
    for (size_t t = 0; t < q->taps / kernel; t++) {
        int64_t at = tn_window_row(w, (int64_t)row, (int64_t)t);
        line[t] = at < 0 ? j->zeros : x + (size_t)at * q->channels;
    }
    for (int64_t t = 0; t < w->kernel[last]; t++) {
        int64_t low, high;
        tn_window_inside(t * w->dilation[last] - w->pad_begin[last], w->stride[last], w->out[last], w->in[last], &low,
                         &high);
        from = TN_MAX(from, low);
        until = TN_MIN(until, high);
    }
    if (until < from) from = until = w->out[last];
    for (int64_t column = 0; column < w->out[last];) {
        bool inside = column >= from && column < until;
        int64_t n = inside ? until - from : 1;
        for (size_t t = 0; t < q->taps; t++) {
            int64_t at = column * w->stride[last] - w->pad_begin[last] + (int64_t)(t % kernel) * w->dilation[last];
            bool there = at >= 0 && at < w->in[last];
            tap[t] = there ? line[t / kernel] + (size_t)at * q->channels : j->zeros;
        }
        j->kernels->qdepth(y + (size_t)column * q->maps, (size_t)n, q->channels, q->taps, tap, step, q->w, q->offset,
                           q->scale, q->y_zero, q->low, q->high);
        column += n;
    }
    finish_rows(j, (size_t)(y - j->y), width, q->maps);
}

static tn_status run_qconv(tn_run *call) {
    const qconv *q = call->state;
    tn_tensor *y = tn_out(call, 0);
    if (!y || tn_count(y) == 0) return TN_OK;
    const tn_tensor *table = tn_in(call, TABLE), *residual = tn_in(call, RESIDUAL), *after = tn_in(call, AFTER);
    job j = {.q = q,
             .kernels = call->kernels,
             .x = tn_in(call, X)->data,
             .table = table ? table->data : NULL,
             .residual = residual ? residual->data : NULL,
             .after = after ? after->data : NULL,
             .y = y->data,
             .slots = call->scratch};
    if (q->depthwise || q->by_winograd) {
        uint8_t *at = call->scratch, *zeros = tn_scratch_take(&at, q->zero_bytes, 1);
        memset(zeros, q->x_zero, q->zero_bytes);
        j.zeros = zeros;
        j.slots = at;
    }
    if (q->by_winograd) {
        tn_parallel(call->pool, (int64_t)(q->batch * q->winograd.blocks), winograd_block, &j);
        return TN_OK;
    }
    if (q->by_tiles) {
        for (; j.image < q->batch; j.image++, j.x += q->in_pixels * q->channels) {
            tn_parallel(call->pool, (int64_t)q->tiles.height, pad_row, &j);
            tn_parallel(call->pool, (int64_t)(q->tiles.blocks * q->tiles.parts), tiles_task, &j);
        }
        return TN_OK;
    }
    if (q->depthwise) {
        tn_parallel(call->pool, (int64_t)(q->batch * (q->pixels / (size_t)q->window.out[q->window.spatial - 1])),
                    depthwise_row, &j);
        return TN_OK;
    }
    size_t maps = q->maps / q->groups, tasks = q->batch * q->groups * q->blocks * ((maps + q->chunk - 1) / q->chunk);
    tn_parallel(call->pool, (int64_t)tasks, multiply, &j);
    return TN_OK;
}

const tn_op tn_ops_qconv_last[] = {
    {.domain = "tenon",
     .name = "QConv",
     .min_in = 3,
     .max_in = INPUTS,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_BATCH,
     .infer = infer_qconv,
     .prepare = prepare_qconv,
     .run = run_qconv},
    {0},
};
