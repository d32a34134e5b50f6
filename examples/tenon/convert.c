/* tenon convert: a model in another form. */
#include "tool.h"

static bool save_onnx(const settings *s, const tn_graph *graph) {
    tn_onnx_options options = {.struct_size = sizeof options, .external_data = s->external};
    tn_status status = tn_graph_save_onnx(graph, s->target, &options);
    return status == TN_OK || complain_status(s->target, status);
}

int convert_command(const settings *s) {
    tn_graph *graph;
    if (!ends_with(s->target, ".onnx")) {
        complain("%s: models are written as .onnx", s->target);
        return EXIT_USAGE;
    }
    progress(s, "loading %s", s->model);
    tn_status status = tn_graph_load(s->model, NULL, &graph);
    bool good = status == TN_OK || complain_status(s->model, status);
    progress(s, "writing %s", s->target);
    good = good && save_onnx(s, graph);
    progress(s, NULL);
    tn_graph_destroy(graph);
    return good ? EXIT_OK : EXIT_FAILED;
}
