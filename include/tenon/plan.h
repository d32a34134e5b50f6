/* Plans: from a file of data to a model file that says how good it is, by one YAML file.
 *
 *     name: digits                       # of the model: tenon/manifest.h
 *     version: 1.0.0                     # 0.1.0 without it
 *     licence: Apache-2.0                # and title, description: into the manifest as they are
 *     data:
 *       train: digits.csv                # CSV, gzip or not, .npy, .npz, or a folder of classes: what
 *                                        # tn_table_read takes; beside the plan, or an absolute path
 *       test: digits-test.csv            # else the pipeline's split says which rows are for testing
 *       separator: ","
 *       decimal: "."
 *       header: true
 *       memory: 4096                     # MB that tables and prepared samples may take; what goes beyond lies in files beside
 *                                        # the output, without names, which are mapped. Half of the machine's without it
 *     pipeline:                          # tenon/pipeline.h: features, target, split
 *       features:
 *         - column: "pixel_*"            # all columns that begin so and are not named elsewhere here; "*": all others
 *           scale: standard
 *       target:                          # without it the model reproduces its input: an autoencoder
 *         column: digit
 *         encode: ordinal              # classes; without encode: a number
 *     model:
 *       shape: [1, 8, 8]                 # of one sample: channels first; without it a row of numbers, or what
 *                                        # an image or sound has
 *       layers:                          # see below; behind them stands a dense layer that gives the answer
 *         - conv: 16
 *           kernel: 3
 *           activation: relu
 *         - pool: max
 *         - dense: 32
 *           activation: relu
 *     train:
 *       loss: cross-entropy              # mse, mae, huber, quantile, cross-entropy, focal, binary-cross-entropy, kl (of
 *                                        # classes, a teacher's answers or mixtures), elbo, ctc; by the target without it. With its options: {kind: focal, focus: 2}; all of
 *                                        # tn_loss_options by their names, but class_weights: balanced, or [1, 5]
 *       epochs: 30                       # 50 without it
 *       batch: 32                        # 32 without it
 *       accumulate: 4                    # batches whose gradients make one step; 1 without it
 *       optimizer:                       # kind: sgd, adam (without it), adamw, adagrad, rmsprop, lion; all of
 *         kind: adamw                    # tn_optimizer_options by their names
 *         rate: 0.004
 *       schedule:                        # kind: constant, step, exponential, cosine, one-cycle, plateau; all of
 *         kind: one-cycle                # tn_schedule by their names, but period, total and warm_up in epochs (period and
 *                                        # total: all of them without it) and exponential's factor an epoch
 *       recompute: 4                     # segments of the network that the backward pass computes anew, for less memory
 *       products: bfloat16               # of factors rounded to that (mixed precision); float32 without it
 *       average:                         # weights along the way, kind: ema or swa (tenon/train.h): what is validated and kept
 *         kind: swa                      # decay of ema; start: epochs before the first; every: epochs between them (ema:
 *         start: 20                      # a step without it, swa: an epoch)
 *       augment:                         # what is done to samples for training alone, each time otherwise
 *         noise: 0.05                    # normal, of this deviation, added to each number
 *         shift: 0.1                     # along the last axis, of [C, H, W] the last two, by up to this part of it; what
 *                                        # comes in from outside is the edge
 *         scale: 0.1                     # times a number from 0.9 to 1.1
 *         flip: true                     # each other sample, along the last axis
 *         mixup: 0.2                     # samples and targets are means of two, weights by Beta(0.2, 0.2), 0.05 to 2; for
 *                                        # all losses but the focal one
 *       validation: 0.1                  # part of the training rows that only says when to stop; 0 without it
 *       snapshots: 5                     # of the weights at the end of the last so many cycles of a cosine schedule; the
 *                                        # model is the mean of what they answer (tenon/ensemble.h)
 *       patience: 10                     # epochs without a better validation loss until it stops; the best comes back
 *       seed: 7                          # of first weights, order, dropout and validation; 0 without it
 *       teacher:                         # distillation: targets are means of labels and of what a model that is there says,
 *         file: large.tenon              # probabilities of the same classes, of the same numbers (the pipeline's)
 *         weight: 0.5                    # of what it says; 0.5 without it
 *         temperature: 2                 # that its probabilities' logarithms are divided by; 1 without it
 *       events: runs/digits              # a folder for TensorBoard: losses and rate of each epoch
 *     compress:                          # behind the training: steps of a recipe (tenon/recipe.h), on rows for training;
 *       - quantize: {calibration: best}  # an empty list is none. Metrics and self-test are of what it makes
 *     retrain:                           # trains on behind these steps, so that the weights make up for them: what prune made
 *       epochs: 5                        # 0 stays 0, and a quantize step, which is the last then, rounds in each step
 *       rate: 0.0004                     # (quantization-aware); 5 without it, and a tenth of the optimizer's, falling to 0;
 *                                        # the steps are prune, channels, low_rank and quantize that is not dynamic
 *     output: digits.tenon               # beside the plan; NAME.tenon without it
 *
 * Layers, in order; those up to `transformer` may have `activation`: relu, leaky-relu, elu, gelu, silu, tanh, sigmoid,
 * softplus
 *   dense: UNITS                         what has more axes is laid flat before it
 *   conv: CHANNELS                       over one axis [C, L] or two [C, H, W]; kernel (3), stride (1), dilation (1): a
 *                                        number or a list; groups (1); padding: same (without it) or valid
 *   norm: batch, layer or group          over the batch for each channel; over all but the batch; over `groups` of channels
 *   residual: LAYERS                     what they give is added to what they took; where the shapes differ, through a
 *                                        convolution of one point, or a dense layer
 *   branches: [LAYERS, LAYERS...]        each takes the same; join: channels (without it) puts what they give side by side
 *                                        there, add adds it
 *   transformer: HEADS                   a block of attention and two dense layers over [C, L], of `inner` (4 C) units and
 *                                        the activation (gelu), with residuals; dropout (0); norm: first (without it) or last
 *   pool: max, average or global         kernel (2), stride (the kernel); global: the mean of each channel
 *   lstm, gru or rnn: UNITS              along [C, L]; direction: forward (without it), reverse or bidirectional, which gives
 *                                        twice the units; gives: last (without it; [UNITS]) or all ([UNITS, L])
 *   attention: HEADS                     of each place of [C, L] to all: scaled dot products
 *   position: learned                    adds a table to [C, L], which tells attention where something stands
 *   dropout: PART                        dropped in training alone
 *   embedding: SIZE                      of codes (encode: ordinal), `of` different ones: [N] to [N, SIZE]
 *   transpose: [2, 1]                    the axes of a sample in another order
 *   latent: SIZE                         the middle of a variational autoencoder (TN_LOSS_ELBO), of a plan without a target;
 *                                        the model file's outputs 1 and 2 are its means and logarithms of variances
 *   activation: WORD                     alone
 * First weights are He's (2015) before relu and its kin, Glorot's (2010) elsewhere.
 *
 * Instead, or before the layers, a model that is there (fine-tuning):
 *     model:
 *       file: press.onnx                 # .onnx or .tenon, of one input, whose batch has no fixed size
 *       until: features                  # the value that the layers and the answer begin at; without it the model's output
 *       freeze: "conv1.*, conv2.*"       # constants that stay as they are (tenon/train.h)
 *
 * A target of sequences (encode: sequence) has the loss ctc: the layers end in [channels, length], behind which each step of
 * the length says a word or nothing, and the output are probabilities [N, 1 + words, length], which tn_sequences_read reads
 * (tenon/metrics.h). Its metrics are sequence_accuracy and label_error_rate. A row must have as many steps as words, and one
 * more between two that are the same.
 *
 * The model file's output are probabilities [N, C] (of binary-cross-entropy [N, 1], of class 1), or numbers [N, 1] in the
 * target's own unit, or what the pipeline made of the columns. Its manifest has the metrics on rows for training and for
 * testing (data: NAME-train, NAME-test), digests of the files, and under extra the fitted pipeline and the losses, so that
 * tenon/evaluate.h takes it and raw columns. It has a self-test of some rows. The same plan and data give the same bytes at
 * any number of threads, and so does a run that was stopped or killed and resumed.
 *
 * Data larger than memory: beyond `memory`, the columns of the table and the rows that the pipeline makes of them lie in files,
 * which the system writes and reads as it needs memory; results are the same bit for bit. They want as much disk as that takes.
 * Windows of series are gathered of their rows as they are wanted, so that the length of a window costs no memory. Rows are made
 * some of all columns at a time. The samples of many shuffled batches, half of `memory`, are read at once in the order of the
 * file; where that would be more than eight times through all rows, an epoch begins with a copy of them in its order, if the disk
 * has room for it. Through 100 MB of memory, 200 MB of data took 1.7 times as long as in memory. What stays in memory is some ten
 * numbers a row: order, targets and answers while they are measured, all answers of a model without target; and the texts of a
 * column. .npy files are read in pieces; .npz files, and what is inflated of them, lie in such files too until their columns are
 * made.
 *
 * While it trains, OUTPUT.checkpoint (and OUTPUT.retraining.checkpoint) is written at the end of an epoch, at most each
 * second, and when it is stopped. It goes when the model file is there. A plan whose text or data changed does not resume.
 *
 * Thread-safety: a plan may be trained by one thread at a time. A library built without libyaml answers TN_E_UNSUPPORTED. */
#ifndef TENON_PLAN_H
#define TENON_PLAN_H

#include <tenon/metrics.h>
#include <tenon/train.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_plan tn_plan;

/* Checks all that can be without the data: a key that is not above is refused with its line. */
TN_API tn_status tn_plan_load(const char *path, tn_plan **out_plan);
/* Paths in it are beside `folder` (NULL: where the process is). */
TN_API tn_status tn_plan_parse(const char *text, size_t size, const char *folder, tn_plan **out_plan);
TN_API void tn_plan_destroy(tn_plan *plan); /* accepts NULL */
TN_API const char *tn_plan_output(const tn_plan *plan);
/* Another place for the model file, from where the process is; all else of the file stays the same. */
TN_API tn_status tn_plan_set_output(tn_plan *plan, const char *path);

/* For cross-validation: the pipeline's split becomes this fold of so many (2 to 1000, counted from 1 on; tenon/pipeline.h), by
 * class or by chance where it has none; a plan with a file for testing has no folds. The output becomes
 * NAME.fold-K.tenon: its metrics on the rows for testing are the fold's. tn_mean_interval (tenon/metrics.h) sums them up. */
TN_API tn_status tn_plan_set_fold(tn_plan *plan, int folds, int fold);

typedef struct tn_plan_progress {
    size_t struct_size;
    int64_t epoch, epochs, step, steps; /* epoch from 1 on; step of the epoch's steps, done */
    double loss, validation;            /* of the epoch so far; of the last epoch, NaN: none */
    bool epoch_ends;
} tn_plan_progress;

/* All zero but struct_size is the default. */
typedef struct tn_plan_options {
    size_t struct_size;
    /* From the checkpoint, if there is one. A fold whose model file is there, made by the same plan of the same data, is not
     * trained again: of the result its rows alone are known. */
    bool resume;
    int threads; /* as tn_session_options has it */
    const char *cpu;
    /* After each step; false stops with a checkpoint and TN_E_INTERRUPTED. */
    bool (*progress)(void *context, const tn_plan_progress *progress);
    /* Something to know: columns that are constant. */
    void (*note)(void *context, const char *sentence);
    void *context;
    /* Metrics of the trained model on the rows for validation, if there are any, before the file is written; what is not
     * TN_OK ends the training so. */
    tn_status (*measured)(void *context, tn_metrics *metrics);
    /* [none] Processes that train it together: each reads all data and takes its share of each batch; the first of them
     * alone writes files. All of them must find the checkpoint that they resume from. */
    const tn_group *group;
} tn_plan_options;

typedef struct tn_plan_result {
    size_t struct_size;                             /* set by the caller */
    int64_t train_rows, validation_rows, test_rows; /* that took part */
    int64_t epochs, best_epoch;                     /* done; whose weights were kept */
    int64_t steps, parameters;                      /* numbers in all parameters */
    bool resumed, stopped_early;
    double loss, validation; /* of the best epoch; NaN: none */
} tn_plan_result;

/* Reads the data, fits pipeline and model, measures it, writes the model file. options and out_result may be NULL. */
TN_API tn_status tn_plan_train(tn_plan *plan, const tn_plan_options *options, tn_plan_result *out_result);

#ifdef __cplusplus
}
#endif
#endif
