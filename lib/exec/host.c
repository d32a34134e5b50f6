/* The helper functions that operators call while they prepare and run. */
#include "exec/host.h"
#include "base/random.h"
#include "exec/sequence.h"

void *tn_prepare_alloc(tn_prepare *call, size_t size) {
    return tn_region_alloc(call->host->region, size);
}

tn_status tn_run_output(tn_run *call, int out, tn_dtype dtype, int rank, const int64_t *dims) {
    if (out >= call->out_count || !call->out[out]) return TN_OK;
    return tn_tensor_renew(&call->out[out]->tensor, dtype, rank, dims, call->host->allocator);
}

char *tn_run_string(tn_run *call, size_t size) {
    return tn_region_alloc(call->host->strings, size);
}

uint64_t tn_run_random(tn_run *call, uint64_t *seed) {
    return tn_random_next(seed ? seed : &call->host->random);
}

static tn_sequence *own_sequence(tn_value *value, const tn_allocator *allocator) {
    if (!value->own)
        value->own = tn_sequence_create(allocator);
    else
        tn_sequence_clear(value->own);
    value->sequence = value->own;
    return value->own;
}

tn_sequence *tn_run_sequence(tn_run *call, int out) {
    if (out >= call->out_count || !call->out[out]) return NULL;
    return own_sequence(call->out[out], call->host->allocator);
}

void tn_run_absent(tn_run *call, int out) {
    if (out < call->out_count && call->out[out]) call->out[out]->present = false;
}

tn_status tn_run_copy(tn_run *call, int out, const tn_value *value) {
    if (out >= call->out_count || !call->out[out]) return TN_OK;
    return tn_value_assign(call->out[out], value, call->host->allocator);
}

void tn_value_release(tn_value *value) {
    tn_tensor_deinit(&value->tensor);
    tn_sequence_destroy(value->own);
    *value = (tn_value){0};
}

void tn_value_borrow(tn_value *value, const tn_value *other) {
    tn_tensor_deinit(&value->tensor);
    value->tensor = other->tensor;
    value->tensor.buffer = NULL;
    value->sequence = other->sequence;
    value->present = other->present;
}

tn_status tn_value_ready(tn_value *value, tn_dtype dtype, int rank, const int64_t *dims,
                         const tn_allocator *allocator) {
    tn_tensor *t = &value->tensor;
    value->present = true;
    value->sequence = NULL;
    if (!t->buffer && t->data && t->dtype == dtype && tn_dims_count(rank, dims) == tn_count(t))
        return tn_tensor_set_dense(t, dtype, rank, dims, t->data); /* its place in the plan's arena */
    return tn_tensor_renew(t, dtype, rank, dims, allocator);
}

tn_status tn_value_assign(tn_value *to, const tn_value *from, const tn_allocator *allocator) {
    to->present = from->present;
    if (!from->present) return TN_OK;
    if (from->sequence) {
        if (to->own && to->own == from->sequence) return TN_OK;
        if (!own_sequence(to, allocator)) return TN_E_MEMORY;
        return tn_sequence_assign(to->own, from->sequence);
    }
    to->sequence = NULL;
    if (to->tensor.data == from->tensor.data && to->tensor.data) { /* the same memory: shapes may still differ */
        tn_buffer *buffer = to->tensor.buffer;
        to->tensor = from->tensor;
        to->tensor.buffer = buffer;
        return TN_OK;
    }
    TN_TRY(tn_value_ready(to, from->tensor.dtype, from->tensor.rank, from->tensor.dims, allocator));
    memmove(to->tensor.data, from->tensor.data, tn_dtype_bytes(from->tensor.dtype, tn_count(&from->tensor)));
    return TN_OK;
}

void tn_value_type(const tn_value *value, tn_type *type) {
    tn_type_unknown(type);
    if (!value->present) {
        type->optional = true;
    } else if (value->sequence) {
        type->kind = TN_KIND_SEQUENCE;
        type->dtype = tn_sequence_dtype(value->sequence);
    } else {
        tn_type_tensor(type, value->tensor.dtype, value->tensor.rank, value->tensor.dims);
    }
}
