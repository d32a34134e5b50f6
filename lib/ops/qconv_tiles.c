/* Convolution of bytes without unfolding; see qconv_tiles.h. A task goes over its rows for 64 maps before the next ones, whose
 * weights are fetched meanwhile. */
#include "ops/qconv_tiles.h"
#include <stdio.h>

enum { STEP = 64, TILE = 16, LEAST_TILE = 10, CALL_TILES = 4, CALL_MAPS = 64, MOST_PADDING = 4 /* times the image */ };

bool tn_qtiles_plan(tn_qtiles *q, const tn_kernels *kernels, const tn_window *window, size_t channels, size_t maps,
                    size_t wanted_tasks) {
    if (!kernels->qgemm_tiles || window->spatial != 2 || window->dilation[1] != 1) return false;
    if (window->dilation[0] != 1 || window->kernel[0] * window->kernel[1] == 1) return false;
    *q = (tn_qtiles){.layout = tn_qgemm_layout_of(kernels), .channels = channels, .maps = maps};
    size_t padded[2];
    for (int i = 0; i < 2; i++) {
        q->in[i] = (size_t)window->in[i];
        q->out[i] = (size_t)window->out[i];
        q->pad[i] = (size_t)window->pad_begin[i];
        q->kernel[i] = (size_t)window->kernel[i];
        q->stride[i] = (size_t)window->stride[i];
        padded[i] = TN_MAX((q->out[i] - 1) * q->stride[i] + q->kernel[i], q->in[i] + q->pad[i]);
    }
    q->across = (q->out[1] + TILE - 1) / TILE;
    q->tile = (q->out[1] + q->across - 1) / TN_MAX(q->across, (size_t)1);
    if (q->tile < LEAST_TILE || q->tile > q->out[1]) return false;
    /* Steps alike, of whole groups of four. */
    const size_t run = q->kernel[1] * channels, steps = (run + STEP - 1) / STEP;
    q->step = ((run + steps - 1) / steps + 3) / 4 * 4;
    q->k = q->kernel[0] * steps * q->step;
    q->height = padded[0];
    if (!tn_mul_size(padded[1], channels, &q->pitch) || !tn_mul_size(q->pitch, q->height, &q->image_bytes) ||
        !tn_add_size(q->image_bytes, steps * STEP, &q->image_bytes) || padded[0] / MOST_PADDING > q->in[0] ||
        padded[1] / MOST_PADDING > q->in[1])
        return false;
    const size_t chunks = (maps + CALL_MAPS - 1) / CALL_MAPS, most = TN_MIN(wanted_tasks, chunks);
    q->chunk = (chunks + most - 1) / most * CALL_MAPS;
    q->parts = (maps + q->chunk - 1) / q->chunk;
    const size_t blocks = TN_MIN((wanted_tasks + q->parts - 1) / q->parts, q->out[0]);
    q->rows = (q->out[0] + blocks - 1) / blocks;
    q->blocks = (q->out[0] + q->rows - 1) / q->rows;
    return true;
}

typedef struct source {
    const tn_qtiles *q;
    const int8_t *w;
} source;

/* Each run of taps begins a step of its own; what fills its last step is multiplied by 0. */
static void pack(void *dst, const void *context) {
    const source *s = context;
    const tn_qtiles *q = s->q;
    const size_t run = q->kernel[1] * q->channels, all = q->kernel[0] * run, columns = (size_t)q->layout->columns;
    memset(dst, 0, tn_qgemm_b_bytes(q->layout, q->k, q->maps));
    for (size_t map = 0; map < q->maps; map += columns)
        for (size_t row = 0; row < q->kernel[0]; row++)
            tn_qgemm_pack_b(q->layout, (uint8_t *)dst + map * q->k + row * (q->k / q->kernel[0]) * columns,
                            (const uint8_t *)s->w + map * all + row * run, 1, all, run, TN_MIN(columns, q->maps - map),
                            true, 0, NULL);
}

tn_status tn_qtiles_prepare(tn_qtiles *q, tn_prepare *call, int w_in) {
    const source from = {q, call->value[w_in]->data};
    const size_t bytes = tn_qgemm_b_bytes(q->layout, q->k, q->maps);
    char layout[96];
    if (bytes == SIZE_MAX) return tn_fail(TN_E_SHAPE, "the convolution is too large");
    snprintf(layout, sizeof layout, "qconv_tiles %d m=%zu c=%zu k=%zux%zu s=%zu", q->layout->columns, q->maps,
             q->channels, q->kernel[0], q->kernel[1], q->step);
    return tn_prepare_pack(call, w_in, layout, bytes, pack, &from, &q->w);
}

void tn_qtiles_pad(const tn_qtiles *q, uint8_t *image, const uint8_t *x, uint8_t zero, size_t row) {
    uint8_t *to = image + row * q->pitch;
    const size_t left = q->pad[1] * q->channels, width = q->in[1] * q->channels;
    if (row < q->pad[0] || row >= q->pad[0] + q->in[0]) {
        memset(to, zero, q->pitch);
        return;
    }
    memset(to, zero, left);
    memcpy(to + left, x + (row - q->pad[0]) * width, width);
    memset(to + left + width, zero, q->pitch - left - width);
}

/* First output pixel, of all of the image, of tile `tile` of the rows from `row` on. */
static size_t pixel_of(const tn_qtiles *q, size_t row, size_t tile) {
    const size_t column = TN_MIN(tile % q->across * q->tile, q->out[1] - q->tile);
    return (row + tile / q->across) * q->out[1] + column;
}

void tn_qtiles_task(const tn_qtiles *q, const tn_kernels *kernels, const tn_qfinish *finish, uint8_t *y,
                    const uint8_t *image, size_t task, size_t *first, size_t *rows, size_t *from, size_t *until) {
    *first = task / q->parts * q->rows;
    *rows = TN_MIN(q->rows, q->out[0] - *first);
    *from = task % q->parts * q->chunk;
    *until = TN_MIN(*from + q->chunk, q->maps);
    const size_t tiles = *rows * q->across;
    const bool dense = q->across * q->tile == q->out[1];
    for (size_t map = *from; map < *until; map += CALL_MAPS) {
        const size_t n = TN_MIN((size_t)CALL_MAPS, *until - map);
        const uint8_t *panels = (const uint8_t *)q->w + map * q->k;
        for (size_t tile = 0; tile < tiles; tile += CALL_TILES) {
            int32_t sums[CALL_TILES * TILE * CALL_MAPS];
            const uint8_t *at[CALL_TILES];
            size_t count = TN_MIN((size_t)CALL_TILES, tiles - tile), next_bytes;
            for (size_t i = 0; i < count; i++) {
                const size_t pixel = pixel_of(q, *first, tile + i);
                at[i] = image + pixel / q->out[1] * q->stride[0] * q->pitch +
                        pixel % q->out[1] * q->stride[1] * q->channels;
            }
            const void *next = tn_qgemm_next(panels, n * q->k, map + n < *until, tile, count, tiles, &next_bytes);
            const tn_qgemm_taps taps = {
                count, q->tile, at, q->stride[1] * q->channels, q->kernel[0], q->pitch, q->k / q->kernel[0], q->step};
            kernels->qgemm_tiles(&taps, n, panels, sums, CALL_MAPS, next, next_bytes);
            /* Tiles whose pixels follow one another are finished together. */
            for (size_t i = 0; i < count; i += dense ? count : 1)
                kernels->qfinish(y + pixel_of(q, *first, tile + i) * q->maps + map, q->maps,
                                 sums + i * q->tile * CALL_MAPS, CALL_MAPS, (dense ? count : 1) * q->tile, n,
                                 finish->offset + map, finish->scale + map, finish->zero, finish->low, finish->high);
        }
    }
}
