/* Graphs run side by side on all samples, with some of their values looked at. */
#include "compress/quantize.h"
#include "exec/model.h"

typedef struct runner {
    tn_model *model;
    tn_session *session;
    int inputs, count;
    const tn_tensor **in, **seen;
    int *place; /* of a watched value: the output that it is, or -1 - the input */
} runner;

static tn_status check_input(const runner *r, int i) {
    tn_value_info info;
    TN_TRY(tn_model_input_info(r->model, i, &info));
    if (!r->in[i]) return tn_fail(TN_E_INVALID, "there is nothing for input '%s'", info.name);
    return tn_session_set_input(r->session, i, r->in[i]);
}

static tn_status run_set(runner *r) {
    for (int i = 0; i < r->inputs; i++) TN_TRY(check_input(r, i));
    TN_TRY(tn_session_run(r->session));
    for (int k = 0; k < r->count; k++) {
        if (r->place[k] >= 0)
            TN_TRY(tn_session_output(r->session, r->place[k], &r->seen[k]));
        else
            r->seen[k] = r->in[-1 - r->place[k]];
    }
    return TN_OK;
}

static tn_status run_all(runner *r, int count, const tn_replay *replay, int64_t most, tn_see *see, void *context,
                         int64_t *sets) {
    const tn_tensor *const *seen[2] = {r[0].seen, r[1].seen};
    for (*sets = 0; !most || *sets < most; ++*sets) {
        for (int i = 0; i < r->inputs; i++) r->in[i] = NULL;
        tn_status status = replay->samples->get(replay->samples->context, *sets, r->in);
        if (status == TN_E_NOT_FOUND) break;
        for (int k = 0; k < count && status == TN_OK; k++) {
            memcpy(r[k].in, r[0].in, (size_t)r->inputs * sizeof *r->in);
            status = run_set(&r[k]);
        }
        if (status == TN_OK) status = see(context, seen);
        if (status != TN_OK) return tn_fail_context(status, "calibration data, set %lld", (long long)*sets);
    }
    if (*sets) return TN_OK;
    return tn_fail(TN_E_INVALID, "there are no calibration data: give at least one set of inputs");
}

/* The graph with the watched values as outputs; which output, or input, each is. */
static tn_status open_runner(runner *r, const tn_graph *graph, const tn_replay *replay, const int *watch) {
    tn_graph *copy;
    TN_TRY(tn_graph_copy(graph, true, &copy));
    for (int k = 0; k < r->count; k++) {
        r->place[k] = copy->output_count;
        for (int i = 0; i < copy->input_count; i++)
            if (copy->inputs[i] == watch[k]) r->place[k] = -1 - i;
        for (int o = 0; o < copy->output_count; o++)
            if (copy->outputs[o] == watch[k]) r->place[k] = o;
        tn_status status = r->place[k] == copy->output_count ? tn_graph_add_output(copy, watch[k]) : TN_OK;
        if (status != TN_OK) {
            tn_graph_destroy(copy);
            return status;
        }
    }
    tn_model_options model = {.struct_size = sizeof model, .cpu = replay->options->cpu};
    tn_session_options session = {.struct_size = sizeof session, .threads = replay->options->threads, .max_shapes = 1};
    r->inputs = copy->input_count;
    TN_TRY(tn_model_from_graph(copy, &model, &r->model));
    return tn_session_create(r->model, &session, &r->session);
}

tn_status tn_replay_run(const tn_replay *replay, int64_t most, int graphs, const tn_graph *const *graph, int count,
                        const int *const *watch, tn_see *see, void *context, int64_t *out_sets) {
    runner r[2] = {{0}};
    tn_region *scratch = tn_region_create(NULL);
    tn_status status = scratch ? TN_OK : TN_E_MEMORY;
    *out_sets = 0;
    for (int k = 0; k < graphs && status == TN_OK; k++) {
        r[k] = (runner){.count = count,
                        .in = tn_region_array(scratch, (size_t)graph[k]->input_count + 1, sizeof *r->in),
                        .seen = tn_region_array(scratch, (size_t)count + 1, sizeof *r->seen),
                        .place = tn_region_array(scratch, (size_t)count + 1, sizeof *r->place)};
        status = r[k].in && r[k].seen && r[k].place ? open_runner(&r[k], graph[k], replay, watch[k]) : TN_E_MEMORY;
    }
    if (status == TN_OK) status = run_all(r, graphs, replay, most, see, context, out_sets);
    for (int k = 0; k < graphs; k++) {
        tn_session_destroy(r[k].session);
        tn_model_destroy(r[k].model);
    }
    tn_region_destroy(scratch);
    return status;
}
