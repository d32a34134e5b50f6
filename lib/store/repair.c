/* Bringing a store back to health: blobs from a mirror, the index from the manifests and the log. */
#include "store/parts.h"
#include <unistd.h>

typedef struct mending {
    tn_store *s, *mirror;
    int mended;
    tn_status first; /* of what stays damaged */
    json_t *fates;   /* by manifest: true if the log says that the version was removed */
} mending;

static tn_status is_sound(const tn_store *s, const char *digest) {
    int file;
    uint64_t size;
    TN_TRY(tn_blob_open(s, digest, &file, &size));
    tn_status status = tn_blob_check(s, digest, file);
    close(file);
    return status;
}

/* Copies the blob from the mirror if ours is not sound. */
static tn_status mend_blob(mending *m, const char *digest) {
    int file;
    uint64_t size;
    tn_staged staged;
    tn_status status = is_sound(m->s, digest);
    if (status == TN_OK || !m->mirror) return status;
    TN_TRY(tn_blob_open(m->mirror, digest, &file, &size));
    status = tn_stage_file(m->s, file, digest, &staged);
    close(file);
    if (status == TN_OK && strcmp(staged.digest, digest) != 0)
        status = tn_fail(TN_E_FORMAT, "the mirror's blob %s is damaged as well", digest);
    if (status == TN_OK) status = tn_staged_place(m->s, &staged);
    tn_staged_drop(m->s, &staged);
    m->mended += status == TN_OK;
    return status;
}

static tn_status mend_part(tn_parts *p, const char *digest, const uint64_t *size) {
    (void)size;
    mending *m = p->context;
    tn_status status = mend_blob(m, digest);
    if (status != TN_OK && m->first == TN_OK) m->first = status;
    return TN_OK;
}

static tn_status note_fault(tn_parts *p, tn_status status) {
    mending *m = p->context;
    if (m->first == TN_OK) m->first = status;
    return TN_OK;
}

/* ---- the index, made anew ---- */
static tn_status note_fate(const tn_store_event *event, void *context) {
    bool removed = strcmp(event->action, "remove") == 0;
    if (removed || strcmp(event->action, "put") == 0)
        json_object_set_new(context, event->digest, removed ? json_true() : json_false());
    return TN_OK;
}

/* Blobs that are whole manifests, of versions that were not removed and of deltas, go into the index. */
static tn_status take_manifest(const tn_store *s, const char *name, void *context) {
    mending *m = context;
    json_t *entry;
    char digest[TN_STORE_DIGEST], path[96], *text;
    size_t size;
    if (!tn_store_digest_of_name(name, digest)) return TN_OK;
    tn_blob_name(digest, path);
    if (tn_store_read(s, path, TN_STORE_JSON_BYTES, &text, &size) != TN_OK) return TN_OK;
    bool json = size && text[0] == '{';
    tn_store_free_text(text, size);
    if (!json || json_is_true(json_object_get(m->fates, digest))) return TN_OK;
    if (tn_index_entry_of(s, digest, &entry) != TN_OK || !entry) return TN_OK;
    if (json_array_append_new(json_object_get(m->s->index, "manifests"), entry) == 0) return TN_OK;
    return tn_fail(TN_E_MEMORY, "no memory for an entry of the index");
}

/* A delta whose version is gone is of no use. */
static tn_status drop_orphans(json_t *entries) {
    json_t *there = json_object(), *entry;
    size_t i;
    if (!there) return tn_fail(TN_E_MEMORY, "no memory for an index");
    json_array_foreach(entries, i, entry)
        json_object_set_new(there, json_string_value(json_object_get(entry, "digest")), json_true());
    for (i = json_array_size(entries); i-- > 0;) {
        const char *subject = tn_json_annotation(json_array_get(entries, i), TN_STORE_SUBJECT);
        if (*subject && !json_object_get(there, subject)) json_array_remove(entries, i);
    }
    json_decref(there);
    return TN_OK;
}

/* Other programs' entries stay, if the index can be read. */
static tn_status make_index(mending *m) {
    tn_store *s = m->s;
    const char *digest;
    json_t *removed, *old = s->index, *entry, *expected;
    size_t i;
    s->index = tn_index_new();
    if (!s->index) {
        json_decref(old);
        return tn_fail(TN_E_MEMORY, "no memory for an index");
    }
    json_array_foreach(json_object_get(old, "manifests"), i, entry) if (tn_index_expect(s, entry, &expected) == TN_OK) {
        if (!expected) json_array_append(json_object_get(s->index, "manifests"), entry);
        json_decref(expected);
    }
    json_decref(old);
    /* Manifests that the log tells of may be damaged. */
    json_object_foreach(m->fates, digest, removed) if (!json_is_true(removed) && tn_digest_is_valid(digest))
        mend_blob(m, digest);
    TN_TRY(tn_store_each_file(s, "blobs/sha256", take_manifest, m));
    TN_TRY(drop_orphans(json_object_get(s->index, "manifests")));
    return tn_index_list(s);
}

/* Damaged blobs that no version needs are of no use, and nothing that is no blob belongs among them. */
static tn_status drop_damaged(const tn_store *s, const char *name, void *context) {
    mending *m = context;
    char digest[TN_STORE_DIGEST], path[96];
    if (!tn_store_digest_of_name(name, digest) || is_sound(s, digest) == TN_OK) return TN_OK;
    tn_blob_name(digest, path);
    if (unlinkat(s->folder, path, 0) != 0) return tn_store_io_error(s, "delete", path);
    m->mended++;
    return TN_OK;
}

/* The index is good as it is if it says of each version what the manifest says. */
static bool index_is_sound(const tn_store *s) {
    json_t *entry, *expected;
    size_t i;
    bool sound = tn_index_is_one(s) == TN_OK;
    json_array_foreach(json_object_get(s->index, "manifests"), i, entry) {
        sound &= tn_index_expect(s, entry, &expected) == TN_OK && (!expected || json_equal(entry, expected));
        json_decref(expected);
    }
    return sound;
}

static tn_status repair_locked(mending *m) {
    tn_store *s = m->s;
    tn_parts parts = {s, mend_part, note_fault, m};
    bool readable = tn_index_read(s) == TN_OK;
    /* What a broken log tells up to the break still counts. */
    bool log_is_whole = tn_audit_each(s, note_fate, m->fates) == TN_OK;
    if (readable && log_is_whole) log_is_whole = tn_change_mend(s) == TN_OK;
    if (readable) tn_parts_each_entry(&parts);
    bool sound = readable && index_is_sound(s);
    if (!sound) TN_TRY(make_index(m));
    m->first = TN_OK;
    tn_parts_each_entry(&parts);
    if (m->first == TN_OK) TN_TRY(tn_store_each_file(s, "blobs/sha256", drop_damaged, m));
    TN_TRY(tn_store_flush_folder(s, "blobs/sha256"));
    if (!log_is_whole) TN_TRY(tn_audit_retire(s));
    if (m->mended || !sound || !log_is_whole) TN_TRY(tn_change_commit(s, "repair", NULL));
    return m->first == TN_OK ? TN_OK : tn_fail_context(m->first, "'%s' stays damaged", s->path);
}

tn_status tn_store_repair(const char *path, const char *mirror, int *out_mended) {
    mending m = {.fates = json_object()};
    tn_status status = m.fates ? TN_OK : tn_fail(TN_E_MEMORY, "no memory to repair a store");
    if (status == TN_OK && mirror) status = tn_store_open(mirror, &m.mirror);
    if (status == TN_OK) status = tn_store_open_folder(path, &m.s);
    if (status == TN_OK) status = tn_store_open_lock(m.s);
    if (status == TN_OK) status = tn_store_lock(m.s, false);
    if (status == TN_OK) {
        status = tn_store_write_layout(m.s);
        if (status == TN_OK) status = repair_locked(&m);
        tn_change_end(m.s);
    }
    if (out_mended) *out_mended = m.mended;
    tn_store_close(m.s);
    tn_store_close(m.mirror);
    json_decref(m.fates);
    return status;
}
