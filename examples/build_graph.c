/* A graph built by hand: a small classifier for any number of samples at once, then run for one and for three. */
#include <stdio.h>
#include <stdlib.h>
#include <tenon/tenon.h>

static void must(tn_status status) {
    if (status == TN_OK) return;
    fprintf(stderr, "build_graph: %s\n", tn_last_error());
    exit(1);
}

/* A constant of these numbers; the graph copies them. */
static int constant(tn_graph *graph, const char *name, int rank, const int64_t *dims, float *numbers, size_t bytes) {
    tn_tensor *tensor;
    int value;
    must(tn_tensor_wrap(TN_FLOAT32, rank, dims, NULL, numbers, bytes, &tensor));
    must(tn_graph_constant(graph, name, tensor, &value));
    tn_tensor_destroy(tensor);
    return value;
}

static tn_model *build(void) {
    float weights[4][2] = {{1, -1}, {0.5f, 0.5f}, {-2, 2}, {0, 1}}, bias[2] = {0.25f, -0.25f};
    tn_graph *graph;
    tn_model *model;
    int x, product, sum, chance;
    must(tn_graph_create(NULL, &graph));
    must(tn_graph_input(graph, "x", TN_FLOAT32, 2, (int64_t[]){tn_graph_symbol(graph, "samples"), 4}, &x));
    int w = constant(graph, "weights", 2, (int64_t[]){4, 2}, weights[0], sizeof weights);
    int b = constant(graph, "bias", 1, (int64_t[]){2}, bias, sizeof bias);
    must(tn_graph_node(graph, "MatMul", "product", 2, (int[]){x, w}, 1, &product, NULL));
    must(tn_graph_node(graph, "Add", "sum", 2, (int[]){product, b}, 1, &sum, NULL));
    const tn_attribute last_axis[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = -1}, {0}};
    must(tn_graph_node(graph, "Softmax", "chance", 1, &sum, 1, &chance, last_axis));
    must(tn_graph_output(graph, chance, "chance"));
    must(tn_model_from_graph(graph, NULL, &model));
    return model;
}

/* Runs so many samples. The tensor must live until the session gets another one or goes. */
static tn_tensor *run(tn_session *session, int64_t samples, float *numbers) {
    tn_tensor *x;
    const tn_tensor *y;
    size_t bytes = (size_t)samples * 4 * sizeof *numbers;
    must(tn_tensor_wrap(TN_FLOAT32, 2, (int64_t[]){samples, 4}, NULL, numbers, bytes, &x));
    must(tn_session_set_input(session, 0, x));
    must(tn_session_run(session));
    must(tn_session_output(session, 0, &y));
    const float *chance = tn_tensor_const_data(y);
    for (int64_t i = 0; i < samples; i++) printf("%.4f %.4f\n", (double)chance[2 * i], (double)chance[2 * i + 1]);
    return x;
}

int main(void) {
    float samples[3][4] = {{1, 2, 3, 4}, {0, 0, 0, 0}, {4, 3, 2, 1}};
    tn_session *session;
    tn_model *model = build();
    must(tn_session_create(model, NULL, &session));
    puts("one sample");
    tn_tensor *one = run(session, 1, samples[0]);
    puts("three samples");
    tn_tensor *three = run(session, 3, samples[0]);
    tn_session_destroy(session);
    tn_tensor_destroy(one);
    tn_tensor_destroy(three);
    tn_model_destroy(model);
    return 0;
}
