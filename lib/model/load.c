/* Loading a model: import into a graph whose memory is bounded, then what lib/passes makes of it within that. */
#include "exec/model.h"
#include "graph/custom.h"
#include "import/import.h"
#include "model/file.h"

#define SPARE_MEMORY ((size_t)1 << 30)

/* A section of a model file; an absent one is empty. */
static tn_status read_section(const tn_file_table *file, uint32_t kind, bool verify, tn_graph *graph, tn_string *out) {
    const tn_section *section = tn_file_find(file, kind);
    *out = (tn_string){"", 0};
    return section ? tn_section_read(file, section, verify, graph->region, out) : TN_OK;
}

/* For those who want to be sure of the weights later. */
static tn_status keep_weights(const tn_file_table *file, bool verified, tn_string weights, tn_graph *graph) {
    const tn_section *section = tn_file_find(file, TN_SECTION_WEIGHTS);
    graph->weights = weights;
    if (!section || verified || section->flags & TN_SECTION_PACKED) return TN_OK;
    uint8_t *digest = tn_region_alloc(graph->region, sizeof section->digest);
    if (!digest) return TN_E_MEMORY;
    graph->weights_digest = memcpy(digest, section->digest, sizeof section->digest);
    return TN_OK;
}

static tn_status load_model_file(tn_string contents, bool mapped, bool verify_weights, tn_graph *graph) {
    const tn_section *section;
    tn_file_table file;
    tn_string manifest, message, weights;
    TN_TRY(tn_file_table_read(contents, &file));
    TN_TRY(read_section(&file, TN_SECTION_MANIFEST, true, graph, &manifest));
    if (manifest.size) {
        graph->newer_manifest = file.minor > TN_FILE_MINOR;
        TN_TRY(tn_manifest_check_host(manifest, graph->newer_manifest));
        graph->manifest = tn_region_strndup(graph->region, manifest.data, manifest.size);
        if (!graph->manifest) return TN_E_MEMORY;
    }
    graph->digest = tn_region_strdup(graph->region, file.digest);
    if (!graph->digest) return TN_E_MEMORY;
    TN_TRY(read_section(&file, TN_SECTION_SELF_TEST, true, graph, &graph->self_test));
    TN_TRY(read_section(&file, TN_SECTION_GRAPH, true, graph, &message));
    if (mapped && (section = tn_file_find(&file, TN_SECTION_WEIGHTS)))
        tn_read_ahead((tn_string){contents.data + section->offset, (size_t)section->stored}, false);
    TN_TRY(read_section(&file, TN_SECTION_WEIGHTS, verify_weights, graph, &weights));
    TN_TRY(keep_weights(&file, verify_weights, weights, graph));
    return tn_import_sections(message, TN_FILE_LOCATION, weights, graph);
}

/* Imports `contents`, mapped from `path` if that is not NULL, and so the graph's to unmap. */
static tn_status load(const char *path, const char *folder, tn_string contents, const tn_model_options *options,
                      tn_graph **out_graph) {
    tn_model_options full = tn_model_options_of(options);
    tn_graph *graph = NULL;
    size_t limit = full.memory_limit;
    if (!limit && (!tn_mul_size(contents.size, 10, &limit) || !tn_add_size(limit, SPARE_MEMORY, &limit)))
        limit = SIZE_MAX;
    tn_status status = tn_graph_create_root(full.allocator, limit, &graph);
    if (status != TN_OK) {
        if (path) tn_unmap_contents(contents);
        return status;
    }
    if (path) status = tn_keep_contents(graph, contents);
    if (path && !tn_is_model_file(contents)) tn_read_ahead(contents, true);
    if (status == TN_OK) status = tn_graph_add_custom_ops(graph, full.custom_ops, full.custom_op_count);
    if (status == TN_OK)
        status = tn_is_model_file(contents) ? load_model_file(contents, path, full.verify_weights, graph)
                                            : tn_import_onnx(contents.data, contents.size, folder, graph);
    if (status == TN_OK)
        *out_graph = graph;
    else
        tn_graph_destroy(graph);
    return status;
}

tn_status tn_graph_load(const char *path, const tn_model_options *options, tn_graph **out_graph) {
    tn_string contents;
    *out_graph = NULL;
    TN_TRY(tn_map_file(path, &contents));
    const char *slash = strrchr(path, '/');
    size_t length = slash ? TN_MAX((size_t)(slash - path), (size_t)1) : 1;
    char *folder = tn_alloc_zero(NULL, length + 1);
    if (!folder) {
        tn_unmap_contents(contents);
        return TN_E_MEMORY;
    }
    memcpy(folder, slash ? path : ".", length);
    tn_status status = load(path, folder, contents, options, out_graph);
    tn_free(NULL, folder, length + 1);
    return status == TN_OK ? TN_OK : tn_fail_context(status, "%s", path);
}

tn_status tn_model_load_memory(const void *data, size_t size, const char *folder, const tn_model_options *options,
                               tn_model **out_model) {
    tn_graph *graph = NULL;
    *out_model = NULL;
    TN_TRY(load(NULL, folder, (tn_string){data, size}, options, &graph));
    return tn_model_from_graph(graph, options, out_model);
}

tn_status tn_model_load(const char *path, const tn_model_options *options, tn_model **out_model) {
    tn_graph *graph;
    *out_model = NULL;
    TN_TRY(tn_graph_load(path, options, &graph));
    tn_status status = tn_model_from_graph(graph, options, out_model);
    return status == TN_OK ? TN_OK : tn_fail_context(status, "%s", path);
}

const char *tn_graph_manifest(const tn_graph *graph) {
    return graph->root->manifest;
}
const char *tn_graph_digest(const tn_graph *graph) {
    return graph->root->digest;
}
const char *tn_model_manifest(const tn_model *model) {
    return tn_graph_manifest(model->graph);
}
const char *tn_model_digest(const tn_model *model) {
    return tn_graph_digest(model->graph);
}
