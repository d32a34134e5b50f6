#include "exec/shadow.h"

bool tn_is_misaligned(const tn_step *step, int i) {
    return step->contents[i] && step->immutable[i] && !tn_tensor_is_aligned(step->contents[i]);
}

/* A constant that was copied or packed is read no more; in memory there need be one of it. */
static void rest_weights(const tn_plan *plan, const tn_tensor *t) {
    tn_graph_rest_file(plan->graph, t->data, tn_dtype_bytes(t->dtype, tn_count(t)));
}

void tn_exec_drop_spare(tn_exec *exec) {
    tn_free(exec->allocator, exec->spare, exec->spare_bytes);
    exec->spare = NULL;
    exec->spare_bytes = 0;
}

/* Memory for a copy: what an earlier one left, if it fits, since to touch fresh pages takes longer than to copy. */
static void *take_memory(tn_exec *exec, size_t bytes, size_t *out_bytes) {
    void *memory = exec->spare;
    *out_bytes = exec->spare_bytes;
    exec->spare = NULL;
    exec->spare_bytes = 0;
    if (memory && *out_bytes >= bytes) return memory;
    tn_free(exec->allocator, memory, *out_bytes);
    *out_bytes = bytes;
    return tn_alloc_touched(exec->allocator, bytes);
}

static void leave_memory(tn_exec *exec, void *memory, size_t bytes) {
    if (bytes <= exec->spare_bytes) {
        tn_free(exec->allocator, memory, bytes);
        return;
    }
    tn_exec_drop_spare(exec);
    exec->spare = memory;
    exec->spare_bytes = bytes;
}

tn_status tn_shadows_make(tn_exec *exec, const tn_plan *plan, tn_step *step, tn_shadow **out_shadows) {
    tn_shadow *shadows = tn_region_array(plan->region, (size_t)step->node->formal_in + 1, sizeof *shadows);
    *out_shadows = shadows;
    if (!shadows) return TN_E_MEMORY;
    for (int i = 0; i < step->node->formal_in; i++) {
        if (!tn_is_misaligned(step, i)) continue;
        const tn_tensor *from = step->contents[i];
        size_t bytes = tn_dtype_bytes(from->dtype, tn_count(from)), taken;
        void *copy = take_memory(exec, TN_MAX(bytes, (size_t)1), &taken);
        if (!copy) return TN_E_MEMORY;
        shadows[i] = (tn_shadow){*from, taken};
        shadows[i].tensor.buffer = NULL;
        shadows[i].tensor.data = memcpy(copy, from->data, bytes);
        rest_weights(plan, from);
        step->contents[i] = &shadows[i].tensor;
    }
    return TN_OK;
}

/* The plan reads a copy that all plans of the model share: the shadow itself, unless its memory is far larger, or of an
 * allocator that the session has for itself. */
static tn_status align_value(tn_exec *exec, tn_plan *plan, int v, tn_shadow *shadow) {
    const tn_tensor *t = plan->known[v];
    size_t bytes = tn_dtype_bytes(t->dtype, tn_count(t));
    bool fits = shadow && exec->allocator == tn_packs_allocator(exec->packs) && shadow->bytes - bytes <= bytes / 8;
    void *own = fits ? shadow->tensor.data : NULL,
         *copy = tn_packs_aligned(exec->packs, t, own, own ? shadow->bytes : 0);
    if (own && copy == own) shadow->bytes = 0;
    plan->values[v].tensor.data = copy;
    rest_weights(plan, t);
    return copy ? TN_OK : TN_E_MEMORY;
}

tn_status tn_align_value(tn_exec *exec, tn_plan *plan, int v) {
    return align_value(exec, plan, v, NULL);
}

tn_status tn_shadows_settle(tn_exec *exec, tn_plan *plan, tn_step *step, tn_shadow *shadows, const bool *packed,
                            tn_status status) {
    for (int i = 0; shadows && i < step->node->formal_in; i++) {
        if (shadows[i].bytes == 0 && packed[i] && step->immutable[i]) rest_weights(plan, step->contents[i]);
        if (shadows[i].bytes == 0) continue;
        step->contents[i] = plan->known[step->node->in[i]];
        if (!packed[i] && status == TN_OK) status = align_value(exec, plan, step->node->in[i], &shadows[i]);
        if (shadows[i].bytes) leave_memory(exec, shadows[i].tensor.data, shadows[i].bytes);
    }
    return status;
}
