/* Lifting: nodes of older opsets become nodes of the newest one, so that lib/ops knows one version of each operator; and
 * operators of com.microsoft that say in their own words what others say become those.
 *
 * A failure is kept in the draft: what follows it does nothing and gives -1, so that a rule may build a chain of nodes
 * and look once at the end.
 *
 * A node that is being imported is a draft: its inputs, outputs and attributes as the file has them. Rules (tables in
 * lift_*.c) are chosen by operator and version; a rule edits the draft, adds nodes before it, or puts the draft into
 * the graph itself to add nodes after it. Types of inputs are known as far as they can be inferred. */
#ifndef TN_IMPORT_LIFT_H
#define TN_IMPORT_LIFT_H

#include "graph/op.h"

typedef struct tn_lift {
    tn_graph *graph;
    tn_region *scratch;
    const char *domain; /* "" is ai.onnx; a rule of another domain may change it */
    const char *op;     /* the operator's name; a rule may change it */
    int64_t version;    /* of ai.onnx, that the node was written for */
    tn_node node;       /* the draft: in, out and attrs may be edited and replaced (from scratch); op is not set */
    bool done;          /* nothing is left to be added */
    tn_status status;   /* of the first thing that failed */
} tn_lift;

typedef struct tn_lift_rule {
    const char *op;
    int before; /* applies to versions below this one */
    tn_status (*apply)(tn_lift *lift);
} tn_lift_rule;

/* Applies the rules that fit; they stand in the tables in the order of versions. */
tn_status tn_lift_apply(tn_lift *lift);

/* ---- for rules ---- */
/* Puts the draft into the graph as it is now. Like all that follows, returns the draft's status. */
tn_status tn_lift_flush(tn_lift *lift);
/* Adds a node with one new value as output, which it returns; -1 on failure. attrs may be NULL. The operator is ai.onnx's,
 * or com.microsoft's if only that has one of the name. */
int tn_lift_add(tn_lift *lift, const char *op, int in_count, const int *in, int attr_count, const tn_attr *attrs);
/* Likewise, writing to a value that exists. */
tn_status tn_lift_add_to(tn_lift *lift, const char *op, int in_count, const int *in, int out, int attr_count,
                         const tn_attr *attrs);
/* Nodes of one and two inputs without attributes; a Cast; dims [start, end) of a value's shape; the value in the shape
 * that the parts make. -1 on failure. */
int tn_lift_one(tn_lift *lift, const char *op, int a);
int tn_lift_two(tn_lift *lift, const char *op, int a, int b);
int tn_lift_cast(tn_lift *lift, int value, tn_dtype to);
int tn_lift_dims(tn_lift *lift, int value, int start, int end);
int tn_lift_reshape(tn_lift *lift, int value, int count, const int *parts);
/* A value for a node that follows. -1 on failure. */
int tn_lift_value(tn_lift *lift);
/* Constants: int64[count], float32[count], and a scalar of any numeric dtype. -1 on failure. */
int tn_lift_ints(tn_lift *lift, size_t count, const int64_t *values);
int tn_lift_floats(tn_lift *lift, size_t count, const float *values);
int tn_lift_scalar(tn_lift *lift, tn_dtype dtype, double value);
/* Makes a list attribute, if it is there, a constant input. */
tn_status tn_lift_ints_to_input(tn_lift *lift, const char *attr, int in);
/* Likewise a float attribute, as a scalar of input 0's dtype. */
tn_status tn_lift_float_to_input(tn_lift *lift, const char *attr, int in);
/* Sets input `in` of the draft, adding absent ones up to it. */
tn_status tn_lift_set_input(tn_lift *lift, int in, int value);
/* The input's dtype, float32 if nobody knows; its rank, -1 if it is unknown or absent. */
tn_dtype tn_lift_dtype(const tn_lift *lift, int in);
int tn_lift_rank(const tn_lift *lift, int in);
/* The input's value, -1 if it is absent; its contents, NULL if they are not constant. */
int tn_lift_input(const tn_lift *lift, int in);
const tn_tensor *tn_lift_contents(const tn_lift *lift, int in);
/* "operator X of opset v: what" */
tn_status tn_lift_unsupported(const tn_lift *lift, const char *what);

extern const tn_lift_rule tn_lift_elementwise[], tn_lift_shape[], tn_lift_network[], tn_lift_reduce[];
extern const tn_lift_rule tn_lift_early[], tn_lift_microsoft[];

#endif
