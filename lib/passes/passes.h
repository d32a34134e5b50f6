/* Passes: each takes a graph and leaves a better one. The table in passes.c says which run and in what order. */
#ifndef TN_PASSES_H
#define TN_PASSES_H

#include "exec/model.h"

typedef struct tn_pass {
    const char *name;
    /* Adds to *changes how often it applied. The graph comes sorted, compact and with inferred types; the driver
     * makes it so again. */
    tn_status (*run)(tn_graph *graph, int *changes);
} tn_pass;

extern const tn_pass tn_passes[]; /* ends with a NULL name */

/* No pass but a must: makes each SequenceMap a Loop. The graph comes and stays sorted and inferred. */
tn_status tn_expand_sequence_maps(tn_graph *graph);

/* Runs them on the graph and on the bodies inside it, those left out that options->skip_passes names. */
tn_status tn_passes_run(tn_graph *graph, const tn_model_options *options);

/* Folds constants of a graph that goes into a file: what a file holds as a few numbers and a node does not become many.
 * half: but for weights in half precision, which become float32. */
tn_status tn_fold_to_store(tn_graph *graph, bool half, int *changes);

#endif
