/* Fetching a version from another store's folder: see tenon/fetch.h. What has to come is known, and held against the host's
 * limit, before the first byte is. */
#include "store/delta.h"
#include "delta/reader.h"
#include "trust/trust.h"
#include <stdio.h>
#include <unistd.h>

enum { MOST_PARTS = 128 };

typedef struct fetching {
    tn_store *to, *from;
    tn_store_version version;
    tn_fetch_result result;
    uint64_t most, planned; /* bytes */
    struct part {
        char digest[TN_STORE_DIGEST];
        uint64_t size;
        tn_store_delta delta; /* size 0: none */
        bool there;
    } parts[MOST_PARTS];
    tn_staged staged[MOST_PARTS + 1]; /* and the manifest */
    int count;
    uint64_t manifest_size;
} fetching;

static tn_status plan(fetching *f, const json_t *manifest) {
    for (;; f->count++) {
        struct part part = {0};
        tn_status status = tn_oci_manifest_part(manifest, f->version.digest, f->count - 1, part.digest, &part.size);
        if (status == TN_E_NOT_FOUND) break;
        if (status != TN_OK) return status;
        if (f->count == MOST_PARTS) return tn_fail(TN_E_LIMIT, "the manifest has more than %d parts", MOST_PARTS);
        part.there = tn_blob_is_sound(f->to, part.digest, &part.size);
        for (int i = 0; i < f->count; i++) part.there |= strcmp(f->parts[i].digest, part.digest) == 0;
        if (!part.there) tn_delta_choose(f->from->index, f->to, part.digest, part.size, &part.delta);
        uint64_t bytes = part.there ? 0 : part.delta.size ? part.delta.size : part.size;
        if (__builtin_add_overflow(f->planned, bytes, &f->planned)) f->planned = UINT64_MAX;
        f->parts[f->count] = part;
    }
    if (!f->most || f->planned <= f->most) return TN_OK;
    return tn_fail(TN_E_LIMIT, "the version would bring %llu bytes from '%s'; the host allows %llu",
                   (unsigned long long)f->planned, f->from->path, (unsigned long long)f->most);
}

/* ---- one part ---- */

typedef struct filling {
    fetching *f;
    const struct part *part;
    tn_staged *staged;
    bool by_delta;
} filling;

static tn_status copy(fetching *f, tn_sink *k, int file) {
    uint8_t piece[65536];
    size_t got = sizeof piece;
    for (k->at = k->staged->size; got == sizeof piece;) {
        TN_TRY(tn_delta_read_at(file, k->digest, piece, sizeof piece, k->at, &got));
        f->result.bytes += got;
        TN_TRY(tn_sink_take(k, piece, got));
    }
    return TN_OK;
}

static tn_status apply(fetching *f, tn_sink *k, const tn_store_delta *d) {
    int delta;
    uint64_t size;
    TN_TRY(tn_blob_open(f->from, d->blob, &delta, &size));
    tn_status status = size == d->size ? tn_blob_check(f->from, d->blob, delta)
                                       : tn_fail(TN_E_FORMAT, "the delta %s has %llu bytes; expected %llu", d->blob,
                                                 (unsigned long long)size, (unsigned long long)d->size);
    f->result.bytes += size;
    if (status == TN_OK) status = tn_sink_delta(k, d, delta);
    close(delta);
    return status;
}

static tn_status fill(void *context) {
    const filling *l = context;
    const struct part *part = l->part;
    tn_sink k = {l->f->to, l->staged, part->digest, part->size, 0};
    int file;
    uint64_t size;
    if (l->by_delta) return apply(l->f, &k, &part->delta);
    TN_TRY(tn_blob_open(l->f->from, part->digest, &file, &size));
    tn_status status = copy(l->f, &k, file);
    close(file);
    return status;
}

/* The part is staged whole and right, or not staged. */
static tn_status fetch_one(fetching *f, int i, bool by_delta) {
    char from[300];
    filling l = {f, &f->parts[i], &f->staged[i], by_delta};
    snprintf(from, sizeof from, "'%.280s'", f->from->path);
    TN_TRY(tn_stage_blob(f->to, l.part->digest, l.part->size, l.staged, fill, &l, from, &f->result.resumed));
    f->result.deltas += by_delta;
    return TN_OK;
}

/* A delta that does not do is no reason to go without, unless the way without is too long. What it made so far is gone on
 * from. */
static tn_status fetch_part(fetching *f, int i) {
    struct part *part = &f->parts[i];
    if (!part->delta.size) return fetch_one(f, i, false);
    tn_status status = fetch_one(f, i, true);
    if (status == TN_OK) return TN_OK;
    tn_staged_keep(f->to, &f->staged[i]);
    f->planned += part->size;
    if (f->most && f->planned > f->most) {
        char why[300];
        snprintf(why, sizeof why, "%s", tn_last_error());
        return tn_fail(TN_E_LIMIT,
                       "the file instead of its delta would make it %llu bytes from '%s', and the host allows %llu: %s",
                       (unsigned long long)f->planned, f->from->path, (unsigned long long)f->most, why);
    }
    return fetch_one(f, i, false);
}

/* ---- all of it ---- */

/* What a channel of ours leads to, or what the other store has under the reference. */
static tn_status find(fetching *f, const char *reference) {
    const char *sign = strchr(reference, '@');
    tn_store_channel_info c;
    char name[TN_STORE_NAME];
    if (!sign) return tn_store_find(f->from, reference, &f->version);
    if ((size_t)(sign - reference) >= sizeof name) return tn_fail(TN_E_INVALID, "'%.200s' names no channel", reference);
    memcpy(name, reference, (size_t)(sign - reference));
    name[sign - reference] = 0;
    TN_TRY(tn_store_channel(f->to, name, sign + 1, &c));
    TN_TRY(tn_store_find(f->from, c.digest, &f->version));
    if (strcmp(f->version.name, name) == 0) return TN_OK;
    return tn_fail(TN_E_FORMAT, "the channel leads to a version of the model '%s'", f->version.name);
}

static tn_status stage_manifest(fetching *f, json_t **out_manifest) {
    char name[96], *text;
    size_t size;
    TN_TRY(tn_blob_json(f->from, f->version.digest, out_manifest)); /* and so its digest is right */
    tn_blob_name(f->version.digest, name);
    tn_status status = tn_store_read(f->from, name, TN_STORE_JSON_BYTES, &text, &size);
    if (status == TN_OK) {
        f->manifest_size = f->planned = f->result.bytes = size;
        status = tn_stage_bytes(f->to, text, size, &f->staged[MOST_PARTS]);
        tn_store_free_text(text, size);
        if (status == TN_OK && strcmp(f->staged[MOST_PARTS].digest, f->version.digest) != 0)
            status = tn_fail(TN_E_FORMAT, "the manifest changed while it was read");
    }
    if (status != TN_OK) json_decref(*out_manifest);
    return status;
}

static tn_status fetch(fetching *f, const char *reference) {
    json_t *manifest;
    bool there;
    TN_TRY(find(f, reference));
    TN_TRY(tn_version_read(f->from, f->version.digest, &f->version));
    TN_TRY(tn_version_expect(f->to, &f->version, true, &there));
    if (there) return TN_OK;
    TN_TRY(stage_manifest(f, &manifest));
    tn_status status = plan(f, manifest);
    json_decref(manifest);
    if (status != TN_OK) return status;
    for (int i = 0; i < f->count; i++)
        if (!f->parts[i].there) TN_TRY(fetch_part(f, i));
    return tn_version_publish(f->to, f->staged, MOST_PARTS + 1, f->manifest_size, &f->version, true);
}

tn_status tn_store_fetch(tn_store *s, const char *from, const char *reference, const tn_fetch_options *options,
                         tn_store_version *out_version, tn_fetch_result *out_result) {
    tn_fetch_options o = {0};
    if (options) memcpy(&o, options, TN_MIN(options->struct_size, sizeof o));
    fetching *f = tn_alloc_zero(NULL, sizeof *f);
    if (!f) return TN_E_MEMORY;
    f->to = s;
    f->most = o.most_bytes;
    for (int i = 0; i <= MOST_PARTS; i++) f->staged[i].file = -1;
    tn_status status = tn_store_open(from, &f->from);
    if (status == TN_OK) {
        status = fetch(f, reference);
        if (status != TN_OK) tn_fail_context(status, "'%.200s' from '%s'", reference, from);
    }
    for (int i = 0; i <= MOST_PARTS; i++) tn_staged_keep(s, &f->staged[i]);
    tn_store_close(f->from);
    if (status == TN_OK && out_version) *out_version = f->version;
    if (out_result) {
        f->result.struct_size = out_result->struct_size;
        memcpy(out_result, &f->result, TN_MIN(out_result->struct_size, sizeof f->result));
    }
    tn_free(NULL, f, sizeof *f);
    return status;
}
