/* JSON by jansson, with this library's sentences. */
#include "store/store.h"

tn_status tn_json_parse(const char *what, const char *text, size_t size, json_t **out_json) {
    json_error_t error;
    *out_json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (!*out_json) return tn_fail(TN_E_FORMAT, "%s: line %d: %s", what, error.line, error.text);
    if (json_is_object(*out_json)) return TN_OK;
    json_decref(*out_json);
    *out_json = NULL;
    return tn_fail(TN_E_FORMAT, "%s is no JSON object", what);
}

tn_status tn_json_text(const json_t *object, const char *what, const char *key, const char **out_text) {
    const json_t *member = json_object_get(object, key);
    *out_text = json_string_value(member);
    if (!*out_text || strlen(*out_text) != json_string_length(member))
        return tn_fail(TN_E_FORMAT, "%s has no text '%s'", what, key);
    return TN_OK;
}

tn_status tn_json_copy(const json_t *object, const char *what, const char *key, char *text, size_t size) {
    const char *from;
    TN_TRY(tn_json_text(object, what, key, &from));
    size_t length = strlen(from);
    if (length >= size)
        return tn_fail(TN_E_FORMAT, "%s: '%s' has %zu bytes; at most %zu are expected", what, key, length, size - 1);
    memcpy(text, from, length + 1);
    return TN_OK;
}

const char *tn_json_annotation(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(json_object_get(object, "annotations"), key));
    return text ? text : "";
}

char *tn_json_dump(const json_t *json) {
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text) tn_fail(TN_E_MEMORY, "no memory for a text of JSON");
    return text;
}
