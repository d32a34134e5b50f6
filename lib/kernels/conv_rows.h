/* The depthwise convolution kernels, once for all instruction sets; see depthwise.h. Include after vec_<level>.h, with
 * CONV_OVERLAY defined.
 *
 * Usual kernels (3x3 and 5x5, with steps of 1 or 2) take several output rows at once: a vector of the input is loaded
 * once and serves all rows whose window it is in; rows of padding are passed over. Where loads have masks, rows are read
 * where they lie, and lanes of padding are masked. Other kernels take several vectors of one row. */
#include "kernels/kernels.h"
#include "kernels/activate.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#if VF_WIDTH == 1
#define MULTIPLY_ADD(a, b, c) vf_add(vf_mul(a, b), c)
#else
#define MULTIPLY_ADD(a, b, c) vf_fma(a, b, c)
#endif
#define IN_PLACE (VF_WIDTH == 16)
/* Of 5x5: each sum waits 25 times for the one before. Without vectors nothing is loaded less often by more rows. */
#define MOST_ROWS (IN_PLACE ? 7 : VF_WIDTH > 1 ? 4 : 2)
#define SOME_ROWS (VF_WIDTH > 1 ? 4 : 2)
#define MOST_VECS (IN_PLACE ? 1 : 2)

/* What the vectors of some rows share. */
typedef struct square {
    const float *x[(MOST_ROWS - 1) * 2 + 5]; /* NULL: a row of padding */
    vf w[5 * 5], bias, low, high;            /* low, high: what sums are cut to */
    float *y;
    size_t y_stride;
#if IN_PLACE
    ptrdiff_t in_width, pad;
#else
    size_t odd; /* where a row's odd columns begin, for steps of 2 */
#endif
} square;

#if IN_PLACE
/* Steps of 2 take every other lane of two vectors: those of taps j and j + 1 lie in the same two. */
typedef vm tap_masks[6];

ALWAYS_INLINE void find_taps(const square *s, size_t column, int kernel, int stride_x, vm *inside) {
#pragma GCC unroll 6
    for (int j = 0; j < kernel + stride_x - 1; j++) {
        const int from = stride_x == 1 ? j : j / 2 * 2 + j % 2 * VF_WIDTH;
        inside[j] = vm_inside((ptrdiff_t)column * stride_x + from - s->pad, s->in_width);
    }
}
ALWAYS_INLINE vf load_tap(const square *s, const float *x, size_t column, int stride_x, int j, const vm *inside) {
    const int first = stride_x == 1 ? j : j / 2 * 2;
    x += (ptrdiff_t)column * stride_x + first - s->pad;
    if (stride_x == 1) return vf_load_where(inside[j], x);
    const vf low = vf_load_where(inside[first], x), high = vf_load_where(inside[first + 1], x + VF_WIDTH);
    return j % 2 ? vf_odd(low, high) : vf_even(low, high);
}
#else
typedef int tap_masks[1];

ALWAYS_INLINE void find_taps(const square *s, size_t column, int kernel, int stride_x, int *inside) {
    (void)s, (void)column, (void)kernel, (void)stride_x, (void)inside;
}
ALWAYS_INLINE vf load_tap(const square *s, const float *x, size_t column, int stride_x, int j, const int *inside) {
    (void)inside;
    return vf_load(x + column + (stride_x == 1 ? (size_t)j : (size_t)(j % 2) * s->odd + (size_t)(j / 2)));
}
#endif

/* `vecs` vectors of each of `rows` rows of the output; left: lanes of the last that are wanted. */
ALWAYS_INLINE void square_vectors(const square *s, size_t column, int kernel, int stride_y, int stride_x, int rows,
                                  int vecs, size_t left) {
    vf acc[MOST_ROWS][MOST_VECS];
    tap_masks inside;
    find_taps(s, column, kernel, stride_x, inside);
#pragma GCC unroll 7
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int c = 0; c < vecs; c++) acc[r][c] = s->bias;
#pragma GCC unroll 11
    for (int i = 0; i < (rows - 1) * stride_y + kernel; i++) {
        if (!s->x[i]) continue;
#pragma GCC unroll 5
        for (int j = 0; j < kernel; j++) {
            vf v[MOST_VECS];
#pragma GCC unroll 2
            for (int c = 0; c < vecs; c++)
                v[c] = load_tap(s, s->x[i], column + (size_t)(c * VF_WIDTH), stride_x, j, inside);
#pragma GCC unroll 7
            for (int r = 0; r < rows; r++) {
                int k = i - r * stride_y;
                if (k < 0 || k >= kernel) continue;
#pragma GCC unroll 2
                for (int c = 0; c < vecs; c++) acc[r][c] = MULTIPLY_ADD(v[c], s->w[k * kernel + j], acc[r][c]);
            }
        }
    }
#pragma GCC unroll 7
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int c = 0; c < vecs; c++) {
            float *y = s->y + (size_t)r * s->y_stride + column + c * VF_WIDTH;
            vf sum = vf_min(s->high, vf_max(s->low, acc[r][c]));
            if (left < VF_WIDTH)
                vf_store_n(y, sum, left);
            else
                vf_store(y, sum);
        }
}

/* `rows` rows of the output from row `row` on; all but d and row are constants. The last vector of a row overlaps the one
 * before it, if there is one. Sums of 25 terms each wait for the one before: 5x5 takes two vectors side by side. */
ALWAYS_INLINE void square_rows(const tn_depthwise_f32 *d, size_t row, int kernel, int stride_y, int stride_x,
                               int rows) {
    const size_t width = d->width;
    const bool clip = d->epilogue.activation == TN_ACT_CLIP;
    square s = {
        .bias = vf_set(d->bias),
        .low = vf_set(clip ? d->epilogue.alpha : -INFINITY),
        .high = vf_set(clip ? d->epilogue.beta : INFINITY),
        .y = d->y + row * d->y_stride,
        .y_stride = d->y_stride,
#if IN_PLACE
        .in_width = d->in_width,
        .pad = d->pad_x
    };
#else
        .odd = d->offset[1]
    };
#endif
#pragma GCC unroll 25
    for (int i = 0; i < kernel * kernel; i++) s.w[i] = vf_set(d->weights[i]);
#pragma GCC unroll 11
    for (int i = 0; i < (rows - 1) * stride_y + kernel; i++) s.x[i] = d->x_rows[row * (size_t)stride_y + (size_t)i];
    const size_t last = width < VF_WIDTH ? 0 : width - VF_WIDTH;
    size_t column = 0;
    if (kernel == 5 && MOST_VECS == 2)
        for (; column + 2 * VF_WIDTH <= width; column += 2 * VF_WIDTH)
            square_vectors(&s, column, kernel, stride_y, stride_x, rows, 2, VF_WIDTH);
    for (; column < width; column += VF_WIDTH)
        square_vectors(&s, TN_LEAST(column, last), kernel, stride_y, stride_x, rows, 1, width);
}

/* `most` rows side by side, then fewer. */
#define SQUARE(kernel, stride_y, stride_x, most)                                                                       \
    static void square_##kernel##_##stride_y##_##stride_x(const tn_depthwise_f32 *d) {                                 \
        size_t row = 0;                                                                                                \
        for (; most > 2 && row + most <= d->rows; row += most) square_rows(d, row, kernel, stride_y, stride_x, most);  \
        for (; row + 2 <= d->rows; row += 2) square_rows(d, row, kernel, stride_y, stride_x, 2);                       \
        if (row < d->rows) square_rows(d, row, kernel, stride_y, stride_x, 1);                                         \
    }
SQUARE(3, 1, 1, SOME_ROWS)
SQUARE(3, 2, 1, SOME_ROWS)
SQUARE(3, 2, 2, SOME_ROWS)
SQUARE(5, 1, 1, MOST_ROWS)
SQUARE(5, 2, 1, SOME_ROWS)
SQUARE(5, 2, 2, SOME_ROWS)

static void depthwise_square_f32(const tn_depthwise_f32 *d) {
    static void (*const kernels[2][3])(const tn_depthwise_f32 *) = {{square_3_1_1, square_3_2_1, square_3_2_2},
                                                                    {square_5_1_1, square_5_2_1, square_5_2_2}};
    kernels[d->kernel_h == 5][d->stride_y - 1 + d->stride_x - 1](d);
    if (d->epilogue.activation == TN_ACT_CLIP) return;
    const bool dense = d->y_stride == d->width;
    activate(dense ? 1 : d->rows, dense ? d->rows * d->width : d->width, d->y, d->y_stride, &d->epilogue);
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
    for (int v = 0; v < vecs; v++) {
        float *y = d->y + row * d->y_stride + column + v * VF_WIDTH;
        size_t left = d->width - column - (size_t)v * VF_WIDTH;
        if (left < VF_WIDTH)
            vf_store_n(y, acc[v], left);
        else
            vf_store(y, acc[v]);
    }
}

static void depthwise_f32(const tn_depthwise_f32 *d) {
    for (size_t row = 0; row < d->rows; row++) {
        size_t column = 0;
        for (; column + 4 * VF_WIDTH <= d->width; column += 4 * VF_WIDTH) any_vectors(d, row, column, 4);
        for (; column < d->width; column += VF_WIDTH) any_vectors(d, row, column, 1);
    }
    activate(d->rows, d->width, d->y, d->y_stride, &d->epilogue);
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
    table->depthwise_in_place = IN_PLACE;
}
