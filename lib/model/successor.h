/* Graphs that were made of another one: what they say of themselves. */
#ifndef TN_SUCCESSOR_H
#define TN_SUCCESSOR_H

#include "graph/graph.h"

typedef struct tn_measured {
    const char *name;
    double value; /* NaN and infinities are left out */
} tn_measured;

/* Gives the graph the parent's manifest: name, licence, inputs and outputs with units, provenance and `extra` (a pipeline) stay;
 * the version is the next minor one, `parent` the digest of the parent's file, `metrics` are these, on `samples` sets
 * of data (0: not said), and what was true of the parent alone is left out. Self-tests keep their inputs and get the outputs
 * of this graph. Nothing is done for a parent without a manifest, or in a library that does not read YAML. */
tn_status tn_graph_succeed(tn_graph *graph, const tn_graph *parent, int count, const tn_measured *measured,
                           const char *data, int64_t samples);

#endif
