/* What operators of two broadcasting inputs share. See binary.h. */
#include "ops/binary.h"
#include "ops/data.h"

typedef struct {
    tn_broadcast plan;
    tn_loop2 loop;
    size_t in_size, out_size; /* bytes of an element */
    bool swap;
} binary_state;

tn_status tn_binary_infer(tn_infer *call) {
    const tn_binary_rule *rule = call->node->op->context;
    int64_t dims[TN_MAX_RANK];
    int rank;
    for (int i = 0; i < 2; i++) TN_TRY(tn_infer_dtype(call, i, rule->dtypes));
    TN_TRY(tn_infer_equal_dtype(call, 0, 1));
    tn_dtype dtype = call->in[0]->dtype ? call->in[0]->dtype : call->in[1]->dtype;
    if (rule->check) TN_TRY(rule->check(call->node, dtype));
    TN_TRY(tn_infer_broadcast(call, 2, (int[]){0, 1}, &rank, dims));
    return tn_infer_out(call, 0, rule->output ? rule->output : dtype, rank, dims);
}

tn_status tn_binary_prepare_loop(tn_prepare *call, tn_loop2 loop, bool swap) {
    binary_state *s = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    if (!loop) return tn_fail(TN_E_TYPE, "no loop for %s", tn_dtype_name(call->in[0]->dtype));
    tn_broadcast_plan(&s->plan, 2, call->in, call->out);
    s->loop = loop;
    s->swap = swap;
    s->in_size = tn_dtype_bits(call->in[0]->dtype) / 8;
    s->out_size = tn_dtype_bits(call->out[0].dtype) / 8;
    call->state = s;
    return TN_OK;
}

tn_status tn_binary_prepare(tn_prepare *call) {
    const tn_binary_rule *rule = call->node->op->context;
    return tn_binary_prepare_loop(call, rule->loop(call->kernels, call->node, call->in[0]->dtype), rule->swap);
}

typedef struct {
    const binary_state *state;
    const char *a, *b;
    char *y;
} binary_run;

static void strip(void *context, int64_t out, size_t rows, size_t n, const tn_strip *in) {
    const binary_run *r = context;
    const binary_state *s = r->state;
    const char *a = r->a + (size_t)in[0].first * s->in_size, *b = r->b + (size_t)in[1].first * s->in_size;
    char *y = r->y + (size_t)out * s->out_size;
    if (s->swap)
        s->loop(rows, n, y, b, in[1].row, in[1].step, a, in[0].row, in[0].step);
    else
        s->loop(rows, n, y, a, in[0].row, in[0].step, b, in[1].row, in[1].step);
}

tn_status tn_binary_run(tn_run *call) {
    const binary_state *s = call->state;
    const tn_tensor *a = tn_in(call, 0), *b = tn_in(call, 1);
    tn_tensor *y = tn_out(call, 0);
    if (!y) return TN_OK;
    binary_run r = {s, a->data, b->data, y->data};
    tn_broadcast_run(&s->plan, call->pool, 1 << 15, strip, &r);
    return TN_OK;
}
