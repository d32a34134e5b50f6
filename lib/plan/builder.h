/* What the layers of a plan are built with: nodes behind one another, weights by the seed. */
#ifndef TN_PLAN_BUILDER_H
#define TN_PLAN_BUILDER_H

#include "plan/plan.h"

typedef struct tn_builder {
    tn_graph *graph;
    uint64_t state; /* of the random numbers */
    int value;      /* what the next layer takes; its type is that of the weights, but behind whole numbers */
    char name[64];  /* of the layer */
    const tn_layer *layer;
    tn_dtype dtype;           /* of weights */
    int means, log_variances; /* of a latent layer; -1: there is none */
    tn_status status;         /* after a failure nothing is added */
} tn_builder;

/* Fails with a sentence; nothing is added after it. */
#define tn_build_fail(b, ...) ((void)((b)->status = tn_fail(TN_E_SHAPE, __VA_ARGS__)))

static inline const tn_type *tn_build_type(const tn_builder *b) {
    return &b->graph->values[b->value].type;
}
/* A node called after the layer and the operator; its output 0, -1 after a failure. */
int tn_build_node(tn_builder *b, const char *op, int count, const int *in, const tn_attribute *attributes);
int tn_build_nodes(tn_builder *b, const char *op, int count, const int *in, int out_count, int *out,
                   const tn_attribute *attributes);
/* Constants that the layer learns, called after it and the part: all the same, or evenly between -reach and reach. */
int tn_build_filled(tn_builder *b, const char *part, int rank, const int64_t *dims, double x);
int tn_build_drawn(tn_builder *b, const char *part, int rank, const int64_t *dims, double reach);
/* The reach by He or Glorot, by what follows. */
double tn_build_reach(const tn_builder *b, double in, double out);
/* Constants that stay. */
int tn_build_number(tn_builder *b, double x);
int tn_build_ints(tn_builder *b, int count, const int64_t *values);
int tn_build_reshape(tn_builder *b, int value, int count, const int64_t *dims); /* 0: as it is, -1: what is left */
int tn_build_transpose(tn_builder *b, int value, int rank, const int64_t *perm);
int tn_build_activation(tn_builder *b, int value, int activation);

/* Layers over a length: samples [channels, length] (sequence.c). */
void tn_build_recurrent(tn_builder *b, const tn_layer *layer);
void tn_build_attention(tn_builder *b, const tn_layer *layer);
void tn_build_transformer(tn_builder *b, const tn_layer *layer);
void tn_build_position(tn_builder *b);

#endif
