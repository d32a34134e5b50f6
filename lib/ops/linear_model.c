/* LinearClassifier and LinearRegressor of ai.onnx.ml: one product of a row with each target's coefficients. */
#include "ops/ml.h"
#include "ops/scratch.h"

typedef struct state {
    bool classifier, second; /* second: one score for two labels, which the other class is added to */
    int64_t rows, features, targets, columns;
    const float *coefficients, *intercepts; /* [targets, features], [targets] or NULL */
    tn_post post;
    tn_labels labels;
    int64_t tasks;
} state;

/* How many targets the attributes are for; -1 if that hangs on an unknown number of features. */
static tn_status count_targets(const tn_infer *call, bool classifier, int64_t features, int64_t *out) {
    size_t coefficients, intercepts;
    const float *values = tn_attr_floats(call->node, "coefficients", &coefficients);
    tn_attr_floats(call->node, "intercepts", &intercepts);
    int64_t targets = classifier ? (int64_t)intercepts : tn_attr_int(call->node, "targets", 1);
    if (classifier && !targets && features > 0) targets = (int64_t)coefficients / features;
    *out = targets ? targets : -1;
    if (targets < 0 || targets > INT32_MAX || (intercepts && targets != (int64_t)intercepts))
        return tn_fail(TN_E_INVALID, "%lld targets and %zu intercepts", (long long)targets, intercepts);
    if (!values || (targets > 0 && features >= 0 && (int64_t)coefficients != targets * features))
        return tn_fail(TN_E_INVALID, "%zu coefficients; expected %lld targets x %lld features", coefficients,
                       (long long)targets, (long long)features);
    return TN_OK;
}

static tn_status classifier_infer(tn_infer *call) {
    int64_t rows, features, targets;
    tn_labels labels;
    TN_TRY(tn_ml_infer_rows(call, &rows, &features));
    TN_TRY(tn_ml_labels(call->node, "classlabels_ints", &labels));
    TN_TRY(count_targets(call, true, features, &targets));
    if (targets > 1 && targets > labels.count)
        return tn_fail(TN_E_INVALID, "%lld targets but %lld labels", (long long)targets, (long long)labels.count);
    TN_TRY(tn_ml_infer_labels(call, &labels, rows));
    int64_t columns = targets == 1 && labels.count == 2 ? 2 : targets;
    return tn_infer_out(call, 1, TN_FLOAT32, 2, (int64_t[]){rows, columns});
}

static tn_status regressor_infer(tn_infer *call) {
    int64_t dims[2], features;
    TN_TRY(tn_ml_infer_rows(call, &dims[0], &features));
    TN_TRY(count_targets(call, false, features, &dims[1]));
    return tn_infer_out(call, 0, TN_FLOAT32, 2, dims);
}

static tn_status prepare(tn_prepare *call) {
    const tn_node *node = call->node;
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    size_t count;
    if (!s) return TN_E_MEMORY;
    s->classifier = strcmp(node->op->name, "LinearClassifier") == 0;
    tn_ml_rows(call->in[0], &s->rows, &s->features);
    s->coefficients = tn_attr_floats(node, "coefficients", &count);
    s->targets = s->features ? (int64_t)count / s->features : 0;
    s->intercepts = tn_attr_floats(node, "intercepts", &count);
    if (count)
        s->targets = (int64_t)count;
    else
        s->intercepts = NULL;
    TN_TRY(tn_ml_post(node, &s->post));
    s->columns = s->targets;
    if (s->classifier) {
        TN_TRY(tn_ml_labels(node, "classlabels_ints", &s->labels));
        s->second = s->targets == 1 && s->labels.count == 2;
        if (s->second) s->columns = 2;
    }
    s->tasks = TN_MAX(1, TN_MIN(s->rows, s->rows * s->targets * s->features / 20000));
    if (!tn_scratch_add(&call->scratch, tn_ml_float_bytes(call->in[0]), 1) ||
        !tn_scratch_add(&call->scratch, (size_t)s->rows, (size_t)s->columns * sizeof(float)))
        return tn_fail(TN_E_LIMIT, "too many rows");
    return TN_OK;
}

typedef struct job {
    const state *s;
    const float *x;
    tn_tensor *labels;
    float *scores;
} job;

static void one_row(const job *j, int64_t row) {
    const state *s = j->s;
    const float *x = j->x + row * s->features;
    float *y = j->scores + row * s->columns;
    int64_t best = 0;
    for (int64_t t = 0; t < s->targets; t++) {
        y[t] = tn_ml_dot(x, s->coefficients + t * s->features, s->features) + (s->intercepts ? s->intercepts[t] : 0);
        if (y[t] > y[best]) best = t;
    }
    if (s->classifier) tn_ml_put_label(&s->labels, j->labels, row, s->targets == 1 ? y[0] > 0 : best);
    if (s->second) {
        y[1] = y[0];
        y[0] = s->post == TN_POST_NONE ? 1 - y[1] : -y[1];
    }
    tn_ml_transform(s->post, y, s->columns);
}

static void some_rows(void *context, int64_t task) {
    const job *j = context;
    int64_t each = j->s->rows / j->s->tasks, more = j->s->rows % j->s->tasks, first = task * each + TN_MIN(task, more);
    for (int64_t row = first; row < first + each + (task < more); row++) one_row(j, row);
}

static tn_status run(tn_run *call) {
    const state *s = call->state;
    const tn_tensor *x = tn_in(call, 0);
    tn_tensor *scores = tn_out(call, s->classifier);
    uint8_t *scratch = call->scratch;
    void *converted = tn_scratch_take(&scratch, x->dtype == TN_FLOAT32 ? 0 : (size_t)tn_count(x), sizeof(float));
    job j = {s, tn_ml_floats(x, converted), s->classifier ? tn_out(call, 0) : NULL,
             scores ? scores->data : (void *)scratch};
    if (s->targets && s->rows) tn_parallel(call->pool, s->tasks, some_rows, &j);
    return TN_OK;
}

const tn_op tn_ops_linear_model[] = {
    {.domain = "ai.onnx.ml",
     .name = "LinearClassifier",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 2,
     .infer = classifier_infer,
     .prepare = prepare,
     .run = run},
    {.domain = "ai.onnx.ml",
     .name = "LinearRegressor",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .infer = regressor_infer,
     .prepare = prepare,
     .run = run},
    {0},
};
