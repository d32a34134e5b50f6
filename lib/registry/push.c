/* Pushing: blobs that the registry lacks, in pieces, then the manifest (distribution-spec, "Pushing a blob in chunks" and
 * "Pushing manifests"). After a failure the registry is asked how much it has, and the blob goes on from there. */
#include "registry/http.h"
#include <stdio.h>
#include <unistd.h>

typedef struct pushing {
    tn_store *store;
    tn_http *http;
    tn_address address;
    tn_registry_result result;
} pushing;

/* Of one blob. */
typedef struct upload {
    pushing *p;
    const char *digest;
    int file;
    uint64_t size, at, begun_at; /* bytes that the registry has; `done` of the client before it */
    char *location;              /* NULL: not begun */
    bool there;                  /* the registry has it */
} upload;

/* A small request, with all its attempts: what they do not bring is not tried again by the transfer around it. */
static tn_status request(upload *u, const char *url, const int *wanted, tn_exchange *e) {
    tn_status status = tn_http_request(u->p->http, url, wanted, e);
    e->transient = false;
    return status;
}

static tn_status look(upload *u, tn_exchange *e) {
    static const int wanted[] = {200, 404, 0};
    char url[TN_URL_BYTES];
    TN_TRY(tn_address_url(&u->p->address, u->p->http->base, "blobs", u->digest, url));
    tn_exchange_set(e, (tn_exchange){.method = "HEAD"});
    TN_TRY(request(u, url, wanted, e));
    u->there = e->code == 200;
    return TN_OK;
}

/* The next request goes where the last answer says. */
static tn_status move_on(upload *u, const char *url, const tn_exchange *e) {
    char *next;
    if (!e->location[0])
        return u->location ? TN_OK : tn_fail(TN_E_IO, "the registry begins an upload without a Location");
    TN_TRY(tn_url_resolve(u->p->http, url, e->location, &next));
    tn_url_free(u->location);
    u->location = next;
    return TN_OK;
}

static tn_status begin(upload *u, tn_exchange *e) {
    static const int wanted[] = {202, 0};
    char url[TN_URL_BYTES];
    u->at = 0;
    TN_TRY(look(u, e));
    if (u->there) return TN_OK;
    TN_TRY(tn_address_url(&u->p->address, u->p->http->base, "blobs", "uploads/", url));
    tn_exchange_set(e, (tn_exchange){.method = "POST", .limit = 65536});
    TN_TRY(request(u, url, wanted, e));
    return move_on(u, url, e);
}

static void give_up_location(upload *u) {
    tn_url_free(u->location);
    u->location = NULL;
}

/* An upload that the registry does not know any more is begun anew. */
static tn_status ask(upload *u, tn_exchange *e) {
    static const int wanted[] = {204, 400, 404, 416, 0};
    tn_exchange_set(e, (tn_exchange){.method = "GET", .limit = 65536});
    TN_TRY(request(u, u->location, wanted, e));
    bool known = e->code == 204 && tn_upload_range_parse(e->upload_range, &u->at) && u->at <= u->size;
    if (!known) {
        give_up_location(u);
        return begin(u, e);
    }
    u->p->result.resumed += u->at;
    return move_on(u, u->location, e);
}

static tn_status send_piece(upload *u, tn_exchange *e) {
    static const int wanted[] = {202, 416, 0};
    uint64_t size = TN_MIN(u->p->http->options.piece_bytes, u->size - u->at), there;
    tn_exchange_set(e, (tn_exchange){.method = "PATCH", .content_type = "application/octet-stream", .limit = 65536});
    e->file = u->file;
    e->file_at = u->at;
    e->send = size;
    snprintf(e->range, sizeof e->range, "Content-Range: %llu-%llu", (unsigned long long)u->at,
             (unsigned long long)(u->at + size - 1));
    tn_status status = tn_http_try(u->p->http, u->location, wanted, e);
    u->p->result.bytes += e->passed;
    if (status != TN_OK) return status;
    if (e->code == 416) {
        e->transient = true;
        return tn_fail(TN_E_IO, "the registry has other bytes of %s than it said", u->digest);
    }
    /* It may have taken less than was sent. */
    if (!tn_upload_range_parse(e->upload_range, &there) || u->at + size == 1) there = u->at + size;
    if (there <= u->at || there > u->at + size)
        return tn_fail(TN_E_IO, "the registry has %llu bytes of %s after %llu were sent", (unsigned long long)there,
                       u->digest, (unsigned long long)(u->at + size));
    u->at = there;
    u->p->http->done = u->begun_at + u->at;
    return move_on(u, u->location, e);
}

static tn_status finish(upload *u, tn_exchange *e) {
    static const int wanted[] = {201, 0};
    char *url;
    TN_TRY(tn_url_resolve(u->p->http, NULL, u->location, &url));
    tn_status status = tn_url_add(u->p->http, &url, "digest", u->digest);
    tn_exchange_set(e, (tn_exchange){.method = "PUT", .content_type = "application/octet-stream", .limit = 65536});
    if (status == TN_OK) status = tn_http_try(u->p->http, url, wanted, e);
    u->there = status == TN_OK;
    tn_url_free(url);
    return status;
}

static tn_status attempt(void *context, tn_exchange *e) {
    upload *u = context;
    TN_TRY(u->location ? ask(u, e) : begin(u, e));
    u->p->http->done = u->begun_at + u->at;
    while (!u->there && u->at < u->size) TN_TRY(send_piece(u, e));
    return u->there ? TN_OK : finish(u, e);
}

/* Damaged bytes are not worth the way: they are looked at first. */
static tn_status push_blob(pushing *p, const char *digest, uint64_t size) {
    upload u = {.p = p, .digest = digest, .size = size, .begun_at = p->http->done};
    uint64_t found;
    TN_TRY(tn_blob_open(p->store, digest, &u.file, &found));
    tn_status status = found == size ? tn_blob_check(p->store, digest, u.file)
                                     : tn_fail(TN_E_FORMAT, "the blob %s has %llu bytes; its manifest says %llu",
                                               digest, (unsigned long long)found, (unsigned long long)size);
    if (status == TN_OK) status = tn_http_persist(p->http, attempt, &u);
    if (status == TN_OK) {
        p->http->done = u.begun_at + size;
        p->result.blobs += u.location != NULL;
        p->result.skipped += u.location == NULL;
    }
    tn_url_free(u.location);
    close(u.file);
    return status;
}

static tn_status push_parts(pushing *p, const json_t *manifest, const char *what) {
    char digest[TN_STORE_DIGEST];
    uint64_t size;
    tn_status status;
    for (int i = -1; (status = tn_oci_manifest_part(manifest, what, i, digest, &size)) == TN_OK; i++)
        p->http->total += size;
    for (int i = -1; status == TN_E_NOT_FOUND; i++) {
        status = tn_oci_manifest_part(manifest, what, i, digest, &size);
        if (status == TN_E_NOT_FOUND) return TN_OK;
        if (status == TN_OK) status = push_blob(p, digest, size);
        if (status == TN_OK) status = TN_E_NOT_FOUND; /* on with the next */
    }
    return status;
}

/* Under a name, a tag or its digest. *out_listed: the registry lists it beside its subject, if it has one. */
static tn_status put_manifest(const pushing *p, const char *digest, const char *under, bool *out_listed) {
    static const int wanted[] = {201, 0};
    char url[TN_URL_BYTES], name[96], *text;
    size_t size;
    TN_TRY(tn_address_url(&p->address, p->http->base, "manifests", under, url));
    tn_blob_name(digest, name);
    TN_TRY(tn_store_read(p->store, name, TN_STORE_JSON_BYTES, &text, &size));
    tn_exchange e = {.method = "PUT", .content_type = TN_OCI_MANIFEST, .body = text, .send = size, .limit = 65536};
    tn_status status = tn_http_request(p->http, url, wanted, &e);
    if (status == TN_OK && tn_digest_is_valid(e.digest) && strcmp(e.digest, digest) != 0)
        status = tn_fail(TN_E_IO, "the registry took the manifest %s for %s", digest, e.digest);
    *out_listed = e.subject[0] != 0;
    tn_exchange_clear(&e);
    tn_store_free_text(text, size);
    return status;
}

/* What the manifest names, then the manifest. */
static tn_status push_one(pushing *p, const char *digest, const char *under, bool *out_listed) {
    json_t *manifest;
    TN_TRY(tn_blob_json(p->store, digest, &manifest)); /* and so its digest is right */
    tn_status status = push_parts(p, manifest, digest);
    json_decref(manifest);
    return status == TN_OK ? put_manifest(p, digest, under, out_listed) : status;
}

/* The deltas that lie beside the version: who sees the version finds them. */
static tn_status push_deltas(pushing *p, const char *version) {
    json_t *entry;
    size_t i;
    json_array_foreach(json_object_get(p->store->index, "manifests"), i, entry) {
        const char *type = json_string_value(json_object_get(entry, "artifactType"));
        char digest[TN_STORE_DIGEST];
        bool listed;
        if (strcmp(tn_json_annotation(entry, TN_STORE_SUBJECT), version) != 0) continue;
        if (!type || strcmp(type, TN_DELTA_TYPE) != 0) continue;
        TN_TRY(tn_json_copy(entry, "an entry of index.json", "digest", digest, sizeof digest));
        TN_TRY(push_one(p, digest, digest, &listed));
        if (!listed) TN_TRY(tn_referrers_add(p->http, &p->address, version, entry));
        p->result.deltas++;
    }
    return TN_OK;
}

static tn_status push(pushing *p, const char *digest) {
    bool listed;
    TN_TRY(push_deltas(p, digest));
    return push_one(p, digest, p->address.tag, &listed);
}

tn_status tn_store_push(tn_store *store, const char *reference, const char *address, const tn_registry_options *options,
                        tn_registry_result *out_result) {
    pushing p = {.store = store};
    tn_store_version v;
    if (out_result && !out_result->struct_size) return tn_fail(TN_E_INVALID, "set struct_size of the result first");
    TN_TRY(tn_address_parse(address, &p.address));
    if (p.address.digest[0]) return tn_fail(TN_E_INVALID, "a push goes to a tag, not to a digest: '%s'", address);
    TN_TRY(tn_store_find(store, reference, &v));
    if (!p.address.tag[0]) TN_TRY(tn_tag_of_version(v.version, p.address.tag));
    memcpy(p.result.digest, v.digest, sizeof v.digest);
    TN_TRY(tn_http_create(options, p.address.host, &p.http));
    snprintf(p.http->scope, sizeof p.http->scope, "repository:%s:pull,push", p.address.repository);
    tn_status status = push(&p, v.digest);
    tn_http_destroy(p.http);
    if (status != TN_OK)
        return tn_fail_context(status, "'%s:%s' to %s/%s:%s", v.name, v.version, p.address.host, p.address.repository,
                               p.address.tag);
    tn_registry_give(&p.result, out_result);
    return TN_OK;
}
