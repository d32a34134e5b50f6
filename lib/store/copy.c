/* A version from one store into another as it is, to the last byte of its manifest: its digest stays, and with it what
 * signed channels lead to. */
#include <unistd.h>
#include "store/store.h"

enum { MOST_PARTS = 128 };

typedef struct copying {
    tn_store *from, *to;
    tn_store_version version;
    tn_staged staged[MOST_PARTS + 1];
    int count;
} copying;

static bool is_there(const tn_store *s, const char *digest) {
    int file;
    uint64_t size;
    if (tn_blob_open(s, digest, &file, &size) != TN_OK) return false;
    bool sound = tn_blob_check(s, digest, file) == TN_OK;
    close(file);
    return sound;
}

static tn_status stage(copying *c, const char *digest) {
    int file;
    uint64_t size;
    tn_staged *staged = &c->staged[c->count];
    if (c->count == MOST_PARTS + 1) return tn_fail(TN_E_LIMIT, "its manifest has more than %d parts", MOST_PARTS);
    if (is_there(c->to, digest)) return TN_OK;
    TN_TRY(tn_blob_open(c->from, digest, &file, &size));
    tn_status status = tn_stage_file(c->to, file, digest, staged);
    close(file);
    if (status != TN_OK) return status;
    c->count++;
    if (strcmp(staged->digest, digest) == 0) return TN_OK;
    return tn_fail(TN_E_FORMAT, "'%s/blobs/sha256/%s' is damaged: its digest is %s", c->from->path, digest + 7,
                   staged->digest);
}

static tn_status stage_parts(copying *c, const json_t *manifest) {
    for (int i = -1;; i++) {
        char digest[TN_STORE_DIGEST];
        uint64_t size;
        tn_status status = tn_oci_manifest_part(manifest, c->version.digest, i, digest, &size);
        if (status == TN_E_NOT_FOUND) return TN_OK;
        if (status == TN_OK) status = stage(c, digest);
        if (status != TN_OK) return status;
    }
}

static tn_status copy(copying *c, const char *reference) {
    json_t *manifest;
    bool there;
    int file;
    uint64_t size;
    TN_TRY(tn_store_find(c->from, reference, &c->version));
    TN_TRY(tn_version_read(c->from, c->version.digest, &c->version)); /* what the manifest says, not the index */
    TN_TRY(tn_version_expect(c->to, &c->version, true, &there));
    if (there) return TN_OK;
    TN_TRY(tn_blob_open(c->from, c->version.digest, &file, &size));
    close(file);
    TN_TRY(tn_blob_json(c->from, c->version.digest, &manifest));
    tn_status status = stage_parts(c, manifest);
    json_decref(manifest);
    if (status == TN_OK) status = stage(c, c->version.digest);
    if (status != TN_OK) return status;
    return tn_version_publish(c->to, c->staged, (size_t)c->count, size, &c->version, true);
}

tn_status tn_store_copy(tn_store *from, const char *reference, tn_store *to, tn_store_version *out_version) {
    copying *c = tn_alloc_zero(NULL, sizeof *c);
    if (!c) return TN_E_MEMORY;
    c->from = from;
    c->to = to;
    for (int i = 0; i <= MOST_PARTS; i++) c->staged[i].file = -1;
    tn_status status = copy(c, reference);
    if (status == TN_OK && out_version) *out_version = c->version;
    for (int i = 0; i < c->count; i++) tn_staged_drop(to, &c->staged[i]);
    tn_free(NULL, c, sizeof *c);
    return status;
}
