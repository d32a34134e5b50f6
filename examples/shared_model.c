/* Many threads share one model: each has a session of its own, the weights are there once. Every thread runs the same
 * inputs and all results are the same bits. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tenon/tenon.h>

enum { THREADS = 4, RUNS = 50, IN = 64, HIDDEN = 128, OUT = 8 };

static void must(tn_status status) {
    if (status == TN_OK) return;
    fprintf(stderr, "shared_model: %s\n", tn_last_error());
    exit(1);
}

/* A constant of numbers between -0.5 and 0.5. */
static int random_constant(tn_graph *graph, const char *name, int64_t rows, int64_t columns, unsigned *seed) {
    tn_tensor *tensor;
    int value;
    must(tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){rows, columns}, NULL, &tensor));
    float *numbers = tn_tensor_data(tensor);
    for (int64_t i = 0; i < rows * columns; i++) {
        *seed = *seed * 1664525 + 1013904223;
        numbers[i] = (float)(*seed >> 8) / (1 << 24) - 0.5f;
    }
    must(tn_graph_constant(graph, name, tensor, &value));
    tn_tensor_destroy(tensor);
    return value;
}

static tn_model *build(void) {
    unsigned seed = 1;
    tn_graph *graph;
    tn_model *model;
    int x, hidden, active, y;
    must(tn_graph_create(NULL, &graph));
    must(tn_graph_input(graph, "x", TN_FLOAT32, 2, (int64_t[]){1, IN}, &x));
    int w1 = random_constant(graph, "w1", IN, HIDDEN, &seed), w2 = random_constant(graph, "w2", HIDDEN, OUT, &seed);
    must(tn_graph_node(graph, "MatMul", "hidden", 2, (int[]){x, w1}, 1, &hidden, NULL));
    must(tn_graph_node(graph, "Relu", "active", 1, &hidden, 1, &active, NULL));
    must(tn_graph_node(graph, "MatMul", "y", 2, (int[]){active, w2}, 1, &y, NULL));
    must(tn_graph_output(graph, y, "y"));
    must(tn_model_from_graph(graph, NULL, &model));
    return model;
}

typedef struct worker {
    pthread_t thread;
    const tn_model *model;
    float results[RUNS][OUT];
} worker;

static void *work(void *context) {
    worker *w = context;
    tn_session *session;
    tn_tensor *x;
    const tn_tensor *y;
    float numbers[IN];
    must(tn_tensor_wrap(TN_FLOAT32, 2, (int64_t[]){1, IN}, NULL, numbers, sizeof numbers, &x));
    must(tn_session_create(w->model, NULL, &session));
    must(tn_session_set_input(session, 0, x)); /* once: from here on only its contents change */
    for (int run = 0; run < RUNS; run++) {
        for (int i = 0; i < IN; i++) numbers[i] = (float)((run + i) % 7) - 3;
        must(tn_session_run(session));
        must(tn_session_output(session, 0, &y));
        memcpy(w->results[run], tn_tensor_const_data(y), sizeof w->results[run]);
    }
    tn_session_destroy(session);
    tn_tensor_destroy(x);
    return NULL;
}

int main(void) {
    static worker workers[THREADS];
    tn_model *model = build();
    int equal = 0;
    for (int i = 0; i < THREADS; i++) {
        workers[i].model = model;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) return 1;
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        equal += memcmp(workers[i].results, workers[0].results, sizeof workers[i].results) == 0;
    }
    tn_model_destroy(model);
    printf("%d threads, %d runs each: results of %d are the same bits\n", THREADS, RUNS, equal);
    return equal == THREADS ? 0 : 1;
}
