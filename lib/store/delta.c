/* Putting deltas beside versions, and finding them: see delta.h. */
#include "store/delta.h"
#include <tenon/delta.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BASE "org.tenon.delta.base"
#define RESULT "org.tenon.delta.result"
#define BLOB "org.tenon.delta.blob"
#define SIZE "org.tenon.delta.size"
#define EMPTY "application/vnd.oci.empty.v1+json" /* what a manifest without a configuration has for one */

static bool copy_digest(const json_t *entry, const char *key, char digest[TN_STORE_DIGEST]) {
    const char *text = tn_json_annotation(entry, key);
    if (!tn_digest_is_valid(text)) return false;
    memcpy(digest, text, TN_STORE_DIGEST);
    return true;
}

tn_status tn_delta_at(const json_t *index, const char *file_digest, int number, tn_store_delta *out) {
    const json_t *entry;
    size_t i;
    json_array_foreach(json_object_get(index, "manifests"), i, entry) {
        const char *size = tn_json_annotation(entry, SIZE);
        char *end;
        if (strcmp(tn_json_annotation(entry, RESULT), file_digest) != 0) continue;
        out->size = strtoull(size, &end, 10);
        if (end == size || *end || !copy_digest(entry, BLOB, out->blob) || !copy_digest(entry, BASE, out->base))
            continue;
        if (number-- == 0) return TN_OK;
    }
    return TN_E_NOT_FOUND;
}

void tn_delta_choose(const json_t *index, const tn_store *s, const char *file_digest, uint64_t file_bytes,
                     tn_store_delta *out) {
    tn_store_delta d;
    uint64_t best = file_bytes;
    *out = (tn_store_delta){0};
    for (int i = 0; tn_delta_at(index, file_digest, i, &d) == TN_OK; i++) {
        if (d.size >= best || !d.size || !tn_blob_is_sound(s, d.base, NULL)) continue;
        *out = d;
        best = d.size;
    }
}

tn_status tn_delta_entry(const json_t *manifest, const char *digest, uint64_t size, json_t **out_entry) {
    char base[TN_STORE_DIGEST], result[TN_STORE_DIGEST], blob[TN_STORE_DIGEST], version[TN_STORE_DIGEST], text[24];
    const char *type = json_string_value(json_object_get(manifest, "artifactType"));
    uint64_t bytes;
    *out_entry = NULL;
    if (!type || strcmp(type, TN_DELTA_TYPE) != 0) return TN_OK;
    if (!copy_digest(manifest, BASE, base) || !copy_digest(manifest, RESULT, result) ||
        tn_json_copy(json_object_get(manifest, "subject"), digest, "digest", version, sizeof version) != TN_OK ||
        tn_oci_manifest_part(manifest, digest, 0, blob, &bytes) != TN_OK)
        return TN_OK;
    snprintf(text, sizeof text, "%llu", (unsigned long long)bytes);
    *out_entry = json_pack("{s:s,s:s,s:s,s:I,s:{s:s,s:s,s:s,s:s,s:s}}", "mediaType", TN_OCI_MANIFEST, "artifactType",
                           TN_DELTA_TYPE, "digest", digest, "size", (json_int_t)size, "annotations", BASE, base, RESULT,
                           result, BLOB, blob, SIZE, text, TN_STORE_SUBJECT, version);
    return *out_entry ? TN_OK : tn_fail(TN_E_MEMORY, "no memory for an entry of the index");
}

static tn_status stage_json(const tn_store *s, const json_t *json, tn_staged *out) {
    char *text = tn_json_dump(json);
    if (!text) return TN_E_MEMORY;
    tn_status status = tn_stage_bytes(s, text, strlen(text), out);
    free(text);
    return status;
}

/* What of a delta is on its way. */
typedef struct parcel {
    tn_store_version base, version;
    tn_staged blob, config, manifest;
    uint64_t version_size; /* of its manifest */
    json_t *entry;         /* of the index */
} parcel;

static tn_status stage_manifest(const tn_store *s, parcel *p) {
    TN_TRY(tn_stage_bytes(s, "{}", 2, &p->config));
    char size[24];
    snprintf(size, sizeof size, "%llu", (unsigned long long)p->blob.size);
    json_t *manifest =
        json_pack("{s:i,s:s,s:s,s:{s:s,s:s,s:i},s:[{s:s,s:s,s:I}],s:{s:s,s:s,s:I},s:{s:s,s:s,s:s,s:s}}",
                  "schemaVersion", 2, "mediaType", TN_OCI_MANIFEST, "artifactType", TN_DELTA_TYPE, "config",
                  "mediaType", EMPTY, "digest", p->config.digest, "size", 2, "layers", "mediaType", TN_DELTA_TYPE,
                  "digest", p->blob.digest, "size", (json_int_t)p->blob.size, "subject", "mediaType", TN_OCI_MANIFEST,
                  "digest", p->version.digest, "size", (json_int_t)p->version_size, "annotations", BASE,
                  p->base.file_digest, RESULT, p->version.file_digest, BLOB, p->blob.digest, SIZE, size);
    if (!manifest) return tn_fail(TN_E_MEMORY, "no memory for a manifest");
    tn_status status = stage_json(s, manifest, &p->manifest);
    if (status == TN_OK) status = tn_delta_entry(manifest, p->manifest.digest, p->manifest.size, &p->entry);
    json_decref(manifest);
    return status;
}

/* Whether this very version is still one, and has no delta of this base yet. */
static tn_status is_wanted(const tn_store *s, const parcel *p, bool *out_wanted) {
    tn_store_delta other;
    const tn_store_version *found;
    *out_wanted = true;
    if (tn_reference_find(p->version.digest, s->all, s->count, &found) != TN_OK)
        return tn_fail(TN_E_NOT_FOUND, "'%s:%s' is no version of the store '%s' any more", p->version.name,
                       p->version.version, s->path);
    for (int i = 0; tn_delta_at(s->index, p->version.file_digest, i, &other) == TN_OK; i++)
        if (strcmp(other.base, p->base.file_digest) == 0) *out_wanted = false;
    return TN_OK;
}

static tn_status publish_locked(tn_store *s, parcel *p) {
    bool wanted;
    TN_TRY(is_wanted(s, p, &wanted));
    if (!wanted) return TN_OK;
    if (json_array_append(json_object_get(s->index, "manifests"), p->entry) != 0)
        return tn_fail(TN_E_MEMORY, "no memory for an entry of the index");
    TN_TRY(tn_staged_place(s, &p->blob));
    TN_TRY(tn_staged_place(s, &p->config));
    TN_TRY(tn_staged_place(s, &p->manifest));
    TN_TRY(tn_store_flush_folder(s, "blobs/sha256"));
    return tn_change_commit(s, "delta", &p->version);
}

static tn_status publish(tn_store *s, parcel *p) {
    TN_TRY(tn_change_begin(s));
    tn_status status = publish_locked(s, p);
    tn_change_end(s);
    return status;
}

/* It is made in the journal, under a name that becomes no blob's. */
static tn_status make(tn_store *s, parcel *p, const tn_opened *base, const tn_opened *version) {
    tn_staged place;
    char path[4400];
    tn_delta_info info = {.struct_size = sizeof info};
    if (strlen(s->path) + sizeof place.name >= sizeof path)
        return tn_fail(TN_E_LIMIT, "'%.200s...' is too long a path", s->path);
    TN_TRY(tn_stage_begin(s, &place));
    snprintf(path, sizeof path, "%s/%s", s->path, place.name);
    tn_status status = tn_delta_make(base->path, version->path, path, &info);
    if (status == TN_OK && info.delta_bytes >= info.result_bytes)
        status =
            tn_fail(TN_E_LIMIT, "a delta of '%s:%s' would have %llu bytes, and the file itself has %llu", p->base.name,
                    p->base.version, (unsigned long long)info.delta_bytes, (unsigned long long)info.result_bytes);
    int file = status == TN_OK ? openat(s->folder, place.name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (status == TN_OK && file < 0) status = tn_store_io_error(s, "open", place.name);
    if (status == TN_OK) status = tn_stage_file(s, file, place.name, &p->blob);
    if (file >= 0) close(file);
    tn_stage_end(s, &place, TN_E_STATE); /* and it is gone */
    return status;
}

static tn_status make_of(tn_store *s, parcel *p) {
    tn_opened base, version;
    TN_TRY(tn_version_open(s, p->base.digest, &base));
    tn_status status = tn_version_open(s, p->version.digest, &version);
    if (status == TN_OK) {
        status = make(s, p, &base, &version);
        close(version.file);
    }
    close(base.file);
    return status;
}

tn_status tn_store_put_delta(tn_store *s, const char *base, const char *reference, uint64_t *out_bytes) {
    parcel p = {.blob.file = -1, .config.file = -1, .manifest.file = -1};
    int file;
    TN_TRY(tn_store_find(s, base, &p.base));
    TN_TRY(tn_store_find(s, reference, &p.version));
    TN_TRY(tn_blob_open(s, p.version.digest, &file, &p.version_size));
    close(file);
    tn_status status = make_of(s, &p);
    if (status == TN_OK) status = stage_manifest(s, &p);
    uint64_t bytes = p.blob.size;
    if (status == TN_OK) status = publish(s, &p);
    tn_staged_drop(s, &p.blob);
    tn_staged_drop(s, &p.config);
    tn_staged_drop(s, &p.manifest);
    json_decref(p.entry);
    if (status == TN_OK && out_bytes) *out_bytes = bytes;
    return status;
}
