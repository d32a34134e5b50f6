/* Operators of two broadcasting inputs: one infer, prepare and run for all; an operator adds a rule and loops.
 *
 * A row of a table is TN_BINARY_OP("Add", &add_rule, flags). A loop works on strips (see broadcast.h); the kernels of
 * kernels/elementwise.inc are such loops too. */
#ifndef TN_BINARY_H
#define TN_BINARY_H

#include "ops/broadcast.h"

typedef void (*tn_loop2)(size_t rows, size_t n, void *y, const void *a, size_t a_row, size_t a_step, const void *b,
                         size_t b_row, size_t b_step);

typedef struct tn_binary_rule {
    const tn_dtype *dtypes;                                  /* of the inputs */
    tn_dtype output;                                         /* TN_UNDEFINED: as the inputs */
    bool swap;                                               /* the loop gets b first */
    tn_status (*check)(const tn_node *node, tn_dtype dtype); /* of attributes; may be NULL */
    tn_loop2 (*loop)(const tn_kernels *kernels, const tn_node *node, tn_dtype dtype);
} tn_binary_rule;

tn_status tn_binary_infer(tn_infer *call);
tn_status tn_binary_prepare(tn_prepare *call);
tn_status tn_binary_run(tn_run *call);
/* prepare for operators that find their loop themselves. */
tn_status tn_binary_prepare_loop(tn_prepare *call, tn_loop2 loop, bool swap);

#define TN_BINARY_OP(op_name, rule, op_flags)                                                                          \
    {                                                                                                                  \
        .domain = "", .name = op_name, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, .flags = op_flags,        \
        .infer = tn_binary_infer, .prepare = tn_binary_prepare, .run = tn_binary_run, .context = (void *)(rule)        \
    }

/* A loop that gives Y from p and q, of type T. */
#define TN_LOOP2(name, Y, T, expression)                                                                               \
    static void name(size_t rows, size_t n, void *y_, const void *a_, size_t a_row, size_t a_step, const void *b_,     \
                     size_t b_row, size_t b_step) {                                                                    \
        Y *y = y_;                                                                                                     \
        const T *a = a_, *b = b_;                                                                                      \
        for (; rows > 0; rows--, y += n, a += a_row, b += b_row)                                                       \
            for (size_t i = 0; i < n; i++) {                                                                           \
                T p = a[i * a_step], q = b[i * b_step];                                                                \
                y[i] = (Y)(expression);                                                                                \
            }                                                                                                          \
    }

#endif
