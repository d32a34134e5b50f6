/* Graphs: build one by hand, or look into one.
 *
 * A graph is a list of values (inputs, constants, results of nodes), each known by a number, and of nodes in the order
 * in which they run. Operators are ONNX's (the newest version of each), with its attributes: see
 * onnx.ai/onnx/operators. Shapes are checked as each node is added: a node that does not fit is refused with a sentence
 * and leaves the graph as it was.
 *
 *     tn_graph *g;  int x, w, y;
 *     tn_graph_create(NULL, &g);
 *     tn_graph_input(g, "x", TN_FLOAT32, 2, (int64_t[]){tn_graph_symbol(g, "batch"), 8}, &x);
 *     tn_graph_constant(g, "w", weights, &w);
 *     tn_graph_node(g, "MatMul", "product", 2, (int[]){x, w}, 1, &y, NULL);
 *     tn_graph_output(g, y, "y");
 *     tn_model_from_graph(g, NULL, &model);   // takes g over
 *
 * Thread-safety: building is for one thread at a time; reading a finished graph is for any number. */
#ifndef TENON_GRAPH_H
#define TENON_GRAPH_H

#include <tenon/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_graph tn_graph;

/* Numbers are those of ONNX's AttributeProto.AttributeType. */
typedef enum tn_attr_kind {
    TN_ATTR_FLOAT = 1,
    TN_ATTR_INT = 2,
    TN_ATTR_STRING = 3,
    TN_ATTR_TENSOR = 4,
    TN_ATTR_GRAPH = 5, /* subgraphs come with imported models only */
    TN_ATTR_FLOATS = 6,
    TN_ATTR_INTS = 7,
    TN_ATTR_STRINGS = 8,
    TN_ATTR_TYPE = 13,
} tn_attr_kind;

/* An attribute to give to tn_graph_node; a list of them ends with one whose name is NULL. All is copied. */
typedef struct tn_attribute {
    const char *name;
    tn_attr_kind kind;
    size_t count; /* of ints and floats */
    int64_t i;
    float f;
    const char *s;
    const int64_t *ints;
    const float *floats;
    const tn_tensor *tensor;
} tn_attribute;

/* dims are >= 0 where known, -1 where unknown, below that a symbol: see tn_graph_symbol. */
typedef struct tn_value_info {
    const char *name;
    const char *kind; /* "tensor", "sequence", "optional", "other" */
    tn_dtype dtype;
    int rank; /* -1: unknown */
    int64_t dims[TN_MAX_RANK];
    const char *symbols[TN_MAX_RANK]; /* the name where dims[i] is a symbol, else NULL */
    const tn_tensor *constant;        /* contents of a constant, else NULL */
} tn_value_info;

typedef struct tn_node_info {
    const char *domain; /* "" is ai.onnx */
    const char *op;
    const char *name; /* "" if it has none */
    int in_count, out_count;
    const int *in, *out; /* values; -1: absent */
} tn_node_info;

TN_API tn_status tn_graph_create(const tn_allocator *allocator, tn_graph **out_graph);
/* Accepts NULL. A graph that a model took over is the model's. */
TN_API void tn_graph_destroy(tn_graph *graph);

/* The dim (a negative number) that stands for this name; 0 on failure. The same name gives the same dim. */
TN_API int64_t tn_graph_symbol(tn_graph *graph, const char *name);
TN_API tn_status tn_graph_input(tn_graph *graph, const char *name, tn_dtype dtype, int rank, const int64_t *dims,
                                int *out_value);
/* Copies the tensor. */
TN_API tn_status tn_graph_constant(tn_graph *graph, const char *name, const tn_tensor *tensor, int *out_value);
/* op is "Relu" or "domain:Name". in[i] of -1 is an absent optional input. Writes out_count values to out. attributes
 * may be NULL. name may be NULL; it is what errors and profiles show. */
TN_API tn_status tn_graph_node(tn_graph *graph, const char *op, const char *name, int in_count, const int *in,
                               int out_count, int *out, const tn_attribute *attributes);
TN_API tn_status tn_graph_output(tn_graph *graph, int value, const char *name);

TN_API int tn_graph_node_count(const tn_graph *graph);
TN_API int tn_graph_value_count(const tn_graph *graph);
TN_API int tn_graph_input_count(const tn_graph *graph);
TN_API int tn_graph_output_count(const tn_graph *graph);
TN_API int tn_graph_input_value(const tn_graph *graph, int index);  /* -1 if there is none */
TN_API int tn_graph_output_value(const tn_graph *graph, int index); /* -1 if there is none */
TN_API tn_status tn_graph_node_info(const tn_graph *graph, int node, tn_node_info *out_info);
TN_API tn_status tn_graph_value_info(const tn_graph *graph, int value, tn_value_info *out_info);
/* The attributes of a node as text, `kernel_shape=[3,3] strides=[1,1]`, cut to size; the length it would have. */
TN_API size_t tn_graph_node_attributes(const tn_graph *graph, int node, char *text, size_t size);
/* The graphs inside of a node, which If, Loop and Scan have: number `index` of them, and the name of its attribute
 * ("then_branch"; out_name may be NULL). NULL past the last. What a body takes from the graphs around it are inputs of
 * the node as well. */
TN_API const tn_graph *tn_graph_node_body(const tn_graph *graph, int node, int index, const char **out_name);
/* "float32[batch,3,?]", cut to size; the length it would have. */
TN_API size_t tn_graph_value_text(const tn_graph *graph, int value, char *text, size_t size);

#ifdef __cplusplus
}
#endif
#endif
