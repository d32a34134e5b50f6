/* Sessions. See tenon/session.h.
 *
 * A session keeps a few plans, one a set of input types, and one arena that is as large as the largest of them needs; each
 * plan's values are bound to it when the plan is made, and again when it grows. */
#include "exec/model.h"
#include "exec/plan.h"
#include "exec/sequence.h"
#include <stdio.h>
#include <tenon/session.h>

#define DEFAULT_SHAPES 4
#define DEFAULT_SEED 0x7E4E4Eu

typedef struct {
    const tn_tensor *source; /* the host's */
    tn_value value;          /* what the plan sees */
    bool set, copied;        /* copied: the source is strided, value holds a dense copy */
} input;

typedef struct {
    tn_region *region;
    tn_plan *plan;
    tn_type *types; /* of the inputs */
    uint64_t used;  /* larger: later */
    bool *direct;   /* by output: whether its node may write to where the host binds it */
} prepared;

/* An output as the last run left it. */
typedef struct {
    const void *data;
    tn_type type;
    tn_tensor *bound; /* the host's, or NULL */
} seen;

struct tn_session {
    const tn_model *model;
    const tn_allocator *allocator;
    tn_exec exec;
    input *inputs;
    seen *outputs;
    uint64_t outputs_version;
    prepared *cache;
    int cached, max_shapes;
    prepared *current; /* of the last run */
    uint64_t clock;
    void *arena;
    size_t arena_bytes;
};

static tn_status fill_session(tn_session *s, const tn_session_options *options) {
    const tn_model *model = s->model;
    s->max_shapes = options->max_shapes > 0 ? options->max_shapes : DEFAULT_SHAPES;
    s->exec.allocator = s->allocator;
    s->exec.kernels = model->kernels;
    s->exec.packs = model->packs;
    s->exec.profile = options->profile;
    s->exec.host.allocator = s->allocator;
    s->exec.host.random = options->seed ? options->seed : DEFAULT_SEED;
    s->exec.host.strings = tn_region_create(s->allocator);
    s->exec.late = tn_region_create(s->allocator);
    s->inputs = tn_alloc_zero(s->allocator, ((size_t)model->graph->input_count + 1) * sizeof *s->inputs);
    s->outputs = tn_alloc_zero(s->allocator, ((size_t)model->graph->output_count + 1) * sizeof *s->outputs);
    s->cache = tn_alloc_zero(s->allocator, (size_t)s->max_shapes * sizeof *s->cache);
    if (!s->exec.host.strings || !s->exec.late || !s->inputs || !s->outputs || !s->cache) return TN_E_MEMORY;
    return options->threads > 1 ? tn_pool_create(options->threads, s->allocator, &s->exec.pool) : TN_OK;
}

tn_status tn_session_create(const tn_model *model, const tn_session_options *options, tn_session **out_session) {
    tn_session_options full = {.struct_size = sizeof full};
    if (options) memcpy(&full, options, TN_MIN(options->struct_size, sizeof full));
    *out_session = NULL;
    if (full.threads < 0 || full.max_shapes < 0 || full.max_shapes > 4096)
        return tn_fail(TN_E_INVALID, "%d threads and %d shapes asked for; neither may be negative, shapes at most 4096",
                       full.threads, full.max_shapes);
    const tn_allocator *allocator = full.allocator ? full.allocator : model->allocator;
    tn_session *s = tn_alloc_zero(allocator, sizeof *s);
    if (!s) return TN_E_MEMORY;
    s->model = model;
    s->allocator = allocator;
    tn_status status = fill_session(s, &full);
    if (status != TN_OK) {
        tn_session_destroy(s);
        return status;
    }
    *out_session = s;
    return TN_OK;
}

static void drop_plan(tn_session *s, prepared *p) {
    if (p->plan) tn_plan_release(p->plan);
    tn_region_destroy(p->region);
    if (s->current == p) s->current = NULL;
    *p = (prepared){0};
}

/* The same, and its place is free. */
static void forget(tn_session *s, prepared *p) {
    drop_plan(s, p);
    *p = s->cache[--s->cached];
    s->cache[s->cached] = (prepared){0};
    s->current = NULL;
}

void tn_session_destroy(tn_session *s) {
    if (!s) return;
    for (int i = 0; i < s->cached; i++) drop_plan(s, &s->cache[i]);
    for (int i = 0; s->inputs && i < s->model->graph->input_count; i++) tn_value_release(&s->inputs[i].value);
    tn_pool_destroy(s->exec.pool);
    tn_region_destroy(s->exec.host.strings);
    tn_region_destroy(s->exec.late);
    tn_free(s->allocator, s->inputs, ((size_t)s->model->graph->input_count + 1) * sizeof *s->inputs);
    tn_free(s->allocator, s->outputs, ((size_t)s->model->graph->output_count + 1) * sizeof *s->outputs);
    tn_free(s->allocator, s->cache, (size_t)s->max_shapes * sizeof *s->cache);
    tn_free(s->allocator, s->arena, s->arena_bytes);
    tn_free(s->allocator, s, sizeof *s);
}

static tn_status input_at(tn_session *s, int index, input **out_input, const tn_graph_value **out_value) {
    const tn_graph *graph = s->model->graph;
    if (index < 0 || index >= graph->input_count)
        return tn_fail(TN_E_NOT_FOUND, "input %d does not exist; the model has %d", index, graph->input_count);
    *out_input = &s->inputs[index];
    *out_value = &graph->values[graph->inputs[index]];
    return TN_OK;
}

static tn_status check_fits(const tn_graph *graph, const tn_graph_value *expected, const tn_type *found) {
    char a[220], b[220];
    const tn_type *type = &expected->type;
    bool fits = type->kind == TN_KIND_UNKNOWN || type->kind == found->kind;
    if (type->dtype && found->dtype) fits &= type->dtype == found->dtype;
    if (type->rank >= 0 && found->rank >= 0) fits &= type->rank == found->rank;
    for (int i = 0; fits && i < type->rank && i < found->rank; i++)
        fits = type->dims[i] < 0 || type->dims[i] == found->dims[i];
    if (fits) return TN_OK;
    bool dtype = type->dtype && found->dtype && type->dtype != found->dtype;
    return tn_fail(dtype ? TN_E_TYPE : TN_E_SHAPE, "input '%s' is %s; the model takes %s", expected->name,
                   tn_type_text(a, sizeof a, NULL, found), tn_type_text(b, sizeof b, graph, type));
}

tn_status tn_session_set_input(tn_session *s, int index, const tn_tensor *tensor) {
    input *in = NULL;
    const tn_graph_value *expected = NULL;
    TN_TRY(input_at(s, index, &in, &expected));
    if (!tensor) return tn_fail(TN_E_INVALID, "no tensor for input '%s'", expected->name);
    tn_type type;
    tn_type_tensor(&type, tensor->dtype, tensor->rank, tensor->dims);
    TN_TRY(check_fits(s->model->graph, expected, &type));
    bool dense = tn_tensor_is_dense(tensor);
    if (dense) {
        tn_tensor_deinit(&in->value.tensor);
        TN_TRY(tn_tensor_set_dense(&in->value.tensor, tensor->dtype, tensor->rank, tensor->dims, tensor->data));
    } else {
        if (in->set && !in->copied) in->value.tensor = (tn_tensor){0};
        TN_TRY(tn_tensor_renew(&in->value.tensor, tensor->dtype, tensor->rank, tensor->dims, s->allocator));
    }
    in->source = tensor;
    in->copied = !dense;
    in->value.sequence = NULL;
    in->value.present = in->set = true;
    return TN_OK;
}

tn_status tn_session_set_input_by_name(tn_session *s, const char *name, const tn_tensor *tensor) {
    int index = tn_model_input_index(s->model, name);
    if (index < 0) {
        const tn_graph *graph = s->model->graph;
        char names[400] = "";
        size_t used = 0;
        for (int i = 0; i < graph->input_count && used < sizeof names - 1; i++) {
            int n = snprintf(names + used, sizeof names - used, "%s'%s'", i ? ", " : "",
                             graph->values[graph->inputs[i]].name);
            if (n > 0) used += (size_t)n;
        }
        return tn_fail(TN_E_NOT_FOUND, "the model has no input '%s'; it has %s", name, names);
    }
    return tn_session_set_input(s, index, tensor);
}

tn_status tn_session_set_input_sequence(tn_session *s, int index, tn_dtype dtype, size_t count,
                                        const tn_tensor *const *tensors) {
    input *in = NULL;
    const tn_graph_value *expected = NULL;
    TN_TRY(input_at(s, index, &in, &expected));
    tn_type type;
    tn_type_unknown(&type);
    type.kind = TN_KIND_SEQUENCE;
    type.dtype = dtype;
    TN_TRY(check_fits(s->model->graph, expected, &type));
    if (!in->value.own) in->value.own = tn_sequence_create(s->allocator);
    if (!in->value.own) return TN_E_MEMORY;
    tn_sequence_clear(in->value.own);
    tn_sequence_set_dtype(in->value.own, dtype);
    for (size_t i = 0; i < count; i++) TN_TRY(tn_sequence_insert(in->value.own, (int64_t)i, tensors[i]));
    tn_tensor_deinit(&in->value.tensor);
    in->value.sequence = in->value.own;
    in->value.present = in->set = true;
    in->copied = false;
    return TN_OK;
}

tn_status tn_session_set_input_none(tn_session *s, int index) {
    input *in = NULL;
    const tn_graph_value *expected = NULL;
    TN_TRY(input_at(s, index, &in, &expected));
    if (!expected->type.optional)
        return tn_fail(TN_E_TYPE, "input '%s' is not optional; it needs a value", expected->name);
    in->value.present = in->copied = false;
    in->set = true;
    return TN_OK;
}

static bool same_type(const tn_type *a, const tn_type *b) {
    if (a->kind != b->kind || a->optional != b->optional || a->dtype != b->dtype || a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dims[i] != b->dims[i]) return false;
    return true;
}

/* What planning knows of an input. Optionals may be empty in the next run, so nothing more is known of them. */
static void planned_type(const tn_session *s, int index, tn_type *type) {
    const tn_graph *graph = s->model->graph;
    const tn_type *declared = &graph->values[graph->inputs[index]].type;
    if (declared->optional)
        *type = *declared;
    else
        tn_value_type(&s->inputs[index].value, type);
}

static bool matches(const tn_session *s, const prepared *p) {
    for (int i = 0; i < s->model->graph->input_count; i++) {
        tn_type type;
        planned_type(s, i, &type);
        if (!same_type(&type, &p->types[i])) return false;
    }
    return true;
}

static tn_status make_plan(tn_session *s, prepared *p) {
    const tn_graph *graph = s->model->graph;
    p->region = tn_region_create(s->allocator);
    p->types = p->region ? tn_region_array(p->region, (size_t)graph->input_count + 1, sizeof *p->types) : NULL;
    p->direct = p->types ? tn_region_array(p->region, (size_t)graph->output_count + 1, sizeof *p->direct) : NULL;
    if (!p->direct) return TN_E_MEMORY;
    for (int i = 0; i < graph->input_count; i++) planned_type(s, i, &p->types[i]);
    tn_status status = tn_plan_infer(&s->exec, p->region, graph, p->types, NULL, NULL, &p->plan);
    if (status == TN_OK) status = tn_plan_finish(&s->exec, p->plan);
    tn_exec_drop_spare(&s->exec);
    TN_TRY(status);
    for (int i = 0; i < graph->output_count; i++) p->direct[i] = tn_plan_output_is_alone(p->plan, i);
    if (p->plan->arena > s->arena_bytes) {
        void *arena = tn_alloc_zero(s->allocator, p->plan->arena);
        if (!arena) return TN_E_MEMORY;
        tn_free(s->allocator, s->arena, s->arena_bytes);
        s->arena = arena;
        s->arena_bytes = p->plan->arena;
        for (int i = 0; i < s->cached; i++)
            if (&s->cache[i] != p) tn_plan_bind(s->cache[i].plan, arena);
    }
    tn_plan_bind(p->plan, s->arena);
    return TN_OK;
}

static tn_status prepare(tn_session *s) {
    const tn_graph *graph = s->model->graph;
    for (int i = 0; i < graph->input_count; i++)
        if (!s->inputs[i].set)
            return tn_fail(TN_E_STATE, "input '%s' is not set; call tn_session_set_input first",
                           graph->values[graph->inputs[i]].name);
    if (s->current && matches(s, s->current)) return TN_OK;
    prepared *slot = NULL;
    for (int i = 0; i < s->cached; i++) {
        if (matches(s, &s->cache[i])) {
            s->current = &s->cache[i];
            s->current->used = ++s->clock;
            return TN_OK;
        }
        if (!slot || s->cache[i].used < slot->used) slot = &s->cache[i];
    }
    if (s->cached < s->max_shapes)
        slot = &s->cache[s->cached++];
    else
        drop_plan(s, slot);
    tn_status status = make_plan(s, slot);
    if (status != TN_OK) {
        forget(s, slot);
        return status;
    }
    slot->used = ++s->clock;
    s->current = slot;
    tn_packs_publish(s->model->packs);
    return TN_OK;
}

tn_status tn_session_prepare(tn_session *s) {
    s->exec.ready = true;
    const tn_status status = prepare(s);
    s->exec.ready = false;
    return status;
}

static void see_outputs(tn_session *s) {
    const tn_graph *graph = s->model->graph;
    bool same = s->outputs_version > 0;
    for (int i = 0; i < graph->output_count; i++) {
        const tn_value *value = &s->current->plan->values[graph->outputs[i]];
        seen now = {.data = value->tensor.data, .bound = s->outputs[i].bound};
        tn_value_type(value, &now.type);
        same &= now.data == s->outputs[i].data && same_type(&now.type, &s->outputs[i].type) && !value->sequence &&
                tn_tensor_is_dense(&value->tensor);
        s->outputs[i] = now;
    }
    s->outputs_version += !same;
}

static tn_status check_bound(const tn_session *s, int index, const tn_tensor *found) {
    char a[160], b[160];
    const tn_tensor *to = s->outputs[index].bound;
    if (tn_tensor_is_alike(to, found)) return TN_OK;
    return tn_fail(TN_E_SHAPE, "output %d is %s; it is bound to a tensor of %s", index,
                   tn_shape_text(a, sizeof a, found->dtype, found->rank, found->dims),
                   tn_shape_text(b, sizeof b, to->dtype, to->rank, to->dims));
}

/* Outputs that are bound: their values lie in the host's tensors from the start, */
static tn_status aim_outputs(tn_session *s) {
    const tn_graph *graph = s->model->graph;
    for (int i = 0; i < graph->output_count; i++) {
        if (!s->outputs[i].bound || !s->current->direct[i]) continue;
        tn_tensor *tensor = &s->current->plan->values[graph->outputs[i]].tensor;
        TN_TRY(check_bound(s, i, tensor));
        tensor->data = s->outputs[i].bound->data;
    }
    return TN_OK;
}

/* or are copied there in the end. */
static tn_status copy_outputs(tn_session *s) {
    const tn_graph *graph = s->model->graph;
    for (int i = 0; i < graph->output_count; i++) {
        if (!s->outputs[i].bound || s->current->direct[i]) continue;
        const tn_value *value = &s->current->plan->values[graph->outputs[i]];
        if (!value->present || value->sequence)
            return tn_fail(TN_E_TYPE, "output %d is bound to a tensor, but is none", i);
        TN_TRY(check_bound(s, i, &value->tensor));
        TN_TRY(tn_tensor_copy(s->outputs[i].bound, &value->tensor));
    }
    return TN_OK;
}

tn_status tn_session_bind_output(tn_session *s, int index, tn_tensor *tensor) {
    const tn_graph *graph = s->model->graph;
    if (index < 0 || index >= graph->output_count)
        return tn_fail(TN_E_NOT_FOUND, "output %d does not exist; the model has %d", index, graph->output_count);
    if (tensor && (!tn_tensor_is_dense(tensor) || !tn_tensor_is_aligned(tensor) || tensor->dtype == TN_STRING))
        return tn_fail(TN_E_INVALID,
                       "output %d is to be bound to a tensor that is not dense and aligned, or of strings", index);
    bool was = s->outputs[index].bound != NULL;
    s->outputs[index].bound = tensor;
    for (int i = 0; was && !tensor && i < s->cached; i++) tn_plan_bind(s->cache[i].plan, s->arena);
    return TN_OK;
}

void tn_session_seed(tn_session *s, uint64_t seed) {
    s->exec.host.random = seed ? seed : DEFAULT_SEED;
}

tn_status tn_session_run(tn_session *s) {
    const tn_graph *graph = s->model->graph;
    TN_TRY(prepare(s));
    tn_plan *plan = s->current->plan;
    tn_region_reset(s->exec.host.strings);
    for (int i = 0; i < graph->input_count; i++) {
        input *in = &s->inputs[i];
        if (in->copied) TN_TRY(tn_tensor_copy(&in->value.tensor, in->source));
        tn_value_borrow(&plan->values[graph->inputs[i]], &in->value);
    }
    TN_TRY(aim_outputs(s));
    s->exec.run_start = s->exec.profile ? tn_now() : 0;
    tn_status status = tn_plan_run(&s->exec, plan);
    if (status == TN_E_INTERRUPTED) atomic_store(&s->exec.interrupt, false);
    if (status == TN_OK) status = copy_outputs(s);
    if (status == TN_OK) see_outputs(s);
    return status;
}

uint64_t tn_session_outputs_version(const tn_session *s) {
    return s->outputs_version;
}

void tn_session_watch(tn_session *s, void (*watch)(void *context, const tn_node *node), void *context) {
    for (int i = s->cached - 1; watch && i >= 0; i--)
        if (s->cache[i].plan->turns) forget(s, &s->cache[i]); /* it runs a node several times */
    s->exec.watch = watch;
    s->exec.watch_context = context;
    s->exec.watched = s->model->graph;
}

void tn_session_interrupt(tn_session *s) {
    atomic_store(&s->exec.interrupt, true);
}

const tn_model *tn_session_model(const tn_session *s) {
    return s->model;
}

static tn_status output_at(const tn_session *s, int index, const tn_value **out_value) {
    const tn_graph *graph = s->model->graph;
    if (index < 0 || index >= graph->output_count)
        return tn_fail(TN_E_NOT_FOUND, "output %d does not exist; the model has %d", index, graph->output_count);
    if (!s->current) return tn_fail(TN_E_STATE, "there is no output yet; call tn_session_run first");
    *out_value = &s->current->plan->values[graph->outputs[index]];
    return TN_OK;
}

tn_status tn_session_output(const tn_session *s, int index, const tn_tensor **out_tensor) {
    const tn_value *value = NULL;
    *out_tensor = NULL;
    TN_TRY(output_at(s, index, &value));
    if (!value->present) return TN_OK;
    if (value->sequence) return tn_fail(TN_E_TYPE, "output %d is a sequence; see tn_session_output_element", index);
    *out_tensor = &value->tensor;
    return TN_OK;
}

tn_status tn_session_output_by_name(const tn_session *s, const char *name, const tn_tensor **out_tensor) {
    int index = tn_model_output_index(s->model, name);
    *out_tensor = NULL;
    if (index < 0) return tn_fail(TN_E_NOT_FOUND, "the model has no output '%s'", name);
    return tn_session_output(s, index, out_tensor);
}

tn_status tn_session_output_length(const tn_session *s, int index, size_t *out_count) {
    const tn_value *value = NULL;
    *out_count = 0;
    TN_TRY(output_at(s, index, &value));
    if (!value->present || !value->sequence) return tn_fail(TN_E_TYPE, "output %d is not a sequence", index);
    *out_count = (size_t)tn_sequence_count(value->sequence);
    return TN_OK;
}

tn_status tn_session_output_element(const tn_session *s, int index, size_t element, const tn_tensor **out_tensor) {
    const tn_value *value = NULL;
    size_t count;
    *out_tensor = NULL;
    TN_TRY(tn_session_output_length(s, index, &count));
    if (element >= count) return tn_fail(TN_E_NOT_FOUND, "element %zu of output %d; it has %zu", element, index, count);
    TN_TRY(output_at(s, index, &value));
    *out_tensor = tn_sequence_at(value->sequence, (int64_t)element);
    return TN_OK;
}

tn_status tn_session_memory_info(const tn_session *s, tn_session_memory *out) {
    tn_session_memory info = {.struct_size = TN_MIN(out->struct_size, sizeof info)};
    tn_packs_bytes(s->model->packs, &info.packed, &info.mapped);
    if (s->current) {
        info.arena = s->current->plan->arena - s->current->plan->scratch;
        info.sum = s->current->plan->sum;
        info.scratch = s->current->plan->scratch;
    }
    memcpy(out, &info, info.struct_size);
    return TN_OK;
}

/* The step at that place among those of the plan and its bodies, or NULL; counts *index down to it. */
static const tn_step *step_at(const tn_plan *plan, int *index, tn_profile_row *row) {
    for (int s = 0; s < plan->step_count; s++) {
        const tn_step *step = &plan->steps[s];
        row->graph = plan->graph;
        if (--*index < 0) return step;
        row->depth++;
        for (int b = 0; b < 2; b++) {
            const tn_step *inner = step->body[b] ? step_at(step->body[b], index, row) : NULL;
            if (inner) return inner;
        }
        row->depth--;
    }
    return NULL;
}

tn_status tn_session_profile(const tn_session *s, int index, tn_profile_row *out) {
    tn_profile_row row = {.struct_size = TN_MIN(out->struct_size, sizeof row)};
    if (!s->exec.profile) return tn_fail(TN_E_STATE, "the session was created without profile");
    int at = index;
    const tn_step *step = s->current && index >= 0 ? step_at(s->current->plan, &at, &row) : NULL;
    if (!step) return tn_fail(TN_E_NOT_FOUND, "row %d does not exist", index);
    row.node = step->index;
    row.op = step->node->op->name;
    row.name = step->node->name;
    row.runs = step->runs;
    row.nanoseconds = step->nanoseconds;
    row.last_start_ns = step->last_start;
    row.last_ns = step->last;
    if (step->out_count && step->out[0]) {
        const tn_tensor *t = &step->out[0]->tensor;
        tn_shape_text(row.shape, sizeof row.shape, t->dtype, t->rank, t->dims);
    }
    memcpy(out, &row, row.struct_size);
    return TN_OK;
}

static void reset_profile(tn_plan *plan) {
    for (int s = 0; s < plan->step_count; s++) {
        tn_step *step = &plan->steps[s];
        step->runs = step->nanoseconds = 0;
        for (int b = 0; b < 2; b++)
            if (step->body[b]) reset_profile(step->body[b]);
    }
}

void tn_session_profile_reset(tn_session *s) {
    if (s->current) reset_profile(s->current->plan);
}
