/* Probes: models with their gradients by the input. See probe.h and tenon/explain.h. */
#include "explain/probe.h"
#include <math.h>
#include "graph/op.h"
#include "train/gradient.h"

static tn_status check_ends(tn_probe *p, const tn_graph *g) {
    if (g->input_count != 1 || g->output_count < 1)
        return tn_fail(TN_E_UNSUPPORTED, "a model of one input was expected; this one has %d", g->input_count);
    const tn_type *x = &g->values[g->inputs[0]].type;
    p->width = 1;
    bool good = x->kind == TN_KIND_TENSOR && x->dtype == TN_FLOAT32 && x->rank >= 1 && x->dims[0] < 0;
    for (int i = 1; good && i < x->rank; i++)
        good = x->dims[i] > 0 && !__builtin_mul_overflow(p->width, x->dims[i], &p->width);
    if (!good)
        return tn_fail(TN_E_SHAPE, "the model's input must be float32 [N, ...], N open and all other sizes known");
    p->rank = x->rank;
    memcpy(p->dims, x->dims, sizeof p->dims);
    return TN_OK;
}

/* Takes the last Softmax or Sigmoid off; the value of the scores. */
static tn_status find_scores(tn_probe *p, const tn_graph *g, int *out_value) {
    int value = g->outputs[0], producer = g->values[value].producer;
    const char *op = producer >= 0 ? g->nodes[producer].op->name : "";
    if (strcmp(op, "Softmax") == 0) p->end = TN_END_SOFTMAX;
    if (strcmp(op, "Sigmoid") == 0) p->end = TN_END_SIGMOID;
    if (p->end != TN_END_NONE) value = g->nodes[producer].in[0];
    const tn_type *type = &g->values[value].type;
    if (type->kind != TN_KIND_TENSOR || type->dtype != TN_FLOAT32 || type->rank != 2 || type->dims[1] < 1)
        return tn_fail(TN_E_SHAPE, "output 0 of the model must be float32 [N, C]");
    p->outputs = type->dims[1];
    *out_value = value;
    return TN_OK;
}

/* scores, and d sum(scores seed) / dx */
static tn_status add_gradient(tn_probe *p, tn_graph *g) {
    int scores = -1, seed, sum, gradient, x;
    const tn_attribute scalar[] = {{.name = "keepdims", .kind = TN_ATTR_INT, .i = 0}, {0}};
    TN_TRY(tn_graph_sort(g));
    TN_TRY(tn_graph_infer(g));
    TN_TRY(check_ends(p, g));
    TN_TRY(find_scores(p, g, &scores));
    x = g->inputs[0];
    const tn_type type = g->values[scores].type;
    TN_TRY(tn_graph_input(g, "seed", TN_FLOAT32, 2, type.dims, &seed));
    TN_TRY(tn_graph_node(g, "Mul", "seeded", 2, (int[]){scores, seed}, 1, &sum, NULL));
    TN_TRY(tn_graph_node(g, "ReduceSum", "seeded", 1, &sum, 1, &sum, scalar));
    TN_TRY(tn_graph_gradient(g, sum, 1, &x, &gradient));
    if (gradient < 0) return tn_fail(TN_E_INVALID, "the model's output does not hang on its input");
    g->output_count = 0;
    TN_TRY(tn_graph_output(g, scores, "scores"));
    return tn_graph_output(g, gradient, "gradient");
}

tn_status tn_probe_create(tn_graph *graph, int threads, tn_probe **out_probe) {
    const tn_session_options options = {.struct_size = sizeof options, .threads = threads};
    *out_probe = NULL;
    tn_probe *p = tn_alloc_zero(NULL, sizeof *p);
    tn_status status = p ? add_gradient(p, graph) : TN_E_MEMORY;
    if (status == TN_OK)
        status = tn_model_from_graph(graph, NULL, &p->model); /* takes it over */
    else
        tn_graph_destroy(graph);
    if (status == TN_OK) status = tn_session_create(p->model, &options, &p->session);
    if (status == TN_OK)
        *out_probe = p;
    else
        tn_probe_destroy(p);
    return status;
}

void tn_probe_destroy(tn_probe *p) {
    if (!p) return;
    tn_session_destroy(p->session);
    tn_model_destroy(p->model);
    tn_free(NULL, p, sizeof *p);
}

tn_status tn_probe_check(const tn_probe *p, const tn_tensor *x) {
    if (x->dtype != TN_FLOAT32 || x->rank < 1 || x->dims[0] < 1 || !tn_tensor_is_dense(x) ||
        tn_count(x) / x->dims[0] != p->width)
        return tn_fail(TN_E_SHAPE, "x must be dense float32 [N, ...] of %lld numbers a row", (long long)p->width);
    return TN_OK;
}

static tn_status run(tn_probe *p, tn_tensor *x, tn_tensor *seed, float *scores, float *gradient) {
    const tn_tensor *out;
    TN_TRY(tn_session_set_input(p->session, 0, x));
    TN_TRY(tn_session_set_input(p->session, 1, seed));
    TN_TRY(tn_session_run(p->session));
    TN_TRY(tn_session_output(p->session, 0, &out));
    memcpy(scores, out->data, tn_tensor_bytes(out));
    if (!gradient) return TN_OK;
    TN_TRY(tn_session_output(p->session, 1, &out));
    memcpy(gradient, out->data, tn_tensor_bytes(out));
    return TN_OK;
}

tn_status tn_probe_run(tn_probe *p, const float *x, int64_t count, const float *seed, float *scores, float *gradient) {
    tn_tensor *in = NULL, *by = NULL;
    p->dims[0] = count;
    tn_status status = tn_tensor_create(TN_FLOAT32, p->rank, p->dims, NULL, &in);
    if (status == TN_OK) status = tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){count, p->outputs}, NULL, &by);
    if (status == TN_OK) {
        memcpy(in->data, x, tn_tensor_bytes(in));
        if (seed) memcpy(by->data, seed, tn_tensor_bytes(by));
        status = run(p, in, by, scores, gradient);
    }
    tn_tensor_destroy(in);
    tn_tensor_destroy(by);
    return status;
}

void tn_probe_finish(const tn_probe *p, const float *scores, double *outputs) {
    double highest = (double)scores[0], sum = 0;
    for (int64_t c = 0; c < p->outputs; c++) outputs[c] = (double)scores[c];
    if (p->end == TN_END_SIGMOID)
        for (int64_t c = 0; c < p->outputs; c++) outputs[c] = 1 / (1 + exp(-outputs[c]));
    if (p->end != TN_END_SOFTMAX) return;
    for (int64_t c = 0; c < p->outputs; c++) highest = fmax(highest, outputs[c]);
    for (int64_t c = 0; c < p->outputs; c++) sum += outputs[c] = exp(outputs[c] - highest);
    for (int64_t c = 0; c < p->outputs; c++) outputs[c] /= sum;
}

tn_status tn_probe_predict(tn_probe *p, const tn_tensor *x, tn_tensor **out_predicted) {
    *out_predicted = NULL;
    TN_TRY(tn_probe_check(p, x));
    int64_t rows = x->dims[0];
    size_t bytes = (size_t)p->outputs * (TN_PROBE_BATCH * sizeof(float) + sizeof(double));
    tn_tensor *out;
    TN_TRY(tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){rows, p->outputs}, NULL, &out));
    double *row = tn_alloc(NULL, bytes);
    tn_status status = row ? TN_OK : TN_E_MEMORY;
    float *scores = (float *)(row + p->outputs), *to = out->data;
    for (int64_t r = 0; r < rows && status == TN_OK; r += TN_PROBE_BATCH) {
        int64_t count = TN_MIN(TN_PROBE_BATCH, rows - r);
        status = tn_probe_run(p, (const float *)x->data + r * p->width, count, NULL, scores, NULL);
        for (int64_t i = 0; i < count && status == TN_OK; i++) {
            tn_probe_finish(p, scores + i * p->outputs, row);
            for (int64_t c = 0; c < p->outputs; c++) to[(r + i) * p->outputs + c] = (float)row[c];
        }
    }
    tn_free(NULL, row, bytes);
    if (status == TN_OK)
        *out_predicted = out;
    else
        tn_tensor_destroy(out);
    return status;
}
