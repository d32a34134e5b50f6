/* Gates: see tenon/gate.h. A bound that cannot be looked at is a bound that is not kept; only what hinders the gate
 * itself (a gate that cannot be read, a store that cannot, no memory) is a failure of another kind. */
#include <tenon/gate.h>
#include <tenon/model_file.h>
#include <stdio.h>
#include "model/gate.h"
#include "store/store.h"
#include "trust/trust.h"

enum { REASON = 600, SENTENCE = 1000, MOST_LOOKS = 10 };

typedef struct gate {
    tn_gate bounds;
    tn_store *store;
    const char *channel;
    tn_store_version version;
    tn_model *model;
    tn_manifest *manifest, *serving; /* of the version, and of the one that the channel points at; NULL: it has none */
    char why_not[REASON];            /* the serving version's manifest cannot be read */
    char whose[2 * TN_STORE_NAME];
} gate;

static void check_signed(gate *g, const char *channel) {
    tn_store_channel_info c;
    char expected[2 * TN_STORE_NAME + 80], found[SENTENCE];
    tn_status status = tn_store_channel(g->store, g->version.name, channel, &c);
    snprintf(expected, sizeof expected, "%s@%s at %s", g->version.name, channel, g->version.version);
    if (status == TN_OK)
        snprintf(found, sizeof found, "it at %s (%s)", c.version[0] ? c.version : "an untold version", c.digest);
    else
        snprintf(found, sizeof found, "%s", tn_last_error());
    tn_gate_tell(&g->bounds, "signed", expected, found, status == TN_OK && strcmp(c.digest, g->version.digest) == 0);
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
    g->bounds.first = status == TN_E_NOT_FOUND;
    if (status == TN_OK) status = tn_store_load(g->store, c.digest, NULL, &model);
    if (status == TN_OK) status = parse_manifest(model, &g->serving);
    if (status != TN_OK) snprintf(g->why_not, sizeof g->why_not, "a manifest that cannot be read: %s", tn_last_error());
    tn_model_destroy(model);
}

static tn_status check_rows(gate *g, const tn_manifest_node *root) {
    const tn_manifest_node *of_signed = tn_manifest_child(root, "signed");
    g->bounds.manifest = g->manifest;
    g->bounds.serving = g->serving;
    if (of_signed) check_signed(g, of_signed->text);
    TN_TRY(tn_gate_self_test(&g->bounds, root, g->model));
    tn_gate_metrics(&g->bounds, root);
    return TN_OK;
}

static tn_status look(gate *g, const char *reference, const char *text, size_t size) {
    tn_manifest_node *root;
    tn_region *region = tn_region_create(NULL);
    if (!region) return TN_E_MEMORY;
    tn_status status = tn_gate_read(text, size, region, &root);
    if (status == TN_OK) status = tn_store_find(g->store, reference, &g->version);
    if (status == TN_OK && (tn_manifest_child(root, "self_test") || tn_manifest_child(root, "metrics"))) {
        status = tn_store_load(g->store, g->version.digest, NULL, &g->model);
        if (status == TN_OK) status = parse_manifest(g->model, &g->manifest);
    }
    if (status == TN_OK && tn_manifest_child(root, "metrics")) read_serving(g);
    if (status == TN_OK) status = check_rows(g, root);
    tn_region_destroy(region);
    if (status != TN_OK || !g->bounds.failed) return status;
    return tn_fail(TN_E_CHECK, "the gate to %s@%s refuses '%s:%s': %s", g->version.name, g->channel, g->version.name,
                   g->version.version, g->bounds.sentence);
}

/* *out_version (may be NULL): what was looked at, so that a promotion is of that and nothing else. */
static tn_status pass(tn_store *s, const char *reference, const char *channel, const char *text, size_t size,
                      tn_gate_report *report, void *context, tn_store_version *out_version) {
    gate g = {
        .store = s,
        .channel = channel,
        .bounds = {.against = channel, .whose = g.whose, .why_not = g.why_not, .report = report, .context = context}};
    snprintf(g.whose, sizeof g.whose, "the version that %s points at", channel);
    TN_TRY(tn_gate_open(&g.bounds));
    tn_status status = look(&g, reference, text, size);
    tn_manifest_destroy(g.manifest);
    tn_manifest_destroy(g.serving);
    tn_model_destroy(g.model);
    tn_gate_close(&g.bounds);
    if (out_version) *out_version = g.version;
    return status;
}

tn_status tn_store_gate(tn_store *s, const char *reference, const char *channel, const char *text, size_t size,
                        tn_gate_report *report, void *context) {
    return pass(s, reference, channel, text, size, report, context, NULL);
}

/* A gate takes as long as its self-test does, which the lock is not held for. What it looks at and is not fixed by a
 * digest are channels: if any changed meanwhile, it looks again. */
tn_status tn_store_promote_through(tn_store *s, const char *reference, const char *channel, const char *keys,
                                   const char *text, size_t size, tn_gate_report *report, void *context) {
    tn_status status;
    bool stale;
    for (int tries = 0;; tries++) {
        tn_trust_state before = {.struct_size = sizeof before};
        tn_store_version v;
        if (tn_trust_info(s, &before) != TN_OK) before.targets = 0; /* the promotion says why */
        TN_TRY(pass(s, reference, channel, text, size, report, context, &v));
        status = tn_trust_promote(s, v.digest, channel, keys, before.targets, &stale);
        if (!stale || tries == MOST_LOOKS - 1) return status;
    }
}
