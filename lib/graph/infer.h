/* Inference of one node, for those that build or run graphs. */
#ifndef TN_INFER_H
#define TN_INFER_H

#include "graph/op.h"

/* Fails unless the node has as many inputs and outputs as its operator takes, the required ones present. */
tn_status tn_op_check_arity(const tn_node *node);
/* Infers one node's outputs in its graph, its bodies included. The sentence does not name the node. */
tn_status tn_graph_infer_node(tn_graph *graph, const tn_node *node);

#endif
