/* Pulling: the manifest, then its blobs, each continued where an earlier attempt was cut, and at last all of it into the
 * store in one step (distribution-spec, "Pulling manifests" and "Pulling blobs"). */
#include "registry/http.h"
#include <stdio.h>

enum { MOST_PARTS = 128 };

typedef struct wanted_part {
    char digest[TN_STORE_DIGEST];
    uint64_t size;
    tn_store_delta delta; /* size 0: none */
    bool there;
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
    uint64_t manifest_size, planned; /* bytes of blobs that have to come */
} pulling;

/* ---- the manifest ---- */

static tn_status list_parts(pulling *p, const json_t *manifest) {
    for (;; p->count++) {
        wanted_part part = {0};
        tn_status status = tn_oci_manifest_part(manifest, p->result.digest, p->count - 1, part.digest, &part.size);
        if (status == TN_E_NOT_FOUND) break;
        if (status != TN_OK) return status;
        if (p->count == MOST_PARTS) return tn_fail(TN_E_LIMIT, "the manifest has more than %d parts", MOST_PARTS);
        p->parts[p->count] = part;
    }
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

/* ---- what has to come ---- */

static bool is_listed_before(const pulling *p, int i) {
    for (int k = 0; k < i; k++)
        if (strcmp(p->parts[k].digest, p->parts[i].digest) == 0 && p->parts[k].size == p->parts[i].size) return true;
    return false;
}

/* Deltas are asked for only where there is something that they could be of. */
static tn_status choose_delta(pulling *p, wanted_part *part, json_t **referrers) {
    tn_store_version any;
    if (!*referrers) {
        if (tn_store_at(p->store, 0, &any) != TN_OK) return TN_OK;
        TN_TRY(tn_referrers_read(p->http, &p->address, p->result.digest, referrers));
    }
    tn_delta_choose(*referrers, p->store, part->digest, part->size, &part->delta);
    return TN_OK;
}

static tn_status plan_part(pulling *p, int i, json_t **referrers) {
    wanted_part *part = &p->parts[i];
    part->there = is_listed_before(p, i) || tn_blob_is_sound(p->store, part->digest, &part->size);
    if (!part->there) TN_TRY(choose_delta(p, part, referrers));
    uint64_t bytes = part->delta.size ? part->delta.size : part->size;
    p->http->total += bytes;
    if (part->there)
        p->http->done += bytes;
    else if (__builtin_add_overflow(p->planned, bytes, &p->planned))
        p->planned = UINT64_MAX;
    return TN_OK;
}

static tn_status plan(pulling *p) {
    json_t *referrers = NULL;
    tn_status status = TN_OK;
    for (int i = 0; status == TN_OK && i < p->count; i++) status = plan_part(p, i, &referrers);
    json_decref(referrers);
    if (status != TN_OK || p->planned <= p->http->options.most_bytes) return status;
    return tn_fail(TN_E_LIMIT, "the version would bring %llu bytes, and %llu are allowed: see options.most_bytes",
                   (unsigned long long)p->planned, (unsigned long long)p->http->options.most_bytes);
}

/* ---- blobs ---- */

static tn_status download(pulling *p, const char *digest, uint64_t size, tn_staged *staged) {
    tn_download d = {p->http, &p->address, p->store, &p->result, digest, size, staged, 0};
    return tn_registry_download(&d);
}

typedef struct making {
    tn_sink sink;
    const tn_store_delta *delta;
    int file;
} making;

static tn_status make(void *context) {
    making *m = context;
    return tn_sink_delta(&m->sink, m->delta, m->file);
}

/* *out_useless: what failed is the delta, not the way to it or the disk. It is let go of when the file is made, not before. */
static tn_status fetch_by_delta(pulling *p, int i, bool *out_useless) {
    const wanted_part *part = &p->parts[i];
    tn_staged delta = {.file = -1};
    tn_status status = download(p, part->delta.blob, part->delta.size, &delta);
    *out_useless = status == TN_E_NOT_FOUND || status == TN_E_FORMAT;
    if (status == TN_OK) {
        making m = {{p->store, &p->staged[i], part->digest, part->size, 0}, &part->delta, delta.file};
        status = tn_stage_blob(p->store, part->digest, part->size, &p->staged[i], make, &m, "the registry's delta",
                               &p->result.resumed);
        *out_useless = status != TN_E_IO && status != TN_E_MEMORY;
        if (status == TN_OK || *out_useless) tn_staged_drop(p->store, &delta);
    }
    tn_staged_keep(p->store, &delta);
    p->result.deltas += status == TN_OK;
    return status;
}

/* A delta that does not do is no reason to go without, unless the way without is too long. */
static tn_status fetch_part(pulling *p, int i) {
    const wanted_part *part = &p->parts[i];
    bool useless;
    if (!part->delta.size) return download(p, part->digest, part->size, &p->staged[i]);
    tn_status status = fetch_by_delta(p, i, &useless);
    if (status == TN_OK || !useless) return status;
    tn_staged_keep(p->store, &p->staged[i]);
    p->http->total += part->size;
    if (part->size > p->http->options.most_bytes - p->planned)
        return tn_fail_context(TN_E_LIMIT, "the file instead of its delta would be more than options.most_bytes (%llu)",
                               (unsigned long long)p->http->options.most_bytes);
    p->planned += part->size;
    return download(p, part->digest, part->size, &p->staged[i]);
}

static tn_status pull(pulling *p) {
    bool there;
    TN_TRY(fetch_manifest(p));
    TN_TRY(tn_version_expect(p->store, &p->version, true, &there));
    TN_TRY(plan(p));
    for (int i = 0; i < p->count; i++) {
        if (there || p->parts[i].there)
            p->result.skipped++;
        else
            TN_TRY(fetch_part(p, i));
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
