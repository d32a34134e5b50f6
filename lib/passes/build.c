/* From a graph to a model: inference, passes, and what sessions share. */
#include "passes/passes.h"

tn_status tn_model_from_graph(tn_graph *graph, const tn_model_options *options, tn_model **out_model) {
    tn_model_options full = tn_model_options_of(options);
    *out_model = NULL;
    tn_status status = tn_graph_sort(graph);
    if (status == TN_OK) status = tn_graph_infer(graph);
    if (status == TN_OK) status = tn_expand_sequence_maps(graph);
    if (status == TN_OK) status = tn_passes_run(graph, &full);
    if (status == TN_OK) return tn_model_create(graph, &full, out_model);
    tn_graph_destroy(graph);
    return status;
}
