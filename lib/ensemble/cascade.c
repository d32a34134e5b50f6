/* Cascades. Each stage is the part of the graph, or of the branch of an If, that answers some rows: its member's answer, and
 * if any row's greatest probability is below the threshold, those rows gathered, answered by the next stage, and scattered
 * back. Where the number of rows is fixed the next stage takes all of them, and its answer counts for those rows; of one row
 * alone there is nothing to choose. */
#include "ensemble/ensemble.h"
#include "graph/infer.h"

static const tn_attribute drop_axis[] = {{.name = "keepdims", .kind = TN_ATTR_INT, .i = 0}, {0}};

static tn_status stage(tn_compile *c, tn_graph *g, int member, const int *inputs, bool any_rows, int *out);

/* How sure the answer is, [N]: the greatest probability; of [N, 1] the greater of it and what it leaves. */
static tn_status confidence(tn_compile *c, tn_graph *g, int64_t width, int answer, int *out) {
    static const int64_t one = 1;
    const float half = 0.5f;
    int in[2] = {answer, -1}, axis, middle;
    TN_TRY(tn_compile_constant(c, g, TN_INT64, 1, (int64_t[]){1}, &one, &axis));
    if (width == 1) {
        TN_TRY(tn_compile_constant(c, g, TN_FLOAT32, 0, NULL, &half, &middle));
        in[1] = middle;
        TN_TRY(tn_compile_node(g, "Sub", 2, in, NULL, &in[0]));
        TN_TRY(tn_compile_node(g, "Abs", 1, in, NULL, &in[0]));
        TN_TRY(tn_compile_node(g, "Add", 2, in, NULL, &in[0]));
    }
    in[1] = axis;
    return tn_compile_node(g, "ReduceMax", 2, in, drop_axis, out);
}

/* What the branches see of the graph around them. */
typedef struct outside {
    int answer, unsure; /* [N, C], [N] */
    const int *inputs;
} outside;

static tn_status see(tn_graph *g, int node, tn_graph *body, int value, int *out) {
    *out = tn_graph_capture(g, node, body, value);
    return *out < 0 ? TN_E_MEMORY : TN_OK;
}

/* All rows, which are of a fixed number. */
static tn_status answer_all(tn_compile *c, tn_graph *g, int node, tn_graph *body, const outside *o, int next,
                            int *out) {
    int *inputs = tn_region_array(c->scratch, (size_t)c->input_count, sizeof *inputs);
    static const int64_t one = 1;
    int in[3], shape[2];
    if (!inputs) return TN_E_MEMORY;
    for (int i = 0; i < c->input_count; i++) TN_TRY(see(g, node, body, o->inputs[i], &inputs[i]));
    TN_TRY(stage(c, body, next, inputs, false, out));
    if (c->inputs[0].dims[0] == 1) return TN_OK;
    TN_TRY(see(g, node, body, o->unsure, &shape[0]));
    TN_TRY(see(g, node, body, o->answer, &in[2]));
    TN_TRY(tn_compile_constant(c, body, TN_INT64, 1, (int64_t[]){1}, &one, &shape[1]));
    TN_TRY(tn_compile_node(body, "Unsqueeze", 2, shape, NULL, &in[0]));
    in[1] = *out;
    return tn_compile_node(body, "Where", 3, in, NULL, out);
}

/* The rows that are unsure alone. */
static tn_status answer_some(tn_compile *c, tn_graph *g, int node, tn_graph *body, const outside *o, int next,
                             int *out) {
    int *inputs = tn_region_array(c->scratch, (size_t)c->input_count, sizeof *inputs);
    static const int64_t flat[] = {-1}, column[] = {-1, 1};
    int unsure, rows, shape[2], which, places, in[3];
    if (!inputs) return TN_E_MEMORY;
    TN_TRY(see(g, node, body, o->unsure, &unsure));
    TN_TRY(tn_compile_node(body, "NonZero", 1, &unsure, NULL, &rows)); /* [1, K] */
    shape[0] = rows;
    TN_TRY(tn_compile_constant(c, body, TN_INT64, 1, (int64_t[]){1}, flat, &shape[1]));
    TN_TRY(tn_compile_node(body, "Reshape", 2, shape, NULL, &which)); /* [K] */
    TN_TRY(tn_compile_constant(c, body, TN_INT64, 1, (int64_t[]){2}, column, &shape[1]));
    TN_TRY(tn_compile_node(body, "Reshape", 2, shape, NULL, &places)); /* [K, 1] */
    for (int i = 0; i < c->input_count; i++) {
        int from[2] = {-1, which};
        TN_TRY(see(g, node, body, o->inputs[i], &from[0]));
        TN_TRY(tn_compile_node(body, "Gather", 2, from, NULL, &inputs[i]));
    }
    TN_TRY(see(g, node, body, o->answer, &in[0]));
    in[1] = places;
    TN_TRY(stage(c, body, next, inputs, true, &in[2]));
    return tn_compile_node(body, "ScatterND", 3, in, NULL, out);
}

static tn_status branches(tn_compile *c, tn_graph *g, int node, const outside *o, int next) {
    tn_graph *more = tn_graph_create_body(g), *enough = tn_graph_create_body(g);
    int value;
    if (!more || !enough) return TN_E_MEMORY;
    TN_TRY(tn_node_set_attr(g, &g->nodes[node], &(tn_attr){.name = "then_branch", .kind = TN_ATTR_GRAPH, .g = more}));
    TN_TRY(tn_node_set_attr(g, &g->nodes[node], &(tn_attr){.name = "else_branch", .kind = TN_ATTR_GRAPH, .g = enough}));
    bool fixed = c->inputs[0].dims[0] >= 0;
    TN_TRY((fixed ? answer_all : answer_some)(c, g, node, more, o, next, &value));
    TN_TRY(tn_graph_output(more, value, NULL));
    TN_TRY(see(g, node, enough, o->answer, &value));
    TN_TRY(tn_compile_node(enough, "Identity", 1, &value, NULL, &value));
    return tn_graph_output(enough, value, NULL);
}

static tn_status stage(tn_compile *c, tn_graph *g, int member, const int *inputs, bool any_rows, int *out) {
    static const tn_attribute whole[] = {{.name = "to", .kind = TN_ATTR_INT, .i = TN_INT64}, {0}};
    const tn_member *m = &c->e->members[member];
    const float threshold = (float)tn_member_threshold(m);
    const int64_t none = 0;
    outside o = {.inputs = inputs};
    int in[2];
    TN_TRY(tn_compile_member(c, g, member, inputs, any_rows, &o.answer));
    *out = o.answer;
    if (member == c->e->count - 1) return TN_OK;
    TN_TRY(confidence(c, g, m->width, o.answer, &in[0]));
    TN_TRY(tn_compile_constant(c, g, TN_FLOAT32, 0, NULL, &threshold, &in[1]));
    TN_TRY(tn_compile_node(g, "Less", 2, in, NULL, &o.unsure));
    TN_TRY(tn_compile_node(g, "Cast", 1, &o.unsure, whole, &in[0]));
    TN_TRY(tn_compile_node(g, "ReduceSum", 1, in, drop_axis, &in[0]));
    TN_TRY(tn_compile_constant(c, g, TN_INT64, 0, NULL, &none, &in[1]));
    TN_TRY(tn_compile_node(g, "Greater", 2, in, NULL, &in[0]));
    const tn_op *op = tn_op_find("", "If");
    if (!op) return tn_fail(TN_E_UNSUPPORTED, "the operator If is not in this build");
    *out = tn_graph_add_value(g, "ensemble/If", NULL);
    int node = *out < 0 ? -1 : tn_graph_add_node(g, op, "ensemble/If", 1, in, 1, out);
    if (node < 0) return TN_E_MEMORY;
    TN_TRY(branches(c, g, node, &o, member + 1));
    return tn_graph_infer_node(g, &g->nodes[node]);
}

tn_status tn_compile_cascade(tn_compile *c, int *out) {
    for (int i = 0; i < c->input_count; i++)
        if (c->inputs[i].rank < 1 || c->inputs[i].dims[0] != c->inputs[0].dims[0])
            return tn_fail(TN_E_SHAPE,
                           "the inputs of a cascade have the rows as their first dim, all the same; '%.80s' has not",
                           c->root->values[c->values[i]].name);
    return stage(c, c->root, 0, c->values, false, out);
}
