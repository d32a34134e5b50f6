/* What a store trusts: trust/trusted.json, one file that is replaced in one rename, so that no cut and no refused update
 * leaves a part of it old and a part new. The metadata stands in it as it was signed, byte by byte; all signatures are
 * verified whenever it is read. */
#include "trust/trust.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define TRUSTED "trust/trusted.json"
#define TRUSTED_BYTES (32u << 20)

static const char *const clocks[] = {"enforce", "floor", "counter-only"};

void tn_trusted_free(tn_trusted *t) {
    for (int i = 0; i < TN_ROLES; i++) tn_metadata_free(&t->part[i]);
    json_decref(t->counters);
    *t = (tn_trusted){0};
}

/* The digest of the file as it is without it: signatures cover the metadata, and this the counters and the rest. */
static tn_status digest_of(const json_t *json, char digest[TN_STORE_DIGEST]) {
    char *text = tn_json_dump(json);
    if (!text) return TN_E_MEMORY;
    tn_digest_of(text, strlen(text), digest);
    free(text);
    return TN_OK;
}

static tn_status read_json(const tn_store *s, json_t **out_json) {
    char *text, stated[TN_STORE_DIGEST], found[TN_STORE_DIGEST];
    size_t size;
    TN_TRY(tn_store_read(s, TRUSTED, TRUSTED_BYTES, &text, &size));
    tn_status status = tn_json_parse("it", text, size, out_json);
    tn_store_free_text(text, size);
    if (status != TN_OK) return status;
    status = tn_json_copy(*out_json, "it", "digest", stated, sizeof stated);
    json_object_del(*out_json, "digest");
    if (status == TN_OK) status = digest_of(*out_json, found);
    if (status == TN_OK && strcmp(stated, found) != 0)
        status = tn_fail(TN_E_FORMAT, "its contents have the digest %s, not %s", found, stated);
    if (status == TN_OK) return TN_OK;
    json_decref(*out_json);
    *out_json = NULL;
    return status;
}

static tn_status take_parts(const json_t *json, tn_trusted *t) {
    const char *clock;
    TN_TRY(tn_json_text(json, "it", "clock", &clock));
    size_t i = 0;
    while (i < TN_COUNT(clocks) && strcmp(clock, clocks[i]) != 0) i++;
    if (i == TN_COUNT(clocks)) return tn_fail(TN_E_FORMAT, "it names no policy of the clock");
    t->clock = (tn_trust_clock)i;
    t->counters = json_deep_copy(json_object_get(json, "counters"));
    if (!json_is_object(t->counters)) return tn_fail(TN_E_FORMAT, "it has no counters");
    for (int role = 0; role < TN_ROLES; role++) {
        const json_t *text = json_object_get(json, tn_role_names[role]);
        if (!text && role != TN_ROOT) continue;
        if (!json_is_string(text)) return tn_fail(TN_E_FORMAT, "it has no %s", tn_role_names[role]);
        TN_TRY(tn_metadata_read((tn_role)role, json_string_value(text), json_string_length(text), &t->part[role]));
        TN_TRY(tn_metadata_verify(&t->part[role], (tn_role)role, &t->part[TN_ROOT]));
    }
    bool timestamp = t->part[TN_TIMESTAMP].json, snapshot = t->part[TN_SNAPSHOT].json;
    return timestamp == snapshot && (timestamp || !t->part[TN_TARGETS].json)
               ? TN_OK
               : tn_fail(TN_E_FORMAT, "a part of it is missing");
}

tn_status tn_trusted_load(const tn_store *s, tn_trusted *out) {
    json_t *json = NULL;
    *out = (tn_trusted){0};
    tn_status status = read_json(s, &json);
    if (status == TN_E_NOT_FOUND)
        return tn_fail(TN_E_NOT_FOUND,
                       "the store '%s' trusts no root; tn_trust_accept gives it one, tn_trust_init makes one", s->path);
    if (status == TN_OK) status = take_parts(json, out);
    json_decref(json);
    if (status == TN_OK) return TN_OK;
    tn_trusted_free(out);
    return tn_fail_context(status,
                           "'%s/" TRUSTED "' is damaged (delete it, and give the store its root anew by "
                           "tn_trust_accept)",
                           s->path);
}

/* t->counters is made here, and commits nothing yet. */
tn_status tn_trust_begin(tn_store *s, tn_trusted *t) {
    struct stat info;
    t->counters = json_object();
    if (!t->counters) return tn_fail(TN_E_MEMORY, "no memory for counters");
    TN_TRY(tn_change_begin(s));
    if (fstatat(s->folder, TRUSTED, &info, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT) return TN_OK;
    tn_change_end(s);
    return tn_fail(TN_E_STATE, "the store '%s' trusts a root already; roots follow each other by tn_trust_update",
                   s->path);
}

tn_status tn_trust_verify(const tn_store *s) {
    tn_trusted t;
    struct stat info;
    if (fstatat(s->folder, TRUSTED, &info, 0) != 0 && errno == ENOENT) return TN_OK;
    tn_status status = tn_trusted_load(s, &t);
    tn_trusted_free(&t);
    return status;
}

static tn_status write_file(const tn_store *s, const char *name, const char *text, size_t size) {
    char *there;
    size_t there_size;
    tn_staged staged;
    if (tn_store_read(s, name, TRUSTED_BYTES, &there, &there_size) == TN_OK) {
        bool same = there_size == size && memcmp(there, text, size) == 0;
        tn_store_free_text(there, there_size);
        if (same) return TN_OK;
    }
    TN_TRY(tn_stage_bytes(s, text, size, &staged));
    tn_status status = tn_staged_replace(s, &staged, name);
    tn_staged_drop(s, &staged);
    return status == TN_OK ? tn_store_flush_folder(s, "trust") : status;
}

/* The timestamp comes last: who reads it finds what it leads to. */
tn_status tn_trusted_publish(const tn_store *s, const tn_trusted *t) {
    static const tn_role order[] = {TN_ROOT, TN_TARGETS, TN_SNAPSHOT, TN_TIMESTAMP};
    for (size_t i = 0; i < TN_COUNT(order); i++) {
        const tn_metadata *m = &t->part[order[i]];
        char name[64];
        if (!m->json) continue;
        if (order[i] == TN_TIMESTAMP)
            snprintf(name, sizeof name, "trust/timestamp.json");
        else
            snprintf(name, sizeof name, "trust/%lld.%s.json", (long long)m->version, tn_role_names[order[i]]);
        TN_TRY(write_file(s, name, m->text, m->size));
    }
    return TN_OK;
}

static json_t *make_json(const tn_trusted *t, uint64_t number, const char *action, const tn_store_version *v) {
    json_t *json = json_pack("{s:s,s:O,s:{s:I,s:s,s:s,s:s,s:s}}", "clock", clocks[t->clock], "counters", t->counters,
                             "event", "number", (json_int_t)number, "action", action, "name", v->name, "version",
                             v->version, "digest", v->digest);
    for (int i = 0; json && i < TN_ROLES; i++)
        if (t->part[i].json &&
            json_object_set_new(json, tn_role_names[i], json_stringn(t->part[i].text, t->part[i].size)) != 0) {
            json_decref(json);
            json = NULL;
        }
    return json;
}

tn_status tn_trusted_commit(tn_store *s, const tn_trusted *t, const char *action, const tn_store_version *v) {
    static const tn_store_version none;
    char last[TN_STORE_DIGEST], root[64];
    uint64_t number;
    if (!v) v = &none;
    TN_TRY(tn_audit_tail(s, &number, last, NULL));
    json_t *json = make_json(t, number + 1, action, v);
    char digest[TN_STORE_DIGEST];
    if (json && digest_of(json, digest) == TN_OK) json_object_set_new(json, "digest", json_string(digest));
    char *text = json ? tn_json_dump(json) : NULL;
    json_decref(json);
    if (!text) return tn_fail(TN_E_MEMORY, "no memory for what is trusted");
    tn_status status = TN_OK;
    if (mkdirat(s->folder, "trust", 0777) == 0)
        status = tn_store_flush_folder(s, ".");
    else if (errno != EEXIST)
        status = tn_store_io_error(s, "make", "trust");
    /* The chain of roots has no gaps, whatever is cut. */
    snprintf(root, sizeof root, "trust/%lld.root.json", (long long)t->part[TN_ROOT].version);
    if (status == TN_OK) status = write_file(s, root, t->part[TN_ROOT].text, t->part[TN_ROOT].size);
    if (status == TN_OK) status = write_file(s, TRUSTED, text, strlen(text));
    free(text);
    if (status == TN_OK) status = tn_trusted_publish(s, t);
    return status == TN_OK ? tn_change_commit(s, action, v) : status;
}

/* Read without its signatures: what is not sound is told by who needs it. */
tn_status tn_trust_mend(tn_store *s) {
    json_t *json = NULL;
    char last[TN_STORE_DIGEST], action[16];
    uint64_t number;
    tn_store_version v = {0};
    const char *what = "the event";
    if (read_json(s, &json) != TN_OK) return TN_OK;
    const json_t *event = json_object_get(json, "event");
    tn_status status = tn_audit_tail(s, &number, last, NULL);
    if (status == TN_OK && json_integer_value(json_object_get(event, "number")) == (json_int_t)number + 1 &&
        tn_json_copy(event, what, "action", action, sizeof action) == TN_OK &&
        tn_json_copy(event, what, "name", v.name, sizeof v.name) == TN_OK &&
        tn_json_copy(event, what, "version", v.version, sizeof v.version) == TN_OK &&
        tn_json_copy(event, what, "digest", v.digest, sizeof v.digest) == TN_OK)
        status = tn_change_commit(s, action, &v);
    json_decref(json);
    return status;
}

static void tell_part(const tn_metadata *m, int64_t *version, char expires[32]) {
    *version = m->version;
    if (m->json) memcpy(expires, m->expires, strlen(m->expires) + 1);
}

tn_status tn_trust_set_clock(tn_store *s, tn_trust_clock clock) {
    tn_trusted t;
    if ((unsigned)clock > TN_TRUST_COUNTER_ONLY) return tn_fail(TN_E_INVALID, "there is no clock policy %d", clock);
    TN_TRY(tn_change_begin(s));
    tn_status status = tn_trusted_load(s, &t);
    if (status == TN_OK) {
        t.clock = clock;
        status = tn_trusted_commit(s, &t, "clock", NULL);
        tn_trusted_free(&t);
    }
    tn_change_end(s);
    return status;
}

tn_status tn_trust_info(tn_store *s, tn_trust_state *out_state) {
    tn_trusted t;
    if (!out_state->struct_size) return tn_fail(TN_E_INVALID, "set struct_size of the state first");
    tn_trust_state state = {.struct_size = out_state->struct_size};
    TN_TRY(tn_trusted_load(s, &t));
    state.clock = t.clock;
    tell_part(&t.part[TN_ROOT], &state.root, state.root_expires);
    tell_part(&t.part[TN_TARGETS], &state.targets, state.targets_expires);
    tell_part(&t.part[TN_SNAPSHOT], &state.snapshot, state.snapshot_expires);
    tell_part(&t.part[TN_TIMESTAMP], &state.timestamp, state.timestamp_expires);
    tn_trusted_free(&t);
    memcpy(out_state, &state, TN_MIN(state.struct_size, sizeof state));
    return TN_OK;
}
