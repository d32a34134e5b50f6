/* Where: elements of one input or the other, as a third one says; by the size of an element alone. */
#include "ops/broadcast.h"
#include "ops/data.h"

static tn_status infer_where(tn_infer *call) {
    int64_t dims[TN_MAX_RANK];
    int rank;
    TN_TRY(tn_infer_dtype(call, 0, (const tn_dtype[]){TN_BOOL, TN_UNDEFINED}));
    TN_TRY(tn_infer_tensor(call, 1));
    TN_TRY(tn_infer_tensor(call, 2));
    TN_TRY(tn_infer_equal_dtype(call, 1, 2));
    tn_dtype dtype = call->in[1]->dtype ? call->in[1]->dtype : call->in[2]->dtype;
    if (tn_dtype_bits(dtype) % 8) return tn_infer_fail(call, 1, TN_E_TYPE, "expected elements of whole bytes");
    TN_TRY(tn_infer_broadcast(call, 3, (int[]){0, 1, 2}, &rank, dims));
    return tn_infer_out(call, 0, dtype, rank, dims);
}

static tn_status prepare_where(tn_prepare *call) {
    tn_broadcast *plan = tn_prepare_alloc(call, sizeof *plan);
    if (!plan) return TN_E_MEMORY;
    tn_broadcast_plan(plan, 3, call->in, call->out);
    call->state = plan;
    return TN_OK;
}

typedef struct {
    const tn_kernels *kernels;
    const uint8_t *condition;
    const char *a, *b;
    char *y;
    size_t size;
} where_run;

typedef struct {
    uint64_t low, high;
} wide; /* string, complex128 */

static void where_row(const where_run *r, size_t n, void *y, const uint8_t *condition, size_t step, const void *a,
                      size_t a_step, const void *b, size_t b_step) {
    if (r->size == 4 && step) {
        r->kernels->select_32(n, y, condition, a, a_step, b, b_step);
        return;
    }
    switch (r->size) {
#define SELECT(T)                                                                                                      \
    case sizeof(T):                                                                                                    \
        for (size_t i = 0; i < n; i++) {                                                                               \
            T p = ((const T *)a)[i * a_step], q = ((const T *)b)[i * b_step];                                          \
            ((T *)y)[i] = condition[i * step] ? p : q;                                                                 \
        }                                                                                                              \
        return;
        SELECT(uint8_t)
        SELECT(uint16_t)
        SELECT(uint32_t)
        SELECT(uint64_t)
        SELECT(wide)
#undef SELECT
    }
}

static void where_strip(void *context, int64_t out, size_t rows, size_t n, const tn_strip *in) {
    const where_run *r = context;
    char *y = r->y + (size_t)out * r->size;
    const uint8_t *condition = r->condition + in[0].first;
    const char *a = r->a + (size_t)in[1].first * r->size, *b = r->b + (size_t)in[2].first * r->size;
    for (size_t k = 0; k < rows; k++) {
        where_row(r, n, y, condition, in[0].step, a, in[1].step, b, in[2].step);
        y += n * r->size;
        condition += in[0].row;
        a += in[1].row * r->size;
        b += in[2].row * r->size;
    }
}

static tn_status run_where(tn_run *call) {
    const tn_tensor *condition = tn_in(call, 0), *a = tn_in(call, 1), *b = tn_in(call, 2);
    tn_tensor *y = tn_out(call, 0);
    if (!y) return TN_OK;
    where_run r = {call->kernels, condition->data, a->data, b->data, y->data, tn_dtype_bits(a->dtype) / 8};
    tn_broadcast_run(call->state, call->pool, 1 << 15, where_strip, &r);
    return TN_OK;
}

const tn_op tn_ops_where[] = {
    {.domain = "",
     .name = "Where",
     .min_in = 3,
     .max_in = 3,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_IN_PLACE,
     .infer = infer_where,
     .prepare = prepare_where,
     .run = run_where},
    {0},
};
