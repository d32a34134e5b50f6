/* Reading protobuf's wire format (protobuf.dev/programming-guides/encoding) over a byte range, without copies.
 *
 * A message is read field by field:
 *
 *     tn_pb_field f;
 *     while (tn_pb_next(&r, &f)) switch (f.number) {
 *         case 1: name = tn_pb_bytes(&r, &f); break;
 *         case 3: version = tn_pb_int(&r, &f); break;
 *     }
 *     return tn_pb_done(&r, "NodeProto");
 *
 * Nothing is read outside of the range. A range that is cut, or a field whose wire type is not the expected one, makes
 * the reader bad for good: next then says that there is no more, and done fails. Groups are refused; ONNX has none. */
#ifndef TN_IMPORT_PB_H
#define TN_IMPORT_PB_H

#include "base/base.h"

enum { TN_PB_VARINT = 0, TN_PB_64 = 1, TN_PB_LEN = 2, TN_PB_32 = 5 };

typedef struct tn_pb {
    const uint8_t *at, *end;
    bool bad;
} tn_pb;

typedef struct tn_pb_field {
    uint32_t number, wire;
    uint64_t value;      /* of a number */
    const uint8_t *data; /* of TN_PB_LEN */
    size_t size;
} tn_pb_field;

tn_pb tn_pb_over(tn_string bytes);
/* The next field; false at the end and when the range is malformed. */
bool tn_pb_next(tn_pb *reader, tn_pb_field *field);
/* Fails if the message was malformed. */
tn_status tn_pb_done(const tn_pb *reader, const char *message);

/* The field's contents; 0 or nothing, and a bad reader, if it has another wire type. */
int64_t tn_pb_int(tn_pb *reader, const tn_pb_field *field);
float tn_pb_float(tn_pb *reader, const tn_pb_field *field);
tn_string tn_pb_bytes(tn_pb *reader, const tn_pb_field *field);
/* Repeated numbers come packed or one by one. Gives this field's next one; false when there are no more. */
bool tn_pb_each(tn_pb *reader, tn_pb_field *field, uint32_t wire, uint64_t *value);
/* All length-delimited fields of that number, as an array in the region. */
tn_status tn_pb_collect(tn_region *region, tn_string message, uint32_t number, tn_string **out, int *count);

static inline float tn_pb_bits_float(uint64_t bits) {
    uint32_t low = (uint32_t)bits;
    float f;
    memcpy(&f, &low, sizeof f);
    return f;
}

#endif
