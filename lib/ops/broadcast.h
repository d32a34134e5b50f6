/* Numpy's broadcasting as loops over runs: what every operator of two or three elementwise inputs walks with.
 *
 * A plan merges neighbouring dims that all inputs treat alike ([2, 3, 4] with [3, 4] is one loop of 2 and one of 12),
 * so that few long runs are left; in the innermost dim an input's step is 1, or 0 where it repeats. The walk hands out
 * strips: `rows` rows of n output elements that follow each other. */
#ifndef TN_BROADCAST_H
#define TN_BROADCAST_H

#include "ops/elements.h"

#define TN_BROADCAST_INPUTS 3

typedef struct tn_broadcast {
    int inputs, rank;     /* rank is 1 at least */
    tn_elements elements; /* of the output */
    int64_t inner;        /* dims[rank - 1] */
    int64_t dims[TN_MAX_RANK];
    int64_t strides[TN_BROADCAST_INPUTS][TN_MAX_RANK]; /* in elements */
} tn_broadcast;

/* Of each input: the strip's first element, the distance of its rows, and its step within a row, 0 or 1. */
typedef struct tn_strip {
    int64_t first;
    size_t row, step;
} tn_strip;

typedef void (*tn_strip_fn)(void *context, int64_t out_first, size_t rows, size_t n, const tn_strip *in);

/* The inputs' shapes must broadcast to the output's (infer has seen to it); all are concrete. */
void tn_broadcast_plan(tn_broadcast *plan, int inputs, const tn_type *const *in, const tn_type *out);
/* Output elements [first, last), on the caller. */
void tn_broadcast_walk(const tn_broadcast *plan, int64_t first, int64_t last, tn_strip_fn strip, void *context);
/* All of it, by tasks of `grain` elements: so many that one is worth handing to a thread. */
void tn_broadcast_run(const tn_broadcast *plan, tn_pool *pool, int64_t grain, tn_strip_fn strip, void *context);

#endif
