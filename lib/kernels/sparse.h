/* Products with sparse weights: Y[n, strip] = W[n, k] X[k, strip], float32, one or two strips of TN_SPARSE_STRIP columns.
 *
 * W is made of groups of 1 or TN_SPARSE_GROUP rows. Of each group the columns are listed in which any of its rows is not 0,
 * with the weights of all its rows. So each listed column costs one load of X for the whole group: sparse blocks of that many
 * rows cost less than single weights. Single weights cost a load for each multiplication, so what they load must be near: a
 * call takes a block of TN_SPARSE_BLOCK rows of X, which stay in the nearest cache while all groups go over them, and adds to
 * what the calls before it made. An element's terms are added in order of the columns. */
#ifndef TN_SPARSE_H
#define TN_SPARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TN_SPARSE_STRIP = 64, TN_SPARSE_GROUP = 4, TN_SPARSE_BLOCK = 64 };

typedef struct tn_sparse_f32 {
    size_t groups, group;  /* to be done; rows of each */
    const uint32_t *start; /* [groups + 1]: where each group's columns begin in `column` */
    const uint8_t *column; /* below TN_SPARSE_BLOCK */
    const float *value;    /* [columns, group] */
    const float *x;        /* [k, TN_SPARSE_STRIP] */
    float *y;              /* [groups x group, TN_SPARSE_STRIP] */
    size_t strips;         /* 1 or 2; the second one lies so many floats behind the first: */
    size_t x_next, y_next;
    bool add; /* to what y holds */
} tn_sparse_f32;

#endif
