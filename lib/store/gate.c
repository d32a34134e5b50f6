/* Gates: see tenon/gate.h. A bound that cannot be looked at is a bound that is not kept; only what hinders the gate
 * itself (a gate that cannot be read, a store that cannot, no memory) is a failure of another kind. */
#include <tenon/gate.h>
#include <tenon/model_file.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include "model/manifest.h"
#include "store/store.h"

enum { REASON = 600, SENTENCE = 1000 };

typedef struct gate {
    tn_store *store;
    const char *channel;
    tn_store_version version;
    tn_model *model;
    tn_manifest *manifest, *serving; /* of the version, and of the one that the channel points at; NULL: it has none */
    bool first;                      /* the channel points at nothing yet */
    char why_not[REASON];            /* the serving version's manifest cannot be read */
    locale_t plain;                  /* numbers with a point, whatever the host's locale is */
    tn_gate_report *report;
    void *context;
    int failed;
    char sentence[SENTENCE]; /* of what failed */
} gate;

static void tell(gate *g, const char *bound, const char *expected, const char *found, bool passed) {
    tn_gate_row row = {bound, expected, found, passed};
    if (g->report) g->report(g->context, &row);
    if (passed) return;
    size_t used = strlen(g->sentence);
    g->failed++;
    snprintf(g->sentence + used, sizeof g->sentence - used, "%s%s: expected %s, found %s", used ? "; " : "", bound,
             expected, found);
}

static void check_signed(gate *g, const char *channel) {
    tn_store_channel_info c;
    char expected[2 * TN_STORE_NAME + 80], found[SENTENCE];
    tn_status status = tn_store_channel(g->store, g->version.name, channel, &c);
    snprintf(expected, sizeof expected, "%s@%s at %s", g->version.name, channel, g->version.version);
    if (status == TN_OK)
        snprintf(found, sizeof found, "it at %s (%s)", c.version[0] ? c.version : "an untold version", c.digest);
    else
        snprintf(found, sizeof found, "%s", tn_last_error());
    tell(g, "signed", expected, found, status == TN_OK && strcmp(c.digest, g->version.digest) == 0);
}

static tn_status check_self_test(gate *g) {
    tn_self_test *test = NULL;
    char found[SENTENCE];
    tn_self_test_result result = {.struct_size = sizeof result};
    tn_status status = tn_self_test_of_model(g->model, &test);
    if (status == TN_OK) status = tn_self_test_run(test, g->model, NULL, &result);
    tn_self_test_destroy(test);
    if (status == TN_E_MEMORY) return status;
    if (status == TN_OK)
        snprintf(found, sizeof found, "%d cases that pass", result.cases);
    else
        snprintf(found, sizeof found, "%s", tn_last_error());
    tell(g, "self_test", "one that passes", found, status == TN_OK);
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

static double number(const gate *g, const char *text) {
    return strtod_l(text, NULL, g->plain);
}

/* at_least and drop are bounds from below, at_most and rise from above. */
static void check_bound(gate *g, const tn_manifest_node *metric, const char *key, bool below, bool relative) {
    const tn_manifest_node *bound = tn_manifest_child(metric, key), *data = tn_manifest_child(metric, "data");
    const char *name = tn_manifest_child(metric, "name")->text, *on = data ? data->text : NULL, *before = NULL;
    char title[200], expected[SENTENCE], why[80] = "";
    if (!bound) return;
    snprintf(title, sizeof title, "%.120s %s", name, key);
    double limit = number(g, bound->text);
    if (relative && !g->first) {
        before = find_metric(g->serving, name, on, why, sizeof why);
        if (before) limit = number(g, before) + (below ? -limit : limit);
    }
    if (relative && !before)
        snprintf(expected, sizeof expected, "%s %s relative to the version that %s points at, which has %s", key,
                 bound->text, g->channel,
                 g->first        ? "no version yet"
                 : g->why_not[0] ? g->why_not
                                 : why);
    else if (relative)
        snprintf(expected, sizeof expected, "%s %.9g (%s is now at %s)", below ? "at least" : "at most", limit,
                 g->channel, before);
    else
        snprintf(expected, sizeof expected, "%s %s", below ? "at least" : "at most", bound->text);
    const char *value = find_metric(g->manifest, name, on, why, sizeof why);
    bool comparable = value && (!relative || before);
    /* 0.99 - 0.002 is not 0.988 to a computer; what is written with six digits is. */
    double slack = relative ? 1e-9 * (limit < 0 ? -limit : limit) : 0;
    bool passed = comparable && (below ? number(g, value) >= limit - slack : number(g, value) <= limit + slack);
    tell(g, title, expected, value ? value : why, passed || (value && relative && g->first));
}

static tn_status check_rows(gate *g, const tn_manifest_node *root) {
    static const struct {
        const char *key;
        bool below, relative;
    } bounds[] = {{"at_least", true, false}, {"at_most", false, false}, {"drop", true, true}, {"rise", false, true}};
    const tn_manifest_node *of_signed = tn_manifest_child(root, "signed"), *test = tn_manifest_child(root, "self_test"),
                           *metrics = tn_manifest_child(root, "metrics");
    if (of_signed) check_signed(g, of_signed->text);
    if (test && strcmp(test->text, "true") == 0) TN_TRY(check_self_test(g));
    for (const tn_manifest_node *m = metrics ? metrics->first : NULL; m; m = m->next)
        for (size_t i = 0; i < TN_COUNT(bounds); i++)
            check_bound(g, m, bounds[i].key, bounds[i].below, bounds[i].relative);
    return TN_OK;
}

static tn_status parse_manifest(const tn_model *model, tn_manifest **out) {
    const char *text = tn_model_manifest(model);
    return text ? tn_manifest_parse(text, strlen(text), out) : TN_OK;
}

/* The version that the channel points at now, for bounds that are relative to it. */
static void read_serving(gate *g) {
    tn_store_channel_info c;
    tn_model *model = NULL;
    tn_status status = tn_store_channel(g->store, g->version.name, g->channel, &c);
    g->first = status == TN_E_NOT_FOUND;
    if (status == TN_OK) status = tn_store_load(g->store, c.digest, NULL, &model);
    if (status == TN_OK) status = parse_manifest(model, &g->serving);
    if (status != TN_OK) snprintf(g->why_not, sizeof g->why_not, "a manifest that cannot be read: %s", tn_last_error());
    tn_model_destroy(model);
}

static tn_status read_gate(const char *text, size_t size, tn_region *region, tn_manifest_node **out_root) {
    tn_status status = tn_manifest_read_yaml((tn_string){text, size}, region, out_root);
    if (status == TN_OK) status = tn_manifest_check_gate(*out_root, region);
    return status == TN_OK ? TN_OK : tn_fail_context(status, "the gate");
}

static tn_status look(gate *g, const char *reference, const char *text, size_t size) {
    tn_manifest_node *root;
    tn_region *region = tn_region_create(NULL);
    if (!region) return TN_E_MEMORY;
    tn_status status = read_gate(text, size, region, &root);
    if (status == TN_OK) status = tn_store_find(g->store, reference, &g->version);
    if (status == TN_OK && (tn_manifest_child(root, "self_test") || tn_manifest_child(root, "metrics"))) {
        status = tn_store_load(g->store, g->version.digest, NULL, &g->model);
        if (status == TN_OK) status = parse_manifest(g->model, &g->manifest);
    }
    if (status == TN_OK && tn_manifest_child(root, "metrics")) read_serving(g);
    if (status == TN_OK) status = check_rows(g, root);
    tn_region_destroy(region);
    if (status != TN_OK || !g->failed) return status;
    return tn_fail(TN_E_CHECK, "the gate to %s@%s refuses '%s:%s': %s", g->version.name, g->channel, g->version.name,
                   g->version.version, g->sentence);
}

/* *out_version (may be NULL): what was looked at, so that a promotion is of that and nothing else. */
static tn_status pass(tn_store *s, const char *reference, const char *channel, const char *text, size_t size,
                      tn_gate_report *report, void *context, tn_store_version *out_version) {
    gate g = {.store = s, .channel = channel, .report = report, .context = context};
    g.plain = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    if (!g.plain) return tn_fail(TN_E_MEMORY, "no memory for a gate");
    tn_status status = look(&g, reference, text, size);
    tn_manifest_destroy(g.manifest);
    tn_manifest_destroy(g.serving);
    tn_model_destroy(g.model);
    freelocale(g.plain);
    if (out_version) *out_version = g.version;
    return status;
}

tn_status tn_store_gate(tn_store *s, const char *reference, const char *channel, const char *text, size_t size,
                        tn_gate_report *report, void *context) {
    return pass(s, reference, channel, text, size, report, context, NULL);
}

tn_status tn_store_promote_through(tn_store *s, const char *reference, const char *channel, const char *keys,
                                   const char *text, size_t size, tn_gate_report *report, void *context) {
    tn_store_version v;
    TN_TRY(pass(s, reference, channel, text, size, report, context, &v));
    return tn_store_promote(s, v.digest, channel, keys);
}
