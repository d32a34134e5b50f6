/* The work in a model: multiply-adds of convolutions, matrix products, recurrences and attention, from the shapes that
 * a prepared session has. Elementwise work is not counted. */
#include "tool.h"
#include <stdlib.h>
#include <string.h>

static double elements(const cost_shape *s) {
    double count = 1;
    for (int i = 0; i < s->rank; i++) count *= (double)s->dims[i];
    return count;
}

typedef struct site {
    const cost_shape *in[8], *out; /* NULL: absent or unknown */
    const char *attributes;
} site;

/* Each output element is a sum over all of a filter. */
static double conv(const site *s, int weights) {
    if (!s->out || !s->in[weights] || s->in[weights]->rank < 1 || !s->in[weights]->dims[0]) return -1;
    return elements(s->out) * elements(s->in[weights]) / (double)s->in[weights]->dims[0];
}

static double conv_transposed(const site *s, int weights) {
    if (!s->in[0] || !s->in[weights] || s->in[weights]->rank < 1 || !s->in[weights]->dims[0]) return -1;
    return elements(s->in[0]) * elements(s->in[weights]) / (double)s->in[weights]->dims[0];
}

static double matmul(const site *s, int a) {
    if (!s->out || !s->in[a] || s->in[a]->rank < 1) return -1;
    int inner = s->in[a]->rank - 1 - (strstr(s->attributes, "transA=1") && s->in[a]->rank > 1);
    return elements(s->out) * (double)s->in[a]->dims[inner];
}

static double gemm(const site *s, int a) {
    if (!s->out || !s->in[a] || s->out->rank != 2 || !s->out->dims[0]) return -1;
    return elements(s->out) * elements(s->in[a]) / (double)s->out->dims[0];
}

/* At each step all gates take their weights on the input and on the state. */
static double recurrent(const site *s, int x) {
    if (!s->in[x] || !s->in[1] || !s->in[2] || s->in[x]->rank != 3) return -1;
    return (double)s->in[x]->dims[0] * (double)s->in[x]->dims[1] * (elements(s->in[1]) + elements(s->in[2]));
}

/* Scores and their product with the values: Q and the output, once for each key. */
static double attention(const site *s, int query) {
    if (!s->in[query] || !s->in[1] || !s->out || s->in[1]->rank < 2) return -1;
    return (double)s->in[1]->dims[s->in[1]->rank - 2] * (elements(s->in[query]) + elements(s->out));
}

/* com.microsoft Attention: the three projections are inside. */
static double attention_projected(const site *s, int x) {
    const cost_shape *in = s->in[x], *w = s->in[1];
    if (!in || !w || !s->out || in->rank != 3 || w->rank != 2) return -1;
    return elements(in) * (double)w->dims[1] + 2 * (double)in->dims[1] * elements(s->out);
}

/* The product of the sizes of all letters. */
static double einsum(const site *s, int first) {
    const char *equation = strstr(s->attributes, "equation=");
    int64_t sizes[256] = {0};
    double product = 1;
    if (!equation || strchr(equation, '.')) return -1;
    const char *p = equation + strlen("equation=");
    for (int k = first; k < 8 && *p && *p != '-'; k++) {
        int axis = 0;
        for (; *p && *p != ',' && *p != '-'; p++) {
            if (*p == ' ') continue;
            if (!s->in[k] || axis >= s->in[k]->rank) return -1;
            sizes[(unsigned char)*p] = s->in[k]->dims[axis++];
        }
        if (*p == ',') p++;
    }
    for (int c = 'A'; c <= 'z'; c++)
        if (sizes[c]) product *= (double)sizes[c];
    return product;
}

static const struct {
    const char *op;
    double (*cost)(const site *s, int operand);
    int operand;
} rules[] = {
    {"Conv", conv, 1},
    {"FusedConv", conv, 1},
    {"ConvInteger", conv, 1},
    {"QLinearConv", conv, 3},
    {"DeformConv", conv, 1},
    {"ConvTranspose", conv_transposed, 1},
    {"MatMul", matmul, 0},
    {"FusedMatMul", matmul, 0},
    {"MatMulInteger", matmul, 0},
    {"MatMulIntegerToFloat", matmul, 0},
    {"DynamicQuantizeMatMul", matmul, 0},
    {"MatMulNBits", matmul, 0},
    {"QLinearMatMul", matmul, 0},
    {"Gemm", gemm, 0},
    {"FusedGemm", gemm, 0},
    {"QGemm", gemm, 0},
    {"LSTM", recurrent, 0},
    {"GRU", recurrent, 0},
    {"RNN", recurrent, 0},
    {"DynamicQuantizeLSTM", recurrent, 0},
    {"Einsum", einsum, 0},
    {"MultiHeadAttention", attention, 0},
    {"ScaledAttention", attention, 0},
};

static double node_cost(const tn_node_info *node, const site *s) {
    if (strcmp(node->op, "Attention") == 0)
        return strcmp(node->domain, "com.microsoft") == 0 ? attention_projected(s, 0) : attention(s, 0);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (strcmp(rules[i].op, node->op) == 0) return rules[i].cost(s, rules[i].operand);
    return 0;
}

/* What the graph itself says, symbols by --dim. */
static cost_shape declared(const settings *s, const tn_value_info *info) {
    cost_shape shape = {.rank = info->constant ? tn_tensor_rank(info->constant) : info->rank};
    for (int i = 0; i < shape.rank; i++) {
        shape.dims[i] = info->constant ? tn_tensor_dims(info->constant)[i] : info->dims[i];
        if (shape.dims[i] >= 0) continue;
        bool known = info->symbols[i] != NULL;
        shape.dims[i] = 1;
        for (size_t k = 0; known && k < s->dims.count; k++) {
            size_t length = strlen(info->symbols[i]);
            const char *word = s->dims.items[k];
            if (strncmp(word, info->symbols[i], length) == 0 && word[length] == '=')
                shape.dims[i] = strtoll(word + length + 1, NULL, 10);
        }
        if (!known) return (cost_shape){.rank = -1};
    }
    return shape;
}

/* The shape in "float32[1,3]" or "[1,3]". */
static bool parse_shape(const char *text, cost_shape *out) {
    cost_shape shape = {0};
    const char *p = strchr(text, '[');
    if (!p) return false;
    for (p++; *p && *p != ']'; p += *p == ',') {
        char *end;
        if (shape.rank == TN_MAX_RANK) return false;
        shape.dims[shape.rank++] = strtoll(p, &end, 10);
        if (end == p) return false;
        p = end;
    }
    *out = shape;
    return *p == ']';
}

static void prepared_shapes(const host *h, const tn_graph *graph, cost_shape *values) {
    tn_profile_row row = {.struct_size = sizeof row};
    for (int i = 0; h->session && tn_session_profile(h->session, i, &row) == TN_OK; i++) {
        tn_node_info node;
        cost_shape shape;
        if (row.graph != graph || row.node < 0 || tn_graph_node_info(graph, row.node, &node) != TN_OK) continue;
        if (node.out_count && node.out[0] >= 0 && parse_shape(row.shape, &shape)) values[node.out[0]] = shape;
    }
}

static void input_shapes(const host *h, const tn_graph *graph, cost_shape *values) {
    for (int i = 0; i < tn_model_input_count(h->model) && (size_t)i < h->tensor_count; i++) {
        /* Each input that is one tensor has its tensor in order; sequences make the two lists differ. */
        int value = tn_graph_input_value(graph, i);
        if (h->tensor_count != (size_t)tn_model_input_count(h->model) || value < 0) continue;
        values[value].rank = tn_tensor_rank(h->tensors[i]);
        for (int d = 0; d < values[value].rank; d++) values[value].dims[d] = tn_tensor_dims(h->tensors[i])[d];
    }
}

/* What a body takes from the graph around it has the same name there. */
static void captured_shapes(const costs *outer, costs *body) {
    for (int v = 0; v < tn_graph_value_count(body->graph); v++) {
        tn_value_info here, there;
        if (body->values[v].rank >= 0 || tn_graph_value_info(body->graph, v, &here) != TN_OK || !*here.name) continue;
        for (int o = 0; o < tn_graph_value_count(outer->graph); o++) {
            if (outer->values[o].rank < 0 || tn_graph_value_info(outer->graph, o, &there) != TN_OK) continue;
            if (strcmp(here.name, there.name) != 0) continue;
            body->values[v] = outer->values[o];
            break;
        }
    }
}

static void count_graph(const host *h, const costs *outer, costs *out);

static void count_bodies(const host *h, int n, costs *out) {
    const char *name;
    const tn_graph *body;
    for (int b = 0; (body = tn_graph_node_body(out->graph, n, b, &name)); b++) {
        costs *grown = realloc(out->bodies, (size_t)(out->body_count + 1) * sizeof *grown);
        if (!grown) abort();
        out->bodies = grown;
        costs *inner = &out->bodies[out->body_count++];
        *inner = (costs){.graph = body, .owner = n, .name = name};
        count_graph(h, out, inner);
        out->total += inner->total;
        out->parameters += inner->parameters;
        out->parameter_bytes += inner->parameter_bytes;
        out->unknown += inner->unknown;
        out->inner_nodes += tn_graph_node_count(body) + inner->inner_nodes;
    }
}

static void count_graph(const host *h, const costs *outer, costs *out) {
    const tn_graph *graph = out->graph;
    int nodes = tn_graph_node_count(graph), values = tn_graph_value_count(graph);
    bool *used = tool_alloc((size_t)values, sizeof *used);
    out->values = tool_alloc((size_t)values, sizeof *out->values);
    out->multiplies = tool_alloc((size_t)nodes, sizeof *out->multiplies);
    for (int v = 0; v < values; v++) {
        tn_value_info info;
        out->values[v] = (cost_shape){.rank = -1};
        if (tn_graph_value_info(graph, v, &info) == TN_OK) out->values[v] = declared(h->settings, &info);
    }
    if (outer)
        captured_shapes(outer, out);
    else
        input_shapes(h, graph, out->values);
    prepared_shapes(h, graph, out->values);
    for (int n = 0; n < nodes; n++) {
        tn_node_info node;
        char attributes[512];
        site s = {.attributes = attributes};
        if (tn_graph_node_info(graph, n, &node) != TN_OK) continue;
        tn_graph_node_attributes(graph, n, attributes, sizeof attributes);
        for (int i = 0; i < node.in_count; i++) {
            if (node.in[i] < 0) continue;
            used[node.in[i]] = true;
            if (i < 8 && out->values[node.in[i]].rank >= 0) s.in[i] = &out->values[node.in[i]];
        }
        if (node.out_count && node.out[0] >= 0 && out->values[node.out[0]].rank >= 0) s.out = &out->values[node.out[0]];
        out->multiplies[n] = node_cost(&node, &s);
        if (out->multiplies[n] < 0)
            out->unknown++;
        else
            out->total += out->multiplies[n];
        count_bodies(h, n, out);
    }
    for (int v = 0; v < values; v++) {
        tn_value_info info;
        if (!used[v] || tn_graph_value_info(graph, v, &info) != TN_OK || !info.constant) continue;
        out->parameters += (double)tn_tensor_count(info.constant);
        out->parameter_bytes += (double)tn_tensor_bytes(info.constant);
    }
    free(used);
}

void costs_make(host *h, costs *out) {
    *out = (costs){.graph = tn_model_graph(h->model), .owner = -1};
    count_graph(h, NULL, out);
}

void costs_free(costs *c) {
    for (int b = 0; b < c->body_count; b++) costs_free(&c->bodies[b]);
    free(c->bodies);
    free(c->values);
    free(c->multiplies);
}
