/* What an evaluation becomes with other inputs, and which features it hangs on. */
#include <math.h>
#include "base/random.h"
#include "eval/evaluation.h"

bool tn_evaluation_feature(const tn_evaluation *e, int index, const char **out_column, int64_t *out_first,
                           int64_t *out_width) {
    if (index < 0 || index >= e->feature_count) return false;
    *out_column = e->features[index].name;
    *out_first = e->features[index].first;
    *out_width = e->features[index].width;
    return true;
}

tn_status tn_evaluation_value(tn_evaluation *e, const tn_model *model, const tn_tensor *inputs, const char *metric,
                              double *out_value) {
    tn_tensor *predicted;
    tn_metrics *metrics = NULL;
    *out_value = NAN;
    if (inputs->rank != 2 || inputs->dims[0] != e->samples.count || inputs->dims[1] != e->samples.width)
        return tn_fail(TN_E_SHAPE, "other inputs must have the shape of the evaluation's");
    TN_TRY(tn_predict(model, inputs, e->threads, &predicted));
    /* What was to be reproduced is the inputs as they were. */
    tn_status status = tn_metrics_of(e->task, tn_evaluation_truth(e), predicted, e->class_count, e->logits, &metrics);
    if (status == TN_OK) status = tn_metrics_value(metrics, metric, out_value);
    tn_metrics_destroy(metrics);
    tn_tensor_destroy(predicted);
    return status;
}

/* Fisher and Yates, of the feature's columns alone. */
static void permute(const tn_columns *f, tn_tensor *x, uint64_t *state) {
    int64_t width = x->dims[1];
    float *data = x->data;
    for (int64_t r = x->dims[0] - 1; r > 0; r--) {
        int64_t other = (int64_t)tn_random_below(state, (uint64_t)r + 1);
        for (int64_t c = f->first; c < f->first + f->width; c++) {
            float moved = data[r * width + c];
            data[r * width + c] = data[other * width + c];
            data[other * width + c] = moved;
        }
    }
}

tn_status tn_evaluation_importance(tn_evaluation *e, const tn_model *model, int feature, const char *metric,
                                   int repeats, uint64_t seed, double *out_mean, double *out_deviation) {
    double before, after, sum = 0, squares = 0;
    tn_tensor *x;
    if (feature < 0 || feature >= e->feature_count || repeats < 1)
        return tn_fail(TN_E_INVALID, "there is no feature %d, or no repeat to make", feature);
    TN_TRY(tn_metrics_value(e->metrics, metric, &before));
    const tn_tensor *inputs = tn_evaluation_inputs(e);
    if (!inputs) return TN_E_MEMORY;
    TN_TRY(tn_tensor_clone(inputs, NULL, &x));
    tn_status status = TN_OK;
    for (int i = 0; i < repeats && status == TN_OK; i++) {
        permute(&e->features[feature], x, &seed);
        status = tn_evaluation_value(e, model, x, metric, &after);
        sum += before - after;
        squares += (before - after) * (before - after);
    }
    tn_tensor_destroy(x);
    *out_mean = sum / repeats;
    *out_deviation = sqrt(fmax(squares / repeats - *out_mean * *out_mean, 0));
    return status;
}
