/* A trainer's inside.
 *
 * Three graphs are made from the host's: one that trains (predictions in training mode, loss, backward pass, optimizer),
 * one that predicts, and a small one for the loss of a prediction. What changes from step to step is a state: a parameter,
 * a statistic of a normalisation, or what the optimizer remembers. A state is an input and an output of the training
 * graph, and has two tensors: a step reads one and writes the other, then they change places. So nothing is copied, and a
 * step that fails changes nothing. */
#ifndef TN_TRAIN_H
#define TN_TRAIN_H

#include <tenon/train.h>
#include "base/output.h"
#include "graph/graph.h"

/* In this order in tn_states. */
typedef enum tn_state_kind { TN_STATE_STATISTIC, TN_STATE_PARAMETER, TN_STATE_OPTIMIZER } tn_state_kind;

typedef struct tn_state {
    tn_state_kind kind;
    const char *name; /* of the constant, in the host's graph */
    int value;        /* of all graphs; -1 of the optimizer's states */
    tn_tensor *now, *next, *best;
} tn_state;

typedef struct tn_states {
    tn_state *all;
    int count, capacity;
    int statistics, parameters; /* how many of these there are */
    int predicting;             /* both: what predictions need */
} tn_states;

/* Inputs of the training graph behind the host's; the states follow. Its outputs: the loss, then the states. */
enum { TN_TRAIN_TARGET, TN_TRAIN_RATE, TN_TRAIN_COUNT, TN_TRAIN_INPUTS };

/* Makes the training graph and lists the states, whose tensors are filled. `graph` is sorted and inferred. */
tn_status tn_training_graph(const tn_graph *graph, const tn_trainer_options *options, tn_states *states,
                            tn_graph **out_graph);
/* Output 0 alone, with the parameters and statistics as inputs behind the host's. */
tn_status tn_predicting_graph(const tn_graph *graph, const tn_states *states, tn_graph **out_graph);
/* Two inputs, a prediction and a target; one output. */
tn_status tn_loss_graph(const tn_graph *graph, const tn_trainer_options *options, tn_graph **out_graph);

/* Adds the input of targets for such predictions, and the loss [] itself (loss.c). */
tn_status tn_loss_target(tn_graph *graph, tn_loss loss, int prediction, int *out_target);
tn_status tn_loss_nodes(tn_graph *graph, const tn_trainer_options *options, int prediction, int target, int *out_loss);
/* Fails with a sentence about what is wrong with them. */
tn_status tn_loss_check(const tn_trainer_options *options);

/* Options with their defaults, or a sentence about what is wrong with them (optimizer.c). */
tn_status tn_optimizer_defaults(const tn_optimizer_options *given, tn_optimizer_options *out);
int tn_optimizer_states(const tn_optimizer_options *options); /* of each parameter */
/* The node of one parameter: outs are its new value and states. factor: what its gradient is multiplied by. */
tn_status tn_optimizer_node(tn_graph *graph, const tn_optimizer_options *options, int rate, int count, int factor,
                            int parameter, int gradient, const int *states, int *outs);
/* What all gradients are multiplied by so that their common norm stays below options->clip_norm. */
tn_status tn_optimizer_clip(tn_graph *graph, const tn_optimizer_options *options, int count, const int *gradients,
                            int *out_factor);

struct tn_trainer {
    tn_trainer_options options;
    const tn_allocator *allocator;
    tn_graph *graph; /* the host's */
    int inputs;      /* of it */
    tn_states states;
    tn_model *train_model, *predict_model, *loss_model;
    tn_session *train, *predict, *loss;
    tn_tensor *rate, *count; /* inputs */
    int64_t steps, drops;    /* done; of the plateau */
    double best;             /* loss reported */
    int64_t reports_since_best, reports_since_drop;
    double plateau_best;
    bool has_best;
};

/* A checkpoint as a part of another file, and back (checkpoint.c). */
void tn_trainer_write(const tn_trainer *trainer, tn_output *out);
tn_status tn_trainer_read(tn_trainer *trainer, const uint8_t *data, size_t size);
size_t tn_trainer_most_bytes(const tn_trainer *trainer);

#endif
