/* Sequences: lists of shared, immutable tensors. See sequence.h. */
#include "exec/sequence.h"
#include <stdatomic.h>

/* Followed by the tensor's data; of strings by the array of tn_string and then their bytes. */
typedef struct element {
    atomic_int references;
    const tn_allocator *allocator;
    size_t bytes; /* of all of it */
    tn_tensor tensor;
} element;

struct tn_sequence {
    const tn_allocator *allocator;
    tn_dtype dtype;
    element **elements;
    int64_t count, capacity;
};

enum { HEADER = (sizeof(element) + 63) / 64 * 64 };

static void element_drop(element *e) {
    if (atomic_fetch_sub_explicit(&e->references, 1, memory_order_acq_rel) == 1) tn_free(e->allocator, e, e->bytes);
}

/* NULL with a sentence on failure. */
static element *element_create(const tn_allocator *allocator, const tn_tensor *tensor) {
    int64_t count = tn_count(tensor);
    size_t data_bytes = tn_dtype_bytes(tensor->dtype, count), bytes;
    const tn_string *strings = tensor->dtype == TN_STRING ? tensor->data : NULL;
    bool fits = tn_add_size(data_bytes, HEADER, &bytes);
    for (int64_t i = 0; strings && i < count && fits; i++) fits = tn_add_size(bytes, strings[i].size, &bytes);
    if (!fits) {
        tn_fail(TN_E_LIMIT, "a sequence's element is too large to copy");
        return NULL;
    }
    element *e = tn_alloc(allocator, bytes);
    if (!e) return NULL;
    atomic_init(&e->references, 1);
    e->allocator = allocator;
    e->bytes = bytes;
    char *data = (char *)e + HEADER;
    e->tensor = (tn_tensor){0};
    if (tn_tensor_set_dense(&e->tensor, tensor->dtype, tensor->rank, tensor->dims, data) != TN_OK) {
        tn_free(allocator, e, bytes);
        return NULL;
    }
    if (strings) {
        tn_string *to = (tn_string *)data;
        char *text = data + data_bytes;
        for (int64_t i = 0; i < count; i++) {
            if (strings[i].size) memcpy(text, strings[i].data, strings[i].size);
            to[i] = (tn_string){text, strings[i].size};
            text += strings[i].size;
        }
    } else if (data_bytes) {
        memcpy(data, tensor->data, data_bytes);
    }
    return e;
}

tn_sequence *tn_sequence_create(const tn_allocator *allocator) {
    tn_sequence *sequence = tn_alloc_zero(allocator, sizeof *sequence);
    if (sequence) sequence->allocator = allocator;
    return sequence;
}

void tn_sequence_clear(tn_sequence *sequence) {
    for (int64_t i = 0; i < sequence->count; i++) element_drop(sequence->elements[i]);
    sequence->count = 0;
    sequence->dtype = TN_UNDEFINED;
}

void tn_sequence_destroy(tn_sequence *sequence) {
    if (!sequence) return;
    tn_sequence_clear(sequence);
    tn_free(sequence->allocator, sequence->elements, (size_t)sequence->capacity * sizeof *sequence->elements);
    tn_free(sequence->allocator, sequence, sizeof *sequence);
}

static tn_status reserve(tn_sequence *sequence, int64_t count) {
    size_t bytes;
    if (count <= sequence->capacity) return TN_OK;
    int64_t capacity = TN_MAX(TN_MAX(count, 8), sequence->capacity * 2);
    if (!tn_mul_size((size_t)capacity, sizeof *sequence->elements, &bytes))
        return tn_fail(TN_E_LIMIT, "a sequence of %lld elements is too long", (long long)count);
    element **elements = tn_alloc(sequence->allocator, bytes);
    if (!elements) return TN_E_MEMORY;
    if (sequence->count) memcpy(elements, sequence->elements, (size_t)sequence->count * sizeof *elements);
    tn_free(sequence->allocator, sequence->elements, (size_t)sequence->capacity * sizeof *elements);
    sequence->elements = elements;
    sequence->capacity = capacity;
    return TN_OK;
}

/* Takes the reference over, also on failure. */
static tn_status put(tn_sequence *sequence, int64_t position, element *e) {
    tn_status status = TN_OK;
    if (position < 0 || position > sequence->count)
        status = tn_fail(TN_E_INVALID, "position %lld is outside a sequence of %lld", (long long)position,
                         (long long)sequence->count);
    else if (sequence->dtype != TN_UNDEFINED && sequence->dtype != e->tensor.dtype)
        status = tn_fail(TN_E_TYPE, "a %s tensor does not go into a sequence of %s", tn_dtype_name(e->tensor.dtype),
                         tn_dtype_name(sequence->dtype));
    else
        status = reserve(sequence, sequence->count + 1);
    if (status != TN_OK) {
        element_drop(e);
        return status;
    }
    element **at = sequence->elements + position;
    memmove(at + 1, at, (size_t)(sequence->count - position) * sizeof *at);
    *at = e;
    sequence->count++;
    sequence->dtype = e->tensor.dtype;
    return TN_OK;
}

tn_status tn_sequence_insert(tn_sequence *sequence, int64_t position, const tn_tensor *tensor) {
    element *e = element_create(sequence->allocator, tensor);
    return e ? put(sequence, position, e) : TN_E_MEMORY;
}

tn_status tn_sequence_share(tn_sequence *sequence, const tn_sequence *from, int64_t position) {
    element *e = from->elements[position];
    atomic_fetch_add_explicit(&e->references, 1, memory_order_relaxed);
    return put(sequence, sequence->count, e);
}

tn_status tn_sequence_assign(tn_sequence *sequence, const tn_sequence *from) {
    if (sequence == from) return TN_OK;
    tn_sequence_clear(sequence);
    sequence->dtype = from->dtype;
    TN_TRY(reserve(sequence, from->count));
    for (int64_t i = 0; i < from->count; i++) TN_TRY(tn_sequence_share(sequence, from, i));
    return TN_OK;
}

int64_t tn_sequence_count(const tn_sequence *sequence) {
    return sequence->count;
}

const tn_tensor *tn_sequence_at(const tn_sequence *sequence, int64_t position) {
    return position >= 0 && position < sequence->count ? &sequence->elements[position]->tensor : NULL;
}

tn_dtype tn_sequence_dtype(const tn_sequence *sequence) {
    return sequence->dtype;
}

void tn_sequence_set_dtype(tn_sequence *sequence, tn_dtype dtype) {
    if (!sequence->count) sequence->dtype = dtype;
}
