/* The activation that a fused operator ends with, from its attributes. */
#ifndef TN_OPS_FUSED_ACTIVATION_H
#define TN_OPS_FUSED_ACTIVATION_H

#include "graph/op.h"

/* Sets activation, alpha and beta of the epilogue. Attributes: `activation`, a name ("" or absent: none), and
 * `activation_params`, or (FusedGemm) activation_alpha and activation_beta:
 *   Relu; Clip(min, max); LeakyRelu(alpha); HardSigmoid(alpha, beta); HardSwish; Sigmoid; Tanh; Swish(alpha); Gelu;
 *   GeluTanh. Parameters that are left out are those of ONNX's operators. */
tn_status tn_activation_read(const tn_node *node, tn_epilogue *epilogue);
/* The same from attributes of other names. */
tn_status tn_activation_read_named(const tn_node *node, const char *attribute, const char *params,
                                   tn_epilogue *epilogue);
/* The same on one float64. */
double tn_activation_f64(double x, const tn_epilogue *epilogue);

#endif
