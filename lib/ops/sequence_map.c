/* SequenceMap: what is known of its types. It is made a Loop before anything runs (lib/passes/sequence_map.c). */
#include "graph/op.h"

static tn_status infer(tn_infer *call) {
    tn_graph *body = tn_attr_graph(call->node, "body");
    const tn_type *first = call->in[0];
    if (first->kind != TN_KIND_UNKNOWN && first->kind != TN_KIND_SEQUENCE)
        return tn_infer_fail(call, 0, TN_E_TYPE, "expected a sequence");
    if (!body || body->input_count != call->in_count || body->output_count != call->out_count)
        return tn_fail(TN_E_FORMAT, "its body must be a graph with %d inputs and %d outputs", call->in_count,
                       call->out_count);
    for (int i = 0; i < call->in_count; i++) {
        if (!call->in[i]) return tn_fail(TN_E_FORMAT, "input %d is absent", i);
        tn_type *type = &body->values[body->inputs[i]].type;
        *type = *call->in[i];
        if (type->kind == TN_KIND_SEQUENCE) type->kind = TN_KIND_TENSOR;
    }
    tn_status status = tn_graph_infer(body);
    if (status != TN_OK) return tn_fail_context(status, "in its body");
    for (int i = 0; i < call->out_count; i++) {
        call->out[i] = body->values[body->outputs[i]].type;
        call->out[i].kind = TN_KIND_SEQUENCE;
    }
    return TN_OK;
}

const tn_op tn_ops_sequence_map[] = {
    {.domain = "",
     .name = "SequenceMap",
     .min_in = 1,
     .max_in = -1,
     .min_out = 1,
     .max_out = -1,
     .flags = TN_OP_CONTROL,
     .infer = infer},
    {0},
};
