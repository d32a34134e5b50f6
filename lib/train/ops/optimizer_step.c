/* Steps of optimizers, of the domain `tenon`: SGD, Adam, Adagrad, RMSprop and Lion as torch.optim computes them (Lion as
 * in its paper), one node a parameter.
 *
 * Inputs: rate [] float32, count [] int64 (1 at the first step), factor [] of the gradient, the parameter, its
 * gradient, then its states; outputs: the new parameter and states. Attributes: momentum, nesterov, beta1, beta2, alpha,
 * epsilon, weight_decay, decoupled (decay of the weight itself, as in AdamW), l1. Outputs may lie where inputs do. */
#include <math.h>
#include "ops/data.h"

typedef enum rule { SGD, ADAM, ADAGRAD, RMSPROP, LION } rule;
static const struct {
    const char *name;
    int states;
} rules[] = {[SGD] = {"SGD", 1},
             [ADAM] = {"Adam", 2},
             [ADAGRAD] = {"Adagrad", 1},
             [RMSPROP] = {"RMSprop", 2},
             [LION] = {"Lion", 1}};

enum { RATE, COUNT, FACTOR, PARAMETER, GRADIENT, STATE };

typedef struct state {
    rule rule;
    bool nesterov, decoupled;
    double momentum, beta1, beta2, alpha, epsilon, decay, l1;
} state;

/* What a task needs to know, in the precision of the parameter. */
typedef struct job {
    const state *s;
    const tn_tensor *in[STATE + 2];
    tn_tensor *out[3];
    double rate, factor, count;
    int64_t tasks;
} job;

static rule rule_of(const tn_op *op) {
    rule r = SGD;
    while (strcmp(rules[r].name, op->name) != 0) r++;
    return r;
}

static tn_status infer(tn_infer *call) {
    static const tn_dtype reals[] = {TN_FLOAT32, TN_FLOAT64, TN_UNDEFINED}, longs[] = {TN_INT64, TN_UNDEFINED};
    int states = rules[rule_of(call->node->op)].states;
    if (call->in_count != STATE + states || call->out_count > 1 + states)
        return tn_fail(TN_E_FORMAT, "%d inputs and %d outputs; expected %d and at most %d", call->in_count,
                       call->out_count, STATE + states, 1 + states);
    TN_TRY(tn_infer_dtype(call, COUNT, longs));
    for (int i = RATE; i <= FACTOR; i++) {
        if (i != COUNT) TN_TRY(tn_infer_dtype(call, i, reals));
        if (call->in[i]->rank > 0) return tn_infer_fail(call, i, TN_E_SHAPE, "expected a scalar");
    }
    TN_TRY(tn_infer_dtype(call, PARAMETER, reals));
    const tn_type *x = call->in[PARAMETER];
    for (int i = GRADIENT; i < call->in_count; i++) {
        const tn_type *t = call->in[i];
        TN_TRY(tn_infer_equal_dtype(call, PARAMETER, i));
        bool fits = x->rank < 0 || t->rank < 0 || x->rank == t->rank;
        for (int k = 0; fits && k < TN_MIN(x->rank, t->rank); k++) fits = tn_dim_fits(x->dims[k], t->dims[k]);
        if (!fits) return tn_infer_fail(call, i, TN_E_SHAPE, "expected the shape of input %d", PARAMETER);
    }
    for (int i = 0; i < call->out_count; i++) TN_TRY(tn_infer_same(call, i, PARAMETER));
    return TN_OK;
}

static tn_status prepare(tn_prepare *call) {
    const tn_node *node = call->node;
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    s->rule = rule_of(node->op);
    s->nesterov = tn_attr_int(node, "nesterov", 0) != 0;
    s->decoupled = tn_attr_int(node, "decoupled", 0) != 0;
    const struct {
        const char *name;
        double *to, fallback;
    } numbers[] = {{"momentum", &s->momentum, 0},
                   {"beta1", &s->beta1, 0.9},
                   {"beta2", &s->beta2, 0.999},
                   {"alpha", &s->alpha, 0.99},
                   {"epsilon", &s->epsilon, 1e-8},
                   {"weight_decay", &s->decay, 0},
                   {"l1", &s->l1, 0}};
    for (size_t i = 0; i < TN_COUNT(numbers); i++) {
        /* Attributes are float32; the numbers meant are short decimals, as 0.999, which rounding to 7 digits gives back. */
        double x = (double)tn_attr_float(node, numbers[i].name, (float)numbers[i].fallback);
        double unit = x == 0 ? 1 : pow(10, 7 - ceil(log10(fabs(x))));
        *numbers[i].to = unit > 1 ? rint(x * unit) / unit : x;
    }
    return TN_OK;
}

/* One file of loops for float and double: g is the gradient with decay and penalty, x, m and v change in place. */
#define STEP(type, root)                                                                                               \
    do {                                                                                                               \
        const type *x = j->in[PARAMETER]->data, *dx = j->in[GRADIENT]->data, *m0 = j->in[STATE]->data;                 \
        const type *v0 = j->in[STATE + 1] ? j->in[STATE + 1]->data : NULL;                                             \
        type *y = j->out[0] ? j->out[0]->data : NULL, *m1 = j->out[1] ? j->out[1]->data : NULL;                        \
        type *v1 = j->out[2] ? j->out[2]->data : NULL;                                                                 \
        const type rate = (type)j->rate, factor = (type)j->factor, l1 = (type)s->l1, epsilon = (type)s->epsilon;       \
        const type decay = (type)(s->decoupled ? 0 : s->decay);                                                        \
        const type keep = s->decoupled ? (type)(1 - j->rate * s->decay) : 1;                                           \
        const type b1 = (type)s->beta1, c1 = (type)(1 - s->beta1), b2 = (type)s->beta2, c2 = (type)(1 - s->beta2);     \
        const type mu = (type)s->momentum, a = (type)s->alpha, b = (type)(1 - s->alpha);                               \
        const type size = (type)(j->rate / (1 - pow(s->beta1, j->count)));                                             \
        const type root2 = (type)sqrt(1 - pow(s->beta2, j->count));                                                    \
        for (int64_t i = first; i < last; i++) {                                                                       \
            type w = x[i] * keep, m = m0[i], v = v0 ? v0[i] : 0;                                                       \
            type g = dx[i] * factor + decay * x[i] + l1 * (type)((x[i] > 0) - (x[i] < 0));                             \
            switch (s->rule) {                                                                                         \
            case SGD:                                                                                                  \
                m = mu * m + g;                                                                                        \
                w -= rate * (s->nesterov ? g + mu * m : m);                                                            \
                break;                                                                                                 \
            case ADAM:                                                                                                 \
                m = b1 * m + c1 * g;                                                                                   \
                v = b2 * v + c2 * g * g;                                                                               \
                w -= size * (m / (root(v) / root2 + epsilon));                                                         \
                break;                                                                                                 \
            case ADAGRAD:                                                                                              \
                m += g * g;                                                                                            \
                w -= rate * (g / (root(m) + epsilon));                                                                 \
                break;                                                                                                 \
            case RMSPROP:                                                                                              \
                m = a * m + b * g * g;                                                                                 \
                v = mu * v + g / (root(m) + epsilon);                                                                  \
                w -= rate * v;                                                                                         \
                break;                                                                                                 \
            case LION: {                                                                                               \
                type c = b1 * m + c1 * g;                                                                              \
                w -= rate * (type)((c > 0) - (c < 0));                                                                 \
                m = b2 * m + c2 * g;                                                                                   \
                break;                                                                                                 \
            }                                                                                                          \
            }                                                                                                          \
            if (y) y[i] = w;                                                                                           \
            if (m1) m1[i] = m;                                                                                         \
            if (v1) v1[i] = v;                                                                                         \
        }                                                                                                              \
    } while (0)

static void some_elements(void *context, int64_t task) {
    const job *j = context;
    const state *s = j->s;
    int64_t count = tn_count(j->in[PARAMETER]);
    int64_t first = tn_task_start(count, j->tasks, task), last = tn_task_start(count, j->tasks, task + 1);
    if (j->in[PARAMETER]->dtype == TN_FLOAT64)
        STEP(double, sqrt);
    else
        STEP(float, sqrtf);
}

static tn_status run(tn_run *call) {
    job j = {.s = call->state};
    const tn_tensor *factor = tn_in(call, FACTOR), *rate = tn_in(call, RATE);
    for (int i = 0; i < call->in_count; i++) j.in[i] = tn_in(call, i);
    for (int i = 0; i < call->out_count; i++) j.out[i] = tn_out(call, i);
    j.rate = tn_get_double(rate->dtype, rate->data, 0);
    j.factor = tn_get_double(factor->dtype, factor->data, 0);
    j.count = (double)*(const int64_t *)tn_in(call, COUNT)->data;
    if (j.count < 1) return tn_fail(TN_E_INVALID, "input 1 counts %g steps; expected 1 at the first", j.count);
    int64_t count = tn_count(j.in[PARAMETER]);
    j.tasks = tn_data_tasks(count, (int64_t)tn_dtype_bytes(j.in[PARAMETER]->dtype, 4));
    if (count) tn_parallel(call->pool, j.tasks, some_elements, &j);
    return TN_OK;
}

#define OPTIMIZER(name_)                                                                                               \
    {                                                                                                                  \
        .domain = "tenon", .name = name_, .min_in = STATE + 1, .max_in = STATE + 2, .min_out = 1, .max_out = 3,        \
        .infer = infer, .prepare = prepare, .run = run                                                                 \
    }

const tn_op tn_ops_optimizer_step[] = {
    OPTIMIZER("SGD"), OPTIMIZER("Adam"), OPTIMIZER("Adagrad"), OPTIMIZER("RMSprop"), OPTIMIZER("Lion"), {0},
};
