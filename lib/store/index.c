/* index.json: which versions there are (OCI image-spec, image-index.md). An entry is a manifest's descriptor; what lists
 * and searches need of the manifest stands in the entry's annotations, so that no other file is read for it. */
#include "store/delta.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* The reference that skopeo and its kin know an entry by. */
#define REFERENCE "org.opencontainers.image.ref.name"

/* Annotations of an entry, and where a version has them. */
static const struct {
    const char *key;
    size_t at, size;
} fields[] = {
#define FIELD(key, member)                                                                                             \
    { key, offsetof(tn_store_version, member), sizeof((tn_store_version *)0)->member }
    FIELD("org.opencontainers.image.title", name),         FIELD("org.opencontainers.image.version", version),
    FIELD("org.opencontainers.image.created", created),    FIELD("org.tenon.file.digest", file_digest),
    FIELD("org.opencontainers.image.base.digest", parent),
#undef FIELD
};
#define FILE_BYTES "org.tenon.file.size"

json_t *tn_index_new(void) {
    return json_pack("{s:i,s:s,s:[]}", "schemaVersion", 2, "mediaType", TN_OCI_INDEX, "manifests");
}

tn_status tn_index_is_one(const tn_store *s) {
    const char *type = json_string_value(json_object_get(s->index, "mediaType"));
    if (json_integer_value(json_object_get(s->index, "schemaVersion")) == 2 && type && strcmp(type, TN_OCI_INDEX) == 0)
        return TN_OK;
    return tn_fail(TN_E_FORMAT, "'%s/index.json' is damaged: its schemaVersion is not 2, or its mediaType not %s",
                   s->path, TN_OCI_INDEX);
}

/* An entry that another program wrote may lack our annotations: it is no version of ours, and stays as it is. */
static bool is_ours(const json_t *entry) {
    return tn_json_annotation(entry, "org.tenon.file.digest")[0] != 0;
}

static tn_status read_entry(const json_t *entry, tn_store_version *v) {
    const char *what = "an entry of index.json", *bytes = tn_json_annotation(entry, FILE_BYTES);
    const json_t *annotations = json_object_get(entry, "annotations");
    char *end;
    *v = (tn_store_version){0};
    TN_TRY(tn_json_copy(entry, what, "digest", v->digest, sizeof v->digest));
    for (size_t i = 0; i < TN_COUNT(fields); i++)
        if (json_object_get(annotations, fields[i].key))
            TN_TRY(tn_json_copy(annotations, what, fields[i].key, (char *)v + fields[i].at, fields[i].size));
    v->file_bytes = strtoull(bytes, &end, 10);
    if (!tn_digest_is_valid(v->digest) || !tn_digest_is_valid(v->file_digest) || end == bytes || *end)
        return tn_fail(TN_E_FORMAT, "%s has no valid digest or size", what);
    if (v->parent[0] && !tn_digest_is_valid(v->parent))
        return tn_fail(TN_E_FORMAT, "%s: its parent is no digest", what);
    TN_TRY(tn_store_check_name(v->name));
    TN_TRY(tn_store_check_version(v->version));
    return tn_store_check_time(v->created);
}

static void forget_list(tn_store *s) {
    if (s->all) tn_free(NULL, s->all, ((size_t)s->count + 1) * sizeof *s->all);
    s->all = NULL;
    s->count = 0;
}

tn_status tn_index_list(tn_store *s) {
    const json_t *entries = json_object_get(s->index, "manifests"), *entry;
    size_t i, count = 0;
    json_array_foreach((json_t *)entries, i, entry) count += is_ours(entry);
    forget_list(s);
    s->all = tn_alloc_zero(NULL, (count + 1) * sizeof *s->all);
    if (!s->all) return TN_E_MEMORY;
    s->count = (int)count;
    count = 0;
    json_array_foreach((json_t *)entries, i, entry) {
        if (!is_ours(entry)) continue;
        tn_status status = read_entry(entry, &s->all[count++]);
        if (status != TN_OK) {
            forget_list(s);
            return tn_fail_context(status, "'%s/index.json' is damaged (tn_store_repair makes it anew)", s->path);
        }
    }
    qsort(s->all, count, sizeof *s->all, tn_store_order);
    return TN_OK;
}

tn_status tn_index_read(tn_store *s) {
    char *text;
    size_t size;
    json_t *index;
    forget_list(s);
    json_decref(s->index);
    s->index = NULL;
    s->known = (struct stat){0};
    TN_TRY(tn_store_read(s, "index.json", TN_STORE_INDEX_BYTES, &text, &size));
    tn_status status = tn_json_parse("it", text, size, &index);
    tn_store_free_text(text, size);
    if (status == TN_OK && !json_is_array(json_object_get(index, "manifests"))) {
        json_decref(index);
        status = tn_fail(TN_E_FORMAT, "it has no list 'manifests'");
    }
    if (status != TN_OK)
        return tn_fail_context(status, "'%s/index.json' is damaged (tn_store_repair makes it anew)", s->path);
    s->index = index;
    return tn_index_list(s);
}

static bool is_same_file(const struct stat *a, const struct stat *b) {
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Two writes within one tick of the file system's clock leave the same times; so what was written just now is not yet
 * known by its times (git's index has the same rule, "racily clean"). */
static bool is_settled(const struct stat *info) {
    time_t now = time(NULL);
    return now - info->st_mtim.tv_sec >= 2 && now - info->st_ctim.tv_sec >= 2;
}

/* The file is opened to be looked at: network file systems may tell times of some seconds ago to who does not. */
tn_status tn_index_refresh(tn_store *s) {
    struct stat info;
    int file = openat(s->folder, "index.json", O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    bool found = file >= 0 && fstat(file, &info) == 0;
    if (file >= 0) close(file);
    if (found && s->all && is_same_file(&info, &s->known)) return TN_OK;
    bool settled = found && is_settled(&info); /* as it was before the reading */
    TN_TRY(tn_index_read(s));
    if (settled) s->known = info;
    return TN_OK;
}

json_t *tn_index_entry(const tn_store_version *v, uint64_t manifest_size) {
    char reference[2 * TN_STORE_NAME], bytes[24];
    snprintf(reference, sizeof reference, "%s:%s", v->name, v->version);
    snprintf(bytes, sizeof bytes, "%llu", (unsigned long long)v->file_bytes);
    json_t *annotations = json_pack("{s:s,s:s}", REFERENCE, reference, FILE_BYTES, bytes);
    for (size_t i = 0; annotations && i < TN_COUNT(fields); i++) {
        const char *text = (const char *)v + fields[i].at;
        if (*text) json_object_set_new(annotations, fields[i].key, json_string(text));
    }
    return json_pack("{s:s,s:s,s:s,s:I,s:o}", "mediaType", TN_OCI_MANIFEST, "artifactType", TN_MODEL_MANIFEST, "digest",
                     v->digest, "size", (json_int_t)manifest_size, "annotations", annotations);
}

tn_status tn_index_add(tn_store *s, const tn_store_version *v, uint64_t manifest_size) {
    json_t *entry = tn_index_entry(v, manifest_size);
    if (entry && json_array_append_new(json_object_get(s->index, "manifests"), entry) == 0) return TN_OK;
    return tn_fail(TN_E_MEMORY, "no memory for an entry of the index");
}

tn_status tn_index_entry_of(const tn_store *s, const char *digest, json_t **out_entry) {
    json_t *manifest;
    tn_store_version v;
    int file;
    uint64_t size;
    *out_entry = NULL;
    TN_TRY(tn_blob_json(s, digest, &manifest));
    tn_status status = tn_blob_open(s, digest, &file, &size);
    if (status == TN_OK) {
        close(file);
        if (tn_oci_manifest_read(manifest, digest, &v) != TN_OK)
            status = tn_delta_entry(manifest, digest, size, out_entry);
        else if (!(*out_entry = tn_index_entry(&v, size)))
            status = tn_fail(TN_E_MEMORY, "no memory for an entry of the index");
    }
    json_decref(manifest);
    return status;
}

tn_status tn_index_expect(const tn_store *s, const json_t *entry, json_t **out_expected) {
    char digest[TN_STORE_DIGEST];
    *out_expected = NULL;
    TN_TRY(tn_json_copy(entry, "an entry of index.json", "digest", digest, sizeof digest));
    if (!tn_digest_is_valid(digest)) return tn_fail(TN_E_FORMAT, "an entry of index.json: '%s' is no digest", digest);
    return tn_index_entry_of(s, digest, out_expected);
}

void tn_index_drop(tn_store *s, const char *digest) {
    json_t *entries = json_object_get(s->index, "manifests");
    for (size_t i = json_array_size(entries); i-- > 0;) {
        const char *text = json_string_value(json_object_get(json_array_get(entries, i), "digest"));
        bool beside = strcmp(tn_json_annotation(json_array_get(entries, i), TN_STORE_SUBJECT), digest) == 0;
        if (beside || (text && strcmp(text, digest) == 0)) json_array_remove(entries, i);
    }
}
