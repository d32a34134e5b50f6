/* Blocks of attention, found to take heads out of: heads_find.c finds them, heads.c chooses and cuts. */
#ifndef TN_COMPRESS_HEADS_H
#define TN_COMPRESS_HEADS_H

#include <tenon/prune.h>
#include "compress/matrices.h"

/* A product with a constant matrix, or the part of one, and what tells its heads apart on the way to or from the core. Of Q, K
 * and V head h is columns first + h step to first + h step + each of the product; the output product reads all its rows. */
typedef struct tn_head_side {
    tn_linear linear;
    int bias_node, bias_in; /* what is added to it; -1: nothing */
    int heads;
    size_t first, step, each;
    int reshape, entry; /* node that has the heads as an axis, and which entry of its shape counts them; -1: none */
    int expand, merge;  /* Expand and Reshape that repeat heads of K or V for those of Q; -1: none */
    int repeats;        /* so many times */
    int packed;         /* value that holds the parts; -1: the product is of this side alone */
    int taker, part;    /* node that takes the part out of it, and which of its outputs that is */
    bool flat;          /* the heads are part of the axis that the taker cuts */
} tn_head_side;

/* What goes is a unit: a head, or where heads of Q share one of K and V, the group of them. */
typedef struct tn_head_block {
    int core, units;
    tn_head_side q, k, v, o;
    double *scores;
    bool *goes;
} tn_head_block;

/* Of a sorted and inferred graph whose shapes are settled. `options` says which are kept and who hears of those that stay. */
tn_status tn_heads_find(const tn_graph *graph, const tn_prune_heads_options *options, tn_region *region,
                        tn_head_block **out_blocks, int *out_count);

#endif
