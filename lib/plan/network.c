/* Networks of plans: layers as nodes. First weights are drawn by the plan's seed, in the order of the layers, so that the
 * same plan begins with the same numbers on every machine. */
#include <math.h>
#include <stdio.h>
#include "base/random.h"
#include "plan/keys.h"
#include "plan/plan.h"

typedef struct builder {
    tn_graph *graph;
    uint64_t state; /* of the random numbers */
    int value;      /* what the next layer takes */
    char name[64];  /* of the layer */
    const tn_layer *layer;
    tn_status status; /* after a failure nothing is added */
} builder;

static const tn_type *type_of(const builder *b) {
    return &b->graph->values[b->value].type;
}

static int node(builder *b, const char *op, int count, const int *in, const tn_attribute *attributes) {
    int out = -1;
    char name[100];
    snprintf(name, sizeof name, "%s.%s", b->name, op);
    if (b->status == TN_OK) b->status = tn_graph_node(b->graph, op, name, count, in, 1, &out, attributes);
    return out;
}

/* `reach` NAN: He's or Glorot's, by what follows; else all elements are it. */
static int weights(builder *b, const char *part, int rank, const int64_t *dims, double fill) {
    char name[96];
    tn_tensor *tensor;
    int value = -1;
    if (b->status != TN_OK) return -1;
    b->status = tn_tensor_create(TN_FLOAT32, rank, dims, NULL, &tensor);
    if (b->status != TN_OK) return -1;
    double field = 1, in = 1, out;
    for (int i = 2; i < rank; i++) field *= (double)dims[i];
    if (rank > 1) in = field * (double)dims[1];
    out = field * (double)dims[0];
    int activation = b->layer ? b->layer->activation : 0; /* relu, leaky-relu, elu, gelu and silu come first */
    double reach = activation >= 1 && activation <= 5 ? sqrt(6 / in) : sqrt(6 / (in + out));
    float *data = tensor->data;
    for (int64_t i = 0; i < tn_count(tensor); i++)
        data[i] = (float)(isnan(fill) ? reach * (2 * tn_random_uniform(&b->state) - 1) : fill);
    snprintf(name, sizeof name, "%s.%s", b->name, part);
    b->status = tn_graph_constant(b->graph, name, tensor, &value);
    tn_tensor_destroy(tensor);
    return value;
}

static void activate(builder *b, int activation) {
    static const char *const ops[] = {"", "Relu", "LeakyRelu", "Elu", "Gelu", "Swish", "Tanh", "Sigmoid", "Softplus"};
    if (activation) b->value = node(b, ops[activation], 1, &b->value, NULL);
}

static void flatten(builder *b) {
    if (b->status == TN_OK && type_of(b)->rank != 2) b->value = node(b, "Flatten", 1, &b->value, NULL);
}

static void dense(builder *b, int64_t units) {
    const tn_attribute rows[] = {{.name = "transB", .kind = TN_ATTR_INT, .i = 1}, {0}};
    flatten(b);
    if (b->status != TN_OK) return;
    const int64_t dims[] = {units, type_of(b)->dims[1]};
    int in[] = {b->value, weights(b, "weight", 2, dims, NAN), weights(b, "bias", 1, dims, 0)};
    b->value = node(b, "Gemm", 3, in, rows);
}

/* Axes behind the channels; 0 and a sentence if there are none. */
static int axes_of(builder *b, const char *what) {
    int axes = type_of(b)->rank - 2;
    if (axes == 1 || axes == 2) return axes;
    b->status = tn_fail(TN_E_SHAPE,
                        "%s needs samples of [channels, length] or [channels, height, width], and gets %d "
                        "axes; 'shape' of the model says how a row is laid out",
                        what, axes + 1);
    return 0;
}

static void convolve(builder *b, int64_t channels, int64_t groups, const int64_t *kernel, const int64_t *stride,
                     const int64_t *dilation, bool same) {
    int axes = b->status == TN_OK ? axes_of(b, "a convolution") : 0;
    if (!axes) return;
    int64_t in_channels = type_of(b)->dims[1], dims[4] = {channels, in_channels / groups, kernel[0], kernel[1]},
            pads[4];
    if (in_channels % groups || channels % groups) {
        b->status = tn_fail(TN_E_SHAPE, "%lld groups divide neither %lld nor %lld channels evenly", (long long)groups,
                            (long long)in_channels, (long long)channels);
        return;
    }
    for (int i = 0; i < axes; i++) {
        int64_t total = same ? dilation[i] * (kernel[i] - 1) : 0;
        pads[i] = total / 2;
        pads[axes + i] = total - total / 2;
    }
    const tn_attribute attributes[] = {
        {.name = "pads", .kind = TN_ATTR_INTS, .count = 2 * (size_t)axes, .ints = pads},
        {.name = "strides", .kind = TN_ATTR_INTS, .count = (size_t)axes, .ints = stride},
        {.name = "dilations", .kind = TN_ATTR_INTS, .count = (size_t)axes, .ints = dilation},
        {.name = "group", .kind = TN_ATTR_INT, .i = groups},
        {0}};
    int in[] = {b->value, weights(b, "weight", 2 + axes, dims, NAN), weights(b, "bias", 1, dims, 0)};
    b->value = node(b, "Conv", 3, in, attributes);
}

static void pool(builder *b, const tn_layer *l) {
    int axes = axes_of(b, "a pool");
    if (!axes) return;
    if (l->word == TN_POOL_GLOBAL) {
        b->value = node(b, "GlobalAveragePool", 1, &b->value, NULL);
        return;
    }
    const tn_attribute attributes[] = {
        {.name = "kernel_shape", .kind = TN_ATTR_INTS, .count = (size_t)axes, .ints = l->kernel},
        {.name = "strides", .kind = TN_ATTR_INTS, .count = (size_t)axes, .ints = l->stride},
        {0}};
    b->value = node(b, l->word == TN_POOL_MAX ? "MaxPool" : "AveragePool", 1, &b->value, attributes);
}

static void normalise(builder *b, const tn_layer *l) {
    const tn_attribute first[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = 1}, {0}};
    bool batch = l->word == TN_NORM_BATCH;
    const tn_type type = *type_of(b);
    int rank = batch ? 1 : type.rank - 1;
    int in[] = {b->value, weights(b, "scale", rank, type.dims + 1, 1), weights(b, "bias", rank, type.dims + 1, 0), -1,
                -1};
    if (batch) {
        in[3] = weights(b, "mean", 1, type.dims + 1, 0);
        in[4] = weights(b, "variance", 1, type.dims + 1, 1);
    }
    b->value = node(b, batch ? "BatchNormalization" : "LayerNormalization", batch ? 5 : 3, in, batch ? NULL : first);
}

static int number(builder *b, tn_dtype dtype, double x) {
    int value = -1;
    tn_tensor *t = b->status == TN_OK ? tn_graph_tensor(b->graph, dtype, 0, NULL, NULL) : NULL;
    if (t && dtype == TN_FLOAT32) *(float *)t->data = (float)x;
    if (t) value = tn_graph_add_constant(b->graph, "", t);
    if (value < 0 && b->status == TN_OK) b->status = TN_E_MEMORY;
    return value;
}

/* The last row of the table is of codes that are none: -1. */
static void embed(builder *b, const tn_layer *l) {
    const tn_attribute whole[] = {{.name = "to", .kind = TN_ATTR_INT, .i = TN_INT64}, {0}};
    int codes = node(b, "Cast", 1, &b->value, whole);
    int table = weights(b, "table", 2, (int64_t[]){l->of + 1, l->size}, NAN);
    b->value = node(b, "Gather", 2, (int[]){table, codes}, NULL);
}

static void build(builder *b, const tn_layer *layers, int count, const char *prefix);

static bool same_shape(const tn_type *a, const tn_type *b) {
    if (a->rank != b->rank) return false;
    for (int i = 1; i < a->rank; i++)
        if (a->dims[i] != b->dims[i]) return false;
    return true;
}

/* Brings the value to the shape of another. */
static void project(builder *b, const tn_type *to) {
    const tn_type from = *type_of(b);
    int64_t one[2] = {1, 1}, stride[2] = {1, 1};
    if (to->rank == 2) {
        dense(b, to->dims[1]);
        return;
    }
    bool fits = from.rank == to->rank;
    for (int i = 0; fits && i < to->rank - 2; i++) {
        stride[i] = (from.dims[2 + i] + to->dims[2 + i] - 1) / to->dims[2 + i];
        fits = to->dims[2 + i] == (from.dims[2 + i] + stride[i] - 1) / stride[i];
    }
    if (!fits) {
        b->status = tn_fail(TN_E_SHAPE, "what the layers of a residual block give cannot be added to what they took: "
                                        "their lengths do not fit; padding: same keeps them");
        return;
    }
    convolve(b, to->dims[1], 1, one, stride, one, true);
}

static void residual(builder *b, const tn_layer *l) {
    char name[64];
    int before = b->value;
    snprintf(name, sizeof name, "%s", b->name);
    build(b, l->inside, l->count, name);
    if (b->status != TN_OK) return;
    snprintf(b->name, sizeof b->name, "%.40s.shortcut", name);
    b->layer = NULL;
    int inside = b->value;
    const tn_type type = *type_of(b);
    b->value = before;
    if (!same_shape(type_of(b), &type)) project(b, &type);
    b->value = node(b, "Add", 2, (int[]){inside, b->value}, NULL);
}

static void add_layer(builder *b, const tn_layer *l) {
    int ratio;
    switch (l->kind) {
    case TN_LAYER_DENSE: dense(b, l->size); break;
    case TN_LAYER_CONV: convolve(b, l->size, l->groups, l->kernel, l->stride, l->dilation, !l->valid); break;
    case TN_LAYER_NORM: normalise(b, l); break;
    case TN_LAYER_RESIDUAL: residual(b, l); break;
    case TN_LAYER_POOL: pool(b, l); break;
    case TN_LAYER_EMBEDDING: embed(b, l); break;
    case TN_LAYER_DROPOUT:
        ratio = number(b, TN_FLOAT32, l->part);
        b->value = node(b, "Dropout", 2, (int[]){b->value, ratio}, NULL);
        break;
    case TN_LAYER_ACTIVATION: break;
    }
    activate(b, l->activation);
}

static void build(builder *b, const tn_layer *layers, int count, const char *prefix) {
    for (int i = 0; i < count && b->status == TN_OK; i++) {
        snprintf(b->name, sizeof b->name, "%.40s%slayer%d", prefix, *prefix ? "." : "", i + 1);
        b->layer = &layers[i];
        add_layer(b, &layers[i]);
        if (b->status != TN_OK)
            tn_fail_context(b->status, "the plan's line %d, layer %d '%s'", layers[i].node->line, i + 1,
                            layers[i].node->key);
    }
}

/* Behind a model that is there, layers are called head.layer1 and so on; head2 if it has a head. */
static void choose_prefix(const tn_graph *g, char prefix[16]) {
    bool taken = true;
    for (int number = 1; taken && number < 1000; number++) {
        snprintf(prefix, 16, number > 1 ? "head%d" : "head", number);
        size_t n = strlen(prefix);
        taken = false;
        for (int v = 0; v < g->value_count && !taken; v++)
            taken = strncmp(g->values[v].name, prefix, n) == 0 && g->values[v].name[n] == '.';
    }
}

tn_status tn_plan_layers(const tn_plan *plan, tn_graph *graph, int value, int64_t outputs) {
    builder b = {.graph = graph, .value = value, .state = (uint64_t)plan->seed};
    char prefix[16] = "";
    if (plan->file) choose_prefix(graph, prefix);
    build(&b, plan->layers, plan->layer_count, prefix);
    snprintf(b.name, sizeof b.name, "%s%sanswer", prefix, *prefix ? "." : "");
    b.layer = NULL;
    dense(&b, outputs);
    return b.status == TN_OK ? tn_graph_output(graph, b.value, "scores") : b.status;
}

static tn_status from_layers(const tn_plan *plan, const tn_plan_data *data, tn_graph *g) {
    int64_t shape[4] = {0}, size = 1;
    int x;
    TN_TRY(tn_graph_input(g, "x", TN_FLOAT32, 2, (int64_t[]){tn_graph_symbol(g, "batch"), data->width}, &x));
    for (int i = 0; i < plan->rank; i++) size *= shape[1 + i] = plan->shape[i];
    if (plan->rank && size != data->width)
        return tn_key_fail(plan->shape_node, "'shape' has %lld elements, and a row has %lld numbers", (long long)size,
                           (long long)data->width);
    if (plan->rank > 1) { /* the first of it, 0, is the batch as it is */
        tn_tensor *dims = tn_graph_tensor(g, TN_INT64, 1, (int64_t[]){1 + plan->rank}, NULL);
        int to = dims ? tn_graph_add_constant(g, "shape", dims) : -1;
        if (to < 0) return TN_E_MEMORY;
        memcpy(dims->data, shape, (size_t)(1 + plan->rank) * sizeof *shape);
        TN_TRY(tn_graph_node(g, "Reshape", "shape", 2, (int[]){x, to}, 1, &x, NULL));
    }
    return tn_plan_layers(plan, g, x, data->outputs);
}

tn_status tn_plan_network(const tn_plan *plan, const tn_plan_data *data, tn_graph **out_graph) {
    tn_graph *g;
    *out_graph = NULL;
    if (plan->file) return tn_plan_base(plan, data, out_graph);
    TN_TRY(tn_graph_create(NULL, &g));
    tn_status status = from_layers(plan, data, g);
    if (status == TN_OK)
        *out_graph = g;
    else
        tn_graph_destroy(g);
    return status;
}
