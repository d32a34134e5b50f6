/* Writing metadata: what is signed here goes through the same checks as what comes from outside, before it is kept. */
#include "trust/trust.h"
#include <stdio.h>
#include <stdlib.h>
#include <sodium.h>
#include <unistd.h>

#define SPECIFICATION "1.0.31"

json_t *tn_metadata_body(tn_role role, int64_t version, const char *now, int days) {
    char expires[32];
    tn_trust_add_days(now, days, expires);
    return json_pack("{s:s,s:s,s:I,s:s,s:s}", "_type", tn_role_names[role], "spec_version", SPECIFICATION, "version",
                     (json_int_t)version, "expires", expires, TN_TRUST_SIGNED, now);
}

/* The next version of a body, for as long as the root says. */
static tn_status renew_body(json_t *body, const tn_metadata *root, tn_role role, int64_t version, const char *now) {
    char expires[32];
    const json_t *days = json_object_get(tn_metadata_role(root, role), TN_TRUST_DAYS);
    json_int_t count = days ? json_integer_value(days) : 30;
    tn_trust_add_days(now, (int)TN_MIN(TN_MAX(count, 1), 36500), expires);
    if (json_object_set_new(body, "version", json_integer((json_int_t)version)) == 0 &&
        json_object_set_new(body, "expires", json_string(expires)) == 0 &&
        json_object_set_new(body, TN_TRUST_SIGNED, json_string(now)) == 0)
        return TN_OK;
    return tn_fail(TN_E_MEMORY, "no memory for metadata");
}

static tn_status add_signatures(json_t *list, const json_t *body, tn_role role, const tn_metadata *root,
                                const tn_signers *k) {
    char *text, hex[129];
    unsigned char signature[64];
    size_t size, i;
    const json_t *id, *ids = json_object_get(tn_metadata_role(root, role), "keyids");
    TN_TRY(tn_canonical(body, &text, &size));
    json_array_foreach((json_t *)ids, i, id) {
        bool there = false;
        for (size_t e = 0; e < json_array_size(list); e++)
            there |= json_equal(json_object_get(json_array_get(list, e), "keyid"), id);
        for (int n = 0; n < k->count && !there; n++) {
            if (strcmp(k->all[n].id, json_string_value(id)) != 0) continue;
            crypto_sign_detached(signature, NULL, (unsigned char *)text, size, k->all[n].secret);
            sodium_bin2hex(hex, sizeof hex, signature, sizeof signature);
            json_array_append_new(list, json_pack("{s:s,s:s}", "keyid", k->all[n].id, "sig", hex));
            there = true;
        }
    }
    tn_store_free_text(text, size);
    return TN_OK;
}

tn_status tn_metadata_sign(tn_role role, json_t *body, const tn_metadata *root, const tn_metadata *old_root,
                           const tn_signers *k, tn_metadata *out) {
    *out = (tn_metadata){0};
    json_t *whole = body ? json_pack("{s:o,s:[]}", "signed", body, "signatures") : NULL;
    if (!whole) return tn_fail(TN_E_MEMORY, "no memory for metadata");
    /* A root signs itself. */
    tn_metadata self = {.body = body, .version = json_integer_value(json_object_get(body, "version"))};
    if (!root) root = &self;
    json_t *list = json_object_get(whole, "signatures");
    tn_status status = add_signatures(list, body, role, root, k);
    if (status == TN_OK && old_root) status = add_signatures(list, body, role, old_root, k);
    char *text = status == TN_OK ? json_dumps(whole, JSON_INDENT(1) | JSON_SORT_KEYS) : NULL;
    if (status == TN_OK && !text) status = tn_fail(TN_E_MEMORY, "no memory for metadata");
    if (status == TN_OK && strlen(text) > tn_role_bytes[role])
        status = tn_fail(TN_E_LIMIT, "%s metadata would have %zu bytes; at most %zu are read", tn_role_names[role],
                         strlen(text), tn_role_bytes[role]);
    if (status == TN_OK) status = tn_metadata_read(role, text, strlen(text), out);
    if (status == TN_OK) {
        status = tn_metadata_verify(out, role, root);
        if (status == TN_OK && old_root) status = tn_metadata_verify(out, role, old_root);
        if (status != TN_OK) {
            tn_metadata_free(out);
            status = tn_fail_context(TN_E_NOT_FOUND, "keys are missing to sign %s", tn_role_names[role]);
        }
    }
    free(text);
    json_decref(whole);
    return status;
}

static json_t *describe(const tn_metadata *m, const char *file) {
    char digest[TN_STORE_DIGEST];
    tn_digest_of(m->text, m->size, digest);
    return json_pack("{s:{s:I,s:I,s:{s:s}}}", file, "version", (json_int_t)m->version, "length", (json_int_t)m->size,
                     "hashes", "sha256", digest + 7);
}

static tn_status replace_signed(const tn_store *s, tn_trusted *t, tn_role role, json_t *body, int64_t version,
                                const tn_signers *k) {
    char now[32];
    tn_metadata next;
    tn_trust_now(s, now);
    tn_status status =
        body ? renew_body(body, &t->part[TN_ROOT], role, version, now) : tn_fail(TN_E_MEMORY, "no memory for metadata");
    if (status != TN_OK) {
        json_decref(body);
        return status;
    }
    TN_TRY(tn_metadata_sign(role, body, &t->part[TN_ROOT], NULL, k, &next));
    tn_metadata_free(&t->part[role]);
    t->part[role] = next;
    return TN_OK;
}

/* A body that keeps what other programs wrote into the one before. */
static json_t *next_body(const tn_metadata *before, tn_role role, const char *key, json_t *value) {
    json_t *body = before->body ? json_deep_copy(before->body) : tn_metadata_body(role, 1, "1970-01-01T00:00:00Z", 1);
    if (body && value && json_object_set_new(body, key, value) == 0) return body;
    json_decref(body);
    return NULL;
}

tn_status tn_trusted_renew(const tn_store *s, tn_trusted *t, json_t *targets, const int64_t versions[TN_ROLES],
                           const tn_signers *k) {
    tn_metadata *p = t->part;
    json_t *body = next_body(&p[TN_TARGETS], TN_TARGETS, "targets", targets);
    TN_TRY(replace_signed(s, t, TN_TARGETS, body, versions[TN_TARGETS] + 1, k));
    /* Descriptions of delegated roles stay. */
    json_t *meta = json_deep_copy(json_object_get(p[TN_SNAPSHOT].body, "meta")),
           *own = describe(&p[TN_TARGETS], "targets.json");
    if (meta) json_object_update(meta, own);
    body = next_body(&p[TN_SNAPSHOT], TN_SNAPSHOT, "meta", meta ? meta : json_incref(own));
    json_decref(own);
    TN_TRY(replace_signed(s, t, TN_SNAPSHOT, body, versions[TN_SNAPSHOT] + 1, k));
    body = next_body(&p[TN_TIMESTAMP], TN_TIMESTAMP, "meta", describe(&p[TN_SNAPSHOT], "snapshot.json"));
    TN_TRY(replace_signed(s, t, TN_TIMESTAMP, body, versions[TN_TIMESTAMP] + 1, k));
    return tn_trusted_raise_counters(t, &p[TN_TARGETS]);
}

void tn_trusted_versions(const tn_trusted *t, int64_t versions[TN_ROLES]) {
    for (int i = 0; i < TN_ROLES; i++) versions[i] = t->part[i].version;
}

static json_t *targets_of(const tn_trusted *t) {
    return json_deep_copy(json_object_get(t->part[TN_TARGETS].body, "targets"));
}

tn_status tn_trust_write_begin(tn_store *s, const char *keys, tn_trusted *t, tn_signers *k) {
    *t = (tn_trusted){0};
    TN_TRY(tn_signers_load(keys, k));
    tn_status status = tn_change_begin(s);
    if (status == TN_OK) {
        status = tn_trusted_load(s, t);
        if (status == TN_OK) status = tn_trusted_publish(s, t);
        if (status == TN_OK && !t->part[TN_TARGETS].json)
            status =
                tn_fail(TN_E_STATE, "the store '%s' trusts a root alone; tn_trust_update brings the rest", s->path);
        if (status == TN_OK) return TN_OK;
        tn_trusted_free(t);
        tn_change_end(s);
    }
    tn_signers_free(k);
    return status;
}

void tn_trust_write_end(tn_store *s, tn_trusted *t, tn_signers *k) {
    tn_trusted_free(t);
    tn_signers_free(k);
    tn_change_end(s);
}

tn_status tn_trust_sign(tn_store *s, const char *keys) {
    tn_trusted t;
    tn_signers k;
    int64_t versions[TN_ROLES];
    TN_TRY(tn_trust_write_begin(s, keys, &t, &k));
    tn_trusted_versions(&t, versions);
    tn_status status = tn_trusted_renew(s, &t, targets_of(&t), versions, &k);
    if (status == TN_OK) status = tn_trusted_commit(s, &t, "sign", NULL);
    tn_trust_write_end(s, &t, &k);
    return status;
}

/* The target of the channel, one counter higher. */
static json_t *make_target(const tn_trusted *t, const char *path, const tn_store_version *v, uint64_t bytes) {
    json_int_t counter = json_integer_value(json_object_get(json_object_get(t->counters, path), "counter"));
    return json_pack("{s:I,s:{s:s},s:{s:I,s:s,s:s}}", "length", (json_int_t)bytes, "hashes", "sha256", v->digest + 7,
                     "custom", "counter", counter + 1, "name", v->name, "version", v->version);
}

static tn_status promote(tn_store *s, tn_trusted *t, const char *reference, const char *channel, const tn_signers *k) {
    char path[2 * TN_STORE_NAME];
    tn_store_version v;
    tn_store_channel_info c;
    int64_t versions[TN_ROLES];
    int file;
    uint64_t bytes;
    TN_TRY(tn_store_find(s, reference, &v));
    TN_TRY(tn_version_read(s, v.digest, &v)); /* signed is what the manifest says, not what the index does */
    TN_TRY(tn_blob_open(s, v.digest, &file, &bytes));
    close(file);
    snprintf(path, sizeof path, "%.127s/%.120s", v.name, channel);
    json_t *targets = targets_of(t), *target = make_target(t, path, &v, bytes);
    tn_status status = target ? tn_channel_read(path, target, &c) : tn_fail(TN_E_MEMORY, "no memory for a target");
    if (status == TN_OK && strcmp(c.channel, channel) != 0)
        status =
            tn_fail(TN_E_INVALID, "'%.100s' cannot be a channel's name; expected such as stable or canary", channel);
    if (status != TN_OK || json_object_set_new(targets, path, target) != 0) {
        if (status != TN_OK) json_decref(target);
        json_decref(targets);
        return status != TN_OK ? status : tn_fail(TN_E_MEMORY, "no memory for a target");
    }
    tn_trusted_versions(t, versions);
    TN_TRY(tn_trusted_renew(s, t, targets, versions, k));
    size_t length = strlen(v.name); /* both names fit, as the channel was read */
    v.name[length] = '@';
    memcpy(v.name + length + 1, c.channel, strlen(c.channel) + 1);
    return tn_trusted_commit(s, t, "promote", &v);
}

tn_status tn_trust_promote(tn_store *s, const char *reference, const char *channel, const char *keys, int64_t targets,
                           bool *out_stale) {
    tn_trusted t;
    tn_signers k;
    *out_stale = false;
    TN_TRY(tn_trust_write_begin(s, keys, &t, &k));
    *out_stale = targets && t.part[TN_TARGETS].version != targets;
    tn_status status = *out_stale
                           ? tn_fail(TN_E_STATE, "the channels of '%s' changed while the gate was looked at", s->path)
                           : promote(s, &t, reference, channel, &k);
    tn_trust_write_end(s, &t, &k);
    return status;
}

tn_status tn_store_promote(tn_store *s, const char *reference, const char *channel, const char *keys) {
    bool stale;
    return tn_trust_promote(s, reference, channel, keys, 0, &stale);
}
