/* Fitting: the members' answers for rows that they have not seen, and what combines them best. See tenon/ensemble.h. */
#include <math.h>
#include <stdlib.h>
#include "ensemble/ensemble.h"

#define MOST_TURNS 10000
#define LEAST_CHANGE 1e-10 /* of a weight in a turn, where it stops */
#define LEAST_PROBABILITY 1e-12

/* Answers [rows, columns], those of member m from first[m] on; the target as classes or as numbers. */
typedef struct fitting {
    tn_ensemble *e;
    const tn_tensor *x, *target;
    tn_tensor *answers;
    int64_t rows, columns;
    int64_t first[TN_MOST_MEMBERS];
    const int64_t *labels; /* NULL: numbers */
    const float *numbers;
    int64_t outputs; /* classes, or numbers a row */
    tn_region *region;
} fitting;

static const float *answer(const fitting *f, int member, int64_t row) {
    return (const float *)f->answers->data + row * f->columns + f->first[member];
}

/* Of a class, as a member has it. */
static double probability(const fitting *f, int member, int64_t row, int64_t label) {
    const float *p = answer(f, member, row);
    if (f->e->members[member].width > 1) return (double)p[label];
    return label ? (double)p[0] : 1 - (double)p[0];
}

static int64_t greatest(const fitting *f, int member, int64_t row) {
    const float *p = answer(f, member, row);
    int64_t width = f->e->members[member].width, best = 0;
    if (width == 1) return p[0] >= 0.5f;
    for (int64_t i = 1; i < width; i++)
        if (p[i] > p[best]) best = i;
    return best;
}

/* ---- weights ---- */

/* Expectation maximisation: how much of each row's probability is each member's, on average. */
static tn_status mix_classes(const fitting *f, double *w) {
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
static tn_status mix_numbers(const fitting *f, double *w) {
    int count = f->e->count;
    double *errors = tn_region_array(f->region, (size_t)count * (size_t)count, sizeof *errors), change = 1;
    if (!errors) return TN_E_MEMORY;
    for (int64_t r = 0; r < f->rows; r++)
        for (int64_t k = 0; k < f->outputs; k++)
            for (int i = 0; i < count; i++)
                for (int j = 0; j <= i; j++) {
                    double y = (double)f->numbers[r * f->outputs + k];
                    errors[i * count + j] += ((double)answer(f, i, r)[k] - y) * ((double)answer(f, j, r)[k] - y);
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
static tn_status fit_weights(const fitting *f) {
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

/* In cascade.c the same is computed of float32 by nodes. */
static float confidence(const fitting *f, int64_t row) {
    float p = answer(f, 0, row)[greatest(f, 0, row) * (f->e->members[0].width > 1)];
    return f->e->members[0].width > 1 ? p : fabsf(p - 0.5f) + 0.5f;
}

/* In the middle, where rounding on another machine does not reach, and above `low` as float32. */
static double between(float low, float high) {
    float middle = (float)(((double)low + (double)high) / 2);
    return (double)(middle > low ? middle : high);
}

/* From the surest row on: as long as the accuracy is enough, the first member's answer may stand for so many. */
static tn_status fit_threshold(const fitting *f, double max_drop) {
    if (f->e->count != 2)
        return tn_fail(TN_E_UNSUPPORTED, "the threshold of a cascade of two is fitted; give those of more");
    if (!f->labels) return tn_fail(TN_E_TYPE, "a cascade is of classes: the target is int64");
    sureness *rows = tn_region_array(f->region, (size_t)f->rows, sizeof *rows);
    if (!rows) return TN_E_MEMORY;
    int64_t right = 0, wanted = 0;
    for (int64_t r = 0; r < f->rows; r++) {
        rows[r] = (sureness){confidence(f, r), greatest(f, 0, r) == f->labels[r], greatest(f, 1, r) == f->labels[r]};
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

/* ---- results ---- */

static tn_status predict(tn_graph *graph, const tn_tensor *x, int threads, tn_tensor **out) {
    tn_model *model;
    TN_TRY(tn_model_from_graph(graph, NULL, &model));
    tn_status status = tn_predict(model, x, threads, out);
    tn_model_destroy(model);
    return status;
}

static double value_of(tn_metrics *metrics, const char *name) {
    double value;
    return tn_metrics_value(metrics, name, &value) == TN_OK ? value : NAN;
}

static double of_member(const fitting *f, int member) {
    double sum = 0;
    for (int64_t r = 0; r < f->rows; r++) {
        for (int64_t k = 0; !f->labels && k < f->outputs; k++) {
            double d = (double)answer(f, member, r)[k] - (double)f->numbers[r * f->outputs + k];
            sum += d * d / (double)f->outputs;
        }
        if (f->labels) sum += greatest(f, member, r) == f->labels[r];
    }
    return sum / (double)f->rows;
}

static tn_status measure(const fitting *f, int threads, tn_ensemble_fit_result *out) {
    tn_ensemble_fit_result r = {.rows = f->rows, .passed_on = 0, .accuracy = NAN};
    tn_metrics *metrics;
    tn_tensor *predicted;
    tn_graph *graph;
    TN_TRY(tn_ensemble_graph(f->e, &graph));
    TN_TRY(predict(graph, f->x, threads, &predicted));
    int classes = predicted->rank == 2 && predicted->dims[1] > 1 ? (int)predicted->dims[1] : 0;
    tn_status status = tn_metrics_of(f->labels ? TN_TASK_CLASSIFICATION : TN_TASK_REGRESSION, f->x, f->target,
                                     predicted, classes, false, &metrics);
    tn_tensor_destroy(predicted);
    TN_TRY(status);
    r.loss = value_of(metrics, f->labels ? "log_loss" : "mse");
    if (f->labels) r.accuracy = value_of(metrics, "accuracy");
    tn_metrics_destroy(metrics);
    for (int m = 0; m < f->e->count; m++) {
        double own = of_member(f, m);
        r.best = m == 0 ? own : f->labels ? fmax(r.best, own) : fmin(r.best, own);
    }
    float threshold = (float)tn_member_threshold(&f->e->members[0]);
    for (int64_t i = 0; f->e->kind == TN_ENSEMBLE_CASCADE && i < f->rows; i++)
        r.passed_on += (confidence(f, i) < threshold) / (double)f->rows;
    size_t size = out->struct_size;
    memcpy(out, &r, TN_MIN(size, sizeof r));
    out->struct_size = size;
    return TN_OK;
}

/* ---- all of it ---- */

static tn_status check_labels(fitting *f) {
    int64_t most = 0;
    for (int m = 0; m < f->e->count; m++) most = TN_MAX(most, TN_MAX(f->e->members[m].width, 2));
    f->outputs = most;
    for (int64_t r = 0; r < f->rows; r++)
        if (f->labels[r] < 0 || f->labels[r] >= most)
            return tn_fail(TN_E_INVALID, "row %lld is of class %lld; the members know 0 to %lld", (long long)r,
                           (long long)f->labels[r], (long long)most - 1);
    return TN_OK;
}

static tn_status read_target(fitting *f) {
    const tn_tensor *t = f->target;
    f->rows = f->x->rank ? f->x->dims[0] : 0;
    if (f->rows < 1 || t->rank < 1 || t->dims[0] != f->rows || !tn_tensor_is_dense(t))
        return tn_fail(TN_E_SHAPE, "the target has not a row for each of the %lld rows of x", (long long)f->rows);
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

static tn_status fit(fitting *f, const tn_ensemble_fit_options *o, tn_ensemble_fit_result *out) {
    tn_graph *graph;
    TN_TRY(tn_members_open(f->e));
    TN_TRY(read_target(f));
    for (int m = 0; m < f->e->count; m++) {
        f->first[m] = f->columns;
        f->columns += f->e->members[m].width;
    }
    TN_TRY(tn_ensemble_answers(f->e, &graph));
    TN_TRY(predict(graph, f->x, o->threads, &f->answers));
    const float *data = f->answers->data;
    for (int64_t i = 0; i < tn_count(f->answers); i++)
        if (!isfinite(data[i]))
            return tn_fail(TN_E_INVALID, "the members' answer for row %lld is no finite number",
                           (long long)(i / f->columns));
    switch (f->e->kind) {
    case TN_ENSEMBLE_STACK: TN_TRY(tn_stack_fit(f->e, f->answers, f->target, f->outputs, o)); break;
    case TN_ENSEMBLE_CASCADE: TN_TRY(fit_threshold(f, o->max_drop)); break;
    default: TN_TRY(fit_weights(f));
    }
    f->e->fitted = true;
    return out ? measure(f, o->threads, out) : TN_OK;
}

tn_status tn_ensemble_fit(tn_ensemble *e, const tn_tensor *x, const tn_tensor *target,
                          const tn_ensemble_fit_options *options, tn_ensemble_fit_result *out_result) {
    tn_ensemble_fit_options o = {.struct_size = sizeof o};
    if (options) memcpy(&o, options, TN_MIN(options->struct_size, sizeof o));
    if (!(o.decay >= 0 && o.decay <= 1e9) || !(o.max_drop >= 0 && o.max_drop <= 1) || o.steps < 0)
        return tn_fail(TN_E_INVALID, "decay is not below 0, max_drop from 0 to 1, steps not below 0");
    fitting f = {.e = e, .x = x, .target = target, .region = tn_region_create(NULL)};
    tn_status status = f.region ? fit(&f, &o, out_result) : TN_E_MEMORY;
    tn_tensor_destroy(f.answers);
    tn_region_destroy(f.region);
    return status;
}
