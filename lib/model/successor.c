/* Manifest and self-test of a graph that was made of another: see successor.h. */
#include "model/successor.h"
#include <math.h>
#include <stdio.h>
#include "base/semver.h"
#include "exec/model.h"
#include "model/file.h"
#include "model/manifest.h"
#include "model/self_test.h"

static const char *next_version(tn_region *region, const tn_manifest_node *root) {
    const tn_manifest_node *version = tn_manifest_child(root, "version");
    int64_t part[3] = {0};
    int count;
    if (version && version->text) tn_semver_read_core(version->text, part, &count);
    return tn_region_printf(region, "%lld.%lld.0", (long long)part[0], (long long)part[1] + 1);
}

/* Types and shapes are the graph's to say: half precision, for one, changes them. */
static void forget_types(tn_manifest_node *root, const char *key) {
    tn_manifest_node *list = tn_manifest_child(root, key);
    for (tn_manifest_node *map = list ? list->first : NULL; map; map = map->next) {
        tn_manifest_drop(map, "dtype");
        tn_manifest_drop(map, "shape");
    }
}

static tn_manifest_node *map_at(tn_manifest_writer *w, tn_manifest_node *root, const char *key) {
    tn_manifest_node *found = tn_manifest_child(root, key);
    return found ? found : tn_manifest_add(w, root, key, TN_MANIFEST_MAP, NULL);
}

static tn_status rewrite(tn_graph *graph, const tn_graph *parent, int count, const tn_measured *measured,
                         const char *data, int64_t samples, tn_region *region) {
    const char *text = tn_manifest_of_graph(parent), *digest = tn_graph_digest(parent);
    tn_manifest_writer w = {.region = region};
    tn_manifest_node *root;
    tn_string out;
    TN_TRY(tn_manifest_read_yaml((tn_string){text, strlen(text)}, region, &root));
    TN_TRY(tn_manifest_check(root, region, true));
    const char *version = next_version(region, root);
    if (!version) return TN_E_MEMORY;
    TN_TRY(tn_manifest_set_text(region, root, "version", version));
    tn_manifest_drop(root, "parent");
    if (digest) TN_TRY(tn_manifest_set_text(region, root, "parent", digest));
    tn_manifest_drop(root, "created");
    tn_manifest_drop(root, "metrics");
    if (tn_manifest_child(root, "host")) tn_manifest_drop(tn_manifest_child(root, "host"), "arena_bytes");
    forget_types(root, "inputs");
    forget_types(root, "outputs");
    tn_manifest_node *list = NULL;
    for (int i = 0; i < count; i++) {
        if (!isfinite(measured[i].value)) continue;
        if (!list) list = tn_manifest_add(&w, root, "metrics", TN_MANIFEST_LIST, NULL);
        tn_manifest_node *row = tn_manifest_add(&w, list, NULL, TN_MANIFEST_MAP, NULL);
        tn_manifest_add(&w, row, "name", TN_MANIFEST_TEXT, measured[i].name);
        tn_manifest_add_number(&w, row, "value", measured[i].value);
        tn_manifest_add(&w, row, "data", TN_MANIFEST_TEXT, data);
        if (samples > 0) tn_manifest_add_number(&w, row, "samples", (double)samples);
    }
    tn_manifest_node *provenance = map_at(&w, root, "provenance"),
                     *tools = provenance ? map_at(&w, provenance, "tools") : NULL;
    if (w.failed || !tools) return TN_E_MEMORY;
    TN_TRY(tn_manifest_set_text(region, tools, "tenon", tn_version()));
    TN_TRY(tn_manifest_check(root, region, true));
    TN_TRY(tn_manifest_print(root, region, &out));
    graph->manifest = tn_region_strndup(graph->region, out.data, out.size);
    return graph->manifest ? TN_OK : TN_E_MEMORY;
}

static void put_bytes(void *context, const void *data, size_t size) {
    char **at = context;
    memcpy(*at, data, size);
    *at += size;
}

static tn_status keep_test(tn_graph *graph, const tn_self_test *test) {
    tn_pb_out out = {0};
    tn_self_test_put(test, &out);
    char *bytes = out.status == TN_OK ? tn_region_alloc(graph->region, (size_t)tn_pb_out_bytes(&out) + 1) : NULL;
    if (bytes) {
        char *at = bytes;
        tn_pb_out_each(&out, put_bytes, &at);
        graph->self_test = (tn_string){bytes, (size_t)tn_pb_out_bytes(&out)};
    }
    tn_pb_out_free(&out);
    return bytes ? TN_OK : TN_E_MEMORY;
}

static tn_status test_again(tn_graph *graph, const tn_graph *parent) {
    tn_self_test *old = NULL, *test = NULL;
    tn_graph *copy = NULL;
    tn_model *model = NULL;
    int cases = 0;
    TN_TRY(tn_self_test_read(parent->root->self_test, &old));
    tn_status status = tn_graph_copy(graph, false, &copy);
    if (status == TN_OK) status = tn_model_from_graph(copy, NULL, &model); /* the copy is the model's, either way */
    if (status == TN_OK) status = tn_self_test_again(old, model, &test, &cases);
    if (status == TN_OK && cases) status = keep_test(graph, test);
    tn_self_test_destroy(test);
    tn_self_test_destroy(old);
    tn_model_destroy(model);
    return status == TN_OK ? TN_OK : tn_fail_context(status, "the self-test of what was made");
}

tn_status tn_graph_succeed(tn_graph *graph, const tn_graph *parent, int count, const tn_measured *measured,
                           const char *data, int64_t samples) {
    if (parent->root->self_test.size) TN_TRY(test_again(graph, parent));
    if (!TN_WITH_YAML || !tn_manifest_of_graph(parent)) return TN_OK;
    tn_region *region = tn_region_create(NULL);
    if (!region) return TN_E_MEMORY;
    tn_status status = rewrite(graph, parent, count, measured, data, samples, region);
    tn_region_destroy(region);
    graph->newer_manifest = parent->root->newer_manifest;
    return status == TN_OK ? TN_OK : tn_fail_context(status, "the manifest of what was made");
}
