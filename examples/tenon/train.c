/* tenon train: a plan, from data to a model file. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "tool.h"

static bool on_progress(void *context, const tn_plan_progress *p) {
    const settings *s = context;
    char validation[48] = "";
    if (!isnan(p->validation)) snprintf(validation, sizeof validation, ", validation %.4g", p->validation);
    progress(s, "epoch %lld/%lld, step %lld/%lld: loss %.4g%s", (long long)p->epoch, (long long)p->epochs,
             (long long)p->step, (long long)p->steps, p->loss, validation);
    return !interrupted();
}

static void on_note(void *context, const char *sentence) {
    const settings *s = context;
    progress(s, NULL);
    if (!s->quiet) complain("note: %s", sentence);
}

/* The metrics that the manifest has of the rows for testing, or else for training. */
static void show_metrics(const tn_manifest *m, json *j) {
    char path[64], first[160] = "";
    int count = tn_manifest_count(m, "metrics");
    for (int i = 0; i < count; i++) {
        const char *fields[4];
        static const char *const names[] = {"name", "value", "data", "samples"};
        for (int f = 0; f < 4; f++) {
            snprintf(path, sizeof path, "metrics/%d/%s", i, names[f]);
            fields[f] = tn_manifest_get(m, path);
        }
        if (j) {
            emit_object(j, NULL);
            emit_text(j, "name", fields[0]);
            emit_number(j, "value", strtod(fields[1], NULL));
            emit_text(j, "data", fields[2]);
            emit_end(j);
            continue;
        }
        if (i == 0) {
            snprintf(first, sizeof first, "%s", fields[2]);
            printf("on %s (%s rows):\n", fields[2], fields[3] ? fields[3] : "?");
        }
        if (strcmp(first, fields[2]) == 0) printf("  %-28s %.6g\n", fields[0], strtod(fields[1], NULL));
    }
}

static bool show(const settings *s, const tn_plan *plan, const tn_plan_result *r, double ms) {
    tn_model *model = NULL;
    tn_manifest *manifest = NULL;
    const char *path = tn_plan_output(plan);
    tn_status status = tn_model_load(path, NULL, &model);
    const char *text = status == TN_OK ? tn_model_manifest(model) : NULL;
    if (text) status = tn_manifest_parse(text, strlen(text), &manifest);
    if (status != TN_OK) complain_status(path, status);
    json out = json_open(stdout), *j = s->json ? &out : NULL;
    if (manifest && j) {
        emit_object(j, NULL);
        emit_text(j, "model", path);
        emit_text(j, "digest", tn_model_digest(model));
        emit_int(j, "train_rows", r->train_rows);
        emit_int(j, "validation_rows", r->validation_rows);
        emit_int(j, "test_rows", r->test_rows);
        emit_int(j, "epochs", r->epochs);
        emit_int(j, "best_epoch", r->best_epoch);
        emit_int(j, "steps", r->steps);
        emit_int(j, "parameters", r->parameters);
        emit_bool(j, "resumed", r->resumed);
        emit_bool(j, "stopped_early", r->stopped_early);
        emit_number(j, "loss", r->loss);
        emit_number(j, "validation", r->validation);
        emit_number(j, "seconds", ms / 1000);
        emit_array(j, "metrics");
        show_metrics(manifest, j);
        emit_end(j);
        emit_end(j);
    } else if (manifest) {
        printf("%s: %lld parameters, %lld epochs%s%s in %.1f s, epoch %lld kept\n", path, (long long)r->parameters,
               (long long)r->epochs, r->stopped_early ? " (stopped early)" : "", r->resumed ? " (resumed)" : "",
               ms / 1000, (long long)r->best_epoch);
        printf("rows: %lld for training, %lld for validation, %lld for testing\n", (long long)r->train_rows,
               (long long)r->validation_rows, (long long)r->test_rows);
        show_metrics(manifest, NULL);
    }
    tn_manifest_destroy(manifest);
    tn_model_destroy(model);
    return status == TN_OK;
}

/* ---- cross-validation ---- */

enum { MOST_FOLDS = 100, MOST_FIGURES = 40 };

typedef struct figure {
    char *name;
    int count; /* folds that have it */
    double values[MOST_FOLDS];
} figure;

typedef struct folds {
    int wanted, done, count;
    figure figures[MOST_FIGURES];
} folds;

static figure *figure_of(folds *all, const char *name) {
    for (int i = 0; i < all->count; i++)
        if (strcmp(all->figures[i].name, name) == 0) return &all->figures[i];
    if (all->count == MOST_FIGURES) return NULL;
    figure *f = &all->figures[all->count];
    f->name = strdup(name);
    all->count += f->name != NULL;
    return f->name ? f : NULL;
}

/* What the model's manifest says of the rows for testing, which come first. */
static bool add_fold(folds *all, const tn_plan *plan) {
    tn_model *model = NULL;
    tn_manifest *m = NULL;
    tn_status status = tn_model_load(tn_plan_output(plan), NULL, &model);
    const char *text = status == TN_OK ? tn_model_manifest(model) : NULL, *data = NULL;
    if (text) status = tn_manifest_parse(text, strlen(text), &m);
    if (status != TN_OK) complain_status(tn_plan_output(plan), status);
    const int count = m ? tn_manifest_count(m, "metrics") : 0;
    for (int i = 0; i < count; i++) {
        char path[64];
        const char *fields[3];
        static const char *const names[] = {"name", "value", "data"};
        for (int f = 0; f < 3; f++) {
            snprintf(path, sizeof path, "metrics/%d/%s", i, names[f]);
            fields[f] = tn_manifest_get(m, path);
        }
        if (!fields[0] || !fields[1] || !fields[2]) continue;
        if (!data) data = fields[2];
        figure *f = strcmp(data, fields[2]) == 0 ? figure_of(all, fields[0]) : NULL;
        if (f) f->values[f->count++] = strtod(fields[1], NULL);
    }
    all->done += m != NULL;
    tn_manifest_destroy(m);
    tn_model_destroy(model);
    return status == TN_OK;
}

static void show_folds(const settings *s, const folds *all) {
    json out = json_open(stdout), *j = s->json ? &out : NULL;
    if (j) {
        emit_object(j, NULL);
        emit_int(j, "folds", all->done);
        emit_array(j, "metrics");
    } else {
        printf("%d folds: mean, 95 %% interval of the mean, least and greatest\n", all->done);
    }
    for (int i = 0; i < all->count; i++) {
        const figure *f = &all->figures[i];
        double mean, low, high, least = f->values[0], greatest = f->values[0];
        if (f->count < all->done || tn_mean_interval(f->values, f->count, 0.95, &mean, &low, &high) != TN_OK) continue;
        for (int k = 1; k < f->count; k++) {
            least = fmin(least, f->values[k]);
            greatest = fmax(greatest, f->values[k]);
        }
        if (!j) {
            printf("  %-28s %.6g  [%.6g, %.6g]  %.6g to %.6g\n", f->name, mean, low, high, least, greatest);
            continue;
        }
        emit_object(j, NULL);
        emit_text(j, "name", f->name);
        emit_number(j, "mean", mean);
        emit_number(j, "low", low);
        emit_number(j, "high", high);
        emit_array(j, "values");
        for (int k = 0; k < f->count; k++) emit_number(j, NULL, f->values[k]);
        emit_end(j);
        emit_end(j);
    }
    if (j) {
        emit_end(j);
        emit_end(j);
    }
}

/* fold 0: all; else its model's figures are added up. */
static int train_plan(const settings *s, const tn_group *group, int fold, folds *all) {
    tn_plan *plan;
    settings own = *s;                             /* callbacks take it as their own */
    const bool first = !group || group->rank == 0; /* of several it alone tells of what they do */
    tn_plan_result result = {.struct_size = sizeof result};
    const tn_plan_options options = {.struct_size = sizeof options,
                                     .resume = s->resume,
                                     .threads = (int)s->threads,
                                     .cpu = s->cpu,
                                     .progress = on_progress,
                                     .note = on_note,
                                     .context = &own,
                                     .group = group};
    double started = now_ms();
    const char *path = s->operands.items[0];
    own.quiet = s->quiet || !first;
    tn_status status = tn_plan_load(path, &plan);
    if (status != TN_OK) {
        complain_status(path, status);
        return EXIT_FAILED;
    }
    watch_interrupts();
    if (fold) status = tn_plan_set_fold(plan, (int)s->folds, fold);
    if (status == TN_OK) status = tn_plan_train(plan, &options, &result);
    progress(&own, NULL);
    if (status != TN_OK && (first || status != TN_E_INTERRUPTED)) complain_status(path, status);
    bool good = status == TN_OK;
    if (good && first) good = fold ? add_fold(all, plan) : show(s, plan, &result, now_ms() - started);
    tn_plan_destroy(plan);
    return good ? EXIT_OK : status == TN_E_INTERRUPTED ? EXIT_INTERRUPTED : EXIT_FAILED;
}

static int train_folds(const settings *s, const tn_group *group) {
    folds all = {.wanted = (int)s->folds};
    int code = EXIT_OK;
    if (s->folds < 2 || s->folds > MOST_FOLDS) {
        complain("--folds: 2 to %d", MOST_FOLDS);
        return EXIT_USAGE;
    }
    for (int fold = 1; fold <= all.wanted && code == EXIT_OK; fold++) code = train_plan(s, group, fold, &all);
    if (code == EXIT_OK && (!group || group->rank == 0)) show_folds(s, &all);
    for (int i = 0; i < all.count; i++) free(all.figures[i].name);
    return code;
}

int train_command(const settings *s) {
    tn_mpi *mpi = NULL;
    if (s->operands.count != 1) {
        complain("one plan is trained: tenon train PLAN.yaml");
        return EXIT_USAGE;
    }
    tn_status status = s->mpi ? tn_mpi_open(&mpi) : TN_OK;
    if (status != TN_OK) {
        complain_status("--mpi", status);
        return EXIT_FAILED;
    }
    const tn_group *group = mpi ? tn_mpi_group(mpi) : NULL;
    int code = s->folds > 0 ? train_folds(s, group) : train_plan(s, group, 0, NULL);
    tn_mpi_close(mpi, code == EXIT_OK || code == EXIT_INTERRUPTED);
    return code;
}
