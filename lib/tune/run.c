/* Running a study of a plan: jobs that each take the next trial, and the files of the best that stay. */
#include <stdio.h>
#include <unistd.h>
#include "tune/tuning.h"

/* Trials after which a study of failures alone ends. */
#define MOST_FAILURES 10

bool tn_tuning_tell(tn_tuning_state *run, int64_t number, tn_trial_state state, int64_t epoch, int64_t epochs,
                    const char *sentence) {
    const tn_tuning_options *o = &run->options;
    pthread_mutex_lock(&run->lock);
    const tn_tuning_progress p = {.struct_size = sizeof p,
                                  .done = tn_study_count(run->tuning->study),
                                  .trials = run->wanted,
                                  .trial = number,
                                  .state = state,
                                  .epoch = epoch,
                                  .epochs = epochs,
                                  .sentence = sentence};
    if (o->progress && !run->stop && !o->progress(o->context, &p)) {
        run->stop = true;
        run->status = tn_fail(TN_E_INTERRUPTED, "stopped after %lld of %lld trials; run again, it goes on from '%s'",
                              (long long)p.done, (long long)p.trials, run->tuning->file);
        snprintf(run->sentence, sizeof run->sentence, "%s", tn_last_error());
    }
    pthread_mutex_unlock(&run->lock);
    return !run->stop;
}

/* What a trial would have gone on from. */
static tn_status remove_rest(const tn_tuning *t, int64_t number, const double *x, tn_region *region) {
    tn_string text;
    tn_plan *plan;
    const char *model = tn_tuning_place(t, number, "tenon", region),
               *checkpoint = tn_tuning_place(t, number, "tenon.checkpoint", region);
    if (!model || !checkpoint) return TN_E_MEMORY;
    unlink(checkpoint);
    TN_TRY(tn_tuning_plan(t, x, region, &text));
    TN_TRY(tn_plan_parse(text.data, text.size, t->folder, &plan));
    tn_status status = tn_plan_set_output(plan, model);
    if (status == TN_OK) tn_snapshots_remove(plan);
    tn_plan_destroy(plan);
    return status;
}

static tn_status remove_all_rest(const tn_tuning *t) {
    tn_region *region = tn_region_create(NULL);
    tn_status status = region ? TN_OK : TN_E_MEMORY;
    for (int64_t i = 0, end = tn_study_end(t->study); status == TN_OK && i < end; i++) {
        tn_trial info = {.struct_size = sizeof info};
        if (tn_study_trial(t->study, i, &info) != TN_OK || info.state != TN_TRIAL_PRUNED) continue;
        tn_region_reset(region);
        status = remove_rest(t, i, info.parameters, region);
    }
    tn_region_destroy(region);
    return status;
}

/* Files of complete trials that are not the best go. */
static tn_status keep_best(tn_tuning *t) {
    tn_study *s = t->study;
    int64_t end = tn_study_end(s), best = -1;
    size_t count = 0, next = 0, bytes = ((size_t)end + 1) * sizeof(int64_t);
    tn_region *region = tn_region_create(NULL);
    int64_t *front = tn_alloc(NULL, bytes);
    tn_status status = region && front ? TN_OK : TN_E_MEMORY;
    if (status == TN_OK && s->objective_count > 1) {
        status = tn_study_pareto(s, (size_t)end, front, &count);
    } else if (status == TN_OK && tn_study_best(s, &best) == TN_OK) {
        front[0] = best;
        count = 1;
    }
    for (int64_t i = 0; status == TN_OK && i < end; i++) {
        tn_trial info = {.struct_size = sizeof info};
        if (next < count && front[next] == i) {
            next++;
            continue;
        }
        if (tn_study_trial(s, i, &info) != TN_OK || info.state == TN_TRIAL_RUNNING) continue;
        tn_region_reset(region);
        const char *model = tn_tuning_place(t, i, "tenon", region), *plan = tn_tuning_place(t, i, "yaml", region);
        if (model) unlink(model);
        if (plan) unlink(plan);
    }
    tn_free(NULL, front, bytes);
    tn_region_destroy(region);
    return status;
}

/* False: nothing is left to do. What the trials of other jobs make worth going on with, these jobs take. */
static bool take(tn_tuning_state *run, int64_t *out_number, tn_status *status) {
    tn_study *s = run->tuning->study;
    pthread_mutex_lock(&run->lock);
    bool more = !run->stop;
    if (more) *status = tn_study_promote(s, out_number);
    if (more && *status == TN_E_NOT_FOUND) {
        more = run->asked < run->wanted;
        *status = more ? tn_study_ask(s, out_number) : TN_OK;
        run->asked += more;
    }
    pthread_mutex_unlock(&run->lock);
    return more;
}

static tn_status check_failures(tn_study *s, const tn_trial *last) {
    int64_t number;
    if (last->state != TN_TRIAL_FAILED || tn_study_count(s) < MOST_FAILURES || tn_study_best(s, &number) == TN_OK)
        return TN_OK;
    for (int64_t i = 0; i < tn_study_end(s); i++) {
        tn_trial t = {.struct_size = sizeof t};
        if (tn_study_trial(s, i, &t) == TN_OK && t.state == TN_TRIAL_PRUNED) return TN_OK;
    }
    return tn_fail(TN_E_INVALID, "all of %lld trials failed, the last one so: %s", (long long)tn_study_count(s),
                   last->sentence);
}

static tn_status one(tn_tuning_state *run, int64_t number) {
    tn_trial t = {.struct_size = sizeof t};
    TN_TRY(tn_tuning_try(run, number));
    TN_TRY(tn_study_trial(run->tuning->study, number, &t));
    pthread_mutex_lock(&run->lock);
    tn_status status = keep_best(run->tuning);
    if (status == TN_OK) status = check_failures(run->tuning->study, &t);
    pthread_mutex_unlock(&run->lock);
    TN_TRY(status);
    tn_tuning_tell(run, number, t.state, 0, 0, t.sentence);
    return TN_OK;
}

static void *work(void *context) {
    tn_tuning_state *run = context;
    int64_t number;
    tn_status status = TN_OK;
    while (status == TN_OK && take(run, &number, &status))
        if (status == TN_OK) status = one(run, number);
    if (status == TN_OK) return NULL;
    pthread_mutex_lock(&run->lock);
    if (run->status == TN_OK) {
        run->status = status;
        snprintf(run->sentence, sizeof run->sentence, "%s", tn_last_error());
    }
    run->stop = true;
    pthread_mutex_unlock(&run->lock);
    return NULL;
}

static void work_all(tn_tuning_state *run, int jobs) {
    pthread_t threads[256];
    int started = 0;
    while (started + 1 < jobs && pthread_create(&threads[started], NULL, work, run) == 0) started++;
    work(run);
    for (int i = 0; i < started; i++) pthread_join(threads[i], NULL);
}

tn_status tn_tuning_run(tn_tuning *t, const tn_tuning_options *options) {
    tn_tuning_state run = {.tuning = t, .options.struct_size = sizeof run.options};
    if (options) memcpy(&run.options, options, TN_MIN(options->struct_size, sizeof run.options));
    const tn_tuning_options *o = &run.options;
    if (o->trials < 0 || o->jobs < 0 || o->jobs > 256)
        return tn_fail(TN_E_INVALID, "%lld trials, %d jobs: up to 256 jobs can be", (long long)o->trials, o->jobs);
    if (!t->open) TN_TRY(tn_study_open(t->study, t->file));
    t->open = true;
    run.wanted = o->trials ? o->trials : t->trials;
    run.asked = tn_study_count(t->study);
    TN_TRY(keep_best(t));
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
#ifdef __GLIBC__ /* who measures does not wait for ever */
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
#endif
    pthread_rwlock_init(&run.quiet, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    pthread_mutex_init(&run.lock, NULL);
    work_all(&run, (int)(o->jobs ? o->jobs : t->jobs));
    pthread_rwlock_destroy(&run.quiet);
    pthread_mutex_destroy(&run.lock);
    return run.status == TN_OK ? remove_all_rest(t) : tn_fail(run.status, "%s", run.sentence);
}
