/* Export: a graph as ONNX's ModelProto.
 *
 * Idea: the graph's vocabulary is ONNX's already, so that a node is written as it stands. What is decided here is names
 * (each value needs one that no other in sight has), the lowest opset that has all that the nodes use (opset.c), and
 * where weights go: into the message, or outside of it, as a file beside the model or a section of a model file. */
#ifndef TN_EXPORT_H
#define TN_EXPORT_H

#include "graph/graph.h"
#include "import/names.h"
#include "import/pb_write.h"

#define TN_WEIGHT_ALIGNMENT 64
#define TN_MANIFEST_METADATA "tenon.manifest" /* the key of a manifest among an ONNX file's metadata */

/* Elements that lie outside of the message, each at a multiple of TN_WEIGHT_ALIGNMENT. */
typedef struct tn_weight {
    struct tn_weight *next;
    const tn_tensor *tensor;
    uint64_t offset;
    size_t bytes;
} tn_weight;

typedef struct tn_weights {
    tn_weight *first, **last;
    uint64_t bytes; /* of all, the gaps between included */
    tn_names known; /* by where their data are: what two tensors share is written once */
} tn_weights;

typedef struct tn_export_options {
    const char *location; /* of weights outside; NULL: all in the message */
    size_t outside_from;  /* tensors of at least so many bytes go there */
    bool bare;            /* without the manifest, which has a place of its own */
} tn_export_options;

/* Writes the graph to `out`, and lists in `weights` what goes outside; both may point into the graph. `scratch` holds the
 * list. */
tn_status tn_export_onnx(const tn_graph *graph, const tn_export_options *options, tn_region *scratch, tn_pb_out *out,
                         tn_weights *weights);
/* *out_copy is a graph to write in the place of this one, which must outlive it, if there is something that ONNX files have in
 * another form; else NULL. */
tn_status tn_export_widen(const tn_graph *graph, tn_graph **out_copy);
/* The bytes of the weights, gaps and all. */
void tn_weights_each(const tn_weights *weights, void (*write)(void *context, const void *data, size_t size),
                     void *context);

/* ---- among the files of lib/export ---- */

typedef struct tn_export_scope {
    const struct tn_export_scope *outer; /* of a subgraph */
    const tn_graph *graph;
    int owner;          /* of a subgraph: the node of outer->graph that has it */
    const char **names; /* a value's; NULL: nobody needs it */
    bool *written;      /* constants that this graph writes */
    tn_names taken;     /* names */
    tn_names constants; /* where contents are, to values */
} tn_export_scope;

typedef struct tn_domain {
    const char *name;
    int64_t version;
} tn_domain;

typedef struct tn_exporter {
    const tn_export_options *options;
    tn_region *scratch;
    tn_pb_out *out;
    tn_weights *weights;
    int64_t ir;
    bool first_ml; /* an operator of ai.onnx.ml is in the form of version 1 */
    int domain_count;
    tn_domain domains[64];
} tn_exporter;

/* names.c: every value that is written gets a name; and a name that nobody in sight has, as near to `wish` as can be. */
tn_status tn_export_names(tn_exporter *exporter, tn_export_scope *scope);
const char *tn_export_new_name(tn_exporter *exporter, tn_export_scope *scope, const char *wish);
/* opset.c: sets domains, opsets and the IR version to what the graph and its subgraphs need. */
tn_status tn_export_require(tn_exporter *exporter, const tn_graph *graph);
/* tensor.c: TensorProto, TypeProto, ValueInfoProto. */
tn_status tn_export_tensor(tn_exporter *exporter, uint32_t number, const tn_tensor *tensor, const char *name);
void tn_export_type(tn_exporter *exporter, uint32_t number, const tn_graph *graph, const tn_type *type, bool shape);
/* node.c */
tn_status tn_export_graph(tn_exporter *exporter, uint32_t number, tn_export_scope *scope);

#endif
