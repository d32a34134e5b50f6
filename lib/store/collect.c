/* Deleting what no version needs. */
#include "store/parts.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct garbage {
    json_t *needed;
    uint64_t bytes;
} garbage;

static tn_status note_need(tn_parts *p, const char *digest, const uint64_t *size) {
    (void)size;
    garbage *g = p->context;
    return json_object_set_new(g->needed, digest, json_true()) == 0 ? TN_OK : tn_fail(TN_E_MEMORY, "no memory");
}

/* Without a manifest nobody knows what its version needs. */
static tn_status give_up(tn_parts *p, tn_status status) {
    return tn_fail_context(status, "nothing is collected from '%s' while a manifest is damaged", p->store->path);
}

static tn_status delete_unneeded(const tn_store *s, const char *name, void *context) {
    garbage *g = context;
    char digest[TN_STORE_DIGEST], path[96];
    struct stat info;
    if (!tn_store_digest_of_name(name, digest) || json_object_get(g->needed, digest)) return TN_OK;
    tn_blob_name(digest, path);
    if (fstatat(s->folder, path, &info, AT_SYMLINK_NOFOLLOW) != 0 || unlinkat(s->folder, path, 0) != 0)
        return tn_store_io_error(s, "delete", path);
    g->bytes += (uint64_t)info.st_size;
    return TN_OK;
}

tn_status tn_store_collect(tn_store *s, uint64_t *out_bytes) {
    garbage g = {json_object(), 0};
    tn_parts parts = {s, note_need, give_up, &g};
    if (!g.needed) return tn_fail(TN_E_MEMORY, "no memory to collect");
    tn_status status = tn_change_begin(s);
    if (status == TN_OK) {
        status = tn_parts_each_entry(&parts);
        if (status == TN_OK) status = tn_store_each_file(s, "blobs/sha256", delete_unneeded, &g);
        if (status == TN_OK) status = tn_journal_clean(s, &g.bytes);
        if (status == TN_OK && g.bytes) status = tn_change_commit(s, "collect", NULL);
        tn_change_end(s);
    }
    json_decref(g.needed);
    if (status == TN_OK && out_bytes) *out_bytes = g.bytes;
    return status;
}
