/* Following a repository: the client's workflow, section 5 of the specification, with one time for now and one change at
 * its end. */
#include "trust/trust.h"
#include <stdio.h>
#include <unistd.h>

#define MOST_ROOTS 256 /* that one update goes through */

/* Counters only rise, and under one counter a channel stands still. */
tn_status tn_trusted_raise_counters(tn_trusted *t, const tn_metadata *targets) {
    tn_store_channel_info c;
    const char *path;
    json_t *target;
    json_object_foreach(json_object_get(targets->body, "targets"), path, target) {
        if (!tn_channel_is_one(path, target)) continue;
        TN_TRY(tn_channel_read(path, target, &c));
        const json_t *known = json_object_get(t->counters, path);
        json_int_t counter = json_integer_value(json_object_get(known, "counter"));
        const char *digest = json_string_value(json_object_get(known, "digest"));
        if (c.counter < counter)
            return tn_fail(TN_E_FORMAT, "the channel %s@%s goes from counter %lld back to %lld", c.name, c.channel,
                           (long long)counter, (long long)c.counter);
        if (c.counter == counter && digest && strcmp(digest, c.digest) != 0)
            return tn_fail(TN_E_FORMAT, "the channel %s@%s changes its version under the same counter %lld", c.name,
                           c.channel, (long long)counter);
        json_t *now = json_pack("{s:I,s:s}", "counter", (json_int_t)c.counter, "digest", c.digest);
        if (json_object_set_new(t->counters, path, now) != 0) return tn_fail(TN_E_MEMORY, "no memory for a counter");
    }
    return TN_OK;
}

typedef struct update {
    tn_store *s; /* NULL: a rehearsal */
    const tn_trust_source *from;
    tn_trusted t; /* as it becomes */
    char now[32];
} update;

static tn_status fetch(const update *u, tn_role role, const char *name, const json_t *meta, tn_metadata *out) {
    char *text;
    size_t size;
    *out = (tn_metadata){0};
    TN_TRY(u->from->read(u->from->context, name, tn_role_bytes[role], &text, &size));
    tn_status status = meta ? tn_metadata_match(role, text, size, meta) : TN_OK;
    if (status == TN_OK) status = tn_metadata_read(role, text, size, out);
    tn_store_free_text(text, size);
    return status;
}

static tn_status commit(const update *u, const char *action) {
    return u->s ? tn_trusted_commit(u->s, &u->t, action, NULL) : TN_OK;
}

static void replace(tn_trusted *t, tn_role role, tn_metadata *m) {
    tn_metadata_free(&t->part[role]);
    t->part[role] = *m;
    *m = (tn_metadata){0};
}

/* The same keys with a higher threshold may have signed too few times. */
static bool still_signed(const tn_trusted *t, const tn_metadata *next, tn_role role) {
    return !t->part[role].json || tn_metadata_verify(&t->part[role], role, next) == TN_OK;
}

/* 5.3.11: new keys may begin at any version, which is how one comes back from numbers that a thief drove high. */
void tn_trusted_drop_rotated(tn_trusted *t, const tn_metadata *next) {
    const tn_metadata *now = &t->part[TN_ROOT];
    bool targets = tn_metadata_rekeys(now, next, TN_TARGETS);
    bool above = tn_metadata_rekeys(now, next, TN_TIMESTAMP) || tn_metadata_rekeys(now, next, TN_SNAPSHOT);
    if (targets) json_object_clear(t->counters);
    above |= !still_signed(t, next, TN_TIMESTAMP) || !still_signed(t, next, TN_SNAPSHOT);
    if (targets || above || !still_signed(t, next, TN_TARGETS)) tn_metadata_free(&t->part[TN_TARGETS]);
    if (!above) return;
    tn_metadata_free(&t->part[TN_TIMESTAMP]);
    tn_metadata_free(&t->part[TN_SNAPSHOT]);
}

/* 5.3: one root after the other, each signed by the one before and by itself, and kept at once: what it takes back stays
 * taken back, also where a mirror has nothing sound to go with it. */
static tn_status follow_roots(update *u) {
    for (int i = 0; i < MOST_ROOTS; i++) {
        tn_metadata next, *root = &u->t.part[TN_ROOT];
        char name[64];
        snprintf(name, sizeof name, "%lld.root.json", (long long)root->version + 1);
        tn_status status = fetch(u, TN_ROOT, name, NULL, &next);
        if (status == TN_E_NOT_FOUND) return TN_OK;
        if (status == TN_OK && next.version != root->version + 1)
            status = tn_fail(TN_E_FORMAT, "it is of version %lld", (long long)next.version);
        if (status == TN_OK) status = tn_metadata_verify(&next, TN_ROOT, root);
        if (status == TN_OK) status = tn_metadata_verify(&next, TN_ROOT, &next);
        if (status != TN_OK) {
            tn_metadata_free(&next);
            return tn_fail_context(status, "%s", name);
        }
        tn_trusted_drop_rotated(&u->t, &next);
        replace(&u->t, TN_ROOT, &next);
        TN_TRY(commit(u, "root"));
    }
    return TN_OK;
}

/* Nothing that is described may fall to a lower version, or vanish. */
static tn_status check_versions(tn_role role, const tn_metadata *now, const tn_metadata *next) {
    const char *name;
    json_t *meta;
    json_object_foreach(json_object_get(now->body, "meta"), name, meta) {
        json_int_t before = json_integer_value(json_object_get(meta, "version")),
                   after = json_integer_value(json_object_get(tn_metadata_meta(next, name), "version"));
        if (after < before)
            return tn_fail(TN_E_FORMAT,
                           "%s metadata of version %lld takes '%.100s' from version %lld back to %lld (0: to none)",
                           tn_role_names[role], (long long)next->version, name, (long long)before, (long long)after);
    }
    return TN_OK;
}

/* 5.4. *out_same: the trusted one is the newest. */
static tn_status take_timestamp(update *u, bool *out_same) {
    tn_metadata next, *now = &u->t.part[TN_TIMESTAMP];
    TN_TRY(fetch(u, TN_TIMESTAMP, "timestamp.json", NULL, &next));
    tn_status status = tn_metadata_verify(&next, TN_TIMESTAMP, &u->t.part[TN_ROOT]);
    if (status == TN_OK && now->json && next.version < now->version)
        status = tn_fail(TN_E_FORMAT, "timestamp metadata of version %lld comes after version %lld was trusted",
                         (long long)next.version, (long long)now->version);
    *out_same = now->json && next.version == now->version;
    if (status == TN_OK && now->json && !*out_same) status = check_versions(TN_TIMESTAMP, now, &next);
    if (status == TN_OK) status = tn_trusted_check_expiry(&u->t, *out_same ? now : &next, TN_TIMESTAMP, u->now);
    if (status == TN_OK && !*out_same)
        replace(&u->t, TN_TIMESTAMP, &next);
    else
        tn_metadata_free(&next);
    return status;
}

/* 5.5 and 5.6: the file that `above` describes. */
static tn_status take_described(update *u, tn_role role, tn_role above) {
    char name[64], file[32];
    const tn_metadata *root = &u->t.part[TN_ROOT];
    tn_metadata next, *now = &u->t.part[role];
    snprintf(file, sizeof file, "%s.json", tn_role_names[role]);
    const json_t *meta = tn_metadata_meta(&u->t.part[above], file);
    json_int_t version = json_integer_value(json_object_get(meta, "version"));
    if (json_is_true(json_object_get(root->body, "consistent_snapshot")))
        snprintf(name, sizeof name, "%lld.%s", (long long)version, file);
    else
        snprintf(name, sizeof name, "%s", file);
    TN_TRY(fetch(u, role, name, meta, &next));
    tn_status status = tn_metadata_verify(&next, role, root);
    if (status == TN_OK && next.version != version)
        status = tn_fail(TN_E_FORMAT, "%s metadata is of version %lld; the metadata above it states %lld",
                         tn_role_names[role], (long long)next.version, (long long)version);
    if (status == TN_OK && role == TN_SNAPSHOT && now->json) status = check_versions(role, now, &next);
    if (status == TN_OK) status = tn_trusted_check_expiry(&u->t, &next, role, u->now);
    if (status == TN_OK && role == TN_TARGETS) status = tn_trusted_raise_counters(&u->t, &next);
    if (status == TN_OK)
        replace(&u->t, role, &next);
    else
        tn_metadata_free(&next);
    return status;
}

static tn_status follow(update *u) {
    bool same;
    TN_TRY(follow_roots(u));
    TN_TRY(tn_trusted_check_expiry(&u->t, &u->t.part[TN_ROOT], TN_ROOT, u->now));
    TN_TRY(take_timestamp(u, &same));
    if (same && u->t.part[TN_TARGETS].json) {
        TN_TRY(tn_trusted_check_expiry(&u->t, &u->t.part[TN_SNAPSHOT], TN_SNAPSHOT, u->now));
        return tn_trusted_check_expiry(&u->t, &u->t.part[TN_TARGETS], TN_TARGETS, u->now);
    }
    TN_TRY(take_described(u, TN_SNAPSHOT, TN_TIMESTAMP));
    TN_TRY(take_described(u, TN_TARGETS, TN_SNAPSHOT));
    return commit(u, "update");
}

tn_status tn_trust_update_from(tn_store *s, const tn_trust_source *source) {
    update u = {.s = s, .from = source};
    tn_status status = tn_change_begin(s);
    if (status == TN_OK) {
        status = tn_trusted_load(s, &u.t);
        if (status == TN_OK) {
            tn_trusted_now(s, &u.t, u.now);
            status = tn_trusted_publish(s, &u.t);
        }
        if (status == TN_OK) {
            status = follow(&u);
            if (status != TN_OK) status = tn_fail_context(status, "update from '%s' refused", source->what);
        }
        tn_change_end(s);
    }
    tn_trusted_free(&u.t);
    return status;
}

tn_status tn_trust_rehearse(const tn_store *s, const tn_trust_source *source) {
    update u = {.from = source};
    tn_status status = tn_trusted_load(s, &u.t);
    if (status == TN_OK) {
        tn_trusted_now(s, &u.t, u.now);
        status = follow(&u);
    }
    tn_trusted_free(&u.t);
    return status;
}

static tn_status read_folder(void *context, const char *name, size_t limit, char **out_data, size_t *out_size) {
    return tn_store_read(context, name, limit, out_data, out_size);
}

tn_status tn_trust_update(tn_store *s, const char *folder) {
    tn_store *from; /* only its path and its folder count */
    TN_TRY(tn_store_open_folder(folder, &from));
    tn_status status = tn_trust_update_from(s, &(tn_trust_source){read_folder, from, folder});
    tn_store_close(from);
    return status;
}

tn_status tn_trust_accept(tn_store *s, const char *root_file, tn_trust_clock clock) {
    size_t length = strlen(root_file), slash = length, size;
    tn_trusted t = {.clock = clock};
    tn_store *from;
    char *text, folder[4096];
    if ((unsigned)clock > TN_TRUST_COUNTER_ONLY) return tn_fail(TN_E_INVALID, "there is no clock policy %d", clock);
    while (slash > 0 && root_file[slash - 1] != '/') slash--;
    if (slash >= sizeof folder) return tn_fail(TN_E_LIMIT, "'%.200s...' is too long a path", root_file);
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)slash : 1, slash ? root_file : ".");
    TN_TRY(tn_store_open_folder(folder, &from));
    tn_status status = tn_store_read(from, root_file + slash, tn_role_bytes[TN_ROOT], &text, &size);
    tn_store_close(from);
    if (status != TN_OK) return status;
    status = tn_metadata_read(TN_ROOT, text, size, &t.part[TN_ROOT]);
    tn_store_free_text(text, size);
    if (status == TN_OK) status = tn_metadata_verify(&t.part[TN_ROOT], TN_ROOT, &t.part[TN_ROOT]);
    if (status == TN_OK) status = tn_trust_begin(s, &t);
    if (status == TN_OK) {
        status = tn_trusted_commit(s, &t, "trust", NULL);
        tn_change_end(s);
    }
    tn_trusted_free(&t);
    return status;
}
