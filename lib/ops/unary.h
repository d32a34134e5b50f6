/* Operators of one input whose output has its type and shape: a row says how, one infer, prepare and run serve all.
 *
 * float32 goes through the row's kernel; where there is none, and for float64, through `f64`; integers through `whole`
 * or, without it, through `f64` as well. Half precision is widened before. */
#ifndef TN_OPS_UNARY_H
#define TN_OPS_UNARY_H

#include "graph/op.h"

typedef void tn_unary_kernel(float *y, const float *x, size_t n, const float *p);

typedef struct tn_unary {
    bool has_kernel;
    size_t kernel; /* where in tn_kernels */
    double (*f64)(double x, const double *p);
    int64_t (*whole)(int64_t x, bool is_signed);
    const tn_dtype *dtypes;
    /* Optional: writes up to three parameters, which f64 takes and, as floats, the kernel. */
    tn_status (*parameters)(const tn_node *node, double *p);
} tn_unary;

#define TN_UNARY_KERNEL(name) .has_kernel = true, .kernel = offsetof(tn_kernels, name##_f32)

tn_status tn_unary_infer(tn_infer *call);
tn_status tn_unary_prepare(tn_prepare *call);
tn_status tn_unary_run(tn_run *call);

#define TN_UNARY_OP(domain_, name_, ...)                                                                               \
    {                                                                                                                  \
        .domain = domain_, .name = name_, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,                        \
        .flags = TN_OP_WIDEN | TN_OP_IN_PLACE | TN_OP_BATCH, .infer = tn_unary_infer, .prepare = tn_unary_prepare,     \
        .run = tn_unary_run, .context = (void *)&(const tn_unary) {                                                    \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }

/* Elements of a task of float32 operators that go once over the data. */
#define TN_UNARY_TASK ((size_t)16384)

#endif
