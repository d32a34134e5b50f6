/* Gradients of recurrent layers. Each step's state is known from Y, so one product for all steps makes the gates anew; an
 * operator of its own walks back over the steps, and what is left are products for all steps again. Directions are done one
 * by one, with X as [T, N, I] and states as [D, N, H]. */
#include <strings.h>
#include "graph/op.h"
#include "train/gradient.h"

enum { X, W, R, B, LENGTHS, FIRST_H, FIRST_C, PEEPHOLE };

typedef struct layer {
    tn_grad *g;
    int gates, directions;
    bool lstm, gru, reset_last, batch_major;
    int64_t hidden;
    int x, x_rows, y;           /* [T, N, I], [T * N, I], [T, D, N, H] */
    int by_x;                   /* so far */
    int parts[PEEPHOLE + 1][2]; /* gradients of inputs by direction */
} layer;

static int transposed(layer *l, int a, const int64_t *perm, int rank) {
    return a < 0 || !l->batch_major ? a : tn_grad_transpose(l->g, a, rank, perm);
}
static int state_in_order(layer *l, int a) {
    return transposed(l, a, (const int64_t[]){1, 0, 2}, 3);
}

static int slice(tn_grad *g, int a, int64_t from, int64_t to, int64_t axis) {
    int in[] = {a, tn_grad_ints(g, 1, &from), tn_grad_ints(g, 1, &to), tn_grad_ints(g, 1, &axis)};
    return tn_grad_node(g, "Slice", 4, in, NULL);
}

/* Index d of an axis that counts the directions, without that axis. */
static int of_direction(layer *l, int a, int d, int64_t axis) {
    if (a < 0) return -1;
    if (l->directions > 1) a = slice(l->g, a, d, d + 1, axis);
    return tn_grad_2(l->g, "Squeeze", a, tn_grad_ints(l->g, 1, &axis));
}

static int gemm(tn_grad *g, int a, bool turn_a, int b, bool turn_b, int c) {
    tn_attribute attributes[] = {{"transA", TN_ATTR_INT, .i = turn_a}, {"transB", TN_ATTR_INT, .i = turn_b}, {0}};
    return tn_grad_node(g, "Gemm", c < 0 ? 2 : 3, (int[]){a, b, c}, attributes);
}

static int rows(tn_grad *g, int a, int64_t width) {
    return tn_grad_2(g, "Reshape", a, tn_grad_ints(g, 2, (int64_t[]){-1, width}));
}

/* The node's output, which is added to it where nobody asked for it. */
static int all_states(tn_grad *g) {
    tn_node *node = NULL;
    for (int i = 0; i < g->node.out_count && !node; i++)
        if (g->node.out[i] >= 0) node = &g->graph->nodes[g->graph->values[g->node.out[i]].producer];
    if (g->node.out[0] >= 0 || !node) return g->node.out[0];
    const tn_type *x = tn_grad_type(g, g->node.in[X]), *last = NULL;
    for (int i = 1; i < g->node.out_count; i++)
        if (g->node.out[i] >= 0) last = tn_grad_type(g, g->node.out[i]);
    int64_t dims[4] = {-1, -1, -1, -1};
    bool batch_major = tn_attr_int(&g->node, "layout", 0) != 0;
    for (int i = 0; i < 3 && last && last->rank == 3; i++) dims[batch_major ? i + (i > 0) : i + 1] = last->dims[i];
    if (x->rank == 3) dims[batch_major] = x->dims[batch_major];
    tn_type type;
    tn_type_tensor(&type, x->dtype, 4, dims);
    int value = tn_graph_add_value(g->graph, "", &type);
    if (value < 0) {
        g->status = TN_E_MEMORY;
        return -1;
    }
    g->graph->values[value].producer = (int)(node - g->graph->nodes);
    node->out[0] = value;
    return value;
}

/* The state before each step of a direction [T, N, H]. */
static int states_before(layer *l, int y, int d, bool reverse) {
    tn_grad *g = l->g;
    int first = state_in_order(l, tn_grad_in(g, FIRST_H));
    first = first < 0           ? tn_grad_zeros(g, slice(g, y, 0, 1, 0))
            : l->directions > 1 ? slice(g, first, d, d + 1, 0)
                                : first;
    int rest = reverse ? slice(g, y, 1, INT64_MAX, 0) : slice(g, y, 0, -1, 0);
    tn_attribute attributes[] = {{"axis", TN_ATTR_INT, .i = 0}, {0}};
    int in[] = {reverse ? rest : first, reverse ? first : rest};
    return tn_grad_shaped(g, tn_grad_node(g, "Concat", 2, in, attributes), y);
}

static int concat(tn_grad *g, int a, int b, int64_t axis) {
    tn_attribute attributes[] = {{"axis", TN_ATTR_INT, .i = axis}, {0}};
    return tn_grad_node(g, "Concat", 2, (int[]){a, b}, attributes);
}

typedef struct gate_values {
    int gates, products, reset; /* products: of the states with R; reset: r * h [T * N, H] */
    int seen;                   /* but of GRU: X and the states side by side [T * N, I + H] */
} gate_values;

/* Gates before their activations [T * N, G * H]. */
static gate_values make_gates(layer *l, int before, int w, int r, int b) {
    tn_grad *g = l->g;
    const int64_t n = l->hidden, width = l->gates * n;
    int of_w = b < 0 ? -1 : slice(g, b, 0, width, 0), of_r = b < 0 ? -1 : slice(g, b, width, 2 * width, 0);
    gate_values v = {-1, -1, -1, -1};
    if (l->gru && l->reset_last) {
        v.gates = gemm(g, l->x_rows, false, w, true, of_w);
        v.products = gemm(g, before, false, r, true, of_r);
        /* The hidden gate's product is scaled by the reset gate before it is added. */
        int seen = tn_grad_node(
            g, "Pad", 2, (int[]){slice(g, v.products, 0, 2 * n, 1), tn_grad_ints(g, 4, (int64_t[]){0, 0, 0, n})}, NULL);
        v.gates = tn_grad_2(g, "Add", v.gates, seen);
        return v;
    }
    int bias = b < 0 ? -1 : tn_grad_2(g, "Add", of_w, of_r);
    if (!l->gru) {
        v.seen = concat(g, l->x_rows, before, 1);
        v.gates = gemm(g, v.seen, false, concat(g, w, r, 1), true, bias);
        return v;
    }
    int from_x = gemm(g, l->x_rows, false, w, true, bias);
    int first = gemm(g, before, false, slice(g, r, 0, 2 * n, 0), true, slice(g, from_x, 0, 2 * n, 1));
    v.reset = tn_grad_2(g, "Mul", tn_grad_1(g, "Sigmoid", slice(g, first, n, 2 * n, 1)), before);
    int hidden = gemm(g, v.reset, false, slice(g, r, 2 * n, 3 * n, 0), true, slice(g, from_x, 2 * n, 3 * n, 1));
    v.gates = concat(g, first, hidden, 1);
    return v;
}

static int column_sums(tn_grad *g, int a) {
    tn_attribute attributes[] = {{"keepdims", TN_ATTR_INT, .i = 0}, {0}};
    int64_t axis = 0;
    return tn_grad_node(g, "ReduceSum", 2, (int[]){a, tn_grad_ints(g, 1, &axis)}, attributes);
}

/* By R: GRU's hidden gate saw the reset state. by_products: by what the states made with R. */
static int by_weights(layer *l, const gate_values *v, int before, int by_gates, int by_products) {
    tn_grad *g = l->g;
    const int64_t n = l->hidden;
    if (v->reset < 0) return gemm(g, by_products, true, before, false, -1);
    return concat(g, gemm(g, slice(g, by_gates, 0, 2 * n, 1), true, before, false, -1),
                  gemm(g, slice(g, by_gates, 2 * n, 3 * n, 1), true, v->reset, false, -1), 0);
}

static void direction(layer *l, int d) {
    tn_grad *g = l->g;
    const char *names[] = {"tenon:RNNGrad", "tenon:GRUGrad", "tenon:LSTMGrad"};
    bool reverse = d == 1 || strcmp(tn_attr_text(&g->node, "direction", "forward"), "reverse") == 0;
    int w = of_direction(l, g->node.in[W], d, 0), r = of_direction(l, g->node.in[R], d, 0);
    int b = of_direction(l, tn_grad_in(g, B), d, 0), y = of_direction(l, l->y, d, 1);
    int states = states_before(l, y, d, reverse), before = rows(g, states, l->hidden);
    gate_values v = make_gates(l, before, w, r, b);
    int in[7] = {v.gates, states, r, -1, -1, l->gru ? v.products : -1, -1}, out[3] = {-1, -1, -1};
    static const int64_t perm[] = {1, 2, 0, 3};
    in[3] = of_direction(l, transposed(l, g->out_grad[0], perm, 4), d, 1);
    if (g->node.out_count > 1) in[4] = of_direction(l, state_in_order(l, g->out_grad[1]), d, 0);
    if (l->lstm && g->node.out_count > 2) in[5] = of_direction(l, state_in_order(l, g->out_grad[2]), d, 0);
    if (l->lstm) in[6] = of_direction(l, state_in_order(l, tn_grad_in(g, FIRST_C)), d, 0);
    const tn_attr *activation = tn_node_attr(&g->node, "activations");
    bool relu = activation && activation->kind == TN_ATTR_STRINGS &&
                strcasecmp(activation->strings[(size_t)d % activation->count].data, "Relu") == 0;
    const tn_attribute attributes[] = {{"reverse", TN_ATTR_INT, .i = reverse},
                                       {"linear_before_reset", TN_ATTR_INT, .i = l->reset_last},
                                       {"activation", TN_ATTR_STRING, .s = relu ? "Relu" : "Tanh"},
                                       {0}};
    if (g->status != TN_OK) return;
    g->status = tn_graph_node(g->graph, names[l->lstm ? 2 : l->gru], "back",
                              l->lstm  ? 7
                              : l->gru ? 6
                                       : 5,
                              in, l->lstm || l->reset_last ? 3 : 2, out, attributes);
    int by_products = l->reset_last ? out[2] : out[0];
    if (g->wanted[X]) {
        int by_x = gemm(g, out[0], false, w, false, l->by_x);
        l->by_x = by_x;
    }
    if (v.seen >= 0 && g->wanted[W] && g->wanted[R]) {
        const int64_t inputs = tn_grad_type(g, g->node.in[X])->dims[2];
        int both = gemm(g, out[0], true, v.seen, false, -1);
        l->parts[W][d] = slice(g, both, 0, inputs, 1);
        l->parts[R][d] = slice(g, both, inputs, INT64_MAX, 1);
    } else {
        if (g->wanted[W]) l->parts[W][d] = gemm(g, out[0], true, l->x_rows, false, -1);
        if (g->wanted[R]) l->parts[R][d] = by_weights(l, &v, before, out[0], by_products);
    }
    if (tn_grad_wants(g, B)) {
        int sums = column_sums(g, out[0]);
        l->parts[B][d] = concat(g, sums, l->reset_last ? column_sums(g, by_products) : sums, 0);
    }
    l->parts[FIRST_H][d] = out[1];
    l->parts[FIRST_C][d] = l->lstm ? out[2] : -1;
}

static tn_status check(tn_grad *g, const layer *l) {
    static const char *const expected[3][3] = {{"Tanh"}, {"Sigmoid", "Tanh"}, {"Sigmoid", "Tanh", "Tanh"}};
    const tn_attr *names = tn_node_attr(&g->node, "activations");
    const size_t cell = l->lstm ? 2 : l->gru;
    for (size_t i = 0; names && names->kind == TN_ATTR_STRINGS && i < names->count; i++) {
        bool plain = strcasecmp(names->strings[i].data, expected[cell][i % (cell + 1)]) == 0;
        if (!plain && (cell || strcasecmp(names->strings[i].data, "Relu") != 0))
            return tn_grad_fail(g, "activation '%.40s' has no gradient here; expected %s", names->strings[i].data,
                                cell ? "Sigmoid for gates and Tanh" : "Tanh or Relu");
    }
    if (tn_grad_in(g, LENGTHS) >= 0) return tn_grad_fail(g, "sequences of several lengths (input 4) have no gradient");
    if (l->lstm && tn_grad_in(g, PEEPHOLE) >= 0) return tn_grad_fail(g, "peepholes (input 7) have no gradient");
    if (tn_attr_float(&g->node, "clip", 0) > 0) return tn_grad_fail(g, "with the attribute clip it has no gradient");
    if (tn_attr_int(&g->node, "input_forget", 0))
        return tn_grad_fail(g, "with the attribute input_forget it has no gradient");
    const tn_type *x = tn_grad_type(g, g->node.in[X]), *r = tn_grad_type(g, g->node.in[R]);
    if (x->rank != 3 || x->dims[2] < 0 || r->rank != 3 || r->dims[2] < 0)
        return tn_grad_fail(g, "the sizes of its input's last axis and of R must be known");
    return TN_OK;
}

/* Both directions' gradients as one, in the shape of the input. */
static int joined(layer *l, int in) {
    tn_grad *g = l->g;
    int all = l->directions > 1 ? concat(g, l->parts[in][0], l->parts[in][1], 0) : l->parts[in][0];
    int input = g->node.in[in];
    if (in < FIRST_H || !l->batch_major) return tn_grad_reshape(g, all, input);
    return tn_grad_shaped(g, state_in_order(l, tn_grad_reshape(g, all, state_in_order(l, input))), input);
}

static tn_status recurrent(tn_grad *g) {
    layer l = {.g = g, .by_x = -1};
    l.lstm = strcmp(g->node.op->name, "LSTM") == 0;
    l.gru = strcmp(g->node.op->name, "GRU") == 0;
    l.gates = l.lstm ? 4 : l.gru ? 3 : 1;
    l.batch_major = tn_attr_int(&g->node, "layout", 0) != 0;
    l.reset_last = l.gru && tn_attr_int(&g->node, "linear_before_reset", 0) != 0;
    l.directions = strcmp(tn_attr_text(&g->node, "direction", "forward"), "bidirectional") == 0 ? 2 : 1;
    TN_TRY(check(g, &l));
    l.hidden = tn_grad_type(g, g->node.in[R])->dims[2];
    const int64_t inputs = tn_grad_type(g, g->node.in[X])->dims[2];
    l.x = state_in_order(&l, g->node.in[X]);
    l.x_rows = rows(g, l.x, inputs);
    l.y = transposed(&l, all_states(g), (const int64_t[]){1, 2, 0, 3}, 4);
    for (int d = 0; d < l.directions; d++) direction(&l, d);
    if (g->wanted[X]) {
        int by_x = tn_grad_reshape(g, l.by_x, l.x);
        g->in_grad[X] = state_in_order(&l, by_x);
    }
    for (int in = W; in <= FIRST_C; in++)
        if (in != LENGTHS && tn_grad_wants(g, in)) g->in_grad[in] = joined(&l, in);
    return TN_OK;
}

const tn_gradient tn_gradients_recurrent[] = {
    {"", "LSTM", recurrent}, {"", "GRU", recurrent}, {"", "RNN", recurrent}, {0}};
