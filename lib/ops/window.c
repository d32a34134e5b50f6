/* Window geometry. See window.h. Attribute values are hostile: they are bounded so that no later sum overflows. */
#include "ops/window.h"

#define LIMIT ((int64_t)1 << 40) /* of any stride, dilation, pad, kernel size or reach */

/* Reads a list attribute of `count` numbers in [low, LIMIT] into values, or fills it with `fallback` if it is absent. */
static tn_status read_list(const tn_node *node, const char *name, int count, int64_t low, int64_t fallback,
                           int64_t *values) {
    size_t given;
    const int64_t *list = tn_attr_ints(node, name, &given);
    if (list && given != (size_t)count)
        return tn_fail(TN_E_INVALID, "attribute %s has %zu values; the input's shape asks for %d", name, given, count);
    for (int i = 0; i < count; i++) {
        values[i] = list ? list[i] : fallback;
        if (values[i] < low || values[i] > LIMIT)
            return tn_fail(TN_E_INVALID, "attribute %s has %lld; expected %lld to 2^40", name, (long long)values[i],
                           (long long)low);
    }
    return TN_OK;
}

tn_status tn_window_attributes(tn_window *window, const tn_node *node, int spatial, const int64_t *kernel) {
    if (spatial < 1 || spatial > TN_MAX_SPATIAL)
        return tn_fail(TN_E_SHAPE, "%d spatial axes; expected 1 to %d after the batch and the channels", spatial,
                       TN_MAX_SPATIAL);
    int64_t given[TN_MAX_SPATIAL], pads[2 * TN_MAX_SPATIAL];
    bool has_kernel = tn_node_attr(node, "kernel_shape") != NULL;
    if (!kernel && !has_kernel) return tn_fail(TN_E_INVALID, "attribute kernel_shape is required");
    TN_TRY(read_list(node, "kernel_shape", spatial, 1, 1, given));
    TN_TRY(read_list(node, "strides", spatial, 1, 1, window->stride));
    TN_TRY(read_list(node, "dilations", spatial, 1, 1, window->dilation));
    TN_TRY(read_list(node, "pads", 2 * spatial, 0, 0, pads));
    window->spatial = spatial;
    for (int i = 0; i < spatial; i++) {
        int64_t reach;
        window->pad_begin[i] = pads[i];
        window->pad_end[i] = pads[i + spatial];
        window->kernel[i] = kernel && kernel[i] >= 0 ? kernel[i] : has_kernel ? given[i] : -1;
        if (has_kernel && window->kernel[i] != given[i])
            return tn_fail(TN_E_SHAPE, "attribute kernel_shape says %lld for spatial axis %d but the weights have %lld",
                           (long long)given[i], i, (long long)window->kernel[i]);
        if (window->kernel[i] == 0) return tn_fail(TN_E_SHAPE, "the kernel is empty along spatial axis %d", i);
        if (__builtin_mul_overflow(window->kernel[i] - 1, window->dilation[i], &reach) || reach >= LIMIT)
            return tn_fail(TN_E_INVALID, "a kernel of %lld with dilation %lld reaches too far",
                           (long long)window->kernel[i], (long long)window->dilation[i]);
    }
    return TN_OK;
}

typedef enum { PAD_EXPLICIT, PAD_UPPER, PAD_LOWER, PAD_VALID } padding;

static tn_status read_padding(const tn_node *node, padding *out) {
    *out = PAD_EXPLICIT;
    static const char *const names[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"};
    const char *text = tn_attr_text(node, "auto_pad", "NOTSET");
    for (size_t i = 0; i < TN_COUNT(names); i++) {
        if (strcmp(text, names[i]) != 0) continue;
        *out = (padding)i;
        return TN_OK;
    }
    return tn_fail(TN_E_INVALID, "auto_pad is '%.40s'; expected NOTSET, SAME_UPPER, SAME_LOWER or VALID", text);
}

/* SAME: as many positions as strides fit the input, and the padding that this takes. */
static void same_axis(tn_window *w, int i, padding kind) {
    w->pad_begin[i] = w->pad_end[i] = 0;
    if (w->in[i] < 0) {
        w->out[i] = w->stride[i] == 1 ? w->in[i] : -1;
        return;
    }
    w->out[i] = w->in[i] / w->stride[i] + (w->in[i] % w->stride[i] != 0);
    if (w->kernel[i] < 0 || w->out[i] == 0) return;
    int64_t total = TN_MAX((w->out[i] - 1) * w->stride[i] + tn_window_reach(w, i) - w->in[i], 0);
    w->pad_begin[i] = kind == PAD_UPPER ? total / 2 : total - total / 2;
    w->pad_end[i] = total - w->pad_begin[i];
}

static tn_status explicit_axis(tn_window *w, int i, bool ceil_mode) {
    int64_t pads = w->pad_begin[i] + w->pad_end[i];
    w->out[i] = -1;
    if (w->kernel[i] < 0) return TN_OK;
    if (w->in[i] < 0) {
        if (w->stride[i] == 1 && pads == tn_window_reach(w, i) - 1) w->out[i] = w->in[i];
        return TN_OK;
    }
    int64_t room = w->in[i] + pads - tn_window_reach(w, i);
    if (room < 0)
        return tn_fail(TN_E_SHAPE, "spatial axis %d has %lld elements, %lld with padding; the kernel reaches over %lld",
                       i, (long long)w->in[i], (long long)(w->in[i] + pads), (long long)tn_window_reach(w, i));
    w->out[i] = room / w->stride[i] + 1;
    /* One more position where elements are left over, unless it would start in the end's padding. */
    if (ceil_mode && room % w->stride[i] != 0 && w->out[i] * w->stride[i] < w->in[i] + w->pad_begin[i]) w->out[i]++;
    return TN_OK;
}

tn_status tn_window_decode(tn_window *window, const tn_node *node, int spatial, const int64_t *in_dims,
                           const int64_t *kernel) {
    padding kind;
    TN_TRY(tn_window_attributes(window, node, spatial, kernel));
    TN_TRY(read_padding(node, &kind));
    bool ceil_mode = kind == PAD_EXPLICIT && tn_attr_int(node, "ceil_mode", 0) != 0;
    for (int i = 0; i < spatial; i++) {
        window->in[i] = in_dims[i];
        if (in_dims[i] > LIMIT)
            return tn_fail(TN_E_SHAPE, "spatial axis %d has %lld elements; too many", i, (long long)in_dims[i]);
        if (kind == PAD_UPPER || kind == PAD_LOWER) {
            same_axis(window, i, kind);
            continue;
        }
        if (kind == PAD_VALID) window->pad_begin[i] = window->pad_end[i] = 0;
        TN_TRY(explicit_axis(window, i, ceil_mode));
    }
    return TN_OK;
}

void tn_window_drop_unit_axes(tn_window *w) {
    int kept = 0;
    for (int i = 0; i < w->spatial; i++) {
        bool unit = w->in[i] == 1 && w->out[i] == 1 && w->kernel[i] == 1 && w->pad_begin[i] == 0;
        if (unit && (kept > 0 || i + 1 < w->spatial)) continue;
        w->in[kept] = w->in[i];
        w->out[kept] = w->out[i];
        w->kernel[kept] = w->kernel[i];
        w->stride[kept] = w->stride[i];
        w->dilation[kept] = w->dilation[i];
        w->pad_begin[kept] = w->pad_begin[i];
        w->pad_end[kept] = w->pad_end[i];
        kept++;
    }
    w->spatial = kept;
}
