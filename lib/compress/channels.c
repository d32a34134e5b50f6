/* Structured pruning: whole channels go. See tenon/prune.h.
 *
 * Each channel of a value is a class; layers make new classes, nodes that pass channels on hand theirs over, and nodes that
 * meet two values position by position (a residual addition) make one class of two. So what must go together is known
 * channel by channel, and concatenation and flattening are lists put together or drawn out. While the graph is walked, each
 * constant with an axis of channels is noted together with the classes along it; in the end these are cut. */
#include <tenon/prune.h>
#include "compress/matrices.h"
#include <math.h>
#include <stdlib.h>

typedef struct channels {
    int axis; /* of the value */
    int64_t count;
    int *ids; /* of classes; NULL: the value's channels are not known */
} channels;

typedef struct class {
    int parent; /* itself: a root */
    bool stays, goes;
    int layer; /* that made it */
    double score;
    int scores;
} class;

/* A constant to cut: input `in` of a node, along an axis. in = -1: the attribute `group`; -2: the shape of a Reshape. */
typedef struct cut {
    int node, in, axis;
    const channels *along;
} cut;

typedef struct walk {
    tn_graph *graph;
    tn_prune_channels_options options;
    tn_region *region;
    channels *values;
    class *classes;
    int class_count, class_capacity;
    cut *cuts;
    int cut_count, cut_capacity;
    int *uses;
    int *layer; /* of each node: which layers must lose the same channels; a union-find as well */
    int node;   /* that is being looked at */
} walk;

static int root_of(walk *w, int id) {
    while (w->classes[id].parent != id) id = w->classes[id].parent = w->classes[w->classes[id].parent].parent;
    return id;
}

static int layer_root(walk *w, int n) {
    while (w->layer[n] != n) n = w->layer[n] = w->layer[w->layer[n]];
    return n;
}

static void unite(walk *w, int a, int b) {
    a = root_of(w, a);
    b = root_of(w, b);
    if (a == b) return;
    class *into = &w->classes[TN_MIN(a, b)], *from = &w->classes[TN_MAX(a, b)];
    from->parent = TN_MIN(a, b);
    into->stays |= from->stays;
    into->score += from->score;
    into->scores += from->scores;
    w->layer[layer_root(w, from->layer)] = layer_root(w, into->layer);
}

static void fix(walk *w, const channels *c) {
    for (int64_t i = 0; i < c->count && c->ids; i++) w->classes[root_of(w, c->ids[i])].stays = true;
}

static channels *of(walk *w, int value) {
    return value >= 0 && w->values[value].ids ? &w->values[value] : NULL;
}

static const tn_type *type_of(const walk *w, int value) {
    return &w->graph->values[value].type;
}

static void *more(walk *w, void *array, int count, int *capacity, size_t size) {
    if (count < *capacity) return array;
    int wanted = *capacity ? 2 * *capacity : 256;
    void *moved = tn_region_array(w->region, (size_t)wanted, size);
    if (moved && count) memcpy(moved, array, (size_t)count * size);
    if (moved) *capacity = wanted;
    return moved;
}

/* New classes for `count` channels. NULL on failure. */
static int *new_classes(walk *w, int64_t count, bool stays) {
    int *ids = tn_region_array(w->region, (size_t)count + 1, sizeof *ids);
    for (int64_t i = 0; i < count && ids; i++) {
        class *moved = more(w, w->classes, w->class_count, &w->class_capacity, sizeof *w->classes);
        if (!moved) return NULL;
        w->classes = moved;
        ids[i] = w->class_count;
        w->classes[w->class_count] = (class){.parent = w->class_count, .stays = stays, .layer = w->node};
        w->class_count++;
    }
    return ids;
}

static tn_status note(walk *w, int in, int axis, const channels *along) {
    cut *moved = more(w, w->cuts, w->cut_count, &w->cut_capacity, sizeof *w->cuts);
    if (!moved) return TN_E_MEMORY;
    w->cuts = moved;
    w->cuts[w->cut_count++] = (cut){w->node, in, axis, along};
    return TN_OK;
}

/* ---- what nodes do with channels; a handler that does not understand its node returns false in *known ---- */

static const tn_tensor *constant_of(const walk *w, const tn_node *node, int in) {
    return in < node->formal_in && node->in[in] >= 0 ? w->graph->values[node->in[in]].constant : NULL;
}

static bool sole(const walk *w, const tn_node *node, int in) {
    return constant_of(w, node, in) && w->uses[node->in[in]] == 1 && constant_of(w, node, in)->dtype == TN_FLOAT32;
}

/* A layer's new channels: rows of its weight along `axis`, which `stride` floats lie between. */
static tn_status add_layer(walk *w, const tn_node *node, int weight_axis, int bias, int out_axis, bool free_to_go) {
    const tn_tensor *t = constant_of(w, node, 1);
    const int64_t count = t->dims[weight_axis];
    channels *out = &w->values[node->out[0]];
    *out = (channels){out_axis, count, new_classes(w, count, !free_to_go || tn_listed(w->options.keep, node->name))};
    double *norms = tn_region_array(w->region, (size_t)count + 1, sizeof *norms), mean = 0;
    if (!out->ids || !norms) return TN_E_MEMORY;
    int64_t inner = 1, all = tn_count(t);
    for (int i = weight_axis + 1; i < t->rank; i++) inner *= t->dims[i];
    for (int64_t i = 0; i < all; i++) {
        double x = (double)((const float *)t->data)[i];
        norms[i / inner % count] += x * x;
    }
    for (int64_t i = 0; i < count; i++) mean += (norms[i] = sqrt(norms[i])) / (double)count;
    for (int64_t i = 0; i < count; i++) {
        w->classes[out->ids[i]].score = mean > 0 ? norms[i] / mean : 0;
        w->classes[out->ids[i]].scores = 1;
    }
    TN_TRY(note(w, 1, weight_axis, out));
    return bias >= 0 ? note(w, bias, constant_of(w, node, bias)->rank - 1, out) : TN_OK;
}

static tn_status conv(walk *w, const tn_node *node, bool *known) {
    const tn_tensor *t = constant_of(w, node, 1);
    channels *in = of(w, node->in[0]);
    const int64_t group = tn_attr_int(node, "group", 1);
    const bool bias = node->formal_in > 2 && node->in[2] >= 0;
    if (!sole(w, node, 1) || t->rank < 3 || (bias && !sole(w, node, 2))) return TN_OK;
    *known = true;
    if (group == 1) {
        if (in) TN_TRY(note(w, 1, 1, in));
        return add_layer(w, node, 0, bias ? 2 : -1, 1, true);
    }
    if (!in || in->count != group || t->dims[1] != 1) {
        *known = false; /* groups of several channels must stay as large as each other */
        return TN_OK;
    }
    channels *out = &w->values[node->out[0]]; /* depthwise: each channel makes its own */
    const int64_t each = t->dims[0] / group;
    *out = (channels){1, t->dims[0], tn_region_array(w->region, (size_t)t->dims[0] + 1, sizeof(int))};
    if (!out->ids) return TN_E_MEMORY;
    for (int64_t i = 0; i < out->count; i++) out->ids[i] = in->ids[i / each];
    TN_TRY(note(w, 1, 0, out));
    if (bias) TN_TRY(note(w, 2, 0, out));
    return note(w, -1, 0, in);
}

static tn_status product(walk *w, const tn_node *node, bool *known) {
    tn_linear l;
    if (!tn_linear_find(w->graph, w->node, &l) || !sole(w, node, 1)) return TN_OK;
    const bool bias = node->formal_in > 2 && node->in[2] >= 0;
    const tn_tensor *c = bias ? constant_of(w, node, 2) : NULL;
    channels *in = of(w, node->in[0]);
    const int last = type_of(w, node->in[0])->rank - 1;
    if (in && in->axis != last) return TN_OK;
    *known = true;
    if (in) TN_TRY(note(w, 1, l.rows ? 1 : 0, in));
    const bool cut_bias = bias && c && sole(w, node, 2) && c->rank >= 1 && tn_count(c) == (int64_t)l.n &&
                          c->dims[c->rank - 1] == (int64_t)l.n;
    const bool free_to_go = !bias || cut_bias || (c && tn_count(c) == 1);
    return add_layer(w, node, l.rows ? 0 : 1, cut_bias ? 2 : -1, last, free_to_go);
}

static tn_status pass_on(walk *w, const tn_node *node, bool *known) {
    channels *in = of(w, node->in[0]);
    for (int i = 1; i < node->out_count; i++)
        if (node->out[i] >= 0 && w->uses[node->out[i]]) return TN_OK;
    if (in) w->values[node->out[0]] = *in;
    *known = true;
    return TN_OK;
}

/* Pools: the channels must be axis 1. */
static tn_status pool(walk *w, const tn_node *node, bool *known) {
    channels *in = of(w, node->in[0]);
    return in && in->axis != 1 ? TN_OK : pass_on(w, node, known);
}

static tn_status batch_norm(walk *w, const tn_node *node, bool *known) {
    channels *in = of(w, node->in[0]);
    if (!in || in->axis != 1 || node->out_count > 1) return TN_OK;
    for (int i = 1; i < node->formal_in; i++)
        if (!constant_of(w, node, i) || constant_of(w, node, i)->rank != 1) return TN_OK;
    for (int i = 1; i < node->formal_in; i++) TN_TRY(note(w, i, 0, in));
    return pass_on(w, node, known);
}

/* Where the axis of `in` is in another input that is broadcast to `rank`; -1: it has none there. */
static int aligned(int rank, int axis, int other_rank) {
    return axis - (rank - other_rank);
}

static tn_status binary(walk *w, const tn_node *node, bool *known) {
    channels *a = of(w, node->in[0]), *b = of(w, node->in[1]);
    const int rank = type_of(w, node->out[0])->rank;
    if (!a && !b) return TN_OK;
    if (a && b) {
        const bool alike = type_of(w, node->in[0])->rank == rank && type_of(w, node->in[1])->rank == rank &&
                           a->axis == b->axis && a->count == b->count;
        if (!alike) return TN_OK;
        for (int64_t i = 0; i < a->count; i++) unite(w, a->ids[i], b->ids[i]);
        w->values[node->out[0]] = *a;
        *known = true;
        return TN_OK;
    }
    const int side = a ? 0 : 1, other = node->in[!side];
    const channels *in = a ? a : b;
    const tn_type *type = type_of(w, other);
    if (type_of(w, node->in[side])->rank != rank || type->rank < 0) return TN_OK;
    const int axis = aligned(rank, in->axis, type->rank);
    if (axis >= 0 && type->dims[axis] != 1) {
        if (!sole(w, node, !side) || type->dims[axis] != in->count) return TN_OK;
        TN_TRY(note(w, !side, axis, in));
    }
    w->values[node->out[0]] = *in;
    *known = true;
    return TN_OK;
}

static tn_status concat(walk *w, const tn_node *node, bool *known) {
    const int rank = type_of(w, node->out[0])->rank;
    int64_t axis = tn_attr_int(node, "axis", 0), count = 0, at = 0;
    if (axis < 0) axis += rank;
    for (int i = 0; i < node->formal_in; i++) {
        const channels *in = of(w, node->in[i]);
        const tn_type *type = type_of(w, node->in[i]);
        if (type->rank != rank || type->dims[axis] < 0 || (in && in->axis != axis)) return TN_OK;
        count += type->dims[axis];
    }
    channels all = {(int)axis, count, tn_region_array(w->region, (size_t)count + 1, sizeof(int))};
    if (!all.ids) return TN_E_MEMORY;
    for (int i = 0; i < node->formal_in; i++) {
        const channels *in = of(w, node->in[i]);
        const int64_t some = type_of(w, node->in[i])->dims[axis];
        const int *ids = in ? in->ids : new_classes(w, some, true);
        if (!ids) return TN_E_MEMORY;
        memcpy(all.ids + at, ids, (size_t)some * sizeof *ids);
        at += some;
    }
    w->values[node->out[0]] = all;
    *known = true;
    return TN_OK;
}

/* [n, c, ...] to [n, c x ...]. */
static tn_status flatten(walk *w, const tn_node *node, bool *known) {
    const channels *in = of(w, node->in[0]);
    const tn_type *from = type_of(w, node->in[0]), *to = type_of(w, node->out[0]);
    const bool reshape = strcmp(node->op->name, "Reshape") == 0;
    int64_t each = 1;
    if (!in || in->axis != 1 || to->rank != 2 || (!reshape && tn_attr_int(node, "axis", 1) != 1)) return TN_OK;
    for (int i = 2; i < from->rank; i++) {
        if (from->dims[i] < 0) return TN_OK;
        each *= from->dims[i];
    }
    if (each == 0 || to->dims[1] != in->count * each ||
        (reshape && (!constant_of(w, node, 1) || from->dims[0] == -1 || to->dims[0] != from->dims[0])))
        return TN_OK;
    channels out = {1, in->count * each, tn_region_array(w->region, (size_t)(in->count * each) + 1, sizeof(int))};
    if (!out.ids) return TN_E_MEMORY;
    for (int64_t i = 0; i < out.count; i++) out.ids[i] = in->ids[i / each];
    w->values[node->out[0]] = out;
    if (reshape) TN_TRY(note(w, -2, 0, in));
    *known = true;
    return TN_OK;
}

/* Reductions and squeezes of axes behind the channels. */
static tn_status reduce(walk *w, const tn_node *node, bool *known) {
    const tn_tensor *axes = constant_of(w, node, 1);
    const channels *in = of(w, node->in[0]);
    if (!in || !axes || axes->dtype != TN_INT64) return TN_OK;
    for (int64_t i = 0; i < tn_count(axes); i++) {
        int64_t axis = ((const int64_t *)axes->data)[i];
        if (axis < 0) axis += type_of(w, node->in[0])->rank;
        if (axis <= in->axis) return TN_OK;
    }
    return tn_count(axes) ? pass_on(w, node, known) : TN_OK;
}

static const struct handler {
    const char *op;
    tn_status (*look)(walk *w, const tn_node *node, bool *known);
} handlers[] = {
    {"Conv", conv},           {"Gemm", product},
    {"MatMul", product},      {"BatchNormalization", batch_norm},
    {"Add", binary},          {"Sub", binary},
    {"Mul", binary},          {"Div", binary},
    {"PRelu", binary},        {"Concat", concat},
    {"Flatten", flatten},     {"Reshape", flatten},
    {"ReduceMean", reduce},   {"ReduceMax", reduce},
    {"Squeeze", reduce},      {"MaxPool", pool},
    {"AveragePool", pool},    {"GlobalAveragePool", pool},
    {"GlobalMaxPool", pool},  {"Relu", pass_on},
    {"LeakyRelu", pass_on},   {"Sigmoid", pass_on},
    {"HardSigmoid", pass_on}, {"HardSwish", pass_on},
    {"Tanh", pass_on},        {"Elu", pass_on},
    {"Selu", pass_on},        {"Celu", pass_on},
    {"Gelu", pass_on},        {"Erf", pass_on},
    {"Softplus", pass_on},    {"Mish", pass_on},
    {"Clip", pass_on},        {"Identity", pass_on},
    {"Dropout", pass_on},     {"Abs", pass_on},
};

static tn_status walk_node(walk *w) {
    const tn_node *node = &w->graph->nodes[w->node];
    bool known = false;
    const int cuts = w->cut_count;
    for (size_t i = 0; i < TN_COUNT(handlers) && !*node->op->domain && node->formal_in > 0; i++)
        if (strcmp(handlers[i].op, node->op->name) == 0) {
            TN_TRY(handlers[i].look(w, node, &known));
            break;
        }
    if (known) return TN_OK;
    w->cut_count = cuts;
    for (int i = 0; i < node->out_count; i++)
        if (node->out[i] >= 0) w->values[node->out[i]].ids = NULL;
    for (int i = 0; i < node->in_count; i++)
        if (of(w, node->in[i])) fix(w, of(w, node->in[i]));
    return TN_OK;
}

/* ---- which classes go ---- */

typedef struct ranked {
    double score;
    int id, layer;
} ranked;

static int by_layer_then_score(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->layer != y->layer) return x->layer < y->layer ? -1 : 1;
    if (x->score != y->score) return x->score < y->score ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static int by_score(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static int gone_of(const walk *w, int count, int gone) {
    const int multiple = w->options.multiple;
    int kept = (TN_MAX(count - gone, 1) + multiple - 1) / multiple * multiple;
    return TN_MAX(count - kept, 0);
}

static tn_status choose(walk *w) {
    ranked *all = tn_region_array(w->region, (size_t)w->class_count + 1, sizeof *all);
    int *gone = tn_region_array(w->region, (size_t)w->graph->node_count + 1, sizeof *gone), count = 0;
    if (!all || !gone) return TN_E_MEMORY;
    for (int i = 0; i < w->class_count; i++) {
        const class *c = &w->classes[i];
        if (c->parent != i || c->stays || !c->scores) continue;
        all[count++] = (ranked){c->score / c->scores, i, layer_root(w, c->layer)};
    }
    if (w->options.global) { /* how many of each group are among the lowest of all */
        qsort(all, (size_t)count, sizeof *all, by_score);
        for (int i = 0; i < (int)(w->options.sparsity * count + 1e-9); i++) gone[all[i].layer]++;
    }
    qsort(all, (size_t)count, sizeof *all, by_layer_then_score);
    for (int from = 0, to; from < count; from = to) {
        for (to = from; to < count && all[to].layer == all[from].layer;) to++;
        int wanted = w->options.global ? gone[all[from].layer] : (int)(w->options.sparsity * (to - from) + 1e-9);
        wanted = gone_of(w, to - from, wanted);
        for (int i = from; i < from + wanted; i++) w->classes[all[i].id].goes = true;
    }
    return TN_OK;
}

/* ---- cutting ---- */

static int64_t kept_of(walk *w, const channels *c) {
    int64_t kept = 0;
    for (int64_t i = 0; i < c->count; i++) kept += !w->classes[root_of(w, c->ids[i])].goes;
    return kept;
}

static tn_status cut_constant(walk *w, const cut *c) {
    tn_graph *graph = w->graph;
    tn_node *node = &graph->nodes[c->node];
    const tn_tensor *from = graph->values[node->in[c->in]].constant;
    int64_t dims[TN_MAX_RANK], inner = 1, outer = 1;
    memcpy(dims, from->dims, sizeof dims);
    dims[c->axis] = kept_of(w, c->along);
    for (int i = 0; i < from->rank; i++) *(i < c->axis ? &outer : &inner) *= i == c->axis ? 1 : from->dims[i];
    tn_tensor *to = tn_graph_tensor(graph, from->dtype, from->rank, dims, NULL);
    if (!to) return TN_E_MEMORY;
    const size_t bytes = tn_dtype_bytes(from->dtype, inner);
    char *dst = to->data;
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < c->along->count; i++) {
            if (w->classes[root_of(w, c->along->ids[i])].goes) continue;
            memcpy(dst, (const char *)from->data + (size_t)(o * c->along->count + i) * bytes, bytes);
            dst += bytes;
        }
    int value = tn_graph_add_constant(graph, graph->values[node->in[c->in]].name, to);
    if (value < 0) return TN_E_MEMORY;
    graph->nodes[c->node].in[c->in] = value;
    return TN_OK;
}

static tn_status cut_all(walk *w, tn_weights_report *report) {
    static const int64_t two = 2, flat[2] = {0, -1};
    tn_graph *graph = w->graph;
    for (int i = 0; i < w->cut_count; i++) {
        const cut *c = &w->cuts[i];
        const int64_t kept = kept_of(w, c->along);
        if (kept == c->along->count) continue;
        if (c->in == -1) {
            TN_TRY(tn_node_set_int(graph, &graph->nodes[c->node], "group", kept));
        } else if (c->in == -2) {
            tn_tensor *shape = tn_graph_tensor(graph, TN_INT64, 1, &two, NULL);
            int value = shape ? tn_graph_add_constant(graph, "", shape) : -1;
            if (value < 0) return TN_E_MEMORY;
            memcpy(shape->data, flat, sizeof flat);
            graph->nodes[c->node].in[1] = value;
            tn_node_drop_attr(&graph->nodes[c->node], "allowzero");
        } else {
            const tn_node *node = &graph->nodes[c->node];
            report->layers += c->in == 1 && c->along == &w->values[node->out[0]];
            TN_TRY(cut_constant(w, c));
        }
    }
    for (int n = 0; n < graph->node_count; n++) /* shapes are other ones now */
        for (int i = 0; i < graph->nodes[n].out_count; i++)
            if (graph->nodes[n].out[i] >= 0) tn_type_unknown(&graph->values[graph->nodes[n].out[i]].type);
    return TN_OK;
}

static tn_status prune_channels(walk *w, tn_weights_report *report) {
    tn_graph *graph = w->graph;
    w->values = tn_region_array(w->region, (size_t)graph->value_count + 1, sizeof *w->values);
    w->uses = tn_region_array(w->region, (size_t)graph->value_count + 1, sizeof *w->uses);
    w->layer = tn_region_array(w->region, (size_t)graph->node_count + 1, sizeof *w->layer);
    if (!w->values || !w->uses || !w->layer) return TN_E_MEMORY;
    tn_graph_count_uses(graph, w->uses);
    for (int n = 0; n < graph->node_count; n++) w->layer[n] = n;
    for (w->node = 0; w->node < graph->node_count; w->node++) TN_TRY(walk_node(w));
    for (int i = 0; i < graph->output_count; i++)
        if (of(w, graph->outputs[i])) fix(w, of(w, graph->outputs[i]));
    TN_TRY(choose(w));
    return cut_all(w, report);
}

tn_status tn_graph_prune_channels(tn_graph *graph, const tn_prune_channels_options *options,
                                  tn_weights_report *out_report) {
    walk w = {.graph = graph, .options = {.struct_size = sizeof w.options}};
    tn_weights_report report;
    if (options) memcpy(&w.options, options, TN_MIN(options->struct_size, sizeof w.options));
    if (!w.options.multiple) w.options.multiple = 1;
    if (!(w.options.sparsity >= 0 && w.options.sparsity < 1) || w.options.multiple < 1)
        return tn_fail(TN_E_INVALID,
                       "a sparsity of %g in multiples of %d; expected a share from 0 to below 1, from 1 on",
                       w.options.sparsity, w.options.multiple);
    TN_TRY(tn_weights_begin(graph, &report));
    w.region = tn_region_create(NULL);
    tn_status status = w.region ? prune_channels(&w, &report) : TN_E_MEMORY;
    tn_region_destroy(w.region);
    TN_TRY(status);
    return tn_weights_end(graph, &report, out_report);
}
