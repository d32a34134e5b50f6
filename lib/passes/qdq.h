/* What the passes on quantized models share: values as DequantizeLinear gives them and QuantizeLinear takes them. */
#ifndef TN_QDQ_H
#define TN_QDQ_H

#include "passes/match.h"

/* The 8-bit value behind a DequantizeLinear, or in front of a QuantizeLinear, whose scales and zero points are constant. */
typedef struct tn_qdq {
    int value;       /* the 8-bit one */
    int scale, zero; /* values; zero -1: absent, which is 0 */
    tn_dtype dtype;
    int64_t axis;   /* as the node has it */
    bool one;       /* one scale for all: then these hold */
    float real;     /* the scale */
    int32_t origin; /* the zero point */
} tn_qdq;

/* True if `value` is what a DequantizeLinear makes of an 8-bit value (or, with `sums`, of int32). */
bool tn_qdq_from(const tn_match *m, int value, bool sums, tn_qdq *out);
/* True if the node is a QuantizeLinear to 8 bits with one scale. */
bool tn_qdq_to(const tn_match *m, const tn_node *node, tn_qdq *out);
/* Both with one scale, and the same. */
bool tn_qdq_same(const tn_qdq *a, const tn_qdq *b);

/* Makes it uint8, which constants of int8 are made anew for; false if it has several scales or cannot be. */
bool tn_qdq_unsigned(tn_graph *graph, tn_qdq *q);

/* New constants; -1 on failure. */
int tn_qdq_byte(tn_graph *graph, tn_dtype dtype, int32_t value);
int tn_qdq_float(tn_graph *graph, float value);
/* The zero point, made if it is absent. */
int tn_qdq_zero(tn_graph *graph, const tn_qdq *q);
/* Scales and zero points are one, or one for each index along `axis`. */
bool tn_qdq_along(const tn_graph *graph, const tn_qdq *q, int64_t axis);
/* The bias of in[0] times in[1] as int32 in units of the product of their scales; *out -1 if it is absent; false if it cannot
 * be. */
bool tn_qdq_bias(const tn_match *m, const tn_qdq in[2], int bias, int64_t count, int *out);
/* A new value of 8-bit integers with the dims of `like`; -1 on failure. */
int tn_qdq_value(tn_graph *graph, tn_dtype dtype, int like);

#endif
