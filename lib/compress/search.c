/* Which ranges, and which layers on 8 bits: the most that holds the bounds.
 *
 * What is best for all values at once is not for each: parts of the graph, from its inputs to its outputs, then try the other
 * ways, and keep what leaves more of the signal at the outputs.
 *
 * Layers are ranked by what each does alone: the graph with that layer on 8 bits and all others in float. Those that hurt
 * most go back to float, as few as will do; that number is found by doubling and halving. */
#include "compress/quantize.h"
#include <math.h>
#include <stdlib.h>

enum { RANKING_SETS = 4, PARTS = 4 };

static void keep(tn_qjob *job, tn_attempt *attempt) {
    tn_attempt_free(&job->best);
    job->best = *attempt;
    *attempt = (tn_attempt){0};
}

static bool holds(const tn_qjob *job, const tn_qscore *s) {
    const tn_quantize_options *o = &job->options;
    if (o->min_sqnr > 0 && !(s->sqnr >= o->min_sqnr)) return false;
    return !(o->max_drop > 0) || s->metric >= s->whole - o->max_drop - 1e-12;
}

static bool bounded(const tn_qjob *job) {
    return job->options.min_sqnr > 0 || job->options.max_drop > 0;
}

/* ---- ranges ---- */

static const struct {
    tn_calibration method;
    double percentile;
} tried[] = {{TN_CALIBRATE_MIN_MAX, 0},
             {TN_CALIBRATE_PERCENTILE, 99.99},
             {TN_CALIBRATE_MSE, 0},
             {TN_CALIBRATE_PERCENTILE, 99.999},
             {TN_CALIBRATE_ENTROPY, 0}};
enum { TRIED_IN_PARTS = 3 }; /* the first of them */

static tn_status signal_left(tn_qjob *job, double *out_sqnr) {
    tn_attempt a = {0};
    tn_status status = tn_attempt_make(job, job->skip, job->choosing, &a);
    *out_sqnr = a.score.sqnr;
    tn_attempt_free(&a);
    return status;
}

tn_status tn_qjob_choose(tn_qjob *job) {
    int best = 0;
    double sqnr;
    if (job->options.calibration != TN_CALIBRATE_BEST) {
        tn_qjob_ranges(job);
        return signal_left(job, &job->left);
    }
    job->left = -INFINITY;
    for (size_t i = 0; i < TN_COUNT(tried); i++) {
        job->options.calibration = tried[i].method;
        job->options.percentile = tried[i].percentile;
        tn_qjob_ranges(job);
        TN_TRY(signal_left(job, &sqnr));
        if (sqnr > job->left) job->left = sqnr, best = (int)i;
    }
    job->options.calibration = tried[best].method;
    job->options.percentile = tried[best].percentile;
    tn_qjob_ranges(job);
    return TN_OK;
}

/* Values that have ranges of their own, in the order in which they are made. */
static int list_ranged(const tn_qjob *job, int *values) {
    const tn_graph *graph = job->base;
    int count = 0;
    for (int n = -1; n < graph->node_count; n++) {
        const int outs = n < 0 ? graph->input_count : graph->nodes[n].out_count;
        const int *out = n < 0 ? graph->inputs : graph->nodes[n].out;
        for (int i = 0; i < outs; i++)
            if (out[i] >= 0 && job->plan.byte[out[i]] && job->plan.like[out[i]] == out[i]) values[count++] = out[i];
    }
    return count;
}

/* Ranges of these values by another method, where that leaves more of the signal. */
static tn_status try_part(tn_qjob *job, size_t method, const int *values, int count, tn_qrange *before) {
    tn_quantize_options other = job->options;
    double now;
    other.calibration = tried[method].method;
    other.percentile = tried[method].percentile;
    for (int i = 0; i < count; i++) {
        before[i] = job->ranges[values[i]];
        job->ranges[values[i]] = tn_observer_range(&job->observers[values[i]], &other);
    }
    TN_TRY(signal_left(job, &now));
    if (now > job->left) {
        job->left = now;
        return TN_OK;
    }
    for (int i = 0; i < count; i++) job->ranges[values[i]] = before[i];
    return TN_OK;
}

static tn_status choose_parts(tn_qjob *job) {
    const size_t room = (size_t)job->base->value_count + 1;
    const tn_quantize_options *o = &job->options;
    int *values = tn_region_array(job->region, room, sizeof *values);
    tn_qrange *before = tn_region_array(job->region, room, sizeof *before);
    if (!values || !before) return TN_E_MEMORY;
    const int64_t count = list_ranged(job, values);
    for (int64_t p = 0; p < PARTS; p++) {
        const int64_t first = p * count / PARTS, end = (p + 1) * count / PARTS;
        for (size_t i = 0; i < TRIED_IN_PARTS && end > first; i++)
            if (tried[i].method != o->calibration || tried[i].percentile != o->percentile)
                TN_TRY(try_part(job, i, values + first, (int)(end - first), before));
    }
    return TN_OK;
}

/* ---- layers ---- */
typedef struct ranked {
    int node;
    double sqnr;
} ranked;

static int most_harmful_first(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->sqnr != y->sqnr) return x->sqnr < y->sqnr ? -1 : 1;
    return x->node - y->node;
}

static tn_status rank_layers(tn_qjob *job, ranked *layers, int *count) {
    size_t nodes = (size_t)job->base->node_count + 1;
    bool *skip = tn_region_array(job->region, nodes, sizeof *skip);
    if (!skip) return TN_E_MEMORY;
    for (int n = 0; n < job->base->node_count; n++) {
        tn_attempt a;
        if (job->plan.role[n] != TN_Q_LAYER) continue;
        for (int k = 0; k < job->base->node_count; k++) skip[k] = k != n;
        tn_status status = tn_attempt_make(job, skip, TN_MIN(RANKING_SETS, job->choosing), &a);
        layers[(*count)++] = (ranked){n, isnan(a.score.sqnr) ? INFINITY : a.score.sqnr};
        tn_attempt_free(&a);
        if (status != TN_OK) return status;
    }
    for (int i = 0; i < *count; i++) job->report->sensitivity[layers[i].node] = layers[i].sqnr;
    qsort(layers, (size_t)*count, sizeof *layers, most_harmful_first);
    return TN_OK;
}

/* With the first `floats` of the ranked layers in float. */
static tn_status try_floats(tn_qjob *job, const ranked *layers, int floats, bool *good) {
    bool *skip = tn_region_array(job->region, (size_t)job->base->node_count + 1, sizeof *skip);
    tn_attempt a;
    if (!skip) return TN_E_MEMORY;
    memcpy(skip, job->skip, (size_t)job->base->node_count * sizeof *skip);
    for (int i = 0; i < floats; i++) skip[layers[i].node] = true;
    tn_status status = tn_attempt_make(job, skip, 0, &a);
    *good = status == TN_OK && holds(job, &a.score);
    if (*good) keep(job, &a);
    tn_attempt_free(&a);
    return status;
}

static tn_status leave_harmful(tn_qjob *job, const ranked *layers, int count) {
    int bad = 0, good = 0;
    bool fits = false;
    for (good = 1; !fits; good = 2 * good) {
        good = TN_MIN(good, count);
        TN_TRY(try_floats(job, layers, good, &fits));
        if (fits) break;
        if (good == count)
            return tn_fail(TN_E_CHECK, "even with all layers in float32 the bounds do not hold: SQNR %g dB, drop %g",
                           job->options.min_sqnr, job->options.max_drop);
        bad = good;
    }
    while (good - bad > 1) {
        int middle = (good + bad) / 2;
        TN_TRY(try_floats(job, layers, middle, &fits));
        if (fits)
            good = middle;
        else
            bad = middle;
    }
    for (int i = 0; i < good; i++) {
        job->reason[layers[i].node] = "its error is beyond the bound";
        job->skip[layers[i].node] = true;
    }
    return TN_OK;
}

tn_status tn_qjob_search(tn_qjob *job) {
    tn_attempt a;
    if (job->options.dynamic)
        job->options.bias_correction = false; /* its shifts are of ranges that are known beforehand */
    else if (job->options.calibration == TN_CALIBRATE_BEST)
        TN_TRY(tn_qjob_choose(job));
    else
        tn_qjob_ranges(job);
    if (job->options.adaptive_rounding) TN_TRY(tn_qjob_round(job));
    if (job->options.bias_correction) TN_TRY(tn_qjob_correct_biases(job));
    if (job->finds_best && !job->options.dynamic) TN_TRY(choose_parts(job));
    tn_status status = tn_attempt_make(job, job->skip, bounded(job) ? 0 : 2 * job->choosing, &a);
    bool good = status == TN_OK && holds(job, &a.score);
    if (status == TN_OK) keep(job, &a);
    tn_attempt_free(&a);
    if (status != TN_OK || (good && !job->options.sensitivity)) return status;
    int count = 0;
    ranked *layers = tn_region_array(job->region, (size_t)job->base->node_count + 1, sizeof *layers);
    if (!layers) return TN_E_MEMORY;
    TN_TRY(rank_layers(job, layers, &count));
    return good ? TN_OK : leave_harmful(job, layers, count);
}
