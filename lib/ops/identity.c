/* Identity, also of sequences and optionals. */
#include "graph/op.h"

static tn_status infer_identity(tn_infer *call) {
    return tn_infer_same(call, 0, 0);
}

static tn_status run_identity(tn_run *call) {
    if (call->in[0] && call->in[0]->present) return tn_run_copy(call, 0, call->in[0]);
    tn_run_absent(call, 0);
    return TN_OK;
}

static bool view_identity(const tn_prepare *call, int out, int *in, size_t *byte_offset) {
    (void)out;
    *in = 0;
    *byte_offset = 0;
    return call->in[0]->kind == TN_KIND_TENSOR && !call->in[0]->optional;
}

const tn_op tn_ops_identity[] = {
    {.domain = "",
     .name = "Identity",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .infer = infer_identity,
     .run = run_identity,
     .view = view_identity},
    {0},
};
