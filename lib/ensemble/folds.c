/* Fitting on out-of-fold answers, as scikit-learn's StackingClassifier does it: each member was trained on all rows, and once
 * more for each fold of a cross-validation on what is not in the fold (tn_plan_set_fold). For each row answers the model that
 * has not seen it; what combines such answers is fitted on all rows, none of which had to be held out. See tenon/ensemble.h. */
#include <tenon/model_file.h>
#include "ensemble/ensemble.h"
#include "data/digest.h"
#include "data/pipeline.h"

typedef struct gathered {
    float *answers;
    uint8_t *target;
    int64_t rows, columns;
    size_t row_bytes;            /* of the target */
    char digest[TN_DIGEST_TEXT]; /* of the data's file; "" before one asks */
    tn_region *region;
} gathered;

/* The members' models of one fold, and its rows for testing. */
static tn_status fold_of(const tn_ensemble *e, int fold, tn_ensemble **out) {
    TN_TRY(tn_ensemble_create(TN_ENSEMBLE_STACK, out));
    tn_ensemble *own = *out;
    own->data = e->data;
    own->separator = e->separator;
    own->decimal = e->decimal;
    own->no_header = e->no_header;
    own->rows = TN_ROWS_TESTING;
    for (int i = 0; i < e->count; i++) {
        const tn_member *m = &e->members[i];
        const tn_ensemble_member made = {
            .struct_size = sizeof made, .name = m->name, .output = m->output, .logits = m->logits};
        tn_member *put;
        size_t n = m->path ? strlen(m->path) : 0;
        if (n < 7 || strcmp(m->path + n - 6, ".tenon") != 0)
            return tn_fail(TN_E_INVALID, "member '%s' is no .tenon file, which has models of folds beside it", m->name);
        const char *path = tn_region_printf(own->region, "%.*s.fold-%d.tenon", (int)n - 6, m->path, fold);
        if (!path) return TN_E_MEMORY;
        TN_TRY(tn_member_put(own, &made, path, &put));
    }
    tn_status status = tn_members_open(own);
    if (status == TN_OK) return TN_OK;
    return tn_fail_context(status, "fold %d; a plan's models of folds are made by tenon train PLAN --folds", fold);
}

/* Rows of its own for testing would be among those of the folds. */
static tn_status check_member(const tn_member *m) {
    tn_pipeline *p;
    tn_status status = tn_pipeline_of_graph(m->shared->graph, &p);
    if (status != TN_OK) return tn_fail_context(status, "member '%s'", m->name);
    const bool split = tn_pipeline_tests(p);
    tn_pipeline_destroy(p);
    return !split ? TN_OK
                  : tn_fail(TN_E_INVALID,
                            "member '%s' was trained on a part of the rows; with 'folds' it is on all of them: leave "
                            "'split' out of its plan, or give it 'test: 0', and keep rows for testing in another file",
                            m->name);
}

/* That it is the fold it is called, of these data. */
static tn_status check_fold(gathered *g, const tn_member *m, int folds, int fold, const tn_ensemble *e) {
    const char *yaml = tn_graph_manifest(m->shared->graph), *made;
    tn_manifest *manifest;
    tn_pipeline *p;
    TN_TRY(tn_pipeline_of_graph(m->shared->graph, &p));
    tn_status status = TN_OK;
    if (p->folds != folds || p->fold != fold)
        status = tn_fail(TN_E_INVALID, "it is of fold %d of %d, not %d of %d", p->fold, p->folds, fold, folds);
    bool files = false; /* of media: their bytes are in the digest too */
    for (int i = 0; i < p->count; i++) files |= p->features[i].media != 0;
    tn_pipeline_destroy(p);
    if (status != TN_OK || files) return status;
    if (!g->digest[0]) TN_TRY(tn_data_digest(e->data, g->digest));
    TN_TRY(tn_manifest_parse(yaml, strlen(yaml), &manifest));
    made = tn_manifest_get(manifest, "provenance/data/0/digest");
    if (made && strcmp(made, g->digest) != 0)
        status = tn_fail(TN_E_INVALID, "it was trained on other data than '%s': these have %s, those %s", e->data,
                         g->digest, made);
    tn_manifest_destroy(manifest);
    return status;
}

static tn_status check_rows(const tn_evaluation *all, const tn_evaluation *rows) {
    bool same = all->class_count == rows->class_count && all->samples.y && rows->samples.y &&
                all->samples.y->dtype == rows->samples.y->dtype && all->samples.y->rank == rows->samples.y->rank;
    for (int i = 0; same && i < all->class_count; i++) same = strcmp(all->classes[i], rows->classes[i]) == 0;
    return same ? TN_OK
                : tn_fail(TN_E_INVALID,
                          "the rows of its training have other classes than all rows; fewer folds may help");
}

/* What the models of a fold answer, behind what is there. */
static tn_status gather(gathered *g, tn_ensemble *own, const tn_evaluation *rows, int threads) {
    tn_graph *graph;
    tn_model *model;
    tn_tensor *answers;
    TN_TRY(tn_ensemble_answers(own, &graph));
    tn_status status = tn_ensemble_describe(own, graph); /* one pipeline for all of them */
    if (status != TN_OK) {
        tn_graph_destroy(graph);
        return status;
    }
    TN_TRY(tn_model_from_graph(graph, NULL, &model));
    status = tn_predict_samples(model, &rows->samples, threads, &answers);
    tn_model_destroy(model);
    TN_TRY(status);
    int64_t room = g->rows + answers->dims[0];
    bool fits = answers->dims[1] == g->columns;
    float *all = fits ? tn_region_array(g->region, (size_t)room * (size_t)g->columns, sizeof *all) : NULL;
    uint8_t *target = all ? tn_region_array(g->region, (size_t)room, g->row_bytes) : NULL;
    if (!fits)
        status = tn_fail(TN_E_SHAPE, "the models answer %lld numbers a row, not %lld as the members",
                         (long long)answers->dims[1], (long long)g->columns);
    if (fits && !target) status = TN_E_MEMORY;
    if (status == TN_OK) {
        if (g->rows) memcpy(all, g->answers, (size_t)(g->rows * g->columns) * sizeof *all);
        if (g->rows) memcpy(target, g->target, (size_t)g->rows * g->row_bytes);
        memcpy(all + g->rows * g->columns, answers->data, tn_tensor_bytes(answers));
        memcpy(target + (size_t)g->rows * g->row_bytes, rows->samples.y->data, tn_tensor_bytes(rows->samples.y));
        g->answers = all;
        g->target = target;
        g->rows = room;
    }
    tn_tensor_destroy(answers);
    return status;
}

static tn_status take_fold(gathered *g, const tn_ensemble *e, const tn_evaluation *all, int fold,
                           const tn_ensemble_fit_options *o) {
    tn_ensemble *own = NULL;
    tn_evaluation *rows = NULL;
    tn_status status = fold_of(e, fold, &own);
    for (int i = 0; status == TN_OK && i < own->count; i++) {
        status = check_fold(g, &own->members[i], o->folds, fold, e);
        if (status != TN_OK) tn_fail_context(status, "%s", own->members[i].path);
    }
    if (status == TN_OK) status = tn_ensemble_rows(own, o->threads, &rows);
    if (status == TN_OK) status = check_rows(all, rows);
    if (status == TN_OK) status = gather(g, own, rows, o->threads);
    tn_evaluation_destroy(rows);
    tn_ensemble_destroy(own);
    return status;
}

tn_status tn_folds_fit(tn_ensemble *e, const tn_evaluation *all, const tn_ensemble_fit_options *o,
                       tn_ensemble_fit_result *out) {
    tn_tensor *answers = NULL, *target = NULL;
    gathered g = {.region = tn_region_create(NULL)};
    tn_status status = g.region ? TN_OK : TN_E_MEMORY;
    if (status == TN_OK && !all->samples.y) status = tn_fail(TN_E_INVALID, "the members have no target");
    for (int i = 0; i < e->count && status == TN_OK; i++) {
        g.columns += e->members[i].width;
        status = check_member(&e->members[i]);
    }
    if (status == TN_OK) g.row_bytes = tn_tensor_bytes(all->samples.y) / (size_t)all->samples.y->dims[0];
    for (int k = 1; k <= o->folds && status == TN_OK; k++) status = take_fold(&g, e, all, k, o);
    int64_t dims[TN_MAX_RANK] = {g.rows, g.columns};
    if (status == TN_OK)
        status = tn_tensor_wrap(TN_FLOAT32, 2, dims, NULL, g.answers, (size_t)(g.rows * g.columns) * sizeof(float),
                                &answers);
    if (status == TN_OK) {
        memcpy(dims, all->samples.y->dims, (size_t)all->samples.y->rank * sizeof *dims);
        dims[0] = g.rows;
        status = tn_tensor_wrap(all->samples.y->dtype, all->samples.y->rank, dims, NULL, g.target,
                                (size_t)g.rows * g.row_bytes, &target);
    }
    if (status == TN_OK) status = tn_ensemble_fit_answers(e, answers, target, o, out);
    tn_tensor_destroy(answers);
    tn_tensor_destroy(target);
    tn_region_destroy(g.region);
    return status;
}
