/* The plan, carried out: a copy of the graph in which values are quantized and dequantized, weights and biases integers.
 *
 * A value that comes out of integers is read dequantized by all, since only then it is nowhere needed in float. One that
 * is float anyway is read dequantized by nodes on 8 bits alone. */
#include "compress/quantize.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include "passes/match.h"

typedef struct writer {
    const tn_qplan *plan;
    const tn_qrange *ranges;
    const tn_quantize_options *options;
    tn_region *region;
    tn_graph *graph;
    uint64_t *bytes; /* of each layer's weights and bias */
    bool trains;     /* weights are to be trained yet */
    const tn_op *quantize, *dequantize;
    int *scale; /* constants of a value's range; -1: not yet made */
    struct zero_point {
        tn_dtype dtype;
        int64_t count; /* 0: a scalar */
        int value, constant;
    } * zeros; /* each once, whoever reads it */
    size_t zero_count;
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

/* The same number in a scalar (count 0), or in a vector. *fresh (may be NULL): it was not there. */
static int add_zero_point(writer *w, tn_dtype dtype, int64_t count, int value, bool *fresh) {
    const struct zero_point *z = w->zeros, *end = z + w->zero_count;
    while (z < end && (z->dtype != dtype || z->count != count || z->value != value)) z++;
    if (fresh) *fresh = z == end;
    if (z < end) return z->constant;
    tn_tensor *t = tn_graph_tensor(w->graph, dtype, count > 0, &count, NULL);
    char name[64];
    if (count)
        snprintf(name, sizeof name, "zero_%s_x%lld", tn_dtype_name(dtype), (long long)count); /* a vector is of zeros */
    else
        snprintf(name, sizeof name, "zero_%s_%d", tn_dtype_name(dtype), value);
    const char *kept = tn_region_strdup(w->graph->region, name);
    if (!t || !kept) return -1;
    memset(t->data, value, tn_dtype_bytes(dtype, tn_count(t))); /* of more than a byte it is 0 */
    const int constant = tn_graph_add_constant(w->graph, kept, t);
    if (constant >= 0) w->zeros[w->zero_count++] = (struct zero_point){dtype, count, value, constant};
    return constant;
}

/* A node of one output, whose type is that of `like` with another dtype. */
static int add_node(writer *w, const tn_op *op, const char *name, int like, tn_dtype dtype, const int in[3]) {
    tn_type type = w->graph->values[like].type;
    type.dtype = dtype;
    int out = tn_graph_add_value(w->graph, name, &type);
    if (out < 0 || tn_graph_add_node(w->graph, op, "", in[2] < 0 ? 2 : 3, in, 1, &out) < 0) return -1;
    return out;
}

static tn_status write_value(writer *w, int v, int *out) {
    tn_dtype dtype = w->options->activations == TN_INT8 ? TN_INT8 : TN_UINT8;
    int root = w->plan->like[v];
    if (w->scale[root] < 0) {
        w->scale[root] = add_constant(w, named(w, root, "scale"), TN_FLOAT32, 0, NULL, &w->ranges[root].scale);
        if (w->scale[root] < 0) return TN_E_MEMORY;
    }
    int scale = w->scale[root], zero = add_zero_point(w, dtype, 0, (uint8_t)w->ranges[root].zero, NULL);
    if (zero < 0) return TN_E_MEMORY;
    int bytes = add_node(w, w->quantize, named(w, v, "q"), v, dtype, (int[]){v, scale, zero});
    if (bytes < 0) return TN_E_MEMORY;
    *out = add_node(w, w->dequantize, named(w, v, "dq"), v, TN_FLOAT32, (int[]){bytes, scale, zero});
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
    const int rank = scales == shape->dims[axis], no_zero = dtype == TN_INT32; /* which such have anyway */
    bool fresh = false;
    int value = add_constant(w, named(w, like, "q"), dtype, shape->rank, shape->dims, data);
    int in[3] = {value, add_constant(w, named(w, like, "scale"), TN_FLOAT32, rank, &scales, scale),
                 no_zero ? -1 : add_zero_point(w, dtype, rank ? scales : 0, 0, &fresh)};
    if (in[0] < 0 || in[1] < 0 || (in[2] < 0 && !no_zero)) return -1;
    w->bytes[n] += tn_dtype_bytes(dtype, tn_count(shape)) + (uint64_t)scales * 4;
    if (fresh) w->bytes[n] += tn_dtype_bytes(dtype, scales);
    int out = add_node(w, w->dequantize, named(w, like, "dq"), like, TN_FLOAT32, in);
    if (out < 0) return -1;
    tn_node *node = &w->graph->nodes[w->graph->node_count - 1];
    if (rank && tn_node_set_int(w->graph, node, "axis", axis) != TN_OK) return -1;
    return out;
}

static tn_status write_bias(writer *w, int n, int bias, const tn_qweights *q, float in_scale) {
    const tn_tensor *b = w->graph->values[bias].constant;
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

/* Weights and bias of node n, which are constants, as integers. */
static tn_status write_integers(writer *w, int n, int weights, int axis, bool per_tensor, int levels, float in_scale) {
    const tn_node *node = &w->graph->nodes[n];
    const int bias = node->formal_in > 2 ? node->in[2] : -1;
    const tn_tensor *t = w->graph->values[weights].constant;
    float *biases = NULL;
    if (bias >= 0) {
        biases = tn_region_array(w->region, (size_t)t->dims[axis] + 1, sizeof *biases);
        if (!biases) return TN_E_MEMORY;
        memcpy(biases, w->graph->values[bias].constant->data, (size_t)t->dims[axis] * sizeof *biases);
    }
    tn_qweights q;
    TN_TRY(tn_qweights_make(w->region, t, axis, per_tensor, levels, in_scale, biases, &q));
    struct written *before = &w->written[weights];
    bool same = before->out >= 0 && before->q.axis == axis &&
                memcmp(before->q.scale, q.scale, (size_t)q.scale_count * sizeof *q.scale) == 0;
    int out = same ? before->out : add_integers(w, n, weights, TN_INT8, t, q.q, axis, q.scale_count, q.scale);
    if (out < 0) return TN_E_MEMORY;
    *before = (struct written){out, q};
    w->graph->nodes[n].in[1] = out;
    return bias < 0 ? TN_OK : write_bias(w, n, bias, &q, in_scale);
}

/* Weights stay as they are, behind nodes that round them: scale = max |w| / levels, over all but the axis. */
static tn_status write_rounding(writer *w, int n, int weights, int axis) {
    static const char *const chain[] = {"Abs", "ReduceMax", "Div", "Max"};
    const tn_tensor *t = w->graph->values[weights].constant;
    const float levels = (float)tn_qlevels(w->options), least = FLT_MIN;
    const int64_t channels = t->dims[axis], others = t->rank - 1;
    const int rank = !w->options->per_tensor;
    int64_t axes[TN_MAX_RANK], count = 0;
    struct written *before = &w->written[weights];
    if (before->out >= 0 && before->q.axis == axis) {
        w->graph->nodes[n].in[1] = before->out;
        return TN_OK;
    }
    for (int i = 0; i < t->rank; i++)
        if (!rank || i != axis) axes[count++] = i;
    int8_t *none = tn_region_alloc(w->region, (size_t)channels + 1);
    if (!none) return TN_E_MEMORY;
    const int second[] = {-1, add_constant(w, "", TN_INT64, 1, &count, axes),
                          add_constant(w, "", TN_FLOAT32, 0, NULL, &levels),
                          add_constant(w, "", TN_FLOAT32, 0, NULL, &least)};
    const tn_attribute keep[] = {{.name = "keepdims", .kind = TN_ATTR_INT, .i = 0}, {0}};
    const tn_attribute along[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = rank && others ? axis : 0}, {0}};
    int in[3] = {weights, weights, add_constant(w, "", TN_INT8, rank, &channels, none)}, out;
    if (second[1] < 0 || second[2] < 0 || second[3] < 0 || in[2] < 0) return TN_E_MEMORY;
    for (int i = 0; i < 4; i++)
        TN_TRY(tn_graph_node(w->graph, chain[i], named(w, weights, "range"), i ? 2 : 1, (int[]){in[1], second[i]}, 1,
                             &in[1], i == 1 ? keep : NULL));
    TN_TRY(tn_graph_node(w->graph, "QuantizeLinear", named(w, weights, "q"), 3, in, 1, &out, along));
    TN_TRY(tn_graph_node(w->graph, "DequantizeLinear", named(w, weights, "dq"), 3, (int[]){out, in[1], in[2]}, 1, &out,
                         along));
    *before = (struct written){.out = out, .q.axis = axis};
    w->graph->nodes[n].in[1] = out;
    return TN_OK;
}

static tn_status write_layer(writer *w, int n) {
    const tn_node *node = &w->plan->graph->nodes[n];
    int axis;
    if (!tn_qplan_is_layer(w->plan->graph, node, &axis)) return TN_OK;
    if (w->trains) return write_rounding(w, n, node->in[1], axis);
    return write_integers(w, n, node->in[1], axis, w->options->per_tensor, tn_qlevels(w->options),
                          w->ranges[w->plan->like[node->in[0]]].scale);
}

static tn_status write_all(writer *w, int *out_value) {
    const tn_qplan *plan = w->plan;
    for (int v = 0; v < plan->value_count; v++) {
        out_value[v] = v;
        w->scale[v] = w->written[v].out = -1;
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

/* One for each value, and weights and bias of each node, at most. */
static struct zero_point *room_for_zeros(tn_region *region, int nodes, int values) {
    return tn_region_array(region, (size_t)values + 2 * (size_t)nodes + 1, sizeof(struct zero_point));
}

static tn_status write_plan(const tn_qplan *plan, const tn_qrange *ranges, const tn_quantize_options *options,
                            bool trains, tn_region *region, int *out_value, uint64_t *bytes, tn_graph **out_graph) {
    writer w = {.plan = plan,
                .trains = trains,
                .ranges = ranges,
                .options = options,
                .region = region,
                .bytes = bytes,
                .quantize = tn_op_find("", "QuantizeLinear"),
                .dequantize = tn_op_find("", "DequantizeLinear"),
                .scale = tn_region_array(region, (size_t)plan->value_count + 1, sizeof *w.scale),
                .zeros = room_for_zeros(region, plan->node_count, plan->value_count),
                .written = tn_region_array(region, (size_t)plan->value_count + 1, sizeof *w.written)};
    *out_graph = NULL;
    if (!w.scale || !w.zeros || !w.written) return TN_E_MEMORY;
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

tn_status tn_qplan_write(const tn_qplan *plan, const tn_qrange *ranges, const tn_quantize_options *options,
                         tn_region *region, int *out_value, uint64_t *bytes, tn_graph **out_graph) {
    return write_plan(plan, ranges, options, false, region, out_value, bytes, out_graph);
}

tn_status tn_qplan_write_trainable(const tn_qplan *plan, const tn_qrange *ranges, const tn_quantize_options *options,
                                   tn_region *region, tn_graph **out_graph) {
    int *out_value = tn_region_array(region, (size_t)plan->value_count + 1, sizeof *out_value);
    uint64_t *bytes = tn_region_array(region, (size_t)plan->node_count + 1, sizeof *bytes);
    if (!out_value || !bytes) return TN_E_MEMORY;
    return write_plan(plan, ranges, options, true, region, out_value, bytes, out_graph);
}

/* ---- what was trained ---- */

static const tn_node *from_op(const tn_graph *graph, int value, const char *op) {
    const int producer = value >= 0 ? graph->values[value].producer : -1;
    const tn_node *node = producer >= 0 ? &graph->nodes[producer] : NULL;
    return node && tn_match_is(node, "", op) ? node : NULL;
}

static const tn_tensor *constant_of(const tn_graph *graph, int value) {
    return value >= 0 ? graph->values[value].constant : NULL;
}

static bool is_float(const tn_tensor *t) {
    return t && t->dtype == TN_FLOAT32 && tn_count(t) > 0;
}

/* What write_rounding wrote for node n, whose weights are constants again. */
static tn_status finish_layer(writer *w, int n) {
    const tn_graph *graph = w->graph;
    const tn_node *node = &graph->nodes[n];
    if (node->in_count < 2) return TN_OK;
    const tn_node *given = from_op(graph, node->in[0], "DequantizeLinear"),
                  *rounded = from_op(graph, node->in[1], "DequantizeLinear"),
                  *from = rounded ? from_op(graph, rounded->in[0], "QuantizeLinear") : NULL,
                  *most = from ? from_op(graph, from->in[1], "Max") : NULL,
                  *over = most ? from_op(graph, most->in[0], "Div") : NULL;
    const tn_tensor *weights = from ? constant_of(graph, from->in[0]) : NULL,
                    *scale = given ? constant_of(graph, given->in[1]) : NULL,
                    *levels = over ? constant_of(graph, over->in[1]) : NULL;
    if (!is_float(weights) || !is_float(scale) || !is_float(levels)) return TN_OK;
    const bool per_tensor = graph->values[from->in[1]].type.rank == 0, conv = tn_match_is(node, "", "Conv");
    int axis = (int)tn_attr_int(from, "axis", 1);
    if (per_tensor) axis = conv || tn_attr_int(node, "transB", 0) ? 0 : weights->rank - 1;
    const int bias = node->formal_in > 2 ? node->in[2] : -1;
    const tn_tensor *biases = constant_of(graph, bias);
    if (axis < 0 || axis >= weights->rank || tn_count(scale) != 1) return TN_OK;
    if (bias >= 0 && (!is_float(biases) || tn_count(biases) != weights->dims[axis])) return TN_OK;
    return write_integers(w, n, from->in[0], axis, per_tensor, (int)*(const float *)levels->data,
                          *(const float *)scale->data);
}

static tn_status finish_all(writer *w) {
    const int count = w->graph->node_count;
    TN_TRY(tn_graph_sort(w->graph));
    TN_TRY(tn_graph_infer(w->graph));
    w->bytes = tn_region_array(w->region, (size_t)count + 1, sizeof *w->bytes);
    w->written = tn_region_array(w->region, (size_t)w->graph->value_count + 1, sizeof *w->written);
    w->zeros = room_for_zeros(w->region, count, w->graph->value_count);
    if (!w->bytes || !w->written || !w->zeros) return TN_E_MEMORY;
    for (int v = 0; v < w->graph->value_count; v++) w->written[v].out = -1;
    for (int n = 0; n < count; n++) {
        tn_status status = finish_layer(w, n);
        if (status != TN_OK) return tn_node_context(status, &w->graph->nodes[n]);
    }
    tn_graph_compact(w->graph);
    return tn_graph_sort(w->graph);
}

tn_status tn_quantize_trained(const tn_graph *graph, tn_graph **out_graph) {
    writer w = {.region = tn_region_create(NULL), .dequantize = tn_op_find("", "DequantizeLinear")};
    *out_graph = NULL;
    tn_status status = !w.region       ? TN_E_MEMORY
                       : !w.dequantize ? tn_fail(TN_E_UNSUPPORTED, "this build has no DequantizeLinear (TN_OPS)")
                                       : tn_graph_copy(graph, false, &w.graph);
    if (status == TN_OK) status = finish_all(&w);
    if (status == TN_OK) status = tn_quantize_finish(w.graph, out_graph);
    tn_graph_destroy(w.graph);
    tn_region_destroy(w.region);
    return status;
}
