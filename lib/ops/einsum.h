/* Einsum's equation and its plan; einsum.c is the operator, einsum_run.c the plan.
 *
 * A label is a number: letters have 0 to 51, the dims of the ellipsis 52 to 59. Sets of labels are bit masks. */
#ifndef TN_OPS_EINSUM_H
#define TN_OPS_EINSUM_H

#include "graph/op.h"

enum { TN_EINSUM_LABELS = 60, TN_EINSUM_ELLIPSIS = 52 };

/* An operand: its stride along each label of `mask`. Labels that it repeats have the sum of their strides (the
 * diagonal); those along which it is 1 and others are not are not in the mask. */
typedef struct tn_einsum_side {
    uint64_t mask;
    int64_t strides[TN_EINSUM_LABELS];
} tn_einsum_side;

typedef struct tn_einsum {
    int count, rank;      /* of inputs; of the output */
    int out[TN_MAX_RANK]; /* labels of the output */
    int64_t dims[TN_EINSUM_LABELS];
    tn_einsum_side *sides; /* [count] */
} tn_einsum;

typedef struct tn_einsum_plan tn_einsum_plan;

tn_status tn_einsum_prepare(tn_prepare *call, const tn_einsum *e, tn_einsum_plan **out_plan);
tn_status tn_einsum_run(const tn_run *call, const tn_einsum_plan *plan);

#endif
