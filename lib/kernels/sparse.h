/* Products with sparse weights: Y[n, strip] = W[n, k] X[k, strip], float32, a strip of TN_SPARSE_STRIP columns.
 *
 * W is made of groups of 1 or TN_SPARSE_GROUP rows. Of each group the columns are listed in which any of its rows is not 0,
 * with the weights of all its rows. So each listed column costs one load of X for the whole group: sparse blocks of that many
 * rows cost less than single weights. An element's terms are added in order of the columns. */
#ifndef TN_SPARSE_H
#define TN_SPARSE_H

#include <stddef.h>
#include <stdint.h>

enum { TN_SPARSE_STRIP = 64, TN_SPARSE_GROUP = 4 };

typedef struct tn_sparse_f32 {
    size_t groups, group;  /* to be done; rows of each */
    const uint32_t *start; /* [groups + 1]: where each group's columns begin in `column` */
    const uint32_t *column;
    const float *value; /* [columns, group] */
    const float *x;     /* [k, TN_SPARSE_STRIP] */
    float *y;           /* [groups x group, TN_SPARSE_STRIP] */
} tn_sparse_f32;

#endif
