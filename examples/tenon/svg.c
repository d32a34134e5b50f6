/* tenon inspect --svg: the graph drawn top to bottom, and beneath it the bodies of If, Loop and Scan, each under a line
 * that says whose it is. Constants are in the tooltips, not in the drawing. */
#include "layout.h"
#include "tool.h"
#include <stdlib.h>
#include <string.h>

enum { ROW = 64, BOX = 38, MARGIN = 24, GAP = 22, LEGEND = 34, CAPTION = 30, MOST_DRAWINGS = 64 };

static const struct {
    const char *name, *colour, *ops; /* ops between spaces */
} kinds[] = {
    {"convolution", "#9ec5f7",
     " Conv ConvTranspose ConvInteger QLinearConv FusedConv DeformConv NhwcConv QLinearConvTranspose "},
    {"product", "#b9b4f0",
     " MatMul Gemm MatMulInteger QLinearMatMul FusedMatMul FusedGemm QGemm MatMulNBits Einsum DynamicQuantizeMatMul "
     "MatMulIntegerToFloat Attention MultiHeadAttention ScaledAttention "},
    {"recurrent", "#f2a7c3", " LSTM GRU RNN DynamicQuantizeLSTM "},
    {"activation", "#a9dfb0",
     " Relu LeakyRelu PRelu Sigmoid HardSigmoid Tanh Elu Selu Celu Softplus Softsign HardSwish Gelu FastGelu Mish "
     "Swish "
     "Clip Softmax LogSoftmax Hardmax ThresholdedRelu QuickGelu BiasGelu Erf Exp Log Sqrt Shrink "},
    {"normalisation", "#9fdcd8",
     " BatchNormalization LayerNormalization InstanceNormalization GroupNormalization RMSNormalization LRN "
     "SkipLayerNormalization SimplifiedLayerNormalization LpNormalization MeanVarianceNormalization "},
    {"pool, reduce", "#f7cf9c",
     " MaxPool AveragePool GlobalAveragePool GlobalMaxPool LpPool GlobalLpPool ReduceMean ReduceSum ReduceMax "
     "ReduceMin "
     "ReduceProd ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSum ReduceLogSumExp ArgMax ArgMin TopK CumSum Resize "},
    {"arithmetic", "#f4f0a0",
     " Add Sub Mul Div Pow Min Max Sum Mean Neg Abs Equal Greater Less GreaterOrEqual LessOrEqual And Or Not Xor Where "
     "Floor Ceil Round Mod Sign Reciprocal Sin Cos BitShift "},
    {"quantize", "#e8c3a0",
     " QuantizeLinear DequantizeLinear DynamicQuantizeLinear Cast CastLike QLinearAdd QLinearMul QLinearSigmoid "
     "QLinearConcat QLinearGlobalAveragePool "},
    {"control", "#f0908c", " If Loop Scan SequenceMap "},
    {"data movement", "#d8dce2", NULL}, /* and all else */
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static const char *colour_of(const char *op) {
    char wanted[80];
    snprintf(wanted, sizeof wanted, " %.70s ", op);
    int k = 0;
    while (k < KINDS - 1 && !strstr(kinds[k].ops, wanted)) k++;
    return kinds[k].colour;
}

static void write_text(FILE *file, const char *text, size_t most) {
    for (size_t i = 0; text[i] && i < most; i++) {
        unsigned char c = (unsigned char)text[i];
        const char *entity = c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : c == '"' ? "&quot;" : NULL;
        if (entity)
            fputs(entity, file);
        else
            fputc(c >= 0x80 || (c < 0x20 && c != '\n') || c == 0x7f ? '?' : c, file);
    }
    if (strlen(text) > most) fputs("...", file);
}

/* Vertices: a graph's inputs, its nodes, its outputs. What a body takes from the graphs around it is an input here. */
typedef struct drawing {
    FILE *file;
    const tn_graph *graph;
    const costs *costs;
    int inputs, nodes, outputs;
    int own_inputs, *input_values;
    layout layout;
    double left, top; /* of its first row */
    char caption[200];
} drawing;

static void shape_text(const drawing *d, int value, char *text, size_t size) {
    const cost_shape *s = value >= 0 ? &d->costs->values[value] : NULL;
    if (!s || s->rank < 0) {
        snprintf(text, size, "?");
        return;
    }
    size_t n = (size_t)snprintf(text, size, "[");
    for (int i = 0; i < s->rank && n < size; i++)
        n += (size_t)snprintf(text + n, size - n, "%s%lld", i ? "," : "", (long long)s->dims[i]);
    if (n < size) snprintf(text + n, size - n, "]");
}

/* The two lines of a box. */
static void labels(const drawing *d, int v, char *upper, char *lower, size_t size) {
    tn_node_info node = {0};
    tn_value_info info = {0};
    int value = -1;
    if (v < d->inputs) {
        value = d->input_values[v];
    } else if (v < d->inputs + d->nodes) {
        tn_graph_node_info(d->graph, v - d->inputs, &node);
        if (node.out_count) value = node.out[0];
    } else {
        value = tn_graph_output_value(d->graph, v - d->inputs - d->nodes);
    }
    if (!node.op && value >= 0) tn_graph_value_info(d->graph, value, &info);
    snprintf(upper, size, "%.40s", node.op ? node.op : info.name ? info.name : "");
    shape_text(d, value, lower, size);
}

static void tooltip_value(const drawing *d, const char *arrow, int value) {
    char type[256], shape[256];
    tn_value_info info;
    if (value < 0 || tn_graph_value_info(d->graph, value, &info) != TN_OK) return;
    tn_graph_value_text(d->graph, value, type, sizeof type);
    shape_text(d, value, shape, sizeof shape);
    fprintf(d->file, "\n%s ", arrow);
    write_text(d->file, info.name ? info.name : "", 100);
    fputs(": ", d->file);
    write_text(d->file, type, 200);
    if (!info.constant && !strstr(type, shape)) fprintf(d->file, " = %s", shape);
    if (info.constant) fputs(" (constant)", d->file);
}

static void tooltip(const drawing *d, int v) {
    char attributes[1024];
    tn_node_info node;
    fputs("<title>", d->file);
    if (v < d->inputs) {
        fputs(v < d->own_inputs ? "input" : "from the graph around", d->file);
        tooltip_value(d, "", d->input_values[v]);
    } else if (v >= d->inputs + d->nodes) {
        fputs("output", d->file);
        tooltip_value(d, "", tn_graph_output_value(d->graph, v - d->inputs - d->nodes));
    } else if (tn_graph_node_info(d->graph, v - d->inputs, &node) == TN_OK) {
        write_text(d->file, node.op, 100);
        fputs(" ", d->file);
        write_text(d->file, node.name, 200);
        tn_graph_node_attributes(d->graph, v - d->inputs, attributes, sizeof attributes);
        fputs(attributes[0] ? "\n" : "", d->file);
        write_text(d->file, attributes, 1000);
        for (int i = 0; i < node.in_count && i < 16; i++) tooltip_value(d, "in", node.in[i]);
        for (int i = 0; i < node.out_count && i < 16; i++) tooltip_value(d, "out", node.out[i]);
        if (d->costs->multiplies[v - d->inputs] > 0)
            fprintf(d->file, "\n%.0f multiply-adds", d->costs->multiplies[v - d->inputs]);
    }
    fputs("</title>", d->file);
}

static void draw_box(const drawing *d, const vertex *v, int index) {
    char upper[64], lower[256];
    tn_node_info node;
    bool is_node = index >= d->inputs && index < d->inputs + d->nodes;
    const char *colour = "#ffffff";
    if (is_node && tn_graph_node_info(d->graph, index - d->inputs, &node) == TN_OK) colour = colour_of(node.op);
    labels(d, index, upper, lower, sizeof upper);
    double y = d->top + v->row * ROW;
    fprintf(d->file, "<g>");
    tooltip(d, index);
    fprintf(d->file, "<rect x='%.1f' y='%.1f' width='%.1f' height='%d' rx='%d' fill='%s'/>",
            d->left + v->x - v->width / 2, y, v->width, BOX, is_node ? 4 : BOX / 2, colour);
    fprintf(d->file, "<text x='%.1f' y='%.1f'>", d->left + v->x, y + 16);
    write_text(d->file, upper, sizeof upper);
    fprintf(d->file, "</text><text class='s' x='%.1f' y='%.1f'>", d->left + v->x, y + 31);
    write_text(d->file, lower, sizeof lower);
    fputs("</text></g>\n", d->file);
}

/* Curves leave and arrive upright; a point is passed without a bend. */
static void draw_edge(const drawing *d, const layout *l, const edge *e) {
    const vertex *a = &l->vertices[e->from], *b = &l->vertices[e->to];
    double top = d->top + a->row * ROW + (a->source < 0 ? BOX : BOX / 2);
    double bottom = d->top + b->row * ROW + (b->source < 0 ? 0 : BOX / 2);
    double middle = (top + bottom) / 2;
    fprintf(d->file, "<path d='M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f'%s/>\n", d->left + a->x, top, d->left + a->x,
            middle, d->left + b->x, middle, d->left + b->x, bottom, b->source < 0 ? " marker-end='url(#a)'" : "");
}

static double height_of(const drawing *d) {
    return (d->layout.rows ? d->layout.rows - 1 : 0) * ROW + BOX;
}

static void draw(FILE *file, drawing *list, int count) {
    double width = 1134, height = LEGEND + MARGIN; /* the legend */
    for (int i = 0; i < count; i++) {
        drawing *d = &list[i];
        if (d->layout.width + 2 * MARGIN > width) width = d->layout.width + 2 * MARGIN;
        d->file = file;
        d->top = height + (d->caption[0] ? CAPTION : 0);
        height = d->top + height_of(d) + MARGIN;
    }
    fprintf(file,
            "<svg xmlns='http://www.w3.org/2000/svg' width='%.0f' height='%.0f' viewBox='0 0 %.0f %.0f'>\n"
            "<style>text{font:12px sans-serif;text-anchor:middle;fill:#222}.s{font-size:9.5px;fill:#555}"
            "rect{stroke:#666}path{fill:none;stroke:#888}.l{text-anchor:start}.c{text-anchor:start;font-weight:bold}"
            "</style>\n"
            "<defs><marker id='a' viewBox='0 0 8 8' refX='8' refY='4' markerWidth='6' markerHeight='6' orient='auto'>"
            "<path d='M0 0L8 4L0 8z' style='fill:#888'/></marker></defs>\n"
            "<rect width='100%%' height='100%%' style='fill:#fff;stroke:none'/>\n",
            width, height, width, height);
    for (int k = 0; k < KINDS; k++)
        fprintf(file, "<rect x='%d' y='10' width='12' height='12' fill='%s'/><text class='l' x='%d' y='20'>%s</text>\n",
                MARGIN + k * 108, kinds[k].colour, MARGIN + k * 108 + 16, kinds[k].name);
    for (int i = 0; i < count; i++) {
        drawing *d = &list[i];
        const layout *l = &d->layout;
        d->left = (width - l->width) / 2;
        if (d->caption[0]) {
            double y = d->top - CAPTION + 2;
            fprintf(file, "<path d='M%d %.1fH%.1f'/><text class='c' x='%d' y='%.1f'>", MARGIN, y - 8, width - MARGIN,
                    MARGIN, y + 8);
            write_text(file, d->caption, sizeof d->caption);
            fputs("</text>\n", file);
        }
        for (int e = 0; e < l->edge_count; e++) draw_edge(d, l, &l->edges[e]);
        for (int v = 0; v < l->own_count; v++) draw_box(d, &l->vertices[v], v);
    }
    fputs("</svg>\n", file);
}

/* From the vertex that makes each value to the vertices that read it, in the order of the readers. */
static int find_edges(const drawing *d, edge *edges) {
    int count = 0, values = tn_graph_value_count(d->graph), *maker = tool_alloc((size_t)values, sizeof *maker);
    for (int v = 0; v < values; v++) maker[v] = -1;
    for (int i = 0; i < d->inputs; i++) maker[d->input_values[i]] = i;
    for (int n = 0; n < d->nodes; n++) {
        tn_node_info node;
        if (tn_graph_node_info(d->graph, n, &node) != TN_OK) continue;
        for (int i = 0; i < node.in_count; i++)
            if (node.in[i] >= 0 && maker[node.in[i]] >= 0) edges[count++] = (edge){maker[node.in[i]], d->inputs + n};
        for (int i = 0; i < node.out_count; i++)
            if (node.out[i] >= 0) maker[node.out[i]] = d->inputs + n;
    }
    for (int o = 0; o < d->outputs; o++) {
        int from = maker[tn_graph_output_value(d->graph, o)];
        if (from >= 0) edges[count++] = (edge){from, d->inputs + d->nodes + o};
    }
    free(maker);
    return count;
}

/* Values that nothing here makes and that are no constants come from around. */
static void find_inputs(drawing *d) {
    int values = tn_graph_value_count(d->graph);
    bool *made = tool_alloc((size_t)values, sizeof *made);
    d->input_values = tool_alloc((size_t)values, sizeof *d->input_values);
    for (; d->inputs < tn_graph_input_count(d->graph); d->inputs++)
        made[d->input_values[d->inputs] = tn_graph_input_value(d->graph, d->inputs)] = true;
    d->own_inputs = d->inputs;
    for (int n = 0; n < d->nodes; n++) {
        tn_node_info node;
        if (tn_graph_node_info(d->graph, n, &node) != TN_OK) continue;
        for (int i = 0; i < node.in_count; i++) {
            tn_value_info info;
            int v = node.in[i];
            if (v < 0 || made[v] || tn_graph_value_info(d->graph, v, &info) != TN_OK || info.constant) continue;
            d->input_values[d->inputs++] = v;
            made[v] = true;
        }
        for (int i = 0; i < node.out_count; i++)
            if (node.out[i] >= 0) made[node.out[i]] = true;
    }
    free(made);
}

static bool lay_out(drawing *d) {
    int vertices = d->inputs + d->nodes + d->outputs, most = d->outputs;
    for (int n = 0; n < d->nodes; n++) {
        tn_node_info node;
        if (tn_graph_node_info(d->graph, n, &node) == TN_OK) most += node.in_count;
    }
    edge *edges = tool_alloc((size_t)most, sizeof *edges);
    double *widths = tool_alloc((size_t)vertices, sizeof *widths);
    for (int v = 0; v < vertices; v++) {
        char upper[64], lower[64];
        labels(d, v, upper, lower, sizeof upper);
        double a = 7.4 * (double)strlen(upper), b = 5.4 * (double)strlen(lower);
        widths[v] = 18 + (a > b ? a : b);
    }
    bool good = layout_make(vertices, widths, find_edges(d, edges), edges, GAP, &d->layout);
    free(edges);
    free(widths);
    if (!good) complain("the graph is too large to draw");
    return good;
}

/* Lays out the graph and its bodies, as many as there is room for. */
static bool add_drawings(const costs *c, const char *caption, drawing *list, int *count) {
    const tn_graph *g = c->graph;
    drawing *d = &list[*count];
    *d = (drawing){.graph = g, .costs = c, .nodes = tn_graph_node_count(g), .outputs = tn_graph_output_count(g)};
    find_inputs(d);
    ++*count;
    snprintf(d->caption, sizeof d->caption, "%s", caption);
    if (!lay_out(d)) return false;
    for (int b = 0; b < c->body_count && *count < MOST_DRAWINGS; b++) {
        char inner[200];
        tn_node_info node = {.op = "", .name = ""};
        tn_graph_node_info(g, c->bodies[b].owner, &node);
        snprintf(inner, sizeof inner, "%s%s%s %.80s: %s", caption, *caption ? " / " : "", node.op, node.name,
                 c->bodies[b].name);
        if (!add_drawings(&c->bodies[b], inner, list, count)) return false;
    }
    return true;
}

bool svg_write(const costs *c, const char *path) {
    drawing *list = tool_alloc(MOST_DRAWINGS, sizeof *list);
    int count = 0;
    bool good = add_drawings(c, "", list, &count);
    FILE *file = good ? file_create(path) : NULL;
    if (file) draw(file, list, count);
    for (int i = 0; i < count; i++) {
        layout_free(&list[i].layout);
        free(list[i].input_values);
    }
    free(list);
    return file && file_commit(file, path);
}
