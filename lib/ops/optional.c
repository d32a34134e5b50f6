/* Optional values: a tensor or a sequence that may be nothing. */
#include "graph/op.h"

static tn_status optional_infer(tn_infer *call) {
    const tn_attr *type = tn_node_attr(call->node, "type");
    if (tn_infer_has(call, 0))
        call->out[0] = *call->in[0];
    else if (type && type->kind == TN_ATTR_TYPE)
        call->out[0] = *type->type;
    else
        return tn_fail(TN_E_INVALID, "it has neither an input nor attribute type; give one");
    call->out[0].optional = true;
    return TN_OK;
}

static tn_status optional_run(tn_run *call) {
    if (call->in_count && call->in[0] && call->in[0]->present) return tn_run_copy(call, 0, call->in[0]);
    tn_run_absent(call, 0);
    return TN_OK;
}

static tn_status has_infer(tn_infer *call) {
    return tn_infer_out(call, 0, TN_BOOL, 0, NULL);
}

static tn_status has_run(tn_run *call) {
    *(bool *)tn_out(call, 0)->data = call->in_count && call->in[0] && call->in[0]->present;
    return TN_OK;
}

static tn_status get_infer(tn_infer *call) {
    call->out[0] = *call->in[0];
    call->out[0].optional = false;
    return TN_OK;
}

static tn_status get_run(tn_run *call) {
    if (!call->in[0] || !call->in[0]->present)
        return tn_fail(TN_E_INVALID, "the optional holds nothing; ask OptionalHasElement first");
    return tn_run_copy(call, 0, call->in[0]);
}

const tn_op tn_ops_optional[] = {
    {.domain = "",
     .name = "Optional",
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .infer = optional_infer,
     .run = optional_run},
    {.domain = "",
     .name = "OptionalHasElement",
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .infer = has_infer,
     .run = has_run},
    {.domain = "",
     .name = "OptionalGetElement",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .infer = get_infer,
     .run = get_run},
    {0},
};
