/* What passes ask of a graph while they look for patterns. */
#ifndef TN_MATCH_H
#define TN_MATCH_H

#include "graph/op.h"

typedef struct tn_match {
    tn_graph *graph;
    tn_region *scratch; /* the pass's own, gone with it */
    int *uses;          /* how often each value is read; kept up to date by tn_match_recount */
    int capacity;
} tn_match;

tn_status tn_match_begin(tn_match *m, tn_graph *graph);
void tn_match_end(tn_match *m);
/* After a change, before the next question. */
tn_status tn_match_recount(tn_match *m);
/* Asks `visit` about every node that is alive, in order; it adds to *changes what it did. */
tn_status tn_match_each(tn_graph *graph, tn_status (*visit)(tn_match *m, int node, int *changes), int *changes);

/* The live node that writes `value`, if its operator is ai.onnx's `op`; NULL otherwise. */
tn_node *tn_match_producer(const tn_match *m, int value, const char *op);
/* Likewise, but only if nobody else reads the value. */
tn_node *tn_match_only(const tn_match *m, int value, const char *op);
/* The only live node that reads `value`, which is no graph output; NULL if there is no such node. */
tn_node *tn_match_reader(const tn_match *m, int value);
bool tn_match_is(const tn_node *node, const char *domain, const char *op);
/* A constant of one float32 element (any rank). */
bool tn_match_scalar(const tn_graph *graph, int value, float *out);
/* True if `value` is such a constant, within a relative 1e-3 of `expected`. */
bool tn_match_number(const tn_graph *graph, int value, float expected);
/* For a node of two inputs whose order does not matter: the other input if one is `value`; -1 otherwise. */
int tn_match_other(const tn_node *node, int value);
/* A float32 constant, dense; NULL otherwise. */
const tn_tensor *tn_match_floats(const tn_graph *graph, int value);
/* Whether a convolution pads its input, or might. */
bool tn_match_padded(const tn_node *conv);
const tn_type *tn_match_type(const tn_graph *graph, int value);
/* Tensors of one dtype whose shapes are equal for certain. */
bool tn_match_same_shape(const tn_type *a, const tn_type *b);
/* Adds a node that writes the values in `out` in place of the nodes that did: it stands where `at` stands, its inputs
 * known by then. Returns the index, or -1. */
int tn_match_replace(tn_match *m, int at, const tn_op *op, const char *name, int in_count, const int *in, int out_count,
                     const int *out);

#endif
