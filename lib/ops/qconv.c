/* Convolution of 8-bit integers. See qconv.h and kernels/qgemm.h.
 *
 * A block of output pixels is packed as the right side of a product (columns: pixels; k: taps, and for each tap the
 * channels of a group, so that bytes that are multiplied together come from planes side by side), the weights are the
 * left side, and so the product's rows are rows of the output. The block lives in scratch and in cache; nothing of the
 * size of the whole unfolded input exists. A depthwise convolution goes row by row over padded planes instead. */
#include "ops/qconv.h"
#include "ops/quant.h"
#include "ops/scratch.h"
#include <stdio.h>

enum { TILE_M = 24, BLOCK = 128, TASK_M = 4 * TILE_M, MAX_TAPS = 128, PLANE_SLACK = 2 * TN_QCONV_BLOCK };

tn_status tn_infer_qconv(tn_infer *call, int x_in, int w_in, int *out_rank, int64_t *out_dims) {
    const tn_type *x = call->in[x_in], *w = call->in[w_in];
    int64_t groups = tn_attr_int(call->node, "group", 1);
    *out_rank = -1;
    if (groups < 1 || groups > INT32_MAX)
        return tn_fail(TN_E_INVALID, "group is %lld; expected at least 1", (long long)groups);
    if (x->rank < 0 || w->rank < 0) return TN_OK;
    if (x->rank < 3) return tn_infer_fail(call, x_in, TN_E_SHAPE, "expected [batch, channels, spatial axes]");
    if (w->rank != x->rank)
        return tn_infer_fail(call, w_in, TN_E_SHAPE, "expected the rank %d of input %d", x->rank, x_in);
    tn_window window;
    TN_TRY(tn_window_decode(&window, call->node, x->rank - 2, x->dims + 2, w->dims + 2));
    int64_t channels = x->dims[1], maps = w->dims[0];
    if (channels >= 0 && w->dims[1] >= 0 && (channels % groups != 0 || channels / groups != w->dims[1]))
        return tn_infer_fail(call, w_in, TN_E_SHAPE, "expected %lld / %lld channels along axis 1", (long long)channels,
                             (long long)groups);
    if (maps >= 0 && maps % groups != 0)
        return tn_infer_fail(call, w_in, TN_E_SHAPE, "expected a multiple of group = %lld along axis 0",
                             (long long)groups);
    *out_rank = x->rank;
    out_dims[0] = x->dims[0];
    out_dims[1] = maps;
    memcpy(out_dims + 2, window.out, (size_t)window.spatial * sizeof *out_dims);
    return TN_OK;
}

static size_t group_k(const tn_qconv *q) { /* channels of a group, padded */
    return tn_qgemm_k(q->layout, q->channels / q->groups);
}
static size_t sums_offset(const tn_qconv *q) {
    return q->w_bytes - (q->maps * sizeof(int32_t) + 63) / 64 * 64;
}

typedef struct w_source {
    const tn_qconv *q;
    const uint8_t *w;
} w_source;

static void pack_w(void *dst, const void *context) {
    const w_source *s = context;
    const tn_qconv *q = s->q;
    size_t channels = q->channels / q->groups, step = group_k(q) * (size_t)q->layout->a_size;
    uint8_t *to = dst;
    int32_t *sums = (int32_t *)(void *)(to + sums_offset(q));
    for (size_t m = 0; m < q->maps; m++) {
        uint32_t total = 0;
        for (size_t t = 0; t < q->taps; t++, to += step) {
            int32_t sum;
            tn_qgemm_pack_a(q->layout, to, s->w + m * channels * q->taps + t, 0, q->taps, 1, channels, true,
                            q->w_signed ? 0 : 0x80, &sum);
            total += (uint32_t)sum;
        }
        sums[m] = (int32_t)total;
    }
}

/* Where kernel and strides are all 1 and nothing is padded, the spatial axes are one. */
static void collapse(tn_window *w) {
    size_t pixels = 1;
    for (int i = 0; i < w->spatial; i++) {
        if (w->kernel[i] != 1 || w->stride[i] != 1 || w->pad_begin[i] || w->pad_end[i]) return;
        pixels *= (size_t)w->in[i];
    }
    *w = (tn_window){.spatial = 1, .kernel = {1}, .stride = {1}, .dilation = {1}};
    w->in[0] = w->out[0] = (int64_t)pixels;
}

/* The padded plane of a depthwise convolution: [height, width], of one axis as well. */
static size_t plane_width(const tn_window *w) {
    int i = w->spatial - 1;
    return (size_t)(w->in[i] + w->pad_begin[i] + w->pad_end[i]);
}
static size_t plane_height(const tn_window *w) {
    return w->spatial == 1 ? 1 : (size_t)(w->in[0] + w->pad_begin[0] + w->pad_end[0]);
}

tn_status tn_qconv_prepare(tn_prepare *call, tn_qconv *q, int x_in, int w_in) {
    const tn_type *x = call->in[x_in], *w = call->in[w_in];
    *q = (tn_qconv){.layout = tn_qgemm_layout_of(call->kernels),
                    .batch = (size_t)x->dims[0],
                    .channels = (size_t)x->dims[1],
                    .maps = (size_t)w->dims[0],
                    .groups = (size_t)tn_attr_int(call->node, "group", 1),
                    .x_signed = x->dtype == TN_INT8,
                    .w_signed = w->dtype == TN_INT8};
    if (tn_type_count(&call->out[0]) == 0) return TN_OK; /* nothing to do; other dims may be absurd */
    TN_TRY(tn_window_decode(&q->window, call->node, x->rank - 2, x->dims + 2, w->dims + 2));
    collapse(&q->window);
    const tn_window *window = &q->window;
    q->taps = q->in_pixels = q->pixels = 1;
    for (int i = 0; i < window->spatial; i++) {
        q->taps *= (size_t)window->kernel[i];
        q->in_pixels *= (size_t)window->in[i];
        q->pixels *= (size_t)window->out[i];
    }
    q->depthwise = q->channels == q->groups && window->spatial <= 2 && q->taps <= MAX_TAPS;
    bool fits = true;
    if (q->depthwise) {
        size_t plane;
        fits = tn_mul_size(plane_height(window), plane_width(window), &plane) && plane < SIZE_MAX / 2 &&
               tn_scratch_add(&q->slot_bytes, plane + PLANE_SLACK, 1) &&
               tn_scratch_add(&q->scratch, q->maps * q->taps, sizeof(int32_t));
        size_t planes = q->batch * q->maps;
        q->wave = call->threads > 1 ? TN_MIN(planes, (size_t)(4 * call->threads)) : 1;
    } else {
        fits = tn_mul_size(q->taps, group_k(q), &q->k);
        /* A block should leave the second-level cache room for weights. */
        q->block = q->k > 2048 ? BLOCK / 2 : BLOCK;
        size_t blocks = q->batch * q->groups * ((q->pixels + q->block - 1) / q->block);
        q->wave = call->threads > 1 ? TN_MIN(blocks, (size_t)(2 * call->threads)) : 1;
        size_t w_bytes = fits ? tn_qgemm_a_bytes(q->layout, q->maps, q->k) : SIZE_MAX;
        fits = fits && w_bytes < SIZE_MAX && tn_scratch_add(&q->w_bytes, w_bytes, 1) &&
               tn_scratch_add(&q->w_bytes, q->maps, sizeof(int32_t)) &&
               tn_scratch_add(&q->slot_bytes, q->k, q->block) &&
               tn_scratch_add(&q->slot_bytes, q->block, sizeof(int32_t)) &&
               tn_scratch_add(&q->scratch, q->k, (size_t)q->layout->a_size);
        if (fits && call->value[w_in]) {
            const w_source source = {q, call->value[w_in]->data};
            char layout[96];
            snprintf(layout, sizeof layout, "qconv_w %d %d %d g=%zu c=%zu t=%zu", q->layout->columns, q->layout->group,
                     q->layout->a_size, q->groups, q->channels, q->taps);
            TN_TRY(tn_prepare_pack(call, w_in, layout, q->w_bytes, pack_w, &source, &q->w_packed));
        } else {
            fits = fits && tn_scratch_add(&q->scratch, q->w_bytes, 1);
        }
    }
    fits = fits && tn_scratch_add(&q->scratch, q->wave, q->slot_bytes);
    for (int i = 0; i < 2; i++) fits = fits && tn_scratch_add(&q->scratch, q->maps, sizeof(int32_t));
    return fits ? TN_OK : tn_fail(TN_E_SHAPE, "the convolution is too large");
}

typedef struct job {
    const tn_qconv *q;
    const tn_qconv_call *call;
    const tn_kernels *kernels;
    const uint8_t *w; /* packed */
    const void *ones; /* a packed row of ones */
    int32_t *depth_w; /* [maps, taps], less the zero points */
    int32_t *w_zeros; /* as the packed weights have them */
    int32_t *offsets; /* what is added to the sums of a map */
    uint8_t *slots;
    size_t first; /* block or plane of slot 0 */
    size_t row_tasks;
    int32_t x_zero; /* as packed */
    bool need_sums; /* of columns */
    int32_t low, high;
} job;

/* ---- blocks ---- */
typedef struct place {
    size_t batch, group, pixel, n;
} place;

static place place_of(const job *j, size_t slot) {
    const tn_qconv *q = j->q;
    size_t across = (q->pixels + q->block - 1) / q->block, at = j->first + slot;
    size_t pixel = at % across * q->block;
    return (place){at / across / q->groups, at / across % q->groups, pixel, TN_MIN(q->block, q->pixels - pixel)};
}

/* A run of output pixels along the last axis, seen from one tap: what of it lies in the input, and where. */
typedef struct pixel_run {
    size_t n, left, inside; /* pixels; those before the input, those in it */
    size_t offset;          /* of the first one inside, in a plane */
} pixel_run;

/* Runs that the block's pixels [pixel, pixel + n) make at this tap; returns how many. */
static size_t find_runs(const tn_window *w, size_t tap, size_t pixel, size_t n, pixel_run *runs) {
    int last = w->spatial - 1;
    int64_t tap_at[TN_MAX_SPATIAL];
    for (int i = last; i >= 0; i--) {
        tap_at[i] = (int64_t)(tap % (size_t)w->kernel[i]) * w->dilation[i] - w->pad_begin[i];
        tap /= (size_t)w->kernel[i];
    }
    size_t count = 0;
    while (n > 0) {
        size_t rest = pixel / (size_t)w->out[last];
        int64_t column = (int64_t)(pixel % (size_t)w->out[last]), stride = w->stride[last];
        int64_t length = TN_MIN((int64_t)n, w->out[last] - column), scale = w->in[last], row = 0;
        bool inside = true;
        for (int i = last - 1; i >= 0; i--) {
            int64_t at = (int64_t)(rest % (size_t)w->out[i]) * w->stride[i] + tap_at[i];
            rest /= (size_t)w->out[i];
            inside = inside && at >= 0 && at < w->in[i];
            row += at * scale;
            scale *= w->in[i];
        }
        /* Columns c with 0 <= c * stride + tap_at < in. */
        int64_t from = tap_at[last] < 0 ? (-tap_at[last] + stride - 1) / stride : 0;
        int64_t to = w->in[last] > tap_at[last] ? (w->in[last] - tap_at[last] + stride - 1) / stride : 0;
        int64_t left = TN_MIN(TN_MAX(from - column, 0), length), middle = TN_MIN(to - column, length) - left;
        if (!inside || middle <= 0) left = length, middle = 0;
        runs[count++] = (pixel_run){(size_t)length, (size_t)left, (size_t)middle,
                                    middle ? (size_t)(row + (column + left) * stride + tap_at[last]) : 0};
        pixel += (size_t)length;
        n -= (size_t)length;
    }
    return count;
}

/* Writes one group of up to four channels at one tap into the block's panels. The runs may cross panels. */
static void pack_group(const job *j, uint8_t *panels, size_t k, const uint8_t *x, int live, const pixel_run *runs,
                       size_t count) {
    const tn_qconv *q = j->q;
    size_t group = (size_t)q->layout->group, columns = (size_t)q->layout->columns, column = 0;
    size_t stride = (size_t)q->window.stride[q->window.spatial - 1];
    const uint8_t flip = q->x_signed == q->layout->bytes_signed ? 0 : 0x80;
    const uint8_t pad = (uint8_t)j->call->x_zero;
    for (size_t r = 0; r < count; r++) {
        const size_t parts[3] = {runs[r].left, runs[r].inside, runs[r].n - runs[r].left - runs[r].inside};
        for (int part = 0; part < 3; part++)
            for (size_t done = 0, n; done < parts[part]; done += n, column += n) {
                n = TN_MIN(parts[part] - done, columns - column % columns);
                uint8_t *to = panels + column / columns * columns * q->k + k * columns + column % columns * group;
                const uint8_t *source[4] = {&pad, &pad, &pad, &pad};
                if (part == 1)
                    for (int g = 0; g < live; g++)
                        source[g] = x + (size_t)g * q->in_pixels + runs[r].offset + done * stride;
                tn_qgemm_interleave(q->layout, to, source, live, n, part == 1 ? stride : 0, flip);
            }
    }
    size_t rest = columns - column % columns; /* of the last panel */
    if (rest < columns)
        memset(panels + column / columns * columns * q->k + k * columns + column % columns * group, 0, rest * group);
}

static void pack_block(void *context, int64_t slot) {
    const job *j = context;
    const tn_qconv *q = j->q;
    place p = place_of(j, (size_t)slot);
    size_t channels = q->channels / q->groups, group = (size_t)q->layout->group;
    const uint8_t *x = j->call->x + (p.batch * q->channels + p.group * channels) * q->in_pixels;
    uint8_t *panels = j->slots + (size_t)slot * q->slot_bytes;
    pixel_run runs[BLOCK];
    for (size_t t = 0; t < q->taps; t++) {
        size_t count = find_runs(&q->window, t, p.pixel, p.n, runs);
        for (size_t c = 0; c < channels; c += group)
            pack_group(j, panels, t * group_k(q) + c, x + c * q->in_pixels, (int)TN_MIN(group, channels - c), runs,
                       count);
    }
    if (j->need_sums)
        j->kernels->qgemm_su(1, p.n, q->k, j->ones, panels, (int32_t *)(void *)(panels + q->k * q->block), BLOCK);
}

static void finish(const job *j, int32_t *sums, size_t n, const int32_t *column_sums, size_t map, size_t at) {
    const tn_qconv_call *c = j->call;
    j->kernels->qgemm_fix(sums, n, -j->w_zeros[map], j->w_zeros[map] ? column_sums : NULL, 0, NULL, j->offsets[map]);
    if (c->y_type == TN_INT32)
        memcpy((int32_t *)c->y + at, sums, n * sizeof *sums);
    else
        j->kernels->qrequantize((uint8_t *)c->y + at, sums, n, c->scale + map * c->scale_step, 0, c->y_zero, j->low,
                                j->high);
}

static void multiply_block(void *context, int64_t task) {
    const job *j = context;
    const tn_qconv *q = j->q;
    size_t slot = (size_t)task / j->row_tasks, first = (size_t)task % j->row_tasks * TASK_M;
    size_t maps = q->maps / q->groups, last = TN_MIN(first + TASK_M, maps);
    place p = place_of(j, slot);
    const uint8_t *panels = j->slots + slot * q->slot_bytes;
    int32_t sums[TILE_M * BLOCK];
    for (size_t row = first; row < last; row += TILE_M) {
        size_t map = p.group * maps + row, m = TN_MIN((size_t)TILE_M, last - row);
        j->kernels->qgemm_su(m, p.n, q->k, j->w + map * q->k * (size_t)q->layout->a_size, panels, sums, BLOCK);
        for (size_t r = 0; r < m; r++)
            finish(j, sums + r * BLOCK, p.n, (const int32_t *)(const void *)(panels + q->k * q->block), map + r,
                   (p.batch * q->maps + map + r) * q->pixels + p.pixel);
    }
}

/* ---- depthwise ---- */
static void convolve_plane(void *context, int64_t slot) {
    const job *j = context;
    const tn_qconv *q = j->q;
    const tn_window *w = &q->window;
    size_t plane = j->first + (size_t)slot, map = plane % q->maps, width = plane_width(w), height = plane_height(w);
    size_t channel = plane / q->maps * q->channels + map / (q->maps / q->groups);
    int last = w->spatial - 1;
    bool flat = last == 0;
    size_t in_width = (size_t)w->in[last], out_width = (size_t)w->out[last], out_height = q->pixels / out_width;
    const uint8_t *x = j->call->x + channel * q->in_pixels;
    /* A copy even where nothing is padded: the kernel reads whole blocks. */
    uint8_t *padded = j->slots + (size_t)slot * q->slot_bytes;
    size_t top = flat ? 0 : (size_t)w->pad_begin[0], left = (size_t)w->pad_begin[last];
    memset(padded, (uint8_t)j->call->x_zero, width * height + PLANE_SLACK);
    for (size_t r = 0; r < q->in_pixels / in_width; r++)
        memcpy(padded + (top + r) * width + left, x + r * in_width, in_width);
    const uint8_t *tap[MAX_TAPS];
    size_t offset[MAX_TAPS], stride = (size_t)w->stride[last], down = flat ? 0 : (size_t)w->stride[0];
    for (size_t t = 0; t < q->taps; t++) {
        size_t across = t % (size_t)w->kernel[last] * (size_t)w->dilation[last];
        offset[t] = across + (flat ? 0 : t / (size_t)w->kernel[last] * (size_t)w->dilation[0]) * width;
    }
    for (size_t row = 0; row < out_height; row++)
        for (size_t column = 0, n; column < out_width; column += n) {
            int32_t sums[BLOCK] = {0};
            n = TN_MIN((size_t)BLOCK, out_width - column);
            for (size_t t = 0; t < q->taps; t++) tap[t] = padded + offset[t] + row * down * width + column * stride;
            j->kernels->qconv_row(sums, n, q->taps, j->depth_w + map * q->taps, tap, stride, q->x_signed);
            finish(j, sums, n, NULL, map, (plane * out_height + row) * out_width + column);
        }
}

static void prepare_depthwise(job *j) {
    const tn_qconv *q = j->q;
    for (size_t m = 0; m < q->maps; m++) {
        uint32_t sum = 0;
        for (size_t t = 0; t < q->taps; t++) {
            uint8_t w = j->call->w[m * q->taps + t];
            int32_t value = (q->w_signed ? (int8_t)w : w) - j->w_zeros[m];
            j->depth_w[m * q->taps + t] = value;
            sum += (uint32_t)value;
        }
        j->offsets[m] = (int32_t)((uint32_t)(j->call->bias ? j->call->bias[m] : 0) - (uint32_t)j->call->x_zero * sum);
        j->w_zeros[m] = 0;
    }
}

static void prepare_blocks(job *j) {
    const tn_qconv *q = j->q;
    const int32_t *sums = (const int32_t *)(const void *)(j->w + sums_offset(q));
    const int shift = tn_qgemm_shift(q->w_signed, true);
    const uint32_t k = (uint32_t)(q->taps * (q->channels / q->groups));
    j->x_zero = j->call->x_zero + tn_qgemm_shift(q->x_signed, q->layout->bytes_signed);
    for (size_t m = 0; m < q->maps; m++) {
        j->w_zeros[m] += shift;
        j->need_sums = j->need_sums || j->w_zeros[m] != 0;
        uint32_t zero = (uint32_t)j->x_zero, bias = j->call->bias ? (uint32_t)j->call->bias[m] : 0;
        j->offsets[m] = (int32_t)(bias - zero * (uint32_t)sums[m] + k * zero * (uint32_t)j->w_zeros[m]);
    }
}

void tn_qconv_run(const tn_qconv *q, const tn_run *host, const tn_qconv_call *call, void *scratch) {
    if (q->wave == 0) return;
    job j = {.q = q, .call = call, .kernels = host->kernels};
    uint8_t *at = scratch;
    j.depth_w = q->depthwise ? tn_scratch_take(&at, q->maps * q->taps, sizeof(int32_t)) : NULL;
    if (!q->depthwise) {
        uint8_t *ones = tn_scratch_take(&at, q->k, (size_t)q->layout->a_size);
        for (size_t i = 0; i < q->k; i++)
            if (q->layout->a_size == 1)
                ones[i] = 1;
            else
                ((int16_t *)(void *)ones)[i] = 1;
        j.ones = ones;
        j.w = q->w_packed;
        if (!j.w) {
            const w_source source = {q, call->w};
            uint8_t *packed = tn_scratch_take(&at, q->w_bytes, 1);
            pack_w(packed, &source);
            j.w = packed;
        }
    }
    j.slots = tn_scratch_take(&at, q->wave, q->slot_bytes);
    j.w_zeros = tn_scratch_take(&at, q->maps, sizeof(int32_t));
    j.offsets = tn_scratch_take(&at, q->maps, sizeof(int32_t));
    size_t zeros = call->w_zero ? (size_t)tn_count(call->w_zero) : 1;
    tn_quant_zeros(call->w_zero, zeros, j.w_zeros);
    for (size_t m = zeros; m < q->maps; m++) j.w_zeros[m] = j.w_zeros[0];
    tn_quant_limits(call->y_type, &j.low, &j.high);
    if (q->depthwise) {
        prepare_depthwise(&j);
        size_t planes = q->batch * q->maps;
        for (; j.first < planes; j.first += q->wave)
            tn_parallel(host->pool, (int64_t)TN_MIN(q->wave, planes - j.first), convolve_plane, &j);
        return;
    }
    prepare_blocks(&j);
    j.row_tasks = (q->maps / q->groups + TASK_M - 1) / TASK_M;
    size_t blocks = q->batch * q->groups * ((q->pixels + q->block - 1) / q->block);
    for (; j.first < blocks; j.first += q->wave) {
        size_t slots = TN_MIN(q->wave, blocks - j.first);
        tn_parallel(host->pool, (int64_t)slots, pack_block, &j);
        tn_parallel(host->pool, (int64_t)(slots * j.row_tasks), multiply_block, &j);
    }
}
