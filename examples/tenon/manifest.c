/* What a model file says of itself: its digest, its sections, its manifest. */
#include <stdlib.h>
#include <string.h>
#include "tool.h"

static void show_value(const tn_manifest *m, const char *path, const char *key, json *j) {
    tn_manifest_kind kind = tn_manifest_kind_of(m, path);
    int count = tn_manifest_count(m, path);
    const char *text = tn_manifest_get(m, path);
    size_t size = strlen(path) + 160;
    char *inner;
    switch (kind) {
    case TN_MANIFEST_NONE: return;
    case TN_MANIFEST_TEXT: emit_text(j, key, text); return;
    case TN_MANIFEST_NUMBER:
        if (strpbrk(text, ".e") || strlen(text) > 18)
            emit_number(j, key, strtod(text, NULL));
        else
            emit_int(j, key, strtoll(text, NULL, 10));
        return;
    case TN_MANIFEST_LIST: emit_array(j, key); break;
    case TN_MANIFEST_MAP: emit_object(j, key); break;
    }
    inner = tool_alloc(size, 1);
    for (int i = 0; i < count; i++) {
        const char *name = kind == TN_MANIFEST_MAP ? tn_manifest_key(m, path, i) : NULL;
        char number[16];
        snprintf(number, sizeof number, "%d", i);
        snprintf(inner, size, "%s%s%s", path, *path ? "/" : "", name ? name : number);
        show_value(m, inner, name, j);
    }
    free(inner);
    emit_end(j);
}

static void show_sections(const char *path, json *j) {
    tn_model_file *file;
    tn_section_info info = {.struct_size = sizeof info};
    if (tn_model_file_open(path, &file) != TN_OK) return;
    if (j) emit_array(j, "sections");
    for (int i = 0; tn_model_file_section(file, i, &info) == TN_OK; i++) {
        unsigned long long length = info.length, stored = info.stored;
        if (!j) {
            printf("%s  %s: %llu bytes", i ? "" : "sections:\n", info.name, length);
            if (info.deflated || info.runs) printf(", %s %llu", info.runs ? "in runs of" : "deflated to", stored);
            printf("\n");
            continue;
        }
        emit_object(j, NULL);
        emit_text(j, "name", info.name);
        emit_int(j, "offset", (int64_t)info.offset);
        emit_int(j, "stored", (int64_t)stored);
        emit_int(j, "length", (int64_t)length);
        emit_bool(j, "deflated", info.deflated);
        emit_bool(j, "runs", info.runs);
        emit_text(j, "sha256", info.digest);
        emit_end(j);
    }
    if (j) emit_end(j);
    tn_model_file_close(file);
}

/* Line by line, indented. */
static void print_text(const char *text) {
    for (size_t n; *text; text += n) {
        n = strcspn(text, "\n");
        n += text[n] == '\n';
        printf("  %.*s", (int)n, text);
    }
}

void manifest_show(const tn_model *model, const char *path, json *j) {
    const char *text = tn_model_manifest(model), *digest = tn_model_digest(model);
    tn_manifest *m = NULL;
    if (!digest) return;
    if (j)
        emit_text(j, "digest", digest);
    else
        printf("digest: %s\n", digest);
    show_sections(path, j);
    if (!text) return;
    if (!j) {
        printf("manifest:\n");
        print_text(text);
    } else if (tn_manifest_parse(text, strlen(text), &m) == TN_OK) {
        show_value(m, "", "manifest", j);
    } else {
        emit_text(j, "manifest", text); /* a build without YAML, or keys of a newer version */
    }
    tn_manifest_destroy(m);
}
