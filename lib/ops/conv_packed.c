/* The product of conv_image.c with many outputs: panels are packed, each from the pieces of the copy's rows that its
 * positions take. */
#include "ops/conv_image.h"

typedef struct image_panels {
    tn_panels panels; /* first */
    const tn_conv_image_call *call;
    const float *copy; /* of the group */
} image_panels;

/* Columns from `column` on, in the copy's rows: the pieces that they consist of. */
static size_t find_runs(const tn_conv_image *c, size_t column, size_t n, tn_gather_run *run) {
    const tn_window *w = &c->shape.window;
    int64_t width = w->out[w->spatial - 1], at = (int64_t)column, end = at + (int64_t)n;
    size_t count = 0;
    while (at < end) {
        int64_t x = at % width, length = TN_MIN(width - x, end - at);
        run[count++] = (tn_gather_run){
            .from = (size_t)(tn_conv_image_row(c, at / width) + x), .to = (size_t)at - column, .count = (size_t)length};
        at += length;
    }
    return count;
}

static void image_panel(const tn_panels *panels, const tn_product *p, size_t column, size_t n, size_t k, size_t k_count,
                        float *buffer, tn_gemm_f32 *call) {
    const image_panels *image = (const image_panels *)(const void *)panels;
    const tn_conv_image *c = image->call->c;
    call->b = buffer;
    call->b_stride = p->columns;
    call->b_panel = p->columns * k_count;
    for (size_t j = 0; j < n; j += p->columns, buffer += call->b_panel) {
        tn_gather_run run[TN_GATHER_RUNS];
        size_t count = find_runs(c, column + j, TN_MIN(p->columns, n - j), run);
        image->call->kernels->gather_runs_f32(k_count, image->copy, c->offsets + k, count, run, buffer, p->columns);
    }
}

/* Panels of bfloat16: pieces are put together some rows at a time, in floats. */
static void image_panel_bf16(const tn_panels *panels, const tn_product *p, size_t column, size_t n, uint16_t *dst) {
    enum { CHUNK = 2 * TN_BF16_STEP };
    const image_panels *image = (const image_panels *)(const void *)panels;
    const tn_conv_image *c = image->call->c;
    const tn_kernels *kernels = image->call->kernels;
    tn_gather_run run[TN_GATHER_RUNS];
    size_t count = find_runs(c, column, n, run);
    if (count == 1) {
        kernels->pack_panel_bf16(p->k, n, image->copy + run[0].from, 0, c->offsets, dst);
        return;
    }
    float rows[CHUNK * TN_BF16_COLUMNS + TN_CONV_SLACK];
    for (size_t k = 0; k < p->k; k += CHUNK, dst += CHUNK * TN_BF16_COLUMNS) {
        size_t chunk = TN_MIN((size_t)CHUNK, p->k - k);
        kernels->gather_runs_f32(chunk, image->copy, c->offsets + k, count, run, rows, TN_BF16_COLUMNS);
        kernels->pack_panel_bf16(chunk, n, rows, TN_BF16_COLUMNS, NULL, dst);
    }
}

void tn_conv_packed_task(void *context, int64_t index) {
    const tn_conv_image_call *r = context;
    const tn_conv_image *c = r->c;
    const tn_conv_shape *s = &c->shape;
    const tn_product *p = &c->product;
    size_t group = (size_t)index / p->tasks, plane = (size_t)s->out_plane, at = group * p->m * plane;
    image_panels panels = {{.make = image_panel, .make_bf16 = image_panel_bf16}, r, r->copy};
    panels.copy += (int64_t)group * (s->channels / s->group) * c->channel_size;
    tn_epilogue e = *r->epilogue;
    if (e.row_bias) e.row_bias += group * p->m;
    if (e.residual) e.residual += at;
    e.residual_stride = plane;
    tn_product_task(p, (size_t)index % p->tasks, r->w + group * tn_product_a_offset(p, p->m), &panels.panels, r->y + at,
                    plane, &e, r->own + (size_t)tn_worker_index() * c->own_floats);
}
