/* SVMClassifier and SVMRegressor of ai.onnx.ml: kernel products with support vectors, as libsvm defines them.
 *
 * A classifier compares each pair of classes: the pair's score is a sum over the two classes' support vectors, and the
 * class that wins most pairs is the label. With prob_a and prob_b, scores of pairs become probabilities of classes by
 * the iteration of Wu, Lin and Weng ("Probability Estimates for Multi-class Classification by Pairwise Coupling", 2004,
 * second method). Without support vectors the model is linear. */
#include "ops/ml.h"
#include "ops/scratch.h"
#include <math.h>

typedef enum kernel { LINEAR, POLY, RBF, SIGMOID } kernel;

typedef struct state {
    bool classifier, linear, one_class;
    kernel kernel;
    float gamma, coef0, degree;
    int64_t rows, features, vectors, classes, pairs, columns;
    int64_t square; /* of the classes, where pairs become probabilities */
    const float *support, *coefficients, *rho, *prob_a, *prob_b;
    const int64_t *per_class;
    int64_t *start; /* of each class's vectors */
    tn_post post;
    tn_labels labels;
    int64_t tasks;
    size_t work; /* floats of each task: kernel values, scores of pairs, votes, pairwise and class probabilities */
} state;

typedef struct sizes {
    size_t coefficients, rho, support, prob_a, prob_b, per_class, params;
} sizes;

static tn_status read_kernel(const tn_node *node, state *s) {
    static const char *const names[] = {"LINEAR", "POLY", "RBF", "SIGMOID"};
    const char *text = tn_attr_text(node, "kernel_type", "LINEAR");
    size_t i = 0, count;
    while (i < TN_COUNT(names) && strcmp(text, names[i]) != 0) i++;
    if (i == TN_COUNT(names)) return tn_fail(TN_E_INVALID, "attribute kernel_type is '%s'", text);
    s->kernel = (kernel)i;
    const float *params = tn_attr_floats(node, "kernel_params", &count);
    if (count && count != 3) return tn_fail(TN_E_INVALID, "attribute kernel_params has %zu values, not 3", count);
    if (count) s->gamma = params[0], s->coef0 = params[1], s->degree = params[2];
    return TN_OK;
}

static tn_status check_classifier(const sizes *n, state *s) {
    s->pairs = s->classes * (s->classes - 1) / 2;
    for (size_t i = 0; i < n->per_class; i++)
        if (s->per_class[i] < 0 || s->per_class[i] > INT32_MAX ||
            __builtin_add_overflow(s->vectors, s->per_class[i], &s->vectors))
            return tn_fail(TN_E_INVALID, "vectors_per_class[%zu] is %lld", i, (long long)s->per_class[i]);
    s->linear = s->vectors == 0;
    if (s->classes > 65535) return tn_fail(TN_E_LIMIT, "%lld classes are too many", (long long)s->classes);
    bool fits = s->linear ? n->coefficients % (size_t)s->classes == 0 && n->rho >= 1
                          : n->per_class == (size_t)s->classes && n->rho >= (size_t)s->pairs && s->pairs > 0 &&
                                n->coefficients / (size_t)(s->classes - 1) >= (size_t)s->vectors;
    if (n->prob_a && !s->linear) fits = fits && n->prob_a >= (size_t)s->pairs && n->prob_b >= (size_t)s->pairs;
    if (!fits)
        return tn_fail(TN_E_INVALID,
                       "%zu coefficients, %zu rho and %zu prob_a do not fit %lld classes and %lld vectors",
                       n->coefficients, n->rho, n->prob_a, (long long)s->classes, (long long)s->vectors);
    if (!n->prob_a || s->linear) s->prob_a = NULL;
    s->columns = s->linear || s->prob_a ? s->classes : s->classes == 2 ? 2 : s->pairs;
    return TN_OK;
}

/* Reads and checks the attributes; the number of features they are for goes to s->features. */
static tn_status read_model(const tn_node *node, state *s) {
    sizes n;
    s->classifier = strcmp(node->op->name, "SVMClassifier") == 0;
    TN_TRY(tn_ml_post(node, &s->post));
    TN_TRY(read_kernel(node, s));
    s->coefficients = tn_attr_floats(node, "coefficients", &n.coefficients);
    s->support = tn_attr_floats(node, "support_vectors", &n.support);
    s->rho = tn_attr_floats(node, "rho", &n.rho);
    s->prob_a = tn_attr_floats(node, "prob_a", &n.prob_a);
    s->prob_b = tn_attr_floats(node, "prob_b", &n.prob_b);
    s->per_class = tn_attr_ints(node, "vectors_per_class", &n.per_class);
    if (!n.coefficients) return tn_fail(TN_E_INVALID, "attribute coefficients is missing or empty");
    if (s->classifier) {
        TN_TRY(tn_ml_labels(node, "classlabels_ints", &s->labels));
        s->classes = s->labels.count;
        TN_TRY(check_classifier(&n, s));
    } else {
        s->vectors = TN_MAX(tn_attr_int(node, "n_supports", 0), 0);
        s->one_class = tn_attr_int(node, "one_class", 0) != 0;
        s->linear = s->vectors == 0;
        s->classes = s->columns = 1;
        if (!n.rho || (!s->linear && n.coefficients < (size_t)s->vectors))
            return tn_fail(TN_E_INVALID, "%zu coefficients and %zu rho for %lld vectors", n.coefficients, n.rho,
                           (long long)s->vectors);
    }
    if (s->linear) s->kernel = LINEAR;
    if (!s->linear && n.support % (size_t)s->vectors)
        return tn_fail(TN_E_INVALID, "%zu support_vectors do not divide by %lld", n.support, (long long)s->vectors);
    s->features = (int64_t)(s->linear ? n.coefficients / (size_t)s->classes : n.support / (size_t)s->vectors);
    return TN_OK;
}

static tn_status infer(tn_infer *call) {
    int64_t rows, features;
    state s = {0};
    TN_TRY(tn_ml_infer_rows(call, &rows, &features));
    TN_TRY(read_model(call->node, &s));
    if (features >= 0 && features != s.features)
        return tn_infer_fail(call, 0, TN_E_SHAPE, "the model is for %lld features", (long long)s.features);
    if (s.classifier) TN_TRY(tn_ml_infer_labels(call, &s.labels, rows));
    return tn_infer_out(call, s.classifier, TN_FLOAT32, 2, (int64_t[]){rows, s.columns});
}

static tn_status prepare(tn_prepare *call) {
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    TN_TRY(read_model(call->node, s));
    tn_ml_rows(call->in[0], &s->rows, &s->features);
    s->start = tn_prepare_alloc(call, ((size_t)s->classes + 1) * sizeof *s->start);
    if (!s->start) return TN_E_MEMORY;
    for (int64_t i = 0; i < s->classes && s->per_class && !s->linear; i++)
        s->start[i + 1] = s->start[i] + s->per_class[i];
    s->tasks = TN_MAX(1, TN_MIN(TN_MIN(s->rows, 64), s->rows * TN_MAX(s->vectors, s->classes) * s->features / 20000));
    s->square = s->prob_a ? s->classes * s->classes : 0;
    s->work = (size_t)(s->vectors + s->pairs + 2 * s->classes + 2 * s->square + s->columns);
    if (!tn_scratch_add(&call->scratch, tn_ml_float_bytes(call->in[0]), 1) ||
        !tn_scratch_add(&call->scratch, s->work, (size_t)s->tasks * sizeof(float)))
        return tn_fail(TN_E_LIMIT, "too many support vectors");
    return TN_OK;
}

/* Sum of squared differences, in an order that depends on n alone. */
static float distance(const float *a, const float *b, int64_t n) {
    float sums[8] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++) sums[k] += (a[i + k] - b[i + k]) * (a[i + k] - b[i + k]);
    for (; i < n; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
    for (int k = 0; k < 8; k++) sum += sums[k];
    return sum;
}

/* Kernel products of a row with all support vectors. */
static void products_of(const state *s, const tn_kernels *kernels, const float *x, float *products) {
    size_t n = (size_t)s->vectors;
    for (int64_t v = 0; v < s->vectors; v++) {
        const float *vector = s->support + v * s->features;
        if (s->kernel == RBF)
            products[v] = -s->gamma * distance(x, vector, s->features);
        else
            products[v] = tn_ml_dot(x, vector, s->features);
        if (s->kernel == POLY || s->kernel == SIGMOID) products[v] = products[v] * s->gamma + s->coef0;
        if (s->kernel == POLY) products[v] = powf(products[v], s->degree);
    }
    if (s->kernel == RBF) kernels->exp_f32(products, products, n, NULL);
    if (s->kernel == SIGMOID) kernels->tanh_f32(products, products, n, NULL);
}

static double weighted(const float *weights, const float *values, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)(weights[i] * values[i]);
    return sum;
}

/* Scores of all pairs, and how many each class wins. */
static void compare_pairs(const state *s, const float *products, float *scores, float *votes) {
    int64_t pair = 0;
    for (int64_t i = 0; i < s->classes; i++) votes[i] = 0;
    for (int64_t i = 0; i < s->classes; i++)
        for (int64_t j = i + 1; j < s->classes; j++, pair++) {
            double sum =
                weighted(s->coefficients + (j - 1) * s->vectors + s->start[i], products + s->start[i],
                         s->per_class[i]) +
                weighted(s->coefficients + i * s->vectors + s->start[j], products + s->start[j], s->per_class[j]);
            sum += (double)s->rho[pair];
            scores[pair] = (float)sum;
            votes[sum > 0 ? i : j]++;
        }
}

/* Probabilities p of k classes from those of pairs, r[i][j] that i wins over j. q: [k, k], qp: [k]. */
static void couple(int64_t k, const float *r, float *q, float *qp, float *p) {
    float close = 0.005f / (float)k;
    for (int64_t i = 0; i < k; i++) {
        p[i] = 1 / (float)k;
        q[i * k + i] = 0;
        for (int64_t j = 0; j < k; j++) {
            if (j == i) continue;
            q[i * k + i] += r[j * k + i] * r[j * k + i];
            q[i * k + j] = -r[j * k + i] * r[i * k + j];
        }
    }
    for (int turn = 0; turn < 100; turn++) {
        float all = 0, error = 0;
        for (int64_t i = 0; i < k; i++) {
            qp[i] = 0;
            for (int64_t j = 0; j < k; j++) qp[i] += q[i * k + j] * p[j];
            all += p[i] * qp[i];
        }
        for (int64_t i = 0; i < k; i++) error = fmaxf(error, fabsf(qp[i] - all));
        if (error < close) break;
        for (int64_t i = 0; i < k; i++) {
            float by = (all - qp[i]) / q[i * k + i];
            p[i] += by;
            all = (all + by * (by * q[i * k + i] + 2 * qp[i])) / (1 + by) / (1 + by);
            for (int64_t j = 0; j < k; j++) {
                qp[j] = (qp[j] + by * q[i * k + j]) / (1 + by);
                p[j] /= 1 + by;
            }
        }
    }
}

static void pairs_to_classes(const state *s, const float *scores, float *work, float *p) {
    int64_t k = s->classes, pair = 0;
    float *r = work, *q = r + k * k, *qp = q + k * k;
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = i + 1; j < k; j++, pair++) {
            float win = 1 / (1 + expf(scores[pair] * s->prob_a[pair] + s->prob_b[pair]));
            win = fminf(fmaxf(win, 1e-7f), 1 - 1e-7f);
            r[i * k + j] = win;
            r[j * k + i] = 1 - win;
        }
    couple(k, r, q, qp, p);
}

static int64_t largest(const float *x, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

typedef struct job {
    const state *s;
    const tn_kernels *kernels;
    const float *x;
    tn_tensor *labels;
    float *out, *work; /* out NULL: not wanted */
} job;

static void classify(const job *j, int64_t row, const float *x, float *products) {
    const state *s = j->s;
    float *pairs = products + s->vectors, *votes = pairs + s->pairs, *more = votes + s->classes;
    float *out = j->out ? j->out + row * s->columns : more + s->classes + 2 * s->square;
    int64_t label;
    if (s->linear) {
        for (int64_t c = 0; c < s->classes; c++)
            out[c] = tn_ml_dot(x, s->coefficients + c * s->features, s->features) + s->rho[0];
        label = s->classes > 1 ? largest(out, s->classes) : out[0] > 0;
        tn_ml_transform(s->post, out, s->columns);
    } else {
        compare_pairs(s, products, pairs, votes);
        label = largest(votes, s->classes);
        if (s->prob_a) {
            pairs_to_classes(s, pairs, more, out);
        } else if (s->classes == 2) {
            out[1] = pairs[0];
            out[0] = s->post == TN_POST_NONE ? -pairs[0] : 1 - pairs[0];
        } else {
            memcpy(out, pairs, (size_t)s->pairs * sizeof *out);
        }
        if (s->prob_a || s->classes > 2) tn_ml_transform(s->post, out, s->columns);
    }
    tn_ml_put_label(&s->labels, j->labels, row, label);
}

static void some_rows(void *context, int64_t task) {
    const job *j = context;
    const state *s = j->s;
    float *products = j->work + (size_t)task * s->work;
    int64_t each = s->rows / s->tasks, more = s->rows % s->tasks, first = task * each + TN_MIN(task, more);
    for (int64_t row = first; row < first + each + (task < more); row++) {
        const float *x = j->x + row * s->features;
        if (!s->linear) products_of(s, j->kernels, x, products);
        if (s->classifier) {
            classify(j, row, x, products);
            continue;
        }
        float sum = s->linear ? tn_ml_dot(x, s->coefficients, s->features)
                              : (float)weighted(s->coefficients, products, s->vectors);
        sum += s->rho[0];
        j->out[row] = s->one_class ? (sum > 0 ? 1.0f : -1.0f) : sum;
        if (!s->one_class) tn_ml_transform(s->post, &j->out[row], 1);
    }
}

static tn_status run(tn_run *call) {
    const state *s = call->state;
    const tn_tensor *x = tn_in(call, 0);
    tn_tensor *out = tn_out(call, s->classifier);
    uint8_t *scratch = call->scratch;
    void *converted = tn_scratch_take(&scratch, x->dtype == TN_FLOAT32 ? 0 : (size_t)tn_count(x), sizeof(float));
    job j = {s,
             call->kernels,
             tn_ml_floats(x, converted),
             s->classifier ? tn_out(call, 0) : NULL,
             out ? out->data : NULL,
             (float *)(void *)scratch};
    if (s->rows) tn_parallel(call->pool, s->tasks, some_rows, &j);
    return TN_OK;
}

const tn_op tn_ops_svm[] = {
    {.domain = "ai.onnx.ml",
     .name = "SVMClassifier",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 2,
     .infer = infer,
     .prepare = prepare,
     .run = run},
    {.domain = "ai.onnx.ml",
     .name = "SVMRegressor",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .infer = infer,
     .prepare = prepare,
     .run = run},
    {0},
};
