/* Restoring backups: see tenon/backup.h. Bytes come first, and the index is replaced last, in one rename (or, of a new
 * store, oci-layout is written last), so that a cut leaves the state before or after. */
#include "store/backup.h"
#include "store/parts.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct restoring {
    tn_store *store;
    tn_backup *chain;
    size_t count;
    const tn_backup *last; /* whose state it is */
    tn_restore_result result;
} restoring;

static tn_status open_chain(restoring *r, const char *const *files) {
    for (size_t i = 0; i < r->count; i++) {
        TN_TRY(tn_backup_open(files[i], &r->chain[i]));
        const char *previous = json_string_value(json_object_get(r->chain[i].catalogue, "previous"));
        if (i == 0 && previous)
            return tn_fail(TN_E_INVALID, "'%s' is number %lld of a chain of backups; give those before it as well",
                           files[i],
                           (long long)json_integer_value(json_object_get(r->chain[i].catalogue, "number")) + 1);
        if (i > 0 && (!previous || strcmp(previous, r->chain[i - 1].digest) != 0))
            return tn_fail(TN_E_INVALID, "'%s' was not made since '%s': it follows the backup %s", files[i],
                           files[i - 1], previous ? previous : "(none)");
    }
    r->last = &r->chain[r->count - 1];
    return TN_OK;
}

/* ---- blobs ---- */

static tn_status stage_piece(void *context, const void *data, size_t size) {
    void **both = context;
    return tn_stage_add(both[0], both[1], data, size);
}

static bool is_sound(const tn_store *s, const char *digest) {
    int file;
    uint64_t size;
    if (tn_blob_open(s, digest, &file, &size) != TN_OK) return false;
    bool sound = tn_blob_check(s, digest, file) == TN_OK;
    close(file);
    return sound;
}

/* From the newest file of the chain that has it. */
static tn_status read_blob(restoring *r, const char *digest, tn_staged *out) {
    char name[96];
    size_t i = r->count;
    void *both[] = {r->store, out};
    tn_blob_name(digest, name);
    while (i > 0 && !json_object_get(r->chain[i - 1].parts, name)) i--;
    if (i == 0) return tn_fail(TN_E_FORMAT, "no file of the chain has the blob %s, which its state needs", digest);
    TN_TRY(tn_stage_begin(r->store, out));
    tn_status status = tn_stage_end(r->store, out, tn_backup_read(&r->chain[i - 1], name, stage_piece, both));
    if (status == TN_OK && strcmp(out->digest, digest) != 0) {
        status = tn_fail(TN_E_FORMAT, "%s: the part '%s' has bytes of the digest %s", r->chain[i - 1].path, name,
                         out->digest);
        tn_staged_drop(r->store, out);
    }
    return status;
}

/* With the lock held. */
static tn_status place_blobs(restoring *r) {
    const char *digest;
    for (size_t i = 0; (digest = tn_backup_digest_at(r->last, "needed", i)); i++) {
        tn_staged staged;
        if (is_sound(r->store, digest)) continue;
        TN_TRY(read_blob(r, digest, &staged));
        tn_status status = tn_staged_place(r->store, &staged);
        tn_staged_drop(r->store, &staged);
        if (status != TN_OK) return status;
        r->result.blobs++;
    }
    return tn_store_flush_folder(r->store, "blobs/sha256");
}

/* ---- small files ---- */

static tn_status place_file(const restoring *r, const char *name) {
    tn_staged staged;
    void *both[] = {r->store, &staged};
    TN_TRY(tn_stage_begin(r->store, &staged));
    TN_TRY(tn_stage_end(r->store, &staged, tn_backup_read(r->last, name, stage_piece, both)));
    tn_status status = tn_staged_replace(r->store, &staged, name);
    tn_staged_drop(r->store, &staged);
    return status;
}

#define TRUSTED "trust/trusted.json"

/* What counts comes last. */
static tn_status place_trust(restoring *r) {
    const char *name;
    json_t *part;
    struct stat info;
    if (fstatat(r->store->folder, TRUSTED, &info, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT) return TN_OK;
    if (!json_object_get(r->last->parts, TRUSTED)) return TN_OK;
    if (mkdirat(r->store->folder, "trust", 0777) == 0)
        TN_TRY(tn_store_flush_folder(r->store, "."));
    else if (errno != EEXIST)
        return tn_store_io_error(r->store, "make", "trust");
    json_object_foreach(r->last->parts, name, part) if (strncmp(name, "trust/", 6) == 0 && strcmp(name, TRUSTED) != 0)
        TN_TRY(place_file(r, name));
    TN_TRY(tn_store_flush_folder(r->store, "trust"));
    TN_TRY(place_file(r, TRUSTED));
    r->result.trust = true;
    return tn_store_flush_folder(r->store, "trust");
}

typedef struct text {
    char *data;
    size_t size;
} text;

static tn_status add_text(void *context, const void *data, size_t size) {
    text *t = context;
    if (size > TN_STORE_INDEX_BYTES - t->size) return tn_fail(TN_E_LIMIT, "an index of more than 64 MiB");
    char *grown = realloc(t->data, t->size + size + 1);
    if (!grown) return tn_fail(TN_E_MEMORY, "no memory for an index");
    memcpy(grown + t->size, data, size);
    t->data = grown;
    t->size += size;
    return TN_OK;
}

/* The backup's list of versions becomes s->index, all of whose parts are there. */
static tn_status take_index(const restoring *r) {
    tn_store *s = r->store;
    text t = {NULL, 0};
    json_t *index = NULL;
    tn_parts parts = {s, tn_part_is_there, tn_part_fault, NULL};
    tn_status status = tn_backup_read(r->last, "index.json", add_text, &t);
    if (status == TN_OK) status = tn_json_parse("the backup's index.json", t.data ? t.data : "", t.size, &index);
    free(t.data);
    if (status != TN_OK) return status;
    json_decref(s->index);
    s->index = index;
    TN_TRY(tn_index_is_one(s));
    TN_TRY(tn_index_list(s));
    return tn_parts_each_entry(&parts);
}

/* ---- the two ways ---- */

static tn_status read_log(const tn_store *s, char **out_log, size_t *out_size) {
    return tn_store_read(s, "audit.log", SIZE_MAX / 2, out_log, out_size);
}

static tn_status into_store(restoring *r) {
    tn_store *s = r->store;
    char *log = NULL;
    size_t size = 0;
    TN_TRY(tn_change_begin(s));
    tn_status status = read_log(s, &log, &size);
    if (status == TN_OK) status = tn_backup_is_of(r->last, log, size);
    tn_store_free_text(log, size);
    if (status == TN_OK) status = place_blobs(r);
    if (status == TN_OK) status = place_trust(r);
    if (status == TN_OK) status = take_index(r);
    if (status == TN_OK) status = tn_change_commit(s, "restore", NULL);
    if (status == TN_OK) r->result.versions = s->count;
    tn_change_end(s);
    return status;
}

/* A folder without oci-layout is no store: it is written last. */
static tn_status into_folder(restoring *r) {
    tn_store *s = r->store;
    TN_TRY(tn_store_make_folders(s));
    TN_TRY(tn_store_lock(s, false));
    tn_status status = place_blobs(r);
    if (status == TN_OK) status = take_index(r); /* before it is there: a backup that is not whole makes no store */
    if (status == TN_OK) status = place_trust(r);
    if (status == TN_OK) status = place_file(r, "audit.log");
    if (status == TN_OK) status = place_file(r, "index.json");
    tn_change_end(s);
    if (status == TN_OK) status = tn_change_begin(s);
    if (status != TN_OK) return status;
    status = tn_change_commit(s, "restore", NULL);
    if (status == TN_OK) r->result.versions = s->count;
    tn_change_end(s);
    return status == TN_OK ? tn_store_write_layout(s) : status;
}

static tn_status restore(restoring *r, const char *path) {
    struct stat info;
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return tn_fail(TN_E_IO, "cannot make the folder '%s': %s", path, strerror(errno));
    TN_TRY(tn_store_open_folder(path, &r->store));
    if (fstatat(r->store->folder, "oci-layout", &info, 0) != 0) return into_folder(r);
    tn_store_close(r->store);
    TN_TRY(tn_store_open(path, &r->store));
    return into_store(r);
}

tn_status tn_store_restore(const char *path, const char *const *files, size_t count, tn_restore_result *out_result) {
    restoring r = {.count = count};
    size_t bytes;
    if (!count) return tn_fail(TN_E_INVALID, "which backups? A chain begins with one that stands alone");
    if (!tn_mul_size(count, sizeof *r.chain, &bytes)) return tn_fail(TN_E_LIMIT, "a chain of %zu backups", count);
    r.chain = tn_alloc_zero(NULL, bytes);
    if (!r.chain) return TN_E_MEMORY;
    tn_status status = open_chain(&r, files);
    if (status == TN_OK) status = restore(&r, path);
    for (size_t i = 0; i < count; i++) tn_backup_close(&r.chain[i]);
    tn_free(NULL, r.chain, bytes);
    tn_store_close(r.store);
    if (status == TN_OK && out_result) {
        r.result.struct_size = out_result->struct_size;
        memcpy(out_result, &r.result, TN_MIN(out_result->struct_size, sizeof r.result));
    }
    return status;
}
