/* MatMulNBits of 3 bits, for ONNX files: the same levels as numbers of 4 bits, since ONNX Runtime's kernel has 2, 4 and 8. Files
 * are as large as with 4 bits, the weights the very same. */
#include "base/tensor.h"
#include "export/export.h"
#include "graph/op.h"

typedef struct widening {
    tn_graph *graph;
    int *made[2]; /* of a value: its constant of 4 bits; 0: none yet. [1]: levels raised by `raise` */
} widening;

/* Where no zero points are given they are in the middle of the range, which 4 bits have 4 higher. */
enum { RAISE = 8 - 4 };

static unsigned element(const uint8_t *row, size_t i) {
    const size_t at = 3 * i, shift = at % 8;
    return (row[at / 8] | (shift > 5 ? (unsigned)row[at / 8 + 1] << 8 : 0u)) >> shift & 7;
}

/* `rows` rows of `count` numbers each, each row in whole bytes. */
static void widen(const uint8_t *from, uint8_t *to, size_t rows, size_t count, unsigned raise) {
    const size_t old_row = (3 * count + 7) / 8, new_row = (count + 1) / 2;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < count; i++) {
            uint8_t *byte = &to[r * new_row + i / 2];
            *byte = (uint8_t)((i % 2 ? *byte : 0) | (element(from + r * old_row, i) + raise) << (i % 2 * 4));
        }
}

static tn_status widen_value(widening *w, int *value, size_t rows, size_t count, bool packed, unsigned raise) {
    tn_graph *graph = w->graph;
    int *made = &w->made[raise > 0][*value];
    if (!*made) {
        const tn_tensor *t = graph->values[*value].constant;
        int64_t dims[TN_MAX_RANK];
        memcpy(dims, t->dims, sizeof dims);
        if (packed)
            dims[t->rank - 1] = (int64_t)(t->rank == 1 ? rows * ((count + 1) / 2) : (count + 1) / 2);
        else
            dims[t->rank - 1] = t->dims[t->rank - 1] / 3 * 4; /* blocks are multiples of 16 */
        tn_tensor *wide = tn_graph_tensor(graph, TN_UINT8, t->rank, dims, NULL);
        int at = wide ? tn_graph_add_constant(graph, graph->values[*value].name, wide) : -1;
        if (at < 0) return TN_E_MEMORY;
        widen(t->data, wide->data, rows, count, raise);
        *made = at;
    }
    *value = *made;
    return TN_OK;
}

/* Whether a constant has `rows` rows of `count` numbers of 3 bits; a graph that was not inferred may say anything. */
static bool holds(const tn_tensor *t, size_t rows, size_t count) {
    size_t all;
    return t && t->rank > 0 && t->dtype == TN_UINT8 && tn_tensor_is_dense(t) &&
           tn_mul_size(rows, (3 * count + 7) / 8, &all) && (size_t)tn_count(t) == all;
}

static bool is_narrow(const tn_graph *graph, const tn_node *node) {
    if (node->dead || strcmp(node->op->domain, "com.microsoft") != 0 || strcmp(node->op->name, "MatMulNBits") != 0 ||
        tn_attr_int(node, "bits", 4) != 3)
        return false;
    const int64_t k = tn_attr_int(node, "K", 0), n = tn_attr_int(node, "N", 0),
                  block = tn_attr_int(node, "block_size", 0);
    const int zeros = node->formal_in > 3 ? node->in[3] : -1;
    if (k < 1 || n < 1 || block < 16 || block % 16 || TN_MAX(TN_MAX(k, n), block) > INT32_MAX || node->in[1] < 0)
        return false;
    const int64_t blocks = (k + block - 1) / block;
    const tn_tensor *b = graph->values[node->in[1]].constant, *z = zeros < 0 ? NULL : graph->values[zeros].constant;
    return holds(b, (size_t)n, (size_t)(blocks * block)) &&
           (zeros < 0 || (z && z->dtype != TN_UINT8) || holds(z, (size_t)n, (size_t)blocks));
}

static tn_status widen_node(widening *w, int n) {
    tn_graph *graph = w->graph;
    tn_node *node = &graph->nodes[n];
    const size_t k = (size_t)tn_attr_int(node, "K", 1), block = (size_t)tn_attr_int(node, "block_size", 1);
    const size_t rows = (size_t)tn_attr_int(node, "N", 1), blocks = (k + block - 1) / block;
    const int zeros = node->formal_in > 3 ? node->in[3] : -1, count = node->formal_in;
    int in[6] = {-1, -1, -1, -1, -1, -1};
    for (int i = 0; i < count; i++) in[i] = node->in[i];
    TN_TRY(widen_value(w, &in[1], rows, blocks * block, false, zeros < 0 ? RAISE : 0));
    if (zeros >= 0 && graph->values[zeros].constant->dtype == TN_UINT8)
        TN_TRY(widen_value(w, &in[3], rows, blocks, true, 0));
    node = &graph->nodes[n];
    TN_TRY(tn_node_set_int(graph, node, "bits", 4));
    return tn_node_set_inputs(graph, node, count, in);
}

tn_status tn_export_widen(const tn_graph *graph, tn_graph **out_copy) {
    bool any = false;
    *out_copy = NULL;
    for (int n = 0; n < graph->node_count; n++) any |= is_narrow(graph, &graph->nodes[n]);
    if (!any) return TN_OK;
    widening w = {0};
    tn_region *scratch = tn_region_create(NULL);
    tn_status status = scratch ? tn_graph_copy(graph, true, &w.graph) : TN_E_MEMORY;
    for (int i = 0; i < 2 && status == TN_OK; i++) {
        w.made[i] = tn_region_array(scratch, (size_t)graph->value_count + 1, sizeof(int));
        if (!w.made[i]) status = TN_E_MEMORY;
    }
    for (int n = 0; n < graph->node_count && status == TN_OK; n++)
        if (is_narrow(w.graph, &w.graph->nodes[n])) status = widen_node(&w, n);
    tn_region_destroy(scratch);
    if (status == TN_OK) {
        w.graph->manifest = graph->manifest;
        *out_copy = w.graph;
    } else {
        tn_graph_destroy(w.graph);
    }
    return status;
}
