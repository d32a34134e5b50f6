/* Writing protobuf's wire format, for messages that carry weights of any size.
 *
 * Fields are appended to a buffer in memory. A message inside is opened and closed around its fields; its length is put
 * before them when it is closed. Large bytes are not copied: they are splices, which point to where the bytes are, and
 * come into their place when the whole is written out. The first failure is kept, as the status of the whole. */
#ifndef TN_IMPORT_PB_WRITE_H
#define TN_IMPORT_PB_WRITE_H

#include "base/output.h"
#include "base/tensor.h"
#include "import/pb.h"

typedef struct tn_pb_splice {
    size_t at; /* in the buffer: what follows it follows the splice */
    const void *data;
    size_t size;
    size_t width; /* of its numbers, which are written little-endian */
} tn_pb_splice;

typedef struct tn_pb_out {
    tn_status status;
    uint8_t *data;
    size_t size, capacity;
    tn_pb_splice *splices;
    size_t splice_count, splice_capacity;
    uint64_t spliced; /* bytes of the splices */
} tn_pb_out;

typedef struct tn_pb_mark {
    size_t at;
    uint64_t spliced;
} tn_pb_mark;

void tn_pb_put_int(tn_pb_out *out, uint32_t number, int64_t value);
void tn_pb_put_float(tn_pb_out *out, uint32_t number, float value);
void tn_pb_put_double(tn_pb_out *out, uint32_t number, double value);
void tn_pb_put_bytes(tn_pb_out *out, uint32_t number, const void *data, size_t size);
void tn_pb_put_text(tn_pb_out *out, uint32_t number, const char *text);
/* Bytes that stay where they are until the whole is written. */
void tn_pb_put_splice(tn_pb_out *out, uint32_t number, const void *data, size_t size, size_t width);
tn_pb_mark tn_pb_open(tn_pb_out *out, uint32_t number);
void tn_pb_close(tn_pb_out *out, tn_pb_mark mark);

/* The fields of a TensorProto: all of them, or all but the elements. name may be NULL. The tensor must be dense. */
void tn_pb_put_tensor(tn_pb_out *out, const tn_tensor *tensor, const char *name);
void tn_pb_put_tensor_head(tn_pb_out *out, const tn_tensor *tensor, const char *name);
/* Bytes of a number of that type, for the order of its bytes. */
size_t tn_number_width(tn_dtype dtype);

uint64_t tn_pb_out_bytes(const tn_pb_out *out);
/* The whole, piece by piece. */
void tn_pb_out_each(const tn_pb_out *out, void (*write)(void *context, const void *data, size_t size), void *context);
void tn_pb_out_free(tn_pb_out *out);

/* Numbers of `width` bytes, little-endian from the host's order or back; calls write with pieces, in order. */
void tn_little_endian(const void *data, size_t size, size_t width,
                      void (*write)(void *context, const void *data, size_t size), void *context);
void tn_output_piece(void *output, const void *data, size_t size); /* tn_output_write, as such a function */

#endif
