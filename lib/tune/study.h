/* Studies inside the library: a space of parameters, the trials so far, and who draws the next.
 *
 *     study.c (ask and tell) -> tpe.c (which trials are good) -> parzen.c (densities of them)
 *                            -> halving.c (rungs), pareto.c (fronts), file.c (what stays) */
#ifndef TN_STUDY_H
#define TN_STUDY_H

#include <math.h>
#include <pthread.h>
#include <tenon/tune.h>
#include "base/base.h"

#define TN_MOST_PARAMETERS 256
#define TN_MOST_CHOICES 4096
#define TN_MOST_OBJECTIVES 8
#define TN_MOST_TRIALS (1 << 20)
#define TN_MOST_RUNGS 40

typedef struct tn_dimension {
    const char *name;
    tn_parameter_kind kind;
    double low, high, step; /* step 0: continuous; of a choice 0, count - 1, 1 */
    bool logarithm;
    const char **choices;
    int count;
    int parent, choice; /* takes part where that parameter is that choice; -1: always */
} tn_dimension;

/* What a trial ended as never changes again, but for one that was pruned and goes on. */
typedef struct tn_try {
    int64_t number;
    tn_trial_state state;
    double *x; /* a dimension each, NaN: takes no part */
    double *values;
    int rungs;
    double reached[TN_MOST_RUNGS]; /* at each rung, the less the better */
    bool maximize;                 /* what was reported */
    const char *sentence;
} tn_try;

struct tn_study {
    tn_region *region;
    pthread_mutex_t lock;
    tn_study_options options;
    int dimension_count, objective_count;
    tn_dimension dimensions[TN_MOST_PARAMETERS];
    const char *objectives[TN_MOST_OBJECTIVES];
    bool maximize[TN_MOST_OBJECTIVES];
    bool open;
    tn_try **tries; /* by number; NULL: not asked for */
    int64_t end, capacity, ended;
    int file; /* -1: none */
    const char *path;
    bool broken; /* a line could not be written: the file may be torn */
};

/* ---- space.c, study.c ---- */

/* Whether a text may have the character: all that a file of a study has reads as YAML again. */
bool tn_study_takes(uint32_t code);

/* A trial under a number, running, with room for its parts. */
tn_status tn_study_place(tn_study *s, int64_t number, tn_try **out);
/* Whether dimension d takes part in a trial whose earlier dimensions are drawn. */
bool tn_takes_part(const tn_study *s, int d, const double *x);
/* The nearest number that the dimension can be. */
double tn_dimension_round(const tn_dimension *d, double x);
/* An objective's value, so that less is better. */
static inline double tn_loss_of(const tn_study *s, const tn_try *t, int objective) {
    return s->maximize[objective] ? -t->values[objective] : t->values[objective];
}

/* ---- tpe.c, parzen.c ---- */

/* Draws the dimensions of a trial, in order. */
tn_status tn_draw(const tn_study *s, tn_try *t, uint64_t *random);

/* A mixture of products of kernels, one a dimension: truncated normals, or tables of choices. */
typedef struct tn_kernel {
    double mu, sigma; /* in the dimension's logarithm, if it has one; of a choice mu is its index */
    double mass;      /* the logarithm of what is within the range */
} tn_kernel;
typedef struct tn_parzen {
    int count, kernels; /* the last kernel is the prior */
    const tn_dimension *const *dimensions;
    double *weights;  /* sum up to 1 */
    tn_kernel *parts; /* [count, kernels] */
} tn_parzen;

/* points: [n, count], oldest first; even: the old ones count as much. All is the region's, the dimensions the caller's. */
tn_status tn_parzen_make(tn_region *region, const tn_dimension *const *dimensions, int count, const double *points,
                         int n, bool even, tn_parzen *out);
void tn_parzen_draw(const tn_parzen *p, uint64_t *random, double *out);
/* The density's logarithm; scratch has room for the kernels. */
double tn_parzen_log(const tn_parzen *p, const double *x, double *scratch);

/* ---- halving.c, pareto.c ---- */

/* Whether the trial has come to its next rung; what it has reached is kept then. */
bool tn_halving_reach(const tn_study *s, tn_try *t, int64_t resource, double value);
/* Whether it is among the best 1 / reduction of those at its last rung, itself included; the best, while these are none. */
bool tn_halving_goes_on(const tn_study *s, const tn_try *t);
/* Of the trials that wait at a rung and may go on the one that came farthest, and of these the best; NULL: there is none. */
tn_try *tn_halving_next(const tn_study *s);
/* Orders complete trials from good to bad: by the objective, or by fronts and crowding. */
tn_status tn_order_by_fronts(const tn_study *s, tn_region *region, const tn_try **tries, int n);
bool tn_dominates(const tn_study *s, const tn_try *a, const tn_try *b);

/* ---- file.c ---- */

tn_status tn_study_file_open(tn_study *s, const char *path);
tn_status tn_study_file_add(tn_study *s, const tn_try *t);
void tn_study_file_close(tn_study *s);
/* The lines behind the first one, into the study; *out_whole: bytes of the lines that are whole. */
tn_status tn_study_read(tn_study *s, const char *text, size_t size, size_t *out_whole);

#endif
