/* Gradients of convolution, written as convolutions.
 *
 * By the input: the transposed convolution of dY with the same weights. By the weights: the convolution of X with dY as
 * kernels, where batch and channels change places and strides become dilations,
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

static int by_input(tn_grad *g, const tn_window *w, int64_t group) {
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

static int by_weights(tn_grad *g, const tn_window *w, int64_t group, int64_t channels) {
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
    int in[] = {by_group(g, g->node.in[0], w, group, channels), swapped(g, g->out_grad[0])};
    int taps = tn_grad_node(g, "Conv", 2, in, attributes);
    if (longer) {
        int cut[] = {taps, tn_grad_ints(g, w->spatial, starts), tn_grad_ints(g, w->spatial, w->kernel),
                     tn_grad_ints(g, w->spatial, axes)};
        taps = tn_grad_node(g, "Slice", 4, cut, NULL);
    }
    return swapped(g, taps);
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
    if (g->wanted[1]) g->in_grad[1] = by_weights(g, &w, group, weights.dims[1]);
    if (tn_grad_wants(g, 2)) {
        int64_t axes[TN_MAX_RANK] = {0};
        for (int i = 2; i < x.rank; i++) axes[i - 1] = i;
        int sum = tn_grad_reduce(g, "ReduceSum", g->out_grad[0], x.rank - 1, axes);
        g->in_grad[2] = tn_grad_reshape(g, sum, g->node.in[2]);
    }
    return TN_OK;
}

const tn_gradient tn_gradients_conv[] = {{"", "Conv", conv}, {0}};
