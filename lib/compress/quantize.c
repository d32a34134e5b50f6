/* Quantization after training, step by step. See quantize.h. */
#include "compress/quantize.h"
#include <math.h>
#include "model/successor.h"
#include "passes/match.h"

/* Dense float32 elements; a copy in the region if they are not. */
static const float *floats_of(const tn_tensor *t, tn_tensor **copy) {
    *copy = NULL;
    if (!t || t->dtype != TN_FLOAT32) return NULL;
    if (tn_tensor_is_dense(t)) return t->data;
    return tn_tensor_clone(t, NULL, copy) == TN_OK ? (const float *)(*copy)->data : NULL;
}

/* ---- observing ---- */
typedef struct observing {
    tn_qjob *job;
    int count, *watch;
} observing;

static tn_status observe(void *context, const tn_tensor *const *const *seen) {
    observing *o = context;
    for (int k = 0; k < o->count; k++) {
        tn_tensor *copy;
        const float *x = floats_of(seen[0][k], &copy);
        tn_observer *observer = &o->job->observers[o->watch[k]];
        tn_status status = x ? tn_observer_see(observer, &o->job->options, seen[0][k], x) : TN_OK;
        tn_tensor_destroy(copy);
        if (status != TN_OK) return tn_fail_context(status, "value '%s'", o->job->base->values[o->watch[k]].name);
    }
    return TN_OK;
}

/* Layers' inputs are seen by channels too, which smoothing is made of. */
static void set_axes(tn_qjob *job) {
    for (int n = 0; n < job->base->node_count; n++) {
        const tn_node *node = &job->base->nodes[n];
        if (job->plan.role[n] == TN_Q_LAYER) job->observers[node->in[0]].axis = tn_match_is(node, "", "Conv") ? 1 : -1;
    }
}

void tn_observers_free(tn_observer *observers, int count) {
    for (int v = 0; observers && v < count; v++) tn_observer_free(&observers[v]);
}

void tn_qjob_retire(tn_qjob *job, tn_graph *older) {
    size_t at = 0;
    while (at + 1 < TN_COUNT(job->older) && job->older[at]) at++;
    job->older[at] = older;
}

/* How many sets have TN_KEPT_ROWS rows, if the first says it for all; sets that cannot be had are found out later. */
static int64_t sets_to_choose_on(const tn_qjob *job) {
    const tn_samples *samples = job->replay.samples;
    const tn_graph *graph = job->base;
    const tn_type *type = graph->input_count ? &graph->values[graph->inputs[0]].type : NULL;
    const tn_tensor **in = tn_region_array(job->region, (size_t)graph->input_count + 1, sizeof *in);
    if (!samples || !in || !type || type->rank < 1 || type->dims[0] >= 0) return TN_KEPT_SETS;
    if (samples->get(samples->context, 0, in) != TN_OK || !in[0] || in[0]->rank < 1) return TN_KEPT_SETS;
    return TN_MIN(TN_MAX(TN_KEPT_ROWS / TN_MAX(in[0]->dims[0], 1), 1), TN_KEPT_SETS);
}

tn_status tn_qjob_observe(tn_qjob *job) {
    size_t values = (size_t)job->base->value_count + 1;
    observing o = {.job = job, .watch = tn_region_array(job->region, values, sizeof *o.watch)};
    job->observers = tn_region_array(job->region, values, sizeof *job->observers);
    job->ranges = tn_region_array(job->region, values, sizeof *job->ranges);
    if (!job->observers || !job->ranges || !o.watch) return TN_E_MEMORY;
    job->observed = job->base->value_count;
    if (job->options.smooth) set_axes(job);
    for (int v = 0; v < job->base->value_count; v++)
        if (job->plan.byte[v] || job->observers[v].axis) o.watch[o.count++] = v;
    return tn_replay_run(&job->replay, job->options.most_samples, 1, (const tn_graph *const[]){job->base}, o.count,
                         (const int *const[]){o.watch}, observe, &o, &job->report->summary.samples);
}

void tn_qjob_ranges(tn_qjob *job) {
    for (int v = 0; v < job->observed; v++)
        if (job->observers[v].seen) job->ranges[v] = tn_observer_range(&job->observers[v], &job->options);
}

/* ---- the report ---- */

static uint64_t bytes_of(const tn_graph *graph, int value) {
    const tn_tensor *t = value >= 0 ? graph->values[value].constant : NULL;
    return t ? tn_dtype_bytes(t->dtype, tn_count(t)) : 0;
}

static tn_status list_layers(tn_qjob *job) {
    tn_quantize_report *r = job->report;
    const tn_graph *graph = job->base, *written = job->best.written;
    r->layers = tn_region_array(r->region, (size_t)graph->node_count + 1, sizeof *r->layers);
    if (!r->layers) return TN_E_MEMORY;
    for (int n = 0; n < graph->node_count; n++) {
        const tn_node *node = &graph->nodes[n];
        int axis;
        if (!tn_qplan_is_layer(graph, node, &axis)) continue;
        tn_report_layer *l = &r->layers[r->summary.layers++];
        *l = (tn_report_layer){.name = tn_region_strdup(r->region, node->name),
                               .op = tn_region_strdup(r->region, node->op->name),
                               .int8 = job->best.plan.role[n] == TN_Q_LAYER,
                               .sqnr = job->best.layer_sqnr[n],
                               .sensitivity = r->sensitivity[n],
                               .ns_before = r->ns_before[n],
                               .ns_after = r->ns_after[n]};
        l->reason = !l->int8 && job->reason[n] ? job->reason[n] : "";
        if (!l->name || !l->op) return TN_E_MEMORY;
        r->summary.int8_layers += l->int8;
        for (int i = 1; i < node->formal_in; i++) l->before += bytes_of(graph, node->in[i]);
        l->after = l->int8 ? job->best.bytes[n] : l->before;
    }
    r->summary.bytes_before = tn_graph_constant_bytes(job->graph);
    r->summary.bytes_after = tn_graph_constant_bytes(written);
    r->summary.sqnr = job->best.score.sqnr;
    const tn_report_point kept = {.name = "",
                                  .bytes = (double)r->summary.bytes_after,
                                  .sqnr = job->best.score.sqnr,
                                  .metric = job->best.score.metric,
                                  .ns = r->summary.ns_after,
                                  .int8 = r->summary.int8_layers,
                                  .kept = true};
    r->points[r->point_count < TN_MOST_POINTS ? r->point_count++ : TN_MOST_POINTS - 1] = kept;
    if (job->options.metric) {
        r->metric = tn_region_strdup(r->region, job->options.metric_name ? job->options.metric_name : "score");
        if (!r->metric) return TN_E_MEMORY;
    }
    r->summary.metric_before = job->best.score.whole;
    r->summary.metric_after = job->best.score.metric;
    return TN_OK;
}

/* ---- all of it ---- */

tn_status tn_compress_succeed(tn_graph *graph, const tn_graph *parent, const tn_quantize_options *options,
                              const tn_qscore *score) {
    const char *name = options->metric_name ? options->metric_name : options->metric ? "score" : "agreement";
    const tn_measured measured[] = {{name, score->metric}, {"sqnr_db", score->sqnr}};
    return tn_graph_succeed(graph, parent, 2, measured,
                            options->data_name ? options->data_name : "samples of the compression", score->sets);
}

tn_status tn_qjob_begin(tn_qjob *job) {
    size_t nodes = (size_t)job->base->node_count + 1;
    tn_quantize_report *r = job->report;
    double **rows[] = {&r->sensitivity, &r->ns_before, &r->ns_after};
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        *rows[i] = tn_region_array(r->region, nodes, sizeof **rows[i]);
        if (!*rows[i]) return TN_E_MEMORY;
        for (size_t n = 0; n < nodes; n++) (*rows[i])[n] = NAN;
    }
    job->skip = tn_region_array(job->region, nodes, sizeof *job->skip);
    job->reason = tn_region_array(job->region, nodes, sizeof *job->reason);
    if (!job->skip || !job->reason) return TN_E_MEMORY;
    for (int n = 0; n < job->base->node_count; n++) {
        const tn_node *node = &job->base->nodes[n];
        job->skip[n] = tn_listed(job->options.exclude, node->name) || tn_listed(job->options.exclude, node->op->name);
        if (job->skip[n]) job->reason[n] = "excluded";
    }
    return tn_qjob_plan(job, job->skip, job->region, &job->plan);
}

tn_status tn_qjob_plan(const tn_qjob *job, const bool *skip, tn_region *region, tn_qplan *out) {
    return job->options.dynamic ? tn_dynamic_plan(job->base, skip, region, out)
                                : tn_qplan_make(job->base, skip, region, out);
}

static tn_status run(tn_qjob *job, const tn_graph *graph, tn_graph **out_graph) {
    TN_TRY(tn_quantize_prepare(graph, &job->graph));
    TN_TRY(tn_graph_copy(job->graph, true, &job->base));
    TN_TRY(tn_qjob_begin(job));
    job->choosing = sets_to_choose_on(job);
    if (!job->options.dynamic || job->options.smooth) TN_TRY(tn_qjob_observe(job));
    if (job->options.smooth) TN_TRY(tn_qjob_smooth(job));
    if (!job->options.dynamic && job->options.equalize) TN_TRY(tn_qjob_equalize(job));
    TN_TRY(tn_qjob_search(job));
    if (job->trains) {
        TN_TRY(tn_qplan_write_trainable(&job->best.plan, job->ranges, &job->options, job->region, &job->trainable));
        return tn_quantize_finish(job->trainable, out_graph);
    }
    if (job->options.never_slower)
        TN_TRY(tn_qjob_never_slower(job));
    else if (job->options.times)
        TN_TRY(tn_qjob_time(job));
    TN_TRY(list_layers(job));
    TN_TRY(tn_quantize_finish(job->best.written, out_graph));
    return tn_compress_succeed(*out_graph, graph, &job->options, &job->best.score);
}

static tn_status check_options(const tn_quantize_options *given, tn_quantize_options *out) {
    *out = (tn_quantize_options){.struct_size = sizeof *out};
    if (given) memcpy(out, given, TN_MIN(given->struct_size, sizeof *out));
    if (out->activations == TN_UNDEFINED) out->activations = TN_UINT8;
    if (out->activations != TN_UINT8 && out->activations != TN_INT8)
        return tn_fail(TN_E_INVALID, "activations are %s; expected uint8 or int8", tn_dtype_name(out->activations));
    if (out->symmetric && out->activations != TN_INT8)
        return tn_fail(TN_E_INVALID, "symmetric activations are int8, not %s", tn_dtype_name(out->activations));
    if ((unsigned)out->calibration > TN_CALIBRATE_BEST)
        return tn_fail(TN_E_INVALID, "there is no calibration number %d", (int)out->calibration);
    if (!(out->percentile >= 0 && out->percentile <= 100))
        return tn_fail(TN_E_INVALID, "the percentile is %g; expected above 0 and up to 100", out->percentile);
    if (out->weight_bits && (out->weight_bits < 2 || out->weight_bits > 8))
        return tn_fail(TN_E_INVALID, "weight_bits is %d; expected 2 to 8", out->weight_bits);
    if (out->most_samples < 0)
        return tn_fail(TN_E_INVALID, "most_samples is %lld; expected 0 or more", (long long)out->most_samples);
    if (!(out->max_drop >= 0 && out->max_drop < INFINITY))
        return tn_fail(TN_E_INVALID, "max_drop is %g; expected 0 (none) or more", out->max_drop);
    if (!(out->min_sqnr >= 0 && out->min_sqnr < INFINITY))
        return tn_fail(TN_E_INVALID, "min_sqnr is %g dB; expected 0 (none) or more", out->min_sqnr);
    return TN_OK;
}

static void end(tn_qjob *job) {
    tn_observers_free(job->observers, job->observed);
    tn_attempt_free(&job->best);
    tn_graph_destroy(job->trainable);
    tn_graph_destroy(job->base);
    for (size_t i = 0; i < TN_COUNT(job->older); i++) tn_graph_destroy(job->older[i]);
    tn_qjob_forget(job);
    tn_graph_destroy(job->graph);
    tn_region_destroy(job->region);
}

static tn_status quantize(const tn_graph *graph, const tn_samples *samples, const tn_quantize_options *options,
                          bool trains, tn_graph **out_graph, tn_quantize_report **out_report) {
    tn_qjob job = {.trains = trains, .left = NAN};
    uint64_t start = tn_now();
    *out_graph = NULL;
    if (out_report) *out_report = NULL;
    TN_TRY(check_options(options, &job.options));
    if (!graph || (samples && !samples->get)) return tn_fail(TN_E_INVALID, "a graph and samples are needed");
    const tn_quantize_options *o = &job.options;
    job.finds_best = o->calibration == TN_CALIBRATE_BEST;
    if (trains && o->dynamic)
        return tn_fail(TN_E_INVALID, "quantization-aware training is of ranges that are known, not of 'dynamic' ones");
    bool measured =
        o->smooth || o->adaptive_rounding || o->max_drop > 0 || o->min_sqnr > 0 || o->sensitivity || o->never_slower;
    if (!samples || trains) job.options.times = false; /* there is nothing to run on, or no report */
    if (!samples && (!o->dynamic || measured))
        return tn_fail(TN_E_INVALID,
                       "calibration data are needed; without them only dynamic quantization without bounds is "
                       "possible");
    job.replay = (tn_replay){samples, &job.options};
    job.region = tn_region_create(NULL);
    tn_status status = job.region ? tn_report_create(&job.report) : TN_E_MEMORY;
    if (status == TN_OK) status = run(&job, graph, out_graph);
    if (status == TN_OK) {
        job.report->summary.seconds = (double)(tn_now() - start) / 1e9;
        status = tn_report_write(job.report);
    }
    end(&job);
    if (status == TN_OK && out_report) {
        *out_report = job.report;
        return TN_OK;
    }
    tn_quantize_report_destroy(job.report);
    if (status != TN_OK) {
        tn_graph_destroy(*out_graph);
        *out_graph = NULL;
    }
    return status;
}

tn_status tn_quantize(const tn_graph *graph, const tn_samples *samples, const tn_quantize_options *options,
                      tn_graph **out_graph, tn_quantize_report **out_report) {
    return quantize(graph, samples, options, false, out_graph, out_report);
}

tn_status tn_quantize_aware(const tn_graph *graph, const tn_samples *samples, const tn_quantize_options *options,
                            tn_graph **out_graph) {
    return quantize(graph, samples, options, true, out_graph, NULL);
}
