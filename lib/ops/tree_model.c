/* Reading the attributes of the tree operators. See tree_model.h. */
#include "ops/tree_model.h"
#include "base/element.h"
#include <math.h>
#include <stdio.h>

static const double *doubles_of(const tn_tensor *t, tn_region *region, size_t *out_count) {
    *out_count = (size_t)tn_count(t);
    double *values = tn_region_array(region, *out_count + 1, sizeof *values);
    if (values && *out_count) tn_read_doubles(t->dtype, t->data, 0, *out_count, values);
    return values;
}

const double *tn_tree_doubles(const tn_node *node, const char *name, tn_region *region, size_t *out_count) {
    char long_name[64];
    snprintf(long_name, sizeof long_name, "%s_as_tensor", name);
    const tn_tensor *t = tn_attr_tensor(node, long_name);
    if (t && tn_count(t)) return doubles_of(t, region, out_count);
    const float *floats = tn_attr_floats(node, name, out_count);
    if (!*out_count) return NULL;
    double *values = tn_region_array(region, *out_count, sizeof *values);
    for (size_t i = 0; values && i < *out_count; i++) values[i] = (double)floats[i];
    return values;
}

/* Lists that have to be of the same length. */
static tn_status ints_of(const tn_node *node, const char *name, size_t count, const int64_t **out) {
    size_t found;
    *out = tn_attr_ints(node, name, &found);
    if (found == count && (*out || !count)) return TN_OK;
    return tn_fail(TN_E_INVALID, "attribute %s has %zu values; expected %zu", name, found, count);
}

static tn_status doubles_in(const tn_node *node, const char *name, size_t count, tn_region *region,
                            const double **out) {
    size_t found = 0;
    const tn_tensor *t = tn_attr_tensor(node, name);
    *out = t ? doubles_of(t, region, &found) : tn_tree_doubles(node, name, region, &found);
    if (found != count) return tn_fail(TN_E_INVALID, "attribute %s has %zu values; expected %zu", name, found, count);
    return *out || !count ? TN_OK : TN_E_MEMORY;
}

/* nodes_missing_value_tracks_true, which may be absent. */
static tn_status missing_of(const tn_node *node, size_t count, const int64_t **out) {
    size_t found;
    *out = tn_attr_ints(node, "nodes_missing_value_tracks_true", &found);
    if (found == 0) *out = NULL;
    return *out ? ints_of(node, "nodes_missing_value_tracks_true", count, out) : TN_OK;
}

/* Sets of members lie one after the other, each ended by a NaN, in the order of the nodes that ask for them. */
static tn_status take_members(const tn_tree_model *m, tn_tree_source *n, int64_t *at) {
    n->first_member = *at;
    while (*at < m->member_count && !isnan(m->members[*at])) ++*at;
    n->member_count = *at - n->first_member;
    if (*at >= m->member_count) return tn_fail(TN_E_INVALID, "membership_values has too few sets");
    ++*at;
    return TN_OK;
}

tn_status tn_tree_read_ensemble(const tn_node *node, tn_region *region, tn_tree_model *out) {
    size_t nodes, leaves, roots, members = 0;
    const int64_t *feature, *on_true, *on_false, *true_leaf, *false_leaf, *missing, *target;
    const double *split, *mode, *weight;
    if (!tn_attr_ints(node, "nodes_featureids", &nodes) || !tn_attr_ints(node, "leaf_targetids", &leaves))
        return tn_fail(TN_E_INVALID, "attribute nodes_featureids or leaf_targetids is missing");
    TN_TRY(ints_of(node, "nodes_featureids", nodes, &feature));
    TN_TRY(ints_of(node, "nodes_truenodeids", nodes, &on_true));
    TN_TRY(ints_of(node, "nodes_falsenodeids", nodes, &on_false));
    TN_TRY(ints_of(node, "nodes_trueleafs", nodes, &true_leaf));
    TN_TRY(ints_of(node, "nodes_falseleafs", nodes, &false_leaf));
    TN_TRY(missing_of(node, nodes, &missing));
    TN_TRY(doubles_in(node, "nodes_splits", nodes, region, &split));
    TN_TRY(doubles_in(node, "nodes_modes", nodes, region, &mode));
    TN_TRY(ints_of(node, "leaf_targetids", leaves, &target));
    TN_TRY(doubles_in(node, "leaf_weights", leaves, region, &weight));
    const tn_tensor *sets = tn_attr_tensor(node, "membership_values");
    out->members = sets ? doubles_of(sets, region, &members) : NULL;
    out->member_count = (int64_t)members;
    out->roots = tn_attr_ints(node, "tree_roots", &roots);
    out->root_count = (int64_t)roots;
    tn_tree_source *list = tn_region_array(region, nodes + leaves + 1, sizeof *list);
    tn_vote *votes = tn_region_array(region, leaves + 1, sizeof *votes);
    if (!list || !votes || (sets && !out->members)) return TN_E_MEMORY;
    int64_t member = 0, branch_count = (int64_t)nodes;
    for (size_t i = 0; i < nodes; i++) {
        if (!(mode[i] >= TN_LEQ && mode[i] <= TN_MEMBER))
            return tn_fail(TN_E_INVALID, "nodes_modes[%zu] is %g, which is no comparison", i, mode[i]);
        if (on_true[i] < 0 || on_false[i] < 0 || on_true[i] > INT32_MAX || on_false[i] > INT32_MAX)
            return tn_fail(TN_E_INVALID, "node %zu branches to %lld and %lld", i, (long long)on_true[i],
                           (long long)on_false[i]);
        list[i] = (tn_tree_source){.branch = (tn_branch)mode[i],
                                   .missing_true = missing && missing[i],
                                   .feature = feature[i],
                                   .threshold = split[i],
                                   .on_true = on_true[i] + (true_leaf[i] ? branch_count : 0),
                                   .on_false = on_false[i] + (false_leaf[i] ? branch_count : 0)};
        if (list[i].branch == TN_MEMBER) TN_TRY(take_members(out, &list[i], &member));
    }
    for (size_t i = 0; i < leaves; i++) {
        votes[i] = (tn_vote){target[i], weight[i]};
        list[nodes + i] = (tn_tree_source){.branch = TN_LEAF, .first_vote = (int64_t)i, .vote_count = 1};
    }
    out->nodes = list;
    out->node_count = (int64_t)(nodes + leaves);
    out->votes = votes;
    out->vote_count = (int64_t)leaves;
    out->targets = tn_attr_int(node, "n_targets", 1);
    return TN_OK;
}

/* From (tree, node) ids to a node's position: open addressing. */
typedef struct id_table {
    const int64_t *tree, *node;
    int32_t *slots; /* position + 1; 0: empty */
    size_t slot_count;
} id_table;

static int32_t *slot_of(const id_table *ids, int64_t tree, int64_t node) {
    uint64_t h = (uint64_t)tree * 0x9E3779B97F4A7C15u ^ (uint64_t)node;
    h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9u;
    for (size_t at = h ^ (h >> 27);; at++) {
        int32_t *slot = &ids->slots[at & (ids->slot_count - 1)];
        if (!*slot || (ids->tree[*slot - 1] == tree && ids->node[*slot - 1] == node)) return slot;
    }
}

static tn_status make_ids(id_table *ids, size_t count, tn_region *region) {
    if (count > INT32_MAX / 4) return tn_fail(TN_E_LIMIT, "%zu nodes are too many", count);
    ids->slot_count = 16;
    while (ids->slot_count < 2 * count) ids->slot_count *= 2;
    ids->slots = tn_region_array(region, ids->slot_count, sizeof *ids->slots);
    if (!ids->slots) return TN_E_MEMORY;
    for (size_t i = 0; i < count; i++) {
        int32_t *slot = slot_of(ids, ids->tree[i], ids->node[i]);
        if (*slot)
            return tn_fail(TN_E_INVALID, "node %lld of tree %lld is there twice", (long long)ids->node[i],
                           (long long)ids->tree[i]);
        *slot = (int32_t)i + 1;
    }
    return TN_OK;
}

static bool branch_of(tn_string name, tn_branch *out) {
    static const char *const names[] = {"BRANCH_LEQ", "BRANCH_LT",  "BRANCH_GTE", "BRANCH_GT",
                                        "BRANCH_EQ",  "BRANCH_NEQ", NULL,         "LEAF"};
    for (size_t i = 0; i < TN_COUNT(names); i++)
        if (names[i] && strlen(names[i]) == name.size && memcmp(names[i], name.data, name.size) == 0) {
            *out = (tn_branch)i;
            return true;
        }
    return false;
}

/* The first node of each tree, in the order in which trees appear. */
static tn_status find_roots(const id_table *ids, size_t count, tn_region *region, tn_tree_model *out) {
    int64_t *roots = tn_region_array(region, count + 1, sizeof *roots);
    id_table trees = {.tree = ids->tree, .node = ids->tree, .slot_count = ids->slot_count};
    trees.slots = tn_region_array(region, trees.slot_count, sizeof *trees.slots);
    if (!roots || !trees.slots) return TN_E_MEMORY;
    for (size_t i = 0; i < count; i++) {
        int32_t *slot = slot_of(&trees, ids->tree[i], ids->tree[i]);
        if (*slot) continue;
        *slot = (int32_t)i + 1;
        roots[out->root_count++] = (int64_t)i;
    }
    out->roots = roots;
    return TN_OK;
}

/* Votes come in any order: they are put together by node, in their own order. */
static tn_status read_votes(const tn_node *node, const char *kind, const id_table *ids, tn_region *region,
                            tn_tree_source *nodes, size_t node_count, tn_tree_model *out) {
    char name[4][40];
    static const char *const suffixes[] = {"treeids", "nodeids", "ids", "weights"};
    for (int i = 0; i < 4; i++) snprintf(name[i], sizeof name[i], "%s_%s", kind, suffixes[i]);
    size_t count;
    const int64_t *tree, *at, *target;
    const double *weight;
    tn_attr_ints(node, name[0], &count);
    TN_TRY(ints_of(node, name[0], count, &tree));
    TN_TRY(ints_of(node, name[1], count, &at));
    TN_TRY(ints_of(node, name[2], count, &target));
    size_t weights;
    weight = tn_tree_doubles(node, name[3], region, &weights);
    if (weights != count)
        return tn_fail(TN_E_INVALID, "attribute %s has %zu values; expected %zu", name[3], weights, count);
    tn_vote *votes = tn_region_array(region, count + 1, sizeof *votes);
    int32_t *of = tn_region_array(region, count + 1, sizeof *of);
    if (!votes || !of || (count && !weight)) return TN_E_MEMORY;
    for (size_t i = 0; i < count; i++) {
        of[i] = *slot_of(ids, tree[i], at[i]) - 1;
        if (of[i] < 0)
            return tn_fail(TN_E_INVALID, "vote %zu is of node %lld of tree %lld, which is not there", i,
                           (long long)at[i], (long long)tree[i]);
        nodes[of[i]].vote_count++;
    }
    int64_t first = 0;
    for (size_t i = 0; i < node_count; i++) {
        nodes[i].first_vote = first;
        first += nodes[i].vote_count;
        nodes[i].vote_count = 0;
    }
    for (size_t i = 0; i < count; i++) {
        tn_tree_source *n = &nodes[of[i]];
        votes[n->first_vote + n->vote_count++] = (tn_vote){target[i], weight[i]};
    }
    out->votes = votes;
    out->vote_count = (int64_t)count;
    return TN_OK;
}

tn_status tn_tree_read_votes(const tn_node *node, const char *votes, int64_t targets, tn_region *region,
                             tn_tree_model *out) {
    size_t count;
    const int64_t *feature, *on_true, *on_false, *missing;
    id_table ids = {0};
    const tn_attr *modes = tn_node_attr(node, "nodes_modes");
    tn_attr_ints(node, "nodes_nodeids", &count);
    TN_TRY(ints_of(node, "nodes_nodeids", count, &ids.node));
    TN_TRY(ints_of(node, "nodes_treeids", count, &ids.tree));
    TN_TRY(ints_of(node, "nodes_featureids", count, &feature));
    TN_TRY(ints_of(node, "nodes_truenodeids", count, &on_true));
    TN_TRY(ints_of(node, "nodes_falsenodeids", count, &on_false));
    TN_TRY(missing_of(node, count, &missing));
    if (!count || !modes || modes->kind != TN_ATTR_STRINGS || modes->count != count)
        return tn_fail(TN_E_INVALID, "attribute nodes_modes does not have a mode for each of %zu nodes", count);
    size_t values;
    const double *threshold = tn_tree_doubles(node, "nodes_values", region, &values);
    if (values != count)
        return tn_fail(TN_E_INVALID, "attribute nodes_values has %zu values; expected %zu", values, count);
    tn_tree_source *list = tn_region_array(region, count + 1, sizeof *list);
    if (!threshold || !list) return TN_E_MEMORY;
    TN_TRY(make_ids(&ids, count, region));
    for (size_t i = 0; i < count; i++) {
        tn_tree_source *n = &list[i];
        *n = (tn_tree_source){.missing_true = missing && missing[i], .feature = feature[i], .threshold = threshold[i]};
        if (!branch_of(modes->strings[i], &n->branch))
            return tn_fail(TN_E_INVALID, "nodes_modes[%zu] is '%.*s', which is no comparison", i,
                           (int)TN_MIN(modes->strings[i].size, 40u), modes->strings[i].data);
        if (n->branch == TN_LEAF) continue;
        n->on_true = *slot_of(&ids, ids.tree[i], on_true[i]) - 1;
        n->on_false = *slot_of(&ids, ids.tree[i], on_false[i]) - 1;
    }
    TN_TRY(find_roots(&ids, count, region, out));
    TN_TRY(read_votes(node, votes, &ids, region, list, count, out));
    out->nodes = list;
    out->node_count = (int64_t)count;
    out->targets = targets;
    return TN_OK;
}
