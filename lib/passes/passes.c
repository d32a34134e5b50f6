/* The table of passes and their driver. */
#include "passes/passes.h"
#include "passes/rows.h"

/* In order. Widening comes before folding, which makes float32 weights of half ones; patterns are looked for when
 * constants are constants and repeated nodes are gone, those of quantized models first, while weights are still integers;
 * fusing into products comes last. */
const tn_pass tn_passes[] = {
    {"widen", tn_pass_widen},
    {"codebook", tn_pass_codebook},
    {"fold", tn_pass_fold},
    {"inline", tn_pass_inline},
    {"fold-inlined", tn_pass_fold},
    {"identity", tn_pass_identity},
    {"common", tn_pass_common},
    {"qdq-unsigned", tn_pass_qdq_unsigned},
    {"qdq-move", tn_pass_qdq_move},
    {"fold-moved", tn_pass_fold},
    {"qdq-table", tn_pass_qdq_table},
    {"qdq", tn_pass_qdq},
    {"qdq-float", tn_pass_qdq_float},
    {"qlast", tn_pass_qlast},
    {"qconv-fuse", tn_pass_qconv_fuse},
    {"fold-quantized", tn_pass_fold_quantized},
    {"gelu", tn_pass_gelu},
    {"swish", tn_pass_swish},
    {"layer-norm", tn_pass_layer_norm},
    {"attention", tn_pass_attention},
    {"squeeze", tn_pass_squeeze},
    {"conv-scale", tn_pass_conv_scale},
    {"conv-fuse", tn_pass_conv_fuse},
    {"conv-pair", tn_pass_conv_pair},
    {"matmul-fuse", tn_pass_matmul_fuse},
    {NULL, NULL},
};

/* A pass on one graph; afterwards it is sorted and compact. */
static tn_status run_pass(const tn_pass *pass, tn_graph *graph, int *changes) {
    int before = *changes;
    TN_TRY(pass->run(graph, changes));
    if (*changes == before) return TN_OK;
    tn_graph_compact(graph);
    TN_TRY(tn_graph_sort(graph));
    return tn_graph_drop_unused(graph, NULL);
}

static tn_status run_pass_on_bodies(const tn_pass *pass, tn_graph *graph, int *changes) {
    for (int n = 0; n < graph->node_count; n++)
        for (int a = 0; a < graph->nodes[n].attr_count; a++) {
            if (graph->nodes[n].attrs[a].kind != TN_ATTR_GRAPH) continue;
            tn_graph *body = graph->nodes[n].attrs[a].g;
            TN_TRY(run_pass_on_bodies(pass, body, changes));
            TN_TRY(run_pass(pass, body, changes));
        }
    return TN_OK;
}

/* Whether `name` is in a list with commas between. */
static bool listed(const char *list, const char *name) {
    size_t length = strlen(name);
    for (const char *at = list; at && *at;) {
        size_t n = strcspn(at, ",");
        if ((n == length && memcmp(at, name, n) == 0) || (n == 3 && memcmp(at, "all", 3) == 0)) return true;
        at += n + (at[n] == ',');
    }
    return false;
}

tn_status tn_passes_run(tn_graph *graph, const tn_model_options *options) {
    TN_TRY(tn_graph_drop_unused(graph, NULL));
    for (const tn_pass *pass = tn_passes; pass->name; pass++) {
        bool must = pass->run == tn_pass_widen; /* operators trust it */
        if (!must && listed(options->skip_passes, pass->name)) continue;
        int before = graph->node_count, changes = 0;
        tn_status status = run_pass(pass, graph, &changes);
        if (status == TN_OK) status = run_pass_on_bodies(pass, graph, &changes);
        if (status == TN_OK && changes) status = tn_graph_infer(graph);
        if (status != TN_OK) return tn_fail_context(status, "pass '%s'", pass->name);
        if (options->on_pass) options->on_pass(options->context, pass->name, before, graph->node_count, changes);
    }
    return TN_OK;
}
