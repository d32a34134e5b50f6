/* Going over the blobs that a version needs: its manifest, its configuration, its layers. */
#include "store/parts.h"
#include <unistd.h>

tn_status tn_parts_each(tn_parts *p, const char *manifest_digest) {
    json_t *manifest;
    char digest[TN_STORE_DIGEST];
    uint64_t size;
    TN_TRY(p->visit(p, manifest_digest, NULL));
    tn_status status = tn_blob_json(p->store, manifest_digest, &manifest);
    if (status != TN_OK) return p->fault(p, status);
    for (int i = -1; status == TN_OK; i++) {
        status = tn_oci_manifest_part(manifest, manifest_digest, i, digest, &size);
        if (status == TN_E_NOT_FOUND) break;
        status = status == TN_OK ? p->visit(p, digest, &size) : p->fault(p, status);
    }
    json_decref(manifest);
    return status == TN_E_NOT_FOUND ? TN_OK : status;
}

tn_status tn_parts_each_entry(tn_parts *p) {
    const json_t *entry;
    size_t i;
    char digest[TN_STORE_DIGEST];
    json_array_foreach(json_object_get(p->store->index, "manifests"), i, entry) {
        tn_status status = tn_json_copy(entry, "an entry of index.json", "digest", digest, sizeof digest);
        if (status == TN_OK && !tn_digest_is_valid(digest))
            status = tn_fail(TN_E_FORMAT, "an entry of index.json: '%s' is no digest", digest);
        TN_TRY(status == TN_OK ? tn_parts_each(p, digest) : p->fault(p, status));
    }
    return TN_OK;
}

tn_status tn_part_is_there(tn_parts *p, const char *digest, const uint64_t *size) {
    int file;
    uint64_t found;
    TN_TRY(tn_blob_open(p->store, digest, &file, &found));
    close(file);
    return !size || *size == found ? TN_OK
                                   : tn_fail(TN_E_FORMAT, "the blob %s has %llu bytes; its manifest says %llu", digest,
                                             (unsigned long long)found, (unsigned long long)*size);
}

tn_status tn_part_fault(tn_parts *p, tn_status status) {
    (void)p;
    return status;
}
