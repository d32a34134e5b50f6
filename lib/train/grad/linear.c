/* Gradients of operators that are linear along each axis by itself. Along an axis of n elements such an operator is a matrix
 * [n, m], which is what it makes of the unit matrix; the gradient is the product with that matrix turned round. Where less
 * does it, less is done: repeats are added up, zeros put around are cut off again. */
#include "graph/op.h"
#include "train/gradient.h"

static int unit_matrix(tn_grad *g, tn_dtype dtype, int64_t n) {
    if (g->status != TN_OK) return -1;
    if (n > 1 << 14) {
        tn_grad_fail(g, "an axis of %lld elements is too long for its gradient", (long long)n);
        return -1;
    }
    tn_tensor *t = tn_graph_tensor(g->graph, dtype, 2, (int64_t[]){n, n}, NULL);
    int value = t ? tn_graph_add_constant(g->graph, "", t) : -1;
    if (value < 0) g->status = TN_E_MEMORY;
    for (int64_t i = 0; value >= 0 && i < n; i++)
        if (dtype == TN_FLOAT64)
            ((double *)t->data)[i * n + i] = 1;
        else
            ((float *)t->data)[i * n + i] = 1;
    return value;
}

/* a times the matrix [n, m], turned round, along an axis. */
static int turned_product(tn_grad *g, int a, int matrix, int axis) {
    const int rank = tn_grad_type(g, a)->rank;
    if (axis == rank - 2) return tn_grad_2(g, "MatMul", matrix, a);
    int64_t perm[TN_MAX_RANK];
    for (int i = 0; i < rank; i++) perm[i] = i == axis ? rank - 1 : i == rank - 1 ? axis : i;
    if (axis < rank - 1) a = tn_grad_transpose(g, a, rank, perm);
    tn_attribute attributes[] = {{"transB", TN_ATTR_INT, .i = 1}, {0}};
    a = tn_grad_node(g, "com.microsoft:FusedMatMul", 2, (int[]){a, matrix}, attributes);
    return axis < rank - 1 ? tn_grad_transpose(g, a, rank, perm) : a;
}

static const tn_tensor *contents(const tn_grad *g, int in) {
    int v = tn_grad_in(g, in);
    return v >= 0 ? g->graph->values[v].constant : NULL;
}

/* Which axes an operator speaks of: those of input `in`, or the attribute, or all of them. */
static int axes_of(const tn_grad *g, int in, int rank, int *axes) {
    size_t count = 0;
    const int64_t *given = tn_attr_ints(&g->node, "axes", &count);
    const tn_tensor *t = in < 0 ? NULL : contents(g, in);
    if (in >= 0 && tn_grad_in(g, in) >= 0 && !t) return -1;
    if (t) count = (size_t)tn_count(t);
    if (!t && !given) count = (size_t)rank;
    if (count > TN_MAX_RANK) return -1;
    for (size_t i = 0; i < count; i++) {
        int64_t axis = t       ? (t->dtype == TN_INT32 ? ((const int32_t *)t->data)[i] : ((const int64_t *)t->data)[i])
                       : given ? given[i]
                               : (int64_t)i;
        axes[i] = (int)(axis < 0 ? axis + rank : axis);
    }
    return (int)count;
}

static int scale_of(tn_grad *g, float scale) {
    if (g->status != TN_OK) return -1;
    tn_tensor *t = tn_graph_tensor(g->graph, TN_FLOAT32, 1, (int64_t[]){1}, NULL);
    if (t) *(float *)t->data = scale;
    int value = t ? tn_graph_add_constant(g->graph, "", t) : -1;
    if (value < 0) g->status = TN_E_MEMORY;
    return value;
}

static tn_status resize(tn_grad *g) {
    const tn_type x = *tn_grad_type(g, g->node.in[0]), y = *tn_grad_type(g, g->node.out[0]);
    const tn_tensor *scales = contents(g, 2);
    int axes[TN_MAX_RANK], dy = g->out_grad[0], count = x.rank < 0 ? -1 : axes_of(g, -1, x.rank, axes);
    if (count < 0 || y.rank != x.rank) return tn_grad_fail(g, "the ranks of its input and output must be known");
    if (strcmp(tn_attr_text(&g->node, "coordinate_transformation_mode", "half_pixel"), "tf_crop_and_resize") == 0)
        return tn_grad_fail(g, "tf_crop_and_resize has no gradient");
    if (tn_grad_in(g, 2) >= 0 && (!scales || scales->dtype != TN_FLOAT32))
        return tn_grad_fail(g, "its scales must be known beforehand");
    for (int i = 0; i < count; i++) {
        const int axis = axes[i];
        const bool by_scale = scales && tn_count(scales) == count;
        if (by_scale && ((const float *)scales->data)[i] == 1) continue;
        if (!by_scale && x.dims[axis] == y.dims[axis] && x.dims[axis] != -1) continue;
        if (x.dims[axis] < 0 || y.dims[axis] < 0)
            return tn_grad_fail(g, "the sizes of axis %d must be known beforehand", axis);
        int64_t last = 1, out = y.dims[axis];
        tn_attribute attributes[] = {{"axes", TN_ATTR_INTS, .count = 1, .ints = &last},
                                     {"keep_aspect_ratio_policy", TN_ATTR_STRING, .s = "stretch"},
                                     {0}};
        int in[4] = {unit_matrix(g, x.dtype == TN_FLOAT64 ? TN_FLOAT64 : TN_FLOAT32, x.dims[axis]), -1, -1, -1};
        if (by_scale)
            in[2] = scale_of(g, ((const float *)scales->data)[i]);
        else
            in[3] = tn_grad_ints(g, 1, &out);
        dy = turned_product(g, dy, tn_grad_alike(g, "Resize", by_scale ? 3 : 4, in, attributes), axis);
    }
    g->in_grad[0] = dy;
    return TN_OK;
}

/* Of a constant border: what lies inside of it, which is the same operator with the pads' signs changed. */
static tn_status pad(tn_grad *g) {
    const tn_type x = *tn_grad_type(g, g->node.in[0]);
    const tn_tensor *pads = contents(g, 1);
    const char *mode = tn_attr_text(&g->node, "mode", "constant");
    int axes[TN_MAX_RANK], dy = g->out_grad[0], count = x.rank < 0 ? -1 : axes_of(g, 3, x.rank, axes);
    if (count < 0 || !pads || pads->dtype != TN_INT64 || tn_count(pads) != 2 * count)
        return tn_grad_fail(g, "its pads, its axes and the rank of its input must be known beforehand");
    const int64_t *at = pads->data;
    int64_t back[2 * TN_MAX_RANK] = {0};
    if (strcmp(mode, "constant") == 0) {
        for (int i = 0; i < count; i++) {
            back[axes[i]] = -at[i];
            back[x.rank + axes[i]] = -at[count + i];
        }
        g->in_grad[0] = tn_grad_2(g, "Pad", dy, tn_grad_ints(g, 2 * x.rank, back));
        return TN_OK;
    }
    for (int i = 0; i < count; i++) {
        const int axis = axes[i];
        if (!at[i] && !at[count + i]) continue;
        if (x.dims[axis] < 0) return tn_grad_fail(g, "the size of axis %d must be known beforehand", axis);
        const int64_t own[] = {0, at[i], 0, at[count + i]};
        const tn_attribute attributes[] = {{"mode", TN_ATTR_STRING, .s = mode}, {0}};
        int matrix = tn_grad_node(g, "Pad", 2,
                                  (int[]){unit_matrix(g, x.dtype == TN_FLOAT64 ? TN_FLOAT64 : TN_FLOAT32, x.dims[axis]),
                                          tn_grad_ints(g, 4, own)},
                                  attributes);
        dy = turned_product(g, dy, matrix, axis);
    }
    g->in_grad[0] = dy;
    return TN_OK;
}

/* Axis `axis` as two, [outer, inner]. */
static int split_axis(tn_grad *g, int a, int axis, int64_t outer, int64_t inner) {
    const tn_type type = *tn_grad_type(g, a);
    int64_t dims[TN_MAX_RANK + 1];
    int unknown = 0;
    for (int i = 0; i < type.rank; i++) {
        int64_t dim = type.dims[i] >= 0 ? type.dims[i] : i < axis ? 0 : -1;
        unknown += dim == -1;
        dims[i + (i > axis)] = dim;
    }
    dims[axis] = outer;
    dims[axis + 1] = inner;
    if (unknown > 1 || type.rank + 1 > TN_MAX_RANK) {
        tn_grad_fail(g, "it has too many axes, or too many of unknown size");
        return -1;
    }
    return tn_grad_2(g, "Reshape", a, tn_grad_ints(g, type.rank + 1, dims));
}

static tn_status tile(tn_grad *g) {
    const tn_type x = *tn_grad_type(g, g->node.in[0]);
    const tn_tensor *repeats = contents(g, 1);
    if (x.rank < 0 || !repeats || repeats->dtype != TN_INT64 || tn_count(repeats) != x.rank)
        return tn_grad_fail(g, "its repeats and the rank of its input must be known beforehand");
    int dy = g->out_grad[0];
    for (int axis = 0; axis < x.rank; axis++) {
        int64_t times = ((const int64_t *)repeats->data)[axis];
        if (times == 1) continue;
        if (x.dims[axis] < 0) return tn_grad_fail(g, "the size of axis %d must be known beforehand", axis);
        const tn_attribute attributes[] = {{"keepdims", TN_ATTR_INT, .i = 0}, {0}};
        int64_t outer = axis;
        int apart = split_axis(g, dy, axis, times, x.dims[axis]);
        dy = tn_grad_node(g, "ReduceSum", 2, (int[]){apart, tn_grad_ints(g, 1, &outer)}, attributes);
    }
    g->in_grad[0] = dy;
    return TN_OK;
}

static tn_status cumulative_sum(tn_grad *g) {
    const tn_attribute attributes[] = {{"reverse", TN_ATTR_INT, .i = !tn_attr_int(&g->node, "reverse", 0)}, {0}};
    g->in_grad[0] = tn_grad_alike(g, "CumSum", 2, (int[]){g->out_grad[0], g->node.in[1]}, attributes);
    return TN_OK;
}

/* Operators that are their own gradient: applied to it, with the other inputs as they are. */
static tn_status itself(tn_grad *g) {
    int in[] = {g->out_grad[0], tn_grad_in(g, 1)};
    g->in_grad[0] = tn_grad_alike(g, g->node.op->name, in[1] < 0 ? 1 : 2, in, NULL);
    return TN_OK;
}

/* [N, C b b, H, W] to [N, C, H b, W b] in the order of channels, rows, columns (CRD), or of rows, columns, channels. */
static tn_status depth_to_space(tn_grad *g) {
    int dy = g->out_grad[0];
    const int64_t b = tn_attr_int(&g->node, "blocksize", 1);
    const tn_type x = *tn_grad_type(g, g->node.in[0]);
    if (strcmp(tn_attr_text(&g->node, "mode", "DCR"), "CRD") != 0) {
        const tn_attribute attributes[] = {{"blocksize", TN_ATTR_INT, .i = b}, {0}};
        g->in_grad[0] = tn_grad_node(g, "SpaceToDepth", 1, &dy, attributes);
        return TN_OK;
    }
    for (int i = 1; i < 4; i++)
        if (x.rank != 4 || x.dims[i] < 0) return tn_grad_fail(g, "the sizes of its input must be known beforehand");
    const int64_t apart[] = {0, x.dims[1] / (b * b), x.dims[2], b, x.dims[3], b}, perm[] = {0, 1, 3, 5, 2, 4};
    int parts = tn_grad_2(g, "Reshape", dy, tn_grad_ints(g, 6, apart));
    g->in_grad[0] = tn_grad_reshape(g, tn_grad_transpose(g, parts, 6, perm), g->node.in[0]);
    return TN_OK;
}
static tn_status space_to_depth(tn_grad *g) {
    const tn_attribute attributes[] = {{"blocksize", TN_ATTR_INT, .i = tn_attr_int(&g->node, "blocksize", 1)}, {0}};
    g->in_grad[0] = tn_grad_node(g, "DepthToSpace", 1, &g->out_grad[0], attributes);
    return TN_OK;
}

const tn_gradient tn_gradients_linear[] = {
    {"", "Resize", resize},
    {"", "Pad", pad},
    {"", "Tile", tile},
    {"", "CumSum", cumulative_sum},
    {"", "Trilu", itself},
    {"", "DepthToSpace", depth_to_space},
    {"", "SpaceToDepth", space_to_depth},
    {0},
};
