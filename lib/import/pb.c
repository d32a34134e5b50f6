/* The wire reader: see pb.h. */
#include "import/pb.h"
#include <limits.h>

tn_pb tn_pb_over(tn_string bytes) {
    const uint8_t *at = (const uint8_t *)bytes.data;
    return (tn_pb){at, at ? at + bytes.size : at, false};
}

static bool varint(const uint8_t **at, const uint8_t *end, uint64_t *value) {
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = v;
            return true;
        }
    }
    return false;
}

/* One number of a fixed or variable width. */
static bool number(const uint8_t **at, const uint8_t *end, uint32_t wire, uint64_t *value) {
    if (wire == TN_PB_VARINT) return varint(at, end, value);
    size_t width = wire == TN_PB_32 ? 4 : 8;
    if ((size_t)(end - *at) < width) return false;
    *value = 0;
    for (size_t i = 0; i < width; i++) *value |= (uint64_t)(*at)[i] << (8 * i);
    *at += width;
    return true;
}

bool tn_pb_next(tn_pb *reader, tn_pb_field *field) {
    if (reader->bad || reader->at == reader->end) return false;
    uint64_t tag = 0, size = 0;
    reader->bad = true;
    if (!varint(&reader->at, reader->end, &tag) || tag >> 3 == 0 || tag > UINT32_MAX) return false;
    *field = (tn_pb_field){.number = (uint32_t)(tag >> 3), .wire = tag & 7};
    switch (field->wire) {
    case TN_PB_VARINT:
    case TN_PB_64:
    case TN_PB_32:
        if (!number(&reader->at, reader->end, field->wire, &field->value)) return false;
        break;
    case TN_PB_LEN:
        if (!varint(&reader->at, reader->end, &size) || size > (size_t)(reader->end - reader->at)) return false;
        field->data = reader->at;
        field->size = (size_t)size;
        reader->at += size;
        break;
    default: return false;
    }
    reader->bad = false;
    return true;
}

tn_status tn_pb_done(const tn_pb *reader, const char *message) {
    if (!reader->bad) return TN_OK;
    return tn_fail(TN_E_FORMAT, "malformed %s: cut short, or a field of the wrong wire type", message);
}

int64_t tn_pb_int(tn_pb *reader, const tn_pb_field *field) {
    if (field->wire == TN_PB_VARINT) return (int64_t)field->value;
    reader->bad = true;
    return 0;
}

float tn_pb_float(tn_pb *reader, const tn_pb_field *field) {
    if (field->wire == TN_PB_32) return tn_pb_bits_float(field->value);
    reader->bad = true;
    return 0;
}

tn_string tn_pb_bytes(tn_pb *reader, const tn_pb_field *field) {
    if (field->wire == TN_PB_LEN) return (tn_string){(const char *)field->data, field->size};
    reader->bad = true;
    return (tn_string){NULL, 0};
}

bool tn_pb_each(tn_pb *reader, tn_pb_field *field, uint32_t wire, uint64_t *value) {
    if (field->wire == wire) {
        *value = field->value;
        field->wire = TN_PB_LEN; /* an empty packed list from now on */
        field->size = 0;
        return true;
    }
    if (field->wire != TN_PB_LEN) {
        reader->bad = true;
        return false;
    }
    if (field->size == 0) return false;
    const uint8_t *at = field->data, *end = at + field->size;
    if (!number(&at, end, wire, value)) {
        reader->bad = true;
        return false;
    }
    field->data = at;
    field->size = (size_t)(end - at);
    return true;
}

tn_status tn_pb_collect(tn_region *region, tn_string message, uint32_t number_wanted, tn_string **out, int *count) {
    tn_string *list = NULL;
    for (int pass = 0; pass < 2; pass++) {
        tn_pb r = tn_pb_over(message);
        tn_pb_field f;
        size_t n = 0;
        while (tn_pb_next(&r, &f)) {
            if (f.number != number_wanted) continue;
            tn_string bytes = tn_pb_bytes(&r, &f);
            if (list && !r.bad) list[n] = bytes;
            n++;
        }
        TN_TRY(tn_pb_done(&r, "message"));
        if (n > INT_MAX) return tn_fail(TN_E_LIMIT, "a message with %zu parts", n);
        *count = (int)n;
        if (!list && !(list = tn_region_array(region, n, sizeof *list))) return TN_E_MEMORY;
    }
    *out = list;
    return TN_OK;
}
