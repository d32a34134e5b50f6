/* Graphs put into another graph: its nodes become nodes of it, subgraphs and all.
 *
 * Nothing is copied that need not be: constants and attributes are those of the graph that they came from, which must live as
 * long as the one that they went to (tn_graph_keep). Equal constants are one. */
#ifndef TN_SPLICE_H
#define TN_SPLICE_H

#include "graph/graph.h"

/* Constants of a graph that is made of several: each with other contents than all others. */
typedef struct tn_constant_pool {
    tn_region *region;
    const tn_tensor **tensors;
    size_t count, capacity, shared; /* shared: how many were there already */
} tn_constant_pool;

/* The one in the pool that has the same type and bytes; NULL on failure. */
const tn_tensor *tn_constant_pool_find(tn_constant_pool *pool, const tn_tensor *tensor);
/* The value of `graph` that is this constant, which is made if there is none; -1 on failure. */
int tn_graph_share_constant(tn_graph *graph, tn_constant_pool *pool, const char *name, const tn_tensor *tensor);

typedef struct tn_splice {
    const char *prefix; /* of the names of values and nodes, with a '/' between */
    const int *inputs;  /* for each input of the graph the value of `to` that it is */
    int64_t
        *symbols; /* for each of the graph's symbols the dim that it is in `to`; 0: one of its own, made when needed */
    tn_constant_pool *pool;
} tn_splice;

/* `to` may be a body. outputs[i]: the value of `to` that output i of `from` is; there are from->output_count of them.
 * Operators of the host are refused. */
tn_status tn_graph_splice(tn_graph *to, const tn_graph *from, const tn_splice *splice, int *outputs);

#endif
