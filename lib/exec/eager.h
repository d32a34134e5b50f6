/* One node at once: infer, prepare and run a single operator on given tensors.
 *
 * Serves the direct tensor interface, constant folding and the operators' unit tests. Control flow is not for it. */
#ifndef TN_EAGER_H
#define TN_EAGER_H

#include "exec/host.h"

typedef struct tn_eager {
    const tn_allocator *allocator;
    const tn_kernels *kernels; /* NULL: the best */
    tn_pool *pool;             /* NULL: the caller's thread alone */
} tn_eager;

/* Inputs (NULL: absent) may be strided. Makes `out_count` dense tensors that the caller destroys; on failure none.
 * options may be NULL. The node's own in/out lists are not looked at, only its attributes. */
tn_status tn_eager_run(const tn_eager *options, const tn_op *op, int attr_count, const tn_attr *attrs, int in_count,
                       const tn_tensor *const *in, int out_count, tn_tensor **out);
/* Likewise on values of any kind. The outputs' memory is in `out`, to be released by tn_value_release. */
tn_status tn_eager_values(const tn_eager *options, const tn_node *node, int in_count, tn_value *const *in,
                          int out_count, tn_value *out);

#endif
