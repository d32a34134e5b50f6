/* Gradients of convolution.
 *
 * By the input: the transposed convolution of dY with the same weights; where windows are one element apart that is the
 * convolution with the weights turned round, which has faster kernels. By the weights: an operator of its own, or (of
 * other types than float32, or of three axes) the convolution of X with dY as kernels, where batch and channels change
 * places and strides become dilations,
 *
 *     X [N, g C, ...] -> [C, g N, ...],   dY [N, M, ...] -> [M, N, ...],   result [C, M, kernel...] -> [M, C, kernel...]
 *
 * with one group of channels for each group. */
#include "ops/window.h"
#include "train/gradient.h"

static int swapped(tn_grad *g, int a) {
    int rank = tn_grad_type(g, a)->rank;
    int64_t perm[TN_MAX_RANK] = {1, 0};
    for (int i = 2; i < rank; i++) perm[i] = i;
    return tn_grad_transpose(g, a, rank, perm);
}

/* W [g M, C, kernel...] -> [g C, M, kernel...], each kernel from its end. */
static int turned_round(tn_grad *g, const tn_window *w, int64_t group) {
    const tn_type type = *tn_grad_type(g, g->node.in[1]);
    const int64_t outputs = type.dims[0] / group, channels = type.dims[1];
    int64_t starts[TN_MAX_SPATIAL], ends[TN_MAX_SPATIAL], axes[TN_MAX_SPATIAL], steps[TN_MAX_SPATIAL];
    int64_t apart[TN_MAX_RANK + 1] = {group, outputs, channels}, joined[TN_MAX_RANK] = {group * channels, outputs};
    int64_t perm[TN_MAX_RANK + 1] = {0, 2, 1};
    int n = 0;
    for (int i = 0; i < w->spatial; i++) {
        apart[3 + i] = joined[2 + i] = w->kernel[i];
        perm[3 + i] = 3 + i;
        if (w->kernel[i] == 1) continue;
        starts[n] = -1;
        ends[n] = INT64_MIN;
        axes[n] = 2 + i;
        steps[n++] = -1;
    }
    int weights = g->node.in[1];
    if (n) {
        int in[] = {weights, tn_grad_ints(g, n, starts), tn_grad_ints(g, n, ends), tn_grad_ints(g, n, axes),
                    tn_grad_ints(g, n, steps)};
        weights = tn_grad_node(g, "Slice", 5, in, NULL);
    }
    if (group == 1) return swapped(g, weights);
    if (outputs > 1 && channels > 1) {
        int rank = w->spatial + 3;
        weights = tn_grad_2(g, "Reshape", weights, tn_grad_ints(g, rank, apart));
        weights = tn_grad_transpose(g, weights, rank, perm);
    }
    return tn_grad_2(g, "Reshape", weights, tn_grad_ints(g, w->spatial + 2, joined));
}

/* Whether the weights turned round do it: then *pads is what is put around dY. */
static bool one_apart(const tn_grad *g, const tn_window *w, int64_t group, int64_t *pads) {
    const tn_type *weights = tn_grad_type(g, g->node.in[1]);
    bool fits = weights->dims[0] > 0 && weights->dims[0] % group == 0 && w->spatial + 3 <= TN_MAX_RANK;
    for (int i = 0; i < w->spatial; i++) {
        int64_t reach = tn_window_reach(w, i) - 1;
        pads[i] = reach - w->pad_begin[i];
        pads[w->spatial + i] = reach - w->pad_end[i];
        fits &= w->stride[i] == 1 && pads[i] >= 0 && pads[w->spatial + i] >= 0;
    }
    return fits;
}

static int by_input(tn_grad *g, const tn_window *w, int64_t group) {
    int64_t around[2 * TN_MAX_SPATIAL];
    if (one_apart(g, w, group, around)) {
        const size_t count = (size_t)w->spatial;
        const tn_attribute turned[] = {{"dilations", TN_ATTR_INTS, .count = count, .ints = w->dilation},
                                       {"pads", TN_ATTR_INTS, .count = 2 * count, .ints = around},
                                       {"group", TN_ATTR_INT, .i = group},
                                       {0}};
        return tn_grad_node(g, "Conv", 2, (int[]){g->out_grad[0], turned_round(g, w, group)}, turned);
    }
    int64_t missing[TN_MAX_SPATIAL], pads[2 * TN_MAX_SPATIAL];
    size_t n = (size_t)w->spatial;
    for (int i = 0; i < w->spatial; i++) {
        int64_t covered = (w->out[i] - 1) * w->stride[i] + tn_window_reach(w, i) - w->pad_begin[i] - w->pad_end[i];
        missing[i] = w->in[i] - covered; /* what no window reached at the end, less than a stride */
        pads[i] = w->pad_begin[i];
        pads[w->spatial + i] = w->pad_end[i];
    }
    tn_attribute attributes[] = {{"strides", TN_ATTR_INTS, .count = n, .ints = w->stride},
                                 {"dilations", TN_ATTR_INTS, .count = n, .ints = w->dilation},
                                 {"pads", TN_ATTR_INTS, .count = 2 * n, .ints = pads},
                                 {"output_padding", TN_ATTR_INTS, .count = n, .ints = missing},
                                 {"group", TN_ATTR_INT, .i = group},
                                 {0}};
    return tn_grad_node(g, "ConvTranspose", 2, (int[]){g->out_grad[0], g->node.in[1]}, attributes);
}

/* X [N, g C, ...] -> [C, g N, ...] */
static int by_group(tn_grad *g, int x, const tn_window *w, int64_t group, int64_t channels) {
    if (group == 1) return swapped(g, x);
    int64_t apart[TN_MAX_RANK + 1] = {0, group, channels}, joined[TN_MAX_RANK] = {channels, -1};
    int64_t perm[TN_MAX_RANK + 1] = {2, 1, 0};
    int rank = w->spatial + 3;
    if (rank > TN_MAX_RANK) {
        tn_grad_fail(g, "a grouped convolution of %d spatial axes has no gradient; at most %d", w->spatial,
                     TN_MAX_RANK - 3);
        return -1;
    }
    for (int i = 0; i < w->spatial; i++) {
        apart[3 + i] = joined[2 + i] = w->in[i];
        perm[3 + i] = 3 + i;
    }
    int parts = tn_grad_2(g, "Reshape", x, tn_grad_ints(g, rank, apart));
    int moved = tn_grad_transpose(g, parts, rank, perm);
    return tn_grad_2(g, "Reshape", moved, tn_grad_ints(g, w->spatial + 2, joined));
}

/* x: what the convolution reads; dy: the gradient of what it gives. */
static int by_weights(tn_grad *g, int x, int dy, const tn_window *w, int64_t group, int64_t channels) {
    if (w->spatial <= 2 && tn_grad_type(g, x)->dtype != TN_FLOAT64) {
        const size_t axes = (size_t)w->spatial;
        int64_t around[2 * TN_MAX_SPATIAL];
        for (int i = 0; i < w->spatial; i++) {
            around[i] = w->pad_begin[i];
            around[w->spatial + i] = w->pad_end[i];
        }
        const tn_attribute sized[] = {{"kernel_shape", TN_ATTR_INTS, .count = axes, .ints = w->kernel},
                                      {"strides", TN_ATTR_INTS, .count = axes, .ints = w->stride},
                                      {"dilations", TN_ATTR_INTS, .count = axes, .ints = w->dilation},
                                      {"pads", TN_ATTR_INTS, .count = 2 * axes, .ints = around},
                                      {"group", TN_ATTR_INT, .i = group},
                                      {0}};
        return tn_grad_node(g, "tenon:ConvWeightGrad", 2, (int[]){dy, x}, sized);
    }
    int64_t pads[2 * TN_MAX_SPATIAL], starts[TN_MAX_SPATIAL] = {0}, axes[TN_MAX_SPATIAL];
    size_t n = (size_t)w->spatial;
    bool longer = false;
    for (int i = 0; i < w->spatial; i++) {
        pads[i] = w->pad_begin[i];
        pads[w->spatial + i] = w->pad_end[i];
        axes[i] = 2 + i;
        int64_t left = w->in[i] + w->pad_begin[i] + w->pad_end[i] - (w->out[i] - 1) * w->stride[i] - 1;
        longer |= left / w->dilation[i] + 1 > w->kernel[i];
    }
    tn_attribute attributes[] = {{"strides", TN_ATTR_INTS, .count = n, .ints = w->dilation},
                                 {"dilations", TN_ATTR_INTS, .count = n, .ints = w->stride},
                                 {"pads", TN_ATTR_INTS, .count = 2 * n, .ints = pads},
                                 {"group", TN_ATTR_INT, .i = group},
                                 {0}};
    int in[] = {by_group(g, x, w, group, channels), swapped(g, dy)};
    int taps = tn_grad_node(g, "Conv", 2, in, attributes);
    if (longer) {
        int cut[] = {taps, tn_grad_ints(g, w->spatial, starts), tn_grad_ints(g, w->spatial, w->kernel),
                     tn_grad_ints(g, w->spatial, axes)};
        taps = tn_grad_node(g, "Slice", 4, cut, NULL);
    }
    return swapped(g, taps);
}

static void by_bias(tn_grad *g, int rank) {
    int64_t axes[TN_MAX_RANK] = {0};
    if (!tn_grad_wants(g, 2)) return;
    for (int i = 2; i < rank; i++) axes[i - 1] = i;
    int sum = tn_grad_reduce(g, "ReduceSum", g->out_grad[0], rank - 1, axes);
    g->in_grad[2] = tn_grad_reshape(g, sum, g->node.in[2]);
}

static tn_status conv(tn_grad *g) {
    const tn_type x = *tn_grad_type(g, g->node.in[0]), weights = *tn_grad_type(g, g->node.in[1]);
    tn_window w;
    bool known = x.rank > 2 && weights.rank == x.rank && weights.dims[1] > 0;
    for (int i = 2; known && i < x.rank; i++) known = x.dims[i] > 0 && weights.dims[i] > 0;
    if (!known) return tn_grad_fail(g, "the sizes of its input's spatial axes and of its kernel must be known");
    TN_TRY(tn_window_decode(&w, &g->node, x.rank - 2, x.dims + 2, weights.dims + 2));
    int64_t group = tn_attr_int(&g->node, "group", 1);
    if (g->wanted[0]) g->in_grad[0] = by_input(g, &w, group);
    if (g->wanted[1]) g->in_grad[1] = by_weights(g, g->node.in[0], g->out_grad[0], &w, group, weights.dims[1]);
    by_bias(g, x.rank);
    return TN_OK;
}

/* The window of the convolution from Y to X. */
static tn_status window_back(tn_grad *g, const tn_type *x, const tn_type *weights, const tn_type *y, tn_window *w) {
    const char *pad = tn_attr_text(&g->node, "auto_pad", "NOTSET");
    const bool upper = strcmp(pad, "SAME_UPPER") == 0, same = upper || strcmp(pad, "SAME_LOWER") == 0;
    TN_TRY(tn_window_attributes(w, &g->node, x->rank - 2, weights->dims + 2));
    for (int i = 0; i < w->spatial; i++) {
        w->in[i] = y->dims[2 + i];
        w->out[i] = x->dims[2 + i];
        const int64_t full = (w->out[i] - 1) * w->stride[i] + tn_window_reach(w, i);
        if (same || tn_node_attr(&g->node, "output_shape")) {
            /* Padding that is not given is what the sizes leave, and so is what is put behind the output. */
            int64_t all = full + tn_attr_int_at(&g->node, "output_padding", i, 0) - w->in[i];
            all = TN_MAX(all, 0);
            w->pad_begin[i] = upper ? all / 2 : all - all / 2;
        } else if (strcmp(pad, "VALID") == 0) {
            w->pad_begin[i] = 0;
        }
        w->pad_end[i] = full - w->in[i] - w->pad_begin[i];
        if (w->pad_end[i] >= 0) continue;
        /* Output behind the last window, which meets no input: less than a stride of it does no harm. */
        if (-w->pad_end[i] >= w->stride[i])
            return tn_grad_fail(g, "more of its output than a stride is padding; that has no gradient");
        w->pad_end[i] = 0;
    }
    return TN_OK;
}

static tn_status conv_transpose(tn_grad *g) {
    const tn_type x = *tn_grad_type(g, g->node.in[0]), weights = *tn_grad_type(g, g->node.in[1]);
    const tn_type y = *tn_grad_type(g, g->node.out[0]);
    const int64_t group = tn_attr_int(&g->node, "group", 1);
    tn_window w;
    bool known = x.rank > 2 && weights.rank == x.rank && y.rank == x.rank && weights.dims[1] > 0;
    for (int i = 2; known && i < x.rank; i++) known = x.dims[i] > 0 && weights.dims[i] > 0 && y.dims[i] > 0;
    if (!known) return tn_grad_fail(g, "the sizes of its input's spatial axes and of its kernel must be known");
    TN_TRY(window_back(g, &x, &weights, &y, &w));
    int64_t pads[2 * TN_MAX_SPATIAL];
    const size_t n = (size_t)w.spatial;
    for (int i = 0; i < w.spatial; i++) {
        pads[i] = w.pad_begin[i];
        pads[w.spatial + i] = w.pad_end[i];
    }
    const tn_attribute attributes[] = {{"strides", TN_ATTR_INTS, .count = n, .ints = w.stride},
                                       {"dilations", TN_ATTR_INTS, .count = n, .ints = w.dilation},
                                       {"pads", TN_ATTR_INTS, .count = 2 * n, .ints = pads},
                                       {"group", TN_ATTR_INT, .i = group},
                                       {0}};
    if (g->wanted[0]) g->in_grad[0] = tn_grad_node(g, "Conv", 2, (int[]){g->out_grad[0], g->node.in[1]}, attributes);
    if (g->wanted[1]) g->in_grad[1] = by_weights(g, g->out_grad[0], g->node.in[0], &w, group, weights.dims[1]);
    by_bias(g, x.rank);
    return TN_OK;
}

const tn_gradient tn_gradients_conv[] = {{"", "Conv", conv}, {"", "ConvTranspose", conv_transpose}, {0}};
