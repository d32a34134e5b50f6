/* Gelu in its exact and its tanh form, alone or after a bias along the last axis: ai.onnx Gelu, and of com.microsoft
 * Gelu, BiasGelu and FastGelu (the tanh form). */
#include "ops/unary.h"
#include "base/element.h"
#include <math.h>

typedef struct state {
    bool tanh;
    tn_unary_kernel *kernel;
} state;

typedef struct job {
    const state *state;
    const tn_kernels *kernels;
    tn_dtype dtype;
    const char *x, *bias; /* bias may be NULL */
    char *y;
    size_t count, row, task; /* elements; task is a multiple of row if there is a bias */
} job;

static tn_status decode(const tn_node *node, bool *out_tanh) {
    const char *form = tn_attr_text(node, "approximate", "none");
    if (strcmp(form, "none") != 0 && strcmp(form, "tanh") != 0)
        return tn_fail(TN_E_INVALID, "attribute approximate is '%.40s'; expected none or tanh", form);
    *out_tanh = strcmp(node->op->name, "FastGelu") == 0 || strcmp(form, "tanh") == 0;
    return TN_OK;
}

static tn_status gelu_infer(tn_infer *call) {
    bool tanh_form;
    TN_TRY(tn_infer_dtype(call, 0, TN_FLOATS));
    TN_TRY(decode(call->node, &tanh_form));
    if (tn_infer_has(call, 1)) {
        const tn_type *x = call->in[0], *bias = call->in[1];
        TN_TRY(tn_infer_dtype(call, 1, TN_FLOATS));
        if (x->dtype && bias->dtype && x->dtype != bias->dtype)
            return tn_infer_fail(call, 1, TN_E_TYPE, "expected %s, as input 0 is", tn_dtype_name(x->dtype));
        if (bias->rank >= 0 && bias->rank != 1)
            return tn_infer_fail(call, 1, TN_E_SHAPE, "expected a bias of one dimension");
        if (x->rank == 0) return tn_infer_fail(call, 0, TN_E_SHAPE, "a scalar has no last axis for the bias");
        int64_t last = x->rank > 0 ? x->dims[x->rank - 1] : -1;
        if (bias->rank == 1 && bias->dims[0] >= 0 && last >= 0 && bias->dims[0] != last)
            return tn_infer_fail(call, 1, TN_E_SHAPE, "the last axis of input 0 has %lld", (long long)last);
    }
    return tn_infer_same(call, 0, 0);
}

static tn_status gelu_prepare(tn_prepare *call) {
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    TN_TRY(decode(call->node, &s->tanh));
    s->kernel = s->tanh ? call->kernels->gelu_tanh_f32 : call->kernels->gelu_f32;
    return TN_OK;
}

static double gelu_double(double x, bool tanh_form) {
    if (!tanh_form) return 0.5 * x * erfc(-x * 0.70710678118654752440);
    return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
}

static void gelu_task(void *context, int64_t index) {
    const job *j = context;
    size_t first = (size_t)index * j->task, n = TN_MIN(j->count - first, j->task);
    if (j->dtype == TN_FLOAT32) {
        const float *x = (const float *)j->x + first;
        float *y = (float *)j->y + first;
        if (j->bias) j->kernels->add_f32(n / j->row, j->row, y, x, j->row, 1, j->bias, 0, 1);
        j->state->kernel(y, j->bias ? y : x, n, NULL);
        return;
    }
    const double *x = (const double *)j->x + first, *bias = (const double *)j->bias;
    double *y = (double *)j->y + first;
    for (size_t i = 0; i < n; i++) y[i] = gelu_double(x[i] + (bias ? bias[i % j->row] : 0), j->state->tanh);
}

static tn_status gelu_run(tn_run *call) {
    const tn_tensor *x = tn_in(call, 0), *bias = tn_in(call, 1);
    tn_tensor *y = tn_out(call, 0);
    if (!y || tn_count(y) == 0) return TN_OK;
    job j = {call->state, call->kernels,       x->dtype, x->data, bias ? bias->data : NULL,
             y->data,     (size_t)tn_count(x), 1,        0};
    if (bias) j.row = (size_t)x->dims[x->rank - 1];
    j.task = TN_MAX(TN_UNARY_TASK / j.row, 1) * j.row;
    tn_parallel(call->pool, (int64_t)((j.count + j.task - 1) / j.task), gelu_task, &j);
    return TN_OK;
}

#define GELU(domain_, name_, least, most)                                                                              \
    {                                                                                                                  \
        .domain = domain_, .name = name_, .min_in = least, .max_in = most, .min_out = 1, .max_out = 1,                 \
        .flags = TN_OP_WIDEN | TN_OP_IN_PLACE, .infer = gelu_infer, .prepare = gelu_prepare, .run = gelu_run           \
    }

const tn_op tn_ops_gelu[] = {
    GELU("", "Gelu", 1, 1),
    GELU("com.microsoft", "Gelu", 1, 1),
    GELU("com.microsoft", "BiasGelu", 2, 2),
    GELU("com.microsoft", "FastGelu", 1, 2),
    {0},
};
