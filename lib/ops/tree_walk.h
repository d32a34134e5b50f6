/* The walk down the trees, for one type of numbers: included by tree.c with NODE, REAL and NAME defined. No include guard.
 *
 * `plain` is a constant to each of its callers, so that the compiler makes two functions of one. */

/* The comparison's outcome, 0 where it holds. */
static inline int NAME(outcome)(const NODE *n, const REAL *row, bool plain) {
    if (plain) return !(row[n->feature] <= n->threshold);
    REAL x = row[n->feature & TN_TREE_FEATURE];
    bool holds = n->feature & TN_TREE_EQUAL ? x == n->threshold : x <= n->threshold;
    return !(holds || (n->feature & TN_TREE_NAN_TRUE && x != x));
}

/* Eight walks at once, each until all have arrived: walk k goes from at[k] with row[k]. */
static inline void NAME(walk8)(const NODE *nodes, const REAL *const *row, int32_t *at, bool plain) {
    int32_t moved;
    do {
        moved = 0;
        for (int k = 0; k < 8; k++) {
            const NODE *n = &nodes[at[k]];
            int32_t next = n->next[NAME(outcome)(n, row[k], plain)];
            moved |= next ^ at[k];
            at[k] = next;
        }
    } while (moved);
}

static inline void NAME(vote)(const tn_trees *t, int32_t leaf, REAL *y) {
    const REAL *weight = t->weight;
    for (int32_t v = t->votes[leaf]; v < t->votes[leaf + 1]; v++) {
        REAL *to = &y[t->target[v]], w = weight[v];
        if (t->aggregate == TN_TREE_MIN)
            *to = w < *to ? w : *to;
        else if (t->aggregate == TN_TREE_MAX)
            *to = w > *to ? w : *to;
        else
            *to += w;
    }
}

static inline void NAME(count_votes)(const tn_trees *t, const NODE *nodes, int32_t leaf, REAL *y) {
    bool adds = t->aggregate == TN_TREE_SUM || t->aggregate == TN_TREE_AVERAGE;
    if (t->single >= 0 && adds)
        y[t->single] += nodes[leaf].threshold;
    else
        NAME(vote)(t, leaf, y);
}

static inline void NAME(all_trees)(const tn_trees *t, int64_t rows, int64_t features, const REAL *x, REAL *y,
                                   bool plain) {
    const NODE *nodes = t->nodes;
    const REAL *row[8];
    int32_t at[8];
    int64_t grouped = rows / 8 * 8;
    for (int64_t tree = 0; tree < t->tree_count; tree++)
        for (int64_t r = 0; r < grouped; r += 8) {
            for (int k = 0; k < 8; k++) {
                at[k] = t->roots[tree];
                row[k] = x + (r + k) * features;
            }
            NAME(walk8)(nodes, row, at, plain);
            for (int k = 0; k < 8; k++) NAME(count_votes)(t, nodes, at[k], y + (r + k) * t->targets);
        }
    /* Of the rows that are left, eight trees at once. */
    for (int64_t r = grouped; r < rows; r++)
        for (int64_t tree = 0; tree < t->tree_count; tree += 8) {
            int n = (int)TN_MIN(t->tree_count - tree, 8);
            for (int k = 0; k < 8; k++) {
                at[k] = t->roots[tree + (k < n ? k : 0)];
                row[k] = x + r * features;
            }
            NAME(walk8)(nodes, row, at, plain);
            for (int k = 0; k < n; k++) NAME(count_votes)(t, nodes, at[k], y + r * t->targets);
        }
}

static void NAME(predict)(const tn_trees *t, int64_t rows, int64_t features, const REAL *x, REAL *y) {
    const REAL unvoted = t->aggregate == TN_TREE_MIN ? INFINITY : t->aggregate == TN_TREE_MAX ? -INFINITY : 0;
    int64_t n = rows * t->targets;
    for (int64_t i = 0; i < n; i++) y[i] = unvoted;
    if (t->plain)
        NAME(all_trees)(t, rows, features, x, y, true);
    else
        NAME(all_trees)(t, rows, features, x, y, false);
    for (int64_t i = 0; i < n; i++) {
        if (t->aggregate == TN_TREE_AVERAGE)
            y[i] /= (REAL)t->tree_count;
        else if (y[i] == unvoted)
            y[i] = 0;
    }
}
