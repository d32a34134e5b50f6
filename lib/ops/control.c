/* If, Loop, Scan: what is known of their types when a graph is built. The executor runs them (lib/exec/control.c), and
 * infers anew for given shapes.
 *
 * Here a Loop's carried values are known by dtype alone, because each turn may change their shapes. */
#include "graph/op.h"

static tn_status infer_body(tn_graph *body) {
    tn_status status = tn_graph_infer(body);
    return status == TN_OK ? TN_OK : tn_fail_context(status, "in its body");
}

static tn_status infer_if(tn_infer *call) {
    static const char *const names[2] = {"then_branch", "else_branch"};
    int wrong = 0;
    for (int b = 0; b < 2; b++) {
        tn_graph *body = tn_attr_graph(call->node, names[b]);
        if (!body || body->input_count || body->output_count < call->out_count)
            return tn_fail(TN_E_FORMAT, "its %s must be a graph with no inputs and %d outputs", names[b],
                           call->out_count);
        tn_status status = infer_body(body);
        /* A branch for other ranks than the inputs have is there to be not taken. */
        if (status != TN_OK && ++wrong == 2) return status;
        for (int i = 0; i < call->out_count && status == TN_OK; i++) {
            const tn_type *type = &body->values[body->outputs[i]].type;
            if (b == wrong)
                call->out[i] = *type;
            else
                tn_type_merge(&call->out[i], type);
        }
    }
    return TN_OK;
}

/* Type of a carried value: what holds in every turn. */
static void carried_type(const tn_type *initial, tn_type *type) {
    tn_type_unknown(type);
    if (!initial) return;
    type->kind = initial->kind;
    type->optional = initial->optional;
    type->dtype = initial->dtype;
}

static tn_status infer_loop(tn_infer *call) {
    tn_graph *body = tn_attr_graph(call->node, "body");
    int carried = call->in_count - 2;
    if (!body || carried < 0 || body->input_count != carried + 2 || body->output_count < carried + 1 ||
        call->out_count > body->output_count - 1)
        return tn_fail(TN_E_FORMAT, "its body must be a graph with %d inputs and at least %d outputs", carried + 2,
                       carried + 1);
    for (int i = 0; i < body->input_count; i++) {
        tn_type type;
        if (i == 0)
            tn_type_tensor(&type, TN_INT64, 0, NULL);
        else if (i == 1)
            tn_type_tensor(&type, TN_BOOL, 0, NULL);
        else
            carried_type(call->in[i], &type);
        body->values[body->inputs[i]].type = type;
    }
    TN_TRY(infer_body(body));
    for (int i = 0; i < call->out_count; i++) {
        const tn_type *type = &body->values[body->outputs[i + 1]].type;
        if (i < carried)
            carried_type(call->in[i + 2], &call->out[i]);
        else
            TN_TRY(tn_type_stacked(type, -1, 0, &call->out[i]));
    }
    return TN_OK;
}

static tn_status infer_scan(tn_infer *call) {
    tn_graph *body = tn_attr_graph(call->node, "body");
    int64_t scans = tn_attr_int(call->node, "num_scan_inputs", 0), turns = -1;
    if (!body || scans < 1 || scans > call->in_count || body->input_count != call->in_count)
        return tn_fail(TN_E_FORMAT, "its body must be a graph with %d inputs, and num_scan_inputs be 1 to that",
                       call->in_count);
    int carried = call->in_count - (int)scans;
    if (body->output_count < carried || call->out_count > body->output_count)
        return tn_fail(TN_E_FORMAT, "its body must have at least %d outputs", TN_MAX(carried, call->out_count));
    for (int i = 0; i < call->in_count; i++) {
        if (!call->in[i]) return tn_fail(TN_E_FORMAT, "input %d is absent", i);
        tn_type type = *call->in[i];
        if (i >= carried && type.rank >= 0) {
            int axis;
            TN_TRY(
                tn_infer_axis(call, tn_attr_int_at(call->node, "scan_input_axes", i - carried, 0), type.rank, &axis));
            turns = type.dims[axis];
            for (int d = axis; d < type.rank - 1; d++) type.dims[d] = type.dims[d + 1];
            type.dims[--type.rank] = -1;
        }
        body->values[body->inputs[i]].type = type;
    }
    TN_TRY(infer_body(body));
    for (int i = 0; i < call->out_count; i++) {
        if (i < carried)
            call->out[i] = *call->in[i];
        else
            TN_TRY(tn_type_stacked(&body->values[body->outputs[i]].type, turns,
                                   tn_attr_int_at(call->node, "scan_output_axes", i - carried, 0), &call->out[i]));
    }
    return TN_OK;
}

const tn_op tn_ops_control[] = {
    {.domain = "",
     .name = "If",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = -1,
     .flags = TN_OP_CONTROL,
     .infer = infer_if},
    {.domain = "",
     .name = "Loop",
     .min_in = 0, /* count and condition may be absent, but have their places */
     .max_in = -1,
     .min_out = 1,
     .max_out = -1,
     .flags = TN_OP_CONTROL,
     .infer = infer_loop},
    {.domain = "",
     .name = "Scan",
     .min_in = 1,
     .max_in = -1,
     .min_out = 1,
     .max_out = -1,
     .flags = TN_OP_CONTROL,
     .infer = infer_scan},
    {0},
};
