/* From two tensors to arrays of classes, scores or numbers; everything that does not fit is refused here, once. */
#include <float.h>
#include <math.h>
#include "base/element.h"
#include "base/tensor.h"
#include "eval/metrics.h"

#define MOST_CLASSES (1 << 20)

static bool is_classes(const tn_tensor *t) {
    return tn_dtype_is_integer(t->dtype) || t->dtype == TN_BOOL;
}

static tn_status read_classes(tn_metrics *m, const tn_tensor *t, const char *what, int32_t **out, int *highest) {
    *out = tn_region_array(m->region, (size_t)m->n, sizeof **out);
    if (!*out) return TN_E_MEMORY;
    for (int64_t i = 0; i < m->n; i++) {
        int64_t label = tn_get_int(t->dtype, t->data, i);
        int limit = m->classes ? m->classes : MOST_CLASSES;
        if (label < 0 || label >= limit)
            return tn_fail(TN_E_INVALID, "metrics: the %s of sample %lld is %lld; classes are numbers from 0 to %d",
                           what, (long long)i, (long long)label, limit - 1);
        (*out)[i] = (int32_t)label;
        if (label > *highest) *highest = (int)label;
    }
    return TN_OK;
}

static tn_status read_numbers(tn_metrics *m, const tn_tensor *t, const char *what, int columns, double **out) {
    size_t count = (size_t)m->n * (size_t)columns;
    *out = tn_region_array(m->region, count, sizeof **out);
    if (!*out) return TN_E_MEMORY;
    tn_read_doubles(t->dtype, t->data, 0, count, *out);
    for (size_t i = 0; i < count; i++)
        if (!isfinite((*out)[i]))
            return tn_fail(TN_E_INVALID, "metrics: the %s of sample %lld is %g; numbers must be finite", what,
                           (long long)(i / (size_t)columns), (*out)[i]);
    return TN_OK;
}

/* ---- scores ---- */

static void apply_logits(tn_metrics *m) {
    for (int64_t i = 0; i < m->n; i++) {
        double *row = m->scores + i * m->columns, highest = row[0], sum = 0;
        if (m->columns == 1) {
            row[0] = row[0] >= 0 ? 1 / (1 + exp(-row[0])) : exp(row[0]) / (1 + exp(row[0]));
            continue;
        }
        for (int c = 1; c < m->columns; c++) highest = fmax(highest, row[c]);
        for (int c = 0; c < m->columns; c++) sum += row[c] = exp(row[c] - highest);
        for (int c = 0; c < m->columns; c++) row[c] /= sum;
    }
}

/* Rounding of the type may make a sum differ from 1 by some of its steps. */
static bool is_probable(const tn_metrics *m, const double *row) {
    double sum = 0;
    for (int c = 0; c < m->columns; c++) {
        if (row[c] < 0 || row[c] > 1) return false;
        sum += row[c];
    }
    return m->columns == 1 || fabs(sum - 1) <= sqrt(m->epsilon);
}

static tn_status read_scores(tn_metrics *m, const tn_tensor *t, const tn_metrics_options *options) {
    m->columns = t->rank == 2 ? (int)t->dims[1] : 1;
    m->epsilon = t->dtype == TN_FLOAT64   ? DBL_EPSILON
                 : t->dtype == TN_FLOAT32 ? FLT_EPSILON
                 : t->dtype == TN_FLOAT16 ? 0x1p-10
                                          : 0x1p-7;
    int classes = m->columns == 1 ? 2 : m->columns;
    if (m->classes && m->classes != classes)
        return tn_fail(TN_E_SHAPE, "metrics: there are scores of %d classes, but %d classes were said", classes,
                       m->classes);
    m->classes = classes;
    TN_TRY(read_numbers(m, t, "score", m->columns, &m->scores));
    if (options->logits) apply_logits(m);
    m->predicted = tn_region_array(m->region, (size_t)m->n, sizeof *m->predicted);
    m->ranked = tn_region_array(m->region, (size_t)m->n, sizeof *m->ranked);
    m->sums = tn_region_array(m->region, 3 * (size_t)m->bins, sizeof *m->sums);
    if (!m->predicted || !m->ranked || !m->sums) return TN_E_MEMORY;
    for (int64_t i = 0; i < m->n; i++) {
        const double *row = m->scores + i * m->columns;
        int best = m->columns == 1 && row[0] >= m->threshold;
        for (int c = 1; c < m->columns; c++)
            if (row[c] > row[best]) best = c;
        m->predicted[i] = best;
        if (m->improbable < 0 && !is_probable(m, row)) m->improbable = i;
    }
    return TN_OK;
}

/* ---- the two tensors ---- */

static bool is_sequences(const tn_tensor *truth, const tn_tensor *predicted) {
    return truth->dtype == TN_INT64 && truth->rank == 2 &&
           (predicted->dtype == TN_INT64 || (tn_dtype_is_float(predicted->dtype) && predicted->rank == 3));
}

/* Labels [N, T], or scores [N, C, T] that they are read off. */
static tn_status fill_sequences(tn_metrics *m, const tn_tensor *truth, const tn_tensor *predicted) {
    tn_tensor *read = NULL;
    m->n = truth->dims[0];
    m->edits = tn_region_array(m->region, (size_t)TN_MAX(m->n, 1), sizeof *m->edits);
    m->lengths = tn_region_array(m->region, (size_t)TN_MAX(m->n, 1), sizeof *m->lengths);
    if (!m->edits || !m->lengths) return TN_E_MEMORY;
    if (tn_dtype_is_float(predicted->dtype)) TN_TRY(tn_sequences_read(predicted, &read));
    tn_status status = tn_sequences_compare(truth, read ? read : predicted, m->edits, m->lengths);
    tn_tensor_destroy(read);
    return status;
}

static tn_status check_shapes(const tn_tensor *truth, const tn_tensor *predicted) {
    char a[80], b[80];
    bool classes = is_classes(truth), scores = classes && tn_dtype_is_float(predicted->dtype);
    tn_shape_text(a, sizeof a, truth->dtype, truth->rank, truth->dims);
    tn_shape_text(b, sizeof b, predicted->dtype, predicted->rank, predicted->dims);
    if (!classes && !tn_dtype_is_float(truth->dtype))
        return tn_fail(TN_E_TYPE, "metrics: the truth is %s; it must be integers (classes) or floats (numbers)", a);
    if (!classes && !tn_dtype_is_float(predicted->dtype))
        return tn_fail(TN_E_TYPE, "metrics: the truth is numbers, %s, but the predictions are %s", a, b);
    if (classes && !scores && !is_classes(predicted))
        return tn_fail(TN_E_TYPE, "metrics: the predictions are %s; they must be integers (classes) or floats (scores)",
                       b);
    int most = classes ? 1 : 2;
    if (truth->rank < 1 || truth->rank > most)
        return tn_fail(TN_E_SHAPE, "metrics: the truth is %s; it must have the shape [N]%s", a,
                       classes ? "" : " or [N, D]");
    bool fits = predicted->rank >= 1 && predicted->dims[0] == truth->dims[0];
    if (scores)
        fits = fits && predicted->rank <= 2 && (predicted->rank == 1 || predicted->dims[1] > 0);
    else
        fits = fits && predicted->rank == truth->rank && (truth->rank == 1 || predicted->dims[1] == truth->dims[1]);
    if (!fits) return tn_fail(TN_E_SHAPE, "metrics: the truth is %s and the predictions are %s", a, b);
    if (scores && predicted->rank == 2 && predicted->dims[1] > MOST_CLASSES)
        return tn_fail(TN_E_LIMIT, "metrics: the predictions are %s; at most %d classes are counted", b, MOST_CLASSES);
    if (tn_count(truth) == 0) return tn_fail(TN_E_INVALID, "metrics: there are no samples: the truth is %s", a);
    if (!classes && truth->rank == 2 && truth->dims[1] > INT32_MAX)
        return tn_fail(TN_E_LIMIT, "metrics: the truth is %s; at most %d numbers a sample are compared", a, INT32_MAX);
    return TN_OK;
}

static tn_status fill(tn_metrics *m, const tn_tensor *truth, const tn_tensor *predicted,
                      const tn_metrics_options *options) {
    int highest = 1;
    if (is_sequences(truth, predicted)) return fill_sequences(m, truth, predicted);
    m->n = truth->dims[0];
    if (!is_classes(truth)) {
        m->outputs = truth->rank == 2 ? (int)truth->dims[1] : 1;
        m->of_outputs = tn_region_array(m->region, 3 * (size_t)m->outputs, sizeof *m->of_outputs);
        m->errors = tn_region_array(m->region, (size_t)m->n, sizeof *m->errors);
        m->errors_kind = tn_region_array(m->region, 1, sizeof *m->errors_kind);
        if (!m->of_outputs || !m->errors || !m->errors_kind) return TN_E_MEMORY;
        TN_TRY(read_numbers(m, truth, "truth", m->outputs, &m->wanted));
        return read_numbers(m, predicted, "prediction", m->outputs, &m->given);
    }
    bool scores = tn_dtype_is_float(predicted->dtype);
    m->classes = options->classes;
    if (scores) TN_TRY(read_scores(m, predicted, options));
    TN_TRY(read_classes(m, truth, "true class", &m->truth, &highest));
    if (!scores) TN_TRY(read_classes(m, predicted, "predicted class", &m->predicted, &highest));
    if (!m->classes) m->classes = highest + 1;
    m->counts = tn_region_array(m->region, 3 * (size_t)m->classes, sizeof *m->counts);
    return m->counts ? TN_OK : TN_E_MEMORY;
}

tn_status tn_metrics_create(const tn_tensor *truth, const tn_tensor *predicted, const tn_metrics_options *options,
                            tn_metrics **out_metrics) {
    tn_metrics_options given = {0};
    tn_tensor a = {0}, b = {0};
    *out_metrics = NULL;
    if (!truth || !predicted) return tn_fail(TN_E_INVALID, "metrics: a tensor is missing");
    if (options) memcpy(&given, options, TN_MIN(options->struct_size, sizeof given));
    if (given.classes < 0 || given.classes == 1 || given.classes > MOST_CLASSES)
        return tn_fail(TN_E_INVALID, "metrics: %d classes; there are from 2 to %d", given.classes, MOST_CLASSES);
    if (given.bins < 0 || given.bins > 100000)
        return tn_fail(TN_E_INVALID, "metrics: %d bins; there are from 1 to 100000", given.bins);
    if (!isfinite(given.threshold)) return tn_fail(TN_E_INVALID, "metrics: a threshold of %g", given.threshold);
    if (!is_sequences(truth, predicted)) TN_TRY(check_shapes(truth, predicted));
    tn_region *region = tn_region_create(NULL);
    tn_metrics *m = region ? tn_region_alloc(region, sizeof *m) : NULL;
    tn_status status = m ? TN_OK : TN_E_MEMORY;
    if (m) {
        *m = (tn_metrics){.region = region, .improbable = -1};
        m->bins = given.bins ? given.bins : 15;
        m->threshold = given.threshold != 0 ? given.threshold : 0.5;
    }
    if (status == TN_OK) status = tn_tensor_init_copy(&a, truth, NULL);
    if (status == TN_OK) status = tn_tensor_init_copy(&b, predicted, NULL);
    if (status == TN_OK) status = fill(m, &a, &b, &given);
    tn_tensor_deinit(&a);
    tn_tensor_deinit(&b);
    if (status == TN_OK)
        *out_metrics = m;
    else
        tn_region_destroy(region);
    return status;
}

void tn_metrics_destroy(tn_metrics *metrics) {
    if (metrics) tn_region_destroy(metrics->region);
}

int64_t tn_metrics_samples(const tn_metrics *metrics) {
    return metrics->n;
}

int tn_metrics_classes(const tn_metrics *metrics) {
    return metrics->classes;
}
