/* What a model's file holds that no model needs. See tenon/risk.h.
 *
 * Weights are numbers, so that anything can be hidden in them; what other programs would run begins with marks that are not
 * there by chance: each is some 5 bytes or more, or is looked at beyond them. Files are searched as bytes, and constants
 * too, which a file may have deflated or elsewhere. */
#include <math.h>
#include <stdio.h>
#include <tenon/model.h>
#include <tenon/risk.h>
#include "graph/graph.h"
#include "import/import.h"
#include "base/element.h"

enum { WHERE = 200, WHAT = 700, CHUNK = 256 };

typedef struct mark {
    const char *what, *bytes;
    size_t size;
    bool (*holds)(const uint8_t *at, size_t left); /* what follows the bytes; NULL: they are enough */
} mark;

static uint32_t number_at(const uint8_t *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static bool is_elf(const uint8_t *at, size_t left) {
    return left > 6 && (at[4] == 1 || at[4] == 2) && (at[5] == 1 || at[5] == 2) && at[6] == 1;
}

static bool is_pe(const uint8_t *at, size_t left) {
    if (left < 64) return false;
    const size_t header = number_at(at + 60);
    return header < left && left - header >= 4 && memcmp(at + header, "PE\0\0", 4) == 0;
}

static bool is_mach(const uint8_t *at, size_t left) {
    return left >= 8 && (number_at(at + 4) == 0x01000007 || number_at(at + 4) == 0x0100000c);
}

static bool is_zip(const uint8_t *at, size_t left) {
    return left >= 30 && at[4] <= 63 && at[5] == 0 && (at[8] == 0 || at[8] == 8) && at[9] == 0;
}

#define MARK(what, bytes, holds)                                                                                       \
    { what, bytes, sizeof bytes - 1, holds }
#define PICKLE "a Python pickle that calls programs"
static const mark marks[] = {
    MARK("a program (ELF)",
         "\x7f"
         "ELF",
         is_elf),
    MARK("a program (PE)", "MZ", is_pe),
    MARK("a program (Mach-O)", "\xcf\xfa\xed\xfe", is_mach),
    MARK("an archive (zip)", "PK\x03\x04", is_zip),
    MARK("a script", "#!/bin/", NULL),
    MARK("a script", "#!/usr/bin/", NULL),
    MARK("a script of a page", "<script", NULL),
    MARK(PICKLE, "cos\nsystem\n", NULL),
    MARK(PICKLE, "cposix\nsystem\n", NULL),
    MARK(PICKLE, "cnt\nsystem\n", NULL),
    MARK(PICKLE, "csubprocess\n", NULL),
    MARK(PICKLE, "cbuiltins\ne", NULL),
    MARK(PICKLE, "c__builtin__\ne", NULL),
    MARK(PICKLE, "\x8c\x05posix\x94\x8c\x06system", NULL),
    MARK(PICKLE, "\x8c\x02nt\x94\x8c\x06system", NULL),
    MARK(PICKLE, "\x8c\x02os\x94\x8c\x06system", NULL),
    MARK(PICKLE, "\x8c\x0asubprocess\x94", NULL),
    MARK(PICKLE,
         "\x8c\x08"
         "builtins\x94\x8c\x04",
         NULL),
};
enum { MARKS = sizeof marks / sizeof marks[0] };

/* In texts alone: among numbers they would be chance. */
static const mark words[] = {
    MARK("a template, which other programs run", "{{", NULL),
    MARK("a template, which other programs run", "{%", NULL),
    MARK("a call of Python", "__import__", NULL),
    MARK("a call of Python", "os.system", NULL),
    MARK("a call of Python", "eval(", NULL),
    MARK("a call of Python", "exec(", NULL),
};

typedef struct scan {
    tn_scan_report *report;
    void *context;
    int findings;
    bool seen[MARKS]; /* in a constant, which has a name */
} scan;

static void tell(scan *s, const char *where, const char *what) {
    s->findings++;
    if (s->report) s->report(s->context, where, what);
}

/* Where the mark is first; NULL: nowhere. */
static const uint8_t *find(const mark *m, const void *data, size_t size) {
    if (!size) return NULL;
    const uint8_t *at = data, *end = at + size;
    while ((at = memmem(at, (size_t)(end - at), m->bytes, m->size)) != NULL) {
        if (!m->holds || m->holds(at, (size_t)(end - at))) return at;
        at++;
    }
    return NULL;
}

static void search(scan *s, const char *where, const void *data, size_t size) {
    for (int i = 0; i < MARKS; i++) {
        if (!find(&marks[i], data, size)) continue;
        s->seen[i] = true;
        tell(s, where, marks[i].what);
    }
}

static void search_text(scan *s, const char *where, const char *text) {
    const char *told = "";
    for (size_t i = 0; i < TN_COUNT(words); i++) {
        if (strcmp(told, words[i].what) == 0 || !strstr(text, words[i].bytes)) continue;
        tell(s, where, told = words[i].what);
    }
}

/* Masks have infinities; what is no number at all no model needs. Weights lie in a file at any address. */
static int64_t count_nan(const tn_tensor *t) {
    double values[CHUNK], copy[CHUNK];
    const size_t width = tn_dtype_bits(t->dtype) / 8;
    int64_t found = 0, count = tn_count(t), n;
    if (t->dtype != TN_FLOAT32 && t->dtype != TN_FLOAT64 && t->dtype != TN_FLOAT16 && t->dtype != TN_BFLOAT16) return 0;
    for (int64_t i = 0; i < count; i += n) {
        n = TN_MIN(count - i, (int64_t)CHUNK);
        memcpy(copy, (const char *)t->data + (size_t)i * width, (size_t)n * width);
        tn_read_doubles(t->dtype, copy, 0, n, values);
        for (int64_t k = 0; k < n; k++) found += isnan(values[k]);
    }
    return found;
}

/* Whether a body of a node has the constant too: it shares the outer one's data. */
static bool bodies_have(const tn_graph *graph, const void *data) {
    for (int n = 0; n < graph->node_count; n++)
        for (int a = 0; a < graph->nodes[n].attr_count; a++) {
            const tn_attr *attr = &graph->nodes[n].attrs[a];
            if (attr->kind != TN_ATTR_GRAPH) continue;
            for (int v = 0; v < attr->g->value_count; v++)
                if (attr->g->values[v].constant && attr->g->values[v].constant->data == data) return true;
            if (bodies_have(attr->g, data)) return true;
        }
    return false;
}

static void scan_constant(scan *s, const tn_graph *graph, const tn_graph_value *value, bool used) {
    char where[WHERE], what[100];
    const tn_tensor *t = value->constant;
    const size_t bytes = tn_tensor_bytes(t);
    snprintf(where, sizeof where, "constant '%.150s'", value->name);
    if (t->dtype == TN_STRING) {
        for (int64_t i = 0; i < tn_count(t); i++) {
            const tn_string *text = (const tn_string *)t->data + i;
            search(s, where, text->data, text->size);
        }
    } else {
        search(s, where, t->data, bytes);
    }
    int64_t wrong = count_nan(t);
    snprintf(what, sizeof what, "%lld of %lld numbers are NaN", (long long)wrong, (long long)tn_count(t));
    if (wrong) tell(s, where, what);
    snprintf(what, sizeof what, "%zu bytes that no node reads", bytes);
    if (!used && !bodies_have(graph, t->data)) tell(s, where, what);
}

static tn_status scan_graph(scan *s, const tn_graph *graph) {
    const size_t size = ((size_t)graph->value_count + 1) * sizeof(int);
    int *uses = tn_alloc(NULL, size);
    if (!uses) return TN_E_MEMORY;
    tn_graph_count_uses(graph, uses);
    for (int v = 0; v < graph->value_count; v++) {
        const tn_graph_value *value = &graph->values[v];
        if (value->constant && tn_count(value->constant)) scan_constant(s, graph, value, uses[v] > 0);
    }
    tn_free(NULL, uses, size);
    for (int i = 0; i + 1 < graph->metadata_count; i += 2) {
        char where[WHERE];
        snprintf(where, sizeof where, "metadata '%.150s'", graph->metadata[i]);
        search_text(s, where, graph->metadata[i + 1]);
    }
    if (graph->manifest) search_text(s, "manifest", graph->manifest);
    for (int n = 0; n < graph->node_count; n++)
        for (int a = 0; a < graph->nodes[n].attr_count; a++) {
            const tn_attr *attr = &graph->nodes[n].attrs[a];
            if (attr->kind == TN_ATTR_GRAPH) TN_TRY(scan_graph(s, attr->g));
        }
    return TN_OK;
}

/* What the constants did not show: it lies between them, behind them, or in what is no model. */
static tn_status scan_bytes(scan *s, const char *path) {
    tn_string file;
    char where[WHERE];
    TN_TRY(tn_map_file(path, &file));
    for (int i = 0; i < MARKS; i++) {
        const uint8_t *at = s->seen[i] ? NULL : find(&marks[i], file.data, file.size);
        if (!at) continue;
        snprintf(where, sizeof where, "byte %td", at - (const uint8_t *)file.data);
        tell(s, where, marks[i].what);
    }
    tn_unmap_contents(file);
    return TN_OK;
}

tn_status tn_scan(const char *path, tn_scan_report *report, void *context, int *out_findings) {
    scan s = {.report = report, .context = context};
    tn_graph *graph;
    char why[WHAT];
    tn_status loaded = tn_graph_load(path, NULL, &graph), status = loaded;
    if (loaded == TN_OK) {
        status = scan_graph(&s, graph);
        tn_graph_destroy(graph);
    } else {
        snprintf(why, sizeof why, "%s", tn_last_error());
    }
    if (status == TN_OK || loaded != TN_OK) {
        tn_status read = scan_bytes(&s, path);
        if (loaded == TN_OK) status = read;
    }
    if (out_findings) *out_findings = s.findings;
    return loaded == TN_OK ? status : tn_fail(loaded, "%s", why);
}
