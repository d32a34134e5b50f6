/* The plan, carried out: a copy of the graph in which values are quantized and dequantized, weights and biases integers.
 *
 * A value that comes out of integers is read dequantized by all, since only then it is nowhere needed in float. One that
 * is float anyway is read dequantized by nodes on 8 bits alone. */
#include "compress/quantize.h"
#include "passes/match.h"
#include <math.h>

typedef struct writer {
    const tn_qplan *plan;
    const tn_qrange *ranges;
    const tn_quantize_options *options;
    tn_region *region;
    tn_graph *graph;
    uint64_t *bytes; /* of each layer's weights and bias */
    const tn_op *quantize, *dequantize;
    int *scale, *zero; /* constants of a value's range; -1: not yet made */
    struct written {
        int out; /* dequantized weights; -1: not yet made */
        tn_qweights q;
    } * written; /* a row a value: layers that share weights share the integers, if their scales are the same */
} writer;

static int add_constant(writer *w, const char *name, tn_dtype dtype, int rank, const int64_t *dims, const void *data) {
    tn_tensor *t = tn_graph_tensor(w->graph, dtype, rank, dims, NULL);
    if (!t) return -1;
    memcpy(t->data, data, tn_dtype_bytes(dtype, tn_count(t)));
    return tn_graph_add_constant(w->graph, name, t);
}

static const char *named(const writer *w, int value, const char *what) {
    const char *name = w->graph->values[value].name;
    if (!name || !*name) return "";
    const char *full = tn_region_printf(w->graph->region, "%s_%s", name, what);
    return full ? full : "";
}

/* A node of one output, whose type is that of `like` with another dtype. */
static int add_node(writer *w, const tn_op *op, const char *name, int like, tn_dtype dtype, const int in[3]) {
    tn_type type = w->graph->values[like].type;
    type.dtype = dtype;
    int out = tn_graph_add_value(w->graph, name, &type);
    if (out < 0 || tn_graph_add_node(w->graph, op, name, 3, in, 1, &out) < 0) return -1;
    return out;
}

static tn_status write_value(writer *w, int v, int *out) {
    tn_dtype dtype = w->options->activations == TN_INT8 ? TN_INT8 : TN_UINT8;
    int root = w->plan->like[v];
    if (w->scale[root] < 0) {
        uint8_t zero = (uint8_t)w->ranges[root].zero;
        w->scale[root] = add_constant(w, named(w, root, "scale"), TN_FLOAT32, 0, NULL, &w->ranges[root].scale);
        w->zero[root] = add_constant(w, named(w, root, "zero_point"), dtype, 0, NULL, &zero);
        if (w->scale[root] < 0 || w->zero[root] < 0) return TN_E_MEMORY;
    }
    int scale = w->scale[root], zero = w->zero[root];
    int bytes = add_node(w, w->quantize, named(w, v, "quantized"), v, dtype, (int[]){v, scale, zero});
    if (bytes < 0) return TN_E_MEMORY;
    *out = add_node(w, w->dequantize, named(w, v, "dequantized"), v, TN_FLOAT32, (int[]){bytes, scale, zero});
    return *out < 0 ? TN_E_MEMORY : TN_OK;
}

/* Readers of v read `now`. */
static void redirect(writer *w, int v, int now) {
    tn_graph *graph = w->graph;
    for (int n = 0; n < w->plan->node_count; n++) {
        bool on_bytes = w->plan->role[n] == TN_Q_LAYER || w->plan->role[n] == TN_Q_JOIN;
        if (!on_bytes && !w->plan->made[v]) continue;
        for (int i = 0; i < graph->nodes[n].in_count; i++)
            if (graph->nodes[n].in[i] == v) graph->nodes[n].in[i] = now;
    }
    for (int o = 0; o < graph->output_count && w->plan->made[v]; o++) {
        if (graph->outputs[o] != v) continue;
        if (graph->values[now].name != graph->values[v].name) {
            const char *name = graph->values[v].name;
            graph->values[v].name = "";
            graph->values[now].name = name;
        }
        graph->outputs[o] = now;
    }
}

/* A constant of integers and the DequantizeLinear that reads it. */
static int add_integers(writer *w, int n, int like, tn_dtype dtype, const tn_tensor *shape, const void *data,
                        int64_t axis, int64_t scales, const float *scale) {
    size_t bytes = tn_dtype_bytes(dtype, scales);
    void *none = tn_region_alloc(w->region, bytes + 1);
    if (!none) return -1;
    int rank = scales == shape->dims[axis];
    int value = add_constant(w, named(w, like, "quantized"), dtype, shape->rank, shape->dims, data);
    int in[3] = {value, add_constant(w, named(w, like, "scale"), TN_FLOAT32, rank, &scales, scale),
                 add_constant(w, named(w, like, "zero_point"), dtype, rank, &scales, none)};
    if (in[0] < 0 || in[1] < 0 || in[2] < 0) return -1;
    w->bytes[n] += tn_dtype_bytes(dtype, tn_count(shape)) + (uint64_t)scales * 4 + bytes;
    int out = add_node(w, w->dequantize, named(w, like, "dequantized"), like, TN_FLOAT32, in);
    if (out < 0) return -1;
    tn_node *node = &w->graph->nodes[w->graph->node_count - 1];
    if (rank && tn_node_set_int(w->graph, node, "axis", axis) != TN_OK) return -1;
    return out;
}

static tn_status write_bias(writer *w, int n, int bias, const tn_qweights *q, float in_scale) {
    const tn_tensor *b = w->plan->graph->values[bias].constant;
    int32_t *whole = tn_region_array(w->region, (size_t)q->channels + 1, sizeof *whole);
    float *unit = tn_region_array(w->region, (size_t)q->channels + 1, sizeof *unit);
    if (!whole || !unit) return TN_E_MEMORY;
    for (int64_t c = 0; c < q->channels; c++) {
        float x;
        memcpy(&x, (const char *)b->data + (size_t)c * sizeof x, sizeof x);
        unit[c] = in_scale * q->scale[q->scale_count == 1 ? 0 : c];
        whole[c] = (int32_t)rint((double)x / (double)unit[c]);
    }
    int out = add_integers(w, n, bias, TN_INT32, b, whole, 0, q->scale_count, unit);
    if (out < 0) return TN_E_MEMORY;
    w->graph->nodes[n].in[2] = out;
    return TN_OK;
}

static tn_status write_layer(writer *w, int n) {
    const tn_node *node = &w->plan->graph->nodes[n];
    int axis;
    if (!tn_qplan_is_layer(w->plan->graph, node, &axis)) return TN_OK;
    int weights = node->in[1], bias = node->formal_in > 2 ? node->in[2] : -1;
    const tn_tensor *t = w->plan->graph->values[weights].constant;
    float in_scale = w->ranges[w->plan->like[node->in[0]]].scale, *biases = NULL;
    if (bias >= 0) {
        biases = tn_region_array(w->region, (size_t)t->dims[axis] + 1, sizeof *biases);
        if (!biases) return TN_E_MEMORY;
        memcpy(biases, w->plan->graph->values[bias].constant->data, (size_t)t->dims[axis] * sizeof *biases);
    }
    tn_qweights q;
    TN_TRY(tn_qweights_make(w->region, t, axis, w->options->per_tensor, w->options->reduce_range ? 64 : 127, in_scale,
                            biases, &q));
    struct written *before = &w->written[weights];
    bool same = before->out >= 0 && before->q.axis == axis &&
                memcmp(before->q.scale, q.scale, (size_t)q.scale_count * sizeof *q.scale) == 0;
    int out = same ? before->out : add_integers(w, n, weights, TN_INT8, t, q.q, axis, q.scale_count, q.scale);
    if (out < 0) return TN_E_MEMORY;
    *before = (struct written){out, q};
    w->graph->nodes[n].in[1] = out;
    return bias < 0 ? TN_OK : write_bias(w, n, bias, &q, in_scale);
}

static tn_status write_all(writer *w, int *out_value) {
    const tn_qplan *plan = w->plan;
    for (int v = 0; v < plan->value_count; v++) {
        out_value[v] = v;
        w->scale[v] = w->zero[v] = w->written[v].out = -1;
    }
    for (int v = 0; v < plan->value_count; v++)
        if (plan->byte[v]) {
            TN_TRY(write_value(w, v, &out_value[v]));
            redirect(w, v, out_value[v]);
        }
    for (int n = 0; n < plan->node_count; n++)
        if (plan->role[n] == TN_Q_LAYER) {
            tn_status status = write_layer(w, n);
            if (status != TN_OK) return tn_node_context(status, &plan->graph->nodes[n]);
        }
    tn_graph_compact(w->graph);
    TN_TRY(tn_graph_sort(w->graph));
    return tn_graph_infer(w->graph);
}

tn_status tn_qplan_write(const tn_qplan *plan, const tn_qrange *ranges, const tn_quantize_options *options,
                         tn_region *region, int *out_value, uint64_t *bytes, tn_graph **out_graph) {
    writer w = {.plan = plan,
                .ranges = ranges,
                .options = options,
                .region = region,
                .bytes = bytes,
                .quantize = tn_op_find("", "QuantizeLinear"),
                .dequantize = tn_op_find("", "DequantizeLinear"),
                .scale = tn_region_array(region, (size_t)plan->value_count + 1, sizeof *w.scale),
                .zero = tn_region_array(region, (size_t)plan->value_count + 1, sizeof *w.zero),
                .written = tn_region_array(region, (size_t)plan->value_count + 1, sizeof *w.written)};
    *out_graph = NULL;
    if (!w.scale || !w.zero || !w.written) return TN_E_MEMORY;
    if (!w.quantize || !w.dequantize)
        return tn_fail(TN_E_UNSUPPORTED, "this build has no QuantizeLinear and DequantizeLinear (TN_OPS)");
    TN_TRY(tn_graph_copy(plan->graph, true, &w.graph));
    tn_status status = write_all(&w, out_value);
    if (status == TN_OK)
        *out_graph = w.graph;
    else
        tn_graph_destroy(w.graph);
    return status;
}
