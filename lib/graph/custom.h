/* Finding operators, the host's own included. */
#ifndef TN_CUSTOM_H
#define TN_CUSTOM_H

#include <tenon/custom.h>
#include "graph/op.h"

/* The operator of that name: the host's own first, then Tenon's; NULL if there is none. */
const tn_op *tn_graph_find_op(const tn_graph *graph, const char *domain, const char *name);

/* The operator of "Relu" or "domain:Name"; graph: whose own operators count as well, or NULL. */
const tn_op *tn_op_find_qualified(const char *name, const tn_graph *graph);

#endif
