/* Graphs of float nodes between QuantizeLinear and DequantizeLinear. */
#ifndef TESTS_UNIT_QDQ_H
#define TESTS_UNIT_QDQ_H

#include "run_model.h"

typedef struct {
    tn_graph *g;
    int x, scale, zero; /* the input, and the quantization of all activations */
    tn_dtype dtype;
    uint32_t seed;
} builder;

static inline uint32_t next(builder *b) {
    b->seed = b->seed * 1664525u + 1013904223u;
    return b->seed >> 8;
}

static inline int node(builder *b, const char *op, int count, const int *in, const tn_attribute *attributes) {
    int out;
    assert_ok(tn_graph_node(b->g, op, NULL, count, in, 1, &out, attributes));
    return out;
}

static inline int constant(builder *b, tn_dtype dtype, int rank, const int64_t *dims, const void *data) {
    tn_tensor *t;
    int value;
    assert_ok(tn_tensor_create(dtype, rank, dims, NULL, &t));
    if (data)
        memcpy(tn_tensor_data(t), data, tn_tensor_bytes(t));
    else
        for (size_t i = 0; i < tn_tensor_bytes(t); i++) ((uint8_t *)tn_tensor_data(t))[i] = (uint8_t)next(b);
    assert_ok(tn_graph_constant(b->g, "k", t, &value));
    tn_tensor_destroy(t);
    return value;
}
static inline int number(builder *b, float x) {
    return constant(b, TN_FLOAT32, 0, NULL, &x);
}
static inline int byte(builder *b, int x) {
    uint8_t v = (uint8_t)x;
    return constant(b, b->dtype, 0, NULL, &v);
}

static inline int quantize(builder *b, int x, int scale, int zero) {
    return node(b, "QuantizeLinear", 3, (int[]){x, scale, zero}, NULL);
}
static inline int dequantize(builder *b, int x, int scale, int zero) {
    return node(b, "DequantizeLinear", 3, (int[]){x, scale, zero}, NULL);
}
/* To 8 bits and back. */
static inline int through(builder *b, int x, float scale, int zero) {
    int s = number(b, scale), z = byte(b, b->dtype == TN_INT8 ? zero - 128 : zero);
    return dequantize(b, quantize(b, x, s, z), s, z);
}
static inline int op1(builder *b, const char *op, int x) {
    return node(b, op, 1, &x, NULL);
}
static inline int op2(builder *b, const char *op, int x, int y) {
    return node(b, op, 2, (int[]){x, y}, NULL);
}

static inline int weights(builder *b, int rank, const int64_t *dims, bool per_channel, int64_t axis) {
    int64_t count = per_channel ? dims[axis] : 1;
    float scales[8];
    for (int i = 0; i < 8; i++) scales[i] = 0.004f + 0.001f * (float)i;
    int w = constant(b, TN_INT8, rank, dims, NULL);
    int s = constant(b, TN_FLOAT32, per_channel ? 1 : 0, &count, scales);
    int z = constant(b, TN_INT8, per_channel ? 1 : 0, &count, (int8_t[8]){0});
    tn_attribute at[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = axis}, {0}};
    return node(b, "DequantizeLinear", 3, (int[]){w, s, z}, per_channel ? at : NULL);
}

#endif
