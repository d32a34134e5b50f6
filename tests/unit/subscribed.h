/* What tests of subscriptions share: a store of models that tell their numbers, and requests that look at them. */
#ifndef TN_SUBSCRIBED_H
#define TN_SUBSCRIBED_H

#include "unit.h"
#include "tree.h"
#include <tenon/tenon.h>

static char root[64];

static inline char *at(const char *name) {
    return tree_at(root, name);
}

/* A model whose outputs both tell its number: a = x + n, b = x * n. */
static inline void put_model(tn_store *s, const char *version, float n) {
    tn_graph *g;
    tn_tensor *t;
    int x, w, a, b;
    int64_t dims[] = {1, 64};
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 2, dims, &x));
    assert_ok(tn_tensor_wrap(TN_FLOAT32, 0, NULL, NULL, &n, sizeof n, &t));
    assert_ok(tn_graph_constant(g, "n", t, &w));
    tn_tensor_destroy(t);
    assert_ok(tn_graph_node(g, "Add", "sum", 2, (int[]){x, w}, 1, &a, NULL));
    assert_ok(tn_graph_node(g, "Mul", "product", 2, (int[]){x, w}, 1, &b, NULL));
    assert_ok(tn_graph_output(g, a, "a"));
    assert_ok(tn_graph_output(g, b, "b"));
    assert_ok(tn_graph_save_onnx(g, at("model.onnx"), NULL));
    tn_graph_destroy(g);
    tn_store_put_options o = {.struct_size = sizeof o, .name = "press", .version = version};
    assert_ok(tn_store_put(s, at("model.onnx"), &o, NULL));
}

static tn_store *store;

static inline int setup(void **state) {
    (void)state;
    if (!tree_make(root, "follow")) return -1;
    assert_ok(tn_store_create(at("s")));
    assert_ok(tn_store_open(at("s"), &store));
    put_model(store, "1.0.0", 1);
    return 0;
}

static inline int teardown(void **state) {
    (void)state;
    tn_store_close(store);
    return tree_remove(root);
}

/* One request on an input of ones; which version answered, by both outputs and by the lease. */
static inline float ask(tn_subscription *sub, tn_tensor *x, bool failed) {
    tn_lease lease;
    const tn_tensor *a, *b;
    if (tn_subscription_acquire(sub, &lease) != TN_OK) return -1;
    float number = -2;
    if (tn_session_set_input(lease.session, 0, x) == TN_OK && tn_session_run(lease.session) == TN_OK &&
        tn_session_output(lease.session, 0, &a) == TN_OK && tn_session_output(lease.session, 1, &b) == TN_OK) {
        number = ((const float *)tn_tensor_const_data(b))[0];
        for (int i = 0; i < 64; i++)
            if (((const float *)tn_tensor_const_data(b))[i] != number ||
                ((const float *)tn_tensor_const_data(a))[i] != number + 1)
                number = -3;
        if ((int)number != lease.version.version[0] - '0') number = -4;
    }
    tn_subscription_release(sub, &lease, failed || number < 0);
    return number;
}

static inline tn_tensor *ones(void) {
    static float values[64];
    tn_tensor *x;
    for (int i = 0; i < 64; i++) values[i] = 1;
    assert_ok(tn_tensor_wrap(TN_FLOAT32, 2, (int64_t[]){1, 64}, NULL, values, sizeof values, &x));
    return x;
}

static inline tn_subscription_state info(tn_subscription *sub) {
    tn_subscription_state state = {.struct_size = sizeof state};
    assert_ok(tn_subscription_info(sub, &state));
    return state;
}

#endif
