/* Membership inference by losses, and rows that look wrong by their neighbours. See tenon/risk.h. */
#include <math.h>
#include <stdlib.h>
#include <tenon/risk.h>
#include "base/base.h"
#include "base/tensor.h"

#define MOST_COMPARED 4096
#define MOST_NEIGHBOURS 100

typedef struct loss {
    double value;
    bool member;
} loss;

static int by_value(const void *a, const void *b) {
    double x = ((const loss *)a)->value, y = ((const loss *)b)->value;
    return (x > y) - (x < y);
}

static tn_status gather(loss *to, const double *from, int64_t count, bool member) {
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(from[i])) return tn_fail(TN_E_INVALID, "the loss of row %lld is no finite number", (long long)i);
        to[i] = (loss){from[i], member};
    }
    return TN_OK;
}

/* Along the ROC curve, equal losses together. */
static void walk(const loss *all, int64_t count, tn_membership *m) {
    double area = 0, told = 0, wrong = 0;
    for (int64_t i = 0; i < count;) {
        int64_t members = 0, others = 0;
        double value = all[i].value;
        for (; i < count && all[i].value == value; i++) all[i].member ? members++ : others++;
        double rise = (double)members / (double)m->members, run = (double)others / (double)m->others;
        area += run * (told + rise / 2);
        told += rise;
        wrong += run;
        m->advantage = fmax(m->advantage, told - wrong);
        if (wrong <= 0.01 + 1e-12) m->exposed = told;
    }
    m->auc = area;
}

tn_status tn_membership_of(const double *members, int64_t member_count, const double *others, int64_t other_count,
                           tn_membership *out) {
    tn_membership m = {.struct_size = out->struct_size, .members = member_count, .others = other_count};
    size_t bytes;
    if (member_count < 1 || other_count < 1)
        return tn_fail(TN_E_INVALID, "%lld rows that were trained on and %lld others; some of both are needed",
                       (long long)member_count, (long long)other_count);
    if (!tn_mul_size((size_t)member_count + (size_t)other_count, sizeof(loss), &bytes)) return TN_E_MEMORY;
    loss *all = tn_alloc(NULL, bytes);
    if (!all) return TN_E_MEMORY;
    tn_status status = gather(all, members, member_count, true);
    if (status == TN_OK) status = gather(all + member_count, others, other_count, false);
    if (status == TN_OK) {
        qsort(all, bytes / sizeof *all, sizeof *all, by_value);
        walk(all, member_count + other_count, &m);
        memcpy(out, &m, TN_MIN(m.struct_size, sizeof m));
    }
    tn_free(NULL, all, bytes);
    return status;
}

/* ---- neighbours ---- */

typedef struct neighbour {
    double distance; /* squared */
    int64_t row;
} neighbour;

/* The nearest rows of those that are compared with, nearest first; how many there are. */
static int nearest(const float *x, int64_t rows, int64_t width, int64_t row, int wanted, neighbour *found) {
    int64_t compared = TN_MIN(rows, (int64_t)MOST_COMPARED);
    int count = 0;
    for (int64_t c = 0; c < compared; c++) {
        int64_t other = c * rows / compared;
        double sum = 0, bound = count == wanted ? found[count - 1].distance : INFINITY;
        if (other == row) continue;
        for (int64_t i = 0; i < width && sum < bound; i++) {
            double d = (double)x[row * width + i] - (double)x[other * width + i];
            sum += d * d;
        }
        if (!(sum < bound)) continue;
        int at = count < wanted ? count++ : count - 1;
        for (; at > 0 && found[at - 1].distance > sum; at--) found[at] = found[at - 1];
        found[at] = (neighbour){sum, other};
    }
    return count;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* In units of the median. */
static tn_status scale(double *distance, int64_t rows) {
    size_t bytes = (size_t)rows * sizeof *distance;
    double *sorted = tn_alloc(NULL, bytes);
    if (!sorted) return TN_E_MEMORY;
    memcpy(sorted, distance, bytes);
    qsort(sorted, (size_t)rows, sizeof *sorted, by_size);
    double median = (sorted[(rows - 1) / 2] + sorted[rows / 2]) / 2;
    tn_free(NULL, sorted, bytes);
    for (int64_t r = 0; r < rows && median > 0; r++) distance[r] /= median;
    return TN_OK;
}

tn_status tn_suspects(const tn_tensor *x, const tn_tensor *labels, int neighbours, double *distance,
                      double *disagreement) {
    neighbour found[MOST_NEIGHBOURS];
    if (x->dtype != TN_FLOAT32 || x->rank < 1 || !tn_tensor_is_dense(x) || x->dims[0] < 1)
        return tn_fail(TN_E_TYPE, "rows to look at are dense float32 [N, ...], N at least 1");
    int64_t rows = x->dims[0], width = tn_count(x) / rows;
    if (neighbours < 1 || neighbours > MOST_NEIGHBOURS || neighbours >= rows)
        return tn_fail(TN_E_INVALID, "%d neighbours of each of %lld rows; 1 to %d, and fewer than there are rows",
                       neighbours, (long long)rows, MOST_NEIGHBOURS);
    if (labels && (labels->dtype != TN_INT64 || tn_count(labels) != rows || !tn_tensor_is_dense(labels)))
        return tn_fail(TN_E_TYPE, "the labels are int64 [%lld]", (long long)rows);
    const float *data = x->data;
    for (int64_t i = 0; i < rows * width; i++)
        if (!isfinite(data[i]))
            return tn_fail(TN_E_INVALID, "row %lld has a number that is not finite", (long long)(i / width));
    for (int64_t r = 0; r < rows; r++) {
        int count = nearest(data, rows, width, r, neighbours, found), other = 0;
        distance[r] = 0;
        for (int i = 0; i < count; i++) {
            distance[r] += sqrt(found[i].distance) / count;
            if (labels) other += ((const int64_t *)labels->data)[found[i].row] != ((const int64_t *)labels->data)[r];
        }
        if (labels) disagreement[r] = (double)other / count;
    }
    return scale(distance, rows);
}
