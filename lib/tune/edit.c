/* A trial's plan: the plan's tree with some of its values replaced, as text again. */
#include "base/text.h"
#include "data/csv.h"
#include "ops/cast_text.h"
#include "tune/tuning.h"

static tn_manifest_node *copy(tn_region *region, const tn_manifest_node *from) {
    tn_manifest_node *to = tn_manifest_new(region, from->kind, from->text);
    if (!to) return NULL;
    to->quoted = from->quoted;
    to->line = from->line;
    for (const tn_manifest_node *child = from->first; child; child = child->next) {
        tn_manifest_node *inner = copy(region, child);
        if (!inner) return NULL;
        tn_manifest_append(to, child->key, inner);
    }
    return to;
}

/* What stands there keeps its place among its neighbours. */
static void replace(tn_manifest_node *at, const tn_manifest_node *by) {
    at->kind = by->kind;
    at->text = by->text;
    at->quoted = by->quoted;
    at->count = by->count;
    at->first = by->first;
    at->last = by->last;
}

/* One word of a path; entries of lists by their number. Keys that are not there yet are made. */
static tn_status step(tn_region *region, tn_manifest_node **at, const char *path, const char *word, size_t size) {
    char text[200];
    if (!size || size >= sizeof text) return tn_fail(TN_E_FORMAT, "'%.80s' is no path: words with dots between", path);
    memcpy(text, word, size);
    text[size] = 0;
    tn_manifest_node *parent = *at, *child = NULL;
    if (parent->kind == TN_MANIFEST_LIST) {
        int index = 0;
        for (size_t i = 0; i < size && index >= 0 && index < TN_MANIFEST_NODES; i++)
            index = text[i] >= '0' && text[i] <= '9' ? 10 * index + (text[i] - '0') : -1;
        child = parent->first;
        for (int i = 0; index >= 0 && child && i < index; i++) child = child->next;
        if (index < 0 || !child)
            return tn_fail(TN_E_NOT_FOUND, "'%.80s': '%s' is no entry of a list of %d, counted from 0", path, text,
                           parent->count);
    } else if (parent->kind == TN_MANIFEST_MAP) {
        child = tn_manifest_child(parent, text);
        if (!child) {
            child = tn_manifest_new(region, TN_MANIFEST_MAP, NULL);
            const char *key = tn_region_strdup(region, text);
            if (!child || !key) return TN_E_MEMORY;
            tn_manifest_append(parent, key, child);
        }
    } else {
        return tn_fail(TN_E_NOT_FOUND, "'%.80s': there is nothing below the value in front of '%s'", path, text);
    }
    *at = child;
    return TN_OK;
}

static tn_status set(tn_region *region, tn_manifest_node *root, const char *path, const tn_manifest_node *value) {
    tn_manifest_node *at = root, *own = copy(region, value);
    if (!own) return TN_E_MEMORY;
    for (const char *word = path;;) {
        size_t size = strcspn(word, ".");
        TN_TRY(step(region, &at, path, word, size));
        if (!word[size]) break;
        word += size + 1;
    }
    replace(at, own);
    return TN_OK;
}

/* The printer tells numbers from texts by their kind, and the reader by quotes. */
static void find_numbers(tn_manifest_node *node) {
    double x;
    if (node->kind == TN_MANIFEST_TEXT && !node->quoted && tn_field_number(tn_string_of(node->text), '.', &x) &&
        isfinite(x))
        node->kind = TN_MANIFEST_NUMBER;
    for (tn_manifest_node *child = node->first; child; child = child->next) find_numbers(child);
}

tn_status tn_tuning_print(const tn_manifest_node *root, tn_region *region, tn_string *out) {
    tn_manifest_node *own = copy(region, root);
    if (!own) return TN_E_MEMORY;
    find_numbers(own);
    return tn_manifest_print(own, region, out);
}

/* A path of the plan, from the study's folder. */
static tn_status move_path(const tn_tuning *t, tn_region *region, const tn_manifest_node *map, const char *key) {
    tn_manifest_node *node = map && map->kind == TN_MANIFEST_MAP ? tn_manifest_child(map, key) : NULL;
    if (!node || node->kind != TN_MANIFEST_TEXT || *node->text == '/' || !*t->prefix) return TN_OK;
    node->text = tn_region_printf(region, "%s%s", t->prefix, node->text);
    return node->text ? TN_OK : TN_E_MEMORY;
}

tn_status tn_tuning_plan(const tn_tuning *t, const double *x, tn_region *region, tn_string *out) {
    tn_manifest_node *root;
    TN_TRY(tn_manifest_read_yaml(t->plan, region, &root));
    for (int i = 0; i < t->study->dimension_count; i++) {
        if (isnan(x[i])) continue;
        const tn_manifest_node *value = t->knobs[i].choices ? t->knobs[i].choices->first : NULL;
        if (value) {
            for (int k = 0; k < (int)x[i]; k++) value = value->next;
        } else {
            char text[TN_NUMBER_TEXT];
            tn_double_to_text(x[i], text);
            const char *own = tn_region_strdup(region, text);
            if (!own || !(value = tn_manifest_new(region, TN_MANIFEST_NUMBER, own))) return TN_E_MEMORY;
        }
        TN_TRY(set(region, root, t->knobs[i].path, value));
    }
    const tn_manifest_node *data = tn_manifest_child(root, "data");
    TN_TRY(move_path(t, region, data, "train"));
    TN_TRY(move_path(t, region, data, "test"));
    TN_TRY(move_path(t, region, tn_manifest_child(root, "model"), "file"));
    return tn_tuning_print(root, region, out);
}

static void put_label(tn_text *t, const tn_manifest_node *node) {
    if (node->text) {
        tn_put_text(t, node->text);
        return;
    }
    tn_put_text(t, node->kind == TN_MANIFEST_MAP ? "{" : "[");
    for (const tn_manifest_node *child = node->first; child; child = child->next) {
        if (child != node->first) tn_put_text(t, ", ");
        if (node->kind == TN_MANIFEST_MAP) {
            tn_put_text(t, child->key);
            tn_put_text(t, ": ");
        }
        put_label(t, child);
    }
    tn_put_text(t, node->kind == TN_MANIFEST_MAP ? "}" : "]");
}

tn_status tn_tuning_label(const tn_manifest_node *node, tn_region *region, const char **out) {
    tn_text text = {.region = region};
    put_label(&text, node);
    if (text.failed) return TN_E_MEMORY;
    *out = text.data ? text.data : "";
    return TN_OK;
}

const char *tn_tuning_place(const tn_tuning *t, int64_t number, const char *kind, tn_region *region) {
    return tn_region_printf(region, "%s%s%s.%lld.%s", t->folder ? t->folder : "", t->folder ? "/" : "", t->name,
                            (long long)number, kind);
}
