/* Sequences of labels that are read off steps, as connectionist temporal classification has them (Graves and others, 2006):
 * the best label of each step, without repetitions and blanks (section 3.2, best path decoding). */
#include "base/element.h"
#include "base/tensor.h"
#include "eval/metrics.h"

tn_status tn_sequences_read(const tn_tensor *scores, tn_tensor **out_labels) {
    *out_labels = NULL;
    if (scores->rank != 3 || (scores->dtype != TN_FLOAT32 && scores->dtype != TN_FLOAT64) || scores->dims[1] < 2)
        return tn_fail(TN_E_SHAPE, "scores of steps are float [N, C, T], with C of 2 or more");
    const int64_t rows = scores->dims[0], classes = scores->dims[1], steps = scores->dims[2];
    tn_tensor *dense;
    TN_TRY(tn_tensor_clone(scores, NULL, &dense));
    tn_status status = tn_tensor_create(TN_INT64, 2, (int64_t[]){rows, steps}, NULL, out_labels);
    for (int64_t r = 0; status == TN_OK && r < rows; r++) {
        int64_t *to = (int64_t *)(*out_labels)->data + r * steps, count = 0, before = 0;
        for (int64_t t = 0; t < steps; t++) {
            int64_t best = 0;
            double most = tn_get_double(scores->dtype, dense->data, r * classes * steps + t);
            for (int64_t c = 1; c < classes; c++) {
                double x = tn_get_double(scores->dtype, dense->data, (r * classes + c) * steps + t);
                if (x > most) most = x, best = c;
            }
            if (best && best != before) to[count++] = best;
            before = best;
        }
        for (; count < steps; count++) to[count] = -1;
    }
    tn_tensor_destroy(dense);
    return status;
}

static int64_t length_of(const int64_t *labels, int64_t most) {
    int64_t n = 0;
    while (n < most && labels[n] >= 0) n++;
    return n;
}

/* Levenshtein's distance; `row` has room for n + 1 numbers. */
static int64_t distance(const int64_t *a, int64_t m, const int64_t *b, int64_t n, int64_t *row) {
    for (int64_t k = 0; k <= n; k++) row[k] = k;
    for (int64_t i = 1; i <= m; i++) {
        int64_t corner = row[0];
        row[0] = i;
        for (int64_t k = 1; k <= n; k++) {
            int64_t changed = corner + (a[i - 1] != b[k - 1]), one_less = TN_MIN(row[k], row[k - 1]) + 1;
            corner = row[k];
            row[k] = TN_MIN(changed, one_less);
        }
    }
    return row[n];
}

tn_status tn_sequences_compare(const tn_tensor *truth, const tn_tensor *labels, double *edits, double *lengths) {
    if (truth->rank != 2 || labels->rank != 2 || truth->dtype != TN_INT64 || labels->dtype != TN_INT64 ||
        truth->dims[0] != labels->dims[0] || truth->dims[0] < 1 || !tn_tensor_is_dense(truth) ||
        !tn_tensor_is_dense(labels))
        return tn_fail(TN_E_SHAPE, "sequences are dense int64 [N, S] and [N, T], of as many rows, 1 at least");
    const int64_t room = labels->dims[1] + 1;
    int64_t *scratch = tn_alloc(NULL, (size_t)room * sizeof *scratch);
    if (!scratch) return TN_E_MEMORY;
    for (int64_t r = 0; r < truth->dims[0]; r++) {
        const int64_t *a = (const int64_t *)truth->data + r * truth->dims[1],
                      *b = (const int64_t *)labels->data + r * labels->dims[1];
        const int64_t m = length_of(a, truth->dims[1]), n = length_of(b, labels->dims[1]);
        edits[r] = (double)distance(a, m, b, n, scratch);
        lengths[r] = (double)m;
    }
    tn_free(NULL, scratch, (size_t)room * sizeof *scratch);
    return TN_OK;
}

tn_status tn_sequences_score(const tn_tensor *truth, const tn_tensor *labels, double *out_right, double *out_errors) {
    tn_metrics *m;
    *out_right = *out_errors = 0;
    if (truth->dtype != TN_INT64 || truth->rank != 2 || labels->dtype != TN_INT64)
        return tn_fail(TN_E_SHAPE, "sequences are int64 [N, S], and their labels int64 [N, T]");
    TN_TRY(tn_metrics_create(truth, labels, NULL, &m));
    tn_status status = tn_metrics_value(m, "sequence_accuracy", out_right);
    if (status == TN_OK) status = tn_metrics_value(m, "label_error_rate", out_errors);
    tn_metrics_destroy(m);
    return status;
}

tn_status tn_metric_sequence(const tn_sample *s, int variant, double *out_value) {
    const tn_metrics *m = s->m;
    double right = 0, edits = 0, labels = 0;
    for (int64_t i = 0; i < m->n; i++) {
        const int64_t row = tn_sample_row(s, i);
        right += m->edits[row] == 0;
        edits += m->edits[row];
        labels += m->lengths[row];
    }
    *out_value = variant == TN_SEQUENCE_RIGHT ? right / (double)m->n : edits / (labels > 1 ? labels : 1);
    return TN_OK;
}
