/* TreeEnsemble, TreeEnsembleRegressor, TreeEnsembleClassifier of ai.onnx.ml. The trees are in tree.h.
 *
 * A classifier of two classes whose leaves vote for one of them only gives one score s. As exporters mean it: if all
 * weights are positive, s is a probability: the scores are 1 - s and s; else s is a distance from the boundary: they
 * are -s and s. With a transform it is applied to -s and s. */
#include "base/element.h"
#include "ops/ml.h"
#include "ops/scratch.h"
#include "ops/tree_model.h"

typedef struct state {
    tn_trees trees;
    tn_post post;
    int64_t rows, features;
    float *base; /* of each target; NULL: none */
    /* of classifiers */
    tn_labels labels;
    bool classifier, one_score, probability;
    int64_t voted; /* the class that one_score is of */
} state;

static tn_status ensemble_infer(tn_infer *call) {
    static const tn_dtype allowed[] = {TN_FLOAT32, TN_FLOAT64, TN_FLOAT16, TN_UNDEFINED};
    TN_TRY(tn_infer_dtype(call, 0, allowed));
    const tn_type *x = call->in[0];
    if (x->rank >= 0 && x->rank != 2) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected [N, F]");
    int64_t dims[] = {x->rank == 2 ? x->dims[0] : -1, tn_attr_int(call->node, "n_targets", 1)};
    if (dims[1] < 1) return tn_fail(TN_E_INVALID, "attribute n_targets is %lld", (long long)dims[1]);
    return tn_infer_out(call, 0, x->dtype, 2, dims);
}

static tn_status regressor_infer(tn_infer *call) {
    int64_t features, dims[] = {-1, tn_attr_int(call->node, "n_targets", 1)};
    TN_TRY(tn_ml_infer_rows(call, &dims[0], &features));
    if (dims[1] < 1) return tn_fail(TN_E_INVALID, "attribute n_targets is %lld", (long long)dims[1]);
    return tn_infer_out(call, 0, TN_FLOAT32, 2, dims);
}

static tn_status classifier_infer(tn_infer *call) {
    int64_t features, rows;
    tn_labels labels;
    TN_TRY(tn_ml_infer_rows(call, &rows, &features));
    TN_TRY(tn_ml_labels(call->node, "classlabels_int64s", &labels));
    TN_TRY(tn_ml_infer_labels(call, &labels, rows));
    return tn_infer_out(call, 1, TN_FLOAT32, 2, (int64_t[]){rows, labels.count});
}

static tn_status read_aggregate(const tn_node *node, tn_aggregate *out) {
    static const char *const names[] = {"AVERAGE", "SUM", "MIN", "MAX"};
    const char *text = tn_attr_text(node, "aggregate_function", "SUM");
    for (size_t i = 0; i < TN_COUNT(names); i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (tn_aggregate)i;
            return TN_OK;
        }
    return tn_fail(TN_E_INVALID, "attribute aggregate_function is '%s'", text);
}

/* What the votes of a two-class ensemble mean. */
static void look_at_votes(const tn_tree_model *m, state *s) {
    s->probability = true;
    s->one_score = m->targets == 2 && m->vote_count;
    s->voted = m->vote_count ? m->votes[0].target : 0;
    for (int64_t i = 0; i < m->vote_count; i++) {
        if (m->votes[i].target != s->voted) s->one_score = false;
        if (m->votes[i].weight < 0) s->probability = false;
    }
}

static tn_status read_base(tn_prepare *call, tn_region *region, state *s) {
    size_t count;
    const double *base = tn_tree_doubles(call->node, "base_values", region, &count);
    if (!count) return TN_OK;
    bool fits = count == (size_t)s->trees.targets || (s->one_score && count == 1);
    if (!fits) return tn_fail(TN_E_INVALID, "%zu base_values for %lld targets", count, (long long)s->trees.targets);
    s->base = tn_prepare_alloc(call, (size_t)s->trees.targets * sizeof *s->base);
    if (!base || !s->base) return TN_E_MEMORY;
    for (int64_t i = 0; i < s->trees.targets; i++) s->base[i] = (float)base[count == 1 ? 0 : i];
    return TN_OK;
}

static tn_status read_model(tn_prepare *call, tn_region *region, state *s) {
    const tn_node *node = call->node;
    tn_tree_model model = {.wide = call->in[0]->dtype == TN_FLOAT64, .aggregate = TN_TREE_SUM};
    s->classifier = strcmp(node->op->name, "TreeEnsembleClassifier") == 0;
    if (s->classifier) {
        TN_TRY(tn_ml_labels(node, "classlabels_int64s", &s->labels));
        TN_TRY(tn_ml_post(node, &s->post));
        TN_TRY(tn_tree_read_votes(node, "class", s->labels.count, region, &model));
        look_at_votes(&model, s);
    } else if (strcmp(node->op->name, "TreeEnsembleRegressor") == 0) {
        TN_TRY(tn_ml_post(node, &s->post));
        TN_TRY(read_aggregate(node, &model.aggregate));
        TN_TRY(tn_tree_read_votes(node, "target", tn_attr_int(node, "n_targets", 1), region, &model));
    } else {
        int64_t post = tn_attr_int(node, "post_transform", 0), aggregate = tn_attr_int(node, "aggregate_function", 1);
        if (post < 0 || post > TN_POST_PROBIT || aggregate < 0 || aggregate > TN_TREE_MAX)
            return tn_fail(TN_E_INVALID, "post_transform %lld or aggregate_function %lld is none", (long long)post,
                           (long long)aggregate);
        s->post = (tn_post)post;
        model.aggregate = (tn_aggregate)aggregate;
        TN_TRY(tn_tree_read_ensemble(node, region, &model));
    }
    TN_TRY(tn_trees_build(call, &model, &s->trees));
    return read_base(call, region, s);
}

static tn_status prepare(tn_prepare *call) {
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    tn_region *region = tn_region_create(NULL);
    tn_status status = region ? read_model(call, region, s) : TN_E_MEMORY;
    tn_region_destroy(region);
    if (status != TN_OK) return status;
    tn_ml_rows(call->in[0], &s->rows, &s->features);
    if (s->features < (int64_t)s->trees.features)
        return tn_fail(TN_E_SHAPE, "the trees ask for %u features; the input has %lld", s->trees.features,
                       (long long)s->features);
    size_t element = s->trees.wide ? sizeof(double) : sizeof(float), scores;
    if (!tn_mul_size((size_t)s->rows, (size_t)s->trees.targets, &scores) ||
        !tn_scratch_add(&call->scratch, scores, element) ||
        !tn_scratch_add(&call->scratch, s->trees.wide ? 0 : tn_ml_float_bytes(call->in[0]), 1) ||
        !tn_scratch_add(&call->scratch, (size_t)s->trees.targets, sizeof(float)))
        return tn_fail(TN_E_LIMIT, "too many rows");
    return TN_OK;
}

/* One row's scores with their base, not transformed. */
static void row_scores(const state *s, const void *y, int64_t row, float *out) {
    int64_t n = s->trees.targets;
    for (int64_t i = 0; i < n; i++) {
        out[i] = s->trees.wide ? (float)((const double *)y)[row * n + i] : ((const float *)y)[row * n + i];
        if (s->base) out[i] += s->base[i];
    }
}

/* Transforms a classifier's scores and says which class they are for. */
static int64_t classify(const state *s, float *scores) {
    int64_t n = s->trees.targets, best = 0;
    if (n == 1) {
        bool positive = scores[0] > 0;
        tn_ml_transform(s->post, scores, 1);
        return positive;
    }
    if (s->one_score) {
        float score = scores[s->voted];
        bool probability = s->probability && s->post == TN_POST_NONE;
        if (s->post == TN_POST_PROBIT) probability = true;
        best = score > (probability ? 0.5f : 0.0f);
        scores[0] = probability ? 1 - score : -score;
        scores[1] = score;
    } else {
        for (int64_t i = 1; i < n; i++)
            if (scores[i] > scores[best]) best = i;
    }
    tn_ml_transform(s->post, scores, n);
    return best;
}

static tn_status run(tn_run *call) {
    const state *s = call->state;
    const tn_tensor *x = tn_in(call, 0);
    tn_tensor *labels = s->classifier ? tn_out(call, 0) : NULL, *scores = tn_out(call, s->classifier);
    int64_t n = s->trees.targets;
    uint8_t *scratch = call->scratch;
    void *y = tn_scratch_take(&scratch, (size_t)(s->rows * n), s->trees.wide ? sizeof(double) : sizeof(float));
    bool converts = !s->trees.wide && x->dtype != TN_FLOAT32;
    void *converted = tn_scratch_take(&scratch, converts ? (size_t)tn_count(x) : 0, sizeof(float));
    float *row = (float *)(void *)scratch;
    tn_trees_run(&s->trees, call->pool, s->rows, s->features, s->trees.wide ? x->data : tn_ml_floats(x, converted), y);
    for (int64_t r = 0; r < s->rows; r++) {
        if (scores && scores->dtype == TN_FLOAT64 && s->post == TN_POST_NONE) { /* keeps all digits */
            memcpy((double *)scores->data + r * n, (const double *)y + r * n, (size_t)n * sizeof(double));
            continue;
        }
        row_scores(s, y, r, row);
        if (s->classifier)
            tn_ml_put_label(&s->labels, labels, r, classify(s, row));
        else
            tn_ml_transform(s->post, row, n);
        for (int64_t i = 0; scores && i < n; i++) {
            if (scores->dtype == TN_FLOAT64)
                ((double *)scores->data)[r * n + i] = (double)row[i];
            else
                ((float *)scores->data)[r * n + i] = row[i];
        }
    }
    return TN_OK;
}

#define TREES(name_, outputs, flags_, infer_)                                                                          \
    {                                                                                                                  \
        .domain = "ai.onnx.ml", .name = name_, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = outputs,             \
        .flags = flags_, .infer = infer_, .prepare = prepare, .run = run                                               \
    }

const tn_op tn_ops_tree_ensemble[] = {
    TREES("TreeEnsemble", 1, TN_OP_WIDEN, ensemble_infer),
    TREES("TreeEnsembleRegressor", 1, 0, regressor_infer),
    TREES("TreeEnsembleClassifier", 2, 0, classifier_infer),
    {0},
};
