/* Structured pruning: whole attention heads go. See tenon/prune.h.
 *
 * A block of attention is found from its core (the product of a softmax with V, or an operator that is all of it) backwards to
 * the three products that make Q, K and V, and forwards to the product that reads all heads side by side. Where the heads are
 * an axis of their own, it is followed through the transpositions from the Reshape that makes it to the core. A head's rows of
 * Q, K and V and its columns of the output product are cut, and the Reshapes count fewer heads. A block of which any part is
 * not understood, or is read by others as well, stays as it is. */
#include <tenon/prune.h>
#include "compress/matrices.h"
#include <math.h>
#include <stdlib.h>

/* A product with a constant matrix, the constant that is added to it, and the Reshape between it and the core. */
typedef struct side {
    tn_linear linear;
    int bias_node, bias_in; /* -1: none */
    int reshape;            /* node; -1: the core takes heads side by side */
} side;

typedef struct block {
    int core, heads;
    side q, k, v, o;
    double *scores;
    bool *goes;
} block;

typedef struct walk {
    tn_graph *graph;
    tn_prune_heads_options options;
    tn_region *region;
    int *uses;
    block *blocks;
    int count;
} walk;

static bool is(const tn_node *node, const char *domain, const char *op) {
    return strcmp(node->op->domain, domain) == 0 && strcmp(node->op->name, op) == 0;
}

static const tn_type *type_of(const walk *w, int value) {
    return &w->graph->values[value].type;
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

/* The one node that reads the value. NULL: there are others, or none. */
static const tn_node *reader_of(const walk *w, int value) {
    for (int n = 0; n < w->graph->node_count && w->uses[value] == 1; n++)
        for (int i = 0; i < w->graph->nodes[n].formal_in; i++)
            if (w->graph->nodes[n].in[i] == value) return &w->graph->nodes[n];
    return NULL;
}

/* Nothing but one node reads it. */
static bool only(const walk *w, int value) {
    return value >= 0 && w->uses[value] == 1;
}

static bool scalar(const walk *w, int value) {
    const tn_type *type = type_of(w, value);
    for (int i = 0; i < type->rank; i++)
        if (type->dims[i] != 1) return false;
    return type->rank >= 0;
}

/* The product that makes `value`: [..., n]. */
static bool find_product(const walk *w, int value, side *out) {
    const tn_node *node = producer_of(w, value);
    *out = (side){.bias_node = -1, .reshape = -1};
    if (!node || !only(w, value)) return false;
    int bias = node->formal_in == 3 && is(node, "", "Gemm") ? 2 : -1;
    if (is(node, "", "Add")) {
        const tn_node *add = node;
        const int constant = constant_of(w, node->in[0]) ? 0 : 1;
        node = producer_of(w, add->in[!constant]);
        if (!node || !is(node, "", "MatMul") || !only(w, add->in[!constant])) return false;
        out->bias_node = number_of(w, add);
        out->bias_in = constant;
    } else if (bias >= 0 && node->in[bias] >= 0) {
        out->bias_node = number_of(w, node);
        out->bias_in = bias;
    }
    if (!tn_linear_find(w->graph, number_of(w, node), &out->linear) || w->uses[out->linear.weight] != 1) return false;
    if (out->bias_node < 0) return true;
    const int added = w->graph->nodes[out->bias_node].in[out->bias_in];
    const tn_tensor *t = constant_of(w, added);
    return t && t->dtype == TN_FLOAT32 && t->rank >= 1 && w->uses[added] == 1 &&
           tn_count(t) == (int64_t)out->linear.n && t->dims[t->rank - 1] == (int64_t)out->linear.n;
}

/* A shape of which the heads can be counted anew: it is constant, and no entry before copies the axis that is cut. */
static bool mendable(const walk *w, const tn_node *reshape, int before) {
    const tn_tensor *shape = constant_of(w, reshape->in[1]);
    const int rank = type_of(w, reshape->in[0])->rank;
    for (int i = 0; i < before && shape; i++)
        if (((const int64_t *)shape->data)[i] == 0 && (i >= 2 || i >= rank - 1)) return false;
    return shape != NULL;
}

/* The product behind [batch, heads, ...]. */
static bool find_heads(const walk *w, int value, int heads, side *out) {
    int axis = 1;
    for (;;) {
        const tn_node *node = producer_of(w, value);
        if (!node || !only(w, value) || type_of(w, value)->rank != 4) return false;
        if (is(node, "", "Reshape")) {
            const tn_type *to = type_of(w, value);
            const bool last = axis == 2 && to->dims[2] == heads && to->dims[3] > 0 && mendable(w, node, 2);
            if (!last || !find_product(w, node->in[0], out)) return false;
            out->reshape = number_of(w, node);
            return (int64_t)out->linear.n == heads * to->dims[3];
        }
        int in = 0;
        if (is(node, "", "Transpose")) {
            axis = (int)tn_attr_int_at(node, "perm", axis, 3 - axis);
        } else if ((is(node, "", "Mul") || is(node, "", "Div")) && node->formal_in == 2) {
            in = is(node, "", "Mul") && scalar(w, node->in[0]);
            if (!scalar(w, node->in[!in])) return false;
        } else {
            return false;
        }
        value = node->in[in];
    }
}

/* The product that reads what the core writes. rank4: it writes [batch, heads, ...]; else heads side by side. */
static bool find_output(const walk *w, int value, bool rank4, int heads, side *out) {
    int axis = 1;
    const tn_node *node = reader_of(w, value);
    *out = (side){.bias_node = -1, .reshape = -1};
    while (rank4 && node && is(node, "", "Transpose") && type_of(w, value)->rank == 4) {
        int to = 0;
        while (to < 4 && tn_attr_int_at(node, "perm", to, 3 - to) != axis) to++;
        axis = to;
        value = node->out[0];
        node = reader_of(w, value);
    }
    if (rank4) {
        const tn_type *from = type_of(w, value);
        if (!node || !is(node, "", "Reshape") || node->in[0] != value || axis != 2 || from->dims[2] != heads)
            return false;
        const tn_type *to = type_of(w, node->out[0]);
        if (to->rank < 1 || from->dims[3] <= 0 || to->dims[to->rank - 1] != heads * from->dims[3]) return false;
        if (!mendable(w, node, to->rank - 1)) return false;
        out->reshape = number_of(w, node);
        value = node->out[0];
        node = reader_of(w, value);
    }
    return node && node->in[0] == value && tn_linear_find(w->graph, number_of(w, node), &out->linear) &&
           w->uses[out->linear.weight] == 1;
}

/* It is the same for all heads of [batch, heads, q, k]. */
static bool broadcasts(const walk *w, const tn_node *node, int in) {
    if (in >= node->formal_in || node->in[in] < 0) return true;
    const tn_type *type = type_of(w, node->in[in]);
    return type->rank >= 0 && (type->rank < 3 || type->dims[type->rank - 3] == 1);
}

/* From what a softmax reads to the product of Q and K^T, through scales and masks. */
static const tn_node *find_scores(const walk *w, int value, int heads) {
    for (;;) {
        const tn_node *node = producer_of(w, value);
        if (!node || !only(w, value) || type_of(w, value)->rank != 4 || type_of(w, value)->dims[1] != heads)
            return NULL;
        if (is(node, "", "MatMul")) return node;
        if (!is(node, "", "Add") && !is(node, "", "Sub") && !is(node, "", "Mul") && !is(node, "", "Div") &&
            !is(node, "", "Where"))
            return NULL;
        int way = -1;
        for (int i = 0; i < node->formal_in; i++)
            if (!broadcasts(w, node, i)) {
                if (way >= 0) return NULL;
                way = i;
            }
        if (way < 0) return NULL;
        value = node->in[way];
    }
}

static bool find_pattern(const walk *w, const tn_node *core, block *b) {
    const tn_node *softmax = producer_of(w, core->in[0]);
    const tn_type *type = type_of(w, core->out[0]);
    if (!softmax || !is(softmax, "", "Softmax") || type->rank != 4 || type->dims[1] < 2 || type->dims[1] > 4096)
        return false;
    const int64_t axis = tn_attr_int(softmax, "axis", -1);
    b->heads = (int)type->dims[1];
    if ((axis != -1 && axis != 3) || !only(w, core->in[0])) return false;
    const tn_node *scores = find_scores(w, softmax->in[0], b->heads);
    return scores && find_heads(w, scores->in[0], b->heads, &b->q) && find_heads(w, scores->in[1], b->heads, &b->k) &&
           find_heads(w, core->in[1], b->heads, &b->v) && find_output(w, core->out[0], true, b->heads, &b->o);
}

/* Operators that are a whole core. Q, K and V are their first inputs; of the others all but a mask of scores and one of keys
 * must be absent. */
static const struct whole {
    const char *domain, *op, *heads, *kv_heads;
    int mask, padding;
} wholes[] = {
    {"", "Attention", "q_num_heads", "kv_num_heads", 3, -1},
    {"com.microsoft", "MultiHeadAttention", "num_heads", NULL, 5, 4},
    {"tenon", "ScaledAttention", NULL, NULL, 3, -1},
};

static bool find_whole(const walk *w, const tn_node *core, const struct whole *kind, block *b) {
    const int rank = core->formal_in >= 3 && core->in[0] >= 0 ? type_of(w, core->in[0])->rank : -1;
    if (rank != 4 && (rank != 3 || !kind->heads)) return false;
    const int64_t heads = rank == 4 ? type_of(w, core->in[0])->dims[1] : tn_attr_int(core, kind->heads, 0);
    if (heads < 2 || heads > 4096 || !broadcasts(w, core, kind->mask)) return false;
    if (rank == 3 && kind->kv_heads && tn_attr_int(core, kind->kv_heads, 0) != heads) return false;
    for (int i = 3; i < core->in_count; i++)
        if (core->in[i] >= 0 && i != kind->mask && i != kind->padding) return false;
    for (int i = 1; i < core->out_count; i++)
        if (core->out[i] >= 0 && w->uses[core->out[i]]) return false;
    b->heads = (int)heads;
    side *const sides[] = {&b->q, &b->k, &b->v};
    for (int i = 0; i < 3; i++) {
        const bool found = rank == 4 ? find_heads(w, core->in[i], b->heads, sides[i])
                                     : type_of(w, core->in[i])->rank == 3 && find_product(w, core->in[i], sides[i]);
        if (!found) return false;
    }
    return find_output(w, core->out[0], rank == 4, b->heads, &b->o);
}

static bool find_block(const walk *w, int n, block *b) {
    const tn_node *core = &w->graph->nodes[n];
    bool found = false;
    *b = (block){.core = n};
    if (core->formal_in >= 2 && is(core, "", "MatMul") && core->in[0] >= 0) found = find_pattern(w, core, b);
    for (size_t i = 0; i < TN_COUNT(wholes) && !found; i++)
        if (is(core, wholes[i].domain, wholes[i].op)) found = find_whole(w, core, &wholes[i], b);
    if (!found || tn_listed(w->options.keep, w->graph->nodes[b->o.linear.node].name)) return false;
    const size_t heads = (size_t)b->heads;
    return b->q.linear.n == b->k.linear.n && b->q.linear.n % heads == 0 && b->v.linear.n % heads == 0 &&
           b->o.linear.k == b->v.linear.n;
}

/* ---- which heads go ---- */

/* Of each head the norm of what it gives the output, O h: on samples from the products of h with itself, else as V x for x of
 * any direction alike. products NULL: the latter. */
static tn_status score(walk *w, block *b, const double *products) {
    const size_t each = b->v.linear.n / (size_t)b->heads, all = b->v.linear.n;
    const float *o = tn_linear_read(w->graph, &b->o.linear, w->region);
    const float *v = products ? o : tn_linear_read(w->graph, &b->v.linear, w->region);
    double mean = 0;
    b->scores = tn_region_array(w->region, (size_t)b->heads, sizeof *b->scores);
    b->goes = tn_region_array(w->region, (size_t)b->heads, sizeof *b->goes);
    if (!o || !v || !b->scores || !b->goes) return TN_E_MEMORY;
    for (size_t h = 0; h < (size_t)b->heads; h++) {
        double sum = 0;
        for (size_t i = h * each; i < (h + 1) * each; i++)
            for (size_t j = i; j < (h + 1) * each; j++) {
                double in = products ? products[i * all + j] : 0, out = 0;
                for (size_t c = 0; c < b->v.linear.k && !products; c++)
                    in += (double)v[i * b->v.linear.k + c] * (double)v[j * b->v.linear.k + c];
                for (size_t r = 0; r < b->o.linear.n; r++) out += (double)o[r * all + i] * (double)o[r * all + j];
                sum += (i == j ? 1 : 2) * in * out;
            }
        b->scores[h] = sqrt(fmax(sum, 0));
        mean += b->scores[h] / b->heads;
    }
    for (int h = 0; h < b->heads; h++) b->scores[h] = mean > 0 ? b->scores[h] / mean : 0;
    return TN_OK;
}

static tn_status score_all(walk *w) {
    tn_activations *seen = tn_region_array(w->region, (size_t)w->count + 1, sizeof *seen);
    if (!seen) return TN_E_MEMORY;
    for (int i = 0; i < w->count; i++) {
        TN_TRY(tn_weights_finite(w->graph, w->blocks[i].v.linear.weight));
        TN_TRY(tn_weights_finite(w->graph, w->blocks[i].o.linear.weight));
        const tn_linear *o = &w->blocks[i].o.linear;
        seen[i] = (tn_activations){.value = w->graph->nodes[o->node].in[0], .k = o->k, .wants_products = true};
    }
    if (w->options.sample_count)
        TN_TRY(
            tn_activations_collect(w->graph, w->count, seen, w->options.samples, w->options.sample_count, w->region));
    for (int i = 0; i < w->count; i++)
        TN_TRY(score(w, &w->blocks[i], w->options.sample_count ? seen[i].products : NULL));
    return TN_OK;
}

/* Takes the least of the block, or of all blocks, that may go. False: none may. */
static bool take_least(walk *w, int from, int to, const int *left) {
    bool *least = NULL;
    double score = INFINITY;
    for (int i = from; i < to; i++)
        for (int h = 0; h < w->blocks[i].heads && left[i] > 1; h++)
            if (!w->blocks[i].goes[h] && w->blocks[i].scores[h] < score) {
                score = w->blocks[i].scores[h];
                least = &w->blocks[i].goes[h];
            }
    if (least) *least = true;
    return least != NULL;
}

static tn_status choose(walk *w) {
    int *left = tn_region_array(w->region, (size_t)w->count + 1, sizeof *left), all = 0;
    if (!left) return TN_E_MEMORY;
    for (int i = 0; i < w->count; i++) all += w->blocks[i].heads;
    const int step = w->options.global ? w->count : 1;
    for (int from = 0; from < w->count; from += step) {
        const int heads = w->options.global ? all : w->blocks[from].heads;
        for (int wanted = (int)(w->options.sparsity * heads + 1e-9); wanted > 0; wanted--) {
            for (int i = from; i < from + step; i++) {
                left[i] = w->blocks[i].heads;
                for (int h = 0; h < w->blocks[i].heads; h++) left[i] -= w->blocks[i].goes[h];
            }
            if (!take_least(w, from, from + step, left)) break;
        }
    }
    return TN_OK;
}

/* ---- cutting ---- */

static int kept_of(const block *b) {
    int kept = 0;
    for (int h = 0; h < b->heads; h++) kept += !b->goes[h];
    return kept;
}

static tn_status set_constant(tn_graph *graph, int node, int in, const char *name, tn_tensor *t) {
    const int value = t ? tn_graph_add_constant(graph, name, t) : -1;
    if (value < 0) return TN_E_MEMORY;
    graph->nodes[node].in[in] = value;
    return TN_OK;
}

static tn_status cut(tn_graph *graph, const block *b, int node, int in, int axis) {
    const int value = graph->nodes[node].in[in];
    const tn_tensor *from = graph->values[value].constant;
    int64_t dims[TN_MAX_RANK], inner = 1, outer = 1;
    memcpy(dims, from->dims, sizeof dims);
    const int64_t each = from->dims[axis] / b->heads;
    dims[axis] = each * kept_of(b);
    for (int i = 0; i < from->rank; i++) *(i < axis ? &outer : &inner) *= i == axis ? 1 : from->dims[i];
    tn_tensor *to = tn_graph_tensor(graph, TN_FLOAT32, from->rank, dims, NULL);
    if (!to) return TN_E_MEMORY;
    const size_t run = (size_t)(each * inner);
    float *dst = to->data;
    for (int64_t i = 0; i < outer * b->heads; i++)
        if (!b->goes[i % b->heads]) {
            memcpy(dst, (const float *)from->data + (size_t)i * run, run * sizeof *dst);
            dst += run;
        }
    return set_constant(graph, node, in, graph->values[value].name, to);
}

/* The Reshape's entry `at` counts `now`; a -1 there goes on counting by itself. */
static tn_status count_anew(tn_graph *graph, int n, int at, int64_t now) {
    const tn_tensor *old = graph->values[graph->nodes[n].in[1]].constant;
    tn_tensor *shape = tn_graph_tensor(graph, TN_INT64, 1, old->dims, NULL);
    if (!shape) return TN_E_MEMORY;
    int64_t *entries = shape->data;
    memcpy(entries, old->data, (size_t)old->dims[0] * sizeof *entries);
    if (entries[at] != -1) entries[at] = now;
    return set_constant(graph, n, 1, "", shape);
}

static tn_status cut_block(tn_graph *graph, const block *b) {
    const side *const sides[] = {&b->q, &b->k, &b->v};
    const int kept = kept_of(b);
    for (int i = 0; i < 3; i++) {
        const side *s = sides[i];
        TN_TRY(cut(graph, b, s->linear.node, 1, s->linear.rows ? 0 : 1));
        if (s->bias_node >= 0) {
            const tn_node *node = &graph->nodes[s->bias_node];
            TN_TRY(cut(graph, b, s->bias_node, s->bias_in, graph->values[node->in[s->bias_in]].constant->rank - 1));
        }
        if (s->reshape >= 0) TN_TRY(count_anew(graph, s->reshape, 2, kept));
    }
    TN_TRY(cut(graph, b, b->o.linear.node, 1, b->o.linear.rows ? 1 : 0));
    if (b->o.reshape >= 0) {
        const int last = graph->values[graph->nodes[b->o.reshape].out[0]].type.rank - 1;
        TN_TRY(count_anew(graph, b->o.reshape, last, (int64_t)b->v.linear.n / b->heads * kept));
    }
    static const char *const counts[] = {"num_heads", "q_num_heads", "kv_num_heads"};
    for (size_t i = 0; i < TN_COUNT(counts); i++)
        if (tn_node_attr(&graph->nodes[b->core], counts[i]))
            TN_TRY(tn_node_set_int(graph, &graph->nodes[b->core], counts[i], kept));
    return TN_OK;
}

static tn_status prune_heads(walk *w, tn_weights_report *report) {
    tn_graph *graph = w->graph;
    TN_TRY(tn_settle_shapes(graph));
    w->uses = tn_region_array(w->region, (size_t)graph->value_count + 1, sizeof *w->uses);
    w->blocks = tn_region_array(w->region, (size_t)graph->node_count + 1, sizeof *w->blocks);
    if (!w->uses || !w->blocks) return TN_E_MEMORY;
    tn_graph_count_uses(graph, w->uses);
    for (int n = 0; n < graph->node_count; n++) w->count += find_block(w, n, &w->blocks[w->count]);
    TN_TRY(score_all(w));
    TN_TRY(choose(w));
    for (int i = 0; i < w->count; i++) {
        if (kept_of(&w->blocks[i]) == w->blocks[i].heads) continue;
        TN_TRY(cut_block(graph, &w->blocks[i]));
        report->layers++;
    }
    for (int n = 0; n < graph->node_count && report->layers; n++) /* shapes are other ones now */
        for (int i = 0; i < graph->nodes[n].out_count; i++)
            if (graph->nodes[n].out[i] >= 0) tn_type_unknown(&graph->values[graph->nodes[n].out[i]].type);
    return TN_OK;
}

tn_status tn_graph_prune_heads(tn_graph *graph, const tn_prune_heads_options *options, tn_weights_report *out_report) {
    walk w = {.graph = graph, .options = {.struct_size = sizeof w.options}};
    tn_weights_report report;
    if (options) memcpy(&w.options, options, TN_MIN(options->struct_size, sizeof w.options));
    if (!(w.options.sparsity >= 0 && w.options.sparsity < 1))
        return tn_fail(TN_E_INVALID, "a sparsity of %g; expected the share of heads that go, from 0 to below 1",
                       w.options.sparsity);
    if (w.options.sample_count && !w.options.samples)
        return tn_fail(TN_E_INVALID, "%zu samples are announced, and there are none", w.options.sample_count);
    TN_TRY(tn_weights_begin(graph, &report));
    w.region = tn_region_create(NULL);
    tn_status status = w.region ? prune_heads(&w, &report) : TN_E_MEMORY;
    tn_region_destroy(w.region);
    TN_TRY(status);
    return tn_weights_end(graph, &report, out_report);
}
