/* The table of metrics: a row a name. */
#include "eval/metrics.h"
#include <stdlib.h>

typedef enum needs { CLASSES, TWO_CLASSES, SCORES, TWO_SCORES, PROBABILITIES, NUMBERS, SEQUENCES } needs;

static const struct {
    const char *name;
    needs needs;
    tn_metric_function *function;
    int variant;
    bool falls; /* less is better */
} rows[] = {
    {"accuracy", CLASSES, tn_metric_accuracy, 0, false},
    {"balanced_accuracy", CLASSES, tn_metric_balanced, 0, false},
    {"precision", TWO_CLASSES, tn_metric_label, TN_PRECISION + TN_BINARY, false},
    {"precision_micro", CLASSES, tn_metric_label, TN_PRECISION + TN_MICRO, false},
    {"precision_macro", CLASSES, tn_metric_label, TN_PRECISION + TN_MACRO, false},
    {"precision_weighted", CLASSES, tn_metric_label, TN_PRECISION + TN_WEIGHTED, false},
    {"recall", TWO_CLASSES, tn_metric_label, TN_RECALL + TN_BINARY, false},
    {"recall_micro", CLASSES, tn_metric_label, TN_RECALL + TN_MICRO, false},
    {"recall_macro", CLASSES, tn_metric_label, TN_RECALL + TN_MACRO, false},
    {"recall_weighted", CLASSES, tn_metric_label, TN_RECALL + TN_WEIGHTED, false},
    {"f1", TWO_CLASSES, tn_metric_label, TN_F1 + TN_BINARY, false},
    {"f1_micro", CLASSES, tn_metric_label, TN_F1 + TN_MICRO, false},
    {"f1_macro", CLASSES, tn_metric_label, TN_F1 + TN_MACRO, false},
    {"f1_weighted", CLASSES, tn_metric_label, TN_F1 + TN_WEIGHTED, false},
    {"top_1", SCORES, tn_metric_top, 1, false},
    {"top_5", SCORES, tn_metric_top, 5, false},
    {"roc_auc", TWO_SCORES, tn_metric_roc, TN_BINARY, false},
    {"roc_auc_macro", SCORES, tn_metric_roc, TN_MACRO, false},
    {"roc_auc_weighted", SCORES, tn_metric_roc, TN_WEIGHTED, false},
    {"average_precision", TWO_SCORES, tn_metric_average_precision, TN_BINARY, false},
    {"average_precision_macro", SCORES, tn_metric_average_precision, TN_MACRO, false},
    {"average_precision_weighted", SCORES, tn_metric_average_precision, TN_WEIGHTED, false},
    {"log_loss", PROBABILITIES, tn_metric_log_loss, 0, true},
    {"brier", PROBABILITIES, tn_metric_brier, 0, true},
    {"ece", PROBABILITIES, tn_metric_calibration, 0, true},
    {"mae", NUMBERS, tn_metric_error, TN_MAE, true},
    {"mse", NUMBERS, tn_metric_error, TN_MSE, true},
    {"rmse", NUMBERS, tn_metric_rmse, 0, true},
    {"mape", NUMBERS, tn_metric_error, TN_MAPE, true},
    {"r2", NUMBERS, tn_metric_r2, 0, false},
    {"sequence_accuracy", SEQUENCES, tn_metric_sequence, TN_SEQUENCE_RIGHT, false},
    {"label_error_rate", SEQUENCES, tn_metric_sequence, TN_SEQUENCE_ERRORS, true},
};

const char *tn_metric_name(int index) {
    return index >= 0 && index < (int)TN_COUNT(rows) ? rows[index].name : NULL;
}

bool tn_metric_falls(const char *name) {
    for (size_t i = 0; i < TN_COUNT(rows); i++)
        if (strcmp(rows[i].name, name) == 0) return rows[i].falls;
    return false;
}

static tn_status check_needs(const tn_metrics *m, needs wanted, const char *name) {
    static const char *const kinds[] = {"classes", "numbers", "sequences"};
    int kind = wanted == NUMBERS ? 1 : wanted == SEQUENCES ? 2 : 0, given = m->edits ? 2 : m->classes ? 0 : 1;
    if (kind != given)
        return tn_fail(TN_E_INVALID, "metric %s is of %s, but the truth is %s", name, kinds[kind], kinds[given]);
    if ((wanted == TWO_CLASSES || wanted == TWO_SCORES) && m->classes != 2)
        return tn_fail(TN_E_INVALID,
                       "metric %s is of two classes, and there are %d: %s_macro or %s_weighted is of more", name,
                       m->classes, name, name);
    if ((wanted == SCORES || wanted == TWO_SCORES || wanted == PROBABILITIES) && !m->scores)
        return tn_fail(TN_E_INVALID, "metric %s is of scores, but the predictions are classes", name);
    if (wanted == PROBABILITIES && m->improbable >= 0)
        return tn_fail(
            TN_E_INVALID,
            "metric %s is of probabilities, but the scores of sample %lld are not between 0 and 1 with a sum "
            "of 1; if they are logits, say so",
            name, (long long)m->improbable);
    return TN_OK;
}

tn_status tn_metric_find(const tn_metrics *m, const char *name, tn_metric_function **out_function, int *out_variant) {
    char *end = NULL;
    long k = strncmp(name, "top_", 4) == 0 && name[4] >= '1' && name[4] <= '9' ? strtol(name + 4, &end, 10) : 0;
    if (k && end && !*end && k < INT32_MAX) {
        *out_function = tn_metric_top;
        *out_variant = (int)k;
        return check_needs(m, SCORES, name);
    }
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        if (strcmp(rows[i].name, name) != 0) continue;
        *out_function = rows[i].function;
        *out_variant = rows[i].variant;
        return check_needs(m, rows[i].needs, name);
    }
    return tn_fail(TN_E_NOT_FOUND, "there is no metric '%.80s'; tenon/metrics.h lists them", name);
}

bool tn_metrics_applies(const tn_metrics *metrics, const char *name) {
    tn_metric_function *function;
    int variant;
    return tn_metric_find(metrics, name, &function, &variant) == TN_OK;
}

tn_status tn_metrics_value(tn_metrics *metrics, const char *name, double *out_value) {
    tn_metric_function *function;
    int variant;
    TN_TRY(tn_metric_find(metrics, name, &function, &variant));
    tn_status status = function(&(tn_sample){metrics, NULL}, variant, out_value);
    return status == TN_OK ? status : tn_fail_context(status, "metric %s", name);
}
