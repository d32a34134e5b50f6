/* A trainer's inside.
 *
 * Three graphs are made from the host's: one that trains (predictions in training mode, loss, backward pass, optimizer),
 * one that predicts, and a small one for the loss of a prediction. What changes from step to step is a state: a parameter,
 * a statistic of a normalisation, or what the optimizer remembers. A state is an input and an output of the training
 * graph, and has two tensors: a step reads one and writes the other, then they change places. So nothing is copied, and a
 * step that fails changes nothing.
 *
 * Where a step takes several batches, the training graph is in two: one that adds a batch's gradients to those gathered,
 * and one that makes the step of them. */
#ifndef TN_TRAIN_H
#define TN_TRAIN_H

#include <tenon/train.h>
#include "base/output.h"
#include "graph/graph.h"
#include "kernels/sha256.h"

/* In this order in tn_states. */
typedef enum tn_state_kind {
    TN_STATE_STATISTIC,
    TN_STATE_PARAMETER,
    TN_STATE_GRADIENT, /* gathered over batches; none where each batch makes a step */
    TN_STATE_OPTIMIZER
} tn_state_kind;

typedef struct tn_state {
    tn_state_kind kind;
    const char *name;                       /* of the constant, in the host's graph */
    int value;                              /* of all graphs; -1 of gradients and the optimizer's states */
    tn_tensor *now, *next, *best, *average; /* the last two: NULL until there is one */
    bool ready;                             /* a gradient that this run has found (overlap.c) */
} tn_state;

typedef struct tn_states {
    tn_state *all;
    int count, capacity;
    int statistics, parameters, gradients; /* how many of these there are */
    int predicting;                        /* the first two: what predictions need */
} tn_states;

/* Inputs of the training graph behind the host's; the states follow. Its outputs: the loss, then the states. */
enum { TN_TRAIN_TARGET, TN_TRAIN_RATE, TN_TRAIN_COUNT, TN_TRAIN_INPUTS };
/* Where it only gathers: the states up to the gradients follow; outputs are the loss, statistics and gradients. */
enum { TN_GATHER_TARGET, TN_GATHER_WEIGHT, TN_GATHER_INPUTS };
/* Of the graph that makes a step of what was gathered: the states from the parameters on follow; outputs are the parameters
 * and the optimizer's states. SCALE: what gradients are multiplied by. */
enum { TN_STEP_RATE, TN_STEP_COUNT, TN_STEP_SCALE, TN_STEP_INPUTS };

/* Whether a step takes several batches, or shares of one. */
static inline bool tn_trainer_gathers(const tn_trainer_options *options) {
    return options->accumulate > 1 || (options->group && options->group->count > 1);
}
/* Makes the training graph and lists the states, whose tensors are filled. `graph` is sorted and inferred. */
tn_status tn_training_graph(const tn_graph *graph, const tn_trainer_options *options, tn_states *states,
                            tn_graph **out_graph);
tn_status tn_step_graph(const tn_trainer_options *options, const tn_states *states, const tn_allocator *allocator,
                        tn_graph **out_graph);
/* The outputs that the loss is of, with the parameters and statistics as inputs behind the host's. */
tn_status tn_predicting_graph(const tn_graph *graph, const tn_trainer_options *options, const tn_states *states,
                              tn_graph **out_graph);
/* Inputs are a prediction, a target, and what else the loss is of; one output. */
tn_status tn_loss_graph(const tn_graph *graph, const tn_trainer_options *options, tn_graph **out_graph);

/* Adds the input of targets for such predictions, and the loss [] itself (loss.c). */
tn_status tn_loss_target(tn_graph *graph, tn_loss loss, int prediction, int *out_target);
tn_status tn_loss_nodes(tn_graph *graph, const tn_trainer_options *options, const int *outputs, int target,
                        int *out_loss);
/* How many outputs it is of. */
static inline int tn_loss_outputs(tn_loss loss) {
    return loss == TN_LOSS_ELBO ? 3 : 1;
}
/* Noise around the means of an ELBO, for what reads them (elbo.c). */
tn_status tn_elbo_noise(tn_graph *graph);
tn_status tn_elbo_nodes(tn_graph *graph, const tn_loss_options *options, const int *outputs, int target, int *out_loss);
/* Fails with a sentence about what is wrong with them. */
tn_status tn_loss_check(const tn_trainer_options *options);

/* Options with their defaults, or a sentence about what is wrong with them (optimizer.c). */
tn_status tn_optimizer_defaults(const tn_optimizer_options *given, tn_optimizer_options *out);
int tn_optimizer_states(const tn_optimizer_options *options); /* of each parameter */
/* The node of one parameter: outs are its new value and states. factor: what its gradient is multiplied by. */
tn_status tn_optimizer_node(tn_graph *graph, const tn_optimizer_options *options, int rate, int count, int factor,
                            int parameter, int gradient, const int *states, int *outs);
/* What all gradients are multiplied by: `scale` (a float64; -1: 1), and what keeps their common norm, then, below
 * options->clip_norm. */
tn_status tn_optimizer_clip(tn_graph *graph, const tn_optimizer_options *options, int scale, int count,
                            const int *gradients, int *out_factor);

struct tn_trainer {
    tn_trainer_options options;
    const tn_allocator *allocator;
    tn_graph *graph; /* the host's */
    int inputs;      /* of it */
    tn_states states;
    uint8_t made_of[TN_SHA256_BYTES]; /* what checkpoints must be of */
    tn_model *train_model, *predict_model, *loss_model, *step_model;
    tn_session *train, *predict, *loss, *step; /* step: NULL where each batch makes one */
    tn_tensor *rate, *count, *weight, *scale;  /* inputs */
    int64_t steps, batches, drops;             /* done; seen; of the plateau */
    int64_t gathered;                          /* batches since the last step */
    int begun;                                 /* gradients whose sums over the group have begun */
    tn_status watched;                         /* of beginning them */
    double weighed;                            /* their weights together */
    int64_t averages;                          /* weights that are in the average */
    double best;                               /* loss reported */
    int64_t reports_since_best, reports_since_drop;
    double plateau_best;
    bool has_best;
};

/* Moves the averages towards the weights after a step, if it is time (average.c). */
tn_status tn_average_check(const tn_average *average);
tn_status tn_trainer_average(tn_trainer *trainer);
/* What a state predicts with. */
static inline tn_tensor *tn_state_weights(const tn_trainer *trainer, const tn_state *state) {
    return trainer->averages ? state->average : state->now;
}
/* The loss that a session gave; one that is no number fails, before it ruins anything. */
tn_status tn_trainer_read_loss(const tn_trainer *trainer, const tn_session *session, double *out_loss);
/* The sum over the trainer's group, in place. */
tn_status tn_trainer_sum(const tn_trainer *trainer, tn_dtype dtype, int64_t count, void *data);
/* Sums of gradients over the group while the backward pass goes on (overlap.c): */
bool tn_trainer_overlaps(const tn_trainer *trainer); /* whether the group can */
/* Around the run that gathers a step's last batch: begins sums of gradients, the last layer's first, as they get ready; and,
 * behind it, of all that are left. */
void tn_overlap_watch(tn_trainer *trainer);
tn_status tn_overlap_begin_rest(tn_trainer *trainer);
tn_status tn_overlap_finish(tn_trainer *trainer);
/* Whether it is between two steps, with nothing gathered. */
static inline bool tn_trainer_is_between(const tn_trainer *trainer) {
    return trainer->gathered == 0;
}

/* The backward pass behind the first `forward` nodes gets what it reads of these computed anew, segment by segment, the
 * last aside. */
tn_status tn_graph_recompute(tn_graph *graph, int forward, int64_t segments);
/* Products, the first `forward` nodes' and those of the backward pass, get factors that are rounded to bfloat16 (mixed.c). */
tn_status tn_graph_mix(tn_graph *graph, int forward);

/* A checkpoint as a part of another file, and back (checkpoint.c). */
void tn_trainer_fingerprint(tn_trainer *trainer);
void tn_trainer_write(const tn_trainer *trainer, tn_output *out);
tn_status tn_trainer_read(tn_trainer *trainer, const uint8_t *data, size_t size);
size_t tn_trainer_most_bytes(const tn_trainer *trainer);

#endif
