/* Fitting: the members' answers for rows that they have not seen, and what combines them best. See tenon/ensemble.h. */
#include <math.h>
#include <stdlib.h>
#include "ensemble/ensemble.h"

#define MOST_TURNS 10000
#define LEAST_CHANGE 1e-10 /* of a weight in a turn, where it stops */
#define LEAST_PROBABILITY 1e-12

/* Of a class, as a member has it. */
static double probability(const tn_fitting *f, int member, int64_t row, int64_t label) {
    const float *p = tn_fitting_answer(f, member, row);
    if (f->e->members[member].width > 1) return (double)p[label];
    return label ? (double)p[0] : 1 - (double)p[0];
}

/* ---- weights ---- */

/* Expectation maximisation: how much of each row's probability is each member's, on average. */
static tn_status mix_classes(const tn_fitting *f, double *w) {
    int count = f->e->count;
    double *p = tn_region_array(f->region, (size_t)f->rows * (size_t)count, sizeof *p);
    double next[TN_MOST_MEMBERS], change = 1;
    if (!p) return TN_E_MEMORY;
    for (int64_t r = 0; r < f->rows; r++)
        for (int m = 0; m < count; m++) p[r * count + m] = fmax(probability(f, m, r, f->labels[r]), LEAST_PROBABILITY);
    for (int turn = 0; turn < MOST_TURNS && change > LEAST_CHANGE; turn++) {
        for (int m = 0; m < count; m++) next[m] = 0;
        for (int64_t r = 0; r < f->rows; r++) {
            const double *row = p + r * count;
            double all = 0;
            for (int m = 0; m < count; m++) all += w[m] * row[m];
            for (int m = 0; m < count; m++) next[m] += w[m] * row[m] / all;
        }
        change = 0;
        for (int m = 0; m < count; m++) {
            next[m] /= (double)f->rows;
            change = fmax(change, fabs(next[m] - w[m]));
            w[m] = next[m];
        }
    }
    return TN_OK;
}

/* The squared error is w' E w, with E the products of the members' errors: weight moves between two members at a time, as far
 * as is best, and no weight falls below 0. */
static tn_status mix_numbers(const tn_fitting *f, double *w) {
    int count = f->e->count;
    double *errors = tn_region_array(f->region, (size_t)count * (size_t)count, sizeof *errors), change = 1;
    if (!errors) return TN_E_MEMORY;
    for (int64_t r = 0; r < f->rows; r++)
        for (int64_t k = 0; k < f->outputs; k++)
            for (int i = 0; i < count; i++)
                for (int j = 0; j <= i; j++) {
                    double y = (double)f->numbers[r * f->outputs + k];
                    errors[i * count + j] +=
                        ((double)tn_fitting_answer(f, i, r)[k] - y) * ((double)tn_fitting_answer(f, j, r)[k] - y);
                }
    for (int i = 0; i < count; i++)
        for (int j = i + 1; j < count; j++) errors[i * count + j] = errors[j * count + i];
    for (int turn = 0; turn < MOST_TURNS && change > LEAST_CHANGE; turn++) {
        change = 0;
        for (int i = 0; i < count; i++)
            for (int j = 0; j < i; j++) {
                double slope = 0, bend = errors[i * count + i] + errors[j * count + j] - 2 * errors[i * count + j];
                for (int k = 0; k < count; k++) slope += w[k] * (errors[i * count + k] - errors[j * count + k]);
                if (bend <= 0) continue;
                double move = fmin(fmax(-slope / bend, -w[i]), w[j]);
                w[i] += move;
                w[j] -= move;
                change = fmax(change, fabs(move));
            }
    }
    return TN_OK;
}

/* What is next to nothing is nothing: such a member need not run. */
static tn_status fit_weights(const tn_fitting *f) {
    double w[TN_MOST_MEMBERS];
    int count = f->e->count;
    if (!f->labels && f->e->kind == TN_ENSEMBLE_VOTE)
        return tn_fail(TN_E_TYPE, "a vote is of classes: the target is int64");
    for (int m = 0; m < count; m++) w[m] = 1.0 / count;
    TN_TRY(f->labels ? mix_classes(f, w) : mix_numbers(f, w));
    for (int m = 0; m < count; m++) f->e->members[m].weight = w[m] > 1e-4 ? w[m] : -1;
    return TN_OK;
}

/* ---- cascades ---- */

typedef struct sureness {
    float confidence;
    bool own, next; /* who is right */
} sureness;

static int surer(const void *a, const void *b) {
    float x = ((const sureness *)a)->confidence, y = ((const sureness *)b)->confidence;
    return (x < y) - (x > y);
}

/* In the middle, where rounding on another machine does not reach, and above `low` as float32. */
static double between(float low, float high) {
    float middle = (float)(((double)low + (double)high) / 2);
    return (double)(middle > low ? middle : high);
}

/* From the surest row on: as long as the accuracy is enough, the first member's answer may stand for so many. */
static tn_status fit_threshold(const tn_fitting *f, double max_drop) {
    if (f->e->count != 2)
        return tn_fail(TN_E_UNSUPPORTED, "the threshold of a cascade of two is fitted; give those of more");
    if (!f->labels) return tn_fail(TN_E_TYPE, "a cascade is of classes: the target is int64");
    sureness *rows = tn_region_array(f->region, (size_t)f->rows, sizeof *rows);
    if (!rows) return TN_E_MEMORY;
    int64_t right = 0, wanted = 0;
    for (int64_t r = 0; r < f->rows; r++) {
        rows[r] = (sureness){tn_fitting_confidence(f, 0, r), tn_fitting_greatest(f, 0, r) == f->labels[r],
                             tn_fitting_greatest(f, 1, r) == f->labels[r]};
        right += rows[r].next;
    }
    wanted = (int64_t)ceil((double)right - max_drop * (double)f->rows - 1e-9);
    qsort(rows, (size_t)f->rows, sizeof *rows, surer);
    double threshold = 2; /* nobody is so sure */
    for (int64_t r = 0; r < f->rows; r++) {
        right += rows[r].own - rows[r].next;
        float below = r + 1 < f->rows ? rows[r + 1].confidence : 0;
        if (below < rows[r].confidence && right >= wanted) threshold = between(below, rows[r].confidence);
    }
    f->e->members[0].threshold = threshold;
    return TN_OK;
}

/* ---- all of it ---- */

static tn_status check_labels(tn_fitting *f) {
    int64_t most = 0;
    for (int m = 0; m < f->e->count; m++) most = TN_MAX(most, TN_MAX(f->e->members[m].width, 2));
    f->outputs = most;
    for (int64_t r = 0; r < f->rows; r++)
        if (f->labels[r] < 0 || f->labels[r] >= most)
            return tn_fail(TN_E_INVALID, "row %lld is of class %lld; the members know 0 to %lld", (long long)r,
                           (long long)f->labels[r], (long long)most - 1);
    return TN_OK;
}

static tn_status read_target(tn_fitting *f) {
    const tn_tensor *t = f->target;
    if (f->rows < 1 || t->rank < 1 || t->dims[0] != f->rows || !tn_tensor_is_dense(t))
        return tn_fail(TN_E_SHAPE, "the target has not a row for each of the %lld rows", (long long)f->rows);
    if (t->dtype == TN_INT64 && t->rank == 1) {
        f->labels = t->data;
        return check_labels(f);
    }
    if (t->dtype != TN_FLOAT32 || t->rank > 2)
        return tn_fail(TN_E_TYPE, "the target is classes, int64 [N], or numbers, float32 [N] or [N, D]");
    f->numbers = t->data;
    f->outputs = t->rank == 2 ? t->dims[1] : 1;
    for (int64_t i = 0; i < tn_count(t); i++)
        if (!isfinite(f->numbers[i]))
            return tn_fail(TN_E_INVALID, "element %lld of the target is no finite number", (long long)i);
    for (int m = 0; m < f->e->count && f->e->kind != TN_ENSEMBLE_STACK; m++)
        if (f->e->members[m].width != f->outputs)
            return tn_fail(TN_E_SHAPE, "the target has %lld numbers a row, and member '%s' gives %lld",
                           (long long)f->outputs, f->e->members[m].name, (long long)f->e->members[m].width);
    return TN_OK;
}

static tn_status answer_all(tn_fitting *f, const tn_tensor *x, int threads) {
    tn_graph *graph;
    tn_model *model;
    TN_TRY(tn_ensemble_answers(f->e, &graph));
    TN_TRY(tn_model_from_graph(graph, NULL, &model));
    tn_status status = tn_predict(model, x, threads, &f->made);
    tn_model_destroy(model);
    f->answers = f->made;
    return status;
}

static tn_status check_answers(const tn_fitting *f) {
    const tn_tensor *t = f->answers;
    if (t->dtype != TN_FLOAT32 || t->rank != 2 || t->dims[0] != f->rows || t->dims[1] != f->columns ||
        !tn_tensor_is_dense(t))
        return tn_fail(TN_E_SHAPE, "the members' answers are not float32 [%lld, %lld]", (long long)f->rows,
                       (long long)f->columns);
    const float *data = t->data;
    for (int64_t i = 0; i < tn_count(t); i++)
        if (!isfinite(data[i]))
            return tn_fail(TN_E_INVALID, "the members' answer for row %lld is no finite number",
                           (long long)(i / f->columns));
    return TN_OK;
}

static tn_status fit(tn_fitting *f, const tn_tensor *x, const tn_ensemble_fit_options *o, tn_ensemble_fit_result *out) {
    const tn_tensor *first = x ? x : f->answers;
    f->rows = first->rank ? first->dims[0] : 0;
    TN_TRY(tn_members_open(f->e));
    TN_TRY(read_target(f));
    for (int m = 0; m < f->e->count; m++) {
        f->first[m] = f->columns;
        f->columns += f->e->members[m].width;
    }
    if (x) TN_TRY(answer_all(f, x, o->threads));
    TN_TRY(check_answers(f));
    switch (f->e->kind) {
    case TN_ENSEMBLE_STACK: TN_TRY(tn_stack_fit(f->e, f->answers, f->target, f->outputs, o)); break;
    case TN_ENSEMBLE_CASCADE: TN_TRY(fit_threshold(f, o->max_drop)); break;
    default: TN_TRY(fit_weights(f));
    }
    f->e->fitted = true;
    return out ? tn_fitting_measure(f, out) : TN_OK;
}

/* x or answers. */
static tn_status start(tn_ensemble *e, const tn_tensor *x, const tn_tensor *answers, const tn_tensor *target,
                       const tn_ensemble_fit_options *options, tn_ensemble_fit_result *out_result) {
    tn_ensemble_fit_options o = {.struct_size = sizeof o};
    if (options) memcpy(&o, options, TN_MIN(options->struct_size, sizeof o));
    if (!(o.decay >= 0 && o.decay <= 1e9) || !(o.max_drop >= 0 && o.max_drop <= 1) || o.steps < 0)
        return tn_fail(TN_E_INVALID, "decay is not below 0, max_drop from 0 to 1, steps not below 0");
    tn_fitting f = {.e = e, .answers = answers, .target = target, .region = tn_region_create(NULL)};
    tn_status status = f.region ? fit(&f, x, &o, out_result) : TN_E_MEMORY;
    tn_tensor_destroy(f.made);
    tn_region_destroy(f.region);
    return status;
}

tn_status tn_ensemble_fit(tn_ensemble *e, const tn_tensor *x, const tn_tensor *target,
                          const tn_ensemble_fit_options *options, tn_ensemble_fit_result *out_result) {
    return start(e, x, NULL, target, options, out_result);
}

tn_status tn_ensemble_fit_answers(tn_ensemble *e, const tn_tensor *answers, const tn_tensor *target,
                                  const tn_ensemble_fit_options *options, tn_ensemble_fit_result *out_result) {
    return start(e, NULL, answers, target, options, out_result);
}
