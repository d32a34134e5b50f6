/* CTCLoss, of the domain `tenon`: connectionist temporal classification (Graves and others, 2006).
 *
 * Inputs: logarithms of probabilities [N, C, T], of which class 0 is the blank, and labels [N, S] from 1 on; a row of labels
 * ends before the first that is below 0. Outputs: [N], minus the logarithm of the probability that the row's labels are
 * read off the T steps, divided by how many there are (at least 1); and its gradient by the first input, [N, C, T].
 *
 * With l the labels with blanks between and around them, alpha and beta are sums over all ways from the start to, and on
 * from, place s of l at step t (section 4.1), as logarithms in double precision. */
#include <math.h>
#include "base/element.h"
#include "ops/data.h"
#include "ops/scratch.h"

typedef struct state {
    int64_t batch, classes, steps, labels, places; /* places: of the longest l */
} state;

typedef struct job {
    const state *s;
    const tn_tensor *x, *label;
    tn_tensor *loss, *grad; /* NULL: not wanted */
    double *scratch;        /* of each row: alpha of all steps, beta of two */
} job;

static tn_status infer(tn_infer *call) {
    TN_TRY(tn_infer_dtype(call, 0, TN_FLOATS));
    TN_TRY(tn_infer_index(call, 1));
    const tn_type *x = call->in[0], *label = call->in[1];
    if (x->rank >= 0 && x->rank != 3) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected [N, C, T]");
    if (label->rank >= 0 && label->rank != 2) return tn_infer_fail(call, 1, TN_E_SHAPE, "expected [N, S]");
    if (x->rank == 3 && label->rank == 2 && !tn_dim_fits(x->dims[0], label->dims[0]))
        return tn_infer_fail(call, 1, TN_E_SHAPE, "expected as many rows as input 0 has");
    TN_TRY(tn_infer_out(call, 0, x->dtype, x->rank < 0 ? -1 : 1, x->dims));
    return call->out_count > 1 ? tn_infer_same(call, 1, 0) : TN_OK;
}

static tn_status prepare(tn_prepare *call) {
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    const int64_t *x = call->in[0]->dims;
    *s = (state){.batch = x[0], .classes = x[1], .steps = x[2], .labels = call->in[1]->dims[1]};
    if (s->labels > INT32_MAX || s->steps > INT32_MAX) return tn_fail(TN_E_LIMIT, "more steps or labels than 2^31");
    s->places = 2 * s->labels + 1;
    size_t each = (size_t)(s->steps + 2) * (size_t)s->places; /* below 2^64 */
    return !__builtin_mul_overflow(each, (size_t)s->batch, &each) &&
                   tn_scratch_add(&call->scratch, each, sizeof(double))
               ? TN_OK
               : tn_fail(TN_E_LIMIT, "%lld rows of %lld steps and %lld labels need too much memory",
                         (long long)s->batch, (long long)s->steps, (long long)s->labels);
}

static double at(const tn_tensor *t, int64_t i) {
    return t->dtype == TN_FLOAT64 ? ((const double *)t->data)[i] : (double)((const float *)t->data)[i];
}

/* log(exp a + exp b) */
static double both(double a, double b) {
    const double most = fmax(a, b), least = fmin(a, b);
    return isinf(most) && most < 0 ? most : most + log1p(exp(least - most));
}

typedef struct row {
    const job *j;
    int64_t first, labels, places; /* of x; that it has */
    int64_t index;
} row;

static int64_t label_at(const row *r, int64_t place) {
    return place % 2 ? tn_index_at(r->j->label, r->index * r->j->s->labels + place / 2) : 0;
}
static double log_p(const row *r, int64_t class, int64_t step) {
    return at(r->j->x, r->first + class * r->j->s->steps + step);
}
/* Whether place s may follow s - 2: no blank is needed between different labels. */
static bool skips(const row *r, int64_t s) {
    return s % 2 && s >= 3 && label_at(r, s) != label_at(r, s - 2);
}

static void forward(const row *r, double *alpha) {
    const int64_t steps = r->j->s->steps, stride = r->j->s->places;
    for (int64_t s = 0; s < r->places; s++) alpha[s] = s < 2 ? log_p(r, label_at(r, s), 0) : -INFINITY;
    for (int64_t t = 1; t < steps; t++) {
        const double *before = alpha + (t - 1) * stride;
        for (int64_t s = 0; s < r->places; s++) {
            double sum = before[s];
            if (s > 0) sum = both(sum, before[s - 1]);
            if (skips(r, s)) sum = both(sum, before[s - 2]);
            alpha[t * stride + s] = sum + log_p(r, label_at(r, s), t);
        }
    }
}

/* grad of class c at step t: minus the probability, given that the labels are read, of being at one of c's places then. */
static void backward(const row *r, const double *alpha, double *beta, double all) {
    const int64_t steps = r->j->s->steps, stride = r->j->s->places;
    const double share = -1 / (double)TN_MAX(r->labels, 1);
    double *now = beta, *after = beta + stride;
    for (int64_t t = steps - 1; t >= 0; t--) {
        for (int64_t s = 0; s < r->places; s++) {
            double sum = s >= r->places - 2 ? 0 : -INFINITY;
            if (t < steps - 1) {
                sum = after[s] + log_p(r, label_at(r, s), t + 1);
                if (s + 1 < r->places) sum = both(sum, after[s + 1] + log_p(r, label_at(r, s + 1), t + 1));
                if (s + 2 < r->places && skips(r, s + 2))
                    sum = both(sum, after[s + 2] + log_p(r, label_at(r, s + 2), t + 1));
            }
            now[s] = sum;
            const int64_t to = r->first + label_at(r, s) * steps + t;
            tn_set_double(r->j->grad->dtype, r->j->grad->data, to,
                          at(r->j->grad, to) + share * exp(alpha[t * stride + s] + sum - all));
        }
        double *const last = after;
        after = now;
        now = last;
    }
}

static int64_t length_of(const job *j, int64_t index) {
    int64_t n = 0;
    while (n < j->s->labels && tn_index_at(j->label, index * j->s->labels + n) >= 0) n++;
    return n;
}

static void one_row(void *context, int64_t index) {
    const job *j = context;
    const state *s = j->s;
    row r = {.j = j, .first = index * s->classes * s->steps, .index = index, .labels = length_of(j, index)};
    r.places = 2 * r.labels + 1;
    double *alpha = j->scratch + index * (s->steps + 2) * s->places, *end = alpha + (s->steps - 1) * s->places;
    forward(&r, alpha);
    const double all = r.places > 1 ? both(end[r.places - 1], end[r.places - 2]) : end[0];
    if (j->loss) tn_set_double(j->loss->dtype, j->loss->data, index, -all / (double)TN_MAX(r.labels, 1));
    if (j->grad) backward(&r, alpha, alpha + s->steps * s->places, all);
}

/* Labels are classes but the blank, and there are steps enough for them, and for a blank between equal ones. */
static tn_status check_row(const job *j, int64_t index) {
    const int64_t labels = length_of(j, index);
    int64_t needed = labels, before = 0;
    for (int64_t i = 0; i < labels; i++) {
        const int64_t label = tn_index_at(j->label, index * j->s->labels + i);
        if (label == 0 || label >= j->s->classes)
            return tn_fail(TN_E_INVALID, "label %lld of row %lld is %lld; expected 1 to %lld, as 0 is the blank",
                           (long long)i, (long long)index, (long long)label, (long long)j->s->classes - 1);
        needed += label == before;
        before = label;
    }
    if (needed <= j->s->steps) return TN_OK;
    return tn_fail(TN_E_INVALID,
                   "the %lld labels of row %lld need %lld steps, with a blank between equal ones, and there "
                   "are %lld",
                   (long long)labels, (long long)index, (long long)needed, (long long)j->s->steps);
}

static tn_status run(tn_run *call) {
    const state *s = call->state;
    job j = {.s = s,
             .x = tn_in(call, 0),
             .label = tn_in(call, 1),
             .loss = tn_out(call, 0),
             .grad = call->out_count > 1 ? tn_out(call, 1) : NULL,
             .scratch = call->scratch};
    if (s->batch && (s->steps < 1 || s->classes < 1)) return tn_fail(TN_E_INVALID, "there are no steps, or no classes");
    for (int64_t i = 0; i < s->batch; i++) TN_TRY(check_row(&j, i));
    if (j.grad) memset(j.grad->data, 0, tn_dtype_bytes(j.grad->dtype, tn_count(j.grad)));
    tn_parallel(call->pool, s->batch, one_row, &j);
    return TN_OK;
}

const tn_op tn_ops_ctc_loss[] = {
    {.domain = "tenon",
     .name = "CTCLoss",
     .min_in = 2,
     .max_in = 2,
     .min_out = 1,
     .max_out = 2,
     .flags = TN_OP_WIDEN,
     .infer = infer,
     .prepare = prepare,
     .run = run},
    {0},
};
