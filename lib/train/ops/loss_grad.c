/* SoftmaxCrossEntropyLossGrad and NegativeLogLikelihoodLossGrad, of the domain `tenon`: the gradient by the scores
 * [N, C, d1, ...] from the loss's own gradient, the scores, the labels and the classes' weights, with the attributes of
 * the loss. In double precision by position, as the losses are. */
#include <math.h>
#include "ops/data.h"

typedef struct state {
    bool softmax, mean, each, has_ignore;
    int64_t ignore, classes, inner, positions;
} state;

typedef struct job {
    const state *s;
    const tn_tensor *dy, *x, *label, *weight;
    tn_tensor *dx;
    double shares; /* of all positions, for the mean */
} job;

static tn_status infer(tn_infer *call) {
    for (int i = 0; i < 2; i++) TN_TRY(tn_infer_dtype(call, i, TN_FLOATS));
    TN_TRY(tn_infer_index(call, 2));
    const tn_type *x = call->in[1], *label = call->in[2];
    if (x->rank >= 0 && x->rank < 2) return tn_infer_fail(call, 1, TN_E_SHAPE, "expected [N, C, ...]");
    bool fits = x->rank < 0 || label->rank < 0 || label->rank == x->rank - 1;
    for (int i = 0; fits && x->rank >= 0 && i < label->rank; i++)
        fits = tn_dim_fits(label->dims[i], x->dims[i + (i > 0)]);
    if (!fits) return tn_infer_fail(call, 2, TN_E_SHAPE, "expected the shape of input 1 without its axis 1");
    return tn_infer_same(call, 0, 1);
}

static tn_status prepare(tn_prepare *call) {
    const tn_type *x = call->in[1];
    const char *reduction = tn_attr_text(call->node, "reduction", "mean");
    const tn_attr *ignore = tn_node_attr(call->node, "ignore_index");
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    s->softmax = call->node->op->name[0] == 'S';
    s->mean = strcmp(reduction, "mean") == 0;
    s->each = strcmp(reduction, "none") == 0;
    s->has_ignore = ignore && ignore->kind == TN_ATTR_INT;
    s->ignore = s->has_ignore ? ignore->i : 0;
    s->classes = x->dims[1];
    s->inner = tn_dims_span(x->dims, 2, x->rank);
    s->positions = x->dims[0] * s->inner;
    return TN_OK;
}

static double at(const tn_tensor *t, int64_t i) {
    return t->dtype == TN_FLOAT64 ? ((const double *)t->data)[i] : (double)((const float *)t->data)[i];
}
static void put(tn_tensor *t, int64_t i, double value) {
    if (t->dtype == TN_FLOAT64)
        ((double *)t->data)[i] = value;
    else
        ((float *)t->data)[i] = (float)value;
}

static double share_of(const job *j, int64_t label) {
    if (j->s->has_ignore && label == j->s->ignore) return 0;
    return j->weight ? at(j->weight, label) : 1;
}

/* All positions of one element of the batch. */
static void one_row(void *context, int64_t row) {
    const job *j = context;
    const state *s = j->s;
    for (int64_t i = row * s->inner; i < (row + 1) * s->inner; i++) {
        int64_t first = row * s->classes * s->inner + i % s->inner, label = tn_index_at(j->label, i);
        double k = share_of(j, label) * at(j->dy, s->each ? i : 0) / (s->mean ? j->shares : 1), best = -INFINITY,
               sum = 0;
        if (share_of(j, label) == 0) k = 0; /* also where all are ignored */
        for (int64_t c = 0; s->softmax && c < s->classes; c++) best = fmax(best, at(j->x, first + c * s->inner));
        for (int64_t c = 0; s->softmax && c < s->classes; c++) sum += exp(at(j->x, first + c * s->inner) - best);
        for (int64_t c = 0; c < s->classes; c++) {
            double p = s->softmax ? exp(at(j->x, first + c * s->inner) - best) / sum : 0;
            put(j->dx, first + c * s->inner, k == 0 ? 0 : k * (p - (c == label)));
        }
    }
}

static tn_status run(tn_run *call) {
    const state *s = call->state;
    job j = {s, tn_in(call, 0), tn_in(call, 1), tn_in(call, 2), tn_in(call, 3), tn_out(call, 0), 0};
    if (!j.dx || !s->positions) return TN_OK;
    for (int64_t i = 0; i < s->positions; i++) {
        int64_t label = tn_index_at(j.label, i);
        if ((label < 0 || label >= s->classes) && !(s->has_ignore && label == s->ignore))
            return tn_fail(TN_E_INVALID, "target %lld is %lld; there are %lld classes", (long long)i, (long long)label,
                           (long long)s->classes);
        j.shares += share_of(&j, label);
    }
    tn_parallel(call->pool, s->positions / s->inner, one_row, &j);
    return TN_OK;
}

#define LOSS_GRAD(name_)                                                                                               \
    {                                                                                                                  \
        .domain = "tenon", .name = name_, .min_in = 3, .max_in = 4, .min_out = 1, .max_out = 1, .flags = TN_OP_WIDEN,  \
        .infer = infer, .prepare = prepare, .run = run                                                                 \
    }

const tn_op tn_ops_loss_grad[] = {
    LOSS_GRAD("SoftmaxCrossEntropyLossGrad"),
    LOSS_GRAD("NegativeLogLikelihoodLossGrad"),
    {0},
};
