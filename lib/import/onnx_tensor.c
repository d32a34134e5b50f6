/* TensorProto: the forms in which ONNX stores elements, and where constants of a graph live.
 *
 * Raw bytes are little-endian. Where the machine is so too, a raw tensor that lies aligned in the mapped file is used where
 * it is; a big-endian machine copies and turns numbers of more than a byte. */
#include "import/onnx.h"
#include "import/pb_write.h"

#define BIG_ENDIAN_HOST (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)

/* Which field holds the elements if there are no raw data, and how many numbers an element takes there. */
typedef struct storage {
    uint32_t field, wire;
    int numbers;
} storage;

static storage storage_of(tn_dtype dtype) {
    switch (dtype) {
    case TN_FLOAT32: return (storage){4, TN_PB_32, 1};
    case TN_COMPLEX64: return (storage){4, TN_PB_32, 2};
    case TN_FLOAT64: return (storage){10, TN_PB_64, 1};
    case TN_COMPLEX128: return (storage){10, TN_PB_64, 2};
    case TN_INT64: return (storage){7, TN_PB_VARINT, 1};
    case TN_UINT32:
    case TN_UINT64: return (storage){11, TN_PB_VARINT, 1};
    case TN_STRING: return (storage){6, TN_PB_LEN, 1};
    default: return (storage){5, TN_PB_VARINT, 1};
    }
}

/* How many numbers (or strings) the typed field must hold: packed elements share a number. */
static uint64_t stored_numbers(const tn_onnx_tensor *t) {
    if (t->dtype != TN_STRING && tn_dtype_bits(t->dtype) < 8) return t->bytes;
    return (uint64_t)t->count * (uint64_t)storage_of(t->dtype).numbers;
}

static tn_status scan_external(tn_onnx_tensor *t, tn_string message) {
    tn_pb r = tn_pb_over(message);
    tn_pb_field f;
    tn_string key = {0}, value = {0};
    while (tn_pb_next(&r, &f)) {
        if (f.number == 1) key = tn_pb_bytes(&r, &f);
        if (f.number == 2) value = tn_pb_bytes(&r, &f);
    }
    TN_TRY(tn_pb_done(&r, "StringStringEntryProto"));
    bool is_offset = tn_string_equal(key, tn_string_of("offset"));
    bool is_length = tn_string_equal(key, tn_string_of("length"));
    if (tn_string_equal(key, tn_string_of("location"))) t->location = value;
    if (!is_offset && !is_length) return TN_OK;
    uint64_t number = 0;
    for (size_t i = 0; i < value.size; i++) {
        unsigned digit = (unsigned char)value.data[i] - (unsigned)'0';
        if (digit > 9 || __builtin_mul_overflow(number, 10, &number) || __builtin_add_overflow(number, digit, &number))
            return tn_fail(TN_E_FORMAT, "external data: offset and length must be decimal numbers");
    }
    if (is_offset) t->offset = number;
    if (is_length) t->length = number, t->has_length = true;
    return TN_OK;
}

/* Numbers and strings in the typed field. */
static tn_status count_typed(tn_onnx_tensor *t, uint64_t *numbers) {
    storage s = storage_of(t->dtype);
    tn_pb r = tn_pb_over(t->message);
    tn_pb_field f;
    uint64_t value;
    *numbers = 0;
    while (tn_pb_next(&r, &f)) {
        if (f.number != s.field) continue;
        if (s.wire == TN_PB_LEN) {
            t->string_bytes += tn_pb_bytes(&r, &f).size; /* parts of one range: no overflow */
            (*numbers)++;
        } else if (f.wire == TN_PB_LEN && s.wire != TN_PB_VARINT) {
            *numbers += f.size / (s.wire == TN_PB_32 ? 4 : 8);
        } else {
            while (tn_pb_each(&r, &f, s.wire, &value)) (*numbers)++;
        }
    }
    return tn_pb_done(&r, "TensorProto");
}

enum { SHAPE_TEXT = 160 };
static const char *shape_of(const tn_onnx_tensor *t, char text[SHAPE_TEXT]) {
    return tn_shape_text(text, SHAPE_TEXT, t->dtype, t->rank, t->dims);
}

static tn_status check_contents(tn_onnx_tensor *t) {
    char text[SHAPE_TEXT];
    if (t->external) {
        if (t->dtype == TN_STRING)
            return tn_fail(TN_E_FORMAT, "%s: strings cannot be external data", shape_of(t, text));
        if (t->has_length && t->length != t->bytes)
            return tn_fail(TN_E_FORMAT, "%s takes %zu bytes but its external data have %llu", shape_of(t, text),
                           t->bytes, (unsigned long long)t->length);
        return TN_OK;
    }
    if (t->has_raw && (t->raw.size || t->bytes == 0)) {
        if (t->dtype == TN_STRING) return tn_fail(TN_E_FORMAT, "%s: strings cannot be raw data", shape_of(t, text));
        if (t->raw.size != t->bytes)
            return tn_fail(TN_E_FORMAT, "%s takes %zu bytes but its raw data have %zu", shape_of(t, text), t->bytes,
                           t->raw.size);
        return TN_OK;
    }
    t->has_raw = false;
    uint64_t numbers;
    TN_TRY(count_typed(t, &numbers));
    if (numbers == stored_numbers(t)) return TN_OK;
    return tn_fail(TN_E_FORMAT, "%s needs %llu stored numbers but has %llu", shape_of(t, text),
                   (unsigned long long)stored_numbers(t), (unsigned long long)numbers);
}

tn_status tn_onnx_tensor_scan(tn_string message, tn_onnx_tensor *out) {
    tn_onnx_tensor t = {.message = message};
    tn_pb r = tn_pb_over(message);
    tn_pb_field f;
    uint64_t dim;
    int64_t dtype = 0;
    int rank = 0;
    while (tn_pb_next(&r, &f)) switch (f.number) {
        case 1:
            for (; tn_pb_each(&r, &f, TN_PB_VARINT, &dim); rank = TN_MIN(rank + 1, TN_MAX_RANK + 1))
                if (rank < TN_MAX_RANK) t.dims[rank] = (int64_t)dim;
            break;
        case 2: dtype = tn_pb_int(&r, &f); break;
        case 3: return tn_fail(TN_E_UNSUPPORTED, "a tensor in segments");
        case 8: t.name = tn_pb_bytes(&r, &f); break;
        case 9:
            t.raw = tn_pb_bytes(&r, &f);
            t.has_raw = true;
            break;
        case 13: TN_TRY(scan_external(&t, tn_pb_bytes(&r, &f))); break;
        case 14: t.external = tn_pb_int(&r, &f) == 1; break;
        }
    TN_TRY(tn_pb_done(&r, "TensorProto"));
    tn_tensor shape;
    t.rank = rank;
    t.dtype = dtype >= 0 && dtype < 1000 ? (tn_dtype)dtype : TN_UNDEFINED;
    *out = t; /* the name serves the caller's sentence if the rest is wrong */
    TN_TRY(tn_tensor_set_dense(&shape, t.dtype, t.rank, t.dims, NULL));
    t.count = tn_count(&shape);
    t.bytes = tn_dtype_bytes(t.dtype, t.count);
    tn_status status = check_contents(&t);
    *out = t;
    return status;
}

static tn_status fill_strings(const tn_onnx_tensor *t, tn_string *out, char *text) {
    tn_pb r = tn_pb_over(t->message);
    tn_pb_field f;
    while (tn_pb_next(&r, &f)) {
        if (f.number != storage_of(TN_STRING).field) continue;
        tn_string s = tn_pb_bytes(&r, &f);
        if (text) {
            if (s.size) memcpy(text, s.data, s.size);
            s.data = text;
            text += s.size;
        }
        *out++ = s;
    }
    return tn_pb_done(&r, "TensorProto");
}

static void append(void *context, const void *data, size_t size) {
    char **out = context;
    if (size) memcpy(*out, data, size);
    *out += size;
}

static tn_status fill_numbers(const tn_onnx_tensor *t, char *out) {
    storage s = storage_of(t->dtype);
    size_t width = TN_MAX(tn_dtype_bits(t->dtype), 8u) / 8 / (size_t)s.numbers;
    tn_pb r = tn_pb_over(t->message);
    tn_pb_field f;
    uint64_t value;
    while (tn_pb_next(&r, &f)) {
        if (f.number != s.field) continue;
        if (f.wire == TN_PB_LEN && s.wire != TN_PB_VARINT) { /* packed, as raw data are */
            size_t size = f.size / width * width;
            tn_little_endian(f.data, size, width, append, &out);
            continue;
        }
        for (; tn_pb_each(&r, &f, s.wire, &value); out += width) {
            if (t->dtype == TN_BOOL) value = value != 0;
            memcpy(out, (const char *)&value + (BIG_ENDIAN_HOST ? sizeof value - width : 0), width);
        }
    }
    return tn_pb_done(&r, "TensorProto");
}

static void copy_raw(const tn_onnx_tensor *t, char *out) {
    tn_little_endian(t->raw.data, t->bytes, tn_number_width(t->dtype), append, &(char *){out});
    for (size_t i = 0; i < t->bytes && t->dtype == TN_BOOL; i++) out[i] = out[i] != 0;
}

tn_status tn_onnx_tensor_fill(const tn_onnx_tensor *t, void *data, char *text) {
    if (t->has_raw) {
        copy_raw(t, data);
        return TN_OK;
    }
    return t->dtype == TN_STRING ? fill_strings(t, data, text) : fill_numbers(t, data);
}

/* Weights from this size on are used where they lie in the file, at whatever address; the plan packs them from there. */
#define WEIGHT_BYTES (64u << 10)

/* Whether raw bytes may serve as the tensor's memory: aligned to their numbers, or weights; and bools being 0 or 1. */
static bool fits_in_place(const tn_onnx_tensor *t) {
    size_t width = TN_MIN(TN_MAX(tn_dtype_bits(t->dtype), 8u) / 8, sizeof(double));
    if (BIG_ENDIAN_HOST && width > 1) return false;
    bool weights =
        t->bytes >= WEIGHT_BYTES && (t->dtype == TN_FLOAT32 || t->dtype == TN_FLOAT16 || t->dtype == TN_BFLOAT16);
    if ((uintptr_t)t->raw.data % width && !weights) return false;
    if (t->dtype == TN_BOOL)
        for (size_t i = 0; i < t->bytes; i++)
            if ((uint8_t)t->raw.data[i] > 1) return false;
    return t->bytes > 0;
}

static tn_status constant_of(tn_importer *importer, tn_onnx_tensor *t, tn_tensor **out) {
    if (t->external) {
        TN_TRY(tn_onnx_external(importer, t, &t->raw));
        t->has_raw = true;
    }
    void *place = NULL;
    if (t->has_raw && fits_in_place(t)) memcpy(&place, &t->raw.data, sizeof place); /* never written to */
    tn_tensor *tensor = tn_graph_tensor(importer->root, t->dtype, t->rank, t->dims, place);
    if (!tensor) return TN_E_MEMORY;
    *out = tensor;
    return place ? TN_OK : tn_onnx_tensor_fill(t, tensor->data, NULL);
}

tn_status tn_onnx_constant(tn_importer *importer, tn_string message, tn_tensor **out, tn_string *name) {
    tn_onnx_tensor t = {0};
    tn_status status = tn_onnx_tensor_scan(message, &t);
    if (status == TN_OK) status = constant_of(importer, &t, out);
    if (name) *name = t.name;
    if (status != TN_OK && t.name.size)
        return tn_fail_context(status, "tensor '%.*s'", (int)TN_MIN(t.name.size, 200u), t.name.data);
    return status;
}

/* Element k's index in the dense tensor, or -1. */
static int64_t sparse_index(const tn_tensor *indices, int64_t k, const tn_tensor *dense) {
    const int64_t *index = indices->data;
    if (indices->rank == 1) return index[k] >= 0 && index[k] < tn_count(dense) ? index[k] : -1;
    int64_t at = 0;
    for (int i = 0; i < dense->rank; i++) {
        int64_t v = index[k * dense->rank + i];
        if (v < 0 || v >= dense->dims[i]) return -1;
        at += v * dense->strides[i];
    }
    return at;
}

tn_status tn_onnx_sparse(tn_importer *importer, tn_string message, tn_tensor **out, tn_string *name) {
    tn_pb r = tn_pb_over(message);
    tn_pb_field f;
    tn_string value_message = {0}, index_message = {0};
    int64_t dims[TN_MAX_RANK];
    uint64_t dim;
    int rank = 0;
    while (tn_pb_next(&r, &f)) switch (f.number) {
        case 1: value_message = tn_pb_bytes(&r, &f); break;
        case 2: index_message = tn_pb_bytes(&r, &f); break;
        case 3:
            for (; tn_pb_each(&r, &f, TN_PB_VARINT, &dim); rank = TN_MIN(rank + 1, TN_MAX_RANK + 1))
                if (rank < TN_MAX_RANK) dims[rank] = (int64_t)dim;
            break;
        }
    TN_TRY(tn_pb_done(&r, "SparseTensorProto"));
    tn_tensor *values, *indices;
    TN_TRY(tn_onnx_constant(importer, value_message, &values, name));
    TN_TRY(tn_onnx_constant(importer, index_message, &indices, NULL));
    size_t width = tn_dtype_bits(values->dtype) / 8;
    if (!width || values->dtype == TN_STRING)
        return tn_fail(TN_E_UNSUPPORTED, "a sparse tensor of %s", tn_dtype_name(values->dtype));
    tn_tensor shape;
    TN_TRY(tn_tensor_set_dense(&shape, values->dtype, rank, dims, NULL));
    tn_tensor *dense = tn_graph_tensor(importer->root, values->dtype, rank, dims, NULL);
    if (!dense) return TN_E_MEMORY;
    int64_t n = tn_count(values);
    bool linear = indices->rank == 1 && indices->dims[0] == n;
    bool by_axis = indices->rank == 2 && indices->dims[0] == n && indices->dims[1] == rank;
    if (values->rank != 1 || indices->dtype != TN_INT64 || !(linear || by_axis))
        return tn_fail(TN_E_FORMAT, "a sparse tensor's indices must be int64[%lld] or int64[%lld,%d]", (long long)n,
                       (long long)n, rank);
    for (int64_t k = 0; k < n; k++) {
        int64_t at = sparse_index(indices, k, dense);
        if (at < 0) return tn_fail(TN_E_FORMAT, "a sparse tensor's index %lld is outside of its shape", (long long)k);
        memcpy((char *)dense->data + (size_t)at * width, (const char *)values->data + (size_t)k * width, width);
    }
    *out = dense;
    return TN_OK;
}
