/* What comes before quantization: a copy of the graph in the form in which its layers are plain to see. Constants are folded,
 * functions inlined, batch normalization is in the weights of convolutions, a MatMul of two dimensions and the Add of its
 * bias are one Gemm. All of it is in ONNX's own operators. */
#include "compress/quantize.h"
#include "passes/match.h"
#include "passes/passes.h"

static const char *const first[] = {"widen", "inline", NULL}, *const later[] = {"identity", "common", "conv-scale",
                                                                                NULL};

/* x w + b */
static tn_status match_gemm(tn_match *m, int n, int *changes) {
    tn_graph *graph = m->graph;
    const tn_node *add = &graph->nodes[n];
    if (!tn_match_is(add, "", "Add")) return TN_OK;
    for (int side = 0; side < 2; side++) {
        const tn_node *product = tn_match_only(m, add->in[side], "MatMul");
        const tn_tensor *b = tn_match_floats(graph, add->in[1 - side]);
        if (!product || !b || tn_match_type(graph, product->in[0])->rank != 2) continue;
        const tn_tensor *w = tn_match_floats(graph, product->in[1]);
        if (!w || w->rank != 2 || tn_count(b) != w->dims[1] || b->rank < 1 || b->rank > 2) continue;
        if (b->dims[b->rank - 1] != w->dims[1]) continue;
        tn_tensor *bias = tn_graph_tensor(graph, TN_FLOAT32, 1, &w->dims[1], NULL);
        if (!bias) return TN_E_MEMORY;
        memcpy(bias->data, b->data, (size_t)w->dims[1] * sizeof(float));
        int in[3] = {product->in[0], product->in[1],
                     tn_graph_add_constant(graph, graph->values[add->in[1 - side]].name, bias)};
        int out = add->out[0];
        const char *name = product->name;
        const tn_op *gemm = tn_op_find("", "Gemm");
        if (!gemm) return TN_OK;
        if (in[2] < 0) return TN_E_MEMORY;
        graph->nodes[graph->values[add->in[side]].producer].dead = true;
        if (tn_match_replace(m, n, gemm, name, 3, in, 1, &out) < 0) return TN_E_MEMORY;
        ++*changes;
        return tn_match_recount(m);
    }
    return TN_OK;
}

static tn_status run_passes(tn_graph *graph, const char *const *kept) {
    char skip[1024] = "";
    size_t used = 0;
    for (const tn_pass *pass = tn_passes; pass->name; pass++) {
        bool keep = false;
        for (int i = 0; kept[i]; i++) keep |= strcmp(kept[i], pass->name) == 0;
        size_t length = strlen(pass->name);
        if (keep) continue;
        if (used + length + 2 > sizeof skip) return tn_fail(TN_E_INTERNAL, "the passes have names too long");
        memcpy(skip + used, pass->name, length + 1);
        used += length;
        skip[used++] = ',';
        skip[used] = 0;
    }
    tn_model_options options = {.struct_size = sizeof options, .skip_passes = skip};
    tn_model_options full = tn_model_options_of(&options);
    return tn_passes_run(graph, &full);
}

/* Reports, timing and lists of exclusions speak of layers by name. */
static tn_status name_layers(tn_graph *graph) {
    int axis;
    for (int n = 0; n < graph->node_count; n++) {
        tn_node *node = &graph->nodes[n];
        if (!node->name) node->name = "";
        if (*node->name || !tn_qplan_is_layer(graph, node, &axis)) continue;
        node->name = tn_region_printf(graph->region, "%s_%d", node->op->name, n);
        if (!node->name) return TN_E_MEMORY;
    }
    return TN_OK;
}

static tn_status prepare(tn_graph *graph) {
    int changes = 0;
    TN_TRY(tn_graph_sort(graph));
    TN_TRY(tn_graph_infer(graph));
    TN_TRY(run_passes(graph, first));
    TN_TRY(tn_fold_to_store(graph, true, &changes));
    tn_graph_compact(graph);
    TN_TRY(tn_graph_sort(graph));
    TN_TRY(tn_graph_infer(graph));
    TN_TRY(run_passes(graph, later));
    TN_TRY(tn_match_each(graph, match_gemm, &changes));
    tn_graph_compact(graph);
    TN_TRY(tn_graph_sort(graph));
    TN_TRY(tn_graph_infer(graph));
    return name_layers(graph);
}

tn_status tn_quantize_prepare(const tn_graph *graph, tn_graph **out_graph) {
    tn_graph *copy;
    *out_graph = NULL;
    TN_TRY(tn_graph_copy(graph, false, &copy));
    tn_status status = prepare(copy);
    if (status == TN_OK)
        *out_graph = copy;
    else
        tn_graph_destroy(copy);
    return status;
}

tn_status tn_quantize_finish(tn_graph *graph, tn_graph **out_graph) {
    TN_TRY(tn_graph_drop_unused(graph, NULL));
    int *uses = tn_alloc(NULL, ((size_t)graph->value_count + 1) * sizeof *uses);
    if (!uses) return TN_E_MEMORY;
    tn_graph_count_uses(graph, uses);
    for (int v = 0; v < graph->value_count; v++)
        if (!uses[v]) graph->values[v].constant = NULL;
    tn_free(NULL, uses, ((size_t)graph->value_count + 1) * sizeof *uses);
    return tn_graph_copy(graph, false, out_graph);
}

uint64_t tn_graph_constant_bytes(const tn_graph *graph) {
    uint64_t bytes = 0;
    int *uses = tn_alloc(NULL, ((size_t)graph->value_count + 1) * sizeof *uses);
    if (!uses) return 0;
    tn_graph_count_uses(graph, uses);
    for (int v = 0; v < graph->value_count; v++) {
        const tn_tensor *t = graph->values[v].constant;
        if (t && uses[v]) bytes += tn_dtype_bytes(t->dtype, tn_count(t));
    }
    tn_free(NULL, uses, ((size_t)graph->value_count + 1) * sizeof *uses);
    return bytes;
}
