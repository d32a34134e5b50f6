/* An operator of the host's own, plant:Deadband, which makes small deviations zero:
 * y = 0 where |x| <= width, else x - width with x's sign. It is used as any other operator is. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <tenon/tenon.h>

static tn_status deadband_infer(void *context, const tn_custom_node *node, int in_count, const tn_custom_type *in,
                                int out_count, tn_custom_type *out) {
    (void)context, (void)in_count, (void)out_count;
    if (in[0].dtype != TN_UNDEFINED && in[0].dtype != TN_FLOAT32)
        return tn_custom_fail(TN_E_TYPE, "Deadband works on float32");
    if (tn_custom_float(node, "width", 0) < 0) return tn_custom_fail(TN_E_INVALID, "Deadband's width is negative");
    out[0] = in[0];
    return TN_OK;
}

static tn_status deadband_run(void *context, const tn_custom_node *node, int in_count, const tn_tensor *const *in,
                              int out_count, tn_tensor *const *out) {
    (void)context, (void)in_count, (void)out_count;
    const float *x = tn_tensor_const_data(in[0]);
    float *y = tn_tensor_data(out[0]), width = tn_custom_float(node, "width", 0);
    for (int64_t i = 0; i < tn_tensor_count(in[0]); i++) y[i] = copysignf(fmaxf(fabsf(x[i]) - width, 0), x[i]);
    return TN_OK;
}

static const tn_custom_op deadband = {.struct_size = sizeof(tn_custom_op),
                                      .domain = "plant",
                                      .name = "Deadband",
                                      .min_in = 1,
                                      .max_in = 1,
                                      .min_out = 1,
                                      .max_out = 1,
                                      .infer = deadband_infer,
                                      .run = deadband_run};

static void must(tn_status status) {
    if (status == TN_OK) return;
    fprintf(stderr, "custom_op: %s\n", tn_last_error());
    exit(1);
}

/* A model loaded from a file gets its operators through tn_model_options.custom_ops; this one is built here. */
static tn_model *build(float width) {
    const tn_attribute attributes[] = {{.name = "width", .kind = TN_ATTR_FLOAT, .f = width}, {0}};
    tn_graph *graph;
    tn_model *model = NULL;
    int x, calm, y;
    must(tn_graph_create(NULL, &graph));
    must(tn_graph_add_custom_ops(graph, &deadband, 1));
    must(tn_graph_input(graph, "deviation", TN_FLOAT32, 1, (int64_t[]){5}, &x));
    if (tn_graph_node(graph, "plant:Deadband", "calm", 1, &x, 1, &calm, attributes) == TN_OK) {
        must(tn_graph_node(graph, "Neg", "answer", 1, &calm, 1, &y, NULL));
        must(tn_graph_output(graph, y, "answer"));
        must(tn_model_from_graph(graph, NULL, &model));
        return model;
    }
    printf("refused: %s\n", tn_last_error());
    tn_graph_destroy(graph);
    return NULL;
}

int main(void) {
    float deviation[5] = {-2, -0.25f, 0, 0.5f, 3};
    tn_session *session;
    tn_tensor *x;
    const tn_tensor *y;
    if (build(-1)) return 1; /* what infer refuses is refused when the graph is built */
    tn_model *model = build(0.5f);
    must(tn_tensor_wrap(TN_FLOAT32, 1, (int64_t[]){5}, NULL, deviation, sizeof deviation, &x));
    must(tn_session_create(model, NULL, &session));
    must(tn_session_set_input(session, 0, x));
    must(tn_session_run(session));
    must(tn_session_output(session, 0, &y));
    const float *answer = tn_tensor_const_data(y);
    for (int i = 0; i < 5; i++) printf("%g -> %g\n", (double)deviation[i], (double)answer[i] + 0.0);
    tn_session_destroy(session);
    tn_tensor_destroy(x);
    tn_model_destroy(model);
    return 0;
}
