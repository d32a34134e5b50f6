/* Sequences: lists of shared, immutable tensors. See sequence.h. */
#include "exec/sequence.h"
#include <stdatomic.h>

/* Followed by the tensor's data. */
typedef struct element {
    atomic_int references;
    const tn_allocator *allocator;
    size_t bytes; /* of this and the data */
    char *text;   /* the bytes of strings */
    size_t text_bytes;
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
    if (atomic_fetch_sub_explicit(&e->references, 1, memory_order_acq_rel) != 1) return;
    tn_free(e->allocator, e->text, e->text_bytes);
    tn_free(e->allocator, e, e->bytes);
}

/* Gives the strings of a fresh element memory of their own. */
static tn_status own_strings(element *e) {
    tn_string *strings = e->tensor.data;
    int64_t count = tn_count(&e->tensor);
    for (int64_t i = 0; i < count; i++)
        if (!tn_add_size(e->text_bytes, strings[i].size, &e->text_bytes))
            return tn_fail(TN_E_LIMIT, "the strings of a sequence's element are too large to copy");
    e->text = tn_alloc(e->allocator, e->text_bytes);
    if (!e->text) return TN_E_MEMORY;
    char *to = e->text;
    for (int64_t i = 0; i < count; i++) {
        if (strings[i].size) memcpy(to, strings[i].data, strings[i].size);
        strings[i].data = to;
        to += strings[i].size;
    }
    return TN_OK;
}

static tn_status element_create(const tn_allocator *allocator, const tn_tensor *from, element **out) {
    size_t data_bytes = tn_dtype_bytes(from->dtype, tn_count(from)), bytes;
    *out = NULL;
    if (!tn_add_size(data_bytes, HEADER, &bytes))
        return tn_fail(TN_E_LIMIT, "a sequence's element is too large to copy");
    element *e = tn_alloc(allocator, bytes);
    if (!e) return TN_E_MEMORY;
    *e = (element){.allocator = allocator, .bytes = bytes};
    atomic_init(&e->references, 1);
    tn_status status = tn_tensor_set_dense(&e->tensor, from->dtype, from->rank, from->dims, (char *)e + HEADER);
    if (status == TN_OK) status = tn_tensor_copy(&e->tensor, from);
    if (status == TN_OK && from->dtype == TN_STRING) status = own_strings(e);
    if (status == TN_OK)
        *out = e;
    else
        element_drop(e);
    return status;
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
    element *e = NULL;
    TN_TRY(element_create(sequence->allocator, tensor, &e));
    return put(sequence, position, e);
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
