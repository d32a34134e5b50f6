/* Canonical JSON, as OLPC wrote it down (wiki.laptop.org/go/Canonical_JSON) and The Update Framework signs it: no white
 * space, keys in order of their bytes, integers alone, and in strings nothing escaped but the quote and the backslash. */
#include "trust/trust.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct writer {
    char *to; /* NULL: only counts */
    size_t size;
} writer;

static void put(writer *w, const char *text, size_t size) {
    if (w->to) memcpy(w->to + w->size, text, size);
    w->size += size;
}

static void put_string(writer *w, const char *text) {
    put(w, "\"", 1);
    while (*text) {
        size_t n = strcspn(text, "\"\\");
        put(w, text, n);
        text += n;
        if (!*text) break;
        put(w, "\\", 1);
        put(w, text++, 1);
    }
    put(w, "\"", 1);
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static tn_status put_value(writer *w, const json_t *json);

static tn_status put_object(writer *w, const json_t *json) {
    size_t count = json_object_size(json), i = 0, bytes;
    const char *key;
    json_t *value;
    if (!tn_mul_size(count + 1, sizeof key, &bytes)) return tn_fail(TN_E_LIMIT, "too many members");
    const char **keys = tn_alloc(NULL, bytes);
    if (!keys) return TN_E_MEMORY;
    json_object_foreach((json_t *)json, key, value) keys[i++] = key;
    qsort(keys, count, sizeof *keys, by_bytes);
    tn_status status = TN_OK;
    put(w, "{", 1);
    for (i = 0; i < count && status == TN_OK; i++) {
        if (i) put(w, ",", 1);
        put_string(w, keys[i]);
        put(w, ":", 1);
        status = put_value(w, json_object_get(json, keys[i]));
    }
    put(w, "}", 1);
    tn_free(NULL, keys, bytes);
    return status;
}

static tn_status put_array(writer *w, const json_t *json) {
    put(w, "[", 1);
    for (size_t i = 0; i < json_array_size(json); i++) {
        if (i) put(w, ",", 1);
        TN_TRY(put_value(w, json_array_get(json, i)));
    }
    put(w, "]", 1);
    return TN_OK;
}

/* How deep it goes, jansson has limited when it read the text. */
static tn_status put_value(writer *w, const json_t *json) {
    char number[32];
    switch (json_typeof(json)) {
    case JSON_OBJECT: return put_object(w, json);
    case JSON_ARRAY: return put_array(w, json);
    case JSON_STRING: put_string(w, json_string_value(json)); return TN_OK;
    case JSON_INTEGER:
        put(w, number, (size_t)snprintf(number, sizeof number, "%" PRId64, (int64_t)json_integer_value(json)));
        return TN_OK;
    case JSON_TRUE: put(w, "true", 4); return TN_OK;
    case JSON_FALSE: put(w, "false", 5); return TN_OK;
    case JSON_NULL: put(w, "null", 4); return TN_OK;
    default: return tn_fail(TN_E_FORMAT, "canonical JSON has no numbers with a point or an exponent");
    }
}

tn_status tn_canonical(const json_t *json, char **out_text, size_t *out_size) {
    writer w = {0};
    *out_text = NULL;
    TN_TRY(put_value(&w, json));
    char *text = tn_alloc(NULL, w.size + 1);
    if (!text) return TN_E_MEMORY;
    *out_size = w.size;
    w = (writer){.to = text};
    tn_status status = put_value(&w, json);
    text[*out_size] = 0;
    if (status == TN_OK)
        *out_text = text;
    else
        tn_store_free_text(text, *out_size);
    return status;
}
