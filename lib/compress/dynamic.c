/* Dynamic quantization: weights are int8, and each run measures its activations itself (DynamicQuantizeLinear), so no data are
 * needed beforehand and values stay float between layers.
 *
 *     x w + b   becomes   Cast(MatMulInteger(q(x), w)) * (scale(x) scale(w)) + b
 *
 * in the form that ONNX Runtime's quantize_dynamic writes and its fusions look for. A layer's output keeps its value. */
#include "compress/quantize.h"
#include "passes/match.h"

typedef struct dynamic {
    const tn_qplan *plan;
    const tn_quantize_options *options;
    tn_region *region;
    tn_graph *graph;
    int (*input)[3]; /* a row a value: bytes, scale and zero point of it; 0: not yet made (value 0 is never one) */
    tn_status status;
} dynamic;

tn_status tn_dynamic_plan(const tn_graph *graph, const bool *skip, tn_region *region, tn_qplan *out) {
    TN_TRY(tn_qplan_make(graph, skip, region, out));
    memset(out->byte, 0, (size_t)graph->value_count * sizeof *out->byte);
    memset(out->made, 0, (size_t)graph->value_count * sizeof *out->made);
    for (int n = 0; n < graph->node_count; n++) {
        int axis;
        bool layer = out->role[n] == TN_Q_LAYER && tn_qplan_is_layer(graph, &graph->nodes[n], &axis);
        out->role[n] = layer ? TN_Q_LAYER : TN_Q_FLOAT;
        out->end[n] = layer ? graph->nodes[n].out[0] : -1;
    }
    return TN_OK;
}

/* A node of one output of that type; -1 after a failure. */
static int add(dynamic *d, const char *op, tn_dtype dtype, int like, int count, const int *in) {
    tn_type type = d->graph->values[like].type;
    const tn_op *found = tn_op_find("", op);
    if (d->status != TN_OK) return -1;
    if (!found) {
        d->status = tn_fail(TN_E_UNSUPPORTED, "this build has no %s (TN_OPS)", op);
        return -1;
    }
    type.dtype = dtype;
    int out = tn_graph_add_value(d->graph, "", &type);
    if (out < 0 || tn_graph_add_node(d->graph, found, "", count, in, 1, &out) < 0) d->status = TN_E_MEMORY;
    return out;
}

static int constant(dynamic *d, const char *name, tn_dtype dtype, int rank, const int64_t *dims, const void *data) {
    tn_tensor *t = d->status == TN_OK ? tn_graph_tensor(d->graph, dtype, rank, dims, NULL) : NULL;
    int value = -1;
    if (t) {
        if (data) memcpy(t->data, data, tn_dtype_bytes(dtype, tn_count(t)));
        value = tn_graph_add_constant(d->graph, name, t);
    }
    if (value < 0 && d->status == TN_OK) d->status = TN_E_MEMORY;
    return value;
}

/* Bytes, scale and zero point of a value, made once. */
static const int *input_of(dynamic *d, int value) {
    int *out = d->input[value];
    const tn_op *op = tn_op_find("", "DynamicQuantizeLinear");
    if (out[0] || d->status != TN_OK) return out;
    if (!op) {
        d->status = tn_fail(TN_E_UNSUPPORTED, "this build has no DynamicQuantizeLinear (TN_OPS)");
        return out;
    }
    static const tn_dtype types[3] = {TN_UINT8, TN_FLOAT32, TN_UINT8};
    for (int i = 0; i < 3; i++) {
        tn_type type = d->graph->values[value].type;
        if (i) tn_type_tensor(&type, types[i], 0, NULL);
        type.dtype = types[i];
        out[i] = tn_graph_add_value(d->graph, "", &type);
        if (out[i] < 0) d->status = TN_E_MEMORY;
    }
    if (d->status == TN_OK && tn_graph_add_node(d->graph, op, "", 1, &value, 3, out) < 0) d->status = TN_E_MEMORY;
    return out;
}

/* [N, K] as [K, N]. */
static const int8_t *transposed(dynamic *d, const int8_t *q, int64_t rows, int64_t columns) {
    int8_t *out = tn_region_array(d->region, (size_t)(rows * columns) + 1, 1);
    for (int64_t r = 0; out && r < rows; r++)
        for (int64_t c = 0; c < columns; c++) out[c * rows + r] = q[r * columns + c];
    if (!out) d->status = TN_E_MEMORY;
    return out ? out : q;
}

static tn_status write_layer(dynamic *d, int n, uint64_t *bytes) {
    const tn_node *node = &d->plan->graph->nodes[n];
    bool conv = tn_match_is(node, "", "Conv");
    int axis, out = node->out[0], bias = node->formal_in > 2 ? node->in[2] : -1;
    if (!tn_qplan_is_layer(d->plan->graph, node, &axis)) return TN_E_INTERNAL;
    const tn_tensor *w = d->plan->graph->values[node->in[1]].constant;
    tn_qweights q;
    TN_TRY(tn_qweights_make(d->region, w, axis, d->options->per_tensor, tn_qlevels(d->options), 1, NULL, &q));
    const int *x = input_of(d, node->in[0]);
    bool turn = !conv && axis == 0;
    int64_t dims[TN_MAX_RANK], shape[TN_MAX_RANK] = {q.scale_count, 1, 1, 1, 1, 1, 1, 1};
    memcpy(dims, w->dims, (size_t)w->rank * sizeof *dims);
    if (turn) dims[0] = w->dims[1], dims[1] = w->dims[0];
    const char *name = d->graph->values[node->in[1]].name;
    int integers = constant(d, name, TN_INT8, w->rank, dims, turn ? transposed(d, q.q, w->dims[0], w->dims[1]) : q.q);
    /* Along the channels of the output: [N], or [M, 1, 1]. */
    int scale = constant(d, "", TN_FLOAT32, conv ? w->rank - 1 : 1, shape, q.scale);
    int sums = add(d, conv ? "ConvInteger" : "MatMulInteger", TN_INT32, out, 3, (int[]){x[0], integers, x[2]});
    if (d->status != TN_OK) return d->status;
    tn_node *made = &d->graph->nodes[d->graph->node_count - 1];
    made->name = d->graph->nodes[n].name;
    for (int a = 0; conv && a < node->attr_count; a++)
        TN_TRY(tn_node_set_attr(d->graph, made, &d->graph->nodes[n].attrs[a]));
    int real = add(d, "Cast", TN_FLOAT32, out, 1, &sums);
    if (d->status != TN_OK) return d->status;
    TN_TRY(tn_node_set_int(d->graph, &d->graph->nodes[d->graph->node_count - 1], "to", TN_FLOAT32));
    int unit = add(d, "Mul", TN_FLOAT32, scale, 2, (int[]){x[1], scale});
    int y = add(d, "Mul", TN_FLOAT32, out, 2, (int[]){real, unit});
    if (bias >= 0 && conv) {
        const tn_tensor *b = d->plan->graph->values[bias].constant;
        shape[0] = tn_count(b);
        bias = constant(d, d->graph->values[bias].name, TN_FLOAT32, w->rank - 1, shape, b->data);
    }
    if (bias >= 0) y = add(d, "Add", TN_FLOAT32, out, 2, (int[]){y, bias});
    if (d->status != TN_OK) return d->status;
    /* The last of these nodes writes what the layer wrote. */
    d->graph->nodes[d->graph->node_count - 1].out[0] = out;
    d->graph->nodes[n].dead = true;
    bytes[n] = (uint64_t)tn_count(w) + 4 * (uint64_t)q.scale_count + (bias < 0 ? 0 : 4 * (uint64_t)q.channels);
    return TN_OK;
}

static tn_status write_all(dynamic *d, int *out_value, uint64_t *bytes) {
    for (int v = 0; v < d->plan->value_count; v++) out_value[v] = v;
    for (int n = 0; n < d->plan->node_count; n++)
        if (d->plan->role[n] == TN_Q_LAYER) {
            tn_status status = write_layer(d, n, bytes);
            if (status != TN_OK) return tn_node_context(status, &d->plan->graph->nodes[n]);
        }
    tn_graph_compact(d->graph);
    TN_TRY(tn_graph_sort(d->graph));
    return tn_graph_infer(d->graph);
}

tn_status tn_dynamic_write(const tn_qplan *plan, const tn_quantize_options *options, tn_region *region, int *out_value,
                           uint64_t *bytes, tn_graph **out_graph) {
    dynamic d = {.plan = plan, .options = options, .region = region};
    *out_graph = NULL;
    d.input = tn_region_array(region, (size_t)plan->value_count + 1, sizeof *d.input);
    if (!d.input) return TN_E_MEMORY;
    TN_TRY(tn_graph_copy(plan->graph, true, &d.graph));
    tn_status status = write_all(&d, out_value, bytes);
    if (status == TN_OK)
        *out_graph = d.graph;
    else
        tn_graph_destroy(d.graph);
    return status;
}
