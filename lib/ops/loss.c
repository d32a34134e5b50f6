/* NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss.
 *
 * Both look up one number a position in scores [N, C, d1, d2, ...]; the second takes the logarithm of the softmax over
 * C first. Losses are worked out in double precision by position, in parallel, and added up in order. */
#include "graph/op.h"
#include "ops/data.h"
#include <math.h>

typedef enum reduction { REDUCE_NONE, REDUCE_SUM, REDUCE_MEAN } reduction;

typedef struct state {
    reduction reduction;
    bool softmax, has_ignore, wide;
    int64_t ignore, classes, inner, positions, tasks;
} state;

static bool read_reduction(const tn_node *node, reduction *out) {
    const char *text = tn_attr_text(node, "reduction", "mean");
    *out = strcmp(text, "none") == 0 ? REDUCE_NONE : strcmp(text, "sum") == 0 ? REDUCE_SUM : REDUCE_MEAN;
    return *out != REDUCE_MEAN || strcmp(text, "mean") == 0;
}

static tn_status infer(tn_infer *call) {
    reduction kind;
    TN_TRY(tn_infer_dtype(call, 0, TN_FLOATS));
    TN_TRY(tn_infer_index(call, 1));
    const tn_type *x = call->in[0], *target = call->in[1], *weight = tn_infer_has(call, 2) ? call->in[2] : NULL;
    if (!read_reduction(call->node, &kind))
        return tn_fail(TN_E_INVALID, "attribute reduction is '%s', not none, sum or mean",
                       tn_attr_text(call->node, "reduction", ""));
    if (x->rank >= 0 && x->rank < 2) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected [N, C, ...]");
    bool fits = x->rank < 0 || target->rank < 0 || target->rank == x->rank - 1;
    for (int i = 0; fits && x->rank >= 0 && i < target->rank; i++)
        fits = tn_dim_fits(target->dims[i], x->dims[i + (i > 0)]);
    if (!fits) return tn_infer_fail(call, 1, TN_E_SHAPE, "expected the shape of input 0 without its axis 1");
    if (weight) {
        TN_TRY(tn_infer_dtype(call, 2, TN_FLOATS));
        TN_TRY(tn_infer_equal_dtype(call, 0, 2));
        if (weight->rank >= 0 && (weight->rank != 1 || (x->rank >= 2 && !tn_dim_fits(weight->dims[0], x->dims[1]))))
            return tn_infer_fail(call, 2, TN_E_SHAPE, "expected one weight for each class");
    }
    TN_TRY(tn_infer_out(call, 1, x->dtype, x->rank, x->dims));
    if (kind != REDUCE_NONE) return tn_infer_out(call, 0, x->dtype, 0, NULL);
    int64_t dims[TN_MAX_RANK];
    for (int i = 0; i + 1 < x->rank; i++) dims[i] = x->dims[i + (i > 0)];
    return tn_infer_out(call, 0, x->dtype, x->rank < 0 ? -1 : x->rank - 1, dims);
}

static tn_status prepare(tn_prepare *call) {
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    const tn_type *x = call->in[0];
    if (!s) return TN_E_MEMORY;
    const tn_attr *ignore = tn_node_attr(call->node, "ignore_index");
    read_reduction(call->node, &s->reduction);
    s->softmax = strcmp(call->node->op->name, "SoftmaxCrossEntropyLoss") == 0;
    s->has_ignore = ignore && ignore->kind == TN_ATTR_INT;
    s->ignore = s->has_ignore ? ignore->i : 0;
    s->wide = x->dtype == TN_FLOAT64;
    s->classes = x->dims[1];
    s->inner = tn_dims_span(x->dims, 2, x->rank);
    s->positions = x->dims[0] * s->inner;
    s->tasks = TN_MAX(1, TN_MIN(s->positions, s->positions * s->classes / 1000));
    size_t bytes = tn_dtype_bytes(TN_FLOAT64, s->positions);
    return tn_mul_size(bytes, 2, &call->scratch) ? TN_OK : tn_fail(TN_E_LIMIT, "the loss is too large");
}

typedef struct job {
    const state *s;
    const void *x, *weight;
    const tn_tensor *target;
    void *log_prob;       /* NULL: not wanted */
    double *loss, *share; /* of each position: its loss and its weight */
} job;

static double real_at(const state *s, const void *data, int64_t i) {
    return s->wide ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

static void put(const state *s, void *data, int64_t i, double value) {
    if (s->wide)
        ((double *)data)[i] = value;
    else
        ((float *)data)[i] = (float)value;
}

/* log(sum(exp(x))) over the classes from `at` on. */
static double log_sum(const state *s, const void *x, int64_t at) {
    double best = -INFINITY, sum = 0;
    for (int64_t c = 0; c < s->classes; c++) best = fmax(best, real_at(s, x, at + c * s->inner));
    if (!isfinite(best)) return best;
    for (int64_t c = 0; c < s->classes; c++) sum += exp(real_at(s, x, at + c * s->inner) - best);
    return best + log(sum);
}

static void some_positions(void *context, int64_t task) {
    const job *j = context;
    const state *s = j->s;
    int64_t each = s->positions / s->tasks, more = s->positions % s->tasks, first = task * each + TN_MIN(task, more);
    for (int64_t i = first; i < first + each + (task < more); i++) {
        int64_t at = i / s->inner * s->classes * s->inner + i % s->inner, target = tn_index_at(j->target, i);
        double shift = s->softmax ? log_sum(s, j->x, at) : 0;
        for (int64_t c = 0; j->log_prob && c < s->classes; c++)
            put(s, j->log_prob, at + c * s->inner, real_at(s, j->x, at + c * s->inner) - shift);
        bool ignored = s->has_ignore && target == s->ignore;
        j->share[i] = ignored ? 0 : j->weight ? real_at(s, j->weight, target) : 1;
        j->loss[i] = ignored ? 0 : -j->share[i] * (real_at(s, j->x, at + target * s->inner) - shift);
    }
}

static tn_status run(tn_run *call) {
    const state *s = call->state;
    const tn_tensor *weight = tn_in(call, 2);
    tn_tensor *out = tn_out(call, 0), *log_prob = tn_out(call, 1);
    double *loss = call->scratch, sum = 0, shares = 0;
    job j = {s,    tn_in(call, 0)->data, weight ? weight->data : NULL, tn_in(call, 1), log_prob ? log_prob->data : NULL,
             loss, loss + s->positions};
    for (int64_t i = 0; i < s->positions; i++) {
        int64_t target = tn_index_at(j.target, i);
        if ((target < 0 || target >= s->classes) && !(s->has_ignore && target == s->ignore))
            return tn_fail(TN_E_INVALID, "target %lld is %lld; there are %lld classes", (long long)i, (long long)target,
                           (long long)s->classes);
    }
    if (s->positions) tn_parallel(call->pool, s->tasks, some_positions, &j);
    for (int64_t i = 0; out && i < s->positions; i++) {
        if (s->reduction == REDUCE_NONE) put(s, out->data, i, loss[i]);
        sum += loss[i];
        shares += j.share[i];
    }
    if (out && s->reduction != REDUCE_NONE) put(s, out->data, 0, s->reduction == REDUCE_MEAN ? sum / shares : sum);
    return TN_OK;
}

const tn_op tn_ops_loss[] = {
    {.domain = "",
     .name = "NegativeLogLikelihoodLoss",
     .min_in = 2,
     .max_in = 3,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN,
     .infer = infer,
     .prepare = prepare,
     .run = run},
    {.domain = "",
     .name = "SoftmaxCrossEntropyLoss",
     .min_in = 2,
     .max_in = 3,
     .min_out = 1,
     .max_out = 2,
     .flags = TN_OP_WIDEN,
     .infer = infer,
     .prepare = prepare,
     .run = run},
    {0},
};
