/* A report out of its JSON, for recipes that go on: see report.c for what is in it. */
#include <math.h>
#include "compress/quantize.h"
#include "data/keys.h"

/* A number; null is NaN. */
static tn_status read_number(const tn_manifest_node *map, const char *key, double *out) {
    const tn_manifest_node *node = tn_manifest_child(map, key);
    const tn_key row = {.name = key, .kind = TN_KEY_NUMBER, .low = -1e300, .high = 1e300};
    *out = NAN;
    if (!node) return tn_key_fail(map, "'%s' is missing", key);
    return node->text && strcmp(node->text, "null") == 0 ? TN_OK : tn_key_read(node, &row, out);
}

/* From 0 to `most`. */
static tn_status read_count(const tn_manifest_node *map, const char *key, double most, uint64_t *out) {
    double x;
    TN_TRY(read_number(map, key, &x));
    if (!(x >= 0 && x <= most)) return tn_key_fail(map, "'%s' is a number from 0 to %g", key, most);
    *out = (uint64_t)x;
    return TN_OK;
}

static tn_status read_text(const tn_manifest_node *map, const char *key, tn_region *region, const char **out) {
    const tn_manifest_node *node = tn_manifest_child(map, key);
    if (!node || !node->text) return tn_key_fail(map, "'%s' is a text", key);
    *out = tn_region_strdup(region, node->text);
    return *out ? TN_OK : TN_E_MEMORY;
}

static bool is_text(const tn_manifest_node *map, const char *key, const char *text) {
    const tn_manifest_node *node = tn_manifest_child(map, key);
    return node && node->text && strcmp(node->text, text) == 0;
}

static tn_status read_layer(const tn_manifest_node *map, tn_region *region, tn_report_layer *l) {
    TN_TRY(read_text(map, "name", region, &l->name));
    TN_TRY(read_text(map, "op", region, &l->op));
    TN_TRY(read_text(map, "reason", region, &l->reason));
    l->int8 = is_text(map, "form", "int8");
    TN_TRY(read_count(map, "bytes_before", 0x1p60, &l->before));
    TN_TRY(read_count(map, "bytes_after", 0x1p60, &l->after));
    TN_TRY(read_number(map, "sqnr_db", &l->sqnr));
    TN_TRY(read_number(map, "sensitivity_db", &l->sensitivity));
    TN_TRY(read_number(map, "ns_before", &l->ns_before));
    return read_number(map, "ns_after", &l->ns_after);
}

static tn_status read_point(const tn_manifest_node *map, tn_region *region, tn_report_point *p) {
    uint64_t int8 = 0;
    TN_TRY(read_text(map, "name", region, &p->name));
    TN_TRY(read_number(map, "ns", &p->ns));
    TN_TRY(read_count(map, "int8_layers", 1e9, &int8));
    p->int8 = (int)int8;
    p->kept = is_text(map, "kept", "true");
    TN_TRY(read_number(map, "bytes", &p->bytes));
    TN_TRY(read_number(map, "sqnr_db", &p->sqnr));
    return read_number(map, "metric", &p->metric);
}

static tn_status read_summary(const tn_manifest_node *tree, tn_quantize_summary *s) {
    uint64_t samples = 0, int8 = 0;
    TN_TRY(read_count(tree, "samples", 0x1p60, &samples));
    TN_TRY(read_count(tree, "int8_layers", 1e9, &int8));
    TN_TRY(read_count(tree, "bytes_before", 0x1p60, &s->bytes_before));
    TN_TRY(read_count(tree, "bytes_after", 0x1p60, &s->bytes_after));
    TN_TRY(read_number(tree, "sqnr_db", &s->sqnr));
    TN_TRY(read_number(tree, "metric_before", &s->metric_before));
    TN_TRY(read_number(tree, "metric_after", &s->metric_after));
    TN_TRY(read_number(tree, "ns_before", &s->ns_before));
    TN_TRY(read_number(tree, "ns_after", &s->ns_after));
    TN_TRY(read_number(tree, "seconds", &s->seconds));
    s->samples = (int64_t)samples;
    s->int8_layers = (int)int8;
    return TN_OK;
}

static tn_status read_all(const tn_manifest_node *tree, tn_quantize_report *r) {
    if (tree->kind != TN_MANIFEST_MAP) return tn_key_fail(tree, "a map was expected");
    const tn_manifest_node *rows = tn_manifest_child(tree, "rows"), *tried = tn_manifest_child(tree, "tried");
    if (!rows || rows->kind != TN_MANIFEST_LIST || !tried || tried->kind != TN_MANIFEST_LIST ||
        tried->count > TN_MOST_POINTS)
        return tn_key_fail(tree, "'rows' and 'tried' are lists");
    TN_TRY(read_summary(tree, &r->summary));
    TN_TRY(read_text(tree, "metric_name", r->region, &r->metric));
    r->layers = tn_region_array(r->region, (size_t)rows->count + 1, sizeof *r->layers);
    if (!r->layers) return TN_E_MEMORY;
    for (const tn_manifest_node *child = rows->first; child; child = child->next)
        TN_TRY(read_layer(child, r->region, &r->layers[r->summary.layers++]));
    for (const tn_manifest_node *child = tried->first; child; child = child->next)
        TN_TRY(read_point(child, r->region, &r->points[r->point_count++]));
    return tn_report_write(r);
}

tn_status tn_report_read(const tn_manifest_node *tree, tn_quantize_report **out) {
    TN_TRY(tn_report_create(out));
    tn_status status = read_all(tree, *out);
    if (status == TN_OK) return TN_OK;
    tn_quantize_report_destroy(*out);
    *out = NULL;
    return status;
}
