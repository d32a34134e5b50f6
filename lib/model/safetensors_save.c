/* Writing safetensors files, as the format's own library does: tensors in order of their elements' sizes, the largest
 * first, so that each lies at a multiple of its own, behind a header that spaces fill to a multiple of 8 bytes. */
#include "model/safetensors.h"
#include "graph/graph.h"

typedef struct item {
    const char *name;
    const tn_tensor *tensor;
} item;

#if TN_WITH_JANSSON && __BYTE_ORDER__ != __ORDER_BIG_ENDIAN__
#include <jansson.h>
#include <stdlib.h>
#include "base/output.h"

static int by_size(const void *a, const void *b) {
    const item *x = a, *y = b;
    size_t p = tn_dtype_bits(x->tensor->dtype), q = tn_dtype_bits(y->tensor->dtype);
    if (p != q) return p > q ? -1 : 1;
    return strcmp(x->name, y->name);
}

static tn_status add(json_t *header, const item *i, uint64_t *at) {
    const char *type = tn_safetensors_type_name(i->tensor->dtype);
    size_t bytes = tn_tensor_bytes(i->tensor);
    if (!type)
        return tn_fail(TN_E_UNSUPPORTED, "'%.200s' is %s, which safetensors files have not", i->name,
                       tn_dtype_name(i->tensor->dtype));
    if (strcmp(i->name, "__metadata__") == 0 || json_object_get(header, i->name))
        return tn_fail(TN_E_INVALID, "two tensors are named '%.200s', or it is a name that the format keeps", i->name);
    json_t *shape = json_array();
    for (int d = 0; shape && d < i->tensor->rank; d++)
        json_array_append_new(shape, json_integer((json_int_t)i->tensor->dims[d]));
    json_t *entry = json_pack("{s:s,s:o,s:[I,I]}", "dtype", type, "shape", shape, "data_offsets", (json_int_t)*at,
                              (json_int_t)(*at + bytes));
    *at += bytes;
    if (json_object_set_new(header, i->name, entry) == 0) return TN_OK;
    return tn_fail(TN_E_INVALID, "the name '%.200s' is no UTF-8, or there is no memory", i->name);
}

static tn_status write(const char *path, const char *header, const item *items, int count) {
    tn_output o;
    uint64_t length = (strlen(header) + 7) / 8 * 8;
    TN_TRY(tn_output_open(&o, path));
    tn_output_write(&o, &length, 8);
    tn_output_write(&o, header, strlen(header));
    tn_output_write(&o, "        ", (size_t)(length - strlen(header)));
    for (int i = 0; i < count && o.status == TN_OK; i++) {
        tn_tensor *dense = NULL;
        const tn_tensor *t = items[i].tensor;
        if (!tn_tensor_is_dense(t)) {
            tn_status status = tn_tensor_clone(t, NULL, &dense);
            if (status != TN_OK) {
                tn_output_abort(&o);
                return status;
            }
            t = dense;
        }
        tn_output_write(&o, tn_tensor_const_data(t), tn_tensor_bytes(t));
        tn_tensor_destroy(dense);
    }
    return tn_output_commit(&o);
}

static tn_status save(const char *path, item *items, int count) {
    json_t *header = json_object();
    uint64_t at = 0;
    tn_status status = header ? TN_OK : tn_fail(TN_E_MEMORY, "no memory for a header");
    qsort(items, (size_t)count, sizeof *items, by_size);
    for (int i = 0; status == TN_OK && i < count; i++) status = add(header, &items[i], &at);
    char *text = status == TN_OK ? json_dumps(header, JSON_COMPACT) : NULL;
    if (status == TN_OK)
        status = text ? write(path, text, items, count) : tn_fail(TN_E_MEMORY, "no memory for a header");
    free(text);
    json_decref(header);
    return status;
}
#else
static tn_status save(const char *path, item *items, int count) {
    (void)path, (void)items, (void)count;
    return tn_fail(TN_E_UNSUPPORTED, "safetensors files want a library built with jansson, on a little-endian machine");
}
#endif

static item *make_items(int count, size_t *out_bytes) {
    *out_bytes = 0;
    if (count < 0 || !tn_mul_size((size_t)count + 1, sizeof(item), out_bytes)) {
        tn_fail(TN_E_INVALID, "%d tensors cannot be written", count);
        return NULL;
    }
    return tn_alloc(NULL, *out_bytes);
}

tn_status tn_safetensors_save(const char *path, int count, const char *const *names, const tn_tensor *const *tensors) {
    size_t bytes;
    item *items = make_items(count, &bytes);
    if (!items) return count < 0 ? TN_E_INVALID : TN_E_MEMORY;
    for (int i = 0; i < count; i++) items[i] = (item){names[i], tensors[i]};
    tn_status status = save(path, items, count);
    tn_free(NULL, items, bytes);
    return status;
}

tn_status tn_graph_save_safetensors(const tn_graph *graph, const char *path) {
    size_t bytes;
    int count = 0;
    item *items = make_items(graph->value_count, &bytes);
    if (!items) return TN_E_MEMORY;
    for (int i = 0; i < graph->value_count; i++) {
        const tn_graph_value *v = &graph->values[i];
        if (v->constant && v->name && *v->name && v->constant->dtype != TN_STRING)
            items[count++] = (item){v->name, v->constant};
    }
    tn_status status = save(path, items, count);
    tn_free(NULL, items, bytes);
    return status;
}
