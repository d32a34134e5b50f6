/* A small protobuf writer, to build ONNX models in tests: right ones and wrong ones. */
#ifndef TN_TEST_PROTOBUF_H
#define TN_TEST_PROTOBUF_H

#include <stdint.h>
#include <string.h>

typedef struct pb_bytes {
    size_t size;
    uint8_t data[16384];
} pb_bytes;

static inline void pb_varint(pb_bytes *b, uint64_t v) {
    for (; v >= 0x80; v >>= 7) b->data[b->size++] = (uint8_t)(v | 0x80);
    b->data[b->size++] = (uint8_t)v;
}
static inline void pb_int(pb_bytes *b, unsigned field, int64_t v) {
    pb_varint(b, field << 3);
    pb_varint(b, (uint64_t)v);
}
static inline void pb_raw(pb_bytes *b, unsigned field, const void *data, size_t size) {
    pb_varint(b, field << 3 | 2);
    pb_varint(b, size);
    if (size) memcpy(b->data + b->size, data, size);
    b->size += size;
}
/* Numbers of `width` bytes, little-endian as raw data are: on any machine that the tests run on. */
static inline void pb_little(void *to, const void *data, size_t size, size_t width) {
    for (size_t i = 0; i < size; i++) {
        size_t from = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? i / width * width + width - 1 - i % width : i;
        ((uint8_t *)to)[i] = ((const uint8_t *)data)[from];
    }
}
static inline void pb_numbers(pb_bytes *b, unsigned field, const void *data, size_t size, size_t width) {
    uint8_t turned[1024];
    pb_little(turned, data, size, width);
    pb_raw(b, field, turned, size);
}
static inline void pb_text(pb_bytes *b, unsigned field, const char *text) {
    pb_raw(b, field, text, strlen(text));
}
static inline void pb_message(pb_bytes *b, unsigned field, const pb_bytes *message) {
    pb_raw(b, field, message->data, message->size);
}
/* "a,b,,c": a text field each, empty ones included; "" is none. */
static inline void pb_list(pb_bytes *b, unsigned field, const char *list) {
    while (*list) {
        size_t length = strcspn(list, ",");
        pb_raw(b, field, list, length);
        list += length + (list[length] == ',');
    }
}

/* ONNX's messages. attributes: a message of repeated fields 5 (AttributeProto), or NULL. */
static inline void onnx_node(pb_bytes *graph, unsigned field, const char *op, const char *domain, const char *in,
                             const char *out, const pb_bytes *attributes) {
    pb_bytes node = {0};
    pb_list(&node, 1, in);
    pb_list(&node, 2, out);
    pb_text(&node, 4, op);
    if (*domain) pb_text(&node, 7, domain);
    if (attributes) {
        memcpy(node.data + node.size, attributes->data, attributes->size);
        node.size += attributes->size;
    }
    pb_message(graph, field, &node);
}
static inline void onnx_int_attribute(pb_bytes *attributes, const char *name, int64_t value) {
    pb_bytes a = {0};
    pb_text(&a, 1, name);
    pb_int(&a, 3, value);
    pb_int(&a, 20, 2);
    pb_message(attributes, 5, &a);
}
static inline void onnx_graph_attribute(pb_bytes *attributes, const char *name, const pb_bytes *graph) {
    pb_bytes a = {0};
    pb_text(&a, 1, name);
    pb_message(&a, 6, graph);
    pb_int(&a, 20, 5);
    pb_message(attributes, 5, &a);
}
/* A ValueInfoProto of a float32 tensor; a negative dim is the symbol "batch", a rank of -1 says nothing of the shape. */
static inline void onnx_value(pb_bytes *graph, unsigned field, const char *name, int rank, const int64_t *dims) {
    pb_bytes value = {0}, type = {0}, tensor = {0}, shape = {0};
    for (int i = 0; i < rank; i++) {
        pb_bytes dim = {0};
        if (dims[i] < 0)
            pb_text(&dim, 2, "batch");
        else
            pb_int(&dim, 1, dims[i]);
        pb_message(&shape, 1, &dim);
    }
    pb_int(&tensor, 1, 1);
    if (rank >= 0) pb_message(&tensor, 2, &shape);
    pb_message(&type, 1, &tensor);
    pb_text(&value, 1, name);
    pb_message(&value, 2, &type);
    pb_message(graph, field, &value);
}
/* The head of a TensorProto. */
static inline void onnx_tensor(pb_bytes *tensor, const char *name, int dtype, int rank, const int64_t *dims) {
    for (int i = 0; i < rank; i++) pb_int(tensor, 1, dims[i]);
    pb_int(tensor, 2, dtype);
    if (*name) pb_text(tensor, 8, name);
}
/* A model of that graph, for that opset of ai.onnx; functions: a message of repeated fields 25, or NULL. */
static inline void onnx_model(pb_bytes *model, int64_t opset, const pb_bytes *graph, const pb_bytes *functions) {
    pb_bytes import = {0};
    model->size = 0;
    pb_int(model, 1, 8);
    pb_int(&import, 2, opset);
    pb_message(model, 8, &import);
    pb_message(model, 7, graph);
    if (!functions) return;
    memcpy(model->data + model->size, functions->data, functions->size);
    model->size += functions->size;
}

#endif
