/* Tree ensembles in a form that runs fast.
 *
 * All comparisons are brought to "x <= threshold": x < t is x <= the number before t, the others exchange the branches.
 * Nodes of a tree lie in the order of a walk that goes to the true branch first. A leaf is a node whose branches both
 * lead to itself, with its value in the threshold's place: so eight rows can go down a tree side by side, none asking
 * whether it has arrived. Sets of members are chains of "x == member".
 *
 * Leaves vote: each vote adds a weight to one target. Votes are added tree by tree in the ensemble's order, for any
 * number of threads. Everything that comes from a model is checked when the ensemble is built: branches lead to nodes,
 * nothing runs in circles, targets and features are in range. */
#ifndef TN_OPS_TREE_H
#define TN_OPS_TREE_H

#include "graph/op.h"

typedef enum tn_branch { TN_LEQ, TN_LT, TN_GTE, TN_GT, TN_EQ, TN_NEQ, TN_MEMBER, TN_LEAF } tn_branch;
typedef enum tn_aggregate { TN_TREE_AVERAGE, TN_TREE_SUM, TN_TREE_MIN, TN_TREE_MAX } tn_aggregate;

/* A node as models describe it. Branches: index of a node. */
typedef struct tn_tree_source {
    tn_branch branch;
    bool missing_true; /* NaN goes to the true branch */
    int64_t feature;
    double threshold;
    int64_t on_true, on_false;
    int64_t first_vote, vote_count; /* of leaves */
    int64_t first_member, member_count;
} tn_tree_source;

typedef struct tn_vote {
    int64_t target;
    double weight;
} tn_vote;

/* How an element is compared, in the two highest bits of tn_tree_node.feature. */
enum { TN_TREE_NAN_TRUE = 1u << 30, TN_TREE_EQUAL = 1u << 31, TN_TREE_FEATURE = (1u << 30) - 1 };

typedef struct tn_tree_node {
    float threshold;
    uint32_t feature;
    int32_t next[2]; /* [0] where the comparison holds */
} tn_tree_node;

typedef struct tn_tree_node_wide {
    double threshold;
    uint32_t feature;
    int32_t next[2];
} tn_tree_node_wide;

typedef struct tn_trees {
    void *nodes; /* tn_tree_node, or _wide for float64 */
    bool wide;
    bool plain;      /* nothing but "x <= threshold", NaN goes to the false branch */
    int single;      /* the one target that all leaves vote for, with one vote each; -1: not so */
    int32_t *votes;  /* of node i: [votes[i], votes[i + 1]) */
    int32_t *target; /* of vote */
    void *weight;    /* of vote: float, or double if wide */
    int32_t *roots;
    int64_t tree_count, targets;
    uint32_t features; /* how many are looked at: one above the largest number */
    tn_aggregate aggregate;
} tn_trees;

/* Everything before it is run, from a model's nodes, `roots` of them the first of a tree. */
typedef struct tn_tree_model {
    int64_t node_count, root_count, vote_count, member_count, targets;
    const tn_tree_source *nodes;
    const int64_t *roots;
    const tn_vote *votes;
    const double *members;
    tn_aggregate aggregate;
    bool wide;
} tn_tree_model;

tn_status tn_trees_build(tn_prepare *call, const tn_tree_model *model, tn_trees *out);
/* x: [rows, features] of float (double if wide); y: [rows, targets] of the same type, aggregated. Targets that no leaf
 * voted for are 0. */
void tn_trees_run(const tn_trees *trees, tn_pool *pool, int64_t rows, int64_t features, const void *x, void *y);

#endif
