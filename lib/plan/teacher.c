/* Distillation (Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015): a model that is there, the
 * teacher, says of each row for training how probable each class is, and the targets are means of that and of the label. */
#include <math.h>
#include <tenon/model_file.h>
#include "data/keys.h"
#include "plan/plan.h"

/* Probabilities of a row, at a temperature: their logarithms are divided by it. */
static void soften(float *p, int64_t classes, double temperature) {
    double sum = 0;
    for (int64_t c = 0; c < classes; c++) sum += pow(fmax((double)p[c], 0), 1 / temperature);
    for (int64_t c = 0; c < classes; c++) p[c] = (float)(pow(fmax((double)p[c], 0), 1 / temperature) / sum);
}

static tn_status check(const tn_plan *plan, const tn_plan_data *data, const tn_tensor *answers) {
    const float *p = answers->data;
    const int64_t rows = data->rows[TN_PART_TRAIN], classes = data->outputs;
    if (answers->dtype != TN_FLOAT32 || answers->rank != 2 || answers->dims[0] != rows || answers->dims[1] != classes) {
        char text[160];
        return tn_key_fail(plan->teacher_node, "the teacher answers %s; probabilities of %lld classes were expected",
                           tn_shape_text(text, sizeof text, answers->dtype, answers->rank, answers->dims),
                           (long long)classes);
    }
    for (int64_t r = 0; r < rows; r++) {
        double sum = 0, least = 0;
        for (int64_t c = 0; c < classes; c++) {
            sum += (double)p[r * classes + c];
            least = fmin(least, (double)p[r * classes + c]);
        }
        if (!(fabs(sum - 1) < 1e-3) || least < 0)
            return tn_key_fail(plan->teacher_node,
                               "the teacher's answers are no probabilities: those of row %lld add up "
                               "to %g",
                               (long long)r + 1, sum);
    }
    return TN_OK;
}

tn_status tn_plan_teach(const tn_plan *plan, const tn_plan_options *options, tn_plan_data *data) {
    tn_model *model;
    if (!plan->teacher_node) return TN_OK;
    if (data->task != TN_TASK_CLASSIFICATION)
        return tn_key_fail(plan->teacher_node, "a teacher tells of classes, and the target is none: encode: ordinal");
    const tn_model_options of_model = {.struct_size = sizeof of_model, .cpu = options->cpu};
    TN_TRY(tn_model_load(plan->teacher, &of_model, &model));
    const char *digest = tn_model_digest(model);
    data->teacher = digest ? tn_region_strdup(plan->region, digest) : "";
    tn_status status = tn_predict_samples(model, &data->samples[TN_PART_TRAIN], options->threads, &data->taught);
    if (status == TN_OK) status = data->teacher ? check(plan, data, data->taught) : TN_E_MEMORY;
    for (int64_t r = 0; status == TN_OK && r < data->rows[TN_PART_TRAIN]; r++)
        soften((float *)data->taught->data + r * data->outputs, data->outputs, plan->temperature);
    tn_model_destroy(model);
    return status == TN_OK ? TN_OK : tn_fail_context(status, "the teacher '%s'", plan->teacher);
}
