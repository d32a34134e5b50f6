/* A convolution with something linear per channel behind it or before it (BatchNormalization, Mul or Add of a constant):
 * folded into the convolution's weights and bias, in double. What is added before a convolution that pads stays, since the
 * padding has no part in it; but a factor in front of that is folded too, and the addend divided by it. */
#include "passes/match.h"
#include "passes/rows.h"
#include <math.h>

enum { LANES = 8 };

/* Weights may lie unaligned in the model file. */
static double number(const tn_tensor *t, int64_t i) {
    float x;
    memcpy(&x, (const char *)t->data + (size_t)i * sizeof x, sizeof x);
    return (double)x;
}

/* scale and shift of each of `channels` output channels; false if the node is not of that kind. */
static bool linear_of(tn_match *m, const tn_node *node, int from, int64_t channels, double *scale, double *shift) {
    const tn_graph *graph = m->graph;
    if (tn_match_is(node, "", "BatchNormalization")) {
        const tn_tensor *p[4];
        if (node->in[0] != from || tn_attr_int(node, "training_mode", 0)) return false;
        for (int i = 1; i < node->out_count; i++)
            if (node->out[i] >= 0) return false;
        for (int i = 0; i < 4; i++) {
            p[i] = tn_match_floats(graph, node->in[i + 1]);
            if (!p[i] || tn_count(p[i]) != channels) return false;
        }
        double epsilon = (double)tn_attr_float(node, "epsilon", 1e-5f);
        for (int64_t c = 0; c < channels; c++) {
            scale[c] = number(p[0], c) / sqrt(number(p[3], c) + epsilon);
            shift[c] = number(p[1], c) - number(p[2], c) * scale[c];
        }
        return true;
    }
    bool mul = tn_match_is(node, "", "Mul"), add = tn_match_is(node, "", "Add");
    if (!mul && !add) return false;
    const tn_type *type = tn_match_type(graph, from);
    const tn_tensor *k = tn_match_floats(graph, tn_match_other(node, from));
    if (!k || type->rank < 3 || k->rank > type->rank) return false;
    for (int i = 0; i < k->rank; i++) {
        int axis = i + type->rank - k->rank;
        if (k->dims[i] != 1 && !(axis == 1 && k->dims[i] == channels)) return false;
    }
    for (int64_t c = 0; c < channels; c++) {
        double value = number(k, tn_count(k) == 1 ? 0 : c);
        scale[c] = mul ? value : 1;
        shift[c] = mul ? 0 : value;
    }
    return true;
}

/* Weights that may lie unaligned, times a number; some at once, so that they become vectors. */
static void scale_run(float *to, const char *from, size_t n, double by) {
    float some[LANES];
    for (; n >= LANES; n -= LANES, to += LANES, from += sizeof some) {
        memcpy(some, from, sizeof some);
        for (int i = 0; i < LANES; i++) to[i] = (float)((double)some[i] * by);
    }
    memcpy(some, from, n * sizeof *some);
    for (size_t i = 0; i < n; i++) to[i] = (float)((double)some[i] * by);
}

/* New weights and bias; the layout of Conv is [M, C/group, ...], of ConvTranspose (one group) [C, M, ...]. */
static tn_status scale_weights(tn_graph *graph, tn_node *conv, bool transposed, int64_t channels, const double *scale,
                               const double *shift) {
    const tn_tensor *w = graph->values[conv->in[1]].constant;
    const tn_tensor *b = conv->formal_in > 2 && conv->in[2] >= 0 ? graph->values[conv->in[2]].constant : NULL;
    const size_t bytes = tn_dtype_bytes(TN_FLOAT32, tn_count(w));
    float *to = tn_region_take(graph->region, bytes);
    tn_tensor *weights = to ? tn_graph_tensor(graph, TN_FLOAT32, w->rank, w->dims, to) : NULL;
    tn_tensor *bias = tn_graph_tensor(graph, TN_FLOAT32, 1, &channels, NULL);
    if (!weights || !bias) return TN_E_MEMORY;
    int64_t outer = transposed ? w->dims[0] : 1, inner = channels ? tn_count(w) / (outer * channels) : 0;
    const char *from = w->data;
    float *to_bias = bias->data;
    for (int64_t o = 0; o < outer; o++)
        for (int64_t c = 0; c < channels; c++) {
            scale_run(to, from, (size_t)inner, scale[c]);
            to += inner;
            from += (size_t)inner * sizeof *to;
        }
    for (int64_t c = 0; c < channels; c++) to_bias[c] = (float)((b ? number(b, c) : 0) * scale[c] + shift[c]);
    int in[3] = {conv->in[0], tn_graph_add_constant(graph, graph->values[conv->in[1]].name, weights),
                 tn_graph_add_constant(graph, "", bias)};
    if (in[1] < 0 || in[2] < 0) return TN_E_MEMORY;
    return tn_node_set_inputs(graph, conv, 3, in);
}

/* Weights and bias that take x where the convolution took scale * x + shift, of its input channels. */
static tn_status scale_inputs(tn_graph *graph, tn_node *conv, int input, const double *scale, const double *shift) {
    const tn_tensor *w = graph->values[conv->in[1]].constant;
    const tn_tensor *b = conv->formal_in > 2 && conv->in[2] >= 0 ? graph->values[conv->in[2]].constant : NULL;
    float *to = tn_region_take(graph->region, tn_dtype_bytes(TN_FLOAT32, tn_count(w)));
    tn_tensor *weights = to ? tn_graph_tensor(graph, TN_FLOAT32, w->rank, w->dims, to) : NULL;
    tn_tensor *bias = tn_graph_tensor(graph, TN_FLOAT32, 1, w->dims, NULL);
    if (!weights || !bias) return TN_E_MEMORY;
    const int64_t outputs = w->dims[0], channels = w->dims[1], group = tn_attr_int(conv, "group", 1);
    const int64_t taps = tn_count(w) / (outputs * channels);
    const char *from = w->data;
    float *to_bias = bias->data;
    for (int64_t o = 0; o < outputs; o++) {
        const int64_t first = o / (outputs / group) * channels;
        double sum = b ? number(b, o) : 0;
        for (int64_t c = 0; c < channels; c++) {
            for (int64_t t = 0; t < taps; t++) sum += number(w, (o * channels + c) * taps + t) * shift[first + c];
            scale_run(to, from, (size_t)taps, scale[first + c]);
            to += taps;
            from += (size_t)taps * sizeof *to;
        }
        to_bias[o] = (float)sum;
    }
    int in[3] = {input, tn_graph_add_constant(graph, graph->values[conv->in[1]].name, weights),
                 tn_graph_add_constant(graph, "", bias)};
    if (in[1] < 0 || in[2] < 0) return TN_E_MEMORY;
    return tn_node_set_inputs(graph, conv, 3, in);
}

/* The node that makes `value` for its only reader, if it is linear in `channels` channels of *out_from. */
static tn_node *linear_before(tn_match *m, int value, int64_t channels, int *out_from, double *scale, double *shift) {
    const int p = value >= 0 && m->uses[value] == 1 ? m->graph->values[value].producer : -1;
    tn_node *node = p >= 0 && !m->graph->nodes[p].dead ? &m->graph->nodes[p] : NULL;
    for (int i = 0; node && i < TN_MIN(node->formal_in, 2); i++) {
        if (node->in[i] < 0 || m->graph->values[node->in[i]].constant) continue;
        const tn_type *type = tn_match_type(m->graph, node->in[i]);
        *out_from = node->in[i];
        if (type->rank < 3 || type->dtype != TN_FLOAT32 || type->dims[1] != channels) continue;
        if (linear_of(m, node, *out_from, channels, scale, shift)) return node;
    }
    return NULL;
}

/* x * factor + shift of the two nodes before a convolution becomes x + shift / factor. */
static tn_status divide_shift(tn_match *m, tn_node *add, int x, int rank, int64_t channels, const double *factor,
                              const double *shift, bool *out_done) {
    const int64_t dims[TN_MAX_RANK] = {channels, 1, 1, 1, 1, 1, 1};
    tn_tensor *quotient = tn_graph_tensor(m->graph, TN_FLOAT32, rank - 1, dims, NULL);
    if (!quotient) return TN_E_MEMORY;
    float *to = quotient->data;
    bool finite = true, same = true;
    for (int64_t c = 0; c < channels; c++) {
        to[c] = (float)(shift[c] / factor[c]);
        finite &= isfinite(to[c]) != 0;
        same &= to[c] == to[0];
    }
    *out_done = finite && channels > 0;
    if (!*out_done) return TN_OK;
    if (same) quotient = tn_graph_tensor(m->graph, TN_FLOAT32, 0, NULL, to);
    const int in[2] = {x, quotient ? tn_graph_add_constant(m->graph, "", quotient) : -1};
    return in[1] < 0 ? TN_E_MEMORY : tn_node_set_inputs(m->graph, add, 2, in);
}

static bool all_equal(int64_t n, const double *values, double value) {
    for (int64_t i = 0; i < n; i++)
        if (values[i] != value) return false;
    return true;
}

/* What is linear before a convolution whose weights and bias are constants. */
static tn_status match_before(tn_match *m, int n, int64_t outputs, int *changes) {
    tn_graph *graph = m->graph;
    tn_node *conv = &graph->nodes[n];
    const tn_tensor *w = graph->values[conv->in[1]].constant;
    const int64_t group = tn_attr_int(conv, "group", 1);
    int64_t channels;
    /* Channels are no more than weights, unless there are none. */
    if (tn_count(w) == 0 || group < 1 || outputs % group || __builtin_mul_overflow(w->dims[1], group, &channels))
        return TN_OK;
    double *numbers = tn_region_array(m->scratch, 4 * ((size_t)channels + 1), sizeof *numbers);
    if (!numbers) return TN_E_MEMORY;
    double *scale = numbers, *shift = scale + channels, *factor = shift + channels, *none = factor + channels;
    int from, x;
    tn_node *node;
    while ((node = linear_before(m, conv->in[0], channels, &from, scale, shift))) {
        const double *by = scale, *plus = shift;
        if (tn_match_padded(conv) && !all_equal(channels, shift, 0)) {
            tn_node *mul = all_equal(channels, scale, 1) ? linear_before(m, from, channels, &x, factor, none) : NULL;
            bool divided = false;
            if (!mul || !all_equal(channels, none, 0)) return TN_OK;
            TN_TRY(divide_shift(m, node, x, w->rank, channels, factor, shift, &divided));
            if (!divided) return TN_OK;
            from = conv->in[0]; /* the addition stays */
            node = mul;
            by = factor;
            plus = none;
        }
        TN_TRY(scale_inputs(graph, conv, from, by, plus));
        node->dead = true;
        ++*changes;
        TN_TRY(tn_match_recount(m));
    }
    return TN_OK;
}

static tn_status match_conv(tn_match *m, int n, int *changes) {
    tn_graph *graph = m->graph;
    for (;;) {
        tn_node *conv = &graph->nodes[n];
        bool transposed = tn_match_is(conv, "", "ConvTranspose");
        if (conv->dead || (!transposed && !tn_match_is(conv, "", "Conv"))) return TN_OK;
        if (transposed && tn_attr_int(conv, "group", 1) != 1) return TN_OK;
        const tn_tensor *w = tn_match_floats(graph, conv->in[1]);
        bool has_bias = conv->formal_in > 2 && conv->in[2] >= 0;
        if (!w || w->rank < 3 || (has_bias && !tn_match_floats(graph, conv->in[2]))) return TN_OK;
        int64_t channels = w->dims[transposed ? 1 : 0];
        tn_node *next = tn_match_reader(m, conv->out[0]);
        double *scale = next ? tn_region_array(m->scratch, (size_t)channels + 1, sizeof *scale) : NULL;
        double *shift = scale ? tn_region_array(m->scratch, (size_t)channels + 1, sizeof *shift) : NULL;
        if (next && !shift) return TN_E_MEMORY;
        if (has_bias && tn_count(graph->values[conv->in[2]].constant) != channels) return TN_OK;
        if (!next || !linear_of(m, next, conv->out[0], channels, scale, shift))
            return transposed ? TN_OK : match_before(m, n, channels, changes);
        TN_TRY(scale_weights(graph, conv, transposed, channels, scale, shift));
        next->dead = true;
        int out = next->out[0];
        conv->out[0] = out;
        graph->values[out].producer = n;
        ++*changes;
        TN_TRY(tn_match_recount(m));
    }
}

tn_status tn_pass_conv_scale(tn_graph *graph, int *changes) {
    return tn_match_each(graph, match_conv, changes);
}
