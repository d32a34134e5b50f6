/* Tensors: dtype facts, ownership, views, strided copies. */
#include "base/tensor.h"
#include <stdatomic.h>
#include <stdio.h>

struct tn_buffer {
    atomic_int references;
    const tn_allocator *allocator;
    size_t bytes; /* of the data behind this header, which takes 64 bytes */
};

static const struct {
    const char *name;
    unsigned bits;
} dtypes[] = {
    [TN_UNDEFINED] = {"undefined", 0},
    [TN_FLOAT32] = {"float32", 32},
    [TN_UINT8] = {"uint8", 8},
    [TN_INT8] = {"int8", 8},
    [TN_UINT16] = {"uint16", 16},
    [TN_INT16] = {"int16", 16},
    [TN_INT32] = {"int32", 32},
    [TN_INT64] = {"int64", 64},
    [TN_STRING] = {"string", 8 * sizeof(tn_string)},
    [TN_BOOL] = {"bool", 8},
    [TN_FLOAT16] = {"float16", 16},
    [TN_FLOAT64] = {"float64", 64},
    [TN_UINT32] = {"uint32", 32},
    [TN_UINT64] = {"uint64", 64},
    [TN_COMPLEX64] = {"complex64", 64},
    [TN_COMPLEX128] = {"complex128", 128},
    [TN_BFLOAT16] = {"bfloat16", 16},
    [TN_FLOAT8E4M3FN] = {"float8e4m3fn", 8},
    [TN_FLOAT8E4M3FNUZ] = {"float8e4m3fnuz", 8},
    [TN_FLOAT8E5M2] = {"float8e5m2", 8},
    [TN_FLOAT8E5M2FNUZ] = {"float8e5m2fnuz", 8},
    [TN_UINT4] = {"uint4", 4},
    [TN_INT4] = {"int4", 4},
    [TN_FLOAT4E2M1] = {"float4e2m1", 4},
    [TN_FLOAT8E8M0] = {"float8e8m0", 8},
    [TN_UINT2] = {"uint2", 2},
    [TN_INT2] = {"int2", 2},
};

static bool dtype_known(tn_dtype dtype) {
    return (size_t)dtype < TN_COUNT(dtypes) && dtypes[dtype].bits;
}

const char *tn_dtype_name(tn_dtype dtype) {
    return dtypes[dtype_known(dtype) ? dtype : TN_UNDEFINED].name;
}

tn_dtype tn_dtype_from_name(const char *name) {
    for (size_t i = 1; i < TN_COUNT(dtypes); i++)
        if (strcmp(dtypes[i].name, name) == 0) return (tn_dtype)i;
    return TN_UNDEFINED;
}

size_t tn_dtype_bits(tn_dtype dtype) {
    return dtype_known(dtype) ? dtypes[dtype].bits : 0;
}

size_t tn_dtype_bytes(tn_dtype dtype, int64_t count) {
    size_t bits = tn_dtype_bits(dtype), bytes;
    if (count < 0) return SIZE_MAX;
    if (bits < 8) return ((size_t)count * bits + 7) / 8;
    return tn_mul_size((size_t)count, bits / 8, &bytes) ? bytes : SIZE_MAX;
}

int64_t tn_dims_count(int rank, const int64_t *dims) {
    int64_t count = 1;
    bool empty = false;
    for (int i = 0; i < rank; i++) {
        if (dims[i] < 0) return -1;
        if (dims[i] == 0) {
            empty = true;
        } else if (__builtin_mul_overflow(count, dims[i], &count)) {
            return -1;
        }
    }
    return empty ? 0 : count;
}

tn_status tn_tensor_set_dense(tn_tensor *t, tn_dtype dtype, int rank, const int64_t *dims, void *data) {
    if (!dtype_known(dtype)) return tn_fail(TN_E_TYPE, "unknown data type number %d", (int)dtype);
    if (rank < 0 || rank > TN_MAX_RANK)
        return tn_fail(TN_E_SHAPE, "rank %d; tensors have 0 to %d dimensions", rank, TN_MAX_RANK);
    int64_t count = tn_dims_count(rank, dims);
    if (count < 0 || tn_dtype_bytes(dtype, count) > PTRDIFF_MAX) {
        char text[160];
        return tn_fail(TN_E_SHAPE, "%s is negative or too large", tn_shape_text(text, sizeof text, dtype, rank, dims));
    }
    t->dtype = dtype;
    t->rank = rank;
    t->data = data;
    int64_t stride = 1;
    for (int i = rank - 1; i >= 0; i--) {
        t->dims[i] = dims[i];
        t->strides[i] = stride;
        stride *= dims[i] ? dims[i] : 1;
    }
    return TN_OK;
}

static tn_buffer *buffer_create(const tn_allocator *allocator, size_t bytes) {
    tn_buffer *buffer = bytes <= PTRDIFF_MAX - 64 ? tn_alloc(allocator, bytes + 64) : NULL;
    if (!buffer) return NULL;
    atomic_init(&buffer->references, 1);
    buffer->allocator = allocator;
    buffer->bytes = bytes;
    return buffer;
}

static void buffer_drop(tn_buffer *buffer) {
    if (buffer && atomic_fetch_sub_explicit(&buffer->references, 1, memory_order_acq_rel) == 1)
        tn_free(buffer->allocator, buffer, buffer->bytes + 64);
}

static tn_status handle_create(tn_tensor **out) {
    *out = tn_alloc_zero(NULL, sizeof **out);
    return *out ? TN_OK : TN_E_MEMORY;
}

/* A tensor with `extra` bytes behind its elements. */
static tn_status init_with(tn_tensor *t, tn_dtype dtype, int rank, const int64_t *dims, size_t extra,
                           const tn_allocator *allocator) {
    tn_tensor made = {0};
    size_t bytes;
    TN_TRY(tn_tensor_set_dense(&made, dtype, rank, dims, NULL));
    if (!tn_add_size(tn_dtype_bytes(dtype, tn_count(&made)), extra, &bytes))
        return tn_fail(TN_E_LIMIT, "a tensor of more than %zu bytes", SIZE_MAX);
    made.buffer = buffer_create(allocator, bytes);
    if (!made.buffer) return TN_E_MEMORY;
    made.data = (char *)made.buffer + 64;
    *t = made;
    return TN_OK;
}

tn_status tn_tensor_init(tn_tensor *t, tn_dtype dtype, int rank, const int64_t *dims, const tn_allocator *allocator) {
    return init_with(t, dtype, rank, dims, 0, allocator);
}

tn_status tn_tensor_renew(tn_tensor *t, tn_dtype dtype, int rank, const int64_t *dims, const tn_allocator *allocator) {
    tn_buffer *buffer = t->buffer;
    tn_tensor shape = {0};
    TN_TRY(tn_tensor_set_dense(&shape, dtype, rank, dims, NULL));
    if (buffer && atomic_load_explicit(&buffer->references, memory_order_acquire) == 1 &&
        buffer->bytes >= tn_dtype_bytes(dtype, tn_count(&shape))) {
        shape.buffer = buffer;
        shape.data = (char *)buffer + 64;
        *t = shape;
        return TN_OK;
    }
    tn_tensor_deinit(t);
    return tn_tensor_init(t, dtype, rank, dims, allocator);
}

void tn_tensor_deinit(tn_tensor *t) {
    buffer_drop(t->buffer);
    t->buffer = NULL;
    t->data = NULL;
}

tn_status tn_tensor_init_copy(tn_tensor *t, const tn_tensor *from, const tn_allocator *allocator) {
    size_t extra = 0;
    const tn_tensor *source = from;
    tn_tensor dense = {0};
    int64_t count = tn_count(from);
    if (from->dtype == TN_STRING && !tn_tensor_is_dense(from)) { /* make the walk over its strings simple */
        TN_TRY(init_with(&dense, TN_STRING, from->rank, from->dims, 0, allocator));
        tn_tensor_copy(&dense, from);
        source = &dense;
    }
    const tn_string *strings = from->dtype == TN_STRING ? source->data : NULL;
    bool fits = true;
    for (int64_t i = 0; strings && fits && i < count; i++) fits = tn_add_size(extra, strings[i].size, &extra);
    tn_status status = fits ? init_with(t, from->dtype, from->rank, from->dims, extra, allocator)
                            : tn_fail(TN_E_LIMIT, "strings of more than %zu bytes", SIZE_MAX);
    if (status == TN_OK && !strings) {
        status = tn_tensor_copy(t, from);
    } else if (status == TN_OK) {
        tn_string *out = t->data;
        char *bytes = (char *)(out + count);
        for (int64_t i = 0; i < count; i++) {
            if (strings[i].size) memcpy(bytes, strings[i].data, strings[i].size);
            out[i] = (tn_string){bytes, strings[i].size};
            bytes += strings[i].size;
        }
    }
    tn_tensor_deinit(&dense);
    return status;
}

static tn_status handle_of(tn_status status, tn_tensor *made, tn_tensor **out) {
    if (status != TN_OK) return status;
    status = handle_create(out);
    if (status == TN_OK)
        **out = *made;
    else
        tn_tensor_deinit(made);
    return status;
}

tn_status tn_tensor_move(tn_tensor *t, tn_tensor **out_tensor) {
    tn_tensor made = *t;
    t->buffer = NULL;
    return handle_of(TN_OK, &made, out_tensor);
}

tn_status tn_tensor_create(tn_dtype dtype, int rank, const int64_t *dims, const tn_allocator *allocator,
                           tn_tensor **out_tensor) {
    tn_tensor made = {0};
    *out_tensor = NULL;
    tn_status status = tn_tensor_init(&made, dtype, rank, dims, allocator);
    if (status == TN_OK) memset(made.data, 0, made.buffer->bytes);
    return handle_of(status, &made, out_tensor);
}

/* Lowest and one past the highest element that dims and strides reach from 0; false on overflow. */
static bool reach(int rank, const int64_t *dims, const int64_t *strides, int64_t *low, int64_t *high) {
    *low = 0;
    *high = 1;
    for (int i = 0; i < rank; i++) {
        int64_t span;
        if (dims[i] == 0) {
            *low = *high = 0;
            return true;
        }
        if (__builtin_mul_overflow(dims[i] - 1, strides[i], &span)) return false;
        if (__builtin_add_overflow(span < 0 ? *low : *high, span, span < 0 ? low : high)) return false;
    }
    return true;
}

static void set_strides(tn_tensor *t, const int64_t *strides) {
    if (strides)
        for (int i = 0; i < t->rank; i++) t->strides[i] = strides[i];
}

tn_status tn_tensor_wrap(tn_dtype dtype, int rank, const int64_t *dims, const int64_t *strides, void *data,
                         size_t bytes, tn_tensor **out_tensor) {
    tn_tensor t = {0};
    *out_tensor = NULL;
    TN_TRY(tn_tensor_set_dense(&t, dtype, rank, dims, data));
    int64_t low = 0, high = tn_count(&t);
    if (strides && tn_dtype_bits(dtype) < 8)
        return tn_fail(TN_E_UNSUPPORTED, "%s tensors are dense only; pass NULL strides", tn_dtype_name(dtype));
    set_strides(&t, strides);
    if (strides && (!reach(rank, dims, strides, &low, &high) || low < 0))
        return tn_fail(TN_E_SHAPE, "strides reach %lld elements before the data; pass a pointer to the lowest element",
                       (long long)-low);
    if (tn_dtype_bytes(dtype, high) > bytes)
        return tn_fail(TN_E_SHAPE, "the shape reaches %zu bytes but only %zu are given", tn_dtype_bytes(dtype, high),
                       bytes);
    TN_TRY(handle_create(out_tensor));
    **out_tensor = t;
    return TN_OK;
}

tn_status tn_tensor_view(tn_tensor *parent, int rank, const int64_t *dims, const int64_t *strides, int64_t offset,
                         tn_tensor **out_tensor) {
    tn_tensor t = {0};
    int64_t low, high, parent_low, parent_high;
    *out_tensor = NULL;
    TN_TRY(tn_tensor_set_dense(&t, parent->dtype, rank, dims, NULL));
    if (tn_dtype_bits(t.dtype) < 8)
        return tn_fail(TN_E_UNSUPPORTED, "%s tensors have no views", tn_dtype_name(t.dtype));
    set_strides(&t, strides);
    if (!reach(parent->rank, parent->dims, parent->strides, &parent_low, &parent_high) ||
        !reach(rank, t.dims, t.strides, &low, &high) || __builtin_add_overflow(low, offset, &low) ||
        __builtin_add_overflow(high, offset, &high) || (high > low && (low < parent_low || high > parent_high)))
        return tn_fail(TN_E_SHAPE, "the view reaches outside its parent's memory; check dims, strides and offset");
    TN_TRY(handle_create(out_tensor));
    t.data = (char *)parent->data + offset * (int64_t)(tn_dtype_bits(t.dtype) / 8);
    t.buffer = parent->buffer;
    if (t.buffer) atomic_fetch_add_explicit(&t.buffer->references, 1, memory_order_relaxed);
    **out_tensor = t;
    return TN_OK;
}

void tn_tensor_destroy(tn_tensor *tensor) {
    if (!tensor) return;
    tn_tensor_deinit(tensor);
    tn_free(NULL, tensor, sizeof *tensor);
}

void tn_copy_strided(int rank, const int64_t *dims, size_t element, void *dst, const int64_t *dst_strides,
                     const void *src, const int64_t *src_strides) {
    int64_t index[TN_MAX_RANK] = {0};
    int inner = rank - 1;
    for (int i = 0; i < rank; i++)
        if (dims[i] == 0) return;
    int64_t n = rank ? dims[inner] : 1, ds = rank ? dst_strides[inner] : 1, ss = rank ? src_strides[inner] : 1;
    char *d = dst;
    const char *s = src;
    for (;;) {
        if (ds == 1 && ss == 1) {
            memcpy(d, s, (size_t)n * element);
        } else {
            for (int64_t i = 0; i < n; i++)
                memcpy(d + i * ds * (int64_t)element, s + i * ss * (int64_t)element, element);
        }
        int axis = inner - 1;
        for (; axis >= 0; axis--) {
            d += dst_strides[axis] * (int64_t)element;
            s += src_strides[axis] * (int64_t)element;
            if (++index[axis] < dims[axis]) break;
            d -= dims[axis] * dst_strides[axis] * (int64_t)element;
            s -= dims[axis] * src_strides[axis] * (int64_t)element;
            index[axis] = 0;
        }
        if (axis < 0) return;
    }
}

tn_status tn_tensor_copy(tn_tensor *dst, const tn_tensor *src) {
    char a[160], b[160];
    int64_t strides[TN_MAX_RANK] = {0};
    if (dst->dtype != src->dtype)
        return tn_fail(TN_E_TYPE, "copy from %s to %s; cast first", tn_dtype_name(src->dtype),
                       tn_dtype_name(dst->dtype));
    int shift = dst->rank - src->rank;
    for (int i = 0; i < src->rank || shift < 0; i++) {
        int64_t want = shift >= 0 ? dst->dims[i + shift] : -1;
        if (shift < 0 || (src->dims[i] != want && src->dims[i] != 1))
            return tn_fail(TN_E_SHAPE, "copy from %s to %s: shapes do not broadcast",
                           tn_shape_text(a, sizeof a, src->dtype, src->rank, src->dims),
                           tn_shape_text(b, sizeof b, dst->dtype, dst->rank, dst->dims));
        strides[i + shift] = src->dims[i] == 1 ? 0 : src->strides[i];
    }
    size_t bits = tn_dtype_bits(dst->dtype);
    if (bits < 8) {
        if (tn_count(dst) != tn_count(src))
            return tn_fail(TN_E_UNSUPPORTED, "%s tensors do not broadcast", tn_dtype_name(dst->dtype));
        memcpy(dst->data, src->data, tn_dtype_bytes(dst->dtype, tn_count(dst)));
        return TN_OK;
    }
    tn_copy_strided(dst->rank, dst->dims, bits / 8, dst->data, dst->strides, src->data, strides);
    return TN_OK;
}

tn_status tn_tensor_clone(const tn_tensor *tensor, const tn_allocator *allocator, tn_tensor **out_tensor) {
    tn_tensor made = {0};
    *out_tensor = NULL;
    return handle_of(tn_tensor_init_copy(&made, tensor, allocator), &made, out_tensor);
}

tn_dtype tn_tensor_dtype(const tn_tensor *tensor) {
    return tensor->dtype;
}
int tn_tensor_rank(const tn_tensor *tensor) {
    return tensor->rank;
}
const int64_t *tn_tensor_dims(const tn_tensor *tensor) {
    return tensor->dims;
}
const int64_t *tn_tensor_strides(const tn_tensor *tensor) {
    return tensor->strides;
}
int64_t tn_tensor_count(const tn_tensor *tensor) {
    return tn_count(tensor);
}
size_t tn_tensor_bytes(const tn_tensor *tensor) {
    return tn_dtype_bytes(tensor->dtype, tn_count(tensor));
}
void *tn_tensor_data(tn_tensor *tensor) {
    return tensor->data;
}
const void *tn_tensor_const_data(const tn_tensor *tensor) {
    return tensor->data;
}

bool tn_tensor_is_dense(const tn_tensor *tensor) {
    int64_t stride = 1;
    for (int i = tensor->rank - 1; i >= 0; i--) {
        if (tensor->dims[i] > 1 && tensor->strides[i] != stride) return false;
        stride *= tensor->dims[i];
    }
    return true;
}

char *tn_shape_text(char *text, size_t size, tn_dtype dtype, int rank, const int64_t *dims) {
    int n = snprintf(text, size, "%s[", dtype ? tn_dtype_name(dtype) : "");
    for (int i = 0; i < rank && i < TN_MAX_RANK && n >= 0 && (size_t)n < size; i++) {
        const char *comma = i ? "," : "";
        if (dims[i] < 0)
            n += snprintf(text + n, size - (size_t)n, "%s?", comma);
        else
            n += snprintf(text + n, size - (size_t)n, "%s%lld", comma, (long long)dims[i]);
    }
    if (n >= 0 && (size_t)n < size) snprintf(text + n, size - (size_t)n, rank < 0 ? "...]" : "]");
    return text;
}
