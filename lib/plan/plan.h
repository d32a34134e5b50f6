/* Plans inside the library: what the YAML says, and the stages of a training by it.
 *
 *     text -> tn_plan (plan.c, layers.c) -> data (data.c) -> graph (network.c, base.c) -> fit (fit.c, checkpoint.c)
 *          -> model file (result.c) */
#ifndef TN_PLAN_H
#define TN_PLAN_H

#include <stdio.h>
#include <tenon/plan.h>
#include <tenon/recipe.h>
#include "data/samples.h"
#include "data/spill.h"
#include "eval/evaluation.h"
#include "graph/graph.h"
#include "kernels/sha256.h"
#include "model/manifest.h"

typedef enum tn_layer_kind {
    TN_LAYER_DENSE,
    TN_LAYER_CONV,
    TN_LAYER_NORM,
    TN_LAYER_RESIDUAL,
    TN_LAYER_POOL,
    TN_LAYER_DROPOUT,
    TN_LAYER_EMBEDDING,
    TN_LAYER_BRANCHES,
    TN_LAYER_LATENT,
    TN_LAYER_RNN,
    TN_LAYER_GRU,
    TN_LAYER_LSTM,
    TN_LAYER_ATTENTION,
    TN_LAYER_TRANSFORMER,
    TN_LAYER_POSITION,
    TN_LAYER_TRANSPOSE,
    TN_LAYER_ACTIVATION
} tn_layer_kind;

enum { TN_POOL_MAX, TN_POOL_AVERAGE, TN_POOL_GLOBAL };
enum { TN_NORM_BATCH, TN_NORM_LAYER, TN_NORM_GROUP };
enum { TN_JOIN_CHANNELS, TN_JOIN_ADD };
enum { TN_FORWARD, TN_REVERSE, TN_BIDIRECTIONAL };
enum { TN_NORM_FIRST, TN_NORM_LAST };
#define TN_BRANCHES 8
#define TN_GELU 4 /* among the activations */

typedef struct tn_layer {
    tn_layer_kind kind;
    const tn_manifest_node *node; /* for sentences */
    int64_t size, of, groups;     /* units, channels, embedding, heads; codes; of a convolution or norm */
    int64_t inner;                /* units of a transformer block; 0: four times the channels */
    double part;                  /* dropout */
    int word, activation;         /* of pool, norm, join, direction; 0: none */
    int valid, all;               /* padding; a recurrent layer gives the whole length */
    int64_t kernel[2], stride[2], dilation[2];
    int64_t order[3];        /* of a transposition */
    struct tn_layer *inside; /* of residual; a branch each, which has its layers inside */
    int count;               /* of these, or of the order */
} tn_layer;

#define TN_LAYER_DEPTH 4
extern const char *const tn_activation_words[], *const tn_loss_words[]; /* of losses: word 1 is loss 0 */
/* A list of layers. */
tn_status tn_layers_read(tn_region *region, const tn_manifest_node *list, int depth, tn_layer **out, int *out_count);

/* What is done to samples for training: tenon/plan.h. */
typedef struct tn_augmentation {
    double noise, shift, scale, mixup;
    bool flip;
} tn_augmentation;

/* Whether one of them is a latent layer. */
bool tn_has_latent(const tn_layer *layers, int count);

struct tn_plan {
    tn_region *region;
    const char *folder;
    uint8_t digest[TN_SHA256_BYTES]; /* of its text */
    const char *name, *version, *title, *description, *licence, *output, *events;
    const tn_manifest_node *data_node, *pipeline_node, *model_node, *train_node, *layers_node, *shape_node;
    const tn_manifest_node *compress_node, *retrain_node;
    const tn_manifest_node *loss_node, *optimizer_node, *schedule_node, *average_node, *class_weights;
    int folds, fold; /* 0: as the pipeline says */
    bool sequences;  /* are the target, as the data say */
    /* data */
    const char *train, *test, *separator, *decimal;
    bool header;
    int64_t memory; /* MB that the data may take before they lie in files; 0: half of the machine's */
    /* model */
    const char *file, *until, *freeze;
    int rank;
    int64_t shape[3];
    tn_layer *layers;
    int layer_count;
    tn_recipe *compress; /* NULL: nothing is */
    int64_t retrain_epochs;
    double retrain_rate; /* 0: a tenth of the optimizer's */
    /* train */
    int loss; /* tn_loss + 1; 0: by the target */
    tn_loss_options loss_options;
    int64_t epochs, batch, accumulate, recompute, patience, seed, snapshots;
    double validation;
    tn_optimizer_options optimizer;
    tn_schedule schedule; /* but its steps, which are in epochs: */
    double period, total, warm_up;
    tn_average average; /* likewise: */
    double average_start, average_every;
    const tn_manifest_node *teacher_node;
    const char *teacher; /* a model's file */
    double teacher_weight, temperature;
    int products; /* a word: 0: float32, 1: bfloat16 */
    const tn_manifest_node *augment_node;
    tn_augmentation augment;
};

/* ---- data.c ---- */

enum { TN_PART_TRAIN, TN_PART_TEST, TN_PART_VALIDATION, TN_PARTS };

typedef struct tn_plan_data {
    tn_spill spill;        /* memory of samples */
    tn_pipeline *pipeline; /* fitted */
    tn_sample_set samples[TN_PARTS];
    int64_t rows[TN_PARTS];                       /* samples */
    char digests[2][7 + 2 * TN_SHA256_BYTES + 1]; /* of train and test; "" if there is no file */
    tn_task task;
    int64_t width, outputs; /* numbers of a sample; of the answer */
    tn_tensor *taught;      /* a teacher's probabilities [rows for training, outputs], or NULL */
    const char *teacher;    /* its digest */
} tn_plan_data;

tn_status tn_plan_data_read(tn_plan *plan, const tn_plan_options *options, tn_plan_data *out);
void tn_plan_data_free(tn_plan_data *data);

/* ---- network.c, base.c ---- */

/* The graph to train: one input, whose output 0 the loss is of. *out_rank and dims: of a sample of its input. */
tn_status tn_plan_network(const tn_plan *plan, const tn_plan_data *data, tn_graph **out_graph);
/* Layers and the answer behind a value of the graph. */
tn_status tn_plan_layers(const tn_plan *plan, tn_graph *graph, int value, int64_t outputs);
/* The model to fine-tune. */
tn_status tn_plan_base(const tn_plan *plan, const tn_plan_data *data, tn_graph **out_graph);
/* What the trained model gives: probabilities, or numbers in the target's unit. */
tn_status tn_plan_answer(const tn_plan_data *data, tn_loss loss, tn_graph *graph);

/* ---- augment.c ---- */

/* Changes `count` samples of the shape in place, and their targets y [count, answer]; y may be NULL unless there is mixup.
 * rebuilds: y is x, without the noise. */
void tn_augment(const tn_augmentation *augmentation, uint64_t seed, int rank, const int64_t *dims, float *x,
                int64_t count, float *y, int64_t answer, bool rebuilds);

/* ---- teacher.c ---- */

/* What the plan's teacher, if there is one, says of the rows for training. */
tn_status tn_plan_teach(const tn_plan *plan, const tn_plan_options *options, tn_plan_data *data);

/* ---- ahead.c ---- */

/* Rows for training that lie in a file, those of many batches read at once. */
typedef struct tn_ahead tn_ahead;

/* *out_ahead NULL: they lie in memory. */
tn_status tn_ahead_open(const tn_plan_data *data, int64_t batch, tn_ahead **out_ahead);
void tn_ahead_close(tn_ahead *ahead); /* accepts NULL */
/* x of row order[position], in the order of this epoch. Valid until the next call. */
const float *tn_ahead_row(tn_ahead *ahead, const int64_t *order, int64_t epoch, int64_t position);

/* ---- batch.c ---- */

typedef struct tn_batch {
    float *x;
    void *y; /* labels int64 [count], or floats [count, answer] */
    int64_t count;
} tn_batch;

typedef struct tn_feed tn_feed;
typedef struct tn_fit tn_fit;

/* The target of a loss on scores [N, C]: labels int64 [N] (of sequences [N, S]), else floats. */
bool tn_takes_labels(tn_loss loss);
/* Batches of a fit whose trainer, steps and input are there, for one thread. Starts one of its own if the fit may. */
tn_status tn_feed_open(const tn_fit *fit, tn_feed **out_feed);
void tn_feed_close(tn_feed *feed); /* accepts NULL */
/* A batch for training, of the epoch under way, whose rows are in this order until its last step; and rows of a part as they
 * are. Valid until the next call. */
const tn_batch *tn_feed_train(tn_feed *feed, const int64_t *order, int64_t step);
const tn_batch *tn_feed_rows(tn_feed *feed, int part, int64_t first, int64_t count);
int64_t tn_feed_answer(const tn_feed *feed); /* numbers in a target */

/* ---- fit.c, checkpoint.c ---- */

typedef struct tn_epoch {
    double loss, validation, rate;
} tn_epoch;

/* ---- events.c ---- */

/* A file of TensorBoard's events in a folder, which is made; the losses and the rate of an epoch, counted from 1 on. */
tn_status tn_events_open(const char *folder, FILE **out_file);
tn_status tn_events_epoch(FILE *file, int64_t epoch, const tn_epoch *e);

struct tn_fit {
    const tn_plan *plan;
    const tn_plan_data *data;
    const tn_plan_options *options;
    tn_trainer *trainer;
    tn_loss loss;
    int input_rank; /* of the graph's input, and its dims but the batch */
    int64_t input_dims[TN_MAX_RANK];
    int64_t steps; /* batches of an epoch */
    tn_epoch *history;
    int64_t epochs; /* done */
    double sum;     /* of the epoch under way: loss times rows */
    int64_t best;   /* epoch, from 0 on */
    bool stop, resumed;
    const tn_group *group; /* of more than one, or NULL */
    char *checkpoint;
    FILE *events;        /* NULL: none are wanted, or not of this process */
    tn_graph *retrained; /* what comes out, if the plan retrains; NULL else */
    tn_epoch retraining; /* the last epoch of that */
};

/* A trainer of the graph, which it takes over, as plan and loss say; holds: what is 0 in its weights stays so. */
tn_status tn_fit_trainer(tn_fit *fit, tn_graph *graph, bool holds);
tn_status tn_fit_run(tn_fit *fit);
/* Whether this process writes the files: the only one, or the first of the group. */
static inline bool tn_fit_writes(const tn_fit *fit) {
    return !fit->group || fit->group->rank == 0;
}
tn_status tn_fit_save(const tn_fit *fit);
/* Nothing is loaded if there is no file; what killed processes left beside it goes. */
tn_status tn_fit_load(tn_fit *fit);

/* ---- snapshot.c ---- */

tn_status tn_snapshots_check(const tn_plan *plan);
/* At the end of an epoch, counted from 1 on: if a cycle ends with it, and it is one of those that are wanted. */
tn_status tn_snapshot_take(const tn_fit *fit, int64_t epoch);
/* The trained model: of the weights as they are, or the mean of the snapshots. */
tn_status tn_snapshots_end(const tn_fit *fit, tn_graph **out_graph);
void tn_snapshots_remove(const tn_plan *plan);

/* ---- smaller.c, result.c ---- */

/* The graph that was trained becomes the one that the plan's steps make of it. */
tn_status tn_plan_compress(const tn_plan *plan, const tn_plan_data *data, const tn_fit *fit, tn_graph **graph);

/* The first steps, then training on, with what the last one rounds rounded: fit->retrained. */
tn_status tn_plan_retrain(const tn_plan *plan, const tn_plan_data *data, tn_fit *fit);
/* Whether steps and `retrain` go together. */
tn_status tn_plan_retrain_check(const tn_plan *plan);

/* Whether the output is there, of this plan, fold and data. One that hangs on other models' files is not looked for. */
bool tn_plan_is_made(const tn_plan *plan, const tn_plan_data *data);
tn_status tn_plan_save(const tn_plan *plan, const tn_plan_data *data, const tn_fit *fit);

#endif
