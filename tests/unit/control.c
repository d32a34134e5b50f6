/* Control flow: loops without an end are interrupted, and bodies nested so that their types take for ever are refused. */
#include "unit.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <tenon/session.h>
#include <time.h>
#include "protobuf.h"

static const int64_t three[] = {3};

static void value_bool(pb_bytes *graph, unsigned field, const char *name) {
    pb_bytes value = {0}, type = {0}, tensor = {0}, shape = {0};
    pb_int(&tensor, 1, TN_BOOL);
    pb_message(&tensor, 2, &shape);
    pb_message(&type, 1, &tensor);
    pb_text(&value, 1, name);
    pb_message(&value, 2, &type);
    pb_message(graph, field, &value);
}

/* while (more) x = op(x): the body hands its condition on. With `op` NULL it has no nodes at all. */
static void endless_model(pb_bytes *model, const char *op) {
    pb_bytes body = {0}, graph = {0}, attributes = {0};
    if (op) onnx_node(&body, 1, op, "", "a", "b", NULL);
    onnx_value(&body, 11, "i", -1, NULL);
    onnx_value(&body, 11, "go", -1, NULL);
    onnx_value(&body, 11, "a", -1, NULL);
    onnx_value(&body, 12, "go", -1, NULL);
    onnx_value(&body, 12, op ? "b" : "a", -1, NULL);
    onnx_graph_attribute(&attributes, "body", &body);
    onnx_node(&graph, 1, "Loop", "", ",more,x", "y", &attributes);
    value_bool(&graph, 11, "more");
    onnx_value(&graph, 11, "x", 1, three);
    onnx_value(&graph, 12, "y", 1, three);
    onnx_model(model, 21, &graph, NULL);
}

/* Interrupts a session again and again until it is told to end. */
typedef struct {
    tn_session *session;
    atomic_bool end;
} watchdog;

static void *interrupt(void *argument) {
    watchdog *w = argument;
    while (!atomic_load(&w->end)) {
        nanosleep(&(struct timespec){0, 5000000}, NULL);
        tn_session_interrupt(w->session);
    }
    return NULL;
}

static void endless_loops_are_interrupted_and_the_session_lives_on(void **state) {
    (void)state;
    static const char *const bodies[] = {"Neg", NULL};
    for (int b = 0; b < 2; b++) {
        pb_bytes file;
        tn_model *model;
        tn_session *session;
        tn_tensor *more, *x;
        const tn_tensor *y;
        uint8_t go_on = 1;
        float data[3] = {1, 2, 3};
        endless_model(&file, bodies[b]);
        assert_ok(tn_model_load_memory(file.data, file.size, NULL, NULL, &model));
        assert_ok(tn_session_create(model, NULL, &session));
        assert_ok(tn_tensor_wrap(TN_BOOL, 0, NULL, NULL, &go_on, 1, &more));
        assert_ok(tn_tensor_wrap(TN_FLOAT32, 1, three, NULL, data, sizeof data, &x));
        assert_ok(tn_session_set_input_by_name(session, "more", more));
        assert_ok(tn_session_set_input_by_name(session, "x", x));
        watchdog dog = {.session = session};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, interrupt, &dog), 0);
        tn_status status = tn_session_run(session);
        atomic_store(&dog.end, true);
        pthread_join(thread, NULL);
        assert_int_equal(status, TN_E_INTERRUPTED);
        go_on = 0;
        tn_session_run(session); /* takes what the watchdog said last */
        assert_ok(tn_session_run(session));
        assert_ok(tn_session_output(session, 0, &y));
        assert_memory_equal(tn_tensor_const_data(y), data, sizeof data);
        tn_session_destroy(session);
        tn_tensor_destroy(more);
        tn_tensor_destroy(x);
        tn_model_destroy(model);
    }
}

static void an_interrupt_between_runs_stops_the_next_one_only(void **state) {
    (void)state;
    pb_bytes graph = {0}, file;
    tn_model *model;
    tn_session *session;
    tn_tensor *x;
    onnx_node(&graph, 1, "Neg", "", "x", "y", NULL);
    onnx_value(&graph, 11, "x", 1, three);
    onnx_value(&graph, 12, "y", 1, three);
    onnx_model(&file, 21, &graph, NULL);
    assert_ok(tn_model_load_memory(file.data, file.size, NULL, NULL, &model));
    assert_ok(tn_session_create(model, NULL, &session));
    assert_ok(tn_tensor_create(TN_FLOAT32, 1, three, NULL, &x));
    assert_ok(tn_session_set_input(session, 0, x));
    tn_session_interrupt(session);
    assert_int_equal(tn_session_run(session), TN_E_INTERRUPTED);
    assert_ok(tn_session_run(session));
    tn_session_destroy(session);
    tn_tensor_destroy(x);
    tn_model_destroy(model);
}

/* Each level's loop starts from constants and carries three values that lose their shapes one after the other, so that
 * the types of its body are worked out four times: with all levels together, four to the power of the levels. */
static void loops_whose_types_take_for_ever_are_refused(void **state) {
    (void)state;
    enum { LEVELS = 15 };
    pb_bytes *body = calloc(1, sizeof *body), *outer = calloc(1, sizeof *outer), *attributes = calloc(1, sizeof *outer);
    pb_bytes axis = {0}, k = {0}, count = {0};
    assert_true(body && outer && attributes);
    onnx_int_attribute(&axis, "axis", 0);
    for (int level = 0; level < LEVELS; level++) {
        outer->size = 0;
        if (level > 0) {
            attributes->size = 0;
            onnx_graph_attribute(attributes, "body", body);
            onnx_node(outer, 1, "Loop", "", "count,go,k,k,k", "l,m,n", attributes);
        }
        onnx_node(outer, 1, "Concat", "", level ? "p,l" : "p,p", "p2", &axis);
        static const char *const in[] = {"i", "c", "p", "q", "r"}, *const out[] = {"c", "p2", "p", "q"};
        for (size_t i = 0; i < TN_COUNT(in); i++) onnx_value(outer, 11, in[i], -1, NULL);
        for (size_t i = 0; i < TN_COUNT(out); i++) onnx_value(outer, 12, out[i], -1, NULL);
        pb_bytes *swap = body;
        body = outer;
        outer = swap;
    }
    pb_bytes *file = attributes;
    attributes = calloc(1, sizeof *attributes);
    assert_non_null(attributes);
    onnx_graph_attribute(attributes, "body", body);
    outer->size = 0;
    onnx_node(outer, 1, "Loop", "", "count,go,k,k,k", "y,z,w", attributes);
    onnx_tensor(&k, "k", TN_FLOAT32, 1, three);
    pb_numbers(&k, 9, (float[]){1, 2, 3}, 12, 4);
    pb_message(outer, 5, &k);
    onnx_tensor(&count, "count", TN_INT64, 0, NULL);
    pb_numbers(&count, 9, (int64_t[]){1}, 8, 8);
    pb_message(outer, 5, &count);
    value_bool(outer, 11, "go");
    onnx_value(outer, 12, "y", -1, NULL);
    onnx_model(file, 21, outer, NULL);

    tn_model *model;
    tn_session *session;
    tn_tensor *go;
    assert_ok(tn_model_load_memory(file->data, file->size, NULL, NULL, &model));
    assert_ok(tn_session_create(model, NULL, &session));
    assert_ok(tn_tensor_create(TN_BOOL, 0, NULL, NULL, &go));
    assert_ok(tn_session_set_input(session, 0, go));
    assert_int_equal(tn_session_prepare(session), TN_E_LIMIT);
    assert_non_null(strstr(tn_last_error(), "nested"));
    tn_session_destroy(session);
    tn_tensor_destroy(go);
    tn_model_destroy(model);
    free(body);
    free(outer);
    free(file);
    free(attributes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endless_loops_are_interrupted_and_the_session_lives_on),
        cmocka_unit_test(an_interrupt_between_runs_stops_the_next_one_only),
        cmocka_unit_test(loops_whose_types_take_for_ever_are_refused),
    };
    return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
