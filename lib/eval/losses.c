/* The loss of each row of an evaluation. See tenon/risk.h. */
#include <math.h>
#include <tenon/risk.h>
#include "eval/evaluation.h"
#include "eval/metrics.h"

#define LEAST_PROBABILITY 1e-12

/* p of the true class; scores before softmax or sigmoid become probabilities. */
static double probability(const tn_evaluation *e, const float *scores, int64_t width, int64_t label) {
    if (width == 1) {
        double p = e->logits ? 1 / (1 + exp(-(double)scores[0])) : (double)scores[0];
        return label ? p : 1 - p;
    }
    if (!e->logits) return (double)scores[label];
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < width; i++) most = fmax(most, (double)scores[i]);
    for (int64_t i = 0; i < width; i++) sum += exp((double)scores[i] - most);
    return exp((double)scores[label] - most) / sum;
}

tn_status tn_evaluation_losses(const tn_evaluation *e, double *losses) {
    const tn_tensor *truth = tn_evaluation_truth(e), *predicted = e->predicted;
    int64_t rows = truth->dims[0], width = tn_count(predicted) / rows;
    if (predicted->dtype != TN_FLOAT32)
        return tn_fail(TN_E_TYPE, "the model answers %s, which has no losses; float32 was expected",
                       tn_dtype_name(predicted->dtype));
    const float *found = predicted->data;
    for (int64_t r = 0; r < rows; r++) {
        if (e->task == TN_TASK_CLASSIFICATION) {
            int64_t label = ((const int64_t *)truth->data)[r];
            bool known = label >= 0 && label < (width == 1 ? 2 : width);
            double p = known ? probability(e, found + r * width, width, label) : 0;
            losses[r] = -log(fmax(p, LEAST_PROBABILITY));
            continue;
        }
        if (e->task == TN_TASK_SEQUENCES) {
            losses[r] = e->metrics->edits[r] / fmax(e->metrics->lengths[r], 1);
            continue;
        }
        losses[r] = 0;
        for (int64_t i = 0; i < width; i++) {
            double d = (double)found[r * width + i] - (double)((const float *)truth->data)[r * width + i];
            losses[r] += d * d / (double)width;
        }
    }
    return TN_OK;
}
