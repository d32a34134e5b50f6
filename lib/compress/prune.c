/* Pruning of single weights and blocks: see tenon/prune.h.
 *
 * Weights fall into units (single ones, or blocks) and units into runs (a layer, a row, m neighbours, or all there are) in
 * each of which the units of the lowest scores go, so many that the share of zeros is met. */
#include <tenon/prune.h>
#include "compress/matrices.h"
#include <math.h>
#include <stdlib.h>

typedef struct unit {
    float score;
    uint32_t layer;
    size_t at; /* row * k + column of its first weight */
} unit;

typedef struct prune {
    const tn_graph *graph;
    const tn_prune_options *options;
    tn_linear *layers;
    int count;
    float **weights;        /* of each layer, [n, k]; NULL: it stays */
    tn_activations *inputs; /* of each layer, with samples */
    tn_region *region;
} prune;

static int lower_first(const void *a, const void *b) {
    const unit *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? -1 : 1;
    if (x->layer != y->layer) return x->layer < y->layer ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

static tn_status check_options(tn_prune_options *o, bool looks_at_sparsity) {
    if (!o->kept && !o->of) o->kept = 2, o->of = 4;
    if (!o->block_rows && !o->block_columns) o->block_rows = 4, o->block_columns = 1;
    if (o->damping == 0) o->damping = 0.01;
    if ((int)o->pattern < 0 || o->pattern > TN_PRUNE_BLOCKS || (int)o->criterion < 0 ||
        o->criterion > TN_PRUNE_SPARSEGPT)
        return tn_fail(TN_E_INVALID, "pattern %d or criterion %d does not exist", (int)o->pattern, (int)o->criterion);
    if (looks_at_sparsity && !(o->sparsity >= 0 && o->sparsity < 1))
        return tn_fail(TN_E_INVALID, "a sparsity of %g; expected a share from 0 to below 1", o->sparsity);
    if (o->pattern == TN_PRUNE_N_OF_M && (o->kept < 1 || o->of > 64 || o->kept >= o->of))
        return tn_fail(TN_E_INVALID, "%d of %d weights; expected fewer than there are, as 2 of 4", o->kept, o->of);
    if (o->pattern == TN_PRUNE_BLOCKS && (o->block_rows < 1 || o->block_columns < 1))
        return tn_fail(TN_E_INVALID, "blocks of %d x %d; expected whole numbers from 1 on", o->block_rows,
                       o->block_columns);
    if (o->criterion != TN_PRUNE_MAGNITUDE && (o->global || o->pattern == TN_PRUNE_BLOCKS))
        return tn_fail(TN_E_UNSUPPORTED,
                       "criteria of samples compare within a row: not with `global` and not for blocks");
    if (o->criterion != TN_PRUNE_MAGNITUDE && (!o->samples || !o->sample_count))
        return tn_fail(TN_E_INVALID, "Wanda and SparseGPT need samples: runs of the graph to look at");
    return TN_OK;
}

/* ---- scores and runs ---- */

static size_t units_of(const prune *p, const tn_linear *l) {
    if (p->options->pattern != TN_PRUNE_BLOCKS) return l->n * l->k;
    const size_t r = (size_t)p->options->block_rows, c = (size_t)p->options->block_columns;
    return ((l->n + r - 1) / r) * ((l->k + c - 1) / c);
}

static float score_block(const prune *p, const tn_linear *l, const float *w, size_t row, size_t column) {
    double sum = 0;
    const size_t rows = TN_MIN((size_t)p->options->block_rows, l->n - row);
    const size_t columns = TN_MIN((size_t)p->options->block_columns, l->k - column);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++) {
            double x = (double)w[(row + i) * l->k + column + j];
            sum += x * x;
        }
    return (float)(sum / (double)(rows * columns));
}

static void list_units(const prune *p, int layer, unit *units) {
    const tn_linear *l = &p->layers[layer];
    const float *w = p->weights[layer];
    if (p->options->pattern == TN_PRUNE_BLOCKS) {
        for (size_t r = 0; r < l->n; r += (size_t)p->options->block_rows)
            for (size_t c = 0; c < l->k; c += (size_t)p->options->block_columns)
                *units++ = (unit){score_block(p, l, w, r, c), (uint32_t)layer, r * l->k + c};
        return;
    }
    for (size_t i = 0; i < l->n * l->k; i++) {
        double x = fabs((double)w[i]);
        if (p->options->criterion == TN_PRUNE_WANDA) x *= sqrt(p->inputs[layer].squares[i % l->k]);
        units[i] = (unit){(float)x, (uint32_t)layer, i};
    }
}

static void clear_unit(const prune *p, const unit *u) {
    const tn_linear *l = &p->layers[u->layer];
    float *w = p->weights[u->layer];
    size_t rows = 1, columns = 1;
    if (p->options->pattern == TN_PRUNE_BLOCKS) {
        rows = TN_MIN((size_t)p->options->block_rows, l->n - u->at / l->k);
        columns = TN_MIN((size_t)p->options->block_columns, l->k - u->at % l->k);
    }
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++) w[u->at + i * l->k + j] = 0;
}

/* The lowest `gone` of a run of units go. */
static void clear_run(const prune *p, unit *units, size_t count, size_t gone) {
    qsort(units, count, sizeof *units, lower_first);
    for (size_t i = 0; i < gone; i++) clear_unit(p, &units[i]);
}

static size_t share(double sparsity, size_t count) {
    return (size_t)(sparsity * (double)count + 1e-9);
}

static tn_status prune_layer(const prune *p, int layer) {
    const tn_linear *l = &p->layers[layer];
    const tn_prune_options *o = p->options;
    const size_t count = units_of(p, l), m = (size_t)o->of;
    unit *units = tn_alloc(NULL, count * sizeof *units);
    if (!units) return TN_E_MEMORY;
    list_units(p, layer, units);
    if (o->pattern == TN_PRUNE_N_OF_M) {
        for (size_t r = 0; r < l->n; r++)
            for (size_t c = 0; c < l->k; c += m) {
                size_t some = TN_MIN(m, l->k - c);
                clear_run(p, units + r * l->k + c, some, some > (size_t)o->kept ? some - (size_t)o->kept : 0);
            }
    } else if (o->criterion == TN_PRUNE_WANDA) {
        for (size_t r = 0; r < l->n; r++) clear_run(p, units + r * l->k, l->k, share(o->sparsity, l->k));
    } else {
        clear_run(p, units, count, share(o->sparsity, count));
    }
    tn_free(NULL, units, count * sizeof *units);
    return TN_OK;
}

static tn_status prune_globally(const prune *p) {
    size_t count = 0, at = 0;
    for (int i = 0; i < p->count; i++) count += units_of(p, &p->layers[i]);
    unit *units = tn_alloc(NULL, (count + 1) * sizeof *units);
    if (!units) return TN_E_MEMORY;
    for (int i = 0; i < p->count; at += units_of(p, &p->layers[i]), i++) list_units(p, i, units + at);
    clear_run(p, units, count, share(p->options->sparsity, count));
    tn_free(NULL, units, (count + 1) * sizeof *units);
    return TN_OK;
}

/* ---- SparseGPT ---- */

/* One row: within each stretch of columns the weights whose loss is least go, and those behind them make up for it. */
static void sparsegpt_row(const tn_prune_options *o, size_t k, const float *factor, float *w, unit *units) {
    const bool pattern = o->pattern == TN_PRUNE_N_OF_M;
    const size_t stretch = pattern ? (size_t)o->of : 128;
    for (size_t from = 0; from < k; from += stretch) {
        const size_t count = TN_MIN(stretch, k - from);
        size_t gone = pattern ? (count > (size_t)o->kept ? count - (size_t)o->kept : 0) : share(o->sparsity, count);
        for (size_t i = 0; i < count; i++) {
            float x = w[from + i] / factor[(from + i) * k + from + i];
            units[i] = (unit){x * x, 0, from + i};
        }
        qsort(units, count, sizeof *units, lower_first);
        bool out[128] = {false};
        for (size_t i = 0; i < gone; i++) out[units[i].at - from] = true;
        for (size_t i = from; i < from + count; i++) {
            if (!out[i - from]) continue;
            const float *line = factor + i * k, step = w[i] / line[i];
            w[i] = 0;
            for (size_t j = i + 1; j < k; j++) w[j] -= step * line[j];
        }
    }
}

static tn_status sparsegpt(const prune *p, int layer) {
    const tn_linear *l = &p->layers[layer];
    const size_t k = l->k;
    tn_region *region = tn_region_create(NULL);
    float *factor = region ? tn_region_array(region, k * k, sizeof *factor) : NULL;
    unit *units = factor ? tn_region_array(region, 128, sizeof *units) : NULL;
    double *h = units ? tn_region_array(region, k * k, sizeof *h) : NULL;
    tn_status status = h ? TN_OK : TN_E_MEMORY;
    if (h) memcpy(h, p->inputs[layer].products, k * k * sizeof *h);
    if (status == TN_OK) status = tn_inverse_cholesky(h, k, p->options->damping);
    if (status == TN_OK) {
        for (size_t i = 0; i < k * k; i++) factor[i] = (float)h[i];
        for (size_t r = 0; r < l->n; r++) sparsegpt_row(p->options, k, factor, p->weights[layer] + r * k, units);
    }
    tn_region_destroy(region);
    return status;
}

/* ---- all of it ---- */

static tn_status look_at_samples(prune *p) {
    p->inputs = tn_region_array(p->region, (size_t)p->count + 1, sizeof *p->inputs);
    if (!p->inputs) return TN_E_MEMORY;
    for (int i = 0; i < p->count; i++)
        p->inputs[i] = (tn_activations){.value = p->graph->nodes[p->layers[i].node].in[0],
                                        .k = p->layers[i].k,
                                        .wants_products = p->options->criterion == TN_PRUNE_SPARSEGPT};
    return tn_activations_collect(p->graph, p->count, p->inputs, p->options->samples, p->options->sample_count,
                                  p->region);
}

/* Makes p->weights pruned ones. */
static tn_status prune_weights(prune *p) {
    if (p->options->criterion != TN_PRUNE_MAGNITUDE) TN_TRY(look_at_samples(p));
    if (p->options->global) return prune_globally(p);
    for (int i = 0; i < p->count; i++)
        TN_TRY(p->options->criterion == TN_PRUNE_SPARSEGPT ? sparsegpt(p, i) : prune_layer(p, i));
    return TN_OK;
}

/* The layers' weights, read; only: one of them, or -1 for all. */
static tn_status begin(prune *p, const tn_graph *graph, const tn_prune_options *o, int only) {
    *p = (prune){.graph = graph, .options = o, .region = tn_region_create(NULL)};
    if (!p->region) return TN_E_MEMORY;
    TN_TRY(tn_layers_collect(graph, o->criterion == TN_PRUNE_MAGNITUDE, o->keep, p->region, &p->layers, &p->count));
    if (only >= 0) {
        p->layers[0] = p->layers[only];
        p->count = 1;
    }
    p->weights = tn_region_array(p->region, (size_t)p->count + 1, sizeof *p->weights);
    if (!p->weights) return TN_E_MEMORY;
    for (int i = 0; i < p->count; i++) {
        TN_TRY(tn_weights_finite(graph, p->layers[i].weight));
        p->weights[i] = tn_linear_read(graph, &p->layers[i], p->region);
        if (!p->weights[i]) return TN_E_MEMORY;
    }
    return TN_OK;
}

static tn_status prune_graph(tn_graph *graph, const tn_prune_options *o, int only, tn_weights_report *report) {
    prune p;
    tn_weights_error error = {0};
    tn_status status = begin(&p, graph, o, only);
    if (status == TN_OK) status = prune_weights(&p);
    for (int i = 0; i < p.count && status == TN_OK; i++) {
        const size_t count = p.layers[i].n * p.layers[i].k;
        float *before = tn_linear_read(graph, &p.layers[i], p.region);
        if (!before) status = TN_E_MEMORY;
        if (status == TN_OK) status = tn_linear_write(graph, &p.layers[i], p.weights[i]);
        if (status != TN_OK) break;
        tn_weights_compare(&error, before, p.weights[i], count);
        report->layers++;
        report->elements += (int64_t)count;
        for (size_t k = 0; k < count; k++) report->zeros += p.weights[i][k] == 0;
    }
    report->error = tn_weights_relative(&error);
    tn_region_destroy(p.region);
    return status;
}

tn_status tn_graph_prune(tn_graph *graph, const tn_prune_options *options, tn_weights_report *out_report) {
    tn_prune_options o = {.struct_size = sizeof o};
    tn_weights_report report;
    if (options) memcpy(&o, options, TN_MIN(options->struct_size, sizeof o));
    TN_TRY(check_options(&o, true));
    TN_TRY(tn_weights_begin(graph, &report));
    TN_TRY(prune_graph(graph, &o, -1, &report));
    return tn_weights_end(graph, &report, out_report);
}

double tn_prune_schedule(double first, double last, int64_t step, int64_t steps) {
    if (steps < 1 || step >= steps) return last;
    double left = step > 0 ? 1 - (double)step / (double)steps : 1;
    return last + (first - last) * left * left * left;
}

/* ---- sensitivity ---- */

static tn_status see_output(void *context, int which, const tn_tensor *tensor) {
    tn_outputs *o = context;
    (void)which;
    if (tensor->dtype != TN_FLOAT32) return TN_OK;
    const size_t count = (size_t)tn_count(tensor);
    if (o->compares) {
        if (o->at < o->count && o->sizes[o->at] == count)
            tn_weights_compare(&o->error, o->values[o->at], tensor->data, count);
        else
            o->error.difference = INFINITY;
        o->at++;
        return TN_OK;
    }
    if (o->count == o->most) return TN_E_INTERNAL;
    float *copy = tn_region_array(o->region, count + 1, sizeof *copy);
    if (!copy) return TN_E_MEMORY;
    memcpy(copy, tensor->data, count * sizeof *copy);
    o->sizes[o->count] = count;
    o->values[o->count++] = copy;
    return TN_OK;
}

tn_status tn_outputs_collect(tn_outputs *seen, const tn_graph *graph, const tn_tensor *const *samples,
                             size_t sample_count) {
    seen->most = (size_t)graph->output_count * sample_count;
    seen->values = tn_region_array(seen->region, seen->most + 1, sizeof *seen->values);
    seen->sizes = tn_region_array(seen->region, seen->most + 1, sizeof *seen->sizes);
    if (!seen->values || !seen->sizes) return TN_E_MEMORY;
    TN_TRY(tn_observe(graph, 0, NULL, samples, sample_count, see_output, seen));
    seen->compares = true;
    return TN_OK;
}

tn_status tn_outputs_compare(tn_outputs *seen, const tn_graph *graph, const tn_tensor *const *samples,
                             size_t sample_count, double *out_error) {
    seen->at = 0;
    seen->error = (tn_weights_error){0};
    TN_TRY(tn_observe(graph, 0, NULL, samples, sample_count, see_output, seen));
    *out_error = isinf(seen->error.difference) ? INFINITY : tn_weights_relative(&seen->error);
    return TN_OK;
}

static tn_status try_layer(const tn_graph *graph, const tn_prune_options *o, int layer, tn_outputs *seen,
                           double *error) {
    tn_graph *copy;
    tn_weights_report report = {0};
    TN_TRY(tn_graph_copy(graph, true, &copy));
    tn_status status = prune_graph(copy, o, layer, &report);
    if (status == TN_OK) status = tn_outputs_compare(seen, copy, o->samples, o->sample_count, error);
    tn_graph_destroy(copy);
    return status;
}

static tn_status scan(const tn_graph *graph, tn_prune_options *o, const double *sparsities, int count, tn_outputs *seen,
                      void (*see)(void *context, const char *layer, double sparsity, double error), void *context) {
    tn_linear *layers;
    int layer_count;
    TN_TRY(tn_outputs_collect(seen, graph, o->samples, o->sample_count));
    TN_TRY(tn_layers_collect(graph, o->criterion == TN_PRUNE_MAGNITUDE, o->keep, seen->region, &layers, &layer_count));
    for (int i = 0; i < layer_count; i++)
        for (int s = 0; s < count; s++) {
            double error;
            o->sparsity = sparsities[s];
            TN_TRY(check_options(o, true));
            TN_TRY(try_layer(graph, o, i, seen, &error));
            see(context, graph->nodes[layers[i].node].name, sparsities[s], error);
        }
    return TN_OK;
}

tn_status tn_prune_sensitivity(const tn_graph *graph, const tn_prune_options *options, const double *sparsities,
                               int count, void (*see)(void *context, const char *layer, double sparsity, double error),
                               void *context) {
    tn_prune_options o = {.struct_size = sizeof o};
    if (options) memcpy(&o, options, TN_MIN(options->struct_size, sizeof o));
    TN_TRY(check_options(&o, false));
    if (!o.samples || !o.sample_count) return tn_fail(TN_E_INVALID, "there are no samples to see the difference on");
    tn_outputs seen = {.region = tn_region_create(NULL)};
    if (!seen.region) return TN_E_MEMORY;
    tn_graph *copy = NULL; /* sorted and inferred */
    tn_weights_report report;
    tn_status status = tn_graph_copy(graph, true, &copy);
    if (status == TN_OK) status = tn_weights_begin(copy, &report);
    if (status == TN_OK) status = scan(copy, &o, sparsities, count, &seen, see, context);
    tn_graph_destroy(copy);
    tn_region_destroy(seen.region);
    return status;
}
