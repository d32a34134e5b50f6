/* How good an ensemble is on the rows that it was fitted on: its members' answers are there, and are combined as the nodes of
 * compile.c and cascade.c do it. See tenon/ensemble.h. */
#include <math.h>
#include "ensemble/ensemble.h"

const float *tn_fitting_answer(const tn_fitting *f, int member, int64_t row) {
    return (const float *)f->answers->data + row * f->columns + f->first[member];
}

int64_t tn_fitting_greatest(const tn_fitting *f, int member, int64_t row) {
    const float *p = tn_fitting_answer(f, member, row);
    int64_t width = f->e->members[member].width, best = 0;
    if (width == 1) return p[0] >= 0.5f;
    for (int64_t i = 1; i < width; i++)
        if (p[i] > p[best]) best = i;
    return best;
}

/* In cascade.c the same is computed of float32 by nodes. */
float tn_fitting_confidence(const tn_fitting *f, int member, int64_t row) {
    bool one = f->e->members[member].width == 1;
    float p = tn_fitting_answer(f, member, row)[one ? 0 : tn_fitting_greatest(f, member, row)];
    return one ? fabsf(p - 0.5f) + 0.5f : p;
}

/* ---- combined ---- */

static void mean_row(const tn_fitting *f, int64_t row, int64_t width, float *y) {
    bool vote = f->e->kind == TN_ENSEMBLE_VOTE;
    for (int64_t k = 0; k < width; k++) y[k] = 0;
    for (int m = 0; m < f->e->count; m++) {
        const float part = (float)tn_member_part(f->e, m), *p = tn_fitting_answer(f, m, row);
        int64_t greatest = vote ? tn_fitting_greatest(f, m, row) : 0;
        for (int64_t k = 0; k < width; k++)
            y[k] += part * (!vote ? p[k] : (float)(width == 1 ? greatest : greatest == k));
    }
}

static void stack_row(const tn_fitting *f, int64_t row, int64_t width, float *y) {
    const float *x = tn_fitting_answer(f, 0, row), *w = f->e->matrix->data, *b = f->e->bias->data;
    double most = -INFINITY, sum = 0;
    for (int64_t k = 0; k < width; k++) {
        double score = (double)b[k];
        for (int64_t i = 0; i < f->columns; i++) score += (double)x[i] * (double)w[i * width + k];
        y[k] = (float)score;
        most = fmax(most, score);
    }
    if (!f->e->classes) return;
    for (int64_t k = 0; k < width; k++) sum += exp((double)y[k] - most);
    for (int64_t k = 0; k < width; k++) y[k] = (float)(exp((double)y[k] - most) / sum);
}

/* Whose answer it is. */
static int answerer(const tn_fitting *f, int64_t row) {
    int m = 0;
    while (m + 1 < f->e->count && tn_fitting_confidence(f, m, row) < (float)tn_member_threshold(&f->e->members[m])) m++;
    return m;
}

static tn_status combine(const tn_fitting *f, tn_tensor **out) {
    const tn_member *first = &f->e->members[0];
    bool stack = f->e->kind == TN_ENSEMBLE_STACK;
    int64_t width = stack ? f->outputs : first->width;
    TN_TRY(tn_tensor_create(TN_FLOAT32, stack ? 2 : first->rank, (int64_t[]){f->rows, width}, NULL, out));
    for (int64_t r = 0; r < f->rows; r++) {
        float *y = (float *)(*out)->data + r * width;
        if (stack)
            stack_row(f, r, width, y);
        else if (f->e->kind == TN_ENSEMBLE_CASCADE)
            memcpy(y, tn_fitting_answer(f, answerer(f, r), r), (size_t)width * sizeof *y);
        else
            mean_row(f, r, width, y);
    }
    return TN_OK;
}

/* ---- measured ---- */

static double value_of(tn_metrics *metrics, const char *name) {
    double value;
    return tn_metrics_value(metrics, name, &value) == TN_OK ? value : NAN;
}

static double of_member(const tn_fitting *f, int member) {
    double sum = 0;
    for (int64_t r = 0; r < f->rows; r++) {
        for (int64_t k = 0; !f->labels && k < f->outputs; k++) {
            double d = (double)tn_fitting_answer(f, member, r)[k] - (double)f->numbers[r * f->outputs + k];
            sum += d * d / (double)f->outputs;
        }
        if (f->labels) sum += tn_fitting_greatest(f, member, r) == f->labels[r];
    }
    return sum / (double)f->rows;
}

tn_status tn_fitting_measure(const tn_fitting *f, tn_ensemble_fit_result *out) {
    tn_ensemble_fit_result r = {.rows = f->rows, .passed_on = 0, .accuracy = NAN};
    tn_metrics *metrics;
    tn_tensor *predicted;
    TN_TRY(combine(f, &predicted));
    int classes = predicted->rank == 2 && predicted->dims[1] > 1 ? (int)predicted->dims[1] : 0;
    tn_status status = tn_metrics_of(f->labels ? TN_TASK_CLASSIFICATION : TN_TASK_REGRESSION, f->target, predicted,
                                     classes, false, &metrics);
    tn_tensor_destroy(predicted);
    TN_TRY(status);
    r.loss = value_of(metrics, f->labels ? "log_loss" : "mse");
    if (f->labels) r.accuracy = value_of(metrics, "accuracy");
    tn_metrics_destroy(metrics);
    for (int m = 0; m < f->e->count; m++) {
        double own = of_member(f, m);
        r.best = m == 0 ? own : f->labels ? fmax(r.best, own) : fmin(r.best, own);
    }
    for (int64_t i = 0; f->e->kind == TN_ENSEMBLE_CASCADE && i < f->rows; i++)
        r.passed_on += (answerer(f, i) == f->e->count - 1) / (double)f->rows;
    size_t size = out->struct_size;
    memcpy(out, &r, TN_MIN(size, sizeof r));
    out->struct_size = size;
    return TN_OK;
}
