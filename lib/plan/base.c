/* The model that a plan begins with, and the ends of all models: a base is cut where the plan says, probabilities are taken
 * off for training (losses are of scores), and put on what was trained. */
#include <stdio.h>
#include "data/pipeline.h"
#include "graph/infer.h"
#include "graph/op.h"
#include "plan/plan.h"

static tn_status find_until(const tn_graph *g, const char *name, int *out_value) {
    for (int v = 0; v < g->value_count; v++)
        if (!g->values[v].constant && strcmp(g->values[v].name, name) == 0) {
            *out_value = v;
            return TN_OK;
        }
    return tn_fail(TN_E_NOT_FOUND, "there is no value '%.100s' to cut at; tenon inspect --nodes lists them", name);
}

/* The sizes of a sample must be known and give as many numbers as a row has; the batch must be open. */
static tn_status check_input(const tn_graph *g, int64_t width) {
    char text[220];
    if (g->input_count != 1)
        return tn_fail(TN_E_UNSUPPORTED, "it has %d inputs; one is what a table can fill", g->input_count);
    const tn_type *type = &g->values[g->inputs[0]].type;
    tn_type_text(text, sizeof text, g, type);
    if (type->kind != TN_KIND_TENSOR || type->dtype != TN_FLOAT32 || type->rank < 2)
        return tn_fail(TN_E_TYPE, "its input is %s; float32[batch, ...] is what a table can fill", text);
    int64_t size = 1;
    for (int i = 1; i < type->rank; i++)
        if (type->dims[i] < 1 || !!__builtin_mul_overflow(size, type->dims[i], &size))
            return tn_fail(TN_E_SHAPE, "its input is %s; all sizes but the batch must be known", text);
    if (type->dims[0] >= 0)
        return tn_fail(TN_E_SHAPE, "its input is %s; a batch of a fixed size cannot be trained", text);
    if (size != width)
        return tn_fail(TN_E_SHAPE, "its input is %s, %lld numbers a sample, and a row has %lld", text, (long long)size,
                       (long long)width);
    return TN_OK;
}

/* Scores, where the model gives probabilities or labels. */
static int before_softmax(const tn_graph *g, int value) {
    int producer = g->values[value].producer;
    if (producer < 0) return value;
    const char *op = g->nodes[producer].op->name;
    bool last = strcmp(op, "Softmax") == 0 || strcmp(op, "Sigmoid") == 0;
    return last ? g->nodes[producer].in[0] : value;
}

static tn_status cut(const tn_plan *plan, const tn_plan_data *data, tn_graph *g) {
    int value = g->output_count ? g->outputs[0] : -1;
    TN_TRY(tn_graph_sort(g));
    TN_TRY(tn_graph_infer(g));
    TN_TRY(check_input(g, data->width));
    if (plan->until) TN_TRY(find_until(g, plan->until, &value));
    if (value < 0) return tn_fail(TN_E_INVALID, "it has no output");
    g->output_count = 0;
    if (plan->until) {
        TN_TRY(tn_plan_layers(plan, g, value, data->outputs));
    } else {
        if (data->task == TN_TASK_CLASSIFICATION || plan->sequences) value = before_softmax(g, value);
        const tn_type *type = &g->values[value].type;
        if (type->rank != (plan->sequences ? 3 : 2) || type->dims[1] != data->outputs)
            return tn_fail(TN_E_SHAPE,
                           "its output is not [batch, %lld%s], which the target needs; 'until' cuts it at a "
                           "value, behind which a new answer is put",
                           (long long)data->outputs, plan->sequences ? ", length" : "");
        TN_TRY(tn_graph_output(g, value, "scores"));
    }
    TN_TRY(tn_graph_sort(g));
    return tn_graph_drop_unused(g, NULL);
}

tn_status tn_plan_base(const tn_plan *plan, const tn_plan_data *data, tn_graph **out_graph) {
    tn_graph *g;
    *out_graph = NULL;
    TN_TRY(tn_graph_load(plan->file, NULL, &g));
    g->manifest = NULL; /* the plan writes another, and other self-tests */
    g->self_test = (tn_string){NULL, 0};
    tn_status status = cut(plan, data, g);
    if (status == TN_OK) {
        *out_graph = g;
        return TN_OK;
    }
    tn_graph_destroy(g);
    return tn_fail_context(status, "the base model '%s'", plan->file);
}

/* ---- the answer ---- */

static tn_status scale(tn_graph *g, const char *op, double by, int *value) {
    float x = (float)by;
    char name[40];
    tn_tensor *t;
    int number;
    snprintf(name, sizeof name, "answer.%s%d", op, g->node_count); /* the base may have one already */
    TN_TRY(tn_tensor_wrap(TN_FLOAT32, 0, NULL, NULL, &x, sizeof x, &t));
    tn_status status = tn_graph_constant(g, "", t, &number);
    tn_tensor_destroy(t);
    TN_TRY(status);
    return tn_graph_node(g, op, name, 2, (int[]){*value, number}, 1, value, NULL);
}

tn_status tn_plan_answer(const tn_plan_data *data, tn_loss loss, tn_graph *g) {
    static const char *const names[] = {"probabilities", "prediction", "reconstruction", "probabilities"};
    const tn_attribute last[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = data->task == TN_TASK_SEQUENCES ? 1 : -1},
                                 {0}};
    int value = g->outputs[0];
    const tn_feature *target = &data->pipeline->target;
    const int outputs = g->output_count,
              latent[] = {outputs > 2 ? g->outputs[1] : -1, outputs > 2 ? g->outputs[2] : -1};
    g->output_count = 0;
    if (data->task == TN_TASK_CLASSIFICATION && loss == TN_LOSS_BINARY_CROSS_ENTROPY)
        TN_TRY(tn_graph_node(g, "Sigmoid", "answer", 1, &value, 1, &value, NULL));
    else if (data->task == TN_TASK_CLASSIFICATION || data->task == TN_TASK_SEQUENCES)
        TN_TRY(tn_graph_node(g, "Softmax", "answer", 1, &value, 1, &value, last));
    else if (data->task == TN_TASK_REGRESSION && (target->spread != 1 || target->centre != 0)) {
        TN_TRY(scale(g, "Mul", target->spread, &value));
        TN_TRY(scale(g, "Add", target->centre, &value));
    }
    if (value == g->inputs[0]) TN_TRY(tn_graph_node(g, "Identity", "answer", 1, &value, 1, &value, NULL));
    TN_TRY(tn_graph_output(g, value, names[data->task]));
    for (int i = 0; i < 2 && latent[i] >= 0; i++) TN_TRY(tn_graph_output(g, latent[i], NULL));
    return TN_OK;
}
