/* A run on prepared shapes asks the C library for no memory at all, on one thread and on two.
 *
 * Proved by standing in front of malloc and its kin (glibc's own lie behind, as __libc_malloc). Sanitizers do the same,
 * so under them the test has nothing to stand in front of and is skipped. */
#include "unit.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <tenon/tenon.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#define STAND_IN 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STAND_IN 0
#endif
#endif
#ifndef STAND_IN
#define STAND_IN 1
#endif

static atomic_long calls;

#if STAND_IN
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *pointer, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size) {
    atomic_fetch_add(&calls, 1);
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    atomic_fetch_add(&calls, 1);
    return __libc_calloc(count, size);
}

void *realloc(void *pointer, size_t size) {
    atomic_fetch_add(&calls, 1);
    return __libc_realloc(pointer, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    atomic_fetch_add(&calls, 1);
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size) {
    atomic_fetch_add(&calls, 1);
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : ENOMEM;
}
#endif

static int weights(tn_graph *g, int rank, const int64_t *dims) {
    tn_tensor *t;
    int value;
    assert_ok(tn_tensor_create(TN_FLOAT32, rank, dims, NULL, &t));
    float *x = tn_tensor_data(t);
    for (int64_t i = 0; i < tn_tensor_count(t); i++) x[i] = (float)(i % 7 - 3) * 0.1f;
    assert_ok(tn_graph_constant(g, "w", t, &value));
    tn_tensor_destroy(t);
    return value;
}

/* A convolution, a softmax over what it gives, a product with weights, an activation, a sum, a transpose. */
static tn_model *some_model(void) {
    tn_graph *g;
    tn_model *model;
    int x, y, z;
    tn_attribute pads[] = {{.name = "pads", .kind = TN_ATTR_INTS, .count = 4, .ints = (int64_t[]){1, 1, 1, 1}}, {0}};
    tn_attribute order[] = {{.name = "perm", .kind = TN_ATTR_INTS, .count = 4, .ints = (int64_t[]){0, 2, 3, 1}}, {0}};
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 4, (int64_t[]){1, 8, 32, 32}, &x));
    assert_ok(tn_graph_node(g, "Conv", "conv", 2, (int[]){x, weights(g, 4, (int64_t[]){16, 8, 3, 3})}, 1, &y, pads));
    assert_ok(tn_graph_node(g, "Transpose", "order", 1, &y, 1, &y, order));
    assert_ok(tn_graph_node(g, "MatMul", "product", 2, (int[]){y, weights(g, 2, (int64_t[]){16, 24})}, 1, &y, NULL));
    assert_ok(tn_graph_node(g, "Softmax", "softmax", 1, &y, 1, &z, NULL));
    assert_ok(tn_graph_node(g, "Tanh", "tanh", 1, &y, 1, &y, NULL));
    assert_ok(tn_graph_node(g, "Add", "sum", 2, (int[]){y, z}, 1, &y, NULL));
    assert_ok(tn_graph_output(g, y, "y"));
    assert_ok(tn_model_from_graph(g, NULL, &model));
    return model;
}

static void prepared_runs_call_no_malloc(void **state) {
    (void)state;
    if (!STAND_IN) {
        print_message("skipped: a sanitizer or another C library stands in front of malloc\n");
        skip();
    }
    tn_model *model = some_model();
    tn_tensor *x;
    assert_ok(tn_tensor_create(TN_FLOAT32, 4, (int64_t[]){1, 8, 32, 32}, NULL, &x));
    for (int threads = 1; threads <= 2; threads++) {
        tn_session *session;
        tn_session_options options = {.struct_size = sizeof options, .threads = threads};
        assert_ok(tn_session_create(model, &options, &session));
        assert_ok(tn_session_set_input(session, 0, x));
        long before = atomic_load(&calls);
        assert_ok(tn_session_prepare(session));
        assert_true(atomic_load(&calls) > before); /* it is counted */
        before = atomic_load(&calls);
        for (int i = 0; i < 20; i++) assert_ok(tn_session_run(session));
        assert_int_equal(atomic_load(&calls), before);
        tn_session_destroy(session);
    }
    tn_tensor_destroy(x);
    tn_model_destroy(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(prepared_runs_call_no_malloc)};
    return cmocka_run_group_tests_name("no_allocation", tests, NULL, NULL);
}
