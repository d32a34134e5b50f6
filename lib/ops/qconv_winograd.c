/* Winograd convolution of bytes, block by block of rows of tiles. See qconv_winograd.h.
 *
 * A block's transformed inputs V stay in the second-level cache. The maps are done in chunks: 16 products give M, whose
 * tiles are transformed back, some of a row at a time, and finished while they are in the first-level cache. */
#include "ops/qconv_winograd.h"
#include "kernels/qwinograd.h"
#include "ops/scratch.h"
#include <stdio.h>

enum { CHUNK = 64, RUN = 16, BLOCK_BYTES = 320 << 10, TERMS = TN_QWINOGRAD_TERMS };
/* Multiplications that take as long as transforming: a channel, and a map, of a tile. Gathering: a byte of a pixel. */
enum { INPUT_COST = 35, OUTPUT_COST = 90, GATHER_COST = 4 };

bool tn_qwinograd_plan(tn_qwinograd *q, const tn_qgemm_layout *layout, const tn_window *window, size_t channels,
                       size_t maps, size_t wanted_blocks) {
    if (!layout->words || window->spatial != 2 || channels == 0 || channels > TN_QWINOGRAD_CHANNELS ||
        channels % TN_QWINOGRAD_STEP != 0 || maps % TN_QWINOGRAD_STEP != 0)
        return false;
    *q = (tn_qwinograd){.channels = channels, .maps = maps};
    for (int i = 0; i < 2; i++) {
        if (window->kernel[i] != 3 || window->stride[i] != 1 || window->dilation[i] != 1) return false;
        q->in[i] = (size_t)window->in[i];
        q->out[i] = (size_t)window->out[i];
        q->pad[i] = (size_t)window->pad_begin[i];
    }
    q->rows = (q->out[0] + 1) / 2;
    q->columns = (q->out[1] + 1) / 2;
    const double pixels = (double)q->out[0] * (double)q->out[1], tiles = (double)q->rows * (double)q->columns;
    const double c = (double)channels, m = (double)maps;
    if (tiles * (TERMS * c * m + INPUT_COST * c + OUTPUT_COST * m) > pixels * 9 * c * (m + GATHER_COST)) return false;
    const size_t tile_bytes = TERMS * (channels * sizeof(int16_t) + TN_MIN(maps, (size_t)CHUNK) * sizeof(int32_t));
    q->height = BLOCK_BYTES / tile_bytes / q->columns;
    q->height = TN_MIN(TN_MAX(q->height, 1), (q->rows + wanted_blocks - 1) / wanted_blocks);
    q->blocks = (q->rows + q->height - 1) / q->height;
    q->height = (q->rows + q->blocks - 1) / q->blocks; /* all alike */
    q->blocks = (q->rows + q->height - 1) / q->height;
    size_t count;
    return tn_mul_size(q->height, q->columns, &count) &&
           tn_scratch_add(&q->slot_bytes, count, TERMS * channels * sizeof(int16_t)) &&
           tn_scratch_add(&q->slot_bytes, count, (size_t)TERMS * CHUNK * sizeof(int32_t));
}

typedef struct source {
    const tn_qwinograd *q;
    const int8_t *w;
} source;

static void pack(void *dst, const void *context) {
    const source *s = context;
    tn_qwinograd_pack(dst, s->w, s->q->maps, s->q->channels);
}

tn_status tn_qwinograd_prepare(tn_qwinograd *q, tn_prepare *call, int w_in) {
    const source from = {q, call->value[w_in]->data};
    size_t bytes;
    char layout[64];
    if (!tn_mul_size(q->channels * q->maps, TERMS * sizeof(int16_t), &bytes))
        return tn_fail(TN_E_SHAPE, "the convolution is too large");
    snprintf(layout, sizeof layout, "qwinograd %d m=%zu c=%zu", TN_QWINOGRAD_STEP, q->maps, q->channels);
    const void *packed;
    TN_TRY(tn_prepare_pack(call, w_in, layout, bytes, pack, &from, &packed));
    q->u = packed;
    return TN_OK;
}

/* V of the tiles of rows [first, first + height). */
static void transform_inputs(const tn_qwinograd *q, const tn_kernels *kernels, int16_t *v, size_t step,
                             const uint8_t *x, const uint8_t *padding, size_t first, size_t height) {
    for (size_t row = first; row < first + height; row++)
        for (size_t column = 0; column < q->columns; column++, v += q->channels) {
            const uint8_t *patch[16];
            for (size_t i = 0; i < 16; i++) { /* before the image, numbers wrap to great ones */
                const size_t r = 2 * row + i / 4 - q->pad[0], c = 2 * column + i % 4 - q->pad[1];
                patch[i] = r < q->in[0] && c < q->in[1] ? x + (r * q->in[1] + c) * q->channels : padding;
            }
            kernels->qwinograd_input(v, step, patch, q->channels);
        }
}

void tn_qwinograd_block(const tn_qwinograd *q, const tn_kernels *kernels, const tn_qfinish *finish, uint8_t *y,
                        const uint8_t *x, const uint8_t *padding, size_t block, void *slot, size_t *out_first,
                        size_t *out_rows) {
    const size_t first = block * q->height, height = TN_MIN(q->height, q->rows - first), tiles = height * q->columns;
    uint8_t *at = slot;
    int16_t *v = tn_scratch_take(&at, q->height * q->columns, TERMS * q->channels * sizeof(int16_t));
    int32_t *m = tn_scratch_take(&at, q->height * q->columns, (size_t)TERMS * CHUNK * sizeof(int32_t));
    const size_t v_step = tiles * q->channels;
    *out_first = 2 * first;
    *out_rows = TN_MIN(2 * height, q->out[0] - *out_first);
    transform_inputs(q, kernels, v, v_step, x, padding, first, height);
    for (size_t map = 0; map < q->maps; map += CHUNK) {
        const size_t n = TN_MIN((size_t)CHUNK, q->maps - map), m_step = tiles * n;
        for (size_t e = 0; e < TERMS; e++)
            kernels->qwinograd_product(tiles, n, q->channels, v + e * v_step, q->u + (e * q->maps + map) * q->channels,
                                       m + e * m_step, n);
        for (size_t row = 0; row < height; row++)
            for (size_t column = 0; column < q->columns; column += RUN) {
                int32_t sums[2][2 * RUN * CHUNK];
                const size_t count = TN_MIN((size_t)RUN, q->columns - column);
                for (size_t t = 0; t < count; t++)
                    kernels->qwinograd_output(&sums[0][2 * t * n], (size_t)2 * RUN * CHUNK, n,
                                              m + (row * q->columns + column + t) * n, m_step, n);
                const size_t wide = TN_MIN(2 * count, q->out[1] - 2 * column);
                for (size_t r = 0, to = 2 * (first + row); r < 2 && to + r < q->out[0]; r++)
                    kernels->qfinish(y + ((to + r) * q->out[1] + 2 * column) * q->maps + map, q->maps, sums[r], n, wide,
                                     n, finish->offset + map, finish->scale + map, finish->zero, finish->low,
                                     finish->high);
            }
    }
}
