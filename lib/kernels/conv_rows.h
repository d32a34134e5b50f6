/* The depthwise convolution kernels, once for all instruction sets; see depthwise.h. Include after vec_<level>.h, with
 * CONV_OVERLAY defined.
 *
 * Usual kernels (3x3 and 5x5, 1 or 2 apart) take several output rows at once: a vector of the input is loaded once and
 * serves all rows whose window it is in; weights stay in registers. Where a vector reaches over an end of the row, only
 * what is inside is loaded. Other kernels take several vectors of one row of a padded copy. */
#include "kernels/kernels.h"
#include "kernels/activate.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#if VF_WIDTH == 1
#define MULTIPLY_ADD(a, b, c) vf_add(vf_mul(a, b), c)
#else
#define MULTIPLY_ADD(a, b, c) vf_fma(a, b, c)
#endif
#define MOST_ROWS 4

/* A vector's sums are done: the residual, the activation, and to the output. */
ALWAYS_INLINE void finish(const tn_depthwise_f32 *d, size_t row, size_t column, vf x) {
    const tn_epilogue *e = &d->epilogue;
    size_t left = d->width - column;
    float *y = d->y + row * d->y_stride + column;
    if (e->residual) {
        const float *z = e->residual + row * e->residual_stride + column;
        x = vf_add(x, left >= VF_WIDTH ? vf_load(z) : vf_load_n(z, left));
    }
    if (e->activation == TN_ACT_CLIP)
        x = vf_min(vf_set(e->beta), vf_max(vf_set(e->alpha), x));
    else if (e->activation == TN_ACT_HARD_SWISH)
        x = activate_hard_swish(x);
    else if (e->activation != TN_ACT_NONE)
        x = activate_vector(x, e);
    if (left >= VF_WIDTH)
        vf_store(y, x);
    else
        vf_store_n(y, x, left);
}

/* Lanes of a vector at column `at` of a row that lie within its width. */
ALWAYS_INLINE vf inside(const float *row, ptrdiff_t at, ptrdiff_t width) {
    ptrdiff_t from = at < 0 ? -at : 0, to = width - at;
    if (from > VF_WIDTH) from = VF_WIDTH;
    if (to > VF_WIDTH) to = VF_WIDTH;
    return vf_load_part(row + at, (size_t)from, (size_t)(to > from ? to : from));
}

/* What the kernel's taps of one row meet, the first of them at column `at`. edge: that may be padding. */
ALWAYS_INLINE void row_taps(const float *row, ptrdiff_t at, ptrdiff_t width, int kernel, int stride, bool edge, vf *v) {
#pragma GCC unroll 5
    for (int j = 0; j < kernel; j++) {
        if (stride == 1) {
            v[j] = edge ? inside(row, at + j, width) : vf_load(row + at + j);
        } else if (j % 2 == 0) {
            vf low = edge ? inside(row, at + j, width) : vf_load(row + at + j);
            vf high = edge ? inside(row, at + j + VF_WIDTH, width) : vf_load(row + at + j + VF_WIDTH);
            v[j] = vf_even(low, high);
            if (j + 1 < kernel) v[j + 1] = vf_odd(low, high);
        }
    }
}

/* A vector of each of `rows` rows of the output. */
ALWAYS_INLINE void square_vectors(const tn_depthwise_f32 *d, size_t row, size_t column, int kernel, int stride,
                                  int rows, bool edge, const vf *w) {
    vf acc[MOST_ROWS];
    const float *const *x = d->x_rows + row * (size_t)stride;
    ptrdiff_t at = (ptrdiff_t)column * stride - (ptrdiff_t)d->pad;
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) acc[r] = vf_set(d->bias);
#pragma GCC unroll 11
    for (int i = 0; i < (rows - 1) * stride + kernel; i++) {
        vf v[5];
        row_taps(x[i], at, (ptrdiff_t)d->x_width, kernel, stride, edge, v);
#pragma GCC unroll 5
        for (int j = 0; j < kernel; j++) {
#pragma GCC unroll 4
            for (int r = 0; r < rows; r++) {
                int k = i - r * stride;
                if (k >= 0 && k < kernel) acc[r] = MULTIPLY_ADD(v[j], w[k * kernel + j], acc[r]);
            }
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) finish(d, row + (size_t)r, column, acc[r]);
}

/* `rows` rows of the output from row `row` on. All but d and row are constants. */
ALWAYS_INLINE void square_rows(const tn_depthwise_f32 *d, size_t row, int kernel, int stride, int rows) {
    vf w[5 * 5];
#pragma GCC unroll 25
    for (int i = 0; i < kernel * kernel; i++) w[i] = vf_set(d->weights[i]);
    for (size_t column = 0; column < d->width; column += VF_WIDTH) {
        size_t at = column * (size_t)stride, reach = (size_t)(kernel - 1 + VF_WIDTH * stride);
        if (at >= d->pad && at - d->pad + reach <= d->x_width)
            square_vectors(d, row, column, kernel, stride, rows, false, w);
        else
            square_vectors(d, row, column, kernel, stride, rows, true, w);
    }
}

#define SQUARE(kernel, stride)                                                                                         \
    static void square_##kernel##_##stride(const tn_depthwise_f32 *d) {                                                \
        size_t row = 0;                                                                                                \
        for (; row + 4 <= d->rows; row += 4) square_rows(d, row, kernel, stride, 4);                                   \
        for (; row + 2 <= d->rows; row += 2) square_rows(d, row, kernel, stride, 2);                                   \
        if (row < d->rows) square_rows(d, row, kernel, stride, 1);                                                     \
    }
SQUARE(3, 1)
SQUARE(3, 2)
SQUARE(5, 1)
SQUARE(5, 2)

static void depthwise_square_f32(const tn_depthwise_f32 *d) {
    if (d->kernel_h == 3)
        (d->stride_y == 1 ? square_3_1 : square_3_2)(d);
    else
        (d->stride_y == 1 ? square_5_1 : square_5_2)(d);
}

/* `vecs` vectors of a row with any kernel. */
ALWAYS_INLINE void any_vectors(const tn_depthwise_f32 *d, size_t row, size_t column, int vecs) {
    vf acc[4];
    const float *x = d->x + row * d->stride_y * d->x_stride + column, *w = d->weights;
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) acc[v] = vf_set(d->bias);
    for (size_t i = 0; i < d->kernel_h; i++, x += d->dilation_y * d->x_stride)
        for (size_t j = 0; j < d->kernel_w; j++, w++) {
            vf s = vf_set(*w);
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++) acc[v] = MULTIPLY_ADD(vf_load(x + d->offset[j] + v * VF_WIDTH), s, acc[v]);
        }
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) finish(d, row, column + (size_t)v * VF_WIDTH, acc[v]);
}

static void depthwise_f32(const tn_depthwise_f32 *d) {
    for (size_t row = 0; row < d->rows; row++) {
        size_t column = 0;
        for (; column + 4 * VF_WIDTH <= d->width; column += 4 * VF_WIDTH) any_vectors(d, row, column, 4);
        for (; column < d->width; column += VF_WIDTH) any_vectors(d, row, column, 1);
    }
}

/* `count` positions of one vector of lanes from `at` on. taps 0: any number, else a constant, of weights in registers. */
ALWAYS_INLINE void lanes(const tn_depthwise_lanes_f32 *d, size_t at, size_t lane, const vf *w, int taps, int count) {
    vf acc[4], bias = vf_load(d->bias + lane);
    const float *x = d->x + lane, *weights = d->weights + lane;
    const uint32_t *offset = d->offset + at * d->taps;
    size_t all = taps ? (size_t)taps : d->taps;
#pragma GCC unroll 4
    for (int p = 0; p < count; p++) acc[p] = bias;
    for (size_t t = 0; t < all; t++) {
        vf s = taps ? w[t] : vf_load(weights + t * TN_DEPTHWISE_LANES);
#pragma GCC unroll 4
        for (int p = 0; p < count; p++) acc[p] = MULTIPLY_ADD(vf_load(x + offset[(size_t)p * all + t]), s, acc[p]);
    }
    if (d->epilogue.activation == TN_ACT_CLIP) {
#pragma GCC unroll 4
        for (int p = 0; p < count; p++)
            acc[p] = vf_min(vf_set(d->epilogue.beta), vf_max(vf_set(d->epilogue.alpha), acc[p]));
    }
#pragma GCC unroll 4
    for (int p = 0; p < count; p++) vf_store(d->y + (at + (size_t)p) * TN_DEPTHWISE_LANES + lane, acc[p]);
}

ALWAYS_INLINE void lanes_of(const tn_depthwise_lanes_f32 *d, int taps) {
    for (size_t lane = 0; lane < TN_DEPTHWISE_LANES; lane += VF_WIDTH) {
        vf w[9];
        size_t at = 0;
#pragma GCC unroll 9
        for (int t = 0; t < taps; t++) w[t] = vf_load(d->weights + t * TN_DEPTHWISE_LANES + lane);
        for (; at + 4 <= d->positions; at += 4) lanes(d, at, lane, w, taps, 4);
        for (; at < d->positions; at++) lanes(d, at, lane, w, taps, 1);
    }
}

static void depthwise_lanes_f32(const tn_depthwise_lanes_f32 *d) {
    if (d->taps == 9)
        lanes_of(d, 9);
    else
        lanes_of(d, 0);
    if (d->epilogue.activation != TN_ACT_CLIP) activate(1, d->positions * TN_DEPTHWISE_LANES, d->y, 0, &d->epilogue);
}

void CONV_OVERLAY(tn_kernels *table);
void CONV_OVERLAY(tn_kernels *table) {
    table->depthwise_f32 = depthwise_f32;
    table->depthwise_square_f32 = depthwise_square_f32;
    table->depthwise_lanes_f32 = depthwise_lanes_f32;
}
