/* The canonical form of manifests: see tenon/manifest.h. Written here, byte for byte, so that no version of a YAML library
 * changes what a file's digest is of. */
#include <stdio.h>
#include "model/manifest.h"

typedef struct printer {
    tn_region *region;
    char *text;
    size_t used, capacity;
    bool failed;
} printer;

static void put(printer *p, const char *text, size_t size) {
    if (size >= p->capacity - p->used) {
        size_t capacity = 2 * (p->used + size) + 4096;
        char *grown = p->failed ? NULL : tn_region_alloc(p->region, capacity);
        if (!grown) {
            p->failed = true;
            return;
        }
        if (p->used) memcpy(grown, p->text, p->used);
        p->text = grown;
        p->capacity = capacity;
    }
    memcpy(p->text + p->used, text, size);
    p->used += size;
}

static void put_text(printer *p, const char *text) {
    put(p, text, strlen(text));
}

static bool is_word_of_yaml(const char *s) {
    static const char *const words[] = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"};
    for (size_t w = 0; w < TN_COUNT(words); w++) {
        size_t i = 0;
        while (s[i] && (s[i] | 0x20) == words[w][i]) i++;
        if (!s[i] && !words[w][i]) return true;
    }
    return false;
}

/* 1.4.0, which is no number to anybody. */
static bool is_version(const char *s) {
    for (int part = 0; part < 3; part++) {
        size_t n = strspn(s, "0123456789");
        if (!n || (part < 2 && s[n] != '.')) return false;
        s += n + (part < 2);
    }
    return strspn(s, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.+-") == strlen(s);
}

/* Whether YAML of any version reads the plain text as a string. */
static bool is_plain(const char *s) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    size_t n = strlen(s), colon = strncmp(s, "sha256:", 7) == 0 ? 7 : 0;
    if (is_version(s)) return true;
    if (!n || !strchr(letters, *s) || is_word_of_yaml(s) || s[n - 1] == ' ') return false;
    for (size_t i = colon; i < n; i++) {
        bool inside = strchr(letters, s[i]) || strchr("0123456789./+-()", s[i]) || (s[i] == ' ' && s[i + 1] != ' ');
        if (!inside) return false;
    }
    return true;
}

/* Characters that YAML would take for line breaks or not read, as \uXXXX; their bytes, or 0 for others. */
static size_t put_escaped(printer *p, const char *s) {
    char text[8];
    const uint8_t *b = (const uint8_t *)s;
    unsigned code = 0;
    size_t size = 0;
    if (b[0] == 0xc2 && b[1] >= 0x80 && b[1] < 0xa0)
        code = b[1], size = 2;
    else if (b[0] == 0xe2 && b[1] == 0x80 && (b[2] == 0xa8 || b[2] == 0xa9))
        code = 0x2000u + (b[2] - 0x80u), size = 3;
    else if (b[0] == 0xef && b[1] == 0xbb && b[2] == 0xbf)
        code = 0xfeff, size = 3;
    else if (b[0] == 0xef && b[1] == 0xbf && b[2] >= 0xbe)
        code = 0xffc0u + (b[2] - 0x80u), size = 3;
    if (size) put(p, text, (size_t)snprintf(text, sizeof text, "\\u%04X", code));
    return size;
}

static void put_quoted(printer *p, const char *s) {
    put(p, "\"", 1);
    for (size_t n; *s; s += n) {
        char hex[8];
        n = put_escaped(p, s);
        if (n) continue;
        n = 1;
        if (*s == '"' || *s == '\\')
            put(p, (char[]){'\\', *s}, 2);
        else if (*s == '\n')
            put(p, "\\n", 2);
        else if (*s == '\t')
            put(p, "\\t", 2);
        else if ((unsigned char)*s < 0x20 || *s == 0x7f)
            put(p, hex, (size_t)snprintf(hex, sizeof hex, "\\x%02X", (unsigned)(unsigned char)*s));
        else
            put(p, s, 1);
    }
    put(p, "\"", 1);
}

static void put_string(printer *p, const char *text) {
    if (is_plain(text))
        put_text(p, text);
    else
        put_quoted(p, text);
}

static void put_scalar(printer *p, const tn_manifest_node *node) {
    if (node->kind == TN_MANIFEST_NUMBER)
        put_text(p, node->text);
    else
        put_string(p, node->text);
}

/* A map without anything in it. An empty list is something: the shape of a scalar. */
static bool is_empty(const tn_manifest_node *node) {
    if (node->kind != TN_MANIFEST_MAP) return false;
    for (const tn_manifest_node *child = node->first; child; child = child->next)
        if (!is_empty(child)) return false;
    return true;
}

static void indent(printer *p, int depth) {
    for (int i = 0; i < depth; i++) put(p, "  ", 2);
}

static bool has_only_scalars(const tn_manifest_node *list) {
    for (const tn_manifest_node *child = list->first; child; child = child->next)
        if (child->kind != TN_MANIFEST_TEXT && child->kind != TN_MANIFEST_NUMBER) return false;
    return true;
}

static void put_entries(printer *p, const tn_manifest_node *node, int depth, bool begun);

/* A value behind "key:" or "-". */
static void put_value(printer *p, const tn_manifest_node *node, int depth, bool in_list) {
    if (node->kind == TN_MANIFEST_LIST && has_only_scalars(node)) {
        put_text(p, " [");
        for (const tn_manifest_node *child = node->first; child; child = child->next) {
            if (child != node->first) put_text(p, ", ");
            put_scalar(p, child);
        }
        put_text(p, "]\n");
    } else if (node->kind == TN_MANIFEST_LIST || node->kind == TN_MANIFEST_MAP) {
        if (is_empty(node))
            put_text(p, " {}\n");
        else if (in_list)
            put_text(p, " ");
        else
            put_text(p, "\n");
        put_entries(p, node, depth, in_list);
    } else {
        put_text(p, " ");
        put_scalar(p, node);
        put_text(p, "\n");
    }
}

/* begun: the first entry stands on a line that has been begun. */
static void put_entries(printer *p, const tn_manifest_node *node, int depth, bool begun) {
    for (const tn_manifest_node *child = node->first; child; child = child->next) {
        if (node->kind == TN_MANIFEST_MAP && is_empty(child)) continue;
        if (!begun) indent(p, depth);
        begun = false;
        if (node->kind == TN_MANIFEST_MAP) {
            put_string(p, child->key);
            put_text(p, ":");
        } else {
            put_text(p, "-");
        }
        put_value(p, child, depth + 1, node->kind == TN_MANIFEST_LIST);
    }
}

tn_status tn_manifest_print(const tn_manifest_node *root, tn_region *region, tn_string *out) {
    printer p = {.region = region};
    put_entries(&p, root, 0, false);
    put(&p, "", 1);
    if (p.failed) return TN_E_MEMORY;
    *out = (tn_string){p.text, p.used - 1};
    return TN_OK;
}
