/* Control flow: types of If, Loop and Scan for given types of their inputs, and the plans of their bodies.
 *
 * Types of carried values are those that every turn has: inference starts from the initial ones and forgets the dims
 * that the body changes, until nothing changes. Branches that are known not to be taken are left out; one that does not
 * fit the shapes at hand fails only if it is taken after all. (ONNX specification: If, Loop, Scan.) */
#include "exec/plan.h"

#define MAX_TURNS_OF_INFERENCE 16

static bool known_bool(const tn_plan *plan, int value, bool *out) {
    const tn_tensor *t = value >= 0 ? plan->known[value] : NULL;
    if (!t || t->dtype != TN_BOOL || tn_count(t) != 1) return false;
    *out = *(const uint8_t *)t->data != 0;
    return true;
}

static tn_status infer_if(tn_exec *exec, tn_plan *plan, int n, tn_type *out) {
    const tn_node *node = &plan->graph->nodes[n];
    static const char *const names[2] = {"then_branch", "else_branch"};
    bool condition, decided = known_bool(plan, node->in[0], &condition), first = true;
    for (int b = 0; b < 2; b++) {
        const tn_graph *body = tn_attr_graph(node, names[b]);
        tn_plan *child;
        if (!body || body->output_count < node->out_count || body->input_count)
            return tn_fail(TN_E_FORMAT, "its %s must have no inputs and %d outputs", names[b], node->out_count);
        if (decided && condition != (b == 0)) continue;
        tn_status status = tn_plan_infer(exec, plan->region, body, NULL, plan, node, &child);
        if (status == TN_E_MEMORY || (status != TN_OK && (decided || (b == 1 && first)))) return status;
        if (status != TN_OK) continue; /* a branch for other shapes than these; it fails if it is taken after all */
        plan->bodies[n][b] = child;
        for (int i = 0; i < node->out_count; i++) {
            const tn_type *type = &child->types[body->outputs[i]];
            if (first)
                out[i] = *type;
            else
                tn_type_merge(&out[i], type);
        }
        first = false;
    }
    return TN_OK;
}

/* Dims that `seen` has otherwise become unknown; true if there was one. */
static bool generalize(tn_type *type, const tn_type *seen) {
    tn_type before = *type;
    tn_type_merge(type, seen);
    return before.kind != type->kind || before.optional != type->optional || before.dtype != type->dtype ||
           before.rank != type->rank || memcmp(before.dims, type->dims, sizeof before.dims) != 0;
}

/* Makes the body's plan with the carried types that every turn has. `in` holds types for all of the body's inputs, of
 * which those from `first` on are carried; outputs from `out_first` on are theirs. */
static tn_status infer_turns(tn_exec *exec, tn_plan *plan, int n, const tn_graph *body, tn_type *in, int first,
                             int carried, int out_first, tn_plan **out_child) {
    const tn_node *node = &plan->graph->nodes[n];
    for (int turn = 0; turn < MAX_TURNS_OF_INFERENCE; turn++) {
        bool changed = false;
        TN_TRY(tn_plan_infer(exec, plan->region, body, in, plan, node, out_child));
        for (int i = 0; i < carried; i++)
            changed |= generalize(&in[first + i], &(*out_child)->types[body->outputs[out_first + i]]);
        if (!changed) return TN_OK;
    }
    return tn_fail(TN_E_UNSUPPORTED, "the types of its carried values never settle");
}

static tn_type scalar(tn_dtype dtype) {
    tn_type type;
    tn_type_tensor(&type, dtype, 0, NULL);
    return type;
}

static tn_status infer_loop(tn_exec *exec, tn_plan *plan, int n, tn_type *out) {
    const tn_node *node = &plan->graph->nodes[n];
    const tn_graph *body = tn_attr_graph(node, "body");
    int carried = node->formal_in - 2;
    if (!body || carried < 0 || body->input_count != carried + 2 || body->output_count < carried + 1 ||
        node->out_count > body->output_count - 1)
        return tn_fail(TN_E_FORMAT, "its body must have %d inputs and at least %d outputs", carried + 2, carried + 1);
    tn_type *in = tn_region_array(plan->region, (size_t)carried + 2, sizeof *in);
    if (!in) return TN_E_MEMORY;
    in[0] = scalar(TN_INT64);
    in[1] = scalar(TN_BOOL);
    for (int i = 0; i < carried; i++) {
        if (node->in[i + 2] < 0) return tn_fail(TN_E_FORMAT, "carried value %d is absent", i);
        in[i + 2] = plan->types[node->in[i + 2]];
    }
    tn_plan *child;
    TN_TRY(infer_turns(exec, plan, n, body, in, 2, carried, 1, &child));
    plan->bodies[n][0] = child;
    for (int i = 0; i < node->out_count; i++) {
        if (i < carried)
            out[i] = in[i + 2];
        else
            TN_TRY(tn_type_stacked(&child->types[body->outputs[i + 1]], -1, 0, &out[i]));
    }
    return TN_OK;
}

static tn_status infer_scan(tn_exec *exec, tn_plan *plan, int n, tn_type *out) {
    const tn_node *node = &plan->graph->nodes[n];
    const tn_graph *body = tn_attr_graph(node, "body");
    int64_t scans = tn_attr_int(node, "num_scan_inputs", 0);
    int64_t turns = -1;
    if (!body || scans < 1 || scans > node->formal_in || body->input_count != node->formal_in)
        return tn_fail(TN_E_FORMAT, "its body must have %d inputs, and num_scan_inputs be 1 to that", node->formal_in);
    int carried = node->formal_in - (int)scans;
    if (body->output_count < carried || node->out_count > body->output_count)
        return tn_fail(TN_E_FORMAT, "its body must have at least %d outputs", TN_MAX(carried, node->out_count));
    tn_type *in = tn_region_array(plan->region, (size_t)node->formal_in, sizeof *in);
    if (!in) return TN_E_MEMORY;
    for (int i = 0; i < node->formal_in; i++) {
        if (node->in[i] < 0) return tn_fail(TN_E_FORMAT, "input %d is absent", i);
        in[i] = plan->types[node->in[i]];
        if (i < carried || in[i].rank < 0) continue;
        int64_t axis = tn_attr_int_at(node, "scan_input_axes", i - carried, 0);
        if (axis < -in[i].rank || axis >= in[i].rank)
            return tn_fail(TN_E_INVALID, "scan input %d has rank %d but is scanned along axis %lld", i - carried,
                           in[i].rank, (long long)axis);
        if (axis < 0) axis += in[i].rank;
        int64_t length = in[i].dims[axis];
        if (turns >= 0 && length >= 0 && turns != length)
            return tn_fail(TN_E_SHAPE, "scan inputs of lengths %lld and %lld; they must be equal", (long long)turns,
                           (long long)length);
        if (length >= 0) turns = length;
        for (int d = (int)axis; d < in[i].rank - 1; d++) in[i].dims[d] = in[i].dims[d + 1];
        in[i].dims[--in[i].rank] = -1;
    }
    tn_plan *child;
    TN_TRY(infer_turns(exec, plan, n, body, in, 0, carried, 0, &child));
    plan->bodies[n][0] = child;
    for (int i = 0; i < node->out_count; i++) {
        if (i < carried)
            out[i] = in[i];
        else
            TN_TRY(tn_type_stacked(&child->types[body->outputs[i]], turns,
                                   tn_attr_int_at(node, "scan_output_axes", i - carried, 0), &out[i]));
    }
    return TN_OK;
}

tn_status tn_control_infer(tn_exec *exec, tn_plan *plan, int n, tn_type *out) {
    const char *name = plan->graph->nodes[n].op->name;
    if (strcmp(name, "If") == 0) return infer_if(exec, plan, n, out);
    if (strcmp(name, "Loop") == 0) return infer_loop(exec, plan, n, out);
    if (strcmp(name, "Scan") == 0) return infer_scan(exec, plan, n, out);
    return tn_fail(TN_E_INTERNAL, "no executor for control operator '%s'", name);
}
