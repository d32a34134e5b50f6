/* The matrix of a convolution, a panel at a time ("implicit im2col"); see conv.h.
 *
 * A panel's columns are output positions, which fall into runs along a row of the output. For one tap, a run's input is
 * a run as well (at the stride), the same in all channels: so the work goes by runs and taps, with all channels of the
 * block inside. */
#include "ops/conv.h"

static void clear_rows(float *dst, size_t step, size_t rows, int64_t count) {
    for (size_t r = 0; r < rows && count > 0; r++, dst += step)
        for (int64_t i = 0; i < count; i++) dst[i] = 0;
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
            int64_t from, to, in_row = tn_window_row(w, row, tap / kernel);
            for (int64_t j = 0; j < kernel; j++, dst += p->columns) {
                int64_t start = x0 * stride - w->pad_begin[last] + j * w->dilation[last];
                tn_window_inside(start, stride, in_row < 0 ? 0 : count, w->in[last], &from, &to);
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
