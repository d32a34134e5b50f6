/* Channels: targets "MODEL/CHANNEL" that lead to manifests. */
#include "trust/trust.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

bool tn_channel_is_one(const char *path, const json_t *target) {
    return strchr(path, '/') && json_object_get(json_object_get(target, "custom"), "counter");
}

static tn_status check_channel(const char *channel) {
    if (*channel && !strchr(channel, '/') && tn_store_check_name(channel) == TN_OK) return TN_OK;
    return tn_fail(TN_E_INVALID, "'%.100s' cannot be a channel's name; expected such as stable or canary", channel);
}

static tn_status set_names(tn_store_channel_info *c, const char *name, size_t length, const char *channel) {
    *c = (tn_store_channel_info){0};
    if (length >= sizeof c->name || length + strlen(channel) + 2 > TN_STORE_NAME)
        return tn_fail(TN_E_INVALID, "the names of a model and a channel have at most %d bytes together",
                       TN_STORE_NAME - 2);
    memcpy(c->name, name, length);
    TN_TRY(tn_store_check_name(c->name));
    TN_TRY(check_channel(channel));
    memcpy(c->channel, channel, strlen(channel) + 1);
    return TN_OK;
}

static tn_status read_target(const char *path, const json_t *target, tn_store_channel_info *c) {
    const json_t *custom = json_object_get(target, "custom"), *counter = json_object_get(custom, "counter");
    const char *channel = strrchr(path, '/'), *hash;
    if (!channel) return tn_fail(TN_E_FORMAT, "it is no MODEL/CHANNEL");
    TN_TRY(set_names(c, path, (size_t)(channel - path), channel + 1));
    TN_TRY(tn_json_text(json_object_get(target, "hashes"), "its 'hashes'", "sha256", &hash));
    if (!tn_store_digest_of_name(hash, c->digest)) return tn_fail(TN_E_FORMAT, "'%.70s' is no SHA-256", hash);
    if (!json_is_integer(counter) || json_integer_value(counter) < 1)
        return tn_fail(TN_E_FORMAT, "its counter is no number from 1 on");
    c->counter = json_integer_value(counter);
    c->bytes = (uint64_t)json_integer_value(json_object_get(target, "length"));
    if (json_object_get(custom, "version"))
        TN_TRY(tn_json_copy(custom, "its 'custom'", "version", c->version, sizeof c->version));
    return TN_OK;
}

tn_status tn_channel_read(const char *path, const json_t *target, tn_store_channel_info *out) {
    tn_status status = read_target(path, target, out);
    return status == TN_OK ? TN_OK : tn_fail_context(status, "the target '%.100s'", path);
}

/* What is trusted, and in time. */
static tn_status load_fresh(tn_store *s, tn_trusted *t) {
    char now[32];
    TN_TRY(tn_trusted_load(s, t));
    tn_trusted_now(s, t, now);
    tn_status status =
        t->part[TN_TARGETS].json
            ? TN_OK
            : tn_fail(TN_E_NOT_FOUND, "the store '%s' trusts a root, and wants tn_trust_update", s->path);
    for (int i = 0; i < TN_ROLES && status == TN_OK; i++)
        status = tn_trusted_check_expiry(t, &t->part[i], (tn_role)i, now);
    if (status != TN_OK) tn_trusted_free(t);
    return status;
}

tn_status tn_store_channel(tn_store *s, const char *name, const char *channel, tn_store_channel_info *out_info) {
    char path[2 * TN_STORE_NAME];
    tn_trusted t;
    tn_store_channel_info wanted;
    TN_TRY(set_names(&wanted, name, strlen(name), channel));
    TN_TRY(load_fresh(s, &t));
    snprintf(path, sizeof path, "%.127s/%.127s", name, channel);
    const json_t *target = json_object_get(json_object_get(t.part[TN_TARGETS].body, "targets"), path);
    tn_status status = target ? tn_channel_read(path, target, out_info)
                              : tn_fail(TN_E_NOT_FOUND, "there is no channel %s@%s", name, channel);
    tn_trusted_free(&t);
    return status;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

tn_status tn_store_channel_at(tn_store *s, int index, tn_store_channel_info *out_info) {
    tn_trusted t;
    TN_TRY(load_fresh(s, &t));
    json_t *targets = json_object_get(t.part[TN_TARGETS].body, "targets"), *target;
    size_t bytes = (json_object_size(targets) + 1) * sizeof(char *), count = 0;
    const char **paths = tn_alloc(NULL, bytes), *path;
    tn_status status = paths ? TN_OK : TN_E_MEMORY;
    if (paths) {
        json_object_foreach(targets, path, target) if (tn_channel_is_one(path, target)) paths[count++] = path;
        qsort(paths, count, sizeof *paths, by_text);
        status = index >= 0 && (size_t)index < count
                     ? tn_channel_read(paths[index], json_object_get(targets, paths[index]), out_info)
                     : tn_fail(TN_E_NOT_FOUND, "the store '%s' has %zu channels", s->path, count);
        tn_free(NULL, paths, bytes);
    }
    tn_trusted_free(&t);
    return status;
}

/* The manifest must be of the model whose channel it is: else one model's versions could be passed off as another's. */
static tn_status check_version(tn_store *s, const tn_store_channel_info *c, tn_store_version *v) {
    int file;
    uint64_t size;
    TN_TRY(tn_blob_open(s, c->digest, &file, &size));
    close(file);
    if (size != c->bytes)
        return tn_fail(TN_E_FORMAT, "its manifest has %llu bytes; signed are %llu", (unsigned long long)size,
                       (unsigned long long)c->bytes);
    TN_TRY(tn_version_read(s, c->digest, v));
    if (strcmp(v->name, c->name) == 0) return TN_OK;
    return tn_fail(TN_E_FORMAT, "it leads to a version of the model '%s'", v->name);
}

tn_status tn_channel_find(tn_store *s, const char *reference, tn_store_version *out_version) {
    size_t length = strcspn(reference, "@");
    tn_store_channel_info wanted, c;
    TN_TRY(set_names(&wanted, reference, length, reference + length + 1));
    /* The index after the channel: a version is in the store before a channel leads to it. It may be removed between the
     * two, if the channel has moved on meanwhile; so both are read again. */
    tn_status status = TN_E_NOT_FOUND;
    for (int tries = 0; tries < TN_STORE_TRIES && status == TN_E_NOT_FOUND; tries++) {
        TN_TRY(tn_store_channel(s, wanted.name, wanted.channel, &c));
        TN_TRY(tn_index_refresh(s));
        const tn_store_version *found;
        status = tn_reference_find(c.digest, s->all, s->count, &found) == TN_OK
                     ? check_version(s, &c, out_version)
                     : tn_fail(TN_E_NOT_FOUND, "it is at version %s with counter %lld, which is not in the store: %s",
                               c.version[0] ? c.version : "(untold)", (long long)c.counter, c.digest);
    }
    return status == TN_OK ? TN_OK : tn_fail_context(status, "the channel %s@%s", c.name, c.channel);
}
