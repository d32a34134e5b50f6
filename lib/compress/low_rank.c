/* Low rank: see tenon/weights.h. W = U S V^T by OpenBLAS's LAPACK; the largest singular values stay, and their roots go to
 * both factors. */
#include "compress/matrices.h"
#include <math.h>

typedef struct factors {
    size_t rank;
    float *left, *right; /* [n, rank], [rank, k]: W = left right */
} factors;

/* The least rank whose singular values have the share `energy` of the sum of squares. */
static size_t rank_of(const tn_low_rank_options *o, const float *s, size_t count) {
    double whole = 0, sum = 0;
    size_t rank = 0;
    if (o->rank > 0) return TN_MIN((size_t)o->rank, count);
    for (size_t i = 0; i < count; i++) whole += (double)s[i] * (double)s[i];
    while (rank < count && sum < o->energy * whole) {
        sum += (double)s[rank] * (double)s[rank];
        rank++;
    }
    return TN_MAX(rank, 1);
}

static tn_status factorise(const tn_graph *graph, const tn_low_rank_options *o, const tn_linear *l, tn_region *region,
                           factors *f, tn_weights_error *error) {
    const size_t least = TN_MIN(l->n, l->k);
    float *w = tn_linear_read(graph, l, region), *back = w ? tn_region_array(region, l->n * l->k, sizeof *back) : NULL;
    float *u = tn_region_array(region, l->n * least, sizeof *u), *s = tn_region_array(region, least, sizeof *s);
    float *v = tn_region_array(region, least * l->k, sizeof *v);
    if (!back || !u || !s || !v) return TN_E_MEMORY;
    memcpy(back, w, l->n * l->k * sizeof *w);
    TN_TRY(tn_singular_values(back, l->n, l->k, u, s, v));
    f->rank = rank_of(o, s, least);
    if (f->rank * (l->n + l->k) >= l->n * l->k) return TN_OK; /* two factors would be larger */
    f->left = tn_region_array(region, l->n * f->rank, sizeof *f->left);
    f->right = tn_region_array(region, f->rank * l->k, sizeof *f->right);
    if (!f->left || !f->right) return TN_E_MEMORY;
    for (size_t i = 0; i < l->n; i++)
        for (size_t r = 0; r < f->rank; r++) f->left[i * f->rank + r] = u[i * least + r] * sqrtf(s[r]);
    for (size_t r = 0; r < f->rank; r++)
        for (size_t j = 0; j < l->k; j++) f->right[r * l->k + j] = v[r * l->k + j] * sqrtf(s[r]);
    TN_TRY(tn_matrix_product(f->left, f->right, back, l->n, l->k, f->rank));
    tn_weights_compare(error, w, back, l->n * l->k);
    return TN_OK;
}

/* A constant of `rows` x `columns`, as they are or transposed, with dims of the caller's. */
static int add_factor(tn_graph *graph, const char *name, const char *what, const float *from, size_t rows,
                      size_t columns, bool transposed, int rank, const int64_t *dims) {
    tn_tensor *t = tn_graph_tensor(graph, TN_FLOAT32, rank, dims, NULL);
    const char *full = tn_region_printf(graph->region, "%s.%s", name, what);
    if (!t || !full) return -1;
    float *to = t->data;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++) to[transposed ? j * rows + i : i * columns + j] = from[i * columns + j];
    return tn_graph_add_constant(graph, full, t);
}

/* Makes `first`, which reads what node n read, and lets node n read it: returns it. */
static int add_first(tn_graph *graph, int n, const tn_op *op, int weight) {
    const char *name = tn_region_printf(graph->region, "%s.first", graph->nodes[n].name);
    int out = tn_graph_add_value(graph, "", NULL), in[2] = {graph->nodes[n].in[0], weight};
    if (!name || out < 0) return -1;
    int first = tn_graph_add_node(graph, op, name, 2, in, 1, &out);
    if (first >= 0) graph->nodes[n].in[0] = out;
    return first;
}

static tn_status split_product(tn_graph *graph, const tn_linear *l, const factors *f) {
    const int64_t n = (int64_t)l->n, k = (int64_t)l->k, r = (int64_t)f->rank;
    const char *name = graph->values[l->weight].name;
    const tn_op *matmul = tn_op_find("", "MatMul");
    int a = add_factor(graph, name, "right", f->right, f->rank, l->k, true, 2, (int64_t[]){k, r});
    int b = add_factor(graph, name, "left", f->left, l->n, f->rank, !l->rows, 2,
                       l->rows ? (int64_t[]){n, r} : (int64_t[]){r, n});
    if (!matmul) return tn_fail(TN_E_UNSUPPORTED, "the operator MatMul is not in this build");
    if (a < 0 || b < 0 || add_first(graph, l->node, matmul, a) < 0) return TN_E_MEMORY;
    graph->nodes[l->node].in[1] = b;
    return TN_OK;
}

/* The first convolution has the window and the strides, the second one is of single pixels and has the bias. */
static tn_status split_conv(tn_graph *graph, const tn_linear *l, const factors *f) {
    const tn_tensor *w = graph->values[l->weight].constant;
    const char *name = graph->values[l->weight].name;
    int64_t dims[2][TN_MAX_RANK], ones[TN_MAX_RANK];
    for (int i = 0; i < w->rank; i++) {
        dims[0][i] = i == 0 ? (int64_t)f->rank : w->dims[i];
        dims[1][i] = i == 0 ? w->dims[0] : i == 1 ? (int64_t)f->rank : 1;
        ones[i] = 1;
    }
    int a = add_factor(graph, name, "right", f->right, f->rank, l->k, false, w->rank, dims[0]);
    int b = add_factor(graph, name, "left", f->left, l->n, f->rank, false, w->rank, dims[1]);
    int first = a < 0 || b < 0 ? -1 : add_first(graph, l->node, graph->nodes[l->node].op, a);
    if (first < 0) return TN_E_MEMORY;
    tn_node *node = &graph->nodes[l->node];
    for (int i = 0; i < node->attr_count; i++) TN_TRY(tn_node_set_attr(graph, &graph->nodes[first], &node->attrs[i]));
    node->attr_count = 0;
    node->in[1] = b;
    return tn_node_set_ints(graph, node, "kernel_shape", (size_t)w->rank - 2, ones);
}

static tn_status split_all(tn_graph *graph, const tn_low_rank_options *o, tn_weights_report *report) {
    tn_region *all = tn_region_create(NULL);
    tn_linear *layers = NULL;
    int count = 0;
    tn_weights_error error = {0};
    tn_status status = all ? tn_layers_collect(graph, true, o->keep, all, &layers, &count) : TN_E_MEMORY;
    for (int i = 0; i < count && status == TN_OK; i++) {
        const tn_linear *l = &layers[i];
        const bool conv = strcmp(graph->nodes[l->node].op->name, "Conv") == 0;
        /* Of a weight that several nodes read there is one factorisation for one of them: it stays whole. */
        if (l->readers != 1 || (conv && tn_attr_int(&graph->nodes[l->node], "group", 1) != 1)) continue;
        tn_region *region = tn_region_create(NULL);
        factors f = {0};
        status = region ? tn_weights_finite(graph, l->weight) : TN_E_MEMORY;
        if (status == TN_OK) status = factorise(graph, o, l, region, &f, &error);
        if (status == TN_OK && f.left) {
            status = conv ? split_conv(graph, l, &f) : split_product(graph, l, &f);
            report->layers++;
            report->elements += (int64_t)(l->n * l->k);
        }
        tn_region_destroy(region);
        if (status != TN_OK) tn_node_context(status, &graph->nodes[l->node]);
    }
    report->error = tn_weights_relative(&error);
    tn_region_destroy(all);
    return status;
}

tn_status tn_graph_low_rank(tn_graph *graph, const tn_low_rank_options *options, tn_weights_report *out_report) {
    tn_low_rank_options o = {.struct_size = sizeof o};
    tn_weights_report report;
    if (options) memcpy(&o, options, TN_MIN(options->struct_size, sizeof o));
    if (o.energy == 0) o.energy = 0.9;
    if (!(o.energy > 0 && o.energy <= 1) || o.rank < 0)
        return tn_fail(TN_E_INVALID, "energy %g or rank %d; expected a share up to 1, or a rank of at least 1",
                       o.energy, o.rank);
    TN_TRY(tn_weights_begin(graph, &report));
    TN_TRY(split_all(graph, &o, &report));
    return tn_weights_end(graph, &report, out_report);
}
