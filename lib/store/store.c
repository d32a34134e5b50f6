/* Making, opening and asking stores. */
#include "trust/trust.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";

tn_status tn_store_open_folder(const char *path, tn_store **out_store) {
    *out_store = NULL;
    tn_store *s = tn_alloc_zero(NULL, sizeof *s);
    if (!s) return TN_E_MEMORY;
    s->lock = -1;
    s->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    s->path = tn_alloc(NULL, strlen(path) + 1);
    if (s->path) memcpy(s->path, path, strlen(path) + 1);
    tn_status status = !s->path        ? TN_E_MEMORY
                       : s->folder < 0 ? tn_fail(errno == ENOENT ? TN_E_NOT_FOUND : TN_E_IO,
                                                 "cannot open the store '%s': %s", path, strerror(errno))
                                       : TN_OK;
    if (status != TN_OK)
        tn_store_close(s);
    else
        *out_store = s;
    return status;
}

/* What a power cut may have left of a store that was being made is no hindrance. */
static tn_status refuse_file(const tn_store *s, const char *name, void *context) {
    static const char *const ours[] = {"blobs", "journal", "lock", "index.json", "audit.log", "trust"};
    (void)context;
    for (size_t i = 0; i < TN_COUNT(ours); i++)
        if (strcmp(name, ours[i]) == 0) return TN_OK;
    return tn_fail(TN_E_STATE, "'%s' is not empty: there is '%s'; a new store wants a folder of its own", s->path,
                   name);
}

static tn_status make_folder(const tn_store *s, const char *name) {
    if (mkdirat(s->folder, name, 0777) == 0 || errno == EEXIST) return TN_OK;
    return tn_store_io_error(s, "make", name);
}

static tn_status write_file(const tn_store *s, const char *name, const char *text) {
    tn_staged staged;
    TN_TRY(tn_stage_bytes(s, text, strlen(text), &staged));
    tn_status status = tn_staged_replace(s, &staged, name);
    tn_staged_drop(s, &staged);
    return status;
}

tn_status tn_store_write_layout(const tn_store *s) {
    return write_file(s, "oci-layout", layout);
}

/* A store that may only be read has a lock that cannot be opened to write; flock needs no more than this. */
tn_status tn_store_open_lock(tn_store *s) {
    s->lock = openat(s->folder, "lock", O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    return s->lock >= 0 || errno == EROFS || errno == EACCES ? TN_OK : tn_store_io_error(s, "open", "lock");
}

tn_status tn_store_make_folders(tn_store *s) {
    TN_TRY(tn_store_each_file(s, ".", refuse_file, NULL));
    TN_TRY(make_folder(s, "journal"));
    TN_TRY(make_folder(s, "blobs"));
    TN_TRY(make_folder(s, "blobs/sha256"));
    TN_TRY(tn_store_flush_folder(s, "blobs"));
    return tn_store_open_lock(s);
}

/* oci-layout comes last: a folder without it is no store, and may be made one again. */
static tn_status fill_folder(tn_store *s) {
    struct stat info;
    if (fstatat(s->folder, "oci-layout", &info, 0) == 0) return tn_fail(TN_E_STATE, "'%s' is a store already", s->path);
    TN_TRY(tn_store_make_folders(s));
    if (fstatat(s->folder, "index.json", &info, 0) != 0)
        TN_TRY(
            write_file(s, "index.json", "{\"manifests\":[],\"mediaType\":\"" TN_OCI_INDEX "\",\"schemaVersion\":2}"));
    TN_TRY(tn_change_begin(s));
    uint64_t number;
    char last[TN_STORE_DIGEST];
    tn_status status = tn_audit_tail(s, &number, last, NULL);
    if (status == TN_OK && number == 0) status = tn_change_commit(s, "create", NULL);
    tn_change_end(s);
    return status == TN_OK ? tn_store_write_layout(s) : status;
}

tn_status tn_store_create(const char *path) {
    tn_store *s;
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return tn_fail(TN_E_IO, "cannot make the folder '%s': %s", path, strerror(errno));
    TN_TRY(tn_store_open_folder(path, &s));
    tn_status status = fill_folder(s);
    tn_store_close(s);
    return status;
}

/* Other programs write this file with other white space. */
static tn_status check_layout(const tn_store *s) {
    char *text;
    size_t size;
    json_t *json;
    tn_status status = tn_store_read(s, "oci-layout", TN_STORE_JSON_BYTES, &text, &size);
    if (status == TN_E_NOT_FOUND)
        return tn_fail(TN_E_FORMAT, "'%s' is no store: it has no file 'oci-layout'; tn_store_create makes one",
                       s->path);
    if (status != TN_OK) return status;
    status = tn_json_parse("oci-layout", text, size, &json);
    tn_store_free_text(text, size);
    if (status != TN_OK) return tn_fail_context(status, "'%s' is damaged (tn_store_repair mends it)", s->path);
    const char *version = json_string_value(json_object_get(json, "imageLayoutVersion"));
    if (!version || strcmp(version, "1.0.0") != 0)
        status = tn_fail(TN_E_UNSUPPORTED, "'%s/oci-layout' says version '%s'; expected 1.0.0", s->path,
                         version ? version : "");
    json_decref(json);
    return status;
}

tn_status tn_store_open(const char *path, tn_store **out_store) {
    TN_TRY(tn_store_open_folder(path, out_store));
    tn_store *s = *out_store;
    tn_status status = check_layout(s);
    if (status == TN_OK) status = tn_store_open_lock(s);
    if (status == TN_OK) return TN_OK;
    tn_store_close(s);
    *out_store = NULL;
    return status;
}

void tn_store_close(tn_store *s) {
    if (!s) return;
    if (s->all) tn_free(NULL, s->all, ((size_t)s->count + 1) * sizeof *s->all);
    json_decref(s->index);
    json_decref(s->history);
    if (s->folder >= 0) close(s->folder);
    if (s->lock >= 0) close(s->lock);
    if (s->path) tn_free(NULL, s->path, strlen(s->path) + 1);
    tn_free(NULL, s, sizeof *s);
}

tn_status tn_store_find(tn_store *s, const char *reference, tn_store_version *out_version) {
    const tn_store_version *found;
    if (strchr(reference, '@')) return tn_channel_find(s, reference, out_version);
    TN_TRY(tn_index_refresh(s));
    tn_status status = tn_reference_find(reference, s->all, s->count, &found);
    if (status != TN_OK) return tn_fail_context(status, "store '%s'", s->path);
    /* Who names a digest gets what has that digest, to the last byte. */
    if (strncmp(reference, "sha256:", 7) == 0) return tn_version_read(s, reference, out_version);
    *out_version = *found;
    return TN_OK;
}

tn_status tn_store_at(tn_store *s, int index, tn_store_version *out_version) {
    if (index == 0 || !s->all) TN_TRY(tn_index_refresh(s));
    if (index < 0 || index >= s->count)
        return tn_fail(TN_E_NOT_FOUND, "the store '%s' has %d versions", s->path, s->count);
    *out_version = s->all[index];
    return TN_OK;
}
