/* A model's inside: the graph after its passes, its packed weights, and the kernels that they are packed for. */
#ifndef TN_MODEL_H
#define TN_MODEL_H

#include <tenon/session.h>
#include "exec/host.h"

struct tn_model {
    const tn_allocator *allocator;
    tn_graph *graph;
    tn_packs *packs;
    const tn_kernels *kernels;
};

/* The options with defaults where the caller's struct, which may be older and shorter or NULL, says nothing. */
tn_model_options tn_model_options_of(const tn_model_options *options);
/* The kernels that the options ask for; fails if there are none of that name here. */
tn_status tn_model_kernels(const tn_model_options *options, const tn_kernels **out_kernels);
/* Calls back while runs go on, behind each node of the model's graph that has run; NULL: no longer. An output that is bound,
 * and that tn_session_output then finds where it is bound to, is there for good once its node has run. */
void tn_session_watch(tn_session *session, void (*watch)(void *context, const tn_node *node), void *context);

/* Makes a model of a finished graph, which it takes over, also on failure. Runs no passes. */
tn_status tn_model_create(tn_graph *graph, const tn_model_options *options, tn_model **out_model);

#endif
