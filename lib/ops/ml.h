/* What the operators of ai.onnx.ml share: rows of features, class labels, transforms of scores, lookup tables.
 *
 * Where the specification leaves something open, they do as ONNX Runtime does, by which exporters test their models. */
#ifndef TN_OPS_ML_H
#define TN_OPS_ML_H

#include "graph/op.h"

/* Input 0 of classifiers and regressors: [N, F], or [F] for one row, of float32, float64, int32 or int64. Unknown
 * numbers are -1. */
tn_status tn_ml_infer_rows(const tn_infer *call, int64_t *out_rows, int64_t *out_features);
/* The same of a known type. */
void tn_ml_rows(const tn_type *x, int64_t *out_rows, int64_t *out_features);
/* Bytes of scratch that tn_ml_floats needs; 0 if x is float32. */
size_t tn_ml_float_bytes(const tn_type *x);
/* The elements as float32: x's own, or converted to scratch. */
const float *tn_ml_floats(const tn_tensor *x, void *scratch);

/* Labels of classes, integers or strings. */
typedef struct tn_labels {
    int64_t count;
    const int64_t *ints;
    const tn_string *strings; /* NULL: integers */
} tn_labels;
/* From attributes `ints_name` or classlabels_strings. Fails unless one of them is there. */
tn_status tn_ml_labels(const tn_node *node, const char *ints_name, tn_labels *out);
/* Output 0 of classifiers: a label for each row. */
tn_status tn_ml_infer_labels(tn_infer *call, const tn_labels *labels, int64_t rows);
/* Writes the label of class `number`. Beyond the labels there are 0 and 1, as numbers or text. */
void tn_ml_put_label(const tn_labels *labels, tn_tensor *y, int64_t row, int64_t number);

typedef enum tn_post { TN_POST_NONE, TN_POST_SOFTMAX, TN_POST_LOGISTIC, TN_POST_SOFTMAX_ZERO, TN_POST_PROBIT } tn_post;
/* Attribute post_transform, a string. */
tn_status tn_ml_post(const tn_node *node, tn_post *out);
void tn_ml_transform(tn_post post, float *scores, int64_t n);

/* Sum of products, in an order that depends on n alone. */
float tn_ml_dot(const float *a, const float *b, int64_t n);

/* A lookup table from numbers or strings to their position in a list; of equal ones the last counts, NaN equals NaN. */
typedef struct tn_ml_table {
    const tn_tensor *keys;
    int32_t *slots; /* position + 1; 0: empty */
    size_t slot_count;
} tn_ml_table;
tn_status tn_ml_table_make(tn_prepare *call, const tn_tensor *keys, tn_ml_table *out);
/* Position of element i of x, which is of the keys' dtype; -1 if there is none. */
int64_t tn_ml_table_find(const tn_ml_table *table, const tn_tensor *x, int64_t i);

/* The list in attribute <prefix>tensor, <prefix>strings, <prefix>int64s or <prefix>floats; false if there is none. */
bool tn_ml_list(const tn_node *node, const char *prefix, tn_tensor *out);

#endif
