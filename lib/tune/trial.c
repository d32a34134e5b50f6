/* One trial: a plan is made, trained and measured. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/output.h"
#include "tune/tuning.h"

enum { RUNS = 50, WARM = 5 };

typedef struct trial {
    tn_tuning_state *run;
    int64_t number;
    int64_t epoch; /* of the last that ended */
    bool pruned, retrains;
    tn_status status; /* of the study, where the training was stopped by it */
    double values[TN_MOST_OBJECTIVES];
} trial;

/* A step's end is where those that measure time come in. */
static bool on_progress(void *context, const tn_plan_progress *p) {
    trial *t = context;
    tn_study *study = t->run->tuning->study;
    pthread_rwlock_unlock(&t->run->quiet);
    bool goes_on = tn_tuning_tell(t->run, t->number, TN_TRIAL_RUNNING, p->epoch, p->epochs, NULL);
    pthread_rwlock_rdlock(&t->run->quiet);
    if (p->epoch_ends) { /* a plan that retrains counts from 1 again, which is behind all rungs */
        t->retrains = t->retrains || p->epoch <= t->epoch;
        t->epoch = p->epoch;
    }
    if (goes_on && p->epoch_ends && p->epoch < p->epochs && !t->retrains) {
        t->status = tn_study_report(study, t->number, p->epoch, p->validation, false, &t->pruned);
        goes_on = t->status == TN_OK && !t->pruned;
    }
    return goes_on;
}

static tn_status on_measured(void *context, tn_metrics *metrics) {
    trial *t = context;
    const tn_study *s = t->run->tuning->study;
    for (int i = 0; i < s->objective_count; i++) {
        const char *name = s->objectives[i];
        if (strcmp(name, TN_OBJECTIVE_LOSS) == 0 || strcmp(name, TN_OBJECTIVE_LATENCY) == 0 ||
            strcmp(name, TN_OBJECTIVE_SIZE) == 0)
            continue;
        TN_TRY(tn_metrics_value(metrics, name, &t->values[i]));
    }
    return TN_OK;
}

/* ---- latency ---- */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static tn_status time_runs(tn_session *session, double *out_ms) {
    double ms[RUNS];
    for (int i = -WARM; i < RUNS; i++) {
        uint64_t start = tn_now();
        TN_TRY(tn_session_run(session));
        if (i >= 0) ms[i] = (double)(tn_now() - start) / 1e6;
    }
    qsort(ms, RUNS, sizeof *ms, by_value);
    *out_ms = ms[RUNS / 2];
    return TN_OK;
}

/* One row of zeros through the model: no operator of a plan's model is faster for them. */
static tn_status measure_latency(tn_tuning_state *run, const char *path, double *out_ms) {
    const tn_model_options options = {.struct_size = sizeof options, .cpu = run->options.cpu};
    tn_model *model;
    tn_session *session = NULL;
    tn_tensor *x = NULL;
    tn_value_info info;
    TN_TRY(tn_model_load(path, &options, &model));
    tn_status status = tn_model_input_info(model, 0, &info);
    if (status == TN_OK) {
        int64_t dims[TN_MAX_RANK];
        for (int i = 0; i < info.rank; i++) dims[i] = info.dims[i] < 0 ? 1 : info.dims[i];
        status = tn_tensor_create(info.dtype, info.rank, dims, NULL, &x);
    }
    if (status == TN_OK) memset(tn_tensor_data(x), 0, tn_tensor_bytes(x));
    if (status == TN_OK) status = tn_session_create(model, NULL, &session);
    if (status == TN_OK) status = tn_session_set_input(session, 0, x);
    if (status == TN_OK) {
        pthread_rwlock_wrlock(&run->quiet);
        status = time_runs(session, out_ms);
        pthread_rwlock_unlock(&run->quiet);
    }
    tn_session_destroy(session);
    tn_tensor_destroy(x);
    tn_model_destroy(model);
    return status;
}

static tn_status measure_file(trial *t, const char *path, double validation) {
    const tn_study *s = t->run->tuning->study;
    struct stat info;
    for (int i = 0; i < s->objective_count; i++) {
        if (strcmp(s->objectives[i], TN_OBJECTIVE_LOSS) == 0) t->values[i] = validation;
        if (strcmp(s->objectives[i], TN_OBJECTIVE_LATENCY) == 0) TN_TRY(measure_latency(t->run, path, &t->values[i]));
        if (strcmp(s->objectives[i], TN_OBJECTIVE_SIZE) != 0) continue;
        if (stat(path, &info) != 0) return tn_fail(TN_E_IO, "cannot look at '%s'", path);
        t->values[i] = (double)info.st_size;
    }
    return TN_OK;
}

static tn_status write_plan(const char *path, tn_string text) {
    tn_output out;
    TN_TRY(tn_output_open(&out, path));
    tn_output_write(&out, text.data, text.size);
    return tn_output_commit(&out);
}

static tn_status train(trial *t, tn_region *region, const char *model_path, bool resume) {
    tn_tuning *tuning = t->run->tuning;
    tn_trial info = {.struct_size = sizeof info};
    tn_plan *plan;
    tn_string text;
    tn_plan_result result = {.struct_size = sizeof result};
    const tn_plan_options options = {.struct_size = sizeof options,
                                     .threads = 1,
                                     .resume = resume,
                                     .cpu = t->run->options.cpu,
                                     .progress = on_progress,
                                     .context = t,
                                     .measured = on_measured};
    TN_TRY(tn_study_trial(tuning->study, t->number, &info));
    TN_TRY(tn_tuning_plan(tuning, info.parameters, region, &text));
    TN_TRY(tn_plan_parse(text.data, text.size, tuning->folder, &plan));
    tn_status status = tn_plan_set_output(plan, model_path);
    pthread_rwlock_rdlock(&t->run->quiet);
    if (status == TN_OK) status = tn_plan_train(plan, &options, &result);
    pthread_rwlock_unlock(&t->run->quiet);
    tn_plan_destroy(plan);
    TN_TRY(status);
    TN_TRY(measure_file(t, model_path, result.validation));
    const char *path = tn_tuning_place(tuning, t->number, "yaml", region);
    return path ? write_plan(path, text) : TN_E_MEMORY;
}

/* Not while another job looks at which trials are the best: it would take this one, complete since, for one that is not. */
static tn_status tell(trial *t) {
    tn_study *study = t->run->tuning->study;
    pthread_mutex_lock(&t->run->lock);
    tn_status status = tn_study_tell(study, t->number, t->values, study->objective_count);
    pthread_mutex_unlock(&t->run->lock);
    return status;
}

/* Of a disk that is full and the like other trials will suffer too. */
static bool is_of_all(tn_status status) {
    return status == TN_E_IO || status == TN_E_MEMORY;
}

static tn_status finish(trial *t, tn_status status, const char *model_path) {
    tn_study *study = t->run->tuning->study;
    if (t->status != TN_OK) return t->status;
    if (status == TN_OK) return tell(t);
    unlink(model_path);
    if (t->pruned && status == TN_E_INTERRUPTED) return TN_OK;
    if (is_of_all(status) || status == TN_E_INTERRUPTED) return status;
    char sentence[500];
    snprintf(sentence, sizeof sentence, "%s", tn_last_error());
    return tn_study_fail(study, t->number, sentence);
}

/* What was stopped before its first rung is run again as a whole, since another trial may get its number. */
tn_status tn_tuning_try(tn_tuning_state *run, int64_t number) {
    tn_study *study = run->tuning->study;
    trial t = {.run = run, .number = number};
    tn_trial info = {.struct_size = sizeof info};
    tn_region *region = tn_region_create(NULL);
    const char *model = region ? tn_tuning_place(run->tuning, number, "tenon", region) : NULL;
    const char *checkpoint = model ? tn_tuning_place(run->tuning, number, "tenon.checkpoint", region) : NULL;
    tn_status status = checkpoint ? tn_study_trial(study, number, &info) : TN_E_MEMORY;
    if (status == TN_OK) {
        if (!info.rungs) unlink(checkpoint);
        status = train(&t, region, model, info.rungs > 0);
        if (status != TN_E_INTERRUPTED || !study->options.promote) unlink(checkpoint);
        status = finish(&t, status, model);
    }
    tn_region_destroy(region);
    return status;
}
