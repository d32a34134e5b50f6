/* Control flow: If, Loop and Scan as steps that run the plans of their bodies, which control_infer.c makes.
 *
 * Loop and Scan share one machine. Carried values live in memory of the loop's own; each turn the body's inputs borrow
 * them, and its outputs are copied back. What a turn adds to a scan output is appended to a buffer, which becomes the
 * output at the end. A run that is interrupted stops between two turns. (ONNX specification: If, Loop, Scan.) */
#include "exec/plan.h"

typedef struct {
    void *bytes; /* elements of all turns, one after the other */
    size_t used, capacity;
    tn_type element;
    int64_t turns;
} collector;

typedef struct tn_loop {
    const tn_allocator *allocator;
    int carried, scanned_in, scanned_out;
    tn_value *state, *spare; /* carried values; `spare` where an output lies in another's memory */
    tn_value *slice;         /* Scan: this turn's piece of each scanned input */
    collector *collected;
    int64_t number; /* Loop: what the body sees as its turn and condition */
    bool condition;
    int64_t *in_axis, *in_back, *out_axis, *out_back; /* Scan: axes and directions */
    bool is_scan;
} loop;

static void borrow_captures(tn_plan *child, const tn_step *step) {
    const tn_graph *graph = child->graph;
    for (int c = 0; c < graph->capture_count; c++) {
        int v = graph->captures[c].value;
        if (!child->known[v]) tn_value_borrow(&child->values[v], step->in[graph->captures[c].node_input]);
    }
}

static tn_status run_if(tn_exec *exec, tn_plan *plan, tn_step *step) {
    (void)plan;
    const tn_tensor *condition = step->in[0] ? &step->in[0]->tensor : NULL;
    if (!condition || condition->dtype != TN_BOOL || tn_count(condition) != 1)
        return tn_fail(TN_E_TYPE, "its condition must be one bool");
    tn_plan *child = step->body[*(const uint8_t *)condition->data ? 0 : 1];
    if (!child) return tn_fail(TN_E_SHAPE, "its condition chose a branch that does not fit the shapes of its values");
    borrow_captures(child, step);
    TN_TRY(tn_plan_run(exec, child));
    for (int i = 0; i < step->out_count; i++)
        if (step->out[i])
            TN_TRY(tn_value_assign(step->out[i], &child->values[child->graph->outputs[i]], exec->allocator));
    return TN_OK;
}

static tn_status append(loop *l, collector *c, const tn_value *value) {
    const tn_tensor *t = &value->tensor;
    size_t bytes = tn_dtype_bytes(t->dtype, tn_count(t)), need;
    if (value->sequence || !value->present) return tn_fail(TN_E_TYPE, "a scan output must be a tensor");
    if (c->turns == 0) tn_type_tensor(&c->element, t->dtype, t->rank, t->dims);
    bool same = c->element.dtype == t->dtype && c->element.rank == t->rank;
    for (int i = 0; same && i < t->rank; i++) same = c->element.dims[i] == t->dims[i];
    if (!same) return tn_fail(TN_E_SHAPE, "a scan output changed its shape in turn %lld", (long long)c->turns);
    if (!tn_add_size(c->used, bytes, &need) || need > PTRDIFF_MAX / 2)
        return tn_fail(TN_E_LIMIT, "a scan output is too large");
    if (need > c->capacity) {
        size_t capacity = TN_MAX(need, c->capacity * 2);
        void *more = tn_alloc(l->allocator, capacity);
        if (!more) return TN_E_MEMORY;
        if (c->used) memcpy(more, c->bytes, c->used);
        tn_free(l->allocator, c->bytes, c->capacity);
        c->bytes = more;
        c->capacity = capacity;
    }
    if (bytes) memcpy((char *)c->bytes + c->used, t->data, bytes);
    c->used = need;
    c->turns++;
    return TN_OK;
}

/* Writes what was collected to an output, turns along `axis`, backwards if asked. */
static tn_status emit(tn_exec *exec, const collector *c, int64_t axis, bool backwards, tn_value *out) {
    tn_type type, element = c->element;
    for (int i = 0; c->turns == 0 && i < element.rank; i++)
        if (element.dims[i] < 0) element.dims[i] = 0; /* never seen */
    if (element.rank < 0) element.rank = 0;
    TN_TRY(tn_type_stacked(&element, c->turns, axis, &type));
    TN_TRY(tn_value_ready(out, type.dtype, type.rank, type.dims, exec->allocator));
    if (axis < 0) axis += type.rank;
    tn_tensor *t = &out->tensor;
    int64_t src[TN_MAX_RANK], stride = 1, count = tn_count(t);
    if (count == 0) return TN_OK;
    size_t bits = tn_dtype_bits(t->dtype);
    if (bits < 8 || (axis == 0 && !backwards)) {
        if (axis != 0 || backwards) return tn_fail(TN_E_UNSUPPORTED, "packed elements are scanned along axis 0 only");
        memcpy(t->data, c->bytes, c->used);
        return TN_OK;
    }
    for (int i = type.rank - 1; i >= 0; i--) {
        if (i == axis) continue;
        src[i] = stride;
        stride *= type.dims[i];
    }
    src[axis] = backwards ? -stride : stride;
    const char *from = (const char *)c->bytes + (backwards ? (size_t)(stride * (c->turns - 1)) * (bits / 8) : 0);
    tn_copy_strided(type.rank, type.dims, bits / 8, t->data, t->strides, from, src);
    return TN_OK;
}

static bool lies_in(const tn_value *value, const tn_value *memory) {
    const char *p = value->tensor.data, *from = memory->tensor.data;
    return p && from && p >= from &&
           p < from + TN_MAX(tn_dtype_bytes(memory->tensor.dtype, tn_count(&memory->tensor)), (size_t)1);
}

/* The body's outputs become the carried values of the next turn. An output that lies in carried memory (a body that
 * swaps two of them, say) is copied aside first. */
static tn_status carry(tn_exec *exec, loop *l, tn_plan *child, int out_first) {
    const int *outputs = child->graph->outputs;
    for (int i = 0; i < l->carried; i++) {
        tn_value *value = &child->values[outputs[out_first + i]];
        bool aside = false;
        for (int k = 0; k < l->carried; k++)
            aside |=
                k != i && (lies_in(value, &l->state[k]) || (value->sequence && value->sequence == l->state[k].own));
        l->spare[i].present = false;
        if (aside) {
            TN_TRY(tn_value_assign(&l->spare[i], value, exec->allocator));
            l->spare[i].present = true;
        }
    }
    for (int i = 0; i < l->carried; i++) {
        const tn_value *value = &child->values[outputs[out_first + i]];
        TN_TRY(tn_value_assign(&l->state[i], l->spare[i].present ? &l->spare[i] : value, exec->allocator));
    }
    return TN_OK;
}

static tn_status start(tn_exec *exec, loop *l, tn_step *step, int first) {
    for (int i = 0; i < l->carried; i++) TN_TRY(tn_value_assign(&l->state[i], step->in[first + i], exec->allocator));
    for (int i = 0; i < l->scanned_out; i++) l->collected[i].used = 0, l->collected[i].turns = 0;
    borrow_captures(step->body[0], step);
    return TN_OK;
}

static tn_status finish(tn_exec *exec, loop *l, tn_step *step) {
    for (int i = 0; i < step->out_count; i++) {
        if (!step->out[i]) continue;
        int k = i - l->carried;
        if (k < 0)
            TN_TRY(tn_value_assign(step->out[i], &l->state[i], exec->allocator));
        else
            TN_TRY(emit(exec, &l->collected[k], l->is_scan ? l->out_axis[k] : 0, l->is_scan && l->out_back[k],
                        step->out[i]));
    }
    return TN_OK;
}

static void show_scalar(tn_value *value, tn_dtype dtype, void *data) {
    value->tensor = (tn_tensor){.dtype = dtype, .data = data};
    value->present = true;
    value->sequence = NULL;
}

static tn_status run_loop(tn_exec *exec, tn_plan *plan, tn_step *step) {
    (void)plan;
    loop *l = step->loop;
    tn_plan *child = step->body[0];
    const int *inputs = child->graph->inputs, *outputs = child->graph->outputs;
    int64_t turns = INT64_MAX;
    l->condition = true;
    if (step->in[0] && step->in[0]->present) {
        if (step->in[0]->tensor.dtype != TN_INT64 || tn_count(&step->in[0]->tensor) != 1)
            return tn_fail(TN_E_TYPE, "its trip count must be one int64");
        turns = *(const int64_t *)step->in[0]->tensor.data;
    }
    if (step->in[1] && step->in[1]->present) {
        if (step->in[1]->tensor.dtype != TN_BOOL || tn_count(&step->in[1]->tensor) != 1)
            return tn_fail(TN_E_TYPE, "its condition must be one bool");
        l->condition = *(const uint8_t *)step->in[1]->tensor.data != 0;
    }
    TN_TRY(start(exec, l, step, 2));
    for (l->number = 0; l->number < turns && l->condition; l->number++) {
        TN_TRY(tn_exec_go_on(exec));
        show_scalar(&child->values[inputs[0]], TN_INT64, &l->number);
        show_scalar(&child->values[inputs[1]], TN_BOOL, &l->condition);
        for (int i = 0; i < l->carried; i++) tn_value_borrow(&child->values[inputs[i + 2]], &l->state[i]);
        TN_TRY(tn_plan_run(exec, child));
        const tn_tensor *go_on = &child->values[outputs[0]].tensor;
        if (go_on->dtype != TN_BOOL || tn_count(go_on) != 1)
            return tn_fail(TN_E_TYPE, "the condition that its body gives must be one bool");
        bool again = *(const uint8_t *)go_on->data != 0;
        for (int i = 0; i < l->scanned_out; i++)
            TN_TRY(append(l, &l->collected[i], &child->values[outputs[1 + l->carried + i]]));
        TN_TRY(carry(exec, l, child, 1));
        l->condition = again;
    }
    return finish(exec, l, step);
}

/* This turn's piece of a scanned input: a view along axis 0, else a copy. */
static tn_status take_slice(tn_exec *exec, const tn_tensor *t, int64_t axis, int64_t at, tn_value *slice) {
    int64_t dims[TN_MAX_RANK], strides[TN_MAX_RANK];
    size_t bits = tn_dtype_bits(t->dtype);
    int rank = 0;
    for (int i = 0; i < t->rank; i++)
        if (i != axis) dims[rank] = t->dims[i], strides[rank++] = t->strides[i];
    if (bits < 8) return tn_fail(TN_E_UNSUPPORTED, "%s inputs cannot be scanned", tn_dtype_name(t->dtype));
    char *from = (char *)t->data + (size_t)(at * t->strides[axis]) * (bits / 8);
    TN_TRY(tn_value_ready(slice, t->dtype, rank, dims, exec->allocator));
    tn_copy_strided(rank, dims, bits / 8, slice->tensor.data, slice->tensor.strides, from, strides);
    return TN_OK;
}

static tn_status run_scan(tn_exec *exec, tn_plan *plan, tn_step *step) {
    (void)plan;
    loop *l = step->loop;
    tn_plan *child = step->body[0];
    const int *inputs = child->graph->inputs, *outputs = child->graph->outputs;
    int64_t turns = -1;
    for (int i = 0; i < l->scanned_in; i++) {
        const tn_tensor *t = &step->in[l->carried + i]->tensor;
        int64_t axis = l->in_axis[i] < 0 ? l->in_axis[i] + t->rank : l->in_axis[i];
        if (axis < 0 || axis >= t->rank)
            return tn_fail(TN_E_INVALID, "scan input %d has no axis %lld", i, (long long)axis);
        if (turns >= 0 && t->dims[axis] != turns) return tn_fail(TN_E_SHAPE, "scan inputs differ in length");
        turns = t->dims[axis];
    }
    TN_TRY(start(exec, l, step, 0));
    for (int64_t turn = 0; turn < turns; turn++) {
        TN_TRY(tn_exec_go_on(exec));
        for (int i = 0; i < l->carried; i++) tn_value_borrow(&child->values[inputs[i]], &l->state[i]);
        for (int i = 0; i < l->scanned_in; i++) {
            const tn_tensor *t = &step->in[l->carried + i]->tensor;
            int64_t axis = l->in_axis[i] < 0 ? l->in_axis[i] + t->rank : l->in_axis[i];
            TN_TRY(take_slice(exec, t, axis, l->in_back[i] ? turns - 1 - turn : turn, &l->slice[i]));
            tn_value_borrow(&child->values[inputs[l->carried + i]], &l->slice[i]);
        }
        TN_TRY(tn_plan_run(exec, child));
        for (int i = 0; i < l->scanned_out; i++)
            TN_TRY(append(l, &l->collected[i], &child->values[outputs[l->carried + i]]));
        TN_TRY(carry(exec, l, child, 0));
    }
    return finish(exec, l, step);
}

/* Memory that is known to be needed is taken while preparing, so that running takes none. */
static tn_status reserve(tn_exec *exec, loop *l, const tn_plan *child, int in_first, int out_first) {
    for (int i = 0; i < l->carried; i++) {
        const tn_type *type = &child->types[child->graph->inputs[in_first + i]];
        if (tn_type_is_concrete(type))
            TN_TRY(tn_tensor_renew(&l->state[i].tensor, type->dtype, type->rank, type->dims, exec->allocator));
    }
    for (int i = 0; i < l->scanned_out; i++)
        l->collected[i].element = child->types[child->graph->outputs[out_first + l->carried + i]];
    return TN_OK;
}

static tn_status make_loop(tn_exec *exec, tn_plan *plan, tn_step *step, bool is_scan) {
    const tn_node *node = step->node;
    tn_plan *child = step->body[0];
    loop *l = tn_region_alloc(plan->region, sizeof *l);
    if (!l) return TN_E_MEMORY;
    int scans = is_scan ? (int)tn_attr_int(node, "num_scan_inputs", 0) : 0;
    l->allocator = exec->allocator;
    l->is_scan = is_scan;
    l->carried = node->formal_in - (is_scan ? scans : 2);
    l->scanned_in = scans;
    l->scanned_out = child->graph->output_count - l->carried - (is_scan ? 0 : 1);
    size_t carried = (size_t)l->carried + 1, in = (size_t)scans + 1, out = (size_t)l->scanned_out + 1;
    l->state = tn_region_array(plan->region, carried, sizeof *l->state);
    l->spare = tn_region_array(plan->region, carried, sizeof *l->spare);
    l->slice = tn_region_array(plan->region, in, sizeof *l->slice);
    l->collected = tn_region_array(plan->region, out, sizeof *l->collected);
    l->in_axis = tn_region_array(plan->region, 2 * in + 2 * out, sizeof *l->in_axis);
    if (!l->state || !l->spare || !l->slice || !l->collected || !l->in_axis) return TN_E_MEMORY;
    l->in_back = l->in_axis + in;
    l->out_axis = l->in_back + in;
    l->out_back = l->out_axis + out;
    for (int i = 0; i < scans; i++) {
        l->in_axis[i] = tn_attr_int_at(node, "scan_input_axes", i, 0);
        l->in_back[i] = tn_attr_int_at(node, "scan_input_directions", i, 0);
    }
    for (int i = 0; i < l->scanned_out; i++) {
        l->out_axis[i] = tn_attr_int_at(node, "scan_output_axes", i, 0);
        l->out_back[i] = tn_attr_int_at(node, "scan_output_directions", i, 0);
    }
    step->loop = l;
    return reserve(exec, l, child, is_scan ? 0 : 2, is_scan ? 0 : 1);
}

tn_status tn_control_finish(tn_exec *exec, tn_plan *plan, tn_step *step) {
    const char *name = step->node->op->name;
    for (int b = 0; b < 2; b++) {
        step->body[b] = plan->bodies[step->index][b];
        if (!step->body[b]) continue;
        TN_TRY(tn_plan_finish(exec, step->body[b]));
        step->scratch = TN_MAX(step->scratch, step->body[b]->arena);
    }
    if (strcmp(name, "If") == 0) {
        step->run = run_if;
        return TN_OK;
    }
    step->run = strcmp(name, "Loop") == 0 ? run_loop : run_scan;
    return make_loop(exec, plan, step, step->run == run_scan);
}

void tn_control_release(tn_step *step) {
    loop *l = step->loop;
    if (!l) return;
    for (int i = 0; i < l->carried; i++) tn_value_release(&l->state[i]), tn_value_release(&l->spare[i]);
    for (int i = 0; i < l->scanned_in; i++) tn_value_release(&l->slice[i]);
    for (int i = 0; i < l->scanned_out; i++) tn_free(l->allocator, l->collected[i].bytes, l->collected[i].capacity);
}
