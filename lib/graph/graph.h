/* The graph: values, nodes, attributes, subgraphs. The vocabulary is ONNX's.
 *
 * A graph is a list of values (named, typed, each written once: an input, a constant or one node's output) and a list
 * of nodes in an order in which every value is written before it is read. Both are named by their index. A root graph
 * owns one region, in which it and its subgraphs live; nothing in it is freed alone.
 *
 * Subgraphs (bodies of If, Loop, Scan, SequenceMap) see outer values only through captures: the owning node lists the
 * outer value among its own inputs, after the operator's formal ones, and the body's capture says which of its values
 * stands for that input. So liveness, dead code and renaming need to look at node inputs alone. An outer constant is
 * not captured: it becomes a constant of the body that shares the data.
 *
 * After import, nodes are of one version of each operator: the newest that Tenon knows. lib/import lifts older ones. */
#ifndef TN_GRAPH_H
#define TN_GRAPH_H

#include "base/tensor.h"
#include <tenon/graph.h>

typedef struct tn_node tn_node;
typedef struct tn_op tn_op;

typedef enum tn_kind { TN_KIND_UNKNOWN, TN_KIND_TENSOR, TN_KIND_SEQUENCE, TN_KIND_OTHER /* maps, sparse */ } tn_kind;

/* What is known of a value. A dim is >= 0 where known, -1 where unknown, and -2 - s for symbol number s of the graph
 * ("batch"): equal symbols are equal dims. Of a sequence, dtype, rank and dims tell of its elements. */
typedef struct tn_type {
    tn_kind kind;
    bool optional;  /* an ONNX optional: may hold nothing */
    tn_dtype dtype; /* TN_UNDEFINED: unknown */
    int rank;       /* -1: unknown */
    int64_t dims[TN_MAX_RANK];
} tn_type;

typedef struct tn_attr {
    const char *name;
    tn_attr_kind kind;
    size_t count; /* of floats, ints, strings */
    union {
        float f;
        int64_t i;
        tn_string s; /* zero-terminated as well */
        const tn_tensor *t;
        tn_graph *g;
        const float *floats;
        const int64_t *ints;
        const tn_string *strings;
        const tn_type *type;
    };
} tn_attr;

struct tn_node {
    const tn_op *op;
    const char *name; /* "" if it has none */
    int in_count, out_count;
    int formal_in; /* inputs that the operator itself knows; those after them are captures of its bodies */
    int *in, *out; /* values; -1: absent */
    int attr_count;
    tn_attr *attrs;
    bool dead; /* removed by a pass; tn_graph_compact drops it */
};

typedef struct tn_graph_value {
    const char *name;
    tn_type type;
    const tn_tensor *constant; /* contents, if it is a constant */
    int producer;              /* node; -1: input, constant or capture */
} tn_graph_value;

typedef struct tn_capture {
    int node_input; /* index into the owning node's inputs */
    int value;      /* of this graph */
} tn_capture;

struct tn_graph {
    tn_region *region;
    tn_graph *root; /* itself, if it is the root */
    const char *name;
    tn_graph_value *values;
    int value_count, value_capacity;
    tn_node *nodes;
    int node_count, node_capacity;
    int *inputs, *outputs; /* values */
    int input_count, output_count, input_capacity, output_capacity;
    tn_type *declared; /* of the root only: what its file says of its outputs */
    int declared_count;
    tn_capture *captures;
    int capture_count, capture_capacity;
    const char **symbols; /* of the root only; all its subgraphs share them */
    int symbol_count, symbol_capacity;
    const char **metadata;                 /* of the root only: keys and values in turn */
    int metadata_count, metadata_capacity; /* of both */
    const char *manifest, *digest;         /* of the root only: of the model file that it came from, or NULL */
    tn_string self_test;                   /* likewise, its section; nothing in it was looked at yet */
    bool newer_manifest;                   /* that file is of a newer minor version than ours */
    tn_string weights;                     /* likewise; inflated, if need be */
    const uint8_t *weights_digest;         /* the SHA-256 that they must have; NULL: they were found right */
    tn_op *custom;                         /* of the root only: the host's operators */
    size_t custom_count;
    struct tn_keeper *keepers; /* of the root only: what to release with the graph, as file mappings */
    const tn_allocator *allocator;
    tn_allocator *bounded; /* of the root only: its allocator, if there is a limit */
};

/* `limit` is the most memory that the graph, and all that allocates from its allocator, may take; 0 for none. */
tn_status tn_graph_create_root(const tn_allocator *allocator, size_t limit, tn_graph **out_graph);
tn_graph *tn_graph_create_body(tn_graph *parent); /* NULL on failure */
/* A copy in which values and nodes have the same numbers. borrow: it shares the contents of constants, so the original must
 * outlive it. Fails on operators of the host, on subgraphs, and on strings. */
tn_status tn_graph_copy(const tn_graph *from, bool borrow, tn_graph **out_graph);
/* Calls release(pointer, size) when the root goes. On failure it has been called already. */
tn_status tn_graph_keep(tn_graph *graph, void (*release)(void *pointer, size_t size), void *pointer, size_t size);
/* Likewise for a file that is mapped to read. */
tn_status tn_graph_keep_file(tn_graph *graph, void (*release)(void *pointer, size_t size), void *pointer, size_t size);
/* If `data` lies in such a file: it is not needed soon, so its pages may go. They come back when they are read. */
void tn_graph_rest_file(const tn_graph *graph, const void *data, size_t bytes);

/* The following return an index, or -1 on failure. Names and types are copied. */
int tn_graph_add_value(tn_graph *graph, const char *name, const tn_type *type);        /* type NULL: unknown */
int tn_graph_add_constant(tn_graph *graph, const char *name, const tn_tensor *tensor); /* borrows tensor and data */
int tn_graph_add_node(tn_graph *graph, const tn_op *op, const char *name, int in_count, const int *in, int out_count,
                      const int *out);
int tn_graph_add_symbol(tn_graph *graph, const char *name); /* the existing one, if there is one by that name */
tn_status tn_graph_add_metadata(tn_graph *graph, const char *key, const char *value); /* copies */
tn_status tn_graph_add_input(tn_graph *graph, int value);
tn_status tn_graph_add_output(tn_graph *graph, int value);
/* Makes body see `outer` (a value of the graph that holds `node`): returns body's value, shared by repeated calls.
 * Constants are shared as constants, other values captured. */
int tn_graph_capture(tn_graph *graph, int node, tn_graph *body, int outer);

/* A dense tensor in the graph's region; data NULL: zeroed memory in the region as well. NULL on failure. */
tn_tensor *tn_graph_tensor(tn_graph *graph, tn_dtype dtype, int rank, const int64_t *dims, void *data);

/* Attributes. Setting replaces one of the same name; what it points to must live as long as the graph. */
tn_status tn_node_set_attr(tn_graph *graph, tn_node *node, const tn_attr *attr);
tn_status tn_node_set_int(tn_graph *graph, tn_node *node, const char *name, int64_t value);
tn_status tn_node_set_float(tn_graph *graph, tn_node *node, const char *name, float value);
tn_status tn_node_set_text(tn_graph *graph, tn_node *node, const char *name, const char *value);
tn_status tn_node_set_ints(tn_graph *graph, tn_node *node, const char *name, size_t count, const int64_t *values);
tn_status tn_node_set_floats(tn_graph *graph, tn_node *node, const char *name, size_t count, const float *values);
void tn_node_drop_attr(tn_node *node, const char *name);
const tn_attr *tn_node_attr(const tn_node *node, const char *name); /* NULL if absent */
/* The value, or the fallback if the attribute is absent or of another kind. */
int64_t tn_attr_int(const tn_node *node, const char *name, int64_t fallback);
float tn_attr_float(const tn_node *node, const char *name, float fallback);
const char *tn_attr_text(const tn_node *node, const char *name, const char *fallback);
const int64_t *tn_attr_ints(const tn_node *node, const char *name, size_t *out_count); /* NULL, 0 if absent */
/* Element i of an ints attribute, or the fallback. */
int64_t tn_attr_int_at(const tn_node *node, const char *name, int i, int64_t fallback);
const float *tn_attr_floats(const tn_node *node, const char *name, size_t *out_count); /* NULL, 0 if absent */
const tn_tensor *tn_attr_tensor(const tn_node *node, const char *name);
tn_graph *tn_attr_graph(const tn_node *node, const char *name);

/* Editing. Every pass works through these. */
void tn_graph_replace_uses(tn_graph *graph, int old_value, int new_value); /* in node inputs and graph outputs */
/* Makes whatever reads `old_value` read `new_value`. A graph output keeps its value and name: then new_value's producer
 * writes to old_value instead, or an Identity does. The producer of old_value must be marked dead before the graph is
 * compacted. */
tn_status tn_graph_redirect(tn_graph *graph, int old_value, int new_value);
/* Inserts an empty slot for a node before node `at`; indices from `at` on move up by one. */
tn_status tn_graph_insert_node(tn_graph *graph, int at, const tn_op *op, const char *name, int in_count, const int *in,
                               int out_count, const int *out);
tn_status tn_node_set_inputs(tn_graph *graph, tn_node *node, int count, const int *in); /* of nodes with no bodies */
/* How often each value is read by nodes and as a graph output: uses[value_count]. */
void tn_graph_count_uses(const tn_graph *graph, int *uses);
void tn_graph_compact(tn_graph *graph); /* drops dead nodes and sets producers anew */
/* Puts the nodes into an order in which values are written before they are read; fails on a cycle, naming a node. */
tn_status tn_graph_sort(tn_graph *graph);
/* Drops the nodes of a sorted graph whose outputs nobody reads; adds their number to *gone (may be NULL). */
tn_status tn_graph_drop_unused(tn_graph *graph, int *gone);

/* Types. */
void tn_type_unknown(tn_type *type);
void tn_type_tensor(tn_type *type, tn_dtype dtype, int rank, const int64_t *dims); /* rank -1: unknown */
bool tn_type_is_concrete(const tn_type *type);           /* a tensor whose dtype, rank and dims are all known */
void tn_type_merge(tn_type *type, const tn_type *other); /* keeps what both say (at joins of control flow) */
/* `element` with an axis of `turns` put in at `axis`: what Loop and Scan gather. */
tn_status tn_type_stacked(const tn_type *element, int64_t turns, int64_t axis, tn_type *out);
/* Fills what `type` does not know from `other`; fails where they contradict. */
tn_status tn_type_refine(tn_type *type, const tn_type *other);
char *tn_type_text(char *text, size_t size, const tn_graph *graph, const tn_type *type); /* "float32[batch,3,?]" */

/* Infers every node's output types, bodies included, from the inputs' types and the constants. */
tn_status tn_graph_infer(tn_graph *graph);
/* "node 'conv1' (Conv): " before the sentence. */
tn_status tn_node_context(tn_status status, const tn_node *node);

#endif
