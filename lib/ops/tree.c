/* Tree ensembles: building them and running them. See tree.h. */
#include "ops/tree.h"
#include <math.h>

#define NODE tn_tree_node
#define REAL float
#define NAME(name) name##_float
#include "ops/tree_walk.h"
#undef NODE
#undef REAL
#undef NAME
#define NODE tn_tree_node_wide
#define REAL double
#define NAME(name) name##_double
#include "ops/tree_walk.h"
#undef NODE
#undef REAL
#undef NAME

static tn_status check(const tn_tree_model *m) {
    int64_t limit = INT32_MAX / 4;
    if (m->node_count + m->member_count > limit || m->vote_count > limit || m->root_count > limit)
        return tn_fail(TN_E_LIMIT, "more than %lld nodes or votes", (long long)limit);
    if (m->targets < 1 || m->targets > limit)
        return tn_fail(TN_E_INVALID, "%lld targets or classes; expected at least 1", (long long)m->targets);
    for (int64_t i = 0; i < m->root_count; i++)
        if (m->roots[i] < 0 || m->roots[i] >= m->node_count)
            return tn_fail(TN_E_INVALID, "tree %lld begins at node %lld of %lld", (long long)i, (long long)m->roots[i],
                           (long long)m->node_count);
    for (int64_t i = 0; i < m->vote_count; i++)
        if (m->votes[i].target < 0 || m->votes[i].target >= m->targets)
            return tn_fail(TN_E_INVALID, "vote %lld is for target %lld of %lld", (long long)i,
                           (long long)m->votes[i].target, (long long)m->targets);
    for (int64_t i = 0; i < m->node_count; i++) {
        const tn_tree_source *n = &m->nodes[i];
        if (n->branch == TN_LEAF) continue;
        if (n->on_true < 0 || n->on_true >= m->node_count || n->on_false < 0 || n->on_false >= m->node_count)
            return tn_fail(TN_E_INVALID, "node %lld branches to nodes %lld and %lld of %lld", (long long)i,
                           (long long)n->on_true, (long long)n->on_false, (long long)m->node_count);
        if (n->feature < 0 || n->feature >= TN_TREE_FEATURE)
            return tn_fail(TN_E_INVALID, "node %lld asks for feature %lld", (long long)i, (long long)n->feature);
    }
    return TN_OK;
}

/* What is needed while building: the new number of each node (-1: not met yet), and the walk's stack. */
typedef struct builder {
    const tn_tree_model *m;
    tn_trees *out;
    int32_t *number;
    uint8_t *open; /* its branches are being walked */
    int32_t *stack, *order;
    int32_t count;
} builder;

/* Numbers the nodes under `root` in the order of a walk, the true branch first; a node that is met again while it is
 * open is a circle. A chain of members takes as many numbers as it has members. */
static tn_status walk(builder *b, int32_t root) {
    int32_t top = 0;
    if (b->number[root] >= 0) return TN_OK;
    b->stack[top++] = root;
    while (top) {
        int32_t at = b->stack[top - 1];
        const tn_tree_source *n = &b->m->nodes[at];
        if (b->number[at] < 0) {
            b->number[at] = b->count;
            b->order[at] = 0;
            b->open[at] = 1;
            b->count += n->branch == TN_MEMBER ? (int32_t)TN_MAX(n->member_count, 1) : 1;
        }
        int32_t turn = n->branch == TN_LEAF ? 2 : b->order[at]++;
        if (turn == 2) {
            b->open[at] = 0;
            top--;
            continue;
        }
        int32_t next = (int32_t)(turn ? n->on_false : n->on_true);
        if (b->number[next] < 0)
            b->stack[top++] = next;
        else if (b->open[next])
            return tn_fail(TN_E_INVALID, "node %d leads back to node %d", (int)at, (int)next);
    }
    return TN_OK;
}

/* The largest float (or double) below t: so x < t is x <= it. */
static double before(double t, bool wide) {
    return wide ? nextafter(t, -INFINITY) : (double)nextafterf((float)t, -INFINITY);
}

static void put_node(tn_trees *t, int32_t at, double threshold, uint32_t feature, int32_t on_true, int32_t on_false) {
    if (t->wide)
        ((tn_tree_node_wide *)t->nodes)[at] = (tn_tree_node_wide){threshold, feature, {on_true, on_false}};
    else
        ((tn_tree_node *)t->nodes)[at] = (tn_tree_node){(float)threshold, feature, {on_true, on_false}};
    t->plain &= feature <= TN_TREE_FEATURE;
}

static void put_branch(builder *b, int32_t at, const tn_tree_source *n) {
    tn_trees *t = b->out;
    int32_t yes = b->number[n->on_true], no = b->number[n->on_false];
    uint32_t feature = (uint32_t)n->feature, nan = n->missing_true ? TN_TREE_NAN_TRUE : 0;
    t->features = TN_MAX(t->features, feature + 1);
    switch (n->branch) {
    case TN_LEQ: put_node(t, at, n->threshold, feature | nan, yes, no); break;
    case TN_LT: put_node(t, at, before(n->threshold, t->wide), feature | nan, yes, no); break;
    /* The branches change places; so NaN, which went to the false one, has to go to what is now the true one. */
    case TN_GTE: put_node(t, at, before(n->threshold, t->wide), feature | (nan ^ TN_TREE_NAN_TRUE), no, yes); break;
    case TN_GT: put_node(t, at, n->threshold, feature | (nan ^ TN_TREE_NAN_TRUE), no, yes); break;
    case TN_EQ: put_node(t, at, n->threshold, feature | TN_TREE_EQUAL | nan, yes, no); break;
    case TN_NEQ: put_node(t, at, n->threshold, feature | TN_TREE_EQUAL, no, yes); break; /* NaN is not equal */
    case TN_MEMBER:
        if (!n->member_count) put_node(t, at, NAN, feature | TN_TREE_EQUAL | nan, yes, no);
        for (int64_t i = 0; i < n->member_count; i++, at++)
            put_node(t, at, b->m->members[n->first_member + i], feature | TN_TREE_EQUAL | nan, yes,
                     i + 1 < n->member_count ? at + 1 : no);
        break;
    case TN_LEAF: break;
    }
}

/* Leaves with their votes; `votes` is in the order of the new numbers. */
static void put_leaves(builder *b, const int32_t *old_of) {
    const tn_tree_model *m = b->m;
    tn_trees *t = b->out;
    int32_t vote = 0;
    for (int32_t at = 0; at < b->count; at++) {
        t->votes[at] = vote;
        const tn_tree_source *n = old_of[at] >= 0 ? &m->nodes[old_of[at]] : NULL;
        if (!n || n->branch != TN_LEAF) continue;
        if (n->vote_count != 1) t->single = -1;
        put_node(t, at, n->vote_count == 1 ? m->votes[n->first_vote].weight : 0, 0, at, at);
        for (int64_t i = 0; i < n->vote_count; i++, vote++) {
            const tn_vote *v = &m->votes[n->first_vote + i];
            if (vote == 0 && t->single == -2) t->single = (int)v->target;
            if (t->single != (int)v->target) t->single = -1;
            t->target[vote] = (int32_t)v->target;
            if (t->wide)
                ((double *)t->weight)[vote] = v->weight;
            else
                ((float *)t->weight)[vote] = (float)v->weight;
        }
    }
    t->votes[b->count] = vote;
    if (t->single < 0) t->single = -1;
}

static tn_status build(tn_prepare *call, builder *b, tn_region *scratch) {
    const tn_tree_model *m = b->m;
    tn_trees *t = b->out;
    size_t nodes = (size_t)m->node_count + 1;
    b->number = tn_region_array(scratch, nodes, sizeof *b->number);
    b->open = tn_region_array(scratch, nodes, sizeof *b->open);
    b->stack = tn_region_array(scratch, nodes, sizeof *b->stack);
    b->order = tn_region_array(scratch, nodes, sizeof *b->order);
    t->roots = tn_prepare_alloc(call, ((size_t)m->root_count + 1) * sizeof *t->roots);
    if (!b->number || !b->open || !b->stack || !b->order || !t->roots) return TN_E_MEMORY;
    for (int64_t i = 0; i < m->node_count; i++) b->number[i] = -1;
    for (int64_t i = 0; i < m->root_count; i++) {
        TN_TRY(walk(b, (int32_t)m->roots[i]));
        t->roots[i] = b->number[m->roots[i]];
    }
    size_t count = (size_t)b->count + 1, votes = 1;
    int32_t *old_of = tn_region_array(scratch, count, sizeof *old_of);
    t->nodes = tn_prepare_alloc(call, count * (t->wide ? sizeof(tn_tree_node_wide) : sizeof(tn_tree_node)));
    t->votes = tn_prepare_alloc(call, count * sizeof *t->votes);
    if (!old_of || !t->nodes || !t->votes) return TN_E_MEMORY;
    for (size_t i = 0; i < count; i++) old_of[i] = -1;
    for (int64_t i = 0; i < m->node_count; i++) {
        if (b->number[i] < 0) continue;
        old_of[b->number[i]] = (int32_t)i;
        if (m->nodes[i].branch == TN_LEAF) votes += (size_t)m->nodes[i].vote_count;
    }
    t->target = tn_prepare_alloc(call, votes * sizeof *t->target);
    t->weight = tn_prepare_alloc(call, votes * sizeof(double));
    if (!t->target || !t->weight) return TN_E_MEMORY;
    for (int64_t i = 0; i < m->node_count; i++)
        if (b->number[i] >= 0) put_branch(b, b->number[i], &m->nodes[i]);
    put_leaves(b, old_of);
    return TN_OK;
}

tn_status tn_trees_build(tn_prepare *call, const tn_tree_model *model, tn_trees *out) {
    *out = (tn_trees){.wide = model->wide,
                      .plain = true,
                      .single = -2,
                      .tree_count = model->root_count,
                      .targets = model->targets,
                      .features = 1,
                      .aggregate = model->aggregate};
    TN_TRY(check(model));
    tn_region *scratch = tn_region_create(NULL);
    builder b = {.m = model, .out = out};
    tn_status status = scratch ? build(call, &b, scratch) : TN_E_MEMORY;
    tn_region_destroy(scratch);
    return status;
}

enum { ROWS = 128 }; /* that a task takes down all trees; each tree stays in the cache for them */

typedef struct job {
    const tn_trees *trees;
    int64_t rows, features;
    const void *x;
    void *y;
} job;

static void some_rows(void *context, int64_t task) {
    const job *j = context;
    const tn_trees *t = j->trees;
    int64_t first = task * ROWS, rows = TN_MIN(j->rows - first, ROWS);
    if (t->wide)
        predict_double(t, rows, j->features, (const double *)j->x + first * j->features,
                       (double *)j->y + first * t->targets);
    else
        predict_float(t, rows, j->features, (const float *)j->x + first * j->features,
                      (float *)j->y + first * t->targets);
}

void tn_trees_run(const tn_trees *trees, tn_pool *pool, int64_t rows, int64_t features, const void *x, void *y) {
    job j = {trees, rows, features, x, y};
    tn_parallel(pool, (rows + ROWS - 1) / ROWS, some_rows, &j);
}
