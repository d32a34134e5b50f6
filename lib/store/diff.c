/* Differences of two versions (tenon/diff.h): each becomes a list of things with a name and a text, in order, and the two
 * lists are merged. */
#include <tenon/diff.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <tenon/manifest.h>
#include <tenon/model_file.h>
#include "base/element.h"
#include "base/tensor.h"
#include "graph/graph.h"
#include "store/store.h"

static const char *const kinds[] = {"input", "output", "operator", "parameter", "metric"};
enum { INPUT, OUTPUT, OPERATOR, PARAMETER, METRIC };
enum { PIECE = 512 };

typedef struct thing {
    int kind;
    const char *name, *text;
    const tn_tensor *tensor; /* of a parameter */
} thing;

typedef struct side {
    tn_region *region;
    tn_graph *graph;
    thing *things;
    size_t count, capacity;
} side;

static tn_status add(side *d, int kind, const char *name, const char *text, const tn_tensor *tensor) {
    if (!name || !text) return TN_E_MEMORY;
    if (d->count == d->capacity) {
        size_t capacity = 2 * d->capacity + 64;
        thing *grown = tn_region_array(d->region, capacity, sizeof *grown);
        if (!grown) return TN_E_MEMORY;
        if (d->count) memcpy(grown, d->things, d->count * sizeof *grown);
        d->things = grown;
        d->capacity = capacity;
    }
    d->things[d->count++] = (thing){kind, name, text, tensor};
    return TN_OK;
}

static int by_kind_and_name(const void *a, const void *b) {
    const thing *x = a, *y = b;
    return x->kind != y->kind ? x->kind - y->kind : strcmp(x->name, y->name);
}

static tn_status add_ends(side *d, int kind, const int *values, int count) {
    for (int i = 0; i < count; i++) {
        char text[256];
        const tn_graph_value *v = &d->graph->values[values[i]];
        tn_type_text(text, sizeof text, d->graph, &v->type);
        TN_TRY(add(d, kind, v->name ? v->name : "", tn_region_strdup(d->region, text), NULL));
    }
    return TN_OK;
}

static tn_status add_parameters(side *d) {
    for (int i = 0; i < d->graph->value_count; i++) {
        char text[128];
        const tn_graph_value *v = &d->graph->values[i];
        if (!v->constant || !v->name || !*v->name) continue;
        tn_shape_text(text, sizeof text, v->constant->dtype, v->constant->rank, v->constant->dims);
        TN_TRY(add(d, PARAMETER, v->name, tn_region_strdup(d->region, text), v->constant));
    }
    return TN_OK;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static tn_status add_operators(side *d) {
    int count = tn_graph_node_count(d->graph);
    const char **ops = tn_region_array(d->region, (size_t)count + 1, sizeof *ops);
    if (!ops) return TN_E_MEMORY;
    for (int i = 0; i < count; i++) {
        tn_node_info info;
        TN_TRY(tn_graph_node_info(d->graph, i, &info));
        ops[i] = *info.domain ? tn_region_printf(d->region, "%s:%s", info.domain, info.op) : info.op;
        if (!ops[i]) return TN_E_MEMORY;
    }
    qsort(ops, (size_t)count, sizeof *ops, by_text);
    for (int i = 0, n; i < count; i += n) {
        for (n = 1; i + n < count && strcmp(ops[i], ops[i + n]) == 0;) n++;
        TN_TRY(add(d, OPERATOR, ops[i], tn_region_printf(d->region, "%d", n), NULL));
    }
    return TN_OK;
}

static tn_status add_metrics(side *d) {
    const char *text = tn_graph_manifest(d->graph);
    tn_manifest *m;
    if (!text || tn_manifest_parse(text, strlen(text), &m) != TN_OK) return TN_OK; /* of a newer version, or no YAML */
    tn_status status = TN_OK;
    for (int i = 0; i < tn_manifest_count(m, "metrics") && status == TN_OK; i++) {
        char path[3][64];
        static const char *const keys[] = {"name", "data", "value"};
        for (int k = 0; k < 3; k++) snprintf(path[k], sizeof path[k], "metrics/%d/%s", i, keys[k]);
        status = add(d, METRIC,
                     tn_region_printf(d->region, "%s of %s", tn_manifest_get(m, path[0]), tn_manifest_get(m, path[1])),
                     tn_region_strdup(d->region, tn_manifest_get(m, path[2])), NULL);
    }
    tn_manifest_destroy(m);
    return status;
}

static tn_status load(tn_store *s, const char *reference, side *d) {
    tn_opened opened;
    d->region = tn_region_create(NULL);
    if (!d->region) return TN_E_MEMORY;
    TN_TRY(tn_version_open(s, reference, &opened));
    TN_TRY(tn_version_close(s, &opened, tn_graph_load(opened.path, NULL, &d->graph)));
    TN_TRY(add_ends(d, INPUT, d->graph->inputs, d->graph->input_count));
    TN_TRY(add_ends(d, OUTPUT, d->graph->outputs, d->graph->output_count));
    TN_TRY(add_operators(d));
    TN_TRY(add_parameters(d));
    TN_TRY(add_metrics(d));
    if (d->count) qsort(d->things, d->count, sizeof *d->things, by_kind_and_name);
    return TN_OK;
}

static bool same_texts(const tn_tensor *a, const tn_tensor *b) {
    const tn_string *x = a->data, *y = b->data;
    for (int64_t i = 0; i < tn_count(a); i++)
        if (!tn_string_equal(x[i], y[i])) return false;
    return true;
}

/* Of the same type and shape: false if all elements are the same, else how far they are off. */
static bool measure(const tn_tensor *a, const tn_tensor *b, char *text, size_t size) {
    double x[PIECE], y[PIECE], off = 0, norm = 0;
    int64_t count = tn_count(a);
    if (a->dtype == TN_STRING) {
        snprintf(text, size, "other texts");
        return !same_texts(a, b);
    }
    if (memcmp(a->data, b->data, tn_dtype_bytes(a->dtype, count)) == 0) return false;
    for (int64_t first = 0; first < count; first += PIECE) {
        size_t n = (size_t)TN_MIN(count - first, (int64_t)PIECE);
        tn_read_doubles(a->dtype, a->data, first, n, x);
        tn_read_doubles(b->dtype, b->data, first, n, y);
        for (size_t i = 0; i < n; i++) off += (x[i] - y[i]) * (x[i] - y[i]), norm += x[i] * x[i];
    }
    snprintf(text, size, "%.3g off", norm > 0 ? sqrt(off / norm) : sqrt(off));
    return true;
}

typedef struct merging {
    void (*report)(void *context, const tn_diff_row *row);
    void *context;
    int count;
} merging;

static void tell(merging *m, const thing *a, const thing *b, const char *after) {
    tn_diff_row row = {kinds[a ? a->kind : b->kind], a ? a->name : b->name, a ? a->text : NULL, after};
    m->count++;
    if (m->report) m->report(m->context, &row);
}

static void merge(const side *before, const side *after, merging *m) {
    size_t i = 0, k = 0;
    while (i < before->count || k < after->count) {
        const thing *a = i < before->count ? &before->things[i] : NULL;
        const thing *b = k < after->count ? &after->things[k] : NULL;
        int order = !a ? 1 : !b ? -1 : by_kind_and_name(a, b);
        char text[200], off[40];
        i += order <= 0;
        k += order >= 0;
        if (order < 0) {
            tell(m, a, NULL, NULL);
        } else if (order > 0) {
            tell(m, NULL, b, b->text);
        } else if (strcmp(a->text, b->text) != 0) {
            tell(m, a, b, b->text);
        } else if (a->tensor && measure(a->tensor, b->tensor, off, sizeof off)) {
            snprintf(text, sizeof text, "%.150s, %s", b->text, off);
            tell(m, a, b, text);
        }
    }
}

tn_status tn_store_diff(tn_store *s, const char *before, const char *after,
                        void (*report)(void *context, const tn_diff_row *row), void *context, int *out_count) {
    side a = {0}, b = {0};
    merging m = {report, context, 0};
    tn_status status = load(s, before, &a);
    if (status == TN_OK) status = load(s, after, &b);
    if (status == TN_OK) merge(&a, &b, &m);
    tn_graph_destroy(a.graph);
    tn_graph_destroy(b.graph);
    tn_region_destroy(a.region);
    tn_region_destroy(b.region);
    if (status == TN_OK && out_count) *out_count = m.count;
    return status;
}
