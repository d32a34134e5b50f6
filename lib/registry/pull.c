/* Pulling: the manifest, then its blobs, each continued where an earlier attempt was cut, and at last all of it into the
 * store in one step (distribution-spec, "Pulling manifests" and "Pulling blobs"). */
#include "registry/http.h"
#include <stdio.h>
#include <unistd.h>

enum { MOST_PARTS = 128 };

typedef struct wanted_part {
    char digest[TN_STORE_DIGEST];
    uint64_t size;
} wanted_part;

typedef struct pulling {
    tn_store *store;
    tn_http *http;
    tn_address address;
    tn_registry_result result;
    tn_store_version version;
    wanted_part parts[MOST_PARTS];
    tn_staged staged[MOST_PARTS + 1]; /* and the manifest */
    int count;
    uint64_t manifest_size;
} pulling;

/* Of one blob. */
typedef struct download {
    pulling *p;
    const wanted_part *part;
    tn_staged *staged;
    uint64_t begun_at; /* `done` of the client before it */
} download;

/* ---- the manifest ---- */

static tn_status list_parts(pulling *p, const json_t *manifest) {
    uint64_t all = 0, most = p->http->options.most_bytes;
    for (;; p->count++) {
        wanted_part part;
        tn_status status = tn_oci_manifest_part(manifest, p->result.digest, p->count - 1, part.digest, &part.size);
        if (status == TN_E_NOT_FOUND) break;
        if (status != TN_OK) return status;
        if (p->count == MOST_PARTS) return tn_fail(TN_E_LIMIT, "the manifest has more than %d parts", MOST_PARTS);
        if (part.size > most || all > most - part.size)
            return tn_fail(TN_E_LIMIT, "the version has more than %llu bytes: see options.most_bytes",
                           (unsigned long long)most);
        p->parts[p->count] = part;
        all += part.size;
    }
    p->http->total = all;
    return TN_OK;
}

static tn_status check_type(const tn_exchange *e, const json_t *manifest) {
    const char *type = json_string_value(json_object_get(manifest, "mediaType"));
    size_t length = strcspn(e->type, "; ");
    bool said = length == 0 || (length == strlen(TN_OCI_MANIFEST) && strncmp(e->type, TN_OCI_MANIFEST, length) == 0);
    if (said && (!type || strcmp(type, TN_OCI_MANIFEST) == 0)) return TN_OK;
    return tn_fail(TN_E_FORMAT, "there is a '%.100s', not an image manifest of OCI", said ? type : e->type);
}

static tn_status read_manifest(pulling *p, const tn_exchange *e) {
    json_t *manifest;
    char *digest = p->result.digest;
    const char *text = e->data ? e->data : "";
    tn_digest_of(text, e->size, digest);
    if (p->address.digest[0] && strcmp(p->address.digest, digest) != 0)
        return tn_fail(TN_E_FORMAT, "the registry gives another manifest than was asked for: its digest is %s", digest);
    if (tn_digest_is_valid(e->digest) && strcmp(e->digest, digest) != 0)
        return tn_fail(TN_E_FORMAT, "the registry says that the manifest is %s, but its digest is %s", e->digest,
                       digest);
    TN_TRY(tn_json_parse("the manifest", text, e->size, &manifest));
    tn_status status = check_type(e, manifest);
    if (status == TN_OK) status = tn_oci_manifest_read(manifest, digest, &p->version);
    if (status == TN_OK) status = list_parts(p, manifest);
    json_decref(manifest);
    p->manifest_size = e->size;
    return status;
}

static tn_status fetch_manifest(pulling *p) {
    static const int wanted[] = {200, 0};
    char url[TN_URL_BYTES];
    const tn_address *a = &p->address;
    tn_exchange e = {.method = "GET", .accept = TN_OCI_MANIFEST, .limit = TN_STORE_JSON_BYTES};
    TN_TRY(tn_address_url(&p->address, p->http->base, "manifests", a->digest[0] ? a->digest : a->tag, url));
    tn_status status = tn_http_request(p->http, url, wanted, &e);
    if (status == TN_OK) status = read_manifest(p, &e);
    if (status == TN_OK) status = tn_stage_bytes(p->store, e.data, e.size, &p->staged[p->count]);
    tn_exchange_clear(&e);
    return status;
}

/* ---- blobs ---- */

/* The answer's header: whether it is the rest that was asked for. A server may also send all of it again. */
static tn_status begin(tn_exchange *e) {
    download *d = e->context;
    uint64_t range[3];
    if (e->code == 200 && d->staged->size) {
        TN_TRY(tn_stage_restart(d->p->store, d->staged));
        d->p->http->done = d->begun_at;
    }
    uint64_t rest = d->part->size - d->staged->size;
    if (e->code == 206 &&
        (!tn_content_range_parse(e->content_range, range) || range[0] != d->staged->size || range[2] != d->part->size))
        return tn_fail(TN_E_FORMAT, "the registry gives '%s' of %s; expected bytes from %llu on, of %llu",
                       e->content_range, d->part->digest, (unsigned long long)d->staged->size,
                       (unsigned long long)d->part->size);
    if (e->length >= 0 && (e->code == 200 ? (uint64_t)e->length != rest : (uint64_t)e->length > rest))
        return tn_fail(TN_E_FORMAT, "the registry has %lld bytes of %s; expected %llu", (long long)e->length,
                       d->part->digest, (unsigned long long)rest);
    return TN_OK;
}

static tn_status take(tn_exchange *e, const void *data, size_t size) {
    download *d = e->context;
    if (size > d->part->size - d->staged->size)
        return tn_fail(TN_E_FORMAT, "the registry gives more of %s than the %llu bytes that the manifest says",
                       d->part->digest, (unsigned long long)d->part->size);
    return tn_stage_add(d->p->store, d->staged, data, size);
}

static tn_status attempt(void *context, tn_exchange *e) {
    static const int wanted[] = {200, 206, 416, 0};
    char url[TN_URL_BYTES];
    download *d = context;
    tn_http *h = d->p->http;
    if (d->staged->size == d->part->size) return TN_OK;
    h->done = d->begun_at + d->staged->size;
    TN_TRY(tn_address_url(&d->p->address, h->base, "blobs", d->part->digest, url));
    tn_exchange_set(e, (tn_exchange){.method = "GET", .begin = begin, .sink = take, .context = d});
    if (d->staged->size) snprintf(e->range, sizeof e->range, "Range: bytes=%llu-", (unsigned long long)d->staged->size);
    tn_status status = tn_http_try(h, url, wanted, e);
    d->p->result.bytes += e->passed;
    h->done = d->begun_at + d->staged->size;
    if (status != TN_OK || d->staged->size == d->part->size) return status;
    e->transient = true;
    if (e->code == 416) TN_TRY(tn_stage_restart(d->p->store, d->staged));
    return tn_fail(TN_E_IO, "the registry ends %s after %llu of %llu bytes", d->part->digest,
                   (unsigned long long)d->staged->size, (unsigned long long)d->part->size);
}

/* What an earlier attempt left may be wrong (a power cut tears files): once, it begins anew. */
static tn_status fetch_blob(pulling *p, int i, bool anew) {
    download d = {p, &p->parts[i], &p->staged[i], p->http->done};
    TN_TRY(tn_stage_resume(p->store, d.part->digest, d.staged));
    uint64_t had = d.staged->size;
    if (had > d.part->size || anew) {
        TN_TRY(tn_stage_restart(p->store, d.staged));
        had = 0;
    }
    TN_TRY(tn_http_persist(p->http, attempt, &d));
    TN_TRY(tn_stage_end(p->store, d.staged, TN_OK));
    if (strcmp(d.staged->digest, d.part->digest) != 0) {
        char found[TN_STORE_DIGEST];
        memcpy(found, d.staged->digest, sizeof found);
        tn_staged_drop(p->store, d.staged);
        p->http->done = d.begun_at;
        if (had) return fetch_blob(p, i, true);
        return tn_fail(TN_E_FORMAT, "the registry gives wrong bytes of %s: their digest is %s", d.part->digest, found);
    }
    p->result.resumed += had;
    p->result.blobs++;
    p->http->done = d.begun_at + d.part->size;
    return TN_OK;
}

static bool is_there(const tn_store *s, const wanted_part *part) {
    int file;
    uint64_t size;
    if (tn_blob_open(s, part->digest, &file, &size) != TN_OK) return false;
    bool sound = size == part->size && tn_blob_check(s, part->digest, file) == TN_OK;
    close(file);
    return sound;
}

static bool is_staged(const pulling *p, int i) {
    for (int k = 0; k < i; k++)
        if (strcmp(p->parts[k].digest, p->parts[i].digest) == 0) return true;
    return false;
}

static tn_status pull(pulling *p) {
    bool there;
    TN_TRY(fetch_manifest(p));
    TN_TRY(tn_version_expect(p->store, &p->version, true, &there));
    for (int i = 0; i < p->count; i++) {
        if (there || is_staged(p, i) || is_there(p->store, &p->parts[i])) {
            p->result.skipped++;
            p->http->done += p->parts[i].size;
        } else {
            TN_TRY(fetch_blob(p, i, false));
        }
    }
    return tn_version_publish(p->store, p->staged, (size_t)p->count + 1, p->manifest_size, &p->version, true);
}

void tn_registry_give(const tn_registry_result *result, tn_registry_result *out) {
    if (!out) return;
    size_t size = TN_MIN(out->struct_size, sizeof *result), asked = out->struct_size;
    memcpy(out, result, size);
    out->struct_size = asked;
}

static tn_status pull_from(pulling *p, const char *address, const tn_registry_options *options) {
    tn_address *a = &p->address;
    TN_TRY(tn_address_parse(address, a));
    if (!a->digest[0] && !a->tag[0]) memcpy(a->tag, "latest", 7);
    TN_TRY(tn_http_create(options, a->host, &p->http));
    snprintf(p->http->scope, sizeof p->http->scope, "repository:%s:pull", a->repository);
    tn_status status = pull(p);
    /* What is whole is kept for the next attempt as well. */
    for (int i = 0; i <= MOST_PARTS; i++) tn_staged_keep(p->store, &p->staged[i]);
    tn_http_destroy(p->http);
    if (status == TN_OK) return TN_OK;
    return tn_fail_context(status, "%s/%s%s%s", a->host, a->repository, a->digest[0] ? "@" : ":",
                           a->digest[0] ? a->digest : a->tag);
}

tn_status tn_store_pull(tn_store *store, const char *address, const tn_registry_options *options,
                        tn_store_version *out_version, tn_registry_result *out_result) {
    if (out_result && !out_result->struct_size) return tn_fail(TN_E_INVALID, "set struct_size of the result first");
    pulling *p = tn_alloc_zero(NULL, sizeof *p);
    if (!p) return TN_E_MEMORY;
    p->store = store;
    for (int i = 0; i <= MOST_PARTS; i++) p->staged[i].file = -1;
    tn_status status = pull_from(p, address, options);
    if (status == TN_OK && out_version) *out_version = p->version;
    if (status == TN_OK) tn_registry_give(&p->result, out_result);
    tn_free(NULL, p, sizeof *p);
    return status;
}
