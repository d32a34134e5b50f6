/* Tree ensembles: random ones against a walk by the definition; hostile ones; classes of two. */
#include "ops.h"
#include <math.h>
#include <stdlib.h>

enum { FEATURES = 5, TREES = 11, DEPTH = 6, NODES = TREES * (2 << DEPTH) };

static uint64_t seed = 11;
static int random_below(int n) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (int)((seed >> 33) % (uint64_t)n);
}

/* Trees as the attributes of TreeEnsembleRegressor describe them; leaves have up to three votes. */
typedef struct forest {
    int count, votes;
    int64_t tree[NODES], node[NODES], feature[NODES], yes[NODES], no[NODES], missing[NODES];
    tn_string mode[NODES];
    float value[NODES];
    int64_t vote_tree[3 * NODES], vote_node[3 * NODES], vote_target[3 * NODES];
    float weight[3 * NODES];
} forest;

static const char *const modes[] = {"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"};

/* Numbers are small integers, so that comparisons often meet equal ones. Returns the node's id. */
static int64_t grow(forest *f, int tree, int depth, int kinds, int targets, int64_t *next_id) {
    int at = f->count++;
    int64_t id = (*next_id)++;
    f->tree[at] = tree;
    f->node[at] = id;
    if (depth == 0 || random_below(6) == 0) {
        f->mode[at] = (tn_string)TEXT("LEAF");
        for (int votes = targets == 1 ? 1 : random_below(4); votes > 0; votes--) {
            f->vote_tree[f->votes] = tree;
            f->vote_node[f->votes] = id;
            f->vote_target[f->votes] = random_below(targets);
            f->weight[f->votes++] = (float)(random_below(9) - 4) / 4;
        }
        return id;
    }
    const char *mode = modes[random_below(kinds)];
    f->mode[at] = (tn_string){mode, strlen(mode)};
    f->feature[at] = random_below(FEATURES);
    f->value[at] = (float)random_below(5);
    f->missing[at] = kinds > 1 ? random_below(2) : 0;
    f->yes[at] = grow(f, tree, depth - 1, kinds, targets, next_id);
    f->no[at] = grow(f, tree, depth - 1, kinds, targets, next_id);
    return id;
}

static forest *plant(int kinds, int targets) {
    forest *f = calloc(1, sizeof *f);
    for (int tree = 0; tree < TREES; tree++) {
        int64_t next_id = 0;
        grow(f, tree, DEPTH, kinds, targets, &next_id);
    }
    return f;
}

static bool holds(const char *mode, double x, double t, bool missing) {
    if (x != x) return missing || strcmp(mode, "BRANCH_NEQ") == 0;
    return strcmp(mode, "BRANCH_LEQ") == 0   ? x <= t
           : strcmp(mode, "BRANCH_LT") == 0  ? x < t
           : strcmp(mode, "BRANCH_GTE") == 0 ? x >= t
           : strcmp(mode, "BRANCH_GT") == 0  ? x > t
           : strcmp(mode, "BRANCH_EQ") == 0  ? x == t
                                             : x != t;
}

/* By the definition, slowly. */
static void predict(const forest *f, const double *row, double *y, int targets) {
    for (int i = 0; i < targets; i++) y[i] = 0;
    for (int tree = 0; tree < TREES; tree++) {
        int at = 0;
        while (f->tree[at] != tree) at++;
        int root = at;
        while (f->mode[at].size != 4) {
            int64_t to = holds(f->mode[at].data, row[f->feature[at]], (double)f->value[at], f->missing[at]) ? f->yes[at]
                                                                                                            : f->no[at];
            for (at = root; f->node[at] != to;) at++;
        }
        for (int v = 0; v < f->votes; v++)
            if (f->vote_tree[v] == tree && f->vote_node[v] == f->node[at]) y[f->vote_target[v]] += (double)f->weight[v];
    }
}

#define LIST(name_, kind_, field, values, n)                                                                           \
    ((tn_attr){.name = name_, .kind = kind_, .count = (size_t)(n), .field = values})

static int attributes(const forest *f, int targets, tn_attr *attrs) {
    const tn_attr list[] = {LIST("nodes_treeids", TN_ATTR_INTS, ints, f->tree, f->count),
                            LIST("nodes_nodeids", TN_ATTR_INTS, ints, f->node, f->count),
                            LIST("nodes_featureids", TN_ATTR_INTS, ints, f->feature, f->count),
                            LIST("nodes_truenodeids", TN_ATTR_INTS, ints, f->yes, f->count),
                            LIST("nodes_falsenodeids", TN_ATTR_INTS, ints, f->no, f->count),
                            LIST("nodes_missing_value_tracks_true", TN_ATTR_INTS, ints, f->missing, f->count),
                            LIST("nodes_modes", TN_ATTR_STRINGS, strings, f->mode, f->count),
                            LIST("nodes_values", TN_ATTR_FLOATS, floats, f->value, f->count),
                            LIST("target_treeids", TN_ATTR_INTS, ints, f->vote_tree, f->votes),
                            LIST("target_nodeids", TN_ATTR_INTS, ints, f->vote_node, f->votes),
                            LIST("target_ids", TN_ATTR_INTS, ints, f->vote_target, f->votes),
                            LIST("target_weights", TN_ATTR_FLOATS, floats, f->weight, f->votes),
                            ATTR_INT("n_targets", targets)};
    memcpy(attrs, list, sizeof list);
    return (int)TN_COUNT(list);
}

static tn_tensor *rows(tn_dtype dtype, int count) {
    tn_tensor *x = make(dtype, DIMS(count, FEATURES), NULL);
    for (int i = 0; i < count * FEATURES; i++) {
        bool gap = (dtype == TN_FLOAT32 || dtype == TN_FLOAT64) && random_below(10) == 0;
        tn_set_double(dtype, x->data, i, gap ? NAN : random_below(6) - 1);
    }
    return x;
}

static void check(int kinds, int targets, tn_dtype dtype, int count, int threads) {
    forest *f = plant(kinds, targets);
    tn_attr attrs[16];
    tn_tensor *x = rows(dtype, count), *y;
    tn_pool *pool;
    assert_ok(tn_pool_create(threads, NULL, &pool));
    tn_eager eager = {.pool = pool};
    assert_ok(tn_eager_run(&eager, op_named("ai.onnx.ml:TreeEnsembleRegressor"), attributes(f, targets, attrs), attrs,
                           1, (const tn_tensor *[]){x}, 1, &y));
    for (int r = 0; r < count; r++) {
        double row[FEATURES], want[8];
        for (int i = 0; i < FEATURES; i++) row[i] = tn_get_double(dtype, x->data, r * FEATURES + i);
        predict(f, row, want, targets);
        for (int t = 0; t < targets; t++)
            if ((double)((float *)y->data)[r * targets + t] != want[t])
                fail_msg("row %d, target %d: %g, not %g", r, t, (double)((float *)y->data)[r * targets + t], want[t]);
    }
    tn_pool_destroy(pool);
    tn_tensor_destroy(x), tn_tensor_destroy(y);
    free(f);
}

static void random_forests_match_the_definition(void **state) {
    (void)state;
    const tn_dtype dtypes[] = {TN_FLOAT32, TN_FLOAT64, TN_INT32, TN_INT64};
    for (int d = 0; d < 4; d++)
        for (int kinds = 1; kinds <= 6; kinds += 5) /* "<=" alone, and all */
            for (int targets = 1; targets <= 3; targets += 2) {
                check(kinds, targets, dtypes[d], 1, 1);
                check(kinds, targets, dtypes[d], 13, 1);
                check(kinds, targets, dtypes[d], 300, 3);
            }
}

/* Runs a forest that was tampered with: must be refused. */
static void refuse(forest *f, tn_status status, const char *part) {
    tn_attr attrs[16];
    int count = attributes(f, 1, attrs);
    refused("ai.onnx.ml:TreeEnsembleRegressor", ATTR_ARRAY(count, attrs), status, part, rows(TN_FLOAT32, 2));
    free(f);
}

static void hostile_trees_are_refused(void **state) {
    (void)state;
    forest *f = plant(1, 1);
    while (f->mode[1].size == 4) free(f), f = plant(1, 1); /* its second node is to be a branch */
    f->no[1] = 0;
    refuse(f, TN_E_INVALID, "leads back");
    f = plant(1, 1), f->yes[0] = 9999;
    refuse(f, TN_E_INVALID, "branches to nodes -1");
    f = plant(1, 1), f->node[1] = 0;
    refuse(f, TN_E_INVALID, "there twice");
    f = plant(1, 1), f->feature[0] = FEATURES;
    refuse(f, TN_E_SHAPE, "ask for 6 features");
    f = plant(1, 1), f->feature[0] = -1;
    refuse(f, TN_E_INVALID, "asks for feature -1");
    f = plant(1, 1), f->vote_target[0] = 1;
    refuse(f, TN_E_INVALID, "target 1 of 1");
    f = plant(1, 1), f->vote_node[0] = 9999;
    refuse(f, TN_E_INVALID, "which is not there");
    f = plant(1, 1), f->mode[0] = (tn_string)TEXT("BRANCH_MAYBE");
    refuse(f, TN_E_INVALID, "BRANCH_MAYBE");
    f = plant(1, 1), f->votes = 0;
    tn_attr attrs[16];
    int count = attributes(f, 1, attrs);
    attrs[7].count--;
    refused("ai.onnx.ml:TreeEnsembleRegressor", ATTR_ARRAY(count, attrs), TN_E_INVALID, "nodes_values",
            rows(TN_FLOAT32, 2));
    free(f);
}

/* One stump: x0 <= 0 gives `low` to class `low_class`, else `high` to `high_class`. */
#define STUMP(low_class, low, high_class, high)                                                                        \
    ATTR_INTS("nodes_treeids", 0, 0, 0), ATTR_INTS("nodes_nodeids", 0, 1, 2), ATTR_INTS("nodes_featureids", 0, 0, 0),  \
        ATTR_INTS("nodes_truenodeids", 1, 0, 0), ATTR_INTS("nodes_falsenodeids", 2, 0, 0),                             \
        ATTR_FLOATS("nodes_values", 0, 0, 0),                                                                          \
        ATTR_TEXTS("nodes_modes", TEXT("BRANCH_LEQ"), TEXT("LEAF"), TEXT("LEAF")), ATTR_INTS("class_treeids", 0, 0),   \
        ATTR_INTS("class_nodeids", 1, 2), ATTR_INTS("class_ids", low_class, high_class),                               \
        ATTR_FLOATS("class_weights", low, high)

static void classify(int attr_count, const tn_attr *attrs, const double *labels, const double *scores) {
    tn_tensor *in[] = {make(TN_FLOAT32, DIMS(2, 1), VALUES(-1, 1))}, *out[2];
    assert_ok(run_op("ai.onnx.ml:TreeEnsembleClassifier", attr_count, attrs, 1, in, 2, out));
    expect(out[0], TN_INT64, DIMS(2), labels);
    expect_near(out[1], TN_FLOAT32, DIMS(2, 2), scores, 1e-6);
}

static void two_classes_with_one_score_are_told_apart(void **state) {
    (void)state;
    const tn_attr labels = ATTR_INTS("classlabels_int64s", 5, 7), logistic = ATTR_TEXT("post_transform", "LOGISTIC"),
                  base = ATTR_FLOATS("base_values", 1);
    double odds = 1 / (1 + exp(-3));
    classify(ATTRS(labels, STUMP(0, 0.25f, 0, 0.75f)), VALUES(5, 7), VALUES(0.75, 0.25, 0.25, 0.75));
    classify(ATTRS(labels, STUMP(1, -2, 1, 2)), VALUES(5, 7), VALUES(2, -2, -2, 2));
    classify(ATTRS(labels, logistic, base, STUMP(0, -4, 0, 2)), VALUES(5, 7), VALUES(odds, 1 - odds, 1 - odds, odds));
    classify(ATTRS(labels, STUMP(0, 3, 1, 2)), VALUES(5, 7), VALUES(3, 0, 0, 2)); /* both voted for */
}

static void ensembles_of_the_fifth_version_ask_for_members(void **state) {
    (void)state;
    tn_tensor *splits = make(TN_FLOAT32, DIMS(2), VALUES(0, 2)), *kinds = make(TN_UINT8, DIMS(2), VALUES(6, 3)),
              *weights = make(TN_FLOAT32, DIMS(3), VALUES(10, 20, 30)),
              *members = make(TN_FLOAT32, DIMS(4), VALUES(1, 4, 9, NAN));
    const tn_attr attrs[] = {ATTR_INTS("nodes_featureids", 0, 0),   ATTR_INTS("nodes_truenodeids", 0, 1),
                             ATTR_INTS("nodes_falsenodeids", 1, 2), ATTR_INTS("nodes_trueleafs", 1, 1),
                             ATTR_INTS("nodes_falseleafs", 0, 1),   ATTR_INTS("leaf_targetids", 0, 1, 0),
                             ATTR_INTS("tree_roots", 0, 0),         ATTR_INT("n_targets", 2),
                             ATTR_TENSOR("nodes_splits", splits),   ATTR_TENSOR("nodes_modes", kinds),
                             ATTR_TENSOR("leaf_weights", weights),  ATTR_TENSOR("membership_values", members),
                             ATTR_INT("aggregate_function", 0)};
    for (int d = 0; d < 3; d++) {
        const tn_dtype dtypes[] = {TN_FLOAT32, TN_FLOAT64, TN_FLOAT16};
        expect(
            run1("ai.onnx.ml:TreeEnsemble", ATTR_ARRAY(13, attrs), make(dtypes[d], DIMS(4, 1), VALUES(9, 3, 2, NAN))),
            dtypes[d], DIMS(4, 2), VALUES(10, 0, 0, 20, 30, 0, 30, 0));
    }
    ((float *)members->data)[3] = 2;
    refused("ai.onnx.ml:TreeEnsemble", ATTR_ARRAY(13, attrs), TN_E_INVALID, "too few sets",
            make(TN_FLOAT32, DIMS(1, 1), NULL));
    tn_tensor_destroy(splits), tn_tensor_destroy(kinds), tn_tensor_destroy(weights), tn_tensor_destroy(members);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_forests_match_the_definition),
        cmocka_unit_test(hostile_trees_are_refused),
        cmocka_unit_test(two_classes_with_one_score_are_told_apart),
        cmocka_unit_test(ensembles_of_the_fifth_version_ask_for_members),
    };
    return cmocka_run_group_tests_name("trees", tests, NULL, NULL);
}
