/* Layers of plans over a length: recurrent ones, attention, transformer blocks. What they take and give has a sample's
 * channels first, [batch, channels, length], as convolutions have it. */
#include <math.h>
#include <stdio.h>
#include "plan/builder.h"

/* [batch, channels, length] is expected: true, or a sentence. */
static bool over_length(tn_builder *b, const char *what) {
    if (b->status != TN_OK) return false;
    if (tn_build_type(b)->rank == 3 && tn_build_type(b)->dims[1] > 0 && tn_build_type(b)->dims[2] > 0) return true;
    tn_build_fail(
        b, "%s needs samples of [channels, length], and gets %d axes; 'shape' of the model says how a row is laid out",
        what, tn_build_type(b)->rank - 1);
    return false;
}

/* ONNX's layers have the length first: X [length, batch, channels], Y [length, directions, batch, units]. */
void tn_build_recurrent(tn_builder *b, const tn_layer *l) {
    static const struct {
        const char *op, *what;
        int64_t gates;
    } kinds[] = {{"RNN", "an RNN", 1}, {"GRU", "a GRU", 3}, {"LSTM", "an LSTM", 4}};
    static const char *const directions[] = {"forward", "reverse", "bidirectional"};
    const int kind = l->kind - TN_LAYER_RNN;
    if (!over_length(b, kinds[kind].what)) return;
    const int64_t ways = l->word == TN_BIDIRECTIONAL ? 2 : 1, rows = kinds[kind].gates * l->size,
                  channels = tn_build_type(b)->dims[1];
    const double reach = 1 / sqrt((double)l->size);
    /* PyTorch's GRU resets after the product with the state. */
    const tn_attribute attributes[] = {{.name = "hidden_size", .kind = TN_ATTR_INT, .i = l->size},
                                       {.name = "direction", .kind = TN_ATTR_STRING, .s = directions[l->word]},
                                       {.name = "linear_before_reset", .kind = TN_ATTR_INT, .i = 1},
                                       {0}},
                       plain[] = {attributes[0], attributes[1], {0}};
    int x = tn_build_transpose(b, b->value, 3, (int64_t[]){2, 0, 1});
    int in[] = {x, tn_build_drawn(b, "weight", 3, (int64_t[]){ways, rows, channels}, reach),
                tn_build_drawn(b, "recurrence", 3, (int64_t[]){ways, rows, l->size}, reach),
                tn_build_filled(b, "bias", 2, (int64_t[]){ways, 2 * rows}, 0)},
        out[2];
    tn_build_nodes(b, kinds[kind].op, 4, in, 2, out, l->kind == TN_LAYER_GRU ? attributes : plain);
    if (l->all) {
        int y = tn_build_transpose(b, out[0], 4, (int64_t[]){2, 1, 3, 0});
        b->value = tn_build_reshape(b, y, 3, (int64_t[]){0, ways * l->size, -1});
    } else {
        int y = tn_build_transpose(b, out[1], 3, (int64_t[]){1, 0, 2});
        b->value = tn_build_reshape(b, y, 2, (int64_t[]){0, ways * l->size});
    }
}

/* x [batch, length, from] times weights, plus a bias: [batch, length, to]. */
static int linear(tn_builder *b, const char *part, int x, int64_t from, int64_t to, double reach) {
    char name[40];
    int product, bias;
    snprintf(name, sizeof name, "%s.weight", part);
    product = tn_build_node(b, "MatMul", 2, (int[]){x, tn_build_drawn(b, name, 2, (int64_t[]){from, to}, reach)}, NULL);
    snprintf(name, sizeof name, "%s.bias", part);
    bias = tn_build_filled(b, name, 1, &to, 0);
    return tn_build_node(b, "Add", 2, (int[]){product, bias}, NULL);
}

static double glorot(int64_t from, int64_t to) {
    return sqrt(6 / (double)(from + to));
}

/* softmax(q k / sqrt(width of a head)) v for each head (Vaswani et al., "Attention Is All You Need", 2017), on x of
 * [batch, length, channels]; the same shape. */
static int attend(tn_builder *b, int x, int64_t heads) {
    static const char *const parts[] = {"query", "key", "value"};
    static const int64_t by_head[] = {0, 2, 1, 3}, keys[] = {0, 2, 3, 1};
    const int64_t channels = b->graph->values[x].type.dims[2], width = channels / heads;
    const tn_attribute last[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = -1}, {0}};
    int part[3];
    for (int i = 0; i < 3; i++) {
        part[i] = linear(b, parts[i], x, channels, channels, glorot(channels, channels));
        part[i] = tn_build_reshape(b, part[i], 4, (int64_t[]){0, 0, heads, width});
        part[i] = tn_build_transpose(b, part[i], 4, i == 1 ? keys : by_head);
    }
    int scores = tn_build_node(b, "MatMul", 2, part, NULL), scale = tn_build_number(b, 1 / sqrt((double)width));
    scores = tn_build_node(b, "Mul", 2, (int[]){scores, scale}, NULL);
    scores = tn_build_node(b, "Softmax", 1, &scores, last);
    int seen = tn_build_node(b, "MatMul", 2, (int[]){scores, part[2]}, NULL);
    seen = tn_build_transpose(b, seen, 4, by_head);
    seen = tn_build_reshape(b, seen, 3, (int64_t[]){0, 0, channels});
    return linear(b, "output", seen, channels, channels, glorot(channels, channels));
}

static bool heads_fit(tn_builder *b, const tn_layer *l) {
    if (!over_length(b, "attention")) return false;
    if (tn_build_type(b)->dims[1] % l->size == 0) return true;
    tn_build_fail(b, "%lld heads do not divide %lld channels evenly", (long long)l->size,
                  (long long)tn_build_type(b)->dims[1]);
    return false;
}

static const int64_t swapped[] = {0, 2, 1};

void tn_build_attention(tn_builder *b, const tn_layer *l) {
    if (!heads_fit(b, l)) return;
    b->value = tn_build_transpose(b, attend(b, tn_build_transpose(b, b->value, 3, swapped), l->size), 3, swapped);
}

static int norm(tn_builder *b, const char *part, int x, int64_t channels) {
    char scale[32], bias[32];
    snprintf(scale, sizeof scale, "%s.scale", part);
    snprintf(bias, sizeof bias, "%s.bias", part);
    int in[] = {x, tn_build_filled(b, scale, 1, &channels, 1), tn_build_filled(b, bias, 1, &channels, 0)};
    return tn_build_node(b, "LayerNormalization", 3, in, NULL);
}

static int drop(tn_builder *b, int x, double part) {
    return part > 0 ? tn_build_node(b, "Dropout", 2, (int[]){x, tn_build_number(b, part)}, NULL) : x;
}

static int feed_forward(tn_builder *b, const tn_layer *l, int x, int64_t channels) {
    const int64_t inner = l->inner ? l->inner : 4 * channels;
    int y = linear(b, "inner", x, channels, inner, tn_build_reach(b, (double)channels, (double)inner));
    y = drop(b, tn_build_activation(b, y, l->activation), l->part);
    return linear(b, "outer", y, inner, channels, glorot(inner, channels));
}

/* norm: first adds attention and two dense layers, of what is normalised, to what comes in; norm: last normalises the sums
 * (as torch.nn.TransformerEncoderLayer has both). */
void tn_build_transformer(tn_builder *b, const tn_layer *l) {
    if (!heads_fit(b, l)) return;
    const int64_t channels = tn_build_type(b)->dims[1];
    const bool first = l->word == TN_NORM_FIRST;
    int x = tn_build_transpose(b, b->value, 3, swapped);
    for (int half = 0; half < 2; half++) {
        const char *part = half ? "norm2" : "norm1";
        int y = first ? norm(b, part, x, channels) : x;
        y = drop(b, half ? feed_forward(b, l, y, channels) : attend(b, y, l->size), l->part);
        x = tn_build_node(b, "Add", 2, (int[]){x, y}, NULL);
        if (!first) x = norm(b, part, x, channels);
    }
    b->value = tn_build_transpose(b, x, 3, swapped);
}

/* Attention does not know where in the length something stands, but by what is learnt and added here. */
void tn_build_position(tn_builder *b) {
    if (!over_length(b, "a position")) return;
    int table = tn_build_drawn(b, "table", 2, tn_build_type(b)->dims + 1, 0.1);
    b->value = tn_build_node(b, "Add", 2, (int[]){b->value, table}, NULL);
}
