/* "tenon" QTable {X, table}: each byte of X becomes the table's byte at that place. What passes make of elementwise nodes
 * between 8-bit values; X and the table may be of either kind of 8-bit integers, the output is of the table's. */
#include "ops/qtable.h"
#include "ops/quant.h"

enum { TASK = 1 << 16 };

static tn_status infer_table(tn_infer *call) {
    TN_TRY(tn_infer_bytes(call, 0, 0));
    TN_TRY(tn_infer_bytes(call, 1, 1));
    const tn_type *table = call->in[1];
    if (table->rank >= 0 && tn_type_count(table) != 256)
        return tn_infer_fail(call, 1, TN_E_SHAPE, "expected 256 bytes");
    return tn_infer_out(call, 0, table->dtype, call->in[0]->rank, call->in[0]->dims);
}

typedef struct look_up {
    const tn_kernels *kernels;
    const uint8_t *table, *x;
    uint8_t *y;
    size_t n;
} look_up;

static void look_up_task(void *context, int64_t task) {
    const look_up *l = context;
    size_t first = (size_t)task * TASK;
    l->kernels->qlook_up(l->y + first, l->x + first, TN_MIN((size_t)TASK, l->n - first), l->table);
}

void tn_look_up(const tn_run *call, const uint8_t *table, const void *x, void *y, size_t n) {
    look_up l = {call->kernels, table, x, y, n};
    tn_parallel(call->pool, (int64_t)((n + TASK - 1) / TASK), look_up_task, &l);
}

static tn_status run_table(tn_run *call) {
    tn_tensor *y = tn_out(call, 0);
    if (y) tn_look_up(call, tn_in(call, 1)->data, tn_in(call, 0)->data, y->data, (size_t)tn_count(y));
    return TN_OK;
}

const tn_op tn_ops_qtable[] = {
    {.domain = "tenon",
     .name = "QTable",
     .min_in = 2,
     .max_in = 2,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_IN_PLACE_FIRST | TN_OP_BATCH,
     .infer = infer_table,
     .run = run_table},
    {0},
};
