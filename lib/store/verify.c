/* Reading everything and comparing: blobs with their digests, the index with the manifests, the log with its own chain
 * and with the index. */
#include "store/parts.h"
#include "trust/trust.h"
#include <unistd.h>

typedef struct report {
    void (*on_fault)(void *context, const char *sentence);
    void *context;
    int faults;
    json_t *seen; /* digests that were checked or complained of */
} report;

static void tell(report *r, tn_status status) {
    if (status == TN_OK) return;
    r->faults++;
    if (r->on_fault) r->on_fault(r->context, tn_last_error());
}

static tn_status tell_and_go_on(tn_parts *p, tn_status status) {
    tell(p->context, status);
    return TN_OK;
}

static tn_status check_size(const tn_store *s, const char *digest, int file, uint64_t found, uint64_t expected) {
    if (found == expected) return tn_blob_check(s, digest, file);
    return tn_fail(TN_E_FORMAT, "'%s/blobs/sha256/%s' is damaged: it has %llu bytes, not %llu", s->path, digest + 7,
                   (unsigned long long)found, (unsigned long long)expected);
}

static tn_status check_part(tn_parts *p, const char *digest, const uint64_t *size) {
    report *r = p->context;
    int file;
    uint64_t found;
    if (json_object_get(r->seen, digest)) return TN_OK;
    json_object_set_new(r->seen, digest, json_true());
    if (!size) return TN_OK; /* a manifest is checked as it is read */
    tn_status status = tn_blob_open(p->store, digest, &file, &found);
    if (status == TN_OK) {
        status = check_size(p->store, digest, file, found, *size);
        close(file);
    }
    tell(r, status);
    return TN_OK;
}

/* Blobs that no version needs may be a removed version's; they are checked like others. */
static tn_status check_stray(const tn_store *s, const char *name, void *context) {
    report *r = context;
    char digest[TN_STORE_DIGEST];
    int file;
    uint64_t size;
    if (!tn_store_digest_of_name(name, digest)) {
        tell(r, tn_fail(TN_E_FORMAT, "'%s/blobs/sha256/%s' is no blob", s->path, name));
        return TN_OK;
    }
    if (json_object_get(r->seen, digest)) return TN_OK;
    tn_status status = tn_blob_open(s, digest, &file, &size);
    if (status == TN_E_NOT_FOUND) return TN_OK; /* collected meanwhile */
    if (status == TN_OK) {
        status = tn_blob_check(s, digest, file);
        close(file);
    }
    tell(r, status);
    return TN_OK;
}

/* What the index says of one of our versions is what its manifest says. */
static tn_status compare_entry(const tn_store *s, const json_t *entry) {
    json_t *expected;
    if (tn_index_expect(s, entry, &expected) != TN_OK || !expected) return TN_OK; /* told already, or not ours */
    bool equal = json_equal((json_t *)entry, expected);
    json_decref(expected);
    if (equal) return TN_OK;
    return tn_fail(TN_E_FORMAT, "'%s/index.json' is damaged: of %s it says other things than the manifest", s->path,
                   json_string_value(json_object_get(entry, "digest")));
}

static tn_status check_index(const tn_store *s, report *r) {
    const json_t *entry;
    size_t i;
    json_array_foreach(json_object_get(s->index, "manifests"), i, entry) tell(r, compare_entry(s, entry));
    return tn_index_is_one(s);
}

static tn_status ignore_event(const tn_store_event *event, void *context) {
    (void)event, (void)context;
    return TN_OK;
}

tn_status tn_store_verify(tn_store *s, void (*on_fault)(void *context, const char *sentence), void *context,
                          int *out_faults) {
    report r = {on_fault, context, 0, json_object()};
    tn_parts parts = {s, check_part, tell_and_go_on, &r};
    *out_faults = 0;
    if (!r.seen) return tn_fail(TN_E_MEMORY, "no memory to verify a store");
    tn_status status = tn_store_lock(s, true);
    if (status != TN_OK) {
        json_decref(r.seen);
        return status;
    }
    status = tn_index_read(s);
    tell(&r, status);
    if (status == TN_OK) {
        tell(&r, tn_parts_each_entry(&parts));
        tell(&r, check_index(s, &r));
    }
    tell(&r, tn_store_each_file(s, "blobs/sha256", check_stray, &r));
    tn_status log = tn_audit_each(s, ignore_event, NULL);
    tell(&r, log);
    if (status == TN_OK && log == TN_OK) tell(&r, tn_change_check(s));
    tell(&r, tn_trust_verify(s));
    tn_change_end(s);
    json_decref(r.seen);
    *out_faults = r.faults;
    return TN_OK;
}
