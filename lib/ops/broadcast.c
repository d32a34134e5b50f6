/* Broadcasting as loops over runs. See broadcast.h. */
#include "ops/broadcast.h"

void tn_broadcast_plan(tn_broadcast *plan, int inputs, const tn_type *const *in, const tn_type *out) {
    *plan = (tn_broadcast){.inputs = inputs, .elements = tn_elements_of(out->rank, out->dims), .inner = 1};
    int64_t stride[TN_BROADCAST_INPUTS] = {1, 1, 1};
    int top = TN_MAX_RANK; /* filled from the end: dims [top, TN_MAX_RANK) */
    for (int axis = out->rank - 1; axis >= 0; axis--) {
        int64_t dim = out->dims[axis], step[TN_BROADCAST_INPUTS];
        if (dim == 1) continue;
        bool merge = top < TN_MAX_RANK;
        for (int k = 0; k < inputs; k++) {
            int own = axis - (out->rank - in[k]->rank);
            bool repeats = own < 0 || in[k]->dims[own] == 1;
            step[k] = repeats ? 0 : stride[k];
            if (!repeats) stride[k] *= dim;
            if (merge) merge = step[k] == plan->strides[k][top] * plan->dims[top];
        }
        if (merge) {
            plan->dims[top] *= dim;
            continue;
        }
        plan->dims[--top] = dim;
        for (int k = 0; k < inputs; k++) plan->strides[k][top] = step[k];
    }
    if (top == TN_MAX_RANK) plan->dims[--top] = 1;
    plan->rank = TN_MAX_RANK - top;
    memmove(plan->dims, plan->dims + top, (size_t)plan->rank * sizeof *plan->dims);
    for (int k = 0; k < inputs; k++)
        memmove(plan->strides[k], plan->strides[k] + top, (size_t)plan->rank * sizeof *plan->dims);
    plan->inner = plan->dims[plan->rank - 1];
}

void tn_broadcast_walk(const tn_broadcast *plan, int64_t first, int64_t last, tn_strip_fn strip, void *context) {
    int inner = plan->rank - 1, outer = plan->rank - 2;
    tn_strip in[TN_BROADCAST_INPUTS];
    for (int64_t at = first; at < last;) {
        int64_t rest = at / plan->inner, column = at % plan->inner, rows = 1, n = plan->inner;
        if (column || last - at < n)
            n = TN_MIN(n - column, last - at);
        else if (outer >= 0)
            rows = TN_MIN(plan->dims[outer] - rest % plan->dims[outer], (last - at) / n);
        for (int k = 0; k < plan->inputs; k++) {
            const int64_t *strides = plan->strides[k];
            in[k] =
                (tn_strip){column * strides[inner], outer >= 0 ? (size_t)strides[outer] : 0, (size_t)strides[inner]};
        }
        for (int axis = outer; axis >= 0; axis--) {
            int64_t index = rest % plan->dims[axis];
            rest /= plan->dims[axis];
            for (int k = 0; k < plan->inputs; k++) in[k].first += index * plan->strides[k][axis];
        }
        strip(context, at, (size_t)rows, (size_t)n, in);
        at += rows * n;
    }
}

typedef struct {
    const tn_broadcast *plan;
    tn_strip_fn strip;
    void *context;
} walk;

static void walk_range(void *context, int64_t first, int64_t last) {
    const walk *w = context;
    tn_broadcast_walk(w->plan, first, last, w->strip, w->context);
}

void tn_broadcast_run(const tn_broadcast *plan, tn_pool *pool, int64_t grain, tn_strip_fn strip, void *context) {
    walk w = {plan, strip, context};
    tn_elements_run(&plan->elements, pool, grain, walk_range, &w);
}
