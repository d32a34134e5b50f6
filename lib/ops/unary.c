/* Unary mathematics: roots, powers of e, trigonometry, rounding; and what all rows of unary.h share. */
#include "ops/unary.h"
#include "base/element.h"
#include "ops/elements.h"
#include <math.h>

typedef struct state {
    const tn_unary *unary;
    tn_unary_kernel *kernel;
    float p[3];
    double p64[3];
} state;

typedef struct job {
    const state *state;
    tn_dtype dtype;
    const void *x;
    void *y;
} job;

tn_status tn_unary_infer(tn_infer *call) {
    const tn_unary *unary = call->node->op->context;
    double p[3];
    TN_TRY(tn_infer_dtype(call, 0, unary->dtypes));
    if (unary->parameters) TN_TRY(unary->parameters(call->node, p));
    return tn_infer_same(call, 0, 0);
}

tn_status tn_unary_prepare(tn_prepare *call) {
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    s->unary = call->node->op->context;
    if (s->unary->parameters) TN_TRY(s->unary->parameters(call->node, s->p64));
    for (int i = 0; i < 3; i++) s->p[i] = (float)s->p64[i];
    if (s->unary->has_kernel) memcpy(&s->kernel, (const char *)call->kernels + s->unary->kernel, sizeof s->kernel);
    return TN_OK;
}

/* Any dtype, through buffers. */
static void run_generic(const job *j, size_t first, size_t n) {
    enum { BUFFER = 256 };
    const state *s = j->state;
    int64_t whole[BUFFER];
    double real[BUFFER];
    bool is_whole = s->unary->whole && tn_dtype_is_integer(j->dtype);
    bool is_signed = tn_dtype_is_signed(j->dtype);
    for (size_t done = 0, m; done < n; done += m) {
        int64_t at = (int64_t)(first + done);
        m = TN_MIN(n - done, (size_t)BUFFER);
        if (is_whole) {
            tn_read_ints(j->dtype, j->x, at, m, whole);
            for (size_t i = 0; i < m; i++) whole[i] = s->unary->whole(whole[i], is_signed);
            tn_write_ints(j->dtype, j->y, at, m, whole, (tn_narrowing){0});
        } else {
            tn_read_doubles(j->dtype, j->x, at, m, real);
            for (size_t i = 0; i < m; i++) real[i] = s->unary->f64(real[i], s->p64);
            tn_write_doubles(j->dtype, j->y, at, m, real, (tn_narrowing){0});
        }
    }
}

static void run_range(void *context, int64_t from, int64_t last) {
    const job *j = context;
    size_t first = (size_t)from, n = (size_t)(last - from);
    if (j->dtype == TN_FLOAT32 && j->state->kernel)
        j->state->kernel((float *)j->y + first, (const float *)j->x + first, n, j->state->p);
    else
        run_generic(j, first, n);
}

tn_status tn_unary_run(tn_run *call) {
    const tn_tensor *x = tn_in(call, 0);
    tn_tensor *y = tn_out(call, 0);
    if (!y) return TN_OK;
    job j = {call->state, x->dtype, x->data, y->data};
    const tn_elements elements = tn_elements_of(x->rank, x->dims);
    tn_elements_run(&elements, call->pool, TN_UNARY_TASK, run_range, &j);
    return TN_OK;
}

#define F64(name, expression)                                                                                          \
    static double name##_f64(double x, const double *p) {                                                              \
        (void)p;                                                                                                       \
        return expression;                                                                                             \
    }
F64(floor, floor(x))
F64(ceil, ceil(x))
F64(round, rint(x))
F64(sqrt, sqrt(x))
F64(reciprocal, 1 / x)
F64(exp, exp(x))
F64(log, log(x))
F64(erf, erf(x))
F64(sin, sin(x))
F64(cos, cos(x))
F64(tan, tan(x))
F64(asin, asin(x))
F64(acos, acos(x))
F64(atan, atan(x))
F64(sinh, sinh(x))
F64(cosh, cosh(x))
F64(asinh, asinh(x))
F64(acosh, acosh(x))
F64(atanh, atanh(x))

#define WITH_KERNEL(name_, function)                                                                                   \
    TN_UNARY_OP("", name_, TN_UNARY_KERNEL(function), .f64 = function##_f64, .dtypes = TN_FLOATS)
#define WITHOUT(name_, function) TN_UNARY_OP("", name_, .f64 = function##_f64, .dtypes = TN_FLOATS)

const tn_op tn_ops_unary[] = {
    WITH_KERNEL("Floor", floor),
    WITH_KERNEL("Ceil", ceil),
    WITH_KERNEL("Round", round),
    WITH_KERNEL("Sqrt", sqrt),
    WITH_KERNEL("Reciprocal", reciprocal),
    WITH_KERNEL("Exp", exp),
    WITH_KERNEL("Log", log),
    WITH_KERNEL("Erf", erf),
    WITH_KERNEL("Sin", sin),
    WITH_KERNEL("Cos", cos),
    WITHOUT("Tan", tan),
    WITHOUT("Asin", asin),
    WITHOUT("Acos", acos),
    WITHOUT("Atan", atan),
    WITHOUT("Sinh", sinh),
    WITHOUT("Cosh", cosh),
    WITHOUT("Asinh", asinh),
    WITHOUT("Acosh", acosh),
    WITHOUT("Atanh", atanh),
    {0},
};
