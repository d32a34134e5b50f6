/* tenon ensemble: one model of several. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "tool.h"

static const char *const methods[] = {"average", "vote", "stack", "cascade"};

static bool find_method(const settings *s, tn_ensemble_kind *out) {
    *out = TN_ENSEMBLE_AVERAGE;
    for (int i = 0; s->method && i < 4; i++) {
        if (strcmp(methods[i], s->method) != 0) continue;
        *out = (tn_ensemble_kind)i;
        return true;
    }
    if (s->method) complain("--method is average, vote, stack or cascade, not '%s'", s->method);
    return !s->method;
}

/* The next of --weights; 1 where there are none. */
static bool next_weight(const char **weights, double *out) {
    char *end;
    *out = 1;
    if (!*weights) return true;
    *out = strtod(*weights, &end);
    bool good = end != *weights && (*end == ',' || !*end) && *out >= 0;
    if (!good) complain("--weights is a number, 0 or above, for each member, with commas between");
    *weights = *end ? end + 1 : end;
    if (*out == 0) *out = -1;
    return good;
}

static bool add_members(const settings *s, tn_ensemble *e) {
    const char *weights = s->weights;
    for (size_t i = 1; i < s->operands.count; i++) {
        const char *path = s->operands.items[i];
        tn_ensemble_member m = {.struct_size = sizeof m, .logits = s->logits, .threshold = s->threshold};
        progress(s, "loading %s", path);
        if (!next_weight(&weights, &m.weight)) return false;
        tn_status status = tn_ensemble_add_file(e, path, &m);
        if (status != TN_OK) return complain_status(path, status);
    }
    if (weights && *weights) complain("--weights has more numbers than there are members");
    return !weights || !*weights;
}

/* OUT's name without folder and ending. */
static bool name_it(tn_ensemble *e, const char *path) {
    char name[128];
    const char *slash = strrchr(path, '/'), *start = slash ? slash + 1 : path, *dot = strrchr(start, '.');
    snprintf(name, sizeof name, "%.*s", (int)(dot ? dot - start : (long)strlen(start)), start);
    return tn_ensemble_set(e, "name", name) == TN_OK && tn_ensemble_set_output(e, path) == TN_OK;
}

static bool from_words(const settings *s, tn_ensemble **out) {
    tn_ensemble_kind kind;
    tn_csv_options csv = {.struct_size = sizeof csv};
    const tn_ensemble_fit_options fit = {.struct_size = sizeof fit, .max_drop = s->max_drop, .folds = (int)s->folds};
    const char *path = s->operands.items[0];
    tn_rows rows;
    *out = NULL;
    if (!ends_with(path, ".tenon") && !ends_with(path, ".onnx")) {
        complain("%s: models are written as .onnx or .tenon", path);
        return false;
    }
    if (!find_method(s, &kind) || !choose_rows(s, &rows) || !csv_options(s, &csv)) return false;
    tn_status status = tn_ensemble_create(kind, out);
    if (status != TN_OK) return complain_status("ensemble", status);
    if (!name_it(*out, path) || !add_members(s, *out)) return false;
    status = s->fit ? tn_ensemble_set_data(*out, s->fit, &csv, rows, &fit) : TN_OK;
    return status == TN_OK || complain_status(s->fit, status);
}

static void show(const settings *s, const tn_ensemble *e, const tn_ensemble_fit_result *r) {
    json out = json_open(stdout), *j = s->json ? &out : NULL;
    const char *name;
    double weight, threshold;
    if (j) {
        emit_object(j, NULL);
        emit_text(j, "model", tn_ensemble_output(e));
        emit_int(j, "rows", r->rows);
        emit_number(j, "loss", r->rows ? r->loss : NAN);
        emit_number(j, "accuracy", r->rows ? r->accuracy : NAN);
        emit_number(j, "best_member", r->rows ? r->best : NAN);
        emit_number(j, "passed_on", r->rows ? r->passed_on : NAN);
        emit_array(j, "members");
    } else {
        printf("%s: %d members\n", tn_ensemble_output(e), tn_ensemble_count(e));
    }
    for (int i = 0; tn_ensemble_member_at(e, i, &name, &weight, &threshold) == TN_OK; i++) {
        if (!j) {
            printf("  %-24s weight %.4f, threshold %.4f\n", name, weight, threshold);
            continue;
        }
        emit_object(j, NULL);
        emit_text(j, "name", name);
        emit_number(j, "weight", weight);
        emit_number(j, "threshold", threshold);
        emit_end(j);
    }
    if (j) {
        emit_end(j);
        emit_end(j);
    } else if (r->rows) {
        printf("fitted on %lld rows: loss %.6g", (long long)r->rows, r->loss);
        if (!isnan(r->accuracy)) printf(", accuracy %.4f", r->accuracy);
        printf("; the best member %.6g", r->best);
        if (r->passed_on > 0) printf("; %.1f %% of the rows go to the last", 100 * r->passed_on);
        puts("");
    }
}

int ensemble_command(const settings *s) {
    tn_ensemble *e = NULL;
    tn_ensemble_fit_result result = {.struct_size = sizeof result};
    const char *first = s->operands.items[0];
    if (s->operands.count == 1) {
        tn_status status = tn_ensemble_load(first, &e);
        if (status != TN_OK) {
            complain_status(first, status);
            return EXIT_FAILED;
        }
    } else if (!from_words(s, &e)) {
        tn_ensemble_destroy(e);
        return EXIT_FAILED;
    }
    progress(s, "making %s", tn_ensemble_output(e));
    tn_status status = tn_ensemble_run(e, (int)s->threads, &result);
    progress(s, NULL);
    bool good = status == TN_OK || complain_status(first, status);
    if (good) show(s, e, &result);
    tn_ensemble_destroy(e);
    return good ? EXIT_OK : EXIT_FAILED;
}
