/* tenon tune: runs a study of a plan and shows what it found. */
#include "tune.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool on_progress(void *context, const tn_tuning_progress *p) {
    const settings *s = context;
    if (p->state == TN_TRIAL_FAILED && !s->quiet) {
        progress(s, NULL);
        complain("note: trial %lld failed: %s", (long long)p->trial, p->sentence);
    }
    if (p->state == TN_TRIAL_RUNNING)
        progress(s, "%lld of %lld trials; trial %lld: epoch %lld/%lld", (long long)p->done, (long long)p->trials,
                 (long long)p->trial, (long long)p->epoch, (long long)p->epochs);
    return !interrupted();
}

int tune_parameters(tn_study *study) {
    tn_parameter p = {.struct_size = sizeof p};
    int count = 0;
    while (tn_study_parameter(study, count, &p) == TN_OK) count++;
    return count;
}

int tune_objectives(tn_study *study) {
    const char *name;
    int count = 0;
    while (tn_study_objective(study, count, &name, NULL) == TN_OK) count++;
    return count;
}

void tune_value(tn_study *study, int64_t number, int parameter, char *text, size_t size) {
    tn_parameter p = {.struct_size = sizeof p};
    tn_trial t = {.struct_size = sizeof t};
    text[0] = 0;
    if (tn_study_parameter(study, parameter, &p) != TN_OK || tn_study_trial(study, number, &t) != TN_OK ||
        isnan(t.parameters[parameter]))
        return;
    if (p.kind == TN_PARAMETER_CHOICE)
        snprintf(text, size, "%s", p.choices[(int)t.parameters[parameter]]);
    else
        snprintf(text, size, "%.6g", t.parameters[parameter]);
}

int64_t *tune_front(tn_study *study) {
    size_t count = 0, capacity = (size_t)tn_study_end(study);
    int64_t *front = tool_alloc(capacity + 1, sizeof *front);
    if (tune_objectives(study) > 1)
        tn_study_pareto(study, capacity, front, &count);
    else
        count = tn_study_best(study, front) == TN_OK;
    front[count] = -1;
    return front;
}

static void count_states(tn_study *study, int64_t counts[4]) {
    memset(counts, 0, 4 * sizeof *counts);
    for (int64_t i = 0; i < tn_study_end(study); i++) {
        tn_trial t = {.struct_size = sizeof t};
        if (tn_study_trial(study, i, &t) == TN_OK) counts[t.state]++;
    }
}

static void show_trial(tn_tuning *tuning, int64_t number, json *j) {
    tn_study *study = tn_tuning_study(tuning);
    tn_trial t = {.struct_size = sizeof t};
    char text[400];
    if (tn_study_trial(study, number, &t) != TN_OK) return;
    if (j) {
        emit_object(j, NULL);
        emit_int(j, "trial", number);
        emit_object(j, "values");
    } else {
        printf("trial %lld:", (long long)number);
    }
    for (int i = 0; i < tune_objectives(study); i++) {
        const char *name;
        tn_study_objective(study, i, &name, NULL);
        if (j)
            emit_number(j, name, t.values[i]);
        else
            printf("%s %s %.6g", i ? "," : "", name, t.values[i]);
    }
    if (j) emit_end(j);
    if (j)
        emit_object(j, "parameters");
    else
        puts("");
    for (int i = 0; i < tune_parameters(study); i++) {
        tn_parameter p = {.struct_size = sizeof p};
        tn_study_parameter(study, i, &p);
        tune_value(study, number, i, text, sizeof text);
        if (!*text) continue;
        if (!j)
            printf("  %-32s %s\n", p.name, text);
        else if (p.kind == TN_PARAMETER_CHOICE)
            emit_text(j, p.name, text);
        else
            emit_number(j, p.name, t.parameters[i]);
    }
    if (j) {
        emit_end(j);
        emit_text(j, "plan", tn_tuning_path(tuning, number, "yaml"));
        emit_text(j, "model", tn_tuning_path(tuning, number, "tenon"));
        emit_end(j);
    } else {
        printf("  %s, %s\n", tn_tuning_path(tuning, number, "yaml"), tn_tuning_path(tuning, number, "tenon"));
    }
}

static void show(const settings *s, tn_tuning *tuning, double ms) {
    tn_study *study = tn_tuning_study(tuning);
    int64_t counts[4], *front = tune_front(study);
    json out = json_open(stdout), *j = s->json ? &out : NULL;
    count_states(study, counts);
    if (j) {
        emit_object(j, NULL);
        emit_int(j, "complete", counts[TN_TRIAL_COMPLETE]);
        emit_int(j, "pruned", counts[TN_TRIAL_PRUNED]);
        emit_int(j, "failed", counts[TN_TRIAL_FAILED]);
        emit_number(j, "seconds", ms / 1000);
        emit_array(j, "best");
    } else {
        printf("%lld trials complete, %lld pruned, %lld failed; %.1f s now\n", (long long)counts[TN_TRIAL_COMPLETE],
               (long long)counts[TN_TRIAL_PRUNED], (long long)counts[TN_TRIAL_FAILED], ms / 1000);
    }
    for (int64_t *f = front; *f >= 0; f++) show_trial(tuning, *f, j);
    if (j) emit_end(j);
    if (j) emit_end(j);
    free(front);
}

int tune_command(const settings *s) {
    tn_tuning *tuning;
    settings own = *s; /* callbacks take it as their own */
    const tn_tuning_options options = {.struct_size = sizeof options,
                                       .trials = (int64_t)s->trials,
                                       .jobs = (int)s->jobs,
                                       .cpu = s->cpu,
                                       .progress = on_progress,
                                       .context = &own};
    double started = now_ms();
    if (s->operands.count != 1) {
        complain("one study is run: tenon tune STUDY.yaml");
        return EXIT_USAGE;
    }
    const char *path = s->operands.items[0];
    tn_status status = tn_tuning_load(path, &tuning);
    if (status != TN_OK) {
        complain_status(path, status);
        return EXIT_FAILED;
    }
    watch_interrupts();
    status = tn_tuning_run(tuning, &options);
    progress(s, NULL);
    if (status != TN_OK) complain_status(path, status);
    bool good = status == TN_OK;
    if (good || status == TN_E_INTERRUPTED) {
        show(s, tuning, now_ms() - started);
        if (s->page) good = tune_report(tuning, s->page) && good;
    }
    tn_tuning_destroy(tuning);
    return good ? EXIT_OK : EXIT_FAILED;
}
