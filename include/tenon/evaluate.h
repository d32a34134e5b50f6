/* Evaluation: how good a model is on rows of raw data that its pipeline makes ready.
 *
 *     tn_table_read("new.csv", NULL, &table);
 *     tn_model_load("digits.tenon", NULL, &model);        // as plans write it (tenon/plan.h)
 *     tn_evaluate(model, table, NULL, &e);
 *     tn_metrics_value(tn_evaluation_metrics(e), "accuracy", &accuracy);
 *     tn_evaluation_destroy(e);
 *
 * Thread-safety: an evaluation belongs to one thread at a time; models and tables may be shared. */
#ifndef TENON_EVALUATE_H
#define TENON_EVALUATE_H

#include <tenon/gate.h>
#include <tenon/metrics.h>
#include <tenon/model.h>
#include <tenon/pipeline.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tn_task {
    TN_TASK_CLASSIFICATION = 0, /* the target is classes */
    TN_TASK_REGRESSION = 1,     /* numbers, measured in the column's own unit */
    TN_TASK_RECONSTRUCTION = 2, /* no target: the output is compared with the input, as the pipeline makes it */
    TN_TASK_SEQUENCES = 3       /* of labels, read off steps (tn_sequences_read) */
} tn_task;

/* The fitted pipeline in the model's file; TN_E_NOT_FOUND if it has none. */
TN_API tn_status tn_pipeline_of_model(const tn_model *model, tn_pipeline **out_pipeline);
TN_API tn_status tn_pipeline_of_graph(const tn_graph *graph, tn_pipeline **out_pipeline);

/* Output 0 of the model, of which there is one input, for each row of x [N, ...]; x is reshaped to what the input is. Rows
 * are run in batches where the input's first dim is open, else one by one. */
TN_API tn_status tn_predict(const tn_model *model, const tn_tensor *x, int threads, tn_tensor **out_predicted);

typedef enum tn_rows {
    TN_ROWS_ALL = 0,
    TN_ROWS_TRAINING = 1, /* of the pipeline's split of this table */
    TN_ROWS_TESTING = 2
} tn_rows;

/* All zero but struct_size is the default. */
typedef struct tn_evaluate_options {
    size_t struct_size;
    tn_rows rows;
    int threads;
    const tn_pipeline *pipeline; /* fitted; NULL: the model's own */
    bool logits;                 /* the output are scores before softmax or sigmoid, as other tools' models may have */
} tn_evaluate_options;

typedef struct tn_evaluation tn_evaluation;

/* The table needs the target's column, if the pipeline has a target. */
TN_API tn_status tn_evaluate(const tn_model *model, const tn_table *table, const tn_evaluate_options *options,
                             tn_evaluation **out_evaluation);
TN_API void tn_evaluation_destroy(tn_evaluation *evaluation); /* accepts NULL */

/* All are the evaluation's. Of N rows: what went into the model [N, width]; the truth, classes int64 [N] or numbers
 * float32 [N] or [N, width]; and what the model said, likewise, of classes the scores float32 [N, C] or [N, 1],
 * of sequences int64 [N, S], filled up with -1, and the scores float32 [N, C, T]. Windows of a series are made when their
 * inputs are first asked for, or the truth that they are, not by two threads at once; NULL if there is no memory for them. */
TN_API tn_task tn_evaluation_task(const tn_evaluation *evaluation);
TN_API tn_metrics *tn_evaluation_metrics(const tn_evaluation *evaluation);
TN_API const tn_tensor *tn_evaluation_inputs(const tn_evaluation *evaluation);
TN_API const tn_tensor *tn_evaluation_truth(const tn_evaluation *evaluation);
TN_API const tn_tensor *tn_evaluation_predicted(const tn_evaluation *evaluation);
/* The name of a class: its text or number in the target's column; NULL: there is no such class. */
TN_API const char *tn_evaluation_class(const tn_evaluation *evaluation, int index);

/* Feature number `index` of the pipeline: its column, and which columns of the inputs it is; false past the last. */
TN_API bool tn_evaluation_feature(const tn_evaluation *evaluation, int index, const char **out_column,
                                  int64_t *out_first, int64_t *out_width);
/* What a metric is for the same rows with other inputs, of the shape of tn_evaluation_inputs. */
TN_API tn_status tn_evaluation_value(tn_evaluation *evaluation, const tn_model *model, const tn_tensor *inputs,
                                     const char *metric, double *out_value);
/* By how much a metric falls when a feature's values change places among the rows, drawn `repeats` times: mean and deviation
 * (Breiman, "Random Forests", 2001; sklearn.inspection.permutation_importance). Codes of one column move together. */
TN_API tn_status tn_evaluation_importance(tn_evaluation *evaluation, const tn_model *model, int feature,
                                          const char *metric, int repeats, uint64_t seed, double *out_mean,
                                          double *out_deviation);

/* Looks at the bounds of a gate (tenon/gate.h) on what was measured here, whatever `data` a bound names; drop and rise are
 * relative to another evaluation, as of the model in use on the same rows (NULL: there is none yet, and they hold).
 * self_test is the model's; signed is for stores alone, and fails here. TN_E_CHECK if a bound is not kept. */
TN_API tn_status tn_evaluation_gate(tn_evaluation *evaluation, const tn_model *model, tn_evaluation *against,
                                    const char *gate, size_t gate_size, tn_gate_report *report, void *context);

#ifdef __cplusplus
}
#endif
#endif
