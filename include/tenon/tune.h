/* Tuning: parameters are drawn, tried, and drawn better by what was found. A study asks and is told:
 *
 *     const tn_study_options o = {.struct_size = sizeof o, .seed = 7};
 *     tn_study_create(&o, &study);
 *     tn_study_add_float(study, "rate", 1e-4, 1e-1, 0, true);                        // by its logarithm
 *     tn_study_add_int(study, "units", 16, 128, 16, false);
 *     tn_study_add_choice(study, "activation", (const char *[]){"relu", "tanh"}, 2);
 *     tn_study_add_objective(study, "loss", false);                                  // the least is the best
 *     tn_study_open(study, "press.study");                                           // or NULL: in memory alone
 *     while (tn_study_count(study) < 100) {
 *         tn_study_ask(study, &number);
 *         tn_study_value(study, number, "rate", &rate);  ...
 *         tn_study_tell(study, number, &(double){loss_with(rate, ...)}, 1);
 *     }
 *     tn_study_best(study, &number);
 *
 * Samplers. TN_SAMPLER_RANDOM draws evenly. TN_SAMPLER_TPE is the tree-structured Parzen estimator (Bergstra et al.,
 * "Algorithms for Hyper-Parameter Optimization", 2011): after `startup` random trials, the best ceil(n / 10) of n
 * trials (with one objective 25 at most) make a density l, the others g, mixtures of truncated normals with a prior of
 * weight 1; of `candidates` draws from l the one with the greatest l / g is tried. The joint density of all parameters
 * without a condition is used where there is one objective (multivariate: Falkner et al., "BOHB", 2018), each
 * parameter's own where there are more. Bandwidths are distances to neighbours, at least range / min(100, n + 2);
 * trials older than the newest 25 weigh less, but not among the best where there are several objectives. With several
 * objectives the best are those of the first non-dominated fronts (Deb et al., "NSGA-II", 2002), the last front by its
 * crowding distance. Trials that run count among the others, so that parallel ones are not drawn alike.
 *
 * Halving (ASHA: Li et al., "A System for Massively Parallel Hyperparameter Tuning", 2018): a trial reports what it has reached
 * after so many epochs, or whatever its resource is. At each rung, first, first * reduction, first * reduction^2..., it goes on
 * if it is among the best 1 / reduction of those that came there, or the best while they are fewer than `reduction`. Else it
 * ends as pruned: for good, or with `promote` until those that come to the rung after it make it one of the best. Then it goes
 * on from where it was, before a new trial is begun; of several the one that came farthest, and of these the best:
 *
 *     while (tn_study_promote(study, &number) == TN_OK ||
 *            (tn_study_end(study) < 100 && tn_study_ask(study, &number) == TN_OK)) {
 *         tn_study_trial(study, number, &trial);       // trial.rungs > 0: one that goes on
 *         ...
 *     }
 *
 * The same seed, space and values told give the same trials on one machine's library, where one trial runs at a time. The
 * file of a study is text, a line a finished trial (with `promote` also one for each rung), in JSON, flushed to the disk
 * before tn_study_tell returns. A process that is killed loses the trials that run, which are asked for again; a last line
 * that is torn is dropped. The first line has all that trials hang on, and a file of another study is refused. One process
 * at a time has it open.
 *
 * Thread-safety: once a study is open, any number of threads may use it. Before, it belongs to one. */
#ifndef TENON_TUNE_H
#define TENON_TUNE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tenon/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_study tn_study;

typedef enum tn_sampler { TN_SAMPLER_TPE = 0, TN_SAMPLER_RANDOM = 1 } tn_sampler;
typedef enum tn_joint { TN_JOINT_AUTO = 0, TN_JOINT_ALL = 1, TN_JOINT_EACH = 2 } tn_joint;

/* All zero but struct_size is the default; what is 0 has the default in brackets. */
typedef struct tn_study_options {
    size_t struct_size;
    uint64_t seed;
    tn_sampler sampler;
    tn_joint joint;      /* of TPE: whether densities are joint ones */
    int startup;         /* [10] random trials before the first of TPE */
    int candidates;      /* [24] */
    int64_t first;       /* [none] resource of the first rung; 0: no halving */
    int64_t reduction;   /* [4] */
    const char *subject; /* [""] what is tuned: a file of another subject is refused */
    bool promote;        /* trials that are pruned wait, and may go on */
} tn_study_options;

TN_API tn_status tn_study_create(const tn_study_options *options, tn_study **out_study);
TN_API void tn_study_destroy(tn_study *study); /* accepts NULL; the file stays */

/* Names are UTF-8, each once. step 0: any number between low and high (of integers 1); else low, low + step... to high. By
 * its logarithm a parameter is above 0 and has no step. Up to 256 parameters and 4096 choices of each. */
TN_API tn_status tn_study_add_float(tn_study *study, const char *name, double low, double high, double step,
                                    bool logarithm);
TN_API tn_status tn_study_add_int(tn_study *study, const char *name, int64_t low, int64_t high, int64_t step,
                                  bool logarithm);
TN_API tn_status tn_study_add_choice(tn_study *study, const char *name, const char *const *choices, int count);
/* The parameter takes part only where `other`, a choice that was added before it, is `choice`. */
TN_API tn_status tn_study_add_condition(tn_study *study, const char *name, const char *other, const char *choice);
/* Up to 8. Without any there is one, "value", the less the better. */
TN_API tn_status tn_study_add_objective(tn_study *study, const char *name, bool maximize);

/* Ends the adding. With a path: begins the file, or goes on with it. TN_E_STATE if another process has it open. */
TN_API tn_status tn_study_open(tn_study *study, const char *path);

typedef enum tn_trial_state {
    TN_TRIAL_RUNNING = 0,
    TN_TRIAL_COMPLETE = 1,
    TN_TRIAL_PRUNED = 2, /* at a rung; with `promote` it waits there */
    TN_TRIAL_FAILED = 3  /* tells nothing about its parameters to those that follow */
} tn_trial_state;

/* A trial to run, and its number, from 0 on. */
TN_API tn_status tn_study_ask(tn_study *study, int64_t *out_number);
/* What a parameter is in a trial; TN_E_NOT_FOUND if it takes no part. Of a choice it is the index. */
TN_API tn_status tn_study_value(tn_study *study, int64_t number, const char *name, double *out_value);
/* The text of a choice, the study's. */
TN_API tn_status tn_study_text(tn_study *study, int64_t number, const char *name, const char **out_text);
/* How it ends: with a value for each objective (one that is not finite: it failed), without, or at a rung. */
TN_API tn_status tn_study_tell(tn_study *study, int64_t number, const double *values, int count);
TN_API tn_status tn_study_fail(tn_study *study, int64_t number, const char *sentence);
/* What a running trial has reached; the less the better unless `maximize`, the same for all trials. *out_prune: it is not
 * worth going on, and the trial has ended as pruned. With `promote` it is also set where another trial that waits comes
 * first. */
TN_API tn_status tn_study_report(tn_study *study, int64_t number, int64_t resource, double value, bool maximize,
                                 bool *out_prune);
/* With `promote`: the next of the trials that wait which may go on, running again. What it reports of rungs that it has reached
 * does not count, so that one that cannot go on from where it was may be run again as a whole. TN_E_NOT_FOUND: there is
 * none. */
TN_API tn_status tn_study_promote(tn_study *study, int64_t *out_number);

typedef struct tn_trial {
    size_t struct_size; /* set by the caller */
    tn_trial_state state;
    const double *parameters; /* in the order of adding; of a choice its index; NaN: takes no part */
    const double *values;     /* of a complete trial, an objective each; else NULL */
    int rungs;                /* reached */
    double reported;          /* at the last of them; NaN: none */
    const char *sentence;     /* why it failed; else NULL */
} tn_trial;
/* Pointers are the study's. TN_E_NOT_FOUND: there is none, or a file had the trials around it but not this one. */
TN_API tn_status tn_study_trial(tn_study *study, int64_t number, tn_trial *out_trial);
/* Trials that have ended; one more than the greatest number asked for. */
TN_API int64_t tn_study_count(tn_study *study);
TN_API int64_t tn_study_end(tn_study *study);

/* The complete trial with the best value of the first objective, the earliest of equals; TN_E_NOT_FOUND: there is none. */
TN_API tn_status tn_study_best(tn_study *study, int64_t *out_number);
/* Complete trials that no other is better than in one objective and as good as in all, by their numbers: the first
 * `capacity` of them; *out_count is how many there are. */
TN_API tn_status tn_study_pareto(tn_study *study, size_t capacity, int64_t *out_numbers, size_t *out_count);
/* How much a parameter decides about being among the best tenth of an objective: shares that sum up to 1, in the order of
 * adding (Watanabe, Bansal, Hutter, "PED-ANOVA", 2023). `out_shares` has room for all. Fails below 10 complete trials. */
TN_API tn_status tn_study_importance(tn_study *study, int objective, double *out_shares);

typedef enum tn_parameter_kind {
    TN_PARAMETER_FLOAT = 0,
    TN_PARAMETER_INT = 1,
    TN_PARAMETER_CHOICE = 2
} tn_parameter_kind;

typedef struct tn_parameter {
    size_t struct_size; /* set by the caller */
    const char *name;
    tn_parameter_kind kind;
    double low, high, step; /* of a choice 0 to count - 1 */
    bool logarithm;
    int count;
    const char *const *choices;
} tn_parameter;
/* TN_E_NOT_FOUND past the last. */
TN_API tn_status tn_study_parameter(tn_study *study, int index, tn_parameter *out_parameter);
TN_API tn_status tn_study_objective(tn_study *study, int index, const char **out_name, bool *out_maximize);

/* ---- plans ----
 *
 * A study of a plan (tenon/plan.h), in YAML:
 *
 *     plan: digits.yaml                # beside this file; or the plan itself, as a map
 *     name: digits                     # of the files made; the plan's without it
 *     study: digits.study              # the file of the study; NAME.study without it
 *     trials: 50
 *     jobs: 1                          # trials at once
 *     seed: 0
 *     sampler: {kind: tpe, joint: auto, startup: 10, candidates: 24}   # kind: tpe or random; joint: auto, all or each
 *     halving: {first: 1, reduction: 4, promote: true}                 # in epochs, by the validation loss; none without it
 *     objectives: [accuracy, latency, size]
 *     space:                           # keys of the plan, with dots between; numbers count the entries of a list from 0
 *       train.optimizer.rate: {log: [1e-4, 1e-1]}
 *       train.optimizer.kind: {choose: [adamw, sgd]}
 *       train.optimizer.momentum: {float: [0.5, 0.99], where: {train.optimizer.kind: sgd}}
 *       train.batch: {log_int: [8, 128]}
 *       model.layers.0.dense: {int: [16, 128], step: 16}
 *       model.layers.1: {choose: [{dropout: 0.2}, {norm: batch}]}
 *       compress: {choose: [[], [{quantize: {calibration: best}}], [{prune: {sparsity: 0.5}}, {half: {type: float16}}]]}
 *
 * What is chosen may be maps or lists, such as all layers. A parameter that takes no part leaves the plan as it is.
 *
 * Objectives are metrics of tenon/metrics.h, or loss, both on the plan's rows for validation, so that the rows for testing
 * stay unseen; latency: milliseconds of one row through the model file, the median of 50 runs on one thread, while no other
 * trial computes; size: bytes of the model file. All but loss are of the compressed model, where a plan compresses.
 *
 * Halving looks at the validation loss; what has come to its last epoch is complete. A trial that waits has a checkpoint,
 * NAME.N.tenon.checkpoint, which it goes on from bit for bit; these are there until the study is at its end, when all trials
 * are begun and none that waits may go on. Without one, as in a study that is given more trials later, it is trained anew.
 * `promote: false` stops trials for good and keeps nothing of them.
 *
 * With one objective the best trial's NAME.N.yaml and NAME.N.tenon stay beside the study, with more those of the front;
 * `tenon train NAME.N.yaml` makes the same model again. A trial that cannot be trained fails and the study goes on, unless
 * all of the first ten do. */
typedef struct tn_tuning tn_tuning;

/* Reads the plan as well, and tries whether what the space names is there. Paths begin in `folder` (NULL: where the process
 * is). */
TN_API tn_status tn_tuning_load(const char *path, tn_tuning **out_tuning);
TN_API tn_status tn_tuning_parse(const char *text, size_t size, const char *folder, tn_tuning **out_tuning);
TN_API void tn_tuning_destroy(tn_tuning *tuning); /* accepts NULL */

typedef struct tn_tuning_progress {
    size_t struct_size;
    int64_t done, trials; /* that have ended, of those wanted */
    int64_t trial;        /* that this is about */
    tn_trial_state state;
    int64_t epoch, epochs; /* of it, while it runs */
    const char *sentence;  /* why it failed */
} tn_tuning_progress;

/* All zero but struct_size is the default: as the study says. */
typedef struct tn_tuning_options {
    size_t struct_size;
    int64_t trials;
    int jobs;
    const char *cpu;
    /* After each step of training and at the end of each trial, from one thread at a time; false stops the study with
     * TN_E_INTERRUPTED. It goes on when it is run again. */
    bool (*progress)(void *context, const tn_tuning_progress *progress);
    void *context;
} tn_tuning_options;

/* Until as many trials as wanted have ended, those in the study's file included. options may be NULL. */
TN_API tn_status tn_tuning_run(tn_tuning *tuning, const tn_tuning_options *options);
/* The tuning's; open once tn_tuning_run was called. */
TN_API tn_study *tn_tuning_study(tn_tuning *tuning);
/* Where a trial's model ("tenon") or plan ("yaml") is, if it stayed. The text is the tuning's; NULL: no memory. */
TN_API const char *tn_tuning_path(tn_tuning *tuning, int64_t number, const char *kind);

#ifdef __cplusplus
}
#endif
#endif
