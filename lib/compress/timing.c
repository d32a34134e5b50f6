/* Never slower: layers are timed in float and on 8 bits, on this machine.
 *
 * A layer's time is that of the nodes which carry its name when the model runs; what quantizes and dequantizes around it
 * carries other names, and shows in the time of the whole alone. So a choice by layers stands only if the whole gets faster. */
#include "compress/quantize.h"
#include "exec/model.h"
#include <math.h>

enum { WARM = 2, RUNS = 12, TURNS = 3 };

typedef struct timing {
    double whole, ram; /* nanoseconds; bytes of the session's arena */
    double *layer;     /* a row a node of the job's base; NaN: none by that name */
} timing;

static tn_status run_timed(tn_qjob *job, tn_session *session, double *whole) {
    const tn_tensor **in = tn_region_array(job->region, (size_t)job->graph->input_count + 1, sizeof *in);
    if (!in) return TN_E_MEMORY;
    TN_TRY(job->replay.samples->get(job->replay.samples->context, 0, in));
    for (int i = 0; i < job->graph->input_count; i++) TN_TRY(tn_session_set_input(session, i, in[i]));
    for (int i = 0; i < WARM; i++) TN_TRY(tn_session_run(session));
    tn_session_profile_reset(session);
    for (int i = 0; i < RUNS; i++) {
        uint64_t start = tn_now();
        TN_TRY(tn_session_run(session));
        *whole = fmin(*whole, (double)(tn_now() - start));
    }
    return TN_OK;
}

static void read_layers(const tn_qjob *job, const tn_session *session, double *layer) {
    tn_profile_row row = {.struct_size = sizeof row};
    for (int n = 0; n < job->base->node_count; n++) layer[n] = NAN;
    for (int i = 0; tn_session_profile(session, i, &row) == TN_OK; i++) {
        if (!row.name || !*row.name || !row.runs) continue;
        for (int n = 0; n < job->base->node_count; n++) {
            if (job->plan.role[n] != TN_Q_LAYER || strcmp(job->base->nodes[n].name, row.name) != 0) continue;
            layer[n] = (isnan(layer[n]) ? 0 : layer[n]) + (double)row.nanoseconds / (double)row.runs;
            break;
        }
    }
}

static tn_status time_graph(tn_qjob *job, const tn_graph *graph, timing *out) {
    tn_graph *copy;
    tn_model *model = NULL;
    tn_session *session = NULL;
    tn_model_options options = {.struct_size = sizeof options, .cpu = job->options.cpu};
    tn_session_options how = {.struct_size = sizeof how, .threads = job->options.threads, .profile = true};
    tn_session_memory memory = {.struct_size = sizeof memory};
    out->whole = INFINITY;
    out->layer = tn_region_array(job->region, (size_t)job->base->node_count + 1, sizeof *out->layer);
    if (!out->layer) return TN_E_MEMORY;
    TN_TRY(tn_graph_copy(graph, true, &copy));
    tn_status status = tn_model_from_graph(copy, &options, &model);
    if (status == TN_OK) status = tn_session_create(model, &how, &session);
    if (status == TN_OK) status = run_timed(job, session, &out->whole);
    if (status == TN_OK) status = tn_session_memory_info(session, &memory);
    out->ram = (double)memory.arena;
    if (status == TN_OK) read_layers(job, session, out->layer);
    tn_session_destroy(session);
    tn_model_destroy(model);
    return status;
}

tn_status tn_time_graph(const tn_quantize_options *options, const tn_samples *samples, const tn_graph *graph,
                        double *out_ns, double *out_ram) {
    tn_qjob job = {.options = *options, .region = tn_region_create(NULL)};
    timing t = {0};
    if (!job.region) return TN_E_MEMORY;
    job.replay = (tn_replay){samples, &job.options};
    tn_status status = tn_graph_copy(graph, true, &job.graph);
    job.base = job.graph;
    job.plan.role = tn_region_array(job.region, (size_t)graph->node_count + 1, sizeof *job.plan.role);
    if (status == TN_OK) status = job.plan.role ? time_graph(&job, graph, &t) : TN_E_MEMORY;
    *out_ns = t.whole;
    if (out_ram) *out_ram = t.ram;
    tn_graph_destroy(job.graph);
    tn_region_destroy(job.region);
    return status;
}

static tn_status time_both(tn_qjob *job, timing *whole, timing *now) {
    const size_t nodes = (size_t)job->base->node_count;
    TN_TRY(time_graph(job, job->graph, whole));
    TN_TRY(time_graph(job, job->best.written, now));
    memcpy(job->report->ns_before, whole->layer, nodes * sizeof *whole->layer);
    memcpy(job->report->ns_after, now->layer, nodes * sizeof *now->layer);
    job->report->summary.ns_before = whole->whole;
    job->report->summary.ns_after = now->whole;
    return TN_OK;
}

tn_status tn_qjob_time(tn_qjob *job) {
    timing whole, now;
    return time_both(job, &whole, &now);
}

/* Takes the attempt over if its whole is faster. */
static tn_status try_skip(tn_qjob *job, const bool *skip, timing *best, bool *faster) {
    tn_attempt a;
    timing t;
    *faster = false;
    tn_status status = tn_attempt_make(job, skip, 2 * job->choosing, &a);
    if (status == TN_OK) status = time_graph(job, a.written, &t);
    *faster = status == TN_OK && t.whole < best->whole;
    if (*faster) {
        tn_attempt_free(&job->best);
        job->best = a;
        *best = t;
    } else {
        tn_attempt_free(&a);
    }
    return status;
}

tn_status tn_qjob_never_slower(tn_qjob *job) {
    size_t nodes = (size_t)job->base->node_count + 1;
    timing whole, now;
    bool faster = true, *skip = tn_region_array(job->region, nodes, sizeof *skip);
    if (!skip) return TN_E_MEMORY;
    TN_TRY(time_both(job, &whole, &now));
    for (int turn = 0; turn < TURNS && faster; turn++) {
        int slower = 0;
        memcpy(skip, job->skip, (nodes - 1) * sizeof *skip);
        for (int n = 0; n < job->base->node_count; n++)
            if (job->best.plan.role[n] == TN_Q_LAYER && now.layer[n] > whole.layer[n]) skip[n] = true, slower++;
        if (!slower) break;
        TN_TRY(try_skip(job, skip, &now, &faster));
        for (int n = 0; n < job->base->node_count && faster; n++) {
            if (skip[n] && !job->skip[n]) job->reason[n] = "it is faster so";
            job->skip[n] = skip[n];
        }
    }
    if (now.whole >= whole.whole) {
        for (int n = 0; n < job->base->node_count; n++) {
            if (job->plan.role[n] == TN_Q_LAYER && !job->skip[n]) job->reason[n] = "the whole is faster in float32";
            job->skip[n] = true;
        }
        tn_attempt a;
        tn_status status = tn_attempt_make(job, job->skip, 1, &a);
        if (status == TN_OK) {
            tn_attempt_free(&job->best);
            job->best = a;
        } else {
            tn_attempt_free(&a);
        }
        now.whole = whole.whole;
        TN_TRY(status);
    }
    job->report->summary.ns_after = now.whole;
    return TN_OK;
}
