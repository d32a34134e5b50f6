/* Gates: reading one, and its bounds. See gate.h. A bound that cannot be looked at is a bound that is not kept. */
#include "model/gate.h"
#include <stdio.h>
#include <stdlib.h>

tn_status tn_gate_open(tn_gate *g) {
    g->plain = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    return g->plain ? TN_OK : tn_fail(TN_E_MEMORY, "no memory for a gate");
}

void tn_gate_close(tn_gate *g) {
    if (g->plain) freelocale(g->plain);
}

tn_status tn_gate_read(const char *text, size_t size, tn_region *region, tn_manifest_node **out_root) {
    tn_status status = tn_manifest_read_yaml((tn_string){text, size}, region, out_root);
    if (status == TN_OK) status = tn_manifest_check_gate(*out_root, region);
    return status == TN_OK ? TN_OK : tn_fail_context(status, "the gate");
}

void tn_gate_tell(tn_gate *g, const char *bound, const char *expected, const char *found, bool passed) {
    tn_gate_row row = {bound, expected, found, passed};
    if (g->report) g->report(g->context, &row);
    if (passed) return;
    size_t used = strlen(g->sentence);
    g->failed++;
    snprintf(g->sentence + used, sizeof g->sentence - used, "%s%s: expected %s, found %s", used ? "; " : "", bound,
             expected, found);
}

tn_status tn_gate_self_test(tn_gate *g, const tn_manifest_node *root, const tn_model *model) {
    const tn_manifest_node *wanted = tn_manifest_child(root, "self_test");
    tn_self_test *test = NULL;
    char found[sizeof g->sentence];
    tn_self_test_result result = {.struct_size = sizeof result};
    if (!wanted || strcmp(wanted->text, "true") != 0) return TN_OK;
    tn_status status = tn_self_test_of_model(model, &test);
    if (status == TN_OK) status = tn_self_test_run(test, model, NULL, &result);
    tn_self_test_destroy(test);
    if (status == TN_E_MEMORY) return status;
    if (status == TN_OK)
        snprintf(found, sizeof found, "%d cases that pass", result.cases);
    else
        snprintf(found, sizeof found, "%s", tn_last_error());
    tn_gate_tell(g, "self_test", "one that passes", found, status == TN_OK);
    return TN_OK;
}

/* The metric's value in a manifest as a text; NULL, and why in `why`, if there is none or more than one. */
static const char *find_metric(const tn_manifest *m, const char *name, const char *data, char *why, size_t size) {
    const char *value = NULL;
    int found = 0;
    for (int i = 0; m && i < tn_manifest_count(m, "metrics"); i++) {
        char path[64];
        snprintf(path, sizeof path, "metrics/%d/name", i);
        if (strcmp(tn_manifest_get(m, path), name) != 0) continue;
        snprintf(path, sizeof path, "metrics/%d/data", i);
        if (data && strcmp(tn_manifest_get(m, path), data) != 0) continue;
        snprintf(path, sizeof path, "metrics/%d/value", i);
        value = tn_manifest_get(m, path);
        found++;
    }
    if (found == 1) return value;
    snprintf(why, size, "%s", !m ? "no manifest" : found ? "several of that name: the gate must say 'data'" : "none");
    return NULL;
}

static double number(const tn_gate *g, const char *text) {
    return strtod_l(text, NULL, g->plain);
}

/* at_least and drop are bounds from below, at_most and rise from above. */
static void check_bound(tn_gate *g, const tn_manifest_node *metric, const char *key, bool below, bool relative) {
    const tn_manifest_node *bound = tn_manifest_child(metric, key), *data = tn_manifest_child(metric, "data");
    const char *name = tn_manifest_child(metric, "name")->text, *on = data && !g->any_data ? data->text : NULL,
               *before = NULL;
    char title[200], expected[sizeof g->sentence], why[80] = "";
    if (!bound) return;
    snprintf(title, sizeof title, "%.120s %s", name, key);
    double limit = number(g, bound->text);
    if (relative && !g->first) {
        before = find_metric(g->serving, name, on, why, sizeof why);
        if (before) limit = number(g, before) + (below ? -limit : limit);
    }
    if (relative && !before)
        snprintf(expected, sizeof expected, "%s %s relative to %s, which has %s", key, bound->text, g->whose,
                 g->first        ? "no version yet"
                 : g->why_not[0] ? g->why_not
                                 : why);
    else if (relative)
        snprintf(expected, sizeof expected, "%s %.9g (%s is now at %s)", below ? "at least" : "at most", limit,
                 g->against, before);
    else
        snprintf(expected, sizeof expected, "%s %s", below ? "at least" : "at most", bound->text);
    const char *value = find_metric(g->manifest, name, on, why, sizeof why);
    bool comparable = value && (!relative || before);
    /* 0.99 - 0.002 is not 0.988 to a computer; what is written with six digits is. */
    double slack = relative ? 1e-9 * (limit < 0 ? -limit : limit) : 0;
    bool passed = comparable && (below ? number(g, value) >= limit - slack : number(g, value) <= limit + slack);
    tn_gate_tell(g, title, expected, value ? value : why, passed || (value && relative && g->first));
}

void tn_gate_metrics(tn_gate *g, const tn_manifest_node *root) {
    static const struct {
        const char *key;
        bool below, relative;
    } bounds[] = {{"at_least", true, false}, {"at_most", false, false}, {"drop", true, true}, {"rise", false, true}};
    const tn_manifest_node *metrics = tn_manifest_child(root, "metrics");
    for (const tn_manifest_node *m = metrics ? metrics->first : NULL; m; m = m->next)
        for (size_t i = 0; i < TN_COUNT(bounds); i++)
            check_bound(g, m, bounds[i].key, bounds[i].below, bounds[i].relative);
}
