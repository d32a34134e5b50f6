/* Reading the attributes of the tree operators into one description. */
#ifndef TN_OPS_TREE_MODEL_H
#define TN_OPS_TREE_MODEL_H

#include "ops/tree.h"

/* TreeEnsemble, with nodes and leaves apart. Everything is allocated from the region. */
tn_status tn_tree_read_ensemble(const tn_node *node, tn_region *region, tn_tree_model *out);
/* TreeEnsembleClassifier and TreeEnsembleRegressor: nodes with ids, and votes ("class" or "target") by tree and node. */
tn_status tn_tree_read_votes(const tn_node *node, const char *votes, int64_t targets, tn_region *region,
                             tn_tree_model *out);
/* A list of floats, or of doubles from <name>_as_tensor. NULL and 0 if there is none; NULL with a sentence on failure,
 * and then *out_count is not 0. */
const double *tn_tree_doubles(const tn_node *node, const char *name, tn_region *region, size_t *out_count);

#endif
