/* Reading safetensors files. The header comes from outside: nothing of it is used before each number in it is checked
 * against the file's size, and all tensors together against what they must cover, which is every byte behind the header
 * once. */
#include "model/safetensors.h"
#include <stdlib.h>
#include "graph/graph.h"
#include "import/import.h"

#define HEADER_BYTES ((uint64_t)16 << 20)
#define BIG_ENDIAN_HOST (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)

static const struct type {
    const char *name;
    tn_dtype dtype;
} types[] = {
    {"BOOL", TN_BOOL},
    {"U8", TN_UINT8},
    {"I8", TN_INT8},
    {"F8_E5M2", TN_FLOAT8E5M2},
    {"F8_E4M3", TN_FLOAT8E4M3FN},
    {"F8_E8M0", TN_FLOAT8E8M0},
    {"I16", TN_INT16},
    {"U16", TN_UINT16},
    {"F16", TN_FLOAT16},
    {"BF16", TN_BFLOAT16},
    {"I32", TN_INT32},
    {"U32", TN_UINT32},
    {"F32", TN_FLOAT32},
    {"F64", TN_FLOAT64},
    {"I64", TN_INT64},
    {"U64", TN_UINT64},
    {"C64", TN_COMPLEX64},
};

const char *tn_safetensors_type_name(tn_dtype dtype) {
    for (size_t i = 0; i < TN_COUNT(types); i++)
        if (types[i].dtype == dtype) return types[i].name;
    return NULL;
}

tn_dtype tn_safetensors_type(const char *name) {
    for (size_t i = 0; i < TN_COUNT(types); i++)
        if (strcmp(types[i].name, name) == 0) return types[i].dtype;
    return TN_UNDEFINED;
}

typedef struct entry {
    const char *name;
    uint64_t begin, end; /* behind the header */
    tn_tensor tensor;
} entry;

struct tn_safetensors {
    tn_region *region; /* of all of it */
    tn_string mapped;  /* to be unmapped; empty: somebody else's */
    entry *all;        /* in order of their names */
    int count;
    const char **metadata; /* keys and values in turn */
    int metadata_count;
};

void tn_safetensors_close(tn_safetensors *f) {
    if (!f) return;
    if (f->mapped.size) tn_unmap_contents(f->mapped);
    tn_region_destroy(f->region);
}

int tn_safetensors_count(const tn_safetensors *f) {
    return f->count;
}
const char *tn_safetensors_name(const tn_safetensors *f, int i) {
    return i >= 0 && i < f->count ? f->all[i].name : NULL;
}
const tn_tensor *tn_safetensors_tensor(const tn_safetensors *f, int i) {
    return i >= 0 && i < f->count ? &f->all[i].tensor : NULL;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const entry *)a)->name, ((const entry *)b)->name);
}

int tn_safetensors_find(const tn_safetensors *f, const char *name) {
    entry key = {.name = name};
    const entry *found = f->count ? bsearch(&key, f->all, (size_t)f->count, sizeof key, by_name) : NULL;
    return found ? (int)(found - f->all) : -1;
}

const char *tn_safetensors_metadata(const tn_safetensors *f, const char *key) {
    for (int i = 0; i < f->metadata_count; i += 2)
        if (strcmp(f->metadata[i], key) == 0) return f->metadata[i + 1];
    return NULL;
}

#if TN_WITH_JANSSON && !BIG_ENDIAN_HOST
#include <jansson.h>

static bool read_number(const json_t *json, uint64_t *out) {
    *out = (uint64_t)json_integer_value(json);
    return json_is_integer(json) && json_integer_value(json) >= 0;
}

static tn_status read_metadata(tn_safetensors *f, json_t *json) {
    const char *key;
    json_t *value;
    if (!json) return TN_OK;
    if (!json_is_object(json)) return tn_fail(TN_E_FORMAT, "its __metadata__ is no object");
    f->metadata = tn_region_array(f->region, 2 * json_object_size(json) + 1, sizeof *f->metadata);
    if (!f->metadata) return TN_E_MEMORY;
    json_object_foreach(json, key, value) {
        if (!json_is_string(value)) return tn_fail(TN_E_FORMAT, "its __metadata__ has a value that is no text");
        f->metadata[f->metadata_count++] = tn_region_strdup(f->region, key);
        f->metadata[f->metadata_count++] = tn_region_strdup(f->region, json_string_value(value));
        if (!f->metadata[f->metadata_count - 2] || !f->metadata[f->metadata_count - 1]) return TN_E_MEMORY;
    }
    return TN_OK;
}

/* Elements where they lie; copied if they are not aligned. */
static tn_status place(tn_safetensors *f, entry *e, tn_string elements) {
    const char *from = elements.data + e->begin;
    size_t bytes = (size_t)(e->end - e->begin);
    if (e->tensor.dtype == TN_BOOL)
        for (size_t i = 0; i < bytes; i++)
            if ((unsigned char)from[i] > 1)
                return tn_fail(TN_E_FORMAT, "the tensor '%.200s' has a bool that is neither 0 nor 1", e->name);
    memcpy(&e->tensor.data, &from, sizeof from);
    if (tn_tensor_is_aligned(&e->tensor)) return TN_OK;
    e->tensor.data = tn_region_alloc(f->region, TN_MAX(bytes, (size_t)1));
    if (!e->tensor.data) return TN_E_MEMORY;
    memcpy(e->tensor.data, from, bytes);
    return TN_OK;
}

static tn_status read_tensor(tn_safetensors *f, const char *name, const json_t *json, tn_string elements) {
    const char *type = json_string_value(json_object_get(json, "dtype"));
    const json_t *shape = json_object_get(json, "shape"), *offsets = json_object_get(json, "data_offsets");
    size_t rank = json_array_size(shape);
    int64_t dims[TN_MAX_RANK] = {0};
    entry *e = &f->all[f->count];
    if (!type || !json_is_array(shape) || json_array_size(offsets) != 2)
        return tn_fail(TN_E_FORMAT, "the tensor '%.200s' has no dtype, shape or data_offsets", name);
    tn_dtype dtype = tn_safetensors_type(type);
    if (dtype == TN_UNDEFINED)
        return tn_fail(TN_E_UNSUPPORTED, "the tensor '%.200s' is of type '%.40s', which Tenon has not", name, type);
    if (rank > TN_MAX_RANK)
        return tn_fail(TN_E_UNSUPPORTED, "the tensor '%.200s' has %zu dimensions; there are at most %d", name, rank,
                       TN_MAX_RANK);
    for (size_t i = 0; i < rank; i++) {
        uint64_t dim;
        if (!read_number(json_array_get(shape, i), &dim))
            return tn_fail(TN_E_FORMAT, "the tensor '%.200s' has a dimension that is no size", name);
        dims[i] = (int64_t)dim;
    }
    if (!read_number(json_array_get(offsets, 0), &e->begin) || !read_number(json_array_get(offsets, 1), &e->end) ||
        e->begin > e->end || e->end > elements.size)
        return tn_fail(TN_E_FORMAT, "the tensor '%.200s' is not within the %zu bytes of the file's elements", name,
                       elements.size);
    tn_status status = tn_tensor_set_dense(&e->tensor, dtype, (int)rank, dims, NULL);
    if (status != TN_OK) return tn_fail_context(status, "the tensor '%.200s'", name);
    if (tn_tensor_bytes(&e->tensor) != e->end - e->begin)
        return tn_fail(TN_E_FORMAT, "the tensor '%.200s' has %llu bytes; its type and shape take %zu", name,
                       (unsigned long long)(e->end - e->begin), tn_tensor_bytes(&e->tensor));
    e->name = tn_region_strdup(f->region, name);
    if (!e->name) return TN_E_MEMORY;
    f->count++;
    return place(f, e, elements);
}

static int by_place(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static tn_status check_cover(tn_safetensors *f, size_t size) {
    uint64_t at = 0;
    qsort(f->all, (size_t)f->count, sizeof *f->all, by_place);
    for (int i = 0; i < f->count; i++) {
        if (f->all[i].begin != at)
            return tn_fail(TN_E_FORMAT, "the tensor '%.200s' begins at byte %llu; the one before it ends at %llu",
                           f->all[i].name, (unsigned long long)f->all[i].begin, (unsigned long long)at);
        at = f->all[i].end;
    }
    if (at != size) return tn_fail(TN_E_FORMAT, "its tensors end at byte %llu of %zu", (unsigned long long)at, size);
    qsort(f->all, (size_t)f->count, sizeof *f->all, by_name);
    return TN_OK;
}

static tn_status read_header(tn_safetensors *f, json_t *json, tn_string elements) {
    const char *name;
    json_t *value;
    f->all = tn_region_array(f->region, json_object_size(json) + 1, sizeof *f->all);
    if (!f->all) return TN_E_MEMORY;
    TN_TRY(read_metadata(f, json_object_get(json, "__metadata__")));
    json_object_foreach(json, name, value) {
        if (strcmp(name, "__metadata__") != 0) TN_TRY(read_tensor(f, name, value, elements));
    }
    return check_cover(f, elements.size);
}

static tn_status parse(tn_string contents, tn_safetensors *f) {
    uint64_t length = 0;
    json_error_t error;
    if (contents.size < 8) return tn_fail(TN_E_FORMAT, "it is no safetensors file: it has %zu bytes", contents.size);
    memcpy(&length, contents.data, 8);
    if (length > contents.size - 8 || length > HEADER_BYTES)
        return tn_fail(TN_E_FORMAT,
                       "it is no safetensors file, or cut: its header of %llu bytes does not fit the file's %zu, or is "
                       "larger than %llu",
                       (unsigned long long)length, contents.size, (unsigned long long)HEADER_BYTES);
    json_t *json = json_loadb(contents.data + 8, (size_t)length, JSON_REJECT_DUPLICATES, &error);
    tn_status status = TN_OK;
    if (!json || !json_is_object(json))
        status = tn_fail(TN_E_FORMAT, "its header is no JSON object: %s", json ? "it is something else" : error.text);
    else
        status = read_header(f, json, (tn_string){contents.data + 8 + length, contents.size - 8 - (size_t)length});
    json_decref(json);
    return status;
}

tn_status tn_safetensors_parse(tn_string contents, tn_safetensors **out_file) {
    *out_file = NULL;
    tn_region *region = tn_region_create(NULL);
    tn_safetensors *f = region ? tn_region_alloc(region, sizeof *f) : NULL;
    tn_status status = TN_E_MEMORY;
    if (f) {
        f->region = region;
        status = parse(contents, f);
    }
    if (status == TN_OK)
        *out_file = f;
    else
        tn_region_destroy(region);
    return status;
}
#else
tn_status tn_safetensors_parse(tn_string contents, tn_safetensors **out_file) {
    (void)contents;
    *out_file = NULL;
    return tn_fail(TN_E_UNSUPPORTED, "safetensors files want a library built with jansson, on a little-endian machine");
}
#endif

tn_status tn_safetensors_open(const char *path, tn_safetensors **out_file) {
    tn_string contents;
    *out_file = NULL;
    TN_TRY(tn_map_file(path, &contents));
    tn_status status = tn_safetensors_parse(contents, out_file);
    if (status != TN_OK) {
        tn_unmap_contents(contents);
        return tn_fail_context(status, "%s", path);
    }
    (*out_file)->mapped = contents;
    return TN_OK;
}

/* Elements stay in the mapping, which becomes the graph's; those that were copied are copied again. */
tn_status tn_safetensors_load_graph(const char *path, tn_graph **out_graph) {
    tn_safetensors *f;
    tn_graph *graph = NULL;
    *out_graph = NULL;
    TN_TRY(tn_safetensors_open(path, &f));
    tn_string mapped = f->mapped;
    tn_status status = tn_graph_create_root(NULL, 0, &graph);
    if (status == TN_OK) {
        f->mapped = (tn_string){NULL, 0};
        status = tn_keep_contents(graph, mapped); /* the graph's from here on, even if this fails */
    }
    for (int i = 0; status == TN_OK && i < f->count; i++) {
        const tn_tensor *from = &f->all[i].tensor;
        bool inside = (uintptr_t)from->data - (uintptr_t)mapped.data < mapped.size;
        tn_tensor *t = tn_graph_tensor(graph, from->dtype, from->rank, from->dims, inside ? from->data : NULL);
        if (!t || tn_graph_add_constant(graph, f->all[i].name, t) < 0)
            status = TN_E_MEMORY;
        else if (!inside)
            memcpy(t->data, from->data, tn_tensor_bytes(t));
    }
    tn_safetensors_close(f);
    if (status == TN_OK)
        *out_graph = graph;
    else
        tn_graph_destroy(graph);
    return status;
}
