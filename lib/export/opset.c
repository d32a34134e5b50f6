/* Which opset a graph needs: the lowest that has each operator in the form in which the graph uses it.
 *
 * Nodes are of the newest version of their operators, but most versions only add types and attributes. A file for the
 * lowest opset that will do is read by the most programs. Below FLOOR versions differ in more than their schemas say. */
#include "export/export.h"
#include "graph/op.h"
#include "import/onnx.h"

#define FLOOR 13

typedef struct opset_row {
    const char *domain, *op;
    uint8_t version, inputs;
    const char *attribute;
    uint32_t dtypes;
} opset_row;

static const opset_row rows[] = {
#define TN_OPSET(domain, op, version, attribute, inputs, dtypes) {domain, op, version, inputs, attribute, dtypes},
#include "export/opsets.inc"
#undef TN_OPSET
};

/* The IR version that came with an opset of ai.onnx, and with a dtype. */
static int64_t ir_of_opset(int64_t opset) {
    static const uint8_t first[] = {19, 21, 23, 24, 25, 28}; /* opsets with which versions 9 to 14 came */
    int64_t ir = 8;
    for (size_t i = 0; i < TN_COUNT(first) && opset >= first[i]; i++) ir++;
    return ir;
}

static void require_dtype(tn_exporter *exporter, tn_dtype dtype) {
    static const uint8_t versions[] = {
        [TN_FLOAT8E4M3FN] = 9, [TN_FLOAT8E4M3FNUZ] = 9, [TN_FLOAT8E5M2] = 9,  [TN_FLOAT8E5M2FNUZ] = 9, [TN_UINT4] = 10,
        [TN_INT4] = 10,        [TN_FLOAT4E2M1] = 11,    [TN_FLOAT8E8M0] = 12, [TN_UINT2] = 13,         [TN_INT2] = 13};
    if ((size_t)dtype < TN_COUNT(versions)) exporter->ir = TN_MAX(exporter->ir, versions[dtype]);
}

static tn_status raise_domain(tn_exporter *exporter, const char *domain, int64_t version) {
    int i = 0;
    while (i < exporter->domain_count && strcmp(exporter->domains[i].name, domain) != 0) i++;
    if (i == (int)TN_COUNT(exporter->domains))
        return tn_fail(TN_E_LIMIT, "operators of more than %d domains", (int)TN_COUNT(exporter->domains));
    if (i == exporter->domain_count) exporter->domains[exporter->domain_count++] = (tn_domain){domain, 1};
    exporter->domains[i].version = TN_MAX(exporter->domains[i].version, version);
    if (!*domain) exporter->ir = TN_MAX(exporter->ir, ir_of_opset(version));
    return TN_OK;
}

static uint32_t dtypes_of(const tn_graph *graph, int count, const int *values) {
    uint32_t set = 0;
    for (int i = 0; i < count; i++)
        if (values[i] >= 0) set |= UINT32_C(1) << (graph->values[values[i]].type.dtype & 31);
    return set;
}

static bool applies(const opset_row *row, const tn_node *node, uint32_t dtypes) {
    if (row->attribute) return tn_node_attr(node, row->attribute) != NULL;
    if (row->inputs) return node->formal_in > row->inputs;
    return !row->dtypes || (row->dtypes & dtypes);
}

/* Optionals passed through control flow and Identity from opset 16 on. */
static bool has_optional(const tn_graph *graph, const tn_node *node) {
    if (*node->op->domain) return false;
    for (int i = 0; i < node->out_count; i++)
        if (node->out[i] >= 0 && graph->values[node->out[i]].type.optional) return true;
    for (int i = 0; i < node->formal_in; i++)
        if (node->in[i] >= 0 && graph->values[node->in[i]].type.optional) return true;
    return false;
}

static tn_status require_node(tn_exporter *exporter, const tn_graph *graph, const tn_node *node) {
    const tn_op *op = node->op;
    uint32_t dtypes = dtypes_of(graph, node->formal_in, node->in) | dtypes_of(graph, node->out_count, node->out);
    bool ours = strcmp(op->domain, "tenon") == 0 && tn_op_find(op->domain, op->name) == op, known = false;
    if (ours)
        return tn_fail(TN_E_UNSUPPORTED,
                       "node '%s' (%s) is an operator of Tenon's own, which a pass made; save the graph "
                       "as it is loaded (tn_graph_load), or leave the passes out",
                       node->name, op->name);
    int64_t version = *op->domain ? 1 : FLOOR;
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        const opset_row *row = &rows[i];
        if (row->op[0] != op->name[0] || strcmp(row->op, op->name) != 0 || strcmp(row->domain, op->domain) != 0)
            continue;
        known = true;
        if (applies(row, node, dtypes)) version = TN_MAX(version, row->version);
    }
    if (tn_node_attr(node, "classes_strings") && strcmp(op->name, "LabelEncoder") == 0) {
        exporter->first_ml = true; /* its first version had another form, which stays as it is */
        version = 1;
    }
    if (has_optional(graph, node)) version = TN_MAX(version, 16);
    if (!known && !*op->domain) version = TN_ONNX_OPSET;
    return raise_domain(exporter, op->domain, version);
}

static tn_status check_first_ml(const tn_exporter *exporter) {
    for (int i = 0; i < exporter->domain_count && exporter->first_ml; i++)
        if (strcmp(exporter->domains[i].name, "ai.onnx.ml") == 0 && exporter->domains[i].version > 1)
            return tn_fail(TN_E_UNSUPPORTED,
                           "a LabelEncoder of the first version of ai.onnx.ml beside newer operators");
    return TN_OK;
}

tn_status tn_export_require(tn_exporter *exporter, const tn_graph *graph) {
    TN_TRY(raise_domain(exporter, "", FLOOR));
    for (int v = 0; v < graph->value_count; v++) require_dtype(exporter, graph->values[v].type.dtype);
    for (int n = 0; n < graph->node_count; n++) {
        TN_TRY(require_node(exporter, graph, &graph->nodes[n]));
        for (int a = 0; a < graph->nodes[n].attr_count; a++) {
            const tn_attr *attr = &graph->nodes[n].attrs[a];
            if (attr->kind == TN_ATTR_TENSOR) require_dtype(exporter, attr->t->dtype);
            if (attr->kind == TN_ATTR_GRAPH) TN_TRY(tn_export_require(exporter, attr->g));
        }
    }
    return check_first_ml(exporter);
}
