/* The matrix of a convolution, a panel at a time ("implicit im2col"); see conv.h.
 *
 * A panel's columns are output positions, which fall into runs along a row of the output. For one tap, a run's input is
 * a run as well (at the stride), the same in all channels: so the work goes by runs and taps, with all channels of the
 * block inside. */
#include "ops/conv.h"

/* Positions [from, to) of a run whose input at tap offset `start` + i * stride lies inside [0, size). */
static void inside(int64_t start, int64_t stride, int64_t count, int64_t size, int64_t *from, int64_t *to) {
    *from = start < 0 ? (-start + stride - 1) / stride : 0;
    *to = start < size ? (size - 1 - start) / stride + 1 : 0;
    *from = TN_MIN(*from, count);
    *to = TN_MAX(TN_MIN(*to, count), *from);
}

static void clear_rows(float *dst, size_t step, size_t rows, int64_t count) {
    for (size_t r = 0; r < rows && count > 0; r++, dst += step)
        for (int64_t i = 0; i < count; i++) dst[i] = 0;
}

/* Where the input row begins for outer kernel tap `tap` (all axes but the last) of output row `row`; -1: in padding. */
static int64_t input_row(const tn_window *w, int64_t row, int64_t tap) {
    int64_t at = 0, step = w->in[w->spatial - 1];
    for (int axis = w->spatial - 2; axis >= 0; axis--) {
        int64_t i =
            row % w->out[axis] * w->stride[axis] - w->pad_begin[axis] + tap % w->kernel[axis] * w->dilation[axis];
        if (i < 0 || i >= w->in[axis]) return -1;
        at += i * step;
        step *= w->in[axis];
        row /= w->out[axis];
        tap /= w->kernel[axis];
    }
    return at;
}

static const float *image_panel(const tn_panels *panels, const tn_product *p, size_t column, size_t n, size_t k,
                                size_t k_count, float *buffer, size_t *out_stride) {
    const tn_conv_shape *s = panels->context;
    const tn_window *w = &s->window;
    int last = w->spatial - 1;
    int64_t width = w->out[last], stride = w->stride[last], kernel = w->kernel[last];
    size_t taps = (size_t)s->taps, channels = k_count / taps, step = taps * p->columns, plane = (size_t)s->in_plane;
    const float *x = panels->b + k / taps * plane;
    *out_stride = p->columns;
    if (n < p->columns) memset(buffer, 0, k_count * p->columns * sizeof *buffer);
    for (int64_t done = 0; done < (int64_t)n;) {
        int64_t row = ((int64_t)column + done) / width, x0 = ((int64_t)column + done) % width;
        int64_t count = TN_MIN((int64_t)n - done, width - x0);
        float *dst = buffer + done;
        for (int64_t tap = 0; tap < s->taps; tap += kernel) {
            int64_t from, to, in_row = input_row(w, row, tap / kernel);
            for (int64_t j = 0; j < kernel; j++, dst += p->columns) {
                int64_t start = x0 * stride - w->pad_begin[last] + j * w->dilation[last];
                inside(start, stride, in_row < 0 ? 0 : count, w->in[last], &from, &to);
                clear_rows(dst, step, channels, from);
                if (from < to)
                    p->kernels->gather_rows_f32(channels, (size_t)(to - from), x + in_row + start + from * stride,
                                                plane, (size_t)stride, dst + from, step);
                clear_rows(dst + to, step, channels, count - to);
            }
        }
        done += count;
    }
    return buffer;
}

tn_panels tn_panels_image(const float *x, const tn_conv_shape *shape) {
    return (tn_panels){.make = image_panel, .b = x, .context = shape};
}
