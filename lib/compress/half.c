/* float32 to half precision. See tenon/weights.h.
 *
 * Nodes are walked in order. A node of the table becomes half if that pays or if what it reads is half already, as mixed
 * precision in training has it (Micikevicius et al., arXiv 1710.03740): its float32 inputs are replaced by half twins, which
 * are constants made anew, what another half node writes, or casts; its outputs are half, and get a float32 twin by a cast
 * when a float32 node or an output of the graph reads them. */
#include "base/half.h"
#include "compress/matrices.h"
#include <math.h>

enum { LARGE = 128 }; /* elements from which on a constant is worth being half */

typedef enum half_kind { FOLLOWS, STARTS } half_kind;

/* The operators that have a half form. FOLLOWS: half if an input is; STARTS: half as well if a constant is large. Bits:
 * inputs and outputs that stay float32. */
static const struct half_row {
    const char *op;
    half_kind kind;
    uint8_t in, out;
} rows[] = {
    {"Conv", STARTS, 0, 0},
    {"ConvTranspose", STARTS, 0, 0},
    {"Gemm", STARTS, 0, 0},
    {"MatMul", STARTS, 0, 0},
    {"LSTM", STARTS, 0, 0},
    {"GRU", STARTS, 0, 0},
    {"RNN", STARTS, 0, 0},
    {"Gather", STARTS, 0, 0},
    {"Einsum", FOLLOWS, 0, 0},
    {"Abs", FOLLOWS, 0, 0},
    {"Add", FOLLOWS, 0, 0},
    {"AveragePool", FOLLOWS, 0, 0},
    {"BatchNormalization", FOLLOWS, 0, 0},
    {"Ceil", FOLLOWS, 0, 0},
    {"Celu", FOLLOWS, 0, 0},
    {"Clip", FOLLOWS, 0, 0},
    {"Concat", FOLLOWS, 0, 0},
    {"DepthToSpace", FOLLOWS, 0, 0},
    {"Div", FOLLOWS, 0, 0},
    {"Dropout", FOLLOWS, 0, 0},
    {"Elu", FOLLOWS, 0, 0},
    {"Erf", FOLLOWS, 0, 0},
    {"Expand", FOLLOWS, 0, 0},
    {"Flatten", FOLLOWS, 0, 0},
    {"Floor", FOLLOWS, 0, 0},
    {"GatherElements", FOLLOWS, 0, 0},
    {"GatherND", FOLLOWS, 0, 0},
    {"Gelu", FOLLOWS, 0, 0},
    {"GlobalAveragePool", FOLLOWS, 0, 0},
    {"GlobalMaxPool", FOLLOWS, 0, 0},
    {"HardSigmoid", FOLLOWS, 0, 0},
    {"HardSwish", FOLLOWS, 0, 0},
    {"Identity", FOLLOWS, 0, 0},
    {"InstanceNormalization", FOLLOWS, 0, 0},
    {"LayerNormalization", FOLLOWS, 0, 6},
    {"LeakyRelu", FOLLOWS, 0, 0},
    {"LogSoftmax", FOLLOWS, 0, 0},
    {"Max", FOLLOWS, 0, 0},
    {"MaxPool", FOLLOWS, 0, 0},
    {"Min", FOLLOWS, 0, 0},
    {"Mish", FOLLOWS, 0, 0},
    {"Mul", FOLLOWS, 0, 0},
    {"Neg", FOLLOWS, 0, 0},
    {"PRelu", FOLLOWS, 0, 0},
    {"Pad", FOLLOWS, 0, 0},
    {"ReduceMax", FOLLOWS, 0, 0},
    {"ReduceMean", FOLLOWS, 0, 0},
    {"ReduceMin", FOLLOWS, 0, 0},
    {"Relu", FOLLOWS, 0, 0},
    {"Reshape", FOLLOWS, 0, 0},
    {"Resize", FOLLOWS, 6, 0},
    {"Selu", FOLLOWS, 0, 0},
    {"Sigmoid", FOLLOWS, 0, 0},
    {"Slice", FOLLOWS, 0, 0},
    {"Softmax", FOLLOWS, 0, 0},
    {"Softplus", FOLLOWS, 0, 0},
    {"Softsign", FOLLOWS, 0, 0},
    {"SpaceToDepth", FOLLOWS, 0, 0},
    {"Split", FOLLOWS, 0, 0},
    {"Squeeze", FOLLOWS, 0, 0},
    {"Sub", FOLLOWS, 0, 0},
    {"Sum", FOLLOWS, 0, 0},
    {"Tanh", FOLLOWS, 0, 0},
    {"Tile", FOLLOWS, 0, 0},
    {"Transpose", FOLLOWS, 0, 0},
    {"Unsqueeze", FOLLOWS, 0, 0},
    {"Where", FOLLOWS, 0, 0},
};

typedef struct half_pass {
    tn_graph *graph;
    tn_half_options options;
    const tn_op *cast;
    double largest, smallest;
    int known;      /* values that were there */
    int *twin;      /* of each: its half, -1 if there is none yet */
    bool *made;     /* of each: a half node writes the twin */
    bool *restored; /* of each that is made: a cast writes it in float32 again */
    tn_weights_error error;
} half_pass;

static const struct half_row *row_of(const tn_node *node) {
    for (size_t i = 0; i < TN_COUNT(rows) && !*node->op->domain; i++)
        if (strcmp(rows[i].op, node->op->name) == 0) return &rows[i];
    return NULL;
}

static bool is_float(const half_pass *p, int v) {
    if (v < 0) return false;
    const tn_type *type = &p->graph->values[v].type;
    return type->kind == TN_KIND_TENSOR && !type->optional && type->dtype == TN_FLOAT32;
}

/* What the scalars among the inputs say: -1 keep float32, 1 be half, 0 nothing. */
static int scalars_say(const half_pass *p, const tn_node *node) {
    int say = 0;
    for (int i = 0; i < node->formal_in; i++) {
        const tn_tensor *t = is_float(p, node->in[i]) ? p->graph->values[node->in[i]].constant : NULL;
        if (!t || tn_count(t) != 1) continue;
        double x = fabs((double)*(const float *)t->data);
        if (x > 0 && x < p->smallest) return -1;
        if (x > p->largest && isfinite(x)) say = 1; /* the mask of an attention: as half it can be brought into range */
    }
    return say;
}

static bool becomes_half(const half_pass *p, const tn_node *node, const struct half_row *row) {
    if (!row || tn_listed(p->options.keep, node->name)) return false;
    int say = scalars_say(p, node);
    bool any = false, half = say > 0;
    for (int i = 0; i < node->formal_in; i++) {
        int v = node->in[i];
        if (row->in >> TN_MIN(i, 7) & 1 || !is_float(p, v)) continue;
        const tn_tensor *t = p->graph->values[v].constant;
        any = true;
        half |= t ? row->kind == STARTS && tn_count(t) >= LARGE : v < p->known && p->made[v];
    }
    return any && half && say >= 0;
}

static int add_cast(half_pass *p, int from, int to, tn_dtype dtype) {
    int n = tn_graph_add_node(p->graph, p->cast, "", 1, &from, 1, &to);
    return n < 0 || tn_node_set_int(p->graph, &p->graph->nodes[n], "to", dtype) != TN_OK ? -1 : n;
}

static int add_half_value(half_pass *p, int v) {
    tn_type type = p->graph->values[v].type;
    type.dtype = p->options.dtype;
    return tn_graph_add_value(p->graph, "", &type);
}

static tn_tensor *half_constant(half_pass *p, const tn_tensor *from) {
    const bool bfloat = p->options.dtype == TN_BFLOAT16;
    const float *x = from->data, top = (float)p->largest;
    tn_tensor *to = tn_graph_tensor(p->graph, p->options.dtype, from->rank, from->dims, NULL);
    uint16_t *y = to ? to->data : NULL;
    for (int64_t i = 0; i < tn_count(from) && y; i++) {
        float in = isfinite(x[i]) ? TN_MAX(-top, TN_MIN(top, x[i])) : x[i];
        y[i] = bfloat ? tn_float_to_bfloat(in) : tn_float_to_half(in);
        float back = bfloat ? tn_bfloat_to_float(y[i]) : tn_half_to_float(y[i]);
        if (isfinite(x[i]) && fabsf(x[i]) <= top) tn_weights_compare(&p->error, &x[i], &back, 1);
    }
    return to;
}

/* The half twin of a float32 value; -1 on failure. */
static int half_of(half_pass *p, int v) {
    if (p->twin[v] >= 0) return p->twin[v];
    const tn_tensor *constant = p->graph->values[v].constant;
    if (constant) {
        const tn_tensor *t = half_constant(p, constant);
        p->twin[v] = t ? tn_graph_add_constant(p->graph, p->graph->values[v].name, t) : -1;
        return p->twin[v];
    }
    int twin = add_half_value(p, v);
    if (twin < 0 || add_cast(p, v, twin, p->options.dtype) < 0) return -1;
    return p->twin[v] = twin;
}

/* Makes sure that a value can be read as float32. */
static tn_status restore(half_pass *p, int v) {
    if (v < 0 || v >= p->known || !p->made[v] || p->restored[v]) return TN_OK;
    p->restored[v] = true;
    return add_cast(p, p->twin[v], v, TN_FLOAT32) < 0 ? TN_E_MEMORY : TN_OK;
}

static tn_status visit(half_pass *p, int n, int *layers) {
    tn_graph *graph = p->graph;
    const struct half_row *row = row_of(&graph->nodes[n]);
    if (!becomes_half(p, &graph->nodes[n], row)) {
        for (int i = 0; i < graph->nodes[n].in_count; i++) TN_TRY(restore(p, graph->nodes[n].in[i]));
        return TN_OK;
    }
    ++*layers;
    for (int i = 0; i < graph->nodes[n].formal_in; i++) {
        int v = graph->nodes[n].in[i];
        if (!is_float(p, v)) continue;
        if (row->in >> TN_MIN(i, 7) & 1) {
            TN_TRY(restore(p, v));
            continue;
        }
        int half = half_of(p, v); /* may move the nodes */
        if (half < 0) return TN_E_MEMORY;
        graph->nodes[n].in[i] = half;
    }
    for (int i = 0; i < graph->nodes[n].out_count; i++) {
        int v = graph->nodes[n].out[i];
        if (!is_float(p, v) || row->out >> TN_MIN(i, 7) & 1) continue;
        int half = add_half_value(p, v);
        if (half < 0) return TN_E_MEMORY;
        graph->nodes[n].out[i] = half;
        graph->values[half].producer = n;
        graph->values[v].producer = -1;
        p->twin[v] = half;
        p->made[v] = true;
    }
    return TN_OK;
}

/* Inputs of the graph as half: what a float32 node reads of them is cast. */
static tn_status narrow_inputs(half_pass *p) {
    tn_graph *graph = p->graph;
    for (int i = 0; i < graph->input_count; i++) {
        int v = graph->inputs[i];
        if (!is_float(p, v)) continue;
        int half = add_half_value(p, v);
        if (half < 0) return TN_E_MEMORY;
        graph->values[half].name = graph->values[v].name;
        graph->values[v].name = "";
        graph->inputs[i] = half;
        p->twin[v] = half;
        p->made[v] = true;
    }
    return TN_OK;
}

static tn_status finish_outputs(half_pass *p) {
    tn_graph *graph = p->graph;
    for (int i = 0; i < graph->output_count; i++) {
        int v = graph->outputs[i];
        if (!p->options.half_io || !is_float(p, v)) {
            TN_TRY(restore(p, v));
            continue;
        }
        int half = half_of(p, v);
        if (half < 0) return TN_E_MEMORY;
        if (*graph->values[v].name) {
            graph->values[half].name = graph->values[v].name;
            graph->values[v].name = "";
        }
        graph->outputs[i] = half;
    }
    return TN_OK;
}

static tn_status convert(half_pass *p, int *layers) {
    tn_graph *graph = p->graph;
    const size_t count = (size_t)p->known + 1;
    p->twin = tn_region_array(graph->region, count, sizeof *p->twin);
    p->made = tn_region_array(graph->region, count, sizeof *p->made);
    p->restored = tn_region_array(graph->region, count, sizeof *p->restored);
    if (!p->twin || !p->made || !p->restored) return TN_E_MEMORY;
    for (int v = 0; v < p->known; v++) p->twin[v] = -1;
    if (p->options.half_io) TN_TRY(narrow_inputs(p));
    for (int n = 0, nodes = graph->node_count; n < nodes; n++) TN_TRY(visit(p, n, layers));
    return finish_outputs(p);
}

tn_status tn_graph_to_half(tn_graph *graph, const tn_half_options *options, tn_weights_report *out_report) {
    half_pass p = {.graph = graph, .options = {.struct_size = sizeof p.options}, .cast = tn_op_find("", "Cast")};
    tn_weights_report report;
    if (options) memcpy(&p.options, options, TN_MIN(options->struct_size, sizeof p.options));
    if (!p.options.dtype) p.options.dtype = TN_FLOAT16;
    if (p.options.dtype != TN_FLOAT16 && p.options.dtype != TN_BFLOAT16)
        return tn_fail(TN_E_INVALID, "half precision as data type %d; expected float16 or bfloat16",
                       (int)p.options.dtype);
    if (!p.cast) return tn_fail(TN_E_UNSUPPORTED, "the operator Cast is not in this build");
    p.largest = p.options.dtype == TN_FLOAT16 ? 65504 : 0x1.fep127;
    p.smallest = p.options.dtype == TN_FLOAT16 ? 0x1p-14 : 0x1p-126;
    TN_TRY(tn_weights_begin(graph, &report));
    p.known = graph->value_count;
    TN_TRY(convert(&p, &report.layers));
    report.error = tn_weights_relative(&p.error);
    return tn_weights_end(graph, &report, out_report);
}
