/* What may be in a manifest: a table a map, a row a key, in the order of the canonical form. See tenon/manifest.h. */
#include <stdio.h>
#include <stdlib.h>
#include "base/semver.h"
#include "model/manifest.h"

typedef enum type { TEXT, NAME, VERSION, TIME, DIGEST, DTYPE, DIM, WHOLE, NUMBER, SWITCH, LIST, MAP, FREE } value_type;

typedef struct row {
    const char *key;          /* NULL ends a table */
    value_type type, of;      /* of: what a list is a list of */
    const struct row *inside; /* of a map, or of the maps in a list */
    bool required;
    int least, most; /* elements of a list; most 0: any number */
} row;

static const row normalisation_rows[] = {
    {"mean", LIST, NUMBER, NULL, false, 1, 0},
    {"scale", LIST, NUMBER, NULL, false, 1, 0},
    {"description", TEXT, TEXT, NULL, false, 0, 0},
    {0},
};
static const row tensor_rows[] = {
    {"name", TEXT, TEXT, NULL, true, 0, 0},
    {"dtype", DTYPE, TEXT, NULL, false, 0, 0},
    {"shape", LIST, DIM, NULL, false, 0, TN_MANIFEST_DEPTH},
    {"description", TEXT, TEXT, NULL, false, 0, 0},
    {"unit", TEXT, TEXT, NULL, false, 0, 0},
    {"range", LIST, NUMBER, NULL, false, 2, 2},
    {"normalisation", MAP, TEXT, normalisation_rows, false, 0, 0},
    {"classes", LIST, TEXT, NULL, false, 0, 0},
    {0},
};
static const row metric_rows[] = {
    {"name", TEXT, TEXT, NULL, true, 0, 0},
    {"value", NUMBER, TEXT, NULL, true, 0, 0},
    {"unit", TEXT, TEXT, NULL, false, 0, 0},
    {"data", TEXT, TEXT, NULL, true, 0, 0},
    {"data_digest", DIGEST, TEXT, NULL, false, 0, 0},
    {"samples", WHOLE, TEXT, NULL, false, 0, 0},
    {0},
};
static const row data_rows[] = {
    {"name", TEXT, TEXT, NULL, true, 0, 0},
    {"digest", DIGEST, TEXT, NULL, false, 0, 0},
    {"samples", WHOLE, TEXT, NULL, false, 0, 0},
    {"description", TEXT, TEXT, NULL, false, 0, 0},
    {0},
};
static const row provenance_rows[] = {
    {"data", LIST, MAP, data_rows, false, 0, 0},
    {"seed", WHOLE, TEXT, NULL, false, 0, 0},
    {"source", TEXT, TEXT, NULL, false, 0, 0},
    {"tools", FREE, TEXT, NULL, false, 0, 0},
    {0},
};
static const row host_rows[] = {
    {"library", VERSION, TEXT, NULL, false, 0, 0},
    {"cpu", NAME, TEXT, NULL, false, 0, 0},
    {"arena_bytes", WHOLE, TEXT, NULL, false, 0, 0},
    {"weight_bytes", WHOLE, TEXT, NULL, false, 0, 0},
    {0},
};
static const row manifest_rows[] = {
    {"name", NAME, TEXT, NULL, true, 0, 0},
    {"version", VERSION, TEXT, NULL, true, 0, 0},
    {"title", TEXT, TEXT, NULL, false, 0, 0},
    {"description", TEXT, TEXT, NULL, false, 0, 0},
    {"created", TIME, TEXT, NULL, false, 0, 0},
    {"parent", DIGEST, TEXT, NULL, false, 0, 0},
    {"licence", TEXT, TEXT, NULL, false, 0, 0},
    {"inputs", LIST, MAP, tensor_rows, false, 0, 0},
    {"outputs", LIST, MAP, tensor_rows, false, 0, 0},
    {"metrics", LIST, MAP, metric_rows, false, 0, 0},
    {"provenance", MAP, TEXT, provenance_rows, false, 0, 0},
    {"host", MAP, TEXT, host_rows, false, 0, 0},
    {"extra", FREE, TEXT, NULL, false, 0, 0},
    {0},
};

/* Of gates: tenon/gate.h. */
static const row bound_rows[] = {
    {"name", TEXT, TEXT, NULL, true, 0, 0},
    {"data", TEXT, TEXT, NULL, false, 0, 0},
    {"at_least", NUMBER, TEXT, NULL, false, 0, 0},
    {"at_most", NUMBER, TEXT, NULL, false, 0, 0},
    {"drop", NUMBER, TEXT, NULL, false, 0, 0},
    {"rise", NUMBER, TEXT, NULL, false, 0, 0},
    {0},
};
static const row gate_rows[] = {
    {"signed", NAME, TEXT, NULL, false, 0, 0},
    {"self_test", SWITCH, TEXT, NULL, false, 0, 0},
    {"metrics", LIST, MAP, bound_rows, false, 0, 0},
    {0},
};

typedef struct checker {
    tn_region *region;
    bool lenient;
} checker;

static tn_status fail_at(const tn_manifest_node *node, const char *key, const char *what) {
    return tn_fail(TN_E_FORMAT, "line %d, column %d: '%.80s' %s", node->line, node->column, key, what);
}

/* ---- scalars ---- */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
static bool is_alnum(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_name(const char *s, bool capitals) {
    size_t n = 0;
    for (; s[n]; n++)
        if (!(is_alnum(s[n]) && (capitals || s[n] < 'A' || s[n] > 'Z')) && !strchr("._-", s[n])) return false;
    return n >= 1 && n <= 128;
}

/* Digits without a needless zero before them; how many, 0 if there are none. */
static size_t digits(const char *s) {
    size_t n = 0;
    while (is_digit(s[n])) n++;
    return n > 1 && s[0] == '0' ? 0 : n;
}

/* 2026-01-31T12:00:00Z */
static bool is_time(const char *s) {
    static const char form[] = "dddd-dd-ddTdd:dd:ddZ";
    if (strlen(s) != sizeof form - 1) return false;
    for (size_t i = 0; form[i]; i++)
        if (form[i] == 'd' ? !is_digit(s[i]) : s[i] != form[i]) return false;
    int month = atoi(s + 5), day = atoi(s + 8);
    static const uint8_t days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1] && atoi(s + 11) < 24 && atoi(s + 14) < 60 &&
           atoi(s + 17) < 61;
}

static bool is_digest(const char *s) {
    return strncmp(s, "sha256:", 7) == 0 && strlen(s) == 71 && strspn(s + 7, "0123456789abcdef") == 64;
}

/* JSON's numbers, and a sign of + before them. */
static bool is_number(const char *s, bool whole) {
    s += *s == '-' || *s == '+';
    size_t n = digits(s);
    if (!n || (whole && s[n])) return false;
    s += n;
    if (*s == '.') {
        for (n = 0; is_digit(s[n + 1]);) n++;
        if (!n) return false;
        s += n + 1;
    }
    if (*s == 'e' || *s == 'E') {
        s += s[1] == '-' || s[1] == '+' ? 2 : 1;
        for (n = 0; is_digit(s[n]);) n++;
        if (!n || n > 4) return false;
        s += n;
    }
    return !*s;
}

/* Without a plus, zeros at the end of a fraction, and zeros before an exponent; 0 has no sign. */
static const char *plain_number(tn_region *region, const char *s) {
    size_t whole = 0, used = 0;
    char *out = tn_region_alloc(region, strlen(s) + 1);
    if (!out) return NULL;
    s += *s == '+';
    while (s[whole] && !strchr(".eE", s[whole])) whole++;
    memcpy(out, s, whole);
    used = whole;
    s += whole;
    if (*s == '.') {
        size_t fraction = strcspn(s, "eE"), kept = fraction;
        while (kept > 1 && s[kept - 1] == '0') kept--;
        if (kept > 1) memcpy(out + used, s, kept), used += kept;
        s += fraction;
    }
    if (*s) {
        s++;
        bool minus = *s == '-';
        s += minus || *s == '+';
        while (*s == '0') s++;
        if (*s) {
            out[used++] = 'e';
            if (minus) out[used++] = '-';
            memcpy(out + used, s, strlen(s));
        }
    }
    return strcmp(out, "-0") == 0 ? out + 1 : out;
}

static const char *const wanted[] = {
    [TEXT] = "must be a text",
    [NAME] = "must consist of lower-case letters, digits, '.', '_' and '-', at most 128",
    [VERSION] = "must be a semantic version, as 1.4.0 or 2.0.0-rc.1",
    [TIME] = "must be a time in UTC, as 2026-01-31T12:00:00Z",
    [DIGEST] = "must be a digest: sha256: and 64 hex digits",
    [DTYPE] = "must be a data type, as float32 or int8",
    [DIM] = "must be a size, a symbol or \"?\"",
    [WHOLE] = "must be a whole number",
    [NUMBER] = "must be a number",
    [SWITCH] = "must be true or false",
    [LIST] = "must be a list",
    [MAP] = "must be a map",
    [FREE] = "must be a map",
};

static tn_status check_scalar(const checker *c, tn_manifest_node *node, value_type type, const char *key) {
    bool good = node->kind == TN_MANIFEST_TEXT || node->kind == TN_MANIFEST_NUMBER;
    const char *s = good ? node->text : "";
    bool number = good && !node->quoted && is_number(s, type == WHOLE || type == DIM);
    switch (type) {
    case TEXT: number = false; break;
    case NAME:
        good = good && is_name(s, false);
        number = false;
        break;
    case VERSION:
        good = good && tn_semver_valid(s);
        number = false;
        break;
    case TIME: good = good && is_time(s); break;
    case DIGEST: good = good && is_digest(s); break;
    case DTYPE: good = good && tn_dtype_from_name(s) != TN_UNDEFINED; break;
    case DIM: good = number ? *s != '-' : good && *s; break;
    case WHOLE: good = number && *s != '-' && strlen(s) < 20; break;
    case NUMBER: good = number; break;
    case SWITCH: good = good && (strcmp(s, "true") == 0 || strcmp(s, "false") == 0); break;
    default: good = false;
    }
    if (!good) return fail_at(node, key, wanted[type]);
    node->kind = number ? TN_MANIFEST_NUMBER : TN_MANIFEST_TEXT;
    if (number) node->text = plain_number(c->region, s);
    return node->text ? TN_OK : TN_E_MEMORY;
}

/* ---- maps and lists ---- */

static int by_key(const void *a, const void *b) {
    return strcmp((*(tn_manifest_node *const *)a)->key, (*(tn_manifest_node *const *)b)->key);
}

/* Puts a map's entries in the order of the list. */
static void relink(tn_manifest_node *map, tn_manifest_node **list, int count) {
    map->first = map->last = NULL;
    map->count = 0;
    for (int i = 0; i < count; i++) tn_manifest_append(map, list[i]->key, list[i]);
}

static tn_status list_entries(const checker *c, const tn_manifest_node *map, tn_manifest_node ***out) {
    *out = tn_region_array(c->region, (size_t)map->count + 1, sizeof **out);
    if (!*out) return TN_E_MEMORY;
    int n = 0;
    for (tn_manifest_node *child = map->first; child; child = child->next) (*out)[n++] = child;
    return TN_OK;
}

/* Anything: scalars are numbers where they look so and have no quotes. */
static tn_status check_free(const checker *c, tn_manifest_node *node) {
    if (node->kind == TN_MANIFEST_TEXT || node->kind == TN_MANIFEST_NUMBER)
        return check_scalar(c, node, !node->quoted && is_number(node->text, false) ? NUMBER : TEXT, "");
    for (tn_manifest_node *child = node->first; child; child = child->next) {
        if (child->key && !is_name(child->key, true))
            return fail_at(child, child->key, "is no key: letters, digits, '.', '_' and '-' are, at most 128");
        TN_TRY(check_free(c, child));
    }
    if (node->kind != TN_MANIFEST_MAP) return TN_OK;
    tn_manifest_node **list;
    TN_TRY(list_entries(c, node, &list));
    int count = node->count;
    qsort(list, (size_t)count, sizeof *list, by_key);
    relink(node, list, count);
    return TN_OK;
}

static tn_status check_map(const checker *c, tn_manifest_node *map, const row *rows, const char *name);

static tn_status check_list(const checker *c, tn_manifest_node *list, const row *r) {
    if (list->kind != TN_MANIFEST_LIST) return fail_at(list, r->key, wanted[LIST]);
    if (list->count < r->least || (r->most && list->count > r->most))
        return fail_at(list, r->key, "has too few or too many elements");
    for (tn_manifest_node *child = list->first; child; child = child->next)
        TN_TRY(r->of == MAP ? check_map(c, child, r->inside, r->key) : check_scalar(c, child, r->of, r->key));
    return TN_OK;
}

static tn_status check_value(const checker *c, tn_manifest_node *node, const row *r) {
    if (r->type == LIST) return check_list(c, node, r);
    if (r->type == MAP) return check_map(c, node, r->inside, r->key);
    if (r->type != FREE) return check_scalar(c, node, r->type, r->key);
    return node->kind == TN_MANIFEST_MAP ? check_free(c, node) : fail_at(node, r->key, wanted[FREE]);
}

static tn_status unknown_key(const tn_manifest_node *node, const row *rows) {
    char known[400] = "";
    size_t length = 0;
    for (const row *r = rows; r->key && length < sizeof known; r++)
        length += (size_t)snprintf(known + length, sizeof known - length, "%s%s", r == rows ? "" : ", ", r->key);
    return tn_fail(TN_E_FORMAT, "line %d, column %d: there is no key '%.80s' here; there are %s", node->line,
                   node->column, node->key, known);
}

static tn_status check_map(const checker *c, tn_manifest_node *map, const row *rows, const char *name) {
    if (map->kind != TN_MANIFEST_MAP) return fail_at(map, name, wanted[MAP]);
    tn_manifest_node **entries, **ordered;
    TN_TRY(list_entries(c, map, &entries));
    TN_TRY(list_entries(c, map, &ordered));
    int count = map->count, used = 0;
    for (const row *r = rows; r->key; r++) {
        int i = 0;
        while (i < count && (!entries[i] || strcmp(entries[i]->key, r->key) != 0)) i++;
        if (i == count && r->required)
            return tn_fail(TN_E_FORMAT, "line %d, column %d: the key '%s' is missing%s%s", map->line, map->column,
                           r->key, *name ? " in " : "", name);
        if (i == count) continue;
        TN_TRY(check_value(c, entries[i], r));
        ordered[used++] = entries[i];
        entries[i] = NULL;
    }
    for (int i = 0, first = used; i < count; i++) {
        if (!entries[i]) continue;
        if (!c->lenient) return unknown_key(entries[i], rows);
        if (!is_name(entries[i]->key, true)) return fail_at(entries[i], entries[i]->key, "is no key");
        TN_TRY(check_free(c, entries[i]));
        ordered[used++] = entries[i];
        qsort(ordered + first, (size_t)(used - first), sizeof *ordered, by_key);
    }
    relink(map, ordered, used);
    return TN_OK;
}

tn_status tn_manifest_check(tn_manifest_node *root, tn_region *region, bool lenient) {
    return check_map(&(checker){region, lenient}, root, manifest_rows, "");
}

tn_status tn_manifest_check_gate(tn_manifest_node *root, tn_region *region) {
    return check_map(&(checker){region, false}, root, gate_rows, "");
}
