/* Networks of plans: layers as nodes. */
#include <math.h>
#include <stdio.h>
#include "plan/builder.h"
#include "data/keys.h"

static void activate(tn_builder *b, int activation) {
    b->value = tn_build_activation(b, b->value, activation);
}

static void flatten(tn_builder *b) {
    if (b->status == TN_OK && tn_build_type(b)->rank != 2) b->value = tn_build_node(b, "Flatten", 1, &b->value, NULL);
}

static void dense(tn_builder *b, int64_t units) {
    const tn_attribute rows[] = {{.name = "transB", .kind = TN_ATTR_INT, .i = 1}, {0}};
    flatten(b);
    if (b->status != TN_OK) return;
    const int64_t dims[] = {units, tn_build_type(b)->dims[1]};
    const double reach = tn_build_reach(b, (double)dims[1], (double)dims[0]);
    int in[] = {b->value, tn_build_drawn(b, "weight", 2, dims, reach), tn_build_filled(b, "bias", 1, dims, 0)};
    b->value = tn_build_node(b, "Gemm", 3, in, rows);
}

/* Axes behind the channels; 0 and a sentence if there are none. */
static int axes_of(tn_builder *b, const char *what) {
    int axes = tn_build_type(b)->rank - 2;
    if (axes == 1 || axes == 2) return axes;
    b->status = tn_fail(TN_E_SHAPE,
                        "%s needs samples of [channels, length] or [channels, height, width], and gets %d "
                        "axes; 'shape' of the model says how a row is laid out",
                        what, axes + 1);
    return 0;
}

static void convolve(tn_builder *b, int64_t channels, int64_t groups, const int64_t *kernel, const int64_t *stride,
                     const int64_t *dilation, bool same) {
    int axes = b->status == TN_OK ? axes_of(b, "a convolution") : 0;
    if (!axes) return;
    int64_t in_channels = tn_build_type(b)->dims[1], dims[4] = {channels, in_channels / groups, kernel[0], kernel[1]},
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
    double field = 1;
    for (int i = 0; i < axes; i++) field *= (double)kernel[i];
    const double reach = tn_build_reach(b, field * (double)dims[1], field * (double)channels);
    int in[] = {b->value, tn_build_drawn(b, "weight", 2 + axes, dims, reach), tn_build_filled(b, "bias", 1, dims, 0)};
    b->value = tn_build_node(b, "Conv", 3, in, attributes);
}

static void pool(tn_builder *b, const tn_layer *l) {
    int axes = axes_of(b, "a pool");
    if (!axes) return;
    if (l->word == TN_POOL_GLOBAL) {
        b->value = tn_build_node(b, "GlobalAveragePool", 1, &b->value, NULL);
        return;
    }
    const tn_attribute attributes[] = {
        {.name = "kernel_shape", .kind = TN_ATTR_INTS, .count = (size_t)axes, .ints = l->kernel},
        {.name = "strides", .kind = TN_ATTR_INTS, .count = (size_t)axes, .ints = l->stride},
        {0}};
    b->value = tn_build_node(b, l->word == TN_POOL_MAX ? "MaxPool" : "AveragePool", 1, &b->value, attributes);
}

static void normalise(tn_builder *b, const tn_layer *l) {
    static const char *const ops[] = {"BatchNormalization", "LayerNormalization", "GroupNormalization"};
    const tn_attribute first[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = 1}, {0}},
                       groups[] = {{.name = "num_groups", .kind = TN_ATTR_INT, .i = l->groups}, {0}};
    const tn_attribute *const attributes[] = {NULL, first, groups};
    const bool batch = l->word == TN_NORM_BATCH;
    const tn_type type = *tn_build_type(b);
    int rank = l->word == TN_NORM_LAYER ? type.rank - 1 : 1;
    if (l->word == TN_NORM_GROUP && type.dims[1] % l->groups != 0) {
        tn_build_fail(b, "%lld groups do not divide %lld channels evenly", (long long)l->groups,
                      (long long)type.dims[1]);
        return;
    }
    int in[] = {b->value, tn_build_filled(b, "scale", rank, type.dims + 1, 1),
                tn_build_filled(b, "bias", rank, type.dims + 1, 0), -1, -1};
    if (batch) {
        in[3] = tn_build_filled(b, "mean", 1, type.dims + 1, 0);
        in[4] = tn_build_filled(b, "variance", 1, type.dims + 1, 1);
    }
    b->value = tn_build_node(b, ops[l->word], batch ? 5 : 3, in, attributes[l->word]);
}

/* The last row of the table is of codes that are none: -1. */
static void embed(tn_builder *b, const tn_layer *l) {
    const tn_attribute whole[] = {{.name = "to", .kind = TN_ATTR_INT, .i = TN_INT64}, {0}};
    int codes = tn_build_node(b, "Cast", 1, &b->value, whole);
    const double reach = tn_build_reach(b, (double)l->size, (double)l->of + 1);
    int table = tn_build_drawn(b, "table", 2, (int64_t[]){l->of + 1, l->size}, reach);
    b->value = tn_build_node(b, "Gather", 2, (int[]){table, codes}, NULL);
}

static void build(tn_builder *b, const tn_layer *layers, int count, const char *prefix);

static bool same_shape(const tn_type *a, const tn_type *b) {
    if (a->rank != b->rank) return false;
    for (int i = 1; i < a->rank; i++)
        if (a->dims[i] != b->dims[i]) return false;
    return true;
}

/* Brings the value to the shape of another. */
static void project(tn_builder *b, const tn_type *to) {
    const tn_type from = *tn_build_type(b);
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

static void residual(tn_builder *b, const tn_layer *l) {
    char name[64];
    int before = b->value;
    snprintf(name, sizeof name, "%s", b->name);
    build(b, l->inside, l->count, name);
    if (b->status != TN_OK) return;
    snprintf(b->name, sizeof b->name, "%.40s.shortcut", name);
    b->layer = NULL;
    int inside = b->value;
    const tn_type type = *tn_build_type(b);
    b->value = before;
    if (!same_shape(tn_build_type(b), &type)) project(b, &type);
    b->value = tn_build_node(b, "Add", 2, (int[]){inside, b->value}, NULL);
}

/* Axes of a sample, counted from 1, in another order. */
static void transpose(tn_builder *b, const tn_layer *l) {
    const int rank = tn_build_type(b)->rank;
    int64_t perm[TN_MAX_RANK] = {0};
    for (int i = 0; i < l->count; i++) perm[1 + i] = l->order[i];
    if (rank - 1 != l->count)
        tn_build_fail(b, "the order is of %d axes, and a sample has %d", l->count, rank - 1);
    else
        b->value = tn_build_transpose(b, b->value, rank, perm);
}

/* Several lists of layers take the same; what they give stands side by side in the channels, or is added up. */
static void branch(tn_builder *b, const tn_layer *l) {
    const tn_attribute channels[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = 1}, {0}};
    char name[64];
    int before = b->value, out[TN_BRANCHES];
    snprintf(name, sizeof name, "%s", b->name);
    for (int i = 0; i < l->count; i++) {
        char own[64];
        snprintf(own, sizeof own, "%.40s.branch%d", name, i + 1);
        b->value = before;
        build(b, l->inside[i].inside, l->inside[i].count, own);
        out[i] = b->value;
        if (b->status != TN_OK) return;
        const tn_type *first = &b->graph->values[out[0]].type, *type = tn_build_type(b);
        bool fits = first->rank == type->rank;
        for (int k = 1; fits && k < type->rank; k++)
            fits = first->dims[k] == type->dims[k] || (k == 1 && l->word == TN_JOIN_CHANNELS);
        if (!fits) {
            tn_build_fail(b, "branch %d does not give the shape that branch 1 gives%s", i + 1,
                          l->word == TN_JOIN_CHANNELS ? ", the number of channels aside" : "");
            return;
        }
    }
    snprintf(b->name, sizeof b->name, "%s", name);
    b->value = l->word == TN_JOIN_CHANNELS ? tn_build_node(b, "Concat", l->count, out, channels)
                                           : tn_build_node(b, "Sum", l->count, out, NULL);
}

/* The middle of a variational autoencoder: means and logarithms of variances, of which the means go on; while it trains,
 * what goes on is drawn around them (TN_LOSS_ELBO). */
static void latent(tn_builder *b, const tn_layer *l) {
    char name[64];
    snprintf(name, sizeof name, "%s", b->name);
    flatten(b);
    if (b->means >= 0) {
        tn_build_fail(b, "there are two latent layers; one is what an ELBO is of");
        return;
    }
    int from = b->value;
    snprintf(b->name, sizeof b->name, "%.40s.log_variance", name);
    dense(b, l->size);
    b->log_variances = b->value;
    b->value = from;
    snprintf(b->name, sizeof b->name, "%.40s.mean", name);
    dense(b, l->size);
    b->means = b->value;
}

static void add_layer(tn_builder *b, const tn_layer *l) {
    int ratio;
    switch (l->kind) {
    case TN_LAYER_DENSE: dense(b, l->size); break;
    case TN_LAYER_CONV: convolve(b, l->size, l->groups, l->kernel, l->stride, l->dilation, !l->valid); break;
    case TN_LAYER_NORM: normalise(b, l); break;
    case TN_LAYER_RESIDUAL: residual(b, l); break;
    case TN_LAYER_POOL: pool(b, l); break;
    case TN_LAYER_EMBEDDING: embed(b, l); break;
    case TN_LAYER_DROPOUT:
        ratio = tn_build_number(b, l->part);
        b->value = tn_build_node(b, "Dropout", 2, (int[]){b->value, ratio}, NULL);
        break;
    case TN_LAYER_BRANCHES: branch(b, l); break;
    case TN_LAYER_LATENT: latent(b, l); break;
    case TN_LAYER_RNN:
    case TN_LAYER_GRU:
    case TN_LAYER_LSTM: tn_build_recurrent(b, l); break;
    case TN_LAYER_ATTENTION: tn_build_attention(b, l); break;
    case TN_LAYER_TRANSFORMER: tn_build_transformer(b, l); return; /* the activation is in it */
    case TN_LAYER_POSITION: tn_build_position(b); break;
    case TN_LAYER_TRANSPOSE: transpose(b, l); break;
    case TN_LAYER_ACTIVATION: break;
    }
    activate(b, l->activation);
}

static void build(tn_builder *b, const tn_layer *layers, int count, const char *prefix) {
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
    tn_builder b = {.graph = graph,
                    .value = value,
                    .state = (uint64_t)plan->seed,
                    .dtype = graph->values[value].type.dtype == TN_FLOAT64 ? TN_FLOAT64 : TN_FLOAT32,
                    .means = -1,
                    .log_variances = -1};
    char prefix[16] = "";
    if (plan->file) choose_prefix(graph, prefix);
    build(&b, plan->layers, plan->layer_count, prefix);
    snprintf(b.name, sizeof b.name, "%s%sanswer", prefix, *prefix ? "." : "");
    b.layer = NULL;
    const int64_t one[] = {1, 1};
    if (plan->sequences)
        convolve(&b, outputs, 1, one, one, one, true);
    else
        dense(&b, outputs);
    TN_TRY(b.status);
    if (plan->sequences && tn_build_type(&b)->rank != 3)
        return tn_key_fail(plan->model_node, "sequences are read off [channels, length], and the layers give %d axes",
                           tn_build_type(&b)->rank - 1);
    TN_TRY(tn_graph_output(graph, b.value, "scores"));
    if (b.means < 0) return TN_OK;
    TN_TRY(tn_graph_output(graph, b.means, "means"));
    return tn_graph_output(graph, b.log_variances, "log_variances");
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
