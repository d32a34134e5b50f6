/* Files of metadata: their form, and their signatures (The Update Framework's specification 1.0, section 4). What comes in
 * here is whatever a mirror likes to send. */
#include "trust/trust.h"
#include <inttypes.h>
#include <sodium.h>

const char *const tn_role_names[TN_ROLES] = {"root", "timestamp", "snapshot", "targets"};
const size_t tn_role_bytes[TN_ROLES] = {512000, 16384, 2000000, 5000000}; /* as python-tuf's */

#define MOST_SIGNATURES 256
#define MOST_VERSION ((int64_t)1 << 53) /* so that readers that count in doubles agree */

static bool is_hex(const char *text, size_t digits) {
    return text && strspn(text, "0123456789abcdef") == digits && text[digits] == 0;
}

static bool is_count(const json_t *number, int64_t least) {
    return json_is_integer(number) && json_integer_value(number) >= least && json_integer_value(number) <= MOST_VERSION;
}

/* Only what makes the key what it is: other members do not change the id. */
tn_status tn_key_id(const json_t *key, char id[TN_TRUST_KEY]) {
    const char *type, *scheme, *what = "a key";
    char *text, digest[TN_STORE_DIGEST];
    size_t size;
    json_t *value = json_object_get(key, "keyval");
    TN_TRY(tn_json_text(key, what, "keytype", &type));
    TN_TRY(tn_json_text(key, what, "scheme", &scheme));
    if (!json_is_object(value)) return tn_fail(TN_E_FORMAT, "a key has no 'keyval'");
    json_t *self = json_pack("{s:s,s:s,s:O}", "keytype", type, "scheme", scheme, "keyval", value);
    if (!self) return tn_fail(TN_E_MEMORY, "no memory for a key");
    tn_status status = tn_canonical(self, &text, &size);
    json_decref(self);
    if (status != TN_OK) return status;
    tn_digest_of(text, size, digest);
    tn_store_free_text(text, size);
    memcpy(id, digest + 7, TN_TRUST_KEY);
    return TN_OK;
}

json_t *tn_metadata_role(const tn_metadata *root, tn_role role) {
    return json_object_get(json_object_get(root->body, "roles"), tn_role_names[role]);
}

static tn_status check_role(const json_t *roles, const char *name) {
    const json_t *role = json_object_get(roles, name), *ids = json_object_get(role, "keyids");
    size_t count = json_array_size(ids);
    if (!json_is_array(ids) || !is_count(json_object_get(role, "threshold"), 1) || count > MOST_SIGNATURES)
        return tn_fail(TN_E_FORMAT, "it gives the role '%s' no keyids and threshold, or more than %d keys", name,
                       MOST_SIGNATURES);
    for (size_t i = 0; i < count; i++) {
        const char *id = json_string_value(json_array_get(ids, i));
        if (!is_hex(id, 64)) return tn_fail(TN_E_FORMAT, "a key id of the role '%s' is no SHA-256", name);
        for (size_t k = 0; k < i; k++)
            if (strcmp(id, json_string_value(json_array_get(ids, k))) == 0)
                return tn_fail(TN_E_FORMAT, "the role '%s' names the key %.16s... twice", name, id);
    }
    return TN_OK;
}

/* A key under another id than its own could count twice. */
static tn_status check_root(const json_t *body) {
    json_t *keys = json_object_get(body, "keys"), *roles = json_object_get(body, "roles"), *key;
    const char *id;
    char found[TN_TRUST_KEY];
    if (!json_is_object(keys) || !json_is_object(roles)) return tn_fail(TN_E_FORMAT, "it has no keys and roles");
    json_object_foreach(keys, id, key) {
        TN_TRY(tn_key_id(key, found));
        if (strcmp(id, found) != 0)
            return tn_fail(TN_E_FORMAT, "the key under the id '%.64s' has the id %s", id, found);
    }
    for (int i = 0; i < TN_ROLES; i++) TN_TRY(check_role(roles, tn_role_names[i]));
    return TN_OK;
}

static tn_status check_meta(const json_t *body, const char *needed) {
    json_t *all = json_object_get(body, "meta"), *meta, *length;
    const char *name;
    if (!json_object_get(all, needed)) return tn_fail(TN_E_FORMAT, "its 'meta' does not tell of %s", needed);
    json_object_foreach(all, name, meta) {
        length = json_object_get(meta, "length");
        if (!is_count(json_object_get(meta, "version"), 1) || (length && !is_count(length, 0)))
            return tn_fail(TN_E_FORMAT, "'%.100s' has no valid version and length there", name);
    }
    return TN_OK;
}

static tn_status check_targets(const json_t *body) {
    json_t *all = json_object_get(body, "targets"), *target;
    const char *name;
    if (!json_is_object(all)) return tn_fail(TN_E_FORMAT, "it has no 'targets'");
    json_object_foreach(
        all, name, target) if (!is_count(json_object_get(target, "length"), 0) ||
                               !json_is_object(json_object_get(
                                   target, "hashes"))) return tn_fail(TN_E_FORMAT,
                                                                      "the target '%.100s' has no length and hashes",
                                                                      name);
    return TN_OK;
}

static tn_status check_signatures(const json_t *signatures) {
    if (!json_is_array(signatures) || json_array_size(signatures) > MOST_SIGNATURES)
        return tn_fail(TN_E_FORMAT, "it has no list of at most %d signatures", MOST_SIGNATURES);
    for (size_t i = 0; i < json_array_size(signatures); i++) {
        const char *id, *text;
        TN_TRY(tn_json_text(json_array_get(signatures, i), "a signature", "keyid", &id));
        TN_TRY(tn_json_text(json_array_get(signatures, i), "a signature", "sig", &text));
        for (size_t k = 0; k < i; k++)
            if (strcmp(id, json_string_value(json_object_get(json_array_get(signatures, k), "keyid"))) == 0)
                return tn_fail(TN_E_FORMAT, "it has two signatures of the key '%.64s'", id);
    }
    return TN_OK;
}

static tn_status check_form(tn_role role, tn_metadata *m) {
    const char *type, *specification, *what = "its signed part";
    const json_t *version = json_object_get(m->body, "version");
    TN_TRY(tn_json_text(m->body, what, "_type", &type));
    if (strcmp(type, tn_role_names[role]) != 0)
        return tn_fail(TN_E_FORMAT, "its type is '%.40s'; expected %s", type, tn_role_names[role]);
    TN_TRY(tn_json_text(m->body, what, "spec_version", &specification));
    if (strncmp(specification, "1.", 2) != 0)
        return tn_fail(TN_E_UNSUPPORTED, "it is of version '%.20s' of the specification; expected 1.x", specification);
    if (!is_count(version, 1)) return tn_fail(TN_E_FORMAT, "it has no valid version");
    m->version = json_integer_value(version);
    TN_TRY(tn_json_text(m->body, what, "expires", &m->expires));
    TN_TRY(tn_store_check_time(m->expires));
    TN_TRY(check_signatures(json_object_get(m->json, "signatures")));
    switch (role) {
    case TN_ROOT: return check_root(m->body);
    case TN_TIMESTAMP: return check_meta(m->body, "snapshot.json");
    case TN_SNAPSHOT: return check_meta(m->body, "targets.json");
    default: return check_targets(m->body);
    }
}

tn_status tn_metadata_read(tn_role role, const char *text, size_t size, tn_metadata *out) {
    *out = (tn_metadata){.text = tn_alloc(NULL, size + 1), .size = size};
    if (!out->text) return TN_E_MEMORY;
    if (size) memcpy(out->text, text, size);
    out->text[size] = 0;
    tn_status status = tn_json_parse("it", out->text, size, &out->json);
    if (status == TN_OK) {
        out->body = json_object_get(out->json, "signed");
        status = check_form(role, out);
    }
    if (status == TN_OK) return TN_OK;
    tn_metadata_free(out);
    return tn_fail_context(status, "%s metadata is malformed", tn_role_names[role]);
}

void tn_metadata_free(tn_metadata *m) {
    json_decref(m->json);
    tn_store_free_text(m->text, m->size);
    *m = (tn_metadata){0};
}

/* The key of this id, if the role has it and it is one that counts. */
static bool role_key(const tn_metadata *root, tn_role role, const char *id, unsigned char key[32]) {
    const json_t *ids = json_object_get(tn_metadata_role(root, role), "keyids");
    const json_t *entry = json_object_get(json_object_get(root->body, "keys"), id);
    const char *type = json_string_value(json_object_get(entry, "keytype"));
    const char *scheme = json_string_value(json_object_get(entry, "scheme"));
    const char *text = json_string_value(json_object_get(json_object_get(entry, "keyval"), "public"));
    bool named = false;
    for (size_t i = 0; i < json_array_size(ids); i++)
        named |= strcmp(json_string_value(json_array_get(ids, i)), id) == 0;
    if (!named || !type || !scheme || strcmp(type, "ed25519") != 0 || strcmp(scheme, "ed25519") != 0) return false;
    return is_hex(text, 64) && sodium_hex2bin(key, 32, text, 64, NULL, NULL, NULL) == 0;
}

/* One signature a key id, and one id a key: check_signatures and check_root saw to that. */
tn_status tn_metadata_verify(const tn_metadata *m, tn_role role, const tn_metadata *root) {
    char *text;
    size_t size, i;
    int64_t good = 0, needed = json_integer_value(json_object_get(tn_metadata_role(root, role), "threshold"));
    const json_t *entry, *signatures = json_object_get(m->json, "signatures");
    if (sodium_init() < 0) return tn_fail(TN_E_INTERNAL, "libsodium does not start");
    TN_TRY(tn_canonical(m->body, &text, &size));
    json_array_foreach((json_t *)signatures, i, entry) {
        unsigned char key[32], signature[64];
        const char *hex = json_string_value(json_object_get(entry, "sig"));
        if (is_hex(hex, 128) && sodium_hex2bin(signature, 64, hex, 128, NULL, NULL, NULL) == 0 &&
            role_key(root, role, json_string_value(json_object_get(entry, "keyid")), key))
            good += crypto_sign_verify_detached(signature, (unsigned char *)text, size, key) == 0;
    }
    tn_store_free_text(text, size);
    if (good >= needed) return TN_OK;
    return tn_fail(TN_E_FORMAT,
                   "%s metadata of version %" PRId64 " has %" PRId64 " valid signatures of the keys that root %" PRId64
                   " gives it; expected at least %" PRId64,
                   tn_role_names[role], m->version, good, root->version, needed);
}

bool tn_metadata_rekeys(const tn_metadata *old_root, const tn_metadata *new_root, tn_role role) {
    return !json_equal(json_object_get(tn_metadata_role(old_root, role), "keyids"),
                       json_object_get(tn_metadata_role(new_root, role), "keyids"));
}

const json_t *tn_metadata_meta(const tn_metadata *m, const char *file) {
    return json_object_get(json_object_get(m->body, "meta"), file);
}

tn_status tn_metadata_match(tn_role role, const char *text, size_t size, const json_t *meta) {
    const json_t *length = json_object_get(meta, "length"), *hashes = json_object_get(meta, "hashes");
    const char *hash = json_string_value(json_object_get(hashes, "sha256")), *name = tn_role_names[role];
    char found[TN_STORE_DIGEST];
    if (length && (uint64_t)json_integer_value(length) != size)
        return tn_fail(TN_E_FORMAT, "%s metadata has %zu bytes; the metadata above it states %" PRId64, name, size,
                       (int64_t)json_integer_value(length));
    if (!hashes) return TN_OK;
    if (!hash) return tn_fail(TN_E_UNSUPPORTED, "the metadata above %s gives no SHA-256 of it", name);
    tn_digest_of(text, size, found);
    if (strcmp(found + 7, hash) == 0) return TN_OK;
    return tn_fail(TN_E_FORMAT, "%s metadata has the digest %s; the metadata above it states %.64s", name, found, hash);
}
