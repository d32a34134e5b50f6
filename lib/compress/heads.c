/* Structured pruning: whole attention heads go. See tenon/prune.h.
 *
 * A head's columns of the products that make Q, K and V and its rows of the output product are cut, and Reshapes, Splits and
 * Slices between them count fewer. Where heads of Q share one of K and V they go together. */
#include "compress/heads.h"
#include <math.h>

typedef struct walk {
    tn_graph *graph;
    tn_prune_heads_options options;
    tn_region *region;
    tn_head_block *blocks;
    int count;
} walk;

/* ---- which heads go, as units ---- */

/* Of each unit the norm of what it gives the output, O h: on samples from the products of h with itself, else as V x for x of
 * any direction alike, in each head of the unit by itself. products NULL: the latter. */
static tn_status score(walk *w, tn_head_block *b, const double *products) {
    const size_t all = b->o.linear.k, unit = all / (size_t)b->units, each = b->v.each;
    const float *o = tn_linear_read(w->graph, &b->o.linear, w->region);
    const float *v = products ? o : tn_linear_read(w->graph, &b->v.linear, w->region);
    double mean = 0;
    b->scores = tn_region_array(w->region, (size_t)b->units, sizeof *b->scores);
    b->goes = tn_region_array(w->region, (size_t)b->units, sizeof *b->goes);
    if (!o || !v || !b->scores || !b->goes) return TN_E_MEMORY;
    for (size_t h = 0; h < (size_t)b->units; h++) {
        const float *mine = v + (b->v.first + h * b->v.step) * b->v.linear.k;
        double sum = 0;
        for (size_t i = 0; i < unit; i++)
            for (size_t j = i; j < (products ? unit : (i / each + 1) * each); j++) {
                double in = products ? products[(h * unit + i) * all + h * unit + j] : 0, out = 0;
                for (size_t c = 0; c < b->v.linear.k && !products; c++)
                    in += (double)mine[i % each * b->v.linear.k + c] * (double)mine[j % each * b->v.linear.k + c];
                for (size_t r = 0; r < b->o.linear.n; r++)
                    out += (double)o[r * all + h * unit + i] * (double)o[r * all + h * unit + j];
                sum += (i == j ? 1 : 2) * in * out;
            }
        b->scores[h] = sqrt(fmax(sum, 0));
        mean += b->scores[h] / b->units;
    }
    for (int h = 0; h < b->units; h++) b->scores[h] = mean > 0 ? b->scores[h] / mean : 0;
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
        for (int h = 0; h < w->blocks[i].units && left[i] > 1; h++)
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
    for (int i = 0; i < w->count; i++) all += w->blocks[i].units;
    const int step = w->options.global ? w->count : 1;
    for (int from = 0; from < w->count; from += step) {
        const int heads = w->options.global ? all : w->blocks[from].units;
        for (int wanted = (int)(w->options.sparsity * heads + 1e-9); wanted > 0; wanted--) {
            for (int i = from; i < from + step; i++) {
                left[i] = w->blocks[i].units;
                for (int h = 0; h < w->blocks[i].units; h++) left[i] -= w->blocks[i].goes[h];
            }
            if (!take_least(w, from, from + step, left)) break;
        }
    }
    return TN_OK;
}

/* ---- cutting ---- */

static int kept_of(const tn_head_block *b) {
    int kept = 0;
    for (int h = 0; h < b->units; h++) kept += !b->goes[h];
    return kept;
}

static tn_status set_constant(tn_graph *graph, int node, int in, const char *name, tn_tensor *t) {
    const int value = t ? tn_graph_add_constant(graph, name, t) : -1;
    if (value < 0) return TN_E_MEMORY;
    graph->nodes[node].in[in] = value;
    return TN_OK;
}

/* An input of a node without what goes along an axis. */
static tn_status cut(tn_graph *graph, int node, int in, int axis, const bool *goes) {
    const int value = graph->nodes[node].in[in];
    const tn_tensor *from = graph->values[value].constant;
    int64_t dims[TN_MAX_RANK], inner = 1, outer = 1;
    memcpy(dims, from->dims, sizeof dims);
    for (int64_t i = 0; i < from->dims[axis]; i++) dims[axis] -= goes[i];
    for (int i = 0; i < from->rank; i++) *(i < axis ? &outer : &inner) *= i == axis ? 1 : from->dims[i];
    tn_tensor *to = tn_graph_tensor(graph, TN_FLOAT32, from->rank, dims, NULL);
    if (!to) return TN_E_MEMORY;
    const char *src = from->data;
    float *dst = to->data;
    for (int64_t i = 0; i < outer * from->dims[axis]; i++, src += (size_t)inner * sizeof *dst)
        if (!goes[i % from->dims[axis]]) {
            memcpy(dst, src, (size_t)inner * sizeof *dst);
            dst += inner;
        }
    return set_constant(graph, node, in, graph->values[value].name, to);
}

/* Entry `at` of a list of numbers that a node reads is another one. */
static tn_status count_anew(tn_graph *graph, int n, int in, int at, int64_t now) {
    const tn_tensor *old = graph->values[graph->nodes[n].in[in]].constant;
    tn_tensor *list = tn_graph_tensor(graph, TN_INT64, old->rank, old->dims, NULL);
    if (!list) return TN_E_MEMORY;
    int64_t *entries = list->data;
    memcpy(entries, old->data, (size_t)tn_count(old) * sizeof *entries);
    entries[at] = now;
    return set_constant(graph, n, in, "", list);
}

/* Likewise of a Reshape's shape, where a -1 goes on counting by itself. */
static tn_status reshape_anew(tn_graph *graph, int n, int at, int64_t now) {
    const tn_tensor *old = graph->values[graph->nodes[n].in[1]].constant;
    return ((const int64_t *)old->data)[at] == -1 ? TN_OK : count_anew(graph, n, 1, at, now);
}

/* Columns of the sides that share one product. */
static bool *columns_that_go(const walk *w, const tn_head_block *b, const tn_head_side *const sides[3],
                             const tn_head_side *of) {
    bool *goes = tn_region_array(w->region, of->linear.n, sizeof *goes);
    for (int i = 0; i < 3 && goes; i++) {
        const tn_head_side *s = sides[i];
        for (int h = 0; h < s->heads && s->linear.node == of->linear.node; h++)
            if (b->goes[h / (s->heads / b->units)])
                memset(goes + s->first + (size_t)h * s->step, true, s->each * sizeof *goes);
    }
    return goes;
}

/* What stands between the product and the core counts fewer heads. */
static tn_status mend(tn_graph *graph, const tn_head_side *s, int heads, const bool *goes) {
    if (s->reshape >= 0) TN_TRY(reshape_anew(graph, s->reshape, s->entry, heads));
    if (s->expand >= 0) TN_TRY(count_anew(graph, s->expand, 1, 1, 1)); /* as many as there are */
    if (s->merge >= 0) TN_TRY(reshape_anew(graph, s->merge, 1, (int64_t)heads * s->repeats));
    if (!s->flat) return TN_OK;
    const tn_node *taker = &graph->nodes[s->taker];
    const int64_t size = (int64_t)s->each * heads;
    int64_t start = 0;
    for (size_t c = 0; c < s->first; c++) start += !goes[c];
    if (strcmp(taker->op->name, "Split") == 0)
        return taker->formal_in > 1 && taker->in[1] >= 0 ? count_anew(graph, s->taker, 1, s->part, size) : TN_OK;
    TN_TRY(count_anew(graph, s->taker, 1, 0, start));
    return count_anew(graph, s->taker, 2, 0, start + size);
}

static tn_status cut_block(const walk *w, const tn_head_block *b) {
    tn_graph *graph = w->graph;
    const tn_head_side *const sides[] = {&b->q, &b->k, &b->v};
    const int kept = kept_of(b);
    for (int i = 0; i < 3; i++) {
        const tn_head_side *s = sides[i];
        const bool *goes = columns_that_go(w, b, sides, s);
        bool is_cut = false;
        if (!goes) return TN_E_MEMORY;
        for (int j = 0; j < i; j++) is_cut |= sides[j]->linear.node == s->linear.node;
        if (!is_cut) TN_TRY(cut(graph, s->linear.node, 1, s->linear.rows ? 0 : 1, goes));
        if (!is_cut && s->bias_node >= 0) {
            const int added = graph->nodes[s->bias_node].in[s->bias_in];
            TN_TRY(cut(graph, s->bias_node, s->bias_in, graph->values[added].constant->rank - 1, goes));
        }
        TN_TRY(mend(graph, s, s->heads / b->units * kept, goes));
    }
    const size_t unit = b->o.linear.k / (size_t)b->units;
    bool *goes = tn_region_array(w->region, b->o.linear.k, sizeof *goes);
    if (!goes) return TN_E_MEMORY;
    for (size_t i = 0; i < b->o.linear.k; i++) goes[i] = b->goes[i / unit];
    TN_TRY(cut(graph, b->o.linear.node, 1, b->o.linear.rows ? 1 : 0, goes));
    if (b->o.reshape >= 0) TN_TRY(reshape_anew(graph, b->o.reshape, b->o.entry, (int64_t)unit * kept));
    static const char *const counts[] = {"num_heads", "q_num_heads", "kv_num_heads"};
    for (size_t i = 0; i < TN_COUNT(counts); i++)
        if (tn_node_attr(&graph->nodes[b->core], counts[i])) {
            const int heads = i == 1 ? b->q.heads / b->units * kept : kept;
            TN_TRY(tn_node_set_int(graph, &graph->nodes[b->core], counts[i], heads));
        }
    return TN_OK;
}

static tn_status prune_heads(walk *w, tn_weights_report *report) {
    tn_graph *graph = w->graph;
    TN_TRY(tn_settle_shapes(graph));
    TN_TRY(tn_heads_find(graph, &w->options, w->region, &w->blocks, &w->count));
    TN_TRY(score_all(w));
    TN_TRY(choose(w));
    for (int i = 0; i < w->count; i++) {
        if (kept_of(&w->blocks[i]) == w->blocks[i].units) continue;
        TN_TRY(cut_block(w, &w->blocks[i]));
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
