/* The transforms of Winograd convolution, once for all instruction sets; see winograd.h. Include after vec_<level>.h,
 * with WINOGRAD_OVERLAY defined.
 *
 * Lanes are tiles. Neighbouring tiles begin 4 elements apart, so the image is first split into sixteen planes by row and
 * column modulo 4: then an element of the patch is the same place in one of the planes for all tiles, shifted by at most
 * one. Vectors run through the planes, whose rows have one place more than there are tiles; what is computed there is
 * dropped when results are put close together. */
#include "kernels/kernels.h"
#include "kernels/activate.h"
#include "kernels/winograd.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#if VF_WIDTH == 1
#define MULTIPLY_ADD(a, b, c) vf_add(vf_mul(a, b), c)
#else
#define MULTIPLY_ADD(a, b, c) vf_fma(a, b, c)
#endif
/* The points, their squares and cubes. */
#define POINT_A 0.70710678118654752f
#define POINT_B 1.41421356237309505f
#define CUBE_A 0.35355339059327376f
#define CUBE_B 2.82842712474619010f

/* Zeros from p on, and up to a vector too many. */
ALWAYS_INLINE void clear(float *p, size_t n) {
    if (n > 0) vf_store(p, vf_set(0));
    for (size_t i = VF_WIDTH; i < n; i += VF_WIDTH) vf_store(p + i, vf_set(0));
}

/* A line of 4 * n floats to four of n, `step` apart; up to a vector is written behind each, and 4 read. */
static void split_line(const float *line, size_t n, float *dst, size_t step) {
    for (size_t i = 0; i < n; i += VF_WIDTH, line += 4 * VF_WIDTH) {
        vf a = vf_load(line), b = vf_load(line + VF_WIDTH), c = vf_load(line + 2 * VF_WIDTH);
        vf d = vf_load(line + 3 * VF_WIDTH);
        vf even_0 = vf_even(a, b), odd_0 = vf_odd(a, b), even_1 = vf_even(c, d), odd_1 = vf_odd(c, d);
        vf_store(dst + i, vf_even(even_0, even_1));
        vf_store(dst + step + i, vf_even(odd_0, odd_1));
        vf_store(dst + 2 * step + i, vf_odd(even_0, even_1));
        vf_store(dst + 3 * step + i, vf_odd(odd_0, odd_1));
    }
}

/* Lines are padded rows. They and the planes' rows are made in rising order, since each is written a little too far. */
static void split(const tn_winograd_input *w, float *planes, size_t plane, float *lines) {
    size_t pitch = w->columns + 1, length = 4 * pitch, count = 4 * w->rows + 2;
    size_t before = w->left < 0 ? TN_LEAST((size_t)-w->left, length) : 0, from = w->left > 0 ? (size_t)w->left : 0;
    size_t width = from < w->width ? TN_LEAST(w->width - from, length - before) : 0;
    float *line = lines;
    for (size_t i = 0; i < 16; i++) clear(planes + i * plane + w->rows * pitch, plane - w->rows * pitch);
    for (size_t row = 0; row < count; row++, line += length) {
        ptrdiff_t y = w->top + (ptrdiff_t)row;
        if (y < 0 || (size_t)y >= w->height) {
            clear(line, length);
            continue;
        }
        const float *x = w->x + (size_t)y * w->width + from;
        size_t i = 0;
        clear(line, before);
        for (; i + VF_WIDTH <= width; i += VF_WIDTH) vf_store(line + before + i, vf_load(x + i));
        if (i < width) vf_store(line + before + i, vf_load_n(x + i, width - i));
        clear(line + before + width, length - before - width);
    }
    clear(line, 4 * VF_WIDTH);
    for (size_t row = 0; row < count; row++)
        split_line(lines + row * length, pitch, planes + row % 4 * 4 * plane + row / 4 * pitch, plane);
}

ALWAYS_INLINE void input_transform(const vf *d, vf *t) {
    vf a = vf_set(POINT_A), b = vf_set(POINT_B), minus_two = vf_set(-2), minus_half = vf_set(-0.5f);
    vf far = vf_set(-2.5f);
    vf even_a = MULTIPLY_ADD(minus_two, d[2], d[4]), odd_a = MULTIPLY_ADD(minus_two, d[1], d[3]);
    vf even_b = MULTIPLY_ADD(minus_half, d[2], d[4]), odd_b = MULTIPLY_ADD(minus_half, d[1], d[3]);
    t[0] = vf_add(MULTIPLY_ADD(far, d[2], d[4]), d[0]);
    t[1] = MULTIPLY_ADD(a, odd_a, even_a);
    t[2] = MULTIPLY_ADD(vf_neg(a), odd_a, even_a);
    t[3] = MULTIPLY_ADD(b, odd_b, even_b);
    t[4] = MULTIPLY_ADD(vf_neg(b), odd_b, even_b);
    t[5] = vf_add(MULTIPLY_ADD(far, d[3], d[5]), d[1]);
}

ALWAYS_INLINE void output_transform(const vf *m, vf *y) {
    vf a = vf_set(POINT_A), b = vf_set(POINT_B), two = vf_set(2), half = vf_set(0.5f);
    vf cube_a = vf_set(CUBE_A), cube_b = vf_set(CUBE_B);
    vf sum_a = vf_add(m[1], m[2]), difference_a = vf_sub(m[1], m[2]);
    vf sum_b = vf_add(m[3], m[4]), difference_b = vf_sub(m[3], m[4]);
    y[0] = vf_add(vf_add(m[0], sum_a), sum_b);
    y[1] = MULTIPLY_ADD(b, difference_b, vf_mul(a, difference_a));
    y[2] = MULTIPLY_ADD(two, sum_b, vf_mul(half, sum_a));
    y[3] = vf_add(MULTIPLY_ADD(cube_b, difference_b, vf_mul(cube_a, difference_a)), m[5]);
}

/* Where lanes [first, end) of a vector go: from tile `tile` on. */
typedef struct part {
    size_t first, end, tile;
} part;

/* Puts a vector's tiles to their places. Parts are in falling order, so that the lanes before each part, which do not
 * belong there, are written over by what comes next. */
ALWAYS_INLINE void put(float *v, size_t step, const vf *x, const part *parts, int count) {
    if (count == 1 && parts->first == 0 && parts->end == VF_WIDTH) {
        for (size_t i = 0; i < TN_WINOGRAD_TERMS; i++) vf_store(v + i * step + parts->tile, x[i]);
        return;
    }
    for (; count > 0; count--, parts++) {
        float *to = v + parts->tile - parts->first;
        size_t end = parts->end;
        for (size_t i = 0; i < TN_WINOGRAD_TERMS; i++) vf_store_n(to + i * step, x[i], end);
    }
}

static void winograd_input_f32(const tn_winograd_input *w) {
    size_t pitch = w->columns + 1, plane = tn_winograd_plane(w->rows, w->columns), last = w->rows * pitch - 1;
    float *planes = w->buffer;
    split(w, planes, plane, planes + 16 * plane);
    for (size_t at = (last - 1) / VF_WIDTH * VF_WIDTH + VF_WIDTH; at > 0;) {
        vf d[TN_WINOGRAD_PATCH], u[TN_WINOGRAD_PATCH], t[TN_WINOGRAD_TERMS];
        part parts[VF_WIDTH];
        int count = 0;
        at -= VF_WIDTH;
        for (size_t end = TN_LEAST(at + VF_WIDTH, last); end > at;) {
            size_t row = (end - 1) / pitch, begin = row * pitch, stop = TN_LEAST(end, begin + w->columns);
            size_t first = begin > at ? begin : at;
            if (stop > first) parts[count++] = (part){first - at, stop - at, row * w->columns + first - begin};
            end = first;
        }
#pragma GCC unroll 6
        for (size_t i = 0; i < TN_WINOGRAD_PATCH; i++) {
            const float *from = planes + i % 4 * 4 * plane + i / 4 * pitch + at;
#pragma GCC unroll 6
            for (size_t j = 0; j < TN_WINOGRAD_PATCH; j++) d[j] = vf_load(from + j % 4 * plane + j / 4);
            input_transform(d, t + i * TN_WINOGRAD_PATCH);
        }
        for (int j = 0; j < TN_WINOGRAD_PATCH; j++) {
#pragma GCC unroll 6
            for (int i = 0; i < TN_WINOGRAD_PATCH; i++) d[i] = t[i * TN_WINOGRAD_PATCH + j];
            input_transform(d, u);
#pragma GCC unroll 6
            for (int i = 0; i < TN_WINOGRAD_PATCH; i++) t[i * TN_WINOGRAD_PATCH + j] = u[i];
        }
        put(w->v, w->step, t, parts, count);
    }
}

/* Four vectors to one line in which their lanes take turns. */
ALWAYS_INLINE void weave_line(const vf *y, float *line) {
    vf a = vf_zip_low(y[0], y[2]), b = vf_zip_high(y[0], y[2]), c = vf_zip_low(y[1], y[3]);
    vf d = vf_zip_high(y[1], y[3]);
    vf_store(line, vf_zip_low(a, c));
    vf_store(line + VF_WIDTH, vf_zip_high(a, c));
    vf_store(line + 2 * VF_WIDTH, vf_zip_low(b, d));
    vf_store(line + 3 * VF_WIDTH, vf_zip_high(b, d));
}

/* A row of the output from its line: bias, residual and clipping. */
static void finish_row(const tn_winograd_output *w, const float *line, float *y, const float *residual) {
    const tn_epilogue *e = &w->epilogue;
    bool clip = e->activation == TN_ACT_CLIP;
    vf bias = vf_set(w->bias), low = vf_set(clip ? e->alpha : 0), high = vf_set(clip ? e->beta : 0);
    for (size_t i = 0; i < w->width; i += VF_WIDTH) {
        size_t left = w->width - i;
        vf x = vf_add(vf_load(line + i), bias);
        if (residual) x = vf_add(x, left >= VF_WIDTH ? vf_load(residual + i) : vf_load_n(residual + i, left));
        if (clip) x = vf_min(high, vf_max(low, x));
        if (left >= VF_WIDTH)
            vf_store(y + i, x);
        else
            vf_store_n(y + i, x, left);
    }
}

static void winograd_output_f32(const tn_winograd_output *w) {
    size_t tiles = w->rows * w->columns, line = 4 * (tiles + TN_WINOGRAD_SLACK);
    for (size_t at = 0; at < tiles; at += VF_WIDTH) {
        vf m[TN_WINOGRAD_PATCH], t[TN_WINOGRAD_TILE][TN_WINOGRAD_PATCH], y[TN_WINOGRAD_TILE];
#pragma GCC unroll 6
        for (size_t j = 0; j < TN_WINOGRAD_PATCH; j++) {
            const float *from = w->m + j * w->step + at;
#pragma GCC unroll 6
            for (size_t i = 0; i < TN_WINOGRAD_PATCH; i++) m[i] = vf_load(from + i * TN_WINOGRAD_PATCH * w->step);
            output_transform(m, y);
#pragma GCC unroll 4
            for (int i = 0; i < TN_WINOGRAD_TILE; i++) t[i][j] = y[i];
        }
#pragma GCC unroll 4
        for (size_t i = 0; i < TN_WINOGRAD_TILE; i++) {
            output_transform(t[i], y);
            weave_line(y, w->buffer + i * line + 4 * at);
        }
    }
    const tn_epilogue *e = &w->epilogue;
    for (size_t row = 0; row < w->height; row++)
        finish_row(w, w->buffer + row % 4 * line + row / 4 * w->columns * 4, w->y + row * w->width,
                   e->residual ? e->residual + row * w->width : NULL);
    if (e->activation != TN_ACT_CLIP) activate(1, w->height * w->width, w->y, 0, e);
}

void WINOGRAD_OVERLAY(tn_kernels *table);
void WINOGRAD_OVERLAY(tn_kernels *table) {
    table->winograd_input_f32 = winograd_input_f32;
    table->winograd_output_f32 = winograd_output_f32;
}
