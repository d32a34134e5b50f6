/* tenon convert: a model in another form. */
#include <stdlib.h>
#include <string.h>
#include "tool.h"

static bool save_onnx(const settings *s, const tn_graph *graph) {
    tn_onnx_options options = {.struct_size = sizeof options, .external_data = s->external};
    tn_status status = tn_graph_save_onnx(graph, s->target, &options);
    return status == TN_OK || complain_status(s->target, status);
}

static bool save_tenon(const settings *s, const tn_graph *graph) {
    tn_model_file_options options = {.struct_size = sizeof options, .compress = s->compress};
    tn_self_test *test = NULL;
    void *data = NULL;
    char *manifest = NULL;
    size_t size = 0;
    if (s->manifest) {
        if (!file_read(s->manifest, &data, &size)) return false;
        if (memchr(data, 0, size)) {
            complain("%s: there is a zero byte in it; manifests are text", s->manifest);
            free(data);
            return false;
        }
        manifest = tool_alloc(size + 1, 1);
        memcpy(manifest, data, size);
        options.manifest = manifest;
    }
    bool good = !s->self_tests.count || self_test_make(s, &test);
    options.self_test = test;
    tn_status status = good ? tn_graph_save(graph, s->target, &options) : TN_OK;
    tn_self_test_destroy(test);
    free(manifest);
    free(data);
    return good && (status == TN_OK || complain_status(s->manifest ? s->manifest : s->target, status));
}

static bool save_weights(const settings *s, const tn_graph *graph) {
    tn_status status = tn_graph_save_safetensors(graph, s->target);
    return status == TN_OK || complain_status(s->target, status);
}

static const struct form {
    const char *ending;
    bool (*save)(const settings *s, const tn_graph *graph);
} forms[] = {{".onnx", save_onnx}, {".tenon", save_tenon}, {".safetensors", save_weights}};

int convert_command(const settings *s) {
    tn_graph *graph;
    tn_model_options options = {.struct_size = sizeof options, .verify_weights = true};
    const struct form *form = forms, *end = forms + sizeof forms / sizeof forms[0];
    while (form < end && !ends_with(s->target, form->ending)) form++;
    if (s->self_tests.count && !ends_with(s->target, ".tenon")) {
        complain("%s: --self-test is for .tenon files", s->target);
        return EXIT_USAGE;
    }
    if (form == end) {
        complain("%s: models are written as .onnx or .tenon, their weights alone as .safetensors", s->target);
        return EXIT_USAGE;
    }
    progress(s, "loading %s", s->model);
    tn_status status = tn_graph_load(s->model, &options, &graph);
    bool good = status == TN_OK || complain_status(s->model, status);
    progress(s, "writing %s", s->target);
    good = good && form->save(s, graph);
    progress(s, NULL);
    tn_graph_destroy(graph);
    return good ? EXIT_OK : EXIT_FAILED;
}
