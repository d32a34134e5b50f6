/* What quantization costs: the graph on 8 bits beside the float one, on the samples. */
#include "base/element.h"
#include "compress/quantize.h"
#include <math.h>

enum { LANES = 4 };

typedef struct comparison {
    tn_qjob *job;
    int count, first_output;
    double *signal, *noise; /* a row a watched value */
    double sum[2], weight;  /* of the metric: float, 8 bits */
    int64_t set;
} comparison;

double tn_decibels(double signal, double noise) {
    return noise == 0 ? INFINITY : 10 * log10(signal / noise);
}

/* The elements as float32, whatever numbers they are; *made is to be destroyed. NULL for texts. */
static const float *floats_of(const tn_tensor *t, tn_tensor **made) {
    *made = NULL;
    if (t->dtype == TN_STRING) return NULL;
    if (t->dtype == TN_FLOAT32 && tn_tensor_is_dense(t)) return t->data;
    tn_tensor *dense = NULL;
    if (tn_tensor_clone(t, NULL, &dense) != TN_OK) return NULL;
    if (t->dtype == TN_FLOAT32) {
        *made = dense;
        return dense->data;
    }
    if (tn_tensor_create(TN_FLOAT32, t->rank, t->dims, NULL, made) == TN_OK)
        for (int64_t i = 0; i < tn_count(t); i++)
            ((float *)(*made)->data)[i] = (float)tn_get_double(t->dtype, dense->data, i);
    tn_tensor_destroy(dense);
    return *made ? (const float *)(*made)->data : NULL;
}

static int64_t greatest(const float *row, int64_t width) {
    int64_t at = 0;
    for (int64_t i = 1; i < width; i++)
        if (row[i] > row[at]) at = i;
    return at;
}

/* How often the greatest of a row (the last axis) of output 0 is where the float graph has it. */
static void agreement(comparison *c, const tn_tensor *a, const float *x, const float *y) {
    int64_t width = a->rank ? a->dims[a->rank - 1] : 1;
    for (int64_t i = 0; width && i < tn_count(a); i += width) {
        c->sum[0] += 1;
        c->sum[1] += greatest(x + i, width) == greatest(y + i, width);
        c->weight += 1;
    }
}

static tn_status ask_metric(comparison *c, const tn_tensor *const *const *seen) {
    const tn_quantize_options *o = &c->job->options;
    for (int k = 0; k < 2; k++) {
        double sum = 0, weight = 0;
        TN_TRY(o->metric(o->metric_context, c->set, seen[k] + c->first_output, &sum, &weight));
        c->sum[k] += sum;
        if (k == 0) c->weight += weight;
    }
    return TN_OK;
}

static inline void add_square(double *signal, double *noise, float x, float y) {
    const double d = (double)x - (double)y;
    *signal += (double)x * (double)x;
    *noise += d * d;
}

/* The pair of one watched value. */
static void compare_pair(comparison *c, int k, const tn_tensor *a, const tn_tensor *b) {
    tn_tensor *copies[2] = {NULL, NULL};
    if (!a || !b) return;
    bool alike = tn_tensor_is_alike(a, b);
    const float *x = floats_of(a, &copies[0]), *y = alike ? floats_of(b, &copies[1]) : NULL;
    double signal[LANES] = {0}, noise[LANES] = {0};
    const int64_t count = x && y ? tn_count(a) : 0, whole = count - count % LANES;
    if (!alike) c->noise[k] += 1;              /* of another shape: nothing of it is right */
    for (int64_t i = 0; i < whole; i += LANES) /* of a known length, the inner loop becomes vectors */
        for (int l = 0; l < LANES; l++) add_square(&signal[l], &noise[l], x[i + l], y[i + l]);
    for (int64_t i = whole; i < count; i++) add_square(&signal[0], &noise[0], x[i], y[i]);
    for (int l = 0; l < LANES; l++) {
        c->signal[k] += signal[l];
        c->noise[k] += noise[l];
    }
    if (x && y && k == c->first_output && !c->job->options.metric) agreement(c, a, x, y);
    tn_tensor_destroy(copies[0]);
    tn_tensor_destroy(copies[1]);
}

static tn_status compare(void *context, const tn_tensor *const *const *seen) {
    comparison *c = context;
    for (int k = 0; k < c->count; k++) compare_pair(c, k, seen[0][k], seen[1][k]);
    tn_status status = c->job->options.metric ? ask_metric(c, seen) : TN_OK;
    c->set++;
    return status;
}

/* ---- outputs of the float graph, kept for what is tried on a few sets ---- */

static tn_status keep_outputs(void *context, const tn_tensor *const *const *seen) {
    tn_qjob *job = context;
    for (int o = 0; o < job->graph->output_count; o++) {
        tn_tensor **at = &job->kept[job->kept_sets * job->graph->output_count + o];
        if (seen[0][o]) TN_TRY(tn_tensor_clone(seen[0][o], NULL, at));
    }
    job->kept_sets++;
    return TN_OK;
}

static tn_status compare_kept(void *context, const tn_tensor *const *const *seen) {
    comparison *c = context;
    if (c->set >= c->job->kept_sets) return TN_OK;
    tn_tensor *const *kept = c->job->kept + c->set * c->count;
    const tn_tensor *const *pair[2] = {(const tn_tensor *const *)kept, seen[0]};
    return compare(c, pair);
}

static tn_status measure_outputs(tn_qjob *job, int64_t most, tn_attempt *a, comparison *c) {
    const tn_replay *replay = &job->replay;
    int64_t sets;
    if (!job->kept) {
        size_t room = (size_t)job->graph->output_count * TN_KEPT_SETS;
        job->kept = tn_region_array(job->region, room + 1, sizeof(tn_tensor *));
        if (!job->kept) return TN_E_MEMORY;
        TN_TRY(tn_replay_run(replay, job->choosing, 1, (const tn_graph *const[]){job->graph}, job->graph->output_count,
                             (const int *const[]){job->graph->outputs}, keep_outputs, job, &sets));
    }
    c->count = job->graph->output_count;
    return tn_replay_run(replay, most, 1, (const tn_graph *const[]){a->written}, c->count,
                         (const int *const[]){a->written->outputs}, compare_kept, c, &a->score.sets);
}

/* Layers' outputs first, then the graph's. */
static tn_status measure_layers(tn_qjob *job, int64_t most, tn_attempt *a, comparison *c) {
    const tn_graph *graph = job->graph;
    size_t room = (size_t)graph->node_count + (size_t)graph->output_count + 1;
    int *watch[2] = {tn_region_array(a->region, room, sizeof(int)), tn_region_array(a->region, room, sizeof(int))};
    int *layer = tn_region_array(a->region, room, sizeof *layer);
    if (!watch[0] || !watch[1] || !layer) return TN_E_MEMORY;
    for (int n = 0; n < graph->node_count; n++) {
        if (a->plan.role[n] != TN_Q_LAYER) continue;
        layer[c->count] = n;
        watch[0][c->count] = a->plan.end[n];
        watch[1][c->count++] = a->out_value[a->plan.end[n]];
    }
    c->first_output = c->count;
    for (int o = 0; o < graph->output_count; o++, c->count++) {
        watch[0][c->count] = graph->outputs[o];
        watch[1][c->count] = a->written->outputs[o];
    }
    TN_TRY(tn_replay_run(&job->replay, most, 2, (const tn_graph *const[]){graph, a->written}, c->count,
                         (const int *const[]){watch[0], watch[1]}, compare, c, &a->score.sets));
    for (int k = 0; k < c->first_output; k++) a->layer_sqnr[layer[k]] = tn_decibels(c->signal[k], c->noise[k]);
    return TN_OK;
}

static tn_status measure(tn_qjob *job, int64_t most, tn_attempt *a) {
    size_t room = (size_t)job->graph->node_count + (size_t)job->graph->output_count + 1;
    comparison c = {.job = job,
                    .signal = tn_region_array(a->region, room, sizeof *c.signal),
                    .noise = tn_region_array(a->region, room, sizeof *c.noise)};
    a->layer_sqnr = tn_region_array(a->region, room, sizeof *a->layer_sqnr);
    a->score = (tn_qscore){NAN, NAN, NAN, 0};
    if (!c.signal || !c.noise || !a->layer_sqnr) return TN_E_MEMORY;
    for (int n = 0; n < job->graph->node_count; n++) a->layer_sqnr[n] = NAN;
    if (!job->replay.samples) return TN_OK;
    const bool few = most && most <= job->choosing;
    TN_TRY(few ? measure_outputs(job, most, a, &c) : measure_layers(job, most, a, &c));
    for (int k = c.first_output; k < c.count; k++)
        a->score.sqnr = fmin(a->score.sqnr, tn_decibels(c.signal[k], c.noise[k]));
    a->score.whole = c.weight > 0 ? c.sum[0] / c.weight : NAN;
    a->score.metric = c.weight > 0 ? c.sum[1] / c.weight : NAN;
    return TN_OK;
}

tn_status tn_score_graphs(const tn_quantize_options *options, const tn_samples *samples, const tn_graph *a,
                          const tn_graph *b, tn_qscore *out) {
    tn_qjob job = {.options = *options, .region = tn_region_create(NULL)};
    tn_attempt attempt = {.region = tn_region_create(NULL)};
    tn_status status = job.region && attempt.region ? TN_OK : TN_E_MEMORY;
    job.replay = (tn_replay){samples, &job.options};
    if (status == TN_OK) status = tn_graph_copy(a, true, &job.graph);
    if (status == TN_OK) status = tn_graph_copy(b, true, &attempt.written);
    if (status == TN_OK) attempt.plan.role = tn_region_array(job.region, (size_t)a->node_count + 1, sizeof(tn_qrole));
    if (status == TN_OK) status = attempt.plan.role ? measure(&job, options->most_samples, &attempt) : TN_E_MEMORY;
    *out = attempt.score;
    tn_qjob_forget(&job);
    tn_attempt_free(&attempt);
    tn_graph_destroy(job.graph);
    tn_region_destroy(job.region);
    return status;
}

void tn_qjob_forget(tn_qjob *job) {
    for (int64_t i = 0; job->kept && i < job->kept_sets * job->graph->output_count; i++)
        tn_tensor_destroy(job->kept[i]);
    job->kept = NULL;
    job->kept_sets = 0;
}

static tn_status note_point(tn_qjob *job, const tn_attempt *a) {
    tn_quantize_report *r = job->report;
    double ns = NAN;
    if (r->point_count == TN_MOST_POINTS) return TN_OK;
    if (job->options.times) TN_TRY(tn_time_graph(&job->options, job->replay.samples, a->written, &ns, NULL));
    tn_report_point *p = &r->points[r->point_count++];
    *p = (tn_report_point){.name = "",
                           .bytes = (double)tn_graph_constant_bytes(a->written),
                           .sqnr = a->score.sqnr,
                           .metric = a->score.metric,
                           .ns = ns};
    for (int n = 0; n < a->plan.node_count; n++) p->int8 += a->plan.role[n] == TN_Q_LAYER;
    return TN_OK;
}

tn_status tn_attempt_make(tn_qjob *job, const bool *skip, int64_t most, tn_attempt *out) {
    *out = (tn_attempt){.region = tn_region_create(NULL)};
    if (!out->region) return TN_E_MEMORY;
    out->out_value = tn_region_array(out->region, (size_t)job->base->value_count + 1, sizeof *out->out_value);
    if (!out->out_value) return TN_E_MEMORY;
    out->bytes = tn_region_array(out->region, (size_t)job->base->node_count + 1, sizeof *out->bytes);
    if (!out->bytes) return TN_E_MEMORY;
    TN_TRY(tn_qjob_plan(job, skip, out->region, &out->plan));
    if (job->options.dynamic)
        TN_TRY(tn_dynamic_write(&out->plan, &job->options, out->region, out->out_value, out->bytes, &out->written));
    else
        TN_TRY(tn_qplan_write(&out->plan, job->ranges, &job->options, out->region, out->out_value, out->bytes,
                              &out->written));
    if (!most || (job->options.most_samples && job->options.most_samples < most)) most = job->options.most_samples;
    TN_TRY(measure(job, most, out));
    return note_point(job, out);
}

void tn_attempt_free(tn_attempt *attempt) {
    tn_graph_destroy(attempt->written);
    tn_region_destroy(attempt->region);
    *attempt = (tn_attempt){0};
}
