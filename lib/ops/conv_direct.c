/* The product of conv_image.c with few outputs: the kernel reads the copy where it lies, by a table of offsets.
 *
 * Output positions are taken either row by row, or, where rows are narrow or do not fill vectors well, through the whole
 * padded plane, with what falls between rows thrown away: whichever makes fewer vectors. */
#include "ops/conv_image.h"

void tn_conv_direct_count(tn_conv_image *c, int64_t columns, int64_t lanes) {
    const tn_window *w = &c->shape.window;
    int last = w->spatial - 1;
    int64_t rows = c->shape.out_plane / w->out[last], through = 1;
    for (int i = 0; i <= last; i++) through += (w->out[i] - 1) * c->stride[i];
    int64_t vectors = (w->out[last] + lanes - 1) / lanes, whole = (through + columns - 1) / columns;
    /* A tile of fewer vectors takes longer for each: about as if there were half a vector more. */
    int64_t by_row = rows * (2 * vectors + (vectors * lanes % columns != 0));
    c->rows = by_row <= 2 * whole * (columns / lanes);
    c->row_panels = (w->out[last] + columns - 1) / columns;
    c->panels = c->rows ? rows * c->row_panels : whole;
}

/* Where positions [at, at + n) of the padded plane lie in the output: the next run of them. at and n move past what is
 * between rows; returns the length of the run, 0 at the end. */
static int64_t next_run(const tn_conv_image *c, int64_t *at, int64_t *n, int64_t *out) {
    const tn_window *w = &c->shape.window;
    int last = w->spatial - 1;
    while (*n > 0) {
        int64_t place = *at % c->length[last], outer = *at / c->length[last];
        int64_t count = TN_MIN(*n, c->length[last] - place), step = w->out[last];
        bool inside = place < w->out[last];
        *out = place;
        for (int i = last - 1; i >= 0; i--) {
            int64_t o = i ? outer % c->length[i] : outer;
            inside &= o < w->out[i];
            *out += o * step;
            step *= w->out[i];
            outer /= c->length[i];
        }
        if (inside) return TN_MIN(count, w->out[last] - place);
        *at += count;
        *n -= count;
    }
    return 0;
}

/* A tile that was made apart, of `rows` rows from `row` on: adds the residual, and puts the runs where they belong. */
static void place_tile(const tn_conv_image_call *r, const tn_epilogue *e, float *tile, size_t rows, int64_t at,
                       float *y) {
    const tn_conv_image *c = r->c;
    size_t columns = c->product.columns, plane = (size_t)c->shape.out_plane;
    int64_t n = (int64_t)columns, start = at, out, count;
    if (e->residual) {
        while ((count = next_run(c, &at, &n, &out)) > 0) {
            for (size_t i = 0; i < rows; i++)
                r->kernels->scatter_add_f32((size_t)count, e->residual + i * plane + out,
                                            tile + i * columns + (at - start), 1);
            at += count;
            n -= count;
        }
        r->kernels->activate_f32(rows * columns, tile, e);
        at = start;
        n = (int64_t)columns;
    }
    while ((count = next_run(c, &at, &n, &out)) > 0) {
        r->kernels->gather_rows_f32(rows, (size_t)count, tile + (at - start), columns, 1, y + out, plane);
        at += count;
        n -= count;
    }
}

/* One panel through the plane: tile by tile. */
static void whole_panel(const tn_conv_image_call *r, const tn_gemm_f32 *all, int64_t at, float *y,
                        const tn_epilogue *e) {
    const tn_product *p = &r->c->product;
    float *tile = r->own + (size_t)tn_worker_index() * r->c->own_floats;
    for (size_t row = 0; row < all->m; row += p->rows) {
        tn_gemm_f32 g = *all;
        g.m = TN_MIN(p->rows, all->m - row);
        g.a = all->a + row * p->k;
        g.c = tile;
        g.c_stride = p->columns;
        if (g.epilogue.row_bias) g.epilogue.row_bias += row;
        tn_epilogue rest = *e;
        if (rest.residual) {
            rest.residual += row * (size_t)r->c->shape.out_plane;
            g.epilogue.activation = TN_ACT_NONE;
        }
        r->kernels->gemm_f32(&g);
        place_tile(r, &rest, tile, g.m, at, y + row * (size_t)r->c->shape.out_plane);
    }
}

void tn_conv_direct_task(void *context, int64_t index) {
    const tn_conv_image_call *r = context;
    const tn_conv_image *c = r->c;
    const tn_conv_shape *s = &c->shape;
    const tn_product *p = &c->product;
    const tn_window *w = &s->window;
    int last = w->spatial - 1;
    const tn_product_part part = tn_product_place(p, (size_t)index % p->tasks);
    size_t group = (size_t)index / p->tasks, plane = (size_t)s->out_plane, row = part.row;
    size_t at = (group * p->m + row) * plane;
    int64_t first = (int64_t)(part.column / p->columns), end = (int64_t)((part.column + part.columns) / p->columns);
    const float *copy = r->copy + (int64_t)group * (s->channels / s->group) * c->channel_size;
    tn_epilogue e = *r->epilogue;
    if (e.row_bias) e.row_bias += group * p->m + row;
    if (e.residual) e.residual += at;
    tn_gemm_f32 g = {.m = part.rows,
                     .k = p->k,
                     .rows = p->rows,
                     .a = r->w + (group * p->m + row) * p->k,
                     .a_panel = p->rows * p->k,
                     .b_offset = c->offsets,
                     .c_stride = plane,
                     .first = true,
                     .last = true};
    for (int64_t panel = first; panel < end; panel++) {
        g.epilogue = e;
        g.epilogue.residual_stride = plane;
        if (!c->rows) {
            g.n = p->columns;
            g.b = copy + panel * (int64_t)p->columns;
            g.epilogue.residual = NULL;
            whole_panel(r, &g, panel * (int64_t)p->columns, r->y + at, &e);
            continue;
        }
        int64_t outer = panel / c->row_panels, x = panel % c->row_panels * (int64_t)p->columns;
        int64_t out = outer * w->out[last] + x;
        g.n = (size_t)TN_MIN((int64_t)p->columns, w->out[last] - x);
        g.b = copy + x + tn_conv_image_row(c, outer);
        g.c = r->y + at + out;
        if (g.epilogue.residual) g.epilogue.residual += out;
        r->kernels->gemm_f32(&g);
    }
}
