/* Ensembles: several models that answer as one, compiled to one graph that runs and ships as one model.
 *
 *     tn_ensemble_create(TN_ENSEMBLE_AVERAGE, &e);
 *     tn_ensemble_add_file(e, "a.tenon", NULL);
 *     tn_ensemble_add_file(e, "b.onnx", &(tn_ensemble_member){.struct_size = sizeof(tn_ensemble_member), .logits = true});
 *     tn_ensemble_fit(e, x, labels, NULL, NULL);           // weights, on rows that no member was trained on
 *     tn_ensemble_graph(e, &graph);                        // tn_graph_save, tn_graph_save_onnx, tn_model_from_graph
 *     tn_ensemble_destroy(e);                              // the graph lives on by itself
 *
 * Members are models of the same question. One of their outputs is their answer: of C classes, probabilities [N, C], or [N, 1]
 * of class 1; or numbers [N] or [N, D]. Members are float32 and give answers of one shape (of stacking, of any width). The
 * first member's inputs are the ensemble's: each other member has inputs of the same names, types and shapes, some of them
 * at least; where all have one input, its name does not matter. A dim that one member fixes is fixed for all.
 *
 *   average    the weighted mean of the answers: of probabilities what is called soft voting (scikit-learn's
 *              VotingClassifier and VotingRegressor), of checkpoints of one training a snapshot ensemble (Huang et al., 2017)
 *   vote       the weighted share of the members whose greatest probability a class has: hard voting; of equal shares the
 *              first class is the greatest. Of [N, 1] a member votes for class 1 from 1/2 on
 *   stack      a linear model of all answers side by side, with softmax behind it where the target is classes (Wolpert,
 *              "Stacked Generalization", 1992); it must be fitted, on held-out rows or on out-of-fold answers
 *   cascade    the first member answers; rows whose greatest probability is below its threshold go to the next, and those
 *              alone: the others cost nothing more. Batches may mix both
 *
 * In the graph a member's values and nodes are called NAME/..., the answer as the first member's. Constants with the same type
 * and bytes are there once. Cascades have If nodes; all operators are ONNX's, so that ONNX Runtime runs what is exported.
 *
 * What the members' files say of themselves must agree: the same classes, and the same fitted pipeline (tenon/pipeline.h),
 * if they have any; both go along into the ensemble's manifest, with the members' digests, so that tenon/evaluate.h takes
 * it with raw columns.
 *
 * Thread-safety: an ensemble belongs to one thread at a time. */
#ifndef TENON_ENSEMBLE_H
#define TENON_ENSEMBLE_H

#include <tenon/evaluate.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_ensemble tn_ensemble;

typedef enum tn_ensemble_kind {
    TN_ENSEMBLE_AVERAGE = 0,
    TN_ENSEMBLE_VOTE = 1,
    TN_ENSEMBLE_STACK = 2,
    TN_ENSEMBLE_CASCADE = 3
} tn_ensemble_kind;

/* All zero but struct_size is the default. */
typedef struct tn_ensemble_member {
    size_t struct_size;
    const char *name;   /* NULL: of the file without its ending; a number is added where two are the same */
    const char *output; /* the answer; NULL: output 0 */
    bool logits;        /* it is scores before softmax (of [N, 1]: sigmoid), which is put behind it */
    double weight;      /* of average and vote, relative to the others; 0: 1; -1: none */
    double threshold;   /* of a cascade, but for the last member; 0: 0.9, or as it is fitted */
} tn_ensemble_member;

TN_API tn_status tn_ensemble_create(tn_ensemble_kind kind, tn_ensemble **out_ensemble);
TN_API void tn_ensemble_destroy(tn_ensemble *ensemble); /* accepts NULL */
/* Takes the graph over, also on failure; member->name is needed. */
TN_API tn_status tn_ensemble_add(tn_ensemble *ensemble, tn_graph *graph, const tn_ensemble_member *member);
/* An .onnx or .tenon. member may be NULL. */
TN_API tn_status tn_ensemble_add_file(tn_ensemble *ensemble, const char *path, const tn_ensemble_member *member);
/* "name", "version", "title", "description", "licence" of the manifest: "ensemble" and 0.1.0 without it. */
TN_API tn_status tn_ensemble_set(tn_ensemble *ensemble, const char *key, const char *text);

/* All zero but struct_size is the default. */
typedef struct tn_ensemble_fit_options {
    size_t struct_size;
    int threads;
    /* Of a stack: what is added to the sum of the rows' losses is decay / 2 times the sum of all squared weights; 0: 1. For
     * classes scikit-learn's LogisticRegression has C = 1 / decay; numbers count as scaled to mean 0 and deviation 1. */
    double decay;
    double max_drop; /* of a cascade: by how much its accuracy may be below the last member's */
    int steps;       /* of a stack: of Adam, with all rows at each; 0: 2000 */
    int folds;       /* of tn_ensemble_run; see below */
} tn_ensemble_fit_options;

typedef struct tn_ensemble_fit_result {
    size_t struct_size; /* set by the caller */
    int64_t rows;
    double loss;      /* of the fitted ensemble on these rows: mean -ln p of the true class, or mean squared error */
    double accuracy;  /* on these rows, where the target is classes; else NaN */
    double best;      /* the best member's, likewise: accuracy, or mean squared error */
    double passed_on; /* of a cascade: the part of the rows that the last member answers */
} tn_ensemble_fit_result;

/* Fits what there is to fit, on rows x [N, ...] float32 that no member has seen in training, and their target: classes int64
 * [N], or float32 [N] or [N, D]. Members have one input.
 *
 * average: the weights with the least loss, none below 0, by expectation maximisation (Dempster et al., 1977: the members as a
 * mixture) for classes, by steps that are the best between two members for numbers. vote: of classes the same weights.
 * stack: the linear model, by tn_trainer. cascade of two: the least threshold that keeps to max_drop, which sends the fewest
 * rows on. The same rows give the same bits. options and out_result may be NULL. */
TN_API tn_status tn_ensemble_fit(tn_ensemble *ensemble, const tn_tensor *x, const tn_tensor *target,
                                 const tn_ensemble_fit_options *options, tn_ensemble_fit_result *out_result);

/* The same with the members' answers as they are: [N, all their columns] float32, side by side in the order of the members,
 * probabilities also of members with logits. So answers may come from models that stand in for the members, as those of a
 * cross-validation. */
TN_API tn_status tn_ensemble_fit_answers(tn_ensemble *ensemble, const tn_tensor *answers, const tn_tensor *target,
                                         const tn_ensemble_fit_options *options, tn_ensemble_fit_result *out_result);

TN_API int tn_ensemble_count(const tn_ensemble *ensemble);
/* Of member `index`: its name, the ensemble's; weight as a part of all weights; threshold. Any of them may be NULL. */
TN_API tn_status tn_ensemble_member_at(const tn_ensemble *ensemble, int index, const char **out_name,
                                       double *out_weight, double *out_threshold);
/* The one graph, with its manifest. Destroy it with tn_graph_destroy; the ensemble may go before. */
TN_API tn_status tn_ensemble_graph(tn_ensemble *ensemble, tn_graph **out_graph);

/* An ensemble as YAML says it:
 *
 *     name: cancer                       # of the model, as version, title, description, licence: tenon/manifest.h
 *     version: 1.0.0
 *     method: average                    # vote, stack, cascade
 *     members:
 *       - file: a.tenon                  # beside this file, or an absolute path
 *       - file: b.onnx
 *         name: second
 *         output: probabilities
 *         logits: true
 *         weight: 2
 *         threshold: 0.9                 # of a cascade
 *     fit:                               # may be left out, but for stack
 *       data: held-out.csv               # raw columns, for the pipeline in the members' files; with separator, decimal
 *       rows: all                        # or training or testing of the pipeline's split of this file
 *       decay: 1
 *       max_drop: 0
 *       steps: 2000
 *       folds: 5                         # data are the rows that the members were trained on: see below
 *     output: cancer.tenon               # beside this file; NAME.tenon without it; or an .onnx
 *
 * folds: no rows need to be held out. Each member was trained on all rows of `data` by a plan without split, or with one of
 * `test: 0`, which says how folds are drawn (by: group keeps the rows of a group in one fold), and once more for
 * each fold of a cross-validation (`tenon train PLAN --folds 5`, tn_plan_set_fold), which left MEMBER.fold-K.tenon beside it.
 * For each row answers that member's model that has not seen it, and on these answers the ensemble is fitted and measured: what
 * scikit-learn's StackingClassifier and StackingRegressor do with cv=5. By time a fold comes after all that its models were
 * trained on; the first of the N + 1 parts is no fold's, and its rows take no part in the fit. The members go into the
 * ensemble. Models of another number of folds, of other data, or of folds that the members do not share are refused.
 *
 * What is not above is refused with its line. The members are not looked at before tn_ensemble_run or the first call that needs
 * them. A library built without libyaml answers TN_E_UNSUPPORTED. */
TN_API tn_status tn_ensemble_load(const char *path, tn_ensemble **out_ensemble);
/* Paths in it are beside `folder` (NULL: where the process is). */
TN_API tn_status tn_ensemble_parse(const char *text, size_t size, const char *folder, tn_ensemble **out_ensemble);
/* Where it will be written; NULL if it was not read from YAML and nothing was set. */
TN_API const char *tn_ensemble_output(const tn_ensemble *ensemble);
/* Another place, from where the process is: an .onnx or .tenon. */
TN_API tn_status tn_ensemble_set_output(tn_ensemble *ensemble, const char *path);
/* Rows to fit on, from where the process is. */
TN_API tn_status tn_ensemble_set_data(tn_ensemble *ensemble, const char *path, const tn_csv_options *csv, tn_rows rows,
                                      const tn_ensemble_fit_options *options);
/* Fits it if there are data to fit on, compiles it and writes it: a .tenon with manifest and self-test, or an .onnx. out_result
 * may be NULL; without data its rows are 0. */
TN_API tn_status tn_ensemble_run(tn_ensemble *ensemble, int threads, tn_ensemble_fit_result *out_result);

#ifdef __cplusplus
}
#endif
#endif
