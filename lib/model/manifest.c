/* Manifests: trees, looking into them, and what a graph adds to one. See tenon/manifest.h. */
#include "model/manifest.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/semver.h"
#include "base/unicode.h"
#include "export/export.h"
#include "graph/graph.h"
#include "model/file.h"

/* ---- trees ---- */

tn_manifest_node *tn_manifest_new(tn_region *region, tn_manifest_kind kind, const char *text) {
    tn_manifest_node *node = tn_region_alloc(region, sizeof *node);
    if (!node) return NULL;
    node->kind = kind;
    if (text && !(node->text = tn_region_strdup(region, text))) return NULL;
    return node;
}

void tn_manifest_append(tn_manifest_node *parent, const char *key, tn_manifest_node *child) {
    child->key = key;
    child->next = NULL;
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->count++;
}

tn_manifest_node *tn_manifest_child(const tn_manifest_node *map, const char *key) {
    for (tn_manifest_node *child = map->first; child; child = child->next)
        if (child->key && strcmp(child->key, key) == 0) return child;
    return NULL;
}

/* The entry that the first `size` characters name: a key, or a position. */
static tn_manifest_node *entry(const tn_manifest_node *node, const char *name, size_t size) {
    char *end;
    tn_manifest_node *child = node->first;
    if (node->kind == TN_MANIFEST_MAP) {
        while (child && (strncmp(child->key, name, size) != 0 || child->key[size])) child = child->next;
        return child;
    }
    unsigned long index = strtoul(name, &end, 10);
    if (end != name + size || !size || index >= (unsigned long)node->count) return NULL;
    while (index-- > 0) child = child->next;
    return child;
}

tn_manifest_node *tn_manifest_find(const tn_manifest_node *root, const char *path) {
    tn_manifest_node *node;
    memcpy(&node, &root, sizeof node); /* what was given as const is the caller's affair */
    while (node && *path) {
        size_t size = strcspn(path, "/");
        node = entry(node, path, size);
        path += size + (path[size] == '/');
    }
    return node;
}

/* ---- the handle ---- */

static tn_status parse(tn_string text, bool lenient, tn_region *region, tn_manifest_node **out) {
    if (text.size > TN_FILE_MANIFEST_BYTES)
        return tn_fail(TN_E_LIMIT, "a manifest of %zu bytes; at most %u are read", text.size, TN_FILE_MANIFEST_BYTES);
    TN_TRY(tn_manifest_read_yaml(text, region, out));
    return tn_manifest_check(*out, region, lenient);
}

tn_status tn_manifest_parse(const char *text, size_t size, tn_manifest **out_manifest) {
    *out_manifest = NULL;
    tn_region *region = tn_region_create(NULL);
    tn_manifest *manifest = region ? tn_region_alloc(region, sizeof *manifest) : NULL;
    tn_status status = manifest ? parse((tn_string){text, size}, false, region, &manifest->root) : TN_E_MEMORY;
    if (status != TN_OK) {
        tn_region_destroy(region);
        return status;
    }
    manifest->region = region;
    *out_manifest = manifest;
    return TN_OK;
}

void tn_manifest_destroy(tn_manifest *manifest) {
    if (manifest) tn_region_destroy(manifest->region);
}

tn_status tn_manifest_write(tn_manifest *manifest, const char **out_text) {
    tn_string text = {manifest->canonical, 0};
    if (!text.data) TN_TRY(tn_manifest_print(manifest->root, manifest->region, &text));
    *out_text = manifest->canonical = text.data;
    return TN_OK;
}

tn_manifest_kind tn_manifest_kind_of(const tn_manifest *manifest, const char *path) {
    const tn_manifest_node *node = tn_manifest_find(manifest->root, path);
    return node ? node->kind : TN_MANIFEST_NONE;
}

const char *tn_manifest_get(const tn_manifest *manifest, const char *path) {
    const tn_manifest_node *node = tn_manifest_find(manifest->root, path);
    return node ? node->text : NULL;
}

int tn_manifest_count(const tn_manifest *manifest, const char *path) {
    const tn_manifest_node *node = tn_manifest_find(manifest->root, path);
    return node ? node->count : 0;
}

const char *tn_manifest_key(const tn_manifest *manifest, const char *path, int index) {
    const tn_manifest_node *node = tn_manifest_find(manifest->root, path);
    const tn_manifest_node *child = node && index >= 0 ? node->first : NULL;
    while (child && index-- > 0) child = child->next;
    return child ? child->key : NULL;
}

/* ---- what a graph adds ---- */

static tn_status set(tn_region *region, tn_manifest_node *map, const char *key, tn_manifest_kind kind,
                     const char *text) {
    tn_manifest_node *node = tn_manifest_child(map, key);
    if (!node) {
        node = tn_manifest_new(region, kind, NULL);
        if (!node) return TN_E_MEMORY;
        tn_manifest_append(map, key, node);
    }
    node->kind = kind;
    node->quoted = kind == TN_MANIFEST_TEXT;
    if (!text) return TN_OK;
    node->text = tn_region_strdup(region, text);
    return node->text ? TN_OK : TN_E_MEMORY;
}

tn_status tn_manifest_set_text(tn_region *region, tn_manifest_node *map, const char *key, const char *text) {
    return set(region, map, key, TN_MANIFEST_TEXT, text);
}

void tn_manifest_drop(tn_manifest_node *map, const char *key) {
    tn_manifest_node *child = map->first;
    map->first = map->last = NULL;
    map->count = 0;
    while (child) {
        tn_manifest_node *next = child->next;
        if (strcmp(child->key, key) != 0) tn_manifest_append(map, child->key, child);
        child = next;
    }
}

/* A dim as the manifest has it: a number, a symbol, or "?". */
static const char *dim_text(const tn_graph *graph, int64_t dim, char number[24], bool *is_number) {
    int64_t symbol = -2 - dim;
    *is_number = dim >= 0;
    snprintf(number, 24, "%lld", (long long)dim);
    if (dim >= 0) return number;
    return symbol >= 0 && symbol < graph->root->symbol_count ? graph->root->symbols[symbol] : "?";
}

static tn_status add_shape(tn_region *region, const tn_graph *graph, const tn_type *type, tn_manifest_node *map) {
    tn_manifest_node *shape = tn_manifest_new(region, TN_MANIFEST_LIST, NULL);
    if (!shape) return TN_E_MEMORY;
    for (int i = 0; i < type->rank; i++) {
        char number[24];
        bool is_number;
        const char *text = dim_text(graph, type->dims[i], number, &is_number);
        tn_manifest_node *dim = tn_manifest_new(region, is_number ? TN_MANIFEST_NUMBER : TN_MANIFEST_TEXT, text);
        if (!dim) return TN_E_MEMORY;
        dim->quoted = !is_number;
        tn_manifest_append(shape, NULL, dim);
    }
    tn_manifest_append(map, "shape", shape);
    return TN_OK;
}

static tn_status misfit(const tn_manifest_node *at, const char *list, int index, const char *what, const char *expected,
                        const char *found) {
    return tn_fail(TN_E_INVALID, "line %d: %s of %s %d is '%.80s', and the graph's is '%.80s'", at->line, what, list,
                   index, found, expected);
}

static tn_status check_shape(const tn_graph *graph, const tn_type *type, const tn_manifest_node *shape,
                             const char *list, int index) {
    char graphs[200], number[24];
    bool unused;
    tn_type_text(graphs, sizeof graphs, graph, type);
    if (shape->count != type->rank) {
        snprintf(number, sizeof number, "%d dims", shape->count);
        return misfit(shape, list, index, "shape", graphs, number);
    }
    const tn_manifest_node *dim = shape->first;
    for (int i = 0; i < type->rank; i++, dim = dim->next)
        if (strcmp(dim->text, dim_text(graph, type->dims[i], number, &unused)) != 0)
            return misfit(shape, list, index, "a dim", graphs, dim->text);
    return TN_OK;
}

static bool is_utf8(const char *text) {
    size_t size = strlen(text);
    uint32_t code;
    for (size_t at = 0; at < size;) {
        at += tn_utf8_decode(text + at, size - at, &code);
        if (code > TN_UNICODE_LAST) return false;
    }
    return true;
}

/* One input or output: what its entry says must be so, what it does not say is added. */
static tn_status fill_entry(tn_region *region, const tn_graph *graph, int value, tn_manifest_node *map,
                            const char *list, int index) {
    const tn_type *type = &graph->values[value].type;
    const char *name = graph->values[value].name;
    tn_manifest_node *found = tn_manifest_child(map, "name"), *shape = tn_manifest_child(map, "shape");
    if (found && strcmp(found->text, name) != 0) return misfit(found, list, index, "the name", name, found->text);
    TN_TRY(set(region, map, "name", TN_MANIFEST_TEXT, name));
    if (type->kind != TN_KIND_TENSOR && type->kind != TN_KIND_SEQUENCE) return TN_OK;
    found = tn_manifest_child(map, "dtype");
    if (found && type->dtype && strcmp(found->text, tn_dtype_name(type->dtype)) != 0)
        return misfit(found, list, index, "the data type", tn_dtype_name(type->dtype), found->text);
    if (type->dtype) TN_TRY(set(region, map, "dtype", TN_MANIFEST_TEXT, tn_dtype_name(type->dtype)));
    if (type->kind != TN_KIND_TENSOR || type->rank < 0) return TN_OK;
    return shape ? check_shape(graph, type, shape, list, index) : add_shape(region, graph, type, map);
}

static tn_status fill_list(tn_region *region, const tn_graph *graph, tn_manifest_node *root, const char *key, int count,
                           const int *values) {
    tn_manifest_node *list = tn_manifest_child(root, key);
    bool made = !list;
    if (made) {
        TN_TRY(set(region, root, key, TN_MANIFEST_LIST, NULL));
        list = tn_manifest_child(root, key);
    } else if (list->count != count) {
        return tn_fail(TN_E_INVALID, "line %d: %d %s, and the graph has %d", list->line, list->count, key, count);
    }
    tn_manifest_node *map = list->first;
    for (int i = 0; i < count; i++) {
        const char *name = graph->values[values[i]].name;
        if (!is_utf8(name)) return tn_fail(TN_E_UNSUPPORTED, "a name of %s is no UTF-8", key);
        if (made) {
            map = tn_manifest_new(region, TN_MANIFEST_MAP, NULL);
            if (!map) return TN_E_MEMORY;
            tn_manifest_append(list, NULL, map);
        }
        TN_TRY(fill_entry(region, graph, values[i], map, key, i));
        map = map->next;
    }
    return TN_OK;
}

/* "Press 2.onnx" is the model press-2. */
static const char *name_of_path(tn_region *region, const char *path) {
    const char *slash = strrchr(path, '/');
    char *name = tn_region_strdup(region, slash ? slash + 1 : path);
    if (!name) return NULL;
    char *dot = strrchr(name, '.');
    if (dot && dot != name) *dot = 0;
    name[TN_MIN(strlen(name), (size_t)128)] = 0;
    for (char *c = name; *c; c++) {
        if (*c >= 'A' && *c <= 'Z') *c = (char)(*c | 0x20);
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789._-", *c)) *c = '-';
    }
    return *name ? name : "model";
}

static tn_status fill(tn_region *region, const tn_graph *graph, uint64_t weight_bytes, tn_manifest_node *root) {
    char number[24];
    TN_TRY(fill_list(region, graph, root, "inputs", graph->input_count, graph->inputs));
    TN_TRY(fill_list(region, graph, root, "outputs", graph->output_count, graph->outputs));
    TN_TRY(set(region, root, "host", TN_MANIFEST_MAP, NULL));
    snprintf(number, sizeof number, "%llu", (unsigned long long)weight_bytes);
    return set(region, tn_manifest_child(root, "host"), "weight_bytes", TN_MANIFEST_NUMBER, number);
}

const char *tn_manifest_of_graph(const tn_graph *graph) {
    if (graph->manifest) return graph->manifest;
    for (int i = 0; i + 1 < graph->metadata_count; i += 2)
        if (strcmp(graph->metadata[i], TN_MANIFEST_METADATA) == 0) return graph->metadata[i + 1];
    return NULL;
}

tn_status tn_manifest_for_graph(const char *text, const tn_graph *graph, const char *path, uint64_t weight_bytes,
                                tn_region *region, tn_string *out) {
    tn_manifest_node *root;
    if (!text) text = tn_manifest_of_graph(graph);
    if (!text) {
        const char *name = name_of_path(region, path);
        root = name ? tn_manifest_new(region, TN_MANIFEST_MAP, NULL) : NULL;
        if (!root) return TN_E_MEMORY;
        TN_TRY(set(region, root, "name", TN_MANIFEST_TEXT, name));
        TN_TRY(set(region, root, "version", TN_MANIFEST_TEXT, "0.0.0"));
    } else if (!TN_WITH_YAML && text == graph->manifest) {
        *out = (tn_string){text, strlen(text)}; /* canonical already */
        return TN_OK;
    } else {
        TN_TRY(parse((tn_string){text, strlen(text)}, graph->newer_manifest && text == graph->manifest, region, &root));
    }
    TN_TRY(fill(region, graph, weight_bytes, root));
    TN_TRY(tn_manifest_check(root, region, graph->newer_manifest));
    TN_TRY(tn_manifest_print(root, region, out));
    return out->size <= TN_FILE_MANIFEST_BYTES ? TN_OK : tn_fail(TN_E_LIMIT, "a manifest of %zu bytes", out->size);
}

static tn_status check_host(const tn_manifest_node *root) {
    const tn_manifest_node *library = tn_manifest_find(root, "host/library"), *cpu = tn_manifest_find(root, "host/cpu");
    const char *level;
    if (library && tn_semver_compare(library->text, tn_version()) > 0)
        return tn_fail(TN_E_UNSUPPORTED, "the model needs Tenon %s or newer; this is %s", library->text, tn_version());
    if (!cpu) return TN_OK;
    for (int i = 0; (level = tn_cpu_level_at(i)); i++)
        if (strcmp(level, cpu->text) == 0) return TN_OK;
    return tn_fail(TN_E_UNSUPPORTED, "the model needs the instruction set level '%s', which this machine lacks",
                   cpu->text);
}

tn_status tn_manifest_check_host(tn_string text, bool newer) {
    if (!TN_WITH_YAML) return TN_OK;
    tn_manifest_node *root;
    tn_region *region = tn_region_create(NULL);
    tn_status status = region ? parse(text, newer, region, &root) : TN_E_MEMORY;
    if (status == TN_OK) status = check_host(root);
    tn_region_destroy(region);
    return status;
}
