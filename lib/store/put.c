/* New versions, and their removal. */
#include "store/parts.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* What of a version is on its way. */
typedef struct parcel {
    tn_store_version version;
    tn_staged parts[3];
} parcel;
enum { FILE_PART, CONFIG, MANIFEST };

static tn_status stage_json(const tn_store *s, const json_t *json, tn_staged *out) {
    char *text = tn_json_dump(json);
    if (!text) return TN_E_MEMORY;
    tn_status status = tn_stage_bytes(s, text, strlen(text), out);
    free(text);
    return status;
}

static tn_status stage_manifest(const tn_store *s, const tn_store_put_options *options, const char *file, parcel *p) {
    json_t *config, *manifest;
    const char *slash = strrchr(file, '/');
    TN_TRY(tn_oci_manifest_make(options, &p->version, slash ? slash + 1 : file, &config, &manifest));
    tn_status status = stage_json(s, config, &p->parts[CONFIG]);
    if (status == TN_OK) status = tn_oci_manifest_set_config(manifest, p->parts[CONFIG].digest, p->parts[CONFIG].size);
    if (status == TN_OK) status = stage_json(s, manifest, &p->parts[MANIFEST]);
    json_decref(config);
    json_decref(manifest);
    memcpy(p->version.digest, p->parts[MANIFEST].digest, sizeof p->version.digest);
    return status;
}

static tn_status describe(tn_store *s, const tn_store_put_options *o, tn_store_version *v) {
    TN_TRY(tn_store_check_name(o->name));
    TN_TRY(tn_store_check_version(o->version));
    memcpy(v->name, o->name, strlen(o->name) + 1);
    memcpy(v->version, o->version, strlen(o->version) + 1);
    if (o->created) {
        TN_TRY(tn_store_check_time(o->created));
        memcpy(v->created, o->created, strlen(o->created) + 1);
    } else {
        tn_store_time_text(time(NULL), v->created);
    }
    if (!o->parent) return TN_OK;
    tn_store_version parent;
    TN_TRY(tn_store_find(s, o->parent, &parent));
    memcpy(v->parent, parent.digest, sizeof v->parent);
    return TN_OK;
}

/* What is there under this name and version already: *v, if it is of the same file. */
static tn_status look_for(tn_store *s, tn_store_version *v, bool exact, bool *out_there) {
    *out_there = false;
    for (int i = 0; i < s->count; i++) {
        const tn_store_version *other = &s->all[i];
        if (strcmp(other->name, v->name) != 0 || strcmp(other->version, v->version) != 0) continue;
        if (strcmp(other->file_digest, v->file_digest) != 0)
            return tn_fail(TN_E_STATE,
                           "'%s:%s' is in the store '%s' already, with another file; versions do not change: give this "
                           "one a new version",
                           v->name, v->version, s->path);
        if (exact && strcmp(other->digest, v->digest) != 0)
            return tn_fail(TN_E_STATE,
                           "'%s:%s' is in the store '%s' already, with the same file, but as %s and not as %s: that is "
                           "another one's version; remove it to take this one's",
                           v->name, v->version, s->path, other->digest, v->digest);
        *v = *other;
        *out_there = true;
        return TN_OK;
    }
    char digest[TN_STORE_DIGEST];
    TN_TRY(tn_audit_history(s, v->name, v->version, digest));
    if (!digest[0] || strcmp(digest, v->digest) == 0) return TN_OK;
    return tn_fail(TN_E_STATE, "'%s:%s' is no more in the store '%s', and was another model; take a new version",
                   v->name, v->version, s->path);
}

tn_status tn_version_expect(tn_store *s, tn_store_version *v, bool exact, bool *out_there) {
    TN_TRY(tn_index_read(s));
    return look_for(s, v, exact, out_there);
}

/* What was not staged was there before, and may have been collected meanwhile. */
static tn_status place(tn_store *s, tn_staged *parts, size_t count, uint64_t manifest_size, const tn_store_version *v) {
    tn_parts all = {s, tn_part_is_there, tn_part_fault, NULL};
    for (size_t i = 0; i < count; i++)
        if (parts[i].file >= 0) TN_TRY(tn_staged_place(s, &parts[i]));
    TN_TRY(tn_parts_each(&all, v->digest));
    TN_TRY(tn_store_flush_folder(s, "blobs/sha256"));
    TN_TRY(tn_index_add(s, v, manifest_size));
    return tn_change_commit(s, "put", v);
}

tn_status tn_version_publish(tn_store *s, tn_staged *parts, size_t count, uint64_t manifest_size, tn_store_version *v,
                             bool exact) {
    bool there;
    TN_TRY(tn_change_begin(s));
    tn_status status = look_for(s, v, exact, &there);
    if (status == TN_OK && !there) status = place(s, parts, count, manifest_size, v);
    tn_change_end(s);
    return status;
}

tn_status tn_store_put(tn_store *s, const char *file, const tn_store_put_options *options,
                       tn_store_version *out_version) {
    tn_store_put_options o = {0};
    if (!options || !options->struct_size) return tn_fail(TN_E_INVALID, "options need struct_size, name and version");
    memcpy(&o, options, TN_MIN(options->struct_size, sizeof o));
    if (!o.name || !o.version) return tn_fail(TN_E_INVALID, "options need a name and a version");
    parcel p = {.parts = {{.file = -1}, {.file = -1}, {.file = -1}}};
    TN_TRY(describe(s, &o, &p.version));
    int from = open(file, O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return tn_fail(errno == ENOENT ? TN_E_NOT_FOUND : TN_E_IO, "cannot open '%s': %s", file, strerror(errno));
    tn_status status = tn_stage_file(s, from, file, &p.parts[FILE_PART]);
    close(from);
    if (status == TN_OK) {
        memcpy(p.version.file_digest, p.parts[FILE_PART].digest, sizeof p.version.file_digest);
        p.version.file_bytes = p.parts[FILE_PART].size;
        status = stage_manifest(s, &o, file, &p);
    }
    if (status == TN_OK)
        status = tn_version_publish(s, p.parts, TN_COUNT(p.parts), p.parts[MANIFEST].size, &p.version, false);
    if (status == TN_OK && out_version) *out_version = p.version;
    for (size_t i = 0; i < TN_COUNT(p.parts); i++) tn_staged_drop(s, &p.parts[i]);
    return status;
}

tn_status tn_store_remove(tn_store *s, const char *reference) {
    TN_TRY(tn_change_begin(s));
    const tn_store_version *found;
    tn_status status = tn_reference_find(reference, s->all, s->count, &found);
    if (status == TN_OK) {
        tn_store_version v = *found;
        tn_index_drop(s, v.digest);
        status = tn_change_commit(s, "remove", &v);
    }
    tn_change_end(s);
    return status;
}
