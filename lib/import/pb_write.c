/* The wire writer: see pb_write.h. */
#include "import/pb_write.h"
#include "base/little.h"

#define SPLICE_BYTES 1024 /* elements of fewer bytes are copied */

/* Room for `size` more bytes. */
static bool reserve(tn_pb_out *out, size_t size) {
    size_t need, capacity = TN_MAX(out->capacity, (size_t)4096);
    if (out->status != TN_OK) return false;
    if (!tn_add_size(out->size, size, &need)) {
        out->status = tn_fail(TN_E_LIMIT, "a message of more bytes than memory has");
        return false;
    }
    if (need <= out->capacity) return true;
    while (capacity < need && tn_mul_size(capacity, 2, &capacity)) {
    }
    uint8_t *data = tn_alloc(NULL, TN_MAX(capacity, need));
    if (!data) {
        out->status = TN_E_MEMORY;
        return false;
    }
    if (out->size) memcpy(data, out->data, out->size);
    tn_free(NULL, out->data, out->capacity);
    out->data = data;
    out->capacity = TN_MAX(capacity, need);
    return true;
}

static size_t varint(uint8_t bytes[10], uint64_t v) {
    size_t n = 0;
    for (; v >= 0x80; v >>= 7) bytes[n++] = (uint8_t)(v | 0x80);
    bytes[n++] = (uint8_t)v;
    return n;
}

static void put(tn_pb_out *out, const void *data, size_t size) {
    if (!size || !reserve(out, size)) return;
    memcpy(out->data + out->size, data, size);
    out->size += size;
}

static void put_varint(tn_pb_out *out, uint64_t v) {
    uint8_t bytes[10];
    put(out, bytes, varint(bytes, v));
}

void tn_pb_put_int(tn_pb_out *out, uint32_t number, int64_t value) {
    put_varint(out, (uint64_t)number << 3 | TN_PB_VARINT);
    put_varint(out, (uint64_t)value);
}

void tn_pb_put_float(tn_pb_out *out, uint32_t number, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_varint(out, (uint64_t)number << 3 | TN_PB_32);
    put(out, (uint8_t[]){(uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16), (uint8_t)(bits >> 24)}, 4);
}

void tn_pb_put_double(tn_pb_out *out, uint32_t number, double value) {
    uint64_t bits;
    uint8_t bytes[8];
    memcpy(&bits, &value, sizeof bits);
    tn_put_little(bytes, 8, bits);
    put_varint(out, (uint64_t)number << 3 | TN_PB_64);
    put(out, bytes, sizeof bytes);
}

void tn_pb_put_bytes(tn_pb_out *out, uint32_t number, const void *data, size_t size) {
    put_varint(out, (uint64_t)number << 3 | TN_PB_LEN);
    put_varint(out, size);
    put(out, data, size);
}

void tn_pb_put_text(tn_pb_out *out, uint32_t number, const char *text) {
    tn_pb_put_bytes(out, number, text, strlen(text));
}

void tn_pb_put_splice(tn_pb_out *out, uint32_t number, const void *data, size_t size, size_t width) {
    put_varint(out, (uint64_t)number << 3 | TN_PB_LEN);
    put_varint(out, size);
    if (out->status != TN_OK || !size) return;
    if (out->splice_count == out->splice_capacity) {
        size_t capacity = TN_MAX(2 * out->splice_capacity, (size_t)64);
        tn_pb_splice *grown = tn_alloc(NULL, capacity * sizeof *grown);
        if (!grown) {
            out->status = TN_E_MEMORY;
            return;
        }
        if (out->splice_count) memcpy(grown, out->splices, out->splice_count * sizeof *grown);
        tn_free(NULL, out->splices, out->splice_capacity * sizeof *grown);
        out->splices = grown;
        out->splice_capacity = capacity;
    }
    out->splices[out->splice_count++] = (tn_pb_splice){out->size, data, size, width};
    out->spliced += size;
}

tn_pb_mark tn_pb_open(tn_pb_out *out, uint32_t number) {
    put_varint(out, (uint64_t)number << 3 | TN_PB_LEN);
    return (tn_pb_mark){out->size, out->spliced};
}

void tn_pb_close(tn_pb_out *out, tn_pb_mark mark) {
    uint8_t bytes[10];
    if (out->status != TN_OK) return;
    size_t n = varint(bytes, out->size - mark.at + (out->spliced - mark.spliced));
    if (!reserve(out, n)) return;
    memmove(out->data + mark.at + n, out->data + mark.at, out->size - mark.at);
    memcpy(out->data + mark.at, bytes, n);
    out->size += n;
    for (size_t i = out->splice_count; i > 0 && out->splices[i - 1].at >= mark.at; i--) out->splices[i - 1].at += n;
}

uint64_t tn_pb_out_bytes(const tn_pb_out *out) {
    return out->size + out->spliced;
}

void tn_little_endian(const void *data, size_t size, size_t width,
                      void (*write)(void *context, const void *data, size_t size), void *context) {
    uint8_t turned[4096];
    if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ || width < 2 || !size) {
        write(context, data, size);
        return;
    }
    const uint8_t *from = data;
    for (size_t done = 0, n; done < size; done += n) {
        n = TN_MIN(size - done, sizeof turned);
        for (size_t i = 0; i < n; i++) turned[i] = from[done + i / width * width + (width - 1 - i % width)];
        write(context, turned, n);
    }
}

void tn_pb_out_each(const tn_pb_out *out, void (*write)(void *context, const void *data, size_t size), void *context) {
    size_t at = 0;
    for (size_t i = 0; i < out->splice_count; i++) {
        const tn_pb_splice *s = &out->splices[i];
        write(context, out->data + at, s->at - at);
        tn_little_endian(s->data, s->size, s->width, write, context);
        at = s->at;
    }
    write(context, out->data + at, out->size - at);
}

size_t tn_number_width(tn_dtype dtype) {
    size_t width = TN_MAX(tn_dtype_bits(dtype), (size_t)8) / 8;
    return dtype == TN_COMPLEX64 || dtype == TN_COMPLEX128 ? width / 2 : width;
}

void tn_pb_put_tensor_head(tn_pb_out *out, const tn_tensor *tensor, const char *name) {
    for (int i = 0; i < tensor->rank; i++) tn_pb_put_int(out, 1, tensor->dims[i]);
    tn_pb_put_int(out, 2, tensor->dtype);
    if (name) tn_pb_put_text(out, 8, name);
}

static void put_piece(void *context, const void *data, size_t size) {
    tn_pb_put_bytes(context, 9, data, size);
}

void tn_pb_put_tensor(tn_pb_out *out, const tn_tensor *tensor, const char *name) {
    size_t bytes = tn_tensor_bytes(tensor);
    tn_pb_put_tensor_head(out, tensor, name);
    if (tensor->dtype == TN_STRING) {
        const tn_string *strings = tensor->data;
        for (int64_t i = 0; i < tn_count(tensor); i++) tn_pb_put_bytes(out, 6, strings[i].data, strings[i].size);
    } else if (bytes >= SPLICE_BYTES) {
        tn_pb_put_splice(out, 9, tensor->data, bytes, tn_number_width(tensor->dtype));
    } else {
        tn_little_endian(tensor->data, bytes, tn_number_width(tensor->dtype), put_piece, out);
    }
}

void tn_pb_out_free(tn_pb_out *out) {
    tn_free(NULL, out->data, out->capacity);
    tn_free(NULL, out->splices, out->splice_capacity * sizeof *out->splices);
    *out = (tn_pb_out){0};
}

void tn_output_piece(void *output, const void *data, size_t size) {
    tn_output_write(output, data, size);
}
