/* ONNX's protobuf messages to a graph: what the importer's files share.
 *
 * Idea: messages are never turned into objects of their own. A reader walks the bytes (pb.h) and writes straight into
 * the graph; lists that are needed more than once are arrays of byte ranges in a scratch region that goes when the
 * import is done. Everything in the bytes is hostile until it is checked here. */
#ifndef TN_IMPORT_ONNX_H
#define TN_IMPORT_ONNX_H

#include "graph/op.h"
#include "import/import.h"
#include "import/names.h"
#include "import/pb.h"

#define TN_ONNX_IR 14        /* the newest IR version that is known */
#define TN_ONNX_OPSET 28     /* of ai.onnx */
#define TN_ONNX_ML_OPSET 5   /* of ai.onnx.ml */
#define TN_BODY_DEPTH 16     /* subgraphs in subgraphs */
#define TN_FUNCTION_DEPTH 32 /* functions that call functions */
#define TN_SYMBOLS 4096      /* different symbols; dims of further ones count as unknown */
#define TN_UNKNOWN_LISTED 50 /* operators in the sentence about unknown ones */

/* ---- tensors ---- */

/* A TensorProto that was looked at: its shape is checked, its contents lie in the message. */
typedef struct tn_onnx_tensor {
    tn_string message, name, raw;
    tn_dtype dtype;
    int rank;
    int64_t dims[TN_MAX_RANK];
    int64_t count;
    size_t bytes; /* that a dense tensor takes */
    size_t string_bytes;
    bool has_raw, external;
    tn_string location; /* of external data */
    uint64_t offset, length;
    bool has_length;
} tn_onnx_tensor;

/* Checks the message, and that it holds as many elements as its shape says. */
tn_status tn_onnx_tensor_scan(tn_string message, tn_onnx_tensor *out);
/* Writes the elements to data (t->bytes). Strings are copied to `text` (t->string_bytes), or left in the message if it
 * is NULL. Not for external data. */
tn_status tn_onnx_tensor_fill(const tn_onnx_tensor *t, void *data, char *text);

/* ---- the importer ---- */

typedef struct tn_opset {
    tn_string domain;
    int64_t version;
} tn_opset;

typedef struct tn_function {
    tn_string domain, name, overload;
    tn_string message;
    int next;    /* function of the same name in another domain or overload; -1: none */
    bool active; /* being inlined: seeing it again is recursion */
} tn_function;

typedef struct tn_external_file {
    struct tn_external_file *next;
    tn_string location, contents;
} tn_external_file;

typedef struct tn_unknown_op {
    struct tn_unknown_op *next;
    const char *name; /* "domain:Name" */
} tn_unknown_op;

typedef struct tn_importer {
    tn_graph *root;
    tn_region *scratch;
    const char *folder;   /* NULL: no external data */
    const char *location; /* the one place of external data, if it is not a folder: */
    tn_string weights;
    int function_count;
    tn_function *functions;
    tn_names function_names; /* the first function of each name */
    tn_external_file *files;
    tn_unknown_op *unknown; /* the first TN_UNKNOWN_LISTED of them */
    int inlined;            /* calls so far: makes names of values unique */
} tn_importer;

/* An attribute that a function was called with. */
typedef struct tn_argument {
    tn_string name, message;
    struct tn_scope *origin; /* where its subgraph's names are looked up */
} tn_argument;

/* Where names mean something: a graph, a subgraph, or an inlined function (whose nodes go to its caller's graph). */
typedef struct tn_scope {
    tn_importer *importer;
    tn_graph *graph;
    struct tn_scope *outer; /* of a subgraph, else NULL */
    int owner;              /* of a subgraph: the node of outer->graph that has it */
    int opset_count;
    const tn_opset *opsets;
    int argument_count;
    const tn_argument *arguments; /* of a function */
    const char *prefix;           /* of a function's names; "" elsewhere */
    int bodies, calls;            /* how deep we are */
    tn_names names;
} tn_scope;

/* A constant's tensor in the root's region: in place where the bytes lie well, else a copy. */
tn_status tn_onnx_constant(tn_importer *importer, tn_string message, tn_tensor **out, tn_string *name);
/* A SparseTensorProto made dense. */
tn_status tn_onnx_sparse(tn_importer *importer, tn_string message, tn_tensor **out, tn_string *name);
/* The bytes of external data. */
tn_status tn_onnx_external(tn_importer *importer, const tn_onnx_tensor *t, tn_string *bytes);

/* TypeProto. Symbols are added to the graph. */
tn_status tn_onnx_type(tn_graph *graph, tn_region *scratch, tn_string message, tn_type *type);
/* ValueInfoProto; type NULL: the name alone. */
tn_status tn_onnx_value_info(tn_graph *graph, tn_region *scratch, tn_string message, tn_string *name, tn_type *type);
/* Repeated OperatorSetIdProto, field `number` of the message. */
tn_status tn_onnx_opsets(tn_region *scratch, tn_string message, uint32_t number, tn_opset **out, int *count);

/* AttributeProto, references to the function's arguments followed. A subgraph is not read: out->g is NULL then, and
 * *body its message, to be read with *origin as the outer scope. *present is false for a reference to an argument that
 * the caller left out. */
tn_status tn_onnx_attribute(tn_scope *scope, tn_string message, tn_attr *out, bool *present, tn_string *body,
                            tn_scope **origin);
/* Finds name and contents of an attribute, the reference followed. */
tn_status tn_onnx_argument(tn_scope *scope, tn_string message, tn_argument *out, bool *present);

/* A NodeProto, its names not looked up yet. */
typedef struct tn_node_proto {
    tn_string op, domain, overload;
    const char *name;            /* "" if it has none */
    tn_string *in, *out, *attrs; /* attrs: messages */
    int in_count, out_count, attr_count;
    tn_function *function; /* of this name, if the model has one */
} tn_node_proto;

/* GraphProto into scope->graph. */
tn_status tn_onnx_graph(tn_scope *scope, tn_string message);
/* Repeated NodeProto, field `number` of the message. */
tn_status tn_onnx_nodes(tn_scope *scope, tn_string message, uint32_t number, tn_node_proto **out, int *count);
/* Makes the values that nodes write; the ones of Constant nodes with their contents. */
tn_status tn_onnx_declare(tn_scope *scope, const tn_node_proto *nodes, int count);
/* Adds the nodes to scope->graph, functions inlined, subgraphs and all. */
tn_status tn_onnx_add(tn_scope *scope, const tn_node_proto *nodes, int count);
/* The values of a node's inputs; -1 where absent. */
tn_status tn_onnx_inputs(tn_scope *scope, const tn_node_proto *node, int *values);

/* A subgraph that waits for its node. */
typedef struct tn_pending_body {
    tn_attr attr;
    tn_string message;
    tn_scope *origin; /* where its outer names are looked up */
} tn_pending_body;

/* Reads the subgraph and gives it to node `owner` of scope->graph. */
tn_status tn_onnx_body(tn_scope *scope, int owner, tn_pending_body *pending);
/* A subgraph of one input and one output, as nodes of origin->graph itself. label: for names and errors. */
tn_status tn_onnx_inline(tn_scope *origin, const char *label, tn_string message, int in, int *out);
/* Operators that become others, and not by a rule of lift.h, because they have bodies: Scan of opset 8 (the draft has its
 * inputs, outputs and attributes), and FlexAttention. */
tn_status tn_onnx_batched_scan(tn_scope *scope, const tn_node *draft, tn_pending_body *body);
struct tn_lift;
tn_status tn_onnx_flex_attention(struct tn_lift *lift, int body_count, const tn_pending_body *bodies);
/* Inlines a call. */
tn_status tn_onnx_call(tn_scope *caller, const tn_node_proto *node, tn_function *function);

/* The value by that name, of this scope or of one around it (then captured); -1 for an absent input of a function. */
tn_status tn_scope_find(tn_scope *scope, tn_string name, bool *found, int *value);
/* Gives a value its name; fails if another has it. */
tn_status tn_scope_declare(tn_scope *scope, tn_string name, int value);
/* A name with what stands before all names of the scope; NULL without memory. */
const char *tn_scope_name(const tn_scope *scope, tn_string name);
/* A new value of scope->graph; type NULL: unknown. -1 on failure. */
int tn_scope_value(tn_scope *scope, tn_string name, const tn_type *type);
/* A constant, and its name. */
tn_status tn_scope_constant(tn_scope *scope, tn_string name, const tn_tensor *tensor);
/* Zero-terminated, in the scratch region. NULL on failure. */
const char *tn_import_text(tn_importer *importer, tn_string s);

static inline bool tn_is_ai_onnx(tn_string domain) {
    return domain.size == 0 || tn_string_equal(domain, tn_string_of("ai.onnx"));
}

#endif
