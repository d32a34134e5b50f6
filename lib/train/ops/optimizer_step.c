/* Steps of optimizers, of the domain `tenon`: SGD, Adam, Adagrad, RMSprop and Lion as torch.optim computes them (Lion as
 * in its paper), one node a parameter.
 *
 * Inputs: rate [] float32, count [] int64 (1 at the first step), factor [] of the gradient, the parameter, its
 * gradient, then its states; outputs: the new parameter and states. Attributes: momentum, nesterov, beta1, beta2, alpha,
 * epsilon, weight_decay, decoupled (decay of the weight itself, as in AdamW), l1. All outputs must be wanted. */
#include <math.h>
#include "ops/data.h"

typedef enum rule { SGD, ADAM, ADAGRAD, RMSPROP, LION } rule;
typedef void step_f32 TN_STEP_PARAMETERS(float);
typedef void step_f64 TN_STEP_PARAMETERS(double);

#define KERNELS(name) offsetof(tn_kernels, step_##name##_f32), offsetof(tn_kernels, step_##name##_f64)
static const struct {
    const char *name;
    int states;
    size_t f32, f64; /* where in tn_kernels */
} rules[] = {
    [SGD] = {"SGD", 1, KERNELS(sgd)},
    [ADAM] = {"Adam", 2, KERNELS(adam)},
    [ADAGRAD] = {"Adagrad", 1, KERNELS(adagrad)},
    [RMSPROP] = {"RMSprop", 2, KERNELS(rmsprop)},
    [LION] = {"Lion", 1, KERNELS(lion)},
};

enum { RATE, COUNT, FACTOR, PARAMETER, GRADIENT, STATE };

typedef struct state {
    rule rule;
    bool decoupled;
    double weight_decay;
    tn_step_numbers numbers; /* those that all steps share */
    step_f32 *f32;
    step_f64 *f64;
} state;

typedef struct job {
    const state *s;
    tn_step_numbers numbers;
    const tn_tensor *in[STATE + 2];
    tn_tensor *out[3];
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
    if (call->in_count != STATE + states || call->out_count != 1 + states)
        return tn_fail(TN_E_FORMAT, "%d inputs and %d outputs; expected %d and %d", call->in_count, call->out_count,
                       STATE + states, 1 + states);
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
    s->numbers.nesterov = tn_attr_int(node, "nesterov", 0) != 0;
    s->decoupled = tn_attr_int(node, "decoupled", 0) != 0;
    memcpy(&s->f32, (const char *)call->kernels + rules[s->rule].f32, sizeof s->f32);
    memcpy(&s->f64, (const char *)call->kernels + rules[s->rule].f64, sizeof s->f64);
    const struct {
        const char *name;
        double *to, fallback;
    } numbers[] = {{"momentum", &s->numbers.momentum, 0},
                   {"beta1", &s->numbers.beta1, 0.9},
                   {"beta2", &s->numbers.beta2, 0.999},
                   {"alpha", &s->numbers.alpha, 0.99},
                   {"epsilon", &s->numbers.epsilon, 1e-8},
                   {"weight_decay", &s->weight_decay, 0},
                   {"l1", &s->numbers.l1, 0}};
    for (size_t i = 0; i < TN_COUNT(numbers); i++) {
        /* Attributes are float32; the numbers meant are short decimals, as 0.999, which rounding to 7 digits gives back. */
        double x = (double)tn_attr_float(node, numbers[i].name, (float)numbers[i].fallback);
        double unit = x == 0 ? 1 : pow(10, 7 - ceil(log10(fabs(x))));
        *numbers[i].to = unit > 1 ? rint(x * unit) / unit : x;
    }
    return TN_OK;
}

#define RUN(type, kernel)                                                                                              \
    do {                                                                                                               \
        const type *in[4] = {0};                                                                                       \
        type *out[3] = {0};                                                                                            \
        for (int i = 0; i < 4 && j->in[PARAMETER + i]; i++) in[i] = (const type *)j->in[PARAMETER + i]->data + first;  \
        for (int i = 0; i < 3 && j->out[i]; i++) out[i] = (type *)j->out[i]->data + first;                             \
        kernel(&j->numbers, (size_t)(last - first), in[0], in[1], in[2], in[3], out[0], out[1], out[2]);               \
    } while (0)

static void some_elements(void *context, int64_t task) {
    const job *j = context;
    int64_t count = tn_count(j->in[PARAMETER]);
    int64_t first = tn_task_start(count, j->tasks, task), last = tn_task_start(count, j->tasks, task + 1);
    if (j->in[PARAMETER]->dtype == TN_FLOAT64)
        RUN(double, j->s->f64);
    else
        RUN(float, j->s->f32);
}

static double scalar(const tn_tensor *t) {
    return tn_get_double(t->dtype, t->data, 0);
}

static tn_status run(tn_run *call) {
    const state *s = call->state;
    job j = {.s = s, .numbers = s->numbers};
    tn_step_numbers *p = &j.numbers;
    for (int i = 0; i < call->in_count; i++) j.in[i] = tn_in(call, i);
    for (int i = 0; i < call->out_count; i++) {
        j.out[i] = tn_out(call, i);
        if (!j.out[i]) return tn_fail(TN_E_UNSUPPORTED, "output %d is read by nobody; all of a step's must be", i);
    }
    double count = (double)*(const int64_t *)j.in[COUNT]->data;
    if (count < 1) return tn_fail(TN_E_INVALID, "input 1 counts %g steps; expected 1 at the first", count);
    p->rate = scalar(j.in[RATE]);
    p->factor = scalar(j.in[FACTOR]);
    p->decay = s->decoupled ? 0 : s->weight_decay;
    p->keep = s->decoupled ? 1 - p->rate * s->weight_decay : 1;
    p->size = p->rate / (1 - pow(p->beta1, count));
    p->root2 = sqrt(1 - pow(p->beta2, count));
    int64_t elements = tn_count(j.in[PARAMETER]);
    j.tasks = tn_data_tasks(elements, (int64_t)tn_dtype_bytes(j.in[PARAMETER]->dtype, 4));
    if (elements) tn_parallel(call->pool, j.tasks, some_elements, &j);
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
