/* Ensembles inside the library. See tenon/ensemble.h.
 *
 *     YAML -> tn_ensemble (file.c) -> members (members.c) -> fitted (fit.c, stack.c, folds.c) and measured (measure.c)
 *          -> one graph (compile.c, cascade.c) -> its manifest (describe.c) */
#ifndef TN_ENSEMBLE_H
#define TN_ENSEMBLE_H

#include <stdatomic.h>
#include <tenon/ensemble.h>
#include "graph/splice.h"
#include "eval/evaluation.h"
#include "model/manifest.h"

#define TN_MOST_MEMBERS 256

/* A member's graph belongs to the ensemble and to each graph that was made of it. */
typedef struct tn_shared_graph {
    atomic_int owners;
    tn_graph *graph;
} tn_shared_graph;

typedef struct tn_member {
    const char *name, *path, *output;
    bool logits;
    double weight, threshold; /* as given: 0 where nothing was */
    tn_shared_graph *shared;  /* NULL: not opened yet */
    int answer;               /* which output */
    int rank;                 /* of it: 1 or 2 */
    int64_t width;            /* its columns; 1 where rank is 1 */
} tn_member;

enum { TN_ABOUT_NAME, TN_ABOUT_VERSION, TN_ABOUT_TITLE, TN_ABOUT_DESCRIPTION, TN_ABOUT_LICENCE, TN_ABOUTS };
extern const char *const tn_about_keys[];

struct tn_ensemble {
    tn_region *region;
    tn_ensemble_kind kind;
    tn_member *members;
    int count, capacity;
    bool checked; /* that members fit each other */
    const char *about[TN_ABOUTS];
    const char *folder, *output;
    /* rows to fit on, as YAML has it */
    const char *data, *separator, *decimal;
    bool no_header;
    int rows;
    int64_t steps, folds;
    tn_ensemble_fit_options fit;
    /* of a stack: [features, outputs] and [outputs], once it is fitted */
    tn_tensor *matrix, *bias;
    bool classes;
    bool fitted;
};

/* ---- members.c ---- */

/* Opens what is not open yet, and sees that the members fit each other. */
tn_status tn_members_open(tn_ensemble *e);
tn_status tn_member_put(tn_ensemble *e, const tn_ensemble_member *member, const char *path, tn_member **out);
/* `graph` uses what is in the member's. */
tn_status tn_member_lend(tn_member *member, tn_graph *graph);
/* Its part of all weights. */
double tn_member_part(const tn_ensemble *e, int index);
double tn_member_threshold(const tn_member *member);

/* ---- compile.c ---- */

/* Where the graph of an ensemble is made. */
typedef struct tn_compile {
    tn_ensemble *e;
    tn_graph *root;
    tn_region *scratch;
    tn_constant_pool pool;
    tn_type *inputs; /* of the ensemble, in the dims of root */
    int input_count;
    int *values; /* of root, for them */
} tn_compile;

/* The answers of all members side by side, [N, all their columns], as a graph of its own. */
tn_status tn_ensemble_answers(tn_ensemble *e, tn_graph **out_graph);
/* A member's nodes in `graph`, and its answer: probabilities, or numbers. rows: the inputs' first dim is any, not the
 * ensemble's. */
tn_status tn_compile_member(tn_compile *c, tn_graph *graph, int member, const int *inputs, bool any_rows, int *answer);
/* A node of one output, named after the ensemble. */
tn_status tn_compile_node(tn_graph *graph, const char *op, int in_count, const int *in, const tn_attribute *attributes,
                          int *out);
tn_status tn_compile_constant(tn_compile *c, tn_graph *graph, tn_dtype dtype, int rank, const int64_t *dims,
                              const void *data, int *out);

/* ---- cascade.c ---- */

tn_status tn_compile_cascade(tn_compile *c, int *out);

/* ---- measure.c ---- */

/* What is fitted on: answers [rows, columns], those of member m from first[m] on; the target as classes or as numbers. */
typedef struct tn_fitting {
    tn_ensemble *e;
    const tn_tensor *answers, *target;
    tn_tensor *made; /* the answers, if they are not the caller's */
    int64_t rows, columns;
    int64_t first[TN_MOST_MEMBERS];
    const int64_t *labels; /* NULL: numbers */
    const float *numbers;
    int64_t outputs; /* classes, or numbers a row */
    tn_region *region;
} tn_fitting;

const float *tn_fitting_answer(const tn_fitting *f, int member, int64_t row);
/* A member's class, and the probability that a cascade asks for. */
int64_t tn_fitting_greatest(const tn_fitting *f, int member, int64_t row);
float tn_fitting_confidence(const tn_fitting *f, int member, int64_t row);
tn_status tn_fitting_measure(const tn_fitting *f, tn_ensemble_fit_result *out);

/* ---- run.c ---- */

/* The rows to fit on as the pipeline of a member's file makes them ready, and the target in its own unit. */
tn_status tn_ensemble_rows(tn_ensemble *e, int threads, tn_evaluation **out);

/* ---- folds.c ---- */

/* Fits on what the members' models of folds answer for the rows that those have not seen. all: tn_ensemble_rows. */
tn_status tn_folds_fit(tn_ensemble *e, const tn_evaluation *all, const tn_ensemble_fit_options *options,
                       tn_ensemble_fit_result *out);

/* ---- stack.c ---- */

tn_status tn_stack_fit(tn_ensemble *e, const tn_tensor *answers, const tn_tensor *target, int64_t outputs,
                       const tn_ensemble_fit_options *options);

/* ---- describe.c ---- */

/* Sees that the members' files say the same; the manifest of the ensemble, for the names of `graph`. */
tn_status tn_ensemble_describe(tn_ensemble *e, tn_graph *graph);

#endif
