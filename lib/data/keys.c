/* Reading maps of YAML by tables. See keys.h. */
#include "data/keys.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include "data/csv.h"

tn_status tn_key_fail(const tn_manifest_node *at, const char *format, ...) {
    char text[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return tn_fail(TN_E_FORMAT, "line %d, column %d: %s", at->line, at->column, text);
}

static bool number_of(const tn_manifest_node *node, double *out) {
    return node->text && !node->quoted && tn_field_number((tn_string){node->text, strlen(node->text)}, '.', out) &&
           isfinite(*out);
}

static tn_status read_number(const tn_manifest_node *node, const tn_key *key, double *out) {
    bool whole = key->kind == TN_KEY_WHOLE;
    if (number_of(node, out) && *out >= key->low && *out <= key->high && (!whole || *out == floor(*out))) return TN_OK;
    return tn_key_fail(node, "'%s' is a %s from %.9g to %.9g, not '%.40s'", key->name,
                       whole ? "whole number" : "number", key->low, key->high,
                       node->text ? node->text : "a list or map");
}

static tn_status read_word(const tn_manifest_node *node, const tn_key *key, int *out) {
    char known[300] = "";
    for (int i = 0; key->words[i]; i++) {
        size_t used = strlen(known);
        if (!*key->words[i]) continue;
        if (node->text && strcmp(node->text, key->words[i]) == 0) {
            *out = i;
            return TN_OK;
        }
        snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", key->words[i]);
    }
    return tn_key_fail(node, "'%s' is one of %s, not '%.40s'", key->name, known,
                       node->text ? node->text : "a list or map");
}

tn_status tn_key_read(const tn_manifest_node *node, const tn_key *key, void *out) {
    void *field = (char *)out + key->offset;
    double x;
    switch (key->kind) {
    case TN_KEY_NODE: *(const tn_manifest_node **)field = node; return TN_OK;
    case TN_KEY_TEXT:
        if (!node->text || !*node->text) return tn_key_fail(node, "'%s' is a text", key->name);
        *(const char **)field = node->text;
        return TN_OK;
    case TN_KEY_SWITCH:
        if (!node->text || (strcmp(node->text, "true") != 0 && strcmp(node->text, "false") != 0))
            return tn_key_fail(node, "'%s' is true or false", key->name);
        *(bool *)field = node->text[0] == 't';
        return TN_OK;
    case TN_KEY_WORD: return read_word(node, key, field);
    case TN_KEY_NUMBER:
    case TN_KEY_WHOLE: break;
    }
    TN_TRY(read_number(node, key, &x));
    if (key->kind == TN_KEY_WHOLE)
        *(int64_t *)field = (int64_t)x;
    else
        *(double *)field = x;
    return TN_OK;
}

tn_status tn_keys_read(const tn_manifest_node *map, const tn_key *keys, void *out) {
    if (map->kind != TN_MANIFEST_MAP) return tn_key_fail(map, "a map was expected, '%s: ...' and so on", keys->name);
    for (const tn_manifest_node *child = map->first; child; child = child->next) {
        char known[500] = "";
        const tn_key *key = keys;
        while (key->name && strcmp(key->name, child->key) != 0) key++;
        if (key->name) {
            TN_TRY(tn_key_read(child, key, out));
            continue;
        }
        for (key = keys; key->name; key++) {
            size_t used = strlen(known);
            snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", key->name);
        }
        return tn_key_fail(child, "there is no key '%.80s' here; there are %s", child->key, known);
    }
    return TN_OK;
}

tn_status tn_key_sizes(const tn_manifest_node *node, const char *name, double low, double high, int most, int64_t *out,
                       int *out_count) {
    const tn_key key = {.name = name, .kind = TN_KEY_WHOLE, .low = low, .high = high};
    *out_count = 0;
    if (node->kind == TN_MANIFEST_MAP) return tn_key_fail(node, "'%s' is a whole number or a list of them", name);
    if (node->kind != TN_MANIFEST_LIST) {
        *out_count = 1;
        return tn_key_read(node, &key, out);
    }
    if (node->count < 1 || node->count > most)
        return tn_key_fail(node, "'%s' has %d numbers; 1 to %d can be", name, node->count, most);
    for (const tn_manifest_node *child = node->first; child; child = child->next)
        TN_TRY(tn_key_read(child, &key, &out[(*out_count)++]));
    return TN_OK;
}

tn_status tn_keys_parse(tn_string text, const char *what, tn_region *region, tn_manifest_node **out_root) {
    if (text.size > TN_KEYS_BYTES) return tn_fail(TN_E_LIMIT, "%s of more than 1 MiB", what);
    return tn_manifest_read_yaml(text, region, out_root);
}

tn_status tn_keys_load(const char *path, tn_region *region, tn_string *out_text, const char **out_folder) {
    const char *slash = strrchr(path, '/');
    *out_text = (tn_string){NULL, 0};
    *out_folder = slash ? tn_region_strndup(region, path, TN_MAX((size_t)(slash - path), 1)) : NULL;
    char *text = tn_region_alloc(region, TN_KEYS_BYTES + 1);
    if (!text || (slash && !*out_folder)) return TN_E_MEMORY;
    FILE *file = fopen(path, "rb");
    if (!file) return tn_fail(TN_E_IO, "cannot open '%s': %s", path, strerror(errno));
    *out_text = (tn_string){text, fread(text, 1, TN_KEYS_BYTES + 1, file)};
    tn_status status = ferror(file) ? tn_fail(TN_E_IO, "cannot read '%s': %s", path, strerror(errno)) : TN_OK;
    fclose(file);
    if (status == TN_OK && out_text->size > TN_KEYS_BYTES)
        status = tn_fail(TN_E_LIMIT, "'%s' has more than 1 MiB", path);
    return status;
}

tn_status tn_keys_place(const char **path, const char *folder, tn_region *region) {
    if (!*path || **path == '/' || !folder) return TN_OK;
    *path = tn_region_printf(region, "%s/%s", folder, *path);
    return *path ? TN_OK : TN_E_MEMORY;
}
