/* Regions of 8-bit operators with channels last.
 *
 * qlast       each QLinearConv becomes a "tenon" QConv, which reads and writes channels last; so does what stands around it
 *             and can. A value then has a twin with channels last, made by its node; the value itself is a Transpose of its
 *             twin, which goes when nobody reads it any more: only a region's edges keep theirs.
 * qconv-fuse  tables and sums behind a QConv become part of it. */
#include "ops/quant.h"
#include "passes/qdq.h"
#include "passes/rows.h"

typedef struct layout {
    tn_match *m;
    int *twin; /* of each value: the same with channels last, or -1 */
    int capacity;
} layout;

static const tn_type *type_of(const layout *l, int value) {
    return tn_match_type(l->m->graph, value);
}

static tn_status note_twin(layout *l, int value, int twin) {
    int count = l->m->graph->value_count;
    if (count > l->capacity) {
        int *more = tn_region_array(l->m->scratch, (size_t)count * 2, sizeof *more);
        if (!more) return TN_E_MEMORY;
        memset(more, 0xff, (size_t)count * 2 * sizeof *more);
        if (l->capacity) memcpy(more, l->twin, (size_t)l->capacity * sizeof *more);
        l->twin = more;
        l->capacity = count * 2;
    }
    l->twin[value] = twin;
    return TN_OK;
}

static int twin_of(const layout *l, int value) {
    return value >= 0 && value < l->capacity ? l->twin[value] : -1;
}

/* perm of [N, C, spatial...] to [N, spatial..., C], or back. */
static void set_perm(int64_t *perm, int rank, bool back) {
    perm[0] = 0;
    for (int i = 1; i < rank; i++) perm[i] = back ? (i == 1 ? rank - 1 : i - 1) : (i == rank - 1 ? 1 : i + 1);
}

static tn_status add_transpose(layout *l, int at, int from, int to, int rank, bool back) {
    tn_graph *graph = l->m->graph;
    int64_t *perm = tn_region_array(graph->region, (size_t)rank, sizeof *perm);
    const tn_op *op = tn_op_find("", "Transpose");
    if (!perm) return TN_E_MEMORY;
    if (!op) return tn_fail(TN_E_UNSUPPORTED, "this build has no Transpose");
    set_perm(perm, rank, back);
    TN_TRY(tn_graph_insert_node(graph, at, op, "", 1, &from, 1, &to));
    return tn_node_set_ints(graph, &graph->nodes[at], "perm", (size_t)rank, perm);
}

/* A new value like `value` with channels last. */
static int new_twin(layout *l, int value) {
    tn_type type = *type_of(l, value);
    int64_t perm[TN_MAX_RANK], dims[TN_MAX_RANK];
    set_perm(perm, type.rank, false);
    for (int i = 0; i < type.rank; i++) dims[i] = type.dims[perm[i]];
    memcpy(type.dims, dims, sizeof dims);
    return tn_graph_add_value(l->m->graph, "", &type);
}

/* The twin of `value`, made by a Transpose before node *at if there is none yet, which moves on then. */
static tn_status need_twin(layout *l, int value, int *at, int *out) {
    *out = twin_of(l, value);
    if (*out >= 0) return TN_OK;
    *out = new_twin(l, value);
    if (*out < 0) return TN_E_MEMORY;
    TN_TRY(add_transpose(l, *at, value, *out, type_of(l, value)->rank, false));
    ++*at;
    return note_twin(l, value, *out);
}

/* Node n now writes the twin of `value`, and a Transpose behind it the value. */
static tn_status write_twin(layout *l, int n, int value) {
    int twin = new_twin(l, value);
    if (twin < 0) return TN_E_MEMORY;
    l->m->graph->nodes[n].out[0] = twin;
    TN_TRY(add_transpose(l, n + 1, twin, value, type_of(l, value)->rank, true));
    return note_twin(l, value, twin);
}

static bool is_image(const layout *l, int value) {
    const tn_type *type = type_of(l, value);
    return type->dtype == TN_UINT8 && type->rank >= 3;
}

static const tn_tensor *constant_of(const layout *l, const tn_node *node, int in) {
    return in < node->formal_in && node->in[in] >= 0 ? l->m->graph->values[node->in[in]].constant : NULL;
}

/* ---- one function an operator: false where it must stay as it is ---- */
typedef struct change {
    layout *l;
    int n;             /* the node, which moves on when others are put before it */
    const tn_op *op;   /* what it becomes, if another */
    int count, in[64]; /* its inputs then */
    tn_status status;  /* of a failure */
} change;

static const tn_node *node_of(const change *c) {
    return &c->l->m->graph->nodes[c->n];
}
static bool take_twin(change *c, int in) {
    int value = node_of(c)->in[in], n = c->n;
    c->status = need_twin(c->l, value, &n, &c->in[in]);
    c->n = n;
    return c->status == TN_OK;
}
static void keep_inputs(change *c) {
    c->count = node_of(c)->in_count;
    memcpy(c->in, node_of(c)->in, (size_t)c->count * sizeof *c->in);
}

/* [M, C, taps] to [M, taps, C], as int8 with no zero point; NULL if they have one. */
static tn_tensor *weights_last(layout *l, const tn_tensor *w, const tn_tensor *zero) {
    const uint8_t none = w->dtype == TN_INT8 ? 0 : 0x80;
    int64_t dims[TN_MAX_RANK], perm[TN_MAX_RANK], channels = w->dims[1], taps = 1;
    for (int64_t i = 0; zero && i < tn_count(zero); i++)
        if (((const uint8_t *)zero->data)[i] != none) return NULL;
    if (!zero && none) return NULL;
    set_perm(perm, w->rank, false);
    for (int i = 0; i < w->rank; i++) dims[i] = w->dims[perm[i]];
    for (int i = 2; i < w->rank; i++) taps *= w->dims[i];
    tn_tensor *made = tn_graph_tensor(l->m->graph, TN_INT8, w->rank, dims, NULL);
    if (!made) return NULL;
    const uint8_t *from = w->data;
    uint8_t *to = made->data;
    if (taps == 1 && !none)
        memcpy(to, from, (size_t)tn_count(w));
    else
        for (int64_t m = 0; m < w->dims[0]; m++, from += channels * taps)
            for (int64_t t = 0; t < taps; t++)
                for (int64_t k = 0; k < channels; k++) *to++ = from[k * taps + t] ^ none;
    tn_graph_rest_file(l->m->graph, w->data, (size_t)tn_count(w));
    return made;
}

/* Products of the scales, as QLinearConv multiplies them. */
static int scales_of(layout *l, const tn_tensor *x, const tn_tensor *w, const tn_tensor *y) {
    int64_t count = tn_count(w);
    tn_tensor *made = tn_graph_tensor(l->m->graph, TN_FLOAT32, 1, &count, NULL);
    if (!made) return -1;
    for (int64_t i = 0; i < count; i++)
        ((float *)made->data)[i] = *(const float *)x->data * ((const float *)w->data)[i] / *(const float *)y->data;
    return tn_graph_add_constant(l->m->graph, "", made);
}

static bool change_conv(change *c) {
    layout *l = c->l;
    tn_graph *graph = l->m->graph;
    const tn_tensor *given[9];
    for (int i = 0; i < 9; i++) {
        given[i] = constant_of(l, node_of(c), i);
        bool optional = i == 2 || i == 5 || i == 7 || i == 8;
        bool absent = i >= node_of(c)->formal_in || node_of(c)->in[i] < 0;
        if (i > 0 && !given[i] && !(optional && absent)) return false;
    }
    if (!is_image(l, node_of(c)->out[0]) || !is_image(l, node_of(c)->in[0]) || given[3]->rank < 3) return false;
    if (tn_count(given[3]) == 0) return false;
    tn_tensor *w = weights_last(l, given[3], given[5]);
    int weights = w ? tn_graph_add_constant(graph, "", w) : -1, scale = scales_of(l, given[1], given[4], given[6]);
    c->op = tn_op_find("tenon", "QConv");
    if (weights < 0 || scale < 0 || !c->op) return false;
    int32_t zero[2] = {0};
    tn_quant_zeros(given[2], 1, &zero[0]);
    tn_quant_zeros(given[7], 1, &zero[1]);
    if (!take_twin(c, 0)) return false;
    tn_node *node = &graph->nodes[c->n];
    c->in[1] = weights;
    c->in[2] = scale;
    c->in[3] = given[8] ? node->in[8] : -1;
    c->count = given[8] ? 4 : 3;
    c->status = tn_node_set_int(graph, node, "x_zero", zero[0]);
    if (c->status == TN_OK) c->status = tn_node_set_int(graph, node, "y_zero", zero[1]);
    return c->status == TN_OK;
}

static bool change_table(change *c) {
    keep_inputs(c);
    return twin_of(c->l, c->in[0]) >= 0 && is_image(c->l, node_of(c)->out[0]) && take_twin(c, 0);
}

/* A constant that broadcasts to [N, C, spatial...], with channels last. */
static int constant_last(layout *l, const tn_tensor *t, int rank) {
    int64_t dims[TN_MAX_RANK], strides[TN_MAX_RANK], last[TN_MAX_RANK], step[TN_MAX_RANK], perm[TN_MAX_RANK],
        stride = 1;
    for (int i = rank - 1; i >= 0; i--) {
        dims[i] = i - (rank - t->rank) >= 0 ? t->dims[i - (rank - t->rank)] : 1;
        strides[i] = stride;
        stride *= dims[i];
    }
    set_perm(perm, rank, false);
    for (int i = 0; i < rank; i++) {
        last[i] = dims[perm[i]];
        step[i] = strides[perm[i]];
    }
    tn_tensor *made = tn_graph_tensor(l->m->graph, t->dtype, rank, last, NULL);
    if (!made) return -1;
    for (int64_t e = 0; e < tn_count(made); e++) {
        int64_t rest = e, from = 0;
        for (int i = rank - 1; i >= 0; i--) {
            from += rest % last[i] * step[i];
            rest /= last[i];
        }
        ((uint8_t *)made->data)[e] = ((const uint8_t *)t->data)[from];
    }
    return tn_graph_add_constant(l->m->graph, "", made);
}

static bool change_binary(change *c) {
    layout *l = c->l;
    int out = node_of(c)->out[0], rank = type_of(l, out)->rank;
    bool any = false;
    keep_inputs(c);
    if (!is_image(l, out)) return false;
    for (int in = 0; in <= 3; in += 3) {
        const tn_tensor *fixed = constant_of(l, node_of(c), in);
        any = any || twin_of(l, c->in[in]) >= 0;
        if (fixed ? fixed->rank > rank : !is_image(l, c->in[in]) || type_of(l, c->in[in])->rank != rank) return false;
    }
    for (int in = 0; any && in <= 3; in += 3) {
        const tn_tensor *fixed = constant_of(l, node_of(c), in);
        if (fixed)
            c->in[in] = constant_last(l, fixed, rank);
        else if (!take_twin(c, in))
            return false;
        if (c->in[in] < 0) c->status = TN_E_MEMORY;
    }
    return any && c->status == TN_OK;
}

static bool change_pool(change *c) {
    keep_inputs(c);
    tn_graph *graph = c->l->m->graph;
    if (twin_of(c->l, c->in[0]) < 0 || !is_image(c->l, node_of(c)->out[0])) return false;
    if (tn_attr_int(node_of(c), "channels_last", 0) != 0 || !take_twin(c, 0)) return false;
    c->status = tn_node_set_int(graph, &graph->nodes[c->n], "channels_last", 1);
    return c->status == TN_OK;
}

static bool change_max(change *c) {
    const tn_node *node = node_of(c);
    c->op = tn_op_find("tenon", "QMaxPool");
    if (!c->op || node->out_count > 1) return false;
    keep_inputs(c);
    return twin_of(c->l, c->in[0]) >= 0 && is_image(c->l, node->out[0]) && take_twin(c, 0);
}

/* Parts from input `first` on, `step` apart. */
static bool change_parts(change *c, int first, int step) {
    layout *l = c->l;
    tn_graph *graph = l->m->graph;
    int out = node_of(c)->out[0], rank = type_of(l, out)->rank;
    bool any = false;
    if (node_of(c)->in_count > 64 || !is_image(l, out)) return false;
    keep_inputs(c);
    for (int in = first; in < c->count; in += step) {
        any = any || twin_of(l, c->in[in]) >= 0;
        if (!is_image(l, c->in[in]) || type_of(l, c->in[in])->rank != rank || constant_of(l, node_of(c), in))
            return false;
    }
    if (!any) return false;
    for (int in = first; in < c->count; in += step)
        if (!take_twin(c, in)) return false;
    int64_t axis = tn_attr_int(node_of(c), "axis", 0);
    if (axis < 0) axis += rank;
    c->status = tn_node_set_int(graph, &graph->nodes[c->n], "axis", axis == 0 ? 0 : axis == 1 ? rank - 1 : axis - 1);
    return c->status == TN_OK;
}
static bool change_concat(change *c) {
    return change_parts(c, 0, 1);
}
static bool change_qconcat(change *c) {
    return change_parts(c, 2, 3);
}

static const struct {
    const char *domain, *op;
    bool (*change)(change *c);
} rows[] = {
    {"", "QLinearConv", change_conv},
    {"tenon", "QTable", change_table},
    {"com.microsoft", "QLinearAdd", change_binary},
    {"com.microsoft", "QLinearMul", change_binary},
    {"com.microsoft", "QLinearGlobalAveragePool", change_pool},
    {"com.microsoft", "QLinearAveragePool", change_pool},
    {"", "MaxPool", change_max},
    {"", "Concat", change_concat},
    {"com.microsoft", "QLinearConcat", change_qconcat},
};

tn_status tn_pass_qlast(tn_graph *graph, int *changes) {
    tn_match m;
    tn_status status = tn_match_begin(&m, graph);
    layout l = {.m = &m};
    for (int n = 0; n < graph->node_count && status == TN_OK; n++)
        for (size_t i = 0; i < TN_COUNT(rows); i++) {
            change c = {.l = &l, .n = n};
            if (graph->nodes[n].dead || !tn_match_is(&graph->nodes[n], rows[i].domain, rows[i].op)) continue;
            bool done = rows[i].change(&c);
            status = c.status;
            n = c.n;
            if (!done || status != TN_OK) break;
            tn_node *node = &graph->nodes[n];
            if (c.op) node->op = c.op;
            status = tn_node_set_inputs(graph, node, c.count, c.in);
            if (status == TN_OK) status = write_twin(&l, n, node->out[0]);
            n++; /* over its Transpose */
            ++*changes;
            break;
        }
    tn_match_end(&m);
    return status;
}

/* ---- what follows a convolution ---- */
enum { SCALE = 2, BIAS, TABLE, RESIDUAL, AFTER };

typedef struct fused {
    int in[AFTER + 1], last, out;
    int64_t low, high;
    float terms[3];
    bool residual_first, adds;
} fused;

/* A table that only limits: from where to where. */
static bool only_limits(const uint8_t *table, int64_t *low, int64_t *high) {
    *low = table[0];
    *high = table[255];
    for (int i = 0; i < 256; i++)
        if (table[i] != TN_MIN(TN_MAX(i, *low), *high)) return false;
    return true;
}

static bool take_table(tn_match *m, fused *f, const tn_node *next) {
    const tn_tensor *table = m->graph->values[next->in[1]].constant;
    int64_t low, high;
    if (!table || table->dtype != TN_UINT8 || next->in[0] != f->out) return false;
    if (!f->adds && f->in[TABLE] < 0 && f->low == 0 && f->high == 255 && only_limits(table->data, &low, &high)) {
        f->low = low;
        f->high = high;
        return true;
    }
    int in = f->adds ? AFTER : TABLE;
    if (f->in[in] >= 0) return false;
    f->in[in] = next->in[1];
    return true;
}

static bool quantization_of(const tn_graph *graph, const tn_node *node, int in, tn_quantization *q) {
    const tn_tensor *zero =
        in + 1 < node->formal_in && node->in[in + 1] >= 0 ? graph->values[node->in[in + 1]].constant : NULL;
    if (!tn_match_scalar(graph, node->in[in], &q->scale)) return false;
    if (!zero && in + 1 < node->formal_in && node->in[in + 1] >= 0) return false;
    tn_quant_zeros(zero, 1, &q->zero);
    return true;
}

static bool take_sum(tn_match *m, fused *f, const tn_node *next) {
    const tn_graph *graph = m->graph;
    static const int at[] = {1, 4, 6};
    tn_quantization q[3];
    if (f->adds) return false;
    for (int i = 0; i < 3; i++)
        if (!quantization_of(graph, next, at[i], &q[i])) return false;
    f->residual_first = next->in[3] == f->out;
    int other = f->residual_first ? next->in[0] : next->in[3];
    if (other == f->out || graph->values[other].constant) return false;
    if (!tn_match_same_shape(tn_match_type(graph, other), tn_match_type(graph, f->out))) return false;
    tn_qsum_terms t = tn_qsum_of(q[0], q[1], q[2]);
    memcpy(f->terms, (float[]){t.a, t.b, t.rest}, sizeof f->terms);
    f->in[RESIDUAL] = other;
    f->adds = true;
    return true;
}

static tn_status match_qconv(tn_match *m, int n, int *changes) {
    tn_graph *graph = m->graph;
    tn_node conv = graph->nodes[n];
    if (!tn_match_is(&conv, "tenon", "QConv")) return TN_OK;
    fused f = {
        .last = n, .out = conv.out[0], .low = tn_attr_int(&conv, "low", 0), .high = tn_attr_int(&conv, "high", 255)};
    for (int i = 0; i <= AFTER; i++) f.in[i] = i < conv.formal_in ? conv.in[i] : -1;
    if (f.in[TABLE] >= 0 || f.in[RESIDUAL] >= 0 || f.in[AFTER] >= 0) return TN_OK;
    for (const tn_node *next; (next = tn_match_reader(m, f.out)) != NULL;) {
        bool taken = tn_match_is(next, "tenon", "QTable")               ? take_table(m, &f, next)
                     : tn_match_is(next, "com.microsoft", "QLinearAdd") ? take_sum(m, &f, next)
                                                                        : false;
        if (!taken) break;
        f.last = (int)(next - graph->nodes);
        f.out = next->out[0];
    }
    if (f.last == n) return TN_OK;
    int count = AFTER + 1;
    while (f.in[count - 1] < 0) count--;
    int at = tn_match_replace(m, f.last, conv.op, conv.name, count, f.in, 1, &f.out);
    if (at < 0) return TN_E_MEMORY;
    tn_node *node = &graph->nodes[at];
    for (int a = 0; a < conv.attr_count; a++) TN_TRY(tn_node_set_attr(graph, node, &conv.attrs[a]));
    TN_TRY(tn_node_set_int(graph, node, "low", f.low));
    TN_TRY(tn_node_set_int(graph, node, "high", f.high));
    if (f.adds) TN_TRY(tn_node_set_floats(graph, node, "terms", 3, f.terms));
    if (f.residual_first) TN_TRY(tn_node_set_int(graph, node, "residual_first", 1));
    ++*changes;
    return tn_match_recount(m);
}

tn_status tn_pass_qconv_fuse(tn_graph *graph, int *changes) {
    return tn_match_each(graph, match_qconv, changes);
}
