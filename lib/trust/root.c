/* Roots: the first one, and those that give a role new keys. */
#include "trust/trust.h"

static tn_status add_key(json_t *body, tn_role role, const tn_signer *key) {
    json_t *entry =
        json_pack("{s:s,s:s,s:{s:s}}", "keytype", "ed25519", "scheme", "ed25519", "keyval", "public", key->public_key);
    json_t *ids = json_object_get(json_object_get(json_object_get(body, "roles"), tn_role_names[role]), "keyids");
    if (json_object_set_new(json_object_get(body, "keys"), key->id, entry) == 0 &&
        json_array_append_new(ids, json_string(key->id)) == 0)
        return TN_OK;
    return tn_fail(TN_E_MEMORY, "no memory for a root");
}

static tn_status make_role(json_t *body, tn_role role, const tn_trust_role *plan, const char *keys, tn_signers *k) {
    json_t *entry = json_pack("{s:[],s:i,s:i}", "keyids", "threshold", plan->threshold, TN_TRUST_DAYS, plan->days);
    if (json_object_set_new(json_object_get(body, "roles"), tn_role_names[role], entry) != 0)
        return tn_fail(TN_E_MEMORY, "no memory for a root");
    for (int i = 0; i < plan->keys; i++) {
        const tn_signer *key;
        TN_TRY(tn_signers_make(k, keys, role, &key));
        TN_TRY(add_key(body, role, key));
    }
    return TN_OK;
}

static tn_status read_plan(const tn_trust_options *options, tn_trust_role plan[TN_ROLES], tn_trust_clock *clock) {
    static const int days[TN_ROLES] = {365, 7, 30, 90};
    tn_trust_options o = {0};
    if (options && !options->struct_size) return tn_fail(TN_E_INVALID, "set struct_size of the options first");
    if (options) memcpy(&o, options, TN_MIN(options->struct_size, sizeof o));
    const tn_trust_role roles[TN_ROLES] = {o.root, o.timestamp, o.snapshot, o.targets};
    *clock = o.clock;
    if ((unsigned)o.clock > TN_TRUST_COUNTER_ONLY) return tn_fail(TN_E_INVALID, "there is no clock policy %d", o.clock);
    for (int i = 0; i < TN_ROLES; i++) {
        tn_trust_role *p = &plan[i];
        *p = (tn_trust_role){roles[i].keys ? roles[i].keys : 1, roles[i].threshold ? roles[i].threshold : 1,
                             roles[i].days ? roles[i].days : days[i]};
        if (p->keys < 1 || p->keys > 16 || p->threshold < 1 || p->threshold > p->keys || p->days < 1 || p->days > 36500)
            return tn_fail(TN_E_INVALID,
                           "the role %s: %d keys, a threshold of %d, %d days; expected 1 to 16 keys, a threshold of at "
                           "most as many, 1 to 36500 days",
                           tn_role_names[i], p->keys, p->threshold, p->days);
    }
    return TN_OK;
}

static tn_status make_first(tn_store *s, tn_trusted *t, const tn_trust_role plan[TN_ROLES], const char *keys,
                            tn_signers *k) {
    char now[32];
    static const int64_t none[TN_ROLES];
    tn_trust_now(s, now);
    json_t *body = tn_metadata_body(TN_ROOT, 1, now, plan[TN_ROOT].days);
    if (!body || json_object_set_new(body, "keys", json_object()) != 0 ||
        json_object_set_new(body, "roles", json_object()) != 0 ||
        json_object_set_new(body, "consistent_snapshot", json_true()) != 0) {
        json_decref(body);
        return tn_fail(TN_E_MEMORY, "no memory for a root");
    }
    tn_status status = TN_OK;
    for (int i = 0; i < TN_ROLES && status == TN_OK; i++) status = make_role(body, (tn_role)i, &plan[i], keys, k);
    if (status != TN_OK) {
        json_decref(body);
        return status;
    }
    TN_TRY(tn_metadata_sign(TN_ROOT, body, NULL, NULL, k, &t->part[TN_ROOT]));
    TN_TRY(tn_trusted_renew(s, t, json_object(), none, k));
    return tn_trusted_commit(s, t, "trust", NULL);
}

tn_status tn_trust_init(tn_store *s, const char *keys, const tn_trust_options *options) {
    tn_trust_role plan[TN_ROLES];
    tn_trusted t = {0};
    tn_signers k = {0};
    TN_TRY(read_plan(options, plan, &t.clock));
    tn_status status = tn_trust_begin(s, &t);
    if (status == TN_OK) {
        status = make_first(s, &t, plan, keys, &k);
        tn_change_end(s);
    }
    tn_signers_free(&k);
    tn_trusted_free(&t);
    return status;
}

/* Keys that no role names any more go. */
static void drop_unused(json_t *body) {
    json_t *keys = json_object_get(body, "keys"), *roles = json_object_get(body, "roles"), *key, *role, *named;
    const char *id, *name;
    void *next;
    size_t i;
    json_object_foreach_safe(keys, next, id, key) {
        bool used = false;
        json_object_foreach(roles, name, role) {
            json_array_foreach(json_object_get(role, "keyids"), i, named) {
                used |= strcmp(json_string_value(named), id) == 0;
            }
        }
        if (!used) json_object_del(keys, id);
    }
}

static tn_status next_root(tn_store *s, const tn_metadata *root, tn_role role, const char *keys, tn_signers *k,
                           tn_metadata *out) {
    char now[32], expires[32];
    json_t *body = json_deep_copy(root->body);
    if (!body) return tn_fail(TN_E_MEMORY, "no memory for a root");
    json_t *ids = json_object_get(json_object_get(json_object_get(body, "roles"), tn_role_names[role]), "keyids");
    json_t *days = json_object_get(tn_metadata_role(root, TN_ROOT), TN_TRUST_DAYS);
    size_t count = json_array_size(ids);
    tn_trust_now(s, now);
    tn_trust_add_days(now, days ? (int)TN_MIN(TN_MAX(json_integer_value(days), 1), 36500) : 365, expires);
    json_object_set_new(body, "version", json_integer((json_int_t)root->version + 1));
    json_object_set_new(body, "expires", json_string(expires));
    json_object_set_new(body, TN_TRUST_SIGNED, json_string(now));
    json_array_clear(ids);
    tn_status status = TN_OK;
    for (size_t i = 0; i < count && status == TN_OK; i++) {
        const tn_signer *key;
        status = tn_signers_make(k, keys, role, &key);
        if (status == TN_OK) status = add_key(body, role, key);
    }
    if (status != TN_OK) {
        json_decref(body);
        return status;
    }
    drop_unused(body);
    return tn_metadata_sign(TN_ROOT, body, NULL, root, k, out);
}

static tn_status rotate(tn_store *s, tn_trusted *t, tn_role role, const char *keys, tn_signers *k) {
    tn_metadata next;
    int64_t versions[TN_ROLES];
    json_t *targets = json_deep_copy(json_object_get(t->part[TN_TARGETS].body, "targets"));
    /* Versions go on where they were: clients may know them still. */
    tn_trusted_versions(t, versions);
    tn_status status = next_root(s, &t->part[TN_ROOT], role, keys, k, &next);
    if (status != TN_OK) {
        json_decref(targets);
        return status;
    }
    tn_trusted_drop_rotated(t, &next);
    tn_metadata_free(&t->part[TN_ROOT]);
    t->part[TN_ROOT] = next;
    TN_TRY(tn_trusted_renew(s, t, targets, versions, k));
    return tn_trusted_commit(s, t, "rotate", NULL);
}

tn_status tn_trust_rotate(tn_store *s, const char *role, const char *keys) {
    tn_trusted t;
    tn_signers k;
    int i = 0;
    while (i < TN_ROLES && strcmp(role, tn_role_names[i]) != 0) i++;
    if (i == TN_ROLES)
        return tn_fail(TN_E_INVALID, "there is no role '%.40s'; expected root, targets, snapshot or timestamp", role);
    TN_TRY(tn_trust_write_begin(s, keys, &t, &k));
    tn_status status = rotate(s, &t, (tn_role)i, keys, &k);
    tn_trust_write_end(s, &t, &k);
    return status;
}
