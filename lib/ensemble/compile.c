/* From members to one graph. First the inputs are settled for all of them, with each dim that any member fixes, then each
 * member's nodes are put in with its own symbols bound to those dims. */
#include <stdio.h>
#include "ensemble/ensemble.h"

/* ---- inputs ---- */

/* Which of the ensemble's inputs a member's input is. */
static tn_status find_input(const tn_compile *c, const tn_member *m, int index, int *out) {
    const tn_graph *g = m->shared->graph, *first = c->e->members[0].shared->graph;
    const char *name = g->values[g->inputs[index]].name;
    char known[400] = "";
    for (int i = 0; i < first->input_count; i++) {
        const char *own = first->values[first->inputs[i]].name;
        size_t used = strlen(known);
        *out = i;
        if (strcmp(own, name) == 0 || (first->input_count == 1 && g->input_count == 1)) return TN_OK;
        snprintf(known + used, sizeof known - used, "%s'%.60s'", i ? ", " : "", own);
    }
    return tn_fail(TN_E_NOT_FOUND, "member '%s' has an input '%.80s', which the first, '%s', has not; it has %s",
                   m->name, name, c->e->members[0].name, known);
}

/* A dim that was open in the ensemble has this size, wherever it stands. */
static void fix(tn_compile *c, int64_t open, int64_t size) {
    for (int i = 0; i < c->input_count; i++)
        for (int k = 0; k < c->inputs[i].rank; k++)
            if (c->inputs[i].dims[k] == open) c->inputs[i].dims[k] = size;
}

static tn_status settle_input(tn_compile *c, const tn_member *m, int index) {
    const tn_graph *g = m->shared->graph;
    const tn_graph_value *value = &g->values[g->inputs[index]];
    char a[200], b[200];
    int at;
    TN_TRY(find_input(c, m, index, &at));
    tn_type *own = &c->inputs[at];
    const tn_type *other = &value->type;
    bool fits = other->kind == own->kind && other->dtype == own->dtype && other->rank == own->rank;
    for (int k = 0; fits && k < own->rank; k++)
        fits = own->dims[k] < 0 || other->dims[k] < 0 || own->dims[k] == other->dims[k];
    if (!fits)
        return tn_fail(TN_E_SHAPE, "input '%.80s' is %s in member '%s' and %s in those before it; they must be alike",
                       value->name, tn_type_text(a, sizeof a, g, other), m->name,
                       tn_type_text(b, sizeof b, c->root, own));
    for (int k = 0; k < own->rank; k++) {
        if (own->dims[k] >= 0 || other->dims[k] == -1) continue;
        int64_t dim = other->dims[k];
        if (dim < 0) dim = own->dims[k] < -1 ? own->dims[k] : tn_graph_symbol(c->root, g->symbols[-2 - dim]);
        if (!dim && other->dims[k] < 0) return TN_E_MEMORY;
        if (own->dims[k] == -1)
            own->dims[k] = dim;
        else
            fix(c, own->dims[k], dim);
    }
    return TN_OK;
}

static tn_status settle_inputs(tn_compile *c) {
    const tn_graph *first = c->e->members[0].shared->graph;
    c->input_count = first->input_count;
    c->inputs = tn_region_array(c->scratch, (size_t)first->input_count, sizeof *c->inputs);
    c->values = tn_region_array(c->scratch, (size_t)first->input_count, sizeof *c->values);
    if (!c->inputs || !c->values) return TN_E_MEMORY;
    for (int i = 0; i < c->input_count; i++) {
        tn_type *type = &c->inputs[i];
        *type = first->values[first->inputs[i]].type;
        if (type->kind != TN_KIND_TENSOR || type->optional || type->rank < 0)
            return tn_fail(TN_E_UNSUPPORTED, "input '%.80s' of member '%s' is no tensor of a known rank",
                           first->values[first->inputs[i]].name, c->e->members[0].name);
        for (int k = 0; k < type->rank; k++) {
            if (type->dims[k] >= -1) continue;
            type->dims[k] = tn_graph_symbol(c->root, first->symbols[-2 - type->dims[k]]);
            if (!type->dims[k]) return TN_E_MEMORY;
        }
    }
    for (int i = 1; i < c->e->count; i++)
        for (int k = 0; k < c->e->members[i].shared->graph->input_count; k++)
            TN_TRY(settle_input(c, &c->e->members[i], k));
    for (int i = 0; i < c->input_count; i++) {
        c->values[i] = tn_graph_add_value(c->root, first->values[first->inputs[i]].name, &c->inputs[i]);
        if (c->values[i] < 0) return TN_E_MEMORY;
        TN_TRY(tn_graph_add_input(c->root, c->values[i]));
    }
    return TN_OK;
}

/* ---- pieces ---- */

tn_status tn_compile_node(tn_graph *graph, const char *op, int in_count, const int *in, const tn_attribute *attributes,
                          int *out) {
    char name[64]; /* ONNX Runtime wants each once */
    snprintf(name, sizeof name, "ensemble/%s_%d", op, graph->value_count);
    return tn_graph_node(graph, op, name, in_count, in, 1, out, attributes);
}

tn_status tn_compile_constant(tn_compile *c, tn_graph *graph, tn_dtype dtype, int rank, const int64_t *dims,
                              const void *data, int *out) {
    tn_tensor *t = tn_graph_tensor(graph, dtype, rank, dims, NULL);
    if (!t) return TN_E_MEMORY;
    memcpy(t->data, data, tn_dtype_bytes(dtype, tn_count(t)));
    *out = tn_graph_share_constant(graph, &c->pool, "ensemble/constant", t);
    return *out < 0 ? TN_E_MEMORY : TN_OK;
}

static const tn_attribute last_axis[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = -1}, {0}};

tn_status tn_compile_member(tn_compile *c, tn_graph *graph, int member, const int *inputs, bool any_rows, int *answer) {
    tn_member *m = &c->e->members[member];
    const tn_graph *from = m->shared->graph;
    size_t most = (size_t)TN_MAX(TN_MAX(from->input_count, from->output_count), from->symbol_count) + 1;
    int *in = tn_region_array(c->scratch, most, sizeof *in), *out = tn_region_array(c->scratch, most, sizeof *out);
    int64_t *symbols = tn_region_array(c->scratch, most, sizeof *symbols);
    if (!in || !out || !symbols) return TN_E_MEMORY;
    for (int i = 0; i < from->input_count; i++) {
        const tn_type *type = &from->values[from->inputs[i]].type;
        int at;
        TN_TRY(find_input(c, m, i, &at));
        in[i] = inputs[at];
        for (int k = 0; k < type->rank; k++) {
            int64_t symbol = -2 - type->dims[k];
            if (type->dims[k] >= -1 || symbols[symbol] > 0) continue;
            symbols[symbol] = k == 0 && any_rows ? -1 : c->inputs[at].dims[k];
        }
    }
    const tn_splice splice = {.prefix = m->name, .inputs = in, .symbols = symbols, .pool = &c->pool};
    TN_TRY(tn_member_lend(m, c->root));
    tn_status status = tn_graph_splice(graph, from, &splice, out);
    if (status != TN_OK) return tn_fail_context(status, "member '%s'", m->name);
    *answer = out[m->answer];
    if (!m->logits) return TN_OK;
    return m->width == 1 ? tn_compile_node(graph, "Sigmoid", 1, answer, NULL, answer)
                         : tn_compile_node(graph, "Softmax", 1, answer, last_axis, answer);
}

/* A vote for each row: 1 for its class, 0 for all others. */
static tn_status vote(tn_compile *c, const tn_member *m, int *value) {
    static const tn_attribute greatest[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = 1}, {0}};
    static const tn_attribute number[] = {{.name = "to", .kind = TN_ATTR_INT, .i = TN_FLOAT32}, {0}};
    tn_graph *g = c->root;
    int in[2] = {*value, -1};
    if (m->width == 1) {
        const float half = 0.5f;
        TN_TRY(tn_compile_constant(c, g, TN_FLOAT32, 0, NULL, &half, &in[1]));
        TN_TRY(tn_compile_node(g, "GreaterOrEqual", 2, in, NULL, value));
    } else {
        int64_t *classes = tn_region_array(c->scratch, (size_t)m->width, sizeof *classes);
        if (!classes) return TN_E_MEMORY;
        for (int64_t i = 0; i < m->width; i++) classes[i] = i;
        TN_TRY(tn_compile_constant(c, g, TN_INT64, 2, (int64_t[]){1, m->width}, classes, &in[1]));
        TN_TRY(tn_compile_node(g, "ArgMax", 1, in, greatest, &in[0]));
        TN_TRY(tn_compile_node(g, "Equal", 2, in, NULL, value));
    }
    return tn_compile_node(g, "Cast", 1, value, number, value);
}

/* The weighted mean of the answers, or of the votes. Who has no weight is left out. */
static tn_status mean(tn_compile *c, int *out) {
    int values[TN_MOST_MEMBERS], count = 0;
    for (int i = 0; i < c->e->count; i++) {
        const float part = (float)tn_member_part(c->e, i);
        int in[2];
        if (part == 0) continue;
        TN_TRY(tn_compile_member(c, c->root, i, c->values, false, &in[0]));
        if (c->e->kind == TN_ENSEMBLE_VOTE) TN_TRY(vote(c, &c->e->members[i], &in[0]));
        TN_TRY(tn_compile_constant(c, c->root, TN_FLOAT32, 0, NULL, &part, &in[1]));
        TN_TRY(tn_compile_node(c->root, "Mul", 2, in, NULL, &values[count++]));
    }
    if (count == 1) {
        *out = values[0];
        return TN_OK;
    }
    return tn_compile_node(c->root, "Sum", count, values, NULL, out);
}

static tn_status side_by_side(tn_compile *c, int *out) {
    static const tn_attribute axis[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = 1}, {0}};
    static const int64_t one = 1;
    int values[TN_MOST_MEMBERS];
    for (int i = 0; i < c->e->count; i++) {
        int in[2];
        TN_TRY(tn_compile_member(c, c->root, i, c->values, false, &in[0]));
        values[i] = in[0];
        if (c->e->members[i].rank == 2) continue;
        TN_TRY(tn_compile_constant(c, c->root, TN_INT64, 1, (int64_t[]){1}, &one, &in[1]));
        TN_TRY(tn_compile_node(c->root, "Unsqueeze", 2, in, NULL, &values[i]));
    }
    return tn_compile_node(c->root, "Concat", c->e->count, values, axis, out);
}

static tn_status stack(tn_compile *c, int *out) {
    const tn_ensemble *e = c->e;
    int in[3];
    if (!e->fitted) return tn_fail(TN_E_STATE, "a stack must be fitted before it can be compiled: 'fit' with 'data'");
    TN_TRY(side_by_side(c, &in[0]));
    TN_TRY(tn_compile_constant(c, c->root, TN_FLOAT32, 2, e->matrix->dims, e->matrix->data, &in[1]));
    TN_TRY(tn_compile_constant(c, c->root, TN_FLOAT32, 1, e->bias->dims, e->bias->data, &in[2]));
    TN_TRY(tn_compile_node(c->root, "Gemm", 3, in, NULL, out));
    return e->classes ? tn_compile_node(c->root, "Softmax", 1, out, last_axis, out) : TN_OK;
}

/* ---- whole graphs ---- */

static tn_status finish(tn_compile *c, int value) {
    const tn_graph *first = c->e->members[0].shared->graph;
    const char *name = first->values[first->outputs[c->e->members[0].answer]].name;
    if (c->root->values[value].producer < 0) TN_TRY(tn_compile_node(c->root, "Identity", 1, &value, NULL, &value));
    for (int i = 0; i < c->input_count; i++)
        if (strcmp(c->root->values[c->values[i]].name, name) == 0) name = "answer";
    TN_TRY(tn_graph_output(c->root, value, name));
    TN_TRY(tn_graph_sort(c->root));
    TN_TRY(tn_graph_drop_unused(c->root, NULL));
    return tn_graph_infer(c->root);
}

static tn_status compile(tn_ensemble *e, tn_status (*combine)(tn_compile *c, int *out), tn_graph **out_graph) {
    tn_compile c = {.e = e};
    int value;
    *out_graph = NULL;
    TN_TRY(tn_members_open(e));
    TN_TRY(tn_graph_create_root(NULL, 0, &c.root));
    c.scratch = c.pool.region = tn_region_create(NULL);
    tn_status status = c.scratch ? settle_inputs(&c) : TN_E_MEMORY;
    if (status == TN_OK) status = combine(&c, &value);
    if (status == TN_OK) status = finish(&c, value);
    tn_region_destroy(c.scratch);
    if (status == TN_OK)
        *out_graph = c.root;
    else
        tn_graph_destroy(c.root);
    return status;
}

tn_status tn_ensemble_answers(tn_ensemble *e, tn_graph **out_graph) {
    return compile(e, side_by_side, out_graph);
}

tn_status tn_ensemble_graph(tn_ensemble *e, tn_graph **out_graph) {
    static tn_status (*const combine[])(tn_compile * c, int *out) = {mean, mean, stack, tn_compile_cascade};
    TN_TRY(compile(e, combine[e->kind], out_graph));
    tn_status status = tn_ensemble_describe(e, *out_graph);
    if (status == TN_OK) return TN_OK;
    tn_graph_destroy(*out_graph);
    *out_graph = NULL;
    return status;
}
