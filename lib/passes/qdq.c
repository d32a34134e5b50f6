/* Quantized models as exporters write them: float operators between DequantizeLinear and QuantizeLinear. Here they
 * become operators on 8-bit integers.
 *
 * qdq-unsigned   activations of int8 become uint8, whose zero points are 128 more: one kind for the kernels
 * qdq-move       what only moves elements, or picks the greatest, does so before they are dequantized
 * qdq            the operators in the table below, with their neighbours, become their kin on integers
 * qdq-float      products whose result is not quantized do so as well: qdq_float.c
 *
 * The result is what the float nodes would give but for the rounding of their sums, where those are not exact. */
#include "passes/qdq.h"
#include "ops/quant.h"
#include "passes/rows.h"
#include <math.h>

/* ---- values ---- */
static bool describe(const tn_graph *graph, const tn_node *node, tn_qdq *out) {
    const tn_tensor *scale = tn_match_floats(graph, node->in[1]);
    int zero = node->formal_in > 2 ? node->in[2] : -1;
    const tn_tensor *origin = zero >= 0 ? graph->values[zero].constant : NULL;
    if (!scale || tn_count(scale) < 1 || (zero >= 0 && (!origin || tn_count(origin) != tn_count(scale)))) return false;
    if (tn_attr_int(node, "block_size", 0) != 0) return false;
    *out = (tn_qdq){.scale = node->in[1], .zero = zero, .axis = tn_attr_int(node, "axis", 1)};
    out->one = tn_count(scale) == 1;
    out->real = *(const float *)scale->data;
    for (int64_t i = 0; i < tn_count(scale); i++) {
        float s = ((const float *)scale->data)[i];
        if (!(s > 0) || isinf(s)) return false;
    }
    if (origin && tn_is_byte(origin->dtype)) tn_quant_zeros(origin, 1, &out->origin);
    return true;
}

bool tn_qdq_from(const tn_match *m, int value, bool sums, tn_qdq *out) {
    const tn_graph *graph = m->graph;
    int p = value >= 0 ? graph->values[value].producer : -1;
    if (p < 0 || graph->nodes[p].dead) return false;
    const tn_node *node = &graph->nodes[p];
    if (strcmp(node->op->name, "DequantizeLinear") != 0 || tn_match_type(graph, value)->dtype != TN_FLOAT32)
        return false;
    tn_dtype dtype = tn_match_type(graph, node->in[0])->dtype;
    if (sums ? dtype != TN_INT32 : !tn_is_byte(dtype)) return false;
    if (!describe(graph, node, out)) return false;
    out->value = node->in[0];
    out->dtype = dtype;
    return true;
}

bool tn_qdq_to(const tn_match *m, const tn_node *node, tn_qdq *out) {
    const tn_graph *graph = m->graph;
    if (node->dead || strcmp(node->op->name, "QuantizeLinear") != 0) return false;
    tn_dtype dtype = tn_match_type(graph, node->out[0])->dtype;
    if (!tn_is_byte(dtype) || tn_match_type(graph, node->in[0])->dtype != TN_FLOAT32) return false;
    if (!describe(graph, node, out) || !out->one) return false;
    out->value = node->out[0];
    out->dtype = dtype;
    return true;
}

bool tn_qdq_same(const tn_qdq *a, const tn_qdq *b) {
    return a->one && b->one && a->dtype == b->dtype && a->real == b->real && a->origin == b->origin;
}

int tn_qdq_byte(tn_graph *graph, tn_dtype dtype, int32_t value) {
    tn_tensor *t = tn_graph_tensor(graph, dtype, 0, NULL, NULL);
    if (!t) return -1;
    *(uint8_t *)t->data = (uint8_t)value;
    return tn_graph_add_constant(graph, "", t);
}

int tn_qdq_float(tn_graph *graph, float value) {
    tn_tensor *t = tn_graph_tensor(graph, TN_FLOAT32, 0, NULL, NULL);
    if (!t) return -1;
    *(float *)t->data = value;
    return tn_graph_add_constant(graph, "", t);
}

bool tn_qdq_unsigned(tn_graph *graph, tn_qdq *q) {
    if (!q->one) return false;
    if (q->dtype == TN_UINT8) return true;
    const tn_tensor *given = graph->values[q->value].constant;
    tn_tensor *made = given ? tn_graph_tensor(graph, TN_UINT8, given->rank, given->dims, NULL) : NULL;
    if (!made) return false;
    for (int64_t i = 0; i < tn_count(given); i++) ((uint8_t *)made->data)[i] = ((const uint8_t *)given->data)[i] ^ 0x80;
    q->value = tn_graph_add_constant(graph, "", made);
    q->zero = tn_qdq_byte(graph, TN_UINT8, q->origin += 128);
    q->dtype = TN_UINT8;
    return q->value >= 0 && q->zero >= 0;
}

int tn_qdq_zero(tn_graph *graph, const tn_qdq *q) {
    return q->zero >= 0 ? q->zero : tn_qdq_byte(graph, q->dtype, 0);
}

int tn_qdq_value(tn_graph *graph, tn_dtype dtype, int like) {
    tn_type type = graph->values[like].type;
    type.dtype = dtype;
    return tn_graph_add_value(graph, "", &type);
}

/* ---- int8 to uint8 ---- */

/* Every reader of `value` is a DequantizeLinear of it with one scale. */
static bool only_dequantized(const tn_match *m, int value) {
    const tn_graph *graph = m->graph;
    int found = 0;
    for (int n = 0; n < graph->node_count; n++) {
        const tn_node *node = &graph->nodes[n];
        tn_qdq q;
        for (int i = 0; i < node->in_count && !node->dead; i++) {
            if (node->in[i] != value) continue;
            if (i != 0 || !tn_qdq_from(m, node->out[0], false, &q) || !q.one) return false;
            found++;
        }
    }
    return found == m->uses[value];
}

static tn_status set_zero(tn_match *m, tn_node *node, int zero) {
    return tn_node_set_inputs(m->graph, node, 3, (int[]){node->in[0], node->in[1], zero});
}

static tn_status match_signed(tn_match *m, int n, int *changes) {
    tn_graph *graph = m->graph;
    tn_qdq q;
    if (!tn_qdq_to(m, &graph->nodes[n], &q) || q.dtype != TN_INT8 || !only_dequantized(m, q.value)) return TN_OK;
    int zero = tn_qdq_byte(graph, TN_UINT8, q.origin + 128);
    if (zero < 0) return TN_E_MEMORY;
    TN_TRY(set_zero(m, &graph->nodes[n], zero));
    tn_node_drop_attr(&graph->nodes[n], "output_dtype");
    graph->values[q.value].type.dtype = TN_UINT8;
    for (int r = 0; r < graph->node_count; r++) {
        tn_node *reader = &graph->nodes[r];
        if (reader->dead || reader->in_count < 1 || reader->in[0] != q.value) continue;
        int32_t origin = 0;
        if (reader->formal_in > 2 && reader->in[2] >= 0)
            tn_quant_zeros(graph->values[reader->in[2]].constant, 1, &origin);
        zero = tn_qdq_byte(graph, TN_UINT8, origin + 128);
        if (zero < 0) return TN_E_MEMORY;
        TN_TRY(set_zero(m, reader, zero));
    }
    ++*changes;
    return tn_match_recount(m);
}

tn_status tn_pass_qdq_unsigned(tn_graph *graph, int *changes) {
    return tn_match_each(graph, match_signed, changes);
}

/* ---- moves ---- */

/* Operators whose output's elements are elements of input 0, unchanged, whatever they stand for. */
static bool moves(const tn_node *node) {
    static const char *const names[] = {"Reshape",      "Transpose",    "Flatten", "Squeeze", "Unsqueeze",
                                        "Slice",        "Gather",       "MaxPool", "Expand",  "Tile",
                                        "DepthToSpace", "SpaceToDepth", "Identity"};
    if (strcmp(node->op->domain, "") != 0 || node->out_count != 1) return false;
    for (size_t i = 0; i < TN_COUNT(names); i++)
        if (strcmp(node->op->name, names[i]) == 0) return true;
    return strcmp(node->op->name, "Resize") == 0 && strcmp(tn_attr_text(node, "mode", "nearest"), "nearest") == 0;
}

/* Where a Transpose brings the axis of the scales; -1 if the node is none. */
static int64_t axis_after(const tn_graph *graph, const tn_node *node, const tn_qdq *q) {
    size_t count;
    const int64_t *perm = tn_match_is(node, "", "Transpose") ? tn_attr_ints(node, "perm", &count) : NULL;
    int64_t axis = q->axis < 0 ? q->axis + tn_match_type(graph, q->value)->rank : q->axis;
    for (size_t i = 0; perm && i < count; i++)
        if (perm[i] == axis) return (int64_t)i;
    return -1;
}

/* DequantizeLinear, move: becomes move, DequantizeLinear. */
static tn_status match_move(tn_match *m, int n, int *changes) {
    tn_graph *graph = m->graph;
    tn_node node = graph->nodes[n];
    tn_qdq q;
    if (!moves(&node) || !tn_qdq_from(m, node.in[0], false, &q)) return TN_OK;
    int64_t axis = q.one ? 0 : axis_after(graph, &node, &q);
    if (axis < 0) return TN_OK;
    int out = node.out[0], moved = tn_qdq_value(graph, q.dtype, out);
    const tn_op *dequantize = tn_op_find("", "DequantizeLinear");
    if (moved < 0) return TN_E_MEMORY;
    if (!dequantize) return TN_OK;
    graph->nodes[n].in[0] = q.value;
    graph->nodes[n].out[0] = moved;
    TN_TRY(tn_graph_insert_node(graph, n + 1, dequantize, "", q.zero >= 0 ? 3 : 2, (int[]){moved, q.scale, q.zero}, 1,
                                &out));
    if (!q.one) TN_TRY(tn_node_set_int(graph, &graph->nodes[n + 1], "axis", axis));
    graph->values[moved].producer = n;
    graph->values[out].producer = n + 1;
    ++*changes;
    return tn_match_recount(m);
}

tn_status tn_pass_qdq_move(tn_graph *graph, int *changes) {
    return tn_match_each(graph, match_move, changes);
}

/* ---- operators ---- */
typedef struct fusion {
    tn_match *m;
    tn_node node;     /* the float operator, a copy */
    tn_qdq in[2], to; /* its first inputs, its output */
} fusion;

typedef struct replacement {
    const char *domain, *op;
    int count, in[64];
} replacement;

static void add_inputs(replacement *r, int count, const int *in) {
    for (int i = 0; i < count; i++) r->in[r->count++] = in[i];
}

/* Value, scale, zero point. */
static void add_quantized(replacement *r, tn_graph *graph, const tn_qdq *q) {
    add_inputs(r, 3, (int[]){q->value, q->scale, tn_qdq_zero(graph, q)});
}
static void add_target(replacement *r, tn_graph *graph, const tn_qdq *q) {
    add_inputs(r, 2, (int[]){q->scale, tn_qdq_zero(graph, q)});
}

bool tn_qdq_along(const tn_graph *graph, const tn_qdq *q, int64_t axis) {
    const tn_type *type = tn_match_type(graph, q->value);
    if (q->one) return true;
    return type->rank > axis && (q->axis < 0 ? q->axis + type->rank : q->axis) == axis;
}

bool tn_qdq_bias(const tn_match *m, const tn_qdq in[2], int bias, int64_t count, int *out) {
    tn_graph *graph = m->graph;
    *out = -1;
    if (bias < 0) return true;
    tn_qdq q = {0};
    const tn_tensor *given = graph->values[bias].constant, *scales = graph->values[in[1].scale].constant;
    bool whole = tn_qdq_from(m, bias, true, &q);
    if (whole) given = graph->values[q.value].constant;
    if (!given || (!whole && given->dtype != TN_FLOAT32) || given->rank != 1 || tn_count(given) != count) return false;
    tn_tensor *made = tn_graph_tensor(graph, TN_INT32, 1, &count, NULL);
    if (!made) return false;
    for (int64_t i = 0; i < count; i++) {
        double unit = (double)in[0].real * (double)((const float *)scales->data)[in[1].one ? 0 : i];
        double real = whole ? (double)((const int32_t *)given->data)[i] : (double)((const float *)given->data)[i];
        if (whole) {
            const tn_tensor *of = graph->values[q.scale].constant;
            double is = (double)((const float *)of->data)[q.one ? 0 : i];
            if (fabs(is - unit) > 1e-5 * unit) real *= is / unit; /* else they are the integers that are wanted */
        } else {
            real /= unit;
        }
        if (!(fabs(real) < 0x1p30)) return false;
        ((int32_t *)made->data)[i] = (int32_t)rint(real);
    }
    *out = tn_graph_add_constant(graph, "", made);
    return *out >= 0;
}

static bool fuse_conv(fusion *f, replacement *r) {
    tn_graph *graph = f->m->graph;
    const tn_tensor *w = graph->values[f->in[1].value].constant;
    int bias = -1;
    if (!w || !f->in[0].one || !tn_qdq_along(graph, &f->in[1], 0)) return false;
    if (!tn_qdq_bias(f->m, f->in, f->node.formal_in > 2 ? f->node.in[2] : -1, w->dims[0], &bias)) return false;
    *r = (replacement){.domain = "", .op = "QLinearConv"};
    add_quantized(r, graph, &f->in[0]);
    add_quantized(r, graph, &f->in[1]);
    add_target(r, graph, &f->to);
    if (bias >= 0) add_inputs(r, 1, &bias);
    return true;
}

static bool fuse_matmul(fusion *f, replacement *r) {
    tn_graph *graph = f->m->graph;
    const tn_type *a = tn_match_type(graph, f->in[0].value), *b = tn_match_type(graph, f->in[1].value);
    if (!f->in[0].one || a->rank < 2 || b->rank < 2 || !tn_qdq_along(graph, &f->in[1], b->rank - 1)) return false;
    if (!f->in[1].one && b->rank != 2) return false;
    *r = (replacement){.domain = "", .op = "QLinearMatMul"};
    add_quantized(r, graph, &f->in[0]);
    add_quantized(r, graph, &f->in[1]);
    add_target(r, graph, &f->to);
    return true;
}

static bool fuse_gemm(fusion *f, replacement *r) {
    tn_graph *graph = f->m->graph;
    const tn_type *b = tn_match_type(graph, f->in[1].value);
    int columns = tn_attr_int(&f->node, "transB", 0) ? 0 : 1, bias = -1;
    if (tn_attr_float(&f->node, "alpha", 1) != 1 || tn_attr_float(&f->node, "beta", 1) != 1) return false;
    if (!f->in[0].one || b->rank != 2 || b->dims[columns] < 0 || !tn_qdq_along(graph, &f->in[1], columns)) return false;
    if (!tn_qdq_bias(f->m, f->in, f->node.formal_in > 2 ? f->node.in[2] : -1, b->dims[columns], &bias)) return false;
    *r = (replacement){.domain = "com.microsoft", .op = "QGemm"};
    add_quantized(r, graph, &f->in[0]);
    add_quantized(r, graph, &f->in[1]);
    add_inputs(r, 1, &bias);
    add_target(r, graph, &f->to);
    return true;
}

static bool fuse_binary(fusion *f, replacement *r) {
    tn_graph *graph = f->m->graph;
    if (f->to.dtype != TN_UINT8 || !tn_qdq_unsigned(graph, &f->in[0]) || !tn_qdq_unsigned(graph, &f->in[1]))
        return false;
    *r = (replacement){.domain = "com.microsoft", .op = tn_match_is(&f->node, "", "Add") ? "QLinearAdd" : "QLinearMul"};
    add_quantized(r, graph, &f->in[0]);
    add_quantized(r, graph, &f->in[1]);
    add_target(r, graph, &f->to);
    return true;
}

/* One input and no attribute that its kin does not have: (X, scale, zero, scale, zero). */
static bool fuse_unary(fusion *f, replacement *r) {
    static const char *const kin[][2] = {{"GlobalAveragePool", "QLinearGlobalAveragePool"},
                                         {"AveragePool", "QLinearAveragePool"},
                                         {"Softmax", "QLinearSoftmax"}};
    tn_graph *graph = f->m->graph;
    if (!f->in[0].one || f->in[0].dtype != f->to.dtype || tn_match_type(graph, f->in[0].value)->rank < 1) return false;
    *r = (replacement){.domain = "com.microsoft"};
    for (size_t i = 0; i < TN_COUNT(kin); i++)
        if (strcmp(f->node.op->name, kin[i][0]) == 0) r->op = kin[i][1];
    add_quantized(r, graph, &f->in[0]);
    add_target(r, graph, &f->to);
    return true;
}

static bool fuse_concat(fusion *f, replacement *r) {
    tn_graph *graph = f->m->graph;
    bool same = true;
    tn_qdq part;
    if (f->node.formal_in > 20) return false;
    *r = (replacement){.domain = "com.microsoft", .op = "QLinearConcat"};
    add_target(r, graph, &f->to);
    for (int i = 0; i < f->node.formal_in; i++) {
        if (!tn_qdq_from(f->m, f->node.in[i], false, &part) || !part.one || part.dtype != f->to.dtype) return false;
        same = same && tn_qdq_same(&part, &f->to);
        add_quantized(r, graph, &part);
    }
    if (!same) return true;
    *r = (replacement){.domain = "", .op = "Concat"};
    for (int i = 0; i < f->node.formal_in; i++) {
        tn_qdq_from(f->m, f->node.in[i], false, &part);
        add_inputs(r, 1, &part.value);
    }
    return true;
}

static const struct {
    const char *op;
    int in; /* inputs that must be dequantized ones */
    bool (*fuse)(fusion *f, replacement *r);
} rows[] = {
    {"Conv", 2, fuse_conv},         {"MatMul", 2, fuse_matmul}, {"Gemm", 2, fuse_gemm},
    {"Add", 2, fuse_binary},        {"Mul", 2, fuse_binary},    {"GlobalAveragePool", 1, fuse_unary},
    {"AveragePool", 1, fuse_unary}, {"Softmax", 1, fuse_unary}, {"Concat", 1, fuse_concat},
};

/* Relu or Clip between the operator and QuantizeLinear: how far it narrows what the 8 bits can hold. */
static bool clamp_of(const tn_graph *graph, const tn_node *node, const tn_qdq *to, int32_t *low, int32_t *high) {
    float least = 0, greatest = INFINITY;
    if (tn_match_is(node, "", "Clip")) {
        least = -INFINITY;
        if (node->formal_in > 1 && node->in[1] >= 0 && !tn_match_scalar(graph, node->in[1], &least)) return false;
        if (node->formal_in > 2 && node->in[2] >= 0 && !tn_match_scalar(graph, node->in[2], &greatest)) return false;
        if (!(least <= greatest)) return false;
    } else if (!tn_match_is(node, "", "Relu")) {
        return false;
    }
    int32_t floor = 0, ceiling = 0;
    tn_quant_limits(to->dtype, &floor, &ceiling);
    float from = rintf(least / to->real) + (float)to->origin, until = rintf(greatest / to->real) + (float)to->origin;
    *low = from > (float)floor ? from < (float)ceiling ? (int32_t)from : ceiling : floor;
    *high = until < (float)ceiling ? until > (float)floor ? (int32_t)until : floor : ceiling;
    return true;
}

static tn_status replace(fusion *f, int at, const replacement *r, int clamped, int32_t low, int32_t high,
                         int *changes) {
    tn_graph *graph = f->m->graph;
    const tn_op *op = tn_op_find(r->domain, r->op), *look = tn_op_find("tenon", "QTable");
    int32_t floor = 0, ceiling = 0;
    tn_quant_limits(f->to.dtype, &floor, &ceiling);
    bool narrows = clamped && (low > floor || high < ceiling);
    if (!op || (narrows && !look)) return TN_OK;
    for (int i = 0; i < r->count; i++)
        if (r->in[i] < 0 && strcmp(r->op, "QGemm") != 0) return TN_E_MEMORY;
    int out = f->to.value, made = narrows ? tn_qdq_value(graph, f->to.dtype, out) : out;
    if (made < 0) return TN_E_MEMORY;
    if (narrows) {
        int64_t count = 256;
        tn_tensor *table = tn_graph_tensor(graph, f->to.dtype, 1, &count, NULL);
        int constant = table ? tn_graph_add_constant(graph, "", table) : -1;
        if (constant < 0) return TN_E_MEMORY;
        for (int i = 0; i < 256; i++) {
            int32_t v = f->to.dtype == TN_INT8 ? (int8_t)i : i;
            ((uint8_t *)table->data)[i] = (uint8_t)TN_MIN(TN_MAX(v, low), high);
        }
        if (tn_match_replace(f->m, at, look, "", 2, (int[]){made, constant}, 1, &out) < 0) return TN_E_MEMORY;
    }
    at = tn_match_replace(f->m, at, op, f->node.name, r->count, r->in, 1, &made);
    if (at < 0) return TN_E_MEMORY;
    for (int a = 0; a < f->node.attr_count; a++) TN_TRY(tn_node_set_attr(graph, &graph->nodes[at], &f->node.attrs[a]));
    ++*changes;
    return tn_match_recount(f->m);
}

static tn_status match_quantize(tn_match *m, int n, int *changes) {
    tn_graph *graph = m->graph;
    fusion f = {.m = m};
    if (!tn_qdq_to(m, &graph->nodes[n], &f.to)) return TN_OK;
    int value = graph->nodes[n].in[0], p = graph->values[value].producer;
    tn_qdq before;
    if (tn_qdq_from(m, value, false, &before) && tn_qdq_same(&before, &f.to)) {
        for (int o = 0; o < graph->output_count; o++)
            if (graph->outputs[o] == f.to.value) return TN_OK;
        graph->nodes[n].dead = true;
        ++*changes;
        TN_TRY(tn_graph_redirect(graph, f.to.value, before.value));
        return tn_match_recount(m);
    }
    if (p < 0 || graph->nodes[p].dead || m->uses[value] != 1) return TN_OK;
    int32_t low = 0, high = 0;
    bool clamped = clamp_of(graph, &graph->nodes[p], &f.to, &low, &high);
    if (clamped) {
        value = graph->nodes[p].in[0];
        p = graph->values[value].producer;
        if (p < 0 || graph->nodes[p].dead || m->uses[value] != 1) return TN_OK;
    }
    f.node = graph->nodes[p];
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        replacement r;
        if (!tn_match_is(&f.node, "", rows[i].op)) continue;
        bool fits = f.node.formal_in >= rows[i].in;
        for (int k = 0; fits && k < rows[i].in; k++) fits = tn_qdq_from(m, f.node.in[k], false, &f.in[k]);
        if (fits && rows[i].fuse(&f, &r)) return replace(&f, n, &r, clamped, low, high, changes);
    }
    return TN_OK;
}

tn_status tn_pass_qdq(tn_graph *graph, int *changes) {
    return tn_match_each(graph, match_quantize, changes);
}
