/* Training: fits a model's weights to data, with the kernels, plans and threads that inference runs on.
 *
 * A trainer takes a graph that computes predictions, from tn_graph_load or built by hand. Its float constants that layers
 * learn (weights, biases, scales) become parameters; the loss, the backward pass and the optimizer are added as nodes, and
 * one step is one run of that graph. The data come from the host, batch by batch:
 *
 *     tn_trainer_options o = {.struct_size = sizeof o, .loss = TN_LOSS_CROSS_ENTROPY,
 *                             .optimizer = {.kind = TN_ADAM, .rate = 1e-3}, .threads = 2};
 *     tn_trainer_create(graph, &o, &trainer);                        // takes the graph over
 *     for (...)  tn_trainer_step(trainer, inputs, target, &loss);    // inputs[i] fits input i of the graph
 *     tn_trainer_evaluate(trainer, inputs, target, &loss);           // as inference computes it: no dropout
 *     tn_trainer_predict(trainer, inputs, &scores);                  // output 0
 *     tn_trainer_export(trainer, &trained);                          // a graph: tn_graph_save_onnx, tn_model_from_graph
 *     tn_trainer_destroy(trainer);
 *
 * Batches may differ in size where the graph's inputs have a symbol or an unknown dim; other dims must be known. A step
 * that fails, or is interrupted, leaves the parameters as they were before it. Results are the same bits at any thread
 * count.
 *
 * A QuantizeLinear with a DequantizeLinear behind it lets gradients through where its integers reach, and stops them outside
 * (the straight-through estimator), so that what tn_quantize_aware makes can be trained.
 *
 * Thread-safety: a trainer belongs to one thread at a time; any number of them run side by side. */
#ifndef TENON_TRAIN_H
#define TENON_TRAIN_H

#include <tenon/session.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_trainer tn_trainer;

/* Of output 0 and the target. Each is the mean over all elements, or over all labels (with class weights, cross-entropy's
 * is the weighted one), as PyTorch has it. */
typedef enum tn_loss {
    TN_LOSS_MSE = 0,                  /* (y - t)^2; the target has the shape of output 0 */
    TN_LOSS_MAE = 1,                  /* |y - t| */
    TN_LOSS_HUBER = 2,                /* d^2 / 2 up to |d| = 1, from there on |d| - 1/2 */
    TN_LOSS_CROSS_ENTROPY = 3,        /* scores [N, C, ...] before softmax, labels int64 [N, ...] */
    TN_LOSS_BINARY_CROSS_ENTROPY = 4, /* scores before the sigmoid; targets from 0 to 1, of the scores' shape */
    TN_LOSS_QUANTILE = 5,             /* d = t - y: q d above, (q - 1) d below, with q = quantile */
    TN_LOSS_FOCAL = 6, /* cross-entropy of each label times (1 - p)^focus, where p is the label's probability */
    TN_LOSS_KL = 7,    /* of softmax(scores) from a target distribution of the scores' shape, sum over axis 1 */
    /* Of variational autoencoders: the sum over a row of (y - t)^2 / 2 and of beta times the divergence from the standard
     * normal distribution, where outputs 1 and 2 are the means and the logarithms of variances; the mean over rows. While
     * it trains, what reads the means reads them with normal noise of these variances (Kingma and Welling, "Auto-Encoding
     * Variational Bayes", 2013); predictions are without noise. */
    TN_LOSS_ELBO = 8,
    /* Connectionist temporal classification: scores [N, C, T] before softmax, of which class 0 is the blank; labels int64
     * [N, S] of what the T steps say, from 1 on, a row filled up with -1. Each row's loss is divided by how many labels it
     * has; the mean over rows. */
    TN_LOSS_CTC = 9,
    /* Cross-entropy of a target distribution of the scores' shape, as mixtures of samples have it: the sum over axis 1 of
     * -t log softmax(scores), each class with its weight, if there are; the mean over all else. */
    TN_LOSS_SOFT_CROSS_ENTROPY = 10
} tn_loss;

/* What losses take besides; what is 0 has the default in brackets. */
typedef struct tn_loss_options {
    double quantile;            /* TN_LOSS_QUANTILE [0.5] */
    double focus;               /* TN_LOSS_FOCAL [2]; -1: none, which leaves cross-entropy */
    double label_smoothing;     /* cross-entropies [0]: so much of each label is shared out evenly among all classes */
    const float *class_weights; /* cross-entropies, focal [none]: of each class; read by tn_trainer_create alone */
    int class_count;            /* of them */
    double beta;                /* ELBO [1]; -1: none */
} tn_loss_options;

/* As torch.optim has them. */
typedef enum tn_optimizer_kind {
    TN_SGD = 0,
    TN_ADAM = 1,
    TN_ADAMW = 2, /* weight_decay shrinks the weights themselves */
    TN_ADAGRAD = 3,
    TN_RMSPROP = 4,
    TN_LION = 5 /* Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023; decay as in AdamW */
} tn_optimizer_kind;

/* What is 0 has the default in brackets; -1 means none (0) where the default is another. */
typedef struct tn_optimizer_options {
    tn_optimizer_kind kind;
    double rate;         /* [0.001]; a schedule's factor is applied to it */
    double momentum;     /* SGD, RMSprop [0] */
    bool nesterov;       /* SGD */
    double beta1, beta2; /* Adam, AdamW [0.9, 0.999]; Lion [0.9, 0.99] */
    double alpha;        /* RMSprop's smoothing [0.99] */
    double epsilon;      /* [1e-8]; Adagrad [1e-10] */
    double weight_decay; /* [0] added to the gradient as a multiple of the weight; see TN_ADAMW, TN_LION */
    double l1;           /* [0] added to the gradient as a multiple of the weight's sign */
    double clip_norm; /* [none] the most that the norm of all gradients together may be; they are scaled down to it */
} tn_optimizer_options;

/* How the learning rate changes. Steps are counted from 0; tn_schedule_factor is the formula. */
typedef enum tn_schedule_kind {
    TN_SCHEDULE_CONSTANT = 0,
    TN_SCHEDULE_STEP = 1,        /* times `factor` after each `period` steps */
    TN_SCHEDULE_EXPONENTIAL = 2, /* times `factor` at each step */
    TN_SCHEDULE_COSINE = 3, /* from 1 to `floor` within `period` steps, then from 1 again: period times `stretch` */
    TN_SCHEDULE_ONE_CYCLE =
        4,                  /* up from 1 / `start` to 1 within `rise` of `total` steps, then down to 1 / (start end) */
    TN_SCHEDULE_PLATEAU = 5 /* times `factor` when tn_trainer_report saw no better loss for `patience` calls */
} tn_schedule_kind;

typedef struct tn_schedule {
    tn_schedule_kind kind;
    double factor;         /* [0.1] */
    int64_t period, total; /* in steps */
    double stretch;        /* [1] */
    double floor;          /* [0] the least factor of cosine and plateau */
    double rise;           /* [0.3] */
    double start, end;     /* [25, 1e4] */
    int64_t patience;      /* [10] */
    int64_t warm_up;       /* [0] steps that rise evenly from rate / warm_up to the rate, before all else */
} tn_schedule;

/* The factor of the rate at a step. drops: how often a plateau lowered it. */
TN_API double tn_schedule_factor(const tn_schedule *schedule, int64_t step, int64_t drops);

/* Averages of the weights along the way, which often generalise better than where the steps end. Once there is one, it is
 * what predicts, is evaluated, remembered as the best and exported; steps go on from the weights themselves. Running
 * statistics of batch norms are averaged alike. As torch.optim.swa_utils.AveragedModel with use_buffers has it. */
typedef enum tn_average_kind {
    TN_AVERAGE_NONE = 0,
    TN_AVERAGE_EMA = 1, /* average = decay average + (1 - decay) weights, from the weights on */
    TN_AVERAGE_SWA = 2  /* the mean (Izmailov et al., "Averaging Weights Leads to Wider Optima", 2018) */
} tn_average_kind;

typedef struct tn_average {
    tn_average_kind kind;
    double decay;  /* EMA [0.999] */
    int64_t start; /* [0] steps that nothing is averaged of */
    int64_t every; /* [1] then the weights after each so many steps are */
} tn_average;

/* Processes, or threads, that train one model together, each with a trainer of the same graph and options, and its share of
 * the rows of every batch: all make the same calls, and have the same parameters after each step. tenon/mpi.h has one.
 * Steps are those of one trainer with all rows, but for batch norms, which see each share alone, for dropout, which differs
 * by rank, and for class weights, where shares differ in their classes. */
typedef struct tn_group {
    size_t struct_size;
    void *context;
    int rank, count; /* of this one, from 0 on; of all */
    /* Replaces `data` (float32 or float64) by its sum over all, the same bits in each; called by all in the same order. */
    tn_status (*sum)(void *context, tn_dtype dtype, int64_t count, void *data);
    /* [none; both or neither] The same, but `begin` may come back before the sum is there, which nobody touches until
     * `finish` has waited for all that was begun: gradients are summed while the backward pass goes on. `sum` may be called
     * between them; all make the same calls in the same order. */
    tn_status (*begin)(void *context, tn_dtype dtype, int64_t count, void *data);
    tn_status (*finish)(void *context);
} tn_group;

/* All zero but struct_size is the default. */
typedef struct tn_trainer_options {
    size_t struct_size;
    tn_loss loss;
    tn_optimizer_options optimizer;
    tn_schedule schedule;
    const char *freeze; /* names of constants to leave as they are, with commas between; "conv*" is all that begin so */
    int threads;        /* as tn_session_options has it */
    uint64_t seed;      /* of dropout and noise */
    const char *cpu;    /* as tn_model_options has it */
    const tn_allocator *allocator;
    int64_t patience; /* tn_trainer_report asks to stop after so many calls without a better loss [never] */
    tn_loss_options loss_options;
    tn_average average;
    /* Batches to a step [1]: gradients are gathered, each batch with as much weight as its target has elements, so that a
     * step is that of one batch of all the rows (but for batch norms, which see each batch alone). */
    int64_t accumulate;
    const tn_group *group; /* [none] must outlive the trainer */
    /* [0] To save memory: the network is cut into so many segments, and but for what passes from one to the next, the
     * backward pass computes a segment anew instead of finding it in memory (activation checkpointing). The square root of
     * the number of layers is a good number. What is drawn at random is kept. */
    int64_t recompute;
    /* [TN_FLOAT32] TN_BFLOAT16: mixed precision. Factors of products (MatMul, Gemm, Conv, Einsum, the inputs' side of
     * recurrent layers), forwards and backwards, are rounded to bfloat16, and kept so for the backward pass; sums, all other
     * operators, the parameters and predictions are float32. Where the CPU multiplies bfloat16 (TN_PRECISION_FAST) it is
     * faster; elsewhere it computes the same, but for the order of sums, and is slower. */
    tn_dtype products;
    /* What is 0 in parameters of two axes and more, as pruning leaves it (tenon/prune.h), stays 0 in all steps. */
    bool keep_zeros;
} tn_trainer_options;

/* Takes the graph over, also on failure. Fails with a sentence that names the node if an operator has no gradient. */
TN_API tn_status tn_trainer_create(tn_graph *graph, const tn_trainer_options *options, tn_trainer **out_trainer);
TN_API void tn_trainer_destroy(tn_trainer *trainer); /* accepts NULL */

/* One step on a batch: inputs[i] for input i of the graph, and the target. out_loss (may be NULL): before the step. With
 * `accumulate` only each so many calls make a step, and the others gather. In a group, out_loss is that of all rows, and
 * one that has no row of a batch gives NULL for both. */
TN_API tn_status tn_trainer_step(tn_trainer *trainer, const tn_tensor *const *inputs, const tn_tensor *target,
                                 double *out_loss);
/* The step of what was gathered so far, as at the end of an epoch; does nothing where nothing was. */
TN_API tn_status tn_trainer_finish_step(tn_trainer *trainer);
/* The loss of a batch in inference mode. */
TN_API tn_status tn_trainer_evaluate(tn_trainer *trainer, const tn_tensor *const *inputs, const tn_tensor *target,
                                     double *out_loss);
/* Output 0 in inference mode, valid until the trainer's next call. */
TN_API tn_status tn_trainer_predict(tn_trainer *trainer, const tn_tensor *const *inputs, const tn_tensor **out_tensor);
/* Tells the trainer of a validation loss, as after each epoch: for the plateau, for stopping, and to remember the best
 * parameters. *out_stop (may be NULL) says whether `patience` calls brought nothing better. */
TN_API tn_status tn_trainer_report(tn_trainer *trainer, double loss, bool *out_stop);
/* Brings back the parameters of the best loss reported; TN_E_STATE if there was none. */
TN_API tn_status tn_trainer_restore_best(tn_trainer *trainer);

TN_API int64_t tn_trainer_steps(const tn_trainer *trainer);   /* done so far */
TN_API int64_t tn_trainer_batches(const tn_trainer *trainer); /* seen so far: as many, but for `accumulate` */
TN_API double tn_trainer_rate(const tn_trainer *trainer);     /* of the next step */
TN_API int tn_trainer_parameter_count(const tn_trainer *trainer);
/* The name and the current contents, not averaged, valid until the next step; TN_E_NOT_FOUND past the last. */
TN_API tn_status tn_trainer_parameter(const tn_trainer *trainer, int index, const char **out_name,
                                      const tn_tensor **out_tensor);

/* The graph that was given, with the weights as they are now. Destroy it with tn_graph_destroy. */
TN_API tn_status tn_trainer_export(const tn_trainer *trainer, tn_graph **out_graph);

/* Everything that a later run needs to go on as if it had not stopped, bit for bit: parameters, the optimizer's state,
 * gathered gradients, averages, counts, the generator of dropout, the best so far. The file is replaced whole or stays as
 * it is. The trainer that loads it must be made of the same graph and options; what does not fit is refused with a
 * sentence, and nothing changes. In a group, what was gathered is each one's own, so between two steps a file of one will
 * do for all, and for any number of them. */
TN_API tn_status tn_trainer_save(const tn_trainer *trainer, const char *path);
TN_API tn_status tn_trainer_load(tn_trainer *trainer, const char *path);

#ifdef __cplusplus
}
#endif
#endif
