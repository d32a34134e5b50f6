/* Snapshots: what the weights are at the end of each cycle of a cosine schedule, combined in the end to one model (Huang et
 * al., "Snapshot Ensembles: Train 1, Get M for Free", 2017). Each is a file beside the checkpoint, which is written later, so
 * that a run that resumes finds those that it made before. */
#include <math.h>
#include <stdio.h>
#include <tenon/ensemble.h>
#include <tenon/onnx.h>
#include <unistd.h>
#include "plan/plan.h"

/* The number, from 1 on, of the cycle that ends with this epoch; 0: none does. */
static int64_t cycle_of(const tn_plan *plan, int64_t epoch) {
    double end = 0, length = plan->period, stretch = plan->schedule.stretch > 0 ? plan->schedule.stretch : 1;
    for (int64_t cycle = 1; end < (double)epoch; cycle++, length *= stretch) {
        end += length;
        if ((int64_t)ceil(end - 1e-9) == epoch) return cycle;
    }
    return 0;
}

static int64_t cycles(const tn_plan *plan) {
    double end = 0, length = plan->period, stretch = plan->schedule.stretch > 0 ? plan->schedule.stretch : 1;
    int64_t count = 0;
    for (; (int64_t)ceil(end + length - 1e-9) <= plan->epochs; length *= stretch, count++) end += length;
    return count;
}

tn_status tn_snapshots_check(const tn_plan *plan) {
    if (!plan->snapshots) return TN_OK;
    if (plan->schedule.kind != TN_SCHEDULE_COSINE || !(plan->period >= 1))
        return tn_fail(TN_E_FORMAT,
                       "'snapshots' are of the cycles of a schedule: {kind: cosine, period: 10}, in epochs");
    if (plan->patience) return tn_fail(TN_E_FORMAT, "beside 'snapshots' there is no 'patience': all cycles are needed");
    if (cycles(plan) < plan->snapshots)
        return tn_fail(TN_E_FORMAT, "%lld snapshots of %lld epochs, which hold %lld whole cycles",
                       (long long)plan->snapshots, (long long)plan->epochs, (long long)cycles(plan));
    return TN_OK;
}

static const char *path_of(const tn_plan *plan, int64_t cycle, char *path, size_t size) {
    snprintf(path, size, "%s.snapshot-%lld", plan->output, (long long)cycle);
    return path;
}

/* The model as it would be if the training ended here. */
static tn_status answering(const tn_fit *fit, tn_graph **out) {
    TN_TRY(tn_trainer_export(fit->trainer, out));
    tn_status status = tn_plan_answer(fit->data, fit->loss, *out);
    if (status == TN_OK) return TN_OK;
    tn_graph_destroy(*out);
    return status;
}

tn_status tn_snapshot_take(const tn_fit *fit, int64_t epoch) {
    const tn_plan *plan = fit->plan;
    int64_t cycle = plan->snapshots ? cycle_of(plan, epoch) : 0;
    size_t size = strlen(plan->output) + 40;
    tn_graph *graph;
    if (!cycle || cycle <= cycles(plan) - plan->snapshots) return TN_OK;
    char *path = tn_alloc(NULL, size);
    tn_status status = path ? answering(fit, &graph) : TN_E_MEMORY;
    if (status == TN_OK) {
        status = tn_graph_save_onnx(graph, path_of(plan, cycle, path, size), NULL);
        tn_graph_destroy(graph);
    }
    tn_free(NULL, path, size);
    return status;
}

static tn_status combine(const tn_plan *plan, tn_ensemble *e, char *path, size_t size, tn_graph **out) {
    int64_t last = cycles(plan);
    for (int64_t cycle = last - plan->snapshots + 1; cycle <= last; cycle++) {
        char name[40];
        snprintf(name, sizeof name, "snapshot-%lld", (long long)cycle);
        const tn_ensemble_member m = {.struct_size = sizeof m, .name = name};
        TN_TRY(tn_ensemble_add_file(e, path_of(plan, cycle, path, size), &m));
    }
    TN_TRY(tn_ensemble_graph(e, out));
    (*out)->manifest = NULL; /* the plan writes another */
    return TN_OK;
}

tn_status tn_snapshots_end(const tn_fit *fit, tn_graph **out) {
    const tn_plan *plan = fit->plan;
    tn_ensemble *e = NULL;
    if (plan->snapshots < 2) return answering(fit, out);
    size_t size = strlen(plan->output) + 40;
    char *path = tn_alloc(NULL, size);
    tn_status status = path ? tn_ensemble_create(TN_ENSEMBLE_AVERAGE, &e) : TN_E_MEMORY;
    if (status == TN_OK) status = combine(plan, e, path, size, out);
    tn_ensemble_destroy(e);
    tn_free(NULL, path, size);
    return status == TN_OK ? TN_OK : tn_fail_context(status, "the snapshots");
}

void tn_snapshots_remove(const tn_plan *plan) {
    size_t size = strlen(plan->output) + 40;
    char *path = plan->snapshots ? tn_alloc(NULL, size) : NULL;
    int64_t last = path ? cycles(plan) : 0;
    for (int64_t cycle = last - plan->snapshots + 1; path && cycle <= last; cycle++)
        unlink(path_of(plan, cycle, path, size));
    tn_free(NULL, path, size);
}
