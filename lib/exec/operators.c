/* The direct interface: each function is one operator run at once (eager.c). See tenon/operators.h. */
#include <tenon/operators.h>
#include "exec/eager.h"
#include "graph/custom.h"

#define MAX_ATTRIBUTES 32

static tn_status apply_op(const tn_op *op, int in_count, const tn_tensor *const *in, int out_count, tn_tensor **out,
                          const tn_attribute *attributes) {
    tn_attr attrs[MAX_ATTRIBUTES];
    int count = 0;
    for (const tn_attribute *a = attributes; a && a->name; a++) {
        if (count == MAX_ATTRIBUTES) return tn_fail(TN_E_LIMIT, "more than %d attributes", MAX_ATTRIBUTES);
        tn_attr *to = &attrs[count++];
        *to = (tn_attr){.name = a->name, .kind = a->kind, .count = a->count};
        switch (a->kind) {
        case TN_ATTR_FLOAT: to->f = a->f; break;
        case TN_ATTR_INT: to->i = a->i; break;
        case TN_ATTR_STRING: to->s = (tn_string){a->s, strlen(a->s)}; break;
        case TN_ATTR_INTS: to->ints = a->ints; break;
        case TN_ATTR_FLOATS: to->floats = a->floats; break;
        case TN_ATTR_TENSOR: to->t = a->tensor; break;
        default: return tn_fail(TN_E_UNSUPPORTED, "attribute '%s' is of kind %d", a->name, a->kind);
        }
    }
    return tn_eager_run(NULL, op, count, attrs, in_count, in, out_count, out);
}

tn_status tn_apply(const char *name, int in_count, const tn_tensor *const *in, int out_count, tn_tensor **out,
                   const tn_attribute *attributes) {
    memset(out, 0, (size_t)TN_MAX(out_count, 0) * sizeof *out);
    const tn_op *op = tn_op_find_qualified(name, NULL);
    if (!op) return tn_fail(TN_E_NOT_FOUND, "there is no operator '%s'; names are ONNX's, as 'Relu'", name);
    if (in_count < 0 || out_count < 0) return tn_fail(TN_E_INVALID, "a negative number of inputs or outputs");
    return apply_op(op, in_count, in, out_count, out, attributes);
}

static tn_status one(const char *op, const tn_tensor *x, const tn_attribute *attributes, tn_tensor **out) {
    return tn_apply(op, 1, &x, 1, out, attributes);
}

static tn_status two(const char *op, const tn_tensor *a, const tn_tensor *b, const tn_attribute *attributes,
                     tn_tensor **out) {
    return tn_apply(op, 2, (const tn_tensor *[]){a, b}, 1, out, attributes);
}

#define UNARY(name, op)                                                                                                \
    tn_status tn_##name(const tn_tensor *x, tn_tensor **out_tensor) {                                                  \
        return one(op, x, NULL, out_tensor);                                                                           \
    }
UNARY(abs, "Abs")
UNARY(neg, "Neg")
UNARY(exp, "Exp")
UNARY(log, "Log")
UNARY(sqrt, "Sqrt")
UNARY(erf, "Erf")
UNARY(tanh, "Tanh")
UNARY(sigmoid, "Sigmoid")
UNARY(relu, "Relu")
UNARY(gelu, "Gelu")

#define BINARY(name, op)                                                                                               \
    tn_status tn_##name(const tn_tensor *a, const tn_tensor *b, tn_tensor **out_tensor) {                              \
        return two(op, a, b, NULL, out_tensor);                                                                        \
    }
BINARY(matmul, "MatMul")
BINARY(add, "Add")
BINARY(sub, "Sub")
BINARY(mul, "Mul")
BINARY(div, "Div")
BINARY(pow, "Pow")
BINARY(minimum, "Min")
BINARY(maximum, "Max")
BINARY(equal, "Equal")
BINARY(greater, "Greater")
BINARY(less, "Less")

#define INT(attribute, value)                                                                                          \
    { .name = attribute, .kind = TN_ATTR_INT, .i = value }
#define INTS(attribute, number, values)                                                                                \
    { .name = attribute, .kind = TN_ATTR_INTS, .count = (size_t)(number), .ints = values }

tn_status tn_where(const tn_tensor *condition, const tn_tensor *a, const tn_tensor *b, tn_tensor **out_tensor) {
    return tn_apply("Where", 3, (const tn_tensor *[]){condition, a, b}, 1, out_tensor, NULL);
}

tn_status tn_cast(const tn_tensor *x, tn_dtype dtype, tn_tensor **out_tensor) {
    return one("Cast", x, (tn_attribute[]){INT("to", dtype), {0}}, out_tensor);
}

tn_status tn_softmax(const tn_tensor *x, int axis, tn_tensor **out_tensor) {
    return one("Softmax", x, (tn_attribute[]){INT("axis", axis), {0}}, out_tensor);
}

tn_status tn_log_softmax(const tn_tensor *x, int axis, tn_tensor **out_tensor) {
    return one("LogSoftmax", x, (tn_attribute[]){INT("axis", axis), {0}}, out_tensor);
}

tn_status tn_layer_norm(const tn_tensor *x, const tn_tensor *scale, const tn_tensor *bias, float epsilon,
                        tn_tensor **out_tensor) {
    tn_attribute attributes[] = {INT("axis", -1), {.name = "epsilon", .kind = TN_ATTR_FLOAT, .f = epsilon}, {0}};
    return tn_apply("LayerNormalization", bias ? 3 : 2, (const tn_tensor *[]){x, scale, bias}, 1, out_tensor,
                    attributes);
}

/* A one-dimensional int64 tensor that shows `values`. */
static tn_tensor list_of(const int64_t *values, int64_t count) {
    tn_tensor t = {.dtype = TN_INT64, .rank = 1, .dims = {count}, .strides = {1}};
    memcpy(&t.data, &values, sizeof t.data); /* only read */
    return t;
}

static tn_status reduce(const char *op, const tn_tensor *x, int count, const int64_t *axes, bool keep,
                        tn_tensor **out) {
    tn_attribute attributes[] = {INT("keepdims", keep), {0}};
    if (count < 0) return tn_fail(TN_E_INVALID, "%d axes", count);
    if (count == 0) return one(op, x, attributes, out);
    tn_tensor list = list_of(axes, count);
    return two(op, x, &list, attributes, out);
}

#define REDUCTION(name, op)                                                                                            \
    tn_status tn_reduce_##name(const tn_tensor *x, int count, const int64_t *axes, bool keep,                          \
                               tn_tensor **out_tensor) {                                                               \
        return reduce(op, x, count, axes, keep, out_tensor);                                                           \
    }
REDUCTION(sum, "ReduceSum")
REDUCTION(mean, "ReduceMean")
REDUCTION(max, "ReduceMax")
REDUCTION(min, "ReduceMin")
REDUCTION(prod, "ReduceProd")

tn_status tn_argmax(const tn_tensor *x, int axis, bool keep, tn_tensor **out_tensor) {
    return one("ArgMax", x, (tn_attribute[]){INT("axis", axis), INT("keepdims", keep), {0}}, out_tensor);
}

tn_status tn_transpose(const tn_tensor *x, const int64_t *order, tn_tensor **out_tensor) {
    return one("Transpose", x, order ? (tn_attribute[]){INTS("perm", x->rank, order), {0}} : NULL, out_tensor);
}

tn_status tn_reshape(const tn_tensor *x, int rank, const int64_t *dims, tn_tensor **out_tensor) {
    tn_tensor shape = list_of(dims, rank);
    return two("Reshape", x, &shape, (tn_attribute[]){INT("allowzero", 1), {0}}, out_tensor);
}

tn_status tn_concat(int count, const tn_tensor *const *tensors, int axis, tn_tensor **out_tensor) {
    return tn_apply("Concat", count, tensors, 1, out_tensor, (tn_attribute[]){INT("axis", axis), {0}});
}

tn_status tn_gather(const tn_tensor *x, const tn_tensor *indices, int axis, tn_tensor **out_tensor) {
    return two("Gather", x, indices, (tn_attribute[]){INT("axis", axis), {0}}, out_tensor);
}

tn_status tn_pad(const tn_tensor *x, const int64_t *pads, const tn_tensor *value, tn_tensor **out_tensor) {
    tn_tensor list = list_of(pads, 2 * (int64_t)x->rank);
    return tn_apply("Pad", value ? 3 : 2, (const tn_tensor *[]){x, &list, value}, 1, out_tensor, NULL);
}

/* The window as attributes, zeros being the defaults; `axes` of them. */
static tn_status windowed(const char *op, int in_count, const tn_tensor *const *in, const tn_window *window,
                          const int64_t *kernel, bool has_groups, tn_tensor **out) {
    tn_window w = {0};
    int axes = in[0]->rank - 2;
    *out = NULL;
    if (axes < 1 || axes > 3)
        return tn_fail(TN_E_SHAPE, "%s of a tensor of rank %d; it takes [N, C] and one to three axes", op, in[0]->rank);
    if (window) memcpy(&w, window, TN_MIN(window->struct_size, sizeof w));
    for (int i = 0; i < axes; i++) {
        if (!w.strides[i]) w.strides[i] = 1;
        if (!w.dilations[i]) w.dilations[i] = 1;
        if (!w.kernel[i]) w.kernel[i] = kernel ? kernel[i] : 1;
    }
    tn_attribute attributes[] = {INTS("kernel_shape", axes, w.kernel),  INTS("strides", axes, w.strides),
                                 INTS("dilations", axes, w.dilations),  INTS("pads", 2 * axes, w.pads),
                                 INT("group", w.groups ? w.groups : 1), {0}};
    if (!has_groups) attributes[4].name = NULL;
    return tn_apply(op, in_count, in, 1, out, attributes);
}

tn_status tn_conv(const tn_tensor *x, const tn_tensor *w, const tn_tensor *bias, const tn_window *window,
                  tn_tensor **out_tensor) {
    return windowed("Conv", bias ? 3 : 2, (const tn_tensor *[]){x, w, bias}, window,
                    w->rank == x->rank ? w->dims + 2 : NULL, true, out_tensor);
}

tn_status tn_max_pool(const tn_tensor *x, const tn_window *window, tn_tensor **out_tensor) {
    return windowed("MaxPool", 1, &x, window, NULL, false, out_tensor);
}

tn_status tn_average_pool(const tn_tensor *x, const tn_window *window, tn_tensor **out_tensor) {
    return windowed("AveragePool", 1, &x, window, NULL, false, out_tensor);
}
