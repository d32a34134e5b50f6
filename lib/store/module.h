/* Replacing a part of a graph by another graph: see tenon/upgrade.h. */
#ifndef TN_STORE_MODULE_H
#define TN_STORE_MODULE_H

#include "graph/graph.h"

/* The module's inputs are values of the graph by their names, and its outputs take the place of such values; nodes that
 * nothing needs any more go. The graph borrows the module's constants and attributes. On failure the graph is of no more
 * use. *out_added, *out_gone: nodes. */
tn_status tn_graph_put_module(tn_graph *graph, const tn_graph *module, int *out_added, int *out_gone);

#endif
