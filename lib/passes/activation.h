/* Activations that products and convolutions apply to their results themselves. */
#ifndef TN_ACTIVATION_H
#define TN_ACTIVATION_H

#include "passes/match.h"

typedef struct tn_activation {
    const char *name; /* as FusedConv's attribute has it */
    float params[2];
    size_t count;
} tn_activation;

/* True if the node is such an activation of its input 0. */
bool tn_match_activation(const tn_graph *graph, const tn_node *node, tn_activation *out);
/* Sets the attributes `activation` and `activation_params`. */
tn_status tn_set_activation(tn_graph *graph, tn_node *node, const tn_activation *activation);

#endif
