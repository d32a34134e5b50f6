/* Structured pruning: whole residual blocks go. See tenon/prune.h.
 *
 * Where a node adds x and f(x), and f has weights, all that reads the sum can read x in its place. Which block goes is
 * measured: each is left out in turn of a copy, and the one that changes the graph's outputs least goes; then all that are
 * left are tried anew, as what a block is worth depends on which others are there. */
#include <tenon/prune.h>
#include "compress/matrices.h"
#include <math.h>

typedef struct block {
    int add, x; /* node, value */
} block;

static bool weights_in(const tn_graph *graph, const tn_node *node) {
    for (int i = 0; i < node->formal_in; i++) {
        const tn_tensor *t = node->in[i] >= 0 ? graph->values[node->in[i]].constant : NULL;
        if (t && t->dtype == TN_FLOAT32 && t->rank >= 2 && tn_count(t) > 1) return true;
    }
    return false;
}

/* It is made of x by way of weights. reached: values, 2 where weights lie between. */
static bool made_of(const tn_graph *graph, int value, int x, char *reached) {
    memset(reached, 0, (size_t)graph->value_count);
    reached[x] = 1;
    for (int n = graph->values[x].producer + 1; n <= graph->values[value].producer; n++) {
        const tn_node *node = &graph->nodes[n];
        char from = 0;
        for (int i = 0; i < node->in_count; i++)
            if (node->in[i] >= 0) from = TN_MAX(from, reached[node->in[i]]);
        if (from && weights_in(graph, node)) from = 2;
        for (int i = 0; i < node->out_count; i++)
            if (node->out[i] >= 0) reached[node->out[i]] = from;
    }
    return reached[value] == 2;
}

/* As far as is known; the samples tell the rest. An x of 1 that is spread over an axis is another shape. */
static bool same_shape(const tn_type *x, const tn_type *sum) {
    if (x->rank < 1 || x->rank != sum->rank || x->dtype != TN_FLOAT32 || sum->dtype != TN_FLOAT32) return false;
    for (int i = 0; i < x->rank; i++)
        if (x->dims[i] != sum->dims[i] && (x->dims[i] == 1 || (x->dims[i] >= 0 && sum->dims[i] >= 0))) return false;
    return true;
}

/* Of a sorted graph. */
static tn_status find_blocks(const tn_graph *graph, const char *keep, tn_region *region, block **out, int *out_count) {
    char *reached = tn_region_alloc(region, (size_t)graph->value_count + 1);
    *out = tn_region_array(region, (size_t)graph->node_count + 1, sizeof **out);
    *out_count = 0;
    if (!reached || !*out) return TN_E_MEMORY;
    for (int n = 0; n < graph->node_count; n++) {
        const tn_node *node = &graph->nodes[n];
        if (*node->op->domain || strcmp(node->op->name, "Add") != 0 || tn_listed(keep, node->name)) continue;
        for (int i = 0; i < 2; i++) {
            const int x = node->in[i], f = node->in[1 - i];
            if (graph->values[x].constant || graph->values[f].producer <= graph->values[x].producer) continue;
            if (!same_shape(&graph->values[x].type, &graph->values[node->out[0]].type)) continue;
            if (!made_of(graph, f, x, reached)) continue;
            (*out)[(*out_count)++] = (block){n, x};
            break;
        }
    }
    return TN_OK;
}

static tn_status leave_out(tn_graph *graph, const block *b) {
    const int sum = graph->nodes[b->add].out[0];
    graph->nodes[b->add].dead = true;
    TN_TRY(tn_graph_redirect(graph, sum, b->x));
    tn_graph_compact(graph);
    TN_TRY(tn_graph_sort(graph));
    return tn_graph_drop_unused(graph, NULL);
}

static tn_status try_without(const tn_graph *graph, const tn_prune_layers_options *o, const block *b, tn_outputs *seen,
                             double *error) {
    tn_graph *copy;
    TN_TRY(tn_graph_copy(graph, true, &copy));
    tn_status status = leave_out(copy, b);
    if (status == TN_OK) status = tn_outputs_compare(seen, copy, o->samples, o->sample_count, error);
    tn_graph_destroy(copy);
    if (status == TN_E_SHAPE) *error = INFINITY;
    return status == TN_E_SHAPE ? TN_OK : status;
}

static tn_status prune_layers(tn_graph *graph, const tn_prune_layers_options *o, tn_region *region,
                              tn_weights_report *report) {
    tn_outputs seen = {.region = region};
    TN_TRY(tn_settle_shapes(graph));
    TN_TRY(tn_outputs_collect(&seen, graph, o->samples, o->sample_count));
    while (!o->count || report->layers < o->count) {
        block *blocks;
        int count, least = -1;
        double error, lowest = INFINITY;
        TN_TRY(find_blocks(graph, o->keep, region, &blocks, &count));
        for (int i = 0; i < count; i++) {
            TN_TRY(try_without(graph, o, &blocks[i], &seen, &error));
            if (!(error < lowest)) continue;
            lowest = error;
            least = i;
        }
        if (least < 0 || (o->max_error > 0 && lowest > o->max_error)) return TN_OK;
        TN_TRY(leave_out(graph, &blocks[least]));
        TN_TRY(tn_graph_infer(graph));
        report->layers++;
        report->error = lowest;
    }
    return TN_OK;
}

tn_status tn_graph_prune_layers(tn_graph *graph, const tn_prune_layers_options *options,
                                tn_weights_report *out_report) {
    tn_prune_layers_options o = {.struct_size = sizeof o};
    tn_weights_report report;
    if (options) memcpy(&o, options, TN_MIN(options->struct_size, sizeof o));
    if (o.count < 0 || !(o.max_error >= 0) || (!o.count && o.max_error == 0))
        return tn_fail(TN_E_INVALID, "a count of %d and a max_error of %g; expected one of them above 0", o.count,
                       o.max_error);
    if (!o.samples || !o.sample_count)
        return tn_fail(TN_E_INVALID, "which block goes is measured on samples, and there are none");
    TN_TRY(tn_weights_begin(graph, &report));
    tn_region *region = tn_region_create(NULL);
    tn_status status = region ? prune_layers(graph, &o, region, &report) : TN_E_MEMORY;
    tn_region_destroy(region);
    TN_TRY(status);
    return tn_weights_end(graph, &report, out_report);
}
