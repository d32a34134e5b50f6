/* Blocks of attention that can lose heads. See compress/heads.h.
 *
 * A block is found from its core (the product of a softmax with V, or an operator that is all of it) backwards to the products
 * that make Q, K and V, and forwards to the product that reads all heads side by side. Where the heads are an axis of their
 * own, it is followed through transpositions and scales to the Reshape that makes it. Q, K and V may be parts of one product:
 * of its columns (Split or Slice, then a Reshape each), of each head's columns, or of an axis that one Reshape makes for them.
 * A block of which anything is not understood, or is read by others as well, stays, and a sentence says what. */
#include "compress/heads.h"
#include "passes/match.h"
#include <stdarg.h>
#include <stdio.h>

enum { MOST_HEADS = 4096 };

typedef struct walk {
    const tn_graph *graph;
    tn_region *region;
    int *uses;
    char why[256]; /* the first reason against the block that is looked at */
    tn_status status;
} walk;

static const tn_type *type_of(const walk *w, int value) {
    return tn_match_type(w->graph, value);
}

static const tn_tensor *constant_of(const walk *w, int value) {
    return value >= 0 ? w->graph->values[value].constant : NULL;
}

static const tn_node *producer_of(const walk *w, int value) {
    const int n = value >= 0 ? w->graph->values[value].producer : -1;
    return n >= 0 ? &w->graph->nodes[n] : NULL;
}

static int number_of(const walk *w, const tn_node *node) {
    return (int)(node - w->graph->nodes);
}

/* Of a value or a node, what a reader of the model finds it by. */
static const char *value_name(const walk *w, int value) {
    return value >= 0 ? w->graph->values[value].name : "";
}

static const char *node_name(const walk *w, const tn_node *node) {
    return *node->name ? node->name : value_name(w, node->out[0]);
}

/* False, and the reason, unless one nearer to it was given. */
static bool __attribute__((format(printf, 2, 3))) no(walk *w, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (!*w->why) vsnprintf(w->why, sizeof w->why, format, arguments);
    va_end(arguments);
    return false;
}

static bool not_followed(walk *w, const char *side, const tn_node *node) {
    const tn_node *a = node->formal_in == 2 ? producer_of(w, node->in[0]) : NULL;
    const tn_node *b = node->formal_in == 2 ? producer_of(w, node->in[1]) : NULL;
    if (tn_match_is(node, "", "RotaryEmbedding") || tn_match_is(node, "com.microsoft", "RotaryEmbedding") ||
        (tn_match_is(node, "", "Add") && a && b && tn_match_is(a, "", "Mul") && tn_match_is(b, "", "Mul")))
        return no(w, "rotary positions turn its %s (%s '%s')", side, node->op->name, node_name(w, node));
    if (tn_match_is(node, "", "Concat"))
        return no(w, "its %s is put behind a cache (Concat '%s')", side, node_name(w, node));
    return no(w, "its %s comes through %s '%s', which is not followed", side, node->op->name, node_name(w, node));
}

/* The one node that reads the value. NULL: there are others, or none. */
static const tn_node *reader_of(walk *w, int value) {
    for (int n = 0; n < w->graph->node_count && w->uses[value] == 1; n++)
        for (int i = 0; i < w->graph->nodes[n].formal_in; i++)
            if (w->graph->nodes[n].in[i] == value) return &w->graph->nodes[n];
    no(w, "'%s' is read elsewhere as well, or is an output", value_name(w, value));
    return NULL;
}

/* Nothing but one node reads it. */
static bool only(walk *w, int value) {
    return (value >= 0 && w->uses[value] == 1) || no(w, "'%s' is read elsewhere as well", value_name(w, value));
}

static bool scalar(const walk *w, int value) {
    const tn_type *type = type_of(w, value);
    for (int i = 0; i < type->rank; i++)
        if (type->dims[i] != 1) return false;
    return type->rank >= 0;
}

/* One number of a constant of int64. */
static bool number(const walk *w, int value, int64_t *out) {
    const tn_tensor *t = constant_of(w, value);
    if (!t || t->dtype != TN_INT64 || tn_count(t) != 1) return false;
    memcpy(out, t->data, sizeof *out);
    return true;
}

static const tn_head_side nothing = {
    .bias_node = -1, .reshape = -1, .expand = -1, .merge = -1, .repeats = 1, .packed = -1, .taker = -1};

/* The product that makes `value`: [..., n]. */
static bool find_product(walk *w, int value, const char *name, tn_head_side *out) {
    const tn_node *node = producer_of(w, value);
    if (!node) return no(w, "its %s is not made by a product", name);
    const tn_node *end = node;
    if (tn_match_is(node, "", "Add")) {
        const int constant = constant_of(w, node->in[0]) ? 0 : 1;
        node = producer_of(w, end->in[!constant]);
        if (!node || !tn_match_is(node, "", "MatMul")) return not_followed(w, name, end);
        if (!only(w, end->in[!constant])) return false;
        out->bias_node = number_of(w, end);
        out->bias_in = constant;
    } else if (node->formal_in == 3 && tn_match_is(node, "", "Gemm") && node->in[2] >= 0) {
        out->bias_node = number_of(w, node);
        out->bias_in = 2;
    }
    if (!tn_linear_find(w->graph, number_of(w, node), &out->linear))
        return tn_match_is(node, "", "MatMul") || tn_match_is(node, "", "Gemm")
                   ? no(w, "%s '%s', which makes its %s, has no constant float32 matrix", node->op->name,
                        node_name(w, node), name)
                   : not_followed(w, name, node);
    if (!only(w, out->linear.weight)) return false;
    if (out->bias_node < 0) return true;
    const int added = w->graph->nodes[out->bias_node].in[out->bias_in];
    const tn_tensor *t = constant_of(w, added);
    const bool fits = t && t->dtype == TN_FLOAT32 && t->rank >= 1 && tn_count(t) == (int64_t)out->linear.n &&
                      t->dims[t->rank - 1] == (int64_t)out->linear.n;
    return fits ? only(w, added) : no(w, "what is added to its %s is no constant for each column", name);
}

/* A shape of which entry `at`, the heads, can be counted anew: it is constant, and no entry before copies an axis that is cut. */
static bool mendable(walk *w, const tn_node *reshape, int at) {
    const tn_tensor *shape = constant_of(w, reshape->in[1]);
    const int rank = type_of(w, reshape->in[0])->rank;
    bool fine = shape != NULL;
    for (int i = 0; i < at && fine; i++) fine = ((const int64_t *)shape->data)[i] != 0 || (i < 2 && i < rank - 1);
    return fine ||
           no(w, "the shape that Reshape '%s' gives is not known to keep batch and rows", node_name(w, reshape));
}

/* Where a node takes a part out of an axis of in[0]. */
typedef struct take {
    int axis, part;
    int64_t start, size;
    bool own; /* the axis is gone */
} take;

/* False: it is no such node, or not one whose part is known. */
static bool read_take(const walk *w, int value, take *out) {
    const tn_node *node = producer_of(w, value);
    const int rank = node && node->formal_in ? type_of(w, node->in[0])->rank : -1;
    int64_t axis = node ? tn_attr_int(node, "axis", 0) : 0, steps = 1;
    *out = (take){.size = 1};
    if (rank < 1) return false;
    const tn_type *from = type_of(w, node->in[0]);
    if (tn_match_is(node, "", "Slice") && node->formal_in >= 4) {
        int64_t end;
        if (!number(w, node->in[1], &out->start) || !number(w, node->in[2], &end) || !number(w, node->in[3], &axis))
            return false;
        if (node->formal_in > 4 && node->in[4] >= 0 && !number(w, node->in[4], &steps)) return false;
    } else if (tn_match_is(node, "", "Gather")) {
        if (type_of(w, node->in[1])->rank != 0 || !number(w, node->in[1], &out->start)) return false;
        out->own = true;
    } else if (!tn_match_is(node, "", "Split")) {
        return false;
    }
    axis += axis < 0 ? rank : 0;
    if (steps != 1 || axis < 0 || axis >= rank || from->dims[axis] <= 0) return false;
    out->axis = (int)axis;
    if (out->start < 0) out->start += from->dims[axis];
    if (!out->own) out->size = type_of(w, value)->dims[axis];
    if (tn_match_is(node, "", "Split")) {
        const bool sized = node->formal_in > 1 && node->in[1] >= 0;
        if (sized ? !constant_of(w, node->in[1]) : from->dims[axis] % node->out_count) return false;
        for (; node->out[out->part] != value; out->part++) {
            if (node->out[out->part] < 0) return false;
            out->start += type_of(w, node->out[out->part])->dims[axis];
        }
    }
    return out->size > 0 && out->start >= 0 && out->start + out->size <= from->dims[axis];
}

/* What is in[0] of the node that takes, read by others that take. */
static int enter(const walk *w, int value, tn_head_side *out, int part) {
    const tn_node *node = producer_of(w, value);
    out->taker = number_of(w, node);
    out->part = part;
    out->packed = node->in[0];
    return out->packed;
}

/* [..., heads each]: a product, or a part of its columns. */
static bool find_columns(walk *w, int value, const char *name, int heads, tn_head_side *out) {
    take t;
    int64_t size = -1;
    if (read_take(w, value, &t) && !t.own && t.axis == type_of(w, value)->rank - 1 && out->packed < 0) {
        if (!only(w, value)) return false;
        out->flat = true;
        out->first = (size_t)t.start;
        size = t.size;
        value = enter(w, value, out, t.part);
    } else if (!only(w, value)) {
        return false;
    }
    if (!find_product(w, value, name, out)) return false;
    if (size < 0) size = (int64_t)out->linear.n;
    out->heads = heads;
    out->step = out->each = (size_t)(size / heads);
    return size % heads == 0 || no(w, "its %s has %lld columns for %d heads", name, (long long)size, heads);
}

/* The Reshape that makes the heads axis `axis` of `value`, and behind it the product. t: of a part that was taken before; its
 * axis is -1 if there was none. */
static bool find_axis(walk *w, int value, const char *name, int axis, const take *t, tn_head_side *out) {
    const tn_node *node = producer_of(w, value);
    const tn_type *to = type_of(w, value);
    bool fits = to->rank == (t->own ? 5 : 4) && axis >= 2;
    for (int i = 2; i < to->rank; i++) fits &= to->dims[i] > 0;
    fits = fits &&
           (t->own ? (axis == 2 || axis == 3) && t->axis == 5 - axis : axis == 2 && (t->axis == -1 || t->axis == 3));
    if (!fits)
        return no(w, "the axes that Reshape '%s' gives its %s are not [batch, rows, heads, depth]", node_name(w, node),
                  name);
    if (!mendable(w, node, axis)) return false;
    out->reshape = number_of(w, node);
    out->entry = axis;
    const int64_t last = to->dims[to->rank - 1], heads = to->dims[axis], parts = t->own ? to->dims[t->axis] : 1;
    if (heads > MOST_HEADS) return no(w, "it has %lld heads", (long long)heads);
    if (t->axis < 0) {
        return find_columns(w, node->in[0], name, (int)heads, out) &&
               ((int64_t)out->each == last ||
                no(w, "its %s has heads of %zu columns, not %lld", name, out->each, (long long)last));
    }
    out->heads = (int)heads;
    out->each = (size_t)(t->own ? last : t->size);
    out->step = (size_t)(t->own && axis == 3 ? last : last * parts);
    out->first = (size_t)(t->own && axis == 3 ? t->start * heads * last : t->start * (t->own ? last : 1));
    return only(w, node->in[0]) && find_product(w, node->in[0], name, out);
}

/* Heads of K and V that are repeated for groups of those of Q: Reshape([B, H, S, D]) of Expand([B, G, H / G, S, D]) of
 * Unsqueeze. Gives what is unsqueezed; -1: it is not that. */
static int find_repeat(walk *w, const tn_node *merge, tn_head_side *out) {
    const tn_node *expand = producer_of(w, merge->in[0]);
    const tn_node *unsqueeze = expand && tn_match_is(expand, "", "Expand") ? producer_of(w, expand->in[0]) : NULL;
    const tn_type *to = expand ? type_of(w, merge->in[0]) : NULL;
    int64_t axis;
    if (!unsqueeze || !tn_match_is(unsqueeze, "", "Unsqueeze") || !number(w, unsqueeze->in[1], &axis)) return -1;
    if ((axis != 2 && axis != -3) || to->rank != 5 || to->dims[1] <= 0 || to->dims[2] <= 0) return -1;
    const tn_type *from = type_of(w, unsqueeze->in[0]), *merged = type_of(w, merge->out[0]);
    const tn_tensor *shape = constant_of(w, expand->in[1]);
    if (from->rank != 4 || from->dims[1] != to->dims[1] || to->dims[2] > MOST_HEADS ||
        merged->dims[1] != to->dims[1] * to->dims[2])
        return -1;
    if (!shape || shape->dtype != TN_INT64 || tn_count(shape) != 5) {
        no(w, "the shape that Expand '%s' repeats heads to is not constant", node_name(w, expand));
        return -1;
    }
    if (!mendable(w, merge, 1) || !only(w, merge->in[0]) || !only(w, expand->in[0])) return -1;
    out->expand = number_of(w, expand);
    out->merge = number_of(w, merge);
    out->repeats = (int)to->dims[2];
    return unsqueeze->in[0];
}

/* The product behind [batch, heads, ...]. */
static bool find_heads(walk *w, int value, const char *name, tn_head_side *out) {
    int axis = 1, squeezed = -1;
    take t = {.axis = -1};
    *out = nothing;
    for (;;) {
        const tn_node *node = producer_of(w, value);
        take found;
        int64_t gone;
        if (!node) return no(w, "its %s is not made by a product", name);
        if (value != out->packed && !only(w, value)) return false;
        int from = node->formal_in ? node->in[0] : -1;
        if (from < 0 || type_of(w, from)->rank < 1) return not_followed(w, name, node);
        if (t.axis < 0 && read_take(w, value, &found) && (squeezed < 0 || squeezed == found.axis)) {
            if (squeezed >= 0 && (found.own || found.size != 1)) return not_followed(w, name, node);
            axis += found.own && axis >= found.axis;
            if (found.axis == axis) return not_followed(w, name, node);
            found.own |= squeezed >= 0;
            squeezed = -1;
            t = found;
            value = enter(w, value, out, t.part);
            continue;
        }
        if (squeezed >= 0) return not_followed(w, name, node);
        if (tn_match_is(node, "", "Reshape")) {
            from = axis == 1 && t.axis < 0 && out->expand < 0 ? find_repeat(w, node, out) : -1;
            if (from < 0) return !*w->why && find_axis(w, value, name, axis, &t, out);
        } else if (tn_match_is(node, "", "Transpose")) {
            const int rank = type_of(w, value)->rank;
            axis = (int)tn_attr_int_at(node, "perm", axis, rank - 1 - axis);
            if (t.axis >= 0) t.axis = (int)tn_attr_int_at(node, "perm", t.axis, rank - 1 - t.axis);
        } else if (tn_match_is(node, "", "Squeeze") && node->formal_in == 2 && number(w, node->in[1], &gone) &&
                   t.axis < 0) {
            squeezed = (int)(gone < 0 ? gone + type_of(w, from)->rank : gone);
            axis += axis >= squeezed;
        } else if ((tn_match_is(node, "", "Mul") || tn_match_is(node, "", "Div")) && node->formal_in == 2) {
            const int in = tn_match_is(node, "", "Mul") && scalar(w, from);
            if (!scalar(w, node->in[!in])) return not_followed(w, name, node);
            from = node->in[in];
        } else {
            return not_followed(w, name, node);
        }
        value = from;
    }
}

/* The product that reads what the core writes. rank4: it writes [batch, heads, ...]; else heads side by side. */
static bool find_output(walk *w, int value, bool rank4, int heads, tn_head_side *out) {
    int axis = 1;
    const tn_node *node = reader_of(w, value);
    *out = nothing;
    while (rank4 && node && tn_match_is(node, "", "Transpose") && type_of(w, value)->rank == 4) {
        int to = 0;
        while (to < 4 && tn_attr_int_at(node, "perm", to, 3 - to) != axis) to++;
        axis = to;
        value = node->out[0];
        node = reader_of(w, value);
    }
    if (!node) return false;
    if (rank4) {
        const tn_type *from = type_of(w, value);
        if (!tn_match_is(node, "", "Reshape") || node->in[0] != value || axis != 2 || from->dims[2] != heads)
            return no(w, "what reads its heads is %s '%s', not a Reshape to heads side by side", node->op->name,
                      node_name(w, node));
        const tn_type *to = type_of(w, node->out[0]);
        if (to->rank < 1 || from->dims[3] <= 0 || to->dims[to->rank - 1] != heads * from->dims[3])
            return no(w, "Reshape '%s' does not lay its heads side by side", node_name(w, node));
        if (!mendable(w, node, to->rank - 1)) return false;
        out->reshape = number_of(w, node);
        out->entry = to->rank - 1;
        value = node->out[0];
        node = reader_of(w, value);
    }
    if (!node) return false;
    if (node->in[0] != value || !tn_linear_find(w->graph, number_of(w, node), &out->linear))
        return no(w, "%s '%s', which reads its heads, is no product with a constant float32 matrix", node->op->name,
                  node_name(w, node));
    return only(w, out->linear.weight);
}

/* It is the same for all heads of [batch, heads, q, k]. */
static bool broadcasts(const walk *w, const tn_node *node, int in) {
    if (in >= node->formal_in || node->in[in] < 0) return true;
    const tn_type *type = type_of(w, node->in[in]);
    return type->rank >= 0 && (type->rank < 3 || type->dims[type->rank - 3] == 1);
}

/* From what a softmax reads to the product of Q and K^T, through scales and masks. */
static const tn_node *find_scores(walk *w, int value, int64_t heads) {
    for (;;) {
        const tn_node *node = producer_of(w, value);
        if (!node || type_of(w, value)->rank != 4 || type_of(w, value)->dims[1] != heads) {
            no(w, "its scores are not a product of Q and K, [batch, heads, rows, rows]");
            return NULL;
        }
        if (!only(w, value)) return NULL;
        if (tn_match_is(node, "", "MatMul")) return node;
        int way = -1;
        bool fits = tn_match_is(node, "", "Add") || tn_match_is(node, "", "Sub") || tn_match_is(node, "", "Mul") ||
                    tn_match_is(node, "", "Div") || tn_match_is(node, "", "Where");
        for (int i = 0; i < node->formal_in && fits; i++)
            if (!broadcasts(w, node, i)) {
                if (way >= 0) {
                    no(w, "what %s '%s' brings to its scores differs from head to head", node->op->name,
                       node_name(w, node));
                    return NULL;
                }
                way = i;
            }
        if (way < 0) {
            not_followed(w, "scores", node);
            return NULL;
        }
        value = node->in[way];
    }
}

static bool find_pattern(walk *w, const tn_node *core, tn_head_block *b) {
    const tn_node *softmax = producer_of(w, core->in[0]);
    const tn_type *type = type_of(w, core->out[0]);
    const int64_t axis = tn_attr_int(softmax, "axis", -1), heads = type->rank == 4 ? type->dims[1] : -1;
    if (heads < 1 || heads > MOST_HEADS || (axis != -1 && axis != 3))
        return no(w, "its scores are not [batch, heads, rows, rows] with a softmax over the last");
    if (heads == 1) return no(w, "it has one head");
    if (!only(w, core->in[0])) return false;
    const tn_node *scores = find_scores(w, softmax->in[0], heads);
    if (!scores || !find_heads(w, scores->in[0], "Q", &b->q) || !find_heads(w, scores->in[1], "K", &b->k) ||
        !find_heads(w, core->in[1], "V", &b->v) || !find_output(w, core->out[0], true, (int)heads, &b->o))
        return false;
    const bool fits = b->q.repeats == 1 && b->q.heads == heads && (int64_t)b->k.heads * b->k.repeats == heads &&
                      (int64_t)b->v.heads * b->v.repeats == heads;
    return fits || no(w, "Q, K and V do not have the same heads");
}

/* Operators that are a whole core. Q, K and V are their first inputs; of the others all but a mask of scores and one of keys
 * must be absent. heads NULL: it never loses any. */
static const struct whole {
    const char *domain, *op, *heads, *kv_heads;
    int mask, padding;
    const char *never;
} wholes[] = {
    {"", "Attention", "q_num_heads", "kv_num_heads", 3, -1, NULL},
    {"com.microsoft", "MultiHeadAttention", "num_heads", NULL, 5, 4, NULL},
    {"tenon", "ScaledAttention", NULL, NULL, 3, -1, NULL},
    {"com.microsoft", "Attention", NULL, NULL, -1, -1, "the operator holds the matrix of Q, K and V itself"},
    {"com.microsoft", "GroupQueryAttention", NULL, NULL, -1, -1, "the operator keeps a cache of its heads of K and V"},
};

static bool find_whole(walk *w, const tn_node *core, const struct whole *kind, tn_head_block *b) {
    const int rank = core->formal_in >= 3 && core->in[0] >= 0 && core->in[1] >= 0 && core->in[2] >= 0
                         ? type_of(w, core->in[0])->rank
                         : -1;
    if (kind->never) return no(w, "%s", kind->never);
    if (rank != 4 && (rank != 3 || !kind->heads))
        return no(w, "Q, K and V come in a form that is not followed (in one input, or of unknown rank)");
    const bool side_by_side = rank == 3;
    const int64_t heads = side_by_side ? tn_attr_int(core, kind->heads, 0) : type_of(w, core->in[0])->dims[1];
    const int64_t shared = !side_by_side    ? type_of(w, core->in[1])->rank == 4 ? type_of(w, core->in[1])->dims[1] : 0
                           : kind->kv_heads ? tn_attr_int(core, kind->kv_heads, 0)
                                            : heads;
    if (heads < 1 || heads > MOST_HEADS || shared < 1 || heads % shared)
        return no(w, "the number of its heads is not known");
    if (!broadcasts(w, core, kind->mask)) return no(w, "its mask differs from head to head");
    for (int i = 3; i < core->in_count; i++)
        if (core->in[i] >= 0 && i != kind->mask && i != kind->padding)
            return no(w, "it has a bias or a cache (its input %d, '%s')", i, value_name(w, core->in[i]));
    for (int i = 1; i < core->out_count; i++)
        if (core->out[i] >= 0 && w->uses[core->out[i]])
            return no(w, "its output %d, '%s', is read", i, value_name(w, core->out[i]));
    static const char *const names[] = {"Q", "K", "V"};
    tn_head_side *const sides[] = {&b->q, &b->k, &b->v};
    for (int i = 0; i < 3; i++) {
        const int64_t of = i ? shared : heads;
        *sides[i] = nothing;
        if (!side_by_side ? !find_heads(w, core->in[i], names[i], sides[i])
                          : !find_columns(w, core->in[i], names[i], (int)of, sides[i]))
            return false;
        if ((int64_t)sides[i]->heads * sides[i]->repeats != of)
            return no(w, "Q, K and V do not have the heads it asks");
    }
    return find_output(w, core->out[0], !side_by_side, (int)heads, &b->o);
}

/* Who shares a product shares it with other sides of the block alone, and together they take every column once. */
static bool is_covered(walk *w, const tn_head_side *const sides[3], const tn_head_side *s) {
    const size_t n = s->linear.n;
    bool *taken = tn_region_array(w->region, n, sizeof *taken), fits = true;
    size_t columns = 0;
    int sharing = 0;
    if (!taken) w->status = TN_E_MEMORY;
    for (int i = 0; i < 3 && taken; i++) {
        const tn_head_side *o = sides[i];
        if (o->linear.node != s->linear.node) continue;
        sharing++;
        fits &= o->packed == s->packed;
        for (int h = 0; h < o->heads; h++)
            for (size_t c = o->first + (size_t)h * o->step; c < o->first + (size_t)h * o->step + o->each; c++) {
                fits &= c < n && !taken[c];
                if (c < n) taken[c] = true;
                columns++;
            }
    }
    if (s->packed >= 0) {
        const bool split = tn_match_is(&w->graph->nodes[s->taker], "", "Split");
        fits &= w->uses[s->packed] == (split ? 1 : sharing);
    }
    return (fits && columns == n) || no(w, "parts of '%s' are read elsewhere as well", value_name(w, s->packed));
}

static bool finish(walk *w, tn_head_block *b) {
    const tn_head_side *const sides[] = {&b->q, &b->k, &b->v};
    b->units = b->k.heads;
    if (b->v.heads != b->units || b->q.heads % b->units || b->q.each != b->k.each ||
        b->o.linear.k != (size_t)b->q.heads * b->v.each)
        return no(w, "the sizes of Q, K, V and the output product do not fit each other");
    if (b->units < 2) return no(w, b->q.heads < 2 ? "it has one head" : "all its heads share one of K and V");
    for (int i = 0; i < 3; i++)
        if (!is_covered(w, sides, sides[i])) return false;
    return true;
}

/* *known: it is attention, whether it can lose heads or not. */
static bool find_block(walk *w, int n, tn_head_block *b, bool *known) {
    const tn_node *core = &w->graph->nodes[n];
    *b = (tn_head_block){.core = n};
    *w->why = 0;
    *known = true;
    for (size_t i = 0; i < TN_COUNT(wholes); i++)
        if (tn_match_is(core, wholes[i].domain, wholes[i].op))
            return find_whole(w, core, &wholes[i], b) && finish(w, b);
    const tn_node *softmax = tn_match_is(core, "", "MatMul") ? producer_of(w, core->in[0]) : NULL;
    *known = softmax && tn_match_is(softmax, "", "Softmax");
    return *known && find_pattern(w, core, b) && finish(w, b);
}

tn_status tn_heads_find(const tn_graph *graph, const tn_prune_heads_options *options, tn_region *region,
                        tn_head_block **out_blocks, int *out_count) {
    walk w = {.graph = graph, .region = region};
    tn_head_block *blocks = tn_region_array(region, (size_t)graph->node_count + 1, sizeof *blocks);
    w.uses = tn_region_array(region, (size_t)graph->value_count + 1, sizeof *w.uses);
    *out_blocks = blocks;
    *out_count = 0;
    if (!w.uses || !blocks) return TN_E_MEMORY;
    tn_graph_count_uses(graph, w.uses);
    for (int n = 0; n < graph->node_count; n++) {
        tn_head_block *b = &blocks[*out_count];
        bool known;
        const bool found = find_block(&w, n, b, &known);
        TN_TRY(w.status);
        if (found)
            *out_count += !tn_listed(options->keep, graph->nodes[b->o.linear.node].name);
        else if (known && options->stays)
            options->stays(options->context, node_name(&w, &graph->nodes[n]), w.why);
    }
    return TN_OK;
}
