/* Evaluations inside the library: what tenon/evaluate.h keeps of one, and what trainings measure by. */
#ifndef TN_EVALUATION_H
#define TN_EVALUATION_H

#include <tenon/evaluate.h>
#include "base/element.h"
#include "base/tensor.h"
#include "data/samples.h"
#include "model/manifest.h"

typedef struct tn_columns {
    const char *name;
    int64_t first, width;
} tn_columns;

struct tn_evaluation {
    tn_task task;
    tn_metrics *metrics;
    tn_sample_set samples; /* y: in the column's own unit */
    tn_tensor *windows;    /* all samples of a series, once they were asked for */
    tn_tensor *predicted;
    tn_region *region;
    const char **classes;
    int class_count, feature_count, threads;
    tn_columns *features;
    bool logits;
};

/* Where a manifest has the pipeline. */
#define TN_PIPELINE_PATH "extra/pipeline"
/* As tn_predict. */
tn_status tn_predict_samples(const tn_model *model, const tn_sample_set *samples, int threads,
                             tn_tensor **out_predicted);
/* y as it was before the target was scaled, in place. */
void tn_unscale(const tn_pipeline *pipeline, tn_tensor *y);
/* truth: of a reconstruction what went in. */
tn_status tn_metrics_of(tn_task task, const tn_tensor *truth, const tn_tensor *predicted, int classes, bool logits,
                        tn_metrics **out);

#endif
