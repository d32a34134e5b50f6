/* The helper functions that operators call while they prepare and run, and the store of packed weights. */
#include "exec/host.h"
#include "base/random.h"
#include "exec/sequence.h"
#include <pthread.h>

typedef struct pack {
    struct pack *next;
    const void *data; /* of the constant */
    const char *layout;
    void *packed;
    size_t bytes, allocated;
} pack;

struct tn_packs {
    const tn_allocator *allocator;
    pthread_mutex_t lock;
    tn_region *region; /* of the list; the packed weights are allocated apart */
    pack *first;
    size_t bytes;
};

tn_status tn_packs_create(const tn_allocator *allocator, tn_packs **out_packs) {
    tn_packs *packs = tn_alloc_zero(allocator, sizeof *packs);
    *out_packs = packs;
    if (!packs) return TN_E_MEMORY;
    packs->allocator = allocator;
    packs->region = tn_region_create(allocator);
    pthread_mutex_init(&packs->lock, NULL);
    if (packs->region) return TN_OK;
    tn_packs_destroy(packs);
    *out_packs = NULL;
    return TN_E_MEMORY;
}

void tn_packs_destroy(tn_packs *packs) {
    if (!packs) return;
    for (pack *p = packs->first; p; p = p->next) tn_free(packs->allocator, p->packed, p->allocated);
    tn_region_destroy(packs->region);
    pthread_mutex_destroy(&packs->lock);
    tn_free(packs->allocator, packs, sizeof *packs);
}

size_t tn_packs_bytes(tn_packs *packs) {
    pthread_mutex_lock(&packs->lock);
    size_t bytes = packs->bytes;
    pthread_mutex_unlock(&packs->lock);
    return bytes;
}

const tn_allocator *tn_packs_allocator(const tn_packs *packs) {
    return packs->allocator;
}

void *tn_prepare_alloc(tn_prepare *call, size_t size) {
    return tn_region_alloc(call->host->region, size);
}

static pack *find_pack(const tn_packs *packs, const void *data, const char *layout, size_t bytes) {
    for (pack *p = packs->first; p; p = p->next)
        if (p->data == data && p->bytes == bytes && strcmp(p->layout, layout) == 0) return p;
    return NULL;
}

/* `memory` becomes the pack's; NULL: zeroed memory is allocated. */
static pack *add_pack(tn_packs *packs, const void *data, const char *layout, size_t bytes, void *memory,
                      size_t allocated) {
    pack *p = tn_region_alloc(packs->region, sizeof *p);
    if (!p) return NULL;
    p->data = data;
    p->bytes = bytes;
    p->layout = tn_region_strdup(packs->region, layout);
    if (!p->layout) return NULL;
    p->packed = memory ? memory : tn_alloc_zero(packs->allocator, bytes);
    if (!p->packed) return NULL;
    p->allocated = memory ? allocated : bytes;
    p->next = packs->first;
    packs->first = p;
    packs->bytes += p->allocated;
    return p;
}

void *tn_packs_aligned(tn_packs *packs, const tn_tensor *constant, void *copy, size_t copy_bytes) {
    size_t bytes = tn_dtype_bytes(constant->dtype, tn_count(constant));
    pthread_mutex_lock(&packs->lock);
    pack *p = find_pack(packs, constant->data, "aligned", bytes);
    if (!p) {
        p = add_pack(packs, constant->data, "aligned", bytes, copy, copy_bytes);
        if (p && !copy) memcpy(p->packed, constant->data, bytes);
    }
    pthread_mutex_unlock(&packs->lock);
    return p ? p->packed : NULL;
}

tn_status tn_prepare_pack(tn_prepare *call, int in, const char *layout, size_t bytes,
                          void (*make)(void *dst, const void *context), const void *context, const void **out_packed) {
    tn_packs *packs = call->host->packs;
    const tn_tensor *value = call->value[in];
    if (!value) return tn_fail(TN_E_INTERNAL, "input %d is packed but its contents are not known", in);
    const void *origin = call->host->origin ? call->host->origin[in] : value->data;
    if (call->host->packed) call->host->packed[in] = true;
    if (!packs || !call->host->immutable || !call->host->immutable[in]) {
        void *packed = tn_prepare_alloc(call, bytes);
        if (!packed) return TN_E_MEMORY;
        make(packed, context);
        *out_packed = packed;
        return TN_OK;
    }
    pthread_mutex_lock(&packs->lock);
    pack *p = find_pack(packs, origin, layout, bytes);
    if (!p) {
        p = add_pack(packs, origin, layout, bytes, NULL, 0);
        if (p) make(p->packed, context);
    }
    pthread_mutex_unlock(&packs->lock);
    if (!p) return TN_E_MEMORY;
    *out_packed = p->packed;
    return TN_OK;
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
