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

static int train_plan(const settings *s, const tn_group *group) {
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
    status = tn_plan_train(plan, &options, &result);
    progress(&own, NULL);
    if (status != TN_OK && (first || status != TN_E_INTERRUPTED)) complain_status(path, status);
    bool good = status == TN_OK && (!first || show(s, plan, &result, now_ms() - started));
    tn_plan_destroy(plan);
    return good ? EXIT_OK : status == TN_E_INTERRUPTED ? EXIT_INTERRUPTED : EXIT_FAILED;
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
    int code = train_plan(s, mpi ? tn_mpi_group(mpi) : NULL);
    tn_mpi_close(mpi, code == EXIT_OK || code == EXIT_INTERRUPTED);
    return code;
}
