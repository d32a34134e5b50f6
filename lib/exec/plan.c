/* Making plans: inference with evaluation, then steps. See plan.h. */
#include "exec/plan.h"
#include "base/element.h"
#include "exec/shadow.h"
#include "exec/eager.h"

/* Nodes on known inputs are evaluated while planning if what they give is no larger, and all results of a plan together
 * neither; above, they run as steps. */
#define EVALUATE_BYTES (1u << 20)
#define EVALUATE_BYTES_IN_ALL (64u << 20)

/* The memory of evaluated results is the plan's region: makes a tensor there that shows a copy. */
static tn_tensor *keep_tensor(tn_region *region, const tn_tensor *from) {
    tn_tensor *t = tn_region_alloc(region, sizeof *t);
    size_t bytes = tn_dtype_bytes(from->dtype, tn_count(from));
    void *data = t ? tn_region_alloc(region, TN_MAX(bytes, (size_t)1)) : NULL;
    if (!data) return NULL;
    memcpy(data, from->data, bytes);
    *t = *from;
    t->buffer = NULL;
    t->data = data;
    tn_string *strings = from->dtype == TN_STRING ? data : NULL;
    for (int64_t i = 0; strings && i < tn_count(from); i++) {
        strings[i].data = tn_region_strndup(region, strings[i].data, strings[i].size);
        if (!strings[i].data) return NULL;
    }
    return t;
}

static bool can_evaluate(tn_exec *exec, const tn_plan *plan, const tn_node *node, const tn_type *out) {
    if (node->op->flags & (TN_OP_RANDOM | TN_OP_CONTROL) || !node->op->run) return false;
    size_t bytes = 0;
    for (int i = 0; i < node->out_count; i++) {
        if (!tn_type_is_concrete(&out[i])) return false;
        bytes += TN_MIN(tn_dtype_bytes(out[i].dtype, tn_type_count(&out[i])), (size_t)EVALUATE_BYTES);
    }
    if (bytes >= EVALUATE_BYTES || bytes > EVALUATE_BYTES_IN_ALL - exec->evaluated) return false;
    for (int i = 0; i < node->in_count; i++) {
        int v = node->in[i];
        if (v >= 0 && !plan->known[v] && !(node->op->flags & TN_OP_SHAPE && tn_type_is_concrete(&plan->types[v])))
            return false;
    }
    exec->evaluated += bytes;
    return true;
}

static tn_status evaluate(tn_exec *exec, tn_plan *plan, const tn_node *node) {
    tn_tensor *shapes = tn_region_array(plan->region, (size_t)node->in_count + 1, sizeof *shapes);
    const tn_tensor **in = tn_region_array(plan->region, (size_t)node->in_count + 1, sizeof *in);
    tn_tensor **out = tn_region_array(plan->region, (size_t)node->out_count + 1, sizeof *out);
    if (!shapes || !in || !out) return TN_E_MEMORY;
    for (int i = 0; i < node->in_count; i++) {
        int v = node->in[i];
        if (v < 0) continue;
        in[i] = plan->known[v];
        if (in[i]) continue;
        const tn_type *type = &plan->types[v];
        TN_TRY(tn_tensor_set_dense(&shapes[i], type->dtype, type->rank, type->dims, NULL));
        in[i] = &shapes[i];
    }
    tn_eager options = {exec->allocator, exec->kernels, NULL};
    TN_TRY(tn_eager_run(&options, node->op, node->attr_count, node->attrs, node->in_count, in, node->out_count, out));
    tn_status status = TN_OK;
    for (int i = 0; i < node->out_count; i++) {
        if (node->out[i] >= 0 && status == TN_OK) {
            const tn_tensor *kept = keep_tensor(plan->region, out[i]);
            plan->known[node->out[i]] = kept;
            if (!kept) status = TN_E_MEMORY;
        }
        tn_tensor_destroy(out[i]);
    }
    return status;
}

static tn_status infer_node(tn_exec *exec, tn_plan *plan, int n) {
    const tn_node *node = &plan->graph->nodes[n];
    size_t ins = (size_t)node->formal_in + 1, outs = (size_t)node->out_count + 1;
    const tn_type **in = tn_region_array(plan->region, ins, sizeof *in);
    const tn_tensor **contents = tn_region_array(plan->region, ins, sizeof *contents);
    tn_type *out = tn_region_array(plan->region, outs, sizeof *out);
    if (!in || !contents || !out) return TN_E_MEMORY;
    for (int i = 0; i < node->formal_in; i++) {
        if (node->in[i] < 0) continue;
        in[i] = &plan->types[node->in[i]];
        contents[i] = plan->known[node->in[i]];
    }
    for (int i = 0; i < node->out_count; i++) tn_type_unknown(&out[i]);
    if (node->op->flags & TN_OP_CONTROL) {
        TN_TRY(tn_control_infer(exec, plan, n, out));
    } else {
        tn_infer call = {node, node->formal_in, node->out_count, in, contents, out, (tn_graph *)plan->graph};
        TN_TRY(node->op->infer(&call));
    }
    for (int i = 0; i < node->out_count; i++) {
        for (int d = 0; d < out[i].rank; d++)
            if (out[i].dims[d] < 0) out[i].dims[d] = -1; /* symbols say nothing here */
        if (node->out[i] >= 0) plan->types[node->out[i]] = out[i];
    }
    plan->done[n] = can_evaluate(exec, plan, node, out);
    return plan->done[n] ? evaluate(exec, plan, node) : TN_OK;
}

/* Loops inside of loops take several turns of inference each. Of a model that would take for ever, this is the end. */
#define MOST_INFERRED 500000

tn_status tn_plan_infer(tn_exec *exec, tn_region *region, const tn_graph *graph, const tn_type *in_types,
                        const tn_plan *outer, const tn_node *owner, tn_plan **out_plan) {
    size_t values = (size_t)graph->value_count + 1, nodes = (size_t)graph->node_count + 1;
    tn_plan *plan = tn_region_alloc(region, sizeof *plan);
    *out_plan = plan;
    if (!plan) return TN_E_MEMORY;
    if (!outer)
        exec->inferred = exec->evaluated = 0;
    else if ((exec->inferred += nodes) > MOST_INFERRED)
        return tn_fail(TN_E_LIMIT, "its loops are nested so that their types take more than %d steps to work out",
                       MOST_INFERRED);
    plan->graph = graph;
    plan->region = region;
    plan->inner = outer != NULL;
    plan->types = tn_region_array(region, values, sizeof *plan->types);
    plan->known = tn_region_array(region, values, sizeof *plan->known);
    plan->values = tn_region_array(region, values, sizeof *plan->values);
    plan->offset = tn_region_array(region, values, sizeof *plan->offset);
    plan->needed = tn_region_array(region, values, sizeof *plan->needed);
    plan->bodies = tn_region_array(region, nodes, sizeof *plan->bodies);
    plan->done = tn_region_array(region, nodes, sizeof *plan->done);
    if (!plan->types || !plan->known || !plan->values || !plan->offset || !plan->needed || !plan->bodies || !plan->done)
        return TN_E_MEMORY;
    for (int v = 0; v < graph->value_count; v++) {
        tn_type_unknown(&plan->types[v]);
        plan->offset[v] = SIZE_MAX;
        plan->known[v] = graph->values[v].constant;
        if (plan->known[v]) plan->types[v] = graph->values[v].type;
    }
    for (int i = 0; i < graph->input_count; i++) plan->types[graph->inputs[i]] = in_types[i];
    for (int c = 0; c < graph->capture_count; c++) {
        int from = owner->in[graph->captures[c].node_input], to = graph->captures[c].value;
        plan->types[to] = outer->types[from];
        plan->known[to] = outer->known[from];
    }
    for (int n = 0; n < graph->node_count; n++) {
        tn_status status = infer_node(exec, plan, n);
        if (status != TN_OK) return tn_node_context(status, &graph->nodes[n]);
    }
    return TN_OK;
}

bool tn_plan_runs(const tn_plan *plan, int n) {
    const tn_node *node = &plan->graph->nodes[n];
    bool wanted = false;
    for (int i = 0; i < node->out_count; i++) wanted |= node->out[i] >= 0 && plan->needed[node->out[i]];
    return wanted && !plan->done[n];
}

/* Which values somebody reads, from the outputs back. */
static void mark_needed(tn_plan *plan) {
    const tn_graph *graph = plan->graph;
    for (int i = 0; i < graph->output_count; i++) plan->needed[graph->outputs[i]] = true;
    for (int n = graph->node_count - 1; n >= 0; n--) {
        const tn_node *node = &graph->nodes[n];
        if (!tn_plan_runs(plan, n)) continue;
        for (int i = 0; i < node->in_count; i++)
            if (node->in[i] >= 0) plan->needed[node->in[i]] = true;
    }
}

static bool is_static(const tn_step *step) {
    for (int i = 0; i < step->in_count; i++)
        if (step->in[i] && !tn_type_is_concrete(&step->in_types[i])) return false;
    for (int i = 0; i < step->out_count; i++)
        if (step->out[i] && !tn_type_is_concrete(&step->out_types[i])) return false;
    return true;
}

static tn_prepare prepare_call(tn_exec *exec, tn_step *step, struct tn_prepare_host *host) {
    return (tn_prepare){.node = step->node,
                        .in_count = step->node->formal_in,
                        .out_count = step->out_count,
                        .in = step->in_type,
                        .value = step->contents,
                        .out = step->out_types,
                        .kernels = exec->kernels,
                        .threads = tn_pool_threads(exec->pool),
                        .host = host};
}

static tn_status run_operator(tn_exec *exec, tn_step *step, void *state, void *scratch) {
    tn_run call = {.node = step->node,
                   .in_count = step->node->formal_in,
                   .out_count = step->out_count,
                   .in = step->in,
                   .out = step->out,
                   .state = state,
                   .scratch = scratch,
                   .kernels = exec->kernels,
                   .pool = exec->pool,
                   .host = &exec->host};
    return step->node->op->run(&call);
}

static tn_status run_static(tn_exec *exec, tn_plan *plan, tn_step *step) {
    (void)plan;
    return run_operator(exec, step, step->state, step->scratch_at);
}

/* Operators that compute in float32 trust the widening pass; it has no say where a dtype comes to light only now. */
static tn_status refuse_half(const tn_step *step) {
    if (!(step->node->op->flags & TN_OP_WIDEN)) return TN_OK;
    for (int i = 0; i < step->node->formal_in; i++) {
        const tn_type *type = step->in_type[i];
        if (type && tn_dtype_is_half(type->dtype))
            return tn_fail(TN_E_UNSUPPORTED, "input %d turned out to be %s; its type must be known when a model loads",
                           i, tn_dtype_name(type->dtype));
    }
    return TN_OK;
}

/* Infers and prepares with what the values hold now, then runs. */
static tn_status run_late(tn_exec *exec, tn_plan *plan, tn_step *step) {
    int formal = step->node->formal_in;
    tn_region_reset(exec->late);
    const tn_tensor **contents = tn_region_array(exec->late, (size_t)formal + 1, sizeof *contents);
    if (!contents) return TN_E_MEMORY;
    for (int i = 0; i < formal; i++) {
        if (!step->in[i]) continue;
        tn_value_type(step->in[i], &step->in_types[i]);
        if (step->in[i]->present && !step->in[i]->sequence) contents[i] = &step->in[i]->tensor;
    }
    for (int i = 0; i < step->out_count; i++) tn_type_unknown(&step->out_types[i]);
    tn_infer infer = {step->node, formal,          step->out_count,        step->in_type,
                      contents,   step->out_types, (tn_graph *)plan->graph};
    TN_TRY(step->node->op->infer(&infer));
    TN_TRY(refuse_half(step));
    struct tn_prepare_host host = {.region = exec->late, .packs = exec->packs, .immutable = step->immutable};
    tn_prepare prepare = prepare_call(exec, step, &host);
    prepare.value = contents; /* the state is for this run alone */
    if (step->node->op->prepare) TN_TRY(step->node->op->prepare(&prepare));
    void *scratch = tn_region_alloc(exec->late, TN_MAX(prepare.scratch, (size_t)64));
    if (!scratch) return TN_E_MEMORY;
    for (int i = 0; i < step->out_count; i++) {
        tn_value *out = step->out[i];
        const tn_type *type = &step->out_types[i];
        if (!out) continue;
        out->present = true;
        out->sequence = NULL;
        if (tn_type_is_concrete(type))
            TN_TRY(tn_tensor_renew(&out->tensor, type->dtype, type->rank, type->dims, exec->allocator));
    }
    return run_operator(exec, step, prepare.state, scratch);
}

/* Prepares a static step. It sees aligned copies of weights that lie unaligned in the model file. */
static tn_status prepare_static(tn_exec *exec, tn_plan *plan, tn_step *step) {
    const tn_node *node = step->node;
    size_t ins = (size_t)node->formal_in + 1;
    const void **origin = tn_region_array(plan->region, ins, sizeof *origin);
    bool *packed = tn_region_array(plan->region, ins, sizeof *packed);
    tn_shadow *shadows = NULL;
    if (!origin || !packed) return TN_E_MEMORY;
    for (int i = 0; i < node->formal_in; i++) origin[i] = step->contents[i] ? step->contents[i]->data : NULL;
    tn_status status = tn_shadows_make(exec, plan, step, &shadows);
    struct tn_prepare_host host = {plan->region, exec->packs, step->immutable, origin, packed, exec->ready};
    tn_prepare call = prepare_call(exec, step, &host);
    if (status == TN_OK) status = node->op->prepare(&call);
    step->state = call.state;
    step->scratch = call.scratch;
    return tn_shadows_settle(exec, plan, step, shadows, packed, status);
}

/* A value as a step has it: the whole, or a sample's part in a stretch; and its type. */
static tn_value *seen_by(tn_plan *plan, const tn_step *step, int v, tn_type *type) {
    *type = plan->types[v];
    tn_value *part = step->turns ? tn_turns_part(step->turns, v, plan->types[step->node->out[0]].rank) : NULL;
    if (!part) return &plan->values[v];
    type->dims[0] = 1;
    return part;
}

static tn_status make_step(tn_exec *exec, tn_plan *plan, int n, tn_step *step) {
    const tn_graph *graph = plan->graph;
    const tn_node *node = &graph->nodes[n];
    size_t ins = (size_t)node->in_count + 1, outs = (size_t)node->out_count + 1;
    step->node = node;
    step->index = n;
    step->in_count = node->in_count;
    step->out_count = node->out_count;
    step->in = tn_region_array(plan->region, ins, sizeof *step->in);
    step->out = tn_region_array(plan->region, outs, sizeof *step->out);
    step->in_types = tn_region_array(plan->region, ins, sizeof *step->in_types);
    step->out_types = tn_region_array(plan->region, outs, sizeof *step->out_types);
    step->in_type = tn_region_array(plan->region, ins, sizeof *step->in_type);
    step->contents = tn_region_array(plan->region, ins, sizeof *step->contents);
    step->immutable = tn_region_array(plan->region, ins, sizeof *step->immutable);
    if (!step->in || !step->out || !step->in_types || !step->out_types || !step->in_type || !step->contents ||
        !step->immutable)
        return TN_E_MEMORY;
    step->turns = tn_turns_at(plan, n);
    for (int i = 0; i < node->in_count; i++) {
        int v = node->in[i];
        if (v < 0) continue;
        step->in[i] = seen_by(plan, step, v, &step->in_types[i]);
        step->in_type[i] = &step->in_types[i];
        step->contents[i] = plan->known[v];
        step->immutable[i] = graph->values[v].constant != NULL;
    }
    for (int i = 0; i < node->out_count; i++) {
        int v = node->out[i];
        if (v < 0) continue;
        tn_value *out = seen_by(plan, step, v, &step->out_types[i]);
        if (plan->needed[v]) step->out[i] = out;
    }
    if (node->op->flags & TN_OP_CONTROL) return tn_control_finish(exec, plan, step);
    step->run = is_static(step) ? run_static : run_late;
    if (step->run == run_static) TN_TRY(refuse_half(step));
    if (step->run == run_static && node->op->prepare) return prepare_static(exec, plan, step);
    for (int i = 0; i < node->formal_in; i++)
        if (tn_is_misaligned(step, i)) TN_TRY(tn_align_value(exec, plan, node->in[i]));
    return TN_OK;
}

bool tn_step_is_static(const tn_step *step) {
    return step->run == run_static;
}

tn_status tn_plan_finish(tn_exec *exec, tn_plan *plan) {
    const tn_graph *graph = plan->graph;
    mark_needed(plan);
    if (!plan->inner && !exec->watch) TN_TRY(tn_turns_choose(plan, tn_pool_threads(exec->pool)));
    plan->steps = tn_region_array(plan->region, (size_t)graph->node_count + 1, sizeof *plan->steps);
    if (!plan->steps) return TN_E_MEMORY;
    for (int v = 0; v < graph->value_count; v++) {
        plan->values[v].present = true;
        if (plan->known[v]) plan->values[v].tensor = *plan->known[v], plan->values[v].tensor.buffer = NULL;
    }
    for (int n = 0; n < graph->node_count; n++) {
        const tn_node *node = &graph->nodes[n];
        if (!tn_plan_runs(plan, n)) continue;
        tn_step *step = &plan->steps[plan->step_count++];
        tn_status status = make_step(exec, plan, n, step);
        if (step->turns) {
            if (step->turns->last_step < 0) step->turns->first_step = plan->step_count - 1;
            step->turns->last_step = plan->step_count - 1;
        }
        if (status != TN_OK) return tn_node_context(status, node);
    }
    return tn_arena_layout(exec, plan);
}

void tn_plan_bind(tn_plan *plan, void *arena) {
    static _Alignas(64) char nothing[64]; /* what parts of no bytes point to: never written */
    if (!arena) arena = nothing;
    for (int v = 0; v < plan->graph->value_count; v++) {
        if (plan->offset[v] == SIZE_MAX) continue;
        tn_tensor_deinit(&plan->values[v].tensor);
        plan->values[v].tensor.data = (char *)arena + plan->offset[v];
    }
    void *scratch = (char *)arena + (plan->arena - plan->scratch);
    for (int s = 0; s < plan->step_count; s++) {
        plan->steps[s].scratch_at = scratch;
        for (int b = 0; b < 2; b++)
            if (plan->steps[s].body[b]) tn_plan_bind(plan->steps[s].body[b], scratch);
    }
}

bool tn_plan_output_is_alone(const tn_plan *plan, int index) {
    const tn_graph *graph = plan->graph;
    int value = graph->outputs[index];
    bool written = false;
    for (int i = 0; i < graph->output_count; i++)
        if (i != index && graph->outputs[i] == value) return false;
    for (int s = 0; s < plan->step_count; s++) {
        const tn_step *step = &plan->steps[s];
        for (int i = 0; i < step->in_count; i++)
            if (step->node->in[i] == value) return false;
        for (int i = 0; i < step->out_count; i++)
            if (step->node->out[i] == value) written = tn_step_is_static(step) && !step->skip;
    }
    return written && plan->offset[value] != SIZE_MAX;
}

void tn_plan_release(tn_plan *plan) {
    for (int s = 0; s < plan->step_count; s++) {
        for (int b = 0; b < 2; b++)
            if (plan->steps[s].body[b]) tn_plan_release(plan->steps[s].body[b]);
        tn_control_release(&plan->steps[s]);
    }
    for (int v = 0; plan->values && v < plan->graph->value_count; v++) tn_value_release(&plan->values[v]);
}
