/* Gradients beside finite differences, in float64: the loss is the sum of an operator's output, each element with a factor
 * of its own, and each input element is moved a little to both sides. */
#ifndef TN_UNIT_GRADIENT_H
#define TN_UNIT_GRADIENT_H

#include <math.h>
#include <tenon/tenon.h>
#include "ops.h"
#include "train/gradient.h"

#define NO_ATTRIBUTES NULL
#define ATTRIBUTES(...)                                                                                                \
    (const tn_attribute[]) {                                                                                           \
        __VA_ARGS__, {                                                                                                 \
            0                                                                                                          \
        }                                                                                                              \
    }
#define INT(name_, value)                                                                                              \
    { .name = name_, .kind = TN_ATTR_INT, .i = value }
#define FLOAT(name_, value)                                                                                            \
    { .name = name_, .kind = TN_ATTR_FLOAT, .f = value }
#define INTS(name_, ...)                                                                                               \
    {                                                                                                                  \
        .name = name_, .kind = TN_ATTR_INTS, .count = sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t),              \
        .ints = (int64_t[]) {                                                                                          \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }
#define STRING(name_, value)                                                                                           \
    { .name = name_, .kind = TN_ATTR_STRING, .s = value }

/* Numbers between -2 and 2 that have no ties and keep away from corners. */
static inline tn_tensor *some(int rank, const int64_t *dims) {
    tn_tensor *t = make(TN_FLOAT64, rank, dims, NULL);
    for (int64_t i = 0; i < tn_count(t); i++) {
        double x = 2 * sin(1.7 * (double)i + 0.6 * (double)rank + 0.3 * (double)tn_count(t));
        ((double *)t->data)[i] = fabs(x) < 0.05 ? x + 0.1 : x;
    }
    return t;
}
static inline tn_tensor *positive_ones(int rank, const int64_t *dims) {
    tn_tensor *t = some(rank, dims);
    for (int64_t i = 0; i < tn_count(t); i++) ((double *)t->data)[i] = fabs(((double *)t->data)[i]) + 0.2;
    return t;
}

enum { GRADIENT_INPUTS = 24 };

static inline double loss_of(tn_session *session) {
    const tn_tensor *loss;
    assert_ok(tn_session_run(session));
    assert_ok(tn_session_output(session, 0, &loss));
    return *(const double *)loss->data;
}

static inline void compare_gradients(tn_session *session, int count, tn_tensor *const *in, const char *op) {
    const double step = 1e-5;
    tn_tensor *copies[GRADIENT_INPUTS];
    for (int k = 0; k < count; k++) {
        const tn_tensor *grad;
        assert_ok(tn_session_output(session, 1 + k, &grad));
        assert_ok(tn_tensor_clone(grad, NULL, &copies[k]));
        if (tn_count(grad) != tn_count(in[k]) || grad->rank != in[k]->rank) fail_msg("%s: another shape", op);
    }
    for (int k = 0; k < count; k++) {
        for (int64_t i = 0; i < tn_count(in[k]); i++) {
            double *x = (double *)in[k]->data + i, was = *x, found = ((const double *)copies[k]->data)[i];
            *x = was + step;
            double above = loss_of(session);
            *x = was - step;
            double expected = (above - loss_of(session)) / (2 * step);
            *x = was;
            if (!(fabs(found - expected) <= 1e-6 * (1 + fabs(expected))))
                fail_msg("%s: gradient %d, element %lld is %.9g; finite differences give %.9g", op, k, (long long)i,
                         found, expected);
        }
        tn_tensor_destroy(copies[k]);
    }
}

/* The gradients by those inputs whose bit in `by` is set; the others are constants (NULL: absent). Output 0 of `outs` is
 * looked at. Destroys the inputs. */
static inline void check_gradient_of(const char *op, const tn_attribute *attributes, unsigned by, int in_count,
                                     tn_tensor *const *in, int outs, int which) {
    tn_graph *graph;
    tn_model *model;
    tn_session *session;
    int values[GRADIENT_INPUTS], asked[GRADIENT_INPUTS], grads[GRADIENT_INPUTS], out[8], weights, loss, count = 0;
    tn_tensor *moved[GRADIENT_INPUTS];
    assert_ok(tn_graph_create(NULL, &graph));
    for (int i = 0; i < in_count; i++) {
        values[i] = -1;
        if (!in[i]) continue;
        char name[16] = {'x', (char)('0' + i)};
        if (!(by >> i & 1)) {
            assert_ok(tn_graph_constant(graph, name, in[i], &values[i]));
            continue;
        }
        assert_ok(tn_graph_input(graph, name, in[i]->dtype, in[i]->rank, in[i]->dims, &values[i]));
        moved[count] = in[i];
        asked[count++] = values[i];
    }
    assert_ok(tn_graph_node(graph, op, "node", in_count, values, outs, out, attributes));
    const tn_type *type = &graph->values[out[which]].type;
    tn_tensor *factors = some(type->rank, type->dims);
    assert_ok(tn_graph_constant(graph, "factors", factors, &weights));
    assert_ok(tn_graph_node(graph, "Mul", "weigh", 2, (int[]){out[which], weights}, 1, &loss, NULL));
    assert_ok(tn_graph_node(graph, "ReduceSum", "loss", 1, &loss, 1, &loss, ATTRIBUTES(INT("keepdims", 0))));
    assert_ok(tn_graph_gradient(graph, loss, count, asked, grads));
    assert_ok(tn_graph_output(graph, loss, "loss"));
    for (int k = 0; k < count; k++) {
        if (grads[k] < 0) fail_msg("%s: gradient %d is not there", op, k);
        assert_ok(tn_graph_output(graph, grads[k], NULL));
    }
    assert_ok(tn_model_from_graph(graph, NULL, &model));
    assert_ok(tn_session_create(model, NULL, &session));
    for (int k = 0; k < count; k++) assert_ok(tn_session_set_input(session, k, moved[k]));
    loss_of(session);
    compare_gradients(session, count, moved, op);
    tn_session_destroy(session);
    tn_model_destroy(model);
    tn_tensor_destroy(factors);
    for (int i = 0; i < in_count; i++) tn_tensor_destroy(in[i]);
}

#define check_gradient(op, attributes, by, ...)                                                                        \
    check_gradient_of(op, attributes, by, sizeof((tn_tensor *[]){__VA_ARGS__}) / sizeof(tn_tensor *),                  \
                      (tn_tensor *[]){__VA_ARGS__}, 1, 0)

#endif
