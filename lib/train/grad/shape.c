/* Gradients of operators that move elements: the same elements, moved back; those read several times are added up. */
#include "train/gradient.h"

static tn_status back_to_shape(tn_grad *g) {
    g->in_grad[0] = tn_grad_reshape(g, g->out_grad[0], g->node.in[0]);
    return TN_OK;
}

static tn_status identity(tn_grad *g) {
    g->in_grad[0] = g->out_grad[0];
    return TN_OK;
}

static tn_status expand(tn_grad *g) {
    g->in_grad[0] = tn_grad_unbroadcast(g, g->out_grad[0], g->node.in[0]);
    return TN_OK;
}

static tn_status transpose(tn_grad *g) {
    int rank = tn_grad_type(g, g->node.in[0])->rank;
    int64_t back[TN_MAX_RANK];
    if (rank < 0) return tn_grad_fail(g, "the rank of its input is unknown");
    for (int i = 0; i < rank; i++) back[tn_attr_int_at(&g->node, "perm", i, rank - 1 - i)] = i;
    g->in_grad[0] = tn_grad_transpose(g, g->out_grad[0], rank, back);
    return TN_OK;
}

/* The axis that the attribute names, counted from the front; fails if the rank of `value` is unknown. */
static tn_status axis_of(tn_grad *g, int value, int64_t fallback, int *out_axis) {
    int rank = tn_grad_type(g, value)->rank;
    int64_t axis = tn_attr_int(&g->node, "axis", fallback);
    if (rank < 0) return tn_grad_fail(g, "the rank of its input is unknown");
    *out_axis = (int)(axis < 0 ? axis + rank : axis);
    return TN_OK;
}

/* Elements [from, to) of one axis. */
static int slice(tn_grad *g, int a, int64_t from, int64_t to, int64_t axis) {
    int in[] = {a, tn_grad_ints(g, 1, &from), tn_grad_ints(g, 1, &to), tn_grad_ints(g, 1, &axis)};
    return tn_grad_node(g, "Slice", 4, in, NULL);
}

static tn_status concat(tn_grad *g) {
    int axis = 0;
    int64_t at = 0;
    TN_TRY(axis_of(g, g->node.in[0], 0, &axis));
    for (int i = 0; i < g->node.in_count; i++) {
        const tn_type *type = tn_grad_type(g, g->node.in[i]);
        int64_t size = type->rank > axis ? type->dims[axis] : -1;
        if (size < 0) return tn_grad_fail(g, "the size of input %d along axis %d is unknown", i, axis);
        if (g->wanted[i]) g->in_grad[i] = slice(g, g->out_grad[0], at, at + size, axis);
        at += size;
    }
    return TN_OK;
}

static tn_status split(tn_grad *g) {
    int axis = 0, *parts = tn_region_array(g->graph->region, (size_t)g->node.out_count + 1, sizeof *parts);
    if (!parts) return TN_E_MEMORY;
    TN_TRY(axis_of(g, g->node.in[0], 0, &axis));
    for (int i = 0; i < g->node.out_count; i++) {
        if (g->node.out[i] < 0) return tn_grad_fail(g, "output %d is left out", i);
        parts[i] = g->out_grad[i] >= 0 ? g->out_grad[i] : tn_grad_zeros(g, g->node.out[i]);
    }
    tn_attribute attributes[] = {{"axis", TN_ATTR_INT, .i = axis}, {0}};
    g->in_grad[0] = tn_grad_node(g, "Concat", g->node.out_count, parts, attributes);
    return TN_OK;
}

/* Contents of a constant list of integers, the fallback where it is absent; -1 if they are unknown or too many. */
static int list_of(const tn_grad *g, int in, int64_t *values) {
    int v = tn_grad_in(g, in);
    const tn_tensor *t = v >= 0 ? g->graph->values[v].constant : NULL;
    if (!t || tn_count(t) > TN_MAX_RANK) return -1;
    for (int64_t i = 0; i < tn_count(t); i++)
        values[i] = t->dtype == TN_INT64 ? ((const int64_t *)t->data)[i] : ((const int32_t *)t->data)[i];
    return (int)tn_count(t);
}

typedef struct cut {
    int axis;
    int64_t size, first, last, step, count; /* elements first, first + step, ... last */
} cut;

/* What was taken in steps, with zeros between: an axis of the steps' size behind it. */
static int spread(tn_grad *g, int a, const cut *c) {
    const tn_type type = *tn_grad_type(g, a);
    const int64_t step = c->step < 0 ? -c->step : c->step;
    int64_t pads[2 * (TN_MAX_RANK + 1)] = {0}, dims[TN_MAX_RANK], behind = c->axis + 1, starts = -1, ends = INT64_MIN;
    int64_t axis = c->axis, back = -1;
    int unknown = 0;
    if (c->step < 0) {
        int in[] = {a, tn_grad_ints(g, 1, &starts), tn_grad_ints(g, 1, &ends), tn_grad_ints(g, 1, &axis),
                    tn_grad_ints(g, 1, &back)};
        a = tn_grad_node(g, "Slice", 5, in, NULL);
    }
    if (step == 1) return a;
    for (int i = 0; i < type.rank; i++) {
        dims[i] = i == c->axis ? c->count * step : type.dims[i] >= 0 ? type.dims[i] : i < c->axis ? 0 : -1;
        unknown += dims[i] == -1;
    }
    if (unknown > 1 || type.rank == TN_MAX_RANK) {
        tn_grad_fail(g, "it takes steps along an axis, and has too many others, or too many of unknown size");
        return -1;
    }
    pads[type.rank + 1 + c->axis + 1] = step - 1;
    int wide = tn_grad_2(g, "Unsqueeze", a, tn_grad_ints(g, 1, &behind));
    wide = tn_grad_2(g, "Pad", wide, tn_grad_ints(g, 2 * (type.rank + 1), pads));
    int flat = tn_grad_2(g, "Reshape", wide, tn_grad_ints(g, type.rank, dims));
    return slice(g, flat, 0, (c->count - 1) * step + 1, c->axis);
}

/* The elements of an axis that a start, an end and a step name, as Slice reads them. */
static bool read_cut(cut *c, int64_t start, int64_t end) {
    const bool back = c->step < 0;
    start = start < 0 ? start + c->size : start;
    end = end < 0 && !(back && end < -c->size) ? end + c->size : end;
    start = TN_MIN(TN_MAX(start, 0), back ? c->size - 1 : c->size);
    end = TN_MIN(TN_MAX(end, back ? -1 : 0), c->size);
    c->count = back ? (start - end - c->step - 1) / -c->step : (end - start + c->step - 1) / c->step;
    c->count = TN_MAX(c->count, 0);
    c->first = start;
    c->last = start + (c->count - 1) * c->step;
    return c->count > 0;
}

/* Zeros around the piece that was cut out. */
static tn_status slice_back(tn_grad *g) {
    const tn_type type = *tn_grad_type(g, g->node.in[0]);
    int64_t starts[TN_MAX_RANK], ends[TN_MAX_RANK], axes[TN_MAX_RANK], steps[TN_MAX_RANK], pads[2 * TN_MAX_RANK] = {0};
    int count = list_of(g, 1, starts), grad = g->out_grad[0];
    bool known = count >= 0 && type.rank >= 0 && list_of(g, 2, ends) == count, some = true;
    for (int i = 0; i < count; i++) axes[i] = i, steps[i] = 1;
    if (tn_grad_in(g, 3) >= 0) known = known && list_of(g, 3, axes) == count;
    if (tn_grad_in(g, 4) >= 0) known = known && list_of(g, 4, steps) == count;
    for (int i = 0; i < count && known; i++) {
        cut c = {.axis = (int)(axes[i] < 0 ? axes[i] + type.rank : axes[i]), .step = steps[i]};
        c.size = type.dims[c.axis];
        if (starts[i] == 0 && ends[i] == INT64_MAX && c.step == 1) continue;
        known = c.size >= 0 && c.step > INT32_MIN && c.step < INT32_MAX;
        if (!known) break;
        some = some && read_cut(&c, starts[i], ends[i]);
        if (!some) break;
        if (c.step != 1) grad = spread(g, grad, &c);
        pads[c.axis] = TN_MIN(c.first, c.last);
        pads[type.rank + c.axis] = c.size - 1 - TN_MAX(c.first, c.last);
    }
    if (!known) return tn_grad_fail(g, "its starts, ends, axes and the sizes of those axes must be known beforehand");
    g->in_grad[0] = some ? tn_grad_2(g, "Pad", grad, tn_grad_ints(g, 2 * type.rank, pads)) : -1;
    return TN_OK;
}

/* Rows that were looked up are added to zeros where they came from; the axis is brought to the front for it. */
static tn_status gather(tn_grad *g) {
    int x = g->node.in[0], indices = g->node.in[1], dy = g->out_grad[0], axis = 0;
    TN_TRY(axis_of(g, x, 0, &axis));
    int rank = tn_grad_type(g, x)->rank, index_rank = tn_grad_type(g, indices)->rank;
    if (index_rank < 0) return tn_grad_fail(g, "the rank of its indices is unknown");
    int zeros = tn_grad_zeros(g, x);
    int64_t there[TN_MAX_RANK], back[TN_MAX_RANK], of_grad[TN_MAX_RANK], last = -1;
    for (int i = 0, at = 1; i < rank; i++) there[i == axis ? 0 : at++] = i;
    for (int i = 0; i < rank; i++) back[there[i]] = i;
    for (int i = 0; i < index_rank; i++) of_grad[i] = axis + i;
    for (int i = 0, at = index_rank; i < index_rank + rank - 1; i++)
        if (i < axis || i >= axis + index_rank) of_grad[at++] = i;
    if (axis > 0) {
        zeros = tn_grad_transpose(g, zeros, rank, there);
        dy = tn_grad_transpose(g, dy, index_rank + rank - 1, of_grad);
    }
    int in[] = {zeros, tn_grad_2(g, "Unsqueeze", indices, tn_grad_ints(g, 1, &last)), dy};
    tn_attribute attributes[] = {{"reduction", TN_ATTR_STRING, .s = "add"}, {0}};
    if (tn_grad_type(g, indices)->dtype != TN_INT64) in[1] = tn_grad_cast(g, in[1], TN_INT64);
    int sum = tn_grad_node(g, "ScatterND", 3, in, attributes);
    g->in_grad[0] = axis > 0 ? tn_grad_transpose(g, sum, rank, back) : sum;
    return TN_OK;
}

const tn_gradient tn_gradients_shape[] = {
    {"", "Reshape", back_to_shape},   {"", "Flatten", back_to_shape}, {"", "Squeeze", back_to_shape},
    {"", "Unsqueeze", back_to_shape}, {"", "Identity", identity},     {"", "Expand", expand},
    {"", "Transpose", transpose},     {"", "Concat", concat},         {"", "Split", split},
    {"", "Slice", slice_back},        {"", "Gather", gather},         {0},
};
