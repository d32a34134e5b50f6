/* Min, Max, Sum, Mean of any number of broadcasting inputs.
 *
 * Two inputs are a binary operator. More are folded by blocks that stay in the cache: a block of the output gathers
 * the inputs one by one and is written last, so that the output may be the memory of any input of its size. */
#include "base/element.h"
#include "ops/binary.h"
#include "ops/data.h"

enum { BLOCK = 1024, GRAIN = 16 * BLOCK };

typedef enum { SUM, MEAN, LEAST, GREATEST } fold;

/* NaN wins; on integers p == p, which the compiler knows. */
#define LOOPS(name, s, T)                                                                                              \
    TN_LOOP2(min_##s, T, T, p < q || p != p ? p : q)                                                                   \
    TN_LOOP2(max_##s, T, T, p > q || p != p ? p : q)
LOOPS(TN_FLOAT64, f64, double)
TN_EACH_INTEGER(LOOPS)
#undef LOOPS
TN_LOOP2(add_f64, double, double, p + q)
TN_LOOP2(div_f64, double, double, p / q)

static fold fold_of(const tn_node *node) {
    return (fold)(intptr_t)node->op->context;
}

static tn_loop2 find_loop(const tn_kernels *kernels, fold which, tn_dtype dtype) {
    bool sum = which == SUM || which == MEAN;
    switch (dtype) {
    case TN_FLOAT32: return sum ? kernels->add_f32 : which == LEAST ? kernels->min_f32 : kernels->max_f32;
#define LOOP(name, s, T)                                                                                               \
    case name:                                                                                                         \
        if (which == LEAST) return min_##s;                                                                            \
        if (which == GREATEST) return max_##s;                                                                         \
        break;
        LOOP(TN_FLOAT64, f64, double)
        TN_EACH_INTEGER(LOOP)
#undef LOOP
    default: break;
    }
    return sum && dtype == TN_FLOAT64 ? add_f64 : NULL;
}

static tn_status infer_fold(tn_infer *call) {
    fold which = fold_of(call->node);
    int64_t dims[TN_MAX_RANK] = {0}, partial[TN_MAX_RANK];
    int rank = 0;
    tn_dtype dtype = TN_UNDEFINED;
    for (int i = 0; i < call->in_count; i++) {
        TN_TRY(tn_infer_dtype(call, i, which == SUM || which == MEAN ? TN_FLOATS : TN_NUMBERS));
        if (dtype && call->in[i]->dtype && dtype != call->in[i]->dtype)
            return tn_infer_fail(call, i, TN_E_TYPE, "expected %s, as the inputs before it", tn_dtype_name(dtype));
        if (!dtype) dtype = call->in[i]->dtype;
    }
    /* The result so far broadcasts with the next input. */
    for (int i = 0; i < call->in_count && rank >= 0; i++) {
        tn_type so_far;
        tn_type_tensor(&so_far, dtype, rank, dims);
        const tn_type *pair[2] = {&so_far, call->in[i]};
        tn_infer two = *call;
        two.in = pair;
        two.in_count = 2;
        tn_status status = tn_infer_broadcast(&two, 2, (int[]){0, 1}, &rank, partial);
        if (status != TN_OK) return tn_infer_fail(call, i, status, "it does not broadcast with the inputs before it");
        memcpy(dims, partial, (size_t)TN_MAX(rank, 0) * sizeof *dims);
    }
    return tn_infer_out(call, 0, dtype, rank, dims);
}

typedef struct {
    int64_t count;
    int inputs;
    tn_dtype dtype;
    tn_loop2 loop, divide; /* divide: of Mean */
    tn_broadcast plans[];  /* one an input */
} fold_state;

static tn_status prepare_fold(tn_prepare *call) {
    fold which = fold_of(call->node);
    tn_dtype dtype = call->in[0]->dtype;
    tn_loop2 loop = find_loop(call->kernels, which, dtype);
    if (call->in_count == 2 && which != MEAN) return tn_binary_prepare_loop(call, loop, false);
    fold_state *s = tn_prepare_alloc(call, sizeof *s + (size_t)call->in_count * sizeof *s->plans);
    if (!s) return TN_E_MEMORY;
    if (!loop) return tn_fail(TN_E_TYPE, "no loop for %s", tn_dtype_name(dtype));
    *s = (fold_state){tn_type_count(call->out), call->in_count, dtype, loop, NULL};
    if (which == MEAN) s->divide = dtype == TN_FLOAT32 ? call->kernels->div_f32 : div_f64;
    for (int i = 0; i < call->in_count; i++) tn_broadcast_plan(&s->plans[i], 1, &call->in[i], call->out);
    call->state = s;
    return TN_OK;
}

typedef struct {
    const tn_run *call;
    const fold_state *state;
    size_t size; /* bytes of an element */
} fold_run;

typedef struct {
    tn_loop2 loop; /* NULL: copy */
    const char *x;
    char *block;
    int64_t first; /* of the block */
    size_t size;
} gather;

static void gather_strip(void *context, int64_t out, size_t rows, size_t n, const tn_strip *in) {
    const gather *g = context;
    char *y = g->block + (size_t)(out - g->first) * g->size;
    const char *x = g->x + (size_t)in->first * g->size;
    if (g->loop) {
        g->loop(rows, n, y, y, n, 1, x, in->row, in->step);
        return;
    }
    for (size_t r = 0; r < rows; r++, x += in->row * g->size)
        for (size_t i = 0; i < n; i++, y += g->size) memcpy(y, x + i * in->step * g->size, g->size);
}

static void fold_task(void *context, int64_t index) {
    const fold_run *r = context;
    const fold_state *s = r->state;
    double block[BLOCK];
    float count_f32 = (float)s->inputs;
    double count_f64 = s->inputs;
    char *y = tn_out(r->call, 0)->data;
    int64_t end = TN_MIN((index + 1) * GRAIN, s->count);
    for (int64_t first = index * GRAIN; first < end; first += BLOCK) {
        int64_t last = TN_MIN(first + BLOCK, end);
        for (int i = 0; i < s->inputs; i++) {
            gather g = {i ? s->loop : NULL, tn_in(r->call, i)->data, (char *)block, first, r->size};
            tn_broadcast_walk(&s->plans[i], first, last, gather_strip, &g);
        }
        const void *count = s->dtype == TN_FLOAT32 ? (const void *)&count_f32 : &count_f64;
        if (s->divide) s->divide(1, (size_t)(last - first), block, block, 0, 1, count, 0, 0);
        memcpy(y + (size_t)first * r->size, block, (size_t)(last - first) * r->size);
    }
}

static tn_status run_fold(tn_run *call) {
    if (call->in_count == 2 && fold_of(call->node) != MEAN) return tn_binary_run(call);
    const fold_state *s = call->state;
    fold_run r = {call, s, tn_dtype_bits(s->dtype) / 8};
    if (tn_out(call, 0)) tn_parallel(call->pool, (s->count + GRAIN - 1) / GRAIN, fold_task, &r);
    return TN_OK;
}

#define FOLD_OP(op_name, which)                                                                                        \
    {                                                                                                                  \
        .domain = "", .name = op_name, .min_in = 1, .max_in = -1, .min_out = 1, .max_out = 1,                          \
        .flags = TN_OP_WIDEN | TN_OP_IN_PLACE, .infer = infer_fold, .prepare = prepare_fold, .run = run_fold,          \
        .context = (void *)(intptr_t)(which)                                                                           \
    }

const tn_op tn_ops_variadic[] = {
    FOLD_OP("Min", LEAST), FOLD_OP("Max", GREATEST), FOLD_OP("Sum", SUM), FOLD_OP("Mean", MEAN), {0},
};
