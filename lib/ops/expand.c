/* Expand: an input repeated to a larger shape, by the walk of broadcast.h. Packed elements are not for it. */
#include "ops/broadcast.h"
#include "ops/data.h"
#include "ops/fill.h"

static tn_status infer_expand(tn_infer *call) {
    const tn_type *x = call->in[0];
    int64_t count = -1, target[TN_MAX_RANK], dims[TN_MAX_RANK];
    size_t known;
    TN_TRY(tn_infer_tensor(call, 0));
    TN_TRY(tn_infer_list(call, 1, &count));
    if (tn_dtype_bits(x->dtype) % 8) return tn_infer_fail(call, 0, TN_E_TYPE, "expected elements of whole bytes");
    if (count > TN_MAX_RANK)
        return tn_infer_fail(call, 1, TN_E_SHAPE, "a shape has at most %d dimensions", TN_MAX_RANK);
    bool contents = tn_infer_ints(call, 1, target, TN_MAX_RANK, &known);
    if (contents) count = (int64_t)known;
    if (x->rank < 0 || count < 0) return tn_infer_out(call, 0, x->dtype, -1, NULL);
    int rank = TN_MAX((int)count, x->rank);
    for (int i = 0; i < rank; i++) {
        int own = i - (rank - x->rank), wished = i - (rank - (int)count);
        int64_t have = own >= 0 ? x->dims[own] : 1, want = wished < 0 ? 1 : contents ? target[wished] : -1;
        if (contents && want < 0)
            return tn_infer_fail(call, 1, TN_E_INVALID, "its element %d is %lld", wished, (long long)want);
        if (have >= 0 && want >= 0 && have != 1 && want != 1 && have != want)
            return tn_infer_fail(call, 0, TN_E_SHAPE, "its dimension %d does not broadcast to %lld", own,
                                 (long long)want);
        /* Of two, one of which is 1, the other counts. */
        dims[i] = want == 1 || (want < 0 && have >= 0 && have != 1) ? have : want;
    }
    return tn_infer_out(call, 0, x->dtype, rank, dims);
}

static tn_status prepare_expand(tn_prepare *call) {
    tn_broadcast *plan = tn_prepare_alloc(call, sizeof *plan);
    if (!plan) return TN_E_MEMORY;
    tn_broadcast_plan(plan, 1, call->in, call->out);
    call->state = plan;
    return TN_OK;
}

typedef struct {
    char *y;
    const char *x;
    size_t element;
} copy;

static void expand_strip(void *context, int64_t out, size_t rows, size_t n, const tn_strip *in) {
    const copy *c = context;
    char *y = c->y + (size_t)out * c->element;
    const char *x = c->x + (size_t)in->first * c->element;
    for (size_t r = 0; r < rows; r++, y += n * c->element, x += in->row * c->element)
        if (in->step)
            memcpy(y, x, n * c->element);
        else
            tn_fill(y, x, c->element, (int64_t)n);
}

static tn_status run_expand(tn_run *call) {
    const tn_tensor *x = tn_in(call, 0);
    const tn_tensor *shape = tn_in(call, 1);
    tn_tensor *y = tn_out(call, 0);
    if (!y) return TN_OK;
    int offset = y->rank - (int)tn_count(shape);
    for (int i = TN_MAX(offset, 0); i < y->rank; i++) {
        int64_t want = tn_index_at(shape, i - offset);
        if (want != 1) TN_TRY(tn_run_check(y, i, want));
    }
    copy c = {y->data, x->data, tn_dtype_bits(x->dtype) / 8};
    tn_broadcast_run(call->state, call->pool, 1 << 16, expand_strip, &c);
    return TN_OK;
}

const tn_op tn_ops_expand[] = {
    {.domain = "",
     .name = "Expand",
     .min_in = 2,
     .max_in = 2,
     .min_out = 1,
     .max_out = 1,
     .infer = infer_expand,
     .prepare = prepare_expand,
     .run = run_expand},
    {0},
};
