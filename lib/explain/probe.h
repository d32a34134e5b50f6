/* A probe's inside: a model whose outputs are its scores and their gradient by the input, weighted by a seed. */
#ifndef TN_PROBE_H
#define TN_PROBE_H

#include <tenon/explain.h>
#include <tenon/session.h>
#include "graph/graph.h"

/* What turns scores into the model's output; it is taken off, for its gradients vanish where it saturates. */
typedef enum tn_probe_end { TN_END_NONE, TN_END_SOFTMAX, TN_END_SIGMOID } tn_probe_end;

#define TN_PROBE_BATCH 256

struct tn_probe {
    tn_model *model;
    tn_session *session;
    tn_probe_end end;
    int rank;                  /* of the input */
    int64_t dims[TN_MAX_RANK]; /* of the input, but the batch */
    int64_t width, outputs;    /* numbers in a row; C */
};

/* Scores of `count` rows, at most TN_PROBE_BATCH, and the sum over C of seed times the gradient of the scores; gradient and
 * seed may be NULL. */
tn_status tn_probe_run(tn_probe *probe, const float *x, int64_t count, const float *seed, float *scores,
                       float *gradient);
/* Scores to outputs, row by row, in float64. */
void tn_probe_finish(const tn_probe *probe, const float *scores, double *outputs);
/* x as this header wants it, or a sentence. */
tn_status tn_probe_check(const tn_probe *probe, const tn_tensor *x);

#endif
